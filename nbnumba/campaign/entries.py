"""Entries of a campaign's file: values of the kind that is asked for, and errors that say where another stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from ..choices import listed
from ..errors import InputFileError
from ..experiment.field import LARGEST
from ..experiment.noun import shown

Word = TypeVar("Word", bound=str)


class Files(dict[str, str]):
    """For each absolute name of a file, that by which the campaign names it."""

    def located(self, folder: Path, name: str) -> str:
        """The absolute name of a file that is named by a folder."""
        absolute = os.path.abspath(folder / name)
        self.setdefault(absolute, name)
        return absolute


@dataclass(frozen=True)
class Entry:
    """What an entry of the file says."""

    file: Path
    name: str
    """As errors have it; empty: the whole file."""
    said: Any
    files: Files
    """Those that were named so far."""

    def wrong(self, problem: str) -> InputFileError:
        """An error that says where."""
        return InputFileError(f"{self.file}: {self.name}{': ' if self.name else ''}{problem}")

    def under(self, name: str, said: Any) -> Entry:
        """An entry of this one, or another in its place, by the name that errors have for it."""
        return Entry(self.file, name, said, self.files)

    def located(self, name: str) -> str:
        """The absolute name of a file that this one names."""
        return self.files.located(self.file.parent, name)

    def table(self, known: Sequence[str]) -> Entry:
        """Itself, if it is a table of some keys and no others."""
        if not isinstance(self.said, Mapping):
            raise self.wrong(f"{shown(self.said)} must be a table of {listed(tuple(known))}")
        for key in self.said:
            if key not in known:
                near = get_close_matches(key, known, 1)
                advice = f"did you mean {near[0]}?" if near else f"known are {listed(tuple(known))}"
                raise self.wrong(f"{shown(key)} is not known; {advice}")
        return self

    def whole(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.said.get(key, default)
        if not is_whole(value) or not least <= value <= most:
            is_missing = "is missing: give" if value is None else f"= {shown(value)} must be"
            raise self.wrong(f"{key} {is_missing} a whole number from {least} to {most}")
        return int(value)

    def number(self, key: str, what: str, least: float, most: float, default: float | None = None) -> float:
        """A number within bounds."""
        value = self.said.get(key, default)
        if not is_number(value) or not least <= value <= most:
            is_missing = "is missing: give" if value is None else f"= {shown(value)} must be"
            raise self.wrong(f"{key} {is_missing} {what} from {least:g} to {most:g}")
        return float(value)

    def numbers(self, key: str, names: Sequence[str]) -> list[float]:
        """As many numbers as have names."""
        value = self.said[key]
        if not isinstance(value, list) or len(value) != len(names) or not all(map(is_number, value)):
            raise self.wrong(f"{key} = {shown(value)} must be [{', '.join(names)}], numbers")
        return [float(number) for number in value]

    def one_of(self, key: str, words: Sequence[Word], default: Word) -> Word:
        """One of some words."""
        value = self.said.get(key, default)
        if value not in words:
            raise self.wrong(f"{key} = {shown(value)} must be {listed(tuple(words))}")
        return words[words.index(value)]


def is_whole(value: Any) -> bool:
    """Whether a plain value is an integer."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a plain value is a number that can be calculated with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
