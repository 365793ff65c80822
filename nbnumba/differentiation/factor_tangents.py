"""How structure factors move with a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..kernels.plan import Plan
from .differences import Array, Moved

ALIKE = 1e-9
"""Relative difference from a change of all F by one factor that is rounding."""


class FactorSlope(NamedTuple):
    """dF of a parameter: in part that of a factor of all F, which photons show as the spots' scale."""

    spots: float = 0.0
    """d ln F², where all F change alike."""
    table: Array | None = None
    """dF of the table and, below, of the default F, where they do not."""
    default: float = 0.0


def factor_slope(plan: Plan, moved: Moved) -> FactorSlope:
    """How F moves."""
    made = [plans[0].factors for plans in moved.plans]
    if all(factors is made[0] for factors in made[1:]):
        return FactorSlope()
    table = moved.difference([factors.table for factors in made])
    default = float(moved.difference([factors.default for factors in made]))
    now, change = np.append(plan.factors.table, plan.factors.default), np.append(table, default)
    square = float((now * now).sum())
    share = float((now * change).sum()) / square if square else 0.0
    if np.abs(change - share * now).max() <= ALIKE * np.abs(change).max():
        return FactorSlope(2.0 * share)
    return FactorSlope(0.0, table, default)


def flat_slopes(plan: Plan, slopes: Sequence[FactorSlope]) -> tuple[Array, Array]:
    """``Change.tables`` and ``Change.defaults`` of those parameters that need one, for a panel's plan."""
    own = [slope for slope in slopes if slope.table is not None]
    if not own:
        return np.zeros((0, 0)), np.zeros(0)
    # What the image cannot meet is not filled in.
    with np.errstate(all="ignore"):
        tables = np.array([_flat_slope(plan, slope) for slope in own])
    defaults = np.array([slope.default for slope in own])
    return tables, defaults if plan.factors.interpolate else 2.0 * plan.factors.default * defaults


def _flat_slope(plan: Plan, slope: FactorSlope) -> Array:
    """dF², or dF where that is interpolated, where the inner loop looks for F."""
    assert slope.table is not None
    if plan.factors.interpolate:
        return _flat(plan, slope.table, slope.default)
    # ((F + s·dF)² − (F − s·dF)²)/2s = 2 F dF, whatever s is.
    factors = plan.factors
    largest = max(np.abs(slope.table).max(initial=0.0), abs(slope.default))
    s = max(factors.table.max(initial=0.0), factors.default) / largest
    more, less = (
        _flat(plan, factors.table + sign * s * slope.table, factors.default + sign * s * slope.default)
        for sign in (1.0, -1.0)
    )
    return np.asarray((more - less) / (2.0 * s))


def _flat(plan: Plan, table: Array, default: float) -> Array:
    from ..kernels.cpu.tables import make_tables

    factors = plan.factors._replace(table=np.ascontiguousarray(table), default=float(default))
    flat: Array = make_tables(plan._replace(factors=factors), factors.interpolate > 0).factors
    return flat
