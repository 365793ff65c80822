"""From the file of a measured image to what a model is held against: photons, which of them count, and background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..differentiation.target import Target
from ..errors import InputFileError, UsageError
from ..experiment import Experiment, Readout
from ..formats import registry
from ..formats.counts import Counts, read_counts
from ..setup.detector import rendered_pixels
from ..setup.detector_alone import resolve_detector
from ..setup.panels import stack_shape, stacked
from .background import basis_of
from .target import LOWEST

Pixels = npt.NDArray[np.bool_]

ROBUST_Z = 5.0
"""Residuals beyond so many standard deviations count as if they were that large, where robustness is asked for."""


@dataclass(frozen=True)
class Reading:
    """How the numbers of a file become photons; None: as the experiment's read-out and the file have it."""

    pedestal: float | None = None
    """The number of no photons."""
    gain: float | None = None
    """Numbers per photon."""
    sigma: float | None = None
    """Rms of what the read-out adds, in the file's numbers."""
    mask: str | None = None
    """Image file of which pixels of value 0 do not count."""
    frame: int | None = None
    """Which of an NXmx file, from 1 on."""


@dataclass(frozen=True, eq=False, repr=False)
class Measured(HoldsArrays):
    """A measured image, and what was made of its file."""

    target: Target
    words: str
    """For people."""


def read_target(
    experiment: Experiment,
    path: str,
    background: str = "flat",
    reading: Reading | None = None,
    robust: bool = False,
) -> Measured:
    """A measured image as photons.

    Parameters
    ----------
    experiment : Experiment
        Whose detector measured it: its size, its mask, region and gaps, its read-out.
    path : str
        SMV, CBF, NXmx, TIFF, .npy, or float32 without a header.
    background : str
        "flat", "plane", "radial", "none", or an image file that is added times a coefficient.
    reading : Reading, optional
        What is known of the file's numbers. Whole numbers are counts, other numbers photons.
    robust : bool
        Let pixels that are farther from the model than ``ROBUST_Z`` standard deviations pull no harder than those.

    Returns
    -------
    Measured

    Raises
    ------
    InputFileError
        A file that is no image, one of another size, pixels that are no numbers, negative counts.
    UsageError
        A gain or sigma that cannot be; no pixel is left to be compared.
    """
    given = reading or Reading()
    resolved = resolve_detector(experiment)
    slow, fast = stack_shape(resolved.panels)
    counts = read_counts(path, (slow, fast), given.frame)
    _check_size("-image", path, counts.pixels, (slow, fast))
    compared = stacked([rendered_pixels(plan.detector) for plan in resolved.plans]) != 0
    if given.mask is not None:
        compared &= _of_mask(given.mask, (slow, fast))
    pedestal, gain, sigma = _scale(given, counts, experiment.readout, resolved.experiment.readout)
    good = compared & counts.measured
    if counts.pixels.dtype.kind == "u" and pedestal > 0.0:
        # Far below the number of no photons: gaps and corners, as those of CCDs have it.
        good &= counts.pixels > 0
    photons = (counts.pixels.astype(np.float64) - pedestal) / gain
    noise = sigma / gain
    _check_photons(path, photons, good, noise)
    target = Target(
        measured=np.where(good, photons, 0.0),
        mask=good,
        basis=basis_of(background, resolved, good),
        read_noise=noise,
        robust_z=ROBUST_Z if robust else None,
    )
    made_of = "photons as they are"
    if (pedestal, gain) != (0.0, 1.0):
        made_of = f"numbers less {pedestal:g} (-pedestal) over {gain:g} (-gain)"
    noisy = f", read-out noise of {noise:.4g}" if noise else ""
    count = f"{np.count_nonzero(good)} of {fast} x {slow} pixels compared"
    return Measured(target, f"{made_of}{noisy}, {count}, background {background}")


def _scale(given: Reading, counts: Counts, own: Readout, filled: Readout) -> tuple[float, float, float]:
    """Pedestal, gain and sigma: what is given, what the file says, what the read-out has."""
    for option, value in (("-gain", given.gain), ("-sigma", given.sigma), ("-pedestal", given.pedestal)):
        least = 0.0 if option == "-sigma" else None
        if value is not None and not (math.isfinite(value) and (least is None or value >= least)):
            raise UsageError(f"{option} {value:g}: must be a finite number" + ("" if least is None else ", 0 or more"))
    if given.gain is not None and given.gain <= 0.0:
        raise UsageError(f"-gain {given.gain:g}: must be above 0, in numbers of the file per photon")
    usual = (0.0, 1.0, 0.0)
    if counts.are_integers:
        # CBF is what counters write, which have none, unless the read-out is of another kind.
        is_of_counter = counts.format == "CBF" and filled.kind != "integrating"
        of_kind = 0.0 if is_of_counter else filled.adc_offset or 0.0
        offset = next((one for one in (counts.offset, own.adc_offset) if one is not None), of_kind)
        usual = (offset, filled.gain or 1.0, filled.read_noise or 0.0)
    told = (given.pedestal, given.gain, given.sigma)
    pedestal, gain, sigma = (usual[i] if value is None else value for i, value in enumerate(told))
    return pedestal, gain, sigma


def _check_photons(path: str, photons: npt.NDArray[np.float64], good: Pixels, noise: float) -> None:
    """Raise for what no expectation can be compared with."""
    if not good.any():
        raise UsageError(
            f"-image {path}: no pixel is left to be compared: all are masked, marked by the file or outside -roi"
        )
    compared = photons[good]
    unknown = np.count_nonzero(~np.isfinite(compared))
    if unknown:
        raise InputFileError(
            f"{path}: {unknown} of {compared.size} pixels are no finite numbers (NaN): mask them by -mask"
        )
    below = np.count_nonzero(compared < -LOWEST * noise)
    if below:
        raise InputFileError(
            f"{path}: {below} of {compared.size} pixels have less than no photons, down to {compared.min():.6g}: "
            "give the number of no photons as -pedestal, the rms of the read-out as -sigma, or mask them by -mask"
        )
    if compared.sum() <= 0.0:
        raise InputFileError(f"{path}: there are no photons in the pixels that are compared: correct -pedestal")


def _of_mask(path: str, shape: tuple[int, int]) -> Pixels:
    mask = registry.read(path, shape)
    _check_size("-mask", path, mask, shape)
    if mask.dtype.kind not in "biu":
        raise InputFileError(f"-mask {path}: has pixels of {mask.dtype}; must be whole numbers or truths, 0: masked")
    compared: Pixels = mask != 0
    return compared


def _check_size(option: str, path: str, pixels: npt.NDArray[np.generic], shape: tuple[int, int]) -> None:
    if pixels.shape != shape:
        found = " x ".join(map(str, pixels.shape[::-1]))
        raise InputFileError(f"{option} {path}: has {found} pixels, the detector {shape[1]} x {shape[0]} (fast x slow)")
