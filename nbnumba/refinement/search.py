"""From a start to the numbers that fit best: several ways, each in stages, on one target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..differentiation.model import Differentiable
from ..differentiation.target import Target
from .levenberg import Point, Step, minimized
from .stages import CHOSEN_AT, GROWING, MOST_FRINGES, NEAR, TOGETHER, Circles, Fringes, Stage, whole_of, widths_of
from .target import expected, is_explained
from .unknowns import Unknowns

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

SCATTERED, SEED = 5, 20
"""Starts that are tried beside the given one, and where their deviates begin: the same ones in every run."""


@dataclass(frozen=True, eq=False, repr=False)
class Iteration(HoldsArrays):
    """A step that was taken."""

    way: str
    """Which of the ways from the start to the end."""
    stage: str
    """Which part of it."""
    number: int
    """In this stage, from 1."""
    deviance: float
    """Per pixel of those that count in this stage, restraints included."""
    damping: float
    """λ of Levenberg and Marquardt."""
    values: Array
    """The model's numbers, in their units, then the background's coefficients."""


@dataclass(frozen=True)
class StageEnd:
    """What a stage, or several of a kind, led to."""

    way: str
    """Which of the ways."""
    stage: str
    """Which part of it."""
    iterations: int
    """Steps that were taken."""
    deviance: float
    """Per pixel of those that count at its end, restraints included; of all and the true crystal at a way's end."""


Tell = Callable[[Iteration], None]
SEEN = 0.5
"""Of the largest pixel of a background's image: what a part of the image must have of it to say how much there is."""


@dataclass(frozen=True, eq=False, repr=False)
class Problem(HoldsArrays):
    """A model, its unknowns, and what it is held against."""

    model: Differentiable
    unknowns: Unknowns
    target: Target
    """Its mask says which pixels count."""
    counts: Pixels
    """The same mask."""
    circles: Circles
    still: NDArray[np.bool_] | None = None
    """Coefficients of the background that stand still (k,); None: none does."""

    def point(self, at: Array) -> Point:
        """Normal equations at coordinates; a UsageError where there is no such experiment."""
        values, coefficients = self.unknowns.split(at)
        return self.unknowns.point(at, self.model.normal(values, self.target, coefficients))

    def within(self, reach: float) -> Problem:
        """The same within a circle, where nothing but the usual errors of a start keeps it from running away.

        Of the background stands still what hardly reaches there: a spline of which the end alone is seen would go far
        below no photons everywhere else.
        """
        counts, basis, still = self.counts & self.circles.within(reach), self.target.basis, None
        if basis is not None and counts.any():
            there, whole = ([np.abs(image[part]).max() for image in basis] for part in (counts, self.counts))
            still = np.array(there) < SEEN * np.array(whole)
        unknowns = replace(self.unknowns, width=widths_of(self.unknowns))
        target = replace(self.target, mask=counts)
        return replace(self, unknowns=unknowns, target=target, counts=counts, still=still)

    def minimized(self, start: Array, stage: Stage, tell: Callable[[Step[Point]], None]) -> Point:
        """The lowest point on the way from a start."""
        low, high = self.unknowns.low, self.unknowns.high
        if self.still is not None:
            held = np.append(np.zeros(self.unknowns.numbers, bool), self.still)
            low, high = np.where(held, start, low), np.where(held, start, high)
        bounds = (low, high, self.farthest(stage.reach))
        return minimized(self.point, self.point(start), bounds, stage.iterations, tell)

    def farthest(self, reach: float) -> Array:
        """By how much a step may move each coordinate, where pixels within a circle count (n,)."""
        return MOST_FRINGES / self.circles.fringes(reach) * whole_of(self.unknowns)

    def explains(self, at: Array) -> bool:
        """Whether all spots are as they should be at coordinates."""
        values, coefficients = self.unknowns.split(at)
        image = self.model.image(values)
        return is_explained(self.target, self.counts, image, expected(self.target, image, coefficients))


@dataclass
class Log:
    """What has been found so far, so that nothing is lost when the search is broken off."""

    problem: Problem
    """The whole of it."""
    tell: Tell
    best: Point
    """The lowest of the whole problem."""
    at: Array
    """Where the search stands."""
    way: str = ""
    history: list[Iteration] = field(default_factory=list)
    ends: list[StageEnd] = field(default_factory=list)
    _ended: int = 0

    def step(self, stage: str, step: Step[Point], at: Array) -> None:
        """Note a step of a stage; ``at``: where it led among the coordinates of the whole problem."""
        self.at = at
        before = self.history[-1] if self.history else None
        goes_on = before is not None and (before.way, before.stage) == (self.way, stage)
        number = before.number + 1 if before is not None and goes_on else 1
        values = np.concatenate(self.problem.unknowns.split(at))
        self.history.append(Iteration(self.way, stage, number, _per_pixel(step.point), step.damping, values))
        self.tell(self.history[-1])

    def end(self, stage: str, point: Point) -> None:
        """Note where a stage, or several, ended."""
        self.ends.append(StageEnd(self.way, stage, len(self.history) - self._ended, _per_pixel(point)))
        self._ended = len(self.history)

    def keep(self, point: Point) -> None:
        """Keep a point of the whole problem if it is the lowest."""
        if point.objective < self.best.objective:
            self.best = point


def _per_pixel(point: Point) -> float:
    return point.objective / max(point.normal.pixels, 1)


def search(log: Log, start: Array, is_staged: bool, fringes: Fringes, turned: Callable[[Log, Array], Array]) -> None:
    """All ways that can help, from the same start, until one explains every spot; the best point is the log's.

    Directly; by circles that grow; by the orientation of a smaller crystal, and from there both; by circles from
    several starts.
    """
    if together(log, start, "plain") or not is_staged:
        return
    if together(log, grown(log, start, "circles"), "circles"):
        return
    if fringes.orientation >= NEAR:
        at = turned(log, start)
        if together(log, at, "orientation"):
            return
        if together(log, grown(log, at, "orientation, circles"), "orientation, circles"):
            return
    if fringes.together >= NEAR:
        together(log, _best_of_scattered(log, start), "best start")


def together(log: Log, start: Array, way: str) -> bool:
    """All numbers on all pixels, the last stage of a way; whether the best that is known explains every spot."""
    log.way, log.at = way, start
    point = log.problem.minimized(start, TOGETHER, partial(_note, log, TOGETHER))
    log.end(TOGETHER.name, point)
    log.keep(point)
    return log.problem.explains(log.best.at)


def grown(log: Log, start: Array, way: str, stages: Sequence[Stage] = GROWING) -> Array:
    """All numbers in circles that grow."""
    return _grown(log, start, way, stages).at


def _grown(log: Log, start: Array, way: str, stages: Sequence[Stage]) -> Point:
    log.way, log.at, point = way, start, log.best
    for stage in stages:
        problem = log.problem.within(stage.reach)
        if problem.counts.any():
            point = problem.minimized(log.at, stage, partial(_note, log, stage))
    log.end("circles", point)
    return point


def _best_of_scattered(log: Log, start: Array) -> Array:
    """Of several starts, scattered by what may be off, the one that fits low resolution best, and on from there."""
    deviates, unknowns = np.random.default_rng(SEED), log.problem.unknowns
    widths = widths_of(unknowns)
    widths = np.where(np.isfinite(widths), widths, 0.0)
    low = [stage for stage in GROWING if stage.reach <= CHOSEN_AT]
    found = []
    for number in range(SCATTERED):
        scattered = np.clip(start + widths * deviates.normal(size=len(start)), unknowns.low, unknowns.high)
        found.append(_grown(log, scattered, f"start {number + 2}", low))
    best = min(found, key=lambda point: point.objective)
    return grown(log, best.at, "best start", GROWING[len(low) :])


def _note(log: Log, stage: Stage, step: Step[Point]) -> None:
    log.step(stage.name, step, step.point.at)
