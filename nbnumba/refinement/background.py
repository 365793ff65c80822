"""What lies under the spots, as images each of which has a coefficient of its own."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ..errors import InputFileError, UsageError
from ..formats import registry
from ..setup.added import sin_theta_over_lambda
from ..setup.panels import stacked
from ..setup.resolve import Resolved

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.bool_]

NONE = "none"
APART = 0.02
"""Of a radial background's knots, in sin θ/λ, Å⁻¹: the ring of water is off by less than the noise of 10⁴ photons."""
MOST_PARTS = 24
"""Between knots."""
_CUBIC = 3


def basis_of(background: str, resolved: Resolved, counts: Pixels) -> Array | None:
    """The images that a background is made of.

    Parameters
    ----------
    background : str
        A name of :data:`KNOWN`, ``none``, or else an image file.
    resolved : Resolved
        Whose detector it is.
    counts : ndarray of bool, shape (slow, fast)
        Pixels that are compared.

    Returns
    -------
    float64 array, shape (n, slow, fast), or None
        Of photons; those that differ from 0 in some pixel that counts.

    Raises
    ------
    InputFileError
        A file that holds no image of photons of this size.
    UsageError
        An image that is 0 wherever pixels count.
    """
    if background == NONE:
        return None
    make = KNOWN.get(background)
    basis = make(resolved, counts) if make else _of_file(background, counts.shape)[np.newaxis]
    differs = [bool(image[counts].any()) for image in basis]
    if not any(differs):
        raise UsageError(f"-background {background}: is 0 in every pixel that counts; give another, or none")
    return basis if all(differs) else basis[differs]


def _flat(resolved: Resolved, counts: Pixels) -> Array:
    return np.ones((1, *counts.shape))


def _plane(resolved: Resolved, counts: Pixels) -> Array:
    """A constant, and slopes from -1 to 1 along slow and fast."""
    slow, fast = (np.linspace(-1.0, 1.0, size) if size > 1 else np.zeros(1) for size in counts.shape)
    return np.stack([
        np.ones(counts.shape),
        np.broadcast_to(slow[:, np.newaxis], counts.shape),
        np.broadcast_to(fast, counts.shape),
    ])  # fmt: skip


def _radial(resolved: Resolved, counts: Pixels) -> Array:
    """Cubic B-splines in sin θ/λ, whose knots divide what the pixels that count cover into equal parts.

    C. de Boor, A Practical Guide to Splines, 1978.
    """
    from scipy.interpolate import BSpline

    beam, wavelength = resolved.panels[0].beam, resolved.central_angstrom
    at = stacked([sin_theta_over_lambda(plan.detector, beam, wavelength) for plan in resolved.plans])
    least, most = float(at[counts].min()), float(at[counts].max())
    if least == most:
        return _flat(resolved, counts)
    parts = min(math.ceil((most - least) / APART), MOST_PARTS)
    knots = np.concatenate([[least] * _CUBIC, np.linspace(least, most, parts + 1), [most] * _CUBIC])
    number = parts + _CUBIC
    functions = BSpline(knots, np.identity(number), _CUBIC, extrapolate=False)
    splines = np.zeros((number, *counts.shape))
    for row, (inside, radii) in enumerate(zip(counts, at, strict=True)):
        splines[:, row, inside] = functions(radii[inside]).T
    return splines


KNOWN: Mapping[str, Callable[[Resolved, Pixels], Array]] = {"flat": _flat, "plane": _plane, "radial": _radial}
"""Backgrounds by name."""


def _of_file(path: str, shape: tuple[int, ...]) -> Array:
    if not os.path.exists(path):
        raise UsageError(f"-background {path}: is neither {', '.join(KNOWN)} nor {NONE}, and there is no such file")
    image = registry.read(path, (shape[0], shape[1]))
    if image.shape != shape or image.dtype.kind not in "iuf":
        raise InputFileError(f"-background {path} has shape {image.shape} of {image.dtype}; must be {shape} of numbers")
    photons = image.astype(np.float64)
    wrong = np.count_nonzero(~((photons >= 0.0) & np.isfinite(photons)))
    if wrong:
        raise InputFileError(f"-background {path}: {wrong} pixels are no number of photons, 0 or more")
    return photons
