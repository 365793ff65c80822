"""What image files tell of an experiment: from SI and the experiment's nouns to the words of all formats."""

from .experiment import Experiment
from .experiment.quirks import quirks_of
from .formats.frame import Description, PanelGeometry
from .kernels.plan import FLAT
from .prediction import central_beam
from .setup.geometry import beam_center_of_fast_slow
from .setup.resolve import Resolved
from .version import __version__

MM = 1000.0
UM = 1e6


def described(resolved: Resolved) -> Description:
    """How beam, crystal and detector of an experiment stand."""
    geometry, scan, plan, beam = resolved.geometry, resolved.scan, resolved.plan, resolved.experiment.beam
    mean_direction, mean_wavelength = central_beam(resolved)
    return Description(
        panels=(_panel(resolved),),
        wavelength_angstrom=resolved.wavelength_angstrom,
        mean_wavelength_angstrom=mean_wavelength,
        beam=geometry.beam,
        mean_direction=mean_direction,
        polarization=geometry.polarization,
        polarization_fraction=(1.0 + plan.kahn) / 2.0 if plan.polarization_correction else None,
        fluence_per_m2=resolved.fluence_per_m2,
        exposure_s=beam.exposure_s,
        flux_per_s=beam.flux_per_s,
        spindle=geometry.spindle,
        phi_deg=scan.start_deg,
        oscillation_deg=scan.oscillation_deg,
        edge_angstrom=resolved.edge_angstrom,
        placed_by=_placing(resolved.experiment),
        program=f"nbnumba {__version__}",
    )


def _panel(resolved: Resolved) -> PanelGeometry:
    geometry, plan = resolved.geometry, resolved.plan.detector
    x, y = geometry.xbeam_m, geometry.ybeam_m
    if not quirks_of(resolved.experiment).header_center_as_given:
        # Who reads the file knows the pixels, not what size the detector was given.
        slow_size = geometry.pixel_m * geometry.slow_pixels
        x, y = beam_center_of_fast_slow(
            geometry.convention, geometry.fbeam_m, geometry.sbeam_m, geometry.pixel_m, slow_size
        )
    origin_x, origin_y, origin_z = geometry.origin_m
    return PanelGeometry(
        fast_pixels=geometry.fast_pixels,
        slow_pixels=geometry.slow_pixels,
        pixel_mm=geometry.pixel_m * MM,
        origin_mm=(origin_x * MM, origin_y * MM, origin_z * MM),
        fast=geometry.fast,
        slow=geometry.slow,
        distance_mm=geometry.distance_m * MM,
        close_distance_mm=geometry.close_distance_m * MM,
        beam_center_mm=(x * MM, y * MM),
        fbeam_mm=geometry.fbeam_m * MM,
        sbeam_mm=geometry.sbeam_m * MM,
        slow_size_mm=geometry.slow_size_m * MM,
        dials_origin_mm=geometry.dials_origin_mm,
        orgx=geometry.orgx_px,
        orgy=geometry.orgy_px,
        twotheta_deg=resolved.experiment.detector.twotheta_deg or 0.0,
        curved=plan.surface != FLAT,
        thickness_um=plan.layer_step * plan.layers * UM,
        roi=plan.roi,
        mask=plan.mask if plan.mask.size else None,
    )


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
