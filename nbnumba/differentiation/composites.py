"""Parameters that are more or less than a field: orientation, size and lattice as a whole, and the spots' scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..experiment import Crystal, Experiment, with_right_values
from ..kernels.equations.vectors import rotated_xyz
from ..setup.again import Setting
from ..setup.lattice import reciprocal_axes
from ..units import RTD, degrees_from_radians, radians_from_degrees
from .fields import with_value
from .parameter import Parameter, numbers_of_field

EDGES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
Putting = Callable[[Experiment, float], Experiment]


def scale_of_spots(setting: Setting) -> list[Parameter]:
    """``crystal.spot_scale`` by a short name."""
    (number,) = numbers_of_field(setting, ("crystal", "spot_scale"))
    return [Parameter("scale", number.unit, number.value, number.scale, number.with_number)]


def orientation_of(setting: Setting) -> list[Parameter]:
    """Three rotations about the laboratory's x, then y, then z, after the misset, of which they become a part."""
    start = _rotation(setting.resolved.lattice.misset_rad)

    def putting(axis: int) -> Putting:
        def put(experiment: Experiment, value: float) -> Experiment:
            given = experiment.crystal.misset_deg
            turned = start if isinstance(given, str) else _rotation(tuple(map(radians_from_degrees, given)))
            angles = _angles(turned @ start.T)
            angles[axis] = radians_from_degrees(value)
            misset = tuple(map(degrees_from_radians, _angles(_rotation(angles) @ start)))
            return _with_crystal(experiment, misset_deg=misset)

        return put

    return [Parameter(f"crystal.orientation[{axis}]", "deg", 0.0, RTD, putting(axis)) for axis in range(3)]


def size_of(setting: Setting) -> list[Parameter]:
    """Na, Nb and Nc as real numbers; their geometric mean where photons depend on their product alone."""
    cells = setting.resolved.lattice.cells

    def putting(axis: int) -> Putting:
        def put(experiment: Experiment, value: float) -> Experiment:
            return _with_crystal(experiment, cells=with_value(_real(experiment), (axis,), value))

        return put

    return [
        Parameter(f"crystal.size[{axis}]", "cells", float(number), float(number), putting(axis))
        for axis, number in enumerate(cells)
    ]


def mean_size_of(setting: Setting) -> list[Parameter]:
    """The geometric mean of Na, Nb and Nc, whose ratios stay."""

    def put(experiment: Experiment, value: float) -> Experiment:
        cells = _real(experiment)
        share = value / float(np.prod(cells)) ** (1.0 / 3.0)
        return _with_crystal(experiment, cells=tuple(share * number for number in cells))

    mean = float(np.prod(np.array(setting.resolved.lattice.cells, float))) ** (1.0 / 3.0)
    return [Parameter("crystal.size", "cells", mean, mean, put)]


def a_matrix_of(setting: Setting) -> list[Parameter]:
    """a*, b*, c* as columns: those of the lattice as it lies, which then has no cell and no misset besides."""
    crystal, lattice = setting.experiment.crystal, setting.resolved.lattice
    columns: Any = np.array([lattice.a_star, lattice.b_star, lattice.c_star]).T
    is_own = crystal.a_matrix is not None and crystal.cell is None
    start: Any = crystal.a_matrix if is_own else tuple(map(tuple, columns.tolist()))
    lengths = np.linalg.norm(np.array(start), axis=0).tolist()

    def putting(row: int, column: int) -> Putting:
        def put(experiment: Experiment, value: float) -> Experiment:
            given: Any = _as_matrix(experiment.crystal, start)
            return with_right_values(
                experiment,
                crystal=with_right_values(given, a_matrix=with_value(given.a_matrix, (row, column), value)),
            )

        return put

    return [
        Parameter(f"crystal.a_matrix[{row}][{column}]", "1/Å", start[row][column], lengths[column],
                  putting(row, column))
        for row in range(3)
        for column in range(3)
    ]  # fmt: skip


def _as_matrix(crystal: Crystal, matrix: Any) -> Crystal:
    """The crystal as a matrix alone says it lies; one that it has already stays."""
    if crystal.a_matrix is not None and crystal.cell is None:
        return crystal
    return with_right_values(
        crystal, a_matrix=matrix, cell=None, u_matrix=None, matrix_file=None, misset_deg=(0.0, 0.0, 0.0)
    )


def with_cell_of_matrix(setting: Setting) -> Experiment:
    """The experiment with a cell, and a rotation before the misset, in place of the matrix that says both.

    One of a left hand stays as it is: no rotation leads there.
    """
    lattice = setting.resolved.lattice
    stars = np.array([lattice.a_star, lattice.b_star, lattice.c_star]).T
    unturned = np.array(reciprocal_axes(lattice.cell)).T
    turn = _rotation(lattice.misset_rad).T @ stars @ np.linalg.inv(unturned)
    if np.linalg.det(turn) < 0.0:
        return setting.experiment
    own = {"cell": lattice.cell, "u_matrix": tuple(map(tuple, turn.tolist())), "a_matrix": None, "matrix_file": None}
    return _with_crystal(setting.experiment, **own)


def _with_crystal(experiment: Experiment, **values: Any) -> Experiment:
    return with_right_values(experiment, crystal=with_right_values(experiment.crystal, **values))


def _real(experiment: Experiment) -> tuple[float, float, float]:
    na, nb, nc = experiment.crystal.cells
    return (float(na), float(nb), float(nc))


def _rotation(angles_rad: Any) -> np.ndarray:
    """The matrix that turns by three angles about the lab's x, then y, then z."""
    return np.array([rotated_xyz(edge, *angles_rad) for edge in EDGES]).T


def _angles(turn: np.ndarray) -> list[float]:
    """The inverse; exact also where y is a right angle and x and z turn alike."""
    x = np.arctan2(turn[2, 1], turn[2, 2])
    y = np.arctan2(-turn[2, 0], np.hypot(turn[2, 1], turn[2, 2]))
    sine, cosine = np.sin(x), np.cos(x)
    z = np.arctan2(sine * turn[0, 2] - cosine * turn[0, 1], cosine * turn[1, 1] - sine * turn[1, 2])
    return [float(x), float(y), float(z)]
