"""Reflections from MTZ files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import gemmi
import numpy as np

from ..errors import InputFileError
from .column_choice import Column, chosen
from .gemmi_files import as_file, gemmi_errors
from .observations import Observations, given_cell, miller_indices
from .recognition import MTZ

_RECORD = 80
_COPY = "it is truncated or damaged; copy it again"
_MOST_COUNTED = 1000
"""Symmetry operations or datasets that a header may announce."""


def read_mtz(name: str, content: bytes, labels: Sequence[str] | None) -> Observations:
    """The merged reflections of an MTZ file.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    content : bytes
        Of the file, unpacked.
    labels : sequence of str, optional
        A column, or those of h and of -h; the order of :func:`~nbnumba.formats.column_choice.chosen` otherwise.

    Raises
    ------
    InputFileError
        The file is damaged, or unmerged; there are no such columns.
    """
    _check_header(name, content)
    with gemmi_errors(name, MTZ.what, "its reflections"), as_file(name, content) as path:
        mtz = gemmi.read_mtz_file(path)
    return rows_of_mtz(name, mtz, labels)


def rows_of_mtz(name: str, mtz: gemmi.Mtz, labels: Sequence[str] | None) -> Observations:
    """As :func:`read_mtz`, of what is in memory."""
    with gemmi_errors(name, MTZ.what, "its reflections"):
        table = np.array(mtz.array)
        columns = [
            Column(column.label, column.type, partial(_values, table, number))
            for number, column in enumerate(mtz.columns)
        ]
        if [column.type for column in columns[:3]] != ["H", "H", "H"]:
            raise InputFileError(f"{name}: its first three columns must be h, k and l, of type H; it is damaged")
        if any(column.label == "M/ISYM" or column.type in "YB" for column in columns):
            raise _unmerged(name)
        choice = chosen(name, columns, labels)
        values, *minus = (column.values() for column in choice.columns)
        dataset = next(column.dataset_id for column in mtz.columns if column.label == choice.labels[0])
        return Observations(
            hkl=miller_indices(table[:, :3], lambda row, problem: InputFileError(f"{name}: row {row + 1}: {problem}")),
            values=values,
            minus=minus[0] if minus else None,
            are_intensities=choice.are_intensities,
            labels=choice.labels,
            cell=given_cell(mtz.get_cell(dataset).parameters),
            group=mtz.spacegroup,
            why_no_group=f"its space group {mtz.spacegroup_name!r} is not known",
            notes=choice.notes,
        )


def _values(table: np.ndarray, number: int) -> np.ndarray:
    # What stands for a missing number may be a signalling NaN.
    with np.errstate(invalid="ignore"):
        return table[:, number].astype(np.float64)


def _check_header(name: str, content: bytes) -> None:
    """Refuse unmerged files, and counts that gemmi would reserve memory for before it meets the end of the file."""
    order = ">" if len(content) > 9 and content[9] & 0xF0 == 0x10 else "<"
    if len(content) < 2 * _RECORD:
        raise InputFileError(f"{name}: {len(content)} bytes are too few for {MTZ.what}: {_COPY}")
    words = int(np.frombuffer(content, f"{order}i4", 1, 4)[0])
    words = int(np.frombuffer(content, f"{order}i8", 1, 12)[0]) if words == -1 else words
    start = 4 * (words - 1)
    if not _RECORD <= start <= len(content) - _RECORD:
        raise InputFileError(f"{name}: {len(content)} bytes, and its header is to begin at byte {start}: {_COPY}")
    counts = {}
    for at in range(start, len(content), _RECORD):
        record = content[at : at + _RECORD].decode("latin-1")
        if record.startswith("END"):
            break
        counts[record[:4]] = [int(word) for word in re.findall(r"[-+]?\d+", record[4:40])[:3]]
    else:
        raise InputFileError(f"{name}: its header does not end with END: {_COPY}")
    columns, rows, batches = (*counts.get("NCOL", []), 0, 0, 0)[:3]
    if batches:
        raise _unmerged(name)
    if columns < 4 or rows < 1 or _RECORD + 4 * columns * rows != start:
        raise InputFileError(f"{name}: {columns} columns of {rows} rows do not fill the {start} bytes before its header"
                             f": {_COPY}")  # fmt: skip
    for record in ("SYMI", "NDIF"):
        if not all(0 <= count <= _MOST_COUNTED for count in counts.get(record, [])[:1]):
            raise InputFileError(f"{name}: its record {record} counts {counts[record][0]}: {_COPY}")


def _unmerged(name: str) -> InputFileError:
    return InputFileError(f"{name}: an unmerged MTZ file: merge it first, as aimless or `gemmi merge` do")
