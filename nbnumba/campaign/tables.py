"""Tables beside a campaign's files: what each crystal of each frame was, and what files there are."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import NbnumbaWarning
from ..formats.files import replacing
from .chunk_files import Told
from .chunks import Chunk
from .identity import digest_of
from .log import sums_of

INSTALL = "pip install 'nbnumba[campaign]'"
OF_FRAMES = (
    "frame", "sweep", "sweep_crystal", "hits", "spectrum", "seed", "phi_deg", "oscillation_deg", "wavelength_angstrom",
    "fluence_per_m2",
)  # fmt: skip
"""Columns that each row has of its frame."""
OF_CRYSTALS: dict[str, tuple[type, tuple[str, ...]]] = {
    "unit_cell": (float, ("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma")),
    "cells": (int, ("cells_a", "cells_b", "cells_c")),
    "mosaic_spread_deg": (float, ("mosaic_spread_deg",)),
    "mosaic_domains": (int, ("mosaic_domains",)),
    "weight": (float, ("weight",)),
    "spot_scale": (float, ("spot_scale",)),
    "a_matrix": (float, tuple(f"a_matrix_{row}{column}" for row in "123" for column in "123")),
}
"""Of what is told of crystals, the columns: null where a frame has none."""


class Truth:
    """A table (Parquet) with a row for each crystal of each frame, and one for each frame without."""

    def __init__(self, pyarrow: ModuleType, file: BinaryIO) -> None:
        self._pyarrow, self._file = pyarrow, file
        self._writer: Any = None

    def add(self, told: Told, chunks: Sequence[Chunk]) -> None:
        """The rows of what several files tell."""
        pyarrow = self._pyarrow
        table = pyarrow.table({
            name: pyarrow.array(values.data, mask=np.ma.getmaskarray(values))
            for name, values in columns_of(told, chunks).items()
        })  # fmt: skip
        if self._writer is None:
            from pyarrow import parquet

            self._writer = parquet.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def finish(self) -> None:
        """No rows follow."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def truth_table(path: Path) -> Iterator[Truth | None]:
    """A table that takes the place of ``path``; None where its library is not installed.

    Raises
    ------
    ResourceError
        The file cannot be written.

    Warns
    -----
    NbnumbaWarning
        The library is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        said = f"{path.name} is left out, since it needs a package that is not installed ({error}): {INSTALL}"
        warnings.warn(said, NbnumbaWarning, stacklevel=3)
        yield None
        return
    with replacing(path) as file:
        truth = Truth(pyarrow, file)
        yield truth
        truth.finish()


def columns_of(told: Told, chunks: Sequence[Chunk]) -> dict[str, np.ma.MaskedArray[Any, Any]]:
    """What several files tell, a row for each crystal of each frame (rows,), in the order of frames and crystals."""
    of_crystals = told.crystals.get("frame", np.zeros(0, np.int64))
    missed = np.setdiff1d(np.arange(told.count), of_crystals)
    order = np.argsort(np.concatenate([of_crystals, missed]), kind="stable")
    frames, is_missed = np.concatenate([of_crystals, missed])[order], order >= len(of_crystals)
    crystals = np.where(is_missed, 0, order)
    found = {name: np.ma.array(told.frames[name][frames]) for name in OF_FRAMES}
    found["distance_mm"] = np.ma.array(told.distance_mm[frames])
    starts, numbers = np.array([(chunk.first, chunk.number) for chunk in chunks]).T
    found["chunk"] = np.ma.array(numbers[np.searchsorted(starts, found["frame"].data, "right") - 1])
    within = np.arange(len(frames)) - np.searchsorted(frames, frames)
    found["crystal"] = np.ma.array(within, mask=is_missed)
    for name, (kind, parts) in OF_CRYSTALS.items():
        values = told.crystals[name].reshape(-1, len(parts)) if told.crystals else np.zeros((1, len(parts)), kind)
        found |= {part: np.ma.array(values[crystals, number], mask=is_missed) for number, part in enumerate(parts)}
    return found


def write_manifest(path: Path, chunks: Sequence[Chunk], masters: Sequence[tuple[Path, int]]) -> None:
    """Write a table of files: name, frames, bytes, SHA-256; of files of chunks that of their log, if it tells one.

    Raises
    ------
    ResourceError
        It cannot be written.
    """
    sums, text = sums_of(path.parent), io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "frames", "bytes", "sha256"])

    def add(file: Path, frames: int, known: Set[str]) -> None:
        # Who reads them all to make a sum of each waits long.
        digest = next(iter(known)) if len(known) == 1 else digest_of(str(file))
        rows.writerow([file.relative_to(path.parent).as_posix(), frames, file.stat().st_size, digest])

    for chunk in chunks:
        add(chunk.path, chunk.frames, sums.get(chunk.number, set()))
    for master, frames in masters:
        add(master, frames, set())
    with replacing(path) as out:
        out.write(text.getvalue().encode())
