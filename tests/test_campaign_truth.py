"""What a campaign's files tell of frames that are not alike: each its own, in its file and in masters."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from campaigns import STILLS, campaign

from nbnumba.campaign.campaign import Campaign
from nbnumba.cli import main
from nbnumba.errors import InputFileError

pytestmark = pytest.mark.filterwarnings("ignore:.*(is coarse|spots are|makes 2):nbnumba.errors.NbnumbaWarning")

BEAM = "entry/instrument/beam"


def made(folder: Path, *changes: tuple[str, str]) -> Campaign:
    one = campaign(folder, STILLS, *changes)
    assert main(["campaign", "run", str(one.job.path), "-backend", "cpu", "-threads", "1"]) == 0
    assert main(["campaign", "master", str(one.job.path)]) == 0
    return one


def varied(*fields: str) -> tuple[str, str]:
    return "[output]", "".join(f"{field}\n" for field in fields) + "[output]"


def test_beams_of_several_sizes_and_without_flux_are_told_frame_by_frame(tmp_path: Path) -> None:
    size = '"beam.size_mm" = { cycle = [0.01, 0.02, 0.03] }'
    flux = '"beam.flux_per_s" = { cycle = [0, 1e9, 2e9] }'
    one = made(tmp_path, varied(size, flux))
    for path, frames in ((one.chunks[1].path, range(2, 4)), (one.folder / "small_master_000.h5", range(5))):
        with h5py.File(path) as file:
            sizes, fluxes = file[f"{BEAM}/incident_beam_size"][()], file[f"{BEAM}/total_flux"][()]
        beams = [one.frame(number).beam for number in frames]
        assert sizes.tolist() == [[beam.size_mm] * 2 for beam in beams]
        assert fluxes.tolist() == [beam.flux_per_s for beam in beams]


def test_files_that_tell_of_other_things_have_a_master_of_their_own(tmp_path: Path) -> None:
    steps = '"beam.dispersion_steps" = { cycle = [2, 3], every = 2 }'
    one = made(tmp_path, ("wavelength_angstrom = 1.3", "wavelength_angstrom = 1.3\ndispersion_percent = 0.5"),
               varied(steps))  # fmt: skip
    shown = []
    for path in sorted(one.folder.glob("small_master_*.h5")):
        with h5py.File(path) as file:
            numbers = file["entry/nbnumba/frames/frame"][()].tolist()
            shown.append((numbers, file[f"{BEAM}/incident_wavelength_spectra"].shape[-1]))
            pixels = file["entry/data/data"][()]
        for number, image in zip(numbers, pixels, strict=True):
            with h5py.File(one.chunk_of(number).path) as file:
                assert np.array_equal(image, file["entry/data/data"][number % 2])
    assert shown == [([0, 1, 4], 2), ([2, 3], 3)]


def test_a_count_that_is_cut_to_16_bits_is_not_to_be_trusted(tmp_path: Path) -> None:
    counting = '[experiment.readout]\nkind = "counting"\n[vary]'
    one = made(tmp_path, ("[vary]", counting), ("[output]", '[output]\ntype = "uint16"'), ("= 1e25", "= 1.6e23"))
    with h5py.File(one.chunks[0].path) as file:
        pixels, most = file["entry/data/data"][()], file["entry/instrument/detector/saturation_value"][()]
    wanted = np.array([one.render(number, "cpu").noise().counts for number in (0, 1)])
    is_cut = wanted > most
    assert is_cut.any()
    assert not is_cut.all()
    assert np.array_equal(pixels > most, is_cut)
    assert np.array_equal(pixels[~is_cut], wanted[~is_cut])


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('"readout.adc_offset" = { cycle = [0, 10], every = 2 }', "of ideal detectors"),
        ('"readout.kind" = { cycle = ["counting", "integrating"], every = 2 }', "of integrating detectors"),
        ('"detector.preset" = { cycle = ["eiger2-1m", "jungfrau-1m"], every = 2 }', "of switching detectors"),
    ],
)
def test_files_have_one_type_whatever_reads_out(tmp_path: Path, field: str, said: str) -> None:
    with pytest.raises(InputFileError, match=f"uint16 has no room below 0, where counts {said}.*give int32"):
        campaign(tmp_path, STILLS, varied(field), ("[output]", '[output]\ntype = "uint16"'))
    assert campaign(tmp_path, STILLS, varied(field)).type == "int32"


def test_an_offset_that_is_given_is_taken_off_again(tmp_path: Path) -> None:
    offset = '"readout.adc_offset" = { cycle = [0, 40], every = 2 }'
    one = made(tmp_path, varied(offset))
    for chunk in one.chunks:
        with h5py.File(chunk.path) as file:
            stored = file["entry/data/data"][()]
        wanted = [one.render(number, "cpu").noise().counts for number in range(chunk.first, chunk.stop)]
        assert stored.dtype == np.int32
        assert np.array_equal(stored, np.array(wanted) - 40 * (chunk.number == 1))
