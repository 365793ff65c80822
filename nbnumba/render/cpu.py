"""The CPU's cores as a backend: threads that take rows of the image."""

from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np

from ..compiling import compiling
from ..errors import UsageError
from ..interruption import Worker
from ..kernels.plan import Plan
from ..tolerances import BY_PRECISION
from .backends import Backend, How, Outcome, order_matters
from .canvas import Canvas
from .reference import opening_of

T = TypeVar("T")


def _render(plan: Plan, how: How, canvas: Canvas) -> Outcome:
    most = numba.config.NUMBA_NUM_THREADS
    threads = most if how.threads is None else int(how.threads)
    if threads > most:
        raise UsageError(f"-threads {threads}: this machine takes 1 to {most}")

    def prepare() -> Callable[[], float]:
        from ..kernels.cpu.render import render
        from ..kernels.cpu.tables import make_tables, variant_of

        tables = make_tables(plan, plan.factors.interpolate > 0)
        variant = variant_of(plan, how.precision == "mixed")
        args = (plan, tables, canvas.photons, np.zeros(1, np.int64), canvas.done, canvas.stop, *variant)
        render.compile(tuple(numba.typeof(arg) for arg in args))
        return lambda: render(*args)

    work = compiling(prepare, canvas.notes.append)
    canvas.open_with(opening_of(plan))
    outside = sum(_in_threads(work, threads, canvas))
    canvas.close()
    return Outcome(f"cpu, {threads} threads", outside)


def _in_threads(work: Callable[[], T], threads: int, canvas: Canvas) -> list[T]:
    """What each of so many threads returns, this one and others that are made for this work and gone after it."""
    workers = [Worker(work) for _ in range(threads - 1)]
    try:
        for worker in workers:
            worker.start()
        own = work()
    except BaseException:
        canvas.stop[0] = 1
        raise
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.join()
    return [own, *(worker.result() for worker in workers)]


BACKEND = Backend(BY_PRECISION, order_matters, _render)
