"""``python -m benchmarks``: speed on this machine, beside a reference executable where NB_C_BIN names one."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.choices import PRECISIONS
from nbnumba.comparison.programs import words_of
from nbnumba.errors import NbnumbaError

from .campaigns import measure_campaigns
from .cases import LARGE_CASE, ROOT, SCALING_CASE, WAVELENGTHS, all_cases, write_inputs
from .gradients import Cost, measure_compilation, measure_gradients, table_of
from .measure import (
    KERNELS,
    CaseResult,
    Figure,
    Peaks,
    machine,
    measure_case,
    measure_memory,
    measure_parts,
    measure_scaling,
    measure_start,
    measure_wavelengths,
    peak_per_second,
)
from .noise import NoiseRate, measure_noise
from .plot import save_bars
from .series import measure_series
from .tolerance import Saving, measure_tolerances
from .tolerance import table_of as table_of_savings

NOISE, GRADIENTS, TOLERANCE = "noise", "gradients", "tolerance"
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Report:
    """All that one run measured."""

    machine: dict[str, Any]
    rounds: int
    quick: bool
    peaks: Peaks
    cases: list[CaseResult]
    scaling: dict[int, float]
    """Seconds by number of threads."""
    figures: list[Figure]
    noise: list[NoiseRate]
    gradients: list[Cost]
    savings: list[Saving]

    @property
    def title(self) -> str:
        """Machine and kind of run, on one line."""
        kind = "a part of each image, " if self.quick else ""
        return f"{self.machine['processor']}, {self.machine['cores']} cores; {kind}medians of {self.rounds} rounds"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write JSON, tables and plot."""
    options = arguments(argv)
    try:
        report = measure(options.only, options.rounds or (2 if options.quick else 5), options.quick)
    except NbnumbaError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_status
    text = "\n".join(markdown(report))
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.md").write_text(text + "\n")
    (options.out / "results.json").write_text(json.dumps(as_json(report), indent=1) + "\n")
    if report.cases:
        save_bars(options.out / "results.png", report.cases, report.title)
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    names = [*all_cases(), WAVELENGTHS.name, NOISE, GRADIENTS, TOLERANCE]
    parser.add_argument("-quick", action="store_true", help="a part of each image, 2 rounds, nothing long")
    parser.add_argument("-only", nargs="+", metavar="NAME", choices=names, help="these cases and nothing else")
    parser.add_argument("-rounds", type=int, metavar="n", help="rounds (default: 5)")
    parser.add_argument("-out", type=Path, default=RESULTS, metavar="folder", help="default: benchmarks/results")
    return parser.parse_args(argv)


def measure(only: Sequence[str] | None, rounds: int, quick: bool) -> Report:
    """Take all figures, or those of some cases alone."""
    cases, program = all_cases(), os.environ.get("NB_C_BIN")
    # One thread for each program: the ratios are per thread.
    reference = words_of(f"env OMP_NUM_THREADS=1 {program}") if program else ()
    results, scaling, figures, noise, gradients, savings = [], {}, [], [], [], []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        factors = write_inputs(folder)
        about = machine(reference) | {"structure_factors": factors}
        peaks = (peak_per_second(np.float64), peak_per_second(np.float32))
        for case in only or cases:
            if case in cases:
                progress(case)
                results.append(measure_case(cases[case], folder, reference, rounds, quick))
        if not only:
            progress("threads, start, parts")
            scaling = measure_scaling(cases[SCALING_CASE], folder, rounds, quick)
            figures = measure_start(folder, rounds, cold=not quick) + measure_parts(folder, rounds)
            figures += measure_series(folder, rounds)
            progress("campaigns")
            figures += measure_campaigns(folder / "campaigns", rounds)
        if not only or NOISE in only:
            progress(NOISE)
            noise = measure_noise(rounds)
        if not only or GRADIENTS in only:
            progress(GRADIENTS)
            gradients = measure_gradients(rounds)
            figures += [] if quick else measure_compilation()
        if not only or TOLERANCE in only:
            savings = measure_tolerances(folder, rounds, quick)
        if not only or WAVELENGTHS.name in only:
            progress(WAVELENGTHS.name)
            figures += measure_wavelengths(WAVELENGTHS, folder, rounds, quick)
        if not only and not quick:
            figures.append(measure_memory(cases.get("pilatus", cases[LARGE_CASE]), folder))
    return Report(about, rounds, quick, peaks, results, scaling, figures, noise, gradients, savings)


def progress(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr)


# What is shown ---------------------------------------------------------------------------------------------------


def markdown(report: Report) -> Iterator[str]:
    """The report as tables."""
    versions = ", ".join(f"{name} {version}" for name, version in report.machine["versions"].items())
    double, single = (f"{peak / 1e9:.3g}" for peak in report.peaks)
    yield f"{report.title}. {versions}. Load at the start: {report.machine['load']}."
    yield f"Structure factors: {report.machine['structure_factors']}."
    yield f"Peak of a core: {double} (float64) and {single} (float32) Gflop/s."
    if report.cases:
        yield from kernel_table(report)
        yield from command_table(report)
    if report.scaling:
        one = report.scaling[1]
        rows = [(str(n), f"{s:.3g}", f"{one / s:.2f}") for n, s in report.scaling.items()]
        yield from table(f"Threads: case {SCALING_CASE}, double", ("threads", "s", "speed-up"), rows)
    if report.noise:
        rows = [(f"{n.mean:g}", *map(shown, (n.by_place / 1e6, n.in_order / 1e6, n.ratio))) for n in report.noise]
        head = ("mean", "by place (philox)", "in order (ran1)", "ratio")
        yield from table("Counting photons: Mpixel in a second of a processor, one thread", head, rows)
    if report.gradients:
        title = "Derivatives: a pass with them, in units of one without; one thread"
        yield from table(title, *table_of(report.gradients))
    if report.savings:
        title = "Tolerances, photons: how many times as fast (share of samples evaluated)"
        yield from table(title, *table_of_savings(report.savings))
    if report.figures:
        rows = [(figure.name, f"{figure.value:.3g}", figure.unit) for figure in report.figures]
        yield from table("Around the kernels", ("what", "figure", "unit"), rows)


def kernel_table(report: Report) -> Iterator[str]:
    head = (
        "case", "Msteps", "double", "mixed", "reference", "ratio, double", "ratio, mixed", "Msteps/s, double",
        "Msteps/s, mixed", "of peak, double", "of peak, mixed",
    )  # fmt: skip
    rows = [
        (
            case.name,
            f"{case.steps / 1e6:.3g}",
            *(shown(case.ns_per_step.get(name)) for name in KERNELS),
            *(shown(case.ratios.get(name)) for name in PRECISIONS),
            *(shown(case.steps_per_second[name] / 1e6) for name in PRECISIONS),
            *(shown(case.share_of_peak(name, report.peaks)) for name in PRECISIONS),
        )
        for case in report.cases
    ]
    return table("Kernels: ns/step, one thread", head, rows)


def command_table(report: Report) -> Iterator[str]:
    head = (
        "case", "nbnumba, s", "reference, s", "ratio", "worst, double", "worst, mixed", "1 − r, double", "1 − r, mixed"
    )  # fmt: skip
    rows = [
        (
            case.name,
            *(shown(seconds) for seconds in (case.medians["command"], case.medians.get("whole"))),
            shown(case.ratios.get("command")),
            *(shown(case.agreement[name].worst if case.agreement else None) for name in PRECISIONS),
            *(shown(1.0 - case.agreement[name].correlation if case.agreement else None) for name in PRECISIONS),
        )
        for case in report.cases
    ]
    return table("Whole commands, one thread, and agreement with the reference", head, rows)


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    yield from ("", f"### {title}", "")
    for line in (head, ["-" * width for width in widths], *rows):
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"


def as_json(report: Report) -> dict[str, Any]:
    """Every measured second of every round, and what follows from them."""
    derived = ("medians", "ns_per_step", "steps_per_second", "ratios")
    cases = [asdict(case) | {name: getattr(case, name) for name in derived} for case in report.cases]
    shares = [{name: case.share_of_peak(name, report.peaks) for name in PRECISIONS} for case in report.cases]
    return asdict(report) | {
        "cases": [case | {"share_of_peak": share} for case, share in zip(cases, shares, strict=True)]
    }


if __name__ == "__main__":
    sys.exit(main())
