"""How the value of one pixel comes about: every intermediate value ("tap"), in the order of the reference program.

The samples of the pixel are walked one by one with the kernels' own equations, as plain Python in float64. What is
printed, in which order and in which units, odd ones included, is what an instrumented nanoBragg prints.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..choices import BackendName, Precision
from ..errors import NbnumbaWarning, UsageError
from ..kernels import reference
from ..kernels.choices import SQUARE
from ..kernels.equations.lattice_factor import lattice_factor, square_factors
from ..kernels.equations.scattering import nearest_index
from ..kernels.equations.structure_factor import can_interpolate, interpolated_factor, nearest_factor
from ..kernels.equations.vectors import Vector, cross, dot, rotated_about, rotated_by, rotated_xyz, scaled
from ..kernels.plan import CrystalPlan, Plan
from ..kernels.walk import Pixel, Ray, Scene, layer_factor, photons_of, photons_of_sum, walk
from ..render.job import render
from ..setup.added import with_added
from ..setup.geometry import Geometry
from ..setup.resolve import Resolved
from ..units import ELECTRON_RADIUS_SQR_M2, RTD

REFERENCE = "reference"
PHI_LINE = ("phi_tic", "phi_deg", "k_frac", "F_latt_b", "F_latt")
"""Taps of a φ step that a log has; JSON has more."""

Taps = dict[str, Any]
"""Values by name: numbers, vectors, a word, or a mapping of numbers."""


@dataclass(frozen=True)
class Trace:
    """The taps of one pixel."""

    arithmetic: str
    """``reference``, or the backend and precision that the taps are from."""
    config: Taps
    """spixel and fpixel."""
    detector: Taps = field(default_factory=dict)
    """How the detector is placed."""
    pixel: Taps = field(default_factory=dict)
    """First sub-pixel, source, φ step and domain."""
    phi: tuple[Taps, ...] = ()
    """Every φ step, for the first sub-pixel, source and domain; ``photons`` is the step's share of the whole pixel."""
    scaling: Taps = field(default_factory=dict)
    """From the sum over all samples to photons."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``json.dump``."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The lines of a log, numbers with 15 significant digits."""
        for name, value in self.detector.items():
            yield f"TRACE_PY:{name}={_text(value)}"
        yield "TRACE_CONFIG: tracing pixel (spixel={spixel}, fpixel={fpixel})".format(**self.config)
        f_cell = {name: value for name, value in self.pixel.items() if name == "F_cell"}
        for name, value in self.pixel.items():
            if name not in f_cell:
                yield f"TRACE_PY: {name} {_text(value)}"
        for step in self.phi:
            yield "TRACE_PY_PHI " + " ".join(f"{name}={_text(step[name])}" for name in PHI_LINE if name in step)
            if step["phi_tic"] == 0:
                yield from (f"TRACE_PY: {name} {_text(value)}" for name, value in f_cell.items())
        for name, value in self.scaling.items():
            yield f"TRACE_PY: {name} {_text(value)}"


class Sample(NamedTuple):
    """One φ step and mosaic domain at the scattering vector of a ray."""

    step: int
    domain: int
    edges: tuple[Vector, Vector, Vector]
    """a, b, c as rotated, m."""
    hkl: Vector
    f_latt: float
    f_cell: float

    @property
    def intensity(self) -> float:
        """F²·F_latt²."""
        return self.f_cell * self.f_cell * self.f_latt * self.f_latt


def trace_pixel(resolved: Resolved, slow: int, fast: int) -> Trace:
    """All taps of one pixel, in the arithmetic of the reference renderer.

    Parameters
    ----------
    resolved : Resolved
    slow, fast : int
        The pixel, from 0; it may be masked or lie outside the region of interest.

    Raises
    ------
    UsageError
        A pixel that the detector does not have.
    """
    _check_pixel(resolved, slow, fast)
    plan = with_kept_phi(resolved.plan)
    first_plan = with_kept_phi(resolved.plan, very_first=(slow, fast) == first_evaluated_pixel(resolved.plan))
    if plan.factors.interpolate == 2:
        warnings.warn(
            f"the trace of slow {slow}, fast {fast} begins with interpolation on, which mode c may have switched off "
            "in an earlier pixel (C-10)",
            NbnumbaWarning,
            stacklevel=2,
        )
    notes = Notes(first_plan, plan.factors.interpolate > 0, [0.0] * len(plan.crystal.phi))
    scene = Scene(plan.detector, plan, plan.background, True, notes)
    pixel = walk(scene, reference.parts_with(_add_samples), slow, fast)
    photons = photons_of(scene, pixel)
    ray = notes.rays[0]
    phi = [_phi_taps(plan.crystal, sample, resolved.scan.phi_rad[sample.step], ray.q) for sample in notes.first_samples]
    if not plan.running_product:
        phi = _with_shares(phi, [photons_of_sum(plan, pixel, captured) for captured in notes.captured_by_phi])
    return Trace(
        REFERENCE,
        _config(slow, fast),
        _detector_taps(resolved.geometry),
        _pixel_taps(resolved, pixel, ray, phi[0]),
        tuple(phi),
        {
            "I_before_scaling": notes.intensity,
            "r_e_meters": math.sqrt(ELECTRON_RADIUS_SQR_M2),
            "r_e_sqr": ELECTRON_RADIUS_SQR_M2,
            "fluence_photons_per_m2": resolved.fluence_per_m2,
            "steps": resolved.steps,
            # Other programs have none.
            **({} if resolved.spot_scale == 1.0 else {"spot_scale": resolved.spot_scale}),
            "oversample_thick": plan.oversample_thick,
            "oversample_polar": plan.oversample_polar,
            "oversample_omega": plan.oversample_omega,
            "capture_fraction": _told_capture(plan, pixel, notes),
            "polar": pixel.polar,
            "omega_pixel": pixel.solid,
            "cos_2theta": dot(_floats(plan.sources.incident[ray.source]), ray.diffracted),
            "I_pixel_final": photons,
            "floatimage_accumulated": _in_image(resolved, photons, slow, fast),
        },
    )


def trace_backend(resolved: Resolved, slow: int, fast: int, backend: BackendName, precision: Precision) -> Trace:
    """The taps that a fast renderer has: photons of the pixel, and the share that each φ step has in them.

    The pixel is rendered alone, once as a whole and once for each φ step, without background, and with all samples,
    whatever the tolerance.

    Raises
    ------
    UsageError
        A pixel that the detector does not have.
    ResourceError
        The backend cannot be used here.
    """
    _check_pixel(resolved, slow, fast)
    is_first = (slow, fast) == first_evaluated_pixel(resolved.plan)
    plan = (resolved.plan if is_first else with_kept_phi(resolved.plan))._replace(tolerance=0.0)
    no_mask = np.zeros((0, 0), np.uint8)
    alone = plan._replace(detector=plan.detector._replace(roi=(fast, fast, slow, slow), mask=no_mask))

    def rendered(part: Plan) -> float:
        return float(render(replace(resolved, plans=(part,), added=None), backend, precision).photons[slow, fast])

    def share(angle: float) -> float:
        still = alone.crystal._replace(phi=np.array([angle]))
        return rendered(alone._replace(crystal=still, background=plan.background._replace(scale=0.0)))

    phi: list[Taps] = [
        {"phi_tic": step, "phi_deg": float(angle) * RTD} for step, angle in enumerate(resolved.scan.phi_rad)
    ]
    if is_first and not plan.running_product:
        # Every backend leaves this pixel to the reference renderer, since its rays have cells of their own (C-9).
        phi = _with_shares(phi, [step["photons"] for step in trace_pixel(resolved, slow, fast).phi])
    elif not plan.running_product:
        phi = _with_shares(phi, [share(angle) for angle in plan.crystal.phi])
    return Trace(
        f"{backend} {precision}",
        _config(slow, fast),
        phi=tuple(phi),
        scaling={"floatimage_accumulated": _in_image(resolved, rendered(alone), slow, fast)},
    )


def _with_shares(phi: Sequence[Taps], shares: Sequence[float]) -> list[Taps]:
    """The taps of the φ steps, each with its share of the pixel."""
    return [taps | {"photons": share} for taps, share in zip(phi, shares, strict=True)]


def brightest_pixels(photons: np.ndarray, count: int) -> list[tuple[int, int]]:
    """(slow, fast) of the brightest pixels of an image (slow, fast), the brightest first."""
    order = np.argsort(-photons, axis=None, kind="stable")[:count]
    return [(int(slow), int(fast)) for slow, fast in zip(*np.unravel_index(order, photons.shape), strict=True)]


def with_kept_phi(plan: Plan, very_first: bool = False) -> Plan:
    """The plan with the spindle angle that each step's cell really has, which needs no memory of the step before.

    Mode ``c`` keeps the cell where φ is exactly 0: that of the step before it, of the sweep's last where it is the
    first, the unrotated one in the very first evaluation of an image (C-9).
    """
    phi = plan.crystal.phi.copy()
    if plan.crystal.phi_carryover:
        kept = 0.0 if very_first else next((angle for angle in reversed(phi.tolist()) if angle), 0.0)
        for step, angle in enumerate(phi.tolist()):
            phi[step] = kept = angle or kept
    return plan._replace(crystal=plan.crystal._replace(phi=phi, phi_carryover=0))


def first_evaluated_pixel(plan: Plan) -> tuple[int, int] | None:
    """(slow, fast) where the very first evaluation of an image matters; None where it does not, or none is made."""
    crystal, detector = plan.crystal, plan.detector
    if not (crystal.phi_carryover and len(crystal.phi) > 1 and crystal.phi[0] == 0.0):
        return None
    image = np.zeros((detector.slow_pixels, detector.fast_pixels), np.float32)
    done = np.zeros(detector.slow_pixels, np.int64)
    memory = reference.fresh_memory(plan)
    # A mask or dmin may skip many a pixel before it.
    reference.render(plan, memory, image, done, np.zeros(1, np.int64), 1)
    if memory.samples[0] == 0:
        return None
    slow = int(np.flatnonzero(done)[-1])
    return slow, int(detector.roi[0] + done[slow] - 1)


# The walk through the samples of a pixel -------------------------------------------------------------------------


@dataclass
class Notes:
    """What the inner sum of a trace writes down, and a kernel's does not."""

    plan: Plan
    """Of the next ray that dmin keeps: the first has a cell of its own."""
    interpolating: bool
    """Whether F is still interpolated."""
    captured_by_phi: list[float]
    """Sum of the samples of each φ step, with the layers' capture fractions unless they apply to the whole."""
    intensity: float = 0.0
    """Sum of all, without these; with what the pixel begins with."""
    rays: list[Ray] = field(default_factory=list)
    first_samples: list[Sample] = field(default_factory=list)
    """Of the first ray and domain, one for each φ step."""


def _add_samples(scene: Scene, ray: Ray, total: float, layer_sum: float, outside: int) -> tuple[float, float, int]:
    """The inner sum: F²·F_latt² in the order of the reference."""
    plan, notes = scene.plan, scene.own
    is_first = not notes.rays
    if is_first:
        notes.intensity = total
    notes.rays.append(ray)
    of_ray = plan
    if ray.kept:
        of_ray, notes.plan = notes.plan, plan
    elif not is_first:
        return total, layer_sum, outside
    for sample in _samples(of_ray, ray, notes):
        if is_first and sample.domain == 0:
            notes.first_samples.append(sample)
        if not ray.kept or (sample.f_latt == 0.0 and plan.background.scale == 0.0):
            continue
        if plan.running_product:
            total = notes.intensity = (total + sample.intensity) * ray.weight
        else:
            weighted = ray.weight * sample.intensity
            layer_sum += weighted
            notes.intensity += weighted
            notes.captured_by_phi[sample.step] += weighted * layer_factor(plan, ray.capture)
    return total, layer_sum, outside


def _told_capture(plan: Plan, pixel: Pixel, notes: Notes) -> float:
    """The fraction of photons that is captured: of the last layer, or the mean over layers, weighted by intensity."""
    if plan.last_capture or plan.oversample_thick:
        return next(ray.capture for ray in notes.rays if ray.layer == plan.detector.layers - 1)
    return pixel.total / notes.intensity if notes.intensity else pixel.captured / plan.detector.layers


def _samples(plan: Plan, ray: Ray, notes: Notes) -> Iterator[Sample]:
    """φ step and mosaic domain: the inner loops."""
    crystal, q, channel = plan.crystal, ray.q, int(plan.sources.channel[ray.source])
    for step, phi in enumerate(crystal.phi.tolist()):
        turned = [rotated_about(edge, crystal.spindle, phi) for edge in (crystal.a, crystal.b, crystal.c)]
        for domain, rotation in enumerate(crystal.domains):
            a, b, c = (_floats(rotated_by(edge, rotation)) for edge in turned)
            h, k, l = dot(a, q), dot(b, q), dot(c, q)
            dh, dk, dl = (index - nearest_index(index) for index in (h, k, l))
            f_latt = lattice_factor(crystal, h, k, l, dh, dk, dl)
            f_cell = _structure_factor(plan, channel, (h, k, l), notes)
            yield Sample(step, domain, (a, b, c), (h, k, l), f_latt, f_cell)


def _structure_factor(plan: Plan, channel: int, hkl: Vector, notes: Notes) -> float:
    """F: interpolated where asked for and possible, else of the nearest index or the default."""
    factors = plan.factors
    if notes.interpolating:
        if can_interpolate(factors, *hkl):
            return float(interpolated_factor(factors, channel, *hkl))
        if factors.interpolate == 1:
            return factors.default
        notes.interpolating = False
    return float(nearest_factor(factors, channel, *(nearest_index(index) for index in hkl)))


# Taps ------------------------------------------------------------------------------------------------------------


def _config(slow: int, fast: int) -> Taps:
    return {"spixel": slow, "fpixel": fast}


def _detector_taps(geometry: Geometry) -> Taps:
    """How the detector is placed; the corner before its rotations only where it turns with them (sample pivot)."""
    g = geometry
    fclose, sclose, close_distance = g.placed_close_m
    rotx, roty, rotz = g.rotations_rad
    fast, slow, normal = g.unrotated
    turned = [rotated_xyz(v, *g.rotations_rad) for v in g.unrotated]
    origin: Taps = {}
    if g.pivot == "sample":
        origin = {
            "term_fast_before_rot": scaled(fast, -fclose),
            "term_slow_before_rot": scaled(slow, -sclose),
            "term_close_before_rot": scaled(normal, close_distance),
            "pix0_before_rotation": g.unrotated_origin_m,
            "pix0_after_rotz": rotated_xyz(g.unrotated_origin_m, *g.rotations_rad),
        }
    return {
        "detector_convention": g.convention.upper(),
        "angles_rad": {"rotx": rotx, "roty": roty, "rotz": rotz, "twotheta": g.twotheta_rad},
        "beam_center_m": {
            "Xclose": g.xclose_m / 1000.0,
            "Yclose": g.yclose_m / 1000.0,
            "pixel_mm": g.pixel_m * 1000.0,
        },
        "initial_fdet": fast,
        "initial_sdet": slow,
        "initial_odet": normal,
        "Fclose_m": fclose,
        "Sclose_m": sclose,
        "close_distance_m": close_distance,
        "ratio": g.ratio,
        "distance_m": g.distance_m,
        **origin,
        "pix0_after_twotheta": g.origin_m,
        "fdet_after_rotz": turned[0],
        "sdet_after_rotz": turned[1],
        "odet_after_rotz": turned[2],
        "twotheta_axis": g.twotheta_axis,
        "fdet_after_twotheta": g.fast,
        "sdet_after_twotheta": g.slow,
        "odet_after_twotheta": g.normal,
    }


def _pixel_taps(resolved: Resolved, pixel: Pixel, ray: Ray, first_step: Taps) -> Taps:
    """The first ray, and the first φ step at it."""
    detector, sources, lattice = resolved.plan.detector, resolved.plan.sources, resolved.lattice
    wavelength = float(sources.wavelength[ray.source])
    of_step = ("rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms")
    of_sample = ("hkl_frac", "hkl_rounded", "F_latt_a", "F_latt_b", "F_latt_c", "F_latt", "F_cell")
    return {
        "pix0_vector_meters": detector.origin,
        "fdet_vec": detector.fast,
        "sdet_vec": detector.slow,
        "pixel_pos_meters": ray.point,
        "R_distance_meters": ray.airpath,
        "omega_pixel_sr": pixel.solid,
        "close_distance_meters": detector.close_distance,
        "obliquity_factor": detector.close_distance / ray.airpath,
        "diffracted_vec": ray.diffracted,
        "incident_vec": _floats(sources.incident[ray.source]),
        "lambda_meters": wavelength,
        "lambda_angstroms": wavelength * 1e10,
        "scattering_vec_A_inv": ray.q,
        **{name: first_step[name] for name in of_step},
        "rot_a_star_A_inv": lattice.a_star,
        "rot_b_star_A_inv": lattice.b_star,
        "rot_c_star_A_inv": lattice.c_star,
        **{name: first_step[name] for name in of_sample if name in first_step},
    }


def _phi_taps(crystal: CrystalPlan, sample: Sample, phi: float, q: Vector) -> Taps:
    """One φ step; the interference of single axes is that of a parallelepiped alone."""
    a, b, c = (scaled(edge, 1e10) for edge in sample.edges)
    volume = dot(a, cross(b, c))
    along: Taps = {}
    if crystal.shape == SQUARE:
        names = ("F_latt_a", "F_latt_b", "F_latt_c")
        along = dict(zip(names, square_factors(crystal, *sample.hkl), strict=True))
    return {
        "phi_tic": sample.step,
        "phi_deg": float(phi) * RTD,
        "k_frac": sample.hkl[1],
        "rot_a_angstroms": a,
        "rot_b_angstroms": b,
        "rot_c_angstroms": c,
        "V_actual": volume,
        "rotated_a_star_A_inv": scaled(cross(b, c), 1.0 / volume),
        "rotated_b_star_A_inv": scaled(cross(c, a), 1.0 / volume),
        "rotated_c_star_A_inv": scaled(cross(a, b), 1.0 / volume),
        "scattering_vec_A_inv": q,
        "hkl_frac": sample.hkl,
        "hkl_rounded": tuple(nearest_index(index) for index in sample.hkl),
        **along,
        "F_latt": sample.f_latt,
        "F_cell": sample.f_cell,
    }


def _check_pixel(resolved: Resolved, slow: int, fast: int) -> None:
    resolved.check_single_lattice("a trace is")
    resolved.check_crystal("a trace is")
    detector = resolved.plan.detector
    if not (0 <= slow < detector.slow_pixels and 0 <= fast < detector.fast_pixels):
        raise UsageError(
            f"trace of slow {slow}, fast {fast}: the detector has slow 0 to {detector.slow_pixels - 1}, "
            f"fast 0 to {detector.fast_pixels - 1}"
        )


def _in_image(resolved: Resolved, photons: float, slow: int, fast: int) -> float:
    """What the image has in a pixel of so many photons: with those that are added to it, 0 where it is not rendered."""
    if not _is_rendered(resolved.plan, slow, fast):
        return 0.0
    return float(with_added(np.float32(photons), None if resolved.added is None else resolved.added[slow, fast]))


def _is_rendered(plan: Plan, slow: int, fast: int) -> bool:
    fast0, fast1, slow0, slow1 = plan.detector.roi
    inside = fast0 <= fast <= fast1 and slow0 <= slow <= slow1
    return inside and (plan.detector.mask.size == 0 or bool(plan.detector.mask[slow, fast]))


def _floats(v: Sequence[float]) -> Vector:
    return float(v[0]), float(v[1]), float(v[2])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}:{_text(number)}" for name, number in value.items())
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return value if isinstance(value, str) else f"{value:.15g}"
