"""Dead time: counts against photons that arrive one by one, in a simulation that shares nothing with the program."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from nbnumba.response import deadtime, deviates
from nbnumba.response.band import Band, Tally
from nbnumba.response.deadtime import DeadTime, counted_while_dead
from nbnumba.response.deviates import Window

TAU_S, EXPOSURE_S = 125e-9, 1e-3


def arrivals(x: float, fraction: float, paralyzable: bool, exposures: int) -> np.ndarray:
    """Counts of that many exposures with x photons expected in a dead time, ``fraction`` of the exposure."""
    rng = np.random.default_rng(int(1e6 * x) + paralyzable)
    time = np.full(exposures, -25.0)
    free, counts = time.copy(), np.zeros(exposures)
    end = 1.0 / fraction
    while (time < end).any():
        time += rng.exponential(1.0 / x, exposures)
        is_free = time > free
        counts += is_free & (time > 0.0) & (time < end)
        free = np.where(is_free | paralyzable, time + 1.0, free)
    return counts


def counted(expected: float, dead: DeadTime, pixels: int = 40_000, seed: int = 3) -> np.ndarray:
    """Counts of that many pixels."""
    window = Window(0, pixels)
    band = Band(window, seed, 0, partial(deviates.poisson, seed=seed, frame=0), Tally())
    counts = counted_while_dead(np.full((1, pixels), expected, np.float32), band, dead)
    assert band.tally.photons == counts.sum()
    assert (counts == np.rint(counts)).all()
    return counts


def assert_alike(counts: np.ndarray, mean: float, variance: float, relative: float = 2e-3) -> None:
    assert counts.mean() == pytest.approx(mean, rel=relative)
    assert counts.var() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("paralyzable", [False, True])
@pytest.mark.parametrize("x", [0.02, 0.1, 0.3])
def test_counts_are_those_of_photons_that_arrive(x: float, paralyzable: bool) -> None:
    """Of exposures as long as 400 dead times, so that the simulation stays short."""
    fraction = 1.0 / 400.0
    oracle = arrivals(x, fraction, paralyzable, 20_000)
    counts = counted(x / fraction, DeadTime(fraction, paralyzable, corrected=False))
    assert counts.mean() == pytest.approx(oracle.mean(), abs=5 * oracle.std() * np.sqrt(1 / 20_000 + 1 / 40_000))
    assert counts.var() == pytest.approx(oracle.var(), rel=0.06)
    if x > 0.1:
        assert counts.var() < 0.75 * counts.mean()


@pytest.mark.parametrize("paralyzable", [False, True])
@pytest.mark.parametrize("x", [0.01, 0.02, 0.1, 0.3, 0.6, 1.0])
def test_mean_and_variance_of_long_exposures(x: float, paralyzable: bool) -> None:
    m = x * EXPOSURE_S / TAU_S
    counts = counted(m, DeadTime(TAU_S / EXPOSURE_S, paralyzable, corrected=False))
    left = np.exp(-x)
    if paralyzable:
        assert_alike(counts, m * left, m * left * (1 - 2 * x * left))
    else:
        assert_alike(counts, m / (1 + x), m / (1 + x) ** 3)


@pytest.mark.parametrize("x", [0.01, 0.1, 0.3, 0.6])
def test_a_corrected_image_has_its_mean_and_more_noise(x: float) -> None:
    exposure_s = 0.01  # so that whole numbers are fine steps of what is corrected
    m = x * exposure_s / TAU_S
    counts = counted(m, DeadTime(TAU_S / exposure_s, paralyzable=False, corrected=True))
    assert_alike(counts, m, m * (1 + x))
    paralyzed = counted(m, DeadTime(TAU_S / exposure_s, paralyzable=True, corrected=True))
    left = np.exp(-x)
    assert_alike(paralyzed, m, m * (1 - 2 * x * left) / (left * (1 - x) ** 2), relative=4e-3)


def test_poissons_variance_would_be_seen() -> None:
    """That of all other simulators, and of weights by 1/n."""
    m = 0.3 * EXPOSURE_S / TAU_S
    counts = deviates.poisson(np.full((1, 40_000), m), Window(0, 40_000), 3)
    with pytest.raises(AssertionError):
        assert_alike(counts, m, 1.3 * m)


@pytest.mark.parametrize("paralyzable", [False, True])
@pytest.mark.parametrize(("x", "m"), [(0.3, 4.8), (0.01, 0.7), (1.0, 20.0)])
def test_few_photons_are_taken_one_by_one(x: float, m: float, paralyzable: bool) -> None:
    """Whose counts no formula has: the whole distribution against the simulation."""
    oracle = arrivals(x, x / m, paralyzable, 100_000)
    counts = counted(m, DeadTime(x / m, paralyzable, corrected=False))
    edges = np.arange(-0.5, max(oracle.max(), counts.max()) + 1)
    found, expected = (np.histogram(values, edges)[0] / values.size for values in (counts, oracle))
    spread = np.sqrt(np.maximum(expected, 1e-4) * (1 / 40_000 + 1 / 100_000))
    assert (np.abs(found - expected) < 5 * spread).all()


def test_weak_pixels_are_poissons() -> None:
    dead = DeadTime(1e-5, paralyzable=False, corrected=True)
    plain = deviates.poisson(np.full((1, 40_000), np.float32(3.0)), Window(0, 40_000), 3)
    np.testing.assert_array_equal(counted(3.0, dead), plain)
    # Beside strong ones, too.
    window = Window(0, 2)
    band = Band(window, 3, 0, partial(deviates.poisson, seed=3, frame=0), Tally())
    both = counted_while_dead(np.array([[3.0, 5e4]], np.float32), band, dead)
    assert both[0, 0] == plain[0, 0]
    assert both[0, 1] == pytest.approx(5e4, rel=0.03)


def test_what_is_lost_is_lost_of_weak_pixels_too() -> None:
    """Just below where the variance is left to Poisson."""
    m = 0.0049 * EXPOSURE_S / TAU_S
    counts = counted(m, DeadTime(TAU_S / EXPOSURE_S, paralyzable=False, corrected=False), 400_000)
    assert counts.mean() == pytest.approx(m / 1.0049, abs=5 * np.sqrt(m / 400_000))


@pytest.mark.parametrize("paralyzable", [False, True])
def test_no_rate_is_too_high(paralyzable: bool) -> None:
    """A pixel that is always dead counts what it can, and a correction of it stays a number."""
    for corrected in (False, True):
        for fraction in (1e-4, 0.02, 1.0):
            counts = counted(1e7, DeadTime(fraction, paralyzable, corrected), 100)
            assert np.isfinite(counts).all()
            assert (counts >= 0).all()
            if not corrected:
                assert counts.max() <= 1.0 / fraction + 1.0


def test_a_paralyzable_pixel_at_its_peak_is_corrected_to_a_photon_a_dead_time() -> None:
    """More counts than it has on average at any rate are those of the rate at which it has most."""
    dead = DeadTime(0.02, paralyzable=True, corrected=True)
    assert dead.correct(np.array([18.0])) < 50.0
    np.testing.assert_allclose(dead.correct(np.array([18.5, 19.0, 1e9])), 50.0, rtol=1e-6)
    assert counted(30.0, dead).max() == 50.0


def test_arrivals_are_the_same_compiled_and_not() -> None:
    kernel = deadtime.record_arrivals
    expected, pixels = np.array([0.5, 30.0, 80.0]), np.array([4, 7, 2**31], np.uint64)
    results = []
    for function in (kernel, getattr(kernel, "py_func", kernel)):
        out = np.empty(3)
        function(expected, pixels, 0.01, True, np.uint64(2), np.uint64(5), out)
        results.append(out.tolist())
    assert results[0] == results[1]
