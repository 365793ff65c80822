"""An image and its derivatives in one pass: the loops of ``cpu/render.py``, with slopes summed beside photons.

Threads take rows, a row goes in blocks of pixels. Photons are within rounding those of the renderer.
"""

from ..choices import SQUARE, Shape
from ..compile.jit import compiled, internal
from ..compile.memory import take
from ..cpu.block import choose_pixels, fill
from ..cpu.samples import add_layer, begin_pixels, finish_pixels, place_pixels, scatter, weigh_samples
from ..cpu.tables import origin_of
from .change import CELLS, FUDGE, KAHN, PLACE, SPOTS, SPREAD, SWEEP
from .pixels import (
    add_layer_slopes,
    add_place,
    add_ray_slopes,
    begin_ray,
    begin_slopes,
    finish_counts,
    finish_geometry,
    finish_slopes,
    keep_nearness,
    keep_way,
    polar_row,
    put_direction_slopes,
    solid_row,
)
from .room import BLOCK, FIRST_WAY, LAYER_WAY, X
from .sums import CLAMPED, COVERED, INTERPOLATED, sum_slopes
from .uses import use_slopes

CRYSTAL, GEOMETRY, MORE = range(3)
"""Which sums are made: by the cell alone; also by what moves places, directions and wavelengths; also by the numbers of
cells, the shape's scale, mosaic spread, φ steps that move apart, structure factors."""


def wanted_of(change):
    """What the parameters of a change need, as a tuple of so many elements."""
    moves = (change.columns != 0.0).any(axis=0)
    level = CRYSTAL
    if moves[PLACE:SPOTS].any() or moves[KAHN] or change.incident.shape[0] > 0:
        level = GEOMETRY
    if moves[[*range(CELLS, FUDGE + 1), SPREAD, SWEEP]].any() or change.tables.shape[0] > 0:
        level = MORE
    return (0,) * level


def variant_of_slopes(plan, tables, single):
    """Shape, how F is found, float32 sines, each as a tuple of so many elements."""
    shape = Shape(plan.crystal.shape)
    look = INTERPOLATED if plan.factors.interpolate > 0 else COVERED if tables.covers else CLAMPED
    return tuple((0,) * code for code in (shape, look, single and shape == SQUARE))


@internal()
def render_slopes_of_block(plan, tables, change, room, slow, count, stop, shape, look, single, wanted):
    """Photons of a block's pixels and the columns of their derivatives; the number of samples outside the table."""
    rows, block, outside = room.rows, room.block, 0.0
    one_ray = plan.oversample * plan.detector.layers == 1
    step, per_ray = plan.detector.pixel / plan.oversample, ray_factors(plan, change)
    begin_pixels(plan, block, count)
    begin_slopes(rows, room.summed, count)
    for layer in range(plan.detector.layers):
        fill(block.layer, 0.0, count)
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast)
                if len(wanted) > 0:
                    keep_nearness(rows, count)
                    if not one_ray and sub_slow == 0 and sub_fast == 0:
                        keep_way(rows, LAYER_WAY, count)
                        if layer == 0:
                            keep_way(rows, FIRST_WAY, count)
                for source in range(plan.sources.wavelength.shape[0]):
                    if stop[0]:
                        break
                    scatter(plan, block, count, source, layer == 0 and sub_slow == 0 and sub_fast == 0)
                    weight = plan.sources.weight[source]
                    begin_ray(rows, plan.photons_per_sample * weight, solid_row(plan), polar_row(plan), count)
                    origin = origin_of(tables, plan.sources.channel[source])
                    outside += sum_slopes(tables, origin, plan, change, room, count, shape, look, single, wanted)
                    weigh_samples(plan, block, count, weight)
                    if len(wanted) > 0:
                        put_direction_slopes(rows, 1.0 / plan.sources.wavelength[source], count)
                        if per_ray:
                            add_ray_slopes(plan, change, room, layer, source, count)
                        add_place(room, step * sub_fast, step * sub_slow, layer * plan.detector.layer_step, count)
        if len(wanted) > 0 and plan.detector.layer_step > 0.0:
            add_layer_slopes(plan, room, X if one_ray else LAYER_WAY, layer, count)
        add_layer(plan, block, count)
    finish_pixels(plan, block, count)
    finish_slopes(rows, count)
    if len(wanted) > 0:
        finish_geometry(plan, change, room, slow, X if one_ray else FIRST_WAY, count)
    if len(wanted) > 1:
        finish_counts(plan.crystal, change.follows, rows, count, shape)
    return outside


@internal(forceinline=True)
def ray_factors(plan, change):
    """Whether rays have something of their own besides their direction."""
    return change.incident.shape[0] > 0 or plan.oversample_omega or plan.oversample_polar or plan.oversample_thick


@compiled(_nrt=False)
def render_slopes(room, plan, tables, change, uses, taken, done, stop, shape, look, single, wanted):
    """Render rows and use their derivatives until all are taken: the work of one thread of any number.

    Parameters
    ----------
    room : Room
        Of this thread alone.
    change : Change
        Along which directions the plan's variables move.
    uses : Uses
        What is made of the derivatives.
    taken : ndarray of int64 (1,)
        Counts the rows that some thread has begun.
    done : ndarray of int64 (slow,)
        Counts the pixels of each row that are finished.
    stop : ndarray of int64 (1,)
        Set to end early.
    shape, look, single : tuple
        Of :func:`variant_of_slopes`.
    wanted : tuple
        Of :func:`wanted_of`.

    Returns
    -------
    outside : float
        Samples that were to be interpolated but lie outside the table; those that pad the blocks count too.
    """
    outside, block, detector = 0.0, room.block, plan.detector
    slow = detector.roi[2] + take(taken)
    while slow <= detector.roi[3]:
        fast = detector.roi[0]
        while fast <= detector.roi[1] and not stop[0]:
            start = fast
            count, fast = choose_pixels(detector, block, slow, start)
            if count > 0:
                outside += render_slopes_of_block(
                    plan, tables, change, room, slow, BLOCK, stop, shape, look, single, wanted
                )
                use_slopes(change, room, uses, slow, count)
            done[slow] += fast - start
        slow = detector.roi[2] + take(taken)
    return outside
