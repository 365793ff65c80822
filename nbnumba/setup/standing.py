"""Where detector, beam and crystal stand, and the plan of it: the way from values that are right to what kernels take.

Nothing is checked here by itself and no file is read, so that an experiment whose numbers move a little can go this way
again (:mod:`.again`).
"""

from typing import NamedTuple

import numpy as np

from ..experiment import Experiment, Sampling
from ..experiment.quirks import Quirks
from ..formats.spectrum import Spectrum
from ..kernels.plan import BackgroundPlan, DetectorPlan, FactorsPlan, Plan
from ..units import ELECTRON_RADIUS_SQR_M2, metres_from_angstrom
from .beam import central_wavelength, fluence, sources_of, sources_plan
from .crystal import crystal_plan
from .detector import place_panels
from .inputs import Inputs
from .lattice import Lattice
from .panels import PlacedPanel
from .scan import PhiSampling
from .sensor import with_sensor
from .sources import Sources
from .spectrum import spectrum_of


class Aimed(NamedTuple):
    """Where the detector is that the beam is aimed at, and the beam's wavelength."""

    panels: tuple[PlacedPanel, ...]
    spectrum: Spectrum | None
    wavelength_angstrom: float

    @property
    def lab(self) -> PlacedPanel:
        """What has the axes of the laboratory."""
        return self.panels[0]


class Lit(NamedTuple):
    """All that no crystal decides: detector and beam, in SI."""

    experiment: Experiment
    """With the depth to which photons go into the sensor."""
    aimed: Aimed
    sources: Sources
    fluence_per_m2: float


class Sampled(NamedTuple):
    """How finely pixels and orientations are looked at."""

    oversample: int
    domains: np.ndarray
    """Rotations of the crystal's own mosaic domains, those that scatter."""
    steps: int
    """Samples of a pixel."""


def aim(experiment: Experiment, inputs: Inputs) -> Aimed:
    """From the user's units to where the detector is."""
    spectrum = spectrum_of(experiment.beam, inputs.spectrum, experiment.noise.seed or 0)
    return Aimed(place_panels(experiment), spectrum, central_wavelength(experiment.beam, spectrum))


def light(experiment: Experiment, inputs: Inputs, aimed: Aimed, quirks: Quirks) -> Lit:
    """The photons that come, and how the sensor stops them."""
    sources = sources_of(experiment, inputs, aimed.lab, aimed.wavelength_angstrom, aimed.spectrum, quirks)
    return Lit(with_sensor(experiment, sources.mean_angstrom), aimed, sources, fluence(experiment.beam))


def plan_of(
    lit: Lit,
    detector: DetectorPlan,
    lattice: Lattice,
    blocks: float,
    scan: PhiSampling,
    sampled: Sampled,
    factors: FactorsPlan,
    background: BackgroundPlan,
    quirks: Quirks,
) -> Plan:
    """That of one panel and lattice, of which so many ``blocks`` scatter."""
    experiment, lab = lit.experiment, lit.aimed.lab
    return Plan(
        detector=detector,
        sources=sources_plan(lit.sources, len(factors.table)),
        crystal=crystal_plan(experiment.crystal, lattice, lab.spindle, scan, sampled.domains, quirks),
        factors=factors,
        background=background,
        photons_per_sample=ELECTRON_RADIUS_SQR_M2 * lit.fluence_per_m2 / sampled.steps * blocks,
        oversample=sampled.oversample,
        kahn=float(experiment.beam.kahn_factor),
        polarization_axis=lab.polarization,
        polarization_correction=int(experiment.beam.polarization_correction),
        dmin=metres_from_angstrom(experiment.sampling.dmin_angstrom),
        tolerance=experiment.sampling.tolerance_photons / (1 + len(experiment.crystal.lattices or ())),
        **_which_factors_count_where(experiment.sampling, quirks),
    )


def _which_factors_count_where(sampling: Sampling, quirks: Quirks) -> dict[str, int]:
    """Switches of a plan: which factors a sample has of its own, and what the reference makes of them."""
    any_oversampled = sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega
    return {
        "oversample_thick": int(sampling.oversample_thick),
        "oversample_polar": int(sampling.oversample_polar),
        "oversample_omega": int(sampling.oversample_omega),
        "running_product": int(quirks.factors_multiply_sum and any_oversampled),
        "last_capture": int(quirks.layers_overfill_sensor),
        "polar_of_skipped": int(not quirks.skipped_pixels_unpolarized),
    }
