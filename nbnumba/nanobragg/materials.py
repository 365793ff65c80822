"""A material in the beam as words of the command line: ``water 0.05``, or ``Q=oil.txt 0.05 0.9 282``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from ..errors import UsageError
from ..experiment import Material
from ..experiment.field import declared
from ..experiment.noun import types_of
from ..experiment.types import StolAxis
from .kinds import kind_of

NUMBERS = ("path_mm", "density_g_per_cm3", "molar_mass_g_per_mol")
"""The fields that the words after the first one set, in their order."""
CALLED = ("its path", "its density", "its molar mass")
AXES = get_args(StolAxis)
SHOWN = "material path density M"


def material_of(words: Sequence[str]) -> Material:
    """The material that some words say; a UsageError for a word that is no number.

    The first is a name or a file: one with a dot, a slash, or ``stol=``, ``4stol=`` or ``Q=`` before it.
    """
    given: dict[str, Any] = {
        name: _number(name, words[0], word) for name, word in zip(NUMBERS, words[1:], strict=False)
    }
    axis, equals, file = words[0].partition("=")
    if equals and axis in AXES and file:
        given |= {"table_file": file, "axis": axis}
    elif is_file(words[0]):
        given["table_file"] = words[0]
    else:
        given["name"] = words[0]
    return Material(**given)


def is_file(word: str) -> bool:
    """Whether a word is the name of a file, not of a material."""
    return "." in word or "/" in word


def words_of(material: Material) -> tuple[str, ...]:
    """The words for a material, as far as these can say it."""
    file, first = material.table_file, material.name
    if file is not None:
        first = (
            file
            if material.axis == "stol" and is_file(file) and "=" not in file and file[0] != "-"
            else f"{material.axis}={file}"
        )
    numbers = [getattr(material, name) for name in NUMBERS]
    return (str(first), *(repr(number) for number in numbers if number is not None))


def _number(name: str, material: str, word: str) -> float:
    field = declared(Material)[name]
    kind = kind_of(types_of(Material)[name], field.right, False, True)
    try:
        value: float = kind.read(word)
    except (ValueError, OverflowError):
        wanted = kind.wanted.format(unit=f" in {field.unit}")
        raise UsageError(f"-background {material}: {CALLED[NUMBERS.index(name)]} {word!r} is not {wanted}") from None
    return value
