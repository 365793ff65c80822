"""Matrices, masks and sources that an experiment holds itself: the same images as from their files."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from models import mtz_of

from nbnumba import (
    Experiment,
    Image,
    InputFileError,
    NbnumbaError,
    NbnumbaWarning,
    StructureFactors,
    UsageError,
    changed,
    simulate,
    simulate_many,
)
from nbnumba.commands.report import Finished, Told, as_json, describe
from nbnumba.kernels.equations.vectors import rotated_xyz
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.testing.properties import xyz_angles_deg

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

SLOW, FAST = 10, 12
OBLIQUE = Experiment.from_args(
    f"-cell 50 60 70 75 85 95 -N 3 -default_F 100 -detpixels_f {FAST} -detpixels_s {SLOW} -pixel 4 -lambda 0.9 "
    "-misset 10 20 30 -oversample 1 -seed 1".split()
)
A_MATRIX = np.array([[0.021, 0.001, -0.002], [0.003, 0.017, 0.0015], [-0.001, 0.0005, 0.014]])
ROTATION = np.column_stack([rotated_xyz(axis, 0.3, -0.5, 0.7) for axis in np.identity(3).tolist()])
QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def photons(experiment: Experiment) -> np.ndarray:
    return simulate(experiment, backend="cpu").photons


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


def written(path: Path, rows: Any) -> str:
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows))
    return str(path)


def mask_file(path: Path, mask: np.ndarray) -> str:
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1={mask.shape[1]};\nSIZE2={mask.shape[0]};\n}}"
    path.write_bytes(header.encode().ljust(512) + mask.astype("<u2").tobytes())
    return str(path)


# Matrices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("wavelength", [1.0, 0.9])
@pytest.mark.parametrize("cell", [None, OBLIQUE.crystal.cell])
def test_a_matrix_is_that_of_a_file_without_the_wavelength(
    mode: str, wavelength: float, cell: Any, tmp_path: Path
) -> None:
    experiment = changed(OBLIQUE, mode=mode, beam={"wavelength_angstrom": wavelength}, crystal={"cell": cell})
    in_file = written(tmp_path / "A.mat", A_MATRIX.tolist())
    held = changed(experiment, crystal={"a_matrix": A_MATRIX / wavelength})
    expected = photons(changed(experiment, crystal={"matrix_file": in_file}))
    np.testing.assert_array_equal(photons(held), expected)
    assert expected.any()


def test_a_matrix_does_not_change_with_the_wavelength() -> None:
    held = changed(OBLIQUE, crystal={"a_matrix": A_MATRIX, "cell": None, "misset_deg": (0, 0, 0)})
    for wavelength in (0.7, 1.3):
        lattice = resolved(changed(held, beam={"wavelength_angstrom": wavelength})).lattice
        np.testing.assert_allclose(
            np.column_stack([lattice.a_star, lattice.b_star, lattice.c_star]), A_MATRIX, rtol=1e-12
        )


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_u_matrix_of_no_rotation_changes_nothing(mode: str) -> None:
    experiment = changed(OBLIQUE, mode=mode)
    np.testing.assert_array_equal(
        photons(changed(experiment, crystal={"u_matrix": np.identity(3)})), photons(experiment)
    )


def test_u_matrix_turns_as_a_misset_does_and_before_it() -> None:
    turned = changed(OBLIQUE, crystal={"u_matrix": ROTATION, "misset_deg": (0, 0, 0)})
    as_misset = changed(OBLIQUE, crystal={"misset_deg": xyz_angles_deg(ROTATION)})
    np.testing.assert_allclose(resolved(turned).lattice.a_star, resolved(as_misset).lattice.a_star, atol=1e-15)
    np.testing.assert_allclose(resolved(turned).lattice.c, resolved(as_misset).lattice.c, atol=1e-11)
    both = resolved(changed(turned, crystal={"misset_deg": (10, 20, 30)})).lattice.b_star
    first = resolved(turned).lattice.b_star
    np.testing.assert_allclose(both, rotated_xyz(first, *np.radians((10, 20, 30)).tolist()), atol=1e-15)


def test_u_matrix_of_a_quarter_turn_is_an_a_matrix() -> None:
    still = changed(OBLIQUE, crystal={"cell": (50, 60, 70, 90, 90, 90), "misset_deg": (0, 0, 0)})
    by_u = resolved(changed(still, crystal={"u_matrix": QUARTER_TURN})).lattice
    assert np.argmax(np.abs(by_u.a_star)) == 1
    assert by_u.a_star[1] == pytest.approx(1 / 50)
    assert by_u.b_star[0] == pytest.approx(-1 / 60)


def test_u_matrix_turns_the_cell_of_coordinates(tmp_path: Path) -> None:
    atom = "ATOM      1  C   GLY A   1       5.000   5.000   5.000  1.00 20.00           C\nEND\n"
    (tmp_path / "m.pdb").write_text("CRYST1   40.000   50.000   60.000  90.00  90.00  90.00 P 1           1\n" + atom)
    model = changed(
        OBLIQUE, crystal={"cell": None, "u_matrix": ROTATION}, structure_factors={"coordinate_file": tmp_path / "m.pdb"}
    )
    with_cell = changed(OBLIQUE, crystal={"cell": (40, 50, 60, 90, 90, 90), "u_matrix": ROTATION})
    assert resolved(model).lattice.a == resolved(with_cell).lattice.a


def test_labels_know_where_the_cell_comes_from() -> None:
    assert "C-19" in resolved(OBLIQUE).labels
    assert "C-19" in resolved(changed(OBLIQUE, crystal={"u_matrix": ROTATION})).labels
    assert "C-19" not in resolved(changed(OBLIQUE, crystal={"a_matrix": A_MATRIX})).labels


# Masks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(5).random((SLOW, FAST)) < 0.6


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_mask_is_that_of_a_file(kind: Any, mask: np.ndarray, tmp_path: Path) -> None:
    held = changed(OBLIQUE, detector={"mask": mask.astype(kind) * kind(1)})
    in_file = changed(OBLIQUE, detector={"mask_file": mask_file(tmp_path / "m.img", mask)})
    np.testing.assert_array_equal(photons(held), photons(in_file))
    assert ((photons(held) > 0) == (mask & (photons(OBLIQUE) > 0))).all()
    assert f"mask in memory: {np.count_nonzero(~mask)} pixels not rendered" in describe(resolved(held), [], [])


def test_size_of_a_mask_is_that_of_the_detector_where_none_is_given(mask: np.ndarray) -> None:
    unsized = changed(OBLIQUE, detector={"fast_pixels": None, "slow_pixels": None, "mask": mask})
    assert photons(unsized).shape == mask.shape
    wrong = changed(OBLIQUE, detector={"mask": mask.T})
    with pytest.raises(UsageError, match=r"^detector.mask: a mask of 10 x 12 pixels \(fast x slow\) for a detector of"):
        simulate(wrong)


def test_mask_is_kept_by_its_content(mask: np.ndarray) -> None:
    original = mask.copy()
    held, same = (changed(OBLIQUE, detector={"mask": kind}) for kind in (mask, np.asfortranarray(mask * 7)))
    mask[:] = ~mask
    assert (held, hash(held)) == (same, hash(same))
    assert held not in (OBLIQUE, changed(OBLIQUE, detector={"mask": mask}))
    assert pickle.loads(pickle.dumps(held)) == held
    kept = np.asarray(held.detector.mask)
    np.testing.assert_array_equal(kept, original)
    assert not kept.flags.writeable
    assert changed(OBLIQUE, detector={"mask": held.detector.mask}) == held
    assert len(repr(held.detector.mask)) < 50


def test_mask_has_no_text(mask: np.ndarray) -> None:
    held = changed(OBLIQUE, detector={"mask": mask})
    for text in (held.to_toml, held.to_dict):
        with pytest.raises(UsageError, match=r"^detector.mask: a mask in memory has no text: save it as an SMV image"):
            text()
    with pytest.raises(UsageError, match=r"^detector.mask: no option says Mask\(slow_pixels=10, fast_pixels=12\)$"):
        held.to_args()


# Sources -----------------------------------------------------------------------------------------------------------

ROWS = [
    [-10.0, 0.1, 0.0, 1.0, 0.9e-10],
    [-10.0, 0.0, 0.2, 2.5, 0.95e-10],
    [-5.0, 0.3, 0.2, 0.0, 1.1e-10],
]


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("columns", [5, 4, 3])
def test_sources_are_those_of_a_file(mode: str, columns: int, tmp_path: Path) -> None:
    experiment = changed(OBLIQUE, mode=mode)
    in_file = written(tmp_path / "s.txt", [row[:columns] for row in ROWS])
    given = np.array(ROWS)
    given[:, columns:] = np.nan
    held = changed(experiment, beam={"sources": given})
    expected = photons(changed(experiment, beam={"source_file": in_file}))
    np.testing.assert_array_equal(photons(held), expected)
    assert expected.any()
    assert ("C-8" in resolved(held).labels) == (columns > 3)


def test_what_a_source_leaves_out_may_be_none_or_nan_anywhere() -> None:
    nans = changed(OBLIQUE, beam={"sources": [[np.nan] * 5, [-1, 0, 0, np.nan, 1e-10]]})
    nones = changed(OBLIQUE, beam={"sources": [(None,) * 5, (-1, 0, 0, None, 1e-10)]})
    assert nans == nones
    assert hash(nans) == hash(nones)
    assert Experiment.from_toml(nans.to_toml()) == nans
    sources = resolved(nans).sources
    np.testing.assert_allclose(sources.incident, [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(sources.wavelength_angstrom, [0.9, 1.0])
    np.testing.assert_allclose(sources.weight, [1, 1])


# All of them -------------------------------------------------------------------------------------------------------


def test_matrices_and_sources_survive_a_toml_document(tmp_path: Path) -> None:
    held = changed(OBLIQUE, crystal={"a_matrix": A_MATRIX, "cell": None}, beam={"sources": ROWS})
    assert Experiment.from_toml(held.to_toml()) == held
    assert hash(Experiment.from_toml(held.to_toml())) == hash(held)
    (tmp_path / "e.toml").write_text(held.to_toml(), "utf-8")
    assert parse(["-experiment", str(tmp_path / "e.toml")]).experiment == held
    with pytest.raises(UsageError, match=r"^crystal.a_matrix: no option says \(\(0\.021, "):
        changed(held, beam={"sources": None}).to_args()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crystal": {"a_matrix": np.identity(2)}}, "crystal.a_matrix: [[1.0, 0.0], [0.0, 1.0]] is not 3 x 3 numbers"),
        ({"crystal": {"u_matrix": np.zeros((4, 3))}}, "crystal.u_matrix: an array (4, 3) of float64 is not 3 x 3 numb"),
        ({"crystal": {"u_matrix": np.zeros(9)}}, "crystal.u_matrix: [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]"),
        ({"crystal": {"a_matrix": np.full((3, 3), np.nan)}}, "crystal.a_matrix nan: give a finite number"),
        ({"crystal": {"a_matrix": np.ones((3, 3))}}, "crystal.a_matrix is singular: its columns a*, b*, c* lie in one"),
        ({"crystal": {"a_matrix": np.diag([1.0, 0.0, 1.0])}}, "crystal.a_matrix is singular"),
        ({"crystal": {"a_matrix": 1e-70 * np.identity(3)}}, "crystal.a_matrix is singular"),
        ({"crystal": {"u_matrix": np.diag([1.0, 1.001, 1.0])}}, "crystal.u_matrix is no rotation: its columns are not "
         "of length 1 and at right angles, but 0.002 off"),
        ({"crystal": {"u_matrix": A_MATRIX}}, "crystal.u_matrix is no rotation: its columns"),
        ({"crystal": {"u_matrix": -QUARTER_TURN}}, "crystal.u_matrix is no rotation: it turns a right hand into"),
        ({"crystal": {"u_matrix": QUARTER_TURN, "cell": None}}, "no unit cell: give -cell"),
        ({"crystal": {"u_matrix": QUARTER_TURN, "a_matrix": A_MATRIX}}, "crystal.a_matrix and crystal.u_matrix: give"),
        ({"detector": {"mask": np.ones((2, 2))}}, "detector.mask: [[1.0, 1.0], [1.0, 1.0]] is not an array"),
        ({"detector": {"mask": np.ones(4, bool)}}, "detector.mask: [True, True, True, True] is not an array"),
        ({"detector": {"mask": np.ones((0, 4), bool)}}, "detector.mask: [] is not an array (slow, fast)"),
        ({"detector": {"mask": "mask.img"}}, "detector.mask: 'mask.img' is not an array (slow, fast)"),
        ({"beam": {"sources": []}}, "beam.sources is empty: give rows of x, y, z, weight, wavelength_m"),
        ({"beam": {"sources": [[-1, 0, 0]]}}, "beam.sources: [[-1, 0, 0]] is not rows of 5 numbers"),
        ({"beam": {"sources": [ROWS[0], [-1, None, 0, 1, 1e-10]]}}, "beam.sources row 1: x, y and z belong together"),
        ({"beam": {"sources": [[0, 0, 0, 1, 1e-10]]}}, "beam.sources row 0: a source at 0 0 0 has no direction"),
        ({"beam": {"sources": [[-1, 0, 0, -2, 1e-10]]}}, "beam.sources row 0: weight = -2 must not be negative"),
        ({"beam": {"sources": [[-1, 0, 0, 1, 0]]}}, "beam.sources row 0: wavelength = 0 m must be positive"),
        ({"beam": {"sources": [ROWS[0], [-1, 0, 0, 1, 0.98]]}}, "beam.sources row 1: wavelength = 0.98 is not in"),
        ({"beam": {"sources": [[-1, 0, 0, 0, None]]}}, "beam.sources has weights that sum to 0"),
        ({"beam": {"sources": [[-1, 0, 0, np.inf, None]]}}, "beam.sources inf: give a finite number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        simulate(changed(OBLIQUE, **changes), backend="cpu")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_array_and_file_at_once_are_refused(mask: np.ndarray, tmp_path: Path) -> None:
    twins: list[tuple[dict[str, Any], str]] = [
        ({"crystal": {"a_matrix": A_MATRIX, "matrix_file": written(tmp_path / "A", A_MATRIX.tolist())}}, "a_matrix"),
        ({"crystal": {"u_matrix": ROTATION, "matrix_file": written(tmp_path / "A", A_MATRIX.tolist())}}, "u_matrix"),
        ({"detector": {"mask": mask, "mask_file": mask_file(tmp_path / "m", mask)}}, "mask"),
        ({"beam": {"sources": ROWS, "source_file": written(tmp_path / "s", ROWS)}}, "sources"),
    ]
    for changes, name in twins:
        with pytest.raises(UsageError, match=rf"^\w+_?\w*\.\w+_file and \w+\.{re.escape(name)}: give one of them$"):
            simulate(changed(OBLIQUE, **changes))


def test_mask_file_of_the_wrong_size_is_still_the_files_fault(mask: np.ndarray, tmp_path: Path) -> None:
    wrong: type[NbnumbaError] = InputFileError
    with pytest.raises(wrong, match="a mask of 10 x 12 pixels"):
        simulate(changed(OBLIQUE, detector={"mask_file": mask_file(tmp_path / "m.img", mask.T)}))


@pytest.mark.filterwarnings("default::nbnumba.errors.NbnumbaWarning")
def test_a_left_handed_matrix_is_told() -> None:
    held = changed(OBLIQUE, crystal={"a_matrix": A_MATRIX[:, [1, 0, 2]]})
    with pytest.warns(NbnumbaWarning, match=r"^crystal\.a_matrix: a\*, b\*, c\* are left-handed"):
        resolved(held)


def test_a_matrix_of_direct_axes_is_refused() -> None:
    direct = changed(OBLIQUE, crystal={"cell": None, "a_matrix": np.linalg.inv(A_MATRIX).T})
    with pytest.raises(UsageError, match=r"^crystal\.a_matrix: it is that of a cell of .* Å, which no crystal has"):
        resolved(direct)
    resolved(changed(direct, mode="c"))


def finished(image: Image) -> Finished:
    return Finished(image, (Told(0.0, image.statistics, None, None),), "cpu", {}, ())


def test_a_report_says_that_its_mask_is_in_memory(mask: np.ndarray) -> None:
    image = simulate(changed(OBLIQUE, detector={"mask": mask}), backend="cpu")
    told = as_json(finished(image), (), (), {})["experiment"]["detector"]
    assert told["mask"] == f"in memory, {FAST} x {SLOW} pixels (fast x slow)"
    assert told["fast_pixels"] == FAST


# Reflections -------------------------------------------------------------------------------------------------------

HKL = [[1, 0, 0], [0, 2, 1], [1, 2, 3]]
F = [10.0, 20.0, 30.0]
CELL = (50.0, 60.0, 70.0, 90.0, 90.0, 90.0)


class Series:
    """A column of a :class:`Table`: no more than what is asked of pandas."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype)


class Kind:
    """A data type of reciprocalspaceship."""

    def __init__(self, mtztype: str) -> None:
        self.mtztype = mtztype


class Table:
    """What is asked of a pandas DataFrame: its index h, k, l becomes columns on demand."""

    def __init__(self, columns: dict[str, Any], kinds: dict[str, str] | None = None, **attributes: Any) -> None:
        self._columns = columns
        self.columns = [name for name in columns if name not in ("H", "K", "L")]
        self.dtypes = {name: Kind(kinds[name]) if kinds else np.dtype(float) for name in self.columns}
        vars(self).update(attributes)

    def reset_index(self) -> Table:
        every = Table.__new__(Table)
        every._columns, every.columns = self._columns, list(self._columns)
        return every

    def __getitem__(self, name: str) -> Series:
        return Series(self._columns[name])


def indexed(**columns: Any) -> dict[str, Any]:
    h, k, l = np.array(HKL).T.tolist()
    return {"H": h, "K": k, "L": l, **columns}


def test_f_of_arrays_are_those_of_a_list(tmp_path: Path) -> None:
    listed = tmp_path / "F.hkl"
    listed.write_text("".join(f"{h} {k} {l} {f}\n" for (h, k, l), f in zip(HKL, F, strict=True)))
    still = changed(OBLIQUE, structure_factors={"default_f": 0.0})
    by_file = changed(still, structure_factors={"hkl_file": str(listed)})
    in_memory = changed(still, structure_factors=StructureFactors.from_arrays(HKL, F))
    np.testing.assert_array_equal(resolved(in_memory).table.values, resolved(by_file).table.values)
    np.testing.assert_array_equal(photons(in_memory), photons(by_file))


def test_mates_of_arrays_stand_at_their_places() -> None:
    factors = StructureFactors.from_arrays(HKL, F, [11.0, np.nan, 33.0])
    table = resolved(changed(OBLIQUE, structure_factors=factors)).table
    h0, k0, l0 = table.first
    found = [table.values[0, h - h0, k - k0, l - l0] for h, k, l in [*HKL, *(-np.array(HKL)).tolist()]]
    assert found == [10.0, 20.0, 30.0, 11.0, 0.0, 33.0]


def test_arrays_with_a_space_group_are_expanded_as_a_file_is() -> None:
    factors = StructureFactors.from_arrays(HKL, F, space_group="P 21 21 21", cell=CELL)
    found = resolved(changed(OBLIQUE, structure_factors=factors, crystal={"cell": None}))
    assert found.experiment.crystal.cell == CELL
    h0, k0, l0 = found.table.first
    mates = [(h, k, l) for h in (1, -1) for k in (2, -2) for l in (3, -3)]
    assert {found.table.values[0, h - h0, k - k0, l - l0] for h, k, l in mates} == {30.0}
    assert found.table.values[0, 1 - h0, -k0, -l0] == 0.0, "2₁ axes forbid h 0 0 with odd h"


def test_reflections_in_memory_compare_and_hash_by_content() -> None:
    one, same = (StructureFactors.from_arrays(np.array(HKL, dtype), F) for dtype in (np.int8, float))
    assert one == same
    assert hash(one) == hash(same)
    assert {one: "kept"}[same] == "kept"
    assert pickle.loads(pickle.dumps(one)) == one
    others = [
        StructureFactors.from_arrays(HKL, [10.0, 20.0, 31.0]),
        StructureFactors.from_arrays(HKL, F, F),
        StructureFactors.from_arrays(HKL, F, space_group="P 1"),
        StructureFactors.from_arrays(HKL, F, cell=CELL),
    ]
    assert all(one != other for other in others)
    assert len(str(one)) < 1000


def test_a_series_makes_a_table_of_reflections_in_memory_once() -> None:
    stills = [
        changed(OBLIQUE, structure_factors=StructureFactors.from_arrays(HKL, F), scan={"phi_deg": float(phi)})
        for phi in range(3)
    ]
    assert len({id(image.resolved.table) for image in simulate_many(stills)}) == 1


def test_a_gemmi_mtz_is_its_file(tmp_path: Path) -> None:
    columns = ("F(+)", "G", F), ("F(-)", "G", [11.0, 22.0, 33.0])
    mtz = mtz_of(HKL, columns, gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(*CELL))
    path = tmp_path / "data.mtz"
    mtz.write_to_file(str(path))
    still = changed(OBLIQUE, crystal={"cell": None})
    by_file = resolved(changed(still, structure_factors={"hkl_file": str(path), "default_f": 0.0})).table
    in_memory = resolved(changed(still, structure_factors=StructureFactors.from_mtz(mtz))).table
    np.testing.assert_array_equal(in_memory.values, by_file.values)
    assert StructureFactors.from_mtz(mtz) == StructureFactors.from_mtz(mtz, ["F(+)", "F(-)"])
    with pytest.raises(InputFileError, match="there is no column FP; it has"):
        StructureFactors.from_mtz(mtz, ["FP"])
    with pytest.raises(UsageError, match=r"str is no gemmi\.Mtz"):
        StructureFactors.from_mtz(str(path))


def test_tables_with_named_columns() -> None:
    expected = StructureFactors.from_arrays(HKL, F)
    assert StructureFactors.from_dataset(Table(indexed(FP=F, SIGFP=F))) == expected
    assert StructureFactors.from_dataset(Table(indexed(I=np.square(F)))) == expected
    assert StructureFactors.from_dataset(Table(indexed(A=F, B=F)), ["A"]) == expected
    mates = {"F(+)": F, "F(-)": [1.0, 2.0, 3.0]}
    assert StructureFactors.from_dataset(Table(indexed(**mates))) == StructureFactors.from_arrays(HKL, F, [1, 2, 3])


def test_a_dataset_of_reciprocalspaceship_knows_its_types_cell_and_space_group() -> None:
    group = gemmi.SpaceGroup("P 21 21 21")
    table = Table(
        indexed(mine=np.square(F), PHI=F), {"mine": "J", "PHI": "P"}, cell=gemmi.UnitCell(*CELL), spacegroup=group
    )
    expected = StructureFactors.from_arrays(HKL, F, cell=CELL, space_group="P 21 21 21")
    assert StructureFactors.from_dataset(table) == expected


@pytest.mark.parametrize(
    ("hkl", "f", "others", "message"),
    [
        ([[1, 0]], [1.0], {}, r"hkl: give an array of whole numbers of shape \(n, 3\), not one of \(1, 2\)"),
        ([[1, 0, 0.5]], [1.0], {}, r"hkl: \[1.0, 0.0, 0.5\] is no Miller index"),
        ([[1, 0, 3e9]], [1.0], {}, "is no Miller index"),
        (HKL, [1.0], {}, "f: give 3 numbers, one for each row of hkl"),
        (HKL, ["a", "b", "c"], {}, "f: give 3 numbers"),
        (HKL, [1.0, -2.0, 3.0], {}, r"f: -2 in row 1 must be a finite \|F\|"),
        (HKL, [1.0, np.inf, 3.0], {}, "f: inf in row 1"),
        (HKL, [np.nan] * 3, {}, "f: no reflection has a value"),
        (HKL, F, {"f_minus": [1.0]}, "f_minus: give 3 numbers"),
        (HKL, F, {"cell": (1.0, 2.0)}, "cell: give a, b, c in Å"),
        (HKL, F, {"cell": (50, 60, 70, 0, 90, 90)}, "cell "),
        (HKL, F, {"space_group": 19}, "space_group 19: give its Hermann-Mauguin symbol"),
        (HKL, F, {"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_wrong_with_arrays_is_said(hkl: Any, f: Any, others: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, TypeError), match=message):
        StructureFactors.from_arrays(hkl, f, **others)


def test_what_is_wrong_with_tables_is_said() -> None:
    with pytest.raises(UsageError, match="list is no table with named columns"):
        StructureFactors.from_dataset([1, 2])
    with pytest.raises(UsageError, match="no h, k and l"):
        StructureFactors.from_dataset(Table({"FP": F}))
    with pytest.raises(InputFileError, match="no column of F or intensities"):
        StructureFactors.from_dataset(Table(indexed(A=F)))


def test_reflections_in_memory_have_no_text_but_a_report(tmp_path: Path) -> None:
    experiment = changed(OBLIQUE, structure_factors=StructureFactors.from_arrays(HKL, F))
    for text in (experiment.to_toml, experiment.to_args):
        with pytest.raises(UsageError, match=r"structure_factors\.reflections"):
            text()
    image = simulate(experiment, backend="cpu")
    values = as_json(finished(image), (), (), {"total": 0.0})
    assert values["experiment"]["structure_factors"]["reflections"] == "in memory, 3 reflections"
