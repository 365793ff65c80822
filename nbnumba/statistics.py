"""Figures that describe an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .response.integers import Roi, bands


@dataclass(frozen=True)
class Statistics:
    """Of the pixels in the region of interest that are not masked; in photons."""

    maximum: float
    """Of the brightest pixel."""
    maximum_fast: int
    """Its index along fast, of the first in raster order."""
    maximum_slow: int
    """Its index along slow."""
    mean: float
    """Σx/N."""
    rms: float
    """√(Σx²/(N−1))."""
    rmsd: float
    """About the mean, over the whole region of interest, masked pixels counting as 0."""
    pixels: int
    """How many they are."""


def image_statistics(
    photons: npt.NDArray[np.float32], roi: Roi | None = None, mask: npt.NDArray[np.generic] | None = None
) -> Statistics:
    """Maximum, mean and spread of an image, summed in float64.

    Parameters
    ----------
    photons : ndarray of float32, shape (slow, fast)
        Photons per pixel, 0 where masked.
    roi : tuple of int, optional
        First and last fast, first and last slow pixel, all inclusive; None: the whole image.
    mask : ndarray, shape (slow, fast), optional
        0 where a pixel is masked.

    Notes
    -----
    mean = Σx/N and rms = √(Σx²/(N−1)) of the N unmasked pixels; rmsd = √(Σ(x−mean)²/(M−1)) of all M pixels of the
    region. A sum over one pixel or none is divided by 1.
    """
    region = list(bands(photons.shape, roi))
    area = sum(photons[band].size for band in region)
    pixels = area if mask is None else sum(int(np.count_nonzero(mask[band])) for band in region)
    # Masked pixels are 0: sums may run over them.
    mean = sum(float(np.sum(photons[band], dtype=np.float64)) for band in region) / max(pixels, 1)
    squares = sum(_squares_about(0.0, photons[band]) for band in region)
    deviations = sum(_squares_about(mean, photons[band]) for band in region)
    slow, fast = max((_brightest(photons, band) for band in region), key=lambda pixel: photons[pixel])
    return Statistics(
        maximum=float(photons[slow, fast]),
        maximum_fast=fast,
        maximum_slow=slow,
        mean=mean,
        rms=math.sqrt(squares / max(pixels - 1, 1)),
        rmsd=math.sqrt(deviations / max(area - 1, 1)),
        pixels=pixels,
    )


def _squares_about(center: float, values: npt.NDArray[np.float32]) -> float:
    deviations = values.astype(np.float64) - center
    return float(np.sum(deviations * deviations))


def _brightest(photons: npt.NDArray[np.float32], band: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = band
    slow, fast = np.unravel_index(np.argmax(photons[band]), photons[band].shape)
    return rows.start + int(slow), columns.start + int(fast)
