"""Rendering on CUDA cards: what there is, what is missing, and how an image is cut into launches."""

import contextlib
import importlib
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

from .errors import ResourceError
from .kernels.plan import Plan

LAUNCH_S = 0.05
"""A launch should take about this long: Ctrl-C and progress wait for its end."""
FEWEST_PIXELS, MOST_PIXELS = 1 << 16, 1 << 22
"""In a launch; fewer would leave a large card idle."""
INSTALL = "pip install 'nbnumba[cuda]'"


@dataclass(frozen=True)
class Card:
    """A CUDA device."""

    number: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class CudaRendering:
    """Photons and how they came about."""

    photons: np.ndarray
    """float32 (slow, fast)."""
    compile_s: float
    """Seconds until the first block of pixels was done."""
    render_s: float
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
        return f"no CUDA driver ({_first_line(error)}): install NVIDIA's driver for the card"
    if not count:
        return "the CUDA driver finds no card: check nvidia-smi and CUDA_VISIBLE_DEVICES"
    if not 0 <= device < count:
        return f"there is no card number {device}: the driver finds {count}, numbered from 0"
    compiler = provider.compiler_error()
    return None if compiler is None else f"no CUDA compiler ({compiler}): {INSTALL}"


def cards() -> list[Card]:
    """The cards that the driver finds; none where there is no driver."""
    try:
        provider = _provider()
        numbers = range(0 if provider.is_simulator else provider.card_count())
    except Exception:
        return []
    return [Card(number, *provider.describe(number)) for number in numbers]


def versions() -> dict[str, str]:
    """Who provides CUDA, and the driver's version, as far as they can be had."""
    try:
        provider = _provider()
    except ImportError:
        return {}
    found = {"provider": provider.name}
    with contextlib.suppress(Exception):
        found["driver"] = provider.driver_version()
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
    ResourceError
        No usable card, too little memory on it, or a failure of the driver, in one line.
    """
    with _on(device):
        started = time.perf_counter()
        job = Job(plan, precision)
        window = np.empty(job.pixels, np.float32)
        outside = done = 0
        compiled = started
        for count in _launches(job.pixels):
            job.launch(done, count)
            outside += job.fetch(window[done : done + count])
            done += count
            if compiled == started:
                compiled = time.perf_counter()
            if progress is not None:
                progress(done)
        return CudaRendering(_placed(plan, window), compiled - started, time.perf_counter() - compiled, outside)


def render_many(
    plans: Iterable[Plan], precision: str = "double", devices: Sequence[int] = (0,)
) -> Iterator[tuple[np.ndarray, int]]:
    """Render images one after the other, several under way at a time; photons and samples outside, in order.

    Cards take turns. On each, one image is rendered while the one before it is copied back and the one after it is
    set up; plans that share a table of structure factors find it on the card. Launches are not cut: meant for many
    small images.
    """
    factors: dict[int, _Factors] = {}
    under_way: deque[tuple[int, Job]] = deque()
    for number, plan in enumerate(plans):
        device = devices[number % len(devices)]
        with _on(device):
            job = Job(plan, precision, factors.get(device), _provider().cuda.stream())
            factors[device] = job.factors
            job.launch(0, job.pixels)
            job.start_fetching()
        under_way.append((device, job))
        if len(under_way) > len(devices):
            yield _finished(*under_way.popleft())
    while under_way:
        yield _finished(*under_way.popleft())


def _finished(device: int, job: "Job") -> tuple[np.ndarray, int]:
    with _on(device):
        window, outside = job.fetched()
    return _placed(job.host_plan, window), outside


@dataclass(frozen=True)
class _Factors:
    """A table of structure factors that a card holds."""

    table: np.ndarray
    default: float
    arithmetic: int
    on_card: Any

    def serve(self, plan: Plan, arithmetic: int) -> bool:
        """Whether they are those of ``plan``."""
        same = self.table is plan.factors.table and self.default == plan.factors.default
        return same and bool(self.arithmetic) == bool(arithmetic)


class Job:
    """One image on the current card: its plan there, and buffers for ``capacity`` pixels, the same for every launch."""

    def __init__(self, plan: Plan, precision: str, known: _Factors | None = None, stream: Any = 0) -> None:
        from .kernels import cuda as kernels

        self.kernels, self.host_plan, self.stream = kernels, plan, stream
        cuda = _provider().cuda
        roi = plan.detector.roi
        self.pixels = (roi[1] - roi[0] + 1) * (roi[3] - roi[2] + 1)
        orientations = len(plan.crystal.phi) * len(plan.crystal.domains)
        self.rows_of_part = kernels.rows_per_part(self.pixels, orientations)
        self.parts = -(-orientations // self.rows_of_part)
        arithmetic = kernels.chosen_arithmetic(plan, precision, _provider().singles_per_double())
        self.capacity = min(self.pixels, MOST_PIXELS) if stream == 0 else self.pixels
        counted = (self.parts, self.capacity) if plan.factors.interpolate else (1, 1)
        _check_memory(cuda, plan, arithmetic, orientations, self.parts * self.capacity)
        if known is not None and not known.serve(plan, arithmetic):
            known = None
        tables = kernels.make_tables(plan, arithmetic, with_factors=known is None)
        on_card = cuda.to_device(tables.factors, stream=stream) if known is None else known.on_card
        self.factors = _Factors(plan.factors.table, plan.factors.default, arithmetic, on_card)
        self.tables = tables._replace(cells=cuda.to_device(tables.cells, stream=stream), factors=on_card)
        self.plan = _moved(cuda, plan, stream)
        self.variant = (
            kernels.choice(plan.crystal.shape),
            kernels.choice(int(plan.factors.interpolate > 0)),
            kernels.choice(arithmetic),
        )
        self.photons = cuda.device_array((self.parts, self.capacity), np.float64)
        self.outside = cuda.device_array(counted, np.int64)
        self.image = cuda.device_array(self.capacity, np.float32)
        self.beyond = cuda.device_array(counted[1], np.int64)

    def launch(self, first: int, count: int) -> None:
        """Start rendering ``count`` pixels of the roi; returns at once."""
        kernels, threads = self.kernels, self.kernels.THREADS
        blocks = -(-count // threads)
        kernels.render_pixels[(blocks, self.parts), threads, self.stream](
            self.plan, self.tables, first, count, self.rows_of_part, self.photons, self.outside, *self.variant
        )
        kernels.add_parts[blocks, threads, self.stream](
            self.photons, self.outside, count, self.image, self.beyond, self.variant[1]
        )

    def fetch(self, window: np.ndarray) -> int:
        """Wait for the launch and copy its pixels; the number of samples outside the table."""
        self.image[: len(window)].copy_to_host(window)
        return int(self.beyond[: len(window)].copy_to_host().sum()) if self.host_plan.factors.interpolate else 0

    def start_fetching(self) -> None:
        """Queue the copy of the whole image behind the launch, into memory that the card can reach by itself."""
        cuda = _provider().cuda
        self.window = cuda.pinned_array(self.pixels, np.float32)
        self.counts = cuda.pinned_array(self.beyond.shape, np.int64)
        self.image.copy_to_host(self.window, stream=self.stream)
        if self.host_plan.factors.interpolate:
            self.beyond.copy_to_host(self.counts, stream=self.stream)

    def fetched(self) -> tuple[np.ndarray, int]:
        """Wait for that copy."""
        self.stream.synchronize()
        return self.window, int(self.counts.sum()) if self.host_plan.factors.interpolate else 0


def _launches(pixels: int) -> Iterator[int]:
    """How many pixels each launch takes: one block, which waits for the compiler, then what takes ``LAUNCH_S``."""
    from .kernels.cuda import THREADS

    done, count = 0, THREADS
    while done < pixels:
        count = min(count, pixels - done)
        started = time.perf_counter()
        yield count
        seconds = time.perf_counter() - started
        growth = min(4.0, LAUNCH_S / seconds) if done else 0.0
        done += count
        count = min(max(int(count * growth) // THREADS * THREADS, FEWEST_PIXELS), MOST_PIXELS)


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


def _moved(cuda: Any, plan: Plan, stream: Any) -> Plan:
    """The plan with its arrays on the card, but for those that the tables stand for."""

    def there(group: Any, *left_out: str) -> Any:
        arrays = {name: value for name, value in group._asdict().items() if isinstance(value, np.ndarray)}
        for name, value in arrays.items():
            needed = value[:0] if name in left_out else value
            arrays[name] = cuda.to_device(np.ascontiguousarray(needed), stream=stream)
        return group._replace(**arrays)

    return plan._replace(
        detector=there(plan.detector),
        sources=there(plan.sources),
        crystal=there(plan.crystal, "phi", "domains"),
        factors=there(plan.factors, "table"),
        background=there(plan.background),
    )


def _check_memory(cuda: Any, plan: Plan, arithmetic: int, orientations: int, buffered: int) -> None:
    """Raise a ResourceError, before anything is allocated, for what the card cannot hold."""
    table = math.prod(n + 2 for n in plan.factors.table.shape) * (4 if arithmetic else 8)
    buffers = buffered * (8 + (16 if plan.factors.interpolate else 0) + 4)
    needed = table + 72 * orientations + plan.detector.mask.nbytes + buffers
    free = cuda.current_context().get_memory_info().free
    if needed > free:
        raise ResourceError(
            f"the GPU has {free / 2**30:.3g} GiB free, this image needs {needed / 2**30:.3g} GiB there: "
            "use -precision mixed, a smaller table or fewer domains, or -backend cpu"
        )


@contextlib.contextmanager
def _on(device: int) -> Iterator[None]:
    """The card made current, and whatever goes wrong on it said in one line."""
    reason = why_unusable(device)
    if reason is not None:
        raise ResourceError(reason)
    try:
        with _provider().cuda.gpus[device]:
            yield
    except (ResourceError, MemoryError):
        raise
    except Exception as error:
        text = _first_line(error)
        if "OUT_OF_MEMORY" in text:
            raise ResourceError(
                f"the GPU ran out of memory ({text}): close what else runs on it, or use -backend cpu"
            ) from error
        raise ResourceError(f"the GPU failed ({text}): try again, or use -backend cpu") from error


def _provider() -> Any:
    return importlib.import_module("nbnumba.kernels.cuda_provider")


def _first_line(error: BaseException) -> str:
    """What an error says, without the driver's headlines and empty lines."""
    lines = [line.strip(" :.") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Error at driver init")]
    return said[0] if said else type(error).__name__
