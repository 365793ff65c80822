"""Differences between the modes that two traces tell apart, by what the first divergence looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..tolerances import TAP
from .taps import DETECTOR, Key, Taps


def label_of(a: Taps, b: Taps, first: Key | None) -> str | None:
    """The first label of :data:`PATTERNS` that fits the first divergence."""
    if first is None:
        return None
    return next((label for label, fits in PATTERNS.items() if fits(a, b, first)), None)


def _normal_flipped(a: Taps, b: Taps, first: Key) -> bool:
    one, other = _numbers(a, "initial_odet"), _numbers(b, "initial_odet")
    return first.name == "initial_odet" and _close(one, [-x for x in other])


def _pivot_differs(a: Taps, b: Taps, first: Key) -> bool:
    """The corner turns with the detector under the sample pivot alone."""
    corner = Key("pix0_before_rotation")
    return first.name in DETECTOR and (corner in a) != (corner in b)


def _twotheta_in_ratio(a: Taps, b: Taps, first: Key) -> bool:
    return first.name == "ratio" and _numbers(a, "angles_rad")[3:] != [0.0]


def _corner_given(a: Taps, b: Taps, first: Key) -> bool:
    """The corner is the sum of its terms on one side, and given by an option on the other."""
    names = [f"term_{axis}_before_rot" for axis in ("fast", "slow", "close")]

    def is_sum(taps: Taps) -> bool:
        terms = [_numbers(taps, name) for name in names]
        return _close(_numbers(taps, "pix0_before_rotation"), [sum(x) for x in zip(*terms, strict=False)])

    return first.name == "pix0_before_rotation" and is_sum(a) != is_sum(b)


def _curved(a: Taps, b: Taps, first: Key) -> bool:
    """A pixel that keeps the detector's distance on both sides, but not its place."""
    reaches = [(_numbers(taps, "R_distance_meters"), _numbers(taps, "distance_m")) for taps in (a, b)]
    return first.name == "pixel_pos_meters" and all(_close(*reach) for reach in reaches)


def _cell_kept(a: Taps, b: Taps, first: Key) -> bool:
    """At φ = 0 one side has the cell of the step before, of the last one where it is the first."""
    steps = [key.phi_tic for key in a if key.name == "k_frac" and key.phi_tic is not None]
    # The cell of the pixel is that of φ step 0.
    tic = first.phi_tic or 0
    if first.name not in ("k_frac", "rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms") or len(steps) < 2:
        return False
    before = max(steps) if tic == 0 else tic - 1

    def kept(taps: Taps) -> bool:
        now = _numbers(taps, "k_frac", tic)
        return _numbers(taps, "phi_deg", tic) == [0.0] and _close(now, _numbers(taps, "k_frac", before))

    return kept(a) != kept(b)


def _oversampled(a: Taps, b: Taps, first: Key) -> bool:
    flags = ("oversample_thick", "oversample_polar", "oversample_omega")
    return first.name == "I_before_scaling" and any(_numbers(a, flag) == [1.0] for flag in flags)


def _layers(a: Taps, b: Taps, first: Key) -> bool:
    fractions = _numbers(a, "capture_fraction") + _numbers(b, "capture_fraction")
    return first.name in ("capture_fraction", "I_before_scaling") and all(0.0 < x < 1.0 for x in fractions)


PATTERNS: dict[str, Callable[[Taps, Taps, Key], bool]] = {
    "C-2": _normal_flipped,
    "C-3": _pivot_differs,
    "C-4": _twotheta_in_ratio,
    "C-5": _corner_given,
    "C-6": _curved,
    "C-9": _cell_kept,
    "C-11": _oversampled,
    "C-20": _layers,
}
"""Differences between the modes that a trace can tell apart by what the first divergence looks like."""


def _numbers(taps: Taps, name: str, phi_tic: int | None = None) -> list[float]:
    value = taps.get(Key(name, phi_tic), ())
    return [] if isinstance(value, str) else list(value)


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) > 0 and all(
        math.isclose(x, y, rel_tol=TAP.relative, abs_tol=TAP.absolute) for x, y in pairs
    )
