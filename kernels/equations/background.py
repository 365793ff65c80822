"""Scattering of the amorphous material in the beam."""

from ..compile.equation import equation


@equation
def amorphous_factor(background, stol):
    """F in electrons at sin θ/λ (1/m): linear between the table's rows, constant beyond them or without a table."""
    count = background.stol.shape[0]
    if count == 0:
        return background.form_factor
    if stol <= background.stol[0]:
        return background.stol_factor[0]
    if stol >= background.stol[count - 1]:
        return background.stol_factor[count - 1]
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if background.stol[middle] <= stol:
            low = middle
        else:
            high = middle
    fraction = (stol - background.stol[low]) / (background.stol[high] - background.stol[low])
    return background.stol_factor[low] + fraction * (background.stol_factor[high] - background.stol_factor[low])


@equation
def background_intensity(background, stol):
    """r_e² · fluence · molecules · F²: photons per steradian from the amorphous material."""
    factor = amorphous_factor(background, stol)
    return background.scale * factor * factor
