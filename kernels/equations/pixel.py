"""Where a sub-pixel is, the solid angle it covers and the fraction of photons its sensor layer stops."""

import math

from ..choices import FLAT, SPHERE
from ..compile.equation import equation, inlined
from ..compile.polynomials import exp_clamped
from .vectors import dot, rotated_about


@equation
def flat_position(detector, fast, slow, depth):
    """Point of the detector plane at ``fast``, ``slow`` from the corner and ``depth`` into the sensor, all in m.

    The axes need not be of length 1 nor perpendicular: ``fast`` and ``slow`` are then pixels times ``pixel``.
    """
    f, s, o, origin = detector.fast, detector.slow, detector.normal, detector.origin
    return (
        fast * f[0] + slow * s[0] + depth * o[0] + origin[0],
        fast * f[1] + slow * s[1] + depth * o[1] + origin[1],
        fast * f[2] + slow * s[2] + depth * o[2] + origin[2],
    )


@equation
def spherical_position(detector, fast, slow):
    """The same offsets from the beam centre as arcs on a sphere of radius ``distance`` about the sample."""
    reach = detector.distance
    spot = (reach * detector.beam[0], reach * detector.beam[1], reach * detector.beam[2])
    turned = rotated_about(spot, detector.slow, detector.handedness * (fast - detector.fbeam) / reach)
    return rotated_about(turned, detector.fast, -detector.handedness * (slow - detector.sbeam) / reach)


@equation
def mixed_axes_position(detector, flat):
    """The reference's curved detector, whose arcs are lab coordinates: right for no convention."""
    reach = detector.distance
    spot = (reach * detector.beam[0], reach * detector.beam[1], reach * detector.beam[2])
    return rotated_about(rotated_about(spot, detector.slow, flat[1] / reach), detector.fast, flat[2] / reach)


@equation
def position(detector, fast, slow, depth):
    """Point in m of the detector's surface, flat or curved."""
    if detector.surface == FLAT:
        point = flat_position(detector, fast, slow, depth)
    elif detector.surface == SPHERE:
        point = spherical_position(detector, fast, slow)
    else:
        point = mixed_axes_position(detector, flat_position(detector, fast, slow, depth))
    return point


@equation
def solid_angle(detector, airpath):
    """Steradian of a pixel at ``airpath`` m from the sample: (pixel/R)² times its obliquity; 1/R² for a point.

    pixel² is the pixel's area, whatever its shape.
    """
    if detector.point_pixel:
        angle = 1.0 / (airpath * airpath)
    else:
        angle = detector.pixel * detector.pixel * detector.close_distance / (airpath * airpath * airpath)
    return angle


@equation
def capture_fraction(detector, layer, direction):
    """Fraction of the photons along ``direction`` that sensor layer number ``layer`` absorbs."""
    if detector.layer_step > 0.0:
        path = detector.layer_step * detector.attenuation / dot(direction, detector.normal)
        fraction = math.exp(-layer * path) - math.exp(-(layer + 1) * path)
    else:
        fraction = 1.0
    return fraction


@inlined
def capture(detector, layer, direction):
    """The same of a sensor with layers, in a form that vectorizes."""
    path = detector.layer_step * detector.attenuation / dot(direction, detector.normal)
    return exp_clamped(-layer * path) - exp_clamped(-(layer + 1.0) * path)
