"""Looking at a campaign's files: which are there, which are what they should be, and what else lies beside them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from ..errors import ResourceError
from ..formats.files import TEMPORARY, host_name
from ..formats.hdf5 import library
from .campaign import Campaign
from .chunks import Chunk
from .folder import check_mark
from .identity import digest_of
from .log import sums_of

MOST_SECONDS, MOST_SECONDS_A_FRAME = 120.0, 5.0
"""That a sound file takes, and of each of its frames where those are looked at."""
STALE_SECONDS = 24 * 3600.0
ASIDE = "bad"
"""Folder, in the campaign's, of files that were not what they should be."""
_LOOK = Path(__file__).with_name("look.py")
_KILLED = 9
"""The signal by which a system ends those that take too much memory."""
_OF_CHUNKS = re.compile(r"[0-9]{4,}")
"""Names of folders."""


@dataclass(frozen=True)
class Findings:
    """What a look at a campaign's folder has found."""

    good: tuple[Chunk, ...]
    missing: tuple[Chunk, ...]
    bad: tuple[tuple[Chunk, str], ...]
    """And why."""
    others: tuple[Path, ...]
    """Files beside them that are none of this campaign."""
    removed: tuple[Path, ...]
    """What writers left behind that did not come to their end."""

    @property
    def is_complete(self) -> bool:
        """Whether all files are there and good."""
        return not self.missing and not self.bad


def verify(
    campaign: Campaign, deep: bool = False, wait_s: float = 0.0, told: Callable[[], None] = lambda: None
) -> Findings:
    """Look at all files of a campaign, and remove what nobody will finish.

    Parameters
    ----------
    campaign : Campaign
    deep : bool
        Compare the sums of every frame's pixels and of the whole files, too: all is read.
    wait_s : float
        After so many seconds, what is missing is looked for once more: a network file system may tell late of it.
    told : callable
        Called after each file.

    Returns
    -------
    Findings

    Raises
    ------
    UsageError
        The folder is another campaign's.
    ResourceError
        A package is not installed, or the machine does not let files be looked at.
    """
    check_mark(campaign)
    library()
    removed = tuple(_remove_stale(campaign.folder))
    names = _names_in(campaign.folder)
    if wait_s and any(not _is_in(names, chunk) for chunk in campaign.chunks):
        time.sleep(wait_s)
        names = _names_in(campaign.folder)
    there = [chunk for chunk in campaign.chunks if _is_in(names, chunk)]
    sums = sums_of(campaign.folder) if deep else {}
    good, bad = [], []
    for chunk, wrong in _looked_at(campaign, there, deep):
        why = wrong or _unlike_its_log(chunk, sums)
        if why:
            bad.append((chunk, why))
        else:
            good.append(chunk)
        told()
    missing = tuple(chunk for chunk in campaign.chunks if not _is_in(names, chunk))
    return Findings(tuple(good), missing, tuple(bad), tuple(_others(campaign, names)), removed)


def set_aside(campaign: Campaign, findings: Findings) -> list[Path]:
    """Move bad files out of the way of those that will be made in their place; where they are now.

    Raises
    ------
    ResourceError
        One cannot be moved.
    """
    return [_set_aside(campaign.folder / ASIDE, chunk.path) for chunk, _ in findings.bad]


def _set_aside(folder: Path, path: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
        target, number = folder / path.name, 1
        while target.exists():
            target, number = folder / f"{path.name}.{number}", number + 1
        path.rename(target)
    except OSError as error:
        raise ResourceError(f"cannot move {path} to {folder}: {error.strerror or error}") from error
    return target


# What is in the folder -------------------------------------------------------------------------------------------


def _names_in(folder: Path) -> dict[str, set[str]]:
    """Of each folder of chunks, the files: listed, since a network file system is slow to answer for each."""
    with suppress(FileNotFoundError):
        return {one.name: set(os.listdir(one)) for one in folder.iterdir() if _OF_CHUNKS.fullmatch(one.name)}
    return {}


def _is_in(names: dict[str, set[str]], chunk: Chunk) -> bool:
    return chunk.path.name in names.get(chunk.path.parent.name, ())


def _others(campaign: Campaign, names: dict[str, set[str]]) -> Iterator[Path]:
    known: dict[str, set[str]] = {}
    for chunk in campaign.chunks:
        known.setdefault(chunk.path.parent.name, set()).add(chunk.path.name)
    for folder in sorted(names):
        for name in sorted(names[folder] - known.get(folder, set())):
            if not TEMPORARY.fullmatch(name):
                yield campaign.folder / folder / name


def _remove_stale(folder: Path) -> Iterator[Path]:
    """Temporary files whose writer is gone, as far as this machine can know, or that are older than a day."""
    for path in [*folder.glob(".nbnumba-*.tmp"), *folder.glob("*/.nbnumba-*.tmp")]:
        with suppress(OSError):  # it has got its name, or somebody else was faster
            if _is_stale(path):
                path.unlink()
                yield path


def _is_stale(path: Path) -> bool:
    match = TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["host"] == host_name() and os.name == "posix":
        try:
            os.kill(int(match["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
    return time.time() - path.stat().st_mtime > STALE_SECONDS


def _unlike_its_log(chunk: Chunk, sums: Mapping[int, Set[str]]) -> str:
    """That a file is not as it was written, where its log tells of that: not all in it is pixels, which have sums."""
    if chunk.number not in sums or digest_of(os.fspath(chunk.path)) in sums[chunk.number]:
        return ""
    return "is not as it was written: its pixels are, its SHA-256 is not that of its log"


# What is in the files --------------------------------------------------------------------------------------------


def _looked_at(campaign: Campaign, chunks: Sequence[Chunk], deep: bool) -> Iterator[tuple[Chunk, str]]:
    """Each with what is wrong with it; the process that reads them is started anew when a file has ended it."""
    waiting = deque(chunks)
    while waiting:
        with _looker() as looker:
            while waiting and looker.poll() is None:
                chunk = waiting.popleft()
                yield chunk, _answer(looker, campaign, chunk, deep)


@contextmanager
def _looker() -> Iterator[subprocess.Popen[str]]:
    # Without its own folder among those that modules come from.
    command, pipe = [sys.executable, "-P", str(_LOOK)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _answer(looker: subprocess.Popen[str], campaign: Campaign, chunk: Chunk, deep: bool) -> str:
    """What is wrong with a file; empty where nothing is."""
    asked = {
        "path": os.fspath(chunk.path),
        "identity": campaign.identity,
        "chunk": chunk.number,
        "first": chunk.first,
        "stop": chunk.stop,
        "deep": deep,
    }
    assert looker.stdin is not None
    assert looker.stdout is not None
    assert looker.stderr is not None
    timer = Timer(MOST_SECONDS + deep * chunk.frames * MOST_SECONDS_A_FRAME, looker.kill)
    timer.start()
    try:
        print(json.dumps(asked), file=looker.stdin, flush=True)
        line = looker.stdout.readline()
    except BrokenPipeError:
        line = ""
    finally:
        # Who is interrupted does not wait for it.
        is_late = not timer.is_alive()
        timer.cancel()
    if line:
        return str(json.loads(line))
    status = looker.wait()
    if is_late:
        return "is damaged: the HDF5 library finds no end of it"
    if status >= 0 or status == -_KILLED:
        reason = (looker.stderr.read().splitlines() or [f"it ended with status {status}"])[-1]
        raise ResourceError(f"cannot look at {chunk.path} in a process of its own: {reason:.200}")
    return f"is damaged, such that the HDF5 library ends with signal {-status}"
