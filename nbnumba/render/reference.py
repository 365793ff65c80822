"""The plain renderer as a backend: serial, and so right where the order of evaluation matters."""

from collections.abc import Callable
from typing import Any

import numba

from ..compiling import compiling
from ..kernels.plan import Plan
from ..tolerances import DOUBLE
from .backends import Backend, How, Outcome
from .canvas import Canvas
from .left_out import PLAIN, all_evaluated

FOREVER = 1 << 62


def _render(plan: Plan, how: How, canvas: Canvas) -> Outcome:
    def prepare() -> tuple[Any, Callable[[], Any]]:
        from ..kernels import reference

        memory = reference.fresh_memory(plan)
        args = (plan, memory, canvas.photons, canvas.done, canvas.stop, FOREVER)
        reference.render.compile(tuple(numba.typeof(arg) for arg in args))
        return memory, lambda: reference.render(*args)

    memory, work = compiling(prepare, canvas.notes.append)
    work()
    return Outcome("reference", float(memory.outside[0]), all_evaluated(plan, PLAIN))


def opening_of(plan: Plan) -> Canvas | None:
    """Mode c: the very first sample of an image finds the unrotated cell where its φ is 0 (C-9); up to its pixel."""
    crystal = plan.crystal
    if not (crystal.phi_carryover and len(crystal.phi) > 1 and crystal.phi[0] == 0.0 and len(crystal.domains)):
        return None
    canvas = Canvas(plan)

    def work() -> None:
        from ..kernels import reference

        reference.render(plan, reference.fresh_memory(plan), canvas.photons, canvas.done, canvas.stop, 1)

    compiling(work, canvas.notes.append)
    return canvas


BACKEND = Backend({"double": DOUBLE, "mixed": DOUBLE}, lambda plan, outside: None, _render)
