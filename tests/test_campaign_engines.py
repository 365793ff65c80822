"""Whoever does a chunk, its file is the same byte for byte: shards, and Dask, whose workers die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.folder import claim
from nbnumba.campaign.running import Failed, run_chunks
from nbnumba.campaign.shards import shard_of
from nbnumba.campaign.work import Done
from nbnumba.errors import ResourceError, UsageError
from nbnumba.render.backends import How
from tests.campaigns import STILLS, write_campaign
from tests.campaigns import campaign as campaign_of

pytest.importorskip("distributed", reason="pip install distributed")
from nbnumba.campaign.dask import chunks_done, told_of, workers_here, workers_of

ROOT = Path(__file__).resolve().parent.parent


HOW = How("cpu", threads=1)
TWELVE = ("frames = 5", "frames = 12")


def claimed(folder: Path, *changes: tuple[str, str]) -> Campaign:
    """A campaign of six files, whose folder is there."""
    made = campaign_of(folder, STILLS, TWELVE, *changes)
    claim(made, HOW)
    return made


def files_of(campaign: Campaign) -> dict[str, bytes]:
    """Content of every file in the folders of chunks, temporary ones included."""
    return {path.name: path.read_bytes() for path in sorted(campaign.folder.glob("[0-9]*/*"))}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files that one process makes in their order."""
    campaign = claimed(tmp_path_factory.mktemp("calm"))
    assert [type(one) for one in run_chunks(campaign, range(6), HOW)] == [Done] * 6
    files = files_of(campaign)
    assert len(files) == 6
    return files


def test_three_shards_in_any_order_make_the_same_files(calm: dict[str, bytes], tmp_path: Path) -> None:
    campaign = claimed(tmp_path)
    for given in ("2/3", "0/3", "1/3"):
        numbers = shard_of({}, given).of_chunks(len(campaign.chunks))
        assert len(list(run_chunks(campaign, reversed(numbers), HOW))) == 2
    assert files_of(campaign) == calm


def test_references_that_a_profiler_holds_do_not_change_a_file(
    calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of Dask looks at what functions hold a hundred times a second."""
    import h5py

    held, make = [], h5py.Group.create_dataset

    def held_dataset(self: Any, *args: Any, **options: Any) -> Any:
        held.append(make(self, *args, **options))
        return held[-1]

    monkeypatch.setattr(h5py.Group, "create_dataset", held_dataset)
    campaign = claimed(tmp_path)
    assert len(list(run_chunks(campaign, range(6), HOW))) == 6
    assert held
    assert files_of(campaign) == calm


def test_two_workers_of_dask_make_the_same_files(
    calm: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hdf5plugin

    # At facilities it names plug-ins with which the library cannot write.
    monkeypatch.setenv("HDF5_PLUGIN_PATH", hdf5plugin.PLUGIN_PATH)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    campaign = claimed(tmp_path)
    with workers_here(2) as client:
        assert told_of(client).startswith("2 workers of Dask on 1 machine")
        assert set(client.run(os.getenv, "OMP_NUM_THREADS").values()) == {"1"}
        pids = list(client.run(os.getpid).values())
        outcomes = list(chunks_done(client, campaign, range(6), HOW))
    assert sorted(one.chunk for one in outcomes) == list(range(6))
    assert all(isinstance(one, Done) and one.frames == 2 for one in outcomes)
    assert files_of(campaign) == calm
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert not [pid for pid in pids if _lives(pid)]
    assert capfd.readouterr() == ("", ""), "Dask has nothing to say to who runs a campaign"


@pytest.mark.slow
def test_chunks_of_a_worker_that_is_killed_are_done_again(calm: dict[str, bytes], tmp_path: Path) -> None:
    campaign = claimed(tmp_path)
    with workers_here(2) as client:
        told = []
        for outcome in chunks_done(client, campaign, range(6), HOW):
            told.append(outcome.chunk)
            if len(told) in (1, 3):
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert sorted(told) == list(range(6))
    chunks = {name: content for name, content in files_of(campaign).items() if not name.endswith(".tmp")}
    assert chunks == calm


def test_a_frame_that_cannot_be_is_told_and_others_are_done(tmp_path: Path) -> None:
    # Frames 4 and 5 have angles that no cell has.
    cell = '"crystal.cell" = [60, 70, 80, 90, 95, { cycle = [90, 90, 179, 90, 90, 90], every = 2 }]'
    campaign = claimed(tmp_path, ('"crystal.cell" = { relative = { normal = [0.0, 0.002] } }', cell))
    with workers_here(1) as client:
        outcomes = {one.chunk: one for one in chunks_done(client, campaign, range(6), HOW)}
    failed = outcomes.pop(2)
    assert isinstance(failed, Failed)
    assert failed.frame == 4
    assert failed.why.startswith("frame 4: ")
    assert "179" in failed.experiment
    assert all(isinstance(one, Done) for one in outcomes.values())
    assert len(files_of(campaign)) == 5


@contextmanager
def _scheduler() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of one without workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen([*command, "--no-dashboard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(lambda: _listens(port))
        yield f"tcp://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def scheduler() -> Iterator[str]:
    with _scheduler() as (address, _):
        yield address


def _worker(address: str, path: Path) -> subprocess.Popen[bytes]:
    """One that imports from a folder."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    environ = os.environ | {"PYTHONPATH": str(path)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--no-dashboard"], env=environ, cwd=path, **quiet)


def test_workers_of_a_scheduler(calm: dict[str, bytes], scheduler: str, tmp_path: Path) -> None:
    campaign = claimed(tmp_path)
    worker = _worker(scheduler, ROOT)
    try:
        with workers_of(scheduler) as client:
            assert len(list(chunks_done(client, campaign, range(6), HOW))) == 6
            assert files_of(campaign) == calm
            write_campaign(tmp_path, STILLS, TWELVE, ("seed = 7", "seed = 8"))
            with pytest.raises(ResourceError, match="sees another campaign, or other input, in"):
                list(chunks_done(client, campaign, range(6), HOW))
    finally:
        worker.terminate()
        worker.wait()


def test_worker_of_another_program_takes_no_part(scheduler: str, tmp_path: Path) -> None:
    campaign = claimed(tmp_path)
    package = tmp_path / "without" / "nbnumba"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('No module named nbnumba')")
    worker = _worker(scheduler, package.parent)
    try:
        with workers_of(scheduler) as client:
            client.wait_for_workers(1, timeout=30)
            with pytest.raises(ResourceError, match=r"^the worker tcp://\S+ has no nbnumba that does campaigns"):
                list(chunks_done(client, campaign, range(6), HOW))
    finally:
        worker.terminate()
        worker.wait()


def test_no_scheduler_is_said_within_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with (
            pytest.raises(ResourceError, match="no scheduler of Dask answers there"),
            workers_of(f"tcp://127.0.0.1:{silent.getsockname()[1]}"),
        ):
            pass
    assert time.monotonic() - began < 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["", "8786", "local", "http://127.0.0.1:80", "tcp://node:port"])
def test_address_that_is_none(address: str) -> None:
    with (
        pytest.raises(UsageError, match=r"^-dask is .*must be an address such as tcp://node:8786"),
        workers_of(address),
    ):
        pass


def test_lost_scheduler_is_said(tmp_path: Path) -> None:
    campaign = claimed(tmp_path)
    with _scheduler() as (address, process), workers_of(address) as client:
        outcomes = chunks_done(client, campaign, range(6), HOW)
        process.kill()
        with pytest.raises(ResourceError, match="the scheduler of Dask is lost"):
            next(outcomes)


@pytest.mark.parametrize("name", [pytest.param("SIGINT", marks=pytest.mark.slow), "SIGUSR1"])
def test_signal_to_all_processes_of_a_run_ends_them_and_is_told_once(name: str, tmp_path: Path) -> None:
    """As Ctrl-C does on a terminal, and SLURM before the time is up."""
    job = write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 400"),
                         ("fast_pixels = 48", "fast_pixels = 512"), ("slow_pixels = 40", "slow_pixels = 512"),
                         ("mosaic_domains = 1", "mosaic_domains = 50\nmosaic_spread_deg = 0.1"))  # fmt: skip
    command = [sys.executable, "-m", "nbnumba", "campaign", "run", str(job), "-local", "2", "-backend", "cpu"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environ, start_new_session=True, text=True, preexec_fn=_heed_ctrl_c,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("shard 0/1 (alone): 200 of 200 chunks missing"), line + process.stderr.read()
        assert process.stdout.readline() == "2 workers of Dask on 1 machine\n"
        _await(lambda: next((tmp_path / "small").glob("0000/*.h5"), None))
        os.killpg(process.pid, getattr(signal, name))
        began = time.monotonic()
        said = process.stderr.read().splitlines()
        assert process.wait() == 75
    assert time.monotonic() - began < 30
    word = "interrupted" if name == "SIGINT" else "told to stop"
    assert said[0] == f"nbnumba campaign run: {word}; nothing half written is left; run it again to go on"
    assert all(line.startswith("nbnumba campaign run: warning") for line in said[1:]), said
    assert not list((tmp_path / "small").rglob("*.tmp"))
    _await(lambda: not _group_lives(process.pid))


def _heed_ctrl_c() -> None:
    """Who is started in the background ignores it, and so does what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def _await(what: Any) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
