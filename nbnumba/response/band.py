"""Some rows of a panel on their way to counts: where they are, and the deviates that are theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from . import deviates
from .deviates import Purpose, Window

Floats = npt.NDArray[np.float64]
Counting = Callable[[npt.NDArray[np.floating], Window], Floats]
"""Photons counted of those expected."""


@dataclass
class Tally:
    """What is added up over an image."""

    photons: float = 0.0
    """Counted, before anything is made of them."""
    overloads: int = 0
    """Pixels cut to the largest count."""

    def add_photons(self, counts: Floats) -> None:
        """Those of some pixels; infinitely many are left aside."""
        total = float(counts.sum())
        self.photons += total if np.isfinite(total) else float(counts[np.isfinite(counts)].sum())


@dataclass(frozen=True, eq=False, repr=False)
class Band(HoldsArrays):
    """Rows of a panel, with what steps need to know of them beside their values."""

    window: Window
    """Which pixels of the whole they are."""
    seed: int
    frame: int
    count: Counting
    tally: Tally
    threads: int | None = None
    flaws: npt.NDArray[np.int8] | None = None
    """What is wrong with each pixel, of :mod:`nbnumba.response.flaws`; None: nothing."""

    def normals(self, shape: tuple[int, int], purpose: Purpose) -> Floats:
        """Deviates with mean 0 and variance 1 of this image."""
        return deviates.normals(shape, self.window, self.seed, self.frame, purpose, self.threads)

    def pattern(self, shape: tuple[int, int], seed: int) -> Floats:
        """The same, alike in all images."""
        return deviates.normals(shape, self.window, seed, 0, Purpose.CALIBRATION, self.threads)

    def one_normal(self, purpose: Purpose) -> float:
        """A deviate that all pixels of the image share."""
        return float(deviates.normals((1, 1), Window(0, 1), self.seed, self.frame, purpose, 1)[0, 0])

    def uniforms(self, shape: tuple[int, int], purpose: Purpose, block: int) -> Floats:
        """Deviates in (0, 1) of this image."""
        return deviates.uniforms(shape, self.window, self.seed, self.frame, purpose, self.threads, block)

    def numbers(self, shape: tuple[int, int]) -> npt.NDArray[np.uint64]:
        """The pixels' numbers in the whole."""
        rows, columns = (np.arange(count, dtype=np.uint64) for count in shape)
        return np.uint64(self.window.first) + rows[:, np.newaxis] * np.uint64(self.window.columns) + columns
