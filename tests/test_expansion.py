"""Reflections of an asymmetric unit become all of P 1: against a direct sum over every atom."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
import numpy.typing as npt
import pytest
from models import mtz_of

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, changed
from nbnumba.cli import main
from nbnumba.setup.factors import factors_without_image
from nbnumba.structure_factors.box import Box, spacings
from nbnumba.structure_factors.expansion import SHELLS, expand
from nbnumba.structure_factors.table import FactorTable

DMIN = 2.0
GROUPS = {
    "P 1": (13.1, 15.2, 17.3, 75.0, 85.0, 95.0),
    "P 1 21 1": (13.1, 15.2, 17.3, 90.0, 105.0, 90.0),
    "P 43 21 2": (20.3, 20.3, 27.1, 90.0, 90.0, 90.0),
    "C 1 2 1": (23.1, 15.2, 17.3, 90.0, 105.0, 90.0),
    "H 3": (22.3, 22.3, 30.1, 90.0, 90.0, 120.0),
    "P 61 2 2": (20.37, 20.37, 40.1, 90.0, 90.0, 120.0),
    "I 2 3": (24.7, 24.7, 24.7, 90.0, 90.0, 90.0),
}
Array = npt.NDArray[Any]


class Atoms(NamedTuple):
    """A made-up structure of which a plain sum knows everything."""

    group: gemmi.SpaceGroup
    cell: tuple[float, ...]
    x: Array
    b: Array
    f: Array
    """Complex: those with an imaginary part make mates differ."""

    def amplitudes(self, hkl: Array) -> Array:
        """|F|: every atom, every operation, one exponential each."""
        s_sqr = gemmi.UnitCell(*self.cell).calculate_1_d2_array(hkl) / 4.0
        total = np.zeros(len(hkl), complex)
        for operation in self.group.operations():
            turn, shift = np.array(operation.rot) / operation.DEN, np.array(operation.tran) / operation.DEN
            phases = np.exp(2j * np.pi * (hkl @ (self.x @ turn.T + shift).T))
            total += (self.f * np.exp(-np.outer(s_sqr, self.b)) * phases).sum(axis=1)
        return np.abs(total)

    def asymmetric_unit(self) -> Array:
        return np.asarray(gemmi.make_miller_array(gemmi.UnitCell(*self.cell), self.group, DMIN, unique=True))

    def sphere(self) -> tuple[Array, Array]:
        """All of P 1, and which of it the space group forbids."""
        hkl = gemmi.make_miller_array(gemmi.UnitCell(*self.cell), gemmi.SpaceGroup("P 1"), DMIN, unique=False)
        return hkl, np.asarray(self.group.operations().systematic_absences(hkl), bool)


def atoms(group: str, seed: int = 1) -> Atoms:
    rng = np.random.default_rng(seed)
    f = rng.uniform(6.0, 20.0, 7) + np.where(np.arange(7) < 2, -3.0 + 4.0j, 0.0)
    found = gemmi.find_spacegroup_by_name(group)
    return Atoms(found, GROUPS[group], rng.random((7, 3)), rng.uniform(5.0, 20.0, 7), f)


def written_mtz(path: Path, structure: Atoms, columns: dict[str, tuple[str, Array]], hkl: Array) -> str:
    listed = ((label, kind, values) for label, (kind, values) in columns.items())
    mtz_of(hkl, listed, structure.group, gemmi.UnitCell(*structure.cell)).write_to_file(str(path))
    return str(path)


def of(table: FactorTable, hkl: Array) -> Array:
    values = table.values
    return np.asarray(values.reshape(-1)[Box(table.first, values.shape[-3:]).places(hkl)])


@pytest.mark.parametrize("group", GROUPS)
def test_an_mtz_file_is_a_direct_sum(group: str, tmp_path: Path) -> None:
    """Both mates, every reflection of the sphere but the absent ones, through a file of float32."""
    structure = atoms(group)
    unique = structure.asymmetric_unit()
    columns = {"F(+)": ("G", structure.amplitudes(unique)), "F(-)": ("G", structure.amplitudes(-unique))}
    path = written_mtz(tmp_path / "data.mtz", structure, columns, unique)
    table = factors_without_image(Experiment.from_args(["-mtz", path]))
    hkl, absent = structure.sphere()
    provenance = table.provenance
    assert provenance is not None
    assert provenance.measured == provenance.possible == len(hkl) - absent.sum()
    direct = structure.amplitudes(hkl[~absent])
    assert np.abs(of(table, hkl[~absent]) - direct).max() <= 1e-6 * direct.mean()
    # Not everything is as in P 1 without f'': the other mate's F would be found out.
    assert np.abs(direct - structure.amplitudes(-hkl[~absent])).max() > 0.05 * direct.mean()


@pytest.mark.parametrize("group", GROUPS)
def test_the_f_of_one_mate_for_both_is_found_out(group: str) -> None:
    structure = atoms(group)
    unique = structure.asymmetric_unit()
    hkl, absent = structure.sphere()
    direct = structure.amplitudes(hkl[~absent])
    expanded = expand(unique, structure.amplitudes(unique), None, structure.group, structure.cell)
    wrong = expanded.amplitudes.ravel()[expanded.box.places(hkl[~absent])]
    assert np.abs(wrong - direct).sum() > 0.02 * direct.sum()


def test_what_a_space_group_forbids_is_dark_whatever_default_f_is(tmp_path: Path) -> None:
    structure = atoms("P 43 21 2")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    table = factors_without_image(Experiment.from_args(["-mtz", path, "-default_F", "100"]))
    hkl, absent = structure.sphere()
    assert absent.sum() > 10
    inside = np.all(np.abs(hkl) <= -np.array(table.first), axis=1)
    assert (of(table, hkl[absent & inside]) == 0.0).all()
    assert table.outside == 0.0
    beyond = spacings(Box(table.first, table.values.shape[-3:]), structure.cell) < 0.99 * DMIN
    assert beyond.any()
    assert (table.values.reshape(beyond.shape)[beyond] == 0.0).all()


def test_missing_reflections_are_default_f_and_counted_by_shell(tmp_path: Path) -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    f = structure.amplitudes(unique)
    far = gemmi.UnitCell(*structure.cell).calculate_d_array(unique) > 6.0
    f[far] = np.nan
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", f)}, unique)
    table = factors_without_image(Experiment.from_args(["-mtz", path, "-default_F", "7"]))
    provenance = table.provenance
    assert provenance is not None
    missing = provenance.possible - provenance.measured
    hkl, absent = structure.sphere()
    low = (gemmi.UnitCell(*structure.cell).calculate_d_array(hkl) > 6.0) & ~absent
    assert missing == low.sum() > 0
    assert (of(table, hkl[low]) == 7.0).all()
    first, *others = provenance.shells
    assert len(provenance.shells) == SHELLS
    assert first.possible - first.measured == missing
    assert all(shell.possible == shell.measured > 0 for shell in others)
    assert provenance.notes == (f"{missing} reflections within that resolution are missing: F = 7",)


def test_one_known_mate_stands_for_both_and_is_counted() -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    plus, minus = structure.amplitudes(unique), structure.amplitudes(-unique)
    centric = structure.group.operations().centric_flag_array(unique)
    alone = np.flatnonzero(~centric)[:5]
    minus[alone] = np.nan
    expanded = expand(unique, plus, minus, structure.group, structure.cell)
    assert expanded.one_mate == 5 * 2
    places = expanded.box.places(-unique[alone])
    np.testing.assert_allclose(expanded.amplitudes.ravel()[places], plus[alone])


def test_reflections_that_disagree_are_averaged_and_counted() -> None:
    group, cell = gemmi.SpaceGroup("P 1 2 1"), (10.0, 11.0, 12.0, 90.0, 100.0, 90.0)
    hkl = np.array([[1, 2, 3], [-1, 2, -3], [2, 0, 1]])
    expanded = expand(hkl, np.array([10.0, 20.0, 5.0]), None, group, cell)
    assert expanded.unlike == 2
    assert expanded.amplitudes.ravel()[expanded.box.places(np.array([[1, 2, 3], [-1, -2, -3]]))].tolist() == [15, 15]


def test_mates_that_are_listed_row_by_row_stay_apart() -> None:
    group, cell = gemmi.SpaceGroup("P 1"), (10.0, 11.0, 12.0, 90.0, 100.0, 90.0)
    hkl = np.array([[1, 2, 3], [-1, -2, -3], [2, 0, 1]])
    expanded = expand(hkl, np.array([10.0, 20.0, 5.0]), None, group, cell)
    found = expanded.amplitudes.ravel()[expanded.box.places(np.array([*hkl, [-2, 0, -1]]))]
    assert found.tolist() == [10.0, 20.0, 5.0, 5.0]


def test_a_list_of_an_asymmetric_unit_is_expanded_by_its_space_group(tmp_path: Path) -> None:
    structure = atoms("P 43 21 2")
    unique = structure.asymmetric_unit()
    path = tmp_path / "unique.hkl"
    np.savetxt(path, np.column_stack([unique, structure.amplitudes(unique)]), fmt="%d %d %d %.9g")
    args = ["-hkl", str(path), "-space_group", "P 43 21 2", "-cell", *map(str, structure.cell)]
    table = factors_without_image(Experiment.from_args(args))
    hkl, absent = structure.sphere()
    assert table.provenance is not None
    assert table.provenance.possible == len(hkl) - absent.sum()


@pytest.mark.filterwarnings("ignore:.*no symmetry is applied")
@pytest.mark.parametrize("options", [("-scale_F", "3"), ("-B_add", "15"), ("-scale_F", "0.5", "-B_add", "-4")])
def test_scale_and_b_factor(options: tuple[str, ...], tmp_path: Path) -> None:
    """Of a file with symmetry, of a list and of coordinates alike: F · scale · exp(−B s²)."""
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    f = structure.amplitudes(unique)
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", f)}, unique)
    listed = tmp_path / "P1.hkl"
    np.savetxt(listed, np.column_stack([unique, f]), fmt="%d %d %d %.12g")
    scale = float(dict(zip(options[::2], options[1::2], strict=True)).get("-scale_F", "1"))
    b = float(dict(zip(options[::2], options[1::2], strict=True)).get("-B_add", "0"))
    s_sqr = gemmi.UnitCell(*structure.cell).calculate_1_d2_array(unique) / 4.0
    expected = f * scale * np.exp(-b * s_sqr)
    cell = ["-cell", *map(str, structure.cell)]
    for args, precision in ((["-mtz", path], 1e-6), (["-hkl", str(listed), *cell], 1e-10)):
        table = factors_without_image(Experiment.from_args([*args, *options]))
        np.testing.assert_allclose(of(table, unique), expected, rtol=precision)


def test_b_add_and_scale_of_coordinates() -> None:
    lysozyme = Path(__file__).parent.parent / "nbnumba" / "data" / "1hel.pdb"
    plain = Experiment.from_args(["-pdb", str(lysozyme), "-dmin", "4"])
    before = factors_without_image(plain)
    after = factors_without_image(changed(plain, structure_factors={"scale_f": 2.0, "b_add": 10.0}))
    d = spacings(Box(before.first, before.values.shape[-3:]), (79.1, 79.1, 37.9, 90.0, 90.0, 90.0))
    expected = before.values.reshape(d.shape) * 2.0 * np.exp(-10.0 / (4.0 * d * d))
    np.testing.assert_allclose(after.values.reshape(d.shape), expected, rtol=1e-12)


# The command -------------------------------------------------------------------------------------------------------


def test_hkl_writes_a_list_that_is_read_as_the_same_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    structure = atoms("P 43 21 2")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    out = tmp_path / "P1.hkl"
    assert main(["hkl", path, "-o", str(out)]) == 0
    hkl, absent = structure.sphere()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{out}: {len(hkl) - absent.sum()} reflections of P 1"
    assert said[1].startswith(f"of {path}, FP: P 43 21 2, to 2")
    listed = factors_without_image(Experiment.from_args(["-hkl", str(out)]))
    expanded = factors_without_image(Experiment.from_args(["-mtz", path]))
    np.testing.assert_array_equal(of(listed, hkl[~absent]), of(expanded, hkl[~absent]))


def test_hkl_lists_what_is_dark_where_default_f_would_light_it(tmp_path: Path) -> None:
    structure = atoms("P 43 21 2")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    out = tmp_path / "P1.hkl"
    assert main(["hkl", path, "-o", str(out), "-default_F", "50"]) == 0
    rows = np.loadtxt(out)
    hkl, absent = structure.sphere()
    inside = np.all(np.abs(hkl) <= np.abs(rows[:, :3]).max(axis=0), axis=1)
    dark = {tuple(row) for row in rows[rows[:, 3] == 0.0, :3].astype(int).tolist()}
    assert {tuple(row) for row in hkl[absent & inside].tolist()} <= dark


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "x.hkl"], "no structure factors: give a file of reflections, or -pdb file and -dmin"),
        (["-pdb", "LYSOZYME", "-o", "x.hkl"], "without -dmin: say to which resolution"),
        (["ASU", "-space_group", "P 21 21 21", "-o", "x.hkl"], "has no unit cell: give -cell a b c alpha beta gamma"),
        (["ASU", "-space_group", "Q 3", "-cell", "9", "-o", "x.hkl"], "the space group 'Q 3' is not known"),
        (["ASU", "-labels", "FP", "-o", "x.hkl"], "ASU: -labels FP: only MTZ and CIF have columns by name"),
        (["LYSOZYME", "-o", "x.hkl"], "is a PDB file"),
        (["-pdb", "LYSOZYME", "-dmin", "9", "-labels", "FP", "-o", "x.hkl"], "-labels without -hkl: it is of a file"),
        (["-default_F", "9", "-space_group", "P1", "-o", "x.hkl"], "-space_group without -hkl"),
        (["ASU"], "-o LIST is needed"),
        (["ASU", "-oversample_omega"], "-o LIST is needed"),
        (["ASU", "-dmin", "3", "-o", "x.hkl"], "-dmin 3: no unit cell, by which spacings go: give -cell"),
        (["ASU", "-cell", "9", "-B_add", "-1e9", "-o", "x.hkl"], "-scale_F 1 and -B_add -1e+09 make F infinite"),
    ],
)
def test_hkl_refuses_in_a_line(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lysozyme = str(Path(__file__).parent.parent / "nbnumba" / "data" / "1hel.pdb")
    Path("ASU").write_text("1 0 0 10\n0 2 0 20\n")
    assert main(["hkl", *(lysozyme if word == "LYSOZYME" else word for word in args)]) in (2, 3)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not Path("x.hkl").exists()


def test_hkl_takes_options_that_begin_as_its_own_and_a_resolution(tmp_path: Path) -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    out = tmp_path / "P1.hkl"
    assert (
        main(["hkl", "-hkl", path, "-osc", "1", "-oversample_omega", "-o", str(out), "-dmin", "3", "-height", "1"]) == 0
    )
    hkl, absent = structure.sphere()
    wanted = gemmi.UnitCell(*structure.cell).calculate_d_array(hkl[~absent]) >= 3.0
    assert len(np.loadtxt(out)) == wanted.sum() > 0


@pytest.mark.filterwarnings("ignore:-oversample")
def test_a_crystal_that_scatters_nothing_is_told(tmp_path: Path) -> None:
    from nbnumba.setup.inputs import read_inputs
    from nbnumba.setup.resolve import resolve

    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    still = Experiment.from_args(f"-mtz {path} -N 5 -detpixels 8 -pixel 8 -oversample 1 -scale_F 0".split())
    with pytest.warns(NbnumbaWarning, match="every F is 0: the crystal scatters nothing"):
        resolve(still, read_inputs(still))


def test_a_cell_without_the_symmetry_of_its_space_group_is_told(tmp_path: Path) -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    with pytest.warns(NbnumbaWarning, match="its cell 13.1 15.2 17.3 90 105 90 has not the symmetry of P 41 21 2"):
        factors_without_image(Experiment.from_args(["-mtz", path, "-space_group", "P 41 21 2"]))


def test_hkl_does_not_write_over_what_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    before = Path(path).read_bytes()
    assert main(["hkl", path, "-o", str(tmp_path / "." / "d.mtz")]) == 2
    assert "d.mtz is an input file too: give another name" in capsys.readouterr().err
    assert Path(path).read_bytes() == before


def test_a_cache_that_cannot_say_where_f_end_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    line = ["-mtz", path, "-dump", "F.bin", "-N", "3", "-detpixels", "8", "-pixel", "8", "-oversample", "1", "-nonoise"]
    for default_f, told in (("0", False), ("5", True)):
        assert main([*line, "-default_F", default_f, "-noprogress", "-quiet"]) == 0
        assert ("F.bin does not say that F is 0 beyond" in capsys.readouterr().err) is told


def test_other_files_under_pdb_are_told_by_their_names(tmp_path: Path) -> None:
    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    with pytest.raises(InputFileError, match=r"d\.mtz: is an MTZ file, not coordinates: give it as -mtz"):
        factors_without_image(Experiment.from_args(["-pdb", path, "-dmin", "3"]))
    (tmp_path / "sf.cif").write_text("data_x\nloop_\n_refln.index_h\n_refln.F_meas_au\n1 2\n")
    with pytest.raises(InputFileError, match="give structure factors as -cif_sf"):
        factors_without_image(Experiment.from_args(["-pdb", str(tmp_path / "sf.cif"), "-dmin", "3"]))


def test_reflections_beside_coordinates_are_refused() -> None:
    with pytest.raises(UsageError, match=r"-hkl a\.mtz beside -pdb m\.pdb: F are from one of them"):
        factors_without_image(Experiment.from_args("-hkl a.mtz -pdb m.pdb".split()))


def test_a_file_without_a_space_group_says_what_to_give() -> None:
    experiment = Experiment.from_args("-cell 10".split())
    from nbnumba.experiment import StructureFactors

    factors = StructureFactors.from_arrays([[1, 0, 0]], [1.0], space_group="Q 2")
    with pytest.raises(InputFileError, match="the space group 'Q 2' is not known: give its Hermann-Mauguin symbol"):
        factors_without_image(changed(experiment, structure_factors=factors))


@pytest.mark.filterwarnings("ignore:-oversample")
def test_a_cell_that_contradicts_the_file_is_said(tmp_path: Path) -> None:
    from nbnumba.setup.inputs import read_inputs
    from nbnumba.setup.resolve import resolve

    structure = atoms("P 1 21 1")
    unique = structure.asymmetric_unit()
    path = written_mtz(tmp_path / "d.mtz", structure, {"FP": ("F", structure.amplitudes(unique))}, unique)
    args = f"-mtz {path} -N 5 -detpixels 8 -pixel 8 -oversample 1 -lambda 1".split()
    still = Experiment.from_args(args)
    assert resolve(still, read_inputs(still)).experiment.crystal.cell == pytest.approx(structure.cell, rel=1e-6)
    other = changed(still, crystal={"cell": (30, 30, 30, 90, 90, 90)})
    with pytest.warns(NbnumbaWarning, match="F are of a crystal with the cell 13.1 15.2 17.3 90 105 90 and are used"):
        resolve(other, read_inputs(other))
