"""Point spread against closed forms and sums over pairs of pixels; what leaves the sensor is lost, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import dblquad

from nbnumba.response.psf import FIBRE, fibre_fractions, gauss_fractions, spread

SIZE = (50, 70)


def quarter_to_whole(quarter: np.ndarray) -> np.ndarray:
    """Fractions at (−n … n) from those at (0 … n)."""
    right = np.concatenate([quarter[:, :0:-1], quarter], axis=1)
    return np.concatenate([right[:0:-1], right])


def within(half_slow: float, half_fast: float) -> float:
    """Light of a taper in a rectangle about its photon: edges in units of the full width at half maximum."""
    product = half_slow * half_fast
    return float(4 * np.arctan(product / (FIBRE * np.sqrt(FIBRE**2 + half_slow**2 + half_fast**2))) / (2 * np.pi))


def directly(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Every pixel's light to every other: the definition."""
    rows, columns = image.shape
    out = np.zeros(image.shape)
    for (slow, fast), photons in np.ndenumerate(image):
        if photons:
            out += photons * kernel[rows - 1 - slow : 2 * rows - 1 - slow, columns - 1 - fast : 2 * columns - 1 - fast]
    return out


def scene(seed: int = 3) -> np.ndarray:
    image = np.random.default_rng(seed).poisson(1.0, SIZE).astype(float)
    image[13, 60], image[40, 2] = 1e6, 3e4
    return image


@pytest.mark.parametrize("width", [0.5, 1.3, 3.0])
def test_all_light_of_a_taper_is_somewhere(width: float) -> None:
    kernel = quarter_to_whole(fibre_fractions(601, 601, (1 / width, 1 / width)))
    assert kernel.sum() == pytest.approx(within(600.5 / width, 600.5 / width), abs=1e-10)
    assert 1.0 - kernel.sum() > 1e-4


def test_half_of_the_maximum_is_at_half_the_width() -> None:
    density = [FIBRE / (2 * np.pi) * (FIBRE**2 + r * r) ** -1.5 for r in (0.0, 0.5)]
    assert density[1] / density[0] == pytest.approx(0.5, abs=1e-14)
    # g = 27 µm, of which 41.4 is the width (Holton, Nielsen & Frankel 2012).
    assert pytest.approx(27.0, abs=0.01) == FIBRE * 41.4
    middle = gauss_fractions(200, 0.01)
    assert middle[200 + 50] / middle[200] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(("along_fast", "along_slow"), [(0.05, 0.0), (0.1, 0.2), (0.25, 0.1)])
def test_modulation_of_a_taper(along_fast: float, along_slow: float) -> None:
    """exp(−2πg|k|) times the pixel's own, with what pixels take for lower frequencies."""
    width, reach = 2.0, 1000
    kernel = fibre_fractions(reach + 1, reach + 1, (1 / width, 1 / width))
    weight = np.where(np.arange(reach + 1) > 0, 2.0, 1.0)
    phases = [weight * np.cos(2 * np.pi * k * np.arange(reach + 1)) for k in (along_slow, along_fast)]
    found = phases[0] @ kernel @ phases[1]
    aliases = np.arange(-60, 61)
    fast, slow = along_fast + aliases[np.newaxis, :], along_slow + aliases[:, np.newaxis]
    wave = np.exp(-2 * np.pi * FIBRE * width * np.hypot(fast, slow))
    # What the finite sum leaves out is of the order of the fraction at its border.
    assert found == pytest.approx((wave * np.sinc(fast) * np.sinc(slow)).sum(), abs=1e-6)


@pytest.mark.parametrize("edges", [(0.8, 0.8), (0.5, 1.1), (2.4, 2.4)])
def test_transform_is_the_sum_over_all_pairs(edges: tuple[float, float]) -> None:
    image = scene()
    kernel = quarter_to_whole(fibre_fractions(*SIZE, edges))
    found, expected = spread(image, "fibre", edges), directly(image, kernel)
    assert np.abs(found - expected).max() < 1e-12 * expected.max()
    assert found.min() >= 0.0


@pytest.mark.parametrize("edges", [(0.8, 0.8), (0.5, 1.1), (0.05, 0.06)])
def test_two_passes_are_the_sum_over_all_pairs(edges: tuple[float, float]) -> None:
    image = scene()
    slow, fast = (gauss_fractions(size - 1, edge) for size, edge in zip(SIZE, edges, strict=True))
    expected = directly(image, np.outer(slow, fast))
    assert np.abs(spread(image, "gauss", edges) - expected).max() < 1e-12 * expected.max()


@pytest.mark.parametrize("pixel", [(0, 0), (1, 2), (3, 0)])
def test_fractions_are_integrals_over_pixels(pixel: tuple[int, int]) -> None:
    """Oblong ones, of the densities as they are published."""
    edges = (0.5, 1.1)
    borders = [((n - 0.5) * edge, (n + 0.5) * edge) for n, edge in zip(pixel, edges, strict=True)]

    def integral(density: Any) -> float:
        return float(dblquad(lambda x, y: density(x * x + y * y), *borders[0], *borders[1], epsabs=1e-13)[0])

    taper = integral(lambda square: FIBRE / (2 * np.pi) * (FIBRE**2 + square) ** -1.5)
    assert fibre_fractions(4, 4, edges)[pixel] == pytest.approx(taper, abs=1e-12)
    gauss = integral(lambda square: 4 * np.log(2) / np.pi * np.exp(-4 * np.log(2) * square))
    lines = [gauss_fractions(9, edge)[9 + n] for n, edge in zip(pixel, edges, strict=True)]
    assert lines[0] * lines[1] == pytest.approx(gauss, abs=1e-12)


def wrapped(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """As a transform of the image's own size has it: light that leaves comes in from behind."""
    rows, columns = image.shape
    folded = np.zeros(image.shape)
    for (slow, fast), fraction in np.ndenumerate(kernel):
        folded[(slow - rows + 1) % rows, (fast - columns + 1) % columns] += fraction
    transform = np.fft.rfft2(folded)
    return np.fft.irfft2(np.fft.rfft2(image) * transform, image.shape)


def assert_light_leaves(blurred: np.ndarray, shape: str) -> None:
    """A photon at the fast edge: nothing comes in at the other one, beyond what the way there lets through."""
    columns = blurred.shape[1]
    assert blurred[:, 0].sum() < 6e4 * (1e-9 if shape == "gauss" else 2.0 / columns**2)


@pytest.mark.parametrize("shape", ["gauss", "fibre"])
def test_no_light_comes_in_from_behind(shape: Any) -> None:
    image = np.zeros((64, 64))
    image[32, 63] = 6e4
    assert_light_leaves(spread(image, shape, (0.5, 0.5)), shape)
    lines = gauss_fractions(63, 0.5)
    kernel = np.outer(lines, lines) if shape == "gauss" else quarter_to_whole(fibre_fractions(64, 64, (0.5, 0.5)))
    with pytest.raises(AssertionError):
        assert_light_leaves(wrapped(image, kernel), shape)


def test_what_is_missing_has_left() -> None:
    """By the closed form of what lies within the sensor, from four corners about each photon."""
    image, edges = np.zeros((40, 31)), (0.4, 0.6)
    image[3, 30], image[20, 15] = 1e5, 2e3

    def corner(slow: float, fast: float) -> float:
        return float(np.sign(slow * fast)) * within(abs(slow), abs(fast)) / 4

    kept = 0.0
    for (slow, fast), photons in np.ndenumerate(image):
        low, high = ((-0.5 - slow) * edges[0], (-0.5 - fast) * edges[1]), ((39.5 - slow) * edges[0],
                                                                          (30.5 - fast) * edges[1])  # fmt: skip
        kept += photons * (corner(*high) - corner(low[0], high[1]) - corner(high[0], low[1]) + corner(*low))
    assert spread(image, "fibre", edges).sum() == pytest.approx(kept, rel=1e-9)
    assert kept < 0.7 * image.sum()


def test_an_image_need_not_be_larger_than_its_spread() -> None:
    for shape in ("gauss", "fibre"):
        for size in ((1, 1), (1, 9), (7, 1)):
            found = spread(np.ones(size), shape, (0.01, 0.01))  # type: ignore[arg-type]
            assert found.shape == size
            assert (found > 0).all()
            assert found.sum() < 1.0
