"""The generator of the noise, the mosaic domains and the random missetting angles.

Park and Miller's "minimal standard" with a Bays-Durham shuffle (Press, Teukolsky, Vetterling & Flannery, Numerical
Recipes in C, 2nd ed., section 7.1, "ran1"), since a seed must give the same image as it does in other programs.
"""

import numpy as np

from ..compile.equation import equation, inlined

MODULUS = 2147483647
MULTIPLIER = 16807
SHUFFLED = 32
LARGEST = np.float32(1.0 - 1.2e-7)

VALUE = SHUFFLED
"""Where the state keeps the last value of the linear generator; the shuffle table lies before it."""
DRAWN = SHUFFLED + 1
"""Where the state keeps the last value drawn from the table."""


@inlined
def seeded(seed):
    """State of a generator that starts from ``seed``: int64, shape (34,)."""
    state = np.empty(SHUFFLED + 2, dtype=np.int64)
    value = max(1, abs(seed) % MODULUS)
    for entry in range(SHUFFLED + 7, -1, -1):
        value = value * MULTIPLIER % MODULUS
        if entry < SHUFFLED:
            state[entry] = value
    state[VALUE] = value
    state[DRAWN] = value
    return state


@equation
def uniform(state):
    """Next deviate, float32 in (0, 1)."""
    value = state[VALUE] * MULTIPLIER % MODULUS
    entry = state[DRAWN] // 67108864
    drawn = state[entry]
    state[entry] = value
    state[VALUE] = value
    state[DRAWN] = drawn
    return min(np.float32(drawn * (1.0 / MODULUS)), LARGEST)
