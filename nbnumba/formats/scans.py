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


class Numbering:
    """Numbers of images: a frame that goes on with the one before has the next, any other its own."""

    def __init__(self) -> None:
        self._last: Description | None = None
        self.number = 0
        """Of the last frame's image."""
        self.scans = 0
        """How many scans or stills there were."""

    def take(self, description: Description) -> None:
        """Take the next frame."""
        if self._last is not None and goes_on(self._last, description):
            self.number += 1
        else:
            self.number = description.image_number
            self.scans += 1
        self._last = description
