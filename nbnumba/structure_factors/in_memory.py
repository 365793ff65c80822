"""Reflections of arrays, of gemmi and of tables with named columns, as an experiment keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..experiment import Cell
from ..experiment.reflections import ReflectionList
from ..unit_cell import why_no_cell

LARGEST_INDEX = 2**31 - 1


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
    """The list of a ``gemmi.Mtz``, which stays as it is."""
    raise NotImplementedError


def of_dataset(table: Any, labels: Sequence[str] | None, cell: Any, space_group: Any) -> ReflectionList:
    """The list of a pandas DataFrame or of a DataSet of reciprocalspaceship, known by what they can do alone."""
    raise NotImplementedError
