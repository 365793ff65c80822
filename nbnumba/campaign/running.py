"""Chunks one after the other: what becomes of each, and that one that cannot be is no other's matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..render.backends import How
from .campaign import Campaign
from .rendering import FrameError
from .work import Done, do_chunk


@dataclass(frozen=True)
class Failed:
    """A chunk that cannot be."""

    chunk: int
    frame: int
    why: str
    experiment: str
    """Of the frame, as TOML."""


Outcome = Done | Failed


def run_chunks(campaign: Campaign, numbers: Iterable[int], how: How) -> Iterator[Outcome]:
    """Do chunks in their order.

    Raises
    ------
    ResourceError
        What no chunk would survive: no disk, no card.
    """
    for number in numbers:
        try:
            yield do_chunk(campaign, number, how)
        except FrameError as error:
            yield Failed(number, error.number, str(error), error.experiment)
