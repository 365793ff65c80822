"""``nbnumba trace``: how the values of single pixels come about, written down with what made them."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..choices import PRECISIONS, RENDERERS, BackendName, Precision
from ..comparison.trace import Trace, brightest_pixels, trace_backend, trace_pixel
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..formats.files import replacing
from ..nanobragg.command import Command
from ..nanobragg.parse import parse
from ..render.job import render
from ..seeds import fresh_seed
from ..setup.inputs import read_inputs
from ..setup.resolve import Resolved, resolve
from .base import Parser, made_folder
from .inputs import input_files, with_cached_factors
from .report import versions

_EPILOG = """\
For a pixel at slow 9, fast 14:
  trace_s9_f14.log             the taps of an instrumented nanoBragg, in its order
  trace_s9_f14.json            the same, and the rotated cell, indices and factors of every φ step
  trace_s9_f14_cpu_mixed.json  with -backend or -precision: photons of the pixel and of each φ step as that renderer
                               has them
and provenance.json, which says what made them. nbnumba trace-diff compares any two of one pixel."""

_VARIABLES = ("NUMBA_", "NB_", "OMP_", "MKL_", "CUDA_", "PYTHON", "XDG_CACHE_HOME")
"""Environment variables that can change what is computed, or where compiled code is from, begin like these."""


def main(argv: list[str]) -> int:
    """Run ``nbnumba trace`` with its arguments and return its exit status.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What kept the pixels from being traced.
    """
    began = time.perf_counter()
    options, args = _parsed(argv)
    folder = made_folder(options.out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("module", NbnumbaWarning)
        command = parse(args)
        experiment = with_cached_factors(command.experiment)
        resolved = resolve(experiment, read_inputs(experiment), seed=fresh_seed())
        pixels = [(slow, fast) for slow, fast in options.pixel] + _brightest(resolved, options)
        files = [path for slow, fast in dict.fromkeys(pixels) for path in _write(resolved, slow, fast, options, folder)]
    told = [str(warning.message) for warning in caught]
    for text in told:
        print(f"nbnumba: warning: {text}", file=sys.stderr)
    _write_json(folder / "provenance.json", {
        "arguments": argv,
        "folder": os.getcwd(),
        "seed": resolved.experiment.noise.seed,
        "versions": versions(),
        "commit": _commit(),
        "processor": _processor(),
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
        "inputs": {path: _sha256(Path(path)) for path in _input_files(command, experiment)},
        "outputs": {path.name: _sha256(path) for path in files},
        "warnings": told,
        "seconds": time.perf_counter() - began,
    })  # fmt: skip
    print("\n".join(str(path) for path in [*files, folder / "provenance.json"]))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba trace",
        usage="nbnumba trace -pixel s f [options] -- ARGS",
        description="Write down every intermediate value of single pixels of the image that nanoBragg's options ARGS\n"
        "describe, in the plain arithmetic of the reference renderer.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "-pixel", nargs=2, type=int, action="append", default=[], metavar=("s", "f"),
        help="slow and fast, from 0; may be given again",
    )  # fmt: skip
    parser.add_argument("-brightest", type=int, default=0, metavar="n", help="render the image, trace n pixels of it")
    parser.add_argument("-mode", choices=("spec", "c", "c-parity"), help="(default: as ARGS say)")
    parser.add_argument("-backend", choices=RENDERERS, help="also what this renderer has")
    parser.add_argument("-precision", choices=PRECISIONS, help="also in this arithmetic (of cpu, by default)")
    parser.add_argument("-out", default=".", metavar="DIR", help="folder to write into, made if need be (default: .)")
    return parser


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, Sequence[str]]:
    """What trace itself is told, and after ``--`` what the experiment is."""
    options, args = _parser().parse_around(argv)
    if not args:
        raise UsageError("give -- and nanoBragg's options")
    if not options.pixel and options.brightest < 1:
        raise UsageError("no pixel: give -pixel slow fast, or -brightest n with n of 1 or more")
    if options.backend == "reference" and options.precision == "mixed":
        raise UsageError("-backend reference -precision mixed: that renderer has double precision alone")
    return options, args if options.mode is None else [*args, "-mode", options.mode]


def _brightest(resolved: Resolved, options: argparse.Namespace) -> list[tuple[int, int]]:
    if options.brightest < 1:
        return []
    rendering = render(resolved, options.backend or "auto", options.precision or "double")
    return brightest_pixels(rendering.photons, options.brightest)


def _write(resolved: Resolved, slow: int, fast: int, options: argparse.Namespace, folder: Path) -> Iterator[Path]:
    """Trace one pixel and write its files."""
    trace = trace_pixel(resolved, slow, fast)
    stem = folder / f"trace_s{slow}_f{fast}"
    yield _write_bytes(stem.with_suffix(".log"), "".join(f"{line}\n" for line in trace.lines()).encode())
    yield _write_trace(stem.with_suffix(".json"), resolved, trace)
    if options.backend is not None or options.precision is not None:
        backend: BackendName = "cpu" if options.backend is None else options.backend
        precision: Precision = "double" if options.precision is None else options.precision
        other = trace_backend(resolved, slow, fast, backend, precision)
        yield _write_trace(folder / f"{stem.name}_{backend}_{precision}.json", resolved, other)


def _write_trace(path: Path, resolved: Resolved, trace: Trace) -> Path:
    return _write_json(path, {"mode": resolved.experiment.mode, **trace.to_dict()})


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    # Bytes of a file name that are no UTF-8 become the escapes by which JSON gives them back.
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return _write_bytes(path, text.encode(errors="backslashreplace"))


def _write_bytes(path: Path, content: bytes) -> Path:
    with replacing(path) as file:
        file.write(content)
    return path


# Provenance ------------------------------------------------------------------------------------------------------


def _input_files(command: Command, experiment: Experiment) -> list[str]:
    factors = experiment.structure_factors
    cache = [factors.dump_file] if factors.hkl_file is None and factors.dump_file is not None else []
    return [path for path in [*input_files(command), *cache] if os.path.isfile(path)]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _processor() -> str:
    import llvmlite.binding

    return f"{llvmlite.binding.get_host_cpu_name()}, {os.cpu_count()} threads"


def _commit() -> str | None:
    """The commit of the checkout that this file belongs to, ``-dirty`` where files differ from it; else None."""
    git, here = shutil.which("git"), Path(__file__)
    if git is None:
        return None

    def answer(*words: str) -> str | None:
        done = subprocess.run([git, "-C", here.parent, *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    belongs = answer("ls-files", "--error-unmatch", here.name) is not None
    return answer("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if belongs else None
