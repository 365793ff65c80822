"""Constants and the conversions by which user units become SI; nothing else converts.

Values are those of the reference program, so that its images can be reproduced to the last digit.
"""

import math

RTD = 180.0 * (1.0 / math.pi)
"""Degrees in a radian, rounded as the reference rounds it: that decides where an angle is exactly 0."""

ELECTRON_RADIUS_SQR_M2 = 7.94079248018965e-30
"""Square of the classical electron radius (Thomson scattering length)."""

AVOGADRO_PER_MOL = 6.02214179e23

DEFAULT_FLUENCE_PER_M2 = 125932015286227086360700780544.0
"""Photons per m² such that the electron radius squared times the fluence is 1."""

EV_ANGSTROM = 12398.42
"""Photon energy in eV times wavelength in Å."""


def radians_from_degrees(degrees: float) -> float:
    return degrees / RTD


def radians_from_milliradians(milliradians: float) -> float:
    return milliradians / 1000.0


def metres_from_mm(mm: float) -> float:
    return mm / 1000.0


def metres_from_microns(microns: float) -> float:
    return microns * 1e-6


def metres_from_angstrom(angstrom: float) -> float:
    return angstrom / 1e10


def angstrom_from_ev(electronvolt: float) -> float:
    """Wavelength of a photon; its own inverse (eV from Å)."""
    return EV_ANGSTROM / electronvolt
