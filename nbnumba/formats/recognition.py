"""Which format a file has that was given for another one, and the way on."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Reader = Literal["mtz", "cif", "xds", "crystfel", "shelx", "free shelx"]
"""Of reflections; ``formats/reflections.py`` has them."""


class Known(NamedTuple):
    """A format by its name, the way on for whoever gave it elsewhere, and what reads its reflections, if anything."""

    what: str
    advice: str
    reader: Reader | None = None


_HEAD_BYTES = 4096
_TAKEN = "give it as -hkl"
_CONVERT = "convert it to MTZ, as phenix.reflection_file_converter does, and give that as -mtz"
_MERGE = "merge it, as pointless and aimless do, and give the MTZ as -mtz"
_UNPACK = "unpack it first; only gzip is read packed"
_MODEL = "give it as -pdb"
_IMAGE = "of images, -img reads SMV, mini-CBF and NXmx, -mask SMV alone"

_BEGINNINGS: dict[bytes, tuple[str, str]] = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", "-img and `nbnumba compare` read one that is NXmx"),
    b"PK\x03\x04": ("a zip archive", _UNPACK),
    b"PK\x05\x06": ("an empty zip archive", _UNPACK),
    b"BZh": ("packed by bzip2", _UNPACK),
    b"\xfd7zXZ\0": ("packed by xz", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("packed by 7-Zip", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", _UNPACK),
    b"\x1f\x8b": ("packed by gzip twice", "unpack it once"),
    b"\x89PNG\r\n": ("a PNG picture", _IMAGE),
    b"\xff\xd8\xff": ("a JPEG picture", _IMAGE),
    b"II*\0": ("a TIFF image (MarCCD and others)", _IMAGE),
    b"MM\0*": ("a TIFF image (MarCCD and others)", _IMAGE),
    b"###CBF": ("a CBF image", "-img reads it; -mask reads SMV images alone"),
    b"R-AXIS": ("an R-AXIS image", _IMAGE),
    b"P5\n": ("a PGM picture", _IMAGE),
    b"\x93NUMPY": ("an array of NumPy", "only `nbnumba compare` reads one"),
    b"%PDF": ("a PDF document", "the data are wanted"),
}
"""What a file of some format begins with, what it is called, and what to do with it."""

MTZ = Known("an MTZ file", "give it as -mtz or -hkl", "mtz")
_XDS = Known("a reflection file of XDS", _TAKEN, "xds")
_CRYSTFEL = Known("a reflection list of CrystFEL", _TAKEN, "crystfel")
SF_CIF = Known("a CIF of structure factors", "give it as -cif_sf or -hkl", "cif")
_LINES: list[tuple[str, tuple[str, str] | Known]] = [
    (r"!FORMAT=XDS_ASCII|!OUTPUT_FILE=|!FORMAT=", _XDS),
    (r"CrystFEL reflection list", _CRYSTFEL),
    (r"CrystFEL stream format",
     ("a stream of CrystFEL", "merge it, as process_hkl or partialator do, and give the list as -hkl")),
    (r"\s*G?X?PARM\.XDS|\s*XPARM", ("a parameter file of XDS", "give it as -img, which takes its crystal, too")),
    (r"\s*1[ \t]*\n[ \t]*-98\d[ \t]*\n",
     ("a merged SCALEPACK file", "convert it to MTZ, as scalepack2mtz does, and give that as -mtz")),
    (r"[ \t]*\d{1,3}[ \t]+[a-zA-Z][ \t]?\d[^\n]*\n[ \t]*-?\d+(?:[ \t]+-?\d+){8} *\n", ("a SCALEPACK file", _MERGE)),
    (r"(?:HEADER|CRYST1|ATOM  |HETATM|REMARK|TITLE |EXPDTA|COMPND|MODEL )", ("a PDB file", _MODEL)),
    (r"\s*<(?:!DOCTYPE|html|\?xml)", ("a page of the web, or XML", "get the data themselves")),
    (r"\{\s*HEADER_BYTES", ("an SMV image", "give it as -img or -mask")),
    (r"(?:[+-]?\d+ ){5}[+-]?\d+\n\f", ("a binary table of structure factors", "give it as -dump, without -hkl")),
]  # fmt: skip
_CNS = re.compile(r"^[ \t]*(?:NREF\w*[ \t]*=|DECL\w* |INDE\w*[ \t]+-?\d+)", re.IGNORECASE | re.MULTILINE)
_CIF = re.compile(r"^data_", re.IGNORECASE | re.MULTILINE)
_REFLECTIONS = re.compile(r"^[ \t]*_(?:(?:diffrn_)?refln[._]index_h|shelx_hkl_file)\s", re.IGNORECASE | re.MULTILINE)
_SHELX_END = re.compile(r"^ {3}0 {3}0 {3}0(?: +[0.]+)+[ \t]*$", re.MULTILINE)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FREE_ROW = re.compile(rf"[ \t]*(?:[-+]?\d+[ \t]+){{3}}{_NUMBER}[ \t]+{_NUMBER}(?:[ \t]+[-+]?\d+)?[ \t]*")
_FREE_END = re.compile(r"[ \t]*0(?:[ \t]+0){2}(?:[ \t]+0+\.?0*){2,3}")
_ZERO = re.compile(r"^[ \t]*0(?:[ \t]+0){2}[ \t]", re.MULTILINE)


def binary_format(content: bytes) -> Known | None:
    """What a file is whose first bytes are those of a known format, and the way on; None for any other."""
    if content.startswith(b"MTZ "):
        return MTZ
    for beginning, found in _BEGINNINGS.items():
        if content.startswith(beginning):
            return Known(*found)
    if content[208:212] == b"MAP ":
        return Known("a CCP4 map", "nothing in it is read")
    if b"dials::af::reflection_table" in content[:_HEAD_BYTES]:
        return Known("a reflection table of DIALS", "merge it, as dials.merge does, and give the MTZ as -mtz")
    return None


def text_format(text: str) -> Known | None:
    """The same for text: lists of reflections that other programs write, models, images, pages."""
    for pattern, found in _LINES:
        if re.match(pattern, text):
            return Known(*found)
    head = text[:_HEAD_BYTES]
    if _CNS.search(head):
        return Known("a reflection file of CNS", _CONVERT)
    if _CIF.search(head):
        return SF_CIF if _REFLECTIONS.search(text) else Known("an mmCIF file", _MODEL)
    if _is_shelx(text):
        return Known("a reflection file of SHELX, which ends with 0 0 0", _TAKEN, "shelx")
    return None


def is_free_shelx(text: str) -> bool:
    """Whether it is SHELX's list in free columns: rows of h k l I sigma, with a batch or not, the last one all zeros.

    A list of h k l F with two further columns differs in that last row alone, so that :func:`text_format` lets it pass.
    """
    body = text.rstrip()
    end = body.rfind("\n") + 1
    first = [row for row in body[: min(end, _HEAD_BYTES)].split("\n")[:5] if row]
    alike = bool(first) and all(map(_FREE_ROW.fullmatch, first))
    return alike and _FREE_END.fullmatch(body, end) is not None and _ZERO.search(body, 0, end) is None


def _is_shelx(text: str) -> bool:
    """Fixed columns 3I4, 2F8 that an index of 0 0 0 ends, after which no reflection comes."""
    head = text[:_HEAD_BYTES]
    end = _SHELX_END.search(head)
    rows = [row for row in (head if end is None else head[: end.start()]).split("\n")[:5] if row.strip()]
    if not rows or not all(map(_is_shelx_row, rows)):
        return False
    end = _SHELX_END.search(text)
    return end is not None and not any(map(_is_shelx_row, text[end.end() : end.end() + _HEAD_BYTES].split("\n")))


def _is_shelx_row(row: str) -> bool:
    columns = [row[start : start + 4] for start in (0, 4, 8)]
    numbers = [row[start : start + 8] for start in (12, 20)]
    return all(re.fullmatch(r" *-?\d+", word) for word in columns) and all(
        re.fullmatch(r" *-?\d*\.?\d*", word) and word.strip() for word in numbers
    )
