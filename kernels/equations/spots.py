"""How far the spots of reflections reach, and where on a plane they fall.

A sample that is seen along d, a unit vector, is δ from the reflection g nearest to it, where d − y = λ B δ: B has the
reciprocal axes as columns, and y = s0 + λ B g is the tip of the ray that would be reflected. A spot is |W δ| ≤ ρ: an
ellipsoid about y, zᵀP⁻¹z ≤ r² for z = d − y, where the longest axis of P is 1 and r = λρ times the stretch of B W⁻¹; a
ball where W is the reciprocal cell. What is here makes spots a little wider, never narrower.
"""

import math
from typing import NamedTuple

from ..compile.equation import equation, inlined
from .lattice_factor import GAUSS_WIDTH, TOPHAT_RADIUS_SQR, peak
from .vectors import Vector, cross, dot, scaled

RELATIVE, ABSOLUTE = 1e-9, 1e-15
"""Room for rounding, of a radius² on the unit sphere: (r + 10⁻¹²)² ≤ r²(1 + 10⁻⁹) + 10⁻¹⁵."""
SQUARINGS = 8
"""Of a matrix, whose trace is then 3^(1/2⁸) of its largest eigenvalue at the most."""
LONGER = 0.01
"""By what part a slice of a spot is taken to be longer, which spares to add it to others exactly."""


# In reciprocal space ----------------------------------------------------------------------------------------------


@equation
def gauss_reach_sqr(crystal):
    """Distance² in Å⁻² at which the intensity of a Gaussian spot is 1/e of its peak; ln x times it: 1/x."""
    cells = peak(crystal)
    return GAUSS_WIDTH / (2.0 * crystal.fudge * cells * cells)


@equation
def tophat_reach_sqr(crystal):
    """Distance² in Å⁻² from which on a top-hat spot is 0."""
    cells = peak(crystal)
    return TOPHAT_RADIUS_SQR / (crystal.fudge * cells * cells)


class Symmetric(NamedTuple):
    """A symmetric matrix."""

    xx: float
    yy: float
    zz: float
    xy: float
    xz: float
    yz: float


@equation
def spread_of(crystal, stars) -> Symmetric:
    """(B W⁻¹)(B W⁻¹)ᵀ: B has ``stars`` as columns, W those that say how wide spots are; 1 if the same."""
    first = cross(crystal.b_star, crystal.c_star)
    volume = dot(crystal.a_star, first)
    duals = (first, cross(crystal.c_star, crystal.a_star), cross(crystal.a_star, crystal.b_star))
    x, y, z = row_of(stars, duals, 0, volume), row_of(stars, duals, 1, volume), row_of(stars, duals, 2, volume)
    return Symmetric(dot(x, x), dot(y, y), dot(z, z), dot(x, y), dot(x, z), dot(y, z))


@equation
def row_of(stars, duals, row, volume):
    """A row of B W⁻¹, whose rows are the duals of W's columns."""
    u, v, w = stars[0][row] / volume, stars[1][row] / volume, stars[2][row] / volume
    a, b, c = duals
    return (u * a[0] + v * b[0] + w * c[0], u * a[1] + v * b[1] + w * c[1], u * a[2] + v * b[2] + w * c[2])


@equation
def shrunk(matrix, factor) -> Symmetric:
    """A matrix divided by a factor."""
    return Symmetric(
        matrix.xx / factor, matrix.yy / factor, matrix.zz / factor,
        matrix.xy / factor, matrix.xz / factor, matrix.yz / factor,
    )  # fmt: skip


@inlined
def times(matrix, v):
    """M v."""
    return (
        matrix.xx * v[0] + matrix.xy * v[1] + matrix.xz * v[2],
        matrix.xy * v[0] + matrix.yy * v[1] + matrix.yz * v[2],
        matrix.xz * v[0] + matrix.yz * v[1] + matrix.zz * v[2],
    )


@equation
def largest_eigenvalue(matrix):
    """No less than the largest of a positive matrix S: the 2ⁿth root of the trace of S^(2ⁿ)."""
    logarithm, part = 0.0, 1.0
    for _ in range(SQUARINGS):
        trace = matrix.xx + matrix.yy + matrix.zz
        logarithm += part * math.log(trace)
        part *= 0.5
        matrix = squared(shrunk(matrix, trace))
    return math.exp(logarithm + part * math.log(matrix.xx + matrix.yy + matrix.zz))


@equation
def squared(m) -> Symmetric:
    """S S."""
    return Symmetric(
        m.xx * m.xx + m.xy * m.xy + m.xz * m.xz,
        m.xy * m.xy + m.yy * m.yy + m.yz * m.yz,
        m.xz * m.xz + m.yz * m.yz + m.zz * m.zz,
        m.xx * m.xy + m.xy * m.yy + m.xz * m.yz,
        m.xx * m.xz + m.xy * m.yz + m.xz * m.zz,
        m.xy * m.xz + m.yy * m.yz + m.yz * m.zz,
    )


# Directions -------------------------------------------------------------------------------------------------------


@inlined
def with_room(radius_sqr):
    """What of a radius² on the unit sphere is looked at."""
    return radius_sqr * (1.0 + RELATIVE) + ABSOLUTE


@inlined
def beyond_reach(length_sqr, radius_sqr):
    """Not positive where a spot about y, |y|² given, meets the sphere |d| = 1; seldom where it does not quite.

    (|y|² − 1)² = (|y| − 1)²(1 + |y|)² ≤ r² · 2(1 + |y|²).
    """
    excess = length_sqr - 1.0
    return excess * excess - 2.0 * radius_sqr * (length_sqr + 1.0)


class Slice(NamedTuple):
    """Where a spot meets the sphere |d| = 1: nowhere if ``along`` is negative, else within an ellipsoid.

    That is about y + ``moved``·k and has the matrix ``along``·P + ``across``·kkᵀ; k = |y| P y / yᵀP y.
    """

    moved: float
    along: float
    across: float


@inlined
def slice_of(size, radius_sqr, reach, per_reach):
    """The slice of a spot about y = |y| e whose P has ``reach`` = eᵀP e; ``per_reach`` is 1/eᵀP e.

    For z = d − y, t = z·e is no more than 1 − |y|, and no less than 3/5 r² below: 1 − d·e = 1 − √(1 − |d⊥|²), and
    |d⊥| = |z⊥| ≤ r. A plane of one t cuts out of the spot an ellipse about y + t k, whose matrix is
    (r² − t²/eᵀPe)(P − eᵀPe kkᵀ). Those of all such t lie in the sum of the largest of them and of a short line along k,
    and a sum of two ellipsoids in that of matrices (1 + β)M + (1 + 1/β)N, of any β.
    """
    half = 0.3 * radius_sqr
    moved = 1.0 - size - half
    nearest = max(abs(moved) - half, 0.0)
    along = (1.0 + LONGER) * (radius_sqr - nearest * nearest * per_reach)
    return Slice(moved, along, (1.0 + 1.0 / LONGER) * half * half - along * reach)


# On a plane -------------------------------------------------------------------------------------------------------


@equation
def plane_normal(detector) -> Vector:
    """Unit normal of the surface on the sample's far side: ``detector.normal`` need be neither."""
    across = cross(detector.fast, detector.slow)
    size = math.sqrt(dot(across, across))
    return scaled(across, (1.0 if dot(across, detector.origin) >= 0.0 else -1.0) / size)


@equation
def along_axis(axis, other, normal, pixel) -> Vector:
    """What a point of the plane times it is in pixels along ``axis``, whatever it is along the ``other``."""
    across = cross(other, normal)
    return scaled(across, 1.0 / (pixel * dot(across, axis)))


@inlined
def shadow(across, ahead, across_sqr, both, ahead_sqr):
    """Centre, and half the width, of an ellipsoid's shadow on the plane at unit distance, along an axis u in it.

    About c, with the matrix Q, all of it ahead. The planes (u − m n)·x = 0 that touch it have ((u − m n)·c)² =
    (u − m n)ᵀQ(u − m n); its shadow reaches from the one m to the other.

    Parameters
    ----------
    across, ahead : float
        u·c and n·c, n the unit normal of the plane.
    across_sqr, both, ahead_sqr : float
        uᵀQu, uᵀQn and nᵀQn, less than (n·c)².
    """
    inverse = 1.0 / (ahead * ahead - ahead_sqr)
    # The discriminant without the square of the middle: that would cancel.
    inside = ahead * (ahead * across_sqr - 2.0 * across * both) + across * across * ahead_sqr
    inside += both * both - across_sqr * ahead_sqr
    return (across * ahead - both) * inverse, math.sqrt(max(inside, 0.0)) * inverse
