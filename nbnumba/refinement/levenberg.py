"""Levenberg's and Marquardt's steps on normal equations, between bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..differentiation.target import Normal
from ..errors import NbnumbaError

Array = NDArray[np.float64]

FIRST_DAMPING, LEAST_DAMPING, FACTOR = 1e-3, 1e-7, 5.0
MOST_TRIALS = 8
"""Steps, each shorter than the one before, that are tried at one place."""
NEGLIGIBLE = 1e-3
"""Of the objective per pixel, or of 1 where that is less, by how much a last step lowers the objective: a thirtieth of
a standard deviation."""
TINY = np.finfo(np.float64).tiny
SMALL_STEPS = 2
"""After so many that are negligible a search ends; after one, where it was hardly damped."""


class Place(Protocol):
    """Where a search can stand."""

    @property
    def at(self) -> Array:
        """Coordinates (n,)."""

    @property
    def objective(self) -> float:
        """What is to be least."""

    @property
    def pixels(self) -> int:
        """That count."""

    def step(self, damping: float, moves: NDArray[np.bool_], known: Array) -> Array:
        """(A + λ diag A) s = g of the coordinates that move, beside ``known`` steps of the others (n,)."""


P = TypeVar("P", bound=Place)


@dataclass(frozen=True, eq=False, repr=False)
class Point(HoldsArrays):
    """Where a search stands, and its normal equations there."""

    at: Array
    """Coordinates (n,)."""
    objective: float
    """What is to be least: −2 ln of the likelihood and of what is known beforehand, up to a constant."""
    gradient: Array
    """−½ of its gradient (n,)."""
    matrix: Array
    """½ of its second derivatives, as expected (n, n)."""
    normal: Normal
    """Of the model's own numbers, that these were made of."""

    @property
    def pixels(self) -> int:
        """That count."""
        return self.normal.pixels

    def step(self, damping: float, moves: NDArray[np.bool_], known: Array) -> Array:
        """(A + λ diag A) s = g of the coordinates that move, beside ``known`` steps of the others (n,).

        0 of those that nothing depends on.
        """
        diagonal = np.sqrt(np.diag(self.matrix))
        rows = np.flatnonzero(moves & (diagonal > 0.0))
        step = np.zeros(len(self.at))
        scale = diagonal[rows]
        matrix = self.matrix[np.ix_(rows, rows)] / np.outer(scale, scale)
        matrix[np.diag_indices(len(rows))] += damping
        gradient = (self.gradient - self.matrix @ np.where(moves, 0.0, known))[rows]
        step[rows] = np.linalg.lstsq(matrix, gradient / scale, rcond=None)[0] / scale
        return step


@dataclass(frozen=True, eq=False, repr=False)
class Step(HoldsArrays, Generic[P]):
    """One that was taken."""

    point: P
    """Where it led."""
    damping: float
    """With which it was found."""
    trials: int
    """How many it took to find it."""


def minimized(
    evaluate: Callable[[Array], P],
    start: P,
    bounds: tuple[Array, Array, Array],
    iterations: int,
    tell: Callable[[Step[P]], None],
) -> P:
    """The lowest point that is met on the way down from a start.

    Parameters
    ----------
    evaluate : callable
        The point at coordinates; an NbnumbaError where there is none, from which the search turns back.
    start : Place
        Within the bounds.
    bounds : tuple of 3 float64 arrays, shape (n,)
        Lowest and highest value of each coordinate, and by how much a step may move it; infinite where there is none.
    iterations : int
        Steps at the most.
    tell : callable
        Is given every step that is taken.

    Notes
    -----
    (A + λ diag A) s = g (Marquardt, J. Soc. Ind. Appl. Math. 11, 1963, 431), whatever the units of the coordinates.
    λ falls after a step that leads down and rises after one that does not. The search ends where steps lower the
    objective by no more than ``NEGLIGIBLE``, or none leads down.
    """
    point, damping, small = start, FIRST_DAMPING, 0
    for _ in range(iterations):
        step = _lower(evaluate, point, damping, bounds)
        if step is None:
            break
        gain = point.objective - step.point.objective
        point, damping = step.point, max(step.damping / FACTOR, LEAST_DAMPING)
        tell(step)
        small = small + 1 if gain <= NEGLIGIBLE * max(1.0, point.objective / max(point.pixels, 1)) else 0
        if small and (step.damping <= FIRST_DAMPING or small == SMALL_STEPS):
            break
    return point


def _lower(
    evaluate: Callable[[Array], P], point: P, damping: float, bounds: tuple[Array, Array, Array]
) -> Step[P] | None:
    """The first step that leads down, with ever more damping."""
    for trial in range(MOST_TRIALS):
        aim = destination(point, damping, *bounds)
        if np.array_equal(aim, point.at):
            return None
        try:
            reached = evaluate(aim)
        except NbnumbaError:
            # No such crystal, no such detector.
            reached = None
        if reached is not None and math.isfinite(reached.objective) and reached.objective < point.objective:
            return Step(reached, damping, trial + 1)
        damping *= FACTOR
    return None


def destination(point: Place, damping: float, low: Array, high: Array, farthest: Array) -> Array:
    """Where the damped step leads, as far as it goes at once."""
    move = _within_bounds(point, damping, low, high) - point.at
    return point.at + move * min(1.0, float(np.min(farthest / np.maximum(np.abs(move), TINY), initial=np.inf)))


def _within_bounds(point: Place, damping: float, low: Array, high: Array) -> Array:
    """Where the damped step leads: a coordinate that would pass its bound is put there, the others are told of it."""
    aim = point.at.copy()
    moves = np.ones(len(aim), bool)
    while moves.any():
        step = point.step(damping, moves, aim - point.at)
        passed = moves & ((point.at + step < low) | (point.at + step > high))
        if not passed.any():
            return np.where(moves, point.at + step, aim)
        aim[passed] = np.where(step < 0.0, low, high)[passed]
        moves &= ~passed
    return aim
