"""What a kernel takes: SI numbers and C-contiguous arrays, the same for every backend.

Vectors are tuples of three floats in the laboratory frame, flags are integers, and nothing is optional: an
array that does not apply is empty.
"""

from typing import NamedTuple

import numpy as np

Vector = tuple[float, float, float]


class DetectorPlan(NamedTuple):
    """Pixels in space: those of one panel. Lengths in m."""

    fast_pixels: int
    slow_pixels: int
    pixel: float
    """Edge of a pixel: the square root of its area, where it is no square."""
    fast: Vector
    slow: Vector
    """From a pixel to the next, in units of ``pixel``: unit vectors where pixels are squares. A curved surface and
    ``fbeam``, ``sbeam`` take them to be that."""
    normal: Vector
    """Unit vector across the plane."""
    origin: Vector
    """Outer corner of the first pixel (pix0)."""
    beam: Vector
    distance: float
    close_distance: float
    fbeam: float
    sbeam: float
    surface: int
    """Code of a ``Surface``."""
    handedness: float
    """+1 where fast × slow points along the beam, else −1."""
    point_pixel: int
    layers: int
    layer_step: float
    """Thickness of a sensor layer; 0 without absorption."""
    attenuation: float
    """Linear attenuation coefficient µ in 1/m."""
    roi: tuple[int, int, int, int]
    """First fast, last fast, first slow, last slow pixel, inclusive."""
    mask: np.ndarray
    """uint8 (slow, fast), 0 where a pixel is not rendered; (0, 0) without a mask."""


class SourcesPlan(NamedTuple):
    """Directions of travel (n, 3), wavelengths in m (n,), weights of mean 1 (n,)."""

    incident: np.ndarray
    wavelength: np.ndarray
    weight: np.ndarray
    channel: np.ndarray
    """int64 (n,): which of the tables of structure factors is that of the source's wavelength."""


class CrystalPlan(NamedTuple):
    """Unit cell in the unrotated crystal and all its orientations."""

    a: Vector
    b: Vector
    c: Vector
    """Cell edges in m."""
    a_star: Vector
    b_star: Vector
    c_star: Vector
    """Reciprocal cell edges in Å⁻¹, or what stands for them in the width of Gaussian and top-hat spots."""
    cells: tuple[int, int, int]
    shape: int
    """Code of a ``Shape``."""
    fudge: float
    spindle: Vector
    phi: np.ndarray
    """Spindle angles in radians (n,)."""
    phi_carryover: int
    """1: a φ of exactly 0 keeps the cell of the step before it."""
    domains: np.ndarray
    """Rotations of the mosaic domains (n, 3, 3)."""


class FactorsPlan(NamedTuple):
    """Structure factors F in electrons: ``table[channel, h - first[0], k - first[1], l - first[2]]``."""

    table: np.ndarray
    """float64 (channels, nh, nk, nl): one table for each wavelength at which F is another, else a single one."""
    first: tuple[int, int, int]
    default: float
    interpolate: int
    """0: nearest index; 1: tricubic; 2: tricubic until the first sample outside the table."""


class BackgroundPlan(NamedTuple):
    """Amorphous materials: intensity is ``scale`` · F², F constant or from a table over sin θ/λ."""

    scale: float
    form_factor: float
    table: np.ndarray
    """(3, n): sin θ/λ in 1/m, ascending; F there; and excess: a fraction u of the way from a column to the next, F² is
    the square of the linear F and excess · u(1 − u) besides. That is 0 of a single material, and of the last column not
    used. Empty for a constant F. One array, since each that a plan has costs the inner loops a tenth of their speed."""
    in_sum: int
    """1: added to the sum of samples and scaled with it, as the reference does."""


class Plan(NamedTuple):
    """Everything that a kernel needs."""

    detector: DetectorPlan
    sources: SourcesPlan
    crystal: CrystalPlan
    factors: FactorsPlan
    background: BackgroundPlan
    photons_per_sample: float
    """r_e² · fluence · blocks / steps."""
    oversample: int
    oversample_thick: int
    oversample_polar: int
    oversample_omega: int
    kahn: float
    polarization_axis: Vector
    polarization_correction: int
    dmin: float
    """Samples of higher resolution are skipped; m, 0: none."""
    running_product: int
    """1: oversampled factors multiply the running sum, as in the reference."""
    last_capture: int
    """1: the last layer's capture fraction weights every layer, as in the reference."""
    polar_of_skipped: int
    """1: a pixel of which dmin keeps no sample has the polarization of its first source; 0: it has 0 (reference)."""
    tolerance: float
    """Photons by which samples that are left out may change a pixel; 0: none are that would change a bit."""
