"""Crystal orientation matrices as MOSFLM writes them."""

from __future__ import annotations

import os
from itertools import islice

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import Path, read_text
from .rows import rows

_ZERO_BELOW, _LARGEST = 1e-60, 1e60
"""Largest element: the volume of a cell beyond these is no number."""
_SINGULAR_BELOW = 1e-10
"""Determinant of the matrix of unit columns: three axes this close to one plane span no cell."""


def read_matrix(path: Path) -> npt.NDArray[np.float64]:
    """The first nine numbers of a MOSFLM ``.mat`` file.

    Returns
    -------
    ndarray of float64, shape (3, 3)
        Rows are lab x, y, z; columns a*, b*, c* in Å⁻¹, times the wavelength in Å.

    Raises
    ------
    InputFileError
        Fewer than nine numbers, one that is not finite, or a singular matrix.
    """
    text = read_text(path, "the A matrix")
    elements = (row.as_float("matrix element", field) for row in rows(path, text) for field in row.fields)
    values = list(islice(elements, 9))
    if len(values) < 9:
        raise InputFileError(
            f"{os.fspath(path)}: {len(values)} numbers where an A matrix has nine: give rows x, y, z of a*, b*, c*"
        )
    matrix = np.array(values).reshape(3, 3)
    if np.abs(matrix).max() > _LARGEST:
        raise InputFileError(f"{os.fspath(path)}: an element above {_LARGEST:g}: a* in Å⁻¹ times λ in Å is some 0.01")
    if _is_singular(matrix):
        raise InputFileError(
            f"{os.fspath(path)}: the A matrix is singular: columns a*, b*, c* lie in one plane; check that the "
            "file holds all three, or give -cell and -misset in its place"
        )
    return matrix


def _is_singular(matrix: npt.NDArray[np.float64]) -> bool:
    largest = np.abs(matrix).max()
    if largest < _ZERO_BELOW:
        return True
    lengths = np.linalg.norm(matrix / largest, axis=0)
    return bool(lengths.min() == 0 or abs(np.linalg.det(matrix / largest / lengths)) < _SINGULAR_BELOW)
