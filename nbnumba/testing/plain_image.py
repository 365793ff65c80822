"""A plan's image by plain NumPy, in float64 or of complex variables: what derivatives are measured with.

A :class:`Host` is a plan whose continuous variables stand apart, so that they can be moved; by a step of imaginary size
too, which gives a derivative to the last digits. Mode ``spec``, flat detectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..kernels.choices import FLAT
from ..kernels.plan import Plan
from ..setup.detector import rendered_pixels
from ..setup.lattice import axes_of_edges
from .derivative_equations import (
    Array,
    Factors,
    Spot,
    column,
    dot,
    lattice_square,
    length,
    nearest,
    rotation,
    spot_metric,
    structure_factor,
    unit,
)

Tangent = Mapping[str, Any]
"""A direction: how fast variables move, by their names in :class:`Variables`; those that are not named stay."""


@dataclass(frozen=True)
class Variables:
    """All that photons depend on continuously, SI: names and meaning of a plan, where nothing else is said."""

    cell: Array
    """Rows a, b, c at φ = 0 (3, 3)."""
    cells: Array
    """Na, Nb, Nc as real numbers (3,)."""
    fudge: Any
    phi: Array
    spread: Any
    """By how much mosaic domains are spread more than in the plan, rad: 0."""
    incident: Array
    wavelength: Array
    weight: Array
    origin: Array
    fast: Array
    slow: Array
    normal: Array
    pixel: Any
    close_distance: Any
    layer_step: Any
    attenuation: Any
    kahn: Any
    polarization_axis: Array
    photons_per_sample: Any
    table: Array
    """F (channels, nh, nk, nl)."""
    default: Any
    """F outside the table."""
    background_scale: Any


@dataclass(frozen=True)
class Host:
    """A plan: what can move, and what is counted or chosen."""

    variables: Variables
    shape: int
    by_edges: bool
    """Whether the width of a Gaussian spot goes by each edge's own number of cells."""
    spindle: Array
    domains: Array
    turns: Array
    """Of each domain, the vector about which it turns, by its length per radian of spread (domains, 3)."""
    channel: Array
    first: tuple[int, int, int]
    interpolate: bool
    layers: int
    oversample: int
    point_pixel: bool
    oversample_thick: bool
    oversample_polar: bool
    oversample_omega: bool
    polarization_correction: bool
    background_factor: float
    background_table: Array
    rendered: Array
    """Whether a pixel is (slow, fast)."""

    @property
    def pixels(self) -> tuple[Array, Array]:
        """Numbers of those that are rendered, along slow and along fast."""
        slow, fast = np.nonzero(self.rendered)
        return slow.astype(float), fast.astype(float)

    def spread_over(self, values: Array) -> Array:
        """Of numbers (..., pixels) an image (..., slow, fast), 0 where none is rendered."""
        image = np.zeros((*values.shape[:-1], *self.rendered.shape), values.dtype)
        image[..., self.rendered] = values
        return image


def host_of(plan: Plan, domain_changes: Array | None = None) -> Host:
    """The variables of a plan.

    Parameters
    ----------
    plan : Plan
        Of mode ``spec``.
    domain_changes : ndarray (domains, 3, 3), optional
        What :func:`nbnumba.setup.mosaic.mosaic_changes` says of its domains; without, ``spread`` does not move them.

    Raises
    ------
    ValueError
        A plan that has no derivatives here: of mode c, a curved detector, or a resolution at which it ends.
    """
    detector, sources, crystal, factors, background = plan[:5]
    _check_covered(plan)
    changes = np.zeros((len(crystal.domains), 3, 3)) if domain_changes is None else domain_changes
    turning = changes @ crystal.domains.swapaxes(-1, -2)
    variables = Variables(
        cell=np.array([crystal.a, crystal.b, crystal.c]), cells=np.array(crystal.cells, float), fudge=crystal.fudge,
        phi=crystal.phi, spread=0.0, incident=sources.incident, wavelength=sources.wavelength, weight=sources.weight,
        origin=np.array(detector.origin), fast=np.array(detector.fast), slow=np.array(detector.slow),
        normal=np.array(detector.normal), pixel=detector.pixel, close_distance=detector.close_distance,
        layer_step=detector.layer_step, attenuation=detector.attenuation, kahn=plan.kahn,
        polarization_axis=np.array(plan.polarization_axis), photons_per_sample=plan.photons_per_sample,
        table=factors.table, default=factors.default, background_scale=background.scale,
    )  # fmt: skip
    return Host(
        variables=variables,
        shape=crystal.shape,
        by_edges=(crystal.a_star, crystal.b_star, crystal.c_star) == axes_of_edges(crystal.cells),
        spindle=np.array(crystal.spindle),
        domains=crystal.domains,
        turns=np.stack([turning[:, 2, 1], turning[:, 0, 2], turning[:, 1, 0]], axis=-1),
        channel=sources.channel,
        first=factors.first,
        interpolate=bool(factors.interpolate) and factors.table.size > 0,
        layers=detector.layers,
        oversample=plan.oversample,
        point_pixel=bool(detector.point_pixel),
        oversample_thick=bool(plan.oversample_thick),
        oversample_polar=bool(plan.oversample_polar),
        oversample_omega=bool(plan.oversample_omega),
        polarization_correction=bool(plan.polarization_correction),
        background_factor=background.table[1, 0] if background.table.shape[1] == 1 else background.form_factor,
        background_table=background.table,
        rendered=rendered_pixels(detector) != 0,
    )


def _check_covered(plan: Plan) -> None:
    """Raise a ValueError where photons depend on more than is here."""
    uncovered = {
        "curved detector": plan.detector.surface != FLAT,
        "resolution limit (dmin)": plan.dmin > 0.0,
        "mode c": plan.running_product or plan.last_capture or plan.background.in_sum or plan.factors.interpolate == 2
        or (plan.crystal.phi_carryover and not plan.crystal.phi.all()),
    }  # fmt: skip
    for what, is_so in uncovered.items():
        if is_so:
            raise ValueError(f"no derivatives of a plan with: {what}")


def moved(host: Host, tangent: Tangent, amount: Any) -> Host:
    """The host with its variables an amount further along a direction; with an imaginary one they are complex."""
    changes = {name: getattr(host.variables, name) + amount * np.asarray(rate) for name, rate in tangent.items()}
    return replace(host, variables=replace(host.variables, **changes))


# The image -----------------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A sub-pixel in a layer of the sensor, of all pixels."""

    layer: int
    along_fast: Array
    along_slow: Array
    """Offsets in m (pixels,)."""
    place: Array
    """m (3, pixels)."""
    airpath: Array
    """m (pixels,)."""
    direction: Array
    """Unit vectors (3, pixels)."""


def point_of(host: Host, layer: int, sub_slow: int = 0, sub_fast: int = 0) -> Point:
    """Where a sub-pixel of each pixel is."""
    v, (slow, fast) = host.variables, host.pixels
    step = v.pixel / host.oversample
    along_fast = step * (fast * host.oversample + sub_fast) + step / 2.0
    along_slow = step * (slow * host.oversample + sub_slow) + step / 2.0
    place = column(v.origin) + column(v.fast) * along_fast + column(v.slow) * along_slow
    place = place + column(v.normal) * (layer * v.layer_step)
    airpath = length(place)
    return Point(layer, along_fast, along_slow, place, airpath, place / airpath)


def points_of(host: Host, layer: int) -> Iterator[Point]:
    """All sub-pixels in a layer."""
    for sub_slow in range(host.oversample):
        for sub_fast in range(host.oversample):
            yield point_of(host, layer, sub_slow, sub_fast)


def image(host: Host) -> Array:
    """Photons (slow, fast), 0 where none are rendered: float64, or complex where the host's variables are.

    Spots are photons_per_sample · Σ F²·F_latt² over sensor layers, sub-pixels, sources, φ and domains, each sample
    times its source's weight. Solid angle and polarization are those of the first sub-pixel and source, the fraction
    that a layer captures that of its first sub-pixel, unless they are oversampled. Amorphous material scatters as the
    first sub-pixel sees it.
    """
    v, first, cells = host.variables, point_of(host, 0), orientations(host)
    solid, polar = solid_angle(host, first), polarization(host, 0, first)
    spots, captured = np.zeros(1), np.zeros(1)
    for layer in range(host.layers):
        capture = capture_fraction(host, point_of(host, layer))
        captured = captured + capture
        layer_sum = np.zeros(1)
        for point in points_of(host, layer):
            for source in range(len(v.wavelength)):
                layer_sum = layer_sum + _weight(host, source, point) * _intensity(host, cells, source, point)
        spots = spots + (layer_sum if host.oversample_thick else capture * layer_sum)
    photons = v.photons_per_sample * spots
    photons = photons if host.oversample_omega else photons * solid
    photons = photons if host.oversample_polar else photons * polar
    amorphous = v.background_scale * amorphous_square(host, scattering_vector(host, 0, first))
    return host.spread_over(photons + amorphous * solid * polar * captured)


def orientations(host: Host) -> Array:
    """The cells, rows a, b, c, of every φ and mosaic domain (φ, domains, 3, 3)."""
    v = host.variables
    domains = [rotation(turn, v.spread) @ domain for turn, domain in zip(host.turns, host.domains, strict=True)]
    return np.array([[v.cell @ (domain @ rotation(host.spindle, phi)).T for domain in domains] for phi in v.phi])


def scattering_vector(host: Host, source: int, point: Point) -> Array:
    """q = (s1 − s0)/λ in 1/m (3, pixels)."""
    v = host.variables
    return (point.direction - column(v.incident[source])) / v.wavelength[source]


def spot_of(host: Host) -> Spot:
    """What decides on lattice factors."""
    v = host.variables
    return Spot(host.shape, v.cells, v.fudge, spot_metric(v.cell, v.cells, host.by_edges))


def factors_of(host: Host, source: int) -> Factors:
    """F as a source meets them."""
    v = host.variables
    return Factors(v.table[host.channel[source]], host.first, v.default, host.interpolate)


def _intensity(host: Host, cells: Array, source: int, point: Point) -> Array:
    """Σ F²·F_latt² over φ and domains."""
    h = cells @ scattering_vector(host, source, point)
    factor = structure_factor(factors_of(host, source), h)
    return (factor * factor * lattice_square(spot_of(host), h - nearest(h))).sum(axis=(0, 1))


def _weight(host: Host, source: int, point: Point) -> Array:
    """Of samples: the source's weight, and the factors that are oversampled."""
    weight = host.variables.weight[source] * np.ones(1)
    weight = weight * solid_angle(host, point) if host.oversample_omega else weight
    weight = weight * polarization(host, source, point) if host.oversample_polar else weight
    return weight * capture_fraction(host, point) if host.oversample_thick else weight


def solid_angle(host: Host, point: Point) -> Array:
    """Ω = pixel²·close/R³, of a point 1/R²."""
    v = host.variables
    if host.point_pixel:
        return 1.0 / point.airpath**2
    return v.pixel**2 * v.close_distance / point.airpath**3


def capture_fraction(host: Host, point: Point) -> Array:
    """κ = exp(−l·p) − exp(−(l + 1)·p) of layer number l, whose thickness along the ray is p 1/e depths."""
    v = host.variables
    if v.layer_step.real == 0.0:
        return np.ones(1)
    path = v.layer_step * v.attenuation / dot(point.direction, column(v.normal))
    return np.exp(-point.layer * path) - np.exp(-(point.layer + 1) * path)


def polarization(host: Host, source: int, point: Point) -> Array:
    """P = ½(1 + cos²2θ − K(e² − m²)), e and m along the beam's electric and magnetic field (Kahn et al., 1982)."""
    v = host.variables
    if not host.polarization_correction:
        return np.ones(1)
    incident = v.incident[source]
    magnetic = unit(np.cross(v.polarization_axis, incident))
    electric = unit(np.cross(incident, magnetic))
    c, e, m = incident @ point.direction, electric @ point.direction, magnetic @ point.direction
    return 0.5 * (1.0 + c * c - v.kahn * (e * e - m * m))


def amorphous_square(host: Host, q: Array) -> Array:
    """F² of amorphous material at sin θ/λ = |q|/2: of a line between rows of its table, and the excess."""
    row, u = background_row(host, q)
    if row is None:
        return np.full(1, host.background_factor**2)
    _, factor, excess = host.background_table
    between = factor[row] + u * (factor[row + 1] - factor[row])
    return between * between + excess[row] * (u - u * u)


def background_row(host: Host, q: Array) -> tuple[Array | None, Array]:
    """Rows of the background's table, and how far on to the next sin θ/λ is, from 0 to 1; None without one."""
    stol, table = 0.5 * length(q), host.background_table
    if table.shape[1] < 2:
        return None, stol
    row = np.clip(np.searchsorted(table[0], stol.real, side="right") - 1, 0, table.shape[1] - 2)
    u = (stol - table[0, row]) / (table[0, row + 1] - table[0, row])
    return row, np.where(u.real < 0.0, 0.0, np.where(u.real > 1.0, 1.0, u))
