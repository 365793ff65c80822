"""Which steps are left out: as many of the smallest scores as the tolerance allows, tile by tile.

To sort scores would take longer than to evaluate many of them. A few limits are tried at once instead, and the highest
below which all scores together are no more than there is to spend is the cut.
"""

from typing import NamedTuple

import numpy as np

from ..choices import GAUSS, TOPHAT
from ..compile.jit import internal, maker
from ..compile.masks import EIGHT, above, sums_below
from ..compile.memory import settle
from .scores import ROWS, look_from, place_tiles, put_units, score_orientation
from .tiles import SPAN, TILES

AT_ONCE = 4096
"""Steps whose scores are kept at a time, so that they stay in the second-level cache."""
LIMITS = EIGHT
"""From all that there is to spend down to the share that each step has of it, each the same part of the one before."""


class Testing(NamedTuple):
    """Room for the tests of a block."""

    tiles: np.ndarray
    rows: np.ndarray
    """Of ``scores.py``, flat."""
    scores: np.ndarray
    """float32: those of ``AT_ONCE`` steps, sixteen each."""
    parts: np.ndarray
    """float32 (``LIMITS``,): limits as parts of what there is to spend."""
    limits: np.ndarray
    sums: np.ndarray
    """float32 (``LIMITS``, tiles), flat: what is tried, and how much lies below."""
    cuts: np.ndarray
    """float32 (tiles,): scores up to this are left out."""
    spent: np.ndarray
    """float32 (tiles,): scores left out so far, at the most 1."""
    most: np.ndarray
    """float32 (1,): the largest of these of all wanted tiles so far."""
    step: np.ndarray
    mask: np.ndarray
    """Of the steps that are kept, as in ``Kept``; room for all."""


@maker()
def new_testing(steps):
    """Room for so many steps."""
    parts = np.empty(LIMITS, np.float32)
    for n in range(LIMITS):
        parts[n] = float(max(min(steps, AT_ONCE), 1)) ** (-n / (LIMITS - 1))
    return Testing(
        np.empty(ROWS * TILES), np.empty(ROWS * TILES, np.float32), np.empty(min(steps, AT_ONCE) * TILES, np.float32),
        parts,
        np.empty(LIMITS * TILES, np.float32), np.empty(LIMITS * TILES, np.float32), np.empty(TILES, np.float32),
        np.empty(TILES, np.float32), np.zeros(1, np.float32), np.empty(steps, np.int32), np.empty(steps, np.uint16),
    )  # fmt: skip


@internal()
def choose_steps(plan, bounds, testing, block_slow, block_fast, wanted, shape):
    """Fill ``step`` and ``mask`` with what is kept in the ``wanted`` tiles of a block; how many steps that is."""
    orientations = bounds.axes.shape[0]
    place_tiles(plan, bounds, testing.tiles, SPAN * block_fast, SPAN * block_slow)
    settle()
    put_units(plan, bounds, testing.tiles, shape)
    settle()
    testing.spent[:] = np.float32(0.0)
    count, source = 0, -1
    for first in range(0, bounds.steps, AT_ONCE):
        stop = min(first + AT_ONCE, bounds.steps)
        for step in range(first, stop):
            if step // orientations != source:
                source = step // orientations
                look_from(plan, testing.tiles, testing.rows, source, shape)
                settle()
            at = np.uint32((step - first) * TILES)
            score_orientation(bounds, testing.rows, step - source * orientations, testing.scores, at, shape)
        settle()
        cut_scores(testing, first, stop, bounds.steps, shape)
        for step in range(first, stop):
            mask = above(testing.scores, np.uint32((step - first) * TILES), testing.cuts) & wanted
            if mask:
                testing.step[count] = step
                testing.mask[count] = mask
                count += 1
    for tile in range(TILES):
        if wanted & np.uint32(1 << tile):
            testing.most[0] = max(testing.most[0], testing.spent[tile])
    return count


@internal(forceinline=True, fastmath={"contract"})
def cut_scores(testing, first, stop, steps, shape):
    """The cut of each tile for steps from ``first`` up to ``stop``; exponents are cut at 0.

    Their share in the tolerance is that of their number; what earlier steps did not spend is there for later ones.
    """
    if len(shape) == GAUSS or len(shape) == TOPHAT:
        testing.cuts[:] = np.float32(0.0)
        testing.spent[:] = np.float32(stop / steps if len(shape) == GAUSS else 0.0)
        return
    limits, sums = testing.limits, testing.sums
    for tile in range(TILES):
        left = np.float32(stop / steps) - testing.spent[tile]
        for n in range(LIMITS):
            limits[n * TILES + tile] = left * testing.parts[n]
    sums_below(testing.scores, stop - first, limits, sums)
    for tile in range(TILES):
        left = limits[tile]
        for n in range(LIMITS):
            at = n * TILES + tile
            # The last cannot exceed what is left but by rounding.
            if sums[at] <= left or n == LIMITS - 1:
                testing.cuts[tile] = limits[at]
                testing.spent[tile] += min(sums[at], left)
                break
