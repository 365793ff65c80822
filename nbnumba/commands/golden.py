"""``nbnumba golden``: record suites of golden images, and check others against them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..choices import RENDERERS, Precision
from ..comparison.programs import words_of
from ..errors import DIFFERS, DONE, RECORDED, UsageError
from ..golden_suite_generator.cases import CASES
from ..golden_suite_generator.suite import (
    Case,
    Result,
    cases_of,
    check_backend,
    check_program,
    read_cases,
    read_golden,
    read_recorder,
    read_rows,
    record,
    refuse_recorder,
    select,
)
from ..tolerances import BY_PRECISION
from .base import Parser


def main(argv: Sequence[str]) -> int:
    """Run ``nbnumba golden`` with its arguments and return its exit status.

    Raises
    ------
    UsageError, InputFileError, RunnerError, ResourceError
        A suite, a table or a program that cannot be used, or a folder that cannot be written.
    """
    options = _parser().parse_args(argv)
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba golden",
        description="Record golden images of a program, and check others against them.",
        ends_with=(DIFFERS, RECORDED),
    )
    actions = parser.add_subparsers(required=True, metavar="record|check|list|show", parser_class=Parser)

    def add(name: str, action: Callable[[argparse.Namespace], int], text: str, *verdicts: int) -> Parser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", ends_with=verdicts)
        added.set_defaults(action=action)
        return added

    to_record = add("record", _record, "run a program on a table of cases and keep what it gives", RECORDED)
    to_check = add("check", _check, "hold a program or a backend of ours against a suite", DIFFERS)
    to_list = add("list", _list, "show the cases of a suite, or those recorded by default")
    to_show = add("show", _show, "show one case")

    to_list.add_argument("suite", type=Path, nargs="?")
    for action in (to_record, to_check, to_show):
        action.add_argument("suite", type=Path, help="its folder")
    to_show.add_argument("name")
    for action in (to_record, to_check):
        action.add_argument("-only", nargs="+", metavar="NAME", help="these cases alone")

    to_record.add_argument("-bin", metavar="CMD", help="the program (default: that of NB_C_BIN)")
    to_record.add_argument("-table", type=Path, metavar="FILE", help="cases, as cases.json (default: a small set)")
    to_record.add_argument("-inputs", type=Path, metavar="DIR", help="input files (default: inputs beside the table)")
    to_record.add_argument("-force", action="store_true", help="overwrite a suite")

    who = to_check.add_mutually_exclusive_group()
    who.add_argument("-bin", metavar="CMD", help="run this program on the arguments as recorded")
    who.add_argument("-backend", choices=RENDERERS, default="cpu", help="one of ours (cpu)")
    to_check.add_argument("-mixed", action="store_true", help="mixed precision, and the tolerance for it")
    to_check.add_argument("-self", action="store_true", help="check a program against its own recording")
    return parser


def _record(options: argparse.Namespace) -> int:
    command = options.bin or os.environ.get("NB_C_BIN")
    if not command:
        raise UsageError("no program to record: give -bin CMD, or set NB_C_BIN")
    if options.suite.exists() and not options.force:
        raise UsageError(f"{options.suite} exists: give another folder, or -force to overwrite it")
    rows: list[dict[str, Any]] = CASES if options.table is None else read_rows(options.table)
    chosen = select(cases_of(rows, options.table), options.only)
    names = {case.name for case in chosen}
    inputs = options.inputs
    if inputs is None and options.table is not None and (options.table.parent / "inputs").is_dir():
        inputs = options.table.parent / "inputs"
    record(options.suite, chosen, [row for row in rows if row["name"] in names], inputs, words_of(command))
    print(f"recorded {len(chosen)} cases of {command} in {options.suite}; nothing was checked")
    return RECORDED


def _check(options: argparse.Namespace) -> int:
    words = words_of(options.bin) if options.bin else None
    if not options.self:
        refuse_recorder(read_recorder(options.suite), words)
    cases = select(read_cases(options.suite / "cases.json"), options.only)
    width = max(len(case.name) for case in cases)
    tolerance = BY_PRECISION[_precision(options)]
    print(f"|difference| <= {tolerance.relative:g} |pixel| + {tolerance.of_max:g} max")
    print(f"{'case':{width}}  mode         worst ratio  result")
    results = []
    for result in _results(options, cases, words):
        print(_line(result, width), flush=True)
        results.append(result)
    agreeing = sum(result.agrees for result in results)
    print(f"{agreeing} of {len(results)} agree")
    return DONE if agreeing == len(results) else DIFFERS


def _results(options: argparse.Namespace, cases: Sequence[Case], words: Sequence[str] | None) -> Iterator[Result]:
    for case in cases:
        if words is not None:
            yield check_program(options.suite, case, words, BY_PRECISION[_precision(options)])
            continue
        for mode in case.modes:
            yield check_backend(options.suite, case, mode, options.backend, _precision(options))


def _precision(options: argparse.Namespace) -> Precision:
    return "mixed" if options.mixed else "double"


def _line(result: Result, width: int) -> str:
    verdict = "ok" if result.agrees else f"differs{f': {result.problem}' if result.problem else ''}"
    return f"{result.name:{width}}  {result.mode:11}  {result.worst:11.3g}  {verdict}"


def _list(options: argparse.Namespace) -> int:
    cases = cases_of(CASES) if options.suite is None else read_cases(options.suite / "cases.json")
    width = max(len(case.name) for case in cases)
    for case in cases:
        print(f"{case.name:{width}}  {','.join(case.modes):7}  {' '.join(case.tags)}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    (case,) = select(read_cases(options.suite / "cases.json"), [options.name])
    print("\n".join(_described(case)))
    golden = read_golden(options.suite, case.name)
    image = golden["float"]
    slow, fast = np.unravel_index(np.argmax(image), image.shape)
    print(f"image         {image.shape[1]} x {image.shape[0]} pixels (fast x slow), sum {image.sum(dtype=float):.9g}")
    print(f"maximum       {image[slow, fast]:.9g} at slow {slow} fast {fast}")
    print(f"kept          {' '.join(sorted(golden))}")
    return DONE


def _described(case: Case) -> list[str]:
    lines = [f"name          {case.name}", f"args          {' '.join(case.args)}"]
    if case.reference_args is not None:
        lines.append(f"recorded with {' '.join(case.reference_args)}")
    return [*lines, f"modes         {' '.join(case.modes)}", f"tags          {' '.join(case.tags)}"]
