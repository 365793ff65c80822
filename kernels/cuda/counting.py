"""Photon counting on a card: a thread draws the counts of some pixels, bit for bit those of the CPU."""

import math

import numpy as np

from ..counting.deviates import poisson_at
from .bits import unsigned
from .provider import adopt_equations, cuda, device_function, kernel, record_of
from .tables import TALLY, THREADS


@device_function
def added_up(numbers):
    """Leave in ``numbers[0]`` the sum over a block, in one order always; all threads take part."""
    own = cuda.threadIdx.x
    half = THREADS // 2
    while half > 0:
        cuda.syncthreads()
        if own < half:
            numbers[own] += numbers[own + half]
        half //= 2


@device_function
def count_of(reading, photons, pixel):
    """Photons counted in a pixel of the whole."""
    return poisson_at(np.float64(photons), pixel, np.uint64(reading.frame), np.uint64(reading.key))


@kernel
def count_photons(photons, readings, first, count, goes_on, measured, counts, tallies):
    """Counts of a run of pixels, each as a detector reads it that counts, adds its offset and cuts.

    To be launched with a grid of (blocks, 1, images), as many for every run of an image, and ``THREADS`` threads; they
    go through the pixels together.

    Parameters
    ----------
    photons : device array of float32 (images · count or more)
        Expected.
    readings : device array of ``READING`` (images,)
        How each image is read out.
    first, count : int
        Number of the first pixel, counted along the rows of the image, and how many.
    goes_on : int
        0 for the first run of an image.
    measured : device array of uint8 (slow, fast)
        0 where a pixel of the whole detector is not; read where an image is masked.
    counts : device array of integers (images · count or more)
        Receives them, 0 where nothing is measured.
    tallies : device array of float64 (images · blocks · ``TALLY``)
        Receives, or adds to what it has: photons counted, those of infinitely many left aside, and pixels cut to the
        largest count.
    """
    drawn = cuda.shared.array(THREADS, np.float64)
    cut = cuda.shared.array(THREADS, np.float64)
    reading = record_of(readings[cuda.blockIdx.z])
    total, overloads = 0.0, 0.0
    for here in range(cuda.grid(1), count, cuda.gridsize(1)):
        number, width = unsigned(first + here), unsigned(reading.width)
        down = unsigned(number // width)
        slow, fast = reading.first_slow + down, reading.first_fast + (number - down * width)
        at = cuda.blockIdx.z * count + here
        if reading.masked and measured[slow, fast] == 0:
            counts[at] = 0
        else:
            pixel = np.uint64(slow) * np.uint64(reading.columns) + np.uint64(fast)
            photons_here = count_of(reading, photons[at], pixel)
            if photons_here < math.inf:
                total += photons_here
            value = photons_here + reading.offset
            if not value <= reading.largest:
                value = reading.largest
                overloads += 1.0
            counts[at] = int(value) if value > 0.0 else 0
    drawn[cuda.threadIdx.x] = total
    cut[cuda.threadIdx.x] = overloads
    added_up(drawn)
    added_up(cut)
    if cuda.threadIdx.x == 0:
        block = TALLY * (cuda.blockIdx.z * cuda.gridDim.x + cuda.blockIdx.x)
        tallies[block] = drawn[0] + (tallies[block] if goes_on else 0.0)
        tallies[block + 1] = cut[0] + (tallies[block + 1] if goes_on else 0.0)


adopt_equations(globals())
