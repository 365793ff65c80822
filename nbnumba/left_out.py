"""What was left out of an image because it provably does not matter (docs/tolerance.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """How much of an image was evaluated where a tolerance lets samples be left out, and what that may cost a pixel."""

    share: float
    """Samples of pixels that were evaluated, over all that there are."""
    spent_photons: float
    """The largest bound, over the pixels, of all that was left out of one: so much may it lack, rounding apart."""
    why: str = ""
    """Why all samples were evaluated, in the image or in a part of it; "" where they were not."""
