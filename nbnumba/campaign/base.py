"""The experiment that all frames of a campaign have in common, and the integers of its files."""

from __future__ import annotations

from ..errors import InputFileError, NbnumbaError
from ..experiment import Experiment, changed
from ..setup.factors import with_cell_of_factors
from ..setup.inputs import read_inputs
from ..setup.preset import with_preset
from ..setup.readout import with_readout
from .distributions import Relative
from .job import Job, PixelType

INT32_BITS = 31


def prepared_base(job: Job) -> tuple[Experiment, PixelType]:
    """The base with what its frames need of it, and the type of pixels.

    Counts of an ideal detector are photons, without the offset that nanoBragg adds; with 32 bits they are not cut at
    65535.

    Raises
    ------
    InputFileError
        The base cannot be, or its counts do not fit the type.
    """
    try:
        base = _with_relative(job, job.base)
        readout = with_readout(with_preset(base)).readout
    except InputFileError:
        raise
    except NbnumbaError as error:
        raise InputFileError(f"{job.path}: experiment: {error}") from error
    kind: PixelType = job.output.type or ("uint16" if readout.kind == "ideal" else "int32")
    changes = {}
    if readout.kind == "ideal":
        if base.readout.adc_offset is None:
            changes["adc_offset"] = 0.0
        if base.readout.bits is None and kind == "int32":
            changes["bits"] = INT32_BITS
    offset = base.readout.adc_offset or (readout.adc_offset if "adc_offset" not in changes else 0.0)
    if kind == "uint16" and (offset or readout.kind not in ("ideal", "counting")):
        raise InputFileError(
            f"{job.path}: output: type = uint16 has no room below 0, where counts of {readout.kind} detectors and those "
            "less readout.adc_offset may lie: give int32"
        )
    return changed(base, readout=changes) if changes else base, kind


def _with_relative(job: Job, base: Experiment) -> Experiment:
    """With what numbers that vary by a share of the base's need: those of the base, the cell of the file of F."""
    for one in job.varied:
        if not isinstance(one.distribution, Relative):
            continue
        if one.path == "crystal.cell" and base.crystal.cell is None:
            base = with_cell_of_factors(base, read_inputs(base))
        value = getattr(getattr(base, one.noun), one.name)
        if not isinstance(value, (int, float, tuple)):
            raise InputFileError(f"{job.path}: vary {one.path}: relative to what? the experiment has no {one.path}")
    return base
