"""``nbnumba fuzz``: random command lines through two programs, whose images must agree."""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..comparison.fuzz import OURSELVES, Difference, as_test, program, search
from ..comparison.programs import RunnerError
from ..errors import DIFFERS, DONE, UsageError
from ..formats.files import replacing
from ..seeds import fresh_seed
from ..tolerances import DOUBLE, Tolerance
from .base import Parser, made_folder


def main(argv: Sequence[str]) -> int:
    """Run ``nbnumba fuzz`` with its arguments and return its exit status.

    Raises
    ------
    UsageError, RunnerError, ResourceError
        What kept the programs from being tried.
    """
    options = _parsed(argv)
    tolerance = Tolerance(*options.tolerance)
    seed = fresh_seed() if options.seed is None else options.seed
    a, b = program(options.a), program(options.b)
    began = time.perf_counter()

    def keep(found: Difference) -> None:
        path = _write_test(found, options, tolerance)
        _end_progress()
        print(f"difference: {found.kind}: {found.text}")
        print(f"  nbnumba -mode c {shlex.join(found.args)}")
        print(f"  kept as {path}", flush=True)

    try:
        result = search(a, b, options.n, seed, tolerance, _show_progress if sys.stderr.isatty() else None, keep)
    finally:
        _end_progress()
    if len(result.refused) == result.command_lines:
        raise RunnerError(f"both programs failed on every command line, at last with: {result.refused[-1].text}")
    known = f" ({result.known} not run: they have the options of a difference found before)" if result.known else ""
    refused = f", {len(result.refused)} refused by both" if result.refused else ""
    print(
        f"{result.command_lines} command lines{known}{refused}, {len(result.differences)} differences, "
        f"{time.perf_counter() - began:.1f} s, -seed {seed}"
    )
    return DIFFERS if result.differences else DONE


# The command line ------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba fuzz",
        description="Run random command lines in nanoBragg's options through two programs and compare the images.\n"
        "Each difference becomes a test in DIR that fails as long as the programs disagree.",
        ends_with=(DIFFERS,),
    )
    parser.add_argument(
        "-a", metavar="CMD", default=os.environ.get("NB_C_BIN"), help="first program (that of NB_C_BIN)"
    )
    parser.add_argument(
        "-b", metavar="CMD", default=OURSELVES, help=f"second program ({OURSELVES}: mode c, in this process)"
    )
    parser.add_argument("-n", type=int, default=1000, metavar="n", help="how many command lines (1000)")
    parser.add_argument("-seed", type=int, metavar="s", help="which command lines (drawn, and told)")
    parser.add_argument(
        "-tolerance",
        nargs=2,
        type=float,
        default=(DOUBLE.relative, DOUBLE.of_max),
        metavar=("rel", "abs"),
        help=f"a pixel may differ by rel·|pixel| + abs·max ({DOUBLE.relative:g} {DOUBLE.of_max:g})",
    )
    parser.add_argument("-out", default=".", metavar="DIR", help="where tests of differences are written (.)")
    return parser


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    options = _parser().parse_args(argv)
    if not options.a:
        raise UsageError("no first program: give -a CMD, or set NB_C_BIN")
    if options.n < 1:
        raise UsageError(f"-n {options.n}: must be a count, 1 or more")
    if not all(0.0 <= allowed < float("inf") for allowed in options.tolerance):
        raise UsageError(f"-tolerance {options.tolerance}: must be two numbers, 0 or more")
    return options


# What is told ----------------------------------------------------------------------------------------------------


def _show_progress(tried: int) -> None:
    print(f"\r{tried} command lines", end="", file=sys.stderr, flush=True)


def _end_progress() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _write_test(found: Difference, options: argparse.Namespace, tolerance: Tolerance) -> Path:
    """Write the test of a difference, named by a hash of its command line."""
    digest = hashlib.sha256("\0".join(found.args).encode()).hexdigest()[:8]
    path = made_folder(options.out).absolute() / f"test_difference_{digest}.py"
    with replacing(path) as file:
        file.write(as_test(found, options.a, options.b, tolerance).encode())
    return path
