"""Scattering of the amorphous material in the beam."""

from ..compile.equation import equation


@equation
def amorphous_square(background, stol):
    """F and what F² is besides its square, at sin θ/λ (1/m).

    F is linear between the table's rows, constant beyond them or without a table. Of several materials F² adds up: it
    is a parabola between rows, and more or less than the square of a line by one that is 0 at both.
    """
    table, count = background.table, background.table.shape[1]
    if count == 0:
        return background.form_factor, 0.0
    if stol <= table[0, 0]:
        return table[1, 0], 0.0
    if stol >= table[0, count - 1]:
        return table[1, count - 1], 0.0
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if table[0, middle] <= stol:
            low = middle
        else:
            high = middle
    return square_between(table, low, stol)


@equation
def square_between(table, low, stol):
    """The same between a row and the next one."""
    u = (stol - table[0, low]) / (table[0, low + 1] - table[0, low])
    factor = table[1, low] + u * (table[1, low + 1] - table[1, low])
    return factor, table[2, low] * (u - u * u)


@equation
def slope_between(table, low, stol):
    """d/d(sin θ/λ) there of F² and what it is besides."""
    step = table[0, low + 1] - table[0, low]
    u = (stol - table[0, low]) / step
    factor, _ = square_between(table, low, stol)
    return (2.0 * factor * (table[1, low + 1] - table[1, low]) + table[2, low] * (1.0 - 2.0 * u)) / step


@equation
def row_near(table, near, stol):
    """The last row of a table at or below ``stol``, which lies within it, looked for from row ``near`` on."""
    low = near
    while table[0, low + 1] <= stol:
        low += 1
    while table[0, low] > stol:
        low -= 1
    return low


@equation
def background_intensity(background, stol):
    """r_e² · fluence · molecules · F²: photons per steradian from the amorphous material."""
    factor, excess = amorphous_square(background, stol)
    return intensity_of(background.scale, factor, excess)


@equation
def intensity_of(scale, factor, excess):
    """The same of F and what F² is besides its square."""
    return scale * factor * factor + scale * excess
