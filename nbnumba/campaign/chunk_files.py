"""What the files of chunks tell beside their pixels, several as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..formats.hdf5 import reading_hdf5
from ..formats.nxmx_tree import OF_EACH_FRAME
from .chunks import Chunk

Array = npt.NDArray[Any]
Columns = dict[str, Array]

SPECTRA = tuple(name for name in OF_EACH_FRAME if "_spectra" in name)
TEXTS = "experiment"
"""Column of the table of frames that is as large as all others together."""


@dataclass(frozen=True, eq=False)
class Told:
    """What is told of the frames of a file, or of several."""

    entry: Columns
    """By name in the entry, what is not the same of all frames, or of all but one dimension less."""
    frames: Columns
    """Truth of each frame (n,), but for its text."""
    crystals: Columns
    """Truth of each crystal (m,), with the number of its frame among these; empty where there is none."""
    distance_mm: Array
    """Sample to detector, of each frame (n,)."""
    text_bytes: int
    """Length of the longest text; 0: there are none."""

    @property
    def count(self) -> int:
        """How many frames."""
        return len(self.frames["frame"])


def told_by(chunk: Chunk) -> Told:
    """What a file tells that was found good.

    Raises
    ------
    InputFileError
        It cannot be read.
    """
    with reading_hdf5(chunk.path, "a file of a campaign", is_known=True) as file:
        entry, truth = file["entry"], file["entry/nbnumba"]
        frames = truth["frames"]
        distance = entry["instrument/detector/distance"][()]
        return Told(
            entry={name: entry[name][()] for name in OF_EACH_FRAME if name in entry},
            frames={name: frames[name][()] for name in frames if name != TEXTS},
            crystals={name: column[()] for name, column in truth["crystals"].items()} if "crystals" in truth else {},
            distance_mm=np.full(len(frames["frame"]), distance),
            text_bytes=frames[TEXTS].dtype.itemsize if TEXTS in frames else 0,
        )


def joined(told: Sequence[Told]) -> Told:
    """What several files tell, as if it were one: of the same things, by :func:`kinds_of`."""
    counts = [one.count for one in told]
    starts = np.cumsum([0, *counts[:-1]])
    crystals = [
        {**one.crystals, "frame": one.crystals["frame"] + start}
        for one, start in zip(told, starts, strict=True)
        if one.crystals
    ]
    return Told(
        entry=_entry([one.entry for one in told], counts),
        frames=_one_below_the_other([one.frames for one in told]),
        crystals=_one_below_the_other(crystals) if crystals else {},
        distance_mm=np.concatenate([one.distance_mm for one in told]),
        text_bytes=max(one.text_bytes for one in told),
    )


def kinds_of(told: Told) -> dict[str, int]:
    """What can only be joined to the like: names, and how many numbers a frame has."""
    return {name: value.shape[-1] if OF_EACH_FRAME[name] > 1 else 1 for name, value in told.entry.items()}


def _entry(entries: Sequence[Columns], counts: Sequence[int]) -> Columns:
    in_common = {name for name in entries[0] if _is_in_common(name, entries)}
    if not in_common.issuperset(SPECTRA):
        # Readers take both for those of all frames, or both for those of each.
        in_common -= set(SPECTRA)
    return {
        name: value
        if name in in_common
        else np.concatenate([_of_each(name, one[name], count) for one, count in zip(entries, counts, strict=True)])
        for name, value in entries[0].items()
    }


def _is_in_common(name: str, entries: Sequence[Columns]) -> bool:
    first = entries[0][name]
    return first.ndim < OF_EACH_FRAME[name] and all(np.array_equal(first, one[name]) for one in entries)


def _of_each(name: str, value: Array, count: int) -> Array:
    return value if value.ndim == OF_EACH_FRAME[name] else np.broadcast_to(value, (count, *value.shape))


def _one_below_the_other(tables: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
