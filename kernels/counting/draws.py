"""Arrays of deviates: threads take rows, a row goes in chunks, and the innermost loops vectorize.

A pixel is known by its number in the whole image, and gets what ``deviates.py`` gives it, bit for bit.
"""

from typing import Any, NamedTuple

import numpy as np

from ..compile.jit import compiled, internal, maker
from ..compile.memory import read, read_back, take, write
from ..compile.rounding import exp_minus, product
from .deviates import (
    COUNTS,
    INVERTED_BELOW,
    NONE,
    ONE,
    SHARED_COUNTS,
    hat,
    is_accepted,
    is_near,
    is_squeezed,
    log_of_ratio,
    poisson_at,
    proposed,
    reachable,
    searched_on,
    two_normals,
    two_uniforms,
)

CHUNK = 64
"""Pixels whose searches go on together."""
VECTOR = 8
"""Numbers in the widest vectors: a chunk is padded to a whole number of them."""
FEW = CHUNK // 16
"""Searches that are left of a chunk when each is ended by itself."""
MANY = CHUNK // 4
"""Strong pixels of a chunk from which on a first try is made for all together."""


class Chunk(NamedTuple):
    """Pixels side by side, each array float64."""

    mean: Any
    uniform: Any
    """From the first even pixel on."""
    term: Any
    total: Any
    count: Any


@maker()
def new_chunk():
    """Room for one."""
    rows = np.empty((5, CHUNK + VECTOR))
    return Chunk(rows[0], rows[1], rows[2], rows[3], rows[4])


# Poisson ----------------------------------------------------------------------------------------------------------


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
    chunk = new_chunk()
    row = take(taken)
    while row < mean.shape[0]:
        count_row(chunk, mean[row], first + np.uint64(row) * columns, frame, key, out[row])
        row = take(taken)


@internal()
def count_row(chunk, mean, pixel, frame, key, out):
    """Counts of a row, chunk by chunk."""
    for start in range(0, mean.size, CHUNK):
        stop = min(start + CHUNK, mean.size)
        count_chunk(chunk, mean[start:stop], pixel + np.uint64(start), frame, key, out[start:stop])


@internal()
def count_chunk(chunk, mean, pixel, frame, key, out):
    """Counts of up to CHUNK pixels."""
    weak, strong = sort_out(chunk, mean)
    if weak > 0:
        invert(chunk, mean.size, pixel, frame, key)
        for i in range(mean.size):
            out[i] = read_back(chunk.count, np.uint32(i))
    else:
        out[:] = 0.0
    if strong == 0:
        return
    if strong >= MANY:
        try_all(chunk, mean, pixel, frame, key)
    for i in range(mean.size):
        if not mean[i] < INVERTED_BELOW:
            if strong >= MANY and chunk.term[i] > 0.0:
                out[i] = chunk.total[i]
            else:
                out[i] = poisson_at(np.float64(mean[i]), pixel + np.uint64(i), frame, key)


@internal(forceinline=True)
def sort_out(chunk, mean):
    """Keep the means that are below ``INVERTED_BELOW``, 0 for all others; how many there are above 0, and not below."""
    weak, strong = 0, 0
    for i in range(mean.size):
        found: Any = np.float64(mean[i])
        is_below = found < INVERTED_BELOW
        is_weak = is_below and found > 0.0
        chunk.mean[i] = found if is_weak else 0.0
        weak += int(is_weak)
        strong += int(not is_below)
    for i in range(mean.size, padded(mean.size)):
        chunk.mean[i] = 0.0
    return weak, strong


@internal(forceinline=True)
def padded(count):
    """Up to whole vectors."""
    return (count + VECTOR - 1) // VECTOR * VECTOR


@internal(forceinline=True)
def invert(chunk, size, pixel, frame, key):
    """Counts of weak pixels, side by side: four terms of each sum at a time, until few searches are left."""
    odd = np.uint32(pixel & ONE)
    fill_uniforms(chunk.uniform, pixel, size, frame, SHARED_COUNTS, NONE, key)
    left = begin(chunk, padded(size), odd)
    count = 0.0
    while left > FEW:
        left = go_on(chunk, padded(size), odd, count)
        count += 4.0
    if left > 0:
        for i in range(size):
            u = reachable(chunk.uniform[odd + i])
            if u > chunk.total[i]:
                chunk.count[i] = searched_on(chunk.mean[i], u, count, chunk.term[i], chunk.total[i])


@internal(forceinline=True)
def fill_uniforms(uniform, pixel, size, frame, purpose, block, key):
    """Deviates in (0, 1) of pixels from the even one on."""
    pair = pixel >> ONE
    for j in range((np.int64(pixel & ONE) + padded(size) + 1) // 2):
        even, odd = two_uniforms(pair + np.uint64(j), frame, purpose, block, key)
        write(uniform, np.uint32(2 * j), even)
        write(uniform, np.uint32(2 * j + 1), odd)


@internal(forceinline=True)
def begin(chunk, size, odd):
    """The sum is P(0): searches that go on."""
    left = 0
    for j in range(size):
        i = np.uint32(j)
        term = exp_minus(read(chunk.mean, i))
        is_left = reachable(read(chunk.uniform, odd + i)) > term
        write(chunk.term, i, term)
        write(chunk.total, i, term)
        write(chunk.count, i, 1.0 if is_left else 0.0)
        left += is_left
    return left


@internal(forceinline=True)
def go_on(chunk, size, odd, count):
    """Four more terms behind that of ``count``: searches that go on."""
    first, second, third, fourth = 1.0 / (count + 1.0), 1.0 / (count + 2.0), 1.0 / (count + 3.0), 1.0 / (count + 4.0)
    left = 0
    for j in range(size):
        i = np.uint32(j)
        mean, u = read(chunk.mean, i), reachable(read(chunk.uniform, odd + i))
        term, total, found = read_back(chunk.term, i), read_back(chunk.total, i), read_back(chunk.count, i)
        term = product(term, product(mean, first))
        total += term
        found += 1.0 if u > total else 0.0
        term = product(term, product(mean, second))
        total += term
        found += 1.0 if u > total else 0.0
        term = product(term, product(mean, third))
        total += term
        found += 1.0 if u > total else 0.0
        term = product(term, product(mean, fourth))
        total += term
        is_left = u > total
        found += 1.0 if is_left else 0.0
        write(chunk.term, i, term)
        write(chunk.total, i, total)
        write(chunk.count, i, found)
        left += is_left
    return left


@internal(forceinline=True)
def try_all(chunk, mean, pixel, frame, key):
    """The first try of strong pixels: ``total`` is its count where ``term`` is 1."""
    for j in range(mean.size):
        i = np.uint32(j)
        found = max(np.float64(mean[j]), INVERTED_BELOW)
        u, v = two_uniforms(pixel + np.uint64(j), frame, COUNTS, NONE, key)
        a, b = hat(found)
        count, distance = proposed(found, a, b, u)
        write(chunk.total, i, count)
        # All are looked at, since a choice would have to be made for each pixel by itself.
        is_taken = is_squeezed(b, distance, v)
        is_taken |= is_near(count, found) & is_accepted(a, b, count, distance, v, log_of_ratio(count, found))
        is_taken &= np.float64(mean[j]) < np.inf
        write(chunk.term, i, 1.0 if is_taken else 0.0)


# Others -----------------------------------------------------------------------------------------------------------


@compiled()
def draw_uniforms(first, columns, frame, purpose, block, key, taken, out):
    """Uniform deviates likewise; ``purpose`` and ``block`` are uint64 too."""
    chunk = new_chunk()
    row = take(taken)
    while row < out.shape[0]:
        pixel = first + np.uint64(row) * columns
        for start in range(0, out.shape[1], CHUNK):
            size = min(CHUNK, out.shape[1] - start)
            place = pixel + np.uint64(start)
            fill_uniforms(chunk.uniform, place, size, frame, purpose, block, key)
            for i in range(size):
                out[row, start + i] = chunk.uniform[np.int64(place & ONE) + i]
        row = take(taken)


@compiled()
def draw_normals(first, columns, frame, purpose, block, key, taken, out):
    """Normal deviates likewise."""
    chunk = new_chunk()
    row = take(taken)
    while row < out.shape[0]:
        pixel = first + np.uint64(row) * columns
        for start in range(0, out.shape[1], CHUNK):
            size = min(CHUNK, out.shape[1] - start)
            place = pixel + np.uint64(start)
            fill_normals(chunk.uniform, place, size, frame, purpose, block, key)
            for i in range(size):
                out[row, start + i] = chunk.uniform[np.int64(place & ONE) + i]
        row = take(taken)


@internal(forceinline=True)
def fill_normals(normal, pixel, size, frame, purpose, block, key):
    """Normal deviates of pixels from the even one on."""
    pair = pixel >> ONE
    for j in range((np.int64(pixel & ONE) + padded(size) + 1) // 2):
        u, v = two_uniforms(pair + np.uint64(j), frame, purpose, block, key)
        even, odd = two_normals(u, v)
        write(normal, np.uint32(2 * j), even)
        write(normal, np.uint32(2 * j + 1), odd)
