"""An image under way: it can be looked at, broken off and waited for."""

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..arrays import HoldsArrays
from ..choices import BackendName, Device, Precision
from ..errors import DeviceError, NbnumbaError, NbnumbaWarning, UsageError
from ..interruption import Worker
from ..kernels.plan import Plan
from ..left_out import LeftOut
from ..setup.added import with_added
from ..setup.panels import stacked
from ..setup.resolve import Resolved
from .backends import How, Outcome, in_turn
from .canvas import Canvas, Partial
from .left_out import DARK, all_evaluated, together

T = TypeVar("T")

Progress = Callable[[int], None]
"""Called now and then with the number of pixels done."""

POLL_S = 0.05
PATIENCE_S = 1.0
"""For a job to end that was broken off."""
CANCELLED = "the rendering was cancelled"
OUTSIDE = "interpolation was asked for outside the table of structure factors: default_F was taken there"


class CancelledError(NbnumbaError):
    """The result was asked for of a job that was cancelled."""


@dataclass(frozen=True, eq=False, repr=False)
class Rendering(HoldsArrays):
    """The image and how it came about."""

    photons: np.ndarray
    """float32 (slow, fast); of several panels, one above the other."""
    backend: str
    """Who rendered it, and why not another where that needs saying."""
    left_out: LeftOut | None = None
    """What was left out; None where nothing may be."""


class Job:
    """Plans that are being rendered in threads of their own, one after the other: those of each panel's lattices.

    What lattices give a pixel is added in float64. Any thread may ask.
    """

    def __init__(self, panels: Sequence[Sequence[Plan]], how: How, added: np.ndarray | None = None) -> None:
        """For each panel the plans of all lattices; photons to be added to the image of all."""
        self._added = added
        self._plans, self._how = [plan for lattices in panels for plan in lattices], how
        self._lattices = len(panels[0])
        self._stop = np.zeros(1, np.int64)
        self.notes: list[str] = []
        """What is to be told as warnings; complete once the job has ended."""
        self._canvases = [Canvas(plan, self._stop, self.notes) for plan in self._plans]
        self._changing = threading.Lock()
        self._worker = Worker(self._rendered)

    def begin(self) -> None:
        """Start the threads; a ResourceError where the system gives none."""
        self._worker.start()

    @property
    def pixels(self) -> int:
        """How many there are in the region of interest."""
        return sum(canvas.pixels for canvas in self._canvases) // self._lattices

    @property
    def pixels_done(self) -> int:
        """How many are done; a card counts its share of unfinished ones, and each lattice is a share of all."""
        return sum(int(canvas.done.sum()) for canvas in self._canvases) // self._lattices

    @property
    def progress(self) -> float:
        """Share of the pixels that are done, 0 to 1."""
        return self.pixels_done / self.pixels

    def partial(self) -> Partial:
        """The image so far, and which of its pixels are finished."""
        parts = self._by_panel([canvas.partial() for canvas in self._canvases])
        finished = [np.logical_and.reduce([part.finished for part in lattices]) for lattices in parts]
        photons = [_added([part.photons for part in lattices]) for lattices in parts]
        done = stacked(finished)
        return Partial(np.where(done, with_added(stacked(photons), self._added), np.float32(0.0)), done)

    def _by_panel(self, each: Sequence[T]) -> list[Sequence[T]]:
        """What there is for each plan: for each panel that of all lattices."""
        return [each[first : first + self._lattices] for first in range(0, len(each), self._lattices)]

    def cancel(self) -> None:
        """Have the threads end within a fraction of a second; what is being compiled is compiled first."""
        with self._changing:
            for canvas in self._canvases:
                canvas.freeze()
            self._stop[0] = 1

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job has ended, or so long; whether it has."""
        if self._worker.is_alive():
            self._worker.join(timeout_s)
        return not self._worker.is_alive()

    def result(self) -> Rendering:
        """The image, once it is whole; the same however often it is asked for.

        Raises
        ------
        CancelledError
            The job was cancelled before.
        NbnumbaError
            What went wrong.
        """
        self.wait()
        return self._worker.result()

    def _rendered(self) -> Rendering:
        outcomes = [self._rendered_plan(number) for number in range(len(self._plans))]
        photons = self._by_panel([canvas.photons for canvas in self._canvases])
        image = with_added(stacked([_added(lattices) for lattices in photons]), self._added)
        said = dict.fromkeys(outcome.said for outcome in outcomes)
        left_out = together(self._plans, [outcome.left_out for outcome in outcomes], self._lattices)
        return Rendering(image, "; ".join(said), left_out)

    def _rendered_plan(self, number: int) -> Outcome:
        """Have a plan rendered by the first backend that serves it and does not fail; what it tells."""
        plan, how, reason, tried = self._plans[number], self._how, "", False
        if plan.background.scale == 0.0 and not len(plan.crystal.domains):
            self._canvases[number].leave_dark()
            return Outcome(DARK, 0.0, all_evaluated(plan, DARK))
        for backend in in_turn(how.backend):
            why = backend.why_not(plan, 0.0)
            if why is None:
                canvas, tried = self._canvas(number, fresh=tried), True
                try:
                    outcome = backend.render(plan, how, canvas)
                    why = backend.why_not(plan, outcome.outside)
                except DeviceError as error:
                    if how.backend != "auto":
                        raise
                    why = str(error)
            if self._stop[0]:
                raise CancelledError(CANCELLED)
            if why is None:
                if outcome.outside and plan.factors.interpolate == 1:
                    self.notes.append(OUTSIDE)
                return outcome._replace(said=outcome.said + reason)
            reason = f": {why}"
        raise AssertionError("the last backend serves every plan")

    def _canvas(self, number: int, fresh: bool) -> Canvas:
        """Where a backend is to render: after one that failed another one, which is not cut in the other's runs."""
        with self._changing:
            if self._stop[0]:
                raise CancelledError(CANCELLED)
            if fresh:
                self._canvases[number] = Canvas(self._plans[number], self._stop, self.notes)
            return self._canvases[number]


def _added(images: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of float32 images, rounded once; a single one as it is."""
    if len(images) == 1:
        return images[0]
    total = images[0].astype(np.float64)
    for image in images[1:]:
        total += image
    # What float32 cannot hold becomes infinite, as in a single image.
    with np.errstate(over="ignore"):
        return total.astype(np.float32)


def _plans_of(resolved: Resolved) -> list[Sequence[Plan]]:
    """For each panel those of all lattices."""
    return list(zip(resolved.plans, *(lattice.plans for lattice in resolved.lattices), strict=True))


def start(
    resolved: Resolved,
    backend: BackendName = "auto",
    precision: Precision = "double",
    threads: int | None = None,
    device: Device = 0,
) -> Job:
    """Begin to render a resolved experiment; returns at once.

    Parameters
    ----------
    resolved : Resolved
        What is rendered.
    backend, precision, threads, device
        As in :func:`nbnumba.simulate`.

    Returns
    -------
    Job
        Ask it for progress, the image so far, and the result.

    Raises
    ------
    UsageError, ResourceError
        A choice that there is not; no thread is to be had.
    """
    job = Job(_plans_of(resolved), How(backend, precision, threads, device), resolved.added)
    job.begin()
    return job


def render(
    resolved: Resolved,
    backend: BackendName = "auto",
    precision: Precision = "double",
    threads: int | None = None,
    progress: Progress | None = None,
    device: Device = 0,
) -> Rendering:
    """Photons of a resolved experiment; Ctrl-C ends it within a fraction of a second."""
    how = How(backend, precision, threads, device)
    check_progress(progress)
    job = Job(_plans_of(resolved), how, resolved.added)
    try:
        job.begin()
        ended = False
        while not ended:
            ended = job.wait(POLL_S)
            if progress is not None:
                progress(job.pixels_done)
        return job.result()
    except BaseException:
        job.cancel()
        job.wait(PATIENCE_S)
        raise
    finally:
        for note in dict.fromkeys(job.notes):
            warnings.warn(note, NbnumbaWarning, stacklevel=3)


def check_progress(progress: Any) -> None:
    """Raise a UsageError for what cannot be told the number of pixels done."""
    if progress is not None and not callable(progress):
        raise UsageError(f"progress {progress!r}: give a function that takes the number of pixels done")
