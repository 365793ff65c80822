"""Around the innermost loops of the fast renderer: where samples are, what they are weighed with, and their photons."""

import numpy as np

from ..choices import FLAT
from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, read, write
from ..equations.background import (
    amorphous_square,
    background_intensity,
    intensity_of,
    row_near,
    square_between,
)
from ..equations.pixel import capture, flat_position, position, solid_angle
from ..equations.polarization import polarization_factor
from ..equations.scattering import beyond_resolution, scattering_vector, sin_theta_over_lambda
from ..equations.vectors import length
from .block import copy, fill


@inlined
def begin_pixels(plan, block, count):
    """No sample yet, and no factor of any."""
    fill(block.total, plan.background.in_sum * background_intensity(plan.background, 0.0), count)
    fill(block.captured, 0.0, count)
    fill(block.amorphous, 0.0, count)
    fill(block.kept, 1.0, count)
    fill(block.polar, 1.0, count)
    fill(block.polar_known, 0.0, count)
    fill(block.capture, 1.0, count)


@internal(forceinline=True, fastmath={"contract", "arcp"})
def place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast):
    """Directions of one sub-pixel of every pixel of a row, and what depends on them alone."""
    detector = plan.detector
    step = detector.pixel / plan.oversample
    depth = layer * detector.layer_step
    at_slow = step * (slow * plan.oversample + sub_slow) + step / 2.0
    if detector.surface == FLAT:
        for pixel in range(count):
            p = np.uint32(pixel)
            at_fast = step * (read(block.fast, p) * plan.oversample + sub_fast) + step / 2.0
            point = flat_position(detector, at_fast, at_slow, depth)
            put_direction(block, p, point)
    else:
        for pixel in range(count):
            p = np.uint32(pixel)
            at_fast = step * (read(block.fast, p) * plan.oversample + sub_fast) + step / 2.0
            put_direction(block, p, position(detector, at_fast, at_slow, depth))
    put_factors_of_place(plan, block, count, layer, sub_slow == 0 and sub_fast == 0)


@internal(forceinline=True, fastmath={"contract", "arcp"})
def put_factors_of_place(plan, block, count, layer, first_of_layer):
    """Solid angles and captured fractions, where they are those of this sub-pixel."""
    detector = plan.detector
    first_of_pixel = layer == 0 and first_of_layer
    if first_of_pixel or plan.oversample_omega:
        for pixel in range(count):
            p = np.uint32(pixel)
            write(block.solid, p, solid_angle(detector, read(block.airpath, p)))
    if first_of_pixel:
        copy(block.solid, block.first_solid, count)
    if detector.layer_step > 0.0 and (first_of_layer or plan.oversample_thick):
        for pixel in range(count):
            p = np.uint32(pixel)
            direction = (read(block.x, p), read(block.y, p), read(block.z, p))
            write(block.capture, p, capture(detector, float(layer), direction))
    if first_of_layer:
        for pixel in range(count):
            add_to(block.captured, np.uint32(pixel), read(block.capture, np.uint32(pixel)))


@inlined
def put_direction(block, p, point):
    """Distance of a point from the sample, and the direction in which it is seen."""
    airpath = length(point)
    inverse = 1.0 / airpath
    write(block.x, p, point[0] * inverse)
    write(block.y, p, point[1] * inverse)
    write(block.z, p, point[2] * inverse)
    write(block.airpath, p, airpath)


@internal(forceinline=True, fastmath={"contract", "arcp"})
def scatter(plan, block, count, source, first_of_pixel):
    """Scattering vectors of one source, which samples dmin keeps, and polarization."""
    put_scattering(plan, block, 0, count, source)
    incident = incident_of(plan.sources, source)
    if plan.dmin > 0.0:
        for pixel in range(count):
            stol = sin_theta_over_lambda((block.qx[pixel], block.qy[pixel], block.qz[pixel]))
            block.kept[pixel] = 0.0 if beyond_resolution(stol, plan.dmin) else 1.0
    if first_of_pixel and source == 0 and plan.background.scale > 0.0:
        put_amorphous(plan.background, block, count)
    if plan.polarization_correction and ((first_of_pixel and source == 0) or plan.oversample_polar):
        for pixel in range(count):
            p = np.uint32(pixel)
            direction = (read(block.x, p), read(block.y, p), read(block.z, p))
            write(block.polar, p, polarization_factor(plan.kahn, incident, direction, plan.polarization_axis))
    if first_of_pixel and source == 0:
        copy(block.polar, block.first_polar, count)
        if plan.polarization_correction and plan.dmin > 0.0 and not plan.polar_of_skipped:
            fill(block.first_polar, 0.0, count)
    if plan.polarization_correction and plan.dmin > 0.0:
        polarization_of_kept(plan, block, count, incident)


@inlined
def incident_of(sources, source):
    """Direction in which the rays of a source travel."""
    return sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2]


@internal(forceinline=True, fastmath={"contract", "arcp"})
def put_scattering(plan, block, first, stop, source):
    """Scattering vectors of one source, of pixels from ``first`` up to ``stop``."""
    incident, wavelength = incident_of(plan.sources, source), plan.sources.wavelength[source]
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        q = scattering_vector((read(block.x, p), read(block.y, p), read(block.z, p)), incident, wavelength)
        write(block.qx, p, q[0])
        write(block.qy, p, q[1])
        write(block.qz, p, q[2])


@internal(forceinline=True, fastmath={"contract", "arcp"})
def put_amorphous(background, block, count):
    """Photons per steradian from amorphous material."""
    factor, excess = block.samples, block.photons
    put_square(background, block, factor, excess, count)
    for pixel in range(count):
        block.amorphous[pixel] = intensity_of(background.scale, factor[pixel], excess[pixel])


@internal(forceinline=True, fastmath={"contract", "arcp"})
def put_square(background, block, factor, excess, count):
    """F of amorphous material, and what F² is besides: a pixel's row of the table is near that of the pixel before."""
    table, low = background.table, 0
    rows = table.shape[1]
    if rows < 2:
        for pixel in range(count):
            stol = sin_theta_over_lambda((block.qx[pixel], block.qy[pixel], block.qz[pixel]))
            factor[pixel], excess[pixel] = amorphous_square(background, stol)
        return
    for pixel in range(count):
        stol = sin_theta_over_lambda((block.qx[pixel], block.qy[pixel], block.qz[pixel]))
        if table[0, 0] < stol < table[0, rows - 1]:
            low = row_near(table, low, stol)
            factor[pixel], excess[pixel] = square_between(table, low, stol)
        else:
            factor[pixel], excess[pixel] = amorphous_square(background, stol)


@internal(forceinline=True)
def polarization_of_kept(plan, block, count, incident):
    """A pixel's polarization is that of the first of its samples that dmin keeps."""
    for p in range(count):
        if block.polar_known[p] == 0.0 and block.kept[p] > 0.0:
            direction = (block.x[p], block.y[p], block.z[p])
            block.first_polar[p] = polarization_factor(plan.kahn, incident, direction, plan.polarization_axis)
            block.polar_known[p] = 1.0


@internal(forceinline=True, fastmath={"contract"})
def weigh_samples(plan, block, first, stop, weight):
    """Add one source's samples to the layer, of pixels from ``first`` up to ``stop``, each with its weight."""
    for pixel in range(first, stop):
        p = np.uint32(pixel)
        factor = weight * read(block.kept, p)
        factor *= read(block.solid, p) if plan.oversample_omega else 1.0
        factor *= read(block.polar, p) if plan.oversample_polar else 1.0
        factor *= read(block.capture, p) if plan.oversample_thick else 1.0
        add_to(block.layer, p, factor * read(block.samples, p))


@internal(forceinline=True, fastmath={"contract"})
def add_layer(plan, block, count):
    """Add a layer to the pixels, with its capture fraction where that is one for the layer."""
    weighted = plan.oversample_thick or plan.last_capture
    for pixel in range(count):
        p = np.uint32(pixel)
        add_to(block.total, p, (1.0 if weighted else read(block.capture, p)) * read(block.layer, p))


@internal(forceinline=True, fastmath={"contract"})
def finish_pixels(plan, block, count):
    """From sums of samples to photons."""
    for pixel in range(count):
        p = np.uint32(pixel)
        photons = plan.photons_per_sample * read(block.total, p)
        photons *= 1.0 if plan.oversample_omega else read(block.first_solid, p)
        photons *= 1.0 if plan.oversample_polar else read(block.first_polar, p)
        photons *= read(block.capture, p) if plan.last_capture and not plan.oversample_thick else 1.0
        if not plan.background.in_sum:
            around = read(block.first_solid, p) * read(block.first_polar, p) * read(block.captured, p)
            photons += read(block.amorphous, p) * around
        write(block.photons, p, photons)
