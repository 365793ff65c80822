"""Along which directions the plan's variables move: what a derivative needs beside the plan.

What decides on photons is the plan; to each of its continuous variables, or to the combination of them that photons
depend on, belongs one column. A parameter of the user's moves them all at once, by its row of ``columns``.
"""

from typing import NamedTuple

import numpy as np

CELL = 0
"""Nine: dC0·C0⁻¹, row by row, where the rows of C0 are a, b and c at φ = 0."""
PLACE = 9
"""Twelve: of a point's place in m, what does not depend on its pixel; what is multiplied with the offset along fast;
along slow; with the depth in the sensor."""
NORMAL = 21
"""Three: of the unit vector across the sensor."""
PATH = 24
"""Logarithm of a layer's thickness times the attenuation coefficient."""
AREA = 25
"""Logarithm of the solid angle, but for what ``PLACE`` does to it: of pixel² · close distance; 0 of a point pixel."""
SPOTS = 26
"""Logarithm of photons per sample."""
AMORPHOUS = 27
"""Logarithm of the background's scale."""
CELLS = 28
"""Three: Na, Nb, Nc."""
FUDGE = 31
"""Of the shape."""
SPREAD = 32
"""Of the mosaic domains, in rad."""
SWEEP = 33
"""Of every φ by its ``Change.sweep``, in rad."""
KAHN = 34
"""Degree of polarization."""
TABLES = 35
"""One for each of ``Change.tables``, after which comes one for each of ``Change.incident``."""


class Change(NamedTuple):
    """Directions in which a plan is moved; what nobody moves is empty."""

    follows: float
    """1: Gaussian spots whose metric is that of the cell and changes with it; 0: other shapes, or a metric of edges."""
    columns: np.ndarray
    """(parameters, variables): how fast each variable moves with each parameter, in the order of the numbers above."""
    spread: np.ndarray
    """d(a, b, c)/d(spread) of every orientation in m (n, 9), as ``Tables.cells`` has them; else (0, 9)."""
    sweep: np.ndarray
    """Of every φ (n,): by how much it moves; else (0,)."""
    tables: np.ndarray
    """(k, numbers): how F² of ``Tables.factors`` changes, or F where that is interpolated; else (0, 0)."""
    defaults: np.ndarray
    """(k,): the same of the default F, which interpolation has outside the table."""
    incident: np.ndarray
    """(r, sources, 3): along which directions of travel move, by a beam's parameters; r is 0 where none is one."""
    wavelength: np.ndarray
    """(r, sources): the same of the wavelengths' logarithms."""
    weight: np.ndarray
    """(r, sources): of the weights' logarithms."""
    electric: np.ndarray
    """(r, sources, 3): of the directions of the electric field, across the beam."""
    magnetic: np.ndarray
    """(r, sources, 3): of the magnetic."""


CRYSTAL, GEOMETRY, MORE = range(3)
"""Which sums are made: by the cell alone; also by what moves places, directions and wavelengths; also by the numbers of
cells, the shape's scale, mosaic spread, φ steps that move apart, structure factors."""


def wanted_of(change):
    """What the parameters of a change need."""
    moves = (change.columns != 0.0).any(axis=0)
    if moves[[*range(CELLS, FUDGE + 1), SPREAD, SWEEP]].any() or len(change.tables) > 0:
        return MORE
    if moves[PLACE:SPOTS].any() or moves[KAHN] or len(change.incident) > 0:
        return GEOMETRY
    return CRYSTAL
