"""Models of crystals from PDB, mmCIF and small-molecule CIF files, checked so that F can be calculated from them."""

from __future__ import annotations

import math
import os
import re
import warnings
from dataclasses import dataclass

import gemmi
import numpy as np

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Cell
from ..unit_cell import why_no_cell
from .files import Path, read_unpacked
from .gemmi_files import gemmi_errors
from .pdb import tidy_pdb
from .recognition import binary_format

B_PER_U = 8.0 * math.pi**2
MOST_BYTES = 1 << 30
"""Of a file: more than the largest models have."""
FARTHEST_ANGSTROM = 1e5
"""From the origin; grids count in whole numbers."""
MOST_B = 1000.0
"""In Å²: such an atom is seen in no reflection below 12 Å."""
LEAST_PRINCIPAL_B = -10.0
"""Along an axis of an ellipsoid: refinement leaves some that are slightly negative."""
MOST_OCCUPANCY = 1.1
"""A little above 1 is rounding."""
THINNEST_CELL_ANGSTROM, LONGEST_EDGE_ANGSTROM = 1.8, 1e4
"""Between planes of the lattice no atom has room for less; and several times the largest virus."""
ROTATION_WITHIN = 0.01
SPECIAL_POSITION_ANGSTROM = 0.4
"""An atom no farther from its image stands on the symmetry element; SHELXL has 0.2 Å from the element."""


@dataclass(frozen=True)
class Model:
    """A crystal: its structure has a cell and one model of atoms that scatter, in the usual Cartesian frame."""

    structure: gemmi.Structure
    is_small_molecule: bool
    has_own_cell: bool = True
    """Whether the file has its unit cell; else it is one that stands in."""

    @property
    def name(self) -> str:
        """Of the file."""
        return str(self.structure.name)

    @property
    def cell(self) -> Cell:
        """a, b, c in Å, α, β, γ in degrees."""
        a, b, c, alpha, beta, gamma = self.structure.cell.parameters
        return (a, b, c, alpha, beta, gamma)

    @property
    def space_group(self) -> str:
        """Hermann-Mauguin symbol."""
        return str(self.structure.spacegroup_hm)


def read_model(path: Path, cell: Cell | None = None) -> Model:
    """The first model of a file, with all that makes its structure factors calculable checked.

    NCS is expanded, and an atom on a special position is not counted more than once.

    Parameters
    ----------
    path : str or path
        PDB, mmCIF or small-molecule CIF, gzipped or not; told apart by content.
    cell : tuple of 6 floats, optional
        Stands in for that of a file without one; the space group is then P 1.

    Returns
    -------
    Model

    Raises
    ------
    InputFileError
        No such file, or it holds no atoms, cell or known space group, or atoms that cannot be.

    Warns
    -----
    NbnumbaWarning
        Something was assumed or left out.
    """
    name = os.fspath(path)
    content = read_unpacked(path, "coordinates", MOST_BYTES)
    with gemmi_errors(name):
        structure, is_small_molecule = _parsed(name, content)
        if len(structure) == 0 or structure[0].count_atom_sites() == 0:
            other = "; give structure factors as -cif_sf" if b"_refln" in content else ""
            raise InputFileError(
                f"{name} holds no atoms of a crystal (ATOM, _atom_site); a PDB, mmCIF or CIF coordinate file is needed"
                f"{other}"
            )
        if len(structure) > 1:
            _say(f"{name} holds {len(structure)} models: the first one counts")
            del structure[1:]
        has_own_cell = _has_cell(structure)
        _settle_cell(name, structure, cell)
        _check_atoms(name, structure[0])
        _remove_absent_atoms(structure[0])
        _expand_ncs(name, structure)
        _turn_to_usual_axes(name, structure)
        _share_special_positions(structure)
    structure.name = name
    return Model(structure, is_small_molecule, has_own_cell)


def _parsed(name: str, content: bytes) -> tuple[gemmi.Structure, bool]:
    """The structure as the file has it, and whether it is that of a small molecule."""
    known = binary_format(content)
    if known is not None:
        raise InputFileError(f"{name}: is {known.what}, not coordinates: {known.advice}")
    if b"\0" in content:
        raise InputFileError(f"{name} is no text: a PDB, mmCIF or CIF coordinate file is needed")
    # Old files have names of authors in Latin-1; all that counts here is ASCII.
    text = content.removeprefix(b"\xef\xbb\xbf").decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
    if re.match(r"\s*\{", text):
        return gemmi.make_structure_from_block(gemmi.cif.read_mmjson_string(text).sole_block()), False
    if not re.match(r"(?:\s|#[^\n]*\n)*data_", text, re.IGNORECASE):
        return gemmi.read_pdb_string(tidy_pdb(name, text)), False
    document = gemmi.cif.read_string(text)
    for tag, is_small_molecule in (("_atom_site.Cartn_x", False), ("_atom_site_fract_x", True)):
        blocks = [block for block in document if len(block.find_values(tag))]
        if len(blocks) > 1:
            _say(f"{name} holds {len(blocks)} structures: the first one counts, data_{blocks[0].name}")
        if blocks and is_small_molecule:
            return _small_molecule(name, blocks[0]), True
        if blocks:
            return gemmi.make_structure_from_block(blocks[0]), False
    return gemmi.Structure(), False


# Small molecules ----------------------------------------------------------------------------------------------------


def _small_molecule(name: str, block: gemmi.cif.Block) -> gemmi.Structure:
    """Fractional coordinates, U and the occupancies of chemistry turned into those of macromolecules."""
    small = gemmi.make_small_structure_from_block(block)
    if not small.cell.is_crystal():
        raise InputFileError(f"{name} has no unit cell (_cell_length_a ...): its fractional coordinates need it")
    if small.spacegroup is None and not small.cell.images:
        raise _no_space_group(name, small.spacegroup_hm)
    structure = gemmi.Structure()
    structure.cell = small.cell
    structure.spacegroup_hm = small.spacegroup_hm if small.spacegroup is None else small.spacegroup.xhm()
    placed = [site for site in small.sites if not any(map(math.isnan, site.fract.tolist()))]
    if len(placed) < len(small.sites):
        _say(f"{name}: {len(small.sites) - len(placed)} atoms without coordinates are left out")
    if placed:
        residue, chain, model = gemmi.Residue(), gemmi.Chain("A"), gemmi.Model(1)
        for site in placed:
            residue.add_atom(_atom(site, small.cell))
        chain.add_residue(residue)
        model.add_chain(chain)
        structure.add_model(model)
    return structure


def _atom(site: gemmi.SmallStructure.Site, cell: gemmi.UnitCell) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name, atom.element, atom.charge = site.label, site.element, site.charge
    atom.pos = cell.orthogonalize(site.fract)
    # Chemistry counts an atom on a symmetry element once, the sum over all operations as often as it meets itself.
    # Disorder about a symmetry element, of which only one image exists at a time, has a negative group.
    images = cell.is_special_position(site.fract, SPECIAL_POSITION_ANGSTROM) if site.disorder_group >= 0 else 0
    atom.occ = site.occ / (1 + images)
    atom.b_iso = B_PER_U * site.u_iso
    if site.aniso.nonzero():
        # U refers to a* a, b* b, c* c.
        axes = np.array(cell.orth.mat.tolist()) * np.array(cell.reciprocal().parameters[:3])
        u = axes @ np.array(site.aniso.as_mat33().tolist()) @ axes.T
        atom.aniso = gemmi.SMat33f(u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2])
    return atom


# Cell and space group -----------------------------------------------------------------------------------------------


def _has_cell(structure: gemmi.Structure) -> bool:
    return any(edge > 1.0 for edge in structure.cell.parameters[:3])


def _settle_cell(name: str, structure: gemmi.Structure, stand_in: Cell | None) -> None:
    """Check cell and space group, or give those of the stand-in to a structure that has none."""
    if not _has_cell(structure):
        if stand_in is None:
            raise InputFileError(
                f"{name} has no unit cell (CRYST1 or _cell): give that of the crystal, -cell a b c alpha beta gamma"
            )
        _say(f"{name} has no unit cell: its atoms stand, in P 1, in that of -cell")
        structure.cell = gemmi.UnitCell(*stand_in)
        structure.spacegroup_hm = "P 1"
    parameters = tuple(structure.cell.parameters)
    reason = why_no_cell(parameters)
    if reason is None:
        planes = [1.0 / star for star in structure.cell.reciprocal().parameters[:3]]
        if min(planes) < THINNEST_CELL_ANGSTROM or max(parameters[:3]) > LONGEST_EDGE_ANGSTROM:
            reason = (
                f"{' '.join(f'{x:g}' for x in parameters)}: it must be {THINNEST_CELL_ANGSTROM:g} Å thick "
                f"and no longer than {LONGEST_EDGE_ANGSTROM:g} Å"
            )
    if reason is not None:
        raise InputFileError(f"{name}: its unit cell cannot be: {reason}")
    group = gemmi.find_spacegroup_by_name(structure.spacegroup_hm, parameters[3], parameters[5])
    if group is None and not structure.cell.images:
        raise _no_space_group(name, structure.spacegroup_hm)


def _no_space_group(name: str, symbol: str) -> InputFileError:
    what = f"the space group {symbol!r} is not known" if symbol.strip(" ?.") else "the space group is missing"
    return InputFileError(
        f"{name}: {what}: write its Hermann-Mauguin symbol, such as 'P 21 21 21', or 'P 1' for none, into columns "
        "56-66 of CRYST1 or as _symmetry.space_group_name_H-M"
    )


def _expand_ncs(name: str, structure: gemmi.Structure) -> None:
    for operation in structure.ncs:
        if not (_is_rotation(operation.tr.mat) and operation.tr.vec.length() <= FARTHEST_ANGSTROM):
            raise InputFileError(f"{name}: the NCS operation {operation.id} (MTRIX, _struct_ncs_oper) is no rotation")
    if len(structure.ncs):
        structure.expand_ncs(gemmi.HowToNameCopiedChain.Dup)


def _turn_to_usual_axes(name: str, structure: gemmi.Structure) -> None:
    """Where SCALE has it otherwise, let a lie along x and b in the xy plane, as the density map takes for granted."""
    if not structure.cell.explicit_matrices:
        return
    cell = gemmi.UnitCell(*structure.cell.parameters)
    turn = cell.orth.combine(structure.cell.frac)
    if _is_rotation(turn.mat) and turn.vec.length() <= FARTHEST_ANGSTROM:
        structure[0].transform_pos_and_adp(turn)
    else:
        _say(f"{name}: SCALE (or _atom_sites.fract_transf) does not belong to the cell, and is not used")
    structure.cell = cell
    structure.setup_cell_images()


def _is_rotation(matrix: gemmi.Mat33) -> bool:
    """Within what six decimals leave of one."""
    rows = np.array(matrix.tolist())
    return bool(np.abs(rows @ rows.T - np.eye(3)).max() <= ROTATION_WITHIN and np.linalg.det(rows) > 0.0)


def _share_special_positions(structure: gemmi.Structure) -> None:
    """Count an atom that all its images make more than one of as one.

    On a symmetry element the occupancies of a macromolecule's file are those of each image, and less than 1; some files
    have 1 there all the same.
    """
    for site in structure[0].all():
        images = structure.cell.is_special_position(site.atom.pos, SPECIAL_POSITION_ANGSTROM)
        if site.atom.occ * (1 + images) > MOST_OCCUPANCY:
            site.atom.occ /= 1 + images


# Atoms --------------------------------------------------------------------------------------------------------------


def _check_atoms(name: str, model: gemmi.Model) -> None:
    present = False
    for site in model.all():
        reason = _why_no_atom(site.atom)
        if reason is not None:
            residue = f" of {site.residue.name} {site.residue.seqid}" if site.residue.name else ""
            serial = f" {site.atom.serial}" if site.atom.serial else ""
            raise InputFileError(f"{name}: atom{serial} ({site.atom.name}{residue}): {reason}")
        present = present or site.atom.occ > 0.0
    if not present:
        raise InputFileError(f"{name}: every atom has an occupancy of 0, so nothing scatters: give those there are 1")


def _why_no_atom(atom: gemmi.Atom) -> str | None:
    position = atom.pos.tolist()
    if not all(abs(x) <= FARTHEST_ANGSTROM for x in position):
        return f"its coordinates {position} must be numbers within {FARTHEST_ANGSTROM:g} Å of the origin"
    if not 0.0 <= atom.occ <= MOST_OCCUPANCY:
        return f"its occupancy of {atom.occ:g} must lie between 0 and 1"
    if atom.aniso.nonzero():
        principal = [B_PER_U * u for u in atom.aniso.calculate_eigenvalues()]
        if not all(LEAST_PRINCIPAL_B <= b <= MOST_B for b in principal):
            return f"its anisotropic B factors {[round(b, 1) for b in principal]} must lie between 0 and {MOST_B:g} Å²"
    elif not 0.0 <= atom.b_iso <= MOST_B:
        return f"its B factor of {atom.b_iso:g} must lie between 0 and {MOST_B:g} Å²"
    if atom.element.atomic_number == 0 or atom.element.it92 is None:
        return f"its element, {atom.element.name}, has no scattering factors: name the element, or remove the atom"
    return None


def _remove_absent_atoms(model: gemmi.Model) -> None:
    for chain in model:
        for residue in chain:
            for index in reversed(range(len(residue))):
                if residue[index].occ == 0.0:
                    del residue[index]


def _say(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=2)
