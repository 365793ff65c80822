"""Fields that are not the same in all frames of a campaign: which may vary, how, and per what."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, get_args, get_origin

from ..choices import listed
from ..errors import UsageError
from ..experiment import Experiment, FurtherLattice, changed
from ..experiment.experiment import nouns
from ..experiment.field import LARGEST, declared
from ..experiment.files import with_files
from ..experiment.noun import shown, typed, types_of
from .distributions import Choice, Cycle, Distribution, Fixed, Relative, Rotations, Step
from .entries import Entry, is_number, is_whole
from .words import distribution_of

Per = Literal["frame", "sweep", "campaign"]

OF_THE_FILE: Mapping[str, tuple[str, ...] | None] = {
    "detector": None,
    "goniometer": None,
    "readout": None,
    "beam": ("direction", "polarization_axis", "kahn_factor", "polarization_correction", "profile", "exposure_s"),
}
"""What a file has once: nouns whole, or of others the fields."""
OF_THE_CAMPAIGN = ("noise.", "crystal.lattices", "beam.spectrum_file", "beam.spectrum_number")
"""What the campaign itself fills."""
OF_EACH_CRYSTAL = tuple(name for name in declared(FurtherLattice) if name != "weight")
"""Fields of the crystal that each crystal in a frame draws for itself."""
ALIKE = ("crystal.cells", "crystal.size_mm", "crystal.whole_size_mm")
"""Fields of three edges: a single number is that of all."""


@dataclass(frozen=True)
class Varied:
    """A field that is not the same in all frames."""

    noun: str
    name: str
    distribution: Distribution
    per: Per
    """What has a draw of its own."""

    @property
    def path(self) -> str:
        """The field as the file names it."""
        return f"{self.noun}.{self.name}"

    @property
    def is_of_each_crystal(self) -> bool:
        """Whether each crystal in a frame has its own."""
        return self.noun == "crystal" and self.name in OF_EACH_CRYSTAL

    @property
    def is_of_the_file(self) -> bool:
        """Whether all frames of a file have it in common."""
        fields = OF_THE_FILE.get(self.noun, ())
        return fields is None or self.name in fields

    def base(self, experiment: Experiment) -> Any:
        """The field's value in the experiment that all frames share."""
        return getattr(getattr(experiment, self.noun), self.name)

    def as_field(self, value: Any) -> Any:
        """A number that was drawn, as the field has it: whole, and of three edges where it is of all alike."""
        is_whole_field, is_three = _kind_of(self.noun, self.name)
        if isinstance(value, tuple) and is_whole_field:
            return tuple(round(number) if isinstance(number, float) else number for number in value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = round(value) if is_whole_field else value
            return (value,) * 3 if is_three else value
        return value


@cache
def _kind_of(noun: str, name: str) -> tuple[bool, bool]:
    """Whether a field holds whole numbers alone, and whether a single one is that of three edges."""
    kinds = types_of(nouns()[noun])[name]
    parts = {part for kind in kinds for part in (get_args(kind) if get_origin(kind) is tuple else (kind,))}
    return int in parts and float not in parts, f"{noun}.{name}" in ALIKE


# From the file ---------------------------------------------------------------------------------------------------


def flattened(said: Any) -> list[tuple[Any, Any]]:
    """Fields by their whole names: ``[vary] crystal.cells = …`` without quotes is a table in a table."""
    return [
        pair
        for key, value in said.items()
        for pair in (
            [(f"{key}.{name}", item) for name, item in value.items()]
            if key in nouns() and isinstance(value, Mapping)
            else [(key, value)]
        )
    ]


def varied_of(entry: Entry, in_sweeps: bool) -> tuple[Varied, ...]:
    """The fields of a table, each with its distribution.

    Parameters
    ----------
    entry : Entry
        What the file says of ``vary``.
    in_sweeps : bool
        Whether frames are of rotations, whose crystals then are the same for a sweep.

    Raises
    ------
    InputFileError
        A field that there is not or that may not vary, or no distribution of it.
    """
    if not isinstance(entry.said, Mapping):
        raise entry.wrong(f"{shown(entry.said)} must be a table of fields")
    fields = flattened(entry.said)
    names = [name for name, _ in fields]
    for name in names:
        if names.count(name) > 1:
            raise entry.wrong(f"{name} is given twice")
    return tuple(_one_of(name, entry.under(f"vary {name}", said), in_sweeps) for name, said in fields)


def _one_of(path: str, entry: Entry, in_sweeps: bool) -> Varied:
    noun, _, name = path.partition(".")
    if noun not in nouns() or name not in types_of(nouns()[noun]):
        known = [f"{noun}.{name}" for noun, kind in nouns().items() for name in types_of(kind)]
        near = tuple(get_close_matches(path, known, 2))
        raise entry.wrong(f"there is no such field{f'; did you mean {listed(near)}?' if near else ' of an experiment'}")
    if path.startswith(OF_THE_CAMPAIGN) or (noun == "scan" and in_sweeps):
        instead = "give spectrum = { file = …, order = … }" if path.startswith("beam.spectrum") else "leave it out"
        raise entry.wrong(f"the campaign itself fills this: {instead}")
    per: Per = "sweep" if in_sweeps and noun == "crystal" else "frame"
    said = entry.said
    if isinstance(said, Mapping) and "per" in said:
        choices: tuple[Per, ...] = get_args(Per) if in_sweeps else ("frame", "campaign")
        per = entry.one_of("per", choices, per)
        said = {word: value for word, value in said.items() if word != "per"}
    entry = entry.under(entry.name, said)
    distribution = distribution_of(entry)
    if isinstance(distribution, Rotations) and path != "crystal.misset_deg":
        raise entry.wrong("rotations are of crystal.misset_deg alone")
    return Varied(noun, name, _located(noun, name, distribution, entry), per)


def _located(noun: str, name: str, distribution: Distribution, entry: Entry) -> Distribution:
    """With the files that its values name, by their absolute names."""
    known: dict[str, Any] = {}

    def located(value: Any) -> Any:
        if not _has_text(value):
            return value
        said = repr(value)
        if said not in known:
            try:
                named = with_files(changed(Experiment(), **{noun: {name: value}}), entry.located)
            except UsageError as error:
                raise entry.wrong(str(error)) from error
            known[said] = getattr(getattr(named, noun), name)
        return known[said]

    if isinstance(distribution, Fixed):
        return Fixed(located(distribution.only))
    if isinstance(distribution, (Choice, Cycle)):
        return replace(distribution, options=tuple(map(located, distribution.options)))
    return distribution


def _has_text(value: Any) -> bool:
    return any(map(_has_text, value)) if isinstance(value, tuple) else isinstance(value, (str, Mapping))


def check_one_detector(varied: Sequence[Varied], frames_per_file: int, in_sweeps: bool, entry: Entry) -> None:
    """A file has one detector: what would change it within one is refused."""
    for one in varied:
        if not one.is_of_the_file or isinstance(one.distribution, Fixed) or one.per != "frame":
            continue
        wrong = entry.under(f"vary {one.path}", None).wrong
        if in_sweeps:
            raise wrong('a file has one detector: give per = "sweep"')
        if not isinstance(one.distribution, (Step, Cycle)):
            raise wrong('a file has one detector: give step or cycle with every, or per = "campaign"')
        if one.distribution.every % frames_per_file:
            raise wrong(
                f"every = {one.distribution.every} must be a multiple of output.frames_per_file, {frames_per_file}: a "
                "file has one detector"
            )


# With the experiment ---------------------------------------------------------------------------------------------


def check_values(one: Varied, base: Any) -> None:
    """Find out before any work whether a field can have the values that its distribution says.

    Parameters
    ----------
    base : field's value
        That in the experiment which all frames share.

    Raises
    ------
    UsageError
        It is relative to no number, or a value is not of the field's type, or breaks its rules.
    """
    if isinstance(one.distribution, Relative) and not all(map(is_number, base if isinstance(base, tuple) else (base,))):
        raise UsageError(f"{one.path}: relative to what? the experiment has {shown(base)} there")
    kind, field = nouns()[one.noun], declared(nouns()[one.noun])[one.name]
    for value in values_of(one, base):
        value = typed(kind, one.name, value)
        for number in value if isinstance(value, tuple) else (value,):
            is_endless = isinstance(number, (int, float)) and not -LARGEST <= number <= LARGEST
            if is_endless and not (field.is_infinite and number == math.inf):
                raise UsageError(f"{one.path} {shown(number)}: give a finite number of at most {LARGEST:g}")
        broken = field.broken_by(value)
        if broken is not None:
            number, wants = broken
            raise UsageError(f"{one.path} {number:.12g}: must {wants}")


def values_of(one: Varied, base: Any) -> Iterator[Any]:
    """Values to be tried; those that are listed are not rounded."""
    is_listed = isinstance(one.distribution, (Fixed, Choice, Cycle))
    _, is_three = _kind_of(one.noun, one.name)
    for value in dict.fromkeys(one.distribution.samples(base)):
        if is_listed:
            yield (value,) * 3 if is_three and is_whole(value) else value
        else:
            yield one.as_field(value)
