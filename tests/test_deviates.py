"""Deviates by place: the generator's published words, the laws, and that nothing but the place matters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nbnumba import Experiment, Image, changed
from nbnumba.kernels.compile import rounding
from nbnumba.kernels.counting.deviates import INVERTED_BELOW, normal_at, poisson_at, uniform_at
from nbnumba.kernels.counting.philox import SHARED, WORD, Purpose, philox, uniform_of
from nbnumba.response import deviates
from nbnumba.response.deviates import PIXELS_OF_A_THREAD, Window, normals, poisson, uniforms
from nbnumba.seeds import spawned_seed
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve

MEANS = (0.01, 0.1, 1.0, 5.0, 9.999, 12.0, 30.0, INVERTED_BELOW - 0.01, INVERTED_BELOW, 1e3, 1e4, 1e6, 1e7)
SIDE = 1000
WHOLE = Window(0, SIDE)
LEAST_PROBABILITY = 1e-4
FIVE_SIGMA = 5.0
PURPOSE = Purpose.READOUT
ALL_MEANS = np.geomspace(1e-3, 1e8, 1200).reshape(30, 40)


def words(counter: tuple[int, ...], key: int) -> str:
    return " ".join(f"{int(word):08x}" for word in philox(*map(np.uint64, counter), np.uint64(key)))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0,) * 4, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((2**32 - 1,) * 4, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), 0x299F31D0A4093822, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_words_are_those_that_the_authors_publish(counter: tuple[int, ...], key: int, expected: str) -> None:
    """Known answers of Random123; of counters beyond 32 bits the low ones count."""
    assert words(counter, key) == expected
    assert words(tuple(word + 2**40 for word in counter), key) == expected


def test_a_purpose_keeps_its_number() -> None:
    """New ones are added: whoever exchanges two changes every image that has been made."""
    names = """POISSON READOUT CALIBRATION FLICKER SHARING ZINGER BAD SWANK DEADTIME MOSAIC ORIENTATION SPECTRUM
               PIXEL_FLICKER"""
    assert [purpose.name for purpose in sorted(Purpose)][:13] == names.split()
    assert sorted(Purpose)[:13] == list(range(1, 14))
    assert max(Purpose) < SHARED


def test_uniform_deviates_never_meet_an_end() -> None:
    assert uniform_of(np.uint64(0), np.uint64(0)) == 2.0**-53
    assert uniform_of(WORD, WORD) == 1.0 - 2.0**-53
    drawn = uniforms((SIDE, SIDE), WHOLE, 1, 0, PURPOSE)
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > LEAST_PROBABILITY


# Arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "exact", "low", "high"),
    [
        (rounding.exp_minus, lambda x: math.exp(-x), 1e-12, 128.0),
        (rounding.log, math.log, 1e-200, 0.9),
        (rounding.log, math.log, 1.1, 1e200),
        (rounding.sin_half_turns, lambda x: math.sin(math.pi * x), 1e-9, 0.5),
    ],
)
def test_elementary_functions_are_right_to_the_last_digits(ours: Any, exact: Any, low: float, high: float) -> None:
    for x in np.geomspace(low, high, 3000).tolist():
        assert ours(x) == pytest.approx(exact(x), rel=6e-16, abs=0.0)
    for x in np.linspace(low, high, 3000).tolist():
        assert ours(x) == pytest.approx(exact(x), rel=6e-16, abs=0.0)


def test_logarithms_near_one_are_right_to_the_last_digits_of_their_distance_from_it() -> None:
    for x in np.linspace(0.9, 1.1, 3000).tolist():
        assert rounding.log(x) == pytest.approx(math.log(x), rel=1e-14)


# Laws -------------------------------------------------------------------------------------------------------------


def probability(counts: np.ndarray, mean: float) -> float:
    """Of a chi-square so large or larger, where counts follow Poisson's law."""
    low, high = (int(stats.poisson.ppf(share, mean)) for share in (1e-5, 1 - 1e-5))
    edges = np.unique(np.linspace(low, high, min(high - low + 1, 200) + 1).astype(int))
    expected = np.diff([0.0, *stats.poisson.cdf(edges, mean), 1.0]) * counts.size
    found = np.bincount(np.searchsorted(edges, counts.ravel()), minlength=len(edges) + 1)
    often = expected >= 10.0
    found = np.array([*found[often], found[~often].sum()], float)
    expected = np.array([*expected[often], expected[~often].sum()])
    chi_square = ((found - expected) ** 2 / np.maximum(expected, 1e-6)).sum()
    return float(stats.chi2.sf(chi_square, len(expected) - 1))


@pytest.mark.parametrize("mean", MEANS)
def test_counts_follow_poissons_law(mean: float) -> None:
    assert probability(poisson(np.full((SIDE, SIDE), mean), WHOLE, 2, 3), mean) > LEAST_PROBABILITY


@pytest.mark.parametrize("mean", [30.0, 100.0])
def test_rounded_normal_deviates_do_not(mean: float) -> None:
    drawn = np.rint(mean + math.sqrt(mean) * normals((SIDE, SIDE), WHOLE, 2, 3, PURPOSE))
    assert probability(drawn, mean) < 1e-20


def test_means_of_every_size_at_once_have_their_own_variance() -> None:
    means = np.geomspace(1e-2, 1e6, SIDE * SIDE).reshape(SIDE, SIDE)
    deviations = (poisson(means, WHOLE, 4) - means) / np.sqrt(means)
    # Of chi-square by one pixel the variance is 2 + 1/mean.
    spread = math.sqrt(float((2.0 + 1.0 / means).sum())) / means.size
    assert abs(deviations.mean()) < FIVE_SIGMA / SIDE
    assert (deviations**2).mean() == pytest.approx(1.0, abs=FIVE_SIGMA * spread)


def test_normal_deviates_are_normal_and_neighbours_independent() -> None:
    drawn = normals((SIDE, SIDE), WHOLE, 5, 0, PURPOSE)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > LEAST_PROBABILITY
    for a, b in ((drawn[:, ::2], drawn[:, 1::2]), (drawn[:, 1:-1:2], drawn[:, 2::2]), (drawn[:-1], drawn[1:])):
        for power in (1, 2):
            assert abs(np.corrcoef(a.ravel() ** power, b.ravel() ** power)[0, 1]) < FIVE_SIGMA / math.sqrt(a.size)


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"seed": 1 + 2**32}, {"frame": 1}, {"purpose": Purpose.CALIBRATION}, {"block": 1}]
)
def test_seeds_frames_purposes_and_blocks_have_nothing_in_common(other: dict[str, Any]) -> None:
    own = {"seed": 1, "frame": 0, "purpose": PURPOSE, "block": 0}
    a = normals((SIDE, SIDE), WHOLE, **own).ravel()
    b = normals((SIDE, SIDE), WHOLE, **own | other).ravel()
    assert not (a == b).any()
    assert abs(np.corrcoef(a, b)[0, 1]) < FIVE_SIGMA / SIDE


# Places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [Window(0, 40), Window(5, 61), Window(2**31 + 7, 40)])
@pytest.mark.parametrize("order", ["sorted", "mixed", "weak", "strong"])
def test_rows_of_vectors_are_the_pixels_one_by_one(window: Window, order: str) -> None:
    """The oracle is plain Python; strong pixels alone, few and many among weak ones."""
    means = {
        "sorted": ALL_MEANS,
        "mixed": np.random.default_rng(1).permutation(ALL_MEANS.ravel()).reshape(ALL_MEANS.shape),
        "weak": ALL_MEANS / 1e7,
        "strong": ALL_MEANS + INVERTED_BELOW,
    }[order][:, : 37 if order == "mixed" else None]
    counts, (rows, columns) = poisson(means, window, 2**40 + 9, 3), means.shape
    frame, purpose, none, key = (np.uint64(number) for number in (3, PURPOSE + SHARED, 0, 2**40 + 9))
    pixels = [[np.uint64(window.first + row * window.columns + n) for n in range(columns)] for row in range(rows)]
    one_by_one = [[poisson_at(m, p, frame, key) for m, p in zip(*row, strict=True)]
                  for row in zip(means.tolist(), pixels, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(counts, one_by_one)
    for draw, at in ((uniforms, uniform_at), (normals, normal_at)):
        drawn = draw(means.shape, window, 2**40 + 9, 3, PURPOSE)
        np.testing.assert_array_equal(drawn, [[at(p, frame, purpose, none, key) for p in row] for row in pixels])


def test_float32_and_float64_means_count_alike() -> None:
    means = ALL_MEANS.astype(np.float32)
    np.testing.assert_array_equal(poisson(means, WHOLE, 1), poisson(means.astype(float), WHOLE, 1))


def test_what_is_no_number_stays_so_and_nothing_comes_of_nothing() -> None:
    row = [np.nan, np.inf, -np.inf, -3.0, 0.0, 3e38, 1e-30, 50.0]
    for values in (row, row * 9):
        counts = poisson(np.array([values], np.float32), WHOLE, 1)[0]
        assert np.isnan(counts[0])
        assert counts[1] == np.inf
        assert counts[[2, 3, 4, 6]].tolist() == [0.0] * 4
        assert counts[5] == pytest.approx(3e38)
        assert 10 < counts[7] < 110


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    in_threads = deviates.in_threads
    monkeypatch.setattr(deviates, "in_threads", lambda work, n: (used.append(n), in_threads(work, n)))
    means = np.random.default_rng(3).choice([0.3, 5.0, 200.0], (200, PIXELS_OF_A_THREAD * 3 // 200 + 1))
    window = Window(11, 1000)
    counts = poisson(means, window, 1, 2, threads)
    drawn = normals(means.shape, window, 1, 2, PURPOSE, threads)
    assert used == [threads] * 2
    halves = [poisson(means[half], Window(window.first + half.start * 1000, 1000), 1, 2)
              for half in (slice(0, 77), slice(77, 200))]  # fmt: skip
    np.testing.assert_array_equal(counts, np.concatenate(halves))
    np.testing.assert_array_equal(drawn, normals(means.shape, window, 1, 2, PURPOSE))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 1), (29, 38), (7, 6)])
def test_a_part_is_the_crop_of_the_whole(row: int, column: int) -> None:
    window = Window(row * 40 + column, 40)
    part = np.s_[row : row + 9, column : column + 23]
    np.testing.assert_array_equal(poisson(ALL_MEANS[part], window, 1), poisson(ALL_MEANS, Window(0, 40), 1)[part])
    shape = ALL_MEANS[part].shape
    for draw in (uniforms, normals):
        np.testing.assert_array_equal(
            draw(shape, window, 1, 0, PURPOSE), draw(ALL_MEANS.shape, Window(0, 40), 1, 0, PURPOSE)[part]
        )


# Images -----------------------------------------------------------------------------------------------------------

LINE = "-cell 70 80 90 -default_F 1 -detpixels_f 31 -detpixels_s 22 -adc 7 -seed 5"
PHOTONS = np.random.default_rng(6).permutation(np.geomspace(0.01, 3e4, 22 * 31)).reshape(22, 31).astype(np.float32)


def image_of(line: str = "", photons: np.ndarray = PHOTONS) -> Image:
    return Image(resolve(Experiment.from_args(f"{LINE} {line}".split()), Inputs()), photons)


def test_a_region_of_an_image_is_the_crop_of_the_whole() -> None:
    whole, part = image_of().noise(), image_of("-roi 3 20 5 17").noise()
    inside = np.s_[5:18, 3:21]
    np.testing.assert_array_equal(part.counts[inside], whole.counts[inside])
    assert part.counts.sum() == part.counts[inside].sum()
    assert part.photons == part.counts[inside].sum() - 7 * part.counts[inside].size
    assert (image_of("-roi 3 20 5 17 -rng ran1").noise().counts != image_of("-rng ran1").noise().counts)[inside].any()


def panel(rows: int, y: float) -> dict[str, Any]:
    steps = {"fast_step_mm": (0.0, 0.0, -0.1), "slow_step_mm": (0.0, -0.1, 0.0)}
    return {"origin_mm": (100.0, y, 1.0), "fast_pixels": 31, "slow_pixels": rows, **steps}


def test_panels_count_as_the_whole_does() -> None:
    rows = (5, 9, 8)
    panels = [panel(n, 1.0 - 0.1 * sum(rows[:number])) for number, n in enumerate(rows)]
    base = Experiment.from_args("-cell 70 80 90 -default_F 1 -adc 7 -seed 5".split())
    listed = Image(resolve(changed(base, detector={"panels": panels}), Inputs()), PHOTONS)
    np.testing.assert_array_equal(listed.noise().counts, image_of().noise().counts)


@pytest.mark.parametrize("rng", ["philox", "ran1"])
def test_frames_differ_and_their_order_does_not_matter(rng: str) -> None:
    frames = {n: image_of(f"-rng {rng} -frame {n}") for n in (0, 1, 2)}
    forth = {n: image.noise().counts for n, image in frames.items()}
    for n in (2, 0, 1):
        np.testing.assert_array_equal(frames[n].noise().counts, forth[n])
    bright = PHOTONS > 1000.0
    for n, other in ((0, 1), (1, 2), (2, 0)):
        assert (forth[n] != forth[other])[bright].mean() > 0.9


def test_frames_of_the_serial_generator_have_a_seed_each() -> None:
    seed = spawned_seed(5, 2)
    found = image_of("-rng ran1 -frame 2").noise()
    np.testing.assert_array_equal(found.counts, image_of("-rng ran1").noise(seed=seed).counts)


def test_modes_have_their_own_generator_unless_one_is_asked_for() -> None:
    counts = {line: image_of(line).noise().counts.tobytes()
              for line in ("", "-rng philox", "-rng ran1", "-mode c", "-mode c -rng philox")}  # fmt: skip
    assert counts[""] == counts["-rng philox"] == counts["-mode c -rng philox"]
    assert counts["-rng ran1"] == counts["-mode c"] != counts[""]
