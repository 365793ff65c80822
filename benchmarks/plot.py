"""ns/step as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .measure import KERNELS, CaseResult

LABELS = {"double": "nbnumba, double", "mixed": "nbnumba, mixed", "reference": "reference"}


def save_bars(path: Path, results: Sequence[CaseResult], title: str) -> None:
    """One group of bars for each case, one bar for each program, on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 1.5 + 0.6 * len(results)), layout="constrained")
    axes = figure.subplots()
    for i, program in enumerate(KERNELS):
        bars = [(row, result.ns_per_step[program]) for row, result in enumerate(results) if program in result.medians]
        if bars:
            rows, values = zip(*bars, strict=True)
            drawn = axes.barh([row + 0.27 * (i - 1) for row in rows], values, height=0.25, label=LABELS[program])
            axes.bar_label(drawn, fmt="%.3g", padding=2, fontsize=7)
    axes.set_yticks(range(len(results)), [result.name for result in results])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_xlabel("ns per step, one thread (less is better)")
    axes.set_title(title, fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
