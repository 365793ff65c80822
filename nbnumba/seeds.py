"""Where random numbers begin: seeds that nobody gave, seeds of a series, and numbers keyed by a seed."""

import secrets

import numpy as np
from numpy.typing import NDArray

SEED_BITS = 63
"""Of a seed that is drawn: as many as an integer of TOML, and of most other programs, can hold."""

MISSET, SPECTRUM = 1, 2
"""What the numbers of a seed are for; noise and mosaic domains have a generator of their own."""


def fresh_seed() -> int:
    """A seed from the system's entropy, for who gives none: no two runs share it, however close they start."""
    return secrets.randbits(SEED_BITS)


def spawned_seed(seed: int, index: int) -> int:
    """The seed of frame number ``index`` in a series that has ``seed``, by NumPy's SeedSequence.

    It depends on these two numbers alone: not on what was drawn before, nor on who draws.
    """
    state = np.random.SeedSequence(abs(seed), spawn_key=(index,)).generate_state(1, np.uint64)
    return int(state[0]) >> (64 - SEED_BITS)


def uniform_deviates(seed: int, purpose: int, count: int) -> NDArray[np.float64]:
    """Deviates in [0, 1), of 53 bits, from NumPy's counter-based Philox generator keyed by seed and purpose."""
    words = np.random.Philox(key=(purpose << 64) + abs(seed) % 2**64).random_raw(count)
    return np.asarray(words >> np.uint64(11), np.float64) * 2.0**-53
