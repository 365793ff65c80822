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

from .measure import SHORTEST_TURN_S, in_turn

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


def processor_seconds(draw: Callable[[], object]) -> float:
    """Of this thread, for one call: what else runs on the machine does not count."""
    calls, began = 0, time.thread_time()
    while True:
        draw()
        calls += 1
        spent = time.thread_time() - began
        if spent >= SHORTEST_TURN_S:
            return spent / calls


def measure_noise(rounds: int) -> list[NoiseRate]:
    """Both generators in turn, on an image of one mean."""
    work: dict[tuple[float, str], Callable[[], object]] = {}
    for mean in MEANS:
        photons = np.full((SIDE, SIDE), mean, np.float32)
        work[mean, "by_place"] = partial(poisson, photons, Window(0, SIDE), 1, 0, 1)
        work[mean, "in_order"] = partial(SerialCounting(1), photons)
    for draw in work.values():
        draw()
    calls = {f"{mean:g} {name}": partial(processor_seconds, draw) for (mean, name), draw in work.items()}
    seconds = in_turn(calls, rounds)
    rate = {name: SIDE * SIDE / statistics.median(times) for name, times in seconds.items()}
    return [NoiseRate(mean, rate[f"{mean:g} by_place"], rate[f"{mean:g} in_order"]) for mean in MEANS]
