"""Room for a block of pixels: all of its numbers in rows of one array.

Arrays that functions are given one by one cost them most of the time to compile, and calls most of their time. So
what takes a block's numbers takes one array and knows the rows.
"""

from typing import NamedTuple

import numpy as np

from ..compile.jit import internal
from ..cpu.block import LINE, PADDING
from ..equations.polarization import polarization_frame
from ..plan import Vector
from .change import (
    AMORPHOUS,
    AREA,
    CELL,
    CELLS,
    FUDGE,
    GEOMETRY,
    KAHN,
    MORE,
    PLACE,
    SPOTS,
    SPREAD,
    SWEEP,
    TABLES,
    wanted_of,
)

BLOCK = PADDING
"""Pixels in a block: fewer than for photons alone, so that their many numbers stay in the first-level cache."""

(FAST, X, Y, Z, NEAR, QX, QY, QZ, SOLID, POLAR, CAPTURE, FIRST_SOLID, FIRST_POLAR, CAPTURED, AROUND, SAMPLES, LAYER,
 TOTAL, PHOTONS) = (np.uint32(n * BLOCK) for n in range(19))  # fmt: skip
"""As in ``Block``, and 1/distance after the direction; ``AROUND`` is its ``amorphous``."""
WEIGHT, SHARE, UX, UY, UZ, VX, VY, VZ = (np.uint32(n * BLOCK) for n in range(19, 27))
"""What makes photons of a ray's sum; photons that share a factor; Σ Mᵀg of a ray, in photons · m; derivatives by the
place of a sub-pixel, in photons per m."""
FIRST_WAY, LAYER_WAY = (np.uint32(n * BLOCK) for n in (27, 31))
"""Direction and 1/distance, as from ``X`` on, of the first sub-pixel of a pixel and of the layer under way."""
GH, GK, GL, NA, NB, NC, SQR, FACTOR, FACTOR_H, FACTOR_K, FACTOR_L = (np.uint32(n * BLOCK) for n in range(35, 46))
"""Of a step: slopes g, what the shape gives besides, F_latt²; where F is interpolated, F and F's part of g."""
W_H, W_K, W_L, D_H, D_K, D_L = (np.uint32(n * BLOCK) for n in (46, 50, 54, 58, 62, 66))
CORNER, INSIDE = (np.uint32(n * BLOCK) for n in (70, 71))
"""Four weights of a cubic along each axis, four slopes of them, and where in the table it begins."""
COLUMNS = np.uint32(72 * BLOCK)
"""Derivatives of photons by the plan's variables, by the columns of ``change.py``, come last."""
ONE, TWO, THREE = (np.uint32(n * BLOCK) for n in (1, 2, 3))
SINGLE_ROWS = 16


class Terms(NamedTuple):
    """Columns that parameters move, nine at a time, as a cell has: most of ``Change.columns`` is 0."""

    parameter: np.ndarray
    """int64 (k,): whose derivative they are a part of."""
    columns: np.ndarray
    """int64 (k, 9): their numbers; that of a row of zeros fills the last up."""
    rates: np.ndarray
    """(k, 9): how fast the parameter moves them."""


class Room(NamedTuple):
    """Arrays that one thread works in, and what there is to do."""

    rows: np.ndarray
    """float64, flat: the rows above."""
    fast: np.ndarray
    """The first of them: fast indices of the pixels."""
    single: np.ndarray
    """float32: what the loops in that precision keep."""
    places: np.ndarray
    """uint32: where in the table of F."""
    slopes: np.ndarray
    """Derivatives by the parameters, and the images of a basis after them, in rows, of which three are to spare."""
    parameters: int
    fours: np.ndarray
    """int64 (k, 4): numbers of the columns that some parameter moves; that of a row of zeros fills the last up."""
    terms: Terms
    """Of which derivatives by the parameters are sums."""
    summed: np.ndarray
    """Of those that begin with 0."""
    place_moves: np.ndarray
    """(4,): 1 of each three columns of the place of which some parameter moves one, else 0."""
    turn: np.ndarray
    """(9,): dC0·C0⁻¹ of a crystal that turns about the spindle."""
    frame: tuple[Vector, Vector]
    """Directions of the electric and the magnetic field of the first source's rays."""


def new_room(plan, change, basis):
    """Room for a thread; ``basis`` images are kept beside the slopes."""
    moved = (change.columns != 0.0).any(axis=0)
    summed = moved.copy()
    summed[[SPOTS, AMORPHOUS]] = False
    summed[CELL : CELL + 9] = True
    if wanted_of(change) >= GEOMETRY:
        summed[[*range(PLACE, PLACE + 3), AREA, KAHN]] = True
    if wanted_of(change) >= MORE:
        summed[CELLS : FUDGE + 1] = True
        summed[SPREAD], summed[SWEEP] = change.spread.size > 0, change.sweep.size > 0
        summed[TABLES:] = True
    parameters, variables = change.columns.shape
    rows = aligned(COLUMNS + (variables + 1) * BLOCK)
    for start, value in (
        (POLAR, 1.0),
        (CAPTURE, 1.0),
        (FIRST_POLAR, 1.0),
        (CAPTURED, plan.detector.layers),
    ):
        rows[start : start + BLOCK] = value
    return Room(
        rows,
        rows[FAST : FAST + BLOCK],
        aligned(SINGLE_ROWS * BLOCK // 2).view(np.float32),
        aligned(BLOCK // 2).view(np.uint32),
        aligned((parameters + basis + 3) * BLOCK),
        parameters,
        grouped(moved, 4),
        terms_of(change.columns, moved),
        np.flatnonzero(summed),
        moved[PLACE : PLACE + 12].reshape(4, 3).any(axis=1).astype(np.uint8),
        turn_of(plan.crystal),
        polarization_frame(tuple(plan.sources.incident[0].tolist()), plan.polarization_axis),
    )


def grouped(moved, size):
    """Numbers of what is moved in rows of one size; the last is filled up with the number after all."""
    numbers = np.flatnonzero(moved)
    rows = np.full((-(-len(numbers) // size), size), len(moved))
    rows.flat[: len(numbers)] = numbers
    return rows


def terms_of(columns, moved):
    """Those of all parameters."""
    nines, rates = grouped(moved, 9), np.pad(columns, ((0, 0), (0, 1)))
    whose, group = np.nonzero((rates[:, nines] != 0.0).any(axis=2))
    return Terms(whose, nines[group], np.ascontiguousarray(rates[whose[:, None], nines[group]]))


def aligned(count):
    """Room for numbers, from the beginning of a cache line: else most vectors would lie in two."""
    room = np.zeros(count + LINE - 1)
    first = -(room.ctypes.data // room.itemsize) % LINE
    return room[first : first + count]


def turn_of(crystal):
    """C0·[e]ₓᵀ·C0⁻¹ row by row: what dφ about the spindle e is to the cell, as rows of C0 turn as v + dφ e × v."""
    cell = np.array((crystal.a, crystal.b, crystal.c))
    return (np.cross(crystal.spindle, cell) @ np.linalg.inv(cell)).ravel()


@internal(forceinline=True)
def row_of(number):
    """Where a row of slopes begins."""
    return np.uint32(number * BLOCK)


@internal(forceinline=True)
def column_at(number):
    """Where a column begins."""
    return np.uint32(COLUMNS + number * BLOCK)
