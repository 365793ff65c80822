"""How much a step can give any pixel of a tile: what leaving it out may cost, at the most.

A step is a source and an orientation. Its Miller indices over the samples of a tile lie in a box about those of the
tile's centre; over the box each factor of its intensity has an upper bound here. The equations serve float32 and
float64 alike: whoever calls them in float32 gives the boxes the room that its rounding takes.
"""

import math

import numpy as np

from ..compile.equation import equation, inlined
from .lattice_factor import SPHERE_VOLUME
from .pixel import position, solid_angle
from .vectors import dot, unit

STRAIGHT_LINE = 0.57736
"""|d″| ≤ 2/√3 · 1/R² of the direction d to a point that moves along a straight line no nearer than R; half of that."""
TURNS = 2.8
"""A direction that two rotations make of angles, linear in the offset: its second derivative is at most the square of
the sum of what the angles change, each at most offset/R. Half of (2/R)², and as much as 0.7 for slopes of chords."""
HALF, ZERO, ONE = np.float32(0.5), np.float32(0.0), np.float32(1.0)
SINE_1, SINE_3, SINE_5 = np.float32(3.14159), np.float32(-5.16772), np.float32(2.4)
NINE, PI_SQR = np.float32(9.0), np.float32(9.8696)
SPHERE_VOLUME_SQR = np.float32(SPHERE_VOLUME**2 * (1.0 + 1e-6))
LARGEST_WEIGHT_SQR = 1.25**6
"""Of F² interpolated: the magnitudes of Lagrange's four cubic weights add up to 1.25 at most along each axis."""


# A tile's samples in space ----------------------------------------------------------------------------------------


@equation
def across(axis, direction, extent):
    """By how much the unit vector ``direction`` turns, to first order, over an ``extent`` (in R) along ``axis``."""
    along = dot(axis, direction)
    return (
        extent * (axis[0] - along * direction[0]),
        extent * (axis[1] - along * direction[1]),
        extent * (axis[2] - along * direction[2]),
    )


@equation
def beyond_straight(radius, distance):
    """How far directions to points within ``radius`` of one at ``distance`` can be from linear in the offset."""
    part = radius / (distance - radius) if distance > radius else math.inf
    return STRAIGHT_LINE * part * part


@equation
def beyond_curved(radius, distance):
    """The same of a curved surface at ``distance``, where half edges are half the difference between opposite edges."""
    return TURNS * (radius / distance) * (radius / distance)


@equation
def half_turn(detector, fast, slow, depth, along_fast, along_slow):
    """Half the difference of directions between two opposite edges of a tile on a curved surface."""
    later = unit(position(detector, fast + along_fast, slow + along_slow, depth))
    earlier = unit(position(detector, fast - along_fast, slow - along_slow, depth))
    return (0.5 * (later[0] - earlier[0]), 0.5 * (later[1] - earlier[1]), 0.5 * (later[2] - earlier[2]))


@equation
def nearest_airpath(distance, radius):
    """From the sample to what is nearest within ``radius`` of a point at ``distance``, m; 0 where it may be itself."""
    return max(distance - radius, 0.0)


@equation
def largest_solid_angle(detector, airpath):
    """Steradian of a pixel that is no nearer than ``airpath``."""
    return abs(solid_angle(detector, airpath)) if airpath > 0.0 else math.inf


@equation
def largest_polarization(kahn, centre, moved):
    """Kahn's factor where directions are within ``moved`` of one at which it is ``centre``; at infinity, of any."""
    return min(centre + (1.0 + 2.0 * abs(kahn)) * moved, 1.0 + 0.5 * abs(kahn))


@equation
def largest_capture(detector, cosine, moved):
    """Sum of the fractions that layers capture, where the cosine of incidence is within ``moved`` of one.

    Layer t captures e^(−tp)(1 − e^(−p)), p the path through a layer: for p of p₀ to p₁ the sum of the largest is at
    most p₁/p₀. Where rays may come from behind the fractions have no bound.
    """
    if detector.layer_step == 0.0:
        return float(detector.layers)
    if cosine <= moved:
        return math.inf
    return min(float(detector.layers), (cosine + moved) / (cosine - moved))


# A step's box -----------------------------------------------------------------------------------------------------


@inlined
def half_extent(along_fast, along_slow, long, rest):
    """Half the extent of an index over a tile: an axis' products with its half edges, its length times the rest."""
    return abs(along_fast) + abs(along_slow) + long * rest


@inlined
def least_distance(delta, extent):
    """From the nearest whole number, in a box of half ``extent`` about an index that is ``delta`` away: 1-Lipschitz."""
    return max(abs(delta) - extent, ZERO)


@inlined
def is_alone(delta, extent):
    """Whether the box about an index has the nearest whole number of its centre alone."""
    return abs(delta) + extent < HALF


@inlined
def is_near(extent):
    """Whether whole numbers nearest in the box are that of its centre or one of its two neighbours."""
    return extent < ONE


# The lattice factor over it, as a share of its peak N² ------------------------------------------------------------


@inlined
def sine_below(m):
    """No more than sin πm, 0 ≤ m ≤ ½: Taylor's series, whose fifth-order term is taken for less."""
    s = m * m
    return m * (SINE_1 + s * (SINE_3 + s * SINE_5))


@inlined
def row_share(m, cells_sqr):
    """1/(largest share of N² that sin²πNδ/sin²πδ has) for distances δ of m or more."""
    sine = sine_below(m)
    return max(sine * sine * cells_sqr, ONE)


@inlined
def square_share(mh, mk, ml, na_sqr, nb_sqr, nc_sqr):
    """Largest share of its peak that a parallelepiped has at least so far from a reflection along each index."""
    return ONE / (row_share(mh, na_sqr) * row_share(mk, nb_sqr) * row_share(ml, nc_sqr))


@inlined
def round_share(radius_sqr):
    """The same of a sphere: |3(sin x − x cos x)/x³|² ≤ 9(1 + x²)/x⁶, x = π·radius."""
    inverse = ONE / max(PI_SQR * radius_sqr, ONE)
    return SPHERE_VOLUME_SQR * min(ONE, NINE * (ONE + inverse) * inverse * inverse)


@inlined
def compact_distance(mh, mk, ml, per_h, per_k, per_l, centre, radius, alone):
    """How near the box comes to a reflection, Å⁻¹: δ of an index over what it changes by ``per`` Å⁻¹ at the most.

    Or, where the box has one reflection alone, ``radius`` nearer than its centre.
    """
    along = max(mh * per_h, max(mk * per_k, ml * per_l))
    return max(along, centre - radius if alone else ZERO)
