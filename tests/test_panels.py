"""Detectors of several panels: cut from a whole one, oblong and oblique, anywhere; their image, files and errors."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from agreement import assert_matches
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba import Detector, Experiment, Image, Panel, UsageError, changed, hkl_map, predict, simulate, simulate_many
from nbnumba.cli import main
from nbnumba.comparison.trace import trace_pixel
from nbnumba.description import described
from nbnumba.formats.found import detector_values
from nbnumba.render.job import render, start
from nbnumba.setup.geometry import place_detector
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.panels import OF_ALL_PANELS, pixels_within, unstacked
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.testing.strategies import grid

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")
both_backends = pytest.mark.parametrize("backend", ["reference", "cpu"])

CRYSTAL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -distance 100".split()
DYADIC_MM = 125 / 1024
"""2⁻¹³ m: no sum of so many of them is rounded."""


def whole_from(options: str) -> Experiment:
    return Experiment.from_args([*CRYSTAL, *options.split()])


def cut(experiment: Experiment, fast: list[int], slow: list[int]) -> Experiment:
    """The same detector in panels, from line to line of pixels along slow, then along fast."""
    whole = place_detector(experiment)
    origin, f, s = (1000.0 * np.array(v) for v in (whole.origin_m, whole.fast, whole.slow))
    panels = [
        Panel(
            f"fast {fast0}, slow {slow0}", fast1 - fast0, slow1 - slow0,
            origin + whole.pixel_m * (fast0 * f + slow0 * s), whole.pixel_m * f, whole.pixel_m * s,
        )
        for slow0, slow1 in pairwise([0, *slow, whole.slow_pixels])
        for fast0, fast1 in pairwise([0, *fast, whole.fast_pixels])
    ]  # fmt: skip
    kept = {name: getattr(experiment.detector, name) for name in OF_ALL_PANELS}
    return replace(experiment, detector=Detector(**kept | {"panels": panels}))


def joined(panels: tuple[np.ndarray, ...], columns: int) -> np.ndarray:
    rows = [np.concatenate(panels[n : n + columns], axis=1) for n in range(0, len(panels), columns)]
    return np.concatenate(rows)


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


@both_backends
@pytest.mark.parametrize(
    "options",
    [
        "-oversample 2 -twotheta 25",
        "-xds -twotheta 10 -detector_rotx 5 -detector_rotz 40",
        "-twotheta 30 -detector_thick 400 -detector_abs 300 -detector_thicksteps 3",
        "-detector_thick 400 -detector_abs 300 -oversample_thick -oversample_polar -oversample_omega -oversample 2",
        "-water 20 -polar 0.9 -beamstop 4",
        "-dials -mosaic 1 -mosaic_domains 3 -osc 1 -phisteps 2 -dispersion 1 -dispsteps 2 -point_pixel",
        "-dmin 3 -N 12 -round_xtal",
    ],
)
def test_a_detector_that_is_cut_is_the_whole(options: str, backend: Any) -> None:
    experiment = whole_from(f"-detpixels_f 40 -detpixels_s 30 -pixel 1 {options}")
    whole, panels = (simulate(one, backend) for one in (experiment, cut(experiment, [17], [11])))
    assert whole.photons.max() > 0
    assert_matches(joined(panels.panels, 2), whole.photons)
    assert panels.resolved.plans[0].oversample == whole.resolved.plan.oversample
    assert panels.resolved.edge_angstrom == pytest.approx(whole.resolved.edge_angstrom, rel=1e-12)
    assert panels.int_scale == pytest.approx(whole.int_scale, rel=1e-6)
    for name in ("maximum", "mean", "rms", "pixels"):
        assert getattr(panels.statistics, name) == pytest.approx(getattr(whole.statistics, name), rel=1e-6)


@both_backends
def test_where_nothing_is_rounded_a_cut_detector_has_the_bits_of_the_whole(backend: Any) -> None:
    experiment = whole_from(f"-detpixels 32 -pixel {DYADIC_MM} -distance 125 -beamsize 1 -oversample 2 -denzo")
    experiment = changed(experiment, detector={"beam_x_mm": 20.5 * DYADIC_MM, "beam_y_mm": 9 * DYADIC_MM})
    whole, panels = (simulate(one, backend) for one in (experiment, cut(experiment, [8, 24], [5])))
    assert np.array_equal(joined(panels.panels, 3), whole.photons)


lines = st.lists(st.integers(1, 15), unique=True, max_size=3).map(sorted)
angles = st.fixed_dictionaries({f"rot{axis}_deg": grid(-25, 25) for axis in "xyz"} | {"twotheta_deg": grid(-30, 30)})


@settings(max_examples=25)
@given(fast=lines, slow=lines, detector=angles, convention=st.sampled_from(["mosflm", "xds", "dials"]))
def test_any_cut_of_any_turned_detector_is_the_whole(
    fast: list[int], slow: list[int], detector: dict[str, Any], convention: str
) -> None:
    stop = "-beamstop 7 -beamstop_arm 4 33"
    experiment = whole_from(f"-{convention} -detpixels 16 -pixel 3 -oversample 1 -polar 0.5 {stop}")
    experiment = changed(experiment, detector=detector)
    panels = resolved(cut(experiment, fast, slow))
    for backend in ("reference", "cpu"):
        whole = render(resolved(experiment), backend).photons
        found = Image(panels, render(panels, backend).photons)
        assert_matches(joined(found.panels, len(fast) + 1), whole)


ANYWHERE = [
    Panel("oblong", 6, 5, (60, -2, -1), (0.3, 0, 1.5), (0, -0.4, 0.1)),
    Panel("oblique", 5, 4, (80, 20, 3), (0, 0.9, 0.8), (0.1, -0.7, 0.9)),
    Panel("beside the beam", 4, 6, (10, 5, 40), (2, 0, 0), (0, 1, 0)),
    Panel("behind the sample", 4, 4, (-30, 5, 4), (0.2, 1, 0), (0, 0, -0.5)),
    Panel("turned about", 4, 4, (50, 5, 4), (0, 0, -1), (0, -0.5, 0)),
]
OBLIQUE = [
    "-oversample 1",
    "-oversample 2 -oversample_thick -oversample_omega -oversample_polar -detector_thick 600 -detector_abs 500",
    "-oversample 1 -water 30 -polar 0.8 -detector_thick 600 -detector_abs 500 -detector_thicksteps 4",
]


@both_backends
@pytest.mark.parametrize("options", OBLIQUE)
def test_oblong_and_oblique_pixels_anywhere_are_the_oracle_s(options: str, backend: Any) -> None:
    experiment = whole_from(options)
    kept = {name: getattr(experiment.detector, name) for name in OF_ALL_PANELS}
    experiment = replace(experiment, detector=Detector(**kept | {"panels": ANYWHERE}))
    image = simulate(experiment, backend)
    for number, photons in enumerate(image.panels):
        expected = oracle.render_placed(experiment, Path(), oracle.place_panel(experiment, number))
        assert expected.min() > 0 if "water" in options else expected.max() > 0
        assert_matches(photons, expected)


def corner_angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Solid angle of a triangle (van Oosterom & Strackee, IEEE Trans. Biomed. Eng. 30, 1983, 125)."""
    la, lb, lc = (np.linalg.norm(v) for v in (a, b, c))
    return 2 * math.atan2(abs(np.dot(a, np.cross(b, c))), la * lb * lc + a @ b * lc + a @ c * lb + b @ c * la)


@pytest.mark.parametrize("number", range(len(ANYWHERE)))
def test_the_solid_angle_is_that_of_the_pixel_s_corners(number: int) -> None:
    """Water scatters nearly alike at 1 Å and 0.1 mm: photons are Ω times its constant."""
    listed = ANYWHERE[number]
    fast, slow = (np.array(step) / 100 for step in (listed.fast_step_mm, listed.slow_step_mm))
    panel = Panel("", 1, 1, listed.origin_mm, fast, slow)
    experiment = Experiment.from_args("-cell 70 80 90 90 90 90 -default_F 1e-9 -water 1 -nopolar -oversample 1".split())
    seen = {}
    for name, one in (("panel", panel), ("square", Panel("", 1, 1, (1000, 0, 0), (0, 0.1, 0), (0, 0, 0.1)))):
        seen[name] = float(simulate(changed(experiment, detector={"panels": [one]}), "reference").photons[0, 0])
    a = np.array(listed.origin_mm)
    b, c, d = a + fast, a + slow, a + fast + slow
    assert seen["panel"] / seen["square"] == pytest.approx(
        (corner_angle(a, b, c) + corner_angle(b, c, d)) / 1e-8, rel=1e-5
    )


def test_all_but_the_detector_is_the_same_objects() -> None:
    first, *others = resolved(cut(whole_from("-detpixels 16 -oversample 1"), [8], [8])).plans
    assert len(others) == 3
    for plan in others:
        assert all(
            kept is other for name, kept, other in zip(plan._fields, plan, first, strict=True) if name != "detector"
        )
        assert plan.detector.origin != first.detector.origin


def test_a_narrow_panel_lies_at_the_left_of_the_image() -> None:
    experiment = cut(whole_from("-detpixels_f 24 -detpixels_s 20 -pixel 2 -oversample 1"), [16], [5])
    image = simulate(experiment, "cpu")
    assert image.photons.shape == (5 + 5 + 15 + 15, 16)
    assert [panel.shape for panel in image.panels] == [(5, 16), (5, 8), (15, 16), (15, 8)]
    assert all(np.shares_memory(panel, image.photons) for panel in image.panels)
    assert not image.photons[5:10, 8:].any()
    assert np.array_equal(image.photons[5:10, :8], image.panels[1])
    assert image.statistics.pixels == 24 * 20
    assert image.photons[image.statistics.maximum_slow, image.statistics.maximum_fast] == image.photons.max()
    assert image.noise(seed=1).counts.shape == image.photons.shape
    assert repr(image.resolved).startswith("Resolved(4 panels of 480 pixels")


def test_a_panel_s_own_mask_and_region(tmp_path: Path) -> None:
    experiment = cut(whole_from("-detpixels 16 -pixel 3 -oversample 1"), [], [8])
    everything = simulate(experiment, "cpu")
    mask = np.ones((8, 16), bool)
    mask[2, 3:7] = False
    first, second = experiment.detector.panels or ()
    panels = [replace(first, mask=mask), replace(second, roi=(4, 20, 1, 3))]
    with pytest.warns(match=r"detector.panels\[1\].roi 4 20 1 3 reaches beyond the detector: clipped to 4 15 1 3"):
        image = simulate(changed(experiment, detector={"panels": panels}), "cpu")
    rendered = np.zeros((16, 16), bool)
    rendered[:8] = mask
    rendered[9:12, 4:16] = True
    assert np.array_equal(image.photons, np.where(rendered, everything.photons, 0))
    assert image.statistics.pixels == rendered.sum()
    assert image.statistics.mean == pytest.approx(everything.photons[rendered].mean(dtype=float))
    image.save_raw(tmp_path / "a.bin")
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", np.float32), image.photons.ravel())


def test_a_beamstop_is_a_disc_about_the_beam_on_oblique_pixels_too() -> None:
    panel = Panel("", 9, 7, (50, -3, -4), (0.3, 0.9, 0.1), (0.2, -0.3, 0.8))
    experiment = changed(whole_from("-oversample 1"), detector={"distance_mm": None, "panels": [panel]})
    placed = resolved(experiment).panels[0]
    fast, slow = np.meshgrid(np.arange(9) + 0.5, np.arange(7) + 0.5)
    origin, f, s = (np.array(v) for v in (panel.origin_mm, panel.fast_step_mm, panel.slow_step_mm))
    centres = origin + fast[..., None] * f + slow[..., None] * s
    normal = np.cross(f, s)
    spot = np.array([origin @ normal / normal[0], 0, 0])
    expected = np.linalg.norm(centres - spot, axis=2) < 2.2
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(pixels_within(placed, 2.2e-3), expected)
    x, y = placed.beam_center_px
    assert origin + x * f + y * s == pytest.approx(spot, abs=1e-12)


def test_progress_is_of_all_panels() -> None:
    told: list[int] = []
    panels = cut(whole_from("-detpixels 16 -oversample 1 -pixel 3"), [4], [9])
    image = simulate(panels, "cpu", progress=told.append)
    assert (sorted(told), told[-1]) == (told, 256)
    job = start(resolved(panels), "cpu")
    assert job.pixels == 256
    assert job.wait(60)
    assert job.pixels_done == 256
    assert np.array_equal(job.partial().photons, image.photons)
    finished = [part.all() for part in unstacked(job.partial().finished, [panel.shape for panel in image.panels])]
    assert finished == [True] * 4


def test_panels_in_a_series() -> None:
    still = whole_from("-detpixels 16 -oversample 1 -pixel 3")
    images = list(simulate_many([still, cut(still, [8], []), still], "cpu"))
    assert_matches(joined(images[1].panels, 2), images[0].photons)
    assert np.array_equal(images[2].photons, images[0].photons)


ON_CARD = """
import sys
import numpy as np
from nbnumba import Experiment, changed, simulate_many
experiment = Experiment.from_toml(sys.stdin.read())
single = changed(experiment, detector={"panels": experiment.detector.panels[:1]})
np.savez(sys.argv[1], *(image.photons for image in simulate_many([single, experiment, single], "cuda")))
"""


def test_panels_on_a_card_that_is_simulated(tmp_path: Path) -> None:
    experiment = whole_from("-N 3 -oversample 1 -polar 0.5 -detector_thick 600 -detector_abs 500")
    kept = {name: getattr(experiment.detector, name) for name in OF_ALL_PANELS}
    experiment = replace(experiment, detector=Detector(**kept | {"panels": ANYWHERE[:3]}))
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    words = [sys.executable, "-c", ON_CARD, str(tmp_path / "a.npz")]
    subprocess.run(words, input=experiment.to_toml(), env=environment, text=True, check=True, cwd=tmp_path)
    expected = simulate(experiment, "reference")
    with np.load(tmp_path / "a.npz") as series:
        first, several, last = (series[f"arr_{number}"] for number in range(3))
    assert_matches(several, expected.photons)
    assert_matches(first, expected.panels[0])
    assert np.array_equal(first, last)


def test_an_experiment_with_panels_is_text_and_back() -> None:
    experiment = cut(whole_from("-detpixels 16 -twotheta 20 -detector_thick 100"), [8], [3])
    text = experiment.to_toml()
    assert text.count("[[detector.panels]]") == 4
    assert Experiment.from_toml(text) == experiment
    assert hash(Experiment.from_dict(experiment.to_dict())) == hash(experiment)
    with pytest.raises(UsageError, match=r"detector\.panels: no option says"):
        experiment.to_args()
    masked = replace((experiment.detector.panels or ())[0], mask=np.ones((3, 8), bool))
    with pytest.raises(UsageError, match="a mask in memory has no text"):
        changed(experiment, detector={"panels": [masked]}).to_toml()


GOOD = {
    "fast_pixels": 4,
    "slow_pixels": 4,
    "origin_mm": (100, 0, 0),
    "fast_step_mm": (0, 0, 1),
    "slow_step_mm": (0, 1, 0),
}


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (
            {"fast_pixel": 4},
            r"detector\.panels\.fast_pixel is not a field of Panel; did you mean detector\.panels\.fas",
        ),
        ({"origin_mm": (1, 2)}, r"detector\.panels\.origin_mm: \[?\(?1, 2\)?\]? is not 3 numbers"),
        ({"origin_mm": None, "name": "q"}, r"panels\[1\] \(q\) is without origin_mm: a panel needs fast_pixels, slow_"),
        ({"origin_mm": (0, 3, 1)}, r"panels\[1\]: the sample lies in its plane"),
        ({"origin_mm": (math.nan, 3, 1)}, r"detector\.panels nan: give a finite number"),
        ({"slow_step_mm": (0, 0, 2)}, r"panels\[1\]: fast_step_mm and slow_step_mm span no pixel"),
        ({"slow_step_mm": (0, 0, 0)}, r"panels\[1\]: fast_step_mm and slow_step_mm span no pixel"),
        ({"slow_pixels": 0}, r"panels\[1\]: 4 x 0 pixels \(fast x slow\): give 1 or more"),
        (
            {"mask": np.ones((4, 5), bool)},
            r"panels\[1\]\.mask: a mask of 5 x 4 pixels \(fast x slow\) for a detector of 4",
        ),
        ({"roi": (3, 2, 0, 0)}, "roi of a panel, 3 2 0 0 is reversed"),
        ({"roi": (4, 9, 0, 0)}, r"panels\[1\]\.roi 4 9 0 0 lies outside the detector"),
    ],
)
def test_a_panel_that_cannot_be(panel: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        simulate(changed(Experiment.from_args(CRYSTAL[:-2]), detector={"panels": [GOOD, GOOD | panel]}))


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ({"detector": {"panels": []}}, "detector.panels is empty"),
        ({"detector": {"panels": 3}}, "detector.panels: 3 is not a list of Panels"),
        ({"detector": {"distance_mm": 90}}, "detector.distance_mm beside detector.panels, which have their own"),
        ({"detector": {"pivot": "beam"}}, "detector.pivot beside detector.panels"),
        ({"detector": {"mask": np.ones((4, 4), bool)}}, r"detector\.mask beside detector\.panels"),
        ({"detector": {"curved": True}}, "detector.curved beside detector.panels"),
        ({"mode": "c"}, "detector.panels: nanoBragg, and so mode c and its φ carry-over, has one flat detector"),
        ({"phi_carryover": "c"}, "detector.panels: nanoBragg, and so mode c and its φ carry-over"),
    ],
)
def test_what_does_not_go_with_panels(experiment: dict[str, Any], said: str) -> None:
    panels = changed(Experiment.from_args(CRYSTAL[:-2]), detector={"panels": [GOOD]})
    with pytest.raises(UsageError, match=said):
        simulate(changed(panels, **experiment))


def test_each_field_of_a_detector_is_of_the_whole_or_of_a_panel() -> None:
    names = {field.name for field in fields(Detector)}
    assert set(OF_ALL_PANELS) < names
    assert not set(OF_ALL_PANELS) & {field.name for field in fields(Panel)}


def test_what_takes_one_panel_says_so(tmp_path: Path) -> None:
    experiment = cut(whole_from("-detpixels 16 -oversample 1"), [8], [])
    image = simulate(experiment, "cpu")
    for call in (lambda: image.geometry, lambda: trace_pixel(image.resolved, 1, 1)):
        with pytest.raises(UsageError, match=r"not of a list of panels \(detector.panels, 2 here\)"):
            call()
    for name in ("a.img", "a.png", "a.pgm", "a.npy"):
        with pytest.raises(UsageError, match=r" holds one panel, and the image has 2: give it as .*\.bin \(float32\)"):
            image.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert image._repr_png_() is None
    assert np.array_equal(image.a_matrix(), simulate(whole_from("-detpixels 16 -oversample 1"), "cpu").a_matrix())


MAPPED = "-detpixels_f 20 -detpixels_s 16 -pixel 4 -oversample 1"


@pytest.mark.parametrize("options", ["-twotheta 20 -osc 2 -phisteps 1", "-xds -detector_rotx 9", "-dials -mosaic 0.3"])
def test_maps_and_predictions_of_a_cut_detector_are_those_of_the_whole(options: str) -> None:
    experiment = whole_from(f"{MAPPED} {options}")
    panels = cut(experiment, [13], [5])
    parts = unstacked(hkl_map(panels), [(5, 13), (5, 7), (11, 13), (11, 7)])
    assert np.isnan(hkl_map(panels)[:5, 13:]).sum() == 0
    assert np.isnan(hkl_map(panels)[5:10, 7:]).all()
    np.testing.assert_allclose(joined(parts, 2), hkl_map(experiment), rtol=0, atol=1e-9)
    d = unstacked(resolved_map(panels), [(5, 13), (5, 7), (11, 13), (11, 7)])
    np.testing.assert_allclose(joined(d, 2), resolved_map(experiment), rtol=1e-9)

    whole, found = predict(experiment), predict(panels)
    assert len(whole) > 20
    assert set(whole.panel) == {0}
    assert set(found.panel) == {0, 1, 2, 3}
    corners = np.array([(0, 0), (13, 0), (0, 5), (13, 5)])
    np.testing.assert_array_equal(found.hkl, whole.hkl)
    np.testing.assert_allclose(found.pixel + corners[found.panel], whole.pixel, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.phi_deg, whole.phi_deg)


def resolved_map(experiment: Experiment) -> np.ndarray:
    return Image(resolved(experiment), np.zeros((1, 1), np.float32)).resolution_map()


def test_reflections_of_files_have_their_panel() -> None:
    image = simulate(cut(whole_from(MAPPED), [13], [5]), "cpu")
    listed = image.frame("reflections").reflections
    assert listed is not None
    assert np.array_equal(listed.panel, predict(image.experiment).panel)
    assert set(listed.panel) == {0, 1, 2, 3}


def test_a_ray_that_meets_two_panels_is_a_row_for_each() -> None:
    panels = (cut(whole_from(MAPPED), [], []).detector.panels or ()) * 2
    found = predict(changed(cut(whole_from(MAPPED), [], []), detector={"panels": panels}))
    assert np.array_equal(found.hkl[::2], found.hkl[1::2])
    assert found.panel.tolist() == [0, 1] * (len(found) // 2)


def test_displaced_and_tilted_panels_are_each_the_detector_that_stands_there() -> None:
    """Each against a detector of its own, placed by vectors, distance and beam centre."""
    rng = np.random.default_rng(8)
    panels = []
    for x, y in ((-3.1, -2.9), (0.3, -3.2), (-3.3, 0.2), (0.1, 0.4)):
        turn = rng.normal(0.0, 0.03, 3)
        fast, slow = np.array([1.0, turn[0], turn[1]]), np.array([-turn[0], -1.0, turn[2]])
        fast /= np.linalg.norm(fast)
        slow -= fast * (slow @ fast)
        slow /= np.linalg.norm(slow)
        panels.append(Panel("", 15, 13, (x, y, 100 + turn.sum()), 0.2 * fast, 0.2 * slow))
    beam = {"direction": (0, 0, 1), "polarization_axis": (1, 0, 0), "kahn_factor": 0.9}
    common = changed(whole_from("-oversample 2"), beam=beam, detector={"distance_mm": None})
    image = simulate(changed(common, detector={"convention": "custom", "panels": panels}), "cpu")
    for panel, photons in zip(panels, image.panels, strict=True):
        single = changed(common, detector=detector_values([panel], (0, 0, 1)))
        assert single.detector.panels is None
        assert_matches(photons, simulate(single, "cpu").photons)


COMMAND = f"{' '.join(CRYSTAL[:-2])} -oversample 1 -noprogress"


def test_the_command_tells_and_writes_several_panels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = changed(whole_from("-detpixels_f 24 -detpixels_s 20 -pixel 2 -oversample 1 -beamstop 3"), noise={"seed": 1})
    experiment, mask = cut(whole, [16], [5]), resolved(whole).mask
    assert mask is not None
    behind = int((mask == 0).sum())
    (tmp_path / "p.toml").write_text(experiment.to_toml())
    monkeypatch.chdir(tmp_path)
    line = "-experiment p.toml -floatfile a.bin -report r.json -printout"
    assert main(line.split()) == 0
    said, warned = capsys.readouterr()
    assert "intimage.img, image.pgm, noiseimage.img: not written, since each holds one panel of square pixels" in warned
    assert "4 panels of 480 pixels, mosflm convention; one above the other in 16 x 40 (fast x slow)" in said
    assert "fast 16, slow 0: rows 5 to 9, 8 x 5 of 2 mm, corner" in said
    assert behind > 0
    assert f"beamstop of 3 mm radius: {behind} pixels not rendered" in said
    image = simulate(experiment, "cpu")
    expected = np.concatenate([panel.ravel() for panel in image.panels])
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", np.float32), expected)
    printed = [line.split() for line in said.splitlines() if re.match(r" *\d+ +\d+ : ", line)]
    assert len(printed) == 480
    assert all(float(value) == pytest.approx(float(image.photons[int(slow), int(fast)]), rel=1e-6)
               for fast, slow, _, value in printed)  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    assert [panel["name"] for panel in report["resolved"]["panels"]] == [
        p.name for p in experiment.detector.panels or ()
    ]
    assert report["resolved"]["panels"][1]["origin_m"] == pytest.approx(image.resolved.panels[1].origin_m)
    assert report["statistics"]["pixels"] == 480 - behind
    assert "geometry" not in report["resolved"]


def test_of_oblong_pixels_no_smv_image_is_written_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    panel = changed(whole_from("-oversample 1"), detector={"distance_mm": None, "panels": ANYWHERE[:1]})
    Path("p.toml").write_text(panel.to_toml())
    assert main(["-experiment", "p.toml"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["floatimage.bin", "p.toml"]
    assert main(["-experiment", "p.toml", "-intfile", "a.img"]) == 2


def test_of_many_panels_the_report_lists_the_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    experiment = cut(whole_from("-detpixels 24 -oversample 1"), [6, 12, 18], [8, 16])
    (tmp_path / "p.toml").write_text(experiment.to_toml())
    assert main(["-experiment", str(tmp_path / "p.toml"), "-show"]) == 0
    assert "and 4 more, which -report lists" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-intfile a.img", "SMV holds one panel, and the image has 2"),
        ("-trace_pixel 1 1", "traces, and a geometry by itself, are of a detector that"),
        ("-printout_pixel 8 3", "fast 8, slow 3 lies outside the detector: fast 0 to 7, slow 0 to 31 are there"),
    ],
)
def test_the_command_refuses_before_the_work(
    options: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nbnumba.commands.simulate.render", lambda *_: pytest.fail("rendered"))
    (tmp_path / "p.toml").write_text(cut(whole_from("-detpixels 16 -oversample 1"), [8], []).to_toml())
    assert main(["-experiment", "p.toml", *options.split()]) != 0
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["p.toml"]


def test_the_image_s_experiment_gives_the_image_again() -> None:
    image = simulate(cut(whole_from("-detpixels 16 -oversample 1"), [8], []), "cpu")
    assert np.array_equal(simulate(image.experiment, "cpu").photons, image.photons)


def test_frames_and_files_have_each_panel_by_itself(tmp_path: Path) -> None:
    image = simulate(cut(whole_from("-detpixels_f 24 -detpixels_s 20 -pixel 2 -oversample 1"), [16], [5]), "cpu")
    frame = image.frame("counted", seed=3)
    assert [pixels.shape for pixels in frame.pixels] == [panel.shape for panel in image.panels]
    for panel, listed in zip(frame.description.panels, image.experiment.detector.panels or (), strict=True):
        assert panel.origin_mm == pytest.approx(listed.origin_mm)
        assert panel.pixel_mm * np.array(panel.fast) == pytest.approx(listed.fast_step_mm)
        assert panel.measured.all()
    image.save_raw(tmp_path / "a.bin")
    expected = np.concatenate([panel.ravel() for panel in image.panels])
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", np.float32), expected)


def test_a_single_panel_is_told_as_the_detector_that_it_is() -> None:
    experiment = whole_from("-xds -detpixels_f 24 -detpixels_s 20 -pixel 2 -twotheta 20")
    told, expected = (described(resolved(one)).panels[0] for one in (cut(experiment, [], []), experiment))
    for name in ("origin_mm", "fast", "slow", "fbeam_mm", "sbeam_mm", "orgx", "orgy", "distance_mm", "beam_center_mm"):
        assert getattr(told, name) == pytest.approx(getattr(expected, name), abs=1e-9), name


def test_smv_has_no_words_for_oblong_pixels(tmp_path: Path) -> None:
    panel = changed(whole_from("-oversample 1"), detector={"distance_mm": None, "panels": ANYWHERE[:1]})
    with pytest.raises(UsageError, match="SMV has square pixels alone"):
        simulate(panel, "cpu").save_smv(tmp_path / "a.img")
