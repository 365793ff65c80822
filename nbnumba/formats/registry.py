"""Formats by the suffix of a file: every module in ``formats/images/`` and ``formats/descriptions/`` is one.

The former hold pixels, the latter what else there is to tell; a module's ``FORMAT`` says all of it.
A :class:`~nbnumba.formats.frame.Frame` is written by :func:`write`; many one after another by what
:func:`nbnumba.formats.sinks.sink` opens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy.typing as npt

from ..errors import InputFileError, UsageError
from . import descriptions, images
from .files import Path, read_bytes
from .frame import CONTENTS, WITHOUT_PIXELS, Content, Description, Frame, Frames

Shape = tuple[int, int]
Reader = Callable[[Path, Shape | None], npt.NDArray[Any]]


def _as_it_is(frame: Frame, **options: str) -> Frame:
    return frame


def _nothing_to_say(path: Path, description: Description, adc_offset: float, **options: str) -> None:
    pass


@dataclass(frozen=True)
class Format:
    """What there is to know of an image format; functions take its options as keywords, always all of them."""

    name: str
    suffixes: tuple[str, ...]
    """By which a file is known to be of it, dots included."""
    holds: tuple[Content, ...]
    """What its pixels can be, first what they are where nobody says."""
    write: Callable[..., None]
    """(path or binary file, frame, **options): write one frame through :func:`nbnumba.formats.files.replacing`."""
    many_panels: bool = False
    """Whether a file holds more than one."""
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Keywords and the words they can be, first the default."""
    fitted: Callable[..., Frame] = _as_it_is
    """(frame, **options): the frame as the file has it, such as with marks in pixels that were not measured."""
    check: Callable[..., None] = _nothing_to_say
    """(path, description, adc_offset, **options): refuse before the work what the file would say wrongly."""
    recognizes: Callable[[str, bytes], bool] = lambda name, content: False
    """(name, content): whether a file is of it; of two formats that both say so, the first by name of module is."""
    read: Reader | None = None
    """(path, shape where it is known): the pixels of a file (slow, fast)."""
    sink: Callable[..., AbstractContextManager[Frames]] | None = None
    """(path, **options): one file for many frames; None: numbered files, one for each."""


@cache
def formats() -> tuple[Format, ...]:
    """All that there are, those of images first, by name of their modules."""
    return tuple(
        import_module(f"{package.__name__}.{name}").FORMAT
        for package in (images, descriptions)
        for name in sorted(module.name for module in iter_modules(package.__path__))
    )


def named(name: str) -> Format:
    """The format of that name."""
    return next(one for one in formats() if one.name == name)


def by_suffix(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises
    ------
    UsageError
        No format has its suffix.
    """
    found = _of_suffix(path)
    if found is None:
        known = ", ".join(f"{' '.join(one.suffixes)} ({one.name})" for one in formats())
        raise UsageError(f"{os.fspath(path)}: no format has this suffix; known are {known}")
    return found


def holding(path: Path, content: Content, otherwise: str) -> Format:
    """The format that a file's name asks for where that holds such pixels, else the one of the name ``otherwise``."""
    found = _of_suffix(path)
    return found if found is not None and content in found.holds else named(otherwise)


def _of_suffix(path: Path) -> Format | None:
    name = os.fspath(path).lower()
    return next((one for one in formats() if name.endswith(one.suffixes)), None)


def content_of(image_format: Format, content: Content | None) -> Content:
    """What the pixels of a file will be: what is asked for, or what the format is for.

    Raises
    ------
    UsageError
        There is no such content, or the format does not hold it.
    """
    if content is None:
        return image_format.holds[0]
    if content not in image_format.holds:
        can = " or ".join(f"{one} ({CONTENTS[one]})" for one in image_format.holds)
        raise UsageError(f"content {content!r}: {image_format.name} holds {can}")
    return content


def options_of(image_format: Format, options: Mapping[str, str]) -> dict[str, str]:
    """All options of a format, those that are not given by default.

    Raises
    ------
    UsageError
        An option that it does not have, or a word that the option cannot be.
    """
    for name, word in options.items():
        words = image_format.options.get(name)
        if words is None:
            raise UsageError(f"{name} {word!r}: {image_format.name} has no such option")
        if word not in words:
            raise UsageError(f"{name} {word!r}: give {' or '.join(words)}")
    return {name: options.get(name, words[0]) for name, words in image_format.options.items()}


def check_panels(image_format: Format, content: Content, panels: int) -> None:
    """Raise a UsageError where a file of the format cannot hold the pixels of as many; one without pixels can."""
    if panels > 1 and not image_format.many_panels and content not in WITHOUT_PIXELS:
        many = ", ".join(f"{' '.join(one.suffixes)} ({one.name})" for one in formats() if one.many_panels)
        raise UsageError(f"{image_format.name} holds one panel, and the image has {panels}: give it as {many}")


def write(image_format: Format, path: Any, frame: Frame, **options: str) -> Frame:
    """Write one frame, and return it as the file has it.

    Raises
    ------
    UsageError
        Its content, its panels or an option is not what the format takes.
    ResourceError
        The file cannot be written.
    """
    options = options_of(image_format, options)
    content_of(image_format, frame.content)
    check_panels(image_format, frame.content, len(frame.pixels))
    fitted = image_format.fitted(frame, **options)
    image_format.write(path, fitted, **options)
    return fitted


def read(path: Path, shape: Shape | None = None) -> npt.NDArray[Any]:
    """The pixels of an image file, whose format its content or name tells; else they are float32 without a header.

    Parameters
    ----------
    path : str or path
    shape : tuple of int, optional
        (slow, fast), of files that do not tell theirs.

    Returns
    -------
    ndarray
        As they are stored; two-dimensional but for files that hold other arrays.

    Raises
    ------
    InputFileError
        The file cannot be read, or does not hold what its format promises.
    """
    name = os.fspath(path)
    found = recognized(name, read_bytes(path, "the image")) or named("float32")
    if found.read is None:
        raise InputFileError(f"{name}: is {found.name}, which is only written")
    return found.read(path, shape)


def recognized(name: str, content: bytes) -> Format | None:
    """The format that a file's name or content tells."""
    return next((one for one in formats() if one.recognizes(name, content)), None)
