"""The command as its user sees it, and the few names that Python offers."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba
from nbnumba.cli import COMMANDS, main
from nbnumba.errors import EXIT_STATUSES, NbnumbaError, UsageError
from nbnumba.formats.images.smv import header_value, read_smv, smv_header
from nbnumba.tolerances import DOUBLE

ROOT = Path(__file__).parent.parent
CLI = (sys.executable, str(ROOT / "cli.py"))
SIZE = 16
GOOD = f"-cell 70 80 90 -N 3 -default_F 100 -detpixels {SIZE} -pixel 1 -backend cpu "
IMAGES = {"floatimage.bin", "intimage.img", "image.pgm", "noiseimage.img"}

HKL = "".join(f"{h} {k} {l} {100 + h + 3 * k - l}\n" for h in range(-6, 7) for k in range(-6, 7) for l in range(-6, 7))
CELL = GOOD.replace("-default_F 100", "")

full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> None:
    assert main(shlex.split(line)) == 0


def files() -> set[str]:
    return set(os.listdir())


def photons(path: str = "floatimage.bin") -> np.ndarray:
    return np.fromfile(path, np.float32).reshape(SIZE, SIZE)


def report_of(line: str) -> dict[str, Any]:
    run(f"{line} -quiet -report report.json")
    return json.loads(Path("report.json").read_text())


def in_a_process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *words], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )


# What is printed ---------------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    run("-version")
    assert capsys.readouterr() == (f"nbnumba {nbnumba.__version__}\n", "")


@pytest.mark.parametrize("word", ["-h", "--help", f"{GOOD} -h"])
def test_help_lists_the_options_by_subject(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(word)
    out, err = capsys.readouterr()
    assert not err
    for heading in ("crystal:", "beam:", "detector:", "noise and output:", "exit status:"):
        assert f"\n{heading}\n" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_their_words_alike(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("-h", "-help", "--help"):
        with pytest.raises(SystemExit) as stop:
            main([command, word])
        assert stop.value.code in (0, None)
        told = capsys.readouterr().out.partition("\nexit status:\n")[2].splitlines()
        assert {int(line.split()[0]) for line in told} >= {0, 2, 3, 4, 130}
        assert all(line.split(maxsplit=1)[1] == EXIT_STATUSES[int(line.split()[0])] for line in told)
    assert main([command, "-nonsense"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err.startswith(f"nbnumba {command}: ")) == ("", 1, True)
    assert err.endswith(f"; nbnumba {command} -h tells more\n")


def test_every_error_has_a_status_of_the_table() -> None:
    for name in COMMANDS:
        importlib.import_module(f"nbnumba.commands.{name.replace('-', '_')}")
    kinds, found = [NbnumbaError], []
    while kinds:
        found.append(kinds.pop())
        kinds += found[-1].__subclasses__()
    assert len(found) >= 6
    assert {kind.__name__ for kind in found if kind.exit_status not in EXIT_STATUSES} == set()


def test_nothing_given_is_answered_by_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("usage: nbnumba [options]\n")


def test_show_tells_the_resolved_experiment_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -lambda 1.5 -distance 200 -show -report report.json -mode c")
    out, err = capsys.readouterr()
    assert "wavelength 1.5 Å" in out
    assert "distance 200 mm along the beam" in out
    assert "mode c" in out
    assert not err
    assert files() == set()


def test_quiet_prints_nothing_and_writes_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -quiet")
    assert not capsys.readouterr().out
    assert files() == IMAGES


def test_warnings_are_told_on_stderr_and_in_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -mosaic 1 -report report.json")
    out, err = capsys.readouterr()
    warning = "-mosaic 1 without -mosaic_domains: 10 domains"
    assert f"nbnumba: warning: {warning}\n" in err
    assert f"Warnings   {warning}\n" in out
    assert json.loads(Path("report.json").read_text())["warnings"] == [warning]


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ("-N 20 -oversample 1", "-oversample 1 is coarse for this crystal: -oversample 54 would resolve its fringes"),
        ("-N 20 -oversample 54", ""),
        ("-samplesize 1e-4 -beamsize 5e-5", "sample y of 0.0001 mm is clipped to the beam, -beamsize 5e-05 mm"),
        ("-samplesize 1e-4 -beamsize 5e-5", "sample z of 0.0001 mm is clipped to the beam, -beamsize 5e-05 mm"),
        ("-sample_x 1e-4 -beamsize 5e-5", ""),
        ("-roi 3 99 2 5", "-roi 3 99 2 5 reaches beyond the detector: clipped to 3 15 2 5"),
        (
            "-detector_thick 50",
            "-detector_thick 50 without -detector_abs: the 1/e depth is taken to be the same; -detector_material "
            "Si, CdTe or GaAs would give it",
        ),
        ("-detector_thick 50 -detector_material Si", ""),
        ("-mosaic_domains 3", "-mosaic_domains 3 without -mosaic: one domain"),
    ],
)
def test_what_is_assumed_is_warned_of(options: str, warning: str) -> None:
    warnings = report_of(f"{GOOD} {options}")["warnings"]
    assert warning in (warnings or [""])


def test_sample_is_clipped_to_the_beam_across_it() -> None:
    """Edges of 1000, 500 and 500 Å in cells of 70, 80 and 90 Å."""
    report = report_of(f"{GOOD} -samplesize 1e-4 -beamsize 5e-5 -oversample 1")
    assert report["resolved"]["lattice"]["cells"] == [15, 7, 6]


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ("", []),
        ("-osc 2 -phi -1 -phisteps 2", ["C-9"]),
        ("-osc 2 -phi -1.5 -phisteps 2", []),
        ("-twotheta 10", ["C-4"]),
        ("-pivot sample -water 10", ["C-3", "C-12"]),
        ("-cell 70 80 90 75 85 95 -detector_thick 100 -detector_abs 100", ["C-19", "C-20"]),
        ("-cell 70 80 90 90 75 100", ["C-19"]),
        ("-cell 70 80 90 90 75 90", []),
        ("-Xclose 8", ["C-1", "C-3"]),
        ("-Yclose 8", ["C-1", "C-3"]),
        ("-fdet_vector 0 0 1 -sdet_vector 0 1 0 -odet_vector 2 0 0 -distance 90", ["C-2"]),
        ("-odet_vector 2 0 0.1 -distance 90", []),
        ("-odet_vector 1 0 0 -distance 90", []),
        ("-pix0_vector 0.1 0.01 -0.01 -distance 90", ["C-5"]),
        ("-curved_det", ["C-6"]),
        ("-misset random", ["C-7"]),
        ("-misset 1 2 3", []),
        ("-sourcefile unequal", ["C-8"]),
        ("-sourcefile equal", []),
        ("-hkl P1.hkl -interpolate", ["C-10", "C-18"]),
        ("-interpolate", []),
        ("-oversample_polar", ["C-11"]),
        ("-oversample_thick", ["C-11"]),
        ("-oversample_omega", ["C-11"]),
        ("-stol ice -water 1", ["C-12", "C-13"]),
        ("-img between.img", ["C-14", "C-15"]),
        ("-img between.img -distance 90", ["C-15"]),
        ("-mask between.img", ["C-14", "C-15"]),
        ("-distance 100 -close_distance 90 -pivot beam", ["C-15"]),
        ("-detector_abs inf -detector_thick 100", []),
        ("-distance 123.456 -lambda 1.23456 -phi 12.3456 -osc 0.123456 -detector_rotx 1.23", []),
        (
            "-distance 123.456 -lambda 1.23456 -phi 12.3456 -osc 0.123456 -detector_rotx 1.23 -pixel 0.123456 "
            "-detector_roty 2.34",
            ["C-17"],
        ),
    ],
)
@pytest.mark.parametrize("mode", ["spec", "c"])
def test_labels_of_what_the_modes_treat_differently_are_told(
    options: str, labels: list[str], mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("P1.hkl").write_text(HKL)
    Path("unequal").write_text("-1 0 0 1\n-1 0.001 0\n-1 0 0.001 2\n")
    Path("equal").write_text("-1 0 0 1\n-1 0.001 0\n")
    Path("ice").write_text("0 2\n1 1\n")
    Path("between.img").write_bytes(
        b"{\nHEADER_BYTES=512;\nSIZE1=16;\nSIZE2=16;\nDISTANCE=100;\nCLOSE_DISTANCE=99;\n}".ljust(512)
        + np.ones((SIZE, SIZE), "<u2").tobytes()
    )
    run(f"{GOOD} {options} -mode {mode} -show -nonoise")
    assert labels_in(capsys.readouterr().out) == labels


def labels_in(said: str) -> list[str]:
    told = [line.split() for line in said.split("\n")]
    return [word.rstrip(":") for line in told for word in line[:2] if word.startswith("C-")]


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize(("options", "labels"), [("", ["C-21"]), ("-rng philox", []), ("-rng ran1", []),
                                                 ("-nonoise", [])])  # fmt: skip
def test_where_photons_are_counted_it_is_told_who_draws_them(
    options: str, labels: list[str], mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(f"{GOOD} {options} -mode {mode} -show")
    assert labels_in(capsys.readouterr().out) == labels


def test_printout_is_the_float_image(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -quiet -roi 2 4 5 6 -printout")
    lines = [line.replace(":", "").split() for line in capsys.readouterr().out.splitlines()]
    assert [(int(fast), int(slow)) for fast, slow, _ in lines] == [(f, s) for s in (5, 6) for f in (2, 3, 4)]
    assert all(np.float32(value) == photons()[int(slow), int(fast)] for fast, slow, value in lines)


def test_printout_of_one_pixel(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -quiet -printout_pixel 3 7")
    fast, slow, value = capsys.readouterr().out.replace(":", "").split()
    assert (fast, slow, np.float32(value)) == ("3", "7", photons()[7, 3])


# What is written ---------------------------------------------------------------------------------------------------


def test_default_outputs() -> None:
    run(f"{GOOD} -quiet -detpixels_s 8")
    assert files() == IMAGES
    assert os.path.getsize("floatimage.bin") == 4 * SIZE * 8
    assert read_smv("intimage.img").pixels.shape == read_smv("noiseimage.img").pixels.shape == (8, SIZE)
    assert Path("image.pgm").read_bytes().startswith(b"P5\n16 8\n")


def test_integers_are_the_scaled_photons() -> None:
    run(f"{GOOD} -quiet -scale 0.5 -adc 7 -intfile scaled.img")
    expected = np.floor(np.clip(photons().astype(float) * 0.5 + 7, 0, 65535) + 0.5)
    assert np.abs(read_smv("scaled.img").pixels - expected).max() <= 1
    run(f"{GOOD} -quiet")
    assert read_smv("intimage.img").pixels.max() == 55040


@pytest.mark.parametrize(
    ("options", "left_out"), [("-nonoise", {"noiseimage.img"}), ("-nopgm", {"image.pgm"}),
                              ("-nonoise -noisefile n.img -nopgm -pgmfile p.pgm", {"noiseimage.img", "image.pgm"})]
)  # fmt: skip
def test_outputs_that_are_not_wanted(options: str, left_out: set[str]) -> None:
    run(f"{GOOD} -quiet {options}")
    assert files() == IMAGES - left_out


def test_png_is_a_picture() -> None:
    run(f"{GOOD} -quiet -png picture.png")
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_dials_header_is_asked_for_by_an_option() -> None:
    """For both images that have a header."""
    offsets = {"": None, "-header c": None, "-header dials": 12}
    for option, offset in offsets.items():
        run(f"{GOOD} -quiet -adc 12 {option}")
        for path in ("intimage.img", "noiseimage.img"):
            assert header_value(read_smv(path).header, "ADC_OFFSET", whole=True) == offset


@pytest.mark.parametrize("header", ["c", "dials"])
def test_image_is_saved_with_the_header_that_is_asked_for(header: Any) -> None:
    """Of a detector whose edges, beam centre, distances and angles all differ, as far as DIALS can read them."""
    angles = {"c": "-detector_rotx 9 -twotheta 4", "dials": ""}
    image = nbnumba.simulate(nbnumba.Experiment.from_args(shlex.split(
        f"{GOOD} -detpixels_s 8 -pixel 0.7 -Xbeam 2 -Ybeam 6 -distance 90 -phi 7 -osc 2 -lambda 1.3 "
        f"-polar 0.999 -pivot beam {angles[header]}")), backend="cpu")  # fmt: skip
    image.save_smv("int_1.img", header=header, adc_offset=9)
    image.save_noise("noise_1.img", header=header, adc_offset=9)
    assert read_smv("int_1.img").header == read_smv("noise_1.img").header == smv_header(image.smv_geometry, header, 9)
    said = read_smv("int_1.img").header
    geometry, height = image.geometry, 0.7 * 8
    fast, slow = (0.7 * pixels for pixels in geometry.beam_center_px)
    # In the mosflm convention X is along slow; spots are counted from the middle of the first pixel.
    assert (fast, slow) == pytest.approx((6.35, 2.35))
    expected = {
        "SIZE1": 16, "SIZE2": 8, "PIXEL_SIZE": 0.7, "DISTANCE": 90, "WAVELENGTH": 1.3,
        "ADXV_CENTER_X": fast, "ADXV_CENTER_Y": height - slow,
        "MOSFLM_CENTER_X": slow - 0.35, "MOSFLM_CENTER_Y": fast - 0.35, "DENZO_X_BEAM": slow, "DENZO_Y_BEAM": fast,
        "XDS_ORGX": geometry.orgx_px, "XDS_ORGY": geometry.orgy_px,
        "CLOSE_DISTANCE": 90 * float(np.dot(geometry.beam, geometry.normal)),
        "PHI": 7, "OSC_START": 7, "OSC_RANGE": 2, "TWOTHETA": 4 if header == "c" else 0,
        "BEAM_CENTER_X": 2 if header == "c" else fast - 0.7,
        "BEAM_CENTER_Y": 6 if header == "c" else height - slow + 0.7,
    }  # fmt: skip
    found = {keyword: header_value(said, keyword, whole=True) for keyword in expected}
    assert found == pytest.approx(expected, rel=1e-5)


def test_report_tells_all_of_the_run() -> None:
    report = report_of(f"{GOOD} -twotheta 5 -lambda 1.2 -seed 3")
    assert report["experiment"]["beam"]["wavelength_angstrom"] == 1.2
    assert list(report["labels"]) == ["C-4", "C-21"]
    assert report["statistics"]["maximum"] == photons().max()
    assert set(report["files"]) == IMAGES | {"report.json"} == files()
    assert report["versions"]["nbnumba"] == nbnumba.__version__
    seconds = report["seconds"]
    assert set(seconds) == {"setup", "compile", "render", "noise", "write", "total"}
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"])
    assert "cpu" in report["backend"]


def test_report_is_json_for_readers_that_know_no_infinity() -> None:
    run(f"{GOOD} -quiet -detector_thick 100 -detector_abs inf -report report.json")
    report = json.loads(Path("report.json").read_text(), parse_constant=pytest.fail)
    assert report["experiment"]["detector"]["attenuation_depth_um"] == "inf"


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_report_gives_back_a_file_name_that_is_no_text() -> None:
    name = os.fsdecode(b"\xff.bin")
    finished = in_a_process(*shlex.split(f"{GOOD} -quiet -report report.json -floatfile"), name)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert name in json.loads(Path("report.json").read_text("utf-8"))["files"]
    assert name in files()


@pytest.mark.parametrize(
    "options", ["-mosaic 1 -mosaic_domains 3 -osc 1 -xds", "-misset random -mode c -xtalsize 0.00002 -seed 7"]
)
def test_experiment_of_the_report_gives_the_same_image(options: str) -> None:
    experiment = nbnumba.Experiment.from_dict(report_of(GOOD + options)["experiment"])
    image = nbnumba.simulate(experiment, backend="cpu")
    assert image.photons.tobytes() == Path("floatimage.bin").read_bytes()
    assert (image.noise().counts == read_smv("noiseimage.img").pixels).all()


def test_seed_decides_the_noise() -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        run(f"{GOOD} -quiet -fluence 1e24 -seed {seed} -noisefile {name}")
    first, again, other = (Path(name).read_bytes() for name in ("first", "again", "other"))
    assert first == again != other


def test_seed_of_the_clock_is_reported() -> None:
    seed = report_of(f"{GOOD} -fluence 1e24")["experiment"]["noise"]["seed"]
    noise = Path("noiseimage.img").read_bytes()
    run(f"{GOOD} -quiet -fluence 1e24 -seed {seed}")
    assert Path("noiseimage.img").read_bytes() == noise


# All files or none -------------------------------------------------------------------------------------------------


def contents() -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in files()}


@full_disk
@pytest.mark.parametrize("option", ["floatfile", "intfile", "pgmfile", "noisefile", "png", "report", "dump"])
def test_file_that_cannot_be_written_keeps_back_all_others(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P1.hkl").write_text(HKL)
    line = f"{CELL} -quiet -hkl P1.hkl -dump cache.bin -report report.json -png image.png -seed"
    run(f"{line} 1")
    before = contents()
    assert before.keys() == IMAGES | {"P1.hkl", "cache.bin", "report.json", "image.png"}
    Path("P1.hkl").write_text(HKL + "0 0 0 500\n")
    assert main(shlex.split(f"{line} 2 -{option} /dev/full")) == 4
    assert "cannot write /dev/full: the disk is full" in capsys.readouterr().err
    assert contents() == before | {"P1.hkl": Path("P1.hkl").read_bytes()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-dump nowhere/x", "cannot write nowhere/x: there is no folder"),
        ("-mode c", "cannot write Fdump.bin: it is a folder"),
        pytest.param("-png /proc/x.png", "cannot write /proc/x.png: the folder /proc is not writable",
                     marks=pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs /proc")),
    ],
)  # fmt: skip
def test_file_that_cannot_be_written_is_told_before_the_work(
    options: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("P1.hkl").write_text(HKL)
    Path("Fdump.bin").mkdir()
    monkeypatch.setattr("nbnumba.commands.simulate.render", lambda *_: pytest.fail("rendered"))
    assert main(shlex.split(f"{CELL} -quiet -hkl P1.hkl {options}")) == 4
    assert said in capsys.readouterr().err
    assert files() == {"P1.hkl", "Fdump.bin"}


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ("-floatfile a -intfile a", "-floatfile", "-intfile"),
        ("-png a -report ./a", "-png", "-report"),
        ("-hkl P1.hkl -mode c -noisefile Fdump.bin", "-noisefile", "-dump"),
    ],
)
def test_two_outputs_of_one_name_are_refused(
    options: str, first: str, second: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("P1.hkl").write_text(HKL)
    assert main(shlex.split(f"{GOOD} -quiet {options}")) == 2
    assert f"nbnumba: {first} and {second} are both" in capsys.readouterr().err
    assert files() == {"P1.hkl"}


@pytest.mark.parametrize("output", ["-floatfile", "-png", "-report"])
def test_an_input_is_not_written_over(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P1.hkl").write_text(HKL)
    assert main(shlex.split(f"{GOOD} -quiet -hkl P1.hkl {output} ./P1.hkl")) == 2
    assert f"{output} ./P1.hkl would be written over a file that the run reads" in capsys.readouterr().err
    assert files() == {"P1.hkl"}
    assert Path("P1.hkl").read_text() == HKL


def test_outputs_may_share_a_device() -> None:
    run(f"{GOOD} -quiet -floatfile {os.devnull} -intfile {os.devnull} -nopgm -nonoise")
    assert files() == set()


# The cache of structure factors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "written"),
    [("", None), ("-dump cache.bin", "cache.bin"), ("-mode c", "Fdump.bin"), ("-mode c -dump c.bin", "c.bin")],
)
def test_cache_is_written_where_it_is_asked_for_or_always_in_mode_c(options: str, written: str | None) -> None:
    Path("P1.hkl").write_text(HKL)
    run(f"{CELL} -quiet -hkl P1.hkl {options}")
    assert files() - IMAGES - {"P1.hkl"} == ({written} if written else set())


@pytest.mark.parametrize(("name", "again"), [("cache.bin", "-dump cache.bin"), ("Fdump.bin", "")])
def test_cache_serves_without_the_list(name: str, again: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("P1.hkl").write_text(HKL)
    run(f"{CELL} -hkl P1.hkl -dump {name}")
    assert name not in capsys.readouterr().err
    with_list = photons()
    report = report_of(f"{CELL} {again}")
    warning = f"structure factors are read from {name}, of an earlier run"
    assert f"nbnumba: warning: {warning}\n" in capsys.readouterr().err
    assert report["warnings"] == [warning]
    assert with_list.any()
    assert (photons() == with_list).all()


def test_cache_that_is_asked_for_and_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -quiet -dump missing.bin")
    assert "nbnumba: warning: -dump missing.bin: there is no such file, nor -hkl" in capsys.readouterr().err


# How the work is done ----------------------------------------------------------------------------------------------


def test_reference_and_cpu_agree() -> None:
    line = f"{GOOD} -cell 70 80 90 75 85 95 -mosaic 0.5 -mosaic_domains 3 -quiet"
    run(line)
    fast = photons()
    run(f"{line} -backend reference")
    assert (np.abs(photons() - fast) <= DOUBLE.allowed(np.abs(fast), fast.max())).all()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_number_of_threads_does_not_matter() -> None:
    run(f"{GOOD} -quiet -threads 1")
    one = photons()
    run(f"{GOOD} -quiet -threads 2")
    assert one.tobytes() == photons().tobytes()


def test_checkout_runs_from_any_folder() -> None:
    finished = in_a_process(*shlex.split(GOOD))
    assert (finished.returncode, files()) == (0, IMAGES)
    assert "brightest pixel" in finished.stdout


def test_reader_that_has_enough_ends_the_printing_in_peace() -> None:
    unread, printed = os.pipe()
    os.close(unread)
    with open(printed, "wb") as pipe:
        finished = subprocess.run([*CLI, "-h"], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (finished.returncode, finished.stderr) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("stderr_too", [False, True])
def test_reader_that_has_enough_costs_no_image(unbuffered: str, stderr_too: bool) -> None:
    unread, printed = os.pipe()
    os.close(unread)
    with open(printed, "wb") as pipe:
        finished = subprocess.run(
            [*CLI, *shlex.split(f"{GOOD} -mosaic 1 -mosaic_domains 2 -dump missing -printout -trace_pixel 3 3")],
            stdout=pipe, stderr=subprocess.STDOUT if stderr_too else subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (finished.returncode, files()) == (0, IMAGES)
    assert b"Traceback" not in (finished.stderr or b"")


def test_error_keeps_its_status_when_nobody_listens() -> None:
    unread, printed = os.pipe()
    os.close(unread)
    with open(printed, "wb") as pipe:
        command = [*CLI, *shlex.split(f"{GOOD} -lambda -3")]
        assert subprocess.run(command, stdout=pipe, stderr=subprocess.STDOUT, check=False).returncode == 2


@full_disk
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_under_stdout_costs_no_image(unbuffered: str) -> None:
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [*CLI, *shlex.split(GOOD)], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (finished.returncode, files()) == (4, IMAGES)
    assert finished.stderr.splitlines()[-1] == "nbnumba: cannot print: No space left on device"


def test_letters_that_stdout_lacks_are_replaced() -> None:
    finished = in_a_process(*shlex.split(f"{GOOD} -show"), PYTHONIOENCODING="ascii")
    assert finished.returncode == 0
    assert "wavelength 1 ? (12398.4 eV)" in finished.stdout
    assert not finished.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C as POSIX sends it")
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_interrupt_ends_a_long_run_at_once_and_leaves_nothing(backend: str) -> None:
    run(f"{GOOD} -quiet -nonoise -nopgm -mosaic 1 -mosaic_domains 2 -backend {backend}")  # compiled from here on
    old = {name: Path(name).read_bytes() for name in files()}
    line = f"{GOOD} -nonoise -detpixels 2000 -mosaic 1 -mosaic_domains 5000 -oversample 5 -backend {backend}"
    with subprocess.Popen(
        [*CLI, *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while "samples a pixel" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        _, err = process.communicate(timeout=30)
    assert time.perf_counter() - sent < 2.0
    assert process.returncode == 130
    assert err.splitlines()[-1] == "nbnumba: interrupted; nothing half written is left"
    assert "Traceback" not in err
    assert {name: Path(name).read_bytes() for name in files()} == old


@pytest.mark.slow
def test_first_runs_at_once_share_an_empty_cache(folder: Path) -> None:
    cache = folder / "kernels"
    for name in "ab":
        (folder / name).mkdir()
    runs = [
        subprocess.Popen([*CLI, *shlex.split(GOOD), "-quiet", "-seed", "1"], cwd=folder / name, text=True,
                         stderr=subprocess.PIPE, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)})
        for name in "ab"
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0]
    assert all("Traceback" not in text for text in said)
    for name in IMAGES:
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()
    again = in_a_process(*shlex.split(GOOD), NUMBA_CACHE_DIR=str(cache))
    assert "compiling" not in again.stderr


@pytest.mark.slow
def test_cache_that_cannot_be_written_only_costs_time(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    finished = in_a_process(*shlex.split(GOOD), NUMBA_CACHE_DIR=str(folder / "file"))
    assert (finished.returncode, files()) == (0, IMAGES | {"file"})
    assert "so every run will" in finished.stderr


# Python ------------------------------------------------------------------------------------------------------------


def test_simulate_returns_an_image_that_can_be_saved(folder: Path) -> None:
    run(f"{GOOD} -quiet -seed 5 -png image.png")
    image = nbnumba.simulate(nbnumba.Experiment.from_args(shlex.split(f"{GOOD} -seed 5")), backend="cpu")
    assert isinstance(image, nbnumba.Image)
    assert image.experiment.crystal.cells == (3, 3, 3)
    assert image.statistics.maximum == image.photons.max()
    (folder / "saved").mkdir()
    image.save_raw("saved/floatimage.bin")
    image.save_smv("saved/intimage.img")
    image.save_noise("saved/noiseimage.img")
    image.save_pgm("saved/image.pgm")
    image.save_png("saved/image.png")
    for name in IMAGES | {"image.png"}:
        assert (folder / "saved" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_experiment_of_a_file_gives_the_image_of_python(mode: str) -> None:
    detector = {"fast_pixels": SIZE, "slow_pixels": SIZE, "pixel_mm": 2.0, "orgx_px": 3.0, "orgy_px": 12.0}
    experiment = nbnumba.changed(
        nbnumba.Experiment.from_args(shlex.split(GOOD)),
        detector=detector | {"rotx_deg": 20, "close_distance_mm": 90},
        mode=mode,
    )
    Path("e.toml").write_text(experiment.to_toml(), "utf-8")
    run("-experiment e.toml -nonoise -nopgm -quiet -backend cpu")
    assert np.array_equal(photons(), nbnumba.simulate(experiment, backend="cpu").photons)
    assert photons().max() > 0


def test_simulate_raises_what_the_command_says() -> None:
    with pytest.raises(UsageError, match="-lambda -1: must be above 0"):
        nbnumba.simulate(nbnumba.Experiment.from_args(shlex.split(f"{GOOD} -lambda -1")))


def test_importing_is_cheap_and_describing_needs_no_numpy() -> None:
    program = (
        "import sys, nbnumba; nbnumba.Experiment.from_args(['-cell', '70']);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'numba', 'scipy', 'matplotlib', 'gemmi')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = nbnumba.simulat


@pytest.mark.parametrize("convention", ["mosflm", "denzo", "adxv", "xds", "dials"])
@pytest.mark.parametrize("size", ["-detpixels 12", "-detsize 8.6"])
def test_an_image_describes_its_own_geometry(convention: str, size: str) -> None:
    """Read as -img in mode spec; a size in mm need not be a whole number of pixels."""
    crystal = f"-cell 70 80 90 -N 3 -default_F 100 -{convention} -backend cpu -quiet -nonoise -oversample 1"
    run(f"{crystal} {size} -pixel 0.7 -floatfile first.bin -intfile first.img")
    run(f"{crystal} -img first.img -floatfile again.bin -intfile again.img")
    first, again = (np.fromfile(name, np.float32) for name in ("first.bin", "again.bin"))
    # A header has six digits of each number.
    np.testing.assert_allclose(again, first, atol=1e-4 * first.max())
