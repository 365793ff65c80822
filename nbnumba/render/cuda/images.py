"""Rendering on CUDA cards: one image on one card or several, and many images in a row."""

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import HoldsArrays
from ...choices import Precision
from ...errors import DeviceError
from ...interruption import Worker
from ...kernels.cuda import tables as cuda_tables
from ...kernels.plan import Plan
from ...response.chain import NoiseImage
from ..canvas import Canvas
from . import cards
from .counting import ToCount
from .launches import Batch, Cut, Pace, cut_of
from .left_out import Counts, Told, told_of, why_not_tried
from .memory import LENT_BYTES, Place, same_array, spare_place

FIRST_SHARE = 8
"""The first launch whose time is taken is so much shorter than the count of instructions makes it."""
MOST_SAMPLES_TOGETHER = 1 << 28
"""In a launch of several images, which is never cut: about a millisecond, longer than the host takes to set it up."""
POLL_S = 0.05


# One image --------------------------------------------------------------------------------------------------------


def render_cuda(plan: Plan, canvas: Canvas, precision: Precision = "double", devices: Sequence[int] = (0,)) -> Told:
    """Render one image, launch by launch; what there is to tell of it.

    Parameters
    ----------
    plan : Plan
        Without ``running_product``: what depends on the order of samples is the reference renderer's.
    canvas : Canvas
        Filled, unless it says to stop.
    precision : {"double", "mixed"}
    devices : sequence of int
        Cards; each renders a run of the image's pixels.

    Raises
    ------
    DeviceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    devices = list(dict.fromkeys(devices))
    edges = [canvas.pixels * n // len(devices) for n in range(len(devices) + 1)]
    shares = [share for share in zip(devices, edges[:-1], edges[1:], strict=True) if share[1] < share[2]]
    finished = canvas.cut([first for _, first, _ in shares])
    bands = [
        _Band(plan, precision, device, canvas, finished, number, first, stop)
        for number, (device, first, stop) in enumerate(shares)
    ]
    if len(bands) == 1:
        bands[0].render()
    else:
        _render_together(bands)
    left_out = told_of(plan, [band.counts for band in bands], bands[0].why_all)
    return Told(sum(band.outside for band in bands), left_out)


@dataclass(eq=False, repr=False)
class _Band(HoldsArrays):
    """A run of an image's pixels, which one card renders."""

    plan: Plan
    precision: Precision
    device: int
    canvas: Canvas
    finished: np.ndarray
    """Pixels of each band of the canvas that are."""
    number: int
    first: int
    stop: int
    outside: int = 0
    counts: Counts = Counts()
    why_all: str = ""
    abandoned: bool = False

    def steps(self) -> Iterator[None]:
        """Fill this band of the canvas, a launch at a time."""
        with cards.on(self.device), spare_place(self.device) as place:
            batch = Batch([self.plan], self.precision, place, self.first, self.stop)
            self.why_all = batch.why_all
            pace = Pace(max(1, batch.work_of_launch // FIRST_SHARE))
            if not batch.is_warm:
                with _counted_as_compilation():
                    batch.warm_up()
            for piece in batch.pieces(pace):
                started = time.perf_counter()
                batch.launch(piece)
                batch.wait()
                pace.took(piece.work, time.perf_counter() - started)
                before = piece.first - self.first
                if piece.stop == batch.parts:
                    pixels = self.canvas.run(piece.first, piece.count)
                    self.outside += batch.fetch(pixels)
                    self.canvas.put(piece.first, pixels)
                    self.finished[self.number] = before + piece.count
                self.canvas.done[self.number] = before + piece.count * piece.stop // batch.parts
                yield
            self.counts = batch.fetch_counts()

    def render(self) -> None:
        """All steps, unless nobody waits for them any more."""
        for _ in self.steps():
            if self.abandoned or self.canvas.stop[0]:
                break


def _render_together(bands: Sequence[_Band]) -> None:
    """Each band on its card, all at once."""
    workers = [Worker(band.render) for band in bands]
    try:
        for worker in workers:
            worker.start()
        working = workers
        while working:
            time.sleep(POLL_S)
            ended = [worker for worker in working if not worker.is_alive()]
            working = [worker for worker in working if worker not in ended]
            # What goes wrong on one card ends the others.
            for worker in ended:
                worker.result()
    except BaseException:
        for band in bands:
            band.abandoned = True
        for worker in workers:
            if worker.is_alive():
                worker.join(1.0)
        raise


@contextlib.contextmanager
def _counted_as_compilation() -> Iterator[None]:
    """Let those who listen to Numba know of kernels for a card, of which it says nothing itself."""
    if not cards.cuda_provider().never_compiled():
        yield
        return
    from numba.core import event

    with event.trigger_event("numba:compile"):
        yield


# Many images ------------------------------------------------------------------------------------------------------


def render_many(
    wanted: Iterable[Plan | ToCount], precision: Precision = "double", devices: Sequence[int] = (0,)
) -> Iterator[tuple[np.ndarray | NoiseImage, Told]]:
    """Render images one after the other, several under way at a time; photons or counts, and what to tell, in order.

    Small images that are alike go several to a launch. Cards take turns. On each, one launch goes on while the images
    of the one before it are copied back and those of the one after it are set up, in memory that is used again and
    again; plans that share a table of structure factors find it on the card.

    Raises
    ------
    DeviceError
        As :func:`render_cuda`; images that were yielded before are good.
    """
    devices = list(dict.fromkeys(devices))
    places = {device: (Place(), Place()) for device in devices}
    under_way: deque[tuple[int, Batch]] = deque()
    waiting, failure = _batches(wanted, precision), None
    try:
        for number in itertools.count():
            try:
                together = next(waiting)
            except StopIteration:
                break
            except Exception as error:
                # The images that were begun before are good.
                failure = error
                break
            device = devices[number % len(devices)]
            if len(under_way) == 2 * len(devices):
                yield from _finished(*under_way.popleft())
            first, second = places[device]
            place, other = (first, second) if number // len(devices) % 2 == 0 else (second, first)
            with cards.on(device):
                under_way.append((device, _begun(together, precision, place, other)))
        while under_way:
            yield from _finished(*under_way.popleft())
        if failure is not None:
            raise failure
    finally:
        for device, pair in places.items():
            with contextlib.suppress(DeviceError), cards.on(device):
                for place in pair:
                    place.clear()


def _begun(wanted: Sequence[Plan | ToCount], precision: Precision, place: Place, other: Place) -> Batch:
    """Queue images that are alike and their way back; returns before they are rendered.

    ``other`` may hold the same factors.
    """
    # Where they serve no more, neither place keeps them while others are moved.
    place.factors, other.factors = place.factors or other.factors, None
    readings = [one.reading for one in wanted if isinstance(one, ToCount)]
    batch = Batch([*map(_plan_of, wanted)], precision, place, readings=readings)
    kind = readings[0].integers if readings else np.float32
    for piece in batch.pieces(Pace(batch.work_of_launch)):
        batch.launch(piece)
        if piece.stop == batch.parts:
            size, pinned = len(wanted) * batch.pixels, cards.cuda_provider().cuda.pinned_array
            window = place.space("window", size, kind, place.make_window)
            counts = place.space("counts", size, np.int64, pinned) if batch.interpolates else None
            batch.start_fetching(piece, window, counts)
    other.factors = place.factors
    return batch


def _finished(device: int, batch: Batch) -> list[tuple[np.ndarray | NoiseImage, Told]]:
    """Wait for images: photons or counts, and what to tell of them."""
    with cards.on(device):
        batch.wait()
        counts = batch.fetch_counts()
    window = batch.place.arrays["window"]
    full = window.size == len(batch.plans) * batch.pixels and any(map(_is_whole, batch.plans))
    lent = batch.place.lend_window() if full and window.nbytes >= LENT_BYTES else None
    images: list[tuple[np.ndarray | NoiseImage, Told]] = []
    for number, plan in enumerate(batch.plans):
        there = slice(number * batch.pixels, (number + 1) * batch.pixels)
        outside = int(batch.place.arrays["counts"][there].sum()) if batch.interpolates else 0
        # To be kept by whoever takes it.
        pixels = _placed(plan, window[there], copy=True) if lent is None else _placed(plan, lent[there])
        told = Told(outside, told_of(plan, [counts], batch.why_all))
        images.append((pixels if batch.counter is None else batch.counter.told(number, pixels), told))
    return images


def _batches(wanted: Iterable[Plan | ToCount], precision: Precision) -> Iterator[list[Plan | ToCount]]:
    """What is wanted in order, several together where one launch can render them and does not last."""
    batch: list[Plan | ToCount] = []
    kind: tuple[Any, ...] = ()
    samples, alone = 0, False
    try:
        for one in wanted:
            plan = _plan_of(one)
            cut, kind_before = cut_of(plan), kind
            kind = _kind(plan, cut, precision)
            samples += cut.samples
            alone, alone_before = why_not_tried(plan) is None, alone
            fits = len(batch) < cut.most_together and samples <= MOST_SAMPLES_TOGETHER and kind == kind_before
            fits = fits and not alone and not alone_before
            if batch and not (fits and _share_tables(_plan_of(batch[0]), plan) and _read_alike(batch[0], one)):
                yield batch
                batch, samples = [], cut.samples
            batch.append(one)
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _plan_of(wanted: Plan | ToCount) -> Plan:
    return wanted.plan if isinstance(wanted, ToCount) else wanted


def _read_alike(one: Plan | ToCount, other: Plan | ToCount) -> bool:
    """Whether both are to be counted and may be together, or neither."""
    if isinstance(one, ToCount) and isinstance(other, ToCount):
        return one.reading.goes_with(other.reading)
    return not (isinstance(one, ToCount) or isinstance(other, ToCount))


def _kind(plan: Plan, cut: Cut, precision: Precision) -> tuple[Any, ...]:
    """What is the same for images that share a launch, their tables apart: as many threads, the same kernel."""
    # Whatever the card, what is alike for one with slow float64 is alike for all.
    arithmetic = cuda_tables.chosen_arithmetic(plan, precision, cuda_tables.SLOW_DOUBLE)
    return cut.pixels, cut.rows_of_part, cut.parts, cuda_tables.variant_of(plan, arithmetic), plan.factors.default


def _share_tables(plan: Plan, other: Plan) -> bool:
    return (
        plan.factors.table is other.factors.table
        and same_array(plan.detector.mask, other.detector.mask)
        and same_array(plan.background.table, other.background.table)
    )


def _is_whole(plan: Plan) -> bool:
    """Whether the region of interest is all of the detector."""
    fast0, fast1, slow0, slow1 = plan.detector.roi
    return (slow1 - slow0 + 1, fast1 - fast0 + 1) == (plan.detector.slow_pixels, plan.detector.fast_pixels)


def _placed(plan: Plan, window: np.ndarray, copy: bool = False) -> np.ndarray:
    """The roi's pixels in the image of the whole detector; without ``copy`` they may be the image themselves."""
    detector = plan.detector
    fast0, fast1, slow0, slow1 = detector.roi
    window = window.reshape(slow1 - slow0 + 1, fast1 - fast0 + 1)
    if _is_whole(plan):
        return np.array(window) if copy else window
    image = np.zeros((detector.slow_pixels, detector.fast_pixels), window.dtype)
    image[slow0 : slow1 + 1, fast0 : fast1 + 1] = window
    return image
