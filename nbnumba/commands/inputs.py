"""The files that a command reads: those that it names, and the cache of structure factors of an earlier run."""

import os
import warnings
from collections.abc import Iterator

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment, changed
from ..experiment.files import files_of
from ..formats.files import check_writable
from ..nanobragg.command import Command

DUMP = "Fdump.bin"


def input_files(command: Command) -> Iterator[str]:
    """The files that a command names to be read; the cache of structure factors, which may be written, is none."""
    if command.experiment_file is not None:
        yield command.experiment_file
    yield from files_of(command.experiment, cache=False)


def check_output(path: str, command: Command, *images: str) -> None:
    """Refuse before the work a file of -o that is read, beside ``images``, or that cannot be written."""
    if os.path.realpath(path) in map(os.path.realpath, (*images, *input_files(command))):
        raise UsageError(f"-o {path} is an input file too: give another name")
    check_writable(path)


def with_cached_factors(experiment: Experiment) -> Experiment:
    """Without a list of reflections, the cache of an earlier run is read if it is there.

    Warns
    -----
    NbnumbaWarning
        It is read; or it is asked for and missing.
    """
    factors = experiment.structure_factors
    if factors.hkl_file is not None or factors.coordinate_file is not None or factors.reflections is not None:
        return experiment
    cache = factors.dump_file or DUMP
    if os.path.exists(cache):  # which also takes names that no file can have
        _warn(f"structure factors are read from {cache}, of an earlier run")
        return changed(experiment, structure_factors={"dump_file": cache})
    if factors.dump_file is not None:
        _warn(f"-dump {cache}: there is no such file, nor -hkl to make it from; every F is {factors.default_f:g}")
    return experiment


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=4)
