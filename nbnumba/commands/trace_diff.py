"""``nbnumba trace-diff``: where two traces of a pixel begin to differ, and why."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ..report import LABELS
from ..trace_diff import (
    CHAIN,
    SCALING_CHAIN,
    Diff,
    Difference,
    Key,
    TraceDiffUsageError,
    TraceFile,
    Value,
    diff_traces,
    read_trace,
)

AGREE, DIFFER = 0, 3
_EPILOG = """\
A tap agrees where |difference| is at most 1e-9 of its largest component, or 1e-12; Miller indices where it is at most
1e-9; F_latt, intensities and photons where it is at most 1e-6 of the value. A log may be any program's output that
has lines of nanoBragg's instrumented taps, TRACE_C or TRACE_PY.

exit status: 0 all taps agree; 1 usage; 3 some differ; 5 a file cannot be read"""


@dataclass(frozen=True)
class Table:
    """Rows of words under a head."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def main(argv: list[str]) -> int:
    """Run ``nbnumba trace-diff`` with its arguments and return its exit status.

    Raises
    ------
    TraceDiffUsageError, UnreadableTraceError
        What kept the traces from being compared.
    """
    options = _parser().parse_args(argv)
    a, b = read_trace(options.a), read_trace(options.b)
    diff = diff_traces(a, b, dict(map(_tolerance, options.tol)))
    if options.format == "json":
        print(json.dumps(_as_json(diff, options.per_phi, options.scaling), indent=1, ensure_ascii=False))
    else:
        tables = [_differences(diff)] if diff.differences else []
        tables += [_per_phi(diff)] if options.per_phi else []
        tables += [_scaling(diff)] if options.scaling else []
        blocks = ["\n".join(_summary(diff)), *map(_markdown if options.format == "markdown" else _text, tables)]
        print("\n\n".join(blocks))
    return DIFFER if diff.differences else AGREE


# The command line ------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TraceDiffUsageError(f"trace-diff: {message}; nbnumba trace-diff -h tells more")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nbnumba trace-diff",
        description="Find where two traces of a pixel, logs or JSON of nbnumba trace, begin to differ.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("a", metavar="A", help="a trace: log or JSON")
    parser.add_argument("b", metavar="B", help="another one of the same pixel")
    parser.add_argument("-per-phi", action="store_true", help="also compare φ step by φ step")
    parser.add_argument("-scaling", action="store_true", help="also show the factors of the pixel as ratios B / A")
    parser.add_argument(
        "-tol", action="append", default=[], metavar="NAME=VALUE",
        help="tolerance of one tap: absolute for hkl_frac and k_frac, else relative; may be given again",
    )  # fmt: skip
    parser.add_argument("-format", choices=("text", "markdown", "json"), default="text", help="(default: text)")
    return parser


def _tolerance(word: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if name not in CHAIN:
        raise TraceDiffUsageError(f"trace-diff: -tol {word}: {name!r} is no tap; known are {', '.join(CHAIN)}")
    if not 0.0 <= value < math.inf:
        raise TraceDiffUsageError(f"trace-diff: -tol {word}: must be NAME=VALUE, the value 0 or more")
    return name, value


# What is told ----------------------------------------------------------------------------------------------------


def _summary(diff: Diff) -> list[str]:
    lines = [f"A: {diff.a.path}", f"B: {diff.b.path}"]
    if diff.first is None:
        return [*lines, f"all {diff.compared} taps agree"]
    first = diff.first
    told = ", ".join(f"{name} ({state})" for name, state in diff.depends_on(first.key))
    lines += [
        f"{len(diff.differences)} taps differ, of {diff.compared} that both have",
        f"first divergence: {first.key}: {_words(first.a)} in A, {_words(first.b)} in B",
        f"computed from: {told or 'not known'}",
    ]
    return lines if diff.label is None else [*lines, f"{diff.label}: {LABELS[diff.label]}"]


def _differences(diff: Diff) -> Table:
    rows = [(str(d.key), _words(d.a), _words(d.b), *_sizes(d)) for d in diff.differences]
    return Table("Beyond tolerance, in the order of the chain", ("tap", "A", "B", "difference", "allowed"), rows)


def _sizes(difference: Difference) -> tuple[str, str]:
    if difference.largest is None or difference.allowed is None:
        return "", ""
    return f"{difference.largest:.3g}", f"{difference.allowed:.3g}"


def _per_phi(diff: Diff) -> Table:
    keys = _phi_numbers(diff)
    names = sorted({key.name for key in keys} - {"phi_deg"}, key=list(CHAIN).index)
    differing = {difference.key for difference in diff.differences}
    rows = []
    for tic in sorted({key.phi_tic for key in keys if key.phi_tic is not None}):
        changes = [_change(diff.a, diff.b, Key(name, tic)) for name in names]
        apart = [name for name in CHAIN if Key(name, tic) in differing]
        phi = diff.a.taps.get(Key("phi_deg", tic))
        rows.append((str(tic), _words(phi), *changes, ", ".join(apart) or "–"))
    return Table("φ step by φ step, B − A", ("step", "φ (deg)", *names, "beyond tolerance"), rows)


def _phi_numbers(diff: Diff) -> list[Key]:
    """Taps of φ steps that are one number, of the chain alone."""
    taps = {**diff.a.taps, **diff.b.taps}
    return [key for key, value in taps.items() if key.phi_tic is not None and key.name in CHAIN and len(value) == 1]


def _change(a: TraceFile, b: TraceFile, key: Key) -> str:
    one, other = a.taps.get(key), b.taps.get(key)
    if one is None or other is None:
        return "missing"
    return f"{float(other[0]) - float(one[0]):.3g}"


def _scaling(diff: Diff) -> Table:
    rows = []
    for name, a, b, ratio in _ratios(diff):
        rows.append((name, f"{a:.15g}", f"{b:.15g}", "–" if ratio is None else f"{ratio:.12g}"))
    return Table("From the cell to the pixel", ("factor", "A", "B", "B / A"), rows)


def _ratios(diff: Diff) -> list[tuple[str, float, float, float | None]]:
    both = [Key(name) for name in SCALING_CHAIN if Key(name) in diff.a.taps and Key(name) in diff.b.taps]
    values = [(key.name, float(diff.a.taps[key][0]), float(diff.b.taps[key][0])) for key in both]
    return [(name, a, b, b / a if a else None) for name, a, b in values]


def _as_json(diff: Diff, per_phi: bool, scaling: bool) -> dict[str, Any]:
    first = diff.first
    told: dict[str, Any] = {
        "a": diff.a.path,
        "b": diff.b.path,
        "agree": first is None,
        "compared": diff.compared,
        "first": None,
        "differences": [_plain(difference) for difference in diff.differences],
    }
    if first is not None:
        told["first"] = _plain(first) | {
            "depends_on": dict(diff.depends_on(first.key)),
            "label": diff.label,
            "explanation": LABELS.get(diff.label or ""),
        }
    if per_phi:
        table = _per_phi(diff)
        told["per_phi"] = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    if scaling:
        told["scaling"] = {name: {"a": a, "b": b, "ratio": ratio} for name, a, b, ratio in _ratios(diff)}
    return told


def _plain(d: Difference) -> dict[str, Any]:
    return {
        "tap": d.key.name, "phi_tic": d.key.phi_tic, "a": d.a, "b": d.b, "difference": d.largest, "allowed": d.allowed,
    }  # fmt: skip


def _words(value: Value | None) -> str:
    if value is None:
        return "missing"
    return value if isinstance(value, str) else " ".join(f"{x:.15g}" for x in value)


def _text(table: Table) -> str:
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    padded = ["  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([f"{table.title}:", *(f"  {line}".rstrip() for line in padded)])


def _markdown(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join([f"**{table.title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])
