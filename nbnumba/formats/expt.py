"""Experiments of DIALS (``.expt``, JSON): beam, panels, goniometer, scan and crystal of the first one in a file.

Vectors are taken as they are, in the laboratory of dxtbx; its beam direction is the one towards the source. A crystal
is given for the goniometer at 0 without its fixed part: r = S R(φ) F A h, so that at φ = 0 its matrix is S F A, and it
turns about S times the axis.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Panel
from ..experiment.field import LARGEST
from ..experiment.types import SensorMaterial
from .files import Path, as_text
from .found import Found, Pixels, all_measured, detector_values

Array = npt.NDArray[np.float64]

SINGULAR = 1e-9
"""Volume over the product of the edges: less, and a crystal's axes lie in one plane."""


@dataclass(frozen=True)
class _Node:
    """A value somewhere in the file, and how one gets there."""

    path: str
    place: str
    value: Any

    def refuse(self, problem: str) -> NoReturn:
        raise InputFileError(f"{self.path}: {self.place or 'it'} {problem}")

    def __getitem__(self, key: str | int) -> _Node:
        """A member, which there must be."""
        members: Any = self.value
        if isinstance(key, str):
            if not isinstance(members, dict) or key not in members:
                self.refuse(f"has no {key}")
            return _Node(self.path, f"{self.place}.{key}".lstrip("."), members[key])
        if not isinstance(members, list) or key >= len(members):
            self.refuse(f"is no list that has an entry number {key}")
        return _Node(self.path, f"{self.place}[{key}]", members[key])

    def get(self, key: str) -> _Node | None:
        """A member of an object, None where it is missing or null."""
        found = isinstance(self.value, dict) and self.value.get(key) is not None
        return self[key] if found else None

    def items(self) -> Iterator[_Node]:
        if not isinstance(self.value, list):
            self.refuse("is not a list")
        return (self[number] for number in range(len(self.value)))

    def numbers(self, count: int) -> list[float]:
        """So many finite ones."""
        values = self.value if isinstance(self.value, list) else []
        if len(values) != count or not all(map(_is_finite, values)):
            self.refuse(f"must be {count} finite numbers of at most {LARGEST:g}")
        return [float(value) for value in values]

    def vector(self) -> Array:
        return np.array(self.numbers(3))

    def unit(self) -> Array:
        vector = self.vector()
        length = np.linalg.norm(vector)
        if not length > 0.0:
            self.refuse("has no direction")
        return vector / length

    def matrix(self) -> Array:
        return np.array(self.numbers(9)).reshape(3, 3)

    def number(self) -> float:
        if not _is_finite(self.value):
            self.refuse(f"must be a finite number of at most {LARGEST:g}, not {str(self.value)[:80]!r}")
        return float(self.value)

    def whole(self, least: int = 0) -> int:
        number = self.number()
        if number != int(number) or not least <= number < 2**31:
            self.refuse(f"must be a whole number of {least} or more, not {number:g}")
        return int(number)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def found_in(path: Path, content: bytes) -> Found:
    """What a file's content says of the first experiment in it.

    Raises
    ------
    InputFileError
        It is no list of experiments, has no detector, or holds what is not as dxtbx writes it, by its place.

    Warns
    -----
    NbnumbaWarning
        There are several experiments, or panels of several sensors.
    """
    file = _Node(os.fspath(path), "", _json(path, content))
    if file["__id__"].value != "ExperimentList":
        file.refuse("is JSON, but no list of experiments of DIALS, as dials.import writes it")
    several = file["experiment"]
    experiment = several[0]
    if len(several.value) > 1:
        _warn(f"{file.path}: has {len(several.value)} experiments, of which the first is taken")
    models = {name: _model(file, experiment, name) for name in ("beam", "detector", "goniometer", "scan", "crystal")}
    if models["detector"] is None:
        file.refuse("has no detector: its experiment is of no image")
    beam, needs = _beam(models["beam"])
    panels, masks = _panels(models["detector"])
    along = beam.get("direction", (0.0, 0.0, -1.0))
    detector = detector_values(panels, along) | _sensor(models["detector"])
    setting, fixed, axis = _goniometer(models["goniometer"])
    values: dict[str, dict[str, Any]] = {"beam": {"direction": along, **beam}, "detector": detector}
    if axis is not None:
        values["goniometer"] = {"spindle_axis": tuple((setting @ axis).tolist())}
    values["readout"] = _readout(models["detector"])
    values["scan"] = _scan(models["scan"])
    values["crystal"] = _crystal(models["crystal"], setting @ fixed)
    is_whole = all(mask is None for mask in masks)
    problems = {path: f"{file.path}: {problem}" for path, problem in needs.items()}
    return Found(file.path, values, None if is_whole else masks, needs=problems)


def _json(path: Path, content: bytes) -> Any:
    name = os.fspath(path)
    text = as_text(path, content, "the experiment of DIALS")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputFileError(f"{name}:{error.lineno}: is no JSON: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise InputFileError(f"{name}: is no JSON that can be read: {error}") from error


def _model(file: _Node, experiment: _Node, name: str) -> _Node | None:
    """The one of this kind that an experiment has."""
    number = experiment.get(name)
    if number is None:
        return None
    return file[name][number.whole()]


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=2)


# Models ----------------------------------------------------------------------------------------------------------


def _beam(node: _Node | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of the beam, and what is wrong where the experiment has not those that the file lacks."""
    lacks = "has no wavelength: give -lambda, or a spectrum"
    if node is None:
        return {}, {"beam.wavelength_angstrom": f"its experiment {lacks}"}
    probe = node.get("probe")
    if probe is not None and probe.value not in ("x-ray", "xray"):
        probe.refuse(f"is {str(probe.value)[:80]!r}: X-rays alone are simulated")
    along = -node["direction"].unit()
    found: dict[str, Any] = {"direction": tuple((along + 0.0).tolist())}
    normal, fraction = node.get("polarization_normal"), node.get("polarization_fraction")
    if normal is not None and fraction is not None:
        electric, share = np.cross(along, normal.vector()), fraction.number()
        if not 0.0 <= share <= 1.0:
            fraction.refuse(f"must lie between 0 and 1, not {share:g}")
        found["kahn_factor"] = 2.0 * share - 1.0
        if np.linalg.norm(electric) > 0.0:
            found["polarization_axis"] = tuple((electric / np.linalg.norm(electric) + 0.0).tolist())
    wavelength = node.get("wavelength")
    if wavelength is None:
        return found, {"beam.wavelength_angstrom": f"{node.place} {lacks}"}
    if not wavelength.number() > 0.0:
        wavelength.refuse("must be above 0 Å")
    return {**found, "wavelength_angstrom": wavelength.number()}, {}


def _panels(detector: _Node) -> tuple[list[Panel], tuple[Pixels | None, ...]]:
    nodes = list(detector["panels"].items())
    if not nodes:
        detector["panels"].refuse("is empty: the detector has no panel")
    frames = dict(_frames(detector.get("hierarchy"), len(nodes)))
    panels = [_panel(node, *frames.get(number, _LABORATORY)) for number, node in enumerate(nodes)]
    return panels, tuple(_mask(node, panel) for node, panel in zip(nodes, panels, strict=True))


_LABORATORY = (np.zeros(3), np.eye(3))
"""Origin, and columns fast, slow, normal."""


def _frames(group: _Node | None, panels: int) -> Iterator[tuple[int, tuple[Array, Array]]]:
    """Where the frame stands that each panel is given in, by its number."""
    waiting = [] if group is None else [(group, *_LABORATORY)]
    while waiting:
        node, origin, axes = waiting.pop()
        if node.get("panel") is not None:
            number = node["panel"].whole()
            if number >= panels:
                node["panel"].refuse(f"is {number}, and there are {panels} panels")
            yield number, (origin, axes)
            continue
        fast, slow = node["fast_axis"].unit(), node["slow_axis"].unit()
        moved = origin + axes @ node["origin"].vector()
        turned = axes @ np.column_stack([fast, slow, np.cross(fast, slow)])
        children = node.get("children")
        waiting += [(child, moved, turned) for child in ([] if children is None else children.items())]


def _panel(node: _Node, origin: Array, axes: Array) -> Panel:
    fast_pixels, slow_pixels = (size.whole(least=1) for size in (node["image_size"][0], node["image_size"][1]))
    edges = node["pixel_size"].numbers(2)
    if min(edges) <= 0.0:
        node["pixel_size"].refuse("must be above 0 mm")
    fast, slow = (axes @ node[name].unit() for name in ("fast_axis", "slow_axis"))
    if np.linalg.norm(np.cross(fast, slow)) < SINGULAR:
        node["slow_axis"].refuse("is parallel to fast_axis: they span no panel")
    name = node.get("name")
    return Panel(
        "" if name is None else str(name.value),
        fast_pixels,
        slow_pixels,
        (origin + axes @ node["origin"].vector()).tolist(),
        (edges[0] * fast).tolist(),
        (edges[1] * slow).tolist(),
    )


def _mask(node: _Node, panel: Panel) -> Pixels | None:
    """False in the rectangles x0, y0, x1, y1 that are not to be trusted, the last column and row not in them."""
    rectangles = node.get("mask")
    if rectangles is None or not rectangles.value:
        return None
    good = all_measured(node.path, panel)
    for rectangle in rectangles.items():
        x0, y0, x1, y1 = (max(0, int(edge)) for edge in rectangle.numbers(4))
        good[y0:y1, x0:x1] = False
    return good


def _sensor(detector: _Node) -> dict[str, Any]:
    """What the sensor is of, its thickness, and its 1/e depth where that is told."""
    sensors = []
    for node in detector["panels"].items():
        thickness, attenuation = (0.0 if one is None else one.number() for one in map(node.get, ("thickness", "mu")))
        material = node.get("material")
        sensors.append((thickness, attenuation, "" if material is None else str(material.value)))
    thickness, attenuation, material_name = sensors[0]
    if len(set(sensors)) > 1:
        _warn(f"{detector.path}: its panels have several sensors, of which all are taken to have the first")
    found: dict[str, Any] = {"sensor_material": material_name} if material_name in get_args(SensorMaterial) else {}
    if thickness > 0.0 and (attenuation > 0.0 or found):
        found["thickness_um"] = 1000.0 * thickness
    if thickness > 0.0 and attenuation > 0.0:
        found["attenuation_depth_um"] = 1000.0 / attenuation
    return found


def _readout(detector: _Node) -> dict[str, float]:
    """Counts for a photon and without one, where they are not 1 and 0, which is what dxtbx writes of all."""
    node, found = detector["panels"][0], {}
    for key, name, nothing in (("gain", "gain", 1.0), ("pedestal", "adc_offset", 0.0)):
        value = node.get(key)
        if value is not None and value.number() != nothing:
            found[name] = value.number()
    return found


def _goniometer(node: _Node | None) -> tuple[Array, Array, Array | None]:
    """Rotation after the scan's, the one before it, and the axis between them."""
    if node is None:
        return np.eye(3), np.eye(3), None
    if node.get("axes") is None:
        fixed, setting = node.get("fixed_rotation"), node.get("setting_rotation")
        return (
            np.eye(3) if setting is None else setting.matrix(),
            np.eye(3) if fixed is None else fixed.matrix(),
            node["rotation_axis"].unit(),
        )
    axes = [axis.unit() for axis in node["axes"].items()]
    angles, scanned = node["angles"].numbers(len(axes)), node["scan_axis"].whole()
    if scanned >= len(axes):
        node["scan_axis"].refuse(f"is {scanned}, and there are {len(axes)} axes")
    turns = [_rotation(axis, angle) for axis, angle in zip(axes, angles, strict=True)]
    return _product(turns[scanned + 1 :]), _product(turns[:scanned]), axes[scanned]


def _rotation(axis: Array, angle_deg: float) -> Array:
    """Rodrigues' formula."""
    x, y, z = axis
    across, angle = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]), math.radians(angle_deg)
    turned: Array = np.eye(3) + math.sin(angle) * across + (1.0 - math.cos(angle)) * across @ across
    return turned


def _product(turns: Sequence[Array]) -> Array:
    """One turn after the other, the first of them first."""
    product = np.eye(3)
    for turn in turns:
        product = turn @ product
    return product


def _scan(node: _Node | None) -> dict[str, float]:
    """Start and width of the first image."""
    if node is None:
        return {}
    oscillation = node.get("oscillation")
    if oscillation is not None:
        start, width = oscillation.numbers(2)
    else:
        properties = node.get("properties")
        starts = None if properties is None else properties.get("oscillation")
        if properties is None or starts is None or not starts.value:
            return {}
        start, of_one = starts[0].number(), properties.get("oscillation_width")
        width = 0.0 if of_one is None else of_one.number()
        if len(starts.value) > 1:
            width = starts[1].number() - start
    if width < 0.0:
        node.refuse(f"has images of {width:g} degrees: turn the axis about and give a width of 0 or more")
    return {"phi_deg": start, "oscillation_deg": width}


def _crystal(node: _Node | None, turn: Array) -> dict[str, Any]:
    """Its A matrix in the laboratory, at a spindle angle of 0."""
    if node is None:
        return {}
    rows = np.array([node[f"real_space_{axis}"].vector() for axis in "abc"])
    lengths = np.linalg.norm(rows, axis=1)
    if not lengths.min() > 0.0 or abs(np.linalg.det(rows / lengths[:, np.newaxis])) < SINGULAR:
        node.refuse("has axes a, b, c that span no cell")
    return {"a_matrix": tuple(map(tuple, (turn @ np.linalg.inv(rows)).tolist()))}
