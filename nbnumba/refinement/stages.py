"""In which order numbers are found: how far a start may be off, and what brings it near.

What counts is by how many fringes the edge of the detector is off, N·Δh: the error of a Miller index times the cells
along its axis. Steps on all numbers at once lead back from some 0.4. A smaller crystal has wider spots, and finds the
orientation from up to 3.7; but a wrong cell fits wrong shapes, so that it stands still. The cell is found from up to 2
by low resolution first, where few fringes are off, in circles that grow by so little that the next ones are not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..experiment import Experiment, changed
from ..prediction import angular_spread, longest_edge, resolution_map
from ..setup.resolve import Resolved
from ..units import RTD, radians_from_degrees
from .restraints import noun_of
from .unknowns import Unknowns

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

ORIENTATION = ("crystal.misset_deg", "crystal.orientation", "scan.phi_deg")
"""Numbers that turn the crystal and change nothing else."""
LENGTHS = ("crystal.cell", "detector.distance_mm", "beam.wavelength_angstrom")
"""Numbers that scale indices by as much as they are changed themselves."""
ANGLES = ("crystal.cell[3]", "crystal.cell[4]", "crystal.cell[5]")
USUAL_DEG, USUAL_STRAIN = 0.2, 0.005
"""By how much a start is off, where no restraint tells."""
MOST_FRINGES = 0.3
"""By which a step moves the edge of what counts: beyond, slopes tell nothing."""
NEAR = 0.3
"""Fringes within which nothing is tried that is meant for starts far off."""
FAR = 3.7
"""Fringes from which a smaller crystal finds the orientation; beyond, orientations are tried on a grid."""
PLAIN_FROM, CELL_FROM = 0.4, 2.0
"""Fringes from which steps on all numbers lead back, and growing circles."""
PARTS = (4, 2, 1)
"""A crystal of N/4, of N/2, the true one."""
FIRST_CIRCLE, LAST_CIRCLE, GROWTH = 0.2, 1.5, 2.0**0.25
"""Radii of circles about the beam, in halves of the detector's edge."""
CHOSEN_AT = 0.6
"""Radius by which the best of several starts is chosen."""
ALL = np.inf


@dataclass(frozen=True)
class Stage:
    """A search on a part of what there is."""

    name: str
    iterations: int
    part: int = 0
    """By which the crystal's edges are divided while its orientation and scale alone are free; 0: all are free."""
    reach: float = ALL
    """Radius of a circle, in halves of the detector's edge, within which pixels count."""


def _radii() -> list[float]:
    count = int(np.ceil(np.log(LAST_CIRCLE / FIRST_CIRCLE) / np.log(GROWTH)))
    return [*(FIRST_CIRCLE * GROWTH**number for number in range(count)), LAST_CIRCLE]


TURNING = tuple(Stage("N" if part == 1 else f"N/{part}", 25, part=part) for part in PARTS)
GROWING = tuple(Stage(f"circle of {reach:.2g}", 10, reach=reach) for reach in _radii())
TOGETHER = Stage("all", 50)


@dataclass(frozen=True)
class Fringes:
    """N·Δh at half the detector's edge, by what a start may be off."""

    orientation: float
    """Of the orientation, where it is free; else 0."""
    strain: float
    """Of cell, distance or wavelength; else 0."""

    @property
    def together(self) -> float:
        """Of both."""
        return float(np.hypot(self.orientation, self.strain))

    @property
    def words(self) -> str:
        """For people."""
        advice = "steps on all numbers at once lead back"
        if self.strain > CELL_FROM:
            advice = f"the cell is found from {CELL_FROM:g} or less; restrain it, or begin with fewer cells"
        elif self.orientation > FAR:
            advice = "orientations are tried on a grid"
        elif self.together > PLAIN_FROM:
            advice = "a smaller crystal and low resolution come first"
        return f"{self.together:.2g} fringes off at the edge, if all is off by its width: {advice}"


@dataclass(frozen=True, eq=False, repr=False)
class Circles(HoldsArrays):
    """How far pixels are from the beam, and how wide fringes are there."""

    radius: Array
    """1/d of each pixel in Å⁻¹ (slow, fast)."""
    edge: float
    """1/d at half the detector's edge: the farthest pixel that counts is a corner, √2 as far."""
    longest: float
    """Edge in Å of a crystal with such fringes."""
    spread: float
    """Angle in rad by which mosaicity and divergence widen spots."""

    def within(self, reach: float) -> Pixels:
        """Pixels within a circle, in halves of the detector's edge."""
        return self.radius <= reach * self.edge

    def fringes(self, reach: float) -> float:
        """How many there are from the beam to the circle: by so many it is off where all is off by 100 %."""
        radius = min(reach, np.sqrt(2.0)) * self.edge
        return float(radius / np.hypot(1.0 / self.longest, self.spread * radius))


def circles_of(resolved: Resolved, counts: Pixels) -> Circles:
    """Those of an image; ``counts`` (slow, fast): its pixels that count."""
    radius = 1.0 / resolution_map(resolved)
    edge = float(radius[counts].max()) / np.sqrt(2.0)
    return Circles(radius, edge, longest_edge(resolved), angular_spread(resolved))


def whole_of(unknowns: Unknowns) -> Array:
    """By how much each coordinate changes where reflections move by as much as they are from the beam (n,).

    Infinite where they do not move.
    """
    whole = np.full(len(unknowns.names), np.inf)
    for number, name in enumerate(unknowns.names):
        if noun_of(name) in ORIENTATION or name in ANGLES:
            whole[number] = RTD
        elif noun_of(name) in LENGTHS:
            whole[number] = unknowns.start[number]
    return whole


def widths_of(unknowns: Unknowns) -> Array:
    """By how much each coordinate may be off at the start (n,): by its restraint, or as is usual; else infinite."""
    usual = [radians_from_degrees(USUAL_DEG) if noun_of(name) in ORIENTATION else USUAL_STRAIN
             for name in unknowns.names]  # fmt: skip
    return np.minimum(unknowns.width, np.where(np.isinf(unknowns.width), np.array(usual) * whole_of(unknowns), np.inf))


def fringes_off(unknowns: Unknowns, circles: Circles) -> Fringes:
    """By how many fringes a start may be off at half the edge, by the widths of restraints or what is usual."""
    whole = whole_of(unknowns)
    with np.errstate(invalid="ignore"):
        off = np.where(np.isfinite(whole), widths_of(unknowns) / whole, 0.0) * circles.fringes(1.0)
    turns = np.array([noun_of(name) in ORIENTATION for name in unknowns.names])
    return Fringes(float(off[turns].max(initial=0.0)), float(off[~turns].max(initial=0.0)))


def smaller(experiment: Experiment, resolved: Resolved, part: int) -> Experiment:
    """The same with a crystal whose spots are so many times as wide.

    Of square crystals by fewer cells; of others by the fudge factor, which scales their spots and need not be whole.
    """
    crystal = experiment.crystal
    changes: dict[str, Any] = {"fudge": crystal.fudge / part**2}
    if crystal.shape == "square":
        changes = {"cells": _fewer(resolved.lattice.cells, part), "size_mm": (None, None, None)}
        if crystal.lattices:
            changes["lattices"] = [
                one if one.cells is None else replace(one, cells=_fewer(one.cells, part)) for one in crystal.lattices
            ]
    # Few cells would have F interpolated.
    interpolate = bool(resolved.plans[0].factors.interpolate)
    return changed(experiment, crystal=changes, structure_factors={"interpolate": interpolate})


def _fewer(cells: Sequence[int], part: int) -> tuple[int, ...]:
    """A single cell has no spots: those of two are the widest."""
    return tuple(min(n, max(2, round(n / part))) for n in cells)
