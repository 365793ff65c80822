"""Which constants of a unit cell are one number: crystal systems."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, get_args

from ..choices import listed
from ..errors import UsageError
from ..experiment import Cell

System = Literal[
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "rhombohedral", "cubic"
]

CONSTANTS = ("a", "b", "c", "alpha", "beta", "gamma")
SAME_WITHIN = 1e-4
"""Relatively: constants as people round them."""

Together = tuple[tuple[int, ...], ...]
"""Numbers of the constants that move as one; constants that are in none stand still."""

_EDGES: dict[System, Together] = {
    "triclinic": ((0,), (1,), (2,)),
    "monoclinic": ((0,), (1,), (2,)),
    "orthorhombic": ((0,), (1,), (2,)),
    "tetragonal": ((0, 1), (2,)),
    "trigonal": ((0, 1), (2,)),
    "hexagonal": ((0, 1), (2,)),
    "rhombohedral": ((0, 1, 2),),
    "cubic": ((0, 1, 2),),
}


def free_constants(system: System, cell: Cell) -> Together:
    """The numbers that a cell of such a crystal has, each as the constants that are equal to it.

    Parameters
    ----------
    system : str
        "trigonal" is that of hexagonal axes, "rhombohedral" that of rhombohedral ones. Of "monoclinic" the axis is that
        of the angle that is not 90°, or b.
    cell : tuple of 6 floats
        a, b, c in Å, α, β, γ in degrees.

    Returns
    -------
    tuple of tuples of int
        As "tetragonal": ((0, 1), (2,)).

    Raises
    ------
    UsageError
        There is no such system, or the cell is none of it.
    """
    if system not in get_args(System):
        raise UsageError(f"system {system!r}: give {listed(get_args(System))}")
    edges, (angles, fixed) = _EDGES[system], _angles(system, cell)
    for group in (*edges, *angles):
        for first, second in pairwise(group):
            if not math.isclose(cell[first], cell[second], rel_tol=SAME_WITHIN):
                raise _breaks(system, cell, f"{CONSTANTS[first]} and {CONSTANTS[second]} must be equal")
    for constant, angle in fixed.items():
        if not math.isclose(cell[constant], angle, rel_tol=SAME_WITHIN):
            raise _breaks(system, cell, f"{CONSTANTS[constant]} must be {angle:g} degrees")
    return (*edges, *angles)


def _angles(system: System, cell: Cell) -> tuple[Together, dict[int, float]]:
    """Those that are free, and those that are not with what they are."""
    if system == "triclinic":
        return ((3,), (4,), (5,)), {}
    if system == "rhombohedral":
        return ((3, 4, 5),), {}
    if system == "monoclinic":
        oblique = max((4, 3, 5), key=lambda angle: abs(cell[angle] - 90.0))
        return ((oblique,),), {angle: 90.0 for angle in (3, 4, 5) if angle != oblique}
    right = {3: 90.0, 4: 90.0, 5: 90.0}
    return (), right | {5: 120.0} if system in ("trigonal", "hexagonal") else right


def _breaks(system: System, cell: Cell, reason: str) -> UsageError:
    constants = " ".join(f"{constant:g}" for constant in cell)
    return UsageError(f"crystal.cell {constants} is not {system}: {reason}; give the cell so, or another system")
