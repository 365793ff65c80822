"""The beam as a list of sources: directions of travel, wavelengths and weights."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, SourceRow
from ..formats.sources import why_no_source
from ..formats.spectrum import Spectrum
from ..kernels.equations.vectors import Vector, cross, rotated_about, scaled, unit
from ..units import ANGSTROM_PER_METRE, METRES_PER_ANGSTROM, fraction_from_percent, radians_from_milliradians

Angles = tuple[float, float]
"""Of a direction, horizontally and vertically, in radians."""

MOST_SOURCES = 1_000_000
SOURCE_DISTANCE_M = 10.0
"""How far up the beam a source stands whose position is not given."""


@dataclass(frozen=True, eq=False, repr=False)
class Sources(HoldsArrays):
    """Unit vectors along which each source's photons travel (n, 3), wavelengths in Å (n,), weights of mean 1 (n,)."""

    incident: np.ndarray
    wavelength_angstrom: np.ndarray
    weight: np.ndarray
    horizontal_steps: int
    vertical_steps: int
    wavelength_steps: int
    spectrum: Spectrum | None = None
    """Of which these are the wavelengths, where there is one."""

    @property
    def mean_angstrom(self) -> float:
        """Mean wavelength of the photons."""
        return float((self.wavelength_angstrom * self.weight).sum() / self.weight.sum())

    def central(self, otherwise: float) -> float:
        """Mean wavelength of a spectrum in Å, else another one."""
        return otherwise if self.spectrum is None else self.spectrum.mean_angstrom

    def wavelengths(self) -> tuple[np.ndarray, np.ndarray]:
        """The different ones in Å, ascending, and which of them each source has."""
        return self._wavelengths

    @cached_property
    def _wavelengths(self) -> tuple[np.ndarray, np.ndarray]:
        if len(self.wavelength_angstrom) == 1:
            return self.wavelength_angstrom, np.zeros(1, np.int64)
        different, number = np.unique(self.wavelength_angstrom, return_inverse=True)
        return different, number.ravel().astype(np.int64)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """The different wavelengths in Å, ascending, and the weight of all sources that have each."""
        different, number = self.wavelengths()
        return different, np.bincount(number, self.weight)


@dataclass(frozen=True)
class Sampled:
    """A range sampled by ``count`` points ``step`` apart."""

    count: int
    range: float
    step: float


def sampled(count: int | None, span: float | None, step: float | None) -> Sampled:
    """Fill in what is not given of count, range and step.

    A lone step gives two samples, a lone count a range of 1; count and range put samples on both ends.
    """
    count = None if count is None or count <= 0 else count
    step = None if step is None or step <= 0.0 else step
    if span is None:
        if step is not None:
            span, count = step, 2
        elif count is None:
            span, step, count = 0.0, 0.0, 1
        else:
            span, step = 1.0, 1.0 / count
    elif count is None:
        step, count = (span, 2) if step is None else (step, math.ceil(span / step))
    elif step is None:
        count = max(2, count)
        step = span / (count - 1)
    if span <= 0.0 or step <= 0.0 or count <= 0:
        return Sampled(1, 0.0, 0.0)
    return Sampled(count, span, step)


def beam_sources(
    beam: Beam,
    direction: Vector,
    polarization: Vector,
    wavelength_angstrom: float,
    spectrum: Spectrum | None = None,
) -> Sources:
    """Divergence grid times wavelengths; a direction counts by its Gaussian, a wavelength by its photons.

    Parameters
    ----------
    direction, polarization : tuple of 3 floats
        Unit vectors of the beam and its E-vector.
    wavelength_angstrom : float
        Central wavelength, about which the dispersion lies.
    spectrum : Spectrum, optional
        In place of both.
    """

    def milli(value: float | None) -> float | None:
        return None if value is None else radians_from_milliradians(value)

    horizontal = sampled(
        beam.horizontal_divergence_steps,
        milli(beam.horizontal_divergence_mrad),
        milli(beam.horizontal_divergence_step_mrad),
    )
    vertical = sampled(
        beam.vertical_divergence_steps,
        milli(beam.vertical_divergence_mrad),
        milli(beam.vertical_divergence_step_mrad),
    )
    dispersion = sampled(beam.dispersion_steps, fraction_from_percent(beam.dispersion_percent), None)
    count = dispersion.count if spectrum is None else len(spectrum.weight)
    _warn_of_single_steps(beam)
    _check_number(horizontal, vertical, count, "-dispsteps" if spectrum is None else "-spectrum_bins")
    wavelengths, photons = _dispersed(wavelength_angstrom, dispersion), np.ones(count)
    if spectrum is not None:
        wavelengths, photons = spectrum.wavelength_angstrom, spectrum.weight
    grid = _divergence_grid(horizontal, vertical, beam.round_divergence)
    shares = _shares(grid, milli(beam.horizontal_divergence_sigma_mrad), milli(beam.vertical_divergence_sigma_mrad))
    weight = (shares[:, np.newaxis] * photons).ravel()
    if weight.size > 1 or spectrum is not None:
        weight /= weight.mean()
    return Sources(
        np.repeat(np.array([_turned(angles, direction, polarization) for angles in grid]), count, axis=0),
        np.tile(wavelengths, len(grid)),
        weight,
        horizontal.count,
        vertical.count,
        count,
        spectrum,
    )


def _check_number(horizontal: Sampled, vertical: Sampled, wavelengths: int, option: str) -> None:
    if horizontal.count * vertical.count * wavelengths > MOST_SOURCES:
        raise UsageError(
            f"{horizontal.count} x {vertical.count} directions of {wavelengths} wavelengths are more than "
            f"{MOST_SOURCES} sources: give fewer steps of -hdivsteps, -vdivsteps or {option}"
        )


def _dispersed(central: float, dispersion: Sampled) -> NDArray[np.float64]:
    """Wavelengths in Å across a width about the central one."""
    return np.array([central * (1.0 + dispersion.step * k - dispersion.range / 2.0) for k in range(dispersion.count)])


def _shares(grid: list[Angles], horizontal_rad: float | None, vertical_rad: float | None) -> NDArray[np.float64]:
    """How much each direction counts, by the standard deviations of a Gaussian in both; all alike without."""
    shares = np.ones(len(grid))
    for axis, sigma, name in ((0, horizontal_rad, "h"), (1, vertical_rad, "v")):
        if sigma is None:
            continue
        of_axis = np.exp(-0.5 * (np.array(grid)[:, axis] / sigma) ** 2)
        shares *= of_axis
        if not shares.any():
            text = f"-{name}div_sigma leaves no photons in any direction: give more, or a narrower -{name}divrange"
            raise UsageError(text)
        if np.ptp(of_axis) <= 1e-12 * of_axis.max():
            text = f"-{name}div_sigma changes nothing: no direction is nearer to the middle than another; "
            text += f"give -{name}divrange and three -{name}divsteps or more"
            warnings.warn(text, NbnumbaWarning, stacklevel=5)
    return shares


def _warn_of_single_steps(beam: Beam) -> None:
    """Say that one step across a width makes two samples, at both of its ends."""
    for count, span, steps, width in (
        (beam.horizontal_divergence_steps, beam.horizontal_divergence_mrad, "-hdivsteps", "-hdivrange"),
        (beam.vertical_divergence_steps, beam.vertical_divergence_mrad, "-vdivsteps", "-vdivrange"),
        (beam.dispersion_steps, beam.dispersion_percent, "-dispsteps", "-dispersion"),
    ):
        if count == 1 and span:
            warnings.warn(
                f"{steps} 1 with {width} {span:g} makes 2, at both ends: leave {width} out for one",
                NbnumbaWarning,
                stacklevel=4,
            )


def why_no_sources(rows: Sequence[SourceRow]) -> str | None:
    """Why rows of x, y, z, weight and wavelength in m are no sources; None if they are."""
    if not rows:
        return "is empty: give rows of x, y, z, weight, wavelength_m"
    for number, row in enumerate(rows):
        if len({value is None for value in row[:3]}) > 1:
            return f"row {number}: x, y and z belong together: give all three or none"
        reason = why_no_source([math.nan if value is None else value for value in row])
        if reason is not None:
            return f"row {number}: {reason}"
    if all(row[3] == 0.0 for row in rows):
        return "has weights that sum to 0: at least one must be positive"
    return None


def listed_sources(rows: np.ndarray, direction: Vector, wavelength_angstrom: float, weighted: bool) -> Sources:
    """The sources of a file; what a row leaves out is 10 m up the beam, weight 1 and the central wavelength.

    Parameters
    ----------
    rows : ndarray (n, 5)
        x, y, z, weight, wavelength in m; NaN where not given.
    weighted : bool
        False: every weight is 1, as the reference has it (C-8).
    """
    missing = np.array([*scaled(direction, -SOURCE_DISTANCE_M), 1.0, wavelength_angstrom * METRES_PER_ANGSTROM])
    filled = np.where(np.isnan(rows), missing, rows)
    incident = np.array([scaled(unit((x, y, z)), -1.0) for x, y, z in filled[:, :3]])
    weight = filled[:, 3] / filled[:, 3].mean() if weighted else np.ones(len(filled))
    return Sources(incident, filled[:, 4] * ANGSTROM_PER_METRE, weight, 1, 1, 1)


def _divergence_grid(horizontal: Sampled, vertical: Sampled, rounded: bool) -> list[Angles]:
    angles = []
    for h in range(horizontal.count):
        for v in range(vertical.count):
            hdiv = horizontal.step * h - horizontal.range / 2.0
            vdiv = vertical.step * v - vertical.range / 2.0
            if rounded and 4.0 * (_corner_term(hdiv, horizontal) + _corner_term(vdiv, vertical)) > 1.1:
                continue
            angles.append((hdiv, vdiv))
    if not angles:
        raise UsageError("the rounded divergence grid holds no direction: give -square_div, or more divergence steps")
    return angles


def _turned(angles: Angles, direction: Vector, polarization: Vector) -> Vector:
    """The direction of travel of a source that stands at horizontal and vertical angles off the beam."""
    hdiv, vdiv = angles
    upward = unit(cross(direction, polarization))
    source = rotated_about(rotated_about(scaled(direction, -1.0), polarization, vdiv), upward, hdiv)
    return scaled(unit(source), -1.0)


def _corner_term(angle: float, grid: Sampled) -> float:
    """Squared distance from the middle of the grid in units of its range; not a number where that is next to 0."""
    range_sqr = grid.range * grid.range
    if range_sqr == 0.0:
        return math.nan
    return (angle * angle - grid.step * grid.step / 4.0 * (1 - grid.count % 2)) / range_sqr
