"""Matrices, masks and sources that an experiment holds itself: the same images as from their files."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, InputFileError, NbnumbaError, NbnumbaWarning, UsageError, changed, simulate
from nbnumba.commands.report import as_json, describe
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


def test_a_report_says_that_its_mask_is_in_memory(mask: np.ndarray) -> None:
    image = simulate(changed(OBLIQUE, detector={"mask": mask}), backend="cpu")
    told = as_json(image, (), (), "cpu", {}, {})["experiment"]["detector"]
    assert told["mask"] == f"in memory, {FAST} x {SLOW} pixels (fast x slow)"
    assert told["fast_pixels"] == FAST
