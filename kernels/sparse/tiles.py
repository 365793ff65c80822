"""Tiles of pixels, of which a sample is evaluated in all or in none; and which samples of an image are.

A tile is 4×4 pixels, a block 4×4 tiles; both begin at pixel (0, 0), wherever the region of interest does, so that what
is left out of a pixel depends on nothing but plan and tolerance. Arrays of a block's pixels go tile by tile.
"""

from typing import NamedTuple

import numpy as np

from ..compile.equation import inlined

EDGE = 4
"""Pixels along the edge of a tile."""
LANES = EDGE * EDGE
"""Pixels of a tile: one or two of the processor's vectors."""
ACROSS = 4
"""Tiles along the edge of a block."""
TILES = ACROSS * ACROSS
"""Tiles of a block: one vector of float32, and one bit each of a uint16."""
SPAN = EDGE * ACROSS
"""Pixels along the edge of a block."""
ALL = np.uint32((1 << TILES) - 1)
"""The bits of all tiles."""


class Kept(NamedTuple):
    """The steps that are evaluated, in ascending order block by block; each at most once in a block.

    A step is a source and an orientation: number ``source · orientations + orientation``.
    """

    first: np.ndarray
    """int64 (blocks + 1,): where a block's steps begin. Block number ``row · blocks across the panel + column``."""
    step: np.ndarray
    """int32 (n,)."""
    tiles: np.ndarray
    """uint16 (n,): bit ``4·row + column`` is set where the step is evaluated in that tile of the block."""


@inlined
def blocks_along(pixels):
    """Blocks that so many pixels of a panel take."""
    return (pixels + SPAN - 1) // SPAN
