"""Panels in space, in SI: flat pieces of a detector, each in a plane of its own; and their images in one array."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import UsageError
from ..experiment import Detector, Experiment, Panel
from ..experiment.quirks import PHYSICS, quirks_of
from ..kernels.equations.vectors import Vector, cross, dot, length, scaled
from ..units import metres_from_mm
from .lab import Axes, lab_axes

SMALLEST_COSINE = 1e-12
"""Between a plane's normal and the beam, or what the origin is placed by: less is 0 but for rounding."""
STEEPEST_COSINE = 0.5
"""Of planes steeper to the beam, the distance along the beam says nothing of the pixels that they have."""
OF_ALL_PANELS = (
    "panels", "convention", "sensor_material", "thickness_um", "attenuation_depth_um", "layers", "point_pixel",
    "beamstop_mm", "beamstop_arm", "header_file",
)  # fmt: skip
"""Fields of a detector that count beside its panels."""
NEEDED = ("fast_pixels", "slow_pixels", "origin_mm", "fast_step_mm", "slow_step_mm")
"""Fields of a panel that nothing else gives."""


@dataclass(frozen=True)
class PlacedPanel:
    """Where the pixels of a panel are: pixel (i, j) is centred at origin + pixel · ((i + ½) fast + (j + ½) slow).

    Lengths are in m, vectors in the laboratory's axes, of which three are named here: they are the same for all panels.
    """

    fast_pixels: int
    """Pixels along fast."""
    slow_pixels: int
    """Pixels along slow."""
    pixel_m: float
    """Edge of a pixel; the square root of its area, where it is no square."""
    beam: Vector
    """Along which the beam travels."""
    polarization: Vector
    """E-vector."""
    spindle: Vector
    """About which the crystal turns."""
    fast: Vector
    """From a pixel to the next along fast, in units of ``pixel_m``: of length 1 where pixels are squares."""
    slow: Vector
    """The same along slow."""
    normal: Vector
    """Unit vector across the plane, away from the sample."""
    origin_m: Vector
    """Outer corner of the first pixel, from the sample."""
    ratio: float
    """Cosine between the beam and the normal."""
    distance_m: float
    """Sample to where the beam meets the plane; infinite where it does not."""
    close_distance_m: float
    """Sample to the plane along its normal."""
    fbeam_m: float
    """Where the beam meets the plane, along fast from the corner (for pixels that are no squares, pixels times
    ``pixel_m``)."""
    sbeam_m: float
    """The same along slow."""
    fclose_m: float
    """Where the plane is nearest to the sample, along fast from the corner."""
    sclose_m: float
    """The same along slow."""

    @property
    def beam_center_px(self) -> tuple[float, float]:
        """Where the beam meets the plane (fast, slow), in pixels from the outer corner of the first one."""
        return (self.fbeam_m / self.pixel_m, self.sbeam_m / self.pixel_m)

    @property
    def orgx_px(self) -> float:
        """Nearest point in pixels; the centre of the first pixel is 1."""
        return self.fclose_m / self.pixel_m + 0.5

    @property
    def orgy_px(self) -> float:
        """The same along slow."""
        return self.sclose_m / self.pixel_m + 0.5

    @property
    def dials_origin_mm(self) -> Vector:
        """Outer corner of the first pixel in the frame of DIALS, for a mosflm laboratory."""
        x, y, z = self.origin_m
        return (1000.0 * z, 1000.0 * y, -1000.0 * x)

    @property
    def handedness(self) -> float:
        """+1 where fast × slow points along the beam, else −1."""
        return 1.0 if dot(cross(self.fast, self.slow), self.beam) >= 0.0 else -1.0

    @property
    def view(self) -> tuple[float, float]:
        """Distance and edge (m) of a pixel as the sample sees them: where the beam meets a plane that faces it."""
        return self.distance_m, self.pixel_m

    @property
    def metric(self) -> Vector:
        """f·f, s·s and 2 f·s: what squares of lengths in the plane are made of."""
        return (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class ListedPanel(PlacedPanel):
    """A panel of a list, which no convention places: its pixels may be oblong or oblique, its plane anywhere."""

    @property
    def view(self) -> tuple[float, float]:
        """The same with the longer edge, and for a steep plane not farther than twice its nearest point."""
        edge = self.pixel_m * max(length(self.fast), length(self.slow))
        return self.close_distance_m / max(self.ratio, STEEPEST_COSINE), edge

    @property
    def metric(self) -> Vector:
        """The same of steps that may differ."""
        return (dot(self.fast, self.fast), dot(self.slow, self.slow), 2.0 * dot(self.fast, self.slow))


def check_panels(experiment: Experiment) -> None:
    """Raise a UsageError for what an experiment cannot say beside a list of panels."""
    detector = experiment.detector
    if detector.panels is None:
        return
    nothing = Detector()
    if not detector.panels:
        raise UsageError("detector.panels is empty: give a panel, or leave it out")
    for name in (field.name for field in fields(Detector)):
        if name not in OF_ALL_PANELS and getattr(detector, name) != getattr(nothing, name):
            raise UsageError(f"detector.{name} beside detector.panels, which have their own: leave out one of the two")
    if quirks_of(experiment) != PHYSICS:
        raise UsageError("detector.panels: nanoBragg, and so mode c and its φ carry-over, has one flat detector")


def listed_panels(experiment: Experiment) -> tuple[ListedPanel, ...]:
    """The panels of a list, in SI.

    Raises
    ------
    UsageError
        A panel without pixels, steps that span no plane, a plane with the sample in it.
    """
    axes, _ = lab_axes(experiment.beam, experiment.detector, experiment.goniometer)
    return tuple(_placed(number, panel, axes) for number, panel in enumerate(experiment.detector.panels or ()))


def _placed(number: int, panel: Panel, axes: Axes) -> ListedPanel:
    name = f"detector.panels[{number}]" + (f" ({panel.name})" if panel.name else "")
    fast_pixels, slow_pixels = panel.fast_pixels, panel.slow_pixels
    given = (panel.origin_mm, panel.fast_step_mm, panel.slow_step_mm)
    origin, fast, slow = (None if mm is None else _in_metres(mm) for mm in given)
    if fast_pixels is None or slow_pixels is None or origin is None or fast is None or slow is None:
        missing = [field for field in NEEDED if getattr(panel, field) is None]
        raise UsageError(f"{name} is without {', '.join(missing)}: a panel needs {', '.join(NEEDED)}")
    if fast_pixels < 1 or slow_pixels < 1:
        raise UsageError(f"{name}: {fast_pixels} x {slow_pixels} pixels (fast x slow): give 1 or more")
    across = cross(fast, slow)
    area = length(across)
    if not area > SMALLEST_COSINE * length(fast) * length(slow):
        raise UsageError(f"{name}: fast_step_mm and slow_step_mm span no pixel: give two directions, neither zero")
    pixel = math.sqrt(area)
    fast, slow, normal = _over(fast, pixel), _over(slow, pixel), _over(across, area)
    close_distance = dot(origin, normal)
    if not abs(close_distance) > SMALLEST_COSINE * length(origin):
        raise UsageError(f"{name}: the sample lies in its plane, of which it sees nothing: move or turn the panel")
    if close_distance < 0.0:
        normal, close_distance = _over(normal, -1.0), -close_distance
    along_fast, along_slow = cross(slow, normal), cross(normal, fast)

    def offsets(v: Vector) -> tuple[float, float]:
        """Along fast and slow, of a vector in the plane."""
        return dot(along_fast, v) / dot(along_fast, fast), dot(along_slow, v) / dot(along_slow, slow)

    ratio = dot(axes.beam, normal)
    fclose, sclose = offsets(_less(scaled(normal, close_distance), origin))
    distance = fbeam = sbeam = math.inf
    if ratio > SMALLEST_COSINE:
        distance = close_distance / ratio
        fbeam, sbeam = offsets(_less(scaled(axes.beam, distance), origin))
    return ListedPanel(
        fast_pixels=fast_pixels,
        slow_pixels=slow_pixels,
        pixel_m=pixel,
        beam=axes.beam,
        polarization=axes.polarization,
        spindle=axes.spindle,
        fast=fast,
        slow=slow,
        normal=normal,
        origin_m=origin,
        ratio=ratio,
        distance_m=distance,
        close_distance_m=close_distance,
        fbeam_m=fbeam,
        sbeam_m=sbeam,
        fclose_m=fclose,
        sclose_m=sclose,
    )


def _in_metres(mm: Vector) -> Vector:
    return (metres_from_mm(mm[0]), metres_from_mm(mm[1]), metres_from_mm(mm[2]))


def _less(u: Vector, v: Vector) -> Vector:
    return (u[0] - v[0], u[1] - v[1], u[2] - v[2])


def _over(v: Vector, divisor: float) -> Vector:
    """Divided, not multiplied by the inverse, which would not make 1 of every length."""
    return (v[0] / divisor, v[1] / divisor, v[2] / divisor)


def pixels_within(panel: PlacedPanel, radius_m: float) -> np.ndarray:
    """Pixels (slow, fast) whose centre lies within a radius of the beam spot, on the panel: a boolean array."""
    if math.isinf(panel.distance_m):
        return np.zeros((panel.slow_pixels, panel.fast_pixels), bool)
    fast = (np.arange(panel.fast_pixels) + 0.5) * panel.pixel_m - panel.fbeam_m
    slow = (np.arange(panel.slow_pixels) + 0.5) * panel.pixel_m - panel.sbeam_m
    along_fast, along_slow, skew = panel.metric
    squared = fast * fast * along_fast + (slow * slow * along_slow)[:, np.newaxis]
    if skew != 0.0:
        squared += skew * fast * slow[:, np.newaxis]
    within: np.ndarray = squared <= radius_m * radius_m
    return within


# Images of several panels in one array -----------------------------------------------------------------------------


def stack_shape(panels: Sequence[Any]) -> tuple[int, int]:
    """Rows and columns of the array that holds the images of all panels (anything with numbers of pixels)."""
    return sum(panel.slow_pixels for panel in panels), max(panel.fast_pixels for panel in panels)


def stacked(images: Sequence[np.ndarray], beside: float = 0.0) -> np.ndarray:
    """Images (slow, fast, …) one above the other in order, each from column 0 on; a single one as it is.

    What stands ``beside`` narrow ones is 0 or as it is given.
    """
    if len(images) == 1:
        return images[0]
    rows, columns = sum(len(image) for image in images), max(image.shape[1] for image in images)
    stack = np.full((rows, columns, *images[0].shape[2:]), beside, images[0].dtype)
    for view, image in zip(unstacked(stack, [image.shape[:2] for image in images]), images, strict=True):
        view[...] = image
    return stack


def unstacked(stack: np.ndarray, shapes: Sequence[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    """The images of a stack, as views of it."""
    ends = np.cumsum([0, *(rows for rows, _ in shapes)]).tolist()
    return tuple(
        stack[first:last, :columns] for (first, last), (_, columns) in zip(pairwise(ends), shapes, strict=True)
    )
