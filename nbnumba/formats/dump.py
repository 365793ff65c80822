"""The binary cache of a table of structure factors (Fdump.bin)."""

from __future__ import annotations

import math
import os
import re

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from .files import Path, read_bytes, replacing

Bounds = tuple[int, int, int, int, int, int]

_BOUNDS = re.compile(rb"((?:[+-]?\d{1,10} ){5}[+-]?\d{1,10})\n\f")


def write_dump(path: Path, bounds: Bounds, table: npt.NDArray[np.float64]) -> None:
    """Write a table, each axis followed by the zero that the format asks for.

    Parameters
    ----------
    path : path
        File to be replaced.
    bounds : tuple of int
        Smallest and largest h, then k, then l.
    table : ndarray of float64, shape (nh, nk, nl)
        F in electrons.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    planes, rows, columns = table.shape
    plane = np.zeros((rows + 1, columns + 1))
    with replacing(path) as file:
        file.write(b"%d %d %d %d %d %d\n\f" % bounds)
        for h in range(planes):
            plane[:-1, :-1] = table[h]
            file.write(plane.data)
        file.write(bytes(plane.nbytes))


def read_dump(path: Path) -> tuple[Bounds, npt.NDArray[np.float64]]:
    """Read what :func:`write_dump` wrote, without the zero that follows each axis.

    Returns
    -------
    bounds : tuple of int
        Smallest and largest h, then k, then l.
    table : ndarray of float64, shape (nh, nk, nl)
        F in electrons.

    Raises
    ------
    InputFileError
        The file cannot be read, is no such table, or does not have the size that its bounds ask for.
    """
    content = read_bytes(path, "the table of structure factors")
    name = os.fspath(path)
    head = _BOUNDS.match(content)
    if head is None:
        raise InputFileError(f"{name}: must begin with h_min h_max k_min k_max l_min l_max; write it again with -hkl")
    h0, h1, k0, k1, l0, l1 = map(int, head[1].split())
    if h0 > h1 or k0 > k1 or l0 > l1:
        raise InputFileError(f"{name}: bounds {head[1].decode()!r} are the wrong way round; write it again with -hkl")
    shape = (h1 - h0 + 2, k1 - k0 + 2, l1 - l0 + 2)
    needed = head.end() + 8 * math.prod(shape)
    if len(content) != needed:
        raise InputFileError(
            f"{name}: {len(content)} bytes where indices {head[1].decode()!r} need {needed}; write it again with -hkl"
        )
    table = np.frombuffer(content, np.float64, offset=head.end()).reshape(shape)
    if not np.isfinite(table).all():
        raise InputFileError(f"{name}: values that are not finite; write it again with -hkl")
    if (table < 0.0).any():
        raise InputFileError(f"{name}: structure factors below 0; write it again with -hkl")
    return (h0, h1, k0, k1, l0, l1), table[:-1, :-1, :-1].copy()
