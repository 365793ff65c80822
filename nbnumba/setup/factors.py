"""Which F an image takes: of reflections or of coordinates, as far as it reaches, interpolated or not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Cell, Experiment, StructureFactors
from ..experiment.quirks import Quirks
from ..formats.reflections import Reflections
from ..kernels.plan import DetectorPlan, FactorsPlan
from ..structure_factors.provider import (
    Dispersion,
    FactorSource,
    ListOfP1,
    Scaling,
    expanded_factors,
    listed_factors,
    model_factors,
    with_space_group,
)
from ..structure_factors.table import FactorTable, constant_factors
from .anomalous import dispersion_of
from .beam import central_wavelength
from .checks import check_experiment
from .crystal import has_matrix
from .inputs import Inputs, read_curves, read_factors
from .lattice import Lattice, reciprocal_axes, widest
from .memory import check_channels
from .reach import edge_resolution, spacing_with_neighbours
from .sources import Sources

if TYPE_CHECKING:
    from ..formats.coordinates import Model

CELL_DIGITS = 9
"""Of the constants of a cell by which F are kept: those of one crystal in two orientations differ by rounding."""
SAME_CELL = 1e-4
"""Relative difference of a cell's constants that is rounding, of a matrix for one."""
DMIN_STEP = 1.01
"""Ratio of the resolutions to which F are calculated: a series whose detector or wavelength moves a little shares F."""


def with_cell_of_factors(experiment: Experiment, inputs: Inputs) -> Experiment:
    """The experiment with the cell of its F's file, where nothing else gives one."""
    cell, crystal = cell_of(inputs.factors), experiment.crystal
    if cell is None or crystal.cell is not None or has_matrix(crystal, inputs):
        return experiment
    return replace(experiment, crystal=replace(crystal, cell=cell))


def cell_of(source: FactorSource | None) -> Cell | None:
    """The cell that a file of F has."""
    return None if source is None or isinstance(source, FactorTable) else source.cell


def is_interpolated(experiment: Experiment, lattice: Lattice, quirks: Quirks) -> bool:
    """Whether F between reflections is interpolated: as given, else where an edge has two cells or fewer."""
    if experiment.structure_factors.interpolate is not None:
        return experiment.structure_factors.interpolate
    # The reference decides before it makes cells of the crystal's size.
    return min(experiment.crystal.cells if quirks.interpolated_by_given_cells else lattice.cells) <= 2


def factor_table(
    experiment: Experiment, source: FactorSource | None, detectors: Sequence[DetectorPlan], sources: Sources,
    dispersion: Dispersion, lattices: Sequence[Lattice], between: bool,
) -> FactorTable:  # fmt: skip
    """The table of F: of reflections, or calculated from coordinates as far as any sample reaches in any lattice."""
    smallest, factors = widest(lattices), experiment.structure_factors
    if source is None:
        if factors.default_f == 0.0:
            raise UsageError(
                "no structure factors: give -hkl (or -mtz, -cif_sf) file, -pdb file, or -default_F for a constant F"
            )
        return constant_factors(float(factors.default_f))
    if isinstance(source, (ListOfP1, Reflections, FactorTable)):
        table = table_of_reflections(experiment, source, lambda: smallest.cell)
        if table.is_dark:
            warnings.warn("every F is 0: the crystal scatters nothing", NbnumbaWarning, stacklevel=3)
        return table
    return table_of_model(
        experiment, source, resolution_of(experiment, source, detectors, sources, lattices, between), dispersion
    )


def resolution_of(
    experiment: Experiment, model: Model, detectors: Sequence[DetectorPlan], sources: Sources,
    lattices: Sequence[Lattice], between: bool,
) -> float:  # fmt: skip
    """The spacing in Å to which a model's F are calculated: as far as any sample reaches in any lattice."""
    dmin, farther = experiment.sampling.dmin_angstrom, max(_steps_between(model.cell, one.cell) for one in lattices)
    if dmin:
        dmin /= DMIN_STEP**farther
    else:
        dmin = min(edge_resolution(detector, sources.incident, sources.wavelength_angstrom) for detector in detectors)
        dmin = _stepped(dmin, farther)
    return _stepped(spacing_with_neighbours(dmin, widest(lattices))) if between else dmin


def dispersion_in(experiment: Experiment, inputs: Inputs, sources: Sources) -> Dispersion:
    """What of the coordinates scatters anomalously."""
    model = None if isinstance(inputs.factors, (ListOfP1, Reflections, FactorTable)) else inputs.factors
    return dispersion_of(experiment, model, inputs.curves, sources)


def factors_without_image(experiment: Experiment) -> FactorTable:
    """The table of F by itself: of reflections as they are, of coordinates to ``sampling.dmin_angstrom``.

    Raises
    ------
    UsageError, InputFileError
        As :func:`nbnumba.simulate`; nothing that F are from; coordinates without a resolution.
    """
    check_experiment(experiment)
    source, dmin = read_factors(experiment), experiment.sampling.dmin_angstrom
    if source is None:
        raise UsageError("no structure factors: give a file of reflections, or -pdb file and -dmin")
    if isinstance(source, (ListOfP1, Reflections, FactorTable)):
        return table_of_reflections(experiment, source, lambda: experiment.crystal.cell)
    if not dmin:
        raise UsageError(f"-pdb {source.name} without -dmin: say to which resolution")
    return table_of_model(experiment, source, dmin, _dispersion_at_wavelength(experiment, source))


def _dispersion_at_wavelength(experiment: Experiment, model: Model) -> Dispersion:
    """What scatters anomalously at the wavelength that is given, or at that of an image that is given none."""
    wavelength = central_wavelength(experiment.beam, None)
    one = Sources(np.zeros((1, 3)), np.array([wavelength]), np.ones(1), 1, 1, 1)
    return dispersion_of(experiment, model, read_curves(experiment), one)


def table_of_reflections(
    experiment: Experiment, source: ListOfP1 | Reflections | FactorTable, crystal_cell: Callable[[], Cell | None]
) -> FactorTable:
    """The table of reflections, of the crystal's cell where they have none of their own and need one."""
    factors = experiment.structure_factors
    if isinstance(source, ListOfP1) and factors.space_group is not None:
        source = with_space_group(source, factors.space_group)
    cell = cell_of(source)
    if cell is None and (factors.b_add != 0.0 or isinstance(source, Reflections)):
        cell = _rounded(source, crystal_cell())
    scaling = _scaling(factors, cell)
    if isinstance(source, FactorTable):
        if scaling != Scaling():
            raise UsageError("-scale_F and -B_add beside -dump: the cache holds F as they count; give -hkl")
        return source
    if isinstance(source, ListOfP1):
        return listed_factors(source, factors.default_f, scaling)
    assert cell is not None, "reflections with a symmetry have one, or the crystal's"
    return expanded_factors(source, cell, factors.default_f, scaling)


def table_of_model(experiment: Experiment, model: Model, dmin_angstrom: float, dispersion: Dispersion) -> FactorTable:
    """The table of a model's F to a resolution, with a channel for each wavelength of ``dispersion``."""
    factors = experiment.structure_factors
    if dispersion:
        h, k, l = (2 * int(edge / dmin_angstrom) + 1 for edge in model.cell[:3])
        check_channels(len(dispersion[0][1]), (h, k, l))
    return model_factors(
        model, dmin_angstrom, factors.solvent, factors.k_sol, factors.b_sol, factors.default_f,
        _scaling(factors, model.cell), dispersion,
    )  # fmt: skip


def _scaling(factors: StructureFactors, cell: Cell | None) -> Scaling:
    """Without a B factor no cell decides."""
    return Scaling(factors.scale_f, factors.b_add, cell if factors.b_add != 0.0 else None)


def _rounded(source: ListOfP1 | Reflections | FactorTable, cell: Cell | None) -> Cell:
    """The cell by which spacings of reflections go that have none of their own."""
    if cell is None:
        name = "-dump" if isinstance(source, FactorTable) else source.name
        raise UsageError(f"{name} has no unit cell: give -cell a b c alpha beta gamma")
    a, b, c, alpha, beta, gamma = (float(f"{constant:.{CELL_DIGITS}g}") for constant in cell)
    return (a, b, c, alpha, beta, gamma)


def _stepped(dmin_angstrom: float, farther: int = 0) -> float:
    """That step of resolution which reaches as far or a little farther, or some steps beyond."""
    return float(DMIN_STEP ** (math.floor(math.log(dmin_angstrom, DMIN_STEP)) - farther))


def _steps_between(cell: Cell, crystal_cell: Cell) -> int:
    """By how many steps of resolution a reflection may be farther out in a cell than in the crystal's.

    One at the least where they differ, so that crystals whose cells vary about that of their coordinates share F.
    """
    if all(abs(one - other) <= SAME_CELL * other for one, other in zip(cell, crystal_cell, strict=True)):
        return 0
    stars, edges = np.array(reciprocal_axes(cell)), np.linalg.inv(reciprocal_axes(crystal_cell))
    # |B h| of the one over that of the other is at most the norm of what turns this into that.
    stretch = float(np.linalg.norm(edges @ stars, 2))
    return max(1, math.ceil(math.log(stretch, DMIN_STEP)))


def factors_plan(table: FactorTable, between: bool, quirks: Quirks) -> FactorsPlan:
    """The table as kernels take it."""
    interpolate = 0
    if between and table.values.size:
        interpolate = 2 if quirks.interpolation_ends_at_table else 1
    return FactorsPlan(table.values, table.first, table.outside, interpolate)
