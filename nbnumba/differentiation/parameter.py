"""One number that an image depends on: its name, unit and value, and how an experiment is given another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from ..experiment import Experiment, with_right_values
from ..setup.again import Setting
from .fields import DIRECTIONS, Path, field_of, leaves, name_of, natural_scale, unit_of, value_at, with_value
from .not_given import value_not_given

STEP = 5e-4
"""Of differences, in natural scales: with four of them, their error is that of rounding."""


@dataclass(frozen=True)
class Parameter:
    """One number of an experiment along which its image has a derivative."""

    name: str
    """As ``crystal.cell[0]``."""
    unit: str
    """Of the value, as the experiment has it; empty for a pure number."""
    value: float
    """In the experiment as it was resolved."""
    scale: float
    """By how much it must move to make a great difference."""
    with_number: Callable[[Experiment, float], Experiment]
    is_spare: bool = False
    """Whether it is left out where others move the image alike: a component of a direction that was named as one."""

    @property
    def step(self) -> float:
        """Of differences."""
        return STEP * self.scale

    def put(self, experiment: Experiment, value: float) -> Experiment:
        """The experiment with another value of this number, which nobody checks."""
        return self.with_number(experiment, float(value))


def experiment_at(setting: Setting, parameters: Sequence[Parameter], values: Sequence[float]) -> Experiment:
    """The setting's experiment with values of its parameters."""
    experiment = setting.experiment
    for parameter, value in zip(parameters, values, strict=True):
        experiment = parameter.put(experiment, value)
    return experiment


def numbers_of_field(setting: Setting, path: Path) -> list[Parameter]:
    """Every number of the field in which a path ends, or the one to which it leads.

    Raises
    ------
    UsageError
        No field, none with a derivative, a value that nothing gives, or one of 0 where that is an end.
    """
    place, field = field_of(path)
    name, whole = name_of(place), _whole_of(setting, place)
    is_direction = name in DIRECTIONS and len(path) == len(place)
    found = []
    for leaf in leaves(whole):
        if path[len(place) :] != leaf[: len(path) - len(place)]:
            continue
        number, unit = name_of(place + leaf), unit_of(field, place + leaf)
        value, scale = value_at(whole, leaf), natural_scale(field, leaf, whole, unit)
        _check_value(number, value, scale)
        found.append(Parameter(number, unit, value, scale, _putting(place, leaf, whole), is_direction))
    if not found:
        raise UsageError(f"{name_of(path)}: {name} has {len(leaves(whole))} numbers, {_numbered(name, whole)}")
    # The longest component last: along it a direction does not turn.
    return sorted(found, key=lambda parameter: abs(parameter.value)) if is_direction else found


def _whole_of(setting: Setting, place: Path) -> Any:
    """A field's value, or what counts where none is given."""
    try:
        value = value_at(setting.experiment, place)
    except (IndexError, TypeError):
        raise UsageError(f"{name_of(place)}: the experiment does not list so many") from None
    return value_not_given(setting, name_of(place)) if value is None or isinstance(value, str) else value


def _putting(place: Path, leaf: Path, whole: Any) -> Callable[[Experiment, float], Experiment]:
    """How an experiment is given a number of a field; ``whole``: the field's value where the experiment has none."""

    def put(experiment: Experiment, value: float) -> Experiment:
        given = value_at(experiment, place)
        if leaf and (given is None or isinstance(given, str)):
            given = whole
        return with_value(experiment, place, with_value(given, leaf, value))

    def put_scale(experiment: Experiment, value: float) -> Experiment:
        # Which would say it, too.
        crystal = with_right_values(experiment.crystal, spot_scale=value, whole_size_mm=None)
        return with_right_values(experiment, crystal=crystal)

    return put_scale if place == ("crystal", "spot_scale") else put


def _check_value(name: str, value: float, scale: float) -> None:
    if scale == 0.0:
        raise UsageError(f"{name} is 0, at the end of its values, where it has no derivative: give it one above 0")
    if not np.isfinite(value):
        raise UsageError(f"{name} is {value}, where it has no derivative: give it a value")


def _numbered(name: str, whole: Any) -> str:
    places = leaves(whole)
    return name if places == [()] else f"{name}{name_of(places[0])} to {name}{name_of(places[-1])}"
