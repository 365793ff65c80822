"""What image files tell of an experiment: from SI and the experiment's nouns to the words of all formats."""

from .experiment import Experiment
from .experiment.quirks import quirks_of
from .formats.frame import Description, PanelGeometry
from .kernels.choices import FLAT
from .kernels.plan import DetectorPlan
from .prediction import central_beam
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
    return Description(
        panels=tuple(
            _panel(resolved.experiment, panel, plan.detector)
            for panel, plan in zip(resolved.panels, resolved.plans, strict=True)
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
        spindle=lab.spindle,
        phi_deg=scan.start_deg,
        oscillation_deg=scan.oscillation_deg,
        edge_angstrom=resolved.edge_angstrom,
        placed_by=_placing(resolved.experiment),
        program=f"nbnumba {__version__}",
    )


def _panel(experiment: Experiment, placed: PlacedPanel, plan: DetectorPlan) -> PanelGeometry:
    slow_size = placed.slow_size_m if isinstance(placed, Geometry) else placed.pixel_m * placed.slow_pixels
    x, y = _beam_center(experiment, placed)
    origin_x, origin_y, origin_z = placed.origin_m
    return PanelGeometry(
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
        mask=plan.mask if plan.mask.size else None,
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
