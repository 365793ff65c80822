"""Lists of reflections as dense tables that a kernel can index."""

from dataclasses import dataclass

import numpy as np

from ..arrays import HoldsArrays
from ..errors import ResourceError

MOST_CELLS = 1 << 28
"""Largest table, 2 GiB of float64."""


@dataclass(frozen=True, eq=False, repr=False)
class FactorTable(HoldsArrays):
    """F in electrons, ``values[channel, h - first[0], k - first[1], l - first[2]]``.

    A channel is a wavelength at which F is another; without anomalous scattering there is one for all.

    With a single anomalous element, |F|² of every wavelength also follows from four tables, |F0|², |A|², Re F0A* and
    Im F0A*, and from three numbers of the source. That form is not there: it serves no second element, reads four
    numbers a step instead of one, and saves what there is plenty of. 100 channels of lysozyme to 1.8 Å are 260 MB.
    """

    values: np.ndarray
    """float64 (channels, nh, nk, nl), C-contiguous."""
    first: tuple[int, int, int]

    @property
    def bounds(self) -> tuple[int, int, int, int, int, int]:
        """Smallest and largest h, k, l in the table."""
        (h, k, l), (_, nh, nk, nl) = self.first, self.values.shape
        return (h, h + nh - 1, k, k + nk - 1, l, l + nl - 1)


EMPTY_TABLE = FactorTable(np.zeros((1, 0, 0, 0)), (0, 0, 0))


def dense_table(hkl: np.ndarray, amplitudes: np.ndarray, default_f: float) -> FactorTable:
    """Spread a list of reflections over the box that its indices span, in one channel.

    Parameters
    ----------
    hkl : ndarray of int (n, 3)
    amplitudes : ndarray of float (n,)
        A later value for the same index wins.
    default_f : float
        F of the cells in the box that are not listed.

    Raises
    ------
    ResourceError
        A box of more than ``MOST_CELLS`` cells.
    """
    low, high = hkl.min(axis=0), hkl.max(axis=0)
    shape = tuple(int(n) for n in high - low + 1)
    cells = shape[0] * shape[1] * shape[2]
    if cells > MOST_CELLS:
        raise ResourceError(
            f"the indices h {low[0]}..{high[0]}, k {low[1]}..{high[1]}, l {low[2]}..{high[2]} need a table of "
            f"{cells:.3g} values ({cells * 8 / 2**30:.3g} GiB), more than the limit of {MOST_CELLS * 8 >> 30} GiB: "
            "drop the outlying reflections"
        )
    values = np.full(shape, float(default_f))
    values[tuple((hkl - low).T)] = amplitudes
    return FactorTable(values[np.newaxis], (int(low[0]), int(low[1]), int(low[2])))


def completeness(hkl: np.ndarray, shape: tuple[int, ...]) -> tuple[float, int]:
    """How much of all of P 1 a list holds.

    Parameters
    ----------
    hkl : ndarray of int (n, 3)
    shape : tuple of 3 ints
        That of the table that they span.

    Returns
    -------
    mates : float
        Share of the reflections whose mate -h -k -l is listed too.
    octants : int
        How many of the eight signs of h, k, l occur, of those without a 0.
    """
    columns = np.ascontiguousarray(hkl.T)
    low = columns.min(axis=1)
    listed = np.zeros(shape, bool)
    listed.ravel()[np.ravel_multi_index(tuple(columns - low[:, np.newaxis]), shape)] = True
    h, k, l = columns
    general = (h != 0) & (k != 0) & (l != 0)
    signs = ((h > 0) * np.uint8(4) + (k > 0) * np.uint8(2) + (l > 0))[general]
    mates = -columns - low[:, np.newaxis]
    inside = np.logical_and.reduce([(mate >= 0) & (mate < size) for mate, size in zip(mates, shape, strict=True)])
    found = listed.ravel()[np.ravel_multi_index(tuple(mates[:, inside]), shape)]
    return float(found.sum() / len(hkl)), int((np.bincount(signs, minlength=8) > 0).sum())
