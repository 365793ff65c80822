"""Random experiments whose tiles are small enough that something can be left out, and what that does to their images.

``python tests/leaving_out.py SHAPE EXAMPLES`` says how many of them are farther from the exact image than they may be.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nbnumba.errors import NbnumbaError, NbnumbaWarning
from nbnumba.interruption import in_threads
from nbnumba.kernels.choices import GAUSS, TOPHAT, Shape
from nbnumba.kernels.cpu import render as exact
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.plan import Plan
from nbnumba.kernels.sparse.render import render_listed, render_tested
from nbnumba.kernels.sparse.scores import bounds_of
from nbnumba.kernels.sparse.spots import list_spots, lists_serve
from nbnumba.render.left_out import why_ignored
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.testing.strategies import experiments

BRIGHTEST = 1e5
"""Photons of the brightest pixel."""
ROUNDING = 1e-9
"""Of a pixel, within which the exact kernel's float64 image is to be had again."""
TOLERANCES = 1e-6, 1e-3, 1e-1


class Leaving(NamedTuple):
    """What became of an image."""

    plan: Plan
    off: float
    """The largest difference of a pixel from the exact image, over the tolerance; rounding apart."""
    share: float
    spent: float


# Images, float64 --------------------------------------------------------------------------------------------------


def canvas(plan: Plan) -> tuple[np.ndarray, ...]:
    """An image, and what counts rows that are begun, pixels that are done, and whether to stop."""
    shape = plan.detector.slow_pixels, plan.detector.fast_pixels
    return np.zeros(shape), np.zeros(1, np.int64), np.zeros(shape[0], np.int64), np.zeros(1, np.int64)


def exact_image(plan: Plan, single: bool = False) -> np.ndarray:
    """Of the kernel that evaluates all."""
    tables, room = make_tables(plan, plan.factors.interpolate > 0), canvas(plan)
    exact.render(plan, tables, *room, *variant_of(plan, single))
    return room[0]


def image_by_tests(plan: Plan, single: bool = False, threads: int = 1) -> tuple[np.ndarray, Any]:
    """Of what tests keep, whether or not that pays; and what the threads tell."""
    tables, room = make_tables(plan, plan.factors.interpolate > 0), canvas(plan)
    variant = variant_of(plan, single)
    bounds = bounds_of(plan, tables.cells, plan.tolerance)
    return room[0], in_threads(lambda: render_tested(plan, tables, bounds, *room, *variant), threads)


def image_by_lists(plan: Plan, single: bool = False, threads: int = 1) -> tuple[np.ndarray, Any]:
    """Of listed spots; of what tests keep where lists do not serve."""
    tables, room = make_tables(plan, False), canvas(plan)
    kept = list_spots(plan, tables, plan.tolerance, parts=threads) if lists_serve(plan) else None
    if kept is None or not len(kept.first):
        return image_by_tests(plan, single, threads)
    variant = variant_of(plan, single)
    return room[0], in_threads(lambda: render_listed(plan, tables, kept, *room, *variant), threads)


def brightened(plan: Plan, tolerance: float) -> Plan | None:
    """A plan whose brightest pixel has ``BRIGHTEST`` photons; None where nothing scatters into the image."""
    brightest = np.abs(exact_image(plan)).max()
    if not 1e-200 < brightest < np.inf:
        return None
    factor = BRIGHTEST / brightest
    # In mode c the background may be scaled with the samples.
    around = 1.0 if plan.background.in_sum else factor
    return plan._replace(
        photons_per_sample=plan.photons_per_sample * factor,
        background=plan.background._replace(scale=plan.background.scale * around),
        tolerance=tolerance,
    )


def left(plan: Plan, made: tuple[np.ndarray, Any]) -> Leaving:
    """What is to be said of an image that was made with a tolerance."""
    image, told = made
    should = exact_image(plan)
    off = np.maximum(np.abs(image - should) - ROUNDING * np.abs(should), 0.0).max()
    every = sum(one[2] for one in told)
    share = sum(one[1] for one in told) / every if every else 1.0
    return Leaving(plan, float(off) / (plan.tolerance or 1e-300), share, max(one[3] for one in told))


# Random plans -----------------------------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn, shapes: Sequence[Shape]) -> tuple[Any, int, Shape, float]:
    """An experiment of either mode, what makes it finer, a shape and a tolerance."""
    experiment = draw(experiments(draw(st.sampled_from(["spec", "c"]))))
    return experiment, draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(shapes)), draw(st.sampled_from(TOLERANCES))


def finer(plan: Plan, number: int, shape: Shape) -> Plan:
    """A plan with as many pixels, cells and reflections as it takes for something not to matter."""
    rng, detector, crystal = np.random.default_rng(number), plan.detector, plan.crystal
    fast, slow = (int(n) for n in rng.integers(18, 50, 2))
    mask = (rng.random((slow, fast)) < 0.9).astype(np.uint8) if rng.random() < 0.3 else np.zeros((0, 0), np.uint8)
    pixel = float(np.linalg.norm(detector.origin)) * 10.0 ** rng.uniform(-4.0, -2.3)
    cells = tuple(int(n) for n in rng.integers(1, 60, 3))
    fudge = crystal.fudge
    if shape in (GAUSS, TOPHAT):
        # As wide as spots of the other shapes, within a factor.
        edges = np.linalg.norm([crystal.a, crystal.b, crystal.c], axis=1) * 1e10 * cells
        fudge = float((np.prod(edges) ** (1 / 3) / np.prod(cells)) ** 2 * 10.0 ** rng.uniform(-1.0, 1.0))
    size = (len(plan.factors.table), *rng.integers(6, 40, 3))
    table = np.sqrt(rng.exponential(1.0, size)) * 100.0 * (rng.random(size) < 0.8)
    first = (-int(size[1]) // 2, -int(size[2]) // 2, -int(size[3]) // 2)
    return plan._replace(
        detector=detector._replace(
            fast_pixels=fast, slow_pixels=slow, pixel=pixel, roi=(0, fast - 1, 0, slow - 1), mask=mask
        ),
        crystal=crystal._replace(cells=cells, shape=int(shape), fudge=fudge),
        factors=plan.factors._replace(table=table, first=first, default=float(rng.choice([0.0, 5.0]))),
    )


def close_up(number: int) -> Plan:
    """A small cell seen from so near that straight lines on the detector are curves in its lattice."""
    from nbnumba.nanobragg.parse import parse

    rng = np.random.default_rng(number)
    edges, turns = rng.uniform(6.0, 12.0, 3), rng.uniform(0.0, 360.0, 3)
    line = (
        f"-cell {edges[0]} {edges[1]} {edges[2]} 90 90 90 -misset {turns[0]} {turns[1]} {turns[2]} -N 20 "
        "-default_F 100 -lambda 1.5 -distance 20 -detpixels 32 -pixel 1 -oversample 1 -nointerpolate -tophat_spots "
        f"-mosaic 60 -mosaic_domains 400 -mosaic_seed {number + 1}"
    )
    experiment = parse(line.split()).experiment
    plan = resolve(experiment, read_inputs(experiment)).plan
    edge = float(np.linalg.norm(plan.crystal.a)) * 1e10
    fudge = (20.0 * edge / 20.0**3) ** 2
    return plan._replace(crystal=plan.crystal._replace(fudge=fudge))


def plans_of(experiment: Any, number: int, shape: Shape, tolerance: float) -> Iterator[Plan]:
    """The plans of an experiment's panels that serve."""
    try:
        plans = resolve(experiment, read_inputs(experiment)).plans
    except NbnumbaError:
        return
    for plan in plans:
        fine = finer(plan, number, shape)
        bright = None if why_ignored(fine) or not len(fine.crystal.domains) else brightened(fine, tolerance)
        if bright is not None:
            yield bright


def random_images(shapes: Sequence[Shape], examples: int, start: int = 1) -> list[Leaving]:
    """What became of the images of so many random experiments, by tests, and by lists where those serve."""
    found: list[Leaving] = []

    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @seed(start)
    @given(cases(shapes))
    def each(case: Any) -> None:
        for plan in plans_of(*case):
            found.append(left(plan, image_by_tests(plan)))
            if lists_serve(plan):
                found.append(left(plan, image_by_lists(plan)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        each()
    return found


def close_ups(examples: int) -> list[Leaving]:
    """The same of close-ups of top hats, of which nothing may be left out that is not 0."""
    plans = [close_up(number) for number in range(examples)]
    return [left(plan, image_by_tests(plan)) for plan in plans]


if __name__ == "__main__":
    name, count = sys.argv[1], int(sys.argv[2])
    warnings.simplefilter("ignore", NbnumbaWarning)
    images = close_ups(count) if name == "close_up" else random_images([Shape[name]], count)
    print(sum(image.off > 1.0 for image in images), len(images))
