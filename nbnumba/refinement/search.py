"""From a start to the numbers that fit best: stages, one after the other, on one target."""

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
from .stages import GROWING, NEAR, TOGETHER, Circles, Fringes, Stage
from .unknowns import Unknowns

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]


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
    """What a stage led to."""

    way: str
    """Which of the ways."""
    stage: str
    """Which part of it."""
    iterations: int
    """Steps that were taken."""
    deviance: float
    """Per pixel of all that count, of the true crystal, restraints included."""


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
    still: NDArray[np.bool_] | None = None
    """Coefficients of the background that stand still (k,); None: none does."""

    def point(self, at: Array) -> Point:
        """Normal equations at coordinates."""
        values, coefficients = self.unknowns.split(at)
        return self.unknowns.point(at, self.model.normal(values, self.target, coefficients))

    def on(self, counts: Pixels) -> Problem:
        """The same on a part of the pixels.

        Of the background stands still what hardly reaches them: a spline of which they have the end alone would go
        far below no photons everywhere else.
        """
        basis = self.target.basis
        still = None
        if basis is not None:
            there, whole = ([np.abs(image[part]).max() for image in basis] for part in (counts, self.counts))
            still = np.array(there) < SEEN * np.array(whole)
        return replace(self, target=replace(self.target, mask=counts), counts=counts, still=still)

    def minimized(self, start: Array, iterations: int, tell: Callable[[Step], None]) -> Point:
        """The lowest point on the way from a start."""
        low, high = self.unknowns.low, self.unknowns.high
        if self.still is not None:
            held = np.append(np.zeros(self.unknowns.numbers, bool), self.still)
            low, high = np.where(held, start, low), np.where(held, start, high)
        return minimized(self.point, self.point(start), low, high, iterations, tell)


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

    def step(self, stage: str, step: Step, at: Array) -> None:
        """Note a step of a stage; ``at``: where it led among the coordinates of the whole problem."""
        self.at = at
        before = self.history[-1] if self.history else None
        goes_on = before is not None and (before.way, before.stage) == (self.way, stage)
        deviance = step.point.objective / max(step.point.normal.pixels, 1)
        number = before.number + 1 if before is not None and goes_on else 1
        values = np.concatenate(self.problem.unknowns.split(at))
        self.history.append(Iteration(self.way, stage, number, deviance, step.damping, values))
        self.tell(self.history[-1])

    def end(self, stage: str) -> None:
        """Note the end of a stage by what is reached of the whole problem, and keep it if it is the lowest."""
        point = self.problem.point(self.at)
        steps = sum((one.way, one.stage) == (self.way, stage) for one in self.history)
        self.ends.append(StageEnd(self.way, stage, steps, point.objective / max(point.normal.pixels, 1)))
        if point.objective < self.best.objective:
            self.best = point


def go(log: Log, start: Array, stages: Sequence[Stage], way: str, circles: Circles) -> None:
    """One way from a start, with all numbers free in each of its stages."""
    log.way, log.at, whole = way, start, log.problem
    for stage in stages:
        problem = whole.on(whole.counts & circles.within(stage.reach))
        if problem.counts.any():
            problem.minimized(log.at, stage.iterations, partial(_note, log, stage.name))
            log.end(stage.name)


def _note(log: Log, stage: str, step: Step) -> None:
    log.step(stage, step, step.point.at)


def search(
    log: Log, start: Array, is_staged: bool, fringes: Fringes, circles: Circles, turned: Callable[[Log, Array], Array]
) -> None:
    """All ways that can help, each from the same start: the best point is the log's.

    Directly; by the orientation of a smaller crystal; by circles that grow; by the one and then the other.
    """
    go(log, start, (TOGETHER,), "plain", circles)
    if not is_staged:
        return
    starts = {(): start}
    if fringes.orientation >= NEAR:
        starts[("orientation",)] = turned(log, start)
        go(log, starts[("orientation",)], (TOGETHER,), "orientation", circles)
    for before, at in starts.items():
        go(log, at, (*GROWING, TOGETHER), ", ".join((*before, "circles")), circles)
