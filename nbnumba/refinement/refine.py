"""From a start and a measured image to the numbers that fit it."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..choices import Precision
from ..differentiation.model import Differentiable
from ..differentiation.target import Target
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..prediction import longest_edge
from .outcome import Parameter, Refinement, check_independent, outcome
from .restraints import Bounds, Width, noun_of
from .search import Iteration, Log, Problem, search
from .stages import ORIENTATION, circles_of, fringes_off, smaller
from .systems import CONSTANTS, System, Together, free_constants
from .target import checked_target, first_coefficients, photons_over
from .turning import turned
from .unknowns import SCALE, SCALES, unknowns_of

Array = NDArray[np.float64]

CELL, DISTANCE = "crystal.cell", "detector.distance_mm"
STAGES = ("auto", "plain")


def refine(
    experiment: Experiment,
    measured: Target | Array,
    free: Sequence[str],
    system: System | None = None,
    background: str | Array | None = None,
    restraints: Mapping[str, Width] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    stages: Literal["auto", "plain"] = "auto",
    precision: Precision = "double",
    threads: int | None = None,
    progress: Callable[[Iteration], None] | None = None,
) -> Refinement:
    """Refine an experiment's numbers against a measured image.

    Parameters
    ----------
    experiment : Experiment
        The start.
    measured : Target or float array, shape (slow, fast)
        Photons; an array counts as a whole.
    free : sequence of str
        Fields, or single numbers of them, as :class:`nbnumba.Differentiable` takes them: "crystal.cell",
        "crystal.cell[2]", "crystal.misset_deg", "detector.distance_mm", "scale".
    system : str, optional
        The crystal system, by which constants of the cell are equal or fixed; by default that of the space group of
        the structure factors, or "triclinic" where they have none.
    background : str or float array, shape (n, slow, fast), optional
        Images that are added, each times a coefficient: "flat", "plane", "radial", those of a file, or an array. A
        Target has its own.
    restraints : mapping of str to float or str, optional
        Standard deviations of numbers about their start, by the names of ``free``: in their unit, or as "0.2%".
    bounds : mapping of str to (float or None, float or None), optional
        Lowest and highest values.
    stages : {"auto", "plain"}
        Whether a smaller crystal and low resolution are tried besides, where the start may be far off.
    precision : {"double", "mixed"}
        Of the lattice factor.
    threads : int, optional
        CPU threads; all cores by default.
    progress : callable, optional
        Is given every :class:`Iteration`.

    Returns
    -------
    Refinement
        Of the lowest Poisson deviance. After Ctrl-C, of the best that had been found; ``interrupted`` says so.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the experiment, the names, the target; or numbers that the image does not tell apart.

    Warns
    -----
    NbnumbaWarning
        Distance and cell are both free, which a single image hardly tells apart.

    Notes
    -----
    Fisher scoring on the deviance 2 Σ(µ − y + y ln(y/µ)), a Gaussian read-out noise in both y and µ, with the damping
    of Levenberg and Marquardt. Standard deviations are those of (Jᵀ W J)⁻¹, W = 1/µ.
    """
    if stages not in STAGES:
        raise UsageError(f"stages {stages!r}: give 'auto' or 'plain'")
    known, between = restraints or {}, bounds or {}
    _warn_of_distance(free, known)
    make = partial(Differentiable, precision=precision, threads=threads)
    model, constants, fixed = model_of(make, experiment, free, system)
    problem = problem_of(model, constants, measured, background, known, between)
    fringes = fringes_off(problem.unknowns, problem.circles)
    before = problem.point(problem.unknowns.start)
    check_independent(before, problem.unknowns.names)
    log = Log(problem, progress or (lambda iteration: None), before, before.at)

    def smaller_problem(part: int) -> Problem:
        return _smaller(problem, partial(make, smaller(experiment, model.resolved, part)), known, between)

    interrupted = None
    try:
        start = _with_photons(problem)
        turn = partial(turned, smaller=smaller_problem, fringes=fringes)
        search(log, start, stages == "auto", fringes, turn)
    except KeyboardInterrupt as error:
        interrupted = getattr(error, "number", signal.SIGINT)
        with suppress(UsageError):
            log.keep(problem.point(log.at))
    return outcome(problem, before, log.best, fixed, fringes, log.history, log.ends, interrupted)


def _warn_of_distance(free: Sequence[str], restraints: Mapping[str, Width]) -> None:
    fields = {noun_of(name) for name in free}
    restrained = {noun_of(name) for name in restraints}
    if {CELL, DISTANCE} <= fields and not restrained & {CELL, DISTANCE}:
        warnings.warn(
            f"{CELL} and {DISTANCE} are both refined: one image hardly tells a larger cell from a longer distance; "
            f"restrain one of them, or leave out {DISTANCE}",
            NbnumbaWarning,
            stacklevel=3,
        )


def model_of(
    make: Callable[..., Differentiable], experiment: Experiment, free: Sequence[str], system: System | None
) -> tuple[Differentiable, Together, tuple[Parameter, ...]]:
    """The model with all constants free that a system ties to one that is asked for; these; the other constants."""
    model = make(experiment, tuple(free))
    asked = [number for number, name in enumerate(_cell_names()) if name in model.names]
    if not asked and system is None:
        return model, (), ()
    cell = model.resolved.lattice.cell
    chosen = system or _system_of(model)
    groups = tuple(group for group in free_constants(chosen, cell) if set(group) & set(asked))
    if not asked:
        return model, (), ()
    moving = [number for group in groups for number in group]
    for number in set(asked) - set(moving):
        if _cell_names()[number] in free:
            raise UsageError(
                f"free {_cell_names()[number]}: {CONSTANTS[number]} of a {chosen} cell is {cell[number]:g} degrees; "
                "leave it out, or give another system"
            )
    names = list(dict.fromkeys(CELL if noun_of(name) == CELL else name for name in model.names))
    place = names.index(CELL)
    names[place : place + 1] = [_cell_names()[number] for number in moving]
    fixed = tuple(
        Parameter(name, "Å" if number < 3 else "deg", cell[number], cell[number], 0.0, name)
        for number, name in enumerate(_cell_names())
        if number not in moving
    )
    return make(experiment, tuple(names)), groups, fixed


def _cell_names() -> tuple[str, ...]:
    return tuple(f"{CELL}[{number}]" for number in range(len(CONSTANTS)))


def _system_of(model: Differentiable) -> System:
    """That of the space group by which structure factors were expanded."""
    provenance = model.resolved.table.provenance
    if provenance is None:
        return "triclinic"
    from gemmi import find_spacegroup_by_name

    group = find_spacegroup_by_name(provenance.space_group)
    if group is None:
        return "triclinic"
    return cast(System, "rhombohedral" if group.ext == "R" else group.crystal_system_str())


def problem_of(
    model: Differentiable,
    constants: Together,
    measured: Target | Array,
    background: str | Array | None,
    restraints: Mapping[str, Width],
    bounds: Mapping[str, Bounds],
) -> Problem:
    """The problem of a model at its start."""
    target = checked_target(measured, background, model.resolved)
    assert target.mask is not None
    coefficients = first_coefficients(target, target.mask)
    unknowns = unknowns_of(model.names, model.values, coefficients, constants, restraints, bounds)
    return Problem(model, unknowns, target, target.mask, circles_of(model.resolved, target.mask))


def _smaller(
    whole: Problem,
    make: Callable[[tuple[str, ...]], Differentiable],
    restraints: Mapping[str, Width],
    bounds: Mapping[str, Bounds],
) -> Problem:
    """With orientation, scale and background free, of another crystal."""
    names = [name for name in whole.model.names if noun_of(name) in ORIENTATION]
    model = make((*names, SCALE))
    known = {name: width for name, width in restraints.items() if noun_of(name) in ORIENTATION}
    between = {name: pair for name, pair in bounds.items() if noun_of(name) in ORIENTATION}
    coefficients = whole.unknowns.start[whole.unknowns.numbers :]
    unknowns = unknowns_of(model.names, model.values, coefficients, (), known, between)
    circles = replace(whole.circles, longest=longest_edge(model.resolved))
    return replace(whole, model=model, unknowns=unknowns, circles=circles)


def _with_photons(problem: Problem) -> Array:
    """The start, a free scale being that by which there are as many photons as were measured."""
    unknowns, at = problem.unknowns, problem.unknowns.start.copy()
    scales = [number for number, name in enumerate(unknowns.names) if name in SCALES]
    if scales and np.isinf(unknowns.width[scales[0]]):
        values, coefficients = unknowns.split(at)
        ratio = photons_over(problem.target, problem.counts, problem.model.image(values), coefficients)
        at[scales[0]] += np.log(ratio)
    return np.clip(at, unknowns.low, unknowns.high)
