"""The blocks that steps light, and which tiles of them: as they are found, and block by block."""

from typing import NamedTuple

import numpy as np

from ..compile.jit import compiled, internal, maker
from .tiles import ACROSS, blocks_along


class Marks(NamedTuple):
    """The blocks that some steps light, in the order of steps."""

    counts: np.ndarray
    """int64 (blocks,): how many marks each has."""
    block: np.ndarray
    """int32."""
    step: np.ndarray
    """int32."""
    tiles: np.ndarray
    """uint16."""


@maker()
def new_marks(size, blocks):
    """Room for so many."""
    return Marks(
        np.zeros(blocks, np.int64), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.uint16)
    )


@maker()
def with_room_for(marks, total, size):
    """The same with room for so many, which may be these marks themselves."""
    if size <= marks.block.shape[0]:
        return marks
    longer = new_marks(2 * size, 0)
    longer.block[:total], longer.step[:total] = marks.block[:total], marks.step[:total]
    longer.tiles[:total] = marks.tiles[:total]
    return Marks(marks.counts, longer.block, longer.step, longer.tiles)


@maker()
def first_marks(marks, total):
    """So many of them."""
    return Marks(marks.counts, marks.block[:total], marks.step[:total], marks.tiles[:total])


@internal()
def mark_hits(detector, work, hits, number, marks, total, latest):
    """Append a step's marks, one for each block that it lights; how many there are.

    ``latest`` (blocks,) has each block's mark last made.
    """
    across, before = blocks_along(detector.fast_pixels), total
    for n in range(hits):
        fast0, fast1 = np.int32(work.fast0[n]), np.int32(work.fast1[n])
        slow0, slow1 = np.int32(work.slow0[n]), np.int32(work.slow1[n])
        if fast1 < fast0 or slow1 < slow0:
            continue
        for row in range(slow0 // ACROSS, slow1 // ACROSS + 1):
            top, bottom = max(slow0 - ACROSS * row, 0), min(slow1 - ACROSS * row, ACROSS - 1)
            for column in range(fast0 // ACROSS, fast1 // ACROSS + 1):
                left, right = max(fast0 - ACROSS * column, 0), min(fast1 - ACROSS * column, ACROSS - 1)
                tiles = tiles_at(top, bottom, left, right)
                total = add_mark(marks, latest, row * across + column, number, tiles, before, total)
    return total


@internal(forceinline=True)
def add_mark(marks, latest, block, number, tiles, before, total):
    """Mark tiles of a block for a step, whose marks begin at ``before``; how many marks there are."""
    mark = latest[block]
    if mark >= before:
        marks.tiles[mark] |= tiles
        return total
    marks.block[total], marks.step[total], marks.tiles[total] = block, number, tiles
    marks.counts[block] += 1
    latest[block] = total
    return total + 1


@internal(forceinline=True)
def tiles_at(top, bottom, left, right):
    """The bits of some rows and columns of a block's tiles."""
    line = (2 << right) - (1 << left)
    return line * (0x1111 & ((1 << (ACROSS * bottom + ACROSS)) - (1 << (ACROSS * top))))


@compiled()
def put_marks(marks, place, kept):
    """Put marks among those that are kept, each block's from its ``place`` on, which is moved on."""
    for n in range(marks.block.shape[0]):
        at = place[marks.block[n]]
        kept.step[at], kept.tiles[at] = marks.step[n], marks.tiles[n]
        place[marks.block[n]] = at + 1
