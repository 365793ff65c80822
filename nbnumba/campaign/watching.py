"""A run as it is watched: a bar on a terminal, elsewhere a line a minute; its log; warnings by kind at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from .campaign import Campaign
from .log import Log
from .running import Failed, Outcome
from .shards import Shard

EVERY_S = 60.0


class Watch:
    """What is seen of a run: how many of its chunks are done, how fast that goes, and what was met on the way.

    Parameters
    ----------
    campaign : Campaign
    missing : sequence of int
        Numbers of the chunks that are to be done.
    shard : Shard
        Whose they are.
    """

    def __init__(self, campaign: Campaign, missing: Sequence[int], shard: Shard) -> None:
        self._campaign, self._log = campaign, Log(campaign.folder, shard)
        self._chunks, self._frames = len(missing), sum(campaign.chunks[number].frames for number in missing)
        self._began = self._said = time.monotonic()
        self._ended = self._made = self._passed = 0
        self._warned: dict[str, tuple[int, str]] = {}
        self._bar = _bar(self._frames)
        self.failed = 0
        """Chunks that cannot be."""

    def frames(self, count: int) -> None:
        """So many frames of the chunk under way are rendered."""
        self._show(count)

    def outcome(self, outcome: Outcome) -> None:
        """A chunk has ended.

        Raises
        ------
        ResourceError
            The log cannot be written.
        """
        self._ended += 1
        frames = self._campaign.chunks[outcome.chunk].frames
        if isinstance(outcome, Failed):
            self.failed += 1
            self._passed += frames
            self._tell(f"chunk {outcome.chunk} cannot be made: {outcome.why}")
        else:
            self._made += outcome.frames
            self._passed += frames - outcome.frames
            for kind, (count, first) in outcome.warned.items():
                before, text = self._warned.get(kind, (0, first))
                self._warned[kind] = before + count, text
        self._log.add(outcome)
        self._show(0)

    def end(self) -> None:
        """Say how it went."""
        if self._bar is not None:
            self._bar.close()
        for count, first in self._warned.values():
            self._tell(f"warning, {count} times: {first}" if count > 1 else f"warning: {first}")
        print(self._line(0), flush=True)

    def _show(self, under_way: int) -> None:
        if self._bar is not None:
            self._bar.update(self._made + self._passed + under_way - self._bar.n)
        elif time.monotonic() - self._said >= EVERY_S:
            self._said = time.monotonic()
            print(self._line(under_way), flush=True)

    def _line(self, under_way: int) -> str:
        made = self._made + under_way
        rate = made / max(time.monotonic() - self._began, 1e-3)
        left = self._frames - made - self._passed
        return progress_line(self._ended - self.failed, self._chunks, rate or None, left)

    def _tell(self, text: str) -> None:
        text = f"nbnumba campaign run: {text}"
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.write(text, file=sys.stderr)


def progress_line(done: int, chunks: int, rate: float | None, frames_left: int) -> str:
    """As ``37/200 chunks, 412 frames/s, 21 min left``.

    Parameters
    ----------
    done, chunks : int
        So many of so many.
    rate : float or None
        Frames a second, where it is known.
    frames_left : int
        To be rendered.
    """
    told = [f"{done}/{chunks} chunks"]
    if rate is not None:
        told.append(f"{rate:.3g} frames/s" if rate < 100 else f"{rate:.0f} frames/s")
        if frames_left:
            told.append(f"{duration(frames_left / rate)} left")
    return ", ".join(told)


def duration(seconds: float) -> str:
    """In words: ``21 min``."""
    for most, unit, size in ((100.0, "s", 1.0), (100.0, "min", 60.0), (72.0, "h", 3600.0)):
        if seconds / size < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400.0:.0f} days"


def _bar(frames: int) -> Any:
    """A bar of progress where stderr is a terminal."""
    if not sys.stderr.isatty() or not frames:
        return None
    from tqdm import tqdm

    return tqdm(total=frames, unit="frame", leave=False, file=sys.stderr)
