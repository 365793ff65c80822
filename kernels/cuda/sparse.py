"""Which rows of the table of orientations a warp sums for its tile of pixels, and which it leaves out.

Each of a warp's lanes tests a row; those that are kept all lanes evaluate, one after the other in the table's order. A
test is float32 throughout: what a row can give any pixel of the tile, all its layers and sub-pixels together. So all
sub-pixels of a source keep the same rows, and a pixel has the bits of the exact kernel less what is left out.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..choices import BITS, FLAT, GAUSS, PAIRS, ROUND, SQUARE, TOPHAT, shape_without_branch
from ..equations.bounds import ONE as UNIT
from ..equations.bounds import (
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
from ..equations.lattice_factor import TOPHAT_RADIUS_SQR
from ..equations.pixel import flat_position, position
from ..equations.polarization import polarization_in_frame
from ..equations.vectors import dot, length, scaled
from .bits import WHOLE_BITS, bits_float, high_word, unsigned
from .provider import adopt_equations, bits_set, device_function, first_bit, sum_of_warp, vote
from .steps import ONE, cell_at, intensity_by_bits, sample_intensity, smaller, split
from .tables import ALONG_FAST, ALONG_SLOW, ROW, WARP

MORE = 1.0 + 1e-5
"""For rounding of what is known in float32."""
ROUNDING = 2.0**-19
"""Of products in float32 of a scattering vector and an axis: part of the axis' length over λ, more than it can be."""
ROUNDING_OF_DISTANCE = 2.0**-16
"""The same of a distance in Å⁻¹, which has the rounding of three indices, also of oblique cells."""
ROUNDING_OF_EXPONENT = 1e-3
TO_WHOLE = np.float32(1.5 * 2.0**23)
"""Added to a float32 and taken off again, it leaves the nearest whole number."""
SMALLEST = np.float32(1e-37)
"""What has a logarithm."""
AT_ONCE = np.float32(2 * WARP)
"""A warp's rows may take twice their share of what is left of the tolerance: often they cannot take theirs."""
TRIALS = 5
"""Limits that are tried, each twice the one before it."""
LOWEST = np.float32(1.0 / WARP)
"""The lowest of them, as a part of what rows may take together: all of them can be below it."""
LEFT, KEPT = np.uint32(0), np.uint32(1)
STATE = 2
"""Numbers of a tile's state: the part of its tolerance that is left, and rows kept so far."""


class Tile(NamedTuple):
    """Directions from the sample to a tile's samples, of all layers and sub-pixels."""

    direction: Any
    """To its centre."""
    along_fast: Any
    along_slow: Any
    """Half edges."""
    rest: float
    """What directions are beyond linear in them."""
    moved: float
    """How far from its centre a sample is."""
    unit: float
    """Score of a row of weight 1 where F and lattice factor are largest; of Gaussian spots, its logarithm."""
    lane: int
    """Number of the thread in its warp."""
    state: Any
    """float64 (``STATE``,), a thread's own."""


class View(NamedTuple):
    """A tile as a source sees it: float32, 1/m but for the unit."""

    q: Any
    along_fast: Any
    along_slow: Any
    rest: float
    moved: float
    unit: float


# A tile -----------------------------------------------------------------------------------------------------------


@device_function
def tile_pixel(image, first, number):
    """Slow and fast pixel of thread ``number`` of those for a run of pixels whose first is ``first``.

    A warp has a tile; tiles begin at pixel (0, 0), wherever the region does.
    """
    row = (image.first_slow + first // image.width) // ALONG_SLOW
    column = image.first_fast // ALONG_FAST
    across_region = (image.first_fast + image.width - 1) // ALONG_FAST - column + 1
    tile, lane = number // WARP, number % WARP
    row, column = row + tile // across_region, column + tile % across_region
    return ALONG_SLOW * row + lane // ALONG_FAST, ALONG_FAST * column + lane % ALONG_FAST


@device_function
def flat_shape(image, fast, slow, deep, along_fast, along_slow):
    """Directions over a tile of a plane: centre, half edges, rest, distance, and how far from the centre a sample is."""
    centre = flat_position(image, fast, slow, deep)
    airpath = length(centre)
    d = scaled(centre, 1.0 / airpath)
    u, v = across(image.fast, d, along_fast / airpath), across(image.slow, d, along_slow / airpath)
    into = length(across(image.normal, d, deep / airpath))
    radius = along_fast * length(image.fast) + along_slow * length(image.slow) + deep * length(image.normal)
    return d, u, v, beyond_straight(radius, airpath) + into, airpath, radius


@device_function
def curved_shape(image, fast, slow, deep, along_fast, along_slow):
    """The same of a curved surface."""
    centre = position(image, fast, slow, deep)
    airpath = length(centre)
    u = half_turn(image, fast, slow, deep, along_fast, 0.0)
    v = half_turn(image, fast, slow, deep, 0.0, along_slow)
    radius = along_fast + along_slow + deep
    rest = beyond_curved(radius, image.distance) + 2.0 * deep / image.distance
    return scaled(centre, 1.0 / airpath), u, v, rest, airpath, radius


@device_function
def tile_of(image, bound, source, slow, fast, rows, state, surface, shape):
    """The tile of a pixel; ``source`` is the row of the first source, ``rows`` how many are summed here, of all."""
    lane = (slow % ALONG_SLOW) * ALONG_FAST + fast % ALONG_FAST
    at_fast = image.pixel * (fast - fast % ALONG_FAST + 0.5 * ALONG_FAST)
    at_slow = image.pixel * (slow - slow % ALONG_SLOW + 0.5 * ALONG_SLOW)
    # From the centre to the outermost samples, along the edges and into the sensor.
    along_fast = 0.5 * image.pixel * (ALONG_FAST - 1.0 / image.oversample)
    along_slow = 0.5 * image.pixel * (ALONG_SLOW - 1.0 / image.oversample)
    deep = 0.5 * image.layer_step * (image.layers - 1)
    if len(surface) == FLAT:
        d, u, v, rest, airpath, radius = flat_shape(image, at_fast, at_slow, deep, along_fast, along_slow)
    else:
        d, u, v, rest, airpath, radius = curved_shape(image, at_fast, at_slow, deep, along_fast, along_slow)
    moved = length(u) + length(v) + rest
    unit = bound.unit * largest_solid_angle(image, nearest_airpath(airpath, radius))
    unit *= largest_capture(image, dot(d, image.normal), moved) * (image.layers if image.last_capture else 1)
    if image.polarization_correction:
        electric, magnetic = (source[5], source[6], source[7]), (source[8], source[9], source[10])
        polar = polarization_in_frame(image.kahn, (source[0], source[1], source[2]), d, electric, magnetic)
        unit *= largest_polarization(image.kahn, polar, math.inf if bound.any_source else moved)
    if len(shape) == GAUSS:
        unit = math.log(max(unit, 1e-300)) + ROUNDING_OF_EXPONENT
    else:
        # Those who sum other rows have the rest of the tolerance.
        unit *= image.rows / rows
    return Tile(singles(d), singles(u), singles(v), np.float32(rest * MORE), np.float32(moved * MORE), np.float32(unit),
                lane, state)  # fmt: skip


@device_function
def singles(v):
    """A vector in float32."""
    return np.float32(v[0]), np.float32(v[1]), np.float32(v[2])


@device_function
def view_of(tile, source, shape):
    """What a source, by its row, sees of a tile."""
    wavenumber, weight = np.float32(source[3]), np.float32(abs(source[4]))
    d, longer = tile.direction, np.float32(source[3] * MORE)
    i = singles(source)
    q = (d[0] - i[0]) * wavenumber, (d[1] - i[1]) * wavenumber, (d[2] - i[2]) * wavenumber
    if len(shape) == GAUSS:
        unit = tile.unit + math.log(max(weight, SMALLEST))
    elif len(shape) == TOPHAT:
        unit = np.float32(TOPHAT_RADIUS_SQR * MORE)
    else:
        unit = tile.unit * weight
    return View(
        q, scaled(tile.along_fast, longer), scaled(tile.along_slow, longer),
        (tile.rest + np.float32(ROUNDING)) * longer, (tile.moved + np.float32(ROUNDING_OF_DISTANCE)) * longer, unit,
    )  # fmt: skip


# A row's score ----------------------------------------------------------------------------------------------------


@device_function
def single_of(number, arithmetic):
    """The nearest float32 of a number of the table of orientations."""
    return bits_float(high_word(number)) if len(arithmetic) == PAIRS else np.float32(number)


@device_function
def axes_at(rows, at, arithmetic):
    """a, b, c in float32."""
    ax, ay, az, bx, by, bz, cx, cy, cz = cell_at(rows, at)
    return (
        (single_of(ax, arithmetic), single_of(ay, arithmetic), single_of(az, arithmetic)),
        (single_of(bx, arithmetic), single_of(by, arithmetic), single_of(bz, arithmetic)),
        (single_of(cx, arithmetic), single_of(cy, arithmetic), single_of(cz, arithmetic)),
    )


@device_function
def index_box(axis, view, long):
    """An index over the tile: nearest whole number of its centre, distance from that, half extent."""
    h = dot(axis, view.q)
    whole = (h + TO_WHOLE) - TO_WHOLE
    return whole, h - whole, half_extent(dot(axis, view.along_fast), dot(axis, view.along_slow), long, view.rest)


@device_function
def cell_number(whole, first, last):
    """Where an index stands along its axis of the table of ceilings; beyond it, at its end."""
    return np.uint32(min(max(whole - np.float32(first), ZERO), np.float32(last - 1)))


@device_function
def ceiling_at(bound, ceilings, h, k, l, alone):
    """The largest F² of the reflection, or of it and its neighbours, as a share of the largest of all."""
    sizes, first = bound.sizes, bound.first
    i, j, m = (
        cell_number(h, first[0], sizes[0]), cell_number(k, first[1], sizes[1]), cell_number(l, first[2], sizes[2])
    )  # fmt: skip
    place = (i * np.uint32(sizes[1]) + j) * np.uint32(sizes[2]) + m
    return ceilings[place if alone else np.uint32(place + np.uint32(bound.reflections))]


@device_function
def score_at(rows, at, view, bound, ceilings, shape, arithmetic):
    """What a row can give the tile at the most, in units of the tolerance; of compact spots, 0 or less if nothing."""
    a, b, c = axes_at(rows, at, arithmetic)
    long = bound.long
    h, dh, eh = index_box(a, view, np.float32(long[0]))
    k, dk, ek = index_box(b, view, np.float32(long[1]))
    l, dl, el = index_box(c, view, np.float32(long[2]))
    mh, mk, ml = least_distance(dh, eh), least_distance(dk, ek), least_distance(dl, el)
    alone = is_alone(dh, eh) and is_alone(dk, ek) and is_alone(dl, el)
    near = is_near(eh) and is_near(ek) and is_near(el)
    ceiling = ceiling_at(bound, ceilings, h, k, l, alone) if near else np.float32(bound.far)
    if len(shape) == GAUSS or len(shape) == TOPHAT:
        per, stars, strength = singles(bound.per_index), bound.stars, np.float32(bound.strength)
        delta = dh, dk, dl
        x = dot(delta, (np.float32(stars[0]), np.float32(stars[3]), np.float32(stars[6])))
        y = dot(delta, (np.float32(stars[1]), np.float32(stars[4]), np.float32(stars[7])))
        z = dot(delta, (np.float32(stars[2]), np.float32(stars[5]), np.float32(stars[8])))
        radius = view.moved * np.float32(bound.turn)
        distance = compact_distance(mh, mk, ml, per[0], per[1], per[2], length((x, y, z)), radius, alone)
        score = view.unit + ceiling - strength * distance * distance
    else:
        score = ceiling * lattice_share(mh, mk, ml, singles(bound.cells_sqr), shape) * view.unit
    return score


@device_function
def lattice_share(mh, mk, ml, cells_sqr, shape):
    """The largest share of the lattice factor's peak at least so far from a reflection along each index."""
    if len(shape) == SQUARE:
        share = square_share(mh, mk, ml, cells_sqr[0], cells_sqr[1], cells_sqr[2])
    elif len(shape) == ROUND:
        share = round_share(mh * mh * cells_sqr[0] + mk * mk * cells_sqr[1] + ml * ml * cells_sqr[2])
    else:
        share = shape_without_branch(shape)
    return share


# Which rows are kept ----------------------------------------------------------------------------------------------


@device_function
def kept_rows(tables, bound, rows, first, count, to_come, tile, view, shape, arithmetic):
    """Bits of those of a warp's rows that are to be evaluated: row number ``first`` of ``count`` in shared memory on.

    ``to_come``: how many rows, these among them, have to do with what is left of the tolerance.
    """
    number = smaller(first + tile.lane, count - 1)
    score = score_at(rows, unsigned(ROW * number), view, bound, tables.ceilings, shape, arithmetic)
    score = score if first + tile.lane < count else ZERO
    if len(shape) == GAUSS or len(shape) == TOPHAT:
        cut = ZERO
    else:
        cut = highest_cut(score, to_come, tile.state)
    return vote(not score <= cut)


@device_function
def highest_cut(score, to_come, state):
    """The score up to which a warp's rows are left out: their sum comes off what is left."""
    allowed = np.float32(state[LEFT]) * min(AT_ONCE / np.float32(to_come), UNIT)
    cut = spent = ZERO
    limit = allowed * LOWEST
    for _ in range(TRIALS):
        below = sum_of_warp(score if score <= limit else ZERO)
        if below <= allowed:
            cut, spent = limit, below
        limit += limit
    state[LEFT] -= spent
    return cut


@device_function
def intensity_at(factors, image, rows, at, q, shape, interpolate, arithmetic):
    """F²·F_latt² in one orientation, as the exact kernel has it."""
    if len(arithmetic) >= BITS:
        offset = WHOLE_BITS if len(arithmetic) == BITS else 0
        first = (int(image.first[0]) + offset, int(image.first[1]) + offset, int(image.first[2]) + offset)
        cells = (int(image.cells[0]), int(image.cells[1]), int(image.cells[2]))
        sizes = (int(image.sizes[0]), int(image.sizes[1]), int(image.sizes[2]))
        pairs = (split(q[0]), split(q[1]), split(q[2]))
        intensity = intensity_by_bits(factors, rows, at, q, pairs, cells, first, sizes, arithmetic)
    else:
        intensity, _ = sample_intensity(factors, image, rows, at, q, shape, interpolate, arithmetic)
    return intensity


@device_function
def sum_kept(tables, bound, factors, image, rows, count, to_come, q, tile, view, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over those of the staged orientations that are kept."""
    total = np.float32(0.0) if len(arithmetic) >= BITS else 0.0
    for first in range(0, count, WARP):
        kept = kept_rows(tables, bound, rows, first, count, to_come - first, tile, view, shape, arithmetic)
        tile.state[KEPT] += bits_set(kept)
        while kept != 0:
            at = unsigned(ROW * (first + first_bit(kept)))
            kept = unsigned(kept & (kept - ONE))
            total += intensity_at(factors, image, rows, at, q, shape, interpolate, arithmetic)
    return float(total)


adopt_equations(globals())
