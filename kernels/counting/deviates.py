"""Deviates of one pixel, each a function of its place: uniform, normal, Poisson.

The plain form, for single numbers: the oracle of the loops in ``draws.py``, and what every thread of a card runs. All
is written with what ``compile/rounding.py`` guarantees, so that a card counts the photons that the CPU counts.
"""

import math

import numpy as np

from ..compile.equation import equation, merged
from ..compile.rounding import artanh_series, exp_minus, log, product, sin_half_turns
from .philox import SHARED, Purpose, philox, uniform_of

INVERTED_BELOW = 80.0
"""Where a Poisson deviate is found by the inverse of the distribution; from there on by rejection."""

REACHED = 1.0 - 2.0**-42
ALL_WHOLE = 2.0**52
TWO_PI = 2.0 * math.pi
NONE, ONE = np.uint64(0), np.uint64(1)
COUNTS, SHARED_COUNTS = np.uint64(Purpose.POISSON), np.uint64(Purpose.POISSON + SHARED)


@merged
def two_uniforms(pair, frame, purpose, block, key):
    """Deviates in (0, 1) of the pixels 2·pair and 2·pair + 1."""
    a, b, c, d = philox(pair, frame, purpose, block, key)
    return uniform_of(a, b), uniform_of(c, d)


@equation
def uniform_at(pixel, frame, purpose, block, key):
    """Deviate in (0, 1) of a pixel."""
    even, odd = two_uniforms(pixel >> ONE, frame, purpose, block, key)
    return odd if pixel & ONE else even


# Poisson ----------------------------------------------------------------------------------------------------------


@merged
def reachable(u):
    """u, or the largest that a sum of rounded P is sure to reach: one pixel in 4·10¹² would have asked for more."""
    return min(u, REACHED)


@equation
def searched_on(mean, u, count, term, total):
    """The smallest k with u ≤ P(0) + … + P(k), from ``count`` on, whose P is ``term``; ``total``: that sum up to it."""
    while u > total:
        count += 1.0
        term = product(term, product(mean, 1.0 / count))
        total += term
    return count


@equation
def by_inversion(mean, u):
    """The smallest k with u ≤ P(0) + … + P(k)."""
    term = exp_minus(mean)
    return searched_on(mean, reachable(u), 0.0, term, term)


@merged
def floor(x):
    """The whole number below, as a float64; from 2⁵² on there are no others."""
    return x if abs(x) > ALL_WHOLE else float(math.floor(x))


@merged
def hat(mean):
    """a and b of the table mountain hat that lies above the distribution."""
    b = 0.931 + product(2.53, math.sqrt(mean))
    return -0.059 + product(0.02483, b), b


@merged
def proposed(mean, a, b, u):
    """A count from under the hat, and how far u is from the nearer end of (0, 1)."""
    distance = 0.5 - abs(u - 0.5)
    return floor(product(2.0 * a / distance + b, u - 0.5) + (mean + 0.43)), distance


@merged
def is_squeezed(b, distance, v):
    """Whether it is taken without a look at its P, as most are: v ≤ 0.9277 − 3.6224/(b − 2)."""
    return distance >= 0.07 and product(0.9277 - v, b - 2.0) >= 3.6224


@merged
def is_accepted(a, b, count, distance, v, log_of_ratio):
    """Whether its P is above v · (1.1239 + 1.1328/(b − 3.4)) / (a/distance² + b)."""
    square = product(distance, distance)
    above = product(product(v, product(1.1239, b - 3.4) + 1.1328), square)
    height = above / product(a + product(b, square), b - 3.4)
    return log(product(product(height, height), product(TWO_PI, count))) <= -2.0 * log_of_ratio


@merged
def is_near(k, mean):
    """Whether ln k/mean comes out of the series for ln √2 and less."""
    return abs(k - mean) <= product(0.17, k + mean)


@merged
def is_far(k, mean):
    """The others that come; a k below 16 is rarer than any u."""
    return k >= 16.0 and not is_near(k, mean)


@merged
def stirling_error(k):
    """ln k! less Stirling's formula, k ≥ 16, to 1e-13."""
    inverse = 1.0 / k
    square = product(inverse, inverse)
    series = 1 / 1260 - product(square, 1 / 1680)
    series = 1 / 360 - product(square, series)
    return product(inverse, 1 / 12 - product(square, series))


@merged
def log_of_ratio(k, mean):
    """ln of 1/√(2πk) over P(k): the error of Stirling's formula, and what k lies beside the mean.

    Loader, "Fast and accurate computation of binomial probabilities" (2000): without differences of large numbers.
    """
    f = (k - mean) / (k + mean)
    s = product(f, f)
    beside = product(k - mean, f) + product(product(product(2.0 * k, f), s), artanh_series(s))
    return stirling_error(k) + beside


@equation
def log_of_far_ratio(k, mean):
    """The same of a k that is not near the mean."""
    return stirling_error(k) + (product(k, log(k / mean)) + (mean - k))


@equation
def by_rejection(mean, pixel, frame, key):
    """Transformed rejection with squeeze (PTRS: Hörmann, Insurance: Mathematics and Economics 12 (1993), 39)."""
    a, b = hat(mean)
    block = NONE
    while True:
        u, v = two_uniforms(pixel, frame, COUNTS, block, key)
        block += ONE
        count, distance = proposed(mean, a, b, u)
        if is_squeezed(b, distance, v):
            return count
        if is_far(count, mean) and is_accepted(a, b, count, distance, v, log_of_far_ratio(count, mean)):
            return count
        if is_near(count, mean) and is_accepted(a, b, count, distance, v, log_of_ratio(count, mean)):
            return count


@equation
def poisson_at(mean, pixel, frame, key):
    """Photons counted in a pixel where ``mean`` are expected, a float64; infinite or no number where that is."""
    if mean < INVERTED_BELOW:
        if mean <= 0.0:
            return 0.0
        return by_inversion(mean, uniform_at(pixel, frame, SHARED_COUNTS, NONE, key))
    if mean < math.inf:
        return by_rejection(mean, pixel, frame, key)
    return mean


# Normal -----------------------------------------------------------------------------------------------------------


@merged
def two_normals(u, v):
    """Two independent normal deviates of two uniform ones (Box & Muller, Ann. Math. Stat. 29 (1958), 610)."""
    radius = math.sqrt(-2.0 * log(u))
    # As a fraction of half a turn, and the same mirrored to where cos ≥ 0.
    turn = 2.0 * v - 1.0
    mirrored = abs(turn) > 0.5
    folded = math.copysign(1.0, turn) - turn if mirrored else turn
    half = sin_half_turns(0.5 * folded)
    cosine = 1.0 - 2.0 * product(half, half)
    return product(radius, -cosine if mirrored else cosine), product(radius, sin_half_turns(folded))


@equation
def normal_at(pixel, frame, purpose, block, key):
    """Standard normal deviate of a pixel."""
    u, v = two_uniforms(pixel >> ONE, frame, purpose, block, key)
    along, across = two_normals(u, v)
    return across if pixel & ONE else along
