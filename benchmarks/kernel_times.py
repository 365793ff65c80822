"""What an image takes on the card, not what the host takes to start it: all launches are queued before the first runs.

A kernel that sleeps goes first. While it does, the host queues an event, images, an event; if the first event has not
come by then, the card found the next launch waiting every time, and the two events tell the card's own time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from nbnumba.choices import Precision
from nbnumba.kernels.choices import SQUARE, Arithmetic
from nbnumba.kernels.cuda import tables as cuda_tables
from nbnumba.kernels.plan import Plan
from nbnumba.render.cuda import cards
from nbnumba.render.cuda.launches import Batch, Pace
from nbnumba.render.cuda.memory import Place

MOST_IMAGES = 8
"""Queued in a row."""
MOST_LAUNCHES = 250
"""Queued at a time: a driver that holds some thousand lets the host wait."""
LONG_ENOUGH_S = 0.2
"""Images in a row need not take longer."""


@dataclass(frozen=True)
class Launcher:
    """An image on the current card, ready to be rendered again and again."""

    launch: Callable[[], None]
    """Queues all launches of the image, cut as in a series of images; returns at once."""
    launches: int
    grid: str
    """Blocks of the first launch along x and y, and how many orientations a thread sums."""
    arithmetic: str
    floor_ps: float | None
    """Of a step if all units of the card were always busy; None where nobody counted the instructions."""
    code: Callable[[], tuple[int, int] | None]
    """Registers and bytes of local memory of a thread, once launched; None in the simulator, which has no code."""


@dataclass(frozen=True)
class CardTime:
    """How long an image takes."""

    milliseconds: list[float]
    """On the card, by round; each is a mean over images in a row."""
    host_ms: float
    """What the host needs to queue one."""
    gaps: bool
    """Whether the card waited for the host in every round: then these are times of the host."""


def launcher_of(plan: Plan, precision: Precision, most_registers: int | None = None) -> Launcher:
    """The one place here that knows how an image is cut and launched.

    ``most_registers``: of a thread; None for the kernel as it is.
    """
    from nbnumba.kernels.cuda import render as kernels

    provider = cards.cuda_provider()
    batch = Batch([plan], precision, Place())
    kernel = _kernel_of(batch.variant, most_registers)
    batch.kernels = SimpleNamespace(**{**vars(kernels), "render_pixels": kernel})
    pieces = list(batch.pieces(Pace(batch.work_of_launch)))

    def launch() -> None:
        for piece in pieces:
            batch.launch(piece)

    def code() -> tuple[int, int] | None:
        if provider.is_simulator:
            return None
        return _only(kernel.get_regs_per_thread()), _only(kernel.get_local_mem_per_thread())

    chosen, ratio = len(batch.variant[-1]), provider.singles_per_double()
    least_s = cuda_tables.least_seconds_per_step(chosen, ratio, provider.instructions_per_second())
    counted = plan.crystal.shape == SQUARE and not plan.factors.interpolate
    return Launcher(
        launch,
        len(pieces),
        f"{-(-pieces[0].count // cuda_tables.THREADS)} x {pieces[0].parts}, {batch.rows_of_part} rows",
        Arithmetic(chosen).name,
        1e12 * least_s if counted else None,
        code,
    )


@cache
def _kernel_of(variant: Any, most_registers: int | None) -> Any:
    """The kernel for one variant alone, so that what it says of its code is of this one."""
    from nbnumba.kernels.cuda import render as kernels

    provider = cards.cuda_provider()
    if provider.is_simulator:
        return kernels.render_pixels
    function = kernels.render_pixels.py_func
    return (
        provider.kernel(function)
        if most_registers is None
        else provider.cuda.jit(max_registers=most_registers)(function)
    )


def _only(of_signatures: dict[Any, int]) -> int:
    return next(iter(of_signatures.values()))


def time_queued(launcher: Launcher, rounds: int) -> CardTime:
    """Time an image on the current card, after two that do not count."""
    cuda = cards.cuda_provider().cuda
    launcher.launch()
    cuda.synchronize()
    began = time.perf_counter()
    launcher.launch()
    host_s = time.perf_counter() - began
    cuda.synchronize()
    image_s = time.perf_counter() - began
    images = max(1, min(MOST_IMAGES, MOST_LAUNCHES // launcher.launches, int(LONG_ENOUGH_S / image_s)))
    asleep_ms = 5 + int(4e3 * host_s * images)
    queued, late = [], []
    for _ in range(2 * rounds):
        milliseconds, in_time = _behind_sleep(launcher, images, asleep_ms)
        (queued if in_time else late).append(milliseconds)
        asleep_ms *= 1 if in_time else 2
        if len(queued) == rounds:
            break
    return CardTime(queued or late, 1e3 * host_s, not queued)


def _behind_sleep(launcher: Launcher, images: int, asleep_ms: int) -> tuple[float, bool]:
    """Milliseconds an image, and whether all were queued before the card began with the first."""
    provider = cards.cuda_provider()
    before, after = provider.cuda.event(), provider.cuda.event()
    if not provider.is_simulator:
        _sleeper()[1, 1](asleep_ms)
    before.record()
    for _ in range(images):
        launcher.launch()
    after.record()
    # The simulator is done with a launch when it returns.
    in_time = not provider.is_simulator and not before.query()
    after.synchronize()
    return before.elapsed_time(after) / images, in_time


@cache
def _sleeper() -> Any:
    cuda = cards.cuda_provider().cuda

    @cuda.jit
    def sleep(milliseconds):
        for _ in range(milliseconds):
            cuda.nanosleep(1_000_000)

    # Compiled and loaded before it is needed.
    sleep[1, 1](0)
    cuda.synchronize()
    return sleep
