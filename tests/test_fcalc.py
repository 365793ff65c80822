"""Structure factors of models against direct sums over the atoms and against cctbx."""

from __future__ import annotations

import itertools
from pathlib import Path

import gemmi
import numpy as np
import pytest
from models import K_SOL, LYSOZYME, Factors, atom_record, calculated, cryst1, direct_sum, random_structure

from nbnumba.errors import InputFileError, NbnumbaWarning, ResourceError
from nbnumba.formats.coordinates import read_model
from nbnumba.structure_factors.fcalc import of_atoms, of_solvent_mask, structure_factors_from_coordinates

CCTBX = Path(__file__).parent / "data" / "lysozyme_low_resolution.txt"


def residual(one: Factors, other: Factors) -> float:
    """R of the reflections of the other."""
    return sum(abs(one[hkl] - f) for hkl, f in other.items()) / sum(other.values())


# Atoms --------------------------------------------------------------------------------------------------------------


def assert_close(factors: np.ndarray, expected: np.ndarray) -> None:
    """Within 3e-4 of the mean F, and the first one, F(0 0 0), within 3e-5 of itself."""
    assert tuple(factors[:1]) == pytest.approx(tuple(expected[:1]), rel=3e-5)
    assert np.abs(factors - expected)[1:].max() < 3e-4 * np.abs(expected)[1:].mean()


@pytest.mark.parametrize("anisotropic", [False, True], ids=["isotropic", "anisotropic"])
@pytest.mark.parametrize("dmin", [0.9, 2.0, 3.7])
@pytest.mark.parametrize(
    ("cell", "symbol"),
    [
        pytest.param((3.1, 33.0, 28.0, 90, 90, 90), "P 21 21 21", id="3 Å"),
        pytest.param((22.0, 4.5, 31.0, 90, 97, 90), "P 1 21 1", id="4.5 Å"),
        pytest.param((5.6, 5.6, 6.0, 90, 90, 120), "P 31 2 1", id="all short"),
        pytest.param((3.3, 4.4, 5.5, 78, 96, 111), "P 1", id="oblique"),
        pytest.param((31.0, 42.0, 47.0, 90, 104, 90), "C 1 2 1", id="ordinary"),
        pytest.param((40.0, 40.0, 40.0, 90, 90, 90), "P 41 3 2", id="cubic"),
    ],
)
def test_atoms_are_those_of_a_direct_sum(cell: tuple[float, ...], symbol: str, dmin: float, anisotropic: bool) -> None:
    structure = random_structure(cell, symbol, anisotropic)
    hkl = gemmi.make_miller_array(structure.cell, gemmi.SpaceGroup("P 1"), dmin, unique=False)[::7]
    hkl = np.concatenate([np.zeros((1, 3), np.int32), hkl[:2000]])
    expected = direct_sum(structure, hkl)
    assert_close(of_atoms(structure, hkl, dmin), expected)


def test_lysozyme_is_that_of_a_direct_sum() -> None:
    structure = read_model(LYSOZYME).structure
    factors = calculated(dmin=2.2)
    hkl = np.array(list(factors))[:: len(factors) // 40]
    assert_close(np.array([factors[tuple(index)] for index in hkl.tolist()]), np.abs(direct_sum(structure, hkl)))


def test_sphere_is_whole_and_symmetric() -> None:
    factors = calculated()
    cell = gemmi.read_structure(str(LYSOZYME)).cell
    reachable = itertools.product(range(-25, 26), range(-25, 26), range(-15, 16))
    assert set(factors) == {hkl for hkl in reachable if hkl == (0, 0, 0) or cell.calculate_d(hkl) >= 4.0}
    for (h, k, l), amplitude in factors.items():
        assert factors[-h, -k, -l] == pytest.approx(amplitude, rel=1e-4, abs=0.1)
        # The fourfold screw axis.
        assert factors[-k, h, l] == pytest.approx(amplitude, rel=1e-3, abs=0.1)


# Solvent ------------------------------------------------------------------------------------------------------------


def above_12_angstrom() -> Factors:
    return {tuple(map(int, row[:3])): float(row[3]) for row in np.loadtxt(CCTBX)}


@pytest.mark.parametrize("dmin", [1.9, 6.0])
def test_low_resolution_is_that_of_cctbx(dmin: float) -> None:
    assert residual(calculated(dmin=dmin, solvent=True), above_12_angstrom()) < 0.005


def test_reflections_do_not_depend_on_the_resolution_that_they_are_calculated_to() -> None:
    fine, coarse = (calculated(dmin=dmin, solvent=True) for dmin in (1.6, 2.4))
    assert residual(fine, coarse) < 1e-4
    low = list(coarse)
    assert_close(np.array([fine[hkl] for hkl in low]), np.array([coarse[hkl] for hkl in low]))


def test_solvent_fades_as_its_b_factor_says(tmp_path: Path) -> None:
    """F of the total less F of the atoms, of an atom so faint that the solvent around it is nearly all."""
    path = tmp_path / "faint.pdb"
    path.write_text(cryst1(17, 18, 19) + atom_record(x=0.0, y=0.0, z=0.0, occupancy=0.01))
    hkl, flat, _ = structure_factors_from_coordinates(path, 2.5, True, 1.0, 0.0)
    _, faded, _ = structure_factors_from_coordinates(path, 2.5, True, 0.4, 60.0)
    _, atoms, _ = structure_factors_from_coordinates(path, 2.5, False, 0.0, 0.0)
    s_sqr = (hkl**2 / np.array([17.0, 18.0, 19.0]) ** 2).sum(axis=1)
    # All phases are 0 or 180 degrees: those of the atom 0, those of a hole in the solvent 180 where it counts.
    low = (s_sqr > 0.0) & (s_sqr < 0.04)
    expected = 0.4 * np.exp(-60.0 * s_sqr / 4.0) * (flat + atoms)
    assert (faded + atoms)[low] == pytest.approx(expected[low], rel=1e-3)
    assert faded[0] == pytest.approx(0.4 * (flat[0] - atoms[0]) + atoms[0], rel=1e-4)


def test_total_is_the_sum_of_atoms_and_faded_mask() -> None:
    structure = read_model(LYSOZYME).structure
    hkl, total, cell = structure_factors_from_coordinates(LYSOZYME, 3.0, True, 0.3, 30.0)
    s_sqr = (hkl**2 / np.array(cell[:3]) ** 2).sum(axis=1)
    mask = of_solvent_mask(structure, hkl)
    expected = of_atoms(structure, hkl, 3.0) + 0.3 * np.exp(-30.0 * s_sqr / 4.0) * mask
    assert total == pytest.approx(np.abs(expected), rel=1e-4, abs=0.01)
    # The volume between the molecules, by way of the volume of the cell.
    assert 0.2 < mask[0].real / (cell[0] * cell[1] * cell[2]) < 0.3


def test_solvent_weakens_low_resolution_and_nothing_else() -> None:
    dry, wet = calculated(dmin=1.6), calculated(dmin=1.6, solvent=True)
    low = above_12_angstrom()
    assert sum(wet[hkl] for hkl in low) < 0.7 * sum(dry[hkl] for hkl in low)
    cell = gemmi.UnitCell(79.1, 79.1, 37.9, 90, 90, 90)
    high = [hkl for hkl in dry if hkl[0] > 40 and cell.calculate_d(hkl) < 1.7]
    assert max(abs(wet[hkl] - dry[hkl]) for hkl in high) < 0.01 * np.mean([dry[hkl] for hkl in high])


# Sizes --------------------------------------------------------------------------------------------------------------


def test_too_many_reflections_are_refused_before_they_are_made() -> None:
    with pytest.raises(ResourceError, match=r"1hel\.pdb to 0\.01 Å needs a map of 6\.4e\+12 points.*-dmin"):
        calculated(dmin=0.01)


def test_a_map_of_several_cells_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    structure = random_structure((3.1, 33.0, 28.0, 90, 90, 90), "P 1", anisotropic=False)
    monkeypatch.setattr("nbnumba.structure_factors.fcalc.MOST_MAP_POINTS", 2 * 3.1 * 33.0 * 28.0)
    with pytest.raises(ResourceError, match="points, more than the limit"):
        of_atoms(structure, np.zeros((1, 3), np.int32), 3.0)


def test_the_largest_cell_to_low_resolution_is_a_small_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million points at most here; 0.6 Å would be a hundred million."""
    monkeypatch.setattr("nbnumba.structure_factors.fcalc.MOST_FINE_POINTS", 1 << 20)
    path = tmp_path / "large.pdb"
    path.write_text(cryst1(280, 290, 300) + atom_record())
    factors = calculated(path, dmin=40.0, solvent=True)
    volume = 280 * 290 * 300
    assert factors[0, 0, 0] == pytest.approx(6.0 + K_SOL * volume, rel=1e-3)
    assert factors[1, 0, 0] < 30.0


def test_only_the_forward_reflection_is_a_table_too(tmp_path: Path) -> None:
    path = tmp_path / "model.pdb"
    path.write_text(cryst1(20, 20, 20) + atom_record())
    assert calculated(path, dmin=1e4) == {(0, 0, 0): pytest.approx(6.0, rel=1e-3)}


def test_small_molecules_have_no_solvent(tmp_path: Path) -> None:
    path = tmp_path / "small.cif"
    path.write_text(
        "data_x\n_cell_length_a 7\n_cell_length_b 8\n_cell_length_c 9\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
        "_atom_site_fract_y\n_atom_site_fract_z\nO1 0.1 0.2 0.3\n"
    )
    with pytest.warns(NbnumbaWarning, match="small molecule: no bulk solvent"):
        wet = calculated(path, dmin=1.0, solvent=True)
    assert wet == calculated(path, dmin=1.0)
    assert wet[0, 0, 0] == pytest.approx(8.0, rel=1e-3)


def test_whatever_gemmi_raises_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OverflowError("in a grid\nof points")

    monkeypatch.setattr(gemmi, "transform_map_to_f_phi", fails)
    with pytest.raises(InputFileError, match=r"1hel\.pdb .*in a grid$"):
        calculated()
