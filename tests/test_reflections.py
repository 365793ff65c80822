"""Reflection files of other programs: what is read of each, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
import os
import random
import struct
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import damage
import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import mtz_of

from nbnumba.errors import InputFileError, NbnumbaError
from nbnumba.formats.crystfel import GROUPS, space_group_of
from nbnumba.formats.files import Path as FilePath
from nbnumba.formats.files import read_unpacked
from nbnumba.formats.hkl import hkl_of
from nbnumba.formats.merging import merged
from nbnumba.formats.observations import Observations
from nbnumba.formats.reflections import WHAT, Reflections, reflections_of

CELL = (20.0, 21.0, 22.0, 90.0, 90.0, 90.0)
GROUP = "P 21 21 21"
Columns = Sequence[tuple[str, str, np.ndarray]]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def unique(group: str = GROUP, cell: tuple[float, ...] = CELL, d_min: float = 4.0) -> np.ndarray:
    return gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup(group), d_min, unique=True)


def amplitude(hkl: np.ndarray) -> np.ndarray:
    """A number of each index, other for its mate, that float32 holds."""
    return 500.0 + np.asarray(hkl) @ [1.0, 0.25, 16.0]


def mtz(hkl: np.ndarray, columns: Columns, group: str = GROUP, cell: tuple[float, ...] = CELL) -> gemmi.Mtz:
    return mtz_of(hkl, columns, gemmi.SpaceGroup(group), gemmi.UnitCell(*cell))


def read_reflections(path: FilePath, **given: object) -> Reflections | None:
    return reflections_of(path, read_unpacked(path, WHAT), **given)  # type: ignore[arg-type]


def read(name: str, **given: object) -> Reflections:
    found = read_reflections(name, **given)
    assert found is not None
    return found


def by_index(found: Reflections) -> dict[tuple[int, ...], float]:
    """F of all that was measured, h and -h."""
    listed = {tuple(h): f for h, f in zip(found.hkl.tolist(), found.f, strict=True)}
    if found.f_minus is not None:
        listed |= {tuple(-np.array(h)): f for h, f in zip(found.hkl.tolist(), found.f_minus, strict=True)
                   if np.isfinite(f)}  # fmt: skip
    return listed


def refused(name: str, **given: object) -> str:
    with pytest.raises(InputFileError) as raised:
        read_reflections(name, **given)
    text = str(raised.value)
    assert text.startswith(name)
    assert "\n" not in text
    return text


# MTZ ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["P 1", GROUP, "C 1 2 1", "H 3", "P 43 21 2", "I 2 3", "P -1", "R 3 2:R"])
def test_amplitudes_come_back(group: str) -> None:
    edge, angle = (20.0, 80.0) if group.endswith(":R") else (21.0, 90.0)
    cell = (edge, edge, edge if angle == 80.0 else 23.0, angle, angle, 120.0 if group == "H 3" else angle)
    hkl = unique(group, cell)
    mtz(hkl, [("FP", "F", amplitude(hkl))], group, cell).write_to_file("a.mtz")
    found = read("a.mtz")
    assert by_index(found) == dict(zip(map(tuple, hkl.tolist()), amplitude(hkl), strict=True))
    assert found.f_minus is None
    assert found.cell == cell
    assert found.space_group == gemmi.SpaceGroup(group).xhm()
    assert (found.name, found.labels, found.notes) == ("a.mtz", ("FP",), ())
    assert found.hkl.dtype == np.int32
    assert found.f.dtype == np.float64


def pairs(hkl: np.ndarray) -> Columns:
    return [("F(+)", "G", amplitude(hkl)), ("SIGF(+)", "L", hkl[:, 0]), ("F(-)", "G", amplitude(-hkl)),
            ("SIGF(-)", "L", hkl[:, 0])]  # fmt: skip


def acentric(group: str = GROUP) -> np.ndarray:
    hkl = unique(group)
    return hkl[~gemmi.SpaceGroup(group).operations().centric_flag_array(hkl)]


def test_both_mates_come_back() -> None:
    hkl = acentric()
    mtz(hkl, pairs(hkl)).write_to_file("a.mtz")
    found = read("a.mtz")
    assert found.labels == ("F(+)", "F(-)")
    assert by_index(found) == {
        tuple(h): f for h, f in zip([*hkl.tolist(), *(-hkl).tolist()], amplitude(np.vstack([hkl, -hkl])), strict=True)
    }


def test_mate_that_was_not_measured() -> None:
    hkl = acentric()[:4]
    plus, minus = amplitude(hkl), amplitude(-hkl)
    plus[1] = minus[2] = np.nan
    plus[3] = minus[3] = np.nan
    mtz(hkl, [("F(+)", "G", plus), ("F(-)", "G", minus)]).write_to_file("a.mtz")
    expected = {tuple(hkl[0]): plus[0], tuple(-hkl[0]): minus[0], tuple(-hkl[1]): minus[1], tuple(hkl[2]): plus[2]}
    assert by_index(read("a.mtz")) == expected


def test_operations_of_the_group_do_not_matter() -> None:
    hkl = acentric()
    mtz(hkl, pairs(hkl)).write_to_file("a.mtz")
    # Rotations about b leave h, its inverse makes it the mate: then what is F(+) here is F(-) there.
    turned, mates = hkl * [-1, 1, -1], hkl * [1, -1, 1]
    rows = np.where((np.arange(len(hkl)) % 2 == 0)[:, None], turned, mates)
    columns = [(label, kind, np.where(np.arange(len(hkl)) % 2 == 0, values, other)) for (label, kind, values),
               (_, _, other) in zip(pairs(hkl), [*pairs(hkl)[2:], *pairs(hkl)[:2]], strict=True)]  # fmt: skip
    mtz(rows, columns).write_to_file("b.mtz")
    assert by_index(read("b.mtz")) == by_index(read("a.mtz"))


def test_rows_of_both_mates_in_one_column_are_kept_apart() -> None:
    hkl = acentric()
    both = np.vstack([hkl, -hkl])
    mtz(both, [("F", "F", amplitude(both))]).write_to_file("a.mtz")
    mtz(hkl, pairs(hkl)).write_to_file("b.mtz")
    assert by_index(read("a.mtz")) == by_index(read("b.mtz"))


def test_mates_of_a_centric_reflection_are_one() -> None:
    hkl = np.array([[0, 2, 3], [1, 2, 3]])
    mtz(hkl, [("F(+)", "G", np.array([4.0, 8.0])), ("F(-)", "G", np.array([6.0, 9.0]))]).write_to_file("a.mtz")
    assert by_index(read("a.mtz")) == {(0, 2, 3): 5.0, (1, 2, 3): 8.0, (-1, -2, -3): 9.0}


def test_mates_alone_may_be_above_0() -> None:
    hkl = acentric()[:2]
    mtz(hkl, [("I(+)", "K", np.zeros(2)), ("I(-)", "K", np.array([9.0, -1.0]))]).write_to_file("a.mtz")
    assert by_index(read("a.mtz"))[tuple(-hkl[0])] == 3.0


def test_intensities_become_amplitudes_and_are_counted() -> None:
    hkl = acentric()[:4]
    mtz(hkl, [("IMEAN", "J", np.array([9.0, -1.0, 0.0, np.nan]))]).write_to_file("a.mtz")
    found = read("a.mtz")
    assert sorted(found.f) == [0.0, 0.0, 3.0]
    assert found.notes == ("F = sqrt(max(I, 0)): 1 of 3 intensities were below 0",)


def test_signalling_nan_is_a_missing_value() -> None:
    content = mtz(np.array([[1, 2, 3], [1, 2, 4]]), [("FP", "F", np.array([4.0, 1234.5]))]).write_to_bytes()
    number = np.float32(1234.5).tobytes()
    assert content.count(number) == 1
    Path("a.mtz").write_bytes(content.replace(number, np.uint32(0x7FA00000).tobytes()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert by_index(read("a.mtz")) == {(1, 2, 3): 4.0}


ORDER = ["FC_ALL_LS", "FC_ALL", "F-model", "FC", "FP", "F", "FOBS", "F(+)", "I(+)", "IMEAN"]
TYPES = {"F(+)": "G", "I(+)": "K", "IMEAN": "J"}


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_order_of_preference(first: int) -> None:
    hkl = unique()
    columns = []
    for number, label in reversed(list(enumerate(ORDER))[first:]):
        columns.append((label, TYPES.get(label, "F"), amplitude(hkl) + number))
        if "+" in label:
            columns.append((label.replace("+", "-"), TYPES[label], amplitude(hkl) + number))
    columns += [("FWT", "F", amplitude(hkl)), ("PHWT", "P", amplitude(hkl)), ("2FOFCWT", "F", amplitude(hkl))]
    mtz(hkl, columns).write_to_file("a.mtz")
    found = read("a.mtz")
    assert found.labels[0] == ORDER[first]
    assert len(found.labels) == (2 if "+" in ORDER[first] else 1)
    if first < len(ORDER) - 3:
        np.testing.assert_array_equal(np.sort(found.f), np.sort(amplitude(hkl) + first))
    others = found.notes[0].partition("for -labels: ")[2].split(", ")
    assert set(others) == {label for label, kind, _ in columns if kind != "P"} - set(found.labels)


@pytest.mark.parametrize("label", ["f-model", "F-MODEL", "FMODEL", "fc", "Fp"])
def test_letters_of_labels_may_be_small(label: str) -> None:
    hkl = unique()
    mtz(hkl, [(label, "F", amplitude(hkl)), ("X", "F", amplitude(hkl))]).write_to_file("a.mtz")
    assert read("a.mtz").labels == (label,)
    assert read("a.mtz", labels=["x"]).labels == ("X",)


def test_labels_choose() -> None:
    hkl = acentric()
    columns = [("FP", "F", amplitude(hkl)), *pairs(hkl), ("I", "J", amplitude(hkl) ** 2)]
    mtz(hkl, columns).write_to_file("a.mtz")
    assert read("a.mtz").labels == ("FP",)
    both = read("a.mtz", labels=["F(+)", "F(-)"])
    other_way = read("a.mtz", labels=["F(-)", "F(+)"])
    assert by_index(both)[tuple(hkl[0])] == amplitude(hkl[0])
    assert by_index(other_way)[tuple(hkl[0])] == amplitude(-hkl[0])
    np.testing.assert_allclose(read("a.mtz", labels=["I"]).f, read("a.mtz").f, rtol=1e-7)


WRONG_LABELS = [
    (["NONE"], "-labels NONE: there is no column NONE; it has FP (F), SIGFP (Q), F(+) (G), F(-) (G), I (J)"),
    (["SIGFP"], "-labels SIGFP: SIGFP holds neither F nor intensities; it has FP (F)"),
    (["F(+)"], "-labels F(+) is of one Friedel mate alone; give both, -labels F(+) F(-)"),
    (["FP", "I"], "-labels FP I: two labels must be those of h k l and of -h -k -l; it has FP (F)"),
    (["FP", "FP"], "-labels FP FP: two labels must be those of h k l and of -h -k -l; it has FP (F)"),
    (["FP", "I", "F(+)"], "-labels FP I F(+): give one label, or two"),
]


@pytest.mark.parametrize(("labels", "said"), WRONG_LABELS)
def test_labels_that_cannot_be(labels: list[str], said: str) -> None:
    hkl = unique()
    f = amplitude(hkl)
    columns = [("FP", "F", f), ("SIGFP", "Q", f), ("F(+)", "G", f), ("F(-)", "G", f), ("I", "J", f)]
    mtz(hkl, columns).write_to_file("a.mtz")
    assert refused("a.mtz", labels=labels).startswith(f"a.mtz: {said}")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("FA:F FB:F I:J", "which of its columns holds F? -labels and one of: FA; FB"),
        ("A(+):G A(-):G B(+):G B(-):G", "which of its columns holds F? -labels and one of: A(+) A(-); B(+) B(-)"),
        ("IA:J IB:J", "which of its columns holds F? -labels and one of: IA; IB"),
        ("SIGFP:Q PHI:P", "no column of F or intensities; it has SIGFP (Q), PHI (P)"),
    ],
)
def test_columns_among_which_nothing_decides(columns: str, said: str) -> None:
    hkl = unique()
    mtz(hkl, [(*column.split(":"), amplitude(hkl)) for column in columns.split()]).write_to_file("a.mtz")  # type: ignore
    assert refused("a.mtz") == f"a.mtz: {said}"


def test_cell_of_the_columns_dataset_counts() -> None:
    hkl = unique()
    made = mtz(hkl, [("FP", "F", amplitude(hkl))])
    made.datasets[1].cell.set(20.5, 21, 22, 90, 90, 90)
    made.write_to_file("a.mtz")
    assert read("a.mtz").cell == (20.5, 21, 22, 90, 90, 90)


def test_space_group_may_be_given() -> None:
    hkl = acentric()
    made = mtz(hkl, [("FP", "F", amplitude(hkl))])
    made.write_to_file("a.mtz")
    assert read("a.mtz", space_group="P 2 2 2").space_group == "P 2 2 2"
    content = Path("a.mtz").read_bytes()
    assert content.count(b"'P 21 21 21'") == 1
    Path("b.mtz").write_bytes(content.replace(b"'P 21 21 21'", b"'P 21 21 3q'"))
    assert refused("b.mtz") == (
        "b.mtz: its space group 'P 21 21 3q' is not known: give it as -space_group, or 'P 1' for none"
    )
    assert read("b.mtz", space_group="19").space_group == GROUP
    assert "-space_group 'P 9' is not known" in refused("b.mtz", space_group="P 9")


def test_file_without_a_cell() -> None:
    hkl = unique()
    mtz(hkl, [("FP", "F", amplitude(hkl))], cell=(1, 1, 1, 90, 90, 90)).write_to_file("a.mtz")
    assert read("a.mtz").cell is None
    content = Path("a.mtz").read_bytes().replace(b"    1.0000    1.0000    1.0000", b"    2.0000    0.0000    1.0000")
    Path("b.mtz").write_bytes(content)
    assert refused("b.mtz") == "b.mtz: its unit cell cannot be: 2 0 1 90 90 90: the edges must be above 0 Å"


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("F", [1, np.inf], "X of 1 0 1 is inf: it must be 0 or above"),
        ("F", [-3, np.nan], "X of 0 1 1 is -3: it must be 0 or above"),
        ("J", [-np.inf, 4], "X of 0 1 1 is -inf: it must be a finite number"),
        ("F", [np.nan, np.nan], "no reflections: X have no value"),
        ("F", [0, 0], "X are nowhere above 0: no F can be made of them"),
        ("J", [-2, 0], "X are nowhere above 0: no F can be made of them"),
    ],
)
def test_values_that_cannot_be(kind: str, values: list[float], said: str) -> None:
    mtz(np.array([[0, 1, 1], [1, 0, 1]]), [("X", kind, np.array(values))]).write_to_file("a.mtz")
    assert refused("a.mtz") == f"a.mtz: {said}"


@pytest.mark.parametrize("index", [1.5, np.nan, 40_000.0])
def test_indices_that_cannot_be(index: float) -> None:
    made = mtz(np.array([[0, 1, 1], [1, 0, 1]]), [("X", "F", np.array([1, 2]))])
    made.array[1, 2] = index
    made.write_to_file("a.mtz")
    assert f"a.mtz: row 2: 1.0 0.0 {index} are no Miller indices" in refused("a.mtz")


def test_unmerged_file_is_refused() -> None:
    hkl = unique()
    mtz(hkl, [("M/ISYM", "Y", hkl[:, 0]), ("BATCH", "B", hkl[:, 0]), ("I", "J", hkl[:, 0])]).write_to_file("a.mtz")
    assert refused("a.mtz") == "a.mtz: an unmerged MTZ file: merge it first, as aimless or `gemmi merge` do"
    made = mtz(hkl, [("I", "J", hkl[:, 0])])
    made.batches.append(gemmi.Mtz.Batch())
    made.write_to_file("b.mtz")
    assert refused("b.mtz") == "b.mtz: an unmerged MTZ file: merge it first, as aimless or `gemmi merge` do"


def test_packed_and_of_the_other_byte_order() -> None:
    hkl = unique()
    content = mtz(hkl, [("FP", "F", amplitude(hkl))]).write_to_bytes()
    Path("a.mtz").write_bytes(content)
    Path("b").write_bytes(gzip.compress(content))
    (words,) = struct.unpack_from("<i", content, 4)
    start = 4 * (words - 1)
    swapped = np.frombuffer(content[80:start], "<u4").astype(">u4").tobytes()
    head = content[:4] + struct.pack(">i", words) + b"\x11\x11" + content[10:80]
    Path("c").write_bytes(head + swapped + content[start:])
    for other in "bc":
        assert by_index(read(other)) == by_index(read("a.mtz"))


def test_every_truncation_is_told() -> None:
    hkl = unique(d_min=9.0)
    content = mtz(hkl, [("FP", "F", amplitude(hkl))]).write_to_bytes()
    end = content.index(b"END ")
    for size in range(4, end, 7):
        Path("a.mtz").write_bytes(content[:size])
        assert "a.mtz" in refused("a.mtz")


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir("tmp")
    monkeypatch.setattr("tempfile.tempdir", str(Path("tmp").absolute()))
    hkl = unique()
    content = mtz(hkl, [("FP", "F", amplitude(hkl))]).write_to_bytes()
    Path("a.mtz").write_bytes(content)
    Path("b.mtz").write_bytes(content.replace(b"SYMM", b"SYMM Z,", 1))
    read("a.mtz")
    assert "tmp" not in refused("b.mtz")
    assert not list(Path("tmp").iterdir())


# CIF ---------------------------------------------------------------------------------------------------------------

MMCIF = """\
data_r1absf
_cell.length_a 20
_cell.length_b 21
_cell.length_c 22
_cell.angle_alpha 90
_cell.angle_beta 90.00(2)
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 21 21 21'
"""
FCF = """\
data_shelx
_cell_length_a 20
_cell_length_b 21
_cell_length_c 22
_cell_angle_alpha 90
_cell_angle_beta 95
_cell_angle_gamma 90
loop_
_space_group_symop_operation_xyz
'x, y, z'
'-x, y+1/2, -z+1/2'
'-x, -y, -z'
'x, -y+1/2, z+1/2'
"""


def cif(head: str, tags: str, rows: Sequence[str], category: str = "_refln.") -> str:
    lines = ["loop_", *(category + tag for tag in tags.split()), *rows]
    return head + "".join(f"{line}\n" for line in lines)


def rows_of(hkl: np.ndarray, *columns: Sequence[object]) -> list[str]:
    return [" ".join(map(str, [*h, *values])) for h, *values in zip(hkl.tolist(), *columns, strict=True)]


INDICES = "index_h index_k index_l"
FM = f"{INDICES} F_meas_au"


def test_mmcif_that_gemmi_makes_of_an_mtz_is_the_same() -> None:
    hkl = acentric()
    made = mtz(hkl, [("FP", "F", amplitude(hkl)), ("SIGFP", "Q", hkl[:, 0]), *pairs(hkl)])
    made.write_to_file("a.mtz")
    Path("a.cif").write_text(gemmi.MtzToCif().write_cif_to_string(made))
    for labels in (None, ["F_meas_au"], ["FP"], ["pdbx_F_plus", "pdbx_F_minus"], ["F(+)", "F(-)"]):
        found = read("a.cif", labels=labels)
        of_mtz = ["F(+)", "F(-)"] if labels and len(labels) == 2 else ["FP"]
        assert by_index(found) == by_index(read("a.mtz", labels=of_mtz))
        assert (found.cell, found.space_group) == (CELL, GROUP)
    assert read("a.cif").labels == ("F_meas_au",)
    assert read("a.cif").notes == ("F from F_meas_au; also there, for -labels: pdbx_F_plus, pdbx_F_minus",)


def test_columns_of_unknown_values_are_passed_over() -> None:
    hkl = unique()
    nothing = ("?." * len(hkl))[: len(hkl)]
    Path("a.cif").write_text(
        cif(MMCIF, f"{INDICES} F_calc F_meas_au intensity_meas", rows_of(hkl, nothing, nothing, np.arange(len(hkl))))
    )
    assert read("a.cif").labels == ("intensity_meas",)


def test_mates_in_two_rows_of_mmcif() -> None:
    hkl = acentric()
    both = np.vstack([hkl, -hkl])
    rows = rows_of(both, amplitude(both), both[:, 0])
    Path("a.cif").write_text(cif(MMCIF, f"{INDICES} F_meas_au F_meas_sigma_au", rows))
    assert by_index(read("a.cif")) == dict(zip(map(tuple, both.tolist()), amplitude(both), strict=True))


@pytest.mark.parametrize("name", ["P 1 21/c 1", "19", None])
def test_list_of_a_small_molecule(name: str | None) -> None:
    head = FCF if name is None else f"{FCF.partition('loop_')[0]}_space_group_name_H-M_alt '{name}'\n"
    head = head.replace("name_H-M_alt '19'", "IT_number 19")
    group = "P 21 21 21" if name == "19" else "P 1 21/c 1"
    hkl = unique(group, (20, 21, 22, 90, 95, 90))
    squares = amplitude(hkl) ** 2
    Path("a.fcf").write_text(
        cif(head, f"{INDICES} F_squared_calc F_squared_meas", rows_of(hkl, squares, 2 * squares), "_refln_")
    )
    found = read("a.fcf")
    assert found.labels == ("F_squared_calc",)
    assert found.space_group == group
    assert found.cell == (20, 21, 22, 90, 95, 90)
    np.testing.assert_array_equal(np.sort(found.f), np.sort(amplitude(hkl)))
    np.testing.assert_allclose(read("a.fcf", labels=["F_squared_meas"]).f, np.sqrt(2.0) * found.f, rtol=1e-12)


def test_list_of_shelx_inside_a_cif() -> None:
    listed = "   1   0   0   16.00    1.00\n   0   0   0    0.00    0.00\n"
    Path("a.cif").write_text(f"{FCF}_shelx_hkl_file\n;\n{listed};\n")
    found = read("a.cif")
    assert by_index(found) == {(1, 0, 0): 4.0}
    assert (found.space_group, found.cell) == ("P 1 21/c 1", (20, 21, 22, 90, 95, 90))


def test_first_block_with_reflections_counts() -> None:
    first, second = (cif(MMCIF.replace("r1ab", name), FM, [f"1 2 3 {f}"]) for name, f in (("A", 5), ("B", 7)))
    Path("a.cif").write_text("data_empty\n_entry.id x\n" + first + second)
    found = read("a.cif")
    assert by_index(found) == {(1, 2, 3): 5.0}
    assert found.notes == ("2 blocks hold reflections: the first was taken, data_Asf",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (cif(MMCIF, FM, ["1 2 3 4", "1 2 4 x"]), "reflection 2 of data_r1absf: F_meas_au must be a"),
        (cif(MMCIF, FM, ["1 2 3 4", "1 2 99999 4"]), "reflection 2 of data_r1absf: 1.0 2.0 99999.0"),
        (cif(MMCIF, FM, ["1 2 3 -4"]), "F_meas_au of 1 2 3 is -4: it must be 0 or above"),
        (cif(MMCIF, FM, ["1 2 3 ?"]), "no reflections: F_meas_au have no value"),
        (cif(MMCIF, FM, ["1 2 x 4"]), "cannot be read as a CIF of structure factors: not an integer"),
        (cif(MMCIF, FM, ["1 2 3"]), "cannot be read as a CIF of structure factors: line "),
        (cif(MMCIF, f"{INDICES} status", ["1 2 3 o"]), "no column of F or intensities; it has status (R)"),
        (cif(MMCIF, f"{INDICES} intensity_net", ["1 2 3 4"], "_diffrn_refln."), "its reflections are unmerged"),
        (cif(MMCIF.replace("21'", "9'"), FM, ["1 2 3 4"]), "its space group 'P 21 21 9' is not known"),
        (cif("data_a\n", FM, ["1 2 3 4"]), "it names no space group: give it as -space_group"),
        (cif(MMCIF.replace("a 20", "a -2"), FM, ["1 2 3 4"]), "its unit cell cannot be: -2 21 22 90 90 90: the edges"),
    ],
)  # fmt: skip
def test_cif_that_cannot_be(text: str, said: str) -> None:
    Path("a.cif").write_text(text)
    assert said in refused("a.cif")


def test_cif_without_a_cell_leaves_it_to_the_option() -> None:
    Path("a.cif").write_text(cif("data_a\n_symmetry.space_group_name_H-M 'P 2'\n", FM, ["1 2 3 4"]))
    assert read("a.cif").cell is None


# XDS ---------------------------------------------------------------------------------------------------------------

XDS = """\
!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=FALSE
!SPACE_GROUP_NUMBER=   19
!UNIT_CELL_CONSTANTS=    20.00    21.00    22.00  90.000  90.000  90.000
!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD=12
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!END_OF_HEADER
"""
END = "!END_OF_DATA\n"
OBSERVED = """\
     1     2     3  4.000E+00  1.000E+00  1205.3  1123.4  12.5 0.01 100 50 0.1
    -1    -2     3  7.000E+00  1.000E+00  1205.3  1123.4  12.5 0.01 100 50 0.1
    -1    -2    -3  9.000E+00  2.000E+00  1205.3  1123.4  12.5 0.01 100 50 0.1
     1     2     3  9.000E+09 -1.000E+00  1205.3  1123.4  12.5 0.01 100 50 0.1
     0     2     3 -3.000E+00  1.000E+00  1205.3  1123.4  12.5 0.01 100 50 0.1
"""


def test_observations_of_xds_are_merged_with_the_mates_apart() -> None:
    Path("XDS_ASCII.HKL").write_text(XDS + OBSERVED + END)
    found = read("XDS_ASCII.HKL")
    expected = {(1, 2, 3): np.sqrt((4 + 7) / 2), (-1, -2, -3): 3.0, (0, 2, 3): 0.0}
    assert by_index(found) == pytest.approx(expected, rel=1e-15)
    assert (found.cell, found.space_group, found.labels) == (CELL, GROUP, ("IOBS",))
    assert found.notes == (
        "1 values whose sigma is not above 0 were left out",
        "4 values were merged to 3",
        "F = sqrt(max(I, 0)): 1 of 3 intensities were below 0",
    )


@pytest.mark.parametrize("law", ["FRIEDEL'S_LAW=TRUE", ""])
def test_mates_of_xds_are_one_where_it_took_them_for_one(law: str) -> None:
    Path("x").write_text(XDS.replace("FRIEDEL'S_LAW=FALSE", law) + OBSERVED + END)
    assert by_index(read("x")) == pytest.approx({(1, 2, 3): np.sqrt((4 + 7 + 9 / 4) / 2.25), (0, 2, 3): 0.0}, rel=1e-15)


def test_integrated_file_has_its_columns_in_order() -> None:
    head = XDS.replace("!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=FALSE", "!OUTPUT_FILE=INTEGRATE.HKL    DATE=")
    head = "".join(line + "\n" for line in head.splitlines() if "ITEM_" not in line)
    Path("INTEGRATE.HKL").write_text(head + OBSERVED + END)
    found = read("INTEGRATE.HKL")
    assert by_index(found) == pytest.approx({(1, 2, 3): np.sqrt((4 + 7 + 9 / 4) / 2.25), (0, 2, 3): 0.0}, rel=1e-15)
    assert found.notes[0] == "intensities of INTEGRATE, which CORRECT has not scaled"


def test_columns_of_xds_are_where_its_header_says() -> None:
    head = XDS.replace("ITEM_H=1", "ITEM_H=3").replace("ITEM_L=3", "ITEM_L=1").replace("ITEM_IOBS=4", "ITEM_IOBS=6")
    Path("x").write_text(head + "3 2 1 0 1 16\n" + END)
    assert by_index(read("x")) == {(1, 2, 3): 4.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (XDS + OBSERVED, ": no line !END_OF_DATA after its data: it is truncated"),
        (XDS.replace("!END_OF_HEADER\n", "") + OBSERVED + END, ": no line !END_OF_HEADER before its data"),
        (XDS + "1 2 3 4 5\n1 2 x 4 5\n" + END, ":12: l must be a finite number, not 'x'"),
        (XDS + "1 2 3 nan 5\n" + END, ":11: I must be a finite number, not 'nan'"),
        (XDS + "1 2 3 4\n" + END, ":11: 4 columns where 5 are needed"),
        (XDS + "1 2 3 4 5\n1 2 3.5 4 5\n" + END, ":12: 1.0 2.0 3.5 are no Miller indices"),
        (XDS + "1 2 99999 4 5\n" + END, ":11: 1.0 2.0 99999.0 are no Miller indices"),
        (XDS + "1 2 3 4 -1\n" + END, ": no reflections: IOBS have no value"),
        (XDS + END, ": no reflections: IOBS have no value"),
        (XDS + "1 2 3 0 1\n" + END, ": IOBS are nowhere above 0"),
        (XDS + "1 2 3 1 1e-200\n" + END, ": IOBS or their sigmas are too large or too small"),
        (XDS.replace("  19", "   0") + OBSERVED + END, ": its SPACE_GROUP_NUMBER '0' is not known: give it"),
        (XDS.replace("  19", " 999") + OBSERVED + END, ": its SPACE_GROUP_NUMBER '999' is not known"),
        (XDS.replace("NUMBER= ", "") + OBSERVED + END, ": its SPACE_GROUP_NUMBER '' is not known: give it"),
        (XDS.replace("20.00", "20,00") + OBSERVED + END, ": !UNIT_CELL_CONSTANTS= 20,00 21.00 22.00"),
        (XDS.replace("20.00", "-0.5") + OBSERVED + END, ": its unit cell cannot be: -0.5 21 22"),
    ],
)  # fmt: skip
def test_file_of_xds_that_cannot_be(text: str, said: str) -> None:
    Path("x").write_text(text)
    assert refused("x").startswith(f"x{said}")


# SHELX -------------------------------------------------------------------------------------------------------------

FIXED = """\
   1   2   3   16.00    2.00   1
  -1  -2  -3   25.00    2.00   1
   1   2   3   18.00    2.00   2
   0   2  -3-1234.56  123.45   2
   0   0   0    0.00    0.00   0
"""


@pytest.mark.parametrize("kind", ["fixed", "text after the end", "free", "free, no batch"])
def test_list_of_shelx(kind: str) -> None:
    text = FIXED.replace("-3-", "-3 -") if "free" in kind else FIXED
    if kind == "free, no batch":
        text = "".join(" ".join(line.split()[:5]) + "\n" for line in text.splitlines())
    Path("x").write_text(text + ("\nTITL x\nCELL 0.71 1 2 3\n" if "text" in kind else "\n\n"))
    found = read("x")
    assert by_index(found) == {(1, 2, 3): np.sqrt(17.0), (-1, -2, -3): 5.0, (0, 2, -3): 0.0}
    assert (found.cell, found.space_group, found.labels) == (None, None, ("I",))
    assert found.notes[0] == "a list of SHELX: intensities (HKLF 4)"


def test_group_that_is_given_decides_on_what_is_equivalent() -> None:
    Path("x").write_text(FIXED.replace("  -1  -2  -3", "  -1  -2   3"))
    found = read("x", space_group=GROUP)
    assert by_index(found) == pytest.approx({(1, 2, 3): np.sqrt((16 + 25 + 18) / 3), (0, 2, 3): 0.0})
    assert found.space_group == GROUP


@pytest.mark.parametrize(
    "text",
    [
        "1 0 0 12.3 0.5\n0 -2 0 7.1 0.3\n",
        "1 0 0 12.3\n0 0 0 0\n",
        "1 0 0 12.3 0.5\n0 0 0 9.1 0.5\n0 1 0 3 1\n0 0 0 0 0\n",
        "# h k l F\n1 0 0 12.3 0.5\n0 0 0 0 0\n",
        "0 0 0 0 0\n",
        "",
    ],
    ids=["no end", "four columns", "F000 in the middle", "comment", "nothing else", "empty"],
)
def test_list_of_p1_is_left_to_its_reader(text: str) -> None:
    Path("x").write_text(text)
    assert read_reflections("x") is None
    assert refused("x", labels=["F"]) == "x: -labels F: only MTZ and CIF have columns by name; leave it out"


def test_row_of_shelx_that_cannot_be() -> None:
    Path("x").write_text(FIXED.replace("   1   2   3   18.00", "   1   2   x   18.00"))
    assert read_reflections("x") is None
    Path("x").write_text(
        "".join(f"   1   2{n:4}   18.00    1.00\n" for n in range(9)) + "   1   2   y   1.0    1.0\n" + FIXED
    )
    assert refused("x").startswith("x:10: l must be a finite number, not 'y'")


# CrystFEL ----------------------------------------------------------------------------------------------------------

CRYSTFEL = """\
CrystFEL reflection list version 2.0
Symmetry: 422
   h    k    l          I    phase   sigma(I)   nmeas
   1    2    3      16.00        -       2.00      12
  -1   -2   -3      25.00        -       2.00       9
   0    2    3      -4.00        -       2.00       9
End of reflections
Generated by CrystFEL 0.10.1
"""


def test_list_of_crystfel() -> None:
    Path("x").write_text(CRYSTFEL)
    found = read("x")
    # 1 2 3 of 422 has its unique mate at 2 1 3.
    assert sorted(by_index(found).values()) == [0.0, 4.0, 5.0]
    assert (found.cell, found.space_group, found.labels) == (None, "P 4 2 2", ("I",))
    assert found.notes == (
        "space group P 4 2 2 from the point group 422: -space_group adds absences",
        "F = sqrt(max(I, 0)): 1 of 3 intensities were below 0",
    )
    assert read("x", space_group="P 43 21 2").space_group == "P 43 21 2"
    Path("x").write_text(CRYSTFEL.replace("422", "4/mmm"))
    assert sorted(read("x").f) == [0.0, np.sqrt(20.5)]


def test_every_point_group_is_that_of_its_space_group() -> None:
    for symbol, name in GROUPS.items():
        assert space_group_of(symbol) == name
        group = gemmi.SpaceGroup(name)
        assert group.xhm() == name
        assert group.is_symmorphic()
        bare = symbol.partition("_")[0]
        assert group.point_group_hm() in (bare, bare.replace("1", "") if bare[0] in "-3" else bare, "-42m", "-62m")
    assert space_group_of("2/m_uab") == "P 1 2/m 1"
    assert space_group_of("2/m") == space_group_of("2/m_uac") == "P 1 1 2/m"
    assert space_group_of("m_uaa") == "P m 1 1"
    assert [space_group_of(symbol) for symbol in ("4/mmm_uac", "4/mmm_uaa", "5", "", "2_uax")] == ["P 4/m m m"] + 4 * [
        None
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("End of reflections\n", "", ": no line 'End of reflections': it is truncated or damaged"),
        ("   h    k    l", "", ": no line 'columns h k l I ...': it is truncated or damaged"),
        ("16.00", "1x", ":4: I must be a finite number, not '1x'"),
        ("16.00", "nan", ":4: I must be a finite number, not 'nan'"),
        ("  12\n", "  12\n1 2\n", ":5: 2 columns where 4 are needed"),
        ("1    2    3 ", "1.5    2    3 ", ":4: 1.5 2.0 3.0 are no Miller indices"),
        ("422", "422_uaa", ": its point group '422_uaa' has no space group here: give it as -space_group"),
        ("Symmetry: 422\n", "", ": its point group '' has no space group here: give it as -space_group"),
    ],
)
def test_list_of_crystfel_that_cannot_be(old: str, new: str, said: str) -> None:
    assert old in CRYSTFEL
    Path("x").write_text(CRYSTFEL.replace(old, new, 1))
    assert refused("x").startswith(f"x{said}")


# Told by content ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "any", "is an HDF5 file, not the reflection file: -img"),
        (b"    1\n -987\n  10.0 10.0\n", "any", "is a merged SCALEPACK file, not the reflection file: convert it to"),
        (b"INDE 1 2 3 FOBS= 12.3\n", "any", "is a reflection file of CNS, not the reflection file: convert it to MTZ"),
        (b"CRYST1   20.0\n", "any", "is a PDB file, not the reflection file: give it as -pdb"),
        (b"data_x\n_atom_site.id 1\n_reflns.d_resolution_high 2\n", "any", "is an mmCIF file, not the reflection file"),
        (MMCIF.encode() + b"_refln.index_h 1\n", "mtz", "is a CIF of structure factors, not an MTZ file: give it as"),
        (b"MTZ ", "cif", "is an MTZ file, not a CIF of structure factors: give it as -mtz or -hkl"),
        (XDS.encode(), "mtz", "is a reflection file of XDS, not an MTZ file: give it as -hkl"),
        (FIXED.encode(), "cif", "is a reflection file of SHELX, which ends with 0 0 0, not a CIF of"),
        (CRYSTFEL.encode(), "mtz", "is a reflection list of CrystFEL, not an MTZ file: give it as -hkl"),
        (b"data_x\n_atom_site.id 1\n", "cif", "is an mmCIF file, not a CIF of structure factors: give it as -pdb"),
        (b"1 2 3 4\n", "mtz", "is not an MTZ file: give a list of h k l F as -hkl"),
        (b"", "cif", "is not a CIF of structure factors: give a list of h k l F as -hkl"),
        (b"\xff\xff\0\1", "any", "the reflection file must be plain (UTF-8) text"),
    ],
)  # fmt: skip
def test_file_of_another_kind(content: bytes, kind: str, said: str) -> None:
    Path("x").write_bytes(content)
    assert said in refused("x", kind=kind)


def test_every_kind_may_be_packed_have_lines_of_windows_or_come_through_a_pipe() -> None:
    texts = {"xds": XDS + OBSERVED + END, "shelx": FIXED, "crystfel": CRYSTFEL, "fcf": FCF + "loop_\n" + "".join(
        f"_refln_{tag}\n" for tag in f"{INDICES} F_calc".split()) + "1 2 3 4\n"}  # fmt: skip
    for text in texts.values():
        Path("x").write_text(text)
        expected = by_index(read("x"))
        Path("x").write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
        assert by_index(read("x")) == expected
        os.mkfifo("pipe")
        writer = threading.Thread(target=Path("pipe").write_text, args=(text,))
        writer.start()
        assert by_index(read("pipe")) == expected
        writer.join()
        os.unlink("pipe")


def test_content_that_was_read_from_a_pipe_is_enough() -> None:
    content = b"1 2 3 4\n"
    assert reflections_of("gone", content) is None
    assert hkl_of("gone", content)[1].tolist() == [4.0]


@pytest.mark.parametrize("kind", ["mtz", "sf_cif", "fcf", "xds", "shelx", "crystfel"])
def test_damaged_file_is_read_or_refused_in_a_line(kind: str) -> None:
    good = damage.examples()[kind]
    assert reflections_of("good", good) is not None
    said = []
    for index in range(150):
        content = damage.damaged(random.Random(f"{kind}:{index}"), good)
        try:
            found = reflections_of("file", content)
        except NbnumbaError as error:
            said.append(str(error))
        else:
            assert found is None or (np.isfinite(found.f).all() and (found.f >= 0.0).all() and found.f.any()), index
    assert [line for line in said if not line.startswith("file") or "\n" in line] == []
    assert len(said) > 30


# What one file says, whichever way it says it -------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["P 1", "P 1 21 1", GROUP, "P 43 21 2", "H 3", "P 61 2 2", "I 2 3", "P -1"]),
    st.lists(st.tuples(*[st.integers(-9, 9)] * 3), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_any_rows_are_merged_as_the_operations_say(
    name: str, indices: list[tuple[int, ...]], rng: random.Random
) -> None:
    group = gemmi.SpaceGroup(name)
    values = [float(rng.randrange(1, 1000)) for _ in indices]
    rows = Observations(hkl=np.array(indices, np.int32), values=np.array(values), are_intensities=False, labels=("F",))
    found = merged(rows, group)
    listed = dict(zip(map(tuple, found.hkl.tolist()), found.values, strict=True))
    if found.minus is not None:
        listed |= {
            tuple(-np.array(h)): f for h, f in zip(found.hkl.tolist(), found.minus, strict=True) if np.isfinite(f)
        }
    spread = {}
    for h, f in listed.items():
        for image in {tuple(operation.apply_to_hkl(h)) for operation in group.operations().sym_ops}:
            assert image not in spread or spread[image] == f
            spread[image] = f
    for h in indices:
        images = {tuple(operation.apply_to_hkl(h)) for operation in group.operations().sym_ops}
        mean = np.mean([f for other, f in zip(indices, values, strict=True) if tuple(other) in images])
        assert spread[tuple(h)] == pytest.approx(mean, rel=1e-12)
    assert set(spread) == {tuple(o.apply_to_hkl(h)) for h in indices for o in group.operations().sym_ops}


# Real files, where they are ------------------------------------------------------------------------------------------

REAL = Path(os.environ.get("NBNUMBA_REAL_FILES", "real"))
FOUND = {
    "5e5z.mtz": ("P 1 21 1", ("FP",), 403),
    "5wkd_phases.mtz.gz": ("C 1 2 1", ("FC_ALL_LS",), 367),
    "r5wkdsf.ent": ("C 1 2 1", ("F_calc_au",), 406),
    "4aap-sf-subset.cif": ("P 32 2 1", ("F_calc",), 30),
    "2242624.hkl": ("P -1", ("F_squared_calc",), 71),
    "INTEGRATE-tiny.HKL": ("P 1 2 1", ("IOBS",), 126),
}


@pytest.mark.parametrize("name", FOUND)
def test_real_file(name: str) -> None:
    if not (REAL / name).exists():
        pytest.skip("needs gemmi's own tests, in the folder that NBNUMBA_REAL_FILES names")
    found = read_reflections(REAL / name)
    assert found is not None
    assert (found.space_group, found.labels, len(found.f)) == FOUND[name]
    assert found.cell is not None
