"""``nbnumba detect``: what a detector reads of photons that an image file holds already."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..description import described
from ..errors import InputFileError, NbnumbaWarning, UsageError
from ..experiment import Background, Crystal, Experiment, StructureFactors, changed
from ..experiment.presets import preset_of
from ..formats import registry
from ..formats.frame import Description
from ..image import counted_frame, read_out
from ..nanobragg.command import Command, Outputs
from ..nanobragg.parse import parse
from ..seeds import fresh_seed
from ..setup.inputs import read_inputs
from ..setup.resolve import Resolved, resolve
from .base import Parser, warnings_told
from .inputs import check_output

ANY_CRYSTAL = {"crystal": Crystal(cell=(100.0, 100.0, 100.0, 90.0, 90.0, 90.0)), "background": Background(),
               "structure_factors": StructureFactors(default_f=1.0)}  # fmt: skip
"""Of an image that exists, where the set-up needs one; nobody is told of it."""


class Words(NamedTuple):
    """What the command line names, and the options of nbnumba that it has besides."""

    image: str
    output: str
    options: list[str]


def main(argv: list[str]) -> int:
    """Write the image as it is read and say what is in it."""
    words = _words(argv)
    with warnings_told("nbnumba detect"):
        command = parse(words.options)
        _check_meant(command)
        said = _detect(words, command)
    if not command.run.quiet:
        print("\n".join(said))
    return 0


def _words(argv: list[str]) -> Words:
    parser = _parser()
    if argv.count("-o") > 1:
        parser.error("one image is written, by one -o: leave out the others")
    own, others = parser.taken(argv, {"-o": "FILE"})
    if not own["-o"]:
        parser.error("-o FILE is needed: the image to be written")
    if not others or others[0].startswith("-"):
        parser.error("the image of the photons comes first")
    return Words(others[0], own["-o"], others[1:])


def _check_meant(command: Command) -> None:
    """Refuse what asks for more than the one file of counts."""
    usual, run = Outputs(), command.run
    images = [name for name in vars(usual) if name.endswith("_file") or name in ("files", "counted", "print_pixels")]
    if run.images > 1 or run.show or any(getattr(command.outputs, name) != getattr(usual, name) for name in images):
        raise UsageError("one image is written, by -o: leave out other files, -nonoise, -images, -show and -printout")


def _detect(words: Words, command: Command) -> list[str]:
    path, outputs = words.output, command.outputs
    image_format = registry.by_suffix(path)
    registry.content_of(image_format, "counted")
    check_output(path, command, words.image)
    photons, is_known = photons_in(words.image, command.experiment)
    resolved = _resolved(command.experiment, photons.shape)
    if resolved.mask is not None:
        # Those behind the beamstop do not arrive.
        photons = np.where(resolved.mask > 0, photons, np.float32(0.0))
    description = _description(resolved, command.experiment, is_known)
    options = {name: word for name, word in vars(outputs).items() if name in image_format.options}
    readout, seed = description.readout, description.seed
    image_format.check(path, description, readout.adc_offset or 0.0, **registry.options_of(image_format, options))
    read = read_out(resolved, description, photons, readout, seed, command.run.threads)
    registry.write(image_format, path, counted_frame(description, readout, read), **options)
    rows, columns = read.counts.shape
    return [
        f"{path}  {image_format.name} of {columns} x {rows} pixels, read-out {readout.kind}",
        f"{read.photons} photons counted with -seed {seed}, {read.overloads} overloads",
    ]


def photons_in(path: str, experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Expected photons (slow, fast) of an image file, and which pixels it knows: numbers that are not below 0.

    Raises
    ------
    InputFileError
        It cannot be read, holds no image, or more photons than float32 can.
    """
    image = registry.read(Path(path), _shape(experiment))
    if image.ndim != 2 or image.dtype.kind not in "iuf" or not image.size:
        raise InputFileError(f"{path}: holds an array {image.shape} of {image.dtype}; must be of photons (slow, fast)")
    with np.errstate(invalid="ignore", over="ignore"):
        photons = image.astype(np.float32)
        is_known = photons >= 0.0
    if np.isinf(photons[is_known]).any():
        raise InputFileError(f"{path}: has pixels of more than {np.finfo(np.float32).max:.2g} photons; scale it down")
    if not is_known.all():
        text = f"{path}: {np.count_nonzero(~is_known)} pixels are below 0 or no numbers, and are taken for not measured"
        warnings.warn(text, NbnumbaWarning, stacklevel=2)
        photons[~is_known] = 0.0
    return photons, is_known


def _shape(experiment: Experiment) -> tuple[int, int] | None:
    """(slow, fast) as options or the detector's name give it."""
    detector = experiment.detector
    preset: Any = detector if detector.preset is None else preset_of(detector.preset)
    fast, slow = (getattr(detector, name) or getattr(preset, name) for name in ("fast_pixels", "slow_pixels"))
    return None if fast is None or slow is None else (slow, fast)


def _resolved(given: Experiment, shape: tuple[int, ...]) -> Resolved:
    """The experiment with pixels as many as the image has."""
    wanted = _shape(given)
    if wanted not in (None, shape):
        raise UsageError(f"the image has {shape[1]} x {shape[0]} pixels (fast x slow), not {wanted[1]} x {wanted[0]}")
    if given.detector.panels is not None:
        raise UsageError("detector.panels: an image file has one panel: leave them out")
    size = {"fast_pixels": shape[1], "slow_pixels": shape[0]}
    experiment = changed(given, detector=size, **ANY_CRYSTAL)
    return resolve(experiment, read_inputs(experiment), seed=fresh_seed())


def _description(resolved: Resolved, given: Experiment, is_known: np.ndarray) -> Description:
    """What the file is told: of no crystal that nobody knows, and of pixels that the image does not know."""
    description, found = described(resolved), resolved.experiment
    nouns = {name: getattr(given, name) for name in ANY_CRYSTAL}
    panel = description.panels[0]
    if not is_known.all():
        panel = replace(panel, mask=panel.measured & is_known)
    return replace(description, experiment=changed(found, **nouns), crystals=(), panels=(panel,))


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba detect",
        description="Write what a detector reads of the photons that IMAGE holds: floats (.bin, .npy) or integers of\n"
        "any format that is read. Options are those of nbnumba for the detector and its read-out: -detector, \n"
        "-readout, -gain, -psf, -deadtime and the like, -seed, -exposure, -lambda, -pixel, -detpixels, -mask.",
        usage="nbnumba detect IMAGE -o FILE [OPTION ...]",
        epilog="examples:\n  nbnumba detect floatimage.bin -detector adsc-q315-2x2 -o image.img\n"
        "  nbnumba detect photons.npy -readout counting -psf gauss -psf_fwhm 60 -o counts.npy",
    )
    parser.add_argument("-o", required=True, metavar="FILE", help="the image to be written, its format by its suffix")
    return parser
