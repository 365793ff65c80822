"""Text in rows and columns, read one row at a time so that an error can name the line."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import Path

_CHUNK = 2**20


class Row(NamedTuple):
    """A line that is neither blank nor all comment, and where it stands."""

    path: str
    number: int
    """Counted from 1."""
    text: str
    fields: list[str]

    def error(self, problem: str) -> InputFileError:
        """What is wrong with this line, on one line."""
        return InputFileError(f"{self.path}:{self.number}: {problem}: {_short(self.text)!r}")

    def floats(self, names: str) -> list[float]:
        """The leading fields, one for each of the blank-separated ``names``, fewer where the line is shorter.

        Raises
        ------
        InputFileError
            A field that is not a finite number.
        """
        return [self.as_float(name, field) for name, field in zip(names.split(), self.fields, strict=False)]

    def as_float(self, name: str, field: str) -> float:
        """The number that a field holds; raises as :meth:`floats`, calling it ``name``."""
        # float() alone would take 1_000, and digits of any script.
        plain = field.isascii() and "_" not in field
        try:
            value = float(field) if plain else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{name} must be a finite number, not {_short(field)!r}")
        return value


def rows(path: Path, text: str, separators: str = "") -> Iterator[Row]:
    """The rows of ``text``, without blank lines and without what follows a ``#``.

    Parameters
    ----------
    path : path
        Where the text is from, for errors.
    text : str
        Content of the file.
    separators : str
        Characters that part columns, besides blanks and tabs.
    """
    separator = re.compile(f"[{re.escape(separators)}]") if separators else None
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.partition("#")[0]
        fields = (separator.sub(" ", content) if separator else content).split()
        if fields:
            yield Row(os.fspath(path), number, line.strip(), fields)


def nth_row(path: Path, text: str, number: int) -> Row:
    """One of the rows, counted from 0."""
    return next(islice(rows(path, text), number, None))


def table(path: Path, text: str, columns: Mapping[str, int], right: str) -> npt.NDArray[np.float64]:
    """Columns of finite numbers from all rows.

    Parameters
    ----------
    path : path
        Where the text is from, for errors.
    text : str
        Content of the file.
    columns : mapping of str to int
        What errors call each, and its number, counted from 0.
    right : str
        What a row is, for errors.

    Returns
    -------
    ndarray of float64, shape (rows, columns)

    Raises
    ------
    InputFileError
        A row that lacks a column, or whose number is none: names the line.
    """
    values = loaded(text, tuple(columns.values()))
    if values is not None and np.isfinite(values).all():
        return values
    found = []
    for row in rows(path, text):
        if len(row.fields) <= max(columns.values()):
            raise row.error(f"{len(row.fields)} columns where {max(columns.values()) + 1} are needed ({right})")
        found.append([row.as_float(name, row.fields[number]) for name, number in columns.items()])
    return np.array(found).reshape(-1, len(columns))


def loaded(text: str, columns: Sequence[int]) -> npt.NDArray[np.float64] | None:
    """Columns by NumPy's compiled reader, or None where any row needs a closer look."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.concatenate([np.loadtxt(io.StringIO(chunk), usecols=columns, ndmin=2) for chunk in _chunks(text)])
    except (ValueError, Warning):
        return None


def _chunks(text: str) -> Iterator[str]:
    """Whole lines of about a megabyte: Ctrl-C is heard only when the compiled reader returns."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + _CHUNK) + 1 or len(text)
        yield text[start:end]
        start = end


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
