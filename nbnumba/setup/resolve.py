"""The one door between the user's units and SI: everything is checked here and becomes a Plan for the kernels."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..arrays import HoldsArrays
from ..errors import UsageError
from ..experiment import Experiment, with_right_values
from ..experiment.quirks import Quirks, quirks_of
from ..kernels.plan import DetectorPlan, Plan
from ..structure_factors.provider import Dispersion
from ..structure_factors.table import FactorTable, constant_factors
from .added import added_photons
from .background import background_plan
from .beam import check_polarization
from .blocks import spot_scale
from .checks import check_experiment, warn_of_slips
from .detector import detector_plans, panel_masks, rendered_pixels
from .factors import cell_of, dispersion_in, factor_table, factors_plan, is_interpolated, with_cell_of_factors
from .geometry import Geometry
from .input_checks import check_inputs
from .inputs import Inputs, with_headers
from .labels import Case, labels_met
from .lattice import NO_LATTICE, Lattice
from .lattices import FurtherPlans, OneOfSeveral, check_cells, check_lattices, further_plans, oriented_lattices
from .materials import InBeam, check_materials, materials_in_beam
from .memory import check_memory
from .mosaic import NO_DOMAINS, mosaic_rotations
from .panels import PlacedPanel, check_panels, stack_shape, stacked
from .preset import with_preset
from .reach import edge_resolution, warn_of_blind_spots
from .readout import check_readout, listed_bad_pixels, with_readout
from .sampling import chosen_oversample, recommended_oversample, samples_of_a_pixel
from .scan import PhiSampling, sample_phi
from .sources import Sources
from .standing import Aimed, Lit, Sampled, aim, light, plan_of


@dataclass(frozen=True, eq=False, repr=False)
class Resolved(HoldsArrays):
    """An experiment with nothing left open: what the report tells, and the plan that kernels take."""

    experiment: Experiment
    """With what the headers gave and the seed that is used."""
    panels: tuple[PlacedPanel, ...]
    """Where the detector's panels are: a :class:`~nbnumba.setup.geometry.Geometry` alone where they are not listed."""
    masks: tuple[np.ndarray | None, ...]
    """Of each panel, 0 where a pixel is not measured (slow, fast), by masks and gaps; None: all are. What the beamstop
    hides is measured, and dark."""
    lattice: Lattice
    sources: Sources
    scan: PhiSampling
    wavelength_angstrom: float
    fluence_per_m2: float
    spot_scale: float
    """How many blocks scatter; 0: the image is background alone, and has no further lattices."""
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

    @property
    def has_crystal(self) -> bool:
        """Whether anything but the background scatters."""
        return self.spot_scale > 0.0

    def check_crystal(self, what: str) -> None:
        """Raise a UsageError where nothing but the background scatters: ``what`` is of a crystal."""
        if not self.has_crystal:
            raise UsageError(f"{what} of a crystal, and with -spot_scale 0 there is none in the beam")

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


class _InPlace(NamedTuple):
    """Everything where it stands, checked and in SI, before there are F and samples."""

    given: Experiment
    inputs: Inputs
    quirks: Quirks
    lit: Lit
    masks: tuple[np.ndarray | None, ...]
    """Of each panel: 0 where a pixel is not measured."""
    detectors: tuple[DetectorPlan, ...]
    """What kernels take of each panel."""
    scan: PhiSampling
    lattices: tuple[OneOfSeveral, ...]
    """The crystal's own first."""

    @property
    def experiment(self) -> Experiment:
        """With nothing left open."""
        return self.lit.experiment

    @property
    def aimed(self) -> Aimed:
        """The detector's panels and the wavelength."""
        return self.lit.aimed

    @property
    def is_miss(self) -> bool:
        """Whether the beam misses the crystal."""
        return self.experiment.crystal.spot_scale == 0.0


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
    place = _in_place(experiment, inputs, seed)
    experiment, quirks, aimed, lattice = place.experiment, place.quirks, place.aimed, place.lattices[0].lattice
    sources, photons = place.lit.sources, place.lit.fluence_per_m2
    blocks = spot_scale(experiment.crystal, experiment.beam, lattice)
    between = [is_interpolated(one.experiment, one.lattice, quirks) for one in place.lattices]
    dispersion, table = _factors(place, any(between))
    _check_memory(place, table, any(between))
    factors = [factors_plan(table, is_between, quirks) for is_between in between]
    recommended, sampled = _samples(place)
    materials = materials_in_beam(experiment.background.materials, inputs.materials, experiment.beam)
    # Where no block scatters no domain does, and photons are those of one that has no F.
    background = background_plan(experiment, inputs, materials, sources, photons, quirks, blocks or 1.0)
    plan = plan_of(
        place.lit, place.detectors[0], lattice, blocks or 1.0, place.scan, sampled, factors[0], background, quirks
    )
    check_polarization(plan)
    plans = tuple(plan._replace(detector=detector) for detector in place.detectors)
    further = tuple(
        further_plans(one, place.scan, plans, its_factors, photons, quirks)
        for one, its_factors in zip(place.lattices[1:], factors[1:], strict=True)
        if blocks
    )
    for one in place.lattices if blocks else ():
        warn_of_blind_spots(one.experiment, one.lattice, sources, plans)
    return Resolved(
        experiment=experiment,
        panels=aimed.panels,
        masks=place.masks,
        lattice=lattice,
        sources=sources,
        scan=place.scan,
        wavelength_angstrom=aimed.wavelength_angstrom,
        fluence_per_m2=photons,
        spot_scale=blocks,
        recommended_oversample=recommended,
        steps=sampled.steps,
        dispersion=dispersion,
        table=table,
        plans=plans,
        lattices=further,
        materials=materials,
        added=_added(place),
        bad_pixels=listed_bad_pixels(experiment.readout, inputs, aimed.panels),
        has_found_mask=_has_found_mask(inputs),
        labels=labels_met(Case(place.given, experiment, inputs, aimed.lab, plan)),
    )


def _in_place(given: Experiment, inputs: Inputs, seed: int) -> _InPlace:
    """From the user's units to where the detector, the beam and the crystal are."""
    quirks = quirks_of(given)
    experiment = _checked(given, inputs, quirks, seed)
    aimed, scan = aim(experiment, inputs), sample_phi(experiment.scan)
    check_readout(experiment.readout, experiment.beam, aimed.panels)
    check_inputs(given, experiment, inputs, aimed.lab.beam, aimed.wavelength_angstrom)
    experiment = with_cell_of_factors(experiment, inputs)
    lattices = oriented_lattices(experiment, inputs, given.crystal.cell, aimed.wavelength_angstrom, quirks)
    lit = light(experiment, inputs, aimed, quirks)
    masks = panel_masks(experiment.detector, aimed.panels, inputs)
    detectors = detector_plans(lit.experiment.detector, aimed.panels, masks, quirks)
    return _InPlace(given, inputs, quirks, lit, masks, detectors, scan, lattices)


def _checked(given: Experiment, inputs: Inputs, quirks: Quirks, seed: int) -> Experiment:
    """With what headers and a detector's name give, and a seed; every value looked at by itself."""
    check_panels(given)
    experiment = with_preset(with_headers(given, inputs, quirks))
    check_panels(experiment)
    if experiment.noise.seed is None:
        experiment = with_right_values(experiment, noise=replace(experiment.noise, seed=seed))
    check_experiment(experiment)
    check_lattices(experiment.crystal)
    check_materials(experiment.background.materials)
    warn_of_slips(experiment)
    return with_readout(experiment)


def _factors(place: _InPlace, is_any_between: bool) -> tuple[Dispersion, FactorTable]:
    """F of all that the image meets."""
    inputs, sources = place.inputs, place.lit.sources
    if place.is_miss and (inputs.factors is None or place.lattices[0].lattice is NO_LATTICE):
        return (), constant_factors(0.0)
    check_cells(place.lattices, cell_of(inputs.factors), place.aimed.wavelength_angstrom)
    dispersion = dispersion_in(place.experiment, inputs, sources)
    lattices = [one.lattice for one in place.lattices]
    table = factor_table(
        place.experiment, inputs.factors, place.detectors, sources, dispersion, lattices, is_any_between
    )
    return dispersion, table


def _has_found_mask(inputs: Inputs) -> bool:
    return inputs.found is not None and inputs.found.mask is not None


def _check_memory(place: _InPlace, table: FactorTable, interpolated: bool) -> None:
    is_masked = place.inputs.mask is not None or place.experiment.detector.preset is not None
    orientations = len(place.scan.phi_rad) * sum(one.domains for one in place.lattices)
    check_memory(
        stack_shape(place.aimed.panels), is_masked or _has_found_mask(place.inputs), table.values.shape, orientations,
        len(place.lattices), interpolated,
    )  # fmt: skip


def _samples(place: _InPlace) -> tuple[int, Sampled]:
    """How many sub-pixels along an edge would resolve every fringe, and how finely is looked."""
    own, crystal, aimed = place.lattices[0], place.experiment.crystal, place.aimed
    spectrum = aimed.spectrum
    finest = aimed.wavelength_angstrom if spectrum is None else float(spectrum.wavelength_angstrom.min())
    recommended = max(
        recommended_oversample(one.lattice, finest, panel, place.quirks)
        for one in place.lattices
        for panel in aimed.panels
    )
    given = place.experiment.sampling.oversample
    oversample = chosen_oversample(given, min(recommended, given or recommended) if place.is_miss else recommended)
    # Of a miss as of the crystal: what does not scatter changes nothing of the background.
    steps = samples_of_a_pixel(len(place.lit.sources.weight), len(place.scan.phi_rad), own.domains, oversample)
    domains = NO_DOMAINS if place.is_miss else mosaic_rotations(own.spread_deg, own.domains, crystal.mosaic_seed)
    return recommended, Sampled(oversample, domains, steps)


def _added(place: _InPlace) -> np.ndarray | None:
    """Photons that are added to what is rendered."""
    central = place.lit.sources.central(place.aimed.wavelength_angstrom)
    return added_photons(place.experiment, place.inputs, place.detectors, place.aimed.lab.beam, central)
