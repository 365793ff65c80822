"""What the beam brings to an image: its wavelength, its fluence, its sources as kernels take them."""

import warnings

import numpy as np

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, Experiment
from ..experiment.quirks import Quirks
from ..formats.spectrum import Spectrum
from ..kernels.equations.vectors import cross, length
from ..kernels.plan import Plan, SourcesPlan
from ..units import METRES_PER_ANGSTROM, metres_from_mm
from .inputs import Inputs
from .panels import PlacedPanel
from .sources import Sources, beam_sources, listed_sources

DEFAULT_WAVELENGTH_ANGSTROM = 1.0
MEANS_AGREE = 1e-3
"""Relative difference of a wavelength and the mean of a spectrum that its pulses may have."""


def central_wavelength(beam: Beam, spectrum: Spectrum | None = None) -> float:
    """λ in Å that headers and A matrices have: as given, by the mean energy of a spectrum, or by default.

    Warns
    -----
    NbnumbaWarning
        The spectrum has another mean than what is given.
    """
    given = beam.wavelength_angstrom
    if spectrum is None:
        return given or DEFAULT_WAVELENGTH_ANGSTROM
    mean = spectrum.mean_angstrom
    if given is not None and abs(given / mean - 1.0) > MEANS_AGREE:
        warnings.warn(
            f"the wavelength of {given:g} Å (-lambda, -energy or a header) counts for headers and -mat alone: the "
            f"photons have the spectrum of {spectrum.origin}, mean {mean:.6g} Å ({spectrum.mean_ev:.6g} eV)",
            NbnumbaWarning,
            stacklevel=3,
        )
    return given or mean


def fluence(beam: Beam) -> float:
    """Photons per m²: from the flux where one is given."""
    if beam.flux_per_s != 0.0 and beam.exposure_s > 0.0 and beam.size_mm > 0.0:
        return beam.flux_per_s * beam.exposure_s / metres_from_mm(beam.size_mm) ** 2
    if beam.flux_per_s != 0.0:
        warnings.warn(
            f"-flux {beam.flux_per_s:g} is ignored beside an -exposure or a -beamsize of 0: -fluence counts",
            NbnumbaWarning,
            stacklevel=3,
        )
    return beam.fluence_per_m2


def sources_of(
    experiment: Experiment,
    inputs: Inputs,
    lab: PlacedPanel,
    wavelength: float,
    spectrum: Spectrum | None,
    quirks: Quirks,
) -> Sources:
    """The sources of a list, or of the beam's divergence and spectrum."""
    if inputs.sources is not None:
        beam = experiment.beam
        if beam.horizontal_divergence_sigma_mrad is not None or beam.vertical_divergence_sigma_mrad is not None:
            warnings.warn(
                "-hdiv_sigma and -vdiv_sigma change nothing beside a list of sources, which has weights of its own",
                NbnumbaWarning,
                stacklevel=3,
            )
        weighted = not quirks.source_weights_ignored
        return listed_sources(inputs.sources, lab.beam, wavelength, weighted)
    sources = beam_sources(experiment.beam, lab.beam, lab.polarization, wavelength, spectrum)
    if sources.wavelength_angstrom.min() <= 0.0:
        raise UsageError(
            f"-dispersion {experiment.beam.dispersion_percent:g} percent reaches wavelengths of 0 or less: give less"
        )
    return sources


def sources_plan(sources: Sources, channels: int) -> SourcesPlan:
    """The sources as kernels take them; where there are several channels of F, one for each wavelength."""
    incident, wavelength_m = np.ascontiguousarray(sources.incident), sources.wavelength_angstrom * METRES_PER_ANGSTROM
    channel = sources.wavelengths()[1] if channels > 1 else np.zeros(len(wavelength_m), np.int64)
    return SourcesPlan(incident, wavelength_m, sources.weight, channel)


def check_polarization(plan: Plan) -> None:
    """Refuse an E-vector along the beam, where it matters."""
    if not plan.polarization_correction or plan.kahn == 0.0:
        return
    for incident in plan.sources.incident:
        if length(cross(plan.polarization_axis, tuple(incident))) < 1e-9:
            raise UsageError(
                f"-polar {plan.kahn:g}: the polarization axis is parallel to the beam; give a -polar_vector across it"
            )
