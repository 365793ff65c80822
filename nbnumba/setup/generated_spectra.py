"""Spectra that no file gives: a band of X-rays, and the pulses of a free-electron laser, each with its own spikes."""

import math

import numpy as np
from numpy.typing import NDArray

from ..seeds import SPECTRUM, uniform_deviates

Array = NDArray[np.float64]

FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian of standard deviation 1."""
REACH = 2.0
"""How many of its widths a spectrum goes to either side: a Gaussian has 2.5e-6 of its photons beyond."""
POINTS = 4001
POINTS_PER_SPIKE = 10
MOST_SPIKES = 2500
"""Of a pulse, as wide as its mean spectrum."""


def gaussian(energy_ev: Array, peak_ev: float, below_ev: float, above_ev: float) -> Array:
    """A Gaussian of height 1 whose full width at half maximum is another one below its peak than above."""
    width = np.where(energy_ev < peak_ev, below_ev, above_ev)
    return np.asarray(np.exp(-0.5 * (FWHM * (energy_ev - peak_ev) / width) ** 2))


def pink_spectrum(peak_ev: float, below_ev: float, above_ev: float) -> tuple[Array, Array]:
    """Energies and photons of a band around ``peak_ev``, as :func:`gaussian`."""
    energy = np.asarray(np.linspace(peak_ev - REACH * below_ev, peak_ev + REACH * above_ev, POINTS), np.float64)
    return energy, gaussian(energy, peak_ev, below_ev, above_ev)


def sase_spectrum(centre_ev: float, fwhm_ev: float, spike_ev: float, seed: int) -> tuple[Array, Array]:
    """Energies and photons of one pulse of self-amplified spontaneous emission.

    Its amplitude is complex white noise convolved with a Gaussian, such that a spike by itself has a full width at half
    maximum of ``spike_ev``; the intensity, |amplitude|², is chaotic light under an envelope, the spectrum of the mean
    of many pulses, which has ``fwhm_ev``.

    Parameters
    ----------
    centre_ev, fwhm_ev, spike_ev : float
        The spike is the narrower one.
    seed : int
        Decides the pulse.
    """
    step = spike_ev / POINTS_PER_SPIKE
    half = math.ceil(REACH * fwhm_ev / step)
    energy = centre_ev + step * np.arange(-half, half + 1, dtype=np.float64)
    sigma = math.sqrt(2.0) * POINTS_PER_SPIKE / FWHM
    reach = math.ceil(5.0 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    amplitude = np.convolve(complex_noise(seed, len(energy) + 2 * reach), kernel, "valid")
    return energy, np.abs(amplitude) ** 2 * gaussian(energy, centre_ev, fwhm_ev, fwhm_ev)


def complex_noise(seed: int, count: int) -> NDArray[np.complex128]:
    """Complex normal deviates of variance 1 (Box and Muller, Ann. Math. Stat. 29, 1958, 610)."""
    radius, turn = uniform_deviates(seed, SPECTRUM, 2 * count).reshape(2, count)
    return np.asarray(np.sqrt(-np.log1p(-radius)) * np.exp(2j * math.pi * turn))
