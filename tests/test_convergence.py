"""From how far off numbers are found, and whether they are as uncertain as is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.convergence import BACKGROUND, Row, crystal, start_of, tried
from nbnumba import changed, refine, simulate

SEEDS = 5
NEAR = Row("square", 10, misset_deg=0.5)
TURNED = Row("square", 40, misset_deg=0.5)
STRAINED = Row("square", 40, cell=0.005)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")]


@pytest.mark.parametrize("row", [NEAR, TURNED, STRAINED], ids=lambda row: f"{row.shape} {row.cells} {row.told}")
def test_every_start_is_led_back(row: Row) -> None:
    """Half a fringe off, then some two at half the edge; from there steps on all numbers at once do not lead back."""
    led = [tried(row, seed, 1)[1] for seed in range(SEEDS)]
    assert [seed for seed, ways in enumerate(led) if not ways["auto"][0]] == []
    if row is not NEAR:
        assert sum(ways["plain"][0] for ways in led) < SEEDS / 2


def test_an_orientation_is_found_from_a_degree_off_where_that_is_said() -> None:
    """Seven fringes at the corner."""
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        row = replace(TURNED, misset_deg=1.0)
        truth = crystal(row, rng)
        start = start_of(row, truth, rng)
        measured = rng.poisson(simulate(truth).photons + BACKGROUND).astype(float)
        found = refine(start, measured, row.free, background="flat", restraints={"crystal.misset_deg": 1.0}, threads=1)
        assert found.experiment.crystal.misset_deg == pytest.approx(truth.crystal.misset_deg, abs=0.02), seed


def test_numbers_are_as_uncertain_as_is_said() -> None:
    """(value − truth)/e.s.d. of ten numbers and the background, over the noise of counting, has an r.m.s. of 1."""
    row = Row("square", 10, cell=0.005)
    truth = changed(crystal(row, np.random.default_rng(1)), crystal={"spot_scale": 1.0})
    expected = simulate(truth).photons.astype(float) + BACKGROUND
    rng, pulls = np.random.default_rng(2), []
    for _ in range(100):
        result = refine(
            truth, rng.poisson(expected).astype(float), row.free, background="flat", stages="plain", threads=1
        )
        right = (*truth.crystal.misset_deg, 1.0, *truth.crystal.cell, BACKGROUND)
        assert len(result.names) == len(right) == 11
        pulls.append((result.values - right) / result.esd)
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(1.0, abs=0.15)
    assert np.abs(spread - 1.0).max() < 0.3
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.35
