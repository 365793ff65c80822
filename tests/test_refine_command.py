"""`nbnumba refine`: what it takes, what it says and what it leaves; how well it refines is told elsewhere."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from nbnumba import Differentiable, Experiment, changed, hkl_map, interruption, simulate
from nbnumba.cli import main
from nbnumba.commands import refine as command
from nbnumba.errors import UsageError
from nbnumba.experiment import Detector
from nbnumba.refinement.names import BY_DETECTOR, SHORT, all_fields, fields_of
from nbnumba.refinement.outcome import BeforeAfter, Parameter, Refinement
from nbnumba.refinement.picture import save_picture
from nbnumba.refinement.report import advice, as_json, json_text, text_of, with_esd
from nbnumba.refinement.search import Iteration, StageEnd
from nbnumba.refinement.stages import Fringes

SIZE = 16
START = f"-cell 78 78 38 -default_F 100 -N 5 -detpixels {SIZE} -pixel 1 -lambda 1 -oversample 1 -misset 1 2 3"
GOOD = "start.toml -image i.npy -free cell,misset,scale"

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("start.toml").write_text(Experiment.from_args(START.split()).to_toml())
    np.save("i.npy", np.random.default_rng(1).poisson(5.0, (SIZE, SIZE)).astype(float))
    return tmp_path


def refinement(experiment: Experiment, target: Any = None, **changes: Any) -> Refinement:
    """What came of one, of numbers that nobody has refined."""
    from nbnumba.differentiation.target import Target

    target = target or Target(np.full((SIZE, SIZE), 5.0))
    counts = np.ones(target.measured.shape, bool) if target.mask is None else target.mask
    image = np.full(target.measured.shape, 5.0)
    values = {
        "experiment": changed(experiment, crystal={"cell": (79.1, 79.1, 38.0, 90.0, 90.0, 90.0)}),
        "parameters": (
            Parameter("crystal.cell[0]", "Å", 78.0, 79.10123, 0.0031),
            Parameter("crystal.cell[1]", "Å", 78.0, 79.10123, 0.0031, "crystal.cell[0]"),
            Parameter("crystal.cell[3]", "deg", 90.0, 90.0, 0.0),
            Parameter("scale", "", 1.0, 1.23, 0.014),
        ),
        "names": ("crystal.cell[0]", "scale", "background[0]"),
        "values": np.array([79.10123, 1.23, 5.0]),
        "esd": np.array([0.0031, 0.014, 0.1]),
        "correlation": np.array([[1.0, 0.97, 0.0], [0.97, 1.0, 0.1], [0.0, 0.1, 1.0]]),
        "background": np.array([5.0]),
        "r_factor": BeforeAfter(0.5, 0.1),
        "cc": BeforeAfter(0.3, 0.99),
        "deviance": BeforeAfter(4.0, 1.01),
        "pixels": int(counts.sum()),
        "fringes": Fringes(0.2, 0.1),
        "history": (Iteration("plain", "all", 1, 2.0, 1e-3, np.array([79.0, 1.1, 5.0])),),
        "ends": (StageEnd("plain", "all", 1, 1.01),),
        "image": image,
        "residuals": np.where(counts, (target.measured - image) / np.sqrt(image), np.nan),
        "target": target,
        "interrupted": None,
    }
    return Refinement(**(values | changes))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks of the search, which finds the same at once."""
    told: dict[str, Any] = {}

    def found(experiment: Experiment, target: Any, free: Any, **how: Any) -> Refinement:
        told.update(how, experiment=experiment, target=target, free=free)
        changes = told.pop("changes", {})
        return refinement(experiment, target, **changes)

    monkeypatch.setattr(command, "refine", found)
    return told


def run(words: str, status: int = 0) -> None:
    assert main(["refine", *words.split()]) == status


# Names -----------------------------------------------------------------------------------------------------------


def test_short_names_are_fields_of_an_experiment() -> None:
    made_up = {"scale", "crystal.orientation", "crystal.size"}
    fields = {*SHORT.values(), *(name for find in BY_DETECTOR.values() for name in find(Detector()))}
    for name in fields - made_up:
        noun, field = name.split(".")
        assert hasattr(getattr(Experiment(), noun), field), name


@pytest.mark.parametrize(
    ("word", "fields"),
    [
        ("cell", ["crystal.cell"]),
        ("cell[2]", ["crystal.cell[2]"]),
        ("crystal.cell[2]", ["crystal.cell[2]"]),
        ("beam", ["detector.beam_x_mm", "detector.beam_y_mm"]),
        ("tilt", ["detector.rotx_deg", "detector.roty_deg", "detector.rotz_deg"]),
        ("distance", ["detector.distance_mm"]),
    ],
)
def test_words_are_fields(word: str, fields: list[str]) -> None:
    assert list(fields_of(word, Detector(), "-free")) == fields


@pytest.mark.parametrize(
    ("detector", "beam", "distance"),
    [
        (Detector(beam_x_mm=1.0), "detector.beam_x_mm detector.beam_y_mm", "detector.distance_mm"),
        (Detector(close_x_mm=1.0), "detector.close_x_mm detector.close_y_mm", "detector.distance_mm"),
        (Detector(convention="xds"), "detector.close_x_mm detector.close_y_mm", "detector.distance_mm"),
        (Detector(orgx_px=3.0, close_distance_mm=9.0), "detector.orgx_px detector.orgy_px",
         "detector.close_distance_mm"),
        (Detector(convention="custom", origin_mm=(1, 2, 3)), "detector.origin_mm", "detector.distance_mm"),
    ],
)  # fmt: skip
def test_beam_and_distance_are_what_places_the_detector(detector: Detector, beam: str, distance: str) -> None:
    assert fields_of("beam", detector, "-free") == tuple(beam.split())
    assert fields_of("distance", detector, "-free") == (distance,)


def test_a_field_is_freed_once() -> None:
    words = ["tilt", "cell", "detector.rotx_deg", "crystal.cell"]
    assert len(all_fields(words, Detector(), "-free")) == 4


# What it asks for ------------------------------------------------------------------------------------------------


def test_options_are_what_is_asked_for(asked: dict[str, Any]) -> None:
    run(f"{GOOD},beam -system tetragonal -restrain cell=0.2%,beam=0.1 -bounds cell[2]=37:,scale=:9 -stages plain "
        "-precision mixed -threads 1 -background plane -robust -sigma 2 -pedestal -1 -gain 4")  # fmt: skip
    beam = ("detector.beam_x_mm", "detector.beam_y_mm")
    assert asked["free"] == ("crystal.cell", "crystal.misset_deg", "scale", *beam)
    assert asked["restraints"] == {"crystal.cell": "0.2%", **dict.fromkeys(beam, "0.1")}
    assert asked["bounds"] == {"crystal.cell[2]": (37.0, None), "scale": (None, 9.0)}
    others = [asked[name] for name in ("system", "stages", "precision", "threads")]
    assert others == ["tetragonal", "plain", "mixed", 1]
    target = asked["target"]
    np.testing.assert_array_equal(target.measured, (np.load("i.npy") + 1.0) / 4.0)
    assert (len(target.basis), target.robust_z, target.read_noise) == (3, 5.0, 0.5)


def test_what_nobody_says_is_left_to_the_search(asked: dict[str, Any]) -> None:
    run(GOOD)
    assert asked["experiment"] == Experiment.from_toml(Path("start.toml").read_text())
    left = [asked[name] for name in ("system", "restraints", "bounds", "stages", "precision", "threads", "progress")]
    assert left == [None, {}, {}, "auto", "double", None, None]
    assert len(asked["target"].basis) == 1


def test_options_of_a_simulation_say_where_it_starts(asked: dict[str, Any]) -> None:
    run(f"{GOOD} -cell 70 70 30 90 90 90 -background water 0.5")
    assert asked["experiment"].crystal.cell[0] == 70.0
    assert asked["experiment"].background.materials[0].name == "water"
    assert len(asked["target"].basis) == 1
    run(f"{START} -image i.npy -free cell -background none")
    assert asked["experiment"] == Experiment.from_toml(Path("start.toml").read_text())
    assert asked["target"].basis is None


# From counts to numbers ------------------------------------------------------------------------------------------

STILL = ("-cell 40 40 50 90 90 90 -default_F 50 -N 8 -detpixels 64 -pixel 0.4 -distance 100 -lambda 1 -oversample 1 "
         "-misset 12 34 56 -spot_scale 4e7 -flux 1e12 -beamsize 0.05 -exposure 1 -background air 0.02 "
         "-readout counting -seed 1")  # fmt: skip
OFF = "-cell 40.05 40.05 50 90 90 90 -misset 12.03 34 56 -spot_scale 3e7"
WANTED = "-image c.cbf -free cell,misset,scale -system tetragonal -background radial -threads 1 -report r.json"


@pytest.fixture
def still() -> None:
    """What a counter reads of a crystal in air, and a start that is off and knows of no air."""
    truth = Experiment.from_args(STILL.split())
    simulate(truth, "cpu").save("c.cbf", content="counted")
    start = changed(Experiment.from_args(f"{STILL} {OFF}".split()), background={"materials": None})
    Path("off.toml").write_text(start.to_toml())


def test_counts_lead_back_to_the_truth(still: None) -> None:
    run(f"off.toml {WANTED} -png r.png")
    report = json.loads(Path("r.json").read_text())
    truth = [40.0, 40.0, 50.0, 90.0, 90.0, 90.0, 12.0, 34.0, 56.0, 4e7]
    for told, true in zip(report["parameters"], truth, strict=True):
        assert abs(told["value"] - true) <= 4.0 * told["esd"] + 1e-12, told
        assert told["esd"] < 0.02 * true
    fit = report["fit"]["deviance_per_pixel"]
    assert fit["before"] > 1.2
    assert 0.9 < fit["after"] < 1.1
    refined = Experiment.from_toml(Path("refined.toml").read_text())
    assert refined.crystal.cell[0] == report["parameters"][0]["value"]
    start = Experiment.from_toml(Path("off.toml").read_text())
    assert (refined.beam, refined.goniometer, refined.mode) == (start.beam, start.goniometer, start.mode)


def test_what_indexing_left_leads_to_the_truth(still: None) -> None:
    simulate(Experiment.from_toml(Path("off.toml").read_text()), "cpu").save("off.expt")
    crystal = "-default_F 50 -N 8 -oversample 1 -flux 1e12 -beamsize 0.05 -spot_scale 3e7"
    run(f"-img off.expt {crystal} {WANTED}")
    report = json.loads(Path("r.json").read_text())
    numbers = {told["name"]: told for told in report["parameters"]}
    assert numbers["crystal.cell[0]"]["start"] == pytest.approx(40.05)
    for name, true in (("crystal.cell[0]", 40.0), ("crystal.cell[2]", 50.0), ("scale", 4e7)):
        assert abs(numbers[name]["value"] - true) <= 4.0 * numbers[name]["esd"], name
    seen_by_pixels = hkl_map(Experiment.from_args(STILL.split()))
    off, left = (
        float(np.abs(hkl_map(Experiment.from_toml(Path(name).read_text())) - seen_by_pixels).max())
        for name in ("off.toml", "refined.toml")
    )
    assert left < 0.3 * off
    assert report["fit"]["deviance_per_pixel"]["after"] < 1.1


def test_what_was_refined_reads_the_same_counts(capsys: pytest.CaptureFixture[str]) -> None:
    # The read-out is not given: a counter has no pedestal, but what is usual of an ideal one has.
    truth = Experiment.from_args(f"{START} -fluence 1e29 -readout counting -seed 1".split())
    simulate(truth, "cpu").save("c.cbf", content="counted")
    run("start.toml -fluence 1e29 -image c.cbf -free scale -threads 1")
    run("refined.toml -image c.cbf -free scale -threads 1 -o again.toml")
    assert capsys.readouterr().out.count("c.cbf: photons as they are") == 2


def test_a_signal_keeps_the_best_so_far(still: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, normal = [0], Differentiable.normal

    def interrupted(*args: Any, **how: Any) -> Any:
        calls[0] += 1
        if calls[0] == 5:
            raise interruption.Interrupted(signal.SIGTERM)
        return normal(*args, **how)

    monkeypatch.setattr(Differentiable, "normal", interrupted)
    run(f"off.toml {WANTED}", status=143)
    report = json.loads(Path("r.json").read_text())
    assert report["interrupted"] is True
    fit = report["fit"]["deviance_per_pixel"]
    assert fit["after"] < fit["before"]
    cell = [told["value"] for told in report["parameters"][:6]]
    assert Experiment.from_toml(Path("refined.toml").read_text()).crystal.cell == pytest.approx(cell, rel=1e-14)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("phi,misset", "crystal.misset_deg[2] and scan.phi_deg move the image alike"),
        ("cell -curved_det", "gradients are of flat detectors"),
        ("cell -mode c", "gradients are of mode spec"),
        ("crystal.cel", "crystal.cel is not known as a parameter; did you mean crystal.cell"),
        ("cell -system rhombic", "system 'rhombic': give triclinic"),
        ("scale -system rhombic", "system 'rhombic': give triclinic"),
        ("scale -system cubic", "crystal.cell 78 78 38 90 90 90 is not cubic"),
        ("cell -restrain misset=1", "restraints crystal.misset_deg: is not refined"),
        ("cell -bounds cell[0]=50:60", "bounds crystal.cell[0]=50:60: crystal.cell[0] starts at 78"),
        ("cell -restrain cell=x", "restraints crystal.cell=x: give a width above 0"),
    ],
)
def test_what_cannot_be_refined(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(f"start.toml -image i.npy -quiet -free {words}", status=2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert {path.name for path in Path().iterdir()} == {"start.toml", "i.npy"}


# What it leaves --------------------------------------------------------------------------------------------------


def test_everything_is_written(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(f"{GOOD} -o r.toml -report r.json -png r.png")
    refined = Experiment.from_toml(Path("r.toml").read_text())
    assert refined.crystal.cell == (79.1, 79.1, 38.0, 90.0, 90.0, 90.0)
    report = json.loads(Path("r.json").read_text())
    assert Experiment.from_dict(report["experiment"]) == refined
    assert report["image"] == "i.npy"
    assert report["files"] == {"-o": "r.toml", "-report": "r.json", "-png": "r.png"}
    assert {"nbnumba", "numpy"} <= report["versions"].keys()
    assert matplotlib.image.imread("r.png").ndim == 3
    out, err = capsys.readouterr()
    assert out.startswith("i.npy: photons as they are, 256 of 16 x 16 pixels compared, background flat\n")
    assert "crystal.cell[0]" in out
    assert "r.toml  the refined experiment\n" in out
    assert not err
    assert {path.name for path in Path().iterdir()} == {"start.toml", "i.npy", "r.toml", "r.json", "r.png"}


def test_quiet_says_nothing_and_writes_the_experiment(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(f"{GOOD} -quiet")
    assert capsys.readouterr() == ("", "")
    assert {path.name for path in Path().iterdir()} == {"start.toml", "i.npy", "refined.toml"}


@pytest.mark.parametrize(("name", "said"), [("SIGINT", "interrupted"), ("SIGTERM", "terminated")])
def test_interrupted_is_the_best_so_far_and_another_status(
    name: str, said: str, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    number = int(getattr(signal, name))
    asked["changes"] = {"interrupted": number}
    run(f"{GOOD} -report r.json", status=128 + number)
    assert Experiment.from_toml(Path("refined.toml").read_text()).crystal.cell is not None
    assert json.loads(Path("r.json").read_text())["interrupted"] is True
    out, err = capsys.readouterr()
    assert "Interrupted: this is the best that was found so far" in out
    assert err == f"nbnumba refine: {said}; the best that was found so far is written\n"


def test_all_files_or_none(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(command, "save_picture", broken)
    run(f"{GOOD} -report r.json -png r.png", status=4)
    assert {path.name for path in Path().iterdir()} == {"start.toml", "i.npy"}


# What it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [
        (79.13412, 0.0031, "79.134(3)"),
        (79.13412, 0.0019, "79.1341(19)"),
        (79.13412, 0.00195, "79.134(2)"),
        (79.13412, 0.00199, "79.134(2)"),
        (-0.00001, 0.5, "-0.0(5)"),
        (0.5, 0.0099, "0.500(10)"),
        (0.5, 0.95, "0.5(10)"),
        (1234.5, 23.0, "1230(20)"),
        (1234.5, 17.0, "1234(17)"),
        (1234.5, 9.7, "1234(10)"),
        (1.5e12, 3.0e9, "1.500(3)e12"),
        (-3.2e-8, 4e-10, "-3.20(4)e-8"),
        (2.0, 5.0e6, "0(5)e6"),
        (90.0, 0.0, "90"),
        (90.0, math.inf, "90"),
        (math.nan, 1.0, "nan"),
    ],
)
def test_standard_deviations_in_the_last_digit(value: float, esd: float, text: str) -> None:
    assert with_esd(value, esd) == text


def test_report_for_people() -> None:
    lines = text_of(refinement(Experiment.from_args(START.split()))).splitlines()
    assert lines == [
        "                  start    refined",
        "crystal.cell[0]  78.000  79.101(3)  Å",
        "crystal.cell[1]  78.000  79.101(3)  Å = crystal.cell[0]",
        "crystal.cell[3]      90         90  deg fixed",
        "scale             1.000  1.230(14)",
        "background[0]             5.00(10)  photons",
        "",
        "                  before  after",
        "R                 0.5000  0.1000",
        "CC                0.3000  0.9900",
        "deviance a pixel       4  1.01",
        "",
        "plain: all  1 step  deviance 1.01 a pixel",
        "",
        "correlated, so that the image hardly tells them apart:",
        "  crystal.cell[0], scale: 0.970",
        "",
        "Of correlated numbers restrain one (-restrain), or leave it out of -free.",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"deviance": BeforeAfter(4.0, 1.01)}, []),
        ({"deviance": BeforeAfter(4.0, 3.95)}, ["Hardly anything", "The start: 0.22 fringes off"]),
        ({"deviance": BeforeAfter(4.0, 1.9)}, ["The deviance is 1.9 a pixel", "The start: 0.22"]),
        ({"deviance": BeforeAfter(1.0, 1.0)}, []),
        ({"interrupted": 2}, ["Interrupted:"]),
    ],
)
def test_what_to_do(changes: dict[str, Any], said: list[str]) -> None:
    found = advice(refinement(Experiment(), correlation=np.identity(3), **changes))
    assert [line for line, words in zip(found, said, strict=True) if not line.startswith(words)] == []


def test_report_for_programs() -> None:
    result = refinement(Experiment(), esd=np.array([0.0031, math.inf, math.nan]))
    report = json.loads(json_text(as_json(result)))
    assert list(report) == [
        "parameters", "free", "fit", "fringes", "stages", "history", "correlated", "advice", "interrupted"
    ]  # fmt: skip
    assert report["parameters"][1] == {
        "name": "crystal.cell[1]", "unit": "Å", "start": 78.0, "value": 79.10123, "esd": 0.0031,
        "equals": "crystal.cell[0]",
    }  # fmt: skip
    assert report["free"]["names"] == ["crystal.cell[0]", "scale", "background[0]"]
    assert report["free"]["esd"] == [0.0031, "inf", "nan"]
    assert report["free"]["correlation"][0] == [1.0, 0.97, 0.0]
    assert report["fit"] == {"r_factor": {"before": 0.5, "after": 0.1}, "cc": {"before": 0.3, "after": 0.99},
                             "deviance_per_pixel": {"before": 4.0, "after": 1.01}, "pixels": 256}  # fmt: skip
    assert report["fringes"] == {"orientation": 0.2, "strain": 0.1}
    assert report["stages"] == [{"way": "plain", "stage": "all", "iterations": 1, "deviance_per_pixel": 1.01}]
    assert report["history"] == [{"way": "plain", "stage": "all", "number": 1, "deviance_per_pixel": 2.0,
                                  "damping": 1e-3, "values": [79.0, 1.1, 5.0]}]  # fmt: skip


# The picture -----------------------------------------------------------------------------------------------------


def test_picture_shows_data_and_model_alike_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what matplotlib draws: a block of pixels that does not fit, one that is masked."""
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **how: (drawn.append(figure), save(figure, *args, **how))
    )
    size = 1000
    model, counts = np.full((size, size), 4.0), np.ones((size, size), bool)
    counts[:2, :2], model[4:6] = False, 100.0
    data = model.copy()
    data[2:4, 2:4] += 3.0
    z = (data - model) / np.sqrt(model)
    save_picture("p.png", data, model, z, counts, "title")
    images = [axes.images[0] for axes in drawn[0].axes if axes.get_title()]
    assert [axes.get_title() for axes in drawn[0].axes if axes.get_title()] == ["data", "model", "residual"]
    assert images[0].norm is images[1].norm
    shown = [np.ma.filled(image.get_array(), np.nan) for image in images]
    assert shown[0].shape == (size // 2, size // 2)
    assert np.isnan(shown[2][0, 0])
    np.testing.assert_allclose(shown[0][1, 1], 7.0)
    np.testing.assert_allclose(shown[1][2, 9], 100.0)
    np.testing.assert_allclose(shown[2][1, 1], 4 * 1.5 / 2.0)
    assert shown[2][3, 3] == 0.0
    assert matplotlib.image.imread("p.png").shape[1] > 3 * size // 2


# What cannot be --------------------------------------------------------------------------------------------------


BAD = {
    "start.toml -free cell": (2, "-image FILE is needed"),
    "start.toml -image i.npy": (2, "-free NAME,NAME,... is needed"),
    "start.toml -image i.npy -free": (2, "-free needs a value: NAME,NAME,..."),
    "start.toml -image i.npy -free cll": (2, "-free 'cll': there is no such name; did you mean cell"),
    "start.toml -image i.npy -free xyzzy": (2, "-free 'xyzzy': there is no such name; give one of cell, misset"),
    "start.toml -image i.npy -free beam[0]": (2, "-free beam[0]: beam is detector.beam_x_mm, detector.beam_y_mm"),
    "start.toml -image i.npy -free cell,,scale": (2, "-free 'cell,,scale': give names with a comma between them"),
    "gone.toml -image i.npy -free cell": (3, "cannot read the experiment gone.toml: there is no such file"),
    "i.npy -image i.npy -free cell": (3, "i.npy"),
    "start.toml -image gone.img -free cell": (3, "cannot read the image gone.img"),
    f"{GOOD} -restrain cell": (2, "-restrain 'cell': give NAME=width, such as 0.1 or 0.2%"),
    f"{GOOD} -restrain cel=1": (2, "-restrain 'cel': there is no such name; did you mean cell"),
    f"{GOOD} -bounds cell=3": (2, "-bounds crystal.cell=3: give least:most"),
    f"{GOOD} -bounds cell=:": (2, "-bounds crystal.cell=:: give least:most"),
    f"{GOOD} -bounds cell=a:b": (2, "-bounds crystal.cell=a:b: give least:most"),
    f"{GOOD} -stages some": (2, "-stages 'some': give auto or plain"),
    f"{GOOD} -gain much": (2, "-gain 'much': give a number"),
    f"{GOOD} -frame 0": (2, "-frame 0: give a whole number, 1 or more"),
    f"{GOOD} -background gone": (2, "-background gone: is neither flat, plane, radial nor none"),
    f"{GOOD} -mask gone.img": (3, "cannot read the image gone.img"),
    f"{GOOD} -images 3": (2, "no image is written: leave out"),
    f"{GOOD} -floatfile f.bin": (2, "no image is written: leave out"),
    f"{GOOD} -show": (2, "no image is written: leave out"),
    f"{GOOD} -backend cuda": (2, "-backend cuda: images are refined on the CPU"),
    f"{GOOD} -o i.npy": (2, "-o i.npy is an input file too"),
    f"{GOOD} -report start.toml": (2, "-report start.toml is an input file too"),
    f"{GOOD} -o r.x -report r.x": (2, "-o r.x: two files of one name"),
    f"{GOOD} -o gone/r.toml": (4, "cannot write gone/r.toml: there is no folder"),
    f"{GOOD} -detpixels 8": (3, "-image i.npy: has 16 x 16 pixels, the detector 8 x 8"),
    f"{GOOD} -nonsense": (2, "unknown option -nonsense"),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    words: str, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = BAD[words]
    run(words, status)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("nbnumba refine: ")
    assert said in err
    assert not asked
    assert {path.name for path in Path().iterdir()} == {"start.toml", "i.npy"}


def test_help_is_within_100_columns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["refine", "-h"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert [name for name in (*SHORT, *BY_DETECTOR, *command.VALUED) if name not in out] == []
    assert {option for option, *_ in command.HELP} >= {"-image", "-robust", *command.VALUED}


def test_names_that_are_none() -> None:
    with pytest.raises(UsageError, match="-free 'misse': there is no such name; did you mean misset"):
        fields_of("misse", Detector(), "-free")
