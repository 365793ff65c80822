"""Photons are counted as nanoBragg counts them: a Poisson deviate for every pixel, one after another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import typeof

from ..compiling import compiling
from ..kernels.counting.poisson import draw_counts
from ..kernels.counting.random import MODULUS, seeded
from ..seeds import spawned_seed


class SerialCounting:
    """A step: expected photons to counts, drawn one after another from band to band.

    Parameters
    ----------
    seed, frame : int
        The same two and the same image give the same counts. Frame 0 has the seed itself, as nanoBragg's only one.
    """

    def __init__(self, seed: int, frame: int = 0) -> None:
        if frame:
            seed = spawned_seed(seed, frame)
        # The generator has no more states than that.
        self._state = seeded(abs(seed) % MODULUS)
        self._spare = np.full(1, np.nan, np.float32)
        self.photons = 0.0
        """Sum of those drawn so far."""

    def __call__(self, expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Counts of the next band."""
        counts = np.empty(expected.shape)
        args = (np.ascontiguousarray(expected), self.photons, self._state, self._spare, counts)
        compiling(lambda: draw_counts.compile(tuple(map(typeof, args))))
        self.photons = float(draw_counts(*args))
        return counts
