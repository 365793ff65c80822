"""From directions to Miller indices."""

import math

from ..compile.equation import equation


@equation
def scattering_vector(diffracted, incident, wavelength):
    """q = (s1 − s0)/λ in 1/m."""
    return (
        (diffracted[0] - incident[0]) / wavelength,
        (diffracted[1] - incident[1]) / wavelength,
        (diffracted[2] - incident[2]) / wavelength,
    )


@equation
def scattering_vector_of(diffracted, incident, wavenumber):
    """The same from 1/λ: three multiplications instead of divisions."""
    return (
        (diffracted[0] - incident[0]) * wavenumber,
        (diffracted[1] - incident[1]) * wavenumber,
        (diffracted[2] - incident[2]) * wavenumber,
    )


@equation
def sin_theta_over_lambda(q):
    """sin θ/λ in 1/m: half the length of q."""
    return 0.5 * math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])


@equation
def beyond_resolution(stol, dmin):
    """Whether a sample of sin θ/λ lies at higher resolution than dmin (both SI; dmin 0: no limit)."""
    return dmin > 0.0 and stol > 0.0 and dmin > 0.5 / stol


@equation
def nearest_index(h):
    """Whole number nearest to a fractional Miller index."""
    return math.ceil(h - 0.5)
