"""Whether a card leaves orientations of a plan out, and what it tells of that."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...kernels.plan import Plan
from ...left_out import LeftOut
from ..left_out import all_evaluated, why_ignored
from ..sparse import BRIEF, FULL, MOST_KEPT, may_leave_out

INTERPOLATED = "a card evaluates all where it interpolates"
FEWEST_ROWS = 8
"""Orientations of a source: a warp tests 32 at a time, in the time of three steps."""
LOOKING = 0.1
"""Part of an image's time that the processor may spend before it is known whether anything can be left out."""
PS_A_STEP, PS_A_REFLECTION, PS_A_TEST = 5.0, 5e3, 5e4
"""What takes how long, roughly: a step on a card; on the processor, a reflection in the table of ceilings, and a step in
the tiles of a block of pixels."""
MOST_TRIED = 64
"""Blocks that are tried, as ``kernels/sparse/probe.py`` has them."""


class Told(NamedTuple):
    """What there is to tell of an image that a card has rendered."""

    outside: int
    """Samples that were to be interpolated but lie outside the table."""
    left_out: LeftOut | None
    """None where nothing may be left out."""


class Counts(NamedTuple):
    """What was left out of a part of an image."""

    evaluated: float = 0.0
    every: float = 0.0
    """Orientations that warps summed, and all."""
    spent: float = 0.0
    """The largest part of the tolerance that may have been left out of a pixel."""


def why_not_tried(plan: Plan) -> str | None:
    """Why all is evaluated whatever could be left out; None where that is to be looked at."""
    if not may_leave_out(plan):
        return ""
    if plan.factors.interpolate:
        return why_ignored(plan) or INTERPOLATED
    detector, rows = plan.detector, len(plan.crystal.phi) * len(plan.crystal.domains)
    steps = rows * len(plan.sources.weight)
    samples = float(detector.fast_pixels) * detector.slow_pixels * plan.oversample**2 * detector.layers * steps
    looking = plan.factors.table.size * PS_A_REFLECTION + MOST_TRIED * steps * PS_A_TEST
    return BRIEF if rows < FEWEST_ROWS or looking > LOOKING * samples * PS_A_STEP else None


def bounds_for(plan: Plan) -> tuple[Any, str]:
    """What bounds a plan's steps, where some of them are left out; else None, and why."""
    why = why_not_tried(plan)
    if why is not None:
        return None, why
    # With kernels of the CPU, which images of which nothing is left out can do without.
    from ...kernels.equations.orientation import oriented_cells
    from ...kernels.sparse.probe import share_kept
    from ...kernels.sparse.scores import bounds_of

    bounds = bounds_of(plan, oriented_cells(plan.crystal), plan.tolerance)
    if share_kept(plan, bounds, (0,) * int(plan.crystal.shape)) > MOST_KEPT:
        return None, FULL
    return bounds, ""


def told_of(plan: Plan, counts: Sequence[Counts], why: str) -> LeftOut | None:
    """What is told of a plan whose parts have these counts, or ``why`` all was evaluated."""
    every = sum(count.every for count in counts)
    if plan.tolerance == 0.0 or not every:
        return all_evaluated(plan, why)
    spent = max(count.spent for count in counts)
    return LeftOut(sum(count.evaluated for count in counts) / every, spent * plan.tolerance)
