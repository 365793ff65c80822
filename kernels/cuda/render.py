"""The GPU renderer: one thread owns one pixel and goes its way by ``walk.py``.

Orientations (φ and domain) are one table, as on the CPU. The threads of a block copy ``ROWS`` of its rows at a time
into shared memory and step through them together; nothing else is shared, nothing is added out of order, so that a
pixel has the same bits every time. A small image leaves threads idle: then the table is cut into parts, each summed by
threads of its own, and a second kernel adds the parts of a pixel in order. Small images that are alike also go several
to a launch, one behind the other along the grid's z.
"""

from typing import Any, NamedTuple

import numpy as np

from ..choices import BITS, FLAT
from ..equations.background import background_intensity
from ..equations.pixel import flat_position, position
from ..equations.polarization import polarization_in_frame
from ..equations.scattering import scattering_vector_of
from ..plan import BackgroundPlan
from ..walk import Parts, Scene, photons_of, walk
from .bits import unsigned
from .provider import SHARED_ALIGNMENT, adopt_equations, array_from, can_align, cuda, device_function, kernel, record_of
from .sparse import KEPT, LEFT, STATE, sum_kept, tile_of, tile_pixel, view_of
from .steps import smaller, sum_by_bits, sum_samples
from .tables import COUNTED, ROW, ROWS, SPENT, STAGED, THREADS, TOLD


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
def sum_orientations(tables, factors, image, rows, start, stop, q, shape, interpolate, arithmetic):
    """Σ F²·F_latt² over the orientations from ``start`` to ``stop``, and how many samples lie outside the table."""
    total = 0.0
    outside = 0
    for first in range(start, stop, ROWS):
        count = smaller(ROWS, stop - first)
        # A part that fits is staged once for all, by the kernel.
        if stop - start > ROWS:
            stage(tables.cells, rows, first, count)
        if len(arithmetic) >= BITS:
            total += sum_by_bits(factors, image, rows, count, q, arithmetic)
        else:
            partial, beyond = sum_samples(factors, image, rows, count, q, shape, interpolate, arithmetic)
            total += partial
            outside += beyond
    return total, outside


@device_function
def sum_enough(scene, ray, source, factors, bounds):
    """Σ F²·F_latt² over the orientations that matter; what may be spent is there for each sub-pixel anew."""
    share, tables, image = scene.own, scene.own.tables, scene.plan
    bound, view = record_of(bounds.images[cuda.blockIdx.z]), view_of(share.tile, source, share.shape)
    if ray.source == 0:
        share.tile.state[LEFT] = 1.0
    total = 0.0
    for first in range(share.start, share.stop, ROWS):
        count = smaller(ROWS, share.stop - first)
        if share.stop - share.start > ROWS:
            stage(tables.cells, share.rows, first, count)
        to_come = (image.sources - ray.source) * (share.stop - share.start) - (first - share.start)
        total += sum_kept(
            bounds, bound, factors, image, share.rows, count, to_come, ray.q, share.tile, view, share.shape,
            share.interpolate, share.arithmetic,
        )  # fmt: skip
    return total


@device_function
def sum_rows(scene, ray, source, factors, bounds):
    """Of all orientations that this thread has, or of those that matter."""
    share = scene.own
    if len(bounds) == 0:
        samples, beyond = sum_orientations(
            share.tables, factors, scene.plan, share.rows, share.start, share.stop, ray.q, share.shape,
            share.interpolate, share.arithmetic,
        )  # fmt: skip
    else:
        samples, beyond = sum_enough(scene, ray, source, factors, bounds), 0
    return samples, beyond


# The parts of its walk ---------------------------------------------------------------------------------------------


class Share(NamedTuple):
    """A thread's share of a pixel, what the scene has of its own."""

    tables: Any
    rows: Any
    """Orientations in shared memory."""
    start: int
    stop: int
    """The rows of the table of orientations to be summed."""
    surface: tuple[int, ...]
    shape: tuple[int, ...]
    interpolate: tuple[int, ...]
    arithmetic: tuple[int, ...]
    tile: Any
    """The warp's :class:`Tile`, where orientations may be left out; else ()."""


@device_function
def surface_point(scene, fast, slow, depth):
    """Point in m of the detector's surface."""
    if len(scene.own.surface) == FLAT:
        point = flat_position(scene.detector, fast, slow, depth)
    else:
        point = position(scene.detector, fast, slow, depth)
    return point


@device_function
def source_count(scene):
    """How many sources there are: read where it is needed, lest a register be kept for it."""
    return scene.plan.sources


@device_function
def scattering_of(scene, source, diffracted):
    """q of a source and a ray."""
    row = scene.own.tables.sources[unsigned(scene.plan.first_source + source)]
    return scattering_vector_of(diffracted, (row[0], row[1], row[2]), row[3])


@device_function
def polarization_of(scene, source, diffracted):
    """Polarization factor of a source and a ray."""
    row = scene.own.tables.sources[unsigned(scene.plan.first_source + source)]
    electric, magnetic = (row[5], row[6], row[7]), (row[8], row[9], row[10])
    return polarization_in_frame(scene.plan.kahn, (row[0], row[1], row[2]), diffracted, electric, magnetic)


@device_function
def weight_of(scene, source):
    """Share of a source in the beam, 1 on average."""
    return scene.own.tables.sources[unsigned(scene.plan.first_source + source)][4]


@device_function
def amorphous_of(scene, stol):
    """Photons per steradian from amorphous material at sin θ/λ."""
    image = scene.background
    plan = BackgroundPlan(image.scale, image.form_factor, scene.own.tables.amorphous, image.in_sum)
    return background_intensity(plan, stol)


@device_function
def add_samples(scene, ray, total, layer_sum, outside):
    """The inner sum: all threads of a block take every turn of every loop, whether or not a ray is kept."""
    share = scene.own
    source = share.tables.sources[unsigned(scene.plan.first_source + ray.source)]
    factors = array_from(share.tables.factors, np.uint64(source[11]))
    samples, beyond = sum_rows(scene, ray, source, factors, share.tables.bounds)
    return total, layer_sum + ray.weight * samples, outside + (beyond if ray.kept else 0)


PARTS = Parts(surface_point, source_count, scattering_of, polarization_of, weight_of, amorphous_of, add_samples)


@device_function
def tile_at(tables, image, start, stop, slow, fast, surface, shape, bounds):
    """The tile of a thread's warp, where orientations may be left out."""
    if len(bounds) > 0:
        state = cuda.local.array(STATE, np.float64)
        state[LEFT], state[KEPT] = 1.0, 0.0
        bound, source = record_of(bounds.images[cuda.blockIdx.z]), tables.sources[unsigned(image.first_source)]
        rows = stop - start if stop > start else 1
        tile = tile_of(image, bound, source, slow, fast, rows, state, surface, shape)
    else:
        tile = bounds
    return tile


@device_function
def tell(bounds, tile):
    """What a warp left out, to be added to what others did."""
    if len(bounds) > 0 and tile.lane == 0:
        at = TOLD * cuda.blockIdx.z
        cuda.atomic.add(bounds.told, at + COUNTED, tile.state[KEPT])
        cuda.atomic.max(bounds.told, at + SPENT, 1.0 - tile.state[LEFT])


@device_function
def pixel_value(tables, image, rows, start, stop, slow, fast, surface, shape, interpolate, arithmetic, bounds):
    """Photons in one pixel from some of the orientations, and how many samples lie outside the table."""
    tile = tile_at(tables, image, start, stop, slow, fast, surface, shape, bounds)
    share = Share(tables, rows, start, stop, surface, shape, interpolate, arithmetic, tile)
    scene = Scene(image, image, image, start == image.first_row, share)
    pixel = walk(scene, PARTS, slow, fast)
    tell(bounds, tile)
    return photons_of(scene, pixel), pixel.outside


@device_function
def pixel_of(image, first, count, pixel, bounds):
    """Slow and fast pixel of a thread, and its number in a run of pixels: ``count`` or more if it is none of them."""
    if len(bounds) == 0:
        # Threads beyond the last pixel copy and wait with the others of their block.
        number = unsigned(first + smaller(pixel, count - 1))
        width = unsigned(image.width)
        down = unsigned(number // width)
        slow, fast = image.first_slow + down, image.first_fast + (number - down * width)
    else:
        slow, fast = tile_pixel(image, first, pixel)
        along = fast - image.first_fast
        number = (slow - image.first_slow) * image.width + along - first
        pixel = number if 0 <= along < image.width and 0 <= number < count else count
    return slow, fast, pixel


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
    slow, fast, pixel = pixel_of(image, first, count, pixel, tables.bounds)
    value, beyond = pixel_value(
        tables, image, rows, start, stop, slow, fast, surface, shape, interpolate, arithmetic, tables.bounds
    )  # fmt: skip
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
