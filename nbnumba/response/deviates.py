"""Deviates for the pixels of an image, each by seed, frame, purpose and its place: the same however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from ..compiling import compiling
from ..interruption import in_threads
from ..kernels.counting.draws import draw_normals, draw_poisson, draw_uniforms
from ..kernels.counting.philox import SHARED
from ..kernels.counting.philox import Purpose as Purpose

Floats = npt.NDArray[np.float64]
PIXELS_OF_A_THREAD = 1 << 14
"""Fewer are drawn in less time than a thread takes to begin."""


class Window(NamedTuple):
    """Which pixels of the whole an array holds: that at [row, column] is number first + row · columns + column."""

    first: int
    """Number of the array's first pixel in the whole, panel after panel in the order of the file."""
    columns: int
    """Pixels in a row of the whole."""


def poisson(
    mean: npt.NDArray[np.floating], window: Window, seed: int, frame: int = 0, threads: int | None = None
) -> Floats:
    """Photons counted where so many are expected.

    Parameters
    ----------
    mean : float32 or float64 array, shape (rows, columns)
        Expected photons; a negative number counts as 0.
    window : Window
        Which pixels they are.
    seed : int
        Of all frames; its sign does not count, nor what is beyond 64 bits.
    frame : int
        Number of the image among those that share a seed.
    threads : int, optional
        At most so many, by default as many as this machine has cores; they change nothing but the time.

    Returns
    -------
    float64 array, shape (rows, columns)
        Whole numbers; infinite or no number where that is expected.
    """
    mean = np.ascontiguousarray(mean)
    out = np.empty(mean.shape)
    _drawn(draw_poisson, (mean, *numbers_of(window, seed, frame)), out, threads)
    return out


def uniforms(
    shape: tuple[int, int],
    window: Window,
    seed: int,
    frame: int,
    purpose: Purpose,
    threads: int | None = None,
    block: int = 0,
) -> Floats:
    """Deviates in (0, 1), neither end of which is ever met.

    Parameters
    ----------
    shape : tuple of 2 ints
        Rows and columns.
    window, seed, frame, threads
        As of :func:`poisson`.
    purpose : Purpose
        What they are for: those of two purposes have nothing to do with each other.
    block : int
        Which deviate of each pixel, where one purpose takes several. Normal deviates are made of the uniform ones of
        the same block.

    Returns
    -------
    float64 array of this shape
    """
    return _field(draw_uniforms, shape, window, seed, frame, purpose, threads, block)


def normals(
    shape: tuple[int, int],
    window: Window,
    seed: int,
    frame: int,
    purpose: Purpose,
    threads: int | None = None,
    block: int = 0,
) -> Floats:
    """Deviates with mean 0 and variance 1; parameters as :func:`uniforms`."""
    return _field(draw_normals, shape, window, seed, frame, purpose, threads, block)


def _field(
    draw: Any,
    shape: tuple[int, int],
    window: Window,
    seed: int,
    frame: int,
    purpose: Purpose,
    threads: int | None,
    block: int,
) -> Floats:
    out = np.empty(shape)
    purposes = np.uint64(purpose + SHARED), np.uint64(block)
    first, columns, number, key = numbers_of(window, seed, frame)
    _drawn(draw, (first, columns, number, *purposes, key), out, threads)
    return out


def numbers_of(window: Window, seed: int, frame: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """What kernels take: number of the first pixel, pixels in a whole row, number of the image, key."""
    return np.uint64(window.first), np.uint64(window.columns), np.uint64(frame), key_of(seed)


def key_of(seed: int) -> np.uint64:
    """Of the generator, of all that a seed says."""
    return np.uint64(abs(seed) % 2**64)


def _drawn(draw: Any, given: tuple[Any, ...], out: Floats, threads: int | None) -> None:
    """Let threads draw what ``out`` has room for."""
    args = (*given, np.zeros(1, np.int64), out)
    compiling(lambda: draw.compile(tuple(map(numba.typeof, args))))
    most = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    work: Callable[[], None] = lambda: draw(*args)  # noqa: E731
    in_threads(work, max(1, min(most, out.size // PIXELS_OF_A_THREAD)))
