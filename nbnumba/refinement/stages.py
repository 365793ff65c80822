"""In which order numbers are found: how far a start may be off, and what brings it near.

What counts is by how many fringes the edge of the detector is off, N·Δh: the error of a Miller index times the cells
along its axis. Steps on all numbers at once lead back from some 0.4. A smaller crystal has wider spots, and finds the
orientation from up to 3.7; but a wrong cell fits wrong shapes, so that it stands still. The cell is found from up to
1.5 by low resolution first. Each of these ways wins somewhere; all are tried that can help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..experiment import Experiment, changed
from ..setup.resolve import Resolved
from ..units import radians_from_degrees
from .restraints import noun_of
from .unknowns import Unknowns

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

ORIENTATION = ("crystal.misset_deg", "crystal.orientation", "scan.phi_deg")
"""Numbers that turn the crystal and change nothing else."""
STRAIN = ("crystal.cell", "detector.distance_mm", "beam.wavelength_angstrom")
"""Numbers that scale indices."""
USUAL_DEG, USUAL_STRAIN = 0.2, 0.005
"""By how much a start is off, where no restraint tells."""
NEAR = 0.3
"""Fringes within which a smaller crystal is not asked."""
FAR = 3.7
"""Fringes from which a smaller crystal finds the orientation; beyond, orientations are tried on a grid."""
PARTS = (4, 2, 1)
"""A crystal of N/4, of N/2, the true one."""
CIRCLES = (0.35, 0.5, 0.7, 1.0, 1.5)
"""Of half the detector's edge, about the beam."""
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


TURNING = tuple(Stage("orientation, " + (f"N/{part}" if part > 1 else "N"), 25, part=part) for part in PARTS)
GROWING = tuple(Stage(f"circle of {reach:g}", 10, reach=reach) for reach in CIRCLES)
TOGETHER = Stage("all", 50)


@dataclass(frozen=True)
class Fringes:
    """N·Δh at half the detector's edge, by what a start may be off."""

    orientation: float
    """Of the orientation, where it is free; else 0."""
    strain: float
    """Of cell, distance or wavelength; else 0."""
    turned_rad: float
    """By how much the orientation may be off."""

    @property
    def together(self) -> float:
        """Of both."""
        return float(np.hypot(self.orientation, self.strain))

    @property
    def words(self) -> str:
        """For people."""
        advice = "steps on all numbers at once lead back"
        if self.strain > CELL_FROM:
            advice = f"the cell is found from {CELL_FROM:g} or less: restrain it, or begin with fewer cells"
        elif self.orientation > FAR:
            advice = "orientations are tried on a grid"
        elif self.together > PLAIN_FROM:
            advice = "a smaller crystal or low resolution comes first"
        return f"{self.together:.2g} fringes off at the edge, if all is off by its width: {advice}"


PLAIN_FROM, CELL_FROM = 0.4, 1.5
"""Fringes from which steps on all numbers lead back, and growing circles."""


@dataclass(frozen=True, eq=False, repr=False)
class Circles(HoldsArrays):
    """How far pixels are from the beam."""

    radius: Array
    """1/d of each pixel in Å⁻¹ (slow, fast)."""
    edge: float
    """1/d at half the detector's edge."""

    def within(self, reach: float) -> Pixels:
        """Pixels within a circle, in halves of the detector's edge."""
        return self.radius <= reach * self.edge


def circles_of(spacing: Array, counts: Pixels) -> Circles:
    """Those of an image: its farthest pixel that counts is a corner, √2 as far as half the edge.

    Parameters
    ----------
    spacing : float64 array, shape (slow, fast)
        d of each pixel in Å.
    counts : bool array, shape (slow, fast)
        Pixels that count.
    """
    radius = 1.0 / spacing
    return Circles(radius, float(radius[counts].max()) / np.sqrt(2.0))


def fringes_off(unknowns: Unknowns, resolved: Resolved, edge: float) -> Fringes:
    """By how many fringes a start may be off at ``edge`` (Å⁻¹), by the widths of restraints or what is usual."""
    steps = max(n * length for n, length in zip(resolved.lattice.cells, resolved.lattice.cell[:3], strict=True)) * edge
    turned, strained = [0.0], [0.0]
    for number, name in enumerate(unknowns.names):
        width, field = float(unknowns.width[number]), noun_of(name)
        if field in ORIENTATION:
            turned.append(radians_from_degrees(width if np.isfinite(width) else USUAL_DEG))
        elif field in STRAIN and name not in ("crystal.cell[3]", "crystal.cell[4]", "crystal.cell[5]"):
            strained.append(width / float(unknowns.start[number]) if np.isfinite(width) else USUAL_STRAIN)
    return Fringes(steps * max(turned), steps * max(strained), max(turned))


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
    return tuple(max(1, round(n / part)) for n in cells)
