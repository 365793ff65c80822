"""Chunks one after the other: what becomes of each, and that one that cannot be is no other's matter."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import NbnumbaError, ResourceError
from ..render.backends import How
from .campaign import Campaign
from .rendering import FrameError
from .work import Done, do_chunk


@dataclass(frozen=True)
class Failed:
    """A chunk that cannot be."""

    chunk: int
    frame: int
    """-1: it is none's fault."""
    why: str
    """One line, which names the frame."""
    experiment: str
    """Of the frame, as TOML."""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    """Who tried."""


Outcome = Done | Failed


def run_chunks(
    campaign: Campaign, numbers: Iterable[int], how: How, told: Callable[[int], None] = lambda frames: None
) -> Iterator[Outcome]:
    """Do chunks in their order.

    Parameters
    ----------
    numbers : iterable of int
        Of the chunks; those that are there, by whomever, are done.
    told : callable
        Called after each frame with how many of the chunk under way are rendered.

    Raises
    ------
    ResourceError
        What no chunk would survive: no disk, no card.
    InputFileError
        Nor that: a file that the campaign was read from has changed.
    """
    for number in numbers:
        try:
            outcome: Outcome = do_chunk(campaign, number, how, told)
        except ResourceError:
            raise
        except NbnumbaError as error:
            campaign.check_files()
            frame, experiment = (error.number, error.experiment) if isinstance(error, FrameError) else (-1, "")
            outcome = Failed(number, frame, str(error), experiment)
        yield outcome
