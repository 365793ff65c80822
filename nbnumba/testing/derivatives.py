"""All derivatives of an image by plain NumPy: what fast ones are held to.

:func:`derivatives` goes once through a pixel's samples as :func:`nbnumba.testing.plain_image.image` does, with analytic
derivatives of every factor. Jumps, half-way between reflections and at the edge of a top-hat spot, are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..kernels.choices import GAUSS
from .derivative_equations import (
    Array,
    column,
    cross_matrix,
    dot,
    lattice_slopes,
    lattice_square,
    length,
    nearest,
    structure_factor,
    structure_factor_slopes,
    unit,
    unit_change,
)
from .plain_image import (
    Host,
    Point,
    Tangent,
    Variables,
    amorphous_square,
    background_row,
    capture_fraction,
    factors_of,
    orientations,
    point_of,
    points_of,
    polarization,
    scattering_vector,
    solid_angle,
    spot_of,
)


def tangent_of(host_at: Callable[[float], Host], step: float) -> dict[str, Array]:
    """The direction in which a parameter of the user's moves the variables, by differences of four hosts.

    Parameters
    ----------
    host_at : callable
        Of so much more of the parameter: of ±step and ±2 step.
    step : float
        In the parameter's unit; a thousandth of its scale leaves an error of 1e-12.

    Returns
    -------
    dict of arrays
        Per unit of the parameter; what does not move is left out. ``spread`` cannot be seen so: its rate is known.
    """
    back2, back1, on1, on2 = (host_at(times * step).variables for times in (-2, -1, 1, 2))
    rates = {}
    for name in (field.name for field in fields(Variables)):
        near, far = (np.asarray(getattr(b, name)) - getattr(a, name) for a, b in ((back1, on1), (back2, on2)))
        rate = (8.0 * near - far) / (12.0 * step)
        if rate.any():
            rates[name] = rate
    return rates


@dataclass(frozen=True)
class Moving:
    """Numbers (pixels,) and how fast each moves along all directions (directions, pixels)."""

    value: Array
    rates: Array

    def __add__(self, other: Moving) -> Moving:
        return Moving(self.value + other.value, self.rates + other.rates)

    def __mul__(self, other: Moving) -> Moving:
        return Moving(self.value * other.value, self.rates * other.value + self.value * other.rates)


class Ways(NamedTuple):
    """Directions in which a host moves."""

    rates: Variables
    """Of all but ``table``, with all directions along a first axis."""
    tables: tuple[tuple[int, Array, float], ...]
    """The directions in which F move, by number: those of the table and that outside it."""


class MovingPoint(NamedTuple):
    """A sub-pixel and how it moves."""

    at: Point
    place: Array
    direction: Array
    """Rates of these (directions, 3, pixels)."""


def derivatives(host: Host, tangents: Sequence[Tangent]) -> Array:
    """How photons change along directions, by one way through all samples.

    Parameters
    ----------
    host : Host
        Real.
    tangents : sequence of mappings
        Each names variables and how fast they move: of one variable, or of many as a parameter of the user's moves
        them (:func:`tangent_of`).

    Returns
    -------
    float64 array (directions, slow, fast)
        Photons per unit of each; 0 where no pixel is rendered.
    """
    v, ways, cells = host.variables, _ways(host, tangents), orientations(host)
    nothing = Moving(np.zeros(1), np.zeros((len(tangents), 1)))
    first = _moving(host, ways, point_of(host, 0))
    solid, polar = _moving_solid(host, ways, first), _moving_polar(host, ways, 0, first)
    spots = captured = nothing
    for layer in range(host.layers):
        capture = _moving_capture(host, ways, _moving(host, ways, point_of(host, layer)))
        captured += capture
        layer_sum = nothing
        for at in points_of(host, layer):
            point = _moving(host, ways, at)
            for source in range(len(v.wavelength)):
                intensity = _moving_intensity(host, ways, cells, source, point)
                layer_sum += _moving_weight(host, ways, source, point) * intensity
        spots += layer_sum if host.oversample_thick else capture * layer_sum
    photons = Moving(v.photons_per_sample * np.ones(1), column(ways.rates.photons_per_sample)) * spots
    photons = photons if host.oversample_omega else photons * solid
    photons = photons if host.oversample_polar else photons * polar
    photons += _moving_amorphous(host, ways, first) * solid * polar * captured
    return host.spread_over(photons.rates + np.zeros(len(host.pixels[0])))


def _ways(host: Host, tangents: Sequence[Tangent]) -> Ways:
    names = {field.name for field in fields(Variables)}
    unknown = {name for tangent in tangents for name in tangent} - names
    if unknown:
        raise ValueError(f"no variables of a host: {', '.join(sorted(unknown))}")

    def along_all(name: str) -> Array:
        shape = np.shape(getattr(host.variables, name))
        return np.array([np.broadcast_to(tangent.get(name, 0.0), shape) for tangent in tangents])

    rates = {name: along_all(name) for name in names - {"table"}}
    table = np.zeros_like(host.variables.table)
    return Ways(
        Variables(table=table, **rates),
        tuple(
            (number, tangent.get("table", table), tangent.get("default", 0.0))
            for number, tangent in enumerate(tangents)
            if tangent.keys() & {"table", "default"}
        ),
    )


def _moving(host: Host, ways: Ways, at: Point) -> MovingPoint:
    """dx = do + F·df + S·ds + (F·f + S·s)·dln pixel + depth·dn + l·n·dstep, and of d = x/R what is across it."""
    v, rates = host.variables, ways.rates
    place = column(rates.origin) + column(rates.fast) * at.along_fast + column(rates.slow) * at.along_slow
    in_plane = column(v.fast) * at.along_fast + column(v.slow) * at.along_slow
    place = place + rates.pixel[:, np.newaxis, np.newaxis] / v.pixel * in_plane
    place = place + at.layer * column(rates.normal * v.layer_step + rates.layer_step[:, np.newaxis] * v.normal)
    along = dot(at.direction, place)[:, np.newaxis]
    return MovingPoint(at, place, (place - at.direction * along) / at.airpath)


def _moving_solid(host: Host, ways: Ways, point: MovingPoint) -> Moving:
    """dln Ω = 2 dln pixel + dln close − 3 x·dx/R²; of a point −2 x·dx/R²."""
    v, solid = host.variables, solid_angle(host, point.at)
    nearer = -dot(point.at.place, point.place) / point.at.airpath**2
    if host.point_pixel:
        return Moving(solid, solid * 2.0 * nearer)
    larger = 2.0 * ways.rates.pixel / v.pixel + ways.rates.close_distance / v.close_distance
    return Moving(solid, solid * (column(larger) + 3.0 * nearer))


def _moving_capture(host: Host, ways: Ways, point: MovingPoint) -> Moving:
    """dκ = (−l·exp(−l·p) + (l + 1)·exp(−(l + 1)·p))·dp with p = step·µ/(d·n)."""
    v, rates, layer = host.variables, ways.rates, point.at.layer
    capture = capture_fraction(host, point.at)
    if v.layer_step == 0.0:
        return Moving(capture, np.zeros((len(rates.layer_step), 1)))
    cosine = dot(point.at.direction, column(v.normal))
    path = v.layer_step * v.attenuation / cosine
    steeper = dot(point.direction, column(v.normal)) + dot(point.at.direction, column(rates.normal))
    longer = column(rates.layer_step / v.layer_step + rates.attenuation / v.attenuation) - steeper / cosine
    return Moving(capture, (-layer * np.exp(-layer * path) + (layer + 1) * np.exp(-(layer + 1) * path)) * path * longer)


def _moving_polar(host: Host, ways: Ways, source: int, point: MovingPoint) -> Moving:
    """dP = c·dc − K(e·de − m·dm) − ½(e² − m²)·dK."""
    v, rates = host.variables, ways.rates
    polar = polarization(host, source, point.at)
    if not host.polarization_correction:
        return Moving(polar, np.zeros((len(rates.kahn), 1)))
    s1, s0, turning = point.at.direction, v.incident[source], rates.incident[:, source]
    across = np.cross(v.polarization_axis, s0)
    magnetic = unit(across)
    magnetic_rates = unit_change(across, np.cross(rates.polarization_axis, s0) + np.cross(v.polarization_axis, turning))
    electric = unit(np.cross(s0, magnetic))
    electric_rates = unit_change(np.cross(s0, magnetic), np.cross(turning, magnetic) + np.cross(s0, magnetic_rates))

    def along(axis: Array, axis_rates: Array) -> tuple[Array, Array]:
        return axis @ s1, axis @ point.direction + axis_rates @ s1

    (c, dc), (e, de), (m, dm) = along(s0, turning), along(electric, electric_rates), along(magnetic, magnetic_rates)
    return Moving(polar, c * dc - v.kahn * (e * de - m * dm) - 0.5 * column(rates.kahn) * (e * e - m * m))


def _moving_weight(host: Host, ways: Ways, source: int, point: MovingPoint) -> Moving:
    weight = Moving(host.variables.weight[source] * np.ones(1), column(ways.rates.weight[:, source]))
    weight = weight * _moving_solid(host, ways, point) if host.oversample_omega else weight
    weight = weight * _moving_polar(host, ways, source, point) if host.oversample_polar else weight
    return weight * _moving_capture(host, ways, point) if host.oversample_thick else weight


def _moving_q(host: Host, ways: Ways, source: int, point: MovingPoint) -> tuple[Array, Array]:
    """q and dq = (dd − ds0)/λ − q·dln λ."""
    wavelength, q = host.variables.wavelength[source], scattering_vector(host, source, point.at)
    turning, longer = ways.rates.incident[:, source], ways.rates.wavelength[:, source] / wavelength
    return q, (point.direction - column(turning)) / wavelength - q * longer[:, np.newaxis, np.newaxis]


def _moving_amorphous(host: Host, ways: Ways, first: MovingPoint) -> Moving:
    """d(scale·F²) = F²·dscale + scale·dF²/ds·ds with ds = q·dq/(2|q|)."""
    q, q_rates = _moving_q(host, ways, 0, first)
    scale = Moving(host.variables.background_scale * np.ones(1), column(ways.rates.background_scale))
    row, u = background_row(host, q)
    if row is None:
        return scale * Moving(amorphous_square(host, q), np.zeros((len(q_rates), 1)))
    stol, factor, excess = host.background_table
    rise = factor[row + 1] - factor[row]
    slope = 2.0 * (factor[row] + u * rise) * rise + excess[row] * (1.0 - 2.0 * u)
    slope = np.where((u > 0.0) & (u < 1.0), slope / (stol[row + 1] - stol[row]), 0.0)
    size = length(q)
    stol_rates = dot(q, q_rates) / (2.0 * np.where(size > 0.0, size, 1.0))
    return scale * Moving(amorphous_square(host, q), slope * stol_rates)


def _moving_intensity(host: Host, ways: Ways, cells: Array, source: int, point: MovingPoint) -> Moving:
    """Σ G over φ and domains, G = F²·F_latt², and its change Σ g·dh + ∂G/∂N·dN + ∂G/∂fudge·dfudge + ∂G/∂F·dF.

    g = ∂G/∂h. By h = C0·Rᵀ·q the cell, orientations and q enter by sums over the orientations R: Σ g hᵀ, for each φ,
    Σ g·[h of a domain that turns] and Σ gᵀ·C0·Rᵀ. The metric of a Gaussian spot moves with C0 too, which makes its part
    Σ g h0ᵀ, h0 whole.
    """
    v, rates, spot = host.variables, ways.rates, spot_of(host)
    q, q_rates = _moving_q(host, ways, source, point)
    h = cells @ q
    whole, factors = nearest(h), factors_of(host, source)
    factor, latt_sqr = structure_factor(factors, h), lattice_square(spot, h - whole)
    slopes, f_sqr = lattice_slopes(spot, h - whole, host.by_edges), (factor * factor)[..., np.newaxis, :]
    g_spot = f_sqr * slopes.by_index
    g_factor = (2.0 * factor * latt_sqr)[..., np.newaxis, :] * structure_factor_slopes(factors, h)
    g = g_spot + g_factor

    by_q = np.einsum("tdip,tdij->jp", g, cells)
    by_cell = np.einsum("tdip,tdjp->tijp", g_spot, whole if _moves_metric(host) else h)
    by_cell += np.einsum("tdip,tdjp->tijp", g_factor, h)
    spindle = _strain(v.cell @ cross_matrix(host.spindle).T, v.cell)
    turning = cells @ cross_matrix(host.turns).swapaxes(-1, -2) @ q
    moving = dot(by_q, q_rates)
    moving += np.einsum("nij,tijp->np", _strain(rates.cell, v.cell), by_cell)
    moving += np.einsum("nt,ij,tijp->np", rates.phi, spindle, by_cell)
    moving += column(rates.spread) * np.einsum("tdip,tdip->p", g, turning)
    moving += rates.cells @ (f_sqr * slopes.by_cells).sum(axis=(0, 1))
    moving += column(rates.fudge) * (factor * factor * slopes.by_fudge).sum(axis=(0, 1))
    for number, table, default in ways.tables:
        change = structure_factor(factors._replace(table=table[host.channel[source]], default=default), h)
        moving[number] += (2.0 * factor * change * latt_sqr).sum(axis=(0, 1))
    return Moving((factor * factor * latt_sqr).sum(axis=(0, 1)), moving)


def _moves_metric(host: Host) -> bool:
    """Whether the width of a spot goes by the cell."""
    return host.shape == GAUSS and not host.by_edges


def _strain(changes: Array, cell: Array) -> Array:
    """dC0·C0⁻¹: how h moves with a cell, in units of h."""
    return changes @ np.linalg.inv(cell)
