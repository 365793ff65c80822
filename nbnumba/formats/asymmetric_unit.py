"""The rows of a reflection file, whichever its format, as F of an asymmetric unit."""

from __future__ import annotations

import os
from collections.abc import Sequence

import gemmi
import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from ..unit_cell import why_no_cell
from .crystfel import read_crystfel
from .files import Path, as_text
from .gemmi_files import gemmi_errors
from .merging import Merged, merged
from .mtz import read_mtz
from .observations import Observations
from .recognition import Reader
from .reflections import WHAT, Reflections, loosely
from .sf_cif import read_sf_cif
from .shelx import read_fixed_shelx, read_free_shelx
from .xds import read_xds

_P1 = "P 1"


def rows_in(path: Path, content: bytes, reader: Reader, labels: Sequence[str] | None) -> Observations:
    """What a file lists, by the reader that its content asks for."""
    name = os.fspath(path)
    if reader == "mtz":
        return read_mtz(name, content, labels)
    if reader == "cif":
        return read_sf_cif(name, loosely(content), labels)
    read = {"xds": read_xds, "crystfel": read_crystfel, "shelx": read_fixed_shelx, "free shelx": read_free_shelx}
    return read[reader](name, as_text(path, content, WHAT))


def as_reflections(name: str, rows: Observations, space_group: str | None = None) -> Reflections:
    """Rows as F of an asymmetric unit; parameters and errors as of :func:`.reflections.reflections_of`."""
    group = _group(name, rows, space_group)
    _check_cell(name, rows)
    _check_values(name, rows)
    with gemmi_errors(name, WHAT, "its reflections"):
        unique = merged(rows, gemmi.SpaceGroup(_P1) if group is None else group)
    f, f_minus, notes = unique.values, unique.minus, _notes(rows, unique)
    if space_group is None and rows.note_of_group:
        notes += (rows.note_of_group,)
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
