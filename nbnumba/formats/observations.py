"""What a reflection file lists, before it is merged: the common ground of its formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError
from ..experiment import Cell
from .files import Path
from .rows import nth_row, table

MOST_INDEX = 32_767
"""Of a reflection: that of 0.3 Å in a cell of 10 000 Å."""


@dataclass(frozen=True, eq=False, repr=False)
class Observations(HoldsArrays):
    """Rows of a file, as they stand there; equivalent ones may be among them."""

    hkl: npt.NDArray[np.int32]
    """(n, 3)"""
    values: npt.NDArray[np.float64]
    """Of h, F or intensities (n,), NaN where not measured."""
    are_intensities: bool
    labels: tuple[str, ...]
    """The columns that were taken."""
    minus: npt.NDArray[np.float64] | None = None
    """The same of -h -k -l; None: a row has one value."""
    sigmas: npt.NDArray[np.float64] | None = None
    """(n,), of single values; None: all count alike. A row whose sigma is not above 0 does not count."""
    mates_apart: bool = True
    """Whether h and -h are different reflections."""
    cell: Cell | None = None
    group: gemmi.SpaceGroup | None = None
    why_no_group: str = ""
    """What a file says that should have a space group; empty: this format has none."""
    note_of_group: str = ""
    """What is to be said where that group is taken."""
    notes: tuple[str, ...] = ()


def miller_indices(indices: npt.NDArray[np.floating], where: Callable[[int, str], InputFileError]) -> np.ndarray:
    """Whole h, k, l (n, 3) as int32; ``where`` makes the error of a row, from its number and what is wrong."""
    with np.errstate(invalid="ignore"):
        good = (np.abs(indices) <= MOST_INDEX) & (indices == np.rint(indices))
    for number in np.flatnonzero(~good.all(axis=1))[:1]:
        h, k, l = indices[number]
        raise where(number, f"{h} {k} {l} are no Miller indices: whole numbers up to {MOST_INDEX} are needed")
    return indices.astype(np.int32)


def given_cell(parameters: tuple[float, ...] | list[float]) -> Cell | None:
    """The six constants of a file; None where they are those that stand for no cell, all 0 or edges of 1 Å."""
    a, b, c, alpha, beta, gamma = map(float, parameters)
    return None if a == b == c and a in (0.0, 1.0) else (a, b, c, alpha, beta, gamma)


def listed(
    path: Path, text: str, columns: Mapping[str, int], right: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Rows of text as Miller indices (n, 3) and the further columns (n, m).

    Parameters
    ----------
    path : path
        Where the text is from, for errors.
    text : str
        Content of the file, with blank lines in place of all that is no row, so that errors name the line.
    columns : mapping of str to int
        Names and numbers, from 0, of h, k, l and the others.
    right : str
        What a row is, for errors.

    Raises
    ------
    InputFileError
        A row that is none: names the line.
    """
    values = table(path, text, columns, right)
    hkl = miller_indices(values[:, :3], lambda row, problem: nth_row(path, text, row).error(problem))
    return hkl, values[:, 3:]


def only(text: str, start: int, end: int) -> str:
    """What stands between two places, after as many empty lines as there were."""
    return "\n" * text.count("\n", 0, start) + text[start:end]
