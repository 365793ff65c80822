"""What scatters besides the crystal: amorphous materials, each a number of molecules and their F over sin θ/λ."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import UsageError
from ..experiment import Experiment
from ..experiment.quirks import Quirks
from ..kernels.plan import BackgroundPlan
from ..units import ANGSTROM_PER_METRE, AVOGADRO_PER_MOL, ELECTRON_RADIUS_SQR_M2, metres_from_microns
from .inputs import Inputs

WATER_FACTOR = 2.57
"""Forward amplitude of a water molecule in electrons, as the reference has it."""
WATER_MOLAR_MASS = 18.0
STOL_PER_AXIS = {"stol": 1.0, "4stol": 0.25, "Q": 1.0 / (4.0 * math.pi)}
PARTS = 16
"""Into which the steps of tables are cut where materials are added: F² adds up, and F is linear within a step."""


def background_plan(
    experiment: Experiment, inputs: Inputs, fluence: float, quirks: Quirks, spot_scale: float = 1.0
) -> BackgroundPlan:
    """All materials in the beam as one; ``spot_scale`` multiplies the spots and leaves their photons as they are."""
    plan = together([material(experiment, inputs, fluence, quirks) for material in MATERIALS])
    return plan._replace(scale=plan.scale / spot_scale) if plan.in_sum else plan


def water(experiment: Experiment, inputs: Inputs, fluence: float, quirks: Quirks) -> BackgroundPlan:
    """Molecules of water (10⁶ g/m³) times their cross-section; F of a file take the place of water's."""
    background = experiment.background
    edge = metres_from_microns(background.water_um)
    molecules = edge * edge * edge * 1e6 * AVOGADRO_PER_MOL / WATER_MOLAR_MASS
    stol = factor = np.zeros(0)
    if inputs.amorphous is not None and not quirks.amorphous_ignored:
        stol = inputs.amorphous[:, 0] * STOL_PER_AXIS[background.amorphous_axis] * ANGSTROM_PER_METRE
        factor = np.ascontiguousarray(inputs.amorphous[:, 1])
    scale = ELECTRON_RADIUS_SQR_M2 * fluence * molecules
    return BackgroundPlan(scale, WATER_FACTOR, stol, factor, int(quirks.water_scaled_twice))


MATERIALS: tuple[Callable[[Experiment, Inputs, float, Quirks], BackgroundPlan], ...] = (water,)
"""Each from an experiment, its files and the fluence; of scale 0 where it is not in the beam."""


def together(materials: Sequence[BackgroundPlan]) -> BackgroundPlan:
    """The material whose intensity is that of all: scale · F² = Σ scale_i · F_i².

    A single one in the beam stays as it is, bit by bit.

    Raises
    ------
    UsageError
        In mode c, water beside another.
    """
    present = [material for material in materials if material.scale > 0.0] or materials[:1]
    if len(present) == 1:
        return present[0]
    if any(material.in_sum for material in present):
        raise UsageError("-water beside another background: mode c scales water twice and nothing else; give one")
    rows = np.unique(np.concatenate([material.stol for material in present]))
    stol = np.interp(np.arange(PARTS * (len(rows) - 1) + 1) / PARTS, np.arange(len(rows)), rows) if len(rows) else rows
    scale = sum(material.scale for material in present)

    def factor(stol: np.ndarray) -> np.ndarray:
        intensities = (material.scale * _factor(material, stol) ** 2 for material in present)
        return np.sqrt(sum(intensities, np.zeros(len(stol))) / scale)

    return BackgroundPlan(scale, float(factor(np.zeros(1))[0]), stol, factor(stol), 0)


def _factor(material: BackgroundPlan, stol: np.ndarray) -> np.ndarray:
    """F of a material as :func:`nbnumba.kernels.equations.background.amorphous_factor`, of many sin θ/λ."""
    if len(material.stol) == 0:
        return np.full(len(stol), material.form_factor)
    return np.interp(stol, material.stol, material.stol_factor)
