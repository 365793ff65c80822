"""The true experiments of a file of a campaign, as formats without pixels take them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import NbnumbaWarning
from ..experiment import Experiment, changed
from ..formats.frame import Frame
from ..image import Image
from ..setup.inputs import read_inputs
from ..setup.resolve import resolve
from .campaign import Campaign
from .chunks import Chunk
from .rendering import MOST_UINT16

_UNSEEN = np.zeros((0, 0), np.float32)
"""Photons of an image that nobody looks at."""


def true_frames(campaign: Campaign, chunk: Chunk) -> Iterator[Frame]:
    """What there is to tell of a file's frames but for those without a crystal, each with its place in the file.

    Raises
    ------
    NbnumbaError
        A frame cannot be.
    """
    for place, number in enumerate(range(chunk.first, chunk.stop)):
        if campaign.hits(number):
            frame = _as_stored(campaign, _true_frame(campaign.frame(number)))
            yield replace(frame, counts_file=os.fspath(chunk.path), counts_place=place)


def _true_frame(experiment: Experiment) -> Frame:
    with warnings.catch_warnings():
        # What is said of an image is said when it is simulated.
        warnings.simplefilter("ignore", NbnumbaWarning)
        return Image(resolve(experiment, read_inputs(experiment)), _UNSEEN).frame("experiment")


def _as_stored(campaign: Campaign, frame: Frame) -> Frame:
    """With gain, offset and limit of what is in the file: of counts without their offset, or of photons."""
    description = frame.description
    readout = description.readout
    offset, saturation = round(readout.adc_offset or 0.0), frame.saturation
    changes = {"adc_offset": (readout.adc_offset or 0.0) - offset}
    if campaign.type == "float32":
        changes, saturation = {"adc_offset": 0.0, "gain": 1.0}, None
    elif campaign.type == "uint16":
        saturation = MOST_UINT16 if saturation is None else min(saturation, MOST_UINT16)
    return replace(
        frame,
        saturation=None if saturation is None else saturation - offset,
        description=replace(description, experiment=changed(description.experiment, readout=changes)),
    )
