"""Many frames, one after another, into whatever their format has for them: one file, or one for each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from ..errors import UsageError
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
    options = options_of(image_format, options)
    return (image_format.sink or _numbered(image_format))(path, **options)


def _numbered(image_format: Format) -> Callable[..., AbstractContextManager[Frames]]:
    @contextmanager
    def frames(path: Path, **options: str) -> Iterator[Frames]:
        yield _NumberedFiles(image_format, os.fspath(path), options)

    return frames


class _NumberedFiles:
    """A file for each frame, complete as soon as the frame is taken."""

    def __init__(self, image_format: Format, template: str, options: Mapping[str, str]) -> None:
        self._format, self._template = image_format, template
        self._options, self._written = options, 0

    def write(self, frame: Frame) -> None:
        self._written += 1
        folder, name = os.path.split(self._template)
        if self._written > 1 and not _NUMBER.search(name):
            raise UsageError(
                f"{self._template} takes one image: give a name such as image_#####{self._format.suffixes[0]}"
            )
        numbered = _NUMBER.sub(lambda place: f"{self._written:0{len(place[0])}d}", name)
        path = os.path.join(folder, numbered)
        self._format.check(path, frame.description, frame.adc_offset, **self._options)
        write(self._format, path, frame, **self._options)
