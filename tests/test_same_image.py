"""One crystal by three files: its coordinates, an MTZ made of them, the list of all of P 1 made of that."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
from models import mtz_of

from nbnumba import Experiment, simulate
from nbnumba.cli import main
from nbnumba.structure_factors.fcalc import structure_factors
from nbnumba.structure_factors.provider import model_of

pytestmark = pytest.mark.filterwarnings("ignore:-oversample")

LYSOZYME = str(Path(__file__).parent.parent / "nbnumba" / "data" / "1hel.pdb")
CELL = "-cell 79.1 79.1 37.9 90 90 90"
STILL = (
    "-lambda 1 -distance 200 -pixel 0.8 -detpixels 128 -dmin 2.5 -N 10 -oversample 1 -misset 10 20 30 -mosaic 1 "
    "-mosaic_domains 5 -noanomalous"
)


def photons(line: str) -> np.ndarray:
    return simulate(Experiment.from_args(f"{line} {STILL}".split()), backend="cpu").photons


@pytest.fixture(scope="module")
def mtz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """F of lysozyme as a refinement program writes them: float32, of the asymmetric unit, with F(0 0 0)."""
    model = model_of(LYSOZYME, None)
    hkl, f = structure_factors(model, 2.5, True, 0.35, 46.0)
    group = gemmi.find_spacegroup_by_name(model.space_group)
    asu = gemmi.ReciprocalAsu(group)
    unique = np.array([asu.is_in(index) for index in hkl.tolist()])
    table = mtz_of(hkl[unique], [("FC", "F", f[unique])], group, model.structure.cell)
    path = tmp_path_factory.mktemp("mtz") / "lysozyme.mtz"
    table.write_to_file(str(path))
    return path


def test_coordinates_their_mtz_and_its_list_give_one_image(mtz: Path, tmp_path: Path) -> None:
    listed = tmp_path / "P1.hkl"
    assert main(["hkl", str(mtz), "-o", str(listed)]) == 0
    by_model, by_mtz, by_list = photons(f"-pdb {LYSOZYME}"), photons(f"-mtz {mtz}"), photons(f"-hkl {listed} {CELL}")
    brightest = by_model.max()
    assert brightest > 1.0
    assert np.abs(by_mtz - by_model).max() <= 1e-6 * brightest
    assert np.abs(by_list - by_mtz).max() <= 1e-6 * brightest
    # Three images of nothing would agree as well.
    assert np.count_nonzero(by_model > 1e-3 * brightest) > 20
    assert np.abs(photons(f"-default_F 100 {CELL}") - by_model).max() > 0.01 * brightest


def test_the_list_of_coordinates_is_theirs(tmp_path: Path) -> None:
    listed = tmp_path / "P1.hkl"
    assert main(["hkl", "-pdb", LYSOZYME, "-dmin", "2.5", "-o", str(listed)]) == 0
    by_model = photons(f"-pdb {LYSOZYME}")
    assert np.abs(photons(f"-hkl {listed} {CELL}") - by_model).max() <= 1e-6 * by_model.max()
