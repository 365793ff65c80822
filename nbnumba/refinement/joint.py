"""The search of many images together: the lowest place that is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..interruption import Interrupted
from .arrow import Arrow, joined
from .crew import Crew
from .levenberg import Step, minimized
from .stages import ALL, GROWING, TOGETHER, Stage
from .still import Known, evaluated, farthest, is_explained, refined_alone

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointStep:
    """A step that was taken by all images together, or one image that has been refined alone."""

    way: str
    """Which of the ways from the start to the end; of an image alone "alone"."""
    stage: str
    """Which part of it; of an image alone "image 3"."""
    number: int
    """In this stage, from 1; of an image alone how many steps it took."""
    deviance: float
    """Per pixel of those that count in this stage, restraints included."""
    damping: float
    """λ of Levenberg and Marquardt; of an image alone 0."""


Tell = Callable[[JointStep], None]


@dataclass
class Joint:
    """All images together, and what has been found so far."""

    crew: Crew
    known: Sequence[Known]
    """Of each image."""
    before: Arrow
    best: Arrow
    """The lowest of the whole problem."""
    tell: Tell
    history: list[JointStep] = field(default_factory=list)

    @property
    def shared(self) -> int:
        """How many coordinates are shared."""
        return self.known[0].shared

    def bounds(self, reach: float) -> tuple[Array, Array, Array]:
        """Of all coordinates the bounds, and by how much a step may move the shared ones (n,)."""
        low, high = (
            joined([getattr(one.unknowns, which) for one in self.known], self.shared) for which in ("low", "high")
        )
        steps = np.full(len(low), np.inf)
        each = self.crew.each(farthest, [reach] * len(self.known))
        steps[: self.shared] = np.min([one[: self.shared] for one in each], axis=0)
        return low, high, steps

    def arrow(self, parts: Sequence[Array], reach: float = ALL) -> Arrow:
        """Normal equations at each image's coordinates."""
        return Arrow(tuple(self.crew.each(evaluated, [(at, reach) for at in parts])), self.shared)

    def alone(self, stages: Literal["auto", "plain"], place: Arrow, explained: Sequence[bool]) -> Arrow:
        """Each image that is not explained by itself, from its start, beside the shared numbers of a place."""
        points, shared = list(place.points), place.at[: self.shared]
        each = self.crew.each(refined_alone, [None if one else (stages, shared) for one in explained])
        for number, found in enumerate(each):
            if found is None:
                continue
            if found.point.objective < points[number].objective:
                points[number] = found.point
            self.keep(Arrow(tuple(points), self.shared))
            deviance = points[number].objective / points[number].pixels
            self.note(JointStep("alone", f"image {number + 1}", found.steps, deviance, 0.0))
            if found.interrupted is not None:
                raise Interrupted(found.interrupted)
        return Arrow(tuple(points), self.shared)

    def go(self, start: Arrow, stages: Sequence[Stage], way: str) -> None:
        """One way from a start, with all numbers free in each of its stages."""
        at = start.at
        for stage in stages:

            def place(at: Array, reach: float = stage.reach) -> Arrow:
                return self.arrow(start.parts(at), reach)

            begin = place(at)
            if stage.reach == ALL:
                self.keep(begin)
            if begin.pixels > 0:
                at = minimized(
                    place, begin, self.bounds(stage.reach), stage.iterations, partial(self.step, way, stage)
                ).at

    def explained(self) -> list[bool]:
        """Of which images all spots are as they should be at the best place."""
        return list(self.crew.each(is_explained, [point.at for point in self.best.points]))

    def step(self, way: str, stage: Stage, step: Step[Arrow]) -> None:
        """Note a step of a stage, and keep where it led if all pixels count."""
        if stage.reach == ALL:
            self.keep(step.point)
        last = self.history[-1] if self.history else None
        number = last.number + 1 if last is not None and (last.way, last.stage) == (way, stage.name) else 1
        self.note(JointStep(way, stage.name, number, step.point.objective / step.point.pixels, step.damping))

    def keep(self, place: Arrow) -> None:
        """Keep a place of the whole problem if it is the lowest."""
        if place.objective < self.best.objective:
            self.best = place

    def note(self, step: JointStep) -> None:
        """Tell a step, and remember it."""
        self.history.append(step)
        self.tell(step)


def search(joint: Joint, is_staged: bool) -> None:
    """All ways that can help, until one explains every spot of every image; the best place is the joint's.

    Each image alone, then all directly; by circles that grow; the same with images alone by all their own ways, beside
    what is shared where that explains some of them.
    """
    begin = joint.alone("plain", joint.before, [False] * len(joint.known))
    joint.go(begin, (TOGETHER,), "plain")
    if not is_staged or all(joint.explained()):
        return
    joint.go(begin, (*GROWING, TOGETHER), "circles")
    explained = joint.explained()
    if all(explained):
        return
    begin = joint.alone("auto", joint.best if any(explained) else joint.before, explained)
    joint.go(begin, (TOGETHER,), "alone by stages")
    if not all(joint.explained()):
        joint.go(begin, (*GROWING, TOGETHER), "alone by stages, circles")
