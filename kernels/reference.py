"""The plain renderer: float64, serial, loop by loop as the reference program goes; the outer loops are ``walk.py``.

Every feature in both modes, those included whose result depends on the order of evaluation. It is the oracle of
the fast kernels and serves what only makes sense in serial order.
"""

from typing import NamedTuple

import numpy as np

from .compile.equation import equation
from .compile.jit import compiled
from .equations.background import background_intensity
from .equations.lattice_factor import lattice_factor
from .equations.orientation import turn_cell, unrotated_cell
from .equations.pixel import position
from .equations.polarization import polarization_factor
from .equations.scattering import nearest_index, scattering_vector
from .equations.structure_factor import can_interpolate, interpolated_factor, nearest_factor
from .equations.vectors import dot, rotated_by
from .walk import Parts, Scene, photons_of, walk


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
def structure_factor(factors, memory, channel, h, k, l):
    """F at h, k, l: interpolated where asked for and possible, else of the nearest index or the default."""
    if memory.interpolating[0]:
        if can_interpolate(factors, h, k, l):
            return interpolated_factor(factors, channel, h, k, l)
        memory.outside[0] += 1
        if factors.interpolate == 1:
            return factors.default
        memory.interpolating[0] = 0
    return nearest_factor(factors, channel, nearest_index(h), nearest_index(k), nearest_index(l))


@compiled()
def sample_intensity(plan, memory, channel, q, domain):
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
    f_cell = structure_factor(plan.factors, memory, channel, h, k, l)
    return f_cell * f_cell * f_latt * f_latt


# The parts of its walk ---------------------------------------------------------------------------------------------


@equation
def surface_point(scene, fast, slow, depth):
    """Point in m of the detector's surface."""
    return position(scene.detector, fast, slow, depth)


@equation
def source_count(scene):
    """How many sources there are."""
    return scene.plan.sources.wavelength.shape[0]


@equation
def incident_of(scene, source):
    """Direction in which the rays of a source travel."""
    incident = scene.plan.sources.incident
    return float(incident[source, 0]), float(incident[source, 1]), float(incident[source, 2])


@equation
def scattering_of(scene, source, diffracted):
    """q of a source and a ray."""
    wavelength = float(scene.plan.sources.wavelength[source])
    return scattering_vector(diffracted, incident_of(scene, source), wavelength)


@equation
def polarization_of(scene, source, diffracted):
    """Polarization factor of a source and a ray."""
    return polarization_factor(scene.plan.kahn, incident_of(scene, source), diffracted, scene.plan.polarization_axis)


@equation
def weight_of(scene, source):
    """Share of a source in the beam, 1 on average."""
    return float(scene.plan.sources.weight[source])


@equation
def amorphous_of(scene, stol):
    """Photons per steradian from amorphous material at sin θ/λ."""
    return background_intensity(scene.background, stol)


@equation
def parts_with(samples):
    """The parts, with an inner sum."""
    return Parts(surface_point, source_count, scattering_of, polarization_of, weight_of, amorphous_of, samples)


@equation
def add_samples(scene, ray, total, layer_sum, outside):
    """The plain inner sum: φ, then domain; what the scene has of its own is :class:`Memory`."""
    plan, memory, crystal = scene.plan, scene.own, scene.plan.crystal
    if ray.kept:
        channel = plan.sources.channel[ray.source]
        for phi in crystal.phi:
            turn_cell(crystal, phi, memory.turned)
            for domain in range(crystal.domains.shape[0]):
                intensity = sample_intensity(plan, memory, channel, ray.q, crystal.domains[domain])
                if plan.running_product:
                    if intensity >= 0.0:
                        total = (total + intensity) * ray.weight
                elif intensity > 0.0:
                    layer_sum += ray.weight * intensity
    return total, layer_sum, outside


@compiled()
def pixel_value(plan, memory, slow, fast):
    """Photons in one pixel."""
    scene = Scene(plan.detector, plan, plan.background, True, memory)
    return photons_of(scene, walk(scene, parts_with(add_samples), slow, fast))


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
