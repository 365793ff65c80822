"""A SLURM of one node on loopback, with daemons, folders and ports of its own, for as long as a block lasts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
WHERE = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

CONFIGURATION = """
ClusterName=nbnumba
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=500 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_missing() -> str | None:
    """What keeps SLURM from being started here; None where nothing does."""
    if os.name != "posix" or os.geteuid() != 0:
        return "starting SLURM's daemons takes root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=WHERE) is None]
    return f"no {', '.join(missing)}: apt install slurm-wlm munge" if missing else None


class Slurm:
    """The running thing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": WHERE}

    def __call__(self, *command: str | Path, input: str | None = None, cwd: Path | None = None) -> str:
        """What a program of SLURM prints."""
        done = subprocess.run(
            [str(word) for word in command], input=input, cwd=cwd, env=self.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def states(self, job: str) -> dict[str, dict[str, str]]:
        """Task (or job) by name: what scontrol tells of each."""
        records = self("scontrol", "--oneliner", "show", "job", job).splitlines()
        found = [dict(word.partition("=")[::2] for word in record.split() if "=" in word) for record in records]
        return {one.get("ArrayTaskId", one["JobId"]): one for one in found if one.get("ArrayTaskId", "0").isdecimal()}

    def ended(self, job: str, seconds: float = 180.0) -> dict[str, dict[str, str]]:
        """The same, once all have ended."""
        wait_until(lambda: not self("squeue", "--noheader", "--jobs", job), seconds, lambda: self.told(job))
        return self.states(job)

    def told(self, job: str) -> str:
        """What is known of a job, for a test that fails."""
        return "\n".join([self("scontrol", "show", "job", job), (self.folder / "slurmctld.log").read_text()[-4000:]])


def wait_until(what: Callable[[], object], seconds: float, why: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)


@contextmanager
def slurm(folder: Path, cores: int = 2) -> Iterator[Slurm]:
    """SLURM on this machine; its daemons are gone when the block ends."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().partition(".")[0]
    ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
    text = CONFIGURATION.format(folder=folder, host=host, cores=cores, **ports)
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    here, daemons = Slurm(folder), []
    munge = [f"--{name.replace('_', '-')}={folder}/munge/{name}" for name in ("socket", "pid_file", "log_file")]
    munge += [f"--key-file={key}", f"--seed-file={folder}/munge/seed", "--foreground", "--force"]
    try:
        for command in (["munged", *munge], ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", host]):
            with (folder / f"{command[0]}.out").open("wb") as log:
                daemons.append(
                    subprocess.Popen(command, env=here.environ, stdout=log, stderr=log, start_new_session=True)
                )
            if command[0] == "munged":
                wait_until((folder / "munge" / "socket").exists, 20, lambda: _logs(folder))
        wait_until(lambda: _is_idle(here), 60, lambda: _logs(folder))
        yield here
    finally:
        _stop(here, daemons)


def _is_idle(here: Slurm) -> bool:
    done = subprocess.run(["sinfo", "--noheader", "-o", "%t"], env=here.environ, capture_output=True, text=True)
    return done.stdout.strip() == "idle"


def _logs(folder: Path) -> str:
    return "\n".join(
        f"{path.name}:\n{path.read_text()[-3000:]}" for path in [*folder.glob("*.log"), *folder.glob("*.out")]
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _stop(here: Slurm, daemons: list[subprocess.Popen[bytes]]) -> None:
    subprocess.run(["scancel", "--user=root"], env=here.environ, capture_output=True)
    time.sleep(1.0 if len(daemons) == 3 else 0.0)
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
