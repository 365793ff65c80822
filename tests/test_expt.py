"""Experiments of DIALS: what dxtbx makes of the same files, whose figures are recorded here, and what is wrong."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import assert_matches

from nbnumba import Detector, Experiment, InputFileError, NbnumbaWarning, Panel, simulate
from nbnumba.formats.found import Found, read_found
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.panels import OF_ALL_PANELS
from nbnumba.setup.resolve import Resolved, resolve

pytestmark = pytest.mark.filterwarnings("ignore:-oversample 1:nbnumba.errors.NbnumbaWarning")

TILTED = [0.0, -0.9998000599800071, 0.01999600119960014]


def panel(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "name": f"p{number}", "type": "SENSOR_PAD", "fast_axis": [1.0, 0.0, 0.0], "slow_axis": TILTED,
        "origin": [-20.0 + 10.5 * number, 10.0, -120.0], "raw_image_offset": [0, 0], "image_size": [10, 8],
        "pixel_size": [1.0, 1.2], "trusted_range": [-1.0, 65535.0], "thickness": 0.45, "material": "Si", "mu": 3.9,
        "mask": [[3, 4, 10, 6]], "gain": 1.0, "pedestal": 0.0,
        "px_mm_strategy": {"type": "ParallaxCorrectedPxMmStrategy"},
    } | fields  # fmt: skip


GOOD: dict[str, Any] = {
    "__id__": "ExperimentList",
    "experiment": [
        {"__id__": "Experiment", "identifier": "", "beam": 0, "detector": 0, "goniometer": 0, "scan": 0, "crystal": 0}
    ],
    "imageset": [],
    "beam": [
        {
            "direction": [0.009997500937109546, 0.01999500187421909, 0.9997500937109545], "wavelength": 0.9795,
            "polarization_normal": [0.0, 1.0, 0.0], "polarization_fraction": 0.9, "flux": 0.0,
        }
    ],
    "detector": [{"panels": [panel(0), panel(1)]}],
    "goniometer": [
        {
            "rotation_axis": [1.0, 0.0, 0.0],
            "fixed_rotation": [
                0.9396926207859082, 0.0, 0.34202014332566866, 0.0, 0.9999999999999998, 0.0, -0.34202014332566866, 0.0,
                0.9396926207859082,
            ],
            "setting_rotation": [
                0.9925461516413219, -0.12186934340514748, 0.0, 0.12186934340514748, 0.9925461516413219, 0.0, 0.0, 0.0,
                0.9999999999999998,
            ],
        }
    ],
    "scan": [{"image_range": [1, 10], "oscillation": [5.0, 0.5]}],
    "crystal": [
        {
            "__id__": "crystal", "real_space_a": [50, 0.1, 0.2], "real_space_b": [0.3, 60, 0.1],
            "real_space_c": [1, 2, 70], "space_group_hall_symbol": " P 1",
        }
    ],
}  # fmt: skip
A = (0.020001330628072175, -3.143215918502698e-05, -5.7101755852799e-05, -9.953517075258547e-05, 0.016667616775114764,
     -2.3526494905156554e-05, -0.00028288943266524254, -0.0004757685913006356, 0.014287202210652324)  # fmt: skip
"""Of the crystal, as dxtbx 3.12 has it."""


def with_changes(*changes: tuple[str, Any]) -> dict[str, Any]:
    """GOOD with other values at places like beam.0.wavelength; None takes one away."""
    experiment = copy.deepcopy(GOOD)
    for place, value in changes:
        *names, last = [int(name) if name.isdigit() else name for name in place.split(".")]
        node = experiment
        for name in names:
            node = node[name]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return experiment


def written(tmp_path: Path, experiment: dict[str, Any]) -> str:
    path = tmp_path / "e.expt"
    path.write_text(json.dumps(experiment, indent=2))
    return str(path)


def found_in(tmp_path: Path, *changes: tuple[str, Any]) -> Found:
    found = read_found(written(tmp_path, with_changes(*changes)))
    assert isinstance(found, Found)
    return found


def resolved(path: str, options: str = "") -> Resolved:
    experiment = Experiment.from_args(
        ["-img", path, "-default_F", "100", "-N", "5", "-oversample", "1", *options.split()]
    )
    return resolve(experiment, read_inputs(experiment))


def test_panels_stand_where_they_are_said_to(tmp_path: Path) -> None:
    found = resolved(written(tmp_path, GOOD))
    for number, placed in enumerate(found.panels):
        np.testing.assert_allclose(placed.origin_m, [-0.02 + 0.0105 * number, 0.01, -0.12], rtol=0, atol=1e-17)
        np.testing.assert_allclose(placed.pixel_m * np.array(placed.fast), [0.001, 0, 0], rtol=0, atol=1e-17)
        np.testing.assert_allclose(
            placed.pixel_m * np.array(placed.slow), 0.0012 * np.array(TILTED), rtol=0, atol=1e-17
        )
        np.testing.assert_allclose(placed.beam, [-0.0099975009, -0.0199950019, -0.9997500937], rtol=0, atol=1e-10)
        expected = np.ones((8, 10), bool)
        expected[4:6, 3:10] = False
        assert np.array_equal(found.plans[number].detector.mask != 0, expected)
    detector = found.experiment.detector
    assert [one.name for one in detector.panels or ()] == ["p0", "p1"]
    assert (detector.thickness_um, detector.attenuation_depth_um) == (450.0, pytest.approx(1000 / 3.9))


def test_beam_and_scan(tmp_path: Path) -> None:
    found = resolved(written(tmp_path, GOOD))
    assert found.wavelength_angstrom == 0.9795
    assert found.experiment.beam.kahn_factor == pytest.approx(0.8)
    # The electric field is across the normal and the beam.
    np.testing.assert_allclose(np.abs(found.panels[0].polarization), [0.99995, 0, 0.0099995], rtol=0, atol=1e-7)
    assert (found.scan.start_deg, found.scan.oscillation_deg) == (5.0, 0.5)
    options = resolved(written(tmp_path, GOOD), "-lambda 1.1 -phi 7 -osc 2 -polar 0.3 -polar_vector 0 1 0")
    assert (options.wavelength_angstrom, options.scan.start_deg, options.scan.oscillation_deg) == (1.1, 7.0, 2.0)
    assert (options.experiment.beam.kahn_factor, options.panels[0].polarization) == (0.3, (0.0, 1.0, 0.0))


MULTI = {
    "axes": [[1.0, 0.0, 0.0], [0.914, 0.279, -0.297], [1.0, 0.0, 0.0]],
    "angles": [10.0, 20.0, 30.0],
    "names": ["PHI", "KAPPA", "OMEGA"],
    "scan_axis": 2,
}
FIXED_OF_MULTI = (
    0.990000419075517, 0.12880723851594458, 0.057514046425177684, -0.08615008180274121, 0.8749221319576325,
    -0.47653900828378365, -0.11170198581798772, 0.46681897810244144, 0.8772700314314347,
)  # fmt: skip
FIXED_OF_KAPPA = (
    1.0,
    0.0,
    0.0,
    0.0,
    0.984807753012208,
    -0.17364817766693033,
    0.0,
    0.17364817766693033,
    0.984807753012208,
)
SETTING_OF_KAPPA = (0.8660254037844387, 0.0, 0.5, 0.0, 1.0, 0.0, -0.5, 0.0, 0.8660254037844387)


@pytest.mark.parametrize(
    ("goniometer", "axis", "fixed", "setting"),
    [
        (
            GOOD["goniometer"][0], (0.9925461516413219, 0.12186934340514748, 0.0),
            GOOD["goniometer"][0]["fixed_rotation"], GOOD["goniometer"][0]["setting_rotation"],
        ),
        (MULTI, (1.0, 0.0, 0.0), FIXED_OF_MULTI, np.eye(3)),
        (
            MULTI | {"axes": [[1, 0, 0], [0.914, 0.279, -0.297], [0, 1, 0]], "scan_axis": 1},
            (0.643047219058977, 0.279, -0.7142095449239783), FIXED_OF_KAPPA, SETTING_OF_KAPPA,
        ),
        ({"rotation_axis": [0, -2, 0]}, (0.0, -1.0, 0.0), np.eye(3), np.eye(3)),
    ],
)  # fmt: skip
def test_the_crystal_at_a_spindle_angle_of_0(
    goniometer: dict[str, Any], axis: tuple[float, ...], fixed: Any, setting: Any, tmp_path: Path
) -> None:
    """Axis, fixed and setting rotation are those that dxtbx 3.12 has of the same goniometers."""
    found = resolved(written(tmp_path, with_changes(("goniometer.0", goniometer))))
    spindle = np.array(axis) / np.linalg.norm(axis)
    np.testing.assert_allclose(found.panels[0].spindle, spindle, rtol=0, atol=1e-12)
    expected = np.reshape(setting, (3, 3)) @ np.reshape(fixed, (3, 3)) @ np.reshape(A, (3, 3))
    lattice = found.lattice
    stars = np.column_stack([lattice.a_star, lattice.b_star, lattice.c_star])
    np.testing.assert_allclose(stars, expected, rtol=0, atol=1e-15)


def test_panels_of_a_hierarchy(tmp_path: Path) -> None:
    """The places are those that dxtbx 3.12 has of the same file."""
    local = {"slow_axis": [1.0, 0.0, 0.0], "fast_axis": [0.0, 1.0, 0.0], "mask": [], "mu": 0.0, "thickness": 0.0}
    panels = [panel(n, origin=[3.5 * (n % 2), 1.0, 0.1], pixel_size=[0.1, 0.1], **local) for n in range(4)]
    groups = [
        {"fast_axis": [0.8, 0.6, 0.0], "slow_axis": [-0.6, 0.8, 0.0], "origin": [5.0 * n, 3.0, 0.5 * n],
         "children": [{"panel": 2 * n}, {"panel": 2 * n + 1}]} for n in range(2)
    ]  # fmt: skip
    root = {"fast_axis": [1, 0, 0], "slow_axis": [0, -1, 0], "origin": [1, 2, -100], "children": groups}
    found = found_in(tmp_path, ("detector.0", {"panels": panels, "hierarchy": root}))
    listed = found.values["detector"]["panels"]
    origins = [(0.4, -1.8, -100.1), (3.2, -3.9, -100.1), (5.4, -1.8, -100.6), (8.2, -3.9, -100.6)]
    for one, origin in zip(listed, origins, strict=True):
        np.testing.assert_allclose(one.origin_mm, origin, rtol=0, atol=1e-12)
        np.testing.assert_allclose(one.fast_step_mm, (-0.06, -0.08, 0), rtol=0, atol=1e-15)
        np.testing.assert_allclose(one.slow_step_mm, (0.08, -0.06, 0), rtol=0, atol=1e-15)
    assert found.mask is None
    assert "thickness_um" not in found.values["detector"]


def test_one_panel_of_squares_is_placed_by_distance_and_beam_centre(tmp_path: Path) -> None:
    square = panel(0, pixel_size=[1.0, 1.0], mask=[])
    path = written(tmp_path, with_changes(("detector.0.panels", [square])))
    found = resolved(path)
    np.testing.assert_allclose(found.geometry.origin_m, (-0.02, 0.01, -0.12), rtol=0, atol=1e-16)
    farther = resolved(path, "-distance 200").geometry
    assert farther.distance_m == pytest.approx(0.2)
    assert farther.beam_center_px == pytest.approx(found.geometry.beam_center_px)
    image = simulate(found.experiment, "cpu")
    same = Panel("", 10, 8, (-20, 10, -120), (1, 0, 0), TILTED)
    kept = {name: getattr(found.experiment.detector, name) for name in OF_ALL_PANELS if name != "header_file"}
    listed = replace(found.experiment, detector=Detector(**kept | {"panels": [same]}))
    assert image.photons.max() > 0
    assert_matches(image.photons, simulate(listed, "cpu").photons)


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ({"properties": {"oscillation": [3.0, 3.25, 3.5]}}, (3.0, 0.25)),
        ({"properties": {"oscillation": [3.0], "oscillation_width": 0.5}}, (3.0, 0.5)),
        ({"properties": {"epochs": [0.0]}}, (0.0, 0.0)),
        ({"oscillation": [-10, 0.0]}, (-10.0, 0.0)),
    ],
)
def test_scans_of_all_versions(scan: dict[str, Any], expected: tuple[float, float], tmp_path: Path) -> None:
    found = resolved(written(tmp_path, with_changes(("scan.0", scan))))
    assert (found.scan.start_deg, found.scan.oscillation_deg) == expected


def test_a_still_has_neither_goniometer_nor_scan(tmp_path: Path) -> None:
    gone = [(f"experiment.0.{name}", None) for name in ("goniometer", "scan")]
    found = resolved(written(tmp_path, with_changes(*gone)))
    lattice = found.lattice
    stars = np.column_stack([lattice.a_star, lattice.b_star, lattice.c_star])
    np.testing.assert_allclose(stars, np.reshape(A, (3, 3)), rtol=0, atol=1e-15)
    assert found.scan.oscillation_deg == 0.0


def test_the_experiment_s_own_crystal_counts(tmp_path: Path) -> None:
    found = resolved(written(tmp_path, GOOD), "-cell 70 80 90 90 90 90")
    assert found.lattice.cell == pytest.approx((70, 80, 90, 90, 90, 90))
    assert found.experiment.crystal.a_matrix is None


def test_an_image_s_experiment_gives_it_again(tmp_path: Path) -> None:
    image = simulate(resolved(written(tmp_path, GOOD)).experiment, "cpu")
    assert image.photons.max() > 0
    assert np.array_equal(simulate(image.experiment, "cpu").photons, image.photons)
    assert Experiment.from_toml(image.experiment.to_toml()) == image.experiment


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("__id__", "DataBlock", r"it is JSON, but no list of experiments of DIALS"),
        ("__id__", None, r"it has no __id__"),
        ("experiment", [], r"experiment is no list that has an entry number 0"),
        ("experiment.0.detector", None, r"it has no detector: its experiment is of no image"),
        ("experiment.0.detector", 3, r"detector is no list that has an entry number 3"),
        ("experiment.0.detector", "d.json", r"experiment\[0\].detector must be a finite number .*, not 'd.json'"),
        ("detector.0.panels", [], r"detector\[0\].panels is empty: the detector has no panel"),
        ("detector.0.panels.1.origin", [1, 2], r"detector\[0\].panels\[1\].origin must be 3 finite numbers"),
        ("detector.0.panels.1.origin", [1, 2, float("inf")], r"panels\[1\].origin must be 3 finite numbers"),
        ("detector.0.panels.1.origin", [1, 2, 10**400], r"panels\[1\].origin must be 3 finite numbers"),
        ("detector.0.panels.0.fast_axis", None, r"detector\[0\].panels\[0\] has no fast_axis"),
        ("detector.0.panels.0.fast_axis", [0, 0, 0], r"panels\[0\].fast_axis has no direction"),
        ("detector.0.panels.0.fast_axis", TILTED, r"panels\[0\].slow_axis is parallel to fast_axis"),
        ("detector.0.panels.0.pixel_size", [0, 1], r"panels\[0\].pixel_size must be above 0 mm"),
        ("detector.0.panels.0.image_size", [0, 9], r"image_size\[0\] must be a whole number of 1 or more, not 0"),
        ("detector.0.panels.0.image_size", [10**6, 10**6], r"panel 'p0' has 1000000 x 1000000 pixels"),
        ("detector.0.hierarchy", {"panel": 2}, r"hierarchy.panel is 2, and there are 2 panels"),
        ("beam.0.wavelength", -1, r"beam\[0\].wavelength must be above 0 Å"),
        ("beam.0.wavelength", True, r"beam\[0\].wavelength must be a finite number"),
        ("beam.0.direction", [0, 0, 0], r"beam\[0\].direction has no direction"),
        ("beam.0.polarization_fraction", 1.5, r"polarization_fraction must lie between 0 and 1, not 1.5"),
        ("beam.0.probe", "electron", r"beam\[0\].probe is 'electron': X-rays alone are simulated"),
        ("scan.0.oscillation", [0, -1], r"scan\[0\] has images of -1 degrees: turn the axis about"),
        ("goniometer.0.fixed_rotation", [1, 2], r"fixed_rotation must be 9 finite numbers"),
        ("goniometer.0", MULTI | {"scan_axis": 3}, r"scan_axis is 3, and there are 3 axes"),
        ("goniometer.0", MULTI | {"angles": [1]}, r"angles must be 3 finite numbers"),
        ("crystal.0.real_space_b", [100, 0.2, 0.4], r"crystal\[0\] has axes a, b, c that span no cell"),
    ],
)
def test_what_is_wrong_is_said_by_its_place(place: str, value: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=said) as caught:
        found_in(tmp_path, (place, value))
    assert str(caught.value).startswith(str(tmp_path / "e.expt"))
    assert "\n" not in str(caught.value)


def test_what_is_no_json_is_said_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "e.expt"
    path.write_text('{\n "__id__": "ExperimentList",\n "beam": [}\n')
    with pytest.raises(InputFileError, match=r"e.expt:3: is no JSON: Expecting value"):
        read_found(path)
    path.write_text('{"a": ' + "[" * 100_000)
    with pytest.raises(InputFileError, match=r"e.expt: is no JSON that can be read"):
        read_found(path)


def test_of_several_experiments_the_first_is_taken(tmp_path: Path) -> None:
    second = GOOD["experiment"][0] | {"beam": 1}
    changes = ("experiment", [*GOOD["experiment"], second]), ("beam", [*GOOD["beam"], {"wavelength": 2}])
    with pytest.warns(NbnumbaWarning, match=r"e.expt: has 2 experiments, of which the first is taken"):
        assert found_in(tmp_path, *changes).values["beam"]["wavelength_angstrom"] == 0.9795


def test_of_several_sensors_the_first_is_taken(tmp_path: Path) -> None:
    with pytest.warns(
        NbnumbaWarning, match=r"its panels have several sensors, of which all are taken to have the first"
    ):
        found = found_in(tmp_path, ("detector.0.panels.1.thickness", 1.0))
    assert found.values["detector"]["thickness_um"] == 450.0


def test_a_wavelength_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, with_changes(("beam.0.wavelength", None)))
    with pytest.raises(InputFileError, match=r"e.expt: beam\[0\] has no wavelength: give -lambda, or a spectrum"):
        resolved(path)
    assert resolved(path, "-lambda 1.2").wavelength_angstrom == 1.2
    path = written(tmp_path, with_changes(("experiment.0.beam", None)))
    with pytest.raises(InputFileError, match=r"e.expt: its experiment has no wavelength"):
        resolved(path)
    assert resolved(path, "-energy 12000").panels[0].beam == (0.0, 0.0, -1.0)


# There and back ----------------------------------------------------------------------------------------------------

TURNED = [
    Panel("left", 12, 9, origin_mm=(-40, -30, 120), fast_step_mm=(1.5, 0.1, 0), slow_step_mm=(-0.1, 1.5, 0)),
    Panel("right", 12, 9, origin_mm=(5, -28, 121), fast_step_mm=(1.5, 0, 0.1), slow_step_mm=(0, 1.2, 0)),
]
ROUND = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 4 -lambda 1.3 -phi 12 -osc 0.7 -oversample 1"
SIZE = "-polar 0.9 -detpixels_f 12 -detpixels_s 9 -pixel 2 "
WAYS = {
    "one": SIZE + "-twotheta 17 -detector_rotz 5 -detector_thick 450 -detector_abs 250",
    "xds": SIZE + "-xds -ORGX 3 -ORGY 4",
    "panels": "-polar -0.3 -adxv -detector_thick 400 -detector_material Si",
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_is_read_again(way: str, tmp_path: Path) -> None:
    """The same image in another laboratory, and from that the same file."""
    experiment = Experiment.from_args([*ROUND.split(), *WAYS[way].split()])
    if way == "panels":
        experiment = replace(experiment, detector=replace(experiment.detector, panels=TURNED))
    image = simulate(experiment, "cpu")
    image.save(tmp_path / "a.expt")
    again = Experiment.from_args([*"-default_F 100 -N 4 -oversample 1 -img".split(), str(tmp_path / "a.expt")])
    found = simulate(again, "cpu")
    assert image.photons.max() > 0
    np.testing.assert_allclose(found.photons, image.photons, rtol=1e-5, atol=1e-6 * image.photons.max())
    assert [p.name for p in found.experiment.detector.panels or ()] == [
        p.name for p in experiment.detector.panels or ()
    ]

    found.save(tmp_path / "b.expt")
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("a.expt", "b.expt"))
    for model in ("beam", "detector", "goniometer", "scan", "crystal"):
        assert_same(one[model], two[model], model)


def assert_same(one: Any, two: Any, place: str) -> None:
    """Numbers to 1e-12 of mm, Å and directions; all else as it is."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), place
        for key in one:
            assert_same(one[key], two[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(two), place
        for number, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{place}[{number}]")
    elif isinstance(one, float):
        assert two == pytest.approx(one, rel=1e-12, abs=1e-12), place
    else:
        assert one == two, place
