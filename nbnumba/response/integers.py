"""From photons to the integers of image files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Roi = tuple[int, int, int, int]
"""First and last fast, first and last slow pixel, all inclusive."""

_BAND_PIXELS = 1 << 18
_LARGEST_COUNT = 65535.0
_LARGEST_GRAY = 255.0


def scaled_counts(
    photons: npt.NDArray[np.float32], scale: float, adc_offset: float, roi: Roi | None = None
) -> npt.NDArray[np.uint16]:
    """The nearest integers of pixel · scale + offset, within 0 … 65535; 0 outside the region of interest.

    Parameters
    ----------
    photons : ndarray of float32, shape (slow, fast)
        Photons per pixel.
    scale : float
        Counts per photon.
    adc_offset : float
        Count of no photons.
    roi : tuple of int, optional
        First and last fast, first and last slow pixel, all inclusive; None: the whole image.

    Returns
    -------
    ndarray of uint16, shape (slow, fast)
        Counts.
    """
    counts = np.zeros(photons.shape, np.uint16)
    for band in bands(photons.shape, roi):
        scaled = np.clip(photons[band].astype(np.float64) * scale + adc_offset, 0.0, _LARGEST_COUNT)
        # The reference rounds to single precision before it takes the floor, which can step over an integer.
        counts[band] = np.floor((scaled + 0.5).astype(np.float32))
    return counts


def gray_levels(photons: npt.NDArray[np.float32], scale: float, roi: Roi | None = None) -> npt.NDArray[np.uint8]:
    """The integer part of pixel · scale, at most 255; parameters as :func:`scaled_counts`."""
    gray = np.zeros(photons.shape, np.uint8)
    for band in bands(photons.shape, roi):
        gray[band] = np.clip(photons[band].astype(np.float64) * scale, 0.0, _LARGEST_GRAY)
    return gray


def auto_scale(maximum: float) -> float:
    """Counts per photon such that the brightest pixel gets 55000; 1 for an image without photons."""
    return 55000.0 / maximum if maximum > 0 else 1.0


def auto_gray_scale(rmsd: float, int_scale: float) -> float:
    """Gray levels per photon such that five times the spread gets 250; ``int_scale`` where there is no spread."""
    return 250.0 / (5.0 * rmsd) if rmsd > 0 else int_scale


def bands(shape: tuple[int, ...], roi: Roi | None) -> Iterator[tuple[slice, slice]]:
    """The region of interest in bands of rows, so that float64 copies of it stay small."""
    fast0, fast1, slow0, slow1 = roi or (0, shape[1] - 1, 0, shape[0] - 1)
    rows = max(1, _BAND_PIXELS // (fast1 - fast0 + 1))
    for slow in range(slow0, slow1 + 1, rows):
        yield slice(slow, min(slow + rows, slow1 + 1)), slice(fast0, fast1 + 1)
