"""Portable gray maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..files import Path, replacing
from ..frame import Frame
from ..registry import Format


def write_pgm(path: Path, gray: npt.NDArray[np.uint8], scale: float) -> None:
    """Write gray levels, shape (slow, fast), and as a comment the ``scale`` by which they came from photons.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    slow, fast = gray.shape
    with replacing(path) as file:
        file.write(b"P5\n%d %d\n# pixels scaled by %g\n255\n" % (fast, slow, scale))
        file.write(np.ascontiguousarray(gray, np.uint8).data)


def _write(path: Path, frame: Frame) -> None:
    write_pgm(path, frame.pixels[0], frame.scale)


FORMAT = Format("PGM", (".pgm",), ("gray",), _write)
