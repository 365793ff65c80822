"""``nbnumba campaign expt``: the truth of a file of a campaign, for DIALS."""

from __future__ import annotations

import sys

from ...campaign.campaign import Campaign
from ...campaign.experiments import true_frames
from ...campaign.folder import check_mark
from ...errors import DONE, UsageError
from ...formats.files import check_writable
from ...formats.registry import named
from ...formats.sinks import sink
from ..base import warnings_told
from .verb import verb_parser, whole


def main(argv: list[str]) -> int:
    """Write it."""
    parser = verb_parser(
        "expt",
        "Write the true experiments of a file: of stills one for each crystal of each frame, of a rotation one for\n"
        "each lattice, with its scan. Frames without a crystal are left out.",
        ends_with=(),
    )
    parser.add_argument("chunk", metavar="CHUNK", help="number of the file, from 0")
    parser.add_argument("-o", metavar="FILE.expt", help="its name (default: that of the file)")
    told = parser.parse_args(argv)
    campaign = Campaign(told.job)
    check_mark(campaign)
    chunk = campaign.chunks[whole("CHUNK", told.chunk, 0, len(campaign.chunks) - 1)]
    path = told.o or f"{chunk.path.stem}.expt"
    if not path.endswith(named("DIALS").suffixes):
        raise UsageError(f"-o {path}: an experiment list of DIALS is named .expt")
    check_writable(path)
    if not any(campaign.hits(number) for number in range(chunk.first, chunk.stop)):
        raise UsageError(f"CHUNK {chunk.number}: no frame of it has a crystal")
    with warnings_told(parser.prog), sink(path) as frames:
        for place, frame in enumerate(true_frames(campaign, chunk)):
            if place == 0:
                named("DIALS").check(path, frame.description, frame.adc_offset)
            frames.write(frame)
    if not chunk.is_done:
        print(f"{parser.prog}: {chunk.path}, which it names, is not made yet", file=sys.stderr)
    print(f"{path}: frames {chunk.first} to {chunk.stop - 1}")
    return DONE
