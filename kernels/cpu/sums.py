"""The innermost loops of the fast renderer: a source's sum over orientations, for every pixel of a block."""

import numpy as np

from ..choices import SQUARE
from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, cubic_sum, look_up, read, read_back, write
from ..equations.lattice_factor import lattice_sqr, single_phases, square_sqr_single
from ..equations.structure_factor import cubic_weights
from .block import BLOCK, PADDING
from .tables import cubic_corner, inside_table, nearest_place, nearest_place_clamped

PHASE_K, PHASE_L, TURN_H, TURN_K, TURN_L, RATIO_SQR = (np.uint32(n * BLOCK) for n in (1, 2, 3, 4, 5, 6))
"""Rows of a block's phases: δ along h comes first; the turns are Nδ less its nearest whole number."""
ONE, TWO, THREE, FOUR = (np.uint32(n * PADDING) for n in (1, 2, 3, 4))
CORNER, INSIDE, LATTICE, FACTOR = (np.uint32(n * PADDING) for n in (12, 13, 14, 15))
"""Rows of a block's scratch: four weights along h, k and l each come first."""


@internal(forceinline=True)
def sum_orientations(tables, origin, crystal, default, block, count, shape, interpolate, single):
    """Add F²·F_latt² of every orientation to ``block.samples``; the number of samples outside the table."""
    if len(interpolate) == 1:
        return sum_interpolated(tables, origin, crystal, default, block, count, shape)
    if tables.covers:
        sum_nearest(tables, origin, crystal, block, count, shape, single, ())
    else:
        sum_nearest(tables, origin, crystal, block, count, shape, single, (0,))
    return 0.0


@internal(forceinline=True)
def sum_nearest(tables, origin, crystal, block, count, shape, single, clamped):
    """The same with the nearest structure factor, ``clamped`` where the table does not cover the image."""
    if len(shape) == SQUARE and len(single) == 1:
        sum_in_single(tables, origin, crystal, block, count, clamped)
    else:
        sum_in_double(tables, origin, crystal, block, count, shape, clamped)


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
def place_of(tables, origin, h0, k0, l0, clamped):
    """Where a reflection stands in the table, by the look-up that this needs."""
    if len(clamped) == 1:
        place = nearest_place_clamped(tables, origin, h0, k0, l0)
    else:
        place = nearest_place(tables, origin, h0, k0, l0)
    return place


@internal(forceinline=True, fastmath={"contract"})
def sum_in_double(tables, origin, crystal, block, count, shape, clamped):
    """The innermost loops, all in float64."""
    for n in range(tables.cells.shape[0]):
        add_in_double(tables, origin, crystal, n, block, 0, count, shape, clamped)


@internal(forceinline=True, fastmath={"contract"})
def add_in_double(tables, origin, crystal, n, block, first, stop, shape, clamped):
    """Of one orientation, for pixels from ``first`` up to ``stop``."""
    axes = axes_of(tables.cells, n)
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        h, k, l = indices_at(axes, block, p)
        h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
        latt_sqr = lattice_sqr(crystal, h - h0, k - k0, l - l0, shape)
        add_to(block.samples, p, look_up(tables.factors, place_of(tables, origin, h0, k0, l0, clamped)) * latt_sqr)


@internal(forceinline=True, fastmath={"contract"})
def sum_in_single(tables, origin, crystal, block, count, clamped):
    """The same for the square shape with its sines in float32.

    Three loops, because the widest type in a loop decides how many pixels a vector holds: with float64 kept out, the
    sines of twice as many pixels are taken at once.
    """
    for n in range(tables.cells.shape[0]):
        add_in_single(tables, origin, crystal, n, block, 0, count, clamped)


@internal(forceinline=True, fastmath={"contract"})
def add_in_single(tables, origin, crystal, n, block, first, stop, clamped):
    """Of one orientation, for pixels from ``first`` up to ``stop``."""
    phases, places = block.phases, block.places
    na, nb, nc = crystal.cells
    axes = axes_of(tables.cells, n)
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        h, k, l = indices_at(axes, block, p)
        h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
        write(places, p, place_of(tables, origin, h0, k0, l0, clamped))
        dh, mh = single_phases(na, h - h0)
        dk, mk = single_phases(nb, k - k0)
        dl, ml = single_phases(nc, l - l0)
        write(phases, p, dh)
        write(phases, p + PHASE_K, dk)
        write(phases, p + PHASE_L, dl)
        write(phases, p + TURN_H, mh)
        write(phases, p + TURN_K, mk)
        write(phases, p + TURN_L, ml)
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        dh, dk, dl = read_back(phases, p), read_back(phases, p + PHASE_K), read_back(phases, p + PHASE_L)
        mh, mk, ml = read_back(phases, p + TURN_H), read_back(phases, p + TURN_K), read_back(phases, p + TURN_L)
        write(phases, p + RATIO_SQR, square_sqr_single(dh, dk, dl, mh, mk, ml))
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        factor_sqr = look_up(tables.factors, read_back(places, p))
        add_to(block.samples, p, factor_sqr * read_back(phases, p + RATIO_SQR))


@internal(forceinline=True, fastmath={"contract"})
def sum_interpolated(tables, origin, crystal, default, block, count, shape):
    """The same with tricubic interpolation, which takes a few pixels three times.

    First what is alike for all, in vectors of pixels; then each pixel's 64 structure factors, in vectors of eight
    along k and l; then the sum. To gather 64 numbers for a vector of pixels would take three times as long.
    """
    outside = 0.0
    for n in range(tables.cells.shape[0]):
        for first in range(0, count, PADDING):
            outside += add_interpolated(tables, origin, crystal, default, n, block, first, PADDING, shape)
    return outside


@internal(forceinline=True, fastmath={"contract"})
def add_interpolated(tables, origin, crystal, default, n, block, first, count, shape):
    """Of one orientation, for ``count`` pixels from ``first`` on, no more than ``PADDING``."""
    scratch, start = block.scratch, np.uint32(first)
    plane = np.uint32(tables.strides[0])
    outside = 0.0
    axes = axes_of(tables.cells, n)
    for pixel in range(count):
        i = np.uint32(pixel)
        h, k, l = indices_at(axes, block, start + i)
        inside = inside_table(tables, h, k, l)
        hf, kf, lf = np.floor(h), np.floor(k), np.floor(l)
        put_weights(scratch, i, cubic_weights(h - hf))
        put_weights(scratch, i + FOUR, cubic_weights(k - kf))
        put_weights(scratch, i + FOUR + FOUR, cubic_weights(l - lf))
        write(scratch, i + CORNER, cubic_corner(tables, origin, hf, kf, lf) if inside else 0.0)
        write(scratch, i + INSIDE, 1.0 if inside else 0.0)
        latt_sqr = lattice_sqr(crystal, h - np.rint(h), k - np.rint(k), l - np.rint(l), shape)
        write(scratch, i + LATTICE, latt_sqr)
    for pixel in range(count):
        i = np.uint32(pixel)
        wh, wk, wl = weights_at(scratch, i), weights_at(scratch, i + FOUR), weights_at(scratch, i + FOUR + FOUR)
        corner = np.uint32(read_back(scratch, i + CORNER))
        write(scratch, i + FACTOR, cubic_sum(tables.factors, corner, plane, wh, wk, wl))
    for pixel in range(count):
        i = np.uint32(pixel)
        p = start + i
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
