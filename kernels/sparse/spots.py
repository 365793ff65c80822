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

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..choices import FLAT, GAUSS, TOPHAT
from ..compile.jit import compiled
from ..cpu.reach import farthest_scattering
from ..equations.pixel import flat_position
from ..equations.spots import plane_normal
from ..equations.vectors import dot, length
from .candidates import Candidates, list_candidates
from .marks import first_marks, mark_hits, new_marks, put_marks, with_room_for
from .reaches import Reach, reach_of
from .shadows import gather_hits, new_work, panel_of, project_hits, step_of, test_candidates
from .tiles import Kept, blocks_along

SAMPLE_COST, MARK_COST = 2.0, 30.0
"""What it takes to render a sample exactly, and to mark a block; ns."""
WORTH = 0.5
"""Part of the time of rendering without that listing may take."""
MOST_AT_FIRST = 1 << 22
"""Marks for which there is room at first."""
STEEPEST = 1e-3
"""Least ratio of a plane's distance from the sample to that of the panel's farthest corner."""
NO_LIST = Kept(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint16))
"""Of an image for which it would take longer to list spots than they spare; it has not even a first block."""


class Listing(NamedTuple):
    """What the marks of all steps are made from."""

    reach: Reach
    candidates: Candidates
    steps: int
    most: float
    """Marks that are worth their while; 0 where already the candidates are too many."""


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


def list_spots(plan, tables, budget, parts=1, each: Callable[..., Iterable[Any]] = map):
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
    parts, each
        So many parts of the work may go on at a time, if ``each`` maps them so; whatever they are, the list is the
        same.

    Returns
    -------
    Kept
        :data:`NO_LIST` where it would take longer than it spares, which the plan alone decides, too.
    """
    detector = plan.detector
    whole = detector._replace(roi=(0, detector.fast_pixels - 1, 0, detector.slow_pixels - 1))
    plan = plan._replace(detector=whole)
    listing = begin_list(plan, tables.cells, budget)
    if listing.most == 0.0:
        return NO_LIST
    ends = [listing.steps * part // parts for part in range(parts + 1)]
    marked = list(each(lambda part: mark_steps(plan, tables.cells, listing, ends[part], ends[part + 1]), range(parts)))
    total = sum(len(marks.step) for marks in marked)
    if total > listing.most:
        return NO_LIST
    counts = np.array([marks.counts for marks in marked])
    first = np.concatenate(([0], np.cumsum(counts.sum(0))))
    places = first[:-1] + np.cumsum(counts, axis=0) - counts
    kept = Kept(first, np.empty(total, np.int32), np.empty(total, np.uint16))
    for _ in each(lambda part: put_marks(marked[part], places[part], kept), range(parts)):
        pass
    return kept


@compiled()
def begin_list(plan, cells, budget):
    """Candidates of all steps, of a plan whose region of interest is the whole panel."""
    detector = plan.detector
    steps = plan.sources.wavelength.shape[0] * cells.shape[0]
    samples = float(detector.fast_pixels) * detector.slow_pixels * plan.oversample * plan.oversample * detector.layers
    most = WORTH * SAMPLE_COST * samples * steps
    scattering = farthest_scattering(plan)
    reach = reach_of(plan, cells, scattering, budget)
    candidates, serve = list_candidates(plan, cells, scattering, reach, most)
    return Listing(reach, candidates, steps, most / MARK_COST if serve else 0.0)


@compiled()
def mark_steps(plan, cells, listing, first, stop):
    """Marks of the steps from ``first`` up to ``stop``; of not all where they are more than are worth their while."""
    candidates, orientations = listing.candidates, cells.shape[0]
    panel, work = panel_of(plan.detector, plan.oversample), new_work(candidates)
    blocks = blocks_along(plan.detector.fast_pixels) * blocks_along(plan.detector.slow_pixels)
    # Memory that is not used is not taken: a mark for each test is more than there will be, or nearly so.
    marks = new_marks(min(candidates.h.shape[0] * (stop - first), MOST_AT_FIRST) + blocks, blocks)
    total, latest = 0, np.full(blocks, -1, np.int32)
    group = 0
    for number in range(first, stop):
        source, orientation = number // orientations, number % orientations
        if plan.sources.weight[source] <= 0.0:
            continue
        while orientation < candidates.orientation[group] or orientation >= candidates.orientation[group + 1]:
            group = (group + 1) % (candidates.orientation.shape[0] - 1)
        step = step_of(plan, cells, listing.reach, panel, source, orientation)
        begin, end = candidates.first[group], candidates.first[group + 1]
        test_candidates(candidates, begin, end, step, work.beyond)
        hits = gather_hits(work, begin, end)
        project_hits(candidates, step, panel, work, hits)
        marks = with_room_for(marks, total, total + blocks)
        total = mark_hits(plan.detector, work, hits, number, marks, total, latest)
        if total > listing.most:
            break
    return first_marks(marks, total)
