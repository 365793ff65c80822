"""Figures that describe an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .response.integers import Roi, bands

SIGMA_OF_MAD = 1.4826
"""Standard deviation of a Gaussian over the median distance from its median."""
FARTHEST = 4.0
"""Standard deviations from the median of what counts for a radial profile."""


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


def radial_profile(
    at: npt.NDArray[np.float64], values: npt.NDArray[np.float64], bins: int, by_mean: bool = False
) -> npt.NDArray[np.float64]:
    """What most of an image's pixels have at each radius, whatever spots lie on it.

    Parameters
    ----------
    at : ndarray of float64
        Radius of each pixel, or what grows with it.
    values : ndarray of float64, of the same shape
        NaN where a pixel does not count.
    bins : int
        Of equal width, from the smallest radius to the largest; those without pixels are left out.
    by_mean : bool
        Take the mean of those that are kept, not the median: that of few counts is a whole number and says little.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        Radius and value of each bin, both by median or both by mean of the pixels that are kept.

    Notes
    -----
    Left out, three times over, is what lies farther from the median than ``FARTHEST`` times σ = 1.4826
    median|x − median|, which is that of a Gaussian; of counts σ is √(median + 1) at the least, since in many a bin most
    are 0.
    """
    good = np.isfinite(values)
    at, values = at[good], values[good]
    edges = np.linspace(at.min(), at.max(), bins + 1)
    bin_of = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, bins - 1)
    order = np.argsort(bin_of, kind="stable")
    ends = np.cumsum(np.bincount(bin_of, minlength=bins)).tolist()
    parts = [order[first:last] for first, last in pairwise([0, *ends]) if last > first]
    middle = np.mean if by_mean else np.median
    kept = [part[_like_most(values[part], by_mean)] for part in parts]
    return np.array([[middle(at[part]), middle(values[part])] for part in kept])


def _like_most(values: npt.NDArray[np.float64], counted: bool) -> npt.NDArray[np.bool_]:
    kept = np.ones(len(values), bool)
    for _ in range(3):
        median = np.median(values[kept])
        sigma = SIGMA_OF_MAD * np.median(np.abs(values[kept] - median))
        if counted:
            sigma = max(sigma, math.sqrt(max(median, 0.0) + 1.0))
        kept = np.abs(values - median) <= FARTHEST * sigma
    return kept


def _brightest(photons: npt.NDArray[np.float32], band: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = band
    slow, fast = np.unravel_index(np.argmax(photons[band]), photons[band].shape)
    return rows.start + int(slow), columns.start + int(fast)
