"""Photon counting: the golden images to the last photon, and Poisson's law."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbnumba.kernels.counting.poisson as kernel
from nbnumba import Experiment, Image, Readout, changed
from nbnumba.kernels.counting.random import seeded, uniform
from nbnumba.response.chain import Chain, photon_counts
from nbnumba.response.integers import truncated
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve

GOLDEN = Path(__file__).parent / "golden"


def whole(image: np.ndarray) -> tuple[int, int, int, int]:
    return (0, image.shape[1] - 1, 0, image.shape[0] - 1)


@pytest.mark.parametrize(
    ("name", "seed", "adc", "roi"),
    [
        ("noise_low", 7, 40, None),
        ("noise_mid", 99, 40, None),
        ("noise_high", 12, 0, None),
        ("noise_roi", 7, 40, (20, 60, 30, 80)),
        ("noise_mask", 7, 40, None),
    ],
)
def test_counts_are_those_of_the_golden_image(name: str, seed: int, adc: int, roi: tuple[int, int, int, int]) -> None:
    with np.load(GOLDEN / f"{name}.npz") as golden:
        noise = photon_counts(golden["float"], roi or whole(golden["float"]), seed, Readout(adc))
        figures = json.loads(str(golden["figures"]))
        np.testing.assert_array_equal(noise.counts, golden["noise"])
    assert (noise.photons, noise.overloads) == (figures["photons"], figures["overloads"])


@pytest.mark.parametrize("mean", [0.01, 0.9, 11.9, 12.1, 900.0, 3e4])
def test_counts_follow_poissons_law(mean: float) -> None:
    image = np.full((300, 300), mean, dtype=np.float32)
    counts = photon_counts(image, whole(image), 4, Readout(0)).counts.astype(float)
    standard_error = np.sqrt(mean / counts.size)
    assert counts.mean() == pytest.approx(mean, abs=5 * standard_error)
    spread_of_variance = mean * np.sqrt((2.0 + 1.0 / mean) / counts.size)
    assert counts.var() == pytest.approx(mean, abs=5 * spread_of_variance)


def test_strong_pixels_spread_like_a_normal_distribution() -> None:
    mean, offset = 2e6, 30_000.0
    image = np.full((200, 200), mean, dtype=np.float32)
    counts = photon_counts(image, whole(image), 4, Readout(offset - mean)).counts.astype(float)
    assert counts.mean() == pytest.approx(offset, abs=5 * np.sqrt(mean / counts.size))
    assert counts.var() == pytest.approx(mean, rel=5 * np.sqrt(2.0 / counts.size))


def test_only_the_region_is_drawn_and_seeds_differ() -> None:
    image = np.full((8, 9), 50.0, dtype=np.float32)
    counts = photon_counts(image, (2, 4, 1, 6), 3, Readout(40)).counts
    inside = np.zeros(image.shape, dtype=bool)
    inside[1:7, 2:5] = True
    assert (counts[inside] > 40).all()
    assert (counts[~inside] == 0).all()
    assert (photon_counts(image, (2, 4, 1, 6), 8, Readout(40)).counts != counts).any()


def test_overloads_are_cut_and_counted() -> None:
    image = np.array([[1e5, 1.0, np.inf, 2e6, 0.0]], dtype=np.float32)
    noise = photon_counts(image, whole(image), 1, Readout(40))
    assert noise.overloads == 3
    np.testing.assert_array_equal(noise.counts[0, [0, 2, 3, 4]], [65535, 65535, 65535, 40])
    assert 2e6 < noise.photons < 2.2e6


@pytest.mark.parametrize("roi", [None, (3, 30, 2, 36)])
def test_counts_do_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch, roi: Any) -> None:
    """With a normal deviate left over from one band to the next."""
    image = np.geomspace(1e-3, 1e8, 40 * 31).reshape(40, 31).astype(np.float32)
    whole = photon_counts(image, roi, 5, Readout(40))
    monkeypatch.setattr("nbnumba.response.integers._BAND_PIXELS", 1)
    banded = photon_counts(image, roi, 5, Readout(40))
    np.testing.assert_array_equal(banded.counts, whole.counts)
    assert (banded.photons, banded.overloads) == (whole.photons, whole.overloads)
    assert whole.overloads > 100


def test_steps_are_taken_in_their_order() -> None:
    """What is too large is cut at the end."""
    chain = Chain((lambda x: x * 2.0, lambda x: x + 0.75), truncated, np.uint8)
    counts, overloads = chain(np.array([[0, 1, 3], [50, 110, 160]], np.float32), (1, 2, 0, 1))
    assert counts.dtype == np.uint8
    assert counts.tolist() == [[0, 2, 6], [0, 220, 255]]
    assert overloads == 1


def test_the_experiment_says_how_counts_are_read() -> None:
    experiment = Experiment.from_args("-cell 70 80 90 -default_F 1 -detpixels 4 -adc 7 -seed 1".split())
    image = Image(resolve(experiment, Inputs()), np.zeros((4, 4), np.float32))
    assert (image.noise().counts == 7).all()
    assert (image.noise(adc_offset=9).counts == 9).all()
    assert image.frame("scaled").pixels[0].max() == image.frame("counted").adc_offset == 7
    again = Experiment.from_toml(image.experiment.to_toml())
    assert again.readout == image.experiment.readout
    assert (again.readout.adc_offset, again.readout.kind) == (7.0, "ideal")
    assert "-adc" in again.to_args()
    assert changed(again, readout={"adc_offset": 3}).readout == replace(again.readout, adc_offset=3.0)
    assert resolve(changed(experiment, readout={"adc_offset": None}), Inputs()).experiment.readout.adc_offset == 40


def textbook_ran1(seed: int, count: int) -> list[float]:
    """The published generator, with Schrage's multiplication, in plain integers."""

    def step(x: int) -> int:
        quotient, remainder = divmod(x, 127773)
        x = 16807 * remainder - 2836 * quotient
        return x + 2147483647 if x < 0 else x

    x = max(1, abs(seed))
    for _ in range(8):
        x = step(x)
    table = [x := step(x) for _ in range(32)][::-1]
    iy, values = table[0], []
    for _ in range(count):
        x = step(x)
        j = iy // (1 + 2147483646 // 32)
        iy, table[j] = table[j], x
        values.append(min(iy / 2147483647, 1 - 1.2e-7))
    return values


@pytest.mark.parametrize("seed", [0, 1, -7, 12345678, 2147483646])
def test_generator_is_the_textbooks(seed: int) -> None:
    state = seeded(seed)
    drawn = [uniform(state) for _ in range(3000)]
    assert {type(value) for value in drawn} == {np.float32}
    np.testing.assert_array_equal(drawn, np.array(textbook_ran1(seed, 3000), dtype=np.float32))


@pytest.mark.parametrize("seed", [2147483647, 2**40, -(2**62)])
def test_generator_never_stalls(seed: int) -> None:
    state = seeded(seed)
    assert len({uniform(state) for _ in range(1000)}) > 990


def test_compiled_code_draws_as_python_does() -> None:
    means = np.geomspace(1e-4, 1e7, 120).reshape(10, 12).astype(np.float32)
    results = []
    for draw_counts in (kernel.draw_counts, getattr(kernel.draw_counts, "py_func", kernel.draw_counts)):
        counts, spare = np.zeros(means.shape), np.full(1, np.nan, np.float32)
        results.append((draw_counts(means, 0.0, seeded(5), spare, counts), counts.tolist()))
    assert results[0] == results[1]
