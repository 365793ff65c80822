"""Random orientations: of the mosaic domains, and of a crystal that may lie as it likes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .kernels.random import seeded, uniform
from .kernels.vectors import Vector, rotated_about
from .units import radians_from_degrees


def mosaic_rotations(spread_deg: float, domains: int, seed: int) -> NDArray[np.float64]:
    """Rotations of the mosaic domains, the first of which is the identity.

    Parameters
    ----------
    spread_deg : float
        Largest angle of a rotation. The rotations fill a sphere of this radius about the identity.
    domains : int
    seed : int

    Returns
    -------
    float64 array, shape (domains, 3, 3)
        ``rotations[i] @ a`` is the cell vector a of domain i.
    """
    state = seeded(seed)
    spread = radians_from_degrees(spread_deg)
    rotations = np.array([_random_rotation(spread, state) for _ in range(domains)])
    rotations[0] = np.identity(3)
    return rotations


def random_misset(seed: int) -> Vector:
    """Angles in radians, about the lab's x, then y, then z, of a random orientation.

    It is drawn as a mosaic rotation with a spread of 90 radians, so that a seed gives the same orientation as in the
    original program, which means degrees but says radians.
    """
    u = _random_rotation(90.0, seeded(seed))
    return (
        math.atan2(u[2, 1], u[2, 2]),
        math.atan2(-u[2, 0], math.hypot(u[2, 1], u[2, 2])),
        math.atan2(u[1, 0], u[0, 0]),
    )


def _random_rotation(spread_rad: float, state: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rotation by up to ``spread_rad`` about a random axis; float32 where the original program rounds to it."""
    azimuth, height, radius = (2.0 * float(uniform(state)) - 1.0 for _ in range(3))
    width = math.sqrt(1.0 - height * height)
    axis = (width * math.sin(math.pi * azimuth), width * math.cos(math.pi * azimuth), height)
    power = np.float32(float(np.float32(1.0 - radius * radius)) ** float(np.float32(1.0 / 3.0)))
    angle = float(np.float32(spread_rad) * power)
    return np.column_stack([rotated_about(tuple(e), axis, angle) for e in np.identity(3).tolist()])
