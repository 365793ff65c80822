"""What must hold of any simulator's images, whatever the experiment.

Each property takes a function from an experiment to an image (slow, fast) in photons and an experiment without an
SMV header or mask, renders variants of it, and raises an AssertionError that says what does not hold. Where mode
``c`` breaks a property by what it is, that part of the experiment is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..experiment import Detector, Experiment, Sampling, Scan, Vector, changed
from ..experiment.quirks import quirks_of
from ..kernels.equations.lattice_factor import SPOTS
from ..kernels.equations.pixel import solid_angle
from ..kernels.equations.vectors import cross, dot, rotated_about, unit
from ..render.job import render as render_resolved
from ..setup.crystal import shape_of
from ..setup.scan import sample_phi
from ..tolerances import DARK, OTHER_SUMS, SAME_PHYSICS, Tolerance
from ..units import ELECTRON_RADIUS_SQR_M2
from . import variants
from .variants import in_custom_axes, xyz_angles_deg

Array = npt.NDArray[Any]
Render = Callable[[Experiment], Array]

TURN = (0.35, -0.6, 0.9)
"""Angles in rad, about x, then y, then z, by which :func:`laboratory_may_be_turned` turns everything."""


def render(experiment: Experiment) -> Array:
    """Photons by this package, on the CPU.

    Parameters
    ----------
    experiment : Experiment
        What is rendered.

    Returns
    -------
    float32 array, shape (slow, fast)
        Photons per pixel.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment, its files or the machine.
    """
    return render_resolved(variants.resolved_of(experiment), backend="cpu").photons


# Proportions -------------------------------------------------------------------------------------------------------


def f_squared_scales_intensity(render: Render, experiment: Experiment) -> None:
    """Twice the structure factor, four times the photons; the same F for every reflection is taken.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.without_water(variants.linear(experiment))
    single = changed(experiment, structure_factors={"hkl_file": None, "default_f": 50.0})
    double = changed(single, structure_factors={"default_f": 100.0})
    _assert_same(render(double), 4.0 * render(single).astype(float), "photons do not go with F²")


def fluence_scales_intensity(render: Render, experiment: Experiment) -> None:
    """Three times the fluence, three times the photons, water's included.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.linear(changed(experiment, beam={"flux_per_s": 0.0, "fluence_per_m2": 1e28}))
    brighter = changed(experiment, beam={"fluence_per_m2": 3e28})
    _assert_same(render(brighter), 3.0 * render(experiment).astype(float), "photons do not go with fluence")


def lengths_of_the_detector_may_be_scaled(render: Render, experiment: Experiment, factor: float = 3.0) -> None:
    """A detector of ``factor`` times the size, that many times farther away, sees the same image.

    With the solid angle of a point, 1/R², the photons go down by factor².

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    factor : float
        How many times longer.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.linear(experiment)
    distances = (experiment.detector.distance_mm, experiment.detector.close_distance_mm)
    defaults = {"pixel_mm": experiment.detector.pixel_mm or 0.1}
    if distances == (None, None):
        defaults["distance_mm"] = 100.0
    experiment = changed(experiment, detector=defaults)
    lengths = [item.name for item in fields(Detector) if item.name.endswith(("_mm", "_um"))]
    scaled = {name: variants.times(getattr(experiment.detector, name), factor) for name in lengths}
    expected = render(experiment).astype(float) / (factor**2 if experiment.detector.point_pixel else 1.0)
    _assert_same(
        render(changed(experiment, detector=scaled)),
        expected,
        f"a detector {factor:g} times larger and farther away sees another image",
        OTHER_SUMS,
    )


def lengths_of_the_crystal_may_be_scaled(render: Render, experiment: Experiment, factor: float = 1.7) -> None:
    """Cell, wavelength and resolution limit, all ``factor`` times longer, give the same image; needs a cell.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    factor : float
        How many times longer.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    crystal = experiment.crystal
    assert crystal.cell is not None
    a, b, c, *angles = crystal.cell
    scaled = changed(
        changed(experiment, crystal=variants.counted(experiment)),
        beam={"wavelength_angstrom": factor * (experiment.beam.wavelength_angstrom or 1.0)},
        crystal={
            "cell": (factor * a, factor * b, factor * c, *angles),
            "fudge": crystal.fudge * (1.0 if SPOTS[shape_of(crystal)].in_indices else factor**2),
        },
        sampling={"dmin_angstrom": factor * experiment.sampling.dmin_angstrom},
    )
    _assert_same(
        render(scaled), render(experiment), f"Å and wavelength {factor:g} times longer change the image", OTHER_SUMS
    )


# Sums --------------------------------------------------------------------------------------------------------------


def roi_is_a_crop(render: Render, experiment: Experiment, roi: tuple[int, int, int, int], exact: bool = True) -> None:
    """A region of interest holds the pixels of the whole image, to the last bit if ``exact``, and nothing outside.

    Not for mode ``c`` with interpolation, which may be switched off on the way to the region (C-10).

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    roi : tuple of 4 ints
        First and last fast, first and last slow pixel, all inclusive.
    exact : bool
        To the last bit, or within the rounding of float32.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = replace(experiment, phi_carryover="spec")
    whole = render(changed(experiment, detector={"roi": None}))
    part = render(changed(experiment, detector={"roi": roi}))
    expected = np.zeros_like(whole)
    inside = (slice(roi[2], roi[3] + 1), slice(roi[0], roi[1] + 1))
    expected[inside] = whole[inside]
    otherwise = f"roi {roi} differs from that part of the whole image"
    if exact:
        assert np.array_equal(part, expected), f"{otherwise} in {np.count_nonzero(part != expected)} pixels"
    else:
        _assert_same(part, expected, otherwise)


def scan_is_the_mean_of_stills(render: Render, experiment: Experiment) -> None:
    """The image of a scan is the mean of the images at the start of each of its steps.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.linear(experiment)
    angles = np.degrees(sample_phi(experiment.scan).phi_rad)
    stills = [render(replace(experiment, scan=Scan(phi_deg=float(phi)))) for phi in angles]
    _assert_same(
        render(experiment),
        np.mean(stills, axis=0, dtype=float),
        f"the scan over φ = {angles} is not the mean of its stills",
        OTHER_SUMS,
    )


def sources_average(render: Render, experiment: Experiment, folder: Path) -> None:
    """Many sources give the average of their images, by their weights (mode ``c``: without).

    The sources are those of the experiment's divergence and spectrum, written as lists into ``folder``. Polarization
    is left out, since the first source's counts for all.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    folder : path
        Where lists of sources are written.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.without_water(variants.linear(changed(experiment, beam={"polarization_correction": False})))
    sources = variants.resolved_of(experiment).sources
    weights = 1.0 + np.arange(len(sources.weight))
    columns = (-10.0 * sources.incident, weights[:, None], 1e-10 * sources.wavelength_angstrom[:, None])
    rows = np.hstack(columns)

    def image(name: str, listed: Array) -> Array:
        path = folder / f"{name}.txt"
        path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in listed.tolist()))
        return render(changed(experiment, beam={"source_file": str(path)}))

    images = [image(f"source_{number}", row[None]) for number, row in enumerate(rows)]
    expected = np.average(images, axis=0, weights=None if quirks_of(experiment).source_weights_ignored else weights)
    _assert_same(image("sources", rows), expected, f"{len(rows)} sources do not average", OTHER_SUMS)
    equal = np.mean(images, axis=0, dtype=float)
    _assert_same(render(experiment), equal, "divergence and spectrum are not their list of sources", OTHER_SUMS)


def subpixels_are_small_pixels(render: Render, experiment: Experiment, across: int = 2) -> None:
    """A pixel with all factors evaluated for each sub-pixel is the sum of ``across``² pixels of that size.

    Mode ``spec``, orthonormal detector axes.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    across : int
        Sub-pixels along each edge.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    every = Sampling(across, True, True, True, experiment.sampling.dmin_angstrom)
    experiment = in_custom_axes(variants.without_water(replace(experiment, sampling=every)))
    coarse = changed(experiment, detector={"roi": None, "point_pixel": False})
    detector = coarse.detector
    assert detector.fast_pixels is not None
    assert detector.slow_pixels is not None
    assert detector.pixel_mm is not None
    fine = changed(
        coarse,
        detector={
            "pixel_mm": detector.pixel_mm / across,
            "fast_pixels": detector.fast_pixels * across,
            "slow_pixels": detector.slow_pixels * across,
        },
        sampling={"oversample": 1},
    )
    shape = (detector.slow_pixels, across, detector.fast_pixels, across)
    binned = render(fine).reshape(shape).sum(axis=(1, 3), dtype=float)
    _assert_same(render(coarse), binned, f"{across}² sub-pixels are not {across}² small pixels", OTHER_SUMS)


# Bounds ------------------------------------------------------------------------------------------------------------


def photons_are_not_negative(render: Render, experiment: Experiment) -> None:
    """Every pixel is finite and 0 or more, where the detector faces the sample; mode ``c``'s curved one has no sensor.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    image = render(variants.linear(variants.seen_from_the_front(experiment)))
    assert np.isfinite(image).all(), f"{np.count_nonzero(~np.isfinite(image))} pixels are not finite"
    assert (image >= 0.0).all(), f"{np.count_nonzero(image < 0.0)} pixels are negative, the least is {image.min():g}"


def polarization_is_within_its_bounds(render: Render, experiment: Experiment) -> None:
    """The polarization factor lies between (1 − |K|)/2 and 1; mode ``c``'s curved detector has no sensor here.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = variants.linear(variants.seen_from_the_front(experiment))
    without = render(changed(experiment, beam={"polarization_correction": False})).astype(float)
    polarized = render(changed(experiment, beam={"polarization_correction": True}))
    least = (1.0 - abs(experiment.beam.kahn_factor)) / 2.0
    margin = _margin(without, SAME_PHYSICS)
    assert (polarized <= without + margin).all(), "polarization makes pixels brighter"
    assert (polarized >= least * without - margin).all(), f"polarization takes more than {1 - least:g} of a pixel away"


def intensity_stays_below_its_peak(render: Render, experiment: Experiment) -> None:
    """No pixel gets more than r_e²·fluence·F²·(Na·Nb·Nc)² photons per steradian, water aside.

    The same F for every reflection is taken, and a detector that faces the sample.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = changed(experiment, structure_factors={"hkl_file": None, "default_f": 10.0})
    experiment = variants.without_water(variants.linear(experiment))
    resolved = variants.resolved_of(experiment)
    detector = resolved.plan.detector
    peak = ELECTRON_RADIUS_SQR_M2 * resolved.fluence_per_m2 * 10.0**2 * math.prod(resolved.lattice.cells) ** 2
    peak *= resolved.spot_scale
    # Where fast, slow and normal are no right angles apart, the plane comes nearer than the distance along the normal;
    # a curved detector is everywhere as far as where the beam, or its line backwards (C-2), meets the plane.
    height = dot(detector.origin, unit(cross(detector.fast, detector.slow)))
    nearest = min(abs(height), abs(detector.distance))
    # Every layer may be weighted by the last one's fraction, and the fractions may sum to more than 1 (C-20).
    layers = detector.layers if quirks_of(experiment).layers_overfill_sensor else 1
    bound = peak * solid_angle(detector, nearest) * layers
    brightest = float(render(experiment).max())
    assert brightest <= bound * (1.0 + SAME_PHYSICS.relative), (
        f"the brightest pixel has {brightest:g} photons, {bound:g} are possible"
    )


# Orientations ------------------------------------------------------------------------------------------------------


def laboratory_may_be_turned(render: Render, experiment: Experiment, angles_rad: Vector = TURN) -> None:
    """Turning beam, detector, spindle and crystal together changes nothing; mode ``spec``, orthonormal detector axes.

    The turned experiment is described by vectors, so conventions and pivots are held to their definitions too. One
    mosaic domain is taken, since the others' rotations are drawn in the laboratory's frame.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    angles_rad : tuple of 3 floats
        Rotation about the lab's x, then y, then z.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    experiment = changed(replace(experiment, mode="spec"), crystal={"mosaic_spread_deg": None, "mosaic_domains": None})
    turned = in_custom_axes(experiment, variants.matrix(angles_rad))
    _assert_same(render(turned), render(experiment), "the image depends on the frame", OTHER_SUMS)


def phi_is_a_misset(render: Render, experiment: Experiment, phi_deg: float = 33.0) -> None:
    """A still at φ shows the crystal as a misset by the same rotation about the spindle does.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.
    phi_deg : float
        Spindle angle.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    resolved = variants.resolved_of(experiment)
    spindle, phi = resolved.geometry.spindle, math.radians(phi_deg)
    turn = np.column_stack([rotated_about(axis, spindle, phi) for axis in np.identity(3).tolist()])
    still = replace(experiment, scan=Scan(phi_deg=phi_deg))
    misset = {"misset_deg": xyz_angles_deg(turn @ variants.matrix(resolved.lattice.misset_rad))}
    turned = changed(replace(experiment, scan=Scan(phi_deg=0.0)), crystal=misset)
    _assert_same(render(still), render(turned), f"φ = {phi_deg:g} is not a turn about the spindle", OTHER_SUMS)


def orthogonal_cell_has_twofold_axes(render: Render, experiment: Experiment) -> None:
    """With right angles and one F for all, half a turn about a, b or c before the misset changes nothing.

    Parameters
    ----------
    render : callable
        From an experiment to photons, shape (slow, fast).
    experiment : Experiment
        Without SMV header and mask.

    Raises
    ------
    AssertionError
        It does not hold: says where.
    """
    cell = experiment.crystal.cell
    assert cell is not None
    experiment = changed(
        experiment,
        crystal={"cell": (*cell[:3], 90.0, 90.0, 90.0)},
        structure_factors={"hkl_file": None, "default_f": 10.0},
    )
    expected, misset = render(experiment), variants.matrix(variants.resolved_of(experiment).lattice.misset_rad)
    for axis in range(3):
        half_turn = 2.0 * np.diag(np.identity(3)[axis]) - np.identity(3)
        turned = changed(experiment, crystal={"misset_deg": xyz_angles_deg(misset @ half_turn)})
        _assert_same(render(turned), expected, f"half a turn about {'abc'[axis]} changes the image", OTHER_SUMS)


# Agreement ---------------------------------------------------------------------------------------------------------


def _margin(expected: Array, tolerance: Tolerance) -> Array:
    """How far from ``expected`` a pixel may lie."""
    size = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    allowed: Array = tolerance.allowed(size, size.max(initial=0.0)) + DARK
    return allowed


def _assert_same(actual: Array, expected: Array, otherwise: str, tolerance: Tolerance = SAME_PHYSICS) -> None:
    """Mode ``c`` may overflow (C-11): infinite pixels must be so in both."""
    assert actual.shape == expected.shape, f"{otherwise}: shape {actual.shape} for {expected.shape}"
    wrong = ~np.isclose(actual, expected, rtol=0.0, atol=_margin(expected.astype(float), tolerance))
    slow, fast = np.unravel_index(np.argmax(wrong), wrong.shape)
    assert not wrong.any(), (
        f"{otherwise}: pixel (slow {slow}, fast {fast}) has {actual[slow, fast]:g} photons for {expected[slow, fast]:g}"
    )
