"""Which pixels the beamstop hides: those behind its disc about the beam spot, and behind the arm that holds it."""

from __future__ import annotations

import math

import numpy as np

from ..experiment import Detector
from ..kernels.equations.vectors import Vector, cross, dot, length, unit
from ..units import metres_from_mm, radians_from_degrees
from .panels import PlacedPanel, pixels_within


def hidden_pixels(detector: Detector, panel: PlacedPanel, first: PlacedPanel) -> np.ndarray | None:
    """Pixels (slow, fast) of a panel whose centre lies behind disc or arm; None without a beamstop.

    Parameters
    ----------
    first : PlacedPanel
        By whose axes the direction of the arm is said: of several panels it has one all the same.
    """
    if detector.beamstop_mm <= 0.0:
        return None
    hidden = pixels_within(panel, metres_from_mm(detector.beamstop_mm))
    if detector.beamstop_arm is not None:
        width_mm, angle_deg = detector.beamstop_arm
        hidden |= _behind_arm(panel, metres_from_mm(width_mm), _direction(first, radians_from_degrees(angle_deg)))
    return hidden


def _direction(panel: PlacedPanel, angle: float) -> Vector:
    """Unit vector in a panel's plane, at an angle from its fast axis towards its slow one."""
    fast, slow = unit(panel.fast), unit(panel.slow)
    x, y, z = (math.cos(angle) * f + math.sin(angle) * s for f, s in zip(fast, slow, strict=True))
    return (x, y, z)


def _behind_arm(panel: PlacedPanel, width_m: float, direction: Vector) -> np.ndarray:
    """Pixels of the strip that goes from the beam spot along a direction, or what is seen of that on a tilted plane."""
    out_of_plane = dot(direction, panel.normal)
    x, y, z = (d - out_of_plane * n for d, n in zip(direction, panel.normal, strict=True))
    if math.isinf(panel.distance_m) or length((x, y, z)) == 0.0:
        return np.zeros((panel.slow_pixels, panel.fast_pixels), bool)
    along = unit((x, y, z))
    across = cross(panel.normal, along)
    fast = (np.arange(panel.fast_pixels) + 0.5) * panel.pixel_m - panel.fbeam_m
    slow = ((np.arange(panel.slow_pixels) + 0.5) * panel.pixel_m - panel.sbeam_m)[:, np.newaxis]

    def component(axis: Vector) -> np.ndarray:
        """Of the vectors from the beam spot to all pixels."""
        return fast * dot(panel.fast, axis) + slow * dot(panel.slow, axis)

    behind: np.ndarray = (component(along) >= 0.0) & (np.abs(component(across)) <= width_m / 2.0)
    return behind
