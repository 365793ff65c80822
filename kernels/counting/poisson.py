"""Photon counting: Poisson deviates drawn one after another, in raster order, from one seed.

The methods are those of Press, Teukolsky, Vetterling & Flannery, Numerical Recipes in C, 2nd ed., chapters 6 and 7.
A deviate decides how many others are drawn, so one different rounding changes every later pixel: what is cast to
float32 here, and where, belongs to the definition of the image. Hence the casts to float64 too: without them a function
of a float32 would be evaluated in float32.
"""

import math

import numpy as np

from ..compile.equation import equation
from ..compile.jit import compiled
from .random import uniform

MULTIPLIED_BELOW = 12.0
GAUSSIAN_ABOVE = 1e6


@compiled()
def draw_counts(photons, total, state, spare, out):
    """Draw the counts of every pixel.

    Parameters
    ----------
    photons : float32 (slow, fast)
        Expected photons.
    total : float
        Photons that were drawn before.
    state : int64 (n,)
        Of the generator, as ``seeded`` makes it; goes on from call to call.
    spare : float32 (1,)
        A normal deviate that is left over, NaN at first; goes on likewise.
    out : float64 (slow, fast)
        Receives the counts; infinite or no number where infinitely many are expected.

    Returns
    -------
    total : float
        With the photons that were drawn now, those of pixels that expect infinitely many left aside.
    """
    for slow in range(photons.shape[0]):
        for fast in range(photons.shape[1]):
            mean = photons[slow, fast]
            if mean < MULTIPLIED_BELOW:
                count = _by_multiplication(mean, state)
            elif mean <= GAUSSIAN_ABOVE:
                count = _by_rejection(mean, state)
            else:
                count = _gaussian(mean, state, spare)
            if math.isfinite(count):
                total += count
            out[slow, fast] = count
    return total


@equation
def _by_multiplication(mean, state):
    """Deviates that can be multiplied before their product falls to exp(−mean), less one."""
    product = uniform(state)
    # 1 − mean ≤ exp(−mean), and rounding exp to float32 cannot bring it below a float32 that is less than it. So most
    # pixels of a weak image need no exp.
    if product <= 1.0 - mean:
        return 0.0
    threshold = np.float32(math.exp(-np.float64(mean)))
    count = 0.0
    while product > threshold:
        product = product * uniform(state)
        count += 1.0
    return count


@equation
def _by_rejection(mean, state):
    """Rejection against a Lorentzian that lies above the Poisson distribution."""
    width = np.float32(math.sqrt(2.0 * np.float64(mean)))
    log_mean = np.float32(math.log(np.float64(mean)))
    log_peak = mean * log_mean - _log_gamma(mean + np.float32(1.0))
    while True:
        tangent = np.float32(math.tan(math.pi * np.float64(uniform(state))))
        count = width * tangent + mean
        if count < 0.0:
            continue
        count = np.float32(math.floor(count))
        log_ratio = count * log_mean - _log_gamma(count + np.float32(1.0)) - log_peak
        envelope = 0.9 * (1.0 + np.float64(tangent * tangent))
        if uniform(state) <= np.float32(envelope * math.exp(np.float64(log_ratio))):
            return np.float64(count)


@equation
def _log_gamma(x):
    """Lanczos's approximation of ln Γ(x) with six terms, a float32 as x is."""
    x = np.float64(x)
    series = (
        1.000000000190015
        + 76.18009172947146 / (x + 1.0)
        - 86.50532032941677 / (x + 2.0)
        + 24.01409824083091 / (x + 3.0)
        - 1.231739572450155 / (x + 4.0)
        + 0.1208650973866179e-2 / (x + 5.0)
        - 0.5395239384953e-5 / (x + 6.0)
    )
    return np.float32((x + 0.5) * math.log(x + 5.5) - (x + 5.5) + math.log(2.5066282746310005 * series / x))


@equation
def _gaussian(mean, state, spare):
    """Normal deviate of variance ``mean``, by Marsaglia's polar method, which makes two: ``spare`` keeps the other."""
    deviate = spare[0]
    spare[0] = np.nan
    while math.isnan(deviate):
        v1 = np.float32(2.0) * uniform(state) - np.float32(1.0)
        v2 = np.float32(2.0) * uniform(state) - np.float32(1.0)
        square = v1 * v1 + v2 * v2
        if 0.0 < square < 1.0:
            factor = np.float32(math.sqrt(-2.0 * math.log(np.float64(square)) / np.float64(square)))
            spare[0] = v1 * factor
            deviate = v2 * factor
    return np.float64(np.float32(np.float64(mean) + math.sqrt(np.float64(mean)) * np.float64(deviate)))
