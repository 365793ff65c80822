"""How finely an image is sampled: sub-pixels, and samples of a pixel in all."""

import math
import warnings

from ..errors import NbnumbaWarning, UsageError
from ..experiment.quirks import Quirks
from ..kernels.equations.vectors import length, scaled
from ..units import METRES_PER_ANGSTROM, metres_from_angstrom
from .lattice import Lattice
from .panels import PlacedPanel

MOST_OVERSAMPLE = 1000
ROUNDING = 1e-9
"""So little more than a whole number of sub-pixels is none."""
MOST_SAMPLES = 10**15
"""Of one pixel: a year's work; beyond it an input is mistaken, and counts could overflow."""


def recommended_oversample(lattice: Lattice, wavelength: float, panel: PlacedPanel, quirks: Quirks) -> int:
    """Sub-pixels that put three samples on a fringe of the crystal's longest edge.

    Operation by operation as in the reference, where its rounding decides if the fringes are a whole number;
    else rounding, and so the orientation of the crystal, decides nothing.
    """
    edges = (lattice.a, lattice.b, lattice.c)
    longest = max(length(scaled(edge, METRES_PER_ANGSTROM)) * n for n, edge in zip(lattice.cells, edges, strict=True))
    distance, edge = panel.view
    fringe = metres_from_angstrom(wavelength) * distance / edge
    return max(1, math.ceil(3.0 * longest / fringe - (0.0 if quirks.rounding_adds_subpixel else ROUNDING)))


def chosen_oversample(given: int, recommended: int) -> int:
    """Sub-pixels along each edge of a pixel: as given, or as recommended."""
    if given == 0 and recommended > MOST_OVERSAMPLE:
        raise UsageError(
            f"this crystal's fringes ask for -oversample {recommended}, more than {MOST_OVERSAMPLE}: "
            "give fewer cells (-N), a larger -distance, or the -oversample that you want"
        )
    if 0 < given < recommended:
        warnings.warn(
            f"-oversample {given} is coarse for this crystal: -oversample {recommended} would resolve its fringes",
            NbnumbaWarning,
            stacklevel=3,
        )
    return given or recommended


def samples_of_a_pixel(sources: int, phi_steps: int, domains: int, oversample: int) -> int:
    """Among which a pixel's photons are shared; a sensor's layers do not count."""
    samples = sources * phi_steps * domains * oversample**2
    if samples > MOST_SAMPLES:
        raise UsageError(
            f"{samples:.3g} samples for each pixel can never be done: give fewer -oversample, φ steps or -N"
        )
    return samples
