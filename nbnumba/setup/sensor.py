"""How deep photons go into a sensor: by its material and their energy."""

from __future__ import annotations

import math
import warnings
from functools import cache
from importlib.resources import files

import numpy as np

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Detector, Experiment, with_right_values
from ..units import kev_from_angstrom

TABULATED = ("Si", "CdTe", "GaAs")
"""Materials in the order of the table's columns; a phosphor absorbs too near its surface to be cut into layers."""


def with_sensor(experiment: Experiment, wavelength_angstrom: float) -> Experiment:
    """The experiment with the thickness of its sensor and, where its material is known, the depth at a wavelength.

    Parameters
    ----------
    wavelength_angstrom : float
        Mean of the photons.

    Raises
    ------
    UsageError
        The depth is needed, and the energy lies outside the table.

    Warns
    -----
    NbnumbaWarning
        A material without a thickness.
    """
    detector = experiment.detector
    thickness, depth = detector.thickness_um or 0.0, detector.attenuation_depth_um
    if detector.sensor_material in TABULATED:
        if thickness == 0.0 and detector.preset is None:
            warnings.warn(
                f"-detector_material {detector.sensor_material} absorbs nothing without -detector_thick: files alone "
                "tell it",
                NbnumbaWarning,
                stacklevel=3,
            )
        if thickness > 0.0 and depth is None:
            depth = _depth_of(detector, kev_from_angstrom(wavelength_angstrom))
    if (thickness, depth) == (detector.thickness_um, detector.attenuation_depth_um):
        return experiment
    known = with_right_values(detector, thickness_um=thickness, attenuation_depth_um=depth)
    return with_right_values(experiment, detector=known)


def _depth_of(detector: Detector, kev: float) -> float:
    low, high = _table()[0, 0], _table()[0, -1]
    if not low <= kev <= high:
        name = f"-detector {detector.preset}" if detector.preset else f"-detector_material {detector.sensor_material}"
        raise UsageError(
            f"{name}: how {detector.sensor_material} absorbs is known from {low:g} to {high:g} keV, not at {kev:.6g}: "
            "give -detector_abs, its 1/e depth, or -detector_thick 0 for a sensor that counts all photons"
        )
    return attenuation_depth_um(str(detector.sensor_material), kev)


def attenuation_depth_um(material: str, kev: float) -> float:
    """1/e depth in µm of photons of an energy, by photoelectric absorption: by what is recorded.

    Parameters
    ----------
    material : {"Si", "CdTe", "GaAs"}
    kev : float
        From 5 to 30.

    Returns
    -------
    float
        Interpolated between the logarithms of a table (``data/attenuation.txt`` says where from), within 4e-4 of it.
    """
    table = _table()
    column = table[1 + TABULATED.index(material)]
    return math.exp(np.interp(math.log(kev), np.log(table[0]), np.log(column)))


@cache
def _table() -> np.ndarray:
    """Energies in keV, ascending, and depths in µm: a row each, (4, n)."""
    text = (files("nbnumba") / "data" / "attenuation.txt").read_text(encoding="utf-8")
    return np.loadtxt(text.splitlines()).T
