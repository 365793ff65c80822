"""Photons one after another, for pixels that a count leaves dead: what is recorded of few of them, exactly."""

import math

import numpy as np

from ..compile.equation import equation
from ..compile.jit import compiled
from .deviates import uniform_at
from .philox import SHARED, Purpose

WARM_UP = 20.0
"""Dead times before the exposure from which on photons arrive."""
DEADTIME = np.uint64(Purpose.DEADTIME + SHARED)
ONE = np.uint64(1)


@compiled()
def record_arrivals(expected, pixels, dead, paralyzable, frame, key, out):
    """Counts of some pixels.

    Parameters
    ----------
    expected : float64 (n,)
        Photons expected in the exposure.
    pixels : uint64 (n,)
        Their numbers in the whole.
    dead : float
        Dead time as a fraction of the exposure.
    paralyzable : bool
        Whether a photon that is not counted keeps the pixel dead, too.
    frame, key : uint64
        Number of the image, and seed.
    out : float64 (n,)
        Receives the counts.
    """
    for n in range(len(expected)):
        out[n] = recorded_at(expected[n], dead, paralyzable, pixels[n], frame, key)


@equation
def recorded_at(expected, dead, paralyzable, pixel, frame, key):
    """Photons that one pixel counts: they arrive at exponential intervals, the exposure lasts from 0 to 1."""
    time = free = -WARM_UP * dead
    count, block = 0.0, ONE
    while True:
        time -= math.log(uniform_at(pixel, frame, DEADTIME, block, key)) / expected
        block += ONE
        if time > 1.0:
            return count
        if time > free:
            count += 1.0 if time > 0.0 else 0.0
            free = time + dead
        elif paralyzable:
            free = time + dead
