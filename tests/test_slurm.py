"""The printed script in a real SLURM of one node, which is started for it: arrays, parts, requeues, dependencies."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import pytest

from nbnumba.campaign.campaign import Campaign
from tests.campaigns import STILLS, write_campaign
from tests.slurm import Slurm, slurm, wait_until, why_missing

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(why_missing()), reason=why_missing() or "")]

ROOT = Path(__file__).resolve().parent.parent
ENVIRON = os.environ | {"PYTHONPATH": str(ROOT)}
SLOW = (("fast_pixels = 48", "fast_pixels = 512"), ("slow_pixels = 40", "slow_pixels = 512"),
        ("mosaic_domains = 1", "mosaic_domains = 50\nmosaic_spread_deg = 0.1"))  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    # Paths of sockets have bounds.
    with slurm(tmp_path_factory.mktemp("slurm")) as started:
        started.environ["PYTHONPATH"] = str(ROOT)
        yield started


def script(job: Path, *words: str) -> str:
    command = [sys.executable, "-m", "nbnumba", "campaign", "sbatch", str(job), "-gpus", "0", "-cpus", "1", *words]
    return subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=True).stdout


def submit(here: Slurm, text: str, *words: str) -> str:
    return here("sbatch", "--parsable", *words, input=text)


def chunks_done(campaign: Campaign) -> list[int]:
    return [chunk.number for chunk in campaign.chunks if chunk.is_done]


def printed(campaign: Campaign) -> dict[str, str]:
    """What the tasks said, by their numbers."""
    return {path.stem.rpartition("_")[2]: path.read_text() for path in (campaign.folder / "log").glob("*.out")}


def test_array_in_turns_then_verify_and_master(here: Slurm, tmp_path: Path) -> None:
    job = write_campaign(tmp_path / "of 50%", STILLS, ("frames = 5", "frames = 12"))
    campaign = Campaign(job)
    text = script(job, "-tasks", "3", "-at_once", "1", "-time", "10")
    array = submit(here, text)
    wrapped = next(shlex.split(line[1:])[-1] for line in text.splitlines() if "--wrap" in line)
    log = tmp_path / "then.out"
    then = here("sbatch", "--parsable", f"--dependency=afterany:{array}", f"--output={log}", "--wrap", wrapped)
    tasks, last = here.ended(array), here.ended(then)[then]
    assert {name: task["JobState"] for name, task in tasks.items()} == dict.fromkeys("012", "COMPLETED")
    spans = sorted((task["StartTime"], task["EndTime"]) for task in tasks.values())
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), "one at a time"
    assert chunks_done(campaign) == list(range(6))
    for number, said in printed(campaign).items():
        assert said.startswith(
            f"shard {number}/3 (task {number} of 3 of a SLURM array, rank 0 of 1 of a SLURM step): 2 of 2"
        )
    assert last["JobState"] == "COMPLETED", log.read_text()
    assert last["StartTime"] >= spans[-1][1]
    with h5py.File(campaign.folder / "small_master_000.h5") as master:
        assert len(master["entry/data/data"]) == 12


def test_part_of_an_array_does_its_shards_and_no_other(here: Slurm, tmp_path: Path) -> None:
    job = write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 140"), ("per_file = 2", "per_file = 1"))
    array = submit(here, script(job, "-tasks", "64"), "--array=3,7")
    tasks = here.ended(array)
    assert {name: task["JobState"] for name, task in tasks.items()} == dict.fromkeys("37", "COMPLETED")
    assert chunks_done(Campaign(job)) == [3, 7, 67, 71, 131, 135]


def test_ranks_of_a_step_share_what_is_their_tasks(here: Slurm, tmp_path: Path) -> None:
    job = write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 16"))
    array = submit(here, script(job, "-tasks", "2", "-cpus", "2"), "--array=1")
    assert here.ended(array)["1"]["JobState"] == "COMPLETED"
    assert chunks_done(Campaign(job)) == [2, 3, 6, 7]
    said = printed(Campaign(job))["1"]
    assert sorted(re.findall(r"^shard \d/\d", said, re.MULTILINE)) == ["shard 2/4", "shard 3/4"]


def test_task_that_is_told_to_stop_is_queued_again_and_goes_on(here: Slurm, tmp_path: Path) -> None:
    job = write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 40"), *SLOW)
    campaign = Campaign(job)
    array = submit(here, script(job, "-tasks", "1"))
    wait_until(lambda: chunks_done(campaign), 120, lambda: here.told(array))
    here("scancel", "--signal=USR1", f"{array}_0")
    wait_until(lambda: here.states(array)["0"]["Restarts"] == "1", 60, lambda: here.told(array))
    before = chunks_done(campaign)
    assert 0 < len(before) < 20, "it was stopped on the way"
    task = here.ended(array, 300)["0"]
    assert (task["JobState"], task["Restarts"]) == ("COMPLETED", "1")
    assert chunks_done(campaign) == list(range(20))
    said = printed(campaign)["0"]
    assert "told to stop; nothing half written is left; run it again to go on" in said
    assert f"{20 - len(before)} of 20 chunks missing" in said
    assert not list(campaign.folder.rglob("*.tmp"))


def test_tasks_go_on_beyond_their_time(here: Slurm, tmp_path: Path) -> None:
    """SLURM's USR1 90 s before the end of two minutes."""
    job = write_campaign(tmp_path, STILLS, ("frames = 5", "frames = 400"), *SLOW)
    campaign = Campaign(job)
    array = submit(here, script(job, "-tasks", "1", "-time", "2"))
    task = here.ended(array, 560)["0"]
    assert task["JobState"] == "COMPLETED", here.told(array)
    assert int(task["Restarts"]) >= 1
    assert chunks_done(campaign) == list(range(200))
    missing = [int(number) for number in re.findall(r": (\d+) of 200 chunks missing", printed(campaign)["0"])]
    print(f"\nmissing at each start: {missing}")
    assert missing[0] == 200
    assert len(missing) == int(task["Restarts"]) + 1
    assert all(after < before for before, after in pairwise(missing))


def test_failure_ends_a_task_with_its_status(here: Slurm, tmp_path: Path) -> None:
    job = write_campaign(tmp_path)
    text = script(job, "-tasks", "1")
    job.write_text("nonsense")
    task = here.ended(submit(here, text))["0"]
    assert (task["JobState"], task["ExitCode"], task["Restarts"]) == ("FAILED", "3:0", "0")
