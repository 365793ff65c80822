"""Pixels whose amplifier switches its gain by the charge that it has collected, after the JUNGFRAU: words and back.

A word has a 14-bit number of the converter, and the stage above it. Numbers are those of a typical module: gains of
about 42, −1.4 and −0.1 per keV as users' calibrations have them, switching at 280 keV and 10.5 MeV, and noise of 12, 4
and 4, by which an empty pixel has 0.023 photons rms at 12.4 keV (0.23 and 3.2 in the other stages).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .amplification import Values
from .band import Band, Floats
from .deviates import Purpose

PER_KEV = np.array([42.0, -1.4, -0.1])
"""Numbers of the converter by stage, also of the others here."""
PEDESTAL = np.array([2500.0, 15000.0, 15000.0])
NOISE = np.array([12.0, 4.0, 4.0])
SWITCH_KEV = (280.0, 10500.0)
"""Charge above which the second stage, and the third, is taken."""
BITS = 14
STAGE_CODE = np.array([0, 1, 3])
STAGE_OF_CODE = np.array([0, 1, 2, 2])
LARGEST = (1 << BITS) - 1
MOST_KEV = (PEDESTAL[2] - 1.0) / -PER_KEV[2]
"""Charge that leaves one number of the converter to the last stage."""


def as_words(photons: Values, band: Band, photon_kev: float) -> Floats:
    """Step: what is read where so many photons have given their charge; whole numbers below 2¹⁶."""
    charge = photons * photon_kev
    stage = (charge > SWITCH_KEV[0]).astype(np.intp) + (charge > SWITCH_KEV[1])
    rows, columns = photons.shape
    noise = NOISE[stage] * band.normals((rows, columns), Purpose.READOUT)
    number = np.clip(np.rint(PEDESTAL[stage] + PER_KEV[stage] * charge + noise), 0, LARGEST)
    return number + (STAGE_CODE[stage] << BITS)


def from_words(words: npt.NDArray[np.floating], photon_kev: float) -> Floats:
    """Photons, not whole ones, that a pedestal and a gain for each stage make of words."""
    codes, numbers = np.divmod(words.astype(np.int64), 1 << BITS)
    stage = STAGE_OF_CODE[codes]
    return np.asarray((numbers - PEDESTAL[stage]) / PER_KEV[stage] / photon_kev)


def converted(words: Floats, band: Band, photon_kev: float, gain: float, adc_offset: float) -> Floats:
    """Step: counts for each photon, and the count of none."""
    return from_words(words, photon_kev) * gain + adc_offset
