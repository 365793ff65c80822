"""Whatever is wrong is said in one line that names it and what would be right; then nothing is written."""

from __future__ import annotations

import errno
import math
import os
import re
import shlex
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.errors import ResourceError, UsageError
from nbnumba.experiment import Crystal, Detector, Experiment, changed
from nbnumba.setup.memory import check_memory

CRYSTAL = "-cell 70 80 90 -N 3 -default_F 100 "
DETECTOR = "-detpixels 8 -pixel 1 "
GOOD = CRYSTAL + DETECTOR
USAGE, FILE, RESOURCE = 2, 3, 4

full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, content: str | bytes | None) -> None:
    """A file of this content; None: a folder."""
    if content is None:
        Path(name).mkdir()
    else:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def smv(fast: int = 8, slow: int = 8, **records: str) -> bytes:
    said = "".join(f"{keyword}={value};\n" for keyword, value in records.items())
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1={fast};\nSIZE2={slow};\n{said}}}"
    return header.encode().ljust(512) + np.ones((slow, fast), "<u2").tobytes()


def forbid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away every permission on a file or on what is in a folder, as root too would see it."""
    forbidden = Path(name).resolve()
    plain_open, plain_access = open, os.access

    def is_forbidden(path: Any) -> bool:
        return not isinstance(path, int) and forbidden in (resolved := Path(path).resolve(), *resolved.parents)

    def checked_open(path: Any, *args: Any, **options: Any) -> Any:
        if is_forbidden(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return plain_open(path, *args, **options)

    monkeypatch.setattr("builtins.open", checked_open)
    monkeypatch.setattr(os, "access", lambda path, mode: not is_forbidden(path) and plain_access(path, mode))


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(line: str, status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that is printed; nothing else is, and no file has changed."""
    before = everything()
    assert main(shlex.split(line)) == status
    out, err = capsys.readouterr()
    # Not part of the error: the first run on a machine says that it compiles.
    err = "".join(line for line in err.splitlines(keepends=True) if "compiling kernels" not in line)
    assert err.startswith("nbnumba: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in out + err
    assert everything() == before
    return err


# The command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-detpixel 8", "unknown option -detpixel: did you mean -detpixels"),
        ("-lambd 1", "unknown option -lambd: did you mean -lambda?"),
        ("--mosaic_domain 3", "unknown option --mosaic_domain: did you mean -mosaic_domains"),
        ("-hk P1.hkl", "unknown option -hk: did you mean -hkl"),
        ("-zzzz", "unknown option -zzzz: nbnumba -h lists all options"),
        ("P1.hkl", "unexpected argument 'P1.hkl' after -pixel 1"),
        ("-nonoise=1", "-nonoise takes no value, found '1'"),
        ("-hkl", "-hkl needs a file name"),
        ("-lambda", "-lambda needs a finite number in Å"),
        ("-lambda -N 3", "-lambda needs a finite number in Å, found -N"),
        ("-roi 0 1 2", "-roi needs 4 values in px: xmin xmax ymin ymax, found 0 1 2"),
        ("-cell 1 2 3 4 5 6 7", "-cell needs 1 to 6 values"),
        ("-lambda abc", "-lambda 'abc' is not a finite number in Å"),
        ("-lambda nan", "-lambda 'nan' is not a finite number"),
        ("-distance inf", "-distance 'inf' is not a finite number in mm"),
        ("-detector_abs nan", "-detector_abs 'nan' is not a number in µm, 0 or more, or inf"),
        ("-seed 1.5", "-seed '1.5' is not a whole number"),
        ("-roi 0.5 1 2 3", "-roi '0.5' is not a whole number in px"),
        ("-mode d", "-mode 'd' is not spec or c"),
        ("-backend gpu", "-backend 'gpu' is not auto, cuda, cpu or reference"),
        ("-energy 0", "-energy '0' is not a finite number in eV, above 0"),
        ("-threads 0", "-threads '0' is not a whole number, 1 or more"),
        ("-threads 100000", "-threads 100000: this machine takes 1 to"),
    ],
)
def test_line_that_cannot_be_read(options: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(GOOD + options, USAGE, capsys)


@pytest.mark.parametrize(
    ("options", "right"),
    [(f"-{name} {value}", "above 0") for name in ("lambda", "distance", "close_distance", "pixel", "fudge")
       for value in ("0", "-5")]
    + [(f"-detsize_{axis} -5", "above 0") for axis in "fs"]
    + [(f"-{name} -5", "0 or more") for name in ("fluence", "flux", "dispersion", "mosaic", "default_F", "dmin",
                                                 "water", "detector_thick", "detector_abs", "samplesize", "k_sol",
                                                 "B_sol", "scale", "pgmscale", "exposure", "beamsize", "osc", "phistep",
                                                 "divergence", "hdivrange", "vdivrange", "hdivstep", "vdivstep")]
    + [(f"-{name} {value}", "1 or more") for name in ("detpixels", "detpixels_f", "detpixels_s", "mosaic_domains",
                                                      "detector_thicksteps") for value in ("0", "-5", "2.5")]
    + [(f"-{name} -5", "0 or more") for name in ("oversample", "phisteps", "dispsteps", "hdivsteps", "vdivsteps")],
)  # fmt: skip
def test_number_that_makes_no_sense(options: str, right: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, value = options.split()
    said = refused(GOOD + options, USAGE, capsys)
    assert said.startswith(f"nbnumba: {name} ")
    assert value in said
    assert right in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-polar 2", "-polar 2: must lie between -1 and 1"),
        ("-roi 5 1 0 3", "-roi 5 1 0 3 is reversed: give fast first, fast last"),
        ("-roi 0 3 5 1", "-roi 0 3 5 1 is reversed"),
        ("-roi 8 9 0 3", "-roi 8 9 0 3 lies outside the detector: fast 0 to 7, slow 0 to 7 are there"),
        ("-roi -5 -1 0 3", "-roi -5 -1 0 3 lies outside the detector"),
        ("-printout_pixel 8 0", "-printout_pixel: fast 8, slow 0 lies outside the detector: fast 0 to 7, slow 0 to 7"),
        ("-trace_pixel 0 8", "-trace_pixel: fast 8, slow 0 lies outside the detector"),
        ("-dispersion 200 -dispsteps 3", "-dispersion 200 percent reaches wavelengths of 0 or less: give less"),
        ("-odet_vector -1 0 0", "the detector's normal points towards the sample"),
        ("-detector_roty 90", "the beam runs along the detector plane"),
        ("-twotheta 90", "the beam runs along the detector plane"),
        (
            "-mode c -odet_vector 0 0 1 -Xbeam .05 -Ybeam .05 -oversample 1 -detector_thick 1000 -detector_abs 500",
            "the sensor's layers reach the sample",
        ),
        ("-polar 1 -polar_vector 1 0 0", "-polar 1: the polarization axis is parallel to the beam; give"),
        ("-beam_vector 0 0 0", "-beam_vector 0.0 0.0 0.0 has no direction: give a vector that is not zero"),
        ("-fdet_vector 0 1 0", "-fdet_vector and -sdet_vector are parallel"),
        ("-cell -70 80 90", "-cell -70 80 90 90 90 90: the edges must be above 0"),
        ("-cell 0", "the edges must be above 0"),
        ("-cell 70 80 90 90 90 180", "the angles must lie between 0 and 180"),
        ("-cell 70 80 90 90 0 90", "the angles must lie between 0 and 180"),
        ("-cell 70 80 90 10 10 100", "-cell 70 80 90 10 10 100: these angles close no cell; each must be less than"),
        ("-cell 70 80 90 120 120 120", "these angles close no cell"),
        ("-cell 70 80 90 30 40 70", "these angles close no cell"),
        ("-phisteps 10000000000", "-phisteps 10000000000: must be at most"),
        ("-mosaic 1e50 -mosaic_domains 2", "-mosaic 1e+50: must be at most 1e+06 degrees"),
        ("-mosaic 1 -mosaic_domains 1e9", "-mosaic_domains 1000000000: must be at most"),
        ("-fluence 1e300", "-fluence 1e+300: give a number of at most"),
        ("-pixel 1e-300", "-pixel 1e-300: must be at least"),
        (
            "-oversample 100000000",
            "1e+16 samples for each pixel can never be done: give fewer -oversample, φ steps or -N",
        ),
        ("-osc 1000 -phistep 1e-5", "-osc 1000 in steps of -phistep 1e-05 makes 100000000 steps, more than 10000000"),
        ("-flux 1 -beamsize 1e-300", "-beamsize 1e-300: must be 0 or at least"),
        ("-cell 1e-300", "-cell 1e-300: must be at least"),
        ("-default_F 1e40", "float32 cannot hold: give less -fluence"),
    ],
)
def test_experiment_that_cannot_be(options: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(GOOD + options, USAGE, capsys)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            DETECTOR + "-cell 70 80 90",
            "no structure factors: give -hkl (or -mtz, -cif_sf) file, -pdb file, or -default_F",
        ),
        (
            DETECTOR + "-default_F 1",
            "no unit cell: give -cell a b c alpha beta gamma, -mat, -pdb or reflections that have one",
        ),
    ],
)
def test_what_is_lacking_is_named(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(line, USAGE, capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "[beam]\nwavelength = 1",
            "e.toml: beam.wavelength is not a field of Beam; did you mean beam.wavelength_angst",
        ),
        ("[scan]\nsteps = 1.5", "e.toml: scan.steps: 1.5 is not a whole number"),
        ("[beam\n", "e.toml: the experiment is not TOML: "),
        (b"\xff", "e.toml:1: the experiment must be plain (UTF-8) text, which this is not"),
        (None, "cannot read the experiment e.toml: it is a folder; give the name of a file"),
    ],
)
def test_experiment_in_a_file_that_cannot_be_is_named(
    content: str | bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put("e.toml", content)
    assert said in refused(f"{GOOD} -experiment e.toml", FILE, capsys)


def test_experiment_in_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused("-experiment nowhere.toml", FILE, capsys)
    assert "cannot read the experiment nowhere.toml: there is no such file; check the path" in said


def test_file_of_the_experiment_is_not_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    put("e.toml", "[noise]\nseed = 1\n")
    assert "-report e.toml would be written over" in refused(f"{GOOD} -experiment e.toml -report e.toml", USAGE, capsys)


# Experiments in Python and TOML ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("beam = 1", "beam: 1 is not a Beam"),
        ("[mode]\nx = 1", "mode: {'x': 1} is not spec or c"),
        ("mode = 'x'", "mode: 'x' is not spec or c"),
        ("[detector]\ndistance_mm = 'abc'", "detector.distance_mm: 'abc' is not a number"),
        ("[detector]\ndistance_mm = true", "detector.distance_mm: True is not a number"),
        ("[detector]\nfast_pixels = 8.5", "detector.fast_pixels: 8.5 is not a whole number"),
        ("[detector]\ncurved = 1", "detector.curved: 1 is not true or false"),
        ("[detector]\nheader_file = 1", "detector.header_file: 1 is not text"),
        ("[detector]\nroi = [0, 1, 2]", "detector.roi: [0, 1, 2] is not 4 whole numbers"),
        ("[crystal]\ncell = [1, 2, 3]", "crystal.cell: [1, 2, 3] is not 6 numbers"),
        ("[crystal]\nmisset_deg = [1, 2, 'x']", "crystal.misset_deg: [1, 2, 'x'] is not 3 numbers or random"),
        ("[crystal]\nshape = 'cube'", "crystal.shape: 'cube' is not square, round, gauss or tophat"),
        ("[structure_factors]\nF = 1", "structure_factors.F is not a field of StructureFactors; known are: hkl_file"),
    ],
)
def test_field_of_the_wrong_type_is_named(toml: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        Experiment.from_toml(toml)


def test_numpy_lists_and_paths_are_taken_for_what_they_hold() -> None:
    given = Experiment(
        detector=Detector(
            distance_mm=np.float32(100.0),  # type: ignore[arg-type]
            fast_pixels=np.int64(8),  # type: ignore[arg-type]
            curved=np.bool_(True),  # type: ignore[arg-type]
            fast_axis=np.array([0, 0, 1]),
            roi=[np.int16(0), 3, 0, 3],  # type: ignore[list-item]
            header_file=Path("a.img"),
        ),
        crystal=Crystal(size_mm=[None, 1, 2]),
    )
    plain = Detector(
        distance_mm=100.0, fast_pixels=8, curved=True, fast_axis=(0.0, 0.0, 1.0), roi=(0, 3, 0, 3), header_file="a.img"
    )
    assert repr(given) == repr(Experiment(detector=plain, crystal=Crystal(size_mm=(None, 1.0, 2.0))))
    assert Experiment.from_toml(given.to_toml()) == given


def test_infinity_may_be_a_text_and_a_text_may_hold_any_character() -> None:
    transparent = Experiment.from_dict({"detector": {"attenuation_depth_um": "inf"}})
    assert transparent.detector.attenuation_depth_um == math.inf
    odd = Experiment(detector=Detector(header_file='\x00\x1f\x7f\x80"\\é'))
    assert Experiment.from_toml(odd.to_toml()) == odd


def test_file_may_be_called_none() -> None:
    named = Experiment(detector=Detector(header_file="none"), crystal=Crystal(size_mm=(None, 1.0, None)))
    assert Experiment.from_toml(named.to_toml()) == named


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crystal": {"fudg": 1}}, "crystal.fudg is not a field of Crystal; did you mean crystal.fudge?"),
        ({"crytal": {}}, "crytal is not a field of Experiment; did you mean crystal?"),
        ({"distance_mm": 90}, "distance_mm is not a field of Experiment; did you mean detector.distance_mm"),
        ({"beam": {"\n": 1}}, "beam.'\\n' is not a field of Beam; known are: wavelength_angstrom, "),
        ({"beam": {1: 2}}, "beam.1 is not a field of Beam; known are: wavelength_angstrom, "),
        ({"beam": 5}, "beam: 5 is not a Beam"),
        ({"beam": Crystal()}, "beam: Crystal(cell=None, "),
        ({"mode": {"x": 1}}, "mode: {'x': 1} is not spec or c"),
        ({"mode": "C"}, "mode: 'C' is not spec or c"),
        ({"crystal": {"cell": np.eye(2)}}, "crystal.cell: [[1.0, 0.0], [0.0, 1.0]] is not 6 numbers"),
        ({"crystal": {"cells": {5, 6, 7}}}, "crystal.cells: {5, 6, 7} is not 3 whole numbers"),
        ({"crystal": {"cells": "567"}}, "crystal.cells: '567' is not 3 whole numbers"),
        ({"detector": {"roi": list(range(99))}}, "detector.roi: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, "),
    ],
)
def test_change_that_cannot_be_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        changed(Experiment(), **changes)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("experiment", [None, Crystal(), np.zeros((2, 2))])
def test_what_is_no_experiment_is_named(experiment: Any) -> None:
    with pytest.raises(UsageError, match=r"^changed: .* is not an Experiment$"):
        changed(experiment, beam={})


def test_changes_are_nouns_fields_of_nouns_or_values() -> None:
    experiment = changed(
        Experiment(), crystal=Crystal(cells=[5, 6, 7]), scan={"phi_deg": 1}, mode="c", phi_carryover=None
    )
    assert (experiment.crystal.cells, experiment.scan.phi_deg, experiment.mode) == ((5, 6, 7), 1.0, "c")


@pytest.mark.parametrize("text", ["beam", "a = 1\na = 2", "\x00", "[beam]\n[beam]", "a = " + "[" * 5000, b"mode = 'c'"])
def test_text_that_is_not_toml_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(UsageError, match=r"^the experiment is not TOML: [^\n]+$"):
        Experiment.from_toml(text)


@pytest.mark.parametrize("values", [None, [1], "beam"])
def test_what_is_no_mapping_is_no_experiment(values: Any) -> None:
    with pytest.raises(UsageError, match=r"^an experiment is a mapping of its nouns, not"):
        Experiment.from_dict(values)


# Input files -------------------------------------------------------------------------------------------------------

READERS = ("hkl", "mat", "img", "mask", "sourcefile", "spectrum", "stol", "4stol", "Q", "pdb")


@pytest.mark.parametrize("option", READERS)
def test_missing_file_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(f"{GOOD} -water 1 -{option} nowhere/x", FILE, capsys)
    assert "nowhere/x: there is no such file; check the path" in said


@pytest.mark.parametrize("option", [*READERS, "dump"])
def test_folder_in_place_of_a_file(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    put("x", None)
    assert " x: it is a folder; give the name of a file" in refused(f"{GOOD} -water 1 -{option} x", FILE, capsys)


@pytest.mark.parametrize("option", READERS)
def test_file_that_may_not_be_read(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("x", "1 2 3 4\n")
    forbid("x", monkeypatch)
    assert main(shlex.split(f"{GOOD} -water 1 -{option} x")) == FILE
    assert " x: permission is denied; change the file's permissions" in capsys.readouterr().err


@pytest.mark.parametrize("option", READERS)
def test_bytes_that_are_none_of_this(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    put("x", bytes(range(256)))
    assert "x" in refused(f"{GOOD} -water 1 -{option} x", FILE, capsys)


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("hkl", "", "x: no reflections; each line must be h k l F"),
        ("hkl", "0 0 1 5\n0 0 1\n", "x:2: 3 numbers where 4 are needed"),
        ("hkl", "0 0 1 5\n\n# comment\n0 0 two 5\n", "x:4: l must be a finite number, not 'two'"),
        ("hkl", "0 0 1 5\n0 1.5 0 5\n", "x:2: k = 1.5 is no Miller index"),
        ("hkl", "0 0 1 -5\n", "x:1: F = -5 is negative"),
        ("hkl", "0 0 1 nan\n", "x:1: F must be a finite number, not 'nan'"),
        ("mat", "1 2 3\n4 5 6\n7 8\n", "x: 8 numbers where an A matrix has nine: give rows x, y, z of a*"),
        ("mat", "1 0 0\n1 0 0\n0 0 1\n", "x: the A matrix is singular: columns a*, b*, c* lie in one plane; check"),
        ("mat", "0 0 0\n0 0 0\n0 0 0\n", "x: the A matrix is singular"),
        ("mat", "1e-200 0 0\n0 1e-200 0\n0 0 1e-200\n", "x: the A matrix is singular"),
        ("mat", "1e200 0 0\n0 1e200 0\n0 0 1e200\n", "x: an element above 1e+60"),
        ("mat", "1 0 0\n0 one 0\n0 0 1\n", "x:2: matrix element must be a finite number, not 'one'"),
        ("sourcefile", "# none\n\n", "x: no sources; each line must be x y z weight wavelength_in_m"),
        ("sourcefile", "-1 0 0 1\n-1 0 0 -1\n", "x:2: weight = -1 must not be negative"),
        ("sourcefile", "-1 0 0 0\n-1 0 0 0\n", "x: the weights (fourth column) sum to 0; at least one must be"),
        ("sourcefile", "-1 0 0 nan\n", "x:1: weight must be a finite number, not 'nan'"),
        ("sourcefile", "-1 0 0 1 0\n", "x:1: wavelength = 0 m must be positive"),
        ("sourcefile", "-1 0 0 1e308\n", "x:1: weight = 1e+308 is too large"),
        ("sourcefile", "-1 0 0\n-1e-300 0 0\n", "x:2: a source at 0 0 0 has no direction"),
        ("sourcefile", "0 0 0\n", "x:1: a source at 0 0 0 has no direction"),
        ("sourcefile", "from above\n", "x:1: x must be a finite number, not 'from'"),
        ("sourcefile", "9480 0.5\n9490 2\n", "x:1: 2 numbers where a direction needs three: a row is x y z weight"),
        ("sourcefile", "1.3,1\n", "is it a spectrum? give it as -spectrum: '1.3,1'"),
        ("sourcefile", "-1 0 0 1 1.3\n", "x:1: wavelength = 1.3 is not in metres, as it must be: 1 Å is 1e-10"),
        ("sourcefile", "-1 0 0\n1 0 0\n", "x:2: a source on the detector's side of the sample, whose beam"),
        ("stol", "", "x: no points"),
        ("stol", "0.1 2\n0.2\n", "x:2: one number where 2 are needed"),
        ("stol", "0.1 2\n0.1 3\n", "x:2: the first column was given before, on line 1"),
        ("Q", "-0.1 2\n", "x:1: abscissa = -0.1 must not be negative"),
        ("4stol", "0.1 2\nwater 3\n", "x:2: abscissa must be a finite number, not 'water'"),
        ("dump", "0 1 0 1 0 1\n\f" + "\0" * 99, "x: 112 bytes where indices '0 1 0 1 0 1' need 229"),
        ("dump", "5 1 0 1 0 1\n\f", "x: bounds '5 1 0 1 0 1' are the wrong way round; write it again with -hkl"),
        ("dump", b"0 0 0 0 0 0\n\f" + np.full(8, -1.0).tobytes(), "x: structure factors below 0"),
        ("dump", "h k l\n", "x: must begin with h_min h_max"),
        ("img", "photons", "x: is no SMV image"),
        ("img", smv()[:-2], "x: is truncated: 638 bytes where HEADER_BYTES=512 and 8 x 8 pixels need 640"),
        ("img", smv(SIZE1="many"), "x: SIZE1 is 'many'; the SMV header must give it as a positive whole number"),
        ("img", smv(TYPE="float"), "x: TYPE=float cannot be read; it must be unsigned_short"),
        ("img", smv(DISTANCE="far"), "x: SMV header: DISTANCE=far must be a number"),
        ("img", smv(DISTANCE="-5"), "x: SMV header: DISTANCE=-5 must be above 0, or given by option"),
        ("img", smv(OSC_RANGE="-1"), "x: SMV header: OSC_RANGE=-1 must be 0 or more, or given by option"),
        ("mask", smv(WAVELENGTH="0"), "x: SMV header: WAVELENGTH=0 must be above 0, or given by option"),
        ("mask", smv(4, 6), "x: a mask of 4 x 6 pixels (fast x slow) for a detector of 8 x 8: give a mask of"),
        ("pdb", "hello\n", "x holds no atoms of a crystal"),
    ],
)  # fmt: skip
def test_wrong_content_is_named(
    option: str, content: str | bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put("x", content)
    assert said in refused(f"{GOOD} -water 1 -{option} x", FILE, capsys)


def test_amorphous_material_needs_a_thickness(capsys: pytest.CaptureFixture[str]) -> None:
    put("x", "0 2\n1 1\n")
    for option in ("-stol", "-4stol", "-Q"):
        said = refused(f"{GOOD} {option} x", USAGE, capsys)
        assert "-water 0: must be above 0 beside -stol, -4stol or -Q: it is the material's thickness" in said


def test_coordinates_are_preferred_to_an_earlier_cache(capsys: pytest.CaptureFixture[str]) -> None:
    put("x.pdb", f"CRYST1   50.000   50.000   50.000  90.00  90.00  90.00 P 1\n{ATOM}END\n")
    put("Fdump.bin", "garbage")
    assert main(shlex.split(f"{DETECTOR} -pdb x.pdb -dmin 8 -show")) == 0
    assert "Fdump.bin" not in "".join(capsys.readouterr())


ATOM = "ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00 10.00           N\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.cif", "hello\n", "x.cif holds no atoms of a crystal"),
        ("x.pdb", "CRYST1   50.000   50.000   50.000  90.00  90.00  90.00 P 1\nEND\n", "x.pdb holds no atoms"),
        *[("x.pdb", f"CRYST1{a:9.3f}   50.000   50.000{alpha:7.2f}  10.00  10.00 P 1\n{ATOM}END\n",
           f"x.pdb: its unit cell cannot be: {a:g} 50 50 {alpha:g} 10 10: the")
          for a, alpha in ((0.0, 10.0), (-50.0, 10.0))],
        ("x.pdb", f"CRYST1   50.000   50.000   50.000 170.00  10.00  10.00 P 1\n{ATOM}END\n",
         "x.pdb: its unit cell cannot be: 50 50 50 170 10 10: these angles close no cell"),
        ("x.pdb", "CRYST1   50.000   50.000   50.000  90.00  90.00  90.00 P 1\n" + ATOM.replace("11.104", "   nan"),
         "x.pdb: atom 1 (N of ALA 1): its coordinates [nan, 6.134, -6.504] must be numbers"),
        ("x.pdb", "ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00  0.00           N\nEND\n",
         "x.pdb has no unit cell"),
    ],
)  # fmt: skip
def test_coordinates_without_what_is_needed(
    name: str, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(name, content)
    assert said in refused(f"{DETECTOR} -pdb {name}", FILE, capsys)


def test_header_value_that_an_option_replaces_does_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    put("x", smv(WAVELENGTH="0"))
    assert main(shlex.split(f"{GOOD} -lambda 1 -img x -show")) == 0


def test_damaged_cache_of_an_earlier_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    put("Fdump.bin", "garbage")
    assert "Fdump.bin: must begin with h_min h_max" in refused(GOOD, FILE, capsys)


# Memory, disk and folders ------------------------------------------------------------------------------------------


@pytest.fixture
def small_allocations() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("hkl", "said"),
    [
        ("0 0 1 10\n# far\n1000000000 0 0 5\n", "x:3: the indices h 0..1000000000, k 0..0, l 0..1 need a table of"),
        (
            "0 -1000000000 0 5\n0 1 1000000000 5\n",
            "need a table of 1e+18 values (7.45e+09 GiB), more than the limit of 2",
        ),
    ],
)
@pytest.mark.usefixtures("small_allocations")
def test_outlying_reflection_is_named(hkl: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    put("x", hkl)
    assert said in refused(f"{GOOD} -hkl x", FILE, capsys)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-detpixels 2000000", "2.24e+04 GiB of it for an image of 2000000 x 2000000 pixels, and"),
        ("-detpixels 1e18", "give fewer pixels"),
        ("-mosaic 1 -mosaic_domains 1e7 -osc 1 -phisteps 10000", "6.71e+03 GiB of it for 100000000000 orientations"),
    ],
)
@pytest.mark.usefixtures("small_allocations")
def test_what_memory_cannot_hold_is_never_allocated(
    options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(f"{GOOD} {options}", RESOURCE, capsys)


@pytest.mark.parametrize(
    ("size", "masked", "table", "interpolated", "orientations", "needed"),
    [
        ((1000, 1000), False, (1, 0, 0, 0), False, 1, 6_000_000),
        ((1000, 1000), True, (1, 0, 0, 0), False, 1, 7_000_000),
        ((1, 1), False, (1, 98, 98, 98), False, 1, 8_000_000),
        ((1, 1), False, (1, 98, 98, 98), True, 1, 32_000_000),
        ((1, 1), False, (5, 98, 98, 98), False, 1, 40_000_000),
        ((1, 1), False, (1, 0, 0, 0), False, 100_000, 7_200_000),
    ],
)
def test_all_that_a_run_holds_counts(
    size: tuple[int, int], masked: bool, table: tuple[int, int, int, int], interpolated: bool, orientations: int,
    needed: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("nbnumba.setup.memory.available_memory", lambda: needed + 1000)
    check_memory(size, masked, table, orientations, interpolated=interpolated)
    monkeypatch.setattr("nbnumba.setup.memory.available_memory", lambda: needed - 1000)
    with pytest.raises(ResourceError, match="the run needs"):
        check_memory(size, masked, table, orientations, interpolated=interpolated)


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (MemoryError("Unable to allocate 8.00 EiB"), RESOURCE, "not enough memory: Unable to allocate 8.00 EiB"),
        (MemoryError(), RESOURCE, "not enough memory: give fewer pixels or a smaller table"),
        (OverflowError("math range error"), USAGE, "a value is too large to compute with (math range error): give"),
        (KeyboardInterrupt(), 130, "interrupted; nothing half written is left"),
    ],
)
def test_what_fails_in_the_midst_of_a_run_has_its_status(
    failure: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("nbnumba.commands.simulate.render", fail)
    assert said in refused(f"{GOOD} -quiet", status, capsys)


OUTPUTS = ("floatfile", "intfile", "pgmfile", "noisefile", "png", "report")


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_into_a_folder_that_is_not_there(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(f"{GOOD} -{option} nowhere/x", RESOURCE, capsys)
    assert "cannot write nowhere/x: there is no folder" in said
    assert "create it or give another path" in said


@pytest.mark.skipif(sys.platform != "linux", reason="names of 255 bytes")
@pytest.mark.parametrize("option", [*OUTPUTS, "dump"])
@pytest.mark.parametrize("name", ["{}", "{}/x", "there/{}"])
def test_name_that_is_too_long_is_found_before_the_work(
    option: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("x", "0 0 1 5\n")
    put("there", None)
    monkeypatch.setattr("nbnumba.commands.simulate.render", lambda *_: pytest.fail("rendered"))
    path = name.format("é" * 128)
    said = refused(f"{GOOD} -hkl x -{option} {path}", RESOURCE, capsys)
    assert said == f"nbnumba: cannot write {path}: its name is too long; give a shorter one\n"


@pytest.mark.skipif(sys.platform != "linux", reason="names of 255 bytes")
def test_longest_name_is_written() -> None:
    name = "é" * 127 + "x"
    assert main(shlex.split(f"{GOOD} -quiet -floatfile {name}")) == 0
    assert len(Path(name).read_bytes()) == 4 * 8 * 8


@pytest.mark.parametrize("option", [*OUTPUTS, "dump"])
def test_output_that_is_a_folder(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    put("x", "0 0 1 5\n")
    put("there", None)
    said = refused(f"{GOOD} -hkl x -{option} there", RESOURCE, capsys)
    assert "cannot write there: it is a folder; give the name of a file" in said


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_into_a_folder_that_may_not_be_written(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("there", None)
    forbid("there", monkeypatch)
    assert "is not writable; give another path" in refused(f"{GOOD} -{option} there/x", RESOURCE, capsys)


@full_disk
@pytest.mark.parametrize("option", OUTPUTS)
def test_full_disk_leaves_whole_files_alone(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"{GOOD} -seed 1 -quiet -png image.png -report report.json")) == 0
    put("kept", "old")
    before = {name: content for name, content in everything().items() if name != "report.json"}
    assert main(shlex.split(f"{GOOD} -seed 1 -quiet -{option} /dev/full")) == RESOURCE
    err = capsys.readouterr().err
    assert err.endswith("nbnumba: cannot write /dev/full: the disk is full; free some space or give a path on another"
                        " disk\n")  # fmt: skip
    assert {name: content for name, content in everything().items() if name != "report.json"} == before


@full_disk
@pytest.mark.parametrize("line", ["-version", "-h", GOOD + "-show"])
def test_full_disk_under_stdout(line: str) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, str(Path(__file__).parent.parent / "cli.py"), *shlex.split(line)]
        finished = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert finished.returncode == RESOURCE
    assert finished.stderr == "nbnumba: cannot print: No space left on device\n"
