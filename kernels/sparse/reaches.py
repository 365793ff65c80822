"""How far from a reflection a sample may be and yet give more than its share of the tolerance."""

import math
from typing import NamedTuple

from ..choices import TOPHAT
from ..compile.jit import internal, maker
from ..cpu.reach import edges_of
from ..cpu.tables import farthest_indices
from ..equations.bounds import largest_polarization, largest_solid_angle
from ..equations.lattice_factor import peak
from ..equations.spots import gauss_reach_sqr, largest_eigenvalue, plane_normal, spread_of, tophat_reach_sqr
from ..equations.structure_factor import nearest_factor
from ..equations.vectors import cross, dot, scaled

LARGEST_LOGARITHM = 599.0
"""Of a Gaussian's peak to its share: beyond e⁻⁶⁰⁰ of its peak the rendered one does not fall."""


class Reach(NamedTuple):
    """How far spots reach: squares, in m⁻²."""

    stretch: float
    """Of spots in reciprocal space, against the axes that say how wide they are; of this number in it."""
    base: float
    """Of F² = 1 and the brightest source."""
    rate: float
    """What each factor of e in F² or weight adds; 0 where spots have an edge."""
    farthest: float
    """Of the brightest reflection and source."""


@maker()
def reach_of(plan, cells, scattering, budget):
    """Reach of spots outside which steps give no more than their share; infinite where there is no such."""
    crystal = plan.crystal
    stretch = 0.0
    for n in range(cells.shape[0]):
        stretch = max(stretch, largest_eigenvalue(spread_of(crystal, stars_of(edges_of(cells, n)))))
    if crystal.shape == TOPHAT:
        radius_sqr = stretch * tophat_reach_sqr(crystal)
        return Reach(stretch, radius_sqr, 0.0, radius_sqr)
    steps = float(plan.sources.wavelength.shape[0] * cells.shape[0])
    photons = largest_photons(plan) * plan.sources.weight.max() * peak(crystal) ** 2
    rate, brightest = (
        stretch * gauss_reach_sqr(crystal),
        largest_square(plan.factors, farthest_indices(plan.crystal, scattering)),
    )
    if photons == 0.0 or brightest == 0.0:
        return Reach(stretch, 0.0, 0.0, 0.0)
    logarithm = math.log(photons) + math.log(steps) - math.log(budget)
    farthest = logarithm + math.log(brightest)
    return Reach(stretch, rate * logarithm, rate, rate * farthest if farthest < LARGEST_LOGARITHM else math.inf)


@internal()
def largest_photons(plan):
    """No step gives any pixel more than this times w F² F_latt²."""
    detector = plan.detector
    depth = detector.layer_step * (detector.layers - 1)
    near = abs(dot(detector.origin, plane_normal(detector)))
    along = min(dot(detector.normal, plane_normal(detector)), 0.0)
    polar = largest_polarization(plan.kahn, 1.0, math.inf) if plan.polarization_correction else 1.0
    samples = float(plan.oversample) * plan.oversample * detector.layers
    return plan.photons_per_sample * samples * polar * largest_solid_angle(detector, near + along * depth)


@internal()
def largest_square(factors, farthest):
    """F² of the brightest reflection whose indices are no more than the farthest."""
    largest = abs(factors.default)
    h_low, h_high = index_range(factors, 0, farthest[0], True)
    k_low, k_high = index_range(factors, 1, farthest[1], True)
    l_low, l_high = index_range(factors, 2, farthest[2], True)
    for channel in range(factors.table.shape[0]):
        for h in range(h_low - factors.first[0], h_high - factors.first[0] + 1):
            for k in range(k_low - factors.first[1], k_high - factors.first[1] + 1):
                row = factors.table[channel, h, k, l_low - factors.first[2] : l_high - factors.first[2] + 1]
                largest = max(largest, largest_of_row(row))
    return largest * largest


@internal(fastmath={"nnan", "nsz"})
def largest_of_row(row):
    """Of their magnitudes."""
    largest = 0.0
    for n in range(row.shape[0]):
        largest = max(largest, abs(row[n]))
    return largest


@internal()
def stars_of(edges):
    """a*, b* and c* in 1/m of a cell's edges."""
    a, b, c = edges
    inverse = 1.0 / dot(a, cross(b, c))
    return scaled(cross(b, c), inverse), scaled(cross(c, a), inverse), scaled(cross(a, b), inverse)


@internal()
def reach_sqr_of(factors, reach, h, k, l):
    """Squared reach of a reflection's spot for the brightest source; 0 where it has no F."""
    largest = 0.0
    for channel in range(factors.table.shape[0]):
        amplitude = nearest_factor(factors, channel, h, k, l)
        largest = max(largest, amplitude * amplitude)
    if largest == 0.0:
        return 0.0
    return reach.base + reach.rate * math.log(largest)


@internal()
def index_range(factors, axis, farthest, listed):
    """First and last index that can be met, in the list of F if that is asked for."""
    low, high = -int(farthest), int(farthest)
    if listed:
        low = max(low, factors.first[axis])
        high = min(high, factors.first[axis] + factors.table.shape[axis + 1] - 1)
    return low, high
