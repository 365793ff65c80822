"""One run of the command: read, resolve, render, write, report."""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from ..compiling import without_blas
from ..description import described
from ..errors import NbnumbaError, NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..experiment.quirks import in_order, labels_of
from ..formats.files import replacing, together
from ..formats.frame import Content, Description, Frame
from ..formats.images.smv import smv_geometry, smv_header
from ..image import Image
from ..kernels.compile.cache import CACHE_FOLDER
from ..kernels.compile.jit import Compilation
from ..nanobragg.command import Command, Outputs, Run
from ..render.job import Progress, Rendering, render
from ..seeds import fresh_seed
from ..setup.inputs import read_inputs
from ..setup.panels import stack_shape
from ..setup.resolve import Resolved, resolve
from .inputs import with_cached_factors
from .outputs import Asked, Writer, asked_for, cache_to_write, check_outputs, write_cache
from .report import Finished, Told, as_json, describe, describe_run

HEADER_BYTES = 512


@dataclass
class Clock:
    """Seconds by phase; what Numba spends on compiling counts as its own phase, whenever it happens."""

    compilation: Compilation
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("setup", "compile", "render", "noise", "write", "total"), 0.0)
    )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time as ``name``."""
        began, compiled = time.perf_counter(), self.compilation.seconds
        yield
        spent, compiling = time.perf_counter() - began, self.compilation.seconds - compiled
        self.seconds[name] += spent - compiling
        self.seconds["compile"] += compiling
        self.seconds["total"] += spent


def run(command: Command) -> int:
    """Do what the command line says and return the exit status."""
    with (
        warnings.catch_warnings(record=True) as caught,
        Compilation(first=_say_compiling) as compilation,
        _patient_stdout() as say,
    ):
        # Each once, from whatever lines: what holds for several files is not said for each of them.
        warnings.simplefilter("module", NbnumbaWarning)
        for note in command.notes:
            warnings.warn(note, NbnumbaWarning, stacklevel=2)
        clock = Clock(compilation)
        with clock.phase("setup"):
            experiment = with_cached_factors(command.experiment)
            resolved = resolve(experiment, read_inputs(experiment), seed=fresh_seed())
            _check_pixels(command, resolved)
            turned = _turned(resolved, command.run.images)
            description = described(resolved)
            asked = asked_for(command.outputs, command.run.images, description)
            if not command.run.show:
                check_outputs(command, asked, description)
        met = [*_labels_of_header(description), *_labels_of_counts(asked, command)]
        labels = in_order([*resolved.labels, *command.labels, *met])
        said = _show_warnings(_texts(caught))
        if not command.run.quiet:
            say(describe(resolved, labels, _texts(caught)))
        if command.run.show:
            return 0
        images = _images(resolved, turned, command, clock)
        with nullcontext() if command.run.images > 1 else together():
            run_of = _write(images, command, asked, clock)
            if command.outputs.report_file is not None:
                run_of.files[command.outputs.report_file] = "this report as JSON"
                texts = _texts(caught)
                _write_report(command.outputs.report_file, as_json(run_of, labels, texts, clock.seconds))
        _show_warnings(_texts(caught), said)
        if command.run.trace_pixel is not None:
            from ..comparison.trace import trace_pixel

            say("\n".join(trace_pixel(resolved, *command.run.trace_pixel).lines()))
        for line in _pixel_lines(run_of.first, command.outputs):
            say(line)
        if not command.run.quiet:
            say(describe_run(run_of, clock.seconds))
    return 0


@contextmanager
def _patient_stdout() -> Iterator[Callable[[str], None]]:
    """A print() that raises what went wrong only when the block has ended: files matter more than what is said."""
    failed: list[OSError] = []

    def say(text: str) -> None:
        if not failed:
            try:
                print(text)
            except OSError as error:
                failed.append(error)

    yield say
    if failed:
        raise failed[0]


def _tell(text: str) -> None:
    """Say on stderr; where that is closed, nobody is left to be told so."""
    with suppress(OSError):
        print(f"nbnumba: {text}", file=sys.stderr)


def _say_compiling() -> None:
    kept = "" if CACHE_FOLDER else "; there is no folder to keep them in, so every run will"
    _tell(f"compiling kernels for this machine, once for each kind of crystal{kept}")


def _texts(caught: Iterable[warnings.WarningMessage]) -> list[str]:
    """Each once, however many images it is of."""
    return list(dict.fromkeys(str(warning.message) for warning in caught))


def _show_warnings(texts: list[str], said: int = 0) -> int:
    for text in texts[said:]:
        _tell(f"warning: {text}")
    return len(texts)


def _labels_of_counts(asked: list[Asked], command: Command) -> list[str]:
    is_counted = any(one.content == "counted" for one in asked)
    return labels_of(["counted_in_order"]) if is_counted and command.experiment.noise.rng is None else []


def _labels_of_header(description: Description) -> list[str]:
    if len(description.panels) > 1:  # which no such header describes
        return []
    header = smv_header(smv_geometry(description))
    return labels_of(["header_overflows"]) if len(header) >= HEADER_BYTES else []


def _check_pixels(command: Command, resolved: Resolved) -> None:
    """Say before the work that a pixel to be told about is not there."""
    printed, traced = command.outputs.print_pixels, command.run.trace_pixel
    if command.run.images > 1 and (printed is not None or traced is not None):
        option = "-trace_pixel" if printed is None else "-printout"
        raise UsageError(f"{option} is of one image, and -images {command.run.images} asks for several")
    if traced is not None:
        resolved.check_single_lattice("-trace_pixel: a trace is")
        resolved.check_crystal("-trace_pixel: a trace is")
        resolved.check_placed()
    slow_pixels, fast_pixels = stack_shape(resolved.panels)
    fast_first = {
        "-printout_pixel": None if printed == "all" else printed,
        "-trace_pixel": traced and traced[::-1],
    }
    for option, pixel in fast_first.items():
        if pixel is not None and not (pixel[0] < fast_pixels and pixel[1] < slow_pixels):
            raise UsageError(
                f"{option}: fast {pixel[0]}, slow {pixel[1]} lies outside the detector: "
                f"fast 0 to {fast_pixels - 1}, slow 0 to {slow_pixels - 1} are there"
            )


def _check_photons(photons: np.ndarray) -> None:
    brightest = photons.max()
    if np.isnan(brightest):
        raise UsageError(
            "the image has pixels that are no number: some length, vector or angle is too large or too small"
        )
    if np.isinf(brightest):
        raise UsageError(
            f"the image has pixels of more than {np.finfo(np.float32).max:.2g} photons, which float32 cannot hold: "
            "give less -fluence or -flux, or smaller F"
        )


def _turned(resolved: Resolved, images: int) -> Iterator[Experiment]:
    """The images of a series, which is refused where it cannot be."""
    if images == 1:
        return iter(())
    # Which looks for cards, and takes longer to import than a small image.
    from ..simulation import turned_on

    return turned_on(resolved, images)


def _images(
    resolved: Resolved, turned: Iterator[Experiment], command: Command, clock: Clock
) -> Iterator[tuple[Image, str]]:
    """What is rendered, image by image, and by whom."""
    if command.run.images == 1:
        with clock.phase("render"):
            rendering = _render(resolved, command)
        yield Image(resolved, rendering.photons, rendering.left_out), rendering.backend
        return
    from ..render.backends import How
    from ..render.series import render_series

    settings = command.run
    prepared = (resolve(experiment, read_inputs(experiment)) for experiment in turned)
    how = How(settings.backend, settings.precision, settings.threads, settings.device)
    frames = render_series(prepared, how, "all" if settings.device == "all" else [settings.device])
    with _bar(command, settings.images, "image") as bar:
        for _ in range(settings.images):
            with clock.phase("render"), without_blas():
                frame = next(frames)
            if isinstance(frame, NbnumbaError):
                raise frame
            assert frame.photons is not None
            yield Image(frame.resolved, frame.photons, frame.left_out), frame.backend
            bar.update()


def _render(resolved: Resolved, command: Command) -> Rendering:
    with _bar(command, resolved.pixels, "px") as bar:
        return _render_on(resolved, command.run, lambda done: bar.update(done - bar.n) and None)


@contextmanager
def _bar(command: Command, total: int, unit: str) -> Iterator[Any]:
    """A bar of progress on a terminal; where there is none, what takes the same calls."""
    settings = command.run
    if not settings.progress or settings.quiet or not sys.stderr.isatty():
        yield _NoBar()
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, unit_scale=True, leave=False, file=sys.stderr) as bar:
        yield bar


class _NoBar:
    n = 0

    def update(self, n: int = 1) -> None:
        self.n += n


def _render_on(resolved: Resolved, settings: Run, progress: Progress) -> Rendering:
    with without_blas():
        return render(resolved, settings.backend, settings.precision, settings.threads, progress, settings.device)


def _write(images: Iterator[tuple[Image, str]], command: Command, asked: list[Asked], clock: Clock) -> Finished:
    """Write what is asked for, image by image."""
    first: Image | None = None
    told: list[Told] = []
    backends: dict[str, None] = {}
    with ExitStack() as stack:
        writer = Writer(asked, command.outputs, command.run.images, clock.phase, stack, command.run.threads)
        for image, backend in images:
            _check_photons(image.photons)
            if first is None:
                first, cache = image, cache_to_write(command.experiment)
                if cache is not None:
                    with clock.phase("write"):
                        write_cache(cache, image)
            backends[backend] = None
            told.append(_told(image, writer.write(image)))
    assert first is not None
    return Finished(first, tuple(told), "; ".join(backends), {one.path: one.words for one in asked}, writer.said)


def _told(image: Image, frames: Mapping[Content, Frame]) -> Told:
    counted = frames.get("counted")
    photons, overloads = (None, None) if counted is None else (counted.photons, counted.overloads)
    return Told(image.resolved.scan.start_deg, image.statistics, photons, overloads, image.left_out)


def _write_report(path: str, report: dict[str, Any]) -> None:
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as file:
        # Bytes of a file name that are no UTF-8 become the escapes by which JSON gives them back.
        file.write(text.encode(errors="backslashreplace"))


def _pixel_lines(image: Image, outputs: Outputs) -> Iterator[str]:
    """-printout: fast, slow and photons, of one pixel or of all in the region; panels as they are stacked."""
    printed = outputs.print_pixels
    if printed is None:
        return
    if printed != "all":
        regions = [(0, (printed[0], printed[0], printed[1], printed[1]))]
    else:
        detectors = [plan.detector for plan in image.resolved.plans]
        above = accumulate((detector.slow_pixels for detector in detectors), initial=0)
        regions = [(first, detector.roi) for first, detector in zip(above, detectors, strict=False)]
    for first, (fast0, fast1, slow0, slow1) in regions:
        for slow in range(first + slow0, first + slow1 + 1):
            for fast in range(fast0, fast1 + 1):
                yield f"{fast:4d} {slow:4d} : {float(image.photons[slow, fast]):.9g}"
