"""An experiment's numbers by name: ``crystal.cell[0]`` is the first of what ``experiment.crystal.cell`` holds."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args, get_origin

from ..errors import UsageError
from ..experiment import nouns, with_right_values
from ..experiment.field import Declaration, declared
from ..experiment.noun import Noun, types_of
from ..units import RTD

Path = tuple[str | int, ...]
"""From the experiment down: names of fields and places in tuples."""

_NAME = re.compile(r"[a-z]\w*(\[\d+\])*(\.[a-z]\w*(\[\d+\])*)*")
_STEP = re.compile(r"[a-z]\w*|\d+")

NOT_SMOOTH = {
    "crystal.cells": "are whole numbers: free crystal.size, the same as real ones",
    "crystal.size_mm": "says whole numbers of cells: free crystal.size, the same as real ones",
    "crystal.u_matrix": "must stay a rotation: free crystal.orientation",
    "crystal.lattices": "are not the crystal's own lattice, which alone has derivatives",
    "detector.fast_size_mm": "says a whole number of pixels: free detector.pixel_mm",
    "detector.slow_size_mm": "says a whole number of pixels: free detector.pixel_mm",
    "detector.beamstop_mm": "hides whole pixels",
    "detector.beamstop_arm": "hides whole pixels",
    "detector.normal_axis": "counts only where it is exactly of length 1: turn the detector by detector.rotx_deg",
    "sampling.dmin_angstrom": "leaves out whole samples",
    "sampling.tolerance_photons": "decides on samples that are left out of images; derivatives are of all",
    "beam.sase_ev": "is of a pulse that is drawn",
    "beam.sources": "are a list, as which they stay: free beam.wavelength_angstrom or beam.direction",
    "beam.spectrum": "are a list, as which they stay",
    "readout": "is of counts, and derivatives are of the photons that are counted",
}
"""Fields of numbers along which photons jump, or that are none of a model, and why."""

DIRECTIONS = (
    "beam.direction", "beam.polarization_axis", "goniometer.spindle_axis", "detector.fast_axis", "detector.slow_axis",
    "detector.twotheta_axis",
)  # fmt: skip
"""Vectors of which the length counts nothing."""


def path_of(name: str) -> Path:
    """A name taken apart; a UsageError where it is none."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a parameter: give one such as crystal.cell or crystal.cell[0]")
    return tuple(int(step) if step.isdigit() else step for step in _STEP.findall(name))


def name_of(path: Path) -> str:
    """The inverse."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def value_at(thing: Any, path: Path) -> Any:
    """What stands there."""
    for step in path:
        thing = thing[step] if isinstance(step, int) else getattr(thing, step)
    return thing


def with_value(thing: Any, path: Path, value: Any) -> Any:
    """A copy with another value there, which is not looked at."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*thing[:step], with_value(thing[step], rest, value), *thing[step + 1 :])
    return with_right_values(thing, **{step: with_value(getattr(thing, step), rest, value)})


def leaves(value: Any) -> list[Path]:
    """Where the numbers of a field's value stand in it."""
    if isinstance(value, tuple):
        return [(place, *rest) for place, item in enumerate(value) for rest in leaves(item)]
    return [()] if isinstance(value, float) else []


def is_smooth(kind: Any) -> bool:
    """Whether a type is of numbers that need not be whole."""
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    return kind is float or (get_origin(kind) is tuple and all(is_smooth(part) for part in parts))


def field_of(path: Path) -> tuple[Path, Declaration]:
    """The field in which a path ends, and what is declared of it.

    Raises
    ------
    UsageError
        No field, or one whose values are no numbers that can move; nearest names in the message.
    """
    kind: Any = nouns().get(str(path[0]))
    if kind is None or len(path) < 2 or path[1] not in types_of(kind):
        raise _unknown(path)
    end = 2
    while (inside := _nouns_in(kind, str(path[end - 1]))) is not None and len(path) > end + 1:
        if not isinstance(path[end], int) or path[end + 1] not in types_of(inside):
            raise _unknown(path)
        kind, end = inside, end + 2
    name, field = name_of(path[:end]), str(path[end - 1])
    why = NOT_SMOOTH.get(name_of(path[:2])) or NOT_SMOOTH.get(str(path[0]))
    if why is not None:
        raise UsageError(f"{name} {why}")
    if inside is not None:
        number = next(item for item, kinds in types_of(inside).items() if any(map(is_smooth, kinds)))
        raise UsageError(f"{name}: name the numbers of one of them, such as {name_of(path[:2])}[0].{number}")
    if not any(is_smooth(part) for part in types_of(kind)[field]):
        raise UsageError(f"{name} is no number that can be moved a little, and so has no derivative")
    return path[:end], declared(kind)[field]


def _nouns_in(kind: Any, field: str) -> Any:
    """The noun that a field holds several of, if it does."""
    for part in types_of(kind)[field]:
        items = get_args(part)
        if items and isinstance(items[0], type) and issubclass(items[0], Noun):
            return items[0]
    return None


@cache
def smooth_fields() -> tuple[str, ...]:
    """Names of all fields of an experiment that have derivatives in some experiment."""
    return tuple(
        f"{noun}.{field}"
        for noun, kind in nouns().items()
        for field, kinds in types_of(kind).items()
        if not {noun, f"{noun}.{field}"} & NOT_SMOOTH.keys() and any(is_smooth(part) for part in kinds)
    )


COMPOSITES = ("scale", "crystal.orientation", "crystal.size", "crystal.a_matrix")
"""Names that stand for more or less than a field."""


def _unknown(path: Path) -> UsageError:
    name, known = name_of(path), (*COMPOSITES, *smooth_fields())
    bare = re.sub(r"\[\d+\]", "", name)
    by_end = {full.rpartition(".")[2]: full for full in known}
    near = get_close_matches(bare, known, 3, 0.7) or [
        by_end[end] for end in get_close_matches(bare.rpartition(".")[2], by_end, 3, 0.5)
    ]
    advice = f"did you mean {' or '.join(near)}?" if near else "parameters are fields of an experiment: crystal.cell"
    return UsageError(f"{name} is not known as a parameter; {advice}")


def unit_of(field: Declaration, path: Path) -> str:
    """Of a number at a place in a field, some of which have values in two units."""
    first, _, second = field.unit.partition(" and ")
    if not second:
        return first
    place = int(path[-1])
    is_second = place >= field.first if field.first is not None else place % 2 == 1
    return second if is_second else first


def natural_scale(field: Declaration, path: Path, value: Any, unit: str) -> float:
    """By how much a number must move to make a great difference; ``value`` is the whole field's."""
    number: float = value_at(value, path)
    has_rules = field.first is None or not path or int(path[0]) < field.first
    if has_rules and any(not rule.holds(-1.0) for rule in field.right):
        return abs(number)
    if unit == "deg":
        return RTD
    if isinstance(value, tuple):
        together = sum(value_at(value, leaf) ** 2 for leaf in leaves(value)) ** 0.5
        return float(together) or 1.0
    return max(abs(number), 1.0)
