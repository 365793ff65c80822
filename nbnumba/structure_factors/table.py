"""Tables of F that a kernel can index, and where they are from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..arrays import HoldsArrays
from .box import box_of

if TYPE_CHECKING:
    from ..experiment import Cell


class Shell(NamedTuple):
    """Reflections of P 1, both mates, between two spacings."""

    dmax_angstrom: float
    dmin_angstrom: float
    possible: int
    """Without those that the space group forbids."""
    measured: int


@dataclass(frozen=True)
class Provenance:
    """Where F are from, and what was made of them."""

    file: str
    labels: tuple[str, ...]
    """Of its columns that were taken."""
    space_group: str
    """By which they were expanded to P 1."""
    cell: Cell
    """By which spacings went."""
    dmin_angstrom: float
    """The smallest of any reflection."""
    shells: tuple[Shell, ...]
    notes: tuple[str, ...]
    """What had to be done."""

    @property
    def measured(self) -> int:
        """Reflections of P 1 with an F from the file."""
        return sum(shell.measured for shell in self.shells)

    @property
    def possible(self) -> int:
        """Reflections of P 1 that a complete file gives an F."""
        return sum(shell.possible for shell in self.shells)


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
    outside: float = 0.0
    """F of every reflection beyond the table."""
    provenance: Provenance | None = None
    """Of reflections that symmetry was applied to."""

    @cached_property
    def is_dark(self) -> bool:
        """Whether every F is 0; looked up once, as a table serves many images."""
        return self.outside == 0.0 and not self.values.any()

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.values.nbytes

    @property
    def bounds(self) -> tuple[int, int, int, int, int, int]:
        """Smallest and largest h, k, l in the table."""
        (h, k, l), (_, nh, nk, nl) = self.first, self.values.shape
        return (h, h + nh - 1, k, k + nk - 1, l, l + nl - 1)


_NONE = np.zeros((1, 0, 0, 0))


def constant_factors(f: float) -> FactorTable:
    """The same F for every reflection."""
    return FactorTable(_NONE, (0, 0, 0), f)


def dense_table(hkl: np.ndarray, amplitudes: np.ndarray, default_f: float) -> FactorTable:
    """Spread a list of reflections over the box that its indices span.

    Parameters
    ----------
    hkl : ndarray of int (n, 3)
    amplitudes : ndarray of float (n,) or (channels, n)
        A later value for the same index wins.
    default_f : float
        F of what is not listed.

    Raises
    ------
    ResourceError
        A box of more than ``MOST_CELLS`` cells.
    """
    box = box_of(hkl)
    channels = amplitudes.reshape(-1, len(hkl))
    table = np.full((len(channels), box.cells), float(default_f))
    table[:, box.places(hkl)] = channels
    return FactorTable(table.reshape(-1, *box.shape), box.first, float(default_f))


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
