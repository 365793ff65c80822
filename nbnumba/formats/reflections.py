"""Structure factors of an asymmetric unit from the reflection files of other programs."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError
from ..experiment import Cell
from ..unit_cell import why_no_cell
from .crystfel import read_crystfel
from .files import Path, as_text, read_unpacked
from .gemmi_files import gemmi_errors
from .merging import Merged, merged
from .mtz import read_mtz
from .observations import Observations
from .recognition import MTZ, SF_CIF, Reader, binary_format, is_free_shelx, text_format
from .sf_cif import read_sf_cif
from .shelx import read_fixed_shelx, read_free_shelx
from .xds import read_xds

Kind = Literal["any", "mtz", "cif"]

WHAT = "the reflection file"
_KINDS = {"any": WHAT, "mtz": MTZ.what, "cif": SF_CIF.what}
_P1 = "P 1"


@dataclass(frozen=True, eq=False, repr=False)
class Reflections(HoldsArrays):
    """F of one reflection of each set that the space group makes equivalent."""

    name: str
    """Of the file, for messages."""
    hkl: npt.NDArray[np.int32]
    """(n, 3): of the asymmetric unit, or the mate where that alone was measured."""
    f: npt.NDArray[np.float64]
    """In electrons, or on the scale of the file (n,): of h; of -h too where ``f_minus`` is None or NaN."""
    f_minus: npt.NDArray[np.float64] | None
    """Of -h -k -l (n,), NaN where not measured."""
    cell: Cell | None
    """a, b, c in Å, α, β, γ in degrees."""
    space_group: str | None
    """Extended Hermann-Mauguin symbol, as ``R 3 2:H``."""
    labels: tuple[str, ...]
    """The columns that F was taken from."""
    notes: tuple[str, ...]
    """What was chosen, converted or left out, a line each."""


def read_reflections(
    path: Path, kind: Kind = "any", labels: Sequence[str] | None = None, space_group: str | None = None
) -> Reflections | None:
    """The reflections of a file, merged, or None where it is a list of h k l F, all of P 1.

    Parameters
    ----------
    path : path
        MTZ; structure-factor mmCIF or CIF; XDS_ASCII.HKL or INTEGRATE.HKL; a list of SHELX (HKLF 4) or CrystFEL.
        Gzipped or not, told apart by content.
    kind : {"any", "mtz", "cif"}
        What it must be; "any": told by content.
    labels : sequence of str, optional
        The column of F or intensities, or the two of h and of -h, in place of those that are found.
    space_group : str, optional
        Symbol or number; counts in place of that of the file.

    Returns
    -------
    Reflections or None

    Raises
    ------
    InputFileError
        No such file, of another kind, damaged, without reflections or symmetry, or values that cannot be.
    """
    return reflections_of(path, read_unpacked(path, WHAT), kind, labels, space_group)


def reflections_of(
    path: Path,
    content: bytes,
    kind: Kind = "any",
    labels: Sequence[str] | None = None,
    space_group: str | None = None,
) -> Reflections | None:
    """As :func:`read_reflections`, of what was read already: a pipe is read once."""
    name = os.fspath(path)
    reader = _reader(path, content, kind)
    if labels and reader not in ("mtz", "cif"):
        raise InputFileError(f"{name}: -labels {' '.join(labels)}: only MTZ and CIF have columns by name; leave it out")
    return None if reader is None else _merged(name, _rows(path, content, reader, labels), space_group)


def _reader(path: Path, content: bytes, kind: Kind) -> Reader | None:
    """What is to read a file, None for a list of h k l F; refuses what is no reflection file, or not of this kind."""
    name, known = os.fspath(path), binary_format(content) or text_format(_loosely(content))
    if kind != "any" and known is None:
        raise InputFileError(f"{name}: is not {_KINDS[kind]}: give a list of h k l F as -hkl")
    if known is not None and (known.reader is None or kind not in ("any", known.reader)):
        raise InputFileError(f"{name}: is {known.what}, not {_KINDS[kind]}: {known.advice}")
    if known is None:
        return "free shelx" if is_free_shelx(as_text(path, content, WHAT)) else None
    return known.reader


def _rows(path: Path, content: bytes, reader: Reader, labels: Sequence[str] | None) -> Observations:
    name = os.fspath(path)
    if reader == "mtz":
        return read_mtz(name, content, labels)
    if reader == "cif":
        return read_sf_cif(name, _loosely(content), labels)
    read = {"xds": read_xds, "crystfel": read_crystfel, "shelx": read_fixed_shelx, "free shelx": read_free_shelx}
    return read[reader](name, as_text(path, content, WHAT))


def _loosely(content: bytes) -> str:
    """Text whatever the encoding: old files have names of authors in Latin-1; all that counts here is ASCII."""
    return content.removeprefix(codecs.BOM_UTF8).decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")


def _merged(name: str, rows: Observations, space_group: str | None) -> Reflections:
    """The rows of a file as F of an asymmetric unit."""
    group = _group(name, rows, space_group)
    _check_cell(name, rows)
    _check_values(name, rows)
    with gemmi_errors(name, WHAT, "its reflections"):
        unique = merged(rows, gemmi.SpaceGroup(_P1) if group is None else group)
    f, f_minus, notes = unique.values, unique.minus, _notes(rows, unique)
    measured = f if f_minus is None else np.concatenate([f, f_minus[~np.isnan(f_minus)]])
    _check_merged(name, rows, measured)
    if rows.are_intensities:
        notes += (f"F = sqrt(max(I, 0)): {(measured < 0.0).sum()} of {len(measured)} intensities were below 0",)
        f = np.sqrt(np.maximum(f, 0.0))
        f_minus = None if f_minus is None else np.sqrt(np.maximum(f_minus, 0.0))
    symbol = None if group is None else group.xhm()
    return Reflections(name, unique.hkl, f, f_minus, rows.cell, symbol, rows.labels, notes)


def _notes(rows: Observations, unique: Merged) -> tuple[str, ...]:
    notes = rows.notes
    if unique.left_out:
        notes += (f"{unique.left_out} values whose sigma is not above 0 were left out",)
    if unique.observed > unique.unique:
        notes += (f"{unique.observed} values were merged to {unique.unique}",)
    return notes


def _group(name: str, rows: Observations, space_group: str | None) -> gemmi.SpaceGroup | None:
    if space_group is not None:
        angles = (0.0, 0.0) if rows.cell is None else (rows.cell[3], rows.cell[5])
        group = gemmi.find_spacegroup_by_name(space_group, *angles)
        if group is None or space_group.strip() == "0":  # which gemmi takes for P 1
            raise InputFileError(f"{name}: -space_group {space_group!r} is not known; give one as 'P 21 21 21'")
        return group
    if rows.group is None and rows.why_no_group:
        raise InputFileError(f"{name}: {rows.why_no_group}: give it as -space_group, or 'P 1' for none")
    return rows.group


def _check_cell(name: str, rows: Observations) -> None:
    reason = None if rows.cell is None else why_no_cell(rows.cell)
    if reason is not None:
        raise InputFileError(f"{name}: its unit cell cannot be: {reason}")


def _check_values(name: str, rows: Observations) -> None:
    """Refuse values of which no F can be made, and files that have none."""
    columns = [rows.values] if rows.minus is None else [rows.values, rows.minus]
    for label, values in zip(rows.labels, columns, strict=True):
        wrong = np.isinf(values) | ((values < 0.0) & (not rows.are_intensities))
        for row in np.flatnonzero(wrong)[:1]:
            h, k, l = rows.hkl[row]
            right = "a finite number" if rows.are_intensities else "0 or above"
            raise InputFileError(f"{name}: {label} of {h} {k} {l} is {values[row]:g}: it must be {right}")
    measured = np.isfinite(columns).any(axis=0) & (True if rows.sigmas is None else rows.sigmas > 0.0)
    if not measured.any():
        raise InputFileError(f"{name}: no reflections: {' and '.join(rows.labels)} have no value")


def _check_merged(name: str, rows: Observations, values: npt.NDArray[np.float64]) -> None:
    what = " and ".join(rows.labels)
    if not np.isfinite(values).all():
        raise InputFileError(f"{name}: {what} or their sigmas are too large or too small to be averaged")
    if not (values > 0.0).any():
        raise InputFileError(f"{name}: {what} are nowhere above 0: no F can be made of them")
