"""Experiments again with other numbers, parameters by name, and how a plan moves with each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

import nbnumba
from nbnumba import Background, Detector, Experiment, Material, Panel, UsageError, changed
from nbnumba.differentiation.parameter import Parameter, experiment_at
from nbnumba.differentiation.parameters import parameters_of
from nbnumba.differentiation.tangents import change_of
from nbnumba.experiment import FurtherLattice
from nbnumba.kernels.cpu.tables import make_tables
from nbnumba.kernels.equations.orientation import oriented_cells
from nbnumba.kernels.gradient.change import (
    AMORPHOUS,
    AREA,
    CELL,
    CELLS,
    FUDGE,
    KAHN,
    NORMAL,
    PATH,
    PLACE,
    SPOTS,
    SPREAD,
    SWEEP,
    TABLES,
    Change,
)
from nbnumba.kernels.plan import Plan
from nbnumba.setup.again import Setting
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.mosaic import mosaic_rotations
from nbnumba.setup.resolve import resolve
from nbnumba.structure_factors import fcalc
from nbnumba.testing.strategies import experiments
from nbnumba.unit_cell import cell_volume

RAD = math.pi / 180.0
BASE = (
    "-cell 40 45 50 75 85 95 -default_F 100 -detpixels 24 -pixel 1 -N 5 -misset 10 20 30 -lambda 1.1 -polar 0.9 "
    "-Xbeam 8 -Ybeam 13 -oversample 1 -nointerpolate -seed 1"
)
TURNED = f"{BASE} -detector_rotx 1 -detector_roty 2 -detector_rotz 3 -twotheta 4"
SENSOR = "-detector_thick 500 -detector_abs 300 -thicksteps 2"
MODEL = Path(nbnumba.__file__).parent / "data" / "1hel.pdb"
CUSTOM = f"{BASE} -beam_vector 0.999 0.02 -0.03 -polar_vector 0.05 0.1 0.99"
SWUNG = f"{BASE} -phi 5 -osc 1.5 -phisteps 3"


def experiment_of(line: str) -> Experiment:
    return Experiment.from_args(line.split())


def setting_of(given: str | Experiment) -> Setting:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Setting.of(experiment_of(given) if isinstance(given, str) else given)


def plans_of(experiment: Experiment) -> tuple[Plan, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return resolve(experiment, read_inputs(experiment)).plans


def is_same(one: Any, other: Any) -> bool:
    """To the bit."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and bool(one == other or (one != one and other != other))


def changes_of(setting: Setting, names: Sequence[str]) -> tuple[tuple[Parameter, ...], Plan, Change]:
    """Parameters, and the first panel's plan and change at the start."""
    parameters = parameters_of(setting, names)
    plans, changes = change_of(setting, [one.value for one in parameters], parameters)
    return parameters, plans[0], changes[0]


def rows_of(line: str, *names: str) -> tuple[np.ndarray, Plan]:
    parameters, plan, change = changes_of(setting_of(line), names)
    assert len(change.columns) == len(parameters)
    return change.columns, plan


def only(row: np.ndarray, *columns: int) -> None:
    """Nothing else moves."""
    others = np.delete(row, columns)
    assert not others.any(), np.flatnonzero(row)


# An experiment again -----------------------------------------------------------------------------------------------

LINES = [
    BASE,
    f"{TURNED} {SENSOR} -dispersion 1 -dispsteps 3 -hdivrange 1 -vdivrange 2 -hdivsteps 3 -vdivsteps 3 -water 3",
    f"{SWUNG} -mosaic 0.5 -mosaic_domains 5 -phi_sampling middle",
    f"{BASE} -osc 1 -phistep 0.3",
    f"{BASE} -misset random",
    f"{BASE} -hdivstep 0.2 -hdivrange 1",
    f"{BASE} -pink 9000 50 60 -spectrum_bins 7",
    f"{BASE} -xtalsize 0.0001 -crystal_mm 0.1 0.1 0.1",
    f"{BASE} -background air 10 -background water 0.1",
    f"{BASE} -spot_scale 0 -water 2",
    f"{BASE} -detector_thick 300 -detector_material Si",
    f"{BASE} -detector_thick 300",
    f"{CUSTOM} -pix0_vector 0.1 -0.01 0.01 -odet_vector 1 0 0",
    "-cell 70 80 90 -default_F 10 -detector pilatus-100k -beamstop 3 -oversample 1 -seed 1",
]


@pytest.mark.parametrize("line", LINES)
def test_plans_at_the_same_numbers_are_the_same(line: str) -> None:
    setting = setting_of(line)
    assert is_same(setting.plans_at(setting.experiment), setting.resolved.plans)


@pytest.mark.parametrize("line", LINES)
def test_an_experiment_with_nothing_open_makes_the_same_image(line: str) -> None:
    setting = setting_of(line)
    assert is_same(plans_of(setting.experiment), setting.resolved.plans)


@settings(max_examples=30)
@given(experiment=experiments("spec"))
def test_random_experiments_are_the_same_again(experiment: Experiment) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            setting = Setting.of(experiment)
        except UsageError:
            assume(False)
    assert is_same(setting.plans_at(setting.experiment), setting.resolved.plans)
    assert is_same(plans_of(setting.experiment), setting.resolved.plans)


MOVES: list[tuple[str, dict[str, Any]]] = [
    (TURNED, {"crystal": {"cell": (41.0, 45.5, 50.2, 76.0, 85.5, 94.0), "misset_deg": (11.0, 19.0, 33.0)}}),
    (TURNED, {"detector": {"distance_mm": 105.0, "rotx_deg": 1.5, "twotheta_deg": 7.0, "pixel_mm": 1.01}}),
    (TURNED, {"beam": {"wavelength_angstrom": 1.05, "kahn_factor": 0.8, "fluence_per_m2": 1e28}}),
    (SWUNG, {"scan": {"phi_deg": 6.0, "oscillation_deg": 2.0}}),
    (f"{BASE} -mosaic 0.5 -mosaic_domains 4", {"crystal": {"mosaic_spread_deg": 0.6, "fudge": 1.1}}),
    (f"{BASE} {SENSOR} -water 2", {"detector": {"thickness_um": 400.0}, "background": {"water_um": 3.0}}),
    (f"{BASE} -dispersion 1", {"beam": {"dispersion_percent": 1.2}}),
    (f"{BASE} -crystal_mm 0.1 0.1 0.1", {"crystal": {"whole_size_mm": (0.1, 0.2, 0.1)}}),
    (BASE, {"structure_factors": {"default_f": 50.0}}),
    (CUSTOM, {"beam": {"direction": (1.0, 0.03, 0.01), "polarization_axis": (0.0, 0.2, 1.0)}}),
]


@pytest.mark.parametrize(("line", "values"), MOVES)
def test_other_numbers_give_the_plans_of_another_experiment(line: str, values: dict[str, Any]) -> None:
    setting = setting_of(line)
    assert is_same(
        setting.plans_at(changed(setting.experiment, **values)), plans_of(changed(experiment_of(line), **values))
    )
    # What is kept of the detector or of F is not taken for that of other numbers.
    assert is_same(setting.plans_at(setting.experiment), setting.resolved.plans)


def test_what_is_counted_stays() -> None:
    setting = setting_of(BASE.replace("-oversample 1", "") + " -xtalsize 0.00002 -osc 1 -phistep 0.3")
    crystal = {"cell": (4.0, 4.5, 5.0, 75.0, 85.0, 95.0)}
    (plan,) = setting.plans_at(changed(setting.experiment, crystal=crystal, scan={"oscillation_deg": 3.0}))
    (first,) = setting.resolved.plans
    assert plan.crystal.cells == first.crystal.cells == (5, 5, 4)
    assert plan.oversample == first.oversample > 1
    assert len(plan.crystal.phi) == len(first.crystal.phi) == 4


def test_nothing_is_checked_and_nothing_said() -> None:
    setting = setting_of(f"{BASE} -flux 1e12 -beamsize 0.1 -hdivsteps 1 -hdivrange 1")
    (plan,) = setting.plans_at(changed(setting.experiment, beam={"kahn_factor": 1.001, "size_mm": 1e-4}))
    assert plan.kahn == 1.001


def test_files_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "F.hkl"
    path.write_text("1 0 0 10\n0 1 0 20\n0 0 2 30\n")
    setting = setting_of(f"{BASE.replace('-default_F 100', '-default_F 1')} -hkl {path}")
    path.unlink()
    experiment = setting.experiment
    assert setting.plans_at(changed(experiment, crystal={"fudge": 2.0}))[0].factors is setting.resolved.plans[0].factors
    (plan,) = setting.plans_at(changed(experiment, structure_factors={"scale_f": 2.0, "default_f": 3.0}))
    first = setting.resolved.plans[0].factors
    assert plan.factors.first == first.first
    assert np.array_equal(plan.factors.table, np.where(first.table == 1.0, 3.0, 2.0 * first.table))


@pytest.mark.parametrize(("given", "follows"), [("", True), ("-detector_abs 250", False)])
def test_a_depth_that_is_not_given_follows_the_wavelength(given: str, follows: bool) -> None:
    setting = setting_of(f"{BASE} -detector_thick 300 -detector_material Si {given}")
    (plan,) = setting.plans_at(changed(setting.experiment, beam={"wavelength_angstrom": 1.2}))
    assert (plan.detector.attenuation != setting.resolved.plan.detector.attenuation) == follows


def test_cells_may_be_real_numbers() -> None:
    setting = setting_of(BASE)
    assert setting.plans_at(setting.experiment, cells=(5.5, 4.25, 0.9))[0].crystal.cells == (5.5, 4.25, 0.9)


@pytest.mark.parametrize(
    ("line", "values", "number"),
    [
        (BASE, {"beam": {"dispersion_percent": 1.0}}, "2 sources where the experiment had 1"),
        (BASE, {"crystal": {"mosaic_spread_deg": 1.0}}, "10 mosaic domains where the experiment had 1"),
        (BASE, {"crystal": {"cell": (40.0, 45.0, 50.0, 75.0, 85.0, 0.0)}}, "no crystal or detector has these numbers"),
        (BASE, {"detector": {"distance_mm": 0.0}}, "the beam runs along the detector plane"),
    ],
)
def test_numbers_of_no_such_experiment_are_refused(line: str, values: dict[str, Any], number: str) -> None:
    setting = setting_of(line)
    with pytest.raises(UsageError, match=number):
        setting.plans_at(changed(setting.experiment, **values))


# Parameters by name ------------------------------------------------------------------------------------------------


def test_names_units_and_values() -> None:
    names = ["crystal.cell", "detector.distance_mm", "scan.phi_deg", "beam.fluence_per_m2"]
    found = parameters_of(setting_of(SWUNG), names)
    assert [one.name for one in found] == [*(f"crystal.cell[{n}]" for n in range(6)), *names[1:]]
    assert [one.unit for one in found] == ["Å"] * 3 + ["deg"] * 3 + ["mm", "deg", "ph/m²"]
    assert [one.value for one in found[:8]] == [40.0, 45.0, 50.0, 75.0, 85.0, 95.0, 100.0, 5.0]
    assert all(0.0 < one.step < 1e-3 * max(one.value, 60.0) for one in found)


def test_an_index_names_one() -> None:
    setting = setting_of(SWUNG)
    found = parameters_of(setting, ["crystal.cell[2]", "crystal.orientation[1]", "crystal.size[0]", "scale"])
    assert [one.name for one in found] == ["crystal.cell[2]", "crystal.orientation[1]", "crystal.size[0]", "scale"]
    assert [one.value for one in found] == [50.0, 0.0, 5.0, 1.0]
    assert [one.unit for one in found] == ["Å", "deg", "cells", ""]


VOLUME = cell_volume((40.0, 45.0, 50.0, 75.0, 85.0, 95.0))
PLAIN = "-cell 40 45 50 -default_F 100 -N 5 -nointerpolate -detpixels 24 -oversample 1"
NOT_GIVEN = [
    (PLAIN, "beam.wavelength_angstrom", 1.0),
    (PLAIN, "detector.distance_mm", 100.0),
    (f"{PLAIN} -pixel 0.2", "detector.beam_x_mm", 2.5),
    (PLAIN, "detector.pixel_mm", 0.1),
    (PLAIN, "scan.phi_deg", 0.0),
    (f"{BASE} -close_distance 90 -twotheta 30", "detector.distance_mm", 90.0 / math.cos(30.0 * RAD)),
    (f"{BASE.replace('-detpixels', '-xds -ORGX 10 -ORGY 11 -detpixels')}", "detector.close_distance_mm", 100.0),
    (f"{BASE.replace('-detpixels', '-xds -Xclose 9.5 -detpixels')}", "detector.orgx_px", 10.0),
    (f"{BASE} -detector_thick 300", "detector.attenuation_depth_um", 300.0),
    (f"{BASE} -crystal_mm 0.1 0.1 0.1", "scale", 1e18 / (125.0 * VOLUME)),
]


@pytest.mark.parametrize(("line", "name", "value"), NOT_GIVEN)
def test_what_is_not_given_has_the_value_that_counts(line: str, name: str, value: float) -> None:
    setting = setting_of(line)
    (found,) = parameters_of(setting, [name])
    assert found.value == pytest.approx(value, rel=1e-6)
    assert_near(setting, found)


def assert_near(setting: Setting, *parameters: Parameter) -> None:
    """Values that are put are those that there were."""
    experiment = experiment_at(setting, parameters, [one.value for one in parameters])
    for plan, first in zip(setting.plans_at(experiment), setting.resolved.plans, strict=True):
        assert np.allclose(_numbers(plan), _numbers(first), rtol=1e-11, atol=1e-24)


def _numbers(plan: Plan) -> np.ndarray:
    detector, crystal = plan.detector, plan.crystal
    vectors = [crystal.a, crystal.b, crystal.c, crystal.cells, detector.fast, detector.slow, detector.normal]
    scalars = [detector.close_distance, detector.attenuation, detector.layer_step, plan.photons_per_sample]
    # Components that are next to 0 by rounding are not compared to themselves.
    origin = np.array(detector.origin) + 1.0
    return np.concatenate([*vectors, scalars, origin, plan.sources.wavelength, crystal.phi])


COMPOSITE = [
    (f"{BASE} -misset random", "crystal.misset_deg"),
    (f"{BASE} -misset random", "crystal.orientation"),
    (BASE.replace("-misset 10 20 30", "-misset 10 90 30"), "crystal.orientation"),
    (BASE, "crystal.a_matrix"),
    (BASE, "crystal.size"),
    (f"{BASE} -gauss_xtal -Na 6", "crystal.size"),
    (CUSTOM, "beam.direction"),
]


@pytest.mark.parametrize(("line", "name"), COMPOSITE)
def test_composites_begin_at_the_experiment(line: str, name: str) -> None:
    setting = setting_of(line)
    assert_near(setting, *parameters_of(setting, [name]))


def test_a_number_that_is_put_stays_when_others_are() -> None:
    setting = setting_of(BASE)
    parameters = parameters_of(setting, ["crystal.orientation", "crystal.size", "detector.distance_mm"])
    values = [1.0, -2.0, 0.5, 4.5, 5.5, 6.5, 110.0]
    one = setting.plans_at(experiment_at(setting, parameters, values))[0]
    experiment = setting.experiment
    for number in (5, 2, 6, 0, 3, 1, 4):
        experiment = parameters[number].put(experiment, values[number])
    other = setting.plans_at(experiment)[0]
    assert np.allclose(_numbers(one), _numbers(other), rtol=1e-11, atol=1e-24)
    assert one.crystal.cells == (4.5, 5.5, 6.5)
    assert one.detector.distance == pytest.approx(0.11)


def test_the_mean_size_of_a_gaussian_crystal_keeps_its_shape() -> None:
    setting = setting_of(f"{BASE} -gauss_xtal -Na 40")
    (size,) = parameters_of(setting, ["crystal.size"])
    assert (size.name, size.value) == ("crystal.size", pytest.approx(10.0))
    assert size.put(setting.experiment, 20.0).crystal.cells == pytest.approx((80.0, 10.0, 10.0))
    assert len(parameters_of(setting_of(f"{BASE} -gauss_xtal -gauss_width edges"), ["crystal.size"])) == 3


def test_a_direction_stands_for_its_components_across() -> None:
    setting = setting_of(CUSTOM)
    names = [one.name for one in parameters_of(setting, ["beam.direction", "beam.polarization_axis"])]
    assert names == ["beam.direction[1]", "beam.direction[2]", "beam.polarization_axis[0]"]


def test_spot_scale_takes_the_place_of_the_size_that_says_it() -> None:
    setting = setting_of(f"{BASE} -crystal_mm 0.1 0.1 0.1")
    (scale,) = parameters_of(setting, ["scale"])
    experiment = scale.put(setting.experiment, 3.0)
    assert experiment.crystal.whole_size_mm is None
    assert setting.plans_at(experiment)[0].photons_per_sample == pytest.approx(
        3.0 / scale.value * setting.resolved.plan.photons_per_sample
    )


# What moves --------------------------------------------------------------------------------------------------------


def turn(axis: Sequence[float]) -> np.ndarray:
    """[axis]×."""
    x, y, z = axis
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def cell_of(plan: Plan) -> np.ndarray:
    return np.array([plan.crystal.a, plan.crystal.b, plan.crystal.c])


def test_scale_and_fluence() -> None:
    rows, plan = rows_of(f"{BASE} -spot_scale 4 -water 2", "scale", "beam.fluence_per_m2")
    only(rows[0], SPOTS)
    only(rows[1], SPOTS, AMORPHOUS)
    assert rows[0, SPOTS] == pytest.approx(0.25, rel=1e-11)
    assert rows[1, [SPOTS, AMORPHOUS]] == pytest.approx(1.0 / 125932015286227086360700780544.0, rel=1e-11)
    assert plan.background.scale > 0.0


def test_distance_and_beam_centre() -> None:
    rows, plan = rows_of(BASE, "detector.distance_mm", "detector.beam_x_mm", "detector.beam_y_mm")
    only(rows[0], PLACE, PLACE + 1, PLACE + 2, AREA)
    assert rows[0, PLACE : PLACE + 3] == pytest.approx(np.array(plan.detector.beam) * 1e-3, abs=1e-15)
    assert rows[0, AREA] == pytest.approx(0.01, rel=1e-11)
    # mosflm: x of the beam centre is along slow, y along fast.
    assert rows[1, PLACE : PLACE + 3] == pytest.approx(-np.array(plan.detector.slow) * 1e-3, abs=1e-15)
    assert rows[2, PLACE : PLACE + 3] == pytest.approx(-np.array(plan.detector.fast) * 1e-3, abs=1e-15)


def test_rotations_of_the_detector() -> None:
    line = f"{BASE} {SENSOR} -detector_rotx 0"
    rows, plan = rows_of(line, "detector.rotz_deg")
    x_to_y = turn((0.0, 0.0, 1.0)) * RAD
    detector = plan.detector
    for column, vector in ((PLACE + 3, detector.fast), (PLACE + 6, detector.slow), (NORMAL, detector.normal)):
        assert rows[0, column : column + 3] == pytest.approx(x_to_y @ vector, abs=1e-13)
    assert not rows[0, PATH]
    # The beam's spot stays: what moves the origin is how far that is from it.
    to_origin = np.array(detector.origin) - detector.distance * np.array(detector.beam)
    assert rows[0, PLACE : PLACE + 3] == pytest.approx(x_to_y @ to_origin, abs=1e-14)


def test_pixels_and_layers() -> None:
    rows, plan = rows_of(
        f"{BASE} {SENSOR}", "detector.pixel_mm", "detector.thickness_um", "detector.attenuation_depth_um"
    )
    detector = plan.detector
    assert rows[0, PLACE + 3 : PLACE + 9] == pytest.approx([*detector.fast, *detector.slow], abs=1e-12)
    assert rows[0, AREA] == pytest.approx(2.0, rel=1e-11)
    only(rows[1], PLACE + 9, PATH)
    assert rows[1, PLACE + 9 : PLACE + 12] == pytest.approx(np.array(detector.normal) / 500.0, abs=1e-14)
    assert rows[1, PATH] == pytest.approx(1.0 / 500.0, rel=1e-11)
    only(rows[2], PATH)
    assert rows[2, PATH] == pytest.approx(-1.0 / 300.0, rel=1e-11)


def test_pixels_that_are_points_have_no_area() -> None:
    rows, _ = rows_of(f"{BASE} -point_pixel", "detector.distance_mm", "detector.pixel_mm")
    assert not rows[:, AREA].any()
    assert rows[1, PLACE : PLACE + 12].any()


def test_edges_of_a_cell() -> None:
    line = BASE.replace("75 85 95", "90 90 90").replace("-misset 10 20 30", "")
    rows, _ = rows_of(line, "crystal.cell[0]", "crystal.cell[1]", "crystal.cell[2]")
    for number, edge in enumerate((40.0, 45.0, 50.0)):
        expected = np.zeros((3, 3))
        expected[number, number] = 1.0 / edge
        assert rows[number, CELL : CELL + 9].reshape(3, 3) == pytest.approx(expected, abs=1e-12)


def test_all_of_a_triclinic_cell_and_its_orientation() -> None:
    """Differences of eighth order, of larger steps, of the cell itself."""
    setting = setting_of(BASE)
    parameters = parameters_of(setting, ["crystal.cell", "crystal.misset_deg"])
    _, (change,) = change_of(setting, [one.value for one in parameters], parameters)
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    for one, row in zip(parameters, change.columns, strict=True):
        h, slope = 8.0 * one.step, np.zeros((3, 3))
        for number, weight in weights.items():
            for sign in (1.0, -1.0):
                moved = one.put(setting.experiment, one.value + sign * number * h)
                slope += sign * weight / h * cell_of(setting.plans_at(moved)[0])
        expected = slope @ np.linalg.inv(cell_of(setting.resolved.plan))
        assert row[CELL : CELL + 9].reshape(3, 3) == pytest.approx(expected, abs=3e-12)


@pytest.mark.parametrize("misset", ["10 20 30", "10 90 30", "0 -90 0"])
def test_orientation_turns_about_the_axes_of_the_laboratory(misset: str) -> None:
    rows, plan = rows_of(BASE.replace("10 20 30", misset), "crystal.orientation")
    cell = cell_of(plan)
    for axis, row in enumerate(rows):
        expected = RAD * cell @ turn(np.identity(3)[axis]).T @ np.linalg.inv(cell)
        assert row[CELL : CELL + 9].reshape(3, 3) == pytest.approx(expected, abs=1e-12)
        only(row, *range(CELL, CELL + 9))


def test_the_last_misset_turns_as_the_spindle_does() -> None:
    misset, _ = rows_of(SWUNG, "crystal.misset_deg[2]")
    phi, _ = rows_of(SWUNG, "scan.phi_deg")
    assert phi == pytest.approx(misset, abs=1e-12)


def test_oscillation_is_a_turn_and_a_sweep() -> None:
    (parameter,), plan, change = changes_of(setting_of(SWUNG), ["scan.oscillation_deg"])
    setting = setting_of(SWUNG)
    row, steps = change.columns[0], np.arange(3)
    # φ of each step is start + step · oscillation / steps.
    moved = setting.plans_at(parameter.put(setting.experiment, parameter.value + 1.0))[0].crystal.phi
    assert moved - plan.crystal.phi == pytest.approx(RAD * steps / 3.0)
    phi, _ = rows_of(SWUNG, "scan.phi_deg")
    assert row[CELL : CELL + 9] == pytest.approx(phi[0, CELL : CELL + 9] / 3.0, abs=1e-13)
    assert row[SWEEP] * change.sweep + RAD / 3.0 == pytest.approx(RAD * steps / 3.0, abs=1e-14)


def test_a_spindle_turns_a_crystal_that_stands_still() -> None:
    line = f"{CUSTOM} -spindle_axis 0 0.3 1 -phi 20"
    rows, _ = rows_of(line, "goniometer.spindle_axis[1]")
    setting, h = setting_of(line), 1e-4
    experiment = setting.experiment

    def seen(y: float) -> np.ndarray:
        moved = changed(experiment, goniometer={"spindle_axis": (0.0, y, 1.0)})
        return oriented_cells(setting.plans_at(moved)[0].crystal).reshape(3, 3)

    slope = (seen(0.3 + h) - seen(0.3 - h)) / (2.0 * h)
    assert rows[0, CELL : CELL + 9].reshape(3, 3) == pytest.approx(slope @ np.linalg.inv(seen(0.3)), abs=1e-8)


def test_numbers_of_cells_and_their_shape() -> None:
    rows, _ = rows_of(f"{BASE} -round_xtal", "crystal.size", "crystal.fudge")
    assert rows[:3, CELLS : CELLS + 3] == pytest.approx(np.identity(3), abs=1e-12)
    only(rows[0], CELLS, CELLS + 1, CELLS + 2)
    only(rows[3], FUDGE)
    assert rows[3, FUDGE] == pytest.approx(1.0)


def test_blocks_are_fewer_where_they_are_larger() -> None:
    rows, _ = rows_of(f"{BASE} -crystal_mm 0.1 0.1 0.1", "crystal.size[0]", "crystal.cell[0]")
    assert rows[:, SPOTS] == pytest.approx([-1.0 / 5.0, -1.0 / 40.0], rel=1e-10)


@pytest.mark.parametrize(("shape", "fudge"), [("", 0.0), ("-round_xtal", 0.0), ("-gauss_xtal", -2.0 * 1.3 / 1.1),
                                              ("-gauss_xtal -gauss_width edges", 0.0)])  # fmt: skip
def test_a_wavelength_scales_the_crystal(shape: str, fudge: float) -> None:
    rows, _ = rows_of(f"{BASE} -fudge 1.3 -dispersion 1 {shape}", "beam.wavelength_angstrom")
    assert rows.shape == (1, TABLES)
    assert rows[0, CELL : CELL + 9].reshape(3, 3) == pytest.approx(-np.identity(3) / 1.1, abs=1e-11)
    assert rows[0, FUDGE] == pytest.approx(fudge, abs=1e-11)


def test_a_wavelength_moves_the_rays_where_the_background_sees_it() -> None:
    _, _, change = changes_of(setting_of(f"{BASE} -background water 0.1"), ["beam.wavelength_angstrom"])
    assert change.wavelength == pytest.approx(np.full((1, 1), 1.0 / 1.1))
    assert change.columns[0, TABLES] == 1.0


def test_a_matrix_keeps_its_reflections_at_another_wavelength(tmp_path: Path) -> None:
    path = tmp_path / "A.mat"
    np.savetxt(path, np.array([[0.9, 0.3, 0.1], [-0.2, 0.8, 0.3], [0.05, -0.3, 0.9]]) / [40.0, 45.0, 50.0])
    line = BASE.replace("-cell 40 45 50 75 85 95", f"-mat {path}")
    with pytest.raises(UsageError, match="changes nothing of this image"):
        parameters_of(setting_of(line), ["beam.wavelength_angstrom"])
    rows, _ = rows_of(f"{line} -detector_thick 300 -detector_material Si", "beam.wavelength_angstrom")
    only(rows[0], *range(CELL, CELL + 9), PATH)
    assert np.abs(rows[0, CELL : CELL + 9]).max() < 1e-11 < abs(rows[0, PATH])


def test_angles_beside_a_matrix_widen_gaussian_spots_alone(tmp_path: Path) -> None:
    path = tmp_path / "A.mat"
    np.savetxt(path, np.diag([1.0 / 40.0, 1.0 / 45.0, 1.0 / 50.0]))
    line = f"{BASE} -mat {path} -gauss_xtal"
    rows, plan = rows_of(line, "crystal.cell[3]")
    only(rows[0], *range(CELL, CELL + 9), FUDGE)
    assert np.abs(rows[0, CELL : CELL + 9]).max() < 1e-12
    setting, h = setting_of(line), 1e-3
    widths = []
    for angle in (75.0 - h, 75.0 + h):
        cell = (40.0, 45.0, 50.0, angle, 85.0, 95.0)
        widths.append(setting.plans_at(changed(setting.experiment, crystal={"cell": cell}))[0].crystal.a_star[0])
    change = (widths[1] ** 2 - widths[0] ** 2) / (2.0 * h) / plan.crystal.a_star[0] ** 2
    assert rows[0, FUDGE] == pytest.approx(change, rel=1e-6)


def test_polarization() -> None:
    rows, _ = rows_of(BASE, "beam.kahn_factor")
    only(rows[0], KAHN)
    assert rows[0, KAHN] == pytest.approx(1.0)


def test_mosaic_spread() -> None:
    line = f"{SWUNG} -mosaic 0.8 -mosaic_domains 4"
    (parameter,), plan, change = changes_of(setting_of(line), ["crystal.mosaic_spread_deg"])
    only(change.columns[0], SPREAD)
    assert change.columns[0, SPREAD] == pytest.approx(RAD)
    near = [
        oriented_cells(plan.crystal._replace(domains=mosaic_rotations(0.8 + h, 4, 12345678))) for h in (0.01, -0.01)
    ]
    slope = (near[0] - near[1]) / (0.02 * RAD)
    assert change.spread == pytest.approx(slope, abs=1e-4 * np.abs(slope).max())
    assert parameter.step < 1e-3


@pytest.mark.parametrize("name", ["beam.dispersion_percent", "beam.horizontal_divergence_mrad"])
def test_rays_move_each_by_itself(name: str) -> None:
    setting = setting_of(f"{BASE} -dispersion 1 -dispsteps 3 -hdivrange 5 -hdivsteps 3 -hdiv_sigma 2")
    (parameter,), plan, change = changes_of(setting, [name])
    h = 10.0 * parameter.step
    less, more = (
        setting.plans_at(parameter.put(setting.experiment, parameter.value + sign * h))[0].sources
        for sign in (-1.0, 1.0)
    )
    assert change.columns[0, TABLES:] == pytest.approx([1.0])
    assert change.incident[0] == pytest.approx((more.incident - less.incident) / (2.0 * h), abs=1e-9)
    assert change.wavelength[0] == pytest.approx(np.log(more.wavelength / less.wavelength) / (2.0 * h), abs=1e-9)
    assert change.weight[0] == pytest.approx(np.log(more.weight / less.weight) / (2.0 * h), abs=1e-5)
    # The fields stay across the beam.
    for field in (change.electric, change.magnetic):
        assert field.shape == change.incident.shape == (1, len(plan.sources.weight), 3)


def test_a_beam_that_turns_takes_its_fields_along() -> None:
    _, plan, change = changes_of(setting_of(f"{CUSTOM} -water 1"), ["beam.direction[1]", "beam.polarization_axis[0]"])
    incident, electric = plan.sources.incident[0], _electric(plan)
    assert change.incident.shape == (2, 1, 3)
    assert not change.incident[1].any()
    assert change.incident[0, 0] @ incident == pytest.approx(0.0, abs=1e-12)
    for ray in range(2):
        turned = -electric @ change.incident[ray, 0]
        assert change.electric[ray, 0] @ incident == pytest.approx(turned, abs=1e-11)


def _electric(plan: Plan) -> np.ndarray:
    axis, incident = np.array(plan.polarization_axis), plan.sources.incident[0]
    across = axis - incident * (axis @ incident)
    return across / np.linalg.norm(across)


def reflections(path: Path) -> str:
    rng = np.random.default_rng(3)
    rows = [
        f"{h} {k} {l} {rng.uniform(5, 50):.2f}" for h in range(-9, 10) for k in range(-9, 10) for l in range(-9, 10)
    ]
    path.write_text("\n".join(rows))
    return BASE.replace("-default_F 100", "-default_F 3") + f" -hkl {path}"


def test_factors_that_scale_alike_are_no_table(tmp_path: Path) -> None:
    line = reflections(tmp_path / "F.hkl").replace("-default_F 3", "-default_F 0")
    rows, _ = rows_of(line, "structure_factors.scale_f")
    only(rows[0], SPOTS)
    assert rows[0, SPOTS] == pytest.approx(2.0, rel=1e-10)


@pytest.mark.parametrize("interpolate", [False, True])
def test_tables_of_factors(interpolate: bool, tmp_path: Path) -> None:
    line = reflections(tmp_path / "F.hkl")
    setting = setting_of(line.replace("-nointerpolate", "-interpolate") if interpolate else line)
    names = ["structure_factors.b_add", "crystal.cell[0]", "structure_factors.scale_f"]
    parameters, plan, change = changes_of(setting, names)
    assert change.columns[:, TABLES:] == pytest.approx(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    assert change.tables.shape == (2, len(make_tables(plan, interpolate).factors))
    assert change.defaults == pytest.approx([0.0, 0.0], abs=1e-9)
    for table, parameter in zip(change.tables, (parameters[0], parameters[2]), strict=True):
        h = 1e-3
        flat = [
            make_tables(
                setting.plans_at(parameter.put(setting.experiment, parameter.value + x))[0], interpolate
            ).factors
            for x in (h, -h)
        ]
        slope = (flat[0] - flat[1]) / (2.0 * h)
        assert table == pytest.approx(slope, abs=1e-6 * np.abs(slope).max())


def test_a_default_beside_a_list_has_a_table_of_its_own(tmp_path: Path) -> None:
    (_,), plan, change = changes_of(setting_of(reflections(tmp_path / "F.hkl")), ["structure_factors.default_f"])
    flat = make_tables(plan, False).factors
    # The list has F of 5 and more; all else is the default.
    assert change.tables[0] == pytest.approx(np.where(flat == 9.0, 6.0, 0.0), abs=1e-9)
    assert change.defaults == pytest.approx([6.0])


def test_a_model_is_transformed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"-pdb {MODEL} -detpixels 8 -pixel 4 -distance 400 -N 5 -misset 10 20 30 -oversample 1 -seed 1"
    setting = setting_of(f"{line} -nointerpolate")
    monkeypatch.setattr(fcalc, "of_atoms", None)
    monkeypatch.setattr(fcalc, "of_solvent_mask", None)
    names = ["structure_factors.k_sol", "structure_factors.b_sol"]
    parameters, plan, change = changes_of(setting, names)
    assert change.columns[:, TABLES:] == pytest.approx(np.identity(2))
    for parameter, table in zip(parameters, change.tables, strict=True):
        h = 1e-3 * parameter.value
        moved = [parameter.put(setting.experiment, parameter.value + x) for x in (h, -h)]
        flat = [make_tables(setting.plans_at(one)[0], False).factors for one in moved]
        slope = (flat[0] - flat[1]) / (2.0 * h)
        assert table == pytest.approx(slope, abs=1e-5 * np.abs(slope).max())
    assert plan.factors.table.shape == setting.resolved.table.values.shape


def two_panels() -> Experiment:
    panels = [
        Panel("l", 16, 20, origin_mm=(-20, -10, 100), fast_step_mm=(1, 0, 0.1), slow_step_mm=(0, 1.1, 0)),
        Panel("r", 16, 20, origin_mm=(2, -10, 101), fast_step_mm=(1, 0.05, 0), slow_step_mm=(0, 1, 0.2)),
    ]
    return changed(
        experiment_of(BASE),
        detector=Detector(convention="dials", panels=panels, thickness_um=300, attenuation_depth_um=200, layers=2),
    )


def test_panels_move_by_themselves() -> None:
    setting = setting_of(two_panels())
    names = ["detector.panels[1].origin_mm[0]", "detector.panels[0].slow_step_mm[1]", "crystal.cell[0]"]
    parameters = parameters_of(setting, names)
    assert [one.name for one in parameters] == names
    plans, (left, right) = change_of(setting, [one.value for one in parameters], parameters)
    assert len(plans) == 2
    assert not left.columns[0].any()
    assert right.columns[0, PLACE] == pytest.approx(1e-3)
    assert left.columns[1].any()
    assert not right.columns[1].any()
    assert left.columns[2] == pytest.approx(right.columns[2])
    # Of a pixel of 1.1 mm² times what the tilt of fast leaves of it.
    assert left.columns[1, AREA] == pytest.approx(1.0 / 1.1, rel=1e-9)


def test_rows_at_other_values_are_those_of_another_experiment() -> None:
    setting = setting_of(TURNED)
    names = ["crystal.cell[0]", "detector.distance_mm", "crystal.size[1]", "beam.kahn_factor"]
    parameters = parameters_of(setting, names)
    _, (there,) = change_of(setting, [42.0, 110.0, 5.0, 0.95], parameters)
    other = setting_of(TURNED.replace("-cell 40", "-distance 110 -cell 42").replace("-polar 0.9", "-polar 0.95"))
    _, (own,) = change_of(other, [42.0, 110.0, 5.0, 0.95], parameters_of(other, names))
    assert there.columns == pytest.approx(own.columns, abs=1e-11)


# What is refused ---------------------------------------------------------------------------------------------------

REFUSED = [
    (BASE, ["crystal.cel"], "crystal.cel is not known as a parameter; did you mean crystal.cell"),
    (BASE, ["distance"], "did you mean detector.distance_mm"),
    (BASE, ["cell length"], "is no name of a paramete"),
    (BASE, ["crystal.shape"], "crystal.shape is no number that can be moved a little"),
    (BASE, ["crystal.cells"], "crystal.cells are whole numbers: free crystal.size"),
    (BASE, ["crystal.size_mm"], "free crystal.size"),
    (BASE, ["crystal.u_matrix"], "free crystal.orientation"),
    (BASE, ["sampling.dmin_angstrom"], "leaves out whole samples"),
    (BASE, ["sampling.tolerance_photons"], "decides on samples that are left out of images"),
    (BASE, ["detector.beamstop_mm"], "hides whole pixels"),
    (BASE, ["readout.gain"], "is of counts"),
    (BASE, ["detector.panels"], "such as detector.panels[0].origin_mm"),
    (BASE, ["detector.panels[0].origin_mm"], "does not list so many"),
    (BASE, ["crystal.cell[6]"], "crystal.cell has 6 numbers, crystal.cell[0] to crystal.cell[5]"),
    (BASE, ["crystal.orientation[3]"], "there are crystal.orientation[0] to crystal.orientation[2]"),
    (BASE, ["crystal.cell", "crystal.cell[0]"], "crystal.cell[0] is given twice"),
    (BASE, ["scale", "crystal.a_matrix", "crystal.misset_deg"], "beside crystal.a_matrix"),
    (BASE, ["beam.direction"], "-mosflm has its own"),
    (BASE, ["background.water_um"], "background.water_um is 0, at the end of its values"),
    (BASE, ["crystal.mosaic_spread_deg"], "crystal.mosaic_spread_deg is 0"),
    (BASE, ["detector.thickness_um"], "detector.thickness_um is 0"),
    (BASE, ["beam.flux_per_s"], "beam.flux_per_s is 0"),
    (BASE, ["scan.step_deg"], "scan.step_deg is not given"),
    (BASE, ["detector.close_x_mm"], "detector.close_x_mm changes nothing"),
    (BASE, ["crystal.fudge"], "crystal.fudge changes nothing"),
    (BASE, ["structure_factors.b_add"], "structure_factors.b_add changes nothing"),
    (BASE.replace("-detpixels 24", "-detsize 24"), ["detector.pixel_mm"], "give detector.fast_pixels"),
    (f"{BASE} -mode c", ["scale"], "gradients are of mode spec"),
    (f"{BASE} -phi_carryover c", ["scale"], "gradients are of mode spec"),
    (f"{BASE} -curved_det", ["scale"], "gradients are of flat detectors"),
    (f"{BASE} -dmin 3", ["scale"], "-dmin 3 leaves out samples"),
    (f"{BASE} -tophat_spots", ["crystal.cell"], "crystal.cell[0] moves the edges of tophat spots"),
    (f"{BASE} -tophat_spots", ["detector.distance_mm"], "moves the edges of tophat spots"),
    (f"{BASE} -tophat_spots -dispersion 1", ["beam.dispersion_percent"], "moves the edges of tophat spots"),
    (f"{CUSTOM} -spindle_axis 0 0.3 1 -osc 1", ["goniometer.spindle_axis"], "moves the spindle"),
    (f"{BASE} -background water 0.1 -background air 10", ["background.materials[0].path_mm"], "moves the shape"),
    (SWUNG, ["crystal.misset_deg[2]", "scan.phi_deg"], "scan.phi_deg and crystal.misset_deg[2] move"),
    (SWUNG, ["crystal.misset_deg", "scan.phi_deg"], "scan.phi_deg and crystal.misset_deg[2] move"),
    (f"{BASE} -misset 10 90 30", ["crystal.misset_deg"], "move the image alike"),
    (BASE, ["crystal.misset_deg", "crystal.orientation"], "crystal.orientation[0] moves the image as crystal.m"),
    (BASE, ["scale", "crystal.spot_scale"], "crystal.spot_scale and scale move the image alike"),
    (BASE, ["scale", "beam.fluence_per_m2"], "beam.fluence_per_m2 and scale move the image alike"),
    (BASE, ["scale", "structure_factors.default_f"], "structure_factors.default_f and scale move the image alike"),
    (BASE, ["crystal.cell", "beam.wavelength_angstrom"],
     "beam.wavelength_angstrom moves the image as crystal.cell[0], crystal.cell[1], crystal.cell[2] do togethe"),
    (f"{BASE} -gauss_xtal", ["crystal.size[0]", "crystal.size[1]"], "move the image alike"),
    (f"{BASE} -gauss_xtal", ["crystal.size", "crystal.fudge", "scale"], "scale moves the image as"),
    (f"{BASE} -round_xtal", ["crystal.size", "crystal.fudge", "scale"], "do togethe"),
    (f"{BASE} -gauss_xtal -gauss_width edges", ["crystal.size", "crystal.fudge", "scale"], "do togethe"),
    (f"{BASE} -N 1", ["crystal.cell"], "changes nothing"),
    (f"{BASE} -spot_scale 0 -water 2", ["crystal.cell"], "changes nothing"),
    (f"{BASE} -spot_scale 0 -water 2", ["scale"], "crystal.spot_scale is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "names", "message"), REFUSED)
def test_what_has_no_derivative_is_refused_in_a_line(line: str, names: list[str], message: str) -> None:
    setting = setting_of(line)
    with pytest.raises(UsageError) as caught:
        parameters_of(setting, names)
    assert message in str(caught.value)


def test_several_lattices_are_refused() -> None:
    setting = setting_of(changed(experiment_of(BASE), crystal={"lattices": [FurtherLattice(weight=0.5)]}))
    with pytest.raises(UsageError, match="gradients are of one lattice"):
        parameters_of(setting, ["scale"])


def test_a_name_is_not_a_list_of_names() -> None:
    setting = setting_of(BASE)
    for free in ("scale", []):
        with pytest.raises(UsageError, match="give a list of names"):
            parameters_of(setting, free)


@pytest.mark.parametrize(
    "names",
    [
        ["crystal.size", "crystal.fudge"],
        ["crystal.size", "scale", "crystal.cell"],
        ["crystal.orientation", "detector.rotx_deg", "detector.beam_x_mm", "detector.distance_mm", "scale"],
    ],
)
def test_what_only_correlates_is_not_refused(names: list[str]) -> None:
    assert parameters_of(setting_of(f"{BASE} -gauss_xtal"), names)


def test_water_tells_fluence_and_scale_apart() -> None:
    names = ["scale", "beam.fluence_per_m2"]
    assert len(parameters_of(setting_of(f"{BASE} -water 2"), names)) == 2


def test_generated_widths_of_the_beam_are_parameters() -> None:
    _, _, change = changes_of(setting_of(f"{BASE} -pink 12000 500 600 -spectrum_bins 4"), ["beam.pink_ev[0]"])
    assert change.wavelength[0] == pytest.approx(np.full(4, -1.0 / 12000.0), rel=0.1)


def test_a_material_has_numbers_of_its_own() -> None:
    wet = changed(experiment_of(BASE), background=Background(materials=[Material("water", path_mm=0.05)]))
    (path,), _, change = changes_of(setting_of(wet), ["background.materials[0].path_mm"])
    assert (path.unit, path.value) == ("mm", 0.05)
    only(change.columns[0], AMORPHOUS)
    assert change.columns[0, AMORPHOUS] == pytest.approx(20.0)
