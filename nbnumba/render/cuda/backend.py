"""CUDA cards as a backend: which of them render, and what is said of it."""

from collections.abc import Sequence
from typing import Literal

from ...errors import DeviceError
from ...kernels.choices import DOUBLE
from ...kernels.plan import Plan
from ...tolerances import BY_PRECISION
from ..backends import Backend, How, Outcome, order_matters
from ..canvas import Canvas
from ..reference import opening_of
from . import cards


def chosen_cards(devices: Sequence[int] | Literal["all"], asked: bool) -> tuple[list[int], list[str]]:
    """The cards that render, and of "all" why others do not.

    Parameters
    ----------
    devices : sequence of int, or "all"
    asked : bool
        Whether cards are asked for; else they are looked for only where the system shows signs of one.

    Raises
    ------
    DeviceError
        None can be used: says why.
    """
    if not asked and not cards.seems_present():
        raise DeviceError("no GPU with NVIDIA's driver is here")
    usable, reasons = cards.usable_cards() if devices == "all" else _named(devices)
    if not usable:
        why = reasons[0] if reasons else cards.why_unusable()
        raise DeviceError(f"-backend cuda: {why}" if asked else str(why))
    return usable, [f"not every GPU renders: {reason}" for reason in reasons]


def _named(devices: Sequence[int]) -> tuple[list[int], list[str]]:
    """All of them or, where the first cannot be used, none, and why."""
    reason = cards.why_unusable(devices[0])
    return (list(devices), []) if reason is None else ([], [reason])


def _render(plan: Plan, how: How, canvas: Canvas) -> Outcome:
    devices: Sequence[int] | Literal["all"] = "all" if how.device == "all" else [how.device]
    numbers, notes = chosen_cards(devices, asked=how.backend == "cuda")
    canvas.notes.extend(notes)
    # Not loaded where no card renders.
    from ...kernels.cuda import tables
    from . import images

    canvas.open_with(opening_of(plan))
    told = images.render_cuda(plan, canvas, how.precision, numbers)
    canvas.close()
    said = f"cuda, {'device' if len(numbers) == 1 else 'devices'} {', '.join(map(str, numbers))}"
    if how.precision == "mixed" and tables.chosen_arithmetic(plan, how.precision) == DOUBLE:
        said += ", in double: mixed saves nothing for these spots"
    return Outcome(said, told.outside, told.left_out)


BACKEND = Backend(BY_PRECISION, order_matters, _render)
