"""From words to settings, of two for one thing the later one, and from settings to an experiment."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from difflib import get_close_matches
from itertools import takewhile
from typing import Any

from ..errors import InputFileError, UsageError
from ..experiment import OWN_PIVOT, Experiment, Pivot, changed
from ..experiment.quirks import NANOBRAGG, PHYSICS, QUIRKS, Quirks, labels_of
from .command import Command, Outputs, Run
from .option import Option
from .table import BY_NAME, CONVENTIONS, DOCUMENTED_AS

UNNAMED = ("outputs.float_file", "outputs.int_file", "outputs.pgm_file", "outputs.noise_file")
"""Files that nanoBragg writes whether they are named or not."""


def wants_help(args: Sequence[str]) -> bool:
    """Whether -h or -help is among the words."""
    return any(_option(word) is BY_NAME["h"] for word in args)


def wants_version(args: Sequence[str]) -> bool:
    """Whether -version is among the words."""
    return any(_option(word) is BY_NAME["version"] for word in args)


def parse(args: Sequence[str]) -> Command:
    """The meaning of a command line.

    Parameters
    ----------
    args : sequence of str
        Options and values as typed, without the program's name; one or two dashes, ``--name=value`` too.

    Raises
    ------
    UsageError
        An unknown option, a missing value, a value that is not what the option takes.
    InputFileError
        The file of -experiment cannot be read, or holds no experiment.
    """
    settings = _settings(args)
    if "outputs.files" in settings or settings.get("run.images", 1) > 1:
        settings = dict.fromkeys(UNNAMED) | settings
    if "no_pgm" in settings:
        settings["outputs.pgm_file"] = None
    if "no_noise" in settings:
        settings |= {"outputs.noise_file": None, "outputs.counted": False}
    file = settings.get("experiment_file")
    given = None if file is None else _read_experiment(file)
    experiment = _experiment(settings, given)
    return Command(
        experiment=experiment,
        outputs=Outputs(**_of("outputs", settings)),
        run=Run(**_of("run", settings)),
        labels=_labels(settings, experiment, given),
        notes=tuple(settings["notes"]),
        experiment_file=file,
    )


def _read_experiment(file: str) -> Experiment:
    # Few commands read one, and what reads files takes longer to import than the help to print.
    from ..formats.files import read_text

    try:
        return Experiment.from_toml(read_text(file, "the experiment"))
    except UsageError as error:
        raise InputFileError(f"{file}: {error}") from error


def _settings(args: Sequence[str]) -> dict[str, Any]:
    """What the options set, each later one over the earlier ones or, where it repeats, beside them."""
    words = deque(args)
    settings: dict[str, Any] = {"notes": []}
    before = ""
    while words:
        word = words.popleft()
        option = _option(word)
        if option is None:
            raise _not_an_option(word, before)
        name, equals, attached = word.partition("=")
        if equals and not option.values:
            raise UsageError(f"{name} takes no value, found {attached!r}")
        if equals:
            words.appendleft(attached)
        taken = _take(option, name, words, int(bool(equals)))
        settings |= option.sets
        if option.values:
            value = _value(option, name, taken)
            for target in option.targets:
                settings[target] = (*settings.get(target, ()), value) if option.repeats else value
        settings["notes"] += _notes(option, name, taken)
        before = " ".join((name, *taken))
    return settings


def _notes(option: Option, name: str, taken: Sequence[str]) -> Iterator[str]:
    """What is to be said of an option that the reference would not understand as it is meant."""
    meant = DOCUMENTED_AS.get(name.lstrip("-"))
    if meant is not None:
        yield f"{name} is read as -{meant}; nanoBragg ignores it"
    if option.group == CONVENTIONS and option.names[0] == "pivot" and taken[0] != taken[0].lower():
        yield f"{name} {taken[0]} is read as {taken[0].lower()}; nanoBragg ignores it"


def _option(word: str) -> Option | None:
    match = re.fullmatch(r"--?([^-=][^=]*)(=.*)?", word, re.DOTALL)
    return BY_NAME.get(DOCUMENTED_AS.get(match[1], match[1])) if match else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _looks_like_option(word: str) -> bool:
    return _option(word) is not None or (re.match(r"--?[A-Za-z]", word) is not None and not _is_number(word))


MOST_OFFERED = 4


def _not_an_option(word: str, before: str) -> UsageError:
    if not word.startswith("-") or _is_number(word):
        advice = ": -N is one count for all axes; give -Na, -Nb and -Nc" if re.match("--?N ", before) else ""
        return UsageError(f"unexpected argument {word!r}" + (f" after {before}" if before else "") + advice)
    typed = word.partition("=")[0]
    stem = typed.lstrip("-").lower()
    known = {name.lower(): name for name in BY_NAME}
    longer = [name for name in known if stem and name.startswith(stem)]
    near = [f"-{known[name]}" for name in [*longer[:MOST_OFFERED], *get_close_matches(stem, known)]]
    near = list(dict.fromkeys(near))[:MOST_OFFERED]
    advice = f"did you mean {' or '.join(near)}?" if near else "nbnumba -h lists all options"
    is_short = bool(longer) and stem not in known
    return UsageError(f"unknown option {typed}: {advice}{' (options are written in full)' if is_short else ''}")


def _take(option: Option, name: str, words: deque[str], attached: int) -> list[str]:
    """Remove the option's values from the words that follow it, of which the ``attached`` first are no options."""
    following = list(words)
    free = following[:attached] + list(takewhile(lambda word: not _looks_like_option(word), following[attached:]))
    needed = fewest = len(option.values)
    if option.instead and free and _stands_for_all(option, free[0]):
        needed = fewest = 1
    elif option.fewest is not None:
        needed, fewest = len(free), option.fewest
    if len(free) < fewest or needed > len(option.values):
        found = " ".join(following[: len(free) + 1])
        raise UsageError(f"{name} needs {option.wanted}" + (f", found {found}" if found else ""))
    return [words.popleft() for _ in range(needed)]


def _stands_for_all(option: Option, word: str) -> bool:
    """Whether it is the word that stands for all values, in capitals or shortened as nanoBragg takes it (``rand``)."""
    return option.instead is not None and len(word) > 3 and option.instead.startswith(word.lower())


def _value(option: Option, name: str, taken: Sequence[str]) -> Any:
    if _stands_for_all(option, taken[0]):
        return option.instead
    values = []
    for word in taken:
        try:
            values.append(option.kind.read(word))
        except (ValueError, OverflowError):
            raise UsageError(f"{name} {word!r} is not {option.wanted_word}") from None
    return option.convert(values[0] if len(option.values) == 1 else tuple(values))


# From settings to nouns ------------------------------------------------------------------------------------------


def _of(noun: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one noun."""
    return {name.partition(".")[2]: value for name, value in settings.items() if name.startswith(f"{noun}.")}


def _experiment(settings: Mapping[str, Any], given: Experiment | None) -> Experiment:
    """The experiment of a file, or that of no options at all, with what the options set."""
    experiment = changed(given or Experiment(), **_of("experiment", settings))
    crystal, nouns = experiment.crystal, [name for name, noun in vars(experiment).items() if is_dataclass(noun)]
    changes = {noun: _of(noun, settings) for noun in nouns}
    changes["crystal"]["cells"] = tuple(settings.get(f"cells.{axis}", crystal.cells[axis]) for axis in range(3))
    changes["crystal"]["size_mm"] = tuple(settings.get(f"edges.{axis}", crystal.size_mm[axis]) for axis in range(3))
    changes["detector"]["pivot"] = _pivot(settings, QUIRKS[experiment.mode], given)
    return changed(experiment, **changes)


def _pivot(settings: Mapping[str, Any], quirks: Quirks, given: Experiment | None) -> Pivot | None:
    """The pivot as far as the order of the options, or a file, decides it; None: the fields that are given decide."""
    detector = (given or Experiment()).detector
    convention, pivot = settings.get("detector.convention", detector.convention), detector.pivot
    if not quirks.pivot_by_convention and ("pivot" in settings or pivot):
        return settings.get("pivot", pivot)
    if convention == "custom":
        implied = settings.get("implied_pivot", pivot if given else "beam")
        # What -ORGX and -ORGY say does not depend on where -distance stands.
        is_near_point = settings.get("near_point", given is not None and detector.chosen_pivot == "sample")
        return "sample" if not quirks.custom_near_point_is_center and implied and is_near_point else implied
    if not quirks.pivot_by_convention or (given and "detector.convention" not in settings):
        return pivot
    return OWN_PIVOT[convention]


def _labels(settings: Mapping[str, Any], experiment: Experiment, given: Experiment | None) -> tuple[str, ...]:
    """Labels of what only the line tells: the order of its options, and their names."""
    physics, nanobragg = (
        replace(experiment.detector, pivot=_pivot(settings, quirks, given)).chosen_pivot
        for quirks in (PHYSICS, NANOBRAGG)
    )
    matters = {"pivot_by_convention": physics != nanobragg, "option_misread": "option_misread" in settings}
    return tuple(labels_of(name for name, is_so in matters.items() if is_so))
