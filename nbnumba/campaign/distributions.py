"""What a field of a campaign's frames may be: drawn, each value by inversion of one uniform deviate, or listed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple, Protocol

from ..choices import listed
from ..errors import InputFileError, NbnumbaError
from ..experiment.noun import shown
from ..formats.files import read_text
from .draws import Draws

STANDARD = NormalDist()
MOST_POISSON = 100.0
"""Mean above which a normal distribution serves."""
EDGES = 3
"""Numbers of a cell that are lengths."""


class Place(NamedTuple):
    """Where in a campaign a value is wanted."""

    draws: Draws
    index: int
    """By which it is keyed."""
    position: int
    """Which of its kind it is, counted from 0: frame or crystal of the sweeps."""
    crystal: int
    """Number of the crystal in the frame."""

    def uniform(self, field: str) -> float:
        """The deviate of a field."""
        return self.draws.uniforms(field, self.index, 1, self.crystal)[0]


class Distribution(Protocol):
    """Values of a field."""

    def value(self, field: str, base: Any, place: Place) -> Any:
        """That at a place; ``base`` is the field's in the experiment that all share."""

    def values(self) -> tuple[Any, ...]:
        """All those that are listed, none where they are drawn from a continuum."""


class Continuous:
    """What has no list of values."""

    def values(self) -> tuple[Any, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class Fixed:
    """One value for all."""

    only: Any

    def value(self, field: str, base: Any, place: Place) -> Any:
        """That one."""
        return self.only

    def values(self) -> tuple[Any, ...]:
        """That one."""
        return (self.only,)


@dataclass(frozen=True)
class Uniform(Continuous):
    """Alike likely from one end to the other."""

    low: float
    high: float

    def value(self, field: str, base: Any, place: Place) -> float:
        """Between the ends."""
        return self.low + (self.high - self.low) * place.uniform(field)


@dataclass(frozen=True)
class Normal(Continuous):
    """Gaussian, within bounds where there are any."""

    mean: float
    deviation: float
    low: float = -math.inf
    high: float = math.inf

    def value(self, field: str, base: Any, place: Place) -> float:
        """By inversion of what of the distribution lies within the bounds."""
        share = self._below(self.low) + self.share * place.uniform(field)
        return self.mean + self.deviation * STANDARD.inv_cdf(min(max(share, 1e-300), 1.0 - 2.0**-53))

    @property
    def share(self) -> float:
        """Of the whole distribution, what lies within the bounds."""
        return self._below(self.high) - self._below(self.low)

    def _below(self, bound: float) -> float:
        return float(bound > 0.0) if math.isinf(bound) else STANDARD.cdf((bound - self.mean) / self.deviation)


@dataclass(frozen=True)
class Lognormal(Continuous):
    """Two thirds lie between the median over and the median times the factor."""

    median: float
    factor: float

    def value(self, field: str, base: Any, place: Place) -> float:
        """Above 0."""
        return self.median * math.exp(math.log(self.factor) * STANDARD.inv_cdf(place.uniform(field)))


@dataclass(frozen=True)
class Poisson(Continuous):
    """Whole numbers, as so many are expected."""

    mean: float

    def value(self, field: str, base: Any, place: Place) -> int:
        """From 0 on."""
        uniform, count = place.uniform(field), 0
        probability = total = math.exp(-self.mean)
        while uniform > total and count < 1000:
            count += 1
            probability *= self.mean / count
            total += probability
        return count


@dataclass(frozen=True)
class Choice:
    """One of some, each with its weight."""

    options: tuple[Any, ...]
    weights: tuple[float, ...]

    def value(self, field: str, base: Any, place: Place) -> Any:
        """The one in whose share the deviate falls."""
        wanted = place.uniform(field) * sum(self.weights)
        for option, total in zip(self.options, accumulate(self.weights), strict=True):
            if wanted < total:
                return option
        return self.options[-1]

    def values(self) -> tuple[Any, ...]:
        """All of them."""
        return self.options


@dataclass(frozen=True)
class Step(Continuous):
    """A scan."""

    start: float
    increment: float
    every: int

    def value(self, field: str, base: Any, place: Place) -> float:
        """Increased after every so many."""
        return self.start + self.increment * (place.position // self.every)


@dataclass(frozen=True)
class Cycle:
    """One after the other, from the first again after the last."""

    options: tuple[Any, ...]
    every: int = 1

    def value(self, field: str, base: Any, place: Place) -> Any:
        """The next after every so many."""
        return self.options[place.position // self.every % len(self.options)]

    def values(self) -> tuple[Any, ...]:
        """All of them."""
        return self.options


@dataclass(frozen=True)
class Rotations(Continuous):
    """Orientations, each as likely as any other."""

    def value(self, field: str, base: Any, place: Place) -> Any:
        """Angles about the lab's x, then y, then z."""
        from ..setup.mosaic import uniform_misset_deg  # with NumPy's linear algebra

        return uniform_misset_deg(*place.draws.uniforms(field, place.index, 3, place.crystal))


@dataclass(frozen=True)
class Relative(Continuous):
    """The base's number times 1 and a draw; of a cell, each length by a draw of its own."""

    change: Distribution

    def value(self, field: str, base: Any, place: Place) -> Any:
        """In the base's type."""
        if isinstance(base, tuple):
            lengths = [
                edge * (1.0 + self.change.value(f"{field}[{number}]", edge, place))
                for number, edge in enumerate(base[:EDGES])
            ]
            return (*lengths, *base[EDGES:])
        return base * (1.0 + self.change.value(field, base, place))


@dataclass(frozen=True)
class Several:
    """A distribution for each of several numbers."""

    each: tuple[Distribution, ...]

    def value(self, field: str, base: Any, place: Place) -> Any:
        """One of each."""
        return tuple(one.value(f"{field}[{number}]", None, place) for number, one in enumerate(self.each))

    def values(self) -> tuple[Any, ...]:
        """All that are listed."""
        return tuple(value for one in self.each for value in one.values())


# From the campaign's file ----------------------------------------------------------------------------------------

Said = Mapping[str, Any]
Wrong = Callable[[str], NbnumbaError]
"""Makes an error of what is wrong, which names the field."""


def distribution_of(said: Any, wrong: Wrong, folder: Path) -> Distribution:
    """The distribution that a value of the campaign's file says.

    Parameters
    ----------
    said : plain value
        A mapping that has one of the words of :data:`KINDS`, a list some of whose items are such, or a value.
    wrong : callable
        Makes an error of what is wrong.
    folder : Path
        By which the names of files go.
    """
    if isinstance(said, list) and any(isinstance(item, Mapping) for item in said):
        return Several(tuple(distribution_of(item, wrong, folder) for item in said))
    if not isinstance(said, Mapping):
        return Fixed(tuple(said) if isinstance(said, list) else said)
    kinds = [word for word in said if word in KINDS]
    if len(kinds) != 1:
        raise wrong(f"{shown(dict(said))} must say one of {listed(tuple(KINDS))}")
    kind, beside = KINDS[kinds[0]]
    for word in said:
        if word != kinds[0] and word not in beside:
            known = f"{kinds[0]} goes with {listed(beside)}" if beside else f"{kinds[0]} has nothing beside it"
            raise wrong(f"{word!r} is not known here; {known}")
    return kind(said, wrong, folder)


def _numbers(said: Said, word: str, names: Sequence[str], wrong: Wrong) -> list[float]:
    value = said[word]
    if not isinstance(value, list) or len(value) != len(names) or not all(map(_is_number, value)):
        raise wrong(f"{word} = {shown(value)} must be [{', '.join(names)}], numbers")
    return [float(number) for number in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(said: Said, word: str, wrong: Wrong) -> int:
    value = said.get(word, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise wrong(f"{word} = {shown(value)} must be a whole number, 1 or more")
    return value


def _options(said: Said, word: str, wrong: Wrong) -> tuple[Any, ...]:
    value = said[word]
    if not isinstance(value, list) or not value:
        raise wrong(f"{word} = {shown(value)} must be a list of values")
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)


def _uniform(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    if said["uniform"] == "rotations":
        return Rotations()
    low, high = _numbers(said, "uniform", ("lowest", "highest"), wrong)
    if low > high:
        raise wrong(f"uniform = [{low:g}, {high:g}] must be [lowest, highest]")
    return Uniform(low, high)


def _normal(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    mean, deviation = _numbers(said, "normal", ("mean", "standard deviation"), wrong)
    if deviation < 0.0:
        raise wrong(f"normal = [{mean:g}, {deviation:g}]: the standard deviation must be 0 or more")
    if "within" not in said:
        return Normal(mean, deviation)
    low, high = _numbers(said, "within", ("lowest", "highest"), wrong)
    normal = Normal(mean, deviation, low, high)
    if not (deviation > 0.0 and normal.share > 0.0):
        raise wrong(f"within = [{low:g}, {high:g}] holds nothing of a normal distribution of [{mean:g}, {deviation:g}]")
    return normal


def _lognormal(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    median, factor = _numbers(said, "lognormal", ("median", "factor"), wrong)
    if not (median > 0.0 and factor >= 1.0):
        raise wrong(f"lognormal = [{median:g}, {factor:g}]: the median must be above 0, the factor 1 or more")
    return Lognormal(median, factor)


def _poisson(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    mean = said["poisson"]
    if not _is_number(mean) or not 0.0 <= mean <= MOST_POISSON:
        raise wrong(f"poisson = {shown(mean)} must be a mean from 0 to {MOST_POISSON:g}; a normal one serves above")
    return Poisson(float(mean))


def _choice(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    options = _options(said, "choice", wrong)
    weights = said.get("weights", [1] * len(options))
    if not isinstance(weights, list) or len(weights) != len(options) or not all(map(_is_number, weights)):
        raise wrong(f"weights = {shown(weights)} must be a number for each of {len(options)} choices")
    if min(weights) < 0 or not any(weights):
        raise wrong(f"weights = {shown(weights)} must be 0 or more, and not all 0")
    return Choice(options, tuple(float(weight) for weight in weights))


def _step(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    return Step(*_numbers(said, "step", ("start", "increment"), wrong), _whole(said, "every", wrong))


def _cycle(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    return Cycle(_options(said, "cycle", wrong), _whole(said, "every", wrong))


def _relative(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    change = said["relative"]
    if not isinstance(change, Mapping):
        raise wrong(f"relative = {shown(change)} must be a distribution, as {{ normal = [0, 0.01] }}")
    return Relative(distribution_of(change, wrong, folder))


def _column(said: Said, wrong: Wrong, folder: Path) -> Distribution:
    order = said.get("order", "cycle")
    if order not in ("cycle", "random"):
        raise wrong(f"order = {shown(order)} must be cycle or random")
    path, column = said["file"], said.get("column")
    if not isinstance(path, str) or not isinstance(column, str):
        raise wrong('a file needs the name of a column: { file = "table.csv", column = "cell_a" }')
    values = _column_of(folder / path, column)
    if order == "random":
        return Choice(values, (1.0,) * len(values))
    return Cycle(values, _whole(said, "every", wrong))


def _column_of(path: Path, column: str) -> tuple[Any, ...]:
    """The values of a table with a line of names: numbers where they all are, else texts."""
    table = csv.DictReader(read_text(path, "a table").splitlines())
    names = [name.strip() for name in table.fieldnames or ()]
    if column not in names:
        raise InputFileError(f"{path}: has no column {column!r}; its first line names {listed(names) or 'none'}")
    table.fieldnames = names
    values = tuple((row[column] or "").strip() for row in table)
    if not values:
        raise InputFileError(f"{path}: has no rows below its first line")
    for kind in (int, float):
        try:
            return tuple(map(kind, values))
        except ValueError:
            continue
    return values


Reader = Callable[[Said, Wrong, Path], Distribution]
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
