"""Compilation as its users meet it: it is not broken off, and what is wrong with its cache is told."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from .errors import NbnumbaWarning
from .interruption import in_the_middle, out_of_reach
from .kernels.compile.cache import untold_trouble

T = TypeVar("T")

if hasattr(os, "register_at_fork"):
    # A process that was forked from the middle of a compilation would find the compiler locked for ever. Registered
    # once Numba is imported: of such hooks the last one is the first to wait, and logging's would wait for a compiler
    # that logs.
    release = in_the_middle.release
    os.register_at_fork(before=in_the_middle.acquire, after_in_parent=release, after_in_child=release)


def _warn(text: str) -> None:
    warnings.warn(text, NbnumbaWarning, stacklevel=5)


def compiling(work: Callable[[], T], tell: Callable[[str], None] = _warn) -> T:
    """Do what compiles kernels, or loads them; ``tell`` is told, once, that they cannot be read or kept.

    Warns
    -----
    NbnumbaWarning
        The same, where nobody else is to be told.
    """
    result = out_of_reach(work)
    trouble = untold_trouble()
    if trouble is not None:
        tell(trouble)
    return result


@contextmanager
def without_blas() -> Iterator[None]:
    """Keep Numba from importing SciPy's BLAS, which no kernel calls and which takes longer than a small image."""
    hidden = "scipy.linalg" not in sys.modules
    if hidden:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["scipy.linalg"]
