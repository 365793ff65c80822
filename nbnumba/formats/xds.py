"""Reflections from XDS_ASCII.HKL and INTEGRATE.HKL, which XDS and XSCALE write."""

from __future__ import annotations

import re

import gemmi

from ..errors import InputFileError
from ..experiment import Cell
from .observations import Observations, listed, only

_COLUMNS = {"h": "H", "k": "K", "l": "L", "I": "IOBS", "sigma": "SIGMA(IOBS)"}
"""What the header calls those that are taken; INTEGRATE has them in this order and does not number them."""


def read_xds(name: str, text: str) -> Observations:
    """All observations of a file that is merged or not; misfits have a sigma below 0.

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
    start = re.search(r"^!END_OF_HEADER[^\n]*(?:\n|$)", text, re.MULTILINE)
    end = re.search(r"^!END_OF_DATA", text, re.MULTILINE)
    if start is None or end is None or end.start() < start.end():
        missing = "!END_OF_HEADER before" if start is None else "!END_OF_DATA after"
        raise InputFileError(f"{name}: no line {missing} its data: it is truncated or damaged; copy it again")
    header = text[: start.end()]
    hkl, values = listed(name, only(text, start.end(), end.start()), _columns(header), "a row is h k l I sigma ...")
    number = _value(header, "SPACE_GROUP_NUMBER")
    is_scaled = header.startswith("!FORMAT=XDS_ASCII")
    return Observations(
        hkl=hkl,
        values=values[:, 0].copy(),
        sigmas=values[:, 1].copy(),
        are_intensities=True,
        labels=("IOBS",),
        mates_apart=re.search(r"FRIEDEL'S_LAW= *FALSE", header) is not None,
        cell=_cell(name, header),
        group=gemmi.find_spacegroup_by_number(int(number)) if re.fullmatch(r"[1-9]\d{0,2}", number) else None,
        why_no_group=f"its SPACE_GROUP_NUMBER {number!r} is not known",
        notes=() if is_scaled else ("intensities of INTEGRATE, which CORRECT has not scaled",),
    )


def _columns(header: str) -> dict[str, int]:
    """Numbers of the columns, from 0."""
    numbers = {}
    for usual, (column, item) in enumerate(_COLUMNS.items()):
        found = re.search(rf"^!ITEM_{re.escape(item)}= *([1-9]\d?)\b", header, re.MULTILINE)
        numbers[column] = usual if found is None else int(found[1]) - 1
    return numbers


def _cell(name: str, header: str) -> Cell | None:
    words = _value(header, "UNIT_CELL_CONSTANTS").split()
    if not words:
        return None
    try:
        a, b, c, alpha, beta, gamma = map(float, words)
    except ValueError:
        raise InputFileError(f"{name}: !UNIT_CELL_CONSTANTS= {' '.join(words)[:80]} must be six numbers") from None
    return a, b, c, alpha, beta, gamma


def _value(header: str, keyword: str) -> str:
    """What a line of the header says, empty where there is none."""
    found = re.search(rf"^!{keyword}=([^\n]*)", header, re.MULTILINE)
    return "" if found is None else found[1].strip()
