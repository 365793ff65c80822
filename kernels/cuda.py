"""The GPU renderer: one thread owns one pixel and goes through the loops of ``reference.py``.

Orientations (φ and domain) are one table, as on the CPU. The threads of a block copy ``ROWS`` of its rows at a time
into shared memory and step through them together; nothing else is shared, nothing is added out of order, so that a
pixel has the same bits every time. A small image leaves threads idle: then the table is cut into parts, each summed by
threads of its own, and a second kernel adds the parts of a pixel in order.

What is not chosen of shapes, interpolation and arithmetic is not compiled (see :func:`choice`).
"""

import math
from typing import NamedTuple

import numpy as np

from .background import background_intensity
from .bits import (
    MOST_CELLS,
    MOST_INDEX,
    MOST_PAIR_INDEX,
    TO_WORDS,
    WHOLE_BITS,
    half_turns,
    high_word,
    low_word,
    nearest_whole,
    packed_pairs,
    reciprocal,
    steps_and_rest,
    unsigned,
    words_of_steps,
    wrapped,
)
from .cuda_provider import adopt_equations, cuda, device_function, kernel
from .lattice_factor import (
    GAUSS_WIDTH,
    NEVER_ZERO,
    NEVER_ZERO_SINGLE,
    SERIES_BELOW,
    SPHERE_VOLUME,
    TOPHAT_RADIUS_SQR,
    index_distance_sqr,
    reciprocal_distance_sqr,
    sphere_series,
)
from .orientation import oriented_cells
from .pixel import capture_fraction, position, solid_angle
from .plan import GAUSS, ROUND, SQUARE, TOPHAT
from .polarization import polarization_factor
from .polynomials import ROUND_TO_WHOLE, cos_pi, sin_pi, sin_pi_single
from .scattering import beyond_resolution, scattering_vector, sin_theta_over_lambda
from .structure_factor import cubic_weights, within
from .vectors import length, scaled

SHAPES = (SQUARE, ROUND, GAUSS, TOPHAT)
"""Those that :func:`lattice_amplitude` knows."""

THREADS = 128
"""Threads in a block."""
ROWS = 128
"""Orientations held in shared memory at a time."""
STAGED = 9 * ROWS
"""Numbers in them: 9 KiB."""
ENOUGH_THREADS = 1 << 18
"""Fewer pixels than this are given several threads each."""

MOST_SAMPLES = 1 << 18
"""Evaluated by a thread in one go: some 50 ms, by counts of instructions, for as many threads as fill a large card."""
FEWEST_ROWS = 16
"""Orientations that a thread sums at least: with fewer, it would be busier with the geometry around them."""
MOST_PARTS = 65535
"""As many as a grid can have along y."""

ONE, TWO, THREE, SIX, NINE = np.uint32(1), np.uint32(2), np.uint32(3), np.uint32(6), np.uint32(9)
"""Steps of an index: with a signed one, every access would ask whether it counts from the end."""

DOUBLE, SINGLE, BITS, PAIRS = 0, 1, 2, 3
"""Arithmetic of the lattice factor: float64; float64 up to the last reduction, then float32; float64 for h, k, l, then
integers and float32; pairs of float32 for h, k, l too."""

INSTRUCTIONS = {DOUBLE: (160, 98), SINGLE: (112, 31), BITS: (102, 12), PAIRS: (164, 0)}
"""Of a step of a square crystal: all, and those on float64 (tests/test_ptx.py counts them)."""
SLOW_DOUBLE = 14
"""From so many float32 operations in the time of a float64 one ``PAIRS`` should beat ``BITS``: a step of one has 164
instructions, none of them on float64, a step of the other waits for 12 on float64."""


class Tables(NamedTuple):
    """What the inner loop reads: made once for an image."""

    cells: np.ndarray
    """a, b, c of every orientation in m, flat (9 n); packed pairs of float32 where the arithmetic is ``PAIRS``."""
    factors: np.ndarray
    """F in h, k, l order, flat, with a margin of default_F all round; float32 unless the arithmetic is ``DOUBLE``."""
    sizes: tuple[int, int, int]
    first: tuple[int, int, int]
    """Cells along each axis and the index of the first, margin included."""


def choice(code):
    """A number as a tuple of that length: its type, so what is not chosen is not compiled."""
    return (0,) * code


def variant_of(plan, arithmetic):
    """Shape, interpolation and arithmetic, each as :func:`choice` has it."""
    if plan.crystal.shape not in SHAPES:
        raise NotImplementedError(f"kernels/cuda.py knows no crystal of shape {plan.crystal.shape}")
    return choice(plan.crystal.shape), choice(int(plan.factors.interpolate > 0)), choice(arithmetic)


def chosen_arithmetic(plan, precision, singles_per_double=2):
    """The arithmetic that serves ``precision`` ("double" or "mixed") for this crystal.

    ``singles_per_double``: how many float32 operations the card does in the time of a float64 one.
    """
    if precision == "double":
        return DOUBLE
    crystal = plan.crystal
    most_index = (
        max(math.hypot(*edge) for edge in (crystal.a, crystal.b, crystal.c)) * 2.0 / plan.sources.wavelength.min()
    )
    fits = max(crystal.cells) <= MOST_CELLS and most_index < MOST_INDEX
    if crystal.shape != SQUARE or plan.factors.interpolate or not fits:
        return SINGLE
    return PAIRS if singles_per_double >= SLOW_DOUBLE and most_index < MOST_PAIR_INDEX else BITS


def make_tables(plan, arithmetic, with_factors=True):
    """Orientations and padded structure factors, on the host; without the latter where the device has them."""
    factors = plan.factors
    padded = np.pad(factors.table, 1, constant_values=factors.default) if with_factors else np.zeros(0)
    nh, nk, nl = factors.table.shape
    cells = oriented_cells(plan.crystal).ravel()
    return Tables(
        packed_pairs(cells) if arithmetic == PAIRS else cells,
        padded.ravel().astype(np.float64 if arithmetic == DOUBLE else np.float32, copy=False),
        (nh + 2, nk + 2, nl + 2),
        (factors.first[0] - 1, factors.first[1] - 1, factors.first[2] - 1),
    )


def rows_per_part(pixels, orientations, samples):
    """How many orientations a thread sums, so that ``pixels`` give enough threads and none runs for too long.

    ``samples``: layers × sub-pixels × sources. The bits of an image depend on the answer, so it depends on nothing
    but the image.
    """
    chunks = -(-orientations // ROWS)
    parts = min(chunks, max(1, ENOUGH_THREADS // pixels))
    rows = min(-(-chunks // parts) * ROWS, max(FEWEST_ROWS, MOST_SAMPLES // samples))
    return rows - rows % (ROWS if rows > ROWS else FEWEST_ROWS)


def least_seconds_per_step(arithmetic, singles_per_double, instructions_per_second):
    """Of a square crystal, if every unit of a card were busy all the time."""
    every, on_float64 = INSTRUCTIONS[arithmetic]
    return max(every, on_float64 * singles_per_double) / instructions_per_second


@device_function
def smaller(a, b):
    """The smaller of two; Numba's own CUDA target cannot compile ``min`` of integers."""
    return a if a < b else b


@device_function
def table_index(tables, i, j, m):
    """Where the reflection at offset i, j, m stands in the flat table; one of the margin if it lies outside."""
    i = smaller(unsigned(i), unsigned(tables.sizes[0] - 1))
    j = smaller(unsigned(j), unsigned(tables.sizes[1] - 1))
    m = smaller(unsigned(m), unsigned(tables.sizes[2] - 1))
    return unsigned((i * unsigned(tables.sizes[1]) + j) * unsigned(tables.sizes[2]) + m)


@device_function
def dot_row(rows, at, q):
    """Scalar product with q of the vector that starts at ``at``."""
    return rows[at] * q[0] + rows[at + ONE] * q[1] + rows[at + TWO] * q[2]


@device_function
def split(x):
    """A float64 as the nearest float32 and what is left."""
    high = np.float32(x)
    return high, np.float32(x - high)


@device_function
def index_words(rows, at, q):
    """h0 + ``WHOLE_BITS`` and the low word of h, for the vector that starts at ``at``."""
    shifted = dot_row(rows, at, q) + TO_WORDS
    low = low_word(shifted)
    return nearest_whole(high_word(shifted), low), low


@device_function
def index_words_of_pairs(rows, at, x, y, z):
    """h0 and the low word of h from packed pairs of float32 and the pairs of q."""
    steps_x, rest_x = steps_and_rest(rows[at], x[0], x[1])
    steps_y, rest_y = steps_and_rest(rows[at + ONE], y[0], y[1])
    steps_z, rest_z = steps_and_rest(rows[at + TWO], z[0], z[1])
    return words_of_steps(steps_x + steps_y + steps_z, rest_x + rest_y + rest_z)


@device_function
def sum_by_bits(tables, crystal, rows, count, q, arithmetic):
    """Σ F²·F_latt² of a block of unit cells over the staged orientations, in integers and float32."""
    na, nb, nc = crystal.cells
    # The constant in the high word is taken off with the index of the first cell.
    offset = WHOLE_BITS if len(arithmetic) == BITS else 0
    first_h, first_k, first_l = tables.first[0] + offset, tables.first[1] + offset, tables.first[2] + offset
    x, y, z = split(q[0]), split(q[1]), split(q[2])
    total = np.float32(0.0)
    at, end = unsigned(0), unsigned(9 * count)
    while at < end:
        if len(arithmetic) == BITS:
            whole_h, low_h = index_words(rows, at, q)
            whole_k, low_k = index_words(rows, at + THREE, q)
            whole_l, low_l = index_words(rows, at + SIX, q)
        else:
            whole_h, low_h = index_words_of_pairs(rows, at, x, y, z)
            whole_k, low_k = index_words_of_pairs(rows, at + THREE, x, y, z)
            whole_l, low_l = index_words_of_pairs(rows, at + SIX, x, y, z)
        at = unsigned(at + NINE)
        index = table_index(tables, whole_h - first_h, whole_k - first_k, whole_l - first_l)
        low_h, low_k, low_l = low_h | 1, low_k | 1, low_l | 1
        numerator = (
            sin_pi_single(half_turns(wrapped(na * low_h)))
            * sin_pi_single(half_turns(wrapped(nb * low_k)))
            * sin_pi_single(half_turns(wrapped(nc * low_l)))
        )
        denominator = (
            sin_pi_single(half_turns(low_h)) * sin_pi_single(half_turns(low_k)) * sin_pi_single(half_turns(low_l))
        )
        amplitude = tables.factors[index] * (numerator * reciprocal(denominator))
        total += amplitude * amplitude
    return float(total)


@device_function
def row_amplitude(numerator, denominator):
    """sin πx over sin πy for both between −½ and ½, evaluated in float32."""
    return sin_pi_single(np.float32(numerator)) * reciprocal(sin_pi_single(np.float32(denominator)))


@device_function
def lattice_amplitude(crystal, dh, dk, dl, shape, arithmetic):
    """F_latt at a distance dh, dk, dl from the nearest reflection, but for its sign."""
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    if len(shape) == SQUARE:
        mh, mk, ml = na * dh, nb * dk, nc * dl
        mh -= (mh + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        mk -= (mk + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        ml -= (ml + ROUND_TO_WHOLE) - ROUND_TO_WHOLE
        if len(arithmetic) == DOUBLE:
            amplitude = sin_pi(mh) * sin_pi(mk) * sin_pi(ml) / (sin_pi(dh) * sin_pi(dk) * sin_pi(dl))
        else:
            amplitude = float(row_amplitude(mh, dh) * row_amplitude(mk, dk) * row_amplitude(ml, dl))
    elif len(shape) == ROUND:
        radius = math.sqrt(index_distance_sqr(crystal, dh, dk, dl) * crystal.fudge)
        turn = radius - ((radius + ROUND_TO_WHOLE) - ROUND_TO_WHOLE)
        angle = math.pi * (radius if radius > 1e-9 else 1e-9)
        closed = 3.0 * (sin_pi(turn) / angle - cos_pi(turn)) / (angle * angle)
        amplitude = na * nb * nc * SPHERE_VOLUME * (sphere_series(angle * angle) if angle < SERIES_BELOW else closed)
    elif len(shape) == GAUSS:
        exponent = -(reciprocal_distance_sqr(crystal, dh, dk, dl) / GAUSS_WIDTH * crystal.fudge)
        if len(arithmetic) == DOUBLE:
            amplitude = na * nb * nc * math.exp(exponent)
        else:
            amplitude = na * nb * nc * math.exp(np.float32(exponent))
    else:
        inside = reciprocal_distance_sqr(crystal, dh, dk, dl) * crystal.fudge < TOPHAT_RADIUS_SQR
        amplitude = na * nb * nc if inside else 0.0
    return amplitude


@device_function
def nearest_factor(tables, h, k, l):
    """F of the reflection at the whole indices that the low words of h, k, l are; the default outside the table."""
    first = tables.first
    index = table_index(tables, low_word(h) - first[0], low_word(k) - first[1], low_word(l) - first[2])
    return float(tables.factors[index])


@device_function
def can_interpolate(tables, h, k, l):
    """Whether tricubic interpolation at h, k, l stays inside the table, margin left out."""
    return (
        within(h, tables.first[0] + 1, tables.sizes[0] - 2)
        and within(k, tables.first[1] + 1, tables.sizes[1] - 2)
        and within(l, tables.first[2] + 1, tables.sizes[2] - 2)
    )


@device_function
def along_l(tables, at, weights):
    """Four neighbours along l from ``at`` on, weighted."""
    f = tables.factors
    return weights[0] * f[at] + weights[1] * f[at + ONE] + weights[2] * f[at + TWO] + weights[3] * f[at + THREE]


@device_function
def along_k(tables, at, weights, l_weights):
    """Four such rows along k, weighted."""
    row = unsigned(tables.sizes[2])
    return (
        weights[0] * along_l(tables, at, l_weights)
        + weights[1] * along_l(tables, at + row, l_weights)
        + weights[2] * along_l(tables, at + row + row, l_weights)
        + weights[3] * along_l(tables, at + row + row + row, l_weights)
    )


@device_function
def interpolated_factor(tables, h, k, l):
    """F between reflections: the tensor product of cubic Lagrange polynomials over 4×4×4 reflections."""
    hf, kf, lf = math.floor(h), math.floor(k), math.floor(l)
    wh, wk, wl = cubic_weights(h - hf), cubic_weights(k - kf), cubic_weights(l - lf)
    first = tables.first
    at = table_index(tables, int(hf) - 1 - first[0], int(kf) - 1 - first[1], int(lf) - 1 - first[2])
    slab = unsigned(tables.sizes[1] * tables.sizes[2])
    return (
        wh[0] * along_k(tables, at, wk, wl)
        + wh[1] * along_k(tables, at + slab, wk, wl)
        + wh[2] * along_k(tables, at + slab + slab, wk, wl)
        + wh[3] * along_k(tables, at + slab + slab + slab, wk, wl)
    )


@device_function
def sum_samples(tables, crystal, default, rows, count, q, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over the staged orientations, and how many of these samples lie outside the table."""
    never_zero = NEVER_ZERO if len(arithmetic) == DOUBLE else NEVER_ZERO_SINGLE
    total = 0.0
    outside = 0
    at, end = unsigned(0), unsigned(9 * count)
    while at < end:
        h, k, l = dot_row(rows, at, q), dot_row(rows, at + THREE, q), dot_row(rows, at + SIX, q)
        at = unsigned(at + NINE)
        whole_h, whole_k, whole_l = h + ROUND_TO_WHOLE, k + ROUND_TO_WHOLE, l + ROUND_TO_WHOLE
        dh = h - (whole_h - ROUND_TO_WHOLE) + never_zero
        dk = k - (whole_k - ROUND_TO_WHOLE) + never_zero
        dl = l - (whole_l - ROUND_TO_WHOLE) + never_zero
        amplitude = lattice_amplitude(crystal, dh, dk, dl, shape, arithmetic)
        if len(interpolate) == 0:
            amplitude *= nearest_factor(tables, whole_h, whole_k, whole_l)
        elif can_interpolate(tables, h, k, l):
            amplitude *= interpolated_factor(tables, h, k, l)
        else:
            amplitude *= default
            outside += 1
        total += amplitude * amplitude
    return total, outside


@device_function
def stage(tables, rows, start, count):
    """Copy rows of the table of orientations into the block's shared memory; every thread takes part."""
    cuda.syncthreads()
    for i in range(cuda.threadIdx.x, 9 * count, cuda.blockDim.x):
        rows[unsigned(i)] = tables.cells[unsigned(9 * start + i)]
    cuda.syncthreads()


@device_function
def sum_orientations(plan, tables, rows, start, stop, q, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over the orientations from ``start`` to ``stop``, and how many samples lie outside the table."""
    total = 0.0
    outside = 0
    for first in range(start, stop, ROWS):
        count = smaller(ROWS, stop - first)
        # A part that fits is staged once for all, by the kernel.
        if stop - start > ROWS:
            stage(tables, rows, first, count)
        if len(arithmetic) >= BITS:
            total += sum_by_bits(tables, plan.crystal, rows, count, q, arithmetic)
        else:
            partial, beyond = sum_samples(
                tables, plan.crystal, plan.factors.default, rows, count, q, shape, interpolate, arithmetic
            )
            total += partial
            outside += beyond
    return total, outside


@device_function
def pixel_value(plan, tables, rows, start, stop, slow, fast, shape, interpolate, arithmetic):
    """Photons in one pixel from some of the orientations, and how many samples lie outside the table.

    The background counts with the first orientation. All threads of a block take every turn of every loop.
    """
    detector, sources, background = plan.detector, plan.sources, plan.background
    step = detector.pixel / plan.oversample
    polar_known = False
    polar = 0.0 if plan.polarization_correction else 1.0
    first_polar = polar
    solid = first_solid = capture = captured = amorphous = 0.0
    outside = 0
    total = background.in_sum * background_intensity(background, 0.0) if start == 0 else 0.0

    for layer in range(detector.layers):
        depth = layer * detector.layer_step
        layer_sum = 0.0
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                first_of_layer = sub_slow == 0 and sub_fast == 0
                first_of_pixel = layer == 0 and first_of_layer
                point = position(
                    detector,
                    step * (fast * plan.oversample + sub_fast) + step / 2.0,
                    step * (slow * plan.oversample + sub_slow) + step / 2.0,
                    depth,
                )
                airpath = length(point)
                diffracted = scaled(point, 1.0 / airpath)
                if first_of_pixel or plan.oversample_omega:
                    solid = solid_angle(detector, airpath)
                if first_of_pixel:
                    first_solid = solid
                if first_of_layer or plan.oversample_thick:
                    capture = capture_fraction(detector, layer, diffracted)
                if first_of_layer:
                    captured += capture

                for source in range(sources.wavelength.shape[0]):
                    incident = (
                        sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2]
                    )  # fmt: skip
                    q = scattering_vector(diffracted, incident, sources.wavelength[source])
                    stol = sin_theta_over_lambda(q)
                    kept = not beyond_resolution(stol, plan.dmin)
                    if first_of_pixel and source == 0:
                        amorphous = background_intensity(background, stol)
                    counts = kept or (plan.polar_of_skipped and first_of_pixel and source == 0)
                    wanted = plan.polarization_correction and (plan.oversample_polar or not polar_known)
                    if counts and wanted:
                        polar = polarization_factor(plan.kahn, incident, diffracted, plan.polarization_axis)
                        if not polar_known:
                            first_polar = polar
                            polar_known = kept

                    weight = sources.weight[source] if kept else 0.0
                    weight *= solid if plan.oversample_omega else 1.0
                    weight *= polar if plan.oversample_polar else 1.0
                    weight *= capture if plan.oversample_thick else 1.0
                    samples, beyond = sum_orientations(
                        plan, tables, rows, start, stop, q, shape, interpolate, arithmetic
                    )
                    layer_sum += weight * samples
                    outside += beyond if kept else 0
        total += layer_sum if plan.oversample_thick or plan.last_capture else capture * layer_sum

    photons = plan.photons_per_sample * total
    photons *= 1.0 if plan.oversample_omega else first_solid
    photons *= 1.0 if plan.oversample_polar else first_polar
    photons *= capture if plan.last_capture and not plan.oversample_thick else 1.0
    if start == 0 and not background.in_sum:
        photons += amorphous * first_solid * first_polar * captured
    return photons, outside


@kernel
def render_pixels(
    plan, tables, first, count, first_part, rows_of_part, photons, outside, shape, interpolate, arithmetic
):
    """Photons of a run of pixels of the roi in raster order, by parts of the table of orientations.

    To be launched with a grid of (blocks for the pixels, parts) and ``THREADS`` threads.

    Parameters
    ----------
    plan : Plan
        Its arrays on the device.
    tables : Tables
        On the device.
    first, count : int
        Number of the first pixel, counted along the roi's rows, and how many.
    first_part : int
        Number of the first part.
    rows_of_part : int
        Of :func:`rows_per_part`.
    photons : device array of float64 (parts · count or more)
        Written, one part after the other.
    outside : device array of int64, of the same shape
        Samples outside the table; written where F is interpolated, else left alone, of whatever shape.
    shape, interpolate, arithmetic : tuple
        Of :func:`choice`.
    """
    rows = cuda.shared.array(STAGED, np.float64)
    detector = plan.detector
    pixel = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    start = (first_part + cuda.blockIdx.y) * rows_of_part
    stop = smaller(start + rows_of_part, tables.cells.shape[0] // 9)
    if stop - start <= ROWS:
        stage(tables, rows, start, stop - start)
    width = detector.roi[1] - detector.roi[0] + 1
    # Threads beyond the last pixel copy and wait with the others of their block.
    number = first + smaller(pixel, count - 1)
    slow, fast = detector.roi[2] + number // width, detector.roi[0] + number % width
    value, beyond = pixel_value(plan, tables, rows, start, stop, slow, fast, shape, interpolate, arithmetic)
    if pixel < count:
        at = cuda.blockIdx.y * count + pixel
        rendered = detector.mask.shape[0] == 0 or detector.mask[slow, fast] != 0
        photons[at] = value if rendered else 0.0
        if len(interpolate) > 0:
            outside[at] = beyond if rendered else 0


@kernel
def add_parts(photons, outside, count, parts, goes_on, sums, beyond, image, interpolate):
    """Add parts of ``photons`` in order to those before, into ``sums`` and float32 ``image``; likewise ``outside``.

    Whether they came in one launch or several changes no bit: ``goes_on`` is 0 for the first launch of a pixel.
    """
    pixel = cuda.grid(1)
    if pixel < count:
        total = sums[pixel] if goes_on else 0.0
        for part in range(parts):
            total += photons[part * count + pixel]
        sums[pixel] = total
        image[pixel] = total
        if len(interpolate) > 0:
            samples = beyond[pixel] if goes_on else 0
            for part in range(parts):
                samples += outside[part * count + pixel]
            beyond[pixel] = samples


adopt_equations(globals())
