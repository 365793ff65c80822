"""Structure factors of a model: atoms and bulk solvent, by way of a density map and its Fourier transform."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..errors import NbnumbaWarning, ResourceError
from ..experiment import Cell
from ..formats.coordinates import Model, read_model
from ..formats.gemmi_files import gemmi_errors
from .keeping import kept_while_same

MOST_MAP_POINTS = 1 << 30
"""Of the density map: 4 GiB, and as much for its transform. In a cell of right angles the sphere has a seventh as many
reflections."""
MOST_FINE_POINTS = 1 << 28
"""Of a grid that is finer than the resolution needs."""
MASK_STEP_ANGSTROM = 0.6
"""What the mask leaves out depends on its grid: this is that of cctbx, whatever the resolution is."""
COARSEST_MAP_ANGSTROM = 3.0
"""Resolution that the map has at least: blurred to less, atoms would lose their tails."""

_GRID_PER_DMIN = 3.0
_B_OF_MAP = 12.0
"""In d²: an edge reflection's nearest alias, at twice its s, keeps exp(−12 (2² − 1²)/4) = 1e-4 of itself."""
_FAINTEST_DENSITY = 1e-6
"""In e/Å³: where an atom ends."""


def structure_factors_from_coordinates(
    path: str | os.PathLike[str],
    dmin_angstrom: float,
    solvent: bool,
    k_sol: float,
    b_sol: float,
    cell: Cell | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64], Cell]:
    """Amplitudes of all reflections, both Friedel mates and (0, 0, 0) included, to a resolution.

    Parameters
    ----------
    path : str or path
        PDB, mmCIF or small-molecule CIF file, gzipped or not.
    dmin_angstrom : float
        Smallest spacing.
    solvent : bool
        Fill what the atoms leave empty, as :func:`structure_factors` says.
    k_sol : float
        Density of the solvent in e/Å³.
    b_sol : float
        Its B factor in Å².
    cell : tuple of 6 floats, optional
        Stands in for that of a file without one; the space group is then P 1.

    Returns
    -------
    hkl : int32 array, shape (n, 3)
        In P 1.
    amplitudes : float64 array, shape (n,)
        |F| in electrons.
    cell : tuple of 6 floats
        a, b, c in Å, α, β, γ in degrees.

    Raises
    ------
    InputFileError
        No such file, or it holds no model: no atoms, no unit cell, no known space group, atoms that cannot be.
    ResourceError
        More reflections than fit into memory.

    Warns
    -----
    NbnumbaWarning
        Something about the model was assumed or left out.
    """
    model = read_model(path, cell)
    return *structure_factors(model, dmin_angstrom, solvent, k_sol, b_sol), model.cell


def structure_factors(
    model: Model, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Indices and |F| in electrons of a model, as :func:`structure_factors_from_coordinates` gives them.

    With ``solvent``, what the atoms leave empty has a flat density that fades towards its edges:
    k_sol·exp(−b_sol·s²/4) times the transform of the solvent mask is added. So F(0 0 0) is the number of electrons in
    the cell. Without it the cell is empty between the atoms, and low-resolution reflections are too strong. Crystals
    of small molecules have no solvent.

    Raises
    ------
    ResourceError
        More reflections than fit into memory.
    """
    hkl, factors = complex_factors(model, dmin_angstrom, solvent, k_sol, b_sol)
    return hkl, np.abs(factors).astype(np.float64)


def complex_factors(
    model: Model, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float
) -> tuple[NDArray[np.int32], NDArray[np.complexfloating]]:
    """The same with phases: F in electrons of atoms and solvent far from every absorption edge.

    Phases are those of exp(+2πi h·x).
    """
    with gemmi_errors(model.name):
        return _calculated(model, dmin_angstrom, solvent, k_sol, b_sol)


def _calculated(
    model: Model, dmin_angstrom: float, solvent: bool, k_sol: float, b_sol: float
) -> tuple[NDArray[np.int32], NDArray[np.complexfloating]]:
    has_solvent = solvent and not model.is_small_molecule
    hkl, factors, mask = _transforms(model, dmin_angstrom, has_solvent)
    if solvent and not has_solvent:
        warnings.warn(f"{model.name} is that of a small molecule: no bulk solvent", NbnumbaWarning, stacklevel=4)
    if mask is None:
        return hkl, factors
    fading = k_sol * np.exp(-b_sol / 4.0 * model.structure.cell.calculate_1_d2_array(hkl))
    return hkl, factors + fading * mask


@kept_while_same(lambda model: model, most=1)
def _transforms(
    model: Model, dmin_angstrom: float, has_solvent: bool
) -> tuple[NDArray[np.int32], NDArray[np.complex64], NDArray[np.complex64] | None]:
    """Indices, and what takes long: F of the atoms, and of the mask of solvent, whose density and B come after."""
    unit_cell = model.structure.cell
    _check_points(model.structure, unit_cell, dmin_angstrom / _GRID_PER_DMIN)
    hkl = gemmi.make_miller_array(unit_cell, gemmi.SpaceGroup("P 1"), dmin_angstrom, unique=False)
    hkl = np.concatenate([np.zeros((1, 3), dtype=np.int32), hkl])
    atoms = of_atoms(model.structure, hkl, dmin_angstrom)
    return hkl, atoms, of_solvent_mask(model.structure, hkl) if has_solvent else None


def of_atoms(structure: gemmi.Structure, hkl: NDArray[np.int32], dmin_angstrom: float) -> NDArray[np.complex64]:
    """F of the atoms: the transform of their density on a grid, blurred so that the grid resolves it, and sharpened.

    Where an atom reaches over the whole length of a cell, the map has several cells side by side, one of them filled.
    """
    return _transform(structure, hkl, dmin_angstrom, gemmi.DensityCalculatorX.add_model_density_to_grid)


def of_points(structure: gemmi.Structure, hkl: NDArray[np.int32], dmin_angstrom: float) -> NDArray[np.complex64]:
    """The same of atoms that scatter as much in every direction, Σ occ·exp(−B s²)·exp(2πi h·x): points that vibrate."""
    return _transform(structure, hkl, dmin_angstrom, _add_points)


def _add_points(density: gemmi.DensityCalculatorX, model: gemmi.Model) -> None:
    for site in model.all():
        density.add_c_contribution_to_grid(site.atom, 1.0)


Adding = Callable[[gemmi.DensityCalculatorX, gemmi.Model], None]
"""Puts the density of a model's atoms, as they stand in the file, on the grid."""


def _transform(
    structure: gemmi.Structure, hkl: NDArray[np.int32], dmin_angstrom: float, add: Adding
) -> NDArray[np.complex64]:
    cell = structure.cell
    density = gemmi.DensityCalculatorX()
    step = min(dmin_angstrom / _GRID_PER_DMIN, _step(cell, COARSEST_MAP_ANGSTROM / _GRID_PER_DMIN))
    density.rate = _GRID_PER_DMIN / 2.0
    density.d_min = step * _GRID_PER_DMIN
    density.cutoff = _FAINTEST_DENSITY
    b_min, _ = structure[0].calculate_b_aniso_range()
    density.blur = max(0.0, _B_OF_MAP * density.d_min**2 - b_min)
    reach = max(density.estimate_radius(site.atom) for site in structure[0].all()) + step
    cells = [math.ceil(reach * star) for star in cell.reciprocal().parameters[:3]]
    if cells == [1, 1, 1] and structure.find_spacegroup() is not None:
        density.grid.setup_from(structure)
        density.initialize_grid()
        add(density, structure[0])
        density.grid.symmetrize_sum()
    else:
        _fill_one_of(density, structure, cells, add)
    grid = gemmi.transform_map_to_f_phi(density.grid, half_l=True)
    return grid.get_value_by_hkl(hkl * np.array(cells, dtype=np.int32), unblur=density.blur)


def _fill_one_of(density: gemmi.DensityCalculatorX, structure: gemmi.Structure, cells: list[int], add: Adding) -> None:
    """The density of one cell's atoms, without its repetitions, in a map of several cells."""
    cell = structure.cell
    edges = [edge * count for edge, count in zip(cell.parameters[:3], cells, strict=True)]
    map_cell = gemmi.UnitCell(*edges, *cell.parameters[3:])
    _check_points(structure, map_cell, density.d_min / _GRID_PER_DMIN)
    density.grid.set_unit_cell(map_cell)
    density.grid.spacegroup = gemmi.SpaceGroup("P 1")
    density.initialize_grid()
    add(density, structure[0])
    for image in cell.images:
        copy = structure[0].clone()
        copy.transform_pos_and_adp(cell.orth.combine(image).combine(cell.frac))
        add(density, copy)


def of_solvent_mask(structure: gemmi.Structure, hkl: NDArray[np.int32]) -> NDArray[np.complex64]:
    """F of a density of 1 where no atom is, with the radii of cctbx; 0 for reflections that its grid is too coarse for.

    The grid depends on the cell alone, so that the same reflection is the same to every resolution.
    """
    step = _step(structure.cell, MASK_STEP_ANGSTROM)
    mask = gemmi.FloatGrid()
    mask.setup_from(structure, spacing=step)
    gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx).put_mask_on_float_grid(mask, structure[0])
    factors = np.zeros(len(hkl), dtype=np.complex64)
    fine_enough = structure.cell.calculate_1_d2_array(hkl) * (2.0 * step) ** 2 < 1.0
    factors[fine_enough] = gemmi.transform_map_to_f_phi(mask, half_l=True).get_value_by_hkl(hkl[fine_enough])
    return factors


def _step(cell: gemmi.UnitCell, wanted_angstrom: float) -> float:
    """As wanted, or coarser where that would be too many points."""
    return max(wanted_angstrom, math.cbrt(math.prod(cell.parameters[:3]) / MOST_FINE_POINTS))


def _check_points(structure: gemmi.Structure, cell: gemmi.UnitCell, step: float) -> None:
    points = math.prod(edge / step for edge in cell.parameters[:3])
    if points > MOST_MAP_POINTS:
        raise ResourceError(
            f"{structure.name} to {_GRID_PER_DMIN * step:g} Å needs a map of {points:.3g} points, "
            f"more than the limit of {MOST_MAP_POINTS:.3g}: raise -dmin"
        )
