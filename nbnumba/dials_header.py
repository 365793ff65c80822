"""What an SMV header cannot say to DIALS, whose dxtbx reads images of ``BEAMLINE=fake``.

dxtbx takes a flat detector across the beam, fast along its x, slow along its −y, the beam along −z, and a crystal that
turns about +x: in vectors of the laboratory, fast × slow = beam and spindle = fast. Position and distance it reads.
"""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import get_args

from .errors import NbnumbaWarning, UsageError
from .formats.files import Path, is_replaceable
from .formats.smv import HeaderStyle
from .kernels.choices import FLAT
from .kernels.equations.vectors import Vector, cross, dot, length
from .prediction import central_beam
from .setup.geometry import Geometry
from .setup.resolve import Resolved

ROUNDING = 1e-6
"""A direction that is off by less moves no spot by a hundredth of a pixel."""
SMALLEST_TILT = 1e-4
"""Of the beam, in radians, and of its wavelength, as a fraction: a tenth of a pixel or so."""
DIALS_POLARIZATION = 0.999
"""The fraction that dxtbx takes, the electric field being along fast; 0.01 of it changes no intensity by 2 percent."""
MASKED = 65535
"""Beyond what dxtbx trusts, whatever the offset above 0."""


def check_header(
    resolved: Resolved,
    style: HeaderStyle,
    adc_offset: float = 40.0,
    paths: Sequence[Path | None] = (),
) -> None:
    """Refuse what a header of this style would say wrongly; warn of what it leaves out.

    Parameters
    ----------
    resolved : Resolved
    style : {"c", "dials"}
    adc_offset : float
        Pixel value of no photons.
    paths : sequence of str or None
        The image files.

    Raises
    ------
    UsageError
        An unknown style; or "dials" for a geometry that DIALS would read as another.

    Warns
    -----
    NbnumbaWarning
        Polarization, sensor, masked pixels or a file's name will not be what DIALS takes them for.
    """
    if style not in get_args(HeaderStyle):
        raise UsageError(f"header {style!r}: give c or dials")
    if style == "c":
        return
    why = _misread(resolved)
    if why is not None:
        raise UsageError(
            f"-header dials: in an SMV image DIALS reads only {why}; change that, or write -header c and give DIALS "
            "the geometry yourself"
        )
    for text in _left_out(resolved, adc_offset, paths):
        # One place for all callers: a warning that several files have in common is then said once.
        warnings.warn(text, NbnumbaWarning, stacklevel=1)


def _misread(resolved: Resolved) -> str | None:
    """What DIALS would take for granted and is not so, with the options that make it so; None where all is."""
    geometry = resolved.geometry
    if resolved.plan.detector.surface != FLAT:
        return "a flat detector (here: -curved_det)"
    if not _same(cross(geometry.fast, geometry.slow), geometry.beam):
        return f"a detector across the beam with fast × slow along it (here: {_placing(resolved)})"
    if resolved.scan.oscillation_deg > 0.0 and not _same(geometry.spindle, geometry.fast):
        return f"a spindle along the fast axis (here: {_placing(resolved)})"
    return None


def _same(u: Vector, v: Vector) -> bool:
    return length((u[0] - v[0], u[1] - v[1], u[2] - v[2])) < ROUNDING


def _placing(resolved: Resolved) -> str:
    """The options that give the axes of the detector, the beam and the spindle."""
    experiment = resolved.experiment
    detector = experiment.detector
    angles = {
        "-detector_rotx": detector.rotx_deg,
        "-detector_roty": detector.roty_deg,
        "-detector_rotz": detector.rotz_deg,
        "-twotheta": detector.twotheta_deg,
    }
    vectors = {
        "-fdet_vector": detector.fast_axis,
        "-sdet_vector": detector.slow_axis,
        "-beam_vector": experiment.beam.direction,
        "-spindle_axis": experiment.goniometer.spindle_axis,
    }
    options = [f"{option} {angle:g}" for option, angle in angles.items() if angle]
    if detector.convention == "custom":
        options += [option for option, vector in vectors.items() if vector is not None]
    elif detector.convention in ("adxv", "dials"):
        options.append(f"-{detector.convention}")
    return ", ".join(options) or f"-{detector.convention}"


def _left_out(resolved: Resolved, adc_offset: float, paths: Sequence[Path | None]) -> Iterator[str]:
    detector = resolved.plan.detector
    direction, wavelength = central_beam(resolved)
    tilt = length(cross(direction, resolved.geometry.beam))
    if tilt > SMALLEST_TILT or abs(wavelength / resolved.wavelength_angstrom - 1.0) > SMALLEST_TILT:
        yield (
            f"-header dials: the header has the beam along its axis at {resolved.wavelength_angstrom:g} Å, while the "
            f"mean of the sources is tilted by {tilt * 1000.0:.3g} mrad and has {wavelength:g} Å"
        )
    if detector.layer_step > 0.0:
        thickness_um = detector.layer_step * detector.layers * 1e6
        yield (
            f"-header dials: an SMV header does not say that the sensor is {thickness_um:g} µm thick: "
            "give dials.import geometry.detector.panel.thickness, material and parallax_correction"
        )
    polarization = _polarization(resolved)
    if polarization is not None:
        yield f"-header dials: an SMV header does not say the polarization: {polarization}"
    whole = (0, detector.fast_pixels - 1, 0, detector.slow_pixels - 1)
    if adc_offset <= 0.0 and (detector.mask.size or detector.roi != whole):
        yield (
            f"-header dials: with -adc {adc_offset:g}, DIALS counts pixels that are masked or outside the region: "
            "give an -adc above 0"
        )
    for path in paths:
        if path is not None and is_replaceable(path) and not re.search(r"[0-9](\.|$)", os.path.basename(path)):
            yield f"{os.fspath(path)}: DIALS reads images with a number at the end of their name, as image_00001.img"


def _polarization(resolved: Resolved) -> str | None:
    """What to tell DIALS, where it takes the polarization for another."""
    geometry, plan = resolved.geometry, resolved.plan
    if not plan.polarization_correction:
        return "DIALS will correct for one that is not there (-nopolar)"
    fraction = (1.0 + plan.kahn) / 2.0
    along_fast = length(cross(geometry.polarization, geometry.fast)) < ROUNDING
    if along_fast and abs(fraction - DIALS_POLARIZATION) < 0.01:
        return None
    told = f"give dials.import geometry.beam.polarization_fraction={fraction:g}"
    if along_fast or plan.kahn == 0.0:
        return told
    normal = in_dxtbx_frame(geometry, cross(geometry.polarization, geometry.beam))
    return f"{told} geometry.beam.polarization_normal={','.join(f'{x + 0.0:.6g}' for x in normal)}"


def in_dxtbx_frame(geometry: Geometry, vector: Vector) -> Vector:
    """A vector of the laboratory in the axes that dxtbx gives to the image."""
    return (dot(vector, geometry.fast), -dot(vector, geometry.slow), -dot(vector, geometry.beam))
