"""The orientation by crystals that are smaller than the true one, whose spots are wider."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..units import RTD
from .levenberg import Point, Step
from .restraints import noun_of
from .search import Log, Problem
from .stages import FAR, ORIENTATION, TURNING, Fringes
from .target import deviance, photons_over, under
from .unknowns import SCALE, carried

Array = NDArray[np.float64]

GRID = (0.0, -1.0, 1.0, -2.0, 2.0)
"""Orientations that are tried about each axis, in steps; the start first."""


def turned(log: Log, start: Array, smaller: Callable[[int], Problem], fringes: Fringes) -> Array:
    """Where a start is turned to by crystals of N/4, N/2 and N, and the background and scale that go with it.

    Parameters
    ----------
    log : Log
        Of the whole problem.
    start : float64 array, shape (n,)
        Coordinates of the whole problem.
    smaller : callable
        The problem of a crystal whose edges are divided by a number, with "scale", orientation and background free.
    fringes : Fringes
        By which the start may be off; beyond ``FAR``, orientations are tried on a grid first.
    """
    log.way, log.at = "orientation", start
    whole = log.problem.unknowns.names
    for stage in TURNING:
        problem = smaller(stage.part)
        names = problem.unknowns.names
        known = dict(zip(whole, log.at.tolist(), strict=True))
        # Of another crystal are as many photons another scale.
        known.pop(SCALE, None)
        at = _with_photons(problem, carried(known, names, problem.unknowns.start))
        if stage is TURNING[0] and fringes.orientation > FAR:
            step_deg = min(fringes.orientation, FAR) / log.problem.circles.fringes(1.0) * RTD
            at = _best_on_grid(problem, at, step_deg)
        # The scale is the true crystal's in the end alone.
        kept = names if stage.part == 1 else tuple(name for name in names if name != SCALE)
        merged = partial(_merged, log.at, whole, names, kept)
        found = problem.minimized(at, stage, partial(_note, log, stage.name, merged))
        log.at = merged(found.at)
    log.end("N/4, N/2, N", found)
    return log.at


def _merged(before: Array, whole: tuple[str, ...], names: tuple[str, ...], kept: tuple[str, ...], at: Array) -> Array:
    """Coordinates of the whole with those that were found and are kept."""
    found = dict(zip(names, at.tolist(), strict=True))
    return carried({name: found[name] for name in kept}, whole, before)


def _note(log: Log, stage: str, merged: Callable[[Array], Array], step: Step[Point]) -> None:
    log.step(stage, step, merged(step.point.at))


def _with_photons(problem: Problem, at: Array) -> Array:
    """With the scale by which there are as many photons as were measured."""
    return _scaled(problem, at)[0]


def _scaled(problem: Problem, at: Array) -> tuple[Array, Array]:
    """The same, and the photons that are expected then (slow, fast)."""
    values, coefficients = problem.unknowns.split(at)
    image = problem.model.image(values)
    ratio = photons_over(problem.target, problem.counts, image, coefficients)
    scaled = at.copy()
    scaled[problem.unknowns.names.index(SCALE)] += np.log(ratio)
    return scaled, image * ratio + under(problem.target, coefficients)


def _best_on_grid(problem: Problem, at: Array, step_deg: float) -> Array:
    """Of orientations about a place the one of least deviance, each with a scale of its own.

    They are as far apart as the start may be off, but not farther than what leads back to one of them.
    """
    unknowns = problem.unknowns
    angles = [number for number, name in enumerate(unknowns.names) if noun_of(name) in ORIENTATION]
    best, least = at, np.inf
    for offsets in product(GRID, repeat=len(angles)):
        tried = at.copy()
        tried[angles] += np.array(offsets) * step_deg
        tried, expected = _scaled(problem, np.clip(tried, unknowns.low, unknowns.high))
        found = deviance(problem.target, problem.counts, expected)
        if found < least:
            best, least = tried, found
    return best
