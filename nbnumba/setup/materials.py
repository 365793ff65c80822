"""Materials in the beam: what is known of them by name, and how many of their molecules the beam meets."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from ..experiment import Beam, Material
from ..experiment.field import declared
from ..formats.amorphous import read_amorphous
from ..units import AVOGADRO_PER_MOL, metres_from_mm

GRAMS_PER_M3 = 1e6
"""Of a density of 1 g/cm³."""
DENSEST_G_PER_CM3 = 25.0
"""More than any matter around an experiment; osmium has 22.6."""


class Known(NamedTuple):
    """A material that has a name; its F lie beside the program (``nbnumba/data/README`` says where they are from)."""

    density_g_per_cm3: float
    molar_mass_g_per_mol: float


KNOWN = {
    "water": Known(1.0, 18.015),
    "air": Known(1.20e-3, 28.96),
    "ice": Known(0.92, 18.015),
    "nano-ice": Known(0.93, 18.015),
}
"""Water and air at room temperature, hexagonal ice, and cubic ice of small crystals."""


class InBeam(NamedTuple):
    """A material with nothing left open."""

    name: str
    """That by which it is known, or its file."""
    path_mm: float
    density_g_per_cm3: float
    molar_mass_g_per_mol: float
    molecules: float
    """In the volume of the path times the area of the beam, over which its photons spread."""
    table: np.ndarray
    """Two columns, the material's axis in Å⁻¹ and F in electrons."""
    axis: str


@cache
def known_table(name: str) -> np.ndarray:
    """sin θ/λ in Å⁻¹ and F in electrons (n, 2) of a material that has a name."""
    with as_file(files("nbnumba") / "data" / f"{name}.stol") as path:
        return read_amorphous(path)


def check_materials(materials: Sequence[Material] | None) -> None:
    """Raise a UsageError for the first material that cannot be."""
    if materials == ():
        raise UsageError("background.materials is empty: give a material, or leave it out")
    for number, material in enumerate(materials or ()):
        name, noun = _called(material), f"background.materials[{number}]"
        if (material.name is None) == (material.table_file is None):
            raise UsageError(f"{noun}: give it a name ({', '.join(KNOWN)}) or a table_file, one of them")
        if material.path_mm is None:
            raise UsageError(f"{noun}: no path_mm: how far does the beam go through {name}?")
        for field in declared(Material).values():
            broken = field.broken_by(getattr(material, field.name))
            if broken is not None:
                raise UsageError(f"-background {name}: {field.name} {broken[0]:.12g}: must {broken[1]}")
        if material.name is not None:
            _check_known(material.name)
        elif material.density_g_per_cm3 is None or material.molar_mass_g_per_mol is None:
            raise UsageError(f"-background {name}: give its density in g/cm³ and molar mass in g/mol after the path")
        density = material.density_g_per_cm3
        if density is not None and density > DENSEST_G_PER_CM3:
            raise UsageError(f"-background {name}: no matter has a density of {density:g} g/cm³; water has 1")


def _check_known(name: str) -> None:
    if name not in KNOWN:
        near = get_close_matches(name.lower(), KNOWN, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(KNOWN)}"
        raise UsageError(f"-background {name}: no such material is known; {advice} (stol={name} is a file)")


def _called(material: Material) -> str:
    return str(material.table_file if material.name is None else material.name)


def materials_in_beam(
    materials: Sequence[Material] | None, tables: Sequence[np.ndarray | None], beam: Beam
) -> tuple[InBeam, ...]:
    """What the beam meets of each; ``tables`` are those of their files.

    Molecules are N_A ρ V / M, V the path times ``beam.size_mm``²: the fluence is all photons over that area, whatever
    the beam's profile, so that photons times path count alone.

    Raises
    ------
    UsageError
        A material in a beam that has no size.
    """
    found = []
    for material, table in zip(materials or (), tables, strict=True):
        name, path_mm = _called(material), material.path_mm or 0.0
        if beam.size_mm == 0.0:
            raise UsageError(
                f"-background {name} {path_mm:g} in a beam of -beamsize 0, which meets none of it: give the size of "
                "the beam"
            )
        known = KNOWN.get(name, Known(0.0, 0.0))
        density = material.density_g_per_cm3 or known.density_g_per_cm3
        mass = material.molar_mass_g_per_mol or known.molar_mass_g_per_mol
        volume = metres_from_mm(path_mm) * metres_from_mm(beam.size_mm) ** 2
        molecules = AVOGADRO_PER_MOL * density * GRAMS_PER_M3 * volume / mass
        rows = known_table(name) if table is None else table
        found.append(InBeam(name, path_mm, density, mass, molecules, rows, material.axis))
    return tuple(found)
