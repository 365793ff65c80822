"""Parameters of XDS (``XPARM.XDS``, ``GXPARM.XDS``): beam, spindle, scan, crystal, and a detector of segments.

Vectors are taken as they are, in the laboratory of XDS. With E the axes of the detector as columns and E' those of a
segment in the frame of the detector, pixel (x, y), of which (1, 1) is the centre of the first one, lies at

    E (−ORGX·QX, −ORGY·QY, F) + E E' ((x − ORGXS)·QX, (y − ORGYS)·QY, FS)

(the manual of XDS, "coordinate systems"). Each third axis is the first × the second.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, NbnumbaWarning
from ..experiment import Panel
from ..experiment.field import LARGEST
from .files import Path, as_text
from .found import LEAST_COSINE, MOST_PIXELS, Found, Pixels, all_measured, detector_values
from .rows import Row, rows

Array = npt.NDArray[np.float64]

SINGULAR = 1e-9
"""Volume over the product of the edges: less, and a crystal's axes lie in one plane."""
ODD_AXIS = 0.01
"""By which the length of an axis may be off 1, or a cosine off what it is to be, for rounding."""
OTHER_CELL = 0.01
"""By which cell constants may differ from the axes, relatively, before it is said."""
ELECTRIC = (0.0, 1.0, 0.0)
"""Normal of the plane of polarization, which the file does not tell, as XDS takes it unless it is told another."""


@dataclass(frozen=True)
class _Line:
    """Numbers of a line, and what they are."""

    what: str
    row: Row
    numbers: tuple[float, ...]

    def refuse(self, problem: str) -> InputFileError:
        return self.row.error(f"{self.what}: {problem}")

    def whole(self, position: int, name: str, least: int, most: int) -> int:
        number = self.numbers[position]
        if number != int(number) or not least <= number <= most:
            raise self.refuse(f"{name} must be a whole number from {least} to {most}, not {number:g}")
        return int(number)

    def above_zero(self, position: int, name: str) -> float:
        if not self.numbers[position] > 0.0:
            raise self.refuse(f"{name} must be above 0, not {self.numbers[position]:g}")
        return self.numbers[position]

    def direction(self, first: int) -> Array:
        """Three of the numbers, made of length 1."""
        vector = np.array(self.numbers[first : first + 3])
        length = np.linalg.norm(vector)
        if not length > 0.0:
            raise self.refuse("has no direction")
        return vector / length

    def axis(self, first: int) -> Array:
        """A direction whose length is 1 but for rounding."""
        axis, length = self.direction(first), float(np.linalg.norm(self.numbers[first : first + 3]))
        if abs(length - 1.0) > ODD_AXIS:
            raise self.refuse(f"must be of length 1, not {length:g}")
        return axis


class _File:
    """The lines behind the first one."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = os.fspath(path)
        text = as_text(path, content, "the parameters of XDS")
        self._rows = rows(path, text)
        self._end = text.rstrip().count("\n") + 1
        next(self._rows)

    def numbers(self, what: str, count: int) -> _Line:
        """The next line."""
        row = next(self._rows, None)
        if row is None:
            raise InputFileError(
                f"{self.path}:{self._end}: ends where a line is to follow, {what}: it is truncated; copy it again"
            )
        if len(row.fields) != count:
            raise row.error(f"must be {count} numbers between blanks, {what}, and has {len(row.fields)}")
        numbers = tuple(row.as_float(what, field) for field in row.fields)
        if max(map(abs, numbers)) > LARGEST:
            raise row.error(f"{what}: must be at most {LARGEST:g}")
        return _Line(what, row, numbers)

    def refuse_more(self) -> None:
        row = next(self._rows, None)
        if row is not None:
            raise row.error("is behind the last segment, where the file is to end")


def found_in(path: Path, content: bytes) -> Found:
    """What a file's content says of the experiment.

    Raises
    ------
    InputFileError
        A line that is missing, no numbers, or numbers that cannot be, by line.

    Warns
    -----
    NbnumbaWarning
        Cell constants are not those of the axes.
    """
    file = _File(path, content)
    scan = file.numbers("first image, its angle, oscillation range, rotation axis", 6)
    if scan.numbers[2] < 0.0:
        raise scan.refuse("the range must be 0 or more degrees: turn axis and angle about")
    incident = file.numbers("wavelength, beam direction", 4)
    direction = incident.direction(1)
    crystal = _crystal(file)
    panels, masks, distance = _detector(file, direction)
    file.refuse_more()
    detector = detector_values(panels, direction)
    return Found(
        file.path,
        {
            "beam": {
                "direction": _plain(direction),
                "wavelength_angstrom": incident.above_zero(0, "the wavelength"),
                **_polarization(direction),
            },
            "goniometer": {"spindle_axis": _plain(scan.direction(3))},
            "scan": {"phi_deg": scan.numbers[1], "oscillation_deg": scan.numbers[2]},
            "crystal": crystal,
            "detector": detector,
        },
        None if all(mask is None for mask in masks) else masks,
        distance if "panels" in detector else None,
    )


def _plain(vector: Array) -> tuple[float, ...]:
    return tuple((vector + 0.0).tolist())


def _polarization(direction: Array) -> dict[str, Any]:
    electric = np.cross(ELECTRIC, direction)
    length = np.linalg.norm(electric)
    return {"polarization_axis": _plain(electric / length)} if length > LEAST_COSINE else {}


def _crystal(file: _File) -> dict[str, Any]:
    """The A matrix at a spindle angle of 0."""
    cell = file.numbers("space group, cell", 7)
    cell.whole(0, "the space group", 1, 230)
    lines = [file.numbers(f"axis {name} of the cell", 3) for name in "abc"]
    axes = np.array([line.numbers for line in lines])
    lengths = np.linalg.norm(axes, axis=1)
    if not lengths.min() > 0.0 or abs(np.linalg.det(axes / lengths[:, np.newaxis])) < SINGULAR:
        raise lines[-1].refuse("with a and b it spans no cell")
    cosines = np.clip((axes @ axes.T / np.outer(lengths, lengths))[[1, 0, 0], [2, 2, 1]], -1.0, 1.0)
    own = np.concatenate([lengths, np.degrees(np.arccos(cosines))])
    if (np.abs(np.array(cell.numbers[1:]) / own - 1.0) > OTHER_CELL).any():
        words = " ".join(f"{constant:.6g}" for constant in own)
        warnings.warn(
            f"{file.path}:{cell.row.number}: the cell is another than that of the axes below, which are taken: {words}",
            NbnumbaWarning,
            stacklevel=2,
        )
    return {"a_matrix": tuple(map(tuple, np.linalg.inv(axes).tolist()))}


# Detector --------------------------------------------------------------------------------------------------------


def _detector(file: _File, direction: Array) -> tuple[list[Panel], tuple[Pixels | None, ...], float | None]:
    """Its segments, which of their pixels are measured, and how far along the beam it stands."""
    sizes = file.numbers("segments, pixels along x and y, their edges", 5)
    segments, fast_pixels, slow_pixels = (
        sizes.whole(position, name, 1, MOST_PIXELS) for position, name in enumerate(("segments", "pixels", "pixels"))
    )
    if fast_pixels * slow_pixels > MOST_PIXELS:
        raise sizes.refuse(f"{fast_pixels} x {slow_pixels} pixels are more than {MOST_PIXELS}")
    edges = np.array([sizes.above_zero(position, "an edge") for position in (3, 4)])
    place = file.numbers("ORGX, ORGY, distance", 3)
    if place.numbers[2] == 0.0:
        raise place.refuse("the distance must not be 0 mm")
    lines = [file.numbers(f"axis {name} of the detector", 3) for name in "xyz"]
    axes = _frame([line.axis(0) for line in lines[:2]], lines[1])
    if abs(lines[2].axis(0) @ axes[:, 2] - 1.0) > ODD_AXIS:
        raise lines[2].refuse("is not the first × the second one")
    cosine = float(axes[:, 2] @ direction)
    origin = axes @ [*(-edges * place.numbers[:2]), place.numbers[2]]
    panels, bounds = [], list[tuple[int, int, int, int]]()
    for number in range(1, segments + 1):
        bounds.append(_bounds(file, number, (fast_pixels, slow_pixels), bounds))
        # One alone is an image whole, of which a part may be measured.
        limits = bounds[-1] if segments > 1 else (1, fast_pixels, 1, slow_pixels)
        panels.append(_segment(file, number, limits, edges, origin, axes))
    masks = (None,) * segments if segments > 1 else (_mask(file.path, panels[0], *bounds[0]),)
    return panels, masks, place.numbers[2] / cosine if abs(cosine) > LEAST_COSINE else None


def _frame(axes: Sequence[Array], line: _Line) -> Array:
    """Columns at right angles, of x and y as a file has rounded them."""
    x, y = axes
    if abs(x @ y) > ODD_AXIS:
        raise line.refuse(f"x and y are not at right angles: their cosine is {x @ y:.4g}")
    y = y - x * (x @ y)
    y /= np.linalg.norm(y)
    return np.column_stack([x, y, np.cross(x, y)])


def _bounds(
    file: _File, number: int, sizes: tuple[int, int], others: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """First and last pixel along x, then y, counted from 1, which no other segment has."""
    line = file.numbers(f"segment {number} and its first and last pixel along x and y", 5)
    line.whole(0, "its number", number, number)
    fast0 = line.whole(1, "the first along x", 1, sizes[0])
    fast1 = line.whole(2, "the last along x", fast0, sizes[0])
    slow0 = line.whole(3, "the first along y", 1, sizes[1])
    slow1 = line.whole(4, "the last along y", slow0, sizes[1])
    for other, (x0, x1, y0, y1) in enumerate(others, start=1):
        if fast0 <= x1 and x0 <= fast1 and slow0 <= y1 and y0 <= slow1:
            raise line.refuse(f"it has pixels that segment {other} has, too")
    return fast0, fast1, slow0, slow1


def _segment(
    file: _File, number: int, bounds: tuple[int, int, int, int], edges: Array, origin: Array, axes: Array
) -> Panel:
    """The panel of pixels within bounds; ``origin``: of the detector, where its pixel (0, 0) is."""
    line = file.numbers(f"ORGX, ORGY, distance, x and y axis of segment {number}", 9)
    own = axes @ _frame([line.axis(3), line.axis(6)], line)
    fast0, fast1, slow0, slow1 = bounds
    corner = edges * (np.array([fast0, slow0]) - 0.5 - line.numbers[:2])
    fast, slow = edges[0] * own[:, 0], edges[1] * own[:, 1]
    return Panel(
        f"segment {number}",
        fast1 - fast0 + 1,
        slow1 - slow0 + 1,
        (origin + own @ [*corner, line.numbers[2]]).tolist(),
        fast.tolist(),
        slow.tolist(),
    )


def _mask(path: str, panel: Panel, fast0: int, fast1: int, slow0: int, slow1: int) -> Pixels | None:
    """False outside the bounds; None where they are the panel's."""
    if (fast0, fast1, slow0, slow1) == (1, panel.fast_pixels, 1, panel.slow_pixels):
        return None
    good = ~all_measured(path, panel)
    good[slow0 - 1 : slow1, fast0 - 1 : fast1] = True
    return good
