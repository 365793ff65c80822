"""What an experiment's values must satisfy, said in the words of the options that set them."""

import math
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from .errors import ResourceError, UsageError
from .experiment import Experiment
from .lattice import why_no_axes, why_no_cell, why_no_rotation
from .sources import why_no_sources

BYTES_PER_PIXEL = 6
"""Of the float image and the counts that are made of it; a picture (-png) takes as much again for a moment."""
BYTES_PER_ORIENTATION = 72
BYTES_PER_FACTOR = 8

LARGEST, SMALLEST = 1e60, 1e-60
"""Sizes between which the products of five values stay within float64."""

TWINS = {
    "crystal": ("matrix_file", "a_matrix", "u_matrix"),
    "detector": ("mask_file", "mask"),
    "beam": ("source_file", "sources"),
}
"""Fields of a noun of which one alone may be given."""

MOST_DEGREES = 1e6
"""Far more than a mosaic spread can mean, far less than overflows a float32."""
MOST_STEPS = 10_000_000
"""Of what a run holds a list of: φ steps, directions, wavelengths, mosaic domains."""


def check_experiment(experiment: Experiment) -> None:
    """Raise a UsageError for the first value that makes no sense."""
    for name, value in _numbers(experiment, ""):
        if not math.isfinite(value) and not (name == "detector.attenuation_depth_um" and value == math.inf):
            raise UsageError(f"{name} is {value!r}: give a finite number")
        if LARGEST < abs(value) < math.inf:
            raise UsageError(f"{name} is {value!r}: give a number of at most {LARGEST:g}")
    for noun, names in TWINS.items():
        given = [f"{noun}.{name}" for name in names if getattr(getattr(experiment, noun), name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)}: give one of them")
    crystal, sources = experiment.crystal, experiment.beam.sources
    reasons = {
        "-cell": crystal.cell and why_no_cell(crystal.cell),
        "crystal.a_matrix": crystal.a_matrix and why_no_axes(crystal.a_matrix),
        "crystal.u_matrix": crystal.u_matrix and why_no_rotation(crystal.u_matrix),
        "beam.sources": None if sources is None else why_no_sources(sources),
    }
    for name, reason in reasons.items():
        if reason is not None:
            raise UsageError(f"{name} {reason}")
    for option, value, rule, wants in _rules(experiment):
        if value is not None and not rule:
            raise UsageError(f"{option} {value:.12g}: {wants}")
    roi = experiment.detector.roi
    if roi is not None and (roi[0] > roi[1] or roi[2] > roi[3]):
        raise UsageError(
            f"-roi {' '.join(map(str, roi))} is reversed: give fast first, fast last, slow first, slow last"
        )


def _rules(experiment: Experiment) -> Iterator[tuple[str, Any, bool, str]]:
    """Option, value, whether the value is right (where there is one), and what would be."""
    beam, detector, crystal = experiment.beam, experiment.detector, experiment.crystal
    factors, sampling, scan = experiment.structure_factors, experiment.sampling, experiment.scan

    positive = {
        "-lambda": beam.wavelength_angstrom,
        "-pixel": detector.pixel_mm,
        "-distance": detector.distance_mm,
        "-close_distance": detector.close_distance_mm,
        "-detpixels_f": detector.fast_pixels,
        "-detpixels_s": detector.slow_pixels,
        "-detsize_f": detector.fast_size_mm,
        "-detsize_s": detector.slow_size_mm,
        "-detector_thicksteps": detector.layers,
        "-fudge": crystal.fudge,
    }
    for option, value in positive.items():
        yield option, value, value is not None and value > 0, "must be above 0"
        yield option, value, value is not None and value >= SMALLEST, f"must be at least {SMALLEST:g}"
    for edge in () if crystal.cell is None else crystal.cell[:3]:
        yield "-cell", edge, edge >= SMALLEST, f"must be at least {SMALLEST:g}"
    not_negative = {
        "-fluence": beam.fluence_per_m2,
        "-flux": beam.flux_per_s,
        "-exposure": beam.exposure_s,
        "-beamsize": beam.size_mm,
        "-hdivrange": beam.horizontal_divergence_mrad,
        "-vdivrange": beam.vertical_divergence_mrad,
        "-hdivstep": beam.horizontal_divergence_step_mrad,
        "-vdivstep": beam.vertical_divergence_step_mrad,
        "-osc": scan.oscillation_deg,
        "-phistep": scan.step_deg,
        "-dispersion": beam.dispersion_percent,
        "-detector_thick": detector.thickness_um,
        "-detector_abs": detector.attenuation_depth_um,
        "-mosaic": crystal.mosaic_spread_deg,
        "-default_F": factors.default_f,
        "-k_sol": factors.k_sol,
        "-B_sol": factors.b_sol,
        "-oversample": sampling.oversample,
        "-dmin": sampling.dmin_angstrom,
        "-water": experiment.background.water_um,
    }
    for option, value in not_negative.items():
        yield option, value, value is not None and value >= 0, "must be 0 or more"
    yield "-beamsize", beam.size_mm, not 0 < beam.size_mm < SMALLEST, f"must be 0 or at least {SMALLEST:g}"
    steps = {
        "-mosaic_domains": crystal.mosaic_domains,
        "-phisteps": scan.steps,
        "-dispsteps": beam.dispersion_steps,
        "-hdivsteps": beam.horizontal_divergence_steps,
        "-vdivsteps": beam.vertical_divergence_steps,
    }
    for option, value in steps.items():
        yield option, value, value is not None and value > 0, "must be above 0"
        yield option, value, value is not None and value <= MOST_STEPS, f"must be at most {MOST_STEPS}"
    spread = crystal.mosaic_spread_deg
    yield "-mosaic", spread, spread is not None and spread <= MOST_DEGREES, f"must be at most {MOST_DEGREES:g} degrees"
    for size in crystal.size_mm:
        yield "-samplesize", size, size is not None and size >= 0, "must be 0 or more"
    yield "-polar", beam.kahn_factor, -1.0 <= beam.kahn_factor <= 1.0, "must lie between -1 and 1"
    if experiment.background.amorphous_file is not None and experiment.mode == "spec":
        water = experiment.background.water_um
        yield "-water", water, water > 0, "must be above 0 beside -stol, -4stol or -Q: it is the material's thickness"


def check_memory(fast_pixels: int, slow_pixels: int, masked: bool, table: tuple[int, ...], orientations: int) -> None:
    """Raise a ResourceError, before the image is allocated, for what memory cannot hold.

    Parameters
    ----------
    fast_pixels, slow_pixels : int
        Size of the image, and of the mask if it is ``masked``.
    table : tuple of 3 ints
        Shape of the table of structure factors, of which kernels take a padded copy.
    orientations : int
        Spindle angles times mosaic domains.
    """
    needs = {
        f"an image of {fast_pixels} x {slow_pixels} pixels": fast_pixels * slow_pixels * (BYTES_PER_PIXEL + masked),
        f"{orientations} orientations of the crystal": orientations * BYTES_PER_ORIENTATION,
        "the table of structure factors": math.prod(n + 2 for n in table) * BYTES_PER_FACTOR,
    }
    needed, available, most = sum(needs.values()), available_memory(), max(needs, key=lambda what: needs[what])
    if available is not None and needed > available:
        raise ResourceError(
            f"the run needs {needed / 2**30:.3g} GiB of memory, {needs[most] / 2**30:.3g} GiB of it for {most}, and "
            f"{available / 2**30:.3g} GiB are available: "
            "give fewer pixels (-detpixels), φ steps, -mosaic_domains or outlying reflections"
        )


def available_memory() -> int | None:
    """Bytes that a new array can take without swapping; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def _numbers(noun: Any, path: str) -> Iterator[tuple[str, float]]:
    """Every number in the experiment with the path of its field."""
    if is_dataclass(noun):
        for item in fields(noun):
            yield from _numbers(getattr(noun, item.name), f"{path}.{item.name}" if path else item.name)
    elif isinstance(noun, tuple):
        for value in noun:
            yield from _numbers(value, path)
    elif isinstance(noun, (int, float)) and not isinstance(noun, bool):
        yield path, noun
