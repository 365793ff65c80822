"""Which spectrum an experiment has, and the few energies that stand for its photons."""

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..experiment import Beam
from ..formats.spectrum import XRAYS_EV, Spectrum, spectrum_of_columns, unit_of, why_no_spectrum
from ..nanobragg.table import option_of
from .generated_spectra import MOST_SPIKES, pink_spectrum, sase_spectrum

GENERATED_BINS = 100
"""Of a generated spectrum, where nothing is said."""
_KINDS = ("spectrum_file", "spectrum", "pink_ev", "two_colour", "sase_ev")
_RIVALS = ("source_file", "sources", "dispersion_percent", "dispersion_steps")
"""What decides the wavelengths otherwise."""


def has_spectrum(beam: Beam) -> bool:
    """Whether the beam has one of its own, beside what -dispersion or a list of sources gives."""
    # Spelled out: images come by the hundred thousand, and most have none.
    return not (
        beam.spectrum_file is None
        and beam.spectrum is None
        and beam.pink_ev is None
        and beam.two_colour is None
        and beam.sase_ev is None
    )


def check_spectrum(beam: Beam) -> None:
    """Raise a UsageError for spectra side by side, for one that is none, or for what belongs to one and has none."""
    if not has_spectrum(beam):
        if beam.spectrum_bins is not None:
            raise UsageError(
                f"-spectrum_bins {beam.spectrum_bins}: of which spectrum? give -spectrum, or one like -pink"
            )
        if beam.spectrum_number:
            raise UsageError(f"-spectrum_number {beam.spectrum_number}: of which file? give -spectrum")
        return
    given = [name for name in (*_KINDS, *_RIVALS) if getattr(beam, name) not in (None, 0.0)]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(_named(name) for name in given)}: give one of them")
    if beam.spectrum_number and beam.spectrum_file is None:
        raise UsageError(f"-spectrum_number {beam.spectrum_number}: of which file? give -spectrum")
    if beam.spectrum is not None:
        if not beam.spectrum:
            raise UsageError("beam.spectrum is empty: give rows of energy in eV or wavelength in Å, and photons")
        first, weight = np.array(beam.spectrum).T
        wrong = why_no_spectrum(first, weight, unit_of(first))
        if wrong is not None:
            raise UsageError(f"beam.spectrum{'' if wrong[0] is None else f' row {wrong[0]}'}: {wrong[1]}")
    _check_generated(beam)


def _check_generated(beam: Beam) -> None:
    if beam.sase_ev is not None:
        _, fwhm, spike = beam.sase_ev
        if not fwhm / MOST_SPIKES <= spike <= fwhm:
            raise UsageError(
                f"{_words(beam)}: a spike must be as wide as the mean spectrum, or narrower by up to {MOST_SPIKES}: "
                f"from {fwhm / MOST_SPIKES:g} to {fwhm:g} eV"
            )
    if beam.two_colour is not None and not any(beam.two_colour[1::2]):
        raise UsageError(f"{_words(beam)}: the weights sum to 0; at least one must be positive")


def spectrum_of(beam: Beam, listed: Spectrum | None, seed: int) -> Spectrum | None:
    """The energies that stand for a beam's spectrum, as many bins as it asks for; None where it has none.

    Parameters
    ----------
    beam : Beam
        That :func:`check_spectrum` finds right.
    listed : Spectrum, optional
        That of its file.
    seed : int
        By which a spectrum is drawn that is random.

    Raises
    ------
    UsageError
        What is generated has energies of no X-rays.
    """
    if listed is not None:
        return binned(listed, beam.spectrum_bins)
    if beam.spectrum is not None:
        first, weight = np.array(beam.spectrum).T
        unit = unit_of(first)
        origin = f"beam.spectrum, its first column in {unit}"
        return binned(spectrum_of_columns(first, weight, unit, origin), beam.spectrum_bins)
    if not has_spectrum(beam):
        return None
    energy, weight = _generated(beam, seed)
    low, high = XRAYS_EV
    if energy.min() < low or energy.max() > high:
        raise UsageError(
            f"{_words(beam)}: reaches from {energy.min():g} to {energy.max():g} eV; give energies from {low:g} to "
            f"{high:g} eV"
        )
    drawn = f", drawn with seed {seed}" if beam.sase_ev is not None else ""
    made = Spectrum(energy, weight, f"{_words(beam)}{drawn}")
    return binned(made, GENERATED_BINS if beam.spectrum_bins is None else beam.spectrum_bins)


def _generated(beam: Beam, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if beam.pink_ev is not None:
        return pink_spectrum(*beam.pink_ev)
    if beam.sase_ev is not None:
        return sase_spectrum(*beam.sase_ev, seed)
    assert beam.two_colour is not None
    lines = sorted(zip(beam.two_colour[::2], beam.two_colour[1::2], strict=True))
    energy, weight = np.array([line for line in lines if line[1] > 0.0]).T
    return energy, weight


def binned(spectrum: Spectrum, bins: int | None) -> Spectrum:
    """Bins of equal photons, each at the mean energy of its photons, so that the mean of all stays exactly.

    The photons of an energy may fall into several bins. With no more energies than bins, or without a number of bins,
    the spectrum stays as it is.
    """
    if bins is None or bins >= len(spectrum.energy_ev):
        return spectrum
    offset = spectrum.energy_ev - spectrum.mean_ev
    weight = spectrum.weight / spectrum.weight.max()
    photons = np.append(0.0, np.cumsum(weight))
    moment = np.append(0.0, np.cumsum(weight * offset))
    edges = np.linspace(0.0, photons[-1], bins + 1)
    means = np.diff(np.interp(edges, photons, moment)) / (photons[-1] / bins)
    return Spectrum(spectrum.mean_ev + means, np.ones(bins), spectrum.origin)


def _named(field: str) -> str:
    """The option that sets a field of the beam, else its name."""
    return option_of(f"beam.{field}")


def _words(beam: Beam) -> str:
    """A generator as its option is typed."""
    field = next(kind for kind in _KINDS if getattr(beam, kind) is not None)
    return " ".join([_named(field), *(f"{value:g}" for value in getattr(beam, field))])
