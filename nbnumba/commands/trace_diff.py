"""``nbnumba trace-diff``: where two traces of a pixel begin to differ, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..comparison.taps import CHAIN, SCALING_CHAIN, Key, Value
from ..comparison.trace_diff import Diff, Difference, diff_traces
from ..comparison.trace_files import TraceFile, read_trace
from ..errors import DIFFERS, DONE, UsageError
from ..experiment.quirks import LABELS
from ..tolerances import INDEX, PHOTONS, TAP
from .base import Parser

_EPILOG = f"""\
A tap agrees where |difference| is at most {TAP.relative:g} of its largest component, or {TAP.absolute:g}; a Miller
index where it is at most {INDEX.absolute:g}; F_latt and photons where it is at most {PHOTONS.relative:g} of the value.
A log may be any program's output that has lines of nanoBragg's instrumented taps, TRACE_C or TRACE_PY."""


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
    UsageError, InputFileError
        What kept the traces from being compared.
    """
    options = _parser().parse_args(argv)
    a, b = read_trace(options.a), read_trace(options.b)
    diff = diff_traces(a, b, dict(map(_tolerance, options.tol)))
    if options.format == "json":
        print(json.dumps(_valid(_as_json(diff, options.per_phi, options.scaling)), indent=1, ensure_ascii=False))
    else:
        tables = [_differences(diff)] if diff.differences else []
        tables += [_per_phi(diff)] if options.per_phi else []
        tables += [_scaling(diff)] if options.scaling else []
        blocks = ["\n".join(_summary(diff)), *map(_markdown if options.format == "markdown" else _text, tables)]
        print("\n\n".join(blocks))
    return DIFFERS if diff.differences else DONE


# The command line ------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba trace-diff",
        description="Find where two traces of a pixel, logs or JSON of nbnumba trace, begin to differ.",
        epilog=_EPILOG,
        ends_with=(DIFFERS,),
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
        raise UsageError(f"-tol {word}: {name!r} is no tap; known are {', '.join(CHAIN)}")
    if not 0.0 <= value < math.inf:
        raise UsageError(f"-tol {word}: must be NAME=VALUE, the value 0 or more")
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
    steps = _phi_steps(diff)
    names = list(steps[0].changes) if steps else []
    rows = [
        (
            str(step.phi_tic),
            "missing" if step.phi_deg is None else f"{step.phi_deg:.15g}",
            *("missing" if change is None else f"{change:.3g}" for change in step.changes.values()),
            ", ".join(step.beyond_tolerance) or "–",
        )
        for step in steps
    ]
    return Table("φ step by φ step, B − A", ("step", "φ (deg)", *names, "beyond tolerance"), rows)


class PhiStep(NamedTuple):
    """How one φ step of B differs from that of A."""

    phi_tic: int
    phi_deg: float | None
    changes: dict[str, float | None]
    """B − A of each tap; None where one of them lacks it."""
    beyond_tolerance: list[str]


def _phi_steps(diff: Diff) -> list[PhiStep]:
    keys = _phi_numbers(diff)
    names = sorted({key.name for key in keys} - {"phi_deg"}, key=list(CHAIN).index)
    differing = {difference.key for difference in diff.differences}
    return [
        PhiStep(
            tic,
            diff.a.number(Key("phi_deg", tic)),
            {name: _change(diff.a, diff.b, Key(name, tic)) for name in names},
            [name for name in CHAIN if Key(name, tic) in differing],
        )
        for tic in sorted({key.phi_tic for key in keys if key.phi_tic is not None})
    ]


def _phi_numbers(diff: Diff) -> list[Key]:
    """Taps of φ steps that are one number, of the chain alone."""
    keys = {**diff.a.taps, **diff.b.taps}
    known = (key for key in keys if key.phi_tic is not None and key.name in CHAIN)
    return [key for key in known if diff.a.number(key) is not None or diff.b.number(key) is not None]


def _change(a: TraceFile, b: TraceFile, key: Key) -> float | None:
    """B − A; None where one of them is missing."""
    one, other = a.number(key), b.number(key)
    return None if one is None or other is None else other - one


def _scaling(diff: Diff) -> Table:
    rows = []
    for name, a, b, ratio in _ratios(diff):
        rows.append((name, f"{a:.15g}", f"{b:.15g}", "–" if ratio is None else f"{ratio:.12g}"))
    return Table("From the cell to the pixel", ("factor", "A", "B", "B / A"), rows)


def _ratios(diff: Diff) -> list[tuple[str, float, float, float | None]]:
    values = [(name, diff.a.number(Key(name)), diff.b.number(Key(name))) for name in SCALING_CHAIN]
    return [(name, a, b, b / a if a else None) for name, a, b in values if a is not None and b is not None]


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
        told["per_phi"] = [
            {"phi_tic": tic, "phi_deg": phi, **changes, "beyond_tolerance": beyond}
            for tic, phi, changes, beyond in _phi_steps(diff)
        ]
    if scaling:
        told["scaling"] = {name: {"a": a, "b": b, "ratio": ratio} for name, a, b, ratio in _ratios(diff)}
    return told


def _valid(value: Any) -> Any:
    """The value for JSON, which has no infinite numbers and no NaN: words in their place."""
    if isinstance(value, dict):
        return {name: _valid(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


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
