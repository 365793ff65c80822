"""Where two traces of a pixel begin to differ: tap beside tap, along the chain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..tolerances import TAP, TAPS, TapTolerance
from .known_differences import label_of
from .taps import CHAIN, PHI, SCALING, Key, Value
from .trace_files import TraceFile

NO_VECTORS = ("angles_rad", "beam_center_m")
"""Taps of numbers that each have a name and a size of their own."""


@dataclass(frozen=True)
class Difference:
    """A tap beyond its tolerance; a value of None is missing."""

    key: Key
    a: Value | None
    b: Value | None
    largest: float | None
    """|Δ| of the component that differs most beyond its tolerance; None for words and missing values."""
    allowed: float | None


@dataclass(frozen=True)
class Diff:
    """All that differs between two traces, in the order of the chain."""

    a: TraceFile
    b: TraceFile
    compared: int
    differences: tuple[Difference, ...]
    label: str | None
    """The known difference between the modes whose pattern the first one has."""

    @property
    def first(self) -> Difference | None:
        """Where it begins."""
        return self.differences[0] if self.differences else None

    def depends_on(self, key: Key) -> list[tuple[str, str]]:
        """What a tap is computed from, each with "agrees", "differs" or, for options, "not traced"."""
        differing = {difference.key for difference in self.differences}
        both = self.a.taps.keys() & self.b.taps.keys()
        of_every_step = key.name in SCALING and key.phi_tic is None

        def state(name: str) -> str:
            same_step = {
                k for k in both | differing
                if k.name == name and (of_every_step or name not in PHI or (k.phi_tic or 0) == (key.phi_tic or 0))
            }  # fmt: skip
            if same_step & differing:
                return "differs"
            return "agrees" if same_step else "not traced"

        return [(name, state(name)) for name in CHAIN.get(key.name, ())]


def diff_traces(a: TraceFile, b: TraceFile, tolerances: Mapping[str, float] | None = None) -> Diff:
    """Compare two traces tap by tap.

    Parameters
    ----------
    a, b : TraceFile
    tolerances : mapping of str to float, optional
        By the name of a tap, in place of :data:`~nbnumba.tolerances.TAPS`: absolute for Miller indices, else relative.
    """
    given = {name: _given_tolerance(name, value) for name, value in (tolerances or {}).items()}
    differences = []
    compared = 0
    for key in sorted(a.taps.keys() | b.taps.keys(), key=lambda key: key.place):
        one, other = a.taps.get(key), b.taps.get(key)
        if one is None or other is None:
            if (a if one is None else b).can_have(key):
                differences.append(Difference(key, one, other, None, None))
            continue
        compared += 1
        difference = _difference(key, one, other, given.get(key.name) or tolerance_of(key.name))
        if difference is not None:
            differences.append(difference)
    return Diff(
        a, b, compared, tuple(differences), label_of(a.taps, b.taps, differences[0].key if differences else None)
    )


def tolerance_of(name: str) -> TapTolerance:
    """The tolerance of a tap where none is given."""
    return TAPS.get(name, TAP)


def _given_tolerance(name: str, value: float) -> TapTolerance:
    return TapTolerance(0.0, value) if tolerance_of(name).relative == 0.0 else TapTolerance(value, 0.0)


def _difference(key: Key, a: Value, b: Value, tolerance: TapTolerance) -> Difference | None:
    if isinstance(a, str) or isinstance(b, str) or len(a) != len(b):
        return None if a == b else Difference(key, a, b, None, None)
    parts = [((x,), (y,)) for x, y in zip(a, b, strict=True)] if key.name in NO_VECTORS else [(a, b)]
    beyond = [found for found in (_excess(*part, tolerance) for part in parts) if found is not None]
    return Difference(key, a, b, *max(beyond)) if beyond else None


def _excess(a: tuple[float, ...], b: tuple[float, ...], tolerance: TapTolerance) -> tuple[float, float] | None:
    """|Δ| of the component that differs most and what is allowed, where that is less."""
    largest = max((_distance(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    allowed = max(tolerance.absolute, tolerance.relative * max((abs(x) for x in (*a, *b)), default=0.0))
    return None if largest <= allowed and largest < math.inf else (largest, allowed)


def _distance(x: float, y: float) -> float:
    """|x − y|; what is not a number is at home with its like alone."""
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    return abs(x - y) if math.isfinite(x) and math.isfinite(y) else math.inf
