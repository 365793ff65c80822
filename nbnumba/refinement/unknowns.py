"""The unknowns of a refinement: what a search moves, and the numbers of a model that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..differentiation.target import Normal
from ..errors import UsageError
from .levenberg import Point
from .restraints import Bounds, Width, bounds_of, noun_of, widths
from .systems import Together

Array = NDArray[np.float64]

SCALE = "scale"
SCALES = (SCALE, "crystal.spot_scale")
"""By which spots alone are multiplied."""
BY_LOGARITHM = (*SCALES, "beam.fluence_per_m2")
"""Numbers of which factors count: the coordinate is their logarithm."""
BACKGROUND = "background"
"""Name of the coefficients of a target's images."""


@dataclass(frozen=True, eq=False, repr=False)
class Unknowns(HoldsArrays):
    """A coordinate for each number that is free, then one for each coefficient of the background.

    Coordinates are the numbers in their own units, or the logarithms of ``BY_LOGARITHM``.
    """

    names: tuple[str, ...]
    """Of the coordinates: the first of the numbers that are equal."""
    groups: Together
    """Of each, the model's numbers that are equal to it."""
    logarithmic: NDArray[np.bool_]
    """Which coordinates are logarithms (n,)."""
    start: Array
    """Coordinates at which the numbers start (n,)."""
    width: Array
    """Standard deviation about the start (n,); infinite where nothing is known."""
    low: Array
    """Bounds of the coordinates (n,)."""
    high: Array
    """The same."""

    @property
    def numbers(self) -> int:
        """How many coordinates are of the model, not of the background."""
        return len(self.groups)

    def split(self, at: Array) -> tuple[Array, Array]:
        """The model's numbers, and the background's coefficients."""
        own = at[: self.numbers]
        with np.errstate(over="ignore"):
            numbers = np.where(self.logarithmic[: self.numbers], np.exp(own), own)
        values = np.empty(sum(map(len, self.groups)))
        for group, number in zip(self.groups, numbers.tolist(), strict=True):
            values[list(group)] = number
        return values, at[self.numbers :]

    def slopes(self, at: Array) -> Array:
        """How fast the model's numbers, then the coefficients, move with each coordinate (m, n)."""
        values, coefficients = self.split(at)
        table = np.zeros((len(values) + len(coefficients), len(at)))
        for column, group in enumerate(self.groups):
            rows = list(group)
            table[rows, column] = values[rows] if self.logarithmic[column] else 1.0
        for number in range(len(coefficients)):
            table[len(values) + number, self.numbers + number] = 1.0
        return table

    def point(self, at: Array, normal: Normal) -> Point:
        """Normal equations of the coordinates, restraints included, from those of the model's numbers."""
        slopes = self.slopes(at)
        off, weight = at - self.start, self.width**-2.0
        return Point(
            at,
            normal.deviance + float(np.sum(off * off * weight)),
            slopes.T @ normal.gradient - off * weight,
            slopes.T @ normal.matrix @ slopes + np.diag(weight),
            normal,
        )


def carried(source: Mapping[str, float], names: Sequence[str], at: Array) -> Array:
    """Coordinates with those taken over that the source has by the same names."""
    return np.array([source.get(name, own) for name, own in zip(names, at.tolist(), strict=True)])


def unknowns_of(
    names: Sequence[str],
    values: Array,
    coefficients: Array,
    constants: Together,
    restraints: Mapping[str, Width],
    bounds: Mapping[str, Bounds],
) -> Unknowns:
    """The unknowns of a model at its start.

    Parameters
    ----------
    names, values
        Of the model's numbers (n,).
    coefficients : float64 array, shape (k,)
        Of the background.
    constants : tuple of tuples of int
        Which constants of the cell are equal.
    restraints, bounds : mapping
        As :func:`.widths` and :func:`.bounds_of` take them.

    Raises
    ------
    UsageError
        A logarithm of a number that is not above 0; or as those two.
    """
    known, (low, high) = widths(restraints, names, values), bounds_of(bounds, names, values)
    groups = _groups(names, constants)
    first = [group[0] for group in groups]
    logarithmic = np.array([names[number] in BY_LOGARITHM for number in first], bool)
    for number in first:
        if names[number] in BY_LOGARITHM and not values[number] > 0.0:
            raise UsageError(f"{names[number]} {values[number]:g}: to be refined it must start above 0")
    start = values[first]
    width, least, most = (
        np.array([chosen(each[list(group)]) for group in groups])
        for chosen, each in ((np.min, known), (np.max, low), (np.min, high))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.where(logarithmic, width / start, width)
        least, most, start = (
            np.where(logarithmic, np.log(np.maximum(numbers, 0.0)), numbers) for numbers in (least, most, start)
        )
    extra = len(coefficients)
    return Unknowns(
        names=(*(names[number] for number in first), *(f"{BACKGROUND}[{number}]" for number in range(extra))),
        groups=groups,
        logarithmic=np.append(logarithmic, np.zeros(extra, bool)),
        start=np.append(start, coefficients),
        width=np.append(width, np.full(extra, np.inf)),
        low=np.append(least, np.full(extra, -np.inf)),
        high=np.append(most, np.full(extra, np.inf)),
    )


def _groups(names: Sequence[str], constants: Together) -> Together:
    """The model's numbers, those of the cell put together that are equal; in the order of the names."""
    place = {name: number for number, name in enumerate(names)}
    groups: list[tuple[int, ...]] = []
    for number, name in enumerate(names):
        if noun_of(name) != "crystal.cell":
            groups.append((number,))
            continue
        constant = int(name[name.index("[") + 1 : -1])
        group = next(group for group in constants if constant in group)
        if constant == group[0]:
            groups.append(tuple(place[f"crystal.cell[{other}]"] for other in group))
    return tuple(groups)
