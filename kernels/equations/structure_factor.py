"""F(hkl) from the table: the nearest reflection's or a tricubic interpolation."""

import math

from ..compile.equation import equation, inlined


@equation
def nearest_factor(factors, channel, h, k, l):
    """F of the reflection with whole indices h, k, l in a channel's table; the default outside it."""
    i, j, m = h - factors.first[0], k - factors.first[1], l - factors.first[2]
    table = factors.table
    inside = 0 <= i < table.shape[1] and 0 <= j < table.shape[2] and 0 <= m < table.shape[3]
    if inside:
        amplitude = table[channel, i, j, m]
    else:
        amplitude = factors.default
    return amplitude


@equation
def within(h, first, size):
    """Whether the four table entries about h that a cubic needs exist along one axis, with one to spare."""
    return first + 2 <= h <= first + size - 3


@equation
def can_interpolate(factors, h, k, l):
    """Whether tricubic interpolation at h, k, l stays inside the table."""
    size = factors.table.shape
    return (
        within(h, factors.first[0], size[1])
        and within(k, factors.first[1], size[2])
        and within(l, factors.first[2], size[3])
    )


@inlined
def cubic_weights(t):
    """Lagrange's weights of the points −1, 0, 1, 2 at t."""
    inner, outer = t * (t - 1.0) * (1 / 6), (t + 1.0) * (t - 2.0) * 0.5
    return (inner * (2.0 - t), outer * (t - 1.0), -outer * t, inner * (t + 1.0))


@inlined
def cubic_slopes(t):
    """Their derivatives by t."""
    square = t * t
    return (
        (-3.0 * square + 6.0 * t - 2.0) * (1 / 6),
        (3.0 * square - 4.0 * t - 1.0) * 0.5,
        (-3.0 * square + 2.0 * t + 2.0) * 0.5,
        (3.0 * square - 1.0) * (1 / 6),
    )


@equation
def interpolated_factor(factors, channel, h, k, l):
    """F between reflections of a channel: the tensor product of cubic Lagrange polynomials over 4×4×4 of them."""
    hf, kf, lf = math.floor(h), math.floor(k), math.floor(l)
    wh, wk, wl = cubic_weights(h - hf), cubic_weights(k - kf), cubic_weights(l - lf)
    i = int(hf) - 1 - factors.first[0]
    j = int(kf) - 1 - factors.first[1]
    m = int(lf) - 1 - factors.first[2]
    table = factors.table
    amplitude = 0.0
    for u in range(4):
        plane = 0.0
        for v in range(4):
            plane += wk[v] * (
                wl[0] * table[channel, i + u, j + v, m]
                + wl[1] * table[channel, i + u, j + v, m + 1]
                + wl[2] * table[channel, i + u, j + v, m + 2]
                + wl[3] * table[channel, i + u, j + v, m + 3]
            )
        amplitude += wh[u] * plane
    return amplitude
