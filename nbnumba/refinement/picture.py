"""A refined image to look at: what was measured, what the model makes of it, and what is left."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..formats.files import Path, replacing
from ..formats.images.png import grey_scale

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.bool_]

_DPI = 100
_SMALLEST_PX, _LARGEST_PX = 400, 700
"""Between which the longer edge of a panel lies, but for images that are larger and do not divide so."""
_BESIDE_PX, _ABOVE_PX, _BELOW_PX = 130, 60, 60
_FARTHEST_Z = 5.0


def save_picture(path: Path, data: Array, model: Array, z: Array, counts: Pixels, title: str = "") -> None:
    """Write a PNG of three panels: data and model, on one logarithmic scale, and residuals.

    Parameters
    ----------
    path : path
    data, model : float arrays, shape (slow, fast)
        Photons; of a large image, every block of pixels shows its mean.
    z : float array, shape (slow, fast)
        (data − model)/σ; of a block of n pixels, their sum over √n, whose standard deviation is 1, too, where the model
        is right.
    counts : ndarray of bool, shape (slow, fast)
        Pixels that were compared; others are blank.
    title : str

    Raises
    ------
    ResourceError
        The file cannot be written.
    """
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    block = math.ceil(max(data.shape) / _LARGEST_PX)
    number = _blocks(counts.astype(np.float64), block)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [_blocks(np.where(counts, image, 0.0), block) / number for image in (data, model)]
        left = _blocks(np.where(counts, z, 0.0), block) / np.sqrt(number)
    rows, columns = number.shape
    enlarged = max(1, _SMALLEST_PX // max(rows, columns))
    height, width = rows * enlarged, columns * enlarged
    size = (3 * (width + _BESIDE_PX) / _DPI, (height + _ABOVE_PX + _BELOW_PX) / _DPI)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white", layout="compressed")
    figure.suptitle(title)
    grey = grey_scale(np.concatenate([mean[number > 0].ravel() for mean in means]).astype(np.float32), "log")
    panels = [
        ("data", means[0], "gray_r", grey, "photons per pixel"),
        ("model", means[1], "gray_r", grey, "photons per pixel"),
        ("residual", left, "RdBu_r", Normalize(-_FARTHEST_Z, _FARTHEST_Z, clip=True), "(data − model)/σ"),
    ]
    extent = (0.0, columns * block, rows * block, 0.0)
    for axes, (name, image, colors, norm, label) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.set_facecolor("lightyellow")
        shown = axes.imshow(image, cmap=colors, norm=norm, extent=extent, interpolation="nearest")
        axes.set(title=name, xlabel="fast (pixels)", ylabel="slow (pixels)")
        bar = figure.colorbar(shown, ax=axes, label=label)
        if norm is grey:
            bar.set_ticks(LogLocator(subs=(1.0, 2.0, 5.0)), minor=False)
            bar.minorticks_off()
        bar.formatter = StrMethodFormatter("{x:g}")
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _blocks(image: Array, block: int) -> Array:
    """Sums over squares of so many pixels."""
    if block == 1:
        return image
    rows = np.add.reduceat(image, np.arange(0, image.shape[0], block), axis=0)
    sums: Array = np.add.reduceat(rows, np.arange(0, image.shape[1], block), axis=1)
    return sums
