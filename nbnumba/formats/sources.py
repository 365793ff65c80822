"""Lists of X-ray sources."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import MOST_SMALL_BYTES, Path, read_text
from .rows import Row, rows

_COLUMNS = "x y z weight wavelength"
_ROW = "a row is x y z weight wavelength_in_m"
_LONGEST_M, _SHORTEST_M = 1e-6, 1e-15
"""Wavelengths: beyond these they were not given in metres."""
_LARGEST = 1e50
"""Beyond it, and below its inverse, squares and sums leave float64."""


def read_sources(path: Path) -> npt.NDArray[np.float64]:
    """Rows of x y z weight wavelength, parted by blanks, tabs or any of ``,;:!``; the last two may be missing.

    Returns
    -------
    ndarray of float64, shape (n, 5)
        Position (only its direction counts), weight, wavelength in m; NaN for what a row does not give.

    Raises
    ------
    InputFileError
        No sources, weights that sum to 0, or a row that cannot be: names the line.
    """
    sources = [_source(row) for row in source_rows(path)]
    if not sources:
        raise InputFileError(f"{os.fspath(path)}: no sources; each line must be x y z weight wavelength_in_m")
    table = np.array(sources)
    if np.all(table[:, 3] == 0):
        raise InputFileError(f"{os.fspath(path)}: the weights (fourth column) sum to 0; at least one must be positive")
    return table


def source_rows(path: Path) -> Iterator[Row]:
    """The rows of such a list as text."""
    return rows(path, read_text(path, "the list of sources", MOST_SMALL_BYTES), separators=",;:!")


def why_no_source(numbers: Sequence[float]) -> str | None:
    """Why x, y, z, weight and wavelength in m, NaN for what is not given, are no source; None if they are."""
    x, y, z, weight, wavelength = numbers
    for name, value in zip(_COLUMNS.split(), numbers, strict=True):
        if abs(value) > _LARGEST:
            return f"{name} = {value:g} is too large; give at most {_LARGEST:g}"
    if max(abs(x), abs(y), abs(z)) < 1.0 / _LARGEST:
        return "a source at 0 0 0 has no direction; x y z must point from the sample to the source"
    if weight < 0:
        return f"weight = {weight:g} must not be negative"
    if wavelength <= 0:
        return f"wavelength = {wavelength:g} m must be positive"
    if not (math.isnan(wavelength) or _SHORTEST_M <= wavelength <= _LONGEST_M):
        return f"wavelength = {wavelength:g} is not in metres, as it must be: 1 Å is 1e-10"
    return None


def _source(row: Row) -> list[float]:
    given = row.floats(_COLUMNS)
    if len(given) < 3:
        raise row.error(
            f"{len(given)} number{'s' * (len(given) > 1)} where a direction needs three: {_ROW}, as -10 0 0 1 1.5e-10 "
            "for a beam along x; is it a spectrum? give it as -spectrum"
        )
    numbers = given + [math.nan] * (5 - len(given))
    reason = why_no_source(numbers)
    if reason is not None:
        raise row.error(reason)
    return numbers
