"""A further lattice as words of the command line: ``misset=10,20,30 weight=0.5``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..choices import listed
from ..errors import UsageError
from ..experiment import FurtherLattice
from ..experiment.field import declared
from ..experiment.noun import types_of
from .kinds import Kind, kind_of

FIELD_OF = {
    "misset": "misset_deg",
    "mat": "matrix_file",
    "weight": "weight",
    "cells": "cells",
    "mosaic": "mosaic_spread_deg",
    "domains": "mosaic_domains",
    "seed": "mosaic_seed",
    "cell": "cell",
}
"""What is said before the =, and the field that it sets."""
NUMBERS = {"misset": 3, "cells": 3, "cell": 6}
"""How many, with commas between them; one of what is not here."""
_IN_WORDS = {1: "", 3: "three", 6: "six"}
KEYS = tuple(f"{key}=" for key in FIELD_OF)
SHOWN = "misset=x,y,z mat=A weight=w cells=n,n,n mosaic=s domains=n seed=n cell=a,b,c,al,be,ga"


def lattice_of(words: Sequence[str]) -> FurtherLattice:
    """The lattice that some words say, in any order; a UsageError for one that says nothing."""
    given: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in FIELD_OF:
            raise UsageError(f"-lattice {word!r}: give {listed(KEYS)} and what it is")
        if FIELD_OF[key] in given:
            raise UsageError(f"-lattice {word!r}: {key}= was given before")
        given[FIELD_OF[key]] = _value(key, word, text)
    return FurtherLattice(**given)


def words_of(lattice: FurtherLattice) -> tuple[str, ...]:
    """The words for a lattice, one at the least."""
    fields = declared(FurtherLattice)
    values = {key: getattr(lattice, name) for key, name in FIELD_OF.items()}
    words = [f"{key}={_text(value)}" for key, value in values.items() if value != fields[FIELD_OF[key]].default]
    return tuple(words or [f"weight={lattice.weight!r}"])


def _kind(key: str) -> Kind:
    name = FIELD_OF[key]
    said = declared(FurtherLattice)[name]
    # What is said of some of its numbers alone is judged later.
    return kind_of(types_of(FurtherLattice)[name], said.right, False, said.first is None)


def _value(key: str, word: str, text: str) -> Any:
    number = NUMBERS.get(key, 1)
    kind, parts, in_words = _kind(key), text.split(",") if number > 1 else [text], _IN_WORDS[number]
    unit = declared(FurtherLattice)[FIELD_OF[key]].unit_in_words
    wanted = kind.wanted.format(unit=f" in {unit}" if unit else "")
    if len(parts) != number:
        raise UsageError(f"-lattice {word!r}: {key}= needs {in_words} numbers with commas between them")
    try:
        values = tuple(map(kind.read, parts))
    except (ValueError, OverflowError):
        raise UsageError(f"-lattice {word!r}: {key}= is not {in_words and in_words + ' times '}{wanted}") from None
    return values if number > 1 else values[0]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(repr, value))
    return value if isinstance(value, str) else repr(value)
