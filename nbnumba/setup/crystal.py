"""The crystal as kernels take it: which cell, which way it lies, how far it reaches."""

import numpy as np

from ..experiment import Crystal, Experiment
from ..experiment.quirks import Quirks
from ..kernels.choices import Shape
from ..kernels.equations.vectors import Vector, scaled
from ..kernels.plan import CrystalPlan
from ..units import METRES_PER_ANGSTROM, radians_from_degrees
from .inputs import Inputs
from .lattice import NO_LATTICE, Lattice, axes_of_edges, orient_crystal
from .mosaic import random_misset
from .scan import PhiSampling


def shape_of(crystal: Crystal) -> Shape:
    """Its code, which has the same name."""
    return Shape[crystal.shape.upper()]


def has_matrix(crystal: Crystal, inputs: Inputs) -> bool:
    """Whether a matrix says where the crystal's axes lie."""
    return inputs.matrix is not None or crystal.a_matrix is not None


def oriented_lattice(experiment: Experiment, inputs: Inputs, wavelength: float, quirks: Quirks) -> Lattice:
    """The unit cell as it lies at φ = 0; one that is not said need not be where the beam misses the crystal."""
    crystal = experiment.crystal
    if crystal.spot_scale == 0.0 and crystal.cell is None and not has_matrix(crystal, inputs):
        return NO_LATTICE
    matrix = None if inputs.matrix is None else inputs.matrix.elements
    misset = _misset_rad(experiment, quirks)
    return orient_crystal(crystal, experiment.beam, matrix, wavelength, misset, quirks)


def _misset_rad(experiment: Experiment, quirks: Quirks) -> Vector:
    """Angles of the misset about the lab's x, then y, then z: as given, or drawn."""
    crystal = experiment.crystal
    if crystal.misset_deg == "random":
        seed = experiment.noise.seed if crystal.misset_seed is None else crystal.misset_seed
        return random_misset(seed or 0, uniformly=not quirks.misset_without_uniformity)
    x, y, z = crystal.misset_deg
    return (radians_from_degrees(x), radians_from_degrees(y), radians_from_degrees(z))


def crystal_plan(
    crystal: Crystal, lattice: Lattice, spindle: Vector, scan: PhiSampling, domains: np.ndarray, quirks: Quirks
) -> CrystalPlan:
    """The crystal in m and Å⁻¹, and every way in which it lies during the exposure."""
    width = (lattice.a_star, lattice.b_star, lattice.c_star)
    if crystal.gauss_width == "edges":
        width = axes_of_edges(lattice.cells)
    return CrystalPlan(
        a=scaled(lattice.a, METRES_PER_ANGSTROM),
        b=scaled(lattice.b, METRES_PER_ANGSTROM),
        c=scaled(lattice.c, METRES_PER_ANGSTROM),
        a_star=width[0],
        b_star=width[1],
        c_star=width[2],
        cells=lattice.cells,
        shape=int(shape_of(crystal)),
        fudge=float(crystal.fudge),
        spindle=spindle,
        phi=scan.phi_rad,
        phi_carryover=int(quirks.phi_zero_keeps_cell),
        domains=domains,
    )
