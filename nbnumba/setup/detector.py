"""What kernels take of each panel: its pixels in space, its sensor, and which pixels are rendered."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputFileError, NbnumbaWarning, UsageError
from ..experiment import Detector, Experiment
from ..experiment.quirks import Quirks
from ..kernels.choices import FLAT, MIXED_AXES, SPHERE
from ..kernels.equations.pixel import position
from ..kernels.equations.vectors import dot
from ..kernels.plan import DetectorPlan
from ..structure_factors.keeping import Itself, kept_while_same
from ..units import metres_from_microns
from .beamstop import hidden_pixels
from .geometry import place_detector
from .inputs import Inputs
from .panels import PlacedPanel, listed_panels
from .preset import beside_blind_pixels

Roi = tuple[int, int, int, int]


ALL_RENDERED = np.zeros((0, 0), np.uint8)
"""Of a panel whose pixels all are; one array, since whoever keeps what is made of a mask tells it by that."""


@dataclass(frozen=True)
class Sensor:
    """How all panels of a detector stop photons."""

    layers: int = 1
    """Into which it is cut along its depth."""
    layer_step_m: float = 0.0
    """Thickness of each; 0 without absorption."""
    attenuation_per_m: float = 0.0
    """Linear attenuation coefficient µ."""


def place_panels(experiment: Experiment) -> tuple[PlacedPanel, ...]:
    """The panels that are listed; else the one that a convention places, with all that is known of it."""
    if experiment.detector.panels is not None:
        return listed_panels(experiment)
    return (place_detector(experiment),)


class _Masked(NamedTuple):
    """What decides which pixels are measured."""

    detector: Detector
    panels: Sequence[PlacedPanel]
    inputs: Inputs

    @property
    def state(self) -> Any:
        """The same where the same pixels are; None: nothing hides any."""
        preset, given = self.detector.preset, (self.inputs.mask, self.inputs.found, self.detector.panels)
        if preset is None and all(one is None for one in given):
            return None
        sizes = tuple((panel.fast_pixels, panel.slow_pixels) for panel in self.panels)
        return preset, sizes, *map(Itself, given)


def panel_masks(detector: Detector, panels: Sequence[PlacedPanel], inputs: Inputs) -> tuple[np.ndarray | None, ...]:
    """For each panel 0 where a pixel is not measured (slow, fast): by masks and gaps; None: all are.

    They are the same arrays in all frames of a series, not to be written to.
    """
    return _masks_of(_Masked(detector, panels, inputs))


@kept_while_same(lambda masked: masked.state)
def _masks_of(masked: _Masked) -> tuple[np.ndarray | None, ...]:
    detector, panels, inputs = masked
    founds = _found_masks(inputs, panels)
    if detector.panels is None:
        return (beside_blind_pixels(detector.preset, _both(_of_its_size(inputs, panels[0]), founds[0]), panels[0]),)
    masks = []
    for number, (listed, panel, found) in enumerate(zip(detector.panels, panels, founds, strict=True)):
        pixels = None if listed.mask is None else np.asarray(listed.mask)
        if pixels is not None and pixels.shape != (panel.slow_pixels, panel.fast_pixels):
            raise _wrong_size(UsageError, f"detector.panels[{number}].mask", pixels, panel)
        masks.append(_both(pixels, found))
    return tuple(masks)


def detector_plans(
    detector: Detector, panels: Sequence[PlacedPanel], masks: Sequence[np.ndarray | None], quirks: Quirks
) -> tuple[DetectorPlan, ...]:
    """What kernels take of each panel, ``masks`` being those of :func:`panel_masks`."""
    sensor = sensor_of(detector, quirks)
    regions = [("-roi", detector.roi)]
    if detector.panels is not None:
        regions = [(f"detector.panels[{number}].roi", listed.roi) for number, listed in enumerate(detector.panels)]
    plans, all_rendered = [], _all_rendered(_Hidden(detector, panels, masks))
    for panel, rendered, (name, roi) in zip(panels, all_rendered, regions, strict=True):
        plan = detector_plan(detector, sensor, panel, _roi(name, roi, panel), rendered, quirks)
        _check_layers(plan, detector.thickness_um or 0.0, quirks)
        plans.append(plan)
    return tuple(plans)


def detector_plan(
    detector: Detector, sensor: Sensor, panel: PlacedPanel, roi: Roi, mask: np.ndarray, quirks: Quirks
) -> DetectorPlan:
    """What kernels take of a panel, the pixels of a region and a mask being rendered."""
    surface = (MIXED_AXES if quirks.curved_by_mixed_axes else SPHERE) if detector.curved else FLAT
    return DetectorPlan(
        fast_pixels=panel.fast_pixels,
        slow_pixels=panel.slow_pixels,
        pixel=panel.pixel_m,
        fast=panel.fast,
        slow=panel.slow,
        normal=panel.normal,
        origin=panel.origin_m,
        beam=panel.beam,
        distance=panel.distance_m,
        close_distance=panel.close_distance_m,
        fbeam=panel.fbeam_m,
        sbeam=panel.sbeam_m,
        surface=int(surface),
        handedness=panel.handedness,
        point_pixel=int(detector.point_pixel),
        layers=sensor.layers,
        layer_step=sensor.layer_step_m,
        attenuation=sensor.attenuation_per_m,
        roi=roi,
        mask=mask,
    )


def _check_layers(plan: DetectorPlan, thickness_um: float, quirks: Quirks) -> None:
    """Refuse a sensor that reaches the sample, or that some pixels see from behind."""
    deepest = plan.close_distance + (plan.layers - 1) * plan.layer_step
    if plan.surface == FLAT and deepest * plan.close_distance <= 0.0:
        raise UsageError(
            f"-detector_thick {thickness_um:g}: the sensor's layers reach the sample: "
            "reverse -odet_vector, or move the detector away"
        )
    if plan.layer_step > 0.0 and not quirks.may_face_away:
        _check_sensor_faces_sample(plan, thickness_um)


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


def rendered_pixels(detector: DetectorPlan) -> np.ndarray:
    """1 where a pixel of a panel is rendered, in the region and not masked; (slow, fast)."""
    fast0, fast1, slow0, slow1 = detector.roi
    rendered = np.zeros((detector.slow_pixels, detector.fast_pixels), np.uint8)
    region = (slice(slow0, slow1 + 1), slice(fast0, fast1 + 1))
    rendered[region] = detector.mask[region] if detector.mask.size else 1
    return rendered


def sensor_of(detector: Detector, quirks: Quirks) -> Sensor:
    """The sensor that a detector's fields describe."""
    thickness_um = detector.thickness_um or 0.0
    thickness = metres_from_microns(thickness_um)
    depth = detector.attenuation_depth_um
    if thickness <= 0.0 or (depth is not None and (depth == 0.0 or math.isinf(depth))):
        return Sensor()
    if depth is None:
        warnings.warn(
            f"-detector_thick {thickness_um:g} without -detector_abs: the 1/e depth is taken to be the same; "
            "-detector_material Si, CdTe or GaAs would give it",
            NbnumbaWarning,
            stacklevel=4,
        )
        depth = thickness_um
    attenuation = 1.0 / metres_from_microns(depth)
    layers = detector.layers
    if layers is None:
        return Sensor(2, thickness / 2.0, attenuation)
    if quirks.layers_overfill_sensor:
        layers = max(2, layers)
        return Sensor(layers, thickness / (layers - 1), attenuation)
    return Sensor(layers, thickness / layers, attenuation)


def _roi(name: str, roi: Roi | None, panel: PlacedPanel) -> Roi:
    whole = (0, panel.fast_pixels - 1, 0, panel.slow_pixels - 1)
    if roi is None:
        return whole
    clipped = (max(roi[0], 0), min(roi[1], whole[1]), max(roi[2], 0), min(roi[3], whole[3]))
    text = " ".join(map(str, roi))
    if clipped[0] > clipped[1] or clipped[2] > clipped[3]:
        raise UsageError(
            f"{name} {text} lies outside the detector: fast 0 to {whole[1]}, slow 0 to {whole[3]} are there"
        )
    if clipped != tuple(roi):
        warnings.warn(
            f"{name} {text} reaches beyond the detector: clipped to {' '.join(map(str, clipped))}",
            NbnumbaWarning,
            stacklevel=4,
        )
    return clipped


class _Hidden(NamedTuple):
    """What decides which pixels are rendered."""

    detector: Detector
    panels: Sequence[PlacedPanel]
    masks: Sequence[np.ndarray | None]

    @property
    def state(self) -> Any:
        """The same where the same pixels are; None: nothing hides any."""
        if self.detector.beamstop_mm > 0.0:
            stop = (self.detector.beamstop_mm, self.detector.beamstop_arm, tuple(self.panels))
            return stop, *map(Itself, self.masks)
        if all(mask is None for mask in self.masks):
            return None
        sizes = tuple((panel.fast_pixels, panel.slow_pixels) for panel in self.panels)
        return sizes, *map(Itself, self.masks)


@kept_while_same(lambda hidden: hidden.state)
def _all_rendered(hidden: _Hidden) -> tuple[np.ndarray, ...]:
    """Of each panel 0 where a pixel is not rendered."""
    detector, panels, masks = hidden
    return tuple(
        _rendered(panel, mask, hidden_pixels(detector, panel, panels[0]))
        for panel, mask in zip(panels, masks, strict=True)
    )


def _rendered(panel: PlacedPanel, pixels: np.ndarray | None, hidden: np.ndarray | None) -> np.ndarray:
    """0 where a pixel is not rendered: by the mask's ``pixels``, or behind the beamstop."""
    if pixels is None and hidden is None:
        return ALL_RENDERED
    mask = np.ones((panel.slow_pixels, panel.fast_pixels), np.uint8)
    if pixels is not None:
        mask[pixels == 0] = 0
    if hidden is not None:
        mask[hidden] = 0
    return mask


def _of_its_size(inputs: Inputs, panel: PlacedPanel) -> np.ndarray | None:
    """The pixels of the mask that is given, in a file or in memory."""
    mask = inputs.mask
    if mask is not None and mask.pixels.shape != (panel.slow_pixels, panel.fast_pixels):
        # One that the experiment holds has no header.
        raise _wrong_size(InputFileError if mask.header else UsageError, mask.path, mask.pixels, panel)
    return None if mask is None else mask.pixels


def _found_masks(inputs: Inputs, panels: Sequence[PlacedPanel]) -> tuple[np.ndarray | None, ...]:
    """For each panel the pixels that a file calls measured, where it tells."""
    found = inputs.found
    if found is None or found.mask is None:
        return (None,) * len(panels)
    masks = found.mask if isinstance(found.mask, tuple) else (found.mask,)
    if len(masks) != len(panels):
        raise UsageError(f"{found.path}: has {len(masks)} panels with masks, and the experiment lists {len(panels)}")
    for mask, panel in zip(masks, panels, strict=True):
        if mask is not None and mask.shape != (panel.slow_pixels, panel.fast_pixels):
            raise _wrong_size(UsageError, found.path, mask, panel)
    return masks


def _both(mask: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """0 where either is."""
    if mask is None or other is None:
        return mask if other is None else other
    return (mask != 0) & (other != 0)


def _wrong_size(
    kind: type[UsageError | InputFileError], name: str, pixels: np.ndarray, panel: PlacedPanel
) -> UsageError | InputFileError:
    return kind(
        f"{name}: a mask of {pixels.shape[1]} x {pixels.shape[0]} pixels (fast x slow) for a detector of "
        f"{panel.fast_pixels} x {panel.slow_pixels}: give a mask of the detector's size"
    )
