"""The one provider of F: from a list, the cache of one, or a model.

Each table is made once and kept until something that decides it changes: the file, or what is asked of it. So a series
of images reads and calculates once, and finds the very same array, which a card then need not be sent again.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..errors import InputFileError, NbnumbaWarning, ResourceError
from ..formats.dump import read_dump
from ..formats.files import Path, read_text
from ..formats.hkl import LIST, read_hkl
from ..formats.rows import rows
from .table import FactorTable, completeness, dense_table

if TYPE_CHECKING:
    from ..experiment import Cell
    from ..formats.coordinates import Model

Made = TypeVar("Made")

FEWEST_OF_A_CRYSTAL = 50
"""Reflections; a shorter list was made by hand, and holds what it is meant to hold."""
TICK_NS = 100_000_000
"""A file that changed so short a time ago may change again and keep its time stamp."""


class FileState(NamedTuple):
    """What shows that a file is still the same."""

    path: str
    device: int
    inode: int
    size: int
    written_ns: int
    changed_ns: int
    """Of the inode: also where the time of writing was set back."""


def state_of_file(path: Path) -> FileState | None:
    """The state of a file; None where a later change might not show, or there is no ordinary file."""
    with suppress(OSError):
        found = os.stat(path)
        settled = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > TICK_NS
        if settled and os.path.isfile(path):
            return FileState(
                os.path.realpath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
            )
    return None


def kept_while_same(state_of: Callable[[Any], Any]) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """Let ``make(source, …)`` give its last result again while ``state_of(source)`` and the rest are the same.

    A state of None is never the same.
    """

    def decorate(make: Callable[..., Made]) -> Callable[..., Made]:
        lock = threading.Lock()
        last: list[Any] = [None, None]

        @wraps(make)
        def provide(source: Any, *rest: Any) -> Made:
            state = state_of(source)
            with lock:
                if state is not None and last[0] == (state, rest):
                    return last[1]
            made = make(source, *rest)
            if state is not None and state_of(source) == state:
                with lock:
                    last[:] = (state, rest), made
            return made

        return provide

    return decorate


kept_while_unchanged = kept_while_same(state_of_file)


@kept_while_unchanged
def listed_factors(path: Path, default_f: float) -> FactorTable:
    """The table of a list of h k l F; InputFileError or ResourceError as its reader and :func:`dense_table` say."""
    hkl, amplitudes = read_hkl(path)
    try:
        table = dense_table(hkl, amplitudes, default_f)
    except ResourceError as error:
        raise _about_row(path, int(np.abs(hkl).max(axis=1).argmax()), str(error)) from error
    _check_completeness(path, hkl, table)
    return table


@kept_while_unchanged
def dumped_factors(path: Path) -> FactorTable:
    """The table that an earlier run wrote."""
    bounds, values = read_dump(path)
    return FactorTable(values[np.newaxis], (bounds[0], bounds[2], bounds[4]))


@kept_while_unchanged
def model_of(path: Path, cell: "Cell | None") -> "Model":
    """The model in a file of coordinates; ``cell`` stands in where the file has none."""
    from ..formats.coordinates import read_model

    return read_model(path, cell)


@kept_while_same(lambda model: model)
def model_factors(
    model: "Model", dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float, default_f: float
) -> FactorTable:
    """F of a model to a resolution; arguments as of :func:`.fcalc.structure_factors`."""
    from .fcalc import structure_factors

    return dense_table(*structure_factors(model, dmin_angstrom, solvent, k_sol, b_sol), default_f)


def _about_row(path: Path, number: int, problem: str) -> InputFileError:
    """The error about a reflection, whose line is looked for only where it is wrong."""
    try:
        return next(islice(rows(path, read_text(path, LIST)), number, None)).error(problem)
    except (InputFileError, StopIteration):  # a pipe, which is read once
        return InputFileError(f"{os.fspath(path)}: {problem}")


def _check_completeness(path: Path, hkl: np.ndarray, table: FactorTable) -> None:
    """Say that a list looks like what symmetry makes the rest of."""
    if len(hkl) < FEWEST_OF_A_CRYSTAL:
        return
    mates, octants = completeness(hkl, table.values.shape[1:])
    if mates < 0.5 or 0 < octants < 8:
        warnings.warn(
            f"{os.fspath(path)}: {mates:.0%} of its reflections have their mate -h -k -l in the list, and {octants} "
            "of 8 octants of h k l hold any: no symmetry is applied; list all of P 1",
            NbnumbaWarning,
            stacklevel=4,
        )
