"""Scattering curves of amorphous material."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import MOST_SMALL_BYTES, Path, read_text
from .rows import Row, rows

_LARGEST = 1e50
"""Beyond it products leave float64."""


def read_amorphous(path: Path) -> npt.NDArray[np.float64]:
    """Two columns, the first ascending; further columns, blank lines and what follows a ``#`` are ignored.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        sin θ/λ (or a multiple of it) in Å⁻¹ and F in electrons, sorted by the first.

    Raises
    ------
    InputFileError
        No rows, a row without two numbers, a negative abscissa, or one that occurs twice: names the line.
    """
    text = read_text(path, "the scattering curve", MOST_SMALL_BYTES)
    points = sorted(((_point(row), row) for row in rows(path, text)), key=_abscissa)
    if not points:
        raise InputFileError(f"{os.fspath(path)}: no points; each line must be an abscissa in 1/Å and F in electrons")
    for before, after in pairwise(points):
        if _abscissa(before) == _abscissa(after):
            raise after[1].error(f"the first column was given before, on line {before[1].number}; each must occur once")
    return np.array([point for point, _ in points])


def _point(row: Row) -> list[float]:
    values = row.floats("abscissa F")
    if len(values) < 2:
        raise row.error("one number where 2 are needed (an abscissa in 1/Å and F in electrons)")
    for name, value in zip(("abscissa", "F"), values, strict=True):
        if abs(value) > _LARGEST:
            raise row.error(f"{name} = {value:g} is too large; give at most {_LARGEST:g}")
    if values[0] < 0:
        raise row.error(f"abscissa = {values[0]:g} must not be negative")
    return values


def _abscissa(point: tuple[list[float], Row]) -> float:
    return point[0][0]
