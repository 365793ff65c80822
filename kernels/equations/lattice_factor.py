"""Amplitude of the lattice, F_latt, for four shapes of crystal, and its square in a form that vectorizes.

The squares, for the innermost loops, are without branches, libraries or exceptions; the tests hold them to the
amplitudes. δh, δk, δl are the distances from the nearest reflection.
"""

import math

import numpy as np

from ..choices import GAUSS, ROUND, SQUARE, TOPHAT, shape_without_branch
from ..compile.equation import equation, inlined
from ..compile.jit import internal
from ..compile.polynomials import cos_pi, exp_clamped, sin_pi, sin_pi_single
from .scattering import nearest_index

ONE_CELL = 0
"""Beside the shapes: a square one of one cell, where N = 1 and F_latt = 1: the usual one where F is interpolated."""

SPHERE_VOLUME = 0.723601254558268
"""Makes a sphere's peak that of the cube it replaces."""
GAUSS_WIDTH = 0.63
"""Makes a Gaussian spot as wide as that of a cube."""
TOPHAT_RADIUS_SQR = 0.3969
"""Radius² within which a top-hat spot has the volume of a cube's."""

SERIES_BELOW = 0.25
NEVER_ZERO = 1e-60
"""Added to δ by the fast kernels: where it is 0, sin(πNδ)/sin(πδ) would be 0/0 instead of N. Otherwise invisible."""
NEVER_ZERO_SINGLE = 1e-30
"""The same where δ becomes a float32."""
SMALLEST_SINGLE = 1e-12
"""The same where a product of three of those must not vanish: |δ| is at least this, as 1/N is much more."""


@equation
def interference(h, cells):
    """sin(πNh)/sin(πh): N unit cells in a row; ±N where h is whole.

    Evaluated at the distance from the nearest whole number h0, which loses no digits; the sign is (−1)^(h0(N − 1)).
    """
    whole = nearest_index(h)
    dh = h - whole
    denominator = math.sin(math.pi * dh)
    if denominator == 0.0:
        amplitude = float(cells)
    else:
        amplitude = math.sin(math.pi * dh * cells) / denominator
    odd = int(whole) % 2 != 0 and cells % 2 == 0
    return -amplitude if odd else amplitude


@equation
def sphere_amplitude(x):
    """3(sin x/x − cos x)/x²: the transform of a sphere."""
    if x < SERIES_BELOW:
        amplitude = sphere_series(x * x)
    else:
        amplitude = 3.0 * (math.sin(x) / x - math.cos(x)) / (x * x)
    return amplitude


@inlined
def sphere_series(square):
    """The same for a small x, given x²: the closed form loses its digits there."""
    return 1.0 + square * (-1 / 10 + square * (1 / 280 + square * (-1 / 15120 + square * (1 / 1330560))))


@inlined
def index_distance_sqr(crystal, dh, dk, dl):
    """Distance² from the nearest reciprocal lattice point in units of 1/N of each index."""
    na, nb, nc = crystal.cells
    return dh * dh * na * na + dk * dk * nb * nb + dl * dl * nc * nc


@inlined
def reciprocal_distance_sqr(crystal, dh, dk, dl):
    """Distance² from the nearest reciprocal lattice point in Å⁻², times the number of cells squared."""
    a, b, c = crystal.a_star, crystal.b_star, crystal.c_star
    x = dh * a[0] + dk * b[0] + dl * c[0]
    y = dh * a[1] + dk * b[1] + dl * c[1]
    z = dh * a[2] + dk * b[2] + dl * c[2]
    volume = float(crystal.cells[0]) * crystal.cells[1] * crystal.cells[2]
    return (x * x + y * y + z * z) * volume * volume


@inlined
def triangle_distance_sqr(triangle, dh, dk, dl):
    """The same by the upper triangle R of B = QR, whose columns B are the reciprocal axes: |B δ| = |R δ|."""
    x = dh * triangle[0] + dk * triangle[1] + dl * triangle[2]
    y = dk * triangle[3] + dl * triangle[4]
    z = dl * triangle[5]
    return x * x + y * y + z * z


@equation
def square_factors(crystal, h, k, l):
    """The interference of each axis of a parallelepiped; 1 along an axis of one cell."""
    na, nb, nc = crystal.cells
    return (
        interference(h, na) if na > 1 else 1.0,
        interference(k, nb) if nb > 1 else 1.0,
        interference(l, nc) if nc > 1 else 1.0,
    )


@equation
def lattice_factor(crystal, h, k, l, dh, dk, dl):
    """F_latt at h, k, l, which is dh, dk, dl away from the nearest reflection."""
    peak = float(crystal.cells[0]) * crystal.cells[1] * crystal.cells[2]
    if crystal.shape == SQUARE:
        along = square_factors(crystal, h, k, l)
        amplitude = along[0] * along[1] * along[2]
    elif crystal.shape == ROUND:
        radius = math.sqrt(index_distance_sqr(crystal, dh, dk, dl) * crystal.fudge)
        amplitude = peak * SPHERE_VOLUME * sphere_amplitude(math.pi * radius)
    elif crystal.shape == GAUSS:
        amplitude = peak * math.exp(-(reciprocal_distance_sqr(crystal, dh, dk, dl) / GAUSS_WIDTH * crystal.fudge))
    elif crystal.shape == TOPHAT:
        inside = reciprocal_distance_sqr(crystal, dh, dk, dl) * crystal.fudge < TOPHAT_RADIUS_SQR
        amplitude = peak if inside else 0.0
    else:
        raise NotImplementedError("kernels/equations/lattice_factor.py knows no crystal of this shape")
    return amplitude


# The squares, in a form that vectorizes ---------------------------------------------------------------------------


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
def peak(crystal):
    """Number of unit cells."""
    na, nb, nc = crystal.cells
    return float(na) * nb * nc
