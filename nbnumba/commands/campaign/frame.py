"""``nbnumba campaign frame``: make one frame of a campaign again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ...campaign.again import difference
from ...campaign.campaign import Campaign
from ...campaign.folder import MARK, PROGRAM, check_mark, mark_of, read_mark, who_renders
from ...campaign.rendering import rendered_frames
from ...errors import DIFFERS, DONE
from ...formats import registry
from ...formats.files import check_writable
from ...formats.frame import Frame
from ...render.backends import How
from ..base import warnings_told
from ..outputs import content_for
from .verb import add_how, how_of, verb_parser, whole


def main(argv: list[str]) -> int:
    """Make it."""
    parser = verb_parser(
        "frame",
        "Make one frame again and say whether it equals the one that is stored. It is rendered as those in the\n"
        "campaign's folder were, where no other backend or precision is given.",
        ends_with=(DIFFERS,),
    )
    parser.add_argument("number", metavar="K", help="number of the frame, from 0")
    parser.add_argument(
        "-o", metavar="FILE", action="append", default=[], help="write it, as any image format; may be repeated"
    )
    add_how(parser)
    parser.set_defaults(backend=None, precision=None)
    told = parser.parse_args(argv)
    campaign = Campaign(told.job)
    number = whole("K", told.number, 0, len(campaign) - 1)
    check_mark(campaign)
    known = read_mark(campaign.folder) if (campaign.folder / MARK).exists() else {}
    told.backend = told.backend or known.get("backend", "auto")
    told.precision = told.precision or known.get("precision", "double")
    how = who_renders(how_of(told))
    for path in told.o:
        registry.by_suffix(path)
        check_writable(path)
    with warnings_told(parser.prog):
        (rendered,) = rendered_frames(campaign, [number], how)
        _write(told.o, campaign, number, rendered.frame, how)
    chunk = campaign.chunk_of(number)
    if not chunk.is_done:
        print(f"frame {number}: the file that it is to be in, {chunk.path}, is not made yet")
        return DONE
    said = difference(campaign, number, rendered.frame)
    print(f"frame {number} {said or 'equals'} the one in {chunk.path}")
    otherwise = _otherwise(known, mark_of(campaign, how))
    if said and otherwise:
        print(f"the folder's files were made with {', '.join(otherwise)}", file=sys.stderr)
    return DIFFERS if said else DONE


def _write(paths: Sequence[str], campaign: Campaign, number: int, frame: Frame, how: How) -> None:
    """Files of the frame; those that need more than its pixels have it rendered once more."""
    image = None
    for path in paths:
        image_format = registry.by_suffix(path)
        written = frame
        if image_format.name != "NXmx":
            image = image or campaign.render(number, how.backend, how.precision, how.threads, how.device)
            content = content_for(image_format, campaign.type != "float32")
            written = image.frame(content, threads=how.threads)
        options = registry.options_of(image_format, {})
        image_format.check(path, written.description, written.adc_offset, **options)
        registry.write(image_format, path, written, **options)
        print(f"{path}: {image_format.name}")


def _otherwise(known: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not as it was when the folder's files were made."""
    return [f"{name} {known[name]}, not {now[name]}" for name in PROGRAM if known and known[name] != now[name]]
