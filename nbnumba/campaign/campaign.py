"""A campaign: how many frames there are, and what each is."""

from __future__ import annotations

import operator
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..choices import BackendName, Device, Precision
from ..errors import InputFileError, UsageError
from ..experiment import Experiment, FurtherLattice, changed
from ..image import Image
from ..simulation import simulate
from .base import prepared_base
from .chunks import Chunk, Chunks
from .distributions import Place
from .draws import Draws
from .identity import identity_of, physics_text
from .job import PixelType, read_job
from .varying import Per, Varied

if TYPE_CHECKING:
    from .dataset import CampaignDataset


class Whereabouts(NamedTuple):
    """Where a frame is in its campaign."""

    number: int
    sweep: int
    """Of a rotation, which; -1: a still."""
    crystal: int
    """Number of the crystal in its sweep."""
    ordinal: int
    """The same among all of the campaign."""
    turn: int
    """How many frames of the crystal lie before it."""

    def key(self, per: Per) -> tuple[int, int]:
        """Index by which a draw is keyed, and position of what has a draw of its own."""
        if per == "campaign":
            return 0, 0
        if per == "sweep":
            return (self.sweep << 32) + self.crystal, self.ordinal
        return self.number, self.number


def _state(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """What shows that a file is still the same; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Campaign:
    """The frames of a campaign's file: each follows from the file and its number alone.

    Parameters
    ----------
    path : str or path
        The campaign, as TOML (docs/campaigns.md).

    Raises
    ------
    InputFileError
        It, or a file that it names, cannot be read, or says what cannot be.

    Examples
    --------
    >>> import nbnumba
    >>> campaign = nbnumba.Campaign("examples/lysozyme_stills.toml")
    >>> len(campaign)
    100
    >>> campaign.frame(7) == campaign.frame(7)
    True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.job = read_job(path)
        """What the file says."""
        base, kind = prepared_base(self.job)
        self.base = base
        """What all frames have in common."""
        self.type: PixelType = kind
        """Of the pixels in its files."""
        self._draws = Draws(self.job.seed)
        self._own = [(os.fspath(path), _state(path)) for path in (self.job.path, self.job.base_path)]
        self._named = [(path, _state(path)) for path in self.job.given]
        self._of_each = [one for one in self.job.varied if one.is_of_each_crystal]
        self._of_all = [one for one in self.job.varied if not one.is_of_each_crystal]

    def __len__(self) -> int:
        return self.job.frames

    def __repr__(self) -> str:
        return f"Campaign({str(self.job.path)!r}): {len(self)} frames in {len(self.chunks)} files"

    @property
    def folder(self) -> Path:
        """Where its files are, or will be."""
        return self.job.output.folder

    @property
    def is_current(self) -> bool:
        """Whether all files that it was read from are as they were."""
        return all(_state(path) == state for files in (self._own, self._named) for path, state in files)

    @cached_property
    def chunks(self) -> Chunks:
        """Its files."""
        return Chunks(self.job)

    def chunk_of(self, number: int) -> Chunk:
        """The file that a frame lies in.

        Parameters
        ----------
        number : int
            Of the frame, as of :meth:`frame`.

        Returns
        -------
        Chunk
            There or not yet.

        Raises
        ------
        IndexError
            There is no such frame.
        """
        return self.chunks.of_frame(self._checked(number))

    @cached_property
    def text(self) -> str:
        """All that decides on the frames but for the content of files, as JSON: the same for the same frames."""
        return physics_text(self.job, self.base, self.type)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of that text and of all files: what images of one campaign have in common."""
        identity = identity_of(self.text, self.job.given)
        self.check_files()
        return identity

    def check_files(self) -> None:
        """Find out whether frames are still what they were.

        Raises
        ------
        InputFileError
            A file that the experiment is of has changed since the campaign was read.
        """
        for path, state in self._named:
            if _state(path) != state:
                raise InputFileError(f"{path}: has changed since the campaign was read: run it again")

    def _checked(self, number: int) -> int:
        """The number of a frame, counted from the end where it is negative.

        Raises
        ------
        IndexError
            There is none.
        """
        number = operator.index(number)
        if not -len(self) <= number < len(self):
            raise IndexError(f"frame {number}: there are {len(self)}, from 0")
        return number % len(self)

    def _whereabouts(self, number: int) -> Whereabouts:
        """Where a frame is in the campaign."""
        job = self.job
        if not job.sweeps:
            return Whereabouts(number, -1, -1, number, 0)
        sweep, crystal, turn = job.place_in_sweeps(number)
        before = sum(other.crystals for other in job.sweeps[:sweep])
        return Whereabouts(number, sweep, crystal, before + crystal, turn)

    def frame(self, number: int) -> Experiment:
        """What a frame is.

        Parameters
        ----------
        number : int
            From 0 to ``len(campaign) - 1``; negative ones count from the end.

        Returns
        -------
        Experiment
            Whole, with its files by absolute names: whoever simulates it gets the campaign's photons and counts.

        Raises
        ------
        IndexError
            There is no such frame.
        UsageError
            A field was drawn that is not of its type: names the frame.
        """
        at = self._whereabouts(self._checked(number))
        try:
            return self._frame(at)
        except UsageError as error:
            raise type(error)(f"frame {at.number}: {error}") from error

    def hits(self, number: int) -> int:
        """How many crystals are in a frame.

        Parameters
        ----------
        number : int
            Of the frame, as of :meth:`frame`.

        Returns
        -------
        int
            0 is a miss.

        Raises
        ------
        IndexError
            There is no such frame.
        """
        return self._hits(self._whereabouts(self._checked(number)))

    def spectrum(self, number: int) -> int:
        """Number of a frame's spectrum in its file.

        Parameters
        ----------
        number : int
            Of the frame, as of :meth:`frame`.

        Returns
        -------
        int
            From 0; -1 where there is none.

        Raises
        ------
        IndexError
            There is no such frame.
        """
        spectra = self.job.spectra
        if spectra is None:
            return -1
        number = self._checked(number)
        if spectra.order == "cycle":
            return number % spectra.count
        return int(self._draws.uniforms("spectrum", number)[0] * spectra.count)

    def render(
        self,
        number: int,
        backend: BackendName = "auto",
        precision: Precision = "double",
        threads: int | None = None,
        device: Device = 0,
    ) -> Image:
        """The image of a frame.

        Parameters
        ----------
        number : int
            Of the frame, as of :meth:`frame`.
        backend, precision, threads, device : optional
            Who renders, as of :func:`nbnumba.simulate`.

        Returns
        -------
        Image
            Photons, and counts by :meth:`~nbnumba.Image.noise`.

        Raises
        ------
        IndexError
            There is no such frame.
        UsageError, InputFileError, ResourceError
            As of :func:`nbnumba.simulate`.
        """
        return simulate(self.frame(number), backend, precision, threads, device=device)

    def dataset(
        self,
        backend: BackendName = "auto",
        precision: Precision = "double",
        threads: int | None = 1,
        device: Device = 0,
    ) -> CampaignDataset:
        """The frames for those who train on them.

        Parameters
        ----------
        backend, precision, threads, device : optional
            Who renders, as of :func:`nbnumba.simulate`.

        Returns
        -------
        CampaignDataset
            Renders what is asked for.

        Raises
        ------
        UsageError
            A choice that there is not.
        """
        from .dataset import CampaignDataset

        return CampaignDataset(self, backend, precision, threads, device)

    def _frame(self, at: Whereabouts) -> Experiment:
        changes: dict[str, dict[str, Any]] = {
            "noise": {"seed": self._draws.words("noise", at.number)[0] >> 1, "frame": at.number},
            "crystal": self._crystal(at, 0),
        }
        if at.sweep >= 0:
            changes["scan"] = self._scan(at)
        if self.job.spectra is not None:
            changes["beam"] = {"spectrum_file": self.job.spectra.file, "spectrum_number": self.spectrum(at.number)}
        for one in self._of_all:
            changes.setdefault(one.noun, {})[one.name] = self._value(one, at, 0)
        hits = self._hits(at)
        if hits == 0:
            # Which the size of a whole crystal would say, too.
            changes["crystal"].update(spot_scale=0.0, whole_size_mm=None)
        elif hits > 1:
            further = (FurtherLattice(**self._crystal(at, number)) for number in range(1, hits))
            changes["crystal"]["lattices"] = tuple(further)
        return changed(self.base, **changes)

    def _scan(self, at: Whereabouts) -> dict[str, Any]:
        """Angles at the middles of the steps: at their starts they would lie half a step too early."""
        sweep = self.job.sweeps[at.sweep]
        return {
            "phi_deg": sweep.start_deg + at.turn * sweep.width_deg,
            "oscillation_deg": sweep.width_deg,
            "steps": sweep.steps,
            "phi_sampling": "middle",
        }

    def _crystal(self, at: Whereabouts, crystal: int) -> dict[str, Any]:
        """What one of the crystals in a frame has of its own."""
        return {one.name: self._value(one, at, crystal) for one in self._of_each}

    def _hits(self, at: Whereabouts) -> int:
        index, position = at.key("sweep" if self.job.sweeps else "frame")
        return int(self.job.hits.value("hits", None, Place(self._draws, index, position, 0)))

    def _value(self, one: Varied, at: Whereabouts, crystal: int) -> Any:
        """Of a field, as its type has it."""
        place = Place(self._draws, *at.key(one.per), crystal)
        return one.as_field(one.distribution.value(one.path, one.base(self.base), place))
