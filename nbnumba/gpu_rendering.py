"""Rendering on CUDA cards: how images are cut into launches and put together, and what lies in a card's memory."""

import contextlib
import itertools
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import gpu
from .arrays import HoldsArrays
from .errors import DeviceError
from .interruption import Worker
from .kernels import cuda_tables
from .kernels.cuda_tables import MOST_PARTS, THREADS
from .kernels.plan import Plan

LAUNCH_S = 0.05
"""A launch should take about this long: Ctrl-C and progress wait for its end."""
FIRST_SHARE = 8
"""The first launch whose time is taken is so much shorter than the count of instructions makes it."""
FEWEST_PIXELS, MOST_PIXELS = 1 << 16, 1 << 22
"""In a launch, each as often as there are parts of its orientations in it; fewer would leave a large card idle."""
MOST_NUMBERS = 1 << 32
"""In a table, or pixels in an image: kernels count them in 32 bits."""
MOST_TOGETHER, MOST_SAMPLES_TOGETHER = 16, 1 << 30
"""Images in a launch, and samples if there are several: such a launch is never cut."""
COMPARED_BYTES = 1 << 20
"""Up to so many an array is compared with the one that the card has, to stay there if it is the same."""
PINNED = ("window", "counts")
"""Arrays of a place that lie in the host's memory, page-locked: the card reaches them by itself."""
LENT_BYTES, MOST_LENT = 1 << 20, 4
"""A finished image of so many bytes or more is not copied out of page-locked memory, as long as not more of a place's
images than that are in somebody's hands."""
SPARE_BYTES = 1 << 30
"""Of the memory that is kept on a card from one single image to the next."""
POLL_S = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class CudaRendering(HoldsArrays):
    """Photons and how they came about."""

    photons: np.ndarray
    """float32 (slow, fast)."""
    outside: int
    """Samples that were to be interpolated but lie outside the table."""


# One image --------------------------------------------------------------------------------------------------------


def render_cuda(
    plan: Plan,
    precision: str = "double",
    devices: Sequence[int] = (0,),
    progress: Callable[[int], None] | None = None,
) -> CudaRendering:
    """Render one image, launch by launch.

    Parameters
    ----------
    plan : Plan
        Without ``running_product``: what depends on the order of samples is the reference renderer's.
    precision : {"double", "mixed"}
    devices : sequence of int
        Cards; each renders a run of the image's pixels.
    progress : callable, optional
        Called now and then with the number of pixels done.

    Raises
    ------
    DeviceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    devices = list(dict.fromkeys(devices))
    window = np.empty(_cut(plan).pixels, np.float32)
    edges = [len(window) * n // len(devices) for n in range(len(devices) + 1)]
    bands = [
        _Band(plan, precision, device, window, first, stop)
        for device, first, stop in zip(devices, edges[:-1], edges[1:], strict=True)
        if first < stop
    ]
    if len(bands) == 1:
        for _ in bands[0].steps():
            if progress is not None:
                progress(bands[0].done)
    else:
        _render_together(bands, progress)
    return CudaRendering(_placed(plan, window), sum(band.outside for band in bands))


@dataclass(eq=False, repr=False)
class _Band(HoldsArrays):
    """A run of an image's pixels, which one card renders."""

    plan: Plan
    precision: str
    device: int
    window: np.ndarray
    first: int
    stop: int
    done: int = 0
    outside: int = 0
    abandoned: bool = False

    def steps(self) -> Iterator[None]:
        """Fill this band of the window, a launch at a time."""
        with gpu.on(self.device), _spare_place(self.device) as place:
            job = Job([self.plan], self.precision, place, self.first, self.stop)
            pace = Pace(max(1, job.work_of_launch // FIRST_SHARE))
            with _counted_as_compilation():
                job.warm_up()
                job.wait()
            for piece in job.pieces(pace):
                started = time.perf_counter()
                job.launch(piece)
                job.wait()
                pace.took(piece.work, time.perf_counter() - started)
                if piece.stop == job.parts:
                    self.outside += job.fetch(self.window[piece.first : piece.first + piece.count])
                self.done = piece.first - self.first + piece.count * piece.stop // job.parts
                yield

    def render(self) -> None:
        """All steps, unless nobody waits for them any more."""
        for _ in self.steps():
            if self.abandoned:
                break


def _render_together(bands: Sequence[_Band], progress: Callable[[int], None] | None) -> None:
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
            if progress is not None:
                progress(sum(band.done for band in bands))
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
    if not gpu.cuda_provider().never_compiled():
        yield
        return
    from numba.core import event

    with event.trigger_event("numba:compile"):
        yield


# Many images ------------------------------------------------------------------------------------------------------


def render_many(
    plans: Iterable[Plan], precision: str = "double", devices: Sequence[int] = (0,)
) -> Iterator[tuple[np.ndarray, int]]:
    """Render images one after the other, several under way at a time; photons and samples outside, in order.

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
    under_way: deque[tuple[int, Place]] = deque()
    waiting, failure = _batches(plans, precision), None
    try:
        for number in itertools.count():
            try:
                batch = next(waiting)
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
            with gpu.on(device):
                place.begin(batch, precision, other)
            under_way.append((device, place))
        while under_way:
            yield from _finished(*under_way.popleft())
        if failure is not None:
            raise failure
    finally:
        for device, pair in places.items():
            with contextlib.suppress(DeviceError), gpu.on(device):
                for place in pair:
                    place.clear()


def _finished(device: int, place: "Place") -> list[tuple[np.ndarray, int]]:
    with gpu.on(device):
        return place.finish()


def _batches(plans: Iterable[Plan], precision: str) -> Iterator[list[Plan]]:
    """Plans in order, several together where one launch can render them and neither fills the card twice nor lasts."""
    batch: list[Plan] = []
    kind: tuple[Any, ...] = ()
    samples = 0
    try:
        for plan in plans:
            cut, kind_before = _cut(plan), kind
            kind = _kind(plan, cut, precision)
            samples += cut.samples
            fits = len(batch) < cut.most_together and samples <= MOST_SAMPLES_TOGETHER and kind == kind_before
            if batch and not (fits and _share_tables(batch[0], plan)):
                yield batch
                batch, samples = [], cut.samples
            batch.append(plan)
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _kind(plan: Plan, cut: "_Cut", precision: str) -> tuple[Any, ...]:
    """What is the same for images that share a launch, their tables apart: as many threads, the same kernel."""
    # Whatever the card, what is alike for one with slow float64 is alike for all.
    arithmetic = cuda_tables.chosen_arithmetic(plan, precision, cuda_tables.SLOW_DOUBLE)
    return cut.pixels, cut.rows_of_part, cut.parts, cuda_tables.variant_of(plan, arithmetic), plan.factors.default


def _share_tables(plan: Plan, other: Plan) -> bool:
    return (
        plan.factors.table is other.factors.table
        and _same(plan.detector.mask, other.detector.mask)
        and _same(plan.background.stol, other.background.stol)
        and _same(plan.background.stol_factor, other.background.stol_factor)
    )


class _Cut(NamedTuple):
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
        """How many such images fill a card in one launch."""
        if self.parts > MOST_PARTS:
            return 1
        return max(1, min(MOST_TOGETHER, cuda_tables.ENOUGH_THREADS // (self.pixels * self.parts)))


def _cut(plan: Plan) -> _Cut:
    fast0, fast1, slow0, slow1 = plan.detector.roi
    pixels = (fast1 - fast0 + 1) * (slow1 - slow0 + 1)
    orientations = len(plan.crystal.phi) * len(plan.crystal.domains)
    around = plan.detector.layers * plan.oversample**2 * len(plan.sources.weight)
    rows = cuda_tables.rows_per_part(pixels, orientations, around)
    return _Cut(pixels, rows, -(-orientations // rows), pixels * orientations * around)


def _same(array: np.ndarray, other: np.ndarray) -> bool:
    """Whether one can stand for the other, as far as it is worth finding out."""
    if array is other:
        return True
    alike = array.dtype == other.dtype and array.shape == other.shape and array.nbytes <= COMPARED_BYTES
    return alike and (array.nbytes == 0 or array.tobytes() == other.tobytes())


# A card's memory --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class _Factors(HoldsArrays):
    """A table of structure factors that a card holds."""

    table: np.ndarray
    default: float
    arithmetic: int
    on_card: Any

    def serve(self, plan: Plan, arithmetic: int) -> bool:
        """Whether they are those of ``plan``."""
        same = self.table is plan.factors.table and self.default == plan.factors.default
        return same and bool(self.arithmetic) == bool(arithmetic)


class Place:
    """Memory on a card, and what goes on in it: used again for one image after another."""

    def __init__(self) -> None:
        self._forget()

    def clear(self) -> None:
        """Give the memory back; to be called on the card."""
        self._forget()
        gpu.cuda_provider().give_back()

    def _forget(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.sent: dict[str, np.ndarray] = {}
        self.room: tuple[tuple[int, ...], int] | None = None
        """What the last job asked for, and the capacity that it got."""
        self.windows: list[np.ndarray] = []
        """Page-locked memory of images that nobody holds any more."""
        self.lent = 0
        """How many of its images are in somebody's hands, or have come back as windows."""
        self.factors: _Factors | None = None
        self.job: Job | None = None
        self.stream: Any = None

    @property
    def nbytes(self) -> int:
        """Memory that it holds on the card, structure factors apart."""
        return sum(array.nbytes for name, array in self.arrays.items() if name not in PINNED)

    def give_back(self) -> None:
        """Hold no more on the card than structure factors."""
        self.arrays = {name: array for name, array in self.arrays.items() if name in PINNED}
        self.sent, self.room = {}, None

    def put(self, name: str, array: np.ndarray) -> Any:
        """A host array, copied to the card unless it is there."""
        kept = self.arrays.get(name)
        if kept is not None and _same(self.sent[name], array):
            return kept
        if kept is not None and (kept.shape, kept.dtype) == (array.shape, array.dtype):
            gpu.cuda_provider().copy_to_card(kept, array, self.stream)
        else:
            self.arrays.pop(name, None)
            self.arrays[name] = gpu.cuda_provider().cuda.to_device(array, stream=self.stream)
        self.sent[name] = array
        return self.arrays[name]

    def space(self, name: str, size: int, kind: type, make: Callable[..., Any] | None = None) -> Any:
        """Room for ``size`` numbers, at least; on the card unless ``make`` makes it elsewhere."""
        kept = self.arrays.get(name)
        if kept is None or kept.size < size:
            self.arrays.pop(name, None)
            self.arrays[name] = (make or gpu.cuda_provider().cuda.device_array)(size, kind)
        return self.arrays[name]

    def begin(self, plans: Sequence[Plan], precision: str, other: "Place") -> None:
        """Queue images that are alike and their way back; returns before they are rendered.

        ``other`` may hold the same factors.
        """
        # Where they serve no more, neither place keeps them while others are moved.
        self.factors, other.factors = self.factors or other.factors, None
        job = self.job = Job(plans, precision, self)
        for piece in job.pieces(Pace(job.work_of_launch)):
            job.launch(piece)
            if piece.stop == job.parts:
                size, pinned = len(plans) * job.pixels, gpu.cuda_provider().cuda.pinned_array
                window = self.space("window", size, np.float32, self._window)
                counts = self.space("counts", size, np.int64, pinned) if job.interpolates else None
                job.start_fetching(piece, window, counts)
        other.factors = self.factors

    def finish(self) -> list[tuple[np.ndarray, int]]:
        """Wait for the images: photons and samples outside the table."""
        job, self.job = self.job, None
        assert job is not None, "no image was begun"
        self.stream.synchronize()
        images = []
        for number, plan in enumerate(job.plans):
            there = slice(number * job.pixels, (number + 1) * job.pixels)
            outside = int(self.arrays["counts"][there].sum()) if job.interpolates else 0
            images.append((self._image(plan, there), outside))
        return images

    def _window(self, size: int, kind: type) -> np.ndarray:
        """Page-locked memory for one image: such as came back, or new."""
        while self.windows:
            window = self.windows.pop()
            self.lent -= 1
            if window.size >= size:
                return window
        return gpu.cuda_provider().cuda.pinned_array(size, kind)

    def _image(self, plan: Plan, there: slice) -> np.ndarray:
        """A finished image, to be kept by whoever takes it: lent, if it is all of the window, else copied out."""
        window = self.arrays["window"]
        detector = plan.detector
        whole = window[there].size == window.size == detector.slow_pixels * detector.fast_pixels
        in_hands = self.lent - len(self.windows)
        if not whole or window.nbytes < LENT_BYTES or in_hands >= MOST_LENT:
            return _placed(plan, window[there], copy=True)
        self.lent += 1
        del self.arrays["window"]
        return _placed(plan, np.asarray(_Lent(window, self.windows)))


class _Lent:
    """Page-locked memory of an image, which goes back when nobody holds the image or a part of it any more."""

    def __init__(self, window: np.ndarray, windows: list[np.ndarray]) -> None:
        self.__array_interface__ = window.__array_interface__
        self._window, self._windows = window, windows

    def __del__(self) -> None:
        self._windows.append(self._window)


_spare_places: dict[int, list[Place]] = defaultdict(list)
_spare_lock = threading.Lock()


@contextlib.contextmanager
def _spare_place(device: int) -> Iterator[Place]:
    """Memory on the current card that an earlier single image has left, or new; left to the next if all went well."""
    with _spare_lock:
        place = _spare_places[device].pop() if _spare_places[device] else Place()
    try:
        yield place
    except BaseException:
        # On a card that is lost this, too, may fail.
        with contextlib.suppress(Exception):
            place.clear()
        raise
    with _spare_lock:
        factors = 0 if place.factors is None else place.factors.on_card.nbytes
        if not _spare_places[device] and place.nbytes + factors <= SPARE_BYTES:
            _spare_places[device].append(place)
            return
    place.clear()


# Launches ---------------------------------------------------------------------------------------------------------


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


class Job:
    """Images that are alike, on the current card: their tables there, and room for the pieces of which they are made.

    ``first``, ``stop``: the band of pixels to be rendered, of a single image; by default all.
    """

    def __init__(
        self, plans: Sequence[Plan], precision: str, place: Place, first: int = 0, stop: int | None = None
    ) -> None:
        from .kernels import cuda

        plan = plans[0]
        self.kernels, self.plans, self.place = cuda, plans, place
        place.stream = place.stream or gpu.cuda_provider().cuda.stream()
        self.stream = place.stream
        self.interpolates = plan.factors.interpolate > 0
        cut = _cut(plan)
        self.pixels, self.rows_of_part, self.parts = cut.pixels, cut.rows_of_part, cut.parts
        self.first, self.stop = first, self.pixels if stop is None else stop
        ratio = gpu.cuda_provider().singles_per_double()
        arithmetic = cuda_tables.chosen_arithmetic(plan, precision, ratio)
        step_s = cuda_tables.least_seconds_per_step(arithmetic, ratio, gpu.cuda_provider().instructions_per_second())
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
            on_card = gpu.cuda_provider().cuda.to_device(cuda_tables.padded_factors(plan, arithmetic))
            place.factors = _Factors(plan.factors.table, plan.factors.default, arithmetic, on_card)
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
            amorphous=place.put("amorphous", np.stack([plan.background.stol, plan.background.stol_factor])),
        )
        band = min(self.stop - self.first, self.capacity)
        several = self.parts > 1
        self.picture = place.space("picture", images * band, np.float32)
        self.photons = place.space("photons", images * self.capacity if several else 1, np.float64)
        self.sums = place.space("sums", images * band if several else 1, np.float64)
        self.beyond = place.space("beyond", images * band if self.interpolates else 1, np.int64)
        counted = self.interpolates and several
        self.outside = place.space("outside", images * self.capacity if counted else 1, np.int64)

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
        kernels.render_pixels[(blocks, piece.parts, images), THREADS, self.stream](
            self.tables, piece.first, piece.count, piece.first_part, self.rows_of_part, self.parts,
            self.photons, self.picture, self.outside if self.parts > 1 else self.beyond, *self.variant,
        )  # fmt: skip
        if self.parts > 1:
            kernels.add_parts[(blocks, 1, images), THREADS, self.stream](
                self.photons, self.outside, piece.count, piece.parts, int(piece.first_part > 0),
                self.sums, self.beyond, self.picture, self.variant[2],
            )  # fmt: skip

    def warm_up(self) -> None:
        """Have the kernels compiled by a launch of one block that is no part of the image and takes no time."""
        self.launch(Piece(self.first, min(self.stop - self.first, THREADS), self.parts, 1))

    def wait(self) -> None:
        """For everything that was launched."""
        self.stream.synchronize()

    def fetch(self, window: np.ndarray) -> int:
        """Copy the pixels of a finished piece; the number of samples outside the table."""
        counts = np.zeros(len(window) if self.interpolates else 0, np.int64)
        gpu.cuda_provider().copy_to_host(window, self.picture, self.stream)
        if self.interpolates:
            gpu.cuda_provider().copy_to_host(counts, self.beyond, self.stream)
        self.wait()
        return int(counts.sum())

    def start_fetching(self, piece: Piece, window: np.ndarray, counts: np.ndarray | None) -> None:
        """Queue the copy of a piece's pixels behind its launch. What a detector makes of photons would go before it."""
        there = slice(piece.first, piece.first + len(self.plans) * piece.count)
        gpu.cuda_provider().copy_to_host(window[there], self.picture, self.stream)
        if counts is not None:
            gpu.cuda_provider().copy_to_host(counts[there], self.beyond, self.stream)


def _capacity(job: Job, arithmetic: int) -> int:
    """How many parts of pixels the card can buffer; a DeviceError, before anything is allocated, where too few."""
    plan, images, several = job.plans[0], len(job.plans), job.parts > 1
    shape = tuple(n + 2 for n in plan.factors.table.shape)
    rows = sum(len(plan.crystal.phi) * len(plan.crystal.domains) for plan in job.plans)
    longest = max(math.prod(shape), cuda_tables.ROW * rows, job.stop)
    if longest >= MOST_NUMBERS:
        raise DeviceError(f"a table or image of {longest} numbers is too long for the GPU: -backend cpu")
    table = 0 if job.place.factors is not None else math.prod(shape) * (4 if arithmetic else 8)
    around = 8 * cuda_tables.SOURCE * sum(len(plan.sources.weight) for plan in job.plans)
    around += images * cuda_tables.IMAGE.itemsize
    fixed = 8 * cuda_tables.ROW * rows + around + plan.detector.mask.nbytes
    of_pixel = images * ((20 if several else 4) + ((16 if several else 8) if job.interpolates else 0))
    most = min((job.stop - job.first) * job.parts, MOST_PIXELS)
    place, asked = job.place, (fixed, of_pixel, most)
    if table == 0 and place.room is not None and place.room[0] == asked:
        # As for the job before it: all that it needs is there.
        return place.room[1]
    free, capacity, fixed = gpu.cuda_provider().free_bytes(), most, fixed + table
    if fixed + capacity * of_pixel > free:
        # What is there need not be of use, and would be in the way.
        place.give_back()
        free = gpu.cuda_provider().free_bytes()
    fewest = FEWEST_PIXELS if images == 1 else capacity
    while fixed + capacity * of_pixel > free:
        if capacity <= fewest:
            raise DeviceError(_too_little(free, fixed + capacity * of_pixel, table, shape))
        capacity //= 2
    place.room = asked, capacity
    return capacity


def _too_little(free: float, needed: float, table: int, shape: tuple[int, ...]) -> str:
    """What is too large for the card, and the size that would fit."""
    said = f"the GPU has {free / 2**30:.3g} GiB free, this image needs {needed / 2**30:.3g} GiB there"
    room = free - (needed - table)
    if table > needed / 2 and room > 0.0:
        fitting = " x ".join(str(int(n * (room / table) ** (1 / 3))) for n in shape)
        return (
            f"{said}, most of it for a table of {' x '.join(map(str, shape))} F: one of {fitting} would fit; "
            "use -precision mixed, F to lower resolution, or -backend cpu"
        )
    return f"{said}: use -precision mixed, a smaller table or fewer domains, or -backend cpu"


def _placed(plan: Plan, window: np.ndarray, copy: bool = False) -> np.ndarray:
    """The roi's pixels in the image of the whole detector; without ``copy`` they may be the image themselves."""
    detector = plan.detector
    fast0, fast1, slow0, slow1 = detector.roi
    window = window.reshape(slow1 - slow0 + 1, fast1 - fast0 + 1)
    if window.shape == (detector.slow_pixels, detector.fast_pixels):
        return np.array(window) if copy else window
    photons = np.zeros((detector.slow_pixels, detector.fast_pixels), np.float32)
    photons[slow0 : slow1 + 1, fast0 : fast1 + 1] = window
    return photons
