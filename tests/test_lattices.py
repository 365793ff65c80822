"""Several lattices in one image: each is a crystal of its own, and what they scatter adds up."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from agreement import assert_matches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbnumba import (
    Crystal,
    Experiment,
    FurtherLattice,
    InputFileError,
    NbnumbaError,
    StructureFactors,
    UsageError,
    changed,
    simulate,
    simulate_many,
)
from nbnumba.comparison.trace import trace_pixel
from nbnumba.render.job import render, start
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.testing.strategies import experiments, grid

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

LINE = "-cell 70 80 90 75 85 95 -misset 5 6 7 -default_F 100 -N 5 -lambda 1 -pixel 1 -detpixels 40 -oversample 2"
MATRIX = "0.0142 0.0013 -0.0021\n0.0009 0.0121 0.0007\n-0.0011 0.0003 0.0112\n"
A = ((0.0142, 0.0013, -0.0021), (0.0009, 0.0121, 0.0007), (-0.0011, 0.0003, 0.0112))


def experiment(words: str) -> Experiment:
    return Experiment.from_args(f"{LINE} {words}".split())


def resolved(one: Experiment) -> Resolved:
    return resolve(one, read_inputs(one))


def photons(one: Experiment, backend: Any = "cpu") -> Any:
    return simulate(one, backend).photons.astype(float)


def dark(one: Experiment) -> Experiment:
    """Without the background."""
    return changed(one, background={"water_um": 0.0})


def summed(images: list[Any], found: Any) -> None:
    np.testing.assert_allclose(found, sum(images), atol=1e-6 * found.max(), rtol=0)


# What a further lattice says, and the same as the crystal of an experiment of its own.
ALONE: dict[str, dict[str, Any]] = {
    "misset=40,-20,10": {"misset_deg": (40, -20, 10)},
    "misset=40,-20,10 cells=3,4,7": {"misset_deg": (40, -20, 10), "cells": (3, 4, 7)},
    "misset=1,2,3 mosaic=2 domains=3": {"misset_deg": (1, 2, 3), "mosaic_spread_deg": 2, "mosaic_domains": 3},
    "mosaic=2 domains=3 seed=8": {"mosaic_spread_deg": 2, "mosaic_domains": 3, "mosaic_seed": 8},
    "cells=8,8,9": {"cells": (8, 8, 9)},
    "cell=50,60,65,80,90,100 misset=1,2,3": {"cell": (50, 60, 65, 80, 90, 100), "misset_deg": (1, 2, 3)},
}


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("words", ALONE)
def test_two_lattices_are_the_sum_of_the_two(words: str, mode: str, backend: Any) -> None:
    own = experiment(f"-mode {mode} -water 0.1 -phi 1 -osc 1 -phisteps 2 -mosaic 0.5 -mosaic_domains 2")
    both = changed(own, crystal={"lattices": experiment(f"-lattice {words} weight=0.75").crystal.lattices})
    other = changed(dark(own), crystal=ALONE[words])
    images = [photons(own, backend), 0.75 * photons(other, backend)]
    assert images[1].max() > 0.1 * (images[0] - photons(changed(own, structure_factors={"default_f": 1e-9}))).max()
    summed(images, photons(both, backend))


@pytest.mark.parametrize("crystal", ["-mat A.mat", "-cell 70 80 90 -mat A.mat", "-cell 70 80 90"])
@pytest.mark.parametrize(
    "further",
    [
        "mat=B.mat",
        "mat=B.mat misset=3,4,5",
        "misset=3,4,5",
        "cell=60,85,95,75,85,95",
        "mat=B.mat cell=60,70,90,90,90,90",
    ],
)
def test_a_matrix_stands_as_it_does_for_the_crystal(
    crystal: str, further: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("A.mat").write_text(MATRIX)
    Path("B.mat").write_text(MATRIX.replace("0.0142", "0.0162"))
    line = f"-default_F 100 -N 6 -lambda 1 -detpixels 20 -pixel 2 -oversample 1 -misset 1 2 3 {crystal}"
    both = Experiment.from_args(f"{line} -lattice {further}".split())
    said: dict[str, Any] = {"misset_deg": (3, 4, 5)} if "misset" in further else {}
    if "mat=" in further:
        said = {"matrix_file": "B.mat", "misset_deg": (0, 0, 0)} | said
    cell = tuple(map(float, further.partition("cell=")[2].split(","))) if "cell" in further else None
    if cell:
        said["cell"] = cell
    own = changed(both, crystal={"lattices": None})
    summed([photons(own), photons(changed(own, crystal=said))], photons(both))
    if "mat=" in further:
        held = tuple(tuple(row) for row in (np.array(A) + np.diag([0.002, 0, 0])).tolist())
        misset = said["misset_deg"] if "misset" in further else None
        in_memory = FurtherLattice(misset_deg=misset, a_matrix=held, cell=cell)
        np.testing.assert_allclose(photons(changed(both, crystal={"lattices": [in_memory]})), photons(both), rtol=1e-5)


def test_a_weight_is_linear_and_counts_no_background() -> None:
    own = experiment("-water 0.1")
    images = {w: photons(experiment(f"-water 0.1 -lattice misset=40,50,60 weight={w}")) for w in ("0", "1", "2.5")}
    assert np.array_equal(images["0"], photons(own))
    added = images["1"] - images["0"]
    assert added.max() > 0.1 * images["0"].max()
    np.testing.assert_allclose(images["2.5"] - images["0"], 2.5 * added, atol=1e-6 * images["2.5"].max(), rtol=0)


def test_three_lattices_each_with_its_own_steps() -> None:
    words = ["misset=10,20,30 mosaic=1 domains=3", "misset=-50,20,30 cells=4,4,9"]
    together = photons(experiment(" ".join(f"-lattice {word}" for word in words)))
    own = photons(experiment(""))
    others = [photons(experiment(f"-lattice {word}")) - own for word in words]
    summed([own, *others], together)


def test_each_lattice_is_interpolated_by_its_own_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one beside a large one: F between reflections are its own alone."""
    monkeypatch.chdir(tmp_path)
    hkl = np.argwhere(np.ones((13, 13, 13))) - 6
    np.savetxt("P1.hkl", np.column_stack([hkl, np.random.default_rng(1).uniform(10, 200, len(hkl))]), fmt="%d %d %d %g")
    line = "-hkl P1.hkl -cell 20 22 24 -lambda 1 -detpixels 24 -pixel 2 -distance 100 -oversample 1 -misset 5 6 7"
    both = Experiment.from_args(f"{line} -N 6 -lattice misset=40,1,2 cells=2,2,2".split())
    found = resolved(both)
    assert (found.plan.factors.interpolate, found.lattices[0].plans[0].factors.interpolate) == (0, 1)
    own = changed(both, crystal={"lattices": None})
    summed([photons(own), photons(changed(own, crystal={"misset_deg": (40, 1, 2), "cells": (2, 2, 2)}))], photons(both))


def test_a_matrix_is_whole_beside_the_cell_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("A.mat").write_text(MATRIX)
    cube = (30, 30, 30, 90, 90, 90)
    factors = StructureFactors.from_arrays([[1, 0, 0], [2, 1, 1]], [10.0, 20.0], space_group="P 1", cell=cube)
    line = "-N 5 -lambda 1 -detpixels 8 -pixel 5 -oversample 1"
    one = changed(Experiment.from_args([*line.split(), "-lattice", "mat=A.mat"]), structure_factors=factors)
    alone = changed(Experiment.from_args([*line.split(), "-mat", "A.mat"]), structure_factors=factors)
    assert resolved(one).lattice.cell == pytest.approx(cube)
    assert resolved(one).lattices[0].lattice.cell == pytest.approx(resolved(alone).lattice.cell)


def test_f_between_reflections_reach_as_far_as_the_smallest_cell_asks(tmp_path: Path) -> None:
    """Whichever lattice has it: F of coordinates are calculated once for all."""
    path = tmp_path / "atoms.pdb"
    path.write_text(
        "CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1           1\n"
        "ATOM      1  C   GLY A   1       1.000   2.000   3.000  1.00 20.00           C\n"
    )
    line = f"-pdb {path} -N 2 -lambda 2 -detpixels 16 -pixel 4 -distance 100 -oversample 1"
    small = "20,20,20,90,90,90"
    tables = [
        resolved(Experiment.from_args(f"{line} {words}".split())).table.values.shape
        for words in ("", f"-lattice cell={small}", f"-cell {small.replace(',', ' ')} -lattice cell=40,40,40,90,90,90")
    ]
    assert tables[0] < tables[1] == tables[2]


def test_the_finest_lattice_decides_on_sub_pixels() -> None:
    line = LINE.replace(" -oversample 2", "")
    coarse = resolved(Experiment.from_args(line.split()))
    found = resolved(Experiment.from_args(f"{line} -lattice cells=9,9,9 -lattice cells=2,9,9".split()))
    finest = resolved(Experiment.from_args(f"{line} -N 9".split()))
    assert found.plan.oversample == finest.plan.oversample > coarse.plan.oversample
    assert {plan.oversample for one in found.lattices for plan in one.plans} == {found.plan.oversample}


def test_blocks_of_a_lattice_are_of_its_own_cells() -> None:
    found = resolved(experiment("-crystal_mm 0.05 -lattice cells=10,10,10 weight=0.5"))
    (other,) = found.lattices
    assert other.spot_scale == pytest.approx(found.spot_scale / 8.0)
    assert other.weight == 0.5
    summed_scale = resolved(experiment("-spot_scale 3 -lattice weight=0.5"))
    assert summed_scale.lattices[0].plans[0].photons_per_sample == 0.5 * summed_scale.plan.photons_per_sample


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    one=experiments("spec"),
    misset=st.tuples(*[grid(-180, 180)] * 3),
    weight=grid(0.1, 3),
    cells=st.none() | st.tuples(*[st.integers(3, 9)] * 3),
)
def test_any_two_lattices_are_the_oracles_images_added(one: Experiment, misset: Any, weight: float, cells: Any) -> None:
    # Two cells or fewer in the one would decide on interpolation in the other.
    one = changed(one, structure_factors={"interpolate": False}, sampling={"oversample": 1})
    counted = {"cells": cells, "size_mm": (None, None, None)} if cells else {}
    other = changed(dark(one), crystal={"misset_deg": misset, **counted})
    both = changed(one, crystal={"lattices": [FurtherLattice(weight, misset, cells=cells)]})
    expected = oracle.render(one, Path()) + weight * oracle.render(other, Path())
    for backend in ("cpu", "reference"):
        assert_matches(render(resolved(both), backend).photons, expected, np.abs(expected).max())  # type: ignore[arg-type]


def test_panels_and_series() -> None:
    from test_panels import cut

    whole = experiment("-lattice misset=40,50,60 -water 0.1")
    image, panels = simulate(whole, "cpu"), simulate(cut(whole, [17], [11]), "cpu")
    parts = panels.panels
    joined = np.block([[parts[0], parts[1]], [parts[2], parts[3]]])
    np.testing.assert_allclose(joined, image.photons, atol=1e-6 * image.photons.max())
    others = [experiment("-lattice misset=1,2,3"), experiment(""), whole]
    for found, one in zip(simulate_many(others, "cpu"), others, strict=True):
        assert np.array_equal(found.photons, simulate(one, "cpu").photons)


ON_A_CARD = """
import warnings
import numpy as np
from nbnumba import Experiment, simulate, simulate_many

warnings.simplefilter("ignore")
line = "-cell 70 80 90 -default_F 100 -N 5 -pixel 4 -detpixels 8 -oversample 1 -water 0.1 -spot_scale 3 "
lattices = "", "-lattice misset=4,50,6 weight=0.5 mosaic=1 domains=3", "-lattice cells=6,6,7", "-misset 1 2 3"
series = [Experiment.from_args((line + f"-mode {mode} " + more).split()) for mode in ("spec", "c") for more in lattices]
for one, of_series in zip(series, simulate_many(series, "cuda"), strict=True):
    expected, found = simulate(one, "cpu").photons, simulate(one, "cuda").photons
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    assert np.array_equal(found, of_series.photons)
    print("alike")
"""


def test_a_card_adds_lattices_alone_and_in_a_series() -> None:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    said = subprocess.run([sys.executable, "-c", ON_A_CARD], env=environment, capture_output=True, text=True)
    assert said.stdout.count("alike") == 8, said.stderr


def test_a_job_counts_every_lattice_once() -> None:
    one = resolved(experiment("-lattice misset=40,50,60 -lattice misset=4,5,6"))
    job = start(one, "reference")
    job.wait()
    assert (job.pixels, job.pixels_done, job.progress) == (1600, 1600, 1.0)
    partial = job.partial()
    assert partial.finished.all()
    assert np.array_equal(partial.photons, job.result().photons)


def test_a_pixel_is_finished_when_all_lattices_are() -> None:
    one = resolved(experiment("-lattice misset=40,50,60"))
    job = start(one, "reference")
    job.wait()
    whole = job.result().photons
    job._canvases[1].done[10:] = 0
    partial = job.partial()
    assert partial.finished[:10].all()
    assert not partial.finished[10:].any()
    assert np.array_equal(partial.photons[:10], whole[:10])
    assert not partial.photons[10:].any()
    assert job.progress == pytest.approx((1600 + 400) / 3200)


def test_round_trips() -> None:
    words = (
        "-lattice misset=1,-2.5,3 weight=0.25 cells=10,10,12 mosaic=0.2 domains=20 seed=5 "
        "-lattice mat=B.mat -lattice weight=1 -lattice misset=0,0,0 -lattice cell=70,80.5,90,75,85,95"
    )
    one = experiment(words)
    assert one.crystal.lattices == (
        FurtherLattice(0.25, (1, -2.5, 3), None, None, (10, 10, 12), 0.2, 20, 5),
        FurtherLattice(matrix_file="B.mat"),
        FurtherLattice(),
        FurtherLattice(misset_deg=(0, 0, 0)),
        FurtherLattice(cell=(70, 80.5, 90, 75, 85, 95)),
    )
    assert Experiment.from_args(one.to_args()) == one
    held = changed(one, crystal={"lattices": [*(one.crystal.lattices or ()), {"a_matrix": A, "weight": 2}]})
    assert Experiment.from_dict(held.to_dict()) == held
    assert Experiment.from_toml(held.to_toml()) == held
    assert held.to_toml().count("[[crystal.lattices]]") == 6
    with pytest.raises(UsageError, match=r"^crystal\.lattices: no option says"):
        held.to_args()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", r"^-lattice needs 1 to 8 values"),
        ("weight=-1", r"^-lattice 'weight=-1': weight= is not a finite number, 0 or more$"),
        ("weight=nan", r"^-lattice 'weight=nan': weight= is not a finite number"),
        ("weight=1e-70", r"^crystal\.lattices\[0\]\.weight 1e-70: must be 0 or at least 1e-60$"),
        ("weight=1e70", r"^-lattice 1e\+70: give a number of at most 1e\+60$"),
        ("wieght=1", r"^-lattice 'wieght=1': give misset=, mat=, weight=, .* or cell= and what it is$"),
        ("0.5", r"^-lattice '0.5': give misset="),
        ("misset=1,2", r"^-lattice 'misset=1,2': misset= needs three numbers with commas between them$"),
        ("misset=1,2,x", r"^-lattice 'misset=1,2,x': misset= is not three times a finite number in degrees$"),
        ("cells=1,2,2.5", r"^-lattice 'cells=1,2,2.5': cells= is not three times a whole number$"),
        ("domains=0", r"^-lattice 'domains=0': domains= is not a whole number, 1 or more$"),
        ("domains=1e8", r"^crystal\.lattices\[0\]\.mosaic_domains 100000000: must be at most 10000000$"),
        ("mosaic=1e9 domains=2", r"^crystal\.lattices\[0\]\.mosaic_spread_deg 1000000000: must be at most 1e\+06 deg"),
        ("weight=1 weight=2", r"^-lattice 'weight=2': weight= was given before$"),
        ("cell=70,80,90", r"^-lattice 'cell=70,80,90': cell= needs six numbers with commas between them$"),
        ("cell=70,80,90,90,90,-1", r"^crystal\.lattices\[0\]\.cell 70 80 90 90 90 -1: the angles must lie between"),
        ("cell=0,80,90,90,90,90", r"^crystal\.lattices\[0\]\.cell 0 80 90 90 90 90: the edges must be above 0 Å$"),
        (
            "cell=70,80,90,90,90,x",
            r"^-lattice 'cell=70,80,90,90,90,x': cell= is not six times a finite number in Å$",
        ),
        ("mat=", r"^-lattice 'mat=': mat= is not a file name$"),
        ("mat=nowhere.mat", r"nowhere\.mat"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, message: str) -> None:
    with pytest.raises(NbnumbaError, match=message):
        resolved(experiment(f"-lattice {words}"))


@pytest.mark.parametrize(
    ("lattices", "message"),
    [
        ([], r"^crystal\.lattices is empty: give a lattice, or leave it out$"),
        ([{}, {"weight": -1.0}], r"^crystal\.lattices\[1\]\.weight -1: must be 0 or more$"),
        ([{"wieght": 1}], r"^crystal\.lattices\.wieght is not a field of FurtherLattice; did you mean"),
        ([{"misset_deg": (1, 2)}], r"^crystal\.lattices\.misset_deg: .* is not 3 numbers$"),
        ([{"a_matrix": A, "matrix_file": "A.mat"}], r"^crystal\.lattices\[0\]\.matrix_file and .*: give one of them$"),
        ([{"a_matrix": ((1, 0, 0), (1, 0, 0), (0, 0, 1))}], r"^crystal\.lattices\[0\]\.a_matrix is singular"),
        ([{"weight": math.nan}], r"^-lattice nan: give a finite number$"),
        (3, r"^crystal\.lattices: 3 is not a list of FurtherLattices$"),
    ],
)
def test_what_makes_no_sense_in_python_is_refused(
    lattices: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "A.mat").write_text(MATRIX)

    def set_up() -> None:
        resolved(changed(experiment(""), crystal={"lattices": lattices}))

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        set_up()


def test_a_file_that_is_no_matrix_is_named(tmp_path: Path) -> None:
    path = tmp_path / "B.mat"
    path.write_text("1 2 3\n4 5\n")
    with pytest.raises(InputFileError, match=r"B\.mat"):
        resolved(experiment(f"-lattice mat={path}"))


def test_a_trace_is_of_one_lattice() -> None:
    with pytest.raises(UsageError, match=r"^a trace is of one lattice, and here are 2: leave out -lattice$"):
        trace_pixel(resolved(experiment("-lattice weight=1")), 3, 3)


def test_the_report_has_every_lattice(tmp_path: Path) -> None:
    words = "-lattice misset=10,20,30 weight=0.5 cells=6,6,7 mosaic=0.5 domains=3 -crystal_mm 0.01 -report r.json"
    said = subprocess.run(
        [sys.executable, "-m", "nbnumba", *f"{LINE} {words}".split()], cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "Lattices   weight 0.5, 6 x 6 x 7 unit cells, 3 mosaic domains within 0.5 degrees" in said.stdout
    own, other = json.loads((tmp_path / "r.json").read_text())["resolved"]["lattices"]
    assert (own["weight"], own["cells"], own["mosaic_domains"]) == (1.0, [5, 5, 5], 1)
    assert (other["weight"], other["cells"], other["mosaic_spread_deg"]) == (0.5, [6, 6, 7], 0.5)
    assert other["misset_deg"] == pytest.approx([10, 20, 30])
    by_matrix = Crystal(a_matrix=other["a_matrix"])
    alone = resolved(changed(experiment(""), crystal=by_matrix)).lattice
    assert alone.cell == pytest.approx(other["cell"])
    turned = resolved(experiment("-misset 10 20 30")).lattice
    np.testing.assert_allclose(alone.a_star, turned.a_star, atol=1e-12)
    np.testing.assert_allclose(alone.c_star, turned.c_star, atol=1e-12)


def test_a_matrix_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "B.mat").write_text(MATRIX)
    words = [*LINE.split(), "-lattice", "mat=B.mat", "-floatfile", "B.mat"]
    said = subprocess.run([sys.executable, "-m", "nbnumba", *words], cwd=tmp_path, capture_output=True, text=True)
    assert "-floatfile B.mat would be written over a file that the run reads" in said.stderr
    assert (tmp_path / "B.mat").read_text() == MATRIX


def test_trace_pixel_is_refused_before_the_work(tmp_path: Path) -> None:
    words = [*LINE.split(), "-lattice", "weight=1", "-trace_pixel", "3", "3"]
    said = subprocess.run([sys.executable, "-m", "nbnumba", *words], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode != 0
    assert said.stderr.strip().endswith("-trace_pixel: a trace is of one lattice, and here are 2: leave out -lattice")
    assert not list(tmp_path.iterdir())
