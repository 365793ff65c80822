"""Detector geometries of CrystFEL (``.geom``): lines of ``key = value``, those of a panel as ``panel/key = value``.

The laboratory has z along the beam and y up. A pixel at (fs, ss) of a panel, counted from its outer corner, lies at

    x, y = (corner + fs·FS + ss·SS) / res,  z = clen + coffset + (fs·FS_z + ss·SS_z) / res,

FS and SS being vectors in pixels, of which refined ones are not quite of length 1 (the CrystFEL manual,
crystfel_geometry(5)). What is said above the panels holds for those that are first mentioned below it.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Panel
from ..experiment.field import LARGEST
from ..units import angstrom_from_ev
from .files import Path, as_text
from .found import Found, Pixels, all_measured, detector_values
from .panel_overlap import overlaps_px

BEAM, POLARIZATION = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
ODD_STEP = 0.01
"""By which a step's length may be off 1, or the cosine between both off 0, before it is said."""
LONGEST_STEP = 1e6
MOST_OVERLAP_PX = 3.0
"""That refinement of neighbours explains."""
UNKNOWN_CLEN_MM = 1000.0
"""Where the panels are put until the experiment says where they are; any does."""

_TERM = re.compile(r"([+-]?)(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|)([xyz])")
_OF_ALL = ("clen", "photon_energy", "wavelength", "electron_voltage", "detector_shift_x", "detector_shift_y",
           "bandwidth", "peak_list", "peak_list_type")  # fmt: skip
"""Keys of the whole file, wherever they stand."""
_LENGTHS = {"m": 1000.0, "mm": 1.0}
_WAVELENGTHS = {"m": 1e10, "A": 1.0}
_ENERGIES = {"eV": 1.0, "keV": 1000.0}


class _Value(NamedTuple):
    """What a key is set to, and where."""

    text: str
    where: str
    """File and line."""

    def error(self, problem: str) -> InputFileError:
        return InputFileError(f"{self.where}: {problem}")


@dataclass
class _Section:
    """A panel or a bad region: its name, where it is first mentioned, and its keys."""

    name: str
    where: str
    keys: dict[str, _Value] = field(default_factory=dict)

    def get(self, key: str) -> _Value:
        value = self.keys.get(key)
        if value is None:
            raise InputFileError(f"{self.where}: {self.name} has no {key}: give {self.name}/{key} = ...")
        return value

    def number(self, key: str) -> float:
        """The number that a key begins with."""
        return _number(f"{self.name}/{key}", self.get(key))

    def whole(self, key: str) -> int:
        number = self.number(key)
        if number != int(number) or not 0 <= number < 2**31:
            raise self.get(key).error(f"{self.name}/{key} must be a whole number of 0 or more, not {number:g}")
        return int(number)

    def is_set(self, key: str) -> bool:
        """Whether it is "true" or a number other than 0."""
        value = self.keys.get(key)
        return value is not None and value.text.lower() not in ("", "0", "false")


@dataclass
class _Geometry:
    """A file in its parts."""

    path: str
    top: dict[str, _Value] = field(default_factory=dict)
    panels: dict[str, _Section] = field(default_factory=dict)
    bad: dict[str, _Section] = field(default_factory=dict)


def found_in(path: Path, content: bytes) -> Found:
    """What a file's content says of detector and beam.

    Raises
    ------
    InputFileError
        A line that is none, a panel without its place, panels that overlap, and what else there is, by line.

    Warns
    -----
    NbnumbaWarning
        Pixels that are far from square, or not of the size that ``res`` says.
    """
    geometry = _parsed(os.fspath(path), as_text(path, content, "the geometry of CrystFEL"))
    sections = list(geometry.panels.values())
    clen_mm, needs = _clen_mm(geometry)
    wavelength, needs_wavelength = _wavelength(geometry)
    shift = [_length_mm(key, geometry.top[key]) if key in geometry.top else 0.0
             for key in ("detector_shift_x", "detector_shift_y")]  # fmt: skip
    panels = [_panel(section, clen_mm, shift) for section in sections]
    _check_data(sections)
    _check_overlap(sections, panels)
    detector = detector_values(panels, BEAM)
    masks = tuple(_mask(section, panel, geometry) for section, panel in zip(sections, panels, strict=True))
    first, is_listed = sections[0], "panels" in detector
    gain = {"gain": first.number("adu_per_photon")} if "adu_per_photon" in first.keys else {}
    if needs and not is_listed:
        del detector["distance_mm"]
    return Found(
        geometry.path,
        {"detector": detector, "beam": {"direction": BEAM, "polarization_axis": POLARIZATION, **wavelength},
         "goniometer": {"spindle_axis": POLARIZATION}, "readout": gain},
        None if all(mask is None for mask in masks) else masks,
        (panels[0].origin_mm or BEAM)[2] if is_listed else None,
        {**needs, **needs_wavelength},
    )  # fmt: skip


# Lines -----------------------------------------------------------------------------------------------------------


def _parsed(path: str, text: str) -> _Geometry:
    geometry, above = _Geometry(path), dict[str, _Value]()
    unused: _Value | None = None
    for key, value in _lines(path, text):
        name, slash, key_of_section = key.partition("/")
        if not slash:
            kept = geometry.top if key in _OF_ALL else above
            kept[key] = value
            if kept is above and not key.startswith(("group_", "rigid_group")):
                unused = value
            continue
        sections = geometry.bad if name.startswith("bad") else geometry.panels
        if name not in sections:
            sections[name] = _Section(name, value.where, {} if sections is geometry.bad else dict(above))
            unused = unused if sections is geometry.bad else None
        sections[name].keys[key_of_section] = value
    if unused is not None:
        raise unused.error("what stands above counts for the panels below it, and here is none below: move it up")
    if not geometry.panels:
        raise InputFileError(f"{path}: has no panel: give its place as p0/corner_x, p0/corner_y, p0/fs, p0/ss, ...")
    return geometry


def _lines(path: str, text: str) -> Iterator[tuple[str, _Value]]:
    """Keys and values, without what follows a semicolon."""
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.partition(";")[0].strip()
        if not content:
            continue
        key, equals, value = content.partition("=")
        if not equals:
            raise InputFileError(f"{path}:{number}: {content[:80]!r} is no line of a geometry: give key = value")
        yield key.strip(), _Value(value.strip(), f"{path}:{number}")


def _number(key: str, value: _Value) -> float:
    words = value.text.split()
    number = _as_float(words[0]) if words else None
    if number is None:
        raise value.error(f"{key} must be a number, not {value.text[:80]!r}")
    return number


def _as_float(word: str) -> float | None:
    """None for what is no number of a size that one computes with, Python's digit groups included."""
    try:
        number = float(word) if word.isascii() and "_" not in word else math.nan
    except ValueError:
        return None
    return number if abs(number) <= LARGEST else None


def _in_units(key: str, value: _Value, units: Mapping[str, float], without: str | None) -> float | None:
    """A number with its unit in the unit of factor 1; None for a place in the data, which has no value here."""
    words = value.text.split()
    number = _as_float(words[0]) if words else None
    if number is None:
        if words and not words[0][0].isdigit() and words[0][0] not in "+-.":
            return None
        raise value.error(f"{key} must be a number, not {value.text[:80]!r}")
    unit = words[1] if len(words) > 1 else without
    if unit is None or unit not in units:
        raise value.error(f"{key} = {value.text[:80]}: give its unit, {' or '.join(units)}")
    return number * units[unit]


# What they mean --------------------------------------------------------------------------------------------------


def _length_mm(key: str, value: _Value) -> float:
    length = _in_units(key, value, _LENGTHS, "m")
    if length is None:
        raise value.error(f"{key} is {value.text}, a place in the data, which are not read: give a number")
    return length


def _clen_mm(geometry: _Geometry) -> tuple[float, dict[str, str]]:
    """The distance of the whole detector, and what is wrong where the experiment gives none."""
    first = next(iter(geometry.panels.values()))
    value = geometry.top.get("clen") or first.keys.get("clen")
    if value is None:
        return UNKNOWN_CLEN_MM, {"detector.distance_mm": f"{geometry.path}: has no clen: give it there, or -distance"}
    length = _in_units("clen", value, _LENGTHS, "m")
    if length is not None:
        return length, {}
    problem = f"clen is {value.text}, a place in the data, which are not read: give -distance"
    return UNKNOWN_CLEN_MM, {"detector.distance_mm": str(value.error(problem))}


def _wavelength(geometry: _Geometry) -> tuple[dict[str, float], dict[str, str]]:
    """The wavelength in Å as a field of the beam, and what is wrong where the experiment has none."""
    top = geometry.top
    for key, units, without in (("photon_energy", _ENERGIES, "eV"), ("wavelength", _WAVELENGTHS, None)):
        if key not in top:
            continue
        number = _in_units(key, top[key], units, without)
        if number is None:
            problem = f"{key} is {top[key].text}, a place in the data, which are not read: give -energy or -lambda"
            return {}, {"beam.wavelength_angstrom": str(top[key].error(problem))}
        if not number > 0.0:
            raise top[key].error(f"{key} must be above 0, not {number:g}")
        return {"wavelength_angstrom": number if key == "wavelength" else angstrom_from_ev(number)}, {}
    if "electron_voltage" in top:
        problem = "electron_voltage: electrons are not simulated; for X-rays give -energy or -lambda"
        return {}, {"beam.wavelength_angstrom": str(top["electron_voltage"].error(problem))}
    return {}, {}


def _vector(section: _Section, key: str) -> np.ndarray:
    """Of a text like +0.99x -0.01y, in pixels."""
    value, vector = section.get(key), np.zeros(3)
    text = re.sub(r"[\s*]", "", value.text)
    terms = list(_TERM.finditer(text))
    signed = all(term[1] for term in terms[1:])
    if not terms or not signed or "".join(term[0] for term in terms) != text:
        raise value.error(f"{section.name}/{key} must be like +0.99x -0.01y +0.002z, not {value.text[:80]!r}")
    for sign, number, axis in (term.groups() for term in terms):
        vector["xyz".index(axis)] += float(f"{sign}{number or 1}")
    if not np.abs(vector).max() <= LONGEST_STEP:
        raise value.error(f"{section.name}/{key} is {value.text[:80]}: its length is some 1, in pixels")
    return vector


def _size(section: _Section, axis: str) -> int:
    first, last = section.whole(f"min_{axis}"), section.whole(f"max_{axis}")
    if last < first:
        raise section.get(f"max_{axis}").error(f"{section.name}/max_{axis} {last} is below its min_{axis} {first}")
    return last - first + 1


def _panel(section: _Section, clen_mm: float, shift_mm: list[float]) -> Panel:
    res, name = section.number("res"), section.name
    if not res > 0.0:
        raise section.get("res").error(f"{name}/res must be above 0 pixels per m, not {res:g}")
    fast, slow = _vector(section, "fs"), _vector(section, "ss")
    _warn_of_odd_steps(section, fast, slow)
    pixel_mm = 1000.0 / res
    offset = section.keys.get("coffset")
    z = clen_mm + (0.0 if offset is None else _length_mm(f"{name}/coffset", offset))
    corner = [pixel_mm * section.number(f"corner_{axis}") + shift for axis, shift in zip("xy", shift_mm, strict=True)]
    return Panel(
        name, _size(section, "fs"), _size(section, "ss"), (*corner, z),
        (pixel_mm * fast).tolist(), (pixel_mm * slow).tolist(),
    )  # fmt: skip


def _warn_of_odd_steps(section: _Section, fast: np.ndarray, slow: np.ndarray) -> None:
    for key, step in (("fs", fast), ("ss", slow)):
        length = float(np.linalg.norm(step))
        if length == 0.0:
            raise section.get(key).error(f"{section.name}/{key} has no direction")
        if abs(length - 1.0) > ODD_STEP:
            _warn(section.get(key), f"{section.name}/{key} is of length {length:.4g}: pixels are that much longer")
    cosine = float(fast @ slow / np.linalg.norm(fast) / np.linalg.norm(slow))
    if abs(cosine) > 1.0 - 1e-9:
        raise section.get("ss").error(f"{section.name}/fs and {section.name}/ss are parallel: they span no pixel")
    if abs(cosine) > ODD_STEP:
        angle = math.degrees(math.acos(cosine))
        _warn(section.get("ss"), f"fs and ss of {section.name} are at {angle:.4g} degrees: its pixels are oblique")


def _warn(value: _Value, problem: str) -> None:
    warnings.warn(f"{value.where}: {problem}", NbnumbaWarning, stacklevel=2)


# Panels side by side ---------------------------------------------------------------------------------------------


def _check_data(sections: list[_Section]) -> None:
    """Refuse two panels that are the same pixels of the data."""
    taken: dict[tuple[str, ...], list[tuple[_Section, list[int]]]] = {}
    for section in sections:
        block = sorted((key, value.text) for key, value in section.keys.items() if key[:3] == "dim" or key == "data")
        bounds = [section.whole(f"{end}_{axis}") for axis in ("fs", "ss") for end in ("min", "max")]
        others = taken.setdefault(tuple(word for pair in block for word in pair), [])
        for other, (fs0, fs1, ss0, ss1) in others:
            if bounds[0] <= fs1 and fs0 <= bounds[1] and bounds[2] <= ss1 and ss0 <= bounds[3]:
                raise InputFileError(
                    f"{section.where}: panels {other.name} and {section.name} overlap: both have pixels of the same "
                    "min_fs, max_fs, min_ss, max_ss in the data"
                )
        others.append((section, bounds))


def _check_overlap(sections: list[_Section], panels: list[Panel]) -> None:
    """Refuse two panels of which the sample sees one behind the other."""
    overlaps = overlaps_px(panels)
    for number, other in np.argwhere(np.tril(overlaps > MOST_OVERLAP_PX, -1)).tolist():
        raise InputFileError(
            f"{sections[number].where}: panels {sections[other].name} and {sections[number].name} overlap by "
            f"{overlaps[number, other]:.4g} pixels as the sample sees them: check their corner_x, corner_y, fs and ss"
        )


# Pixels that do not count ----------------------------------------------------------------------------------------


def _mask(section: _Section, panel: Panel, geometry: _Geometry) -> Pixels | None:
    """False where a pixel is bad, by the panel's own keys or by a bad region; None where none is."""
    good = all_measured(geometry.path, panel)
    if section.is_set("no_index"):
        good[:] = False
    border = section.whole("mask_edge_pixels") if "mask_edge_pixels" in section.keys else 0
    if border:
        good[:border] = good[-border:] = False
        good[:, :border] = good[:, -border:] = False
    for region in geometry.bad.values():
        if any(key in region.keys for key in ("min_x", "max_x", "min_y", "max_y")):
            good &= ~_in_space(region, section, good.shape)
        elif _panel_of(region, geometry) is section:
            good[_in_data(region, section)] = False
    return None if good.all() else good


def _panel_of(region: _Section, geometry: _Geometry) -> _Section:
    """The panel that a region of fs and ss is of."""
    if "panel" not in region.keys and len(geometry.panels) == 1:
        return next(iter(geometry.panels.values()))
    value = region.get("panel")
    if value.text not in geometry.panels:
        raise value.error(f"{region.name}/panel = {value.text[:80]}: there is no such panel")
    return geometry.panels[value.text]


def _in_data(region: _Section, section: _Section) -> tuple[slice, slice]:
    """Rows and columns of the panel that lie in a region of fs and ss."""
    slices = []
    for axis in ("ss", "fs"):
        first, last = region.whole(f"min_{axis}"), region.whole(f"max_{axis}")
        low, high = section.whole(f"min_{axis}"), section.whole(f"max_{axis}")
        if first < low or last > high:
            raise region.get(f"min_{axis}").error(
                f"{region.name} reaches from {axis} {first} to {last}, beyond its panel {section.name}, {low} to {high}"
            )
        slices.append(slice(first - low, last - low + 1))
    return slices[0], slices[1]


def _in_space(region: _Section, section: _Section, shape: tuple[int, int]) -> Pixels:
    """Which pixels of the panel have their first corner within a region of x and y, in pixels of the panel."""
    fast, slow = _vector(section, "fs"), _vector(section, "ss")
    i, j = np.arange(shape[1], dtype=float), np.arange(shape[0], dtype=float)[:, np.newaxis]
    inside = np.ones(shape, bool)
    for number, axis in enumerate("xy"):
        place = section.number(f"corner_{axis}") + i * fast[number] + j * slow[number]
        inside &= (place > region.number(f"min_{axis}")) & (place < region.number(f"max_{axis}"))
    return inside
