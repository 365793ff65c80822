"""The detector as kernels take it: its surface, the layers of its sensor, the pixels that are rendered."""

import math
import warnings

import numpy as np

from ..errors import InputFileError, NbnumbaWarning, UsageError
from ..experiment import Detector
from ..experiment.quirks import Quirks
from ..kernels.equations.pixel import position
from ..kernels.equations.vectors import dot
from ..kernels.plan import FLAT, MIXED_AXES, SPHERE, DetectorPlan
from ..units import metres_from_microns, metres_from_mm
from .geometry import Geometry, pixels_within
from .inputs import Inputs


def detector_plan(detector: Detector, geometry: Geometry, inputs: Inputs, quirks: Quirks) -> DetectorPlan:
    """The detector in SI."""
    layers, layer_step, attenuation = _sensor(detector, quirks)
    surface = (MIXED_AXES if quirks.curved_by_mixed_axes else SPHERE) if detector.curved else FLAT
    deepest = geometry.close_distance_m + (layers - 1) * layer_step
    if surface == FLAT and deepest * geometry.close_distance_m <= 0.0:
        raise UsageError(
            f"-detector_thick {detector.thickness_um:g}: the sensor's layers reach the sample: "
            "reverse -odet_vector, or move the detector away"
        )
    plan = DetectorPlan(
        fast_pixels=geometry.fast_pixels,
        slow_pixels=geometry.slow_pixels,
        pixel=geometry.pixel_m,
        fast=geometry.fast,
        slow=geometry.slow,
        normal=geometry.normal,
        origin=geometry.origin_m,
        beam=geometry.beam,
        distance=geometry.distance_m,
        close_distance=geometry.close_distance_m,
        fbeam=geometry.fbeam_m,
        sbeam=geometry.sbeam_m,
        surface=surface,
        handedness=geometry.handedness,
        point_pixel=int(detector.point_pixel),
        layers=layers,
        layer_step=layer_step,
        attenuation=attenuation,
        roi=_roi(detector.roi, geometry),
        mask=_mask(inputs, geometry, metres_from_mm(detector.beamstop_mm)),
    )
    if layer_step > 0.0 and not quirks.may_face_away:
        _check_sensor_faces_sample(plan, detector.thickness_um)
    return plan


def _check_sensor_faces_sample(plan: DetectorPlan, thickness_um: float) -> None:
    """Refuse rays that enter the sensor from behind: what it would absorb of them is negative and knows no bounds."""
    first_fast, last_fast, first_slow, last_slow = plan.roi
    # On a plane a corner has the smallest height along the normal, whichever that is.
    points = 2 if plan.surface == FLAT else 9
    least = min(
        dot(plan.normal, position(plan, fast * plan.pixel, slow * plan.pixel, 0.0))
        for fast in np.linspace(first_fast, last_fast + 1, points).tolist()
        for slow in np.linspace(first_slow, last_slow + 1, points).tolist()
    )
    if least <= 0.0:
        raise UsageError(
            f"-detector_thick {thickness_um:g}: pixels more than 90 degrees from the detector's normal see the sample "
            "from behind their sensor: give a -roi without them, fewer pixels, a larger -distance, or no thickness"
        )


def _sensor(detector: Detector, quirks: Quirks) -> tuple[int, float, float]:
    """Number of layers, thickness of each in m, and µ in 1/m."""
    thickness = metres_from_microns(detector.thickness_um)
    depth = detector.attenuation_depth_um
    if thickness <= 0.0 or (depth is not None and (depth == 0.0 or math.isinf(depth))):
        return 1, 0.0, 0.0
    if depth is None:
        warnings.warn(
            f"-detector_thick {detector.thickness_um:g} without -detector_abs: the 1/e depth is taken to be the same",
            NbnumbaWarning,
            stacklevel=4,
        )
        depth = detector.thickness_um
    attenuation = 1.0 / metres_from_microns(depth)
    layers = detector.layers
    if layers is None:
        return 2, thickness / 2.0, attenuation
    if quirks.layers_overfill_sensor:
        layers = max(2, layers)
        return layers, thickness / (layers - 1), attenuation
    return layers, thickness / layers, attenuation


def _roi(roi: tuple[int, int, int, int] | None, geometry: Geometry) -> tuple[int, int, int, int]:
    whole = (0, geometry.fast_pixels - 1, 0, geometry.slow_pixels - 1)
    if roi is None:
        return whole
    clipped = (max(roi[0], 0), min(roi[1], whole[1]), max(roi[2], 0), min(roi[3], whole[3]))
    text = " ".join(map(str, roi))
    if clipped[0] > clipped[1] or clipped[2] > clipped[3]:
        raise UsageError(f"-roi {text} lies outside the detector: fast 0 to {whole[1]}, slow 0 to {whole[3]} are there")
    if clipped != tuple(roi):
        warnings.warn(
            f"-roi {text} reaches beyond the detector: clipped to {' '.join(map(str, clipped))}",
            NbnumbaWarning,
            stacklevel=4,
        )
    return clipped


def _mask(inputs: Inputs, geometry: Geometry, beamstop_m: float) -> np.ndarray:
    """0 where a pixel is not rendered: by the mask, or behind the disc of the beamstop."""
    if inputs.mask is None and beamstop_m <= 0.0:
        return np.zeros((0, 0), np.uint8)
    size = (geometry.slow_pixels, geometry.fast_pixels)
    mask = np.ones(size, np.uint8)
    if inputs.mask is not None:
        if inputs.mask.pixels.shape != size:
            there = f"{inputs.mask.pixels.shape[1]} x {inputs.mask.pixels.shape[0]}"
            # One that the experiment holds has no header.
            raise (InputFileError if inputs.mask.header else UsageError)(
                f"{inputs.mask.path}: a mask of {there} pixels (fast x slow) for a detector of {size[1]} x {size[0]}: "
                "give a mask of the detector's size"
            )
        mask[inputs.mask.pixels == 0] = 0
    if beamstop_m > 0.0:
        mask[pixels_within(geometry, beamstop_m)] = 0
    return mask
