"""Where the samples of a block's pixels lie, and what weighs them: as for photons alone, in rows of one array.

The renderer of photons merges all of this into one function; here each loop is compiled by itself, once.
"""

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, read, write
from ..equations.background import amorphous_square, intensity_of, row_near, square_between
from ..equations.pixel import capture, flat_position, solid_angle
from ..equations.polarization import polarization_frame, polarization_in_frame
from ..equations.scattering import scattering_vector_of, sin_theta_over_lambda
from ..equations.vectors import length
from .room import (
    AROUND,
    BLOCK,
    CAPTURE,
    CAPTURED,
    FAST,
    FIRST_POLAR,
    FIRST_SOLID,
    LAYER,
    NEAR,
    ONE,
    POLAR,
    QX,
    QY,
    QZ,
    SAMPLES,
    SOLID,
    THREE,
    TOTAL,
    TWO,
    UX,
    UY,
    UZ,
    WEIGHT,
    X,
    Y,
    Z,
)


@internal(forceinline=True)
def way_at(rows, start):
    """Direction and 1/distance."""
    return read(rows, start), read(rows, start + ONE), read(rows, start + TWO), read(rows, start + THREE)


@internal(forceinline=True)
def incident_of(plan, source):
    """Along which a source's rays travel."""
    incident = plan.sources.incident
    return incident[source, 0], incident[source, 1], incident[source, 2]


@internal()
def frame_of(plan, source):
    """Directions of the electric and the magnetic field of a source's rays."""
    return polarization_frame(incident_of(plan, source), plan.polarization_axis)


@internal()
def fill_row(rows, start, value):
    """Set a row to a number."""
    row = rows[int(start) : int(start) + BLOCK]
    for pixel in range(row.shape[0]):
        row[pixel] = value


@internal(fastmath={"contract", "arcp"})
def place_pixels(detector, rows, fast, slow, depth, count):
    """Directions and distances of a sub-pixel, ``fast`` and ``slow`` from the corner of the row."""
    for pixel in range(count):
        p = np.uint32(pixel)
        point = flat_position(detector, read(rows, p + FAST) * detector.pixel + fast, slow, depth)
        inverse = 1.0 / length(point)
        write(rows, p + X, point[0] * inverse)
        write(rows, p + Y, point[1] * inverse)
        write(rows, p + Z, point[2] * inverse)
        write(rows, p + NEAR, inverse)


@internal(fastmath={"contract"})
def put_solid(detector, rows, target, count):
    """Solid angles, which fall with the third power of the distance, or with the second where they are of a point."""
    at_one = solid_angle(detector, 1.0)
    for pixel in range(count):
        p = np.uint32(pixel)
        inverse = read(rows, p + NEAR)
        write(rows, p + target, at_one * (inverse * inverse) * (1.0 if detector.point_pixel else inverse))


@internal(fastmath={"contract", "arcp"})
def put_capture(detector, rows, layer, count):
    """Fractions that a layer captures."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, _ = way_at(rows, p + X)
        write(rows, p + CAPTURE, capture(detector, layer, (x, y, z)))


@internal()
def add_captured(rows, layer, count):
    """Add what a layer captures to what those before it do."""
    if layer == 0:
        fill_row(rows, CAPTURED, 0.0)
    for pixel in range(count):
        p = np.uint32(pixel)
        rows[p + CAPTURED] += read(rows, p + CAPTURE)


@internal()
def put_first_factors(plan, frame, rows, count):
    """Solid angle and polarization of the first sub-pixel."""
    put_solid(plan.detector, rows, FIRST_SOLID, count)
    if plan.polarization_correction:
        put_polar(plan.kahn, incident_of(plan, 0), frame, rows, FIRST_POLAR, count)


@internal(fastmath={"contract"})
def put_polar(kahn, incident, frame, rows, target, count):
    """Polarization of a sub-pixel."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, _ = way_at(rows, p + X)
        write(rows, p + target, polarization_in_frame(kahn, incident, (x, y, z), frame[0], frame[1]))


@internal(fastmath={"contract"})
def put_around(background, incident, wavenumber, rows, count):
    """Photons per steradian from amorphous material: a pixel's row of the table is near that of the pixel before."""
    table, low = background.table, 0
    last = table.shape[1] - 1
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, _ = way_at(rows, p + X)
        stol = sin_theta_over_lambda(scattering_vector_of((x, y, z), incident, wavenumber))
        if last > 0 and table[0, 0] < stol < table[0, last]:
            low = row_near(table, low, stol)
            factor, excess = square_between(table, low, stol)
        else:
            factor, excess = amorphous_square(background, stol)
        write(rows, p + AROUND, intensity_of(background.scale, factor, excess))


@internal(fastmath={"contract"})
def scatter(incident, wavenumber, rows, count):
    """Scattering vectors of one source."""
    for pixel in range(count):
        p = np.uint32(pixel)
        x, y, z, _ = way_at(rows, p + X)
        q = scattering_vector_of((x, y, z), incident, wavenumber)
        write(rows, p + QX, q[0])
        write(rows, p + QY, q[1])
        write(rows, p + QZ, q[2])


@internal(fastmath={"contract"})
def begin_ray(rows, share, solid, polar, count):
    """No orientation yet; what makes photons of a ray's sum, given the rows of solid angle and polarization."""
    for pixel in range(count):
        p = np.uint32(pixel)
        factor = read(rows, p + CAPTURE) * read(rows, p + solid) * read(rows, p + polar)
        write(rows, p + WEIGHT, share * factor)
        write(rows, p + SAMPLES, 0.0)
        write(rows, p + UX, 0.0)
        write(rows, p + UY, 0.0)
        write(rows, p + UZ, 0.0)


@internal(fastmath={"contract"})
def add_samples(plan, rows, weight, count):
    """Add one source's samples to the layer, each pixel's with its weight."""
    for pixel in range(count):
        p = np.uint32(pixel)
        factor = weight * (read(rows, p + SOLID) if plan.oversample_omega else 1.0)
        factor *= read(rows, p + POLAR) if plan.oversample_polar else 1.0
        factor *= read(rows, p + CAPTURE) if plan.oversample_thick else 1.0
        add_to(rows, p + LAYER, factor * read(rows, p + SAMPLES))


@internal(fastmath={"contract"})
def add_layer(thick, rows, count):
    """Add a layer to the pixels, with its capture fraction where that is one for the layer."""
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(rows, p + TOTAL, (1.0 if thick else read(rows, p + CAPTURE)) * read(rows, p + LAYER))
