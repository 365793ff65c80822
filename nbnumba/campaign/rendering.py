"""Frames of a campaign as files take them: rendered, counted, and in the type of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..description import described
from ..errors import NbnumbaError
from ..experiment.files import with_files
from ..formats.frame import Content, Frame
from ..formats.images.nxmx import fitted
from ..image import Image
from ..render.backends import How
from ..render.series import Prepared, render_series
from ..setup.inputs import read_inputs
from ..setup.resolve import resolve
from .campaign import Campaign
from .job import PixelType

MOST_UINT16 = int(np.iinfo(np.uint16).max) - 1
"""The largest marks what was not measured."""


class FrameError(NbnumbaError):
    """A frame that cannot be simulated, and why."""

    def __init__(self, number: int, error: NbnumbaError, experiment: str) -> None:
        super().__init__(f"frame {number}: {error}")
        self.exit_status = error.exit_status
        self.number, self.experiment = number, experiment


class Rendered(NamedTuple):
    """A frame as its file has it."""

    number: int
    frame: Frame
    backend: str


def rendered_frames(campaign: Campaign, numbers: Iterable[int], how: How) -> Iterator[Rendered]:
    """Frames in their order, as NXmx stores them.

    Raises
    ------
    FrameError
        At the first that cannot be: those before it were yielded.
    """
    numbers = list(numbers)

    def prepared() -> Iterator[Prepared]:
        for number in numbers:
            try:
                experiment = campaign.frame(number)
                yield resolve(experiment, read_inputs(experiment))
            except NbnumbaError as error:
                yield error

    devices: Any = "all" if how.device == "all" else [how.device]
    for number, one in zip(numbers, render_series(prepared(), how, devices), strict=True):
        if isinstance(one, NbnumbaError):
            raise FrameError(number, one, _text(campaign, number)) from one
        frame = _frame(campaign, Image(one.resolved, one.photons), how.threads)
        yield Rendered(number, frame, one.backend)


def _text(campaign: Campaign, number: int) -> str:
    try:
        return campaign.frame(number).to_toml()
    except NbnumbaError:
        return ""


def _frame(campaign: Campaign, image: Image, threads: int | None) -> Frame:
    content: Content = "photons" if campaign.type == "float32" else "counted"
    return fitted(_as_type(_as_named(campaign, image.frame(content, threads=threads)), campaign.type))


def _as_named(campaign: Campaign, frame: Frame) -> Frame:
    """With the names of files that the campaign has for them: what it holds does not tell where it was made."""
    description = frame.description
    named = with_files(description.experiment, lambda path: campaign.job.given.get(path, path))
    return replace(frame, description=replace(description, experiment=named))


def _as_type(frame: Frame, kind: PixelType) -> Frame:
    """Counts as integers of a campaign's files."""
    pixels = frame.pixels[0].dtype
    if kind == "uint16" and pixels != np.uint16:
        cut = tuple(np.minimum(panel, MOST_UINT16).astype(np.uint16) for panel in frame.pixels)
        saturation = MOST_UINT16 if frame.saturation is None else min(frame.saturation, MOST_UINT16)
        return replace(frame, pixels=cut, saturation=saturation)
    if kind == "int32" and pixels != np.int32:
        return replace(frame, pixels=tuple(panel.astype(np.int32) for panel in frame.pixels))
    return frame
