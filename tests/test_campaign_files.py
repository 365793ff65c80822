"""What looks at a campaign's files: verify, master and its tables, a frame made again, the truth for DIALS."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from campaigns import STILLS, SWEEPS, campaign
from test_dials import PYTHON, WITHOUT_OURS, has_dials

from nbnumba.campaign import verifying
from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.master import fill_of, make_masters
from nbnumba.campaign.verifying import Findings, verify
from nbnumba.cli import main
from nbnumba.errors import ResourceError
from nbnumba.formats import registry
from nbnumba.formats.files import host_name

pytestmark = pytest.mark.filterwarnings("ignore:.*(is coarse|spots are):nbnumba.errors.NbnumbaWarning")

SCAN = ("[output]", '"beam.wavelength_angstrom" = { uniform = [1.2, 1.4] }\n"detector.distance_mm" = '
        "{ step = [60.0, 10.0], every = 4 }\n[output]")  # fmt: skip
"""Wavelengths by frame, a detector that is moved after two files."""
DIM = ("fluence_per_m2 = 1e25", "fluence_per_m2 = 1e21")
"""Counts of a few hundred, none of which is too large for its file."""
HITS = (1, 2, 0, 1, 2)


def made(folder: Path, text: str, *changes: tuple[str, str]) -> Campaign:
    one = campaign(folder, text, *changes)
    assert run("run", one, "-backend", "cpu", "-threads", "1") == 0
    return one


def run(verb: str, one: Campaign, *options: str) -> int:
    return main(["campaign", verb, str(one.job.path), *options])


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Campaign]:
    folder = tmp_path_factory.mktemp("campaigns")
    return {
        "stills": made(folder / "stills", STILLS, SCAN, DIM),
        "sweeps": made(folder / "sweeps", SWEEPS, DIM),
    }


@pytest.fixture
def stills(calm: dict[str, Campaign], tmp_path: Path) -> Campaign:
    return copied(calm["stills"], tmp_path / "stills")


@pytest.fixture
def sweeps(calm: dict[str, Campaign], tmp_path: Path) -> Campaign:
    return copied(calm["sweeps"], tmp_path / "sweeps")


def copied(one: Campaign, folder: Path) -> Campaign:
    """The same in a folder where files may be damaged."""
    shutil.copytree(one.job.path.parent, folder, dirs_exist_ok=True)
    return Campaign(folder / one.job.path.name)


# verify ----------------------------------------------------------------------------------------------------------


def flip(path: Path, dataset: str, row: int = 0) -> None:
    """Change a bit of what a dataset has in a row, and no length."""
    with h5py.File(path) as file:
        data = file[dataset]
        if data.chunks:
            info = data.id.get_chunk_info_by_coord((row, 0, 0))
            at = info.byte_offset + info.size // 2
        else:
            at = data.id.get_offset() + row * data.dtype.itemsize
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def why(one: Campaign, number: int, deep: bool = False) -> str:
    findings = verify(one, deep)
    assert [chunk.number for chunk, _ in findings.bad] in ([], [number])
    assert {chunk.number for chunk in findings.good} >= {0, 1, 2} - {number}
    return {chunk.number: said for chunk, said in findings.bad}.get(number, "")


def test_a_campaign_as_it_was_written_is_complete(
    calm: dict[str, Campaign], capsys: pytest.CaptureFixture[str]
) -> None:
    for one in calm.values():
        assert run("verify", one, "-deep") == 0
        assert capsys.readouterr().out.endswith(" good, 0 bad, 0 missing\n")


def shift_frames(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["entry/nbnumba/frames/frame"][...] = file["entry/nbnumba/frames/frame"][()] + 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:20_000]), "cannot be read: .*truncated file"),
        (lambda path: path.write_bytes(b""), "cannot be read: "),
        (lambda path: path.write_text("words"), "cannot be read: .*signature"),
        (lambda path: shutil.copy(path.with_name("small_000000.h5"), path), "is file 0 under another's name"),
        (shift_frames, "has frames 3 to 4, not 2 to 3"),
    ],
    ids=["cut", "empty", "text", "copied", "shifted"],
)
def test_what_is_wrong_with_a_file_is_said(stills: Campaign, damage: Callable[[Path], Any], said: str) -> None:
    damage(stills.chunks[1].path)
    assert_matches(said, why(stills, 1))


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def test_a_file_of_another_campaign_is_told_by_its_identity(stills: Campaign, tmp_path: Path) -> None:
    other = made(tmp_path / "other", STILLS, SCAN, DIM, ("seed = 7", "seed = 8"))
    shutil.copy(other.chunks[1].path, stills.chunks[1].path)
    assert_matches(f"of another campaign, of identity {other.identity[:12]}", why(stills, 1))


def test_a_file_of_other_frames_is_told_by_their_number(stills: Campaign, tmp_path: Path) -> None:
    """Which frames a file has is no part of a campaign's identity."""
    other = made(tmp_path / "other", STILLS, SCAN, DIM, ("frames_per_file = 2", "frames_per_file = 1"))
    shutil.copy(other.chunks[1].path, stills.chunks[1].path)
    assert why(stills, 1) == "has 1 frames, not 2"


def test_a_flipped_bit_of_the_pixels_names_its_frame_where_all_is_looked_at(stills: Campaign) -> None:
    flip(stills.chunks[1].path, "entry/data/data", row=1)
    assert why(stills, 1) == ""
    assert_matches("^frame 3: not the pixels that were written", why(stills, 1, deep=True))


def test_a_flipped_bit_of_the_truth_is_found_by_the_sum_in_the_log(stills: Campaign) -> None:
    flip(stills.chunks[1].path, "entry/nbnumba/frames/fluence_per_m2")
    assert_matches("SHA-256 is not that of its log", why(stills, 1, deep=True))
    shutil.rmtree(stills.folder / "log")
    assert why(stills, 1, deep=True) == ""


DEADLY = """
import json, os, signal, sys, time
for line in sys.stdin:
    if "_000001" in line:
        {what}
    print(json.dumps(""), flush=True)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [("os.kill(os.getpid(), signal.SIGSEGV)", "the HDF5 library ends with signal 11"), ("time.sleep(60)", "no end")],
)
def test_a_file_that_ends_its_reader_is_the_bad_one(
    stills: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    (tmp_path / "look.py").write_text(DEADLY.format(what=what))
    monkeypatch.setattr(verifying, "_LOOK", tmp_path / "look.py")
    monkeypatch.setattr(verifying, "MOST_SECONDS", 2.0)
    assert said in why(stills, 1)


@pytest.mark.parametrize("what", ["os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError('none is left')"])
def test_a_reader_that_the_machine_ends_makes_no_file_bad(
    stills: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "look.py").write_text(DEADLY.format(what=what))
    monkeypatch.setattr(verifying, "_LOOK", tmp_path / "look.py")
    with pytest.raises(
        ResourceError, match=r"cannot look at .*small_000001\.h5.*: (MemoryError: none is left|it ended)"
    ):
        verify(stills)


def test_bad_files_are_moved_aside_and_made_again(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    path, missing = stills.chunks[0].path, stills.chunks[2].path
    good = path.read_bytes()
    flip(path, "entry/data/data")
    missing.unlink()
    (path.parent / "notes.txt").write_text("mine")
    assert run("verify", stills, "-deep", "-repair") == 1
    said = capsys.readouterr().out
    for words in (f"bad      0: {path}: frame 0", f"missing  2: {missing}", f"moved to {stills.folder}/bad/{path.name}",
                  "notes.txt is no file of this campaign", "3 files: 1 good, 1 bad, 1 missing"):  # fmt: skip
        assert words in said
    assert not path.exists()
    assert run("run", stills, "-backend", "cpu", "-threads", "1") == 0
    assert run("verify", stills, "-deep") == 0
    assert path.read_bytes() == good != (stills.folder / "bad" / path.name).read_bytes()
    flip(path, "entry/data/data")
    assert run("verify", stills, "-deep", "-repair") == 1
    assert sorted(one.name for one in (stills.folder / "bad").iterdir()) == [path.name, f"{path.name}.1"]


def test_missing_files_are_told_in_runs(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1):
        stills.chunks[number].path.unlink()
    assert run("verify", stills) == 1
    assert f"missing  0 to 1: {stills.chunks[0].path} and on\n" in capsys.readouterr().out
    shutil.rmtree(stills.folder)
    assert run("verify", stills) == 1
    assert "missing  0 to 2" in capsys.readouterr().out


def test_what_is_missing_is_looked_for_once_more(stills: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stills.chunks[1].path
    content = path.read_bytes()
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        path.write_bytes(content)

    path.unlink()
    monkeypatch.setattr(time, "sleep", sleep)
    assert verify(stills, wait_s=60.0).is_complete
    assert verify(stills, wait_s=60.0).is_complete
    assert slept == [60.0]


def test_temporary_files_are_removed_where_nobody_will_finish_them(stills: Campaign) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder, host = stills.chunks[0].path.parent, host_name()
    end = "0123456789abcdef.tmp"
    dead, alive = folder / f".nbnumba-{host}-{ended.pid}-{end}", folder / f".nbnumba-{host}-{os.getpid()}-{end}"
    other, old = folder / f".nbnumba-other-{ended.pid}-{end}", stills.folder / f".nbnumba-other-1-{end}"
    for path in (dead, alive, other, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    findings = verify(stills)
    assert sorted(findings.removed) == sorted([dead, old])
    assert [path.exists() for path in (dead, alive, other, old)] == [False, True, True, False]
    assert findings.others == ()


def test_the_folder_of_another_campaign_is_refused(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    stills.job.path.write_text(stills.job.path.read_text().replace("seed = 7", "seed = 8"))
    for verb, words in (("verify", []), ("master", []), ("frame", ["0"]), ("expt", ["0"])):
        assert main(["campaign", verb, str(stills.job.path), *words]) == 2
        assert "holds another campaign" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs alarms")
def test_who_interrupts_a_look_waits_for_nothing(
    stills: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "look.py"
    endless.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(verifying, "_LOOK", endless)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            verify(stills)
    finally:
        signal.signal(signal.SIGALRM, before)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(1.0)
            assert not thread.is_alive()


# master ----------------------------------------------------------------------------------------------------------


def masters(one: Campaign) -> list[Path]:
    return sorted(one.folder.glob("*_master_*.h5"))


def test_masters_show_all_frames_of_a_detector_setting(stills: Campaign) -> None:
    assert run("master", stills) == 0
    assert [path.name for path in masters(stills)] == ["small_master_000.h5", "small_master_001.h5"]
    for path, numbers, distance in zip(masters(stills), (range(4), range(4, 5)), (60.0, 70.0), strict=True):
        with h5py.File(path) as file:
            entry, truth = file["entry"], file["entry/nbnumba"]
            assert entry["data/data"].shape == (len(numbers), 40, 48)
            assert entry["instrument/detector/data"] == entry["data/data"]
            assert entry["instrument/detector/distance"][()] == distance
            assert truth["frames/frame"][()].tolist() == list(numbers)
            assert truth["frames/hits"][()].tolist() == [HITS[number] for number in numbers]
            assert truth["crystals/frame"][()].tolist() == [
                row for row, number in enumerate(numbers) for _ in range(HITS[number])
            ]
            assert truth["campaign"].attrs["identity"] == stills.identity
            assert truth["campaign/missing_chunks"].shape == (0,)
            for row, number in enumerate(numbers):
                chunk = stills.chunk_of(number)
                with h5py.File(chunk.path) as source:
                    np.testing.assert_array_equal(
                        entry["data/data"][row], source["entry/data/data"][number - chunk.first]
                    )
                    text = source["entry/nbnumba/frames/experiment"][number - chunk.first]
                assert truth["frames/experiment"][row] == text
                assert zlib.crc32(entry["data/data"][row]) == truth["frames/crc32"][row]
                wavelength = stills.frame(number).beam.wavelength_angstrom
                assert np.broadcast_to(entry["instrument/beam/incident_wavelength"], len(numbers))[row] == wavelength


def test_a_master_of_a_rotation_has_one_crystal_and_all_its_angles(sweeps: Campaign) -> None:
    assert run("master", sweeps) == 0
    found = []
    for path in masters(sweeps):
        with h5py.File(path) as file:
            axes = file["entry/sample/transformations"]
            assert axes["omega"].attrs["transformation_type"] == "rotation"
            np.testing.assert_allclose(axes["omega_end"][()] - axes["omega"][()], axes["omega_increment_set"][()])
            found.append(axes["omega"][()].tolist())
    assert found == [pytest.approx([10.0, 10.4, 10.8])] * 2 + [pytest.approx([0.0, 1.0])]


def test_frames_of_a_file_that_is_gone_are_no_counts_of_0(stills: Campaign) -> None:
    assert run("master", stills) == 0
    shutil.move(stills.folder, stills.folder.with_name("moved"))
    path = stills.folder.with_name("moved") / "small_master_000.h5"
    with h5py.File(path) as file:
        assert file["entry/data/data"][:].max() < 65535
    (path.parent / "0000" / "small_000001.h5").unlink()
    with h5py.File(path) as file:
        pixels = file["entry/data/data"][:]
    assert pixels[:2].max() < 65535
    assert np.all(pixels[2:] == 65535)


@pytest.mark.parametrize(("kind", "fill"), [("int32", -1), ("float32", np.nan)])
def test_other_pixels_have_a_value_of_their_own_for_what_is_gone(tmp_path: Path, kind: str, fill: float) -> None:
    one = made(tmp_path, STILLS, DIM, ("frames = 5", "frames = 1"), ("[output]", f'[output]\ntype = "{kind}"'))
    with h5py.File(one.chunks[0].path) as file:
        np.testing.assert_equal(fill_of(file["entry/data/data"]), fill)
    assert run("master", one) == 0
    one.chunks[0].path.unlink()
    with h5py.File(masters(one)[0]) as file:
        np.testing.assert_array_equal(file["entry/data/data"][0], np.full((40, 48), fill, kind))


def test_a_master_over_gaps_is_refused_unless_they_may_be(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    stills.chunks[0].path.unlink()
    assert run("master", stills) == 1
    error = capsys.readouterr().err
    assert "3 files: 2 good, 0 bad, 1 missing" in error
    assert error.count("\n") == 1
    made_by_run = {"0000", "campaign.json", "campaign.toml", "log"}
    assert {path.name for path in stills.folder.iterdir()} == made_by_run
    assert run("master", stills, "-partial") == 1
    with h5py.File(masters(stills)[0]) as file:
        assert file["entry/nbnumba/campaign/missing_chunks"][()].tolist() == [0]
        assert file["entry/nbnumba/campaign/chunks"][()].tolist() == [1]
        assert file["entry/nbnumba/frames/frame"][()].tolist() == [2, 3]


def test_a_master_of_nothing_is_none(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(stills.folder / "0000")
    assert run("master", stills, "-partial") == 1
    assert "3 files: 0 good, 0 bad, 3 missing" in capsys.readouterr().err
    assert not masters(stills)


def test_a_gap_ends_a_rotation_and_older_masters_go(tmp_path: Path) -> None:
    one = made(tmp_path, SWEEPS, ("frames = 3", "frames = 5"))
    one.chunks[1].path.unlink()
    assert run("master", one, "-partial") == 1
    frames = []
    for path in masters(one):
        with h5py.File(path) as file:
            frames.append(file["entry/nbnumba/frames/frame"][()].tolist())
    assert frames == [[0, 1], [4], [5, 6, 7, 8, 9], [10, 11]]
    assert run("run", one, "-backend", "cpu", "-threads", "1") == 0
    assert run("master", one) == 0
    assert len(masters(one)) == 3


def test_so_many_files_make_a_master(stills: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbnumba.campaign.master.MOST_FILES", 1)
    assert len(make_masters(stills, verify(stills))) == 3


# Tables ----------------------------------------------------------------------------------------------------------


def test_the_truth_has_a_row_for_each_crystal_and_one_for_a_miss(stills: Campaign) -> None:
    from pyarrow import parquet

    assert run("master", stills) == 0
    rows = parquet.read_table(stills.folder / "truth.parquet").to_pylist()
    assert [(row["frame"], row["crystal"]) for row in rows] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, None),
        (3, 0),
        (4, 0),
        (4, 1),
    ]
    assert [row["chunk"] for row in rows] == [0, 0, 0, 1, 1, 2, 2]
    for row in rows:
        experiment, crystal = stills.frame(row["frame"]), row["crystal"]
        assert row["hits"] == HITS[row["frame"]]
        assert row["wavelength_angstrom"] == experiment.beam.wavelength_angstrom
        assert row["fluence_per_m2"] == experiment.beam.fluence_per_m2
        assert row["seed"] == experiment.noise.seed
        assert row["distance_mm"] == experiment.detector.distance_mm
        if crystal is None:
            assert {row[name] for name in ("cell_a", "cells_a", "spot_scale", "a_matrix_11")} == {None}
            continue
        own = experiment.crystal if crystal == 0 else experiment.crystal.lattices[crystal - 1]
        assert [row[f"cell_{name}"] for name in ("a", "b", "c", "alpha", "beta", "gamma")] == pytest.approx(own.cell)
        assert [row[f"cells_{name}"] for name in "abc"] == list(own.cells)
        a_matrix = np.array([[row[f"a_matrix_{i}{j}"] for j in "123"] for i in "123"])
        lengths = np.linalg.norm(np.linalg.inv(a_matrix), axis=1)
        np.testing.assert_allclose(lengths, own.cell[:3])


def test_without_its_library_the_truth_is_left_out_and_the_rest_is_made(
    stills: Campaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run("master", stills) == 0
    error = capsys.readouterr().err
    assert "truth.parquet is left out" in error
    assert "pip install 'nbnumba[campaign]'" in error
    assert error.count("\n") == 1
    assert len(masters(stills)) == 2
    assert (stills.folder / "manifest.csv").exists()


@pytest.mark.parametrize("has_log", [True, False])
def test_the_manifest_tells_bytes_and_sums_of_all_files(stills: Campaign, has_log: bool) -> None:
    if not has_log:
        shutil.rmtree(stills.folder / "log")
    assert run("master", stills) == 0
    head, *rows = (stills.folder / "manifest.csv").read_text().splitlines()
    assert head == "file,frames,bytes,sha256"
    expected = []
    for path, frames in zip([chunk.path for chunk in stills.chunks] + masters(stills), (2, 2, 1, 4, 1), strict=True):
        content = path.read_bytes()
        name = path.relative_to(stills.folder).as_posix()
        expected.append(f"{name},{frames},{len(content)},{hashlib.sha256(content).hexdigest()}")
    assert rows == expected


def test_a_table_of_misses_alone_has_the_same_columns(tmp_path: Path) -> None:
    from pyarrow import parquet

    one = made(tmp_path, STILLS, ("cycle = [1, 2, 0]", "cycle = [0, 1], every = 2"), ("frames = 5", "frames = 4"))
    findings = verify(one)
    make_masters(one, Findings(findings.good[:1], findings.good[1:], (), (), ()))
    missed = parquet.read_table(one.folder / "truth.parquet")
    make_masters(one, findings)
    assert missed.num_rows == 2
    assert missed.schema == parquet.read_table(one.folder / "truth.parquet").schema


# frame -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stills", "sweeps"])
def test_a_frame_made_again_equals_the_stored_one(
    calm: dict[str, Campaign], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one = calm[name]
    for number in (0, 2, len(one) - 1):
        assert run("frame", one, str(number)) == 0
        assert f"frame {number} equals the one in {one.chunk_of(number).path}" in capsys.readouterr().out


def test_a_frame_that_differs_is_said_to(stills: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(stills.chunks[0].path, "r+") as file:
        pixels = file["entry/data/data"][1]
        pixels[3, 4] += 1
        file["entry/data/data"][1] = pixels
        file["entry/nbnumba/frames/crc32"][1] = zlib.crc32(pixels)
    mark = stills.folder / "campaign.json"
    mark.write_text(mark.read_text().replace('"kernels": "', '"kernels": "0'))
    assert run("frame", stills, "1") == 1
    out, err = capsys.readouterr()
    assert "frame 1 differs in 1 of 1920 pixels from the one in" in out
    assert "were made with kernels 0" in err
    assert run("frame", stills, "0") == 0


def test_a_frame_beside_a_damaged_one_is_not_said_to_equal_it(
    stills: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(stills.chunks[0].path, "r+") as file:
        file["entry/nbnumba/frames/crc32"][1] += 1
    assert run("frame", stills, "1") == 1
    assert "its pixels are damaged" in capsys.readouterr().out


def test_a_frame_goes_into_files_of_any_format(stills: Campaign, tmp_path: Path) -> None:
    shutil.rmtree(stills.folder)
    names = [str(tmp_path / f"frame{suffix}") for suffix in (".png", ".h5", ".img", ".npy")]
    assert run("frame", stills, "1", *(word for name in names for word in ("-o", name))) == 0
    assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    counts = registry.read(names[1])
    np.testing.assert_array_equal(registry.read(names[2]), counts)
    np.testing.assert_array_equal(registry.read(names[3]), counts)
    assert not stills.folder.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["5"], "K 5: give a whole number, from 0 to 4"),
        (["-1"], "K"),
        (["0", "-o", "x.txt"], "no format has this suffix"),
    ],
)
def test_what_frame_cannot_do_is_a_line(
    calm: dict[str, Campaign], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("frame", calm["stills"], *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# expt ------------------------------------------------------------------------------------------------------------


def experiments(one: Campaign, number: int, folder: Path) -> dict[str, Any]:
    path = folder / "true.expt"
    assert run("expt", one, str(number), "-o", str(path)) == 0
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_stills_are_an_experiment_for_each_crystal_with_its_image_and_beam(stills: Campaign, tmp_path: Path) -> None:
    found = experiments(stills, 0, tmp_path)
    assert [(one["imageset"], one["beam"], one["crystal"]) for one in found["experiment"]] == [
        (0, 0, 0), (1, 1, 1), (1, 1, 2)]  # fmt: skip
    assert [one["single_file_indices"] for one in found["imageset"]] == [[0], [1]]
    assert {name for one in found["imageset"] for name in one["images"]} == {str(stills.chunks[0].path)}
    assert [one["wavelength"] for one in found["beam"]] == [stills.frame(k).beam.wavelength_angstrom for k in (0, 1)]
    assert len(found["detector"]) == 1
    assert found["detector"][0]["panels"][0]["trusted_range"] == [-0.5, 65534.5]
    assert found["scan"] == found["goniometer"] == []


@pytest.mark.parametrize(("kind", "gain"), [("int32", 4.0), ("float32", 1.0)])
def test_what_is_told_of_pixels_is_that_of_the_file(tmp_path: Path, kind: str, gain: float) -> None:
    readout = '[experiment.readout]\nkind = "integrating"\ngain = 4\nadc_offset = 10\nbits = 12\n[vary]'
    one = made(tmp_path, STILLS, ("[vary]", readout), ("[output]", f'[output]\ntype = "{kind}"'))
    panel = experiments(one, 0, tmp_path)["detector"][0]["panels"][0]
    with h5py.File(one.chunks[0].path) as file:
        limit = file["entry/instrument/detector"].get("saturation_value", np.array(2**31 - 1))[()]
        scale = file["entry/data"].get("data_scaling_factor", np.array(1.0))[()]
    assert (limit < 4095) == (kind == "int32")
    assert panel["trusted_range"][1] == limit + 0.5
    assert (panel["gain"], panel["pedestal"], 1.0 / scale) == (gain, 0.0, gain)


def test_misses_are_left_out(stills: Campaign, tmp_path: Path) -> None:
    found = experiments(stills, 1, tmp_path)
    assert [one["single_file_indices"] for one in found["imageset"]] == [[1]]
    assert len(found["experiment"]) == len(found["crystal"]) == 1


def test_a_rotation_is_an_experiment_for_each_lattice(tmp_path: Path) -> None:
    one = campaign(tmp_path, SWEEPS, ("seed = 5", "seed = 5\nhits = 2"))
    found = experiments(one, 1, tmp_path)
    assert [(each["crystal"], each["scan"], each["goniometer"]) for each in found["experiment"]] == [
        (0, 0, 0),
        (1, 0, 0),
    ]
    (scan,), (images,) = found["scan"], found["imageset"]
    assert (scan["image_range"], scan["oscillation"]) == ([1, 1], pytest.approx([10.8, 0.4]))
    assert images["template"] == str(one.chunks[1].path)
    found = experiments(one, 0, tmp_path)
    assert found["scan"][0]["image_range"] == [1, 2]


@pytest.mark.parametrize(
    ("text", "changes"),
    [(STILLS, [SCAN]), (STILLS, [("hits =", 'spectrum = { file = "spectra.npz" }\nhits =')]), (SWEEPS, [])],
    ids=["stills", "spectra", "sweeps"],
)
def test_the_truth_indexes_the_brightest_pixels(tmp_path: Path, text: str, changes: list[tuple[str, str]]) -> None:
    """By the file alone, as DIALS has it: R(φ) A h + s0 = s1, in its own frame."""
    sparse = ("cell = [60, 70, 80, 90, 95, 90]", "cell = [16, 20, 24, 90, 95, 90]"), ("water_um = 10", "water_um = 0")
    one = made(tmp_path, text, *sparse, *changes)
    found = experiments(one, 0, tmp_path)
    with h5py.File(one.chunks[0].path) as file:
        images = file["entry/data/data"][()].astype(float)
    indexed = []
    for place, image in enumerate(images):
        own = [e for e in found["experiment"] if place in places_of(found, e)]
        bright = np.argsort(image.ravel())[-6:]
        for slow, fast in zip(*np.unravel_index(bright, image.shape), strict=True):
            indexed.append(
                min(np.abs(h - np.round(h)).max() for h in (index_of(found, e, place, fast, slow) for e in own))
            )
    assert len(indexed) >= 12
    assert np.mean(np.array(indexed) < 0.25) > 0.9


def places_of(found: dict[str, Any], experiment: dict[str, Any]) -> list[int]:
    images = found["imageset"][experiment["imageset"]]
    if "scan" not in experiment:
        return list(images["single_file_indices"])
    first, last = found["scan"][experiment["scan"]]["image_range"]
    return list(range(first - 1, last))


def index_of(found: dict[str, Any], experiment: dict[str, Any], place: int, fast: int, slow: int) -> np.ndarray:
    panel = found["detector"][experiment["detector"]]["panels"][0]
    beam, crystal = found["beam"][experiment["beam"]], found["crystal"][experiment["crystal"]]
    steps = np.array([panel["fast_axis"], panel["slow_axis"]]) * panel["pixel_size"][0]
    at = np.array(panel["origin"]) + np.array([fast + 0.5, slow + 0.5]) @ steps
    q = (at / np.linalg.norm(at) + np.array(beam["direction"])) / beam["wavelength"]
    if "scan" in experiment:
        start, width = found["scan"][experiment["scan"]]["oscillation"]
        q = turned(q, found["goniometer"][0]["rotation_axis"], -np.radians(start + (place + 0.5) * width))
    return np.array([crystal[f"real_space_{name}"] for name in "abc"]) @ q


def turned(vector: np.ndarray, axis: list[float], angle: float) -> np.ndarray:
    n = np.array(axis)
    return vector * np.cos(angle) + np.cross(n, vector) * np.sin(angle) + n * (n @ vector) * (1.0 - np.cos(angle))


def test_a_file_without_crystals_has_no_experiments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = campaign(tmp_path, STILLS, ("hits = { cycle = [1, 2, 0] }", "hits = 0"))
    assert run("expt", one, "0", "-o", str(tmp_path / "x.expt")) == 2
    assert "CHUNK 0: no frame of it has a crystal" in capsys.readouterr().err
    assert run("expt", one, "0", "-o", str(tmp_path / "x.json")) == 2
    assert "named .expt" in capsys.readouterr().err
    assert run("expt", one, "3") == 2
    assert not list(tmp_path.glob("x.*"))


# DIALS -----------------------------------------------------------------------------------------------------------

READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory as Factory

def read(path):
    for one in Factory.from_json_file(path) if path.endswith(".expt") else Factory.from_filenames([path]):
        images, scan = one.imageset, one.scan
        yield {
            "wavelength": one.beam.get_wavelength(),
            "distance": one.detector[0].get_distance(),
            "scan": [*scan.get_image_range(), *scan.get_oscillation()] if scan else None,
            "counts": [sum(images.get_raw_data(place)[0]) for place in range(len(images))],
            "cell": one.crystal.get_unit_cell().parameters() if one.crystal else None,
        }

print(json.dumps({path: list(read(path)) for path in sys.argv[1:]}))
"""


@pytest.mark.dials
def test_dials_reads_masters_and_the_truth_with_its_images(stills: Campaign, sweeps: Campaign, tmp_path: Path) -> None:
    if not has_dials():
        pytest.skip(f"{PYTHON} has no DIALS; name another as DIALS_PYTHON")
    paths = []
    for one, number in ((stills, 0), (sweeps, 2)):
        assert run("master", one) == 0
        expt = tmp_path / f"{one.job.name}.expt"
        assert run("expt", one, str(number), "-o", str(expt)) == 0
        paths += [*map(str, masters(one)), str(expt)]
    done = subprocess.run([PYTHON, "-c", READ, *paths], env=WITHOUT_OURS, capture_output=True, text=True, check=True)
    first, second, still, turn_0, turn_1, turn_2, turned_again = json.loads(done.stdout).values()
    waves = [stills.frame(number).beam.wavelength_angstrom for number in range(5)]
    assert [one["wavelength"] for one in [*first, *second]] == pytest.approx(waves)
    assert [one["distance"] for one in [*first, *second]] == pytest.approx([60.0] * 4 + [70.0])
    assert [one["counts"] for one in [*first, *second]] == [[sum_of(stills, number)] for number in range(5)]
    assert [one["wavelength"] for one in still] == pytest.approx([waves[0], waves[1], waves[1]])
    assert [one["counts"] for one in still] == [[sum_of(stills, number)] for number in (0, 1, 1)]
    own = stills.frame(1).crystal
    cells = [stills.frame(0).crystal.cell, own.cell, own.lattices[0].cell]
    assert [one["cell"] for one in still] == [pytest.approx(cell) for cell in cells]
    ranges = [[1, 3, 10.0, 0.4], [1, 3, 10.0, 0.4], [1, 2, 0.0, 1.0], [1, 2, 10.0, 0.4]]
    for turns, scan, frames in zip((turn_0, turn_1, turn_2, turned_again), ranges,
                                   (range(3), range(3, 6), range(6, 8), range(3, 5)), strict=True):  # fmt: skip
        (one,) = turns
        assert one["scan"] == pytest.approx(scan)
        assert one["counts"] == [sum_of(sweeps, number) for number in frames]


def sum_of(one: Campaign, number: int) -> int:
    chunk = one.chunk_of(number)
    with h5py.File(chunk.path) as file:
        return int(file["entry/data/data"][number - chunk.first].sum())
