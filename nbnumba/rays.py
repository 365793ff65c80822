"""Where rays from the sample meet a panel, and the turns that bring vectors there."""

import numpy as np
from numpy.typing import NDArray

from .kernels.choices import FLAT
from .kernels.equations.maps import mean_depths, rotate_rows
from .kernels.equations.vectors import Vector
from .kernels.plan import DetectorPlan

Array = NDArray[np.float64]


def pixels_of_rays(detector: DetectorPlan, direction: Array) -> Array:
    """Fast, slow (n, 2) in pixels from the outer corner of the first; NaN where a ray does not meet the surface."""
    offsets = _flat_offsets if detector.surface == FLAT else _spherical_offsets
    pixels: Array = offsets(detector, direction) / detector.pixel
    return pixels


def _flat_offsets(detector: DetectorPlan, direction: Array) -> Array:
    """In m, at the depth of the sensor where the photons are stopped on the average."""
    fast, slow, normal = (np.array(v) for v in (detector.fast, detector.slow, detector.normal))
    depth = np.zeros(len(direction))
    if detector.layer_step > 0.0:
        mean_depths(detector, np.ascontiguousarray(direction), depth)
    plane = np.outer(depth, normal) + detector.origin
    across = np.cross(fast, slow)
    with np.errstate(divide="ignore", invalid="ignore"):
        ray = (plane @ across) / (direction @ across)
        ray[~(ray > 0.0)] = np.nan
        return (ray[:, np.newaxis] * direction - plane) @ np.linalg.pinv(np.array([fast, slow]))


def _spherical_offsets(detector: DetectorPlan, direction: Array) -> Array:
    """Arcs in m: the two turns of ``spherical_position`` undone, the last one first."""
    with np.errstate(invalid="ignore"):
        turns = turns_onto(direction, detector.fast, np.array(detector.slow), np.dot(detector.slow, detector.beam))
    turns = (turns + np.pi) % (2.0 * np.pi) - np.pi
    slow_turn: Array = np.where(np.abs(turns[0]) < np.abs(turns[1]), turns[0], turns[1])
    on_row = rotated(direction, detector.fast, slow_turn)
    fast_turn = np.arctan2(
        np.cross(detector.beam, on_row) @ detector.slow,
        on_row @ detector.beam - np.dot(detector.slow, detector.beam) * (on_row @ detector.slow),
    )
    radius = detector.distance * detector.handedness
    return np.stack([detector.fbeam + radius * fast_turn, detector.sbeam + radius * slow_turn], axis=1)


def turns_onto(v: Array, axis: Vector, w: Array, value: Array | float) -> Array:
    """Angles about an axis by which v (n, 3) comes to have ``value`` as its product with w: (2, n), NaN where none."""
    constant = (v @ axis) * np.dot(w, axis)
    cosine, sine = v @ w - constant, v @ np.cross(w, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.arccos((value - constant) / np.hypot(cosine, sine))
    middle = np.arctan2(sine, cosine)
    return np.stack([middle - half, middle + half])


def rotated(vectors: Array, axis: Vector, angles: Array) -> Array:
    """Each of the vectors (n, 3) about an axis by an angle of its own."""
    turned = np.empty((len(vectors), 3))
    rotate_rows(np.ascontiguousarray(vectors), axis, angles, turned)
    return turned
