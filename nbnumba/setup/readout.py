"""The read-out: what nobody gives is as the named detector has it, else as usual; and what cannot be is refused."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InputFileError, UsageError
from ..experiment import Beam, Experiment, Readout, ReadoutKind, with_right_values
from ..experiment.presets import preset_of
from ..kernels.equations.vectors import length
from ..nanobragg.table import option_of
from ..units import metres_from_microns, seconds_from_ns
from .inputs import Inputs
from .panels import PlacedPanel

FIBRE_FWHM_UM = 41.4
"""Of a fibre-optic taper: g = 27 µm (Holton, Nielsen & Frankel, J. Synchrotron Rad. 19, 1006 (2012))."""
NOTHING: Mapping[str, Any] = {
    "gain": 1.0,
    "read_noise": 0.0,
    "flicker": 0.0,
    "pixel_flicker": 0.0,
    "calibration": 0.0,
    "calibration_seed": 123456789,
    "psf": "none",
    "psf_fwhm_um": 0.0,
    "swank": 1.0,
    "deadtime_ns": 0.0,
    "paralyzable": False,
    "rate_correction": True,
    "cutoff_per_s": math.inf,
    "words": "photons",
    "bad_fraction": 0.0,
    "bad_seed": 12345,
    "bad_pixel_file": None,
}
"""What leaves every count as it is."""
USUAL: Mapping[ReadoutKind, Mapping[str, Any]] = {
    "ideal": {"adc_offset": 40.0, "bits": 16},
    "counting": {"adc_offset": 0.0, "bits": 20},
    "integrating": {"adc_offset": 40.0, "bits": 16, "read_noise": 3.0},
    "switching": {"adc_offset": 0.0, "bits": 14},
}
"""What each kind has besides."""
_OF_ALL = ("kind", "adc_offset")
_OF_REAL = ("flicker", "pixel_flicker", "calibration", "calibration_seed", "bad_fraction", "bad_seed", "bad_pixel_file")
_OF_COUNTER = ("deadtime_ns", "paralyzable", "rate_correction", "cutoff_per_s")
HAS: Mapping[ReadoutKind, tuple[str, ...]] = {
    "ideal": (*_OF_ALL, "bits"),
    "counting": (*_OF_ALL, *_OF_REAL, *_OF_COUNTER, "psf", "psf_fwhm_um", "bits"),
    "integrating": (*_OF_ALL, *_OF_REAL, "psf", "psf_fwhm_um", "bits", "gain", "read_noise", "swank"),
    "switching": (*_OF_ALL, *_OF_REAL, "gain", "words"),
}
"""The fields that mean something to each kind; others may be given only as they are anyway."""
MOST_BITS = {"ideal": 31, "counting": 32, "integrating": 16}


def with_readout(experiment: Experiment) -> Experiment:
    """The experiment with a read-out of which nothing is open but whether there is a list of bad pixels.

    Raises
    ------
    UsageError
        A field is given that the kind does not have.
    """
    return with_right_values(experiment, readout=_filled(experiment.readout, experiment.detector.preset))


@lru_cache(maxsize=16)
def _filled(given: Readout, preset: str | None) -> Readout:
    """Kept: images of a series are read out alike."""
    named: Mapping[str, Any] = {} if preset is None else preset_of(preset).readout
    kind: ReadoutKind = given.kind or named.get("kind") or "ideal"
    usual = {**NOTHING, **USUAL[kind]}
    if kind == named.get("kind"):
        usual.update(named)
    values: dict[str, Any] = {"kind": kind}
    for name in (field.name for field in fields(Readout)):
        value = getattr(given, name)
        if value is not None and name not in HAS[kind] and value != usual[name]:
            raise _not_of_kind(name, value, kind)
        values[name] = usual.get(name, kind) if value is None else value
    _complete_psf(values, given)
    if values["words"] == "raw":
        for name in ("gain", "adc_offset"):
            if values[name] != usual[name]:
                given_as = f"{option_of(f'readout.{name}')} {values[name]:g}"
                raise UsageError(f"{given_as}: raw words have their own; leave out -words raw")
    return with_right_values(given, **values)


_SWITCHES = {
    ("paralyzable", True): "-paralyzable",
    ("paralyzable", False): "-nonparalyzable",
    ("rate_correction", True): "-rate_correction",
    ("rate_correction", False): "-norate_correction",
}


def _not_of_kind(name: str, value: Any, kind: ReadoutKind) -> UsageError:
    having = " or ".join(f"-readout {one}" for one, names in HAS.items() if name in names)
    number = f"{value:g}" if isinstance(value, float) else value
    said = _SWITCHES.get((name, value)) or f"{option_of('readout.' + name)} {number}"
    return UsageError(f"{said}: -readout {kind} has no such thing; give {having}, or leave it out")


def _complete_psf(values: dict[str, Any], given: Readout) -> None:
    """Its width, and none where there is none."""
    if values["psf"] == "none":
        if given.psf_fwhm_um:
            raise UsageError(f"-psf_fwhm {given.psf_fwhm_um:g} without -psf: give -psf gauss or -psf fibre")
        values["psf_fwhm_um"] = 0.0
    elif given.psf_fwhm_um == 0.0:
        raise UsageError(f"-psf_fwhm 0: must be above 0; without a spread, give -psf none, not {values['psf']}")
    elif not values["psf_fwhm_um"]:
        if values["psf"] == "gauss":
            raise UsageError("-psf gauss: its width is not known: give -psf_fwhm in µm")
        values["psf_fwhm_um"] = FIBRE_FWHM_UM


def check_readout(readout: Readout, beam: Beam, panels: Sequence[PlacedPanel]) -> None:
    """Raise a UsageError for what cannot be of a read-out from which nothing is left open."""
    most = MOST_BITS.get(str(readout.kind))
    if most is not None and readout.bits is not None and readout.bits > most:
        raise UsageError(f"-bits {readout.bits}: -readout {readout.kind} has at most {most}")
    deadtime, cutoff = readout.deadtime_ns or 0.0, readout.cutoff_per_s or math.inf
    if seconds_from_ns(deadtime) > beam.exposure_s:
        raise UsageError(f"-deadtime {deadtime:g}: must be shorter than the exposure of {beam.exposure_s:g} s")
    if cutoff * beam.exposure_s < 1.0:
        raise UsageError(f"-count_cutoff {cutoff:g}: is less than a count in the exposure of {beam.exposure_s:g} s")
    offset, largest = readout.adc_offset or 0.0, min(2.0 ** (readout.bits or 0) - 1.0, cutoff * beam.exposure_s)
    # Ideal counts of the usual bits are cut, as those of nanoBragg.
    is_usual = readout.kind == "ideal" and readout.bits == USUAL["ideal"]["bits"]
    if most is not None and offset >= largest and not is_usual:
        raise UsageError(
            f"-adc {offset:.10g}: must be below the largest count, {largest:.10g}: by -bits {readout.bits}"
            f"{'' if math.isinf(cutoff) else ', -count_cutoff and -exposure'}"
        )
    width_um = readout.psf_fwhm_um or 0.0
    for panel in panels if width_um else ():
        edges = (panel.fast_pixels * length(panel.fast), panel.slow_pixels * length(panel.slow))
        if metres_from_microns(width_um) > panel.pixel_m * min(edges):
            edge_mm = 1000.0 * panel.pixel_m * min(edges)
            raise UsageError(f"-psf_fwhm {width_um:g}: in µm, is wider than the detector of {edge_mm:g} mm")


def listed_bad_pixels(readout: Readout, inputs: Inputs, panels: Sequence[PlacedPanel]) -> tuple[np.ndarray, ...]:
    """Of each panel the bad pixels of the list: fast, slow and what is wrong (n, 3).

    Raises
    ------
    InputFileError
        A pixel that no panel has.
    """
    listed = inputs.bad
    if listed is None:
        return ()
    sizes = np.array([(panel.fast_pixels, panel.slow_pixels) for panel in panels])
    for panel, fast, slow in listed[:, :3].tolist():
        if panel >= len(panels) or fast >= sizes[panel, 0] or slow >= sizes[panel, 1]:
            raise InputFileError(
                f"{readout.bad_pixel_file}: no such pixel: panel {panel}, fast {fast}, slow {slow}; the detector has "
                f"{len(panels)} of up to {sizes[:, 0].max()} x {sizes[:, 1].max()} pixels (fast x slow), from 0 on"
            )
    return tuple(listed[listed[:, 0] == number, 1:] for number in range(len(panels)))
