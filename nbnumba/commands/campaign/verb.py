"""What the verbs have in common: a parser that takes the campaign first, and who renders."""

from __future__ import annotations

import argparse
from typing import Any

from ...choices import BACKENDS, PRECISIONS
from ...errors import INCOMPLETE, STOPPED, UsageError
from ...render.backends import How
from ..base import Parser


def verb_parser(
    name: str, description: str, ends_with: tuple[int, ...] = (INCOMPLETE, STOPPED), **options: Any
) -> Parser:
    """The parser of a verb, with the campaign as its first word."""
    parser = Parser(prog=f"nbnumba campaign {name}", description=description, ends_with=ends_with, **options)
    parser.add_argument("job", metavar="JOB.toml", help="the campaign")
    return parser


def add_how(parser: Parser, many: bool = False) -> None:
    """Options that say who renders: one process, or many."""
    parser.add_argument("-backend", choices=BACKENDS, default="auto", help="who renders (default: auto)")
    parser.add_argument("-precision", choices=PRECISIONS, default="double", help="of the lattice factor")
    of_many, of_each = ("; 1 with -local and -dask", "each worker of a machine another") if many else ("", "0")
    parser.add_argument("-threads", metavar="n", help=f"of the CPU (default: all cores{of_many})")
    parser.add_argument("-device", metavar="n", help=f"which GPU, or all (default: {of_each})")


def how_of(told: argparse.Namespace, threads: int | None = None) -> How:
    """Who renders."""
    given = whole("-threads", told.threads, 1) if told.threads is not None else threads
    device: Any = told.device if told.device == "all" else whole("-device", told.device or "0", 0)
    return How(told.backend, told.precision, given, device)


def whole(option: str, word: str, least: int, most: int | None = None) -> int:
    """The whole number that an option says; a UsageError for any other word."""
    if not word.isascii() or not word.isdigit() or int(word) < least or (most is not None and int(word) > most):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        raise UsageError(f"{option} {word}: give a whole number, {bounds}")
    return int(word)
