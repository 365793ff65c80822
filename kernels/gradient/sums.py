"""The innermost loops: a ray's sums over orientations, for every pixel of a block, of photons and of their slopes.

With g = ∂(F²·F_latt²)/∂(h, k, l), what the crystal's variables need is Σ g·hᵀ, nine numbers: dh = dC0·C0⁻¹·h whatever
the orientation. What moves the scattering vector needs u = Σ Mᵀg, three, where h = M·q. A Gaussian spot's width follows
the cell, too: with the nearest reflection in place of h the same nine numbers have both. Each step's g is weighed as
its photons are, so that the nine add up over all rays of a pixel.
"""

import numpy as np

from ..choices import GAUSS
from ..compile.jit import internal
from ..compile.memory import add_to, look_up, read, read_back, write
from ..cpu.sums import axes_of, place_of
from ..equations.lattice_slope import NEAREST_SINGLE, apart, lattice_slopes, square_slopes_single
from .interpolated import sum_interpolated_slopes
from .more import add_more, add_tables, turn_all
from .room import BLOCK, ONE, SAMPLES, TWO, WEIGHT
from .steps import add_direction, add_moments, indices_at, keep_step

COVERED, CLAMPED, INTERPOLATED = range(3)
"""How F is found: in a table that has every index, in a smaller one (as ``place_of`` takes it), between reflections."""
(S_H, S_K, S_L, S_DH, S_DK, S_DL, S_MH, S_MK, S_ML, S_SQR, S_GH, S_GK, S_GL, S_NA, S_NB, S_NC) = (
    np.uint32(n * BLOCK) for n in range(16)
)
"""Rows of what is kept in float32."""


@internal(forceinline=True)
def sum_slopes(tables, origin, plan, change, room, count, shape, look, single, wanted):
    """Add photons and slopes of every orientation to ``room``'s sums; the number of samples outside the table."""
    crystal, outside = plan.crystal, 0.0
    if len(wanted) > 1 and change.sweep.shape[0] > 0:
        turn_all(room, -change.sweep[0], count)
    if len(look) == INTERPOLATED:
        outside = sum_interpolated_slopes(tables, origin, plan, change, room, count, shape, wanted)
    elif len(single) == 1:
        sum_slopes_in_single(tables, origin, crystal, change, room, count, look, wanted)
    else:
        sum_slopes_in_double(tables, origin, crystal, change, room, count, shape, look, wanted)
    return outside


@internal(fastmath={"contract"})
def sum_slopes_in_double(tables, origin, crystal, change, room, count, shape, look, wanted):
    """All in float64."""
    rows, places, factors, follows = room.rows, room.places, tables.factors, change.follows
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, rows, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            place = place_of(tables, origin, h0, k0, l0, look)
            factor_sqr = look_up(factors, place)
            latt_sqr, g, counts = lattice_slopes(crystal, follows, h - h0, k - k0, l - l0, shape)
            add_to(rows, p + SAMPLES, factor_sqr * latt_sqr)
            weight = read(rows, p + WEIGHT)
            photons = factor_sqr * weight
            gh, gk, gl = photons * g[0], photons * g[1], photons * g[2]
            if len(shape) == GAUSS:
                h, k, l = h - follows * (h - h0), k - follows * (k - k0), l - follows * (l - l0)
            add_moments(rows, p, gh, gk, gl, h, k, l)
            if len(wanted) > 0:
                add_direction(rows, p, axes, gh, gk, gl)
            if len(wanted) > 1:
                write(places, p, place)
                counts = photons * counts[0], photons * counts[1], photons * counts[2]
                keep_step(rows, p, (gh, gk, gl), counts, weight * latt_sqr)
        if len(wanted) > 1:
            add_tables(change.tables, rows, places, count)
            add_more(crystal.domains.shape[0], change, room, n, count)


@internal(fastmath={"contract"})
def sum_slopes_in_single(tables, origin, crystal, change, room, count, look, wanted):
    """The same for the square shape with sines and slopes in float32, in three loops as for photons alone."""
    rows, kept, places, factors = room.rows, room.single, room.places, tables.factors
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    fa, fb, fc = np.float32(na), np.float32(nb), np.float32(nc)
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, rows, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            write(places, p, place_of(tables, origin, h0, k0, l0, look))
            write_three(kept, p + S_H, h, k, l)
            keep_phases(kept, p, na, nb, nc, h - h0, k - k0, l - l0)
        for pixel in range(count):
            p = np.uint32(pixel)
            dh, dk, dl = read_three(kept, p + S_DH)
            mh, mk, ml = read_three(kept, p + S_MH)
            latt_sqr, g, counts = square_slopes_single(fa, fb, fc, dh, dk, dl, mh, mk, ml)
            write(kept, p + S_SQR, latt_sqr)
            write_three(kept, p + S_GH, g[0], g[1], g[2])
            if len(wanted) > 1:
                write_three(kept, p + S_NA, counts[0], counts[1], counts[2])
        for pixel in range(count):
            p = np.uint32(pixel)
            factor_sqr, weight = look_up(factors, read_back(places, p)), read(rows, p + WEIGHT)
            latt_sqr = float(read_back(kept, p + S_SQR))
            add_to(rows, p + SAMPLES, factor_sqr * latt_sqr)
            photons = factor_sqr * weight
            g0, g1, g2 = read_three(kept, p + S_GH)
            gh, gk, gl = photons * g0, photons * g1, photons * g2
            h, k, l = read_three(kept, p + S_H)
            add_moments(rows, p, gh, gk, gl, float(h), float(k), float(l))
            if len(wanted) > 0:
                add_direction(rows, p, axes, gh, gk, gl)
            if len(wanted) > 1:
                na1, nb1, nc1 = read_three(kept, p + S_NA)
                keep_step(rows, p, (gh, gk, gl), (photons * na1, photons * nb1, photons * nc1), weight * latt_sqr)
        if len(wanted) > 1:
            add_tables(change.tables, rows, places, count)
            add_more(crystal.domains.shape[0], change, room, n, count)


@internal(forceinline=True, fastmath={"contract"})
def keep_phases(kept, p, na, nb, nc, dh, dk, dl):
    """δ that are apart from 0, and Nδ less its nearest whole number; reduced in float64, so N may be large."""
    dh, dk, dl = apart(na, dh, NEAREST_SINGLE), apart(nb, dk, NEAREST_SINGLE), apart(nc, dl, NEAREST_SINGLE)
    mh, mk, ml = na * dh, nb * dk, nc * dl
    write_three(kept, p + S_DH, dh, dk, dl)
    write_three(kept, p + S_MH, mh - np.rint(mh), mk - np.rint(mk), ml - np.rint(ml))


@internal(forceinline=True)
def write_three(kept, start, x, y, z):
    """Keep three numbers of a pixel as float32, in neighbouring rows."""
    write(kept, start, np.float32(x))
    write(kept, start + ONE, np.float32(y))
    write(kept, start + TWO, np.float32(z))


@internal(forceinline=True)
def read_three(kept, start):
    """The three that were kept."""
    return read_back(kept, start), read_back(kept, start + ONE), read_back(kept, start + TWO)
