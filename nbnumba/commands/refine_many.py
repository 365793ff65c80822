"""``nbnumba refine`` of several images: what they share, and what each has of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from ..differentiation.target import Target
from ..errors import UsageError
from ..experiment import Detector, Experiment
from ..formats.files import replacing, together
from ..formats.sinks import has_number, number_of_digits, numbered
from ..kernels.compile.jit import Compilation
from ..nanobragg.command import Command
from ..refinement.joint_outcome import JointRefinement
from ..refinement.joint_report import as_json, text_of
from ..refinement.many import refine_many
from ..refinement.names import all_fields
from ..refinement.report import json_text
from ..refinement.restraints import noun_of
from .base import warnings_told
from .refine import (
    PROGRAM,
    Asked,
    Told,
    asked_of,
    check_outputs,
    command_of,
    listed_names,
    measured_of,
    progress,
    reading_of,
    say_compiling,
    status_of,
)
from .report import versions

SHARED = ("crystal.cell", "detector")
"""Fields, and a noun, of which several images have the same where nobody says otherwise."""


def refine_several(told: Told) -> int:
    """Refine and write what came of it; a signal keeps the best that was found."""
    with warnings_told(PROGRAM):
        commands = _commands(told)
        files = _files(told)
        reports = [("-report", told.values["-report"])] if "-report" in told.values else []
        check_outputs(told, [*(("-o", path) for path in files), *reports], commands)
        result = _refined(told, commands)
        _write(told, result, files)
    status = status_of(result.interrupted)
    if not commands[0].run.quiet:
        print(text_of(result))
        print(f"\n{files[0]} ... {files[-1]}  the refined experiments")
        print("".join(f"{path}  this report as JSON\n" for _, path in reports), end="")
    return status


def _commands(told: Told) -> list[Command]:
    """Of each image."""
    images, starts = len(told.images), len(told.starts)
    if starts not in (0, 1, images):
        raise UsageError(f"-image: {images} images for {starts} starts; give one start for each, or one for all")
    if "-png" in told.values:
        raise UsageError(f"-png {told.values['-png']}: is of one image; leave it out, and refine the one by its result")
    commands = [command_of(told, start) for start in told.starts or (None,)]
    if commands[0].run.threads is not None:
        raise UsageError(f"-threads {commands[0].run.threads}: each of several images has one; give -processes instead")
    return commands if len(commands) == images else commands * images


def _files(told: Told) -> list[str]:
    """Of the refined experiments."""
    path = told.outputs["-o"]
    if not has_number(path):
        stem, suffix = os.path.splitext(path)
        path = f"{stem}_{'#' * number_of_digits(len(told.images))}{suffix}"
    return [numbered(path, number + 1) for number in range(len(told.images))]


def _divided(told: Told, asked: Asked, detector: Detector) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What all images share, and what each has of its own."""
    if "-shared" in told.values:
        shared = all_fields(listed_names(told.values["-shared"], "-shared"), detector, "-shared")
        for name in shared:
            if name not in asked.free:
                raise UsageError(f"-shared {name}: is not refined; add it to -free")
    else:
        shared = tuple(name for name in asked.free if noun_of(name) in SHARED or name.partition(".")[0] in SHARED)
    if not shared:
        raise UsageError(
            f"-free {told.values['-free']}: the images would share nothing; name what they do by -shared, or refine "
            "one by one"
        )
    return shared, tuple(name for name in asked.free if name not in shared)


def _processes(told: Told) -> int:
    word = told.values.get("-processes", "1")
    if not (word.isascii() and word.isdigit() and int(word) > 0):
        raise UsageError(f"-processes {word}: give a whole number, 1 or more")
    return int(word)


def _target(experiment: Experiment, path: str, told: Told) -> Target:
    return measured_of(experiment, path, told).target


def _refined(told: Told, commands: Sequence[Command]) -> JointRefinement:
    detector, run = commands[0].experiment.detector, commands[0].run
    asked = asked_of(told, detector)
    shared, own = _divided(told, asked, detector)
    reading_of(told)
    experiments = [command.experiment for command in commands]
    with Compilation(first=say_compiling), progress(run) as tell:
        return refine_many(
            experiments,
            [partial(_target, *pair, told) for pair in zip(experiments, told.images, strict=True)],
            shared,
            own,
            system=asked.system,
            restraints=asked.restraints,
            bounds=asked.bounds,
            stages=asked.stages,
            precision=run.precision,
            processes=_processes(told),
            progress=tell,
        )


def _write(told: Told, result: JointRefinement, files: Sequence[str]) -> None:
    """All files, or none."""
    with together():
        for one, path in zip(result.images, files, strict=True):
            with replacing(path) as file:
                file.write(one.experiment.to_toml().encode(errors="surrogateescape"))
        if "-report" in told.values:
            report = as_json(result) | {"versions": versions()}
            for told_of, one, path, image in zip(report["images"], result.images, files, told.images, strict=True):
                told_of |= {"image": image, "experiment": one.experiment.to_dict(), "file": path}
            with replacing(told.values["-report"]) as file:
                file.write(json_text(report))
