"""What distributions are called in a campaign's file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import Any

from ..choices import listed
from ..errors import InputFileError
from ..experiment.noun import shown
from ..formats.files import MOST_SMALL_BYTES, read_text
from .distributions import (
    Choice,
    Cycle,
    Distribution,
    Fixed,
    Lognormal,
    Normal,
    Poisson,
    Relative,
    Rotations,
    Several,
    Step,
    Uniform,
)
from .entries import Entry, is_number

MOST_POISSON = 100.0
"""Mean above which a normal distribution serves."""
LARGEST_FACTOR = 1e3
"""Of a lognormal distribution: all its values are then numbers."""
MOST_ROWS = 2**32


def distribution_of(entry: Entry) -> Distribution:
    """The distribution that an entry says.

    Parameters
    ----------
    entry : Entry
        A mapping that has one of the words of :data:`KINDS`, a list some of whose items are such, or a value.

    Raises
    ------
    InputFileError
        It is none, or the file of a table cannot be read.
    """
    said = entry.said
    if isinstance(said, list) and any(isinstance(item, Mapping) for item in said):
        return Several(tuple(_of_a_number(entry.under(entry.name, item)) for item in said))
    if not isinstance(said, Mapping):
        return Fixed(_value(said))
    kinds = [word for word in said if word in KINDS]
    if len(kinds) != 1:
        raise entry.wrong(f"{shown(dict(said))} must say one of {listed(tuple(KINDS))}")
    kind, beside = KINDS[kinds[0]]
    for word in said:
        if word != kinds[0] and word not in beside:
            known = f"{kinds[0]} goes with {listed(beside)}" if beside else f"{kinds[0]} has nothing beside it"
            raise entry.wrong(f"{shown(word)} is not known here; {known}")
    return kind(entry)


def _of_a_number(entry: Entry) -> Distribution:
    """That of a single number, whose value needs no base."""
    found = distribution_of(entry)
    values = [value for kind in (Fixed, Choice, Cycle) if isinstance(found, kind) for value in found.samples(None)]
    if isinstance(found, (Several, Rotations, Relative)) or not all(map(is_number, values)):
        raise entry.wrong(f"{shown(entry.said)} must be a number or its distribution")
    return found


def _value(said: Any) -> Any:
    return tuple(map(_value, said)) if isinstance(said, list) else said


def _options(entry: Entry, word: str) -> tuple[Any, ...]:
    value = entry.said[word]
    if not isinstance(value, list) or not value:
        raise entry.wrong(f"{word} = {shown(value)} must be a list of values")
    return tuple(map(_value, value))


def _every(entry: Entry) -> int:
    return entry.whole("every", 1, MOST_ROWS, 1)


def _uniform(entry: Entry) -> Distribution:
    if entry.said["uniform"] == "rotations":
        return Rotations()
    low, high = entry.numbers("uniform", ("lowest", "highest"))
    if low > high:
        raise entry.wrong(f"uniform = [{low:g}, {high:g}] must be [lowest, highest]")
    return Uniform(low, high)


def _normal(entry: Entry) -> Distribution:
    mean, deviation = entry.numbers("normal", ("mean", "standard deviation"))
    if deviation < 0.0:
        raise entry.wrong(f"normal = [{mean:g}, {deviation:g}]: the standard deviation must be 0 or more")
    if "within" not in entry.said:
        return Normal(mean, deviation)
    low, high = entry.numbers("within", ("lowest", "highest"))
    normal = Normal(mean, deviation, low, high)
    if not (deviation > 0.0 and normal.share > 0.0):
        raise entry.wrong(
            f"within = [{low:g}, {high:g}] holds nothing of a normal distribution of [{mean:g}, {deviation:g}]"
        )
    return normal


def _lognormal(entry: Entry) -> Distribution:
    median, factor = entry.numbers("lognormal", ("median", "factor"))
    if not (median > 0.0 and 1.0 <= factor <= LARGEST_FACTOR):
        raise entry.wrong(
            f"lognormal = [{median:g}, {factor:g}]: the median must be above 0, the factor from 1 to {LARGEST_FACTOR:g}"
        )
    return Lognormal(median, factor)


def _poisson(entry: Entry) -> Distribution:
    mean = entry.said["poisson"]
    if not is_number(mean) or not 0.0 <= mean <= MOST_POISSON:
        raise entry.wrong(
            f"poisson = {shown(mean)} must be a mean from 0 to {MOST_POISSON:g}; a normal one serves above"
        )
    return Poisson(float(mean))


def _choice(entry: Entry) -> Distribution:
    options = _options(entry, "choice")
    weights = entry.said.get("weights", [1] * len(options))
    if not isinstance(weights, list) or len(weights) != len(options) or not all(map(is_number, weights)):
        raise entry.wrong(f"weights = {shown(weights)} must be a number for each of {len(options)} choices")
    if min(weights) < 0 or not any(weights):
        raise entry.wrong(f"weights = {shown(weights)} must be 0 or more, and not all 0")
    return Choice(options, tuple(float(weight) for weight in weights))


def _step(entry: Entry) -> Distribution:
    start, increment = entry.numbers("step", ("start", "increment"))
    return Step(start, increment, _every(entry))


def _cycle(entry: Entry) -> Distribution:
    return Cycle(_options(entry, "cycle"), _every(entry))


def _relative(entry: Entry) -> Distribution:
    change = entry.said["relative"]
    if not isinstance(change, Mapping):
        raise entry.wrong(f"relative = {shown(change)} must be a distribution, as {{ normal = [0, 0.01] }}")
    return Relative(_of_a_number(entry.under(entry.name, change)))


def _column(entry: Entry) -> Distribution:
    file, column = entry.said["file"], entry.said.get("column")
    if not isinstance(file, str) or not isinstance(column, str):
        raise entry.wrong('a file needs the name of a column: { file = "table.csv", column = "cell_a" }')
    order = entry.one_of("order", ("cycle", "random"), "cycle")
    if order == "random" and "every" in entry.said:
        raise entry.wrong("every goes with order = cycle: leave it out")
    values = _column_of(entry.located(file), column)
    return Choice(values, (1.0,) * len(values)) if order == "random" else Cycle(values, _every(entry))


def _column_of(path: str, column: str) -> tuple[Any, ...]:
    """The values of a table with a line of names: numbers where they all are, else texts."""
    table = csv.reader(read_text(path, "a table", MOST_SMALL_BYTES).splitlines())
    try:
        names, *rows = [[field.strip() for field in row] for row in table if row] or [[]]
    except csv.Error as error:
        raise InputFileError(f"{path}:{table.line_num}: is no table of values parted by commas: {error}") from error
    if names.count(column) != 1:
        has = "has no column" if column not in names else "has several columns"
        raise InputFileError(f"{path}: {has} {column!r}; its first line names {', '.join(names) or 'none'}")
    number = names.index(column)
    values = [row[number] if number < len(row) else "" for row in rows]
    if not values or "" in values:
        where = f"row {values.index('') + 1} has" if values else "there are no rows below the first line, and"
        raise InputFileError(f"{path}: {where} no {column}")
    for kind in (int, float):
        try:
            return tuple(map(kind, values))
        except ValueError:
            continue
    return tuple(values)


Reader = Callable[[Entry], Distribution]
KINDS: Mapping[str, tuple[Reader, tuple[str, ...]]] = {
    "uniform": (_uniform, ()),
    "normal": (_normal, ("within",)),
    "lognormal": (_lognormal, ()),
    "poisson": (_poisson, ()),
    "choice": (_choice, ("weights",)),
    "step": (_step, ("every",)),
    "cycle": (_cycle, ("every",)),
    "relative": (_relative, ()),
    "file": (_column, ("column", "order", "every")),
}
"""What a distribution is called in the file, how it is read, and what else may stand beside its name."""
