"""DIALS as it is installed reads what is written: geometry, beam, scan, mask, counts; and finds the crystal again."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import hdf5plugin
import numpy as np
import pytest

from nbnumba import Detector, Experiment, Panel, changed, rotation_series, simulate_many
from nbnumba.cli import main
from nbnumba.commands.demo import OPTIONS
from nbnumba.formats.dials import DIALS_POLARIZATION
from nbnumba.formats.sinks import sink
from nbnumba.image import Image

PYTHON = os.environ.get("DIALS_PYTHON", "/usr/bin/python3")
READER = Path(__file__).parent / "by_dxtbx.py"
# Debian's h5py comes without the filters that unpack bitshuffle and LZ4.
WITHOUT_OURS = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
    "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH
}


def has_dials() -> bool:
    try:
        return (
            subprocess.run([PYTHON, "-c", "import dxtbx, dials"], capture_output=True, env=WITHOUT_OURS).returncode == 0
        )
    except OSError:
        return False


pytestmark = [
    pytest.mark.dials,
    pytest.mark.skipif(not has_dials(), reason=f"{PYTHON} has no DIALS; name another as DIALS_PYTHON"),
    pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning"),
]

BASE = (
    "-cell 70 80 90 75 85 95 -default_F 100 -N 4 -misset 10 20 30 -detpixels_f 24 -detpixels_s 18 -pixel 2 "
    "-distance 133 -lambda 1.3 -phi 12 -osc 0.7 -phisteps 2 -polar 0.9 -seed 7 "
    "-readout counting -roi 2 22 0 16 -oversample 1"
)
CUSTOM = (
    "-fdet_vector 0.8 0.6 0 -sdet_vector 0.6 -0.8 0.1 -odet_vector 0 0 1 -beam_vector 0 0 1 -polar_vector 1 0 0 "
    "-spindle_axis 0.9 0.1 0.2 -twotheta_axis 0 1 0 -Xbeam 20 -Ybeam 15"
)
GEOMETRIES = {
    "mosflm": "-Xbeam 17 -Ybeam 21",
    "tilted": "-detector_rotx 3 -detector_roty -4 -detector_rotz 5",
    "twotheta": "-twotheta 17",
    "adxv": "-adxv -Xbeam 21 -Ybeam 17",
    "xds": "-xds -ORGX 9.3 -ORGY 11.7",
    "dials": "-dials",
    "custom": CUSTOM,
    "sensor": "-detector_thick 450 -detector_abs 250 -detector_material Si",
}
SAYS_ALL = (".nxs", ".expt")
"""Formats that know every geometry."""
BY_CBF = ("mosflm", "xds", "sensor")


def panels() -> Experiment:
    two = [
        Panel("left", 24, 18, origin_mm=(-40, -30, 120), fast_step_mm=(1.5, 0.1, 0), slow_step_mm=(-0.1, 1.5, 0)),
        Panel("right", 24, 18, origin_mm=(5, -28, 121), fast_step_mm=(1.5, 0, 0.1), slow_step_mm=(0, 1.5, 0)),
    ]  # fmt: skip
    args = "-cell 70 80 90 -default_F 100 -N 4 -lambda 1.3 -phi 12 -osc 0.7 -polar 0.9 -seed 7 -readout counting"
    return changed(Experiment.from_args(shlex.split(args)), detector=Detector(convention="adxv", panels=two))


def series_of(name: str) -> list[Image]:
    first = panels() if name == "panels" else Experiment.from_args(shlex.split(f"{BASE} {GEOMETRIES[name]}"))
    return list(simulate_many(rotation_series(first, 2), backend="cpu"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[list[Image], Any]]:
    """By geometry and suffix, the images and what dxtbx read of them."""
    folder = tmp_path_factory.mktemp("dials")
    paths: dict[tuple[str, str], tuple[list[Image], str]] = {}
    for name in (*GEOMETRIES, "panels"):
        images = series_of(name)
        for suffix in (*SAYS_ALL, *((".cbf",) if name in BY_CBF else ())):
            path = str(folder / (f"{name}_#####{suffix}" if suffix == ".cbf" else f"{name}{suffix}"))
            with sink(path) as frames:
                for image in images:
                    frames.write(image.frame("experiment" if suffix == ".expt" else "counted"))
            paths[name, suffix] = images, path.replace("#####", "00001")
    reader = [PYTHON, str(READER), *(path for _, path in paths.values())]
    found = subprocess.run(reader, capture_output=True, text=True, check=True, env=WITHOUT_OURS)
    read = json.loads(found.stdout.splitlines()[-1])
    return {key: (images, read[path]) for key, (images, path) in paths.items()}


def to_dials(image: Image, suffix: str) -> np.ndarray:
    """Rotation from our laboratory to that of DIALS, or of an image that has none."""
    panel = image.resolved.panels[0]
    beam = np.array(panel.beam)
    if suffix == ".cbf":
        return np.array([panel.fast, -np.array(panel.slow), -beam])
    across = np.array(panel.spindle) - beam * (beam @ panel.spindle)
    x = across / np.linalg.norm(across)
    return np.array([x, np.cross(-beam, x), -beam])


CASES = [(name, suffix) for name in (*GEOMETRIES, "panels") for suffix in SAYS_ALL] + [
    (name, ".cbf") for name in BY_CBF
]


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_detector_stands_where_it_stood(written: Any, name: str, suffix: str) -> None:
    images, found = written[name, suffix]
    turn = to_dials(images[0], suffix)
    for panel, plan, read in zip(images[0].resolved.panels, images[0].resolved.plans, found[0]["panels"], strict=True):
        steps = panel.pixel_m * 1e3 * np.array([panel.fast, panel.slow])
        np.testing.assert_allclose(read["origin"], turn @ panel.origin_m * 1e3, rtol=0, atol=1e-6)
        np.testing.assert_allclose(read["pixel_size"], np.linalg.norm(steps, axis=1), rtol=1e-9)
        for axis, step in zip(("fast", "slow"), steps, strict=True):
            np.testing.assert_allclose(read[axis], turn @ step / np.linalg.norm(step), rtol=0, atol=1e-9)
        assert read["image_size"] == [plan.detector.fast_pixels, plan.detector.slow_pixels]


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_beam_and_scan_are_what_they_were(written: Any, name: str, suffix: str) -> None:
    images, found = written[name, suffix]
    read, turn, lab = found[0], to_dials(images[0], suffix), images[0].resolved.panels[0]
    assert read["wavelength"] == pytest.approx(1.3, rel=1e-9)
    np.testing.assert_allclose(read["direction"], turn @ -np.array(lab.beam), atol=1e-9)
    normal = turn @ np.cross(lab.polarization, lab.beam)
    along = np.abs(np.dot(read["polarization_normal"], normal / np.linalg.norm(normal)))
    # dxtbx writes the polarization of a mini-CBF and reads it from none, nor from NXmx.
    if suffix == ".expt":
        assert (read["polarization_fraction"], along) == (pytest.approx(0.95), pytest.approx(1.0))
    else:
        assert read["polarization_fraction"] == DIALS_POLARIZATION
    np.testing.assert_allclose(read["axis"], turn @ np.array(lab.spindle), atol=1e-9)
    np.testing.assert_allclose(read["oscillation"], [12.0, 0.7], atol=1e-9)
    assert read["images"] == (1 if suffix == ".cbf" else 2)


@pytest.mark.parametrize(("name", "suffix"), [case for case in CASES if case[1] != ".expt"])
def test_counts_and_what_was_not_measured_are_read(written: Any, name: str, suffix: str) -> None:
    images, found = written[name, suffix]
    frame = images[0].frame("counted")
    for panel, counts, read, mask in zip(
        frame.description.panels, frame.pixels, found[0]["pixels"], found[0]["mask"], strict=True
    ):
        measured = panel.measured
        np.testing.assert_array_equal(np.reshape(mask, measured.shape), measured)
        np.testing.assert_array_equal(np.reshape(read, measured.shape)[measured], counts[measured])


@pytest.mark.parametrize("suffix", [".nxs", ".expt", ".cbf"])
def test_sensor_is_what_it_was(written: Any, suffix: str) -> None:
    _, found = written["sensor", suffix]
    panel = found[0]["panels"][0]
    assert panel["thickness"] == pytest.approx(0.45)
    assert panel["material"] == "Si"
    assert panel["mu"] > 0.0


@pytest.mark.parametrize("name", [*GEOMETRIES, "panels"])
def test_true_crystal_is_that_of_the_image(written: Any, name: str) -> None:
    images, found = written[name, ".expt"]
    expected = to_dials(images[0], ".expt") @ images[0].a_matrix(0.0)
    np.testing.assert_allclose(np.reshape(found[0]["a_matrix"], (3, 3)), expected, rtol=0, atol=1e-9)


# The way of a user ----------------------------------------------------------------------------------------------------

STEPS = (
    "dials.import {images}",
    "dials.find_spots imported.expt nproc=2",
    "dials.index imported.expt strong.refl space_group=P43212",
    "dials.refine indexed.expt indexed.refl scan_varying=False",
    "dials.integrate refined.expt refined.refl nproc=2 prediction.d_min=1.8",
)


@pytest.mark.skipif(shutil.which("dials.import") is None, reason="the commands of DIALS are not on PATH")
def test_the_demo_turned_by_ten_degrees_gives_its_crystal_back(tmp_path: Path) -> None:
    """50 images of the demo: found, indexed, refined and integrated by DIALS as it comes."""
    model = str(files("nbnumba") / "data" / "1hel.pdb")
    images = [str(tmp_path / f"image_{number:05d}.cbf") for number in range(1, 51)]
    output = ["-images", "50", "-o", str(tmp_path / "image_#####.cbf"), "-quiet"]
    assert main(["-pdb", model, *shlex.split(OPTIONS), *output]) == 0
    assert main(["hkl", "-pdb", model, "-dmin", "1.7", "-energy", "12660", "-o", str(tmp_path / "P1.hkl")]) == 0
    for step in STEPS:
        command = [word for part in step.split() for word in (images if part == "{images}" else [part])]
        subprocess.run(command, cwd=tmp_path, env=WITHOUT_OURS, check=True, capture_output=True)
    reader = [PYTHON, str(Path(__file__).parent / "by_dials.py"), "P1.hkl"]
    read = subprocess.run(reader, cwd=tmp_path, env=WITHOUT_OURS, check=True, capture_output=True, text=True)
    found = json.loads(read.stdout.splitlines()[-1])
    print(found)
    assert found["indexed"] >= 0.98 * found["spots"]
    assert found["spots"] > 4000
    for edge, sd, true in zip(found["cell"][:3], found["cell_sd"][:3], (79.1, 79.1, 37.9), strict=True):
        assert abs(edge - true) < 3.0 * sd, (edge, sd)
    reflections, correlation = found["whole"]
    assert reflections > 2000
    assert correlation >= 0.995


@pytest.mark.skipif(shutil.which("dials.find_spots") is None, reason="the commands of DIALS are not on PATH")
@pytest.mark.parametrize("images", ["image_#####.cbf", "images.nxs"])
def test_an_experiment_leads_dials_to_its_images(tmp_path: Path, images: str) -> None:
    model = str(files("nbnumba") / "data" / "1hel.pdb")
    args = ["-pdb", model, *shlex.split(OPTIONS), "-detector", "eiger2-500k", "-quiet"]
    args += ["-oversample", "1", "-images", "3", "-o", str(tmp_path / images), "-o", str(tmp_path / "run.expt")]
    assert main(args) == 0
    command = ["dials.find_spots", "run.expt", "nproc=1"]
    said = subprocess.run(command, cwd=tmp_path, env=WITHOUT_OURS, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) spots found on 3 images", said)
    assert found is not None
    assert int(found[1]) > 50
