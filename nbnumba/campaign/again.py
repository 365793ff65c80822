"""A frame made again, beside the one in its file."""

from __future__ import annotations

import zlib

import numpy as np

from ..formats.frame import Frame
from ..formats.hdf5 import reading_hdf5
from ..formats.images.nxmx import fill_of
from ..setup.panels import stacked
from .campaign import Campaign


def difference(campaign: Campaign, number: int, frame: Frame) -> str:
    """In what a frame differs from that of its number in its file, which must be there; empty where in nothing.

    Parameters
    ----------
    campaign : Campaign
    number : int
        Of the frame.
    frame : Frame
        As the file has it.

    Raises
    ------
    InputFileError
        The file cannot be read.
    """
    chunk, pixels = campaign.chunk_of(number), np.asarray(stacked(frame.pixels, fill_of(frame)))
    with reading_hdf5(chunk.path, "a file of a campaign") as file:
        truth, row = file["entry/nbnumba"], number - chunk.first
        if truth["campaign"].attrs["identity"] != campaign.identity or truth["frames/frame"][row] != number:
            return "is of another campaign than"
        stored, checksum = file["entry/data/data"][row], truth["frames/crc32"][row]
    if zlib.crc32(stored) != checksum:
        return "cannot be compared with (its pixels are damaged: see verify -deep)"
    if stored.shape != pixels.shape or stored.dtype != pixels.dtype:
        return "has another shape or type than"
    unlike = np.count_nonzero(~np.equal(stored, pixels) & ~((stored != stored) & (pixels != pixels)))
    return f"differs in {unlike} of {pixels.size} pixels from" if unlike else ""
