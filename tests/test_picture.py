"""Pictures: rings where the equation puts them, and images that show what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from nbnumba.experiment import Convention, Detector, Experiment, changed
from nbnumba.formats.images.png import ring_curve, ring_spacings, save_png
from nbnumba.image import Image
from nbnumba.setup.geometry import beam_center_of_fast_slow
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.lab import CONVENTIONS
from nbnumba.setup.resolve import resolve

CRYSTAL = Experiment.from_args("-cell 70 80 90 -default_F 1 -N 5".split())
MOSFLM = {"fast": (0, 0, 1), "slow": (0, -1, 0), "beam": (1, 0, 0)}


def spacings_along(
    curve: np.ndarray, wavelength: float, origin: np.ndarray, fast: np.ndarray, slow: np.ndarray
) -> np.ndarray:
    """Bragg's law for the pixels of a curve, beam along x."""
    points = origin + 1e-4 * (curve[:, :1] * fast + curve[:, 1:] * slow)
    cos_twotheta = points[:, 0] / np.linalg.norm(points, axis=1)
    return wavelength / (2.0 * np.sin(np.arccos(cos_twotheta) / 2.0))


@pytest.mark.parametrize("tilt", [0.0, 0.3, -0.8])
def test_ring_obeys_braggs_law_on_a_tilted_detector(tilt: float) -> None:
    fast = np.array([-np.sin(tilt), 0.0, np.cos(tilt)])
    slow = np.array([0.0, -1.0, 0.0])
    origin = np.array([0.1, 0.05, -0.04])
    curve = ring_curve(3.0, 1.2, origin, fast, slow, MOSFLM["beam"], 1e-4)
    np.testing.assert_allclose(spacings_along(curve, 1.2, origin, fast, slow), 3.0, rtol=1e-9)
    np.testing.assert_allclose(curve[0], curve[-1])


def test_rays_that_miss_the_plane_are_not_drawn() -> None:
    origin = (0.1, 0.05, -0.05)
    assert np.isnan(ring_curve(0.6, 1.0, origin, pixel=1e-4, **MOSFLM)).all()
    assert np.isnan(ring_curve(0.4, 1.0, origin, pixel=1e-4, **MOSFLM)).all()
    tilted = ring_curve(1.0, 1.0, origin, (-np.sin(0.9), 0, np.cos(0.9)), (0, -1, 0), (1, 0, 0), 1e-4)
    missing = np.isnan(tilted).any(axis=1)
    assert missing.any()
    assert not missing.all()


@pytest.mark.parametrize("edge", [0.73, 1.0, 1.62, 4.0, 37.0])
def test_rings_spread_to_the_edge(edge: float) -> None:
    spacings = ring_spacings(edge)
    assert spacings == sorted(set(spacings), reverse=True)
    assert 3 <= len(spacings) <= 4
    assert edge <= spacings[-1] <= 1.35 * edge
    assert all(float(f"{d:.2g}") == d for d in spacings)


def picture_of_spot(path: Path, pixels: int, slow: int, fast: int, scale: str) -> np.ndarray:
    """Darkness of the picture of one spot whose first pixel is given."""
    image = np.full((pixels, pixels), 1e-9, dtype=np.float32)
    side = pixels // 10
    image[slow : slow + side, fast : fast + side] = 100.0
    save_png(path, image, scale=scale)
    return 1.0 - matplotlib.image.imread(path)[..., :3].mean(axis=2)


@pytest.mark.parametrize("scale", ["log", "percentile"])
@pytest.mark.parametrize("pixels", [40, 1000, 3100])
def test_a_spot_is_dark_where_it_belongs(tmp_path: Path, pixels: int, scale: str) -> None:
    step = pixels // 10
    high_right = picture_of_spot(tmp_path / "a.png", pixels, 2 * step, 7 * step, scale)
    low_left = picture_of_spot(tmp_path / "b.png", pixels, 8 * step, 2 * step, scale)
    assert max(high_right.shape) <= 1600
    assert high_right.shape == low_left.shape
    from_row, from_column = np.argwhere(high_right - low_left > 0.9).mean(axis=0)
    to_row, to_column = np.argwhere(low_left - high_right > 0.9).mean(axis=0)
    spot_edge = np.sqrt(np.count_nonzero(high_right - low_left > 0.9))
    assert (to_row - from_row) / spot_edge == pytest.approx(6.0, rel=0.02)
    assert (to_column - from_column) / spot_edge == pytest.approx(-5.0, rel=0.02)


def test_one_strong_pixel_does_not_drown_the_rest(tmp_path: Path) -> None:
    image = np.random.default_rng(2).exponential(10.0, (100, 100)).astype(np.float32)
    image[50, 50] = 1e9
    for scale in ("log", "percentile"):
        save_png(tmp_path / "peak.png", image, scale=scale)
        shown = matplotlib.image.imread(tmp_path / "peak.png")[100:800, 100:800, 0]
        assert 0.1 < np.mean(shown < 0.7) < 0.9, scale


def test_overlays_are_drawn_in_colour(tmp_path: Path) -> None:
    ring = ("3 Å", ring_curve(3.0, 1.0, (0.1, 0.05, -0.05), pixel=1e-3, **MOSFLM))
    save_png(tmp_path / "rings.png", np.zeros((100, 100), dtype=np.float32), beam_center_px=(50, 50), rings=[ring])
    red, green, blue = np.moveaxis(matplotlib.image.imread(tmp_path / "rings.png")[..., :3], -1, 0)
    rows, columns = np.nonzero(blue > red + 0.3)
    center = np.argwhere((red > blue + 0.3) & (red > green + 0.3)).mean(axis=0)
    radius = np.hypot(rows - center[0], columns - center[1])
    # 100 mm · tan 2θ in pixels of 1 mm, each drawn as 9 × 9.
    expected = 900 // 100 * 100 * np.tan(2 * np.arcsin(1.0 / 6.0))
    assert np.median(radius) == pytest.approx(expected, abs=2)


def red_cross(path: Path) -> np.ndarray:
    """Fast and slow of the middle of what is drawn in red, in pixels of the picture."""
    red, green, blue = np.moveaxis(matplotlib.image.imread(path)[..., :3], -1, 0)
    rows, columns = np.nonzero((red > blue + 0.3) & (red > green + 0.3))
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_cross_is_where_the_beam_meets_the_detector(tmp_path: Path, convention: Convention) -> None:
    """On a detector that is twice as high as wide, off its middle."""
    crosses = []
    for fast, slow in ((15, 20), (27, 13)):
        x, y = beam_center_of_fast_slow(convention, fast, slow, 1.0, 60.0)
        detector = Detector(
            convention=convention, pivot="beam", beam_x_mm=x, beam_y_mm=y, rotx_deg=9.0,
            pixel_mm=1.0, fast_pixels=30, slow_pixels=60,
        )  # fmt: skip
        experiment = changed(CRYSTAL, detector=vars(detector))
        image = Image(resolve(experiment, Inputs()), np.zeros((60, 30), np.float32))
        image.save_png(str(tmp_path / "cross.png"))
        crosses.append(red_cross(tmp_path / "cross.png"))
        assert image.geometry.beam_center_px == pytest.approx((fast, slow), abs=1e-9)
    enlarged = 900 // 60
    np.testing.assert_allclose((crosses[1] - crosses[0]) / enlarged, (12, -7), atol=0.1)


def test_rings_of_an_image_are_those_of_its_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tilted, so that neither normal nor nearest point is the beam's; the finest ring is about that of a corner."""
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("nbnumba.formats.images.png.save_png", lambda path, photons, **more: drawn.update(more))
    args = "-cell 70 80 90 -default_F 1 -N 5 -pixel 0.1 -detpixels_f 900 -detpixels_s 600 -distance 80 -lambda 1.3"
    experiment = Experiment.from_args([*args.split(), "-detector_rotx", "9", "-detector_roty", "25", "-twotheta", "8"])
    image = Image(resolve(experiment, Inputs()), np.zeros((600, 900), np.float32))
    image.save_png("picture.png")
    origin, fast, slow = (np.array(getattr(image.geometry, name)) for name in ("origin_m", "fast", "slow"))
    spacings = []
    for label, curve in drawn["rings"]:
        spacings.append(float(label.removesuffix(" Å")))
        np.testing.assert_allclose(spacings_along(curve, 1.3, origin, fast, slow), spacings[-1], rtol=1e-9)
    corners = np.array([(f, s) for f in (0.0, 900.0) for s in (0.0, 600.0)])
    edge = spacings_along(corners, 1.3, origin, fast, slow).min()
    assert edge <= min(spacings) <= 1.35 * edge
    assert drawn["title"].startswith("1.3 Å, 80 mm, brightest pixel 0 photons")


@pytest.mark.parametrize("scale", ["log", "percentile"])
@pytest.mark.parametrize(
    "image", [np.zeros((3, 5)), np.ones((1, 1)), np.full((2, 2), np.inf), 1e-30 * np.eye(4), np.ones((1, 700))]
)
def test_odd_images_make_a_picture(tmp_path: Path, image: np.ndarray, scale: str) -> None:
    save_png(tmp_path / "odd.png", image.astype(np.float32), scale=scale)
    assert matplotlib.image.imread(tmp_path / "odd.png").size


@pytest.mark.parametrize("value", [0.0, np.nan, 3.0])
def test_an_image_shows_itself_whatever_is_in_it(value: float) -> None:
    experiment = Experiment.from_args("-cell 70 80 90 -default_F 100 -detpixels_f 1500 -detpixels_s 40".split())
    photons = np.full((40, 1500), value, np.float32)
    photons[3, 7] = 2.0
    shown = Image(resolve(experiment, Inputs()), photons)._repr_png_()
    assert shown.startswith(b"\x89PNG")
    width, height = (int.from_bytes(shown[at : at + 4], "big") for at in (16, 20))
    assert max(width, height) < 2000
