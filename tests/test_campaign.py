"""What a campaign's frames are: derived a second time from what is promised, recorded once, and rendered."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from campaigns import EVERYTHING, STILLS, SWEEPS, TABLE, WEIGHTS, campaign, write_campaign

import nbnumba
from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.distributions import Choice, Lognormal, Normal, Place, Poisson, Relative, Several, Uniform
from nbnumba.campaign.draws import BELOW_1, Draws
from nbnumba.campaign.rendering import rendered_frames
from nbnumba.cli import main
from nbnumba.formats.hdf5 import library
from nbnumba.render.backends import How

RECORDED = Path(__file__).parent / "data" / "campaign_frames.json"
NUMBERS = (0, 1, 999, 10**8 - 1)
CPU = How("cpu", "double", 1)
COARSE = pytest.mark.filterwarnings("ignore:.*(is coarse|spots are):nbnumba.errors.NbnumbaWarning")


# A second derivation ---------------------------------------------------------------------------------------------


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Four words of Philox4x64-10, as J. K. Salmon et al. (SC'11, 2011) define it."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (high >> 64) ^ b ^ k0, high % 2**64, (low >> 64) ^ d ^ k1, low % 2**64
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % 2**64, (k1 + 0xBB67AE8584CAA73B) % 2**64
    return [a, b, c, d]


def words(field: str, index: int, crystal: int = 0, seed: int = 20261126) -> list[int]:
    """The first four raw words; NumPy counts on before it makes the first."""
    digest = hashlib.sha256(f"nbnumba-campaign-1/{seed}/{field}".encode()).digest()
    key = [int.from_bytes(digest[at : at + 8], "little") for at in (0, 8)]
    return philox4x64([1, 0, crystal, index], key)


def u(field: str, index: int, crystal: int = 0) -> float:
    return ((words(field, index, crystal)[0] >> 11) + 0.5) * 2.0**-53


def z(field: str, index: int, crystal: int = 0) -> float:
    return NormalDist().inv_cdf(u(field, index, crystal))


def rotation(field: str, index: int, crystal: int, seed: int = 20261126) -> tuple[float, float, float]:
    """Angles about x, y, z of Shoemake's quaternion."""
    s, t1, t2 = (((word >> 11) + 0.5) * 2.0**-53 for word in words(field, index, crystal, seed)[:3])
    r1, r2, t1, t2 = math.sqrt(1.0 - s), math.sqrt(s), 2.0 * math.pi * t1, 2.0 * math.pi * t2
    x, y, z, w = r1 * math.sin(t1), r1 * math.cos(t1), r2 * math.sin(t2), r2 * math.cos(t2)
    sine = 2.0 * (w * y - x * z)
    return (
        math.degrees(math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))),
        math.degrees(math.asin(sine)),
        math.degrees(math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))),
    )


def poisson(mean: float, u: float) -> int:
    terms, count = [math.exp(-mean)], 0
    while u > math.fsum(terms):
        count += 1
        terms.append(math.exp(-mean + count * math.log(mean) - math.lgamma(count + 1)))
    return count


def crystal_of(index: int, number: int) -> dict[str, Any]:
    cell = [79.1, 79.1, 37.9]
    return {
        "misset_deg": rotation("crystal.misset_deg", index, number),
        "cell": [
            *(edge * (1.0 + 0.002 * z(f"crystal.cell[{at}]", index, number)) for at, edge in enumerate(cell)),
            90, 90, 90,
        ],
        "cells": [round(30 * 1.4 ** z("crystal.cells", index, number))] * 3,
        "mosaic_spread_deg": 0.05 * 1.5 ** z("crystal.mosaic_spread_deg", index, number),
        "mosaic_domains": [1, 5, 5, 25][int(4 * u("crystal.mosaic_domains", index, number))],
        "mosaic_seed": poisson(7.5, u("crystal.mosaic_seed", index, number)),
    }  # fmt: skip


def frame_of(index: int) -> dict[str, Any]:
    """What frame ``index`` of EVERYTHING is by the rules of docs/campaigns.md."""
    hits = sum(u("hits", index) >= edge for edge in (0.1, 0.5, 0.8))
    within = [NormalDist(5, 3).cdf(edge) for edge in (0, 6)]
    rows = [row.split(", ") for row in TABLE.splitlines()[1:]]
    return {
        "hits": hits,
        "noise": {"seed": words("noise", index)[0] >> 1, "frame": index},
        "beam": {
            "flux_per_s": 1e12 * 2.0 ** z("beam.flux_per_s", index),
            "size_mm": 0.001 + 0.004 * u("beam.size_mm", index),
            "dispersion_percent": 0.2 * (1.0 + 0.5 + 1.5 * u("beam.dispersion_percent", 0)),
            "pink_ev": [9500 + 10 * z("beam.pink_ev[0]", index), 50, 1],
            "spectrum_number": int(len(WEIGHTS) * u("spectrum", index)),
        },
        "background": {
            "water_um": NormalDist(5, 3).inv_cdf(within[0] + (within[1] - within[0]) * u("background.water_um", index))
        },
        "structure_factors": {
            "k_sol": 0.35 + 0.05 * z("structure_factors.k_sol", 0),
            "scale_f": float(rows[index // 3 % len(rows)][0]),
            "b_sol": float(rows[int(len(rows) * u("structure_factors.b_sol", index))][1]),
        },
        "sampling": {"oversample": [1, 2, 3][index // 2 % 3]},
        "detector": {"distance_mm": 100.0 + 0.5 * (index // 10_000), "rotx_deg": 0.25},
        "crystal": crystal_of(index, 0)
        | {
            "size_mm": [
                0.01 + 0.01 * u("crystal.size_mm[0]", index), 0.03, 0.02 + 0.001 * z("crystal.size_mm[2]", index),
            ],
            "spot_scale": 0.0 if hits == 0 else None,
        },
        "lattices": [crystal_of(index, number) for number in range(1, hits)],
    }  # fmt: skip


def told(made: Campaign, number: int, like: dict[str, Any]) -> dict[str, Any]:
    """Of a frame, the same fields."""
    frame = made.frame(number)
    lattices = frame.crystal.lattices or ()

    def those(noun: Any, names: dict[str, Any]) -> dict[str, Any]:
        return {name: getattr(noun, name) for name in names}

    nouns = {name: those(getattr(frame, name), fields) for name, fields in like.items() if isinstance(fields, dict)}
    return {
        "hits": made.hits(number),
        **nouns,
        "lattices": [those(one, of_one) for one, of_one in zip(lattices, like["lattices"], strict=True)],
    }


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers_in(value[key])]
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in numbers_in(item)]
    return [math.nan if value is None else value]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return campaign(tmp_path_factory.mktemp("everything"), EVERYTHING)


def test_words_are_those_of_the_paper() -> None:
    """A known answer of the authors' (Random123's kat_vectors), then ours."""
    assert philox4x64([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    ]  # fmt: skip
    for seed, index, crystal in ((20261126, 0, 0), (-5, 10**8, 3), (2**63 - 1, (7 << 32) + 9, 999)):
        assert Draws(seed).words("crystal.cell[1]", index, 4, crystal) == words("crystal.cell[1]", index, crystal, seed)


def test_no_deviate_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draws, "words", lambda *_: [0, 2**64 - 1])
    low, high = Draws(1).uniforms("a", 0, 2)
    assert (low, high) == (2.0**-54, BELOW_1)
    assert high < 1.0


@pytest.mark.parametrize("number", [*NUMBERS, *range(2, 12)])
def test_a_frame_is_what_is_promised(everything: Campaign, number: int) -> None:
    promised = frame_of(number)
    found = told(everything, number, promised)
    np.testing.assert_allclose(numbers_in(found), numbers_in(promised), rtol=1e-12, atol=1e-12)


def test_frames_are_what_they_were(everything: Campaign) -> None:
    """Recorded once, to the last bit: a campaign that is begun can be ended years later."""
    recorded = json.loads(RECORDED.read_text())
    found = {str(number): told(everything, number, frame_of(number)) for number in NUMBERS}
    assert json.loads(json.dumps(found)) == recorded
    assert {frame["hits"] for frame in recorded.values()} >= {0, 1, 3}


# What a frame depends on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("frames = 100_000_000", "frames = 1000"),
        ("frames_per_file = 500", "frames_per_file = 100\nfolder = 'elsewhere'\ntype = 'int32'"),
        ('name = "everything"', 'name = "other"'),
    ],
)
def test_length_files_and_names_change_no_frame(
    everything: Campaign, tmp_path: Path, old: str, new: str
) -> None:  # fmt: skip
    other = campaign(tmp_path, EVERYTHING, (old, new))
    for number in (0, 1, 999):
        promised = frame_of(number)
        assert told(other, number, promised) == told(everything, number, promised)


def test_what_else_varies_and_the_order_of_asking_change_no_draw(everything: Campaign, tmp_path: Path) -> None:
    lines = [line for line in EVERYTHING.splitlines() if line.startswith('"') and "misset" not in line]
    alone = campaign(tmp_path, EVERYTHING, *((line, "") for line in lines))
    numbers = list(range(50))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        one, other = alone.frame(number), everything.frame(number)
        assert one.crystal.misset_deg == other.crystal.misset_deg
        assert [two.misset_deg for two in one.crystal.lattices or ()] == [
            two.misset_deg for two in other.crystal.lattices or ()]  # fmt: skip
        assert one.noise == other.noise


def test_another_seed_changes_all(everything: Campaign, tmp_path: Path) -> None:
    other = campaign(tmp_path, EVERYTHING, ("seed = 20261126", "seed = 20261127"))
    drawn = ("cell", "misset_deg", "mosaic_spread_deg")
    for number in (0, 1, 999):
        one, two = everything.frame(number), other.frame(number)
        assert all(getattr(one.crystal, name) != getattr(two.crystal, name) for name in drawn)
        assert one.noise.seed != two.noise.seed
        assert one.beam.flux_per_s != two.beam.flux_per_s
    assert {everything.hits(k) - other.hits(k) for k in range(50)} > {0}


def test_seeds_of_noise_are_of_63_bits(everything: Campaign) -> None:
    seeds = [everything.frame(number).noise.seed or 0 for number in range(500)]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < 2**63
    assert sum(seed >= 2**62 for seed in seeds) == pytest.approx(250, abs=4 * math.sqrt(125))


def test_crystals_of_a_frame_are_alike_only_where_nothing_varies(tmp_path: Path) -> None:
    three = ("hits = { cycle = [1, 2, 0] }", "hits = 3")
    frame = campaign(tmp_path, STILLS, three, ('"crystal.cells"', '"beam.size_mm"')).frame(4)
    assert len(frame.crystal.lattices or ()) == 2
    crystals = [frame.crystal, *(frame.crystal.lattices or ())]
    assert len({one.misset_deg for one in crystals}) == len({one.cell for one in crystals}) == 3
    assert [one.cells for one in frame.crystal.lattices or ()] == [None, None]


def test_hits_are_drawn_or_listed(tmp_path: Path) -> None:
    hits = "hits = { cycle = [1, 2, 0] }"
    assert [campaign(tmp_path / "a").hits(k) for k in range(5)] == [1, 2, 0, 1, 2]
    assert campaign(tmp_path / "b", STILLS, (hits, "")).hits(3) == 1
    drawn = campaign(tmp_path / "c", STILLS, (hits, "hits = { poisson = 0.8 }"), ("frames = 5", "frames = 4000"))
    counted = Counter(drawn.hits(k) for k in range(4000))
    for number in range(4):
        share = math.exp(-0.8) * 0.8**number / math.factorial(number)
        assert counted[number] == pytest.approx(4000 * share, abs=4 * math.sqrt(4000 * share))


@pytest.mark.parametrize(("order", "numbers"), [("cycle", [0, 1, 2, 3, 0, 1, 2, 3]), ("random", None)])
def test_each_frame_has_a_spectrum_of_the_file(tmp_path: Path, order: str, numbers: list[int] | None) -> None:
    spectrum = f'frames = 400\nspectrum = {{ file = "spectra.npz", order = "{order}" }}'
    made = campaign(tmp_path, STILLS, ("frames = 5", spectrum))
    found = [made.frame(k).beam.spectrum_number for k in range(400)]
    assert found == [made.spectrum(k) for k in range(400)]
    if numbers is not None:
        assert found[:8] == numbers
    assert all(count == pytest.approx(100, abs=40) for count in Counter(found).values())
    assert made.frame(0).beam.spectrum_file == str(tmp_path / "spectra.npz")


# Rotations -------------------------------------------------------------------------------------------------------


def test_frames_of_a_sweep_follow_each_other_about_the_spindle(tmp_path: Path) -> None:
    made = campaign(tmp_path, SWEEPS)
    frames = [made.frame(k) for k in range(len(made))]
    assert len(frames) == 8
    starts = [10.0, 10.4, 10.8, 10.0, 10.4, 10.8, 0.0, 1.0]
    assert [frame.scan.phi_deg for frame in frames] == pytest.approx(starts)
    assert [(frame.scan.oscillation_deg, frame.scan.steps) for frame in frames] == [(0.4, 2)] * 6 + [(1.0, 1)] * 2
    assert {frame.scan.phi_sampling for frame in frames} == {"middle"}
    crystals = [(frame.crystal.misset_deg, frame.crystal.cell, frame.crystal.cells) for frame in frames]
    assert [crystals.index(one) for one in crystals] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert len({frame.noise.seed for frame in frames}) == 8
    for number, index in ((2, 0), (5, 1), (7, 1 << 32)):
        assert frames[number].crystal.misset_deg == pytest.approx(
            rotation("crystal.misset_deg", index, 0, 5), rel=1e-12
        )


@pytest.mark.parametrize(
    ("per", "groups"),
    [("frame", [0, 1, 2, 3, 4, 5, 6, 7]), ("sweep", [0, 0, 0, 3, 3, 3, 6, 6]), ("campaign", [0] * 8)],
)
def test_what_has_a_draw_of_its_own(tmp_path: Path, per: str, groups: list[int]) -> None:
    flux = f'[vary]\n"beam.flux_per_s" = {{ lognormal = [1e12, 2.0], per = "{per}" }}'
    made = campaign(tmp_path, SWEEPS, ("[vary]", flux))
    found = [made.frame(k).beam.flux_per_s for k in range(8)]
    assert [found.index(one) for one in found] == groups


def test_what_is_listed_goes_by_crystals_of_sweeps(tmp_path: Path) -> None:
    distance = '[vary]\n"detector.distance_mm" = { cycle = [60, 70], per = "sweep" }'
    made = campaign(tmp_path, SWEEPS, ("[vary]", distance))
    assert [made.frame(k).detector.distance_mm for k in range(8)] == [60, 60, 60, 70, 70, 70, 60, 60]


def test_files_end_with_crystals(tmp_path: Path) -> None:
    made = campaign(tmp_path, SWEEPS)
    found = [(one.first, one.stop, one.sweep, one.crystal) for one in made.chunks]
    assert found == [(0, 2, 0, 0), (2, 3, 0, 0), (3, 5, 0, 1), (5, 6, 0, 1), (6, 8, 1, 0)]
    assert all(made.chunk_of(k).first <= k < made.chunk_of(k).stop for k in range(8))
    assert [chunk.number for chunk in made.chunks[1:3]] == [1, 2]
    assert made.chunks[-1].path == made.folder / "0000" / "turns_000004.h5"


# Distributions ---------------------------------------------------------------------------------------------------

HALF = Normal(5.0, 3.0, 0.0, 6.0)


def _truncated() -> tuple[float, float]:
    """Mean and variance of a normal distribution within bounds (Johnson, Kotz & Balakrishnan, 1994, 13.10)."""
    normal, (a, b) = NormalDist(), ((0.0 - 5.0) / 3.0, (6.0 - 5.0) / 3.0)
    share, pa, pb = normal.cdf(b) - normal.cdf(a), normal.pdf(a), normal.pdf(b)
    shift = (pa - pb) / share
    return 5.0 + 3.0 * shift, 9.0 * (1.0 + (a * pa - b * pb) / share - shift**2)


LOG = math.log(1.3) ** 2
MOMENTS = {
    "uniform": (Uniform(-1.0, 3.0), 1.0, 16.0 / 12.0),
    "normal": (Normal(2.0, 0.5), 2.0, 0.25),
    "within": (HALF, *_truncated()),
    "lognormal": (Lognormal(3.0, 1.3), 3.0 * math.exp(LOG / 2), 9.0 * math.exp(LOG) * (math.exp(LOG) - 1.0)),
    "poisson": (Poisson(7.5), 7.5, 7.5),
    "choice": (Choice((1.0, 2.0, 5.0), (1.0, 0.0, 3.0)), 4.0, 3.0),
    "relative": (Relative(Normal(0.0, 0.1)), 10.0, 1.0),
}
DRAWN = 20_000


def _drawn(distribution: Any, seed: int = 3) -> np.ndarray:
    draws = Draws(seed)
    return np.array([distribution.value("a", 10.0, Place(draws, k, k, 0)) for k in range(DRAWN)])


def _off(values: np.ndarray, mean: float, variance: float) -> float:
    """How many standard errors mean and variance are off, whichever is more."""
    centred = (values - mean) ** 2
    return max(
        abs(values.mean() - mean) / math.sqrt(variance / len(values)),
        abs(centred.mean() - variance) / (centred.std() / math.sqrt(len(values))),
    )


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name: str) -> None:
    """With controls a twentieth off, which must be seen."""
    distribution, mean, variance = MOMENTS[name]
    values = _drawn(distribution)
    assert _off(values, mean, variance) < 3.5
    spread = math.sqrt(variance)
    assert _off(values + 0.05 * spread, mean, variance) > 3.5
    assert _off(mean + 1.05 * (values - mean), mean, variance) > 3.5


def test_values_stay_within_bounds() -> None:
    values = _drawn(HALF)
    assert values.min() >= 0.0
    assert values.max() <= 6.0
    far = Normal(0.0, 1.0, 7.5, 8.0)
    assert 7.5 <= _drawn(far).min() <= _drawn(far).max() <= 8.0
    assert 2.0 not in _drawn(MOMENTS["choice"][0])


def test_each_of_several_numbers_has_a_draw_of_its_own() -> None:
    values = np.array(
        [Several((Uniform(0, 1), Uniform(0, 1))).value("a", None, Place(Draws(1), k, k, 0)) for k in range(2000)]
    )
    assert abs(np.corrcoef(values.T)[0, 1]) < 4.0 / math.sqrt(2000)


def _angles(made: Campaign, count: int) -> np.ndarray:
    """By how much each misset turns, in radians."""
    x, y, z = np.radians([made.frame(k).crystal.misset_deg for k in range(count)]).T / 2.0
    w = np.cos(x) * np.cos(y) * np.cos(z) + np.sin(x) * np.sin(y) * np.sin(z)
    return 2.0 * np.arccos(np.clip(np.abs(w), 0.0, 1.0))


def _chi_square(angles: np.ndarray, bins: int = 40) -> float:
    """Of rotation angles against their density, 1 − cos over π, in bins of the same share."""
    shares = (angles - np.sin(angles)) / np.pi
    counts = np.histogram(shares, bins, (0.0, 1.0))[0]
    expected = len(angles) / bins
    return float(((counts - expected) ** 2).sum() / expected)


def test_orientations_are_uniform(tmp_path: Path) -> None:
    """χ² of 39 degrees of freedom is above 72.1 once in a thousand times; uniform angles are no such rotations."""
    lines = [line for line in STILLS.splitlines() if line.startswith('"crystal.cell')]
    made = campaign(tmp_path, STILLS, ("frames = 5", "frames = 20_000"), *((line, "") for line in lines))
    assert _chi_square(_angles(made, 20_000)) < 72.1
    assert _chi_square(np.random.default_rng(1).uniform(0.0, np.pi, 20_000)) > 72.1


# Images ----------------------------------------------------------------------------------------------------------


@COARSE
@pytest.mark.parametrize("text", [STILLS, SWEEPS], ids=["stills", "sweeps"])
def test_anyone_who_simulates_a_frame_gets_what_the_file_has(text: str, tmp_path: Path) -> None:
    """Of one crystal, of two and of none."""
    from nbnumba.campaign.work import do_chunk

    made = campaign(tmp_path, text)
    for chunk in made.chunks:
        do_chunk(made, chunk.number, CPU)
        with library().File(chunk.path) as file:
            stored, table = file["entry/data/data"][()], file["entry/nbnumba/frames"]
            assert table["frame"][()].tolist() == list(range(chunk.first, chunk.stop))
            assert table["hits"][()].tolist() == [made.hits(k) for k in range(chunk.first, chunk.stop)]
            for row, number in enumerate(range(chunk.first, chunk.stop)):
                image = nbnumba.simulate(made.frame(number), backend="cpu", threads=2)
                np.testing.assert_array_equal(image.noise().counts, stored[row])
                np.testing.assert_array_equal(made.render(number, "cpu").photons, image.photons)
    assert stored.any()


@COARSE
def test_a_frame_that_is_shown_gives_the_stored_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_campaign(tmp_path)
    made = Campaign(path)
    for number in range(3):
        capsys.readouterr()
        assert main(["campaign", "show", str(path), str(number)]) == 0
        shown = tmp_path / "frame.toml"
        shown.write_text(capsys.readouterr().out)
        options = ["-experiment", str(shown), "-o", str(tmp_path / "frame.npy"), "-backend", "cpu", "-threads", "1"]
        assert main([*options, "-noprogress", "-nonoise", "-nopgm"]) == 0
        photons = np.load(tmp_path / "frame.npy")
        (stored,) = rendered_frames(made, [number], CPU)
        np.testing.assert_array_equal(photons, made.render(number, "cpu").photons)
        assert nbnumba.Experiment.from_toml(shown.read_text()) == made.frame(number)
        np.testing.assert_array_equal(stored.frame.pixels[0], made.render(number, "cpu").noise().counts)


@COARSE
def test_photons_without_noise_are_floats(tmp_path: Path) -> None:
    made = campaign(tmp_path, STILLS, ("frames_per_file = 2", 'frames_per_file = 2\ntype = "float32"'))
    (found,) = rendered_frames(made, [1], CPU)
    assert found.frame.pixels[0].dtype == np.float32
    np.testing.assert_array_equal(found.frame.pixels[0], made.render(1, "cpu").photons)
