"""Detectors by name: their sizes, their gaps, and what wins over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nbnumba import Detector, Experiment, Panel, UsageError, changed, simulate
from nbnumba.cli import main
from nbnumba.commands.report import describe
from nbnumba.experiment.presets import PRESETS
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

CRYSTAL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -water 5".split()
BLIND_PERCENT = {
    "pilatus-100k": 0.0, "pilatus-300k": 5.49, "pilatus-1m": 7.19, "pilatus-2m": 7.97, "pilatus-6m": 8.45,
    "eiger2-4m": 5.82, "eiger2-16m": 6.91,
}  # fmt: skip
"""As their makers and the field's masks have it."""


def named(name: str, options: str = "") -> Experiment:
    return Experiment.from_args([*CRYSTAL, "-detector", name, *options.split()])


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment), seed=1)


def smv(path: Path, fast: int, slow: int, pixels: np.ndarray | None = None, header: str = "") -> str:
    text = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1={fast};\nSIZE2={slow};\n{header}}}"
    values = np.ones((slow, fast)) if pixels is None else pixels
    path.write_bytes(text.encode().ljust(512) + values.astype("<u2").tobytes())
    return str(path)


@pytest.mark.parametrize("name", PRESETS)
def test_whole_modules_fill_a_detector(name: str) -> None:
    preset = PRESETS[name]
    for pixels, module, gap in zip(preset[:2], preset.module, preset.gap, strict=True):
        assert module == 0 or (pixels + gap) % (module + gap) == 0


@pytest.mark.parametrize("name", BLIND_PERCENT)
def test_gaps_are_not_rendered(name: str) -> None:
    detector = resolved(named(name)).plan.detector
    preset = PRESETS[name]
    assert (detector.fast_pixels, detector.slow_pixels, detector.pixel) == (*preset[:2], preset.pixel_mm / 1000.0)
    blind = (detector.mask == 0).mean() if detector.mask.size else 0.0
    assert round(100.0 * blind, 2) == BLIND_PERCENT[name]


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_a_named_detector_is_the_one_spelled_out(mode: str) -> None:
    given = f"-mode {mode} -roi 470 486 190 220 -distance 90"
    by_name = named("pilatus-300k", given)
    mask = np.ones((619, 487), np.uint8)
    mask[195:212] = mask[407:424] = 0
    spelled_out = changed(
        by_name, detector={"preset": None, "fast_pixels": 487, "slow_pixels": 619, "pixel_mm": 0.172, "mask": mask}
    )
    one, other = resolved(by_name), resolved(spelled_out)
    for name in ("panels", "steps", "recommended_oversample", "labels"):
        assert getattr(one, name) == getattr(other, name)
    assert one.plan.detector._replace(mask=None) == other.plan.detector._replace(mask=None)
    np.testing.assert_array_equal(one.plan.detector.mask, mask)
    images = [simulate(experiment, backend="cpu").photons for experiment in (by_name, spelled_out)]
    np.testing.assert_array_equal(*images)
    assert not images[0][195:212].any()
    assert images[0][190:195, 480:487].all()
    assert images[0][212:221, 480:487].all()


def test_what_is_given_wins() -> None:
    detector = resolved(named("eiger2-4m", "-detpixels_f 1050 -pixel 0.1")).plan.detector
    assert (detector.fast_pixels, detector.slow_pixels, detector.pixel) == (1050, 2162, 1e-4)
    assert detector.mask[0].tolist() == [1] * 1028 + [0] * 12 + [1] * 10
    detector = resolved(named("eiger2-4m", "-detsize 7.5")).plan.detector
    assert (detector.fast_pixels, detector.slow_pixels) == (100, 100)


@pytest.mark.parametrize("option", ["img", "mask"])
def test_files_win(option: str, tmp_path: Path) -> None:
    image = smv(tmp_path / "a.img", 500, 200, header="PIXEL_SIZE=0.2;\nDISTANCE=90;\nWAVELENGTH=1;\n")
    detector = resolved(named("pilatus-6m", f"-{option} {image}")).plan.detector
    assert (detector.fast_pixels, detector.slow_pixels, detector.pixel) == (500, 200, 2e-4)


@pytest.mark.filterwarnings("error")
def test_a_header_without_a_pixel_size_gets_that_of_the_name(tmp_path: Path) -> None:
    image = smv(tmp_path / "a.img", 487, 195, header="DISTANCE=90;\nWAVELENGTH=1;\nBEAM_CENTER_X=9;\n")
    assert resolved(named("pilatus-100k", f"-img {image}")).plan.detector.pixel == 0.172 / 1000.0


def test_gaps_and_a_mask_are_both_left_out(tmp_path: Path) -> None:
    pixels = np.ones((619, 487))
    pixels[:, 100] = 0
    header = "PIXEL_SIZE=0.172;\nDISTANCE=90;\nWAVELENGTH=1;\nBEAM_CENTER_X=9;\n"
    path = smv(tmp_path / "mask.img", 487, 619, pixels, header)
    by_file = named("pilatus-300k", f"-mask {path}")
    in_memory = changed(named("pilatus-300k"), detector={"mask": pixels.astype(bool)})
    for experiment in (by_file, in_memory):
        mask = resolved(experiment).plan.detector.mask
        assert not mask[:, 100].any()
        assert not mask[195:212].any()
        assert mask.sum() == 3 * 195 * 486


def test_a_name_goes_round() -> None:
    experiment = named("jungfrau-4m", "-distance 80")
    assert experiment.detector == Detector(preset="jungfrau-4m", distance_mm=80, pivot=experiment.detector.pivot)
    assert "-detector jungfrau-4m" in " ".join(experiment.to_args())
    assert Experiment.from_args(experiment.to_args()) == experiment
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    assert Experiment.from_toml('[detector]\npreset = "jungfrau-4m"\n').detector.preset == "jungfrau-4m"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Pilatus6M", "did you mean pilatus-6m or pilatus3-6m"),
        ("film", "nbnumba detectors lists all"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(name: str, advice: str) -> None:
    with pytest.raises(UsageError, match=f"^-detector {name}: no such detector is known; {advice}"):
        resolved(named(name))


def test_panels_have_no_name_beside_them() -> None:
    panel = Panel("", 8, 8, (0, 0, 100), (0.1, 0, 0), (0, 0.1, 0))
    experiment = changed(named("pilatus-6m"), detector=Detector(preset="pilatus-6m", panels=[panel]))
    with pytest.raises(UsageError, match=r"detector\.preset beside detector\.panels"):
        resolved(experiment)


def test_the_report_names_it_and_its_gaps() -> None:
    text = describe(resolved(named("pilatus-300k", "-beamstop 1")), [], [])
    assert "pilatus-300k: 487 x 619 pixels (fast x slow) of 0.172 mm" in text
    assert "gaps of pilatus-300k and beamstop of 1 mm radius: " in text
    assert "gaps" not in describe(resolved(named("pilatus-100k", "-beamstop 1")), [], [])


def test_detectors_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert next(line for line in lines if line.startswith("pilatus-6m")).split() == (
        "pilatus-6m 2463 x 2527 0.172 487 x 195 7 x 17 8.45%".split()
    )
