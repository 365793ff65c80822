"""The GPU renderer: one thread owns one pixel and goes through the loops of ``reference.py``.

Orientations (φ and domain) are one table, as on the CPU. The threads of a block copy ``ROWS`` of its rows at a time
into shared memory and step through them together; nothing else is shared, nothing is added out of order, so that a
pixel has the same bits every time. A small image leaves threads idle: then the table is cut into parts, each summed by
threads of its own, and a second kernel adds the parts of a pixel in order. Small images that are alike also go several
to a launch, one behind the other along the grid's z.
"""

import numpy as np

from ..equations.background import background_intensity
from ..equations.pixel import capture_fraction, flat_position, position, solid_angle
from ..equations.polarization import polarization_in_frame
from ..equations.scattering import beyond_resolution, scattering_vector_of, sin_theta_over_lambda
from ..equations.vectors import length, scaled
from ..plan import FLAT, BackgroundPlan
from .bits import unsigned
from .provider import SHARED_ALIGNMENT, adopt_equations, can_align, cuda, device_function, kernel, record_of
from .steps import smaller, sum_by_bits, sum_samples
from .tables import BITS, ROW, ROWS, STAGED, THREADS


@device_function
def stage(cells, rows, start, count):
    """Copy rows of the table of orientations into the block's shared memory; every thread takes part."""
    cuda.syncthreads()
    number, first = ROW * count, ROW * start
    # As many turns for every count: unrolled, all loads of a thread are under way at once.
    for turn in range(STAGED // THREADS):
        i = turn * THREADS + cuda.threadIdx.x
        if i < number:
            rows[np.uint64(i)] = cells[np.uint64(first + i)]
    cuda.syncthreads()


@device_function
def sum_orientations(tables, image, rows, start, stop, q, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over the orientations from ``start`` to ``stop``, and how many samples lie outside the table."""
    total = 0.0
    outside = 0
    for first in range(start, stop, ROWS):
        count = smaller(ROWS, stop - first)
        # A part that fits is staged once for all, by the kernel.
        if stop - start > ROWS:
            stage(tables.cells, rows, first, count)
        if len(arithmetic) >= BITS:
            total += sum_by_bits(tables, image, rows, count, q, arithmetic)
        else:
            partial, beyond = sum_samples(tables, image, rows, count, q, shape, interpolate, arithmetic)
            total += partial
            outside += beyond
    return total, outside


@device_function
def amorphous_intensity(tables, image, stol):
    """Photons per steradian from amorphous material at sin θ/λ."""
    stol_table, factor_table = tables.amorphous[0], tables.amorphous[1]
    background = BackgroundPlan(image.scale, image.form_factor, stol_table, factor_table, image.in_sum)
    return background_intensity(background, stol)


@device_function
def pixel_value(tables, image, rows, start, stop, slow, fast, surface, shape, interpolate, arithmetic):
    """Photons in one pixel from some of the orientations, and how many samples lie outside the table.

    The background counts with the image's first orientation. All threads of a block take every turn of every loop.
    """
    step = image.pixel / image.oversample
    polar_known = False
    polar = 0.0 if image.polarization_correction else 1.0
    first_polar = polar
    solid = first_solid = capture = captured = amorphous = 0.0
    outside = 0
    counts_background = start == image.first_row
    total = amorphous_intensity(tables, image, 0.0) if image.in_sum and counts_background else 0.0

    for layer in range(image.layers):
        depth = layer * image.layer_step
        layer_sum = 0.0
        for sub_slow in range(image.oversample):
            for sub_fast in range(image.oversample):
                first_of_layer = sub_slow == 0 and sub_fast == 0
                first_of_pixel = layer == 0 and first_of_layer
                along_fast = step * (fast * image.oversample + sub_fast) + step / 2.0
                along_slow = step * (slow * image.oversample + sub_slow) + step / 2.0
                if len(surface) == FLAT:
                    point = flat_position(image, along_fast, along_slow, depth)
                else:
                    point = position(image, along_fast, along_slow, depth)
                airpath = length(point)
                diffracted = scaled(point, 1.0 / airpath)
                if first_of_pixel or image.oversample_omega:
                    solid = solid_angle(image, airpath)
                if first_of_pixel:
                    first_solid = solid
                if first_of_layer or image.oversample_thick:
                    capture = capture_fraction(image, layer, diffracted)
                if first_of_layer:
                    captured += capture

                for number in range(image.sources):
                    source = tables.sources[unsigned(image.first_source + number)]
                    first_sample = first_of_pixel and number == 0
                    incident = (source[0], source[1], source[2])
                    q = scattering_vector_of(diffracted, incident, source[3])
                    kept = True
                    if image.dmin > 0.0:
                        kept = not beyond_resolution(sin_theta_over_lambda(q), image.dmin)
                    if first_sample and not image.in_sum and counts_background:
                        amorphous = amorphous_intensity(tables, image, sin_theta_over_lambda(q))
                    counts = kept or (image.polar_of_skipped and first_sample)
                    wanted = image.polarization_correction and (image.oversample_polar or not polar_known)
                    if counts and wanted:
                        electric, magnetic = (source[5], source[6], source[7]), (source[8], source[9], source[10])
                        polar = polarization_in_frame(image.kahn, incident, diffracted, electric, magnetic)
                        if not polar_known:
                            first_polar = polar
                            polar_known = kept

                    weight = source[4] if kept else 0.0
                    weight *= solid if image.oversample_omega else 1.0
                    weight *= polar if image.oversample_polar else 1.0
                    weight *= capture if image.oversample_thick else 1.0
                    samples, beyond = sum_orientations(
                        tables, image, rows, start, stop, q, shape, interpolate, arithmetic
                    )
                    layer_sum += weight * samples
                    outside += beyond if kept else 0
        total += layer_sum if image.oversample_thick or image.last_capture else capture * layer_sum

    photons = image.photons_per_sample * total
    photons *= 1.0 if image.oversample_omega else first_solid
    photons *= 1.0 if image.oversample_polar else first_polar
    photons *= capture if image.last_capture and not image.oversample_thick else 1.0
    return photons + amorphous * first_solid * first_polar * captured, outside


@kernel
def render_pixels(
    tables, first, count, first_part, rows_of_part, parts, photons, picture, outside, surface, shape, interpolate,
    arithmetic,
):  # fmt: skip
    """Photons of a run of pixels of the roi in raster order, by parts of the table of orientations.

    To be launched with a grid of (blocks for the pixels, parts, images) and ``THREADS`` threads.

    Parameters
    ----------
    tables : Tables
        On the device.
    first, count : int
        Number of the first pixel, counted along the roi's rows, and how many.
    first_part : int
        Number of the first part.
    rows_of_part : int
        Of :func:`rows_per_part`.
    parts : int
        Of the whole table of orientations.
    photons : device array of float64 (images · parts in this launch · count or more)
        Written, one part after the other, where there are several parts.
    picture : device array of float32 (images · count or more)
        Written where there is a single part.
    outside : device array of int64, as long as what is written
        Samples outside the table; written where F is interpolated.
    surface, shape, interpolate, arithmetic : tuple
        Of :func:`choice`.
    """
    if can_align:
        rows = cuda.shared.array(STAGED, np.float64, alignment=SHARED_ALIGNMENT)
    else:
        rows = cuda.shared.array(STAGED, np.float64)
    image = record_of(tables.images[cuda.blockIdx.z])
    pixel = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    start = image.first_row + (first_part + cuda.blockIdx.y) * rows_of_part
    stop = smaller(start + rows_of_part, image.first_row + image.rows)
    if stop - start <= ROWS:
        stage(tables.cells, rows, start, stop - start)
    # Threads beyond the last pixel copy and wait with the others of their block.
    number = unsigned(first + smaller(pixel, count - 1))
    width = unsigned(image.width)
    down = unsigned(number // width)
    slow, fast = image.first_slow + down, image.first_fast + (number - down * width)
    value, beyond = pixel_value(tables, image, rows, start, stop, slow, fast, surface, shape, interpolate, arithmetic)
    if pixel < count:
        rendered = not image.masked or tables.mask[slow, fast] != 0
        at = (cuda.blockIdx.z * cuda.gridDim.y + cuda.blockIdx.y) * count + pixel
        if parts == 1:
            picture[at] = value if rendered else 0.0
        else:
            photons[at] = value if rendered else 0.0
        if len(interpolate) > 0:
            outside[at] = beyond if rendered else 0


@kernel
def add_parts(photons, outside, count, parts, goes_on, sums, beyond, picture, interpolate):
    """Add parts of ``photons`` in order to those before, into ``sums`` and float32 ``picture``; likewise ``outside``.

    Whether they came in one launch or several changes no bit: ``goes_on`` is 0 for the first launch of a pixel. To be
    launched with a grid of (blocks for the pixels, 1, images).
    """
    pixel = cuda.grid(1)
    if pixel < count:
        at = cuda.blockIdx.z * count + pixel
        first = cuda.blockIdx.z * parts * count + pixel
        total = sums[at] if goes_on else 0.0
        for part in range(parts):
            total += photons[first + part * count]
        sums[at] = total
        picture[at] = total
        if len(interpolate) > 0:
            samples = beyond[at] if goes_on else 0
            for part in range(parts):
                samples += outside[first + part * count]
            beyond[at] = samples


adopt_equations(globals())
