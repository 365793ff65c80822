"""Opening files: input in one gulp, output that appears under its name only when it is complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    try:
        _refuse_write_protected(target)
        with _beside(target) if _is_replaceable(target) else open(target, "wb") as file:
            yield file
    except OSError as error:
        reason = _WHY_NOT_WRITTEN.get(error.errno or 0, error.strerror or str(error))
        raise ResourceError(f"cannot write {os.fspath(path)}: {reason}") from error


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a file; ``what`` says in errors what it was to hold.

    Raises
    ------
    InputFileError
        The file is missing, a folder, or may not be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = _WHY_NOT_READ.get(error.errno or 0, error.strerror or str(error))
        raise InputFileError(f"cannot read {what} {os.fspath(path)}: {reason}") from error


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


def _refuse_write_protected(target: str) -> None:
    # A rename would replace it all the same.
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _is_replaceable(target: str) -> bool:
    return os.path.isfile(target) or not os.path.exists(target)


@contextmanager
def _beside(target: str) -> Iterator[BinaryIO]:
    # Not made by tempfile, whose files are for their owner's eyes only.
    temporary = os.path.join(os.path.dirname(target), f".nbnumba-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
