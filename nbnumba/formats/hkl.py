"""Lists of structure factors as text: h k l F."""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, NbnumbaWarning
from .files import Path, as_text, read_unpacked, replacing
from .recognition import text_format
from .rows import Row, loaded, rows

LIST = "the list of structure factors"
_LARGEST_INDEX = 2**31 - 1
_ROUNDED_BELOW = 0.4
_RIGHT = "a reflection is h k l F, whole h, k, l and F >= 0"


def read_hkl(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Reflections in the order of the file; further columns, blank lines and what follows a ``#`` are ignored.

    Returns
    -------
    hkl : ndarray of int64, shape (n, 3)
        Miller indices.
    amplitudes : ndarray of float64, shape (n,)
        F in electrons.

    Raises
    ------
    InputFileError
        Another program's format, by its name; no reflections, or a line that is not one: names the line.

    Warns
    -----
    NbnumbaWarning
        Indices less than 0.4 from a whole number were rounded.
    """
    return hkl_of(path, read_unpacked(path, LIST))


def hkl_of(path: Path, content: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """As :func:`read_hkl`, of what was read already: a pipe is read once."""
    text = as_text(path, content, LIST)
    other = text_format(text)
    if other is not None:
        raise InputFileError(f"{os.fspath(path)}: is {other[0]}, not {LIST}: {other[1]}")
    values = _fast(text)
    if values is None:
        values = _careful(path, text)
    return values[:, :3].astype(np.int64), values[:, 3].copy()


def write_hkl(path: Path, hkl: npt.NDArray[np.integer], amplitudes: npt.NDArray[np.float64]) -> None:
    """Write a list that :func:`read_hkl` reads again, bit by bit.

    Parameters
    ----------
    path : path
        File to be replaced.
    hkl : int array, shape (n, 3)
    amplitudes : float64 array, shape (n,)
        F in electrons.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    with replacing(path) as file:
        for (h, k, l), f in zip(hkl.tolist(), amplitudes.tolist(), strict=True):
            file.write(b"%d %d %d %s\n" % (h, k, l, repr(f).encode()))


def _fast(text: str) -> npt.NDArray[np.float64] | None:
    """All rows by NumPy's compiled reader, or None where any of them needs a closer look."""
    values = loaded(text, (0, 1, 2, 3))
    if values is None:
        return None
    hkl, amplitudes = values[:, :3], values[:, 3]
    whole = np.all(np.abs(hkl) <= _LARGEST_INDEX) and np.array_equal(hkl, np.rint(hkl))
    return values if whole and np.all(np.isfinite(amplitudes) & (amplitudes >= 0)) else None


def _careful(path: Path, text: str) -> npt.NDArray[np.float64]:
    """All rows one by one: says what is wrong, and rounds."""
    reflections = []
    rounded = []
    for row in rows(path, text):
        *hkl, amplitude = _reflection(row)
        whole = [float(round(index)) for index in hkl]
        reflections.append([*whole, amplitude])
        if whole != hkl:
            rounded.append(row)
    if not reflections:
        raise InputFileError(f"{os.fspath(path)}: no reflections; each line must be h k l F")
    if rounded:
        first = rounded[0]
        warnings.warn(
            f"{first.path}:{first.number}: indices rounded to whole numbers, on {len(rounded)} lines from here on:"
            f" {first.text!r}",
            NbnumbaWarning,
            stacklevel=3,
        )
    return np.array(reflections)


def _reflection(row: Row) -> list[float]:
    values = row.floats("h k l F")
    if len(values) < 4:
        raise row.error(f"{len(values)} numbers where 4 are needed ({_RIGHT})")
    for name, index in zip("hkl", values, strict=False):
        if abs(index) > _LARGEST_INDEX or abs(index - round(index)) >= _ROUNDED_BELOW:
            raise row.error(f"{name} = {index:g} is no Miller index ({_RIGHT})")
    if values[3] < 0:
        raise row.error(f"F = {values[3]:g} is negative ({_RIGHT})")
    return values
