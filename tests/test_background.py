"""Several materials in the beam scatter what each of them does."""

from __future__ import annotations

import numpy as np
import pytest

from nbnumba import UsageError
from nbnumba.kernels.equations.background import background_intensity
from nbnumba.kernels.plan import BackgroundPlan
from nbnumba.setup.background import together

EMPTY = np.zeros(0)


def constant(scale: float, factor: float, in_sum: int = 0) -> BackgroundPlan:
    return BackgroundPlan(scale, factor, EMPTY, EMPTY, in_sum, EMPTY)


def ring(scale: float, at: float, rows: int = 40) -> BackgroundPlan:
    """A peak of F on a table from 1e9 to 6e9 per m."""
    stol = np.linspace(1e9, 6e9, rows)
    factor = 2.0 + 6.0 * np.exp(-(((stol - at) / 7e8) ** 2))
    return BackgroundPlan(scale, 0.0, stol, factor, 0, np.zeros(rows))


CASES = {
    "constants": [constant(2.0, 3.0), constant(5.0, 0.5)],
    "constant and table": [constant(1.0, 2.57), ring(0.3, 2e9)],
    "tables": [ring(1.0, 2e9), ring(3.0, 4.5e9, 23), constant(0.1, 9.0)],
    "one row": [ring(1.0, 2e9), BackgroundPlan(2.0, 7.0, np.array([3e9]), np.array([4.0]), 0, np.zeros(1))],
}


@pytest.mark.parametrize("case", CASES)
def test_intensities_add_up(case: str) -> None:
    materials = CASES[case]
    whole = together([constant(0.0, 1.0), *materials])
    everywhere = [0.0, *np.random.default_rng(1).uniform(0.0, 8e9, 500).tolist(), 1e12]
    expected = [sum(background_intensity(material, stol) for material in materials) for stol in everywhere]
    found = [background_intensity(whole, stol) for stol in everywhere]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_what_is_alone_stays_as_it_is() -> None:
    nothing, table = constant(0.0, 2.57, in_sum=1), ring(1.0, 2e9)
    assert together([nothing, table, constant(0.0, 1.0)]) is table
    assert together([nothing, constant(0.0, 1.0)]) is nothing


def test_water_that_is_scaled_twice_stands_alone() -> None:
    with pytest.raises(UsageError, match=r"^-water beside another background: mode c scales water twice"):
        together([constant(1.0, 2.57, in_sum=1), ring(1.0, 2e9)])
