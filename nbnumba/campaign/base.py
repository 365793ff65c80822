"""The experiment that all frames of a campaign have in common, and the type of the pixels of its files."""

from __future__ import annotations

import warnings

from ..errors import InputFileError, NbnumbaError, NbnumbaWarning, UsageError
from ..experiment import Experiment, Readout, changed
from ..experiment.quirks import quirks_of
from ..setup.factors import with_cell_of_factors
from ..setup.inputs import read_inputs
from ..setup.preset import with_preset
from ..setup.readout import with_readout
from .distributions import Relative
from .job import Job, PixelType
from .varying import check_values, values_of

INT32_BITS = 31


def prepared_base(job: Job) -> tuple[Experiment, PixelType]:
    """The base with what its frames need of it, and the type of pixels.

    Counts of an ideal detector are photons, without the offset that nanoBragg adds; with 32 bits they are not cut at
    65535.

    Raises
    ------
    InputFileError
        The base cannot be, a field cannot have a value that it is to have, or counts do not fit the type.
    """
    try:
        base = _without_offset(_with_cell(job))
    except InputFileError:
        raise
    except NbnumbaError as error:
        raise InputFileError(f"{job.base_path}: {error}") from error
    for one in job.varied:
        try:
            check_values(one, one.base(base))
        except UsageError as error:
            raise InputFileError(f"{job.path}: vary: {error}") from error
    if quirks_of(base).counted_in_order:
        raise InputFileError(
            f"{job.path}: experiment: noise.rng: ran1 draws pixel after pixel, by 31 bits of the seed: give philox"
        )
    readouts = _readouts(job, base)
    kind: PixelType = job.output.type or ("uint16" if all(map(_counts_photons, readouts)) else "int32")
    for readout in readouts if kind == "uint16" else ():
        if readout.adc_offset or readout.kind not in ("ideal", "counting"):
            raise InputFileError(
                f"{job.path}: output: type = uint16 has no room below 0, where counts of {readout.kind} detectors and "
                "those less readout.adc_offset may lie: give int32"
            )
    if kind == "int32" and base.readout.bits is None and all(readout.kind == "ideal" for readout in readouts):
        base = changed(base, readout={"bits": INT32_BITS})
    return base, kind


def _without_offset(base: Experiment) -> Experiment:
    """Of an ideal detector, unless one is given."""
    is_ideal = _readout_of(base).kind == "ideal"
    return changed(base, readout={"adc_offset": 0.0}) if is_ideal and base.readout.adc_offset is None else base


def _counts_photons(readout: Readout) -> bool:
    return readout.kind == "ideal" and not readout.adc_offset


def _readouts(job: Job, base: Experiment) -> list[Readout]:
    """How counts are made: first of all in the base, then with each value of what decides on it."""
    found = [_readout_of(base)]
    for one in job.varied:
        if one.noun == "readout" or one.path == "detector.preset":
            for value in values_of(one, one.base(base)):
                try:
                    found.append(_readout_of(changed(base, **{one.noun: {one.name: value}})))
                except NbnumbaError as error:
                    raise InputFileError(f"{job.path}: vary {one.path}: {error}") from error
    return found


def _readout_of(experiment: Experiment) -> Readout:
    with warnings.catch_warnings():
        # Whoever renders hears of it.
        warnings.simplefilter("ignore", NbnumbaWarning)
        return with_readout(with_preset(experiment)).readout


def _with_cell(job: Job) -> Experiment:
    """With the cell of the file of F, where cells vary by a share of it."""
    base = job.base
    if base.crystal.cell is None:
        for one in job.varied:
            if one.path == "crystal.cell" and isinstance(one.distribution, Relative):
                return with_cell_of_factors(base, read_inputs(base))
    return base
