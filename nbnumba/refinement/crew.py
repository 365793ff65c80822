"""Who evaluates the images of a joint refinement: this process, others of this machine, or Dask's workers.

An image is always evaluated by one thread, from numbers alone, so that results are the same bits whoever does it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..choices import Precision
from ..differentiation.target import Target
from ..errors import ResourceError
from ..experiment import Experiment
from .search import Problem

Array = NDArray[np.float64]

MOST_KEPT = 64
"""Problems that a worker keeps; others are made again when they are asked for."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, eq=False, repr=False)
class Still(HoldsArrays):
    """An image, and which of its numbers are refined."""

    number: int
    """Among all images, from 0."""
    experiment: Experiment
    measured: Target | Array | Callable[[], Target]
    """A function is called wherever, and whenever, the image is needed."""
    shared: tuple[str, ...]
    own: tuple[str, ...]
    settings: Mapping[str, Any]
    """Further arguments of :func:`~nbnumba.refine`."""
    precision: Precision
    token: str
    """Of this refinement: what a worker keeps is known by it and the number."""

    @property
    def target(self) -> Target | Array:
        """What was measured."""
        return self.measured() if callable(self.measured) else self.measured


Do = Callable[[Still, Any], Any]
"""Something to be done with an image and an argument of its own."""


_problems: OrderedDict[tuple[str, int], Problem] = OrderedDict()
_stills: dict[tuple[str, int], Still] = {}
"""What a worker was sent."""


def problem_of(still: Still) -> Problem:
    """The image's problem; the last ones are kept."""
    from .refine import problem_of_still

    key = (still.token, still.number)
    if key not in _problems:
        _problems[key] = problem_of_still(still)
        while len(_problems) > MOST_KEPT:
            _problems.popitem(last=False)
    _problems.move_to_end(key)
    return _problems[key]


class Crew(Protocol):
    """Who does something with each image."""

    def each(self, do: Do, arguments: Sequence[Any]) -> list[Any]:
        """What comes of it, image by image; ``arguments``: one for each."""


class Alone:
    """This process."""

    def __init__(self, stills: Sequence[Still]) -> None:
        self._stills = stills

    def each(self, do: Do, arguments: Sequence[Any]) -> list[Any]:
        """One after the other."""
        return [do(still, argument) for still, argument in zip(self._stills, arguments, strict=True)]


class Several:
    """Processes of this machine: an image is always that of the same one, which was sent it once."""

    def __init__(self, stills: Sequence[Still], pools: Sequence[ProcessPoolExecutor]) -> None:
        self._keys = [(still.token, still.number) for still in stills]
        self._pools = [pools[number % len(pools)] for number in range(len(stills))]
        for future in [pool.submit(_keep, still) for pool, still in zip(self._pools, stills, strict=True)]:
            future.result()

    def each(self, do: Do, arguments: Sequence[Any]) -> list[Any]:
        """All at once, each process one after the other."""
        works = zip(self._pools, self._keys, arguments, strict=True)
        return [future.result() for future in [pool.submit(_done, do, key, one) for pool, key, one in works]]


class Dask:
    """Workers of a Dask client, to which images are sent once."""

    def __init__(self, stills: Sequence[Still], client: Any) -> None:
        self._client = client
        self._stills = client.scatter(list(stills), hash=False)

    def each(self, do: Do, arguments: Sequence[Any]) -> list[Any]:
        """All at once, mostly where the image is."""
        futures = [
            self._client.submit(do, still, argument, pure=False)
            for still, argument in zip(self._stills, arguments, strict=True)
        ]
        return list(self._client.gather(futures))


@contextmanager
def crew_of(stills: Sequence[Still], processes: int, client: Any) -> Iterator[Crew]:
    """Whoever is to do it, for as long as the block lasts."""
    if client is not None:
        yield Dask(stills, client)
    elif processes == 1 or len(stills) == 1:
        yield Alone(stills)
    else:
        with _several(stills, processes) as crew:
            yield crew


@contextmanager
def _several(stills: Sequence[Still], processes: int) -> Iterator[Crew]:
    context = multiprocessing.get_context("spawn")
    number = min(processes, len(stills))
    with _environment(dict.fromkeys(ONE_THREAD, "1")):
        pools = [ProcessPoolExecutor(1, mp_context=context, initializer=_begin) for _ in range(number)]
        try:
            yield Several(stills, pools)
        except BrokenExecutor as error:
            raise ResourceError(
                "a process that refines images was ended, as the system does where memory is short: give fewer processes"
            ) from error
        finally:
            for pool in pools:
                pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Ctrl-C is its parent's, which tells it when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _keep(still: Still) -> None:
    _stills[still.token, still.number] = still


def _done(do: Do, key: tuple[str, int], argument: Any) -> Any:
    return do(_stills[key], argument)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
