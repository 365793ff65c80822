"""From expected photons to what a detector reads: the laws of each chain, and what must not depend on anything."""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, Image, NbnumbaWarning, changed, simulate
from nbnumba.response import amplification, detection, switching
from nbnumba.response.band import Band
from nbnumba.response.chain import NoiseImage, photon_counts
from nbnumba.response.detection import detected
from nbnumba.response.deviates import Purpose
from nbnumba.response.psf import fibre_fractions, gauss_fractions
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

EDGE = 1000
KEV = 12.4


def read(photons: Any, options: str, size: tuple[int, int] = (EDGE, EDGE), seed: int = 5, frame: int = 0,
         threads: int | None = None, rng: Any = "philox") -> NoiseImage:  # fmt: skip
    """Counts of an image of one panel by the options of a line; of a number, that in all its pixels."""
    photons = np.full(size, photons, np.float32) if np.ndim(photons) == 0 else np.asarray(photons, np.float32)
    image = image_of(photons, options)
    experiment = image.experiment
    return detected(photons, image.description.panels, experiment.readout, seed, frame, rng,
                    experiment.beam.exposure_s, KEV, image.resolved.bad_pixels, threads)  # fmt: skip


def image_of(photons: np.ndarray, options: str, **changes: Any) -> Image:
    slow, fast = photons.shape
    line = f"-cell 70 80 90 -default_F 1 -seed 1 -detpixels_f {fast} -detpixels_s {slow} {options}"
    experiment = changed(Experiment.from_args(line.split()), **changes)
    return Image(resolve(experiment, read_inputs(experiment)), photons)


def assert_mean(counts: np.ndarray, mean: float) -> None:
    assert abs(counts.mean() - mean) < 5.0 * counts.std() / np.sqrt(counts.size)


# The laws --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "gain", "calibration", "swank"),
    [(100, 1.0, 0.0, 1.0), (100, 1.8, 0.0, 0.9), (100, 1.8, 0.03, 0.9), (1e4, 1.8, 0.03, 0.9)],
)
def test_light_that_is_integrated_has_the_variance_of_its_steps(
    m: float, gain: float, calibration: float, swank: float
) -> None:
    counts = read(m, f"-readout integrating -gain {gain} -calib {calibration} -swank {swank}").counts.astype(float)
    s = calibration**2
    assert_mean(counts, gain * m + 40.0)
    assert counts.var() == pytest.approx(gain**2 * (m / swank * (1 + s) + m * m * s) + 9.0 + 1 / 12, rel=0.01)


def test_gain_errors_of_a_counter_are_losses_before_counting() -> None:
    """Which leaves out the variance of a gain that acts on counts, m·s²: too little to be seen here, as it should."""
    counts = read(400, "-readout counting -calib 0.05").counts.astype(float)
    assert_mean(counts, 400)
    assert counts.var() == pytest.approx(400 + (400 * 0.05) ** 2, rel=0.01)


def test_truncation_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "rounded", lambda values, band: np.floor(values))
    with pytest.raises(AssertionError):
        test_light_that_is_integrated_has_the_variance_of_its_steps(100, 1.0, 0.0, 1.0)


def test_a_photon_that_moves_is_counted_once_and_light_that_spreads_is_smooth() -> None:
    """One point spread, and the noise of two detectors."""
    m, width, inside = 50.0, 1.5, np.s_[20:-20, 20:-20]
    spread = f"-pixel 0.1 -psf gauss -psf_fwhm {100 * width}"
    counted = read(m, f"-readout counting {spread}").counts[inside].astype(float)
    light = read(m, f"-readout integrating {spread} -readnoise 0 -gain 10").counts[inside].astype(float)
    squares = np.square(gauss_fractions(8, 1.0 / width)).sum() ** 2
    assert squares < 0.3
    assert counted.var() / counted.mean() == pytest.approx(1.0, rel=0.01)
    # Neighbours go together, so that fewer than all are independent.
    assert light.var() == pytest.approx(100.0 * m * squares, rel=0.03)
    assert np.corrcoef(counted[:, 1:].ravel(), counted[:, :-1].ravel())[0, 1] == pytest.approx(0.0, abs=0.006)
    assert np.corrcoef(light[:, 1:].ravel(), light[:, :-1].ravel())[0, 1] > 0.4


def test_light_of_a_taper_has_the_variance_of_its_kernel() -> None:
    counts = read(100, "-readout integrating -pixel 0.1 -psf fibre -psf_fwhm 100", (600, 600)).counts.astype(float)
    squares = _sum_of_squares(fibre_fractions(200, 200, (1.0, 1.0)))
    middle = counts[150:450, 150:450]
    assert middle.var() == pytest.approx(100 * squares + 9 + 1 / 12, rel=0.03)


def _sum_of_squares(quarter: np.ndarray) -> float:
    s = np.square(quarter)
    return float(4 * s[1:, 1:].sum() + 2 * s[1:, 0].sum() + 2 * s[0, 1:].sum() + s[0, 0])


def test_the_dark_and_the_overloaded() -> None:
    dark, bright = read(0, "-readout integrating"), read(7e4, "-readout integrating", (20, 20))
    assert dark.counts.mean() == pytest.approx(40.0, abs=0.015)
    assert dark.photons == 0
    assert (bright.counts == 65535).all()
    assert (bright.overloads, bright.saturation) == (400, 65534)
    counted = read(3e4, "-readout counting -bits 14", (20, 20))
    assert (counted.counts == 2**14 - 1).all()
    assert counted.saturation == 2**14 - 2
    cut = read(3e4, "-readout counting -count_cutoff 1e5 -exposure 0.1", (20, 20))
    assert (cut.counts == 1e4).all()
    assert cut.counts.dtype == np.int32


def test_intensity_flickers_from_image_to_image() -> None:
    means = [read(1e4, "-readout counting -flicker 0.02", (16, 16), frame=frame).counts.mean() for frame in range(400)]
    assert np.std(means) / 1e4 == pytest.approx(0.02, rel=5 / np.sqrt(2 * 400))
    one = read(1e4, "-readout counting -flicker 0.5", (100, 100)).counts.astype(float)
    assert one.var() / one.mean() == pytest.approx(1.0, abs=0.1)
    each = read(1e4, "-readout counting -pixel_flicker 0.02", (300, 300)).counts.astype(float)
    assert each.var() == pytest.approx(1e4 + 200.0**2, rel=0.03)


# The pattern that stays ----------------------------------------------------------------------------------------------


def correlation(a: NoiseImage, b: NoiseImage) -> float:
    return float(np.corrcoef(a.counts.ravel(), b.counts.ravel())[0, 1])


@pytest.mark.parametrize(("kind", "noise"), [("integrating", 9.0), ("counting", 0.0)])
def test_the_pattern_of_sensitivities_stays(kind: str, noise: float) -> None:
    """In another image, with another seed; not with another seed of the pattern."""
    options, size = f"-readout {kind} -calib 0.05", (600, 600)
    first = read(1e4, options, size, seed=1)
    due = 25e4 / (25e4 + 1e4 + noise)
    assert correlation(first, read(1e4, options, size, seed=2, frame=1)) == pytest.approx(due, abs=0.01)
    assert abs(correlation(first, read(1e4, f"{options} -calib_seed 9", size, seed=2, frame=1))) < 0.01


def test_a_pattern_that_is_drawn_anew_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By which the calibration of other programs is but more noise."""
    monkeypatch.setattr(Band, "pattern", lambda band, shape, seed: band.normals(shape, Purpose.CALIBRATION))
    with pytest.raises(AssertionError):
        test_the_pattern_of_sensitivities_stays("integrating", 9.0)


# Gains that switch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "stage"), [(0, 0), (4, 0), (200, 1), (2000, 2)])
def test_gains_switch_by_charge(m: float, stage: int) -> None:
    size = (300, 300)
    raw = read(m, "-readout switching -words raw", size)
    photons = switching.from_words(raw.counts, KEV)
    drawn = read(m, "-readout ideal -adc 0", size).counts.astype(float)
    assert set((raw.counts >> 14).ravel().tolist()) == {(0, 1, 3)[stage]}
    noise = np.sqrt(switching.NOISE[stage] ** 2 + 1 / 12) / abs(switching.PER_KEV[stage]) / KEV
    assert (photons - drawn).std() == pytest.approx(noise, rel=0.02)
    assert photons.mean() == pytest.approx(drawn.mean(), abs=5 * noise / 300)
    whole = read(m, "-readout switching", size)
    np.testing.assert_array_equal(whole.counts, np.maximum(np.floor(photons + 0.5), 0))
    assert (raw.saturation, whole.counts.dtype) == (None, np.int32)


def test_charge_beyond_the_last_stage_is_an_overload() -> None:
    bright = read(2e4, "-readout switching -gain 2", (10, 10))
    assert bright.overloads == 100
    assert (bright.counts == np.floor(149990 / KEV * 2)).all()


# Pixels that never count rightly -------------------------------------------------------------------------------------


def test_bad_pixels_are_the_same_in_every_image() -> None:
    options = "-readout counting -badpix 0.03"
    one, other = read(5, options, seed=1), read(5, options, seed=2, frame=3)
    assert one.bad is not None
    np.testing.assert_array_equal(one.bad, other.bad)
    assert one.bad.mean() == pytest.approx(0.03, rel=0.03)
    dead, hot = one.bad & (one.counts == 0) & (other.counts == 0), one.counts == 2**20 - 1
    assert dead.mean() == pytest.approx(0.01, rel=0.06)
    assert hot.mean() == pytest.approx(0.01, rel=0.06)
    assert one.overloads == 0
    assert one.counts[one.bad & ~dead & ~hot].mean() > 50
    assert_mean(one.counts[~one.bad].astype(float), 5.0)
    assert (read(5, f"{options} -badpix_seed 4").bad != one.bad).any()
    assert read(5, "-readout counting").bad is None


def test_listed_pixels_are_bad(tmp_path: Path) -> None:
    Path(tmp_path, "bad.txt").write_text("2 1  # dead\n7 5 hot\n0, 0, 0, noisy\n")
    image = read(20, f"-readout integrating -badpix_file {tmp_path}/bad.txt", (6, 8))
    assert image.bad is not None
    assert {tuple(at) for at in np.argwhere(image.bad).tolist()} == {(1, 2), (5, 7), (0, 0)}
    assert (image.counts[1, 2], image.counts[5, 7]) == (0, 65535)


# What does not matter ------------------------------------------------------------------------------------------------

CHAINS = (
    "-readout counting -flicker 0.1 -pixel_flicker 0.1 -calib 0.1 -badpix 0.05",
    "-readout counting -deadtime 1e6 -exposure 0.1",
    "-readout integrating -calib 0.1 -swank 0.8 -gain 1.3 -badpix 0.05",
    "-readout switching -calib 0.1",
    "-readout ideal",
)
SPREAD = ("-readout counting -psf gauss -psf_fwhm 150", "-readout integrating -calib 0.1 -psf fibre -psf_fwhm 150")


def scene(slow: int = 40, fast: int = 31) -> np.ndarray:
    return np.geomspace(1e-2, 3e4, slow * fast).reshape(slow, fast).astype(np.float32)


@pytest.mark.parametrize("options", CHAINS + SPREAD)
def test_counts_do_not_depend_on_threads_and_bands(monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.setattr("nbnumba.response.deviates.PIXELS_OF_A_THREAD", 16)
    whole = read(scene(), options, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(read(scene(), options, threads=threads).counts, whole.counts)
    monkeypatch.setattr("nbnumba.response.integers._BAND_PIXELS", 1)
    monkeypatch.setattr("nbnumba.response.psf._BAND_NUMBERS", 1)
    banded = read(scene(), options)
    np.testing.assert_array_equal(banded.counts, whole.counts)
    assert (banded.photons, banded.overloads) == (whole.photons, whole.overloads)
    assert (read(scene(), options, frame=1).counts != whole.counts).any()


@pytest.mark.parametrize("options", CHAINS)
def test_a_region_is_the_crop_of_the_whole_image(options: str) -> None:
    whole, part = read(scene(), options).counts, read(scene(), f"{options} -roi 3 20 5 33").counts
    inside = np.zeros(whole.shape, bool)
    inside[5:34, 3:21] = True
    np.testing.assert_array_equal(part, np.where(inside, whole, 0))


@pytest.mark.parametrize("options", CHAINS + SPREAD)
def test_nothing_is_drawn_where_nothing_is_measured(options: str) -> None:
    mask = np.random.default_rng(1).random((40, 31)) < 0.8
    image = image_of(scene(), options, detector={"mask": mask})
    given = (image.description.panels, image.experiment.readout, 5, 0, "philox", image.experiment.beam.exposure_s, KEV)
    masked = detected(scene(), *given)  # type: ignore[arg-type]
    assert (masked.counts[~mask] == 0).all()
    assert masked.bad is None or not masked.bad[~mask].any()
    dark = np.where(mask, scene(), np.float32(0.0))
    # Their light reaches no other pixel either.
    np.testing.assert_array_equal(detected(dark, *given).counts, masked.counts)  # type: ignore[arg-type]
    if options in CHAINS:
        np.testing.assert_array_equal(masked.counts, np.where(mask, read(scene(), options).counts, 0))


@pytest.mark.parametrize("options", CHAINS)
def test_panels_are_read_as_the_whole_is(options: str) -> None:
    """One above the other, as long as no light goes from one to the next."""
    image = image_of(scene(), options)
    (panel,), experiment = image.description.panels, image.experiment
    upper = dataclasses.replace(panel, slow_pixels=17, roi=(0, 30, 0, 16))
    lower = dataclasses.replace(panel, slow_pixels=23, roi=(0, 30, 0, 22))
    panels = detected(scene(), [upper, lower], experiment.readout, 5, 0, "philox", experiment.beam.exposure_s, KEV)
    np.testing.assert_array_equal(panels.counts, read(scene(), options).counts)


def test_each_panel_keeps_its_light() -> None:
    photons = np.zeros((40, 31), np.float32)
    photons[19, 15] = 1e5
    options = "-readout integrating -psf fibre -psf_fwhm 150 -readnoise 0 -adc 0"
    image = image_of(photons, options)
    panel = image.description.panels[0]
    half = dataclasses.replace(panel, slow_pixels=20, roi=(0, 30, 0, 19))
    counts = detected(photons, [half, half], image.experiment.readout, 5, 0, "philox", 1.0, KEV).counts
    assert (counts[:20] > 0).all()
    assert (counts[20:] == 0).all()


# Who draws -----------------------------------------------------------------------------------------------------------


def test_the_serial_generator_counts_as_ever() -> None:
    roi = (3, 20, 5, 33)
    image = image_of(scene(), "-readout ideal -roi 3 20 5 33")
    serial = detected(scene(), image.description.panels, image.experiment.readout, 5, 0, "ran1", 1.0, KEV)
    expected = photon_counts(scene(), roi, 5, image.experiment.readout)
    np.testing.assert_array_equal(serial.counts, expected.counts)
    assert (serial.photons, serial.overloads) == (expected.photons, expected.overloads)
    assert (serial.counts != read(scene(), "-readout ideal -roi 3 20 5 33").counts).any()


def test_expected_photons_stay_as_they_are() -> None:
    photons = scene()
    for options in CHAINS + SPREAD:
        read(photons, options)
    np.testing.assert_array_equal(photons, scene())


def test_steps_have_no_effect_where_they_are_neutral() -> None:
    neutral = "-flicker 0 -pixel_flicker 0 -calib 0 -deadtime 0 -psf none -badpix 0"
    for kind in ("counting", "integrating -gain 1 -swank 1"):
        options = neutral.replace("-deadtime 0 ", "") if kind.startswith("integrating") else neutral
        plain, given = read(scene(), f"-readout {kind}"), read(scene(), f"-readout {kind} {options}")
        np.testing.assert_array_equal(plain.counts, given.counts)
    assert np.array_equal(
        read(scene(), "-readout counting -bits 16").counts.clip(max=65534),
        read(scene(), "-readout ideal -adc 0").counts.clip(max=65534),
    )


def test_multipliers_are_never_below_zero() -> None:
    assert amplification._factors(np.array([-3.0, 0.0, 1.0]), 0.5).tolist() == [0.0, 1.0, 1.5]


def test_behind_the_beamstop_a_detector_reads_the_dark() -> None:
    """It is not blind there, as in a gap: offset and noise of the read-out, and light from beside it."""
    line = "-cell 70 80 90 -default_F 1000 -N 3 -detpixels 40 -pixel 0.2 -oversample 1 -seed 1"
    line += " -beamstop 2 -beamstop_arm 1 0"
    mask = np.ones((40, 40), bool)
    mask[:3] = False
    dark = simulated(f"{line} -readout integrating -readnoise 3 -gain 2", mask)
    behind = dark.resolved.plan.detector.mask == 0
    behind[:3] = False
    assert (dark.photons[behind] == 0.0).all()
    counts = dark.noise().counts
    assert (counts[:3] == 0).all()
    assert abs(counts[behind].mean() - 40.0) < 5.0 * 3.0 / np.sqrt(behind.sum())
    assert 2.0 < counts[behind].std() < 4.0
    spread = simulated(f"{line} -readout integrating -readnoise 0 -psf fibre -psf_fwhm 400", mask).noise().counts
    assert spread[behind].mean() > 41.0
    assert dark.description.panels[0].measured[behind].all()


def simulated(line: str, mask: np.ndarray) -> Image:
    experiment = changed(Experiment.from_args(shlex.split(line)), detector={"mask": mask})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        return simulate(experiment, backend="cpu")
