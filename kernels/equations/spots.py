"""How far the spots of reflections reach, and where on a plane they fall.

A sample that is seen along d, a unit vector, is δ from the reflection g nearest to it, where d − y = λ B δ: B has the
reciprocal axes as columns, and y = s0 + λ B g is the tip of the ray that would be reflected. A spot that reaches r
about y is seen where |d − y| ≤ r: in a cone about y, as |d| = 1. What is here makes that a little
wider, never narrower.
"""

import math

from ..compile.equation import equation, inlined
from .lattice_factor import GAUSS_WIDTH, TOPHAT_RADIUS_SQR, peak
from .vectors import Vector, cross, dot, scaled

RELATIVE, ABSOLUTE = 1e-9, 1e-15
"""Room for rounding, of a radius² on the unit sphere: (r + 10⁻¹²)² ≤ r²(1 + 10⁻⁹) + 10⁻¹⁵."""
SQUARINGS = 8
"""Of a matrix, whose trace is then 3^(1/2⁸) of its largest eigenvalue at the most."""


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


@equation
def stretch_sqr(crystal, stars):
    """(|B δ| / |W δ|)², the largest of any δ; B has ``stars``, W the axes that say how wide a spot is, as columns.

    That is 1 in square units where W is the reciprocal cell: spots are balls then.
    """
    first = cross(crystal.b_star, crystal.c_star)
    volume = dot(crystal.a_star, first)
    duals = (first, cross(crystal.c_star, crystal.a_star), cross(crystal.a_star, crystal.b_star))
    rows = (
        turned_row(stars, duals, 0, 1.0 / volume),
        turned_row(stars, duals, 1, 1.0 / volume),
        turned_row(stars, duals, 2, 1.0 / volume),
    )
    return largest_eigenvalue(
        dot(rows[0], rows[0]), dot(rows[1], rows[1]), dot(rows[2], rows[2]),
        dot(rows[0], rows[1]), dot(rows[0], rows[2]), dot(rows[1], rows[2]),
    )  # fmt: skip


@equation
def turned_row(stars, duals, row, scale):
    """A row of B W⁻¹, whose rows are the duals of W's columns."""
    u, v, w = stars[0][row] * scale, stars[1][row] * scale, stars[2][row] * scale
    a, b, c = duals
    return (u * a[0] + v * b[0] + w * c[0], u * a[1] + v * b[1] + w * c[1], u * a[2] + v * b[2] + w * c[2])


@equation
def largest_eigenvalue(xx, yy, zz, xy, xz, yz):
    """No less than the largest eigenvalue of a symmetric, positive matrix S: the 2ⁿth root of the trace of S^(2ⁿ)."""
    logarithm, part = 0.0, 1.0
    for _ in range(SQUARINGS):
        trace = xx + yy + zz
        logarithm += part * math.log(trace)
        part *= 0.5
        xx, yy, zz, xy, xz, yz = xx / trace, yy / trace, zz / trace, xy / trace, xz / trace, yz / trace
        xx, yy, zz, xy, xz, yz = (
            xx * xx + xy * xy + xz * xz, xy * xy + yy * yy + yz * yz, xz * xz + yz * yz + zz * zz,
            xx * xy + xy * yy + xz * yz, xx * xz + xy * yz + xz * zz, xy * xz + yy * yz + yz * zz,
        )  # fmt: skip
    return math.exp(logarithm + part * math.log(xx + yy + zz))


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


@inlined
def chord_sqr(size, radius_sqr):
    """How far from y/|y|, squared, directions within r of y are at the most; negative where there are none.

    |d − y|² = (1 − |y|)² + |y|·|d − y/|y||².
    """
    short = 1.0 - size
    return (radius_sqr - short * short) / size


@inlined
def sine_sqr(chord):
    """sin² of the angle over which a chord on the unit sphere stands, of its square."""
    return chord * (1.0 - 0.25 * chord)


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
def cone_on_plane(along, forward, axis_sqr, sine_sqr):
    """Centre, and half the width, of the shadow of a cone on the plane at unit distance, along an axis in it.

    The planes (u − m n)·d = 0 that touch a cone about e are (u·e − m n·e)² = sin²θ (u² + m²): its shadow reaches from
    one m to the other, if all of it points ahead: n·e > sin θ.

    Parameters
    ----------
    along, forward : float
        u·e and n·e, e the unit vector about which the cone is, u the axis and n the unit normal of the plane.
    axis_sqr : float
        u².
    """
    ahead = forward * forward - sine_sqr
    inverse = 1.0 / ahead
    half = math.sqrt(sine_sqr * (along * along + axis_sqr * ahead)) * inverse
    return along * forward * inverse, half
