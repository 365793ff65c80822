"""The one provider of F: from a list of P 1, the cache of one, reflections and their symmetry, or a model.

What each file holds and each table that is made of it is kept until something that decides it changes: the file, or
what is asked of it. So a series of images reads and calculates once, also one in which a few crystals take turns, and
finds the very same array, which a card then need not be sent again.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..errors import InputFileError, NbnumbaWarning, ResourceError, UsageError
from ..formats.dump import read_dump
from ..formats.files import Path, read_text, read_unpacked
from ..formats.hkl import LIST, hkl_of
from ..formats.reflections import Kind, Reflections, reflections_of
from ..formats.rows import rows
from .box import damping
from .keeping import MOST_KEPT, kept_while_same, kept_while_unchanged
from .table import FactorTable, Provenance, completeness, dense_table

if TYPE_CHECKING:
    from ..experiment import Cell
    from ..experiment.reflections import ReflectionList
    from ..formats.coordinates import Model

FEWEST_OF_A_CRYSTAL = 50
"""Reflections; a shorter list was made by hand, and holds what it is meant to hold."""


@dataclass(frozen=True, eq=False, repr=False)
class ListOfP1(HoldsArrays):
    """Reflections without a symmetry that is known."""

    name: str
    hkl: NDArray[np.int64]
    """(n, 3)."""
    f: NDArray[np.float64]
    """Electrons (n,)."""

    cell = None


Dispersion = tuple[tuple[str, tuple[complex, ...]], ...]
"""Elements, each with f' + i f'' in electrons in every channel, which is a wavelength for which F is calculated."""
FactorSource: TypeAlias = "ListOfP1 | Reflections | Model | FactorTable"
"""What F are from."""


class Scaling(NamedTuple):
    """F · scale · exp(−B s²), s = sin θ/λ, of what a file has or a model gives."""

    scale: float = 1.0
    b_add: float = 0.0
    """Å²."""
    cell: Cell | None = None
    """By which s goes; None where B is 0: then no cell decides."""

    def of(self, hkl: NDArray[np.integer], f: NDArray[np.float64]) -> NDArray[np.float64]:
        """F as they count."""
        with np.errstate(over="ignore"):
            if self.scale != 1.0:
                f = f * self.scale
            if self.cell is not None:
                f = f * damping(hkl, self.cell, self.b_add)
        if not np.isfinite(f).all():
            raise UsageError(f"-scale_F {self.scale:g} and -B_add {self.b_add:g} make F infinite: give less, or more B")
        return f


# What files hold ---------------------------------------------------------------------------------------------------


@kept_while_unchanged
def reflections_in(
    path: Path, kind: Kind, labels: tuple[str, ...] | None, space_group: str | None
) -> ListOfP1 | Reflections:
    """What a file of reflections holds, which its content tells; errors as of the readers."""
    content = read_unpacked(path, LIST)
    found = reflections_of(path, content, kind, labels, space_group)
    return found if found is not None else ListOfP1(os.fspath(path), *hkl_of(path, content))


@kept_while_same(lambda given: given)
def reflections_in_memory(given: ReflectionList) -> ListOfP1 | Reflections:
    """Those that an experiment itself holds."""
    name = "structure_factors.reflections"
    hkl, f = np.frombuffer(given.hkl, np.int32).reshape(-1, 3), np.frombuffer(given.f)
    f_minus = None if given.f_minus is None else np.frombuffer(given.f_minus)
    if given.space_group is not None:
        return Reflections(name, hkl, f, f_minus, given.cell, given.space_group, (), ())
    if f_minus is not None:
        hkl, f = np.concatenate([hkl, -hkl]), np.concatenate([f, f_minus])
    known = np.isfinite(f)
    return ListOfP1(name, hkl[known].astype(np.int64), f[known])


@kept_while_same(lambda given: given)
def with_space_group(given: ListOfP1, space_group: str) -> Reflections:
    """A list as reflections of an asymmetric unit, to which symmetry is to be applied."""
    return Reflections(given.name, given.hkl.astype(np.int32), given.f, None, None, space_group, (), ())


@kept_while_unchanged
def dumped_factors(path: Path, default_f: float) -> FactorTable:
    """The table that an earlier run wrote."""
    bounds, values = read_dump(path)
    return FactorTable(values[np.newaxis], (bounds[0], bounds[2], bounds[4]), float(default_f))


def model_of(path: Path, cell: Cell | None) -> Model:
    """The model in a file of coordinates; ``cell`` stands in where the file has none, and else changes nothing."""
    from ..formats.coordinates import read_model

    models = _models_of(path)
    model = models.get(None) or models.get(cell)
    if model is None:
        model = read_model(path, cell)
        if _models_of(path) is models:
            if len(models) >= MOST_KEPT:
                models.clear()
            models[None if model.has_own_cell else cell] = model
    return model


@kept_while_unchanged
def _models_of(path: Path) -> dict[Cell | None, Model]:
    """Those that were read of a file, by the cell that stands in; None: it has its own."""
    return {}


# Tables of F -------------------------------------------------------------------------------------------------------


@kept_while_same(lambda given: given)
def listed_factors(given: ListOfP1, default_f: float, scaling: Scaling) -> FactorTable:
    """The table of a list; InputFileError or ResourceError as :func:`dense_table` says."""
    try:
        table = dense_table(given.hkl, scaling.of(given.hkl, given.f), default_f)
    except ResourceError as error:
        raise _about_row(given.name, int(np.abs(given.hkl).max(axis=1).argmax()), str(error)) from error
    _check_completeness(given.name, given.hkl, table)
    return table


@kept_while_same(lambda given: given)
def expanded_factors(given: Reflections, cell: Cell, default_f: float, scaling: Scaling) -> FactorTable:
    """All of P 1 that follows from reflections and their symmetry.

    What is missing within the resolution of the file is ``default_f``; what the space group forbids, (0, 0, 0) where
    it is not listed, and everything beyond the resolution is 0.

    Parameters
    ----------
    cell : tuple of 6 floats
        By which spacings go: the file's, where it has one.

    Raises
    ------
    InputFileError
        No space group.
    """
    import gemmi

    from .expansion import expand, group_of

    group = group_of(given)
    if not gemmi.UnitCell(*cell).is_compatible_with_spacegroup(group):
        warnings.warn(
            f"{given.name}: its cell {' '.join(f'{constant:g}' for constant in cell)} has not the symmetry of "
            f"{group.xhm()}, by which its reflections are expanded",
            NbnumbaWarning,
            stacklevel=4,
        )
    expanded = expand(given.hkl, given.f, given.f_minus, group, cell)
    f, box = expanded.amplitudes, expanded.box
    unknown = np.isnan(f)
    scaled = scaling.of(box.indices_where(~unknown), f[~unknown])
    f[~unknown] = scaled
    f[unknown] = np.where(expanded.possible[unknown], default_f, 0.0)
    provenance = Provenance(
        given.name, given.labels, group.xhm(), cell, expanded.dmin_angstrom, expanded.shells,
        (*given.notes, *expanded.notes(default_f)),
    )  # fmt: skip
    return FactorTable(f[np.newaxis], box.first, outside=0.0, provenance=provenance)


@kept_while_same(lambda model: model)
def model_factors(
    model: Model, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float, default_f: float, scaling: Scaling,
    dispersion: Dispersion = (),
) -> FactorTable:  # fmt: skip
    """F of a model to a resolution, arguments as of :func:`.fcalc.structure_factors`; a channel for each wavelength."""
    from .anomalous import amplitudes

    elements = tuple(element for element, _ in dispersion)
    hkl, normal, parts = model_parts(model, dmin_angstrom, solvent, k_sol, b_sol, elements)
    f = amplitudes(normal, dict(zip(elements, parts, strict=True)), dict(dispersion))
    return dense_table(hkl, scaling.of(hkl, f), default_f)


@kept_while_same(lambda model: model)
def model_parts(
    model: Model, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float, elements: tuple[str, ...]
) -> tuple[NDArray[np.int32], NDArray[np.complexfloating], tuple[NDArray[np.complexfloating], ...]]:
    """What no wavelength decides: indices, F0, and A of each of some elements; a spectrum may change with each frame.

    See :mod:`.anomalous`.
    """
    from .anomalous import element_factors
    from .fcalc import complex_factors

    hkl, normal = complex_factors(model, dmin_angstrom, solvent, k_sol, b_sol)
    return hkl, normal, tuple(element_factors(model, element, hkl, dmin_angstrom) for element in elements)


def _about_row(name: str, number: int, problem: str) -> InputFileError:
    """The error about a reflection, whose line is looked for only where it is wrong."""
    try:
        return next(islice(rows(name, read_text(name, LIST)), number, None)).error(problem)
    except (InputFileError, StopIteration):  # a pipe, which is read once
        return InputFileError(f"{name}: {problem}")


def _check_completeness(name: str, hkl: np.ndarray, table: FactorTable) -> None:
    """Say that a list looks like what symmetry makes the rest of."""
    if len(hkl) < FEWEST_OF_A_CRYSTAL:
        return
    mates, octants = completeness(hkl, table.values.shape[1:])
    if mates < 0.5 or 0 < octants < 8:
        warnings.warn(
            f"{name}: {mates:.0%} of its reflections have their mate -h -k -l in the list, and {octants} "
            "of 8 octants of h k l hold any: no symmetry is applied; list all of P 1, or give -space_group",
            NbnumbaWarning,
            stacklevel=4,
        )
