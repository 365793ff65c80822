"""``nbnumba refine``: an experiment's numbers from the pixels of a measured image."""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from .. import interruption
from ..choices import PRECISIONS
from ..errors import DONE, UsageError
from ..experiment import Detector, Experiment
from ..formats.files import check_writable, replacing, together
from ..kernels.compile.jit import Compilation
from ..nanobragg.command import Command, Outputs, Run
from ..nanobragg.parse import parse
from ..refinement.background import KNOWN, NONE
from ..refinement.measured import Measured, Reading, read_target
from ..refinement.names import BY_DETECTOR, SHORT, all_fields, fields_of
from ..refinement.outcome import Refinement
from ..refinement.picture import save_picture
from ..refinement.refine import STAGES, refine
from ..refinement.report import as_json, json_text, text_of
from ..refinement.restraints import Bounds, Width
from ..refinement.search import Iteration
from ..refinement.systems import System
from .base import Parser, warnings_told
from .inputs import input_files
from .report import versions

if TYPE_CHECKING:
    from ..refinement.joint import JointStep

PROGRAM = "nbnumba refine"
VALUED = {
    "-free": "NAME,NAME,...",
    "-system": "NAME",
    "-background": f"{'|'.join(KNOWN)}|{NONE}|FILE",
    "-mask": "FILE",
    "-pedestal": "p",
    "-gain": "g",
    "-sigma": "s",
    "-frame": "n",
    "-restrain": "NAME=WIDTH,...",
    "-bounds": "NAME=LEAST:MOST,...",
    "-stages": "|".join(STAGES),
    "-shared": "NAME,NAME,...",
    "-processes": "n",
    "-o": "FILE",
    "-report": "FILE",
    "-png": "FILE",
}
"""Options of this command with one value, as its help names that; all others but -image and -robust are those of a
simulation."""
OF_SEVERAL = ("-shared", "-processes")
"""Those of several images alone."""
REFINED = "refined.toml"


@dataclass
class Told:
    """What the command itself is told."""

    starts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """By option, of those with one value."""
    is_robust: bool = False
    words: list[str] = field(default_factory=list)
    """All others."""

    def number(self, option: str) -> float | None:
        """What an option with a number says."""
        word = self.values.get(option)
        try:
            return None if word is None else float(word)
        except ValueError:
            raise UsageError(f"{option} {word!r}: give a number") from None

    @property
    def outputs(self) -> dict[str, str]:
        """The files that are to be written, by their options."""
        return {"-o": REFINED} | {name: self.values[name] for name in ("-o", "-report", "-png") if name in self.values}


class Asked(NamedTuple):
    """What is to be refined, and how."""

    free: tuple[str, ...]
    system: Any
    restraints: Mapping[str, Width]
    bounds: Mapping[str, Bounds]
    stages: Any


def main(argv: list[str]) -> int:
    """Refine and write what came of it; a signal keeps the best that was found."""
    told = _told(argv)
    if len(told.images) > 1:
        from .refine_many import refine_several

        return refine_several(told)
    with warnings_told(PROGRAM):
        _check_one(told)
        command = command_of(told, *told.starts)
        check_outputs(told, told.outputs.items(), [command])
        asked = asked_of(told, command.experiment.detector)
        measured = measured_of(command.experiment, told.images[0], told)
        if not command.run.quiet:
            print(f"{told.images[0]}: {measured.words}", flush=True)
        result = _refined(command, measured, asked)
        _write(told, result)
    status = status_of(result.interrupted)
    if not command.run.quiet:
        print(text_of(result))
        print("\n".join(f"{path}  {WRITTEN[name]}" for name, path in told.outputs.items()))
    return status


def status_of(interrupted: int | None) -> int:
    """The exit status; a signal that ended the search is told."""
    if interrupted is None:
        return DONE
    said = f"{interruption.SIGNALS[interrupted]}; the best that was found so far is written"
    print(f"{PROGRAM}: {said}", file=sys.stderr)
    return 128 + interrupted


# The command line ------------------------------------------------------------------------------------------------


def _told(argv: Sequence[str]) -> Told:
    """What the command itself is told, and the other words."""
    parser, words, told = _parser(), list(argv), Told()
    if any(word in ("-h", "-help", "--help") for word in words):
        parser.parse_args(["-h"])
    while words and not words[0].startswith("-"):
        told.starts.append(words.pop(0))
    while words:
        word = words.pop(0)
        if word == "-image":
            while words and not words[0].startswith("-"):
                told.images.append(words.pop(0))
        elif word == "-robust":
            told.is_robust = True
        elif word in VALUED and not (word == "-background" and _is_material(words)):
            if not words:
                parser.error(f"{word} needs a value: {VALUED[word]}")
            told.values[word] = words.pop(0)
        else:
            told.words.append(word)
    if not told.images:
        parser.error("-image FILE is needed: what was measured")
    if "-free" not in told.values:
        parser.error("-free NAME,NAME,... is needed: what is refined, such as cell,misset,scale")
    return told


def _is_material(words: Sequence[str]) -> bool:
    """Whether what follows -background is a simulation's: a material and its thickness."""
    try:
        return len(words) > 1 and words[0] not in (*KNOWN, NONE) and math.isfinite(float(words[1]))
    except ValueError:
        return False


def command_of(told: Told, start: str | None = None) -> Command:
    """The options of a simulation, beside a start's file; those that ask for images are refused."""
    command = parse([*(() if start is None else ("-experiment", start)), *told.words])
    run, usual = command.run, Run()
    if command.outputs != Outputs() or run.images > 1 or run.show or run.trace_pixel is not None:
        raise UsageError("no image is written: leave out files of images, -nonoise, -images, -show and -printout")
    if run.backend not in ("auto", "cpu") or run.device != usual.device:
        raise UsageError(f"-backend {run.backend}: images are refined on the CPU; leave out -backend and -device")
    return command


def _check_one(told: Told) -> None:
    """Refuse what only several images have."""
    if len(told.starts) > 1:
        raise UsageError(f"{' '.join(told.starts)}: {len(told.starts)} starts for one image; give one for each")
    for option in OF_SEVERAL:
        if option in told.values:
            raise UsageError(f"{option} {told.values[option]}: is for several images, -image A B ...; leave it out")


def check_outputs(told: Told, outputs: Iterable[tuple[str, str]], commands: Sequence[Command]) -> None:
    """Refuse before the work files that cannot be written, or that are read; ``outputs``: options and paths."""
    outputs = list(outputs)
    paths = [os.path.realpath(path) for _, path in outputs]
    given = (told.values.get(option) for option in ("-mask", "-background"))
    inputs = (path for command in commands for path in input_files(command))
    read = {os.path.realpath(path) for path in (*told.images, *filter(None, given), *inputs)}
    for option, path in outputs:
        if paths.count(os.path.realpath(path)) > 1:
            raise UsageError(f"{option} {path}: two files of one name; give another")
        if os.path.realpath(path) in read:
            raise UsageError(f"{option} {path} is an input file too: give another name")
        check_writable(path)


def asked_of(told: Told, detector: Detector) -> Asked:
    """What is to be refined of a detector's image, and how."""
    stages = told.values.get("-stages", STAGES[0])
    if stages not in STAGES:
        raise UsageError(f"-stages {stages!r}: give {' or '.join(STAGES)}")
    free = all_fields(listed_names(told.values["-free"], "-free"), detector, "-free")
    restraints = _by_field(told, "-restrain", "width, such as 0.1 or 0.2%", detector)
    bounds = _by_field(told, "-bounds", "least:most", detector)
    return Asked(
        free, told.values.get("-system"), restraints, {name: _pair(name, text) for name, text in bounds.items()}, stages
    )


def listed_names(text: str, option: str) -> list[str]:
    """The words of an option's value."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f"{option} {text!r}: give names with a comma between them, and no blanks")
    return words


def _by_field(told: Told, option: str, what: str, detector: Detector) -> dict[str, str]:
    """What an option says of each field that it names."""
    found: dict[str, str] = {}
    for word in listed_names(told.values[option], option) if option in told.values else []:
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise UsageError(f"{option} {word!r}: give NAME={what}")
        found |= dict.fromkeys(fields_of(name, detector, option), text)
    return found


def _pair(name: str, text: str) -> Bounds:
    """Both ends, either of which may be left out."""
    least, colon, most = text.partition(":")
    try:
        ends = tuple(float(end) if end else None for end in (least, most))
    except ValueError:
        colon = ""
    if not colon or ends == (None, None):
        raise UsageError(f"-bounds {name}={text}: give least:most, such as 99:101 or 0:")
    return ends[0], ends[1]


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Refine numbers of an experiment against the pixels of a measured image. They start as START.toml\n"
        "has them (as Experiment.to_toml writes it), or options of a simulation, beside it or in its place.\n"
        "Written are the refined experiment and, where asked for, a report and a picture of what is left.\n"
        "Ctrl-C keeps the best that was found so far. Whole numbers of an image are counts: pedestal and\n"
        "gain are as the file or the experiment's read-out have them; other numbers are photons.\n"
        "Several images go together, with a start for each or one for all: each has of its own what is free\n"
        "and not shared.",
        usage=f"{PROGRAM} [START.toml ...] [OPTION ...] -image FILE [FILE ...] -free NAME,NAME,...\n"
        "         [-o refined.toml]",
        epilog=f"{_names_told()}\n\nexamples:\n"
        "  nbnumba refine start.toml -image still.img -free cell,misset,scale -system tetragonal -png z.png\n"
        "  nbnumba refine start.toml -image still.cbf -free misset,distance,scale -restrain distance=0.1 \\\n"
        "    -background radial -report refine.json\n"
        "  nbnumba refine start_*.toml -image still_*.img -free cell,distance,orientation,scale -processes 4",
    )
    for option, value, words in HELP:
        how: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
        parser.add_argument(option, help=words, **how)
    return parser


HELP = (
    ("-image", "FILE [FILE ...]", "what was measured: SMV, CBF, NXmx, TIFF, .npy, or float32 without a header"),
    ("-frame", "n", "which of an NXmx file, from 1 on (default: the first)"),
    ("-free", VALUED["-free"], "what is refined: names below or fields of an experiment; cell[2] is one number"),
    ("-system", "NAME", f"crystal system of the cell: {', '.join(get_args(System))}"),
    ("-background", VALUED["-background"], "what lies under the spots: a constant (default), a plane, a smooth "
     "function of the distance from the beam, nothing, or an image times a coefficient"),
    ("-mask", "FILE", "image whose pixels of value 0 are left out, of any of these formats"),
    ("-pedestal", "p", "number of a pixel without photons"),
    ("-gain", "g", "numbers per photon"),
    ("-sigma", "s", "rms of what the read-out adds, in numbers"),
    ("-restrain", VALUED["-restrain"], "keep them near the start: standard deviations in their units or, as 0.2%%, of "
     "the start"),
    ("-bounds", VALUED["-bounds"], "keep them between these"),
    ("-stages", VALUED["-stages"], "auto: also by a smaller crystal and by low resolution first, and the best of all "
     "(default); plain: all at once"),
    ("-shared", VALUED["-shared"], "of several images: what of -free is the same in all (cell and what places the "
     "detector)"),
    ("-processes", "n", "of several images: how many are evaluated at once (1)"),
    ("-robust", "", "let no pixel pull harder than one that is off by five standard deviations"),
    ("-precision", "|".join(PRECISIONS), "arithmetic of the lattice factor (double)"),
    ("-threads", "n", "number of CPU threads (default: all cores)"),
    ("-o", "FILE", f"the refined experiment ({REFINED}); of several images # is the place of the number"),
    ("-report", "FILE", "values, standard deviations, correlations and history as JSON"),
    ("-png", "FILE", "picture of data, model and residuals"),
)  # fmt: skip


def _names_told() -> str:
    names = ", ".join(sorted((*SHORT, *BY_DETECTOR)))
    return textwrap.fill(f"names: {names}", 98, subsequent_indent="  ")


# The work --------------------------------------------------------------------------------------------------------


def reading_of(told: Told) -> Reading:
    """How the numbers of files become photons."""
    frame = told.values.get("-frame")
    if frame is not None and not (frame.isascii() and frame.isdigit() and int(frame) > 0):
        raise UsageError(f"-frame {frame}: give a whole number, 1 or more")
    return Reading(
        pedestal=told.number("-pedestal"),
        gain=told.number("-gain"),
        sigma=told.number("-sigma"),
        mask=told.values.get("-mask"),
        frame=None if frame is None else int(frame),
    )


def measured_of(experiment: Experiment, path: str, told: Told) -> Measured:
    """An image as photons."""
    background = told.values.get("-background", next(iter(KNOWN)))
    return read_target(experiment, path, background, reading_of(told), told.is_robust)


def _refined(command: Command, measured: Measured, asked: Asked) -> Refinement:
    run = command.run
    with Compilation(first=say_compiling), progress(run) as tell:
        return refine(
            command.experiment,
            measured.target,
            asked.free,
            system=asked.system,
            restraints=asked.restraints,
            bounds=asked.bounds,
            stages=asked.stages,
            precision=run.precision,
            threads=run.threads,
            progress=tell,
        )


def say_compiling() -> None:
    """Say why nothing happens at first."""
    print(f"{PROGRAM}: compiling kernels for this machine, once for each kind of crystal", file=sys.stderr)


@contextmanager
def progress(run: Run) -> Iterator[Any]:
    """A line on a terminal that tells every step; None where there is no terminal."""
    if not run.progress or run.quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(unit="step", leave=False, file=sys.stderr, bar_format="{desc}, step {n_fmt}, {elapsed}") as line:

        def told(step: Iteration | JointStep) -> None:
            line.set_description_str(f"{step.way}: {step.stage}, deviance {step.deviance:.5g} a pixel", refresh=False)
            line.update()

        yield told


# What is written -------------------------------------------------------------------------------------------------

WRITTEN = {"-o": "the refined experiment", "-report": "this report as JSON", "-png": "data, model and residuals"}


def _write(told: Told, result: Refinement) -> None:
    """All files, or none."""
    outputs = told.outputs
    with together():
        with replacing(outputs["-o"]) as file:
            file.write(result.experiment.to_toml().encode(errors="surrogateescape"))
        if "-report" in outputs:
            report = as_json(result)
            report |= {"image": told.images[0], "experiment": result.experiment.to_dict(), "files": outputs}
            with replacing(outputs["-report"]) as file:
                file.write(json_text(report | {"versions": versions()}))
        if "-png" in outputs:
            counts = np.isfinite(result.residuals)
            title = f"{told.images[0]}: R {result.r_factor.after:.3f}, CC {result.cc.after:.4f}"
            data, model, z = result.target.measured, result.image, result.residuals
            save_picture(outputs["-png"], data, model, np.where(counts, z, 0.0), counts, title)
