"""Float images without a header."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import Path, read_bytes, replacing


def write_raw(path: Path, image: npt.NDArray[np.float32]) -> None:
    """Write the pixels of ``image``, shape (slow, fast), as native float32, fast axis fastest.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    with replacing(path) as file:
        file.write(np.ascontiguousarray(image, np.float32).data)


def read_raw(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Read what :func:`write_raw` wrote.

    Raises
    ------
    InputFileError
        The file cannot be read, or is not that of an image of ``shape`` (slow, fast).
    """
    content = read_bytes(path, "the float image")
    slow, fast = shape
    if len(content) != 4 * slow * fast:
        raise InputFileError(
            f"{os.fspath(path)}: {len(content)} bytes where {fast} x {slow} float32 pixels need {4 * slow * fast}"
        )
    return np.frombuffer(content, np.float32).reshape(shape).copy()
