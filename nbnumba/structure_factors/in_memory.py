"""Reflections of arrays, of gemmi and of tables with named columns, as an experiment keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..experiment import Cell
from ..experiment.reflections import ReflectionList
from ..formats.asymmetric_unit import as_reflections
from ..formats.column_choice import F_PAIR, INTENSITY, INTENSITY_PAIR, Column, F, chosen
from ..formats.mtz import rows_of_mtz
from ..unit_cell import why_no_cell

LARGEST_INDEX = 2**31 - 1
OTHER = "R"
"""MTZ's type of a column of any numbers."""


def of_arrays(hkl: Any, f: Any, f_minus: Any, cell: Any, space_group: Any) -> ReflectionList:
    """The list of arrays (n, 3), (n,), (n,); see :meth:`nbnumba.StructureFactors.from_arrays`.

    Raises
    ------
    UsageError
        What is wrong with them.
    """
    indices = _indices(hkl)
    amplitudes = [_amplitudes(name, given, len(indices)) for name, given in (("f", f), ("f_minus", f_minus))
                  if given is not None]  # fmt: skip
    if not any(np.isfinite(values).any() for values in amplitudes):
        raise UsageError("f: no reflection has a value")
    if space_group is not None and not isinstance(space_group, str):
        raise UsageError(f"space_group {space_group!r}: give its Hermann-Mauguin symbol")
    packed = [values.tobytes() for values in amplitudes]
    return ReflectionList(len(indices), indices.tobytes(), packed[0], packed[1] if len(packed) > 1 else None,
                          _cell(cell), space_group)  # fmt: skip


def _indices(hkl: Any) -> NDArray[np.int32]:
    given = np.asarray(hkl)
    if given.ndim != 2 or given.shape[1] != 3 or given.shape[0] == 0 or given.dtype.kind not in "iuf":
        raise UsageError(f"hkl: give an array of whole numbers of shape (n, 3), not one of {given.shape}")
    given = given.astype(np.float64)
    indices = np.rint(given)
    if not ((indices == given) & (np.abs(indices) <= LARGEST_INDEX)).all():
        wrong = given[(~np.isfinite(given) | (indices != given)).any(axis=1)]
        raise UsageError(
            f"hkl: {wrong[0].tolist() if len(wrong) else 'an index'} is no Miller index: give whole numbers"
        )
    return np.ascontiguousarray(indices, np.int32)


def _amplitudes(name: str, given: Any, count: int) -> NDArray[np.float64]:
    try:
        values = np.ascontiguousarray(given, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: give {count} numbers, |F| in electrons") from None
    if values.shape != (count,):
        raise UsageError(f"{name}: give {count} numbers, one for each row of hkl, not an array of shape {values.shape}")
    wrong = np.flatnonzero((values < 0.0) | np.isinf(values))
    if len(wrong):
        raise UsageError(f"{name}: {values[wrong[0]]:g} in row {wrong[0]} must be a finite |F| of 0 or more, or NaN")
    return values


def _cell(given: Any) -> Cell | None:
    if given is None:
        return None
    given = getattr(given, "parameters", given)
    values = tuple(float(value) for value in given) if np.size(given) == 6 else ()
    if len(values) != 6:
        raise UsageError(f"cell: give a, b, c in Å and alpha, beta, gamma in degrees, not {given!r}")
    a, b, c, alpha, beta, gamma = values
    reason = why_no_cell((a, b, c, alpha, beta, gamma))
    if reason is not None:
        raise UsageError(f"cell {reason}")
    return (a, b, c, alpha, beta, gamma)


def of_mtz(mtz: Any, labels: Sequence[str] | None) -> ReflectionList:
    """The list of a ``gemmi.Mtz``, which stays as it is.

    Raises
    ------
    UsageError
        It is none.
    InputFileError
        As for a file.
    """
    if not isinstance(mtz, gemmi.Mtz):
        raise UsageError(f"from_mtz: {type(mtz).__name__} is no gemmi.Mtz")
    found = as_reflections("gemmi.Mtz", rows_of_mtz("gemmi.Mtz", mtz, labels))
    return of_arrays(found.hkl, found.f, found.f_minus, found.cell, found.space_group)


def of_dataset(table: Any, labels: Sequence[str] | None, cell: Any, space_group: Any) -> ReflectionList:
    """The list of a pandas DataFrame or of a DataSet of reciprocalspaceship, known by what they can do alone.

    Raises
    ------
    UsageError
        It is none, has no h, k and l, or as :func:`of_arrays`.
    InputFileError
        It has no such columns, or several.
    """
    if not (hasattr(table, "columns") and hasattr(table, "reset_index")):
        raise UsageError(f"from_dataset: {type(table).__name__} is no table with named columns")
    rows = table.reset_index()
    by_letter = {str(name).lower(): name for name in rows.columns}
    if not {"h", "k", "l"} <= set(by_letter):
        raise UsageError("from_dataset: the table has no h, k and l among its index and columns")
    choice = chosen("the table", [_column(table, name, labels or ()) for name in table.columns], labels)
    values = [np.asarray(column.values(), float) for column in choice.columns]
    if choice.are_intensities:
        values = [np.sqrt(np.maximum(intensities, 0.0)) for intensities in values]
    cell = getattr(table, "cell", None) if cell is None else cell
    group: Any = getattr(table, "spacegroup", None) if space_group is None else space_group
    hkl = np.stack([np.asarray(rows[by_letter[letter]]) for letter in "hkl"], axis=1)
    minus = values[1] if len(values) > 1 else None
    return of_arrays(hkl, values[0], minus, cell, group.xhm() if hasattr(group, "xhm") else group)


def _column(table: Any, name: Any, labels: Sequence[str]) -> Column:
    """A column with its type: that of reciprocalspaceship, or what its name tells; F where it is asked for."""
    label = str(name)
    kind = getattr(table.dtypes[name], "mtztype", None) or _type_by_name(label)
    return Column(label, F if kind == OTHER and label in labels else kind, lambda: np.asarray(table[name], float))


def _type_by_name(label: str) -> str:
    is_mate = label.endswith(("(+)", "(-)"))
    if label.lower().startswith("i"):
        return INTENSITY_PAIR if is_mate else INTENSITY
    if label.lower().startswith("f"):
        return F_PAIR if is_mate else F
    return OTHER
