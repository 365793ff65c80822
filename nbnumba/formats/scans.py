"""Frames of a rotation: which one goes on with which."""

from __future__ import annotations

from .frame import Description

SAME_ANGLE_DEG = 1e-6
"""By which a frame may begin beside the end of the one before it."""


def goes_on(last: Description, description: Description) -> bool:
    """Whether a frame begins where another ends, and turns as far."""
    if description.oscillation_deg == 0.0:
        return False
    gap = description.phi_deg - (last.phi_deg + last.oscillation_deg)
    return max(abs(gap), abs(description.oscillation_deg - last.oscillation_deg)) < SAME_ANGLE_DEG
