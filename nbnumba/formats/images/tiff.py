"""TIFF images of one panel: pixels alone, which any program shows, and no geometry."""

from __future__ import annotations

import io
import logging
import os
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputFileError
from ..files import Path, read_unpacked, replacing
from ..frame import Frame, with_marks
from ..registry import Format

_MAGIC = (b"II*\0", b"MM\0*")
_LARGEST = 2**31 - 1
_MODES = {"I;16": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32, "L": np.uint8}


def read_tiff(path: Path) -> npt.NDArray[Any]:
    """The pixels of a gray TIFF (slow, fast), of integers or floats and not packed, but for gzip around all of it.

    Raises
    ------
    InputFileError
        The file cannot be read, or is no such TIFF.
    """
    import PIL.Image

    # It logs what is wrong with a file before it raises it, on stderr where nobody listens.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    name, content = os.fspath(path), read_unpacked(path, "the image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image = PIL.Image.open(io.BytesIO(content), formats=("TIFF",))
            kind, packing = _MODES.get(image.mode), image.info.get("compression")
            # What unpacks others says what is wrong with them on its own, on stderr.
            pixels = np.array(image) if kind is not None and packing == "raw" else None
    except Exception as error:  # whatever a damaged file makes of the library
        raise InputFileError(f"{name}: cannot be read as TIFF: {str(error).splitlines()[0]:.200}") from error
    if pixels is None:
        raise InputFileError(
            f"{name}: has pixels of the kind {image.mode}, packed as {packing}; must be gray, of integers or floats, "
            "and not packed"
        )
    return pixels.astype(kind, copy=False)


def _fitted(frame: Frame) -> Frame:
    """As types that TIFF has; what was not measured is marked if there are signs, 0 in 16 bits, no number in floats."""
    pixels = frame.pixels[0]
    if pixels.dtype.kind == "f":
        return replace(frame, pixels=(pixels.astype(np.float32, copy=False),)).with_unmeasured(np.nan)
    if pixels.dtype.itemsize <= 2:
        return replace(frame, pixels=(pixels.astype(np.uint16, copy=False),))
    return with_marks(frame, _LARGEST)


def _write(path: Path, frame: Frame) -> None:
    import PIL.Image

    packed = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(frame.pixels[0])).save(packed, format="TIFF")
    with replacing(path) as file:
        file.write(packed.getbuffer())


FORMAT = Format(
    "TIFF",
    (".tif", ".tiff"),
    ("counted", "scaled", "photons"),
    _write,
    fitted=_fitted,
    recognizes=lambda name, content: content.startswith(_MAGIC) or name.endswith((".tif.gz", ".tiff.gz")),
    read=lambda path, shape: read_tiff(path),
)
