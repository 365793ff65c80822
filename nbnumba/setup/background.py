"""What scatters besides the crystal: water, or another amorphous material."""

import math

import numpy as np

from ..experiment import Background
from ..experiment.quirks import Quirks
from ..kernels.plan import BackgroundPlan
from ..units import ANGSTROM_PER_METRE, AVOGADRO_PER_MOL, ELECTRON_RADIUS_SQR_M2, metres_from_microns
from .inputs import Inputs

WATER_FACTOR = 2.57
"""Forward amplitude of a water molecule in electrons, as the reference has it."""
WATER_MOLAR_MASS = 18.0
STOL_PER_AXIS = {"stol": 1.0, "4stol": 0.25, "Q": 1.0 / (4.0 * math.pi)}


def background_plan(background: Background, inputs: Inputs, fluence: float, quirks: Quirks) -> BackgroundPlan:
    """Molecules of water (10⁶ g/m³) times their cross-section; F of a file take the place of water's."""
    edge = metres_from_microns(background.water_um)
    molecules = edge * edge * edge * 1e6 * AVOGADRO_PER_MOL / WATER_MOLAR_MASS
    stol = factor = np.zeros(0)
    if inputs.amorphous is not None and not quirks.amorphous_ignored:
        stol = inputs.amorphous[:, 0] * STOL_PER_AXIS[background.amorphous_axis] * ANGSTROM_PER_METRE
        factor = np.ascontiguousarray(inputs.amorphous[:, 1])
    scale = ELECTRON_RADIUS_SQR_M2 * fluence * molecules
    return BackgroundPlan(scale, WATER_FACTOR, stol, factor, int(quirks.water_scaled_twice))
