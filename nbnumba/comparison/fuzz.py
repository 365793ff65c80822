"""A search for command lines on which two programs disagree, each shrunk to the options that matter."""

from __future__ import annotations

import re
import shlex
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import NbnumbaError, NbnumbaWarning, ResourceError
from ..nanobragg.parse import parse
from ..nanobragg.table import OPTIONS
from ..render.job import render as render_resolved
from ..setup.inputs import read_inputs
from ..setup.resolve import resolve
from ..tolerances import DOUBLE, Tolerance
from . import programs

Array = npt.NDArray[Any]
Program = Callable[[Sequence[str]], Array]
"""From nanoBragg's options to photons, shape (slow, fast); raises what it likes where it fails."""

OURSELVES = "ourselves"
"""Stands for this package in mode ``c``, in the same process."""

_MISREAD = {f"-{name}" for option in OPTIONS if "option_misread" in option.sets for name in option.names}
_UNKNOWN = {"-tolerance"}
"""The reference has none of these, and images without them are what it is held against."""
_KEPT = ("-detpixels_f", "-detpixels_s", "-oversample", "-seed")
"""Without these an image may take minutes, or differ from one run to the next."""
_ALWAYS = {"-cell", "-default_F", *_KEPT}
"""Options that say nothing of what a difference is about."""


@dataclass(frozen=True)
class Difference:
    """A command line on which two programs disagree."""

    kind: Literal["pixels differ", "shapes differ", "a failed", "b failed", "both failed"]
    """The last of them is no disagreement."""
    text: str
    """The worst pixel, or the last words of the program that failed."""
    args: tuple[str, ...] = ()
    """The command line, without the program's name."""


@dataclass(frozen=True)
class Search:
    """What a search did and found."""

    command_lines: int
    """How many were tried, those of shrinking aside."""
    refused: tuple[Difference, ...]
    """Of these, the ones that both programs failed on."""
    known: int
    """Of these, how many were left out since they have all the options of a difference found before."""
    differences: tuple[Difference, ...]
    """Each on its shrunk command line."""


# The programs ------------------------------------------------------------------------------------------------------


def program(command: str) -> Program:
    """The program that a command starts, each time in a new folder; :data:`OURSELVES` starts none.

    Parameters
    ----------
    command : str
        As typed: a program and its first arguments.

    Returns
    -------
    callable
        From nanoBragg's options to photons, shape (slow, fast).

    Raises
    ------
    UsageError
        It cannot be found.
    """
    if command == OURSELVES:
        return ourselves
    words = programs.words_of(command)

    def render(args: Sequence[str]) -> Array:
        with TemporaryDirectory() as folder:
            return programs.run(words, args, Path(folder)).photons

    return render


def ourselves(args: Sequence[str]) -> Array:
    """Photons by this package in mode ``c``, on the CPU.

    Parameters
    ----------
    args : sequence of str
        nanoBragg's options.

    Returns
    -------
    float32 array, shape (slow, fast)
        Photons per pixel.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        What is wrong with the options, their files or the machine.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        experiment = parse(["-mode", "c", *args]).experiment
        return render_resolved(resolve(experiment, read_inputs(experiment)), backend="cpu").photons


# The comparison ----------------------------------------------------------------------------------------------------


def difference(a: Program, b: Program, args: Sequence[str], tolerance: Tolerance = DOUBLE) -> Difference | None:
    """Where two programs disagree on one command line.

    Parameters
    ----------
    a, b : callable
        See :data:`Program`; a is the one that differences are measured by.
    args : sequence of str
        nanoBragg's options.
    tolerance : Tolerance
        How far pixels may lie apart.

    Returns
    -------
    Difference or None
        None where they agree, also where both fail.

    Raises
    ------
    RunnerError
        A program cannot be started.
    """
    found = _outcome(a, b, args, tolerance)
    return None if found is None or found.kind == "both failed" else found


def _outcome(a: Program, b: Program, args: Sequence[str], tolerance: Tolerance) -> Difference | None:
    image_a, image_b = _image(a, args), _image(b, args)
    if isinstance(image_a, str):
        kind: Any = "both failed" if isinstance(image_b, str) else "a failed"
        return Difference(kind, image_a, tuple(args))
    if isinstance(image_b, str):
        return Difference("b failed", image_b, tuple(args))
    if image_a.shape != image_b.shape:
        return Difference("shapes differ", f"a {image_a.shape}, b {image_b.shape} (slow, fast)", tuple(args))
    excess = _excess(image_a.astype(float), image_b.astype(float), tolerance)
    slow, fast = np.unravel_index(np.argmax(excess), excess.shape)
    if excess[slow, fast] <= 1.0:
        return None
    text = (
        f"pixel (slow {slow}, fast {fast}): a {image_a[slow, fast]:.9g}, b {image_b[slow, fast]:.9g}, "
        f"{excess[slow, fast]:.3g} times the tolerance; {np.count_nonzero(excess > 1.0)} of {excess.size} pixels differ"
    )
    return Difference("pixels differ", text, tuple(args))


def _image(render: Program, args: Sequence[str]) -> Array | str:
    """The image or, where there is none, why; a program that cannot be started at all is no matter of the options."""
    try:
        return render(args)
    except NbnumbaError as error:
        if isinstance(error, programs.RunnerError) and isinstance(error.__cause__, OSError):
            raise
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _excess(a: Array, b: Array, tolerance: Tolerance) -> Array:
    """Differences in units of what is tolerated; infinite where but one is a number."""
    finite = np.abs(a[np.isfinite(a)])
    # The smallest step of float32 is all that tiny pixels can agree to.
    step = float(np.finfo(np.float32).smallest_subnormal)
    tolerated = tolerance.allowed(np.abs(a), finite.max(initial=0.0)) + step
    with np.errstate(invalid="ignore"):
        ratio = np.abs(b - a) / tolerated
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isfinite(ratio), ratio, np.inf))


# The search --------------------------------------------------------------------------------------------------------


def search(
    a: Program,
    b: Program,
    n: int,
    seed: int,
    tolerance: Tolerance = DOUBLE,
    progress: Callable[[int], None] | None = None,
    keep: Callable[[Difference], None] | None = None,
) -> Search:
    """Try ``n`` random command lines of mode ``c`` on two programs.

    After a difference the search goes on among command lines that lack one of its options.

    Parameters
    ----------
    a, b : callable
        See :data:`Program`; a is the one that differences are measured by.
    n, seed : int
        How many command lines, and which.
    tolerance : Tolerance
        How far pixels may lie apart.
    progress : callable, optional
        Called with the number of command lines tried so far.
    keep : callable, optional
        Called with each difference as soon as it is shrunk: a search may take hours.

    Returns
    -------
    Search
        What was tried and found.

    Raises
    ------
    ResourceError
        Hypothesis, which makes the command lines, is not installed.
    RunnerError
        A program cannot be started.
    """
    tally: Counter[str] = Counter()
    found: list[Difference] = []
    refused: list[Difference] = []

    def examine(args: Sequence[str], counts: bool = False) -> Difference | None:
        known = any(_names(earlier.args) - _ALWAYS <= _names(args) for earlier in found)
        outcome = None if known else _outcome(a, b, args, tolerance)
        both_failed = outcome is not None and outcome.kind == "both failed"
        if counts:
            tally.update(tried=1, known=known)
            refused.extend([outcome] if outcome is not None and both_failed else [])
            if progress is not None:
                progress(tally["tried"])
        return None if both_failed else outcome

    while tally["tried"] < n:
        smallest = _smallest_difference(examine, n - tally["tried"], seed + len(found))
        if smallest is None:
            break
        found.append(_without_idle_options(smallest, examine))
        if keep is not None:
            keep(found[-1])
    return Search(tally["tried"], tuple(refused), tally["known"], tuple(found))


def _smallest_difference(examine: Callable[..., Difference | None], n: int, seed: int) -> Difference | None:
    """The first difference within ``n`` command lines, its values shrunk to small and round ones."""
    try:
        import hypothesis
        from hypothesis.errors import Flaky

        from ..testing.strategies import command_lines
    except ImportError as error:
        raise ResourceError(f"no {error.name}, which makes the command lines: install nbnumba[test]") from error
    shown: list[Difference] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(args=command_lines("c").map(read_alike_everywhere))
    def agree(args: list[str]) -> None:
        found = examine(args, counts=not shown)
        if found is not None and (not shown or found.kind == shown[0].kind):
            shown.append(found)
            raise AssertionError(found.text)

    try:
        agree()
    except AssertionError:
        return shown[-1]
    except Flaky:
        return replace(shown[-1], text=f"{shown[-1].text} (but not in every run)")
    return None


def read_alike_everywhere(args: Sequence[str]) -> list[str]:
    """The command line such that the reference, too, reads every option as what it is.

    It takes some for others that they contain (C-16), draws a random misset by the clock where -misset_seed is
    absent, lets an infinite depth take away only the thickness that was given before, corrects for polarization
    beside -nopolar where it is oversampled, and captures nothing where a capture without thickness is oversampled. It
    leaves no samples out.
    """
    given = _options(args)
    names = {option[0] for option in given}
    idle = _MISREAD | _UNKNOWN
    if "-nopolar" in names:
        idle.add("-oversample_polar")
    is_thick = any(option[0] == "-detector_thick" and float(option[1]) > 0.0 for option in given)
    if not is_thick or ("-detector_abs", "inf") in given:
        idle.add("-oversample_thick")
    options = [option for option in given if option[0] not in idle]
    options.sort(key=lambda option: option[0] == "-detector_abs")
    if ("-misset", "random") in options:
        seed = next((option for option in given if option[0] == "-misset_seed"), ("-misset_seed", "1"))
        options.insert(0, seed)
    return list(chain.from_iterable(options))


def _without_idle_options(found: Difference, examine: Callable[..., Difference | None]) -> Difference:
    """The difference without the options that it does not need."""
    for option in _options(found.args):
        if option[0] in _KEPT:
            continue
        others = [other for other in _options(found.args) if other != option]
        smaller = examine(read_alike_everywhere(list(chain.from_iterable(others))))
        if smaller is not None and smaller.kind == found.kind:
            found = smaller
    return found


def _options(args: Sequence[str]) -> list[tuple[str, ...]]:
    """Each option with its values."""
    options: list[tuple[str, ...]] = []
    for word in args:
        if re.match("-[A-Za-z]", word):
            options.append((word,))
        else:
            options[-1] += (word,)
    return options


def _names(args: Sequence[str]) -> set[str]:
    return {option[0] for option in _options(args)}


# What is kept ------------------------------------------------------------------------------------------------------

_TEST = '''\
"""Two programs that gave different images: {kind}."""

import shlex

from nbnumba.comparison.fuzz import Tolerance, difference, program

A = {a!r}
B = {b!r}
ARGS = shlex.split(
{args}
)


def test_programs_agree() -> None:
    found = difference(program(A), program(B), ARGS, Tolerance({relative!r}, {of_max!r}))
    assert found is None, found.text
'''


def as_test(found: Difference, a: str, b: str, tolerance: Tolerance) -> str:
    """The source of a test that fails as long as the programs of two commands disagree on the command line.

    Parameters
    ----------
    found : Difference
        What disagrees.
    a, b : str
        The commands, as :func:`program` takes them.
    tolerance : Tolerance
        How far pixels may lie apart.

    Returns
    -------
    str
        A module of Python for pytest.

    Raises
    ------
    UsageError
        A command cannot be found.
    """
    commands = (command if command == OURSELVES else shlex.join(programs.words_of(command)) for command in (a, b))
    options = [shlex.join(option) for option in _options(found.args)]
    lines = "\n".join(f"    {text!r}" for text in _spaced(options))
    return _TEST.format(
        kind=found.kind,
        **dict(zip("ab", commands, strict=True)),
        args=lines,
        relative=tolerance.relative,
        of_max=tolerance.of_max,
    )


def _spaced(texts: Sequence[str]) -> Iterator[str]:
    """The texts, a blank after each but the last."""
    yield from (f"{text} " for text in texts[:-1])
    yield from texts[-1:]
