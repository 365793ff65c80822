"""What a refinement found: numbers with their standard deviations, and how well they fit before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..differentiation.target import Target
from ..errors import UsageError
from ..experiment import Experiment
from .levenberg import Point
from .restraints import noun_of
from .search import Iteration, Problem, StageEnd
from .stages import Fringes
from .target import expected, residuals

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

SINGULAR = 1e-12
"""Of the matrix whose diagonal is 1: eigenvalues of combinations of numbers that nothing is known of."""
TAKES_PART = 0.1
"""Of the largest component of such a combination: that of a number that takes part in it."""
CORRELATED = 0.95
"""Pairs beyond which are named."""


class BeforeAfter(NamedTuple):
    """A figure of the start, and of the end."""

    before: float
    after: float


@dataclass(frozen=True)
class Parameter:
    """A number of the experiment that was refined, or follows from one that was."""

    name: str
    """As :class:`nbnumba.Differentiable` has it."""
    unit: str
    """Of the three numbers; empty for a pure one."""
    start: float
    """At which it began."""
    value: float
    """Refined."""
    esd: float
    """Standard deviation; 0 of a constant of the cell that stands still beside others that do not."""
    equals: str | None = None
    """The number that it is equal to by the crystal system; its own name: it stands still."""


@dataclass(frozen=True, eq=False, repr=False)
class Refinement(HoldsArrays):
    """What was refined."""

    experiment: Experiment
    """With the refined numbers."""
    parameters: tuple[Parameter, ...]
    """The experiment's numbers; all six of a cell of which some are free."""
    names: tuple[str, ...]
    """Of what was free: numbers, then coefficients of the background (n)."""
    values: Array
    """Of these (n,)."""
    esd: Array
    """Their standard deviations (n,), by counting statistics and restraints; where the fit is worse than these, times
    the square root of the deviance per degree of freedom."""
    correlation: Array
    """Of these (n, n)."""
    background: Array
    """Coefficients of the target's images (k,)."""
    r_factor: BeforeAfter
    """Σ|y − µ| / Σy."""
    cc: BeforeAfter
    """Correlation of y and µ."""
    deviance: BeforeAfter
    """Per pixel; about 1 of a right model with several photons a pixel, less where there are few."""
    pixels: int
    """That counted."""
    fringes: Fringes
    """By how many the start may have been off."""
    history: tuple[Iteration, ...]
    """Every step of every way."""
    ends: tuple[StageEnd, ...]
    """What each stage of every way led to."""
    image: Array
    """Photons that are expected of the refined experiment, background included (slow, fast)."""
    residuals: Array
    """z = (y − µ)/√(µ + σ²) (slow, fast); NaN where pixels do not count."""
    target: Target
    """What was measured."""
    interrupted: int | None
    """Number of the signal that ended it, such as that of Ctrl-C: then it is the best that had been found. None: none
    did."""

    @property
    def summary(self) -> str:
        """Figures of the fit."""
        return (
            f"{len(self.names)} numbers, {self.pixels} pixels, R {self.r_factor.after:.3g} (from "
            f"{self.r_factor.before:.3g}), CC {self.cc.after:.4f}, deviance {self.deviance.after:.3g} a pixel"
        )

    @property
    def correlated(self) -> tuple[tuple[str, str, float], ...]:
        """Pairs that the image tells apart badly, the worst first: |ρ| above ``CORRELATED``."""
        rows, columns = np.nonzero(np.triu(np.abs(self.correlation) > CORRELATED, 1))
        pairs = [
            (self.names[i], self.names[j], float(self.correlation[i, j]))
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        return tuple(sorted(pairs, key=lambda pair: -abs(pair[2])))

    def report(self) -> str:
        """All this for people.

        Returns
        -------
        str
            In lines.
        """
        from .report import text_of

        return text_of(self)


def check_independent(point: Point, names: Sequence[str]) -> None:
    """Raise a UsageError for numbers that the pixels and restraints do not determine, and say which."""
    scale = np.sqrt(np.diag(point.matrix))
    nothing = [name for name, size in zip(names, scale.tolist(), strict=True) if not size > 0.0]
    if nothing:
        raise UsageError(
            f"free {', '.join(nothing)}: no pixel that counts depends on {'it' if len(nothing) == 1 else 'them'}; "
            "leave out or restrain"
        )
    taking = undetermined(point.matrix, scale, names)
    if taking:
        raise UsageError(
            f"free {', '.join(taking)}: they change the image in the same way, so that it does not tell them apart; "
            "leave out one or restrain it"
        )


def undetermined(matrix: Array, scale: Array, names: Sequence[str]) -> list[str]:
    """Names that take part in the combination of which a matrix, in such units, knows least; none if it knows it."""
    least, combinations = np.linalg.eigh(matrix / np.outer(scale, scale))
    if least[0] >= SINGULAR:
        return []
    part = np.abs(combinations[:, 0])
    return [name for name, size in zip(names, part.tolist(), strict=True) if size > TAKES_PART * part.max()]


def misfit(deviance: float, freedom: int) -> float:
    """By how much variances are larger than those of counting statistics."""
    return max(1.0, deviance / max(freedom, 1))


def covariance(matrix: Array) -> Array:
    """(Jᵀ W J)⁻¹; infinite variances where it is singular."""
    scale = np.sqrt(np.diag(matrix))
    scale = np.where(scale > 0.0, scale, 1.0)
    sizes, combinations = np.linalg.eigh(matrix / np.outer(scale, scale))
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(sizes > SINGULAR, 1.0 / sizes, np.inf)
        found = np.einsum("ik,k,jk->ij", combinations, inverse, combinations)
    return found / np.outer(scale, scale)


def outcome(
    problem: Problem,
    before: Point,
    after: Point,
    fixed: Sequence[Parameter],
    fringes: Fringes,
    history: Sequence[Iteration],
    ends: Sequence[StageEnd],
    interrupted: int | None,
) -> Refinement:
    """All that is told of the best point.

    Parameters
    ----------
    problem : Problem
    before, after : Point
        As the user's experiment has it, and the best one.
    fixed : sequence of Parameter
        Constants of the cell that a system fixes.
    fringes, history, ends, interrupted
        As they are told.
    """
    unknowns, model = problem.unknowns, problem.model
    values, coefficients = unknowns.split(after.at)
    spread = covariance(after.matrix) * misfit(after.normal.deviance, after.pixels - len(after.at))
    sigma = np.sqrt(np.diag(spread))
    slopes = unknowns.slopes(after.at)
    of_numbers = np.abs(slopes) @ sigma
    first = [group[0] for group in unknowns.groups]
    rows = [*first, *range(len(values), len(values) + len(coefficients))]
    images = [image_of(problem, point.at) for point in (before, after)]
    return Refinement(
        experiment=model.experiment(values),
        parameters=_parameters(problem, values, of_numbers, fixed),
        names=unknowns.names,
        values=np.concatenate([values, coefficients])[rows],
        esd=of_numbers[rows],
        correlation=_correlation(spread, sigma),
        background=coefficients,
        r_factor=BeforeAfter(*(point.normal.misfit / point.normal.measured for point in (before, after))),
        cc=BeforeAfter(*(cc_of(problem, image) for image in images)),
        deviance=BeforeAfter(*(point.normal.deviance / point.normal.pixels for point in (before, after))),
        pixels=after.normal.pixels,
        fringes=fringes,
        history=tuple(history),
        ends=tuple(ends),
        image=images[1],
        residuals=residuals(problem.target, problem.counts, images[1]),
        target=problem.target,
        interrupted=interrupted,
    )


def image_of(problem: Problem, at: Array) -> Array:
    """Photons that are expected at coordinates (slow, fast)."""
    values, coefficients = problem.unknowns.split(at)
    return expected(problem.target, problem.model.image(values), coefficients)


def cc_of(problem: Problem, image: Array) -> float:
    """Correlation of what was measured and an image."""
    y, mu = problem.target.measured[problem.counts], image[problem.counts]
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(y, mu)[0, 1])


def _correlation(spread: Array, sigma: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(spread), spread / np.outer(sigma, sigma), np.nan)


def _parameters(problem: Problem, values: Array, sigma: Array, fixed: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Of the model's numbers in their order; fixed constants of the cell stand among its own."""
    model, unknowns = problem.model, problem.unknowns
    heads = {number: group[0] for group in unknowns.groups for number in group}
    found = [
        Parameter(name, unit, start, value, esd, model.names[heads[number]] if heads[number] != number else None)
        for number, (name, unit, start, value, esd) in enumerate(
            zip(model.names, model.units, model.values.tolist(), values.tolist(), sigma.tolist(), strict=False)
        )
    ]
    of_cell = [number for number, one in enumerate(found) if noun_of(one.name) == "crystal.cell"]
    if not of_cell:
        return tuple(found)
    first, last = of_cell[0], of_cell[-1] + 1
    cell = sorted([*found[first:last], *fixed], key=lambda one: one.name)
    return (*found[:first], *cell, *found[last:])
