"""The image as a detector counts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import typeof
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..compiling import compiling
from ..kernels.counting.poisson import add_noise
from ..kernels.counting.random import MODULUS


@dataclass(frozen=True, eq=False, repr=False)
class NoiseImage(HoldsArrays):
    """Counts, and what was lost on the way to them."""

    counts: NDArray[np.uint16]
    """Shape (slow, fast), offset included; 0 outside the region of interest."""
    photons: int
    """Sum of the photons drawn, offset excluded."""
    overloads: int
    """Pixels cut to 65535."""


def photon_counts(
    photons: NDArray[np.float32], roi: tuple[int, int, int, int], seed: int, adc_offset: float
) -> NoiseImage:
    """Poisson noise on an image of expected photons.

    Parameters
    ----------
    photons : float32 array, shape (slow, fast)
        Expected photons.
    roi : tuple of 4 ints
        First and last fast, first and last slow pixel, inclusive.
    seed : int
        The same seed and image give the same counts.
    adc_offset : float
        Added to every count inside the region.
    """
    counts = np.zeros(photons.shape, dtype=np.uint16)
    # The generator has no more states than that, and a compiled one takes no more bits.
    args = (photons, roi, abs(seed) % MODULUS, float(adc_offset), counts)
    compiling(lambda: add_noise.compile(tuple(map(typeof, args))))
    photon_sum, overloads = add_noise(*args)
    return NoiseImage(counts, round(photon_sum), int(overloads))
