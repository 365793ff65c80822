"""What a mini-CBF says of an experiment: as dxtbx has it, fast along x, slow along −y, the beam along −z, spindle x."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any, NamedTuple

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Panel
from .dials import SENSORS
from .files import Path
from .found import Found, detector_values
from .images.cbf import CbfImage, cbf_image
from .mini_cbf import PILATUS, modules_of_pilatus

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BEAM, _FAST = (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)


class _Header:
    """The keywords of a header, each with the text behind it."""

    def __init__(self, image: CbfImage) -> None:
        self._name = image.path
        self._texts = dict(re.findall(r"^#\s*(\w+)[ \t:=]*(.*?)\s*$", image.header, re.MULTILINE))

    def numbers(self, keyword: str, count: int, within: Within) -> list[float]:
        """The first numbers behind a keyword; none without it."""
        text = self._texts.get(keyword)
        if text is None:
            return []
        values = [float(number) for number in _NUMBER.findall(text)[:count]]
        if len(values) < count or not all(within.least <= value <= within.most for value in values):
            raise InputFileError(f"{self._name}: {keyword} {text:.80}: must be {within.words}")
        return values

    def needed(self, keyword: str, count: int, within: Within) -> list[float]:
        """The same of one without which there is no geometry."""
        found = self.numbers(keyword, count, within)
        if not found:
            raise InputFileError(f"{self._name}: its header has no {keyword}, which is to be {within.words}")
        return found

    def given(self, name: str, keyword: str, within: Within) -> dict[str, float]:
        """A field of an experiment, where the header has a number for it."""
        found = self.numbers(keyword, 1, within)
        return {name: found[0]} if found else {}


class Within(NamedTuple):
    """What a header's numbers can be."""

    words: str
    least: float
    most: float


_EDGES = Within("two edges of a pixel in m", 1e-9, 1.0)
_DISTANCE = Within("the distance in m, above 0", 1e-6, 1e6)
_CENTRE = Within("the beam centre in pixels, (fast, slow)", -1e9, 1e9)
_WAVELENGTH = Within("a wavelength in Å, above 0", 1e-6, 1e6)
_SECONDS = Within("a time in s", 0.0, 1e9)
_THICKNESS = Within("a thickness in m, above 0", 1e-9, 1.0)
_ANGLE = Within("an angle in degrees", -1e6, 1e6)
_ROTATION = Within("an angle in degrees, from 0 on", 0.0, 1e6)
_FRACTION = Within("a fraction from 0 to 1", 0.0, 1.0)


def found_in(path: Path, content: bytes) -> Found:
    """Read geometry, wavelength, scan, exposure, polarization, and which pixels were not measured.

    Raises
    ------
    InputFileError
        No CBF, or a header without a geometry; one of a PILATUS above an image of another size.

    Warns
    -----
    NbnumbaWarning
        What readers leave aside.
    """
    image = cbf_image(path, content)
    slow_pixels, fast_pixels = image.pixels.shape
    if image.convention == PILATUS and modules_of_pilatus(fast_pixels, slow_pixels) is None:
        raise InputFileError(
            f"{image.path}: has {fast_pixels} x {slow_pixels} pixels under the header {PILATUS}, and no PILATUS has: "
            "its modules are of 487 x 195 with 7 and 17 between them"
        )
    header = _Header(image)
    if any(header.numbers("Detector_2theta", 1, _ANGLE)):
        warnings.warn(
            f"{image.path}: Detector_2theta is not read, whose axis the header does not tell: give -twotheta",
            NbnumbaWarning,
            stacklevel=4,
        )
    measured = image.pixels >= 0
    return Found(
        os.fspath(path),
        {
            "detector": detector_values([_panel(header, fast_pixels, slow_pixels)], _BEAM) | _sensor(header),
            "beam": {"direction": _BEAM, "polarization_axis": _FAST, **_beam(header)},
            "goniometer": {"spindle_axis": _FAST},
            "scan": {
                **header.given("phi_deg", "Start_angle", _ANGLE),
                **header.given("oscillation_deg", "Angle_increment", _ROTATION),
            },
        },
        None if measured.all() else measured,
    )


def _panel(header: _Header, fast_pixels: int, slow_pixels: int) -> Panel:
    fast, slow = (metres * 1e3 for metres in header.needed("Pixel_size", 2, _EDGES))
    (distance,) = header.needed("Detector_distance", 1, _DISTANCE)
    x, y = header.needed("Beam_xy", 2, _CENTRE)
    return Panel(
        fast_pixels=fast_pixels,
        slow_pixels=slow_pixels,
        origin_mm=(-x * fast, y * slow, -distance * 1e3),
        fast_step_mm=(fast, 0.0, 0.0),
        slow_step_mm=(0.0, -slow, 0.0),
    )


def _sensor(header: _Header) -> dict[str, Any]:
    """Material and thickness, where the header has a thickness."""
    for symbol, word in SENSORS.items():
        for metres in header.numbers(word, 1, _THICKNESS):
            return {"sensor_material": symbol, "thickness_um": float(f"{metres * 1e6:.12g}")}
    return {}


def _beam(header: _Header) -> dict[str, float]:
    polarization = header.given("kahn_factor", "Polarization", _FRACTION)
    return {
        **header.given("wavelength_angstrom", "Wavelength", _WAVELENGTH),
        **header.given("exposure_s", "Exposure_time", _SECONDS),
        **{name: 2.0 * fraction - 1.0 for name, fraction in polarization.items()},
    }
