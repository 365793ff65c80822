"""Seeds that nobody gave: none is that of another run or frame, and all can be had again."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from nbnumba import Experiment, Readout, changed, simulate, simulate_many
from nbnumba.kernels.counting.poisson import draw_counts
from nbnumba.kernels.counting.random import seeded
from nbnumba.response.chain import photon_counts
from nbnumba.seeds import fresh_seed, spawned_seed, uniform_deviates

STILL = Experiment.from_args(
    "-cell 70 80 90 -N 5 -default_F 100 -misset random -detpixels 8 -pixel 4 -oversample 1 -fluence 1e29".split()
)
quiet = pytest.mark.filterwarnings("ignore:-oversample 1 is coarse")


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(time, "time_ns", lambda: 10**9)


@pytest.mark.usefixtures("stopped_clock")
def test_seeds_of_one_moment_differ() -> None:
    seeds = {fresh_seed() for _ in range(1000)}
    assert len(seeds) == 1000
    assert 2**60 < max(seeds) < 2**63


@quiet
@pytest.mark.usefixtures("stopped_clock")
def test_images_of_one_moment_differ_in_orientation_and_noise() -> None:
    images = [simulate(STILL) for _ in range(3)] + list(simulate_many([STILL] * 9))
    assert len({image.resolved.lattice.misset_rad for image in images}) == 12
    assert len({image.experiment.noise.seed for image in images}) == 12
    assert len({photon_counts(np.full((9, 9), 5, np.float32), (0, 8, 0, 8), seed_of(image), Readout(0)).counts.tobytes()
                for image in images}) == 12  # fmt: skip


def seed_of(image: Any) -> int:
    return int(image.experiment.noise.seed)


@quiet
def test_the_seed_that_is_told_gives_the_image_again() -> None:
    image = simulate(STILL)
    again = simulate(changed(STILL, noise={"seed": seed_of(image)}))
    np.testing.assert_array_equal(image.photons, again.photons)
    np.testing.assert_array_equal(image.noise().counts, again.noise().counts)


@quiet
def test_a_series_follows_from_its_seed_and_the_place_of_each_frame() -> None:
    whole = [seed_of(image) for image in simulate_many([STILL] * 4, seed=7)]
    assert whole == [spawned_seed(7, number) for number in range(4)]
    assert [seed_of(image) for image in simulate_many([STILL] * 2, seed=8)] != whole[:2]
    given = changed(STILL, noise={"seed": 3})
    mixed = [seed_of(image) for image in simulate_many([STILL, given, STILL], seed=7)]
    assert mixed == [whole[0], 3, whole[2]]


def test_spawned_seeds_are_far_apart() -> None:
    seeds = [spawned_seed(parent, number) for parent in (0, 1, 2**40) for number in range(3000)]
    assert len(set(seeds)) == len(seeds)
    assert kstest(np.array(seeds) / 2.0**63, "uniform").pvalue > 1e-4


def test_deviates_depend_on_seed_and_purpose() -> None:
    many = uniform_deviates(5, 1, 10_000)
    assert kstest(many, "uniform").pvalue > 1e-4
    np.testing.assert_array_equal(uniform_deviates(5, 1, 3), many[:3])
    assert not set(uniform_deviates(5, 2, 100)) & set(many)
    assert not set(uniform_deviates(6, 1, 100)) & set(many)
    assert 0.0 <= many.min() < many.max() < 1.0


def test_noise_takes_seeds_of_any_size_and_those_of_the_reference_as_they_are() -> None:
    image, out = np.full((6, 7), 3.0, np.float32), np.zeros((6, 7))
    draw_counts(image, 0.0, seeded(12345), np.full(1, np.nan, np.float32), out)
    np.testing.assert_array_equal(photon_counts(image, None, 12345, Readout(40)).counts, out + 40)
    large = [photon_counts(image, None, seed, Readout(40)).counts.tobytes() for seed in (2**63 - 1, 2**70, -5)]
    assert len(set(large)) == 3
