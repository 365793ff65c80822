"""What is known of numbers beforehand: that they lie about their start, and between which bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Array = NDArray[np.float64]
Width = float | str
"""A standard deviation in the number's own unit, or as "0.2%"."""
Bounds = tuple[float | None, float | None]

STRAIN_DEG = math.degrees(1.0)
"""By how much a cell that is sheared by 100 % changes its angles: so "0.2%" moves reflections as far by an angle as by
an edge."""
LEAST = {
    "scan.oscillation_deg": 0.0,
    "beam.dispersion_percent": 0.0,
    "beam.kahn_factor": -1.0,
    "crystal.mosaic_spread_deg": 0.0,
    "crystal.size": 1.0,
    "structure_factors.default_f": 0.0,
    "structure_factors.k_sol": 0.0,
    "background.water_um": 0.0,
}
MOST = {"beam.kahn_factor": 1.0}
"""Beyond these there is no such experiment."""


def noun_of(name: str) -> str:
    """The field of a number: "crystal.cell" of "crystal.cell[2]"."""
    return name.partition("[")[0]


def widths(given: Mapping[str, Width], names: Sequence[str], values: Array) -> Array:
    """The standard deviation of each number about its start (n,); infinite where nothing is known.

    Parameters
    ----------
    given : mapping
        By a field's name, for all of its numbers, or by that of one: "crystal.cell", "crystal.cell[2]". The latter
        counts where both are given.
    names : sequence of str
        Of the numbers that are refined.
    values : float64 array, shape (n,)
        Where they start. A percentage is of this value; of a cell's angle of one radian, a strain like that of edges.

    Raises
    ------
    UsageError
        A name that is not refined, or a width that is not above 0.
    """
    _check_names("restraints", given, names)
    found = np.full(len(names), np.inf)
    for number, (name, value) in enumerate(zip(names, values.tolist(), strict=True)):
        key = name if name in given else noun_of(name)
        if key in given:
            found[number] = _width(key, given[key], _whole(name, value))
    return found


def bounds_of(given: Mapping[str, Bounds], names: Sequence[str], values: Array) -> tuple[Array, Array]:
    """Lowest and highest value of each number (n,), in its own unit.

    Raises
    ------
    UsageError
        A name that is not refined, bounds that are no two, or a start outside them.
    """
    _check_names("bounds", given, names)
    low = np.array([LEAST.get(noun_of(name), -np.inf) for name in names])
    high = np.array([MOST.get(noun_of(name), np.inf) for name in names])
    for number, (name, value) in enumerate(zip(names, values.tolist(), strict=True)):
        key = name if name in given else noun_of(name)
        if key in given:
            least, most = _pair(key, given[key])
            low[number], high[number] = max(low[number], least), min(high[number], most)
            if not low[number] <= value <= high[number]:
                raise UsageError(f"bounds {key}={least:g}:{most:g}: {name} starts at {value:g}; give bounds about that")
    return low, high


def _check_names(what: str, given: Mapping[str, object], names: Sequence[str]) -> None:
    known = {*names, *map(noun_of, names)}
    for name in given:
        if name not in known:
            fields = ", ".join(dict.fromkeys(map(noun_of, names)))
            raise UsageError(f"{what} {name}: is not refined; free it, or name one of {fields}")


def _whole(name: str, value: float) -> float:
    """What 100 % are."""
    is_angle = name in ("crystal.cell[3]", "crystal.cell[4]", "crystal.cell[5]")
    return STRAIN_DEG if is_angle else abs(value)


def _width(name: str, given: Width, whole: float) -> float:
    text = str(given).strip()
    is_share = text.endswith("%")
    try:
        width = float(text.removesuffix("%")) * (whole / 100.0 if is_share else 1.0)
    except ValueError:
        width = math.nan
    if not width > 0.0:
        advice = "a width above 0 in its unit" if is_share else "a width above 0, in its unit or as 0.2%"
        raise UsageError(f"restraints {name}={given}: give {advice}")
    return width


def _pair(name: str, given: Bounds) -> tuple[float, float]:
    try:
        least, most = given
        low, high = (-math.inf if least is None else float(least)), (math.inf if most is None else float(most))
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise UsageError(f"bounds {name}={given!r}: give the lowest and the highest value, or None for either")
    return low, high
