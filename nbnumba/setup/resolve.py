"""The one door between the user's units and SI: everything is checked here and becomes a Plan for the kernels."""

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import units
from ..arrays import HoldsArrays
from ..errors import InputFileError, NbnumbaWarning, UsageError
from ..experiment import Background, Beam, Crystal, Detector, Experiment, with_right_values
from ..kernels.choices import FLAT, MIXED_AXES, SPHERE, Shape
from ..kernels.equations.vectors import Vector, cross, dot, length, scaled
from ..kernels.plan import BackgroundPlan, CrystalPlan, DetectorPlan, FactorsPlan, Plan, SourcesPlan
from ..structure_factors.provider import model_factors, model_of
from ..structure_factors.table import EMPTY_TABLE, FactorTable
from .checks import check_experiment, check_memory, warn_of_slips
from .geometry import Geometry, pixels_within, place_detector
from .input_checks import check_inputs
from .inputs import Inputs, with_headers
from .lattice import Lattice, axes_of_edges, orient_crystal, warn_of_other_cell
from .mosaic import mosaic_rotations, random_misset
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
STOL_PER_AXIS = {"stol": 1.0, "4stol": 0.25, "Q": 1.0 / (4.0 * math.pi)}


@dataclass(frozen=True, eq=False, repr=False)
class Resolved(HoldsArrays):
    """An experiment with nothing left open: what the report tells, and the plan that kernels take."""

    experiment: Experiment
    """With what the headers gave and the seed that is used."""
    geometry: Geometry
    lattice: Lattice
    sources: Sources
    scan: PhiSampling
    wavelength_angstrom: float
    fluence_per_m2: float
    recommended_oversample: int
    steps: int
    table: FactorTable
    plan: Plan
    labels: tuple[str, ...]
    """Which differences between the modes this experiment meets (docs/modes.md)."""

    @property
    def edge_angstrom(self) -> float:
        """Smallest spacing whose scattering meets the detector, of the central wavelength and direction."""
        beam, wavelength = np.array([self.geometry.beam]), np.array([self.wavelength_angstrom])
        return edge_resolution(self.plan.detector, beam, wavelength)

    @property
    def summary(self) -> str:
        """Size, wavelength and samples."""
        size = f"{self.geometry.fast_pixels} x {self.geometry.slow_pixels} pixels"
        return f"{size}, {self.wavelength_angstrom:.5g} Å, {self.steps} samples a pixel"


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
    merged = with_headers(experiment, inputs, experiment.mode)
    if merged.noise.seed is None:
        merged = with_right_values(merged, noise=replace(merged.noise, seed=seed))
    check_experiment(merged)
    warn_of_slips(merged)
    geometry = place_detector(merged)
    scan = sample_phi(merged.scan)
    spread, domain_count = _mosaicity(merged.crystal)
    factors_shape = (0, 0, 0) if inputs.table is None else inputs.table.values.shape
    check_memory(
        geometry.fast_pixels,
        geometry.slow_pixels,
        inputs.mask is not None,
        factors_shape,
        len(scan.phi_rad) * domain_count,
    )
    wavelength = merged.beam.wavelength_angstrom or DEFAULT_WAVELENGTH_ANGSTROM
    check_inputs(experiment, merged, inputs, geometry.beam, wavelength)
    mode_c, sampling = merged.mode == "c", merged.sampling
    coordinates = merged.structure_factors.coordinate_file
    model = None if coordinates is None else model_of(coordinates, merged.crystal.cell)
    merged = _with_cell_of_model(merged, inputs, model)
    misset = _misset(merged)
    matrix = None if inputs.matrix is None else inputs.matrix.elements
    lattice = orient_crystal(merged.crystal, merged.beam, matrix, wavelength, misset, merged.mode)
    sources = _sources(merged, inputs, geometry, wavelength)
    detector = _detector_plan(merged.detector, geometry, inputs, mode_c)
    # The reference decides before it makes cells of the crystal's size.
    between = _is_interpolated(merged.structure_factors.interpolate, merged.crystal.cells if mode_c else lattice.cells)
    if model is not None:
        by_matrix = inputs.matrix is not None and merged.crystal.cell is None
        warn_of_other_cell(lattice.cell, model.cell, by_matrix, wavelength)
    table = _factor_table(merged, inputs, model, detector, sources, lattice, between)
    domains = mosaic_rotations(spread, domain_count, merged.crystal.mosaic_seed)
    recommended = _recommended_oversample(lattice, wavelength, geometry, mode_c)
    oversample = _oversample(merged.sampling.oversample, recommended)
    fluence = _fluence(merged.beam)
    steps = len(sources.weight) * len(scan.phi_rad) * len(domains) * oversample**2
    if steps > MOST_SAMPLES:
        raise UsageError(f"{steps:.3g} samples for each pixel can never be done: give fewer -oversample, φ steps or -N")
    plan = Plan(
        detector=detector,
        sources=SourcesPlan(
            np.ascontiguousarray(sources.incident),
            sources.wavelength_angstrom * units.METRES_PER_ANGSTROM,
            sources.weight,
        ),
        crystal=_crystal_plan(merged, lattice, geometry, scan, domains),
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
        polarization_axis=geometry.polarization,
        polarization_correction=int(merged.beam.polarization_correction),
        dmin=units.metres_from_angstrom(sampling.dmin_angstrom),
        running_product=int(
            mode_c and (sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega)
        ),
        last_capture=int(mode_c),
        polar_of_skipped=int(not mode_c),
    )
    _check_polarization(plan)
    warn_of_blind_spots(merged, lattice, sources, plan)
    labels = _labels(experiment, merged, inputs, geometry, plan)
    return Resolved(
        merged, geometry, lattice, sources, scan, wavelength, fluence, recommended, steps, table, plan, labels
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
    experiment: Experiment, inputs: Inputs, model: "Model | None", detector: DetectorPlan, sources: Sources,
    lattice: Lattice, between: bool,
) -> FactorTable:  # fmt: skip
    """The table of F: from a list, or calculated from coordinates as far as any sample reaches."""
    factors = experiment.structure_factors
    if model is None:
        if inputs.table is None and factors.default_f == 0.0:
            raise UsageError("no structure factors: give -hkl file, -pdb file, or -default_F for a constant F")
        return inputs.table or EMPTY_TABLE
    dmin = experiment.sampling.dmin_angstrom or edge_resolution(detector, sources.incident, sources.wavelength_angstrom)
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


def _sources(experiment: Experiment, inputs: Inputs, geometry: Geometry, wavelength: float) -> Sources:
    if inputs.sources is not None:
        return listed_sources(inputs.sources, geometry.beam, wavelength, weighted=experiment.mode == "spec")
    sources = beam_sources(experiment.beam, geometry.beam, geometry.polarization, wavelength)
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


def _recommended_oversample(lattice: Lattice, wavelength: float, geometry: Geometry, mode_c: bool) -> int:
    """Sub-pixels that put three samples on a fringe of the crystal's longest edge.

    In mode c operation by operation as in the reference, whose rounding decides where the fringes are a whole number;
    in mode spec rounding, and so the orientation of the crystal, decides nothing.
    """
    edges = (lattice.a, lattice.b, lattice.c)
    longest = max(
        length(scaled(edge, units.METRES_PER_ANGSTROM)) * n for n, edge in zip(lattice.cells, edges, strict=True)
    )
    fringe = units.metres_from_angstrom(wavelength) * geometry.distance_m / geometry.pixel_m
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


def _detector_plan(detector: Detector, geometry: Geometry, inputs: Inputs, mode_c: bool) -> DetectorPlan:
    layers, layer_step, attenuation = _sensor(detector, mode_c)
    surface = (MIXED_AXES if mode_c else SPHERE) if detector.curved else FLAT
    deepest = geometry.close_distance_m + (layers - 1) * layer_step
    if surface == FLAT and deepest * geometry.close_distance_m <= 0.0:
        raise UsageError(
            f"-detector_thick {detector.thickness_um:g}: the sensor's layers reach the sample: "
            "reverse -odet_vector, or move the detector away"
        )
    return DetectorPlan(
        fast_pixels=geometry.fast_pixels,
        slow_pixels=geometry.slow_pixels,
        pixel=geometry.pixel_m,
        fast=geometry.fast,
        slow=geometry.slow,
        normal=geometry.normal,
        origin=geometry.origin_m,
        beam=geometry.beam,
        distance=geometry.distance_m,
        close_distance=geometry.close_distance_m,
        fbeam=geometry.fbeam_m,
        sbeam=geometry.sbeam_m,
        surface=int(surface),
        handedness=geometry.handedness,
        point_pixel=int(detector.point_pixel),
        layers=layers,
        layer_step=layer_step,
        attenuation=attenuation,
        roi=_roi(detector.roi, geometry),
        mask=_mask(inputs, geometry, units.metres_from_mm(detector.beamstop_mm)),
    )


def _sensor(detector: Detector, mode_c: bool) -> tuple[int, float, float]:
    """Number of layers, thickness of each in m, and µ in 1/m."""
    thickness = units.metres_from_microns(detector.thickness_um)
    depth = detector.attenuation_depth_um
    if thickness <= 0.0 or (depth is not None and (depth == 0.0 or math.isinf(depth))):
        return 1, 0.0, 0.0
    if depth is None:
        warnings.warn(
            f"-detector_thick {detector.thickness_um:g} without -detector_abs: the 1/e depth is taken to be the same",
            NbnumbaWarning,
            stacklevel=4,
        )
        depth = detector.thickness_um
    attenuation = 1.0 / units.metres_from_microns(depth)
    layers = detector.layers
    if layers is None:
        return 2, thickness / 2.0, attenuation
    if mode_c:
        layers = max(2, layers)
        return layers, thickness / (layers - 1), attenuation
    return layers, thickness / layers, attenuation


def _roi(roi: tuple[int, int, int, int] | None, geometry: Geometry) -> tuple[int, int, int, int]:
    whole = (0, geometry.fast_pixels - 1, 0, geometry.slow_pixels - 1)
    if roi is None:
        return whole
    clipped = (max(roi[0], 0), min(roi[1], whole[1]), max(roi[2], 0), min(roi[3], whole[3]))
    text = " ".join(map(str, roi))
    if clipped[0] > clipped[1] or clipped[2] > clipped[3]:
        raise UsageError(f"-roi {text} lies outside the detector: fast 0 to {whole[1]}, slow 0 to {whole[3]} are there")
    if clipped != tuple(roi):
        warnings.warn(
            f"-roi {text} reaches beyond the detector: clipped to {' '.join(map(str, clipped))}",
            NbnumbaWarning,
            stacklevel=4,
        )
    return clipped


def _mask(inputs: Inputs, geometry: Geometry, beamstop_m: float) -> np.ndarray:
    """0 where a pixel is not rendered: by the mask, or behind the disc of the beamstop."""
    if inputs.mask is None and beamstop_m <= 0.0:
        return np.zeros((0, 0), np.uint8)
    size = (geometry.slow_pixels, geometry.fast_pixels)
    mask = np.ones(size, np.uint8)
    if inputs.mask is not None:
        if inputs.mask.pixels.shape != size:
            there = f"{inputs.mask.pixels.shape[1]} x {inputs.mask.pixels.shape[0]}"
            # One that the experiment holds has no header.
            raise (InputFileError if inputs.mask.header else UsageError)(
                f"{inputs.mask.path}: a mask of {there} pixels (fast x slow) for a detector of {size[1]} x {size[0]}: "
                "give a mask of the detector's size"
            )
        mask[inputs.mask.pixels == 0] = 0
    if beamstop_m > 0.0:
        mask[pixels_within(geometry, beamstop_m)] = 0
    return mask


def _crystal_plan(
    experiment: Experiment, lattice: Lattice, geometry: Geometry, scan: PhiSampling, domains: np.ndarray
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
        shape=int(Shape[experiment.crystal.shape.upper()]),
        fudge=float(experiment.crystal.fudge),
        spindle=geometry.spindle,
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
    given: Experiment, experiment: Experiment, inputs: Inputs, geometry: Geometry, plan: Plan
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
        "C-2": custom
        and detector.normal_axis is not None
        and length(detector.normal_axis) != 1.0
        and dot(detector.normal_axis, cross(geometry.unrotated[0], geometry.unrotated[1])) < 0.0,
        "C-4": geometry.twotheta_rad != 0.0,
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
