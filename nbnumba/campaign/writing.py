"""The file of a chunk: an NXmx as any other, and beside the truth what campaign it is of and the sums of its pixels."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from ..formats.files import replacing
from ..formats.frame import Frame
from ..formats.hdf5 import VERSIONS, Written, library, replacing_hdf5
from ..formats.images.nxmx import Series, fill_of
from ..formats.nexus import field, group
from ..setup.panels import stacked
from .campaign import Campaign
from .chunks import Chunk
from .draws import FORMAT
from .identity import digest_of
from .rendering import Rendered

MOST_IN_MEMORY_BYTES = 1 << 31
"""Of pixels before they are packed; larger files are written as they grow."""


def write_chunk(campaign: Campaign, chunk: Chunk, rendered: Iterable[Rendered]) -> str:
    """Make the file of a chunk, which has its name once it is whole and on the disk.

    Parameters
    ----------
    rendered : iterable of Rendered
        All its frames, in their order.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    ResourceError
        The file cannot be written, or the library is not installed.
    """
    frames = iter(rendered)
    first = next(frames)
    size = chunk.frames * sum(pixels.nbytes for pixels in first.frame.pixels)
    if size > MOST_IN_MEMORY_BYTES:
        with replacing_hdf5(chunk.path) as written:
            _fill(written, campaign, chunk, chain([first], frames))
        return digest_of(os.fspath(chunk.path))
    content = packed(campaign, chunk, chain([first], frames))
    # A shared file system sees one write of a whole file, and nothing of the library.
    with replacing(chunk.path) as out:
        out.write(content)
    return hashlib.sha256(content).hexdigest()


def packed(campaign: Campaign, chunk: Chunk, rendered: Iterable[Rendered]) -> memoryview:
    """The file of a chunk in memory."""
    memory = io.BytesIO()
    with library().File(memory, "w", libver=VERSIONS) as file:
        _fill(Written(file, lambda: None), campaign, chunk, rendered)
    return memory.getbuffer()


def _fill(written: Written, campaign: Campaign, chunk: Chunk, rendered: Iterable[Rendered]) -> None:
    series, numbers, sums = Series(written), [], []
    for one in rendered:
        series.append(one.frame)
        numbers.append(one.number)
        sums.append(checksum(one.frame))
    campaign.check_files()
    spectra = campaign.job.spectra
    entry = series.finish(1 if spectra is None else spectra.wavelengths)
    _write_campaign(entry["nbnumba"], campaign, chunk, numbers, sums)


def checksum(frame: Frame) -> int:
    """CRC-32 of a frame's pixels as they lie in the file."""
    return zlib.crc32(np.ascontiguousarray(stacked(frame.pixels, fill_of(frame))).data)


def _write_campaign(truth: Any, campaign: Campaign, chunk: Chunk, numbers: list[int], sums: list[int]) -> None:
    table = truth["frames"]
    field(table, "frame", np.array(numbers, np.int64))
    field(table, "hits", np.array([campaign.hits(number) for number in numbers], np.int32))
    field(table, "spectrum", np.array([campaign.spectrum(number) for number in numbers], np.int64))
    field(table, "sweep", np.full(len(numbers), chunk.sweep, np.int32))
    field(table, "sweep_crystal", np.full(len(numbers), chunk.crystal, np.int32))
    field(table, "crc32", np.array(sums, np.uint32))
    about = group(truth, "campaign", "NXcollection", format=FORMAT, identity=campaign.identity)
    field(about, "text", campaign.text)
    field(about, "chunk", chunk.number)
