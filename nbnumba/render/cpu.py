"""The CPU's cores as a backend: threads that take rows of the image."""

from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from ..compiling import compiling
from ..errors import UsageError
from ..interruption import in_threads
from ..kernels.plan import Plan
from ..tolerances import BY_PRECISION
from .backends import Backend, How, Outcome, order_matters
from .background import background_work, is_background_alone
from .canvas import Canvas
from .reference import opening_of


def threads_of(how: How) -> int:
    """How many render.

    Raises
    ------
    UsageError
        The machine does not take so many.
    """
    most: int = numba.config.NUMBA_NUM_THREADS
    threads = most if how.threads is None else int(how.threads)
    if threads > most:
        raise UsageError(f"-threads {threads}: this machine takes 1 to {most}")
    return threads


def _render(plan: Plan, how: How, canvas: Canvas) -> Outcome:
    threads = threads_of(how)

    def prepare() -> Callable[[], float]:
        if is_background_alone(plan):
            return background_work(plan, canvas, threads)
        from ..kernels.cpu.render import render
        from ..kernels.cpu.tables import make_tables, variant_of

        tables = make_tables(plan, plan.factors.interpolate > 0)
        variant = variant_of(plan, how.precision == "mixed")
        args = (plan, tables, canvas.photons, np.zeros(1, np.int64), canvas.done, canvas.stop, *variant)
        render.compile(tuple(numba.typeof(arg) for arg in args))
        return lambda: render(*args)

    work = compiling(prepare, canvas.notes.append)
    canvas.open_with(opening_of(plan))
    outside = sum(in_threads(work, threads, partial(_ended, canvas)))
    canvas.close()
    return Outcome(f"cpu, {threads} threads", outside)


def _ended(canvas: Canvas) -> None:
    canvas.stop[0] = 1


BACKEND = Backend(BY_PRECISION, order_matters, _render)
