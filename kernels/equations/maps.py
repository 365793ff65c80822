"""Equations over arrays, for what is told about an image beside its photons."""

from ..compile.jit import compiled
from .pixel import capture_fraction, position, solid_angle
from .polarization import polarization_factor
from .scattering import scattering_vector
from .vectors import length, rotated_about, scaled, unit


@compiled()
def map_scattering_vectors(detector, fast, slow, incident, wavelength, q):
    """q in 1/m where ``fast`` and ``slow`` (m) cross on the sensor's surface, into ``q`` (slow, fast, 3)."""
    for row in range(slow.shape[0]):
        for column in range(fast.shape[0]):
            point = position(detector, fast[column], slow[row], 0.0)
            vector = scattering_vector(unit(point), incident, wavelength)
            for axis in range(3):
                q[row, column, axis] = vector[axis]


@compiled()
def map_photons_per_intensity(plan, fast, slow, photons):
    """Ω · polarization · fraction captured where ``fast`` and ``slow`` (m) cross, into ``photons`` (slow, fast).

    What makes photons of the first source's intensity per steradian, as background materials have it.
    """
    detector, first = plan.detector, plan.sources.incident[0]
    incident = (first[0], first[1], first[2])
    for row in range(slow.shape[0]):
        for column in range(fast.shape[0]):
            point = position(detector, fast[column], slow[row], 0.0)
            distance = length(point)
            direction = scaled(point, 1.0 / distance)
            factor = solid_angle(detector, distance)
            if plan.polarization_correction:
                factor *= polarization_factor(plan.kahn, incident, direction, plan.polarization_axis)
            captured = 0.0
            for layer in range(detector.layers):
                captured += capture_fraction(detector, layer, direction)
            photons[row, column] = factor * captured


@compiled()
def rotate_rows(vectors, axis, angles, rotated):
    """Every row of ``vectors`` (n, 3) turned by its angle about one axis, into ``rotated``."""
    for row in range(vectors.shape[0]):
        vector = rotated_about((vectors[row, 0], vectors[row, 1], vectors[row, 2]), axis, angles[row])
        for i in range(3):
            rotated[row, i] = vector[i]


@compiled()
def mean_depths(detector, directions, depths):
    """Depth (m) below the surface at which the sensor's layers stop the photons of each direction, on the average."""
    for row in range(directions.shape[0]):
        direction = (directions[row, 0], directions[row, 1], directions[row, 2])
        stopped = deep = 0.0
        for layer in range(detector.layers):
            fraction = capture_fraction(detector, layer, direction)
            stopped += fraction
            deep += fraction * layer * detector.layer_step
        depths[row] = deep / stopped
