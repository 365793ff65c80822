"""Who does what is to be done with each image: this process, others of this machine, or Dask's workers."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple, Protocol

from ..environment import environment
from ..errors import NbnumbaError, NbnumbaWarning, ResourceError, UsageError
from .still import Still, end_by, forget

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Do = Callable[[Still, Any], Any]
"""Something to be done with an image and an argument of its own."""


class Crew(Protocol):
    """Who does something with each image."""

    def each(self, do: Do, arguments: Sequence[Any]) -> Iterator[Any]:
        """What comes of it, image by image; ``arguments``: one for each."""

    def stop(self) -> None:
        """What is being done for a caller who has left."""


class Done(NamedTuple):
    """What came of something."""

    value: Any
    warnings: tuple[Warning, ...]


def done(do: Do, still: Still, argument: Any) -> Done:
    """Do it; an error says of which image."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NbnumbaWarning)
        try:
            value = do(still, argument)
        except NbnumbaError as error:
            raise type(error)(f"experiments[{still.number}]: {error}") from error
    return Done(value, tuple(one.message for one in caught if isinstance(one.message, Warning)))


def _told(found: Done) -> Any:
    for one in found.warnings:
        warnings.warn(one, stacklevel=2)
    return found.value


class Alone:
    """The process that asks."""

    def __init__(self, stills: Sequence[Still]) -> None:
        self._stills = stills

    def each(self, do: Do, arguments: Sequence[Any]) -> Iterator[Any]:
        """One after the other."""
        for still, argument in zip(self._stills, arguments, strict=True):
            yield _told(done(do, still, argument))

    def stop(self) -> None:
        """Nothing is being done."""


class Several:
    """Processes of this machine: an image is always that of the same one, which was sent it once."""

    def __init__(self, stills: Sequence[Still], pools: Sequence[ProcessPoolExecutor], ended: Event) -> None:
        self._pools = [pools[number % len(pools)] for number in range(len(stills))]
        self._ended = ended
        self._running: list[Future[Any]] = [
            pool.submit(_keep, pickled(still)) for pool, still in zip(self._pools, stills, strict=True)
        ]
        for future in self._running:
            future.result()

    def each(self, do: Do, arguments: Sequence[Any]) -> Iterator[Any]:
        """All at once, each process one after the other."""
        self._running = [
            pool.submit(_done, do, number, argument)
            for number, (pool, argument) in enumerate(zip(self._pools, arguments, strict=True))
        ]
        for future in self._running:
            yield _told(future.result())

    def stop(self) -> None:
        """Images that are being refined are left at their next step."""
        for future in self._running:
            future.cancel()
        self._ended.set()
        wait(self._running)
        self._ended.clear()


class Dask:
    """Workers of a Dask client, to which images are sent once."""

    def __init__(self, stills: Sequence[Still], client: Any) -> None:
        self._client = client
        self._stills = client.scatter(list(stills), hash=False)
        self._running: list[Any] = []

    def each(self, do: Do, arguments: Sequence[Any]) -> Iterator[Any]:
        """All at once, mostly where the image is."""
        self._running = [
            self._client.submit(done, do, still, argument, pure=False)
            for still, argument in zip(self._stills, arguments, strict=True)
        ]
        for future in self._running:
            yield _told(future.result())

    def stop(self) -> None:
        """What has not been begun is left."""
        self._client.cancel(self._running)


@contextmanager
def crew_of(stills: Sequence[Still], processes: int, client: Any) -> Iterator[Crew]:
    """Whoever is to do it, for as long as the block lasts."""
    if client is not None:
        yield Dask(stills, client)
    elif processes == 1 or len(stills) == 1:
        try:
            yield Alone(stills)
        finally:
            forget(stills[0].token)
    else:
        with _several(stills, processes) as crew:
            yield crew


@contextmanager
def _several(stills: Sequence[Still], processes: int) -> Iterator[Crew]:
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    with environment(dict.fromkeys(ONE_THREAD, "1")):
        pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(ended,))
            for _ in range(min(processes, len(stills)))
        ]
        try:
            yield Several(stills, pools, ended)
        except BrokenExecutor as error:
            raise ResourceError(
                "a process that refines images was ended, as the system does where memory is short: give fewer "
                "processes; in a script all that is done must stand below `if __name__ == '__main__'`"
            ) from error
        finally:
            ended.set()
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)


def pickled(still: Still) -> bytes:
    """An image on its way to another process."""
    try:
        return pickle.dumps(still)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"measured[{still.number}]: cannot be sent to another process ({error}): give a Target, an array, or a "
            "function that can be imported"
        ) from error


# In another process -----------------------------------------------------------------------------------------------

_stills: dict[int, Still] = {}
"""What it was sent, by number."""


def _begin(ended: Event) -> None:
    # Ctrl-C is its parent's, which tells it when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_by(ended)


def _keep(sent: bytes) -> None:
    still = pickle.loads(sent)
    _stills[still.number] = still


def _done(do: Do, number: int, argument: Any) -> Done:
    return done(do, _stills[number], argument)
