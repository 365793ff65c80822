"""Hypothesis strategies: contents of input files, of numbers that lie on a grid of round values."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ..experiment import Vector

Reflections = list[tuple[int, int, int, float]]


def grid(low: float, high: float, per_unit: int = 100) -> st.SearchStrategy[float]:
    """Multiples of 1/``per_unit`` from ``low`` to ``high``.

    Parameters
    ----------
    low : float
        The least.
    high : float
        The greatest.
    per_unit : int
        Values from one whole number to the next.

    Returns
    -------
    SearchStrategy
        Of float.
    """
    return st.integers(round(low * per_unit), round(high * per_unit)).map(lambda n: n / per_unit)


def vectors_near(axis: Vector, by: float = 0.05) -> st.SearchStrategy[Vector]:
    """Vectors, not of unit length, that lean away from ``axis`` by a little or not at all.

    Parameters
    ----------
    axis : tuple of 3 floats
        Near which they lie.
    by : float
        Most that a component is off.

    Returns
    -------
    SearchStrategy
        Of tuple of 3 floats.
    """
    offsets = st.just((0.0, 0.0, 0.0)) | st.tuples(*[grid(-by, by)] * 3)
    return offsets.map(lambda offset: (axis[0] + offset[0], axis[1] + offset[1], axis[2] + offset[2]))


@st.composite
def reflections(draw: st.DrawFn) -> Reflections:
    """A list of h, k, l, F over a box around the origin, with gaps in it.

    Returns
    -------
    SearchStrategy
        Of list of tuples (h, k, l, F).
    """
    low = draw(st.tuples(*[st.integers(-12, 0)] * 3))
    high = draw(st.tuples(*[st.integers(0, 12)] * 3))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    box = np.stack(np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]), axis=-1).reshape(-1, 3)
    kept = box[random.random(len(box)) < 0.9] if len(box) > 10 else box
    amplitudes = np.round(random.gamma(2.0, 50.0, len(kept)), 2)
    return [(int(h), int(k), int(l), float(f)) for (h, k, l), f in zip(kept, amplitudes, strict=True)]


def source_rows(upstream: Vector = (-1.0, 0.0, 0.0)) -> st.SearchStrategy[list[list[float]]]:
    """Rows of x, y, z in m, weight and wavelength in m, the last ones left out now and then.

    Parameters
    ----------
    upstream : tuple of 3 floats
        Where sources are, seen from the sample.

    Returns
    -------
    SearchStrategy
        Of list of lists of floats.
    """
    position = vectors_near(upstream, 0.1).map(lambda v: [10 * x for x in v])
    rest = st.tuples(grid(0.1, 5), grid(0.5, 2).map(lambda angstrom: angstrom * 1e-10)).map(list)
    row = st.tuples(position, rest, st.sampled_from([3, 4, 5])).map(lambda x: (x[0] + x[1])[: x[2]])
    return st.lists(row, min_size=1, max_size=4)


@st.composite
def spectrum_rows(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Two columns of a spectrum, energies in eV or wavelengths in Å up or down, and photons, of some none.

    Returns
    -------
    SearchStrategy
        Of list of tuples of 2 floats.
    """
    in_angstrom = draw(st.booleans())
    axis = grid(0.5, 3) if in_angstrom else grid(4000, 20000, 1)
    first = sorted(draw(st.lists(axis, min_size=1, max_size=4, unique=True)), reverse=draw(st.booleans()))
    photons = draw(st.lists(grid(0, 5), min_size=len(first), max_size=len(first)).filter(any))
    return list(zip(first, photons, strict=True))


def amorphous_rows() -> st.SearchStrategy[list[tuple[float, float]]]:
    """Rows of an abscissa in Å⁻¹ and F in electrons.

    Returns
    -------
    SearchStrategy
        Of list of tuples of 2 floats.
    """
    row = st.tuples(grid(0, 2), grid(0, 10))
    return st.lists(row, min_size=1, max_size=6, unique_by=lambda point: point[0])
