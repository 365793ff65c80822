"""Directions of the plain twin's variables as kernels take them: what each column of a change is, said once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbnumba.kernels.cpu.tables import make_tables
from nbnumba.kernels.equations.polarization import polarization_frame
from nbnumba.kernels.gradient import change as columns
from nbnumba.kernels.gradient.change import Change
from nbnumba.kernels.plan import Plan
from nbnumba.testing.plain_image import Host, Tangent

STEP = 1e-6


def change_along(plan: Plan, host: Host, tangents: Sequence[Tangent], domain_changes: np.ndarray | None) -> Change:
    """One row for each tangent."""
    variables, sources = host.variables, len(plan.sources.weight)
    moved = [_Moved(variables, tangent) for tangent in tangents]
    tabled = [one for one in moved if one.moves("table", "default")]
    beamed = [one for one in moved if one.moves("incident", "wavelength", "weight", "polarization_axis")]
    rows = np.zeros((len(moved), columns.TABLES + len(tabled) + len(beamed)))
    sweep = next((one.phi for one in moved if one.moves("phi")), np.zeros(0))
    for row, one in zip(rows, moved, strict=True):
        _fill(row, plan, variables, one)
        if one in tabled:
            row[columns.TABLES + tabled.index(one)] = 1.0
        if one in beamed:
            row[columns.TABLES + len(tabled) + beamed.index(one)] = 1.0
    frames = np.array([_frames(plan, variables, one) for one in beamed]).reshape(len(beamed), 2, sources, 3)
    return Change(
        follows=float(plan.crystal.shape == 3 and not host.by_edges),
        columns=rows,
        spread=_spread(plan, domain_changes) if any(one.moves("spread") for one in moved) else np.zeros((0, 9)),
        sweep=np.ascontiguousarray(sweep, float),
        tables=np.array([_table(plan, one) for one in tabled]).reshape(len(tabled), -1),
        defaults=np.array([float(one.default) for one in tabled]),
        incident=np.array([one.incident for one in beamed]).reshape(len(beamed), sources, 3),
        wavelength=np.array([one.wavelength / variables.wavelength for one in beamed]).reshape(len(beamed), sources),
        weight=np.array([one.weight / variables.weight for one in beamed]).reshape(len(beamed), sources),
        electric=np.ascontiguousarray(frames[:, 0]),
        magnetic=np.ascontiguousarray(frames[:, 1]),
    )


class _Moved:
    """Rates of all variables along one tangent, 0 of those that stay."""

    def __init__(self, variables: Any, tangent: Tangent) -> None:
        self.names = set(tangent)
        for name in vars(variables):
            rate = np.asarray(tangent.get(name, np.zeros(np.shape(getattr(variables, name)))), float)
            setattr(self, name, rate)

    def moves(self, *names: str) -> bool:
        return any(name in self.names for name in names)


def _fill(row: np.ndarray, plan: Plan, v: Any, one: _Moved) -> None:
    pixel = one.pixel / v.pixel
    row[columns.CELL : columns.CELL + 9] = (one.cell @ np.linalg.inv(v.cell)).ravel()
    step = one.layer_step / v.layer_step if v.layer_step else 0.0
    place = (one.origin, one.fast + v.fast * pixel, one.slow + v.slow * pixel, one.normal + v.normal * step)
    row[columns.PLACE : columns.PLACE + 12] = np.concatenate(place)
    row[columns.NORMAL : columns.NORMAL + 3] = one.normal
    row[columns.PATH] = step + one.attenuation / v.attenuation if v.layer_step else 0.0
    row[columns.AREA] = 0.0 if plan.detector.point_pixel else 2.0 * pixel + one.close_distance / v.close_distance
    row[columns.SPOTS] = one.photons_per_sample / v.photons_per_sample
    row[columns.AMORPHOUS] = one.background_scale / v.background_scale if v.background_scale else 0.0
    row[columns.CELLS : columns.CELLS + 3] = one.cells
    row[columns.FUDGE] = one.fudge
    row[columns.SPREAD] = one.spread
    row[columns.SWEEP] = float(one.moves("phi"))
    row[columns.KAHN] = one.kahn


def _frames(plan: Plan, v: Any, one: _Moved) -> np.ndarray:
    """How the directions of both fields of each source move."""

    def at(amount: float) -> np.ndarray:
        axis = v.polarization_axis + amount * one.polarization_axis
        sources = v.incident + amount * one.incident
        return np.array([polarization_frame(tuple(source), tuple(axis)) for source in sources]).swapaxes(0, 1)

    return (8.0 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4


def _spread(plan: Plan, domain_changes: np.ndarray | None) -> np.ndarray:
    assert domain_changes is not None
    cells = []
    for phi in plan.crystal.phi:
        x, y, z = plan.crystal.spindle
        k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        turn = np.eye(3) + np.sin(phi) * k + (1.0 - np.cos(phi)) * k @ k
        cell = np.array([plan.crystal.a, plan.crystal.b, plan.crystal.c])
        cells += [(change @ turn @ cell.T).T.ravel() for change in domain_changes]
    return np.array(cells)


def _table(plan: Plan, one: _Moved) -> np.ndarray:
    """F² is a parabola, F a line: a difference is exact."""
    between = plan.factors.interpolate > 0

    def at(amount: float) -> np.ndarray:
        factors = plan.factors
        table = np.ascontiguousarray(factors.table + amount * one.table)
        moved = plan._replace(
            factors=factors._replace(table=table, default=float(factors.default + amount * one.default))
        )
        return make_tables(moved, between).factors

    # What the image cannot meet is not filled in.
    with np.errstate(all="ignore"):
        return (at(1.0) - at(-1.0)) / 2.0
