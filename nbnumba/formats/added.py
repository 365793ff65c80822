"""Photons that are added to those of an image: an image of its size, or a radial profile."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError
from . import registry
from .files import MOST_SMALL_BYTES, Path, read_bytes, read_text
from .rows import table

LARGEST = 1e30
"""Photons of a pixel; more leave float32 with what is added to them."""


def read_added_image(path: Path) -> npt.NDArray[np.float32]:
    """The photons of an image, in any format that is read; of float32 without a header one row of all pixels.

    Returns
    -------
    ndarray of float32, shape (slow, fast) or (pixels,)

    Raises
    ------
    InputFileError
        The file cannot be read, or a pixel is no number of photons: names the first one.
    """
    name, content = os.fspath(path), read_bytes(path, "the background image")
    if registry.recognized(name, content) is not None:
        image = registry.read(path)
    elif len(content) % 4 == 0 and content:
        image = np.frombuffer(content, np.float32)
    else:
        raise InputFileError(f"{name}: {len(content)} bytes are no float32 image, nor any other that is known")
    if image.ndim > 2 or image.size == 0 or image.dtype.kind not in "iuf":
        raise InputFileError(f"{name} has shape {image.shape} of {image.dtype}; must be an image of numbers")
    wrong = np.argwhere(~((image >= 0) & (image <= LARGEST)))
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        where = "slow {}, fast {}".format(*at) if len(at) == 2 else f"number {at[0]}"
        raise InputFileError(
            f"{name}: {len(wrong)} pixels are no number of photons, 0 or more; the first, at {where}, is {image[at]:g}"
        )
    return np.ascontiguousarray(image, np.float32)


def read_profile(path: Path) -> npt.NDArray[np.float64]:
    """Two columns, sorted by the first; blank lines, what follows a ``#`` and further columns are ignored.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        sin θ/λ in Å⁻¹ or radius in pixels, and photons per pixel.

    Raises
    ------
    InputFileError
        No rows, a row without two numbers, one that is negative, an abscissa that occurs twice.
    """
    name = os.fspath(path)
    text = read_text(path, "the radial profile", MOST_SMALL_BYTES)
    rows = table(path, text, {"abscissa": 0, "photons": 1}, "sin(theta)/lambda or radius, photons per pixel")
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        raise InputFileError(
            f"{name}: no points; each line must be sin(theta)/lambda or a radius, and photons per pixel"
        )
    wrong = rows[((rows < 0.0) | (rows > LARGEST)).any(axis=1)]
    if len(wrong):
        raise InputFileError(f"{name}: {wrong[0, 1]:g} photons at {wrong[0, 0]:g}: must both be 0 or more")
    twice = rows[1:][np.diff(rows[:, 0]) == 0.0]
    if len(twice):
        raise InputFileError(f"{name}: {twice[0, 0]:g} in the first column was given before; each must occur once")
    return rows
