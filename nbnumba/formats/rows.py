"""Text in rows and columns, read one row at a time so that an error can name the line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import InputFileError
from .files import Path


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


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
