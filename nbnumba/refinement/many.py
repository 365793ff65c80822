"""Many stills at once: what they share, and what each has of its own."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from secrets import token_hex
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import HoldsArrays
from ..choices import Precision
from ..differentiation.target import Target
from ..errors import UsageError
from ..experiment import Experiment
from ..interruption import Interrupted
from ..render.backends import check_whole
from .arrow import Arrow, joined
from .crew import Crew, crew_of
from .levenberg import Point, Step, minimized
from .outcome import SINGULAR, TAKES_PART, BeforeAfter
from .refine import STAGES
from .restraints import Bounds, Width
from .stages import ALL, GROWING, TOGETHER, Stage
from .still import Figures, Known, Still, evaluated, figures, known, overlap, refined_alone
from .systems import System

Array = NDArray[np.float64]

APART_BY, APART_Z = 0.3, 5.0
"""From which an image is named: of the median deviance; of usual distances from it."""
ALIKE = 1e-9
"""Relatively: starts of what is shared."""


@dataclass(frozen=True)
class JointStep:
    """A step that was taken by all images together, or one image that has been refined alone."""

    way: str
    """Which of the ways from the start to the end: "alone" is that of one image, and comes first."""
    stage: str
    """Which part of it; of an image alone "image 3"."""
    number: int
    """In this stage, from 1; of an image alone how many steps it took."""
    deviance: float
    """Per pixel of those that count in this stage, restraints included."""
    damping: float
    """λ of Levenberg and Marquardt; of an image alone 0."""


@dataclass(frozen=True, eq=False, repr=False)
class OneOfMany(HoldsArrays):
    """An image of a joint refinement."""

    experiment: Experiment
    """With the refined numbers."""
    names: tuple[str, ...]
    """Of its own numbers, and the coefficients of its background (n,)."""
    units: tuple[str, ...]
    """Of these."""
    start: Array
    """Values at which these began (n,)."""
    values: Array
    """Refined (n,)."""
    esd: Array
    """Standard deviations (n,), by counting statistics, restraints and what the shared numbers leave open; where the
    image fits worse than these, times the square root of its deviance per degree of freedom."""
    deviance: BeforeAfter
    """Per pixel."""
    r_factor: BeforeAfter
    """Σ|y − µ| / Σy."""
    cc: BeforeAfter
    """Correlation of y and µ."""
    pixels: int
    """That counted."""


@dataclass(frozen=True, eq=False, repr=False)
class JointRefinement(HoldsArrays):
    """What many images say together."""

    names: tuple[str, ...]
    """Of what is shared (n,)."""
    units: tuple[str, ...]
    """Of these."""
    start: Array
    """Values at which these began (n,)."""
    values: Array
    """Refined (n,)."""
    esd: Array
    """Standard deviations (n,), by counting statistics and restraints; where the fit is worse than these, times the
    square root of the deviance per degree of freedom."""
    correlation: Array
    """Of these (n, n)."""
    images: tuple[OneOfMany, ...]
    """One for each experiment."""
    deviance: BeforeAfter
    """Per pixel of all images."""
    pixels: int
    """That counted in all images."""
    history: tuple[JointStep, ...]
    """Every step of all together, after those of each image alone."""
    interrupted: int | None
    """Number of the signal that ended it, such as that of Ctrl-C: then it is the best that had been found. None: none
    did."""

    @property
    def summary(self) -> str:
        """Figures of the fit."""
        return (
            f"{len(self.images)} images, {len(self.names)} shared numbers, deviance {self.deviance.after:.4g} a pixel "
            f"(from {self.deviance.before:.4g})"
        )

    @property
    def apart(self) -> tuple[int, ...]:
        """Numbers, from 0, of images that fit far worse than the others.

        Their deviance is above the median by more than ``APART_BY`` of it, and ``APART_Z`` times the usual distance
        (1.48 times the median one) from it.
        """
        deviance = np.array([one.deviance.after for one in self.images])
        above = deviance - np.median(deviance)
        usual = 1.4826 * np.median(np.abs(above))
        far = (above > APART_BY * np.median(deviance)) & (above > APART_Z * usual)
        found: list[int] = np.flatnonzero(far).tolist()
        return tuple(found)

    def report(self) -> str:
        """All this for people.

        Returns
        -------
        str
            In lines.
        """
        from .many_report import text_of

        return text_of(self)


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

    Each image is refined alone first, with its own numbers free; then all go together, at once and by circles that
    grow.

    Parameters
    ----------
    experiments : sequence of Experiment
        The starts, one an image; what is shared starts alike in all.
    measured : sequence of Target, float array (slow, fast), or function
        Photons, as :func:`nbnumba.refine` takes them. A function of no argument gives a Target when, and where, the
        image is needed.
    shared, own : sequence of str
        What all images have in common, and what each has of its own: names as :class:`nbnumba.Differentiable` takes
        them.
    system : str, optional
        The crystal system, as of :func:`nbnumba.refine`.
    background : str or float array, shape (n, slow, fast), optional
        Images that are added to each, each times a coefficient of that image, as of :func:`nbnumba.refine`.
    restraints : mapping of str to float or str, optional
        Standard deviations of numbers about their start, as of :func:`nbnumba.refine`; of what is shared they count
        once.
    bounds : mapping of str to (float or None, float or None), optional
        Lowest and highest values.
    stages : {"auto", "plain"}
        Whether a smaller crystal and low resolution are tried besides, where the starts may be far off.
    precision : {"double", "mixed"}
        Of the lattice factor.
    processes : int
        Of this machine, each of which takes a share of the images, with one thread.
    client : distributed.Client, optional
        Of Dask, whose workers take the images in place of processes.
    progress : callable, optional
        Is given every :class:`JointStep`.

    Returns
    -------
    JointRefinement
        Of the lowest Poisson deviance of all images. After Ctrl-C, of the best that had been found; ``interrupted``
        says so. It does not depend on who evaluates the images.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`nbnumba.refine`, with the number of the experiment; other than one image for each experiment; a name
        that is both shared and own; shared numbers that start in different places, or of which the images do not tell.

    Notes
    -----
    From the normal equations each image's own numbers are eliminated first (the Schur complement), so that images need
    not be in memory together, and what is solved at once is as large as what is shared.

    Processes are started anew ("spawn"): a script calls this below ``if __name__ == "__main__"``.
    """
    if stages not in STAGES:
        raise UsageError(f"stages {stages!r}: give 'auto' or 'plain'")
    _check(experiments, measured, shared, own)
    check_whole("processes", processes, 1)
    token = token_hex(8)
    stills = [
        Still(
            number=number,
            images=len(experiments),
            experiment=experiment,
            measured=image,
            shared=tuple(shared),
            own=tuple(own),
            system=system,
            background=background,
            restraints=restraints or {},
            bounds=bounds or {},
            stages=stages,
            precision=precision,
            token=token,
        )
        for number, (experiment, image) in enumerate(zip(experiments, measured, strict=True))
    ]
    with crew_of(stills, processes, client) as crew:
        return _refined(crew, stills, progress or (lambda step: None))


def _check(
    experiments: Sequence[Experiment], measured: Sequence[Any], shared: Sequence[str], own: Sequence[str]
) -> None:
    if len(experiments) != len(measured):
        raise UsageError(f"measured: {len(measured)} images for {len(experiments)} experiments; give one for each")
    if len(experiments) == 0:
        raise UsageError("experiments: there are none; give one for each image")
    if not shared:
        raise UsageError("shared: names nothing; name what the images share, or refine them one by one")
    for name in shared:
        for other in own:
            if overlap(name, other):
                raise UsageError(f"own {other}: is shared too, by {name}; leave out one of them")


Tell = Callable[[JointStep], None]


@dataclass
class _Joint:
    """All images together, and what has been found so far."""

    crew: Crew
    known: Sequence[Known]
    """Of each image."""
    before: Arrow
    best: Arrow
    """The lowest of the whole problem."""
    tell: Tell
    history: list[JointStep] = field(default_factory=list)

    @property
    def shared(self) -> int:
        """How many coordinates are shared."""
        return self.known[0].shared

    def limits(self) -> tuple[Array, Array, Array]:
        """Bounds of all coordinates (n,), of shared ones the closest; and of steps, which have none."""
        lows, highs = ([getattr(one.unknowns, which) for one in self.known] for which in ("low", "high"))
        low = joined(lows, self.shared)
        return low, joined(highs, self.shared), np.full(len(low), np.inf)

    def arrow(self, parts: Sequence[Array], reach: float = ALL) -> Arrow:
        """Normal equations at each image's coordinates."""
        return Arrow(tuple(self.crew.each(evaluated, [(at, reach) for at in parts])), self.shared)

    def alone(self) -> None:
        """Each image by itself: its own numbers."""
        points = list(self.best.points)
        for number, found in enumerate(self.crew.each(refined_alone, [None] * len(points))):
            if found.point.objective < points[number].objective:
                points[number] = found.point
            self.best = Arrow(tuple(points), self.shared)
            deviance = points[number].objective / points[number].pixels
            self.note(JointStep("alone", f"image {number + 1}", found.steps, deviance, 0.0))
            if found.interrupted is not None:
                raise Interrupted(found.interrupted)

    def go(self, start: Arrow, stages: Sequence[Stage], way: str) -> None:
        """One way from a start, with all numbers free in each of its stages."""
        at, limits = start.at, self.limits()
        for stage in stages:

            def place(at: Array, reach: float = stage.reach) -> Arrow:
                return self.arrow(start.parts(at), reach)

            begin = place(at)
            self.keep(begin, stage)
            if begin.pixels > 0:
                at = minimized(place, begin, limits, stage.iterations, partial(self.step, way, stage)).at

    def step(self, way: str, stage: Stage, step: Step[Arrow]) -> None:
        """Note a step of a stage."""
        self.keep(step.point, stage)
        last = self.history[-1] if self.history else None
        number = last.number + 1 if last is not None and (last.way, last.stage) == (way, stage.name) else 1
        self.note(JointStep(way, stage.name, number, step.point.objective / step.point.pixels, step.damping))

    def keep(self, place: Arrow, stage: Stage) -> None:
        """Keep a place if it is the lowest of the whole problem."""
        if stage.reach == ALL and place.objective < self.best.objective:
            self.best = place

    def note(self, step: JointStep) -> None:
        """Tell a step, and remember it."""
        self.history.append(step)
        self.tell(step)


def _refined(crew: Crew, stills: Sequence[Still], tell: Tell) -> JointRefinement:
    layouts = list(crew.each(known, [None] * len(stills)))
    _check_alike(layouts)
    first, shared = layouts[0].unknowns.start, layouts[0].shared
    start = [np.concatenate([first[:shared], one.unknowns.start[shared:]]) for one in layouts]
    before = Arrow(tuple(crew.each(evaluated, [(at, ALL) for at in start])), shared)
    check_told_apart(before, layouts[0].unknowns.names)
    joint = _Joint(crew, layouts, before, before, tell)
    interrupted = None
    try:
        if stills[0].own:
            joint.alone()
        begin = joint.best
        joint.go(begin, (TOGETHER,), "plain")
        if stills[0].stages == "auto":
            joint.go(begin, (*GROWING, TOGETHER), "circles")
    except KeyboardInterrupt as error:
        interrupted = getattr(error, "number", signal.SIGINT)
        crew.stop()
    return _outcome(joint, interrupted)


def _check_alike(layouts: Sequence[Known]) -> None:
    """Raise a UsageError for shared numbers that are not the same, or start in different places."""
    names, values, shared = layouts[0].unknowns.names, _values(layouts[0], layouts[0].unknowns.start), layouts[0].shared
    for number, one in enumerate(layouts):
        own = one.unknowns.names[: one.shared]
        if own != names[:shared]:
            raise UsageError(
                f"experiments[{number}]: shares {', '.join(own)}, but experiments[0] {', '.join(names[:shared])}: give "
                "all the same system"
            )
        starts = _values(one, one.unknowns.start)
        for name, value, other in zip(own, starts.tolist(), values.tolist(), strict=False):
            if not math.isclose(value, other, rel_tol=ALIKE, abs_tol=ALIKE):
                raise UsageError(
                    f"experiments[{number}]: {name} starts at {value:.9g}, but at {other:.9g} in experiments[0]; what "
                    "is shared must start alike"
                )


def check_told_apart(arrow: Arrow, names: Sequence[str]) -> None:
    """Raise a UsageError for shared numbers of which the images do not tell, and say which."""
    matrix, diagonal = arrow.information()
    names = names[: arrow.shared]
    nothing = [name for name, size in zip(names, diagonal.tolist(), strict=True) if not size > 0.0]
    if nothing:
        raise UsageError(f"shared {', '.join(nothing)}: no pixel that counts depends on it; leave out or restrain")
    unit = np.sqrt(diagonal)
    least, combinations = np.linalg.eigh(matrix / np.outer(unit, unit))
    if least[0] < SINGULAR:
        part = np.abs(combinations[:, 0])
        taking = [name for name, size in zip(names, part.tolist(), strict=True) if size > TAKES_PART * part.max()]
        raise UsageError(
            f"shared {', '.join(taking)}: the images do not tell them apart, or not from their own numbers; leave out "
            "one or restrain it"
        )


def _outcome(joint: _Joint, interrupted: int | None) -> JointRefinement:
    before, best, layout, shared = joint.before, joint.best, joint.known[0], joint.shared
    places = [(old.at, new.at) for old, new in zip(before.points, best.points, strict=True)]
    said = list(joint.crew.each(figures, places))
    spread, own = best.covariances()
    sigma = np.sqrt(np.diag(spread))
    worse = _worse(sum(point.normal.deviance for point in best.points), best.pixels - len(best.at))
    at, slopes = best.points[0].at, _slopes(layout, best.points[0].at)[:shared]
    return JointRefinement(
        names=layout.unknowns.names[:shared],
        units=layout.units[:shared],
        start=_values(layout, before.points[0].at)[:shared],
        values=_values(layout, at)[:shared],
        esd=sigma * slopes * worse,
        correlation=spread / np.outer(sigma, sigma),
        images=tuple(
            _one(one, old, new, alone, told)
            for one, old, new, alone, told in zip(joint.known, before.points, best.points, own, said, strict=True)
        ),
        deviance=BeforeAfter(*(_deviance(arrow.points) for arrow in (before, best))),
        pixels=best.pixels,
        history=tuple(joint.history),
        interrupted=interrupted,
    )


def _one(known: Known, before: Point, after: Point, spread: Array, told: Figures) -> OneOfMany:
    own = slice(known.shared, None)
    sigma = np.sqrt(np.diag(spread)) * _worse(after.normal.deviance, after.pixels - len(spread))
    return OneOfMany(
        experiment=told.experiment,
        names=known.unknowns.names[own],
        units=known.units[own],
        start=_values(known, before.at)[own],
        values=_values(known, after.at)[own],
        esd=sigma * _slopes(known, after.at)[own],
        deviance=BeforeAfter(*(_deviance([point]) for point in (before, after))),
        r_factor=BeforeAfter(*(point.normal.misfit / point.normal.measured for point in (before, after))),
        cc=told.cc,
        pixels=after.pixels,
    )


def _deviance(points: Sequence[Point]) -> float:
    """Per pixel."""
    return sum(point.normal.deviance for point in points) / sum(point.pixels for point in points)


def _worse(deviance: float, freedom: int) -> float:
    """By how much standard deviations are larger than those of counting statistics."""
    return math.sqrt(max(1.0, deviance / max(freedom, 1)))


def _values(known: Known, at: Array) -> Array:
    """The numbers that coordinates stand for (n,)."""
    return np.where(known.unknowns.logarithmic, np.exp(np.where(known.unknowns.logarithmic, at, 0.0)), at)


def _slopes(known: Known, at: Array) -> Array:
    """How fast these move with their coordinates (n,)."""
    return np.where(known.unknowns.logarithmic, _values(known, at), 1.0)
