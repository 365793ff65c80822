"""The file that describes a campaign: what is simulated, what varies from frame to frame, and where images go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, get_args

from ..choices import listed
from ..errors import InputFileError, UsageError
from ..experiment import Experiment, FurtherLattice
from ..experiment.experiment import nouns
from ..experiment.field import declared
from ..experiment.files import with_files
from ..experiment.noun import shown, types_of
from ..experiment.toml import from_toml
from ..formats.files import read_text
from ..formats.spectrum import read_spectra
from .distributions import Choice, Cycle, Distribution, Fixed, Rotations, Step, distribution_of
from .draws import FORMAT

Per = Literal["frame", "sweep", "campaign"]
PixelType = Literal["uint16", "int32", "float32"]
Order = Literal["cycle", "random"]

KEYS = ("format", "name", "seed", "frames", "hits", "spectrum", "experiment", "vary", "sweep", "output")
USUAL_FRAMES = 500
"""In a file."""
MOST_FRAMES = 2**32
"""That a frame's number can count."""
MOST_HITS = 1000
OF_THE_FILE = {
    "detector": None,
    "goniometer": None,
    "readout": None,
    "beam": ("direction", "polarization_axis", "kahn_factor", "polarization_correction"),
}
"""What a file has once: nouns whole, or of others the fields."""
OF_THE_CAMPAIGN = ("noise",)
"""Nouns that the campaign itself fills."""
OF_EACH_CRYSTAL = tuple(name for name in declared(FurtherLattice) if name != "weight")
"""Fields of the crystal that each crystal in a frame draws for itself."""


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


@dataclass(frozen=True)
class Sweep:
    """Rotation series of some crystals."""

    frames: int
    """Of each crystal."""
    width_deg: float
    """By which it turns in each."""
    crystals: int = 1
    start_deg: float = 0.0
    steps: int = 1
    """Angles at which a frame is sampled: the middles of as many parts."""


@dataclass(frozen=True)
class Spectra:
    """Spectra of a file, of which each frame has one."""

    file: str
    count: int
    order: Order


@dataclass(frozen=True)
class Output:
    """Where images go; nothing of it is part of what a frame is, but for the type."""

    folder: Path
    frames_per_file: int
    type: PixelType | None
    """None: uint16 where counts have no offset, else int32."""


@dataclass(frozen=True)
class Job:
    """What a campaign's file says, checked as far as it goes without the files that it names."""

    path: Path
    name: str
    seed: int
    frames: int
    hits: Distribution
    spectra: Spectra | None
    sweeps: tuple[Sweep, ...]
    base: Experiment
    """What all frames have in common, its files by absolute names."""
    given: Mapping[str, str]
    """For each absolute name of a file, that by which the campaign names it."""
    varied: tuple[Varied, ...]
    output: Output
    said: Mapping[str, Any]
    """Of the file, what decides on frames: plain values."""

    @property
    def starts(self) -> tuple[int, ...]:
        """Number of the first frame of each sweep, and of the one after the last."""
        return tuple(accumulate((sweep.frames * sweep.crystals for sweep in self.sweeps), initial=0))


def read_job(path: str | os.PathLike[str]) -> Job:
    """The campaign that a file describes.

    Raises
    ------
    InputFileError
        The file, or one that it names, cannot be read, or says what cannot be: names the entry.
    """
    path = Path(os.path.abspath(path))
    text = read_text(path, "the campaign")
    wrong = _at(path, "")
    try:
        said = from_toml(text)
    except UsageError as error:
        raise InputFileError(f"{path}: {str(error).replace('the experiment', 'the campaign')}") from error
    _check_keys(said, KEYS, wrong)
    if said.get("format") != FORMAT:
        raise wrong(f'format = {shown(said.get("format"))} must be "{FORMAT}"')
    given: dict[str, str] = {}
    base = _base(said.get("experiment", {}), path, given)
    sweeps = _sweeps(said, wrong)
    varied = _varied(said.get("vary", {}), base, bool(sweeps), path, given)
    frames = _frames(said, sweeps, wrong)
    output = _output(said, path)
    _check_detector(varied, output.frames_per_file, bool(sweeps), path)
    decisive = {key: said[key] for key in ("seed", "hits", "spectrum", "sweep", "vary") if key in said}
    return Job(
        path=path,
        name=_name(said, wrong),
        seed=_whole(said, "seed", -(2**63), 2**63 - 1, wrong),
        frames=frames,
        hits=distribution_of(said.get("hits", 1), _at(path, "hits"), path.parent),
        spectra=_spectra(said, path, given),
        sweeps=sweeps,
        base=base,
        given=given,
        varied=varied,
        output=output,
        said=decisive,
    )


# What goes wrong -------------------------------------------------------------------------------------------------


def _at(path: Path, entry: str) -> Callable[[str], InputFileError]:
    """Makes errors of an entry of the file."""
    return lambda problem: InputFileError(f"{path}: {entry}{': ' if entry else ''}{problem}")


def _check_keys(said: Any, known: Sequence[str], wrong: Callable[[str], InputFileError]) -> None:
    if not isinstance(said, Mapping):
        raise wrong(f"{shown(said)} must be a table of {listed(known)}")
    for key in said:
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise wrong(f"{key!r} is not known; {f'did you mean {near[0]}?' if near else f'known are {listed(known)}'}")


def _whole(said: Mapping[str, Any], key: str, least: int, most: int, wrong: Callable[[str], InputFileError],
           default: int | None = None) -> int:  # fmt: skip
    value = said.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        is_missing = "is missing: give" if value is None else f"= {shown(value)} must be"
        raise wrong(f"{key} {is_missing} a whole number from {least} to {most}")
    return value


def _number(said: Mapping[str, Any], key: str, wrong: Callable[[str], InputFileError], default: float | None) -> float:
    value = said.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e6:
        raise wrong(f"{key} {'is missing: give' if value is None else f'= {shown(value)} must be'} an angle in degrees")
    return float(value)


# Its parts -------------------------------------------------------------------------------------------------------


def _name(said: Mapping[str, Any], wrong: Callable[[str], InputFileError]) -> str:
    name = said.get("name")
    if not isinstance(name, str) or not name or set(name) & set("/\\\0#\n") or name.startswith("."):
        raise wrong(f"name = {shown(name)} must be a text that files can begin with")
    return name


def _base(said: Any, path: Path, given: dict[str, str]) -> Experiment:
    """The experiment, of a file of its own or in tables; names of files go by the folder of whoever names them."""
    folder, wrong = path.parent, _at(path, "experiment")
    if isinstance(said, str):
        file = folder / said
        wrong, folder = _at(file, ""), file.parent
        text = read_text(file, "the experiment")
        read: Callable[[], Experiment] = lambda: Experiment.from_toml(text)  # noqa: E731
    else:
        read = lambda: Experiment.from_dict(said)  # noqa: E731
    try:
        base = read()
    except UsageError as error:
        raise wrong(str(error)) from error
    if base.noise.seed is not None or base.noise.frame:
        raise wrong("noise.seed and noise.frame are the campaign's own for each frame: leave them out")
    if base.crystal.lattices is not None:
        raise wrong("crystal.lattices: several crystals in a frame are drawn: give hits = 2 in place of them")
    return with_files(base, lambda name: _located(folder, name, given))


def _located(folder: Path, name: str, given: dict[str, str]) -> str:
    absolute = os.path.abspath(folder / name)
    given.setdefault(absolute, name)
    return absolute


def _sweeps(said: Mapping[str, Any], wrong: Callable[[str], InputFileError]) -> tuple[Sweep, ...]:
    tables = said.get("sweep", [])
    if not isinstance(tables, list):
        raise wrong("sweep must be tables: [[sweep]]")
    sweeps = []
    for number, table in enumerate(tables):
        at: Callable[[str], InputFileError] = lambda problem, number=number: wrong(f"sweep {number}: {problem}")  # type: ignore[misc]  # noqa: E731
        _check_keys(table, ("crystals", "frames", "start_deg", "width_deg", "steps"), at)
        width = _number(table, "width_deg", at, None)
        if not width > 0.0:
            raise at(f"width_deg = {width:g} must be above 0")
        frames = _whole(table, "frames", 1, MOST_FRAMES, at)
        crystals = _whole(table, "crystals", 1, MOST_FRAMES, at, 1)
        steps = _whole(table, "steps", 1, 10_000, at, 1)
        sweeps.append(Sweep(frames, width, crystals, _number(table, "start_deg", at, 0.0), steps))
    return tuple(sweeps)


def _frames(said: Mapping[str, Any], sweeps: Sequence[Sweep], wrong: Callable[[str], InputFileError]) -> int:
    if not sweeps:
        return _whole(said, "frames", 1, MOST_FRAMES, wrong)
    frames = sum(sweep.frames * sweep.crystals for sweep in sweeps)
    if said.get("frames", frames) != frames:
        raise wrong(f"frames = {shown(said['frames'])} beside sweeps of {frames} in all: leave it out")
    if frames > MOST_FRAMES:
        raise wrong(f"sweeps of {frames} frames: at most {MOST_FRAMES} can be counted")
    return frames


def _spectra(said: Mapping[str, Any], path: Path, given: dict[str, str]) -> Spectra | None:
    if "spectrum" not in said:
        return None
    wrong, table = _at(path, "spectrum"), said["spectrum"]
    _check_keys(table, ("file", "order"), wrong)
    file, order = table.get("file"), table.get("order", "cycle")
    if not isinstance(file, str):
        raise wrong("file is missing: give the name of a file of spectra")
    if order not in get_args(Order):
        raise wrong(f"order = {shown(order)} must be {' or '.join(get_args(Order))}")
    located = _located(path.parent, file, given)
    return Spectra(located, len(read_spectra(located).weight), order)


def _output(said: Mapping[str, Any], path: Path) -> Output:
    wrong, table = _at(path, "output"), said.get("output", {})
    _check_keys(table, ("folder", "frames_per_file", "type"), wrong)
    folder, kind = table.get("folder", said.get("name")), table.get("type")
    if not isinstance(folder, str) or not folder:
        raise wrong(f"folder = {shown(folder)} must be the name of a folder")
    if kind is not None and kind not in get_args(PixelType):
        raise wrong(f"type = {shown(kind)} must be {listed(get_args(PixelType))}")
    frames = _whole(table, "frames_per_file", 1, 1_000_000, wrong, USUAL_FRAMES)
    return Output(Path(os.path.abspath(path.parent / folder)), frames, kind)


# What varies -----------------------------------------------------------------------------------------------------


def _varied(said: Any, base: Experiment, in_sweeps: bool, path: Path, given: dict[str, str]) -> tuple[Varied, ...]:
    if not isinstance(said, Mapping):
        raise _at(path, "vary")(f"{shown(said)} must be a table of fields")
    # [vary] crystal.cells = … without quotes is a table in a table.
    flat = {
        f"{key}.{name}" if isinstance(value, Mapping) and key in nouns() else key: item
        for key, value in said.items()
        for name, item in (value.items() if isinstance(value, Mapping) and key in nouns() else [("", value)])
    }
    return tuple(_one_varied(key, value, base, in_sweeps, path, given) for key, value in flat.items())


def _one_varied(
    key: str, said: Any, base: Experiment, in_sweeps: bool, path: Path, given: dict[str, str]
) -> Varied:
    wrong = _at(path, f"vary {key}")
    noun, _, name = key.partition(".")
    if noun not in nouns() or name not in types_of(nouns()[noun]):
        names = [f"{noun}.{name}" for noun, kind in nouns().items() for name in types_of(kind)]
        near = get_close_matches(key, names, 2)
        raise wrong(f"there is no such field{f'; did you mean {listed(near)}?' if near else ' of an experiment'}")
    if noun in OF_THE_CAMPAIGN or (noun == "scan" and in_sweeps) or key == "crystal.lattices":
        raise wrong("the campaign itself fills this: leave it out")
    usual: Per = "sweep" if in_sweeps and noun == "crystal" else "frame"
    per: Any = usual
    if isinstance(said, Mapping) and "per" in said:
        per, said = said["per"], {word: value for word, value in said.items() if word != "per"}
    if per not in get_args(Per) or (per == "sweep" and not in_sweeps):
        raise wrong(f"per = {shown(per)} must be {listed(get_args(Per) if in_sweeps else ('frame', 'campaign'))}")
    if key == "beam.spectrum_file" or key == "beam.spectrum_number":
        raise wrong("give spectrum = { file = …, order = … } in place of it")
    for table in _tables(said):
        _located(path.parent, table, given)
    distribution = distribution_of(said, wrong, path.parent)
    if isinstance(distribution, Rotations) and key != "crystal.misset_deg":
        raise wrong("rotations are of crystal.misset_deg alone")
    if name.endswith("_file"):
        distribution = _located_files(distribution, path.parent, given, wrong)
    return Varied(noun, name, distribution, per)


def _tables(said: Any) -> Iterator[str]:
    """The files of tables that a distribution takes its values from."""
    if isinstance(said, Mapping):
        if isinstance(said.get("file"), str):
            yield said["file"]
        said = list(said.values())
    if isinstance(said, list):
        for item in said:
            yield from _tables(item)


def _located_files(
    distribution: Distribution, folder: Path, given: dict[str, str], wrong: Callable[[str], InputFileError]
) -> Distribution:
    """Names of files by the campaign's folder."""
    values = distribution.values()
    if not values or not all(isinstance(value, str) for value in values):
        raise wrong("names of files are listed: give choice, cycle or one name")
    located = tuple(_located(folder, value, given) for value in values)
    if isinstance(distribution, Choice):
        return Choice(located, distribution.weights)
    return Cycle(located, distribution.every) if isinstance(distribution, Cycle) else Fixed(located[0])


def _check_detector(varied: Sequence[Varied], frames_per_file: int, in_sweeps: bool, path: Path) -> None:
    """A file has one detector: what would change it within one is refused."""
    for one in varied:
        fields = OF_THE_FILE.get(one.noun, ())
        if fields is not None and one.name not in fields:
            continue
        if isinstance(one.distribution, Fixed) or one.per in ("campaign", "sweep"):
            continue
        wrong = _at(path, f"vary {one.path}")
        if not isinstance(one.distribution, (Step, Cycle)):
            raise wrong('a file has one detector: give step or cycle with every, or per = "campaign"')
        if in_sweeps:
            raise wrong('a file has one detector: give per = "sweep"')
        if one.distribution.every % frames_per_file:
            raise wrong(
                f"every = {one.distribution.every} must be a multiple of output.frames_per_file, {frames_per_file}: a "
                "file has one detector"
            )
