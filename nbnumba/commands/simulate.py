"""One run of the command: read, resolve, render, write, report."""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from ..description import described
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment, changed
from ..experiment.quirks import in_order, labels_of, quirks_of
from ..formats.dump import write_dump
from ..formats.files import check_writable, is_replaceable, replacing, together
from ..formats.frame import Content, Description
from ..formats.images.smv import smv_geometry, smv_header
from ..formats.registry import Format, holding, options_of, write
from ..image import Image
from ..kernels.compile.cache import CACHE_FOLDER
from ..kernels.compile.jit import Compilation
from ..nanobragg.command import Command, Outputs, Run
from ..render.job import Progress, Rendering, render
from ..seeds import fresh_seed
from ..setup.inputs import read_inputs
from ..setup.resolve import Resolved, resolve
from .report import as_json, describe, describe_image

DUMP = "Fdump.bin"
HEADER_BYTES = 512


class Output(NamedTuple):
    """An image that the command line can ask for."""

    option: str
    field: str
    """Of :class:`Outputs`, which holds its path."""
    content: Content
    otherwise: str
    """Its format where the file's suffix names none that holds this content."""
    words: str
    """What it is; {} stands for the format."""


OUTPUTS = (
    Output("-floatfile", "float_file", "photons", "float32", "photons, {}"),
    Output("-intfile", "int_file", "scaled", "SMV", "{} without noise"),
    Output("-pgmfile", "pgm_file", "gray", "PGM", "gray levels"),
    Output("-png", "png_file", "picture", "PNG", "picture with resolution rings"),
    Output("-noisefile", "noise_file", "counted", "SMV", "{} as photons are counted"),
)
"""In the order in which they are written."""


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
            _warn(note)
        clock = Clock(compilation)
        with clock.phase("setup"):
            experiment = with_cached_factors(command.experiment)
            resolved = resolve(experiment, read_inputs(experiment), seed=fresh_seed())
            _check_pixels(command, resolved)
            description = described(resolved)
            if not command.run.show:
                _check_outputs(command)
                for _, path, image_format, options in _asked_for(command.outputs):
                    image_format.check(path, description, resolved.experiment.readout.adc_offset or 0.0, **options)
        labels = in_order([*resolved.labels, *command.labels, *_labels_of_header(description)])
        said = _show_warnings(caught, 0)
        if not command.run.quiet:
            say(describe(resolved, labels, [str(w.message) for w in caught]))
        if command.run.show:
            return 0
        with clock.phase("render"):
            rendering = _render(resolved, command)
        _check_photons(rendering)
        image = Image(resolved, rendering.photons)
        with together():
            files, scales = _write(image, command, clock)
            if command.outputs.report_file is not None:
                files[command.outputs.report_file] = "this report as JSON"
                texts = [str(w.message) for w in caught]
                _write_report(command.outputs.report_file, as_json(
                    image, labels, texts, rendering.backend, clock.seconds, files))  # fmt: skip
        _show_warnings(caught, said)
        if command.run.trace_pixel is not None:
            from ..comparison.trace import trace_pixel

            say("\n".join(trace_pixel(resolved, *command.run.trace_pixel).lines()))
        for line in _pixel_lines(image, command.outputs):
            say(line)
        if not command.run.quiet:
            say(describe_image(image.statistics, rendering.backend, clock.seconds, files, scales))
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


def _show_warnings(caught: list[warnings.WarningMessage], said: int) -> int:
    for warning in caught[said:]:
        _tell(f"warning: {warning.message}")
    return len(caught)


def _labels_of_header(description: Description) -> list[str]:
    header = smv_header(smv_geometry(description))
    return labels_of(["header_overflows"]) if len(header) >= HEADER_BYTES else []


def with_cached_factors(experiment: Experiment) -> Experiment:
    """Without a list of reflections, the cache of an earlier run is read if it is there.

    Warns
    -----
    NbnumbaWarning
        It is read; or it is asked for and missing.
    """
    factors = experiment.structure_factors
    if factors.hkl_file is not None or factors.coordinate_file is not None or factors.reflections is not None:
        return experiment
    cache = factors.dump_file or DUMP
    if os.path.exists(cache):  # which also takes names that no file can have
        _warn(f"structure factors are read from {cache}, of an earlier run")
        return changed(experiment, structure_factors={"dump_file": cache})
    if factors.dump_file is not None:
        _warn(f"-dump {cache}: there is no such file, nor -hkl to make it from; every F is {factors.default_f:g}")
    return experiment


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=3)


def _cache_to_write(experiment: Experiment) -> str | None:
    """Where the table of -hkl goes in binary: where -dump asks for it, in mode c always (C-18)."""
    factors = experiment.structure_factors
    if factors.hkl_file is None:
        return None
    return factors.dump_file or (DUMP if quirks_of(experiment).dump_always_written else None)


def _write_cache(path: str, image: Image) -> None:
    table, default_f = image.resolved.table, image.experiment.structure_factors.default_f
    write_dump(path, table.bounds, table.values[0])
    if table.outside != default_f:
        _warn(
            f"{path} does not say that F is {table.outside:g} beyond the resolution of its reflections: read with "
            f"-default_F {default_f:g}, it is {default_f:g} there"
        )


def _check_pixels(command: Command, resolved: Resolved) -> None:
    """Say before the work that a pixel to be told about is not there."""
    detector, printed, traced = resolved.plan.detector, command.outputs.print_pixels, command.run.trace_pixel
    if traced is not None:
        resolved.check_single_lattice("-trace_pixel: a trace is")
    fast_first = {
        "-printout_pixel": None if printed == "all" else printed,
        "-trace_pixel": traced and traced[::-1],
    }
    for option, pixel in fast_first.items():
        if pixel is not None and not (pixel[0] < detector.fast_pixels and pixel[1] < detector.slow_pixels):
            raise UsageError(
                f"{option}: fast {pixel[0]}, slow {pixel[1]} lies outside the detector: "
                f"fast 0 to {detector.fast_pixels - 1}, slow 0 to {detector.slow_pixels - 1} are there"
            )


def _check_photons(rendering: Rendering) -> None:
    brightest = rendering.photons.max()
    if np.isnan(brightest):
        raise UsageError(
            "the image has pixels that are no number: some length, vector or angle is too large or too small"
        )
    if np.isinf(brightest):
        raise UsageError(
            f"the image has pixels of more than {np.finfo(np.float32).max:.2g} photons, which float32 cannot hold: "
            "give less -fluence or -flux, or smaller F"
        )


def _check_outputs(command: Command) -> None:
    """Say before the work, not after it, that a file cannot be written or would be written over by another."""
    outputs = command.outputs
    paths = {
        **{output.option: getattr(outputs, output.field) for output in OUTPUTS},
        "-report": outputs.report_file,
        "-dump": _cache_to_write(command.experiment),
    }
    options: dict[str, str] = {}
    inputs = {os.path.realpath(path) for path in input_files(command)}
    for option, path in paths.items():
        if path is None:
            continue
        check_writable(path)
        if os.path.realpath(path) in inputs and is_replaceable(path):
            raise UsageError(f"{option} {path} would be written over a file that the run reads: give another name")
        other = options.setdefault(os.path.realpath(path), option)
        if other != option and is_replaceable(path):
            raise UsageError(f"{other} and {option} are both {path}: give each a file of its own")


def input_files(command: Command) -> Iterator[str]:
    """The files that a command names to be read; the cache of structure factors, which may be written, is none."""
    if command.experiment_file is not None:
        yield command.experiment_file
    crystal = command.experiment.crystal
    for noun in (*vars(command.experiment).values(), *(crystal.lattices or ())):
        for name, path in vars(noun).items() if is_dataclass(noun) else ():
            if name.endswith("_file") and name != "dump_file" and path is not None:
                yield path
    yield from filter(None, command.experiment.structure_factors.curve_files.values())


def _render(resolved: Resolved, command: Command) -> Rendering:
    plan, settings = resolved.plan, command.run
    fast0, fast1, slow0, slow1 = plan.detector.roi
    pixels = (fast1 - fast0 + 1) * (slow1 - slow0 + 1)
    if not settings.progress or settings.quiet or not sys.stderr.isatty():
        return _render_on(resolved, settings)
    from tqdm import tqdm

    with tqdm(total=pixels, unit="px", unit_scale=True, leave=False, file=sys.stderr) as bar:
        return _render_on(resolved, settings, lambda done: bar.update(done - bar.n) and None)


def _render_on(resolved: Resolved, settings: Run, progress: Progress | None = None) -> Rendering:
    with _without_blas():
        return render(resolved, settings.backend, settings.precision, settings.threads, progress, settings.device)


@contextmanager
def _without_blas() -> Iterator[None]:
    """Keep Numba from importing SciPy's BLAS, which no kernel calls and which takes longer than a small image."""
    hidden = "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]


def _asked_for(outputs: Outputs) -> Iterator[tuple[Output, str, Format, dict[str, str]]]:
    """Every image that is asked for: its path, its format and the format's options."""
    for output in OUTPUTS:
        path: str | None = getattr(outputs, output.field)
        if path is not None:
            image_format = holding(path, output.content, output.otherwise)
            given = {name: word for name, word in vars(outputs).items() if name in image_format.options}
            yield output, path, image_format, options_of(image_format, given)


def _write(image: Image, command: Command, clock: Clock) -> tuple[dict[str, str], list[str]]:
    """Write what is asked for; each path with what it holds, and the scales in words."""
    outputs, cache = command.outputs, _cache_to_write(command.experiment)
    files: dict[str, str] = {}
    said: list[str] = []
    with clock.phase("write"):
        if cache is not None:
            _write_cache(cache, image)
        int_scale = outputs.scale or image.int_scale
        scales = {"scaled": int_scale, "gray": outputs.pgm_scale or image.pgm_scale(int_scale)}
    for output, path, image_format, options in _asked_for(outputs):
        with clock.phase("noise" if output.content == "counted" else "write"):
            frame = image.frame(output.content, scales.get(output.content))
            write(image_format, path, frame, **options)
        files[path] = output.words.format(image_format.name)
        if output.content == "scaled":
            aside = outputs.scale is None and image.statistics_beside_beam is not image.statistics
            said.append(
                f"counts = photons x {frame.scale:g} + {frame.adc_offset:g} in {path}"
                + (", by the brightest pixel beside the direct beam's spot" if aside else "")
            )
        if output.content == "counted":
            seed = image.experiment.noise.seed
            said.append(f"{frame.photons} photons counted with -seed {seed}, {frame.overloads} overloads")
    return files, said


def _write_report(path: str, report: dict[str, Any]) -> None:
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as file:
        # Bytes of a file name that are no UTF-8 become the escapes by which JSON gives them back.
        file.write(text.encode(errors="backslashreplace"))


def _pixel_lines(image: Image, outputs: Outputs) -> Iterator[str]:
    """-printout: fast, slow and photons, of one pixel or of all that are rendered."""
    fast0, fast1, slow0, slow1 = image.resolved.plan.detector.roi
    if outputs.print_pixels is None:
        return
    if outputs.print_pixels != "all":
        fast, slow = outputs.print_pixels
        fast0 = fast1 = fast
        slow0 = slow1 = slow
    for slow in range(slow0, slow1 + 1):
        for fast in range(fast0, fast1 + 1):
            yield f"{fast:4d} {slow:4d} : {float(image.photons[slow, fast]):.9g}"
