"""One option of the command line: what it sets, and what is said of it.

What an option's field declares, its row in the table does not say again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..experiment import Experiment, nouns
from ..experiment.field import Declaration, declared
from ..experiment.noun import types_of
from ..experiment.types import Vector
from .command import Outputs, Run
from .kinds import FILE, Kind, kind_of, words_of

MAKES = {"cells": "crystal.cells", "edges": "crystal.size_mm", "pivot": "detector.pivot"}
"""Settings of which a field is made when all are known, and the field."""
XYZ = ("x", "y", "z")


@dataclass(frozen=True)
class Option:
    """One option with its aliases."""

    names: tuple[str, ...]
    """Without dashes, the usual one first."""
    group: str
    help: str
    targets: tuple[str, ...] = ()
    """Settings that get its value: "noun.field" of an Experiment, of Outputs or Run, or one that parse() uses."""
    values: tuple[str, ...] = ()
    """What its values are called; none: a flag."""
    kind: Kind = FILE
    unit: str = ""
    default: str = ""
    convert: Callable[[Any], Any] = lambda value: value
    """From the unit of the command line to that of the targets."""
    words: Callable[[Any], Any] = lambda value: value
    """The way back, where the value is not the words themselves: one word, or a sequence of them."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Settings that its presence alone makes."""
    fewest: int | None = None
    """How few of its values may be given (all of them, where None)."""
    instead: str | None = None
    """A word that may stand for all its values."""
    repeats: bool = False
    """Whether its targets are tuples to which each occurrence adds a value; they replace those of -experiment."""
    is_own: bool = False
    """Whether it sets one field alone, in the field's unit: then set-up, which judges it, calls the field by it."""

    @property
    def metavar(self) -> str:
        """Its values as the help shows them."""
        if self.fewest is not None:
            return f"{' '.join(self.values[: self.fewest])} [{' '.join(self.values[self.fewest :])}]"
        return " ".join(self.values) + (f" | {self.instead}" if self.instead else "")

    @property
    def wanted_word(self) -> str:
        """What one value must be, for messages."""
        return self.kind.wanted.format(unit=f" in {self.unit}" if self.unit else "")

    @property
    def wanted(self) -> str:
        """What must follow the option, for messages."""
        if len(self.values) == 1:
            return self.wanted_word
        number = f"{self.fewest} to {len(self.values)}" if self.fewest else str(len(self.values))
        return f"{number} values{f' in {self.unit}' if self.unit else ''}: {self.metavar}"


_OWNERS: dict[str, Any] = {"experiment": Experiment, "outputs": Outputs, "run": Run, **nouns()}


def option(names: str, group: str, help: str, targets: str = "", values: str = "", **said: Any) -> Option:
    """A row of the table, names, targets and values being words; what is not said is as the first target declares."""
    paths = tuple(targets.split())
    row = {"default": _of_flag(said.get("sets", {})), **_as_declared(paths, "unit" in said), **said}
    if values:
        row["values"] = tuple(values.split())
    if row.get("repeats"):
        of_files = targets.startswith("outputs.")
        help += "; may be repeated" if of_files else "; may be repeated, in place of all that -experiment has"
    return Option(tuple(names.split()), group, help, paths, **row)


def _as_declared(paths: tuple[str, ...], in_other_unit: bool) -> dict[str, Any]:
    found = _field(paths[0]) if paths else None
    if found is None:
        return {}
    field, types = found
    is_own = len(paths) == 1 and not in_other_unit
    # The experiment's numbers are judged by set-up. It could not name other options: these refuse what they read.
    is_judged = not is_own or paths[0].startswith(("cells.", "edges.", "outputs.", "run."))
    kind = kind_of(types, field.right, field.is_infinite, is_judged)
    return {
        "kind": kind,
        "values": ("file",) if kind is FILE else XYZ if Vector in types else ("|".join(words_of(types)),),
        "unit": field.unit,
        "default": _text(field.default),
        "is_own": is_own,
    }


def _field(target: str) -> tuple[Declaration, tuple[Any, ...]] | None:
    """What is declared of a setting that is a field, and the types of its values."""
    noun, _, name = MAKES.get(target.partition(".")[0], target).partition(".")
    owner = _OWNERS.get(noun)
    return (declared(owner)[name], types_of(owner)[name]) if owner else None


def _of_flag(sets: Mapping[str, Any]) -> str:
    """Whether it is as nothing given is."""
    found = [(_field(name), value) for name, value in sets.items()]
    return "on" if any(field and field[0].default == value for field, value in found) else "off"


def _text(default: Any) -> str:
    """A field's default as one would type it."""
    if isinstance(default, tuple):
        return " ".join(map(_text, default))
    return "none" if default is None else str(default).removesuffix(".0")
