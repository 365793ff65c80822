"""Detectors by name: how many pixels they have, how large these are, and what lies between modules.

Sizes and gaps are those of the field's own readers, dxtbx (FormatPilatusHelpers, FormatSMVADSC, FormatTIFFRayonix) and
pyFAI; the pixel of the MX340-HS is its maker's. Where these two differ, ADSC's pixels are those of image headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..errors import UsageError

Pair = tuple[int, int]


class Preset(NamedTuple):
    """A detector; pairs are along fast, then slow."""

    fast_pixels: int
    """Of the whole, gaps included."""
    slow_pixels: int
    pixel_mm: float
    module: Pair = (0, 0)
    """Pixels of a module; none: the whole is one."""
    gap: Pair = (0, 0)
    """Pixels from a module to the next, which count nothing."""
    readout: Mapping[str, Any] = {}
    """Fields of a :class:`~nbnumba.experiment.nouns.Readout`."""

    def between_modules(self, fast_pixels: int, slow_pixels: int) -> tuple[list[bool], list[bool]]:
        """Which columns and which rows lie between modules, the first of which begins at the first pixel."""

        def between(axis: int, pixels: int) -> list[bool]:
            module, gap = self.module[axis], self.gap[axis]
            return [gap > 0 and pixel % (module + gap) >= module for pixel in range(pixels)]

        return between(0, fast_pixels), between(1, slow_pixels)


PILATUS: tuple[Pair, Pair] = (487, 195), (7, 17)
EIGER: tuple[Pair, Pair] = (1030, 514), (10, 37)
EIGER2: tuple[Pair, Pair] = (1028, 512), (12, 38)
JUNGFRAU: tuple[Pair, Pair] = (1030, 514), (8, 36)
"""Modules, and gaps between them."""

PRESETS: dict[str, Preset] = {
    "pilatus-100k": Preset(487, 195, 0.172, *PILATUS),
    "pilatus-300k": Preset(487, 619, 0.172, *PILATUS),
    "pilatus-1m": Preset(981, 1043, 0.172, *PILATUS),
    "pilatus-2m": Preset(1475, 1679, 0.172, *PILATUS),
    "pilatus-6m": Preset(2463, 2527, 0.172, *PILATUS),
    "pilatus3-100k": Preset(487, 195, 0.172, *PILATUS),
    "pilatus3-300k": Preset(487, 619, 0.172, *PILATUS),
    "pilatus3-1m": Preset(981, 1043, 0.172, *PILATUS),
    "pilatus3-2m": Preset(1475, 1679, 0.172, *PILATUS),
    "pilatus3-6m": Preset(2463, 2527, 0.172, *PILATUS),
    "eiger-500k": Preset(1030, 514, 0.075, *EIGER),
    "eiger-1m": Preset(1030, 1065, 0.075, *EIGER),
    "eiger-4m": Preset(2070, 2167, 0.075, *EIGER),
    "eiger-9m": Preset(3110, 3269, 0.075, *EIGER),
    "eiger-16m": Preset(4150, 4371, 0.075, *EIGER),
    "eiger2-500k": Preset(1028, 512, 0.075, *EIGER2),
    "eiger2-1m": Preset(1028, 1062, 0.075, *EIGER2),
    "eiger2-4m": Preset(2068, 2162, 0.075, *EIGER2),
    "eiger2-9m": Preset(3108, 3262, 0.075, *EIGER2),
    "eiger2-16m": Preset(4148, 4362, 0.075, *EIGER2),
    "jungfrau-1m": Preset(1030, 1064, 0.075, *JUNGFRAU),
    "jungfrau-4m": Preset(2068, 2164, 0.075, *JUNGFRAU),
    "rayonix-mx340-hs": Preset(7680, 7680, 0.044271),
    "rayonix-mx340-hs-2x2": Preset(3840, 3840, 0.088542),
    "rayonix-mx340-hs-4x4": Preset(1920, 1920, 0.177084),
    "rayonix-mx325": Preset(4096, 4096, 0.079346),
    "rayonix-mx225": Preset(3072, 3072, 0.073242),
    "mar225": Preset(3072, 3072, 0.073242),
    "mar165": Preset(2048, 2048, 0.079),
    "adsc-q315": Preset(6144, 6144, 0.0512),
    "adsc-q315-2x2": Preset(3072, 3072, 0.1024),
    "adsc-q270": Preset(4168, 4168, 0.0648),
    "adsc-q210": Preset(4096, 4096, 0.0512),
    "adsc-q210-2x2": Preset(2048, 2048, 0.1024),
    "adsc-q4": Preset(2304, 2304, 0.0816),
    "adsc-q4-2x2": Preset(1152, 1152, 0.1632),
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
