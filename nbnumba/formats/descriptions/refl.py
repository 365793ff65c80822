"""Predicted reflections as a table of DIALS: which goes with the experiments of the same images in ``.expt``.

A table is an array of msgpack: its kind, its version, and a map that holds columns as the bytes of their elements.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import numpy.typing as npt

from ...errors import ResourceError, UsageError
from ..files import Path, replacing
from ..frame import Description, Frame, PredictedReflections, check_crystal
from ..registry import Format
from ..scans import Numbering

COLUMNS = {
    "miller_index": ("cctbx::miller::index<>", "<i4"),
    "id": ("int", "<i4"),
    "panel": ("std::size_t", "<u8"),
    "xyzcal.px": ("vec3<double>", "<f8"),
    "d": ("double", "<f8"),
    "wavelength": ("double", "<f8"),
    "F": ("double", "<f8"),
    "flags": ("std::size_t", "<u8"),
}
"""What DIALS calls the type of a column, and its numbers."""
_PREDICTED = 1
"""The flag of what is predicted."""


def _msgpack() -> ModuleType:
    try:
        import msgpack
    except ImportError as error:
        raise ResourceError(
            f".refl files need a package that is not installed ({error}): pip install 'nbnumba[dials]', or give .csv"
        ) from error
    found: ModuleType = msgpack
    return found


class _Table:
    """Reflections of one image after another."""

    def __init__(self) -> None:
        self._parts: list[dict[str, npt.NDArray[np.generic]]] = []
        self._numbering = Numbering()

    def write(self, frame: Frame) -> None:
        """Take the reflections of the next one."""
        d, found = frame.description, frame.reflections
        if found is None:
            raise UsageError("the frame has no reflections: ask for the content 'reflections'")
        self._numbering.take(d)
        # In the .expt, each scan has an experiment for each lattice.
        experiment = (self._numbering.scans - 1) * len(d.crystals)
        count = len(found.hkl)
        self._parts.append({
            "miller_index": found.hkl,
            "id": np.full(count, experiment),
            "panel": found.panel,
            "xyzcal.px": np.column_stack([found.pixel, _frame_numbers(d, found, self._numbering.number)]),
            "d": found.d_angstrom,
            "wavelength": found.wavelength_angstrom,
            "F": found.f,
            "flags": np.full(count, _PREDICTED),
        })  # fmt: skip

    def content(self) -> bytes:
        """All of them, as a file has it."""
        rows = sum(len(part["id"]) for part in self._parts)
        data = {
            name: [kind, [rows, b"".join(part[name].astype(numbers).tobytes() for part in self._parts)]]
            for name, (kind, numbers) in COLUMNS.items()
        }
        table = ["dials::af::reflection_table", 1, {"identifiers": {}, "nrows": rows, "data": data}]
        packed: bytes = _msgpack().packb(table)
        return packed


def _frame_numbers(d: Description, found: PredictedReflections, number: int) -> npt.NDArray[np.float64]:
    """When each diffracts, in images from the beginning of the first; 0 in a still."""
    if d.oscillation_deg == 0.0:
        return np.zeros(len(found.hkl))
    return number - 1 + (found.phi_deg - d.phi_deg) / d.oscillation_deg


def _check(path: Path, description: Description, adc_offset: float) -> None:
    check_crystal(os.fspath(path), description)
    _msgpack()


@contextmanager
def _sink(path: Path) -> Iterator[_Table]:
    table = _Table()
    with replacing(path) as file:
        yield table
        file.write(table.content())


def _write(path: Path, frame: Frame) -> None:
    with _sink(path) as table:
        table.write(frame)


FORMAT = Format("DIALS reflections", (".refl",), ("reflections",), _write, check=_check, sink=_sink)
