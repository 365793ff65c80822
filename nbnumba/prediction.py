"""Where reflections fall on the detector, and which reflection a pixel sees: an image without its photons."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import HoldsArrays
from .errors import NbnumbaWarning, UsageError
from .experiment import Experiment, StructureFactors, changed
from .kernels.choices import MIXED_AXES, SQUARE
from .kernels.equations.lattice_factor import SPOTS
from .kernels.equations.maps import map_scattering_vectors
from .kernels.equations.vectors import Vector, rotated_about, unit
from .kernels.plan import CrystalPlan, DetectorPlan
from .rays import pixels_of_rays, rotated, turns_onto
from .setup.factors import cell_of
from .setup.inputs import read_factors, read_inputs
from .setup.panels import stacked
from .setup.reach import edge_resolution
from .setup.resolve import Resolved, resolve
from .units import ANGSTROM_PER_METRE, METRES_PER_ANGSTROM, RTD, radians_from_degrees

Array = NDArray[np.float64]

MARGIN = 1.02
"""Over the farthest point of a grid: reflections beyond the detector are dropped later."""


class Oriented:
    """What a resolved experiment says about the crystal in the beam, and about each pixel.

    Of several lattices it is the crystal's own that is told of.
    """

    resolved: Resolved

    @property
    def misset_deg(self) -> Vector:
        """Rotation in degrees about the lab's x, then y, then z; of ``misset_deg="random"``, what was drawn."""
        x, y, z = self.resolved.lattice.misset_rad
        return (x * RTD, y * RTD, z * RTD)

    def a_matrix(self, phi_deg: float | None = None) -> Array:
        """The matrix A of the crystal: r = A · (h, k, l) in Å⁻¹ in the laboratory frame of the convention.

        Parameters
        ----------
        phi_deg : float, optional
            Spindle angle; by default that of the scan's start.

        Returns
        -------
        float64 array, shape (3, 3)
            Columns a*, b*, c* of the first domain, without a factor of 2π. MOSFLM's own is λ times this, in the
            frame of convention mosflm at φ = 0.
        """
        return _stars_at(self.resolved, phi_deg).T

    def hkl_map(self, phi_deg: float | None = None) -> Array:
        """The Miller indices that each pixel looks at.

        Parameters
        ----------
        phi_deg : float, optional
            Spindle angle; by default that of the scan's start.

        Returns
        -------
        float64 array, shape (slow, fast, 3)
            Fractional h, k, l at each pixel's centre on the sensor's surface, for the first domain, and for the mean
            direction and wavelength of the sources. Of several panels, one above the other as in an image, NaN
            beside narrow ones.
        """
        return _hkl_map(self.resolved, phi_deg)

    def resolution_map(self) -> Array:
        """The resolution that each pixel looks at: d = λ/(2 sin θ).

        Returns
        -------
        float64 array, shape (slow, fast)
            d in Å at each pixel's centre, for the mean direction and wavelength of the sources; infinite where the
            direct beam falls. Several panels as in :meth:`hkl_map`.
        """
        return resolution_map(self.resolved)


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Oriented, HoldsArrays):
    """Reflections that meet the detector, one a row, in the order of φ."""

    resolved: Resolved
    """Geometry, crystal, sources and scan that they are predicted from."""
    hkl: NDArray[np.int32]
    """Miller indices (n, 3)."""
    pixel: Array
    """Fast, slow in pixels (n, 2) from the outer corner of the panel's first pixel, whose centre is (0.5, 0.5)."""
    wavelength_angstrom: Array
    """At which each diffracts (n,)."""
    phi_deg: Array
    """Spindle angle at which each diffracts (n,)."""
    d_angstrom: Array
    """Spacing of its planes (n,)."""
    panel: NDArray[np.int64]
    """Number of the panel that each meets (n,), from 0; one that meets several is a row for each."""

    def __len__(self) -> int:
        return len(self.hkl)

    @property
    def summary(self) -> str:
        """How many, and to which spacing."""
        return f"{len(self)} reflections" + (f" to {self.d_angstrom.min():.3g} Å" if len(self) else "")


class _Spots(NamedTuple):
    """Reflections that diffract, wherever to: a row each of unit vectors, λ and d in Å, φ in radians."""

    hkl: NDArray[np.int32]
    direction: Array
    wavelength: Array
    phi: Array
    d: Array


def predict(experiment: Experiment) -> Predictions:
    """Where the reflections of an experiment fall; nothing is rendered, and no structure factors are needed.

    Parameters
    ----------
    experiment : Experiment
        That of an image, ``image.experiment``, has the orientation that was drawn for it.

    Returns
    -------
    Predictions
        Reflections inside the detector (mask and region left aside), not beyond ``dmin_angstrom``.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment or its files; a random orientation that no seed decides; the curved
        detector of mode ``c``.

    Notes
    -----
    In a scan, the reflections of the first domain that cross the Ewald sphere of the sources' mean direction and
    wavelength from ``phi_deg`` on and before the scan's end, at the φ of the crossing, however few steps the image
    samples.

    In a still, those whose distance ε from the Ewald sphere is not more than

        ε ≤ size + (η + δ) |r| cos θ,

    where "size" is how far the spot of the crystal's shape reaches along the diffracted ray (parallelepiped: to the
    first zero, Σ|a*·n|/N over the axes; sphere: to the first zero; Gaussian: to 1 % of the intensity; top-hat: its
    edge), η the mosaic spread and δ the largest angle between a source and their mean. With several wavelengths the
    sphere is that of the wavelength at which the reflection diffracts, or of the nearest in the band. The spot is put
    where the sphere is nearest to the reflection, in the metric of its own spread.

    Examples
    --------
    >>> import nbnumba
    >>> spots = nbnumba.predict(nbnumba.Experiment.from_args(
    ...     "-cell 70 80 90 75 85 95 -distance 100 -detpixels 512 -phi 10 -osc 0.5".split()))
    >>> len(spots), spots.hkl[100].tolist()
    (117, [0, 14, 4])
    >>> spots.pixel[100].round(2).tolist(), round(float(spots.phi_deg[100]), 4), round(float(spots.d_angstrom[100]), 4)
    ([302.14, 85.07], 10.4456, 5.6919)
    """
    return predicted(_resolved(experiment))


def hkl_map(experiment: Experiment, phi_deg: float | None = None) -> Array:
    """The Miller indices that each pixel of an experiment looks at; nothing is rendered.

    Parameters
    ----------
    experiment : Experiment
        No structure factors are needed.
    phi_deg : float, optional
        Spindle angle; by default that of the scan's start.

    Returns
    -------
    float64 array, shape (slow, fast, 3)
        Fractional h, k, l at each pixel's centre, as :meth:`Image.hkl_map` says.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment or its files; a random orientation that no seed decides.

    Examples
    --------
    >>> import nbnumba
    >>> indices = nbnumba.hkl_map(nbnumba.Experiment.from_args(
    ...     "-cell 70 80 90 -lambda 1 -distance 100 -detpixels 101".split()))
    >>> indices.shape
    (101, 101, 3)
    """
    return _hkl_map(_resolved(experiment), phi_deg)


def _resolved(experiment: Experiment) -> Resolved:
    """The experiment in SI, without structure factors and sub-pixels, which nobody asks for."""
    crystal = experiment.crystal
    if crystal.misset_deg == "random" and crystal.misset_seed is None and experiment.noise.seed is None:
        raise UsageError(
            "-misset random: no seed says which orientation is meant; give -misset_seed, or the experiment of an image "
            "that has been simulated (image.experiment)"
        )
    if crystal.cell is None and crystal.matrix_file is None and crystal.a_matrix is None:
        experiment = changed(experiment, crystal={"cell": cell_of(read_factors(experiment))})
    experiment = replace(experiment, structure_factors=StructureFactors(default_f=1.0))
    experiment = changed(experiment, sampling={"oversample": 1})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "-oversample|.* spots are", NbnumbaWarning)
        return resolve(experiment, read_inputs(experiment))


def resolution_map(resolved: Resolved) -> Array:
    """d in Å of every pixel (slow, fast); see :meth:`Image.resolution_map`."""
    with np.errstate(divide="ignore"):
        spacing: Array = ANGSTROM_PER_METRE / np.linalg.norm(_map_of_q(resolved), axis=2)
    return spacing


def central_beam(resolved: Resolved) -> tuple[Vector, float]:
    """Mean direction and wavelength (Å) of the sources."""
    sources = resolved.sources
    x, y, z = (sources.weight @ sources.incident).tolist()
    return unit((x, y, z)), sources.mean_angstrom


def _cell_at(resolved: Resolved, phi_deg: float | None) -> Array:
    """Rows a, b, c in m at a spindle angle, by default the scan's first."""
    resolved.check_crystal("axes and indices are")
    crystal = resolved.plans[0].crystal
    phi = radians_from_degrees(resolved.scan.start_deg if phi_deg is None else phi_deg)
    return np.array([rotated_about(edge, crystal.spindle, phi) for edge in (crystal.a, crystal.b, crystal.c)])


def a_matrix_of(crystal: CrystalPlan) -> Array:
    """Columns a*, b*, c* in Å⁻¹ (3, 3) of a crystal as it is rendered, in the laboratory at a spindle angle of 0."""
    edges = np.array([crystal.a, crystal.b, crystal.c])
    return np.asarray(np.linalg.inv(edges * ANGSTROM_PER_METRE), np.float64)


def _stars_at(resolved: Resolved, phi_deg: float | None) -> Array:
    """Rows a*, b*, c* in Å⁻¹ at a spindle angle: what the rendered cell a, b, c is the inverse of."""
    return np.asarray(np.linalg.inv(_cell_at(resolved, phi_deg) * ANGSTROM_PER_METRE), np.float64).T


def _hkl_map(resolved: Resolved, phi_deg: float | None) -> Array:
    indices: Array = _map_of_q(resolved) @ _cell_at(resolved, phi_deg).T
    return indices


def _map_of_q(resolved: Resolved) -> Array:
    """q in 1/m (slow, fast, 3) at the centre of every pixel; NaN where an image of several panels has none."""
    incident, wavelength = central_beam(resolved)
    maps = []
    for detector in (plan.detector for plan in resolved.plans):
        fast = np.arange(0.5, detector.fast_pixels, dtype=np.float64) * detector.pixel
        slow = np.arange(0.5, detector.slow_pixels, dtype=np.float64) * detector.pixel
        maps.append(_scattering_vectors(detector, fast, slow, incident, wavelength))
    return stacked(maps, np.nan)


def predicted(resolved: Resolved) -> Predictions:
    """As :func:`predict`, of an experiment in SI."""
    resolved.check_crystal("predictions are")
    detectors = [plan.detector for plan in resolved.plans]
    if detectors[0].surface == MIXED_AXES:
        raise UsageError("-curved_det: nothing is predicted for the curved detector of mode c (C-6); use -mode spec")
    diffracting = _crossing if resolved.scan.oscillation_deg > 0.0 else _near_the_sphere
    parts = [diffracting(resolved, hkl, r) for hkl, r in _candidates(resolved)]
    spots = _Spots(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    of_panels = [pixels_of_rays(detector, spots.direction) for detector in detectors]
    inside = [
        np.flatnonzero(np.all((pixel >= 0.0) & (pixel < (detector.fast_pixels, detector.slow_pixels)), axis=1))
        for pixel, detector in zip(of_panels, detectors, strict=True)
    ]
    rows = np.concatenate(inside)
    panel = np.repeat(np.arange(len(detectors)), [len(found) for found in inside])
    pixel = np.concatenate([pixel[found] for pixel, found in zip(of_panels, inside, strict=True)])
    order = np.lexsort((panel, rows, spots.phi[rows]))
    rows = rows[order]
    return Predictions(
        resolved, spots.hkl[rows], pixel[order], spots.wavelength[rows], spots.phi[rows] * RTD, spots.d[rows],
        panel[order],
    )  # fmt: skip


# Which reflections diffract --------------------------------------------------------------------------------------


def _candidates(resolved: Resolved) -> Iterator[tuple[NDArray[np.int32], Array]]:
    """Every reflection that could diffract to the detector, in layers of h: hkl (n, 3) and r (n, 3) in Å⁻¹ at φ = 0.

    In units of 1/λ, the sphere is ŝ0·r + λr²/2 above r; how far a scan and the spread of a still can move either is
    overestimated here.
    """
    stars = _stars_at(resolved, 0.0)
    edges = np.linalg.norm(_cell_at(resolved, 0.0), axis=1) * ANGSTROM_PER_METRE
    reach = _farthest(resolved)
    incident, longest, shortest, fixed, by_length = _slack(resolved, stars, reach)
    h, k, l = (np.arange(-most, most + 1) for most in np.floor(reach * edges).astype(int).tolist())
    kl = np.stack(np.meshgrid(k, l, indexing="ij"), axis=-1).reshape(-1, 2)
    layer = kl @ stars[1:]
    layer_squared, layer_first, layer_incident = np.sum(layer * layer, axis=1), layer @ stars[0], layer @ incident
    for index in h.tolist():
        squared = layer_squared + 2.0 * index * layer_first + index**2 * (stars[0] @ stars[0])
        above = layer_incident + index * (stars[0] @ incident)
        slack = fixed + by_length * np.sqrt(squared)
        rows = np.flatnonzero(
            (squared <= reach * reach)
            & (squared > 0.0)
            & (above + longest / 2.0 * squared >= -slack)
            & (above + shortest / 2.0 * squared <= slack)
        )
        hkl = np.insert(kl[rows], 0, index, axis=1).astype(np.int32)
        yield hkl, layer[rows] + index * stars[0]


def _slack(resolved: Resolved, stars: Array, reach: float) -> tuple[Array, float, float, float, float]:
    """Beam in the frame of φ = 0, longest and shortest wavelength, distance in Å⁻¹ and as a fraction of |r|."""
    incident, wavelength = central_beam(resolved)
    scan, axis = resolved.scan, resolved.plans[0].crystal.spindle
    middle = radians_from_degrees(scan.start_deg + scan.oscillation_deg / 2.0)
    seen = np.array(rotated_about(incident, axis, -middle))
    if scan.oscillation_deg > 0.0:
        return seen, wavelength, wavelength, 1e-9, radians_from_degrees(scan.oscillation_deg) / 2.0
    band = resolved.sources.wavelength_angstrom
    size = 2.0 * float(np.sqrt(np.trace(_size_spread(resolved.plans[0].crystal, stars))))
    spread = angular_spread(resolved)
    fixed = size * (1.0 + band.max() * (size + spread * reach))
    return seen, band.max(), band.min(), fixed + 1e-9, spread * (1.0 + band.max() * spread * reach)


def _farthest(resolved: Resolved) -> float:
    """1/d in Å⁻¹ up to which reflections are looked for: that of the detector's farthest point, or of dmin."""
    dmin = resolved.experiment.sampling.dmin_angstrom
    incident, _ = central_beam(resolved)
    shortest = float(resolved.sources.wavelength_angstrom.min())
    edges = [edge_resolution(plan.detector, np.array([incident]), np.array([shortest])) for plan in resolved.plans]
    reach = MARGIN / min(edges)
    if resolved.scan.oscillation_deg == 0.0:
        size = _size_spread(resolved.plans[0].crystal, _stars_at(resolved, 0.0))
        reach += 2.0 * float(np.sqrt(np.trace(size))) + _divergence(resolved) / shortest
    return min(reach, 2.0 / shortest, 1.0 / dmin if dmin else np.inf)


def _scattering_vectors(
    detector: DetectorPlan, fast: Array, slow: Array, incident: Vector, wavelength_angstrom: float
) -> Array:
    q = np.empty((len(slow), len(fast), 3))
    map_scattering_vectors(detector, fast, slow, incident, wavelength_angstrom * METRES_PER_ANGSTROM, q)
    return q


def _crossing(resolved: Resolved, hkl: NDArray[np.int32], r: Array) -> _Spots:
    """Reflections that cross the Ewald sphere during the scan, at each φ where they do: s0·r(φ) = −r²/2."""
    incident, wavelength = central_beam(resolved)
    axis = resolved.plans[0].crystal.spindle
    s0 = np.array(incident) / wavelength
    squared = np.einsum("ij,ij->i", r, r)
    start, end = (
        radians_from_degrees(angle)
        for angle in (resolved.scan.start_deg, resolved.scan.start_deg + resolved.scan.oscillation_deg)
    )
    found = []
    for phi in turns_onto(r, axis, s0, -0.5 * squared):
        phi = phi + 2.0 * np.pi * np.ceil((start - phi) / (2.0 * np.pi))
        while (rows := np.flatnonzero(phi < end)).size:
            found.append((rows, phi[rows]))
            phi = phi + 2.0 * np.pi
    rows = np.concatenate([np.zeros(0, np.intp), *(rows for rows, _ in found)])
    phi = np.concatenate([np.zeros(0), *(phi for _, phi in found)])
    direction = (s0 + rotated(r[rows], axis, phi)) * wavelength
    return _Spots(hkl[rows], direction, np.full(len(rows), wavelength), phi, 1.0 / np.sqrt(squared[rows]))


def _near_the_sphere(resolved: Resolved, hkl: NDArray[np.int32], r: Array) -> _Spots:
    """Reflections that a still shows: see :func:`predict`."""
    incident, _ = central_beam(resolved)
    crystal, band = resolved.plans[0].crystal, resolved.sources.wavelength_angstrom
    mosaic, divergence = _mosaic_spread(resolved), _divergence(resolved)
    phi = radians_from_degrees(resolved.scan.start_deg)
    r = rotated(r, crystal.spindle, np.full(len(r), phi))
    stars = _stars_at(resolved, None)
    size = _size_spread(crystal, stars)

    squared = np.einsum("ij,ij->i", r, r)
    wavelength = np.clip(-2.0 * (r @ incident) / squared, band.min(), band.max())
    s0 = np.array(incident) / wavelength[:, np.newaxis]
    s1 = s0 + r
    length = np.linalg.norm(s1, axis=1)
    n = s1 / length[:, np.newaxis]
    distance = length - 1.0 / wavelength
    along = np.einsum("ij,ij->i", r, n)
    across = np.sqrt(np.maximum(0.0, squared - along * along))
    near = np.abs(distance) <= _reach_along(crystal, stars, size, n) + (mosaic + divergence) * across

    # Of all the ways to the sphere, that which asks least of the shape, of mosaicity and of divergence together.
    r, n, s1, distance, along = r[near], n[near], s1[near], distance[near], along[near]
    tilted = n - np.outer(n @ incident, incident)
    spread = n @ size
    spread += mosaic**2 * (squared[near, np.newaxis] * n - r * along[:, np.newaxis])
    spread += (divergence / wavelength[near, np.newaxis]) ** 2 * tilted
    s1 = s1 - spread * (distance / np.einsum("ij,ij->i", spread, n))[:, np.newaxis]
    direction = s1 / np.linalg.norm(s1, axis=1)[:, np.newaxis]
    return _Spots(hkl[near], direction, wavelength[near], np.full(len(r), phi), 1.0 / np.sqrt(squared[near]))


def _size_spread(crystal: CrystalPlan, stars: Array) -> Array:
    """The spot that the crystal's shape makes as an ellipsoid: M (3, 3) in Å⁻², reach² along n being n·M·n."""
    spot = SPOTS[crystal.shape]
    if spot.in_indices:
        axes = stars / np.array(crystal.cells)[:, np.newaxis]
        return axes.T @ axes * (spot.end_sqr / (1.0 if crystal.shape == SQUARE else crystal.fudge))
    radius = np.sqrt(spot.end_sqr / crystal.fudge) / np.prod(crystal.cells, dtype=float)
    axes = radius * np.linalg.solve(np.array([crystal.a_star, crystal.b_star, crystal.c_star]), stars)
    spread: Array = axes.T @ axes
    return spread


def _reach_along(crystal: CrystalPlan, stars: Array, size: Array, n: Array) -> Array:
    """How far that spot reaches along each of the unit vectors n: a parallelepiped's to the corners of its box."""
    if crystal.shape == SQUARE:
        corners: Array = np.abs(n @ stars.T) @ (1.0 / np.array(crystal.cells))
        return corners
    ellipsoid: Array = np.sqrt(np.einsum("ij,jk,ik->i", n, size, n))
    return ellipsoid


def longest_edge(resolved: Resolved) -> float:
    """Edge in Å of a parallelepiped whose spots are as thin as the crystal's where these are thinnest."""
    crystal = resolved.plans[0].crystal
    spot = SPOTS[crystal.shape]
    end_sqr = np.linalg.eigvalsh(_size_spread(crystal, _stars_at(resolved, 0.0)))[0]
    return float(np.sqrt(SPOTS[SQUARE].half_sqr / (end_sqr * spot.half_sqr / spot.end_sqr)))


def angular_spread(resolved: Resolved) -> float:
    """Largest angle, radians, by which mosaicity and divergence turn a domain and the beam against each other."""
    return _mosaic_spread(resolved) + _divergence(resolved)


def _mosaic_spread(resolved: Resolved) -> float:
    """Largest turn of a domain, radians."""
    if len(resolved.plans[0].crystal.domains) == 1:
        return 0.0
    return radians_from_degrees(resolved.experiment.crystal.mosaic_spread_deg or 0.0)


def _divergence(resolved: Resolved) -> float:
    """Largest angle between a source and their mean, radians."""
    incident, _ = central_beam(resolved)
    sines = np.linalg.norm(np.cross(resolved.sources.incident, incident), axis=1)
    return float(np.arcsin(min(1.0, sines.max())))
