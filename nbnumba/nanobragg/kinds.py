"""How one word of a command line becomes a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ..choices import listed
from ..experiment.field import Right


@dataclass(frozen=True)
class Kind:
    """A way to read one word; ``read`` raises ValueError for a word that is not ``wanted``."""

    wanted: str
    read: Callable[[str], Any]


def _checked(read: Callable[[str], Any], is_right: Callable[[Any], bool]) -> Callable[[str], Any]:
    def read_and_check(word: str) -> Any:
        value = read(word)
        if not is_right(value):
            raise ValueError
        return value

    return read_and_check


def _float(word: str) -> float:
    if "_" in word:  # Python's digit groups
        raise ValueError
    return float(word)


def _integer(word: str) -> int:
    """A whole number of 64 bits, also where it is written like 5.0 or 1e3."""
    value = int(word) if re.fullmatch("[+-]?[0-9]+", word) else _float(word)
    if value != int(value) or abs(value) >= 2**63:
        raise ValueError
    return int(value)


def whole(least: int) -> Kind:
    """A whole number from the least on."""
    return Kind(f"a whole number{{unit}}, {least} or more", _checked(_integer, lambda n: n >= least))


def choice(*words: str, **aliases: str) -> Kind:
    """One of some words, in capitals or not."""
    meanings = {word.lower(): word for word in words}
    meanings |= {alias.replace("_", "-"): word for alias, word in aliases.items()}

    def read(word: str) -> str:
        if word.lower() not in meanings:
            raise ValueError
        return meanings[word.lower()]

    return Kind(listed(words), read)


NUMBER = Kind("a finite number{unit}", _checked(_float, math.isfinite))
INTEGER = Kind("a whole number{unit}", _integer)
COUNT_OR_ZERO = whole(0)
DEVICE = Kind("the number of a GPU, or all", lambda word: "all" if word.lower() == "all" else COUNT_OR_ZERO.read(word))
FILE = Kind("a file name", _checked(str, bool))
ELEMENT = Kind("an element, or element=file", _checked(str, lambda word: re.fullmatch("[^=]+(=.+)?", word) is not None))
MATERIAL = Kind("a material or a file, and numbers", _checked(str, bool))
NAME = Kind("a name", _checked(str, bool))
MODE = choice("spec", "c", c_parity="c")


def kind_of(types: Iterable[Any], right: Right, is_infinite: bool, judged: bool) -> Kind:
    """How the words for a field are read that may have these types.

    By the first of the rules ``right`` numbers are refused where they are to be ``judged``, counts always.
    """
    scalars = {scalar for kind in types for scalar in _scalars(kind)}
    least = right[0] if right else None
    if int in scalars:
        return INTEGER if least is None else whole(0 if least.holds(0) else 1)
    if float in scalars and least is not None and (judged or is_infinite):
        bound, is_right = least.wants.removeprefix("be "), least.holds
        if is_infinite:
            return Kind(f"a number{{unit}}, {bound}, or inf", _checked(_float, is_right))
        return Kind(f"a finite number{{unit}}, {bound}", _checked(_float, lambda x: is_right(x) and x < math.inf))
    if float in scalars:
        return NUMBER
    words = words_of(types)
    return choice(*words) if words and str not in scalars else FILE


def words_of(types: Iterable[Any]) -> tuple[str, ...]:
    """The words among the values of a field."""
    return tuple(word for kind in types if get_origin(kind) is Literal for word in get_args(kind))


def _scalars(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (tuple, Union, UnionType):
        for part in get_args(kind):
            yield from _scalars(part)
    else:
        yield kind
