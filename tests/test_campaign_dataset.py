"""A campaign as a dataset: the frames of its files without the files, in processes, too."""

from __future__ import annotations

import multiprocessing
import pickle
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import nbnumba
from nbnumba import Campaign, CampaignDataset
from nbnumba.campaign.dataset import Sample
from nbnumba.campaign.work import do_chunk

JOB = """
format = "nbnumba-campaign-1"
name = "small"
seed = 3
frames = 7
hits = { choice = [1, 2] }

[experiment]
beam = { flux_per_s = 1e15, exposure_s = 1.0, size_mm = 0.01 }
detector = { distance_mm = 110.0, pixel_mm = 1.2, fast_pixels = 80, slow_pixels = 64 }
sampling = { oversample = 1 }
crystal = { cell = [79.1, 79.1, 37.9, 90, 90, 90], cells = [10, 10, 10] }
structure_factors = { default_f = 100 }
background = { water_um = 10.0 }

[vary]
"crystal.misset_deg" = { uniform = "rotations" }
"crystal.cell" = { relative = { normal = [0.0, 0.002] } }
"beam.wavelength_angstrom" = { uniform = [1.25, 1.35] }

[output]
frames_per_file = 4
"""

pytestmark = pytest.mark.filterwarnings("ignore:-oversample 1 is coarse:nbnumba.NbnumbaWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "job.toml"
    path.write_text(JOB)
    return path


@pytest.fixture(scope="module")
def stored(path: Path) -> dict[str, np.ndarray]:
    """What the files of the campaign hold."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    campaign = Campaign(path)
    found: dict[str, list[np.ndarray]] = {}
    for chunk in campaign.chunks:
        do_chunk(campaign, chunk.number)
        with h5py.File(chunk.path) as file:
            entry = file["entry"]
            found.setdefault("pixels", []).append(entry["data/data"][:])
            for name in ("frames/hits", "frames/wavelength_angstrom", "crystals/a_matrix", "crystals/unit_cell"):
                found.setdefault(name.partition("/")[2], []).append(entry["nbnumba"][name][:])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def test_samples_are_those_of_the_files(path: Path, stored: dict[str, np.ndarray]) -> None:
    samples = list(CampaignDataset(path))
    assert [sample.number for sample in samples] == list(range(7))
    assert {sample.pixels.dtype for sample in samples} == {stored["pixels"].dtype}
    np.testing.assert_array_equal([sample.pixels for sample in samples], stored["pixels"])
    assert stored["pixels"].mean() > 1.0
    assert {sample.hits for sample in samples} == {1, 2}
    np.testing.assert_array_equal([sample.hits for sample in samples], stored["hits"])
    np.testing.assert_array_equal(np.concatenate([sample.a_matrix for sample in samples]), stored["a_matrix"])
    np.testing.assert_array_equal(np.concatenate([sample.unit_cell for sample in samples]), stored["unit_cell"])
    wavelengths = [sample.wavelength_angstrom for sample in samples]
    np.testing.assert_array_equal(wavelengths, stored["wavelength_angstrom"])
    assert samples[3].experiment == Campaign(path).frame(3)


def test_indices_are_those_of_a_list(path: Path) -> None:
    dataset, numbers = CampaignDataset(path), list(range(7))
    for index in (-1, -7, np.int64(5)):
        assert dataset[index].number == numbers[index]
    for which in (slice(2, 5), slice(None, None, 3), slice(5, None, -2), slice(3, 3)):
        assert [sample.number for sample in dataset[which]] == numbers[which]
        assert len(dataset[which]) == len(numbers[which])
    assert dataset[2:][1:][0].number == 3
    for index in (7, -8):
        with pytest.raises(IndexError, match=f"frame {index}: there are 7"):
            dataset[index]
    wrong: Any = 1.0
    with pytest.raises(TypeError):
        dataset[wrong]


def test_warnings_of_a_kind_come_once(path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(CampaignDataset(path)[:3])
    assert [warning.filename for warning in caught if "coarse" in str(warning.message)] == [__file__]


def test_a_frame_that_cannot_be_says_which(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(JOB.replace("{ uniform = [1.25, 1.35] }", "{ normal = [0.5, 1.0] }"))
    dataset = CampaignDataset(job)
    wavelengths = [dataset.campaign.frame(number).beam.wavelength_angstrom or 0.0 for number in range(7)]
    good, bad = (next(number for number, value in enumerate(wavelengths) if (value > 0) == wanted)
                 for wanted in (True, False))  # fmt: skip
    assert dataset[good].number == good
    with pytest.raises(nbnumba.NbnumbaError, match=f"frame {bad}: "):
        dataset[bad]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_give_the_same_samples(path: Path, method: str) -> None:
    """After a render in this one, which is where forks are a trap."""
    dataset = CampaignDataset(path)
    here: list[Sample] = [dataset[number] for number in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        there = pool.map(dataset.__getitem__, range(4), chunksize=1)
    for ours, theirs in zip(here, there, strict=True):
        assert ours.experiment == theirs.experiment
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        np.testing.assert_array_equal(ours.a_matrix, theirs.a_matrix)


def test_a_pickle_is_small_and_the_same_campaign(path: Path) -> None:
    dataset = CampaignDataset(path, threads=2)[3:]
    again = pickle.loads(pickle.dumps(dataset))
    assert again.campaign.text == dataset.campaign.text
    assert [sample.number for sample in again] == [3, 4, 5, 6]
    assert len(pickle.dumps(dataset)) < 20_000


def test_a_campaign_gives_its_dataset(path: Path) -> None:
    dataset = Campaign(path).dataset(threads=2)
    np.testing.assert_array_equal(dataset[2].pixels, CampaignDataset(path)[2].pixels)


def test_the_loader_of_pytorch_takes_it(path: Path, stored: dict[str, np.ndarray]) -> None:
    data = pytest.importorskip("torch.utils.data")
    dataset = CampaignDataset(path)
    loader = data.DataLoader(dataset, batch_size=3, num_workers=2, collate_fn=list, multiprocessing_context="spawn")
    samples = [sample for batch in loader for sample in batch]
    np.testing.assert_array_equal([sample.pixels for sample in samples], stored["pixels"])


def test_contact_sheet_shows_the_files(path: Path, stored: dict[str, np.ndarray], tmp_path: Path) -> None:
    example = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "contact_sheet.py"))
    example["main"](str(path.parent / "small"), str(tmp_path / "sheet.png"))
    assert len(np.unique(imread(tmp_path / "sheet.png"))) > 100
    shown = list(example["thumbnails"](path.parent / "small", 5))
    assert [(number, hits) for number, hits, _ in shown] == list(enumerate(stored["hits"][:5]))
    # No spot is lost in it.
    assert [counts.max() for _, _, counts in shown] == stored["pixels"][:5].max(axis=(1, 2)).tolist()
