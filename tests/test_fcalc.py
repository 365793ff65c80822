"""Structure factors from coordinates against a direct sum over the atoms."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

import gemmi
import pytest

from nbnumba.errors import InputFileError, ResourceError
from nbnumba.fcalc import structure_factors_from_coordinates

LYSOZYME = Path(str(resources.files("nbnumba") / "data" / "1hel.pdb"))


def calculated(path: Path = LYSOZYME, dmin: float = 4.0, solvent: bool = False) -> dict[tuple[int, ...], float]:
    hkl, amplitudes, _ = structure_factors_from_coordinates(path, dmin, solvent, 0.35, 46.0)
    return dict(zip(map(tuple, hkl.tolist()), amplitudes.tolist(), strict=True))


def test_amplitudes_are_those_of_a_direct_sum() -> None:
    factors = calculated()
    structure = gemmi.read_structure(str(LYSOZYME))
    direct = gemmi.StructureFactorCalculatorX(structure.cell)
    for hkl in [(0, 0, 0), (1, 1, 0), (2, -5, 3), (-7, 4, -1), (0, 0, 4), (11, 3, 2)]:
        expected = abs(direct.calculate_sf_from_model(structure[0], hkl))
        assert factors[hkl] == pytest.approx(expected, rel=0.01, abs=0.1), hkl


def test_sphere_is_whole_and_symmetric() -> None:
    factors = calculated()
    cell = gemmi.read_structure(str(LYSOZYME)).cell
    reachable = [(h, k, l) for h in range(-25, 26) for k in range(-25, 26) for l in range(-15, 16)]
    assert set(factors) == {hkl for hkl in reachable if hkl == (0, 0, 0) or cell.calculate_d(hkl) >= 4.0}
    for (h, k, l), amplitude in factors.items():
        assert factors[-h, -k, -l] == pytest.approx(amplitude, rel=1e-4, abs=0.1)
        # The fourfold screw axis.
        assert factors[-k, h, l] == pytest.approx(amplitude, rel=1e-3, abs=1.0)


def test_solvent_fills_the_cell_and_weakens_low_resolution() -> None:
    dry, wet = calculated(dmin=3.0), calculated(dmin=3.0, solvent=True)
    volume = 79.1 * 79.1 * 37.9
    assert 0.2 < (wet[0, 0, 0] - dry[0, 0, 0]) / (0.35 * volume) < 0.5
    cell = gemmi.UnitCell(79.1, 79.1, 37.9, 90, 90, 90)
    spacing = {hkl: cell.calculate_d(hkl) for hkl in dry if hkl != (0, 0, 0)}
    low = [hkl for hkl, d in spacing.items() if d > 12.0]
    high = [hkl for hkl, d in spacing.items() if d < 3.1]
    assert sum(wet[hkl] for hkl in low) < 0.7 * sum(dry[hkl] for hkl in low)
    assert sum(wet[hkl] for hkl in high) == pytest.approx(sum(dry[hkl] for hkl in high), rel=0.02)


def test_formats_agree(tmp_path: Path) -> None:
    structure = gemmi.read_structure(str(LYSOZYME))
    mmcif = tmp_path / "model.cif"
    structure.make_mmcif_document().write_file(str(mmcif))
    zipped = tmp_path / "model.pdb.gz"
    zipped.write_bytes(gzip.compress(LYSOZYME.read_bytes()))
    expected = calculated(dmin=8.0)
    assert calculated(mmcif, dmin=8.0) == pytest.approx(expected, rel=1e-3, abs=0.1)
    assert calculated(zipped, dmin=8.0) == expected


ATOM = "ATOM      1  C   ALA A   1      11.000  12.000  13.000  1.00 20.00           C\n"
CRYST1 = "CRYST1   30.000   30.000   30.000  90.00  90.00  90.00 P 1           1\n"


def test_cell_without_a_known_space_group_is_p1(tmp_path: Path) -> None:
    path = tmp_path / "model.pdb"
    path.write_text(CRYST1.replace("P 1 ", "    ") + ATOM)
    assert calculated(path)[0, 0, 0] == pytest.approx(6.0, rel=1e-3)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(CRYST1, "no atoms", id="no atoms"),
        pytest.param(ATOM, "no unit cell", id="no cell"),
        pytest.param(CRYST1.replace("30", " 1") + ATOM, "no unit cell", id="placeholder cell"),
        pytest.param("data_x\nloop_\n_a\n", "PDB or mmCIF", id="no coordinate file"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / ("model.cif" if content and content.startswith("data_") else "model.pdb")
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputFileError, match=complaint) as error:
        calculated(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_too_many_reflections_are_refused_before_they_are_made() -> None:
    with pytest.raises(ResourceError, match="-dmin"):
        calculated(dmin=0.01)
