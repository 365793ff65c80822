"""The taps of a trace: what each is computed from, and how one is told from another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Value = tuple[float, ...] | str

DETECTOR: dict[str, tuple[str, ...]] = {
    "spixel": ("-trace_pixel",),
    "fpixel": ("-trace_pixel",),
    "detector_convention": ("the convention and vector options",),
    "angles_rad": ("-detector_rotx, _roty, _rotz", "-twotheta"),
    "beam_center_m": ("-Xclose, -Yclose, else half the detector", "-pixel"),
    "initial_fdet": ("detector_convention", "-fdet_vector"),
    "initial_sdet": ("detector_convention", "-sdet_vector"),
    "initial_odet": ("-odet_vector", "initial_fdet", "initial_sdet"),
    "Fclose_m": ("-ORGX, -Xclose, -Xbeam", "beam_center_m"),
    "Sclose_m": ("-ORGY, -Yclose, -Ybeam", "beam_center_m"),
    "ratio": ("-beam_vector", "initial_odet", "angles_rad"),
    "close_distance_m": ("-close_distance, -distance", "ratio"),
    "distance_m": ("-distance", "close_distance_m", "ratio"),
    "term_fast_before_rot": ("Fclose_m", "initial_fdet", "the pivot"),
    "term_slow_before_rot": ("Sclose_m", "initial_sdet", "the pivot"),
    "term_close_before_rot": ("close_distance_m", "initial_odet", "the pivot"),
    "pix0_before_rotation": ("term_fast_before_rot", "term_slow_before_rot", "term_close_before_rot", "-pix0_vector"),
    "pix0_after_rotz": ("pix0_before_rotation", "angles_rad"),
    "fdet_after_rotz": ("initial_fdet", "angles_rad"),
    "sdet_after_rotz": ("initial_sdet", "angles_rad"),
    "odet_after_rotz": ("initial_odet", "angles_rad"),
    "twotheta_axis": ("detector_convention", "-twotheta_axis"),
    "fdet_after_twotheta": ("fdet_after_rotz", "twotheta_axis", "angles_rad"),
    "sdet_after_twotheta": ("sdet_after_rotz", "twotheta_axis", "angles_rad"),
    "odet_after_twotheta": ("odet_after_rotz", "twotheta_axis", "angles_rad"),
    "pix0_after_twotheta": ("pix0_after_rotz", "twotheta_axis", "angles_rad", "-Xbeam, -Ybeam", "distance_m"),
}
PIXEL: dict[str, tuple[str, ...]] = {
    "pix0_vector_meters": ("pix0_after_twotheta",),
    "fdet_vec": ("fdet_after_twotheta",),
    "sdet_vec": ("sdet_after_twotheta",),
    "pixel_pos_meters": ("pix0_vector_meters", "fdet_vec", "sdet_vec", "beam_center_m", "-oversample", "-curved_det"),
    "R_distance_meters": ("pixel_pos_meters",),
    "close_distance_meters": ("pix0_vector_meters", "odet_after_twotheta"),
    "obliquity_factor": ("close_distance_meters", "R_distance_meters"),
    "omega_pixel_sr": ("beam_center_m", "R_distance_meters", "obliquity_factor", "-point_pixel"),
    "diffracted_vec": ("pixel_pos_meters", "R_distance_meters"),
    "incident_vec": ("-beam_vector", "-divergence", "-sourcefile"),
    "lambda_meters": ("-lambda", "-dispersion", "-sourcefile"),
    "lambda_angstroms": ("lambda_meters",),
    "scattering_vec_A_inv": ("diffracted_vec", "incident_vec", "lambda_meters"),
    "rot_a_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
    "rot_b_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
    "rot_c_star_A_inv": ("-mat", "-cell", "-misset", "lambda_meters"),
}
PHI: dict[str, tuple[str, ...]] = {
    "phi_tic": ("-phisteps",),
    "phi_deg": ("-phi", "-osc", "-phistep", "-phisteps"),
    # Before the vectors it is made of, since it is what a log has of every φ step: a step is named by it.
    "k_frac": ("rot_b_angstroms", "scattering_vec_A_inv"),
    "rot_a_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "rot_b_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "rot_c_angstroms": ("rot_a_star_A_inv", "rot_b_star_A_inv", "rot_c_star_A_inv", "phi_deg", "-spindle_axis"),
    "V_actual": ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms"),
    "rotated_a_star_A_inv": ("rot_b_angstroms", "rot_c_angstroms", "V_actual"),
    "rotated_b_star_A_inv": ("rot_c_angstroms", "rot_a_angstroms", "V_actual"),
    "rotated_c_star_A_inv": ("rot_a_angstroms", "rot_b_angstroms", "V_actual"),
    "hkl_frac": ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "scattering_vec_A_inv"),
    "hkl_rounded": ("hkl_frac",),
    "F_latt_a": ("hkl_frac", "-Na"),
    "F_latt_b": ("k_frac", "hkl_frac", "-Nb"),
    "F_latt_c": ("hkl_frac", "-Nc"),
    "F_latt": ("F_latt_a", "F_latt_b", "F_latt_c", "the shape of the crystal"),
    "F_cell": ("hkl_rounded", "hkl_frac", "-hkl", "-default_F", "-interpolate"),
}
SCALING: dict[str, tuple[str, ...]] = {
    "r_e_meters": ("a constant",),
    "r_e_sqr": ("r_e_meters",),
    "fluence_photons_per_m2": ("-fluence", "-flux, -exposure, -beamsize"),
    "steps": ("the numbers of sources, φ steps, domains and sub-pixels",),
    "spot_scale": ("-spot_scale", "-crystal_mm, -beamsize, -beam_profile, -N"),
    "oversample_thick": ("-oversample_thick",),
    "oversample_polar": ("-oversample_polar",),
    "oversample_omega": ("-oversample_omega",),
    "I_before_scaling": ("F_cell", "F_latt", "the same of every other sample", "-water"),
    "capture_fraction": ("diffracted_vec", "odet_after_twotheta", "-detector_abs, _thick, _thicksteps"),
    "cos_2theta": ("incident_vec", "diffracted_vec"),
    "polar": ("cos_2theta", "incident_vec", "diffracted_vec", "-polar", "-polar_vector"),
    "omega_pixel": ("omega_pixel_sr",),
    "photons": ("F_cell", "F_latt", "the other samples of the step", "capture_fraction", "polar", "omega_pixel"),
    "I_pixel_final": (
        "I_before_scaling", "r_e_sqr", "fluence_photons_per_m2", "steps", "spot_scale", "capture_fraction", "polar",
        "omega_pixel",
    ),
    "floatimage_accumulated": ("I_pixel_final", "-roi, -mask"),
}  # fmt: skip
CHAIN = DETECTOR | PIXEL | PHI | SCALING
"""Every tap with what it is computed from, taps or options, in the order in which one follows from another."""

SCALING_CHAIN = (
    "F_cell", "F_latt", "I_before_scaling", "r_e_sqr", "fluence_photons_per_m2", "steps", "capture_fraction", "polar",
    "omega_pixel", "I_pixel_final",
)  # fmt: skip

_INDEX = {name: number for number, name in enumerate(CHAIN)}


class Key(NamedTuple):
    """A tap's name, and its φ step where there is one value for each."""

    name: str
    phi_tic: int | None = None

    @property
    def place(self) -> tuple[int, int, int, bool, str]:
        """Where it stands in the chain; the pixel's taps of the cell are those of φ step 0."""
        index = _INDEX.get(self.name, len(CHAIN))
        stage = _INDEX["phi_tic"] if self.name in PHI else index
        return stage, self.phi_tic or 0, index, self.phi_tic is None, self.name

    def __str__(self) -> str:
        return self.name if self.phi_tic is None else f"{self.name} of φ step {self.phi_tic}"


Taps = Mapping[Key, Value]
