"""How far a campaign is: by names and times of files alone, so that any machine that sees the folder can tell."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ResourceError
from ..formats.files import TEMPORARY
from .campaign import Campaign
from .chunks import FILES_OF_A_FOLDER, folder_of, number_of
from .log import Failure, read_log

LATELY_S = 3600.0
"""Of what is done within this time the rate is made."""


@dataclass(frozen=True)
class Standing:
    """How far a campaign is."""

    chunks: int
    frames: int
    missing: tuple[int, ...]
    """Numbers of chunks."""
    frames_done: int
    rate: float | None
    """Frames a second, of late; None where nothing was done."""
    failed: tuple[Failure, ...]
    """Of the missing chunks those that were tried, and why they are missing."""
    temporaries: int
    """Files that are being written, or were when somebody was killed."""

    @property
    def left_s(self) -> float | None:
        """When all will be done, in seconds, if it goes on like this."""
        return (self.frames - self.frames_done) / self.rate if self.rate else None


def standing_of(campaign: Campaign) -> Standing:
    """How far a campaign is now.

    Raises
    ------
    ResourceError
        A folder of its files, or of its log, may not be read.
    """
    now = time.time()
    names = _listed(campaign)
    done = _done(campaign, names)
    missing = tuple(number for number in range(len(campaign.chunks)) if number not in done)
    left = sum(campaign.chunks[number].frames for number in missing)
    log = read_log(campaign.folder, now - LATELY_S)
    return Standing(
        chunks=len(campaign.chunks),
        frames=len(campaign),
        missing=missing,
        frames_done=len(campaign) - left,
        rate=_rate(campaign, done, log.seconds, now if missing else None),
        failed=tuple(log.failures[number] for number in missing if number in log.failures),
        temporaries=sum(TEMPORARY.fullmatch(name) is not None for _, name in names),
    )


def missing_of(campaign: Campaign, numbers: Iterable[int]) -> list[int]:
    """Those chunks whose files are not there, as the folders have it now.

    Raises
    ------
    ResourceError
        A folder may not be read.
    """
    done = _done(campaign, _listed(campaign))
    return [number for number in numbers if number not in done]


def _listed(campaign: Campaign) -> list[tuple[str, str]]:
    """All that lies in the folders of its files: folder and name."""
    folders = map(folder_of, range(0, len(campaign.chunks), FILES_OF_A_FOLDER))
    return [(folder, name) for folder in folders for name in _names(campaign.folder / folder)]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResourceError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _done(campaign: Campaign, listed: Iterable[tuple[str, str]]) -> set[int]:
    """Numbers of the chunks whose files are there."""
    found = ((folder, number_of(name, campaign.job.name)) for folder, name in listed)
    count = len(campaign.chunks)
    return {number for folder, number in found if number is not None and number < count and folder_of(number) == folder}


def _rate(campaign: Campaign, done: set[int], seconds: float, now: float | None) -> float | None:
    """Frames a second: of files of late, from when the first of them was begun until now or, if that is all, the last.

    Files whose folder did not change of late are not asked for their times.
    """
    since = time.time() - LATELY_S
    folders = {folder for folder in set(map(folder_of, done)) if _changed(campaign.folder / folder) > since}
    times = {number: _changed(campaign.chunks[number].path) for number in done if folder_of(number) in folders}
    lately = {number: when for number, when in times.items() if when > since}
    if not lately:
        return None
    began = max(min(lately.values()) - seconds, since)
    ended = max(lately.values()) if now is None else now
    return sum(campaign.chunks[number].frames for number in lately) / max(ended - began, 1e-3)


def _changed(path: Path) -> float:
    """When it was changed last; of what is gone, never."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
