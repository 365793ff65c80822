"""What image files tell of an experiment: from SI and the experiment's nouns to the words of all formats."""

import numpy as np

from .experiment import Cell, Experiment
from .experiment.quirks import quirks_of
from .formats.frame import CrystalTruth, Description, PanelGeometry, PredictedReflections
from .kernels.choices import FLAT
from .kernels.plan import DetectorPlan, Plan
from .prediction import a_matrix_of, central_beam, predicted
from .setup.geometry import Geometry, beam_center_of_fast_slow
from .setup.panels import PlacedPanel
from .setup.resolve import Resolved
from .version import __version__

MM = 1000.0
UM = 1e6


def described(resolved: Resolved) -> Description:
    """How beam, crystal and detector of an experiment stand."""
    lab, scan, plan, beam = resolved.panels[0], resolved.scan, resolved.plans[0], resolved.experiment.beam
    mean_direction, mean_wavelength = central_beam(resolved)
    wavelengths, weights = _spectrum(resolved)
    detector = resolved.experiment.detector
    names = [panel.name for panel in detector.panels or ()] or [""]
    return Description(
        experiment=resolved.experiment,
        panels=tuple(
            _panel(resolved.experiment, name, panel, mask, plan.detector)
            for name, panel, mask, plan in zip(names, resolved.panels, resolved.masks, resolved.plans, strict=True)
        ),
        wavelength_angstrom=resolved.wavelength_angstrom,
        mean_wavelength_angstrom=mean_wavelength,
        beam=lab.beam,
        mean_direction=mean_direction,
        polarization=lab.polarization,
        polarization_fraction=(1.0 + plan.kahn) / 2.0 if plan.polarization_correction else None,
        fluence_per_m2=resolved.fluence_per_m2,
        exposure_s=beam.exposure_s,
        flux_per_s=beam.flux_per_s,
        wavelengths_angstrom=wavelengths,
        wavelength_weights=weights,
        crystals=_crystals(resolved),
        spindle=lab.spindle,
        phi_deg=scan.start_deg,
        oscillation_deg=scan.oscillation_deg,
        edge_angstrom=resolved.edge_angstrom,
        twotheta_axis=lab.twotheta_axis if isinstance(lab, Geometry) else lab.spindle,
        sensor_material=detector.sensor_material or "",
        attenuation_per_mm=plan.detector.attenuation / MM,
        placed_by=_placing(resolved.experiment),
        program=f"nbnumba {__version__}",
    )


def predicted_reflections(resolved: Resolved) -> PredictedReflections:
    """Where the reflections of the crystal's own lattice fall, with their F."""
    found, table = predicted(resolved), resolved.table
    index = found.hkl - np.array(table.first)
    inside = np.all((index >= 0) & (index < table.values.shape[1:]), axis=1)
    f = np.full(len(found), table.outside)
    f[inside] = table.values[0][tuple(index[inside].T)]
    return PredictedReflections(
        found.hkl, found.panel, found.pixel, found.wavelength_angstrom, found.phi_deg, found.d_angstrom, f
    )


def _spectrum(resolved: Resolved) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths in Å, each once, and the shares of the photons that have them."""
    wavelengths, weights = resolved.sources.weights()
    return wavelengths, weights / weights.sum()


def _crystals(resolved: Resolved) -> tuple[CrystalTruth, ...]:
    if not resolved.has_crystal:
        return ()
    provenance = resolved.table.provenance
    space_group = "P 1" if provenance is None else provenance.space_group

    def truth(plan: Plan, cell: Cell, spread_deg: float | None, weight: float, spot_scale: float) -> CrystalTruth:
        crystal, domains = plan.crystal, len(plan.crystal.domains)
        spread = (spread_deg or 0.0) if domains > 1 else 0.0
        return CrystalTruth(a_matrix_of(crystal), cell, space_group, crystal.cells, spread, domains, weight, spot_scale)

    own = resolved.experiment.crystal
    return (
        truth(resolved.plans[0], resolved.lattice.cell, own.mosaic_spread_deg, 1.0, resolved.spot_scale),
        *(
            truth(one.plans[0], one.lattice.cell, one.crystal.mosaic_spread_deg, one.weight, one.spot_scale)
            for one in resolved.lattices
        ),
    )


def _panel(
    experiment: Experiment, name: str, placed: PlacedPanel, mask: np.ndarray | None, plan: DetectorPlan
) -> PanelGeometry:
    slow_size = placed.slow_size_m if isinstance(placed, Geometry) else placed.pixel_m * placed.slow_pixels
    x, y = _beam_center(experiment, placed)
    origin_x, origin_y, origin_z = placed.origin_m
    return PanelGeometry(
        name=name,
        fast_pixels=placed.fast_pixels,
        slow_pixels=placed.slow_pixels,
        pixel_mm=placed.pixel_m * MM,
        origin_mm=(origin_x * MM, origin_y * MM, origin_z * MM),
        fast=placed.fast,
        slow=placed.slow,
        distance_mm=placed.distance_m * MM,
        close_distance_mm=placed.close_distance_m * MM,
        beam_center_mm=(x * MM, y * MM),
        fbeam_mm=placed.fbeam_m * MM,
        sbeam_mm=placed.sbeam_m * MM,
        slow_size_mm=slow_size * MM,
        dials_origin_mm=placed.dials_origin_mm,
        orgx=placed.orgx_px,
        orgy=placed.orgy_px,
        twotheta_deg=experiment.detector.twotheta_deg or 0.0,
        curved=plan.surface != FLAT,
        thickness_um=plan.layer_step * plan.layers * UM,
        roi=plan.roi,
        mask=mask,
    )


def _beam_center(experiment: Experiment, placed: PlacedPanel) -> tuple[float, float]:
    """In m, in the axes of the convention."""
    if isinstance(placed, Geometry) and quirks_of(experiment).header_center_as_given:
        return placed.xbeam_m, placed.ybeam_m
    # Who reads the file knows the pixels, not what size the detector was given.
    convention, slow_size = experiment.detector.convention, placed.pixel_m * placed.slow_pixels
    return beam_center_of_fast_slow(convention, placed.fbeam_m, placed.sbeam_m, placed.pixel_m, slow_size)


def _placing(experiment: Experiment) -> str:
    """The options that give the axes of the detector, the beam and the spindle."""
    detector = experiment.detector
    angles = {
        "-detector_rotx": detector.rotx_deg,
        "-detector_roty": detector.roty_deg,
        "-detector_rotz": detector.rotz_deg,
        "-twotheta": detector.twotheta_deg,
    }
    vectors = {
        "-fdet_vector": detector.fast_axis,
        "-sdet_vector": detector.slow_axis,
        "-beam_vector": experiment.beam.direction,
        "-spindle_axis": experiment.goniometer.spindle_axis,
    }
    options = [f"{option} {angle:g}" for option, angle in angles.items() if angle]
    if detector.convention == "custom":
        options += [option for option, vector in vectors.items() if vector is not None]
    elif detector.convention in ("adxv", "dials"):
        options.append(f"-{detector.convention}")
    return ", ".join(options) or f"-{detector.convention}"
