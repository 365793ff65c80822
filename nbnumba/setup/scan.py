"""Spindle angles at which the crystal is sampled."""

import math
from dataclasses import dataclass

import numpy as np

from ..arrays import HoldsArrays
from ..errors import UsageError
from ..experiment import Scan
from ..experiment.field import MOST_STEPS
from ..units import radians_from_degrees


@dataclass(frozen=True, eq=False, repr=False)
class PhiSampling(HoldsArrays):
    """Start and oscillation in degrees, and φ at which each step is sampled, in radians (n,)."""

    start_deg: float
    oscillation_deg: float
    phi_rad: np.ndarray


def sample_phi(scan: Scan) -> PhiSampling:
    """Fill in what is not given of oscillation, step and count.

    Returns
    -------
    PhiSampling
        φ_t = φ0 + t · oscillation / count, formed in radians: that decides where φ is exactly 0; half a step
        more where the middle of each is sampled.
    """
    start = scan.phi_deg or 0.0
    oscillation = None if scan.oscillation_deg is None or scan.oscillation_deg < 0.0 else scan.oscillation_deg
    step = None if scan.step_deg is None or scan.step_deg <= 0.0 else scan.step_deg
    count = scan.steps if scan.steps is None else max(1, scan.steps)
    if oscillation is None:
        if step is not None:
            oscillation, count = step, 2
        elif count is None:
            oscillation, count = 0.0, 1
        else:
            oscillation = 1.0
    elif count is None:
        count = 2 if step is None else max(1, math.ceil(oscillation / step))
    if count > MOST_STEPS:
        raise UsageError(
            f"-osc {oscillation:g} in steps of -phistep {step:g} makes {count} steps, more than {MOST_STEPS}"
        )
    step_rad = radians_from_degrees(oscillation) / count if step is None else radians_from_degrees(step)
    phi = radians_from_degrees(start) + step_rad * np.arange(count)
    if scan.phi_sampling == "middle":
        phi += 0.5 * step_rad
    return PhiSampling(start, oscillation, phi)
