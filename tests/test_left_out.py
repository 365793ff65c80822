"""What is told of samples that were left out: by renderers, of images, in reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nbnumba import (
    Detector,
    Differentiable,
    Experiment,
    NbnumbaError,
    UsageError,
    changed,
    rotation_series,
    simulate,
    simulate_many,
)
from nbnumba.cli import main
from nbnumba.comparison.trace import trace_backend, trace_pixel
from nbnumba.kernels.plan import Plan
from nbnumba.left_out import LeftOut
from nbnumba.render import reference
from nbnumba.render.backends import How, Outcome
from nbnumba.render.canvas import Canvas
from nbnumba.render.left_out import PLAIN, all_evaluated, together
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

# Images of few samples.
pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

LINE = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -detpixels 8 -pixel 4 -oversample 1"
OUTPUTS = ["-nonoise", "-nopgm", "-floatfile", "f.bin", "-intfile", "i.img"]
STILL = Experiment.from_args(LINE.split())
TOLERANT = changed(STILL, sampling={"tolerance_photons": 0.5})
ALL = {"tolerance_photons": 1e30}
"""By which every sample of an image may be left out."""
PANELS = [
    {"name": "wide", "fast_pixels": 6, "slow_pixels": 8, "origin_mm": (-20, -16, 100), "fast_step_mm": (4, 0, 0),
     "slow_step_mm": (0, 4, 0)},
    {"name": "narrow", "fast_pixels": 2, "slow_pixels": 8, "origin_mm": (10, -16, 100), "fast_step_mm": (4, 0, 0),
     "slow_step_mm": (0, 4, 0)},
]  # fmt: skip


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


# An image of several plans -----------------------------------------------------------------------------------------


@pytest.fixture
def four_plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Those that a renderer met, which says of each another share and bound."""
    met: list[Plan] = []

    def render(plan: Plan, how: How, canvas: Canvas) -> Outcome:
        canvas.leave_dark()
        met.append(plan)
        number = len(met)
        return Outcome("told", 0.0, LeftOut(number / 10, float(number**2), "" if number % 2 else "why"))

    monkeypatch.setattr(reference, "BACKEND", replace(reference.BACKEND, render=render))
    return met


def test_an_image_has_the_mean_share_and_the_bounds_of_a_panels_lattices(four_plans: list[Plan]) -> None:
    two = replace(TOLERANT, detector=Detector(convention="dials", panels=PANELS))
    told = simulate(changed(two, crystal={"lattices": [{"weight": 0.5}]}), backend="reference").left_out
    assert [plan.detector.fast_pixels for plan in four_plans] == [6, 6, 2, 2]
    share = (6 * 0.1 + 6 * 0.2 + 2 * 0.3 + 2 * 0.4) / 16
    # Of the second panel, 9 + 16 photons; of the first 1 + 4.
    assert told == LeftOut(pytest.approx(share), 25.0, "why")
    assert [plan.tolerance for plan in four_plans] == [0.25] * 4


def test_a_plan_counts_by_its_samples() -> None:
    plan = resolved(TOLERANT).plan
    half = plan._replace(detector=plan.detector._replace(roi=(0, 3, 0, 7)))
    twice = plan._replace(crystal=plan.crystal._replace(phi=np.zeros(2)))
    fine, layered = plan._replace(oversample=3), plan._replace(detector=plan.detector._replace(layers=5))
    sources = plan._replace(sources=plan.sources._replace(weight=np.ones(7)))
    for other, times in ((half, 0.5), (twice, 2), (fine, 9), (layered, 5), (sources, 7)):
        told = together([plan, other], [LeftOut(0.5, 0.0), LeftOut(0.0, 0.0)], 1)
        assert told == LeftOut(pytest.approx(0.5 / (1 + times)), 0.0)


def test_of_tolerance_0_nothing_is_told() -> None:
    assert simulate(STILL, backend="reference").left_out is None
    assert [image.left_out for image in simulate_many([STILL], backend="reference")] == [None]


def test_an_experiment_with_a_tolerance_comes_back_from_options_and_toml() -> None:
    assert "-tolerance" in TOLERANT.to_args()
    assert Experiment.from_args(TOLERANT.to_args()) == TOLERANT == Experiment.from_toml(TOLERANT.to_toml())


# Where the tolerance counts nothing --------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "P1.hkl"
    path.write_text("".join(f"{h} {k} {l} 50\n" for h in (-3, 3) for k in (-3, 3) for l in (-3, 3)))
    return str(path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", PLAIN),
        ("-mode c", PLAIN),
        ("-spot_scale 0", "nothing scatters"),
        ("-mode c -oversample_thick", "mode c evaluates in serial order, where factors are oversampled (C-11)"),
        ("-oversample_thick", PLAIN),
        ("-mode c -interpolate", "mode c evaluates in serial order, where it interpolates (C-10)"),
        ("-interpolate", PLAIN),
    ],
)
def test_what_ignores_it_says_why_and_renders_all(words: str, why: str, table: str) -> None:
    exact = Experiment.from_args(f"{LINE} -hkl {table} {words}".split())
    told = changed(exact, sampling={"tolerance_photons": 0.5})
    image = simulate(told, backend="reference")
    assert image.left_out == LeftOut(1.0, 0.0, why)
    np.testing.assert_array_equal(image.photons, simulate(exact, backend="reference").photons)


@pytest.mark.parametrize("words", ["-mode c -oversample_thick", "-mode c -interpolate"])
def test_what_depends_on_order_ignores_it_on_the_cpu(words: str, table: str) -> None:
    exact = Experiment.from_args(f"{LINE} -hkl {table} {words}".split())
    image = simulate(changed(exact, sampling={"tolerance_photons": 1e9}), backend="cpu")
    np.testing.assert_array_equal(image.photons, simulate(exact, backend="cpu").photons)
    assert image.photons.any()


def test_a_plan_without_a_tolerance_tells_nothing() -> None:
    assert all_evaluated(resolved(STILL).plan, "why") is None


# What is said ------------------------------------------------------------------------------------------------------


def test_a_run_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*LINE.split(), *OUTPUTS, "-backend", "reference", "-report", "r.json"]
    assert main([*words, "-tolerance", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "samples are left out that together change no pixel by more than 0.5 photons" in said
    assert f"all samples evaluated: {PLAIN}\n" in said
    report = json.loads(Path("r.json").read_text())
    assert report["left_out"] == {"share": 1.0, "spent_photons": 0.0, "why": PLAIN}
    assert report["experiment"]["sampling"]["tolerance_photons"] == 0.5
    assert main(words) == 0
    assert "samples are left out" not in (said := capsys.readouterr().out)
    assert "all samples evaluated" not in said
    assert json.loads(Path("r.json").read_text())["left_out"] is None


def test_a_run_of_several_images_reports_the_range(
    four_plans: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*LINE.split(), *OUTPUTS, "-backend", "reference", "-report", "r.json", "-tolerance", "0.5"]
    assert main([*words, "-osc", "1", "-images", "2"]) == 0
    said = "10 to 20 % of all samples evaluated, at most 4 photons left out of a pixel; all in a part: why\n"
    assert said in capsys.readouterr().out
    images = json.loads(Path("r.json").read_text())["images"]
    assert [image["left_out"]["spent_photons"] for image in images] == [1.0, 4.0]


def test_a_series_tells_it_of_each_image(four_plans: list[Plan]) -> None:
    turning = changed(TOLERANT, scan={"oscillation_deg": 1.0})
    images = simulate_many(rotation_series(turning, 2), backend="reference")
    assert [image.left_out for image in images] == [LeftOut(0.1, 1.0), LeftOut(0.2, 4.0, "why")]


# What evaluates all, whoever renders -------------------------------------------------------------------------------


def test_derivatives_are_of_all_samples() -> None:
    exact, tolerant = (Differentiable(one, ["scale"]) for one in (STILL, changed(TOLERANT, sampling=ALL)))
    for whole, told in zip(exact.jacobian([2.0]), tolerant.jacobian([2.0]), strict=True):
        np.testing.assert_array_equal(whole, told)
    assert exact.image([2.0]).any()


def test_a_trace_is_of_all_samples() -> None:
    exact, tolerant = resolved(STILL), resolved(changed(TOLERANT, sampling=ALL))
    assert trace_pixel(exact, 3, 4) == trace_pixel(tolerant, 3, 4)
    other = trace_backend(tolerant, 3, 4, "cpu", "double")
    assert other == trace_backend(exact, 3, 4, "cpu", "double")
    assert other.scaling["floatimage_accumulated"] > 0.0


# What cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), 1e61])
def test_a_tolerance_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=r"^-tolerance "):
        simulate(changed(STILL, sampling={"tolerance_photons": value}))


@pytest.mark.parametrize("word", ["-1", "nan", "inf", "much"])
def test_a_word_that_is_no_tolerance_is_refused(word: str) -> None:
    with pytest.raises(NbnumbaError, match=r"^-tolerance ") as error:
        simulate(Experiment.from_args([*LINE.split(), "-tolerance", word]))
    assert "\n" not in str(error.value)
