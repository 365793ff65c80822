"""Deviates of one pixel, each a function of its place: uniform, normal, Poisson.

The plain form, for single numbers: the oracle of the loops in ``draws.py``, and what every thread of a card runs. All
is written with what ``compile/rounding.py`` guarantees, so that a card counts the photons that the CPU counts.
"""

import math

import numpy as np

from ..compile.equation import equation, inlined
from ..compile.rounding import artanh_series, exp_minus, log, product, sin_half_turns
from .philox import SHARED, Purpose, philox, uniform_of

INVERTED_BELOW = 80.0
"""Where a Poisson deviate is found by the inverse of the distribution; from there on by rejection."""

ALL_WHOLE = 2.0**52
TWO_PI = 2.0 * math.pi
NONE, ONE = np.uint64(0), np.uint64(1)
COUNTS, SHARED_COUNTS = np.uint64(Purpose.POISSON), np.uint64(Purpose.POISSON + SHARED)


@inlined
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


@equation
def by_inversion(mean, u):
    """The smallest k with u ≤ P(0) + … + P(k)."""
    term = exp_minus(mean)
    return searched_on(mean, u, 0.0, term, term)


@equation
def searched_on(mean, u, count, term, total):
    """The same where the search has come to ``count``, whose P is ``term``, up to which P is ``total`` in all."""
    while u > total:
        count += 1.0
        term = product(term, product(mean, 1.0 / count))
        before = total
        total = before + term
        if total == before:
            # What is left is less than rounding has taken away.
            break
    return count


@equation
def by_rejection(mean, pixel, frame, key):
    """Transformed rejection with squeeze (PTRS: Hörmann, Insurance: Mathematics and Economics 12 (1993), 39)."""
    b = 0.931 + product(2.53, math.sqrt(mean))
    a = -0.059 + product(0.02483, b)
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeezed = 0.9277 - 3.6224 / (b - 2.0)
    block = NONE
    while True:
        u, v = two_uniforms(pixel, frame, COUNTS, block, key)
        block += ONE
        u -= 0.5
        distance = 0.5 - abs(u)
        count = floor(product(2.0 * a / distance + b, u) + (mean + 0.43))
        if distance >= 0.07 and v <= squeezed:
            return count
        # A count below 16 is rarer than any u.
        if count < 16.0 or (distance < 0.013 and v > distance):
            continue
        height = product(v, inverse_alpha) / (a / product(distance, distance) + b)
        if log(product(product(height, height), product(TWO_PI, count))) <= -2.0 * log_of_ratio(count, mean):
            return count


@inlined
def floor(x):
    """The whole number below, as a float64; from 2⁵² on there are no others."""
    return x if abs(x) > ALL_WHOLE else float(math.floor(x))


@equation
def log_of_ratio(k, mean):
    """ln of 1/√(2πk) over P(k), k ≥ 16: the error of Stirling's formula, and what k lies beside the mean.

    Loader, "Fast and accurate computation of binomial probabilities" (2000): without differences of large numbers.
    """
    square = product(k, k)
    stirling = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / k
    f = (k - mean) / (k + mean)
    if abs(f) > 0.17:
        return stirling + (product(k, log(k / mean)) + (mean - k))
    s = product(f, f)
    beside = product(k - mean, f) + product(product(2.0 * k, product(f, s)), artanh_series(s))
    return stirling + beside


# Normal -----------------------------------------------------------------------------------------------------------


@inlined
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
