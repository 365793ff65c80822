"""The plain renderer: float64, serial, loop by loop as the reference program goes.

Every feature in both modes, those included whose result depends on the order of evaluation. It is the oracle of
the fast kernels and serves what only makes sense in serial order.
"""

from typing import NamedTuple

import numpy as np

from .compile.jit import compiled
from .equations.background import background_intensity
from .equations.lattice_factor import lattice_factor
from .equations.orientation import turn_cell, unrotated_cell
from .equations.pixel import capture_fraction, position, solid_angle
from .equations.polarization import polarization_factor
from .equations.scattering import beyond_resolution, nearest_index, scattering_vector, sin_theta_over_lambda
from .equations.structure_factor import can_interpolate, interpolated_factor, nearest_factor
from .equations.vectors import dot, length, rotated_by, scaled


class Memory(NamedTuple):
    """What the reference carries from one sample to the next."""

    turned: np.ndarray
    """Cell a, b, c of the φ step evaluated last, rows in m."""
    interpolating: np.ndarray
    """[1] until a sample falls outside the table (mode c), [0] after it."""
    outside: np.ndarray
    """[number of samples that were to be interpolated but lie outside the table]."""
    samples: np.ndarray
    """[number of samples evaluated]."""


@compiled()
def fresh_memory(plan):
    """Memory before the first sample of an image."""
    return Memory(
        unrotated_cell(plan.crystal),
        np.array([np.int64(plan.factors.interpolate > 0)]),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )


@compiled()
def structure_factor(factors, memory, h, k, l):
    """F at h, k, l: interpolated where asked for and possible, else of the nearest index or the default."""
    if memory.interpolating[0]:
        if can_interpolate(factors, h, k, l):
            return interpolated_factor(factors, h, k, l)
        memory.outside[0] += 1
        if factors.interpolate == 1:
            return factors.default
        memory.interpolating[0] = 0
    return nearest_factor(factors, nearest_index(h), nearest_index(k), nearest_index(l))


@compiled()
def sample_intensity(plan, memory, q, domain):
    """F² · F_latt² of one mosaic domain at the scattering vector q; −1 where the reference skips the sample."""
    turned = memory.turned
    memory.samples[0] += 1
    h = dot(rotated_by((turned[0, 0], turned[0, 1], turned[0, 2]), domain), q)
    k = dot(rotated_by((turned[1, 0], turned[1, 1], turned[1, 2]), domain), q)
    l = dot(rotated_by((turned[2, 0], turned[2, 1], turned[2, 2]), domain), q)
    dh, dk, dl = h - nearest_index(h), k - nearest_index(k), l - nearest_index(l)
    f_latt = lattice_factor(plan.crystal, h, k, l, dh, dk, dl)
    if f_latt == 0.0 and plan.background.scale == 0.0:
        return -1.0
    f_cell = structure_factor(plan.factors, memory, h, k, l)
    return f_cell * f_cell * f_latt * f_latt


@compiled()
def pixel_value(plan, memory, slow, fast):
    """Photons in one pixel: section by section as in the reference, outermost loop first."""
    detector, sources, crystal, background = plan.detector, plan.sources, plan.crystal, plan.background
    step = detector.pixel / plan.oversample
    polar = 0.0 if plan.polarization_correction else 1.0
    solid = 0.0
    first_solid = 0.0
    captured = 0.0
    amorphous = 0.0
    polar_known = False
    first_polar = polar
    total = background.in_sum * background_intensity(background, 0.0)

    for layer in range(detector.layers):
        depth = layer * detector.layer_step
        capture = 0.0
        layer_sum = 0.0
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                first_of_layer = sub_slow == 0 and sub_fast == 0
                first_of_pixel = layer == 0 and first_of_layer
                point = position(
                    detector,
                    step * (fast * plan.oversample + sub_fast) + step / 2.0,
                    step * (slow * plan.oversample + sub_slow) + step / 2.0,
                    depth,
                )
                airpath = length(point)
                diffracted = scaled(point, 1.0 / airpath)
                if first_of_pixel or plan.oversample_omega:
                    solid = solid_angle(detector, airpath)
                if first_of_pixel:
                    first_solid = solid
                if first_of_layer or plan.oversample_thick:
                    capture = capture_fraction(detector, layer, diffracted)
                if first_of_layer:
                    captured += capture

                for source in range(sources.wavelength.shape[0]):
                    incident = (
                        sources.incident[source, 0], sources.incident[source, 1], sources.incident[source, 2]
                    )  # fmt: skip
                    q = scattering_vector(diffracted, incident, sources.wavelength[source])
                    stol = sin_theta_over_lambda(q)
                    skipped = beyond_resolution(stol, plan.dmin)
                    if first_of_pixel and source == 0:
                        amorphous = background_intensity(background, stol)
                    counts = not skipped or (plan.polar_of_skipped and first_of_pixel and source == 0)
                    wanted = plan.polarization_correction and (plan.oversample_polar or not polar_known)
                    if counts and wanted:
                        polar = polarization_factor(plan.kahn, incident, diffracted, plan.polarization_axis)
                        if not polar_known:
                            first_polar = polar
                            polar_known = not skipped
                    if skipped:
                        continue

                    weight = sources.weight[source]
                    if plan.oversample_omega:
                        weight *= solid
                    if plan.oversample_polar:
                        weight *= polar
                    if plan.oversample_thick:
                        weight *= capture
                    for phi in crystal.phi:
                        turn_cell(crystal, phi, memory.turned)
                        for domain in range(crystal.domains.shape[0]):
                            intensity = sample_intensity(plan, memory, q, crystal.domains[domain])
                            if plan.running_product:
                                if intensity >= 0.0:
                                    total = (total + intensity) * weight
                            elif intensity > 0.0:
                                layer_sum += weight * intensity
        total += layer_sum if plan.oversample_thick or plan.last_capture else capture * layer_sum

    photons = plan.photons_per_sample * total
    if not plan.oversample_omega:
        photons *= first_solid
    if not plan.oversample_polar:
        photons *= first_polar
    if plan.last_capture and not plan.oversample_thick:
        photons *= capture
    if not background.in_sum:
        photons += amorphous * first_solid * first_polar * captured
    return photons


@compiled()
def render(plan, memory, image, done, stop, most):
    """Fill ``image`` (slow, fast) in raster order.

    ``done`` (slow,) counts the pixels of each row that are finished; a set ``stop`` ends it early, as does the pixel
    in which the number of samples reaches ``most``.
    """
    detector = plan.detector
    masked = detector.mask.shape[0] > 0
    fast0, fast1, slow0, slow1 = detector.roi
    for slow in range(slow0, slow1 + 1):
        for fast in range(fast0, fast1 + 1):
            if stop[0] or memory.samples[0] >= most:
                return
            if not masked or detector.mask[slow, fast]:
                image[slow, fast] = pixel_value(plan, memory, slow, fast)
            done[slow] += 1
