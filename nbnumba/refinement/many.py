"""Many stills at once: what they share, and what each has of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..choices import Precision
from ..differentiation.target import Target
from ..errors import UsageError
from ..experiment import Experiment
from ..render.backends import check_whole
from .arrow import Prior, arrow_covariance, arrow_step
from .crew import Crew, Still, crew_of, problem_of
from .levenberg import FACTOR, FIRST_DAMPING, LEAST_DAMPING, MOST_TRIALS, Point
from .outcome import BeforeAfter, cc_of
from .refine import refine
from .restraints import Bounds, Width, noun_of
from .systems import System
from .unknowns import Unknowns

Array = NDArray[np.float64]

MOST_STEPS = 50
NEGLIGIBLE = 1e-3
"""Of the objective per pixel and image, by how much a last step lowers the objective."""


@dataclass(frozen=True)
class JointStep:
    """A step that was taken by all images together."""

    number: int
    """From 1."""
    deviance: float
    """Per pixel, restraints included."""
    damping: float
    """λ of Levenberg and Marquardt."""


@dataclass(frozen=True, eq=False, repr=False)
class OneOfMany(HoldsArrays):
    """An image of a joint refinement."""

    experiment: Experiment
    """With the refined numbers."""
    names: tuple[str, ...]
    """Of its own numbers, and the coefficients of its background (n,)."""
    values: Array
    """Of these (n,)."""
    esd: Array
    """Their standard deviations (n,), by counting statistics, restraints and what the shared numbers leave open."""
    deviance: BeforeAfter
    """Per pixel."""
    r_factor: BeforeAfter
    """Σ|y − µ| / Σy."""
    cc: BeforeAfter
    """Correlation of y and µ."""


@dataclass(frozen=True, eq=False, repr=False)
class JointRefinement(HoldsArrays):
    """What many images say together."""

    names: tuple[str, ...]
    """Of what is shared (n,)."""
    start: Array
    """Values at which these began (n,)."""
    values: Array
    """Refined (n,)."""
    esd: Array
    """Standard deviations (n,), where the fit is worse than counting statistics times the square root of the deviance
    per degree of freedom."""
    correlation: Array
    """Of the shared numbers (n, n)."""
    images: tuple[OneOfMany, ...]
    """One for each experiment."""
    deviance: BeforeAfter
    """Per pixel of all images."""
    history: tuple[JointStep, ...]
    """Steps of all together."""
    interrupted: bool
    """Whether Ctrl-C ended it; then it is the best that had been found."""

    @property
    def summary(self) -> str:
        """Figures of the fit."""
        return (
            f"{len(self.images)} images, {len(self.names)} shared numbers, deviance {self.deviance.after:.4g} a pixel "
            f"(from {self.deviance.before:.4g})"
        )


def refine_many(
    experiments: Sequence[Experiment],
    measured: Sequence[Target | Array | Callable[[], Target]],
    shared: Sequence[str] = ("crystal.cell",),
    own: Sequence[str] = ("crystal.orientation", "scale"),
    system: System | None = None,
    background: str | Array | None = None,
    restraints: Mapping[str, Width] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    stages: Literal["auto", "plain"] = "auto",
    precision: Precision = "double",
    processes: int = 1,
    client: Any = None,
    progress: Callable[[JointStep], None] | None = None,
) -> JointRefinement:
    """Refine numbers that many images share, and others that each has of its own.

    Each image is refined alone first, with its own numbers free; then all go together.

    Parameters
    ----------
    experiments : sequence of Experiment
        The starts, one an image; what is shared starts alike in all.
    measured : sequence of Target, float array (slow, fast), or function
        As :func:`nbnumba.refine` takes them; a function gives a Target when the image is needed.
    shared, own : sequence of str
        Names, as :class:`nbnumba.Differentiable` takes them.
    system, background, restraints, bounds, stages, precision
        As of :func:`nbnumba.refine`; a restraint on what is shared counts once.
    processes : int
        Of this machine, each of which takes a share of the images. Results are the same whatever their number.
    client : distributed.Client, optional
        Whose workers take the images in place of processes.
    progress : callable, optional
        Is given every :class:`JointStep`.

    Returns
    -------
    JointRefinement

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`nbnumba.refine`; as many images as experiments are needed; a name is both shared and own; what is
        shared starts in different places.

    Notes
    -----
    One image's own numbers are eliminated from the normal equations after the other (Schur complement), so that each is
    in memory for itself, and what is solved together is as large as what is shared.
    """
    restraints, bounds = restraints or {}, bounds or {}
    _check(experiments, measured, shared, own, restraints, bounds)
    check_whole("processes", processes, 1)
    fields = {noun_of(name) for name in own}
    settings = {
        "system": system,
        "background": background,
        "bounds": bounds,
        "stages": stages,
        # Of what is shared they count once, not once an image.
        "restraints": {name: width for name, width in restraints.items() if noun_of(name) in fields},
    }
    token = token_hex(8)
    stills = [
        Still(number, experiment, image, tuple(shared), tuple(own), settings, precision, token)
        for number, (experiment, image) in enumerate(zip(experiments, measured, strict=True))
    ]
    with crew_of(stills, processes, client) as crew:
        return _Together(crew, len(stills), {key: restraints[key] for key in restraints if key not in settings["restraints"]}, progress).refined()
