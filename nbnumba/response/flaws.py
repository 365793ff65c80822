"""Pixels that never count rightly: dead, hot or noisy ones, the same in every image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..formats.bad_pixels import DEAD, HOT, NOISY
from . import deviates
from .band import Band, Floats
from .deviates import Purpose, Window

Flaws = npt.NDArray[np.int8]
NOISY_DECADES = 3.0
"""A noisy pixel has 1 … 1000 photons of its own on average, by its share of these."""
_WHICH, _RATE, _NOISE = 0, 1, 2
"""Blocks of deviates."""


def random_flaws(shape: tuple[int, int], window: Window, fraction: float, seed: int) -> Flaws:
    """A fraction of the pixels, in equal parts of each kind; 0 where nothing is wrong."""
    u = deviates.uniforms(shape, window, seed, 0, Purpose.BAD, block=_WHICH)
    kinds = np.zeros(shape, np.int8)
    chosen = u < fraction
    kinds[chosen] = 1 + np.minimum(2, 3.0 * u[chosen] / fraction).astype(np.int8)
    return kinds


def marked(kinds: Flaws, listed: npt.NDArray[np.int64]) -> None:
    """Mark pixels of one panel: rows of fast, slow and kind (n, 3)."""
    kinds[listed[:, 1], listed[:, 0]] = listed[:, 2]


def with_noisy(values: Floats, band: Band, seed: int) -> Floats:
    """Step: photons that are none, of noisy pixels, exponentially distributed about an average of each pixel's own."""
    noisy = None if band.flaws is None else band.flaws == NOISY
    if noisy is None or not noisy.any():
        return values
    rows, columns = values.shape
    share = deviates.uniforms((rows, columns), band.window, seed, 0, Purpose.BAD, band.threads, _RATE)[noisy]
    u = band.uniforms((rows, columns), Purpose.BAD, _NOISE)[noisy]
    values[noisy] += np.floor(-(10.0 ** (NOISY_DECADES * share)) * np.log(u))
    return values


def with_dead_and_hot(values: Floats, band: Band, largest: float) -> Floats:
    """Step: what pixels read that count nothing, or always the largest."""
    if band.flaws is not None:
        values[band.flaws == DEAD] = 0.0
        values[band.flaws == HOT] = largest
    return values
