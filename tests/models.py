"""Models of crystals, and their structure factors."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

LYSOZYME = Path(str(resources.files("nbnumba") / "data" / "1hel.pdb"))
K_SOL, B_SOL = 0.35, 46.0

Factors = dict[tuple[int, ...], float]


def calculated(path: Path = LYSOZYME, dmin: float = 4.0, solvent: bool = False) -> Factors:
    hkl, amplitudes, _ = structure_factors_from_coordinates(path, dmin, solvent, K_SOL, B_SOL)
    return dict(zip(map(tuple, hkl.tolist()), amplitudes.tolist(), strict=True))


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
