"""What is made once and kept until something that decides it changes."""

import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from ..formats.files import Path

Made = TypeVar("Made")

MOST_KEPT = 4
"""Results of each kind: crystals that take turns in a series."""
MOST_KEPT_BYTES = 1 << 29
"""Of all results of a kind but the newest: a spectrum of its own for each frame makes large tables that serve once."""
TICK_NS = 100_000_000
"""A file that changed so short a time ago may change again and keep its time stamp."""


class FileState(NamedTuple):
    """What shows that a file is still the same."""

    path: str
    device: int
    inode: int
    size: int
    written_ns: int
    changed_ns: int
    """Of the inode: also where the time of writing was set back."""


def state_of_file(path: Path) -> FileState | None:
    """The state of a file; None where a later change might not show, or there is no ordinary file."""
    with suppress(OSError):
        found = os.stat(path)
        settled = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > TICK_NS
        if settled and stat.S_ISREG(found.st_mode):
            return FileState(
                os.path.abspath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
            )
    return None


class Itself:
    """What stands for an object where others are compared by what they hold: equal to what stands for the same one."""

    def __init__(self, held: Any) -> None:
        self.held = held
        """Not given back while this is kept, so that no other object takes its place in memory."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and self.held is other.held

    def __hash__(self) -> int:
        return id(self.held)


def kept_while_same(
    state_of: Callable[[Any], Any], most: int = MOST_KEPT, most_bytes: int = MOST_KEPT_BYTES
) -> Callable[[Callable[..., Made]], Callable[..., Made]]:
    """Let ``make(source, …)`` give a late result again while ``state_of(source)`` and the rest are the same.

    A state of None is never the same. So many results are kept, and so many bytes besides the newest.
    """

    def decorate(make: Callable[..., Made]) -> Callable[..., Made]:
        lock = threading.Lock()
        kept: OrderedDict[Any, Made] = OrderedDict()

        @wraps(make)
        def provide(source: Any, *rest: Any) -> Made:
            state = state_of(source)
            if state is None:
                return make(source, *rest)
            key = (state, rest)
            with lock:
                if key in kept:
                    kept.move_to_end(key)
                    return kept[key]
            made = make(source, *rest)
            if state_of(source) == state:
                with lock:
                    kept[key] = made
                    while len(kept) > 1 and (len(kept) > most or _bytes_of(kept.values()) > most_bytes):
                        kept.popitem(last=False)
            return made

        return provide

    return decorate


def _bytes_of(results: Iterable[Any]) -> int:
    return sum(getattr(result, "nbytes", 0) for result in results)


kept_while_unchanged = kept_while_same(state_of_file)
"""By the file that is the first argument."""
