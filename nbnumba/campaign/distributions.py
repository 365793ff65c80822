"""What a field of a campaign's frames may be: drawn, each value by inversion of one uniform deviate, or listed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Protocol

from .draws import BELOW_1, Draws

STANDARD = NormalDist()
LEAST_SHARE = 1e-300
EDGES = 3
"""Numbers of a cell that are lengths."""


@dataclass(frozen=True)
class Place:
    """Where in a campaign a value is wanted."""

    draws: Draws
    index: int
    """By which it is keyed."""
    position: int
    """Which of its kind it is, counted from 0: frame or crystal of the sweeps."""
    crystal: int
    """Number of the crystal in the frame."""

    def uniform(self, field: str) -> float:
        """The deviate of a field."""
        return self.draws.uniforms(field, self.index, 1, self.crystal)[0]


class Distribution(Protocol):
    """Values of a field."""

    def value(self, field: str, base: Any, place: Place) -> Any:
        """That at a place; ``base`` is the field's in the experiment that all share."""

    def samples(self, base: Any) -> Sequence[Any]:
        """Values that it has or comes near to: where all these are right, hardly another is wrong. One at least."""


@dataclass(frozen=True)
class Fixed:
    """One value for all."""

    only: Any

    def value(self, field: str, base: Any, place: Place) -> Any:
        """That one."""
        return self.only

    def samples(self, base: Any) -> Sequence[Any]:
        """That one."""
        return (self.only,)


@dataclass(frozen=True)
class Uniform:
    """Alike likely from one end to the other."""

    low: float
    high: float

    def value(self, field: str, base: Any, place: Place) -> float:
        """Between the ends."""
        return self.low + (self.high - self.low) * place.uniform(field)

    def samples(self, base: Any) -> Sequence[float]:
        """The ends."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Normal:
    """Gaussian, within bounds where there are any."""

    mean: float
    deviation: float
    low: float = -math.inf
    high: float = math.inf

    def value(self, field: str, base: Any, place: Place) -> float:
        """By inversion of what of the distribution lies within the bounds."""
        below, share = self._shares
        deviate = min(max(below + share * place.uniform(field), LEAST_SHARE), BELOW_1)
        return min(max(self.mean + self.deviation * STANDARD.inv_cdf(deviate), self.low), self.high)

    def samples(self, base: Any) -> Sequence[float]:
        """The bounds, else the mean."""
        bounds = [bound for bound in (self.low, self.high) if math.isfinite(bound)]
        return bounds or (self.mean,)

    @property
    def share(self) -> float:
        """Of the whole distribution, what lies within the bounds."""
        return self._shares[1]

    @cached_property
    def _shares(self) -> tuple[float, float]:
        """Of the whole, what lies below the bounds and what within."""
        below, up_to = (
            float(bound > 0.0) if math.isinf(bound) else STANDARD.cdf((bound - self.mean) / self.deviation)
            for bound in (self.low, self.high)
        )
        return below, up_to - below


@dataclass(frozen=True)
class Lognormal:
    """Two thirds lie between the median over and the median times the factor."""

    median: float
    factor: float

    def value(self, field: str, base: Any, place: Place) -> float:
        """Above 0."""
        return self.median * math.exp(math.log(self.factor) * STANDARD.inv_cdf(place.uniform(field)))

    def samples(self, base: Any) -> Sequence[float]:
        """The median."""
        return (self.median,)


@dataclass(frozen=True)
class Poisson:
    """Whole numbers, as so many are expected."""

    mean: float

    def value(self, field: str, base: Any, place: Place) -> int:
        """From 0 on."""
        uniform, count = place.uniform(field), 0
        probability = total = math.exp(-self.mean)
        # Rounded, the sum of all may be less than the deviate.
        while uniform > total and probability > 0.0:
            count += 1
            probability *= self.mean / count
            total += probability
        return count

    def samples(self, base: Any) -> Sequence[int]:
        """The one next to the mean."""
        return (round(self.mean),)


@dataclass(frozen=True)
class Choice:
    """One of some, each with its weight."""

    options: tuple[Any, ...]
    weights: tuple[float, ...]

    def value(self, field: str, base: Any, place: Place) -> Any:
        """The one in whose share the deviate falls."""
        totals = self._totals
        return self.options[min(bisect_right(totals, place.uniform(field) * totals[-1]), self._last)]

    def samples(self, base: Any) -> Sequence[Any]:
        """All of them."""
        return self.options

    @cached_property
    def _totals(self) -> list[float]:
        return list(accumulate(self.weights))

    @cached_property
    def _last(self) -> int:
        """The last that can be."""
        return max(number for number, weight in enumerate(self.weights) if weight > 0.0)


@dataclass(frozen=True)
class Step:
    """A scan."""

    start: float
    increment: float
    every: int = 1

    def value(self, field: str, base: Any, place: Place) -> float:
        """Increased after every so many."""
        return self.start + self.increment * (place.position // self.every)

    def samples(self, base: Any) -> Sequence[float]:
        """The first."""
        return (self.start,)


@dataclass(frozen=True)
class Cycle:
    """One after the other, from the first again after the last."""

    options: tuple[Any, ...]
    every: int = 1

    def value(self, field: str, base: Any, place: Place) -> Any:
        """The next after every so many."""
        return self.options[place.position // self.every % len(self.options)]

    def samples(self, base: Any) -> Sequence[Any]:
        """All of them."""
        return self.options


@dataclass(frozen=True)
class Rotations:
    """Orientations, each as likely as any other."""

    def value(self, field: str, base: Any, place: Place) -> Any:
        """Angles about the lab's x, then y, then z."""
        from ..setup.mosaic import uniform_misset_deg  # with NumPy's linear algebra

        return uniform_misset_deg(*place.draws.uniforms(field, place.index, 3, place.crystal))

    def samples(self, base: Any) -> Sequence[Any]:
        """One."""
        return ((0.0, 0.0, 0.0),)


@dataclass(frozen=True)
class Relative:
    """The base's number times 1 and a draw; of several numbers, as a cell's lengths, each by a draw of its own."""

    change: Distribution

    def value(self, field: str, base: Any, place: Place) -> Any:
        """The angles of a cell stay as they are."""
        if not isinstance(base, tuple):
            return base * (1.0 + self.change.value(field, base, place))
        lengths = (
            edge * (1.0 + self.change.value(f"{field}[{number}]", edge, place))
            for number, edge in enumerate(base[:EDGES])
        )
        return (*lengths, *base[EDGES:])

    def samples(self, base: Any) -> Sequence[Any]:
        """Of all numbers alike."""
        if not isinstance(base, tuple):
            return [base * (1.0 + change) for change in self.change.samples(None)]
        return [
            (*(edge * (1.0 + change) for edge in base[:EDGES]), *base[EDGES:]) for change in self.change.samples(None)
        ]


@dataclass(frozen=True)
class Several:
    """A distribution for each of several numbers."""

    each: tuple[Distribution, ...]

    def value(self, field: str, base: Any, place: Place) -> Any:
        """One of each."""
        return tuple(one.value(f"{field}[{number}]", None, place) for number, one in enumerate(self.each))

    def samples(self, base: Any) -> Sequence[Any]:
        """The first of each, the second and so on."""
        each = [one.samples(None) for one in self.each]
        return [tuple(samples[row % len(samples)] for samples in each) for row in range(max(map(len, each)))]
