"""How a plan's variables move with each parameter: by differences of the set-up's own plans.

Four plans a parameter give what geometry, lattice and beam make of it, in every convention and beside every field that
matters; a column of :class:`~nbnumba.kernels.gradient.change.Change` is a variable that photons depend on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from ..experiment import Crystal, Experiment
from ..kernels.equations.vectors import dot, rotated_about
from ..kernels.gradient.change import (
    AMORPHOUS,
    CELL,
    CELLS,
    FUDGE,
    KAHN,
    PLACE,
    SPOTS,
    SPREAD,
    SWEEP,
    TABLES,
    Change,
)
from ..kernels.plan import BackgroundPlan, CrystalPlan, DetectorPlan, Plan
from ..setup.again import Setting
from ..setup.mosaic import mosaic_changes
from ..units import ANGSTROM_PER_METRE, radians_from_degrees
from .beam_tangents import Rays, rays_of, together
from .differences import Array, Moved, all_moved
from .factor_tangents import FactorSlope, factor_slope, flat_slopes
from .parameter import Parameter, experiment_at

ROUNDING = 1e-9
"""Relative change along a natural scale that is none."""


def change_of(
    setting: Setting, values: Sequence[float], parameters: Sequence[Parameter]
) -> tuple[tuple[Plan, ...], tuple[Change, ...]]:
    """The plans at some values and how they move with each parameter, both panel by panel.

    Parameters
    ----------
    values : sequence of float
        One for each parameter, in its unit.

    Returns
    -------
    plans : tuple of Plan
    changes : tuple of Change
        A row of ``columns`` is that of a parameter.

    Raises
    ------
    UsageError
        A parameter along which something moves that has no derivative.
    """
    experiment = experiment_at(setting, parameters, values)
    plans = setting.plans_at(experiment)
    return plans, _changes_of(experiment, plans, all_moved(setting, experiment, values, parameters))


def follows_cell(crystal: Crystal) -> bool:
    """Whether spots are Gaussian and their width is that of the reciprocal cell, not of edges."""
    return crystal.shape == "gauss" and crystal.gauss_width == "reference"


def _changes_of(experiment: Experiment, plans: Sequence[Plan], moved: Sequence[Moved]) -> tuple[Change, ...]:
    first, follows = plans[0], follows_cell(experiment.crystal)
    factors = [factor_slope(first, one) for one in moved]
    rays = [rays_of(first, one) for one in moved]
    common = np.zeros((len(moved), TABLES))
    for number, (row, one) in enumerate(zip(common, moved, strict=True)):
        row[:] = _common_columns(first, one)
        row[SPOTS] += factors[number].spots
        rays[number] = _with_scaled_crystal(first, follows, row, rays[number])
    spread = _spread(experiment, first.crystal) if common[:, SPREAD].any() else np.zeros((0, 9))
    sweep = _sweep(first.crystal) if common[:, SWEEP].any() else np.zeros(0)
    found = []
    for panel, plan in enumerate(plans):
        columns = common.copy()
        for row, one in zip(columns, moved, strict=True):
            row[PLACE:SPOTS] = _detector_columns(plan.detector, one, panel)
        columns = np.hstack([columns, _own_columns(factors, rays)])
        beams = together([one for one in rays if one is not None], len(plan.sources.weight))
        found.append(Change(float(follows), columns, spread, sweep, *flat_slopes(plan, factors), *beams))
    return tuple(found)


def _own_columns(factors: Sequence[FactorSlope], rays: Sequence[Rays | None]) -> Array:
    """A column of its own for each parameter that has a table, then for each that moves the beam."""
    tables = [number for number, slope in enumerate(factors) if slope.table is not None]
    beams = [number for number, one in enumerate(rays) if one is not None]
    return np.identity(len(factors))[:, [*tables, *beams]]


def _common_columns(plan: Plan, moved: Moved) -> Array:
    """What moves in all panels, but for the beam and F."""
    row, crystal, background = np.zeros(TABLES), plan.crystal, plan.background
    row[CELL : CELL + 9] = _cell_slope(crystal, moved).ravel()
    phi = moved.slope(lambda one: one.crystal.phi)
    if phi.any():
        turn = _seen_from(_cell(crystal), np.cross(crystal.spindle, _cell(crystal)))
        row[CELL : CELL + 9] += phi.mean() * turn.ravel()
        row[SWEEP] = _share(phi - phi.mean(), _sweep(crystal))
    row[SPOTS] = moved.logarithmic(lambda one: one.photons_per_sample, plan.photons_per_sample)
    row[AMORPHOUS] = _amorphous_slope(background, moved)
    row[CELLS : CELLS + 3] = moved.slope(lambda one: one.crystal.cells)
    row[FUDGE] = moved.slope(lambda one: one.crystal.fudge) + _width_slope(crystal, moved)
    spreads = [radians_from_degrees(one.crystal.mosaic_spread_deg or 0.0) for one in moved.experiments]
    row[SPREAD] = moved.difference(spreads)
    row[KAHN] = moved.slope(lambda one: one.kahn)
    return row


def _cell(crystal: CrystalPlan) -> Array:
    """C0: rows a, b, c in m."""
    return np.array([crystal.a, crystal.b, crystal.c])


def _seen_from(cell: Array, change: Array) -> Array:
    """dC0·C0⁻¹."""
    return np.asarray(np.linalg.solve(cell.T, change.T).T)


def _cell_slope(crystal: CrystalPlan, moved: Moved) -> Array:
    """dC0·C0⁻¹; of a crystal that stands still also what its spindle's direction does."""
    spindles = [plans[0].crystal.spindle for plans in moved.plans]
    if all(spindle == crystal.spindle for spindle in spindles):
        return _seen_from(_cell(crystal), moved.slope(lambda one: _cell(one.crystal)))
    if len(crystal.phi) > 1:
        raise UsageError(
            f"{moved.parameter.name} moves the spindle, which has a derivative at one φ alone: give scan.steps 1, or "
            "free crystal.orientation"
        )
    angle = float(crystal.phi[0])

    def turned(one: Plan) -> Array:
        edges = (one.crystal.a, one.crystal.b, one.crystal.c)
        return np.array([rotated_about(edge, one.crystal.spindle, angle) for edge in edges])

    now = np.array([rotated_about(edge, crystal.spindle, angle) for edge in (crystal.a, crystal.b, crystal.c)])
    return _seen_from(now, moved.slope(turned))


def _sweep(crystal: CrystalPlan) -> Array:
    """How far each φ step is from the middle of all, whose sum is 1 from end to end."""
    steps = len(crystal.phi)
    return (np.arange(steps) - (steps - 1) / 2.0) / steps


def _share(vector: Array, direction: Array) -> float:
    """How much of a direction there is in what is parallel to it."""
    square = float(direction @ direction)
    return float(vector @ direction) / square if square else 0.0


def _width_slope(crystal: CrystalPlan, moved: Moved) -> float:
    """What a Gaussian's width does besides: beside a matrix, the angles of a given cell scale a*, b* and c* alone."""
    if not follows_cell(moved.experiments[0].crystal):
        return 0.0

    def ratio(one: CrystalPlan) -> float:
        return dot(one.a, one.a_star) * ANGSTROM_PER_METRE

    change = moved.logarithmic(lambda one: ratio(one.crystal), ratio(crystal))
    return 0.0 if abs(change) * moved.parameter.scale < ROUNDING else 2.0 * crystal.fudge * change


def _amorphous_slope(background: BackgroundPlan, moved: Moved) -> float:
    """d ln of the background, whose shape must stay."""
    change = moved.logarithmic(lambda one: one.background.scale, background.scale)
    if not background.table.size:
        return change + 2.0 * moved.logarithmic(lambda one: one.background.form_factor, background.form_factor)
    stol, factor, _ = background.table
    for plans in moved.plans:
        other = plans[0].background.table
        if other is not background.table and background.scale > 0.0:
            off = np.abs(np.interp(stol, other[0], other[1]) - factor).max()
            if off > ROUNDING * factor.max():
                raise UsageError(
                    f"{moved.parameter.name} moves the shape of the background, which has no derivative: leave it as "
                    "it is, or leave out all materials but one"
                )
    return change


def _with_scaled_crystal(plan: Plan, follows: bool, row: Array, rays: Rays | None) -> Rays | None:
    """A wavelength that all sources share scales the crystal: then the row has that, and there are no rays."""
    common = None if rays is None else rays.common
    if common is None or (plan.background.table.size and plan.background.scale > 0.0):
        return rays
    row[CELL : CELL + 9] -= common * np.identity(3).ravel()
    if follows:
        row[FUDGE] -= 2.0 * plan.crystal.fudge * common
    return None


def _spread(experiment: Experiment, crystal: CrystalPlan) -> Array:
    """d(a, b, c)/d(spread) of every orientation."""
    from ..kernels.equations.orientation import oriented_cells

    said = experiment.crystal
    changes = mosaic_changes(said.mosaic_spread_deg or 0.0, len(crystal.domains), said.mosaic_seed)
    cells: Array = oriented_cells(crystal._replace(domains=changes))
    return cells


def _detector_columns(detector: DetectorPlan, moved: Moved, panel: int) -> Array:
    """Place, normal, path and area of a panel."""
    plans = [plans[panel].detector for plans in moved.plans]
    if all(one is plans[0] for one in plans[1:]):
        return np.zeros(SPOTS - PLACE)
    vectors = moved.difference([(one.origin, one.fast, one.slow, one.normal) for one in plans])
    numbers = moved.difference([(one.pixel, one.close_distance, one.layer_step, one.attenuation) for one in plans])
    now = np.array([detector.pixel, detector.close_distance, detector.layer_step, detector.attenuation])
    pixel, close, step, attenuation = np.divide(numbers, now, out=np.zeros(4), where=now != 0.0)
    axes = np.array([detector.fast, detector.slow, detector.normal])
    # Offsets along fast and slow are pixels times their edge, depths are layers times their thickness.
    place = vectors + np.vstack([np.zeros(3), axes * np.array([[pixel], [pixel], [step]])])
    area = 0.0 if detector.point_pixel else 2.0 * pixel + close
    return np.concatenate([place.ravel(), vectors[3], [step + attenuation, area]])
