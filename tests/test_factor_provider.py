"""F are made once, and anew when something changes that decides them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaWarning, changed, simulate_many
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.structure_factors.keeping import MOST_KEPT, MOST_KEPT_BYTES, TICK_NS, kept_while_same
from nbnumba.structure_factors.provider import Scaling, listed_factors, model_factors, model_of, reflections_in
from nbnumba.structure_factors.table import FactorTable

pytestmark = pytest.mark.filterwarnings("ignore:-oversample .* is coarse")
ATOM = "ATOM      1  C   GLY A   1       5.000   5.000   5.000  1.00 {:5.2f}           C\n"
CRYST = "CRYST1{:9.3f}   30.000   40.000  90.00  90.00  90.00 P 1           1\n"
STILL = Experiment.from_args(["-N", "5", "-detpixels", "8", "-pixel", "8", "-oversample", "1", "-nosolvent"])


def model(path: Path, a: float = 20.0, b_factor: float = 5.0) -> str:
    return put(path, CRYST.format(a) + ATOM.format(b_factor) + "END\n")


def put(path: Path, text: str) -> str:
    """A file as one finds it: written some time ago."""
    path.write_text(text)
    settle(path)
    return str(path)


def settle(path: Path) -> None:
    while time.time_ns() - os.stat(path).st_ctime_ns <= TICK_NS:
        time.sleep(0.02)


@pytest.fixture
def calculations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every calculation from coordinates, by its arguments."""
    from nbnumba.structure_factors import fcalc

    made: list[Any] = []
    calculate = fcalc.complex_factors

    def counted(*args: Any) -> Any:
        made.append(args)
        return calculate(*args)

    monkeypatch.setattr(fcalc, "complex_factors", counted)
    return made


def listed(path: Path) -> FactorTable:
    return listed_factors(reflections_in(str(path), "any", None, None), 0.0, Scaling())


def test_a_series_calculates_once_what_its_frames_share(tmp_path: Path, calculations: list[Any]) -> None:
    still = changed(STILL, structure_factors={"coordinate_file": model(tmp_path / "m.pdb")})
    turned = [changed(still, scan={"phi_deg": float(phi)}) for phi in range(4)]
    tables = [image.resolved.table for image in simulate_many(turned)]
    assert len(calculations) == 1
    assert all(table is tables[0] for table in tables)
    farther = changed(still, detector={"distance_mm": 120.0})
    assert [image.resolved.table is tables[0] for image in simulate_many([still, farther])] == [True, False]
    assert len(calculations) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"dmin": 3.0},
        {"solvent": True},
        {"k_sol": 0.4},
        {"b_sol": 50.0},
        {"f": 7.0},
        {"scaling": Scaling(2.0)},
        {"scaling": Scaling(1.0, 20.0, (20.0, 30.0, 40.0, 90.0, 90.0, 90.0))},
    ],
)
def test_whatever_decides_f_makes_them_anew(other: dict[str, Any], tmp_path: Path) -> None:
    found = model_of(model(tmp_path / "m.pdb"), None)
    usual = {"dmin": 2.5, "solvent": other.get("k_sol") or other.get("b_sol"), "k_sol": 0.35, "b_sol": 46.0, "f": 0.0}
    usual["scaling"] = Scaling()
    before = model_factors(found, *usual.values())
    assert model_factors(found, *usual.values()) is before
    after = model_factors(found, *(usual | other).values())
    assert after.values.shape != before.values.shape or (after.values != before.values).any()


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    """Whether its size changes or not, and also where its time stamp is set back."""
    path = tmp_path / "P1.hkl"
    put(path, "1 0 0 10\n")
    first = listed(path)
    assert listed(path) is first
    stamp = os.stat(path)
    path.write_text("1 0 0 20\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert listed(path).values.max() == 20.0
    path.write_text("1 0 0 30\n")
    assert listed(path).values.max() == 30.0


def test_a_file_that_changes_between_frames_counts_for_the_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "P1.hkl"
    put(path, "0 0 0 10\n1 0 0 10\n")
    still = changed(STILL, structure_factors={"hkl_file": str(path)}, crystal={"cell": (20.0, 20.0, 20.0, 90, 90, 90)})
    frames = simulate_many([still] * 3)
    first, second = next(frames), next(frames)
    path.write_text("0 0 0 20\n1 0 0 20\n")
    third = next(frames)
    np.testing.assert_array_equal(first.photons, second.photons)
    np.testing.assert_allclose(third.photons, 4.0 * first.photons, rtol=1e-6)


def test_the_cell_of_a_model_is_that_of_its_file_now(tmp_path: Path) -> None:
    path = tmp_path / "m.pdb"
    found = model_of(model(path), None)
    assert found.cell[0] == 20.0
    assert model_of(str(path), None) is found
    assert model_of(model(path, a=25.0), None).cell[0] == 25.0


def test_crystals_that_take_turns_are_calculated_once_each(tmp_path: Path, calculations: list[Any]) -> None:
    crystals = [
        changed(STILL, structure_factors={"coordinate_file": model(tmp_path / f"{number}.pdb", b_factor=5.0 + number)})
        for number in range(MOST_KEPT)
    ]
    tables = [image.resolved.table for image in simulate_many(crystals * 3)]
    assert len(calculations) == len({id(table) for table in tables}) == MOST_KEPT


@pytest.mark.parametrize("interpolated", [True, False])
def test_orientations_and_small_shifts_of_the_detector_share_f(
    interpolated: bool, tmp_path: Path, calculations: list[Any]
) -> None:
    """Edges of a turned cell differ in their last bits, and a detector's distance is refined."""
    factors = {"coordinate_file": model(tmp_path / "m.pdb"), "interpolate": interpolated}
    still = changed(STILL, structure_factors=factors, crystal={"misset_deg": "random"})
    frames = [
        changed(still, crystal={"misset_seed": seed}, detector={"distance_mm": 100.0 + 0.001 * seed})
        for seed in range(10)
    ]
    assert len({id(image.resolved.table) for image in simulate_many(frames)}) == len(calculations) <= 2


def test_crystals_of_varied_cells_share_f(tmp_path: Path, calculations: list[Any]) -> None:
    factors = {"coordinate_file": model(tmp_path / "m.pdb")}
    frames = [
        changed(STILL, structure_factors=factors, crystal={"cell": (20 + a, 30 - a, 40 + 2 * a, 90, 90, 90)})
        for a in (0.01, 0.02, -0.05, 0.07, -0.01)
    ]
    assert len({id(image.resolved.table) for image in simulate_many(frames)}) == len(calculations) == 1


def test_coordinates_without_a_cell_stand_in_that_of_each_crystal(tmp_path: Path, calculations: list[Any]) -> None:
    path = put(tmp_path / "m.pdb", ATOM.format(5.0) + ATOM.format(5.0).replace("5.000", "9.000", 1) + "END\n")
    frames = [
        changed(STILL, structure_factors={"coordinate_file": path}, crystal={"cell": (a, 30, 40, 90, 90, 90)})
        for a in (20.0, 20.5, 20.0)
    ]
    with pytest.warns(NbnumbaWarning, match="stand, in P 1, in that of -cell"):
        first, second, third = (image.resolved.table for image in simulate_many(frames))
    assert third is first is not second
    assert len(calculations) == 2


@pytest.mark.filterwarnings("ignore:F are of a crystal with the cell")
def test_a_larger_cell_than_that_of_the_coordinates_has_f_to_the_edge(tmp_path: Path) -> None:
    """Its reflections are nearer to the beam than those of the file with the same indices."""
    factors = {"coordinate_file": model(tmp_path / "m.pdb")}
    for stretch in (1.0, 1.004, 1.0099, 1.03):
        cell = (20 * stretch, 30 * stretch, 40 * stretch, 90, 90, 90)
        still = changed(STILL, structure_factors=factors, crystal={"cell": cell}, detector={"pixel_mm": 15.0})
        found = resolve(still, read_inputs(still))
        own, reach = np.array(cell[:3]), 1.0 / found.edge_angstrom
        hkl = np.argwhere(np.ones([2 * int(edge * reach) + 3 for edge in own])) - (own * reach).astype(int) - 1
        met = hkl[np.linalg.norm(hkl / own, axis=1) <= reach]
        index = met - found.table.first
        assert np.all((index >= 0) & (index < found.table.values.shape[1:]))
        assert found.table.values[0][tuple(index.T)].min() > 0.0


def test_large_results_are_not_kept_beside_a_newer_one() -> None:
    made = []

    class Large:
        nbytes = MOST_KEPT_BYTES // 2 + 1

    @kept_while_same(lambda source: source)
    def make(source: str) -> Large:
        made.append(source)
        return Large()

    assert make("a") is make("a")
    make("b")
    make("b")
    make("a")
    assert made == ["a", "b", "a"]
