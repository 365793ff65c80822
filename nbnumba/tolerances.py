"""How far apart what should be the same may lie: every tolerance, once, in words; needs the standard library alone."""

from collections.abc import Mapping
from dataclasses import dataclass

from .choices import Precision


@dataclass(frozen=True)
class Tolerance:
    """How far a pixel of b may lie from that of a: ``relative``·|pixel| + ``of_max``·max."""

    relative: float = 5e-7
    """Of the pixel of a."""
    of_max: float = 1e-12
    """Of the largest pixel of a."""


DOUBLE = Tolerance()
"""Two programs or backends that calculate in float64 and leave float32."""
MIXED = Tolerance(5e-6, 1e-8)
"""Where one of them has precision "mixed": the minima of fringes suffer most, the pixels in which they are less."""
BY_PRECISION: Mapping[Precision, Tolerance] = {"double": DOUBLE, "mixed": MIXED}
