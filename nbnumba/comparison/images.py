"""How alike two images are: pixel by pixel, and peak by peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PEAK_SIGMA = 3.0
MOST_PEAKS = 500
"""The assignment of peaks takes time with the cube of their number."""


@dataclass(frozen=True)
class Comparison:
    """Two images of one shape held against each other; differences are b − a."""

    correlation: float
    mse: float
    rmse: float
    largest_difference: float
    largest_at: tuple[int, int]
    """(slow, fast)"""
    sum_a: float
    sum_b: float
    ratio: float | None
    """sum_b / sum_a; None where sum_a is 0."""
    peaks_a: int
    peaks_b: int
    peaks_matched: int
    """Pairs of a peak of a and one of b that lie within a pixel."""


def compare(a: Floats, b: Floats) -> Comparison:
    """Hold ``b`` against ``a``, finite images of one shape (slow, fast)."""
    difference = b - a
    slow, fast = np.unravel_index(np.argmax(np.abs(difference)), difference.shape)
    mse = float(np.mean(difference**2))
    sum_a, sum_b = float(a.sum()), float(b.sum())
    peaks_a, peaks_b = find_peaks(a), find_peaks(b)
    return Comparison(
        correlation=correlation(a, b),
        mse=mse,
        rmse=mse**0.5,
        largest_difference=float(difference[slow, fast]),
        largest_at=(int(slow), int(fast)),
        sum_a=sum_a,
        sum_b=sum_b,
        ratio=sum_b / sum_a if sum_a else None,
        peaks_a=len(peaks_a),
        peaks_b=len(peaks_b),
        peaks_matched=len(match_peaks(peaks_a, peaks_b)),
    )


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's coefficient; equal images have 1, also constant ones, a constant image and a different one 0."""
    if np.array_equal(a, b):
        return 1.0
    deviations_a, deviations_b = _deviations(a), _deviations(b)
    norm = np.linalg.norm(deviations_a) * np.linalg.norm(deviations_b)
    return float(np.clip(np.vdot(deviations_a, deviations_b) / norm, -1.0, 1.0)) if norm > 0 else 0.0


def find_peaks(image: Floats) -> Floats:
    """Local maxima above mean + 3 rmsd, the strongest where there are many; shape (n, 2) of slow, fast in pixels.

    Neighbours that share a maximum count as one peak, at their centre.
    """
    from scipy import ndimage

    bright = image > image.mean() + PEAK_SIGMA * image.std()
    is_peak = bright & (image == ndimage.maximum_filter(image, size=3))
    labels, count = ndimage.label(is_peak, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros((0, 2))
    numbers = np.arange(1, count + 1)
    heights = ndimage.maximum(image, labels, numbers)
    strongest = np.argsort(-np.asarray(heights), kind="stable")[:MOST_PEAKS]
    return np.array(ndimage.center_of_mass(is_peak, labels, numbers[strongest]))


def match_peaks(a: Floats, b: Floats, within_px: float = 1.0) -> list[tuple[int, int]]:
    """As many one-to-one pairs of peaks as lie ``within_px``, with the least sum of distances (Hungarian algorithm).

    Parameters
    ----------
    a, b : ndarray, shapes (n, 2) and (m, 2)
        Positions in pixels.
    within_px : float
        The longest distance of a pair.

    Returns
    -------
    list of tuple of int
        Rows of ``a`` and ``b`` that belong together.
    """
    from scipy.optimize import linear_sum_assignment

    distances = np.linalg.norm(a[:, np.newaxis] - b[np.newaxis], axis=2)
    # Dearer than all pairs together, so that no pair is given up for shorter distances elsewhere.
    unmatched = within_px * (min(len(a), len(b)) + 1)
    rows, columns = linear_sum_assignment(np.where(distances <= within_px, distances, unmatched))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if distances[i, j] <= within_px]


def resampled(image: Floats, shape: tuple[int, int]) -> Floats:
    """The image, linearly interpolated, on a grid of ``shape`` over the same area; photons are those of its pixels."""
    from scipy import ndimage

    if image.shape == shape:
        return image
    factors = [new / old for new, old in zip(shape, image.shape, strict=True)]
    zoomed: Floats = ndimage.zoom(image, factors, order=1, mode="nearest", grid_mode=True)
    return zoomed / (factors[0] * factors[1])


def _deviations(image: Floats) -> Floats:
    """From the mean, in units of the largest value, so that squares neither overflow nor vanish."""
    largest = np.abs(image).max()
    scaled = image / largest if largest > 0 else image
    return scaled - scaled.mean() if np.ptp(scaled) > 0 else np.zeros_like(scaled)
