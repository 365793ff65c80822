"""The same sums with tricubic interpolation: F has slopes of its own, by the derivatives of the cubics' weights."""

import numpy as np

from ..choices import GAUSS
from ..compile.jit import internal
from ..compile.memory import add_to, cubic_sum, read, read_back, write
from ..cpu.sums import axes_of
from ..cpu.tables import cubic_corner, inside_table
from ..equations.lattice_slope import lattice_slopes
from ..equations.structure_factor import cubic_slopes, cubic_weights
from .change import TABLES
from .more import add_more
from .room import (
    CORNER,
    D_H,
    D_K,
    D_L,
    FACTOR,
    FACTOR_H,
    FACTOR_K,
    FACTOR_L,
    GH,
    GK,
    GL,
    INSIDE,
    NA,
    NB,
    NC,
    ONE,
    SAMPLES,
    SQR,
    THREE,
    TWO,
    W_H,
    W_K,
    W_L,
    WEIGHT,
    column_at,
)
from .steps import add_direction, add_moments, indices_at, keep_step


@internal()
def sum_interpolated_slopes(tables, origin, plan, change, room, count, shape, wanted):
    """Three loops, as for photons alone; the number of samples outside the table."""
    crystal, rows, factors, outside = plan.crystal, room.rows, tables.factors, 0.0
    plane = np.uint32(tables.strides[0])
    for n in range(tables.cells.shape[0]):
        axes = axes_of(tables.cells, n)
        put_cubics(tables, origin, crystal, change.follows, rows, axes, count, shape)
        outside += put_factors(factors, plane, plan.factors.default, rows, count)
        if len(wanted) > 1:
            add_interpolated_tables(change, plane, rows, count)
        add_interpolated(rows, axes, change.follows, count, shape, wanted)
        if len(wanted) > 1:
            add_more(crystal.domains.shape[0], change, room, n, count)
    return outside


@internal(fastmath={"contract"})
def put_cubics(tables, origin, crystal, follows, rows, axes, count, shape):
    """What is alike for all pixels: weights of the cubics, their slopes, where they begin; the lattice's factor."""
    for pixel in range(count):
        p = np.uint32(pixel)
        h, k, l = indices_at(axes, rows, p)
        inside = inside_table(tables, h, k, l)
        hf, kf, lf = np.floor(h), np.floor(k), np.floor(l)
        put_cubic(rows, p + W_H, p + D_H, h - hf)
        put_cubic(rows, p + W_K, p + D_K, k - kf)
        put_cubic(rows, p + W_L, p + D_L, l - lf)
        write(rows, p + CORNER, cubic_corner(tables, origin, hf, kf, lf) if inside else 0.0)
        write(rows, p + INSIDE, 1.0 if inside else 0.0)
        latt_sqr, g, counts = lattice_slopes(crystal, follows, h - np.rint(h), k - np.rint(k), l - np.rint(l), shape)
        keep_step(rows, p, g, counts, latt_sqr)


@internal(forceinline=True, fastmath={"contract"})
def put_cubic(rows, weights, slopes, t):
    """Four weights of a cubic and their slopes."""
    w, d = cubic_weights(t), cubic_slopes(t)
    write(rows, weights, w[0])
    write(rows, weights + ONE, w[1])
    write(rows, weights + TWO, w[2])
    write(rows, weights + THREE, w[3])
    write(rows, slopes, d[0])
    write(rows, slopes + ONE, d[1])
    write(rows, slopes + TWO, d[2])
    write(rows, slopes + THREE, d[3])


@internal(forceinline=True)
def four_at(rows, at):
    """Four that were kept."""
    return read_back(rows, at), read_back(rows, at + ONE), read_back(rows, at + TWO), read_back(rows, at + THREE)


@internal(fastmath={"contract"})
def put_factors(factors, plane, default, rows, count):
    """F of each pixel, and 2F·F_latt² times its slopes; the number of samples outside the table."""
    outside = 0.0
    for pixel in range(count):
        p = np.uint32(pixel)
        inside = read_back(rows, p + INSIDE) > 0.0
        wh, wk, wl = four_at(rows, p + W_H), four_at(rows, p + W_K), four_at(rows, p + W_L)
        corner = np.uint32(read_back(rows, p + CORNER))
        factor = cubic_sum(factors, corner, plane, wh, wk, wl) if inside else default
        outside += 0.0 if inside else 1.0
        write(rows, p + FACTOR, factor)
        twice = 2.0 * factor * read_back(rows, p + SQR) if inside else 0.0
        write(rows, p + FACTOR_H, twice * cubic_sum(factors, corner, plane, four_at(rows, p + D_H), wk, wl))
        write(rows, p + FACTOR_K, twice * cubic_sum(factors, corner, plane, wh, four_at(rows, p + D_K), wl))
        write(rows, p + FACTOR_L, twice * cubic_sum(factors, corner, plane, wh, wk, four_at(rows, p + D_L)))
    return outside


@internal(fastmath={"contract"})
def add_interpolated(rows, axes, follows, count, shape, wanted):
    """The sums; what is kept is weighed, too, for those that few parameters need."""
    for pixel in range(count):
        p = np.uint32(pixel)
        h, k, l = indices_at(axes, rows, p)
        factor, weight, latt_sqr = read_back(rows, p + FACTOR), read(rows, p + WEIGHT), read_back(rows, p + SQR)
        add_to(rows, p + SAMPLES, factor * factor * latt_sqr)
        photons = weight * factor * factor
        lh, lk, ll = (
            photons * read_back(rows, p + GH),
            photons * read_back(rows, p + GK),
            photons * read_back(rows, p + GL),
        )
        gh = lh + weight * read_back(rows, p + FACTOR_H)
        gk = lk + weight * read_back(rows, p + FACTOR_K)
        gl = ll + weight * read_back(rows, p + FACTOR_L)
        add_moments(rows, p, gh, gk, gl, h, k, l)
        if len(shape) == GAUSS and follows > 0.0:
            # The lattice's part is with the nearest reflection in place of h, that of F is not.
            add_moments(rows, p, lh, lk, ll, np.rint(h) - h, np.rint(k) - k, np.rint(l) - l)
        if len(wanted) > 0:
            add_direction(rows, p, axes, gh, gk, gl)
        if len(wanted) > 1:
            na, nb, nc = read_back(rows, p + NA), read_back(rows, p + NB), read_back(rows, p + NC)
            keep_step(rows, p, (gh, gk, gl), (photons * na, photons * nb, photons * nc), weight * latt_sqr)


@internal(fastmath={"contract"})
def add_interpolated_tables(change, plane, rows, count):
    """Σ 2F·dF·F_latt² of every table."""
    for number in range(change.tables.shape[0]):
        table, target = change.tables[number], column_at(TABLES + number)
        for pixel in range(count):
            p = np.uint32(pixel)
            wh, wk, wl = four_at(rows, p + W_H), four_at(rows, p + W_K), four_at(rows, p + W_L)
            moved = cubic_sum(table, np.uint32(read_back(rows, p + CORNER)), plane, wh, wk, wl)
            moved = moved if read_back(rows, p + INSIDE) > 0.0 else change.defaults[number]
            photons = read(rows, p + WEIGHT) * read_back(rows, p + SQR)
            add_to(rows, p + target, 2.0 * read_back(rows, p + FACTOR) * moved * photons)
