"""Images of background alone, on the CPU: what frames of a series have alike is kept, and their fluence comes to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from ..interruption import in_threads
from ..kernels.plan import Plan
from ..structure_factors.keeping import Itself, kept_while_same
from .canvas import Canvas

MOST_PANELS = 512
MOST_BYTES = 1 << 27
"""Of what is kept of all panels: 8 million pixels."""
_NO_MASK: Any = None


def is_background_alone(plan: Plan) -> bool:
    """Whether no crystal scatters, and a pixel is what its first ray says."""
    return not len(plan.crystal.domains) and plan.dmin == 0.0 and not plan.background.in_sum


class _Measured(NamedTuple):
    """What decides on a share, and how many threads make it."""

    plan: Plan
    threads: int

    @property
    def state(self) -> Any:
        """The same where the same share is; None: it is too large to be kept."""
        plan, detector = self.plan, self.plan.detector
        if 3 * 8 * detector.fast_pixels * detector.slow_pixels > MOST_BYTES:
            return None
        source = (plan.sources.incident[0].tobytes(), float(plan.sources.wavelength[0]))
        polarized = (plan.kahn, plan.polarization_axis, plan.polarization_correction)
        material = (plan.background.form_factor, plan.background.table.tobytes())
        pixels = (detector._replace(mask=_NO_MASK), Itself(detector.mask), plan.oversample)
        return pixels, source, polarized, material


class _Kept(NamedTuple):
    share: Any
    nbytes: int


@kept_while_same(lambda measured: measured.state, MOST_PANELS, MOST_BYTES)
def _share_of(measured: _Measured) -> _Kept:
    """What all images of such a background have alike."""
    from ..kernels.cpu.background import Share, measure

    plan, threads = measured
    shape = (plan.detector.slow_pixels, plan.detector.fast_pixels)
    has_excess = plan.background.table.size > 0 and plan.background.table[2].any()
    share = Share(np.zeros(shape), np.zeros(shape if has_excess else (0, 0)), np.zeros(shape))
    taken = np.zeros(1, np.int64)
    in_threads(lambda: measure(plan, share, taken), threads)
    return _Kept(share, sum(array.nbytes for array in share))


def background_work(plan: Plan, canvas: Canvas, threads: int) -> Callable[[], float]:
    """What each of so many threads is to do; compiled here."""
    from ..kernels.cpu.background import shine

    share, taken = _share_of(_Measured(plan, threads)).share, np.zeros(1, np.int64)
    args = (plan.background.scale, share, plan.detector.roi, canvas.photons, taken, canvas.done, canvas.stop)
    shine.compile(tuple(map(numba.typeof, args)))

    def work() -> float:
        shine(*args)
        return 0.0

    return work
