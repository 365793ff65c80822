"""From expected photons to integers of which nothing depends on a detector: scaled, gray, or counted as nanoBragg does.

A step is a function of an array: it is given the region of interest in bands of rows, in raster order, as float64 (the
first one float32), so that copies stay small; at last values become integers. What detectors read is in
:mod:`nbnumba.response.detection`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..experiment import Readout
from .counting import SerialCounting
from .integers import Roi, bands, cut, nearest, truncated

Photons = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
LARGEST = 65535
PixelStep = Callable[[Any], Floats]
Rounding = Callable[[Floats], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Chain:
    """Steps in their order, and the kind of integers at their end."""

    of_pixels: tuple[PixelStep, ...]
    """Band by band."""
    rounded: Rounding
    """At last, within the range of the integers."""
    integers: type[np.unsignedinteger[Any]]

    def __call__(self, photons: Photons, roi: Roi | None = None) -> tuple[npt.NDArray[Any], int]:
        """Integers (slow, fast), 0 outside the region, and how many pixels were cut to the largest."""
        image, overloads = np.zeros(photons.shape, self.integers), 0
        for band in bands(photons.shape, roi):
            values: Any = photons[band]
            for step in self.of_pixels:
                values = step(values)
            overloads += cut(values, float(np.iinfo(self.integers).max))
            image[band] = self.rounded(values)
        return image, overloads


def scaled(values: npt.NDArray[np.floating], scale: float) -> Floats:
    """Step: values in units of which each photon has ``scale``."""
    return values.astype(np.float64) * scale


def offset(values: Floats, adc_offset: float) -> Floats:
    """Step: the count of no photons is added."""
    return values + adc_offset


@dataclass(frozen=True, eq=False, repr=False)
class NoiseImage(HoldsArrays):
    """Counts, and what was lost on the way to them."""

    counts: npt.NDArray[Any]
    """Shape (slow, fast), offset included; 0 where nothing is measured. uint16, or int32 where photons are counted."""
    photons: int
    """Sum of the photons drawn, offset excluded."""
    overloads: int
    """Pixels cut to the largest count."""
    saturation: float | None = LARGEST - 1.0
    """The largest count to be trusted; None: counts do not tell."""
    bad: npt.NDArray[np.bool_] | None = None
    """Pixels that never count rightly; None: all do."""


def photon_counts(photons: Photons, roi: Roi | None, seed: int, readout: Readout, frame: int = 0) -> NoiseImage:
    """What an ideal detector reads where photons are counted one pixel after another, as nanoBragg does.

    Parameters
    ----------
    photons : float32 array, shape (slow, fast)
        Expected photons.
    roi : tuple of 4 ints, optional
        First and last fast, first and last slow pixel, inclusive; None: the whole image.
    seed : int
        The same seed, frame and image give the same counts.
    readout : Readout
        How the detector reads counts.
    frame : int
        Number of the image among those that share a seed.
    """
    counting = SerialCounting(seed, frame)
    chain = Chain((counting, partial(offset, adc_offset=readout.adc_offset or 0.0)), truncated, np.uint16)
    counts, overloads = chain(photons, roi)
    return NoiseImage(counts, round(counting.photons), overloads)


def scaled_counts(photons: Photons, roi: Roi | None, scale: float, readout: Readout) -> npt.NDArray[np.uint16]:
    """The nearest integers of photons · scale + offset, within 0 … 65535; parameters as :func:`photon_counts`."""
    steps = (partial(scaled, scale=scale), partial(offset, adc_offset=readout.adc_offset or 0.0))
    return Chain(steps, nearest, np.uint16)(photons, roi)[0]


def gray_levels(photons: Photons, roi: Roi | None, scale: float) -> npt.NDArray[np.uint8]:
    """The integer part of photons · scale, at most 255; parameters as :func:`photon_counts`."""
    return Chain((partial(scaled, scale=scale),), truncated, np.uint8)(photons, roi)[0]
