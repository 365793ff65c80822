"""What every image format is told of an image, whatever it makes of it: pixels, geometry, beam, scan, origin.

Lengths are in mm and angles in degrees; vectors are unit vectors of the laboratory, whose origin is the sample.
Arrays are by panel, each ``[slow, fast]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays

Vector = tuple[float, float, float]
Content = Literal["photons", "picture", "gray", "scaled", "counted"]
CONTENTS: dict[Content, str] = {
    "photons": "expected photons, floats",
    "picture": "expected photons, to be looked at",
    "gray": "gray levels",
    "scaled": "expected photons times a scale, integers",
    "counted": "photons as they are counted, integers",
}


@dataclass(frozen=True, eq=False, repr=False)
class PanelGeometry(HoldsArrays):
    """Where a panel stands, and which of its pixels were measured."""

    fast_pixels: int
    """Pixels along fast."""
    slow_pixels: int
    """Pixels along slow."""
    pixel_mm: float
    """Edge of a pixel; the square root of its area, where it is no square."""
    origin_mm: Vector
    """Outer corner of the first pixel."""
    fast: Vector
    """From a pixel to the next along fast, in units of ``pixel_mm``: of length 1 where pixels are squares."""
    slow: Vector
    """The same along slow."""
    distance_mm: float
    """Sample to beam spot."""
    close_distance_mm: float
    """Sample to the panel's plane along its normal."""
    beam_center_mm: tuple[float, float]
    """Beam centre in the axes of the detector's convention."""
    fbeam_mm: float
    """Beam spot, along fast from the outer corner of the first pixel."""
    sbeam_mm: float
    """The same along slow."""
    slow_size_mm: float
    """Edge along slow, as it was given."""
    dials_origin_mm: Vector
    """Outer corner of the first pixel in the frame of DIALS, for a mosflm laboratory."""
    orgx: float
    """Point nearest to the sample in pixels along fast; the centre of the first pixel is 1."""
    orgy: float
    """The same along slow."""
    twotheta_deg: float
    """Turn about the two-theta axis."""
    curved: bool
    """Every pixel at one distance from the sample."""
    thickness_um: float
    """Of the sensor; 0: all photons are counted at its surface."""
    roi: tuple[int, int, int, int]
    """First and last fast, first and last slow pixel that are measured, all inclusive."""
    mask: npt.NDArray[Any] | None
    """0 where a pixel is not measured; None: all are."""

    @property
    def has_one_edge(self) -> bool:
        """Whether ``pixel_mm`` is the edge of a pixel along both axes, but for rounding."""
        return bool(np.abs(np.linalg.norm([self.fast, self.slow], axis=1) - 1.0).max() < 1e-9)

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """Which pixels are in the region and not masked."""
        fast0, fast1, slow0, slow1 = self.roi
        measured = np.zeros((self.slow_pixels, self.fast_pixels), bool)
        measured[slow0 : slow1 + 1, fast0 : fast1 + 1] = True
        return measured if self.mask is None else measured & (self.mask != 0)

    @property
    def is_whole(self) -> bool:
        """Whether all pixels are measured."""
        return self.mask is None and self.roi == (0, self.fast_pixels - 1, 0, self.slow_pixels - 1)


@dataclass(frozen=True, eq=False, repr=False)
class Description(HoldsArrays):
    """How beam, crystal and detector stood, with or without an image of them."""

    panels: tuple[PanelGeometry, ...]
    """At least one."""
    wavelength_angstrom: float
    """Central."""
    mean_wavelength_angstrom: float
    """Of the sources by their weights."""
    beam: Vector
    """Along which the beam travels."""
    mean_direction: Vector
    """Of the sources by their weights."""
    polarization: Vector
    """E-vector."""
    polarization_fraction: float | None
    """Of the light along it: 0.5 unpolarized, 1 fully polarized; None: no polarization in the image."""
    fluence_per_m2: float
    """Photons per m²."""
    exposure_s: float
    """Exposure time."""
    flux_per_s: float
    """Photons per second; 0: not given."""
    spindle: Vector
    """About which the crystal turns."""
    phi_deg: float
    """Spindle angle at the start."""
    oscillation_deg: float
    """From there to its end."""
    edge_angstrom: float
    """Smallest spacing that meets the detector."""
    placed_by: str
    """The options that gave detector, beam and spindle their axes."""
    program: str
    """What simulated it, and its version."""


@dataclass(frozen=True, eq=False, repr=False)
class Frame(HoldsArrays):
    """One image, ready for any format that holds its content."""

    description: Description
    """What there is to tell of it."""
    pixels: tuple[npt.NDArray[Any], ...]
    """An array (slow, fast) for each panel."""
    content: Content
    """What the pixels are."""
    scale: float = 1.0
    """Counts or gray levels for each photon."""
    adc_offset: float = 0.0
    """Count of no photons."""
    photons: int | None = None
    """How many were counted in all."""
    overloads: int | None = None
    """How many pixels were cut to the largest integer."""

    @property
    def saturation(self) -> int | None:
        """The largest integer that a pixel can have."""
        kind = self.pixels[0].dtype
        return int(np.iinfo(kind).max) if kind.kind in "iu" else None

    def with_unmeasured(self, value: float) -> Frame:
        """The same with a value in the pixels that were not measured.

        Parameters
        ----------
        value : float
            Within what the pixels can be.

        Returns
        -------
        Frame
            A copy.
        """
        panels = zip(self.pixels, self.description.panels, strict=True)
        return replace(self, pixels=tuple(
            np.where(panel.measured, pixels, pixels.dtype.type(value)) for pixels, panel in panels))  # fmt: skip


class Frames(Protocol):
    """What takes frames one after another."""

    def write(self, frame: Frame) -> None:
        """Take the next one."""
