"""Predicted reflections as comma-separated values, a row for each that meets the detector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ...errors import UsageError
from ..files import Path, replacing
from ..frame import Description, Frame, check_crystal
from ..registry import Format
from ..scans import Numbering

COLUMNS = ("h", "k", "l", "panel", "fast_px", "slow_px", "phi_deg", "image", "d_angstrom", "wavelength_angstrom", "F")
"""Pixels count from the outer corner of the panel's first one, panels from 0; images are numbered from 1 on."""


def rows_of(frame: Frame, image: int) -> Iterator[str]:
    """The rows of the reflections of an image of that number."""
    found = frame.reflections
    if found is None:
        raise UsageError("the frame has no reflections: ask for the content 'reflections'")
    columns = (found.panel, *found.pixel.T, found.phi_deg, found.d_angstrom, found.wavelength_angstrom, found.f)
    for (h, k, l), panel, fast, slow, phi, d, wavelength, f in zip(
        found.hkl.tolist(), *(column.tolist() for column in columns), strict=True
    ):
        yield f"{h},{k},{l},{panel},{fast:.4f},{slow:.4f},{phi:.6f},{image},{d:.6f},{wavelength:.8f},{f:.7g}\n"


class _Table:
    """A file that takes rows of one image after another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._numbering = file, Numbering()
        file.write((",".join(COLUMNS) + "\n").encode())

    def write(self, frame: Frame) -> None:
        """Take the reflections of the next one."""
        self._numbering.take(frame.description)
        self._file.write("".join(rows_of(frame, self._numbering.number)).encode())


def _check(path: Path, description: Description, adc_offset: float) -> None:
    check_crystal(os.fspath(path), description)


@contextmanager
def _sink(path: Path) -> Iterator[_Table]:
    with replacing(path) as file:
        yield _Table(file)


def _write(path: Path, frame: Frame) -> None:
    with _sink(path) as table:
        table.write(frame)


FORMAT = Format("CSV", (".csv",), ("reflections",), _write, check=_check, sink=_sink)
