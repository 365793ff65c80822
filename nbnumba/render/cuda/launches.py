"""How images are cut into launches on a card."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...errors import DeviceError
from ...kernels.choices import GAUSS
from ...kernels.cuda import tables as cuda_tables
from ...kernels.cuda.tables import MOST_PARTS, THREADS
from ...kernels.plan import Plan
from . import cards
from .counting import TALLIES_BYTES, Counter, Reading
from .left_out import Counts, bounds_for, why_not_tried
from .memory import Factors, Place

LAUNCH_S = 0.05
"""A launch should take about this long: Ctrl-C and progress wait for its end."""
FEWEST_PIXELS, MOST_PIXELS = 1 << 16, 1 << 22
"""In a launch, each as often as there are parts of its orientations in it; fewer would leave a large card idle."""
MOST_NUMBERS = 1 << 32
"""In a table, or pixels in an image: kernels count them in 32 bits."""
MOST_TOGETHER = 16
"""Images in a launch."""


class Cut(NamedTuple):
    """How an image is shared out to threads."""

    pixels: int
    """Of the region of interest."""
    rows_of_part: int
    """Orientations that a thread sums."""
    parts: int
    """Threads of a pixel."""
    samples: int
    """Of the image."""

    @property
    def most_together(self) -> int:
        """How many such images go in one launch: the host takes as long to set it up for several as for one."""
        if self.parts > MOST_PARTS:
            return 1
        return max(1, min(MOST_TOGETHER, MOST_PIXELS // (self.pixels * self.parts)))


def cut_of(plan: Plan) -> Cut:
    """How the threads of a card share an image: nothing but the image decides."""
    fast0, fast1, slow0, slow1 = plan.detector.roi
    pixels = (fast1 - fast0 + 1) * (slow1 - slow0 + 1)
    # A thread has a pixel also where no crystal scatters.
    orientations = max(1, len(plan.crystal.phi) * len(plan.crystal.domains))
    around = plan.detector.layers * plan.oversample**2 * len(plan.sources.weight)
    rows = cuda_tables.rows_per_part(pixels, orientations, around)
    return Cut(pixels, rows, -(-orientations // rows), pixels * orientations * around)


@dataclass(frozen=True)
class Piece:
    """What one launch does: a run of pixels of the roi, and for each some parts of its orientations."""

    first: int
    count: int
    first_part: int
    parts: int

    @property
    def stop(self) -> int:
        """The part after the last one."""
        return self.first_part + self.parts

    @property
    def work(self) -> int:
        """Parts of pixels."""
        return self.count * self.parts


@dataclass
class Pace:
    """How many parts of pixels a launch may take, so that it lasts ``LAUNCH_S``."""

    work: int

    def took(self, work: int, seconds: float) -> None:
        """Learn from a launch."""
        self.work = max(1, int(work * min(4.0, LAUNCH_S / max(seconds, 1e-9))))


class Batch:
    """Images that are alike, on the current card: their tables there, and room for the pieces of which they are made.

    ``first``, ``stop``: the band of pixels to be rendered, of a single image; by default all. ``readings``: how the
    photons of each are counted, where they are.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        precision: str,
        place: Place,
        first: int = 0,
        stop: int | None = None,
        readings: Sequence[Reading] = (),
    ) -> None:
        from ...kernels.cuda import render as cuda

        plan = plans[0]
        self.kernels, self.plans, self.place, self.readings = cuda, plans, place, readings
        place.stream = place.stream or cards.cuda_provider().cuda.stream()
        self.stream = place.stream
        self.interpolates = plan.factors.interpolate > 0
        cut = cut_of(plan)
        self.pixels, self.rows_of_part, self.parts = cut.pixels, cut.rows_of_part, cut.parts
        self.first, self.stop = first, self.pixels if stop is None else stop
        ratio = cards.cuda_provider().singles_per_double()
        arithmetic = cuda_tables.chosen_arithmetic(plan, precision, ratio)
        # Images that go together are too brief for it.
        self.bounds, self.why_all = bounds_for(plan) if len(plans) == 1 else (None, why_not_tried(plan) or "")
        self.every = 0.0
        """Orientations that warps have been given."""
        step_s = cuda_tables.least_seconds_per_step(arithmetic, ratio, cards.cuda_provider().instructions_per_second())
        self.work_of_launch = max(1, int(LAUNCH_S / step_s * cut.pixels * cut.parts / cut.samples))
        """Parts of pixels in a launch whose time is not taken, since others wait behind it."""
        self.variant = cuda_tables.variant_of(plan, arithmetic)
        self._move(arithmetic)

    def _move(self, arithmetic: int) -> None:
        """Put everything on the card."""
        place, plan, images = self.place, self.plans[0], len(self.plans)
        if place.factors is not None and not place.factors.serve(plan, arithmetic):
            place.factors = None
        self.capacity = _capacity(self, arithmetic)
        if place.factors is None:
            # Not in the place's stream: the images of other streams read it too, and wait for this copy.
            on_card = cards.cuda_provider().cuda.to_device(cuda_tables.padded_factors(plan, arithmetic))
            place.factors = Factors(plan.factors.table, plan.factors.default, arithmetic, on_card)
        sources = [cuda_tables.source_rows(plan) for plan in self.plans]
        cells = [cuda_tables.orientation_rows(plan, arithmetic) for plan in self.plans]
        first_sources, first_rows = ([0, *np.cumsum([*map(len, rows)])] for rows in (sources, cells))
        numbers = [*map(cuda_tables.image_numbers, self.plans, first_sources, first_rows)]
        self.tables = cuda_tables.Tables(
            images=place.put("images", np.array(numbers, cuda_tables.IMAGE)),
            sources=place.put("sources", np.concatenate(sources)),
            cells=place.put("cells", np.concatenate(cells).ravel()),
            factors=place.factors.on_card,
            mask=place.put("mask", plan.detector.mask),
            amorphous=place.put("amorphous", cuda_tables.amorphous_rows(plan.background)),
            bounds=() if self.bounds is None else self._put_bounds(),
        )
        band = min(self.stop - self.first, self.capacity)
        several = self.parts > 1
        self.picture = place.space("picture", images * band, np.float32)
        self.photons = place.space("photons", images * self.capacity if several else 1, np.float64)
        self.sums = place.space("sums", images * band if several else 1, np.float64)
        self.beyond = place.space("beyond", images * band if self.interpolates else 1, np.int64)
        sums_beyond = self.interpolates and several
        self.outside = place.space("outside", images * self.capacity if sums_beyond else 1, np.int64)
        self.counter = Counter(place, self.readings, band, self._measured()) if self.readings else None

    def _put_bounds(self) -> cuda_tables.BoundTables:
        """What tells which orientations a tile can do without; nothing is told yet of what was left out."""
        place, numbers = self.place, [cuda_tables.bound_numbers(self.plans[0], self.bounds)]
        told = place.space("told", cuda_tables.TOLD, np.float64)
        cards.cuda_provider().copy_to_card(told, np.zeros(cuda_tables.TOLD), self.stream)
        return cuda_tables.BoundTables(
            images=place.put("bounds", np.array(numbers, cuda_tables.BOUND)),
            ceilings=place.put("ceilings", self.bounds.ceilings.values),
            told=told,
        )

    def _measured(self) -> Any:
        """Where the detector measures; most often where pixels are rendered, too."""
        measured = self.readings[0].measured
        if measured is self.plans[0].detector.mask:
            return self.tables.mask
        return self.place.put("measured", measured)

    def pieces(self, pace: Pace) -> Iterator[Piece]:
        """Launches that make up the band, each as large as ``pace`` has it by then; of several images, one."""
        if len(self.plans) > 1:
            yield Piece(0, self.pixels, 0, self.parts)
            return
        first = self.first
        while first < self.stop:
            count = min(self.stop - first, self.capacity, max(FEWEST_PIXELS, pace.work // self.parts))
            # Fewer pixels than would fill the card only where a single part of them takes too long.
            count = min(count, max(THREADS, pace.work))
            part = 0
            while part < self.parts:
                most = min(self.parts - part, MOST_PARTS, self.capacity // count)
                piece = Piece(first, count, part, max(1, min(most, pace.work // count)))
                yield piece
                part = piece.stop
            first += count

    def launch(self, piece: Piece) -> None:
        """Start rendering; returns at once."""
        kernels, images = self.kernels, len(self.plans)
        blocks = -(-piece.count // THREADS)
        threads = piece.count if self.bounds is None else self._threads_of_tiles(piece)
        kernels.render_pixels[(-(-threads // THREADS), piece.parts, images), THREADS, self.stream](
            self.tables, piece.first, piece.count, piece.first_part, self.rows_of_part, self.parts,
            self.photons, self.picture, self.outside if self.parts > 1 else self.beyond, *self.variant,
        )  # fmt: skip
        if self.bounds is not None:
            self.every += -(-threads // THREADS) * (THREADS // cuda_tables.WARP) * self._steps_of(piece)
        if self.parts > 1:
            kernels.add_parts[(blocks, 1, images), THREADS, self.stream](
                self.photons, self.outside, piece.count, piece.parts, int(piece.first_part > 0),
                self.sums, self.beyond, self.picture, self.variant[2],
            )  # fmt: skip

    def _threads_of_tiles(self, piece: Piece) -> int:
        """Of all tiles that a run of pixels touches."""
        fast0, fast1, slow0, _ = self.plans[0].detector.roi
        width, last = fast1 - fast0 + 1, piece.first + piece.count - 1
        down, along = cuda_tables.ALONG_SLOW, cuda_tables.ALONG_FAST
        rows = (slow0 + last // width) // down - (slow0 + piece.first // width) // down + 1
        return rows * (fast1 // along - fast0 // along + 1) * cuda_tables.WARP

    def _steps_of(self, piece: Piece) -> float:
        """Orientations in the parts of a piece, each as often as there are sources, sub-pixels and layers."""
        plan, ends = self.plans[0], (piece.first_part, piece.stop)
        rows = len(plan.crystal.phi) * len(plan.crystal.domains)
        first, stop = (min(rows, part * self.rows_of_part) for part in ends)
        return float(stop - first) * plan.detector.layers * plan.oversample**2 * len(plan.sources.weight)

    def fetch_counts(self) -> Counts:
        """What was left out, of all that was launched and waited for."""
        if self.bounds is None:
            return Counts()
        told = np.zeros(cuda_tables.TOLD)
        cards.cuda_provider().copy_to_host(told, self.tables.bounds.told, self.stream)
        self.wait()
        # Of Gaussian spots, each has its share in the tolerance.
        spent = 1.0 if self.plans[0].crystal.shape == GAUSS else told[cuda_tables.SPENT]
        return Counts(float(told[cuda_tables.COUNTED]), self.every, float(spent))

    @property
    def is_warm(self) -> bool:
        """Whether the kernels have run in this place before."""
        return (self.variant, self.bounds is None, self.parts > 1) in self.place.warm

    def warm_up(self) -> None:
        """Have the kernels compiled by a launch of one block that is no part of the image and takes no time."""
        self.launch(Piece(self.first, min(self.stop - self.first, THREADS), self.parts, 1))
        self.wait()
        self.place.warm.add((self.variant, self.bounds is None, self.parts > 1))

    def wait(self) -> None:
        """For everything that was launched."""
        self.stream.synchronize()

    def fetch(self, window: np.ndarray) -> int:
        """Copy the pixels of a finished piece; the number of samples outside the table."""
        counts = np.zeros(len(window) if self.interpolates else 0, np.int64)
        cards.cuda_provider().copy_to_host(window, self.picture, self.stream)
        if self.interpolates:
            cards.cuda_provider().copy_to_host(counts, self.beyond, self.stream)
        self.wait()
        return int(counts.sum())

    def start_fetching(self, piece: Piece, window: np.ndarray, counts: np.ndarray | None) -> None:
        """Queue the copy of a piece's pixels behind its launch, photons or what is counted of them."""
        there, pixels = slice(piece.first, piece.first + len(self.plans) * piece.count), self.picture
        if self.counter is not None:
            self.counter.launch(self.picture, piece.first, piece.count, piece.first > self.first)
            pixels = self.counter.counts
            if piece.first + piece.count == self.stop:
                self.counter.start_fetching()
        cards.cuda_provider().copy_to_host(window[there], pixels, self.stream)
        if counts is not None:
            cards.cuda_provider().copy_to_host(counts[there], self.beyond, self.stream)


def _capacity(batch: Batch, arithmetic: int) -> int:
    """How many parts of pixels the card can buffer; a DeviceError, before anything is allocated, where too few."""
    plan, images, several = batch.plans[0], len(batch.plans), batch.parts > 1
    channels, *shape = cuda_tables.padded_shape(plan.factors)
    rows = sum(len(plan.crystal.phi) * len(plan.crystal.domains) for plan in batch.plans)
    longest = max(math.prod(shape), cuda_tables.ROW * rows, batch.stop)
    if longest >= MOST_NUMBERS:
        raise DeviceError(f"a table or image of {longest} numbers is too long for the GPU: -backend cpu")
    table = 0 if batch.place.factors is not None else channels * math.prod(shape) * (4 if arithmetic else 8)
    around = 8 * cuda_tables.SOURCE * sum(len(plan.sources.weight) for plan in batch.plans)
    around += images * cuda_tables.IMAGE.itemsize
    fixed = 8 * cuda_tables.ROW * rows + around + plan.detector.mask.nbytes
    fixed += 0 if batch.bounds is None else batch.bounds.ceilings.values.nbytes
    of_pixel = images * ((20 if several else 4) + ((16 if several else 8) if batch.interpolates else 0))
    if batch.readings:
        fixed += batch.readings[0].measured.nbytes + images * TALLIES_BYTES
        of_pixel += images * np.dtype(batch.readings[0].integers).itemsize
    most = min((batch.stop - batch.first) * batch.parts, MOST_PIXELS)
    place, asked = batch.place, (fixed, of_pixel, most)
    if table == 0 and place.room is not None and place.room[0] == asked:
        # As for the batch before it: all that it needs is there.
        return place.room[1]
    free, capacity, fixed = cards.cuda_provider().free_bytes(), most, fixed + table
    if fixed + capacity * of_pixel > free:
        # What is there need not be of use, and would be in the way.
        place.give_back()
        free = cards.cuda_provider().free_bytes()
    fewest = FEWEST_PIXELS if images == 1 else capacity
    while fixed + capacity * of_pixel > free:
        if capacity <= fewest:
            raise DeviceError(_too_little(free, fixed + capacity * of_pixel, table, channels, shape))
        capacity //= 2
    place.room = asked, capacity
    return capacity


def _too_little(free: float, needed: float, table: int, channels: int, shape: Sequence[int]) -> str:
    """What is too large for the card, and the size that would fit."""
    said = f"the GPU has {free / 2**30:.3g} GiB free, this image needs {needed / 2**30:.3g} GiB there"
    room = free - (needed - table)
    if table > needed / 2 and room > 0.0:
        fitting = " x ".join(str(int(n * (room / table) ** (1 / 3))) for n in shape)
        of_wavelengths = f" at each of {channels} wavelengths" if channels > 1 else ""
        return (
            f"{said}, most of it for a table of {' x '.join(map(str, shape))} F{of_wavelengths}: one of {fitting} "
            f"would fit; use -precision mixed, F to lower resolution, {'fewer wavelengths, ' * (channels > 1)}"
            "or -backend cpu"
        )
    return f"{said}: use -precision mixed, a smaller table or fewer domains, or -backend cpu"
