"""What counts where an experiment gives no value: by other fields, files and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..experiment import Detector
from ..setup.again import Setting
from ..setup.geometry import DEFAULT_DISTANCE_MM, Geometry
from ..setup.lab import CONVENTIONS
from ..setup.resolve import Resolved
from ..units import degrees_from_radians

MM, MICRONS = 1e3, 1e6
"""In a metre."""

OF_GEOMETRY: dict[str, Callable[[Geometry], float]] = {
    "pixel_mm": lambda placed: placed.pixel_m * MM,
    "beam_x_mm": lambda placed: placed.xbeam_m * MM,
    "beam_y_mm": lambda placed: placed.ybeam_m * MM,
    "close_x_mm": lambda placed: placed.placed_close_m[0] * MM,
    "close_y_mm": lambda placed: placed.placed_close_m[1] * MM,
    "orgx_px": lambda placed: placed.placed_close_m[0] / placed.pixel_m + 0.5,
    "orgy_px": lambda placed: placed.placed_close_m[1] / placed.pixel_m + 0.5,
    "twotheta_deg": lambda placed: 0.0,
}
"""Fields of a detector whose panels are not listed."""

OF_ALL: dict[str, Callable[[Resolved], Any]] = {
    "beam.wavelength_angstrom": lambda resolved: resolved.wavelength_angstrom,
    "beam.horizontal_divergence_mrad": lambda _: 0.0,
    "beam.vertical_divergence_mrad": lambda _: 0.0,
    "scan.phi_deg": lambda resolved: resolved.scan.start_deg,
    "crystal.misset_deg": lambda resolved: tuple(map(degrees_from_radians, resolved.lattice.misset_rad)),
    "crystal.mosaic_spread_deg": lambda _: 0.0,
    "crystal.spot_scale": lambda resolved: resolved.spot_scale,
    "detector.thickness_um": lambda _: 0.0,
}

ADVICE = {
    "crystal.cell": "a matrix says the axes: free crystal.a_matrix or crystal.orientation",
    "detector.origin_mm": "distance and beam centre place the detector: free these",
}

OF_CUSTOM = {
    "beam.direction": "beam",
    "beam.polarization_axis": "polarization",
    "goniometer.spindle_axis": "spindle",
    "detector.fast_axis": "fast",
    "detector.slow_axis": "slow",
    "detector.twotheta_axis": "twotheta",
}
"""Vectors that count in the convention "custom" alone, as its axes are called."""


def value_not_given(setting: Setting, name: str) -> Any:
    """The value of a field that an experiment leaves open.

    Raises
    ------
    UsageError
        Nothing says it.
    """
    resolved, detector = setting.resolved, setting.experiment.detector
    noun, _, field = name.partition(".")
    if name in (*OF_CUSTOM, "detector.origin_mm") and detector.convention != "custom":
        raise UsageError(
            f"{name} is not given, and -{detector.convention} has its own: give it, with the convention custom"
        )
    if name in OF_CUSTOM:
        return getattr(CONVENTIONS["custom"], OF_CUSTOM[name])
    if name == "detector.attenuation_depth_um" and resolved.plans[0].detector.attenuation > 0.0:
        return MICRONS / resolved.plans[0].detector.attenuation
    if noun == "detector" and (field in OF_GEOMETRY or field in ("distance_mm", "close_distance_mm")):
        if detector.panels is not None:
            raise UsageError(f"{name} is of a single panel, and panels are listed: free detector.panels[0].origin_mm")
        placed = resolved.geometry
        return OF_GEOMETRY[field](placed) if field in OF_GEOMETRY else _distance_mm(field, detector, placed)
    if name in OF_ALL:
        return OF_ALL[name](resolved)
    raise UsageError(f"{name} is not given: {ADVICE.get(name, 'give the value at which it starts')}")


def _distance_mm(field: str, detector: Detector, placed: Geometry) -> float:
    """Along the beam or to the nearest point: by the other of the two, else by default."""
    if field == "distance_mm":
        near = detector.close_distance_mm
        return DEFAULT_DISTANCE_MM if near is None else near / placed.ratio
    if placed.pivot == "sample":
        return placed.placed_close_m[2] * MM
    return (DEFAULT_DISTANCE_MM if detector.distance_mm is None else detector.distance_mm) * placed.ratio
