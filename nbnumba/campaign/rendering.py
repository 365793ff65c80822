"""Frames of a campaign as files take them: rendered, counted, and in the type of its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..description import described
from ..errors import DeviceError, NbnumbaError
from ..experiment.files import with_files
from ..formats.frame import Content, Frame
from ..formats.images.nxmx import fitted
from ..image import Image, counted_frame
from ..render import series
from ..render.backends import How
from ..setup.inputs import read_inputs
from ..setup.resolve import resolve
from .campaign import Campaign
from .job import PixelType
from .phases import Phases

MOST_UINT16 = int(np.iinfo(np.uint16).max) - 1
"""The largest count to be trusted: one more marks what was cut, or not measured."""


class FrameError(NbnumbaError):
    """A frame that cannot be simulated, and why."""

    def __init__(self, number: int, error: NbnumbaError, experiment: str) -> None:
        said = str(error)
        super().__init__(said if said.startswith(f"frame {number}: ") else f"frame {number}: {said}")
        self.exit_status = error.exit_status
        self.number, self.experiment = number, experiment


class Rendered(NamedTuple):
    """A frame as its file has it."""

    number: int
    frame: Frame
    backend: str


def rendered_frames(
    campaign: Campaign, numbers: Iterable[int], how: How, phases: Phases | None = None
) -> Iterator[Rendered]:
    """Frames in their order, as NXmx stores them.

    Raises
    ------
    FrameError
        At the first that cannot be: those before it were yielded.
    DeviceError
        A card failed, which is no frame's fault.
    """
    numbers, phases = list(numbers), phases or Phases("elsewhere")
    devices: Any = "all" if how.device == "all" else [how.device]
    prepared = _prepared(campaign, numbers, phases)
    images = series.render_series(prepared, how, devices, counted=campaign.type != "float32")
    for number in numbers:
        with _naming(campaign, number):
            with phases.phase("render"):
                one = next(images)
            if isinstance(one, NbnumbaError):
                raise one
            with phases.phase("count"):
                frame = _frame(campaign, one, how.threads)
        yield Rendered(number, frame, one.backend)


def _prepared(campaign: Campaign, numbers: Iterable[int], phases: Phases) -> Iterator[series.Prepared]:
    for number in numbers:
        with phases.phase("setup"):
            one: series.Prepared
            try:
                with _naming(campaign, number):
                    experiment = campaign.frame(number)
                    one = resolve(experiment, read_inputs(experiment))
            except FrameError as error:
                one = error
        yield one


@contextmanager
def _naming(campaign: Campaign, number: int) -> Iterator[None]:
    """Whatever goes wrong in the block, a fault of the program included, is this frame's matter."""
    try:
        yield
    except (DeviceError, FrameError):
        raise
    except NbnumbaError as error:
        raise FrameError(number, error, _text(campaign, number)) from error
    except Exception as error:
        unforeseen = NbnumbaError(f"{type(error).__name__}: {error}".removesuffix(": "))
        raise FrameError(number, unforeseen, _text(campaign, number)) from error


def _text(campaign: Campaign, number: int) -> str:
    try:
        return campaign.frame(number).to_toml()
    except Exception:
        # It may be what is wrong.
        return ""


def _frame(campaign: Campaign, one: series.Frame, threads: int | None) -> Frame:
    if one.counts is not None:
        # A card has counted.
        frame = counted_frame(described(one.resolved), one.resolved.experiment.readout, one.counts)
    else:
        assert one.photons is not None
        content: Content = "photons" if campaign.type == "float32" else "counted"
        frame = Image(one.resolved, one.photons).frame(content, threads=threads)
    return fitted(_as_type(_as_named(campaign, frame), campaign.type))


def _as_named(campaign: Campaign, frame: Frame) -> Frame:
    """With the names of files that the campaign has for them: what it holds does not tell where it was made."""
    description = frame.description
    named = with_files(description.experiment, lambda path: campaign.job.given.get(path, path))
    return replace(frame, description=replace(description, experiment=named))


def _as_type(frame: Frame, kind: PixelType) -> Frame:
    """Counts as integers of a campaign's files."""
    pixels = frame.pixels[0].dtype
    if kind == "uint16" and pixels != np.uint16:
        cut = tuple(np.minimum(panel, MOST_UINT16 + 1).astype(np.uint16) for panel in frame.pixels)
        saturation = MOST_UINT16 if frame.saturation is None else min(frame.saturation, MOST_UINT16)
        return replace(frame, pixels=cut, saturation=saturation)
    if kind == "int32" and pixels != np.int32:
        return replace(frame, pixels=tuple(panel.astype(np.int32) for panel in frame.pixels))
    return frame
