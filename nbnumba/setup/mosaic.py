"""Random orientations: of the mosaic domains, and of a crystal that may lie as it likes."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import NbnumbaWarning
from ..experiment import Crystal, Matrix
from ..kernels.counting.random import seeded, uniform
from ..kernels.equations.vectors import Vector, rotated_about
from ..seeds import MISSET, uniform_deviates
from ..units import degrees_from_radians, radians_from_degrees

Turn = tuple[Vector, np.float32]
"""About which axis a domain is turned, and by which share of the spread."""

MOST_KEPT = 10_000
"""Domains whose rotations stay in memory for the next frame: less than a megabyte."""


def mosaicity(crystal: Crystal) -> tuple[float, int]:
    """Spread in degrees and number of domains; each needs the other."""
    spread, domains = crystal.mosaic_spread_deg or 0.0, crystal.mosaic_domains
    if spread > 0.0 and domains is None:
        warnings.warn(f"-mosaic {spread:g} without -mosaic_domains: 10 domains", NbnumbaWarning, stacklevel=3)
        return spread, 10
    if crystal.mosaic_spread_deg is None and domains is not None and domains > 1:
        warnings.warn(f"-mosaic_domains {domains} without -mosaic: one domain", NbnumbaWarning, stacklevel=3)
    return (spread, domains or 1) if spread > 0.0 else (0.0, 1)


NO_DOMAINS: NDArray[np.float64] = np.zeros((0, 3, 3))
"""Of a crystal that scatters nothing."""


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
    if domains == 1:
        return np.identity(3)[np.newaxis]
    if domains > MOST_KEPT:
        return _drawn(spread_deg, domains, seed)
    # What was kept is nobody's to write to.
    return _kept(spread_deg, domains, seed).copy()


def mosaic_changes(spread_deg: float, domains: int, seed: int) -> NDArray[np.float64]:
    """How the rotations of :func:`mosaic_rotations` change with the spread: dD/dspread = share · [axis]× D.

    Each turns by its share of the spread about its own axis. That angle is rounded to a float32, of which this knows
    nothing: differences of rotations agree where their step is a thousandth of the spread or more.

    Parameters
    ----------
    spread_deg, domains, seed
        As there.

    Returns
    -------
    float64 array, shape (domains, 3, 3)
        Per radian; 0 of the first domain, which stays where it is.
    """
    rotations = mosaic_rotations(spread_deg, domains, seed)
    changes = np.zeros_like(rotations)
    for domain, (axis, share) in enumerate(_turns_of(domains, seed)[1:], start=1):
        # A row of the transpose is a column of D: what one edge of a cube became.
        changes[domain] = float(share) * np.cross(axis, rotations[domain].T).T
    return changes


def _drawn(spread_deg: float, domains: int, seed: int) -> NDArray[np.float64]:
    spread = radians_from_degrees(spread_deg)
    rotations = np.array([_turned(spread, turn) for turn in _turns_of(domains, seed)])
    rotations[0] = np.identity(3)
    return rotations


_kept = lru_cache(maxsize=2)(_drawn)
"""The frames of a series mostly have their domains in common."""


def _turns(domains: int, seed: int) -> list[Turn]:
    state = seeded(seed)
    return [_random_turn(state) for _ in range(domains)]


_kept_turns = lru_cache(maxsize=2)(_turns)
"""Or what is drawn of them, where the spread is another in each."""


def _turns_of(domains: int, seed: int) -> list[Turn]:
    return _kept_turns(domains, seed) if domains <= MOST_KEPT else _turns(domains, seed)


def random_misset(seed: int, uniformly: bool = True) -> Vector:
    """Angles in radians, about the lab's x, then y, then z, of a random orientation.

    Parameters
    ----------
    seed : int
        The same one gives the same orientation.
    uniformly : bool
        All rotations alike; or drawn as a mosaic rotation with a spread of 90 radians, as the original program does,
        which means degrees (C-7): these are not uniform.
    """
    if uniformly:
        return _angles(_uniform_rotation(*uniform_deviates(seed, MISSET, 3).tolist()))
    return _angles(np.array(_turned(90.0, _random_turn(seeded(seed)))))


def uniform_misset_deg(share: float, turn1: float, turn2: float) -> Vector:
    """The orientation of three deviates, all orientations alike where these are uniform.

    Parameters
    ----------
    share, turn1, turn2 : float
        From 0 to 1.

    Returns
    -------
    tuple of 3 floats
        Angles in degrees about the lab's x, then y, then z, as of ``crystal.misset_deg``.
    """
    x, y, z = _angles(_uniform_rotation(share, turn1, turn2))
    return (degrees_from_radians(x), degrees_from_radians(y), degrees_from_radians(z))


def _angles(u: NDArray[np.float64]) -> Vector:
    """Of a rotation in radians, about x, then y, then z."""
    return (
        math.atan2(u[2, 1], u[2, 2]),
        math.atan2(-u[2, 0], math.hypot(u[2, 1], u[2, 2])),
        math.atan2(u[1, 0], u[0, 0]),
    )


def _uniform_rotation(share: float, turn1: float, turn2: float) -> NDArray[np.float64]:
    """One of all rotations, by a random unit quaternion (K. Shoemake, Graphics Gems III, 1992, pp. 124-132)."""
    r1, r2 = math.sqrt(1.0 - share), math.sqrt(share)
    x, y = r1 * math.sin(2.0 * math.pi * turn1), r1 * math.cos(2.0 * math.pi * turn1)
    z, w = r2 * math.sin(2.0 * math.pi * turn2), r2 * math.cos(2.0 * math.pi * turn2)
    return np.array([
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
        [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
        [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
    ])  # fmt: skip


def _random_turn(state: NDArray[np.int64]) -> Turn:
    """A random axis, and a share of the spread; float32 where the original program rounds to it."""
    azimuth, height, radius = (2.0 * float(uniform(state)) - 1.0 for _ in range(3))
    width = math.sqrt(1.0 - height * height)
    axis = (width * math.sin(math.pi * azimuth), width * math.cos(math.pi * azimuth), height)
    power = np.float32(float(np.float32(1.0 - radius * radius)) ** float(np.float32(1.0 / 3.0)))
    return axis, power


def _turned(spread_rad: float, turn: Turn) -> Matrix:
    """The edges of a cube, turned by a share of the spread."""
    axis, power = turn
    angle = float(np.float32(spread_rad) * power)
    x, y, z = (rotated_about(edge, axis, angle) for edge in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    return ((x[0], y[0], z[0]), (x[1], y[1], z[1]), (x[2], y[2], z[2]))
