"""The equations of an image over arrays of NumPy, each beside its derivative: float64, written to be read.

Vectors have their components next to last and pixels last, (..., 3, pixels). What gives a value takes complex numbers
too, so that its derivative also follows from a step of imaginary size; derivatives take real ones.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import polynomial

from ..kernels.choices import GAUSS, ROUND, SQUARE, TOPHAT
from ..kernels.equations.lattice_factor import GAUSS_WIDTH, SPHERE_VOLUME, TOPHAT_RADIUS_SQR

Array = npt.NDArray[Any]

ABOUT_AXES = np.array([[[0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
                       [[0, -1, 0], [1, 0, 0], [0, 0, 0]]])  # fmt: skip
"""[e]× of the three axes."""
COTANGENTS_BELOW = 0.1
"""πN|δ| below which N cot πNδ − cot πδ is summed as a series: there both are large and nearly alike."""
SPHERE_BELOW = 1.0
"""x² below which the transform of a sphere is."""
SPHERE_SERIES = np.array([3.0 * (-1.0) ** k * (2 * k + 2) / math.factorial(2 * k + 3) for k in range(10)])
"""3(sin x/x − cos x)/x² as a polynomial in x²: what both series of sines and cosines leave."""


# Vectors -----------------------------------------------------------------------------------------------------------


def dot(u: Array, v: Array) -> Array:
    """u·v (..., pixels)."""
    return (u * v).sum(axis=-2)


def length(v: Array) -> Array:
    """|v|, of complex numbers its continuation."""
    return np.sqrt(dot(v, v))


def column(v: Array) -> Array:
    """A vector, or several of them, as that of all pixels."""
    return np.asarray(v)[..., np.newaxis]


def unit(v: Array) -> Array:
    """Of vectors whose components are last; 0 stays 0."""
    return v / _size_or_one(v)


def unit_change(v: Array, change: Array) -> Array:
    """Of the same: what is across the direction."""
    direction = unit(v)
    across = change - direction * (direction * change).sum(axis=-1, keepdims=True)
    return across / _size_or_one(v)


def _size_or_one(v: Array) -> Array:
    size = np.sqrt((v * v).sum(axis=-1, keepdims=True))
    return np.where(size == 0.0, 1.0, size)


def cross_matrix(v: Array) -> Array:
    """[v]×, so that [v]× w = v × w; of each vector of (..., 3)."""
    return np.tensordot(v, ABOUT_AXES, axes=1)


def rotation(turn: Array, amount: Any = 1.0) -> Array:
    """Rodrigues' formula: by ``amount`` times the length of a real vector, about it."""
    angle = np.sqrt((turn * turn).sum())
    if angle == 0.0:
        return np.identity(3)
    across = cross_matrix(turn / angle)
    return np.identity(3) + np.sin(angle * amount) * across + (1.0 - np.cos(angle * amount)) * across @ across


# Lattice factors ---------------------------------------------------------------------------------------------------


class Spot(NamedTuple):
    """What decides on a lattice factor beside the distance δ from the reflection."""

    shape: int
    """Code of a ``Shape``."""
    cells: Array
    """Na, Nb, Nc: real numbers (3,)."""
    fudge: Any
    metric: Array
    """Q (3, 3) of Gaussian and top-hat spots, whose distance² from the reflection is δᵀQδ."""


class SpotSlopes(NamedTuple):
    """How F_latt² changes."""

    by_index: Array
    """(..., 3, pixels)."""
    by_cells: Array
    """(..., 3, pixels)."""
    by_fudge: Array
    """(..., pixels)."""


def spot_metric(cell: Array, cells: Array, by_edges: bool) -> Array:
    """Q of :class:`Spot`: (NaNbNc)² times the reciprocal metric in Å⁻², or of each edge its own N².

    ``cell`` has the rows a, b, c in m.
    """
    if by_edges:
        return np.diag(cells * cells)
    star = np.linalg.inv(cell * 1e10).T
    return np.prod(cells) ** 2 * star @ star.T


def lattice_square(spot: Spot, delta: Array) -> Array:
    """F_latt² at δ (..., 3, pixels)."""
    peak = np.prod(spot.cells)
    if spot.shape == SQUARE:
        return np.prod(interference(column(spot.cells), delta), axis=-2) ** 2
    if spot.shape == ROUND:
        return (peak * SPHERE_VOLUME * sphere(_round_square(spot, delta))) ** 2
    distance_sqr = dot(delta, spot.metric @ delta) * spot.fudge
    if spot.shape == GAUSS:
        return peak**2 * np.exp(-2.0 / GAUSS_WIDTH * distance_sqr)
    assert spot.shape == TOPHAT
    return peak**2 * (distance_sqr.real < TOPHAT_RADIUS_SQR)


def lattice_slopes(spot: Spot, delta: Array, by_edges: bool) -> SpotSlopes:
    """How it changes; jumps, at the edge of a top-hat spot and half-way between reflections, are not seen."""
    if spot.shape == SQUARE:
        return _square_slopes(spot, delta)
    square = lattice_square(spot, delta)
    twice = 2.0 * square[..., np.newaxis, :]
    if spot.shape == ROUND:
        x_sqr = _round_square(spot, delta)
        by_x_sqr = 2.0 * (np.prod(spot.cells) * SPHERE_VOLUME) ** 2 * sphere(x_sqr) * sphere_slope(x_sqr)
        by_index = by_x_sqr[..., np.newaxis, :] * (2.0 * np.pi**2 * spot.fudge) * column(spot.cells**2) * delta
    elif spot.shape == GAUSS:
        by_index = twice * (-2.0 / GAUSS_WIDTH * spot.fudge) * (spot.metric @ delta)
    else:
        return SpotSlopes(np.zeros_like(delta), twice / column(spot.cells), np.zeros_like(square))
    stretched = by_index * delta
    if spot.shape == GAUSS and not by_edges:
        # Only the product of all three enters.
        along = twice + stretched.sum(axis=-2, keepdims=True)
    else:
        along = twice + stretched
    return SpotSlopes(by_index, along / column(spot.cells), stretched.sum(axis=-2) / (2.0 * spot.fudge))


def _square_slopes(spot: Spot, delta: Array) -> SpotSlopes:
    cells = column(spot.cells)
    amplitude = interference(cells, delta)
    others = amplitude[..., [1, 2, 0], :] * amplitude[..., [2, 0, 1], :]
    twice = 2.0 * amplitude * others**2
    by_index, by_cells = interference_slope(cells, delta), interference_by_cells(cells, delta)
    return SpotSlopes(twice * by_index, twice * by_cells, np.zeros_like(delta[..., 0, :]))


def interference(cells: Array, delta: Array) -> Array:
    """L = sin πNδ/sin πδ, N where δ is 0."""
    x = np.pi * np.where(delta == 0.0, 1e-60, delta)
    return np.sin(cells * x) / np.sin(x)


def interference_slope(cells: Array, delta: Array) -> Array:
    """dL/dδ = π(N cos πNδ − L cos πδ)/sin πδ, near 0 as πL(N cot πNδ − cot πδ)."""
    amplitude, near = interference(cells, delta), np.abs(np.pi * cells * delta) < COTANGENTS_BELOW
    x = np.pi * np.where(near, 0.25, delta)
    closed = np.pi * (cells * np.cos(cells * x) - amplitude * np.cos(x)) / np.sin(x)
    return np.where(near, np.pi * amplitude * _cotangents(cells, np.where(near, delta, 0.0)), closed)


def _cotangents(cells: Array, delta: Array) -> Array:
    """N cot Nx − cot x of a small x = πδ, by the series of the cotangent, whose first terms 1/x cancel."""
    x = np.pi * delta
    terms = ((1, 1 / 3), (3, 1 / 45), (5, 2 / 945), (7, 1 / 4725), (9, 2 / 93555), (11, 1382 / 638512875))
    return -np.sum([coefficient * (cells ** (power + 1) - 1.0) * x**power for power, coefficient in terms], axis=0)


def interference_by_cells(cells: Array, delta: Array) -> Array:
    """dL/dN = πδ cos πNδ/sin πδ."""
    x = np.pi * np.where(delta == 0.0, 1e-60, delta)
    return x * np.cos(cells * x) / np.sin(x)


def _round_square(spot: Spot, delta: Array) -> Array:
    """x² = π²·fudge·Σ(N·δ)² of a sphere's transform."""
    return np.pi**2 * spot.fudge * dot(delta, column(spot.cells**2) * delta)


def sphere(x_sqr: Array) -> Array:
    """j = 3(sin x/x − cos x)/x² of x²."""
    near = x_sqr.real < SPHERE_BELOW
    x = np.sqrt(np.where(near, SPHERE_BELOW, x_sqr))
    closed = 3.0 * (np.sin(x) / x - np.cos(x)) / (x * x)
    return np.where(near, polynomial.polyval(np.where(near, x_sqr, 0.0), SPHERE_SERIES), closed)


def sphere_slope(x_sqr: Array) -> Array:
    """dj/d(x²) = (3 sin x/x² − 3j/x)/(2x)."""
    near = x_sqr < SPHERE_BELOW
    x = np.sqrt(np.where(near, SPHERE_BELOW, x_sqr))
    closed = 3.0 * (np.sin(x) / (x * x) - sphere(x * x) / x) / (2.0 * x)
    return np.where(near, polynomial.polyval(np.where(near, x_sqr, 0.0), polynomial.polyder(SPHERE_SERIES)), closed)


# Structure factors -------------------------------------------------------------------------------------------------


class Factors(NamedTuple):
    """F of one channel: ``table[h - first[0], k - first[1], l - first[2]]``, ``default`` outside."""

    table: Array
    first: tuple[int, int, int]
    default: Any
    interpolate: bool


def structure_factor(factors: Factors, h: Array) -> Array:
    """F at h (..., 3, pixels): of the nearest reflection, or between 4³ of them by Lagrange's cubics."""
    if not factors.table.size:
        return np.full(h[..., 0, :].shape, factors.default)
    if factors.interpolate:
        inside, neighbours, t = _neighbours(factors, h)
        weights = [cubic_weights(t[..., axis, :]) for axis in range(3)]
        return np.where(inside, np.einsum("...ijk,i...,j...,k...->...", neighbours, *weights), factors.default)
    places = _places(factors, nearest(h))
    inside = np.logical_and.reduce((places >= 0) & (places < _size(factors)), axis=-2)
    i, j, k = (np.where(inside, places[..., axis, :], 0) for axis in range(3))
    return np.where(inside, factors.table[i, j, k], factors.default)


def structure_factor_slopes(factors: Factors, h: Array) -> Array:
    """How F changes with h (..., 3, pixels): not at all where it is the nearest reflection's."""
    if not (factors.interpolate and factors.table.size):
        return np.zeros_like(h)
    inside, neighbours, t = _neighbours(factors, h)
    slopes = []
    for along in range(3):
        weights = [(cubic_slopes if axis == along else cubic_weights)(t[..., axis, :]) for axis in range(3)]
        slopes.append(np.where(inside, np.einsum("...ijk,i...,j...,k...->...", neighbours, *weights), 0.0))
    return np.stack(slopes, axis=-2)


def nearest(h: Array) -> Array:
    """Whole numbers nearest to indices."""
    return np.ceil(h.real - 0.5)


def cubic_weights(t: Array) -> Array:
    """Lagrange's weights of the points −1, 0, 1, 2 at t."""
    a, b, c, d = t + 1.0, t, t - 1.0, t - 2.0
    return np.stack([-b * c * d / 6.0, a * c * d / 2.0, -a * b * d / 2.0, a * b * c / 6.0])


def cubic_slopes(t: Array) -> Array:
    """How these change with t."""
    return np.stack([
        (-3.0 * t * t + 6.0 * t - 2.0) / 6.0,
        (3.0 * t * t - 4.0 * t - 1.0) / 2.0,
        (-3.0 * t * t + 2.0 * t + 2.0) / 2.0,
        (3.0 * t * t - 1.0) / 6.0,
    ])  # fmt: skip


def _places(factors: Factors, whole: Array) -> Array:
    """Where reflections are in the table, or would be (..., 3, pixels)."""
    return whole.astype(int) - column(np.array(factors.first))


def _size(factors: Factors) -> Array:
    return column(np.array(factors.table.shape))


def _neighbours(factors: Factors, h: Array) -> tuple[Array, Array, Array]:
    """Whether F can be interpolated at h; F of the 4³ reflections about it (..., pixels, 4, 4, 4); how far beyond."""
    whole, from_first = np.floor(h.real), h.real - column(np.array(factors.first))
    # A cubic needs one reflection below and two above, and one is to spare.
    inside = np.logical_and.reduce((from_first >= 2) & (from_first <= _size(factors) - 3), axis=-2)
    places = np.where(inside[..., np.newaxis, :], _places(factors, whole) - 1, 0)
    i, j, k = (places[..., axis, :, np.newaxis] + np.arange(4) for axis in range(3))
    one = np.newaxis
    return inside, factors.table[i[..., :, one, one], j[..., one, :, one], k[..., one, one, :]], h - whole
