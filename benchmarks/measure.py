"""How long things take: programs in turn, single parts, and what the machine could do at best."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import numpy.typing as npt

import nbnumba
from nbnumba.choices import PRECISIONS, Precision
from nbnumba.comparison.images import correlation
from nbnumba.comparison.programs import OWN, run
from nbnumba.errors import NbnumbaWarning
from nbnumba.formats.hkl import read_hkl
from nbnumba.golden_suite_generator.suite import worst_ratio
from nbnumba.kernels.compile.jit import compiled
from nbnumba.kernels.compile.memory import read_back, write
from nbnumba.nanobragg.parse import parse
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.tolerances import BY_PRECISION, Tolerance

from .cases import LYSOZYME_HKL, ROOT, TINY_STILL, Case

Photons = npt.NDArray[np.float32]
Seconds = Callable[[], float]
Peaks = tuple[float, float]
"""float64 and float32 operations per second of one core."""

KERNELS = (*PRECISIONS, "reference")
SHORTEST_TURN_S = 0.1
ONE_PIXEL = ("-roi", "0", "0", "0", "0")
NO_EXTRAS = ("-nonoise", "-nopgm", "-noprogress")

OPERATIONS: Mapping[Precision, tuple[int, int]] = {"double": (143, 0), "mixed": (44, 66)}
"""float64 and float32 operations of a plain step, counted in docs/benchmarks.md."""


# In turn ---------------------------------------------------------------------------------------------------------


def in_turn(programs: Mapping[str, Seconds], rounds: int) -> dict[str, list[float]]:
    """Seconds of every program in every round: A B C, A B C, …, so that a busy moment of the machine meets all."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, measure in programs.items():
            seconds[name].append(measure())
    return seconds


def seconds_per_call(work: Callable[[], object], clock: Seconds = time.perf_counter) -> float:
    """The mean over as many calls as fill ``SHORTEST_TURN_S``, one at least."""
    calls, began = 0, clock()
    while True:
        work()
        calls += 1
        spent = clock() - began
        if spent >= SHORTEST_TURN_S:
            return spent / calls


# A case ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """How an image compares with the reference's."""

    worst: float
    """Largest difference of a pixel in units of the tolerance of its precision."""
    correlation: float


@dataclass(frozen=True)
class CaseResult:
    """Seconds of every program on one case, one thread each."""

    name: str
    about: str
    plain: bool
    """Whether ``OPERATIONS`` counts its steps."""
    steps: int
    """Evaluations of F²·F_latt² in the image."""
    seconds: dict[str, list[float]]
    """By round: our kernels "double" and "mixed", our "command", the reference's "whole" and its "set-up"."""
    agreement: dict[Precision, Agreement]
    """With the reference's image; empty without one."""

    @property
    def medians(self) -> dict[str, float]:
        """Over the rounds; "reference" is its kernel: the whole command less its set-up, round by round."""
        medians = {name: statistics.median(seconds) for name, seconds in self.seconds.items()}
        if "whole" in self.seconds:
            pairs = zip(self.seconds["whole"], self.seconds["set-up"], strict=True)
            medians["reference"] = statistics.median(whole - set_up for whole, set_up in pairs)
        return medians

    @property
    def ns_per_step(self) -> dict[str, float]:
        """Of the kernels."""
        return {name: 1e9 * seconds / self.steps for name, seconds in self.medians.items() if name in KERNELS}

    @property
    def steps_per_second(self) -> dict[str, float]:
        """The same the other way round."""
        return {name: 1e9 / ns for name, ns in self.ns_per_step.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """How many times longer the reference takes than our kernels and our command."""
        theirs = {"double": "reference", "mixed": "reference", "command": "whole"}
        medians = self.medians
        return {ours: medians[name] / medians[ours] for ours, name in theirs.items() if name in medians}

    def share_of_peak(self, precision: Precision, peaks: Peaks) -> float | None:
        """What a step's operations would take at the machine's peak, over what it takes."""
        if not self.plain:
            return None
        at_peak = sum(count / peak for count, peak in zip(OPERATIONS[precision], peaks, strict=True))
        return 1e9 * at_peak / self.ns_per_step[precision]


def measure_case(case: Case, folder: Path, reference: Sequence[str], rounds: int, quick: bool) -> CaseResult:
    """Run all programs on a case in turn, after one run of each that is not counted: it compiles and fills caches.

    Parameters
    ----------
    folder : path
        Holds the input files; outputs go there.
    reference : sequence of str
        The words of the reference program, or none.
    """
    options = case.options(quick)
    resolved = resolved_of(options, folder)

    def photons(precision: Precision) -> Photons:
        rendering = render(resolved, "cpu", precision, 1)
        assert rendering.backend.startswith("cpu"), f"{case.name}: {rendering.backend}"
        return rendering.photons

    def command(words: Sequence[str], *more: str) -> Seconds:
        return lambda: run(words, [*options, *NO_EXTRAS, *more], folder).seconds

    images = {precision: photons(precision) for precision in PRECISIONS}
    programs: dict[str, Seconds] = {
        "double": lambda: seconds_per_call(lambda: photons("double")),
        "mixed": lambda: seconds_per_call(lambda: photons("mixed")),
        "command": command(OWN, "-mode", "c", "-threads", "1", "-backend", "cpu"),
    }
    programs["command"]()
    agreement: dict[Precision, Agreement] = {}
    if reference:
        theirs = run(reference, [*options, *NO_EXTRAS], folder).photons
        agreement = {name: agreement_of(image, theirs, BY_PRECISION[name]) for name, image in images.items()}
        programs |= {"whole": command(reference), "set-up": command(reference, *ONE_PIXEL)}
    return CaseResult(case.name, case.about, case.plain, steps_of(resolved), in_turn(programs, rounds), agreement)


def resolved_of(options: Sequence[str], folder: Path) -> Resolved:
    """What a command line in mode c asks of the kernels."""
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        experiment = parse([*options, "-mode", "c"]).experiment
        return resolve(experiment, read_inputs(experiment))


def steps_of(resolved: Resolved) -> int:
    """Evaluations of F²·F_latt² in the image."""
    fast0, fast1, slow0, slow1 = resolved.plan.detector.roi
    return resolved.steps * resolved.plan.detector.layers * (fast1 - fast0 + 1) * (slow1 - slow0 + 1)


def agreement_of(ours: Photons, theirs: Photons, tolerance: Tolerance) -> Agreement:
    """Hold one image against another."""
    return Agreement(
        worst_ratio(ours, theirs, tolerance), correlation(theirs.astype(np.float64), ours.astype(np.float64))
    )


def measure_scaling(case: Case, folder: Path, rounds: int, quick: bool) -> dict[int, float]:
    """Median seconds of the double kernel for 1, 2, 4, … threads and all."""
    resolved = resolved_of(case.options(quick), folder)
    most = numba.config.NUMBA_NUM_THREADS
    counts = sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most})

    def seconds_with(threads: int) -> Seconds:
        return lambda: seconds_per_call(lambda: render(resolved, "cpu", "double", threads))

    render(resolved, "cpu", "double", 1)
    seconds = in_turn({str(threads): seconds_with(threads) for threads in counts}, rounds)
    return {int(threads): statistics.median(values) for threads, values in seconds.items()}


def with_tables(resolved: Resolved, channels: int) -> Resolved:
    """The same with so many tables of structure factors, dealt out to the sources in turn."""
    factors, sources = resolved.plan.factors, resolved.plan.sources
    table = np.repeat(factors.table[:1], channels, axis=0) * np.linspace(0.99, 1.01, channels)[:, None, None, None]
    plan = resolved.plan._replace(
        factors=factors._replace(table=table),
        sources=sources._replace(channel=np.arange(len(sources.weight)) % channels),
    )
    return replace(resolved, plans=(plan,))


def measure_wavelengths(case: Case, folder: Path, rounds: int, quick: bool) -> list[Figure]:
    """What it costs that structure factors change with the wavelength: a table for each source, beside one for all."""
    one = resolved_of(case.options(quick), folder)
    wavelengths = len(one.plan.sources.weight)
    figures = []
    for precision in PRECISIONS:
        programs = {
            f"{wavelengths} wavelengths, {words}, {precision}": partial(
                seconds_per_call, partial(render, with_tables(one, channels), "cpu", precision, 1)
            )
            for words, channels in (("one table of F", 1), ("a table of F for each", wavelengths))
        }
        for program in programs.values():
            program()
        seconds = in_turn(programs, rounds)
        figures += [Figure(name, 1e9 * statistics.median(s) / steps_of(one), "ns/step") for name, s in seconds.items()]
        alike, each = seconds.values()
        ratio = statistics.median(b / a for a, b in zip(alike, each, strict=True))
        figures.append(Figure(f"the second over the first, {precision}", ratio, ""))
    return figures


# The machine -----------------------------------------------------------------------------------------------------


@compiled(fastmath={"contract"})
def _fused(values: Any, a: Any, b: Any, passes: int) -> None:
    for _ in range(passes):
        for n in range(values.shape[0]):
            i = np.uint32(n)
            v = read_back(values, i)
            v = v * a + b
            v = v * a + b
            v = v * a + b
            v = v * a + b
            v = v * a + b
            v = v * a + b
            v = v * a + b
            v = v * a + b
            write(values, i, v)


def peak_per_second(kind: type[np.floating[Any]]) -> float:
    """Multiplications and additions per second of one core in fused pairs, on an array in the first-level cache."""
    values, passes = np.zeros(256, kind), 20_000
    a, b = kind(0.5), kind(0.25)
    _fused(values, a, b, 1)
    return max(16 * values.size * passes / seconds_per_call(lambda: _fused(values, a, b, passes)) for _ in range(5))


def machine(reference: Sequence[str]) -> dict[str, Any]:
    """Where and with what was measured."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load": load,
        "platform": platform.platform(),
        "versions": {
            "nbnumba": nbnumba.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
        },
        "reference": " ".join(reference) or None,
    }


def processor_name() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


# Single parts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    value: float
    unit: str


def measure_start(folder: Path, rounds: int, cold: bool) -> list[Figure]:
    """What a user waits for besides the image."""
    line = [*TINY_STILL.args, *NO_EXTRAS]
    run(OWN, line, folder)
    seconds = in_turn({"warm": lambda: run(OWN, line, folder).seconds, "help": lambda: _wall(OWN, "-h")}, rounds)
    figures = [
        Figure("256² still, whole command, warm", statistics.median(seconds["warm"]), "s"),
        Figure("-h", statistics.median(seconds["help"]), "s"),
    ]
    if cold:
        with tempfile.TemporaryDirectory() as cache:
            figures.append(Figure("256² still, compiling first", _wall(OWN, *line, cwd=folder, cache=cache), "s"))
    return figures


def measure_parts(folder: Path, rounds: int) -> list[Figure]:
    """Speed of what surrounds the kernels, one thread."""
    resolved = resolved_of(TINY_STILL.args, folder)
    image = nbnumba.Image(resolved, np.tile(render(resolved, "cpu").photons, (8, 8)))
    path = folder / LYSOZYME_HKL
    reflections = len(read_hkl(path)[0])
    parts: dict[str, Callable[[], object]] = {
        "hkl": lambda: read_hkl(path),
        "smv": lambda: image.save_smv(str(folder / "parts.img"), scale=1.0),
    }
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        if find_spec("gemmi"):
            from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

            parts["fcalc"] = lambda: structure_factors_from_coordinates(coordinates, 2.0, True, 0.35, 46.0)
        times = in_turn({name: partial(seconds_per_call, work) for name, work in parts.items()}, rounds)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    calculated = [Figure("F of lysozyme to 2 Å, with solvent", median["fcalc"], "s")] if "fcalc" in median else []
    return [
        Figure("reading h k l F from text", reflections / median["hkl"], "reflections/s"),
        *calculated,
        Figure("scaling and writing SMV, 2048²", image.photons.size / median["smv"], "pixels/s"),
    ]


def measure_memory(case: Case, folder: Path) -> Figure:
    """Largest resident memory of a whole command."""
    _, memory = used_by([*OWN, *case.args, *NO_EXTRAS], folder)
    return Figure(f"largest memory of the command, {case.name}", memory / 2**20, "MiB")


def used_by(words: Sequence[str], folder: Path) -> tuple[float, int]:
    """Processor time of a whole command, in seconds, and its largest resident memory, in bytes."""
    # A child's figure begins at that of its parent, so a small process stands between.
    watch = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    line = [sys.executable, "-c", watch, *words]
    done = subprocess.run(line, cwd=folder, env=_environment(), check=True, capture_output=True, text=True)
    seconds, memory = done.stdout.split()
    return float(seconds), int(memory) * (1 if sys.platform == "darwin" else 1024)


def _wall(words: Sequence[str], *args: str, cwd: Path | None = None, cache: str | None = None) -> float:
    began = time.perf_counter()
    subprocess.run([*words, *args], cwd=cwd, env=_environment(cache), check=True, capture_output=True)
    return time.perf_counter() - began


def _environment(cache: str | None = None) -> dict[str, str]:
    """Makes the program known in any folder, and where given, a folder for compiled code."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths} | ({"NUMBA_CACHE_DIR": cache} if cache else {})
