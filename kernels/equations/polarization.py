"""Kahn's polarization factor."""

from ..compile.equation import equation
from .vectors import cross, dot, unit


@equation
def polarization_frame(incident, axis):
    """Directions of the electric and the magnetic field of a beam along ``incident``, across it."""
    magnetic = unit(cross(axis, incident))
    return unit(cross(incident, magnetic)), magnetic


@equation
def polarization_in_frame(kahn, incident, diffracted, electric, magnetic):
    """Kahn's factor from the fields' directions: those of a source serve all pixels."""
    cos_twotheta = dot(incident, diffracted)
    e = dot(diffracted, electric)
    m = dot(diffracted, magnetic)
    return 0.5 * (1.0 + cos_twotheta * cos_twotheta - kahn * (e * e - m * m))


@equation
def polarization_factor(kahn, incident, diffracted, axis):
    """½(1 + cos²2θ − K cos 2ψ sin²2θ), ψ the angle of the scattering plane from the E-vector.

    Kahn, Fourme, Gadet, Janin, Dumas & André (1982), J. Appl. Cryst. 15, 330.

    Parameters
    ----------
    kahn : float
        K: 0 unpolarized, 1 fully polarized along ``axis``.
    incident, diffracted, axis : tuple of 3 floats
        Unit vectors of s0, s1 and the E-vector.
    """
    electric, magnetic = polarization_frame(incident, axis)
    return polarization_in_frame(kahn, incident, diffracted, electric, magnetic)
