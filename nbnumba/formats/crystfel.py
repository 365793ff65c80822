"""Reflection lists of CrystFEL."""

from __future__ import annotations

import re

import gemmi

from ..errors import InputFileError
from .observations import Observations, listed, only

_ROW = "a row is h k l I phase sigma nmeas"
GROUPS = {
    "1": "P 1", "-1": "P -1", "222": "P 2 2 2", "mm2": "P m m 2", "mmm": "P m m m",
    "4": "P 4", "-4": "P -4", "4/m": "P 4/m", "422": "P 4 2 2", "4mm": "P 4 m m", "-42m": "P -4 2 m",
    "-4m2": "P -4 m 2", "4/mmm": "P 4/m m m",
    "3_R": "R 3:R", "-3_R": "R -3:R", "32_R": "R 3 2:R", "3m_R": "R 3 m:R", "-3m_R": "R -3 m:R",
    "3_H": "P 3", "-3_H": "P -3", "321_H": "P 3 2 1", "312_H": "P 3 1 2", "3m1_H": "P 3 m 1", "31m_H": "P 3 1 m",
    "-3m1_H": "P -3 m 1", "-31m_H": "P -3 1 m",
    "6": "P 6", "-6": "P -6", "6/m": "P 6/m", "622": "P 6 2 2", "6mm": "P 6 m m", "-62m": "P -6 2 m",
    "-6m2": "P -6 m 2", "6/mmm": "P 6/m m m",
    "23": "P 2 3", "m-3": "P m -3", "432": "P 4 3 2", "-43m": "P -4 3 m", "m-3m": "P m -3 m",
}  # fmt: skip
"""Point groups, whose unique axis is c, and the space groups that have nothing else."""
_MONOCLINIC = {"a": "P {} 1 1", "b": "P 1 {} 1", "c": "P 1 1 {}"}


def read_crystfel(name: str, text: str) -> Observations:
    """The merged intensities of a list; its point group stands for a space group without screws and centring.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    text : str
        Its content.

    Raises
    ------
    InputFileError
        The file is damaged; names the line.
    """
    head = re.search(r"^[ \t]*h[ \t]+k[ \t]+l[ \t]+I\b[^\n]*\n", text, re.MULTILINE)
    end = re.search(r"^End of reflections", text, re.MULTILINE)
    if head is None or end is None or end.start() < head.end():
        missing = "columns h k l I ..." if head is None else "End of reflections"
        raise InputFileError(f"{name}: no line {missing!r}: it is truncated or damaged; copy it again")
    hkl, values = listed(name, only(text, head.end(), end.start()), {"h": 0, "k": 1, "l": 2, "I": 3}, _ROW)
    found = re.search(r"^Symmetry:([^\n]*)", text[: head.start()], re.MULTILINE)
    point_group = "" if found is None else found[1].strip()
    symbol = space_group_of(point_group)
    return Observations(
        hkl=hkl,
        values=values[:, 0].copy(),
        are_intensities=True,
        labels=("I",),
        group=None if symbol is None else gemmi.SpaceGroup(symbol),
        why_no_group=f"its point group {point_group!r} has no space group here",
        note_of_group=f"space group {symbol} from the point group {point_group}: -space_group adds absences",
    )


def space_group_of(point_group: str) -> str | None:
    """The space group without screw axes, glide planes and centring of a point group as CrystFEL writes it."""
    bare, _, axis = point_group.partition("_ua")
    axis = axis or "c"
    if bare in ("2", "m", "2/m") and axis in _MONOCLINIC:
        return _MONOCLINIC[axis].format(bare)
    return GROUPS.get(bare) if axis == "c" else None
