"""Arrays of deviates: threads take rows, a pixel of which is known by its number in the whole image."""

import numpy as np

from ..compile.jit import compiled
from ..compile.memory import take
from .deviates import normal_at, poisson_at, uniform_at


@compiled()
def draw_poisson(mean, first, columns, frame, key, taken, out):
    """Counts of rows until all are taken: the work of one thread of any number.

    Parameters
    ----------
    mean : float32 or float64 (rows, fast)
        Expected photons.
    first, columns, frame, key : uint64
        Number of the first pixel in the whole, pixels in a whole row, number of the image, and seed.
    taken : int64 (1,)
        Counts the rows that some thread has begun.
    out : float64 (rows, fast)
        Receives the counts; infinite or no number where the mean is.
    """
    row = take(taken)
    while row < mean.shape[0]:
        pixel = first + np.uint64(row) * columns
        for fast in range(mean.shape[1]):
            out[row, fast] = poisson_at(np.float64(mean[row, fast]), pixel + np.uint64(fast), frame, key)
        row = take(taken)


@compiled()
def draw_uniforms(first, columns, frame, purpose, block, key, taken, out):
    """Uniform deviates likewise; ``purpose`` and ``block`` are uint64 too."""
    row = take(taken)
    while row < out.shape[0]:
        pixel = first + np.uint64(row) * columns
        for fast in range(out.shape[1]):
            out[row, fast] = uniform_at(pixel + np.uint64(fast), frame, purpose, block, key)
        row = take(taken)


@compiled()
def draw_normals(first, columns, frame, purpose, block, key, taken, out):
    """Normal deviates likewise."""
    row = take(taken)
    while row < out.shape[0]:
        pixel = first + np.uint64(row) * columns
        for fast in range(out.shape[1]):
            out[row, fast] = normal_at(pixel + np.uint64(fast), frame, purpose, block, key)
        row = take(taken)
