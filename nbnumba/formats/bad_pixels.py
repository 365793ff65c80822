"""Lists of pixels that never count rightly."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import MOST_SMALL_BYTES, Path, read_text
from .rows import Row, rows

DEAD, HOT, NOISY = 1, 2, 3
NAMES = {"dead": DEAD, "hot": HOT, "noisy": NOISY}
_ROW = "a row is fast slow, or panel fast slow, all from 0, and dead, hot or noisy"
_MOST = 1 << 31


def read_bad_pixels(path: Path) -> npt.NDArray[np.int64]:
    """Rows of fast, slow and what is wrong (dead where nothing is said), with the panel before them or not.

    Returns
    -------
    ndarray of int64, shape (n, 4)
        Panel, fast, slow, and DEAD, HOT or NOISY.

    Raises
    ------
    InputFileError
        No rows, or one that is not so: names the line.
    """
    text = read_text(path, "the list of bad pixels", MOST_SMALL_BYTES)
    listed = [_pixel(row) for row in rows(path, text, separators=",")]
    if not listed:
        raise InputFileError(f"{os.fspath(path)}: no pixels; {_ROW}")
    return np.array(listed, np.int64)


def _pixel(row: Row) -> list[int]:
    *numbers, last = row.fields
    kind = NAMES.get(last.lower())
    if kind is None:
        kind, numbers = DEAD, row.fields
    try:
        values = [row.as_float("a pixel's number", number) for number in numbers]
    except InputFileError:
        values = []  # also of a word that says what is wrong, and is none of the three
    if len(values) not in (2, 3) or any(value != int(value) or not 0 <= value < _MOST for value in values):
        raise row.error(f"no pixel; {_ROW}")
    return [*[0] * (3 - len(values)), *map(int, values), kind]
