"""Which steps light which tiles, where crystals have compact spots: reflection by reflection, no tile is tested.

What is left out: a sample takes F of the reflection nearest in index, g, and F_latt by its distance from it. If it
gives more than its share of the tolerance, w F² N² e^(−2ρ²) > share, then it lies within the reach of g in this step;
and a pixel with a sample there is in the shadow of the cone of directions within that reach about g's reflected ray. So
each step and each reflection that meets the Ewald sphere within its reach marks the tiles of its shadow, for all
sub-pixels (whole pixels) and all layers (from the first one's depth to the last one's). It does not matter how wide
spots are, whether they overlap, or where the border between two nearest reflections is: a sample has one reflection,
whose shadow alone must hold it. Of top-hat spots the share is 0: what is not marked is 0.

Steps go source by source, as they are rendered, each through the candidates of its group. Three loops serve it: test,
project what meets the sphere, mark tiles.
"""

import math
from typing import NamedTuple

import numpy as np

from ..choices import FLAT, GAUSS, TOPHAT
from ..compile.equation import inlined
from ..compile.jit import compiled, internal, maker
from ..compile.memory import look_up, read, write
from ..cpu.reach import edges_of, farthest_scattering
from ..cpu.tables import farthest_indices
from ..equations.bounds import largest_polarization, largest_solid_angle
from ..equations.lattice_factor import peak
from ..equations.pixel import flat_position
from ..equations.spots import (
    Symmetric,
    along_axis,
    beyond_reach,
    gauss_reach_sqr,
    largest_eigenvalue,
    plane_normal,
    shadow,
    shrunk,
    slice_of,
    spread_of,
    times,
    tophat_reach_sqr,
    with_room,
)
from ..equations.vectors import Vector, cross, dot, length, scaled
from .candidates import TEST_COST, Reach, index_range, list_candidates
from .tiles import ACROSS, EDGE, Kept, blocks_along

MARGIN = 1e-6
"""Pixels about a shadow, for rounding."""
SAMPLE_COST, MARK_COST = 2.0, 30.0
"""What it takes to render a sample exactly, and to list a block that a step lights; ns."""
LARGEST_LOGARITHM = 599.0
"""Of a Gaussian's peak to its share: beyond e⁻⁶⁰⁰ of its peak the rendered one does not fall."""
WIDEST_SQR = 0.25
"""Radius² on the unit sphere, from which on a spot is not projected."""
STEEPEST = 1e-3
"""Least ratio of a plane's distance from the sample to that of the panel's farthest corner."""


class Panel(NamedTuple):
    """A plane and its pixels as rays from the sample meet it."""

    normal: Vector
    """Away from the sample."""
    fast: Vector
    slow: Vector
    """A point's products with them are its pixel along fast and slow, but for an offset."""
    near: Vector
    far: Vector
    """Of the first layer and of the last: distance from the sample in m, offsets along fast and slow in pixels."""
    last_fast: float
    last_slow: float
    inset: float
    """How far the outermost samples are from a pixel's edge, in pixels."""


class Step(NamedTuple):
    """A source and an orientation."""

    a: Vector
    b: Vector
    c: Vector
    """Reciprocal axes times λ."""
    incident: Vector
    square: float
    """λ², m²."""
    shape: Symmetric
    """Of its spots: the longest axis is 1."""
    fast_sqr: float
    fast_ahead: float
    slow_sqr: float
    slow_ahead: float
    ahead_sqr: float
    """The shape's products with the panel's axes and its normal."""
    fainter: float
    """What a spot's squared reach is less than the brightest source's, m⁻²."""


class Work(NamedTuple):
    """Room for one step's candidates, and for its hits one after the other."""

    beyond: np.ndarray
    """float64, not positive where a candidate is hit."""
    hit: np.ndarray
    """uint32: which those are."""
    fast0: np.ndarray
    fast1: np.ndarray
    slow0: np.ndarray
    slow1: np.ndarray
    """float64: first and last pixel of its shadow within the panel; last before first where there is none."""


class Marks(NamedTuple):
    """The blocks that steps light, in the order of steps."""

    block: np.ndarray
    """int32."""
    step: np.ndarray
    """int32."""
    tiles: np.ndarray
    """uint16."""


NO_LIST = Kept(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
"""Of an image for which it would take longer to list spots than they spare; it has not even a first block."""


def lists_serve(plan):
    """Whether what may be left out of the image that a plan describes can be told by lists of its spots.

    Compact spots of nearest F on a plane that sees the sample from one side, not all too obliquely.
    """
    crystal, detector = plan.crystal, plan.detector
    if crystal.shape not in (GAUSS, TOPHAT) or plan.factors.interpolate or plan.running_product:
        return False
    if detector.surface != FLAT or not crystal.fudge > 0.0 or crystal.phi.shape[0] * crystal.domains.shape[0] == 0:
        return False
    depth = detector.layer_step * (detector.layers - 1)
    normal = plane_normal(detector)
    corners = [
        flat_position(detector, detector.pixel * fast, detector.pixel * slow, at)
        for fast in (0, detector.fast_pixels) for slow in (0, detector.slow_pixels) for at in (0.0, depth)
    ]  # fmt: skip
    # Rays from behind are captured more than once.
    ahead = detector.layer_step == 0.0 or min(dot(corner, detector.normal) for corner in corners) > 0.0
    return ahead and min(dot(corner, normal) for corner in corners) > STEEPEST * max(map(length, corners))


def list_spots(plan, tables, budget):
    """The steps that light the tiles of each block by more than their share of a budget.

    Parameters
    ----------
    plan : Plan
        For which :func:`lists_serve`. Its region of interest and mask do not matter.
    tables : Tables
        Of :func:`make_tables`; its orientations alone are looked at.
    budget : float
        Photons by which all that is left out may change a pixel, more than 0 but for top-hat spots, of which nothing
        is left out that is not 0.

    Returns
    -------
    Kept
        :data:`NO_LIST` where it would take longer than it spares.
    """
    detector = plan.detector
    whole = detector._replace(roi=(0, detector.fast_pixels - 1, 0, detector.slow_pixels - 1))
    return list_of(plan._replace(detector=whole), tables.cells, budget)


@compiled()
def list_of(plan, cells, budget):
    """The same of a plan whose region of interest is the whole panel."""
    detector, sources = plan.detector, plan.sources
    steps = sources.wavelength.shape[0] * cells.shape[0]
    pixels = float(detector.fast_pixels) * detector.slow_pixels
    # Half as long as it takes to render without.
    most = 0.5 * SAMPLE_COST * pixels * plan.oversample * plan.oversample * detector.layers * steps
    scattering = farthest_scattering(plan)
    reach = reach_of(plan, cells, scattering, budget)
    blocks = blocks_along(detector.fast_pixels) * blocks_along(detector.slow_pixels)
    if not math.isfinite(reach.farthest):
        return Kept(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
    if reach.farthest <= 0.0:
        return Kept(np.zeros(blocks + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
    candidates = list_candidates(plan, cells, scattering, reach, most / TEST_COST)
    if candidates.first.shape[0] == 1:
        return Kept(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
    marks, count = mark_steps(plan, cells, reach, candidates, 0, steps, most / MARK_COST)
    if count > most / MARK_COST:
        return Kept(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
    return by_block(marks, count, blocks)


# How far spots reach ----------------------------------------------------------------------------------------------


@maker()
def reach_of(plan, cells, scattering, budget):
    """Reach of spots outside which steps give no more than their share; infinite where there is no such."""
    crystal = plan.crystal
    stretch = 0.0
    for n in range(cells.shape[0]):
        stretch = max(stretch, largest_eigenvalue(spread_of(crystal, stars_of(edges_of(cells, n)))))
    if crystal.shape == TOPHAT:
        radius_sqr = stretch * tophat_reach_sqr(crystal)
        return Reach(stretch, radius_sqr, 0.0, radius_sqr)
    steps = float(plan.sources.wavelength.shape[0] * cells.shape[0])
    photons = largest_photons(plan) * plan.sources.weight.max() * peak(crystal) ** 2
    rate, brightest = (
        stretch * gauss_reach_sqr(crystal),
        largest_square(plan.factors, farthest_indices(plan.crystal, scattering)),
    )
    if photons == 0.0 or brightest == 0.0:
        return Reach(stretch, 0.0, 0.0, 0.0)
    logarithm = math.log(photons) + math.log(steps) - math.log(budget)
    farthest = logarithm + math.log(brightest)
    return Reach(stretch, rate * logarithm, rate, rate * farthest if farthest < LARGEST_LOGARITHM else math.inf)


@internal()
def largest_photons(plan):
    """No step gives any pixel more than this times w F² F_latt²."""
    detector = plan.detector
    depth = detector.layer_step * (detector.layers - 1)
    near = abs(dot(detector.origin, plane_normal(detector)))
    along = min(dot(detector.normal, plane_normal(detector)), 0.0)
    polar = largest_polarization(plan.kahn, 1.0, math.inf) if plan.polarization_correction else 1.0
    samples = float(plan.oversample) * plan.oversample * detector.layers
    return plan.photons_per_sample * samples * polar * largest_solid_angle(detector, near + along * depth)


@internal()
def largest_square(factors, farthest):
    """F² of the brightest reflection whose indices are no more than the farthest."""
    largest = abs(factors.default)
    h_low, h_high = index_range(factors, 0, farthest[0], True)
    k_low, k_high = index_range(factors, 1, farthest[1], True)
    l_low, l_high = index_range(factors, 2, farthest[2], True)
    for channel in range(factors.table.shape[0]):
        for h in range(h_low - factors.first[0], h_high - factors.first[0] + 1):
            for k in range(k_low - factors.first[1], k_high - factors.first[1] + 1):
                row = factors.table[channel, h, k, l_low - factors.first[2] : l_high - factors.first[2] + 1]
                largest = max(largest, largest_of_row(row))
    return largest * largest


@internal(fastmath={"nnan", "nsz"})
def largest_of_row(row):
    """Of their magnitudes."""
    largest = 0.0
    for n in range(row.shape[0]):
        largest = max(largest, abs(row[n]))
    return largest


@internal()
def stars_of(edges):
    """a*, b* and c* in 1/m of a cell's edges."""
    a, b, c = edges
    inverse = 1.0 / dot(a, cross(b, c))
    return scaled(cross(b, c), inverse), scaled(cross(c, a), inverse), scaled(cross(a, b), inverse)


# Step by step -----------------------------------------------------------------------------------------------------


@maker()
def mark_steps(plan, cells, reach, candidates, first, stop, most):
    """Marks of the steps from ``first`` up to ``stop``, and how many; of not all where they are more than ``most``."""
    panel = panel_of(plan.detector, plan.oversample)
    blocks = blocks_along(plan.detector.fast_pixels) * blocks_along(plan.detector.slow_pixels)
    longest = 1
    for group in range(candidates.first.shape[0] - 1):
        longest = max(longest, candidates.first[group + 1] - candidates.first[group])
    rows = np.empty((5, longest))
    work = Work(rows[0], np.empty(longest, np.uint32), rows[1], rows[2], rows[3], rows[4])
    marks, count = new_marks(4096), 0
    latest = np.full(blocks, -1)
    group, orientations = 0, cells.shape[0]
    for number in range(first, stop):
        source, orientation = number // orientations, number % orientations
        if orientation == 0:
            group = 0
        while candidates.orientation[group + 1] <= orientation:
            group += 1
        weight = plan.sources.weight[source]
        if weight <= 0.0:
            continue
        step = step_of(plan, cells, reach, panel, source, orientation)
        begin, end = candidates.first[group], candidates.first[group + 1]
        test_candidates(candidates, begin, end, step, work.beyond)
        hits = gather_hits(work, begin, end)
        project_hits(candidates, step, panel, work, hits)
        if count + blocks > marks.block.shape[0]:
            marks = longer_marks(marks, count, 2 * count + blocks)
        count = mark_hits(plan.detector, work, hits, number, marks, count, latest)
        if count > most:
            break
    return marks, count


@internal()
def panel_of(detector, oversample):
    """The plane of a panel, on whose far side its pixels are."""
    normal, depth = plane_normal(detector), detector.layer_step * (detector.layers - 1)
    fast = along_axis(detector.fast, detector.slow, normal, detector.pixel)
    slow = along_axis(detector.slow, detector.fast, normal, detector.pixel)
    origin, inwards = detector.origin, scaled(detector.normal, depth)
    near = (dot(normal, origin), dot(fast, origin), dot(slow, origin))
    far = (near[0] + dot(normal, inwards), near[1] + dot(fast, inwards), near[2] + dot(slow, inwards))
    return Panel(
        normal, fast, slow, near, far,
        detector.fast_pixels - 1.0, detector.slow_pixels - 1.0, 0.5 / oversample,
    )  # fmt: skip


@internal()
def step_of(plan, cells, reach, panel, source, orientation):
    """What is the same for all reflections of a step."""
    sources = plan.sources
    wavelength = sources.wavelength[source]
    a, b, c = stars_of(edges_of(cells, orientation))
    shape = shrunk(spread_of(plan.crystal, (a, b, c)), reach.stretch)
    fast, slow, ahead = times(shape, panel.fast), times(shape, panel.slow), times(shape, panel.normal)
    fainter = reach.rate * math.log(sources.weight.max() / sources.weight[source]) if reach.rate > 0.0 else 0.0
    incident = (sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2])
    return Step(
        scaled(a, wavelength), scaled(b, wavelength), scaled(c, wavelength), incident, wavelength * wavelength, shape,
        dot(fast, panel.fast), dot(fast, panel.normal), dot(slow, panel.slow), dot(slow, panel.normal),
        dot(ahead, panel.normal), fainter,
    )  # fmt: skip


@internal(forceinline=True, fastmath={"contract"})
def tip_of_ray(step, h, k, l):
    """y = s0 + λ (h a* + k b* + l c*)."""
    a, b, c, i = step.a, step.b, step.c, step.incident
    return (
        i[0] + h * a[0] + k * b[0] + l * c[0],
        i[1] + h * a[1] + k * b[1] + l * c[1],
        i[2] + h * a[2] + k * b[2] + l * c[2],
    )


@internal(fastmath={"contract"})
def test_candidates(candidates, begin, end, step, beyond):
    """How far the spots of a group are beyond the Ewald sphere."""
    h, k, l, reach_sqr = candidates.h, candidates.k, candidates.l, candidates.reach_sqr
    for n in range(end - begin):
        at = np.uint32(begin + n)
        y = tip_of_ray(step, read(h, at), read(k, at), read(l, at))
        radius_sqr = with_room(step.square * (read(reach_sqr, at) - step.fainter))
        write(beyond, np.uint32(n), beyond_reach(y[0] * y[0] + y[1] * y[1] + y[2] * y[2], radius_sqr))


@internal()
def gather_hits(work, begin, end):
    """Number the candidates that are hit; how many there are."""
    count = 0
    for n in range(end - begin):
        work.hit[count] = begin + n
        count += work.beyond[n] <= 0.0
    return count


@internal(fastmath={"contract"})
def project_hits(candidates, step, panel, work, count):
    """The pixels about the shadow of each spot that is hit."""
    for n in range(count):
        p = np.uint32(n)
        at = read(work.hit, p)
        y = tip_of_ray(step, look_up(candidates.h, at), look_up(candidates.k, at), look_up(candidates.l, at))
        size = math.sqrt(product(y, y))
        radius_sqr = with_room(step.square * (look_up(candidates.reach_sqr, at) - step.fainter))
        k = times(step.shape, y)
        scale = 1.0 / product(k, y)
        cut = slice_of(size, radius_sqr, 1.0 / (scale * size * size))
        scale *= size
        kn, kf, ks = product(k, panel.normal) * scale, product(k, panel.fast) * scale, product(k, panel.slow) * scale
        ahead, ahead_sqr = product(y, panel.normal) + cut.moved * kn, cut.along * step.ahead_sqr + cut.across * kn * kn
        # A spot that is wide, or along the plane, has a shadow without end; one that points away has none.
        clear = (radius_sqr < WIDEST_SQR) & (ahead * ahead > 1.001 * ahead_sqr)
        bounded, nowhere = clear & (ahead > 0.0), (cut.along < 0.0) | (clear & (ahead < 0.0))
        ahead, ahead_sqr = (ahead if bounded else 1.0), (ahead_sqr if bounded else 0.0)
        fast = shadow(
            product(y, panel.fast) + cut.moved * kf, ahead, cut.along * step.fast_sqr + cut.across * kf * kf,
            cut.along * step.fast_ahead + cut.across * kf * kn, ahead_sqr,
        )  # fmt: skip
        slow = shadow(
            product(y, panel.slow) + cut.moved * ks, ahead, cut.along * step.slow_sqr + cut.across * ks * ks,
            cut.along * step.slow_ahead + cut.across * ks * kn, ahead_sqr,
        )  # fmt: skip
        first, last = pixels_of(panel, fast, panel.near[1], panel.far[1], panel.last_fast)
        write(work.fast0, p, first if bounded else 0.0)
        write(work.fast1, p, -1.0 if nowhere else (last if bounded else panel.last_fast))
        first, last = pixels_of(panel, slow, panel.near[2], panel.far[2], panel.last_slow)
        write(work.slow0, p, first if bounded else 0.0)
        write(work.slow1, p, last if bounded else panel.last_slow)


@inlined
def product(u, v):
    """u·v."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@internal(forceinline=True, fastmath={"contract"})
def pixels_of(panel, shadow, near_offset, far_offset, last):
    """First and last pixel with samples in a shadow on the plane at unit distance, on any layer of a panel."""
    low, high = shadow[0] - shadow[1], shadow[0] + shadow[1]
    first = min(panel.near[0] * low - near_offset, panel.far[0] * low - far_offset)
    end = max(panel.near[0] * high - near_offset, panel.far[0] * high - far_offset)
    return max(np.ceil(first - MARGIN - (1.0 - panel.inset)), 0.0), min(np.floor(end + MARGIN - panel.inset), last)


# Tiles ------------------------------------------------------------------------------------------------------------


@maker()
def new_marks(size):
    """Room for so many."""
    return Marks(np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint16))


@maker()
def longer_marks(marks, count, size):
    """The same, with more room."""
    longer = new_marks(size)
    longer.block[:count] = marks.block[:count]
    longer.step[:count] = marks.step[:count]
    longer.tiles[:count] = marks.tiles[:count]
    return longer


@internal()
def mark_hits(detector, work, hits, number, marks, count, latest):
    """Append a step's marks, one for each block that it lights; how many there are.

    ``latest`` (blocks,) has each block's mark last made.
    """
    across = blocks_along(detector.fast_pixels)
    for n in range(hits):
        fast0, fast1 = int(work.fast0[n]) // EDGE, int(work.fast1[n])
        slow0, slow1 = int(work.slow0[n]) // EDGE, int(work.slow1[n])
        if fast1 < work.fast0[n] or slow1 < work.slow0[n]:
            continue
        fast1, slow1 = fast1 // EDGE, slow1 // EDGE
        for row in range(slow0 // ACROSS, slow1 // ACROSS + 1):
            rows = part_of_block(row, slow0, slow1)
            for column in range(fast0 // ACROSS, fast1 // ACROSS + 1):
                block, tiles = row * across + column, tiles_at(rows, part_of_block(column, fast0, fast1))
                mark = latest[block]
                if mark >= 0 and marks.step[mark] == number:
                    marks.tiles[mark] |= tiles
                else:
                    marks.block[count], marks.step[count], marks.tiles[count] = block, number, tiles
                    latest[block] = count
                    count += 1
    return count


@internal()
def part_of_block(block, first, last):
    """First and last of a block's tiles, along an edge, between two of the panel's."""
    return max(first - ACROSS * block, 0), min(last - ACROSS * block, ACROSS - 1)


@internal()
def tiles_at(rows, columns):
    """The bits of some rows and columns of a block's tiles."""
    line = (2 << columns[1]) - (1 << columns[0])
    every = 0x1111 & ((1 << (ACROSS * rows[1] + ACROSS)) - (1 << (ACROSS * rows[0])))
    return line * every


@maker()
def by_block(marks, count, blocks):
    """The marks of each block together, in the order of steps."""
    first = np.zeros(blocks + 1, np.int64)
    for n in range(count):
        first[marks.block[n] + 1] += 1
    for block in range(blocks):
        first[block + 1] += first[block]
    place = first[:-1].copy()
    step, tiles = np.empty(count, np.int32), np.empty(count, np.uint16)
    for n in range(count):
        at = place[marks.block[n]]
        step[at], tiles[at] = marks.step[n], marks.tiles[n]
        place[marks.block[n]] = at + 1
    return Kept(first, step, tiles)
