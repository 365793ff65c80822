"""``nbnumba campaign run``: make the files that are missing."""

from __future__ import annotations

import os

from ...campaign.campaign import Campaign
from ...campaign.folder import claim, who_renders
from ...campaign.running import run_chunks
from ...campaign.shards import shard_of
from ...campaign.standing import missing_of
from ...campaign.watching import Watch
from ...errors import DONE, INCOMPLETE
from ..base import warnings_told
from .verb import add_how, how_of, verb_parser


def main(argv: list[str]) -> int:
    """Run it; a signal stops it anywhere, by way of nbnumba.interruption."""
    parser = verb_parser("run", "Make the files of a campaign that are missing: all, or a worker's share of them.")
    parser.add_argument(
        "-shard", metavar="I/N", help="the share of worker I of N, from 0 (default: as SLURM or MPI tell, else all)"
    )
    parser.add_argument("-mix", action="store_true", help="go on with files of another version, backend or precision")
    add_how(parser)
    told = parser.parse_args(argv)
    shard = shard_of(os.environ, told.shard)
    with warnings_told(parser.prog):
        campaign, how = Campaign(told.job), who_renders(how_of(told))
        claim(campaign, how, told.mix)
    mine = shard.of_chunks(len(campaign.chunks))
    missing = missing_of(campaign, mine)
    print(f"{shard}: {len(missing)} of {len(mine)} chunks missing, {how.backend}, in {campaign.folder}", flush=True)
    if not missing:
        return DONE
    watch = Watch(campaign, missing, shard)
    try:
        for outcome in run_chunks(campaign, missing, how, watch.frames):
            watch.outcome(outcome)
    finally:
        watch.end()
    return INCOMPLETE if watch.failed else DONE
