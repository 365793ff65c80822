"""Which columns of a reflection file F is taken from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputFileError

PREFERRED = "fc_all_ls fc_all f-model fmodel fc ic fp f".split()
"""Calculated before measured, complete models before parts of them."""
PREFERRED_PAIRS = "f(+) i(+)".split()
PREFERRED_MEANS = "imean i iobs i-obs".split()
F, F_PAIR, INTENSITY, INTENSITY_PAIR = "F", "G", "J", "K"
"""MTZ's types of columns."""
TAKEN = (F, F_PAIR, INTENSITY, INTENSITY_PAIR)
_MATES = (("(+)", "(-)"), ("plus", "minus"), ("Plus", "Minus"), ("+", "-"))
_MAP = re.compile(r"(?:del)?fwt|2?m?fo-?d?fc(?:wt.*)?|p?anom", re.IGNORECASE)
"""Coefficients of maps, which are no structure factors of the crystal."""


class Column(NamedTuple):
    """A column of reflections."""

    label: str
    type: str
    """By MTZ's letters."""
    values: Callable[[], np.ndarray]
    """Float64 (n,), NaN where not measured; made when it is asked for."""
    alias: str = ""
    """What MTZ calls it, where the file has another name for it."""

    @property
    def names(self) -> tuple[str, str]:
        """What it may be called, in small letters."""
        return self.label.lower(), (self.alias or self.label).lower()


class Choice(NamedTuple):
    """A column, or one of h and one of -h, and what else there was."""

    columns: tuple[Column, ...]
    others: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.label for column in self.columns)

    @property
    def are_intensities(self) -> bool:
        """Whether they are squares of F."""
        return self.columns[0].type in (INTENSITY, INTENSITY_PAIR)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else could have been taken."""
        taken = " and ".join(self.labels)
        return (f"F from {taken}; also there, for -labels: {', '.join(self.others)}",) if self.others else ()


def chosen(name: str, columns: Sequence[Column], labels: Sequence[str] | None) -> Choice:
    """The columns that ``labels`` names, one or two, or those that the order of preference finds first.

    That order is: calculated F, measured F, F of both mates, intensities of both mates, mean intensities.

    Raises
    ------
    InputFileError
        There is no such column, none at all, or several among which nothing decides: lists those that are there.
    """
    usable = [column for column in columns if column.type in TAKEN]
    taken = _named(name, columns, labels) if labels else _preferred(name, columns, usable)
    return Choice(taken, tuple(column.label for column in usable if column not in taken))


def _named(name: str, columns: Sequence[Column], labels: Sequence[str]) -> tuple[Column, ...]:
    given = f"-labels {' '.join(labels)}"
    if len(labels) > 2:
        raise InputFileError(f"{name}: {given}: give one label, or two: of h k l and of -h -k -l")
    found = tuple(_of_label(name, columns, label, given) for label in labels)
    types = {column.type for column in found}
    if len(found) == 1 and types & {F_PAIR, INTENSITY_PAIR}:
        mate = next((c.label for c in columns if c.label == _mate(found[0].label)), "the label of its mate")
        raise InputFileError(f"{name}: {given} is of one Friedel mate alone; give both, -labels {labels[0]} {mate}")
    if len(types) > 1 or (found[0] == found[-1] and len(found) > 1):
        raise InputFileError(f"{name}: {given}: two labels must be those of h k l and of -h -k -l; {_there(columns)}")
    return found


def _of_label(name: str, columns: Sequence[Column], label: str, given: str) -> Column:
    exact = [column for column in columns if label in (column.label, column.alias)]
    found = exact or [column for column in columns if label.lower() in column.names]
    if not found:
        raise InputFileError(f"{name}: {given}: there is no column {label}; {_there(columns)}")
    if found[0].type not in TAKEN:
        raise InputFileError(f"{name}: {given}: {label} holds neither F nor intensities; {_there(columns)}")
    return found[0]


def _preferred(name: str, columns: Sequence[Column], usable: Sequence[Column]) -> tuple[Column, ...]:
    for wanted in PREFERRED:
        for column in usable:
            if column.type in (F, INTENSITY) and column.names[1] == wanted:
                return (column,)
    for kind, preferred in ((F, ()), (F_PAIR, PREFERRED_PAIRS), (INTENSITY_PAIR, PREFERRED_PAIRS),
                            (INTENSITY, PREFERRED_MEANS)):  # fmt: skip
        single = kind in (F, INTENSITY)
        of_kind = [column for column in usable if column.type == kind and not _MAP.fullmatch(column.label)]
        candidates = [(column,) for column in of_kind] if single else _pairs(of_kind)
        best = [found for wanted in preferred for found in candidates if found[0].names[1] == wanted]
        if len(candidates) == 1 or best:
            return (best or candidates)[0]
        if candidates:
            listed = "; ".join(" ".join(column.label for column in found) for found in candidates)
            raise InputFileError(f"{name}: which of its columns holds F? -labels and one of: {listed}")
    raise InputFileError(f"{name}: no column of F or intensities; {_there(columns)}")


def _pairs(columns: Sequence[Column]) -> list[tuple[Column, ...]]:
    """Columns of h with those of -h, by their names."""
    by_label = {column.label: column for column in columns}
    return [
        (column, by_label[_mate(column.label)])
        for column in columns
        if any(plus in column.label for plus, _ in _MATES) and _mate(column.label) in by_label
    ]


def _mate(label: str) -> str:
    """What the column of -h is called where ``label`` is that of h, and the reverse; empty for any other."""
    for plus, minus in _MATES:
        for one, other in ((plus, minus), (minus, plus)):
            if one in label:
                return label.replace(one, other, 1)
    return ""


def _there(columns: Sequence[Column]) -> str:
    listed = [f"{column.label} ({column.type})" for column in columns if column.type != "H"]
    return f"it has {', '.join(listed)}" if listed else "it has none but the indices"
