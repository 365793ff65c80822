"""Amplitude of the lattice, F_latt, for four shapes of crystal."""

import math

from ..choices import GAUSS, ROUND, SQUARE, TOPHAT
from ..compile.equation import equation, inlined
from .scattering import nearest_index

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
