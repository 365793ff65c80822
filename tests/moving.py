"""Experiments that move: a parameter of the user's a little further, and what that does to a plan's variables."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from nbnumba import Experiment, changed
from nbnumba.errors import NbnumbaWarning
from nbnumba.experiment import Beam, Crystal, Detector, Sampling, Scan, StructureFactors
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.mosaic import mosaic_changes
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.structure_factors.table import FactorTable
from nbnumba.testing.derivatives import tangent_of
from nbnumba.testing.plain_image import Host, host_of

RELATIVE_STEP = 1e-3
"""Of differences that stand for the rates of a plan's variables, in units of a parameter's scale."""

TRICLINIC = Experiment(
    beam=Beam(wavelength_angstrom=1.0, kahn_factor=0.9, dispersion_percent=1.0, dispersion_steps=2),
    detector=Detector(
        distance_mm=100, fast_pixels=12, slow_pixels=10, pixel_mm=2.0, rotx_deg=1, roty_deg=2, rotz_deg=3,
        twotheta_deg=4, beam_x_mm=8.3, beam_y_mm=13.1, thickness_um=500, attenuation_depth_um=300, layers=2,
    ),
    crystal=Crystal(cell=(40, 45, 50, 75, 85, 95), cells=(5, 6, 4), misset_deg=(10, 20, 30), mosaic_spread_deg=0.8,
                    mosaic_domains=3, fudge=1.1),
    scan=Scan(phi_deg=5, oscillation_deg=1.5, steps=2),
    structure_factors=StructureFactors(default_f=100, interpolate=False),
    sampling=Sampling(oversample=2),
)  # fmt: skip
"""Of everything a little: two sources, φ steps and layers, three domains, 2² sub-pixels."""


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
