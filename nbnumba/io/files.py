"""Opening files: input in one gulp, output that appears under its name only when it is complete."""

from __future__ import annotations

import errno
import gzip
import io
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import BinaryIO

from ..errors import InputFileError, ResourceError

Path = str | os.PathLike[str]

_WHY_NOT_WRITTEN = {
    errno.ENOENT: "its folder does not exist; create the folder or give another path",
    errno.ENOTDIR: "a part of its path is not a folder; give another path",
    errno.EISDIR: "it is a folder; give the name of a file",
    errno.EACCES: "permission is denied; change the permissions or give another path",
    errno.EPERM: "permission is denied; change the permissions or give another path",
    errno.EROFS: "the file system is read-only; give another path",
    errno.ENOSPC: "the disk is full; free some space or give a path on another disk",
    errno.EDQUOT: "your disk quota is used up; free some space or give a path on another disk",
    errno.ENAMETOOLONG: "its name is too long; give a shorter one",
}

_WHY_NOT_READ = {
    errno.ENOENT: "there is no such file; check the path",
    errno.ENOTDIR: "a part of its path is not a folder; check the path",
    errno.EISDIR: "it is a folder; give the name of a file",
    errno.EACCES: "permission is denied; change the file's permissions",
}


_waiting: ContextVar[dict[str, Path] | None] = ContextVar("_waiting", default=None)
"""Inside :func:`together`: complete temporary files, each with the path whose place it will take."""


@contextmanager
def together() -> Iterator[None]:
    """Keep back what :func:`replacing` writes in the block, until it ends well: all files appear, or none.

    Devices and pipes are written directly all the same.

    Raises
    ------
    ResourceError
        A complete file cannot be given its name.
    """
    waiting: dict[str, Path] = {}
    token = _waiting.set(waiting)
    try:
        yield
        for temporary, path in waiting.items():
            with _naming(path):
                os.replace(temporary, os.path.realpath(path))
    finally:
        _waiting.reset(token)
        for temporary in waiting:
            with suppress(OSError):
                os.unlink(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends well, and leaves no trace otherwise.

    It is written under a temporary name in the same folder. A device or pipe (``/dev/null``) is written directly.

    Raises
    ------
    ResourceError
        The file cannot be created or written, by the block or on closing.
    """
    target = os.path.realpath(path)
    with _naming(path):
        _refuse_write_protected(target)
        with _beside(path) if is_replaceable(target) else open(target, "wb") as file:
            yield file


def check_writable(path: Path) -> None:
    """Find out before the work whether :func:`replacing` could write ``path``.

    Raises
    ------
    ResourceError
        It is a folder or protected, or its folder is missing or takes no file.
    """
    name, target = os.fspath(path), os.path.realpath(path)
    folder = os.path.dirname(target)
    if os.path.isdir(target):
        raise ResourceError(f"cannot write {name}: {_WHY_NOT_WRITTEN[errno.EISDIR]}")
    if not os.path.isdir(folder):
        raise ResourceError(f"cannot write {name}: there is no folder {folder}; create it or give another path")
    with _naming(path):
        _refuse_write_protected(target)
    if is_replaceable(target):
        # Permissions do not tell all: some file systems take no files, not even from root.
        temporary = _temporary_beside(target)
        try:
            open(temporary, "xb").close()
            os.unlink(temporary)
        except OSError as error:
            raise ResourceError(
                f"cannot write {name}: the folder {folder} is not writable; give another path"
            ) from error


def is_replaceable(path: Path) -> bool:
    """Whether ``path`` is that of an ordinary file or of none yet, not of a device, pipe or folder."""
    return os.path.isfile(path) or not os.path.exists(path)


def read_bytes(path: Path, what: str, most: int | None = None) -> bytes:
    """The content of a file; ``what`` says in errors what it was to hold.

    Raises
    ------
    InputFileError
        The file is missing, a folder, may not be read, or has more than ``most`` bytes.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(-1 if most is None else most + 1)
    except OSError as error:
        reason = _WHY_NOT_READ.get(error.errno or 0, error.strerror or str(error))
        raise InputFileError(f"cannot read {what} {os.fspath(path)}: {reason}") from error
    if most is not None and len(content) > most:
        raise InputFileError(f"cannot read {what} {os.fspath(path)}: it has more than {_size(most)}; check the path")
    return content


def read_unpacked(path: Path, what: str, most: int) -> bytes:
    """The content as :func:`read_bytes`, of a gzipped file what it was before, ``most`` bytes at most.

    Raises
    ------
    InputFileError
        As :func:`read_bytes`, or the packed content is damaged or too large.
    """
    content = read_bytes(path, what, most)
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{os.fspath(path)}: its gzip packing is damaged ({error}); pack it again") from error
    if len(unpacked) > most:
        raise InputFileError(f"{os.fspath(path)}: unpacks to more than {_size(most)}; give a smaller file")
    return unpacked


def read_text(path: Path, what: str) -> str:
    r"""The content of a UTF-8 file, with every kind of line end as ``\n``.

    Raises
    ------
    InputFileError
        As :func:`read_bytes`, or the content is not text.
    """
    content = read_bytes(path, what)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputFileError(
            f"{os.fspath(path)}:{line}: {what} must be plain (UTF-8) text, which this is not"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _size(count: int) -> str:
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _refuse_write_protected(target: str) -> None:
    # A rename would replace it all the same.
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _WHY_NOT_WRITTEN.get(error.errno or 0, error.strerror or str(error))
        raise ResourceError(f"cannot write {os.fspath(path)}: {reason}") from error


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    target = os.path.realpath(path)
    temporary = _temporary_beside(target)
    waiting = _waiting.get()
    try:
        with open(temporary, "xb") as file:
            yield file
        if waiting is None:
            os.replace(temporary, target)
        else:
            waiting[temporary] = path
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _temporary_beside(target: str) -> str:
    # Not made by tempfile, whose files are for their owner's eyes only.
    return os.path.join(os.path.dirname(target), f".nbnumba-{secrets.token_hex(8)}.tmp")
