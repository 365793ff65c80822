"""The equations of the innermost loop in a form that vectorizes: without branches, libraries or exceptions.

Each is the twin of a plain equation of ``lattice_factor.py`` or ``structure_factor.py``, of which it gives the
square; the tests hold the two together. δh, δk, δl are the distances from the nearest reflection.
"""

import numpy as np

from ..compile.equation import inlined
from ..compile.polynomials import cos_pi, exp_clamped, sin_pi, sin_pi_single
from ..equations.lattice_factor import (
    GAUSS_WIDTH,
    NEVER_ZERO,
    SERIES_BELOW,
    SMALLEST_SINGLE,
    SPHERE_VOLUME,
    TOPHAT_RADIUS_SQR,
    index_distance_sqr,
    reciprocal_distance_sqr,
    sphere_series,
)
from ..equations.vectors import dot


@inlined
def square_sqr(crystal, dh, dk, dl):
    """(Π sin πNδ / sin πδ)², in float64."""
    na, nb, nc = crystal.cells
    dh, dk, dl = dh + NEVER_ZERO, dk + NEVER_ZERO, dl + NEVER_ZERO
    mh, mk, ml = na * dh, nb * dk, nc * dl
    numerator = sin_pi(mh - np.rint(mh)) * sin_pi(mk - np.rint(mk)) * sin_pi(ml - np.rint(ml))
    ratio = numerator / (sin_pi(dh) * sin_pi(dk) * sin_pi(dl))
    return ratio * ratio


@inlined
def single_phases(cells, delta):
    """|δ|, and N|δ| less its nearest whole number, in float32; reduced in float64 first, so N may be large."""
    delta = max(abs(delta), SMALLEST_SINGLE)
    turns = cells * delta
    return np.float32(delta), np.float32(turns - np.rint(turns))


@inlined
def square_sqr_single(dh, dk, dl, mh, mk, ml):
    """(Π sin πNδ / sin πδ)² of three :func:`single_phases`, in float32."""
    numerator = sin_pi_single(mh) * sin_pi_single(mk) * sin_pi_single(ml)
    ratio = numerator / (sin_pi_single(dh) * sin_pi_single(dk) * sin_pi_single(dl))
    return ratio * ratio


@inlined
def round_sqr(crystal, dh, dk, dl):
    """(N · 3(sin x/x − cos x)/x²)²; sin and cos of x = π·radius share a sign that the square loses."""
    radius_sqr = index_distance_sqr(crystal, dh, dk, dl) * crystal.fudge
    radius = np.sqrt(radius_sqr)
    x = np.pi * max(radius, 1e-9)
    turn = radius - np.rint(radius)
    closed = 3.0 * (sin_pi(turn) / x - cos_pi(turn)) / (x * x)
    series = sphere_series(np.pi * np.pi * radius_sqr)
    amplitude = peak(crystal) * SPHERE_VOLUME * (series if x < SERIES_BELOW else closed)
    return amplitude * amplitude


@inlined
def gauss_sqr(crystal, dh, dk, dl):
    """(N · exp(−ρ²·fudge/0.63))²."""
    distance_sqr = reciprocal_distance_sqr(crystal, dh, dk, dl)
    amplitude = peak(crystal) * exp_clamped(-(distance_sqr * (crystal.fudge / GAUSS_WIDTH)))
    return amplitude * amplitude


@inlined
def tophat_sqr(crystal, dh, dk, dl):
    """N² within the spot's radius, else 0."""
    inside = reciprocal_distance_sqr(crystal, dh, dk, dl) * crystal.fudge < TOPHAT_RADIUS_SQR
    amplitude = peak(crystal)
    return amplitude * amplitude if inside else 0.0


@inlined
def capture(detector, layer, direction):
    """Fraction that sensor layer number ``layer`` absorbs of the photons along ``direction``."""
    path = detector.layer_step * detector.attenuation / dot(direction, detector.normal)
    return exp_clamped(-layer * path) - exp_clamped(-(layer + 1.0) * path)


@inlined
def peak(crystal):
    """Number of unit cells."""
    na, nb, nc = crystal.cells
    return float(na) * nb * nc


@inlined
def nearest_place(tables, h0, k0, l0):
    """Where a reflection stands in a flat table that has every index that the image can meet."""
    first, sizes = tables.first, tables.sizes
    start = (first[0] * sizes[1] + first[1]) * sizes[2] + first[2]
    return np.uint32((h0 * sizes[1] + k0) * sizes[2] + l0 - start)


@inlined
def nearest_place_clamped(tables, h0, k0, l0):
    """The same in a smaller table: indices beyond it fall on its margin."""
    i = min(max(h0 - tables.first[0], 0.0), tables.sizes[0] - 1.0)
    j = min(max(k0 - tables.first[1], 0.0), tables.sizes[1] - 1.0)
    m = min(max(l0 - tables.first[2], 0.0), tables.sizes[2] - 1.0)
    return np.uint32((i * tables.sizes[1] + j) * tables.sizes[2] + m)


@inlined
def inside_table(tables, h, k, l):
    """Whether a cubic at h, k, l finds its four reflections along each axis; the table has a margin of one."""
    first, sizes = tables.first, tables.sizes
    return (
        (h >= first[0] + 3.0) & (h <= first[0] + sizes[0] - 4.0)
        & (k >= first[1] + 3.0) & (k <= first[1] + sizes[1] - 4.0)
        & (l >= first[2] + 3.0) & (l <= first[2] + sizes[2] - 4.0)
    )  # fmt: skip


@inlined
def cubic_corner(tables, h, k, l):
    """Where the first of the 4×4×4 reflections about h, k, l, which lies inside, stands in the flat table."""
    first, sizes = tables.first, tables.sizes
    return ((h - 1.0 - first[0]) * sizes[1] + (k - 1.0 - first[1])) * sizes[2] + (l - 1.0 - first[2])
