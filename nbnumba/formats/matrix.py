"""Crystal orientation matrices as MOSFLM writes them."""

from __future__ import annotations

import os
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import Path, read_text
from .recognition import text_format
from .rows import rows

Cell = tuple[float, float, float, float, float, float]

_MOST_BYTES = 1 << 20
_ZERO_BELOW, _LARGEST = 1e-60, 1e60
"""Largest element: the volume of a cell beyond these is no number."""
_SINGULAR_BELOW = 1e-10
"""Determinant of the matrix of unit columns: three axes this close to one plane span no cell."""


class MosflmMatrix(NamedTuple):
    """What a ``.mat`` file holds."""

    elements: npt.NDArray[np.float64]
    """Shape (3, 3): rows are lab x, y, z; columns a*, b*, c* in Å⁻¹, times the wavelength in Å."""
    cell: Cell | None
    """The unit cell that MOSFLM itself writes below: Å and degrees."""


def read_matrix(path: Path) -> MosflmMatrix:
    """The first nine numbers of a MOSFLM ``.mat`` file, and its unit cell where it goes on as MOSFLM writes it.

    Raises
    ------
    InputFileError
        Fewer than nine numbers, one that is not finite, or a singular matrix.
    """
    name, text = os.fspath(path), read_text(path, "the A matrix", _MOST_BYTES)
    other = text_format(text)
    if other is not None:
        raise InputFileError(f"{name}: is {other[0]}, not the A matrix: {other[1]}")
    fields = ((row, field) for row in rows(path, text) for field in row.fields)
    values = [row.as_float("matrix element", field) for row, field in islice(fields, 9)]
    if len(values) < 9:
        raise InputFileError(
            f"{name}: {len(values)} numbers where an A matrix has nine: give rows x, y, z of a*, b*, c*"
        )
    matrix = np.array(values).reshape(3, 3)
    if np.abs(matrix).max() > _LARGEST:
        raise InputFileError(f"{name}: an element above {_LARGEST:g}: a* in Å⁻¹ times λ in Å is some 0.01")
    if is_singular(matrix):
        raise InputFileError(
            f"{name}: the A matrix is singular: columns a*, b*, c* lie in one plane; check that the "
            "file holds all three, or give -cell and -misset in its place"
        )
    return MosflmMatrix(matrix, _cell([field for _, field in islice(fields, 18)]))


def _cell(words: list[str]) -> Cell | None:
    """The cell among what follows A: three missetting angles, nine elements of U, six constants."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    if len(numbers) < 18 or not all(abs(element) <= 1.001 for element in numbers[3:12]):
        return None
    a, b, c, alpha, beta, gamma = numbers[12:18]
    is_cell = all(0.0 < edge < _LARGEST for edge in (a, b, c)) and all(0.0 < x < 180.0 for x in (alpha, beta, gamma))
    return (a, b, c, alpha, beta, gamma) if is_cell else None


def is_singular(matrix: npt.NDArray[np.float64]) -> bool:
    """Whether its columns span no cell: one of them is zero, or they lie in one plane."""
    largest = np.abs(matrix).max()
    if largest < _ZERO_BELOW:
        return True
    lengths = np.linalg.norm(matrix / largest, axis=0)
    return bool(lengths.min() == 0 or abs(np.linalg.det(matrix / largest / lengths)) < _SINGULAR_BELOW)
