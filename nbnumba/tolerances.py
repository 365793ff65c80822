"""How far apart what should be the same may lie: every tolerance once, in words; needs the standard library alone.

They are never loosened to make a test pass: what lies beyond is a difference, to be understood.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .choices import Precision

# Pixels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tolerance:
    """How far a pixel of b may lie from that of a: ``relative``·|pixel| + ``of_max``·max."""

    relative: float = 5e-7
    """Of the pixel of a."""
    of_max: float = 1e-12
    """Of the largest pixel of a."""

    def allowed(self, size: Any, largest: Any) -> Any:
        """What is allowed a pixel of a.

        Parameters
        ----------
        size : float or ndarray
            The pixel's absolute value, or those of many.
        largest : float
            That of the largest pixel of the image.

        Returns
        -------
        float or ndarray
            In the same units.
        """
        return self.relative * size + self.of_max * largest


DOUBLE = Tolerance()
"""Two programs or backends that calculate in float64 and leave float32 behind."""
MIXED = Tolerance(5e-6, 1e-8)
"""Where one of them has precision "mixed"; the second term is for what lies between spots, in the minima of fringes."""
BY_PRECISION: Mapping[Precision, Tolerance] = {"double": DOUBLE, "mixed": MIXED}

SAME_PHYSICS = Tolerance(1e-6, 1e-9)
"""Two descriptions of one experiment, by the same renderer: numbers differ in their last digits from the start."""
OTHER_SUMS = Tolerance(1e-5, 1e-9)
"""The same, where images are added up in float32, or the geometry is turned or scaled before it is calculated."""
DARK = 1e-36
"""Photons of a pixel that may be anything below, in the same: float32 has fewer digits from 1e-38 downwards."""

FLOAT32 = 2e-7
"""One number, rounded to float32 once or twice: relative."""
MIXED_SHARE = 2e-5
"""Precision "mixed" in one φ step of one pixel, of which others hide less than in an image: relative."""

# Whole images ----------------------------------------------------------------------------------------------------

CORRELATION = 0.9999999
"""Two images of one experiment correlate no less. Strong spots hide much: 1 - 6e-7 can be a wrong polarization. What
mixed precision changes is below 1e-10."""
STATISTICS = {"sum": 5e-7, "sum_squares": 1e-6, "max": 5e-7, "nonzero_pixels": 1e-5, "quantiles_50_99_99.9": 1e-6}
"""Of an image that is recorded by its statistics: relative."""

# Taps of traces --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TapTolerance:
    """|Δ| ≤ relative · the largest component, or ≤ absolute."""

    relative: float
    absolute: float


TAP = TapTolerance(1e-9, 1e-12)
"""Intermediate values in float64 of one pixel."""
INDEX = TapTolerance(0.0, 1e-9)
"""Miller indices: what counts is how far the next whole one is."""
LATTICE = TapTolerance(1e-6, 1e-12)
"""Lattice factors, which change with N times the index."""
PHOTONS = TapTolerance(1e-6, 0.0)
"""Intensities of pixels that lattice factors are in."""
SMALL = TapTolerance(1e-9, 0.0)
"""Values in SI whose size says nothing against 1e-12."""
TAPS: Mapping[str, TapTolerance] = {
    **dict.fromkeys(("hkl_frac", "k_frac"), INDEX),
    **dict.fromkeys(("F_latt", "F_latt_a", "F_latt_b", "F_latt_c"), LATTICE),
    **dict.fromkeys(("I_pixel_final", "floatimage_accumulated", "photons"), PHOTONS),
    **dict.fromkeys(
        ("lambda_meters", "r_e_meters", "r_e_sqr", "omega_pixel", "omega_pixel_sr", "I_before_scaling"), SMALL
    ),
}
"""By name; all others are held to :data:`TAP`."""
