"""Models as databases, dynamics programs and chemists write them, and files that are none."""

from __future__ import annotations

import gzip
import itertools
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from models import LYSOZYME, atom_record, calculated, cryst1

from nbnumba.errors import InputFileError, NbnumbaWarning
from nbnumba.formats.coordinates import read_model
from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

CRYST1 = cryst1(30, 31, 32)


def written(folder: Path, content: str | bytes, name: str = "model.pdb") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def elements(path: Path) -> list[str]:
    return [site.atom.element.name for site in read_model(path).structure[0].all()]


# Formats ------------------------------------------------------------------------------------------------------------


def test_formats_agree(tmp_path: Path) -> None:
    structure = gemmi.read_structure(str(LYSOZYME))
    mmcif, mmjson = tmp_path / "model.cif", tmp_path / "model.json"
    structure.make_mmcif_document().write_file(str(mmcif))
    mmjson.write_text(structure.make_mmcif_document().as_json(mmjson=True))
    zipped = written(tmp_path, gzip.compress(LYSOZYME.read_bytes()), "model.pdb.gz")
    expected = calculated(dmin=8.0)
    assert calculated(mmcif, dmin=8.0) == pytest.approx(expected, rel=1e-3, abs=0.1)
    assert calculated(mmjson, dmin=8.0) == pytest.approx(expected, rel=1e-3, abs=0.1)
    assert calculated(zipped, dmin=8.0) == expected


def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    pdb = CRYST1 + atom_record()
    cif = "# from somewhere\n\n" + gemmi.read_pdb_string(pdb).make_mmcif_document().as_string()
    models = [written(tmp_path, pdb, "model.txt"), written(tmp_path, gzip.compress(cif.encode()), "model")]
    windows = written(tmp_path, ("REMARK M\u00fcller\n" + pdb).encode("latin-1").replace(b"\n", b"\r\n"), "dos.pdb")
    expected = calculated(written(tmp_path, pdb), dmin=5.0)
    for path in (*models, windows):
        assert calculated(path, dmin=5.0) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_cell_and_space_group_are_known_without_a_calculation(tmp_path: Path) -> None:
    model = read_model(written(tmp_path, cryst1(40, 50, 60, symbol="P 21 21 2") + atom_record()))
    assert (model.cell, model.space_group) == ((40, 50, 60, 90, 90, 90), "P 21 21 2")


# Cell and space group -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cryst",
    [
        pytest.param("", id="none"),
        pytest.param(cryst1(1, 1, 1), id="of 1 Å"),
        pytest.param(cryst1(0, 0, 0, symbol=""), id="of 0 Å"),
    ],
)
def test_given_cell_stands_in_for_none(tmp_path: Path, cryst: str) -> None:
    path = written(tmp_path, cryst + atom_record(x=3.0) + atom_record(number=2, x=8.0, element="O"))
    with pytest.raises(InputFileError, match=r"model\.pdb has no unit cell .* -cell a b c"):
        read_model(path)
    given = (30.0, 31.0, 32.0, 90.0, 90.0, 90.0)
    with pytest.warns(NbnumbaWarning, match=r"no unit cell: its atoms stand, in P 1, in that of -cell"):
        hkl, amplitudes, cell = structure_factors_from_coordinates(path, 4.0, True, 0.35, 46.0, cell=given)
    assert cell == given
    path.write_text(CRYST1 + path.read_text().replace(cryst, ""))
    assert dict(zip(map(tuple, hkl.tolist()), amplitudes, strict=True)) == calculated(path, solvent=True)


def test_given_cell_does_not_replace_that_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, CRYST1 + atom_record())
    assert read_model(path, (50.0, 50.0, 50.0, 90.0, 90.0, 90.0)).cell == (30, 31, 32, 90, 90, 90)


@pytest.mark.parametrize(
    ("symbol", "complaint"),
    [
        pytest.param("", "the space group is missing", id="blank"),
        pytest.param("P 21 21 22", "the space group 'P 21 21 22' is not known", id="none such"),
        pytest.param("unknown", "the space group 'unknown' is not known", id="no symbol"),
    ],
)
def test_space_group_must_be_named(tmp_path: Path, symbol: str, complaint: str) -> None:
    with pytest.raises(InputFileError, match=rf"model\.pdb: {complaint}.*'P 1'.*CRYST1"):
        read_model(written(tmp_path, cryst1(40, 50, 60, symbol=symbol) + atom_record()))


def test_space_group_of_mmcif_must_be_named(tmp_path: Path) -> None:
    document = gemmi.read_pdb_string(CRYST1 + atom_record()).make_mmcif_document()
    document.sole_block().set_pair("_symmetry.space_group_name_H-M", "?")
    with pytest.raises(InputFileError, match=r"space group is missing.*_symmetry\.space_group_name_H-M"):
        read_model(written(tmp_path, document.as_string(), "model.cif"))


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        pytest.param((30, 31, 1.5, 90, 90, 90), "it must be 1.8 Å thick", id="too short"),
        pytest.param((30, 31, 32, 90, 90, 179), "it must be 1.8 Å thick", id="too flat"),
        pytest.param((99999, 31, 32, 90, 90, 90), "no longer than 10000 Å", id="too long"),
        pytest.param((-30, 31, 32, 90, 90, 90), "above 0", id="negative"),
        pytest.param((30, 31, 32, 90, 90, 180), "between 0 and 180", id="no angle"),
    ],
)
def test_cells_that_cannot_be(tmp_path: Path, cell: tuple[float, ...], complaint: str) -> None:
    path = written(tmp_path, cryst1(*cell[:3]).replace("  90.00 P", f"{cell[5]:7.2f} P") + atom_record())
    with pytest.raises(InputFileError, match=rf"model\.pdb: its unit cell cannot be: .*{complaint}"):
        read_model(path)


def test_axes_may_lie_otherwise_than_usual(tmp_path: Path) -> None:
    """SCALE with a along y and b along -x, and the atoms in that frame."""
    group = cryst1(40, 50, 62.5, symbol="P 21 21 2")
    scale = "".join(
        f"SCALE{n}    {x:10.6f}{y:10.6f}{z:10.6f}     {0:10.5f}\n"
        for n, x, y, z in [(1, 0.0, 0.025, 0.0), (2, -0.02, 0.0, 0.0), (3, 0.0, 0.0, 0.016)]
    )
    places = [(3.0, 4.0, 5.0), (11.0, 31.0, 17.0)]
    usual = written(tmp_path, group + "".join(atom_record(x=x, y=y, z=z) for x, y, z in places), "usual.pdb")
    turned = written(tmp_path, group + scale + "".join(atom_record(x=-y, y=x, z=z) for x, y, z in places), "turned.pdb")
    assert calculated(turned) == pytest.approx(calculated(usual), rel=1e-3, abs=0.01)


def test_noncrystallographic_symmetry_is_expanded(tmp_path: Path) -> None:
    moved = "".join(
        f"MTRIX{n}   1{x:10.6f}{y:10.6f}{z:10.6f}     {shift:10.5f}\n"
        for n, x, y, z, shift in [(1, 1, 0, 0, 6.0), (2, 0, 1, 0, 7.0), (3, 0, 0, 1, 8.0)]
    )
    short = written(tmp_path, CRYST1 + moved + atom_record(x=1.0, y=2.0, z=3.0), "short.pdb")
    long = written(
        tmp_path, CRYST1 + atom_record(x=1.0, y=2.0, z=3.0) + atom_record(number=2, x=7.0, y=9.0, z=11.0), "long.pdb"
    )
    assert calculated(short) == pytest.approx(calculated(long), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("end", ["        0.00000\n", "\n"], ids=["another cell", "cut"])
def test_axes_of_another_cell_are_not_used(tmp_path: Path, end: str) -> None:
    rows = [(1, 0.01, 0.0, 0.0), (2, 0.0, 0.02, 0.0)]
    scale = "".join(f"SCALE{n}    {x:10.6f}{y:10.6f}{z:10.6f}{end}" for n, x, y, z in rows)
    scale += "SCALE3      0.000000  0.000000  0.030000        0.00000\n"
    path = written(tmp_path, CRYST1 + scale + atom_record() + atom_record(number=2, x=15.0))
    with pytest.warns(NbnumbaWarning, match=r"model\.pdb: SCALE .* does not belong to the cell, and is not used"):
        factors = calculated(path)
    assert factors == calculated(written(tmp_path, path.read_text().replace(scale, ""), "none.pdb"))


def test_noncrystallographic_symmetry_is_a_rotation(tmp_path: Path) -> None:
    rows = [(1, 1.0, 0.0, 0.0), (2, 0.0, 1.0, 0.0), (3, 0.0, -9.0, 1.0)]
    stretched = "".join(f"MTRIX{n}   1{x:10.6f}{y:10.6f}{z:10.6f}     {5:10.5f}\n" for n, x, y, z in rows)
    with pytest.raises(InputFileError, match=r"model\.pdb: the NCS operation 1 .* is no rotation"):
        calculated(written(tmp_path, CRYST1 + stretched + atom_record()))


@pytest.mark.parametrize(
    ("occupancy", "electrons"),
    [
        pytest.param(1.0, 12.0, id="of one atom"),
        pytest.param(0.5, 12.0, id="of an image"),
        pytest.param(0.3, 7.2, id="less"),
    ],
)
def test_an_atom_on_a_twofold_axis_counts_once(tmp_path: Path, occupancy: float, electrons: float) -> None:
    path = written(
        tmp_path, cryst1(30, 40, 50, symbol="C 1 2 1") + atom_record(x=0.0, y=7.0, z=0.0, occupancy=occupancy)
    )
    assert calculated(path, dmin=10.0)[0, 0, 0] == pytest.approx(electrons, rel=1e-3)


# Models, columns and elements of PDB files --------------------------------------------------------------------------

NMR = "".join(f"MODEL {n:8}\n{atom_record(x=5.0 + n)}ENDMDL\n" for n in (1, 2, 3))
FRAMES = "".join(f"{cryst1(29 + n, 31, 32)}{atom_record(x=5.0 + n)}END\n" for n in (1, 2, 3))


@pytest.mark.parametrize("content", [pytest.param(CRYST1 + NMR, id="NMR"), pytest.param(FRAMES, id="frames")])
def test_the_first_model_counts(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, content)
    with pytest.warns(NbnumbaWarning, match=r"model\.pdb holds 3 models: the first one counts"):
        factors = calculated(path)
    assert factors == calculated(written(tmp_path, CRYST1 + atom_record(x=6.0), "first.pdb"))


def test_the_first_model_of_mmcif_counts(tmp_path: Path) -> None:
    document = gemmi.read_pdb_string(CRYST1 + NMR).make_mmcif_document()
    path = written(tmp_path, document.as_string(), "model.cif")
    with pytest.warns(NbnumbaWarning, match=r"model\.cif holds 3 models: the first one counts"):
        (site,) = read_model(path).structure[0].all()
    assert site.atom.pos.x == 6.0


def test_identifiers_of_old_files_are_not_elements_and_charges(tmp_path: Path) -> None:
    lines = (
        cryst1(40, 50, 60) + atom_record(" N  ", "GLU", element="") + atom_record(" CD ", "GLU", 2, x=14, element="")
    ).splitlines()
    old = "".join(f"{line[:66]:72}2XYC{number:4}\n" for number, line in enumerate(lines, 87))
    new = cryst1(40, 50, 60) + atom_record(" N  ", "GLU", element="N") + atom_record(" CD ", "GLU", 2, x=14)
    with pytest.warns(NbnumbaWarning) as warned:
        factors = calculated(written(tmp_path, old, "old.ent"))
    assert [str(w.message).split(": ", 1)[1][:13] for w in warned] == ["columns 73-80", "2 atoms have "]
    assert factors == calculated(written(tmp_path, new))


def test_segments_are_not_taken_for_identifiers(tmp_path: Path) -> None:
    line = atom_record(element="")[:66].ljust(72) + "2XYC C2+\n"
    assert elements(written(tmp_path, CRYST1 + line)) == ["C"]


MADE_BY_DYNAMICS = [
    pytest.param("N   |ALA CA  |ALA HA  |ALA CB  |ALA HB1 |ALA OXT |ALA", "NCHCHO", id="left-justified protein"),
    pytest.param(" NE |ARG CD  |ARG HE  |ARG HG  |ARG NH2 |ARG", "NCHHN", id="arginine"),
    pytest.param("CE1 |HSD HE1 |HSD N   |HSD CA  |HSD C   |HSD ND1 |HSD HD1 |HSD", "CHNCCNH", id="CHARMM's histidine"),
    pytest.param("SE  |MSE CE  |MSE SD  |MET", "Se C S", id="selenomethionine"),
    pytest.param("C1' |DA  O3' |DA  P   |DA  H5''|DA  HO5'|DA  BR  |DA ", "C O P H H Br", id="nucleotide"),
    pytest.param("OH2 |TIP3H1  |TIP3H2  |TIP3", "OHH", id="CHARMM's water"),
    pytest.param(" OW |SOL  HW1|SOL  HW2|SOL", "OHH", id="GROMACS' water"),
    pytest.param(" SOD|SOD  CLA|CLA  CAL|CAL  CA | CA  CA |CA   NA |NA+  Cl-|Cl-  NA |ION", "Na Cl Ca Ca Ca Na Cl Na",
                 id="ions"),
    pytest.param("C1  |LIG CD1 |LIG HO2 |LIG CL1 |LIG BR  |LIG FE  |LIG NA  |LIG", "C C H Cl Br Fe N",
                 id="left-justified ligand"),
    pytest.param(" C1 |HEC FE  |HEC  NA |HEC HG  |MMC CL20|MMC HG11|MMC", "C Fe N Hg Cl H",
                 id="aligned ligand"),
]  # fmt: skip


@pytest.mark.parametrize(("atoms", "expected"), MADE_BY_DYNAMICS)
def test_elements_that_are_not_given_follow_from_names(tmp_path: Path, atoms: str, expected: str) -> None:
    named = [atoms[start : start + 9].ljust(9) for start in range(0, len(atoms), 9)]
    numbers = {residue: n for n, residue in enumerate(dict.fromkeys(name[5:] for name in named), 1)}
    path = written(tmp_path, CRYST1 + "".join(atom_record(n[:4], n[5:], numbers[n[5:]], element="") for n in named))
    with pytest.warns(NbnumbaWarning, match=rf"model\.pdb: {len(named)} atoms have no element in columns 77-78") as one:
        found = elements(path)
    assert found == (expected.split() if " " in expected else list(expected))
    assert f"({named[0][:4].strip()} of {named[0][5:].strip()}: " in str(one[0].message)


def test_elements_that_are_given_are_not_touched(tmp_path: Path) -> None:
    given = (
        atom_record("CA  ", "SER", element="CA")
        + atom_record(" N  ", "SER", 2, element="N")
        + atom_record(" C  ", "SER", 3, element="")
    )
    with pytest.warns(NbnumbaWarning, match=r"1 atoms have no element"):
        assert elements(written(tmp_path, CRYST1 + given)) == ["Ca", "N", "C"]


def test_missing_occupancies_and_b_factors_are_the_usual_ones(tmp_path: Path) -> None:
    bare = atom_record()[:54] + " " * 22 + " C\n"
    with pytest.warns(NbnumbaWarning, match=r"1 atoms have no occupancy or no B factor: 1 and 20 Å² are taken"):
        factors = calculated(written(tmp_path, CRYST1 + bare + atom_record(number=2, x=20.0), "bare.pdb"))
    assert factors == calculated(written(tmp_path, CRYST1 + atom_record() + atom_record(number=2, x=20.0)))


# Atoms that cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        pytest.param({"occupancy": -0.5}, r"occupancy of -0\.5 must lie between 0 and 1", id="negative occupancy"),
        pytest.param({"occupancy": 7.25}, r"occupancy of 7\.25 must lie", id="occupancy above 1"),
        pytest.param({"b": -3.0}, r"B factor of -3 must lie between 0 and 1000", id="negative B"),
        pytest.param({"b": 5000.0}, r"B factor of 5000 must lie", id="large B"),
        pytest.param({"element": "Xx"}, r"element, X, has no scattering factors", id="no element"),
        pytest.param({"element": "FM"}, r"element, Fm, has no scattering factors", id="no table"),
        pytest.param({"element": "", "name": "MW  ", "residue": "SOL"}, "element, X, has no", id="massless site"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*columns 77-78")
def test_atoms_that_cannot_be_are_named(tmp_path: Path, changed: dict[str, object], complaint: str) -> None:
    path = written(
        tmp_path, CRYST1 + atom_record() + atom_record(**{"number": 27, "x": 15.0, "name": " CG2", **changed})
    )
    with pytest.raises(InputFileError, match=rf"model\.pdb: atom 27 \((CG2 of ALA|MW of SOL) 27\): its {complaint}"):
        calculated(path)


def test_a_model_of_absent_atoms_is_refused_and_absent_atoms_are_none(tmp_path: Path) -> None:
    absent = [atom_record(occupancy=0.0, b=b) for b in (0.0, 30.0)]
    with pytest.raises(InputFileError, match=r"model\.pdb: every atom has an occupancy of 0"):
        calculated(written(tmp_path, CRYST1 + "".join(absent)))
    present = atom_record(number=2, x=20.0, b=900.0)
    factors = calculated(written(tmp_path, CRYST1 + absent[0] + present))
    assert factors == calculated(written(tmp_path, CRYST1 + present))


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        pytest.param((30, 38, "********"), r"columns 31-38 must hold x, a number, not '\*+'", id="x"),
        pytest.param((46, 54, " 13.0a0 "), r"columns 47-54 must hold z, a number, not '13\.0a0'", id="z"),
        pytest.param((60, 66, "******"), r"columns 61-66 must hold B factor, a number", id="B factor"),
        pytest.param((38, 200, "\n"), r"columns 39-46 must hold y, a number, not ''", id="short line"),
    ],
)
def test_what_is_no_number_is_named_by_line_and_column(
    tmp_path: Path, field: tuple[int, int, str], complaint: str
) -> None:
    first, last, text = field
    line = atom_record()
    path = written(tmp_path, f"{CRYST1}{line}{line[:first]}{text}{line[last:]}")
    with pytest.raises(InputFileError, match=rf"model\.pdb:3: {complaint}"):
        calculated(path)


@pytest.mark.parametrize("x", ["1e9", "nan", "-1e300", "inf"])
def test_coordinates_that_are_too_far_away_are_refused(tmp_path: Path, x: str) -> None:
    document = gemmi.read_pdb_string(CRYST1 + atom_record(number=5)).make_mmcif_document()
    document.sole_block().find_values("_atom_site.Cartn_x")[0] = x
    with pytest.raises(InputFileError, match=r"model\.cif: atom 1 \(CB of ALA 5\): its coordinates .* must be numbers"):
        calculated(written(tmp_path, document.as_string(), "model.cif"))


@pytest.mark.parametrize(("u11", "is_right"), [(-500, True), (30000, True), (-5000, False), (900000, False)])
def test_ellipsoids_that_cannot_be(tmp_path: Path, u11: int, is_right: bool) -> None:
    line = atom_record()
    ellipsoid = f"ANISOU{line[6:27]} {u11:7}{2000:7}{2000:7}{0:7}{0:7}{0:7}\n"
    path = written(tmp_path, CRYST1 + line + ellipsoid)
    if is_right:
        assert np.isfinite(list(calculated(path).values())).all()
    else:
        with pytest.raises(InputFileError, match=r"anisotropic B factors .* must lie between 0 and 1000"):
            calculated(path)


# Files that hold no model -------------------------------------------------------------------------------------------

MODEL = (CRYST1 + atom_record()).encode()
ELLIPSOID = f"ANISOU{atom_record()[6:27]} {3 * '   2000'}{3 * '      0'}\n".encode()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "holds no atoms of a crystal .*; a PDB, mmCIF or CIF", id="empty"),
        pytest.param(CRYST1.encode(), "holds no atoms of a crystal .*; a PDB, mmCIF or CIF", id="no atoms"),
        pytest.param(b"1 2 3 40.5\n", "holds no atoms of a crystal .*; a PDB, mmCIF or CIF", id="a list"),
        pytest.param(b"data_x\nloop_\n_a\n", "holds no atoms of a crystal .*; a PDB, mmCIF or CIF", id="another CIF"),
        pytest.param(b"data_x\nloop_\n_a _b\n1\n", "a PDB, mmCIF or CIF file: line 2: Wrong number", id="broken CIF"),
        pytest.param(b"REMARK\n\n" + MODEL + 2 * ELLIPSOID, "file: Problem in line 6: Duplicated ANISOU", id="doubled"),
        pytest.param(b'{"data_x": [', "cannot be read as a PDB, mmCIF or CIF file", id="broken JSON"),
        pytest.param(bytes(range(256)) * 8, "is no text", id="bytes"),
        pytest.param(MODEL[:-1].ljust(MODEL.index(b"\n") + 79, b" ") + b"39\n", "cannot be read", id="a charge of 39"),
        pytest.param(gzip.compress(MODEL * 100)[:90], "its gzip packing is damaged", id="truncated gzip"),
        pytest.param(gzip.compress(MODEL)[:12] + b"junk" * 9, "its gzip packing is damaged", id="damaged gzip"),
    ],
)
def test_what_is_no_model_is_named_in_a_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(InputFileError, match=complaint) as error:
        calculated(written(tmp_path, content, "other.dat"))
    assert "other.dat" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read coordinates .*none\.pdb: there is no such file"):
        calculated(tmp_path / "none.pdb")


@pytest.mark.parametrize("packed", [False, True])
def test_files_that_are_too_large_are_not_read(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbnumba.formats.coordinates.MOST_BYTES", 1 << 20)
    content = b"REMARK\n" * (1 << 18)
    path = written(tmp_path, gzip.compress(content) if packed else content, "large.pdb")
    with pytest.raises(InputFileError, match=r"large\.pdb.* more than 1 MiB"):
        calculated(path)


# Small molecules ----------------------------------------------------------------------------------------------------

SMALL = """data_global
_journal_name_full 'Acta'
data_small
_cell_length_a 6.9(1)
_cell_length_b 14.5
_cell_length_c 9.7
_cell_angle_alpha 90
_cell_angle_beta 101.6
_cell_angle_gamma 90
{symmetry}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_occupancy
_atom_site_disorder_group
C1 C 0.1 0.2 0.3 0.03 1 .
N2 N 0.312(3) 0.41 0.85 0.05 0.7 1
Co1 Co2+ 0 0 0 0.02 1 .
O3 O 0.51 0.5 0.5 0.04 0.5 -1
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
_atom_site_aniso_U_22
_atom_site_aniso_U_33
_atom_site_aniso_U_12
_atom_site_aniso_U_13
_atom_site_aniso_U_23
C1 0.04 0.02 0.06 0.005 0.02 -0.01
"""
NAMED = "_symmetry_space_group_name_H-M 'P 1 21/n 1'"
LISTED = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'x+1/2,-y+1/2,z+1/2'\n'-x,-y,-z'\n'-x+1/2,y+1/2,-z+1/2'"
UNUSUAL = "loop_\n_space_group_symop_operation_xyz\nx,y,z\nx,y,z+1/2\n-x,-y,-z\n-x,-y,1/2-z"
"""P -1 in a cell of twice its length, a setting that has no name."""

OPERATIONS = {
    NAMED: [
        ((1, 1, 1), (0, 0, 0)),
        ((1, -1, 1), (0.5, 0.5, 0.5)),
        ((-1, -1, -1), (0, 0, 0)),
        ((-1, 1, -1), (0.5,) * 3),
    ],
    UNUSUAL: [((1, 1, 1), (0, 0, 0)), ((1, 1, 1), (0, 0, 0.5)), ((-1, -1, -1), (0, 0, 0)), ((-1, -1, -1), (0, 0, 0.5))],
}
OPERATIONS[LISTED] = OPERATIONS[NAMED]


@pytest.mark.parametrize("symmetry", [NAMED, LISTED, UNUSUAL], ids=["named", "listed", "unusual"])
def test_small_molecules_are_those_of_a_direct_sum(tmp_path: Path, symmetry: str) -> None:
    """From the numbers of the file: exp(−2π² Σ U_ij a*_i a*_j h_i h_j), and cobalt once on its centre of symmetry."""
    hkl, amplitudes, cell = structure_factors_from_coordinates(
        written(tmp_path, SMALL.format(symmetry=symmetry), "small.cif"), 0.8, False, 0.0, 0.0
    )
    assert cell == (6.9, 14.5, 9.7, 90.0, 101.6, 90.0)
    stars = np.array([1 / 6.9 / np.sin(np.radians(101.6)), 1 / 14.5, 1 / 9.7 / np.sin(np.radians(101.6))])
    cos_beta_star = -np.cos(np.radians(101.6))
    isotropic = np.array([[1, 0, cos_beta_star], [0, 1, 0], [cos_beta_star, 0, 1]])
    u_of_c1 = np.array([[0.04, 0.005, 0.02], [0.005, 0.02, -0.01], [0.02, -0.01, 0.06]])
    sites = [
        ("C", (0.1, 0.2, 0.3), u_of_c1, 1.0),
        ("N", (0.312, 0.41, 0.85), 0.05 * isotropic, 0.7),
        ("Co", (0, 0, 0), 0.02 * isotropic, 0.5),
        ("O", (0.51, 0.5, 0.5), 0.04 * isotropic, 0.5),
    ]
    stol_sqr = np.einsum("ni,ij,nj->n", hkl * stars, isotropic, hkl * stars) / 4.0
    expected = np.zeros(len(hkl), dtype=complex)
    for (element, x, u, occupancy), (signs, shift) in itertools.product(sites, OPERATIONS[symmetry]):
        table = gemmi.Element(element).it92
        f = table.c + sum(a * np.exp(-b * stol_sqr) for a, b in zip(table.a, table.b, strict=True))
        turned = hkl * signs
        fading = np.exp(-2.0 * np.pi**2 * np.einsum("ni,ij,nj->n", turned * stars, u, turned * stars))
        expected += occupancy * f * fading * np.exp(2j * np.pi * (turned @ x + hkl @ shift))
    assert np.abs(amplitudes - np.abs(expected)).max() < 5e-4 * np.abs(expected).mean()


def test_atoms_without_coordinates_are_left_out(tmp_path: Path) -> None:
    content = SMALL.format(symmetry=NAMED)
    whole = written(tmp_path, content, "whole.cif")
    more = written(tmp_path, content.replace("O3 O", "H4 H ? ? ? ? 1 .\nO3 O"), "more.cif")
    with pytest.warns(NbnumbaWarning, match=r"more\.cif: 1 atoms without coordinates are left out"):
        factors = calculated(more, dmin=1.5)
    assert factors == calculated(whole, dmin=1.5)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param(NAMED, "", "the space group is missing", id="no space group"),
        pytest.param("P 1 21/n 1", "P 1 21/q 1", "'P 1 21/q 1' is not known", id="unknown space group"),
        pytest.param("_cell_length_a 6.9(1)", "_cell_length_a ?", "no unit cell", id="no cell"),
        pytest.param("Co1 Co2+", "Co1 Q", r"atom \(Co1\): its element, X, has no", id="no element"),
        pytest.param("0.85 0.05", "0.85 77", r"atom \(N2\): its B factor of 6079", id="B factor"),
    ],
)
def test_small_molecules_that_cannot_be(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = written(tmp_path, SMALL.format(symmetry=NAMED).replace(old, new), "small.cif")
    with pytest.raises(InputFileError, match=rf"small\.cif.*{complaint}"):
        calculated(path)


def test_the_first_of_several_structures_counts(tmp_path: Path) -> None:
    content = SMALL.format(symmetry=NAMED)
    other = content.partition("data_small")[2].replace("14.5", "15.5")
    path = written(tmp_path, f"{content}data_other{other}", "two.cif")
    with pytest.warns(NbnumbaWarning, match=r"two\.cif holds 2 structures: the first one counts, data_small"):
        assert read_model(path).cell[1] == 14.5


def test_whole_files_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_model(LYSOZYME)
