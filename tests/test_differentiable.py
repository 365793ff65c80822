"""Models by the names that users give: derivatives against differences of their own images, and what must hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import atom_record, cryst1
from moving import BY_MATRIX, CUSTOM, IN_WATER, TABLED, TRICLINIC, WET

from nbnumba import Differentiable, Experiment, Material, Panel, changed, gradients, simulate
from nbnumba.differentiation.fields import COMPOSITES, smooth_fields
from nbnumba.errors import NbnumbaWarning
from nbnumba.kernels.equations.vectors import rotated_about

BY_DIFFERENCES = 1e-8
"""Of a derivative image, relative to its largest number."""
ROUNDED = {"crystal.mosaic_spread_deg": 1e-3, "beam.pink_ev": 1e-3}
"""What differences do not tell better: angles of domains are rounded to float32, a band is a sum of 4001 energies."""
STEPS = (1e-5, 3e-6, 3e-5, 1e-6, 1e-4, 1e-3, 3e-3)
"""In natural scales."""

ROTATIONS = ("detector.rotx_deg", "detector.roty_deg", "detector.rotz_deg")
ONE_COLOUR: dict[str, Any] = {"dispersion_percent": 0.0, "dispersion_steps": None}
DIVERGENT = changed(
    TRICLINIC,
    beam=ONE_COLOUR | {
        "horizontal_divergence_mrad": 4.0, "horizontal_divergence_steps": 3, "horizontal_divergence_sigma_mrad": 2.0,
        "vertical_divergence_mrad": 3.0, "vertical_divergence_steps": 3, "vertical_divergence_sigma_mrad": 1.5,
        "round_divergence": False,
    },
)  # fmt: skip
STEPPED = changed(
    TRICLINIC,
    beam=ONE_COLOUR | {
        "horizontal_divergence_step_mrad": 4.0, "horizontal_divergence_steps": 2, "round_divergence": False,
        "vertical_divergence_step_mrad": 3.0, "vertical_divergence_steps": 2,
    },
    scan={"oscillation_deg": None, "step_deg": 0.7, "steps": 3},
)  # fmt: skip
FLUX = changed(TRICLINIC, beam={"flux_per_s": 1e24, "exposure_s": 0.5, "size_mm": 0.05})
WHOLE = changed(
    TRICLINIC,
    crystal={"whole_size_mm": (0.03, 0.05, 0.06), "spot_scale": None},
    beam={"profile": "gauss", "size_mm": 0.04, "flux_per_s": 1e12},
)
PINK = changed(
    TRICLINIC, beam=ONE_COLOUR | {"wavelength_angstrom": None, "pink_ev": (12400, 200, 100), "spectrum_bins": 3}
)
TWO_COLOUR = changed(TRICLINIC, beam=ONE_COLOUR | {"wavelength_angstrom": None, "two_colour": (12400, 0.6, 12500, 0.4)})
SPECTRUM = changed(TRICLINIC, beam=ONE_COLOUR | {"spectrum": [(12300, 1.0), (12400, 3.0), (12600, 2.0)]})
NO_BEAM_CENTRE = {"distance_mm": None, "beam_x_mm": None, "beam_y_mm": None, "close_distance_mm": 99.0}
NEAR = changed(TRICLINIC, detector=NO_BEAM_CENTRE | {"close_x_mm": 8.0, "close_y_mm": 13.0})
XDS = changed(TRICLINIC, detector=NO_BEAM_CENTRE | {"convention": "xds", "orgx_px": 3.0, "orgy_px": 4.0})
AXES = changed(
    CUSTOM,
    detector={"fast_axis": (0.01, 0.02, 1.0), "slow_axis": (0.02, -1.0, 0.015), "twotheta_axis": (0.1, 0.2, 1.0)},
    scan={"oscillation_deg": 0.0, "steps": 1},
    goniometer={"spindle_axis": (0.1, 0.2, 0.9)},
)
PANELS = changed(
    TRICLINIC,
    detector={
        "convention": "dials", "thickness_um": 300.0, "layers": 2,
        "panels": [
            Panel("one", 8, 3, (-9, -8, 100), (2.5, 0.2, 0.1), (0.1, 3.1, -0.2)),
            Panel("two", 6, 4, (-9, 3, 100), (2.7, -0.2, 0.1), (0.1, 2.1, 0.2), mask=np.arange(24).reshape(4, 6) % 5),
        ],
    }
    | dict.fromkeys(("fast_pixels", "slow_pixels", "pixel_mm", "distance_mm", "beam_x_mm", "beam_y_mm", "twotheta_deg"))
    | dict.fromkeys(("rotx_deg", "roty_deg", "rotz_deg"), 0.0),
)  # fmt: skip
LIGHTER = changed(IN_WATER, background={"materials": [Material("water", 1e-3, density_g_per_cm3=0.9)]})
REGION = changed(TRICLINIC, detector={"roi": (2, 6, 1, 4), "mask": np.arange(48).reshape(6, 8) % 7})
PRESET = Experiment.from_args(
    "-detector pilatus-100k -distance 100 -lambda 1 -cell 40 45 50 75 85 95 -misset 10 20 30 -default_F 100 -N 5 "
    "-oversample 3 -roi 240 247 90 95 -nointerpolate".split()
)
ALL_OF_THE_CRYSTAL = ("crystal.cell", "crystal.misset_deg", "crystal.size[1]", "crystal.mosaic_spread_deg",
                      "scan.oscillation_deg", "crystal.spot_scale")  # fmt: skip
MORE = ("crystal.fudge", "crystal.mosaic_spread_deg", "scan.oscillation_deg")

CASES: dict[str, tuple[Experiment, Sequence[str]]] = {
    "crystal": (TRICLINIC, ALL_OF_THE_CRYSTAL),
    "beam": (TRICLINIC, ("beam.dispersion_percent", "beam.kahn_factor", "crystal.orientation", "scale",
                         "scan.oscillation_deg", "beam.wavelength_angstrom")),
    "detector": (TRICLINIC, ("detector.distance_mm", "detector.beam_x_mm", "detector.beam_y_mm", *ROTATIONS,
                             "detector.thickness_um", "detector.attenuation_depth_um", "beam.fluence_per_m2")),
    "pixels": (TRICLINIC, ("detector.pixel_mm", "detector.twotheta_deg", "scan.phi_deg", "crystal.a_matrix[1]",
                           "structure_factors.default_f")),
    "matrix": (TRICLINIC, ("crystal.a_matrix",)),
    "given matrix": (BY_MATRIX, ("crystal.a_matrix",)),
    "custom": (CUSTOM, ("detector.origin_mm", "beam.direction", "beam.polarization_axis")),
    "fast axis": (AXES, ("detector.fast_axis",)),
    "slow axis": (AXES, ("detector.slow_axis",)),
    "two-theta axis": (AXES, ("detector.twotheta_axis",)),
    "spindle": (AXES, ("goniometer.spindle_axis",)),
    "divergent": (DIVERGENT, ("beam.horizontal_divergence_mrad", "beam.horizontal_divergence_sigma_mrad",
                              "beam.vertical_divergence_mrad", "beam.vertical_divergence_sigma_mrad")),
    "stepped": (STEPPED, ("beam.horizontal_divergence_step_mrad", "beam.vertical_divergence_step_mrad",
                          "scan.step_deg", "scan.phi_deg")),
    "flux": (FLUX, ("beam.flux_per_s",)),
    "exposure": (FLUX, ("beam.exposure_s",)),
    "size of the beam": (FLUX, ("beam.size_mm",)),
    "beam on a whole crystal": (WHOLE, ("beam.size_mm", "crystal.cell")),
    "whole crystal": (WHOLE, ("crystal.whole_size_mm[1]",)),
    "pink": (PINK, ("beam.pink_ev", "crystal.misset_deg")),
    "two colours": (TWO_COLOUR, ("beam.two_colour[0]", "beam.two_colour[1]", "beam.two_colour[2]")),
    "spectrum": (SPECTRUM, ("crystal.cell", "detector.distance_mm")),
    "near": (NEAR, ("detector.close_distance_mm", "detector.close_x_mm", "detector.close_y_mm", *ROTATIONS)),
    "xds": (XDS, ("detector.close_distance_mm", "detector.orgx_px", "detector.orgy_px")),
    "panels": (PANELS, ("detector.panels[0].origin_mm", "detector.panels[1].origin_mm[2]", "crystal.misset_deg",
                        "detector.panels[0].fast_step_mm", "detector.panels[1].slow_step_mm[0]")),
    "wet": (WET, ("background.water_um", "detector.roty_deg")),
    "in water": (IN_WATER, ("beam.wavelength_angstrom", "detector.distance_mm", "crystal.misset_deg",
                            "background.materials[0].path_mm")),
    "beam in water": (IN_WATER, ("beam.size_mm",)),
    "lighter": (LIGHTER, ("background.materials[0].density_g_per_cm3",)),
    "region": (REGION, ("crystal.cell[0]", "detector.distance_mm")),
    "preset": (PRESET, ("detector.thickness_um", "detector.attenuation_depth_um", "crystal.cell[1]")),
    "wavelength on a preset": (PRESET, ("beam.wavelength_angstrom", "detector.beam_x_mm", "detector.pixel_mm")),
    "tabled": (TABLED, ("structure_factors.scale_f", "structure_factors.b_add", "crystal.misset_deg[0]")),
    "round": (changed(TRICLINIC, crystal={"shape": "round"}),
              (*MORE, "crystal.cell", "crystal.size[0]", "beam.kahn_factor")),
    "gauss": (changed(TRICLINIC, crystal={"shape": "gauss"}),
              (*MORE, "crystal.cell", "crystal.size", "beam.kahn_factor")),
    "edges": (changed(TRICLINIC, crystal={"shape": "gauss", "gauss_width": "edges"}),
              (*MORE, "crystal.cell", "crystal.size[2]", "beam.kahn_factor")),
    "gauss by a matrix": (changed(BY_MATRIX, crystal={"shape": "gauss"}),
                          (*MORE, "beam.wavelength_angstrom", "crystal.misset_deg", "detector.distance_mm")),
    "gauss, directions by a matrix": (
        changed(BY_MATRIX, crystal={"shape": "gauss", "cell": (41, 45, 50, 75, 85, 95)}),
        (*MORE, "crystal.cell[0]", "crystal.cell[1]", "crystal.cell[2]", "crystal.orientation")),
}  # fmt: skip


@contextmanager
def without_a_word() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        yield


def model_of(experiment: Experiment, names: Sequence[str]) -> Differentiable:
    with without_a_word():
        return Differentiable(experiment, names, threads=1)


@cache
def case(name: str) -> Differentiable:
    return model_of(*CASES[name])


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest number wanted."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def difference(model: Differentiable, number: int, step: float) -> np.ndarray:
    """Of fourth order."""

    def at(amount: float) -> np.ndarray:
        values = model.values
        values[number] += amount
        return model.image(values)

    return (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step)


def check_differences(model: Differentiable) -> None:
    """Every derivative image: too long steps see curvature and kinks, too short ones the last digits."""
    image, slopes = model.jacobian(model.values)
    assert image.max() > 0.0
    np.testing.assert_array_equal(image, model.image(model.values))
    for number, (parameter, wanted) in enumerate(zip(model._parameters, slopes, strict=True)):
        errors, within = [], ROUNDED.get(parameter.name.partition("[")[0], BY_DIFFERENCES)
        for step in STEPS:
            errors.append(error(difference(model, number, step * parameter.scale), wanted))
            if errors[-1] <= within:
                break
        assert min(errors) <= within, parameter.name


def check_experiment(model: Differentiable, within: float = 2e-6) -> None:
    """The experiment at other values is simulated as the model has it."""
    values = model.values
    for number, parameter in enumerate(model._parameters):
        values[number] += 1e-3 * parameter.scale
    with without_a_word():
        photons = simulate(model.experiment(values), "cpu", threads=1).photons
    image = model.image(values)
    assert error(photons, image) <= within
    assert error(model.image(model.values), image) > 100 * within


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_differences(name: str) -> None:
    check_differences(case(name))


@pytest.mark.parametrize("name", [name for name, (_, free) in CASES.items() if "crystal.size" not in str(free)])
def test_experiments_at_other_values_have_the_model_s_image(name: str) -> None:
    check_experiment(case(name))


# Files ---------------------------------------------------------------------------------------------------------------

LINE = "-default_F 100 -N 5 -oversample 3 -nointerpolate -cell 40 45 50 75 85 95 -misset 10 20 30"
A_MATRIX = "0.0250 -0.0065 0.0012\n0.0011 0.0241 -0.0021\n-0.0032 0.0018 0.0217\n"


def model_of_line(line: str, *names: str) -> Differentiable:
    with without_a_word():
        experiment = Experiment.from_args(line.split())
    return model_of(experiment, names)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_header_s_numbers_are_parameters(folder: Path) -> None:
    start = Experiment.from_args(f"{LINE} -detpixels 8 -pixel 0.5 -distance 90 -lambda 1.1 -phi 3".split())
    with without_a_word():
        simulate(start, "cpu").save(folder / "first.img")
    model = model_of_line(f"{LINE} -img first.img", "detector.distance_mm", "detector.beam_x_mm",
                          "beam.wavelength_angstrom", "scan.phi_deg", "detector.pixel_mm")  # fmt: skip
    assert model.values[[0, 2, 3, 4]] == pytest.approx([90.0, 1.1, 3.0, 0.5], rel=1e-6)
    check_differences(model)
    check_experiment(model)


@pytest.mark.parametrize("names", [("crystal.a_matrix",), ("crystal.orientation", "detector.distance_mm")])
def test_a_matrix_of_a_file_moves(names: tuple[str, ...], folder: Path) -> None:
    (folder / "A.mat").write_text(A_MATRIX)
    line = "-mat A.mat -lambda 1.1 -default_F 100 -N 5 -oversample 3 -nointerpolate -detpixels 8 -pixel 0.5"
    model = model_of_line(line, *names)
    check_differences(model)
    check_experiment(model)


ATOMS = "".join(
    atom_record(number=number, x=x, y=y, z=z, b=15.0 + number, element=element)
    for number, (x, y, z, element) in enumerate([(3, 4, 5, "C"), (7, 2, 9, "O"), (5, 8, 2, "S"), (9, 9, 7, "N")], 1)
)


def test_factors_of_a_model_move_with_solvent_and_scale(folder: Path) -> None:
    (folder / "model.pdb").write_text(cryst1(20, 22, 24, symbol="P 21 21 21") + ATOMS + "END\n")
    line = "-pdb model.pdb -default_F 5 -N 5 -oversample 2 -nointerpolate -detpixels 8 -pixel 4 -lambda 1 -misset 1 2 3"
    model = model_of_line(line, "structure_factors.b_add", "structure_factors.scale_f", "structure_factors.k_sol",
                          "structure_factors.b_sol")  # fmt: skip
    check_differences(model)
    check_experiment(model)


def test_the_cell_of_a_model_is_a_parameter(folder: Path) -> None:
    (folder / "model.pdb").write_text(cryst1(20, 22, 24, symbol="P 21 21 21") + ATOMS + "END\n")
    line = "-pdb model.pdb -N 5 -oversample 2 -nointerpolate -detpixels 8 -pixel 4 -lambda 1 -misset 1 2 3"
    model = model_of_line(line, "crystal.cell", "detector.distance_mm")
    assert list(model.values[:6]) == [20, 22, 24, 90, 90, 90]
    check_differences(model)


# All of them ---------------------------------------------------------------------------------------------------------

IN_FILES = {"structure_factors.k_sol", "structure_factors.b_sol"}


def test_every_field_that_has_derivatives_is_held_to_differences() -> None:
    tested = {name.partition("[")[0] for _, names in CASES.values() for name in names} | IN_FILES
    assert {*smooth_fields(), *COMPOSITES} - tested == set()


# What must hold ------------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("name", ["crystal", "detector", "custom", "panels", "gauss", "tabled", "in water"])
def test_products_with_an_image_and_with_a_direction_agree(name: str) -> None:
    model = case(name)
    weights, direction = RANDOM.normal(size=model.shape), RANDOM.normal(size=len(model.names))
    direction *= [parameter.scale for parameter in model._parameters]
    _, slopes = model.jacobian(model.values)
    image, gradient = model.vjp(model.values, weights)
    moved = np.tensordot(direction, slopes, 1)
    np.testing.assert_array_equal(image, model.image(model.values))
    largest = (np.abs(weights) * np.tensordot(np.abs(direction), np.abs(slopes), 1)).sum()
    assert abs((weights * moved).sum() - gradient @ direction) <= 1e-12 * largest


@pytest.mark.parametrize("name", ["crystal", "detector", "panels"])
def test_no_bit_of_a_model_depends_on_threads(name: str) -> None:
    experiment, names = CASES[name]
    with without_a_word():
        several = Differentiable(experiment, names, threads=2)
    one, weights = case(name), RANDOM.normal(size=case(name).shape)
    for found, wanted in zip(several.jacobian(one.values), one.jacobian(one.values), strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(several.vjp(one.values, weights)[1], one.vjp(one.values, weights)[1])


def slopes_of(experiment: Experiment, *names: str) -> dict[str, np.ndarray]:
    with without_a_word():
        return {name: image for one in names for name, image in gradients(experiment, [one]).items()}


def test_the_spindle_turns_as_an_orientation_about_it() -> None:
    # -mosflm: about z.
    found = slopes_of(TRICLINIC, "scan.phi_deg", "crystal.orientation")
    flat = changed(TRICLINIC, scan={"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1})
    still = slopes_of(flat, "scan.phi_deg", "crystal.orientation[2]")
    assert error(still["scan.phi_deg"], still["crystal.orientation[2]"]) <= 1e-10
    assert error(found["scan.phi_deg"], found["crystal.orientation[2]"]) <= 1e-10


def test_photons_go_as_the_fluence() -> None:
    found = slopes_of(TRICLINIC, "beam.fluence_per_m2")["beam.fluence_per_m2"]
    image = model_of(TRICLINIC, ["scale"]).image([2.0])
    assert error(found * TRICLINIC.beam.fluence_per_m2, image) <= 1e-10
    assert error(2.0 * slopes_of(TRICLINIC, "scale")["scale"], image) <= 1e-10


def test_a_gaussian_crystal_that_grows_is_brighter_and_narrower() -> None:
    experiment = changed(TRICLINIC, crystal={"shape": "gauss"})
    found = slopes_of(experiment, "crystal.size", "crystal.fudge")
    image = model_of(experiment, ["scale"]).image([2.0])
    # Of N = Na Nb Nc, I = N² exp(−const · N² fudge).
    edge = float(np.prod(experiment.crystal.cells)) ** (1 / 3)
    wanted = 6.0 * image + 6.0 * experiment.crystal.fudge * found["crystal.fudge"]
    assert error(edge * found["crystal.size"], wanted) <= 1e-10


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.36, -0.48, 0.8)])
def test_nothing_changes_where_crystal_detector_and_beam_turn_together(axis: tuple[float, float, float]) -> None:
    still = {"scan": {"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1}}
    one_domain = {"mosaic_spread_deg": None, "mosaic_domains": None}
    axes = {
        "fast_axis": (0.0, 0.0, 1.0),
        "slow_axis": (0.0, -1.0, 0.0),
        "normal_axis": (1.0, 0.0, 0.0),
        "twotheta_deg": None,
    }
    upright = dict.fromkeys(("rotx_deg", "roty_deg", "rotz_deg"), 0.0)
    experiment = changed(CUSTOM, crystal=one_domain, detector=axes | upright, **still)
    detector, beam = experiment.detector, experiment.beam

    def turned(amount: float) -> tuple[dict[str, Any], ...]:
        def all_of(noun: Any, *names: str) -> dict[str, Any]:
            return {name: rotated_about(getattr(noun, name), axis, amount) for name in names}

        return (
            {"detector": all_of(detector, "origin_mm", "fast_axis", "slow_axis", "normal_axis")},
            {"beam": all_of(beam, "direction", "polarization_axis")},
        )

    def image(*nouns: dict[str, Any]) -> np.ndarray:
        together = {noun: values for part in nouns for noun, values in part.items()}
        moved = changed(experiment, **together)
        return model_of(moved, ["scale"]).image([2.0])

    # The crystal's part by its derivatives, that of the others by differences.
    orientation = slopes_of(experiment, "crystal.orientation")
    crystal = sum(np.degrees(part) * orientation[f"crystal.orientation[{number}]"] for number, part in enumerate(axis))
    errors = []
    for turn in (1e-5, 3e-6, 3e-5, 1e-6):
        near, far = (image(*turned(n * turn)) - image(*turned(-n * turn)) for n in (1, 2))
        errors.append(np.abs(crystal + (8.0 * near - far) / (12.0 * turn)).max() / np.abs(crystal).max())
    assert min(errors) <= BY_DIFFERENCES
