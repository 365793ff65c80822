"""An image and its derivatives in one pass: the loops of ``cpu/render.py``, with slopes summed beside photons.

Threads take rows, a row goes in blocks of pixels. Photons are within rounding those of the renderer.
"""

from typing import NamedTuple

from ..choices import SQUARE, Shape
from ..compile.jit import compiled, internal
from ..compile.memory import take
from ..cpu.block import choose_pixels, fill, padded
from ..cpu.samples import add_layer, begin_pixels, finish_pixels, place_pixels, scatter, weigh_samples
from ..cpu.tables import origin_of
from .change import CELLS, FUDGE, KAHN, PLACE, SPOTS, SPREAD, SWEEP, TABLES
from .pixels import add_layer_slopes, begin_slopes, begin_sums, finish_slopes, keep_ways, weigh_slopes
from .room import new_room
from .sums import sum_slopes
from .uses import use_slopes


class Wanted(NamedTuple):
    """Which sums are made, each a tuple of one element or none: what is not wanted is not compiled."""

    geometry: tuple
    """What moves places, directions and wavelengths, and factors that depend on those."""
    cells: tuple
    """Numbers of cells, the shape's scale."""
    spread: tuple
    """Mosaic spread."""
    sweep: tuple
    """φ steps that move apart."""
    tables: tuple
    """Structure factors."""


def wanted_of(change):
    """What the parameters of a change need."""
    moves = (change.columns != 0.0).any(axis=0)
    geometry = moves[PLACE:SPOTS].any() or moves[KAHN] or change.incident.shape[0] > 0
    wanted = (geometry, moves[CELLS : FUDGE + 1].any(), moves[SPREAD], moves[SWEEP], moves[TABLES:].any())
    tables = change.tables.shape[0] > 0
    return Wanted(*((0,) * int(one) for one in (*wanted[:4], tables)))


def variant_of_slopes(plan, single):
    """Shape, interpolation, float32 sines, each as a tuple of so many elements."""
    shape = Shape(plan.crystal.shape)
    return tuple((0,) * code for code in (shape, plan.factors.interpolate > 0, single and shape == SQUARE))


@internal(forceinline=True)
def render_slopes_of_block(plan, tables, change, room, slow, count, stop, shape, interpolate, single, wanted):
    """Photons of a block's pixels and the columns of their derivatives; the number of samples outside the table."""
    block, outside = room.block, 0.0
    begin_pixels(plan, block, count)
    begin_slopes(change, room, count, wanted)
    for layer in range(plan.detector.layers):
        fill(block.layer, 0.0, count)
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                place_pixels(plan, block, slow, count, layer, sub_slow, sub_fast)
                if sub_slow == 0 and sub_fast == 0:
                    keep_ways(room.layer, block, count)
                    if layer == 0:
                        keep_ways(room.first, block, count)
                for source in range(plan.sources.wavelength.shape[0]):
                    if stop[0]:
                        break
                    scatter(plan, block, count, source, layer == 0 and sub_slow == 0 and sub_fast == 0)
                    fill(block.samples, 0.0, count)
                    begin_sums(change, room, count, wanted)
                    origin = origin_of(tables, plan.sources.channel[source])
                    outside += sum_slopes(tables, origin, plan, change, room, count, shape, interpolate, single, wanted)
                    weigh_samples(plan, block, count, plan.sources.weight[source])
                    weigh_slopes(plan, change, room, count, layer, sub_slow, sub_fast, source, wanted)
        if len(wanted.geometry) == 1 and plan.detector.layer_step > 0.0:
            add_layer_slopes(plan, room, layer, count)
        add_layer(plan, block, count)
    finish_pixels(plan, block, count)
    finish_slopes(plan, change, room, slow, count, shape, wanted)
    return outside


@internal()
def render_slopes_of_row(plan, tables, change, room, uses, slow, done, stop, shape, interpolate, single, wanted):
    """One row of the image, block by block; the number of samples outside the table."""
    detector, outside = plan.detector, 0.0
    fast = detector.roi[0]
    while fast <= detector.roi[1] and not stop[0]:
        start = fast
        count, fast = choose_pixels(detector, room.block, slow, start)
        if count > 0:
            whole = padded(count)
            outside += render_slopes_of_block(
                plan, tables, change, room, slow, whole, stop, shape, interpolate, single, wanted
            )
            use_slopes(change, room, uses, slow, count, whole)
        done[slow] += fast - start
    return outside


@compiled()
def render_slopes(plan, tables, change, uses, taken, done, stop, shape, interpolate, single, wanted):
    """Render rows and use their derivatives until all are taken: the work of one thread of any number.

    Parameters
    ----------
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
    shape, interpolate, single : tuple
        Of :func:`variant_of_slopes`.
    wanted : Wanted
        Of :func:`wanted_of`.

    Returns
    -------
    outside : float
        Samples that were to be interpolated but lie outside the table; those that pad the blocks count too.
    """
    outside, room = 0.0, new_room(plan, change, uses.basis.shape[0])
    first, last = plan.detector.roi[2], plan.detector.roi[3]
    slow = first + take(taken)
    while slow <= last:
        outside += render_slopes_of_row(
            plan, tables, change, room, uses, slow, done, stop, shape, interpolate, single, wanted
        )
        slow = first + take(taken)
    return outside
