"""Whether it pays to leave steps out: what tests keep in some blocks of the whole panel, wherever the region is.

So the answer, and with it every bit of a pixel, follows from plan and tolerance alone.
"""

import numpy as np

from ..compile.jit import compiled
from ..compile.masks import ones
from .budget import choose_steps, new_testing
from .tiles import ALL, TILES, blocks_along

FEWEST, MOST, PART = 16, 64, 64
"""Blocks that are tried: one in so many, within these limits."""
GOLDEN = 0.6180339887498949
"""Multiples of it, less what is whole, lie evenly, and in no step with a panel's rows."""


@compiled()
def share_kept(plan, bounds, shape):
    """Share of the tiles' steps that are kept, 0 to 1."""
    across, down = blocks_along(plan.detector.fast_pixels), blocks_along(plan.detector.slow_pixels)
    tried = min(max(across * down // PART, FEWEST), MOST, across * down)
    testing, kept = new_testing(bounds.steps), 0
    for number in range(tried):
        place = (number + 0.5) * GOLDEN
        block = int((place - np.floor(place)) * (across * down))
        for n in range(choose_steps(plan, bounds, testing, block // across, block % across, ALL, shape)):
            kept += ones(np.uint32(testing.mask[n]))
    return kept / (tried * TILES * bounds.steps)
