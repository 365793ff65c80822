"""Intensities as SHELX has them (HKLF 4): h, k, l, F², sigma in fixed or free columns, ended by 0 0 0."""

from __future__ import annotations

import re

from ..errors import InputFileError
from .observations import Observations, listed

_COLUMNS = {"h": 0, "k": 1, "l": 2, "I": 3, "sigma": 4}
_FIXED = (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 20), slice(20, 28))
"""3I4, 2F8"""
_END = re.compile(r"^[ \t]*0[ \t]+0[ \t]+0(?:[ \t].*)?$", re.MULTILINE)


def read_fixed_shelx(name: str, text: str) -> Observations:
    """As :func:`read_free_shelx`, of columns 3I4, 2F8, which nothing parts."""
    end = _END.search(text)
    lines = text[: len(text) if end is None else end.start()].split("\n")
    return read_free_shelx(name, "\n".join(" ".join(line[columns] for columns in _FIXED) for line in lines))


def read_free_shelx(name: str, text: str) -> Observations:
    """All rows up to 0 0 0; neither cell nor symmetry is among them.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    text : str
        Its content.

    Raises
    ------
    InputFileError
        A row that is none: names the line.
    """
    end = _END.search(text)
    hkl, values = listed(name, text if end is None else text[: end.start()], _COLUMNS, "a row is h k l I sigma")
    if not len(hkl):
        raise InputFileError(f"{name}: no reflections before 0 0 0")
    weighted = bool((values[:, 1] > 0.0).all())
    return Observations(
        hkl=hkl,
        values=values[:, 0].copy(),
        sigmas=values[:, 1].copy() if weighted else None,
        are_intensities=True,
        labels=("I",),
        notes=("a list of SHELX: intensities (HKLF 4)",),
    )
