"""Which frames lie in which file: a chunk is a file, and never spans two crystals of a rotation, or two detectors."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from .job import Job

FILES_OF_A_FOLDER = 1000


@dataclass(frozen=True)
class Chunk:
    """A file of a campaign."""

    number: int
    """From 0."""
    first: int
    """Its first frame."""
    stop: int
    """The frame after its last."""
    campaign: str
    """Name of it."""
    folder: Path
    """Of the campaign."""
    sweep: int = -1
    """Of a rotation, which; -1: stills."""
    crystal: int = -1
    """Number of the crystal in its sweep."""

    @property
    def frames(self) -> int:
        """How many it has."""
        return self.stop - self.first

    @property
    def path(self) -> Path:
        """Where it lies, once it is done."""
        return self.folder / folder_of(self.number) / f"{self.campaign}_{self.number:06d}.h5"

    @property
    def is_done(self) -> bool:
        """Whether the file is there: what has its final name is whole."""
        return os.path.isfile(self.path)


def folder_of(number: int) -> str:
    """Name of the folder that a chunk lies in."""
    return f"{number // FILES_OF_A_FOLDER:04d}"


def number_of(name: str, campaign: str) -> int | None:
    """Number of the chunk whose file has this name; None: it is none's."""
    digits = name.removeprefix(f"{campaign}_").removesuffix(".h5")
    if not (digits.isascii() and digits.isdigit()) or name != f"{campaign}_{int(digits):06d}.h5":
        return None
    return int(digits)


class Chunks(Sequence[Chunk]):
    """All chunks of a campaign, made when asked for."""

    def __init__(self, job: Job) -> None:
        self._job, self._per = job, job.output.frames_per_file
        self._of_crystal = [-(-sweep.frames // self._per) for sweep in job.sweeps]
        self._starts = [0]
        for sweep, parts in zip(job.sweeps, self._of_crystal, strict=True):
            self._starts.append(self._starts[-1] + parts * sweep.crystals)

    def __len__(self) -> int:
        return self._starts[-1] if self._job.sweeps else -(-self._job.frames // self._per)

    @overload
    def __getitem__(self, number: int) -> Chunk: ...
    @overload
    def __getitem__(self, number: slice) -> list[Chunk]: ...
    def __getitem__(self, number: int | slice) -> Chunk | list[Chunk]:
        if isinstance(number, slice):
            return [self._chunk(one) for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"chunk {number}: there are {len(self)}, from 0")
        return self._chunk(number % len(self))

    def of_frame(self, frame: int) -> Chunk:
        """That which has a frame."""
        job = self._job
        if not job.sweeps:
            return self[frame // self._per]
        sweep, crystal, number = job.place_in_sweeps(frame)
        return self[self._starts[sweep] + crystal * self._of_crystal[sweep] + number // self._per]

    def _chunk(self, number: int) -> Chunk:
        job = self._job
        if not job.sweeps:
            first = number * self._per
            return Chunk(number, first, min(first + self._per, job.frames), job.name, job.output.folder)
        sweep = bisect_right(self._starts, number) - 1
        crystal, part = divmod(number - self._starts[sweep], self._of_crystal[sweep])
        frames = job.sweeps[sweep].frames
        begin = job.starts[sweep] + crystal * frames
        first = begin + part * self._per
        return Chunk(number, first, min(first + self._per, begin + frames), job.name, job.output.folder, sweep, crystal)
