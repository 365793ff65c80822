"""An experiment's detector in SI where no crystal is asked for: which pixels there are, and where they stand."""

import warnings

from ..errors import NbnumbaWarning
from ..experiment import Crystal, Experiment, Sampling, StructureFactors, changed
from .inputs import read_inputs
from .resolve import Resolved, resolve

ANY_CRYSTAL = {
    "crystal": Crystal(cell=(3, 3, 3, 90, 90, 90), cells=(3, 3, 3)),
    "structure_factors": StructureFactors(default_f=1.0),
    "sampling": Sampling(oversample=1),
    "mode": "spec",
}
"""What no pixel's place and no background depends on, but a plan needs."""


def resolve_detector(experiment: Experiment) -> Resolved:
    """The experiment with any crystal; warnings are left to whoever resolves it whole.

    Raises
    ------
    UsageError, InputFileError
        As of the experiment itself.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        without = changed(experiment, **ANY_CRYSTAL)
        return resolve(without, read_inputs(without))
