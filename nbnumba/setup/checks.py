"""What an experiment's values must satisfy, said in the words of the options that set them."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..experiment.quirks import quirks_of
from ..nanobragg.options import OPTIONS
from ..unit_cell import why_no_cell
from .lattice import why_no_axes, why_no_rotation
from .sources import why_no_sources

LARGEST, SMALLEST = 1e60, 1e-60
"""Sizes between which the products of five values stay within float64."""

TWINS = {
    "crystal": ("matrix_file", "a_matrix", "u_matrix"),
    "detector": ("mask_file", "mask"),
    "beam": ("source_file", "sources"),
}
"""Fields of a noun of which one alone may be given."""

AT_LEAST = f"must be at least {SMALLEST:g}"
MOST_DEGREES = 1e6
"""Far more than a mosaic spread can mean, far less than overflows a float32."""
MOST_STEPS = 10_000_000
"""Of what a run holds a list of: φ steps, directions, wavelengths, mosaic domains."""

OPTION_OF = {target: f"-{option.names[0]}" for option in reversed(OPTIONS) for target in option.targets} | {
    "crystal.cells": "-N",
    "crystal.size_mm": "-samplesize",
}
"""The option by which a field is set, for messages."""


def check_experiment(experiment: Experiment) -> None:
    """Raise a UsageError for the first value that makes no sense."""
    for noun, content in vars(experiment).items():
        for name, value in _numbers(content) if is_dataclass(content) else ():
            if not -LARGEST <= value <= LARGEST:
                _refuse_number(f"{noun}.{name}", value)
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
    detector = experiment.detector
    rois = [("-roi", detector.roi), *(("roi of a panel,", panel.roi) for panel in detector.panels or ())]
    for name, roi in rois:
        if roi is not None and (roi[0] > roi[1] or roi[2] > roi[3]):
            raise UsageError(
                f"{name} {' '.join(map(str, roi))} is reversed: give fast first, fast last, slow first, slow last"
            )


def _refuse_number(field: str, value: float) -> None:
    option = OPTION_OF.get(field, field)
    if not math.isfinite(value) and not (field == "detector.attenuation_depth_um" and value == math.inf):
        raise UsageError(f"{option} {value!r}: give a finite number")
    if LARGEST < abs(value) < math.inf:
        raise UsageError(f"{option} {value!r}: give a number of at most {LARGEST:g}")


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
        if value is not None:
            yield option, value, value > 0, "must be above 0"
            yield option, value, value >= SMALLEST, AT_LEAST
    for edge in () if crystal.cell is None else crystal.cell[:3]:
        yield "-cell", edge, edge >= SMALLEST, AT_LEAST
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
        "-beamstop": detector.beamstop_mm,
    }
    for option, value in not_negative.items():
        if value is not None:
            yield option, value, value >= 0, "must be 0 or more"
    yield "-beamsize", beam.size_mm, not 0 < beam.size_mm < SMALLEST, f"must be 0 or at least {SMALLEST:g}"
    steps = {
        "-mosaic_domains": crystal.mosaic_domains,
        "-phisteps": scan.steps,
        "-dispsteps": beam.dispersion_steps,
        "-hdivsteps": beam.horizontal_divergence_steps,
        "-vdivsteps": beam.vertical_divergence_steps,
    }
    for option, value in steps.items():
        if value is not None:
            yield option, value, value > 0, "must be above 0"
            yield option, value, value <= MOST_STEPS, f"must be at most {MOST_STEPS}"
    spread = crystal.mosaic_spread_deg
    yield "-mosaic", spread, spread is not None and spread <= MOST_DEGREES, f"must be at most {MOST_DEGREES:g} degrees"
    for size in crystal.size_mm:
        yield "-samplesize", size, size is not None and size >= 0, "must be 0 or more"
    yield "-polar", beam.kahn_factor, -1.0 <= beam.kahn_factor <= 1.0, "must lie between -1 and 1"
    if experiment.background.amorphous_file is not None and not quirks_of(experiment).amorphous_ignored:
        water = experiment.background.water_um
        yield "-water", water, water > 0, "must be above 0 beside -stol, -4stol or -Q: it is the material's thickness"


def warn_of_slips(experiment: Experiment) -> None:
    """Warn of values that are possible, but that nobody means in the unit in which they are read."""
    beam, detector, crystal = experiment.beam, experiment.detector, experiment.crystal
    told = (
        ("-lambda", "Å", beam.wavelength_angstrom, 0.01, 1e4),
        ("-beamsize", "mm", beam.size_mm, 1e-6, 20.0),
        ("-divergence", "mrad", beam.horizontal_divergence_mrad, 0.0, 200.0),
        ("-divergence", "mrad", beam.vertical_divergence_mrad, 0.0, 200.0),
        ("-dispersion", "percent", beam.dispersion_percent, 0.0, 100.0),
        ("-distance", "mm", detector.distance_mm, 1.0, 1e5),
        ("-close_distance", "mm", detector.close_distance_mm, 0.1, 1e5),
        ("-pixel", "mm", detector.pixel_mm, 5e-4, 50.0),
        ("-detector_thick", "µm", detector.thickness_um, 1.0, 1e5),
        ("-detector_abs", "µm", detector.attenuation_depth_um, 1.0, math.inf),
        *(("-cell", "Å", edge, 1.5, 1e5) for edge in (crystal.cell or ())[:3]),
        *(("-samplesize", "mm", size, 1e-7, 20.0) for size in crystal.size_mm),
        ("-mosaic", "degrees", crystal.mosaic_spread_deg, 0.0, 90.0),
        ("-water", "µm", experiment.background.water_um, 0.0, 1e5),
    )
    slips = dict.fromkeys(
        f"{option} {value:g}: is it meant in {unit}, as it is read?"
        for option, unit, value, low, high in told
        if value and not low <= value <= high
    )
    for slip in slips:
        warnings.warn(slip, NbnumbaWarning, stacklevel=3)


def _numbers(noun: Any) -> Iterator[tuple[str, float]]:
    """Every number that a noun holds, with the name of its field."""
    for name, value in vars(noun).items():
        if type(value) is float or type(value) is int:
            yield name, value
        elif type(value) is tuple:
            for number in _numbers_in(value):
                yield name, number


def _numbers_in(rows: tuple[Any, ...]) -> Iterator[float]:
    for value in rows:
        if type(value) is tuple:
            yield from _numbers_in(value)
        elif is_dataclass(value):
            yield from _numbers_in(tuple(vars(value).values()))
        elif type(value) is float or type(value) is int:
            yield value
