"""``nbnumba campaign warm``: compile what a campaign needs, once for each kind of machine."""

from __future__ import annotations

import time

from ...campaign.campaign import Campaign
from ...campaign.folder import who_renders
from ...campaign.warming import warm
from ...errors import DONE
from ..base import warnings_told
from .verb import add_how, how_of, verb_parser


def main(argv: list[str]) -> int:
    """Compile it."""
    parser = verb_parser(
        "warm", "Compile what a campaign needs, once for each kind of machine: nothing is written.", ends_with=()
    )
    add_how(parser)
    told = parser.parse_args(argv)
    began = time.perf_counter()
    with warnings_told(parser.prog):
        campaign, how = Campaign(told.job), who_renders(how_of(told))
        frames = warm(campaign, how)
    crystals = ", ".join(str(campaign.hits(number)) for number in frames)
    print(f"warm after {time.perf_counter() - began:.1f} s: rendered frames of {crystals} crystals, {how.backend}")
    return DONE
