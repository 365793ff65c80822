"""Many images, one after the other: cards have several under way, and what goes wrong with one is no other's matter."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from ..arrays import HoldsArrays
from ..errors import DeviceError, NbnumbaError, NbnumbaWarning
from ..kernels.plan import Plan
from ..left_out import LeftOut
from ..response.chain import NoiseImage
from ..setup.added import with_added
from ..setup.resolve import Resolved
from .backends import How, may_depend_on_order
from .cuda import images
from .cuda.backend import chosen_cards
from .cuda.counting import ToCount, reading_of
from .job import OUTSIDE, render

Prepared = Resolved | NbnumbaError
"""What is to be rendered, or why it cannot be."""


@dataclass(frozen=True, eq=False, repr=False)
class Frame(HoldsArrays):
    """An image of a series and what it is of."""

    resolved: Resolved
    photons: np.ndarray | None
    """float32 (slow, fast); None where they were counted on a card, and stayed there."""
    backend: str
    """Who rendered it."""
    counts: NoiseImage | None = None
    """What the detector reads, where a card has counted the photons."""
    left_out: LeftOut | None = None
    """What was left out; None where nothing may be."""


def render_series(
    prepared: Iterable[Prepared], how: How, devices: Sequence[int] | Literal["all"], counted: bool = False
) -> Iterator[Frame | NbnumbaError]:
    """Render one after the other; in their order images and, for those that have none, the errors that say why.

    Parameters
    ----------
    prepared : iterable of Resolved or NbnumbaError
        Taken one by one, while earlier ones are rendered.
    how : How
        As for a single image; where "auto" begins on cards and one of them fails, the CPU goes on.
    devices : sequence of int, or "all"
        Cards that take turns, where cards render, in place of ``how.device``.
    counted : bool
        Whether counts will do. A card then counts what it renders, where the detector does no more than count: the
        counts of :func:`nbnumba.response.detection.detected` of the same photons, which do not come. Other images have
        photons and no counts.

    Raises
    ------
    DeviceError
        A card that was asked for cannot be used, or failed.

    Warns
    -----
    NbnumbaWarning
        Of all cards some cannot be used; or one failed, and the CPU goes on.
    """
    on_cpu = replace(how, backend="cpu") if how.backend == "auto" else how
    cards = _cards(how, devices)
    in_turn, waiting = iter(prepared), deque[Prepared]()
    if cards:
        try:
            yield from _on_cards(in_turn, waiting, replace(how, backend="cuda", device=cards[0]), cards, counted)
            return
        except DeviceError as error:
            if how.backend == "cuda":
                raise
            warnings.warn(f"the CPU goes on: {error}", NbnumbaWarning, stacklevel=3)
    for one in chain(waiting, in_turn):
        yield _rendered(one, on_cpu)


def _cards(how: How, devices: Sequence[int] | Literal["all"]) -> list[int]:
    """Those that render; none where the CPU does."""
    if how.backend not in ("auto", "cuda"):
        return []
    try:
        cards, notes = chosen_cards(devices, asked=how.backend == "cuda")
    except DeviceError:
        if how.backend == "cuda":
            raise
        return []
    for note in notes:
        warnings.warn(note, NbnumbaWarning, stacklevel=4)
    return cards


def _rendered(one: Prepared, how: How) -> Frame | NbnumbaError:
    if isinstance(one, NbnumbaError):
        return one
    try:
        rendering = render(one, how.backend, how.precision, how.threads, device=how.device)
    except DeviceError:
        raise
    except NbnumbaError as error:
        return error
    return Frame(one, rendering.photons, rendering.backend, left_out=rendering.left_out)


def _on_cards(
    in_turn: Iterator[Prepared], waiting: deque[Prepared], how: How, cards: Sequence[int], counted: bool
) -> Iterator[Frame | NbnumbaError]:
    """What comes of them, in order; ``waiting`` holds those that were begun and not yielded yet."""

    def wanted() -> Iterator[Plan | ToCount]:
        for one in in_turn:
            waiting.append(one)
            if isinstance(one, NbnumbaError) or len(one.plans) > 1 or one.lattices or may_depend_on_order(one.plan):
                return
            reading = reading_of(one) if counted else None
            yield one.plan if reading is None else ToCount(one.plan, reading)

    going_on = True
    while going_on:
        for image, told in images.render_many(wanted(), how.precision, cards):
            if told.outside:
                warnings.warn(OUTSIDE, NbnumbaWarning, stacklevel=4)
            resolved = waiting.popleft()
            assert isinstance(resolved, Resolved)
            if isinstance(image, NoiseImage):
                yield Frame(resolved, None, "cuda", image, told.left_out)
            else:
                yield Frame(resolved, with_added(image, resolved.added), "cuda", left_out=told.left_out)
        # What is left cannot go in a row with others.
        going_on = bool(waiting)
        if going_on:
            single = _rendered(waiting[0], how)
            waiting.popleft()
            yield single
