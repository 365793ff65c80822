"""The script for SLURM, as text; tests/test_slurm.py submits it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nbnumba.campaign.slurm import Request, array_script
from nbnumba.cli import main
from nbnumba.errors import UsageError
from tests.campaigns import write_campaign


def script(asked: Request, chunks: int = 1000, job: Path = Path("/data/job.toml"), name: str = "stills") -> list[str]:
    return array_script(name, job, job.parent / name, chunks, asked).splitlines()


def test_script_of_tasks_with_a_card_each() -> None:
    lines = script(Request(tasks=64, at_once=16, gpus=1, cpus=8, time="04:00:00"))
    assert lines[0] == "#!/bin/bash"
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=stills",
        "#SBATCH --array=0-63%16",
        "#SBATCH --ntasks=1 --cpus-per-task=8",
        "#SBATCH --gpus-per-task=1",
        "#SBATCH --time=04:00:00",
        "#SBATCH --signal=USR1@90",
        "#SBATCH --requeue --open-mode=append",
        "#SBATCH --output=/data/stills/log/%A_%a.out",
    ]
    assert "export NBNUMBA_SHARDS=64" in lines
    run = next(line for line in lines if line.startswith("srun"))
    assert run == f"srun --cpus-per-task=8 {sys.executable} -m nbnumba campaign run /data/job.toml -threads 8"


def test_without_cards_each_core_has_a_process() -> None:
    lines = script(Request(tasks=4, at_once=9, gpus=0, cpus=8))
    assert "#SBATCH --ntasks=8 --cpus-per-task=1" in lines
    assert "#SBATCH --array=0-3%4" in lines
    assert not any("gpus" in line for line in lines)


@pytest.mark.parametrize(("chunks", "gpus", "cpus", "last"), [(5, 1, 8, 4), (5, 2, 8, 2), (5, 0, 4, 1), (1, 4, 8, 0)])
def test_no_more_processes_than_chunks(chunks: int, gpus: int, cpus: int, last: int) -> None:
    lines = script(Request(tasks=64, at_once=64, gpus=gpus, cpus=cpus), chunks)
    assert f"#SBATCH --array=0-{last}%{last + 1}" in lines
    assert f"export NBNUMBA_SHARDS={last + 1}" in lines


def test_shell_takes_names_as_they_are() -> None:
    job = Path("/data of 'all'/50%/job $HOME.toml")
    lines = script(Request(tasks=2, at_once=2), job=job, name="x y")
    run = shlex.split(next(line for line in lines if line.startswith("srun")))
    assert str(job) in run
    assert "#SBATCH --output=\"/data of 'all'/50%%/x y/log/%A_%a.out\"" in lines
    then = next(line for line in lines if "--wrap" in line)
    assert f"verify {shlex.quote(str(job))} && " in shlex.split(then.removeprefix("#"))[-1]
    checked = subprocess.run(["bash", "-n"], input="\n".join(lines), capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("time", ["30", "90:00", "04:00:00", "2-12", "2-12:30", "2-12:30:00"])
def test_times_of_slurm(time: str) -> None:
    assert f"#SBATCH --time={time}" in script(Request(1, 1, time=time))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-tasks 0", "-tasks 0: give a whole number, 1 or more"),
        ("-at_once x", "-at_once x"),
        ("-gpus -1", "-gpus"),
        ("-gpus 4 -cpus 2", "-cpus is 2: must be 4 or more"),
        ("-time 4h", "-time is '4h': must be minutes, HH:MM:SS or DAYS-HH:MM:SS"),
        ("-time 1\n#SBATCH", "-time"),
    ],
)
def test_what_cannot_be_asked_for(words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_campaign(tmp_path)
    assert main(["campaign", "sbatch", str(job), *words.split(" ")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_request_checks_itself() -> None:
    with pytest.raises(UsageError, match="-at_once is 0"):
        Request(1, 0)


def test_command_prints_the_script_and_makes_the_folder_of_its_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_campaign(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["campaign", "sbatch", "job.toml", "-tasks", "2", "-gpus", "0", "-cpus", "1"]) == 0
    out, err = capsys.readouterr()
    assert f"campaign run {tmp_path}/job.toml -threads 1" in out
    assert "#SBATCH --array=0-1%2" in out
    assert err == ""
    assert (tmp_path / "small" / "log").is_dir()
