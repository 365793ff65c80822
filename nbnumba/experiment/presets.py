"""Detectors by name: their pixels and what lies between modules, their sensor, and what is known of their read-out.

Sizes and gaps are those of the field's own readers, dxtbx (FormatPilatusHelpers, FormatSMVADSC, FormatTIFFRayonix) and
pyFAI; the pixel of the MX340-HS is its maker's. Where these two differ, ADSC's pixels are those of image headers.
Each detector names the sources of the rest. What no source says stands here for none, such as read noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from math import floor, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import UsageError
from .types import SensorMaterial

Pair = tuple[int, int]


class Preset(NamedTuple):
    """A detector; pairs are along fast, then slow."""

    fast_pixels: int
    """Of the whole, gaps included."""
    slow_pixels: int
    pixel_mm: float
    sensor: SensorMaterial
    thickness_um: float
    readout: Mapping[str, Any]
    """Fields of Readout."""
    sources: tuple[str, ...]
    """Of sensor and read-out, a line each."""
    module: Pair = (0, 0)
    """Pixels of a module; none: the whole is one."""
    gap: Pair = (0, 0)
    """Pixels from a module to the next, which count nothing."""
    middle: int = 0
    """Columns in the middle of a module, between the two pieces of its sensor, which count nothing."""
    is_round: bool = False
    """Whether pixels outside the largest disc in it count nothing."""

    def blind_lines(self, fast_pixels: int, slow_pixels: int) -> tuple[list[bool], list[bool]]:
        """Which columns and which rows count nothing; the first module begins at the first pixel."""

        def blind(axis: int, pixels: int, middle: int) -> list[bool]:
            module, gap = self.module[axis], self.gap[axis]
            first = module // 2 - middle // 2
            places = [pixel % (module + gap or 1) for pixel in range(pixels)]
            return [(gap > 0 and place >= module) or first <= place < first + middle for place in places]

        return blind(0, fast_pixels, self.middle), blind(1, slow_pixels, 0)

    @property
    def blind_share(self) -> float:
        """Of its pixels, those that count nothing, as a fraction of 1."""
        if self.is_round:
            radius = self.fast_pixels / 2
            within = sum(
                2 * floor(sqrt(radius**2 - (row + 0.5 - radius) ** 2) + 0.5) for row in range(self.slow_pixels)
            )
            return 1.0 - within / (self.fast_pixels * self.slow_pixels)
        columns, rows = self.blind_lines(self.fast_pixels, self.slow_pixels)
        return 1.0 - (1.0 - sum(columns) / len(columns)) * (1.0 - sum(rows) / len(rows))


def _readout(**fields: Any) -> Mapping[str, Any]:
    return MappingProxyType(fields)


# Families: what their members share ------------------------------------------------------------------------------

PILATUS = {
    "pixel_mm": 0.172,
    "sensor": "Si",
    "thickness_um": 320.0,
    "module": (487, 195),
    "gap": (7, 17),
    "readout": _readout(kind="counting", bits=20, deadtime_ns=199.1, paralyzable=True, cutoff_per_s=1.4e6),
    "sources": (
        "sensor, bits: PILATUS user manual, version 1.2 (0.32 mm of Si, 20 bits; more than 2e6 counts/s a pixel)",
        "dead time, cut-off: header of a PILATUS 6M of 2013, threshold 6 keV (Tau 199.1 ns, Count_cutoff 1385515 in "
        "0.99 s); both are settings: other beamlines have others",
    ),
}
PILATUS3_CUTOFF = (
    "cut-off: header of a PILATUS3 6M of 2017 with retrigger (Count_cutoff 1009797 in 0.099 s)",
    "dead time: none is assumed, since headers name a table of corrections instead",
)
PILATUS3 = PILATUS | {
    "thickness_um": 450.0,
    "readout": _readout(kind="counting", bits=20, paralyzable=False, cutoff_per_s=1.02e7),
    "sources": ("sensor: pyFAI; 320 and 1000 µm are in use, too", "bits: as PILATUS", *PILATUS3_CUTOFF),
}
PILATUS3_CDTE = PILATUS3 | {
    "sensor": "CdTe",
    "thickness_um": 1000.0,
    "middle": 3,
    "sources": (
        "sensor, columns between its pieces: pyFAI",
        "bits: DECTRIS on the PILATUS3 X CdTe",
        *PILATUS3_CUTOFF,
    ),
}
EIGER = {
    "pixel_mm": 0.075,
    "sensor": "Si",
    "thickness_um": 450.0,
    "module": (1030, 514),
    "gap": (10, 37),
    "readout": _readout(kind="counting", bits=32),
    "sources": (
        "sensor: pyFAI",
        "bits: DECTRIS on the EIGER X (counters of 12 bits, summed to 32)",
        "dead time, cut-off: none is assumed, since no figure was found",
    ),
}
EIGER2_COUNTERS = (
    "bits: EIGER2 user manual (counters of 16 bits), summed to the 32 of its files",
    "non-paralyzable: the same manual",
    "cut-off: header of an EIGER2 CdTe 9M of 2024 (countrate_correction_count_cutoff 83270 in 0.01 s)",
    "dead time: none is assumed, since no figure was found",
)
EIGER2 = EIGER | {
    "module": (1028, 512),
    "gap": (12, 38),
    "readout": _readout(kind="counting", bits=32, paralyzable=False, cutoff_per_s=8.3e6),
    "sources": ("sensor: pyFAI", *EIGER2_COUNTERS),
}
EIGER2_CDTE = EIGER2 | {
    "sensor": "CdTe",
    "thickness_um": 750.0,
    "middle": 2,
    "sources": ("sensor, columns between its pieces: pyFAI", *EIGER2_COUNTERS),
}
JUNGFRAU = {
    "pixel_mm": 0.075,
    "sensor": "Si",
    "thickness_um": 320.0,
    "module": (1030, 514),
    "gap": (8, 36),
    "readout": _readout(kind="switching", bits=14),
    "sources": ("sensor: pyFAI; 450 µm are in use, too", "bits: skopi (14, with three stages of gain)"),
}
PHOSPHOR = "sensor: 40 µm of Gd2O2S (pyFAI), which absorbs 0.98 at 12.4 keV (xraylib), too near its surface for layers"
SPREAD = "point spread: Holton, Nielsen & Frankel, J. Synchrotron Rad. 19, 2012, 1006 (g of 27 µm: FWHM 41.4)"
GAIN = "gain: dxtbx, counts a photon, by its own words within 20 % at best"


def _ccd(pixels: int, pixel_mm: float, *sources: str, is_round: bool = False, **readout: Any) -> Preset:
    """A square CCD behind a phosphor and tapers of fibres."""
    chain = _readout(kind="integrating", bits=16, psf="fibre", psf_fwhm_um=41.4, **readout)
    return Preset(pixels, pixels, pixel_mm, "phosphor", 40.0, chain, (PHOSPHOR, *sources), is_round=is_round)


def _rayonix(pixels: int, pixel_mm: float, gain: float | None, is_round: bool = False) -> Preset:
    spread = f"{SPREAD}, of an ADSC"
    if gain is None:
        return _ccd(pixels, pixel_mm, "gain: no figure was found", spread, is_round=is_round)
    return _ccd(pixels, pixel_mm, GAIN, spread, is_round=is_round, gain=gain)


def _adsc(pixels: int, pixel_mm: float, gain: float) -> Preset:
    offset = "offset: the pedestal that is usual in headers"
    return _ccd(pixels, pixel_mm, GAIN, offset, SPREAD, gain=gain, adc_offset=40.0)


def _members(name: str, family: Mapping[str, Any], sizes: Mapping[str, Pair]) -> dict[str, Preset]:
    """Those of a family, by their sizes in pixels, gaps included."""
    return {f"{name}-{size}": Preset(fast, slow, **family) for size, (fast, slow) in sizes.items()}


PILATUS_SIZES = {"100k": (487, 195), "300k": (487, 619), "1m": (981, 1043), "2m": (1475, 1679), "6m": (2463, 2527)}
CDTE_SIZES = {size: PILATUS_SIZES[size] for size in ("300k", "1m", "2m")}
EIGER_SIZES = {"500k": (1030, 514), "1m": (1030, 1065), "4m": (2070, 2167), "9m": (3110, 3269), "16m": (4150, 4371)}
EIGER2_SIZES = {"500k": (1028, 512), "1m": (1028, 1062), "4m": (2068, 2162), "9m": (3108, 3262), "16m": (4148, 4362)}
JUNGFRAU_SIZES = {"1m": (1030, 1064), "4m": (2068, 2164)}

PRESETS: dict[str, Preset] = {
    **_members("pilatus", PILATUS, PILATUS_SIZES),
    **_members("pilatus3", PILATUS3, PILATUS_SIZES),
    **_members("pilatus3-cdte", PILATUS3_CDTE, CDTE_SIZES),
    **_members("eiger", EIGER, EIGER_SIZES),
    **_members("eiger2", EIGER2, EIGER2_SIZES),
    **_members("eiger2-cdte", EIGER2_CDTE, EIGER2_SIZES),
    **_members("jungfrau", JUNGFRAU, JUNGFRAU_SIZES),
    "rayonix-mx340-hs": _rayonix(7680, 0.044271, None),
    "rayonix-mx340-hs-2x2": _rayonix(3840, 0.088542, None),
    "rayonix-mx340-hs-4x4": _rayonix(1920, 0.177084, None),
    "rayonix-mx325": _rayonix(4096, 0.079346, 1.3),
    "rayonix-mx225": _rayonix(3072, 0.073242, 1.5),
    "rayonix-mx225-1x1": _rayonix(6144, 0.036621, None),
    "mar225": _rayonix(3072, 0.073242, 1.5),
    "mar165": _rayonix(2048, 0.079, 1.0, is_round=True),
    "adsc-q315": _adsc(6144, 0.0512, 2.4),
    "adsc-q315-2x2": _adsc(3072, 0.1024, 2.4),
    "adsc-q270": _adsc(4168, 0.0648, 2.8),
    "adsc-q210": _adsc(4096, 0.0512, 2.4),
    "adsc-q210-2x2": _adsc(2048, 0.1024, 2.4),
    "adsc-q4": _adsc(2304, 0.0816, 1.25),
    "adsc-q4-2x2": _adsc(1152, 0.1632, 1.25),
}
"""Binned readouts end with how many pixels are one; Rayonix's and MAR's others are those that are in use."""


def preset_of(name: str) -> Preset:
    """The detector of a name.

    Raises
    ------
    UsageError
        There is none of this name; it says which names are near.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name.lower(), PRESETS)
    advice = f"did you mean {' or '.join(near)}?" if near else "nbnumba detectors lists all"
    raise UsageError(f"-detector {name}: no such detector is known; {advice}")
