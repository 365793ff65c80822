"""What an NXmx file says of an experiment: beam, modules, mask, sensor and the first frame's place in the scan.

Vectors are given in the frame of DIALS (imgCIF), whose z points against the beam.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Panel
from ..kernels.equations.vectors import rotated_about
from .dials import NXMX_SENSORS
from .files import Path
from .found import Found, Pixels, detector_values
from .hdf5 import content_of, reading_hdf5
from .nexus import DXTBX_TO_NEXUS
from .nxmx_reading import entry_of, of_class, text_of
from .nxmx_tree import SURFACE_UM

Array = npt.NDArray[np.float64]

BEAM, ACROSS = (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)
"""Along which the beam travels; the polarization and the spindle of files that name none."""
UNITS = {
    **dict.fromkeys(("m", "metre", "meter", "metres", "meters"), 1000.0),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), 10.0),
    **dict.fromkeys(("mm", "millimetre", "millimeter", "millimetres", "millimeters"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometre", "micrometer"), 0.001),
    **dict.fromkeys(("nm", "nanometre", "nanometer"), 1e-06),
    **dict.fromkeys(("angstrom", "angstroms", "a", "å"), 1e-07),
    **dict.fromkeys(("deg", "degree", "degrees"), 1.0),
    **{name: math.degrees(1.0) for name in ("rad", "radian", "radians")},
}
"""In mm and degrees."""
MM_PER_ANGSTROM = UNITS["angstrom"]
LONGEST_CHAIN = 64
"""Of axes that depend on one another."""


def found_in(path: Path, content: bytes) -> Found:
    """What the first entry of a file says of its first frame.

    Raises
    ------
    InputFileError
        It is no NXmx, or lacks what one must have.

    Warns
    -----
    NbnumbaWarning
        It has a spectrum, of which the mean is taken.
    """
    name = os.fspath(path)
    with reading_hdf5(path, "an NXmx file") as file:
        entry = entry_of(file, path)
        instrument = _one(entry, "NXinstrument", name)
        detector = _one(instrument, "NXdetector", name)
        modules = of_class(detector, "NXdetector_module")
        if not modules:
            raise InputFileError(f"{name}: its NXdetector has no NXdetector_module, which says where pixels are")
        panels = [_panel(module, name) for module in modules]
        return Found(
            name,
            {
                "beam": {"direction": BEAM, **_beam(_one(instrument, "NXbeam", name), name)},
                "detector": detector_values(panels, BEAM) | _sensor(detector),
                **_scan(of_class(entry, "NXsample"), name),
            },
            _masks(detector, modules, name),
        )


def _one(parent: Any, nx_class: str, name: str) -> Any:
    found = of_class(parent, nx_class)
    if not found:
        raise InputFileError(f"{name}: is NXmx without an {nx_class}")
    return found[0]


# Numbers ---------------------------------------------------------------------------------------------------------


def _bare(dataset: Any, name: str) -> Array:
    """All numbers of a field."""
    values = np.atleast_1d(np.asarray(content_of(dataset), np.float64))
    if values.size == 0 or not np.isfinite(values).all():
        raise InputFileError(f"{name}: {dataset.name} must have finite numbers")
    return values


def _numbers(dataset: Any, name: str) -> Array:
    """The same in mm or degrees."""
    return _bare(dataset, name) * _unit(dataset, "units", name)


def _unit(dataset: Any, attribute: str, name: str) -> float:
    unit = _text_attribute(dataset, attribute)
    if unit is None or unit.lower() not in UNITS:
        raise InputFileError(f"{name}: {dataset.name}: {attribute} must be those of a length or an angle, not {unit!r}")
    return UNITS[unit.lower()]


def _text_attribute(item: Any, attribute: str) -> str | None:
    value = item.attrs.get(attribute)
    if value is None:
        return None
    value = np.asarray(value).ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _vector(item: Any, attribute: str, name: str) -> Array:
    vector = np.asarray(item.attrs.get(attribute, ()), np.float64).ravel()
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise InputFileError(f"{name}: {item.name} must have an attribute {attribute} of three finite numbers")
    return vector


def _direction(item: Any, name: str) -> Array:
    vector = _vector(item, "vector", name)
    length = np.linalg.norm(vector)
    if not length > 0.0:
        raise InputFileError(f"{name}: {item.name} has a vector without direction")
    return vector / length


# Places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A frame of axes in that of NeXus: a rotation, then a shift in mm."""

    turn: Array
    shift: Array


def _place(parent: Any, axis_path: str | None, name: str) -> _Place:
    """Where the chain of transformations puts what depends on its first."""
    turn, shift = np.eye(3), np.zeros(3)
    for _ in range(LONGEST_CHAIN):
        if axis_path in (None, "", "."):
            return _Place(turn, shift)
        axis = parent.get(axis_path)
        if axis is None or not hasattr(axis, "shape"):
            raise InputFileError(f"{name}: {parent.name} depends on {axis_path!r:.80}, which is not there")
        value, vector = float(_numbers(axis, name).ravel()[0]), _direction(axis, name)
        if _text_attribute(axis, "transformation_type") == "rotation":
            own = np.array([rotated_about(e, tuple(vector), math.radians(value)) for e in np.eye(3).tolist()]).T
            turn, shift = own @ turn, own @ shift
        else:
            shift = shift + value * vector
        shift = shift + _offset(axis, name)
        parent, axis_path = axis.parent, _text_attribute(axis, "depends_on")
    raise InputFileError(f"{name}: its axes depend on one another without an end")


def _offset(axis: Any, name: str) -> Array:
    """How far an axis stands from where it begins, in mm."""
    if "offset" not in axis.attrs or not np.any(axis.attrs["offset"]):
        return np.zeros(3)
    # Some files have it in the units of the axis.
    units = "offset_units" if "offset_units" in axis.attrs else "units"
    return _vector(axis, "offset", name) * _unit(axis, units, name)


def _panel(module: Any, name: str) -> Panel:
    fast, slow = (_field(module, f"{which}_pixel_direction", name) for which in ("fast", "slow"))
    path = _text_attribute(fast, "depends_on")
    if path in (None, "", ".") and "module_offset" in module:
        path = "module_offset"
    place = _place(module, path, name)
    origin = place.shift + place.turn @ _offset(fast, name)
    along_fast, along_slow = (
        _in_dxtbx(place.turn @ _direction(axis, name) * float(_numbers(axis, name).ravel()[0])) for axis in (fast, slow)
    )
    slow_pixels, fast_pixels = _corner_and_size(module, name)[1]
    panel_name = _text_attribute(module, "local_name") or ""
    return Panel(panel_name, fast_pixels, slow_pixels, _in_dxtbx(origin), along_fast, along_slow)


def _field(group: Any, field: str, name: str) -> Any:
    found = group.get(field)
    if found is None or not hasattr(found, "shape"):
        raise InputFileError(f"{name}: {group.name} has no {field}")
    return found


def _corner_and_size(module: Any, name: str) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Where the module begins in the image of a frame, and its pixels along slow and fast."""
    corner, size = (_bare(_field(module, field, name), name) for field in ("data_origin", "data_size"))
    if corner.shape != size.shape or len(size) < 2 or size.min() < 1 or corner.min() < 0 or size.max() > 2**31:
        raise InputFileError(f"{name}: {module.name}: data_origin and data_size are those of no module")
    return tuple(int(value) for value in corner), (int(size[-2]), int(size[-1]))


def _in_dxtbx(vector: Sequence[float] | Array) -> tuple[float, float, float]:
    x, y, z = (DXTBX_TO_NEXUS @ np.asarray(vector) + 0.0).tolist()
    return x, y, z


def _masks(detector: Any, modules: Sequence[Any], name: str) -> Pixels | tuple[Pixels | None, ...] | None:
    """Pixels of which a bit is set are not measured."""
    mask = detector.get("pixel_mask")
    if mask is None or mask.ndim < 2:
        return None
    good = np.asarray(content_of(mask)) == 0
    parts = []
    for module in modules:
        corner, size = _corner_and_size(module, name)
        *leading, slow, fast = corner
        of_module = good[tuple(leading)] if _is_within(leading, good.shape) else good[:0]
        part = of_module[slow : slow + size[0], fast : fast + size[1]]
        if len(corner) != good.ndim or part.shape != size:
            raise InputFileError(f"{name}: {module.name} lies outside the pixel_mask of {good.shape}")
        parts.append(part)
    if all(part.all() for part in parts):
        return None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _is_within(index: Sequence[int], shape: Sequence[int]) -> bool:
    return len(index) == len(shape) - 2 and all(number < most for number, most in zip(index, shape, strict=False))


# Beam, sensor, scan ----------------------------------------------------------------------------------------------


def _beam(beam: Any, name: str) -> dict[str, Any]:
    wavelength = _field(beam, "incident_wavelength", name)
    values = _numbers(wavelength, name).ravel() / MM_PER_ANGSTROM
    weights = beam.get("incident_wavelength_weights")
    if weights is not None and np.shape(weights) == values.shape:
        values = np.array([np.average(values, weights=content_of(weights))])
    if weights is not None or "variant" in wavelength.attrs:
        warnings.warn(f"{name}: has a spectrum, of which the mean is taken", NbnumbaWarning, stacklevel=4)
    if not values[0] > 0.0:
        raise InputFileError(f"{name}: {wavelength.name} must be above 0")
    found: dict[str, Any] = {"wavelength_angstrom": float(f"{values[0]:.15g}"), "polarization_axis": ACROSS}
    if "total_flux" in beam:
        found["flux_per_s"] = float(_bare(beam["total_flux"], name).ravel()[0])
    if "incident_beam_size" in beam:
        found["size_mm"] = float(_numbers(beam["incident_beam_size"], name).ravel()[:2].max())
    stokes = beam.get("incident_polarization_stokes", beam.get("incident_polarisation_stokes"))
    return found | ({} if stokes is None else _polarization(_bare(stokes, name).reshape(-1, 4)[0]))


def _polarization(stokes: Array) -> dict[str, Any]:
    intensity, along_x, along_xy, _ = stokes
    degree = math.hypot(along_x, along_xy) / intensity if intensity > 0.0 else 0.0
    if degree == 0.0:
        return {"kahn_factor": 0.0}
    angle = 0.5 * math.atan2(along_xy, along_x)
    return {
        "kahn_factor": min(degree, 1.0),
        # Either way along it; this one has an x of 0 or more there.
        "polarization_axis": _in_dxtbx((-math.cos(angle), -math.sin(angle), 0.0)),
    }


def _sensor(detector: Any) -> dict[str, Any]:
    """Material and thickness, where there is a thickness."""
    thickness, material = detector.get("sensor_thickness"), detector.get("sensor_material")
    if thickness is None or material is None:
        return {}
    thickness_um = float(_numbers(thickness, detector.name).ravel()[0]) / UNITS["um"]
    known = {"silicon": "Si"} | {one.lower(): one for one in NXMX_SENSORS}
    symbol = known.get(text_of(material).lower())
    if symbol is None or not thickness_um > 1.5 * SURFACE_UM:
        return {}
    return {"sensor_material": symbol, "thickness_um": float(f"{thickness_um:.12g}")}


def _scan(samples: Sequence[Any], name: str) -> dict[str, dict[str, Any]]:
    """The spindle, and where the first frame begins and how far it goes."""
    path = text_of(samples[0]["depends_on"]) if samples and "depends_on" in samples[0] else "."
    spindle = {"goniometer": {"spindle_axis": ACROSS}}
    if path in ("", "."):
        return spindle
    sample = samples[0]
    axis, turning = sample.get(path), None
    for _ in range(LONGEST_CHAIN):
        if axis is None or not hasattr(axis, "shape"):
            break
        if _text_attribute(axis, "transformation_type") == "rotation" and (turning is None or axis.size > turning.size):
            turning = axis
        path = _text_attribute(axis, "depends_on") or "."
        axis = None if path == "." else axis.parent.get(path)
    if turning is None:
        return spindle
    start = _numbers(turning, name).ravel()
    return {
        "goniometer": {"spindle_axis": _in_dxtbx(_direction(turning, name))},
        "scan": {"phi_deg": float(start[0]), "oscillation_deg": _width(turning, start, name)},
    }


def _width(axis: Any, start: Array, name: str) -> float:
    """Of the first frame."""
    end = axis.parent.get(f"{axis.name}_end")
    increment = axis.parent.get(f"{axis.name}_increment_set")
    if end is not None:
        width = float(_numbers(end, name).ravel()[0] - start[0])
    elif increment is not None:
        width = float(_numbers(increment, name).ravel()[0])
    else:
        width = float(start[1] - start[0]) if len(start) > 1 else 0.0
    if width < 0.0:
        raise InputFileError(f"{name}: {axis.name} turns by {width:g} degrees: turn the axis about")
    return float(f"{width:.12g}")
