"""What becomes of a block's columns: derivative images, products with an image, normal equations.

A parameter's derivative is its row of ``Change.columns`` times the columns of a pixel. For the product with an image no
parameter is needed: columns are summed over pixels first. Sums are those of a row of the image, in the order of its
blocks, so that they do not depend on threads.
"""

import math
from typing import NamedTuple

import numpy as np

from ..compile.equation import inlined
from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from .factors import row_of

DEVIANCE, PIXELS, MEASURED, MODELLED, MISFIT, FIRST = range(6)
"""Columns of ``Uses.normal``: sums over pixels, then the gradient and the lower triangle of the matrix, row by row."""
SMALLEST_EXPECTATION = 1e-6
"""Photons that are expected at least where they are compared: none at all would make one photon impossible."""


class Uses(NamedTuple):
    """Where what is wanted goes, and what it is made with; empty where it is not wanted. Images are (slow, fast)."""

    image: np.ndarray
    """float64: photons."""
    slopes: np.ndarray
    """(parameters, slow, fast): derivative images; else (0, 0, 0)."""
    cotangent: np.ndarray
    """Derivatives of a number by the photons of each pixel; else (0, 0)."""
    products: np.ndarray
    """(slow, variables): Σ cotangent · column of each row of the image."""
    measured: np.ndarray
    """Photons that were measured; else (0, 0)."""
    fixed: np.ndarray
    """Photons that are added to those of the model; (0, 0): none."""
    basis: np.ndarray
    """(n, slow, fast): images that are added, each times its coefficient."""
    coefficients: np.ndarray
    variance: float
    """Of the read-out, in photons²."""
    most_z: float
    """Larger residuals count as if they were that large, in standard deviations; inf: all as they are."""
    normal: np.ndarray
    """(slow, …): sums of each row of the image, in the columns above."""


@internal(forceinline=True, fastmath={"contract"})
def put_slopes(change, room, count):
    """Derivatives of a block's pixels by every parameter."""
    for parameter in range(change.columns.shape[0]):
        target = row_of(parameter)
        for pixel in range(count):
            room.slopes[np.uint32(pixel) + target] = 0.0
        for column in room.active:
            rate, start = change.columns[parameter, column], row_of(column)
            if rate != 0.0:
                for pixel in range(count):
                    p = np.uint32(pixel)
                    add_to(room.slopes, p + target, rate * read_back(room.columns, p + start))


@internal(forceinline=True)
def use_slopes(change, room, uses, slow, count, whole):
    """Hand on a block of ``count`` pixels, padded to ``whole``."""
    block = room.block
    for pixel in range(count):
        uses.image[slow, int(block.fast[pixel])] = block.photons[pixel]
    if uses.cotangent.shape[0] > 0:
        add_products(room, uses, slow, count, whole)
    if uses.slopes.shape[0] > 0 or uses.measured.shape[0] > 0:
        put_slopes(change, room, whole)
    for parameter in range(uses.slopes.shape[0]):
        start, image = row_of(parameter), uses.slopes[parameter]
        for pixel in range(count):
            image[slow, int(block.fast[pixel])] = room.slopes[np.uint32(pixel) + start]
    if uses.measured.shape[0] > 0:
        add_normal(change.columns.shape[0], room, uses, slow, count, whole)


@internal(forceinline=True)
def add_products(room, uses, slow, count, whole):
    """Σ cotangent · column of a block's pixels."""
    gather(room.weight, uses.cotangent, room.block.fast, slow, count, whole)
    for column in room.active:
        uses.products[slow, column] += product(room.weight, np.uint32(0), room.columns, row_of(column), whole)


@inlined
def gather(row, image, fast, slow, count, whole):
    """Pixels of an image, as a block has them; 0 where that is padded."""
    for pixel in range(count):
        row[pixel] = image[slow, int(fast[pixel])]
    for pixel in range(count, whole):
        row[pixel] = 0.0


@internal(fastmath={"contract", "reassoc"})
def product(left, first, right, second, count):
    """Σ of the products of two rows."""
    total = 0.0
    for pixel in range(count):
        p = np.uint32(pixel)
        total += read(left, p + first) * read(right, p + second)
    return total


@internal(forceinline=True)
def add_normal(parameters, room, uses, slow, count, whole):
    """Sums of a block's pixels for the normal equations."""
    expect(parameters, room, uses, slow, count)
    weigh_residuals(room, uses, slow, count, whole)
    size, at = parameters + uses.basis.shape[0], FIRST
    row = uses.normal[slow]
    for i in range(size):
        start = row_of(i)
        row[at] += product(room.share, np.uint32(0), room.slopes, start, whole)
        at += 1
    for i in range(size):
        start = row_of(i)
        for pixel in range(whole):
            p = np.uint32(pixel)
            write(room.share, p, read(room.weight, p) * read(room.slopes, p + start))
        for j in range(i + 1):
            row[at] += product(room.share, np.uint32(0), room.slopes, row_of(j), whole)
            at += 1


@internal(forceinline=True)
def expect(parameters, room, uses, slow, count):
    """Photons that are expected in a block's pixels, into ``vx``; the images of the basis beside the slopes."""
    fast = room.block.fast
    for pixel in range(count):
        column = int(fast[pixel])
        expected = room.block.photons[pixel] + uses.variance
        if uses.fixed.shape[0] > 0:
            expected += uses.fixed[slow, column]
        for number in range(uses.basis.shape[0]):
            value = uses.basis[number, slow, column]
            room.slopes[np.uint32(pixel) + row_of(parameters + number)] = value
            expected += uses.coefficients[number] * value
        room.vx[pixel] = expected


@internal(forceinline=True)
def weigh_residuals(room, uses, slow, count, whole):
    """Weights and weighed residuals of a block's pixels, into ``weight`` and ``share``, and their sums."""
    row, fast = uses.normal[slow], room.block.fast
    for pixel in range(count):
        measured = uses.measured[slow, int(fast[pixel])] + uses.variance
        expected = max(room.vx[pixel], SMALLEST_EXPECTATION)
        weight, residual = 1.0 / expected, measured - expected
        z = abs(residual) * math.sqrt(weight)
        deviance = 2.0 * (expected - measured)
        if measured > 0.0:
            deviance += 2.0 * measured * math.log(measured / expected)
        if z > uses.most_z:
            weight *= uses.most_z / z
            deviance = uses.most_z * (2.0 * z - uses.most_z)
        room.weight[pixel], room.share[pixel] = weight, weight * residual
        row[DEVIANCE] += deviance
        row[PIXELS] += 1.0
        row[MEASURED] += measured - uses.variance
        row[MODELLED] += expected - uses.variance
        row[MISFIT] += abs(residual)
    for pixel in range(count, whole):
        room.weight[pixel] = room.share[pixel] = 0.0
