"""What headers of SMV and mini-CBF cannot say to DIALS, whose dxtbx reads the former of ``BEAMLINE=fake``.

dxtbx takes a flat detector across the beam, fast along its x, slow along its −y, the beam along −z, and a crystal that
turns about +x: in vectors of the laboratory, fast × slow = beam and spindle = fast. Position and distance it reads.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..errors import NbnumbaWarning, UsageError
from .files import Path, is_replaceable
from .frame import Description, Vector

ROUNDING = 1e-6
"""A direction that is off by less moves no spot by a hundredth of a pixel."""
SMALLEST_TILT = 1e-4
"""Of the beam, in radians, and of its wavelength, as a fraction: a tenth of a pixel or so."""
DIALS_POLARIZATION = 0.999
"""The fraction that dxtbx takes, the electric field being along fast; 0.01 of it changes no intensity by 2 percent."""
MASKED = 65535
"""Beyond what dxtbx trusts, whatever the offset above 0."""
SENSORS = {"Si": "Silicon", "CdTe": "CdTe"}
"""What a mini-CBF can say of a sensor, by its material."""
NXMX_SENSORS = ("Si", "CdTe", "GaAs")
"""Those that DIALS takes from NXmx; others end it."""


def check_for_dials(description: Description, adc_offset: float = 40.0, path: Path | None = None) -> None:
    """Refuse what DIALS would read wrongly in an SMV header; warn of what that leaves out.

    Parameters
    ----------
    description : Description
    adc_offset : float
        Pixel value of no photons.
    path : path, optional
        The image file.

    Raises
    ------
    UsageError
        A geometry that DIALS would read as another.

    Warns
    -----
    NbnumbaWarning
        Polarization, sensor, masked pixels or the file's name will not be what DIALS takes them for.
    """
    why = _misread(description)
    if why is not None:
        raise UsageError(
            f"-header dials: in an SMV image DIALS reads only {why}; change that, or write -header c and give DIALS "
            "the geometry yourself"
        )
    _warn([*_left_out_of_smv(description, adc_offset), *_unnumbered(path)])


def check_mini_cbf(path: Path, description: Description, adc_offset: float) -> None:
    """Refuse what readers would take wrongly from a mini-CBF; warn of what that leaves out.

    Parameters
    ----------
    path : path
        The image file.
    description : Description
    adc_offset : float
        Pixel value of no photons.

    Raises
    ------
    UsageError
        A geometry that DIALS would read as another.

    Warns
    -----
    NbnumbaWarning
        Offset, polarization, sensor or the file's name will not be what readers take them for.
    """
    why, panel = _misread(description), description.panels[0]
    if why is None and abs(np.dot(panel.fast, panel.slow)) > ROUNDING:
        why = "rectangular pixels"
    if why is not None:
        raise UsageError(
            f"{os.fspath(path)}: in a mini-CBF DIALS reads only {why}; change that, or write .nxs, or .expt "
            "beside an .img"
        )
    _warn([*_left_out_of_cbf(description, adc_offset), *_unnumbered(path)])


def check_nxmx(description: Description) -> None:
    """Warn of what DIALS does not read from NXmx.

    Warns
    -----
    NbnumbaWarning
        Polarization, sensor, the beam's direction or panels will not be what DIALS takes them for.
    """
    _warn(list(_left_out_of_nxmx(description)))


def _warn(texts: list[str]) -> None:
    for text in texts:
        # One place for all callers: a warning that several files have in common is then said once.
        warnings.warn(text, NbnumbaWarning, stacklevel=1)


def _misread(description: Description) -> str | None:
    """What DIALS would take for granted and is not so, with the options that make it so; None where all is."""
    panel = description.panels[0]
    if panel.curved:
        return "a flat detector (here: -curved_det)"
    if not _same(np.cross(panel.fast, panel.slow), description.beam):
        return f"a detector across the beam with fast × slow along it (here: {description.placed_by})"
    if description.oscillation_deg > 0.0 and not _same(description.spindle, panel.fast):
        return f"a spindle along the fast axis (here: {description.placed_by})"
    return None


def _same(u: np.ndarray | Vector, v: np.ndarray | Vector) -> bool:
    return bool(np.linalg.norm(np.subtract(u, v)) < ROUNDING)


def _left_out_of_smv(description: Description, adc_offset: float) -> Iterator[str]:
    panel = description.panels[0]
    yield from _other_beam(description, "-header dials")
    if panel.thickness_um > 0.0:
        yield (
            f"-header dials: an SMV header does not say that the sensor is {panel.thickness_um:g} µm thick: "
            "give dials.import geometry.detector.panel.thickness, material and parallax_correction"
        )
    polarization = _polarization(description, _axes_of_image(description))
    if polarization is not None:
        yield f"-header dials: an SMV header does not say the polarization: {polarization}"
    if adc_offset <= 0.0 and not panel.is_whole:
        yield (
            f"-header dials: with -adc {adc_offset:g}, DIALS counts pixels that are masked or outside the region: "
            "give an -adc above 0"
        )


def _left_out_of_cbf(description: Description, adc_offset: float) -> Iterator[str]:
    panel = description.panels[0]
    yield from _other_beam(description, "mini-CBF")
    if panel.thickness_um > 0.0 and description.sensor_material not in SENSORS:
        yield (
            f"mini-CBF: does not say that the sensor is {panel.thickness_um:g} µm thick, since it is not known to be "
            f"of {' or '.join(SENSORS)}: name a detector, or give dials.import geometry.detector.panel.thickness, "
            "material and parallax_correction"
        )
    polarization = _polarization(description, _axes_of_image(description))
    if polarization is not None:
        yield f"mini-CBF: DIALS does not read the polarization from it: {polarization}"
    if adc_offset != 0.0:
        yield f"mini-CBF: readers take the offset of {adc_offset:g} counts for photons: give -adc 0"


def _left_out_of_nxmx(description: Description) -> Iterator[str]:
    panel, material = description.panels[0], description.sensor_material
    tilt = float(np.linalg.norm(np.cross(description.mean_direction, description.beam)))
    if tilt > SMALLEST_TILT:
        yield f"NXmx: has the beam along its axis, while the mean of the sources is tilted by {tilt * 1000.0:.3g} mrad"
    if panel.thickness_um > 0.0 and material not in NXMX_SENSORS:
        yield (
            f"NXmx: DIALS knows sensors of {', '.join(NXMX_SENSORS)}: for one of {material or 'an unknown material'}, "
            f"{panel.thickness_um:g} µm thick, it corrects for no parallax"
        )
    polarization = _polarization(description, description.to_dxtbx)
    if polarization is not None:
        yield f"NXmx: DIALS does not read the polarization from it: {polarization}"
    if any(abs(np.dot(one.fast, one.slow)) > ROUNDING for one in description.panels):
        yield "NXmx: DIALS reads rectangular pixels alone, and those of a panel are oblique"


def _other_beam(description: Description, where: str) -> Iterator[str]:
    tilt = float(np.linalg.norm(np.cross(description.mean_direction, description.beam)))
    wavelength, mean = description.wavelength_angstrom, description.mean_wavelength_angstrom
    if tilt > SMALLEST_TILT or abs(mean / wavelength - 1.0) > SMALLEST_TILT:
        yield (
            f"{where}: the header has the beam along its axis at {wavelength:g} Å, while the "
            f"mean of the sources is tilted by {tilt * 1000.0:.3g} mrad and has {mean:g} Å"
        )


def _unnumbered(path: Path | None) -> Iterator[str]:
    if path is not None and is_replaceable(path) and not re.search(r"[0-9](\.|$)", os.path.basename(path)):
        suffix = os.path.splitext(path)[1]
        yield f"{os.fspath(path)}: DIALS reads images with a number at the end of their name, as image_00001{suffix}"


def _polarization(description: Description, to_dxtbx: npt.NDArray[np.float64]) -> str | None:
    """What to tell DIALS, where it takes the polarization for another than ours in its frame."""
    fraction, axis = description.polarization_fraction, description.polarization
    if fraction is None:
        return "DIALS will correct for one that is not there (-nopolar)"
    along_x = np.linalg.norm(np.cross(axis, to_dxtbx[0])) < ROUNDING
    if along_x and abs(fraction - DIALS_POLARIZATION) < 0.01:
        return None
    told = f"give dials.import geometry.beam.polarization_fraction={fraction:g}"
    if along_x or fraction == 0.5:
        return told
    normal = to_dxtbx @ np.cross(axis, description.beam)
    return f"{told} geometry.beam.polarization_normal={','.join(f'{x + 0.0:.6g}' for x in normal)}"


def in_dxtbx_frame(description: Description, vector: np.ndarray | Vector) -> Vector:
    """A vector of the laboratory in the axes that dxtbx gives to the image."""
    x, y, z = (_axes_of_image(description) @ vector).tolist()
    return x, y, z


def _axes_of_image(description: Description) -> npt.NDArray[np.float64]:
    """The frame of dxtbx where a header says nothing of it: x along fast, y against slow, z against the beam."""
    panel = description.panels[0]
    return np.array([panel.fast, np.negative(panel.slow), np.negative(description.beam)])
