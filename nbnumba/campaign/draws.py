"""Random numbers of a campaign: each is keyed by seed, field, index and crystal; nobody's order or clock counts."""

from __future__ import annotations

import hashlib

import numpy as np

FORMAT = "nbnumba-campaign-1"
"""Names what a frame is: who changes the derivation changes this."""
BELOW_1 = 1.0 - 2.0**-53


class Draws:
    """The random numbers of a campaign's seed.

    Those of a field at an index are Philox4x64-10's (J. K. Salmon et al., SC'11, 2011) of the counter
    (0, 0, crystal, index), by a key that is the first 16 bytes of the SHA-256 of ``nbnumba-campaign-1/seed/field``, two
    little-endian words. Only NumPy's raw words are used, which it promises to keep (NEP 19).
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, np.ndarray] = {}

    def words(self, field: str, index: int, count: int = 1, crystal: int = 0) -> list[int]:
        """Words of 64 bits.

        Parameters
        ----------
        field : str
            What they are for, as ``crystal.cell[1]``.
        index : int
            Of the frame, or of whatever else has numbers of its own.
        count : int
            How many.
        crystal : int
            Number of the crystal in the frame.
        """
        key = self._keys.get(field)
        if key is None:
            digest = hashlib.sha256(f"{FORMAT}/{self._seed}/{field}".encode()).digest()
            key = self._keys[field] = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
        counter = np.array([0, 0, crystal, index], np.uint64)
        found: list[int] = np.random.Philox(key=key, counter=counter).random_raw(count).tolist()
        return found

    def uniforms(self, field: str, index: int, count: int = 1, crystal: int = 0) -> list[float]:
        """Deviates in (0, 1), neither end of which is ever met: the words' upper 53 bits, and a half."""
        # The very largest would be rounded to 1.
        return [min(((word >> 11) + 0.5) * 2.0**-53, BELOW_1) for word in self.words(field, index, count, crystal)]
