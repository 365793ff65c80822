"""Rectangles of pixels, by which some formats say what was not measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Rectangle = tuple[int, int, int, int]
"""First fast and slow pixel, and those behind the last."""


def rectangles_of(marked: npt.NDArray[np.bool_]) -> list[Rectangle]:
    """Rectangles that cover the marked pixels (slow, fast) and no others: first whole columns and rows, as gaps are."""
    slow_pixels, fast_pixels = marked.shape
    columns, rows = np.logical_and.reduce(marked, axis=0), np.logical_and.reduce(marked, axis=1)
    found = [(first, 0, last, slow_pixels) for first, last in _runs(columns)]
    found += [(0, first, fast_pixels, last) for first, last in _runs(rows)]
    rest = marked & ~columns & ~rows[:, np.newaxis]
    others = np.flatnonzero((rest[1:] != rest[:-1]).any(axis=1)) + 1
    edges = [0, *others.tolist(), slow_pixels]
    for top, bottom in pairwise(edges):
        found += [(first, top, last, bottom) for first, last in _runs(rest[top])]
    return found


def _runs(marked: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First index of each run, and that behind its last."""
    edges = np.flatnonzero(np.diff(marked.astype(np.int8), prepend=0, append=0)).tolist()
    return zip(edges[::2], edges[1::2], strict=True)
