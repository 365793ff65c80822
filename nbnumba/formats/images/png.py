"""The float image as a picture to look at: dark spots on white, beam centre, resolution rings."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import replacing
from ..frame import Frame
from ..registry import Format

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

Ring = tuple[str, NDArray[np.float64]]
Scale = Literal["log", "percentile"]

_DPI = 100
_SMALLEST_PX, _LARGEST_PX = 900, 1400
_LEFT_PX, _RIGHT_PX, _BOTTOM_PX, _TOP_PX = 70, 130, 60, 50
_DECADES = 4.0
_NICE = (1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_RINGS = 4


def save_png(
    path: str | os.PathLike[str] | BinaryIO,
    photons: NDArray[np.float32],
    *,
    beam_center_px: tuple[float, float] | None = None,
    rings: Sequence[Ring] = (),
    scale: Scale = "log",
    title: str = "",
) -> None:
    """Write a PNG: first pixel at the top left, fast to the right, slow downwards.

    Parameters
    ----------
    path : str, path or binary file
    photons : float array, shape (slow, fast)
        A small image is enlarged by a whole factor; of a large one, every block of pixels shows its strongest.
    beam_center_px : tuple of 2 floats, optional
        Fast, slow; the outer corner of the first pixel is (0, 0).
    rings : sequence of (label, curve)
        Curves as :func:`ring_curve` gives them.
    scale : "log" or "percentile"
        Logarithmic grey over up to four decades, or linear; neither is led astray by a few strong peaks.
    title : str

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    block = math.ceil(max(photons.shape) / _LARGEST_PX)
    enlarged = max(1, _SMALLEST_PX // max(photons.shape))
    shown = _block_maxima(photons, block)
    height, width = shown.shape[0] * enlarged, shown.shape[1] * enlarged
    full_height, full_width = height + _BOTTOM_PX + _TOP_PX, width + _LEFT_PX + _RIGHT_PX
    figure = Figure(figsize=(full_width / _DPI, full_height / _DPI), dpi=_DPI, facecolor="white")
    bottom, top = _BOTTOM_PX / full_height, height / full_height
    axes = figure.add_axes((_LEFT_PX / full_width, bottom, width / full_width, top))
    greys = axes.imshow(
        shown,
        cmap="gray_r",
        norm=grey_scale(photons, scale),
        interpolation="nearest",
        extent=(0.0, shown.shape[1] * block, shown.shape[0] * block, 0.0),
    )
    axes.set(title=title, xlabel="fast (pixels)", ylabel="slow (pixels)", autoscale_on=False)
    bar = figure.add_axes(((_LEFT_PX + width + 20) / full_width, bottom, 15 / full_width, top))
    figure.colorbar(greys, cax=bar, label="photons per pixel")
    for label, curve in rings:
        _draw_ring(axes, label, curve, photons.shape)
    if beam_center_px is not None:
        axes.plot(*beam_center_px, "+", color="tab:red", markersize=14, markeredgewidth=1.2)
    with replacing(path) if isinstance(path, (str, os.PathLike)) else nullcontext(path) as file:
        figure.savefig(file, format="png")


def ring_curve(
    d_angstrom: float,
    wavelength_angstrom: float,
    origin: ArrayLike,
    fast: ArrayLike,
    slow: ArrayLike,
    beam: ArrayLike,
    pixel: float,
) -> NDArray[np.float64]:
    """Where the cone of half-angle 2θ about the beam, λ = 2d sin θ, cuts the detector plane.

    Parameters
    ----------
    d_angstrom, wavelength_angstrom : float
    origin : vector
        Outer corner of the first pixel, the sample being at 0.
    fast, slow, beam : vectors
        Unit vectors, ``beam`` in the direction of travel.
    pixel : float
        Its edge, in the unit of the origin.

    Returns
    -------
    float64 array, shape (361, 2)
        Fast, slow in pixels from the outer corner of the first one; NaN where a ray misses the plane.
    """
    sin_theta = wavelength_angstrom / (2.0 * d_angstrom)
    if sin_theta > 1.0:
        return np.full((361, 2), np.nan)
    twotheta = 2.0 * math.asin(sin_theta)
    along = np.asarray(beam, dtype=np.float64)
    across = np.cross(along, np.identity(3)[np.argmin(np.abs(along))])
    across /= np.linalg.norm(across)
    azimuth = np.linspace(0.0, 2.0 * math.pi, 361)[:, np.newaxis]
    around = np.cos(azimuth) * across + np.sin(azimuth) * np.cross(along, across)
    rays = math.cos(twotheta) * along + math.sin(twotheta) * around
    plane = np.array([fast, slow], dtype=np.float64)
    normal = np.cross(plane[0], plane[1])
    with np.errstate(divide="ignore"):
        distance = np.dot(origin, normal) / (rays @ normal)
    distance[~((distance > 0.0) & np.isfinite(distance))] = np.nan
    curve: NDArray[np.float64] = (distance[:, np.newaxis] * rays - origin) @ np.linalg.pinv(plane) / pixel
    return curve


def ring_spacings(d_edge_angstrom: float) -> list[float]:
    """Spacings in Å, largest first, whose rings spread evenly up to the resolution at the detector's edge."""
    return list(dict.fromkeys(_nice_from(d_edge_angstrom * _RINGS / ring) for ring in range(1, _RINGS + 1)))


def _nice_from(value: float) -> float:
    """The smallest round number that is not less than ``value``."""
    exponent = math.floor(math.log10(value))
    candidates = (float(f"{nice}e{exponent}") for nice in _NICE)
    return next(candidate for candidate in candidates if candidate >= value)


def _block_maxima(photons: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    rows = np.maximum.reduceat(photons, np.arange(0, photons.shape[0], block), axis=0)
    maxima: NDArray[np.float32] = np.maximum.reduceat(rows, np.arange(0, photons.shape[1], block), axis=1)
    return maxima


def grey_scale(photons: NDArray[np.float32], scale: Scale) -> Normalize:
    """From white to black, where the values above zero lie; whatever is beyond is white or black."""
    from matplotlib.colors import LogNorm, Normalize

    seen = photons[np.isfinite(photons) & (photons > 0.0)]
    if seen.size == 0:
        return Normalize(0.0, 1.0, clip=True)
    low, middle, high = (float(value) for value in np.percentile(seen, (1.0, 50.0, 99.5)))
    if scale == "percentile":
        return Normalize(low if low < high else 0.0, high, clip=True)
    # Between the spots a simulated image falls to nothing, while on a background the eye wants white paper.
    white = max(middle, high / 10.0**_DECADES)
    return LogNorm(white, max(high, 10.0 * white), clip=True)


def _draw_ring(axes: Axes, label: str, curve: NDArray[np.float64], shape: tuple[int, int]) -> None:
    axes.plot(curve[:, 0], curve[:, 1], color="tab:blue", linewidth=0.8, alpha=0.7)
    position = curve / np.array([shape[1], shape[0]])
    inside = np.all((position > 0.03) & (position < 0.97), axis=1)
    if not inside.any():
        return
    upper_right = np.argmax(np.where(inside, position[:, 0] - position[:, 1], -np.inf))
    axes.annotate(
        label,
        curve[upper_right],
        color="tab:blue",
        fontsize=9,
        ha="center",
        va="center",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def _write(path: str | os.PathLike[str] | BinaryIO, frame: Frame) -> None:
    d, panel, photons = frame.description, frame.description.panels[0], frame.pixels[0]
    axes = (panel.origin_mm, panel.fast, panel.slow, d.beam, panel.pixel_mm)
    spacings = ring_spacings(d.edge_angstrom)
    save_png(
        path,
        photons,
        beam_center_px=(panel.fbeam_mm / panel.pixel_mm, panel.sbeam_mm / panel.pixel_mm),
        rings=[(f"{spacing:g} Å", ring_curve(spacing, d.wavelength_angstrom, *axes)) for spacing in spacings],
        title=f"{d.wavelength_angstrom:.5g} Å, {panel.distance_mm:.5g} mm, brightest pixel {photons.max():.4g} photons",
    )


FORMAT = Format("PNG", (".png",), ("picture",), _write)
