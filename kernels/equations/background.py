"""Scattering of the amorphous material in the beam."""

from ..compile.equation import equation


@equation
def amorphous_square(background, stol):
    """F and what F² is besides its square, at sin θ/λ (1/m).

    F is linear between the table's rows, constant beyond them or without a table. Of several materials F² adds up: it
    is a parabola between rows, and more or less than the square of a line by one that is 0 at both.
    """
    count = background.stol.shape[0]
    if count == 0:
        return background.form_factor, 0.0
    if stol <= background.stol[0]:
        return background.stol_factor[0], 0.0
    if stol >= background.stol[count - 1]:
        return background.stol_factor[count - 1], 0.0
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if background.stol[middle] <= stol:
            low = middle
        else:
            high = middle
    u = (stol - background.stol[low]) / (background.stol[high] - background.stol[low])
    factor = background.stol_factor[low] + u * (background.stol_factor[high] - background.stol_factor[low])
    return factor, background.stol_excess[low] * (u - u * u)


@equation
def background_intensity(background, stol):
    """r_e² · fluence · molecules · F²: photons per steradian from the amorphous material."""
    factor, excess = amorphous_square(background, stol)
    return background.scale * factor * factor + background.scale * excess
