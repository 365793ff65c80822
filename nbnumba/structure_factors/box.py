"""The box of Miller indices that reflections span, and where each stands in it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ResourceError

MOST_CELLS = 1 << 28
"""Of a table, 2 GiB of float64."""


class Box(NamedTuple):
    """Smallest h, k, l and how many of each."""

    first: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def cells(self) -> int:
        """How many indices it has."""
        return math.prod(self.shape)

    def places(self, hkl: NDArray[np.integer]) -> NDArray[np.intp]:
        """Where indices (n, 3) stand in the flat box."""
        i, j, m = (np.asarray(hkl[:, axis], np.intp) - self.first[axis] for axis in range(3))
        return (i * self.shape[1] + j) * self.shape[2] + m

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """h (nh, 1, 1), k (nk, 1) and l (nl,)."""
        h, k, l = (np.arange(n, dtype=float) + first for first, n in zip(self.first, self.shape, strict=True))
        return h[:, np.newaxis, np.newaxis], k[:, np.newaxis], l

    def indices_where(self, chosen: NDArray[np.bool_]) -> NDArray[np.int32]:
        """h k l (n, 3) of the indices that a mask of the box's shape chooses."""
        return np.argwhere(chosen).astype(np.int32) + np.array(self.first, np.int32)


def box_of(hkl: NDArray[np.integer]) -> Box:
    """The box that indices (n, 3) span.

    Raises
    ------
    ResourceError
        It has more than ``MOST_CELLS`` cells.
    """
    low, high = hkl.min(axis=0), hkl.max(axis=0)
    h, k, l = (int(n) for n in low)
    nh, nk, nl = (int(n) for n in high - low + 1)
    box = Box((h, k, l), (nh, nk, nl))
    if box.cells > MOST_CELLS:
        raise ResourceError(
            f"the indices h {low[0]}..{high[0]}, k {low[1]}..{high[1]}, l {low[2]}..{high[2]} need a table of "
            f"{box.cells:.3g} values ({box.cells * 8 / 2**30:.3g} GiB), more than the limit of "
            f"{MOST_CELLS * 8 >> 30} GiB: drop the outlying reflections"
        )
    return box


def spacings(box: Box, cell: tuple[float, ...]) -> NDArray[np.float64]:
    """d in Å of every index of a box (nh, nk, nl) in a cell (Å, degrees); infinite for (0, 0, 0)."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.sqrt(_inverse_sqr(*box.axes(), cell)))


def damping(hkl: NDArray[np.integer], cell: tuple[float, ...], b_factor: float) -> NDArray[np.float64]:
    """exp(−B s²) of indices (n, 3) in a cell (Å, degrees), s = sin θ/λ = 1/(2d), B in Å²."""
    h, k, l = np.asarray(hkl, float).T
    return np.asarray(np.exp(-b_factor / 4.0 * _inverse_sqr(h, k, l, cell)))


def _inverse_sqr(
    h: NDArray[np.float64], k: NDArray[np.float64], l: NDArray[np.float64], cell: tuple[float, ...]
) -> NDArray[np.float64]:
    """1/d² in Å⁻²."""
    a, b, c, alpha, beta, gamma = cell
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    direct = np.outer((a, b, c), (a, b, c)) * np.array([
        [1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0],
    ])  # fmt: skip
    m = np.linalg.inv(direct)
    return np.asarray(
        h * h * m[0, 0] + k * k * m[1, 1] + l * l * m[2, 2]
        + 2.0 * (h * k * m[0, 1] + h * l * m[0, 2] + k * l * m[1, 2])
    )  # fmt: skip
