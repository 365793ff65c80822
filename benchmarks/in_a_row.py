"""Images of a series, timed once the series is under way.

Small images share launches, and some launches are set up before the first image comes: what is timed begins after
those, and is of images that are set up while it lasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count, islice

from nbnumba import Experiment, changed
from nbnumba.render.cuda.launches import MOST_TOGETHER

UNCOUNTED = 2 * MOST_TOGETHER


def turning(still: Experiment) -> Iterator[Experiment]:
    """Images of a crystal that turns, without end."""
    return (changed(still, scan={"phi_deg": 0.1 * number}) for number in count())


def whole_launches(images: int) -> int:
    """So many images or a few more, so that as many are set up as come."""
    return -(-images // MOST_TOGETHER) * MOST_TOGETHER


def seconds_each(made: Iterable[object], images: int, uncounted: int = UNCOUNTED) -> float:
    """Seconds for one of ``images`` things of an endless row, after a first few."""
    row = iter(made)
    for _ in islice(row, uncounted):
        pass
    began = time.perf_counter()
    for _ in islice(row, images):
        pass
    return (time.perf_counter() - began) / images
