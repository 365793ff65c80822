"""Reflection files of other programs: what is read of each, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import gemmi
import numpy as np
import pytest

from nbnumba.errors import InputFileError
from nbnumba.formats.reflections import Reflections, read_reflections

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
    made = gemmi.Mtz(with_base=True)
    made.spacegroup = gemmi.SpaceGroup(group)
    made.set_cell_for_all(gemmi.UnitCell(*cell))
    made.add_dataset("set")
    for label, kind, _ in columns:
        made.add_column(label, kind)
    made.set_data(np.column_stack([hkl, *(values for _, _, values in columns)]).astype(np.float32))
    return made


def read(name: str, **given: object) -> Reflections:
    found = read_reflections(name, **given)  # type: ignore[arg-type]
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
        read_reflections(name, **given)  # type: ignore[arg-type]
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


def test_intensities_become_amplitudes_and_are_counted() -> None:
    hkl = acentric()[:4]
    mtz(hkl, [("IMEAN", "J", np.array([9.0, -1.0, 0.0, np.nan]))]).write_to_file("a.mtz")
    found = read("a.mtz")
    assert sorted(found.f) == [0.0, 0.0, 3.0]
    assert found.notes == ("F = sqrt(max(I, 0)): 1 of 3 intensities were below 0",)


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
