"""What a file that describes an experiment says of it, whatever its format."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError
from ..experiment import Panel
from .files import Path, read_unpacked
from .hdf5 import SIGNATURE
from .images.smv import SmvImage, smv_image
from .recognition import binary_format

Pixels = npt.NDArray[np.bool_]
Vector = Sequence[float] | npt.NDArray[np.float64]

EXACT = 1e-9
"""Edges and angles of pixels that are off by less are rounded: over 10 000 pixels of 0.1 mm that makes 1 nm."""
MOST_PIXELS = 1 << 28
"""Of a panel: ten times the largest that there is."""
LEAST_COSINE = 0.01
"""Between the beam and a detector's normal: of one that stands along the beam no distance along it is told."""


@dataclass(frozen=True, eq=False, repr=False)
class Found(HoldsArrays):
    """Fields of an experiment that a file gives; each counts where the experiment does not give it."""

    path: str
    """Of the file."""
    values: Mapping[str, Mapping[str, Any]]
    """Fields by noun, in the units of their names."""
    mask: Pixels | tuple[Pixels | None, ...] | None = None
    """False where a pixel is not measured (slow, fast); of listed panels one for each, None where all are."""
    distance_mm: float | None = None
    """Of listed panels, how far along the beam their places are counted from: an experiment's own distance moves them
    by the difference. None: they have places of their own."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Fields ("noun.field") that the file leaves to the experiment, each with what is wrong where that has none."""


class Reader(NamedTuple):
    """A format that describes experiments."""

    recognizes: Callable[[bytes], bool]
    """Whether a file of this content is of it."""
    module: str
    """Beside this one; its ``found_in(path, content)`` makes the :class:`Found`."""


_GEOM = re.compile(rb"^[ \t]*[^\s;=/#{]+/(?:corner_[xy]|[fs]s|m(?:in|ax)_[fs]s)[ \t]*=", re.MULTILINE)

_XPARM = re.compile(rb"[ \t]*G?XPARM\.XDS\b")
"""How the first line begins."""


def _is_geom(content: bytes) -> bool:
    """Whether a line places a panel."""
    return b"\0" not in content and _GEOM.search(content) is not None


def _is_expt(content: bytes) -> bool:
    """Whether it begins as JSON does; SMV images have no quotes there."""
    return re.match(rb'\s*\{\s*"', content) is not None


READERS: tuple[Reader, ...] = (
    Reader(lambda content: content.startswith(b"###CBF"), "cbf_found"),
    Reader(_is_expt, "expt"),
    Reader(lambda content: _XPARM.match(content) is not None, "xparm"),
    Reader(_is_geom, "geom"),
    Reader(lambda content: content.startswith(SIGNATURE), "nxmx_found"),
)


def read_found(path: Path) -> Found | SmvImage:
    """Read what a file says of an experiment; its content tells the format.

    Returns
    -------
    Found or SmvImage
        An SMV image as it is: what its keywords mean, the experiment's mode and convention decide.

    Raises
    ------
    InputFileError
        The file cannot be read, is of no known format, or not what its format promises.
    """
    content = read_unpacked(path, "the description of the detector")
    for reader in READERS:
        if reader.recognizes(content):
            found: Found = import_module(f"{__package__}.{reader.module}").found_in(path, content)
            return found
    if not content.startswith(b"{"):
        other = binary_format(content)
        raise InputFileError(
            f"{os.fspath(path)}: is no SMV image, nor mini-CBF, NXmx, geometry of CrystFEL, experiment of DIALS or "
            "XPARM.XDS" + (f"; it is {other[0]}" if other else "")
        )
    return smv_image(path, content)


def all_measured(path: str, panel: Panel) -> Pixels:
    """A mask that leaves no pixel out; an InputFileError for a panel that is larger than any."""
    shape = (panel.slow_pixels or 0, panel.fast_pixels or 0)
    if shape[0] * shape[1] > MOST_PIXELS:
        raise InputFileError(
            f"{path}: panel {panel.name!r} has {shape[1]} x {shape[0]} pixels (fast x slow), more than {MOST_PIXELS}"
        )
    return np.ones(shape, bool)


def detector_values(panels: Sequence[Panel], beam: Vector) -> dict[str, Any]:
    """The fields of a detector that consists of such panels.

    Parameters
    ----------
    panels : sequence of Panel
        With size, origin and steps.
    beam : vector
        Along which it travels.

    Returns
    -------
    dict
        Of a single panel of square pixels axes, distance and beam centre, each of which an experiment can give
        another value; of others the panels, whose places are their own.
    """
    one = _single(panels[0], np.array(beam, float)) if len(panels) == 1 else None
    return {"convention": "custom", **({"panels": tuple(panels)} if one is None else one)}


def _single(panel: Panel, beam: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    fast, slow, origin = (np.array(v) for v in (panel.fast_step_mm, panel.slow_step_mm, panel.origin_mm))
    edge, beam = float(f"{np.linalg.norm(fast):.14g}"), beam / np.linalg.norm(beam)
    if edge == 0.0 or abs(np.linalg.norm(slow) / edge - 1.0) > EXACT or abs(fast @ slow) > EXACT * edge * edge:
        return None
    fast, slow = fast / edge, slow / edge
    normal = np.cross(fast, slow)
    if origin @ normal < 0.0:
        normal = -normal
    if beam @ normal < LEAST_COSINE:
        return None
    distance = (origin @ normal) / (beam @ normal)
    x, y = ((distance * beam - origin) @ axis for axis in (fast, slow))
    return {
        "fast_pixels": panel.fast_pixels,
        "slow_pixels": panel.slow_pixels,
        "pixel_mm": edge,
        "fast_axis": tuple(fast.tolist()),
        "slow_axis": tuple(slow.tolist()),
        "normal_axis": tuple(normal.tolist()),
        "distance_mm": float(distance),
        "beam_x_mm": float(x),
        "beam_y_mm": float(y),
        "orgx_px": float(-(origin @ fast) / edge + 0.5),
        "orgy_px": float(-(origin @ slow) / edge + 0.5),
    }
