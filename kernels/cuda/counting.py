"""Photon counting on a card: a thread draws the counts of one pixel, bit for bit those of the CPU."""

import numpy as np

from ..counting.deviates import poisson_at
from .provider import adopt_equations, cuda, kernel


@kernel
def count_photons(photons, pixels, width, first, columns, frame, key, counts):
    """Counts of pixels that lie in rows one after another.

    Parameters
    ----------
    photons : float32 (pixels,)
        Expected.
    pixels, width : int
        How many pixels there are, and how many in a row of theirs.
    first, columns, frame, key : uint64
        Number of the first pixel in the whole, pixels in a whole row, number of the image, and seed.
    counts : float64 (pixels,)
        Receives them.
    """
    number = cuda.grid(1)
    if number < pixels:
        row = number // width
        pixel = first + np.uint64(row) * columns + np.uint64(number - row * width)
        counts[number] = poisson_at(np.float64(photons[number]), pixel, frame, key)


adopt_equations(globals())
