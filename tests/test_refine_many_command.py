"""`nbnumba refine` of several images: what it takes, what it says and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, interruption, refine_many, simulate
from nbnumba.cli import main
from nbnumba.commands import refine_many as command
from nbnumba.refinement.joint import JointStep

SIZE, STILLS = 32, 3
OPTIONS = f"-default_F 30 -N 6 -detpixels {SIZE} -pixel 2 -lambda 1 -distance 100 -oversample 2"
FREE = "-free cell,orientation,scale -system tetragonal -stages plain"
ALL = f"start_1.toml start_2.toml start_3.toml -image 1.npy 2.npy 3.npy {FREE}"

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(1, STILLS + 1):
        rng = np.random.default_rng(number)
        misset = " ".join(map(str, rng.uniform(-90.0, 90.0, 3)))
        truth, start = (
            Experiment.from_args(f"{OPTIONS} -cell {cell} -misset {misset}".split())
            for cell in ("79 79 38 90 90 90", "79.1 79.1 38.05 90 90 90")
        )
        Path(f"start_{number}.toml").write_text(start.to_toml())
        expected = simulate(truth, threads=1).photons.astype(float)
        np.save(f"{number}.npy", rng.poisson(expected * 1e4 / expected.sum() + 1.0).astype(float))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks of the search, which goes its first steps alone."""
    told: dict[str, Any] = {}

    def found(*given: Any, progress: Callable[[JointStep], None] | None = None, **how: Any) -> Any:
        told.update(how, given=given)

        def enough(step: JointStep) -> None:
            raise interruption.Interrupted(told.get("signal", 2))

        return refine_many(*given, progress=enough, **(how | {"processes": 1}))

    monkeypatch.setattr(command, "refine_many", found)
    return told


def run(words: str, status: int = 0) -> None:
    assert main(["refine", *words.split()]) == status


def test_counts_of_several_images_lead_back_to_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{ALL} -o r_##.toml -report r.json")
    report = json.loads(Path("r.json").read_text())
    shared = report["shared"]
    assert shared["names"] == ["crystal.cell[0]", "crystal.cell[2]"]
    assert np.all(np.abs(np.subtract(shared["values"], (79.0, 38.0))) < 4.0 * np.array(shared["esd"]))
    assert [one["file"] for one in report["images"]] == ["r_01.toml", "r_02.toml", "r_03.toml"]
    assert [one["image"] for one in report["images"]] == ["1.npy", "2.npy", "3.npy"]
    assert report["interrupted"] is False
    for one in report["images"]:
        refined = Experiment.from_toml(Path(one["file"]).read_text())
        assert list(refined.crystal.cell) == one["experiment"]["crystal"]["cell"]
        assert list(refined.crystal.misset_deg) == one["experiment"]["crystal"]["misset_deg"]
        assert refined.crystal.cell[0] == shared["values"][0]
        assert one["cc"]["after"] > 0.9
    said = capsys.readouterr().out
    assert "crystal.cell[2]" in said
    assert "image 3" in said
    assert "r_01.toml ... r_03.toml  the refined experiments\nr.json  this report as JSON\n" in said


def test_cell_and_detector_are_shared_where_nobody_says_otherwise(asked: dict[str, Any]) -> None:
    run(f"{ALL} -free cell,distance,beam,misset,scale -restrain cell=0.2% -bounds scale=0:9 -processes 2 -quiet", 130)
    _, _, shared, own = asked["given"]
    assert shared == ("crystal.cell", "detector.distance_mm", "detector.beam_x_mm", "detector.beam_y_mm")
    assert own == ("crystal.misset_deg", "scale")
    assert asked["processes"] == 2
    assert asked["restraints"] == {"crystal.cell": "0.2%"}
    assert asked["bounds"] == {"scale": (0.0, 9.0)}


def test_shared_is_what_is_named(asked: dict[str, Any]) -> None:
    run(f"{ALL} -free cell,distance,misset,scale -shared distance,scale", 130)
    assert asked["given"][2:] == (("detector.distance_mm", "scale"), ("crystal.cell", "crystal.misset_deg"))


def test_one_start_is_for_all_and_a_signal_keeps_the_best(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked["signal"] = 15
    run(f"start_1.toml -image 1.npy 2.npy {FREE} -report r.json", 143)
    assert len({one.crystal.misset_deg for one in asked["given"][0]}) == 1
    said = capsys.readouterr()
    assert said.err.endswith("nbnumba refine: terminated; the best that was found so far is written\n")
    assert "Interrupted:" in said.out
    assert json.loads(Path("r.json").read_text())["interrupted"] is True
    assert sorted(path.name for path in Path().glob("refined*")) == ["refined_00001.toml", "refined_00002.toml"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            f"start_1.toml start_2.toml -image 1.npy 2.npy 3.npy {FREE}",
            2,
            "-image: 3 images for 2 starts; give one start for each, or one for all",
        ),
        (f"{ALL} -png z.png", 2, "-png z.png: is of one image; leave it out"),
        (f"{ALL} -threads 2", 2, "-threads 2: each of several images has one; give -processes instead"),
        (f"{ALL} -processes two", 2, "-processes two: give a whole number, 1 or more"),
        (f"{ALL} -shared distance", 2, "-shared detector.distance_mm: is not refined; add it to -free"),
        (f"{ALL} -free misset,scale", 2, "-free misset,scale: the images would share nothing; name what they do by"),
        (f"{ALL} -o start_#.toml", 2, "-o start_1.toml is an input file too: give another name"),
        (f"{ALL} -report refined_00002.toml", 2, "refined_00002.toml: two files of one name; give another"),
        (
            f"{ALL} -free cell,misset,tilt,scale",
            2,
            "shared detector.rotx_deg: the images do not tell it from their own numbers; leave out one or restrain it",
        ),
        (f"{ALL} -frame 0", 2, "-frame 0: give a whole number, 1 or more"),
        (f"{ALL} -mask 4.npy", 3, "experiments[0]: cannot read the image 4.npy: there is no such file"),
        (
            f"start_1.toml start_2.toml -image 1.npy {FREE}",
            2,
            "start_1.toml start_2.toml: 2 starts for one image; give one for each",
        ),
        (f"start_1.toml -image 1.npy {FREE} -shared cell", 2, "-shared cell: is for several images, -image A B ...;"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    words: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    run(words, status)
    line = capsys.readouterr().err
    assert said in line
    assert [text for text in line.splitlines() if "warning" not in text] == line.splitlines()[-1:]
    assert sorted(Path().iterdir()) == before
