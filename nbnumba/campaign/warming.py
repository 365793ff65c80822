"""Compiling what a campaign needs, before many workers would: kernels are kept on disk for all of a machine's kind."""

from __future__ import annotations

from typing import Any

from ..render.backends import How
from .campaign import Campaign
from .rendering import rendered_frames
from .writing import packed

LOOKED_AT = 300
"""Frames: what does not occur among these is rare enough to be compiled when it is met."""


def warm(campaign: Campaign, how: How) -> list[int]:
    """Render, count and pack one frame of each kind, and write nothing; their numbers.

    Raises
    ------
    FrameError, ResourceError
        As of a run.
    """
    frames = kinds(campaign)
    for rendered in rendered_frames(campaign, frames, how):
        packed(campaign, campaign.chunk_of(rendered.number), [rendered])
    return frames


def kinds(campaign: Campaign) -> list[int]:
    """The first frame of each kind: of no, one and several crystals, and of each choice among words."""
    found: dict[tuple[Any, ...], int] = {}
    words = [
        one
        for one in campaign.job.varied
        if isinstance(getattr(getattr(campaign.base, one.noun), one.name), (str, bool))
    ]
    for number in range(min(len(campaign), LOOKED_AT)):
        frame = campaign.frame(number) if words else None
        chosen = (getattr(getattr(frame, one.noun), one.name) for one in words)
        found.setdefault((min(campaign.hits(number), 2), *chosen), number)
    return sorted(found.values())
