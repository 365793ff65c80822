"""A campaign as an array of SLURM: the script that sbatch is given."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

MOST_RESTARTS = 100
"""Of a task: one that never gets a chunk done within its time is not begun for ever."""
_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d\d?(:\d\d){0,2}", re.ASCII)


@dataclass(frozen=True)
class Request:
    """What of a cluster is asked for.

    Attributes
    ----------
    tasks : int
        Of the array.
    at_once : int
        How many of them run at the same time.
    gpus : int
        Cards of a task; each has a process of its own. Without, each core has.
    cpus : int
        Cores of a task, at least one a card.
    time : str
        Limit of a task, as SLURM has it.
    """

    tasks: int
    at_once: int
    gpus: int = 1
    cpus: int = 8
    time: str = "04:00:00"

    def __post_init__(self) -> None:
        """Raise a UsageError of what cannot be asked for."""
        for name, least in (("tasks", 1), ("at_once", 1), ("gpus", 0), ("cpus", max(1, self.gpus))):
            if getattr(self, name) < least:
                raise UsageError(f"-{name} is {getattr(self, name)}: must be {least} or more")
        if not _TIME.fullmatch(self.time):
            raise UsageError(f"-time is {self.time!r}: must be minutes, HH:MM:SS or DAYS-HH:MM:SS, such as 04:00:00")

    @property
    def processes(self) -> int:
        """Of a task: renders of one process take turns."""
        return self.gpus or self.cpus


def array_script(name: str, job: Path, folder: Path, chunks: int, asked: Request) -> str:
    """The script that does a campaign: an array whose tasks go on until theirs is done, however often they are stopped.

    SLURM signals USR1 before the time is up (to the steps, not to the shell); a task that ends with 75 is queued again.

    Parameters
    ----------
    name : str
        Of the campaign.
    job, folder : Path
        Its file, and that of its chunks.
    chunks : int
        How many it has; there are no more processes than chunks.
    asked : Request

    Returns
    -------
    str
        Lines of a shell.
    """
    tasks = min(asked.tasks, -(-chunks // asked.processes))
    cores = asked.cpus // asked.processes
    campaign = [sys.executable, "-m", "nbnumba", "campaign"]
    run, verify, master, warm = (shlex.join([*campaign, verb, str(job.absolute())])
                                 for verb in ("run", "verify", "master", "warm"))  # fmt: skip
    log = str(folder.absolute() / "log").replace("%", "%%") + "/%A_%a.out"
    lines = [
        "#!/bin/bash",
        f"# {chunks} chunks in {tasks} tasks. Submit this; let verify and master follow, and see status meanwhile:",
        "#   JOB=$(sbatch --parsable THIS_SCRIPT)",
        f"#   sbatch --dependency=afterany:$JOB --wrap {shlex.quote(f'{verify} && {master}')}",
        "# Where HOME is on NFS, compile once for each kind of node before:",
        f"#   srun {warm}",
        f"#SBATCH --job-name={_quoted(name)}",
        f"#SBATCH --array=0-{tasks - 1}%{min(asked.at_once, tasks)}",
        f"#SBATCH --ntasks={asked.processes} --cpus-per-task={cores}",
        *(["#SBATCH --gpus-per-task=1"] if asked.gpus else []),
        f"#SBATCH --time={asked.time}",
        "#SBATCH --signal=USR1@90",
        "#SBATCH --requeue --open-mode=append",
        f"#SBATCH --output={_quoted(log)}",
        "# Not SLURM_ARRAY_TASK_COUNT: of an array that is submitted again in part, that is the size of the part.",
        f"export NBNUMBA_SHARDS={tasks}",
        f"srun --cpus-per-task={cores} {run} -threads {cores}",
        "status=$?",
        "# 75: its time was up, or the node was wanted; what is done is kept.",
        f'if [ $status -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_RESTARTS} ]; then',
        '    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
        "fi",
        "exit $status",
    ]
    return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    """As lines of #SBATCH have it, which know quotation marks and backslashes alone."""
    return word if re.fullmatch(r"[\w./%+-]+", word, re.ASCII) else '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'
