"""The example campaigns through DIALS as it is installed: what it finds lies where the truth in the files says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_dials import PYTHON, WITHOUT_OURS, has_dials

from nbnumba.cli import main

ROOT = Path(__file__).parent.parent
READER = str(Path(__file__).parent / "by_dials_campaign.py")
pytestmark = [
    pytest.mark.dials,
    pytest.mark.skipif(not has_dials(), reason=f"{PYTHON} has no DIALS; name another as DIALS_PYTHON"),
    pytest.mark.skipif(shutil.which("dials.import") is None, reason="the commands of DIALS are not on PATH"),
    pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning"),
]
ENERGY_EV_ANGSTROM = 12398.4198


def campaign_of(example: str, folder: Path, **changes: str) -> Path:
    """An example with lines changed, run and with a master, in a folder; gives that of its files."""
    lines = []
    for line in (ROOT / "examples" / example).read_text().splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changes.pop(key)}" if key in changes else line)
    assert changes == {}
    model = ROOT / "nbnumba" / "data" / "1hel.pdb"
    job = folder / example
    job.write_text("\n".join(lines).replace("../nbnumba/data/1hel.pdb", str(model)))
    for verb in ("run", "master"):
        assert main(["campaign", verb, str(job)]) == 0
    return folder / job.stem


def by_dials(folder: Path, steps: Iterable[str]) -> None:
    for step in steps:
        subprocess.run(step.split(), cwd=folder, env=WITHOUT_OURS, check=True, capture_output=True)


def read(folder: Path, kind: str, path: Path) -> Any:
    command = [PYTHON, READER, kind, str(path)]
    said = subprocess.run(command, cwd=folder, env=WITHOUT_OURS, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of the example's stills in two files: misses, one crystal, two."""
    return campaign_of("lysozyme_stills.toml", tmp_path_factory.mktemp("stills"), frames="12", frames_per_file="6")


@pytest.mark.parametrize("name", ["0000/lysozyme_000001.h5", "lysozyme_master_000.h5"])
def test_strong_spots_of_stills_are_reflections_of_the_crystals_that_were_there(stills: Path, name: str) -> None:
    path = stills / name
    folder = stills / f"of_{path.stem}"
    folder.mkdir()
    by_dials(folder, [f"dials.import {path}", "dials.find_spots imported.expt nproc=1"])
    found = read(folder, "stills", path)
    with h5py.File(path) as file:
        truth, beam = file["entry/nbnumba/frames"], file["entry/instrument/beam"]
        wavelengths, hits = truth["wavelength_angstrom"][:], truth["hits"][:]
        spectra = beam["incident_wavelength_spectra"][:], beam["incident_wavelength_spectra_weights"][:]
    assert set(hits) == {0, 1, 2}
    np.testing.assert_allclose([frame["wavelength"] for frame in found["frames"]], wavelengths, rtol=1e-9)
    assert np.ptp(wavelengths) > 1e-4
    for (energies, weights), wavelength, weight in zip(found["spectra"], *spectra, strict=True):
        np.testing.assert_allclose(energies, ENERGY_EV_ANGSTROM / wavelength, rtol=1e-6)
        np.testing.assert_allclose(weights, weight)
    spots, near, by_another = (np.array([frame[what] for frame in found["frames"]]) for what in
                               ("spots", "near", "by_another"))  # fmt: skip
    print(*zip(hits.tolist(), spots.tolist(), near.tolist(), by_another.tolist(), strict=True))
    assert spots[hits == 0].sum() <= 3
    assert np.all(spots[hits > 0] > 50)
    assert near.sum() >= 0.95 * spots.sum()
    # The crystals of another frame, by whose reflections one spot in fifteen would lie, or in eight of two crystals.
    assert by_another.sum() <= 0.3 * spots.sum()


STEPS = (
    "dials.find_spots imported.expt nproc=2",
    # a, b and c are drawn each by itself: what was tetragonal is orthorhombic.
    "dials.index imported.expt strong.refl space_group=P222",
    "dials.refine indexed.expt indexed.refl scan_varying=False",
)


def test_a_rotation_of_a_campaign_gives_its_crystal_back(tmp_path: Path) -> None:
    """The second crystal of the example, by way of its master, which shows two files."""
    files = campaign_of("lysozyme_rotation.toml", tmp_path, crystals="2", frames_per_file="25")
    path = files / "lysozyme_master_001.h5"
    by_dials(tmp_path, [f"dials.import {path}", *STEPS])
    found = read(tmp_path, "sweep", path)
    print(found)
    assert found["images"] == 50
    assert found["oscillation"] == [0.0, pytest.approx(0.2)]
    assert found["spots"] > 4000
    assert found["indexed"] >= 0.98 * found["spots"]
    assert found["turned_by_deg"] <= 0.02
    np.testing.assert_allclose(found["edges"], found["true_edges"], atol=0.02)
    other = read(tmp_path, "sweep", files / "lysozyme_master_000.h5")
    assert other["turned_by_deg"] > 1.0
