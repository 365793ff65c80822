"""NXmx files read back: pixels, and what they tell of an experiment."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, NbnumbaWarning
from .files import MOST_UNPACKED_BYTES, Path
from .hdf5 import content_of, reading_hdf5


def read_nxmx(path: Path, shape: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """The pixels of a file's first frame as they are stored (slow, fast), panels one above the other.

    Raises
    ------
    InputFileError
        The file cannot be read, or is not NXmx.

    Warns
    -----
    NbnumbaWarning
        It has further frames.
    """
    with reading_hdf5(path, "an NXmx image") as file:
        data = _pixels_of(entry_of(file, path), path)
        if data.ndim == 3 and len(data) > 1:
            said = f"{os.fspath(path)}: of its {len(data)} frames, the first is read"
            warnings.warn(said, NbnumbaWarning, stacklevel=3)
        return np.asarray(data[0] if data.ndim == 3 else content_of(data))


def read_frame(path: Path, number: int, tell: bool = False) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The pixels of a frame, and which of them were measured and are counts.

    Parameters
    ----------
    path : path
    number : int
        From 1 on.
    tell : bool
        Warn where there are others.

    Returns
    -------
    tuple of ndarray, shape (slow, fast)
        As they are stored; False by the pixel_mask, below the underload_value (of integers below 0 where there is
        none) and above the saturation_value.

    Raises
    ------
    InputFileError
        The file cannot be read, is not NXmx, or has no such frame.
    """
    name = os.fspath(path)
    with reading_hdf5(path, "an NXmx image") as file:
        entry = entry_of(file, path)
        data = _pixels_of(entry, path)
        frames = len(data) if data.ndim == 3 else 1
        if not 1 <= number <= frames:
            raise InputFileError(f"{name}: has no frame {number}: its frames are 1 to {frames}")
        if tell and frames > 1:
            warnings.warn(f"{name}: of its {frames} frames, the first is read", NbnumbaWarning, stacklevel=4)
        pixels = np.asarray(data[number - 1] if data.ndim == 3 else content_of(data))
        detectors = [one for group in of_class(entry, "NXinstrument") for one in of_class(group, "NXdetector")]
        return pixels, _measured(pixels, detectors[0] if detectors else {}, name)


def _measured(pixels: npt.NDArray[Any], detector: Any, name: str) -> npt.NDArray[np.bool_]:
    """Which pixels are good and within the bounds that a detector names."""
    measured = np.ones(pixels.shape, bool)
    bounds: dict[str, Any] = {"underload_value": 0 if pixels.dtype.kind in "iu" else None, "saturation_value": None}
    for field in bounds:
        if field in detector:
            bounds[field] = np.asarray(content_of(detector[field])).ravel()[0]
    least, most = bounds.values()
    with np.errstate(invalid="ignore"):
        # Such that what is no number stays, for whoever reads it to stumble over.
        measured &= True if least is None else ~(pixels < least)
        measured &= True if most is None else ~(pixels > most)
    if "pixel_mask" in detector:
        mask = np.asarray(content_of(detector["pixel_mask"]))
        if mask.shape != pixels.shape:
            raise InputFileError(f"{name}: its pixel_mask has shape {mask.shape}, its frames {pixels.shape}")
        measured &= mask == 0
    return measured


def entry_of(file: Any, path: Path) -> Any:
    """The first entry that is NXmx."""
    for entry in of_class(file, "NXentry"):
        if "definition" in entry and text_of(entry["definition"]) == "NXmx":
            return entry
    raise InputFileError(f"{os.fspath(path)}: is an HDF5 file, but not NXmx: it has no entry of that definition")


def text_of(dataset: Any) -> str:
    """The text of a field, however long its letters are told to be."""
    value = np.asarray(content_of(dataset)).ravel()[:1].tolist()
    text = value[0] if value else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def of_class(parent: Any, nx_class: str) -> list[Any]:
    """The groups of a class in a group, in the order of their names."""

    def is_one(child: Any) -> bool:
        found = None if child is None or not hasattr(child, "keys") else child.attrs.get("NX_class")
        return (found.decode() if isinstance(found, bytes) else found) == nx_class

    return [parent[name] for name in parent if is_one(parent.get(name))]


def _pixels_of(entry: Any, path: Path) -> Any:
    """The dataset of the pixels."""
    groups = of_class(entry, "NXdata")
    data = None
    for group in groups[:1]:
        signal = group.attrs.get("signal", "data")
        data = group.get(signal.decode() if isinstance(signal, bytes) else signal)
        if data is None:
            data = next((group[name] for name in group if group.get(name) is not None), None)
    if data is None or data.ndim not in (2, 3) or data.size == 0 or data.dtype.kind not in "iuf":
        raise InputFileError(f"{os.fspath(path)}: has no pixels in its NXdata: an array (frame, slow, fast) of numbers")
    size = math.prod(data.shape[-2:]) * data.dtype.itemsize
    if size > MOST_UNPACKED_BYTES:
        raise InputFileError(f"{os.fspath(path)}: a frame of {data.shape[-1]} x {data.shape[-2]} pixels is too large")
    return data
