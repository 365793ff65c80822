"""What a target says by itself, and of an image that is held against it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import kl_div

from ..differentiation.target import Target
from ..errors import UsageError
from ..kernels.gradient.uses import SMALLEST_EXPECTATION
from ..setup.detector import rendered_pixels
from ..setup.panels import stack_shape, stacked
from ..setup.resolve import Resolved

Array = NDArray[np.float64]
Pixels = NDArray[np.bool_]

ROUNDS, FARTHEST = 3, 3.0
"""How often spots are left out of a background, and from how many standard deviations on a pixel is one."""
FORGOTTEN, UNLIKE = 8.0, 4.0
"""Standard deviations from which a pixel is a spot that is not expected, and from which spots are not as expected."""
LOWEST = 6.0
"""Standard deviations of the read-out, by which it brings a pixel below no photons: once in 10⁹ pixels."""


def checked_target(measured: Target | Array, background: str | Array | None, resolved: Resolved) -> Target:
    """A target with the pixels that count in its mask.

    Parameters
    ----------
    measured : Target or float array, shape (slow, fast)
    background : str or float array, shape (n, slow, fast), optional
        Its images, as :func:`.basis_of` knows them or as they are; beside an array alone.
    resolved : Resolved
        Whose pixels they are.

    Raises
    ------
    UsageError
        Another size than the detector's; pixels that count without a number or with less than no photons; no pixel
        that counts.
    """
    shape = stack_shape(resolved.panels)
    if isinstance(measured, Target):
        if background is not None:
            raise UsageError("background: a Target has its own: give it as its basis")
        target = measured
    else:
        target = Target(np.asarray(measured, np.float64))
    for what, image in (("measured", target.measured), ("mask", target.mask), ("fixed", target.fixed)):
        if image is not None and image.shape != shape:
            raise UsageError(f"{what}: has shape {image.shape}, the detector {shape} (slow, fast)")
    counts = stacked([rendered_pixels(plan.detector) for plan in resolved.plans]) != 0
    if target.mask is not None:
        counts = counts & target.mask
    _check_counts(target, counts)
    return replace(target, mask=counts, basis=_basis(target, background, resolved, counts))


def _check_counts(target: Target, counts: Pixels) -> None:
    if not counts.any():
        raise UsageError("mask: no pixel is left to be compared: all are masked or outside the region of interest")
    photons = target.measured[counts]
    unknown = int(np.count_nonzero(~np.isfinite(photons)))
    if unknown:
        raise UsageError(f"measured: {unknown} pixels that count are no finite numbers: mask them")
    if photons.min() < -LOWEST * target.read_noise:
        raise UsageError(
            f"measured: {photons.min():g} in a pixel that counts: photons cannot be below 0 but by read_noise, here "
            f"{target.read_noise:g}; take off the pedestal, give the noise or mask such pixels"
        )
    if not photons.sum() > 0.0:
        raise UsageError("measured: there are no photons in the pixels that count")


def _basis(target: Target, background: str | Array | None, resolved: Resolved, counts: Pixels) -> Array | None:
    if isinstance(background, str):
        from .background import basis_of

        return basis_of(background, resolved, counts)
    basis = target.basis if background is None else np.asarray(background, np.float64)
    if basis is not None and (basis.ndim != 3 or basis.shape[1:] != counts.shape):
        raise UsageError(f"background: has shape {basis.shape}, must be (n, {counts.shape[0]}, {counts.shape[1]})")
    return basis


def under(target: Target, coefficients: Array) -> Array:
    """Photons that are no spot's (slow, fast)."""
    photons = np.zeros(target.measured.shape)
    if target.fixed is not None:
        photons += target.fixed
    if target.basis is not None:
        photons += np.tensordot(coefficients, target.basis, 1)
    return photons


def first_coefficients(target: Target, counts: Pixels) -> Array:
    """Where the background's coefficients start (n,): by least squares without the pixels that stand out of it."""
    if target.basis is None:
        return np.zeros(0)
    images = target.basis[:, counts]
    fixed = 0.0 if target.fixed is None else target.fixed[counts]
    photons = target.measured[counts] - fixed
    kept, found = np.ones(len(photons), bool), np.zeros(len(images))
    for _ in range(ROUNDS):
        rows = images[:, kept]
        found = np.linalg.lstsq(rows @ rows.T, rows @ photons[kept], rcond=None)[0]
        fit = found @ images
        kept = photons - fit <= FARTHEST * np.sqrt(np.maximum(fit + fixed, 0.0) + target.read_noise**2 + 1.0)
    return found


def photons_over(target: Target, counts: Pixels, image: Array, coefficients: Array) -> float:
    """Photons that were measured beside the background, over those of an image; 1 where one of both has none."""
    net = float(np.sum((target.measured - under(target, coefficients))[counts]))
    own = float(np.sum(image[counts]))
    return net / own if net > 0.0 and own > 0.0 else 1.0


def deviance(target: Target, counts: Pixels, image: Array) -> float:
    """2 Σ(µ − y + y ln(y/µ)) of photons that are expected, read-out noise in both."""
    noise = target.read_noise**2
    y, mu = np.maximum(target.measured[counts] + noise, 0.0), image[counts] + noise
    return float(2.0 * np.sum(kl_div(y, np.maximum(mu, SMALLEST_EXPECTATION))))


def is_explained(target: Target, counts: Pixels, spots: Array, image: Array) -> bool:
    """Whether no spot is elsewhere, or of other strength, than it is expected.

    Spots are pixels where they are beyond the noise, expected or measured. Σz² of n Poisson counts is n with a variance
    of Σ(2 + 1/µ).

    Parameters
    ----------
    spots, image : float64 arrays, shape (slow, fast)
        Photons that are expected of the crystal, and of all.
    """
    z = residuals(target, counts, image)
    variance = image + target.read_noise**2
    bright = counts & ((spots > np.sqrt(variance)) | (z > FORGOTTEN))
    number = np.count_nonzero(bright)
    spread = np.sqrt(np.sum(2.0 + 1.0 / variance[bright]))
    return bool(number > 0 and np.sum(z[bright] ** 2) <= number + UNLIKE * spread)


def expected(target: Target, image: Array, coefficients: Array) -> Array:
    """Photons of an image and of what lies under its spots (slow, fast)."""
    return image + under(target, coefficients)


def residuals(target: Target, counts: Pixels, image: Array) -> Array:
    """z = (y − µ)/√(µ + σ²) (slow, fast); NaN where pixels do not count."""
    z = np.full(image.shape, np.nan)
    y, mu = target.measured[counts], image[counts]
    z[counts] = (y - mu) / np.sqrt(np.maximum(mu + target.read_noise**2, np.finfo(float).tiny))
    return z
