"""The command line: nanoBragg's options, their aliases, defaults and precedence, as one table.

Everything that the parser, the help, the man page and the documentation know of an option is its row in
:data:`OPTIONS`. Rows are applied in the order of the line to a flat mapping of settings, so that of two options
for one thing the later one counts.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, Literal

from ..choices import BACKENDS, PRECISIONS, BackendName, Device, Precision, listed
from ..errors import InputFileError, UsageError
from ..experiment import OWN_PIVOT, Convention, Experiment, Pivot, changed
from ..experiment.quirks import NANOBRAGG, PHYSICS, QUIRKS, Quirks, labels_of
from ..units import DEFAULT_FLUENCE_PER_M2, angstrom_from_ev

# What is parsed --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outputs:
    """Which files are written, and how photons become their integers."""

    float_file: str = "floatimage.bin"
    int_file: str = "intimage.img"
    pgm_file: str | None = "image.pgm"
    noise_file: str | None = "noiseimage.img"
    png_file: str | None = None
    report_file: str | None = None
    scale: float | None = None
    """Counts per photon; None: such that the brightest pixel gets 55000 (mode spec: the direct beam's spot aside)."""
    adc_offset: float = 40.0
    """Count of a pixel without photons."""
    pgm_scale: float | None = None
    """Gray levels per photon; None: by the spread of the image."""
    header: Literal["c", "dials"] = "c"
    print_pixels: tuple[int, int] | Literal["all"] | None = None
    """Pixels whose values are printed: one (fast, slow), or all."""


@dataclass(frozen=True)
class Run:
    """How the work is done; nothing here changes what is simulated."""

    backend: BackendName = "auto"
    device: Device = 0
    """Number of the GPU, where one renders, or all of them together."""
    precision: Precision = "double"
    threads: int | None = None
    """None: one for each core."""
    progress: bool = True
    quiet: bool = False
    show: bool = False
    """Print the resolved experiment and stop."""
    trace_pixel: tuple[int, int] | None = None
    """Pixel (slow, fast) whose intermediate values are printed."""


@dataclass(frozen=True)
class Command:
    """All that a command line says."""

    experiment: Experiment
    outputs: Outputs
    run: Run
    labels: tuple[str, ...]
    """Differences between the modes that only the command line shows."""
    notes: tuple[str, ...] = ()
    """Words that were taken for what they are not."""
    experiment_file: str | None = None
    """Where the experiment began, before the options."""


# How one word becomes a value ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A way to read one word; ``read`` raises ValueError for a word that is not ``wanted``."""

    wanted: str
    read: Callable[[str], Any]


def _checked(read: Callable[[str], Any], is_right: Callable[[Any], bool]) -> Callable[[str], Any]:
    def read_and_check(word: str) -> Any:
        value = read(word)
        if not is_right(value):
            raise ValueError
        return value

    return read_and_check


def _float(word: str) -> float:
    if "_" in word:  # Python's digit groups
        raise ValueError
    return float(word)


def _integer(word: str) -> int:
    """A whole number of 64 bits, also where it is written like 5.0 or 1e3."""
    value = int(word) if re.fullmatch("[+-]?[0-9]+", word) else _float(word)
    if value != int(value) or abs(value) >= 2**63:
        raise ValueError
    return int(value)


def _whole(least: int) -> Kind:
    return Kind(f"a whole number{{unit}}, {least} or more", _checked(_integer, lambda n: n >= least))


def _choice(*words: str, **aliases: str) -> Kind:
    meanings = {word: word for word in words} | {alias.replace("_", "-"): word for alias, word in aliases.items()}

    def read(word: str) -> str:
        if word.lower() not in meanings:
            raise ValueError
        return meanings[word.lower()]

    return Kind(listed(words), read)


NUMBER = Kind("a finite number{unit}", _checked(_float, math.isfinite))
NOT_NEGATIVE = Kind("a finite number{unit}, 0 or more", _checked(_float, lambda x: 0.0 <= x < math.inf))
POSITIVE = Kind("a finite number{unit}, above 0", _checked(_float, lambda x: 0.0 < x < math.inf))
NUMBER_OR_INF = Kind("a number{unit}, 0 or more, or inf", _checked(_float, lambda x: x >= 0.0))
INTEGER = Kind("a whole number{unit}", _integer)
COUNT, COUNT_OR_ZERO = _whole(1), _whole(0)
INDEX = COUNT_OR_ZERO
DEVICE = Kind("the number of a GPU, or all", lambda word: "all" if word.lower() == "all" else INDEX.read(word))
FILE = Kind("a file name", _checked(str, bool))
MODE = _choice("spec", "c", c_parity="c")


# The table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """One option with its aliases."""

    names: tuple[str, ...]
    """Without dashes, the usual one first."""
    group: str
    help: str
    targets: tuple[str, ...] = ()
    """Settings that get its value: "noun.field" of an Experiment, of Outputs or Run, or one that parse() uses."""
    values: tuple[str, ...] = ()
    """What its values are called; none: a flag."""
    kind: Kind = NUMBER
    unit: str = ""
    default: str = "off"
    convert: Callable[[Any], Any] = lambda value: value
    """From the unit of the command line to that of the targets."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Settings that its presence alone makes."""
    fewest: int | None = None
    """How few of its values may be given (all of them, where None)."""
    instead: str | None = None
    """A word that may stand for all its values."""

    @property
    def metavar(self) -> str:
        """Its values as the help shows them."""
        if self.fewest is not None:
            return f"{' '.join(self.values[: self.fewest])} [{' '.join(self.values[self.fewest :])}]"
        return " ".join(self.values) + (f" | {self.instead}" if self.instead else "")

    @property
    def wanted_word(self) -> str:
        """What one value must be, for messages."""
        return self.kind.wanted.format(unit=f" in {self.unit}" if self.unit else "")

    @property
    def wanted(self) -> str:
        """What must follow the option, for messages."""
        if len(self.values) == 1:
            return self.wanted_word
        number = f"{self.fewest} to {len(self.values)}" if self.fewest else str(len(self.values))
        return f"{number} values{f' in {self.unit}' if self.unit else ''}: {self.metavar}"


CRYSTAL, FACTORS, BEAM, DETECTOR = "crystal", "structure factors", "beam", "detector"
CONVENTIONS, ROTATION, SAMPLING = "conventions and pivot", "rotation", "sampling"
BACKGROUND, OUTPUT, PROGRAM = "background", "noise and output", "program"

FILE_VALUE, XYZ = ("file",), ("x", "y", "z")
CUSTOM = {"detector.convention": "custom"}
MISREAD = {"option_misread": True}
"""nanoBragg reads it as another option, which its name contains."""
BEAM_CENTER = {"implied_pivot": "beam", "near_point": False}
NEAR_POINT = {"implied_pivot": "sample", "near_point": True}


def _frame(convention: Convention) -> dict[str, Any]:
    """What a convention's option sets. Where vectors make it custom after all, a pivot stays: not always its own."""
    pivot = "sample" if convention == "xds" else "beam"
    return {"detector.convention": convention, "implied_pivot": pivot, "near_point": False}


def _none_for_zero(value: Any) -> Any:
    return value or None


def _whole_cell(given: tuple[float, ...]) -> tuple[float, ...]:
    """Missing b and c are a, missing angles 90."""
    a = given[0]
    return given + (a, a, a, 90.0, 90.0, 90.0)[len(given) :]


def _mm_from_m(metres: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(1000.0 * x for x in metres)


# fmt: off
OPTIONS: tuple[Option, ...] = (
    Option(("cell",), CRYSTAL, "unit cell; missing b and c are a, missing angles are 90",
           ("crystal.cell",), ("a", "b", "c", "alpha", "beta", "gamma"), unit="Å and deg", default="by -mat or -pdb",
           convert=_whole_cell, fewest=1),
    Option(("mat", "matrix"), CRYSTAL, "MOSFLM A matrix; beside -cell it gives directions alone",
           ("crystal.matrix_file",), FILE_VALUE, FILE, default="none"),
    Option(("misset",), CRYSTAL, "turn the crystal about the lab's x, then y, then z",
           ("crystal.misset_deg",), XYZ, unit="deg", default="0 0 0", instead="random"),
    Option(("misset_seed",), CRYSTAL, "seed of -misset random",
           ("crystal.misset_seed",), ("n",), INTEGER, default="that of -seed", sets=MISREAD),
    Option(("N",), CRYSTAL, "unit cells along a, b and c",
           ("cells.0", "cells.1", "cells.2"), ("n",), INTEGER, default="1"),
    Option(("Na",), CRYSTAL, "unit cells along a", ("cells.0",), ("n",), INTEGER, default="1"),
    Option(("Nb",), CRYSTAL, "unit cells along b", ("cells.1",), ("n",), INTEGER, default="1"),
    Option(("Nc",), CRYSTAL, "unit cells along c", ("cells.2",), ("n",), INTEGER, default="1"),
    Option(("samplesize", "sample_size", "xtalsize", "xtal_size"), CRYSTAL,
           "edge of the crystal, in place of -N",
           ("edges.0", "edges.1", "edges.2"), ("size",), NOT_NEGATIVE, "mm", "none"),
    Option(("sample_x", "sample_thick", "xtal_x", "xtal_thick"), CRYSTAL, "edge along a, in place of -Na",
           ("edges.0",), ("size",), NOT_NEGATIVE, "mm", "none"),
    Option(("sample_y", "sample_width", "xtal_y", "xtal_width", "width"), CRYSTAL, "edge along b, in place of -Nb",
           ("edges.1",), ("size",), NOT_NEGATIVE, "mm", "none"),
    Option(("sample_z", "sample_height", "xtal_z", "xtal_height", "height"), CRYSTAL, "edge along c, in place of -Nc",
           ("edges.2",), ("size",), NOT_NEGATIVE, "mm", "none"),
    Option(("square_xtal",), CRYSTAL, "a parallelepiped: spots with fringes", default="on",
           sets={"crystal.shape": "square"}),
    Option(("round_xtal",), CRYSTAL, "a sphere: spots with weaker fringes", sets={"crystal.shape": "round"}),
    Option(("gauss_xtal",), CRYSTAL, "Gaussian spots, without fringes", sets={"crystal.shape": "gauss"}),
    Option(("tophat_spots", "binary_spots"), CRYSTAL, "spots with a sharp edge", sets={"crystal.shape": "tophat"}),
    Option(("gauss_width",), CRYSTAL,
           "width of Gaussian and top-hat spots: nanoBragg's, by Na·Nb·Nc, or the square crystal's, by each of them",
           ("crystal.gauss_width",), ("reference|edges",),
           _choice("reference", "edges"), default="reference"),
    Option(("fudge",), CRYSTAL, "scale of the shape in reciprocal space (not of -square_xtal)",
           ("crystal.fudge",), ("x",), default="1"),
    Option(("mosaic", "mosaici", "mosaic_spread"), CRYSTAL, "mosaic spread",
           ("crystal.mosaic_spread_deg",), ("spread",), unit="deg", default="0"),
    Option(("mosaic_domains", "mosaic_dom"), CRYSTAL, "number of mosaic domains",
           ("crystal.mosaic_domains",), ("n",), COUNT, default="10 with -mosaic, else 1"),
    Option(("mosaic_seed",), CRYSTAL, "seed of the mosaic domains",
           ("crystal.mosaic_seed",), ("n",), INTEGER, default="12345678"),

    Option(("hkl",), FACTORS, "structure factors: lines of h k l F; no symmetry is applied",
           ("structure_factors.hkl_file",), FILE_VALUE, FILE, default="none"),
    Option(("default_F",), FACTORS, "F of every reflection without a value",
           ("structure_factors.default_f",), ("F",), unit="electrons", default="0"),
    Option(("dump",), FACTORS, "binary cache of the -hkl table: written after -hkl, read without it",
           ("structure_factors.dump_file",), FILE_VALUE, FILE, default="Fdump.bin"),
    Option(("pdb", "model"), FACTORS,
           "PDB or mmCIF coordinates to calculate F from, and the cell where neither -cell nor -mat gives it",
           ("structure_factors.coordinate_file",), FILE_VALUE, FILE, default="none"),
    Option(("k_sol",), FACTORS, "bulk solvent density of -pdb",
           ("structure_factors.k_sol",), ("k",), unit="e/Å³", default="0.35"),
    Option(("B_sol",), FACTORS, "bulk solvent B factor of -pdb",
           ("structure_factors.b_sol",), ("B",), unit="Å²", default="46"),
    Option(("nosolvent",), FACTORS, "no bulk solvent in -pdb", sets={"structure_factors.solvent": False}),
    Option(("interpolate",), FACTORS, "interpolate F between reflections",
           default="on where a crystal edge is 2 cells or fewer", sets={"structure_factors.interpolate": True}),
    Option(("nointerpolate",), FACTORS, "take F of the nearest reflection",
           default="on where every crystal edge is 3 cells or more", sets={"structure_factors.interpolate": False}),

    Option(("lambda", "wave", "wavelength"), BEAM, "wavelength",
           ("beam.wavelength_angstrom",), ("wavelength",), unit="Å", default="1"),
    Option(("energy",), BEAM, "photon energy, in place of -lambda", ("beam.wavelength_angstrom",), ("energy",),
           POSITIVE, "eV", "by -lambda", convert=angstrom_from_ev),
    Option(("dispersion",), BEAM, "width of the spectrum",
           ("beam.dispersion_percent",), ("width",), unit="percent", default="0"),
    Option(("dispsteps",), BEAM, "number of wavelengths across the spectrum", ("beam.dispersion_steps",), ("n",),
           COUNT_OR_ZERO, default="2 with -dispersion, else 1", convert=_none_for_zero),
    Option(("divergence",), BEAM, "range of directions, horizontally and vertically",
           ("beam.horizontal_divergence_mrad", "beam.vertical_divergence_mrad"), ("range",), NOT_NEGATIVE, "mrad", "0"),
    Option(("hdivrange",), BEAM, "range of directions, horizontally",
           ("beam.horizontal_divergence_mrad",), ("range",), unit="mrad", default="0"),
    Option(("vdivrange",), BEAM, "range of directions, vertically",
           ("beam.vertical_divergence_mrad",), ("range",), unit="mrad", default="0"),
    Option(("hdivstep",), BEAM, "step of -hdivrange", ("beam.horizontal_divergence_step_mrad",), ("step",),
           unit="mrad", default="by range and count"),
    Option(("vdivstep",), BEAM, "step of -vdivrange", ("beam.vertical_divergence_step_mrad",), ("step",),
           unit="mrad", default="by range and count"),
    Option(("divsteps",), BEAM, "number of directions, horizontally and vertically",
           ("beam.horizontal_divergence_steps", "beam.vertical_divergence_steps"), ("n",), COUNT_OR_ZERO,
           default="by range and step", convert=_none_for_zero),
    Option(("hdivsteps",), BEAM, "number of directions, horizontally", ("beam.horizontal_divergence_steps",), ("n",),
           COUNT_OR_ZERO, default="by range and step", convert=_none_for_zero),
    Option(("vdivsteps",), BEAM, "number of directions, vertically", ("beam.vertical_divergence_steps",), ("n",),
           COUNT_OR_ZERO, default="by range and step", convert=_none_for_zero),
    Option(("round_div",), BEAM, "drop the corners of the divergence grid", default="on",
           sets={"beam.round_divergence": True}),
    Option(("square_div",), BEAM, "keep the corners", sets={"beam.round_divergence": False}),
    Option(("sourcefile",), BEAM, "sources as rows of x y z weight wavelength (m), in place of all these",
           ("beam.source_file",), FILE_VALUE, FILE, default="none"),
    Option(("polar",), BEAM, "Kahn factor: 0 unpolarized, 1 fully polarized along -polar_vector",
           ("beam.kahn_factor",), ("K",), default="0", sets={"beam.polarization_correction": True}),
    Option(("nopolar",), BEAM, "no polarization factor", sets={"beam.polarization_correction": False}),
    Option(("fluence",), BEAM, "photons per area; by default the electron radius² times it is 1",
           ("beam.fluence_per_m2",), ("fluence",), unit="ph/m²", default=f"{DEFAULT_FLUENCE_PER_M2:.17g}"),
    Option(("flux",), BEAM, "photons per second; flux · exposure / beamsize² is the fluence where all are above 0",
           ("beam.flux_per_s",), ("flux",), unit="ph/s", default="0"),
    Option(("exposure",), BEAM, "exposure time", ("beam.exposure_s",), ("time",), unit="s", default="1"),
    Option(("beamsize",), BEAM, "edge of the square beam", ("beam.size_mm",), ("size",), unit="mm", default="0.1"),

    Option(("img",), DETECTOR, "SMV image whose header gives what no option does",
           ("detector.header_file",), FILE_VALUE, FILE, default="none"),
    Option(("mask",), DETECTOR, "SMV image: pixels of value 0 are not rendered; its header counts like that of -img",
           ("detector.mask_file",), FILE_VALUE, FILE, default="none"),
    Option(("pixel",), DETECTOR, "edge of a pixel", ("detector.pixel_mm",), ("size",), unit="mm", default="0.1"),
    Option(("detpixels",), DETECTOR, "number of pixels along fast and slow",
           ("detector.fast_pixels", "detector.slow_pixels"), ("n",), COUNT, "px", "by -detsize"),
    Option(("detpixels_f", "detpixels_x"), DETECTOR, "number of pixels along fast",
           ("detector.fast_pixels",), ("n",), COUNT, "px", "by -detsize_f"),
    Option(("detpixels_s", "detpixels_y"), DETECTOR, "number of pixels along slow",
           ("detector.slow_pixels",), ("n",), COUNT, "px", "by -detsize_s"),
    Option(("detsize",), DETECTOR, "edge of the detector, where no pixel count is given",
           ("detector.fast_size_mm", "detector.slow_size_mm"), ("size",), POSITIVE, "mm", "102.4"),
    Option(("detsize_f",), DETECTOR, "edge along fast",
           ("detector.fast_size_mm",), ("size",), POSITIVE, "mm", "102.4"),
    Option(("detsize_s",), DETECTOR, "edge along slow",
           ("detector.slow_size_mm",), ("size",), POSITIVE, "mm", "102.4"),
    Option(("distance",), DETECTOR, "sample to beam spot, along the beam",
           ("detector.distance_mm",), ("distance",), unit="mm", default="100", sets={"implied_pivot": "beam"}),
    Option(("close_distance",), DETECTOR, "sample to the nearest point of the detector plane",
           ("detector.close_distance_mm",), ("distance",), unit="mm", default="by -distance",
           sets={"implied_pivot": "sample"}),
    Option(("Xbeam",), DETECTOR, "beam centre, in the axes of the convention",
           ("detector.beam_x_mm",), ("x",), unit="mm", default="detector centre", sets=BEAM_CENTER),
    Option(("Ybeam",), DETECTOR, "beam centre",
           ("detector.beam_y_mm",), ("y",), unit="mm", default="detector centre", sets=BEAM_CENTER),
    Option(("Xclose",), DETECTOR, "nearest point, along fast",
           ("detector.close_x_mm",), ("x",), unit="mm", default="detector centre", sets=NEAR_POINT),
    Option(("Yclose",), DETECTOR, "nearest point, along slow",
           ("detector.close_y_mm",), ("y",), unit="mm", default="detector centre", sets=NEAR_POINT),
    Option(("ORGX",), DETECTOR, "nearest point as in XDS: the centre of the first pixel is 1, 1",
           ("detector.orgx_px",), ("x",), unit="px", default="by -Xclose", sets=NEAR_POINT),
    Option(("ORGY",), DETECTOR, "nearest point as in XDS",
           ("detector.orgy_px",), ("y",), unit="px", default="by -Yclose", sets=NEAR_POINT),
    Option(("detector_rotx",), DETECTOR, "turn the detector about the lab's x",
           ("detector.rotx_deg",), ("angle",), unit="deg", default="0"),
    Option(("detector_roty",), DETECTOR, "then about the lab's y",
           ("detector.roty_deg",), ("angle",), unit="deg", default="0"),
    Option(("detector_rotz",), DETECTOR, "then about the lab's z",
           ("detector.rotz_deg",), ("angle",), unit="deg", default="0"),
    Option(("twotheta",), DETECTOR, "then about the two-theta axis",
           ("detector.twotheta_deg",), ("angle",), unit="deg", default="0", sets={"implied_pivot": "sample"}),
    Option(("curved_det",), DETECTOR, "every pixel at the same distance from the sample",
           sets={"detector.curved": True}),
    Option(("point_pixel",), DETECTOR, "solid angle 1/R², whatever size and tilt of a pixel",
           sets={"detector.point_pixel": True}),
    Option(("beamstop",), DETECTOR, "radius of a disc about the beam centre that stops all photons",
           ("detector.beamstop_mm",), ("radius",), NOT_NEGATIVE, "mm", "0"),
    Option(("roi",), DETECTOR, "pixels to render: first and last along fast, then slow, from 0, inclusive",
           ("detector.roi",), ("xmin", "xmax", "ymin", "ymax"), INTEGER, "px", "all"),
    Option(("detector_abs", "detector_absorb", "detector_absorption"), DETECTOR,
           "1/e depth of the sensor; inf or 0: no absorption",
           ("detector.attenuation_depth_um",), ("depth",), NUMBER_OR_INF, "µm", "inf, or -detector_thick"),
    Option(("detector_thick",), DETECTOR, "thickness of the sensor",
           ("detector.thickness_um",), ("thickness",), unit="µm", default="0"),
    Option(("detector_thicksteps", "thicksteps"), DETECTOR, "number of layers of the sensor",
           ("detector.layers",), ("n",), COUNT, default="2 with -detector_thick, else 1"),

    Option(("mosflm",), CONVENTIONS, "beam along x; beam centre as in MOSFLM", default="on",
           sets=_frame("mosflm")),
    Option(("xds",), CONVENTIONS, "beam along z; beam centre as in XDS", sets=_frame("xds")),
    Option(("adxv",), CONVENTIONS, "beam along z; beam centre as in ADXV", sets=_frame("adxv")),
    Option(("denzo",), CONVENTIONS, "beam along x; beam centre as in DENZO", sets=_frame("denzo")),
    Option(("dials",), CONVENTIONS, "beam along z; beam centre as in DIALS", sets=_frame("dials")),
    Option(("pivot",), CONVENTIONS, "what stays when the detector turns: beam spot, or point nearest to the sample",
           ("pivot", "implied_pivot"), ("beam|sample",), _choice("beam", "sample"), default="by convention"),
    Option(("fdet_vector",), CONVENTIONS, "fast axis; this and those below make the convention custom",
           ("detector.fast_axis",), XYZ, default="by convention", sets=CUSTOM),
    Option(("sdet_vector",), CONVENTIONS, "slow axis",
           ("detector.slow_axis",), XYZ, default="by convention", sets=CUSTOM),
    Option(("odet_vector",), CONVENTIONS, "detector normal",
           ("detector.normal_axis",), XYZ, default="by convention", sets=CUSTOM),
    Option(("beam_vector",), CONVENTIONS, "direction in which the beam travels",
           ("beam.direction",), XYZ, default="by convention", sets=CUSTOM),
    Option(("polar_vector",), CONVENTIONS, "polarization (E-vector)",
           ("beam.polarization_axis",), XYZ, default="by convention", sets=CUSTOM),
    Option(("spindle_axis",), CONVENTIONS, "axis about which the crystal turns",
           ("goniometer.spindle_axis",), XYZ, default="by convention", sets=CUSTOM),
    Option(("twotheta_axis",), CONVENTIONS, "axis of -twotheta",
           ("detector.twotheta_axis",), XYZ, default="by convention", sets=CUSTOM | MISREAD),
    Option(("pix0_vector",), CONVENTIONS, "outer corner of the first pixel, before rotations",
           ("detector.origin_mm",), XYZ, unit="m", default="by beam centre", convert=_mm_from_m, sets=CUSTOM),
    Option(("pix0_vector_mm",), CONVENTIONS, "the same in mm",
           ("detector.origin_mm",), XYZ, unit="mm", default="by beam centre", sets=CUSTOM),

    Option(("phi",), ROTATION, "spindle angle at the start", ("scan.phi_deg",), ("angle",), unit="deg", default="0"),
    Option(("osc",), ROTATION, "oscillation range", ("scan.oscillation_deg",), ("range",), unit="deg", default="0"),
    Option(("phistep",), ROTATION, "step of -osc",
           ("scan.step_deg",), ("step",), unit="deg", default="by -osc and -phisteps"),
    Option(("phisteps",), ROTATION, "number of steps of -osc; 0 counts as 1", ("scan.steps",), ("n",), COUNT_OR_ZERO,
           default="by -osc and -phistep", convert=lambda n: max(1, n)),
    Option(("phi_sampling",), ROTATION, "where in each step the crystal is: nanoBragg has it at the start",
           ("scan.phi_sampling",), ("start|middle",), _choice("start", "middle"), default="start"),
    Option(("phi_carryover",), ROTATION, "a spindle angle of exactly 0: turned like any (spec), or left as it was (c)",
           ("experiment.phi_carryover",), ("spec|c",), MODE, default="by -mode"),

    Option(("oversample",), SAMPLING, "sub-pixels along each edge of a pixel; 0: as many as the crystal asks for",
           ("sampling.oversample",), ("n",), COUNT_OR_ZERO, default="0"),
    Option(("oversample_thick",), SAMPLING, "absorption for each sub-pixel", sets={"sampling.oversample_thick": True}),
    Option(("oversample_polar",), SAMPLING, "polarization for each sub-pixel and source",
           sets={"sampling.oversample_polar": True}),
    Option(("oversample_omega",), SAMPLING, "solid angle for each sub-pixel", sets={"sampling.oversample_omega": True}),
    Option(("dmin",), SAMPLING, "skip samples of higher resolution",
           ("sampling.dmin_angstrom",), ("d",), unit="Å", default="0"),

    Option(("water",), BACKGROUND, "edge of a cube of water in the beam",
           ("background.water_um",), ("size",), unit="µm", default="0"),
    Option(("stol",), BACKGROUND, "F of another material than water, in electrons, against sin(theta)/lambda in 1/Å",
           ("background.amorphous_file",), FILE_VALUE, FILE, default="none",
           sets={"background.amorphous_axis": "stol"}),
    Option(("4stol",), BACKGROUND, "the same against 4 sin(theta)/lambda",
           ("background.amorphous_file",), FILE_VALUE, FILE, default="none",
           sets={"background.amorphous_axis": "4stol"}),
    Option(("Q",), BACKGROUND, "the same against 4 pi sin(theta)/lambda",
           ("background.amorphous_file",), FILE_VALUE, FILE, default="none", sets={"background.amorphous_axis": "Q"}),

    Option(("floatfile", "floatimage"), OUTPUT, "photons as float32, without a header",
           ("outputs.float_file",), FILE_VALUE, FILE, default="floatimage.bin"),
    Option(("intfile", "intimage"), OUTPUT, "scaled integers, SMV",
           ("outputs.int_file",), FILE_VALUE, FILE, default="intimage.img"),
    Option(("scale",), OUTPUT,
           "counts per photon in -intfile; 0: the brightest pixel beside the direct beam gets 55000",
           ("outputs.scale",), ("x",), NOT_NEGATIVE, default="0", convert=_none_for_zero),
    Option(("adc", "adcoffset"), OUTPUT, "count of no photons in -intfile and -noisefile",
           ("outputs.adc_offset",), ("x",), unit="counts", default="40"),
    Option(("noisefile", "noiseimage"), OUTPUT, "counts with photon noise, SMV",
           ("outputs.noise_file",), FILE_VALUE, FILE, default="noiseimage.img"),
    Option(("nonoise",), OUTPUT, "no -noisefile, wherever that stands", sets={"no_noise": True}),
    Option(("seed",), OUTPUT, "seed of the noise", ("noise.seed",), ("n",), INTEGER, default="drawn, and reported"),
    Option(("pgmfile", "pgmimage"), OUTPUT, "gray levels, PGM",
           ("outputs.pgm_file",), FILE_VALUE, FILE, default="image.pgm"),
    Option(("pgmscale",), OUTPUT, "gray levels per photon; 0: by the spread of the image",
           ("outputs.pgm_scale",), ("x",), NOT_NEGATIVE, default="0", convert=_none_for_zero),
    Option(("nopgm",), OUTPUT, "no -pgmfile, wherever that stands", sets={"no_pgm": True}),
    Option(("header",), OUTPUT, "SMV headers as nanoBragg's, or such that DIALS reads the exact geometry",
           ("outputs.header",), ("c|dials",), _choice("c", "dials"), default="c"),
    Option(("png",), OUTPUT, "a picture with beam centre and resolution rings",
           ("outputs.png_file",), FILE_VALUE, FILE, default="none"),
    Option(("report",), OUTPUT, "the run as JSON: resolved experiment, statistics, times, versions",
           ("outputs.report_file",), FILE_VALUE, FILE, default="none"),
    Option(("printout",), OUTPUT, "print the value of every pixel", sets={"outputs.print_pixels": "all"}),
    Option(("printout_pixel",), OUTPUT, "print that of one pixel, fast then slow, from 0",
           ("outputs.print_pixels",), ("f", "s"), INDEX, "px", "none"),

    Option(("experiment",), PROGRAM,
           "TOML file of an experiment, its file names from this folder on; options count as if they came after it",
           ("experiment_file",), FILE_VALUE, FILE, default="none"),
    Option(("mode",), PROGRAM, "the physics, or what nanoBragg.c does, defects included",
           ("experiment.mode",), ("spec|c",), MODE, default="spec"),
    Option(("backend",), PROGRAM, "what renders; auto: cuda where there is a usable GPU, else cpu",
           ("run.backend",), ("|".join(BACKENDS),), _choice(*BACKENDS), default="auto"),
    Option(("device",), PROGRAM, "number of the GPU, as `nbnumba devices` lists it, or all, which share the image",
           ("run.device",), ("n|all",), DEVICE, default="0"),
    Option(("precision",), PROGRAM, "arithmetic of the lattice factor",
           ("run.precision",), ("|".join(PRECISIONS),), _choice(*PRECISIONS), default="double"),
    Option(("threads",), PROGRAM, "number of CPU threads", ("run.threads",), ("n",), COUNT, default="all cores"),
    Option(("trace_pixel",), PROGRAM, "print how the value of one pixel comes about, slow then fast, from 0",
           ("run.trace_pixel",), ("s", "f"), INDEX, "px", "none"),
    Option(("progress",), PROGRAM, "show progress", default="on", sets={"run.progress": True}),
    Option(("noprogress",), PROGRAM, "show none", sets={"run.progress": False}),
    Option(("show",), PROGRAM, "print the resolved experiment and stop", sets={"run.show": True}),
    Option(("quiet",), PROGRAM, "no report on stdout; warnings and errors remain", sets={"run.quiet": True}),
    Option(("version",), PROGRAM, "print the version and stop", default=""),
    Option(("h", "help"), PROGRAM, "print this text and stop", default=""),
)
# fmt: on

_BY_NAME = {name: option for option in OPTIONS for name in option.names}

DOCUMENTED_AS = {
    "hdiv": "hdivrange",
    "vdiv": "vdivrange",
    "dispstep": "dispsteps",
    "detsize_x": "detsize_f",
    "detsize_y": "detsize_s",
    "xdet_vector": "fdet_vector",
    "ydet_vector": "sdet_vector",
    "zdet_vector": "odet_vector",
}
"""Spellings of nanoBragg's documents which the program itself ignores, and what they mean."""


# From words to settings ------------------------------------------------------------------------------------------


def wants_help(args: Sequence[str]) -> bool:
    """Whether -h or -help is among the words."""
    return any(_option(word) is _BY_NAME["h"] for word in args)


def wants_version(args: Sequence[str]) -> bool:
    """Whether -version is among the words."""
    return any(_option(word) is _BY_NAME["version"] for word in args)


def parse(args: Sequence[str]) -> Command:
    """The meaning of a command line.

    Parameters
    ----------
    args : sequence of str
        Options and values as typed, without the program's name; one or two dashes, ``--name=value`` too.

    Raises
    ------
    UsageError
        An unknown option, a missing value, a value that is not what the option takes.
    InputFileError
        The file of -experiment cannot be read, or holds no experiment.
    """
    settings = _settings(args)
    if "no_pgm" in settings:
        settings["outputs.pgm_file"] = None
    if "no_noise" in settings:
        settings["outputs.noise_file"] = None
    file = settings.get("experiment_file")
    given = None if file is None else _read_experiment(file)
    experiment = _experiment(settings, given)
    return Command(
        experiment=experiment,
        outputs=Outputs(**_of("outputs", settings)),
        run=Run(**_of("run", settings)),
        labels=_labels(settings, experiment, given),
        notes=tuple(settings["notes"]),
        experiment_file=file,
    )


def _read_experiment(file: str) -> Experiment:
    # Few commands read one, and what reads files takes longer to import than the help to print.
    from ..formats.files import read_text

    try:
        return Experiment.from_toml(read_text(file, "the experiment"))
    except UsageError as error:
        raise InputFileError(f"{file}: {error}") from error


def _settings(args: Sequence[str]) -> dict[str, Any]:
    """What the options set, each later one over the earlier ones."""
    words = deque(args)
    settings: dict[str, Any] = {"notes": []}
    before = ""
    while words:
        word = words.popleft()
        option = _option(word)
        if option is None:
            raise _not_an_option(word, before)
        name, equals, attached = word.partition("=")
        if equals and not option.values:
            raise UsageError(f"{name} takes no value, found {attached!r}")
        if equals:
            words.appendleft(attached)
        taken = _take(option, name, words, int(bool(equals)))
        settings |= option.sets
        if option.values:
            settings |= dict.fromkeys(option.targets, _value(option, name, taken))
        settings["notes"] += _notes(option, name, taken)
        before = " ".join((name, *taken))
    return settings


def _notes(option: Option, name: str, taken: Sequence[str]) -> Iterator[str]:
    """What is to be said of an option that the reference would not understand as it is meant."""
    meant = DOCUMENTED_AS.get(name.lstrip("-"))
    if meant is not None:
        yield f"{name} is read as -{meant}; nanoBragg ignores it"
    if option.group == CONVENTIONS and option.names[0] == "pivot" and taken[0] != taken[0].lower():
        yield f"{name} {taken[0]} is read as {taken[0].lower()}; nanoBragg ignores it"


def _option(word: str) -> Option | None:
    match = re.fullmatch(r"--?([^-=][^=]*)(=.*)?", word, re.DOTALL)
    return _BY_NAME.get(DOCUMENTED_AS.get(match[1], match[1])) if match else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _looks_like_option(word: str) -> bool:
    return _option(word) is not None or (re.match(r"--?[A-Za-z]", word) is not None and not _is_number(word))


MOST_OFFERED = 4


def _not_an_option(word: str, before: str) -> UsageError:
    if not word.startswith("-") or _is_number(word):
        advice = ": -N is one count for all axes; give -Na, -Nb and -Nc" if re.match("--?N ", before) else ""
        return UsageError(f"unexpected argument {word!r}" + (f" after {before}" if before else "") + advice)
    typed = word.partition("=")[0]
    stem = typed.lstrip("-").lower()
    known = {name.lower(): name for name in _BY_NAME}
    longer = [name for name in known if stem and name.startswith(stem)]
    near = [f"-{known[name]}" for name in [*longer[:MOST_OFFERED], *get_close_matches(stem, known)]]
    near = list(dict.fromkeys(near))[:MOST_OFFERED]
    advice = f"did you mean {' or '.join(near)}?" if near else "nbnumba -h lists all options"
    is_short = bool(longer) and stem not in known
    return UsageError(f"unknown option {typed}: {advice}{' (options are written in full)' if is_short else ''}")


def _take(option: Option, name: str, words: deque[str], attached: int) -> list[str]:
    """Remove the option's values from the words that follow it, of which the ``attached`` first are no options."""
    following = list(words)
    free = following[:attached] + list(takewhile(lambda word: not _looks_like_option(word), following[attached:]))
    needed = fewest = len(option.values)
    if option.instead and free and _stands_for_all(option, free[0]):
        needed = fewest = 1
    elif option.fewest is not None:
        needed, fewest = len(free), option.fewest
    if len(free) < fewest or needed > len(option.values):
        found = " ".join(following[: len(free) + 1])
        raise UsageError(f"{name} needs {option.wanted}" + (f", found {found}" if found else ""))
    return [words.popleft() for _ in range(needed)]


def _stands_for_all(option: Option, word: str) -> bool:
    """Whether it is the word that stands for all values, in capitals or shortened as nanoBragg takes it (``rand``)."""
    return option.instead is not None and len(word) > 3 and option.instead.startswith(word.lower())


def _value(option: Option, name: str, taken: Sequence[str]) -> Any:
    if _stands_for_all(option, taken[0]):
        return option.instead
    values = []
    for word in taken:
        try:
            values.append(option.kind.read(word))
        except (ValueError, OverflowError):
            raise UsageError(f"{name} {word!r} is not {option.wanted_word}") from None
    return option.convert(values[0] if len(option.values) == 1 else tuple(values))


# From settings to nouns ------------------------------------------------------------------------------------------


def _of(noun: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one noun."""
    return {name.partition(".")[2]: value for name, value in settings.items() if name.startswith(f"{noun}.")}


def _experiment(settings: Mapping[str, Any], given: Experiment | None) -> Experiment:
    """The experiment of a file, or that of no options at all, with what the options set."""
    experiment = changed(given or Experiment(), **_of("experiment", settings))
    crystal, nouns = experiment.crystal, [name for name, noun in vars(experiment).items() if is_dataclass(noun)]
    changes = {noun: _of(noun, settings) for noun in nouns}
    changes["crystal"]["cells"] = tuple(settings.get(f"cells.{axis}", crystal.cells[axis]) for axis in range(3))
    changes["crystal"]["size_mm"] = tuple(settings.get(f"edges.{axis}", crystal.size_mm[axis]) for axis in range(3))
    changes["detector"]["pivot"] = _pivot(settings, QUIRKS[experiment.mode], given)
    return changed(experiment, **changes)


def _pivot(settings: Mapping[str, Any], quirks: Quirks, given: Experiment | None) -> Pivot | None:
    """The pivot as far as the order of the options, or a file, decides it; None: the fields that are given decide."""
    detector = (given or Experiment()).detector
    convention, pivot = settings.get("detector.convention", detector.convention), detector.pivot
    if not quirks.pivot_by_convention and ("pivot" in settings or pivot):
        return settings.get("pivot", pivot)
    if convention == "custom":
        implied = settings.get("implied_pivot", pivot if given else "beam")
        # What -ORGX and -ORGY say does not depend on where -distance stands.
        is_near_point = settings.get("near_point", given is not None and detector.chosen_pivot == "sample")
        return "sample" if not quirks.custom_near_point_is_center and implied and is_near_point else implied
    if not quirks.pivot_by_convention or (given and "detector.convention" not in settings):
        return pivot
    return OWN_PIVOT[convention]


def _labels(settings: Mapping[str, Any], experiment: Experiment, given: Experiment | None) -> tuple[str, ...]:
    """Labels of what only the line tells: the order of its options, and their names."""
    physics, nanobragg = (
        replace(experiment.detector, pivot=_pivot(settings, quirks, given)).chosen_pivot
        for quirks in (PHYSICS, NANOBRAGG)
    )
    matters = {"pivot_by_convention": physics != nanobragg, "option_misread": "option_misread" in settings}
    return tuple(labels_of(name for name, is_so in matters.items() if is_so))


# From an experiment to words --------------------------------------------------------------------------------------


def as_args(experiment: Experiment) -> list[str]:
    """The words that :func:`parse` makes the same experiment of.

    Raises
    ------
    UsageError
        A field that no option sets so.
    """
    args = [*([] if experiment.mode == "spec" else ["-mode", experiment.mode]), *as_command_line(experiment)]
    wanted = experiment.detector.chosen_pivot
    if parse(args).experiment.detector.chosen_pivot != wanted:
        args += ["-pivot", wanted]
    read = parse(args).experiment
    pivot = read.detector.chosen_pivot
    if pivot != wanted:
        raise UsageError(f"detector.pivot: options would turn the detector about the {pivot} here, not the {wanted}")
    said = _fields(read)
    for name, value in _fields(experiment).items():
        if value != said[name] and name != "detector.pivot":
            raise UsageError(f"{name}: no option says {value!r:.60}")
    return args


def as_command_line(experiment: Experiment) -> list[str]:
    """nanoBragg's options for an experiment: what differs from the defaults, the pivot last.

    The mode is not among them, since no other program has one. A field that no option sets is left out.
    """
    wanted, said = _settable(experiment), _settable(Experiment())
    args: list[str] = []
    for option in _SPOKEN:
        if _says(option, wanted, said):
            args += _words(option, wanted)
            said |= {**option.sets, **{name: wanted[name] for name in option.targets}}
    pivot = experiment.detector.pivot
    return [*args, *(["-pivot", pivot] if pivot else [])]


_SPOKEN = sorted(
    # Not those in other units than those of the field, nor those of several fields, each of which has its own.
    (option for option in OPTIONS if option.names[0] not in ("energy", "pix0_vector") and len(option.targets) < 2),
    key=lambda option: not option.values,
)
"""Flags come last: some undo what the presence of others sets."""
_BY_FLAG = {name for option in OPTIONS if not option.values for name in option.sets}


def _fields(experiment: Experiment) -> dict[str, Any]:
    """Every field by its path."""
    fields_of = {name: vars(noun) if is_dataclass(noun) else {} for name, noun in vars(experiment).items()}
    nested = {f"{name}.{item}": value for name, noun in fields_of.items() for item, value in noun.items()}
    return nested | {name: value for name, value in vars(experiment).items() if not is_dataclass(value)}


def _settable(experiment: Experiment) -> dict[str, Any]:
    """Fields by the names of the settings that options make of them, but for mode and pivot."""
    values = {name if "." in name else f"experiment.{name}": value for name, value in _fields(experiment).items()}
    for name, axes in (("cells", values.pop("crystal.cells")), ("edges", values.pop("crystal.size_mm"))):
        values |= {f"{name}.{axis}": axes[axis] for axis in range(3)}
    del values["experiment.mode"], values["detector.pivot"]
    return values


def _says(option: Option, wanted: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether an option brings what is said nearer to what is wanted."""
    sets = {name: value for name, value in option.sets.items() if name in wanted}
    if not option.values:
        return sets != {name: said[name] for name in sets} and sets == {name: wanted[name] for name in sets}
    is_set = all(name in wanted and wanted[name] not in (None, said[name]) for name in option.targets)
    return is_set and all(value == wanted[name] for name, value in sets.items() if name not in _BY_FLAG)


def _words(option: Option, wanted: Mapping[str, Any]) -> list[str]:
    name = f"-{option.names[0]}"
    if not option.values:
        return [name]
    value = wanted[option.targets[0]]
    words = [
        word if isinstance(word, str) else repr(word) for word in (value if isinstance(value, tuple) else (value,))
    ]
    # A file may be called like an option.
    return [f"{name}={words[0]}"] if words[0].startswith("-") and isinstance(value, str) else [name, *words]


# The text of -h and of the man page ------------------------------------------------------------------------------

_DESCRIPTION = """\
Simulate X-ray diffraction images of a crystal on a pixel detector: the method, the options and the
files of nanoBragg. Options may have one or two dashes; of two options for one thing the later
one on the line counts."""

_EPILOG = """\
examples:
  a cube of 10 cells, every F the same:
    nbnumba -cell 70 80 90 -N 10 -default_F 100 -detpixels 512
  a crystal's own structure factors, orientation and mosaicity, and a picture:
    nbnumba -hkl P1.hkl -mat A.mat -lambda 0.9795 -N 20 -mosaic 0.3 -png image.png
  from coordinates, in a known flux, with the background of water:
    nbnumba -pdb model.pdb -misset random -N 30 -flux 1e12 -water 50
  nanoBragg's own numbers, defects included:
    nbnumba -mode c -cell 70 80 90 -N 5 -default_F 100

other commands (each with -h):
  nbnumba demo      lysozyme from its coordinates, with noise, and a picture
  nbnumba compare   two programs on one command line, or two images
  nbnumba fuzz      random command lines on which two programs disagree
  nbnumba devices   GPUs that can be used, and what is missing
  nbnumba golden    suites of golden images: record and check
  nbnumba trace     every intermediate value of single pixels
  nbnumba trace-diff  where two such traces begin to differ

exit status:
  0    all files are written
  1    compare, fuzz, trace-diff: usage; the -h of these and of golden tells what else theirs mean
  2    an option or a value that cannot be
  3    an input file that cannot be read, or does not hold what it should
  4    memory, disk, output folder or device are not there
  130  interrupted (143 by SIGTERM, 129 by SIGHUP)
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """At most 100 columns; the values once, after the last alias."""

    def __init__(self, prog: str, **widths: Any) -> None:
        super().__init__(prog, max_help_position=30, **widths)
        self._width = min(self._width, 100)

    def _split_lines(self, text: str, width: int) -> list[str]:
        lines = super()._split_lines(text.replace("default: ", "default:\N{NO-BREAK SPACE}"), width)
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return " ".join(filter(None, (", ".join(action.option_strings), str(action.metavar or ""))))


def parser() -> argparse.ArgumentParser:
    """The options as an argument parser that knows how to print them; :func:`parse` is what reads them."""
    shown = argparse.ArgumentParser(
        "nbnumba",
        usage="nbnumba [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_HelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    groups = {name: shown.add_argument_group(name) for name in dict.fromkeys(option.group for option in OPTIONS)}
    for option in OPTIONS:
        names = [f"-{name}" for name in option.names]
        text = help_text(option).replace("%", "%%")
        if option.values:
            groups[option.group].add_argument(*names, metavar=option.metavar, help=text)
        else:
            groups[option.group].add_argument(*names, action="store_true", help=text)
    return shown


def help_text(option: Option) -> str:
    """What the option does, its unit and its default."""
    facts = "; ".join(filter(None, (option.unit, f"default: {option.default}" if option.default else "")))
    return f"{option.help} [{facts}]" if facts else option.help
