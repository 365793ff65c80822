"""``python -m benchmarks.first_light``: a checkout's first minutes on a machine with a card, network or not.

Correctness comes first, then times. Each step is a process with a deadline of its own: what hangs, crashes or fails
does not stop what follows. A short table comes last; all logs are packed beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# The standard library alone: whatever is missing or broken on the machine is for a step to find out.
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "results" / "first_light"
SECONDS = 470.0
MARK = "TABLE "
"""Before the lines of a step that belong in the table."""
TIME_LEFT = "{seconds}"
"""In a command: the seconds that it has."""
SHORTEST_S = 1.0
"""A step is not begun with less."""
LAST_WORDS_S = 4.0
"""For a step that is out of time and was asked to stop."""
MOST_FAILURES = 8
"""Named in the table, of each step."""


def row(text: str) -> None:
    """Print a line of a step that goes into the table."""
    print(f"{MARK}{text}", flush=True)


def marked(log: str) -> Iterator[str]:
    """What a step printed with :func:`row`."""
    return (line.removeprefix(MARK) for line in log.splitlines() if line.startswith(MARK))


@dataclass(frozen=True)
class Step:
    """One process."""

    name: str
    most_seconds: float
    """Where the whole has ``SECONDS``; what steps leave over is shared out among those after them."""
    command: tuple[str, ...]
    shown: Callable[[str], Iterable[str]] = marked
    """The lines of its log that go into the table."""
    skipped: str | None = None
    """Why it is left out."""


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    name: str
    ended: str
    seconds: float
    lines: tuple[str, ...]
    good: bool


# What is done ----------------------------------------------------------------------------------------------------

FEATURES = """
    convention_mosflm large_crystal unequal_cells shape_ interpolate mosaic_phi divergence_dispersion oversample_3
    absorption water mask curved_detector everything
""".split()
"""Golden images that between them need every variant of the kernel."""
SECTIONS = (
    "SpeedOfLight Occupancy WarpStateStats SchedulerStats ComputeWorkloadAnalysis MemoryWorkloadAnalysis LaunchStats"
).split()


def steps_of(tiny: bool, simulator: bool, site: Path, path: str) -> list[Step]:
    """All steps in order.

    ``tiny``: everything as small as can be. ``simulator``: no card. ``site``: where a package may be unpacked.
    ``path``: where programs lie.
    """
    small, no_card = ("-tiny",) if tiny else (), "simulator" if simulator else None
    featured = f"golden and ({' or '.join(FEATURES)})"
    return [
        *unpacked(site),
        Step("environment", 20, module("light_probe", "environment")),
        Step("image", 60, module("light_probe", "image", *small)),
        Step("golden, features", 70, gpu_tests(featured), of_tests, no_card),
        Step("other tests", 75, gpu_tests("not golden and not sanitizer"), of_tests, no_card),
        Step("kernels", 90, module("light_times", "kernels", "-seconds", TIME_LEFT, *small)),
        Step("around them", 45, module("light_times", "around", *small)),
        Step("golden, all", 50, gpu_tests("golden"), of_tests, no_card),
        *(Step(f"ncu, {precision}", 15, profiled(precision), of_profile, no_card or missing("ncu", path))
          for precision in ("mixed", "double")),
        *(Step(check, 15, sanitized(check), of_sanitizer, no_card or missing("compute-sanitizer", path))
          for check in ("memcheck", "racecheck", "synccheck")),
    ]  # fmt: skip


def module(name: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *words)


def missing(program: str, path: str) -> str | None:
    return None if shutil.which(program, path=path) else f"no {program}"


def unpacked(site: Path) -> list[Step]:
    """gemmi from a wheel that lies in ``.whl/``, where it is not installed."""
    wheels = sorted(map(str, ROOT.glob(".whl/gemmi-*.whl")))
    if not wheels or find_spec("gemmi"):
        return []
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site))
    return [Step("gemmi", 20, (*pip, wheels[-1]))]


def gpu_tests(selection: str) -> tuple[str, ...]:
    # NumPy 2.5 and numba-cuda 0.30: a deprecation when it is imported, which is an error in a test.
    options = "-q -m gpu -W ignore::DeprecationWarning -p no:cacheprovider --tb=line tests/test_gpu.py -k".split()
    return (sys.executable, "-m", "pytest", *options, selection)


def profiled(precision: str) -> tuple[str, ...]:
    one = "--clock-control none --target-processes all -k regex:.*render_pixels.* --launch-skip 1 --launch-count 1"
    sections = (word for section in SECTIONS for word in ("--section", section))
    return ("ncu", *one.split(), *sections, *module("light_probe", "render", precision, "512"))


def sanitized(check: str) -> tuple[str, ...]:
    # Errors of the driver's interface: the packages under us ask what it has, and take no for an answer.
    options = f"--tool {check} --report-api-errors no --error-exitcode 9".split()
    return ("compute-sanitizer", *options, *module("light_probe", "render", "mixed", "64"))


def of_tests(log: str) -> Iterator[str]:
    """How many tests passed, and the first that did not."""
    lines = [line for line in log.splitlines() if line.strip()]
    yield from lines[-1:]
    yield from [line[:150] for line in lines if line.startswith(("FAILED", "ERROR"))][:MOST_FAILURES]


PROFILED = re.compile(
    r"Duration|SM Frequency|Compute \(SM\)|Registers Per|(?:Theoretical|Achieved) Occ|Executed Ipc A|Issue Slots Busy|"
    r"No Eligible|Warp Cycles Per Issued|L1/TEX Hit|Local|==ERROR=="
)


def of_profile(log: str) -> Iterator[str]:
    return (" ".join(line.split()) for line in log.splitlines() if PROFILED.search(line))


def of_sanitizer(log: str) -> Iterator[str]:
    return (line.lstrip("= ") for line in log.splitlines() if "SUMMARY" in line)


# How it is done --------------------------------------------------------------------------------------------------


def carry_out(steps: Sequence[Step], seconds: float, out: Path, environment: Mapping[str, str]) -> list[Outcome]:
    """Run all steps within ``seconds``, or little more, and write what is known so far after each."""
    began, outcomes = time.monotonic(), []
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="first-light-logs-") as logs:
        for n, step in enumerate(steps):
            left = seconds - (time.monotonic() - began)
            share = step.most_seconds / sum(s.most_seconds for s in steps[n:] if s.skipped is None or s is step)
            outcome = carried_out(step, left * share, Path(logs), environment)
            outcomes.append(outcome)
            print(f"{outcome.name}: {outcome.ended}, {outcome.seconds:.1f} s", file=sys.stderr, flush=True)
            (out / "summary.txt").write_text(summary(outcomes))
            with tarfile.open(out / "logs.tgz", "w:gz") as packed:
                packed.add(logs, "logs")
    return outcomes


def carried_out(step: Step, seconds: float, logs: Path, environment: Mapping[str, str]) -> Outcome:
    """Run one step."""
    if step.skipped is not None:
        return Outcome(step.name, f"{step.skipped}: skipped", 0.0, (), True)
    if seconds < SHORTEST_S:
        return Outcome(step.name, "no time left", 0.0, (), False)
    words = [word.replace(TIME_LEFT, f"{seconds:.0f}") for word in step.command]
    log, began = logs / f"{re.sub(r'[^a-z]+', '_', step.name)}.txt", time.monotonic()
    with log.open("w") as file:
        try:
            ended = status_of(words, seconds, file.fileno(), environment)
        except OSError as error:
            ended = str(error)
    text = log.read_text(errors="replace")
    lines, last = list(step.shown(text)), last_line(text)
    if ended != "ok" and last not in lines:
        lines.append(last)
    return Outcome(step.name, ended, time.monotonic() - began, tuple(lines), ended == "ok")


def last_line(log: str) -> str:
    """Most often the error, in what a program leaves behind."""
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].removeprefix(MARK) if lines else "not a word"


def status_of(words: Sequence[str], seconds: float, log: int, environment: Mapping[str, str]) -> str:
    """Run a command, with all that it starts, for so long at most."""
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        # As Ctrl-C, so that a run of tests still says how far it came.
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS_S)
        return f"out of time after {seconds:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"failed ({status})" if status else "ok"


def summary(outcomes: Sequence[Outcome]) -> str:
    """How every step ended, then what each has to say."""
    width = max(len(outcome.name) for outcome in outcomes)
    lines = [f"{o.name:{width}}  {o.seconds:5.1f} s  {o.ended}" for o in outcomes]
    for outcome in outcomes:
        if outcome.lines:
            lines += ["", outcome.name, *(f"  {line}" for line in outcome.lines)]
    return "\n".join(lines) + "\n"


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of all steps: where CUDA is, and a cache of their own, so that the first call compiles."""
    environment = {"NUMBA_CACHE_DIR": str(folder / "cache"), **os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = joined(str(ROOT), str(folder / "site"), os.environ.get("PYTHONPATH"))
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or toolkit()
    tools = [*Path("/opt/nvidia/nsight-compute").glob("*")]
    if home:
        # numba-cuda looks for libnvvm there.
        environment["CUDA_HOME"] = home
        tools.insert(0, Path(home, "bin"))
    environment["PATH"] = joined(os.environ.get("PATH"), *map(str, tools))
    return environment


def toolkit() -> str | None:
    """The folder of the CUDA toolkit that has nvcc."""
    found = shutil.which("nvcc") or next(
        map(str, sorted(Path("/usr/local").glob("cuda*/bin/nvcc"), reverse=True)), None
    )
    home = Path(found).resolve().parent.parent if found else None
    return str(home) if home and (home / "nvvm").is_dir() else None


def joined(*paths: str | None) -> str:
    return os.pathsep.join(filter(None, paths))


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; 0 where every step that could run went well."""
    parser = argparse.ArgumentParser("python -m benchmarks.first_light", description=__doc__)
    parser.add_argument("-seconds", type=float, default=SECONDS, metavar="s", help=f"in all (default: {SECONDS:.0f})")
    parser.add_argument(
        "-out", type=Path, default=OUT, metavar="folder", help="default: benchmarks/results/first_light"
    )
    parser.add_argument("-tiny", action="store_true", help="images of a few pixels, for Numba's simulator")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="first-light-") as name:
        folder = Path(name)
        environment = surroundings(folder)
        simulator = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
        steps = steps_of(options.tiny, simulator, folder / "site", environment["PATH"])
        outcomes = carry_out(steps, options.seconds, options.out, environment)
    print(summary(outcomes), end="")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
