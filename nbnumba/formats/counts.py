"""A measured image as its file has it: numbers of pixels, the number of no photons, and which pixels were measured."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError, UsageError
from . import registry
from .files import Path, read_bytes
from .images.cbf import read_cbf
from .images.smv import header_value, read_smv
from .nxmx_reading import read_frame

OFFSETS = ("ADC_OFFSET", "IMAGE_PEDESTAL")
"""Keywords of SMV headers: the number of no photons."""
SATURATION = "CCD_IMAGE_SATURATION"
"""Keyword of SMV headers: the first number that is no count."""
_CUTOFF = re.compile(r"^#\s*Count_cutoff[ \t:=]*([0-9]+)", re.MULTILINE)
"""Of a mini-CBF: the largest count."""


@dataclass(frozen=True, eq=False, repr=False)
class Counts(HoldsArrays):
    """The pixels of a file; arrays are (slow, fast), panels one above the other."""

    format: str
    """Its name."""
    pixels: npt.NDArray[Any]
    """As they are stored."""
    measured: npt.NDArray[np.bool_]
    """False where the file marks a pixel that was not measured, never counts rightly or overflowed."""
    offset: float | None
    """The number of no photons; None: the file does not say."""

    @property
    def are_integers(self) -> bool:
        """Whether they are what a detector counted; else they are photons."""
        return self.pixels.dtype.kind in "iu"


def read_counts(path: Path, shape: tuple[int, int] | None = None, frame: int | None = None) -> Counts:
    """The image of a file of any format that is read.

    Parameters
    ----------
    path : path
    shape : tuple of int, optional
        (slow, fast), of a file that does not tell its own.
    frame : int, optional
        Which of an NXmx file, from 1 on; None: its only one, or the first.

    Raises
    ------
    InputFileError
        The file cannot be read, holds no image, or another number of pixels than it should.
    UsageError
        A frame that the file does not have.
    """
    name, content = os.fspath(path), read_bytes(path, "the image")
    found = registry.recognized(name, content)
    kind = "float32" if found is None else found.name
    if kind == "NXmx":
        pixels, measured = read_frame(path, 1 if frame is None else frame, tell=frame is None)
        return _of_numbers(name, kind, pixels, measured, 0.0)
    if frame is not None:
        raise UsageError(f"-frame {frame}: {name} holds one image; frames are those of an NXmx file")
    if kind == "SMV":
        image = read_smv(path)
        offsets = (header_value(image.header, keyword, whole=True) for keyword in OFFSETS)
        overload = header_value(image.header, SATURATION, whole=True)
        below = True if overload is None else image.pixels < overload
        return _of_numbers(name, kind, image.pixels, below, next((one for one in offsets if one is not None), None))
    if kind == "CBF":
        cbf = read_cbf(path)
        cutoff = _CUTOFF.search(cbf.header)
        good = (cbf.pixels >= 0) & (True if cutoff is None else cbf.pixels <= int(cutoff[1]))
        return _of_numbers(name, kind, cbf.pixels, good, None)
    if found is None and shape is not None and len(content) != 4 * shape[0] * shape[1]:
        raise InputFileError(
            f"{name}: is no SMV, CBF, NXmx, TIFF or .npy image, and has {len(content)} bytes where {shape[1]} x "
            f"{shape[0]} float32 pixels without a header need {4 * shape[0] * shape[1]}"
        )
    pixels = registry.read(path, shape)
    # A TIFF with signs has them for the marks alone.
    signed = kind == "TIFF" and pixels.dtype.kind == "i"
    return _of_numbers(name, kind, pixels, pixels >= 0 if signed else True, None)


def _of_numbers(name: str, kind: str, pixels: npt.NDArray[Any], measured: Any, offset: float | None) -> Counts:
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "iuf":
        raise InputFileError(f"{name} has shape {pixels.shape} of {pixels.dtype}; must be an image of numbers")
    if pixels.dtype.kind in "iu":
        # What overflows is cut to the largest number that there is, which also marks gaps.
        measured = measured & (pixels < np.iinfo(pixels.dtype).max)
    return Counts(kind, pixels, np.broadcast_to(np.asarray(measured, bool), pixels.shape), offset)
