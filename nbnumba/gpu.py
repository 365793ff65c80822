"""Rendering on CUDA cards: what there is, what is missing, and how an image is cut into launches."""

import contextlib
import importlib
import itertools
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import HoldsArrays
from .errors import DeviceError
from .kernels.plan import Plan

LAUNCH_S = 0.05
"""A launch should take about this long: Ctrl-C and progress wait for its end."""
FIRST_SHARE = 8
"""The first launch whose time is taken is so much shorter than the count of instructions makes it."""
FEWEST_PIXELS, MOST_PIXELS = 1 << 16, 1 << 22
"""In a launch, each as often as there are parts of its orientations in it; fewer would leave a large card idle."""
MOST_NUMBERS = 1 << 32
"""In a table: kernels count them in 32 bits."""
INSTALL = "pip install 'nbnumba[cuda]'"
INSTALL_OLDER = "pip install 'numba-cuda[cu12]'"
OTHER_TOOLKIT = "set CUDA_HOME to the folder of a CUDA toolkit"
NO_CARD = "the CUDA driver finds no card: check nvidia-smi and CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Card:
    """A CUDA device."""

    number: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True, eq=False, repr=False)
class CudaRendering(HoldsArrays):
    """Photons and how they came about."""

    photons: np.ndarray
    """float32 (slow, fast)."""
    outside: int
    """Samples that were to be interpolated but lie outside the table."""


def seems_present() -> bool:
    """Whether the system shows signs of an NVIDIA card; looks at files only, loads nothing."""
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvcuda.dll").exists()
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version"))


def why_unusable(device: int = 0) -> str | None:
    """Why card number ``device`` cannot render, in one line with the remedy; None where it can."""
    try:
        provider = _provider()
    except ImportError as error:
        return f"no CUDA package ({_first_line(error)}): {INSTALL}"
    if provider.is_simulator:
        return None
    try:
        count = provider.card_count()
    except Exception as error:
        if "NO_DEVICE" in str(error):
            return NO_CARD
        return f"no CUDA driver ({_first_line(error)}): install NVIDIA's driver for the card"
    if not count:
        return NO_CARD
    if not 0 <= device < count:
        return f"there is no card number {device}: the driver finds {count}, numbered from 0"
    compiler = provider.compiler_error()
    if compiler is None:
        return _misfit(device)
    return f"no CUDA compiler ({compiler}; it was looked for in {_compiler_places()}): {INSTALL}, or {OTHER_TOOLKIT}"


def _compiler_places() -> str:
    """Where libnvvm is looked for, one place after the other, but for conda's."""
    named = [f"{name}={os.environ[name]}" for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)]
    return f"the wheel nvidia-nvvm, the loader's folders and {' or '.join(named) or 'CUDA_HOME, which is not set'}"


def _misfit(device: int) -> str | None:
    """Why the compiler that is installed does not serve the driver or the card; None where it does."""
    provider = _provider()
    try:
        driver, compiler = provider.driver_version(), provider.compiler_version()
        card, lowest = provider.capability(device), provider.lowest_capability()
    except Exception:
        # What a provider cannot be asked shows when a kernel is compiled.
        return None
    if driver[0] < compiler[0]:
        return (
            f"the driver serves CUDA {_dotted(driver)}, the compiler is for {_dotted(compiler)}: "
            f"install a newer driver, or {INSTALL_OLDER}"
        )
    if card < lowest:
        return (
            f"card {device} has compute capability {_dotted(card)}, the compiler serves {_dotted(lowest)} and later: "
            f"{INSTALL_OLDER}, or another card"
        )
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def card_numbers() -> list[int]:
    """Numbers of the cards that the driver finds; the simulator's one; none where there is no driver."""
    try:
        provider = _provider()
        return [0] if provider.is_simulator else list(range(provider.card_count()))
    except Exception:
        return []


def cards() -> Iterator[Card | str]:
    """The cards that the driver finds, or why one of them cannot be used; none where there is no driver."""
    if card_numbers() and not _provider().is_simulator:
        yield from map(_described, card_numbers())


def _described(number: int) -> Card | str:
    try:
        return Card(number, *_provider().describe(number))
    except Exception as error:
        return f"card {number} cannot be used ({_first_line(error)}): is it set aside for another process?"


def usable_cards() -> tuple[list[int], list[str]]:
    """Numbers of the cards that can render, the simulator's one too, and why each other one cannot."""
    usable, reasons = [], []
    for number in card_numbers():
        card = None if _provider().is_simulator else _described(number)
        reason = card if isinstance(card, str) else why_unusable(number)
        if reason is None:
            usable.append(number)
        else:
            reasons.append(reason)
    return usable, reasons


def versions() -> dict[str, str]:
    """Who provides CUDA, and the versions and places of what it uses, or why that is not there."""
    try:
        provider = _provider()
    except ImportError:
        return {}
    found = {"provider": provider.name}
    if provider.is_simulator:
        return found
    questions: dict[str, Callable[[], str]] = {
        "driver": lambda: _dotted(provider.driver_version()),
        "toolkit": lambda: _dotted(provider.compiler_version()),
        "compiler": lambda: provider.compiler_library(),
        "linker": lambda: provider.linker(),
    }
    for what, ask in questions.items():
        try:
            found[what] = ask()
        except Exception as error:
            found[what] = f"none ({_first_line(error)})"
    return found


def render_cuda(
    plan: Plan, precision: str = "double", device: int = 0, progress: Callable[[int], None] | None = None
) -> CudaRendering:
    """Render one image on one card, launch by launch.

    Parameters
    ----------
    plan : Plan
        Without ``running_product``: what depends on the order of samples is the reference renderer's.
    precision : {"double", "mixed"}
    device : int
    progress : callable, optional
        Called after every launch with the number of pixels done.

    Raises
    ------
    DeviceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    fast0, fast1, slow0, slow1 = plan.detector.roi
    window = np.empty((fast1 - fast0 + 1) * (slow1 - slow0 + 1), np.float32)
    outside = 0
    for done, beyond in _on_card(device, lambda: _launched(plan, precision, window)):
        outside += beyond
        if progress is not None:
            progress(done)
    return CudaRendering(_placed(plan, window), outside)


def _launched(plan: Plan, precision: str, window: np.ndarray) -> Iterator[tuple[int, int]]:
    """Fill ``window`` with the roi's pixels; after every launch, pixels done so far and new samples outside."""
    job = Job(plan, precision)
    pace = Pace(max(1, job.work_of_launch // FIRST_SHARE))
    with _counted_as_compilation():
        job.launch(Piece(0, min(job.pixels, job.kernels.THREADS), 0, 1))
        job.wait()
    for piece in job.pieces(pace):
        started = time.perf_counter()
        job.launch(piece)
        job.wait()
        pace.took(piece.work, time.perf_counter() - started)
        beyond = 0
        if piece.stop == job.parts:
            beyond = job.fetch(window[piece.first : piece.first + piece.count])
        yield piece.first + piece.count * piece.stop // job.parts, beyond


@contextlib.contextmanager
def _counted_as_compilation() -> Iterator[None]:
    """Let those who listen to Numba know of kernels for a card, of which it says nothing itself."""
    if not _provider().never_compiled():
        yield
        return
    from numba.core import event

    with event.trigger_event("numba:compile"):
        yield


def render_many(
    plans: Iterable[Plan], precision: str = "double", devices: Sequence[int] = (0,)
) -> Iterator[tuple[np.ndarray, int]]:
    """Render images one after the other, several under way at a time; photons and samples outside, in order.

    Cards take turns. On each, one image is rendered while the one before it is copied back and the one after it is
    set up, in memory that is used again and again; plans that share a table of structure factors find it on the card.

    Raises
    ------
    DeviceError
        As :func:`render_cuda`; images that were yielded before are good.
    """
    places = {device: (Place(), Place()) for device in devices}
    under_way: deque[tuple[int, Place]] = deque()
    waiting, failure = iter(plans), None
    try:
        for number in itertools.count():
            try:
                plan = next(waiting)
            except StopIteration:
                break
            except Exception as error:
                # The images that were begun before are good.
                failure = error
                break
            device = devices[number % len(devices)]
            if len(under_way) == 2 * len(devices):
                yield _finished(*under_way.popleft())
            first, second = places[device]
            place, other = (first, second) if number // len(devices) % 2 == 0 else (second, first)
            with on(device):
                place.begin(plan, precision, other)
            under_way.append((device, place))
        while under_way:
            yield _finished(*under_way.popleft())
        if failure is not None:
            raise failure
    finally:
        for device, pair in places.items():
            with contextlib.suppress(DeviceError), on(device):
                for place in pair:
                    place.clear()


def _finished(device: int, place: "Place") -> tuple[np.ndarray, int]:
    with on(device):
        return place.finish()


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
        self.clear()

    def clear(self) -> None:
        """Give the memory back; to be called on the card."""
        self.arrays: dict[str, Any] = {}
        self.factors: _Factors | None = None
        self.job: Job | None = None
        self.stream: Any = None

    def put(self, name: str, array: np.ndarray) -> Any:
        """A host array, copied to the card."""
        kept = self.arrays.get(name)
        if kept is not None and (kept.shape, kept.dtype) == (array.shape, array.dtype):
            kept.copy_to_device(array, stream=self.stream or 0)
        else:
            self.arrays[name] = _provider().cuda.to_device(array, stream=self.stream or 0)
        return self.arrays[name]

    def space(self, name: str, size: int, kind: type, make: Callable[..., Any] | None = None) -> Any:
        """Room for ``size`` numbers, at least; on the card unless ``make`` makes it elsewhere."""
        kept = self.arrays.get(name)
        if kept is None or kept.size < size or kept.dtype != kind:
            self.arrays[name] = (make or _provider().cuda.device_array)(size, kind)
        return self.arrays[name]

    def begin(self, plan: Plan, precision: str, other: "Place") -> None:
        """Queue an image and its way back; returns before it is rendered. ``other`` may hold the same factors."""
        cuda = _provider().cuda
        self.stream = self.stream or cuda.stream()
        self.factors = self.factors or other.factors
        job = self.job = Job(plan, precision, self)
        for piece in job.pieces(Pace(job.work_of_launch)):
            job.launch(piece)
            if piece.stop == job.parts:
                # Page-locked memory, which the card reaches by itself.
                window = self.space("window", job.pixels, np.float32, cuda.pinned_array)
                counts = self.space("counts", job.pixels, np.int64, cuda.pinned_array) if job.interpolates else None
                job.start_fetching(piece, window, counts)
        other.factors = self.factors

    def finish(self) -> tuple[np.ndarray, int]:
        """Wait for the image: photons and samples outside the table."""
        job, self.job = self.job, None
        assert job is not None, "no image was begun"
        self.stream.synchronize()
        outside = int(self.arrays["counts"][: job.pixels].sum()) if job.interpolates else 0
        return _placed(job.host_plan, np.array(self.arrays["window"][: job.pixels])), outside


class Job:
    """One image on the current card: its plan there, and buffers for the pieces in which it is rendered."""

    def __init__(self, plan: Plan, precision: str, place: Place | None = None) -> None:
        from .kernels import cuda as kernels

        place = place or Place()
        self.kernels, self.host_plan, self.stream = kernels, plan, place.stream or 0
        self.interpolates = plan.factors.interpolate > 0
        roi = plan.detector.roi
        self.pixels = (roi[1] - roi[0] + 1) * (roi[3] - roi[2] + 1)
        orientations = len(plan.crystal.phi) * len(plan.crystal.domains)
        around = plan.detector.layers * plan.oversample**2 * len(plan.sources.weight)
        self.rows_of_part = kernels.rows_per_part(self.pixels, orientations, around)
        self.parts = -(-orientations // self.rows_of_part)
        ratio = _provider().singles_per_double()
        arithmetic = kernels.chosen_arithmetic(plan, precision, ratio)
        step_s = kernels.least_seconds_per_step(arithmetic, ratio, _provider().instructions_per_second())
        samples_of_part = around * min(orientations, self.rows_of_part)
        self.work_of_launch = max(1, int(LAUNCH_S / step_s / samples_of_part))
        """Parts of pixels in a launch whose time is not taken, since others wait behind it."""
        self.variant = kernels.variant_of(plan, arithmetic)
        self._move(place, arithmetic, orientations)

    def _move(self, place: Place, arithmetic: int, orientations: int) -> None:
        """Put everything on the card."""
        plan, known = self.host_plan, place.factors
        if known is not None and not known.serve(plan, arithmetic):
            known = place.factors = None
        self.capacity = _capacity(plan, arithmetic, orientations, self.pixels, self.parts, known is not None)
        tables = self.kernels.make_tables(plan, arithmetic, with_factors=known is None)
        if known is None:
            # Not in the place's stream: the images of other streams read it too, and wait for this copy.
            on_card = _provider().cuda.to_device(tables.factors)
            known = place.factors = _Factors(plan.factors.table, plan.factors.default, arithmetic, on_card)
        self.tables = tables._replace(cells=place.put("cells", tables.cells), factors=known.on_card)
        self.plan = _moved(plan, place)
        band = min(self.pixels, self.capacity)
        self.photons = place.space("photons", self.capacity, np.float64)
        self.sums, self.image = place.space("sums", band, np.float64), place.space("image", band, np.float32)
        self.outside = place.space("outside", self.capacity if self.interpolates else 1, np.int64)
        self.beyond = place.space("beyond", band if self.interpolates else 1, np.int64)

    def pieces(self, pace: Pace) -> Iterator[Piece]:
        """Launches that make up the image, each as large as ``pace`` has it by then."""
        first = 0
        while first < self.pixels:
            count = min(self.pixels - first, self.capacity, max(FEWEST_PIXELS, pace.work // self.parts))
            # Fewer pixels than would fill the card only where a single part of them takes too long.
            count = min(count, max(self.kernels.THREADS, pace.work))
            part = 0
            while part < self.parts:
                most = min(self.parts - part, self.kernels.MOST_PARTS, self.capacity // count)
                piece = Piece(first, count, part, max(1, min(most, pace.work // count)))
                yield piece
                part = piece.stop
            first += count

    def launch(self, piece: Piece) -> None:
        """Start rendering; returns at once."""
        kernels, threads = self.kernels, self.kernels.THREADS
        blocks = -(-piece.count // threads)
        kernels.render_pixels[(blocks, piece.parts), threads, self.stream](
            self.plan, self.tables, piece.first, piece.count, piece.first_part, self.rows_of_part,
            self.photons, self.outside, *self.variant,
        )  # fmt: skip
        kernels.add_parts[blocks, threads, self.stream](
            self.photons, self.outside, piece.count, piece.parts, int(piece.first_part > 0),
            self.sums, self.beyond, self.image, self.variant[1],
        )  # fmt: skip

    def wait(self) -> None:
        """For everything that was launched."""
        _provider().cuda.synchronize()

    def fetch(self, window: np.ndarray) -> int:
        """Copy the pixels of a finished piece; the number of samples outside the table."""
        self.image[: len(window)].copy_to_host(window)
        return int(self.beyond[: len(window)].copy_to_host().sum()) if self.interpolates else 0

    def start_fetching(self, piece: Piece, window: np.ndarray, counts: np.ndarray | None) -> None:
        """Queue the copy of a piece's pixels behind its launch."""
        there = slice(piece.first, piece.first + piece.count)
        self.image[: piece.count].copy_to_host(window[there], stream=self.stream)
        if counts is not None:
            self.beyond[: piece.count].copy_to_host(counts[there], stream=self.stream)


def _capacity(plan: Plan, arithmetic: int, orientations: int, pixels: int, parts: int, has_factors: bool) -> int:
    """How many parts of pixels the card can buffer; a DeviceError, before anything is allocated, where too few."""
    cells = math.prod(n + 2 for n in plan.factors.table.shape)
    if max(cells, 9 * orientations) >= MOST_NUMBERS:
        raise DeviceError(f"a table of {max(cells, 9 * orientations)} numbers is too long for the GPU: -backend cpu")
    table = 0 if has_factors else cells * (4 if arithmetic else 8)
    fixed = table + 72 * orientations + plan.detector.mask.nbytes
    of_pixel = 20 + (16 if plan.factors.interpolate else 0)
    free, capacity = _provider().free_bytes(), min(pixels * parts, MOST_PIXELS)
    while fixed + capacity * of_pixel > free:
        if capacity <= FEWEST_PIXELS:
            needed = fixed + capacity * of_pixel
            raise DeviceError(
                f"the GPU has {free / 2**30:.3g} GiB free, this image needs {needed / 2**30:.3g} GiB there: "
                "use -precision mixed, a smaller table or fewer domains, or -backend cpu"
            )
        capacity //= 2
    return capacity


def _placed(plan: Plan, window: np.ndarray) -> np.ndarray:
    """The roi's pixels in the image of the whole detector."""
    detector = plan.detector
    fast0, fast1, slow0, slow1 = detector.roi
    window = window.reshape(slow1 - slow0 + 1, fast1 - fast0 + 1)
    if window.shape == (detector.slow_pixels, detector.fast_pixels):
        return np.array(window)
    photons = np.zeros((detector.slow_pixels, detector.fast_pixels), np.float32)
    photons[slow0 : slow1 + 1, fast0 : fast1 + 1] = window
    return photons


def _moved(plan: Plan, place: Place) -> Plan:
    """The plan with its arrays on the card, but for those that the tables stand for."""

    def there(name: str, *left_out: str) -> Any:
        group = getattr(plan, name)
        arrays = {field: value for field, value in group._asdict().items() if isinstance(value, np.ndarray)}
        for field, value in arrays.items():
            needed = value[:0] if field in left_out else value
            arrays[field] = place.put(f"{name}.{field}", np.ascontiguousarray(needed))
        return group._replace(**arrays)

    return plan._replace(
        detector=there("detector"),
        sources=there("sources"),
        crystal=there("crystal", "phi", "domains"),
        factors=there("factors", "table"),
        background=there("background"),
    )


def _on_card(device: int, work: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """What ``work`` yields on a card; all that it holds there is given back before the card is left."""
    with on(device):
        yield from work()


@contextlib.contextmanager
def on(device: int) -> Iterator[None]:
    """The card made current, and whatever goes wrong on it said in one line."""
    reason = why_unusable(device)
    if reason is not None:
        raise DeviceError(reason)
    try:
        with _provider().cuda.gpus[device]:
            yield
    except (DeviceError, MemoryError):
        raise
    except Exception as error:
        raise DeviceError(_failure(error)) from error


_FAILURES: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("OUT_OF_MEMORY",), (), "the GPU ran out of memory ({text}): close what else runs on it"),
    (
        ("UNSUPPORTED_PTX_VERSION",),
        (),
        "the driver cannot link what a newer compiler made ({text}): "
        f"{INSTALL}, which brings nvJitLink, or install a newer driver",
    ),
    (
        ("Missing libdevice",),
        ("DynamicLibNotFoundError", "FunctionNotFoundError", "NvvmSupportError", "NvrtcSupportError"),
        f"a library of CUDA is missing or of another release ({{text}}): {INSTALL}, or {OTHER_TOOLKIT}",
    ),
    (
        ("INVALID_PTX", "INVALID_IMAGE", "NO_BINARY_FOR_GPU"),
        ("NvvmError", "nvvmError", "LinkerError", "nvJitLinkError", "NvrtcError", "NVRTCError", "NumbaError"),
        "a kernel does not compile for the GPU ({kind}: {text}): report it with what `nbnumba devices` prints",
    ),
    ((), ("Exception",), "the GPU failed ({text}): try again"),
)
"""What may be in an error's text, of which classes it may be, and what is said then; the first row that fits counts.

Numba, numba-cuda and NVIDIA's packages below it each have classes of their own, which are not all installed.
"""


def _failure(error: Exception) -> str:
    text, kind = _first_line(error), type(error)
    classes = {base.__name__ for base in kind.__mro__}
    said = next(said for words, names, said in _FAILURES if classes & {*names} or any(word in text for word in words))
    return f"{said.format(text=text, kind=kind.__name__)}, or use -backend cpu"


def _provider() -> Any:
    return importlib.import_module("nbnumba.kernels.cuda_provider")


def _first_line(error: BaseException) -> str:
    """What an error says first, without the driver's headline."""
    text = str(error).removeprefix("Error at driver init:")
    # Where libraries are not found, a line names them, and then again for each place that has no such file.
    said = [line.partition(": No such file")[0].strip(" :.") for line in text.splitlines()]
    return next((line for line in said if line), type(error).__name__)
