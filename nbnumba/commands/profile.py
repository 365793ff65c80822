"""``nbnumba profile``: the radial background of a measured image, for ``-background_profile`` or ``-background``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputFileError, UsageError
from ..experiment import Experiment, changed
from ..formats import registry
from ..formats.files import read_bytes, read_unpacked, replacing
from ..formats.found import READERS
from ..kernels.equations.vectors import Vector
from ..nanobragg.parse import parse
from ..setup.added import photons_per_square, radius_px, sin_theta_over_lambda
from ..setup.detector import rendered_pixels
from ..setup.detector_alone import ANY_CRYSTAL
from ..setup.inputs import read_inputs
from ..setup.panels import stacked
from ..setup.resolve import Resolved, resolve
from ..statistics import radial_profile
from .base import Parser, warnings_told
from .inputs import check_output

OWN = {"-o": "FILE", "-what": "photons|F", "-by": "stol|px", "-bins": "n"}
"""Options of this command, each with one value; all others are those of a simulation."""
OF_COUNTS = "iu"
"""Kinds of pixels that are counts, not photons."""


class Told(NamedTuple):
    """What the command itself is told."""

    image: str
    path: str
    what: str
    by: str
    bins: int | None


def main(argv: list[str]) -> int:
    """Write the profile and say what is in it."""
    told, words = _told(argv)
    with warnings_told("nbnumba profile"):
        command = parse(words)
        check_output(told.path, command, told.image)
        pixels = _pixels(told.image)
        experiment = _of_image(told.image, pixels, command.experiment)
        resolved = resolve(experiment, read_inputs(experiment))
    photons, made_of = _photons(pixels, resolved)
    rows = _profile(told, resolved, photons, pixels.dtype.kind in OF_COUNTS)
    _write(told, rows)
    what = "F of a molecule" if told.what == "F" else "photons per pixel"
    print(f"{told.path}: {what} in {len(rows)} bins of {told.image}, {made_of}")
    return 0


# The command line ------------------------------------------------------------------------------------------------


def _told(argv: Sequence[str]) -> tuple[Told, list[str]]:
    """What the command itself is told, and the other words."""
    parser = _parser()
    own, words = parser.taken(argv, OWN)
    if not words or words[0].startswith("-"):
        parser.error("IMAGE is needed: the measured image, before all options")
    if not own["-o"]:
        parser.error("-o FILE is needed: the profile to be written")
    what, by = (_choice(own, name) for name in ("-what", "-by"))
    if what == "F" and by == "px":
        raise UsageError("-what F -by px: F is a function of sin(theta)/lambda; leave out -by")
    bins = own["-bins"]
    if bins and not (bins.isdecimal() and 0 < int(bins) <= 1_000_000):
        raise UsageError(f"-bins {bins!r}: give a whole number, 1 or more")
    return Told(words[0], own["-o"], what, by, int(bins) if bins else None), words[1:]


def _choice(own: dict[str, str], name: str) -> str:
    words = OWN[name].split("|")
    if own[name] not in ("", *words):
        raise UsageError(f"{name} {own[name]!r}: give {' or '.join(words)}")
    return own[name] or words[0]


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba profile",
        description="Write the radial background of IMAGE, robust against spots: two columns that -background_profile\n"
        "reads, or with -what F those of -background and -stol. Options are those of a simulation, which say where\n"
        "the detector stands; what they do not, an image that -img could read says itself. Left out are pixels that\n"
        "-mask, -roi, -beamstop or the gaps of -detector leave out, and counts that mark some: below 0, or the\n"
        "largest there is. Whole numbers are counts: -adc is subtracted, and they are divided by the -gain of the\n"
        "-readout; other numbers are photons.",
        usage="nbnumba profile IMAGE [OPTION ...] -o FILE [-what photons|F] [-by stol|px] [-bins n]",
        epilog="examples:\n  nbnumba profile water_001.img -adc 40 -o water.txt\n"
        "  nbnumba profile water_001.img -what F -background water 0.5 -flux 1e12 -beamsize 0.05 -o water.stol",
    )
    parser.add_argument("-o", required=True, metavar="FILE", help="the profile to be written")
    what = "photons per pixel as they are (default), or F in electrons of a molecule of the material that -water or "
    parser.add_argument("-what", metavar="photons|F", help=f"{what}-background puts in the beam")
    by = "against sin(theta)/lambda in 1/Å (default), or pixels from the beam centre, for -background_profile_px"
    parser.add_argument("-by", metavar="stol|px", help=by)
    parser.add_argument("-bins", metavar="n", help="number of bins (default: about one for each pixel of the radius)")
    return parser


# The image -------------------------------------------------------------------------------------------------------


def _pixels(path: str) -> np.ndarray:
    image = registry.read(path)
    if image.ndim != 2 or image.size == 0 or image.dtype.kind not in "iuf":
        raise InputFileError(f"{path} has shape {image.shape} of {image.dtype}; must be an image of numbers")
    return image


def _of_image(path: str, pixels: np.ndarray, given: Experiment) -> Experiment:
    """What the options and the image say of beam, detector and background; with any crystal."""
    detector = given.detector
    sizes = (detector.fast_pixels, detector.slow_pixels, detector.fast_size_mm, detector.slow_size_mm)
    changes: dict[str, object] = {}
    by = _describes_itself(path)
    if by is not None and detector.header_file is None:
        changes = {"header_file": path}
    elif all(given is None for given in (*sizes, detector.preset, detector.panels, detector.header_file)):
        changes = {"fast_pixels": pixels.shape[1], "slow_pixels": pixels.shape[0]}
    # Of the formats that -img reads, in SMV alone a count of no photons is more than 0.
    without_offset = by not in (None, "SMV") and given.readout.adc_offset is None
    readout = {"adc_offset": 0.0} if without_offset else {}
    return changed(given, detector=changes, readout=readout, **ANY_CRYSTAL)


def _describes_itself(path: str) -> str | None:
    """The format of an image that -img could read; None where it could not."""
    found = registry.recognized(path, read_bytes(path, "the image"))
    if found is not None and found.name == "SMV":
        return found.name
    content = read_unpacked(path, "the image")
    return next((reader.module for reader in READERS if reader.recognizes(content)), None)


def _photons(pixels: np.ndarray, resolved: Resolved) -> tuple[np.ndarray, str]:
    """Photons of each pixel, NaN where none were measured, and in words what they were made of."""
    measured = stacked([rendered_pixels(plan.detector) for plan in resolved.plans]) != 0
    if pixels.shape != measured.shape:
        sizes = [f"{fast} x {slow}" for slow, fast in (pixels.shape, measured.shape)]
        raise InputFileError(
            f"the image has {sizes[0]} pixels, the detector {sizes[1]} (fast x slow): correct -detpixels"
        )
    photons, made_of = pixels.astype(np.float64), "photons as they are"
    if pixels.dtype.kind in OF_COUNTS:
        readout = resolved.experiment.readout
        offset, gain = readout.adc_offset or 0.0, readout.gain or 1.0
        # Gaps and overloads: below 0 or, where there is no such number, the largest one.
        measured &= (pixels >= 0) & ((pixels.dtype.kind == "i") | (pixels < np.iinfo(pixels.dtype).max))
        photons, made_of = (photons - offset) / gain, f"counts less {offset:g} (-adc) over {gain:g} (-gain)"
    measured &= np.isfinite(photons)
    if not measured.any():
        raise UsageError("no pixel of the image was measured: all are masked, marked or outside -roi")
    return np.where(measured, photons, np.nan), made_of


# The profile -----------------------------------------------------------------------------------------------------


def _profile(told: Told, resolved: Resolved, photons: np.ndarray, counted: bool) -> np.ndarray:
    """The rows of the file: abscissa, and photons or F."""
    detectors, (incident, wavelength) = [plan.detector for plan in resolved.plans], _beam(resolved, told.what)
    if told.by == "px":
        at = stacked([radius_px(detector) for detector in detectors])
    else:
        at = stacked([sin_theta_over_lambda(detector, incident, wavelength) for detector in detectors])
    values = photons
    if told.what == "F":
        if resolved.plans[0].background.scale == 0.0:
            raise UsageError(
                "-what F: of how many molecules? give the material that was in the beam: -background water 0.5, or "
                "with its own density and molar mass -background water 0.5 0.9 282"
            )
        values = photons / stacked([photons_per_square(plan) for plan in resolved.plans])
    rows = radial_profile(at, values, told.bins or max(photons.shape), by_mean=counted)
    rows[:, 1] = np.maximum(rows[:, 1], 0.0)
    return np.column_stack([rows[:, 0], np.sqrt(rows[:, 1])]) if told.what == "F" else rows


def _beam(resolved: Resolved, what: str) -> tuple[Vector, float]:
    """Direction and wavelength by which sin θ/λ goes: of F that of the first source, as of materials."""
    if what == "F":
        sources = resolved.sources
        x, y, z = sources.incident[0].tolist()
        return (x, y, z), float(sources.wavelength_angstrom[0])
    return resolved.panels[0].beam, resolved.central_angstrom


def _write(told: Told, rows: np.ndarray) -> None:
    abscissa = "sin(theta)/lambda in 1/A" if told.by == "stol" else "pixels from the beam centre"
    ordinate = "F in electrons" if told.what == "F" else "photons per pixel"
    lines = [f"# {abscissa}, {ordinate}: radial background of an image", *(f"{x:.8g} {y:.8g}" for x, y in rows)]
    with replacing(told.path) as file:
        file.write("\n".join([*lines, ""]).encode())
