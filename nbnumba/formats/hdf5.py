"""HDF5 files: what their library does to the disk is watched, since it ends the program where a disk is full.

The library is an extra, and imported by those alone who read or write such a file.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

from ..errors import InputFileError, NbnumbaError, ResourceError
from .files import MOST_UNPACKED_BYTES, Path, is_replaceable, read_unpacked, replacing
from .gemmi_files import as_file

INSTALL = "pip install 'nbnumba[hdf5]'"
SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ALL_LOOKED_AT_BYTES = 16 << 20
_MOST_SECONDS = 120.0
VERSIONS = ("earliest", "v110")
"""Of the library: those that can read a file; readers of the field have some of 2017."""


class Written(NamedTuple):
    """An HDF5 file that is being written."""

    file: Any
    """As h5py has it."""
    check: Callable[[], None]
    """Raises what has gone wrong on the disk so far."""


def library() -> Any:
    """The module h5py.

    Raises
    ------
    ResourceError
        It or its compression is not installed.
    """
    try:
        import h5py
        import hdf5plugin
    except ImportError as error:
        raise ResourceError(f"HDF5 files need a package that is not installed ({error}): {INSTALL}") from error
    _register(hdf5plugin)
    return h5py


@cache
def _register(hdf5plugin: ModuleType) -> None:
    """Make our bitshuffle the one; once, since the library refuses while it has a packed file open.

    Where HDF5_PLUGIN_PATH is set, as at many facilities, it may have found another, which cannot write.
    """
    with suppress(RuntimeError):
        hdf5plugin.register("bshuf", force=True)


def settled(dataset: Any) -> Any:
    """A dataset of chunks, whose content now has its place in the file.

    Else it gets that when the last reference to it is gone: a profiler that holds one would change the file's bytes.
    """
    dataset.flush()
    return dataset


def bitshuffle_lz4() -> dict[str, Any]:
    """How pixels are packed, as keywords of h5py's ``create_dataset``."""
    library()
    import hdf5plugin

    return dict(hdf5plugin.Bitshuffle(cname="lz4"))


@contextmanager
def replacing_hdf5(path: Path) -> Iterator[Written]:
    """An HDF5 file that takes the place of ``path`` as one of :func:`nbnumba.formats.files.replacing`.

    A device or a pipe gets it at the end, in one piece.

    Raises
    ------
    ResourceError
        The file cannot be created or written, or the library is not installed.
    """
    h5py = library()
    with replacing(path) as file:
        target = _Steadfast(file) if is_replaceable(path) else io.BytesIO()
        check = target.check if isinstance(target, _Steadfast) else _nothing
        try:
            with h5py.File(target, "w", libver=VERSIONS) as hdf5:
                yield Written(hdf5, check)
        except Exception:
            # The library may stumble over what was not written: what went wrong first is said.
            check()
            raise
        check()
        if isinstance(target, io.BytesIO):
            file.write(target.getbuffer())


def _nothing() -> None:
    pass


class _Steadfast(io.RawIOBase):
    """A file that never fails: it keeps the first error, and from then on lets everything pass unwritten.

    The library does not survive an error of its file: it leaves objects behind whose end is a segmentation fault.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._descriptor, self._name = file.fileno(), file.name
        self._position = self._size = 0
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._attempt(lambda: self._write_all(view))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._attempt(lambda: self._read_all(view))
        self._position += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        self._attempt(lambda: os.ftruncate(self._descriptor, self._size))
        return self._size

    def _attempt(self, work: Callable[[], None]) -> None:
        if self._error is None:
            try:
                work()
            except BaseException as error:
                self._error = error

    def _write_all(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], self._position + done)

    def _read_all(self, view: memoryview) -> None:
        with open(self._name, "rb", buffering=0) as file:
            file.seek(self._position)
            view[:] = file.read(len(view)).ljust(len(view), b"\0")


# Reading ---------------------------------------------------------------------------------------------------------

_LOOK = f"""
import sys, h5py, hdf5plugin
hdf5plugin.register("bshuf", force=True)
def look(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset) and item.shape:
        row = item.size // item.shape[0] * item.dtype.itemsize if item.shape[0] else 0
        if row <= {MOST_UNPACKED_BYTES}:
            item[:1] if item.nbytes > {_ALL_LOOKED_AT_BYTES} else item[()]
with h5py.File(sys.argv[1], "r") as file:
    file.visititems(look)
"""
"""Reads a file once through, but for large arrays of which it reads the first row."""


@contextmanager
def reading_hdf5(path: Path, what: str, is_known: bool = False) -> Iterator[Any]:
    """An HDF5 file to be read, as h5py has it; whatever is wrong with it in the block is an error of one line.

    Parameters
    ----------
    path : path
    what : str
        Says in errors what the file was to hold.
    is_known : bool
        Whether another process has read it already: it is not looked at once more.

    Raises
    ------
    InputFileError
        The file is missing, is no HDF5 file, is damaged, or lacks what is asked of it.
    ResourceError
        The library is not installed.
    """
    h5py, name = library(), os.fspath(path)
    try:
        # By its name, since it may refer to files beside it; but for one that is packed, and for pipes.
        is_plain = os.path.isfile(path) and h5py.is_hdf5(path)
        with nullcontext(name) if is_plain else as_file(name, read_unpacked(path, what)) as plain:
            if not is_known:
                _refuse_deadly(name, plain)
            with h5py.File(plain, "r") as file:
                yield file
    except NbnumbaError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{name}: there is not enough memory for {what}") from error
    # The library lets out many kinds of error where bytes are damaged.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputFileError(f"{name}: cannot be read as {what}: {reason:.200}") from error


def _refuse_deadly(name: str, plain: str) -> None:
    """Let another process read a file first: there are damaged ones that the library does not survive."""
    try:
        looked = subprocess.run([sys.executable, "-c", _LOOK, plain], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=_MOST_SECONDS)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InputFileError(f"{name}: is damaged: the HDF5 library finds no end of it") from error
    if looked.returncode < 0:
        raise InputFileError(f"{name}: is damaged, such that the HDF5 library ends with signal {-looked.returncode}")
    if looked.returncode > 0:
        reason = (looked.stderr.decode(errors="replace").split("\n") or [""])[-2:][0]
        raise InputFileError(f"{name}: is damaged: {reason:.200}")


def content_of(dataset: Any) -> Any:
    """All that a dataset holds.

    Raises
    ------
    ValueError
        That is more than 1 GiB: :func:`reading_hdf5` makes a line of it.
    """
    if dataset.size is None or dataset.size * dataset.dtype.itemsize > MOST_UNPACKED_BYTES:
        raise ValueError(f"{dataset.name} is empty, or larger than {MOST_UNPACKED_BYTES >> 30} GiB")
    return dataset[()]
