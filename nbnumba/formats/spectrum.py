"""Spectra of X-rays: how many photons at which energy or wavelength, as beamlines and other programs write them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError, UsageError
from ..units import EV_ANGSTROM, angstrom_from_ev
from .arrays import read_arrays
from .files import MOST_SMALL_BYTES, Path, read_text
from .recognition import text_format
from .rows import Row, rows

Array = npt.NDArray[np.float64]
Unit = Literal["Å", "eV"]

XRAYS_EV = (100.0, 1e6)
"""Energies of X-rays: with those beyond, something else was meant."""
LONGEST_ANGSTROM = 100.0
"""A first column of less than this holds wavelengths in Å, any other energies in eV."""
_AXES: dict[str, Unit] = {"energy_ev": "eV", "wavelength_angstrom": "Å"}
_LARGEST = 1e50
"""Beyond it sums and squares leave float64."""
_SPECTRUM = "the spectrum"
_ROW = "a row is an energy in eV or a wavelength in Å, and the photons there"
_NO_XRAY = (
    f"is no X-ray: those have {XRAYS_EV[0]:g} to {XRAYS_EV[1]:g} eV; where most values are below "
    f"{LONGEST_ANGSTROM:g} they are taken as Å"
)
_ONE_WAY = "a spectrum that is not ascending, nor descending; each energy or wavelength must occur once, in order"
_ARRAYS = "give energy_ev or wavelength_angstrom (m,), and weight (m,) or, of n spectra, (n, m); or both (n, m)"


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(HoldsArrays):
    """Photons by energy."""

    energy_ev: Array
    """Ascending (n,)."""
    weight: Array
    """Photons at each, in any unit (n,): none is below 0, and not all are 0."""
    origin: str
    """Where it is from, in words for reports."""

    @property
    def wavelength_angstrom(self) -> Array:
        """That of each energy (n,)."""
        return EV_ANGSTROM / self.energy_ev

    @cached_property
    def mean_ev(self) -> float:
        """Mean energy of the photons."""
        return float(np.average(self.energy_ev, weights=self.weight))

    @property
    def mean_angstrom(self) -> float:
        """The wavelength of that energy."""
        return angstrom_from_ev(self.mean_ev)

    @property
    def sd_ev(self) -> float:
        """Standard deviation of their energies."""
        return float(np.sqrt(np.average((self.energy_ev - self.mean_ev) ** 2, weights=self.weight)))


@dataclass(frozen=True, eq=False, repr=False)
class Spectra(HoldsArrays):
    """What a file of spectra holds: some on one axis or each on its own, or a single one."""

    name: str
    first: npt.NDArray[Any]
    """Energies or wavelengths: of all spectra (m,), or of each (n, m)."""
    weight: npt.NDArray[Any]
    """Photons of each spectrum (n, m)."""
    unit: Unit
    origin: str
    """What is said of the file's axis."""
    line: Callable[[int, str], InputFileError] | None = None
    """The error of a row of the text that it was read from."""

    def numbered(self, number: int) -> Spectrum:
        """One of them, from 0, without what has no photons.

        Raises
        ------
        InputFileError
            It is none: names line or row.
        UsageError
            There is no spectrum of this number.
        """
        count = len(self.weight)
        if not 0 <= number < count:
            held = "1 spectrum, number 0" if count == 1 else f"{count} spectra, numbers 0 to {count - 1}"
            raise UsageError(f"-spectrum_number {number}: {self.name} holds {held}")
        first, weight = (self.first if self.first.ndim == 1 else self.first[number]), self.weight[number].astype(float)
        first = first.astype(float, copy=False)
        wrong = why_no_spectrum(first, weight, self.unit)
        if wrong is not None:
            row, reason = wrong
            if row is not None and self.line is not None:
                raise self.line(row, reason)
            of_several = f"spectrum {number}, " if count > 1 else ""
            raise InputFileError(f"{self.name}: {of_several}{'' if row is None else f'row {row}: '}{reason}")
        which = f", number {number} of {count}" if count > 1 else ""
        return spectrum_of_columns(first, weight, self.unit, f"{self.name}{which}, {self.origin}")


def read_spectra(path: Path) -> Spectra:
    """The spectra of a file; each is checked when it is asked for.

    A text has two columns, parted by commas, semicolons or blanks; lines above the first number are its header. The
    first column holds wavelengths in Å or energies in eV, told by magnitude (a median of less than 100 is Å), ascending
    or descending, the second photons. ``.npy`` is an array (m, 2) of the same; ``.npz`` has arrays ``energy_ev`` or
    ``wavelength_angstrom`` (m,) and ``weight``, (m,) or, of n spectra, (n, m); or both (n, m), each spectrum on an axis
    of its own.

    Raises
    ------
    InputFileError
        No spectra: names the line.
    """
    name = os.fspath(path)
    if name.lower().endswith((".npy", ".npz")):
        first, weight, unit = _columns(name, read_arrays(path, _SPECTRUM))
        return Spectra(name, first, weight, unit, f"in {unit}")
    text = read_text(path, _SPECTRUM, MOST_SMALL_BYTES)
    other = text_format(text)
    if other is not None:
        raise InputFileError(f"{name}: is {other[0]}, not {_SPECTRUM}: {other[1]}")
    found = _below_header(list(rows(path, text, separators=",;")))
    if not found:
        raise InputFileError(f"{name}: no spectrum; {_ROW}")
    table = np.array([_numbers(row) for row in found])
    unit = unit_of(table[:, 0])
    return Spectra(
        name, table[:, 0], table[np.newaxis, :, 1], unit, f"its first column in {unit}",
        lambda row, reason: found[row].error(reason),
    )  # fmt: skip


def unit_of(first_column: Array) -> Unit:
    """Å or eV, by magnitude."""
    return "Å" if np.median(first_column) < LONGEST_ANGSTROM else "eV"


def spectrum_of_columns(first: Array, weight: Array, unit: Unit, origin: str) -> Spectrum:
    """The spectrum of two columns that :func:`why_no_spectrum` finds right."""
    energy = EV_ANGSTROM / first if unit == "Å" else first
    some = np.flatnonzero(weight > 0.0)
    some = some if energy[0] < energy[-1] else some[::-1]
    return Spectrum(energy[some], weight[some], origin)


def why_no_spectrum(first: Array, weight: Array, unit: Unit) -> tuple[int | None, str] | None:
    """Which row of two columns makes them no spectrum, None being all together, and why; None if they are one."""
    low, high = XRAYS_EV
    with np.errstate(all="ignore"):
        energy = EV_ANGSTROM / first if unit == "Å" else first
        backwards = np.diff(first) * np.sign(first[-1] - first[0]) <= 0.0
    checks: tuple[tuple[npt.NDArray[np.bool_], Callable[[int], str]], ...] = (
        (~np.isfinite(first), lambda i: f"{first[i]:g} is no finite number"),
        (~np.isfinite(weight), lambda i: f"weight = {weight[i]:g} must be a finite number"),
        (weight < 0.0, lambda i: f"weight = {weight[i]:g} must not be negative"),
        (weight > _LARGEST, lambda i: f"weight = {weight[i]:g} is too large; give at most {_LARGEST:g}"),
        (~((energy >= low) & (energy <= high)), lambda i: f"{first[i]:g} {unit} {_NO_XRAY}"),
        (np.append(False, backwards), lambda i: f"{first[i]:.9g} {unit} after {first[i - 1]:.9g}: {_ONE_WAY}"),
    )
    for is_wrong, reason in checks:
        if is_wrong.any():
            at = int(np.argmax(is_wrong))
            return at, reason(at)
    return None if weight.any() else (None, "the weights sum to 0; at least one must be positive")


def _below_header(found: list[Row]) -> list[Row]:
    """The rows from the first on that begins with a number."""
    return next((found[at:] for at, row in enumerate(found) if _is_number(row.fields[0])), [])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(row: Row) -> list[float]:
    if ";" in row.text and "," in row.text.partition("#")[0]:
        raise row.error("semicolons part columns and commas too; write decimal points")
    given = row.floats("energy_or_wavelength weight")
    if len(given) < 2:
        raise row.error(f"one number where 2 are needed: {_ROW}")
    if len(row.fields) == 5 and not row.as_float("energy_or_wavelength", row.fields[0]) > 0.0:
        raise row.error(f"5 numbers, the first not above 0: are these sources? give them as -sourcefile; {_ROW}")
    return given


def _columns(name: str, arrays: dict[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Unit]:
    """Energies or wavelengths (m,) or (n, m), photons of each spectrum (n, m), and the unit of the former."""
    told = ", ".join(f"{array or 'an array'} {value.shape} of {value.dtype}" for array, value in arrays.items())
    if any(value.dtype.kind not in "iuf" for value in arrays.values()):
        raise InputFileError(f"{name}: holds {told or 'nothing'}, which are not all numbers; {_ARRAYS}")
    if "" in arrays:
        table = arrays[""]
        if table.ndim != 2 or table.shape[1] != 2 or not len(table):
            raise InputFileError(f"{name}: holds {told}; {_ROW}, so an array (m, 2)")
        first = table[:, 0].astype(float)
        return first, table[None, :, 1], unit_of(first)
    axes = [axis for axis in _AXES if axis in arrays]
    if len(axes) != 1 or "weight" not in arrays:
        raise InputFileError(f"{name}: holds {told or 'nothing'}; {_ARRAYS}")
    first, weight = arrays[axes[0]], arrays["weight"]
    is_of_all = first.ndim == 1 and weight.ndim in (1, 2) and weight.shape[-1] == len(first)
    is_of_each = first.ndim == 2 and weight.shape == first.shape
    if not (is_of_all or is_of_each) or not weight.size:
        raise InputFileError(f"{name}: holds {told}, which do not belong together; {_ARRAYS}")
    return first, np.atleast_2d(weight), _AXES[axes[0]]
