"""An image and its derivatives in one pass: the loops of ``cpu/render.py``, with slopes summed beside photons.

Threads take rows, a row goes in blocks of pixels. Photons are within rounding those of the renderer.
"""

from ..choices import SQUARE, Shape
from ..compile.jit import compiled, internal
from ..compile.memory import take
from ..cpu.block import choose_pixels
from ..cpu.tables import origin_of
from .change import wanted_of
from .pixels import (
    add_direction_slopes,
    add_layer_slopes,
    add_place,
    add_ray_slopes,
    begin_place,
    begin_slopes,
    finish_counts,
    finish_geometry,
    finish_pixels,
    keep_way,
    polar_row,
    solid_row,
)
from .rays import (
    add_captured,
    add_layer,
    add_samples,
    begin_ray,
    fill_row,
    frame_of,
    incident_of,
    place_pixels,
    put_around,
    put_capture,
    put_first_factors,
    put_polar,
    put_solid,
    scatter,
)
from .room import BLOCK, FIRST_WAY, LAYER, LAYER_WAY, POLAR, SOLID, TOTAL
from .sums import CLAMPED, COVERED, INTERPOLATED, sum_slopes
from .uses import use_slopes


def variant_of_slopes(plan, tables, change, single):
    """What is chosen at compile time, each as a tuple of so many elements.

    Shape; how F is found; 1: float32 sines; :func:`wanted_of`; 1: sensors that absorb; 1: what few plans have, which is
    a background, factors that each sample has of its own, and a beam that moves.
    """
    shape = Shape(plan.crystal.shape)
    look = INTERPOLATED if plan.factors.interpolate > 0 else COVERED if tables.covers else CLAMPED
    own = plan.oversample_omega or plan.oversample_polar or plan.oversample_thick or len(change.incident) > 0
    special = own or plan.background.scale > 0.0
    codes = shape, look, single and shape == SQUARE, wanted_of(change), plan.detector.layer_step > 0.0, special
    return tuple((0,) * int(code) for code in codes)


@internal()
def render_slopes_of_block(
    plan, tables, change, room, slow, count, stop, shape, look, single, wanted, absorbs, special
):
    """Photons of a block's pixels and the columns of their derivatives; the number of samples outside the table."""
    rows, detector, outside = room.rows, plan.detector, 0.0
    alone = plan.oversample * detector.layers == 1
    begin_slopes(rows, room.summed, count)
    fill_row(rows, TOTAL, 0.0)
    for layer in range(detector.layers):
        fill_row(rows, LAYER, 0.0)
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                begin_sub_pixel(plan, room, slow, layer, sub_slow, sub_fast, alone, count, absorbs, special)
                for source in range(plan.sources.wavelength.shape[0]):
                    if stop[0]:
                        break
                    wavenumber, weight = 1.0 / plan.sources.wavelength[source], plan.sources.weight[source]
                    scatter(incident_of(plan, source), wavenumber, rows, count)
                    if len(special) == 1 and plan.oversample_polar and plan.polarization_correction:
                        put_polar(plan.kahn, incident_of(plan, source), frame_of(plan, source), rows, POLAR, count)
                    begin_ray(rows, plan.photons_per_sample * weight, solid_row(plan), polar_row(plan), count)
                    origin = origin_of(tables, plan.sources.channel[source])
                    outside += sum_slopes(tables, origin, plan, change, room, count, shape, look, single, wanted)
                    add_samples(plan, rows, weight, count)
                    if len(wanted) > 0:
                        add_direction_slopes(rows, wavenumber, count)
                        if len(special) == 1:
                            add_ray_slopes(plan, change, rows, layer, source, count)
                if len(wanted) > 0 and not alone:
                    step, depth = detector.pixel / plan.oversample, layer * detector.layer_step
                    add_place(rows, room.place_moves, step * sub_fast, step * sub_slow, depth, count)
        if len(wanted) > 0 and len(absorbs) == 1:
            finish_layer(plan, room, layer, alone, count)
        add_layer(plan.oversample_thick, rows, count)
    finish_pixels(plan, rows, count)
    if len(wanted) > 0:
        finish_geometry(plan, change, room, slow, alone, count, special)
    if len(wanted) > 1:
        finish_counts(plan.crystal, change.follows, rows, count, shape)
    return outside


@internal()
def begin_sub_pixel(plan, room, slow, layer, sub_slow, sub_fast, alone, count, absorbs, special):
    """Place a sub-pixel of every pixel, and what depends on that alone; ``alone``: there is no other."""
    rows, detector, step = room.rows, plan.detector, plan.detector.pixel / plan.oversample
    at_fast, at_slow = step * (sub_fast + 0.5), detector.pixel * slow + step * (sub_slow + 0.5)
    place_pixels(detector, rows, at_fast, at_slow, layer * detector.layer_step, count)
    begin_place(rows, count)
    first_of_layer = sub_slow == 0 and sub_fast == 0
    if first_of_layer and layer == 0:
        put_first_factors(plan, room.frame, rows, count)
        if len(special) == 1 and plan.background.scale > 0.0:
            put_around(plan.background, incident_of(plan, 0), 1.0 / plan.sources.wavelength[0], rows, count)
        if not alone:
            keep_way(rows, FIRST_WAY, count)
    if len(absorbs) == 1:
        if first_of_layer or plan.oversample_thick:
            put_capture(detector, rows, float(layer), count)
        if first_of_layer:
            add_captured(rows, layer, count)
            keep_way(rows, LAYER_WAY, count)
    if len(special) == 1 and plan.oversample_omega:
        put_solid(detector, rows, SOLID, count)


@internal()
def finish_layer(plan, room, layer, alone, count):
    """What absorption gives that a layer's samples share."""
    if not alone:
        begin_place(room.rows, count)
    add_layer_slopes(plan, room.rows, layer, count)
    if not alone:
        add_place(room.rows, room.place_moves, 0.0, 0.0, layer * plan.detector.layer_step, count)


@compiled(_nrt=False)
def render_slopes(room, plan, tables, change, uses, taken, done, stop, shape, look, single, wanted, absorbs, special):
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
    shape, look, single, wanted, absorbs, special : tuple
        Of :func:`variant_of_slopes`.

    Returns
    -------
    outside : float
        Samples that were to be interpolated but lie outside the table; those that pad the blocks count too.
    """
    outside, detector = 0.0, plan.detector
    slow = detector.roi[2] + take(taken)
    while slow <= detector.roi[3]:
        fast = detector.roi[0]
        while fast <= detector.roi[1] and not stop[0]:
            start = fast
            count, fast = choose_pixels(detector, room, slow, start)
            if count > 0:
                outside += render_slopes_of_block(
                    plan, tables, change, room, slow, BLOCK, stop, shape, look, single, wanted, absorbs, special
                )
                use_slopes(room, uses, slow, count)
            done[slow] += fast - start
        slow = detector.roi[2] + take(taken)
    return outside
