"""Models of crystals, and their structure factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

import gemmi
import numpy as np

from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

LYSOZYME = Path(str(resources.files("nbnumba") / "data" / "1hel.pdb"))
K_SOL, B_SOL = 0.35, 46.0

Factors = dict[tuple[int, ...], float]


def calculated(path: Path = LYSOZYME, dmin: float = 4.0, solvent: bool = False) -> Factors:
    hkl, amplitudes, _ = structure_factors_from_coordinates(path, dmin, solvent, K_SOL, B_SOL)
    return dict(zip(map(tuple, hkl.tolist()), amplitudes.tolist(), strict=True))


def mtz_of(
    hkl: np.ndarray, columns: Iterable[tuple[str, str, np.ndarray]], group: gemmi.SpaceGroup, cell: gemmi.UnitCell
) -> gemmi.Mtz:
    """Of columns by label, type and values, float32 as in every file."""
    columns = tuple(columns)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = group
    mtz.set_cell_for_all(cell)
    mtz.add_dataset("crystal")
    for label, kind, _ in columns:
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, *(values for _, _, values in columns)]).astype(np.float32))
    return mtz


def cryst1(*edges: float, symbol: str = "P 1") -> str:
    a, b, c = edges
    return f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}  90.00  90.00  90.00 {symbol:11}{1:4}\n"


def atom_record(name: str = " CB ", residue: str = "ALA", number: int = 1,
                x: float = 11.0, y: float = 12.0, z: float = 13.0, occupancy: float = 1.0, b: float = 20.0,
                element: str = "C", record: str = "ATOM  ") -> str:  # fmt: skip
    """A line of a PDB file; without its element if that is empty."""
    return (
        f"{record}{number:5} {name:4} {residue:4}A{number:4}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f}{b:6.2f}{element:>12}\n"
    )


def direct_sum(
    structure: gemmi.Structure, hkl: np.ndarray, dispersion: Mapping[str, complex] | None = None
) -> np.ndarray:
    """F = Σ occ f exp(−2π² hUh) exp(2πi h·x) over all atoms and operations of the space group.

    f is that of each element far from all edges, and f' + i f'' as ``dispersion`` says.
    """
    cell = structure.cell
    to_fractions = np.array(cell.frac.mat.tolist())
    stol_sqr = cell.calculate_1_d2_array(hkl) / 4.0
    total = np.zeros(len(hkl), dtype=complex)
    group = structure.find_spacegroup().operations()
    operations = [(np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN) for op in group]
    for atom in (site.atom for site in structure[0].all()):
        x = np.array(cell.fractionalize(atom.pos).tolist())
        table = atom.element.it92
        f = table.c + sum(a * np.exp(-b * stol_sqr) for a, b in zip(table.a, table.b, strict=True))
        f = f + (dispersion or {}).get(atom.element.name, 0.0)
        u = np.array(atom.aniso.as_mat33().tolist()) if atom.aniso.nonzero() else np.eye(3) * atom.b_iso / 8 / np.pi**2
        for rotation, translation in operations:
            turned = hkl @ rotation
            s = turned @ to_fractions
            fading = np.exp(-2.0 * np.pi**2 * np.einsum("ni,ij,nj->n", s, u, s))
            total += atom.occ * f * fading * np.exp(2j * np.pi * (turned @ x + hkl @ translation))
    return total


def random_structure(cell: tuple[float, ...], symbol: str, anisotropic: bool) -> gemmi.Structure:
    random = np.random.default_rng(round(sum(cell)))
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*cell), symbol
    structure.setup_cell_images()
    residue, chain, model = gemmi.Residue(), gemmi.Chain("A"), gemmi.Model(1)
    for element in ("C", "N", "Cl", "O", "S", "H", "Fe", "C"):
        atom = gemmi.Atom()
        atom.element, atom.occ = gemmi.Element(element), random.choice([0.5, 1.0])
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*random.random(3)))
        atom.b_iso = random.uniform(3.0, 40.0)
        if anisotropic:
            root = random.normal(scale=0.2, size=(3, 3))
            u = root @ root.T + 0.05 * np.eye(3)
            atom.aniso = gemmi.SMat33f(u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2])
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    return structure
