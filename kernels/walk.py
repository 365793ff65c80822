"""The way through a pixel: sensor layer, sub-pixel, source. What is summed at its end is the caller's.

Here stands which factor counts for a sample, which for a layer or the pixel, and what makes photons of the sum: for the
plain renderer, a thread of a GPU and the trace. ``cpu/`` takes the same steps with a block of pixels at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .compile.equation import equation
from .equations.pixel import capture_fraction, solid_angle
from .equations.scattering import beyond_resolution, sin_theta_over_lambda
from .equations.vectors import Vector, length, scaled


class Scene(NamedTuple):
    """What a walk sees."""

    detector: Any
    plan: Any
    background: Any
    """These three have the names of DetectorPlan, Plan and BackgroundPlan; on a card they are one record."""
    with_background: bool
    """Whether amorphous material counts: with the first alone of those who share a pixel's orientations."""
    own: Any
    """What the parts need."""


class Parts(NamedTuple):
    """What each renderer does in its own way, by functions of the scene and the arguments named."""

    point: Callable[..., Any]
    """``(fast, slow, depth)``: point of the detector's surface, from offsets in m."""
    sources: Callable[..., Any]
    """``()``: how many there are."""
    scattering: Callable[..., Any]
    """``(source, diffracted)``: q of a source, by its number, and a ray."""
    polarization: Callable[..., Any]
    """``(source, diffracted)``: factor of the same."""
    weight: Callable[..., Any]
    """``(source)``: its share in the beam, 1 on average."""
    background: Callable[..., Any]
    """``(stol)``: photons per steradian from amorphous material at sin θ/λ."""
    samples: Callable[..., Any]
    """``(ray, total, layer_sum, outside)``: the inner sum, which returns the last three with a ray's samples added."""


class Ray(NamedTuple):
    """One sub-pixel of one sensor layer as one source sees it, SI."""

    layer: int
    source: int
    point: Vector
    airpath: float
    diffracted: Vector
    q: Vector
    kept: bool
    """By dmin."""
    capture: float
    weight: float
    """Of its samples: the source's, times the factors that are oversampled; 0 where they are not kept."""


class Pixel(NamedTuple):
    """A sum of samples, and what makes photons of it."""

    total: float
    outside: int
    """Samples outside the table of structure factors."""
    solid: float
    """Steradian, of the first sub-pixel."""
    polar: float
    """Polarization of the first sample that is kept."""
    capture: float
    """Fraction that the last layer captures."""
    captured: float
    """Sum of these fractions over the layers."""
    amorphous: float
    """Photons per steradian from amorphous material, but for what the total holds."""


@equation
def layer_factor(plan, capture):
    """Factor of a layer's sum: the fraction that the layer captures, unless each sample or the whole is given it."""
    return 1.0 if plan.oversample_thick or plan.last_capture else capture


@equation
def walk(scene, parts, slow, fast):
    """All samples of a pixel: outermost loop first, as in the reference."""
    detector, plan, background = scene.detector, scene.plan, scene.background
    step = detector.pixel / plan.oversample
    polar_known = False
    polar = first_polar = 0.0 if plan.polarization_correction else 1.0
    solid = first_solid = capture = captured = amorphous = 0.0
    outside = 0
    total = parts.background(scene, 0.0) if background.in_sum and scene.with_background else 0.0

    for layer in range(detector.layers):
        depth = layer * detector.layer_step
        layer_sum = 0.0
        for sub_slow in range(plan.oversample):
            for sub_fast in range(plan.oversample):
                first_of_layer = sub_slow == 0 and sub_fast == 0
                first_of_pixel = layer == 0 and first_of_layer
                along_fast = step * (fast * plan.oversample + sub_fast) + step / 2.0
                along_slow = step * (slow * plan.oversample + sub_slow) + step / 2.0
                point = parts.point(scene, along_fast, along_slow, depth)
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

                for source in range(parts.sources(scene)):
                    first_sample = first_of_pixel and source == 0
                    q = parts.scattering(scene, source, diffracted)
                    kept = True
                    if plan.dmin > 0.0:
                        kept = not beyond_resolution(sin_theta_over_lambda(q), plan.dmin)
                    if first_sample and not background.in_sum and scene.with_background:
                        amorphous = parts.background(scene, sin_theta_over_lambda(q))
                    counts = kept or (plan.polar_of_skipped and first_sample)
                    wanted = plan.polarization_correction and (plan.oversample_polar or not polar_known)
                    if counts and wanted:
                        polar = parts.polarization(scene, source, diffracted)
                        if not polar_known:
                            first_polar = polar
                            polar_known = kept

                    weight = parts.weight(scene, source) if kept else 0.0
                    weight *= solid if plan.oversample_omega else 1.0
                    weight *= polar if plan.oversample_polar else 1.0
                    weight *= capture if plan.oversample_thick else 1.0
                    ray = Ray(layer, source, point, airpath, diffracted, q, kept, capture, weight)
                    total, layer_sum, outside = parts.samples(scene, ray, total, layer_sum, outside)
        total += layer_factor(plan, capture) * layer_sum
    return Pixel(total, outside, first_solid, first_polar, capture, captured, amorphous)


@equation
def photons_of_sum(plan, pixel, total):
    """Photons of a pixel's sum or of a part of it: the factors that no sample has been given."""
    photons = plan.photons_per_sample * total
    photons *= 1.0 if plan.oversample_omega else pixel.solid
    photons *= 1.0 if plan.oversample_polar else pixel.polar
    photons *= pixel.capture if plan.last_capture and not plan.oversample_thick else 1.0
    return photons


@equation
def photons_of(scene, pixel):
    """Photons of a pixel, with the amorphous material's."""
    photons = photons_of_sum(scene.plan, pixel, pixel.total)
    if not scene.background.in_sum:
        photons += pixel.amorphous * pixel.solid * pixel.polar * pixel.captured
    return photons
