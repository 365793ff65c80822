"""A campaign's run: what is seen of it, and what it leaves when it is stopped, killed, or cannot write."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from nbnumba.campaign import log, rendering, standing, watching
from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.running import run_chunks
from nbnumba.campaign.shards import Shard
from nbnumba.campaign.warming import kinds
from nbnumba.campaign.work import Done
from nbnumba.cli import main
from nbnumba.errors import DeviceError
from nbnumba.formats.files import temporary_beside
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards
from tests.campaigns import STILLS, write_campaign
from tests.signals import hears

ROOT = Path(__file__).resolve().parent.parent
ALONE = ("-threads", "1", "-backend", "cpu")
HOW = How("cpu", threads=1)
CHUNKS, MANY = 20, ("frames = 5", "frames = 40")
WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up", "SIGUSR1": "told to stop"}

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs signals, limits and mounts of Linux")


def command(job: Path, *options: str) -> list[str]:
    return [sys.executable, str(ROOT / "cli.py"), "campaign", "run", str(job), *ALONE, *options]


def run(job: Path, *options: str) -> int:
    """In this process."""
    return main(["campaign", "run", str(job), *ALONE, *options])


def folder_of(job: Path) -> Path:
    return job.parent / "small"


def made(job: Path) -> dict[str, bytes]:
    """Files of chunks."""
    return {path.name: path.read_bytes() for path in folder_of(job).glob("0000/[!.]*")}


def temporaries(job: Path) -> list[Path]:
    return list(folder_of(job).rglob(".nbnumba-*"))


def records(job: Path) -> list[dict[str, Any]]:
    paths = sorted(folder_of(job).glob("log/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """Files of a run that nobody disturbs, and the seconds that it takes."""
    job = write_campaign(tmp_path_factory.mktemp("calm"), STILLS, MANY)
    began = time.perf_counter()
    subprocess.run(command(job), check=True, capture_output=True)
    seconds = time.perf_counter() - began
    files = made(job)
    assert len(files) == CHUNKS
    return files, seconds


# What is seen ------------------------------------------------------------------------------------------------------


def test_run_tells_what_it_does_and_a_second_one_that_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_campaign(tmp_path)
    assert run(job) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == f"shard 0/1 (alone): 3 of 3 chunks missing, cpu, in {folder_of(job)}"
    assert re.fullmatch(r"3/3 chunks, [\d.e+]+ frames/s", lines[-1])
    told = records(job)
    assert [record["chunk"] for record in told] == [0, 1, 2]
    assert [record["frames"] for record in told] == [2, 2, 1]
    assert {record["sha256"] for record in told} == {hashlib.sha256(one).hexdigest() for one in made(job).values()}
    for record in told:
        assert record["seconds"].keys() == {"setup", "render", "count", "write"}
        assert all(spent > 0 for spent in record["seconds"].values())
        assert (record["pid"], record["device"]) == (os.getpid(), "cpu")
    assert run(job) == 0
    assert capsys.readouterr().out == f"shard 0/1 (alone): 0 of 3 chunks missing, cpu, in {folder_of(job)}\n"
    assert len(records(job)) == 3


def test_shard_does_its_chunks_by_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = write_campaign(tmp_path, STILLS, MANY)
    assert run(job, "-shard", "1/7") == 0
    assert set(made(job)) == {f"small_{number:06d}.h5" for number in range(1, CHUNKS, 7)}
    # Of the missing ones another third would be others.
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("NBNUMBA_SHARDS", "6")
    capsys.readouterr()
    assert run(job) == 0
    assert capsys.readouterr().out.startswith("shard 2/6 (task 2 of 6 of a SLURM array): 2 of 3 chunks missing")
    assert set(made(job)) == {f"small_{number:06d}.h5" for number in (1, 8, 15, 2, 14)}
    assert run(job, "-shard", "7/7") == 2


def test_chunk_that_appears_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    job = write_campaign(tmp_path)
    campaign = Campaign(job)
    outcomes = run_chunks(campaign, [0, 1, 2], HOW)
    assert isinstance(next(outcomes), Done)
    campaign.chunks[1].path.write_bytes(b"of somebody else")
    found, last = outcomes
    assert (found.chunk, found.frames, last.chunk, last.frames) == (1, 0, 2, 1)  # type: ignore[union-attr]
    assert campaign.chunks[1].path.read_bytes() == b"of somebody else"
    log.Log(campaign.folder, Shard(0, 1, "")).add(found)
    assert not records(job)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_has_a_bar_and_who_has_none_a_line_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(write_campaign(tmp_path / "minutes")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setattr(watching, "EVERY_S", 0.0)
    assert run(write_campaign(tmp_path / "lines")) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert len(lines) == 5 + 3
    assert re.fullmatch(r"0/3 chunks, [\d.e+]+ frames/s, \d+ (s|min|h) left", lines[0])
    assert [line.split()[0] for line in lines] == [f"{number}/3" for number in (0, 0, 1, 1, 1, 2, 2, 3)]
    terminal, shown, update = Terminal(), list[float](), tqdm.update
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(tqdm, "update", lambda bar, n: (shown.append(n), update(bar, n)))
    assert run(write_campaign(tmp_path / "bar")) == 0
    assert "0/5 [00:00<?, ?frame/s]" in terminal.getvalue()
    assert sum(shown) == 5
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("rate", "left", "line"),
    [
        (412.4, 519_624, "37/200 chunks, 412 frames/s, 21 min left"),
        (0.0123, 1, "37/200 chunks, 0.0123 frames/s, 81 s left"),
        (2.0, 8e5, "37/200 chunks, 2 frames/s, 5 days left"),
        (2.0, 4e4, "37/200 chunks, 2 frames/s, 6 h left"),
        (2.0, 0, "37/200 chunks, 2 frames/s"),
        (None, 7, "37/200 chunks"),
    ],
)
def test_line_of_progress(rate: float | None, left: int, line: str) -> None:
    assert watching.progress_line(37, 200, rate, left) == line


def test_warnings_are_told_at_the_end_by_kind_with_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path, STILLS, ('shape = "gauss"\ngauss_width = "edges"\n', ""), ("[8, 1.3]", "[50, 1.3]"))
    assert run(job) == 0
    lines = capsys.readouterr().err.splitlines()
    coarse = [line for line in lines if "coarse" in line]
    assert len(coarse) == 1
    assert re.match(r"nbnumba campaign run: warning, [2-5] times: -oversample 1 is coarse", coarse[0])
    assert sum(sum(record["warned"].values()) for record in records(job)) >= 2


# A frame that cannot be --------------------------------------------------------------------------------------------


def test_frame_that_raises_fails_its_chunk_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # With this seed frame 2 alone has a cell with an edge below 0.
    job = write_campaign(tmp_path, STILLS, ("seed = 7", "seed = 2"), ("[0.0, 0.002]", "[0.0, 0.7]"))
    assert run(job) == 1
    said = capsys.readouterr()
    assert set(made(job)) == {"small_000000.h5", "small_000002.h5"}
    told = [line for line in said.err.splitlines() if "warning" not in line]
    assert len(told) == 1
    assert told[0].startswith("nbnumba campaign run: chunk 1 cannot be made: frame 2: ")
    assert "the edges must be above 0" in told[0]
    assert said.out.splitlines()[-1].startswith("2/3 chunks")
    failed = [record for record in records(job) if "why" in record]
    assert [(record["chunk"], record["frame"]) for record in failed] == [(1, 2)]
    assert not temporaries(job)
    assert main(["campaign", "status", str(job)]) == 1
    assert re.search(r"^failed +chunk 1: frame 2: .*the edges must be above 0", capsys.readouterr().out, re.MULTILINE)


def test_fault_of_the_program_is_its_frame_s_matter_and_tells_its_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = rendering.resolve

    def broken(experiment: Any, inputs: Any) -> Any:
        if experiment.noise.frame == 3:
            raise ZeroDivisionError("by nothing")
        return resolve(experiment, inputs)

    monkeypatch.setattr(rendering, "resolve", broken)
    job = write_campaign(tmp_path)
    assert run(job) == 1
    assert "chunk 1 cannot be made: frame 3: ZeroDivisionError: by nothing" in capsys.readouterr().err
    record = next(record for record in records(job) if "why" in record)
    assert record["experiment"] == Campaign(job).frame(3).to_toml()
    monkeypatch.undo()
    # Whoever mends it goes on, and nothing is said of it any more.
    assert run(job) == 0
    assert len(made(job)) == 3
    assert not log.read_log(folder_of(job), 0.0).failures
    assert main(["campaign", "status", str(job)]) == 0


def test_card_that_fails_is_no_frame_s_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        raise DeviceError("the card has fallen off the bus")
        yield

    monkeypatch.setattr(rendering.series, "render_series", broken)
    job = write_campaign(tmp_path)
    assert run(job) == 4
    assert capsys.readouterr().err == "nbnumba campaign: the card has fallen off the bus\n"
    assert not made(job)
    assert not records(job)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("-backend", "cpu", "-threads", "4000"), 2, "-threads 4000: this machine takes 1 to "),
        (("-local", "2", "-threads", "2"), 2, "-threads 2 beside -local 2, whose processes have one thread each"),
        (("-backend", "cuda"), 4, "-backend cuda: it has fallen off the bus"),
    ],
)
def test_what_the_machine_has_not_is_said_before_the_folder_is_claimed(
    options: tuple[str, ...],
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "why_unusable", lambda *_: "it has fallen off the bus")
    job = write_campaign(tmp_path)
    assert main(["campaign", "run", str(job), *options]) == status
    error = capsys.readouterr().err
    assert error.startswith(f"nbnumba campaign: {said}")
    assert error.count("\n") == 1
    assert not folder_of(job).exists()


# How far it is -----------------------------------------------------------------------------------------------------


def test_status_before_amid_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path)
    status = ["campaign", "status", str(job)]
    assert main(status) == 1
    assert "0 of 3 chunks, 0 of 5 frames" in capsys.readouterr().out
    assert not folder_of(job).exists()
    run(job, "-shard", "0/2")
    Path(temporary_beside(str(folder_of(job) / "0000" / "small_000001.h5"))).touch()
    # Not of this campaign's chunks.
    for name in ("small_000003.h5", "small_1.h5", "smaller_000001.h5", "small_000001.h5.bad"):
        (folder_of(job) / "0000" / name).touch()
    capsys.readouterr()
    assert main(status) == 1
    said = capsys.readouterr().out
    assert "2 of 3 chunks, 3 of 5 frames" in said
    assert re.search(r"of late +[\d.e+]+ frames/s, \d+ s left", said)
    assert "1 files, of who writes now or was killed" in said
    run(job)
    capsys.readouterr()
    assert main([*status, "-watch"]) == 0
    assert re.fullmatch(r"3/3 chunks, [\d.e+]+ frames/s\n", capsys.readouterr().out)
    assert main([*status, "-watch", "0"]) == 2


def test_status_of_another_campaign_s_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path)
    run(job, "-shard", "0/9")
    write_campaign(tmp_path, STILLS, ("seed = 7", "seed = 8"))
    assert main(["campaign", "status", str(job)]) == 2
    assert "holds another campaign" in capsys.readouterr().err


def aged(campaign: Campaign, ages_s: dict[int, float]) -> None:
    """Chunks whose files were made so long ago."""
    for number, age in ages_s.items():
        path = campaign.chunks[number].path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (time.time() - age,) * 2)


def test_rate_is_of_late_and_from_when_the_first_was_begun(tmp_path: Path) -> None:
    job = write_campaign(tmp_path, STILLS, MANY)
    campaign = Campaign(job)
    aged(campaign, {0: 90_000, 1: 4_000, 2: 400, 3: 300, 4: 100})
    assert standing.standing_of(campaign).rate == pytest.approx(6 / 400, rel=0.01)
    (campaign.folder / "log").mkdir()
    line = {"time": time.time() - 400, "chunk": 2, "frames": 2, "seconds": {"render": 150.0, "write": 50.0}}
    (campaign.folder / "log" / "w.jsonl").write_text(json.dumps(line) + '\n{"time": 1, "chu')
    found = standing.standing_of(campaign)
    assert found.rate == pytest.approx(6 / 600, rel=0.01)
    assert found.left_s == pytest.approx(30 / (6 / 600), rel=0.01)
    # One that is complete was as fast as it was, however long ago that is.
    aged(campaign, dict.fromkeys(range(CHUNKS), 1000.0) | {0: 1200.0})
    assert standing.standing_of(campaign).rate == pytest.approx(40 / 400, rel=0.01)


def test_files_of_folders_at_rest_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    changed = standing._changed

    def noted(path: Path) -> float:
        asked.append(path)
        return changed(path)

    monkeypatch.setattr(standing, "_changed", noted)
    campaign = Campaign(write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 2_010")))
    aged(campaign, {0: 10.0, 1000: 10.0, 1001: 10.0})
    os.utime(campaign.folder / "0000", (0, 0))
    found = standing.standing_of(campaign)
    assert (found.chunks, found.frames_done) == (1005, 6)
    assert {path.name for path in asked} == {"0000", "0001", "small_001000.h5", "small_001001.h5"}


@linux
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 0), ("SIGTERM", 143)])
def test_watching_is_left_by_ctrl_c(name: str, status: int, tmp_path: Path) -> None:
    line = [sys.executable, str(ROOT / "cli.py"), "campaign", "status", str(write_campaign(tmp_path)), "-watch", "60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0/3 chunks\n"
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=60)[1]
    assert process.returncode == status
    assert "Traceback" not in said


# Warming up --------------------------------------------------------------------------------------------------------


def test_warming_renders_each_kind_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path)
    assert kinds(Campaign(job)) == [0, 1, 2]
    assert main(["campaign", "warm", str(job), *ALONE]) == 0
    assert re.search(r"warm after \d+\.\d s: rendered frames of 1, 2, 0 crystals, cpu", capsys.readouterr().out)
    assert not folder_of(job).exists()
    shapes = '"crystal.shape" = { cycle = ["gauss", "gauss", "square"] }\n[output]'
    words = write_campaign(tmp_path / "words", STILLS, MANY, ("{ cycle = [1, 2, 0] }", "1"), ("[output]", shapes))
    assert kinds(Campaign(words)) == [0, 2]


@pytest.mark.slow
def test_who_is_warm_compiles_nothing(tmp_path: Path) -> None:
    job, cache = write_campaign(tmp_path), tmp_path / "cache"
    environ = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    compiled = []
    for verb in ("warm", "run"):
        line = [sys.executable, str(ROOT / "cli.py"), "campaign", verb, str(job), *ALONE]
        subprocess.run(line, env=environ, check=True, capture_output=True)
        compiled.append({path: path.stat().st_mtime_ns for path in cache.rglob("*.kernel")})
    assert compiled[0]
    assert compiled[0] == compiled[1]


# Signals -----------------------------------------------------------------------------------------------------------


def check_left(job: Path, calm: dict[str, bytes]) -> int:
    """How many chunks there are: each as that of a calm run, beginning with the first, without a gap."""
    files = made(job)
    assert files == {name: calm[name] for name in sorted(calm)[: len(files)]}
    return len(files)


def check_stops(name: str, times: int, calm: tuple[dict[str, bytes], float], folder: Path, seed: int) -> None:
    """Stop runs at random moments; often by more than one signal."""
    rng, stopped = random.Random(seed), 0
    for attempt in range(times):
        job = write_campaign(folder / str(attempt), STILLS, MANY)
        with subprocess.Popen(command(job), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            # It is the last that gets a handler.
            while not hears(process, signal.SIGUSR1):
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, calm[1]) if attempt else 0.0)
            process.send_signal(getattr(signal, name))
            if attempt % 3 == 2:
                time.sleep(rng.uniform(0.0, 0.002))
                process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1].splitlines()
        assert process.returncode in (0, 75)
        assert not temporaries(job)
        count = check_left(job, calm[0])
        if process.returncode == 0:
            assert count == CHUNKS
            continue
        stopped += 1
        words = {WORDS[name], WORDS["SIGTERM"]} if attempt % 3 == 2 else {WORDS[name]}
        assert said in [[f"nbnumba: {word}; nothing half written is left; run it again to go on"] for word in words]
    assert stopped


@linux
@pytest.mark.parametrize("name", WORDS)
def test_signal_stops_a_run(name: str, calm: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    check_stops(name, 3, calm, tmp_path, 1)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_signal_stops_a_run_at_a_hundred_moments(
    name: str, calm: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    check_stops(name, 100, calm, tmp_path, 2)


AT = """
import os, signal, sys
import h5py
sys.path.insert(0, {root!r})
from nbnumba.cli import main
from nbnumba.campaign import log

class Memory(__import__("io").BytesIO):
    pass

def signalling(owner, name, call):
    work, calls = getattr(owner, name), []
    def wrapped(*args, **options):
        calls.append(name)
        if len(calls) == call:
            signal.raise_signal(signal.SIGUSR1)
        return work(*args, **options)
    setattr(owner, name, wrapped)

{where}
sys.argv = ["nbnumba", "campaign", "run", *sys.argv[1:]]
sys.exit(main())
"""
WHERE = {
    # In the middle of the library, as it writes into memory: whose class Python lets nobody change.
    "within HDF5": 'import io; signalling(Memory, "write", 9); io.BytesIO = Memory',
    "before the first name": 'signalling(os, "link", 1)',
    "before the disk": 'signalling(os, "fsync", 5)',
    "before the name": 'signalling(os, "replace", 3)',
    "before the log": 'signalling(log, "_append", 1)',
}


@linux
@pytest.mark.parametrize("moment", WHERE)
def test_signal_at_a_moment_that_is_hard_to_meet(
    moment: str, calm: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    job = write_campaign(tmp_path, STILLS, MANY)
    program = AT.format(root=str(ROOT), where=WHERE[moment])
    line = [sys.executable, "-c", program, str(job), *ALONE]
    finished = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 75
    assert finished.stderr == "nbnumba: told to stop; nothing half written is left; run it again to go on\n"
    assert not temporaries(job)
    # Between the name's first byte and its last there is no moment: the signal waits.
    assert check_left(job, calm[0]) == (1 if moment in ("before the name", "before the log") else 0)
    assert not records(job)


# Kills -------------------------------------------------------------------------------------------------------------


def check_kills(generations: int, calm: tuple[dict[str, bytes], float], folder: Path, seed: int) -> None:
    """Two workers at once on the same chunks, killed at random moments; at the end two that are let alone."""
    job = write_campaign(folder, STILLS, MANY)
    rng, kills = random.Random(seed), 0
    for generation in range(generations + 1):
        if made(job) and len(made(job)) == CHUNKS:
            shutil.rmtree(folder_of(job))
        workers = [
            subprocess.Popen(command(job), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for worker in workers if generation < generations else ():
            assert worker.stdout is not None
            worker.stdout.readline()
        if generation < generations:
            time.sleep(rng.uniform(0.0, calm[1] / 2))
        for worker in workers:
            if generation < generations and worker.poll() is None:
                worker.kill()
                kills += 1
            said = worker.communicate(timeout=60)[1]
            assert worker.returncode in (0, -signal.SIGKILL), said
        check_left(job, calm[0])
    assert check_left(job, calm[0]) == CHUNKS
    assert [worker.returncode for worker in workers] == [0, 0]
    assert kills >= generations
    # Of a killed one the log may lack the chunk that had just got its name, no other.
    logged = {record["chunk"] for record in records(job)}
    assert len(logged) >= CHUNKS - kills


@linux
def test_killed_workers_leave_whole_files(calm: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    check_kills(3, calm, tmp_path, 1)


@linux
@pytest.mark.slow
def test_workers_killed_at_a_hundred_moments_leave_whole_files(
    calm: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    check_kills(50, calm, tmp_path, 2)


# What cannot be written --------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many kB, or the same one with so many from now on."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def sized(kilobytes: int) -> Path:
        again = "remount," if os.path.ismount(disk) else ""
        line = ["mount", "-t", "tmpfs", "-o", f"{again}size={kilobytes}k", "none", str(disk)]
        mounted = subprocess.run(line, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
        return disk

    yield sized
    if os.path.ismount(disk):
        subprocess.run(["umount", str(disk)], check=True)


@linux
@pytest.mark.parametrize("room_chunks", [0.5, 2.5])
def test_full_disk(
    room_chunks: float, calm: tuple[dict[str, bytes], float], small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    chunk = len(next(iter(calm[0].values())))
    disk = small_disk(16 + int(room_chunks * chunk / 1024))
    job = write_campaign(tmp_path, STILLS, MANY, ("[output]", f'[output]\nfolder = "{disk / "small"}"'))
    finished = subprocess.run(command(job), capture_output=True, text=True, check=False)
    assert finished.returncode == 4, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("nbnumba campaign: cannot write ")
    assert "the disk is full" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not list(disk.rglob(".nbnumba-*"))
    (tmp_path / "small").symlink_to(disk / "small")
    assert check_left(job, calm[0]) <= room_chunks
    small_disk(100 * chunk // 1024)
    assert subprocess.run(command(job), capture_output=True, check=False).returncode == 0
    assert check_left(job, calm[0]) == CHUNKS


DIRECT = """
import sys
sys.path.insert(0, {root!r})
from nbnumba.cli import main
from nbnumba.campaign import writing
writing.MOST_IN_MEMORY_BYTES = {most}
sys.argv = ["nbnumba", "campaign", "run", *sys.argv[1:]]
sys.exit(main())
"""


@linux
@pytest.mark.parametrize("most", [0, 1 << 31])
def test_file_that_may_not_be_as_large(most: int, calm: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    """Of one that is written as it grows as of one that is written at once: the library does not end the program."""
    job = write_campaign(tmp_path, STILLS, MANY)
    limit = len(next(iter(calm[0].values()))) // 2
    line = [sys.executable, "-c", DIRECT.format(root=str(ROOT), most=most), str(job), *ALONE]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    finished = subprocess.run(line, capture_output=True, text=True, check=False, preexec_fn=limited)
    assert finished.returncode == 4, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("nbnumba campaign: cannot write ")
    assert "Traceback" not in finished.stderr
    assert not temporaries(job)
    assert not made(job)
    assert run(job) == 0
    assert check_left(job, calm[0]) == CHUNKS


@linux
def test_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("/proc/campaign", str(tmp_path / "job.toml" / "campaign")):
        job = write_campaign(tmp_path, STILLS, ("[output]", f'[output]\nfolder = "{folder}"'))
        assert run(job) == 4
        said = capsys.readouterr().err
        assert said.startswith(f"nbnumba campaign: cannot make the folder {folder}")
        assert len(said.splitlines()) == 1


def test_log_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path)
    folder_of(job).mkdir()
    (folder_of(job) / "log").touch()
    assert run(job) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"nbnumba campaign: cannot write \S+/log/0of1-\S+-\d+\.jsonl: ", said)
    assert len(made(job)) == 1


@linux
def test_line_of_the_log_is_whole_or_not_there(tmp_path: Path) -> None:
    """On a disk with room for a part of it."""
    program = (
        "import resource; from pathlib import Path; from nbnumba.campaign import log\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150)); path = Path('log')\n"
        "log._append(path, b'x' * 99 + b'\\n')\n"
        "try: log._append(path, b'y' * 99 + b'\\n')\n"
        "except OSError: print('refused')\n"
    )
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert said.stdout == b"refused\n"
    assert (tmp_path / "log").read_bytes() == b"x" * 99 + b"\n"
