"""A beam that misses the crystal: the image is background alone, to the bit, and nothing tells of a crystal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from agreement import assert_matches

from nbnumba import Experiment, NbnumbaWarning, StructureFactors, UsageError, changed, predict, simulate
from nbnumba.comparison.trace import trace_pixel
from nbnumba.image import Image
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

LINE = "-cell 70 80 90 75 85 95 -N 5 -lambda 1 -pixel 1 -detpixels 40 -oversample 1"
pytestmark = pytest.mark.filterwarnings("ignore:(-oversample|every F is 0|NXmx|mini-CBF)")


def experiment(words: str) -> Experiment:
    return Experiment.from_args(f"{LINE} {words}".split())


def resolved(one: Experiment) -> Resolved:
    return resolve(one, read_inputs(one), seed=3)


def without_f(words: str) -> Experiment:
    """A crystal in the beam that scatters nothing."""
    return changed(experiment(words), structure_factors=StructureFactors.from_arrays([[1, 1, 1]], [0.0]))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    "words",
    [
        "-water 0.1",
        "-mode c -water 0.1 -osc 1 -phisteps 2",
        "-background water 0.05 -background air 20 -oversample 2 -oversample_omega -oversample_polar",
        "-background ice 0.05 -dispersion 4 -dispsteps 3 -oversample 0",
        "-water 0.1 -dmin 2 -hdivrange 2 -hdivsteps 3 -dispersion 5 -dispsteps 3",
        "-mode c -water 0.1 -dmin 2 -detector_thick 400 -detector_abs 200 -thicksteps 3 -oversample 2",
        "-water 0.1 -detector_thick 400 -detector_abs 200 -thicksteps 3 -oversample_thick -roi 3 30 5 20",
        "",
    ],
)
def test_the_background_is_every_bit_that_of_a_crystal_without_f(words: str, backend: Any) -> None:
    mosaic = "-mosaic 1 -mosaic_domains 3 -default_F 100"
    miss = experiment(f"{words} {mosaic} -spot_scale 0 -lattice misset=40,50,60")
    expected, found = simulate(without_f(f"{words} {mosaic}"), backend), simulate(miss, backend)
    assert np.array_equal(found.photons, expected.photons)
    assert (found.photons.max() > 0.0) == ("water" in words or "ice" in words)
    assert found.statistics_beside_beam == found.statistics


def test_what_frames_have_alike_is_kept_and_the_rest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that differ in fluence, wavelength, distance, material, region, mask and gaps take turns."""
    from nbnumba.kernels.cpu import background

    measured, measure = [], background.measure
    monkeypatch.setattr(background, "measure", lambda *args: (measured.append(args), measure(*args)))
    base = "-background water 0.05 -background air 20 -detpixels 37"
    others = ["", "-lambda 1.3", "-distance 90", "-background ice 0.1", "-beamstop 4", "-polar 0.9", "-oversample 2"]
    frames = [f"{base} {other} -fluence {fluence}" for fluence in ("1e24", "3.7e26") for other in others]
    expected = [simulate(without_f(words), "cpu").photons for words in frames]
    for _ in range(2):
        for words, photons in zip(frames, expected, strict=True):
            assert np.array_equal(simulate(experiment(f"{words} -spot_scale 0"), "cpu", threads=2).photons, photons)
    assert len(measured) <= 2 * len(others)


def test_gaps_and_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_panels import cut

    words = "-detector pilatus-100k -roi 100 180 20 120 -background water 0.05 -beamstop 2"
    line = [*words.split(), "-N", "5"]
    miss = Experiment.from_args([*line, "-spot_scale", "0"])
    lit = changed(Experiment.from_args(["-cell", "70", "80", "90", *line, "-oversample", "1"]),
                  structure_factors=StructureFactors.from_arrays([[1, 1, 1]], [0.0]))  # fmt: skip
    assert np.array_equal(simulate(miss, "cpu").photons, simulate(lit, "cpu").photons)
    panels = cut(experiment("-water 0.1 -spot_scale 0"), [17], [11])
    whole = simulate(experiment("-water 0.1 -spot_scale 0"), "cpu").photons
    parts = simulate(panels, "cpu").panels
    joined = np.block([[parts[0], parts[1]], [parts[2], parts[3]]])
    np.testing.assert_allclose(joined, whole, atol=1e-6 * whole.max())


@pytest.mark.parametrize("words", ["-water 0.1", "-mode c -water 0.1 -osc 1 -phisteps 2 -oversample 2"])
def test_the_oracle_has_the_same(words: str) -> None:
    miss = experiment(f"{words} -default_F 100 -spot_scale 0")
    expected = oracle.render(miss, Path())
    assert_matches(simulate(miss, "cpu").photons, expected, np.abs(expected).max())


def test_neither_cell_nor_f_are_needed() -> None:
    whole = experiment("-water 0.1 -default_F 100 -spot_scale 0")
    bare = changed(whole, crystal={"cell": None, "cells": (1, 1, 1)}, structure_factors={"default_f": 0.0})
    with_lattices = changed(bare, crystal={"lattices": [{}, {"cell": (20, 20, 20, 90, 90, 90)}]})
    for one in (bare, with_lattices, changed(bare, mode="c")):
        alike = changed(whole, mode=one.mode)
        assert np.array_equal(simulate(one, "cpu").photons, simulate(alike, "cpu").photons)
    listed = changed(bare, structure_factors=StructureFactors.from_arrays([[1, 1, 1]], [9.0], space_group="P 1"))
    assert resolved(listed).table.is_dark


def test_no_domain_and_no_lattice_is_rendered(recwarn: pytest.WarningsRecorder) -> None:
    found = resolved(experiment("-spot_scale 0 -default_F 100 -mosaic 1 -mosaic_domains 50 -N 200 -lattice weight=3"))
    assert found.plan.crystal.domains.shape == (0, 3, 3)
    assert (found.lattices, found.spot_scale, found.has_crystal) == ((), 0.0, False)
    assert not [one for one in recwarn if issubclass(one.category, NbnumbaWarning)]


ON_A_CARD = """
import warnings
import numpy as np
from nbnumba import Experiment, simulate, simulate_many

warnings.simplefilter("ignore")
line = "-cell 70 80 90 -N 5 -pixel 4 -detpixels 8 -oversample 1 -default_F 100 "
words = "-water 0.1", "-water 0.1 -spot_scale 0", "-spot_scale 0", "-background ice 0.1 -spot_scale 0 -oversample 2"
series = [Experiment.from_args((line + more).split()) for more in words + words[:2]]
for one, of_series in zip(series, simulate_many(series, "cuda"), strict=True):
    expected, found = simulate(one, "cpu").photons, simulate(one, "cuda").photons
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    assert np.array_equal(found, of_series.photons)
    print("alike")
"""


def test_a_card_has_the_same_alone_and_among_hits() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    said = subprocess.run([sys.executable, "-c", ON_A_CARD], env=environment, capture_output=True, text=True)
    assert said.stdout.count("alike") == 6, said.stderr


def test_files_tell_of_no_crystal(tmp_path: Path) -> None:
    image = Image(resolved(experiment("-water 0.1 -spot_scale 0 -lattice weight=2")), np.zeros((40, 40), np.float32))
    assert image.description.crystals == ()
    image.save(tmp_path / "miss.expt")
    told = json.loads((tmp_path / "miss.expt").read_text())
    assert told["crystal"] == []
    (alone,) = told["experiment"]
    assert "crystal" not in alone
    assert alone["detector"] == alone["beam"] == 0
    image.save(tmp_path / "miss_0001.cbf")
    assert b"Simulated_cell" not in (tmp_path / "miss_0001.cbf").read_bytes()
    for suffix in ("mat", "xds", "csv", "refl"):
        with pytest.raises(
            UsageError, match=rf"^\S+miss\.{suffix}: tells of a crystal, and here is none .*spot_scale 0"
        ):
            image.save(tmp_path / f"miss.{suffix}")
        assert not (tmp_path / f"miss.{suffix}").exists()


def test_hits_and_misses_in_one_nxmx(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from nbnumba.formats.sinks import sink

    images = [Image(resolved(experiment(f"-default_F 9 {words}")), np.zeros((40, 40), np.float32))
              for words in ("-spot_scale 0", "-lattice weight=2", "-spot_scale 0")]  # fmt: skip
    with sink(tmp_path / "shots.nxs") as frames:
        for image in images:
            frames.write(image.frame("photons"))
    with h5py.File(tmp_path / "shots.nxs") as file:
        assert file["entry/nbnumba/crystals/frame"][()].tolist() == [1, 1]
        assert len(file["entry/nbnumba/frames/seed"]) == 3


def test_what_is_of_a_crystal_is_refused() -> None:
    miss = experiment("-default_F 100 -spot_scale 0")
    none = r"of a crystal, and with -spot_scale 0 there is none in the beam$"
    with pytest.raises(UsageError, match=f"^predictions are {none}"):
        predict(miss)
    with pytest.raises(UsageError, match=f"^a trace is {none}"):
        trace_pixel(resolved(miss), 3, 3)
    image = simulate(miss, "cpu")
    for tell in (image.a_matrix, image.hkl_map):
        with pytest.raises(UsageError, match=f"^axes and indices are {none}"):
            tell()
    assert image.resolution_map().shape == (40, 40)


def test_the_report_says_so(tmp_path: Path) -> None:
    words = "-spot_scale 0 -background water 0.1 -detpixels 16 -report r.json"
    said = subprocess.run(
        [sys.executable, "-m", "nbnumba", *words.split()], cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "Crystal    none in the beam (-spot_scale 0): background alone\n" in said.stdout
    told = json.loads((tmp_path / "r.json").read_text())["resolved"]
    assert (told["lattices"], told["spot_scale"], told["domains"]) == ([], 0.0, 0)
