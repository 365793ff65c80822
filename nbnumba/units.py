"""Constants, and the conversions by which the set-up makes SI of the user's units; it has no others.

Where a number is told again (report, headers, traces, pictures), it is multiplied back on the spot.

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


METRES_PER_ANGSTROM, ANGSTROM_PER_METRE = 1e-10, 1e10
"""For arrays and vectors; which of the two the reference takes decides the last digit."""


def radians_from_degrees(degrees: float) -> float:
    return degrees / RTD


def degrees_from_radians(radians: float) -> float:
    return radians * RTD


def radians_from_milliradians(milliradians: float) -> float:
    return milliradians / 1000.0


def metres_from_mm(mm: float) -> float:
    return mm / 1000.0


def metres_from_microns(microns: float) -> float:
    return microns * 1e-6


def metres_from_angstrom(angstrom: float) -> float:
    return angstrom / ANGSTROM_PER_METRE


def seconds_from_ns(nanoseconds: float) -> float:
    return nanoseconds * 1e-9


def fraction_from_percent(percent: float) -> float:
    return percent / 100.0


def angstrom_from_ev(electronvolt: float) -> float:
    """Wavelength of a photon."""
    return EV_ANGSTROM / electronvolt


def ev_from_angstrom(angstrom: float) -> float:
    """Energy of a photon."""
    return EV_ANGSTROM / angstrom


def kev_from_angstrom(angstrom: float) -> float:
    """The same in keV."""
    return ev_from_angstrom(angstrom) / 1000.0
