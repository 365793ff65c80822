"""Whether parameters can be told apart: what photons do not depend on, and what moves them as others do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from ..kernels.choices import SQUARE, TOPHAT
from ..kernels.gradient.change import (
    AMORPHOUS,
    CELL,
    CELLS,
    FUDGE,
    KAHN,
    NORMAL,
    PLACE,
    SPOTS,
    SPREAD,
    SWEEP,
    TABLES,
    Change,
)
from ..kernels.plan import Plan
from .differences import Array
from .parameter import Parameter

NOTHING = 1e-9
"""Part of a parameter's natural scale, or of a row of length 1, that is rounding."""
INVOLVED = 1e-6
"""Share of a row in the combination that another is."""


def told_apart(
    parameters: Sequence[Parameter], plans: Sequence[Plan], changes: Sequence[Change]
) -> tuple[Parameter, ...]:
    """Those parameters that move photons, each in its own way: all, but for spare ones.

    Raises
    ------
    UsageError
        One that changes nothing, or does exactly as others together.
    """
    rows = _rows(parameters, plans, changes)
    kept: list[int] = []
    for number, (parameter, row) in enumerate(zip(parameters, rows, strict=True)):
        size = float(np.linalg.norm(row))
        if size < NOTHING:
            if not parameter.is_spare:
                raise UsageError(f"{parameter.name} changes nothing of this image: leave it out")
            continue
        rows[number] = row / size
        if kept:
            shares = np.linalg.lstsq(rows[kept].T, rows[number], rcond=None)[0]
            if np.linalg.norm(rows[kept].T @ shares - rows[number]) < NOTHING:
                if not parameter.is_spare:
                    others = [parameters[one].name for one, share in zip(kept, shares, strict=True)
                              if abs(share) > INVOLVED]  # fmt: skip
                    raise _alike(parameter.name, others)
                continue
        kept.append(number)
    return tuple(parameters[number] for number in kept)


def check_tophat(parameters: Sequence[Parameter], plans: Sequence[Plan], changes: Sequence[Change]) -> None:
    """Raise a UsageError where the edge of a top-hat spot would move."""
    if plans[0].crystal.shape != TOPHAT:
        return
    for number, parameter in enumerate(parameters):
        for change in changes:
            row, rays = change.columns[number], change.columns[number, TABLES + len(change.tables) :]
            beam = [change.incident[ray].any() or change.wavelength[ray].any() for ray in np.flatnonzero(rays)]
            if any(beam) or any(row[first:last].any() for first, last in _OF_SPOTS):
                raise UsageError(
                    f"{parameter.name} moves the edges of tophat spots, at which photons jump: free what scales them, "
                    "or give another shape"
                )


_OF_SPOTS = ((CELL, NORMAL), (CELLS, KAHN))
"""Columns of what decides where spots are and how large."""


def _alike(name: str, others: Sequence[str]) -> UsageError:
    if len(others) == 1:
        return UsageError(f"{name} and {others[0]} move the image alike: leave out one of them")
    return UsageError(f"{name} moves the image as {', '.join(others)} do together: leave out one of them")


def _rows(parameters: Sequence[Parameter], plans: Sequence[Plan], changes: Sequence[Change]) -> Array:
    """What photons depend on, of each parameter moved by its natural scale: numbers that compare, of all panels."""
    scales = np.array([parameter.scale for parameter in parameters])[:, np.newaxis]
    panels = [_panel_rows(plan, change) for plan, change in zip(plans, changes, strict=True)]
    rows = [_crystal_rows(plans[0], changes[0]), *panels, _beam_rows(plans[0], changes[0])]
    return np.hstack(rows) * scales


def _crystal_rows(plan: Plan, change: Change) -> Array:
    """Cell, size, scale, factors and background, in which nothing is said twice."""
    crystal, columns = plan.crystal, change.columns
    spots, fudge = columns[:, SPOTS].copy(), columns[:, FUDGE] / crystal.fudge
    cells, cell = columns[:, CELLS : CELLS + 3] / np.array(crystal.cells), columns[:, CELL : CELL + 9]
    turns = columns[:, SPREAD : SWEEP + 1] * [len(crystal.domains) > 1, 1.0]
    if crystal.shape == SQUARE:
        fudge = np.zeros_like(fudge)
        if max(crystal.cells) == 1 and not plan.factors.interpolate:
            cell, turns = np.zeros_like(cell), np.zeros_like(turns)
    elif change.follows:
        # I of N cells is N² exp(−const · N² fudge), N their product.
        spots += 2.0 * cells.sum(axis=1)
        fudge += 2.0 * cells.sum(axis=1)
        cells = np.zeros_like(cells)
    elif crystal.shape != TOPHAT:
        # Widths are those of N²·fudge of each edge: √fudge is all of them, but for the peak.
        cells = cells + 0.5 * fudge[:, np.newaxis]
        spots -= 3.0 * fudge
        fudge = np.zeros_like(fudge)
    tables = columns[:, TABLES : TABLES + len(change.tables)]
    rows = [cell, turns, spots[:, np.newaxis], cells, fudge[:, np.newaxis], tables]
    all_rows = np.hstack(rows) * (len(crystal.domains) > 0)
    around = columns[:, [AMORPHOUS]] * (plan.background.scale > 0.0)
    return np.hstack([all_rows, around, columns[:, [KAHN]] * plan.polarization_correction])


def _panel_rows(plan: Plan, change: Change) -> Array:
    """Place, normal, path and area, lengths over the distance."""
    detector, columns = plan.detector, change.columns
    is_deep = detector.layer_step > 0.0
    depth = detector.layer_step * (detector.layers - 1)
    fast, slow = detector.pixel * detector.fast_pixels, detector.pixel * detector.slow_pixels
    offsets = np.repeat([1.0, fast, slow, depth], 3) / np.linalg.norm(detector.origin)
    seen = [is_deep] * 4 + [True]
    return columns[:, PLACE:SPOTS] * np.concatenate([offsets, seen])


def _beam_rows(plan: Plan, change: Change) -> Array:
    """Of every source; fields where polarization counts."""
    rays, sources = change.wavelength.shape
    polar = float(plan.polarization_correction)
    parts = [
        change.incident,
        change.wavelength[:, :, np.newaxis],
        change.weight[:, :, np.newaxis],
        polar * change.electric,
        polar * change.magnetic,
    ]
    own = change.columns[:, TABLES + len(change.tables) :]
    return np.asarray(own @ np.concatenate(parts, axis=2).reshape(rays, 11 * sources))
