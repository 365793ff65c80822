"""Experiments that move: a parameter of the user's a little further, and what that does to a plan's variables."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np

from nbnumba import Experiment, changed
from nbnumba.errors import NbnumbaWarning
from nbnumba.experiment import Beam, Crystal, Detector, Material, Sampling, Scan, StructureFactors
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.mosaic import mosaic_changes
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.structure_factors.table import FactorTable
from nbnumba.testing.derivatives import tangent_of
from nbnumba.testing.plain_image import Host, Variables, host_of

RELATIVE_STEP = 1e-3
"""Of differences that stand for the rates of a plan's variables, in units of a parameter's scale."""


def resolved_of(experiment: Experiment, table: FactorTable | None = None) -> Resolved:
    """Without a word, and with a table of F in memory where one is given."""
    inputs = read_inputs(experiment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        return resolve(experiment, inputs if table is None else replace(inputs, factors=table))


def host_at(experiment: Experiment, table: FactorTable | None = None) -> Host:
    """The variables of its plan, of which mosaic domains can spread."""
    crystal, plan = experiment.crystal, resolved_of(experiment, table).plan
    spread, domains = crystal.mosaic_spread_deg or 0.0, len(plan.crystal.domains)
    return host_of(plan, mosaic_changes(spread, domains, crystal.mosaic_seed) if domains > 1 else None)


TRICLINIC = Experiment(
    beam=Beam(wavelength_angstrom=1.0, kahn_factor=0.9, dispersion_percent=1.0, dispersion_steps=2),
    detector=Detector(
        distance_mm=100, fast_pixels=8, slow_pixels=6, pixel_mm=3.0, rotx_deg=1, roty_deg=2, rotz_deg=3,
        twotheta_deg=4, beam_x_mm=8.3, beam_y_mm=13.1, thickness_um=500, attenuation_depth_um=300, layers=2,
    ),
    crystal=Crystal(cell=(40, 45, 50, 75, 85, 95), cells=(10, 8, 5), misset_deg=(10, 20, 30), mosaic_spread_deg=0.8,
                    mosaic_domains=3, fudge=1.1, spot_scale=2.0),
    scan=Scan(phi_deg=5, oscillation_deg=1.5, steps=2),
    structure_factors=StructureFactors(default_f=100, interpolate=False),
    sampling=Sampling(oversample=2),
)  # fmt: skip
"""Of everything a little: two sources, φ steps and layers, three domains, 2² sub-pixels."""

CUSTOM = changed(
    TRICLINIC,
    detector={"convention": "custom", "origin_mm": (99.0, -11.0, 9.0), "beam_x_mm": None, "beam_y_mm": None},
    beam={"direction": (0.999, 0.02, -0.03), "polarization_axis": (0.05, 0.1, 0.99)},
)
DIVERGENT = changed(
    TRICLINIC,
    beam={"dispersion_percent": 0.0, "dispersion_steps": None, "horizontal_divergence_mrad": 4.0,
          "horizontal_divergence_steps": 3, "horizontal_divergence_sigma_mrad": 2.0, "round_divergence": False},
)  # fmt: skip
WET = changed(TRICLINIC, background={"water_um": 0.02})
IN_WATER = changed(TRICLINIC, background={"materials": [Material("water", path_mm=1e-3)]}, crystal={"spot_scale": 1e8})
"""F of the water from a table over sin θ/λ; as bright as the spots."""
LATTICE = resolved_of(TRICLINIC).lattice
BY_MATRIX = changed(
    TRICLINIC,
    crystal={"cell": None, "a_matrix": np.transpose([LATTICE.a_star, LATTICE.b_star, LATTICE.c_star]).tolist()},
)


def _random_reflections(most: int = 15) -> StructureFactors:
    hkl = np.stack(np.meshgrid(*[np.arange(-most, most + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[len(hkl) // 2 :]
    f = np.exp(np.random.default_rng(1).normal(4.0, 0.5, len(hkl)))
    return StructureFactors.from_arrays(hkl, f, cell=TRICLINIC.crystal.cell, space_group="P 1", interpolate=True)


REFLECTIONS = _random_reflections()
"""Of all indices up to 15, in P 1, interpolated."""
TABLED = changed(TRICLINIC, structure_factors=REFLECTIONS)

PARAMETERS: Mapping[str, tuple[Experiment, Mapping[str, float]]] = {
    "": (TRICLINIC, {
        **{f"crystal.cell[{edge}]": 1.0 for edge in range(6)},
        **{f"crystal.misset_deg[{axis}]": 1.0 for axis in range(3)},
        "crystal.fudge": 0.1, "crystal.mosaic_spread_deg": 0.1, "crystal.spot_scale": 1.0,
        "scan.phi_deg": 1.0, "scan.oscillation_deg": 1.0,
        "beam.wavelength_angstrom": 0.01, "beam.dispersion_percent": 1.0, "beam.kahn_factor": 1.0,
        "beam.fluence_per_m2": 1e28,
        "detector.distance_mm": 1.0, "detector.beam_x_mm": 0.1, "detector.beam_y_mm": 0.1, "detector.rotx_deg": 1.0,
        "detector.roty_deg": 1.0, "detector.rotz_deg": 1.0, "detector.twotheta_deg": 1.0, "detector.pixel_mm": 0.01,
        "detector.thickness_um": 100.0, "detector.attenuation_depth_um": 100.0,
        "structure_factors.default_f": 100.0,
    }),
    "custom": (CUSTOM, {
        **{f"detector.origin_mm[{axis}]": 0.1 for axis in range(3)},
        "beam.direction[1]": 1e-3, "beam.direction[2]": 1e-3, "beam.polarization_axis[0]": 1.0,
    }),
    "divergent": (DIVERGENT, {"beam.horizontal_divergence_mrad": 0.1, "beam.horizontal_divergence_sigma_mrad": 1.0,
                              "detector.distance_mm": 1.0}),
    "wet": (WET, {"background.water_um": 0.01, "detector.roty_deg": 1.0}),
    "in water": (IN_WATER, {"beam.wavelength_angstrom": 0.01, "detector.distance_mm": 1.0, "detector.beam_x_mm": 0.1}),
    "by matrix": (BY_MATRIX, {"crystal.a_matrix[0][0]": 0.01, "crystal.a_matrix[1][2]": 0.01,
                              "crystal.misset_deg[1]": 1.0}),
    "tabled": (TABLED, {"structure_factors.scale_f": 1.0, "structure_factors.b_add": 10.0, "crystal.cell[1]": 1.0,
                        "crystal.misset_deg[0]": 1.0, "detector.distance_mm": 1.0}),
}  # fmt: skip
"""By what the experiments are called: these, and the fields that move there with a scale in their units."""


def put(experiment: Experiment, name: str, amount: float) -> Experiment:
    """The experiment with so much added to a field, such as "beam.fluence_per_m2" or "crystal.cell[2]"."""
    noun, field, *indices = re.split(r"[.\[\]]+", name.rstrip("]"))
    value: Any = getattr(getattr(experiment, noun), field)
    if indices:
        moved = np.array(value, float)
        moved[tuple(map(int, indices))] += amount
        return changed(experiment, **{noun: {field: moved.tolist()}})
    return changed(experiment, **{noun: {field: value + amount}})


@cache
def tangent(experiment: Experiment, name: str, scale: float) -> dict[str, Any]:
    """In which direction a field moves the plan's variables, per unit of the field."""
    if name == "crystal.mosaic_spread_deg":
        return {"spread": math.radians(1.0)}
    return tangent_of(lambda amount: host_at(put(experiment, name, amount)), RELATIVE_STEP * scale)


def any_directions(host: Host, seed: int = 1) -> list[dict[str, Any]]:
    """One of each variable that the host has, at random, as large as the variable."""
    random, tangents = np.random.default_rng(seed), []
    for name in (field.name for field in fields(Variables)):
        value = np.asarray(getattr(host.variables, name))
        if value.size:
            tangents.append({name: random.normal(size=value.shape) * (np.abs(value).max() or 1.0)})
    return tangents
