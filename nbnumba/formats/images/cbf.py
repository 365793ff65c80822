"""Mini-CBF: a text header as of a PILATUS, then the pixels of one panel, compressed by byte offsets."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...arrays import HoldsArrays
from ...errors import InputFileError
from ..byte_offset import packed, unpacked
from ..dials import check_mini_cbf
from ..files import Path, read_unpacked, replacing
from ..frame import Frame, with_marks
from ..mini_cbf import header_of
from ..recognition import binary_format
from ..registry import Format

LARGEST = 2**31 - 3
"""Of a pixel: beside a bad one, what is larger would take a difference of 64 bits, which not all readers know."""
MAGIC = b"###CBF"
_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_STARTER = b"\x0c\x1a\x04\xd5"
_PADDING = 4095
_LONGEST_HEADER_BYTES = 1 << 20
_TYPES = {
    f'"{sign}signed {bits}-bit integer"': np.dtype(f"{kind}{bits // 8}")
    for sign, kind in (("", "i"), ("un", "u"))
    for bits in (8, 16, 32)
}


@dataclass(frozen=True, eq=False, repr=False)
class CbfImage(HoldsArrays):
    """A mini-CBF as read."""

    path: str
    convention: str
    """Of the header, as ``PILATUS_1.2``; empty where it names none."""
    header: str
    """All before the pixels."""
    pixels: npt.NDArray[np.integer]
    """Shape (slow, fast)."""


def read_cbf(path: Path) -> CbfImage:
    """Read header and pixels, gzipped or not.

    Raises
    ------
    InputFileError
        The file cannot be read, is no CBF with pixels compressed by byte offsets, ends early, or is damaged.
    """
    return cbf_image(path, read_unpacked(path, "the CBF image"))


def cbf_image(path: Path, content: bytes) -> CbfImage:
    """As :func:`read_cbf`, of what was read already; ``path`` is for errors."""
    name = os.fspath(path)
    if not content.startswith(MAGIC):
        found = binary_format(content)
        raise InputFileError(f"{name}: is no CBF, which begins with ###CBF" + (f"; it is {found[0]}" if found else ""))
    section = content.find(_SECTION, 0, _LONGEST_HEADER_BYTES)
    start = content.find(_STARTER, section, section + _LONGEST_HEADER_BYTES)
    if section < 0 or start < 0:
        raise InputFileError(f"{name}: is a CBF without an image, or is truncated: no binary section begins in it")
    header, mime = content[:section].decode("latin-1"), content[section:start].decode("latin-1")
    convention = re.search(r'_array_data\.header_convention\s+"?([^\s"]*)', header)
    return CbfImage(name, convention[1] if convention else "", header, _pixels(name, mime, content, start))


def _pixels(name: str, mime: str, content: bytes, start: int) -> npt.NDArray[np.integer]:
    compression = re.search(r'conversions\s*=\s*"?([^\s"]+)', mime)
    if compression is None or compression[1].lower() != "x-cbf_byte_offset":
        said = compression[1] if compression else "none"
        raise InputFileError(f"{name}: its compression is {said}; only x-CBF_BYTE_OFFSET is read")
    size, fast, slow = (
        _count(name, mime, f"X-Binary-Size{which}") for which in ("", "-Fastest-Dimension", "-Second-Dimension")
    )
    element = _record(mime, "X-Binary-Element-Type") or '"signed 32-bit integer"'
    if element not in _TYPES:
        raise InputFileError(f"{name}: X-Binary-Element-Type: {element:.80} must be one of {', '.join(_TYPES)}")
    start += len(_STARTER)
    data = content[start : start + size]
    if len(data) < size:
        raise InputFileError(f"{name}: is truncated: {len(data)} bytes of pixels where X-Binary-Size is {size}")
    told, md5 = _record(mime, "Content-MD5"), _md5(data)
    if told is not None and told != md5:
        raise InputFileError(f"{name}: is damaged: the MD5 of its pixels is {md5}, and the header has {told:.80}")
    # A pixel takes a byte or more: what is unpacked is bounded by the file.
    pixels = unpacked(data, fast * slow) if fast * slow <= size else np.zeros(0, np.int64)
    if len(pixels) < fast * slow:
        raise InputFileError(f"{name}: {size} bytes hold less than the {fast} x {slow} pixels of its header")
    return pixels.astype(_TYPES[element]).reshape(slow, fast)


def _record(mime: str, keyword: str) -> str | None:
    match = re.search(rf"^{keyword}:[ \t]*(.*?)\s*$", mime, re.MULTILINE)
    return match[1] if match else None


def _count(name: str, mime: str, keyword: str) -> int:
    text = _record(mime, keyword)
    if text is None or not re.fullmatch("[1-9][0-9]{0,9}", text):
        raise InputFileError(f"{name}: {keyword}: {text or '(missing)':.80} must be a whole number above 0")
    return int(text)


def _md5(data: bytes | memoryview) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _fitted(frame: Frame) -> Frame:
    """Gaps and bad pixels marked."""
    return with_marks(frame, LARGEST)


def _write(path: Path, frame: Frame) -> None:
    pixels = frame.pixels[0]
    convention, header = header_of(frame, LARGEST)
    data = packed(pixels)
    slow, fast = pixels.shape
    lines = (
        "###CBF: VERSION 1.5", "", "data_image", "",
        f'_array_data.header_convention "{convention}"',
        "_array_data.header_contents",
        ";", *header, ";", "",
        "_array_data.data",
        ";", _SECTION.decode(),
        "Content-Type: application/octet-stream;",
        '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {data.size}",
        "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {_md5(data.data)}",
        f"X-Binary-Number-of-Elements: {pixels.size}",
        f"X-Binary-Size-Fastest-Dimension: {fast}",
        f"X-Binary-Size-Second-Dimension: {slow}",
        f"X-Binary-Size-Padding: {_PADDING}",
        "", "",
    )  # fmt: skip
    with replacing(path) as file:
        file.write("\r\n".join(lines).encode("ascii", "replace"))
        file.write(_STARTER)
        file.write(data.data)
        file.write(bytes(_PADDING) + b"\r\n" + _SECTION + b"--\r\n;\r\n\r\n")


FORMAT = Format(
    "CBF",
    (".cbf",),
    ("counted", "scaled"),
    _write,
    fitted=_fitted,
    check=check_mini_cbf,
    recognizes=lambda name, content: content.startswith(MAGIC) or name.endswith(".cbf.gz"),
    read=lambda path, shape: read_cbf(path).pixels,
)
