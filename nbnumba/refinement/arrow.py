"""Normal equations of many images that share some numbers: a matrix like an arrow, solved image by image.

Each image's own numbers are eliminated first (the Schur complement), so that what is solved together is as large as what
is shared, and no image need know of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .levenberg import Point

Array = NDArray[np.float64]


class Prior(NamedTuple):
    """What is known of shared numbers beforehand, where a search stands."""

    objective: float
    gradient: Array
    """−½ of its gradient (s,)."""
    matrix: Array
    """½ of its second derivatives (s, s)."""


class _Eliminated(NamedTuple):
    """One image without its own numbers."""

    onto_shared: Array
    """H_oo⁻¹ H_os (o, s)."""
    alone: Array
    """H_oo⁻¹ g_o (o,): the own numbers' step, were the shared ones to stand still."""
    own_inverse: Array
    """H_oo⁻¹ (o, o)."""


def arrow_step(points: Sequence[Point], prior: Prior, damping: float) -> tuple[Array, list[Array]]:
    """The damped step of shared numbers (s,) and of each image's own: (A + λ diag A) x = g.

    Parameters
    ----------
    points : sequence of Point
        One an image, whose first coordinates are the shared ones.
    prior : Prior
        Of the shared numbers.
    damping : float
        λ of Levenberg and Marquardt.
    """
    size = len(prior.gradient)
    eliminated = [_eliminated(point, size, damping) for point in points]
    shared = _damped(prior.matrix + sum(point.matrix[:size, :size] for point in points), damping)
    gradient = prior.gradient + sum(point.gradient[:size] for point in points)
    for point, one in zip(points, eliminated, strict=True):
        shared -= point.matrix[:size, size:] @ one.onto_shared
        gradient = gradient - point.matrix[:size, size:] @ one.alone
    step = _inverse(shared) @ gradient
    return step, [one.alone - one.onto_shared @ step for one in eliminated]


def arrow_covariance(points: Sequence[Point], prior: Prior) -> tuple[Array, list[Array]]:
    """Covariances of the shared numbers (s, s), and of each image's own, what the shared ones do to them included."""
    size = len(prior.gradient)
    eliminated = [_eliminated(point, size, 0.0) for point in points]
    shared = prior.matrix + sum(point.matrix[:size, :size] for point in points)
    for point, one in zip(points, eliminated, strict=True):
        shared = shared - point.matrix[:size, size:] @ one.onto_shared
    together = _inverse(shared)
    return together, [one.own_inverse + one.onto_shared @ together @ one.onto_shared.T for one in eliminated]


def _eliminated(point: Point, size: int, damping: float) -> _Eliminated:
    inverse = _inverse(_damped(point.matrix[size:, size:], damping))
    return _Eliminated(inverse @ point.matrix[size:, :size], inverse @ point.gradient[size:], inverse)


def _damped(matrix: Array, damping: float) -> Array:
    return matrix + damping * np.diag(np.diag(matrix))


def _inverse(matrix: Array) -> Array:
    """The inverse; 0 of numbers on which nothing depends, and of combinations of which nothing is known."""
    scale = np.sqrt(np.diag(matrix))
    scale = np.where(scale > 0.0, scale, 1.0)
    inverse: Array = np.linalg.pinv(matrix / np.outer(scale, scale), rcond=1e-13, hermitian=True)
    return inverse / np.outer(scale, scale)
