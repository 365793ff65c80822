"""F² that nothing in a tile exceeds: of each reflection by itself, and of it with its neighbours."""

from typing import NamedTuple

import numpy as np

from ..choices import GAUSS, TOPHAT
from ..compile.jit import internal, maker
from ..equations.bounds import LARGEST_WEIGHT_SQR

NO_NAN = {"nnan", "nsz"}
"""What loops over maxima need to be vectors."""
MARGIN = 2
"""Reflections all round those that are listed: the outermost have no listed neighbour."""
LISTED = slice(MARGIN, -MARGIN)
ROOM = 1.0 + 1e-6
"""For rounding to float32: never down."""
SMALLEST = 1e-30
"""Share of the largest F² that counts for no less: what float32 cannot hold is not nothing."""
LN_2, BEND = np.float32(0.6931472), np.float32(0.307)
"""ln(1 + f) ≤ f ln 2 + 0.307 f(1 − f) for 0 ≤ f ≤ 1, by less than 0.02."""


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


@maker()
def ceilings_of(factors, shape, farthest):
    """Of the list of F as far as samples can meet it: ``farthest`` has the largest |h|, |k|, |l| nearest to any."""
    near_h, near_k, near_l = met(factors, 0, farthest[0]), met(factors, 1, farthest[1]), met(factors, 2, farthest[2])
    table = factors.table[:, near_h[0] : near_h[1], near_k[0] : near_k[1], near_l[0] : near_l[1]]
    sizes = (table.shape[1] + 2 * MARGIN, table.shape[2] + 2 * MARGIN, table.shape[3] + 2 * MARGIN)
    first = (
        factors.first[0] + near_h[0] - MARGIN, factors.first[1] + near_k[0] - MARGIN,
        factors.first[2] + near_l[0] - MARGIN,
    )  # fmt: skip
    count, plane, row = sizes[0] * sizes[1] * sizes[2], sizes[1] * sizes[2], sizes[2]
    peak, far = largest_square(table, factors.default), np.float32(1.0)
    values = np.empty(2 * count, np.float32)
    own, near = values[:count], values[count:]
    fill_own(table, factors.default, peak, own.reshape(sizes))
    if factors.interpolate > 0:
        peak *= LARGEST_WEIGHT_SQR
        for _ in range(2):
            spread(own, plane, row, own)
        mark_edges(own.reshape(sizes))
        far = np.float32(np.inf)
    if shape in (GAUSS, TOPHAT):
        take_logarithms(own, shape == GAUSS)
        far -= np.float32(1.0)
    spread(own, plane, row, near)
    return Ceilings(values, sizes, first, peak, float(far))


@internal()
def met(factors, axis, farthest):
    """Places along an axis of the list, from one up to another, that a sample or a neighbour of its tile's can meet.

    Where F is interpolated, all: what lies beyond the list counts then.
    """
    first, count = factors.first[axis], factors.table.shape[axis + 1]
    low, stop = max(-int(farthest) - MARGIN - first, 0), min(int(farthest) + MARGIN + 1 - first, count)
    return (0, count) if factors.interpolate > 0 or low >= stop else (low, stop)


@internal(fastmath=NO_NAN)
def largest_square(table, default):
    """Of F of all channels, the default included."""
    largest = abs(default)
    for channel in range(table.shape[0]):
        for h in range(table.shape[1]):
            for k in range(table.shape[2]):
                for l in range(table.shape[3]):
                    largest = max(largest, abs(table[channel, h, k, l]))
    return max(largest * largest, SMALLEST)


@internal(fastmath=NO_NAN)
def fill_own(table, default, peak, own):
    """Each reflection's share: the largest of its channels."""
    per = ROOM / peak
    own[:] = np.float32(max(default * default * per, SMALLEST) if default != 0.0 else 0.0)
    listed = own[LISTED, LISTED, LISTED]
    listed[:] = np.float32(0.0)
    for channel in range(table.shape[0]):
        for h in range(listed.shape[0]):
            for k in range(listed.shape[1]):
                row, amplitudes = listed[h, k], table[channel, h, k]
                for l in range(row.shape[0]):
                    square = amplitudes[l] * amplitudes[l]
                    share = max(square * per, SMALLEST) if square > 0.0 else 0.0
                    row[l] = max(row[l], np.float32(share))


@maker()
def spread(cells, plane, row, into):
    """Each cell's largest of 27, from the flat ``cells`` into ``into``.

    Beyond the end of a row begins the next one, whose margin is as a neighbour there would be.
    """
    along_l, along_k = np.empty_like(cells), np.empty_like(cells)
    largest_of_three(cells, 1, along_l)
    largest_of_three(along_l, row, along_k)
    largest_of_three(along_k, plane, into)


@internal(fastmath=NO_NAN)
def largest_of_three(cells, step, into):
    """Each cell's largest of itself and those ``step`` before and after it."""
    count = cells.shape[0]
    for at in range(step):
        into[at] = max(cells[at], cells[at + step])
        into[count - 1 - at] = max(cells[count - 1 - at], cells[count - 1 - at - step])
    before, here, after, middle = cells[: count - 2 * step], cells[step:], cells[2 * step :], into[step:]
    for at in range(count - 2 * step):
        middle[at] = max(here[at], max(before[at], after[at]))


@internal()
def mark_edges(own):
    """Where an interpolation about a reflection may leave the list, which is to be counted: always evaluate."""
    for h in range(own.shape[0]):
        for k in range(own.shape[1]):
            for l in range(own.shape[2]):
                least = min(h, k, l, own.shape[0] - 1 - h, own.shape[1] - 1 - k, own.shape[2] - 1 - l)
                if least < MARGIN + 3:
                    own[h, k, l] = np.inf


@internal()
def take_logarithms(own, is_exponent):
    """What is added to the largest exponent of a Gaussian; of a top hat, whether there is anything at all."""
    bits = own.view(np.int32)
    for at in range(own.shape[0]):
        share = own[at]
        exponent = np.float32((bits[at] >> 23) - 127)
        part = np.float32(bits[at] & 0x7FFFFF) * np.float32(2.0**-23)
        logarithm = (exponent + part) * LN_2 + BEND * part * (np.float32(1.0) - part) + np.float32(1e-4)
        logarithm = logarithm if is_exponent else np.float32(0.0)
        logarithm = logarithm if share > np.float32(0.0) else np.float32(-np.inf)
        own[at] = logarithm if share < np.float32(np.inf) else share
