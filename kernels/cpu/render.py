"""The fast renderer: threads take rows, a row goes in blocks of pixels, the innermost loop over the pixels of a block.

The loops are those of ``walk.py``: layer, slow and fast sub-pixel, source, orientation (φ and domain). What
does not depend on the inner ones is hoisted: all orientations are one table, the scattering vector is made once
for a block and source, the factors of a pixel once for a sub-pixel. Every pixel is summed in the same order by one
owner, whatever the number of threads, and blocks are padded to whole SIMD vectors: the bits of a pixel do not depend
on its neighbours.
"""

from typing import NamedTuple

import numpy as np

from ..choices import FLAT, GAUSS, ROUND, SQUARE, TOPHAT, Shape, shape_without_branch
from ..compile.equation import inlined
from ..compile.jit import compiled, internal
from ..compile.memory import add_to, cubic_sum, look_up, read, read_back, take, write
from ..equations.background import background_intensity
from ..equations.orientation import oriented_cells
from ..equations.pixel import flat_position, position, solid_angle
from ..equations.polarization import polarization_factor
from ..equations.scattering import beyond_resolution, scattering_vector, sin_theta_over_lambda
from ..equations.structure_factor import cubic_weights
from ..equations.vectors import dot, length, unit
from .simd import (
    capture,
    cubic_corner,
    gauss_sqr,
    inside_table,
    nearest_place,
    nearest_place_clamped,
    round_sqr,
    single_phases,
    square_sqr,
    square_sqr_single,
    tophat_sqr,
)

BLOCK = 256
"""Pixels in a block: its arrays stay in the first-level cache."""
PADDING = 64
"""Blocks are padded to a multiple of it, so that no loop ends in a scalar remainder."""

PHASE_K, PHASE_L, TURN_H, TURN_K, TURN_L, RATIO_SQR = (np.uint32(n * BLOCK) for n in (1, 2, 3, 4, 5, 6))
"""Rows of a block's phases: δ along h comes first; the turns are Nδ less its nearest whole number."""
ONE, TWO, THREE, FOUR = (np.uint32(n * PADDING) for n in (1, 2, 3, 4))
CORNER, INSIDE, LATTICE, FACTOR = (np.uint32(n * PADDING) for n in (12, 13, 14, 15))
"""Rows of a block's scratch: four weights along h, k and l each come first."""

ONE_CELL = 0
"""Beside the shapes: a square one of one cell, where N = 1 and F_latt = 1: the usual one where F is interpolated."""

MOST_CELLS = 1 << 22
"""Largest table of structure factors that is spread over all indices that an image can meet: 32 MiB."""


class Tables(NamedTuple):
    """What the inner loop reads: made once for an image."""

    cells: np.ndarray
    """a, b, c of every orientation in m (n, 9)."""
    factors: np.ndarray
    """F² (F where interpolated) in h, k, l order, flat, default_F wherever the list has no reflection."""
    sizes: tuple[float, float, float]
    first: tuple[float, float, float]
    """Cells along each axis, no fewer than a cubic takes, and the index of the first."""
    covers: int
    """1: every index that the image can meet is in the table; 0: the list's, with a margin of one all round."""


class Block(NamedTuple):
    """Arrays of one value for each pixel of a block."""

    fast: np.ndarray
    """Fast index of the pixel."""
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    """Direction of the diffracted ray."""
    airpath: np.ndarray
    """Distance from the sample in m."""
    qx: np.ndarray
    qy: np.ndarray
    qz: np.ndarray
    """Scattering vector in 1/m."""
    kept: np.ndarray
    """0 where dmin skips the sample."""
    polar: np.ndarray
    solid: np.ndarray
    capture: np.ndarray
    """Factors of the sample: polarization, solid angle, fraction captured by the layer."""
    first_polar: np.ndarray
    polar_known: np.ndarray
    first_solid: np.ndarray
    captured: np.ndarray
    """Factors of the pixel: those of its first sample, and the sum of the layers' fractions."""
    amorphous: np.ndarray
    """Photons per steradian from the background."""
    samples: np.ndarray
    """Σ F²·F_latt² over the orientations of one source."""
    layer: np.ndarray
    total: np.ndarray
    """The same, weighted, over sources and sub-pixels; and over layers."""
    photons: np.ndarray
    phases: np.ndarray
    places: np.ndarray
    """What :func:`sum_in_single` keeps: float32, and indices into the table of structure factors."""
    scratch: np.ndarray
    """What :func:`sum_interpolated` keeps of ``PADDING`` pixels at a time."""


def variant_of(plan, single):
    """Shape, interpolation, float32 sines, each as a tuple of so many elements: what is not chosen is not compiled."""
    shape = Shape(plan.crystal.shape)
    one_cell = shape == SQUARE and max(plan.crystal.cells) == 1
    codes = (ONE_CELL if one_cell else shape, plan.factors.interpolate > 0, single)
    return tuple((0,) * code for code in codes)


@compiled()
def make_tables(plan, interpolate):
    """Orientations and structure factors, over every index that the image can meet where that is not too many."""
    table, first = plan.factors.table, plan.factors.first
    h, k, l = farthest_indices(plan)
    covers = not interpolate and (2.0 * h + 1.0) * (2.0 * k + 1.0) * (2.0 * l + 1.0) <= MOST_CELLS
    if covers:
        sizes = (2 * int(h) + 1, 2 * int(k) + 1, 2 * int(l) + 1)
        start = (-int(h), -int(k), -int(l))
    else:
        sizes = (max(4, table.shape[0] + 2), max(4, table.shape[1] + 2), max(4, table.shape[2] + 2))
        start = (first[0] - 1, first[1] - 1, first[2] - 1)
    flat = np.full(sizes[0] * sizes[1] * sizes[2], plan.factors.default)
    for i in range(max(0, start[0] - first[0]), min(table.shape[0], start[0] - first[0] + sizes[0])):
        for j in range(max(0, start[1] - first[1]), min(table.shape[1], start[1] - first[1] + sizes[1])):
            row = ((first[0] + i - start[0]) * sizes[1] + first[1] + j - start[1]) * sizes[2] + first[2] - start[2]
            for m in range(max(0, start[2] - first[2]), min(table.shape[2], start[2] - first[2] + sizes[2])):
                flat[row + m] = table[i, j, m]
    if not interpolate:
        for n in range(flat.size):
            flat[n] *= flat[n]
    return Tables(
        oriented_cells(plan.crystal),
        flat,
        (float(sizes[0]), float(sizes[1]), float(sizes[2])),
        (float(start[0]), float(start[1]), float(start[2])),
        int(covers),
    )


@internal()
def farthest_indices(plan):
    """|h|, |k|, |l| that no sample's nearest reflection exceeds, from the corner that scatters farthest."""
    detector, sources = plan.detector, plan.sources
    lowest = 1.0
    for n in range(sources.wavelength.shape[0]):
        incident = (sources.incident[n, 0], sources.incident[n, 1], sources.incident[n, 2])
        for corner in range(8):
            fast = detector.pixel * detector.fast_pixels * (corner & 1)
            slow = detector.pixel * detector.slow_pixels * (corner >> 1 & 1)
            depth = detector.layer_step * detector.layers * (corner >> 2 & 1)
            lowest = min(lowest, dot(unit(flat_position(detector, fast, slow, depth)), incident))
    # The directions within less than a right angle of a source are a convex cone: corners in it, all pixels in it.
    opening = 2.0 - 2.0 * lowest if lowest > 0.0 and detector.surface == FLAT else 4.0
    reach = np.sqrt(opening) / sources.wavelength.min()
    crystal = plan.crystal
    return (
        np.floor(length(crystal.a) * reach + 1.5),
        np.floor(length(crystal.b) * reach + 1.5),
        np.floor(length(crystal.c) * reach + 1.5),
    )


@internal(forceinline=True)
def sum_orientations(tables, crystal, default, block, count, shape, interpolate, single):
    """Add F²·F_latt² of every orientation to ``block.samples``; the number of samples outside the table."""
    if len(interpolate) == 1:
        return sum_interpolated(tables, crystal, default, block, count, shape)
    if tables.covers:
        sum_nearest(tables, crystal, block, count, shape, single, ())
    else:
        sum_nearest(tables, crystal, block, count, shape, single, (0,))
    return 0.0


@internal(forceinline=True)
def sum_nearest(tables, crystal, block, count, shape, single, clamped):
    """The same with the nearest structure factor, ``clamped`` where the table does not cover the image."""
    if len(shape) == SQUARE and len(single) == 1:
        sum_in_single(tables, crystal, block, count, clamped)
    else:
        sum_in_double(tables, crystal, block, count, shape, clamped)


@inlined
def axes_of(cells, n):
    """a, b and c of an orientation."""
    return (
        (cells[n, 0], cells[n, 1], cells[n, 2]),
        (cells[n, 3], cells[n, 4], cells[n, 5]),
        (cells[n, 6], cells[n, 7], cells[n, 8]),
    )


@inlined
def indices_at(axes, block, p):
    """h, k and l of a pixel: the products of its scattering vector with a, b and c."""
    a, b, c = axes
    x, y, z = read(block.qx, p), read(block.qy, p), read(block.qz, p)
    return (
        a[0] * x + a[1] * y + a[2] * z,
        b[0] * x + b[1] * y + b[2] * z,
        c[0] * x + c[1] * y + c[2] * z,
    )


@internal(forceinline=True, fastmath={"contract"})
def place_of(tables, h0, k0, l0, clamped):
    """Where a reflection stands in the table, by the look-up that this needs."""
    if len(clamped) == 1:
        place = nearest_place_clamped(tables, h0, k0, l0)
    else:
        place = nearest_place(tables, h0, k0, l0)
    return place


@internal(forceinline=True, fastmath={"contract"})
def lattice_sqr(crystal, dh, dk, dl, shape):
    """F_latt² of the shape that is chosen."""
    if len(shape) == ONE_CELL:
        latt_sqr = 1.0
    elif len(shape) == ROUND:
        latt_sqr = round_sqr(crystal, dh, dk, dl)
    elif len(shape) == GAUSS:
        latt_sqr = gauss_sqr(crystal, dh, dk, dl)
    elif len(shape) == TOPHAT:
        latt_sqr = tophat_sqr(crystal, dh, dk, dl)
    elif len(shape) == SQUARE:
        latt_sqr = square_sqr(crystal, dh, dk, dl)
    else:
        latt_sqr = shape_without_branch()
    return latt_sqr


@internal(forceinline=True, fastmath={"contract"})
def sum_in_double(tables, crystal, block, count, shape, clamped):
    """The innermost loops, all in float64."""
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, block, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            latt_sqr = lattice_sqr(crystal, h - h0, k - k0, l - l0, shape)
            add_to(block.samples, p, look_up(tables.factors, place_of(tables, h0, k0, l0, clamped)) * latt_sqr)


@internal(forceinline=True, fastmath={"contract"})
def sum_in_single(tables, crystal, block, count, clamped):
    """The same for the square shape with its sines in float32.

    Three loops, because the widest type in a loop decides how many pixels a vector holds: with float64 kept out, the
    sines of twice as many pixels are taken at once.
    """
    phases, places = block.phases, block.places
    na, nb, nc = crystal.cells
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, block, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            write(places, p, place_of(tables, h0, k0, l0, clamped))
            dh, mh = single_phases(na, h - h0)
            dk, mk = single_phases(nb, k - k0)
            dl, ml = single_phases(nc, l - l0)
            write(phases, p, dh)
            write(phases, p + PHASE_K, dk)
            write(phases, p + PHASE_L, dl)
            write(phases, p + TURN_H, mh)
            write(phases, p + TURN_K, mk)
            write(phases, p + TURN_L, ml)
        for pixel in range(count):
            p = np.uint32(pixel)
            dh, dk, dl = read_back(phases, p), read_back(phases, p + PHASE_K), read_back(phases, p + PHASE_L)
            mh, mk, ml = read_back(phases, p + TURN_H), read_back(phases, p + TURN_K), read_back(phases, p + TURN_L)
            write(phases, p + RATIO_SQR, square_sqr_single(dh, dk, dl, mh, mk, ml))
        for pixel in range(count):
            p = np.uint32(pixel)
            factor_sqr = look_up(tables.factors, read_back(places, p))
            add_to(block.samples, p, factor_sqr * read_back(phases, p + RATIO_SQR))


@internal(forceinline=True, fastmath={"contract"})
def sum_interpolated(tables, crystal, default, block, count, shape):
    """The same with tricubic interpolation, which takes a few pixels three times.

    First what is alike for all, in vectors of pixels; then each pixel's 64 structure factors, in vectors of four along
    l; then the sum. To gather 64 numbers for a vector of pixels would take three times as long.
    """
    scratch = block.scratch
    plane, row = np.uint32(tables.sizes[1] * tables.sizes[2]), np.uint32(tables.sizes[2])
    outside = 0.0
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for start in range(0, count, PADDING):
            first = np.uint32(start)
            for pixel in range(PADDING):
                i = np.uint32(pixel)
                h, k, l = indices_at(axes, block, first + i)
                inside = inside_table(tables, h, k, l)
                hf, kf, lf = np.floor(h), np.floor(k), np.floor(l)
                put_weights(scratch, i, cubic_weights(h - hf))
                put_weights(scratch, i + FOUR, cubic_weights(k - kf))
                put_weights(scratch, i + FOUR + FOUR, cubic_weights(l - lf))
                write(scratch, i + CORNER, cubic_corner(tables, hf, kf, lf) if inside else 0.0)
                write(scratch, i + INSIDE, 1.0 if inside else 0.0)
                latt_sqr = lattice_sqr(crystal, h - np.rint(h), k - np.rint(k), l - np.rint(l), shape)
                write(scratch, i + LATTICE, latt_sqr)
            for pixel in range(PADDING):
                i = np.uint32(pixel)
                wh, wk, wl = weights_at(scratch, i), weights_at(scratch, i + FOUR), weights_at(scratch, i + FOUR + FOUR)
                corner = np.uint32(read_back(scratch, i + CORNER))
                write(scratch, i + FACTOR, cubic_sum(tables.factors, corner, plane, row, wh, wk, wl))
            for pixel in range(PADDING):
                i = np.uint32(pixel)
                p = first + i
                inside = read_back(scratch, i + INSIDE) > 0.0
                factor = read_back(scratch, i + FACTOR) if inside else default
                outside += 0.0 if inside else read(block.kept, p)
                add_to(block.samples, p, factor * factor * read_back(scratch, i + LATTICE))
    return outside


@inlined
def put_weights(scratch, at, weights):
    """Keep four weights of a pixel."""
    write(scratch, at, weights[0])
    write(scratch, at + ONE, weights[1])
    write(scratch, at + TWO, weights[2])
    write(scratch, at + THREE, weights[3])


@inlined
def weights_at(scratch, at):
    """The four weights that were kept."""
    return (
        read_back(scratch, at),
        read_back(scratch, at + ONE),
        read_back(scratch, at + TWO),
        read_back(scratch, at + THREE),
    )


@internal(forceinline=True, fastmath={"contract", "arcp"})
def place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast):
    """Directions of one sub-pixel of every pixel, and what depends on them alone."""
    detector = plan.detector
    step = detector.pixel / plan.oversample
    first_of_layer = sub_slow == 0 and sub_fast == 0
    first_of_pixel = layer == 0 and first_of_layer
    depth = layer * detector.layer_step
    at_slow = step * (slow * plan.oversample + sub_slow) + step / 2.0
    if detector.surface == FLAT:
        for pixel in range(count):
            p = np.uint32(pixel)
            at_fast = step * (read(block.fast, p) * plan.oversample + sub_fast) + step / 2.0
            point = flat_position(detector, at_fast, at_slow, depth)
            put_direction(block, p, point)
    else:
        for pixel in range(count):
            p = np.uint32(pixel)
            at_fast = step * (read(block.fast, p) * plan.oversample + sub_fast) + step / 2.0
            put_direction(block, p, position(detector, at_fast, at_slow, depth))
    if first_of_pixel or plan.oversample_omega:
        for pixel in range(count):
            p = np.uint32(pixel)
            write(block.solid, p, solid_angle(detector, read(block.airpath, p)))
    if first_of_pixel:
        copy(block.solid, block.first_solid, count)
    if detector.layer_step > 0.0 and (first_of_layer or plan.oversample_thick):
        for pixel in range(count):
            p = np.uint32(pixel)
            direction = (read(block.x, p), read(block.y, p), read(block.z, p))
            write(block.capture, p, capture(detector, float(layer), direction))
    if first_of_layer:
        for pixel in range(count):
            add_to(block.captured, np.uint32(pixel), read(block.capture, np.uint32(pixel)))


@inlined
def fill(array, value, count):
    """Set the first ``count`` elements."""
    for p in range(count):
        array[p] = value


@inlined
def copy(source, target, count):
    """Copy the first ``count`` elements."""
    for p in range(count):
        target[p] = source[p]


@inlined
def put_direction(block, p, point):
    """Distance of a point from the sample, and the direction in which it is seen."""
    airpath = length(point)
    inverse = 1.0 / airpath
    write(block.x, p, point[0] * inverse)
    write(block.y, p, point[1] * inverse)
    write(block.z, p, point[2] * inverse)
    write(block.airpath, p, airpath)


@internal(forceinline=True, fastmath={"contract", "arcp"})
def scatter(plan, block, count, source, first_of_pixel):
    """Scattering vectors of one source, which samples dmin keeps, and polarization."""
    sources = plan.sources
    incident = (sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2])
    wavelength = sources.wavelength[source]
    for pixel in range(count):
        p = np.uint32(pixel)
        q = scattering_vector((read(block.x, p), read(block.y, p), read(block.z, p)), incident, wavelength)
        write(block.qx, p, q[0])
        write(block.qy, p, q[1])
        write(block.qz, p, q[2])
    if plan.dmin > 0.0:
        for pixel in range(count):
            stol = sin_theta_over_lambda((block.qx[pixel], block.qy[pixel], block.qz[pixel]))
            block.kept[pixel] = 0.0 if beyond_resolution(stol, plan.dmin) else 1.0
    if first_of_pixel and source == 0 and plan.background.scale > 0.0:
        for pixel in range(count):
            stol = sin_theta_over_lambda((block.qx[pixel], block.qy[pixel], block.qz[pixel]))
            block.amorphous[pixel] = background_intensity(plan.background, stol)
    if plan.polarization_correction and ((first_of_pixel and source == 0) or plan.oversample_polar):
        for pixel in range(count):
            p = np.uint32(pixel)
            direction = (read(block.x, p), read(block.y, p), read(block.z, p))
            write(block.polar, p, polarization_factor(plan.kahn, incident, direction, plan.polarization_axis))
    if first_of_pixel and source == 0:
        copy(block.polar, block.first_polar, count)
        if plan.polarization_correction and plan.dmin > 0.0 and not plan.polar_of_skipped:
            fill(block.first_polar, 0.0, count)
    if plan.polarization_correction and plan.dmin > 0.0:
        polarization_of_kept(plan, block, count, incident)


@internal(forceinline=True)
def polarization_of_kept(plan, block, count, incident):
    """A pixel's polarization is that of the first of its samples that dmin keeps."""
    for p in range(count):
        if block.polar_known[p] == 0.0 and block.kept[p] > 0.0:
            direction = (block.x[p], block.y[p], block.z[p])
            block.first_polar[p] = polarization_factor(plan.kahn, incident, direction, plan.polarization_axis)
            block.polar_known[p] = 1.0


@internal(forceinline=True, fastmath={"contract"})
def weigh_samples(plan, block, count, weight):
    """Add one source's samples to the layer, each pixel's with its weight."""
    for pixel in range(count):
        p = np.uint32(pixel)
        factor = weight * read(block.kept, p)
        factor *= read(block.solid, p) if plan.oversample_omega else 1.0
        factor *= read(block.polar, p) if plan.oversample_polar else 1.0
        factor *= read(block.capture, p) if plan.oversample_thick else 1.0
        add_to(block.layer, p, factor * read(block.samples, p))


@internal(forceinline=True, fastmath={"contract"})
def add_layer(plan, block, count):
    """Add a layer to the pixels, with its capture fraction where that is one for the layer."""
    weighted = plan.oversample_thick or plan.last_capture
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(block.total, p, (1.0 if weighted else read(block.capture, p)) * read(block.layer, p))


@internal(forceinline=True, fastmath={"contract"})
def finish_pixels(plan, block, count):
    """From sums of samples to photons."""
    for pixel in range(count):
        p = np.uint32(pixel)
        photons = plan.photons_per_sample * read(block.total, p)
        photons *= 1.0 if plan.oversample_omega else read(block.first_solid, p)
        photons *= 1.0 if plan.oversample_polar else read(block.first_polar, p)
        photons *= read(block.capture, p) if plan.last_capture and not plan.oversample_thick else 1.0
        if not plan.background.in_sum:
            around = read(block.first_solid, p) * read(block.first_polar, p) * read(block.captured, p)
            photons += read(block.amorphous, p) * around
        write(block.photons, p, photons)


@internal(forceinline=True)
def render_block(plan, tables, block, slow, count, stop, shape, interpolate, single):
    """Photons of a block's pixels, into ``block.photons``; the number of samples outside the table."""
    outside = 0.0
    fill(block.total, plan.background.in_sum * background_intensity(plan.background, 0.0), count)
    fill(block.captured, 0.0, count)
    fill(block.amorphous, 0.0, count)
    fill(block.kept, 1.0, count)
    fill(block.polar, 1.0, count)
    fill(block.polar_known, 0.0, count)
    fill(block.capture, 1.0, count)
    for layer in range(plan.detector.layers):
        fill(block.layer, 0.0, count)
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast)
                first_of_pixel = layer == 0 and sub_slow == 0 and sub_fast == 0
                for source in range(plan.sources.wavelength.shape[0]):
                    if stop[0]:
                        break
                    scatter(plan, block, count, source, first_of_pixel)
                    fill(block.samples, 0.0, count)
                    outside += sum_orientations(
                        tables, plan.crystal, plan.factors.default, block, count, shape, interpolate, single
                    )
                    weigh_samples(plan, block, count, plan.sources.weight[source])
        add_layer(plan, block, count)
    finish_pixels(plan, block, count)
    return outside


@internal(forceinline=True)
def choose_pixels(detector, block, slow, fast):
    """Fill ``block.fast`` with pixels to be rendered, from ``fast`` on, padded; how many, and where to go on."""
    last, count = detector.roi[1], 0
    if detector.mask.shape[0] == 0:
        count = min(BLOCK, last + 1 - fast)
        for p in range(count):
            block.fast[p] = fast + p
        fast += count
    else:
        while fast <= last and count < BLOCK:
            if detector.mask[slow, fast]:
                block.fast[count] = fast
                count += 1
            fast += 1
    for p in range(count, padded(count)):
        block.fast[p] = block.fast[count - 1]
    return count, fast


@inlined
def padded(count):
    """The next multiple of ``PADDING``."""
    return (count + PADDING - 1) // PADDING * PADDING


@internal()
def render_row(plan, tables, image, slow, done, stop, shape, interpolate, single):
    """One row of the image, block by block; the number of samples outside the table."""
    detector = plan.detector
    rows = np.empty((21, BLOCK))
    block = Block(
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8], rows[9], rows[10],
        rows[11], rows[12], rows[13], rows[14], rows[15], rows[16], rows[17], rows[18], rows[19], rows[20],
        np.empty(7 * BLOCK, np.float32), np.empty(BLOCK, np.uint32), np.empty(16 * PADDING),
    )  # fmt: skip
    outside = 0.0
    fast = detector.roi[0]
    while fast <= detector.roi[1] and not stop[0]:
        start = fast
        count, fast = choose_pixels(detector, block, slow, start)
        if count > 0:
            outside += render_block(plan, tables, block, slow, padded(count), stop, shape, interpolate, single)
        if count == fast - start:
            for p in range(count):
                image[slow, start + p] = block.photons[p]
        else:
            for p in range(count):
                image[slow, int(block.fast[p])] = block.photons[p]
        done[slow] += fast - start
    return outside


@compiled()
def render(plan, tables, image, taken, done, stop, shape, interpolate, single):
    """Fill rows of ``image`` (slow, fast), float32, until all are taken: the work of one thread of any number.

    Parameters
    ----------
    taken : ndarray of int64 (1,)
        Counts the rows that some thread has begun.
    done : ndarray of int64 (slow,)
        Counts the pixels of each row that are finished.
    stop : ndarray of int64 (1,)
        Set to end early.
    shape, interpolate, single : tuple
        Of :func:`variant_of`; ``single``: sines of the square shape in float32.

    Returns
    -------
    outside : float
        Samples that were to be interpolated but lie outside the table; those that pad the blocks count too.
    """
    outside = 0.0
    first, last = plan.detector.roi[2], plan.detector.roi[3]
    slow = first + take(taken)
    while slow <= last:
        outside += render_row(plan, tables, image, slow, done, stop, shape, interpolate, single)
        slow = first + take(taken)
    return outside
