"""The one door between the user's units and SI: everything is checked here and becomes a Plan for the kernels."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import units
from ..arrays import HoldsArrays
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Background, Beam, Crystal, Experiment, with_right_values
from ..kernels.equations.vectors import Vector, cross, dot, length, scaled
from ..kernels.plan import (
    GAUSS,
    ROUND,
    SQUARE,
    TOPHAT,
    BackgroundPlan,
    CrystalPlan,
    DetectorPlan,
    FactorsPlan,
    Plan,
    SourcesPlan,
)
from ..structure_factors.provider import model_factors, model_of
from ..structure_factors.table import EMPTY_TABLE, FactorTable
from .checks import check_experiment, check_memory, warn_of_slips
from .detector import detector_plans, place_panels
from .geometry import Geometry
from .input_checks import check_inputs
from .inputs import Inputs, with_headers
from .lattice import Lattice, axes_of_edges, orient_crystal, warn_of_other_cell
from .mosaic import mosaic_rotations, random_misset
from .panels import PanelGeometry, check_panels, stack_shape, stacked
from .reach import edge_resolution, spacing_with_neighbours, warn_of_blind_spots
from .scan import PhiSampling, sample_phi
from .sources import Sources, beam_sources, listed_sources

if TYPE_CHECKING:
    from ..formats.coordinates import Model

DEFAULT_WAVELENGTH_ANGSTROM = 1.0
WATER_FACTOR = 2.57
"""Forward amplitude of a water molecule in electrons, as the reference has it."""
WATER_MOLAR_MASS = 18.0
MOST_OVERSAMPLE = 1000
ROUNDING = 1e-9
"""So little more than a whole number of sub-pixels is none."""
MOST_SAMPLES = 10**15
"""Of one pixel: a year's work; beyond it an input is mistaken, and counts could overflow."""
SHAPES = {"square": SQUARE, "round": ROUND, "gauss": GAUSS, "tophat": TOPHAT}
STOL_PER_AXIS = {"stol": 1.0, "4stol": 0.25, "Q": 1.0 / (4.0 * math.pi)}


@dataclass(frozen=True, eq=False, repr=False)
class Resolved(HoldsArrays):
    """An experiment with nothing left open: what the report tells, and the plan that kernels take."""

    experiment: Experiment
    """With what the headers gave and the seed that is used."""
    panels: tuple[PanelGeometry, ...]
    """Where the detector's panels are: a :class:`~nbnumba.setup.geometry.Geometry` alone where they are not listed."""
    lattice: Lattice
    sources: Sources
    scan: PhiSampling
    wavelength_angstrom: float
    fluence_per_m2: float
    recommended_oversample: int
    steps: int
    table: FactorTable
    plans: tuple[Plan, ...]
    """One for each panel; all but the detector is the same objects in all."""
    labels: tuple[str, ...]
    """Which differences between the modes this experiment meets (docs/modes.md)."""

    @property
    def plan(self) -> Plan:
        """That of a detector of one panel."""
        if len(self.plans) > 1:
            raise _too_many(len(self.plans))
        return self.plans[0]

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
    def mask(self) -> np.ndarray | None:
        """0 where a pixel of the image is not rendered (slow, fast), other than outside its one panel's region."""
        detectors = [plan.detector for plan in self.plans]
        if len(detectors) == 1:
            return detectors[0].mask if detectors[0].mask.size else None
        return stacked([_rendered(detector) for detector in detectors])

    @property
    def edge_angstrom(self) -> float:
        """Smallest spacing whose scattering meets the detector, of the central wavelength and direction."""
        beam, wavelength = np.array([self.panels[0].beam]), np.array([self.wavelength_angstrom])
        return min(edge_resolution(plan.detector, beam, wavelength) for plan in self.plans)

    @property
    def summary(self) -> str:
        """Size, wavelength and samples."""
        size = f"{self.panels[0].fast_pixels} x {self.panels[0].slow_pixels}"
        if len(self.panels) > 1:
            size = f"{len(self.panels)} panels of {sum(p.fast_pixels * p.slow_pixels for p in self.panels)}"
        return f"{size} pixels, {self.wavelength_angstrom:.5g} Å, {self.steps} samples a pixel"


def _too_many(panels: int) -> UsageError:
    return UsageError(
        f"a list of panels (detector.panels, {panels} here) serves simulate, Image.panels, noise, save_raw and "
        "save_pgm: for all else, place one detector by its distance, beam centre and rotations"
    )


def _rendered(detector: DetectorPlan) -> np.ndarray:
    """1 where a pixel of a panel is rendered, in the region and not masked; (slow, fast)."""
    fast0, fast1, slow0, slow1 = detector.roi
    rendered = np.zeros((detector.slow_pixels, detector.fast_pixels), np.uint8)
    region = (slice(slow0, slow1 + 1), slice(fast0, fast1 + 1))
    rendered[region] = detector.mask[region] if detector.mask.size else 1
    return rendered


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
    check_panels(experiment)
    merged = with_headers(experiment, inputs, experiment.mode)
    if merged.noise.seed is None:
        merged = with_right_values(merged, noise=replace(merged.noise, seed=seed))
    check_experiment(merged)
    warn_of_slips(merged)
    panels = place_panels(merged)
    lab = panels[0]
    scan = sample_phi(merged.scan)
    spread, domain_count = _mosaicity(merged.crystal)
    factors_shape = (0, 0, 0) if inputs.table is None else inputs.table.values.shape
    check_memory(stack_shape(panels), inputs.mask is not None, factors_shape, len(scan.phi_rad) * domain_count)
    wavelength = merged.beam.wavelength_angstrom or DEFAULT_WAVELENGTH_ANGSTROM
    check_inputs(experiment, merged, inputs, lab.beam, wavelength)
    mode_c, sampling = merged.mode == "c", merged.sampling
    coordinates = merged.structure_factors.coordinate_file
    model = None if coordinates is None else model_of(coordinates, merged.crystal.cell)
    merged = _with_cell_of_model(merged, inputs, model)
    misset = _misset(merged)
    matrix = None if inputs.matrix is None else inputs.matrix.elements
    lattice = orient_crystal(merged.crystal, merged.beam, matrix, wavelength, misset, merged.mode)
    sources = _sources(merged, inputs, lab, wavelength)
    detectors = detector_plans(merged.detector, panels, inputs, mode_c)
    # The reference decides before it makes cells of the crystal's size.
    between = _is_interpolated(merged.structure_factors.interpolate, merged.crystal.cells if mode_c else lattice.cells)
    if model is not None:
        by_matrix = inputs.matrix is not None and merged.crystal.cell is None
        warn_of_other_cell(lattice.cell, model.cell, by_matrix, wavelength)
    table = _factor_table(merged, inputs, model, detectors, sources, lattice, between)
    domains = mosaic_rotations(spread, domain_count, merged.crystal.mosaic_seed)
    recommended = max(_recommended_oversample(lattice, wavelength, panel.view, mode_c) for panel in panels)
    oversample = _oversample(merged.sampling.oversample, recommended)
    fluence = _fluence(merged.beam)
    steps = len(sources.weight) * len(scan.phi_rad) * len(domains) * oversample**2
    if steps > MOST_SAMPLES:
        raise UsageError(f"{steps:.3g} samples for each pixel can never be done: give fewer -oversample, φ steps or -N")
    plan = Plan(
        detector=detectors[0],
        sources=SourcesPlan(
            np.ascontiguousarray(sources.incident),
            sources.wavelength_angstrom * units.METRES_PER_ANGSTROM,
            sources.weight,
        ),
        crystal=_crystal_plan(merged, lattice, lab.spindle, scan, domains),
        factors=FactorsPlan(
            table.values,
            table.first,
            float(merged.structure_factors.default_f),
            (2 if mode_c else 1) if between and table.values.size else 0,
        ),
        background=_background_plan(merged.background, inputs, fluence, mode_c),
        photons_per_sample=units.ELECTRON_RADIUS_SQR_M2 * fluence / steps,
        oversample=oversample,
        oversample_thick=int(sampling.oversample_thick),
        oversample_polar=int(sampling.oversample_polar),
        oversample_omega=int(sampling.oversample_omega),
        kahn=float(merged.beam.kahn_factor),
        polarization_axis=lab.polarization,
        polarization_correction=int(merged.beam.polarization_correction),
        dmin=units.metres_from_angstrom(sampling.dmin_angstrom),
        running_product=int(
            mode_c and (sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega)
        ),
        last_capture=int(mode_c),
        polar_of_skipped=int(not mode_c),
    )
    _check_polarization(plan)
    plans = tuple(plan._replace(detector=detector) for detector in detectors)
    warn_of_blind_spots(merged, lattice, sources, plans)
    labels = _labels(experiment, merged, inputs, lab, plan)
    return Resolved(
        merged, panels, lattice, sources, scan, wavelength, fluence, recommended, steps, table, plans, labels
    )


def _with_cell_of_model(experiment: Experiment, inputs: Inputs, model: "Model | None") -> Experiment:
    """The experiment with the cell of its coordinates, where nothing else gives one."""
    crystal = experiment.crystal
    if model is None or crystal.cell is not None or _has_matrix(crystal, inputs):
        return experiment
    return replace(experiment, crystal=replace(crystal, cell=model.cell))


def _has_matrix(crystal: Crystal, inputs: Inputs) -> bool:
    return inputs.matrix is not None or crystal.a_matrix is not None


def _factor_table(
    experiment: Experiment, inputs: Inputs, model: "Model | None", detectors: Sequence[DetectorPlan], sources: Sources,
    lattice: Lattice, between: bool,
) -> FactorTable:  # fmt: skip
    """The table of F: from a list, or calculated from coordinates as far as any sample reaches."""
    factors = experiment.structure_factors
    if model is None:
        if inputs.table is None and factors.default_f == 0.0:
            raise UsageError("no structure factors: give -hkl file, -pdb file, or -default_F for a constant F")
        return inputs.table or EMPTY_TABLE
    dmin = experiment.sampling.dmin_angstrom or min(
        edge_resolution(detector, sources.incident, sources.wavelength_angstrom) for detector in detectors
    )
    if between:
        dmin = spacing_with_neighbours(dmin, lattice)
    return model_factors(model, dmin, factors.solvent, factors.k_sol, factors.b_sol, factors.default_f)


def _misset(experiment: Experiment) -> Vector:
    crystal = experiment.crystal
    if crystal.misset_deg == "random":
        seed = experiment.noise.seed if crystal.misset_seed is None else crystal.misset_seed
        return random_misset(seed or 0, experiment.mode)
    x, y, z = crystal.misset_deg
    return (units.radians_from_degrees(x), units.radians_from_degrees(y), units.radians_from_degrees(z))


def _sources(experiment: Experiment, inputs: Inputs, lab: PanelGeometry, wavelength: float) -> Sources:
    if inputs.sources is not None:
        return listed_sources(inputs.sources, lab.beam, wavelength, weighted=experiment.mode == "spec")
    sources = beam_sources(experiment.beam, lab.beam, lab.polarization, wavelength)
    if sources.wavelength_angstrom.min() <= 0.0:
        raise UsageError(
            f"-dispersion {experiment.beam.dispersion_percent:g} percent reaches wavelengths of 0 or less: give less"
        )
    return sources


def _mosaicity(crystal: Crystal) -> tuple[float, int]:
    """Spread in degrees and number of domains; each needs the other."""
    spread, domains = crystal.mosaic_spread_deg or 0.0, crystal.mosaic_domains
    if spread > 0.0 and domains is None:
        warnings.warn(f"-mosaic {spread:g} without -mosaic_domains: 10 domains", NbnumbaWarning, stacklevel=3)
        return spread, 10
    if crystal.mosaic_spread_deg is None and domains is not None and domains > 1:
        warnings.warn(f"-mosaic_domains {domains} without -mosaic: one domain", NbnumbaWarning, stacklevel=3)
    return (spread, domains or 1) if spread > 0.0 else (0.0, 1)


def _recommended_oversample(lattice: Lattice, wavelength: float, view: tuple[float, float], mode_c: bool) -> int:
    """Sub-pixels that put three samples on a fringe of the crystal's longest edge.

    In mode c operation by operation as in the reference, whose rounding decides where the fringes are a whole number;
    in mode spec rounding, and so the orientation of the crystal, decides nothing.
    """
    edges = (lattice.a, lattice.b, lattice.c)
    longest = max(
        length(scaled(edge, units.METRES_PER_ANGSTROM)) * n for n, edge in zip(lattice.cells, edges, strict=True)
    )
    distance, edge = view
    fringe = units.metres_from_angstrom(wavelength) * distance / edge
    return max(1, math.ceil(3.0 * longest / fringe - (0.0 if mode_c else ROUNDING)))


def _oversample(given: int, recommended: int) -> int:
    if given == 0 and recommended > MOST_OVERSAMPLE:
        raise UsageError(
            f"this crystal's fringes ask for -oversample {recommended}, more than {MOST_OVERSAMPLE}: "
            "give fewer cells (-N), a larger -distance, or the -oversample that you want"
        )
    if 0 < given < recommended:
        warnings.warn(
            f"-oversample {given} is coarse for this crystal: -oversample {recommended} would resolve its fringes",
            NbnumbaWarning,
            stacklevel=3,
        )
    return given or recommended


def _fluence(beam: Beam) -> float:
    """Photons per m²: from the flux where one is given."""
    if beam.flux_per_s != 0.0 and beam.exposure_s > 0.0 and beam.size_mm > 0.0:
        return beam.flux_per_s * beam.exposure_s / units.metres_from_mm(beam.size_mm) ** 2
    if beam.flux_per_s != 0.0:
        warnings.warn(
            f"-flux {beam.flux_per_s:g} is ignored beside an -exposure or a -beamsize of 0: -fluence counts",
            NbnumbaWarning,
            stacklevel=3,
        )
    return beam.fluence_per_m2


def _crystal_plan(
    experiment: Experiment, lattice: Lattice, spindle: Vector, scan: PhiSampling, domains: np.ndarray
) -> CrystalPlan:
    carryover = (experiment.phi_carryover or experiment.mode) == "c"
    width = (lattice.a_star, lattice.b_star, lattice.c_star)
    if experiment.crystal.gauss_width == "edges":
        width = axes_of_edges(lattice.cells)
    return CrystalPlan(
        a=scaled(lattice.a, units.METRES_PER_ANGSTROM),
        b=scaled(lattice.b, units.METRES_PER_ANGSTROM),
        c=scaled(lattice.c, units.METRES_PER_ANGSTROM),
        a_star=width[0],
        b_star=width[1],
        c_star=width[2],
        cells=lattice.cells,
        shape=SHAPES[experiment.crystal.shape],
        fudge=float(experiment.crystal.fudge),
        spindle=spindle,
        phi=scan.phi_rad,
        phi_carryover=int(carryover),
        domains=domains,
    )


def _is_interpolated(given: bool | None, cells: tuple[int, int, int]) -> bool:
    """Whether F between reflections is interpolated: as given, else where an edge has two cells or fewer."""
    return min(cells) <= 2 if given is None else given


def _background_plan(background: Background, inputs: Inputs, fluence: float, mode_c: bool) -> BackgroundPlan:
    """Molecules of water (10⁶ g/m³) times their cross-section; a file's F takes the place of water's in mode spec."""
    edge = units.metres_from_microns(background.water_um)
    molecules = edge * edge * edge * 1e6 * units.AVOGADRO_PER_MOL / WATER_MOLAR_MASS
    stol = factor = np.zeros(0)
    if inputs.amorphous is not None and not mode_c:
        stol = inputs.amorphous[:, 0] * STOL_PER_AXIS[background.amorphous_axis] * units.ANGSTROM_PER_METRE
        factor = np.ascontiguousarray(inputs.amorphous[:, 1])
    return BackgroundPlan(units.ELECTRON_RADIUS_SQR_M2 * fluence * molecules, WATER_FACTOR, stol, factor, int(mode_c))


def _check_polarization(plan: Plan) -> None:
    if not plan.polarization_correction or plan.kahn == 0.0:
        return
    for incident in plan.sources.incident:
        if length(cross(plan.polarization_axis, tuple(incident))) < 1e-9:
            raise UsageError(
                f"-polar {plan.kahn:g}: the polarization axis is parallel to the beam; give a -polar_vector across it"
            )


def _labels(
    given: Experiment, experiment: Experiment, inputs: Inputs, panel: PanelGeometry, plan: Plan
) -> tuple[str, ...]:
    """The differences between the modes that matter for this experiment."""
    detector, sampling = experiment.detector, experiment.sampling
    oversampled = sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega
    weights = None if inputs.sources is None else inputs.sources[:, 3]
    cell = experiment.crystal.cell
    custom = detector.convention == "custom"
    oblique = (
        cell is not None
        and not _has_matrix(experiment.crystal, inputs)
        and sum(angle != 90.0 for angle in cell[3:]) > 1
    )
    headers = inputs.mask is not None or inputs.header is not None
    applies = {
        "C-1": detector.close_x_mm is not None or detector.close_y_mm is not None,
        "C-2": isinstance(panel, Geometry)
        and custom
        and detector.normal_axis is not None
        and length(detector.normal_axis) != 1.0
        and dot(detector.normal_axis, cross(panel.unrotated[0], panel.unrotated[1])) < 0.0,
        "C-4": isinstance(panel, Geometry) and panel.twotheta_rad != 0.0,
        "C-5": custom and detector.origin_mm is not None,
        "C-6": detector.curved,
        "C-7": experiment.crystal.misset_deg == "random",
        "C-8": weights is not None and len(set(np.where(np.isnan(weights), 1.0, weights))) > 1,
        "C-9": len(plan.crystal.phi) > 1 and bool((plan.crystal.phi == 0.0).any()),
        "C-10": plan.factors.interpolate > 0,
        "C-11": oversampled,
        "C-12": experiment.background.water_um > 0.0,
        "C-13": experiment.background.amorphous_file is not None,
        "C-14": headers and with_headers(given, inputs, "spec") != with_headers(given, inputs, "c"),
        "C-15": detector.distance_mm is not None and detector.close_distance_mm is not None,
        "C-18": experiment.structure_factors.hkl_file is not None,
        "C-19": oblique,
        "C-20": plan.detector.layer_step > 0.0,
    }
    return tuple(label for label, is_so in applies.items() if is_so)
