"""Many stills at once: what they share, and what each has of its own."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import Precision
from ..differentiation.target import Target
from ..errors import UsageError
from ..experiment import Experiment
from ..render.backends import check_whole
from .arrow import Arrow
from .crew import Crew, crew_of
from .joint import Joint, JointStep, Tell, search
from .joint_outcome import JointRefinement, joint_outcome
from .outcome import undetermined
from .refine import STAGES
from .restraints import Bounds, Width
from .stages import ALL
from .still import Known, Still, evaluated, known, overlap
from .systems import System

Array = NDArray[np.float64]

ALIKE = 1e-9
"""Relatively: starts of what is shared."""


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
            precision=precision,
            token=token,
        )
        for number, (experiment, image) in enumerate(zip(experiments, measured, strict=True))
    ]
    with crew_of(stills, processes, client) as crew:
        return _refined(crew, stills, stages, progress or (lambda step: None))


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


def _refined(crew: Crew, stills: Sequence[Still], stages: Literal["auto", "plain"], tell: Tell) -> JointRefinement:
    layouts = list(crew.each(known, [None] * len(stills)))
    check_alike(layouts)
    first, shared = layouts[0].unknowns.start, layouts[0].shared
    start = [np.concatenate([first[:shared], one.unknowns.start[shared:]]) for one in layouts]
    before = Arrow(tuple(crew.each(evaluated, [(at, ALL) for at in start])), shared)
    check_told_apart(before, layouts[0].unknowns.names)
    joint = Joint(crew, layouts, before, before, tell)
    interrupted = None
    try:
        search(joint, stages == "auto")
    except KeyboardInterrupt as error:
        interrupted = getattr(error, "number", signal.SIGINT)
        crew.stop()
    return joint_outcome(joint, interrupted)


def check_alike(layouts: Sequence[Known]) -> None:
    """Raise a UsageError for shared numbers that are not the same, or start in different places."""
    names, values, shared = layouts[0].unknowns.names, layouts[0].values(layouts[0].unknowns.start), layouts[0].shared
    for number, one in enumerate(layouts):
        own = one.unknowns.names[: one.shared]
        if own != names[:shared]:
            raise UsageError(
                f"experiments[{number}]: shares {', '.join(own)}, but experiments[0] {', '.join(names[:shared])}: give "
                "all the same system"
            )
        starts = one.values(one.unknowns.start)
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
    taking = undetermined(matrix, np.sqrt(diagonal), names)
    if taking:
        alike = "it" if len(taking) == 1 else "them apart, or not"
        raise UsageError(
            f"shared {', '.join(taking)}: the images do not tell {alike} from their own numbers; leave out one or "
            "restrain it"
        )
