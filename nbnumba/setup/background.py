"""What scatters besides the crystal: amorphous materials, each a number of molecules and their F over sin θ/λ."""

import math
from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from ..experiment import Experiment
from ..experiment.quirks import Quirks
from ..kernels.plan import BackgroundPlan
from ..units import ANGSTROM_PER_METRE, AVOGADRO_PER_MOL, ELECTRON_RADIUS_SQR_M2, metres_from_microns
from .inputs import Inputs
from .materials import InBeam
from .sources import Sources

WATER_FACTOR = 2.57
"""Forward amplitude of a water molecule in electrons, as the reference has it."""
WATER_MOLAR_MASS = 18.0
STOL_PER_AXIS = {"stol": 1.0, "4stol": 0.25, "Q": 1.0 / (4.0 * math.pi)}
MOST_ROWS = 1 << 13
"""Of a table that is made of others at many wavelengths; of more some are left out, unless as many are of tables."""
WIDE = 0.01
"""Spectra wider than this share of their mean wavelength scatter at each wavelength, others at that of the first
source, as in nanoBragg."""

Waves = tuple[np.ndarray, np.ndarray]
"""For some wavelengths, sin θ/λ over that of the first source, and the shares of the photons."""
ONE_WAVE: Waves = (np.ones(1), np.ones(1))


def background_plan(
    experiment: Experiment,
    inputs: Inputs,
    materials: Sequence[InBeam],
    sources: Sources,
    fluence: float,
    quirks: Quirks,
    spot_scale: float = 1.0,
) -> BackgroundPlan:
    """All materials in the beam as one; ``spot_scale`` multiplies the spots and leaves their photons as they are."""

    def of_each(photons: float) -> list[BackgroundPlan]:
        return [water(experiment, inputs, photons, quirks), *(_plan(material, photons) for material in materials)]

    # By what a photon meets, frames of another fluence have the same table, to the bit.
    molecules = [one.scale for one in of_each(1.0)] if materials else None
    plan = together(of_each(fluence), waves_of(sources), molecules)
    return plan._replace(scale=plan.scale / spot_scale) if plan.in_sum else plan


def water(experiment: Experiment, inputs: Inputs, fluence: float, quirks: Quirks) -> BackgroundPlan:
    """Molecules of water (10⁶ g/m³) times their cross-section; F of a file take the place of water's."""
    background = experiment.background
    edge = metres_from_microns(background.water_um)
    molecules = edge * edge * edge * 1e6 * AVOGADRO_PER_MOL / WATER_MOLAR_MASS
    table = np.zeros((3, 0))
    if inputs.amorphous is not None and not quirks.amorphous_ignored:
        table = _table(inputs.amorphous, background.amorphous_axis)
    scale = ELECTRON_RADIUS_SQR_M2 * fluence * molecules
    return BackgroundPlan(scale, WATER_FACTOR, table, int(quirks.water_scaled_twice))


def _plan(material: InBeam, fluence: float) -> BackgroundPlan:
    """Molecules of a material times their cross-section."""
    scale = ELECTRON_RADIUS_SQR_M2 * fluence * material.molecules
    return BackgroundPlan(scale, 0.0, _table(material.table, material.axis), 0)


def _table(rows: np.ndarray, axis: str) -> np.ndarray:
    """sin θ/λ in 1/m and F of a file's rows, and no excess."""
    return np.stack([rows[:, 0] * STOL_PER_AXIS[axis] * ANGSTROM_PER_METRE, rows[:, 1], np.zeros(len(rows))])


def waves_of(sources: Sources) -> Waves:
    """The wavelengths at which materials scatter: all of a wide spectrum, else that of the first source."""
    if len(sources.weight) == 1:
        return ONE_WAVE
    wavelengths, shares = sources.weights()
    wavelengths, shares = wavelengths[shares > 0.0], shares[shares > 0.0]
    # To the last digits a spectrum of 1 % is no wider than that.
    if np.ptp(wavelengths) <= WIDE * (1.0 + 1e-9) * sources.mean_angstrom:
        return ONE_WAVE
    return sources.wavelength_angstrom[0] / wavelengths, shares / shares.sum()


def together(
    materials: Sequence[BackgroundPlan], waves: Waves = ONE_WAVE, molecules: Sequence[float] | None = None
) -> BackgroundPlan:
    """The material whose intensity is that of all: scale · F(s)² = Σ_i scale_i Σ_k share_k · F_i(s · ratio_k)².

    s is sin θ/λ of the first source. A single one in the beam stays as it is, bit by bit, where there is one wavelength
    or its F is constant. ``molecules``, in any unit, are how many there are of each; by default as ``scale`` has it.

    Raises
    ------
    UsageError
        In mode c, water beside another.
    """
    which = [number for number, material in enumerate(materials) if material.scale > 0.0] or [0]
    present = [materials[number] for number in which]
    if len(present) == 1 and (len(waves[0]) == 1 or not present[0].table.size):
        return present[0]
    if any(material.in_sum for material in present):
        raise UsageError("-water beside another background: mode c scales water twice and nothing else; give one")
    scale = sum(material.scale for material in present)
    numbers = [material.scale for material in present] if molecules is None else [molecules[n] for n in which]
    shares = [number / sum(numbers) for number in numbers]
    stol = _rows([material.table[0] for material in present], waves[0])

    def square(stol: np.ndarray) -> np.ndarray:
        total = np.zeros(len(stol))
        for material, of_all in zip(present, shares, strict=True):
            for ratio, share in zip(*waves, strict=True):
                total += of_all * share * _factor(material, stol * ratio) ** 2
        return total

    factor, excess = np.sqrt(square(stol)), np.zeros(len(stol))
    # The parabola through F² at both rows and half-way between them: of no less than 0 anywhere.
    left, right = factor[:-1], factor[1:]
    half_way = square((stol[:-1] + stol[1:]) / 2.0)
    excess[:-1] = np.maximum(4.0 * half_way - (left + right) ** 2, -4.0 * left * right)
    return BackgroundPlan(scale, float(np.sqrt(square(np.zeros(1)))[0]), np.stack([stol, factor, excess]), 0)


def _rows(tables: Sequence[np.ndarray], ratios: np.ndarray) -> np.ndarray:
    """Where F² of tables at all wavelengths has its corners: between these it is a parabola."""
    rows = np.unique(np.concatenate(tables))
    if len(ratios) == 1:
        return rows
    most = max(MOST_ROWS, len(rows))
    rows = np.unique(rows[:, np.newaxis] / ratios)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]


def _factor(material: BackgroundPlan, stol: np.ndarray) -> np.ndarray:
    """F of a material as :func:`nbnumba.kernels.equations.background.amorphous_square`, of many sin θ/λ."""
    if not material.table.size:
        return np.full(len(stol), material.form_factor)
    return np.interp(stol, material.table[0], material.table[1])
