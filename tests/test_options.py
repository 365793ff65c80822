"""The command line: every spelling, what counts when two options meet, and what is said of a wrong one."""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.errors import NbnumbaWarning, UsageError
from nbnumba.experiment import Background, Beam, Detector, Experiment, FurtherLattice, Material, changed
from nbnumba.nanobragg.command import Command, Outputs, Run
from nbnumba.nanobragg.help import help_text, parser
from nbnumba.nanobragg.kinds import FILE, INTEGER
from nbnumba.nanobragg.option import MAKES, Option
from nbnumba.nanobragg.option import option as row_of
from nbnumba.nanobragg.option_table import markdown
from nbnumba.nanobragg.parse import parse, wants_help, wants_version
from nbnumba.nanobragg.table import BY_NAME, OPTIONS
from nbnumba.testing.strategies import experiments

GOLDEN = Path(__file__).parent / "golden"

XYZ = ("0.1", "-2e-1", "3")
# Promised. Each row: the spellings of one option as its users know them, its values, a field that it sets, and to what.
SPELLINGS: list[tuple[str, tuple[str, ...], str, Any]] = [
    ("hkl", ("a.hkl",), "structure_factors.hkl_file", "a.hkl"),
    ("default_F", ("3",), "structure_factors.default_f", 3.0),
    ("dump", ("F.bin",), "structure_factors.dump_file", "F.bin"),
    ("mat matrix", ("A.mat",), "crystal.matrix_file", "A.mat"),
    ("cell", ("1", "2", "3", "70", "80", "85"), "crystal.cell", (1.0, 2.0, 3.0, 70.0, 80.0, 85.0)),
    ("misset", ("1", "-2", "3"), "crystal.misset_deg", (1.0, -2.0, 3.0)),
    ("misset", ("random",), "crystal.misset_deg", "random"),
    ("misset", ("RANDOM",), "crystal.misset_deg", "random"),
    ("misset", ("rand",), "crystal.misset_deg", "random"),
    ("misset_seed", ("-7",), "crystal.misset_seed", -7),
    ("N", ("5",), "crystal.cells", (5, 5, 5)),
    ("Na", ("5",), "crystal.cells", (5, 1, 1)),
    ("Nb", ("0",), "crystal.cells", (1, 0, 1)),
    ("Nc", ("5.0",), "crystal.cells", (1, 1, 5)),
    ("samplesize sample_size xtalsize xtal_size", ("0.5",), "crystal.size_mm", (0.5, 0.5, 0.5)),
    ("sample_thick sample_x xtal_thick xtal_x", ("0.5",), "crystal.size_mm", (0.5, None, None)),
    ("sample_width sample_y xtal_width xtal_y width", ("0.5",), "crystal.size_mm", (None, 0.5, None)),
    ("sample_height sample_z xtal_height xtal_z height", ("0.5",), "crystal.size_mm", (None, None, 0.5)),
    ("square_xtal", (), "crystal.shape", "square"),
    ("round_xtal", (), "crystal.shape", "round"),
    ("gauss_xtal", (), "crystal.shape", "gauss"),
    ("tophat_spots binary_spots", (), "crystal.shape", "tophat"),
    ("gauss_width", ("edges",), "crystal.gauss_width", "edges"),
    ("fudge", ("0.4",), "crystal.fudge", 0.4),
    ("mosaic mosaici mosaic_spread", ("0.3",), "crystal.mosaic_spread_deg", 0.3),
    ("mosaic_domains mosaic_dom", ("9",), "crystal.mosaic_domains", 9),
    ("mosaic_seed", ("9",), "crystal.mosaic_seed", 9),
    ("spot_scale", ("1e6",), "crystal.spot_scale", 1e6),
    ("crystal_mm", ("0.05",), "crystal.whole_size_mm", (0.05, 0.05, 0.05)),
    ("crystal_mm", ("0.05", "0.1", "0.2"), "crystal.whole_size_mm", (0.05, 0.1, 0.2)),
    ("lattice", ("misset=1,-2,3",), "crystal.lattices", (FurtherLattice(misset_deg=(1.0, -2.0, 3.0)),)),
    ("lattice", ("mat=A.mat", "weight=0.5"), "crystal.lattices", (FurtherLattice(0.5, matrix_file="A.mat"),)),
    ("img geom expt", ("a.img",), "detector.header_file", "a.img"),
    ("mask", ("m.img",), "detector.mask_file", "m.img"),
    ("pixel", ("0.2",), "detector.pixel_mm", 0.2),
    ("detector", ("pilatus-6m",), "detector.preset", "pilatus-6m"),
    ("detpixels detpixels_f detpixels_x", ("64",), "detector.fast_pixels", 64),
    ("detpixels detpixels_s detpixels_y", ("64",), "detector.slow_pixels", 64),
    ("detsize detsize_f", ("30",), "detector.fast_size_mm", 30.0),
    ("detsize detsize_s", ("30",), "detector.slow_size_mm", 30.0),
    ("distance", ("90",), "detector.distance_mm", 90.0),
    ("close_distance", ("90",), "detector.close_distance_mm", 90.0),
    ("point_pixel", (), "detector.point_pixel", True),
    ("curved_det", (), "detector.curved", True),
    ("detector_rotx", ("-1.5",), "detector.rotx_deg", -1.5),
    ("detector_roty", ("1",), "detector.roty_deg", 1.0),
    ("detector_rotz", ("1",), "detector.rotz_deg", 1.0),
    ("twotheta", ("12",), "detector.twotheta_deg", 12.0),
    ("mosflm", (), "detector.convention", "mosflm"),
    ("xds", (), "detector.convention", "xds"),
    ("adxv", (), "detector.convention", "adxv"),
    ("denzo", (), "detector.convention", "denzo"),
    ("dials", (), "detector.convention", "dials"),
    ("pivot", ("sample",), "detector.pivot", "sample"),
    ("Xbeam", ("15",), "detector.beam_x_mm", 15.0),
    ("Ybeam", ("15",), "detector.beam_y_mm", 15.0),
    ("Xclose", ("15",), "detector.close_x_mm", 15.0),
    ("Yclose", ("15",), "detector.close_y_mm", 15.0),
    ("ORGX", ("30.5",), "detector.orgx_px", 30.5),
    ("ORGY", ("30.5",), "detector.orgy_px", 30.5),
    ("fdet_vector", XYZ, "detector.fast_axis", (0.1, -0.2, 3.0)),
    ("sdet_vector", XYZ, "detector.slow_axis", (0.1, -0.2, 3.0)),
    ("odet_vector", XYZ, "detector.normal_axis", (0.1, -0.2, 3.0)),
    ("beam_vector", XYZ, "beam.direction", (0.1, -0.2, 3.0)),
    ("polar_vector", XYZ, "beam.polarization_axis", (0.1, -0.2, 3.0)),
    ("spindle_axis", XYZ, "goniometer.spindle_axis", (0.1, -0.2, 3.0)),
    ("twotheta_axis", XYZ, "detector.twotheta_axis", (0.1, -0.2, 3.0)),
    ("pix0_vector", XYZ, "detector.origin_mm", (100.0, -200.0, 3000.0)),
    ("pix0_vector_mm", XYZ, "detector.origin_mm", (0.1, -0.2, 3.0)),
    ("detector_abs detector_absorb detector_absorption", ("300",), "detector.attenuation_depth_um", 300.0),
    ("detector_abs", ("inf",), "detector.attenuation_depth_um", math.inf),
    ("detector_thick", ("450",), "detector.thickness_um", 450.0),
    ("detector_material", ("Si",), "detector.sensor_material", "Si"),
    ("detector_material", ("gaas",), "detector.sensor_material", "GaAs"),
    ("detector_material", ("CDTE",), "detector.sensor_material", "CdTe"),
    ("detector_thicksteps thicksteps", ("4",), "detector.layers", 4),
    ("lambda wave wavelength", ("0.98",), "beam.wavelength_angstrom", 0.98),
    ("energy", ("12398.42",), "beam.wavelength_angstrom", 1.0),
    ("dispersion", ("2",), "beam.dispersion_percent", 2.0),
    ("dispsteps", ("5",), "beam.dispersion_steps", 5),
    ("divergence hdivrange", ("4",), "beam.horizontal_divergence_mrad", 4.0),
    ("divergence vdivrange", ("4",), "beam.vertical_divergence_mrad", 4.0),
    ("hdivstep", ("1",), "beam.horizontal_divergence_step_mrad", 1.0),
    ("vdivstep", ("1",), "beam.vertical_divergence_step_mrad", 1.0),
    ("hdivsteps divsteps", ("3",), "beam.horizontal_divergence_steps", 3),
    ("vdivsteps divsteps", ("3",), "beam.vertical_divergence_steps", 3),
    ("hdivsteps divsteps", ("0",), "beam.horizontal_divergence_steps", None),
    ("round_div", (), "beam.round_divergence", True),
    ("square_div", (), "beam.round_divergence", False),
    ("sourcefile", ("s.txt",), "beam.source_file", "s.txt"),
    ("hdiv_sigma", ("0.5",), "beam.horizontal_divergence_sigma_mrad", 0.5),
    ("vdiv_sigma", ("0.5",), "beam.vertical_divergence_sigma_mrad", 0.5),
    ("spectrum", ("s.lam",), "beam.spectrum_file", "s.lam"),
    ("spectrum_number", ("3",), "beam.spectrum_number", 3),
    ("spectrum_bins", ("20",), "beam.spectrum_bins", 20),
    ("pink", ("9500", "100"), "beam.pink_ev", (9500.0, 100.0, 100.0)),
    ("pink", ("9500", "100", "50"), "beam.pink_ev", (9500.0, 100.0, 50.0)),
    ("two_colour", ("9500", "1", "9400", "0.5"), "beam.two_colour", (9500.0, 1.0, 9400.0, 0.5)),
    ("sase", ("9500", "20", "0.5"), "beam.sase_ev", (9500.0, 20.0, 0.5)),
    ("polar", ("0.9",), "beam.kahn_factor", 0.9),
    ("nopolar", (), "beam.polarization_correction", False),
    ("fluence", ("1e29",), "beam.fluence_per_m2", 1e29),
    ("flux", ("1e12",), "beam.flux_per_s", 1e12),
    ("exposure", ("0.1",), "beam.exposure_s", 0.1),
    ("beamsize", ("0.05",), "beam.size_mm", 0.05),
    ("beam_profile", ("gauss",), "beam.profile", "gauss"),
    ("phi", ("-1",), "scan.phi_deg", -1.0),
    ("osc", ("2",), "scan.oscillation_deg", 2.0),
    ("phistep", ("0.5",), "scan.step_deg", 0.5),
    ("phisteps", ("4",), "scan.steps", 4),
    ("phisteps", ("0",), "scan.steps", 1),
    ("phi_sampling", ("middle",), "scan.phi_sampling", "middle"),
    ("dmin", ("4",), "sampling.dmin_angstrom", 4.0),
    ("tolerance", ("1e-3",), "sampling.tolerance_photons", 1e-3),
    ("oversample", ("0",), "sampling.oversample", 0),
    ("oversample_thick", (), "sampling.oversample_thick", True),
    ("oversample_polar", (), "sampling.oversample_polar", True),
    ("oversample_omega", (), "sampling.oversample_omega", True),
    ("interpolate", (), "structure_factors.interpolate", True),
    ("nointerpolate", (), "structure_factors.interpolate", False),
    ("beamstop", ("3",), "detector.beamstop_mm", 3.0),
    ("beamstop_arm", ("0.5", "-90"), "detector.beamstop_arm", (0.5, -90.0)),
    ("roi", ("-5", "60", "30", "80"), "detector.roi", (-5, 60, 30, 80)),
    ("water", ("3",), "background.water_um", 3.0),
    ("stol 4stol Q", ("f.stol",), "background.amorphous_file", "f.stol"),
    ("4stol", ("f.stol",), "background.amorphous_axis", "4stol"),
    ("Q", ("f.stol",), "background.amorphous_axis", "Q"),
    ("background", ("water", "0.05"), "background.materials", (Material("water", 0.05),)),
    ("background", ("ice", "0.05", "0.9"), "background.materials", (Material("ice", 0.05, 0.9),)),
    ("background", ("a.stol", "1", "0.9", "282"), "background.materials", (Material(None, 1.0, 0.9, 282.0, "a.stol"),)),
    (
        "background",
        ("Q=oil", "1", "0.9", "282"),
        "background.materials",
        (Material(None, 1.0, 0.9, 282.0, "oil", "Q"),),
    ),
    ("background_image", ("f.npy",), "background.image_file", "f.npy"),
    ("background_profile background_profile_px", ("f.txt",), "background.profile_file", "f.txt"),
    ("background_profile", ("f.txt",), "background.profile_axis", "stol"),
    ("background_profile_px", ("f.txt",), "background.profile_axis", "px"),
    ("floatfile floatimage", ("f.bin",), "outputs.float_file", "f.bin"),
    ("intfile intimage", ("i.img",), "outputs.int_file", "i.img"),
    ("pgmfile pgmimage", ("p.pgm",), "outputs.pgm_file", "p.pgm"),
    ("pgmscale", ("0.02",), "outputs.pgm_scale", 0.02),
    ("pgmscale", ("0",), "outputs.pgm_scale", None),
    ("nopgm", (), "outputs.pgm_file", None),
    ("noisefile noiseimage", ("n.img",), "outputs.noise_file", "n.img"),
    ("nonoise", (), "outputs.noise_file", None),
    ("scale", ("0.5",), "outputs.scale", 0.5),
    ("scale", ("0",), "outputs.scale", None),
    ("adc adcoffset", ("-10",), "readout.adc_offset", -10.0),
    ("seed", ("-12",), "noise.seed", -12),
    ("frame", ("3",), "noise.frame", 3),
    ("rng", ("ran1",), "noise.rng", "ran1"),
    ("readout", ("counting",), "readout.kind", "counting"),
    ("gain", ("1.8",), "readout.gain", 1.8),
    ("readnoise", ("3",), "readout.read_noise", 3.0),
    ("flicker", ("0.02",), "readout.flicker", 0.02),
    ("pixel_flicker", ("0.02",), "readout.pixel_flicker", 0.02),
    ("calib", ("0.03",), "readout.calibration", 0.03),
    ("calib_seed", ("-9",), "readout.calibration_seed", -9),
    ("psf", ("fibre",), "readout.psf", "fibre"),
    ("psf_fwhm", ("46",), "readout.psf_fwhm_um", 46.0),
    ("swank", ("0.9",), "readout.swank", 0.9),
    ("deadtime", ("125",), "readout.deadtime_ns", 125.0),
    ("paralyzable", (), "readout.paralyzable", True),
    ("nonparalyzable", (), "readout.paralyzable", False),
    ("rate_correction", (), "readout.rate_correction", True),
    ("norate_correction", (), "readout.rate_correction", False),
    ("count_cutoff", ("1e6",), "readout.cutoff_per_s", 1e6),
    ("bits", ("12",), "readout.bits", 12),
    ("words", ("raw",), "readout.words", "raw"),
    ("badpix", ("1e-3",), "readout.bad_fraction", 1e-3),
    ("badpix_seed", ("5",), "readout.bad_seed", 5),
    ("badpix_file", ("b.txt",), "readout.bad_pixel_file", "b.txt"),
    ("printout", (), "outputs.print_pixels", "all"),
    ("printout_pixel", ("3", "4"), "outputs.print_pixels", (3, 4)),
    ("trace_pixel", ("3", "4"), "run.trace_pixel", (3, 4)),
    ("progress", (), "run.progress", True),
    ("noprogress", (), "run.progress", False),
    ("mode", ("c",), "mode", "c"),
    ("mode", ("c-parity",), "mode", "c"),
    ("phi_carryover", ("spec",), "phi_carryover", "spec"),
    ("phi_carryover", ("c-parity",), "phi_carryover", "c"),
    ("backend", ("reference",), "run.backend", "reference"),
    ("precision", ("mixed",), "run.precision", "mixed"),
    ("device", ("1",), "run.device", 1),
    ("device", ("ALL",), "run.device", "all"),
    ("threads", ("2",), "run.threads", 2),
    ("pdb model", ("m.pdb",), "structure_factors.coordinate_file", "m.pdb"),
    ("k_sol", ("0.4",), "structure_factors.k_sol", 0.4),
    ("B_sol", ("50",), "structure_factors.b_sol", 50.0),
    ("nosolvent", (), "structure_factors.solvent", False),
    ("anomalous", ("Se",), "structure_factors.anomalous", ("Se",)),
    ("anomalous", ("Se=se.txt",), "structure_factors.anomalous", ("Se=se.txt",)),
    ("noanomalous", (), "structure_factors.anomalous", ()),
    ("png", ("i.png",), "outputs.png_file", "i.png"),
    ("o", ("i.npy",), "outputs.files", ("i.npy",)),
    ("images", ("20",), "run.images", 20),
    ("report", ("r.json",), "outputs.report_file", "r.json"),
    ("header", ("dials",), "outputs.header", "dials"),
    ("show", (), "run.show", True),
    ("quiet", (), "run.quiet", True),
]


def trial(option: Option) -> tuple[str, tuple[str, ...], str, Any]:
    """The like of any option, as its row in the table has it."""
    names = " ".join(option.names)
    if not option.values:
        return names, (), *next(item for item in option.sets.items() if "." in item[0])
    words = tuple("a.file" if option.kind is FILE else value.split("|")[-1] if "|" in value else "2"
                  for value in option.values)  # fmt: skip
    if option.names[0] == "lattice":
        words = ("weight=2", "cells=3,4,5")
    read = tuple(option.kind.read(word) for word in words)
    value = option.convert(read if len(option.values) > 1 else read[0])
    return names, words, option.targets[0], (value,) if option.repeats else value


NO_FIELDS = ("experiment", "nopgm", "nonoise", "version", "h")
EACH_SPELLING = [
    pytest.param(name, values, path, value, id=f"{source}-{name}-{'-'.join(values)}")
    for source, rows in {
        "promised": SPELLINGS,
        "table": [trial(option) for option in OPTIONS if option.names[0] not in NO_FIELDS],
    }.items()
    for names, values, path, value in rows
    for name in names.split()
]


def look_up(command: Command, path: str) -> Any:
    setting, _, axis = path.partition(".")
    noun, _, field = MAKES.get(setting, path).removeprefix("experiment.").rpartition(".")
    owner: Any = command if noun in ("outputs", "run") else command.experiment
    for part in filter(None, (noun, field)):
        owner = getattr(owner, part)
    return owner[int(axis)] if setting in ("cells", "edges") else owner


def line(text: str) -> Command:
    return parse(text.split())


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize(("name", "values", "path", "value"), EACH_SPELLING)
def test_every_spelling_sets_its_field(name: str, values: tuple[str, ...], path: str, value: Any, dashes: str) -> None:
    assert look_up(parse([dashes + name, *values]), path) == value


@pytest.mark.parametrize(("name", "values", "path", "value"), [row for row in EACH_SPELLING if row.values[1]])
def test_first_value_may_follow_an_equals_sign(name: str, values: tuple[str, ...], path: str, value: Any) -> None:
    assert look_up(parse([f"--{name}={values[0]}", *values[1:]]), path) == value


def test_no_spelling_has_two_meanings() -> None:
    names = [name for option in OPTIONS for name in option.names]
    assert len(names) == len(set(names))


def test_nothing_given_is_the_default_of_everything() -> None:
    assert line("") == Command(Experiment(), Outputs(), Run(), ())


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("-N 5 -Nb 7", "crystal.cells", (5, 7, 5)),
        ("-Nb 7 -N 5", "crystal.cells", (5, 5, 5)),
        ("-xtalsize 0.1 -sample_y 0.2", "crystal.size_mm", (0.1, 0.2, 0.1)),
        ("-lambda 1 -energy 24796.84", "beam.wavelength_angstrom", 0.5),
        ("-energy 24796.84 -lambda 1", "beam.wavelength_angstrom", 1.0),
        ("-divergence 4 -hdivrange 1", "beam.horizontal_divergence_mrad", 1.0),
        ("-hdivrange 1 -divergence 4", "beam.horizontal_divergence_mrad", 4.0),
        ("-vdivrange 1 -divergence 4", "beam.vertical_divergence_mrad", 4.0),
        ("-vdivsteps 5 -divsteps 3", "beam.vertical_divergence_steps", 3),
        ("-divsteps 3 -vdivsteps 5", "beam.vertical_divergence_steps", 5),
        ("-round_xtal -gauss_xtal -tophat_spots", "crystal.shape", "tophat"),
        ("-tophat_spots -square_xtal", "crystal.shape", "square"),
        ("-interpolate -nointerpolate", "structure_factors.interpolate", False),
        ("-nointerpolate -interpolate", "structure_factors.interpolate", True),
        ("-detpixels 64 -detpixels_x 32", "detector.fast_pixels", 32),
        ("-detpixels_x 32 -detpixels 64", "detector.fast_pixels", 64),
        ("-detpixels_x 32 -detpixels_f 16", "detector.fast_pixels", 16),
        ("-square_div -round_div", "beam.round_divergence", True),
        ("-polar 0.9 -nopolar", "beam.polarization_correction", False),
        ("-nopolar -polar 0.9", "beam.polarization_correction", True),
        ("-stol a -Q b", "background.amorphous_axis", "Q"),
        ("-noprogress -progress", "run.progress", True),
        ("-anomalous Se -anomalous=S=s.txt", "structure_factors.anomalous", ("Se", "S=s.txt")),
        ("-anomalous Se -noanomalous", "structure_factors.anomalous", ()),
        ("-noanomalous -anomalous Se", "structure_factors.anomalous", ("Se",)),
        ("-printout -printout_pixel 1 2", "outputs.print_pixels", (1, 2)),
        ("-misset 1 2 3 -misset random", "crystal.misset_deg", "random"),
        ("-cell 1 2 3 80 -cell 4", "crystal.cell", (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)),
        ("-nonoise -noisefile n.img", "outputs.noise_file", None),
        ("-noisefile n.img -nonoise", "outputs.noise_file", None),
        ("-nopgm -pgmfile p.pgm", "outputs.pgm_file", None),
        ("-xds -mosflm", "detector.convention", "mosflm"),
        ("-xds -spindle_axis 1 0 0", "detector.convention", "custom"),
        ("-spindle_axis 1 0 0 -xds", "detector.convention", "xds"),
        ("-pix0_vector 0 0 1 -beam_vector 0 0 1 -dials", "detector.convention", "dials"),
        ("-xds -pix0_vector_mm 0 0 1", "detector.convention", "custom"),
        ("-beam_vector 0 0 1 -xds -fdet_vector 1 0 0", "beam.direction", (0.0, 0.0, 1.0)),
    ],
)
def test_the_later_of_two_options_counts(text: str, path: str, value: Any) -> None:
    assert look_up(line(text), path) == value


def test_values_of_an_option_that_repeats_replace_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text('[structure_factors]\nanomalous = ["Se", "S"]\n')
    assert line(f"-experiment {path}").experiment.structure_factors.anomalous == ("Se", "S")
    assert line(f"-anomalous Zn -experiment {path} -anomalous Fe").experiment.structure_factors.anomalous == (
        "Zn",
        "Fe",
    )
    assert line(f"-experiment {path} -noanomalous").experiment.structure_factors.anomalous == ()


def test_values_of_an_option_that_repeats_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fields of Outputs hold whatever they are given.
    row = row_of("pile", "program", "what is piled up", "outputs.png_file", "x y", kind=INTEGER, repeats=True)
    clear = row_of("nopile", "program", "nothing is", sets={"outputs.png_file": ()})
    for made in (row, clear):
        monkeypatch.setitem(BY_NAME, made.names[0], made)
    assert line("-pile 1 2 -quiet -pile 3 4").outputs.png_file == ((1, 2), (3, 4))
    assert line("-pile 1 2 -nopile -pile=5 6").outputs.png_file == ((5, 6),)
    assert line("-pile 1 2 -nopile").outputs.png_file == ()
    assert help_text(row).startswith("what is piled up; may be repeated")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("70", (70, 70, 70, 90, 90, 90)),
        ("70 80", (70, 80, 70, 90, 90, 90)),
        ("70 80 90", (70, 80, 90, 90, 90, 90)),
        ("70 80 90 75", (70, 80, 90, 75, 90, 90)),
        ("70 80 90 75 85", (70, 80, 90, 75, 85, 90)),
        ("70 80 90 75 85 95", (70, 80, 90, 75, 85, 95)),
    ],
)
def test_cell_takes_one_to_six_numbers(text: str, cell: tuple[float, ...]) -> None:
    command = line(f"-cell {text} -N 5")
    assert command.experiment.crystal.cell == cell
    assert command.experiment.crystal.cells == (5, 5, 5)


@pytest.mark.parametrize("word", ["-1e-3", "-.001", "-1E-03", "-0.001"])
def test_a_value_may_be_negative_and_in_exponent_form(word: str) -> None:
    assert parse(["-phi", word, "-osc", "1"]).experiment.scan.phi_deg == -0.001


@pytest.mark.parametrize("convention", ["mosflm", "denzo", "adxv", "xds", "dials"])
@pytest.mark.parametrize("options", ["", "-pivot beam", "-pivot sample", "-ORGX 3 -twotheta 0", "-Xbeam 3"])
def test_mode_c_pivots_a_named_convention_in_its_own_way(convention: str, options: str) -> None:
    pivot = line(f"-mode c {options} -{convention}").experiment.detector.pivot
    assert pivot == ("sample" if convention in ("xds", "dials") else "beam")


@pytest.mark.parametrize("convention", ["mosflm", "xds"])
@pytest.mark.parametrize(
    ("options", "pivot"),
    [
        ("", None),
        ("-ORGX 3 -Xbeam 3 -twotheta 0 -distance 100", None),
        ("-pivot beam", "beam"),
        ("-pivot sample -distance 100", "sample"),
        ("-ORGX 3 -pivot beam -pivot sample", "sample"),
    ],
)
def test_mode_spec_pivots_a_named_convention_as_told(convention: str, options: str, pivot: str | None) -> None:
    assert line(f"-{convention} {options}").experiment.detector.pivot == pivot


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize(
    ("options", "pivot"),
    [
        ("", "beam"),
        *((f"-twotheta 1 {option} 1", "beam") for option in ("-distance", "-Xbeam", "-Ybeam")),
        *(
            (f"-distance 1 {option} 1", "sample")
            for option in ("-close_distance", "-Xclose", "-Yclose", "-ORGX", "-ORGY", "-twotheta")
        ),
        ("-distance 1 -twotheta_axis 1 0 0", "beam"),
        ("-distance 1 -pivot sample", "sample"),
        ("-mosflm", "beam"),
        ("-distance 1 -xds", "sample"),
        ("-twotheta 1 -denzo", "beam"),
        ("-ORGX 1 -adxv", "beam"),
        ("-twotheta 1 -dials", "beam"),
        ("-twotheta 1 -pivot beam", "beam"),
    ],
)
def test_custom_pivots_as_the_last_option_implies(options: str, pivot: str, mode: str) -> None:
    command = line(f"{options} -mode {mode} -spindle_axis 1 0 0")
    assert command.experiment.detector.pivot == pivot


@pytest.mark.parametrize(("mode", "pivot"), [("spec", "sample"), ("c", "beam")])
def test_pivot_option_yields_to_later_ones_in_mode_c_alone(mode: str, pivot: str) -> None:
    command = line(f"-spindle_axis 1 0 0 -pivot sample -distance 100 -mode {mode}")
    assert command.experiment.detector.pivot == pivot


@pytest.mark.parametrize(
    ("options", "spec", "c"),
    [
        ("-ORGX 30 -ORGY 40 -distance 90", "sample", "beam"),
        ("-Yclose 40 -distance 90", "sample", "beam"),
        ("-ORGX 30 -distance 90 -Xbeam 3", "beam", "beam"),
        ("-Xbeam 3 -ORGX 30 -distance 90", "sample", "beam"),
        ("-close_distance 80 -distance 90", "beam", "beam"),
        ("-ORGX 30 -distance 90 -pivot beam", "beam", "beam"),
    ],
)
def test_a_near_point_is_one_wherever_the_distance_stands(options: str, spec: str, c: str) -> None:
    for mode, pivot in {"spec": spec, "c": c}.items():
        assert line(f"{options} -fdet_vector 1 0 0 -mode {mode}").experiment.detector.pivot == pivot


def test_a_near_point_of_custom_axes_is_one_from_python_too() -> None:
    near = {"convention": "custom", "orgx_px": 30.0, "orgy_px": 40.0, "distance_mm": 90.0}
    assert Detector(**near).chosen_pivot == "sample"
    assert Detector(**near, beam_x_mm=3.0).chosen_pivot == "beam"


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("-distance 100 -twotheta 3", ()),
        ("-pivot beam", ()),
        ("-pivot sample", ("C-3",)),
        ("-xds -pivot beam", ("C-3",)),
        ("-ORGX 3", ("C-3",)),
        ("-ORGX 3 -Ybeam 3", ()),
        ("-xds -ORGX 3", ()),
        ("-xds -Xbeam 3", ("C-3",)),
        ("-spindle_axis 1 0 0 -ORGX 3", ()),
        ("-spindle_axis 1 0 0 -pivot sample -distance 3", ("C-3",)),
        ("-misset random -misset_seed 3", ("C-16",)),
        ("-twotheta_axis 0 1 0", ("C-16",)),
        ("-misset_seed 3 -pivot sample", ("C-3", "C-16")),
    ],
)
def test_labels_tell_where_the_modes_read_the_line_differently(text: str, labels: tuple[str, ...], mode: str) -> None:
    assert line(f"{text} -mode {mode}").labels == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-lamda 1", r"unknown option -lamda: did you mean -lambda\?"),
        ("--Hkl=a", r"unknown option --Hkl: did you mean -hkl\?"),
        ("-orgx 3", r"unknown option -orgx: did you mean -ORGX or -ORGY\?"),
        ("-4sto f", r"unknown option -4sto: did you mean -4stol or -stol\? \(options are written in full\)"),
        ("-dist 5", r"unknown option -dist: did you mean -distance or .*\? \(options are written in full\)"),
        ("-det 5", r"unknown option -det: did you mean -.*\? \(options are written in full\)"),
        ("-N5", r"unknown option -N5: did you mean -N\b.*\?"),
        ("-quetzalcoatl", "unknown option -quetzalcoatl: nbnumba -h lists all options"),
        ("---N 5", "unknown option ---N"),
        ("-", "unknown option -"),
        ("x", "unexpected argument 'x'"),
        ("-N 5 6", "unexpected argument '6' after -N 5"),
        ("-nopgm -5", "unexpected argument '-5' after -nopgm"),
        ("-distance", "-distance needs a finite number in mm"),
        ("-distance -pixel 1", "-distance needs a finite number in mm, found -pixel"),
        ("-hkl -mat A.mat", "-hkl needs a file name, found -mat"),
        ("-hkl -hk a", "-hkl needs a file name, found -hk"),
        ("-mode -N 5", "-mode needs spec or c, found -N"),
        ("-misset 1 2", "-misset needs 3 values in deg: x y z | random, found 1 2"),
        ("-roi 1 2 3 -N 5", "-roi needs 4 values in px: xmin xmax ymin ymax, found 1 2 3 -N"),
        ("-cell -N 5", "-cell needs 1 to 6 values in Å and deg: a [b c alpha beta gamma], found -N"),
        ("-cell 1 2 3 4 5 6 7 -N 5", "-cell needs 1 to 6 values"),
        ("-cell 1 2x", "-cell '2x' is not a finite number"),
        ("-misset Rnd 1 2", "-misset 'Rnd' is not a finite number in deg"),
        ("-distance 10cm", "-distance '10cm' is not a finite number in mm"),
        ("-distance 1_0", "-distance '1_0' is not"),
        ("-distance nan", "-distance 'nan' is not a finite number in mm"),
        ("-distance -inf", "-distance '-inf' is not a finite number in mm"),
        ("-distance 1e999", "-distance '1e999' is not a finite number in mm"),
        ("-detector_abs nan", "-detector_abs 'nan' is not a number in µm, 0 or more, or inf"),
        ("-detector_abs -inf", "-detector_abs '-inf' is not"),
        ("-energy 0", "-energy '0' is not a finite number in eV, above 0"),
        ("-scale -1", "-scale '-1' is not a finite number, 0 or more"),
        ("-N 5.5", "-N '5.5' is not a whole number"),
        ("-seed 1e400", "-seed '1e400' is not a whole number"),
        ("-seed 99999999999999999999", "-seed '99999999999999999999' is not a whole number"),
        ("-detpixels 0", "-detpixels '0' is not a whole number in px, 1 or more"),
        ("-mosaic_domains 0", "-mosaic_domains '0' is not a whole number, 1 or more"),
        ("-thicksteps -1", "-thicksteps '-1' is not a whole number, 1 or more"),
        ("-threads 0", "-threads '0' is not a whole number, 1 or more"),
        ("-oversample -1", "-oversample '-1' is not a whole number, 0 or more"),
        ("-phisteps -1", "-phisteps '-1' is not a whole number, 0 or more"),
        ("-divsteps -1", "-divsteps '-1' is not a whole number, 0 or more"),
        ("-trace_pixel 1 -1", "-trace_pixel '-1' is not a whole number in px, 0 or more"),
        ("-mode x", "-mode 'x' is not spec or c"),
        ("-backend gpu", "-backend 'gpu' is not auto, cuda, cpu or reference"),
        ("--hkl=", "--hkl '' is not a file name"),
        ("--nopgm=1", "--nopgm takes no value, found '1'"),
    ],
)
def test_what_cannot_be_is_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        line(text)
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith(message) or re.fullmatch(message, said)


# From an experiment to options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize(("name", "values", "path", "value"), EACH_SPELLING)
def test_every_field_that_an_option_sets_has_words(
    name: str, values: tuple[str, ...], path: str, value: Any, mode: str
) -> None:
    experiment = parse(["-mode", mode, f"-{name}", *values]).experiment
    assert Experiment.from_args(experiment.to_args()) == experiment


@pytest.mark.parametrize(
    "text",
    [
        "-fdet_vector 0 0 1 -mosflm",
        "-beam_vector 0 0 1 -adxv -pivot sample",
        "-xds -spindle_axis 1 0 0 -ORGX 3",
        "-mode c -spindle_axis 1 0 0 -ORGX 3 -distance 50",
        "-mode c -dials -ORGX 3",
        "-polar 0.5 -nopolar",
        "-hkl=-hkl -mat=--N=5",
        "-Q f.stol -mode c -phi_carryover spec",
        "-sample_y 0.1 -Nb 7 -misset random -misset_seed 5",
        "-pix0_vector 0.1 0.2 0.3",
    ],
)
def test_options_survive_an_experiment(text: str) -> None:
    experiment = line(text).experiment
    assert Experiment.from_args(experiment.to_args()) == experiment


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("fields", [{}, {"orgx_px": 3}, {"twotheta_deg": 5}, {"twotheta_deg": 5, "beam_x_mm": 3}])
def test_pivot_that_the_fields_decide_is_said_where_options_would_decide_otherwise(
    fields: dict[str, float], mode: Any
) -> None:
    experiment = Experiment(detector=Detector("custom", fast_axis=(0, 0, 1), **fields), mode=mode)  # type: ignore[arg-type]
    read = Experiment.from_args(experiment.to_args())
    assert read.detector.chosen_pivot == experiment.detector.chosen_pivot
    assert changed(read, detector={"pivot": None}) == experiment


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (Experiment(beam=Beam(dispersion_steps=0)), "beam.dispersion_steps: no option says 0"),
        (Experiment(background=Background(amorphous_axis="Q")), "background.amorphous_axis: no option says 'Q'"),
        (Experiment(detector=Detector(convention="custom")), "detector.convention: no option says 'custom'"),
        (Experiment(detector=Detector(pivot="sample"), mode="c"), "detector.pivot: options would turn the detector "
         "about the beam here, not the sample"),
        (Experiment(detector=Detector(orgx_px=3.0), mode="c"), "detector.pivot: options would turn the detector "
         "about the beam here, not the sample"),
        (Experiment(beam=Beam(wavelength_angstrom=math.nan)), "-lambda 'nan' is not a finite number in Å"),
        (Experiment(detector=Detector(fast_pixels=0)), "-detpixels_f '0' is not a whole number in px, 1 or more"),
        (Experiment(detector=Detector(mask_file="")), "-mask '' is not a file name"),
    ],
)  # fmt: skip
def test_field_that_no_option_can_say_is_named(experiment: Experiment, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        experiment.to_args()


# An experiment in a file --------------------------------------------------------------------------------------------

TOML = """
mode = "c"
[beam]
wavelength_angstrom = 1.5
[detector]
convention = "xds"
orgx_px = 3
[crystal]
cell = [70, 80, 90, 90, 90, 90]
cells = [5, 6, 7]
size_mm = ["none", 0.1, 0.2]
"""


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "e.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


def test_experiment_in_a_file_is_that_of_the_text(toml: Callable[[str], str]) -> None:
    command = parse(["-experiment", toml(TOML), "-quiet"])
    assert command.experiment == Experiment.from_toml(TOML)
    assert command.experiment_file == toml(TOML)
    assert command.labels == ()


@given(st.sampled_from(["spec", "c"]).flatmap(experiments))
def test_any_experiment_may_be_in_a_file(experiment: Experiment) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(experiment.to_toml())
        file.flush()
        assert parse([f"--experiment={file.name}"]).experiment == experiment


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ("-lambda 2", "beam.wavelength_angstrom", 2.0),
        ("-Nb 9", "crystal.cells", (5, 9, 7)),
        ("-sample_x 0.3", "crystal.size_mm", (0.3, 0.1, 0.2)),
        ("-cell 50", "crystal.cell", (50.0, 50.0, 50.0, 90.0, 90.0, 90.0)),
        ("-mode spec", "mode", "spec"),
        ("-phi 3", "detector.orgx_px", 3.0),
        ("-adxv", "detector.convention", "adxv"),
    ],
)
def test_options_override_the_file_wherever_they_stand(
    before: bool, options: str, path: str, value: Any, toml: Callable[[str], str]
) -> None:
    file = ["-experiment", toml(TOML)]
    command = parse([*options.split(), *file] if before else [*file, *options.split()])
    assert look_up(command, path) == value


@pytest.mark.parametrize(
    ("detector", "mode", "options", "pivot"),
    [
        # As from Python: a pivot that is given counts, else the fields decide, and nothing is put in their place.
        ("orgx_px = 3", "spec", "", None),
        ("orgx_px = 3", "c", "", None),
        ("pivot = 'sample'", "spec", "", "sample"),
        ("pivot = 'sample'", "c", "", "sample"),
        ("convention = 'custom'", "spec", "", None),
        ("convention = 'custom'", "c", "", None),
        ("pivot = 'sample'", "spec", "-Xbeam 3 -distance 90", "sample"),
        ("pivot = 'sample'", "spec", "-xds", "sample"),
        ("orgx_px = 3", "c", "-distance 90 -pivot beam", None),
        # Said on the line it counts as it does there.
        ("pivot = 'sample'", "spec", "-pivot beam -ORGX 3", "beam"),
        ("orgx_px = 3", "spec", "-pivot beam", "beam"),
        ("pivot = 'beam'", "c", "-xds", "sample"),
        ("orgx_px = 3", "c", "-mosflm", "beam"),
        ("convention = 'custom'", "spec", "-ORGX 3", "sample"),
        ("convention = 'custom'\norgx_px = 3", "spec", "", None),
        ("convention = 'custom'\norgx_px = 3", "spec", "-distance 90", "sample"),
        ("convention = 'custom'\norgx_px = 3", "c", "-distance 90", "beam"),
        ("convention = 'custom'\npivot = 'sample'", "spec", "-Xbeam 3", "sample"),
        ("convention = 'custom'\npivot = 'sample'", "c", "-Xbeam 3", "beam"),
    ],
)
def test_pivot_of_a_file(detector: str, mode: str, options: str, pivot: str | None, toml: Callable[[str], str]) -> None:
    file = toml(f"mode = '{mode}'\n[detector]\n{detector}\n")
    assert parse([*options.split(), "-experiment", file]).experiment.detector.pivot == pivot


@pytest.mark.parametrize(
    ("detector", "options", "labels"),
    [
        ("orgx_px = 3", "", ()),
        ("pivot = 'sample'", "", ()),
        ("pivot = 'sample'", "-xds", ()),
        ("pivot = 'beam'", "-xds", ("C-3",)),
        ("orgx_px = 3", "-pivot beam", ("C-3",)),
    ],
)
def test_labels_of_a_file(detector: str, options: str, labels: tuple[str, ...], toml: Callable[[str], str]) -> None:
    assert parse(["-experiment", toml(f"[detector]\n{detector}\n"), *options.split()]).labels == labels


def golden_lines() -> list[Any]:
    cases = json.loads((GOLDEN / "cases.json").read_text())["cases"]
    lines = [
        pytest.param(case[key], id=f"{case['name']}-{key}")
        for case in cases
        for key in ("args", "reference_args")
        if key in case
    ]
    return [*lines, pytest.param(json.loads((GOLDEN / "pilatus_args.json").read_text()), id="pilatus")]


@pytest.mark.parametrize("args", golden_lines())
def test_golden_command_lines_are_understood(args: list[str]) -> None:
    experiment = parse(args).experiment
    assert Experiment.from_toml(experiment.to_toml()) == experiment


NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
COUNTS = st.integers(1, 10**6).map(str)
SOME_OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["-distance", "-ORGX", "-phi", "-polar", "-water", "-twotheta"]), NUMBERS),
        st.tuples(st.sampled_from(["-detpixels", "-Nb", "-phisteps", "-dispsteps", "-seed"]), COUNTS),
        st.tuples(st.sampled_from(["-fdet_vector", "-misset", "-pix0_vector_mm"]), NUMBERS, NUMBERS, NUMBERS),
        st.sampled_from([("-xds",), ("-round_xtal",), ("-misset", "random"), ("-detector_abs", "inf")]),
        st.sampled_from([("-mode", "c"), ("-nopolar",), ("-roi", "-1", "5", "6", "7"), ("-pivot", "sample")]),
        st.tuples(st.just("-hkl"), st.text("aé/\\\" '=.\t", min_size=1)),
    )
)


@given(SOME_OPTIONS)
def test_parsed_experiments_survive_a_toml_document(options: list[tuple[str, ...]]) -> None:
    experiment = parse([word for option in options for word in option]).experiment
    assert Experiment.from_toml(experiment.to_toml()) == experiment


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["-cell", "-misset", "--N", "-hkl", "1", "-1e3"]))))
def test_any_words_are_understood_or_refused(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse(words), Command)


@pytest.mark.parametrize("word", ["-h", "--h", "-help", "--help"])
def test_help_and_version_are_seen_among_other_words(word: str) -> None:
    assert wants_help(["-N", "5", word])
    assert wants_version(["--version", word])
    assert not wants_help(["-N", "5", "-hkl", "h"])
    assert not wants_version([word])


def test_help_lists_every_option_with_its_default() -> None:
    said = " ".join(parser().format_help().split())
    for option in OPTIONS:
        entry = f" -{', -'.join(option.names)} {option.metavar}".rstrip() + f" {help_text(option)} "
        assert entry in said
        assert option.names[0] in ("h", "version") or f"default: {option.default}]" in entry


@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_stays_within_the_terminal_and_100_columns(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    options = parser().format_help().partition("\ncrystal:")[2].partition("\nexamples:")[0]
    assert max(map(len, options.splitlines())) <= int(columns)
    assert max(map(len, parser().format_help().splitlines())) <= 100


DEFAULTS = {name: option.default for option in OPTIONS for name in option.names}
STATED = [
    pytest.param(name, path, id=row.id)
    for row in EACH_SPELLING
    for name, values, path, _ in [row.values]
    if values and DEFAULTS[name] != "none" and look_up(line(""), path) is not None
]


@pytest.mark.parametrize(("name", "path"), STATED)
def test_the_default_in_the_help_is_that_of_the_field(name: str, path: str) -> None:
    assert look_up(line(f"-{name} {DEFAULTS[name]}"), path) == look_up(line(""), path)


def test_page_of_the_documentation_has_every_spelling() -> None:
    page = markdown()
    rows = [row for row in page.splitlines() if row.startswith("| `-")]
    assert len(rows) == len(OPTIONS)
    assert all(len(row.replace(r"\|", "").split("|")) == 7 for row in rows)
    assert all(f"`-{name}`" in page for option in OPTIONS for name in option.names)


# What others call it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-hdiv 0.2", "-hdivrange 0.2"),
        ("-vdiv=0.2", "-vdivrange 0.2"),
        ("--dispstep 3", "-dispsteps 3"),
        ("-detsize_x 50 -detsize_y 60", "-detsize_f 50 -detsize_s 60"),
        ("-xdet_vector 0 0 1 -ydet_vector 0 -1 0 -zdet_vector 1 0 0",
         "-fdet_vector 0 0 1 -sdet_vector 0 -1 0 -odet_vector 1 0 0"),
        ("-pivot SAMPLE", "-pivot sample"),
    ],
)  # fmt: skip
def test_spellings_of_documents_are_taken_with_a_note(typed: str, meant: str) -> None:
    read = line(typed)
    assert read.experiment == line(meant).experiment
    assert len(read.notes) == sum(word.startswith("-") and not word[1].isdigit() for word in typed.split())
    assert all("nanoBragg ignores it" in note for note in read.notes)
    assert line(meant).notes == ()
    with pytest.warns(NbnumbaWarning, match="nanoBragg ignores it"):
        Experiment.from_args(typed.split())


def test_words_of_a_choice_may_have_capitals() -> None:
    read = line("-mode C -backend CPU -precision Double")
    assert (read.experiment.mode, read.run.backend, read.run.precision, read.notes) == ("c", "cpu", "double", ())


def test_three_counts_of_cells_get_the_way_on() -> None:
    with pytest.raises(UsageError, match=r"unexpected argument '47' after -N 36: .* give -Na, -Nb and -Nc"):
        line("-N 36 47 29")
