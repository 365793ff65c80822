"""Where the detector stands: conventions, pivots and rotations, from the user's fields to SI vectors."""

import math
import sys
import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Detector, Experiment, Pivot
from ..experiment.quirks import Quirks, quirks_of
from ..kernels.equations.vectors import Vector, cross, dot, length, rotated_about, rotated_xyz, scaled, unit
from ..units import metres_from_mm, radians_from_degrees
from .lab import Axes, lab_axes
from .panels import SMALLEST_COSINE, PlacedPanel

DEFAULT_PIXEL_MM = 0.1
DEFAULT_SIZE_MM = 102.4
DEFAULT_DISTANCE_MM = 100.0
ROUNDED = 1e-12
"""By how much the length of a unit vector that was computed may differ from 1."""

ALONG_PLANE = (
    "the beam runs along the detector plane, or the sample lies in it (-beam_vector, -odet_vector, -pix0_vector, "
    "-detector_rot*, -twotheta): turn the detector towards the beam"
)


@dataclass(frozen=True)
class Geometry(PlacedPanel):
    """The one panel of a detector that a convention places, and how: its pixels are squares, its vectors of length 1.

    What :class:`nbnumba.setup.panels.PlacedPanel` has is that after all rotations.
    """

    convention: str
    """Whose laboratory frame the vectors are in."""
    pivot: Pivot
    """What stayed put when the detector was turned."""
    size_m: tuple[float, float]
    """Edges along fast and slow: as given, not always a whole number of pixels."""
    twotheta_axis: Vector
    """About which two-theta turns the detector."""
    rotations_rad: Vector
    """Turns of the detector about the lab's x, then y, then z."""
    twotheta_rad: float
    """The turn after them."""
    unrotated: tuple[Vector, Vector, Vector]
    """Fast, slow and normal before all turns."""
    unrotated_origin_m: Vector
    """Outer corner of the first pixel before them, where the pivot is the sample."""
    xbeam_m: float
    """Beam centre as given or by default, x in the axes of the convention."""
    ybeam_m: float
    """The same, y."""
    xclose_m: float
    """Nearest point as given or by default, along fast."""
    yclose_m: float
    """The same along slow."""
    placed_close_m: tuple[float, float, float]
    """Nearest point and its distance as they went into the placement (fast, slow, distance)."""

    @property
    def slow_size_m(self) -> float:
        """Edge of the detector along slow."""
        return self.size_m[1]


def place_detector(experiment: Experiment) -> Geometry:
    """Resolve the detector's fields into vectors.

    Parameters
    ----------
    experiment : Experiment
        With the headers' values already in it.

    Raises
    ------
    UsageError
        Vectors of no length, a beam that runs along the detector plane, sizes that hold no pixel.
    """
    detector, quirks = experiment.detector, quirks_of(experiment)
    axes, normal_given = lab_axes(experiment.beam, detector, experiment.goniometer)
    axes = replace(axes, normal=_normal_of(axes, normal_given, quirks.normal_loses_side))
    pixel_m, (fast_pixels, slow_pixels), size = _pixels(detector)
    turn = _turn_of(detector, axes)
    fast, slow, normal = turn(axes.fast), turn(axes.slow), turn(axes.normal)
    ratio_flat = dot(axes.beam, turn.without_twotheta(axes.normal)) or sys.float_info.min
    ratio = ratio_flat if quirks.twotheta_left_out else dot(axes.beam, normal)
    if not quirks.twotheta_left_out and abs(ratio) < SMALLEST_COSINE:
        raise UsageError(ALONG_PLANE)
    points = _points(detector, pixel_m, size, quirks)
    distances = _distances(detector, ratio_flat, ratio, quirks.close_distance_decides)
    given_origin = None if quirks.origin_ignored else _given_origin(detector)
    flat_origin, origin = _origins(detector.chosen_pivot, axes, turn, points, distances, given_origin)
    reach = max(map(abs, distances)) if given_origin is None else length(origin)
    close_distance = dot(origin, normal)
    distance = close_distance / ratio
    # Without two-theta the ratio was not checked above: one of 0 is taken for a tiny one.
    if not SMALLEST_COSINE * reach < abs(close_distance) < math.inf or not 0.0 < abs(distance) < math.inf:
        raise UsageError(ALONG_PLANE)
    if close_distance < 0.0:
        _refuse_back_side(quirks.may_face_away)
    to_spot = tuple(distance * axes.beam[i] - origin[i] for i in range(3))
    return Geometry(
        convention=detector.convention,
        pivot=detector.chosen_pivot,
        fast_pixels=fast_pixels,
        slow_pixels=slow_pixels,
        pixel_m=pixel_m,
        size_m=size,
        beam=axes.beam,
        polarization=axes.polarization,
        spindle=axes.spindle,
        twotheta_axis=axes.twotheta,
        rotations_rad=turn.rotations_rad,
        twotheta_rad=turn.twotheta_rad,
        unrotated=(axes.fast, axes.slow, axes.normal),
        unrotated_origin_m=flat_origin,
        fast=fast,
        slow=slow,
        normal=normal,
        origin_m=origin,
        ratio=ratio,
        distance_m=distance,
        close_distance_m=close_distance,
        fbeam_m=dot(fast, to_spot),
        sbeam_m=dot(slow, to_spot),
        fclose_m=-dot(origin, fast),
        sclose_m=-dot(origin, slow),
        xbeam_m=points.beam_xy[0],
        ybeam_m=points.beam_xy[1],
        xclose_m=points.close_xy[0],
        yclose_m=points.close_xy[1],
        placed_close_m=(*points.near, distances[1]),
    )


class _Turn(NamedTuple):
    """All turns of a detector, one after the other."""

    rotations_rad: Vector
    twotheta_rad: float
    axis: Vector
    """Of two-theta."""

    def without_twotheta(self, v: Vector) -> Vector:
        return rotated_xyz(v, *self.rotations_rad)

    def __call__(self, v: Vector) -> Vector:
        return rotated_about(self.without_twotheta(v), self.axis, self.twotheta_rad)


def _turn_of(detector: Detector, axes: Axes) -> _Turn:
    rotations = (
        radians_from_degrees(detector.rotx_deg),
        radians_from_degrees(detector.roty_deg),
        radians_from_degrees(detector.rotz_deg),
    )
    return _Turn(rotations, radians_from_degrees(detector.twotheta_deg or 0.0), axes.twotheta)


class _Points(NamedTuple):
    """Nearest point and beam centre in m, as they are given or by default."""

    near: tuple[float, float]
    spot: tuple[float, float]
    """Both along fast and slow, by which the detector is placed."""
    close_xy: tuple[float, float]
    beam_xy: tuple[float, float]
    """Both as they are told: the nearest point along fast and slow, the centre in the axes of the convention."""


def _points(detector: Detector, pixel_m: float, size: tuple[float, float], quirks: Quirks) -> _Points:
    fclose, sclose = _near_point(detector, pixel_m, size, quirks.close_xy_is_beam_center)
    xclose = fclose if detector.close_x_mm is None else metres_from_mm(detector.close_x_mm)
    yclose = sclose if detector.close_y_mm is None else metres_from_mm(detector.close_y_mm)
    xbeam, ybeam = _beam_center(detector, pixel_m, size, (xclose, yclose))
    if detector.convention == "custom":
        x_given = detector.orgx_px is not None or detector.close_x_mm is not None
        y_given = detector.orgy_px is not None or detector.close_y_mm is not None
        fclose = fclose if x_given and not quirks.custom_near_point_is_center else xbeam
        sclose = sclose if y_given and not quirks.custom_near_point_is_center else ybeam
    spot = fast_slow_of_beam_center(detector.convention, xbeam, ybeam, pixel_m, size[1])
    return _Points((fclose, sclose), spot, (xclose, yclose), (xbeam, ybeam))


def _origins(
    pivot: Pivot, axes: Axes, turn: _Turn, points: _Points, distances: tuple[float, float], given: Vector | None
) -> tuple[Vector, Vector]:
    """Outer corner of the first pixel before and after all turns; before them by the nearest point, or as given."""
    (fclose, sclose), (fbeam, sbeam), (distance, close_distance) = points.near, points.spot, distances
    flat = _sum(scaled(axes.fast, -fclose), scaled(axes.slow, -sclose), scaled(axes.normal, close_distance))
    if given is not None or pivot == "sample":
        flat = given or flat
        return flat, turn(flat)
    fast, slow = turn(axes.fast), turn(axes.slow)
    return flat, _sum(scaled(fast, -fbeam), scaled(slow, -sbeam), scaled(axes.beam, distance))


def _refuse_back_side(allowed: bool) -> None:
    """A detector whose normal points towards the sample has negative solid angles, and so photons."""
    text = "the detector's normal points towards the sample, which makes {}: reverse -odet_vector or turn the detector"
    if not allowed:
        raise UsageError(text.format("its solid angles and photons negative"))
    warnings.warn(text.format("photons negative, as in nanoBragg"), NbnumbaWarning, stacklevel=3)


def fast_slow_of_beam_center(
    convention: str, x: float, y: float, pixel: float, slow_size: float
) -> tuple[float, float]:
    """Fbeam and Sbeam of a beam centre in the axes of a convention (any unit of length)."""
    if convention == "mosflm":
        return (y + 0.5 * pixel, x + 0.5 * pixel)
    if convention == "denzo":
        return (y, x)
    if convention == "adxv":
        return (x, slow_size - y)
    return (x, y)


def beam_center_of_fast_slow(
    convention: str, fbeam: float, sbeam: float, pixel: float, slow_size: float
) -> tuple[float, float]:
    """Xbeam and Ybeam of a convention: the inverse of :func:`fast_slow_of_beam_center`."""
    if convention == "mosflm":
        return (sbeam - 0.5 * pixel, fbeam - 0.5 * pixel)
    if convention == "denzo":
        return (sbeam, fbeam)
    if convention == "adxv":
        return (fbeam, slow_size - sbeam)
    return (fbeam, sbeam)


def _sum(u: Vector, v: Vector, w: Vector) -> Vector:
    return (u[0] + v[0] + w[0], u[1] + v[1] + w[1], u[2] + v[2] + w[2])


def _normal_of(axes: Axes, given: Vector, loses_side: bool) -> Vector:
    """The detector's normal: as given if exactly a unit vector, else fast × slow (C-2: on the side given)."""
    if length(given) == 1.0:
        return (float(given[0]), float(given[1]), float(given[2]))
    normal = unit(cross(axes.fast, axes.slow))
    away = not loses_side and dot(normal, given) < 0.0
    if loses_side or abs(length(given) - 1.0) > ROUNDED:
        warnings.warn(
            f"-odet_vector {' '.join(map(repr, given))} is not of length 1: fast × slow is taken"
            + (", turned to the side that was given" if away else ""),
            NbnumbaWarning,
            stacklevel=2,
        )
    return scaled(normal, -1.0) if away else normal


def _pixels(detector: Detector) -> tuple[float, tuple[int, int], tuple[float, float]]:
    """Pixel edge in m; along fast and slow, the number of pixels and the edge of the detector in m.

    A size that is no whole number of pixels stays as given: the default beam centre is the middle of that.
    """
    pixel_mm = DEFAULT_PIXEL_MM if detector.pixel_mm is None else detector.pixel_mm
    pixel = metres_from_mm(pixel_mm)
    if not 0.0 < pixel < math.inf:
        raise UsageError(f"-pixel {pixel_mm!r}: a pixel edge must be above 0 mm")
    counts, sizes = [], []
    for option, count, size_mm in (
        ("-detsize_f", detector.fast_pixels, detector.fast_size_mm),
        ("-detsize_s", detector.slow_pixels, detector.slow_size_mm),
    ):
        size_mm = DEFAULT_SIZE_MM if size_mm is None else size_mm
        size = metres_from_mm(size_mm) if count is None else pixel * count
        count = math.ceil(size / pixel - 0.5) if count is None else count
        if count < 1:
            raise UsageError(f"{option} {size_mm!r} mm holds no pixel of {pixel_mm!r} mm: give a larger size")
        counts.append(count)
        sizes.append(size)
    return pixel, (counts[0], counts[1]), (sizes[0], sizes[1])


def _distances(detector: Detector, ratio_flat: float, ratio: float, by_close: bool) -> tuple[float, float]:
    """Distance along the beam and to the nearest point, before read-back."""
    distance = metres_from_mm(DEFAULT_DISTANCE_MM if detector.distance_mm is None else detector.distance_mm)
    if detector.close_distance_mm is None:
        close_distance = abs(ratio_flat * distance)
        return (close_distance / ratio_flat if by_close else distance), close_distance
    close_distance = metres_from_mm(detector.close_distance_mm)
    if by_close:
        return close_distance / ratio_flat, close_distance
    if detector.distance_mm is None:
        return close_distance / ratio, close_distance
    return distance, close_distance


def _near_point(
    detector: Detector, pixel_m: float, size: tuple[float, float], without_close_xy: bool
) -> tuple[float, float]:
    """Fclose and Sclose in m."""
    near = []
    for org, close_mm, edge in (
        (detector.orgx_px, detector.close_x_mm, size[0]),
        (detector.orgy_px, detector.close_y_mm, size[1]),
    ):
        if org is not None:
            near.append((org - 0.5) * pixel_m)
        elif close_mm is not None and not without_close_xy:
            near.append(metres_from_mm(close_mm))
        else:
            near.append(edge / 2.0)
    return near[0], near[1]


def _beam_center(
    detector: Detector, pixel: float, size: tuple[float, float], close: tuple[float, float]
) -> tuple[float, float]:
    """Xbeam and Ybeam in m, as given or by the convention's default."""
    default = {
        "mosflm": ((size[1] + pixel) / 2.0, (size[0] + pixel) / 2.0),
        "denzo": ((size[1] + pixel) / 2.0, (size[0] + pixel) / 2.0),
        "adxv": ((size[0] + pixel) / 2.0, (size[1] - pixel) / 2.0),
    }.get(detector.convention, close)
    x = default[0] if detector.beam_x_mm is None else metres_from_mm(detector.beam_x_mm)
    y = default[1] if detector.beam_y_mm is None else metres_from_mm(detector.beam_y_mm)
    return x, y


def _given_origin(detector: Detector) -> Vector | None:
    """pix0 in m where it counts: not beside custom detector vectors, which the reference then prefers."""
    if detector.origin_mm is None or detector.convention != "custom":
        return None
    if any(v is not None for v in (detector.fast_axis, detector.slow_axis, detector.normal_axis)):
        warnings.warn(
            "-pix0_vector is ignored beside -fdet_vector, -sdet_vector or -odet_vector: "
            "the origin follows from beam centre and distance",
            NbnumbaWarning,
            stacklevel=2,
        )
        return None
    x, y, z = detector.origin_mm
    return (metres_from_mm(x), metres_from_mm(y), metres_from_mm(z))
