"""One image of many: what is done with it, in whichever process that is.

An image is always evaluated by one thread, from numbers alone, so that results are the same bits wherever that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.synchronize import Event
from threading import Lock
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..choices import Precision
from ..differentiation.model import Differentiable
from ..differentiation.target import Target
from ..experiment import Experiment
from .levenberg import Point
from .outcome import BeforeAfter, cc_of, image_of
from .refine import CELL, model_of, problem_of, refine
from .restraints import Bounds, Width, noun_of
from .search import Iteration, Problem
from .stages import ALL
from .systems import System
from .unknowns import Unknowns, carried

Array = NDArray[np.float64]
T = TypeVar("T")

MOST_KEPT = 64
"""Problems that a process keeps; others are made again whenever they are asked for."""


@dataclass(frozen=True, eq=False, repr=False)
class Still(HoldsArrays):
    """An image, and which of its numbers are refined."""

    number: int
    """Among all images, from 0."""
    images: int
    """How many there are."""
    experiment: Experiment
    measured: Target | Array | Callable[[], Target]
    """A function is called wherever, and whenever, the image is needed."""
    shared: tuple[str, ...]
    own: tuple[str, ...]
    system: System | None
    background: str | Array | None
    restraints: Mapping[str, Width]
    bounds: Mapping[str, Bounds]
    precision: Precision
    token: str
    """Of this refinement: what a process keeps is known by it and the number."""

    @property
    def target(self) -> Target | Array:
        """What was measured."""
        return self.measured() if callable(self.measured) else self.measured


class Known(NamedTuple):
    """Which coordinates an image has."""

    unknowns: Unknowns
    """Shared ones first."""
    shared: int
    """How many are shared."""
    units: tuple[str, ...]
    """Of each."""

    def values(self, at: Array) -> Array:
        """The numbers that coordinates stand for (n,)."""
        is_logarithm = self.unknowns.logarithmic
        return np.where(is_logarithm, np.exp(np.where(is_logarithm, at, 0.0)), at)

    def slopes(self, at: Array) -> Array:
        """How fast these move with their coordinates (n,)."""
        return np.where(self.unknowns.logarithmic, self.values(at), 1.0)


class Alone(NamedTuple):
    """An image after a refinement of its own numbers."""

    point: Point
    """Where that led, among the coordinates of all."""
    steps: int
    interrupted: int | None
    """The signal that ended it."""


class Figures(NamedTuple):
    """What an image says of a point."""

    experiment: Experiment
    cc: BeforeAfter


_kept: dict[tuple[str, int], Problem] = {}
_lock = Lock()
"""Workers of Dask have several threads."""


# What is done -----------------------------------------------------------------------------------------------------


def known(still: Still, _: None) -> Known:
    """Which coordinates it has."""
    unknowns, model = _of(still).unknowns, _of(still).model
    units = tuple(model.units[group[0]] for group in unknowns.groups)
    shared = sum(is_shared(still, name) for name in unknowns.names)
    return Known(unknowns, shared, units + ("photons",) * (len(unknowns.names) - len(units)))


def evaluated(still: Still, place: tuple[Array, float]) -> Point:
    """Normal equations at coordinates, of pixels within a circle."""
    at, reach = place
    return _shared_out(still, _of(still) if reach == ALL else _of(still).within(reach)).point(at)


def farthest(still: Still, reach: float) -> Array:
    """By how much a step may move each coordinate, of pixels within a circle (n,)."""
    return _of(still).farthest(reach)


def is_explained(still: Still, at: Array) -> bool:
    """Whether all spots are as they should be at coordinates."""
    return _of(still).explains(at)


def refined_alone(still: Still, how: tuple[Literal["auto", "plain"], Array] | None) -> Alone | None:
    """Refine its own numbers from their start, by such stages and beside such shared coordinates; None: not at all."""
    if how is None or not still.own:
        return None
    stages, shared = how
    problem = _of(still)
    start = np.concatenate([shared, problem.unknowns.start[len(shared) :]])
    found = refine(
        problem.model.experiment(problem.unknowns.split(start)[0]),
        still.target,
        still.own,
        system=still.system,
        background=still.background,
        restraints=_of_own(still, still.restraints),
        bounds=_of_own(still, still.bounds),
        stages=stages,
        precision=still.precision,
        threads=1,
        progress=_go_on,
    )
    own = dict(zip(found.names, found.values.tolist(), strict=True))
    is_logarithm = dict(zip(problem.unknowns.names, problem.unknowns.logarithmic.tolist(), strict=True))
    at = carried(
        {name: math.log(value) if is_logarithm[name] else value for name, value in own.items()},
        problem.unknowns.names,
        start,
    )
    return Alone(evaluated(still, (at, ALL)), len(found.history), found.interrupted)


def figures(still: Still, places: tuple[Array, Array]) -> Figures:
    """What it says of a start and an end."""
    problem = _of(still)
    cc = BeforeAfter(*(cc_of(problem, image_of(problem, at)) for at in places))
    return Figures(problem.model.experiment(problem.unknowns.split(places[1])[0]), cc)


def is_shared(still: Still, name: str) -> bool:
    """Whether a coordinate is one of all images."""
    return any(overlap(name, other) for other in still.shared)


def overlap(name: str, other: str) -> bool:
    """Whether two names have numbers in common; all constants of a cell belong together."""
    field = noun_of(name)
    return name == other or (field == noun_of(other) and (field in (name, other) or field == CELL))


def forget(token: str) -> None:
    """Keep nothing of a refinement any longer."""
    with _lock:
        for key in [key for key in _kept if key[0] == token]:
            del _kept[key]


_ended: Event | None = None


def end_by(event: Event) -> None:
    """Refine no image of this process any further once this has come."""
    global _ended
    _ended = event


def _go_on(_: Iteration) -> None:
    if _ended is not None and _ended.is_set():
        raise KeyboardInterrupt


def _of_own(still: Still, given: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in given.items() if any(overlap(name, other) for other in still.own)}


def _of(still: Still) -> Problem:
    key = (still.token, still.number)
    with _lock:
        kept = _kept.get(key)
    if kept is not None:
        return kept
    made = _made(still)
    with _lock:
        if len(_kept) >= MOST_KEPT:
            for old in [old for old in _kept if old[0] != still.token]:
                del _kept[old]
        if len(_kept) < MOST_KEPT:
            _kept[key] = made
    return made


def _made(still: Still) -> Problem:
    make = partial(Differentiable, precision=still.precision, threads=1)
    model, constants, _ = model_of(make, still.experiment, (*still.shared, *still.own), still.system)
    return problem_of(model, constants, still.target, still.background, still.restraints, still.bounds)


def _shared_out(still: Still, problem: Problem) -> Problem:
    """With widths of shared numbers √images times as large: each image bears its part of what is known of them."""
    times = [math.sqrt(still.images) if is_shared(still, name) else 1.0 for name in problem.unknowns.names]
    return replace(problem, unknowns=replace(problem.unknowns, width=problem.unknowns.width * times))
