"""The files that a run writes: which ones, in which formats, refused before the work where they cannot be."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import NamedTuple

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..experiment.quirks import quirks_of
from ..formats.dump import write_dump
from ..formats.files import check_writable, is_replaceable
from ..formats.frame import Content, Description, Frame
from ..formats.registry import Format, by_suffix, check_panels, holding, options_of, write
from ..formats.sinks import has_number, is_of_all, number_of_digits, numbered, sink_of, template_of
from ..image import Image
from ..nanobragg.command import Command, Outputs
from .inputs import DUMP, input_files

Named = tuple[str, str, Content, Format]
"""An option, its path, what it holds, and as what."""
Phase = Callable[[str], AbstractContextManager[None]]
"""Counts the time of a block as that of a phase of the run."""


class Output(NamedTuple):
    """An image that the command line can ask for by an option of its own."""

    option: str
    field: str
    """Of :class:`Outputs`, which holds its path."""
    content: Content
    otherwise: str
    """Its format where the file's suffix names none that holds this content."""
    words: str
    """What it is; {} stands for the format."""


OUTPUTS = (
    Output("-floatfile", "float_file", "photons", "float32", "photons, {}"),
    Output("-intfile", "int_file", "scaled", "SMV", "{} without noise"),
    Output("-pgmfile", "pgm_file", "gray", "PGM", "gray levels"),
    Output("-png", "png_file", "picture", "PNG", "picture with resolution rings"),
    Output("-noisefile", "noise_file", "counted", "SMV", "{} as photons are counted"),
)
"""In the order in which they are written."""
READ_BY_DIALS = ("NXmx", "CBF", "SMV")
WORDS: dict[Content, str] = {
    **{output.content: output.words for output in OUTPUTS},
    "experiment": "{}: beam, detector, crystal and scan",
    "reflections": "{}: predicted reflections",
}


class Asked(NamedTuple):
    """A file to be written."""

    option: str
    path: str
    """Of a series that goes to numbered files, with # where the number is."""
    content: Content
    format: Format
    options: dict[str, str]
    """Of the format."""
    number: int
    """Of the first image."""

    @property
    def words(self) -> str:
        """What is in it."""
        return WORDS[self.content].format(self.format.name)

    def first(self, images: int) -> str:
        """The file that is written first, of so many images."""
        return numbered(self.path, self.number) if images > 1 and not is_of_all(self.format) else self.path


def asked_for(outputs: Outputs, images: int, description: Description) -> list[Asked]:
    """Every file that is asked for, in the order in which they are written.

    Of several panels, or one whose pixels are no squares, those that are written where nobody asks are left out where
    they hold but one.

    Raises
    ------
    UsageError
        A suffix of -o that names no format.

    Warns
    -----
    NbnumbaWarning
        Some are left out.
    """
    named = [(one.option, getattr(outputs, one.field), one.content, one.otherwise) for one in OUTPUTS]
    asked = [
        (option, path, content, holding(path, content, otherwise))
        for option, path, content, otherwise in named
        if path is not None
    ]
    if len(description.panels) > 1 or not description.panels[0].has_one_edge:
        asked = _without_unasked(asked, outputs)
    for path in outputs.files or ():
        image_format = by_suffix(path)
        asked.append(("-o", path, content_for(image_format, outputs.counted), image_format))
    number = description.image_number
    return [
        Asked(option, _template(path, one, images, number), content, one, _options(outputs, one), number)
        for option, path, content, one in asked
    ]


def _without_unasked(asked: list[Named], outputs: Outputs) -> list[Named]:
    """Without the files that nobody named and that cannot hold several panels."""
    usual = set(vars(Outputs()).values()) & {getattr(outputs, one.field) for one in OUTPUTS}
    left_out = [path for _, path, _, image_format in asked if path in usual and not image_format.many_panels]
    if left_out:
        warnings.warn(
            f"{', '.join(left_out)}: not written, since each holds one panel of square pixels; -o writes other formats",
            NbnumbaWarning,
            stacklevel=3,
        )
    return [one for one in asked if one[1] not in left_out]


def content_for(image_format: Format, counted: bool) -> Content:
    """What a file of -o holds: what the detector reads; or, without noise, what is expected of it."""
    wanted: tuple[Content, ...] = ("counted",) if counted else ("photons", "scaled")
    return next((content for content in wanted if content in image_format.holds), image_format.holds[0])


def _options(outputs: Outputs, image_format: Format) -> dict[str, str]:
    given = {name: word for name, word in vars(outputs).items() if name in image_format.options}
    return options_of(image_format, given)


def _template(path: str, image_format: Format, images: int, number: int) -> str:
    """A name with a place for numbers, where each image of a series has a file of its own."""
    if images == 1 or is_of_all(image_format) or has_number(path) or not is_replaceable(path):
        return numbered(path, number) if images == 1 and image_format.holds != ("experiment",) else path
    stem, suffix = os.path.splitext(path)
    return f"{stem}_{'#' * number_of_digits(images)}{suffix}"


def counts_file(asked: list[Asked], images: int) -> tuple[str, bool]:
    """The first file that DIALS finds counts in, # standing for the number of the image; and whether it has them all.

    Empty where there is none.
    """
    for one in asked:
        if one.content == "counted" and one.format.name in READ_BY_DIALS:
            has_all = one.format.sink is not None
            return one.path if images > 1 or has_all else template_of(one.path, one.number), has_all
    return "", False


def check_outputs(command: Command, asked: list[Asked], description: Description) -> None:
    """Say before the work, not after it, that a file cannot be written or would be written over by another."""
    images = command.run.images
    if images > 1 and not asked:
        raise UsageError(f"-images {images}: no file is asked for: give one, as -o image_#####.cbf or -o images.nxs")
    paths: list[tuple[str, str | None]] = [(one.option, one.first(images)) for one in asked]
    paths += [("-report", command.outputs.report_file), ("-dump", cache_to_write(command.experiment))]
    options: dict[str, str] = {}
    inputs = {os.path.realpath(path) for path in input_files(command)}
    for option, path in paths:
        if path is None:
            continue
        check_writable(path)
        if os.path.realpath(path) in inputs and is_replaceable(path):
            raise _over_input(option, path)
        other = options.get(os.path.realpath(path))
        if other is not None and is_replaceable(path):
            raise _both(other, option, path)
        options[os.path.realpath(path)] = option
    _check_numbers(asked, images, inputs, options)
    for one in asked:
        check_panels(one.format, one.content, len(description.panels))
        one.format.check(one.first(images), description, description.readout.adc_offset or 0.0, **one.options)


def _over_input(option: str, path: str) -> UsageError:
    return UsageError(f"{option} {path} would be written over a file that the run reads: give another name")


def _both(other: str, option: str, path: str) -> UsageError:
    return UsageError(f"{other} and {option} are both {path}: give each a file of its own")


def _check_numbers(asked: list[Asked], images: int, inputs: set[str], options: dict[str, str]) -> None:
    """The same of the images that follow the first one; ``options``: those that write a file, which is added."""
    for one in asked:
        if one.first(images) == one.path:
            continue
        folder = os.path.realpath(os.path.dirname(one.path))
        for number in range(2, images + 1):
            path = numbered(one.path, number)
            real = os.path.join(folder, os.path.basename(path))
            if real in inputs:
                raise _over_input(one.option, path)
            if real in options:
                raise _both(options[real], one.option, path)
            options[real] = one.option


def cache_to_write(experiment: Experiment) -> str | None:
    """Where the table of -hkl goes in binary: where -dump asks for it, in mode c always (C-18)."""
    factors = experiment.structure_factors
    if factors.hkl_file is None:
        return None
    return factors.dump_file or (DUMP if quirks_of(experiment).dump_always_written else None)


def write_cache(path: str, image: Image) -> None:
    """Write the table of an image's F.

    Warns
    -----
    NbnumbaWarning
        What the file does not say.
    """
    table, default_f = image.resolved.table, image.experiment.structure_factors.default_f
    write_dump(path, table.bounds, table.values[0])
    if table.outside != default_f:
        warnings.warn(
            f"{path} does not say that F is {table.outside:g} beyond the resolution of its reflections: read with "
            f"-default_F {default_f:g}, it is {default_f:g} there",
            NbnumbaWarning,
            stacklevel=2,
        )


class Writer:
    """Writes what is asked for of one image, or of one after the other."""

    def __init__(
        self,
        asked: list[Asked],
        outputs: Outputs,
        images: int,
        phase: Phase,
        stack: ExitStack,
        threads: int | None = None,
    ) -> None:
        self._asked, self._outputs, self._phase, self._threads = asked, outputs, phase, threads
        self._sinks = [
            stack.enter_context(sink_of(one.format, one.path, one.options, one.number)) if images > 1 else None
            for one in asked
        ]
        self._counts_file, self._has_all = counts_file(asked, images)
        self._taken = 0
        self._scales: dict[Content, float] | None = None
        self.said: list[str] = []
        """What there is to say of the first image's integers."""

    def write(self, image: Image) -> dict[Content, Frame]:
        """Take an image; what was written of it, by content."""
        scales = self._scales_by(image)
        frames: dict[Content, Frame] = {}
        for one, frames_of_it in zip(self._asked, self._sinks, strict=True):
            with self._phase("noise" if one.content == "counted" else "write"):
                if one.content not in frames:
                    frame = image.frame(one.content, scales.get(one.content), threads=self._threads)
                    place = self._taken if self._has_all else None
                    frames[one.content] = replace(frame, counts_file=self._counts_file, counts_place=place)
            with self._phase("write"):
                if frames_of_it is None:
                    write(one.format, one.path, frames[one.content], **one.options)
                else:
                    frames_of_it.write(frames[one.content])
        if not self.said:
            self.said = [*self._scale_lines(image, frames)]
        self._taken += 1
        return frames

    def _scales_by(self, image: Image) -> dict[Content, float]:
        """Counts for each photon, the same in all images of a series."""
        if self._scales is None:
            with self._phase("write"):
                asked = {one.content for one in self._asked}
                self._scales = {}
                if asked & {"scaled", "gray"}:
                    int_scale = self._outputs.scale or image.int_scale
                    gray_scale = self._outputs.pgm_scale or image.pgm_scale(int_scale)
                    self._scales = {"scaled": int_scale, "gray": gray_scale}
        return self._scales

    def _scale_lines(self, image: Image, frames: dict[Content, Frame]) -> Iterator[str]:
        scaled, counted = frames.get("scaled"), frames.get("counted")
        if scaled is not None:
            paths = " and ".join(one.path for one in self._asked if one.content == "scaled")
            aside = self._outputs.scale is None and image.statistics_beside_beam is not image.statistics
            yield (
                f"counts = photons x {scaled.scale:g} + {scaled.adc_offset:g} in {paths}"
                + (", by the brightest pixel beside the direct beam's spot" if aside else "")
            )
        if counted is not None:
            yield (
                f"{counted.photons} photons counted with -seed {image.experiment.noise.seed}, "
                f"{counted.overloads} overloads"
            )
