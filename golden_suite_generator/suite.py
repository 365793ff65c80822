"""Golden suites: what a program gave for a table of command lines, and how others compare with it.

A suite is a folder with ``cases.json`` (the table), ``inputs/`` (the files that the command lines name), ``NAME.npz``
for each case and, where it was recorded here, ``manifest.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

import nbnumba
from nbnumba.choices import BackendName, Precision
from nbnumba.comparison.programs import INT_FILE, Finished, RunnerError, run
from nbnumba.errors import InputFileError, NbnumbaWarning, ResourceError, UsageError
from nbnumba.experiment import Mode
from nbnumba.formats.arrays import read_arrays
from nbnumba.formats.files import read_bytes, read_text, replacing
from nbnumba.formats.images.smv import read_smv, smv_header
from nbnumba.nanobragg.parse import parse
from nbnumba.simulation import simulate
from nbnumba.tolerances import BY_PRECISION, Tolerance

AS_RECORDED = "as recorded"
"""In place of a mode: the arguments that were recorded, whatever they mean to the program."""

_TAGGED_OUTPUTS = {"noise": "-noisefile", "pgm": "-pgmfile"}
"""Tags for which more is kept, and the option that names that file."""

_OWN_NAME = "nbnumba"
_LARGEST_SCRIPT = 1 << 16


@dataclass(frozen=True)
class Case:
    """One command line."""

    name: str
    args: tuple[str, ...]
    tags: tuple[str, ...]
    modes: tuple[str, ...]
    """In which the program must match."""
    reference_args: tuple[str, ...] | None = None
    """What the reference is run with, where it takes other options for the same image."""
    bin: int = 1
    """The reference renders pixels that much smaller, which are then summed."""

    @property
    def recorded_args(self) -> tuple[str, ...]:
        """What the reference is run with."""
        return self.args if self.reference_args is None else self.reference_args


@dataclass(frozen=True)
class Result:
    """How one case compares in one mode."""

    name: str
    mode: str
    worst: float
    """Largest difference in units of the tolerance."""
    problem: str = ""
    """What else differs."""

    @property
    def agrees(self) -> bool:
        """Whether every pixel, and what else is compared, is as recorded."""
        return self.worst <= 1.0 and not self.problem


# Tables and suites -----------------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table in the format of ``cases.json``.

    Raises
    ------
    InputFileError
        A file that cannot be read or holds no table.
    """
    text = read_text(path, "the table of cases")
    try:
        return list(json.loads(text)["cases"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputFileError(f"{path}: no table of cases ({error}); must be as cases.json of a suite") from error


def read_cases(path: Path) -> list[Case]:
    """The cases of a table; raises as :func:`read_rows` and :func:`cases_of`."""
    return cases_of(read_rows(path), path)


def cases_of(rows: Sequence[Mapping[str, Any]], path: Path | None = None) -> list[Case]:
    """The cases of a table; ``path`` says in errors where it is from.

    Raises
    ------
    InputFileError
        No cases, a doubled name, or a case without what it needs.
    """
    cases = []
    for row in rows:
        try:
            cases.append(_case_of(row))
        except (TypeError, ValueError) as error:
            raise InputFileError(f"{path}: case {row!r:.80}: {error}; must have name, args, tags, modes") from error
    names = [case.name for case in cases]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or not names:
        raise InputFileError(f"{path}: {f'{doubled[0]} occurs twice' if doubled else 'no cases'}; names must differ")
    return cases


def _case_of(row: Mapping[str, Any]) -> Case:
    if not isinstance(row, Mapping):
        raise TypeError("no mapping")
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    case = Case(**fields)
    # The name becomes that of a file of the suite.
    if not (isinstance(case.name, str) and re.fullmatch(r"\w[\w.+-]*", case.name)):
        raise ValueError(f"name {case.name!r} must be of letters, digits and _.+-")
    lists = {"args": case.args, "tags": case.tags, "modes": case.modes, "reference_args": case.recorded_args}
    for field, words in lists.items():
        if not (isinstance(words, tuple) and all(isinstance(word, str) for word in words)):
            raise ValueError(f"{field} {words!r} must be a list of texts")
    unknown = set(case.modes) - set(get_args(Mode))
    if unknown:
        raise ValueError(f"mode {min(unknown)!r} must be one of {', '.join(get_args(Mode))}")
    if not (isinstance(case.bin, int) and case.bin >= 1):
        raise ValueError(f"bin {case.bin!r} must be a count, 1 or more")
    return case


def select(cases: Sequence[Case], names: Sequence[str] | None) -> list[Case]:
    """The named cases, all of them where no names are given."""
    unknown = sorted(set(names or ()) - {case.name for case in cases})
    if unknown:
        raise UsageError(f"no case {unknown[0]!r}; golden list shows the names")
    return [case for case in cases if names is None or case.name in names]


def read_golden(suite: Path, name: str) -> dict[str, npt.NDArray[Any]]:
    """What was recorded of a case: ``float``, ``header`` and the other images that its tags ask for."""
    path = suite / f"{name}.npz"
    try:
        golden = read_arrays(path, "what was recorded")
    except InputFileError as error:
        raise InputFileError(f"{error}; record the suite again") from error
    missing = {"float", "header"} - golden.keys()
    if missing or golden["float"].ndim != 2 or golden["float"].dtype.kind not in "iuf":
        raise InputFileError(f"{path}: no image called float, or no header; record the suite again")
    return golden


def read_recorder(suite: Path) -> dict[str, Any] | None:
    """Who was recorded: ``command``, ``sha256`` and ``own``; None where the suite does not say."""
    path = suite / "manifest.json"
    if not path.exists():
        return None
    try:
        program = json.loads(read_text(path, "the manifest"))["program"]
        return {name: program[name] for name in ("command", "sha256", "own")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputFileError(f"{path}: no manifest ({error}); record the suite again, or remove it") from error


# Recording -------------------------------------------------------------------------------------------------------


def record(
    suite: Path, cases: Sequence[Case], rows: Sequence[Mapping[str, Any]], inputs: Path | None, words: Sequence[str]
) -> None:
    """Run a program on every case and write the suite, all of it or nothing.

    Parameters
    ----------
    suite : path
        Folder to be written.
    cases, rows : sequences
        The table, as cases and as it stands in ``cases.json``.
    inputs : path, optional
        Folder of the input files, copied into the suite.
    words : sequence of str
        The program and its first arguments.

    Raises
    ------
    UsageError, RunnerError, ResourceError
        Inputs that are no folder, a program that fails, a folder that cannot be written.
    """
    if inputs is not None and not inputs.is_dir():
        raise UsageError(f"inputs {inputs}: no such folder; must hold the files that the command lines name")
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        new = Path(name) / "suite"
        shutil.copytree(inputs, new / "inputs") if inputs else (new / "inputs").mkdir(parents=True)
        for case in cases:
            with scratch(new) as folder:
                figures = _figures(case, words, folder)
            np.savez_compressed(new / f"{case.name}.npz", **figures)
        _write_json(new / "cases.json", {"cases": list(rows)})
        _write_json(new / "manifest.json", _manifest(new, cases, words))
        try:
            shutil.copytree(new, suite, dirs_exist_ok=True)
        except OSError as error:
            raise ResourceError(f"cannot write the suite {suite}: {error}; give another folder") from error


def _figures(case: Case, words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a program on a case, and what is kept of that."""
    named = ((tag, option) for tag, option in _TAGGED_OUTPUTS.items() if tag in case.tags)
    finished = _run(case, words, folder, [word for tag, option in named for word in (option, tag)])
    figures: dict[str, Any] = {"float": summed(finished.photons, case.bin), "header": finished.header}
    if "int" in case.tags:
        figures["int"] = read_smv(folder / INT_FILE).pixels
    if "noise" in case.tags:
        figures["noise"] = read_smv(folder / "noise").pixels
    if "pgm" in case.tags:
        figures["pgm"], figures["pgm_head"] = _read_pgm(folder / "pgm", finished.photons.shape)
    return figures


def _run(case: Case, words: Sequence[str], folder: Path, more_args: Sequence[str] = ()) -> Finished:
    try:
        return run(words, [*case.recorded_args, *more_args], folder)
    except RunnerError as error:
        raise RunnerError(f"{case.name}: {error}") from error


def _read_pgm(path: Path, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], str]:
    content = read_bytes(path, "the gray map")
    head = len(content) - int(np.prod(shape))
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape), content[:head].decode("latin-1")


def summed(image: npt.NDArray[np.float32], bin: int) -> npt.NDArray[np.float32]:
    """Blocks of ``bin`` × ``bin`` pixels, summed."""
    slow, fast = (size // bin for size in image.shape)
    blocks = image[: slow * bin, : fast * bin].reshape(slow, bin, fast, bin)
    return blocks.sum(axis=(1, 3), dtype=np.float64).astype(np.float32)


def _manifest(suite: Path, cases: Sequence[Case], words: Sequence[str]) -> dict[str, Any]:
    return {
        "program": {"command": shlex.join(words), "sha256": fingerprint(words), "own": is_own(words)},
        "inputs": _hashes(suite, "inputs/**/*"),
        "files": _hashes(suite, "cases.json") | _hashes(suite, "*.npz"),
        "arguments": {case.name: list(case.recorded_args) for case in cases},
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "versions": {
            "nbnumba": nbnumba.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


# Checking --------------------------------------------------------------------------------------------------------


def check_program(suite: Path, case: Case, words: Sequence[str], tolerance: Tolerance) -> Result:
    """Hold what a program gives for the recorded arguments against the recording."""
    with scratch(suite) as folder:
        finished = _run(case, words, folder)
        return _result(case, AS_RECORDED, summed(finished.photons, case.bin), finished.header, suite, tolerance)


def check_backend(suite: Path, case: Case, mode: str, backend: BackendName, precision: Precision) -> Result:
    """Hold what a backend gives for a case's own arguments in a mode against the recording."""
    with scratch(suite) as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        image = simulate(parse([*case.args, "-mode", mode]).experiment, backend, precision)
    header = smv_header(image.smv_geometry) if mode == "c" else None
    return _result(case, mode, image.photons, header, suite, BY_PRECISION[precision])


def worst_ratio(image: npt.NDArray[np.float32], golden: npt.NDArray[np.float32], tolerance: Tolerance) -> float:
    """Largest difference of a pixel in units of what the tolerance allows it; infinite for a NaN."""
    pixels = golden.astype(np.float64)
    difference = np.abs(image - pixels)
    allowed = tolerance.allowed(np.abs(pixels), np.abs(pixels).max())
    ratios = np.divide(difference, allowed, out=np.full(pixels.shape, np.inf), where=allowed > 0)
    ratios[difference == 0] = 0.0
    worst = float(ratios.max())
    return worst if worst == worst else float("inf")


def _result(
    case: Case, mode: str, image: npt.NDArray[np.float32], header: str | None, suite: Path, tolerance: Tolerance
) -> Result:
    golden = read_golden(suite, case.name)
    if image.shape != golden["float"].shape:
        return Result(case.name, mode, float("inf"), f"shape {image.shape} for {golden['float'].shape}")
    problem = "" if header is None or header == str(golden["header"]) else "header"
    return Result(case.name, mode, worst_ratio(image, golden["float"], tolerance), problem)


@contextlib.contextmanager
def scratch(suite: Path) -> Iterator[Path]:
    """A folder with copies of the suite's input files, in which a program may write what it likes."""
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        folder = Path(name)
        if (suite / "inputs").is_dir():
            shutil.copytree(suite / "inputs", folder, dirs_exist_ok=True)
        yield folder


# Who recorded ----------------------------------------------------------------------------------------------------


def refuse_recorder(recorder: Mapping[str, Any] | None, words: Sequence[str] | None) -> None:
    """Raise a UsageError where a program, None for our backends, would be checked against its own recording."""
    if recorder is None:
        return
    if words is None or is_own(words):
        same = recorder["own"]
    else:
        same = recorder["sha256"] == fingerprint(words)
    if same:
        raise UsageError(
            f"this suite was recorded from the very program to be checked ({recorder['command']}), which proves "
            "nothing: record it from another one, or say -self"
        )


def fingerprint(words: Sequence[str]) -> str:
    """SHA-256 of the executable and of the scripts among its first arguments."""
    return hashlib.sha256(b"".join(Path(word).read_bytes() for word in words if os.path.isfile(word))).hexdigest()


def is_own(words: Sequence[str]) -> bool:
    """Whether a command runs this project's program: by name, or as a script that mentions it."""
    return any(Path(word).stem == _OWN_NAME or _mentions_us(Path(word)) for word in words)


def _mentions_us(path: Path) -> bool:
    return path.is_file() and path.stat().st_size < _LARGEST_SCRIPT and _OWN_NAME.encode() in path.read_bytes()


def _hashes(suite: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of the files of a suite."""
    return {
        path.relative_to(suite).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(suite.glob(pattern))
        if path.is_file()
    }
