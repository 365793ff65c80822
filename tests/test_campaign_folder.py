"""What makes two campaigns the same, whose a folder is, and what the bytes of a file depend on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from campaigns import EVERYTHING, STILLS, SWEEPS, campaign, write_campaign

from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.folder import MARK, claim, mark_of, read_mark
from nbnumba.campaign.running import run_chunks
from nbnumba.campaign.work import do_chunk
from nbnumba.cli import main
from nbnumba.errors import InputFileError, ResourceError, UsageError
from nbnumba.formats.hdf5 import library
from nbnumba.render.backends import How

pytestmark = pytest.mark.filterwarnings("ignore:.*(is coarse|spots are):nbnumba.errors.NbnumbaWarning")
CPU = How("cpu", "double", 1)
HITS = "hits = { cycle = [1, 2, 0] }"
SPECTRUM = (HITS, HITS + '\nspectrum = { file = "spectra.npz" }')
ROOT = Path(__file__).resolve().parent.parent


# Identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 7", "seed = 7  # of dice"),
        ('name = "small"', 'name = "other"'),
        ("frames = 5\n", "frames = 5000\n"),
        ("frames_per_file = 2", 'frames_per_file = 7\nfolder = "elsewhere"'),
        ('"crystal.cells" = {', "crystal.cells = {"),
        ("[experiment.beam]\nwavelength_angstrom = 1.3", "[experiment.beam]\nwavelength_angstrom = 1.30"),
    ],
)
def test_what_is_no_physics_keeps_the_identity(old: str, new: str, tmp_path: Path) -> None:
    assert campaign(tmp_path / "a" / "b", STILLS, (old, new)).identity == campaign(tmp_path / "c").identity


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 7", "seed = 8"),
        (HITS, "hits = { cycle = [1, 2, 1] }"),
        SPECTRUM,
        ("distance_mm = 60", "distance_mm = 60.5"),
        ("oversample = 1", "oversample = 2"),
        ("oversample = 1", "oversample = 1\ntolerance_photons = 0.01"),
        ('uniform = "rotations"', 'uniform = "rotations", per = "campaign"'),
        ("lognormal = [8, 1.3]", "lognormal = [8, 1.2]"),
        ("frames_per_file = 2", 'frames_per_file = 2\ntype = "int32"'),
    ],
)
def test_other_physics_are_another_campaign(old: str, new: str, tmp_path: Path) -> None:
    made, other = campaign(tmp_path / "a"), campaign(tmp_path / "b", STILLS, (old, new))
    assert made.identity != other.identity
    assert made.text != other.text


def test_sweeps_and_their_steps_are_physics(tmp_path: Path) -> None:
    changes = [("steps = 2", "steps = 3"), ("crystals = 2", "crystals = 3"), ("width_deg = 1.0", "width_deg = 1.1")]
    texts = [SWEEPS, *(SWEEPS.replace(*change) for change in changes)]
    assert len({campaign(tmp_path / str(k), text).identity for k, text in enumerate(texts)}) == 4


@pytest.mark.parametrize("name", ["table.csv", "spectra.npz"])
def test_one_byte_of_any_file_is_another_campaign(name: str, tmp_path: Path) -> None:
    path = write_campaign(tmp_path, EVERYTHING)
    made, content = Campaign(path), (tmp_path / name).read_bytes()
    identity = made.identity
    (tmp_path / name).write_bytes(content + b"\n")
    assert Campaign(path).text == made.text
    assert Campaign(path).identity != identity
    (tmp_path / name).write_bytes(content)
    assert Campaign(path).identity == identity


def test_two_files_of_one_name_count_both(tmp_path: Path) -> None:
    """An experiment of its own names files by its own folder."""
    tables = STILLS[STILLS.index("[experiment.beam]") : STILLS.index("[vary]")]
    (tmp_path / "sub").mkdir()
    base = tables.replace("[experiment.", "[").replace("fluence_per_m2", 'source_file = "table.csv"\nfluence_per_m2')
    (tmp_path / "sub" / "base.toml").write_text(base)
    cells = (
        '"crystal.cells" = { lognormal',
        '"beam.size_mm" = { file = "table.csv", column = "b" }\n"crystal.cells" = { lognormal',
    )
    path = write_campaign(tmp_path, STILLS, (tables, ""), (HITS, f'{HITS}\nexperiment = "sub/base.toml"'), cells)
    identities = set()
    for inner in ("1 0 0 1 1e-10\n", "1 0 0 2 1e-10\n"):
        (tmp_path / "sub" / "table.csv").write_text(inner)
        for outer in ("b\n1\n", "b\n2\n"):
            (tmp_path / "table.csv").write_text(outer)
            identities.add(Campaign(path).identity)
    assert len(identities) == 4


def test_a_file_that_goes_away_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_campaign(tmp_path, STILLS, SPECTRUM)
    made = Campaign(path)
    (tmp_path / "spectra.npz").unlink()
    with pytest.raises(InputFileError, match=r"cannot read .*spectra.npz.*No such file"):
        made.identity  # noqa: B018


# The folder ------------------------------------------------------------------------------------------------------


def test_a_folder_is_its_campaign_s(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    claim(made, CPU)
    claim(made, CPU)
    assert read_mark(made.folder) == mark_of(made, CPU)
    assert (made.folder / "campaign.toml").read_text() == (tmp_path / "job.toml").read_text()
    assert sorted(path.name for path in made.folder.iterdir()) == [MARK, "campaign.toml"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seed = 7", "seed = 8"), r"holds another campaign \('small', identity "),
        (("frames_per_file = 2", "frames_per_file = 3"), "has 2 frames in a file, not 3"),
        (('name = "small"', 'name = "large"'), "are called small, not large"),
        (("frames = 5\n", "frames = 3\n"), "frames = 3 would leave a file of 1 in "),
    ],
)
def test_another_campaign_is_refused(
    change: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ("frames_per_file = 2", 'frames_per_file = 2\nfolder = "here"')
    claim(campaign(tmp_path, STILLS, folder), CPU)
    before = {path: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    path = write_campaign(tmp_path, STILLS, folder, change)
    with pytest.raises(UsageError, match=said):
        claim(Campaign(path), CPU, mix=True)
    assert main(["campaign", "run", str(path), "-backend", "cpu"]) == UsageError.exit_status
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path: path.read_bytes() for path in (tmp_path / "here").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("program", "nbnumba 0.0"), ("kernels", "0" * 16), ("backend", "cuda"), ("precision", "mixed")],
)
def test_files_of_another_making_are_refused_unless_they_may_mix(name: str, value: str, tmp_path: Path) -> None:
    made = campaign(tmp_path)
    claim(made, CPU)
    mark = made.folder / MARK
    mark.write_text(json.dumps({**json.loads(mark.read_text()), name: value}))
    with pytest.raises(UsageError, match=f"made with {name} {value}, not .*: go on with that, .* or -mix"):
        claim(made, CPU)
    claim(made, CPU, mix=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no JSON"),
        ("5", "is not the mark of a campaign: it has no identity"),
        ('["identity"]', "it has no identity"),
        ('{"identity": 5}', "it has no identity"),
        (
            json.dumps(dict.fromkeys(("identity", "name", "program", "kernels", "backend", "precision"), "")),
            "no frames",
        ),
    ],
)
def test_a_mark_that_is_none_is_said(content: str, said: str, tmp_path: Path) -> None:
    made = campaign(tmp_path)
    made.folder.mkdir()
    (made.folder / MARK).write_text(content)
    with pytest.raises(InputFileError, match=f"campaign.json: .*{said}.*; remove it where no files lie beside it"):
        claim(made, CPU)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    made.folder.write_text("")
    with pytest.raises(ResourceError, match=r"cannot make the folder .*small: File exists"):
        claim(made, CPU)


def test_a_campaign_grows_by_whole_files(tmp_path: Path) -> None:
    def of(frames: int) -> Campaign:
        return campaign(tmp_path, STILLS, ("frames = 5\n", f"frames = {frames}\n"))

    claim(of(4), CPU)
    do_chunk(of(4), 1, CPU)
    claim(of(6), CPU)
    assert read_mark(of(6).folder)["frames"] == 6
    assert "frames = 6\n" in (tmp_path / "small" / "campaign.toml").read_text()
    claim(of(4), CPU)  # a part of it, which takes nothing from the whole
    assert read_mark(of(6).folder)["frames"] == 6
    claim(of(7), CPU)
    do_chunk(of(7), 3, CPU)
    with pytest.raises(
        UsageError, match=r"small_000003.h5 ends with frame 6, as the campaign did before it had 8: remove"
    ):
        claim(of(8), CPU)
    with pytest.raises(
        UsageError, match=r"frames = 5 would leave a file of 1 in .*, which is of 7 frames: give whole files of 2"
    ):
        claim(of(5), CPU)
    of(8).chunks[3].path.unlink()
    claim(of(8), CPU)
    assert do_chunk(of(8), 3, CPU).frames == 2


def _claim(path: Path, seed: int, barrier: object, verdicts: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    try:
        claim(Campaign(path / str(seed) / "job.toml"), CPU)
        verdicts.put((seed, ""))  # type: ignore[attr-defined]
    except UsageError as error:
        verdicts.put((seed, str(error)))  # type: ignore[attr-defined]


def test_of_two_who_claim_at_once_the_first_wins(tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    for seed in (1, 2):
        folder = ("frames_per_file = 2", f"frames_per_file = 2\nfolder = '{tmp_path}/run'")
        write_campaign(tmp_path / str(seed), STILLS, ("seed = 7", f"seed = {seed}"), folder)
    barrier, verdicts = spawned.Barrier(2), spawned.SimpleQueue()
    workers = [spawned.Process(target=_claim, args=(tmp_path, seed, barrier, verdicts)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    said = dict(verdicts.get() for _ in workers)
    for worker in workers:
        worker.join()
    (winner,) = (seed for seed, error in said.items() if not error)
    assert "holds another campaign" in said[3 - winner]
    assert read_mark(tmp_path / "run")["identity"] == Campaign(tmp_path / str(winner) / "job.toml").identity
    assert [path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".tmp"] == []


# Bytes -----------------------------------------------------------------------------------------------------------


def _files(made: Campaign, order: list[int], threads: int) -> dict[int, str]:
    for number in order:
        do_chunk(made, number, How("cpu", "double", threads))
    return {chunk.number: hashlib.sha256(chunk.path.read_bytes()).hexdigest() for chunk in made.chunks}


@pytest.mark.parametrize("text", [STILLS.replace(*SPECTRUM), SWEEPS], ids=["stills", "sweeps"])
def test_a_file_depends_on_its_campaign_alone(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on folder, place, threads, order, or what was rendered before."""
    model = ("default_f = 120", 'coordinate_file = "model.pdb"')
    for name in ("here", "far/away"):
        (tmp_path / name).mkdir(parents=True)
        lines = (ROOT / "nbnumba" / "data" / "1hel.pdb").read_text().splitlines()
        atoms = [line for line in lines if line.startswith("ATOM")][:30]
        (tmp_path / name / "model.pdb").write_text(
            "\n".join([*(line for line in lines if line.startswith("CRYST1")), *atoms]) + "\n"
        )
    here = campaign(tmp_path / "here", text, model)
    calm = _files(here, list(range(len(here.chunks))), 1)
    monkeypatch.chdir(tmp_path)
    away = campaign(
        tmp_path / "far" / "away", text, model, ("frames_per_file = 2", "frames_per_file = 2\nfolder = 'out'")
    )
    assert _files(away, list(range(len(away.chunks)))[::-1], 2) == calm
    assert not any(str(tmp_path).encode() in chunk.path.read_bytes() for chunk in here.chunks)


ANEW = """
import hashlib, sys
from nbnumba.campaign.work import do_chunk
from nbnumba.campaign.campaign import Campaign
from nbnumba.render.backends import How
made = Campaign(sys.argv[1])
do_chunk(made, 1, How("cpu", "double", 1))
print(hashlib.sha256(made.chunks[1].path.read_bytes()).hexdigest())
"""


def _made_anew(path: Path, **environment: str) -> str:
    """The sum of a file that another process makes."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ANEW, path], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_process_of_its_own_makes_the_same_file(tmp_path: Path) -> None:
    made = campaign(tmp_path / "a")
    assert (
        _made_anew(write_campaign(tmp_path / "b"), PYTHONHASHSEED="5", TZ="Asia/Tokyo") == _files(made, [0, 1, 2], 1)[1]
    )


@pytest.mark.slow
def test_every_processor_makes_the_same_file(tmp_path: Path) -> None:
    """As far as this one can stand for those that know less."""
    cache = str(tmp_path / "cache")
    sums = {
        name: _made_anew(write_campaign(tmp_path / name), NUMBA_CPU_NAME=name, NUMBA_CACHE_DIR=cache)
        for name in ("", "haswell", "nehalem")
    }
    assert len(set(sums.values())) == 1, sums


def test_spectra_of_all_files_are_of_one_length(tmp_path: Path) -> None:
    """Those of 1, 2, 3 and 5 wavelengths."""
    made = campaign(tmp_path, STILLS, SPECTRUM)
    _files(made, [0, 1, 2], 1)
    for chunk in made.chunks:
        with library().File(chunk.path) as file:
            beam = file["entry/instrument/beam"]
            wavelengths, weights = (
                beam["incident_wavelength_spectra"][()],
                beam["incident_wavelength_spectra_weights"][()],
            )
            shape = (chunk.frames, 5) if chunk.frames > 1 else (5,)
            assert wavelengths.shape == weights.shape == shape
            mean = np.average(wavelengths, axis=-1, weights=weights)
            np.testing.assert_allclose(beam["incident_wavelength"][()], mean, rtol=1e-12)


def test_a_file_that_changes_under_way_stops_the_work(tmp_path: Path) -> None:
    """What would be written has the identity of what was read."""
    made = campaign(tmp_path, STILLS, SPECTRUM)
    do_chunk(made, 0, CPU)
    np.savez(tmp_path / "spectra.npz", energy_ev=np.array([9000.0, 9001.0]), weight=np.ones((4, 2)))
    changed = r"spectra.npz: has changed since the campaign was read"
    with pytest.raises(InputFileError, match=changed):
        do_chunk(made, 1, CPU)
    assert not made.chunks[1].is_done
    with pytest.raises(InputFileError, match=changed):
        next(run_chunks(made, [1, 2], CPU))
    # Of which there are not as many as there were.
    np.savez(tmp_path / "spectra.npz", energy_ev=np.array([9000.0, 9001.0]), weight=np.ones((1, 2)))
    with pytest.raises(InputFileError, match=changed):
        next(run_chunks(made, [1, 2], CPU))


def test_a_chunk_that_is_there_is_left_alone(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    path = made.chunks[0].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert do_chunk(made, 0, CPU).frames == 0
    assert path.read_bytes() == b"mine"


def test_a_campaign_s_file_is_read_again_when_it_or_what_it_names_changes(tmp_path: Path) -> None:
    from nbnumba.campaign.work import campaign_in

    path = write_campaign(tmp_path, STILLS, SPECTRUM)
    first = campaign_in(path)
    assert campaign_in(path) is first
    first.identity  # noqa: B018
    np.savez(tmp_path / "spectra.npz", energy_ev=np.array([9000.0, 9001.0]), weight=np.ones((3, 2)))
    assert campaign_in(path).identity != first.identity
    path.write_text(path.read_text().replace("seed = 7", "seed = 77"))
    assert campaign_in(path).job.seed == 77


def test_files_without_their_mark_are_not_another_campaign_s(tmp_path: Path) -> None:
    made = campaign(tmp_path)
    do_chunk(made, 1, CPU)
    claim(made, CPU)
    (made.folder / "campaign.json").unlink()
    with pytest.raises(UsageError, match=r"small_000001.h5 is of another campaign \(identity"):
        claim(campaign(tmp_path, STILLS, ("seed = 7", "seed = 8")), CPU)
    assert not (made.folder / "campaign.json").exists()
    claim(campaign(tmp_path), CPU)
    assert (made.folder / "campaign.json").exists()
    (made.folder / "campaign.json").unlink()
    made.chunks[1].path.write_bytes(b"half")
    with pytest.raises(InputFileError, match=r"small_000001.h5"):
        claim(campaign(tmp_path), CPU)
