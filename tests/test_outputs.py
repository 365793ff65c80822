"""-o and -images: files by their suffixes, and rotations in one run."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, Image, UsageError, rotation_series, simulate
from nbnumba.cli import main
from nbnumba.formats.frame import Frame
from nbnumba.formats.images.cbf import read_cbf
from nbnumba.formats.images.smv import header_value, read_smv

LINE = "-cell 70 80 90 -N 3 -default_F 100 -detpixels 16 -pixel 1 -oversample 1 -backend cpu -noprogress -seed 3"


# Of 16 x 16 pixels of 1 mm.
pytestmark = pytest.mark.filterwarnings("ignore:-oversample 1 is coarse")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(options: str) -> None:
    assert main(shlex.split(f"{LINE} {options}")) == 0


def failure(options: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(shlex.split(f"{LINE} {options}")) != 0
    return capsys.readouterr().err


# Files that are named ------------------------------------------------------------------------------------------------


def test_files_that_are_named_are_all_that_is_written() -> None:
    run("-o counts.img -o counts.npy -o picture.png -floatfile photons.bin")
    assert set(os.listdir()) == {"counts.img", "counts.npy", "picture.png", "photons.bin"}
    photons = np.fromfile("photons.bin", np.float32).reshape(16, 16)
    counts = read_smv("counts.img").pixels
    np.testing.assert_array_equal(np.load("counts.npy"), counts)
    assert abs(counts.mean() - 40 - photons.mean()) < 5 * np.sqrt(photons.mean() / photons.size)
    assert len(np.unique(counts)) > 3


def test_without_noise_they_hold_what_is_expected() -> None:
    run("-o expected.npy -o scaled.img -nonoise -floatfile photons.bin -scale 2")
    photons = np.fromfile("photons.bin", np.float32).reshape(16, 16)
    np.testing.assert_array_equal(np.load("expected.npy"), photons)
    np.testing.assert_allclose(read_smv("scaled.img").pixels, 2 * photons + 40, atol=0.51)


def test_a_suffix_of_no_format_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = failure("-o image.jpeg", capsys)
    assert said.startswith("nbnumba: image.jpeg: no format has this suffix; known are ")
    assert said.count("\n") == 1
    assert not os.listdir()


def test_one_file_is_not_named_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert "-o and -o are both ./b/../a.img: give each a file of its own" in failure("-o a.img -o ./b/../a.img", capsys)
    assert "-intfile and -o are both a.img" in failure("-intfile a.img -o a.img", capsys)
    assert not os.listdir()


def test_a_place_for_a_number_is_filled_in_a_single_image() -> None:
    run("-o image_#####.img")
    assert os.listdir() == ["image_00001.img"]


# Rotations ------------------------------------------------------------------------------------------------------------


def test_a_rotation_is_the_images_that_one_gets_one_by_one() -> None:
    run("-phi 10 -osc 0.5 -phisteps 2 -images 3 -o a_#.npy -nonoise")
    for number in range(3):
        args = shlex.split(f"{LINE} -phi {10 + 0.5 * number} -osc 0.5 -phisteps 2")
        expected = simulate(Experiment.from_args(args), backend="cpu").photons
        np.testing.assert_array_equal(np.load(f"a_{number + 1}.npy"), expected)


def test_each_image_has_noise_of_its_own_and_its_own_angle() -> None:
    run("-phi 10 -osc 360 -phisteps 1 -images 2 -o a.img -report report.json")
    images = [read_smv(f"a_0000{number}.img") for number in (1, 2)]
    assert [header_value(image.header, "OSC_START", whole=True) for image in images] == [10.0, 370.0]
    # A whole turn on, the photons that are expected are the same.
    assert (images[0].pixels != images[1].pixels).any()
    told = json.loads(Path("report.json").read_text())["images"]
    assert [one["phi_deg"] for one in told] == [10.0, 370.0]
    assert told[0]["statistics"]["mean"] == pytest.approx(told[1]["statistics"]["mean"], rel=1e-6)
    assert [one["photons"] for one in told] == [int(image.pixels.sum()) - 40 * 256 for image in images]


def test_scaled_images_of_a_rotation_have_one_scale() -> None:
    run("-osc 2 -images 2 -intfile s_#.img -floatfile f_#.bin")
    scales = []
    for number in (1, 2):
        photons = np.fromfile(f"f_{number}.bin", np.float32).reshape(16, 16).astype(float)
        bright = photons > photons.max() / 10
        scales.append(np.median((read_smv(f"s_{number}.img").pixels[bright] - 40) / photons[bright]))
    assert scales[0] == pytest.approx(scales[1], rel=1e-3)


def test_nothing_is_hidden_from_what_writes_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba is kept from an import while it renders; what reads out and writes may need it."""
    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    hidden = []

    def frame(image: Image, *args: Any, **given: Any) -> Frame:
        hidden.append("scipy.linalg" in sys.modules and sys.modules["scipy.linalg"] is None)
        return original(image, *args, **given)

    original = Image.frame
    monkeypatch.setattr(Image, "frame", frame)
    run("-osc 1 -images 2 -o a.npy")
    run("-o b.npy")
    assert hidden == [False] * 3


def test_a_random_crystal_lies_alike_in_all_images() -> None:
    first = Experiment.from_args([*shlex.split(LINE), "-misset", "random", "-osc", "1"])
    series = rotation_series(first, 2)
    turned = [simulate(experiment, backend="cpu").misset_deg for experiment in series]
    assert turned[0] == turned[1] != (0.0, 0.0, 0.0)
    assert [experiment.noise.frame for experiment in series] == [0, 1]


def test_steps_between_samples_stay_as_they_are() -> None:
    first = Experiment.from_args([*shlex.split(LINE), "-phistep", "0.5"])
    series = rotation_series(first, 3)
    assert [experiment.scan.phi_deg for experiment in series] == [0.0, 0.5, 1.0]
    counts = {len(simulate(experiment, backend="cpu").resolved.scan.phi_rad) for experiment in (first, *series)}
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-images 3 -osc 1", "-images 3: no file is asked for: give one, as -o image_#####.cbf or -o images.nxs"),
        ("-images 3 -o a.img", "-images 3 without -osc: all images would be of one orientation; give -osc"),
        ("-images 2 -osc 1 -o a.img -printout", "-printout is of one image, and -images 2 asks for several"),
        ("-images 0 -osc 1 -o a.img", "-images '0' is not a whole number, 1 or more"),
        ("-images 2 -osc 1 -o /nowhere/a.img", "/nowhere/a_00001.img: "),
        ("-images 99999999999 -osc 1 -o a.nxs", "-images 99999999999: must be at most 10000000"),
        ("-images 3 -osc 1 -o a_#.img -report a_3.img", "-report and -o are both a_3.img: give each a file of its"),
        ("-images 12 -osc 1 -o a_#.img -o a_##.img", "-o and -o are both a_10.img: give each a file of its own"),
    ],
)
def test_what_cannot_be_a_rotation_is_said(options: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    *_, error, end = failure(options, capsys).split("\n")
    assert error.startswith("nbnumba: ")
    assert said in error
    assert not end
    assert not os.listdir()


def test_no_image_of_a_rotation_is_written_over_what_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    run("-o a_00002.img -quiet")
    before = Path("a_00002.img").read_bytes()
    said = failure("-img a_00002.img -images 2 -osc 1 -o a.img", capsys)
    assert "-o a_00002.img would be written over a file" in said
    assert Path("a_00002.img").read_bytes() == before
    assert os.listdir() == ["a_00002.img"]


def test_an_image_count_that_is_none_is_refused_in_python() -> None:
    first = Experiment.from_args([*shlex.split(LINE), "-osc", "1"])
    for wrong in (0, 1.5, True):
        with pytest.raises(UsageError, match=r"images .*: give a whole number, 1 or more"):
            rotation_series(first, wrong)  # type: ignore[arg-type]


# An experiment of DIALS tells where the counts are ------------------------------------------------------------------


def imagesets(path: str) -> list[tuple[str, str | list[str]]]:
    """Of each experiment: how many images it has and where, by their names."""
    read = json.loads(Path(path).read_text())
    found = []
    for one in read["experiment"]:
        if "imageset" in one:
            imageset = read["imageset"][one["imageset"]]
            where = imageset.get("template") or imageset["images"]
            found.append((imageset["__id__"], where))
    return found


@pytest.mark.filterwarnings("ignore:.*DIALS")
def test_an_experiment_of_dials_names_the_images_beside_it(folder: Path) -> None:
    counting = "-readout counting -polar 0.998"
    run(f"{counting} -osc 1 -images 2 -o a_###.cbf -o a.expt")
    run(f"{counting} -osc 1 -o b.nxs -o b.expt")
    run(f"{counting} -osc 1 -o c_0001.cbf -o c.expt")
    run(f"{counting} -o still_01.cbf -o still.expt")
    assert imagesets("a.expt") == [("ImageSequence", str(folder / "a_###.cbf"))]
    assert imagesets("b.expt") == [("ImageSequence", str(folder / "b.nxs"))]
    assert imagesets("c.expt") == [("ImageSequence", str(folder / "c_####.cbf"))]
    assert imagesets("still.expt") == [("ImageSet", [str(folder / "still_01.cbf")])]


@pytest.mark.filterwarnings("ignore:.*DIALS")
def test_an_experiment_of_dials_names_no_image_that_dials_would_not_find() -> None:
    """None is written, it has the number of another image, or DIALS does not read it."""
    run("-readout counting -osc 1 -o a.expt")
    run("-readout counting -osc 1 -o b_0002.cbf -o b.expt")
    run("-readout counting -osc 1 -o c_0001.tif -o c.expt")
    assert [imagesets(f"{name}.expt") for name in "abc"] == [[], [], []]


def test_a_rotation_that_goes_on_has_the_next_numbers() -> None:
    run("-phi 2 -osc 1 -frame 2 -images 2 -o a.img")
    run("-phi 3 -osc 1 -frame 3 -o b_#.img")
    assert set(os.listdir()) == {"a_00003.img", "a_00004.img", "b_4.img"}
    np.testing.assert_array_equal(read_smv("a_00004.img").pixels, read_smv("b_4.img").pixels)


@pytest.mark.filterwarnings("ignore:.*DIALS")
def test_without_noise_a_format_of_integers_holds_scaled_photons() -> None:
    run("-readout counting -nonoise -o a_1.cbf -o b_1.img -scale 3 -floatfile photons.bin -polar 0.998")
    photons = np.fromfile("photons.bin", np.float32).reshape(16, 16)
    np.testing.assert_allclose(read_cbf("a_1.cbf").pixels, 3 * photons, atol=0.51)
    np.testing.assert_array_equal(read_smv("b_1.img").pixels, read_cbf("a_1.cbf").pixels)


def test_what_a_file_leaves_out_is_said_once_of_a_rotation(capsys: pytest.CaptureFixture[str]) -> None:
    run("-readout counting -osc 1 -images 3 -o a.cbf")
    assert capsys.readouterr().err.count("DIALS does not read the polarization") == 1


@pytest.mark.filterwarnings("ignore:.*DIALS")
def test_a_still_that_is_taken_from_a_file_has_one_step() -> None:
    run("-readout counting -polar 0.998 -o a_1.cbf -o b.nxs -o c.expt -o XPARM.XDS")
    for name in ("a_1.cbf", "b.nxs", "c.expt", "XPARM.XDS"):
        run(f"-img {name} -report {name}.json -nonoise -o {name}.npy -quiet")
        assert json.loads(Path(f"{name}.json").read_text())["resolved"]["phi_deg"] == [0.0], name
