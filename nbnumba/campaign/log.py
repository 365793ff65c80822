"""What became of chunks: ``log/WORKER.jsonl`` in a campaign's folder, a line of JSON a chunk, a file a run.

Nobody else writes to a run's file, so that lines of several cannot mingle, on whatever file system.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ResourceError
from .running import Outcome
from .shards import Shard
from .work import Done

FOLDER = "log"
_DIGITS = 6
"""Of seconds, behind the point."""


class Failure(NamedTuple):
    """The last attempt at a chunk, which failed."""

    chunk: int
    frame: int
    why: str


class Log:
    """The file of this run; made with its first line."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        worker = f"{shard.number}of{shard.of}-{socket.gethostname()}-{os.getpid()}"
        self.path = folder / FOLDER / f"{worker}.jsonl"

    def add(self, outcome: Outcome) -> None:
        """Tell what became of a chunk; of one that was there, nothing.

        Raises
        ------
        ResourceError
            It cannot be written: a line is there whole, or not at all.
        """
        if isinstance(outcome, Done) and not outcome.frames:
            return
        line = json.dumps({"time": round(time.time(), 3), **_said(outcome)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append(self.path, line.encode())
        except OSError as error:
            raise ResourceError(f"cannot write {self.path}: {error.strerror or error}") from error


class Summary(NamedTuple):
    """What logs of a campaign say."""

    failures: dict[int, Failure]
    """Of the chunks that failed when last somebody tried."""
    seconds: float
    """What a chunk took of late, on average; 0 where none was made."""


def read_log(folder: Path, since: float) -> Summary:
    """What all runs have told.

    Parameters
    ----------
    folder : path
        Of the campaign.
    since : float
        What "of late" is, as a time of ``time.time()``.
    """
    last: dict[int, dict[str, Any]] = {}
    spent: list[float] = []
    for record in _records(folder):
        if record["time"] >= last.get(record["chunk"], record)["time"]:
            last[record["chunk"]] = record
        if record["time"] > since and "seconds" in record:
            spent.append(sum(record["seconds"].values()))
    failed = {number: record for number, record in last.items() if "why" in record}
    return Summary(
        {number: Failure(number, record["frame"], record["why"]) for number, record in failed.items()},
        sum(spent) / max(len(spent), 1),
    )


def sums_of(folder: Path) -> dict[int, set[str]]:
    """SHA-256 of each chunk's file as it was written, by the chunk's number; several where versions are mixed."""
    sums: dict[int, set[str]] = {}
    for record in _records(folder):
        if isinstance(record.get("sha256"), str):
            sums.setdefault(record["chunk"], set()).add(record["sha256"])
    return sums


def _said(outcome: Outcome) -> dict[str, Any]:
    who = {"host": outcome.host, "pid": outcome.pid}
    if not isinstance(outcome, Done):
        return {
            "chunk": outcome.chunk,
            "frame": outcome.frame,
            "why": outcome.why,
            "experiment": outcome.experiment,
            **who,
        }
    seconds = {phase: round(spent, _DIGITS) for phase, spent in outcome.seconds.items()}
    told = {"chunk": outcome.chunk, "frames": outcome.frames, "seconds": seconds, **who, "device": outcome.device}
    warned = {kind: count for kind, (count, _) in outcome.warned.items()}
    return {**told, "sha256": outcome.sha256, **({"warned": warned} if warned else {})}


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(descriptor).st_size
        written = 0
        try:
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """All lines that are whole: the last may be being written."""
    for path in sorted((folder / FOLDER).glob("*.jsonl")):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"chunk", "time"} <= record.keys():
                yield record
