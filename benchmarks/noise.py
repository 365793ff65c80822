"""Photons counted in a second, by means: each pixel by its place, beside one pixel after another."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from nbnumba.response.counting import SerialCounting
from nbnumba.response.deviates import Window, poisson

from .measure import in_turn, seconds_per_call

MEANS = (0.01, 0.3, 1.0, 10.0, 100.0, 1e4)
SIDE = 1024


@dataclass(frozen=True)
class NoiseRate:
    """Pixels in a second of a processor at one mean."""

    mean: float
    by_place: float
    in_order: float

    @property
    def ratio(self) -> float:
        """How many times as fast."""
        return self.by_place / self.in_order


def measure_noise(rounds: int) -> list[NoiseRate]:
    """Both generators in turn on images of one mean, by the time that this thread spends, not others."""
    work: dict[tuple[float, str], Callable[[], object]] = {}
    for mean in MEANS:
        photons = np.full((SIDE, SIDE), mean, np.float32)
        work[mean, "by_place"] = partial(poisson, photons, Window(0, SIDE), 1, 0, 1)
        work[mean, "in_order"] = partial(SerialCounting(1), photons)
    for draw in work.values():
        draw()
    own = partial(seconds_per_call, clock=time.thread_time)
    calls = {f"{mean:g} {name}": partial(own, draw) for (mean, name), draw in work.items()}
    seconds = in_turn(calls, rounds)
    rate = {name: SIDE * SIDE / statistics.median(times) for name, times in seconds.items()}
    return [NoiseRate(mean, rate[f"{mean:g} by_place"], rate[f"{mean:g} in_order"]) for mean in MEANS]
