"""What a detector's name gives to an experiment: values that nothing else says, and pixels that count nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..errors import NbnumbaWarning
from ..experiment import Detector, Experiment, with_right_values
from ..experiment.presets import Preset, preset_of
from .panels import PlacedPanel

IN_WORDS = {
    "fast_pixels": "{} pixels along fast",
    "slow_pixels": "{} pixels along slow",
    "pixel_mm": "pixels of {:g} mm",
    "sensor_material": "a sensor of {}",
    "thickness_um": "a sensor of {:g} µm",
}
"""What a name gives, and how it is told."""


def with_preset(experiment: Experiment) -> Experiment:
    """The experiment with what neither it nor its files give taken from the detector that it names.

    Warns
    -----
    NbnumbaWarning
        They give something else than this detector has: it counts.
    """
    detector = experiment.detector
    if detector.preset is None:
        return experiment
    preset = preset_of(detector.preset)
    given, own = _given(detector, preset), _own(preset)
    other = [
        f"{IN_WORDS[name].format(value)}, not {own[name] if isinstance(value, str) else format(own[name], 'g')}"
        for name, value in given.items()
        if name in own and value != own[name]
    ]
    if other:
        warnings.warn(
            f"-detector {detector.preset}: options and files win over what the name stands for: {'; '.join(other)}",
            NbnumbaWarning,
            stacklevel=3,
        )
    missing = {name: value for name, value in own.items() if name not in given}
    return with_right_values(experiment, detector=with_right_values(detector, **missing))


def _own(preset: Preset) -> dict[str, Any]:
    """Values of a detector's fields."""
    sizes = {"fast_pixels": preset.fast_pixels, "slow_pixels": preset.slow_pixels, "pixel_mm": preset.pixel_mm}
    # A phosphor absorbs at its surface: it is not cut into layers.
    thickness = {} if preset.sensor == "phosphor" else {"thickness_um": preset.thickness_um}
    return {**sizes, "sensor_material": preset.sensor, **thickness}


def _given(detector: Detector, preset: Preset) -> dict[str, Any]:
    """Those that the experiment gives, pixels also by the size that they fill."""
    pixel_mm = detector.pixel_mm or preset.pixel_mm
    sizes = {"fast_pixels": detector.fast_size_mm, "slow_pixels": detector.slow_size_mm}
    by_size = {name: round(size_mm / pixel_mm) for name, size_mm in sizes.items() if size_mm is not None}
    values = {name: getattr(detector, name) for name in IN_WORDS}
    return by_size | {name: value for name, value in values.items() if value is not None}


def beside_blind_pixels(name: str | None, pixels: np.ndarray | None, panel: PlacedPanel) -> np.ndarray | None:
    """The pixels of the mask that is given, if any, with 0 where the detector of a name counts nothing."""
    if name is None:
        return pixels
    preset = preset_of(name)
    columns, rows = preset.blind_lines(panel.fast_pixels, panel.slow_pixels)
    if not any(columns + rows) and not preset.is_round:
        return pixels
    pixels = np.ones((panel.slow_pixels, panel.fast_pixels), np.uint8) if pixels is None else pixels.copy()
    pixels[:, columns] = 0
    pixels[rows, :] = 0
    if preset.is_round:
        radius = preset.fast_pixels / 2.0
        fast, slow = (np.arange(number) + 0.5 - radius for number in (panel.fast_pixels, panel.slow_pixels))
        pixels[fast**2 + slow[:, np.newaxis] ** 2 > radius**2] = 0
    return pixels
