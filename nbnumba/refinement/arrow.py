"""Normal equations of many images that share some numbers: a matrix like an arrow, solved image by image.

Each image's own numbers are eliminated first (the Schur complement), so that what is solved together is as large as
what is shared, and no image need know of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from .levenberg import Point

Array = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)

NOTHING_KNOWN = 1e-13
"""Of the matrix whose diagonal is 1: eigenvalues of combinations of numbers that stand still."""


@dataclass(frozen=True, eq=False, repr=False)
class Arrow(HoldsArrays):
    """Where all images stand, and the normal equations of each."""

    points: tuple[Point, ...]
    """One an image, whose first coordinates are the shared ones. What is known of these beforehand is divided among the
    images."""
    shared: int
    """How many coordinates are shared."""

    @property
    def at(self) -> Array:
        """Shared coordinates, then those of each image, one after the other (n,)."""
        return joined([point.at for point in self.points], self.shared)

    @property
    def objective(self) -> float:
        """What is to be least: the sum of the images'."""
        return sum(point.objective for point in self.points)

    @property
    def pixels(self) -> int:
        """That count, of all images."""
        return sum(point.pixels for point in self.points)

    def parts(self, vector: NDArray[T]) -> list[NDArray[T]]:
        """Of a vector of all coordinates, or of what belongs to each, those of each image."""
        sizes = [len(point.at) - self.shared for point in self.points]
        ends = self.shared + np.cumsum(sizes)
        return [
            np.concatenate([vector[: self.shared], vector[end - size : end]])
            for end, size in zip(ends.tolist(), sizes, strict=True)
        ]

    def step(self, damping: float, moves: NDArray[np.bool_], known: Array) -> Array:
        """(A + λ diag A) s = g of the coordinates that move, beside ``known`` steps of the others (n,)."""
        equations = [
            _held(point, moving, beside)
            for point, moving, beside in zip(self.points, self.parts(moves), self.parts(known), strict=True)
        ]
        together = _shared_alone(equations, self.shared, damping)
        step = _inverse(together.matrix, together.diagonal) @ together.gradient
        return np.concatenate([step, *(one.alone - one.onto_shared @ step for one in together.eliminated)])

    def information(self) -> tuple[Array, Array]:
        """Of the shared numbers what all images know beside their own ones (s, s), and if those were known (s,)."""
        together = _shared_alone([(point.gradient, point.matrix) for point in self.points], self.shared, 0.0)
        return together.matrix, together.diagonal

    def covariances(self) -> tuple[Array, list[Array]]:
        """Of the shared numbers (s, s), and of each image's own, what the shared ones do to them included."""
        together = _shared_alone([(point.gradient, point.matrix) for point in self.points], self.shared, 0.0)
        shared = _inverse(together.matrix, together.diagonal)
        own = [one.own_inverse + one.onto_shared @ shared @ one.onto_shared.T for one in together.eliminated]
        return shared, own


class _Eliminated(NamedTuple):
    """One image's own numbers."""

    onto_shared: Array
    """H_oo⁻¹ H_os (o, s)."""
    alone: Array
    """H_oo⁻¹ g_o (o,): their step, were the shared ones to stand still."""
    own_inverse: Array
    """H_oo⁻¹ (o, o)."""


class _Together(NamedTuple):
    """The shared numbers, all others eliminated."""

    matrix: Array
    """Σ (H_ss − H_so H_oo⁻¹ H_os) (s, s)."""
    gradient: Array
    """Σ (g_s − H_so H_oo⁻¹ g_o) (s,)."""
    diagonal: Array
    """Of Σ H_ss (s,)."""
    eliminated: list[_Eliminated]
    """Of each image."""


Equations = tuple[Array, Array]
"""Gradient and matrix of one image."""


def joined(parts: Sequence[Array], shared: int) -> Array:
    """Shared coordinates, then those of each image, one after the other (n,): of each image's coordinates."""
    return np.concatenate([parts[0][:shared], *(part[shared:] for part in parts)])


def _held(point: Point, moves: NDArray[np.bool_], known: Array) -> Equations:
    """The equations of coordinates that move; rows and columns of the others are 0."""
    gradient = point.gradient - point.matrix @ np.where(moves, 0.0, known)
    return np.where(moves, gradient, 0.0), np.where(np.outer(moves, moves), point.matrix, 0.0)


def _shared_alone(images: Sequence[Equations], size: int, damping: float) -> _Together:
    whole = sum((matrix[:size, :size] for _, matrix in images), np.zeros((size, size)))
    matrix, gradient, eliminated = _damped(whole, damping), np.zeros(size), []
    for slope, one in images:
        own = one[size:, size:]
        inverse = _inverse(_damped(own, damping), np.diag(own))
        eliminated.append(_Eliminated(inverse @ one[size:, :size], inverse @ slope[size:], inverse))
        matrix = matrix - one[:size, size:] @ eliminated[-1].onto_shared
        gradient = gradient + slope[:size] - one[:size, size:] @ eliminated[-1].alone
    return _Together(matrix, gradient, np.diag(whole), eliminated)


def _damped(matrix: Array, damping: float) -> Array:
    return matrix + damping * np.diag(np.diag(matrix))


def _inverse(matrix: Array, diagonal: Array) -> Array:
    """The inverse; 0 of numbers on which nothing depends, and of combinations of which nothing is known.

    ``diagonal``: the square of a unit of each number, in which the matrix is of the order of 1.
    """
    unit = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    inverse: Array = np.linalg.pinv(matrix / np.outer(unit, unit), rcond=NOTHING_KNOWN, hermitian=True)
    return inverse / np.outer(unit, unit)
