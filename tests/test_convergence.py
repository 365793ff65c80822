"""From how far off a refinement comes back, and whether its standard deviations are right."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.convergence import BACK, BACKGROUND, CELL, Row, crystal, fringes, start_of
from nbnumba import Experiment, changed, refine, simulate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")]

SEEDS = range(5)
REALIZATIONS = 100


def counted(truth: Experiment, rng: np.random.Generator) -> np.ndarray:
    """A measured image."""
    return rng.poisson(simulate(truth).photons + BACKGROUND).astype(float)


@pytest.mark.parametrize(
    "row",
    [Row("square", 10, misset_deg=0.5), Row("square", 40, misset_deg=0.5), Row("square", 40, cell=0.005)],
    ids=["N 10, 0.5 degrees", "N 40, 0.5 degrees", "N 40, 0.5 %"],
)
def test_five_of_five_come_back_to_the_truth(row: Row) -> None:
    off = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        truth = crystal(row, rng)
        start = start_of(row, truth, rng)
        result = refine(start, counted(truth, rng), row.free, background="flat")
        assert fringes(start, truth, row.cells) > 5.0 * BACK
        off.append(fringes(result.experiment, truth, row.cells))
    assert max(off) < BACK


def test_an_orientation_is_found_from_a_degree_off_where_that_is_said() -> None:
    """Seven fringes at the corner: of a grid."""
    row = Row("square", 40, misset_deg=1.0)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        truth = crystal(row, rng)
        start = start_of(row, truth, rng)
        widths = {"crystal.misset_deg": row.misset_deg}
        result = refine(start, counted(truth, rng), row.free, background="flat", restraints=widths)
        assert fringes(result.experiment, truth, row.cells) < BACK


def test_standard_deviations_are_those_of_many_realizations() -> None:
    rng = np.random.default_rng(8)
    truth = changed(crystal(Row("square", 10), rng), crystal={"spot_scale": 1.0})
    free = ["crystal.cell", "crystal.misset_deg", "scale"]
    wanted = np.array([*CELL, *truth.crystal.misset_deg, 1.0, BACKGROUND], float)
    pulls = []
    for _ in range(REALIZATIONS):
        result = refine(truth, counted(truth, rng), free, background="flat", stages="plain")
        pulls.append((result.values - wanted) / result.esd)
    found = np.array(pulls)
    assert abs(np.sqrt(np.mean(found**2)) - 1.0) < 0.15
    # Of a hundred, by four of its own standard deviations.
    assert np.abs(found.mean(axis=0)).max() < 0.4
