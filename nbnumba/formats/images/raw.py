"""Float images without a header."""

from __future__ import annotations

import math
import os

import numpy as np
import numpy.typing as npt

from ...errors import InputFileError
from ..files import Path, read_bytes, replacing
from ..frame import Frame
from ..registry import Format


def write_raw(path: Path, *images: npt.NDArray[np.float32]) -> None:
    """Write the pixels of images (slow, fast) one after another, as native float32, fast axis fastest.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    with replacing(path) as file:
        for image in images:
            file.write(np.ascontiguousarray(image, np.float32).data)


def read_raw(path: Path, shape: tuple[int, int] | None) -> npt.NDArray[np.float32]:
    """Read what :func:`write_raw` wrote.

    Raises
    ------
    InputFileError
        The file cannot be read, or is not that of an image of ``shape`` (slow, fast); where that is None, not that of
        a square one.
    """
    content, name = read_bytes(path, "the float image"), os.fspath(path)
    if shape is None:
        edge = math.isqrt(len(content) // 4)
        if edge == 0 or 4 * edge**2 != len(content):
            raise InputFileError(f"{name}: {len(content)} bytes are no square float32 image; give -detpixels_f, _s")
        shape = (edge, edge)
    slow, fast = shape
    if len(content) != 4 * slow * fast:
        raise InputFileError(
            f"{name}: {len(content)} bytes where {fast} x {slow} float32 pixels need {4 * slow * fast}"
        )
    return np.frombuffer(content, np.float32).reshape(shape).copy()


def _write(path: Path, frame: Frame) -> None:
    write_raw(path, *frame.pixels)


FORMAT = Format("float32", (".bin",), ("photons",), _write, many_panels=True, read=read_raw)
