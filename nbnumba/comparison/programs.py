"""Other programs that take nanoBragg's options: run in a folder of their own, their images read back."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import USAGE, InputFileError, NbnumbaError, UsageError
from ..formats.files import read_bytes
from ..formats.images.raw import read_raw
from ..formats.images.smv import header_value
from ..nanobragg.kinds import ELEMENT, FILE, MATERIAL
from ..nanobragg.table import OPTIONS, OUTPUT

OWN = (sys.executable, "-m", "nbnumba")
"""The command that runs this very program."""

FLOAT_FILE, INT_FILE = "floatimage.bin", "intimage.img"
STDOUT_FILE, STDERR_FILE = "stdout.txt", "stderr.txt"

OUTPUT_NAMES, INPUT_NAMES = (
    {name for option in OPTIONS if option.kind is FILE and (option.group == OUTPUT) is output for name in option.names}
    for output in (True, False)
)
"""Options that name files, without dashes."""
CURVE_NAMES = {name for option in OPTIONS if option.kind in (ELEMENT, MATERIAL) for name in option.names}
"""Those of which a value may be a file or end with =file."""

_VALUED_NAMES = {name for option in OPTIONS if option.values for name in option.names}
_LAST_LINES = 3


class RunnerError(NbnumbaError):
    """A program that did not do its work: names it, its exit status and its last words."""

    exit_status = USAGE


@dataclass(frozen=True)
class Finished:
    """A run that ended well."""

    folder: Path
    """Holds its output files, ``stdout.txt`` and ``stderr.txt``."""
    seconds: float

    @property
    def header(self) -> str:
        """The SMV header of the integer image, from ``{`` to ``}``."""
        # Only the text: where it exceeds HEADER_BYTES the reference's pixels start late (C-17).
        content = read_bytes(self.folder / INT_FILE, "the integer image")
        return content[: content.find(b"}") + 1].decode("latin-1")

    @property
    def photons(self) -> npt.NDArray[np.float32]:
        """The float image, shape (slow, fast) as the SMV header says.

        Raises
        ------
        InputFileError
            An image that was not written, or whose size is not that of the header.
        """
        slow, fast = (header_value(self.header, keyword, whole=True) for keyword in ("SIZE2", "SIZE1"))
        if slow is None or fast is None:
            raise InputFileError(f"{self.folder / INT_FILE}: no SIZE1 and SIZE2; must begin with an SMV header")
        return read_raw(self.folder / FLOAT_FILE, (int(slow), int(fast)))


def words_of(command: str) -> tuple[str, ...]:
    """A command as typed, in words that mean the same in any folder.

    Raises
    ------
    UsageError
        It is empty, its quotes do not match, or its program cannot be found.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"command {command!r}: {error}; must be as a shell takes it") from error
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise UsageError(f"command {command!r}: no such program; must be an executable with its first arguments")
    # A link is not followed: an environment's Python is known by the link's place.
    return (os.path.abspath(program), *(os.path.abspath(word) if os.path.isfile(word) else word for word in words[1:]))


def separated(args: Sequence[str]) -> Iterator[str]:
    """Options and their values in words of their own, which every program takes: not ``-hkl=P1.hkl``."""
    for word in args:
        name, equals, value = word.partition("=")
        yield from (name, value) if equals and name_of(name) in _VALUED_NAMES else (word,)


def name_of(word: str) -> str:
    """An option's name without dashes; empty for a value."""
    return word.lstrip("-") if word.startswith("-") else ""


def outputs_of(args: Sequence[str]) -> set[str]:
    """Names of the options that say where these options' outputs go."""
    # The cache of -hkl is written beside it, read without it.
    return OUTPUT_NAMES | {"dump"} if "hkl" in map(name_of, args) else OUTPUT_NAMES


def _with_outputs_inside(args: Sequence[str]) -> Iterator[str]:
    args = list(separated(args))
    outputs, before = outputs_of(args), ""
    for word in args:
        yield os.path.basename(word) if name_of(before) in outputs else word
        before = word


def run(words: Sequence[str], args: Sequence[str], folder: Path) -> Finished:
    """Run a program in ``folder`` and keep what it prints and writes there.

    Parameters
    ----------
    words : sequence of str
        The program and its first arguments, as :func:`words_of` gives them.
    args : sequence of str
        nanoBragg's options. Float and integer image get names known here, whatever these say, and other outputs stay
        in the folder.
    folder : path
        Where it runs; exists.

    Raises
    ------
    RunnerError
        It cannot be started, ends with another status than 0, or writes no image.
    """
    line = [*words, *_with_outputs_inside(args), "-floatfile", FLOAT_FILE, "-intfile", INT_FILE]
    name = shlex.join(words)
    started = time.perf_counter()
    try:
        with open(folder / STDOUT_FILE, "wb") as out, open(folder / STDERR_FILE, "wb") as err:
            status = subprocess.run(
                line, cwd=folder, env=_environment(words), stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False
            ).returncode
    except OSError as error:
        raise RunnerError(f"{name}: cannot be run: {error.strerror}") from error
    seconds = time.perf_counter() - started
    if status != 0:
        raise RunnerError(f"{name}: exit status {status}; its last words: {_last_words(folder)}")
    for file in (FLOAT_FILE, INT_FILE):
        if not (folder / file).is_file():
            raise RunnerError(f"{name}: wrote no {file}; its last words: {_last_words(folder)}")
    return Finished(folder, seconds)


def _environment(words: Sequence[str]) -> dict[str, str]:
    """Ours, with one thread for OpenMP, and this program known to a Python that runs in another folder.

    Every thread of a reference that was built with OpenMP starts its memory of the sample before afresh (C-9, C-10):
    its image would depend on how many there are. Who asks for more gets them.
    """
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    if tuple(words) == OWN:
        paths = [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def _last_words(folder: Path) -> str:
    """The last lines of what was printed, errors rather than the report, on one line."""
    for file in (STDERR_FILE, STDOUT_FILE):
        lines = (folder / file).read_text(errors="replace").split("\n")
        spoken = [line.strip() for line in lines if line.strip()]
        if spoken:
            return " | ".join(spoken[-_LAST_LINES:])
    return "none"
