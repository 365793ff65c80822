"""``nbnumba campaign run``: make the files that are missing."""

from __future__ import annotations

import sys

from ...campaign.campaign import Campaign
from ...campaign.folder import claim, who_renders
from ...campaign.running import Failed, run_chunks
from ...errors import DONE, INCOMPLETE, STOPPED
from ...interruption import SIGNALS, Interrupted
from .verb import add_how, how_of, verb_parser


def main(argv: list[str]) -> int:
    """Run it."""
    parser = verb_parser("run", "Make the files of a campaign that are missing: all, or a worker's share of them.")
    parser.add_argument("-shard", metavar="I/N", help="the share of worker I of N, from 0")
    parser.add_argument("-mix", action="store_true", help="go on with files of another version, backend or precision")
    add_how(parser)
    told = parser.parse_args(argv)
    campaign, how = Campaign(told.job), who_renders(how_of(told))
    claim(campaign, how, told.mix)
    numbers = [chunk.number for chunk in campaign.chunks if not chunk.is_done]
    failed = 0
    try:
        for outcome in run_chunks(campaign, numbers, how):
            print(outcome)
            failed += isinstance(outcome, Failed)
    except Interrupted as error:
        print(f"{SIGNALS[error.number]}: the file under way is dropped; run again", file=sys.stderr)
        return STOPPED
    return INCOMPLETE if failed else DONE
