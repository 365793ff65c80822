"""Variants of an experiment that show the same image, or one without what a property does not hold of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..experiment import Background, Detector, Experiment, Vector, changed
from ..experiment.quirks import quirks_of
from ..kernels.equations.vectors import rotated_xyz
from ..setup.inputs import read_inputs
from ..setup.resolve import Resolved, resolve

Array = npt.NDArray[Any]


def in_custom_axes(experiment: Experiment, turn: Array | None = None) -> Experiment:
    """The same experiment in mode ``spec``, its detector described by final vectors, beam centre and distance.

    Parameters
    ----------
    experiment : Experiment
        With orthonormal detector axes.
    turn : float64 array (3, 3), optional
        Rotation of the whole laboratory, crystal included.

    Returns
    -------
    Experiment
        In convention "custom"; renders the same image where ``turn`` is not given.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment or its files.
    """
    experiment = replace(experiment, mode="spec")
    resolved = resolved_of(experiment)
    geometry = resolved.geometry
    rotation = np.identity(3) if turn is None else turn

    def turned(vector: Vector) -> Vector:
        x, y, z = (rotation @ np.array(vector)).tolist()
        return (x, y, z)

    detector = Detector(
        convention="custom",
        pivot="beam",
        fast_pixels=geometry.fast_pixels,
        slow_pixels=geometry.slow_pixels,
        pixel_mm=1000.0 * geometry.pixel_m,
        distance_mm=1000.0 * geometry.distance_m,
        beam_x_mm=1000.0 * geometry.fbeam_m,
        beam_y_mm=1000.0 * geometry.sbeam_m,
        fast_axis=turned(geometry.fast),
        slow_axis=turned(geometry.slow),
        normal_axis=turned(geometry.normal),
        **{
            name: getattr(experiment.detector, name)
            for name in ("curved", "point_pixel", "attenuation_depth_um", "thickness_um", "layers", "roi")
        },
    )
    return changed(
        replace(experiment, detector=detector),
        beam={"direction": turned(geometry.beam), "polarization_axis": turned(geometry.polarization)},
        goniometer={"spindle_axis": turned(geometry.spindle)},
        crystal={"misset_deg": xyz_angles_deg(rotation @ matrix(resolved.lattice.misset_rad))},
    )


def xyz_angles_deg(rotation: Array) -> Vector:
    """Angles of the rotations about x, then y, then z that make up a rotation matrix.

    Parameters
    ----------
    rotation : float64 array, shape (3, 3)
        Turns columns of x, y, z.

    Returns
    -------
    tuple of 3 floats
        Degrees.
    """
    roty = math.atan2(-rotation[2, 0], math.hypot(rotation[0, 0], rotation[1, 0]))
    rotz = math.atan2(rotation[1, 0], rotation[0, 0])
    # What is left is about x; taken so, it makes up for whatever rotz is where x points along z.
    left = matrix((0.0, roty, rotz)).T @ rotation
    return (math.degrees(math.atan2(left[2, 1], left[1, 1])), math.degrees(roty), math.degrees(rotz))


def matrix(xyz_rad: Vector) -> Array:
    """Rotates about x, then y, then z; of column vectors."""
    return np.column_stack([rotated_xyz(axis, *xyz_rad) for axis in np.identity(3).tolist()])


def linear(experiment: Experiment) -> Experiment:
    """Without what makes an image of mode ``c`` other than the sum of its samples: C-9, C-11 and C-12."""
    if quirks_of(experiment).factors_multiply_sum:
        separate = {"oversample_thick": False, "oversample_polar": False, "oversample_omega": False}
        experiment = without_water(changed(experiment, sampling=separate))
    return replace(experiment, phi_carryover="spec")


def seen_from_the_front(experiment: Experiment) -> Experiment:
    """Without a sensor that rays may enter from behind, of which it absorbs a negative fraction without bounds.

    Mode ``spec`` refuses one. The mixed-up axes of mode ``c`` (C-6) send rays there that a sphere would not.
    """
    behind = quirks_of(experiment).curved_by_mixed_axes and experiment.detector.curved
    return changed(experiment, detector={"thickness_um": 0.0}) if behind else experiment


def without_water(experiment: Experiment) -> Experiment:
    """Without background."""
    return replace(experiment, background=Background())


def counted(experiment: Experiment) -> dict[str, Any]:
    """The crystal's size in unit cells, and in blocks of them."""
    resolved = resolved_of(experiment)
    blocks = {"spot_scale": resolved.spot_scale, "whole_size_mm": None}
    return {"cells": resolved.lattice.cells, "size_mm": (None, None, None), **blocks}


def resolved_of(experiment: Experiment) -> Resolved:
    """The set-up, with the files that are read for it."""
    return resolve(experiment, read_inputs(experiment))


def times(value: Any, factor: float) -> Any:
    """A length, several or none, so many times longer."""
    if isinstance(value, tuple):
        return tuple(x * factor for x in value)
    return None if value is None else value * factor
