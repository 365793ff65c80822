"""What Ctrl-C and the signals that end a program may break off, and what they may not.

Needs the standard library alone, so that the command can listen from its first moment on.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Generic, TypeVar

from .errors import ResourceError

T = TypeVar("T")

in_the_middle = threading.RLock()
"""Held by work that is out of reach."""

SIGNALS = {
    number: words
    for name, words in (
        ("SIGINT", "interrupted"),
        ("SIGTERM", "terminated"),
        ("SIGHUP", "hung up"),
        ("SIGUSR1", "told to stop"),
    )
    if (number := getattr(signal, name, None)) is not None
}
"""What ends the command, and the word for it. Schedulers send SIGUSR1 before the time is up. Windows has it not, nor
SIGHUP."""

NOTHING_LEFT = "nothing half written is left"

unfinished: set[str] = set()
"""Temporary files; named here before they are made, and until they are gone."""

_resumable: int | None = None
"""What a command ends with on any signal if it does the rest when it is run again."""


class Interrupted(KeyboardInterrupt):
    """A signal of :data:`SIGNALS`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def end_on_signals(resumable: int | None = None) -> None:
    """From here on a signal ends the process at once, without a traceback, wherever it is met.

    Signals that the process was started to ignore, as by nohup, it ignores.

    Parameters
    ----------
    resumable : int, optional
        Exit status of a command that goes on where it was stopped when it is run again; of others it is 128 and the
        number of the signal.
    """
    global _resumable
    _resumable = resumable
    _hear(_end)


def unwind_on_signals() -> None:
    """From here on the first such signal raises :class:`Interrupted`, where other things than files are to be put away.

    Who does not end on signals, a notebook, goes on with its own handlers.
    """

    def unwind(number: int, frame: FrameType | None) -> None:
        _hear(_end)
        raise Interrupted(number)

    if _end in map(signal.getsignal, SIGNALS):
        _hear(unwind)


def forget_signals() -> None:
    """The work is done: a signal ends what Python has yet to do as it would end any program.

    But for a command that can be resumed, whose status says that there is nothing to resume.
    """
    _hear(signal.SIG_DFL if _resumable is None else signal.SIG_IGN)


def _hear(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    if threading.current_thread() is not threading.main_thread():
        # Python lets no other thread.
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    # Further ones, until the line is out: this one is under way.
    _hear(_overhear)
    for path in list(unfinished):
        with suppress(OSError):
            os.unlink(path)
    begin = "\n" if os.isatty(2) else ""  # after ^C, or a bar of progress
    advice = "" if _resumable is None else "; run it again to go on"
    line = f"{begin}nbnumba: {SIGNALS[number]}; {NOTHING_LEFT}{advice}\n".encode()
    is_said = _would_not_wait(2)
    if is_said:
        with suppress(OSError):
            os.write(2, line)
    # What comes now may wait for a reader; then a second signal helps.
    _hear(_leave)
    with suppress(Exception):
        sys.stdout.flush()
    if not is_said:
        with suppress(OSError):
            os.write(2, line)
    _leave(number, frame)


def _overhear(number: int, frame: FrameType | None) -> None:
    pass


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number if _resumable is None else _resumable)


def _would_not_wait(descriptor: int) -> bool:
    """Whether a line can be written at once, as far as the system tells."""
    try:
        return bool(select.select([], [descriptor], [], 0.0)[1])
    except (OSError, ValueError):
        return False


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait until the block has ended; those of other threads do not come here anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number, handler in handlers.items() if callable(handler)]
    try:
        for number in ours:
            signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number in ours:
            signal.signal(number, handlers[number])
        for number in came:
            signal.raise_signal(number)


def out_of_reach(work: Callable[[], T]) -> T:
    """Do what must not break off in the middle, such as to import and to compile.

    It runs in a thread of its own. Ctrl-C breaks off the waiting for it; the work goes on to its end, so that who
    asks for it again finds it done, or waits for the rest.

    Raises
    ------
    ResourceError
        The system gives no thread.
    """

    def guarded() -> T:
        with in_the_middle:
            return work()

    if threading.current_thread() is not threading.main_thread():
        return guarded()
    thread = Worker(guarded)
    thread.start()
    thread.join()
    return thread.result()


class Worker(threading.Thread, Generic[T]):
    """A thread that keeps what its work returns or raises."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._outcome: list[T] = []
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin; a ResourceError where the system gives no thread."""
        try:
            super().start()
        except RuntimeError as error:
            raise ResourceError(f"{error}: end other programs, or raise the limit of processes (ulimit -u)") from error

    def run(self) -> None:
        """Do the work."""
        try:
            self._outcome.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            # It may hold an image, and this thread.
            del self._work

    def result(self) -> T:
        """What came of it, once the thread has ended."""
        if self._error is not None:
            raise self._error
        return self._outcome[0]


def in_threads(work: Callable[[], T], threads: int, stop: Callable[[], None] = lambda: None) -> list[T]:
    """What each of so many threads returns, this one and others that are made for this work and gone after it.

    ``stop`` is called where this one is interrupted or fails, before the others are awaited.
    """
    workers = [Worker(work) for _ in range(threads - 1)]
    try:
        for worker in workers:
            worker.start()
        own = work()
    except BaseException:
        stop()
        raise
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.join()
    return [own, *(worker.result() for worker in workers)]
