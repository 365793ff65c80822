"""A campaign for those who train on it: frames as their files have them, rendered when asked for and kept nowhere."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..choices import BackendName, Device, Precision
from ..errors import NbnumbaWarning
from ..experiment import Experiment
from ..formats.images.nxmx import fill_of
from ..render.backends import How
from ..setup.panels import stacked
from .campaign import Campaign
from .rendering import rendered_frames
from .work import warnings_by_kind


@dataclass(frozen=True, eq=False, repr=False)
class Sample(HoldsArrays):
    """A frame of a campaign: its pixels, and what is true of it."""

    number: int
    """In the campaign."""
    pixels: npt.NDArray[Any]
    """As its file has them (slow, fast): counts, of photons where the campaign's type is float32."""
    hits: int
    """How many crystals are in it."""
    a_matrix: npt.NDArray[np.float64]
    """Of each, columns a*, b*, c* in Å⁻¹ (hits, 3, 3), without 2π, in the laboratory at a spindle angle of 0."""
    unit_cell: npt.NDArray[np.float64]
    """Of each, a, b, c in Å, α, β, γ in degrees (hits, 6)."""
    wavelength_angstrom: float
    """Mean of the beam's."""
    experiment: Experiment
    """All that decides on the frame."""


class CampaignDataset:
    """The frames of a campaign as a map-style dataset, as PyTorch's DataLoader takes it: none is kept.

    It may be pickled, and used in any number of processes at once; warnings of one kind come once in each. A slice is a
    dataset of those frames.

    Parameters
    ----------
    campaign : Campaign, str or path
        The campaign, or its file (docs/campaigns.md).
    backend, precision, threads, device : optional
        Who renders, as of :func:`nbnumba.simulate`; one thread, since loaders have processes.

    Raises
    ------
    InputFileError
        The campaign, or a file that it names, cannot be read, or says what cannot be.

    Examples
    --------
    >>> import nbnumba
    >>> dataset = nbnumba.CampaignDataset("examples/lysozyme_stills.toml")
    >>> len(dataset), len(dataset[:80])
    (100, 80)
    """

    def __init__(
        self,
        campaign: Campaign | str | os.PathLike[str],
        backend: BackendName = "auto",
        precision: Precision = "double",
        threads: int | None = 1,
        device: Device = 0,
    ) -> None:
        self.campaign = campaign if isinstance(campaign, Campaign) else Campaign(campaign)
        """Whose frames these are."""
        self.numbers = range(len(self.campaign))
        """Of the frames, in the campaign."""
        self._how = How(backend, precision, threads, device)
        self._warned: set[str] = set()

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"CampaignDataset({str(self.campaign.job.path)!r}): {len(self)} frames"

    def __iter__(self) -> Iterator[Sample]:
        for number in self.numbers:
            yield self._sample(number)

    @overload
    def __getitem__(self, which: slice) -> CampaignDataset: ...
    @overload
    def __getitem__(self, which: int) -> Sample: ...
    def __getitem__(self, which: int | slice) -> Sample | CampaignDataset:
        if isinstance(which, slice):
            part = copy(self)
            part.numbers = self.numbers[which]
            return part
        number = operator.index(which)
        if not -len(self) <= number < len(self):
            raise IndexError(f"frame {number}: there are {len(self)}, from 0")
        return self._sample(self.numbers[number])

    def _sample(self, number: int) -> Sample:
        with warnings_by_kind() as warned:
            ((_, frame, _),) = rendered_frames(self.campaign, [number], self._how)
        for kind in warned.keys() - self._warned:
            self._warned.add(kind)
            warnings.warn(warned[kind][1], NbnumbaWarning, stacklevel=3)
        crystals = frame.description.crystals
        return Sample(
            number=number,
            pixels=stacked(frame.pixels, fill_of(frame)),
            hits=self.campaign.hits(number),
            a_matrix=np.array([one.a_matrix for one in crystals]).reshape(-1, 3, 3),
            unit_cell=np.array([one.cell for one in crystals]).reshape(-1, 6),
            wavelength_angstrom=frame.description.mean_wavelength_angstrom,
            experiment=self.campaign.frame(number),
        )
