"""Point spread: how light, or photons, of one pixel come to lie in others; what leaves the sensor is lost.

A photon is taken to arrive at the centre of its pixel; what reaches another pixel is the integral over that one.
Lengths are in units of the full width at half maximum. With g = FIBRE and r the distance,

- Gaussian: 4 ln2/π · exp(−4 ln2 r²);
- fibre-optic taper: g/(2π) · (g² + r²)^(−3/2), whose tails fall with r³ (Holton, Nielsen & Frankel, J. Synchrotron Rad.
  19, 1006 (2012)); beyond r lies g/√(g² + r²) of the light.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..experiment import PointSpread

Floats = npt.NDArray[np.float64]
Edges = tuple[float, float]
"""Of a pixel along slow and fast, in units of the full width at half maximum."""

FIBRE = 0.5 / np.sqrt(2.0 ** (2.0 / 3.0) - 1.0)
"""g of a fibre-optic taper."""
GAUSS_REACH = 4.2
"""Beyond which less than 1e-20 of a Gaussian lies."""
_BAND_NUMBERS = 1 << 21


def spread(image: npt.NDArray[np.floating], shape: PointSpread, edges: Edges, threads: int | None = None) -> Floats:
    """An image (slow, fast) as the point spread leaves it, 0 outside it.

    Parameters
    ----------
    image : float array, shape (slow, fast)
    shape : {"gauss", "fibre"}
    edges : tuple of 2 floats
        Of a pixel along slow and fast, in units of the full width at half maximum.
    threads : int, optional
        At most so many, by default as many as this machine has cores; they change nothing but the time.

    Returns
    -------
    float64 array of the same shape
    """
    if shape == "gauss":
        return _gaussian(image, edges)
    return _of_fibre(image, edges, threads or os.cpu_count() or 1)


def gauss_fractions(reach: int, edge: float) -> Floats:
    """Fractions of a photon at the centre of pixel 0 that reach the pixels −reach … reach; one dimension."""
    from scipy.special import erf

    borders = (np.arange(-reach, reach + 2) - 0.5) * edge
    return np.asarray(0.5 * np.diff(erf(2.0 * np.sqrt(np.log(2.0)) * borders)))


def _gaussian(image: npt.NDArray[np.floating], edges: Edges) -> Floats:
    """Two passes, along slow and along fast."""
    from scipy.ndimage import convolve1d

    out: Floats = image.astype(np.float64)
    for axis, edge in enumerate(edges):
        reach = min(int(np.ceil(GAUSS_REACH / edge)) + 1, image.shape[axis] - 1)
        out = convolve1d(out, gauss_fractions(reach, edge), axis=axis, mode="constant")
    return out


def fibre_fractions(rows: int, columns: int, edges: Edges) -> Floats:
    """Fractions of a photon at the centre of pixel (0, 0) that reach the pixels (0 … rows − 1, 0 … columns − 1)."""
    y, x = (np.arange(count + 1) - 0.5 for count in (rows, columns))
    y, x = (y * edges[0])[:, np.newaxis], x * edges[1]
    from_center = np.arctan(x * y / (FIBRE * np.sqrt(FIBRE * FIBRE + x * x + y * y)))
    return np.diff(np.diff(from_center, axis=0), axis=1) / (2.0 * np.pi)


@lru_cache(maxsize=2)
def _fibre_transform(rows: int, columns: int, edges: Edges) -> Floats:
    """Fourier transform over 2 rows × 2 columns pixels, a quarter of it: real, and even along both axes."""
    from scipy.fft import dctn

    return np.asarray(dctn(fibre_fractions(rows + 1, columns + 1, edges), type=1, overwrite_x=True))


def _of_fibre(image: npt.NDArray[np.floating], edges: Edges, threads: int) -> Floats:
    """Over all pairs of pixels, by a Fourier transform that is large enough for no light to come in from behind.

    float64: rounding is a fraction of the brightest pixel, and falls on all.
    """
    from scipy import fft

    rows, columns = image.shape
    half_rows, half_columns = (fft.next_fast_len(count, real=True) for count in image.shape)
    kernel = _fibre_transform(half_rows, half_columns, edges)
    lines = np.empty((rows, half_columns + 1), np.complex128)
    for band in _bands(rows, 2 * half_columns):
        lines[band] = fft.rfft(image[band].astype(np.float64), 2 * half_columns, axis=1, workers=threads)
    for band in _bands(half_columns + 1, 4 * half_rows):
        waves = fft.fft(lines[:, band].T, 2 * half_rows, axis=1, workers=threads)
        waves[:, : half_rows + 1] *= kernel[:, band].T
        waves[:, half_rows + 1 :] *= kernel[half_rows - 1 : 0 : -1, band].T
        lines[:, band] = fft.ifft(waves, axis=1, overwrite_x=True, workers=threads)[:, :rows].T
    out = np.empty((rows, columns))
    for band in _bands(rows, 2 * half_columns):
        out[band] = fft.irfft(lines[band], 2 * half_columns, axis=1, workers=threads)[:, :columns]
    # Rounding can leave less than nothing.
    return np.maximum(out, 0.0, out=out)


def _bands(count: int, numbers: int) -> Iterator[slice]:
    """So many lines at once that their numbers stay few."""
    step = max(1, _BAND_NUMBERS // numbers)
    return (slice(first, min(first + step, count)) for first in range(0, count, step))
