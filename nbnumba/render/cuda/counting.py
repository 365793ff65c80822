"""Photons counted on a card: the counts that the CPU draws, where the photons are rendered.

That of a detector that counts each pixel by itself, adds its offset and cuts. Its photons stay on the card, and what
comes back are integers: of uint16 half the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...kernels.cuda import tables as cuda_tables
from ...kernels.cuda.tables import THREADS
from ...kernels.plan import Plan
from ...response.chain import NoiseImage
from ...setup.resolve import Resolved
from ...units import kev_from_angstrom
from . import cards
from .memory import Place, same_array

TALLIES_BYTES = 8 * cuda_tables.MOST_BLOCKS * cuda_tables.TALLY
"""Of an image, at most."""
EVERYTHING = np.zeros((0, 0), np.uint8)
"""Of a detector that measures in every pixel."""


class Reading(NamedTuple):
    """How a detector that does no more than count reads an image."""

    first_fast: int
    first_slow: int
    """The first pixel of its region."""
    width: int
    """Pixels in a row of the region."""
    columns: int
    """Pixels in a row of the detector."""
    seed: int
    frame: int
    """The same two give the same counts."""
    adc_offset: float = 0.0
    """Added to each count."""
    largest: float = float(np.iinfo(np.int32).max)
    """To which they are cut then."""
    integers: type[np.integer[Any]] = np.int32
    """That they become."""
    saturation: float | None = None
    """The largest count to be trusted."""
    measured: npt.NDArray[np.uint8] = EVERYTHING
    """0 where a pixel of the detector is not (slow, fast); (0, 0): all are."""

    def goes_with(self, other: Reading) -> bool:
        """Whether images that are read so may share a launch."""
        return self.integers is other.integers and same_array(self.measured, other.measured)


class ToCount(NamedTuple):
    """A plan whose photons are counted where they are rendered."""

    plan: Plan
    reading: Reading


def reading_of(resolved: Resolved) -> Reading | None:
    """How a card can read out the image that it renders; None where the detector does more than a card can."""
    # With kernels of the CPU, which images whose photons are wanted can do without.
    from ...response.detection import chain_of, generator_of

    experiment, noise = resolved.experiment, resolved.experiment.noise
    if generator_of(experiment) == "ran1":
        return None
    kev = kev_from_angstrom(resolved.wavelength_angstrom)
    chain = chain_of(experiment.readout, experiment.beam.exposure_s, kev)
    offset = chain.offset_alone
    if offset is None or len(resolved.plans) > 1 or resolved.lattices or resolved.added is not None:
        return None
    detector, (mask,) = resolved.plan.detector, resolved.masks
    fast0, fast1, slow0, _ = detector.roi
    measured = EVERYTHING if mask is None else detector.mask
    if mask is not None and experiment.detector.beamstop_mm > 0.0:
        # What it hides is dark, but measured.
        measured = np.ascontiguousarray(mask != 0).view(np.uint8)
    return Reading(
        fast0, slow0, fast1 - fast0 + 1, detector.fast_pixels, noise.seed or 0, noise.frame,
        offset, chain.largest, chain.integers, chain.saturation, measured,
    )  # fmt: skip


class Counter:
    """What counts the photons of images that go together, in memory of a place on the current card.

    ``pixels``: of each image at a time, at most. ``measured``: those of the readings, on the card.
    """

    def __init__(self, place: Place, readings: Sequence[Reading], pixels: int, measured: Any) -> None:
        from ...kernels.cuda import counting as kernels
        from ...response.deviates import key_of

        self.kernel: Any = kernels.count_photons
        self.readings, self.place, self.measured, kind = readings, place, measured, readings[0].integers
        self.blocks = min(-(-pixels // THREADS), cuda_tables.MOST_BLOCKS)
        records = [
            (one.first_fast, one.first_slow, one.width, one.measured.size > 0, one.columns, one.frame,
             key_of(one.seed), one.adc_offset, one.largest)
            for one in readings
        ]  # fmt: skip
        self.records = place.put("readings", np.array(records, cuda_tables.READING))
        self.counts = place.space(f"counted as {kind.__name__}", len(readings) * pixels, kind)
        self.size = len(readings) * self.blocks * cuda_tables.TALLY
        self.tallies = place.space("tallies", self.size, np.float64)

    def launch(self, photons: Any, first: int, count: int, goes_on: bool) -> None:
        """Queue the counting of pixels; ``goes_on`` where others of the same images were counted before them."""
        self.kernel[(self.blocks, 1, len(self.readings)), THREADS, self.place.stream](
            photons, self.records, first, count, int(goes_on), self.measured, self.counts, self.tallies
        )

    def start_fetching(self) -> None:
        """Queue the copy of what was counted in all."""
        pinned = cards.cuda_provider().cuda.pinned_array
        there = self.place.space("tallies on the host", self.size, np.float64, pinned)[: self.size]
        cards.cuda_provider().copy_to_host(there, self.tallies, self.place.stream)

    def told(self, number: int, counts: npt.NDArray[Any]) -> NoiseImage:
        """Counts of one of the images with what else is known of them, once all has come."""
        tallies = self.place.arrays["tallies on the host"][: self.size].reshape(len(self.readings), self.blocks, -1)
        photons, overloads = tallies[number].sum(axis=0)
        return NoiseImage(counts, round(photons), int(overloads), self.readings[number].saturation)


def counted(photons: npt.NDArray[np.float32], reading: Reading, device: int = 0) -> NoiseImage:
    """Counts of photons that lie on the host.

    Parameters
    ----------
    photons : float32 array, shape (rows, columns)
        Expected photons; a negative number counts as 0.
    reading : Reading
        How they are read out.
    device : int
        Number of the card.

    Raises
    ------
    DeviceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    with cards.on(device):
        provider, place = cards.cuda_provider(), Place()
        place.stream = provider.cuda.stream()
        counter = Counter(place, [reading], photons.size, place.put("measured", reading.measured))
        counts = np.empty(photons.size, reading.integers)
        counter.launch(place.put("photons", np.ascontiguousarray(photons, np.float32).ravel()), 0, photons.size, False)
        provider.copy_to_host(counts, counter.counts, place.stream)
        counter.start_fetching()
        place.stream.synchronize()
        return counter.told(0, counts.reshape(photons.shape))
