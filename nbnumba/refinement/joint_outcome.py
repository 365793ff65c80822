"""What a refinement of many images found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..experiment import Experiment
from .joint import Joint, JointStep
from .levenberg import Point
from .outcome import BeforeAfter, misfit
from .still import Figures, Known, figures

Array = NDArray[np.float64]

APART_BY, APART_Z = 0.3, 5.0
"""From which an image is named: of the median deviance; of usual distances from it."""


@dataclass(frozen=True, eq=False, repr=False)
class OneOfMany(HoldsArrays):
    """An image of a joint refinement."""

    experiment: Experiment
    """With the refined numbers."""
    names: tuple[str, ...]
    """Of its own numbers, and the coefficients of its background (n,)."""
    units: tuple[str, ...]
    """Of these."""
    start: Array
    """Values at which these began (n,)."""
    values: Array
    """Refined (n,)."""
    esd: Array
    """Standard deviations (n,), by counting statistics, restraints and what the shared numbers leave open; where the
    image fits worse than these, times the square root of its deviance per degree of freedom."""
    deviance: BeforeAfter
    """Per pixel."""
    r_factor: BeforeAfter
    """Σ|y − µ| / Σy."""
    cc: BeforeAfter
    """Correlation of y and µ."""
    pixels: int
    """That counted."""


@dataclass(frozen=True, eq=False, repr=False)
class JointRefinement(HoldsArrays):
    """What many images say together."""

    names: tuple[str, ...]
    """Of what is shared (n,)."""
    units: tuple[str, ...]
    """Of these."""
    start: Array
    """Values at which these began (n,)."""
    values: Array
    """Refined (n,)."""
    esd: Array
    """Standard deviations (n,), by counting statistics and restraints; where the fit is worse than these, times the
    square root of the deviance per degree of freedom."""
    correlation: Array
    """Of these (n, n)."""
    images: tuple[OneOfMany, ...]
    """One for each experiment."""
    deviance: BeforeAfter
    """Per pixel of all images."""
    pixels: int
    """That counted in all images."""
    history: tuple[JointStep, ...]
    """Every step of all together, after those of each image alone."""
    interrupted: int | None
    """Number of the signal that ended it, such as that of Ctrl-C: then it is the best that had been found. None: none
    did."""

    @property
    def summary(self) -> str:
        """Figures of the fit."""
        return (
            f"{len(self.images)} images, {len(self.names)} shared numbers, deviance {self.deviance.after:.4g} a pixel "
            f"(from {self.deviance.before:.4g})"
        )

    @property
    def apart(self) -> tuple[int, ...]:
        """Numbers, from 0, of images that fit far worse than the others.

        Their deviance is above the median by more than ``APART_BY`` of it, and ``APART_Z`` times the usual distance
        (1.48 times the median one) from it.
        """
        deviance = np.array([one.deviance.after for one in self.images])
        above = deviance - np.median(deviance)
        usual = 1.4826 * np.median(np.abs(above))
        far = (above > APART_BY * np.median(deviance)) & (above > APART_Z * usual)
        found: list[int] = np.flatnonzero(far).tolist()
        return tuple(found)

    def report(self) -> str:
        """All this for people.

        Returns
        -------
        str
            In lines.
        """
        from .joint_report import text_of

        return text_of(self)


def joint_outcome(joint: Joint, interrupted: int | None) -> JointRefinement:
    """All that is told of the best place."""
    before, best, layout, shared = joint.before, joint.best, joint.known[0], joint.shared
    places = [(old.at, new.at) for old, new in zip(before.points, best.points, strict=True)]
    said = list(joint.crew.each(figures, places))
    spread, own = best.covariances()
    sigma = np.sqrt(np.diag(spread))
    worse = misfit(sum(point.normal.deviance for point in best.points), best.pixels - len(best.at))
    at, slopes = best.points[0].at, layout.slopes(best.points[0].at)[:shared]
    return JointRefinement(
        names=layout.unknowns.names[:shared],
        units=layout.units[:shared],
        start=layout.values(before.points[0].at)[:shared],
        values=layout.values(at)[:shared],
        esd=sigma * slopes * math.sqrt(worse),
        correlation=spread / np.outer(sigma, sigma),
        images=tuple(
            _one(one, old, new, alone, told)
            for one, old, new, alone, told in zip(joint.known, before.points, best.points, own, said, strict=True)
        ),
        deviance=BeforeAfter(*(_deviance(arrow.points) for arrow in (before, best))),
        pixels=best.pixels,
        history=tuple(joint.history),
        interrupted=interrupted,
    )


def _one(known: Known, before: Point, after: Point, spread: Array, told: Figures) -> OneOfMany:
    own = slice(known.shared, None)
    sigma = np.sqrt(np.diag(spread) * misfit(after.normal.deviance, after.pixels - len(spread)))
    return OneOfMany(
        experiment=told.experiment,
        names=known.unknowns.names[own],
        units=known.units[own],
        start=known.values(before.at)[own],
        values=known.values(after.at)[own],
        esd=sigma * known.slopes(after.at)[own],
        deviance=BeforeAfter(*(_deviance([point]) for point in (before, after))),
        r_factor=BeforeAfter(*(point.normal.misfit / point.normal.measured for point in (before, after))),
        cc=told.cc,
        pixels=after.pixels,
    )


def _deviance(points: Sequence[Point]) -> float:
    """Per pixel."""
    return sum(point.normal.deviance for point in points) / sum(point.pixels for point in points)
