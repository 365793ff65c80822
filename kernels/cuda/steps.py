"""The innermost loop on a GPU: F²·F_latt² of one scattering vector, summed over the orientations in shared memory.

What is not chosen of shapes, interpolation and arithmetic is not compiled (see ``choice`` in ``tables.py``).
"""

import math

import numpy as np

from ..choices import BITS, DOUBLE, GAUSS, ROUND, SQUARE, TOPHAT, shape_without_branch
from ..compile.polynomials import ROUND_TO_WHOLE, cos_pi, sin_pi, sin_pi_single
from ..equations.lattice_factor import (
    GAUSS_WIDTH,
    NEVER_ZERO,
    NEVER_ZERO_SINGLE,
    SERIES_BELOW,
    SPHERE_VOLUME,
    TOPHAT_RADIUS_SQR,
    index_distance_sqr,
    sphere_series,
    triangle_distance_sqr,
)
from ..equations.structure_factor import cubic_weights, within
from .bits import (
    TO_WORDS,
    WHOLE_BITS,
    half_turns,
    high_word,
    low_word,
    nearest_whole,
    reciprocal,
    steps_and_rest,
    unsigned,
    words_of_steps,
    wrapped,
)
from .provider import adopt_equations, device_function, estimated_reciprocal, pair_at
from .tables import ROW

ONE, TWO, THREE, FOUR, SIX, EIGHT = map(np.uint32, (1, 2, 3, 4, 6, 8))
"""Steps of an index: with a signed one, every access would ask whether it counts from the end."""
NEXT, SECOND_NEXT = np.uint32(ROW), np.uint32(2 * ROW)


@device_function
def smaller(a, b):
    """The smaller of two; Numba's own CUDA target cannot compile ``min`` of integers."""
    return a if a < b else b


@device_function
def table_index(sizes, i, j, m):
    """Where the reflection at offset i, j, m stands in the flat table; one of the margin if it lies outside."""
    i = smaller(unsigned(i), unsigned(sizes[0] - 1))
    j = smaller(unsigned(j), unsigned(sizes[1] - 1))
    m = smaller(unsigned(m), unsigned(sizes[2] - 1))
    return unsigned((i * unsigned(sizes[1]) + j) * unsigned(sizes[2]) + m)


@device_function
def cell_at(rows, at):
    """The nine numbers of a, b, c, read two at a time."""
    ax, ay = pair_at(rows, at)
    az, bx = pair_at(rows, at + TWO)
    by, bz = pair_at(rows, at + FOUR)
    cx, cy = pair_at(rows, at + SIX)
    return ax, ay, az, bx, by, bz, cx, cy, rows[at + EIGHT]


@device_function
def indices_at(rows, at, q):
    """Fractional h, k, l of q in the orientation that starts at ``at``."""
    ax, ay, az, bx, by, bz, cx, cy, cz = cell_at(rows, at)
    return (
        ax * q[0] + ay * q[1] + az * q[2],
        bx * q[0] + by * q[1] + bz * q[2],
        cx * q[0] + cy * q[1] + cz * q[2],
    )


# Square crystals by bits ------------------------------------------------------------------------------------------


@device_function
def split(x):
    """A float64 as the nearest float32 and what is left."""
    high = np.float32(x)
    return high, np.float32(x - high)


@device_function
def words_of(h):
    """h0 + ``WHOLE_BITS`` and the low word of h."""
    shifted = h + TO_WORDS
    low = low_word(shifted)
    return nearest_whole(high_word(shifted), low), low


@device_function
def words_of_pairs(ax, ay, az, x, y, z):
    """h0 and the low word of h from packed pairs of float32 and the pairs of q."""
    steps_x, rest_x = steps_and_rest(ax, x[0], x[1])
    steps_y, rest_y = steps_and_rest(ay, y[0], y[1])
    steps_z, rest_z = steps_and_rest(az, z[0], z[1])
    return words_of_steps(steps_x + steps_y + steps_z, rest_x + rest_y + rest_z)


@device_function
def index_words(rows, at, q, pairs, arithmetic):
    """Of h, k, l: whole part (and a constant) and low word."""
    if len(arithmetic) == BITS:
        h, k, l = indices_at(rows, at, q)
        return words_of(h), words_of(k), words_of(l)
    x, y, z = pairs
    ax, ay, az, bx, by, bz, cx, cy, cz = cell_at(rows, at)
    return (
        words_of_pairs(ax, ay, az, x, y, z), words_of_pairs(bx, by, bz, x, y, z), words_of_pairs(cx, cy, cz, x, y, z)
    )  # fmt: skip


@device_function
def intensity_by_bits(factors, rows, at, q, pairs, cells, first, sizes, arithmetic):
    """F²·F_latt² of a block of unit cells in one orientation, in integers and float32."""
    (whole_h, low_h), (whole_k, low_k), (whole_l, low_l) = index_words(rows, at, q, pairs, arithmetic)
    index = table_index(sizes, whole_h - first[0], whole_k - first[1], whole_l - first[2])
    low_h, low_k, low_l = low_h | 1, low_k | 1, low_l | 1
    numerator = (
        sin_pi_single(half_turns(wrapped(cells[0] * low_h)))
        * sin_pi_single(half_turns(wrapped(cells[1] * low_k)))
        * sin_pi_single(half_turns(wrapped(cells[2] * low_l)))
    )
    denominator = sin_pi_single(half_turns(low_h)) * sin_pi_single(half_turns(low_k)) * sin_pi_single(half_turns(low_l))
    amplitude = factors[index] * (numerator * reciprocal(denominator))
    return amplitude * amplitude


@device_function
def sum_by_bits(factors, image, rows, count, q, arithmetic):
    """Σ F²·F_latt² of a block of unit cells over the staged orientations."""
    # The constant in the high word is taken off with the index of the first cell.
    offset = WHOLE_BITS if len(arithmetic) == BITS else 0
    first = (int(image.first[0]) + offset, int(image.first[1]) + offset, int(image.first[2]) + offset)
    cells = (int(image.cells[0]), int(image.cells[1]), int(image.cells[2]))
    sizes = (int(image.sizes[0]), int(image.sizes[1]), int(image.sizes[2]))
    pairs = (split(q[0]), split(q[1]), split(q[2]))
    total = np.float32(0.0)
    at, end = unsigned(0), unsigned(ROW * count)
    # Two orientations a turn: the loop itself would cost a tenth of one.
    while at + NEXT < end:
        total += intensity_by_bits(factors, rows, at, q, pairs, cells, first, sizes, arithmetic)
        total += intensity_by_bits(factors, rows, at + NEXT, q, pairs, cells, first, sizes, arithmetic)
        at = unsigned(at + SECOND_NEXT)
    if at < end:
        total += intensity_by_bits(factors, rows, at, q, pairs, cells, first, sizes, arithmetic)
    return float(total)


# Every crystal ----------------------------------------------------------------------------------------------------


@device_function
def row_amplitude(numerator, denominator):
    """sin πx over sin πy for both between −½ and ½, evaluated in float32."""
    return sin_pi_single(np.float32(numerator)) * reciprocal(sin_pi_single(np.float32(denominator)))


@device_function
def reciprocal_double(x):
    """1/x for a float64 that is not denormal, to the last bit or so: Newton's steps, without a division's branches."""
    estimate = estimated_reciprocal(x)
    estimate += estimate * (1.0 - x * estimate)
    return estimate + estimate * (1.0 - x * estimate)


@device_function
def lattice_amplitude(image, dh, dk, dl, shape, arithmetic):
    """F_latt at a distance dh, dk, dl from the nearest reflection, but for its sign."""
    na, nb, nc = float(image.cells[0]), float(image.cells[1]), float(image.cells[2])
    if len(shape) == SQUARE:
        mh, mk, ml = na * dh, nb * dk, nc * dl
        mh -= (mh + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        mk -= (mk + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        ml -= (ml + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        if len(arithmetic) == DOUBLE:
            amplitude = sin_pi(mh) * sin_pi(mk) * sin_pi(ml) * reciprocal_double(sin_pi(dh) * sin_pi(dk) * sin_pi(dl))
        else:
            amplitude = float(row_amplitude(mh, dh) * row_amplitude(mk, dk) * row_amplitude(ml, dl))
    elif len(shape) == ROUND:
        radius = math.sqrt(index_distance_sqr(image, dh, dk, dl) * image.fudge)
        turn = radius - ((radius + ROUND_TO_WHOLE) - ROUND_TO_WHOLE)
        angle = math.pi * (radius if radius > 1e-9 else 1e-9)
        inverse = reciprocal_double(angle)
        closed = 3.0 * (sin_pi(turn) * inverse - cos_pi(turn)) * (inverse * inverse)
        amplitude = na * nb * nc * SPHERE_VOLUME * (sphere_series(angle * angle) if angle < SERIES_BELOW else closed)
    elif len(shape) == GAUSS:
        exponent = triangle_distance_sqr(image.triangle, dh, dk, dl) * (image.fudge * (-1.0 / GAUSS_WIDTH))
        if len(arithmetic) == DOUBLE:
            amplitude = na * nb * nc * math.exp(exponent)
        else:
            amplitude = na * nb * nc * math.exp(np.float32(exponent))
    elif len(shape) == TOPHAT:
        inside = triangle_distance_sqr(image.triangle, dh, dk, dl) * image.fudge < TOPHAT_RADIUS_SQR
        amplitude = na * nb * nc if inside else 0.0
    else:
        amplitude = shape_without_branch(shape)
    return amplitude


@device_function
def nearest_factor(factors, image, h, k, l):
    """F of the reflection at the whole indices that the low words of h, k, l are; the default outside the table."""
    i, j, m = low_word(h) - int(image.first[0]), low_word(k) - int(image.first[1]), low_word(l) - int(image.first[2])
    index = table_index(image.sizes, i, j, m)
    return float(factors[index])


@device_function
def can_interpolate(image, h, k, l):
    """Whether tricubic interpolation at h, k, l stays inside the table, margin left out."""
    return (
        within(h, image.first[0] + 1, image.sizes[0] - 2)
        and within(k, image.first[1] + 1, image.sizes[1] - 2)
        and within(l, image.first[2] + 1, image.sizes[2] - 2)
    )


@device_function
def along_l(f, at, weights):
    """Four neighbours along l from ``at`` on, weighted."""
    return weights[0] * f[at] + weights[1] * f[at + ONE] + weights[2] * f[at + TWO] + weights[3] * f[at + THREE]


@device_function
def along_k(f, at, row, weights, l_weights):
    """Four such rows along k, weighted."""
    return (
        weights[0] * along_l(f, at, l_weights)
        + weights[1] * along_l(f, at + row, l_weights)
        + weights[2] * along_l(f, at + row + row, l_weights)
        + weights[3] * along_l(f, at + row + row + row, l_weights)
    )


@device_function
def interpolated_factor(factors, image, h, k, l):
    """F between reflections: the tensor product of cubic Lagrange polynomials over 4×4×4 reflections."""
    hf, kf, lf = math.floor(h), math.floor(k), math.floor(l)
    wh, wk, wl = cubic_weights(h - hf), cubic_weights(k - kf), cubic_weights(l - lf)
    first, sizes = image.first, image.sizes
    at = table_index(sizes, int(hf) - 1 - first[0], int(kf) - 1 - first[1], int(lf) - 1 - first[2])
    row, slab = unsigned(sizes[2]), unsigned(sizes[1] * sizes[2])
    return (
        wh[0] * along_k(factors, at, row, wk, wl)
        + wh[1] * along_k(factors, at + slab, row, wk, wl)
        + wh[2] * along_k(factors, at + slab + slab, row, wk, wl)
        + wh[3] * along_k(factors, at + slab + slab + slab, row, wk, wl)
    )


@device_function
def sample_intensity(factors, image, rows, at, q, shape, interpolate, arithmetic):
    """F²·F_latt² in one orientation, and whether the sample lies outside the table."""
    never_zero = NEVER_ZERO if len(arithmetic) == DOUBLE else NEVER_ZERO_SINGLE
    h, k, l = indices_at(rows, at, q)
    whole_h, whole_k, whole_l = h + ROUND_TO_WHOLE, k + ROUND_TO_WHOLE, l + ROUND_TO_WHOLE
    dh = h - (whole_h - ROUND_TO_WHOLE) + never_zero
    dk = k - (whole_k - ROUND_TO_WHOLE) + never_zero
    dl = l - (whole_l - ROUND_TO_WHOLE) + never_zero
    amplitude = lattice_amplitude(image, dh, dk, dl, shape, arithmetic)
    outside = 0
    if len(interpolate) == 0:
        amplitude *= nearest_factor(factors, image, whole_h, whole_k, whole_l)
    elif can_interpolate(image, h, k, l):
        amplitude *= interpolated_factor(factors, image, h, k, l)
    else:
        amplitude *= image.default
        outside = 1
    return amplitude * amplitude, outside


@device_function
def sum_samples(factors, image, rows, count, q, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over the staged orientations, and how many of these samples lie outside the table."""
    total = 0.0
    outside = 0
    at, end = unsigned(0), unsigned(ROW * count)
    while at < end:
        intensity, beyond = sample_intensity(factors, image, rows, at, q, shape, interpolate, arithmetic)
        at = unsigned(at + NEXT)
        total += intensity
        outside += beyond
    return total, outside


adopt_equations(globals())
