"""Structure factors of a model: atoms and bulk solvent, by way of a density map and its Fourier transform."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import InputFileError, ResourceError
from .io.files import read_bytes
from .lattice import why_no_cell

if TYPE_CHECKING:
    import gemmi

Cell = tuple[float, float, float, float, float, float]

MOST_REFLECTIONS = 1 << 27
"""Largest sphere of reflections: 1.5 GiB of indices, and some 7 GiB for a map and its transform."""

_GRID_PER_DMIN = 3.0
_COARSEST_MASK_ANGSTROM = 0.8


def structure_factors_from_coordinates(
    path: str | os.PathLike[str],
    dmin_angstrom: float,
    solvent: bool,
    k_sol: float,
    b_sol: float,
    given_cell: Cell | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64], Cell]:
    """Amplitudes of all reflections, both Friedel mates and (0, 0, 0) included, to a resolution.

    Parameters
    ----------
    path : str or path
        PDB or mmCIF file, gzipped or not.
    dmin_angstrom : float
        Smallest spacing.
    solvent : bool
        Fill what the atoms leave empty with a flat density that fades towards its edges: k_sol·exp(−b_sol·s²/4) times
        the transform of the solvent mask is added. So F(0 0 0) is the number of electrons in the cell.
        Without it the cell is empty between the atoms, and low-resolution reflections are too strong.
    k_sol : float
        Density of the solvent in e/Å³.
    b_sol : float
        Its B factor in Å².

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
        No such file, or it holds no coordinates, no atoms or no unit cell.
    ResourceError
        More reflections than fit into memory.
    """
    import gemmi

    structure = _read(path)
    cell = structure.cell
    reflections = 4.0 / 3.0 * math.pi * cell.volume / dmin_angstrom**3
    if reflections > MOST_REFLECTIONS:
        raise ResourceError(
            f"{os.fspath(path)} to {dmin_angstrom:g} Å has {reflections:.3g} reflections, "
            f"more than the limit of {MOST_REFLECTIONS:.3g}: raise -dmin"
        )
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), dmin_angstrom, unique=False)
    hkl = np.concatenate([np.zeros((1, 3), dtype=np.int32), hkl])
    factors = _of_atoms(structure, hkl, dmin_angstrom)
    if solvent:
        fading = k_sol * np.exp(-b_sol / 4.0 * cell.calculate_1_d2_array(hkl))
        factors = factors + fading * _of_solvent_mask(structure, hkl, dmin_angstrom)
    return hkl, np.abs(factors).astype(np.float64), tuple(cell.parameters)


def model_cell(path: str | os.PathLike[str], cell: Cell | None = None) -> Cell:
    """The unit cell of a model's file."""
    return tuple(_read(path).cell.parameters)


def _read(path: str | os.PathLike[str]) -> gemmi.Structure:
    import gemmi

    name = os.fspath(path)
    read_bytes(path, "coordinates")
    try:
        structure = gemmi.read_structure(name)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputFileError(f"{name} is not a PDB or mmCIF file, named .pdb or .cif ({error})") from error
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputFileError(f"{name} holds no atoms; a PDB or mmCIF coordinate file is needed")
    if not structure.cell.is_crystal():
        raise InputFileError(f"{name} has no unit cell (CRYST1 or _cell); that of a crystal is needed")
    reason = why_no_cell(tuple(structure.cell.parameters))
    if reason is not None:
        raise InputFileError(f"{name}: its unit cell cannot be: {reason}")
    if not all(math.isfinite(x) for site in structure[0].all() for x in (*site.atom.pos.tolist(), site.atom.b_iso)):
        raise InputFileError(f"{name}: the coordinates or the B factor of an atom are no number")
    structure.expand_ncs(gemmi.HowToNameCopiedChain.Dup)
    return structure


def _of_atoms(structure: gemmi.Structure, hkl: NDArray[np.int32], dmin_angstrom: float) -> NDArray[np.complex64]:
    import gemmi

    density = gemmi.DensityCalculatorX()
    density.d_min = dmin_angstrom
    density.rate = _GRID_PER_DMIN / 2.0
    density.set_grid_cell_and_spacegroup(structure)
    density.set_refmac_compatible_blur(structure[0])
    density.put_model_density_on_grid(structure[0])
    return gemmi.transform_map_to_f_phi(density.grid, half_l=True).get_value_by_hkl(hkl, unblur=density.blur)


def _of_solvent_mask(structure: gemmi.Structure, hkl: NDArray[np.int32], dmin_angstrom: float) -> NDArray[np.complex64]:
    import gemmi

    mask = gemmi.FloatGrid()
    mask.setup_from(structure, spacing=min(dmin_angstrom / _GRID_PER_DMIN, _COARSEST_MASK_ANGSTROM))
    gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx).put_mask_on_float_grid(mask, structure[0])
    return gemmi.transform_map_to_f_phi(mask, half_l=True).get_value_by_hkl(hkl)
