"""What every step can give the tiles of a block, in units of the tolerance: sixteen tiles are one vector of float32.

Of Gaussian and top-hat spots a score is an exponent, above 0 where the step must be evaluated; of others it is photons
over the tolerance, which is there to be spent (``budget.py``).
"""

from typing import NamedTuple

import numpy as np

from ..choices import FLAT, GAUSS, ROUND, SQUARE, TOPHAT, shape_without_branch
from ..compile.equation import inlined
from ..compile.jit import compiled, internal
from ..compile.masks import cell_at
from ..compile.memory import look_up, read, read_back, write
from ..cpu.reach import farthest_scattering
from ..cpu.samples import incident_of
from ..cpu.sums import axes_of
from ..cpu.tables import farthest_indices
from ..equations.bounds import (
    ONE,
    ZERO,
    across,
    beyond_curved,
    beyond_straight,
    compact_distance,
    half_extent,
    half_turn,
    is_alone,
    is_near,
    largest_capture,
    largest_polarization,
    largest_solid_angle,
    least_distance,
    nearest_airpath,
    round_share,
    square_share,
)
from ..equations.lattice_factor import GAUSS_WIDTH, ONE_CELL, TOPHAT_RADIUS_SQR, peak
from ..equations.pixel import flat_position, position
from ..equations.polarization import polarization_factor
from ..equations.vectors import cross, dot, length, scaled
from .ceilings import Ceilings, ceilings_of
from .tiles import ACROSS, EDGE, TILES

ROUNDING = 2.0**-20
"""Of products in float32 of a scattering vector and an axis: part of the axis' length over λ, more than it can be."""
ROUNDING_OF_DISTANCE = 2.0**-16
"""The same of a distance in Å⁻¹, which has the rounding of three indices, also of oblique cells."""
MORE = 1.0 + 1e-5
"""For rounding of what is known in float32."""
ROUNDING_OF_EXPONENT = 1e-3
SPENT = 0.999
"""Of the tolerance: the rest is for rounding of the sums of scores."""
FLOOR_EXPONENT = 590.0
"""A Gaussian in float64 is never less than e^−600 of its peak: where that would count, all is evaluated."""
HIGHEST = 3e38
"""What float32 holds."""

X, Y, Z = (np.uint32(n * TILES) for n in range(3))
FAST_X, FAST_Y, FAST_Z, SLOW_X, SLOW_Y, SLOW_Z = (np.uint32(n * TILES) for n in range(3, 9))
REST, UNIT, MOVED = (np.uint32(n * TILES) for n in range(9, 12))
ROWS = 12
"""Rows of sixteen tiles: a direction, or scattering vector, to the centre; half edges; what is beyond linear; the score
of a step where F and lattice factor are largest; how far from its centre a sample is."""


class Bounds(NamedTuple):
    """What is alike for all tiles of an image."""

    axes: np.ndarray
    """float32 (orientations, 9): a, b, c in m."""
    long: tuple[float, float, float]
    """Their lengths."""
    cells_sqr: tuple[float, float, float]
    """N² along each; of round spots times ``fudge``."""
    per_index: tuple[float, float, float]
    """Å⁻¹: a Gaussian or top-hat spot's distance is at least δ of an index times that."""
    stars: tuple[float, float, float, float, float, float, float, float, float]
    """Å⁻¹: the reciprocal axes in which their distance is measured."""
    turn: float
    """Their distance over that of scattering vectors, Å⁻¹ m, at the most: 1e-10 where they are those of the cell."""
    strength: float
    """Their exponent over the square of the distance, Å²."""
    ceilings: Ceilings
    unit: float
    """Score of a step of weight 1 where F and lattice factor are largest, of a pixel of 1 steradian."""
    steps: int
    spread: float
    """How far the direction of a source is from that of the first."""


def bounds_of(plan, cells, tolerance):
    """Made once for an image, whose orientations are ``cells``; its region of interest does not matter."""
    detector = plan.detector
    whole = detector._replace(roi=(0, detector.fast_pixels - 1, 0, detector.slow_pixels - 1))
    return bounds_of_panel(plan._replace(detector=whole), cells, tolerance)


@compiled()
def bounds_of_panel(plan, cells, tolerance):
    """The same of a plan whose region is the whole panel."""
    crystal, sources = plan.crystal, plan.sources
    farthest = farthest_indices(crystal, farthest_scattering(plan))
    ceilings = ceilings_of(plan.factors, crystal.shape, farthest)
    steps, many = sources.wavelength.shape[0] * cells.shape[0], peak(crystal)
    unit = plan.photons_per_sample * plan.oversample**2 * ceilings.peak * many * many / (max(tolerance, 1e-300) * SPENT)
    strength = crystal.fudge * many * many * (2.0 / GAUSS_WIDTH if crystal.shape == GAUSS else 1.0)
    per_index, turn = width_of(crystal, cells)
    na, nb, nc = crystal.cells
    squeezed = crystal.fudge if crystal.shape == ROUND else 1.0
    a, b, c = crystal.a_star, crystal.b_star, crystal.c_star
    spread = 0.0
    for n in range(sources.wavelength.shape[0]):
        i, o = incident_of(sources, n), incident_of(sources, 0)
        spread = max(spread, length((i[0] - o[0], i[1] - o[1], i[2] - o[2])))
    return Bounds(
        cells.astype(np.float32),
        (length(crystal.a) * MORE, length(crystal.b) * MORE, length(crystal.c) * MORE),
        (squeezed * na * na, squeezed * nb * nb, squeezed * nc * nc),
        per_index,
        (*a, *b, *c),
        turn,
        min(strength / MORE, HIGHEST),
        ceilings,
        unit,
        steps,
        spread,
    )


@inlined
def single(v):
    """Three numbers as float32."""
    return np.float32(v[0]), np.float32(v[1]), np.float32(v[2])


@internal()
def width_of(crystal, cells):
    """``per_index`` and ``turn`` of :class:`Bounds`: what spots whose width is measured in Å⁻¹ are measured in."""
    a, b, c = crystal.a_star, crystal.b_star, crystal.c_star
    volume = abs(dot(a, cross(b, c))) / MORE
    per_index = (volume / length(cross(b, c)), volume / length(cross(c, a)), volume / length(cross(a, b)))
    # The largest singular value of B·A, squared, is no more than a row's sum in its product with its transpose.
    largest = 0.0
    for n in range(cells.shape[0]):
        axes = axes_of(cells, n)
        for i in range(3):
            row = 0.0
            for j in range(3):
                row += abs(dot(turned(crystal, axes, i), turned(crystal, axes, j)))
            largest = max(largest, row)
    return per_index, np.sqrt(largest) * MORE


@inlined
def turned(crystal, axes, i):
    """Where the unit vector along lab axis i goes in the space in which spots' widths are measured."""
    a, b, c = crystal.a_star, crystal.b_star, crystal.c_star
    return (
        axes[0][i] * a[0] + axes[1][i] * b[0] + axes[2][i] * c[0],
        axes[0][i] * a[1] + axes[1][i] * b[1] + axes[2][i] * c[1],
        axes[0][i] * a[2] + axes[1][i] * b[2] + axes[2][i] * c[2],
    )


# A block's tiles ---------------------------------------------------------------------------------------------------


@internal(forceinline=True, fastmath={"contract", "arcp"})
def place_tiles(plan, bounds, tiles, fast, slow):
    """Rows ``tiles``, float64, of the block whose first pixel is ``fast``, ``slow``."""
    detector = plan.detector
    # From a tile's centre to its outermost samples, along an edge and into the sensor.
    reach = 0.5 * detector.pixel * (EDGE - 1.0 / plan.oversample)
    deep = 0.5 * detector.layer_step * (detector.layers - 1)
    for number in range(TILES):
        p = np.uint32(number)
        at_fast = detector.pixel * (fast + EDGE * (number % ACROSS) + 0.5 * EDGE)
        at_slow = detector.pixel * (slow + EDGE * (number // ACROSS) + 0.5 * EDGE)
        if detector.surface == FLAT:
            put_flat_tile(detector, tiles, p, at_fast, at_slow, reach, deep)
        else:
            put_curved_tile(detector, tiles, p, at_fast, at_slow, reach, deep)


@inlined
def put_flat_tile(detector, tiles, p, at_fast, at_slow, reach, deep):
    """Directions over a tile of a plane."""
    centre = flat_position(detector, at_fast, at_slow, deep)
    airpath = length(centre)
    d = scaled(centre, 1.0 / airpath)
    u, v = across(detector.fast, d, reach / airpath), across(detector.slow, d, reach / airpath)
    into = length(across(detector.normal, d, deep / airpath))
    radius = reach * (length(detector.fast) + length(detector.slow)) + deep * length(detector.normal)
    put_tile(tiles, p, d, u, v, beyond_straight(radius, airpath) + into, airpath, radius)


@inlined
def put_curved_tile(detector, tiles, p, at_fast, at_slow, reach, deep):
    """Directions over a tile of a curved surface."""
    centre = position(detector, at_fast, at_slow, deep)
    airpath = length(centre)
    u = half_turn(detector, at_fast, at_slow, deep, reach, 0.0)
    v = half_turn(detector, at_fast, at_slow, deep, 0.0, reach)
    radius = 2.0 * reach + deep
    rest = beyond_curved(radius, detector.distance) + 2.0 * deep / detector.distance
    put_tile(tiles, p, scaled(centre, 1.0 / airpath), u, v, rest, airpath, radius)


@inlined
def put_tile(tiles, p, d, u, v, rest, airpath, radius):
    """A tile's column but for its unit."""
    write(tiles, p + X, d[0])
    write(tiles, p + Y, d[1])
    write(tiles, p + Z, d[2])
    write(tiles, p + FAST_X, u[0])
    write(tiles, p + FAST_Y, u[1])
    write(tiles, p + FAST_Z, u[2])
    write(tiles, p + SLOW_X, v[0])
    write(tiles, p + SLOW_Y, v[1])
    write(tiles, p + SLOW_Z, v[2])
    write(tiles, p + REST, rest)
    write(tiles, p + MOVED, length(u) + length(v) + rest)
    write(tiles, p + UNIT, nearest_airpath(airpath, radius))


@internal(forceinline=True, fastmath={"contract", "arcp"})
def put_units(plan, bounds, tiles, shape):
    """Scores of a step of weight 1 where F and the lattice factor are largest; of Gaussian spots, their logarithm."""
    detector, incident = plan.detector, incident_of(plan.sources, 0)
    # Whose polarization counts is then not known.
    any_source = (plan.oversample_polar or plan.dmin > 0.0) and bounds.spread > 0.0
    unit = bounds.unit * (detector.layers if plan.last_capture else 1)
    for number in range(TILES):
        p = np.uint32(number)
        d = (read_back(tiles, p + X), read_back(tiles, p + Y), read_back(tiles, p + Z))
        moved = read_back(tiles, p + MOVED)
        factor = unit * largest_solid_angle(detector, read_back(tiles, p + UNIT))
        factor *= largest_capture(detector, dot(d, detector.normal), moved)
        if plan.polarization_correction:
            polar = polarization_factor(plan.kahn, incident, d, plan.polarization_axis)
            factor *= largest_polarization(plan.kahn, polar, np.inf if any_source else moved)
        if len(shape) == GAUSS:
            factor = np.log(factor * bounds.steps) + ROUNDING_OF_EXPONENT
            factor = factor if factor < FLOOR_EXPONENT else np.inf
        elif len(shape) == TOPHAT:
            factor = TOPHAT_RADIUS_SQR * MORE
        write(tiles, p + UNIT, factor)


# A source's steps in them -----------------------------------------------------------------------------------------


@internal(forceinline=True, fastmath={"contract"})
def look_from(plan, tiles, rows, source, shape):
    """Rows ``rows``, float32, of a source: the scattering vectors of the tiles, 1/m."""
    incident, wavenumber = incident_of(plan.sources, source), 1.0 / plan.sources.wavelength[source]
    weight = abs(plan.sources.weight[source])
    more = np.log(weight) if len(shape) == GAUSS else 0.0
    for number in range(TILES):
        p = np.uint32(number)
        write(rows, p + X, np.float32((read(tiles, p + X) - incident[0]) * wavenumber))
        write(rows, p + Y, np.float32((read(tiles, p + Y) - incident[1]) * wavenumber))
        write(rows, p + Z, np.float32((read(tiles, p + Z) - incident[2]) * wavenumber))
        write(rows, p + REST, np.float32((read(tiles, p + REST) * MORE + ROUNDING) * wavenumber))
        write(rows, p + MOVED, np.float32((read(tiles, p + MOVED) * MORE + ROUNDING_OF_DISTANCE) * wavenumber))
        unit = read(tiles, p + UNIT) + more if len(shape) == GAUSS else read(tiles, p + UNIT) * weight
        unit = read(tiles, p + UNIT) if len(shape) == TOPHAT else unit
        write(rows, p + UNIT, np.float32(unit) if unit < HIGHEST else np.float32(np.inf))
    for number in range(6 * TILES):
        p = np.uint32(number)
        write(rows, p + FAST_X, np.float32(read(tiles, p + FAST_X) * (wavenumber * MORE)))


@internal(forceinline=True, fastmath={"contract"})
def score_orientation(bounds, rows, n, scores, at, shape):
    """Scores of one orientation in all tiles, into ``scores`` from ``at`` on."""
    axes, ceilings = axes_of(bounds.axes, n), bounds.ceilings
    a, b, c = axes
    # Numbers that have been in Python's hands are float64 again.
    long, cells, per = single(bounds.long), single(bounds.cells_sqr), single(bounds.per_index)
    turn, strength, far = np.float32(bounds.turn), np.float32(bounds.strength), np.float32(ceilings.far)
    sizes, stars = ceilings.sizes, bounds.stars
    stars = (*single(stars[:3]), *single(stars[3:6]), *single(stars[6:]))
    first = np.float32(ceilings.first[0]), np.float32(ceilings.first[1]), np.float32(ceilings.first[2])
    last = np.float32(sizes[0] - 1), np.float32(sizes[1] - 1), np.float32(sizes[2] - 1)
    plane, row, all_cells = np.uint32(sizes[1] * sizes[2]), np.uint32(sizes[2]), np.uint32(ceilings.values.size // 2)
    for number in range(TILES):
        p = np.uint32(number)
        q = read(rows, p + X), read(rows, p + Y), read(rows, p + Z)
        u = read(rows, p + FAST_X), read(rows, p + FAST_Y), read(rows, p + FAST_Z)
        v = read(rows, p + SLOW_X), read(rows, p + SLOW_Y), read(rows, p + SLOW_Z)
        rest, unit = read(rows, p + REST), read(rows, p + UNIT)
        h, k, l = dot3(a, q), dot3(b, q), dot3(c, q)
        eh = half_extent(dot3(a, u), dot3(a, v), long[0], rest)
        ek = half_extent(dot3(b, u), dot3(b, v), long[1], rest)
        el = half_extent(dot3(c, u), dot3(c, v), long[2], rest)
        h0, k0, l0 = np.rint(h), np.rint(k), np.rint(l)
        dh, dk, dl = h - h0, k - k0, l - l0
        mh, mk, ml = least_distance(dh, eh), least_distance(dk, ek), least_distance(dl, el)
        alone = is_alone(dh, eh) & is_alone(dk, ek) & is_alone(dl, el)
        near = is_near(eh) & is_near(ek) & is_near(el)
        i = min(max(h0 - first[0], ZERO), last[0])
        j = min(max(k0 - first[1], ZERO), last[1])
        m = min(max(l0 - first[2], ZERO), last[2])
        place = cell_at(i, j, m, plane, row)
        ceiling = look_up(ceilings.values, place if alone else np.uint32(place + all_cells))
        if len(shape) == GAUSS or len(shape) == TOPHAT:
            centre = distance_of(stars, dh, dk, dl)
            radius = read(rows, p + MOVED) * turn
            distance = compact_distance(mh, mk, ml, per[0], per[1], per[2], centre, radius, alone)
            score = unit + (ceiling if near else far) - strength * distance * distance
        else:
            share = lattice_share(mh, mk, ml, cells, shape)
            score = (ceiling if near else far) * share * unit
        write(scores, np.uint32(at + p), score)


@inlined
def dot3(u, v):
    """The product of two vectors, in their own precision."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@inlined
def distance_of(stars, dh, dk, dl):
    """Distance from a reflection, Å⁻¹; less than it is by what rounding can do."""
    x = dh * stars[0] + dk * stars[3] + dl * stars[6]
    y = dh * stars[1] + dk * stars[4] + dl * stars[7]
    z = dh * stars[2] + dk * stars[5] + dl * stars[8]
    return np.sqrt(x * x + y * y + z * z)


@internal(forceinline=True, fastmath={"contract"})
def lattice_share(mh, mk, ml, cells, shape):
    """The largest share of the lattice factor's peak at least so far from a reflection along each index."""
    if len(shape) == ONE_CELL:
        share = ONE
    elif len(shape) == ROUND:
        share = round_share(mh * mh * cells[0] + mk * mk * cells[1] + ml * ml * cells[2])
    elif len(shape) == SQUARE:
        share = square_share(mh, mk, ml, cells[0], cells[1], cells[2])
    else:
        share = shape_without_branch(shape)
    return share
