"""The work of a campaign: a chunk, which anybody may do at any time, and twice."""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from ..errors import NbnumbaWarning, ResourceError
from ..render.backends import How
from .campaign import Campaign
from .phases import Phases
from .rendering import Rendered, rendered_frames
from .writing import write_chunk

_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Done:
    """A chunk that is done."""

    chunk: int
    """Its number."""
    frames: int
    """That were made now; 0 where its file was there."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase: setup, render, count, write."""
    sha256: str = ""
    """Of its file."""
    warned: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Of each kind of warning, how often it came and what the first said."""
    device: str = ""
    """That rendered: cpu, cuda:0."""
    host: str = field(default_factory=socket.gethostname)
    """Machine that did it."""
    pid: int = field(default_factory=os.getpid)
    """Process that did it."""


def do_chunk(
    campaign: Campaign | str | os.PathLike[str],
    number: int,
    how: How = How(),  # noqa: B008
    told: Callable[[int], None] | None = None,
) -> Done:
    """Make the file of a chunk, unless it is there.

    Any engine may call it, in any order, twice or at the same time: who comes later puts the same bytes in their place.

    Parameters
    ----------
    campaign : Campaign or path
        The campaign, or its file, which each process reads once.
    number : int
        Of the chunk, from 0.
    how : How
        Who renders.
    told : callable, optional
        Called after each frame with how many of the chunk are rendered.

    Returns
    -------
    Done
        What it took, or that there was nothing to do.

    Raises
    ------
    FrameError
        A frame cannot be: says which, and has its experiment as TOML.
    ResourceError
        The file cannot be written.
    """
    if not isinstance(campaign, Campaign):
        campaign = campaign_in(campaign)
    chunk = campaign.chunks[number]
    if chunk.is_done:
        return Done(number, 0)
    try:
        chunk.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {chunk.path.parent}: {error.strerror or error}") from error
    phases = Phases("write")
    with warnings_by_kind() as warned:
        frames = rendered_frames(campaign, range(chunk.first, chunk.stop), how, phases)
        digest = write_chunk(campaign, chunk, _telling(frames, told))
    device = f"cuda:{how.device}" if how.backend == "cuda" else how.backend
    return Done(number, chunk.frames, phases.seconds(), digest, warned, device)


def _telling(frames: Iterator[Rendered], told: Callable[[int], None] | None) -> Iterator[Rendered]:
    for count, one in enumerate(frames, 1):
        yield one
        if told is not None:
            told(count)


def campaign_in(path: str | os.PathLike[str]) -> Campaign:
    """The campaign of a file, read once by each process as long as it and the files that it names stay as they are."""
    campaign = _kept(os.path.abspath(path))
    if not campaign.is_current:
        _kept.cache_clear()
        campaign = _kept(os.path.abspath(path))
    return campaign


@lru_cache(maxsize=1)
def _kept(path: str) -> Campaign:
    return Campaign(path)


@contextmanager
def warnings_by_kind() -> Iterator[dict[str, tuple[int, str]]]:
    """Of each kind of warning in the block how often it came and what the first said; numbers in it tell no kinds."""
    warned: dict[str, tuple[int, str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NbnumbaWarning)
        yield warned
    for warning in caught:
        text = str(warning.message)
        count, first = warned.get(_NUMBER.sub("#", text), (0, text))
        warned[_NUMBER.sub("#", text)] = count + 1, first
