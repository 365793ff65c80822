"""The command: picks what to run and turns errors into one line and an exit status."""

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from types import ModuleType
from typing import Any, TextIO

from . import interruption
from .errors import DONE, INTERRUPTED, RESOURCE, STOPPED, USAGE, NbnumbaError

COMMANDS = {
    "demo": "render lysozyme and show what the program writes",
    "compare": "run two programs on one command line, or take two images, and compare them",
    "fuzz": "search for command lines on which two programs disagree",
    "campaign": "simulate many images of one description, on one machine or a cluster",
    "devices": "list the GPUs that can be used and what is missing",
    "detectors": "list the detectors that are known by name",
    "detect": "write what a detector reads of an image of photons",
    "profile": "write the radial background of a measured image",
    "refine": "refine numbers of an experiment against a measured image",
    "hkl": "write structure factors as a list of h k l F, all of P 1",
    "golden": "record and check suites of golden images",
    "trace": "write down how the values of single pixels come about",
    "trace-diff": "find where two traces of a pixel begin to differ",
}
"""First words that name something other than a simulation, each a module of nbnumba.commands."""

RESUMABLE = ["campaign", "run"]
"""What goes on where a signal has stopped it."""


class _PrintError(OSError):
    """What the system refuses to print on stdout."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, that of the process by default, and return its exit status.

    The process's own command hears signals, and takes a closed stdout or stderr for one that nobody reads.
    """
    if argv is not None:
        return _guarded(list(argv))
    interruption.end_on_signals(STOPPED if sys.argv[1:3] == RESUMABLE else None)
    _open_closed_streams()
    # Of what modules make as they are imported nothing is ever garbage; to look for it takes a tenth of a small run.
    gc.disable()
    try:
        return _guarded(sys.argv[1:], _collect_garbage_from_now_on)
    finally:
        interruption.forget_signals()


def _collect_garbage_from_now_on() -> None:
    gc.freeze()
    gc.enable()


def _guarded(args: list[str], imported: Callable[[], None] = lambda: None) -> int:
    """Turn what goes wrong into one line and an exit status; ``imported`` is called before the work begins."""
    name = f"nbnumba {args[0]}" if args and args[0] in COMMANDS else "nbnumba"

    def failed(status: int, text: str) -> int:
        with suppress(OSError):
            print(f"{name}: {text}", file=sys.stderr)
        return status

    if isinstance(sys.stdout, io.TextIOWrapper):
        # Å, or a file name, in an encoding that lacks it; stderr escapes such letters of its own accord.
        sys.stdout.reconfigure(errors="replace")
    try:
        with redirect_stdout(_Printed(sys.stdout)):
            status = _run(args, imported)
            print(end="", flush=True)
        return status
    except NbnumbaError as error:
        return failed(error.exit_status, str(error))
    except MemoryError as error:
        return failed(RESOURCE, f"not enough memory: {str(error) or 'give fewer pixels or a smaller table'}")
    except OverflowError as error:
        return failed(USAGE, f"a value is too large to compute with ({error}): give smaller ones")
    except interruption.Interrupted as error:
        said = f"{interruption.SIGNALS[error.number]}; {interruption.NOTHING_LEFT}"
        return failed(128 + error.number, said)
    except KeyboardInterrupt:
        return failed(INTERRUPTED, f"interrupted; {interruption.NOTHING_LEFT}")
    except BrokenPipeError:
        return DONE
    except _PrintError as error:
        return failed(RESOURCE, f"cannot print: {error.strerror or error}")
    except OSError as error:
        return failed(RESOURCE, f"the system refuses: {error}")
    finally:
        _drop_unprinted()


class _Printed:
    """stdout, such that its faults are told from those of files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print."""
        with _printing():
            return self._stream.write(text)

    def flush(self) -> None:
        """Print what is kept back."""
        with _printing():
            self._stream.flush()


@contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _PrintError(error.errno, error.strerror) from error


def _open_closed_streams() -> None:
    """Let nobody read what goes to a closed stdout or stderr, rather than a file that is opened in its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _drop_unprinted() -> None:
    """What could not be printed is not tried again when Python ends, which would change the exit status."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(args: list[str], imported: Callable[[], None]) -> int:
    if args and args[0] in COMMANDS:
        if args[:2] != RESUMABLE:
            # These run programs and have folders to put away.
            interruption.unwind_on_signals()
        command, words = _command_of(args)
        imported()
        return int(command.main(words))
    from .nanobragg.parse import parse, wants_help, wants_version

    if wants_help(args) or not args:
        from .nanobragg.help import parser

        print(parser().format_help(), end="", file=sys.stdout if args else sys.stderr)
        return DONE if args else USAGE
    if wants_version(args):
        from .version import __version__

        print(f"nbnumba {__version__}")
        return DONE
    simulation = parse(args)
    from .commands.simulate import run

    imported()
    return run(simulation)


def _command_of(args: list[str]) -> tuple[ModuleType, list[str]]:
    """The module of a command, or of its verb where it has such, and the words that are left to it."""
    command = import_module(f".commands.{args[0].replace('-', '_')}", __package__)
    if args[1:] and args[1] in getattr(command, "VERBS", ()):
        return import_module(f".{args[1]}", command.__name__), args[2:]
    return command, args[1:]
