"""Opening files: input in one gulp, output that appears under its name only when it is complete."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import re
import secrets
import select
import stat
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import BinaryIO

from .. import interruption
from ..errors import InputFileError, ResourceError
from .recognition import binary_format

Path = str | os.PathLike[str]

MOST_BYTES = 8 << 30
"""Of an input file: four times the largest table of structure factors."""
MOST_SMALL_BYTES = 256 << 20
"""Of one that is read line by line: millions of them."""
MOST_UNPACKED_BYTES = 1 << 30
WAIT_FOR_WRITER_S = 5.0
_CHUNK_BYTES = 1 << 20
TEMPORARY = re.compile(r"\.nbnumba-(?P<host>[\w.-]+)-(?P<pid>\d+)-[0-9a-f]{16}\.tmp")
"""Names of files that are not complete: on which machine and by which process they are, or were, written."""
_GZIP = b"\x1f\x8b"

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

    Signals wait until all have their names. Only what ends the program or the machine at once (SIGKILL, a power cut) in
    that moment, or a system that refuses a second name after a first, leaves new files beside old ones, each complete.
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
        _put_in_place(waiting)
    finally:
        _waiting.reset(token)
        for temporary in waiting:
            _discard(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends well, and leaves no trace otherwise.

    It is written under a temporary name in the same folder, reaches the disk before it gets its own, and has the
    permissions of a file that it replaces. A device or pipe (``/dev/null``, ``/dev/stdout``) is written directly.

    Raises
    ------
    ResourceError
        The file cannot be created or written, by the block or on closing.
    """
    with _naming(path), _opened(path) as file:
        yield file


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    descriptor, target = _descriptor(path), os.path.realpath(path)
    if descriptor is not None:
        return open(os.dup(descriptor), "wb")
    _refuse_write_protected(target)
    return _beside(path, target) if is_replaceable(path) else open(path, "wb")


def check_writable(path: Path) -> None:
    """Find out before the work whether :func:`replacing` could write ``path``.

    Raises
    ------
    ResourceError
        It is a folder or protected, its name is too long, or its folder is missing or takes no file.
    """
    if _descriptor(path) is not None:
        return
    with _naming(path):
        name, target = os.fspath(path), os.path.realpath(path)
        folder = os.path.dirname(target)
        _refuse_long_name(target)
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.path.isdir(folder) and is_replaceable(path):
            raise ResourceError(f"cannot write {name}: there is no folder {folder}; create it or give another path")
        _refuse_write_protected(target)
        if is_replaceable(path):
            # Permissions do not tell all: some file systems take no files, not even from root.
            temporary = temporary_beside(target)
            try:
                open(temporary, "xb").close()
                os.unlink(temporary)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG):
                    raise
                raise ResourceError(
                    f"cannot write {name}: the folder {folder} is not writable; give another path"
                ) from error


def is_replaceable(path: Path) -> bool:
    """Whether ``path`` is that of an ordinary file or of none yet, not of a device, pipe, open file or folder."""
    return _descriptor(path) is None and (os.path.isfile(path) or not os.path.exists(path))


def read_bytes(path: Path, what: str, most: int = MOST_BYTES) -> bytes:
    """The content of a file, or of a pipe that something is written to.

    Parameters
    ----------
    path : path
    what : str
        Says in errors what the file was to hold.
    most : int
        Bytes that such a file can have; no more are read.

    Raises
    ------
    InputFileError
        The file is missing, a folder, a device or an idle pipe, too large, or may not be read.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            content = None if os.fstat(file.fileno()).st_size > most else _read(file, most)
    except OSError as error:
        reason = _WHY_NOT_READ.get(error.errno or 0, error.strerror or str(error))
        raise InputFileError(f"cannot read {what} {os.fspath(path)}: {reason}") from error
    except ValueError as error:
        raise InputFileError(f"cannot read {what} {os.fspath(path)!r}: {error}; check the path") from error
    if content is None or len(content) > most:
        raise InputFileError(f"cannot read {what} {os.fspath(path)}: it has more than {_size(most)}; check the path")
    return content


def read_unpacked(path: Path, what: str, most: int = MOST_BYTES) -> bytes:
    """The content as :func:`read_bytes`, of a gzipped file what it was before; of that, 1 GiB at most.

    Raises
    ------
    InputFileError
        As :func:`read_bytes`, or the packed content is damaged or too large.
    """
    content = read_bytes(path, what, most)
    if not content.startswith(_GZIP):
        return content
    most = min(most, MOST_UNPACKED_BYTES)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = _chunks(file, most)
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{os.fspath(path)}: its gzip packing is damaged ({error}); pack it again") from error
    if len(unpacked) > most:
        raise InputFileError(f"{os.fspath(path)}: unpacks to more than {_size(most)}; give a smaller file")
    return unpacked


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    r"""The content of a UTF-8 file, gzipped or not, with every kind of line end as ``\n``.

    Raises
    ------
    InputFileError
        As :func:`read_unpacked`, or the content is not text: names the format where it is a known one.
    """
    return as_text(path, read_unpacked(path, what, most), what)


def as_text(path: Path, content: bytes, what: str) -> str:
    """As :func:`read_text`, of what was read already; ``path`` is for errors."""
    name = os.fspath(path)
    found = binary_format(content)
    if found is not None:
        raise InputFileError(f"{name}: is {found[0]}, not {what}: {found[1]}")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputFileError(f"{name}: {what} must be plain (UTF-8) text, and this is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
        wrong = content.find(b"\0")
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong >= 0:
        line = content.count(b"\n", 0, wrong) + 1
        raise InputFileError(f"{name}:{line}: {what} must be plain (UTF-8) text, which this is not")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would else wait until somebody opens its other end.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: BinaryIO, most: int) -> bytes:
    """The whole content, or of what is longer than ``most`` enough to see that."""
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        # Some files of the system have a size of 0 and a content all the same.
        return file.read(status.st_size) if status.st_size else _chunks(file, most)
    if stat.S_ISFIFO(status.st_mode):
        return _awaited(file.fileno()) + _chunks(file, most)
    raise OSError(errno.EINVAL, "it is a device; give the name of a file")


def _awaited(pipe: int) -> bytes:
    """What comes first out of a pipe, if anything; returns when more can be read or somebody may still write it."""
    first = b""
    if not select.select([pipe], [], [], WAIT_FOR_WRITER_S)[0]:
        with suppress(BlockingIOError):  # somebody has opened it and writes later
            first = os.read(pipe, 1)
            if not first:
                raise OSError(errno.EINVAL, "it is a pipe that nobody writes to; give the name of a file")
    os.set_blocking(pipe, True)
    return first


def _chunks(file: BinaryIO | gzip.GzipFile, most: int) -> bytes:
    """Everything, but of what is longer than ``most`` hardly more than that."""
    parts, size = [], 0
    while size <= most and (part := file.read(_CHUNK_BYTES)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _size(count: int) -> str:
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path stands for, as ``/dev/stdout`` does: not to be replaced, nor emptied."""
    name = os.fspath(path)
    match = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", name)
    return int(match[1]) if match else {"/dev/stdout": 1, "/dev/stderr": 2}.get(name)


def _refuse_long_name(target: str) -> None:
    # The temporary name may be shorter; that it can be made says nothing.
    try:
        os.lstat(target)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise


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
def _beside(path: Path, target: str) -> Iterator[BinaryIO]:
    temporary = temporary_beside(target)
    waiting = _waiting.get()
    interruption.unfinished.add(temporary)
    try:
        with open(temporary, "xb") as file:
            with suppress(OSError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode) & 0o777)
            yield file
            _bring_to_disk(file)
        if waiting is None:
            _put_in_place({temporary: path})
        else:
            waiting[temporary] = path
    except BaseException:
        _discard(temporary)
        raise


def _bring_to_disk(file: BinaryIO) -> None:
    """Without it a power cut can leave an empty file under the name of a whole one."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        # Some file systems cannot.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _put_in_place(complete: dict[str, Path]) -> None:
    """Give complete temporary files the names of the paths that are theirs."""
    folders = set()
    with interruption.undisturbed():
        for temporary, path in complete.items():
            with _naming(path):
                _rename(temporary, os.path.realpath(path))
            interruption.unfinished.discard(temporary)
            folders.add(os.path.dirname(temporary))
    for folder in folders if os.name == "posix" else ():
        with suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _rename(temporary: str, target: str) -> None:
    size = os.stat(temporary).st_size
    try:
        os.replace(temporary, target)
    except FileNotFoundError:
        # NFS asks again where an answer was lost, and is told that what it has renamed is not there.
        if os.path.lexists(temporary) or not os.path.isfile(target) or os.path.getsize(target) != size:
            raise


def _discard(temporary: str) -> None:
    with suppress(OSError):
        os.unlink(temporary)
    interruption.unfinished.discard(temporary)


def temporary_beside(target: str) -> str:
    """A name in the same folder that nobody else has, and that tells whose it is."""
    # Not made by tempfile, whose files are for their owner's eyes only.
    name = f".nbnumba-{host_name()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    return os.path.join(os.path.dirname(target), name)


def host_name() -> str:
    """Of this machine, as a part of file names."""
    # Not socket's, whose import takes longer than a file.
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)[:40] or "unnamed"
