"""What the commands have in common: one parser, whose help tells what a command ends with."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ..errors import NbnumbaWarning, ResourceError, UsageError, exit_statuses


class Parser(argparse.ArgumentParser):
    """The arguments of a command: options whole, errors as :class:`UsageError`, exit statuses at the end of its help.

    Parameters
    ----------
    prog : str
        As it is called: ``nbnumba compare``.
    ends_with : tuple of int
        What it can end with that most commands cannot: DIFFERS, RECORDED.
    options
        Of an ArgumentParser.
    """

    def __init__(self, *, prog: str, ends_with: tuple[int, ...] = (), epilog: str = "", **options: Any) -> None:
        super().__init__(
            prog=prog,
            epilog=f"{epilog}\n\n{exit_statuses(*ends_with)}".lstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
            **options,
        )
        self.add_argument("-h", "-help", "--help", action="help", help="show this and end")

    def parse_around(self, argv: Sequence[str]) -> tuple[argparse.Namespace, tuple[str, ...]]:
        """What the command itself is told and, after ``--``, nanoBragg's options."""
        end = argv.index("--") if "--" in argv else len(argv)
        return self.parse_args(argv[:end]), tuple(argv[end + 1 :])

    def taken(self, argv: Sequence[str], own: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """What a command's own options say, "" where they are not given, and all other words: those of a simulation.

        argparse would take -osc for -o. ``own`` says in help's words what each option takes.
        """
        if any(word in ("-h", "-help", "--help") for word in argv):
            self.parse_args(["-h"])
        words, values = list(argv), dict.fromkeys(own, "")
        for name in own:
            while name in words:
                where = words.index(name)
                if where + 1 >= len(words):
                    self.error(f"{name} needs a value: {own[name]}")
                values[name] = words[where + 1]
                del words[where : where + 2]
        return values, words

    def error(self, message: str) -> NoReturn:
        """Say in one line what cannot be."""
        raise UsageError(f"{message}; {self.prog} -h tells more")


def made_folder(path: str | Path, entry: str = "-out") -> Path:
    """A folder, made where it is missing; ``entry`` is what says which.

    Raises
    ------
    ResourceError
        It cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {folder}: {error.strerror}; give another with {entry}") from error
    return folder


@contextmanager
def warnings_told(program: str) -> Iterator[None]:
    """Say on stderr at the block's end what it warned of, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("module", NbnumbaWarning)
        yield
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            print(f"{program}: warning: {text}", file=sys.stderr)
