"""Images as arrays of NumPy."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputFileError
from ..arrays import read_arrays
from ..files import Path, replacing
from ..frame import Frame
from ..registry import Format

_NAME = "float"
"""Of the image among the arrays of a .npz file."""


def read_npy(path: Path, shape: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """The array of a .npy file; of a .npz file the one called float, or its only one.

    Raises
    ------
    InputFileError
        The file cannot be read, or has several arrays and none of that name.
    """
    arrays = read_arrays(path, "the image")
    if _NAME not in arrays and len(arrays) != 1:
        raise InputFileError(f"{os.fspath(path)}: arrays {', '.join(arrays)}; must have one, or one called {_NAME}")
    return arrays[_NAME] if _NAME in arrays else next(iter(arrays.values()))


def _write(path: Path, frame: Frame) -> None:
    with replacing(path) as file:
        np.save(file, frame.pixels[0], allow_pickle=False)


FORMAT = Format(
    "NumPy",
    (".npy",),
    ("photons", "scaled", "counted"),
    _write,
    recognizes=lambda name, content: name.endswith((".npy", ".npz")),
    read=read_npy,
)
