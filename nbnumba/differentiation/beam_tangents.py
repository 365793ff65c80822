"""How the beam moves with a parameter: each source's direction, wavelength and weight, and the fields across it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..kernels.equations.polarization import polarization_frame
from ..kernels.plan import Plan
from .differences import Array, Moved

ALIKE = 1e-11
"""Relative difference of what is the same but for rounding, of wavelengths that move alike."""


class Rays(NamedTuple):
    """Of one parameter, as :class:`~nbnumba.kernels.gradient.change.Change` has it of all that move the beam."""

    incident: Array
    wavelength: Array
    weight: Array
    electric: Array
    magnetic: Array

    @property
    def common(self) -> float | None:
        """By how much the logarithms of all wavelengths move, where nothing else does and all do alike."""
        first = float(self.wavelength[0])
        if any(part.any() for part in (self.incident, self.weight, self.electric, self.magnetic)):
            return None
        return first if (np.abs(self.wavelength - first) <= ALIKE * abs(first)).all() else None


def rays_of(plan: Plan, moved: Moved) -> Rays | None:
    """How a parameter moves the beam; None where it does not."""
    plans = [plans[0] for plans in moved.plans]
    if all(_is_same_beam(plans[0], other) for other in plans[1:]):
        return None
    frames = [_frames(one) for one in plans]
    return Rays(
        incident=moved.slope(lambda one: one.sources.incident),
        wavelength=moved.slope(lambda one: one.sources.wavelength) / plan.sources.wavelength,
        weight=moved.slope(lambda one: one.sources.weight) / np.where(plan.sources.weight, plan.sources.weight, 1.0),
        electric=moved.difference([electric for electric, _ in frames]),
        magnetic=moved.difference([magnetic for _, magnetic in frames]),
    )


def together(rays: Sequence[Rays], sources: int) -> Rays:
    """One array of each kind for several parameters."""
    if not rays:
        vectors, numbers = np.zeros((0, sources, 3)), np.zeros((0, sources))
        return Rays(vectors, numbers, numbers, vectors, vectors)
    return Rays(*(np.ascontiguousarray(part) for part in map(np.array, zip(*rays, strict=True))))


def _is_same_beam(one: Plan, other: Plan) -> bool:
    return one.polarization_axis == other.polarization_axis and all(
        np.array_equal(u, v) for u, v in zip(one.sources, other.sources, strict=True)
    )


def _frames(plan: Plan) -> tuple[Array, Array]:
    """Directions of the electric and the magnetic field of every source."""
    frames = [polarization_frame(tuple(row), plan.polarization_axis) for row in plan.sources.incident.tolist()]
    electric, magnetic = zip(*frames, strict=True)
    return np.array(electric), np.array(magnetic)
