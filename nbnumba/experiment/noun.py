"""What every noun of an experiment does: its fields hold exactly what their annotations say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from os import PathLike, fspath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import UsageError
from .types import Mask, Taking


class Noun:
    """What the frozen dataclasses have in common: fields hold exactly what their annotations say."""

    def __post_init__(self) -> None:
        noun: Any = type(self)
        for name, kept in kept_types(noun).items():
            value = getattr(self, name)
            # Most values are right as they are: defaults, and what a copy takes over.
            if type(value) not in kept and (type(value) is not str or value not in kept):
                object.__setattr__(self, name, typed(noun, name, value))


@cache
def types_of(noun: type) -> dict[str, tuple[Any, ...]]:
    """The types that each of a noun's fields may have."""
    return {name: _alternatives(hint) for name, hint in get_type_hints(noun).items()}


@cache
def kept_types(noun: type) -> dict[str, frozenset[Any]]:
    """The types of which each of a noun's fields keeps a value as it is, and the words that it keeps."""
    return {
        name: frozenset(word for kind in kinds for word in (get_args(kind) if get_origin(kind) is Literal else (kind,)))
        for name, kinds in types_of(noun).items()
    }


@cache
def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Taking:
        return _alternatives(get_args(hint)[0])
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def path_of(noun: type, name: str) -> str:
    """A field's name from the experiment down."""
    from .experiment import Experiment, nouns  # made of nouns

    if noun is Experiment:
        return name
    for group, kind in nouns().items():
        if noun is kind:
            return f"{group}.{name}"
        for field, kinds in types_of(kind).items():
            if any(noun in get_args(item) for item in kinds):
                return f"{group}.{field}.{name}"
    return name


def changed_noun(noun: Any, changes: Mapping[str, Any]) -> Any:
    """A copy with some fields replaced, or a UsageError that names the field that is wrong."""
    kind: Any = type(noun)
    given: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in types_of(kind):
            raise _unknown(kind, name)
        old = getattr(noun, name)
        given[name] = changed_noun(old, value) if isinstance(old, Noun) and isinstance(value, Mapping) else value
    return replace(noun, **given)


def _unknown(noun: Any, name: Any) -> UsageError:
    """What to say of a field that there is not: the nearest ones of the noun, else of others, else all of the noun."""
    name = name if isinstance(name, str) and name.isidentifier() else repr(name)
    from .experiment import nouns  # made of nouns

    near = [path_of(noun, field) for field in get_close_matches(name, types_of(noun))] or [
        path_of(group, field)
        for group in nouns().values()
        for field in get_close_matches(name, types_of(group), cutoff=0.8)
    ]
    advice = f"did you mean {' or '.join(near[:3])}?" if near else f"known are: {', '.join(types_of(noun))}"
    return UsageError(f"{path_of(noun, name)} is not a field of {noun.__name__}; {advice}")


def typed(noun: type, name: str, value: Any) -> Any:
    """A field's value in one of its types, or a UsageError that names the field."""
    kinds = types_of(noun)[name]
    try:
        return _converted(kinds, value)
    except TypeError:
        raise UsageError(f"{path_of(noun, name)}: {shown(value)} is not {kinds_in_words(noun, name)}") from None


def kinds_in_words(noun: type, name: str) -> str:
    """What a noun's field takes, as its errors and the documentation say it."""
    return " or ".join(_words(kind) for kind in types_of(noun)[name] if kind is not NoneType)


def shown(value: Any) -> str:
    """A value on one line that is not too long."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and math.prod(shape) > 9:
        return f"an array {shape} of {getattr(value, 'dtype', 'values')}"
    try:
        text = " ".join(repr(_plain(value)).split())
    except ValueError:  # more digits than Python writes
        return "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    """Lists and numbers for NumPy's arrays and scalars."""
    with suppress(TypeError):
        return value.tolist() if hasattr(value, "tolist") else value
    return value


def _converted(kinds: tuple[Any, ...], value: Any) -> Any:
    """The value in the first of the types that takes it; TypeError where none does."""
    if type(value) in kinds:
        return value
    plain = _plain(value)
    # TOML has no null.
    if NoneType in kinds and (plain is None or (plain == "none" and str not in kinds)):
        return None
    for kind in kinds:
        with suppress(TypeError, OverflowError):
            return _as(kind, plain)
    raise TypeError


def _as(kind: Any, value: Any) -> Any:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    parts = get_args(kind)
    if kind is float and (is_number or value == "inf"):
        return float(value)
    if kind is int and is_number and isinstance(value, Integral):
        return int(value)
    if kind is str and isinstance(value, (str, PathLike)):
        return fspath(value)
    if get_origin(kind) is tuple and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        parts = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(value) == len(parts):
            return tuple(_converted(_alternatives(part), item) for part, item in zip(parts, value, strict=True))
    if get_origin(kind) is Literal and value in parts:
        return value
    if kind not in (float, int, str) and isinstance(kind, type) and isinstance(value, kind):
        return value
    if _is_noun(kind) and isinstance(value, Mapping):
        return changed_noun(kind(), value)
    raise TypeError


def _is_noun(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Noun)


def _words(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join((", ".join(parts[:-1]), parts[-1]) if parts[1:] else parts)
    if get_origin(kind) is tuple and _is_noun(parts[0]):
        return f"a list of {parts[0].__name__}s"
    if get_origin(kind) is tuple and get_origin(parts[0]) is tuple:
        return f"{'rows of' if parts[-1] is Ellipsis else f'{len(parts)} x'} {_words(parts[0])}"
    if get_origin(kind) is tuple and parts[0] is str:
        return "a list of texts"
    if get_origin(kind) is tuple:
        return f"{len(parts)} {'whole ' if parts[0] is int else ''}numbers"
    if kind is Mask:
        return "an array (slow, fast) of truths or whole numbers"
    return {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(
        kind, f"a {kind.__name__}"
    )
