"""The last step of every chain, values to integers, and the scales that bring photons into their range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Roi = tuple[int, int, int, int]
"""First and last fast, first and last slow pixel, all inclusive."""

_BAND_PIXELS = 1 << 18


def cut(values: npt.NDArray[np.float64], largest: float) -> int:
    """Bring values into 0 … largest, in place; return how many were above, or no numbers."""
    overloaded = ~(values <= largest)
    overloads = int(np.count_nonzero(overloaded))
    if overloads:
        values[overloaded] = largest
    np.maximum(values, 0.0, out=values)
    return overloads


def truncated(values: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
    """The integer parts, which are what an array of integers keeps of values."""
    return values


def nearest(values: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
    """The nearest integers."""
    # The reference rounds to single precision before it takes the floor, which can step over an integer.
    return np.floor((values + 0.5).astype(np.float32))


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
