"""Compilation of the loop nests; where what comes of it is kept is told in ``cache.py``."""

import time
from collections.abc import Callable
from typing import Any, Self

import numba
from numba.core import event

from .cache import CACHE_FOLDER, kept_for_cpu


class Compilation(event.Listener):
    """Adds up the seconds that Numba spends on compiling while it listens; ``first`` is called when it begins."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.seconds = 0.0
        self._first = first
        self._depth = 0
        self._began = 0.0
        self._said = False

    def on_start(self, event: Any) -> None:
        """Compilation of a function begins; those of what it calls lie within."""
        if self._depth == 0:
            self._began = time.perf_counter()
        if not self._said:
            self._said = True
            self._first()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """It ends."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began

    def __enter__(self) -> Self:
        event.register("numba:compile", self)
        return self

    def __exit__(self, *error: object) -> None:
        event.unregister("numba:compile", self)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``njit`` with NumPy's division by zero, without the GIL, and kept in the cache folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, error_model="numpy", **options)(function)
        if CACHE_FOLDER is not None and not numba.config.DISABLE_JIT:
            dispatcher._cache = kept_for_cpu(function, CACHE_FOLDER)
        return dispatcher

    return decorate


def internal(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Like :func:`compiled`, for callers that are compiled themselves, of functions that make no arrays.

    What is left out is the entry from Python, since to unpack a plan there takes longer to compile than most functions;
    and the count of who holds the arrays that they are given, which for those of a plan and of a block of pixels takes
    half as long as a still.
    """
    return compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, **{"_nrt": False} | options)


def maker(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Like :func:`internal`, of functions that make arrays, as some of NumPy do, too."""
    return internal(_nrt=True, **options)
