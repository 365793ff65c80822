"""NXmx: one HDF5 file for a frame or a series, as synchrotrons and free-electron lasers write them.

Pixels lie in ``/entry/data/data`` (frame, slow, fast), panels one above the other; a chunk is a panel of a frame,
packed by bitshuffle and LZ4. No reader knows a count of no photons: it is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import UsageError
from ..dials import check_nxmx
from ..files import Path
from ..frame import Description, Frame
from ..hdf5 import SIGNATURE, Written, bitshuffle_lz4, library, replacing_hdf5, settled
from ..nxmx_reading import read_nxmx
from ..nxmx_tree import panel_slices, whole_shape, write_entry, write_frames
from ..registry import Format, content_of


def fitted(frame: Frame) -> Frame:
    """As NXmx has it: without the count of no photons, and with marks in integer pixels that were not measured."""
    kind = frame.pixels[0].dtype
    if kind.kind == "f":
        return frame
    largest = frame.saturation
    if largest is None and kind.itemsize <= np.dtype(np.uint16).itemsize:
        # What was cut to the largest integer is no count.
        largest = np.iinfo(kind).max - 1
    offset = round(frame.adc_offset)
    if offset:
        frame = replace(
            frame,
            pixels=tuple(pixels.astype(np.int32) - np.int32(offset) for pixels in frame.pixels),
            adc_offset=frame.adc_offset - offset,
            underload=-offset,
        )
    frame = replace(frame, saturation=None if largest is None else largest - offset)
    return frame.with_unmeasured(_mark(frame)) if _has_gaps(frame.description) else frame


def _has_gaps(description: Description) -> bool:
    return not all(panel.is_whole for panel in description.panels)


def fill_of(frame: Frame) -> int:
    """What stands in the image of a frame beside its panels."""
    return _mark(frame) if frame.pixels[0].dtype.kind in "iu" else 0


def _mark(frame: Frame) -> int:
    """A value that no count has."""
    kind = frame.pixels[0].dtype
    return int(np.iinfo(kind).max) if kind.kind == "u" else int(np.ceil(frame.underload)) - 1


def _write(path: Path, frame: Frame) -> None:
    with replacing_hdf5(path) as written:
        series = Series(written)
        series.append(frame)
        series.finish()


@contextmanager
def _sink(path: Path) -> Iterator[_Sink]:
    with ExitStack() as files:
        sink = _Sink(path, files)
        yield sink
        sink.finish()


class _Sink:
    """A file that begins with its first frame."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        self._path, self._files = path, files
        self._series: Series | None = None

    def write(self, frame: Frame) -> None:
        content_of(FORMAT, frame.content)
        frame = fitted(frame)
        if self._series is None:
            _check(self._path, frame.description, frame.adc_offset)
            self._series = Series(self._files.enter_context(replacing_hdf5(self._path)))
        self._series.append(frame)

    def finish(self) -> None:
        if self._series is not None:
            self._series.finish()


class Series:
    """Frames, packed and written as they come; what is told of them follows at the end."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._frames: list[Frame] = []
        self._entry: Any = None
        self._data: Any = None

    def append(self, frame: Frame) -> None:
        """Take the next frame, as :func:`fitted` leaves it."""
        if not self._frames:
            self._entry = write_entry(self._written.file, frame)
            self._data = _dataset(self._entry["data"], frame)
            # The same pixels under a second name, where some readers look.
            self._entry["instrument/detector/data"] = self._data
        else:
            _refuse_another(self._frames[0], frame)
        number = len(self._frames)
        self._data.resize(number + 1, axis=0)
        for pixels, rows in zip(frame.pixels, panel_slices(frame.description.panels), strict=True):
            self._data[(number, *rows)] = pixels
        self._written.check()
        # Without arrays of pixels: there may be thousands of frames.
        panels = (self._frames[0] if self._frames else frame).description.panels
        self._frames.append(replace(frame, pixels=(), bad=None, description=replace(frame.description, panels=panels)))

    def finish(self, wavelengths: int = 1) -> Any:
        """Tell of all frames what there is to tell, of at least so many wavelengths; the entry, as h5py has it."""
        settled(self._data)
        write_frames(self._entry, self._frames, wavelengths)
        return self._entry


def _dataset(group: Any, frame: Frame) -> Any:
    """Of no frame yet; a chunk is a panel where all are alike, else a frame."""
    panels, kind = frame.description.panels, frame.pixels[0].dtype
    whole = whole_shape(panels)
    sizes = {(panel.slow_pixels, panel.fast_pixels) for panel in panels}
    chunk = sizes.pop() if len(sizes) == 1 else whole
    return group.create_dataset("data", (0, *whole), kind, maxshape=(None, *whole), chunks=(1, *chunk),
                                fillvalue=fill_of(frame), **bitshuffle_lz4())  # fmt: skip


def _refuse_another(first: Frame, frame: Frame) -> None:
    """A file has one detector and one kind of pixels."""
    if frame.content != first.content:
        raise UsageError(f"content {frame.content!r}: the frames before it in the same NXmx file are {first.content}")
    if _placement(frame.description) != _placement(first.description):
        raise UsageError("the frames of an NXmx file have one detector, beam and spindle: give this one another file")


def _placement(description: Description) -> tuple[object, ...]:
    panels = description.panels
    return (
        tuple((panel.fast_pixels, panel.slow_pixels, panel.pixel_mm) for panel in panels),
        tuple((panel.origin_mm, panel.fast, panel.slow) for panel in panels),
        (description.beam, description.spindle, description.polarization, description.polarization_fraction),
    )


def _check(path: Path, description: Description, adc_offset: float) -> None:
    library()
    if any(panel.curved for panel in description.panels):
        raise UsageError("NXmx has flat detectors alone (here: -curved_det)")
    check_nxmx(description)


FORMAT = Format(
    "NXmx",
    (".nxs", ".h5"),
    ("counted", "photons", "scaled"),
    _write,
    many_panels=True,
    fitted=fitted,
    check=_check,
    recognizes=lambda name, content: content.startswith(SIGNATURE),
    read=read_nxmx,
    sink=_sink,
)
