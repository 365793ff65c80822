"""The innermost loops: a source's sums over orientations, for every pixel of a block, of photons and of their slopes.

With g = ∂(F²·F_latt²)/∂(h, k, l), what the crystal's variables need is Σ g·hᵀ, nine numbers: dh = dC0·C0⁻¹·h whatever
the orientation. What moves the scattering vector needs u = Σ Mᵀg, three, where h = M·q. A Gaussian spot's width follows
the cell, too: with the nearest reflection in place of h the same nine numbers have both.
"""

import numpy as np

from ..choices import SQUARE
from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, cubic_sum, look_up, read, read_back, write
from ..cpu.block import PADDING
from ..cpu.sums import axes_of, indices_at, place_of
from ..cpu.tables import cubic_corner, inside_table
from ..equations.lattice_slope import NEAREST_SINGLE, apart, lattice_slopes, square_slopes_single
from ..equations.structure_factor import cubic_slopes, cubic_weights

BLOCK = 64
"""Pixels in a block: fewer than for photons alone, so that their many numbers stay in the first-level cache."""
MOMENTS, DIRECTION, CELL_COUNTS, DOMAINS, STEPS, FACTORS = 0, 9, 12, 15, 16, 17
"""Rows of a ray's sums: Σ g·hᵀ; Σ Mᵀg; by the number of cells; by the mosaic spread; by φ; by each table of F."""
SINGLE_ROWS, SCRATCH_ROWS = 16, 33
"""Of what is kept from one loop to the next."""

M0, M1, M2, M3, M4, M5, M6, M7, M8, U0, U1, U2, N0, N1, N2, SPREAD_ROW, STEP_ROW = (
    np.uint32(n * BLOCK) for n in range(17)
)
(S_H, S_K, S_L, S_DH, S_DK, S_DL, S_MH, S_MK, S_ML, S_SQR, S_GH, S_GK, S_GL, S_NA, S_NB, S_NC) = (
    np.uint32(n * BLOCK) for n in range(16)
)
"""Rows of what is kept in float32."""


@internal(forceinline=True)
def sum_slopes(tables, origin, plan, change, room, count, shape, interpolate, single, wanted):
    """Add photons and slopes of every orientation to ``room``'s sums; the number of samples outside the table."""
    if len(interpolate) == 1:
        return sum_interpolated_slopes(tables, origin, plan, change, room, count, shape, wanted)
    if tables.covers:
        sum_nearest_slopes(tables, origin, plan, change, room, count, shape, single, wanted, ())
    else:
        sum_nearest_slopes(tables, origin, plan, change, room, count, shape, single, wanted, (0,))
    return 0.0


@internal(forceinline=True)
def sum_nearest_slopes(tables, origin, plan, change, room, count, shape, single, wanted, clamped):
    """The same with the nearest structure factor, ``clamped`` where the table does not cover the image."""
    if len(shape) == SQUARE and len(single) == 1:
        sum_slopes_in_single(tables, origin, plan, change, room, count, wanted, clamped)
    else:
        sum_slopes_in_double(tables, origin, plan, change, room, count, shape, wanted, clamped)


@internal(forceinline=True, fastmath={"contract"})
def sum_slopes_in_double(tables, origin, plan, change, room, count, shape, wanted, clamped):
    """All in float64."""
    crystal, follows, block, sums = plan.crystal, change.follows, room.block, room.sums
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, block, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            dh, dk, dl = h - h0, k - k0, l - l0
            place = place_of(tables, origin, h0, k0, l0, clamped)
            factor_sqr = look_up(tables.factors, place)
            latt_sqr, gh, gk, gl, na, nb, nc = lattice_slopes(crystal, follows, dh, dk, dl, shape)
            gh, gk, gl = factor_sqr * gh, factor_sqr * gk, factor_sqr * gl
            add_to(block.samples, p, factor_sqr * latt_sqr)
            add_moments(sums, p, gh, gk, gl, h - follows * dh, k - follows * dk, l - follows * dl)
            if len(wanted.geometry) == 1:
                add_direction(sums, p, axes, gh, gk, gl)
            if len(wanted.cells) == 1:
                add_counts(sums, p, factor_sqr, na, nb, nc)
            if len(wanted.spread) == 1:
                add_spread(sums, p, axes_of(change.spread, n), block, gh, gk, gl)
            if len(wanted.tables) == 1:
                write(room.block.places, p, place)
                write(room.latt_sqr, p, latt_sqr)
        if len(wanted.tables) == 1:
            add_tables(change.tables, room, count)
        if len(wanted.sweep) == 1:
            add_step(plan.crystal, change.sweep, room, n, count)


@internal(forceinline=True, fastmath={"contract"})
def sum_slopes_in_single(tables, origin, plan, change, room, count, wanted, clamped):
    """The same for the square shape with sines and slopes in float32, in three loops as for photons alone."""
    crystal, block, sums, kept = plan.crystal, room.block, room.sums, room.single
    na, nb, nc = float(crystal.cells[0]), float(crystal.cells[1]), float(crystal.cells[2])
    fa, fb, fc = np.float32(na), np.float32(nb), np.float32(nc)
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        for pixel in range(count):
            p = np.uint32(pixel)
            h, k, l = indices_at(axes, block, p)
            h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
            write(room.block.places, p, place_of(tables, origin, h0, k0, l0, clamped))
            dh, dk = apart(na, h - h0, NEAREST_SINGLE), apart(nb, k - k0, NEAREST_SINGLE)
            dl = apart(nc, l - l0, NEAREST_SINGLE)
            mh, mk, ml = na * dh, nb * dk, nc * dl
            write_three(kept, p, S_H, S_K, S_L, h, k, l)
            write_three(kept, p, S_DH, S_DK, S_DL, dh, dk, dl)
            write_three(kept, p, S_MH, S_MK, S_ML, mh - np.rint(mh), mk - np.rint(mk), ml - np.rint(ml))
        for pixel in range(count):
            p = np.uint32(pixel)
            dh, dk, dl = read_back(kept, p + S_DH), read_back(kept, p + S_DK), read_back(kept, p + S_DL)
            mh, mk, ml = read_back(kept, p + S_MH), read_back(kept, p + S_MK), read_back(kept, p + S_ML)
            latt_sqr, gh, gk, gl, ga, gb, gc = square_slopes_single(fa, fb, fc, dh, dk, dl, mh, mk, ml)
            write(kept, p + S_SQR, latt_sqr)
            write_three(kept, p, S_GH, S_GK, S_GL, gh, gk, gl)
            if len(wanted.cells) == 1:
                write_three(kept, p, S_NA, S_NB, S_NC, ga, gb, gc)
        for pixel in range(count):
            p = np.uint32(pixel)
            factor_sqr = look_up(tables.factors, read_back(room.block.places, p))
            add_to(block.samples, p, factor_sqr * read_back(kept, p + S_SQR))
            gh = factor_sqr * read_back(kept, p + S_GH)
            gk = factor_sqr * read_back(kept, p + S_GK)
            gl = factor_sqr * read_back(kept, p + S_GL)
            h, k, l = float(read_back(kept, p + S_H)), float(read_back(kept, p + S_K)), float(read_back(kept, p + S_L))
            add_moments(sums, p, gh, gk, gl, h, k, l)
            if len(wanted.geometry) == 1:
                add_direction(sums, p, axes, gh, gk, gl)
            if len(wanted.cells) == 1:
                ga, gb, gc = read_back(kept, p + S_NA), read_back(kept, p + S_NB), read_back(kept, p + S_NC)
                add_counts(sums, p, factor_sqr, float(ga), float(gb), float(gc))
            if len(wanted.spread) == 1:
                add_spread(sums, p, axes_of(change.spread, n), block, gh, gk, gl)
            if len(wanted.tables) == 1:
                write(room.latt_sqr, p, float(read_back(kept, p + S_SQR)))
        if len(wanted.tables) == 1:
            add_tables(change.tables, room, count)
        if len(wanted.sweep) == 1:
            add_step(plan.crystal, change.sweep, room, n, count)


@inlined
def write_three(array, p, first, second, third, x, y, z):
    """Keep three numbers of a pixel as float32."""
    write(array, p + first, np.float32(x))
    write(array, p + second, np.float32(y))
    write(array, p + third, np.float32(z))


@inlined
def add_moments(sums, p, gh, gk, gl, h, k, l):
    """Σ g·hᵀ."""
    add_to(sums, p + M0, gh * h)
    add_to(sums, p + M1, gh * k)
    add_to(sums, p + M2, gh * l)
    add_to(sums, p + M3, gk * h)
    add_to(sums, p + M4, gk * k)
    add_to(sums, p + M5, gk * l)
    add_to(sums, p + M6, gl * h)
    add_to(sums, p + M7, gl * k)
    add_to(sums, p + M8, gl * l)


@inlined
def add_direction(sums, p, axes, gh, gk, gl):
    """Σ Mᵀg, in m."""
    a, b, c = axes
    add_to(sums, p + U0, a[0] * gh + b[0] * gk + c[0] * gl)
    add_to(sums, p + U1, a[1] * gh + b[1] * gk + c[1] * gl)
    add_to(sums, p + U2, a[2] * gh + b[2] * gk + c[2] * gl)


@inlined
def add_counts(sums, p, factor_sqr, na, nb, nc):
    """What :func:`lattice_slopes` gives besides."""
    add_to(sums, p + N0, factor_sqr * na)
    add_to(sums, p + N1, factor_sqr * nb)
    add_to(sums, p + N2, factor_sqr * nc)


@inlined
def add_spread(sums, p, turned, block, gh, gk, gl):
    """Σ g·dh of a domain that is turned on."""
    h, k, l = indices_at(turned, block, p)
    add_to(sums, p + SPREAD_ROW, gh * h + gk * k + gl * l)


@internal(forceinline=True, fastmath={"contract"})
def add_tables(tables, room, count):
    """Σ dF²·F_latt² of every table."""
    for number in range(tables.shape[0]):
        table, row = tables[number], np.uint32((FACTORS + number) * BLOCK)
        for pixel in range(count):
            p = np.uint32(pixel)
            add_to(room.sums, p + row, look_up(table, read_back(room.block.places, p)) * read_back(room.latt_sqr, p))


@internal(forceinline=True, fastmath={"contract"})
def add_step(crystal, sweep, room, n, count):
    """At the end of a φ step: what the crystal's turning gives by then, times by how much less the next step turns.

    So every step's own part has its ``sweep`` at the end.
    """
    domains = crystal.domains.shape[0]
    if (n + 1) % domains != 0:
        return
    step = n // domains
    less = sweep[step] - (sweep[step + 1] if step + 1 < sweep.shape[0] else 0.0)
    turn, sums = room.turn, room.sums
    for row in range(9):
        weight, start = less * turn[row], np.uint32(row * BLOCK)
        for pixel in range(count):
            p = np.uint32(pixel)
            add_to(sums, p + STEP_ROW, weight * read_back(sums, p + start))


W_H, W_K, W_L, D_H, D_K, D_L = (np.uint32(n * PADDING) for n in (0, 4, 8, 12, 16, 20))
I_CORNER, I_INSIDE, I_SQR, I_GH, I_GK, I_GL, I_NA, I_NB, I_NC = (np.uint32(n * PADDING) for n in range(24, 33))
ONE, TWO, THREE = (np.uint32(n * PADDING) for n in (1, 2, 3))


@internal(forceinline=True, fastmath={"contract"})
def sum_interpolated_slopes(tables, origin, plan, change, room, count, shape, wanted):
    """With tricubic interpolation: F has slopes of its own, by the derivatives of the cubics' weights."""
    crystal, follows, block, sums, kept = plan.crystal, change.follows, room.block, room.sums, room.scratch
    plane, row = np.uint32(tables.strides[0]), np.uint32(tables.strides[1])
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
                put_four(kept, i + W_H, cubic_weights(h - hf))
                put_four(kept, i + W_K, cubic_weights(k - kf))
                put_four(kept, i + W_L, cubic_weights(l - lf))
                put_four(kept, i + D_H, cubic_slopes(h - hf))
                put_four(kept, i + D_K, cubic_slopes(k - kf))
                put_four(kept, i + D_L, cubic_slopes(l - lf))
                write(kept, i + I_CORNER, cubic_corner(tables, origin, hf, kf, lf) if inside else 0.0)
                write(kept, i + I_INSIDE, 1.0 if inside else 0.0)
                slopes = lattice_slopes(crystal, follows, h - np.rint(h), k - np.rint(k), l - np.rint(l), shape)
                latt_sqr, gh, gk, gl, na, nb, nc = slopes
                write(kept, i + I_SQR, latt_sqr)
                write(kept, i + I_GH, gh)
                write(kept, i + I_GK, gk)
                write(kept, i + I_GL, gl)
                write(kept, i + I_NA, na)
                write(kept, i + I_NB, nb)
                write(kept, i + I_NC, nc)
            for pixel in range(PADDING):
                i = np.uint32(pixel)
                p = first + i
                inside = read_back(kept, i + I_INSIDE) > 0.0
                factor, fh, fk, fl = cubic_and_slopes(tables.factors, plane, row, kept, i)
                factor = factor if inside else plan.factors.default
                outside += 0.0 if inside else read(block.kept, p)
                write(room.factor, p, factor)
                twice = 2.0 * factor * read_back(kept, i + I_SQR) if inside else 0.0
                write(room.factor_h, p, twice * fh)
                write(room.factor_k, p, twice * fk)
                write(room.factor_l, p, twice * fl)
            for pixel in range(PADDING):
                i = np.uint32(pixel)
                p = first + i
                h, k, l = indices_at(axes, block, p)
                factor = read_back(room.factor, p)
                factor_sqr = factor * factor
                fh, fk, fl = read_back(room.factor_h, p), read_back(room.factor_k, p), read_back(room.factor_l, p)
                lh, lk, ll = read_back(kept, i + I_GH), read_back(kept, i + I_GK), read_back(kept, i + I_GL)
                gh, gk, gl = factor_sqr * lh + fh, factor_sqr * lk + fk, factor_sqr * ll + fl
                add_to(block.samples, p, factor_sqr * read_back(kept, i + I_SQR))
                add_moments(sums, p, gh, gk, gl, h, k, l)
                if follows > 0.0:
                    # The lattice's part is with the nearest reflection in place of h, that of F is not.
                    dh, dk, dl = np.rint(h) - h, np.rint(k) - k, np.rint(l) - l
                    add_moments(sums, p, factor_sqr * lh, factor_sqr * lk, factor_sqr * ll, dh, dk, dl)
                if len(wanted.geometry) == 1:
                    add_direction(sums, p, axes, gh, gk, gl)
                if len(wanted.cells) == 1:
                    na, nb, nc = read_back(kept, i + I_NA), read_back(kept, i + I_NB), read_back(kept, i + I_NC)
                    add_counts(sums, p, factor_sqr, na, nb, nc)
                if len(wanted.spread) == 1:
                    add_spread(sums, p, axes_of(change.spread, n), block, gh, gk, gl)
            if len(wanted.tables) == 1:
                add_interpolated_tables(tables, change, room, start)
        if len(wanted.sweep) == 1:
            add_step(plan.crystal, change.sweep, room, n, count)
    return outside


@inlined
def put_four(array, at, values):
    """Keep four numbers of a pixel."""
    write(array, at, values[0])
    write(array, at + ONE, values[1])
    write(array, at + TWO, values[2])
    write(array, at + THREE, values[3])


@inlined
def four_at(array, at):
    """The four that were kept."""
    return (read_back(array, at), read_back(array, at + ONE), read_back(array, at + TWO), read_back(array, at + THREE))


@inlined
def cubic_and_slopes(factors, plane, row, kept, i):
    """F of a pixel and its three slopes, of weights that are kept."""
    wh, wk, wl = four_at(kept, i + W_H), four_at(kept, i + W_K), four_at(kept, i + W_L)
    corner = np.uint32(read_back(kept, i + I_CORNER))
    return (
        cubic_sum(factors, corner, plane, row, wh, wk, wl),
        cubic_sum(factors, corner, plane, row, four_at(kept, i + D_H), wk, wl),
        cubic_sum(factors, corner, plane, row, wh, four_at(kept, i + D_K), wl),
        cubic_sum(factors, corner, plane, row, wh, wk, four_at(kept, i + D_L)),
    )


@internal(forceinline=True, fastmath={"contract"})
def add_interpolated_tables(tables, change, room, start):
    """Σ 2F·dF·F_latt² of every table, of the pixels whose weights are kept."""
    kept, first = room.scratch, np.uint32(start)
    plane, row = np.uint32(tables.strides[0]), np.uint32(tables.strides[1])
    for number in range(change.tables.shape[0]):
        table, sum_row = change.tables[number], np.uint32((FACTORS + number) * BLOCK)
        for pixel in range(PADDING):
            i = np.uint32(pixel)
            p = first + i
            wh, wk, wl = four_at(kept, i + W_H), four_at(kept, i + W_K), four_at(kept, i + W_L)
            moved = cubic_sum(table, np.uint32(read_back(kept, i + I_CORNER)), plane, row, wh, wk, wl)
            moved = moved if read_back(kept, i + I_INSIDE) > 0.0 else change.defaults[number]
            factor_sqr_moved = 2.0 * read_back(room.factor, p) * moved
            add_to(room.sums, p + sum_row, factor_sqr_moved * read_back(kept, i + I_SQR))
