"""From an experiment to the words that make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from ..errors import UsageError
from ..experiment import Experiment
from .option import Option
from .parse import parse
from .table import OPTIONS


def as_args(experiment: Experiment) -> list[str]:
    """The words that :func:`parse` makes the same experiment of.

    Raises
    ------
    UsageError
        A field that no option sets so.
    """
    args = [*([] if experiment.mode == "spec" else ["-mode", experiment.mode]), *as_command_line(experiment)]
    wanted = experiment.detector.chosen_pivot
    if parse(args).experiment.detector.chosen_pivot != wanted:
        args += ["-pivot", wanted]
    read = parse(args).experiment
    pivot = read.detector.chosen_pivot
    if pivot != wanted:
        raise UsageError(f"detector.pivot: options would turn the detector about the {pivot} here, not the {wanted}")
    said = _fields(read)
    for name, value in _fields(experiment).items():
        if value != said[name] and name != "detector.pivot":
            raise UsageError(f"{name}: no option says {value!r:.60}")
    return args


def as_command_line(experiment: Experiment) -> list[str]:
    """nanoBragg's options for an experiment: what differs from the defaults, the pivot last.

    The mode is not among them, since no other program has one. A field that no option sets is left out.
    """
    wanted, said = _settable(experiment), _settable(Experiment())
    args: list[str] = []
    for option in _IN_ORDER:
        if _says(option, wanted, said):
            args += _words(option, wanted)
            said |= {**option.sets, **{name: wanted[name] for name in option.targets}}
    pivot = experiment.detector.pivot
    return [*args, *(["-pivot", pivot] if pivot else [])]


_IN_ORDER = sorted((row for row in OPTIONS if row.is_own or not row.targets), key=lambda row: not row.values)
"""Those of one field each; flags come last: some undo what the presence of others sets."""
_BY_FLAG = {name for option in OPTIONS if not option.values for name in option.sets}


def _fields(experiment: Experiment) -> dict[str, Any]:
    """Every field by its path."""
    fields_of = {name: vars(noun) if is_dataclass(noun) else {} for name, noun in vars(experiment).items()}
    nested = {f"{name}.{item}": value for name, noun in fields_of.items() for item, value in noun.items()}
    return nested | {name: value for name, value in vars(experiment).items() if not is_dataclass(value)}


def _settable(experiment: Experiment) -> dict[str, Any]:
    """Fields by the names of the settings that options make of them, but for mode and pivot."""
    values = {name if "." in name else f"experiment.{name}": value for name, value in _fields(experiment).items()}
    for name, axes in (("cells", values.pop("crystal.cells")), ("edges", values.pop("crystal.size_mm"))):
        values |= {f"{name}.{axis}": axes[axis] for axis in range(3)}
    del values["experiment.mode"], values["detector.pivot"]
    return values


def _says(option: Option, wanted: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether an option brings what is said nearer to what is wanted."""
    sets = {name: value for name, value in option.sets.items() if name in wanted}
    if not option.values:
        return sets != {name: said[name] for name in sets} and sets == {name: wanted[name] for name in sets}
    # None is not given, and () what a flag says.
    is_set = all(name in wanted and wanted[name] not in (None, (), said[name]) for name in option.targets)
    return is_set and all(value == wanted[name] for name, value in sets.items() if name not in _BY_FLAG)


def _words(option: Option, wanted: Mapping[str, Any]) -> list[str]:
    name = f"-{option.names[0]}"
    if not option.values:
        return [name]
    value = wanted[option.targets[0]]
    return [word for item in (value if option.repeats else (value,)) for word in _once(name, option.words(item))]


def _once(name: str, value: Any) -> list[str]:
    words = [
        word if isinstance(word, str) else repr(word) for word in (value if isinstance(value, tuple) else (value,))
    ]
    # A file may be called like an option.
    return [f"{name}={words[0]}"] if words[0].startswith("-") and isinstance(value, str) else [name, *words]
