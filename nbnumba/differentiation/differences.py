"""Plans at a few steps along a parameter, and derivatives of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..experiment import Experiment
from ..kernels.plan import Plan
from ..setup.again import Setting
from .parameter import Parameter

Array = NDArray[np.float64]
FOUR = (-2, -1, 1, 2)
"""Steps at which plans are made."""


class Moved(NamedTuple):
    """Plans at four steps along a parameter, and the experiments of which they are."""

    parameter: Parameter
    experiments: tuple[Experiment, ...]
    plans: tuple[tuple[Plan, ...], ...]
    """Of every step, those of all panels."""

    def difference(self, values: Sequence[Any]) -> Any:
        """Derivative of what has these values at the four steps; of fourth order."""
        second, first, third, fourth = (np.asarray(value, float) for value in values)
        return (8.0 * (third - first) - (fourth - second)) / (12.0 * self.parameter.step)

    def slope(self, of: Callable[[Plan], Any], panel: int = 0) -> Any:
        """The same of a number or an array of a panel's plan."""
        return self.difference([of(plans[panel]) for plans in self.plans])

    def logarithmic(self, of: Callable[[Plan], float], now: float) -> float:
        """The same of a number's logarithm; 0 of one that is 0."""
        return float(self.slope(of)) / now if now else 0.0


def all_moved(
    setting: Setting, experiment: Experiment, values: Sequence[float], parameters: Sequence[Parameter]
) -> list[Moved]:
    """Every parameter moved by itself."""
    near = [
        tuple(one.put(experiment, value + number * one.step) for number in FOUR)
        for one, value in zip(parameters, values, strict=True)
    ]
    found: dict[int, Moved] = {}
    # Those that move F come last: all others have the same, which are made once.
    for number in sorted(
        range(len(near)), key=lambda number: near[number][0].structure_factors is not experiment.structure_factors
    ):
        found[number] = Moved(parameters[number], near[number], tuple(map(setting.plans_at, near[number])))
    return [found[number] for number in range(len(near))]
