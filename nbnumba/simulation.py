"""From an experiment to its image, and from many experiments to theirs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from .choices import BackendName, Device, Precision
from .errors import NbnumbaError, UsageError
from .experiment import Experiment, changed
from .experiment.field import MOST_STEPS
from .image import Image
from .render.backends import How, check_whole, is_all, is_whole
from .render.job import Progress, check_progress, render
from .render.series import Prepared, render_series
from .seeds import fresh_seed, spawned_seed
from .setup.inputs import read_inputs
from .setup.resolve import Resolved, resolve


def simulate(
    experiment: Experiment,
    backend: BackendName = "auto",
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
    How(backend, precision, threads, device)
    check_progress(progress)
    _check_experiment("simulate", experiment)
    resolved = resolve(experiment, read_inputs(experiment), seed=fresh_seed())
    rendering = render(resolved, backend, precision, threads, progress, device)
    return Image(resolved, rendering.photons, rendering.left_out)


def simulate_many(
    experiments: Iterable[Experiment],
    backend: BackendName = "auto",
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
    how = How(backend, precision, threads)
    if not isinstance(experiments, Iterable):
        raise UsageError(f"simulate_many: {type(experiments).__name__} is no list of Experiments")
    if seed is not None and not is_whole(seed):
        raise UsageError(f"seed {seed!r}: give a whole number")
    prepared = _prepared_in_turn(experiments, fresh_seed() if seed is None else int(seed))
    for frame in render_series(prepared, how, numbers):
        if isinstance(frame, NbnumbaError):
            raise frame
        assert frame.photons is not None
        yield Image(frame.resolved, frame.photons, frame.left_out)


def rotation_series(experiment: Experiment, images: int) -> list[Experiment]:
    """The images of a rotation: each begins where the one before it ends, all of one crystal as it lies.

    Parameters
    ----------
    experiment : Experiment
        The first image; its files are read now. What its seed decides is the same in all, but for their noise.
    images : int
        How many.

    Returns
    -------
    list of Experiment
        With what headers gave and the seed that was drawn.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`simulate`; or the crystal does not turn.

    Examples
    --------
    >>> from nbnumba import Experiment, rotation_series
    >>> first = Experiment.from_args(["-cell", "70", "80", "90", "-default_F", "100", "-phi", "5", "-osc", "0.5"])
    >>> [experiment.scan.phi_deg for experiment in rotation_series(first, 3)]
    [5.0, 5.5, 6.0]
    """
    check_whole("images", images, 1)
    _check_experiment("rotation_series", experiment)
    return list(turned_on(resolve(experiment, read_inputs(experiment), seed=fresh_seed()), images))


def turned_on(resolved: Resolved, images: int) -> Iterator[Experiment]:
    """As :func:`rotation_series`, of an experiment in SI; one after the other, but refused at once."""
    first, scan = resolved.experiment, resolved.scan
    if images > MOST_STEPS:
        raise UsageError(f"-images {images}: must be at most {MOST_STEPS}")
    if images > 1 and scan.oscillation_deg == 0.0:
        raise UsageError(f"-images {images} without -osc: all images would be of one orientation; give -osc")
    frame = first.noise.frame
    return (
        changed(
            first,
            scan={"phi_deg": scan.start_deg + number * scan.oscillation_deg},
            noise={"frame": frame + number},
        )
        for number in range(images)
    )


def _prepared_in_turn(experiments: Iterable[Experiment], seed: int) -> Iterator[Prepared]:
    for number, experiment in enumerate(experiments):
        try:
            _check_experiment("simulate_many", experiment)
            prepared: Prepared = resolve(experiment, read_inputs(experiment), seed=spawned_seed(seed, number))
        except NbnumbaError as error:
            prepared = error
        yield prepared


def _check_experiment(what: str, experiment: Any) -> None:
    if not isinstance(experiment, Experiment):
        raise UsageError(f"{what}: {type(experiment).__name__} is no Experiment")


def _numbers(devices: Any) -> list[int] | Literal["all"]:
    """The GPUs that are named, or all of them."""
    if is_all(devices):
        return "all"
    if isinstance(devices, str) or not isinstance(devices, Iterable):
        raise UsageError(f"devices {devices!r}: give the numbers of GPUs in a list, or 'all'")
    numbers = list(devices)
    if not numbers:
        raise UsageError("simulate_many: devices is empty: name a GPU, or 'all'")
    for number in numbers:
        check_whole("device", number, 0)
    return numbers
