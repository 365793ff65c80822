"""Many frames, one after another, into whatever their format has for them: one file, or one for each."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from ..errors import NbnumbaWarning, UsageError
from .files import Path
from .frame import Frame, Frames
from .registry import Format, by_suffix, options_of, write

_NUMBER = re.compile("#+(?=[^#]*$)")


def sink(path: Path, **options: str) -> AbstractContextManager[Frames]:
    """Write frames one after another: ``with sink("image_#####.img") as frames: frames.write(frame)``.

    Parameters
    ----------
    path : str or path
        Its suffix is that of a format. Of a format that has one frame in a file, ``#####`` is where the number goes,
        from 00001 on.
    **options : str
        Those of the format.

    Returns
    -------
    context manager
        Gives what has ``write(frame)``, which refuses a second frame that has no file to go to.

    Raises
    ------
    UsageError
        No format has the suffix or the options.
    """
    image_format = by_suffix(path)
    return sink_of(image_format, path, options_of(image_format, options))


def sink_of(
    image_format: Format, path: Path, options: Mapping[str, str], first: int = 1
) -> AbstractContextManager[Frames]:
    """As :func:`sink`, of a format that is known, with all of its options and from a number on."""
    if image_format.sink is not None:
        return image_format.sink(path, **options)
    if is_of_all(image_format):
        return nullcontext(_FirstFrame(image_format, path, options))
    return nullcontext(_NumberedFiles(image_format, os.fspath(path), options, first))


def is_of_all(image_format: Format) -> bool:
    """Whether one file serves all images: a format has room for them, or holds what is the same of all."""
    return image_format.sink is not None or image_format.holds == ("experiment",)


def has_number(path: str) -> bool:
    """Whether a name has a place for the number of an image."""
    return _NUMBER.search(os.path.basename(path)) is not None


def number_of_digits(images: int) -> int:
    """How many # a name gets that is to have a place for so many numbers."""
    return max(5, len(str(images)))


def template_of(path: str, number: int) -> str:
    """The name with # in place of a number at its end, which is that of the image; empty where it has another."""
    match = re.search(r"([0-9]+)(\.[^./0-9]+)$", path)
    if match is None or int(match[1]) != number:
        return ""
    return path[: match.start()] + "#" * len(match[1]) + match[2]


def numbered(path: str, number: int) -> str:
    """The name of one of many images."""
    folder, name = os.path.split(path)
    return os.path.join(folder, _NUMBER.sub(lambda place: f"{number:0{len(place[0])}d}", name))


class _FirstFrame:
    """One file, of the first frame: the experiment is the same in all."""

    def __init__(self, image_format: Format, path: Path, options: Mapping[str, str]) -> None:
        self._format, self._path, self._options = image_format, path, options
        self._is_written = False

    def write(self, frame: Frame) -> None:
        if not self._is_written:
            write(self._format, self._path, frame, **self._options)
        self._is_written = True


class _NumberedFiles:
    """A file for each frame, complete as soon as the frame is taken."""

    def __init__(self, image_format: Format, template: str, options: Mapping[str, str], first: int) -> None:
        self._format, self._template = image_format, template
        self._options, self._first, self._number = options, first, first

    def write(self, frame: Frame) -> None:
        if self._number > self._first and not has_number(self._template):
            raise UsageError(
                f"{self._template} takes one image: give a name such as image_#####{self._format.suffixes[0]}"
            )
        path = numbered(self._template, self._number)
        with warnings.catch_warnings():
            if self._number > self._first:
                # What a file leaves out was said of the first one.
                warnings.simplefilter("ignore", NbnumbaWarning)
            self._format.check(path, frame.description, frame.adc_offset, **self._options)
        write(self._format, path, frame, **self._options)
        self._number += 1
