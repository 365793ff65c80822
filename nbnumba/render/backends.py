"""Who can render: what each serves, how accurate it is, and in which order they are asked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ..choices import BACKENDS, PRECISIONS, RENDERERS, BackendName, Device, Precision, listed
from ..errors import UsageError
from ..kernels.plan import Plan
from ..left_out import LeftOut
from ..tolerances import Tolerance
from .canvas import Canvas


@dataclass(frozen=True)
class How:
    """What a rendering is told, checked before any work is done."""

    backend: BackendName = "auto"
    precision: Precision = "double"
    threads: int | None = None
    """Of the CPU; None: all cores."""
    device: Device = 0

    def __post_init__(self) -> None:
        for name, value, known in (("backend", self.backend, BACKENDS), ("precision", self.precision, PRECISIONS)):
            if not isinstance(value, str) or value not in known:
                raise UsageError(f"{name} {value!r}: give {listed(known)}")
        if self.threads is not None:
            check_whole("threads", self.threads, 1)
        if not is_all(self.device):
            check_whole("device", self.device, 0, ", or 'all'")


def check_whole(name: str, value: Any, least: int, otherwise: str = "") -> None:
    """Raise a UsageError unless ``value`` is a whole number, ``least`` or more."""
    if not is_whole(value) or value < least:
        raise UsageError(f"{name} {value!r}: give a whole number, {least} or more{otherwise}")


def is_whole(value: Any) -> bool:
    """Whether it is an integer of Python or NumPy."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_all(value: Any) -> bool:
    """Whether all devices are meant."""
    return isinstance(value, str) and value == "all"


class Outcome(NamedTuple):
    """What is left to be said of a canvas that is full."""

    said: str
    """Who rendered it, with what."""
    outside: float
    """Samples that were to be interpolated but lie outside the table."""
    left_out: LeftOut | None = None
    """What was left out; None where nothing may be."""


@dataclass(frozen=True)
class Backend:
    """One that renders a plan into an image.

    To add one: a module here whose ``BACKEND`` it is, and the module's name in ``nbnumba/choices.py``.
    """

    accuracy: Mapping[Precision, Tolerance]
    """How far its pixels may lie from those of the reference program."""
    why_not: Callable[[Plan, float], str | None]
    """Why a plan is not for it; asked before, and again with the number of samples that were outside the table."""
    render: Callable[[Plan, How, Canvas], Outcome]
    """Fill a canvas, or leave it when told to stop; a DeviceError where the machine lets it down, but not others."""


def backend_named(name: BackendName) -> Backend:
    """The backend of that name; not "auto"."""
    found: Backend = import_module(f".{name}", __package__).BACKEND
    return found


def in_turn(asked: BackendName) -> Iterator[Backend]:
    """Who is to try: all for "auto"; else the one that is asked and, where it does not serve, the last."""
    return map(backend_named, RENDERERS if asked == "auto" else dict.fromkeys((asked, RENDERERS[-1])))


def order_matters(plan: Plan, outside: float) -> str | None:
    """Why a plan is not for those who evaluate samples in an order of their own."""
    if plan.running_product:
        return "oversampled factors of mode c multiply in serial order (C-11)"
    if outside and plan.factors.interpolate == 2:
        return "interpolation left the table, after which mode c has none (C-10)"
    return None


def may_depend_on_order(plan: Plan) -> bool:
    """Whether, in mode c, something in an image may be as it is because of what was evaluated before."""
    return bool(plan.running_product or plan.crystal.phi_carryover or plan.factors.interpolate == 2)
