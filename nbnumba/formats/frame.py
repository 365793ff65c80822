"""What every image format is told of an image, whatever it makes of it: pixels, geometry, beam, scan, origin.

Lengths are in mm and angles in degrees; vectors are unit vectors of the laboratory, whose origin is the sample.
Arrays are by panel, each ``[slow, fast]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import UsageError
from ..experiment import Cell, Experiment, Readout

Vector = tuple[float, float, float]
Content = Literal["photons", "picture", "gray", "scaled", "counted", "experiment", "reflections"]
CONTENTS: dict[Content, str] = {
    "photons": "expected photons, floats",
    "picture": "expected photons, to be looked at",
    "gray": "gray levels",
    "scaled": "expected photons times a scale, integers",
    "counted": "photons as they are counted, integers",
    "experiment": "beam, crystal, detector and scan, without pixels",
    "reflections": "where reflections are predicted, without pixels",
}
WITHOUT_PIXELS: tuple[Content, ...] = ("experiment", "reflections")
GAP, BAD = -1, -2
"""In signed integers, pixels that were not measured and those that never count rightly: what a PILATUS has there."""
ALONG_BEAM = 1e-6
"""An axis that is off the beam by less is along it."""


@dataclass(frozen=True, eq=False, repr=False)
class PanelGeometry(HoldsArrays):
    """Where a panel stands, and which of its pixels were measured."""

    name: str
    """For people and files; empty where it has none."""
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
class CrystalTruth(HoldsArrays):
    """A lattice as it was simulated: what indexing and refinement are to find."""

    a_matrix: npt.NDArray[np.float64]
    """Columns a*, b*, c* in Å⁻¹ (3, 3), without 2π, in the laboratory at a spindle angle of 0."""
    cell: Cell
    """a, b, c in Å, α, β, γ in degrees."""
    space_group: str
    """By which F were expanded, Hermann-Mauguin; P 1 where nothing says another."""
    cells: tuple[int, int, int]
    """Of a block, along a, b, c."""
    mosaic_spread_deg: float
    """Largest angle by which a domain is turned from the first, whose axes these are."""
    domains: int
    """How many scatter."""
    weight: float
    """By which its photons were multiplied."""
    spot_scale: float
    """How many blocks scatter."""


@dataclass(frozen=True, eq=False, repr=False)
class PredictedReflections(HoldsArrays):
    """Reflections that meet the detector, one a row."""

    hkl: npt.NDArray[np.int32]
    """Miller indices (n, 3)."""
    panel: npt.NDArray[np.int64]
    """Number of the panel that each meets (n,)."""
    pixel: npt.NDArray[np.float64]
    """Fast, slow in pixels (n, 2) from the outer corner of the panel's first pixel, whose centre is (0.5, 0.5)."""
    wavelength_angstrom: npt.NDArray[np.float64]
    """At which each diffracts (n,)."""
    phi_deg: npt.NDArray[np.float64]
    """Spindle angle at which each diffracts (n,)."""
    d_angstrom: npt.NDArray[np.float64]
    """Spacing of its planes (n,)."""
    f: npt.NDArray[np.float64]
    """Structure factor in electrons (n,)."""


@dataclass(frozen=True, eq=False, repr=False)
class Description(HoldsArrays):
    """How beam, crystal and detector stood, with or without an image of them."""

    experiment: Experiment
    """All of it, with what headers gave and the seed that was drawn."""
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
    wavelengths_angstrom: npt.NDArray[np.float64]
    """Of the sources, each once, ascending (n,)."""
    wavelength_weights: npt.NDArray[np.float64]
    """Shares of the photons that have them (n,)."""
    crystals: tuple[CrystalTruth, ...]
    """The crystal's own lattice, then those beside it; none where the beam misses them."""
    spindle: Vector
    """About which the crystal turns."""
    phi_deg: float
    """Spindle angle at the start."""
    oscillation_deg: float
    """From there to its end."""
    edge_angstrom: float
    """Smallest spacing that meets the detector."""
    twotheta_axis: Vector
    """About which the detector turns by ``twotheta_deg``."""
    sensor_material: str
    """Symbol of what stops the photons; empty where it is not known."""
    attenuation_per_mm: float
    """Linear attenuation coefficient µ of the sensor; 0: all photons are counted at its surface."""
    placed_by: str
    """The options that gave detector, beam and spindle their axes."""
    program: str
    """What simulated it, and its version."""

    @property
    def readout(self) -> Readout:
        """How photons become counts."""
        return self.experiment.readout

    @property
    def detector_name(self) -> str:
        """By which ``nbnumba detectors`` knows it; empty where it has none."""
        return self.experiment.detector.preset or ""

    @property
    def seed(self) -> int:
        """Of the noise and all that is drawn."""
        return self.experiment.noise.seed or 0

    @property
    def image_number(self) -> int:
        """From 1 on, among those that share a seed."""
        return 1 + self.experiment.noise.frame

    @cached_property
    def truth(self) -> str:
        """The experiment as TOML; empty where it holds what has no text."""
        try:
            return self.experiment.to_toml()
        except UsageError:
            return ""

    @cached_property
    def to_dxtbx(self) -> npt.NDArray[np.float64]:
        """Rotation (3, 3) from the laboratory to the frame of DIALS, which is that of imgCIF.

        There z points against the beam, and x along the spindle as far as it is perpendicular to the beam: along the
        polarization where the spindle is along the beam.
        """
        z = -np.array(self.beam)
        for axis in (self.spindle, self.polarization, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
            x = np.array(axis) - z * (z @ axis)
            if np.linalg.norm(x) > ALONG_BEAM:
                break
        x /= np.linalg.norm(x)
        return np.array([x, np.cross(z, x), z])


def check_crystal(name: str, description: Description) -> None:
    """Raise a UsageError where a file that tells of a crystal has none to tell of."""
    if not description.crystals:
        raise UsageError(f"{name}: tells of a crystal, and here is none in the beam (-spot_scale 0)")


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
    saturation: float | None = None
    """The largest count to be trusted; None: there is no limit."""
    bad: tuple[npt.NDArray[np.bool_], ...] | None = None
    """Which pixels of each panel never count rightly; None: all do."""
    reflections: PredictedReflections | None = None
    """Where they are predicted, of that content."""
    underload: float = 0.0
    """The smallest count to be trusted; below 0 where ``adc_offset`` was subtracted."""
    counts_file: str = ""
    """For formats without pixels: the file that has its counts, # standing for the number of the image; empty where
    there is none that DIALS reads."""
    counts_place: int | None = None
    """Which of the images in that file it is, from 0; None: the file has one."""

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


def with_marks(frame: Frame, largest: int) -> Frame:
    """A copy as int32 of at most ``largest``, gaps and bad pixels marked as DECTRIS does."""
    pixels = frame.pixels[0]
    signed = np.minimum(pixels, min(largest, np.iinfo(pixels.dtype).max)).astype(np.int32, copy=False)
    marked = replace(frame, pixels=(signed,)).with_unmeasured(GAP)
    if frame.bad is not None:
        marked.pixels[0][frame.bad[0] & (marked.pixels[0] != GAP)] = BAD
    return marked


class Frames(Protocol):
    """What takes frames one after another."""

    def write(self, frame: Frame) -> None:
        """Take the next one."""
