"""The CPU's cores as a backend: threads that take rows of the image."""

from collections.abc import Callable, Sequence
from functools import partial

import numba
import numpy as np

from ..compiling import compiling
from ..errors import UsageError
from ..interruption import in_threads
from ..kernels.plan import Plan
from ..left_out import LeftOut
from ..tolerances import BY_PRECISION
from .backends import Backend, How, Outcome, order_matters
from .background import background_work, is_background_alone
from .canvas import Canvas
from .left_out import NO_CRYSTAL, all_evaluated
from .reference import opening_of
from .sparse import Done, may_leave_out, sparse_work


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

    def prepare() -> tuple[Callable[[], Done], str]:
        if is_background_alone(plan):
            shine = background_work(plan, canvas, threads)
            return lambda: Done(shine()), NO_CRYSTAL
        from ..kernels.cpu.render import render
        from ..kernels.cpu.tables import make_tables, variant_of

        tables = make_tables(plan, plan.factors.interpolate > 0)
        variant, why = variant_of(plan, how.precision == "mixed"), ""
        if may_leave_out(plan):
            work, why = sparse_work(plan, tables, variant, canvas, threads)
            if work is not None:
                return work, ""
        args = (plan, tables, canvas.photons, np.zeros(1, np.int64), canvas.done, canvas.stop, *variant)
        render.compile(tuple(numba.typeof(arg) for arg in args))
        return lambda: Done(render(*args)), why

    work, why = compiling(prepare, canvas.notes.append)
    canvas.open_with(opening_of(plan))
    shares = in_threads(work, threads, partial(_ended, canvas))
    canvas.close()
    outside = sum(share.outside for share in shares)
    return Outcome(f"cpu, {threads} threads", outside, _left_out(plan, shares, why))


def _left_out(plan: Plan, shares: Sequence[Done], why: str) -> LeftOut | None:
    """What is told of a plan of which threads did their shares, or ``why`` all was evaluated."""
    every = sum(share.every for share in shares)
    if plan.tolerance == 0.0 or not every:
        return all_evaluated(plan, why)
    evaluated, spent = sum(share.evaluated for share in shares), max(share.spent for share in shares)
    return LeftOut(evaluated / every, spent * plan.tolerance)


def _ended(canvas: Canvas) -> None:
    canvas.stop[0] = 1


BACKEND = Backend(BY_PRECISION, order_matters, _render)
