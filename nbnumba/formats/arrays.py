"""Arrays in NumPy's own files, read such that a damaged or hostile file costs no more memory than it has bytes."""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import MOST_UNPACKED_BYTES, Path, read_bytes

_ZIP = b"PK"
_SUFFIX = ".npy"


def read_arrays(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a ``.npz`` file by name; of a ``.npy`` file its one array under the name ``""``.

    Raises
    ------
    InputFileError
        The file cannot be read, is damaged, unpacks to more than 1 GiB, or holds Python objects.
    """
    content, name = read_bytes(path, what), os.fspath(path)
    try:
        return _members(content) if content.startswith(_ZIP) else {"": _array(content)}
    except MemoryError:
        raise
    # NumPy, zipfile and the decompressors let out many kinds of error where bytes are damaged.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputFileError(
            f"{name}: cannot be read ({reason:.200}); must be as numpy.save or numpy.savez writes it"
        ) from error


def _members(content: bytes) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MOST_UNPACKED_BYTES:
            raise ValueError(f"unpacks to more than {MOST_UNPACKED_BYTES >> 30} GiB")
        return {member.filename.removesuffix(_SUFFIX): _array(_unpacked(archive, member)) for member in members}


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        # A read without a size unpacks more than the archive says there is.
        return file.read(member.file_size)


def _array(content: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, kind = np.lib.format.read_array_header_2_0(file)
    needed, found = math.prod(shape) * kind.itemsize, len(content) - file.tell()
    if min(shape, default=0) < 0 or kind.hasobject or needed != found:
        raise ValueError(f"an array of shape {shape} of {kind} needs {needed} bytes, {found} are there")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
