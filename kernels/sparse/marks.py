"""The blocks that steps light, and which tiles of them: as they are found, and block by block."""

from typing import NamedTuple

import numpy as np

from ..compile.jit import compiled, internal, maker
from .tiles import ACROSS, EDGE, blocks_along


class Marks(NamedTuple):
    """The blocks that some steps light, in the order of steps."""

    count: np.ndarray
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
    return Marks(marks.count, longer.block, longer.step, longer.tiles)


@maker()
def first_marks(marks, total):
    """So many of them."""
    return Marks(marks.count, marks.block[:total], marks.step[:total], marks.tiles[:total])


@internal()
def mark_hits(detector, work, hits, number, marks, total, latest):
    """Append a step's marks, one for each block that it lights; how many there are.

    ``latest`` (blocks,) has each block's mark last made.
    """
    across = blocks_along(detector.fast_pixels)
    for n in range(hits):
        fast0, fast1 = int(work.fast0[n]) // EDGE, int(work.fast1[n])
        slow0, slow1 = int(work.slow0[n]) // EDGE, int(work.slow1[n])
        if fast1 < work.fast0[n] or slow1 < work.slow0[n]:
            continue
        fast1, slow1 = fast1 // EDGE, slow1 // EDGE
        for row in range(slow0 // ACROSS, slow1 // ACROSS + 1):
            rows = part_of_block(row, slow0, slow1)
            for column in range(fast0 // ACROSS, fast1 // ACROSS + 1):
                block, tiles = row * across + column, tiles_at(rows, part_of_block(column, fast0, fast1))
                mark = latest[block]
                if mark >= 0 and marks.step[mark] == number:
                    marks.tiles[mark] |= tiles
                else:
                    marks.block[total], marks.step[total], marks.tiles[total] = block, number, tiles
                    marks.count[block] += 1
                    latest[block] = total
                    total += 1
    return total


@internal()
def part_of_block(block, first, last):
    """First and last of a block's tiles, along an edge, between two of the panel's."""
    return max(first - ACROSS * block, 0), min(last - ACROSS * block, ACROSS - 1)


@internal()
def tiles_at(rows, columns):
    """The bits of some rows and columns of a block's tiles."""
    line = (2 << columns[1]) - (1 << columns[0])
    every = 0x1111 & ((1 << (ACROSS * rows[1] + ACROSS)) - (1 << (ACROSS * rows[0])))
    return line * every


@compiled()
def put_marks(marks, place, kept):
    """Put marks among those that are kept, each block's from its ``place`` on, which is moved on."""
    for n in range(marks.block.shape[0]):
        at = place[marks.block[n]]
        kept.step[at], kept.tiles[at] = marks.step[n], marks.tiles[n]
        place[marks.block[n]] = at + 1
