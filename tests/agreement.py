"""When two images agree that are calculated in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nbnumba.tolerances import DOUBLE

SMALLEST = float(np.finfo(np.float32).tiny)
"""What a float32 image can hold with all its digits."""

Array = npt.NDArray[Any]


def tolerance(expected: Array, maximum: float | None = None) -> Array:
    """|Δ| allowed for each pixel; ``maximum`` is that of the whole image where ``expected`` is a part of it."""
    size = np.where(np.isfinite(expected), np.abs(expected.astype(np.float64)), 0.0)
    largest = size.max(initial=0.0) if maximum is None else maximum
    allowed: Array = DOUBLE.allowed(size, largest) + SMALLEST
    return allowed


def assert_matches(actual: Array, expected: Array, maximum: float | None = None) -> None:
    """Fail with the worst pixel unless every pixel is within the tolerance; infinite ones must be so in both."""
    assert actual.shape == expected.shape
    with np.errstate(invalid="ignore"):
        excess = np.abs(actual.astype(np.float64) - expected.astype(np.float64)) / tolerance(expected, maximum)
    excess = np.where(actual == expected, 0.0, np.where(np.isnan(excess), np.inf, excess))
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    assert (excess <= 1.0).all(), (
        f"{np.count_nonzero(excess > 1.0)} of {excess.size} pixels differ; pixel {tuple(map(int, worst))} is "
        f"{actual[worst]!r} for {expected[worst]!r}, {excess[worst]:.3g} times what is allowed"
    )
