"""How far the detector sees into reciprocal space, and what an experiment cannot see at all."""

import itertools
import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NbnumbaWarning
from ..experiment import Experiment
from ..kernels.equations.lattice_factor import SPOTS
from ..kernels.equations.pixel import position
from ..kernels.equations.vectors import length, unit
from ..kernels.plan import DetectorPlan, FactorsPlan, Plan
from ..units import ev_from_angstrom
from .crystal import shape_of
from .lattice import Lattice
from .panels import PlacedPanel, pixels_within, stacked
from .sources import Sources

_POINTS_ALONG_EDGE = 9
"""Of a flat detector in front of the sample the corners scatter farthest; of others some point near one of these."""
_NO_MASK: Any = None
_SOURCES_AT_ONCE = 20_000
_MISSED_FROM = 2.0
"""Widths between two samples; at one width their sum is still that of the spot within 3 %."""
_OUTSHINES = 2.0
"""F(0 0 0) is all electrons of the cell; of lysozyme in solvent 56 times the next F, in vacuum 14 times."""
_NEIGHBOURS = 3
"""Indices by which a tricubic interpolation may reach beyond the sample, and the one to spare that it asks for."""


def edge_resolution(
    detector: DetectorPlan, incident: NDArray[np.float64], wavelength_angstrom: NDArray[np.float64]
) -> float:
    """Smallest spacing d in Å, λ = 2d sin θ, whose scattering from any source meets the detector.

    Parameters
    ----------
    detector : DetectorPlan
    incident : float64 array (n, 3)
        Directions of travel, unit vectors.
    wavelength_angstrom : float64 array (n,)
    """
    seen = _seen(detector._replace(mask=_NO_MASK))
    stol = 0.0
    for first in range(0, len(incident), _SOURCES_AT_ONCE):
        some = slice(first, first + _SOURCES_AT_ONCE)
        cosines = (incident[some] @ seen.T).min(axis=1)
        sines = np.sqrt(np.maximum(1e-12, (1.0 - cosines) / 2.0))
        stol = max(stol, float((sines / wavelength_angstrom[some]).max()))
    return 0.5 / stol


@lru_cache(maxsize=1024)
def _seen(detector: DetectorPlan) -> NDArray[np.float64]:
    """Directions in which points all over a panel are seen (n, 3); the same in all frames of a series."""
    shares = np.linspace(0.0, 1.0, _POINTS_ALONG_EDGE).tolist()
    fast, slow = detector.pixel * detector.fast_pixels, detector.pixel * detector.slow_pixels
    return np.array([unit(position(detector, fast * x, slow * y, 0.0)) for x in shares for y in shares])


def spacing_with_neighbours(dmin_angstrom: float, lattice: Lattice) -> float:
    """The spacing to which F are needed where samples to ``dmin_angstrom`` are interpolated: as far as their blocks."""
    stars = (lattice.a_star, lattice.b_star, lattice.c_star)
    return 1.0 / (1.0 / dmin_angstrom + _NEIGHBOURS * sum(length(star) for star in stars))


def warn_of_blind_spots(experiment: Experiment, lattice: Lattice, sources: Sources, plans: Sequence[Plan]) -> None:
    """Warn where no reflection can be seen, or most photons fall between the samples."""
    _warn_of_long_waves(lattice, float(sources.wavelength_angstrom.min()))
    if not SPOTS[shape_of(experiment.crystal)].in_indices:
        _warn_of_needles(experiment, lattice, float(sources.wavelength_angstrom.min()), plans)


def _warn_of_long_waves(lattice: Lattice, shortest_angstrom: float) -> None:
    """Bragg's law has no solution for λ > 2d."""
    edges = (lattice.a_star, lattice.b_star, lattice.c_star)
    if shortest_angstrom * min(length(star) for star in edges) < 1.0:  # λ < d, as nearly always
        return
    stars = np.array(edges)
    indices = np.array([hkl for hkl in itertools.product((-1, 0, 1), repeat=3) if any(hkl)])
    largest_spacing = 1.0 / float(np.linalg.norm(indices @ stars, axis=1).min())
    if shortest_angstrom > 2.0 * largest_spacing:
        _warn(
            f"a wavelength of {shortest_angstrom:.6g} Å ({ev_from_angstrom(shortest_angstrom):.6g} eV) is longer than "
            f"twice every spacing of the crystal ({largest_spacing:.6g} Å): no reflection can be seen; "
            "-lambda is in Å, -energy in eV"
        )


def _warn_of_needles(
    experiment: Experiment, lattice: Lattice, wavelength_angstrom: float, plans: Sequence[Plan]
) -> None:
    """Say that spots are finer than the distance between samples."""
    width, plan = spot_width(experiment, lattice), plans[0]
    between = max(
        detector.pixel / (plan.oversample * abs(detector.distance) * wavelength_angstrom)
        for detector in (plan.detector for plan in plans)
    )
    if between > _MISSED_FROM * width:
        other = "" if experiment.crystal.gauss_width == "edges" else ", or -gauss_width edges"
        _warn(
            f"{experiment.crystal.shape} spots are {width:.2g} 1/Å wide, finer than the {between:.2g} 1/Å between "
            f"samples: most are missed, the others too bright; give fewer cells (-N), -oversample "
            f"{math.ceil(plan.oversample * between / width)}{other}"
        )


def spot_width(experiment: Experiment, lattice: Lattice) -> float:
    """Full width in Å⁻¹ at half maximum of a spot that is measured in Å⁻¹, along its thinnest direction."""
    crystal, (na, nb, nc) = experiment.crystal, lattice.cells
    relative = 2.0 * math.sqrt(SPOTS[shape_of(crystal)].half_sqr / crystal.fudge)
    if crystal.gauss_width == "reference":
        return relative / (float(na) * nb * nc)
    stars = (lattice.a_star, lattice.b_star, lattice.c_star)
    return relative * min(length(star) / n for star, n in zip(stars, lattice.cells, strict=True))


def pixels_of_direct_beam(
    panels: Sequence[PlacedPanel], lattice: Lattice, sources: Sources, factors: FactorsPlan
) -> NDArray[np.bool_] | None:
    """Pixels that F(0 0 0) lights, where it is more than twice every other F, as it is in a real crystal.

    No detector records them: the beam itself is there, and its stop. What is scaled to the brightest pixel would show
    them alone.

    Returns
    -------
    bool array (slow, fast) of the image, or None
        None where F(0 0 0) is nothing special, or lights the whole detector.
    """
    if not _is_brightest_at_origin(factors):
        return None
    indices = 2.0 if factors.interpolate else 0.5
    reach = indices * sum(length(star) for star in (lattice.a_star, lattice.b_star, lattice.c_star))
    sine = 0.5 * reach * float(sources.wavelength_angstrom.max())
    cosine = float((sources.incident @ np.array(panels[0].beam)).min())
    angle = 2.0 * math.asin(min(1.0, sine)) + math.acos(min(1.0, max(-1.0, cosine)))
    if angle >= 0.25 * math.pi:
        return None
    return stacked([
        pixels_within(panel, abs(panel.distance_m) * math.tan(angle) / abs(panel.ratio)) for panel in panels
    ])  # fmt: skip


def _is_brightest_at_origin(factors: FactorsPlan) -> bool:
    place = tuple(-first for first in factors.first)
    if not all(0 <= index < size for index, size in zip(place, factors.table.shape[1:], strict=True)):
        return False
    # At every wavelength: each has one F as bright as half of F(0 0 0), F(0 0 0) itself.
    return all(
        factors.default < bright and np.count_nonzero(table >= bright) == 1
        for table, bright in ((table, table[place] / _OUTSHINES) for table in factors.table)
    )


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=4)
