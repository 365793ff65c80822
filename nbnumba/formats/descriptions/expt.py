"""DIALS experiments: beam, detector, goniometer, scan and the true crystals, in JSON as dxtbx writes it.

All vectors are in the frame of DIALS. There is an experiment for each lattice of each scan, or one without a crystal
where the beam misses all; frames that follow one another in angle make one scan, and one that does not turn is a still,
without a scan and with the crystal as it stood.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import NbnumbaWarning, UsageError
from ...kernels.equations.vectors import rotated_about
from ...units import radians_from_degrees
from ..dials import ROUNDING
from ..files import Path, replacing
from ..frame import CrystalTruth, Description, Frame, PanelGeometry
from ..rectangles import rectangles_of
from ..registry import Format
from ..scans import goes_on
from ..sinks import numbered
from ..space_groups import space_group_of

Json = dict[str, Any]
Array = npt.NDArray[np.float64]

MOST_RECTANGLES = 2000
"""Of a panel: DIALS goes through all of them for each image."""
_NO_LIMIT = 2**31 - 1
_CORRECTIONS: Json = dict.fromkeys(("mask", "gain", "pedestal", "dx", "dy"))
_IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
_ROOT = {
    "name": "", "type": "", "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 1.0, 0.0], "origin": [0.0, 0.0, 0.0],
    "raw_image_offset": [0, 0], "image_size": [0, 0], "pixel_size": [0.0, 0.0], "trusted_range": [0.0, 0.0],
    "thickness": 0.0, "material": "", "mu": 0.0, "identifier": "", "mask": [], "gain": 1.0, "pedestal": 0.0,
    "px_mm_strategy": {"type": "SimplePxMmStrategy"},
}  # fmt: skip


class _Experiments:
    """What frames tell, one after another; each model once."""

    def __init__(self) -> None:
        names = ("beam", "detector", "goniometer", "scan", "crystal", "imageset")
        self.models: dict[str, list[Json]] = {name: [] for name in names}
        self.experiments: list[Json] = []
        self._last: tuple[Frame, list[Json]] | None = None
        """The frame before, and what was made of it but for its scan."""

    def write(self, frame: Frame) -> None:
        """Take the next one."""
        d = frame.description
        models = {"beam": self._index("beam", _beam(d)), "detector": self._detector(frame)}
        if d.oscillation_deg > 0.0:
            models["goniometer"] = self._index("goniometer", _goniometer(d))
        last = len(d.crystals)
        crystals = [{"crystal": self._index("crystal", _crystal(d, crystal), last)} for crystal in d.crystals] or [{}]
        found = [{**models, **crystal} for crystal in crystals]
        scan = self._scan(d, found)
        if scan is None:
            scans = {"scan": self._index("scan", _scan(frame))} if d.oscillation_deg > 0.0 else {}
            if frame.counts_file:
                self.models["imageset"].append(_images(frame))
                scans["imageset"] = len(self.models["imageset"]) - 1
            self.experiments += [{"__id__": "Experiment", "identifier": "", **one, **scans} for one in found]
        else:
            scan["image_range"][1] += 1
            scan["exposure_time"].append(d.exposure_s)
            scan["epochs"].append(0.0)
        self._last = frame, found

    def _index(self, name: str, model: Json, last: int = 1) -> int:
        """Where a model stands among those of its kind; of these, the last so many may be the same."""
        models = self.models[name]
        for number in range(max(0, len(models) - last), len(models)):
            if models[number] == model:
                return number
        models.append(model)
        return len(models) - 1

    def _detector(self, frame: Frame) -> int:
        if self._last is not None and _sees_alike(self._last[0], frame):
            return self._last[1][0]["detector"]
        return self._index("detector", _detector(frame))

    def _scan(self, d: Description, models: list[Json]) -> Json | None:
        """The last scan, where this frame goes on with it."""
        if self._last is None or self._last[1] != models or not goes_on(self._last[0].description, d):
            return None
        return self.models["scan"][-1]

    def as_text(self) -> str:
        """All of them, as a file has it."""
        whole = {"__id__": "ExperimentList", "experiment": self.experiments, **self.models}
        return json.dumps({**whole, "profile": [], "scaling_model": []}, indent=2) + "\n"


def _sees_alike(last: Frame, frame: Frame) -> bool:
    """Whether the detectors of both are one."""
    return last.saturation == frame.saturation and last.description.panels == frame.description.panels


def _images(frame: Frame) -> Json:
    """Where DIALS finds the counts: a sequence, which its scan numbers, or a still."""
    d, file = frame.description, os.path.abspath(frame.counts_file)
    if d.oscillation_deg > 0.0:
        return {"__id__": "ImageSequence", "template": file, "params": {}, **_CORRECTIONS}
    images: Json = {"images": [numbered(file, d.image_number)]}
    if frame.counts_place is not None:
        images["single_file_indices"] = [frame.counts_place]
    return {"__id__": "ImageSet", **images, "params": {}, **_CORRECTIONS}


def _beam(d: Description) -> Json:
    direction = d.to_dxtbx @ d.mean_direction
    normal = d.to_dxtbx @ np.cross(d.polarization, d.beam)
    return {
        "direction": (-direction).tolist(),
        "wavelength": float(d.mean_wavelength_angstrom),
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": normal.tolist(),
        "polarization_fraction": 0.5 if d.polarization_fraction is None else d.polarization_fraction,
        "flux": d.flux_per_s,
        "transmission": 1.0,
    }


def _detector(frame: Frame) -> Json:
    panels = [_panel(frame, panel) for panel in frame.description.panels]
    return {"panels": panels, "hierarchy": {**_ROOT, "children": [{"panel": n} for n in range(len(panels))]}}


def _panel(frame: Frame, panel: PanelGeometry) -> Json:
    d = frame.description
    origin, steps = _rectangular(panel)
    sizes = np.full(2, panel.pixel_mm) if panel.has_one_edge else np.linalg.norm(steps, axis=1)
    fast, slow = (d.to_dxtbx @ (steps / sizes[:, np.newaxis]).T).T.tolist()
    parallax = panel.thickness_um > 0.0 and d.attenuation_per_mm > 0.0
    saturation = _NO_LIMIT if frame.saturation is None else frame.saturation
    return {
        "name": panel.name or "Panel",
        "type": "SENSOR_CCD" if d.readout.kind == "integrating" else "SENSOR_PAD",
        "fast_axis": fast,
        "slow_axis": slow,
        "origin": (d.to_dxtbx @ origin).tolist(),
        "raw_image_offset": [0, 0],
        "image_size": [panel.fast_pixels, panel.slow_pixels],
        "pixel_size": sizes.tolist(),
        # From 0 to the saturation, for versions of dxtbx that count the ends in and for those that do not.
        "trusted_range": [-0.5, saturation + 0.5],
        "thickness": panel.thickness_um * 1e-3,
        "material": d.sensor_material,
        "mu": d.attenuation_per_mm if parallax else 0.0,
        "identifier": d.detector_name,
        "mask": [] if panel.is_whole else [list(one) for one in rectangles_of(~panel.measured)[:MOST_RECTANGLES]],
        "gain": d.readout.gain or 1.0,
        "pedestal": d.readout.adc_offset or 0.0,
        "px_mm_strategy": {"type": "ParallaxCorrectedPxMmStrategy" if parallax else "SimplePxMmStrategy"},
    }


def _rectangular(panel: PanelGeometry) -> tuple[Array, Array]:
    """Origin and steps from a pixel to the next in mm, slow made perpendicular to fast with the centre where it is."""
    steps = panel.pixel_mm * np.array([panel.fast, panel.slow])
    leaning = steps[0] * (steps[0] @ steps[1]) / (steps[0] @ steps[0])
    if np.linalg.norm(leaning) < ROUNDING * panel.pixel_mm:
        return np.array(panel.origin_mm), steps
    return panel.origin_mm + leaning * panel.slow_pixels / 2.0, np.array([steps[0], steps[1] - leaning])


def _goniometer(d: Description) -> Json:
    return {
        "rotation_axis": (d.to_dxtbx @ d.spindle).tolist(),
        "fixed_rotation": _IDENTITY,
        "setting_rotation": _IDENTITY,
    }


def _scan(frame: Frame) -> Json:
    d = frame.description
    # DIALS takes the number of an image for its place in the file, where that has several.
    number = d.image_number if frame.counts_place is None else frame.counts_place + 1
    return {
        "image_range": [number, number],
        "batch_offset": 0,
        "oscillation": [d.phi_deg, d.oscillation_deg],
        "exposure_time": [d.exposure_s],
        "epochs": [0.0],
        "valid_image_ranges": {},
    }


def _crystal(d: Description, crystal: CrystalTruth) -> Json:
    edges = np.linalg.inv(crystal.a_matrix)
    if d.oscillation_deg == 0.0:
        phi = radians_from_degrees(d.phi_deg)
        edges = np.array([rotated_about(edge, d.spindle, phi) for edge in edges.tolist()])
    a, b, c = (edges @ d.to_dxtbx.T).tolist()
    return {
        "__id__": "crystal",
        "real_space_a": a,
        "real_space_b": b,
        "real_space_c": c,
        "space_group_hall_symbol": space_group_of(crystal.space_group).hall,
    }


def _check(path: Path, description: Description, adc_offset: float) -> None:
    name = os.fspath(path)
    if any(panel.curved for panel in description.panels):
        raise UsageError(f"{name}: DIALS has flat detectors alone (here: -curved_det)")
    for text in _left_out(description):
        warnings.warn(f"{name}: {text}", NbnumbaWarning, stacklevel=1)


def _left_out(description: Description) -> Iterator[str]:
    if description.polarization_fraction is None:
        yield "DIALS will correct for a polarization that is not there (-nopolar)"
    for number, panel in enumerate(description.panels):
        told = f"panel {panel.name or number}"
        _, steps = _rectangular(panel)
        moved = np.linalg.norm(steps[1] / panel.pixel_mm - panel.slow) * panel.slow_pixels / 2.0
        if moved > 0.01:
            yield f"DIALS has rectangular pixels alone: the edges of {told} are off by {moved:.2g} pixels"
        rectangles = 0 if panel.is_whole else len(rectangles_of(~panel.measured))
        if rectangles > MOST_RECTANGLES:
            yield f"the mask of {told} takes {rectangles} rectangles, of which the first {MOST_RECTANGLES} are told"


@contextmanager
def _sink(path: Path) -> Iterator[_Experiments]:
    experiments = _Experiments()
    with replacing(path) as file:
        yield experiments
        file.write(experiments.as_text().encode())


def _write(path: Path, frame: Frame) -> None:
    with _sink(path) as experiments:
        experiments.write(frame)


FORMAT = Format("DIALS", (".expt",), ("experiment",), _write, check=_check, sink=_sink)
