"""What a field declares beside type and default: which values are right, which are plausible, and its unit.

It is said once, where the field stands; options, checks, image headers and strategies read it from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

UNITS = {
    "_angstrom": "Å",
    "_mm": "mm",
    "_um": "µm",
    "_deg": "deg",
    "_mrad": "mrad",
    "_percent": "percent",
    "_ev": "eV",
    "_px": "px",
    "_pixels": "px",
    "_per_m2": "ph/m²",
    "_per_s": "ph/s",
    "_s": "s",
    "_ns": "ns",
}
"""By the end of a field's name; of two ends the longer one stands first."""

LARGEST, SMALLEST = 1e60, 1e-60
"""Sizes between which the products of five values stay within float64."""
MOST_STEPS = 10_000_000
"""Of what a run holds a list of: φ steps, directions, wavelengths, mosaic domains."""


@dataclass(frozen=True)
class Rule:
    """What a number must satisfy."""

    wants: str
    """Said after "must"."""
    holds: Callable[[float], bool]


Right = tuple[Rule, ...]
"""Rules that must hold all; an option that reads a count goes by the first of them alone."""


def between(low: float, high: float) -> Right:
    """From ``low`` to ``high``, both included."""
    return (Rule(f"lie between {low:g} and {high:g}", lambda x: low <= x <= high),)


def at_most(high: float, unit: str = "") -> Right:
    """Up to ``high`` and that itself."""
    return (Rule(f"be at most {high if isinstance(high, int) else f'{high:g}'}{unit and f' {unit}'}", high.__ge__),)


AT_LEAST_SMALLEST: Right = (Rule(f"be at least {SMALLEST:g}", lambda x: x >= SMALLEST),)
POSITIVE: Right = (Rule("be above 0", lambda x: x > 0), *AT_LEAST_SMALLEST)
NOT_NEGATIVE: Right = (Rule("be 0 or more", lambda x: x >= 0),)
ZERO_OR_SMALLEST: Right = (*NOT_NEGATIVE, Rule(f"be 0 or at least {SMALLEST:g}", lambda x: not 0 < x < SMALLEST))
COUNT: Right = POSITIVE + at_most(MOST_STEPS)


@dataclass(frozen=True)
class Declaration:
    """All that is said of one field; what holds for a number holds for each one of a tuple."""

    name: str
    default: Any
    right: Right = ()
    unit: str = ""
    """By the name, where nothing else is said; of values in two units both."""
    slip: tuple[float, float] | None = None
    """Values beyond which the field is likely given in another unit."""
    first: int | None = None
    """How many values of a tuple ``right`` and ``slip`` are said of (None: all): a, b, c of a cell."""
    is_infinite: bool = False
    """Whether infinity is among the right values."""
    in_place_of: str | None = None
    """A field of the same noun, beside which it may not be given."""

    @property
    def unit_in_words(self) -> str:
        """That of the values which ``slip`` is said of."""
        unit = self.unit.partition(" and ")[0]
        return "degrees" if unit == "deg" else unit

    def numbers(self, value: Any) -> tuple[float | None, ...]:
        """Those of a value that ``right`` and ``slip`` are said of."""
        return value[: self.first] if type(value) is tuple else (value,)

    def broken_by(self, value: Any) -> tuple[float, str] | None:
        """The first number of a value that breaks a rule, and what it must do instead."""
        for number in self.numbers(value):
            if number is not None:
                for rule in self.right:
                    if not rule.holds(number):
                        return number, rule.wants
        return None

    def slips(self, value: Any) -> Iterator[float]:
        """Each number of a value that is likely meant in another unit."""
        if self.slip is not None:
            low, high = self.slip
            for number in self.numbers(value):
                if number and not low <= number <= high:
                    yield number


def field(
    default: T,
    right: Right = (),
    *,
    unit: str | None = None,
    slip: tuple[float, float] | None = None,
    first: int | None = None,
    is_infinite: bool = False,
    in_place_of: str | None = None,
) -> T:
    """A field of a dataclass, of which more is said than its type and default; see :class:`Declaration`."""
    said = {"right": right, "slip": slip, "first": first, "is_infinite": is_infinite, "in_place_of": in_place_of}
    made: Any = dataclasses.field(default=default, metadata=said if unit is None else said | {"unit": unit})
    return made


@cache
def declared(noun: type) -> Mapping[str, Declaration]:
    """What is said of each of a noun's fields."""
    return {
        item.name: Declaration(item.name, item.default, **{"unit": _unit(item.name), **item.metadata})
        for item in dataclasses.fields(noun)
    }


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
