"""The radial background of an image that was measured, and that it comes back in a simulation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaError, simulate
from nbnumba.cli import main
from nbnumba.commands import profile
from nbnumba.statistics import radial_profile

CRYSTAL = "-cell 3 3 3 -default_F 1e-9 -N 3 -oversample 1"
DETECTOR = "-detpixels 128 -pixel 0.8 -distance 150 -lambda 1"
BEAM = "-flux 1e12 -beamsize 0.05"
INNER = 0.99
"""Of the largest radius: the last bin has a few pixels in the corners, and F is constant beyond it."""

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


def simulated(words: str) -> Any:
    return simulate(Experiment.from_args(f"{CRYSTAL} {DETECTOR} {words}".split()), "cpu")


def inner(image: Any) -> np.ndarray:
    spacing = image.resolution_map()
    return spacing > spacing.min() / INNER


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("how", "used_as", "geometry"),
    [
        ("", "-background_profile p.txt", ""),
        ("-by px", "-background_profile_px p.txt", ""),
        ("-what F -background water 0.3", "-background stol=p.txt 0.3 1 18.015", ""),
        ("-what F -background water 0.5 0.6", "-background stol=p.txt 0.3 1 18.015", ""),
        ("-what F -background water 0.3", "-background stol=p.txt 0.3 1 18.015",
         "-detector_rotx 20 -polar 0.9 -detector_abs 300 -detector_thick 450 -detector_thicksteps 3"),
    ],
)  # fmt: skip
def test_water_comes_back(how: str, used_as: str, geometry: str) -> None:
    water = simulated(f"{BEAM} {geometry} -background water 0.3")
    water.save_raw("w.bin")
    assert main(f"profile w.bin {DETECTOR} {BEAM} {geometry} -o p.txt {how}".split()) == 0
    again = simulated(f"{BEAM} {geometry} {used_as}")
    off = np.abs(again.photons / water.photons - 1.0)
    assert off[inner(water)].max() < 1e-3
    assert off.max() > 0.0


def test_spots_are_left_out() -> None:
    words = f"{BEAM} -background water 0.3 -cell 70 80 90 -default_F 3000 -N 10 -misset 10 20 30 -spot_scale 1e7"
    image, water = simulated(words), simulated(f"{BEAM} -background water 0.3")
    assert (image.photons > 1.5 * water.photons).sum() > 100
    image.save_raw("w.bin")
    assert main(f"profile w.bin {DETECTOR} -o p.txt -bins 40".split()) == 0
    at, found = np.loadtxt("p.txt").T
    stol = 0.5 / water.resolution_map()
    expected = np.array([np.median(water.photons[np.abs(stol - s) < 0.002]) for s in at])
    assert np.median(np.abs(found / expected - 1.0)) < 0.01


def test_counts_are_photons_times_gain_and_offset() -> None:
    """Of few photons the median is 0; of the mean 4 σ are said."""
    water = simulated("-flux 1e7 -beamsize 0.05 -background water 0.3")
    assert 0.2 < water.photons.mean() < 2.0
    water.save_noise("n.img", seed=1, adc_offset=7.0)
    assert main(f"profile n.img -lambda 1 -adc 7 -o p.txt -bins 10 {DETECTOR}".split()) == 0
    found = np.loadtxt("p.txt")[:, 1]
    stol = 0.5 / water.resolution_map()
    edges = np.linspace(stol.min(), stol.max(), 11)
    for n, (low, high) in enumerate(pairwise(edges)):
        chosen = water.photons[(stol >= low) & (stol <= high)]
        assert abs(found[n] - chosen.mean()) < 4.0 * np.sqrt(chosen.mean() / chosen.size) + 1e-3
    halves = "-readout integrating -gain 2 -adc 7"
    assert main(f"profile n.img -lambda 1 {halves} -o h.txt -bins 10 {DETECTOR}".split()) == 0
    np.testing.assert_allclose(np.loadtxt("h.txt")[:, 1], found / 2, rtol=0.01)


def test_an_image_tells_its_own_geometry(capsys: Any) -> None:
    water = simulated(f"{BEAM} -background water 0.3 -Xbeam 40 -Ybeam 60")
    water.save_smv("w.img", scale=0.3, adc_offset=40.0)
    assert main("profile w.img -o p.txt".split()) == 0
    assert "counts less 40 (-adc) over 1 (-gain)" in capsys.readouterr().out
    at, found = np.loadtxt("p.txt").T
    stol = 0.5 / water.resolution_map()
    expected = np.array([0.3 * np.median(water.photons[np.abs(stol - s) < 0.003]) for s in at])
    np.testing.assert_allclose(found[5:-5], expected[5:-5], rtol=0.05)
    assert at.max() == pytest.approx(stol.max(), rel=0.01)


def test_marked_and_masked_pixels_do_not_count() -> None:
    counts = np.full((128, 128), 100, np.int32)
    counts[:, ::2] = -1
    counts[60:68, 60:68] = 5000
    np.save("c.npy", counts)
    np.save("u.npy", counts.astype(np.uint16))  # −1 is the largest of these
    for file in ("c.npy", "u.npy"):
        assert main(f"profile {file} {DETECTOR} -adc 0 -beamstop 6 -o p.txt".split()) == 0
        assert set(np.loadtxt("p.txt")[:, 1]) == {100.0}


def test_a_profile_by_its_definition() -> None:
    rng = np.random.default_rng(1)
    at = rng.uniform(1.0, 2.0, 20_000)
    values = 100.0 * at + rng.normal(0.0, 1.0, at.size)
    values[::50] += 500.0
    values[7] = np.nan
    rows = radial_profile(at, values, 5)
    np.testing.assert_allclose(rows[:, 1], 100.0 * rows[:, 0], rtol=5e-3)
    lone = radial_profile(np.array([0.0, 10.0]), np.array([1.0, 3.0]), 10)
    np.testing.assert_array_equal(lone, [[0.0, 1.0], [10.0, 3.0]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "IMAGE is needed: the measured image, before all options"),
        ("w.bin", "-o FILE is needed: the profile to be written"),
        ("w.bin -o", "-o needs a value: FILE"),
        ("w.bin -o w.bin", "-o w.bin is an input file too: give another name"),
        ("w.bin -o p.txt -what f", "-what 'f': give photons or F"),
        ("w.bin -o p.txt -by d", "-by 'd': give stol or px"),
        ("w.bin -o p.txt -what F -by px", "-what F -by px: F is a function of sin"),
        ("w.bin -o p.txt -bins 0", "-bins '0': give a whole number, 1 or more"),
        ("w.bin -o p.txt -what F", "-what F: of how many molecules?"),
        ("w.bin -o p.txt -detpixels 64", r"the image has 128 x 128 pixels, the detector 64 x 64"),
        ("w.bin -o p.txt -beamstop 1000", "no pixel of the image was measured"),
        ("no.img -o p.txt", "cannot read the image no.img: there is no such file"),
        ("w.bin -o p.txt -unknown", "unknown option -unknown"),
    ],
)
def test_what_cannot_be_is_said(words: str, said: str) -> None:
    np.ones((128, 128), np.float32).tofile("w.bin")
    with pytest.raises(NbnumbaError, match=said):
        profile.main(words.split())
    assert not Path("p.txt").exists()


def test_help_tells_of_it(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        profile.main(["-h"])
    assert "nbnumba profile IMAGE [OPTION ...] -o FILE" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*DIALS")
def test_counts_of_a_cbf_have_no_offset_unless_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"{DETECTOR} -cell 70 80 90 -default_F 0.001 -N 3 -background air 1000 -beamsize 1 -polar 0.998 -seed 1"
    assert main([*line.split(), "-readout", "counting", "-flux", "1e9", "-o", "n_1.cbf", "-quiet"]) == 0
    assert main("profile n_1.cbf -o p.txt -bins 5".split()) == 0
    assert main("profile n_1.cbf -o q.txt -bins 5 -adc 1".split()) == 0
    plain, less = np.loadtxt("p.txt"), np.loadtxt("q.txt")
    assert plain[:, 1].min() > 1.0
    np.testing.assert_allclose(less[:, 1], plain[:, 1] - 1.0, atol=1e-6)
