"""Room for the slopes of a block of pixels, beside that for their photons."""

from typing import NamedTuple

import numpy as np

from ..compile.jit import maker
from ..cpu.block import Block, aligned, new_block
from .sums import BLOCK, FACTORS, SCRATCH_ROWS, SINGLE_ROWS


class Ways(NamedTuple):
    """Directions and distances of the rays to a sub-pixel: of ``Block`` the first four."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    airpath: np.ndarray


class Room(NamedTuple):
    """Arrays of one value for each pixel of a block; rows of one kind lie flat, one after the other."""

    block: Block
    sums: np.ndarray
    """A ray's sums over orientations, by the rows of ``sums.py``."""
    columns: np.ndarray
    """Derivatives of photons by the plan's variables, by the columns of ``change.py``."""
    slopes: np.ndarray
    """Derivatives by the parameters, and the images of a basis after them."""
    first: Ways
    """To the first sub-pixel of a pixel."""
    layer: Ways
    """To the first sub-pixel of the layer under way."""
    vx: np.ndarray
    vy: np.ndarray
    vz: np.ndarray
    """Derivative by the place of a sub-pixel, in photons per m."""
    weight: np.ndarray
    """What makes photons of a ray's sum."""
    share: np.ndarray
    """Photons that share a factor."""
    latt_sqr: np.ndarray
    factor: np.ndarray
    factor_h: np.ndarray
    factor_k: np.ndarray
    factor_l: np.ndarray
    """F_latt²; F and 2F·F_latt² times its slopes, where F is interpolated."""
    single: np.ndarray
    """What the float32 loops keep."""
    scratch: np.ndarray
    """What the interpolating loops keep."""
    active: np.ndarray
    """Numbers of the columns that some parameter moves."""
    is_active: np.ndarray
    """Whether one does, of each column."""
    turn: np.ndarray
    """(9,): dC0·C0⁻¹ of a crystal that turns about the spindle."""


@maker(forceinline=True)
def new_room(plan, change, basis):
    """Room for a block's pixels; ``basis`` images are kept beside the slopes."""
    rows = aligned(18 * BLOCK).reshape(18, BLOCK)
    ways = Ways(rows[0], rows[1], rows[2], rows[3])
    more = Ways(rows[4], rows[5], rows[6], rows[7])
    parameters, variables = change.columns.shape
    is_active = moved_columns(change.columns)
    return Room(
        new_block(BLOCK),
        aligned((FACTORS + change.tables.shape[0]) * BLOCK),
        aligned(variables * BLOCK),
        aligned((parameters + basis) * BLOCK),
        ways, more, rows[8], rows[9], rows[10], rows[11], rows[12], rows[13], rows[14], rows[15], rows[16], rows[17],
        aligned(SINGLE_ROWS * BLOCK // 2).view(np.float32),
        aligned(SCRATCH_ROWS * BLOCK),
        np.flatnonzero(is_active),
        is_active,
        turn_of(plan.crystal),
    )  # fmt: skip


@maker()
def moved_columns(columns):
    """Whether some parameter moves each."""
    moved = np.zeros(columns.shape[1], np.uint8)
    for parameter in range(columns.shape[0]):
        for column in range(columns.shape[1]):
            if columns[parameter, column] != 0.0:
                moved[column] = 1
    return moved


@maker()
def turn_of(crystal):
    """C0·[e]ₓᵀ·C0⁻¹ row by row: what dφ about the spindle e is to the cell."""
    cell = np.array((crystal.a, crystal.b, crystal.c))
    x, y, z = crystal.spindle
    # Rows of C0 turn as v + dφ e × v.
    across = np.array(((0.0, z, -y), (-z, 0.0, x), (y, -x, 0.0)))
    return (cell @ across @ np.linalg.inv(cell)).ravel()
