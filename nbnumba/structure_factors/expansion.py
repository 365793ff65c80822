"""From the reflections of a file to all of P 1: symmetry, Friedel mates, absences, what is missing."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..errors import InputFileError
from ..experiment import Cell
from ..formats.reflections import Reflections
from .box import Box, box_of, spacings
from .table import Shell

SHELLS = 10
"""Of equal volume, in which completeness is counted."""
ALIKE = 1e-3
"""Relative difference of two values for one reflection that rounding explains."""
FAINT = 1e-3
"""Of the mean F: what rounding leaves of a reflection that is absent."""
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Expanded(HoldsArrays):
    """F of all of P 1 in the box that the reflections span, and what had to be done for it."""

    box: Box
    amplitudes: NDArray[np.float64]
    """Electrons, (nh, nk, nl); NaN where nothing is known, 0 where the space group forbids a reflection."""
    possible: NDArray[np.bool_]
    """Within the resolution of the file, (0, 0, 0) and what the space group forbids left out."""
    dmin_angstrom: float
    shells: tuple[Shell, ...]
    forbidden: int
    """Reflections that the file lists with F above 0 all the same."""
    one_mate: int
    """Of P 1, with the F of the other mate although the file tells mates apart."""
    unlike: int
    """Of P 1, whose F in the file differ: the mean counts."""

    def notes(self, default_f: float) -> tuple[str, ...]:
        """What had to be done, in words."""
        missing = sum(shell.possible - shell.measured for shell in self.shells)
        said = {
            f"{missing} reflections within that resolution are missing: F = {default_f:g}": missing,
            f"{self.one_mate} reflections have the F of their other mate, their own being unknown": self.one_mate,
            f"{self.unlike} reflections are listed with several F that differ: their mean counts": self.unlike,
            f"{self.forbidden} reflections that the space group forbids are listed with F above 0: F = 0": (
                self.forbidden
            ),
        }
        return tuple(text for text, count in said.items() if count)


def group_of(given: Reflections) -> gemmi.SpaceGroup:
    """The space group of reflections.

    Raises
    ------
    InputFileError
        They have none, or one that is not known.
    """
    # Of hexagonal and rhombohedral axes, angles tell which are meant.
    angles = () if given.cell is None else (given.cell[3], given.cell[5])
    symbol = given.space_group or ""
    group = gemmi.find_spacegroup_by_name(symbol, *angles)
    if group is not None:
        return group
    what = f"the space group {symbol!r} is not known" if symbol else "no space group"
    raise InputFileError(
        f"{given.name}: {what}: give its Hermann-Mauguin symbol, as in -space_group 'P 21 21 21', or P1 for none"
    )


def expand(
    hkl: NDArray[np.integer], f: NDArray[np.float64], f_minus: NDArray[np.float64] | None, group: gemmi.SpaceGroup,
    cell: Cell,
) -> Expanded:  # fmt: skip
    """F of every reflection of P 1 that follows from some: h·R has the F of h, and so has −h·R where it has none.

    Parameters
    ----------
    hkl : int array, shape (n, 3)
        Of the asymmetric unit or of more.
    f : float64 array, shape (n,)
        Of h k l; NaN where not measured.
    f_minus : float64 array, shape (n,), optional
        Of −h −k −l; NaN where not measured. One mate's F stands for both where the other has none.
    group : gemmi.SpaceGroup
    cell : tuple of 6 floats
        a, b, c in Å, α, β, γ in degrees.

    Returns
    -------
    Expanded

    Raises
    ------
    ResourceError
        Indices that span more than a table can hold.
    """
    turns = [np.array(operation.rot) // operation.DEN for operation in group.operations().sym_ops]
    box = box_of(np.concatenate([hkl @ turn for turn in turns] + [-hkl @ turn for turn in turns]))
    own = _Mean(box)
    for turn in turns:
        own.add(hkl @ turn, f)
        if f_minus is not None:
            own.add(-hkl @ turn, f_minus)
    amplitudes = own.values()
    inferred = np.isnan(amplitudes)
    # −h k l stands where h k l does in the box turned round: it is symmetric.
    np.copyto(amplitudes, amplitudes[::-1, ::-1, ::-1].copy(), where=inferred)
    inferred &= ~np.isnan(amplitudes)

    spacing = spacings(box, cell)
    known = ~np.isnan(amplitudes)
    dmin = float(spacing[known].min(initial=np.inf))
    within = (spacing >= dmin * (1.0 - ROUNDING)) & (spacing < np.inf)
    forbidden = _forbidden(group, box, within)
    possible = within & ~forbidden
    bright = int(np.count_nonzero(amplitudes[forbidden & known] > FAINT * np.nanmean(amplitudes)))
    amplitudes[forbidden] = 0.0
    return Expanded(
        box, amplitudes, possible, dmin, _shells(spacing, possible, known, dmin), bright,
        int(np.count_nonzero(inferred & possible)) if f_minus is not None else 0, own.unlike,
    )  # fmt: skip


class _Mean:
    """The mean of all values for each index of a box."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._sums, self._counts = np.zeros(box.cells), np.zeros(box.cells, np.int32)
        self._low, self._high = np.full(box.cells, np.inf), np.full(box.cells, -np.inf)

    def add(self, hkl: NDArray[np.integer], f: NDArray[np.float64]) -> None:
        given = np.isfinite(f)
        places, f = self._box.places(hkl[given]), f[given]
        self._sums += np.bincount(places, f, self._box.cells)
        self._counts += np.bincount(places, minlength=self._box.cells).astype(np.int32)
        np.minimum.at(self._low, places, f)
        np.maximum.at(self._high, places, f)

    def values(self) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            mean = self._sums / self._counts
        # The mean of equal values may be off by a rounding.
        np.copyto(mean, self._low, where=self._low == self._high)
        return mean.reshape(self._box.shape)

    @property
    def unlike(self) -> int:
        """How many indices have values that differ by more than rounding."""
        several = self._counts > 1
        faint = FAINT * self._sums.sum() / max(1, self._counts.sum())
        return int(np.count_nonzero(self._high[several] - self._low[several] > ALIKE * self._high[several] + faint))


def _forbidden(group: gemmi.SpaceGroup, box: Box, within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which indices of the box, of those that are asked about, are systematically absent."""
    absent = np.zeros(box.shape, bool)
    absent[within] = group.operations().systematic_absences(box.indices_where(within))
    return absent


def _shells(
    spacing: NDArray[np.float64], possible: NDArray[np.bool_], known: NDArray[np.bool_], dmin: float
) -> tuple[Shell, ...]:
    """Completeness over shells of equal volume, from low resolution to high."""
    if not possible.any():
        return ()
    share = np.minimum(1.0, (dmin / spacing[possible]) ** 3)
    edges = np.linspace(0.0, 1.0, SHELLS + 1)
    there, measured = (np.histogram(shares, edges)[0].tolist() for shares in (share, share[known[possible]]))
    limits = [float(spacing[possible].max()), *(dmin / np.cbrt(edges[1:])).tolist()]
    return tuple(map(Shell, limits[:-1], limits[1:], there, measured))
