"""The physics once more, in plain NumPy: slow, literal, and independent of the engine that it checks.

In the order of the engine: detector, crystal, sources, orientations, structure factors, one sample, pixel value, random
numbers; [C-n] marks what mode ``c`` does otherwise (docs/modes.md). Lengths are in metres, except inside the crystal:
cell and wavelength in Å. Everything is vectorized over pixels and looped over all else. SMV headers, masks and what
depends on the order of evaluation in mode ``c`` ([C-10], [C-11], the very first φ step of the image) are left out. All
samples are in, whatever tolerance an experiment has.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

import nbnumba
from nbnumba.experiment import Beam, Crystal, Detector, Experiment, Scan

RTD = 180.0 * (1.0 / math.pi)
ELECTRON_RADIUS_SQR = 7.94079248018965e-30
AVOGADRO = 6.02214179e23

Array = npt.NDArray[Any]


def render(experiment: Experiment, folder: Path) -> Array:
    """Pixel values of the whole detector.

    Parameters
    ----------
    experiment : Experiment
        Without SMV header or mask.
    folder : Path
        Where input files with relative names lie.

    Returns
    -------
    (slow, fast) float64 array
        Photons per pixel; 0 outside the roi.
    """
    detector, factors = experiment.detector, experiment.structure_factors
    cached = factors.dump_file and not factors.hkl_file
    if detector.header_file or detector.mask_file or factors.coordinate_file or cached:
        raise NotImplementedError("the oracle reads no SMV file, coordinates or dump")
    return render_placed(experiment, folder, place_detector(experiment))


def render_placed(experiment: Experiment, folder: Path, geometry: Geometry) -> Array:
    """The same for a detector that stands somewhere."""
    roi = experiment.detector.roi
    image = np.zeros((geometry.slow_pixels, geometry.fast_pixels))
    first_i, last_i, first_j, last_j = roi or (0, geometry.fast_pixels - 1, 0, geometry.slow_pixels - 1)
    i = np.arange(max(first_i, 0), min(last_i, geometry.fast_pixels - 1) + 1)
    j = np.arange(max(first_j, 0), min(last_j, geometry.slow_pixels - 1) + 1)
    fast_index, slow_index = np.meshgrid(i, j)
    values = pixel_values(experiment, folder, geometry, fast_index.ravel(), slow_index.ravel())
    image[slow_index.ravel(), fast_index.ravel()] = values
    return image


# Vectors -------------------------------------------------------------------------------------------------------------


def vec(x: float, y: float, z: float) -> Array:
    """Three numbers as an array."""
    return np.array([x, y, z], dtype=float)


def unit(v: Array) -> Array:
    """v/|v|; 0 stays 0."""
    length = np.linalg.norm(v)
    return v / length if length > 0 else v


def rotation(axis: Array, angle: float) -> Array:
    """R(n, φ), right-handed, by Rodrigues: cos φ·1 + sin φ·[n]× + (1 − cos φ)·n nᵀ."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return math.cos(angle) * np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * np.outer(axis, axis)


def rotation_xyz(x: float, y: float, z: float) -> Array:
    """X→Y→Z: first about lab x, then lab y, then lab z."""
    return rotation(vec(0, 0, 1), z) @ rotation(vec(0, 1, 0), y) @ rotation(vec(1, 0, 0), x)


# Detector ----------------------------------------------------------------------------------------------------------

X, Y, Z = np.eye(3)
CONVENTIONS = {  # b, f, s, o, w, p, u
    "mosflm": (X, Z, -Y, X, -Z, Z, Z),
    "denzo": (X, Z, -Y, X, -Z, Z, Z),
    "adxv": (Z, X, -Y, Z, -X, X, X),
    "xds": (Z, X, Y, Z, X, X, X),
    "dials": (Z, X, Y, Z, Y, Y, Y),
    "custom": (X, Z, -Y, X, Y, Z, Z),
}


class Geometry(NamedTuple):
    """The detector as it stands after all rotations, and the axes that go with its convention."""

    fast_pixels: int
    slow_pixels: int
    pixel: float
    f: Array
    s: Array
    o: Array
    pix0: Array
    close_distance: float
    distance: float
    fbeam: float
    sbeam: float
    b: Array
    p: Array
    u: Array
    area: float = 0.0
    """Of a pixel that is no square."""


def axes(experiment: Experiment) -> list[Array]:
    """Conventions: unit vectors b, f, s, o, w, p, u."""
    detector, beam = experiment.detector, experiment.beam
    default = CONVENTIONS[detector.convention]
    if detector.convention != "custom":
        return list(default)
    given = (
        beam.direction,
        detector.fast_axis,
        detector.slow_axis,
        detector.normal_axis,
        detector.twotheta_axis,
        beam.polarization_axis,
        experiment.goniometer.spindle_axis,
    )
    vectors = [old if new is None else vec(*new) for old, new in zip(default, given, strict=True)]
    b, f, s, o, w, p, u = (unit(v) for v in vectors)
    if np.linalg.norm(vectors[3]) != 1:
        # "If |o| as given is not exactly 1, o is replaced by unit(f × s)"; [C-2]: on the given side only in spec.
        regenerated = unit(np.cross(f, s))
        faces_away = experiment.mode == "spec" and regenerated @ o < 0
        o = -regenerated if faces_away else regenerated
    return [b, f, s, o, w, p, u]


def pixel_counts(detector: Detector, pixel_mm: float) -> tuple[int, int]:
    """-detpixels, -detsize: n = ceil(size/pixel − 0.5) where no pixel count is given."""

    def count(pixels: int | None, size_mm: float | None) -> int:
        return pixels or math.ceil((size_mm or 102.4) / pixel_mm - 0.5)

    return (count(detector.fast_pixels, detector.fast_size_mm), count(detector.slow_pixels, detector.slow_size_mm))


def detector_size(detector: Detector, pixel: float) -> tuple[float, float]:
    """D_f and D_s: as given, where no pixel count is."""

    def edge(pixels: int | None, size_mm: float | None) -> float:
        return pixels * pixel if pixels else (size_mm or 102.4) / 1000

    return (edge(detector.fast_pixels, detector.fast_size_mm), edge(detector.slow_pixels, detector.slow_size_mm))


def pivot(experiment: Experiment) -> str:
    """Pivot [C-3]."""
    detector = experiment.detector
    if detector.pivot is not None:
        return detector.pivot
    near = (detector.close_distance_mm, detector.close_x_mm, detector.close_y_mm, detector.orgx_px, detector.orgy_px)
    near_given = any(value is not None for value in near)
    centre_given = detector.beam_x_mm is not None or detector.beam_y_mm is not None
    if experiment.mode == "spec" and detector.convention != "custom" and near_given != centre_given:
        return "sample" if near_given else "beam"
    return "sample" if detector.convention in ("xds", "dials") else "beam"


def near_point(experiment: Experiment, size: tuple[float, float], pixel: float) -> tuple[Array, Array]:
    """(Fclose, Sclose) before CUSTOM has its say, and (Xclose, Yclose), the default beam centre [C-1]."""
    detector = experiment.detector
    org = (detector.orgx_px, detector.orgy_px)
    given = (detector.close_x_mm, detector.close_y_mm)
    close, xy = np.array(size) / 2, np.zeros(2)
    for axis in range(2):
        if experiment.mode == "spec" and given[axis] is not None:
            close[axis] = given[axis] / 1000
        if org[axis] is not None:
            close[axis] = (org[axis] - 0.5) * pixel
        xy[axis] = close[axis] if given[axis] is None else given[axis] / 1000
    return close, xy


def beam_centre(detector: Detector, size: tuple[float, float], pixel: float, xyclose: Array) -> tuple[Array, Array]:
    """Each convention's (Xbeam, Ybeam) and (Fbeam, Sbeam)."""
    size_f, size_s = size
    if detector.convention in ("mosflm", "denzo"):
        x, y = (size_s + pixel) / 2, (size_f + pixel) / 2
    elif detector.convention == "adxv":
        x, y = (size_f + pixel) / 2, (size_s - pixel) / 2
    else:
        x, y = xyclose
    x = x if detector.beam_x_mm is None else detector.beam_x_mm / 1000
    y = y if detector.beam_y_mm is None else detector.beam_y_mm / 1000
    on_detector = {"mosflm": (y + pixel / 2, x + pixel / 2), "denzo": (y, x), "adxv": (x, size_s - y)}.get(
        detector.convention, (x, y)
    )
    return np.array([x, y]), np.array(on_detector)


def place_detector(experiment: Experiment) -> Geometry:
    """Placement, step by step."""
    detector, spec = experiment.detector, experiment.mode == "spec"
    pixel_mm = detector.pixel_mm or 0.1
    pixel = pixel_mm / 1000
    counts = pixel_counts(detector, pixel_mm)
    size = detector_size(detector, pixel)
    b, f, s, o, w, p, u = axes(experiment)

    close, xyclose = near_point(experiment, size, pixel)
    xybeam, on_detector = beam_centre(detector, size, pixel, xyclose)
    if detector.convention == "custom":
        # "CUSTOM also sets Fclose = Xbeam, Sclose = Ybeam; in mode spec not where ORG or close options give them"
        near = ((detector.orgx_px, detector.close_x_mm), (detector.orgy_px, detector.close_y_mm))
        for axis in range(2):
            if not (spec and any(value is not None for value in near[axis])):
                close[axis] = xybeam[axis]

    rd = rotation_xyz(*(angle / RTD for angle in (detector.rotx_deg, detector.roty_deg, detector.rotz_deg)))
    full = rotation(w, (detector.twotheta_deg or 0.0) / RTD) @ rd

    # Step 1 [C-15], and step 6's r, which leaves two-theta out in mode c [C-4].
    r0 = b @ rd @ o or np.finfo(float).tiny
    r = b @ full @ o if spec else r0
    given_distance = None if detector.distance_mm is None else detector.distance_mm / 1000
    given_close = None if detector.close_distance_mm is None else detector.close_distance_mm / 1000
    distance = 0.1 if given_distance is None else given_distance
    close_distance = abs(r0 * distance) if given_close is None else given_close
    if not spec:
        distance = close_distance / r0
    elif given_distance is None and given_close is not None:
        distance = close_distance / r

    # Steps 2 to 4; -pix0_vector takes the place of the unrotated pix0 [C-5].
    detector_vectors = (detector.fast_axis, detector.slow_axis, detector.normal_axis)
    origin_given = detector.convention == "custom" and detector.origin_mm is not None
    origin_counts = spec and origin_given and all(vector is None for vector in detector_vectors)
    pix0 = -close[0] * f - close[1] * s + close_distance * o
    if origin_counts:
        pix0 = vec(*detector.origin_mm) / 1000
    pix0, f, s, o = (full @ vector for vector in (pix0, f, s, o))
    if pivot(experiment) == "beam" and not origin_counts:
        pix0 = -on_detector[0] * f - on_detector[1] * s + distance * b

    # Steps 5 and 6: read back.
    close_distance = pix0 @ o
    distance = close_distance / r
    q = distance * b - pix0
    return Geometry(*counts, pixel, f, s, o, pix0, close_distance, distance, f @ q, s @ q, b, p, u)


def place_panel(experiment: Experiment, number: int) -> Geometry:
    """A panel of a list: one pixel is a unit along its steps, in m."""
    panel = (experiment.detector.panels or ())[number]
    b, *_, p, u = axes(experiment)
    f, s, pix0 = (np.array(mm) / 1000 for mm in (panel.fast_step_mm, panel.slow_step_mm, panel.origin_mm))
    o = unit(np.cross(f, s))
    o = o if o @ pix0 > 0 else -o
    nowhere = math.nan  # no beam spot is asked for
    return Geometry(
        panel.fast_pixels, panel.slow_pixels, 1.0, f, s, o, pix0, o @ pix0, nowhere, nowhere, nowhere, b, p, u,
        area=float(np.linalg.norm(np.cross(f, s))),
    )  # fmt: skip


def positions(experiment: Experiment, g: Geometry, fast: Array, slow: Array, depth: float) -> Array:
    """Sub-pixel position at F, S, O and curved detector [C-6]: (pixels, 3)."""
    flat = fast[:, None] * g.f + slow[:, None] * g.s + depth * g.o + g.pix0
    if not experiment.detector.curved:
        return flat
    if experiment.mode == "c":
        # "start at distance·b, rotate about s by pos_y/distance, then about f by pos_z/distance"
        about_s, about_f = flat[:, 1] / g.distance, flat[:, 2] / g.distance
    else:
        # "pos = distance · R(f, −y/D) R(s, +x/D) b, the signs such that pos ≈ D·b + x·f + y·s for small offsets"
        hand = np.sign(np.cross(g.f, g.s) @ g.b)
        about_s, about_f = hand * (fast - g.fbeam) / g.distance, -hand * (slow - g.sbeam) / g.distance
    turns = zip(about_s, about_f, strict=True)
    return np.array([g.distance * (rotation(g.f, y) @ rotation(g.s, x) @ g.b) for x, y in turns])


def solid_angle(experiment: Experiment, g: Geometry, position: Array) -> Array:
    """Ω = pixel²/R² · close_distance/R, of a panel the pixel's own area; with -point_pixel 1/R²."""
    length = np.linalg.norm(position, axis=1)
    if experiment.detector.point_pixel:
        return 1 / length**2
    return (g.area or g.pixel**2) / length**2 * g.close_distance / length


# Crystal -----------------------------------------------------------------------------------------------------------


class Lattice(NamedTuple):
    """Rows a, b, c in Å, rows a*, b*, c* in Å⁻¹ and unit cells along a, b, c."""

    real: Array
    reciprocal: Array
    cells: Array


def reciprocal_from_cell(cell: tuple[float, ...], mode: str) -> tuple[Array, float]:
    """From -cell: rows a*, b*, c* in Å⁻¹ and the volume in Å³ [C-19]."""
    a, b, c = cell[:3]
    alpha, beta, gamma = (angle / RTD for angle in cell[3:])
    sigma = (alpha + beta + gamma) / 2
    skew = math.sin(sigma) * math.sin(sigma - alpha) * math.sin(sigma - beta) * math.sin(sigma - gamma)
    volume = 2 * a * b * c * math.sqrt(abs(skew))
    a_star = b * c * math.sin(alpha) / volume
    b_star = c * a * math.sin(beta) / volume
    c_star = a * b * math.sin(gamma) / volume

    def clamp(x: float) -> float:
        return min(1.0, max(-1.0, x))

    def star_angle(sine: float, near: float, other1: float, other2: float) -> float:
        cosine = (math.cos(other1) * math.cos(other2) - math.cos(near)) / (math.sin(other1) * math.sin(other2))
        return math.atan2(clamp(sine), clamp(cosine))

    alpha_star = star_angle(a / (volume * b_star * c_star), alpha, beta, gamma)
    beta_star = star_angle(b / (volume * c_star * a_star), beta, gamma, alpha)
    gamma_star = star_angle(c / (volume * a_star * b_star), gamma, alpha, beta)
    x = math.cos(beta_star)
    y = (math.cos(alpha_star) - math.cos(beta_star) * math.cos(gamma_star)) / math.sin(gamma_star)
    zeta = math.sqrt(1 - x**2 - y**2) if mode == "spec" else volume / (a * b * c * math.sin(gamma_star))
    rows = [vec(1, 0, 0), vec(math.cos(gamma_star), math.sin(gamma_star), 0), vec(x, y, zeta)]
    return np.array([a_star * rows[0], b_star * rows[1], c_star * rows[2]]), volume


def reciprocal_from_matrix(path: Path, wavelength: float) -> Array:
    """From -mat: the first nine numbers are rows x, y, z of columns a*, b*, c*, times λ; here rows a*, b*, c*."""
    numbers = [float(word) for word in path.read_text().split()[:9]]
    return np.array(numbers).reshape(3, 3).T / wavelength


def misset(experiment: Experiment) -> Array:
    """The rotation by the misset angles; `random` is uniform, in mode c of a "mosaicity" of 90 radians [C-7]."""
    crystal = experiment.crystal
    if crystal.misset_deg != "random":
        return rotation_xyz(*(angle / RTD for angle in crystal.misset_deg))
    seed = experiment.noise.seed if crystal.misset_seed is None else crystal.misset_seed
    assert seed is not None, "a random misset needs a seed to be reproducible"
    if experiment.mode == "spec":
        # Shoemake's quaternion: √(1−u1)·(sin, cos) 2πu2, √u1·(sin, cos) 2πu3.
        u1, u2, u3 = np.random.Generator(np.random.Philox(key=2**64 + seed)).random(3)
        halves = np.sqrt(1 - u1) * np.exp(2j * np.pi * u2), np.sqrt(u1) * np.exp(2j * np.pi * u3)
        return Rotation.from_quat([part for z in halves for part in (z.imag, z.real)]).as_matrix()
    u = random_rotation(random_deviates(seed), 90.0)
    rotx = math.atan2(u[2, 1], u[2, 2])
    roty = math.atan2(-u[2, 0], math.hypot(u[2, 1], u[2, 2]))
    rotz = math.atan2(u[1, 0], u[0, 0])
    return rotation_xyz(rotx, roty, rotz)


def orient_crystal(experiment: Experiment, folder: Path) -> Lattice:
    """V* = a*·(b* × c*), a = V·(b* × c*) and cyclic, lengths and volume the cell's where one is given."""
    crystal = experiment.crystal
    cell_volume = 0.0
    if crystal.cell is not None:
        reciprocal, cell_volume = reciprocal_from_cell(crystal.cell, experiment.mode)
    if crystal.matrix_file is not None:
        reciprocal = reciprocal_from_matrix(folder / crystal.matrix_file, experiment.beam.wavelength_angstrom or 1.0)
    reciprocal = reciprocal @ misset(experiment).T
    a_star, b_star, c_star = reciprocal
    volume = 1 / (a_star @ np.cross(b_star, c_star))
    real = volume * np.array([np.cross(b_star, c_star), np.cross(c_star, a_star), np.cross(a_star, b_star)])
    if crystal.cell is not None:
        volume = cell_volume
        real = np.array([length * unit(row) for length, row in zip(crystal.cell, real, strict=False)])
    a, b, c = real
    reciprocal = np.array([np.cross(b, c), np.cross(c, a), np.cross(a, b)]) / volume
    return Lattice(real, reciprocal, cell_counts(crystal, experiment.beam, real))


def cell_counts(crystal: Crystal, beam: Beam, real: Array) -> Array:
    """N = ceil(sample/edge), sample_y and sample_z first clipped to the beam; at least 1."""
    counts = list(crystal.cells)
    for axis, size_mm in enumerate(crystal.size_mm):
        if size_mm is not None:
            clipped = min(size_mm, beam.size_mm) if axis > 0 else size_mm
            if clipped > 0:
                counts[axis] = math.ceil(clipped / 1000 / (np.linalg.norm(real[axis]) * 1e-10))
    return np.maximum(counts, 1)


# Sources -----------------------------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Direction of travel, wavelength in Å and weight."""

    direction: Array
    wavelength: float
    weight: float


def resolve_steps(count: int | None, span: float | None, step: float | None) -> tuple[int, float, float]:
    """Count, range and step from those that are given."""
    if span is None and step is None:
        span, step = (0.0, 0.0) if count is None else (1.0, 1.0 / max(count, 1))
        count = count or 1
    elif span is None:
        count, span = 2, step
    elif step is None:
        count = max(count or 2, 2)
        step = span / (count - 1)
    elif count is None:
        count = math.ceil(span / step) if step > 0 else 0
    return (count, span, step) if min(count, span, step) > 0 else (1, 0.0, 0.0)


def spectrum_of(beam: Beam, folder: Path, wavelength: float) -> list[tuple[float, float]]:
    """Wavelengths in Å and their photons: of two columns (Å below 100, else eV), else across the dispersion.

    A row without photons is no source.
    """
    rows = list(beam.spectrum or ())
    if beam.spectrum_file is not None:
        lines = (folder / beam.spectrum_file).read_text().splitlines()
        rows = [(float(a), float(b)) for a, b in (re.split(r"[\s,;]+", line.strip())[:2] for line in lines)]
    if rows:
        in_angstrom = np.median([row[0] for row in rows]) < 100
        return [(first if in_angstrom else 12398.42 / first, photons) for first, photons in rows if photons > 0]
    colours, dispersion, step = resolve_steps(beam.dispersion_steps, beam.dispersion_percent / 100, None)
    return [(wavelength * (1 + step * k - dispersion / 2), 1.0) for k in range(colours)]


def grid_sources(beam: Beam, folder: Path, g: Geometry, wavelength: float) -> list[Source]:
    """The divergence grid, every direction with every wavelength; weights normalized to an average of 1."""

    def radians(mrad: float | None) -> float | None:
        return None if mrad is None else mrad / 1000

    nh, range_h, step_h = resolve_steps(
        beam.horizontal_divergence_steps,
        radians(beam.horizontal_divergence_mrad),
        radians(beam.horizontal_divergence_step_mrad),
    )
    nv, range_v, step_v = resolve_steps(
        beam.vertical_divergence_steps,
        radians(beam.vertical_divergence_mrad),
        radians(beam.vertical_divergence_step_mrad),
    )

    def gaussian(angle: float, sigma_mrad: float | None) -> float:
        return 1.0 if sigma_mrad is None else math.exp(-0.5 * (angle / (sigma_mrad / 1000)) ** 2)

    def eccentricity(angle: float, count: int, span: float, step: float) -> float:
        return (angle**2 - step**2 / 4 * (1 - count % 2)) / span**2 if span else math.nan

    vertical = unit(np.cross(g.b, g.p))
    sources = []
    for h, v in itertools.product(range(nh), range(nv)):
        hdiv, vdiv = step_h * h - range_h / 2, step_v * v - range_v / 2
        radius = eccentricity(hdiv, nh, range_h, step_h) + eccentricity(vdiv, nv, range_v, step_v)
        if beam.round_divergence and 4 * radius > 1.1:
            continue
        direction = -unit(rotation(vertical, hdiv) @ rotation(g.p, vdiv) @ -g.b)
        share = gaussian(hdiv, beam.horizontal_divergence_sigma_mrad) * gaussian(
            vdiv, beam.vertical_divergence_sigma_mrad
        )
        for colour, photons in spectrum_of(beam, folder, wavelength):
            sources.append(Source(direction, colour, share * photons))
    mean = sum(source.weight for source in sources) / len(sources)
    return [source._replace(weight=source.weight / mean) for source in sources]


def file_sources(path: Path, g: Geometry, wavelength: float, mode: str) -> list[Source]:
    """-sourcefile: rows of x y z weight λ[m]; weights normalized to an average of 1 [C-8]."""
    rows = []
    for line in path.read_text().splitlines():
        numbers = [float(word) for word in re.split(r"[\s,;:!]+", line) if word]
        if numbers:
            defaults = [*(-10 * g.b), 1.0, wavelength * 1e-10]
            rows.append(numbers[:5] + defaults[len(numbers) :])
    mean = sum(row[3] for row in rows) / len(rows)
    return [Source(-unit(vec(x, y, z)), m * 1e10, w / mean if mode == "spec" else 1.0) for x, y, z, w, m in rows]


def list_sources(experiment: Experiment, folder: Path, g: Geometry) -> list[Source]:
    """From the file where one is given, else the grid."""
    wavelength = experiment.beam.wavelength_angstrom or 1.0
    if experiment.beam.source_file is not None:
        return file_sources(folder / experiment.beam.source_file, g, wavelength, experiment.mode)
    return grid_sources(experiment.beam, folder, g, wavelength)


# Orientation samples -----------------------------------------------------------------------------------------------


def phi_angles(scan: Scan) -> list[float]:
    """φ_t = φ0 + t·step in radians; a step that is given counts, else it is osc/count."""
    count, osc, step = scan.steps, scan.oscillation_deg, scan.step_deg
    if count == 0:
        count = 1
    if osc is None and step is None:
        count, osc = (1, 0.0) if count is None else (count, 1.0)
    elif osc is None:
        count, osc = 2, step
    elif count is None:
        count = 2 if step is None else math.ceil(osc / step)
    phi0 = (scan.phi_deg or 0.0) / RTD
    radians = osc / RTD / count if step is None else step / RTD
    first = phi0 + (radians / 2 if scan.phi_sampling == "middle" else 0.0)
    return [first + t * radians for t in range(count)]


def rotated_cells(experiment: Experiment, u: Array, real: Array) -> list[Array]:
    """Rows a, b, c for every φ; [C-9]: a φ of exactly 0 keeps those of the step before it in loop order."""
    angles = phi_angles(experiment.scan)
    cells = [real @ rotation(u, phi).T for phi in angles]
    if (experiment.phi_carryover or experiment.mode) == "c":
        for t, phi in enumerate(angles):
            if phi == 0:
                cells[t] = cells[t - 1]
    return cells


def mosaic_rotations(crystal: Crystal) -> list[Array]:
    """Mosaic: domain 0 is the identity, its three random numbers drawn all the same."""
    spread = crystal.mosaic_spread_deg or 0.0
    if spread <= 0:
        return [np.eye(3)]
    count = 10 if crystal.mosaic_domains is None else crystal.mosaic_domains
    deviates = random_deviates(crystal.mosaic_seed)
    rotations = [random_rotation(deviates, spread / RTD) for _ in range(count)]
    return [np.eye(3), *rotations[1:]]


def random_rotation(deviates: Iterator[float], spread: float) -> Array:
    """By ρ = spread·(1 − q3²)^(1/3) about n, with the roundings to float32 of the reference."""
    q1, q2, q3 = (2 * next(deviates) - 1 for _ in range(3))
    axis = vec(math.sqrt(1 - q2**2) * math.sin(math.pi * q1), math.sqrt(1 - q2**2) * math.cos(math.pi * q1), q2)
    base, exponent = np.float32(1 - q3**2), np.float32(1 / 3)
    power = np.float32(float(base) ** float(exponent))
    return rotation(axis, float(np.float32(spread) * power))


# Random numbers ---------------------------------------------------------------------------------------------------


def random_deviates(seed: int) -> Iterator[float]:
    """The generator: x ← 16807·x mod 2147483647 with a 32-entry Bays–Durham shuffle."""

    def step(x: int) -> int:
        return 16807 * x % 2147483647

    x = max(1, abs(seed))
    for _ in range(8):
        x = step(x)
    table = [0] * 32
    for entry in reversed(range(32)):
        x = table[entry] = step(x)
    iy = table[0]
    while True:
        x = step(x)
        j = iy // 67108864
        iy, table[j] = table[j], x
        yield float(min(np.float32(iy / 2147483647), np.float32(1 - 1.2e-7)))


# Structure factors -------------------------------------------------------------------------------------------------


class Table(NamedTuple):
    """F on a box of indices; ``lowest`` are h_min, k_min, l_min."""

    values: Array
    lowest: Array
    default: float


def read_table(experiment: Experiment, folder: Path) -> Table | None:
    """-hkl: cells not listed hold default_F, a later line wins."""
    factors = experiment.structure_factors
    if factors.hkl_file is None:
        return None
    rows = []
    for line in (folder / factors.hkl_file).read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            rows.append([float(word) for word in words[:4]])
    hkl = np.rint(np.array(rows)[:, :3]).astype(int)
    lowest = hkl.min(axis=0)
    values = np.full(hkl.max(axis=0) - lowest + 1, factors.default_f)
    for index, row in zip(hkl - lowest, rows, strict=True):
        values[tuple(index)] = row[3]
    return Table(values, lowest, factors.default_f)


def nearest(table: Table, hkl0: Array) -> Array:
    """F(h0, k0, l0); outside the table default_F."""
    index = hkl0.astype(int) - table.lowest
    inside = np.all((index >= 0) & (index < table.values.shape), axis=1)
    found = table.values[tuple(np.where(inside[:, None], index, 0).T)]
    return np.where(inside, found, table.default)


def interpolated(table: Table, hkl: Array, mode: str) -> Array:
    """Cubic Lagrange through floor − 1 … floor + 2 on each axis; default_F within 2 of the table's end."""
    highest = table.lowest + table.values.shape - 1
    inside = np.all((hkl >= table.lowest + 2) & (hkl <= highest - 2), axis=1)
    if mode == "c" and not inside.all():
        raise NotImplementedError("[C-10] depends on the order of evaluation")
    floor = np.floor(hkl)
    weights = []
    for node in range(-1, 3):
        others = [other for other in range(-1, 3) if other != node]
        weights.append(np.prod([(hkl - floor - other) / (node - other) for other in others], axis=0))
    base = np.where(inside[:, None], floor - 1 - table.lowest, 0).astype(int)
    total = np.zeros(len(hkl))
    for i, j, k in itertools.product(range(4), repeat=3):
        corner = np.minimum(base + np.array([i, j, k]), np.array(table.values.shape) - 1)
        total += weights[i][:, 0] * weights[j][:, 1] * weights[k][:, 2] * table.values[tuple(corner.T)]
    return np.where(inside, total, table.default)


# One sample --------------------------------------------------------------------------------------------------------


def lattice_factor(crystal: Crystal, lattice: Lattice, delta: Array) -> Array:
    """F_latt from δhkl (pixels, 3); for the square crystal δ stands for h."""
    n, volume = lattice.cells, float(np.prod(lattice.cells))
    if crystal.shape == "square":
        sine = np.where(delta == 0, 1, np.sin(np.pi * delta))
        return np.prod(np.where(delta == 0, n, np.sin(np.pi * n * delta) / sine), axis=1)
    if crystal.shape == "round":
        x = np.pi * np.sqrt(crystal.fudge * np.sum((delta * n) ** 2, axis=1))
        small = x < 1e-2  # where the closed form of g loses digits, its series
        y = np.where(small, 1, x)
        g = np.where(small, 1 - x**2 / 10 + x**4 / 280, 3 * (np.sin(y) / y - np.cos(y)) / y**2)
        return volume * 0.723601254558268 * g
    rho_sqr = np.sum((delta @ lattice.reciprocal) ** 2, axis=1) * volume**2
    if crystal.gauss_width == "edges":
        rho_sqr = np.sum((delta * n) ** 2, axis=1)
    if crystal.shape == "gauss":
        return volume * np.exp(-rho_sqr * crystal.fudge / 0.63)
    if crystal.shape == "tophat":
        return np.where(rho_sqr * crystal.fudge < 0.3969, volume, 0.0)
    raise NotImplementedError(crystal.shape)


def oversampling(experiment: Experiment, folder: Path, g: Geometry, lattice: Lattice) -> int:
    """Auto oversample: ceil(3·L/(λ0·distance/pixel)), at least 1; λ0 is the shortest of a spectrum."""
    if experiment.sampling.oversample:
        return experiment.sampling.oversample
    wavelength, beam = experiment.beam.wavelength_angstrom or 1.0, experiment.beam
    if beam.spectrum or beam.spectrum_file:
        wavelength = min(colour for colour, _ in spectrum_of(beam, folder, wavelength))
    longest = max(lattice.cells * np.linalg.norm(lattice.real, axis=1))
    return max(1, math.ceil(3 * longest / (wavelength * g.distance / g.pixel)))


# Pixel value -------------------------------------------------------------------------------------------------------


class Sensor(NamedTuple):
    """Layers of thickness ``step`` and attenuation coefficient ``mu`` in 1/m (0: everything is counted)."""

    layers: int
    step: float
    mu: float


def sensor_layers(detector: Detector, mode: str) -> Sensor:
    """Sensor layers [C-20]."""
    thickness, count, depth = (detector.thickness_um or 0.0) * 1e-6, detector.layers, detector.attenuation_depth_um
    if thickness <= 0 or depth == 0 or depth == math.inf:
        return Sensor(1, 0.0, 0.0)
    mu = 1 / thickness if depth is None else 1 / (depth * 1e-6)
    if count is None:
        return Sensor(2, thickness / 2, mu)
    if mode == "spec":
        return Sensor(count, thickness / count, mu)
    count = max(count, 2)
    return Sensor(count, thickness / (count - 1), mu)


def capture(sensor: Sensor, layer: int, cosine: Array) -> Array:
    """exp(−t·τ·µ/(d·o)) − exp(−(t+1)·τ·µ/(d·o)); 1 without thickness."""
    if sensor.mu == 0:
        return np.ones_like(cosine)
    return np.exp(-layer * sensor.step * sensor.mu / cosine) - np.exp(-(layer + 1) * sensor.step * sensor.mu / cosine)


def polarization(beam: Beam, g: Geometry, incident: Array, d: Array) -> Array:
    """½(1 + cos²2θ − K·(e² − m²)); 1 with -nopolar."""
    if not beam.polarization_correction:
        return np.ones(len(d))
    b_vector = unit(np.cross(g.p, incident))
    e_vector = unit(np.cross(incident, b_vector))
    return 0.5 * (1 + (d @ incident) ** 2 - beam.kahn_factor * ((d @ e_vector) ** 2 - (d @ b_vector) ** 2))


def fluence_per_m2(beam: Beam) -> float:
    """flux·exposure/beamsize² where -flux ≠ 0, exposure > 0, beamsize > 0."""
    if beam.flux_per_s != 0 and beam.exposure_s > 0 and beam.size_mm > 0:
        return beam.flux_per_s * beam.exposure_s / (beam.size_mm / 1000) ** 2
    return beam.fluence_per_m2


def spot_scale(experiment: Experiment, lattice: Lattice) -> float:
    """How many blocks of NaNbNc cells the beam meets: as given, else their share in the whole crystal's volume."""
    crystal, beam = experiment.crystal, experiment.beam
    if crystal.whole_size_mm is None:
        return 1.0 if crystal.spot_scale is None else crystal.spot_scale
    along, *across = crystal.whole_size_mm
    if beam.profile == "box":
        met = math.prod(min(edge, beam.size_mm) for edge in across)
    else:
        sigma = beam.size_mm / math.sqrt(8 * math.log(2))
        met = beam.size_mm**2 * math.prod(math.erf(edge / 2 / sigma / math.sqrt(2)) for edge in across)
    return float(along * met * 1e21 / (np.prod(lattice.cells) * abs(np.linalg.det(lattice.real))))


MATERIALS = {"water": (1.0, 18.015), "air": (0.0012, 28.96), "ice": (0.92, 18.015), "nano-ice": (0.93, 18.015)}
"""g/cm³ and g/mol."""
TABLES = Path(nbnumba.__file__).parent / "data"


def background(experiment: Experiment, folder: Path, waves: list[tuple[float, float]], sine: Array) -> Array:
    """I_bg = Σ F²·r_e²·fluence·molecules over materials; of F² the mean over wavelengths, each with its share.

    Water has W³·1e6·Avogadro/18 molecules, F = 2.57 or from the amorphous table [C-13]; a material those of its path
    times beamsize².
    """
    said, total = experiment.background, np.zeros(len(sine))

    def intensity(path: Path, axis: str) -> Array:
        rows = np.loadtxt(path, ndmin=2)
        rows = rows[np.argsort(rows[:, 0])]
        per_stol = {"stol": 1.0, "4stol": 4.0, "Q": 4 * math.pi}[axis]
        return sum(share * np.interp(sine / wave, rows[:, 0] / per_stol, rows[:, 1]) ** 2 for wave, share in waves)

    molecules = (said.water_um * 1e-6) ** 3 * 1e6 * AVOGADRO / 18
    if said.amorphous_file is not None and experiment.mode == "spec":
        total += molecules * intensity(folder / said.amorphous_file, said.amorphous_axis)
    else:
        total += molecules * 2.57**2
    for material in said.materials or ():
        known = MATERIALS.get(material.name or "", (0.0, 0.0))
        density, mass = material.density_g_per_cm3 or known[0], material.molar_mass_g_per_mol or known[1]
        volume_cm3 = material.path_mm * experiment.beam.size_mm**2 / 1000
        path = folder / material.table_file if material.table_file else TABLES / f"{material.name}.stol"
        total += AVOGADRO * density * volume_cm3 / mass * intensity(path, material.axis)
    return total * ELECTRON_RADIUS_SQR * fluence_per_m2(experiment.beam)


def background_waves(sources: list[Source]) -> list[tuple[float, float]]:
    """Wavelengths and shares of the photons: all of a spectrum that is wider than 1 %, else the first source's."""
    shining = [source for source in sources if source.weight > 0]
    waves, weights = (np.array([getattr(source, name) for source in shining]) for name in ("wavelength", "weight"))
    if waves.max() - waves.min() <= 0.01 * (1 + 1e-9) * (waves * weights).sum() / weights.sum():
        return [(sources[0].wavelength, 1.0)]
    return list(zip(waves, weights / weights.sum(), strict=True))


def pixel_values(experiment: Experiment, folder: Path, g: Geometry, fast_index: Array, slow_index: Array) -> Array:
    """Samples in the order layer, slow sub-pixel, fast sub-pixel, source, φ, domain."""
    spec, sampling = experiment.mode == "spec", experiment.sampling
    if not spec and (sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega):
        raise NotImplementedError("[C-11] depends on the order of evaluation")
    lattice, table = orient_crystal(experiment, folder), read_table(experiment, folder)
    sources, sensor = list_sources(experiment, folder, g), sensor_layers(experiment.detector, experiment.mode)
    orientations = [
        cell @ domain.T
        for cell in rotated_cells(experiment, g.u, lattice.real)
        for domain in mosaic_rotations(experiment.crystal)
    ]
    v = oversampling(experiment, folder, g, lattice)
    steps = len(sources) * len(orientations) * v**2

    pixels = len(fast_index)
    total, captured, polar = np.zeros(pixels), np.zeros(pixels), np.zeros(pixels)
    has_polar = np.zeros(pixels, dtype=bool)
    for layer, n, m in itertools.product(range(sensor.layers), range(v), range(v)):
        fast = (fast_index * v + m + 0.5) * g.pixel / v
        slow = (slow_index * v + n + 0.5) * g.pixel / v
        position = positions(experiment, g, fast, slow, layer * sensor.step)
        d = position / np.linalg.norm(position, axis=1)[:, None]
        omega, fraction = solid_angle(experiment, g, position), capture(sensor, layer, d @ g.o)
        if layer == m == n == 0:
            first_d, first_omega = d, omega
        if m == n == 0:
            layer_fraction = fraction
            captured = captured + fraction if spec else fraction  # [C-20]: the last layer's alone
        for source in sources:
            q = (d - source.direction) / source.wavelength
            kept = within_dmin(sampling.dmin_angstrom, q)
            kahn = polarization(experiment.beam, g, source.direction, d)
            polar = np.where(kept & ~has_polar, kahn, polar)
            has_polar |= kept
            weight = source.weight * np.ones(pixels)
            if spec:
                weight *= fraction if sampling.oversample_thick else layer_fraction
                weight *= kahn if sampling.oversample_polar else 1.0
                weight *= omega if sampling.oversample_omega else 1.0
            for orientation in orientations:
                intensity = sample_intensity(experiment, lattice, table, orientation, q)
                total += np.where(kept, weight * intensity, 0.0)

    if spec:
        polar = np.where(has_polar, polar, polarization(experiment.beam, g, sources[0].direction, first_d))
    elif not experiment.beam.polarization_correction:
        polar = np.ones(pixels)
    sine = np.linalg.norm(first_d - sources[0].direction, axis=1) / 2
    water = background(experiment, folder, background_waves(sources), sine)
    scale, blocks = ELECTRON_RADIUS_SQR * fluence_per_m2(experiment.beam) / steps, spot_scale(experiment, lattice)
    if not spec:
        return scale * polar * first_omega * captured * (water + blocks * total)  # [C-12], [C-20]
    crystal = blocks * scale * total
    crystal *= 1.0 if sampling.oversample_polar else polar
    crystal *= 1.0 if sampling.oversample_omega else first_omega
    return crystal + water * first_omega * polar * captured


def within_dmin(dmin: float, q: Array) -> Array:
    """Skipped if dmin > 0 and stol > 0 and dmin > 1/(2·stol)."""
    stol = np.linalg.norm(q, axis=1) / 2
    return ~((dmin > 0) & (stol > 0) & (dmin * 2 * stol > 1))


def sample_intensity(
    experiment: Experiment, lattice: Lattice, table: Table | None, orientation: Array, q: Array
) -> Array:
    """F²·F_latt² at h = a·q, k = b·q, l = c·q for the rows a, b, c of ``orientation``."""
    factors = experiment.structure_factors
    hkl = q @ orientation.T
    hkl0 = np.ceil(hkl - 0.5)
    interpolate = factors.interpolate
    if interpolate is None:
        interpolate = bool(np.any(lattice.cells <= 2))
    if table is None:
        structure_factor = np.full(len(q), factors.default_f)
    else:
        structure_factor = interpolated(table, hkl, experiment.mode) if interpolate else nearest(table, hkl0)
    return structure_factor**2 * lattice_factor(experiment.crystal, lattice, hkl - hkl0) ** 2
