"""Measured curves of anomalous scattering: f' and f'' of an element against the photon energy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError
from .files import MOST_SMALL_BYTES, Path, read_text
from .rows import Row, rows

_COLUMNS = "E f' f''"
_ROW = "a row is E_in_eV f' f''"
LOWEST_EV, HIGHEST_EV = 100.0, 1e6
"""Beyond these, energies were not given in eV, and formulas give numbers that mean nothing."""
_LARGEST = 1e4
"""Electrons: a hundred times what an atom has."""
ROUNDING = 1e-9
"""Relative: an energy comes from a wavelength and may miss the end of a table by its last digits."""


@dataclass(frozen=True, eq=False, repr=False)
class DispersionCurve(HoldsArrays):
    """f' and f'' in electrons (n,) at ascending photon energies in eV (n,); ``name`` is that of the file."""

    name: str
    energy_ev: npt.NDArray[np.float64]
    f_prime: npt.NDArray[np.float64]
    f_double_prime: npt.NDArray[np.float64]

    def at(self, energies_ev: Sequence[float]) -> tuple[complex, ...]:
        """f' + i f'' at some energies, straight between two rows.

        Raises
        ------
        InputFileError
            An energy that the rows do not reach.
        """
        wanted = np.asarray(energies_ev)
        first, last = float(self.energy_ev[0]), float(self.energy_ev[-1])
        outside = wanted[(wanted < first * (1.0 - ROUNDING)) | (wanted > last * (1.0 + ROUNDING))]
        if len(outside):
            raise InputFileError(
                f"{self.name}: {outside[0]:.8g} eV is outside the curve, which goes from {first:.8g} to {last:.8g} eV: "
                "give one that reaches as far as the beam's energies"
            )
        f_prime = np.interp(wanted, self.energy_ev, self.f_prime)
        f_double_prime = np.interp(wanted, self.energy_ev, self.f_double_prime)
        return tuple((f_prime + 1j * f_double_prime).tolist())


def read_dispersion(path: Path) -> DispersionCurve:
    """Rows of E (eV) f' f'', parted by blanks or commas; lines before the first number, and comments, are skipped.

    Raises
    ------
    InputFileError
        No rows, energies that do not ascend or are no eV, or a row that cannot be: names the line.
    """
    text = read_text(path, "the curve of f' and f''", MOST_SMALL_BYTES)
    found = [(row, _point(row)) for row in dropwhile(_is_heading, rows(path, text, separators=",;"))]
    if not found:
        raise InputFileError(f"{os.fspath(path)}: no rows of numbers; {_ROW}")
    points = np.array([point for _, point in found])
    unordered = np.flatnonzero(np.diff(points[:, 0]) <= 0.0)
    if len(unordered):
        row, (energy, *_) = found[unordered[0] + 1]
        raise row.error(f"E = {energy:.8g} eV must be above the one before, {points[unordered[0], 0]:.8g}")
    return DispersionCurve(os.fspath(path), *points.T)


def _is_heading(row: Row) -> bool:
    try:
        float(row.fields[0])
    except ValueError:
        return True
    return False


def _point(row: Row) -> list[float]:
    values = row.floats(_COLUMNS)
    if len(values) < 3:
        raise row.error(f"{len(values)} number{'s' * (len(values) > 1)} where 3 are needed: {_ROW}")
    energy, f_prime, f_double_prime = values
    if not LOWEST_EV <= energy <= HIGHEST_EV:
        raise row.error(f"E = {energy:g} is not in eV, as it must be: 1 Å is 12398 eV")
    if max(abs(f_prime), abs(f_double_prime)) > _LARGEST:
        raise row.error(f"f' and f'' are electrons: give at most {_LARGEST:g}")
    if f_double_prime < 0.0:
        raise row.error(f"f'' = {f_double_prime:g} must not be negative: {_ROW}, in this order")
    return values
