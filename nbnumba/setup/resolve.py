"""The one door between the user's units and SI: everything is checked here and becomes a Plan for the kernels."""

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import HoldsArrays
from ..errors import UsageError
from ..experiment import Experiment, Sampling, with_right_values
from ..experiment.quirks import Quirks, quirks_of
from ..kernels.plan import Plan
from ..structure_factors.provider import Dispersion
from ..structure_factors.table import FactorTable
from ..units import ELECTRON_RADIUS_SQR_M2, metres_from_angstrom
from .added import added_photons
from .background import background_plan
from .beam import central_wavelength, check_polarization, fluence, sources_of, sources_plan
from .blocks import spot_scale
from .checks import check_experiment, warn_of_slips
from .crystal import crystal_plan
from .detector import detector_plans, place_panels, rendered_pixels
from .factors import cell_of, dispersion_in, factor_table, factors_plan, is_interpolated, with_cell_of_factors
from .geometry import Geometry
from .input_checks import check_inputs
from .inputs import Inputs, with_headers
from .labels import Case, labels_met
from .lattice import Lattice
from .lattices import FurtherPlans, check_cells, check_lattices, further_plans, oriented_lattices, widest
from .materials import InBeam, check_materials, materials_in_beam
from .memory import check_memory
from .mosaic import mosaic_rotations
from .panels import PlacedPanel, check_panels, stack_shape, stacked
from .preset import with_preset
from .reach import edge_resolution, warn_of_blind_spots
from .readout import check_readout, listed_bad_pixels, with_readout
from .sampling import chosen_oversample, recommended_oversample, samples_of_a_pixel
from .scan import PhiSampling, sample_phi
from .sensor import with_sensor
from .sources import Sources
from .spectrum import spectrum_of


@dataclass(frozen=True, eq=False, repr=False)
class Resolved(HoldsArrays):
    """An experiment with nothing left open: what the report tells, and the plan that kernels take."""

    experiment: Experiment
    """With what the headers gave and the seed that is used."""
    panels: tuple[PlacedPanel, ...]
    """Where the detector's panels are: a :class:`~nbnumba.setup.geometry.Geometry` alone where they are not listed."""
    lattice: Lattice
    sources: Sources
    scan: PhiSampling
    wavelength_angstrom: float
    fluence_per_m2: float
    spot_scale: float
    """How many blocks scatter."""
    recommended_oversample: int
    steps: int
    dispersion: Dispersion
    """Of the elements that scatter anomalously."""
    table: FactorTable
    plans: tuple[Plan, ...]
    """One for each panel; all but the detector is the same objects in all."""
    lattices: tuple[FurtherPlans, ...]
    """Those beside the crystal's own, whose images are added; what is said here of a lattice is said of its own."""
    materials: tuple[InBeam, ...]
    """Those that are listed, as they lie in the beam."""
    added: np.ndarray | None
    """float32 (slow, fast): photons that are added to what is rendered, 0 where nothing is; None: none."""
    bad_pixels: tuple[np.ndarray, ...]
    """Listed ones of each panel: fast, slow and what is wrong (n, 3)."""
    has_found_mask: bool
    """Whether the file that describes the detector says of some pixels that they are not measured."""
    labels: tuple[str, ...]
    """Which differences between the modes this experiment meets (docs/modes.md)."""

    @property
    def central_angstrom(self) -> float:
        """Wavelength of the photons: the mean of a spectrum."""
        return self.sources.central(self.wavelength_angstrom)

    @property
    def plan(self) -> Plan:
        """That of a detector of one panel."""
        if len(self.plans) > 1:
            raise _too_many(len(self.plans))
        return self.plans[0]

    def check_single_lattice(self, what: str) -> None:
        """Raise a UsageError where there are several: ``what`` is of one."""
        if self.lattices:
            raise UsageError(f"{what} of one lattice, and here are {1 + len(self.lattices)}: leave out -lattice")

    def check_placed(self) -> None:
        """Raise a UsageError where panels are listed."""
        if not isinstance(self.panels[0], Geometry):
            raise _too_many(len(self.panels))

    @property
    def geometry(self) -> Geometry:
        """Where a detector stands whose panels are not listed."""
        geometry = self.panels[0]
        if not isinstance(geometry, Geometry):
            raise _too_many(len(self.panels))
        return geometry

    @property
    def roi(self) -> tuple[int, int, int, int]:
        """First and last fast, first and last slow pixel of the image that are looked at, all inclusive."""
        if len(self.plans) == 1:
            return self.plans[0].detector.roi
        rows, columns = stack_shape(self.panels)
        return (0, columns - 1, 0, rows - 1)

    @property
    def pixels(self) -> int:
        """How many there are in the regions of all panels."""
        rois = (plan.detector.roi for plan in self.plans)
        return sum((fast1 - fast0 + 1) * (slow1 - slow0 + 1) for fast0, fast1, slow0, slow1 in rois)

    @property
    def mask(self) -> np.ndarray | None:
        """0 where a pixel of the image is not rendered (slow, fast), other than outside its one panel's region."""
        detectors = [plan.detector for plan in self.plans]
        if len(detectors) == 1:
            return detectors[0].mask if detectors[0].mask.size else None
        return stacked([rendered_pixels(detector) for detector in detectors])

    @property
    def edge_angstrom(self) -> float:
        """Smallest spacing whose scattering meets the detector, of the central wavelength and direction."""
        central = self.central_angstrom
        beam = np.array([self.panels[0].beam])
        return min(edge_resolution(plan.detector, beam, np.array([central])) for plan in self.plans)

    @property
    def summary(self) -> str:
        """Size, wavelength and samples."""
        size = f"{self.panels[0].fast_pixels} x {self.panels[0].slow_pixels}"
        if len(self.panels) > 1:
            size = f"{len(self.panels)} panels of {sum(p.fast_pixels * p.slow_pixels for p in self.panels)}"
        return f"{size} pixels, {self.wavelength_angstrom:.5g} Å, {self.steps} samples a pixel"


def _too_many(panels: int) -> UsageError:
    return UsageError(
        "traces, and a geometry by itself, are of a detector that its distance, beam centre and rotations place, "
        f"not of a list of panels (detector.panels, {panels} here)"
    )


def _checked(given: Experiment, inputs: Inputs, quirks: Quirks, seed: int) -> Experiment:
    """With what headers and a detector's name give, and a seed; every value looked at by itself."""
    check_panels(given)
    experiment = with_readout(with_preset(with_headers(given, inputs, quirks)))
    check_panels(experiment)
    if experiment.noise.seed is None:
        experiment = with_right_values(experiment, noise=replace(experiment.noise, seed=seed))
    check_experiment(experiment)
    check_lattices(experiment.crystal)
    check_materials(experiment.background.materials)
    warn_of_slips(experiment)
    return experiment


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


def resolve(experiment: Experiment, inputs: Inputs, seed: int = 1) -> Resolved:
    """Check an experiment and turn it into SI.

    Parameters
    ----------
    experiment : Experiment
    inputs : Inputs
        The contents of its files.
    seed : int
        Taken where the experiment gives none.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        Whatever is wrong with the experiment. Past this function only a run can fail: for its own options (backend,
        threads, a card, files), for photons that float32 cannot hold, for the machine.
    """
    given, quirks = experiment, quirks_of(experiment)
    experiment = _checked(given, inputs, quirks, seed)
    panels, scan = place_panels(experiment), sample_phi(experiment.scan)
    check_readout(experiment.readout, experiment.beam, panels)
    found = inputs.found is not None and inputs.found.mask is not None
    masked = inputs.mask is not None or experiment.detector.preset is not None or found
    spectrum = spectrum_of(experiment.beam, inputs.spectrum, experiment.noise.seed or 0)
    wavelength, lab = central_wavelength(experiment.beam, spectrum), panels[0]
    check_inputs(given, experiment, inputs, lab.beam, wavelength)

    experiment = with_cell_of_factors(experiment, inputs)
    beam, crystal, sampling = experiment.beam, experiment.crystal, experiment.sampling
    several = oriented_lattices(experiment, inputs, given.crystal.cell, wavelength, quirks)
    lattices = [one.lattice for one in several]
    lattice = lattices[0]
    sources = sources_of(experiment, inputs, lab, wavelength, spectrum, quirks)
    experiment = with_sensor(experiment, sources.mean_angstrom)
    detectors = detector_plans(experiment.detector, panels, inputs, quirks)
    between = [is_interpolated(one.experiment, one.lattice, quirks) for one in several]
    check_cells(several, cell_of(inputs.factors), wavelength)
    dispersion = dispersion_in(experiment, inputs, sources)
    table = factor_table(experiment, inputs.factors, detectors, sources, dispersion, widest(lattices), any(between))
    orientations = len(scan.phi_rad) * sum(one.domains for one in several)
    check_memory(stack_shape(panels), masked, table.values.shape, orientations, len(several))
    domains = mosaic_rotations(several[0].spread_deg, several[0].domains, crystal.mosaic_seed)
    finest = wavelength if spectrum is None else float(spectrum.wavelength_angstrom.min())
    recommended = max(recommended_oversample(one, finest, panel, quirks) for one in lattices for panel in panels)
    oversample = chosen_oversample(sampling.oversample, recommended)
    photons, blocks = fluence(beam), spot_scale(crystal, beam, lattice)
    materials = materials_in_beam(experiment.background.materials, inputs.materials, beam)
    steps = samples_of_a_pixel(len(sources.weight), len(scan.phi_rad), len(domains), oversample)
    plan = Plan(
        detector=detectors[0],
        sources=sources_plan(sources, len(table.values)),
        crystal=crystal_plan(crystal, lattice, lab.spindle, scan, domains, quirks),
        factors=factors_plan(table, between[0], quirks),
        background=background_plan(experiment, inputs, materials, sources, photons, quirks, blocks),
        photons_per_sample=ELECTRON_RADIUS_SQR_M2 * photons / steps * blocks,
        oversample=oversample,
        kahn=float(beam.kahn_factor),
        polarization_axis=lab.polarization,
        polarization_correction=int(beam.polarization_correction),
        dmin=metres_from_angstrom(sampling.dmin_angstrom),
        **_which_factors_count_where(sampling, quirks),
    )
    check_polarization(plan)
    plans = tuple(plan._replace(detector=detector) for detector in detectors)
    further = tuple(
        further_plans(one, scan, plans, factors_plan(table, is_between, quirks), photons, quirks)
        for one, is_between in zip(several[1:], between[1:], strict=True)
    )
    for one in several:
        warn_of_blind_spots(one.experiment, one.lattice, sources, plans)
    added = added_photons(experiment, inputs, detectors, lab.beam, sources.central(wavelength))
    labels = labels_met(Case(given, experiment, inputs, lab, plan))
    return Resolved(
        experiment, panels, lattice, sources, scan, wavelength, photons, blocks, recommended, steps, dispersion,
        table, plans, further, materials, added, listed_bad_pixels(experiment.readout, inputs, panels), found, labels,
    )  # fmt: skip
