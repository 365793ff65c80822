"""Equivalent reflections brought together: the mates h and -h apart, everything else averaged."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from .observations import Observations

_ANY_CELL = gemmi.UnitCell(10.0, 10.0, 10.0, 90.0, 90.0, 90.0)


@dataclass(frozen=True, eq=False, repr=False)
class Merged(HoldsArrays):
    """Each reflection of an asymmetric unit once."""

    hkl: npt.NDArray[np.int32]
    """(n, 3)"""
    values: npt.NDArray[np.float64]
    """Of h (n,)."""
    minus: npt.NDArray[np.float64] | None
    """Of -h, NaN where not measured; None where no reflection has both."""
    observed: int
    """Values that went into it."""
    left_out: int
    """Values whose sigma is not above 0."""

    @property
    def unique(self) -> int:
        """Values that came out."""
        return len(self.values) + (0 if self.minus is None else int(np.isfinite(self.minus).sum()))


def merged(rows: Observations, group: gemmi.SpaceGroup) -> Merged:
    """The mean, weighted by 1/σ², of all rows that a space group makes equivalent.

    h and -h are different reflections unless the group or ``rows.mates_apart`` makes them one. Where -h alone was
    measured it is what the list has, in place of h.
    """
    hkl, values = rows.hkl, rows.values
    sigmas = np.ones(len(values)) if rows.sigmas is None else rows.sigmas
    if rows.minus is not None:
        hkl, values, sigmas = np.concatenate([hkl, -hkl]), np.concatenate([values, rows.minus]), np.tile(sigmas, 2)
    counted = np.isfinite(values) & np.isfinite(sigmas) & (sigmas > 0.0)
    data = gemmi.Intensities()
    data.set_data(_ANY_CELL, group, hkl[counted], values[counted], sigmas[counted])
    data.merge_in_place(gemmi.DataType.Anomalous if rows.mates_apart else gemmi.DataType.Mean)
    units, which = np.unique(np.array(data.miller_array), axis=0, return_inverse=True)
    both = np.full((2, len(units)), np.nan)
    both[(np.array(data.isign_array) < 0).astype(int), which.ravel()] = data.value_array
    only_minus = np.isnan(both[0])
    units[only_minus] *= -1
    both[:, only_minus] = both[::-1, only_minus]
    return Merged(
        hkl=units.astype(np.int32),
        values=both[0],
        minus=both[1] if np.isfinite(both[1]).any() else None,
        observed=int(counted.sum()),
        left_out=int((np.isfinite(values) & ~counted).sum()),
    )
