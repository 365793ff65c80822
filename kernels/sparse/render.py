"""The fast renderer's way through a pixel (``cpu/render.py``), of the steps that are kept.

Threads take bands of blocks. The tiles of a block in which anything is evaluated are put side by side, sixteen pixels
each; a step is then evaluated tile by tile by the innermost loops of ``cpu/sums.py``, in the same order.
"""

from typing import NamedTuple

import numpy as np

from ..choices import FLAT, SQUARE
from ..compile.jit import compiled, internal, maker
from ..compile.masks import lowest, ones
from ..compile.memory import read, settle, take
from ..cpu.block import Block, fill, new_block, padded
from ..cpu.samples import (
    add_layer,
    begin_pixels,
    finish_pixels,
    put_direction,
    put_factors_of_place,
    put_scattering,
    scatter,
    weigh_samples,
)
from ..cpu.sums import add_in_double, add_in_single, add_interpolated
from ..cpu.tables import origin_of
from ..equations.pixel import flat_position, position
from .budget import Testing, choose_steps, new_testing
from .tiles import ACROSS, EDGE, LANES, SPAN, TILES, blocks_along


class Room(NamedTuple):
    """What a thread works in."""

    block: Block
    """Of the pixels of the tiles that are evaluated, tile by tile."""
    slow: np.ndarray
    """Slow index of each."""
    lane: np.ndarray
    """int64 (tiles,): where a tile's pixels begin."""
    testing: Testing


@maker()
def new_room(steps):
    """Room for tests of so many steps."""
    return Room(new_block(SPAN * SPAN), np.empty(SPAN * SPAN), np.empty(TILES, np.int64), new_testing(steps))


@internal()
def wanted_tiles(detector, block_slow, block_fast):
    """The tiles of a block with pixels to be rendered."""
    fast0, fast1, slow0, slow1 = detector.roi
    wanted = np.uint32(0)
    for tile in range(TILES):
        slow, fast = tile_corner(block_slow, block_fast, tile)
        first, last = max(slow, slow0), min(slow + EDGE - 1, slow1)
        left, right = max(fast, fast0), min(fast + EDGE - 1, fast1)
        inside = first <= last and left <= right
        if inside and detector.mask.shape[0] > 0:
            inside = detector.mask[first : last + 1, left : right + 1].any()
        if inside:
            wanted |= np.uint32(1 << tile)
    return wanted


@internal(forceinline=True)
def tile_corner(block_slow, block_fast, tile):
    """Slow and fast index of a tile's first pixel."""
    return SPAN * block_slow + EDGE * (tile // ACROSS), SPAN * block_fast + EDGE * (tile % ACROSS)


@internal(forceinline=True)
def gather_tiles(detector, room, block_slow, block_fast, tiles):
    """Put the pixels of tiles side by side, padded as a block is; how many there are.

    Those outside the region stand for the nearest inside, whose reflections are in the table.
    """
    fast0, fast1, slow0, slow1 = detector.roi
    count = 0
    while tiles:
        tile = int(lowest(tiles))
        tiles = without_lowest(tiles)
        room.lane[tile] = count
        slow, fast = tile_corner(block_slow, block_fast, tile)
        for lane in range(LANES):
            room.slow[count + lane] = min(max(slow + lane // EDGE, slow0), slow1)
            room.block.fast[count + lane] = min(max(fast + lane % EDGE, fast0), fast1)
        count += LANES
    for p in range(count, padded(count)):
        room.slow[p], room.block.fast[p] = room.slow[count - 1], room.block.fast[count - 1]
    return padded(count)


@internal(forceinline=True)
def without_lowest(bits):
    """All bits but the lowest that is set."""
    return np.uint32(bits & np.uint32(bits - np.uint32(1)))


@internal(forceinline=True, fastmath={"contract", "arcp"})
def place_tiles(plan, room, count, layer, sub_slow, sub_fast):
    """Directions of one sub-pixel of every pixel, and what depends on them alone."""
    detector, block = plan.detector, room.block
    step = detector.pixel / plan.oversample
    depth = layer * detector.layer_step
    for pixel in range(count):
        p = np.uint32(pixel)
        at_slow = step * (read(room.slow, p) * plan.oversample + sub_slow) + step / 2.0
        at_fast = step * (read(block.fast, p) * plan.oversample + sub_fast) + step / 2.0
        if detector.surface == FLAT:
            put_direction(block, p, flat_position(detector, at_fast, at_slow, depth))
        else:
            put_direction(block, p, position(detector, at_fast, at_slow, depth))
    put_factors_of_place(plan, block, count, layer, sub_slow == 0 and sub_fast == 0)


@internal(forceinline=True)
def add_step(plan, tables, origin, n, room, tiles, shape, interpolate, single):
    """One orientation's samples in some tiles; how many lie outside the table."""
    outside = 0.0
    while tiles:
        first = room.lane[lowest(tiles)]
        tiles = without_lowest(tiles)
        if len(interpolate) == 1:
            outside += add_interpolated(
                tables, origin, plan.crystal, plan.factors.default, n, room.block, first, LANES, shape
            )
        elif len(shape) == SQUARE and len(single) == 1:
            if tables.covers:
                add_in_single(tables, origin, plan.crystal, n, room.block, first, first + LANES, ())
            else:
                add_in_single(tables, origin, plan.crystal, n, room.block, first, first + LANES, (0,))
        elif tables.covers:
            add_in_double(tables, origin, plan.crystal, n, room.block, first, first + LANES, shape, ())
        else:
            add_in_double(tables, origin, plan.crystal, n, room.block, first, first + LANES, shape, (0,))
    return outside


@internal(forceinline=True)
def render_tiles(plan, tables, room, count, gathered, step, mask, begin, end, stop, shape, interpolate, single):
    """Photons of gathered tiles, of steps ``begin`` up to ``end``, into ``block.photons``; and samples outside."""
    block, orientations, outside = room.block, tables.cells.shape[0], 0.0
    begin_pixels(plan, block, count)
    for layer in range(plan.detector.layers):
        fill(block.layer, 0.0, count)
        for sub in range(plan.oversample * plan.oversample):
            place_tiles(plan, room, count, layer, sub // plan.oversample, sub % plan.oversample)
            settle()
            at = begin
            for source in range(plan.sources.wavelength.shape[0]):
                if stop[0]:
                    break
                first, tiles = at, np.uint32(0)
                while at < end and step[at] < (source + 1) * orientations:
                    tiles |= np.uint32(mask[at]) & gathered
                    at += 1
                first_of_pixel = layer == 0 and sub == 0
                if (first_of_pixel and source == 0) or plan.dmin > 0.0 or plan.oversample_polar:
                    scatter(plan, block, count, source, first_of_pixel)
                else:
                    scatter_tiles(plan, room, tiles, source)
                settle()
                if at > first:
                    fill(block.samples, 0.0, count)
                    origin = origin_of(tables, plan.sources.channel[source])
                    for n in range(first, at):
                        orientation, here = step[n] - source * orientations, np.uint32(mask[n]) & gathered
                        outside += add_step(plan, tables, origin, orientation, room, here, shape, interpolate, single)
                    settle()
                    weigh_tiles(plan, room, tiles, plan.sources.weight[source])
                    settle()
        settle()
        add_layer(plan, block, count)
        settle()
    finish_pixels(plan, block, count)
    return outside


@internal(forceinline=True)
def scatter_tiles(plan, room, tiles, source):
    """Scattering vectors of one source in some tiles."""
    while tiles:
        first = room.lane[lowest(tiles)]
        tiles = without_lowest(tiles)
        put_scattering(plan, room.block, first, first + LANES, source)


@internal(forceinline=True)
def weigh_tiles(plan, room, tiles, weight):
    """Add one source's samples of some tiles to the layer."""
    while tiles:
        first = room.lane[lowest(tiles)]
        tiles = without_lowest(tiles)
        weigh_samples(plan, room.block, first, first + LANES, weight)


@internal()
def put_block(detector, room, image, block_slow, block_fast, tiles):
    """A block's photons into the image: those of tiles that were rendered, 0 elsewhere."""
    fast0, fast1, slow0, slow1 = detector.roi
    for slow in range(max(SPAN * block_slow, slow0), min(SPAN * block_slow + SPAN - 1, slow1) + 1):
        for fast in range(max(SPAN * block_fast, fast0), min(SPAN * block_fast + SPAN - 1, fast1) + 1):
            image[slow, fast] = 0.0
    while tiles:
        tile = int(lowest(tiles))
        tiles = without_lowest(tiles)
        slow, fast = tile_corner(block_slow, block_fast, tile)
        for row in range(EDGE):
            for column in range(EDGE):
                s, f = slow + row, fast + column
                if slow0 <= s <= slow1 and fast0 <= f <= fast1 and (detector.mask.shape[0] == 0 or detector.mask[s, f]):
                    image[s, f] = room.block.photons[room.lane[tile] + row * EDGE + column]


@internal(forceinline=True)
def test_steps(plan, bounds, room, block_slow, block_fast, wanted, shape):
    """Where the steps of a block stand that the tests keep, from which place up to which."""
    count = choose_steps(plan, bounds, room.testing, block_slow, block_fast, wanted, shape)
    return room.testing.step, room.testing.mask, np.int64(0), np.int64(count)


@internal(forceinline=True)
def find_steps(plan, kept, room, block_slow, block_fast, wanted, shape):
    """The same of those that are listed."""
    number = block_slow * blocks_along(plan.detector.fast_pixels) + block_fast
    return kept.step, kept.tiles, kept.first[number], kept.first[number + 1]


@internal(forceinline=True)
def render_block(plan, tables, choose, those, room, image, block_slow, block_fast, stop, shape, interpolate, single):
    """A block's photons into the image: samples outside, steps that were evaluated and that there are, tile by tile."""
    wanted, outside, evaluated = wanted_tiles(plan.detector, block_slow, block_fast), 0.0, 0
    step, mask, begin, end = choose(plan, those, room, block_slow, block_fast, wanted, shape)
    tiles = np.uint32(0)
    for n in range(begin, end):
        tiles |= np.uint32(mask[n]) & wanted
        evaluated += ones(np.uint32(mask[n]) & wanted)
    if plan.background.scale > 0.0:
        tiles = wanted
    if tiles:
        count = gather_tiles(plan.detector, room, block_slow, block_fast, tiles)
        outside = render_tiles(
            plan, tables, room, count, tiles, step, mask, begin, end, stop, shape, interpolate, single
        )
    put_block(plan.detector, room, image, block_slow, block_fast, tiles)
    return outside, evaluated, ones(wanted) * plan.sources.wavelength.shape[0] * tables.cells.shape[0]


@internal(forceinline=True)
def render_bands(plan, tables, choose, those, room, image, taken, done, stop, shape, interpolate, single):
    """Bands of blocks until all are taken; the sums of what :func:`render_block` returns, and what was spent."""
    fast0, fast1, slow0, slow1 = plan.detector.roi
    outside, evaluated, every = 0.0, np.int64(0), np.int64(0)
    band = slow0 // SPAN + take(taken)
    while SPAN * band <= slow1 and not stop[0]:
        for column in range(fast0 // SPAN, fast1 // SPAN + 1):
            beyond, some, all_steps = render_block(
                plan, tables, choose, those, room, image, band, column, stop, shape, interpolate, single
            )
            outside, evaluated, every = outside + beyond, evaluated + some, every + all_steps
            for slow in range(max(SPAN * band, slow0), min(SPAN * band + SPAN - 1, slow1) + 1):
                done[slow] += min(SPAN * column + SPAN - 1, fast1) + 1 - max(SPAN * column, fast0)
        band = slow0 // SPAN + take(taken)
    return outside, evaluated, every, room.testing.most[0]


@compiled()
def render_tested(plan, tables, bounds, image, taken, done, stop, shape, interpolate, single):
    """Fill ``image`` (slow, fast) as :func:`kernels.cpu.render.render` does, of the steps that the tests keep.

    Returns
    -------
    outside : float
        As there.
    evaluated, every : int
        Steps that were evaluated, tile by tile, and all that there are.
    spent : float
        The largest part of the tolerance that what was left out of a pixel may have made.
    """
    room = new_room(bounds.steps)
    return render_bands(plan, tables, test_steps, bounds, room, image, taken, done, stop, shape, interpolate, single)


@compiled()
def render_listed(plan, tables, kept, image, taken, done, stop, shape, interpolate, single):
    """The same of the steps of a ``Kept``; what is spent is for who made it to say."""
    room = new_room(1)
    return render_bands(plan, tables, find_steps, kept, room, image, taken, done, stop, shape, interpolate, single)
