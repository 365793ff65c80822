"""SMV images: a text header of KEYWORD=value records, then 16-bit pixels."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...arrays import HoldsArrays
from ...errors import InputFileError, NbnumbaWarning, UsageError
from ..dials import MASKED, check_for_dials
from ..files import Path, read_unpacked, replacing
from ..frame import Description, Frame
from ..recognition import binary_format
from ..registry import Format

HeaderStyle = Literal["c", "dials"]

_BLOCK_BYTES = 512
_LARGEST = 65535
_LONGEST_HEADER_BYTES = 1 << 20
_BYTE_ORDERS = {"little_endian": "<u2", "big_endian": ">u2"}
_TYPES = dict.fromkeys(("unsigned_short", "unsigned_short_int", "uint16"), "u2")
_NO_COMPRESSION = dict.fromkeys(("none", "no"), "")


@dataclass(frozen=True, eq=False, repr=False)
class SmvImage(HoldsArrays):
    """An SMV file as read."""

    path: str
    header: str
    """From ``{`` to ``}``."""
    pixels: npt.NDArray[np.uint16]
    """Shape (slow, fast)."""


@dataclass(frozen=True)
class SmvGeometry:
    """What a header says of the experiment: in mm and degrees what a geometry has in SI."""

    fast_pixels: int
    slow_pixels: int
    pixel_mm: float
    distance_mm: float
    wavelength_angstrom: float
    beam_center_mm: tuple[float, float]
    """In the axes of the detector's convention."""
    fbeam_mm: float
    sbeam_mm: float
    """Beam spot, along the fast and slow axes from the outer corner of the first pixel."""
    slow_size_mm: float
    dials_origin_mm: tuple[float, float, float]
    orgx: float
    orgy: float
    """Point nearest to the sample in pixels; the centre of the first pixel is (1, 1)."""
    close_distance_mm: float
    phi_deg: float
    oscillation_deg: float
    twotheta_deg: float


def smv_geometry(description: Description) -> SmvGeometry:
    """What a header says of the experiment."""
    panel = description.panels[0]
    return SmvGeometry(
        fast_pixels=panel.fast_pixels,
        slow_pixels=panel.slow_pixels,
        pixel_mm=panel.pixel_mm,
        distance_mm=panel.distance_mm,
        wavelength_angstrom=description.wavelength_angstrom,
        beam_center_mm=panel.beam_center_mm,
        fbeam_mm=panel.fbeam_mm,
        sbeam_mm=panel.sbeam_mm,
        slow_size_mm=panel.slow_size_mm,
        dials_origin_mm=panel.dials_origin_mm,
        orgx=panel.orgx,
        orgy=panel.orgy,
        close_distance_mm=panel.close_distance_mm,
        phi_deg=description.phi_deg,
        oscillation_deg=description.oscillation_deg,
        twotheta_deg=panel.twotheta_deg,
    )


def read_smv(path: Path) -> SmvImage:
    """Read header and pixels, of either byte order, gzipped or not.

    Raises
    ------
    InputFileError
        The file cannot be read, is no SMV image of 16-bit pixels, or ends early.
    """
    return smv_image(path, read_unpacked(path, "the SMV image"))


def smv_image(path: Path, content: bytes) -> SmvImage:
    """As :func:`read_smv`, of what was read already; ``path`` is for errors."""
    name = os.fspath(path)
    end = content.find(b"}", 0, _LONGEST_HEADER_BYTES)
    header = content[: end + 1].decode("latin-1")
    if not header.startswith("{") or _setting(header, "HEADER_BYTES") is None:
        found = binary_format(content)
        raise InputFileError(
            f"{name}: is no SMV image, which begins with {{ and has HEADER_BYTES=... before the }}"
            + (f"; it is {found[0]}" if found else "")
        )
    start, fast, slow = (_count(name, header, keyword) for keyword in ("HEADER_BYTES", "SIZE1", "SIZE2"))
    if start <= end:
        raise InputFileError(f"{name}: HEADER_BYTES={start} is less than the header's own text of {end + 1} bytes")
    for keyword in ("TYPE", "DATA_TYPE"):
        _one_of(name, header, keyword, _TYPES, "unsigned_short")
    _one_of(name, header, "COMPRESSION", _NO_COMPRESSION, "none")
    stored = _one_of(name, header, "BYTE_ORDER", _BYTE_ORDERS, "little_endian or big_endian")
    if len(content) < start + 2 * fast * slow:
        raise InputFileError(
            f"{name}: is truncated: {len(content)} bytes where HEADER_BYTES={start} and {fast} x {slow} pixels"
            f" need {start + 2 * fast * slow}"
        )
    pixels = np.frombuffer(content, stored, count=fast * slow, offset=start).reshape(slow, fast).astype(np.uint16)
    return SmvImage(name, header, pixels)


def dtrek_records(header: str) -> list[str]:
    """What a d*TREK header, that of Rigaku, says of detector, beam and scan, record by record; of others nothing."""
    detector = (_text(header, "DETECTOR_NAMES") or "").split()[:1]
    parts = ("SPATIAL_DISTORTION_INFO", "GONIO_NAMES", "GONIO_VALUES")
    keywords = [f"{name}{part}" for name in detector for part in parts]
    keywords += ["SCAN_WAVELENGTH", "SOURCE_WAVELENGTH", "ROTATION", "SCAN_ROTATION"]
    found = {keyword: _text(header, re.escape(keyword)) for keyword in keywords}
    return [f"{keyword}={text:.80}" for keyword, text in found.items() if text is not None]


def header_value(header: str, keyword: str, whole: bool) -> float | None:
    r"""The last number that a header gives for a keyword; None where it gives none.

    Parameters
    ----------
    header : str
        Text from ``{`` to ``}``.
    keyword : str
        Name of a record.
    whole : bool
        Match the whole keyword alone; otherwise also the end of a longer one, as the reference program does:
        CLOSE_DISTANCE then counts as DISTANCE.

    Raises
    ------
    InputFileError
        The record does not begin with a finite number.

    Examples
    --------
    >>> header = "{\nDISTANCE=100;\nCLOSE_DISTANCE=98.5;\n}"
    >>> header_value(header, "DISTANCE", whole=True), header_value(header, "DISTANCE", whole=False)
    (100.0, 98.5)
    """
    text = _text(header, keyword, whole)
    if text is None:
        return None
    try:
        value = float(text.split()[0])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputFileError(f"SMV header: {keyword}={text:.80} must be a number")
    return value


def smv_header(geometry: SmvGeometry, style: HeaderStyle = "c", adc_offset: float = 0.0) -> str:
    """The text of a header, from ``{`` to ``}``, with as many HEADER_BYTES as it needs.

    Parameters
    ----------
    geometry : SmvGeometry
        What the header is to say.
    style : {"c", "dials"}
        As the reference program writes it, byte for byte, or such that dxtbx reads the exact geometry.
    adc_offset : float
        Pixel value of no photons; in style "dials" alone.
    """
    header_bytes = _BLOCK_BYTES
    records = _records(geometry, style, adc_offset)
    while True:
        text = f"{{\nHEADER_BYTES={header_bytes};\n{records}}}"
        if len(text) + len("\f") <= header_bytes:
            return text
        header_bytes += _BLOCK_BYTES


def write_smv(path: Path, header: str, pixels: npt.NDArray[np.uint16]) -> None:
    """Write an SMV image.

    Parameters
    ----------
    path : path
        File to be replaced.
    header : str
        As :func:`smv_header` makes it, for this size.
    pixels : ndarray of uint16, shape (slow, fast)
        Written little-endian.

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    header_bytes = int(header_value(header, "HEADER_BYTES", whole=True) or 0)
    with replacing(path) as file:
        file.write(f"{header}\f".encode("ascii").ljust(header_bytes))
        file.write(np.ascontiguousarray(pixels, "<u2").data)


def _write(path: Path, frame: Frame, header: HeaderStyle) -> None:
    write_smv(path, smv_header(smv_geometry(frame.description), header, frame.adc_offset), frame.pixels[0])


def _fitted(frame: Frame, header: HeaderStyle) -> Frame:
    """Cut to 16 bits, where a detector counts further; and marked for DIALS."""
    pixels = frame.pixels[0]
    if pixels.dtype != np.uint16:
        cut = int(np.count_nonzero(pixels > _LARGEST))
        if cut:
            text = f"SMV holds counts up to {_LARGEST}, to which pixels of more are cut: .nxs, .cbf and .tif hold them"
            warnings.warn(text, NbnumbaWarning, stacklevel=2)
        clipped = np.clip(pixels, 0, _LARGEST).astype(np.uint16)
        frame = replace(frame, pixels=(clipped,), overloads=(frame.overloads or 0) + cut)
    return frame.with_unmeasured(MASKED) if header == "dials" else frame


def _check(path: Path, description: Description, adc_offset: float, header: HeaderStyle) -> None:
    if not description.panels[0].has_one_edge:
        raise UsageError(f"{os.fspath(path)}: SMV has square pixels alone, and these are oblong or oblique")
    if header == "dials":
        check_for_dials(description, adc_offset, path)


FORMAT = Format(
    "SMV",
    (".img",),
    ("scaled", "counted"),
    _write,
    options={"header": get_args(HeaderStyle)},
    fitted=_fitted,
    check=_check,
    recognizes=lambda name, content: content.startswith(b"{") or name.endswith(".gz"),
    read=lambda path, shape: read_smv(path).pixels,
)


def _records(geometry: SmvGeometry, style: HeaderStyle, adc_offset: float) -> str:
    g = geometry
    beam_x, beam_y = g.beam_center_mm
    after_origin, offset, digits = "", "", 6
    if style == "dials":
        # dxtbx adds a pixel to both, and counts y from the other edge; it takes one = in each record, and ; ends one.
        beam_x, beam_y = g.fbeam_mm - g.pixel_mm, (g.slow_pixels + 1) * g.pixel_mm - g.sbeam_mm
        after_origin, offset, digits = ";", f"ADC_OFFSET={adc_offset:.12g};\n", 12

    def n(value: float) -> str:
        return f"{value:.{digits}g}"

    return (
        "DIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
        f"SIZE1={g.fast_pixels};\nSIZE2={g.slow_pixels};\nPIXEL_SIZE={n(g.pixel_mm)};\n"
        f"DISTANCE={n(g.distance_mm)};\nWAVELENGTH={n(g.wavelength_angstrom)};\n"
        f"BEAM_CENTER_X={n(beam_x)};\nBEAM_CENTER_Y={n(beam_y)};\n"
        f"ADXV_CENTER_X={n(g.fbeam_mm)};\nADXV_CENTER_Y={n(g.slow_size_mm - g.sbeam_mm)};\n"
        f"MOSFLM_CENTER_X={n(g.sbeam_mm - 0.5 * g.pixel_mm)};\nMOSFLM_CENTER_Y={n(g.fbeam_mm - 0.5 * g.pixel_mm)};\n"
        f"DENZO_X_BEAM={n(g.sbeam_mm)};\nDENZO_Y_BEAM={n(g.fbeam_mm)};\n"
        f"DIALS_ORIGIN={','.join(map(n, g.dials_origin_mm))}{after_origin}\n"
        f"XDS_ORGX={n(g.orgx)};\nXDS_ORGY={n(g.orgy)};\nCLOSE_DISTANCE={n(g.close_distance_mm)};\n"
        f"PHI={n(g.phi_deg)};\nOSC_START={n(g.phi_deg)};\nOSC_RANGE={n(g.oscillation_deg)};\n"
        f"TWOTHETA={n(g.twotheta_deg)};\n{offset}DETECTOR_SN=000;\nBEAMLINE=fake;\n"
    )


def _text(header: str, keyword: str, whole: bool = True, case: re.RegexFlag = re.NOFLAG) -> str | None:
    before = r"(?<![^\s;{])" if whole else ""
    values = re.findall(rf"{before}{keyword}[ \t]*=([^;\n}}]*)", header, case)
    return values[-1].strip() or None if values else None


def _setting(header: str, keyword: str) -> str | None:
    """The text of a keyword that says how pixels are stored, whose letters some makers write small."""
    return _text(header, keyword, case=re.IGNORECASE)


def _count(name: str, header: str, keyword: str) -> int:
    text = _setting(header, keyword)
    if text is None or not re.fullmatch(r"0*[1-9][0-9]{0,9}", text):
        found = "is missing" if text is None else f"is {text!r:.80}"
        raise InputFileError(f"{name}: {keyword} {found}; the SMV header must give it as a positive whole number")
    return int(text)


def _one_of(name: str, header: str, keyword: str, known: dict[str, str], wanted: str) -> str:
    """What the keyword's text stands for, that of the first of ``known`` where there is none."""
    text = _setting(header, keyword) or next(iter(known))
    meaning = known.get("_".join(text.lower().split()))
    if meaning is None:
        raise InputFileError(f"{name}: {keyword}={text:.80} cannot be read; it must be {wanted}")
    return meaning
