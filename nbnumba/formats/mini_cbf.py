"""The header of a mini-CBF: comment lines of a keyword and its value, as a PILATUS writes them.

``PILATUS_1.2`` is the convention of images that have the size of a PILATUS, whose modules and gaps readers then know;
``GENERIC_MINI``, which dxtbx reads too, that of all others. Distances are in m, the beam centre is in pixels from the
outer corner of the first one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..kernels.equations.vectors import rotated_about
from ..units import ev_from_angstrom, radians_from_degrees, seconds_from_ns
from .dials import SENSORS, in_dxtbx_frame
from .frame import CrystalTruth, Description, Frame

PILATUS, GENERIC = "PILATUS_1.2", "GENERIC_MINI"
_MODULE, _GAP, _PIXEL_MM = (487, 195), (7, 17), 0.172
"""Pixels of a module along fast and slow, between two modules, and their edge."""
_NAMES = {(1, 1): "100K", (1, 2): "200K", (1, 3): "300K", (3, 1): "300K-W", (2, 5): "1M", (3, 8): "2M", (5, 12): "6M"}
"""By the number of modules along fast and slow."""
_NO_DATE = "1970-01-01T00:00:00.000"
"""The same for all, so that the same image is the same file; readers want one."""
_MOST_LATTICES = 8
"""Readers bound the length of a header."""


def modules_of_pilatus(fast_pixels: int, slow_pixels: int) -> tuple[int, int] | None:
    """How many modules of a PILATUS, along fast and slow, make an image of this size; None: none do."""
    counts = []
    for pixels, module, gap in zip((fast_pixels, slow_pixels), _MODULE, _GAP, strict=True):
        count, beyond = divmod(pixels + gap, module + gap)
        if beyond or not count:
            return None
        counts.append(count)
    return counts[0], counts[1]


def header_of(frame: Frame, largest: int) -> tuple[str, list[str]]:
    """The convention and the lines of an image's header.

    Parameters
    ----------
    frame : Frame
        Of one panel.
    largest : int
        The largest count that its pixels can be.

    Returns
    -------
    tuple of str and list of str
        The convention's name; lines with ``# `` before each.
    """
    description = frame.description
    panel = description.panels[0]
    modules = modules_of_pilatus(panel.fast_pixels, panel.slow_pixels)
    is_pilatus = modules is not None and abs(panel.pixel_mm - _PIXEL_MM) < 1e-6 and panel.has_one_edge
    if is_pilatus and modules is not None:
        family = " ".join(description.detector_name.upper().split("-")[:-1])
        family = family if family.startswith("PILATUS") else "PILATUS"
        detector = f"{family} {_NAMES.get(modules, f'{modules[0]} x {modules[1]} modules')}"
    else:
        detector = description.detector_name or "simulated"
    lines = [f"Detector: {detector}, S/N 60-0000", _NO_DATE, *_keywords(frame, largest), *_truth(description)]
    return PILATUS if is_pilatus else GENERIC, [f"# {line}" for line in lines]


def _keywords(frame: Frame, largest: int) -> Iterator[str]:
    d = frame.description
    panel, exposure = d.panels[0], f"{d.exposure_s:.12g} s"
    fast, slow = panel.pixel_mm * np.linalg.norm([panel.fast, panel.slow], axis=1)
    yield f"Pixel_size {fast * 1e3:.12g}e-6 m x {slow * 1e3:.12g}e-6 m"
    if panel.thickness_um > 0.0 and d.sensor_material in SENSORS:
        yield f"{SENSORS[d.sensor_material]} sensor, thickness {panel.thickness_um * 1e-6:.9f} m"
    yield f"Exposure_time {exposure}"
    yield f"Exposure_period {exposure}"
    yield f"Tau = {_corrected_deadtime_s(d):g} s"
    yield f"Count_cutoff {largest if frame.saturation is None else min(largest, int(frame.saturation))} counts"
    yield f"Threshold_setting: {ev_from_angstrom(d.wavelength_angstrom) / 2.0:.0f} eV"
    yield f"N_excluded_pixels = {0 if frame.bad is None else np.count_nonzero(frame.bad[0])}"
    yield "Excluded_pixels: (nil)"
    yield "Flat_field: (nil)"
    yield f"Wavelength {d.wavelength_angstrom:.12g} A"
    yield f"Detector_distance {panel.distance_mm * 1e-3:.15g} m"
    yield f"Beam_xy ({panel.fbeam_mm / panel.pixel_mm:.12g}, {panel.sbeam_mm / panel.pixel_mm:.12g}) pixels"
    if d.flux_per_s > 0.0:
        yield f"Flux {d.flux_per_s:.6g}"
    yield "Filter_transmission 1.0000"
    yield f"Start_angle {d.phi_deg:.12g} deg."
    yield f"Angle_increment {d.oscillation_deg:.12g} deg."
    yield "Detector_2theta 0.0000 deg."
    if d.polarization_fraction is not None:
        yield f"Polarization {d.polarization_fraction:.6g}"
    yield f"Phi {d.phi_deg:.12g} deg."


def _corrected_deadtime_s(description: Description) -> float:
    """By which counts were corrected, as a PILATUS says it; 0: they were not."""
    readout = description.readout
    return seconds_from_ns(readout.deadtime_ns or 0.0) if readout.rate_correction else 0.0


def _truth(description: Description) -> Iterator[str]:
    """What indexing and refinement are to find, under keywords that no reader looks for."""
    still = description.oscillation_deg == 0.0
    yield f"Simulated_by {description.program}"
    yield f"Simulated_seed {description.seed}"
    yield (
        f"Simulated_A_is rows x y z of a* b* c* in 1/Angstrom at {description.phi_deg if still else 0.0:.12g} deg., "
        "x along fast, y against slow, z against the beam"
    )
    for number, crystal in enumerate(description.crystals[:_MOST_LATTICES], 1):
        yield f"Simulated_cell_{number} {' '.join(f'{value:.9g}' for value in crystal.cell)}"
        yield f"Simulated_A_{number} {' '.join(f'{value:.10g}' for value in _of_image(description, crystal).ravel())}"
    more = len(description.crystals) - _MOST_LATTICES
    if more > 0:
        yield f"Simulated_lattices_more {more}"


def _of_image(description: Description, crystal: CrystalTruth) -> npt.NDArray[np.float64]:
    """A in the axes that readers give to the image; that of a still at its spindle angle, since they turn none."""
    stars = crystal.a_matrix
    if description.oscillation_deg == 0.0:
        phi = radians_from_degrees(description.phi_deg)
        stars = np.array([rotated_about(star, description.spindle, phi) for star in stars.T.tolist()]).T
    return np.array([in_dxtbx_frame(description, star) for star in stars.T]).T
