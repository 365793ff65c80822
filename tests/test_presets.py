"""Detectors by name: their sizes, their gaps, and what wins over them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from nbnumba import Detector, Experiment, NbnumbaWarning, Panel, UsageError, changed, simulate
from nbnumba.cli import main
from nbnumba.commands.report import describe
from nbnumba.experiment.presets import PRESETS
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.setup.sensor import attenuation_depth_um

CRYSTAL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -water 5".split()
BLIND_PERCENT = {
    "pilatus-100k": 0.00, "pilatus-300k": 5.49, "pilatus-1m": 7.19, "pilatus-2m": 7.97, "pilatus-6m": 8.45,
    "pilatus3-cdte-300k": 6.07, "pilatus3-cdte-1m": 7.76, "pilatus3-cdte-2m": 8.54,
    "eiger-500k": 0.00, "eiger-1m": 3.47, "eiger-4m": 5.58, "eiger-9m": 6.27, "eiger-16m": 6.61,
    "eiger2-500k": 0.00, "eiger2-1m": 3.58, "eiger2-4m": 5.82, "eiger2-9m": 6.55, "eiger2-16m": 6.91,
    "eiger2-cdte-500k": 0.19, "eiger2-cdte-1m": 3.77, "eiger2-cdte-4m": 6.01, "eiger2-cdte-9m": 6.73,
    "eiger2-cdte-16m": 7.09,
    "jungfrau-1m": 3.38, "jungfrau-4m": 5.36, "mar165": 21.46,
}  # fmt: skip
"""Of the masks of pyFAI 2026.9.0."""
MASKS = {
    "pilatus-300k": "0a2515845e366449", "pilatus-1m": "dea5a4a7a1a330f0", "pilatus-2m": "114c4dab81547e6c",
    "pilatus-6m": "2c5bb42d02acb135", "pilatus3-cdte-300k": "b6498ca7f6d3b2c6", "pilatus3-cdte-1m": "9cca79c995f33a58",
    "pilatus3-cdte-2m": "7c46e5caf66ec440", "jungfrau-1m": "1e23a431073c1c5c", "jungfrau-4m": "b573acef538d30ad",
    "eiger2-cdte-500k": "a42bfed8fcd56497", "eiger-1m": "0c8211b6fc8100c3", "eiger2-1m": "6d7e6dc87668a1d3",
    "eiger2-cdte-1m": "61e2ec2be3effba3", "eiger-4m": "6849b62b25a20065", "eiger2-4m": "413f897d471e9f7f",
    "eiger2-cdte-4m": "e8bca5a9d5e0c74c", "eiger-9m": "94d63c28783e13c7", "eiger2-9m": "4f11dc36e2aa5872",
    "eiger2-cdte-9m": "5af4586ffad4f348", "eiger-16m": "249811356eb58679", "eiger2-16m": "d029196801bcf86c",
    "eiger2-cdte-16m": "b6913d79e478c966", "mar165": "1ecaa94112beb05b",
}  # fmt: skip
"""How SHA-256 of their bits begins, row by row, 1 where a pixel counts."""
DEPTHS_UM = {
    "Si": {5.1: 18.61709, 6.4: 35.3764, 8.048: 68.49089, 9.2: 101.299, 10.2: 137.3373, 10.6: 153.9172, 11.5: 196.1313,
           12.4: 245.6674, 12.66: 261.4339, 13.3: 303.182, 15: 435.9719, 17.48: 694.6618, 20: 1050.04, 22.2: 1448.787,
           25: 2093.751},
    "CdTe": {5.1: 2.154363, 6.4: 3.863176, 8.048: 7.063137, 9.2: 10.10174, 10.2: 13.32686, 10.6: 14.80239,
             11.5: 18.49038, 12.4: 22.71307, 12.66: 24.03682, 13.3: 27.5007, 15: 38.18975, 17.48: 58.40325,
             20: 84.88323, 22.2: 113.8431, 25: 159.005},
    "GaAs": {5.1: 8.059269, 6.4: 15.0295, 8.048: 28.3574, 9.2: 41.25829, 10.2: 55.10854, 10.6: 16.01952, 11.5: 19.80082,
             12.4: 12.59934, 12.66: 13.28765, 13.3: 15.08503, 15: 20.6426, 17.48: 31.11991, 20: 45.0015, 22.2: 60.03465,
             25: 83.54351},
}  # fmt: skip
"""By energy in keV, from CS_Photo_CP of xraylib 4.3.0; few of them are rows of the table."""


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
    assert preset.blind_share == pytest.approx(blind, abs=1e-12)
    if name in MASKS:
        assert hashlib.sha256(np.packbits(detector.mask).tobytes()).hexdigest().startswith(MASKS[name])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PRESETS)
def test_a_name_stands_for_sensor_and_readout(name: str) -> None:
    preset = PRESETS[name]
    found = resolved(named(name, "-lambda 1")).experiment
    detector = found.detector
    assert (detector.fast_pixels, detector.slow_pixels, detector.pixel_mm) == preset[:3]
    assert detector.sensor_material == preset.sensor
    if preset.sensor == "phosphor":
        assert (preset.thickness_um, detector.thickness_um, detector.attenuation_depth_um) == (40, 0, None)
    else:
        depth = attenuation_depth_um(preset.sensor, 12.39842)
        assert (detector.thickness_um, detector.attenuation_depth_um) == (preset.thickness_um, pytest.approx(depth))
    assert {field: getattr(found.readout, field) for field in preset.readout} == preset.readout
    assert preset.readout["kind"] == {"Si": "counting", "CdTe": "counting"}.get(preset.sensor, "integrating") or (
        name.startswith("jungfrau") and preset.readout["kind"] == "switching"
    )
    assert len(preset.sources) >= 2


# Sensors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("material", DEPTHS_UM)
def test_depths_are_those_of_xraylib(material: str) -> None:
    for kev, depth in DEPTHS_UM[material].items():
        assert attenuation_depth_um(material, kev) == pytest.approx(depth, rel=1e-3)
    ends = [attenuation_depth_um(material, kev) for kev in (5.0, 30.0)]
    assert ends == pytest.approx(
        {"Si": [17.612, 3698.8], "CdTe": [2.0484, 81.249], "GaAs": [7.6345, 139.58]}[material], 1e-3
    )


def test_edges_are_steps() -> None:
    for material, kev, ratio in (("GaAs", 10.367, 3.8), ("GaAs", 11.867, 1.9), ("CdTe", 26.7102, 3.2)):
        below, above = (attenuation_depth_um(material, kev + shift) for shift in (-1e-3, 1e-3))
        assert below / above == pytest.approx(ratio, rel=0.03)


@pytest.mark.parametrize(
    ("options", "depth_um"),
    [
        ("-energy 12400", 245.6674),
        ("-energy 8048", 68.49089),
        ("-two_colour 12300 1 12500 1", 245.68),
        ("-lambda 1 -two_colour 8000 1 8096 1", 68.49),
        ("-energy 12400 -detector_material GaAs", 12.59934),
        ("-energy 12400 -detector_abs 300", 300.0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*(counts for headers|options and files win)")
def test_the_photons_say_how_deep_they_go(options: str, depth_um: float) -> None:
    found = resolved(named("pilatus3-300k", options))
    assert found.experiment.detector.attenuation_depth_um == pytest.approx(depth_um, rel=1e-3)
    assert found.plan.detector.attenuation == pytest.approx(1e6 / depth_um, rel=1e-3)
    assert found.plan.detector.layer_step * found.plan.detector.layers == pytest.approx(450e-6)


def test_the_wavelength_may_be_of_a_header_or_of_sources(tmp_path: Path) -> None:
    header = f"PIXEL_SIZE=0.172;\nDISTANCE=90;\nWAVELENGTH={12.39842 / 8.048:.6f};\nBEAM_CENTER_X=9;\n"
    image = smv(tmp_path / "a.img", 487, 195, header=header)
    sources = tmp_path / "sources.txt"
    sources.write_text(f"-10 0 0 1 {12.39842e-10 / 8.048:.6e}\n")
    for option in (f"-img {image}", f"-sourcefile {sources}"):
        depth = resolved(named("pilatus-100k", option)).experiment.detector.attenuation_depth_um
        assert depth == pytest.approx(DEPTHS_UM["Si"][8.048], rel=1e-3)


def test_a_sensor_records_what_it_absorbs() -> None:
    line = "-lambda 0.99987 -distance 500 -roi 240 243 95 98"
    with pytest.warns(NbnumbaWarning, match="a sensor of 0 µm, not 450"):
        every = simulate(named("pilatus3-100k", f"{line} -detector_thick 0"), backend="cpu").photons[95:99, 240:244]
    found = simulate(named("pilatus3-100k", line), backend="cpu").photons[95:99, 240:244]
    assert every.min() > 0
    np.testing.assert_allclose(found / every, 1.0 - math.exp(-450.0 / 245.67), rtol=1e-3)


@pytest.mark.parametrize("ev", [4900, 30100, 60000])
def test_energies_outside_the_table_are_refused(ev: int) -> None:
    for named_by, line in (("-detector eiger2-4m", ""), ("-detector_material Si", "-detector_thick 300")):
        experiment = Experiment.from_args([*CRYSTAL, *f"{named_by} {line} -energy {ev}".split()])
        message = f"^{named_by}: how Si absorbs is known from 5 to 30 keV, not at {ev / 1000:g}: give -detector_abs"
        with pytest.raises(UsageError, match=message):
            resolved(experiment)
    assert resolved(named("eiger2-4m", f"-energy {ev} -detector_abs 5000")).plan.detector.layers == 2
    with pytest.warns(NbnumbaWarning, match="a sensor of 0 µm, not 450"):
        assert resolved(named("eiger2-4m", f"-energy {ev} -detector_thick 0")).plan.detector.layers == 1
    assert resolved(named("adsc-q4-2x2", f"-energy {ev}")).plan.detector.layers == 1


def test_a_material_needs_a_thickness_and_no_name() -> None:
    experiment = Experiment.from_args([*CRYSTAL, *"-detector_material CdTe -detector_thick 750 -energy 20000".split()])
    assert resolved(experiment).experiment.detector.attenuation_depth_um == pytest.approx(84.883, rel=1e-3)
    with pytest.warns(NbnumbaWarning, match="^-detector_material CdTe absorbs nothing without -detector_thick"):
        resolved(Experiment.from_args([*CRYSTAL, *"-detector_material CdTe".split()]))


# What wins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_a_named_detector_is_the_one_spelled_out(mode: str) -> None:
    given = f"-mode {mode} -roi 470 486 190 220 -distance 90"
    by_name = named("pilatus-300k", given)
    mask = np.ones((619, 487), np.uint8)
    mask[195:212] = mask[407:424] = 0
    sensor = {"thickness_um": 320.0, "attenuation_depth_um": attenuation_depth_um("Si", 12.39842)}
    sizes = {"fast_pixels": 487, "slow_pixels": 619, "pixel_mm": 0.172}
    spelled_out = changed(by_name, detector={"preset": None, "mask": mask, **sizes, **sensor})
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
    won = "^-detector eiger2-4m: options and files win over what the name stands for: "
    with pytest.warns(NbnumbaWarning, match=f"{won}1050 pixels along fast, not 2068; pixels of 0.1 mm, not 0.075$"):
        detector = resolved(named("eiger2-4m", "-detpixels_f 1050 -pixel 0.1")).plan.detector
    assert (detector.fast_pixels, detector.slow_pixels, detector.pixel) == (1050, 2162, 1e-4)
    assert detector.mask[0].tolist() == [1] * 1028 + [0] * 12 + [1] * 10
    with pytest.warns(NbnumbaWarning, match=f"{won}100 pixels along fast, not 2068; 100 pixels along slow, not 2162$"):
        detector = resolved(named("eiger2-4m", "-detsize 7.5")).plan.detector
    assert (detector.fast_pixels, detector.slow_pixels) == (100, 100)
    with pytest.warns(NbnumbaWarning, match=f"{won}a sensor of CdTe, not Si; a sensor of 320 µm, not 450$"):
        sensor = resolved(named("eiger2-4m", "-detector_material cdte -detector_thick 320")).experiment.detector
    assert (sensor.sensor_material, sensor.thickness_um) == ("CdTe", 320.0)


@pytest.mark.filterwarnings("error")
def test_what_is_as_the_name_has_it_is_no_contradiction() -> None:
    same = "-detpixels_f 2068 -detsize_s 162.15 -pixel 0.075 -detector_thick 450 -detector_material Si"
    once = resolved(named("eiger2-4m", same))
    assert resolved(once.experiment).experiment == once.experiment


@pytest.mark.parametrize("option", ["img", "mask"])
def test_files_win(option: str, tmp_path: Path) -> None:
    image = smv(tmp_path / "a.img", 500, 200, header="PIXEL_SIZE=0.2;\nDISTANCE=90;\nWAVELENGTH=1;\n")
    with pytest.warns(NbnumbaWarning, match="500 pixels along fast, not 2463; 200 pixels along slow, not 2527; pixels"):
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
    assert "2 sensor layers of 160 µm of Si, 1/e depth 245.5" in text
    assert "gaps" not in describe(resolved(named("pilatus-100k", "-beamstop 1")), [], [])
    text = describe(resolved(named("mar165", "-beamstop 1 -beamstop_arm 0.4 90")), [], [])
    arm = "beamstop of 1 mm radius with its arm of 0.4 mm at 90 degrees from fast towards slow"
    assert f"outside of mar165's disc and {arm}: " in text
    assert "layer" not in text


def test_detectors_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert next(line for line in lines if line.startswith("pilatus-6m")).split() == (
        "pilatus-6m 2463 x 2527 0.172 Si 320 µm counting 20 bits, 1.4e+06/s 8.45%".split()
    )
    assert len({len(line) for line in lines}) == 1


def test_detectors_tells_all_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "pilatus3-cdte-2m", "mar165"]) == 0
    text = capsys.readouterr().out
    assert "1475 x 1679 pixels (fast x slow) of 0.172 mm: 253.7 x 288.788 mm, 8.54% of them blind" in text
    assert "modules of 487 x 195 pixels, 3 columns blind in the middle of each, gaps of 7 x 17" in text
    assert "sensor: CdTe 1000 µm" in text
    assert "paralyzable = false\n    cutoff_per_s = 1.02e+07\n" in text
    assert "round: pixels outside its largest disc are blind" in text
    for name in ("pilatus3-cdte-2m", "mar165"):
        assert all(source in text for source in PRESETS[name].sources)
    assert main(["detectors", "pilatus6"]) == 2
    assert "pilatus6: no such detector is known; did you mean pilatus-6m or" in capsys.readouterr().err
