"""What an NXmx file says beside its pixels: beam, detector, sample and the truth, from the descriptions of its frames.

https://manual.nexusformat.org/classes/applications/NXmx.html, and what dxtbx reads of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..experiment import Readout
from ..kernels.equations.vectors import rotated_about
from ..units import radians_from_degrees
from .dials import NXMX_SENSORS
from .frame import CrystalTruth, Description, Frame, PanelGeometry
from .hdf5 import bitshuffle_lz4, settled
from .nexus import axis, field, group, in_nexus, length_and_direction

GAP, DEAD = 1 << 0, 1 << 1
"""Bits of a pixel mask: no pixel was measured there; it never counts rightly."""
SURFACE_UM = 1e-3
"""Thickness of a sensor that counts at its surface: dxtbx takes none of 0."""
TWO_THETA = "/entry/instrument/detector/transformations/two_theta"
OMEGA = "/entry/sample/transformations/omega"

OF_EACH_FRAME = {
    "instrument/beam/incident_wavelength": 1,
    "instrument/beam/incident_wavelength_spectra": 2,
    "instrument/beam/incident_wavelength_spectra_weights": 2,
    "instrument/beam/incident_wavelength_spectra_weight": 2,
    "instrument/beam/total_flux": 1,
    "instrument/beam/flux_integrated": 1,
    "instrument/beam/incident_beam_size": 2,
    "instrument/beam/incident_polarization_stokes": 2,
    "sample/transformations/omega": 1,
    "sample/transformations/omega_end": 1,
    "sample/transformations/omega_increment_set": 1,
}
"""What an entry may have for each frame beside pixels and truth, with its dimensions: one less where all are alike."""

Rows = tuple[slice, slice]


def panel_slices(panels: Sequence[PanelGeometry]) -> list[Rows]:
    """Where each panel lies in the image of a frame: one above the other, each from column 0 on."""
    ends = np.cumsum([panel.slow_pixels for panel in panels])
    return [
        (slice(int(end) - panel.slow_pixels, int(end)), slice(0, panel.fast_pixels))
        for panel, end in zip(panels, ends, strict=True)
    ]


def whole_shape(panels: Sequence[PanelGeometry]) -> tuple[int, int]:
    """Pixels along slow and fast of that image."""
    return sum(panel.slow_pixels for panel in panels), max(panel.fast_pixels for panel in panels)


def write_entry(file: Any, frame: Frame) -> Any:
    """Make what all frames have in common, detector included, and return the entry.

    Parameters
    ----------
    file : h5py.File
    frame : Frame
        The first one, as its pixels are stored.
    """
    description = frame.description
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": description.program})
    entry = group(file, "entry", "NXentry", default="data", version="1.0")
    field(entry, "definition", "NXmx")
    field(entry, "title", "simulated diffraction")
    name, _, version = description.program.partition(" ")
    field(entry, "program_name", name, version=version)
    _write_gain(group(entry, "data", "NXdata", signal="data"), counts_per_photon(frame))
    field(group(entry, "source", "NXsource"), "name", "simulation", short_name="simulation")
    instrument = group(entry, "instrument", "NXinstrument")
    field(instrument, "name", description.program, short_name=name)
    _write_detector(instrument, frame)
    return entry


def counts_per_photon(frame: Frame) -> float:
    """What a photon counts on average."""
    gain = frame.description.readout.gain if frame.content == "counted" else None
    return frame.scale * (1.0 if gain is None else gain)


def _write_gain(data: Any, gain: float) -> None:
    if gain != 1.0:
        # The name of the standard, and that which dxtbx reads a gain from.
        for name in ("data_scaling_factor", "data_scale_factor"):
            field(data, name, 1.0 / gain)


def write_frames(entry: Any, frames: Sequence[Frame], wavelengths: int = 1) -> None:
    """Make what may be another in every frame: beam, spindle and the truth.

    Parameters
    ----------
    entry : h5py.Group
        As :func:`write_entry` made it.
    frames : sequence of Frame
        All, whose pixels do not count.
    wavelengths : int
        At least so many in each spectrum, so that those of several files are alike.
    """
    descriptions = [frame.description for frame in frames]
    _write_beam(entry["instrument"], descriptions, wavelengths)
    _write_sample(entry, descriptions)
    _write_truth(entry, frames)


# The detector ----------------------------------------------------------------------------------------------------


def _write_detector(instrument: Any, frame: Frame) -> None:
    description, panels = frame.description, frame.description.panels
    detector = group(instrument, "detector", "NXdetector")
    named = f"{description.detector_name or 'detector'}, simulated"
    sensor = f", sensor of {description.sensor_material}" if description.sensor_material else ""
    field(detector, "description", named + sensor)
    field(detector, "type", "pixel")
    field(detector, "depends_on", TWO_THETA)
    field(detector, "distance", panels[0].distance_mm, units="mm")
    field(detector, "distance_derived", False)
    field(detector, "count_time", description.exposure_s, units="s")
    field(detector, "frame_time", description.exposure_s, units="s")
    _write_sensor(detector, description)
    _write_limits(detector, frame)
    _write_deadtime(detector, description.readout)
    _write_mask(detector, frame)
    if len(panels) == 1:
        panel, (fast_mm, slow_mm) = panels[0], edges_mm(panels[0])
        field(detector, "x_pixel_size", fast_mm, units="mm")
        field(detector, "y_pixel_size", slow_mm, units="mm")
        field(detector, "beam_center_x", panel.fbeam_mm / fast_mm, units="pixel")
        field(detector, "beam_center_y", panel.sbeam_mm / slow_mm, units="pixel")
    turns = group(detector, "transformations", "NXtransformations")
    arm = in_nexus(description.to_dxtbx, description.twotheta_axis)
    axis(turns, "two_theta", panels[0].twotheta_deg, "rotation", arm, ".")
    for number, (panel, rows) in enumerate(zip(panels, panel_slices(panels), strict=True)):
        _write_module(detector, number, panel, rows, description)


def edges_mm(panel: PanelGeometry) -> tuple[float, float]:
    """Of a pixel, along fast and slow."""
    if panel.has_one_edge:
        return panel.pixel_mm, panel.pixel_mm
    return panel.pixel_mm * float(np.linalg.norm(panel.fast)), panel.pixel_mm * float(np.linalg.norm(panel.slow))


def sensor_of(description: Description) -> tuple[str, float]:
    """Material and thickness in µm of the sensor: of one that DIALS does not know, what makes no parallax there."""
    material = description.sensor_material
    if material not in NXMX_SENSORS:
        return NXMX_SENSORS[0], SURFACE_UM
    return material, max(description.panels[0].thickness_um, SURFACE_UM)


def _write_sensor(detector: Any, description: Description) -> None:
    material, thickness_um = sensor_of(description)
    field(detector, "sensor_material", material)
    field(detector, "sensor_thickness", thickness_um, units="um")


def _write_limits(detector: Any, frame: Frame) -> None:
    kind = frame.pixels[0].dtype
    if frame.saturation is not None:
        field(detector, "saturation_value", int(np.floor(frame.saturation)))
    if kind.kind in "iu":
        field(detector, "underload_value", int(np.ceil(frame.underload)))
        # dxtbx takes it for the width of what is stored.
        field(detector, "bit_depth_readout", 8 * kind.itemsize)


def _write_deadtime(detector: Any, readout: Readout) -> None:
    if readout.deadtime_ns:
        field(detector, "dead_time", readout.deadtime_ns, units="ns")
        field(detector, "countrate_correction_applied", bool(readout.rate_correction))


def _write_mask(detector: Any, frame: Frame) -> None:
    panels = frame.description.panels
    mask = np.full(whole_shape(panels), GAP, np.uint32)
    for number, (panel, rows) in enumerate(zip(panels, panel_slices(panels), strict=True)):
        mask[rows] = np.where(panel.measured, 0, GAP)
        if frame.bad is not None:
            mask[rows] |= np.where(frame.bad[number], DEAD, 0).astype(np.uint32)
    settled(detector.create_dataset("pixel_mask", data=mask, chunks=mask.shape, **bitshuffle_lz4()))
    field(detector, "pixel_mask_applied", frame.pixels[0].dtype.kind in "iu")


def _write_module(detector: Any, number: int, panel: PanelGeometry, rows: Rows, description: Description) -> None:
    # Readers take modules by their names in alphabetical order.
    module = group(detector, f"module_{number:04d}", "NXdetector_module")
    if panel.name:
        module.attrs["local_name"] = panel.name
    slow, fast = rows
    field(module, "data_origin", np.array([slow.start, fast.start], np.int32))
    field(module, "data_size", np.array([panel.slow_pixels, panel.fast_pixels], np.int32))

    arm = in_nexus(description.to_dxtbx, description.twotheta_axis)
    back = -radians_from_degrees(description.panels[0].twotheta_deg)

    def on_arm(vector: Any) -> npt.NDArray[np.float64]:
        return np.array(rotated_about(in_nexus(description.to_dxtbx, vector), arm, back))

    length, direction = length_and_direction(on_arm(panel.origin_mm))
    offset = axis(module, "module_offset", length, "translation", direction, TWO_THETA)
    for name, step, edge_mm in zip(
        ("fast_pixel_direction", "slow_pixel_direction"), (panel.fast, panel.slow), edges_mm(panel), strict=True
    ):
        axis(module, name, edge_mm, "translation", length_and_direction(on_arm(step))[1], offset.name)


# The beam --------------------------------------------------------------------------------------------------------


def _write_beam(instrument: Any, descriptions: Sequence[Description], wavelengths: int) -> None:
    first = descriptions[0]
    beam = group(instrument, "beam", "NXbeam")
    wavelength = one_or_all([one.mean_wavelength_angstrom for one in descriptions])
    made = field(beam, "incident_wavelength", wavelength, units="angstrom")
    most = max(wavelengths, *(len(one.wavelengths_angstrom) for one in descriptions))
    if most > 1:
        made.attrs["variant"] = "incident_wavelength_spectra"
        _write_spectra(beam, descriptions, most)
    if any(one.flux_per_s for one in descriptions):
        field(beam, "total_flux", one_or_all([one.flux_per_s for one in descriptions]), units="Hz")
        sizes_mm = [one.experiment.beam.size_mm for one in descriptions]
        field(beam, "incident_beam_size", one_or_all([(size_mm, size_mm) for size_mm in sizes_mm]), units="mm")
        profile = {"box": "rectangular", "gauss": "Gaussian"}[first.experiment.beam.profile]
        field(beam, "profile", profile)
    field(beam, "flux_integrated", one_or_all([one.fluence_per_m2 for one in descriptions]), units="m^-2")
    if first.polarization_fraction is not None:
        field(beam, "incident_polarization_stokes", np.tile(stokes(first), (len(descriptions), 1)))


def _write_spectra(beam: Any, descriptions: Sequence[Description], most: int) -> None:
    """As many wavelengths for each frame: where one has fewer, its last goes on without photons."""

    def filled(values: npt.NDArray[np.float64], mode: Literal["edge", "constant"]) -> npt.NDArray[np.float64]:
        return np.pad(values, (0, most - len(values)), mode)

    # Readers take both for those of all frames, or both for those of each.
    wavelengths, weights = np.broadcast_arrays(
        one_or_all([filled(one.wavelengths_angstrom, "edge") for one in descriptions]),
        one_or_all([filled(one.wavelength_weights, "constant") for one in descriptions]),
    )
    field(beam, "incident_wavelength_spectra", wavelengths, units="angstrom")
    # The name of the standard, and that which dxtbx reads.
    for name in ("weights", "weight"):
        field(beam, f"incident_wavelength_spectra_{name}", weights)


def stokes(description: Description) -> npt.NDArray[np.float64]:
    """Parameters I, Q, U, V of the beam in the frame of NeXus: Q > 0 along x, U > 0 along x = y."""
    x, y, _ = in_nexus(description.to_dxtbx, description.polarization)
    degree = 2.0 * (description.polarization_fraction or 0.5) - 1.0
    across = x * x + y * y
    return np.array([1.0, degree * (x * x - y * y) / across, degree * 2.0 * x * y / across, 0.0]) + 0.0


def one_or_all(values: Sequence[Any]) -> npt.NDArray[Any]:
    """What all frames have in common, once; else that of each (frames, ...)."""
    array = np.asarray(values)
    return array[0] if np.all(array == array[0]) else array


# The sample ------------------------------------------------------------------------------------------------------


def _write_sample(entry: Any, descriptions: Sequence[Description]) -> None:
    """Readers take what has no axis for stills."""
    first = descriptions[0]
    sample = group(entry, "sample", "NXsample")
    field(sample, "name", "simulated crystal")
    phi = np.array([one.phi_deg for one in descriptions])
    width = np.array([one.oscillation_deg for one in descriptions])
    turns = are_turned(descriptions)
    field(sample, "depends_on", OMEGA if turns else ".")
    if turns:
        axes = group(sample, "transformations", "NXtransformations")
        axis(axes, "omega", phi, "rotation", in_nexus(first.to_dxtbx, first.spindle), ".")
        field(axes, "omega_end", phi + width, units="deg")
        field(axes, "omega_increment_set", width, units="deg")


def are_turned(descriptions: Sequence[Description]) -> bool:
    """Whether frames are of a crystal that turns, in them or between them."""
    phi = descriptions[0].phi_deg
    return any(one.oscillation_deg != 0.0 or one.phi_deg != phi for one in descriptions)


# The truth -------------------------------------------------------------------------------------------------------

OF_FRAMES: dict[str, Callable[[Frame], Any]] = {
    "image_number": lambda frame: frame.description.image_number,
    "seed": lambda frame: frame.description.seed,
    "phi_deg": lambda frame: frame.description.phi_deg,
    "oscillation_deg": lambda frame: frame.description.oscillation_deg,
    "wavelength_angstrom": lambda frame: frame.description.mean_wavelength_angstrom,
    "fluence_per_m2": lambda frame: frame.description.fluence_per_m2,
    "counts_per_photon": counts_per_photon,
    "count_of_no_photons": lambda frame: frame.adc_offset,
}
"""Columns of the table of frames."""
OF_CRYSTALS: dict[str, Callable[[CrystalTruth], Any]] = {
    "a_matrix": lambda crystal: crystal.a_matrix,
    "unit_cell": lambda crystal: crystal.cell,
    "cells": lambda crystal: crystal.cells,
    "mosaic_spread_deg": lambda crystal: crystal.mosaic_spread_deg,
    "mosaic_domains": lambda crystal: crystal.domains,
    "weight": lambda crystal: crystal.weight,
    "spot_scale": lambda crystal: crystal.spot_scale,
}
"""Columns of the table of crystals, of which every frame has one row or more."""


def _write_truth(entry: Any, frames: Sequence[Frame]) -> None:
    """Our own group: what was simulated, frame by frame and crystal by crystal."""
    truth = group(entry, "nbnumba", "NXcollection")
    field(truth, "program", frames[0].description.program)
    field(truth, "content", frames[0].content)
    field(truth, "to_dxtbx", frames[0].description.to_dxtbx)
    table = group(truth, "frames", "NXcollection")
    for name, value in OF_FRAMES.items():
        field(table, name, np.array([value(frame) for frame in frames]))
    _write_texts(table, "experiment", [frame.description.truth for frame in frames])
    found = [(row, frame.description, one) for row, frame in enumerate(frames) for one in frame.description.crystals]
    if not found:  # where an image is detected whose crystal nobody knows
        return
    table = group(truth, "crystals", "NXcollection")
    field(table, "frame", np.array([row for row, _, _ in found], np.int64))
    for name, of_crystal in OF_CRYSTALS.items():
        field(table, name, np.array([of_crystal(one) for _, _, one in found]))
    is_turned = are_turned([frame.description for frame in frames])
    field(table, "real_space_abc", np.array([
        _real_space(description, crystal, 0.0 if is_turned else description.phi_deg)
        for _, description, crystal in found]))  # fmt: skip
    _write_texts(table, "space_group", [one.space_group for _, _, one in found])


def _real_space(description: Description, crystal: CrystalTruth, phi_deg: float) -> npt.NDArray[np.float64]:
    """Rows a, b, c in Å in the frame of DIALS at a spindle angle: that of stills, which for readers have no spindle."""
    axes = np.linalg.inv(crystal.a_matrix).tolist()
    turned = [rotated_about(axis, description.spindle, radians_from_degrees(phi_deg)) for axis in axes]
    return np.array(turned) @ description.to_dxtbx.T


def _write_texts(table: Any, name: str, texts: Sequence[str]) -> None:
    # Of one length: what does not differ from row to row packs to nothing.
    encoded = np.array([text.encode() for text in texts], "S")
    if encoded.dtype.itemsize:
        settled(table.create_dataset(name, data=encoded, chunks=encoded.shape, compression="gzip"))
