"""Compilation of the loop nests and the folder in which compiled code is kept.

Numba's own cache does not see an edit in a function that a cached one calls. So the folder's name holds a hash of
all kernel sources, of the versions of Numba and Python, and of the processor: what is found there was compiled from
this text.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import llvmlite.binding
import numba
from numba.core import event


def cache_root() -> Path:
    """The user's cache directory for nbnumba, whatever the platform."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "nbnumba"


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    cpu = llvmlite.binding.get_host_cpu_name() + llvmlite.binding.get_host_cpu_features().flatten()
    digest.update(f"{numba.__version__} {sys.version} {cpu}".encode())
    return digest.hexdigest()[:16]


def _cache_folder() -> str | None:
    """Where compiled kernels are kept; None where nothing can be written: they are compiled at every run."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_root()) / f"kernels-{_source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    return str(folder) if writable else None


CACHE_FOLDER = _cache_folder()


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
        shared = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = CACHE_FOLDER or ""
        try:
            return numba.njit(cache=CACHE_FOLDER is not None, nogil=True, error_model="numpy", **options)(function)
        finally:
            numba.config.CACHE_DIR = shared

    return decorate


def internal(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Like :func:`compiled`, for callers that are compiled themselves.

    What is left out is the entry from Python: to unpack a plan there takes longer to compile than most functions.
    """
    return compiled(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
