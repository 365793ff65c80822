"""The fast renderer: threads take rows, a row goes in blocks of pixels, the innermost loop over the pixels of a block.

The loops are those of ``walk.py``: layer, slow and fast sub-pixel, source, orientation (φ and domain). What
does not depend on the inner ones is hoisted: all orientations are one table, the scattering vector is made once
for a block and source, the factors of a pixel once for a sub-pixel. Every pixel is summed in the same order by one
owner, whatever the number of threads, and blocks are padded to whole SIMD vectors: the bits of a pixel do not depend
on its neighbours.
"""

from ..compile.jit import compiled, internal
from ..compile.memory import take
from .block import choose_pixels, fill, new_block, padded
from .samples import add_layer, begin_pixels, finish_pixels, place_pixels, scatter, weigh_samples
from .sums import sum_orientations
from .tables import origin_of


@internal(forceinline=True)
def render_block(plan, tables, block, slow, count, stop, shape, interpolate, single):
    """Photons of a block's pixels, into ``block.photons``; the number of samples outside the table."""
    outside = 0.0
    begin_pixels(plan, block, count)
    sub_pixels, sources = rays_of(plan, tables)
    for layer in range(plan.detector.layers):
        fill(block.layer, 0.0, count)
        for sub_slow in range(sub_pixels):
            for sub_fast in range(sub_pixels):
                place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast)
                first_of_pixel = layer == 0 and sub_slow == 0 and sub_fast == 0
                for source in range(sources):
                    if stop[0]:
                        break
                    scatter(plan, block, count, source, first_of_pixel)
                    fill(block.samples, 0.0, count)
                    origin = origin_of(tables, plan.sources.channel[source])
                    outside += sum_orientations(
                        tables, origin, plan.crystal, plan.factors.default, block, count, shape, interpolate, single
                    )
                    weigh_samples(plan, block, 0, count, plan.sources.weight[source])
        add_layer(plan, block, count)
    finish_pixels(plan, block, count)
    return outside


@internal(forceinline=True)
def rays_of(plan, tables):
    """Sub-pixels along an edge and sources that are looked at: where no crystal scatters, the first.

    Other rays then decide on polarization alone, where dmin leaves the first one out.
    """
    if tables.cells.shape[0] > 0 or plan.dmin > 0.0:
        return plan.oversample, plan.sources.wavelength.shape[0]
    return 1, 1


@internal()
def render_row(plan, tables, block, image, slow, done, stop, shape, interpolate, single):
    """One row of the image, block by block; the number of samples outside the table."""
    detector = plan.detector
    outside = 0.0
    fast = detector.roi[0]
    while fast <= detector.roi[1] and not stop[0]:
        start = fast
        count, fast = choose_pixels(detector, block, slow, start)
        if count > 0:
            outside += render_block(plan, tables, block, slow, padded(count), stop, shape, interpolate, single)
        if count == fast - start:
            for p in range(count):
                image[slow, start + p] = block.photons[p]
        else:
            for p in range(count):
                image[slow, int(block.fast[p])] = block.photons[p]
        done[slow] += fast - start
    return outside


@compiled()
def render(plan, tables, image, taken, done, stop, shape, interpolate, single):
    """Fill rows of ``image`` (slow, fast), float32, until all are taken: the work of one thread of any number.

    Parameters
    ----------
    taken : ndarray of int64 (1,)
        Counts the rows that some thread has begun.
    done : ndarray of int64 (slow,)
        Counts the pixels of each row that are finished.
    stop : ndarray of int64 (1,)
        Set to end early.
    shape, interpolate, single : tuple
        Of :func:`variant_of`; ``single``: sines of the square shape in float32.

    Returns
    -------
    outside : float
        Samples that were to be interpolated but lie outside the table; those that pad the blocks count too.
    """
    outside, block = 0.0, new_block()
    first, last = plan.detector.roi[2], plan.detector.roi[3]
    slow = first + take(taken)
    while slow <= last:
        outside += render_row(plan, tables, block, image, slow, done, stop, shape, interpolate, single)
        slow = first + take(taken)
    return outside
