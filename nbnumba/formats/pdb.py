"""PDB files of any age and origin, rewritten as gemmi reads them: first model, elements in their columns."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict

import gemmi

from ..errors import InputFileError, NbnumbaWarning

_HEADER = ("CRYST1", "SCALE1", "SCALE2", "SCALE3", "MTRIX1", "MTRIX2", "MTRIX3")
_COORDINATES = {"x": (30, 38), "y": (38, 46), "z": (46, 54)}
_USUAL = {"occupancy": (54, 60, "  1.00"), "B factor": (60, 66, " 20.00")}
"""Where these stand, and what is taken where nothing does."""
_BEFORE_1996 = re.compile(r"\d\w{3}[ \d]{3}\d")
"""Columns 73-80: the code of the entry and the number of the line."""

_IONS = {"BAR": "BA", "CAD": "CD", "CAL": "CA", "CES": "CS", "CLA": "CL", "LIT": "LI", "POT": "K", "RUB": "RB",
         "SOD": "NA"}  # fmt: skip
"""Residues that molecular dynamics programs name otherwise than by their element."""
_TWO_LETTERS = ("BR", "CL", "FE", "SE", "SI")
"""Elements that names mean even where a name's place in its columns says nothing: carbon has no atom CL."""
_HEAVY_IN_POLYMERS = ("BR", "CL", "SE")


def tidy_pdb(name: str, text: str) -> str:
    """The cell and the atoms of the first model, with what later versions of the format ask for.

    Parameters
    ----------
    name : str
        The file's, for what is said about it.
    text : str
        Its content.

    Returns
    -------
    str
        Its records CRYST1, SCALE, MTRIX, ATOM, HETATM and ANISOU on their lines, all others empty.

    Raises
    ------
    InputFileError
        A number of an atom that is none, by line.

    Warns
    -----
    NbnumbaWarning
        Several models, identifiers in columns 73-80, no occupancies, B factors or elements.
    """
    numbered = _first_model(name, text)
    atoms = [index for index, (_, line) in enumerate(numbered) if _is_atom(line)]
    if any(_BEFORE_1996.fullmatch(numbered[index][1][72:80]) for index in atoms):
        _say(f"{name}: columns 73-80 hold identifiers, as before 1996, not elements and charges: they are not read")
    lines = [line for _, line in numbered]
    assumed = 0
    for index in atoms:
        lines[index], usual = _with_numbers(name, *numbered[index])
        assumed += usual
    if assumed:
        _say(f"{name}: {assumed} atoms have no occupancy or no B factor: 1 and 20 Å² are taken")
    _fill_elements(name, lines, [index for index in atoms if not re.search(r"[A-Za-z]", lines[index][76:78])])
    placed = [""] * max((number for number, _ in numbered), default=0)
    for (number, _), line in zip(numbered, lines, strict=True):
        placed[number - 1] = line
    return "\n".join([*placed, "END", ""])


def _first_model(name: str, text: str) -> list[tuple[int, str]]:
    kept, models, inside = [], 0, False
    for number, line in enumerate(text.split("\n"), 1):
        record = line[:6].rstrip().upper()
        if _is_atom(line):
            models += not inside
            inside = True
        elif record in ("MODEL", "ENDMDL", "END"):
            inside = False
        elif record not in _HEADER and record != "ANISOU":
            continue
        if (inside and models == 1) or (models == 0 and record in _HEADER):
            kept.append((number, line))
    if models > 1:
        _say(f"{name} holds {models} models: the first one counts")
    return kept


def _is_atom(line: str) -> bool:
    return line[:6].upper().startswith(("ATOM", "HETATM"))


def _with_numbers(name: str, number: int, line: str) -> tuple[str, bool]:
    """The line of an atom with its numbers checked, and whether some were missing."""
    for field, (first, last) in _COORDINATES.items():
        _check_number(f"{name}:{number}", field, line, first, last)
    usual = False
    for field, (first, last, value) in _USUAL.items():
        if not line[first:last].strip():
            line, usual = f"{line[:first]:{first}}{value}{line[last:]}", True
        _check_number(f"{name}:{number}", field, line, first, last)
    return line, usual


def _check_number(place: str, field: str, line: str, first: int, last: int) -> None:
    try:
        float(line[first:last])
    except ValueError as error:
        found = line[first:last].strip()
        raise InputFileError(
            f"{place}: columns {first + 1}-{last} must hold {field}, a number, not {found!r}"
        ) from error


# Elements -----------------------------------------------------------------------------------------------------------


def _fill_elements(name: str, lines: list[str], without: list[int]) -> None:
    """Elements into columns 77-78 of the lines that have none there."""
    if not without:
        return
    names = defaultdict(set)
    for index in without:
        names[_residue(lines[index])].add(lines[index][12:16].strip().upper())
    aligned = not any(_is_left_justified(lines[index][12:16]) for index in without)
    for index in without:
        line = lines[index]
        element = _element(line[12:16].upper(), line[17:21].strip().upper(), names[_residue(line)], aligned)
        lines[index] = f"{line[:76]:76}{element:>2}"
    first = lines[without[0]]
    _say(
        f"{name}: {len(without)} atoms have no element in columns 77-78: taken from the names of atoms and residues "
        f"({first[12:16].strip()} of {first[17:21].strip()}: {first[76:78].strip()})"
    )


def _residue(line: str) -> tuple[str, str]:
    return line[17:27], line[72:76]


def _is_left_justified(field: str) -> bool:
    """Whether the name of one of the elements of one letter begins in column 13, which is for those of two."""
    return field[0].isalpha() and not field[1].isalpha() and field[3] == " "


def _element(field: str, residue: str, names: set[str], aligned: bool) -> str:
    """The element that the name of an atom means.

    In a protein or a nucleic acid it is the name's first letter: CA is carbon there, and not calcium. An ion has the
    name of its residue. Otherwise the place in the columns tells, 13-14 for the element, unless the file ignores it.
    """
    letters = _letters(field)
    one, two = letters[:1], letters[:2]
    if _is_in_polymer(residue, names):
        return letters if letters in _HEAVY_IN_POLYMERS else one
    if len(names) == 1 and residue in _IONS:
        return _IONS[residue]
    if len(names) == 1 and (residue == "ION" or _letters(residue) == letters):
        is_two = True
    elif aligned:
        is_two = field[:2].isalpha() and (field[3] == " " or one not in "HD")
    else:
        is_two = two in _TWO_LETTERS or not _is_element(one)
    return two if is_two and _is_element(two) else one


def _letters(name: str) -> str:
    """The letters of CG of 1CG2, CL of CL-."""
    match = re.match(r"[^A-Z]*([A-Z]*)", name)
    return match[1] if match else ""


def _is_in_polymer(residue: str, names: set[str]) -> bool:
    known = gemmi.find_tabulated_residue(residue)
    backbones: tuple[set[str], ...] = ({"N", "CA", "C"}, {"C1'", "O3'"}, {"C1*", "O3*"})
    return known.is_amino_acid() or known.is_nucleic_acid() or any(backbone <= names for backbone in backbones)


def _is_element(symbol: str) -> bool:
    return gemmi.Element(symbol).atomic_number > 0


def _say(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=2)
