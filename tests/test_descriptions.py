"""Formats without pixels: what DIALS, XDS, MOSFLM and spreadsheets are told of an experiment and its reflections."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaWarning, ResourceError, UsageError, simulate
from nbnumba.formats import registry
from nbnumba.formats.descriptions import expt, refl
from nbnumba.formats.matrix import read_matrix
from nbnumba.formats.rectangles import rectangles_of
from nbnumba.formats.sinks import sink
from nbnumba.formats.space_groups import space_group_of
from nbnumba.image import Image
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve

CELL = (40, 50, 60, 90, 101, 90)
LINE = (
    "-cell 40 50 60 90 101 90 -default_F 100 -N 3 -misset 10 20 30 -lambda 0.97951 -polar 0.98 -phi 12.5 -osc 0.5 "
    "-detpixels_f 60 -detpixels_s 50 -pixel 1 -distance 113.7 -seed 4 -adc 0"
)
TILTED = "-detector_rotx 3 -detector_roty 2 -detector_rotz 1 -twotheta 13"
CUSTOM = "-beam_vector 0.9 0.1 0.1 -spindle_axis 0.1 0.2 0.9 -polar_vector 0.1 -0.3 0.8 -odet_vector 1 0 0"
CONVENTIONS = ["-mosflm", "-denzo", "-adxv", "-xds", "-dials", CUSTOM]

pytestmark = [
    pytest.mark.filterwarnings("ignore:-oversample 1 is coarse"),
    pytest.mark.filterwarnings("ignore:-odet_vector .* is not of length 1"),
]


def image_of(args: str) -> Image:
    """An image that nobody looks at."""
    resolved = resolve(Experiment.from_args(shlex.split(args)), Inputs())
    shape = sum(panel.slow_pixels for panel in resolved.panels), max(panel.fast_pixels for panel in resolved.panels)
    return Image(resolved, np.zeros(shape, np.float32))


def written(path: Path, image: Image) -> dict[str, Any]:
    image.save(path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def rotated(vector: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """About a unit vector, by Rodrigues' formula."""
    phi = np.radians(degrees)
    turned = np.cross(axis, vector) * np.sin(phi) + axis * (axis @ vector) * (1 - np.cos(phi))
    return vector * np.cos(phi) + turned


def test_every_format_without_pixels_is_tried_here() -> None:
    named = {one.name for one in registry.formats() if not {"experiment", "reflections"}.isdisjoint(one.holds)}
    assert named == {"DIALS", "XPARM", "MOSFLM", "CSV", "DIALS reflections"}


# DIALS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", CONVENTIONS)
def test_dials_is_told_where_predicted_reflections_fall(tmp_path: Path, axes: str) -> None:
    """From the file's models alone: rotate, diffract, and meet the panel where the prediction has it."""
    image = image_of(f"{LINE} {TILTED} {axes} -osc 3")
    found = written(tmp_path / "true.expt", image)
    (beam,), (detector,), (crystal,), (scan,) = (found[name] for name in ("beam", "detector", "crystal", "scan"))
    (goniometer,), panel = found["goniometer"], detector["panels"][0]
    edges = np.array([crystal[f"real_space_{name}"] for name in "abc"])
    axis, s0 = np.array(goniometer["rotation_axis"]), -np.array(beam["direction"]) / beam["wavelength"]
    d = np.array([panel["fast_axis"], panel["slow_axis"], panel["origin"]]).T
    spots = image.frame("reflections").reflections
    assert spots is not None
    assert len(spots.hkl) > 100
    assert scan["oscillation"] == [12.5, 3.0]
    for hkl, phi, pixel in zip(spots.hkl[::7], spots.phi_deg[::7], spots.pixel[::7], strict=True):
        s1 = s0 + rotated(np.linalg.inv(edges) @ hkl, axis, phi)
        assert np.linalg.norm(s1) * beam["wavelength"] == pytest.approx(1.0, abs=1e-9)
        x, y, along = np.linalg.solve(d, s1)
        assert along > 0
        np.testing.assert_allclose(np.array([x, y]) / along / panel["pixel_size"], pixel, rtol=0, atol=1e-6)


def test_the_frame_is_that_of_dials(tmp_path: Path) -> None:
    for axes in CONVENTIONS:
        found = written(tmp_path / "true.expt", image_of(f"{LINE} {TILTED} {axes}"))
        assert found["beam"][0]["direction"] == pytest.approx([0, 0, 1], abs=1e-12)
        spindle = found["goniometer"][0]["rotation_axis"]
        assert spindle[1] == pytest.approx(0, abs=1e-12)
        assert spindle[0] > 0.5


def test_dials_is_told_all_that_it_asks_for(tmp_path: Path) -> None:
    line = f"{LINE} -exposure 0.2 -flux 1e11 -detector_thick 320 -detector_abs 250 -roi 10 40 5 44"
    image = image_of(line)
    found = written(tmp_path / "true.expt", image)
    assert set(found) == {"__id__", "experiment", "imageset", "beam", "detector", "goniometer", "scan", "crystal",
                          "profile", "scaling_model"}  # fmt: skip
    assert found["__id__"] == "ExperimentList"
    assert found["experiment"] == [{"__id__": "Experiment", "identifier": "", "beam": 0, "detector": 0,
                                    "goniometer": 0, "crystal": 0, "scan": 0}]  # fmt: skip
    (beam,), (scan,), (panel,) = found["beam"], found["scan"], found["detector"][0]["panels"]
    assert beam["wavelength"] == 0.97951
    assert beam["polarization_fraction"] == pytest.approx(0.99)
    assert beam["polarization_normal"] == pytest.approx([0, 1, 0])
    assert beam["flux"] == 1e11
    assert scan["image_range"] == [1, 1]
    assert scan["exposure_time"] == [0.2]
    assert panel["pixel_size"] == [1.0, 1.0]
    assert panel["image_size"] == [60, 50]
    assert panel["thickness"] == pytest.approx(0.32)
    assert panel["mu"] == pytest.approx(4.0)
    assert panel["px_mm_strategy"] == {"type": "ParallaxCorrectedPxMmStrategy"}
    outside = np.zeros((50, 60), bool)
    for fast0, slow0, fast1, slow1 in panel["mask"]:
        outside[slow0:slow1, fast0:fast1] = True
    np.testing.assert_array_equal(outside, ~image.description.panels[0].measured)


def test_what_can_be_trusted_begins_with_0_and_ends_with_the_saturation(tmp_path: Path) -> None:
    """For versions of dxtbx that count the ends in, and for those that do not."""
    frame = replace(image_of(LINE).frame("experiment"), saturation=1000.0)
    registry.write(registry.named("DIALS"), tmp_path / "true.expt", frame)
    low, high = json.loads((tmp_path / "true.expt").read_text())["detector"][0]["panels"][0]["trusted_range"]
    assert [low < count < high for count in (-1, 0, 1000, 1001)] == [False, True, True, False]


def test_a_still_has_no_scan_and_its_crystal_stands_as_it_did(tmp_path: Path) -> None:
    image = image_of(f"{LINE} -osc 0")
    found = written(tmp_path / "true.expt", image)
    assert found["scan"] == found["goniometer"] == []
    assert "scan" not in found["experiment"][0]
    edges = np.array([found["crystal"][0][f"real_space_{name}"] for name in "abc"])
    expected = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) @ image.a_matrix(12.5)
    np.testing.assert_allclose(np.linalg.inv(edges), expected, rtol=0, atol=1e-12)


def test_frames_that_follow_one_another_make_a_scan(tmp_path: Path) -> None:
    angles = [10.0, 10.5, 11.0, 20.0, 20.5]
    with sink(tmp_path / "true.expt") as frames:
        for angle in angles:
            frames.write(image_of(f"{LINE} -phi {angle}").frame("experiment"))
    found = json.loads((tmp_path / "true.expt").read_text())
    assert [scan["image_range"] for scan in found["scan"]] == [[1, 3], [1, 2]]
    assert [scan["oscillation"] for scan in found["scan"]] == [[10.0, 0.5], [20.0, 0.5]]
    assert [len(scan["exposure_time"]) for scan in found["scan"]] == [3, 2]
    assert [len(found[name]) for name in ("beam", "detector", "goniometer", "crystal")] == [1, 1, 1, 1]
    assert [one["scan"] for one in found["experiment"]] == [0, 1]


def test_stills_of_a_series_have_a_crystal_each(tmp_path: Path) -> None:
    with sink(tmp_path / "true.expt") as frames:
        for angle in (0, 30, 60):
            frames.write(image_of(f"{LINE} -osc 0 -misset {angle} 0 0").frame("experiment"))
    found = json.loads((tmp_path / "true.expt").read_text())
    assert [one["crystal"] for one in found["experiment"]] == [0, 1, 2]
    assert len(found["detector"]) == 1


def test_each_lattice_is_an_experiment(tmp_path: Path) -> None:
    image = image_of(LINE)
    own = image.description.crystals[0]
    other = replace(own, a_matrix=2.0 * own.a_matrix, space_group="P 21 21 21")
    frame = replace(image.frame("experiment"), description=replace(image.description, crystals=(own, other)))
    registry.write(registry.named("DIALS"), tmp_path / "true.expt", frame)
    found = json.loads((tmp_path / "true.expt").read_text())
    assert [one["crystal"] for one in found["experiment"]] == [0, 1]
    first, second = (np.array(one["real_space_b"]) for one in found["crystal"])
    np.testing.assert_allclose(second, first / 2)
    assert [one["space_group_hall_symbol"] for one in found["crystal"]] == ["P 1", "P 2ac 2ab"]


def test_several_lattices_turn_in_one_scan(tmp_path: Path) -> None:
    with sink(tmp_path / "true.expt") as frames:
        for angle in (10.0, 10.5, 11.0):
            frame = image_of(f"{LINE} -phi {angle}").frame("experiment")
            own = frame.description.crystals[0]
            crystals = (own, replace(own, a_matrix=2.0 * own.a_matrix))
            frames.write(replace(frame, description=replace(frame.description, crystals=crystals)))
    found = json.loads((tmp_path / "true.expt").read_text())
    assert [(one["crystal"], one["scan"]) for one in found["experiment"]] == [(0, 0), (1, 0)]
    assert [scan["image_range"] for scan in found["scan"]] == [[1, 3]]


def test_an_image_is_found_by_its_place_in_a_file_of_several(tmp_path: Path) -> None:
    with sink(tmp_path / "true.expt") as frames:
        for place, (angle, width) in enumerate([(0.0, 0.0), (10.0, 0.0), (10.0, 0.5), (10.5, 0.5)]):
            frame = image_of(f"{LINE} -phi {angle} -osc {width} -frame 7").frame("experiment")
            frames.write(replace(frame, counts_file="all.nxs", counts_place=place))
    found = json.loads((tmp_path / "true.expt").read_text())
    assert [one.get("single_file_indices") for one in found["imageset"]] == [[0], [1], None]
    assert [scan["image_range"] for scan in found["scan"]] == [[3, 4]]


def test_oblique_pixels_become_rectangular_about_the_centre() -> None:
    panel = image_of(LINE).description.panels[0]
    leaning = replace(panel, slow=tuple(np.array(panel.slow) + 0.003 * np.array(panel.fast)))
    origin, steps = expt._rectangular(leaning)
    assert steps[0] @ steps[1] == pytest.approx(0, abs=1e-15)
    middle = np.array([30, 25])
    given = np.array([leaning.fast, leaning.slow]) * panel.pixel_mm
    np.testing.assert_allclose(origin + middle @ steps, panel.origin_mm + middle @ given, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [("-curved_det", "x.expt: DIALS has flat detectors alone"), ("-curved_det", "XDS has flat detectors alone")],
)
def test_a_curved_detector_is_refused(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        image_of(f"{LINE} {options}").save(tmp_path / ("x.expt" if "expt" in said else "XPARM.XDS"))
    assert not list(tmp_path.iterdir())


def test_no_polarization_is_said(tmp_path: Path) -> None:
    with pytest.warns(NbnumbaWarning, match=r"x.expt: DIALS will correct for a polarization that is not there"):
        image_of(f"{LINE} -nopolar").save(tmp_path / "x.expt")


def test_a_mask_of_very_many_pieces_is_told_in_part(tmp_path: Path) -> None:
    chequered = (np.indices((50, 60)).sum(axis=0) % 2).astype(np.uint16)
    image = image_of(LINE)
    panel = replace(image.description.panels[0], mask=chequered)
    frame = replace(image.frame("experiment"), description=replace(image.description, panels=(panel,)))
    one = registry.named("DIALS")
    assert len(rectangles_of(~panel.measured)) == 1500
    for most, count in ((2000, 1500), (100, 100)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(expt, "MOST_RECTANGLES", most)
            if most < 1500:
                with pytest.warns(NbnumbaWarning, match="takes 1500 rectangles, of which the first 100"):
                    one.check(tmp_path / "true.expt", frame.description, 0.0)
            registry.write(one, tmp_path / "true.expt", frame)
        found = json.loads((tmp_path / "true.expt").read_text())
        assert len(found["detector"][0]["panels"][0]["mask"]) == count


@pytest.mark.parametrize("seed", range(20))
def test_rectangles_cover_what_is_marked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    marked = rng.random((rng.integers(1, 12), rng.integers(1, 12))) < rng.random()
    marked[:, rng.random(marked.shape[1]) < 0.2] = True
    marked[rng.random(len(marked)) < 0.2] = True
    covered = np.zeros_like(marked)
    for fast0, slow0, fast1, slow1 in rectangles_of(marked):
        assert fast0 < fast1
        assert slow0 < slow1
        covered[slow0:slow1, fast0:fast1] = True
    np.testing.assert_array_equal(covered, marked)


def test_gaps_are_a_rectangle_each() -> None:
    marked = np.zeros((407, 487), bool)
    marked[195:212] = True
    marked[:, 480:] = True
    assert rectangles_of(marked) == [(480, 0, 487, 407), (0, 195, 487, 212)]


def test_space_groups_are_known_by_their_symbol() -> None:
    assert space_group_of("P 1") == (1, "P 1")
    for group in list(gemmi.spacegroup_table())[::40]:
        assert space_group_of(group.xhm()) == (group.number, group.hall)
    with pytest.raises(UsageError, match="space group 'P 7' is none that is known"):
        space_group_of("P 7")


# XDS and MOSFLM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", CONVENTIONS)
def test_xds_is_told_where_predicted_reflections_fall(tmp_path: Path, axes: str) -> None:
    image = image_of(f"{LINE} {TILTED} {axes} -osc 3")
    image.save(tmp_path / "XPARM.XDS")
    lines = (tmp_path / "XPARM.XDS").read_text().splitlines()
    assert lines[0].split()[0] == "XPARM.XDS"
    rows = [np.array(line.split(), float) for line in lines[1:]]
    assert [len(row) for row in rows] == [6, 4, 7, 3, 3, 3, 5, 3, 3, 3, 3, 5, 9]
    axis, beam, edges = rows[0][3:], rows[1][1:], np.array(rows[3:6])
    assert rows[0][:3].tolist() == [1, 12.5, 3]
    assert np.linalg.norm(beam) * rows[1][0] == pytest.approx(1, abs=1e-9)
    assert rows[2] == pytest.approx([1, *CELL], abs=1e-6)
    assert rows[6].tolist() == [1, 60, 50, 1, 1]
    orgx, orgy, distance = rows[7]
    d = np.array(rows[8:11]).T
    spots = image.frame("reflections").reflections
    assert spots is not None
    for hkl, phi, pixel in zip(spots.hkl[::7], spots.phi_deg[::7], spots.pixel[::7], strict=True):
        x, y, along = np.linalg.solve(d, beam + rotated(np.linalg.inv(edges) @ hkl, axis, phi))
        # The centre of the first pixel is 1.
        at = np.array([x, y]) / along * distance + [orgx - 0.5, orgy - 0.5]
        np.testing.assert_allclose(at, pixel, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axes", CONVENTIONS)
def test_mosflm_matrices_give_the_same_crystal_back(tmp_path: Path, axes: str) -> None:
    """In MOSFLM's frame, whatever the convention: what is relative to beam and spindle stays so."""
    image = image_of(f"{LINE} {axes}")
    image.save(tmp_path / "true.mat")
    read = read_matrix(tmp_path / "true.mat")
    assert read.cell == pytest.approx(CELL, abs=1e-9)
    stars, d = read.elements / 0.97951, image.description
    own = image.a_matrix(0.0)
    z = np.array(d.spindle) - np.array(d.beam) * np.dot(d.spindle, d.beam)
    z /= np.linalg.norm(z)
    expected = np.array([d.beam, np.cross(z, d.beam), z]) @ own
    np.testing.assert_allclose(stars, expected, rtol=0, atol=1e-11)
    numbers = np.array((tmp_path / "true.mat").read_text().split(), float)
    u = numbers[12:21].reshape(3, 3)
    assert numbers.size == 30
    np.testing.assert_allclose(u @ u.T, np.eye(3), atol=1e-11)
    assert np.linalg.det(u) == pytest.approx(1.0)
    # B of Busing and Levy: a* along x, b* in the plane of x and y.
    b = u.T @ stars
    np.testing.assert_allclose(b[np.tril_indices(3, -1)], 0, atol=1e-11)
    assert (np.diag(b) > 0).all()


def test_an_image_by_its_own_matrix_is_the_same(tmp_path: Path) -> None:
    common = "-default_F 100 -N 8 -detpixels 50 -pixel 1 -lambda 0.97951 -distance 113.7 -polar 0.98 -phi 12.5 -osc 0.5"
    common += " -phistep 0.5 -oversample 1"
    line = f"{common} -cell 40 50 60 90 101 90 -misset 10 20 30"
    first = simulate(Experiment.from_args(shlex.split(f"{line} -xds -ORGX 23.7 -ORGY 30.2")), backend="cpu")
    first.save(tmp_path / "true.mat")
    same = f"{common} -mosflm -Xbeam 29.2 -Ybeam 22.7 -mat {tmp_path / 'true.mat'}"
    second = simulate(Experiment.from_args(shlex.split(same)), backend="cpu")
    assert first.photons.max() > 100 * np.median(first.photons)
    np.testing.assert_allclose(second.photons, first.photons, rtol=0, atol=1e-6 * first.photons.max())


@pytest.mark.parametrize("name", ["XPARM.XDS", "true.mat"])
def test_files_of_one_lattice_say_that_there_are_more(tmp_path: Path, name: str) -> None:
    image = image_of(LINE)
    two = replace(image.description, crystals=image.description.crystals * 2)
    with pytest.warns(NbnumbaWarning, match=f"{name}: tells of the first of 2 lattices; .expt tells of all"):
        registry.by_suffix(name).check(tmp_path / name, two, 0.0)


# Reflections -----------------------------------------------------------------------------------------------------


def test_predicted_reflections_are_a_table(tmp_path: Path) -> None:
    with sink(tmp_path / "spots.csv") as frames:
        for number in range(2):
            frames.write(image_of(f"{LINE} -phi {12.5 + 0.5 * number}").frame("reflections"))
    with open(tmp_path / "spots.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    spots = [image_of(f"{LINE} -phi {angle}").frame("reflections").reflections for angle in (12.5, 13.0)]
    hkl = np.array([[int(row[name]) for name in "hkl"] for row in rows])
    np.testing.assert_array_equal(hkl, np.concatenate([one.hkl for one in spots if one is not None]))
    pixel = np.array([[float(row["fast_px"]), float(row["slow_px"])] for row in rows])
    np.testing.assert_allclose(pixel, np.concatenate([one.pixel for one in spots if one is not None]), atol=5.1e-5)
    d = gemmi.UnitCell(*CELL)
    for row in rows[::10]:
        spacing = d.calculate_d([int(row[name]) for name in "hkl"])
        assert float(row["d_angstrom"]) == pytest.approx(spacing, abs=1e-5)
        assert float(row["F"]) == 100
        assert row["panel"] == "0"
        assert 12.5 <= float(row["phi_deg"]) <= 13.5
        assert int(row["image"]) == (1 if float(row["phi_deg"]) < 13.0 else 2)
        assert float(row["wavelength_angstrom"]) == 0.97951


def test_dials_has_a_table_of_them(tmp_path: Path) -> None:
    msgpack = pytest.importorskip("msgpack")
    angles = [12.5, 13.0, 40.0]
    with sink(tmp_path / "spots.refl") as frames:
        for angle in angles:
            frames.write(image_of(f"{LINE} -phi {angle}").frame("reflections"))
    kind, version, table = msgpack.unpackb((tmp_path / "spots.refl").read_bytes(), strict_map_key=False)
    assert (kind, version) == ("dials::af::reflection_table", 1)
    shapes = {"miller_index": (-1, 3), "xyzcal.px": (-1, 3)}
    columns = {}
    for name, (told, numbers) in refl.COLUMNS.items():
        assert table["data"][name][0] == told
        assert table["data"][name][1][0] == table["nrows"]
        columns[name] = np.frombuffer(table["data"][name][1][1], numbers).reshape(shapes.get(name, -1))
    spots = [image_of(f"{LINE} -phi {angle}").frame("reflections").reflections for angle in angles]
    assert all(one is not None for one in spots)
    np.testing.assert_array_equal(columns["miller_index"], np.concatenate([one.hkl for one in spots if one]))
    np.testing.assert_array_equal(columns["xyzcal.px"][:, :2], np.concatenate([one.pixel for one in spots if one]))
    # Two images are of one experiment, the third of the next one.
    counts = [len(one.hkl) for one in spots if one]
    np.testing.assert_array_equal(columns["id"], np.repeat([0, 0, 1], counts))
    starts = [12.5, 12.5, 40.0]
    phi = np.concatenate([one.phi_deg - start for one, start in zip(spots, starts, strict=True) if one])
    np.testing.assert_allclose(columns["xyzcal.px"][:, 2], phi / 0.5, atol=1e-9)
    assert set(columns["flags"].tolist()) == {1}


def test_tables_of_dials_without_their_package_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(ResourceError, match=r"need a package that is not installed .*: pip install 'nbnumba\[dials\]'"):
        image_of(LINE).save(tmp_path / "spots.refl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["spots.csv", "spots.refl"])
def test_a_frame_without_reflections_is_no_table(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="has no reflections"):
        registry.by_suffix(name).write(tmp_path / name, image_of(LINE).frame("experiment"))
    assert not list(tmp_path.iterdir())
