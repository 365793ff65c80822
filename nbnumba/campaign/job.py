"""The file that describes a campaign: what is simulated, what varies from frame to frame, and where images go."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UsageError
from ..experiment import Experiment, Scan
from ..experiment.files import with_files
from ..experiment.noun import shown
from ..experiment.toml import from_toml
from ..formats.files import MOST_SMALL_BYTES, read_text
from ..formats.spectrum import read_spectra
from .distributions import Choice, Cycle, Distribution, Fixed, Poisson
from .draws import FORMAT
from .entries import Entry, Files, is_whole
from .varying import Varied, check_one_detector, flattened, varied_of
from .words import distribution_of

PixelType = Literal["uint16", "int32", "float32"]
Order = Literal["cycle", "random"]

KEYS = ("format", "name", "seed", "frames", "hits", "spectrum", "experiment", "vary", "sweep", "output")
USUAL_FRAMES = 500
"""In a file."""
MOST_FRAMES = 2**32
"""That a frame's number can count."""
MOST_OF_A_FILE = 1_000_000
MOST_STEPS = 10_000
MOST_DEGREES = 1e6
MOST_HITS = 1000
LONGEST_NAME = 200
"""In bytes, so that what is added to it remains the name of a file."""


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
    wavelengths: int
    """That any of them can have."""
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
    """What a campaign's file says, checked as far as it goes without what the experiment's files hold."""

    path: Path
    name: str
    seed: int
    frames: int
    hits: Distribution
    spectra: Spectra | None
    sweeps: tuple[Sweep, ...]
    base: Experiment
    """What all frames have in common, its files by absolute names."""
    base_path: Path
    """The file that says so: the campaign's or another."""
    given: Mapping[str, str]
    """For each absolute name of a file, that by which the campaign names it."""
    varied: tuple[Varied, ...]
    output: Output
    said: Mapping[str, Any]
    """Of the file, what decides on frames: plain values."""

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Number of the first frame of each sweep, and of the one after the last."""
        return tuple(accumulate((sweep.frames * sweep.crystals for sweep in self.sweeps), initial=0))

    def place_in_sweeps(self, frame: int) -> tuple[int, int, int]:
        """Numbers of a frame's sweep, of the crystal in that, and of the frame among those of the crystal."""
        sweep = bisect_right(self.starts, frame) - 1
        return sweep, *divmod(frame - self.starts[sweep], self.sweeps[sweep].frames)


def read_job(path: str | os.PathLike[str]) -> Job:
    """The campaign that a file describes.

    Raises
    ------
    InputFileError
        The file, or one that it names, cannot be read, or says what cannot be: names the entry.
    """
    path = Path(os.path.abspath(path))
    text = read_text(path, "the campaign", MOST_SMALL_BYTES)
    whole = Entry(path, "", {}, Files())
    try:
        said = from_toml(text)
    except UsageError as error:
        raise whole.wrong(str(error).replace("the experiment", "the campaign")) from error
    whole = whole.under("", said).table(KEYS)
    if said.get("format") != FORMAT:
        raise whole.wrong(f'format = {shown(said.get("format"))} must be "{FORMAT}"')
    name = _name(whole)
    sweeps = _sweeps(whole)
    base_path, base = _base(whole, bool(sweeps))
    varied = varied_of(whole.under("vary", said.get("vary", {})), bool(sweeps))
    output = _output(whole)
    check_one_detector(varied, output.frames_per_file, bool(sweeps), whole)
    spectra = _spectra(whole, base)
    return Job(
        path=path,
        name=name,
        seed=whole.whole("seed", -(2**63), 2**63 - 1),
        frames=_frames(whole, sweeps),
        hits=_hits(whole.under("hits", said.get("hits", 1))),
        spectra=spectra,
        sweeps=sweeps,
        base=base,
        base_path=base_path,
        given=whole.files,
        varied=varied,
        output=output,
        said=_decisive(said),
    )


def _decisive(said: Mapping[str, Any]) -> dict[str, Any]:
    """What decides on frames, in one of the ways in which it can be said."""
    found = {"hits": 1} | {key: said[key] for key in ("seed", "hits", "spectrum", "sweep") if key in said}
    return found | {"vary": dict(flattened(said.get("vary", {})))}


def _name(whole: Entry) -> str:
    name = whole.said.get("name")
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.encode()) <= LONGEST_NAME:
        raise whole.wrong(f"name = {shown(name)} must be a text of 1 to {LONGEST_NAME} bytes")
    if set(name) & set("/\\#") or name[0] in ".-" or name != name.strip():
        raise whole.wrong(f"name = {shown(name)} must be what files can begin with: no /, \\ or #, no . or - at first")
    return name


def _base(whole: Entry, in_sweeps: bool) -> tuple[Path, Experiment]:
    """The experiment, of a file of its own or in tables; names of files go by the folder of whoever names them."""
    said, entry = whole.said.get("experiment", {}), whole.under("experiment", None)
    if isinstance(said, str):
        entry = Entry(whole.file.parent / said, "", None, whole.files)
        text = read_text(entry.file, "the experiment", MOST_SMALL_BYTES)
    try:
        base = Experiment.from_toml(text) if isinstance(said, str) else Experiment.from_dict(said)
    except UsageError as error:
        raise entry.wrong(str(error)) from error
    if base.noise.seed is not None or base.noise.frame:
        raise entry.wrong("noise.seed and noise.frame are the campaign's own for each frame: leave them out")
    if base.crystal.lattices is not None:
        raise entry.wrong("crystal.lattices: several crystals in a frame are drawn: give hits = 2 in place of them")
    if base.structure_factors.dump_file is not None:
        raise entry.wrong("structure_factors.dump_file: whoever renders keeps F in memory: leave it out")
    if in_sweeps and base.scan != Scan():
        raise entry.wrong("scan: the sweeps say how the crystals turn: leave it out")
    return entry.file, with_files(base, entry.located)


def _hits(entry: Entry) -> Distribution:
    hits = distribution_of(entry)
    is_listed = isinstance(hits, (Fixed, Choice, Cycle, Poisson))
    if not is_listed or not all(is_whole(value) and 0 <= value <= MOST_HITS for value in hits.samples(None)):
        whole = f"a whole number from 0 to {MOST_HITS}"
        raise entry.wrong(f"{shown(entry.said)} must be {whole}, or choice, cycle, poisson or file of such")
    return hits


def _sweeps(whole: Entry) -> tuple[Sweep, ...]:
    tables = whole.said.get("sweep", [])
    if not isinstance(tables, list):
        raise whole.wrong("sweep must be tables: [[sweep]]")
    return tuple(_sweep(whole.under(f"sweep {number}", table)) for number, table in enumerate(tables))


def _sweep(entry: Entry) -> Sweep:
    entry = entry.table(("crystals", "frames", "start_deg", "width_deg", "steps"))
    width_deg = entry.number("width_deg", "an angle in degrees", 0.0, MOST_DEGREES)
    if width_deg == 0.0:
        raise entry.wrong("width_deg = 0 must be above 0")
    return Sweep(
        frames=entry.whole("frames", 1, MOST_FRAMES),
        width_deg=width_deg,
        crystals=entry.whole("crystals", 1, MOST_FRAMES, 1),
        start_deg=entry.number("start_deg", "an angle in degrees", -MOST_DEGREES, MOST_DEGREES, 0.0),
        steps=entry.whole("steps", 1, MOST_STEPS, 1),
    )


def _frames(whole: Entry, sweeps: Sequence[Sweep]) -> int:
    if not sweeps:
        return whole.whole("frames", 1, MOST_FRAMES)
    if "frames" in whole.said:
        raise whole.wrong("frames beside sweeps, which say how many they have: leave it out")
    frames = sum(sweep.frames * sweep.crystals for sweep in sweeps)
    if frames > MOST_FRAMES:
        raise whole.wrong(f"sweeps of {frames} frames: at most {MOST_FRAMES} can be counted")
    return frames


def _spectra(whole: Entry, base: Experiment) -> Spectra | None:
    if "spectrum" not in whole.said:
        return None
    entry = whole.under("spectrum", whole.said["spectrum"]).table(("file", "order"))
    file = entry.said.get("file")
    if not isinstance(file, str):
        raise entry.wrong("file is missing: give the name of a file of spectra")
    if base.beam.spectrum_file is not None:
        raise entry.wrong("beside the experiment's beam.spectrum_file: leave one of them out")
    orders: tuple[Order, ...] = get_args(Order)
    order, located = entry.one_of("order", orders, "cycle"), entry.located(file)
    count, wavelengths = read_spectra(located).weight.shape
    bins = base.beam.spectrum_bins
    return Spectra(located, count, wavelengths if bins is None else min(bins, wavelengths), order)


def _output(whole: Entry) -> Output:
    entry = whole.under("output", whole.said.get("output", {})).table(("folder", "frames_per_file", "type"))
    folder, kind = entry.said.get("folder", whole.said.get("name")), entry.said.get("type")
    if not isinstance(folder, str) or not folder or "\0" in folder:
        raise entry.wrong(f"folder = {shown(folder)} must be the name of a folder")
    types: tuple[PixelType, ...] = get_args(PixelType)
    return Output(
        folder=Path(os.path.abspath(whole.file.parent / folder)),
        frames_per_file=entry.whole("frames_per_file", 1, MOST_OF_A_FILE, USUAL_FRAMES),
        type=None if kind is None else entry.one_of("type", types, "uint16"),
    )
