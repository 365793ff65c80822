"""The files that an experiment names, wherever in it: who moves it, or wants to know what it depends on, asks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .experiment import Experiment, with_right_values
from .noun import Noun

Renamed = Callable[[str], str]
SomeNoun = TypeVar("SomeNoun", bound=Noun)


def files_of(experiment: Experiment, cache: bool = True) -> tuple[str, ...]:
    """Names of all files, in the order of the fields; without ``cache`` but for that of structure factors."""
    found: list[str] = []

    def noted(path: str) -> str:
        found.append(path)
        return path

    with_files(experiment, noted)
    dump = experiment.structure_factors.dump_file
    return tuple(path for path in found if cache or path != dump)


def with_files(experiment: Experiment, renamed: Renamed) -> Experiment:
    """The experiment with a name of ``renamed`` for each file."""
    return _renamed(experiment, renamed)


def _renamed(noun: SomeNoun, renamed: Renamed) -> SomeNoun:
    """Itself where no name is another."""
    changes = {}
    for name, value in vars(noun).items():
        new = value
        if isinstance(value, Noun):
            new = _renamed(value, renamed)
        elif name.endswith("_file") and value is not None:
            new = renamed(value)
        elif name == "anomalous" and value is not None:
            new = tuple(_curve(word, renamed) for word in value)
        elif type(value) is tuple and value and isinstance(value[0], Noun):
            new = tuple(_renamed(item, renamed) for item in value)
        if new is not value and new != value:
            changes[name] = new
    return with_right_values(noun, **changes) if changes else noun


def _curve(word: str, renamed: Renamed) -> str:
    """An element that scatters anomalously, with the file of its f' and f'' where it names one."""
    symbol, equals, file = word.partition("=")
    return f"{symbol}={renamed(file)}" if equals else word
