"""Several lattices in one beam: each is a crystal of its own; beam, scan, detector, sampling and F are those of all.

Their images add up. The crystal's own lattice comes first, with weight 1, and has the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..arrays import HoldsArrays
from ..errors import UsageError
from ..experiment import Cell, Crystal, Experiment, FurtherLattice, with_right_values
from ..experiment.field import declared
from ..experiment.quirks import Quirks
from ..formats.matrix import MosflmMatrix
from ..kernels.plan import FactorsPlan, Plan
from ..unit_cell import why_no_cell
from ..units import ELECTRON_RADIUS_SQR_M2
from .blocks import spot_scale
from .crystal import crystal_plan, oriented_lattice
from .inputs import Inputs
from .lattice import Lattice, warn_of_other_cell, why_no_axes
from .mosaic import mosaic_rotations, mosaicity
from .sampling import samples_of_a_pixel
from .scan import PhiSampling


@dataclass(frozen=True)
class OneOfSeveral:
    """One lattice of an experiment, the crystal's own or a further one, and what is said of it."""

    experiment: Experiment
    """As if it were alone."""
    inputs: Inputs
    """With its matrix as that of the crystal."""
    lattice: Lattice
    spread_deg: float
    domains: int
    """Of its mosaicity."""
    weight: float


@dataclass(frozen=True, eq=False, repr=False)
class FurtherPlans(HoldsArrays):
    """A lattice beside the crystal's own, as it is rendered."""

    crystal: Crystal
    """All that is said of it, with what is as the crystal's."""
    lattice: Lattice
    weight: float
    spot_scale: float
    """How many of its blocks scatter, but for the weight."""
    steps: int
    plans: tuple[Plan, ...]
    """One for each panel, without background."""

    @property
    def summary(self) -> str:
        """Weight and cells."""
        return f"weight {self.weight:g}, {' x '.join(map(str, self.lattice.cells))} cells"


def check_lattices(crystal: Crystal) -> None:
    """Raise a UsageError for the first value of a further lattice that makes no sense."""
    if crystal.lattices == ():
        raise UsageError("crystal.lattices is empty: give a lattice, or leave it out")
    for number, lattice in enumerate(crystal.lattices or ()):
        name = f"crystal.lattices[{number}]"
        if lattice.matrix_file is not None and lattice.a_matrix is not None:
            raise UsageError(f"{name}.matrix_file and {name}.a_matrix: give one of them")
        reason = lattice.a_matrix and why_no_axes(lattice.a_matrix)
        if reason:
            raise UsageError(f"{name}.a_matrix {reason}")
        reason = lattice.cell and why_no_cell(lattice.cell)
        if reason:
            raise UsageError(f"{name}.cell {reason}")
        for field in declared(FurtherLattice).values():
            broken = field.broken_by(getattr(lattice, field.name))
            if broken is not None:
                raise UsageError(f"{name}.{field.name} {broken[0]:.12g}: must {broken[1]}")


def crystals(crystal: Crystal) -> tuple[Crystal, ...]:
    """The crystal as each of its lattices alone has it, its own first."""
    own = with_right_values(crystal, lattices=None)
    return (own, *(_as_crystal(own, lattice) for lattice in crystal.lattices or ()))


def _as_crystal(crystal: Crystal, lattice: FurtherLattice) -> Crystal:
    same = ("cell", "cells", "misset_deg", "mosaic_spread_deg", "mosaic_domains", "mosaic_seed")
    given = {name: getattr(lattice, name) for name in same if getattr(lattice, name) is not None}
    if lattice.cells is not None:
        given["size_mm"] = (None, None, None)
    if _has_matrix(lattice):
        given |= {"matrix_file": lattice.matrix_file, "a_matrix": lattice.a_matrix, "u_matrix": None}
        given.setdefault("misset_deg", (0.0, 0.0, 0.0))
    return with_right_values(crystal, **given)


def oriented_lattices(
    experiment: Experiment, inputs: Inputs, given_cell: Cell | None, wavelength: float, quirks: Quirks
) -> tuple[OneOfSeveral, ...]:
    """Every lattice as it lies at φ = 0, the crystal's own first.

    Beside a cell that is given, as beside ``-cell``, a matrix gives directions alone; beside that of a file of F it
    gives all.
    """
    if experiment.crystal.lattices is None:
        lattice = oriented_lattice(experiment, inputs, wavelength, quirks)
        return (OneOfSeveral(experiment, inputs, lattice, *mosaicity(experiment.crystal), 1.0),)
    further, matrices = experiment.crystal.lattices, [inputs.matrix]
    for said, matrix in zip(further, inputs.lattice_matrices, strict=True):
        matrices.append(matrix if _has_matrix(said) else inputs.matrix)
    weights = (1.0, *(said.weight for said in further))

    def oriented(crystal: Crystal, matrix: MosflmMatrix | None, weight: float) -> OneOfSeveral:
        alone, files = with_right_values(experiment, crystal=crystal), replace(inputs, matrix=matrix)
        lattice = oriented_lattice(alone, files, wavelength, quirks)
        return OneOfSeveral(alone, files, lattice, *mosaicity(crystal), weight)

    own, *others = crystals(experiment.crystal)
    chosen = [
        with_right_values(one, cell=said.cell or given_cell) if _has_matrix(said) else one
        for one, said in zip(others, further, strict=True)
    ]
    return tuple(map(oriented, (own, *chosen), matrices, weights))


def check_cells(several: Sequence[OneOfSeveral], cell: Cell | None, wavelength: float) -> None:
    """Warn of lattices with another cell than that of the file of F, where it has one."""
    if cell is None:
        return
    for one in several:
        by_matrix = one.inputs.matrix is not None and one.experiment.crystal.cell is None
        warn_of_other_cell(one.lattice.cell, cell, by_matrix, wavelength)


def _has_matrix(lattice: FurtherLattice) -> bool:
    """Whether it says by itself where its axes lie."""
    return lattice.matrix_file is not None or lattice.a_matrix is not None


def further_plans(
    one: OneOfSeveral, scan: PhiSampling, plans: Sequence[Plan], factors: FactorsPlan, fluence: float, quirks: Quirks
) -> FurtherPlans:
    """The plans of a further lattice, made of those of the crystal's own."""
    crystal, lattice, first = one.experiment.crystal, one.lattice, plans[0]
    domains = mosaic_rotations(one.spread_deg, one.domains, crystal.mosaic_seed)
    steps = samples_of_a_pixel(len(first.sources.weight), len(scan.phi_rad), len(domains), first.oversample)
    blocks = spot_scale(crystal, one.experiment.beam, lattice)
    own = first._replace(
        crystal=crystal_plan(crystal, lattice, first.crystal.spindle, scan, domains, quirks),
        factors=factors,
        background=first.background._replace(scale=0.0),
        photons_per_sample=ELECTRON_RADIUS_SQR_M2 * fluence / steps * blocks * one.weight,
    )
    own_plans = tuple(own._replace(detector=plan.detector) for plan in plans)
    return FurtherPlans(crystal, lattice, one.weight, blocks, steps, own_plans)
