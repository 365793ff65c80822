"""The background alone, where no crystal scatters: what every frame of a series has alike, and photons of it.

Photons are those of ``render.py``, bit by bit: the same steps in the same order, parted where the fluence comes in.
"""

from typing import NamedTuple

import numpy as np

from ..compile.jit import compiled, internal
from ..compile.memory import take
from ..equations.background import intensity_of
from .block import choose_pixels, fill, new_block, padded
from .samples import place_pixels, put_square, scatter


class Share(NamedTuple):
    """What fluence and molecules multiply, of every pixel (slow, fast); 0 where none is rendered."""

    factor: np.ndarray
    """F of the material."""
    excess: np.ndarray
    """What F² is besides its square; (0, 0) where it is nothing."""
    around: np.ndarray
    """Steradian, times polarization, times the captured fraction."""


@compiled()
def measure(plan, share, taken):
    """Fill rows of a share until all are taken: the work of one thread of any number; ``taken`` counts them."""
    first, last = plan.detector.roi[2], plan.detector.roi[3]
    slow, block = first + take(taken), new_block()
    while slow <= last:
        measure_row(plan, share, block, slow)
        slow = first + take(taken)


@internal()
def measure_row(plan, share, block, slow):
    """One row of the share, block by block."""
    fast = plan.detector.roi[0]
    with_excess = share.excess.shape[0] > 0
    while fast <= plan.detector.roi[1]:
        count, fast = choose_pixels(plan.detector, block, slow, fast)
        if count > 0:
            measure_block(plan, block, slow, padded(count))
        for p in range(count):
            column = int(block.fast[p])
            share.factor[slow, column] = block.samples[p]
            if with_excess:
                share.excess[slow, column] = block.photons[p]
            share.around[slow, column] = block.first_solid[p] * block.first_polar[p] * block.captured[p]


@internal(forceinline=True)
def measure_block(plan, block, slow, count):
    """F and excess of a block's pixels into its ``samples`` and ``photons``; the other factors have their places."""
    fill(block.captured, 0.0, count)
    fill(block.kept, 1.0, count)
    fill(block.polar, 1.0, count)
    fill(block.capture, 1.0, count)
    for layer in range(plan.detector.layers):
        place_pixels(plan, block, slow, count, layer, 0, 0)
        if layer == 0:
            scatter(plan, block, count, 0, True)
            put_square(plan.background, block, block.samples, block.photons, count)


@compiled(fastmath={"contract", "arcp"})
def shine(scale, share, roi, image, taken, done, stop):
    """Fill rows of ``image``, float32, with the photons of a share, as ``measure`` fills the share's."""
    with_excess = share.excess.shape[0] > 0
    slow = roi[2] + take(taken)
    while slow <= roi[3] and not stop[0]:
        factor, around, row = share.factor[slow], share.around[slow], image[slow]
        if with_excess:
            excess = share.excess[slow]
            for fast in range(roi[0], roi[1] + 1):
                row[fast] = intensity_of(scale, factor[fast], excess[fast]) * around[fast]
        else:
            for fast in range(roi[0], roi[1] + 1):
                row[fast] = intensity_of(scale, factor[fast], 0.0) * around[fast]
        done[slow] += roi[1] + 1 - roi[0]
        slow = roi[2] + take(taken)
