"""What the inner loop of the fast renderer reads, made once for an image, and where a reflection stands in it."""

from typing import NamedTuple

import numpy as np

from ..choices import SQUARE, Shape
from ..compile.equation import inlined
from ..compile.jit import compiled, internal
from ..equations.lattice_factor import ONE_CELL
from ..equations.orientation import oriented_cells
from ..equations.structure_factor import nearest_factor
from ..equations.vectors import length
from .reach import can_meet, farthest_scattering, shell_of

MOST_CELLS = 1 << 22
"""Largest table of structure factors that is spread over all indices that an image can meet: 32 MiB."""
MOST_NUMBERS = 1 << 28
"""The same over all channels: 2 GiB, of which memory is taken where the image meets something."""
FOUR = 4
"""Neighbours along an axis of which a cubic is made."""


class Tables(NamedTuple):
    """What the inner loop reads: made once for an image."""

    cells: np.ndarray
    """a, b, c of every orientation in m (n, 9)."""
    factors: np.ndarray
    """F², flat, default_F wherever the list has no reflection. To be interpolated F, and in place of each those of four
    k from its own on: all that a cubic takes of one h lies in one piece."""
    sizes: tuple[float, float, float]
    first: tuple[float, float, float]
    """Cells along each axis, no fewer than a cubic takes, and the index of the first."""
    strides: tuple[float, float, float]
    channel_stride: float
    """How far apart in ``factors``, or in its fours, are neighbours along h, k and l, and the same reflection of the
    next channel."""
    covers: int
    """1: every index that the image can meet is in the table; 0: the list's, with a margin of one all round."""


def variant_of(plan, single):
    """Shape, interpolation, float32 sines, each as a tuple of so many elements: what is not chosen is not compiled."""
    shape = Shape(plan.crystal.shape)
    one_cell = shape == SQUARE and max(plan.crystal.cells) == 1
    codes = (ONE_CELL if one_cell else shape, plan.factors.interpolate > 0, single)
    return tuple((0,) * code for code in codes)


@compiled()
def make_tables(plan, interpolate):
    """Orientations and structure factors, over every index that the image can meet where that is not too many."""
    table, first = plan.factors.table, plan.factors.first
    channels = table.shape[0]
    cells, reach = oriented_cells(plan.crystal), farthest_scattering(plan)
    if cells.shape[0] == 0:
        return Tables(cells, np.zeros(1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0, 0)
    farthest = farthest_indices(plan.crystal, reach)
    number = (2.0 * farthest[0] + 1.0) * (2.0 * farthest[1] + 1.0) * (2.0 * farthest[2] + 1.0)
    covers = not interpolate and number <= MOST_CELLS and number * channels <= MOST_NUMBERS
    if covers:
        sizes = (2 * int(farthest[0]) + 1, 2 * int(farthest[1]) + 1, 2 * int(farthest[2]) + 1)
        start = (-int(farthest[0]), -int(farthest[1]), -int(farthest[2]))
    else:
        sizes = (max(4, table.shape[1] + 2), max(4, table.shape[2] + 2), max(4, table.shape[3] + 2))
        start = (first[0] - 1, first[1] - 1, first[2] - 1)
    strides, channel_stride = strides_of(sizes, channels, interpolate)
    flat = np.empty(sizes[0] * sizes[1] * sizes[2] * channels * (FOUR if interpolate else 1))
    shell = shell_of(plan, cells, reach)
    for h in range(start[0], start[0] + sizes[0]):
        for k in range(start[1], start[1] + sizes[1]):
            low, stop = start[2], start[2] + sizes[2]
            if covers and channels > 1:
                low, stop = met_along_l(shell, h, k, low, stop)
            at = (h - start[0]) * strides[0] + (k - start[1]) * strides[1] + (low - start[2]) * strides[2]
            if interpolate:
                fill_fours(plan.factors, h, k, low, stop, flat, at, channel_stride)
            elif channels == 1:
                fill_row(plan.factors, h, k, low, stop, flat, at)
            else:
                fill_cells(plan.factors, h, k, low, stop, flat, at)
    return Tables(
        cells,
        flat,
        (float(sizes[0]), float(sizes[1]), float(sizes[2])),
        (float(start[0]), float(start[1]), float(start[2])),
        (float(strides[0]), float(strides[1]), float(strides[2])),
        float(channel_stride),
        int(covers),
    )


@compiled()
def with_cells_of(plan, tables):
    """Whether tables of one channel hold all that another plan with the same F meets; and with that one's cells."""
    farthest, first = farthest_indices(plan.crystal, farthest_scattering(plan)), tables.first
    fits = not tables.covers or (farthest[0] <= -first[0] and farthest[1] <= -first[1] and farthest[2] <= -first[2])
    again = Tables(
        oriented_cells(plan.crystal),
        tables.factors,
        tables.sizes,
        tables.first,
        tables.strides,
        tables.channel_stride,
        tables.covers,
    )
    return fits, again


@internal()
def strides_of(sizes, channels, interpolate):
    """How far apart neighbours along h, k and l stand, and channels.

    Innermost are channels: source after source, the pixels of a block ask for the same reflections. An interpolation
    reads neighbours along k and l as vectors.
    """
    if interpolate:
        return (sizes[1] * sizes[2], sizes[2], 1), sizes[0] * sizes[1] * sizes[2]
    return (sizes[1] * sizes[2] * channels, sizes[2] * channels, channels), 1


@internal()
def met_along_l(shell, h, k, low, stop):
    """The first l of those from ``low`` up to ``stop`` that a sample can meet, and the one after the last."""
    first, end = stop, stop
    for l in range(low, stop):
        if can_meet(shell, h, k, l):
            first, end = min(first, l), l + 1
    return first, end


@internal()
def fill_fours(factors, h, k, low, stop, flat, at, channel_stride):
    """F to be interpolated of h k ``low`` up to ``stop``, each with those of the next k beside it."""
    for channel in range(factors.table.shape[0]):
        fours = flat[FOUR * (at + channel * channel_stride) :]
        for l in range(low, stop):
            for further in range(FOUR):
                fours[FOUR * (l - low) + further] = nearest_factor(factors, channel, h, k + further, l)


@internal()
def fill_row(factors, h, k, low, stop, flat, at):
    """F² of h k ``low`` up to ``stop`` of the only channel."""
    row = flat[at:]
    for l in range(low, stop):
        amplitude = nearest_factor(factors, 0, h, k, l)
        row[l - low] = amplitude * amplitude


@internal()
def fill_cells(factors, h, k, low, stop, flat, at):
    """F² of h k ``low`` up to ``stop``, where the channels of a reflection stand side by side."""
    channels = factors.table.shape[0]
    for l in range(low, stop):
        cell = flat[at + (l - low) * channels :]
        for channel in range(channels):
            amplitude = nearest_factor(factors, channel, h, k, l)
            cell[channel] = amplitude * amplitude


@internal()
def farthest_indices(crystal, reach):
    """|h|, |k|, |l| that no sample's nearest reflection exceeds."""
    return (
        np.floor(length(crystal.a) * reach + 1.5),
        np.floor(length(crystal.b) * reach + 1.5),
        np.floor(length(crystal.c) * reach + 1.5),
    )


@inlined
def origin_of(tables, channel):
    """Where the reflection 0 0 0 of a channel stands in the flat table, or would stand."""
    first, strides = tables.first, tables.strides
    return channel * tables.channel_stride - (first[0] * strides[0] + first[1] * strides[1] + first[2] * strides[2])


@inlined
def nearest_place(tables, origin, h0, k0, l0):
    """Where a reflection stands in a flat table that has every index that the image can meet."""
    strides = tables.strides
    return np.uint32(h0 * strides[0] + (k0 * strides[1] + (l0 * strides[2] + origin)))


@inlined
def nearest_place_clamped(tables, origin, h0, k0, l0):
    """The same in a smaller table: indices beyond it fall on its margin."""
    first, sizes = tables.first, tables.sizes
    h = min(max(h0, first[0]), first[0] + sizes[0] - 1.0)
    k = min(max(k0, first[1]), first[1] + sizes[1] - 1.0)
    l = min(max(l0, first[2]), first[2] + sizes[2] - 1.0)
    return nearest_place(tables, origin, h, k, l)


@inlined
def inside_table(tables, h, k, l):
    """Whether a cubic at h, k, l finds its four reflections along each axis; the table has a margin of one."""
    first, sizes = tables.first, tables.sizes
    return (
        (h >= first[0] + 3.0) & (h <= first[0] + sizes[0] - 4.0)
        & (k >= first[1] + 3.0) & (k <= first[1] + sizes[1] - 4.0)
        & (l >= first[2] + 3.0) & (l <= first[2] + sizes[2] - 4.0)
    )  # fmt: skip


@inlined
def cubic_corner(tables, origin, h, k, l):
    """Where the first of the 4×4×4 reflections about h, k, l, which lies inside, stands in the flat table."""
    strides = tables.strides
    return (h - 1.0) * strides[0] + ((k - 1.0) * strides[1] + ((l - 1.0) * strides[2] + origin))
