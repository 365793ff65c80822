"""F² that nothing in a tile exceeds: of each reflection by itself, and of it with its neighbours."""

import math
from typing import NamedTuple

import numpy as np

from ..choices import GAUSS, TOPHAT
from ..compile.jit import compiled, internal
from ..equations.bounds import LARGEST_WEIGHT_SQR

MARGIN = 2
"""Reflections all round those that are listed: the outermost have no listed neighbour."""
ROOM = 1e-6
"""For rounding to float32: never down."""
SMALLEST = 1e-30
"""Share of the largest F² that counts for no less: what float32 cannot hold is not nothing."""


class Ceilings(NamedTuple):
    """Largest F² of all channels, as shares of the largest of all; of Gaussian and top-hat spots, their logarithms.

    Infinite where a sample may lie so that it must be evaluated.
    """

    values: np.ndarray
    """float32: each reflection's, flat; then, as long, the largest of the 27 about each."""
    sizes: tuple[int, int, int]
    first: tuple[int, int, int]
    """Cells along each axis, and the index of the first; what lies beyond is as the outermost."""
    peak: float
    """The largest of all."""
    far: float
    """What takes the place of a ceiling where a tile is too large to have neighbours."""


@compiled()
def ceilings_of(factors, shape):
    """Of the list of F, wherever it is looked up in and whatever the image can meet."""
    count = factors.table.shape
    sizes = (count[1] + 2 * MARGIN, count[2] + 2 * MARGIN, count[3] + 2 * MARGIN)
    first = (factors.first[0] - MARGIN, factors.first[1] - MARGIN, factors.first[2] - MARGIN)
    peak, far = largest_square(factors), 1.0
    values = np.empty((2, *sizes), np.float32)
    own, near = values[0], values[1]
    fill_own(factors, peak, own)
    if factors.interpolate > 0:
        peak *= LARGEST_WEIGHT_SQR
        spread(own, 2)
        mark_edges(own)
        far = np.inf
    compact = shape in (GAUSS, TOPHAT)
    if compact:
        take_logarithms(own, shape)
    near[:] = own
    spread(near, 1)
    return Ceilings(values.reshape(-1), sizes, first, peak, np.float32(far - 1.0 if compact else far))


@internal()
def largest_square(factors):
    """Of F of all channels, the default included."""
    largest = factors.default * factors.default
    for channel in range(factors.table.shape[0]):
        for h in range(factors.table.shape[1]):
            for k in range(factors.table.shape[2]):
                for value in factors.table[channel, h, k]:
                    largest = max(largest, value * value)
    return max(largest, SMALLEST)


@internal()
def share_of(amplitude, peak):
    """F² as a share of the largest, rounded up."""
    share = amplitude * amplitude / peak
    return np.float32(max(share, SMALLEST) * (1.0 + ROOM)) if share > 0.0 else np.float32(0.0)


@internal()
def fill_own(factors, peak, own):
    """Each reflection's share: the largest of its channels."""
    own[:] = share_of(factors.default, peak)
    inside = own[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN]
    for channel in range(factors.table.shape[0]):
        for h in range(inside.shape[0]):
            for k in range(inside.shape[1]):
                for l in range(inside.shape[2]):
                    share = share_of(factors.table[channel, h, k, l], peak)
                    inside[h, k, l] = share if channel == 0 else max(share, inside[h, k, l])


@internal(_nrt=True)
def spread(cells, radius):
    """Each cell's largest within ``radius`` along every axis, in place."""
    for axis in range(3):
        before, step = cells.copy().reshape(-1), 1
        for longer in range(axis + 1, 3):
            step *= cells.shape[longer]
        length, flat = cells.shape[axis], cells.reshape(-1)
        # Cells are flat: those of one axis stand ``step`` apart, in runs of ``step`` side by side.
        for outer in range(flat.size // (length * step)):
            for at in range(length):
                low, high = max(at - radius, 0), min(at + radius, length - 1)
                row = (outer * length + at) * step
                for other in range(low, high + 1):
                    beside = (outer * length + other) * step
                    for inner in range(step):
                        flat[row + inner] = max(flat[row + inner], before[beside + inner])


@internal()
def mark_edges(own):
    """Where an interpolation about a reflection may leave the list, which is to be counted: always evaluate."""
    edge = MARGIN + 3
    for h in range(own.shape[0]):
        for k in range(own.shape[1]):
            for l in range(own.shape[2]):
                least = min(h, k, l, own.shape[0] - 1 - h, own.shape[1] - 1 - k, own.shape[2] - 1 - l)
                if least < edge:
                    own[h, k, l] = np.inf


@internal()
def take_logarithms(own, shape):
    """What is added to the largest exponent of a Gaussian; of a top hat, whether there is anything at all."""
    flat = own.reshape(-1)
    for at in range(flat.size):
        share = float(flat[at])
        if share == 0.0:
            flat[at] = -np.inf
        elif share < np.inf:
            flat[at] = math.log(share) + 1e-4 if shape == GAUSS else 0.0
