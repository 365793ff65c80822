"""Whatever a campaign's file says, the answer is a campaign or one line that names file and entry."""

from __future__ import annotations

import datetime
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from campaigns import STILLS, SWEEPS, campaign, write_campaign
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba.campaign.campaign import Campaign
from nbnumba.cli import main
from nbnumba.errors import InputFileError, NbnumbaError
from nbnumba.experiment.toml import as_toml

HITS = "hits = { cycle = [1, 2, 0] }"
MISSET = '"crystal.misset_deg" = { uniform = "rotations" }'
CELLS = '"crystal.cells" = { lognormal = [8, 1.3] }'


def vary(said: str) -> tuple[str, str]:
    return CELLS, said


def cells(said: str) -> tuple[str, str]:
    return vary(f'"crystal.cells" = {said}')


WRONG = {
    # The whole.
    "no TOML": (("seed = 7", "seed = "), "the campaign is not TOML: .*line 4"),
    "a key twice": (("seed = 7", "seed = 7\nseed = 8"), "the campaign is not TOML"),
    "no format": (('format = "nbnumba-campaign-1"', ""), 'format = None must be "nbnumba-campaign-1"'),
    "another format": (("campaign-1", "campaign-2"), "format = 'nbnumba-campaign-2' must be \"nbnumba-campaign-1\""),
    "an unknown key": (("seed = 7", "seed = 7\nframe = 8"), "'frame' is not known; did you mean frames?"),
    "nothing like a key": (("seed = 7", "seed = 7\nzzz = 8"), "'zzz' is not known; known are format, name"),
    # Name and seed.
    "no name": (('name = "small"', ""), "name = None must be a text"),
    "an empty name": (('"small"', '""'), "name = '' must be a text"),
    "a name that is a path": (('"small"', '"a/b"'), "name = 'a/b' must be what files can begin with"),
    "a hidden name": (('"small"', '".small"'), "name = '.small' must be what files can begin with"),
    "a name like an option": (('"small"', '"-small"'), "name = '-small' must be what files can begin with"),
    "a name of lines": (('"small"', r'"a\nb"'), "name = 'a\\\\nb' must be a text"),
    "a long name": (('"small"', f'"{"a" * 201}"'), "must be a text of 1 to 200 bytes"),
    "a name that is none": (('"small"', "5"), "name = 5 must be a text"),
    "no seed": (
        ("seed = 7", ""),
        "seed is missing: give a whole number from -9223372036854775808 to 9223372036854775807",
    ),
    "half a seed": (("seed = 7", "seed = 7.5"), "seed = 7.5 must be a whole number"),
    "a truth for a seed": (("seed = 7", "seed = true"), "seed = True must be a whole number"),
    "a huge seed": (("seed = 7", "seed = 9223372036854775808"), "seed = 9223372036854775808 must be a whole number"),
    "a seed of more digits than Python writes": (
        ("seed = 7", f"seed = 0x{'f' * 5000}"),
        "seed = a huge number must be",
    ),
    # Frames and sweeps.
    "no frames": (("frames = 5\n", ""), "frames is missing: give a whole number from 1 to 4294967296"),
    "frames of 0": (("frames = 5\n", "frames = 0\n"), "frames = 0 must be a whole number from 1 to"),
    "too many frames": (("frames = 5\n", "frames = 4294967297\n"), "frames = 4294967297 must be"),
    "a text of frames": (("frames = 5\n", 'frames = "5"\n'), "frames = '5' must be"),
    "sweep for sweeps": ((HITS, HITS + "\nsweep = 5"), "sweep must be tables: \\[\\[sweep\\]\\]"),
    "frames beside sweeps": ((HITS, "sweep = [{ frames = 5, width_deg = 1 }]"), "frames beside sweeps"),
    # Hits.
    "half a hit": ((HITS, "hits = 0.5"), "hits: 0.5 must be a whole number from 0 to 1000, or choice"),
    "negative hits": ((HITS, "hits = { choice = [1, -1] }"), "hits: .* must be a whole number from 0 to 1000"),
    "too many hits": ((HITS, "hits = 1001"), "hits: 1001 must be"),
    "hits of a continuum": ((HITS, "hits = { uniform = [0, 2] }"), "hits: .* must be a whole number"),
    "hits relative to nothing": ((HITS, "hits = { relative = { uniform = [0, 1] } }"), "hits: .* must be a whole"),
    "hits that are true": ((HITS, "hits = true"), "hits: True must be"),
    "hits of two": ((HITS, "hits = [1, 2]"), "hits: \\[1, 2\\] must be"),
    # The experiment.
    "no table": (("[experiment.beam]\n", "[experiment]\n"), "experiment: wavelength_angstrom is not a field"),
    "an experiment that is none": (
        (STILLS[STILLS.index("[experiment.beam]") : STILLS.index("[vary]")], "experiment = 5\n"),
        "experiment: an experiment is a mapping of its nouns, not 5",
    ),
    "an unknown field": (
        ("pixel_mm", "pixl_mm"),
        "experiment: .*pixl_mm is not a field of Detector; did you mean detector.pixel_mm",
    ),
    "a field of another type": (
        ("pixel_mm = 1.0", "pixel_mm = true"),
        "experiment: detector.pixel_mm: True is not a number",
    ),
    "a seed of noise": (
        ("[experiment.sampling]", "[experiment.noise]\nseed = 5\n[experiment.sampling]"),
        "noise.seed and",
    ),
    "a serial generator": (
        ("[experiment.sampling]", '[experiment.noise]\nrng = "ran1"\n[experiment.sampling]'),
        "noise.rng: ran1 draws",
    ),
    "the mode of the reference": (
        ("[experiment.beam]", '[experiment]\nmode = "c"\n[experiment.beam]'),
        "noise.rng: ran1",
    ),
    "lattices": (
        ("mosaic_domains = 1\n", "mosaic_domains = 1\nlattices = [{ weight = 0.5 }]\n"),
        "experiment: crystal.lattices:",
    ),
    "a cache of F": (
        ("default_f = 120", 'default_f = 120\ndump_file = "a"'),
        "structure_factors.dump_file: .* leave it out",
    ),
    "a file that is not there": (("default_f = 120", 'coordinate_file = "none.pdb"'), "cannot read .*none.pdb"),
    # Spectra.
    "a spectrum without a file": ((HITS, "spectrum = {}"), "spectrum: file is missing"),
    "no spectrum": ((HITS, "spectrum = 5"), "spectrum: 5 must be a table of file or order"),
    "an unknown order": (
        (HITS, 'spectrum = { file = "spectra.npz", order = "up" }'),
        "spectrum: order = 'up' must be cycle or random",
    ),
    "an order that is none": (
        (HITS, 'spectrum = { file = "spectra.npz", order = [] }'),
        "spectrum: order = \\[\\] must be",
    ),
    "no such spectra": ((HITS, 'spectrum = { file = "none.npz" }'), "none.npz"),
    "a folder of spectra": ((HITS, 'spectrum = { file = "." }'), "it is a folder"),
    "spectra twice": (
        ("[experiment.beam]", '[spectrum]\nfile = "spectra.npz"\n[experiment.beam]\nspectrum_file = "spectra.npz"'),
        "spectrum: beside the experiment's beam.spectrum_file",
    ),
    # Output.
    "output that is none": (("[output]\nframes_per_file = 2\n", ""), None),
    "an unknown key of output": (
        ("frames_per_file", "frames_per_fil"),
        "output: 'frames_per_fil' is not known; did you mean frames_per_file",
    ),
    "no frames in a file": (("frames_per_file = 2", "frames_per_file = 0"), "output: frames_per_file = 0 must be"),
    "a type that is none": (
        ("frames_per_file = 2", 'type = "uint8"'),
        "output: type = 'uint8' must be uint16, int32 or float32",
    ),
    "no folder": (("frames_per_file = 2", 'folder = ""'), "output: folder = '' must be the name of a folder"),
    "a folder of NUL": (
        ("frames_per_file = 2", 'folder = "a\\u0000"'),
        "output: folder = .* must be the name of a folder",
    ),
    "no room for offsets": (
        ("frames_per_file = 2", 'type = "uint16"\n[experiment.readout]\nadc_offset = 10'),
        "output: type = uint16 has no room",
    ),
    # What varies.
    "vary that is none": (("[vary]\n", "[[vary]]\n"), "vary: .* must be a table of fields"),
    "an unknown field to vary": (
        vary('"crystal.cels" = 5'),
        "vary crystal.cels: there is no such field; did you mean crystal.cells",
    ),
    "an unknown noun": (vary('"kristall" = 5'), "vary kristall: there is no such field"),
    "a noun alone": (vary('"crystal" = 5'), "vary crystal: there is no such field"),
    "an odd key": (vary('"a\\nb" = 5'), "vary a b: there is no such field of an experiment"),
    "the campaign's own": (vary('"noise.seed" = 5'), "vary noise.seed: the campaign itself fills this: leave it out"),
    "lattices that vary": (vary('"crystal.lattices" = 5'), "vary crystal.lattices: the campaign itself fills this"),
    "spectra that vary": (vary('"beam.spectrum_file" = "a"'), "vary beam.spectrum_file: .*give spectrum = "),
    "a field twice": (vary(f"{CELLS}\ncrystal.cells = 5"), "vary: crystal.cells is given twice"),
    "no distribution": (cells("{ gauss = [1, 2] }"), "vary crystal.cells: .* must say one of uniform, normal"),
    "two distributions": (cells("{ normal = [1, 2], uniform = [1, 2] }"), "vary crystal.cells: .* must say one of"),
    "an empty distribution": (cells("{}"), "vary crystal.cells: {} must say one of"),
    "a word too many": (
        cells("{ normal = [8, 1], weights = [1] }"),
        "'weights' is not known here; normal goes with within",
    ),
    "a per that is none": (
        cells("{ normal = [8, 1], per = 'shot' }"),
        "vary crystal.cells: per = 'shot' must be frame or campaign",
    ),
    "a sweep of stills": (cells("{ normal = [8, 1], per = 'sweep' }"), "per = 'sweep' must be frame or campaign"),
    "uniform of one": (cells("{ uniform = [1] }"), "uniform = \\[1\\] must be \\[lowest, highest\\], numbers"),
    "uniform the other way": (cells("{ uniform = [9, 8] }"), "uniform = \\[9, 8\\] must be \\[lowest, highest\\]"),
    "uniform of texts": (cells("{ uniform = ['a', 'b'] }"), "uniform = \\['a', 'b'\\] must be"),
    "uniform of truths": (cells("{ uniform = [false, true] }"), "uniform = \\[False, True\\] must be"),
    "uniform without end": (cells("{ uniform = [1, inf] }"), "uniform = \\[1, inf\\] must be"),
    "uniform of no number": (cells("{ uniform = [nan, 1] }"), "uniform = \\[nan, 1\\] must be"),
    "uniform of huge numbers": (cells(f"{{ uniform = [1, 1{'0' * 400}] }}"), "uniform = .* must be"),
    "uniform of too many digits": (cells(f"{{ uniform = [1, 0x{'f' * 5000}] }}"), "uniform = .* must be"),
    "rotations of cells": (cells('{ uniform = "rotations" }'), "rotations are of crystal.misset_deg alone"),
    "a negative deviation": (cells("{ normal = [8, -1] }"), "the standard deviation must be 0 or more"),
    "bounds far away": (cells("{ normal = [8, 1], within = [100, 101] }"), "within = .* holds nothing"),
    "bounds the other way": (cells("{ normal = [8, 1], within = [9, 7] }"), "within = .* holds nothing"),
    "a factor below 1": (cells("{ lognormal = [8, 0.5] }"), "the median must be above 0, the factor from 1 to 1000"),
    "a huge factor": (cells("{ lognormal = [8, 1e9] }"), "the factor from 1 to 1000"),
    "a negative median": (cells("{ lognormal = [-8, 2] }"), "the median must be above 0"),
    "a large mean": (cells("{ poisson = 101 }"), "poisson = 101 must be a mean from 0 to 100"),
    "a negative mean": (cells("{ poisson = -1 }"), "poisson = -1 must be"),
    "no choice": (cells("{ choice = [] }"), "choice = \\[\\] must be a list of values"),
    "a choice of one": (cells("{ choice = 5 }"), "choice = 5 must be a list of values"),
    "weights of others": (
        cells("{ choice = [5, 6], weights = [1] }"),
        "weights = \\[1\\] must be a number for each of 2",
    ),
    "weights of 0": (
        cells("{ choice = [5, 6], weights = [0, 0] }"),
        "weights = \\[0, 0\\] must be 0 or more, and not all 0",
    ),
    "negative weights": (cells("{ choice = [5, 6], weights = [2, -1] }"), "weights = .* must be 0 or more"),
    "every 0": (cells("{ cycle = [5, 6], every = 0 }"), "every = 0 must be a whole number from 1"),
    "every that is true": (cells("{ cycle = [5, 6], every = true }"), "every = True must be a whole number"),
    "relative to nothing": (vary('"crystal.whole_size_mm" = { relative = { normal = [0, 1] } }'), "relative to what"),
    "relative to a word": (vary('"crystal.shape" = { relative = { normal = [0, 1] } }'), "relative to what"),
    "relative to a truth": (
        vary('"structure_factors.solvent" = { relative = { normal = [0, 1] } }'),
        "relative to what",
    ),
    "relative by a number": (cells("{ relative = 5 }"), "relative = 5 must be a distribution"),
    "relative by a rotation": (
        cells('{ relative = { uniform = "rotations" } }'),
        "must be a number or its distribution",
    ),
    "relative by words": (cells("{ relative = { choice = ['a'] } }"), "must be a number or its distribution"),
    "relative of relative": (
        cells("{ relative = { relative = { normal = [0, 1] } } }"),
        "must be a number or its distr",
    ),
    "several in several": (cells("[[{ normal = [8, 1] }], 8, 8]"), "vary.*crystal.cells: .* is not 3 whole numbers"),
    "too few of several": (cells("[{ normal = [8, 1] }, 8]"), "crystal.cells: \\(8, 8\\) is not 3 whole numbers"),
    "a word of several": (cells("[{ normal = [8, 1] }, 8, 'a']"), "'a' must be a number or its distribution"),
    "a choice of another type": (cells("{ choice = [5, 'a'] }"), "crystal.cells: 'a' is not 3 whole numbers"),
    "parts of cells": (cells("{ choice = [5, 6.5] }"), "crystal.cells: 6.5 is not 3 whole numbers"),
    "a date": (cells("{ choice = [1979-05-27] }"), "crystal.cells: .*1979.* is not 3 whole numbers"),
    "a value out of range": (
        vary('"beam.wavelength_angstrom" = { choice = [1, -1] }'),
        "beam.wavelength_angstrom -1: must be above 0",
    ),
    "an end out of range": (vary('"beam.size_mm" = { uniform = [-1, 1] }'), "vary: beam.size_mm -1: must be"),
    "no number": (vary('"beam.flux_per_s" = { cycle = [nan] }'), "beam.flux_per_s nan: give a finite number"),
    "a number without end": (vary('"beam.flux_per_s" = inf'), "beam.flux_per_s inf: give a finite number"),
    "a distribution for a word": (vary('"crystal.shape" = { normal = [1, 2] }'), "crystal.shape: 1.0 is not"),
    "a distribution for a truth": (vary('"structure_factors.solvent" = { normal = [1, 2] }'), "solvent: 1.0 is not"),
    "a table without a column": (cells('{ file = "table.csv" }'), "a file needs the name of a column"),
    "no such column": (
        cells('{ file = "table.csv", column = "c" }'),
        "table.csv: has no column 'c'; its first line names scale, b",
    ),
    "no such table": (cells('{ file = "none.csv", column = "c" }'), "cannot read a table .*none.csv"),
    "a folder for a table": (cells('{ file = ".", column = "c" }'), "it is a folder"),
    "a table that is none": (cells('{ file = "spectra.npz", column = "c" }'), "spectra.npz"),
    "every n at random": (
        cells('{ file = "table.csv", column = "b", order = "random", every = 2 }'),
        "every goes with order = cycle",
    ),
    "a table's order": (
        cells('{ file = "table.csv", column = "b", order = "up" }'),
        "order = 'up' must be cycle or random",
    ),
    "parts of cells in a table": (
        cells('{ file = "table.csv", column = "scale" }'),
        "crystal.cells: 1.0 is not 3 whole",
    ),
    "files that are drawn": (vary('"structure_factors.hkl_file" = { normal = [1, 2] }'), "hkl_file: 1.0 is not"),
    "a file that varies and is not there": (
        vary('"structure_factors.hkl_file" = "none.hkl"'),
        "cannot read .*none.hkl",
    ),
    # A file has one detector.
    "a detector that changes": (
        vary('"detector.distance_mm" = { normal = [100, 1] }'),
        "a file has one detector: give step or cycle with every",
    ),
    "a detector that changes within a file": (
        vary('"detector.distance_mm" = { step = [100, 1], every = 3 }'),
        "every = 3 must be a multiple of output.frames_per_file, 2",
    ),
    "a gain that changes": (vary('"readout.gain" = { normal = [2, 0.1] }'), "a file has one detector"),
    "a direction that changes": (vary('"beam.direction" = [1, 0, { normal = [0, 0.1] }]'), "a file has one detector"),
}
WRONG_SWEEPS = {
    "a sweep without frames": (("frames = 3\n", ""), "sweep 0: frames is missing"),
    "a sweep that stands": (("width_deg = 1.0", "width_deg = 0"), "sweep 1: width_deg = 0 must be above 0"),
    "a sweep backwards": (
        ("width_deg = 1.0", "width_deg = -1"),
        "sweep 1: width_deg = -1 must be an angle in degrees from 0",
    ),
    "no width": (("width_deg = 1.0", ""), "sweep 1: width_deg is missing: give an angle"),
    "an endless start": (("start_deg = 10.0", "start_deg = inf"), "sweep 0: start_deg = inf must be an angle"),
    "a start of no number": (("start_deg = 10.0", "start_deg = nan"), "sweep 0: start_deg = nan must be"),
    "no crystals": (("crystals = 2", "crystals = 0"), "sweep 0: crystals = 0 must be a whole number from 1"),
    "many steps": (("steps = 2", "steps = 10001"), "sweep 0: steps = 10001 must be a whole number from 1 to 10000"),
    "an unknown key": (("steps = 2", "step = 2"), "sweep 0: 'step' is not known; did you mean steps"),
    "too many frames": (
        ("crystals = 2\nframes = 3", "crystals = 65536\nframes = 65537"),
        "sweeps of 4295032834 frames: at most",
    ),
    "a scan beside": (
        ("[experiment.sampling]", "[experiment.scan]\nphi_deg = 3\n[experiment.sampling]"),
        "scan: the sweeps say",
    ),
    "a scan that varies": (vary('"scan.phi_deg" = { normal = [0, 1] }'), "vary scan.phi_deg: the campaign itself"),
    "a detector that changes": (
        vary('"detector.distance_mm" = { step = [100, 1], every = 2 }'),
        'a file has one detector: give per = "sweep"',
    ),
}


def _refused(path: Path, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.parent.rglob("*"))
    for verb in ("show", "run"):
        assert main(["campaign", verb, str(path)]) == InputFileError.exit_status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("nbnumba campaign: ")
        assert re.search(said, line), line
        assert len(line) < 600
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize("name", [name for name, (_, said) in WRONG.items() if said])
def test_what_is_wrong_is_said(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = WRONG[name]
    assert said is not None
    _refused(write_campaign(tmp_path, STILLS, change), said, capsys)


@pytest.mark.parametrize("name", WRONG_SWEEPS)
def test_what_is_wrong_of_sweeps_is_said(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = WRONG_SWEEPS[name]
    _refused(write_campaign(tmp_path, SWEEPS, change), said, capsys)


def test_what_is_usual_can_be_left_out(tmp_path: Path) -> None:
    made = campaign(tmp_path, STILLS, WRONG["output that is none"][0], (HITS, ""))
    assert (made.folder, made.type, len(made.chunks)) == (tmp_path / "small", "uint16", 1)
    assert [made.hits(k) for k in range(5)] == [1] * 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "format = None must be"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, not the campaign"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"a = '\xe4'", "must be plain \\(UTF-8\\) text"),
        (b"a = " + b"[" * 3000, "the campaign is not TOML"),
    ],
    ids=["empty", "HDF5", "UTF-16", "Latin-1", "nested"],
)
def test_files_that_are_no_campaign(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.toml").write_bytes(content)
    _refused(tmp_path / "job.toml", said, capsys)


def test_a_folder_or_nothing_for_a_campaign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _refused(tmp_path, "it is a folder", capsys)
    _refused(tmp_path / "none.toml", "there is no such file", capsys)


def test_an_experiment_of_its_own_names_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = STILLS[STILLS.index("[experiment.beam]") : STILLS.index("[vary]")]
    (tmp_path / "sub").mkdir()
    base = tmp_path / "sub" / "base.toml"
    base.write_text(tables.replace("[experiment.", "[").replace("default_f = 120", 'hkl_file = "list.hkl"'))
    (tmp_path / "sub" / "list.hkl").write_text("1 2 3 10\n")
    path = write_campaign(tmp_path, STILLS, (tables, ""), (HITS, f'{HITS}\nexperiment = "sub/base.toml"'))
    made = Campaign(path)
    assert made.frame(0).structure_factors.hkl_file == str(tmp_path / "sub" / "list.hkl")
    assert made.identity != campaign(tmp_path / "other").identity
    base.write_text("[beam]\nwavelength = 1\n")
    _refused(path, "base.toml: beam.wavelength is not a field of Beam; did you mean beam.wavelength_angstrom", capsys)
    base.write_text("beam = \n")
    _refused(path, "base.toml: the experiment is not TOML", capsys)
    base.unlink()
    _refused(path, "cannot read the experiment .*base.toml: there is no such file", capsys)


def test_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_campaign(tmp_path))
    wrong = (
        ["show", path, "5"], ["show", path, "-1"], ["show", path, "x"], ["show"], ["run", path, "-threads", "0"],
        ["run", path, "-backend", "gpu"], ["run", path, "-precision", "half"], ["sho", path], [],
    )  # fmt: skip
    for words in wrong:
        assert main(["campaign", *words]) == 2
        assert capsys.readouterr().err
    assert not (tmp_path / "small").exists()


# Any values ------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from([
    "uniform", "normal", "within", "lognormal", "poisson", "choice", "weights", "step", "every", "cycle", "relative",
    "file", "column", "order", "per", "rotations", "random", "frame", "sweep", "campaign", "table.csv", "scale", "b",
    "spectra.npz", "width_deg", "frames", "crystals", "steps", "start_deg", "folder", "frames_per_file", "type",
    "int32", "float32", "gauss", "none", "inf", ".", "",
])  # fmt: skip
FIELDS = st.sampled_from([
    "crystal.cells", "crystal.cell", "crystal.misset_deg", "crystal.size_mm", "crystal.shape", "crystal.matrix_file",
    "crystal.mosaic_domains", "crystal.mosaic_spread_deg", "beam.flux_per_s", "beam.wavelength_angstrom",
    "beam.round_divergence",
    "detector.distance_mm", "detector.roi", "structure_factors.hkl_file", "structure_factors.anomalous",
    "background.materials", "background.water_um", "readout.gain", "scan.phi_deg", "noise.rng", "crystal.lattices",
])  # fmt: skip
SCALARS = (
    st.integers(-3, 30) | st.integers() | st.floats() | st.booleans() | WORDS | st.text(max_size=5)
    | st.just(2**70) | st.just(10**400) | st.dates()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NUMBER = st.integers(-2, 40) | st.floats(-2, 40) | st.sampled_from([0, 1e-300, 1e60, 1e300, 2**70])
PAIR = st.lists(NUMBER, min_size=2, max_size=2)
OPTIONS = st.lists(NUMBER | SCALARS | st.lists(NUMBER, min_size=3, max_size=6), min_size=1, max_size=3)
DRAWN = st.one_of(
    st.fixed_dictionaries({"uniform": PAIR}),
    st.fixed_dictionaries({"normal": PAIR}, optional={"within": PAIR}),
    st.fixed_dictionaries({"lognormal": PAIR}),
    st.fixed_dictionaries({"poisson": NUMBER}),
    st.fixed_dictionaries({"choice": OPTIONS}, optional={"weights": st.lists(NUMBER, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"step": PAIR}, optional={"every": NUMBER}),
    st.fixed_dictionaries({"cycle": OPTIONS}, optional={"every": NUMBER}),
)
OTHER = st.dictionaries(WORDS, NUMBER | SCALARS | VALUES, min_size=1, max_size=2)
DISTRIBUTIONS = DRAWN | st.fixed_dictionaries({"relative": DRAWN | VALUES}) | OTHER
SWEEP = st.fixed_dictionaries(
    {"frames": NUMBER, "width_deg": NUMBER}, optional={"crystals": NUMBER, "start_deg": NUMBER, "steps": NUMBER}
)
ENTRIES = {
    "hits": VALUES | DISTRIBUTIONS,
    "spectrum": VALUES | st.fixed_dictionaries({"file": WORDS, "order": WORDS}),
    "sweep": VALUES | st.lists(SWEEP | st.dictionaries(WORDS, SCALARS, max_size=4), max_size=2),
    "output": VALUES | st.dictionaries(WORDS, SCALARS, max_size=3),
    "seed": SCALARS, "frames": SCALARS, "name": SCALARS, "experiment": VALUES,
    "vary": VALUES
    | st.dictionaries(FIELDS, VALUES | DISTRIBUTIONS | st.lists(DISTRIBUTIONS | SCALARS, max_size=3), max_size=3),
}  # fmt: skip


def _toml(value: Any) -> str:
    """A value as TOML writes it in a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value) if value > 2**63 else str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return as_toml({"a": value}).removeprefix("a = ").rstrip("\n")


def _with_entry(name: str, value: Any) -> str:
    """The campaign of stills with an entry of its own."""
    at = STILLS.index("[experiment.beam]")
    replaced = (name, "frames") if name == "sweep" else (name,)
    head = "\n".join(line for line in STILLS[:at].splitlines() if not line.startswith(replaced))
    tables = re.split(r"^(?=\[)", STILLS[at:], flags=re.MULTILINE)
    return f"{head}\n{name} = {_toml(value)}\n" + "".join(one for one in tables if not one.startswith(f"[{name}"))


def _answer(path: Path) -> str:
    """The line that refuses a campaign; empty where it is one, and has frames that can be derived."""
    try:
        made = Campaign(path)
        assert len(made.identity) == 64
        for number in {0, len(made) - 1, len(made) // 2}:
            made.frame(number).to_toml()
            assert made.chunk_of(number).first <= number < made.chunk_of(number).stop
    except NbnumbaError as error:
        return str(error)
    return ""


@settings(max_examples=300)
@given(st.data())
def test_any_values_are_a_campaign_or_a_line(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ENTRIES)))
    text = _with_entry(name, data.draw(ENTRIES[name]))
    with tempfile.TemporaryDirectory() as folder:
        answer = _answer(write_campaign(Path(folder), text))
    assert "\n" not in answer
    assert len(answer) < 1000


@settings(max_examples=100)
@given(st.sampled_from(["seed = 7", "frames = 5", "[8, 1.3]", "[vary]", "= 60\n", '"small"']), st.text(max_size=12))
def test_any_text_is_a_campaign_or_a_line(old: str, new: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_campaign(Path(folder))
        path.write_bytes(STILLS.replace(old, new).encode("utf-8", "surrogatepass"))
        answer = _answer(path)
    assert "\n" not in answer
    assert len(answer) < 1000
