"""The benchmark runs, and what it counts is so; how long anything takes is no test."""

from __future__ import annotations

import json
import operator
import os
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import campaigns, gradients, tolerance
from benchmarks.cases import LYSOZYME_CASES, LYSOZYME_HKL, SCALING_CASE, WAVELENGTHS, Case, all_cases
from benchmarks.measure import OPERATIONS, resolved_of, steps_of, with_tables
from nbnumba.comparison.programs import OWN
from nbnumba.kernels.compile import polynomials
from nbnumba.kernels.cpu import tables
from nbnumba.kernels.equations import lattice_factor
from nbnumba.kernels.equations.vectors import dot
from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / LYSOZYME_HKL).write_text("1 2 3 10\n-1 -2 -3 20\n")
    return folder


@pytest.mark.parametrize("case", LYSOZYME_CASES, ids=lambda case: case.name)
def test_case_resolves_to_lysozyme_and_quick_to_a_band_of_it(case: Case, inputs: Path) -> None:
    whole, band = (resolved_of(case.options(quick), inputs) for quick in (False, True))
    _, _, cell = structure_factors_from_coordinates(ROOT / "nbnumba" / "data" / "1hel.pdb", 20.0, False, 0.0, 0.0)
    assert whole.experiment.crystal.cell == pytest.approx(cell)
    assert steps_of(band) == pytest.approx(steps_of(whole) / case.quick_share, rel=0.02)


def test_steps_are_pixels_times_all_samples(inputs: Path) -> None:
    assert steps_of(resolved_of(all_cases()[SCALING_CASE].args, inputs)) == 512**2 * 20 * 10


def test_a_table_for_each_wavelength_is_what_its_source_takes(inputs: Path) -> None:
    one = resolved_of(WAVELENGTHS.args, inputs)
    each = with_tables(one, 100)
    assert each.plan.sources.channel.tolist() == list(range(100))
    np.testing.assert_allclose(each.plan.factors.table[99], 1.01 * one.plan.factors.table[0])
    np.testing.assert_array_equal(with_tables(one, 1).plan.sources.channel, one.plan.sources.channel)


@pytest.mark.slow
def test_a_quick_run_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NB_C_BIN", raising=False)
    assert command.main(["-quick", "-rounds", "1", "-only", "still", "-out", str(tmp_path)]) == 0
    (case,) = json.loads((tmp_path / "results.json").read_text())["cases"]
    assert case["name"] == "still"
    assert set(case["ns_per_step"]) == {"double", "mixed"}
    assert (tmp_path / "results.md").read_text() == capsys.readouterr().out
    assert (tmp_path / "results.png").stat().st_size > 0


@pytest.mark.slow
def test_the_benchmark_of_campaigns_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "SIDE", 64)
    monkeypatch.setattr(campaigns, "FRAMES", 2)
    figures = {figure.name: figure.value for figure in campaigns.measure_campaigns(tmp_path, 1)}
    assert len(figures) == 11
    assert min(figures.values()) > 0.0


@pytest.mark.slow
def test_the_benchmark_of_derivatives_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = "still, oversample 3"
    monkeypatch.setattr(gradients, "CASES", {case: gradients.CASES[case].replace("384", "32")})
    costs = gradients.measure_gradients(1)
    assert [(cost.case, cost.precision) for cost in costs] == [(case, "double"), (case, "mixed")]
    assert all(cost.step_ns > 0.0 and min(cost.ratios.values()) > 0.0 for cost in costs)


SMALL = Case("small", "", tuple("-cell 70 80 90 -default_F 100 -detpixels 24 -pixel 1 -N 5 -nopolar".split()))


@pytest.mark.slow
def test_the_benchmark_of_tolerances_runs(inputs: Path) -> None:
    savings = tolerance.measured(SMALL, inputs, 1, quick=False)
    assert [one.tolerance for one in savings] == list(tolerance.TOLERANCES)
    assert all(one.ratio > 0.0 and one.step_ns > 0.0 for one in savings)
    # A float64 has 10⁻¹¹ of 10⁵ photons.
    assert all(one.error <= one.tolerance + 1e-9 for one in savings)
    head, rows = tolerance.table_of(savings)
    assert [len(row) for row in rows] == [len(head)]


@pytest.mark.parametrize("name", tolerance.XFEL_CASES)
def test_factors_of_a_large_cell_have_wilsons_statistics(name: str, inputs: Path) -> None:
    factors = tolerance.resolved_of(tolerance.XFEL_CASES[name], inputs, quick=True).plan.factors
    assert factors.first == (-75, -75, -75)
    assert factors.table.shape == (1, 151, 151, 151)
    near, far = factors.table[0, 70:81, 70:81, 70:81], factors.table[0, 75, 75, 75 + 50]
    assert np.mean(near**2) == pytest.approx(500**2, rel=0.1)
    assert np.mean(near**4) == pytest.approx(2 * 500**4, rel=0.25)
    assert 0.0 < far < 500 * 5 * np.exp(-20 * (50 / 117 / 2) ** 2)
    assert factors.table[0, 0, 0, 0] == 0.0


SIMULATED = """
import sys
from benchmarks import gpu as benchmark
from benchmarks.cases import Case
from benchmarks.stills import Stills
from nbnumba.render.cuda import cards as gpu

small = "-cell 70 80 90 -default_F 100 -detpixels 6 -pixel 1 -oversample 1 -N 5".split()
gpu.cards = lambda: iter([gpu.Card(0, "simulated", (9, 0), 1, 1)])
benchmark.ROW, benchmark.COUNTED_PIXELS, benchmark.MEANS = 4, 8, (1.0,)
benchmark.stills.CASES = (Stills(6, 1, 1, 1),)
benchmark.MANY = benchmark.SPECTRA = Case("small", "", tuple(small), plain=True)
sys.exit(benchmark.main(["-only", "small", "-rounds", "1", "-images", "2", "-out", sys.argv[1]]))
"""


def test_the_benchmark_of_gpus_runs(tmp_path: Path) -> None:
    """In the simulator, with ourselves as the rival: the figures mean nothing, but are there."""
    rival = shlex.join([*OWN, "-mode", "c"])
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NB_CUDA_BIN": rival}
    subprocess.run([sys.executable, "-c", SIMULATED, str(tmp_path)], cwd=ROOT, env=environment, check=True)
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert [(k["precision"], k["arithmetic"]) for k in figures["kernels"]] == [("double", "DOUBLE"), ("mixed", "BITS")]
    (command,) = figures["commands"]
    assert set(command["seconds"]) == {"double", "mixed", "rival"}
    assert all(0.0 <= command["worst"][precision] <= 1.0 for precision in OPERATIONS)
    assert all(value > 0.0 for value in figures["images_per_second"].values())
    assert figures["counted_per_second"].keys() == {"1"}
    ((case, stills),) = figures["stills_per_second"].items()
    assert case == "6², 1 wavelengths x 1 domains"
    assert all(value > 0.0 for value in stills.values())
    assert "| small | mixed     | BITS " in (tmp_path / "gpu.md").read_text()


# The operations of a step ----------------------------------------------------------------------------------------


class Counted:
    """Stands for a number and counts what is done with it."""

    def __init__(self, tally: Counter[str], kind: str) -> None:
        self.tally, self.kind = tally, kind

    def _counted(self, *_: object) -> Counted:
        self.tally[self.kind] += 1
        return self

    def _compared(self, _: object) -> bool:
        self._counted()
        return False  # so that min and max keep what is counted

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = rint = _counted
    __abs__ = _counted
    __lt__ = __gt__ = _compared


@pytest.mark.parametrize("precision", OPERATIONS)
def test_operations_of_a_step_are_those_of_the_equations(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tally: Counter[str] = Counter()
    x = Counted(tally, "float64")

    def float32(value: object) -> object:
        return Counted(tally, "float32") if isinstance(value, Counted) else value

    numbers = SimpleNamespace(rint=Counted.rint, float32=float32, uint32=lambda index: index)
    for module in (lattice_factor, tables, polynomials):
        monkeypatch.setattr(module, "np", numbers)
    for _ in "hkl":
        operator.sub(dot((x, x, x), (x, x, x)), x.rint())
    if precision == "double":
        latt_sqr = lattice_factor.square_sqr(SimpleNamespace(cells=(36, 47, 29)), x, x, x)
    else:
        (dh, mh), (dk, mk), (dl, ml) = (lattice_factor.single_phases(cells, x) for cells in (36, 47, 29))
        latt_sqr = lattice_factor.square_sqr_single(dh, dk, dl, mh, mk, ml)
    small = SimpleNamespace(strides=(81.0, 9.0, 1.0))
    _ = x + tables.nearest_place(small, 0.0, x, x, x) * latt_sqr
    assert (tally["float64"], tally["float32"]) == OPERATIONS[precision]
