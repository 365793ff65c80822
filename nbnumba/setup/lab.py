"""The laboratory's axes: what each convention calls fast, slow and beam, and what is given in their place."""

import math
import warnings
from dataclasses import dataclass, replace

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, Detector, Goniometer
from ..kernels.equations.vectors import Vector, cross, length, unit

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
MINUS_X, MINUS_Y, MINUS_Z = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Axes:
    """The unit vectors of one program's laboratory frame and what its detector turns about."""

    beam: Vector
    fast: Vector
    slow: Vector
    normal: Vector
    twotheta: Vector
    polarization: Vector
    spindle: Vector


CONVENTIONS = {
    "mosflm": Axes(X, Z, MINUS_Y, X, MINUS_Z, Z, Z),
    "denzo": Axes(X, Z, MINUS_Y, X, MINUS_Z, Z, Z),
    "adxv": Axes(Z, X, MINUS_Y, Z, MINUS_X, X, X),
    "xds": Axes(Z, X, Y, Z, X, X, X),
    "dials": Axes(Z, X, Y, Z, Y, Y, Y),
    "custom": Axes(X, Z, MINUS_Y, X, Y, Z, Z),
}


def lab_axes(beam: Beam, detector: Detector, goniometer: Goniometer) -> tuple[Axes, Vector]:
    """The convention's vectors as unit vectors, those given in their place, and the normal as it was given."""
    axes = CONVENTIONS[detector.convention]
    given = {
        "beam": ("-beam_vector", beam.direction),
        "fast": ("-fdet_vector", detector.fast_axis),
        "slow": ("-sdet_vector", detector.slow_axis),
        "twotheta": ("-twotheta_axis", detector.twotheta_axis),
        "polarization": ("-polar_vector", beam.polarization_axis),
        "spindle": ("-spindle_axis", goniometer.spindle_axis),
    }
    if detector.convention != "custom":
        _warn_of_ignored(detector, [*given.values(), ("-odet_vector", detector.normal_axis)])
        return axes, axes.normal
    for name, (option, vector) in given.items():
        if vector is None:
            continue
        if not 0.0 < length(vector) < math.inf:
            raise UsageError(f"{option} {' '.join(map(repr, vector))} has no direction: give a vector that is not zero")
        axes = replace(axes, **{name: unit(vector)})
    if length(cross(axes.fast, axes.slow)) < 1e-9:
        raise UsageError("-fdet_vector and -sdet_vector are parallel: give two directions that span the detector")
    return axes, axes.normal if detector.normal_axis is None else detector.normal_axis


def _warn_of_ignored(detector: Detector, vectors: list[tuple[str, Vector | None]]) -> None:
    """Say that vectors were given to no effect: a named convention has its own."""
    ignored = [option for option, vector in [*vectors, ("-pix0_vector", detector.origin_mm)] if vector is not None]
    if ignored:
        warnings.warn(
            f"{', '.join(ignored)}: ignored, since the convention is {detector.convention}, which has vectors of its "
            f"own; of them and -{detector.convention}, the last on the line wins",
            NbnumbaWarning,
            stacklevel=4,
        )
