"""The golden suite: every case, in every mode that it lists, by both CPU backends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import assert_matches, tolerance

from nbnumba.experiment import changed
from nbnumba.formats.images.smv import read_smv, smv_header
from nbnumba.image import Image
from nbnumba.nanobragg.command import Command
from nbnumba.nanobragg.parse import parse
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.tolerances import FLOAT32, STATISTICS

HERE = Path(__file__).parent
INPUTS = HERE / "golden" / "inputs"
SHARED = HERE.parent.parent / "shared"

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


def read_cases(suite: str) -> list[dict[str, Any]]:
    return [case | {"suite": suite} for case in json.loads((HERE / suite / "cases.json").read_text())["cases"]]


CASES = {case["name"]: case for suite in ("golden", "independent") for case in read_cases(suite)}
MODES = [(name, mode) for name, case in CASES.items() for mode in case["modes"]]
RUNS = [(name, mode, backend) for name, mode in MODES for backend in ("cpu", "reference")]
RECORDED = [(name, mode) for name, mode in MODES if {"int", "noise", "pgm"} & set(CASES[name]["tags"])]
HEADERS = [(name, mode) for name, mode in MODES if mode == "c" and CASES[name]["suite"] == "golden"]
made: set[tuple[str, str, str]] = set()


@pytest.fixture(autouse=True)
def _among_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(INPUTS)


def command(name: str, mode: str) -> Command:
    return parse(["-mode", mode, *CASES[name]["args"]])


def resolved(name: str, mode: str) -> Resolved:
    experiment = command(name, mode).experiment
    return resolve(experiment, read_inputs(experiment))


def with_generator(resolved: Resolved, rng: Any) -> Resolved:
    return replace(resolved, experiment=changed(resolved.experiment, noise={"rng": rng}))


def golden(name: str) -> dict[str, Any]:
    with np.load(HERE / CASES[name]["suite"] / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(("name", "mode", "backend"), RUNS)
def test_image(name: str, mode: str, backend: Any) -> None:
    photons = render(resolved(name, mode), backend=backend).photons
    made.add((name, mode, backend))
    assert_matches(photons, golden(name)["float"])


def test_no_run_is_left_out(request: pytest.FixtureRequest) -> None:
    collected = [item for item in request.session.items if getattr(item, "originalname", "") == "test_image"]
    recorded = [path.stem for suite in ("golden", "independent") for path in (HERE / suite).glob("*.npz")]
    assert sorted(recorded) == sorted(CASES)
    if len(collected) < len(RUNS):
        pytest.skip("only some of the cases were asked for")
    assert made == set(RUNS)


@pytest.mark.parametrize("suite", ["golden", "independent"])
def test_files_are_those_that_were_recorded(suite: str) -> None:
    """None changed, none missing, none added: SHA-256 of all but the texts about them."""
    folder = HERE / suite
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {folder / name: sha256 for name, sha256 in (manifest["files"] | manifest["inputs"]).items()}
    there = {path for path in folder.rglob("*") if path.is_file()} - {folder / "manifest.json", folder / "README.md"}
    found = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in there | written.keys()}
    assert found == written
    commands = {case["name"]: case.get("reference_args", case["args"]) for case in read_cases(suite)}
    assert manifest["arguments"] == commands


@pytest.mark.parametrize(("name", "mode"), HEADERS)
def test_header(name: str, mode: str) -> None:
    unrendered = np.zeros((0, 0), np.float32)
    assert smv_header(Image(resolved(name, mode), unrendered).smv_geometry) == str(golden(name)["header"])


@pytest.mark.parametrize(("name", "mode"), RECORDED)
def test_integer_images(name: str, mode: str, tmp_path: Path) -> None:
    """Made from the golden float image they are equal in every pixel: counts, too, where the same generator draws."""
    expected, outputs = golden(name), command(name, mode).outputs
    image = Image(resolved(name, mode), expected["float"])
    if mode == "spec":
        image = replace(image, resolved=with_generator(image.resolved, "ran1"))
    if "int" in expected:
        image.save_smv(str(tmp_path / "int.img"), outputs.scale)
        np.testing.assert_array_equal(read_smv(tmp_path / "int.img").pixels, expected["int"])
    if "noise" in expected:
        image.save_noise(str(tmp_path / "noise.img"))
        np.testing.assert_array_equal(read_smv(tmp_path / "noise.img").pixels, expected["noise"])
    if "pgm" in expected:
        image.save_pgm(str(tmp_path / "image.pgm"), outputs.pgm_scale or image.pgm_scale(outputs.scale))
        head = str(expected["pgm_head"]).encode()
        assert (tmp_path / "image.pgm").read_bytes() == head + expected["pgm"].tobytes()


@pytest.mark.parametrize(("name", "mode"), [run for run in RECORDED if "int" in CASES[run[0]]["tags"]])
def test_integers_of_the_rendered_image(name: str, mode: str) -> None:
    """They may differ only where the golden pixel, scaled, is as near to a rounding edge as its tolerance."""
    expected, outputs = golden(name), command(name, mode).outputs
    photons = render(resolved(name, mode), backend="cpu").photons
    image = Image(resolved(name, mode), photons)
    scale, adc_offset = outputs.scale or image.int_scale, image.experiment.readout.adc_offset or 0.0
    edge_distance = np.abs((expected["float"].astype(float) * scale + adc_offset) % 1.0 - 0.5)
    certain = edge_distance > scale * tolerance(expected["float"]) + 65535 * FLOAT32
    assert certain.mean() > 0.9
    counts = np.floor(np.clip(photons * scale + adc_offset, 0, 65535) + 0.5)
    inside = np.zeros(photons.shape, bool)
    fast0, fast1, slow0, slow1 = image.resolved.plan.detector.roi
    inside[slow0 : slow1 + 1, fast0 : fast1 + 1] = True
    np.testing.assert_array_equal(counts[certain & inside], expected["int"][certain & inside])


# Cases that no recording has, with figures of the reference ----------------------------------------------------------


def test_a_normal_across_the_beam_stands_for_a_smallest_cosine() -> None:
    args = "-odet_vector 0 0 1 -cell 20 20 20 -Na 9 -default_F 1 -detpixels 2 -distance 50 -oversample 1"
    experiment = parse(f"-mode c {args} -Xbeam 0.05 -Ybeam 0.05".split()).experiment
    photons = render(resolve(experiment, read_inputs(experiment)), backend="cpu").photons
    expected = [[-3.240000125970255e-07, -3.2399728411292017e-07], [-3.2399728411292017e-07, -3.2399427141172055e-07]]
    assert_matches(photons, np.array(expected, np.float32))


@pytest.mark.parametrize(("options", "interpolates"), [("", True), ("-N 10", False)])
def test_mode_c_decides_on_interpolation_by_the_cells_that_are_given(options: str, interpolates: bool) -> None:
    """Those of -N, whatever -samplesize makes of them afterwards; mode spec by the crystal's."""
    sized = ["-hkl", "small.hkl", "-cell", "70", "80", "90", "-samplesize", "1e-4", *options.split()]
    for mode, expected in {"c": interpolates, "spec": False}.items():
        experiment = parse(["-mode", mode, *sized]).experiment
        found = resolve(experiment, read_inputs(experiment))
        assert min(found.lattice.cells) > 2
        assert bool(found.plan.factors.interpolate) == expected


# A real experiment -----------------------------------------------------------------------------------------------

PILATUS = SHARED / "data" / "pilatus"
pilatus = pytest.mark.skipif(
    not PILATUS.exists(), reason="the Pilatus data (shared/data/pilatus beside the project) are not here"
)
WINDOW = 200
CORNER_M = (-0.216475836204836, 0.216343050492215, -0.230192414300537)
both_modes = pytest.mark.parametrize("mode", ["spec", "c"])


@cache
def pilatus_resolved(mode: str) -> Resolved:
    args = json.loads((HERE / "golden" / "pilatus_args.json").read_text())
    experiment = parse(["-mode", mode, *args]).experiment
    return resolve(experiment, read_inputs(experiment))


def pilatus_golden(mode: str) -> tuple[dict[str, Any], dict[str, tuple[slice, slice]]]:
    with np.load(SHARED / "golden" / f"pilatus_{mode}.npz") as arrays:
        recorded = dict(arrays)
    origins = json.loads(str(recorded["crop_origin"]))
    return recorded, {
        name: (slice(slow, slow + WINDOW), slice(fast, fast + WINDOW)) for name, (slow, fast) in origins.items()
    }


@pilatus
@both_modes
def test_pilatus_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PILATUS)
    expected, windows = pilatus_golden(mode)
    stats = json.loads(str(expected["stats"]))
    photons = render(pilatus_resolved(mode), backend="cpu").photons
    for name, window in windows.items():
        assert_matches(photons[window], expected[name], stats["max"])
    slow, fast = expected["top_slow_fast"].T
    assert_matches(photons[slow, fast], expected["top_value"])
    double = photons.astype(np.float64)
    assert double.sum() == pytest.approx(stats["sum"], rel=STATISTICS["sum"])
    assert (double**2).sum() == pytest.approx(stats["sum_squares"], rel=STATISTICS["sum_squares"])
    assert double.max() == pytest.approx(stats["max"], rel=STATISTICS["max"])
    assert list(np.unravel_index(photons.argmax(), photons.shape)) == stats["argmax_slow_fast"]
    assert np.count_nonzero(photons) == pytest.approx(stats["nonzero_pixels"], rel=STATISTICS["nonzero_pixels"])
    name = "quantiles_50_99_99.9"
    assert np.quantile(double, [0.5, 0.99, 0.999]) == pytest.approx(stats[name], rel=STATISTICS[name])


@pilatus
@both_modes
def test_pilatus_windows_by_the_reference_kernel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PILATUS)
    expected, windows = pilatus_golden(mode)
    whole = pilatus_resolved(mode)
    for name, (slow, fast) in windows.items():
        detector = whole.plan.detector._replace(roi=(fast.start, fast.stop - 1, slow.start, slow.stop - 1))
        window = replace(whole, plans=(whole.plan._replace(detector=detector),))
        photons = render(window, backend="reference").photons[slow, fast]
        # In mode c the first pixel of an image finds another cell at φ = 0 than it does within a larger image.
        assert_matches(photons.ravel()[1:], expected[name].ravel()[1:], json.loads(str(expected["stats"]))["max"])


@pilatus
@both_modes
def test_pilatus_corner(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PILATUS)
    assert pilatus_resolved(mode).geometry.origin_m == pytest.approx(CORNER_M, abs=1e-15)


# What would be wrong, and must be seen ------------------------------------------------------------------------------

DEFECTS: dict[str, dict[str, dict[str, Any]]] = {
    "half a pixel": {"detector": {"beam_x_mm": 19.6}},
    "a misset turned backwards": {"crystal": {"misset_deg": (-10.0, -20.0, -30.0)}},
    "another wavelength": {"beam": {"wavelength_angstrom": 1.0001}},
    "one cell more": {"crystal": {"cells": (7, 7, 8)}},
    "no polarization": {"beam": {"polarization_correction": False}},
    "no obliquity": {"detector": {"point_pixel": True}},
    "mode c": {},
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_is_seen(defect: str) -> None:
    experiment = changed(command("spec_cell_triclinic_misset", "spec").experiment, **DEFECTS[defect])
    if defect == "mode c":
        experiment = replace(experiment, mode="c")
    photons = render(resolve(experiment, read_inputs(experiment)), backend="cpu").photons
    with pytest.raises(AssertionError, match="pixels differ"):
        assert_matches(photons, golden("spec_cell_triclinic_misset")["float"])
