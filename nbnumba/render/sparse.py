"""Whether the CPU leaves steps of a plan out, and which: decided by plan and tolerance, wherever the region is."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np

from ..interruption import in_threads
from ..kernels.choices import GAUSS, TOPHAT
from ..kernels.equations.vectors import length
from ..kernels.plan import Plan
from ..setup.reach import edge_resolution
from .canvas import Canvas
from .left_out import why_ignored

FULL = "too little could be left out"
BRIEF = "so little is to be evaluated that to look for what can be left out would take longer"

MOST_KEPT = 0.65
"""Share of the steps above which all are evaluated, in the whole image, as fast as ever."""
LOOKING = 0.05
"""Part of an image's time that may be spent before it is known whether anything can be left out."""
NS_TO_BEGIN, NS_A_PIXEL, NS_A_STEP, NS_A_REFLECTION = 1e6, 3.0, 2.4, 4.0
"""What takes how long, roughly: to hand a plan to kernels a few times, a pixel's geometry, a step in it, a reflection
in the table of ceilings."""


class Done(NamedTuple):
    """What a thread has to tell of its share of an image."""

    outside: float
    """Samples that were to be interpolated but lie outside the table."""
    evaluated: int = 0
    every: int = 0
    """Steps of tiles: those that were evaluated, and all."""
    spent: float = 0.0
    """The largest part of the tolerance that may have been left out of a pixel."""


Work = Callable[[], Done]


def sparse_work(plan: Plan, tables: Any, variant: Any, canvas: Canvas, threads: int) -> tuple[Work | None, str]:
    """What threads do to render a plan with its tolerance, compiled; None where all is to be evaluated, and why."""
    why, exact_ns = why_ignored(plan), _exact_ns(plan)
    if why or LOOKING * exact_ns < NS_TO_BEGIN:
        return None, why or BRIEF
    rest = canvas.photons, np.zeros(1, np.int64), canvas.done, canvas.stop, *variant
    if plan.crystal.shape in (GAUSS, TOPHAT):
        from ..kernels.sparse.render import render_listed
        from ..kernels.sparse.spots import list_spots, lists_serve

        if lists_serve(plan):
            kept = list_spots(plan, tables, plan.tolerance, threads, partial(_each, threads))
            if len(kept.first):
                work = _compiled(render_listed, plan, tables, kept, *rest)
                # Of Gaussian spots, each step has its share in the tolerance, whether or not it takes it.
                return lambda: work()._replace(spent=float(plan.crystal.shape == GAUSS)), ""
    if LOOKING * exact_ns < NS_TO_BEGIN + NS_A_REFLECTION * reflections_met(plan):
        return None, BRIEF
    from ..kernels.sparse.probe import share_kept
    from ..kernels.sparse.render import render_tested
    from ..kernels.sparse.scores import bounds_of

    bounds = bounds_of(plan, tables.cells, plan.tolerance)
    if share_kept(plan, bounds, variant[0]) > MOST_KEPT:
        return None, FULL
    return _compiled(render_tested, plan, tables, bounds, *rest), ""


def _compiled(render: Any, *args: Any) -> Work:
    """A renderer's work, once it is compiled for its arguments."""
    render.compile(tuple(numba.typeof(arg) for arg in args))
    return lambda: Done(*render(*args))


def _each(threads: int, function: Callable[[int], Any], numbers: Iterable[int]) -> list[Any]:
    """What a function makes of each number, so many of them at a time."""
    waiting = list(numbers)
    made: list[Any] = [None] * len(waiting)
    order = iter(waiting)

    def work() -> None:
        for number in order:
            made[number] = function(number)

    in_threads(work, min(threads, len(waiting)))
    return made


def may_leave_out(plan: Plan) -> bool:
    """Whether a plan lets anything be left out: to leave out zeros of top hats changes no bit."""
    scatters = len(plan.crystal.domains) > 0 and len(plan.sources.weight) > 0
    return scatters and (plan.tolerance > 0.0 or plan.crystal.shape == TOPHAT)


def _exact_ns(plan: Plan) -> float:
    """How long it takes one thread to evaluate all of a panel."""
    detector, crystal = plan.detector, plan.crystal
    steps = len(plan.sources.weight) * len(crystal.phi) * len(crystal.domains)
    rays = float(detector.fast_pixels) * detector.slow_pixels * plan.oversample**2 * detector.layers
    return rays * (NS_A_PIXEL + NS_A_STEP * steps)


def reflections_met(plan: Plan) -> float:
    """How many of those that are listed samples of the whole panel may meet, roughly; thrice all where interpolated."""
    if plan.factors.interpolate > 0:
        return 3.0 * plan.factors.table.size
    crystal, sources = plan.crystal, plan.sources
    spacing = edge_resolution(plan.detector, sources.incident, sources.wavelength)
    channels, *listed = plan.factors.table.shape
    met = [2.0 * length(edge) / spacing for edge in (crystal.a, crystal.b, crystal.c)]
    return channels * math.prod(min(n, 1.0 + along) for n, along in zip(listed, met, strict=True))
