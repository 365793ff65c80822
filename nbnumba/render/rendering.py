"""From a resolved experiment to photons, on the backend that is asked for."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, get_args

import numba
import numpy as np

from ..arrays import HoldsArrays
from ..compiling import compiling
from ..errors import DeviceError, NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..image import Image
from ..interruption import Worker
from ..kernels.choices import DOUBLE
from ..kernels.cuda import tables as cuda_tables
from ..kernels.plan import Plan
from ..seeds import fresh_seed, spawned_seed
from ..setup.inputs import read_inputs
from ..setup.resolve import Resolved, resolve
from .cuda import cards as gpu
from .cuda import images as gpu_rendering

Backend = Literal["auto", "cpu", "cuda", "reference"]
Precision = Literal["double", "mixed"]
Device = int | Literal["all"]
"""Number of the GPU that renders, or all of them together."""
Progress = Callable[[int], None]
"""Called now and then with the number of pixels done."""

POLL_S = 0.05
FOREVER = 1 << 62


@dataclass(frozen=True, eq=False, repr=False)
class Rendering(HoldsArrays):
    """The image and how it came about."""

    photons: np.ndarray
    """float32 (slow, fast)."""
    backend: str
    """Who rendered it, and why not another where that needs saying."""


def simulate(
    experiment: Experiment,
    backend: Backend = "auto",
    precision: Precision = "double",
    threads: int | None = None,
    progress: Progress | None = None,
    device: Device = 0,
) -> Image:
    """Simulate the diffraction image of an experiment.

    Parameters
    ----------
    experiment : Experiment
        What is simulated; its files are read now.
    backend : {"auto", "cpu", "cuda", "reference"}
        Who renders; "auto" takes a usable GPU, else the CPU.
    precision : {"double", "mixed"}
        Arithmetic of the lattice factor; geometry is always float64.
    threads : int, optional
        CPU threads; all cores by default. The image does not depend on it.
    progress : callable, optional
        Called with the number of pixels done so far.
    device : int or "all"
        Which GPU, where one renders; or all that can be used, each of which takes a share of the image.

    Returns
    -------
    Image
        Photons per pixel, float32 (slow, fast).

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment, its files or the machine, in one line.

    Warns
    -----
    NbnumbaWarning
        What was assumed or adjusted; or one of all GPUs cannot be used.

    Examples
    --------
    >>> import nbnumba
    >>> image = nbnumba.simulate(nbnumba.Experiment.from_args(
    ...     ["-cell", "70", "80", "90", "-default_F", "100", "-N", "5", "-detpixels", "32", "-pixel", "1"]))
    >>> image.photons.shape
    (32, 32)
    """
    _check_how(backend, precision, threads, progress, device)
    _check_experiment("simulate", experiment)
    resolved = resolve(experiment, read_inputs(experiment), seed=fresh_seed())
    rendering = render(resolved, backend, precision, threads, progress, device)
    return Image(resolved, rendering.photons)


def simulate_many(
    experiments: Iterable[Experiment],
    backend: Backend = "auto",
    precision: Precision = "double",
    devices: Sequence[int] | Literal["all"] = (0,),
    threads: int | None = None,
    seed: int | None = None,
) -> Iterator[Image]:
    """Simulate one experiment after the other, in order.

    A table of F is made once for all experiments that share what decides it: the list or the coordinates, the solvent,
    the resolution that the detector reaches. On a GPU it is also moved there once.

    Parameters
    ----------
    experiments : iterable of Experiment
        Taken one by one, while earlier ones are rendered; on a GPU some dozens of small ones before the first image.
    backend, precision : str
        As in :func:`simulate`; where "auto" begins on GPUs and one of them fails, the CPU goes on.
    devices : sequence of int, or "all"
        GPUs that take turns, where GPUs render; or all that can be used.
    threads : int, optional
        CPU threads, where the CPU renders; all cores by default.
    seed : int, optional
        That of the series: an experiment without a seed gets one that follows from this one and its place, so that
        no two frames share their noise or their random orientation. Drawn from the system's entropy by default.

    Yields
    ------
    Image
        In the order of the experiments; the seed of each is in ``image.experiment.noise.seed``.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`simulate`, at the experiment that is wrong; images before it were yielded.

    Warns
    -----
    NbnumbaWarning
        As :func:`simulate`; or a GPU failed, and the CPU goes on.

    Examples
    --------
    >>> from nbnumba import Experiment, changed, simulate_many
    >>> still = Experiment.from_args(["-cell", "70", "80", "90", "-default_F", "100", "-detpixels", "32"])
    >>> turned = [changed(still, scan={"phi_deg": phi}) for phi in (10.0, 20.0)]
    >>> [image.experiment.scan.phi_deg for image in simulate_many(turned)]
    [10.0, 20.0]
    """
    numbers = _numbers(devices)
    _check_how(backend, precision, threads, None)
    if not isinstance(experiments, Iterable):
        raise UsageError(f"simulate_many: {type(experiments).__name__} is no list of Experiments")
    if seed is not None and not _is_whole(seed):
        raise UsageError(f"seed {seed!r}: give a whole number")
    cards, _ = _chosen_cards(backend, numbers)
    in_turn = _resolved_in_turn(experiments, fresh_seed() if seed is None else int(seed))
    if not cards:
        yield from _one_by_one(in_turn, backend, precision, threads)
        return
    waiting: deque[Resolved] = deque()
    try:
        yield from _on_gpus(in_turn, waiting, precision, cards)
    except DeviceError as error:
        if backend == "cuda":
            raise
        warnings.warn(f"the CPU goes on: {error}", NbnumbaWarning, stacklevel=2)
        yield from _one_by_one(chain(waiting, in_turn), "cpu", precision, threads)


def _one_by_one(
    in_turn: Iterable[Resolved], backend: Backend, precision: Precision, threads: int | None
) -> Iterator[Image]:
    backend = "cpu" if backend == "auto" else backend
    for resolved in in_turn:
        yield Image(resolved, render(resolved, backend, precision, threads).photons)


def _on_gpus(
    in_turn: Iterator[Resolved], waiting: deque[Resolved], precision: Precision, devices: Sequence[int]
) -> Iterator[Image]:
    """Images in order; ``waiting`` holds those that were begun and not yielded yet."""

    def plans() -> Iterator[Plan]:
        for resolved in in_turn:
            waiting.append(resolved)
            if _depends_on_order(resolved.plan):
                return
            yield resolved.plan

    going_on = True
    while going_on:
        for photons, outside in gpu_rendering.render_many(plans(), precision, devices):
            if outside:
                _warn_outside()
            yield Image(waiting.popleft(), photons)
        # What is left is an image that cannot go in a row with others.
        going_on = bool(waiting)
        if going_on:
            single = render(waiting[0], "cuda", precision, device=devices[0])
            yield Image(waiting.popleft(), single.photons)


def _depends_on_order(plan: Plan) -> bool:
    """Whether, in mode c, something in an image is as it is because of what was evaluated before."""
    return bool(plan.running_product or plan.crystal.phi_carryover or plan.factors.interpolate == 2)


def _resolved_in_turn(experiments: Iterable[Experiment], seed: int) -> Iterator[Resolved]:
    for number, experiment in enumerate(experiments):
        _check_experiment("simulate_many", experiment)
        yield resolve(experiment, read_inputs(experiment), seed=spawned_seed(seed, number))


def render(
    resolved: Resolved,
    backend: Backend = "auto",
    precision: Precision = "double",
    threads: int | None = None,
    progress: Progress | None = None,
    device: Device = 0,
) -> Rendering:
    """Photons of a resolved experiment; Ctrl-C ends it within a fraction of a second."""
    _check_how(backend, precision, threads, progress, device)
    plan = resolved.plan
    if backend == "reference" or plan.running_product:
        why = "" if backend == "reference" else ": oversampled factors of mode c multiply in serial order (C-11)"
        return _render_reference(resolved, progress, "reference" + why)
    cards, why = _chosen_cards(backend, "all" if device == "all" else [device])
    if cards:
        try:
            rendering, outside = _render_cuda(resolved, precision, progress, cards)
        except DeviceError as error:
            if backend == "cuda":
                raise
            cards, why = [], f": {error}"
    if not cards:
        rendering, outside = _render_cpu(resolved, precision, threads, progress)
        rendering = replace(rendering, backend=rendering.backend + why)
    if not outside:
        return rendering
    if plan.factors.interpolate == 2:
        return _render_reference(
            resolved, progress, "reference: interpolation left the table, after which mode c has none (C-10)"
        )
    _warn_outside()
    return rendering


def _check_how(backend: Any, precision: Any, threads: Any, progress: Any, device: Any = 0) -> None:
    """Raise a UsageError for what no rendering can be told, before any work is done."""
    for name, value, known in (("backend", backend, get_args(Backend)), ("precision", precision, get_args(Precision))):
        if not isinstance(value, str) or value not in known:
            raise UsageError(f"{name} {value!r}: give {', '.join(known[:-1])} or {known[-1]}")
    if threads is not None:
        _check_whole("threads", threads, 1)
    if not _is_all(device):
        _check_whole("device", device, 0, ", or 'all'")
    if progress is not None and not callable(progress):
        raise UsageError(f"progress {progress!r}: give a function that takes the number of pixels done")


def _check_whole(name: str, value: Any, least: int, otherwise: str = "") -> None:
    if not _is_whole(value) or value < least:
        raise UsageError(f"{name} {value!r}: give a whole number, {least} or more{otherwise}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_all(value: Any) -> bool:
    return isinstance(value, str) and value == "all"


def _numbers(devices: Any) -> list[int] | Literal["all"]:
    """The GPUs that are named, or all of them."""
    if _is_all(devices):
        return "all"
    if isinstance(devices, str) or not isinstance(devices, Iterable):
        raise UsageError(f"devices {devices!r}: give the numbers of GPUs in a list, or 'all'")
    numbers = list(devices)
    if not numbers:
        raise UsageError("simulate_many: devices is empty: name a GPU, or 'all'")
    for number in numbers:
        _check_whole("device", number, 0)
    return numbers


def _check_experiment(what: str, experiment: Any) -> None:
    if not isinstance(experiment, Experiment):
        raise UsageError(f"{what}: {type(experiment).__name__} is no Experiment")


def _chosen_cards(backend: Backend, devices: list[int] | Literal["all"]) -> tuple[list[int], str]:
    """The GPUs that render, and why none where one seems to be there; asked for in vain, it is an error.

    Warns
    -----
    NbnumbaWarning
        Of all GPUs some cannot be used.
    """
    if backend in ("cpu", "reference"):
        return [], ""
    if backend == "auto" and not gpu.seems_present():
        return [], ": no GPU with NVIDIA's driver is here"
    cards, reasons = gpu.usable_cards() if devices == "all" else _named_cards(devices)
    if cards:
        for reason in reasons:
            warnings.warn(f"not every GPU renders: {reason}", NbnumbaWarning, stacklevel=3)
        return cards, ""
    why = reasons[0] if reasons else gpu.why_unusable()
    if backend == "cuda":
        raise DeviceError(f"-backend cuda: {why}")
    return [], f": {why}"


def _named_cards(devices: list[int]) -> tuple[list[int], list[str]]:
    """All of them or, where the first cannot be used, none, and why."""
    reason = gpu.why_unusable(devices[0])
    return (devices, []) if reason is None else ([], [reason])


def _render_cuda(
    resolved: Resolved, precision: Precision, progress: Progress | None, cards: Sequence[int]
) -> tuple[Rendering, float]:
    plan = resolved.plan
    cuda = gpu_rendering.render_cuda(plan, precision, cards, progress)
    if plan.crystal.phi_carryover:
        _render_first_pixel(plan, cuda.photons)
    numbers = ", ".join(map(str, cards))
    backend = f"cuda, {'device' if len(cards) == 1 else 'devices'} {numbers}"
    if precision == "mixed" and cuda_tables.chosen_arithmetic(plan, precision) == DOUBLE:
        backend += ", in double: mixed saves nothing for these spots"
    return Rendering(cuda.photons, backend), cuda.outside


def _render_cpu(
    resolved: Resolved, precision: Precision, threads: int | None, progress: Progress | None
) -> tuple[Rendering, float]:
    plan = resolved.plan
    most = numba.config.NUMBA_NUM_THREADS
    threads = most if threads is None else int(threads)
    if threads > most:
        raise UsageError(f"-threads {threads}: this machine takes 1 to {most}")
    photons = np.zeros((plan.detector.slow_pixels, plan.detector.fast_pixels), np.float32)
    done = np.zeros(plan.detector.slow_pixels, np.int64)
    stop = np.zeros(1, np.int64)

    def prepare() -> Callable[[], float]:
        from ..kernels.cpu import render as cpu

        tables = cpu.make_tables(plan, plan.factors.interpolate > 0)
        args = (plan, tables, photons, np.zeros(1, np.int64), done, stop, *cpu.variant_of(plan, precision == "mixed"))
        cpu.render.compile(tuple(numba.typeof(arg) for arg in args))
        return lambda: cpu.render(*args)

    outside = sum(_run(compiling(prepare), threads, done, stop, progress))
    if plan.crystal.phi_carryover:
        _render_first_pixel(plan, photons)
    return Rendering(photons, f"cpu, {threads} threads"), outside


def _render_reference(resolved: Resolved, progress: Progress | None, backend: str) -> Rendering:
    plan = resolved.plan
    photons = np.zeros((plan.detector.slow_pixels, plan.detector.fast_pixels), np.float32)
    done = np.zeros(plan.detector.slow_pixels, np.int64)
    stop = np.zeros(1, np.int64)

    def prepare() -> tuple[Any, Callable[[], Any]]:
        from ..kernels import reference

        memory = reference.fresh_memory(plan)
        args = (plan, memory, photons, done, stop, FOREVER)
        reference.render.compile(tuple(numba.typeof(arg) for arg in args))
        return memory, lambda: reference.render(*args)

    memory, work = compiling(prepare)
    _run(work, 1, done, stop, progress)
    if memory.outside[0] and plan.factors.interpolate == 1:
        _warn_outside()
    return Rendering(photons, backend)


def _render_first_pixel(plan: Any, photons: np.ndarray) -> None:
    """Mode c: the very first sample of an image finds the unrotated cell where its φ is 0 (C-9)."""
    if len(plan.crystal.phi) > 1 and plan.crystal.phi[0] == 0.0:

        def work() -> None:
            from ..kernels import reference

            done, stop = np.zeros(plan.detector.slow_pixels, np.int64), np.zeros(1, np.int64)
            reference.render(plan, reference.fresh_memory(plan), photons, done, stop, 1)

        compiling(work)


def _run(
    work: Callable[[], Any], threads: int, done: np.ndarray, stop: np.ndarray, progress: Progress | None
) -> list[Any]:
    """Run a kernel in threads of its own, so that this one can report progress and hear Ctrl-C; what each returns."""
    workers = [Worker(work) for _ in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(POLL_S)
                if progress is not None:
                    progress(int(done.sum()))
    except BaseException:
        stop[0] = 1
        for worker in workers:
            if worker.is_alive():
                worker.join(1.0)
        raise
    return [worker.result() for worker in workers]


def _warn_outside() -> None:
    warnings.warn(
        "interpolation was asked for outside the table of structure factors: default_F was taken there",
        NbnumbaWarning,
        stacklevel=4,
    )
