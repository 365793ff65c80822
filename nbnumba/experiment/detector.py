"""The detector: where it stands, its pixels, its sensor, and which of its pixels count."""

import math
from dataclasses import dataclass

from .field import NOT_NEGATIVE, POSITIVE, field
from .noun import Noun
from .types import (
    NOT_GIVEN,
    Array,
    Convention,
    GivenFile,
    GivenVector,
    Mask,
    Pivot,
    SensorMaterial,
    Taking,
    Values,
    as_mask,
)

OWN_PIVOT: dict[Convention, Pivot] = {
    "mosflm": "beam",
    "denzo": "beam",
    "adxv": "beam",
    "xds": "sample",
    "dials": "sample",
    "custom": "beam",
}
"""What a detector turns about in each convention where nothing else is said."""


@dataclass(frozen=True)
class Panel(Noun):
    """A flat piece of a detector, placed by itself in the laboratory frame of the detector's convention.

    Pixel (i, j) is centred at origin + (i + ½) fast step + (j + ½) slow step, all from the sample.

    Examples
    --------
    >>> from nbnumba import Detector, Panel
    >>> left, right = (
    ...     Panel(name, 32, 64, origin_mm=(x, -3.2, 100), fast_step_mm=(0.1, 0, 0), slow_step_mm=(0, 0.1, 0))
    ...     for name, x in (("left", -3.25), ("right", 0.05))
    ... )
    >>> len(Detector(convention="dials", panels=[left, right]).panels)
    2
    """

    name: str = ""
    """For people and files."""
    fast_pixels: int | None = None
    """Pixels along fast; every panel needs these, and the four below."""
    slow_pixels: int | None = None
    """Pixels along slow."""
    origin_mm: GivenVector = NOT_GIVEN
    """Outer corner of the first pixel."""
    fast_step_mm: GivenVector = NOT_GIVEN
    """From a pixel to the next along fast: its direction and its edge in one."""
    slow_step_mm: GivenVector = NOT_GIVEN
    """The same along slow; pixels may be oblong, and need not be quite rectangular."""
    mask: Taking[Mask | None, Mask | Array | None] = NOT_GIVEN
    """An array of truths or whole numbers (slow, fast): pixels of value 0 are not rendered."""
    roi: Taking[tuple[int, int, int, int] | None, Values[int] | None] = field(NOT_GIVEN, unit="px")
    """First and last fast, first and last slow pixel to render, all inclusive."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", as_mask(self.mask))
        super().__post_init__()


@dataclass(frozen=True)
class Detector(Noun):
    """A flat (or spherical) pixel detector and where it stands, or one of several panels.

    Beam centre, nearest point and the vectors are read in the axes of ``convention``.
    """

    convention: Convention = "mosflm"
    """Whose laboratory frame: the beam is along +x in mosflm and denzo, along +z in adxv, xds and dials."""
    pivot: Pivot | None = None
    """What stays put when the detector is rotated: the beam spot or the point nearest to the sample."""
    fast_pixels: int | None = field(None, POSITIVE)
    """Pixels along fast; None: as many as the size holds."""
    slow_pixels: int | None = field(None, POSITIVE)
    """Pixels along slow; None: as many as the size holds."""
    fast_size_mm: float | None = field(None, POSITIVE)
    """Edge of the detector along fast, where no number of pixels is given (102.4 mm where nothing is)."""
    slow_size_mm: float | None = field(None, POSITIVE)
    """The same along slow."""
    pixel_mm: float | None = field(None, POSITIVE, slip=(5e-4, 50.0))
    """Edge of a pixel (0.1 mm where neither this nor a header gives it)."""
    distance_mm: float | None = field(None, POSITIVE, slip=(1.0, 1e5))
    """Sample to beam spot, along the beam (100 mm where nothing gives a distance)."""
    close_distance_mm: float | None = field(None, POSITIVE, slip=(0.1, 1e5))
    """Sample to the nearest point of the detector plane."""
    beam_x_mm: float | None = None
    """Beam centre, x in the axes of the convention; None: the middle of the detector."""
    beam_y_mm: float | None = None
    """Beam centre, y."""
    close_x_mm: float | None = None
    """Point nearest to the sample, along fast from the outer corner of the first pixel."""
    close_y_mm: float | None = None
    """The same along slow."""
    orgx_px: float | None = None
    """Point nearest to the sample in pixels along fast, as in XDS: the centre of the first pixel is 1."""
    orgy_px: float | None = None
    """The same along slow."""
    rotx_deg: float = 0.0
    """Turn of the detector about the lab's x."""
    roty_deg: float = 0.0
    """Then about the lab's y."""
    rotz_deg: float = 0.0
    """Then about the lab's z."""
    twotheta_deg: float | None = None
    """Then about the two-theta axis; None: by the header, else 0."""
    fast_axis: GivenVector = NOT_GIVEN
    """Along which pixels are read fastest, before rotations; convention "custom" only, like the three below."""
    slow_axis: GivenVector = NOT_GIVEN
    """Across it, along the columns."""
    normal_axis: GivenVector = NOT_GIVEN
    """Normal of the detector plane, away from the sample."""
    twotheta_axis: GivenVector = NOT_GIVEN
    """About which ``twotheta_deg`` turns."""
    origin_mm: GivenVector = NOT_GIVEN
    """Outer corner of the first pixel before rotations (pix0_vector); convention "custom" only."""
    curved: bool = False
    """Every pixel at ``distance_mm`` from the sample."""
    point_pixel: bool = False
    """Solid angle 1/R², without pixel size and obliquity."""
    attenuation_depth_um: float | None = field(None, NOT_NEGATIVE, slip=(1.0, math.inf), is_infinite=True)
    """1/e depth of the sensor material; None: by the material and the wavelength, inf: no absorption."""
    thickness_um: float | None = field(None, NOT_NEGATIVE, slip=(1.0, 1e5))
    """Of the sensor; 0: all photons are counted at its surface; None: by the detector's name, else 0."""
    layers: int | None = field(None, POSITIVE)
    """Into which the sensor is cut along its depth; None: 2 where it absorbs, else 1."""
    header_file: GivenFile = NOT_GIVEN
    """What describes detector, beam and scan where fields do not: the header of an SMV image or mini-CBF, an NXmx file,
    a geometry of CrystFEL, an experiment of DIALS or XPARM.XDS (with its crystal)."""
    mask_file: GivenFile = NOT_GIVEN
    """SMV image: pixels of value 0 are not rendered; its header counts too, before ``header_file``."""
    mask: Taking[Mask | None, Mask | Array | None] = field(NOT_GIVEN, in_place_of="mask_file")
    """An array of truths or whole numbers (slow, fast) in place of the file."""
    beamstop_mm: float = field(0.0, NOT_NEGATIVE)
    """Radius of a disc on the detector, about the beam centre, that stops all photons."""
    roi: Taking[tuple[int, int, int, int] | None, Values[int] | None] = field(NOT_GIVEN, unit="px")
    """First and last fast, first and last slow pixel to render, all inclusive."""
    panels: Taking[tuple[Panel, ...] | None, Values[Panel] | None] = NOT_GIVEN
    """Flat pieces, each with a place, pixels, mask and region of its own, in place of all that says these here."""
    preset: str | None = None
    """One that is known by its name (``nbnumba detectors``): pixels, their edge and the sensor where neither fields
    nor files say them, and gaps between modules, which are not rendered."""
    sensor_material: SensorMaterial | None = None
    """What absorbs the photons, by which ``thickness_um`` and the wavelength give ``attenuation_depth_um`` where it is
    not given (not in a phosphor); None: by the detector's name, else not known."""
    beamstop_arm: Taking[tuple[float, float] | None, Values[float] | None] = field(
        NOT_GIVEN, POSITIVE, unit="mm and deg", first=1
    )
    """Width of the arm that holds the beamstop, from its disc to the edge of the detector, and the arm's direction on
    the detector: an angle from the fast axis towards the slow one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", as_mask(self.mask))
        super().__post_init__()

    @property
    def chosen_pivot(self) -> Pivot:
        """The pivot that is given, else what the given fields describe (beam centre or near point), else the own."""
        if self.pivot is not None:
            return self.pivot
        near = (self.close_distance_mm, self.close_x_mm, self.close_y_mm, self.orgx_px, self.orgy_px)
        near_given = any(value is not None for value in near)
        beam_given = self.beam_x_mm is not None or self.beam_y_mm is not None
        if near_given == beam_given:
            return OWN_PIVOT[self.convention]
        return "sample" if near_given else "beam"
