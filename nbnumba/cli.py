"""The command: picks what to run and turns errors into one line and an exit status."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from .errors import NbnumbaError

COMMANDS = {
    "demo": "render lysozyme and show what the program writes",
    "compare": "run two programs on one command line, or take two images, and compare them",
    "fuzz": "search for command lines on which two programs disagree",
    "devices": "list the GPUs that can be used and what is missing",
    "golden": "record and check suites of golden images",
    "trace": "write down how the values of single pixels come about",
    "trace-diff": "find where two traces of a pixel begin to differ",
}
"""First words that name something other than a simulation, each a module of nbnumba.commands."""

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Å, or a file name, in an encoding that lacks it; stderr escapes such letters of its own accord.
        sys.stdout.reconfigure(errors="replace")
    try:
        status = _run(args)
        print(end="", flush=True)
        return status
    except NbnumbaError as error:
        return _failed(error.exit_status, str(error))
    except MemoryError as error:
        return _failed(4, f"not enough memory: {str(error) or 'give fewer pixels or a smaller table'}")
    except OverflowError as error:
        return _failed(2, f"a value is too large to compute with ({error}): give smaller ones")
    except KeyboardInterrupt:
        return _failed(INTERRUPTED, "interrupted; nothing half written is left")
    except BrokenPipeError:
        return 0
    except OSError as error:
        return _failed(4, f"cannot print: {error.strerror or error}")
    finally:
        _drop_unprinted()


def _failed(status: int, text: str) -> int:
    with suppress(OSError):
        print(f"nbnumba: {text}", file=sys.stderr)
    return status


def _drop_unprinted() -> None:
    """What could not be printed is not tried again when Python ends, which would change the exit status."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(args: list[str]) -> int:
    from . import options

    if args and args[0] in COMMANDS:
        return int(import_module(f".commands.{args[0].replace('-', '_')}", __package__).main(args[1:]))
    if options.wants_help(args) or not args:
        print(options.parser().format_help(), end="", file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if options.wants_version(args):
        from .version import __version__

        print(f"nbnumba {__version__}")
        return 0
    command = options.parse(args)
    from .batch import run

    return run(command)
