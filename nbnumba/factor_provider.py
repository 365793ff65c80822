"""The one provider of F: from a list, the cache of one, or a model.

Each table is made once and kept until something that decides it changes: the file, or what is asked of it. So a series
of images reads and calculates once, and finds the very same array, which a card then need not be sent again.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .errors import ResourceError
from .io.dump import read_dump
from .io.files import Path, read_text
from .io.hkl import read_hkl
from .io.rows import Row, rows
from .structure_factors import FactorTable, dense_table

Made = TypeVar("Made")
Cell = tuple[float, float, float, float, float, float]

TICK_NS = 100_000_000
"""A file that changed so short a time ago may change again and keep its time stamp."""


@dataclass(frozen=True)
class FileState:
    """What shows that a file is still the same."""

    device: int
    inode: int
    size: int
    changed_ns: tuple[int, int]
    """When its content and its inode changed last."""

    @property
    def settled(self) -> bool:
        """Whether a later change is sure to show."""
        return time.time_ns() - max(self.changed_ns) > TICK_NS


def file_state(path: Path) -> FileState | None:
    """The state of a file; None where there is none, or what is there is no ordinary file."""
    with suppress(OSError):
        if os.path.isfile(path):
            found = os.stat(path)
            return FileState(found.st_dev, found.st_ino, found.st_size, (found.st_mtime_ns, found.st_ctime_ns))
    return None


def kept_while_unchanged(make: Callable[..., Made]) -> Callable[..., Made]:
    """``make(path, …)`` that gives its last result again as long as the file and all other arguments are the same."""
    lock = threading.Lock()
    last: list[Any] = [None, None]

    @wraps(make)
    def provide(path: Path, *rest: Any) -> Made:
        state = file_state(path)
        key = (os.path.realpath(path), state, rest)
        with lock:
            if state is not None and last[0] == key:
                return last[1]
        made = make(path, *rest)
        if state is not None and state.settled and file_state(path) == state:
            with lock:
                last[:] = key, made
        return made

    return provide


@kept_while_unchanged
def listed_factors(path: Path, default_f: float) -> FactorTable:
    """The table of a list of h k l F; InputFileError or ResourceError as its reader and :func:`dense_table` say."""
    hkl, amplitudes = read_hkl(path)
    try:
        return dense_table(hkl, amplitudes, default_f)
    except ResourceError as error:
        raise _row_of(path, int(np.abs(hkl).max(axis=1).argmax())).error(str(error)) from error


@kept_while_unchanged
def dumped_factors(path: Path) -> FactorTable:
    """The table that an earlier run wrote."""
    bounds, values = read_dump(path)
    return FactorTable(values, (bounds[0], bounds[2], bounds[4]))


class ModelFactors(NamedTuple):
    """F of a model and the unit cell in which they were calculated."""

    table: FactorTable
    cell: Cell


@kept_while_unchanged
def model_factors(
    path: Path, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float, default_f: float, cell: Cell | None
) -> ModelFactors:
    """F of atomic coordinates to a resolution; arguments as of :func:`.fcalc.structure_factors_from_coordinates`."""
    from .fcalc import structure_factors_from_coordinates

    hkl, amplitudes, own = structure_factors_from_coordinates(path, dmin_angstrom, solvent, k_sol, b_sol, cell)
    return ModelFactors(dense_table(hkl, amplitudes, default_f), own)


@kept_while_unchanged
def cell_of_model(path: Path, cell: Cell | None) -> Cell:
    """The unit cell of a model; ``cell`` where its file has none."""
    from .fcalc import model_cell

    return model_cell(path, cell)


def _row_of(hkl_file: Path, number: int) -> Row:
    """The line of a reflection, which is looked for only where it is wrong."""
    return next(islice(rows(hkl_file, read_text(hkl_file, "the list of structure factors")), number, None))
