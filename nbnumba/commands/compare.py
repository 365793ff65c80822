"""``nbnumba compare``: two programs on one command line, or two images, held against each other."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from ..comparison.images import Comparison, Floats, compare, resampled
from ..comparison.programs import (
    CURVE_NAMES,
    INPUT_NAMES,
    OWN,
    RunnerError,
    name_of,
    outputs_of,
    run,
    separated,
    words_of,
)
from ..errors import DIFFERS, DONE, InputFileError, NbnumbaError, UsageError
from ..formats import registry
from ..formats.files import replacing
from ..formats.images.raw import write_raw
from ..nanobragg.materials import is_file
from ..tolerances import CORRELATION
from .base import Parser, made_folder

_DECADES = 4
_LARGEST_PIXEL = 1e100


class ShapeError(NbnumbaError):
    """Two images that differ in shape."""

    exit_status = DIFFERS


@dataclass(frozen=True)
class Source:
    """Where an image is from."""

    name: str
    """The command, or the file."""
    image: Floats
    seconds: float | None = None


def main(argv: Sequence[str]) -> int:
    """Run ``nbnumba compare`` with its arguments and return its exit status.

    Raises
    ------
    UsageError, RunnerError, ShapeError, InputFileError, ResourceError
        What kept the images from being compared.
    """
    options, program_args = _parsed(argv)
    folder = _unused(_folder(Path(options.out), argv))
    if program_args:
        sources = _run_both(options, program_args, folder)
    else:
        sources = [_source_of_file(path, _given_shape(options)) for path in options.images]
    a, b = _same_area([source.image for source in sources], options.resample, options.roi)
    first_fast, _, first_slow, _ = options.roi or (0, 0, 0, 0)
    result = _shifted(compare(a, b), first_slow, first_fast)
    passed = result.correlation >= options.threshold
    summary = {
        "passed": passed,
        "threshold": options.threshold,
        "arguments": program_args,
        **{name: _described(source) for name, source in zip("ab", sources, strict=True)},
        "roi": options.roi,
        "compared_shape": a.shape,
        **asdict(result),
    }
    if not program_args:
        made_folder(folder)
    _save(folder, summary, a, b, (first_slow, first_fast), options.save_diff)
    print("\n".join(_report(sources, result)))
    print(f"{'passed' if passed else 'FAILED'}: threshold {options.threshold}; see {folder}")
    return DONE if passed else DIFFERS


# The command line ------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba compare",
        usage="nbnumba compare [options] -- ARGS | nbnumba compare [options] A B",
        description="Run two programs on the same nanoBragg options ARGS, or take two image files, and compare.\n"
        "The images agree where their correlation reaches the threshold. A folder of its own keeps what was found.",
        ends_with=(DIFFERS,),
    )
    parser.add_argument("images", nargs="*", metavar="A B", help="SMV, .npy, .npz, or float32 without a header")
    parser.add_argument("-a", metavar="CMD", help="first program (default: that of NB_C_BIN)")
    parser.add_argument("-b", metavar="CMD", help="second program (default: this one)")
    parser.add_argument("-roi", nargs=4, type=int, metavar=("xmin", "xmax", "ymin", "ymax"), help="compare these alone")
    parser.add_argument(
        "-threshold", type=float, default=CORRELATION, metavar="t",
        help=f"least correlation that passes ({CORRELATION})",
    )  # fmt: skip
    parser.add_argument("-resample", action="store_true", help="bring the larger image to the shape of the smaller")
    parser.add_argument("-save-diff", action="store_true", help="write b - a as difference.bin, float32")
    parser.add_argument("-out", default=".", metavar="DIR", help="where the folder of this comparison is made (.)")
    parser.add_argument("-detpixels_f", type=int, metavar="n", help="pixels along fast of an image without a header")
    parser.add_argument("-detpixels_s", type=int, metavar="n", help="pixels along slow (default: a square image)")
    return parser


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, tuple[str, ...]]:
    """What compare itself is told, and after ``--`` what the programs are; empty for two files."""
    options, program_args = _parser().parse_around(argv)
    if program_args and options.images:
        raise UsageError(f"{options.images[0]!r} before --: give two images or options after --")
    if not program_args and len(options.images) != 2:
        raise UsageError("give -- and nanoBragg's options, or two images")
    if not -1.0 <= options.threshold <= 1.0:
        raise UsageError(f"-threshold {options.threshold!r}: must lie between -1 and 1")
    for name, pixels in (("-detpixels_f", options.detpixels_f), ("-detpixels_s", options.detpixels_s)):
        if pixels is not None and pixels < 1:
            raise UsageError(f"{name} {pixels}: must be a count, 1 or more")
    return options, program_args


def _given_shape(options: argparse.Namespace) -> tuple[int, int] | None:
    fast, slow = options.detpixels_f or options.detpixels_s, options.detpixels_s or options.detpixels_f
    return (slow, fast) if fast else None


def _folder(parent: Path, argv: Sequence[str]) -> Path:
    """Where this comparison is kept: named by the clock and a hash of its arguments."""
    digest = hashlib.sha256(os.fsencode("\0".join(argv))).hexdigest()[:8]
    return parent.absolute() / f"compare-{time.strftime('%Y%m%d-%H%M%S')}-{digest}"


def _unused(folder: Path) -> Path:
    """The folder or, where it exists, its name with the first number that is free."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in chain([folder], numbered) if not path.exists())


# The programs ----------------------------------------------------------------------------------------------------


def _run_both(options: argparse.Namespace, args: Sequence[str], folder: Path) -> list[Source]:
    """Run the programs one after the other, so that neither slows the other."""
    command_a = options.a or os.environ.get("NB_C_BIN")
    if not command_a:
        raise UsageError("no first program: give -a CMD, or set NB_C_BIN")
    commands = [words_of(command_a), words_of(options.b) if options.b else OWN]
    args = list(_rooted(args))
    return [_source_of_run(words, args, folder / name) for name, words in zip("ab", commands, strict=True)]


def _source_of_run(words: Sequence[str], args: Sequence[str], folder: Path) -> Source:
    made_folder(folder)
    try:
        finished = run(words, args, folder)
    except RunnerError as error:
        raise RunnerError(f"{error}; what it wrote is in {folder}") from error
    return Source(shlex.join(words), _finite(str(folder), finished.photons), finished.seconds)


def _rooted(args: Sequence[str]) -> Iterator[str]:
    """The options such that input files are found from any folder."""
    args = list(separated(args))
    inputs, before = INPUT_NAMES - outputs_of(args), ""
    for word in args:
        may_be = name_of(before) in CURVE_NAMES
        head, equals, file = word.rpartition("=") if may_be else ("", "", word)
        is_input = bool(equals) or name_of(before) in inputs or (may_be and is_file(word))
        yield head + equals + os.path.abspath(file) if is_input and os.path.isfile(file) else word
        before = word


# The images ------------------------------------------------------------------------------------------------------


def _source_of_file(path: str, shape: tuple[int, int] | None) -> Source:
    """An image in a file; ``shape`` (slow, fast) is for files that do not tell theirs."""
    return Source(os.path.abspath(path), _finite(path, registry.read(path, shape)))


def _finite(name: str, image: np.ndarray) -> Floats:
    if image.ndim != 2 or image.size == 0 or image.dtype.kind not in "iuf":
        raise InputFileError(f"{name} has shape {image.shape} of {image.dtype}; must be an image of numbers")
    bad = np.argwhere(~np.isfinite(image))
    if len(bad):
        slow, fast = bad[0]
        raise InputFileError(f"{len(bad)} pixels are not finite, the first at slow {slow} fast {fast} of {name}")
    if max(float(image.max()), -float(image.min())) > _LARGEST_PIXEL:
        raise InputFileError(
            f"{name} has pixels beyond {_LARGEST_PIXEL:g}, whose squares are no numbers: scale it down"
        )
    return image.astype(np.float64)


def _same_area(images: Sequence[Floats], resample: bool, roi: Sequence[int] | None) -> list[Floats]:
    """Both images on one grid, cut to the region of interest (first and last fast, then slow, inclusive)."""
    (slow_a, fast_a), (slow_b, fast_b) = (image.shape for image in images)
    shape = min(slow_a, slow_b), min(fast_a, fast_b)
    if images[0].shape != images[1].shape and not resample:
        raise ShapeError(f"a has {fast_a} x {slow_a} pixels (fast x slow), b {fast_b} x {slow_b}: give -resample")
    same = [resampled(image, shape) for image in images]
    if roi is None:
        return same
    xmin, xmax, ymin, ymax = roi
    if not (0 <= xmin <= xmax < shape[1] and 0 <= ymin <= ymax < shape[0]):
        raise UsageError(
            f"-roi {xmin} {xmax} {ymin} {ymax}: must be in order, within 0 {shape[1] - 1} 0 {shape[0] - 1}"
        )
    return [image[ymin : ymax + 1, xmin : xmax + 1] for image in same]


def _shifted(result: Comparison, slow: int, fast: int) -> Comparison:
    """The comparison of a region that begins there, its pixels counted from the image's own first."""
    at = result.largest_at
    return replace(result, largest_at=(at[0] + slow, at[1] + fast))


# What is told ----------------------------------------------------------------------------------------------------


def _described(source: Source) -> dict[str, Any]:
    return {"name": source.name, "seconds": source.seconds, "shape": source.image.shape}


def _report(sources: Sequence[Source], result: Comparison) -> Iterator[str]:
    for name, source in zip("ab", sources, strict=True):
        yield f"{name}: {source.name}" + ("" if source.seconds is None else f" in {source.seconds:.3g} s")
    slow, fast = result.largest_at
    ratio = "" if result.ratio is None else f", ratio {result.ratio:.9g}"
    yield f"correlation         {result.correlation:.12g}"
    yield f"rmse                {result.rmse:.6g} (mse {result.mse:.6g})"
    yield f"largest difference  {result.largest_difference:.6g} at slow {slow} fast {fast}"
    yield f"sums                {result.sum_a:.9g} {result.sum_b:.9g}{ratio}"
    yield f"peaks               {result.peaks_a} {result.peaks_b}, within a pixel {result.peaks_matched}"


def _save(folder: Path, summary: dict[str, Any], a: Floats, b: Floats, first: tuple[int, int], raw: bool) -> None:
    with replacing(folder / "summary.json") as file:
        file.write(json.dumps(summary, indent=1).encode() + b"\n")
    _save_picture(folder / "comparison.png", a, b, first)
    if raw:
        write_raw(folder / "difference.bin", (b - a).astype(np.float32))


def _save_picture(path: Path, a: Floats, b: Floats, first: tuple[int, int]) -> None:
    """Both images on one logarithmic scale, and b − a; ``first`` is their first pixel (slow, fast)."""
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    difference = b - a
    top, spread = max(a.max(), b.max()), np.abs(difference).max() or 1.0
    grey = LogNorm(top / 10**_DECADES, top, clip=True) if top > 0 else Normalize(0.0, 1.0, clip=True)
    (slow, fast), (height, width) = first, a.shape
    extent = fast - 0.5, fast + width - 0.5, slow + height - 0.5, slow - 0.5
    figure = Figure(figsize=(16, 5), dpi=100, layout="constrained")
    panels = [
        ("a", a, "gray_r", grey),
        ("b", b, "gray_r", grey),
        ("b - a", difference, "RdBu_r", Normalize(-spread, spread)),
    ]
    for axes, (title, image, colors, norm) in zip(figure.subplots(1, 3), panels, strict=True):
        figure.colorbar(axes.imshow(image, cmap=colors, norm=norm, extent=extent), ax=axes)
        axes.set(title=title, xlabel="fast (pixels)", ylabel="slow (pixels)")
    with replacing(path) as file:
        figure.savefig(file, format="png")
