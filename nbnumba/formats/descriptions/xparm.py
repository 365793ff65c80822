"""XPARM.XDS: beam, detector, spindle and the true crystal as XDS takes them, by any name that ends in ``.XDS``.

The frame has z along the beam and x along the spindle, or as far along it as is perpendicular to the beam; y = z × x.
Digits are more than XDS writes, which reads numbers between blanks.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from ...errors import NbnumbaWarning, UsageError
from ..files import Path, replacing
from ..frame import Description, Frame, check_crystal
from ..registry import Format
from ..space_groups import space_group_of

FROM_DXTBX = np.diag([1.0, -1.0, -1.0])
"""Half a turn about x: the beam along z, not against it."""


def xparm_text(description: Description) -> str:
    """The lines of the file, of one panel and of the crystal's own lattice."""
    d, panel, crystal = description, description.panels[0], description.crystals[0]
    to_xds = FROM_DXTBX @ d.to_dxtbx
    fast, slow = np.array([panel.fast, panel.slow]) @ to_xds.T
    edges = np.linalg.inv(crystal.a_matrix) @ to_xds.T
    normal = np.cross(fast, slow)
    distance = float(to_xds @ panel.origin_mm @ normal)
    size = f"{panel.fast_pixels:9d} {panel.slow_pixels:9d}"
    lines = [
        f" XPARM.XDS    {d.program}",
        f"{d.image_number:6d} {_row([d.phi_deg, d.oscillation_deg, *(to_xds @ d.spindle)])}",
        _row([d.mean_wavelength_angstrom, *(to_xds @ d.mean_direction / d.mean_wavelength_angstrom)]),
        f"{space_group_of(crystal.space_group).number:6d} {_row(crystal.cell)}",
        *(_row(edge) for edge in edges),
        f"{1:9d} {size} {_row([panel.pixel_mm, panel.pixel_mm])}",
        _row([panel.orgx, panel.orgy, distance]),
        *(_row(axis) for axis in (fast, slow, normal)),
        f"{1:9d} {1:9d} {panel.fast_pixels:9d} {1:9d} {panel.slow_pixels:9d}",
        _row([0, 0, 0, 1, 0, 0, 0, 1, 0]),
    ]
    return "\n".join(lines) + "\n"


def _row(numbers: Iterable[float]) -> str:
    return " ".join(f"{number + 0.0:17.10f}" for number in numbers)


def _check(path: Path, description: Description, adc_offset: float) -> None:
    name, panel = os.fspath(path), description.panels[0]
    check_crystal(name, description)
    if len(description.panels) > 1:
        raise UsageError(f"{name}: tells of one panel, and there are {len(description.panels)}: .expt tells of all")
    if panel.curved:
        raise UsageError(f"{name}: XDS has flat detectors alone (here: -curved_det)")
    if not panel.has_one_edge:
        raise UsageError(f"{name}: tells of square pixels, and those of the panel are oblong or oblique: give .expt")
    for text in _left_out(description):
        warnings.warn(f"{name}: {text}", NbnumbaWarning, stacklevel=1)


def _left_out(description: Description) -> Iterator[str]:
    if len(description.crystals) > 1:
        yield f"tells of the first of {len(description.crystals)} lattices; .expt tells of all"


def _write(path: Path, frame: Frame) -> None:
    with replacing(path) as file:
        file.write(xparm_text(frame.description).encode())


FORMAT = Format("XPARM", (".xds",), ("experiment",), _write, check=_check)
