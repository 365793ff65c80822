"""From photons to light, charge and the numbers of a converter: steps of single pixels.

A step takes values and the :class:`~nbnumba.response.band.Band` that they are of, and leaves float64. A multiplier that
is drawn is never below 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .band import Band, Floats
from .deviates import Purpose

Values = npt.NDArray[np.floating]


def flickering(values: Values, band: Band, flicker: float) -> Values:
    """Step: the beam's intensity in this image, alike in all pixels."""
    return values.astype(np.float64) * max(0.0, 1.0 + flicker * band.one_normal(Purpose.FLICKER))


def pixels_flickering(values: Values, band: Band, flicker: float) -> Values:
    """Step: the same, of each pixel by itself."""
    return values * _factors(band.normals(_shape(values), Purpose.PIXEL_FLICKER), flicker)


def calibrated(values: Values, band: Band, calibration: float, seed: int) -> Floats:
    """Step: sensitivities of the pixels, the same pattern in every image."""
    return values * _factors(band.pattern(_shape(values), seed), calibration)


def counted(expected: Values, band: Band) -> Floats:
    """Step: photons counted of those expected."""
    counts = band.count(expected, band.window)
    band.tally.add_photons(counts)
    return counts


def as_light(counts: Values, band: Band, swank: float) -> Values:
    """Step: light of so many photons, of a relative variance 1/A − 1 each (Swank, J. Appl. Phys. 44, 4199 (1973))."""
    spread = np.sqrt(counts * (1.0 / swank - 1.0)) * band.normals(_shape(counts), Purpose.SWANK)
    return np.maximum(counts + spread, 0.0)


def amplified(values: Floats, band: Band, gain: float, adc_offset: float, read_noise: float) -> Floats:
    """Step: what the converter is given."""
    values = values * gain + adc_offset
    if read_noise > 0.0:
        values += read_noise * band.normals(_shape(values), Purpose.READOUT)
    return values


def offset(values: Floats, band: Band, adc_offset: float) -> Floats:
    """Step: the count of no photons is added."""
    return values + adc_offset if adc_offset else values


def rounded(values: Floats, band: Band) -> Floats:
    """Step: the nearest whole numbers, of halves the larger."""
    return np.floor(values + 0.5)


def _factors(deviates: Floats, rms: float) -> Floats:
    return np.maximum(1.0 + rms * deviates, 0.0)


def _shape(values: Values) -> tuple[int, int]:
    rows, columns = values.shape
    return rows, columns
