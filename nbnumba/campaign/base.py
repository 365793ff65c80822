"""The experiment that all frames of a campaign have in common, and the type of the pixels of its files."""

from __future__ import annotations

from typing import Any

from ..errors import InputFileError, NbnumbaError, UsageError
from ..experiment import Experiment, Readout, changed
from ..experiment.quirks import quirks_of
from ..setup.factors import with_cell_of_factors
from ..setup.inputs import read_inputs
from ..setup.preset import with_preset
from ..setup.readout import with_readout
from .distributions import Relative
from .job import Job, PixelType
from .varying import check_values

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
        base = _with_cell(job)
        readout = with_readout(with_preset(base)).readout
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
    kind: PixelType = job.output.type or ("uint16" if readout.kind == "ideal" else "int32")
    changes = _of_photons(base.readout, kind) if readout.kind == "ideal" else {}
    offset = changes.get("adc_offset", readout.adc_offset)
    if kind == "uint16" and (offset or readout.kind not in ("ideal", "counting")):
        raise InputFileError(
            f"{job.path}: output: type = uint16 has no room below 0, where counts of {readout.kind} detectors and "
            "those less readout.adc_offset may lie: give int32"
        )
    return changed(base, readout=changes) if changes else base, kind


def _of_photons(given: Readout, kind: PixelType) -> dict[str, Any]:
    """What the readout of an ideal detector leaves open."""
    changes: dict[str, Any] = {} if given.adc_offset is not None else {"adc_offset": 0.0}
    return changes if given.bits is not None or kind != "int32" else changes | {"bits": INT32_BITS}


def _with_cell(job: Job) -> Experiment:
    """With the cell of the file of F, where cells vary by a share of it."""
    base = job.base
    if base.crystal.cell is None:
        for one in job.varied:
            if one.path == "crystal.cell" and isinstance(one.distribution, Relative):
                return with_cell_of_factors(base, read_inputs(base))
    return base
