"""What the inner loop of the fast renderer reads, made once for an image, and where a reflection stands in it."""

from typing import NamedTuple

import numpy as np

from ..choices import FLAT, SQUARE, Shape
from ..compile.equation import inlined
from ..compile.jit import compiled, internal
from ..equations.lattice_factor import ONE_CELL
from ..equations.orientation import oriented_cells
from ..equations.pixel import flat_position
from ..equations.vectors import dot, length, unit

MOST_CELLS = 1 << 22
"""Largest table of structure factors that is spread over all indices that an image can meet: 32 MiB."""


class Tables(NamedTuple):
    """What the inner loop reads: made once for an image."""

    cells: np.ndarray
    """a, b, c of every orientation in m (n, 9)."""
    factors: np.ndarray
    """F² (F where interpolated) in h, k, l order, flat, default_F wherever the list has no reflection."""
    sizes: tuple[float, float, float]
    first: tuple[float, float, float]
    """Cells along each axis, no fewer than a cubic takes, and the index of the first."""
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
    table, first = plan.factors.table[0], plan.factors.first
    h, k, l = farthest_indices(plan)
    covers = not interpolate and (2.0 * h + 1.0) * (2.0 * k + 1.0) * (2.0 * l + 1.0) <= MOST_CELLS
    if covers:
        sizes = (2 * int(h) + 1, 2 * int(k) + 1, 2 * int(l) + 1)
        start = (-int(h), -int(k), -int(l))
    else:
        sizes = (max(4, table.shape[0] + 2), max(4, table.shape[1] + 2), max(4, table.shape[2] + 2))
        start = (first[0] - 1, first[1] - 1, first[2] - 1)
    flat = np.full(sizes[0] * sizes[1] * sizes[2], plan.factors.default)
    for i in range(max(0, start[0] - first[0]), min(table.shape[0], start[0] - first[0] + sizes[0])):
        for j in range(max(0, start[1] - first[1]), min(table.shape[1], start[1] - first[1] + sizes[1])):
            row = ((first[0] + i - start[0]) * sizes[1] + first[1] + j - start[1]) * sizes[2] + first[2] - start[2]
            for m in range(max(0, start[2] - first[2]), min(table.shape[2], start[2] - first[2] + sizes[2])):
                flat[row + m] = table[i, j, m]
    if not interpolate:
        for n in range(flat.size):
            flat[n] *= flat[n]
    return Tables(
        oriented_cells(plan.crystal),
        flat,
        (float(sizes[0]), float(sizes[1]), float(sizes[2])),
        (float(start[0]), float(start[1]), float(start[2])),
        int(covers),
    )


@internal()
def farthest_indices(plan):
    """|h|, |k|, |l| that no sample's nearest reflection exceeds, from the corner that scatters farthest."""
    detector, sources = plan.detector, plan.sources
    lowest = 1.0
    for n in range(sources.wavelength.shape[0]):
        incident = (sources.incident[n, 0], sources.incident[n, 1], sources.incident[n, 2])
        for corner in range(8):
            fast = detector.pixel * detector.fast_pixels * (corner & 1)
            slow = detector.pixel * detector.slow_pixels * (corner >> 1 & 1)
            depth = detector.layer_step * detector.layers * (corner >> 2 & 1)
            lowest = min(lowest, dot(unit(flat_position(detector, fast, slow, depth)), incident))
    # The directions within less than a right angle of a source are a convex cone: corners in it, all pixels in it.
    opening = 2.0 - 2.0 * lowest if lowest > 0.0 and detector.surface == FLAT else 4.0
    reach = np.sqrt(opening) / sources.wavelength.min()
    crystal = plan.crystal
    return (
        np.floor(length(crystal.a) * reach + 1.5),
        np.floor(length(crystal.b) * reach + 1.5),
        np.floor(length(crystal.c) * reach + 1.5),
    )


@inlined
def nearest_place(tables, h0, k0, l0):
    """Where a reflection stands in a flat table that has every index that the image can meet."""
    first, sizes = tables.first, tables.sizes
    start = (first[0] * sizes[1] + first[1]) * sizes[2] + first[2]
    return np.uint32((h0 * sizes[1] + k0) * sizes[2] + l0 - start)


@inlined
def nearest_place_clamped(tables, h0, k0, l0):
    """The same in a smaller table: indices beyond it fall on its margin."""
    i = min(max(h0 - tables.first[0], 0.0), tables.sizes[0] - 1.0)
    j = min(max(k0 - tables.first[1], 0.0), tables.sizes[1] - 1.0)
    m = min(max(l0 - tables.first[2], 0.0), tables.sizes[2] - 1.0)
    return np.uint32((i * tables.sizes[1] + j) * tables.sizes[2] + m)


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
def cubic_corner(tables, h, k, l):
    """Where the first of the 4×4×4 reflections about h, k, l, which lies inside, stands in the flat table."""
    first, sizes = tables.first, tables.sizes
    return ((h - 1.0 - first[0]) * sizes[1] + (k - 1.0 - first[1])) * sizes[2] + (l - 1.0 - first[2])
