"""Byte-offset compression of CBF (International Tables for Crystallography G, 2005, chapter 5.6).

Of each pixel the difference from the one before is kept, little-endian, in the narrowest of 1, 2, 4 and 8 bytes that
has room for it; before a wider one stand the least numbers of all narrower widths, which are no differences but say so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.intp]

_WIDTHS = (1, 2, 4, 8)
_LARGEST = (0x7F, 0x7FFF, 0x7FFFFFFF)
_MARKS = (b"", b"\x80", b"\x80\x00\x80", b"\x80\x00\x80\x00\x00\x00\x80")
"""What stands before a difference of each width."""
_LENGTHS = np.array([len(mark) + width for mark, width in zip(_MARKS, _WIDTHS, strict=True)])


def packed(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of pixels, row after row.

    Parameters
    ----------
    pixels : ndarray
        Of an integer type of at most 32 bits, and of any shape.

    Returns
    -------
    ndarray of uint8
        One-dimensional.
    """
    steps = _steps(pixels.ravel())
    wide = np.flatnonzero((steps < -_LARGEST[0]) | (steps > _LARGEST[0]))
    sizes = np.abs(steps[wide].astype(np.int64))
    ranks = 1 + (sizes > _LARGEST[1]) + (sizes > _LARGEST[2])
    added = _LENGTHS[ranks] - 1
    starts = wide + np.cumsum(added) - added
    result = np.empty(steps.size + int(added.sum()), np.uint8)
    for rank in (1, 2, 3):
        chosen = ranks == rank
        mark, differences = _MARKS[rank], steps[wide[chosen]].astype(f"<i{_WIDTHS[rank]}")
        places = starts[chosen, np.newaxis] + np.arange(_LENGTHS[rank])
        result[places[:, : len(mark)]] = np.frombuffer(mark, np.uint8)
        result[places[:, len(mark) :]] = differences.view(np.uint8).reshape(len(differences), _WIDTHS[rank])
    narrow = np.ones(steps.size, bool)
    narrow[wide] = False
    result[_outside(starts, ranks, result.size)] = steps[narrow].astype(np.int8).view(np.uint8)
    return result


def unpacked(content: bytes, count: int) -> npt.NDArray[np.int64]:
    """The first pixels of what :func:`packed` made.

    Parameters
    ----------
    content : bytes
    count : int
        How many there should be.

    Returns
    -------
    ndarray of int64
        One-dimensional; shorter than ``count`` where the content ends early.
    """
    data = np.frombuffer(content, np.uint8)
    starts, ranks = _wide(data)
    whole = starts + _LENGTHS[ranks] <= data.size
    if not whole.all():
        data, starts, ranks = data[: starts[~whole][0]], starts[whole], ranks[whole]
    steps = data.view(np.int8).astype(np.int64)
    for rank in (1, 2, 3):
        chosen = starts[ranks == rank]
        places = chosen[:, np.newaxis] + np.arange(len(_MARKS[rank]), _LENGTHS[rank])
        steps[chosen] = data[places].view(f"<i{_WIDTHS[rank]}").ravel()
    first = _outside(starts, ranks, data.size)
    first[starts] = True
    pixels: npt.NDArray[np.int64] = np.cumsum(steps[first][:count])
    return pixels


def _steps(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Each pixel less the one before, the first less 0, in as many bits as that takes."""
    if not pixels.size:
        return np.zeros(0, np.int32)
    span = max(int(pixels.max()), 0) - min(int(pixels.min()), 0)
    steps = np.empty(pixels.size, np.int32 if span <= _LARGEST[2] else np.int64)
    steps[0] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=steps[1:], dtype=steps.dtype, casting="unsafe")
    return steps


def _outside(starts: Positions, ranks: Positions, size: int) -> npt.NDArray[np.bool_]:
    """Which of so many bytes are differences by themselves, no part of those wider ones with their marks."""
    outside = np.ones(size, bool)
    for rank in (1, 2, 3):
        outside[starts[ranks == rank, np.newaxis] + np.arange(_LENGTHS[rank])] = False
    return outside


def _wide(data: npt.NDArray[np.uint8]) -> tuple[Positions, Positions]:
    """Where marks stand, and of which rank they are.

    Not every byte that looks like a mark's first is one: it may lie within a difference. From a mark one comes to the
    next of them behind its difference; the true ones are those to which the first leads, in steps that double.
    """
    seen = np.flatnonzero(data == _MARKS[1][0])
    ahead = np.concatenate([data, np.zeros(_LENGTHS[3], np.uint8)])
    ranks = np.ones(len(seen), np.intp)
    for rank in (2, 3):
        mark = np.frombuffer(_MARKS[rank], np.uint8)
        ranks[(ahead[seen[:, np.newaxis] + np.arange(len(mark))] == mark).all(axis=1)] = rank
    following = np.append(np.searchsorted(seen, seen + _LENGTHS[ranks]), len(seen))
    reached = np.zeros(len(seen) + 1, bool)
    reached[0] = True
    for _ in range(len(seen).bit_length()):
        reached[following[reached]] = True
        following = following[following]
    true = np.flatnonzero(reached[:-1])
    return seen[true], ranks[true]
