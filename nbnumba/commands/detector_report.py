"""What a run tells a person of the detector: where it stands, what of it is blind, how it is read."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..experiment import Detector, Readout
from ..experiment.field import Declaration, declared
from ..experiment.presets import preset_of
from ..nanobragg.table import option_of
from ..setup.geometry import Geometry
from ..setup.panels import PlacedPanel, stack_shape
from ..setup.readout import HAS, NOTHING
from ..setup.resolve import Resolved

MOST_PANEL_LINES = 8
"""In the report for people."""


def numbers(values: Sequence[float]) -> str:
    """To six digits."""
    return " ".join(f"{value:.6g}" for value in values)


def count_of(number: int, noun: str) -> str:
    """How many of something there are."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def readout_lines(readout: Readout) -> list[str]:
    """Of another than the ideal one: what it does to photons, by options."""
    kind = readout.kind or "ideal"
    usual = {**NOTHING, "kind": kind, "bits": None, "adc_offset": None}
    told = [
        _setting(field, value)
        for name, field in declared(Readout).items()
        if name in HAS[kind] and (value := getattr(readout, name)) != usual[name]
    ]
    return [] if kind == "ideal" else [f"{kind}: {', '.join(told)}"]


def _setting(field: Declaration, value: Any) -> str:
    """A field and its value, as one would give them."""
    if isinstance(value, bool):
        return f"-{'' if value else 'no'}{field.name}"
    number = f"{value:g}" if isinstance(value, float) else value
    return f"{option_of(f'readout.{field.name}')} {number} {field.unit}".rstrip()


def detector_lines(resolved: Resolved) -> list[str]:
    """Where it stands, its sensor, and which of its pixels are not rendered."""
    detector, plan = resolved.experiment.detector, resolved.plans[0].detector
    g = resolved.panels[0]
    lines = _placed_lines(g, detector) if isinstance(g, Geometry) else [*_panel_lines(resolved)]
    if plan.layer_step > 0.0:
        lines.append(
            f"{count_of(plan.layers, 'sensor layer')} of {plan.layer_step * 1e6:g} µm"
            f"{' of ' + detector.sensor_material if detector.sensor_material else ''}, 1/e depth "
            f"{1e6 / plan.attenuation:g} µm"
        )
    masked = sum(int((one.detector.mask == 0).sum()) for one in resolved.plans)
    if any(one.detector.mask.size for one in resolved.plans):
        lines.append(f"{' and '.join(_why_masked(resolved))}: {masked} pixels not rendered")
    if detector.roi is not None:
        lines.append("region fast {} to {}, slow {} to {}".format(*plan.roi))
    return lines


def _placed_lines(g: Geometry, detector: Detector) -> list[str]:
    """Where a detector stands that a convention places."""
    x, y = g.xbeam_m * 1000.0, g.ybeam_m * 1000.0
    return [
        f"{detector.preset + ': ' if detector.preset else ''}{g.fast_pixels} x {g.slow_pixels} pixels (fast x slow) "
        f"of {g.pixel_m * 1000.0:g} mm, "
        f"{g.convention} convention, {g.pivot} pivot",
        f"distance {g.distance_m * 1000.0:g} mm along the beam, "
        f"{g.close_distance_m * 1000.0:g} mm to the nearest point",
        f"beam centre at fast {g.fbeam_m * 1000.0:g}, slow {g.sbeam_m * 1000.0:g} mm (Xbeam {x:g}, Ybeam {y:g}), "
        f"ORGX {g.orgx_px:g}, ORGY {g.orgy_px:g}",
        f"fast {numbers(g.fast)}, slow {numbers(g.slow)}, normal {numbers(g.normal)}",
        f"outer corner of the first pixel (pix0) {' '.join(f'{v:.15g}' for v in g.origin_m)} m",
    ]


def _panel_lines(resolved: Resolved) -> Iterator[str]:
    """The panels of a list; of many the first ones."""
    detector, panels = resolved.experiment.detector, resolved.panels
    rows, columns = stack_shape(panels)
    said = f", of {detector.header_file}" if detector.header_file else ""
    yield (
        f"{count_of(len(panels), 'panel')} of {sum(panel.fast_pixels * panel.slow_pixels for panel in panels)} pixels, "
        f"{detector.convention} convention{said}; one above the other in {columns} x {rows} (fast x slow)"
    )
    first = 0
    for number, (panel, listed) in enumerate(zip(panels, detector.panels or (), strict=True)):
        if number == MOST_PANEL_LINES:
            yield f"and {len(panels) - number} more, which -report lists"
            return
        edges = sorted({f"{panel.pixel_m * math.hypot(*step) * 1000.0:.6g}" for step in (panel.fast, panel.slow)})
        corner = numbers([1000.0 * x for x in panel.origin_m])
        yield (
            f"{listed.name or number}: rows {first} to {first + panel.slow_pixels - 1}, {panel.fast_pixels} x "
            f"{panel.slow_pixels} of {' x '.join(edges)} mm, corner {corner} mm, "
            f"{panel.close_distance_m * 1000.0:g} mm to the nearest point"
        )
        first += panel.slow_pixels


def _why_masked(resolved: Resolved) -> Iterator[str]:
    detector = resolved.experiment.detector
    if blind := _blind_words(detector.preset, resolved.panels[0]):
        yield blind
    if detector.mask_file or detector.mask or any(panel.mask for panel in detector.panels or ()):
        yield f"mask {detector.mask_file or 'in memory'}"
    if resolved.has_found_mask:
        yield f"bad pixels of {detector.header_file}"
    if detector.beamstop_mm:
        yield _beamstop_words(detector)


def _blind_words(name: str | None, panel: PlacedPanel) -> str:
    """What of a detector of this name and size counts nothing."""
    if name is None:
        return ""
    preset = preset_of(name)
    if preset.is_round:
        return f"outside of {name}'s disc"
    return f"gaps of {name}" if any(map(any, preset.blind_lines(panel.fast_pixels, panel.slow_pixels))) else ""


def _beamstop_words(detector: Detector) -> str:
    text = f"beamstop of {detector.beamstop_mm:g} mm radius"
    if detector.beamstop_arm is None:
        return text
    width, angle = detector.beamstop_arm
    return f"{text} with its arm of {width:g} mm at {angle:g} degrees from fast towards slow"
