"""Who does which chunks: read from what a scheduler tells its processes, which are not asked to talk to each other.

Shard I of N does the chunks I, I + N, I + 2N … by their numbers in the campaign. A wrong N would leave chunks to nobody
without a word, so what does not fit together is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..errors import UsageError

OR_GIVE = "or give -shard I/N"
_DIGITS = 9
"""Of a number that a scheduler tells; more are none."""
_RANKS = (
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI", "PMI_RANK", "PMI_SIZE"),
    ("PMIx", "PMIX_RANK", "PMIX_SIZE"),
)
_LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PMIX_LOCAL_RANK")


class Shard(NamedTuple):
    """A share of a campaign's chunks: those whose number leaves ``number`` when divided by ``of``."""

    number: int
    of: int
    why: str
    """Who said so, for the log."""

    def __str__(self) -> str:
        """As the first line of a log has it."""
        return f"shard {self.number}/{self.of} ({self.why})"

    def of_chunks(self, count: int) -> range:
        """Numbers of its chunks, of ``count`` in all."""
        return range(self.number, count, self.of)


def shard_of(environ: Mapping[str, str], given: str | None = None) -> Shard:
    """The share of this process.

    Task t of an array of n (``NBNUMBA_SHARDS``) that runs s ranks makes of its rank r shard t·s + r of n·s.

    Parameters
    ----------
    environ : mapping
        Environment variables.
    given : str, optional
        What ``-shard`` was told, I/N with I from 0; then the environment is not asked.

    Raises
    ------
    UsageError
        I/N is none, or the environment does not say enough.
    """
    if given is not None:
        return _given(given)
    task, tasks, array = _array(environ)
    rank, ranks, step = _rank(environ)
    return Shard(task * ranks + rank, tasks * ranks, ", ".join(filter(None, (array, step))) or "alone")


def card_of(environ: Mapping[str, str], cards: int) -> int:
    """Number of the card, of so many that this process sees, that its rank on this machine takes; 0 where it has none.

    Raises
    ------
    UsageError
        The rank is no number.
    """
    names = [name for name in _LOCAL_RANKS if name in environ]
    if _in_a_step(environ) and "SLURM_LOCALID" in environ:
        names.append("SLURM_LOCALID")
    return _number(environ, names[0]) % cards if names and cards else 0


def _given(text: str) -> Shard:
    found = re.fullmatch(rf"(\d{{1,{_DIGITS}}})/(\d{{1,{_DIGITS}}})", text, re.ASCII)
    if found is None or not int(found[1]) < int(found[2]):
        raise UsageError(f"-shard is {text!r}: must be I/N, whole numbers with I from 0 to N - 1, such as 0/4")
    return Shard(int(found[1]), int(found[2]), "-shard")


def _array(environ: Mapping[str, str]) -> tuple[int, int, str]:
    """Number of the task, how many there are, and words for it.

    SLURM_ARRAY_TASK_COUNT is not asked: of an array that is submitted again in part it is the size of the part.
    """
    name = "SLURM_ARRAY_TASK_ID"
    if name not in environ:
        return 0, 1, ""
    task = _number(environ, name)
    if "NBNUMBA_SHARDS" not in environ:
        raise UsageError(
            f"{name} is {task}, but NBNUMBA_SHARDS does not say of how many: export it in the script, as that of "
            f"nbnumba campaign sbatch does, {OR_GIVE}"
        )
    tasks = _number(environ, "NBNUMBA_SHARDS")
    if task >= tasks:
        raise UsageError(f"{name} is {task}, but NBNUMBA_SHARDS {tasks}: tasks are numbered from 0, --array=0-N")
    return task, tasks, f"task {task} of {tasks} of a SLURM array"


def _rank(environ: Mapping[str, str]) -> tuple[int, int, str]:
    """Number of the rank, how many there are, and words for it.

    Of several that tell ranks, the one with the most counts: mpiexec starts its helpers as a step of SLURM, one a
    machine, and what was set where a job was submitted from may come along with it.
    """
    told = sorted(_ranks(environ), key=lambda rank: rank[1], reverse=True)
    if told:
        return told[0]
    if "PMIX_RANK" in environ:
        raise UsageError(f"PMIX_RANK is {environ['PMIX_RANK']}, but nothing says of how many: set PMIX_SIZE, {OR_GIVE}")
    return 0, 1, ""


def _ranks(environ: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    names = list(_RANKS)
    if _in_a_step(environ):
        names.append(("a SLURM step", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
    for name, rank_name, size_name in names:
        if rank_name in environ and size_name in environ:
            rank, size = _number(environ, rank_name), _number(environ, size_name)
            if rank >= size:
                raise UsageError(f"{rank_name} is {rank}, but {size_name} {size}: ranks are numbered from 0; {OR_GIVE}")
            yield rank, size, f"rank {rank} of {size} of {name}"


def _in_a_step(environ: Mapping[str, str]) -> bool:
    """Whether srun started this process: the batch shell has SLURM_PROCID and the like, too, but is no rank."""
    return environ.get("SLURM_STEP_ID", "").isdecimal()


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ[name]
    if not re.fullmatch(rf"\d{{1,{_DIGITS}}}", text, re.ASCII):
        raise UsageError(f"{name} is {text!r} in the environment: must be a whole number; {OR_GIVE}")
    return int(text)
