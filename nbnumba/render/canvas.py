"""Where a backend leaves the pixels of one plan: what is finished of them can be seen, and it can be told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import HoldsArrays
from ..kernels.plan import Plan


@dataclass(frozen=True, eq=False, repr=False)
class Partial(HoldsArrays):
    """An image as far as it has come."""

    photons: np.ndarray
    """float32 (slow, fast), 0 where not finished."""
    finished: np.ndarray
    """Which pixels are as they will be: bool (slow, fast); those outside the region of interest never are."""


class Canvas:
    """The image of a plan under way.

    Its finished pixels are runs along the region of interest, in raster order. Each row is one, unless :meth:`cut`.
    """

    def __init__(self, plan: Plan, stop: np.ndarray | None = None, notes: list[str] | None = None) -> None:
        detector = plan.detector
        fast0, fast1, slow0, slow1 = detector.roi
        self._region = slice(slow0, slow1 + 1), slice(fast0, fast1 + 1)
        self.width = fast1 - fast0 + 1
        self.pixels = self.width * (slow1 - slow0 + 1)
        """Of the region of interest."""
        # Where all pixels are rendered, none needs a value before: writing a large image twice takes a millisecond.
        whole = self.pixels == detector.slow_pixels * detector.fast_pixels and detector.mask.size == 0
        self.photons = (np.empty if whole else np.zeros)((detector.slow_pixels, detector.fast_pixels), np.float32)
        self.stop = np.zeros(1, np.int64) if stop is None else stop
        """Set where nobody waits for the image any more."""
        self.notes = [] if notes is None else notes
        """What is to be told to whoever waits for the image, as warnings."""
        self.done = np.zeros(detector.slow_pixels, np.int64)
        """Pixels of each row that are finished; after :meth:`cut`, of each run, with the shares of unfinished ones."""
        self._runs = (np.arange(detector.slow_pixels) - slow0) * self.width, self.done
        self._opening: Canvas | None = None

    def cut(self, firsts: Sequence[int]) -> np.ndarray:
        """Runs that begin at these pixels of the region in place of rows; finished pixels, to be counted in each."""
        self.done = np.zeros(len(firsts), np.int64)
        self._runs = np.array(firsts), np.zeros(len(firsts), np.int64)
        return self._runs[1]

    def run(self, first: int, count: int) -> np.ndarray:
        """Room for pixels of the region from number ``first`` on: those of the image where they lie in a row."""
        whole = self.pixels == self.photons.size
        return self.photons.reshape(-1)[first : first + count] if whole else np.empty(count, np.float32)

    def put(self, first: int, pixels: np.ndarray) -> None:
        """Fill pixels of the region from number ``first`` on, in raster order."""
        if not np.shares_memory(pixels, self.photons):
            self._put(self.photons, first, pixels)

    def _put(self, image: np.ndarray, first: int, pixels: np.ndarray) -> None:
        region = image[self._region]
        while len(pixels):
            slow, fast = divmod(first, self.width)
            rows = len(pixels) // self.width if fast == 0 else 0
            count = rows * self.width or min(self.width - fast, len(pixels))
            if rows:
                region[slow : slow + rows] = pixels[:count].reshape(rows, self.width)
            else:
                region[slow, fast : fast + count] = pixels[:count]
            first, pixels = first + count, pixels[count:]

    def leave_dark(self) -> None:
        """No pixel has a photon: all are finished."""
        self.photons.fill(0.0)
        self.done[self._region[0]] = self.width

    def open_with(self, opening: Canvas | None) -> None:
        """Take what is finished on another canvas as the pixels here, whatever is rendered in their place."""
        self._opening = opening

    def close(self) -> None:
        """All is rendered: put the pixels of :meth:`open_with` in place."""
        self._overlay(self.photons)

    def _overlay(self, photons: np.ndarray) -> None:
        if self._opening is not None:
            given = self._opening.partial()
            photons[given.finished] = given.photons[given.finished]

    def freeze(self) -> None:
        """Take for finished what is so now: what stops in the middle of a pixel may count it all the same."""
        firsts, finished = self._runs
        self._runs = firsts, finished.copy()

    def partial(self) -> Partial:
        """The image as it is now."""
        firsts, counts = self._runs
        # Counted before the image is read: what is finished meanwhile may be in it or not.
        counts = counts.copy()
        photons, finished = self.photons.copy(), np.zeros(self.photons.shape, bool)
        for run in np.flatnonzero(counts):
            self._put(finished, int(firsts[run]), np.ones(counts[run], bool))
        self._overlay(photons)
        photons[~finished] = 0.0
        return Partial(photons, finished)
