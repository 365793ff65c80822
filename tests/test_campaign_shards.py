"""Who does which chunks, by what schedulers tell."""

import pytest

from nbnumba.campaign.shards import Shard, card_of, shard_of
from nbnumba.errors import UsageError

ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "NBNUMBA_SHARDS": "64"}
STEP = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
BATCH_SHELL = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "3"}


@pytest.mark.parametrize(
    ("environ", "number", "of"),
    [
        ({}, 0, 1),
        (ARRAY, 7, 64),
        (STEP, 2, 4),
        (ARRAY | STEP, 30, 256),
        # In the batch shell ranks are told that are none.
        (BATCH_SHELL, 0, 1),
        (ARRAY | BATCH_SHELL, 7, 64),
        # A part that is submitted again.
        ({"SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "3", **ARRAY}, 7, 64),
        (OPEN_MPI, 3, 8),
        ({"PMI_RANK": "1", "PMI_SIZE": "3"}, 1, 3),
        ({"PMIX_RANK": "1", "PMIX_SIZE": "3"}, 1, 3),
        # srun --mpi=pmix tells no size of its own.
        ({"PMIX_RANK": "2", **STEP}, 2, 4),
        # mpiexec's helpers are a step of SLURM, one a machine.
        (OPEN_MPI | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, 3, 8),
        # What was inherited from where the job was submitted.
        ({"PMI_RANK": "0", "PMI_SIZE": "1"} | STEP, 2, 4),
        (ARRAY | OPEN_MPI, 59, 512),
        ({"NBNUMBA_SHARDS": "64"}, 0, 1),
        ({"SLURM_STEP_ID": "batch", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}, 0, 1),
    ],
)
def test_shard_that_the_environment_tells(environ: dict[str, str], number: int, of: int) -> None:
    shard = shard_of(environ)
    assert (shard.number, shard.of) == (number, of)
    assert shard_of(environ, "1/3")[:2] == (1, 3), "-shard goes before all"


def test_every_chunk_has_one_shard() -> None:
    count = 1000
    shards = [
        shard_of({"SLURM_ARRAY_TASK_ID": str(task), "NBNUMBA_SHARDS": "5"} | STEP | {"SLURM_PROCID": str(rank)})
        for task in range(5)
        for rank in range(4)
    ]
    assert sorted(chunk for shard in shards for chunk in shard.of_chunks(count)) == list(range(count))
    assert list(Shard(2, 3, "").of_chunks(2)) == []


def test_log_says_why() -> None:
    assert str(shard_of({})) == "shard 0/1 (alone)"
    assert str(shard_of({}, "2/3")) == "shard 2/3 (-shard)"
    told = str(shard_of(ARRAY | STEP))
    assert told == "shard 30/256 (task 7 of 64 of a SLURM array, rank 2 of 4 of a SLURM step)"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "64"}, "NBNUMBA_SHARDS does not say of how many"),
        ({"SLURM_ARRAY_TASK_ID": "64", "NBNUMBA_SHARDS": "64"}, "numbered from 0"),
        ({"SLURM_ARRAY_TASK_ID": "x\ny", "NBNUMBA_SHARDS": "64"}, "SLURM_ARRAY_TASK_ID is 'x\\ny'"),
        ({"SLURM_ARRAY_TASK_ID": "7", "NBNUMBA_SHARDS": "-64"}, "NBNUMBA_SHARDS is '-64'"),
        ({"SLURM_ARRAY_TASK_ID": "0", "NBNUMBA_SHARDS": "0"}, "NBNUMBA_SHARDS 0"),
        ({"SLURM_ARRAY_TASK_ID": "0", "NBNUMBA_SHARDS": "9" * 5000}, "must be a whole number"),
        (STEP | {"SLURM_PROCID": "4"}, "SLURM_PROCID is 4, but SLURM_STEP_NUM_TASKS 4"),
        (STEP | {"SLURM_PROCID": ""}, "SLURM_PROCID is ''"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "2.5"}, "OMPI_COMM_WORLD_SIZE is '2.5'"),
        ({"PMIX_RANK": "0"}, "nothing says of how many"),
    ],
)
def test_what_does_not_fit_together_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=r"-shard I/N|--array=0-N") as refused:
        shard_of(environ)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "given", ["", "3", "3/3", "4/3", "-1/3", "0/0", "1.0/3", "1/3/5", " 1/3", "a/b", "0/-1", "²/3", "1/" + "3" * 5000]
)
def test_shard_that_is_none(given: str) -> None:
    with pytest.raises(UsageError, match=r"^-shard is .*must be I/N"):
        shard_of({}, given)


@pytest.mark.parametrize(
    ("environ", "cards", "card"),
    [
        ({}, 4, 0),
        ({}, 0, 0),
        (STEP | {"SLURM_LOCALID": "5"}, 4, 1),
        (STEP | {"SLURM_LOCALID": "5"}, 0, 0),
        (BATCH_SHELL | {"SLURM_LOCALID": "3"}, 4, 0),
        (OPEN_MPI, 2, 1),
        (OPEN_MPI | STEP | {"SLURM_LOCALID": "0"}, 4, 3),
        ({"MPI_LOCALRANKID": "2"}, 4, 2),
    ],
)
def test_card_is_that_of_the_rank_on_its_machine(environ: dict[str, str], cards: int, card: int) -> None:
    assert card_of(environ, cards) == card


def test_rank_on_a_machine_that_is_no_number() -> None:
    with pytest.raises(UsageError, match="SLURM_LOCALID is 'first'"):
        card_of(STEP | {"SLURM_LOCALID": "first"}, 2)
