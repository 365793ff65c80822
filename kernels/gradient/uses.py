"""What becomes of a block's columns: derivative images, products with an image, normal equations.

A parameter's derivative is its row of ``Change.columns`` times the columns of a pixel. For the product with an image no
parameter is needed: columns are summed over pixels first. Sums are those of a row of the image, in the order of its
blocks, so that they do not depend on threads.
"""

from typing import NamedTuple

import numpy as np

from ..compile.jit import internal
from ..compile.memory import add_to, read, read_back, write
from ..compile.rounding import log
from .rays import fill_row
from .room import BLOCK, FAST, PHOTONS, SHARE, UX, UY, VX, VY, WEIGHT, column_at, row_of

DEVIANCE, PIXELS, MEASURED, MODELLED, MISFIT, FIRST = range(6)
"""Columns of ``Uses.normal``: sums over pixels, then the gradient and the lower triangle of the matrix, row by row."""
SMALLEST_EXPECTATION = 1e-6
"""Photons that are expected at least where they are compared: none at all would make one photon impossible."""
FEWEST = 1e-200
"""Photons of which there is a logarithm where none is measured; it is not counted."""
MEASURED_ROW, EXPECTED_ROW, DEVIANCE_ROW, MISFIT_ROW = UX, VX, UY, VY
"""Rows of the block that are free by then."""


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
def use_slopes(room, uses, slow, count):
    """Hand on the first ``count`` pixels of a block."""
    rows, slopes, first = room.rows, room.slopes, first_of(room.rows, count)
    put_row(rows, PHOTONS, rows, uses.image[slow], first, count)
    if uses.cotangent.shape[0] > 0:
        take_row(uses.cotangent[slow], rows, rows, WEIGHT, first, count)
        add_products(rows, room.fours, uses.products[slow])
    parameters = room.parameters
    if uses.slopes.shape[0] > 0 or uses.measured.shape[0] > 0:
        put_slopes(parameters, room.terms, rows, slopes)
    for parameter in range(uses.slopes.shape[0]):
        put_row(slopes, row_of(parameter), rows, uses.slopes[parameter, slow], first, count)
    if uses.measured.shape[0] > 0:
        number = uses.basis.shape[0]
        for image in range(number):
            take_row(uses.basis[image, slow], rows, slopes, row_of(parameters + image), first, count)
        take_row(uses.measured[slow], rows, rows, MEASURED_ROW, first, count)
        if uses.fixed.shape[0] > 0:
            take_row(uses.fixed[slow], rows, rows, EXPECTED_ROW, first, count)
        else:
            fill_row(rows, EXPECTED_ROW, 0.0)
        expect(rows, slopes, uses.coefficients, parameters)
        weigh_residuals(rows, uses.variance, uses.most_z, uses.normal[slow], count)
        add_normal(rows, slopes, parameters + number, uses.normal[slow])


@internal()
def first_of(rows, count):
    """Fast index of a block's first pixel; -1 where pixels are left out between its first and its last."""
    first, last = int(rows[int(FAST)]), int(rows[int(FAST) + count - 1])
    return first if last - first == count - 1 else -1


@internal()
def put_row(source, start, rows, target, first, count):
    """A row of a block to a row of an image."""
    if first < 0:
        for pixel in range(count):
            p = np.uint32(pixel)
            target[int(read(rows, p + FAST))] = read(source, p + start)
    else:
        begin = np.uint32(first)
        for pixel in range(count):
            p = np.uint32(pixel)
            write(target, p + begin, read(source, p + start))


@internal()
def take_row(source, rows, target, start, first, count):
    """A row of an image to one of a block; 0 where that is padded."""
    if first < 0:
        for pixel in range(count):
            p = np.uint32(pixel)
            write(target, p + start, source[int(read(rows, p + FAST))])
    else:
        begin = np.uint32(first)
        for pixel in range(count):
            p = np.uint32(pixel)
            write(target, p + start, read(source, p + begin))
    for pixel in range(count, BLOCK):
        write(target, np.uint32(pixel) + start, 0.0)


@internal()
def put_slopes(parameters, terms, rows, slopes):
    """Derivatives of a block's pixels by every parameter."""
    for parameter in range(parameters):
        fill_row(slopes, row_of(parameter), 0.0)
    for term in range(terms.parameter.shape[0]):
        add_nine(terms.rates, terms.columns, term, rows, slopes, row_of(terms.parameter[term]))


@internal(fastmath={"contract"})
def add_nine(rates, columns, term, rows, sums, target):
    """Add nine columns, each times a number, to a row."""
    a, b, c, d, e = rates[term, 0], rates[term, 1], rates[term, 2], rates[term, 3], rates[term, 4]
    f, g, h, i = rates[term, 5], rates[term, 6], rates[term, 7], rates[term, 8]
    to_a, to_b, to_c = column_at(columns[term, 0]), column_at(columns[term, 1]), column_at(columns[term, 2])
    to_d, to_e, to_f = column_at(columns[term, 3]), column_at(columns[term, 4]), column_at(columns[term, 5])
    to_g, to_h, to_i = column_at(columns[term, 6]), column_at(columns[term, 7]), column_at(columns[term, 8])
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        first = a * read(rows, p + to_a) + b * read(rows, p + to_b) + c * read(rows, p + to_c)
        second = d * read(rows, p + to_d) + e * read(rows, p + to_e) + f * read(rows, p + to_f)
        third = g * read(rows, p + to_g) + h * read(rows, p + to_h) + i * read(rows, p + to_i)
        add_to(sums, p + target, first + second + third)


@internal(fastmath={"contract", "reassoc"})
def products_of_four(left, first, right, i, j, k, l):
    """Σ of the products of a row with four."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        value = read(left, p + first)
        a += value * read(right, p + i)
        b += value * read(right, p + j)
        c += value * read(right, p + k)
        d += value * read(right, p + l)
    return a, b, c, d


@internal()
def add_products(rows, fours, products):
    """Σ cotangent · column of a block's pixels."""
    for group in range(fours.shape[0]):
        i, j = column_at(fours[group, 0]), column_at(fours[group, 1])
        k, l = column_at(fours[group, 2]), column_at(fours[group, 3])
        sums = products_of_four(rows, WEIGHT, rows, i, j, k, l)
        for number in range(4):
            if fours[group, number] < products.shape[0]:
                products[fours[group, number]] += sums[number]


@internal()
def add_normal(rows, slopes, size, sums):
    """Gradient and matrix of a block's pixels."""
    at = FIRST
    add_products_with_slopes(rows, slopes, size, sums, at)
    at += size
    for i in range(size):
        weigh_row(rows, slopes, row_of(i))
        add_products_with_slopes(rows, slopes, i + 1, sums, at)
        at += i + 1


@internal()
def add_products_with_slopes(rows, slopes, number, sums, at):
    """Σ of the products of ``SHARE`` with the first rows of the slopes, to sums from ``at`` on."""
    for j in range(0, number, 4):
        products = products_of_four(rows, SHARE, slopes, row_of(j), row_of(j + 1), row_of(j + 2), row_of(j + 3))
        for k in range(min(4, number - j)):
            sums[at + j + k] += products[k]


@internal()
def weigh_row(rows, slopes, start):
    """A parameter's derivatives times the weights, into ``SHARE``."""
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        write(rows, p + SHARE, read(rows, p + WEIGHT) * read(slopes, p + start))


@internal(fastmath={"contract"})
def expect(rows, slopes, coefficients, parameters):
    """Photons that are expected in a block's pixels, where those that are fixed stand already."""
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        add_to(rows, p + EXPECTED_ROW, read(rows, p + PHOTONS))
    for number in range(coefficients.shape[0]):
        coefficient, start = coefficients[number], row_of(parameters + number)
        for pixel in range(BLOCK):
            p = np.uint32(pixel)
            add_to(rows, p + EXPECTED_ROW, coefficient * read(slopes, p + start))


@internal(fastmath={"contract"})
def weigh_residuals(rows, variance, most_z, sums, count):
    """Weights and weighed residuals of a block's pixels, into ``WEIGHT`` and ``SHARE``, and their sums."""
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        measured = read(rows, p + MEASURED_ROW) + variance
        expected = max(read(rows, p + EXPECTED_ROW) + variance, SMALLEST_EXPECTATION)
        weight, residual = 1.0 / expected, measured - expected
        write(rows, p + WEIGHT, weight)
        write(rows, p + SHARE, weight * residual)
        write(rows, p + EXPECTED_ROW, expected - variance)
        write(rows, p + DEVIANCE_ROW, poisson_deviance(measured, expected, weight))
        write(rows, p + MISFIT_ROW, abs(residual))
    if most_z < np.inf:
        limit_residuals(rows, most_z)
    for pixel in range(count, BLOCK):
        p = np.uint32(pixel)
        write(rows, p + WEIGHT, 0.0)
        write(rows, p + SHARE, 0.0)
    sums[PIXELS] += count
    sums[DEVIANCE] += total(rows, DEVIANCE_ROW, count)
    sums[MEASURED] += total(rows, MEASURED_ROW, count)
    sums[MODELLED] += total(rows, EXPECTED_ROW, count)
    sums[MISFIT] += total(rows, MISFIT_ROW, count)


@internal(fastmath={"contract"})
def limit_residuals(rows, most_z):
    """Let residuals beyond so many standard deviations count as if they were that large."""
    for pixel in range(BLOCK):
        p = np.uint32(pixel)
        weight = read_back(rows, p + WEIGHT)
        z = read_back(rows, p + MISFIT_ROW) * np.sqrt(weight)
        less = most_z / max(z, most_z)
        deviance = most_z * (2.0 * z - most_z) if z > most_z else read_back(rows, p + DEVIANCE_ROW)
        write(rows, p + WEIGHT, weight * less)
        write(rows, p + SHARE, read_back(rows, p + SHARE) * less)
        write(rows, p + DEVIANCE_ROW, deviance)


@internal(fastmath={"contract", "reassoc"})
def total(rows, start, count):
    """Σ of the first pixels of a row."""
    value = 0.0
    for pixel in range(count):
        value += read(rows, np.uint32(pixel) + start)
    return value


@internal(forceinline=True, fastmath={"contract"})
def poisson_deviance(measured, expected, weight):
    """2(µ − y + y ln(y/µ)); of y near µ by the series of (1 + t) ln(1 + t) − t, where the closed form loses digits.

    ``weight`` is 1/µ.
    """
    t = (measured - expected) * weight
    series = 1 / 2 - t * (1 / 6 - t * (1 / 12 - t * (1 / 20 - t * (1 / 30 - t * (1 / 42)))))
    some = max(measured, FEWEST)
    closed = expected - measured + max(measured, 0.0) * log(some * weight)
    return 2.0 * (expected * t * t * series if abs(t) < 0.02 else closed)
