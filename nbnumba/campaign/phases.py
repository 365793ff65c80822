"""Where the time goes: seconds by phase, of which one has the clock at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Seconds by phase; of one within another the inner counts, and what is outside of all is the first's."""

    def __init__(self, first: str) -> None:
        self._now, self._since = first, time.perf_counter()
        self._seconds = {first: 0.0}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time as ``name``."""
        before = self._turn(name)
        try:
            yield
        finally:
            self._turn(before)

    def seconds(self) -> dict[str, float]:
        """Of each phase until now."""
        self._turn(self._now)
        return dict(self._seconds)

    def _turn(self, name: str) -> str:
        now, before = time.perf_counter(), self._now
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._now, self._since = name, now
        return before
