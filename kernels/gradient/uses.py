"""What becomes of a block's columns: derivative images, products with an image, normal equations.

A parameter's derivative is its row of ``Change.columns`` times the columns of a pixel. For the product with an image no
parameter is needed: columns are summed over pixels first. Sums are those of a row of the image, in the order of its
blocks, so that they do not depend on threads.
"""

import math
from typing import NamedTuple

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from .room import BLOCK, FAST, PHOTONS, SHARE, VX, WEIGHT, column_at, row_of

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


@internal()
def use_slopes(change, room, uses, slow, count):
    """Hand on the first ``count`` pixels of a block."""
    rows, slopes = room.rows, room.slopes
    put_row(rows, PHOTONS, rows, uses.image[slow], count)
    if uses.cotangent.shape[0] > 0:
        take_row(rows, uses.cotangent[slow], rows, WEIGHT, count)
        add_products(rows, room.active, uses.products[slow])
    if uses.slopes.shape[0] > 0 or uses.measured.shape[0] > 0:
        put_slopes(change.columns, rows, slopes, room.active)
    for parameter in range(uses.slopes.shape[0]):
        put_row(slopes, row_of(parameter), rows, uses.slopes[parameter, slow], count)
    if uses.measured.shape[0] > 0:
        parameters, number = change.columns.shape[0], uses.basis.shape[0]
        for image in range(number):
            take_row(rows, uses.basis[image, slow], slopes, row_of(parameters + image), count)
        expect(rows, slopes, uses, slow, row_of(parameters), count)
        weigh_residuals(rows, uses, slow, count)
        add_normal(rows, slopes, parameters + number, uses.normal[slow])


@internal()
def put_row(source, start, rows, target, count):
    """A row of a block to a row of an image."""
    for pixel in range(count):
        p = np.uint32(pixel)
        target[int(read(rows, p + FAST))] = read(source, p + start)


@internal()
def take_row(rows, source, target, start, count):
    """A row of an image to one of a block; 0 where that is padded."""
    for pixel in range(count):
        p = np.uint32(pixel)
        write(target, p + start, source[int(read(rows, p + FAST))])
    for pixel in range(count, BLOCK):
        write(target, np.uint32(pixel) + start, 0.0)


@internal(fastmath={"contract"})
def put_slopes(columns, rows, slopes, active):
    """Derivatives of a block's pixels by every parameter."""
    for parameter in range(columns.shape[0]):
        target = row_of(parameter)
        for pixel in range(BLOCK):
            slopes[np.uint32(pixel) + target] = 0.0
        for column in active:
            rate, start = columns[parameter, column], column_at(column)
            if rate != 0.0:
                for pixel in range(BLOCK):
                    p = np.uint32(pixel)
                    add_to(slopes, p + target, rate * read_back(rows, p + start))


@internal()
def add_products(rows, active, products):
    """Σ cotangent · column of a block's pixels."""
    for column in active:
        products[column] += product(rows, WEIGHT, rows, column_at(column))


@internal(fastmath={"contract", "reassoc"})
def product(left, first, right, second):
    """Σ of the products of two rows."""
    total = 0.0
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        total += read(left, p + first) * read(right, p + second)
    return total


@internal()
def add_normal(rows, slopes, size, sums):
    """Gradient and matrix of a block's pixels."""
    at = FIRST
    for i in range(size):
        sums[at] += product(rows, SHARE, slopes, row_of(i))
        at += 1
    for i in range(size):
        weigh_row(rows, slopes, row_of(i))
        for j in range(i + 1):
            sums[at] += product(rows, SHARE, slopes, row_of(j))
            at += 1


@internal()
def weigh_row(rows, slopes, start):
    """A parameter's derivatives times the weights, into ``SHARE``."""
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        write(rows, p + SHARE, read(rows, p + WEIGHT) * read(slopes, p + start))


@internal()
def expect(rows, slopes, uses, slow, basis, count):
    """Photons that are expected in a block's pixels, into ``VX``; images of the basis begin at a row of the slopes."""
    fixed = uses.fixed.shape[0] > 0
    for pixel in range(count):
        p = np.uint32(pixel)
        expected = read(rows, p + PHOTONS) + uses.variance
        if fixed:
            expected += uses.fixed[slow, int(read(rows, p + FAST))]
        for number in range(uses.basis.shape[0]):
            expected += uses.coefficients[number] * read(slopes, p + basis + row_of(number))
        write(rows, p + VX, expected)


@internal()
def weigh_residuals(rows, uses, slow, count):
    """Weights and weighed residuals of a block's pixels, into ``WEIGHT`` and ``SHARE``, and their sums."""
    sums, image = uses.normal[slow], uses.measured[slow]
    for pixel in range(count):
        p = np.uint32(pixel)
        measured = image[int(read(rows, p + FAST))] + uses.variance
        expected = max(read(rows, p + VX), SMALLEST_EXPECTATION)
        weight, residual = 1.0 / expected, measured - expected
        z = abs(residual) * math.sqrt(weight)
        deviance = poisson_deviance(measured, expected)
        if z > uses.most_z:
            weight *= uses.most_z / z
            deviance = uses.most_z * (2.0 * z - uses.most_z)
        write(rows, p + WEIGHT, weight)
        write(rows, p + SHARE, weight * residual)
        sums[DEVIANCE] += deviance
        sums[PIXELS] += 1.0
        sums[MEASURED] += measured - uses.variance
        sums[MODELLED] += expected - uses.variance
        sums[MISFIT] += abs(residual)
    for pixel in range(count, BLOCK):
        p = np.uint32(pixel)
        write(rows, p + WEIGHT, 0.0)
        write(rows, p + SHARE, 0.0)


@internal()
def poisson_deviance(measured, expected):
    """2(µ − y + y ln(y/µ)); of y near µ by the series of (1 + t) ln(1 + t) − t, where the closed form loses digits."""
    t = (measured - expected) / expected
    if abs(t) < 0.02:
        series = 1 / 2 - t * (1 / 6 - t * (1 / 12 - t * (1 / 20 - t * (1 / 30 - t / 42))))
        return 2.0 * expected * t * t * series
    deviance = 2.0 * (expected - measured)
    if measured > 0.0:
        deviance += 2.0 * measured * math.log(measured / expected)
    return deviance
