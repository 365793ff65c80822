"""Which structure factors an image takes: of a list or of coordinates, as far as it reaches, interpolated or not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..experiment import Experiment, StructureFactors
from ..experiment.quirks import Quirks
from ..kernels.plan import DetectorPlan, FactorsPlan
from ..structure_factors.provider import model_factors, model_of
from ..structure_factors.table import EMPTY_TABLE, FactorTable
from .crystal import has_matrix
from .inputs import Inputs
from .lattice import Lattice
from .reach import edge_resolution, spacing_with_neighbours
from .sources import Sources

if TYPE_CHECKING:
    from ..formats.coordinates import Model


def named_model(experiment: Experiment) -> "Model | None":
    """The coordinates that the experiment names."""
    coordinates = experiment.structure_factors.coordinate_file
    return None if coordinates is None else model_of(coordinates, experiment.crystal.cell)


def with_cell_of_model(experiment: Experiment, inputs: Inputs, model: "Model | None") -> Experiment:
    """The experiment with the cell of its coordinates, where nothing else gives one."""
    crystal = experiment.crystal
    if model is None or crystal.cell is not None or has_matrix(crystal, inputs):
        return experiment
    return replace(experiment, crystal=replace(crystal, cell=model.cell))


def is_interpolated(experiment: Experiment, lattice: Lattice, quirks: Quirks) -> bool:
    """Whether F between reflections is interpolated: as given, else where an edge has two cells or fewer."""
    if experiment.structure_factors.interpolate is not None:
        return experiment.structure_factors.interpolate
    # The reference decides before it makes cells of the crystal's size.
    return min(experiment.crystal.cells if quirks.interpolated_by_given_cells else lattice.cells) <= 2


def factor_table(
    experiment: Experiment, inputs: Inputs, model: "Model | None", detectors: Sequence[DetectorPlan], sources: Sources,
    lattice: Lattice, between: bool,
) -> FactorTable:  # fmt: skip
    """The table of F: from a list, or calculated from coordinates as far as any sample reaches."""
    factors = experiment.structure_factors
    if model is None:
        if inputs.table is None and factors.default_f == 0.0:
            raise UsageError("no structure factors: give -hkl file, -pdb file, or -default_F for a constant F")
        return inputs.table or EMPTY_TABLE
    dmin = experiment.sampling.dmin_angstrom or min(
        edge_resolution(detector, sources.incident, sources.wavelength_angstrom) for detector in detectors
    )
    if between:
        dmin = spacing_with_neighbours(dmin, lattice)
    return model_factors(model, dmin, factors.solvent, factors.k_sol, factors.b_sol, factors.default_f)


def factors_plan(table: FactorTable, factors: StructureFactors, between: bool, quirks: Quirks) -> FactorsPlan:
    """The table as kernels take it."""
    interpolate = 0
    if between and table.values.size:
        interpolate = 2 if quirks.interpolation_ends_at_table else 1
    return FactorsPlan(table.values, table.first, float(factors.default_f), interpolate)
