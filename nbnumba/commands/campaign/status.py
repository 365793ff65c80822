"""``nbnumba campaign status``: how far a campaign is."""

from __future__ import annotations

import signal
import sys
import time

from ...campaign.campaign import Campaign
from ...campaign.folder import check_mark
from ...campaign.standing import Standing, standing_of
from ...campaign.watching import duration, progress_line
from ...errors import DONE, INCOMPLETE
from ...interruption import Interrupted
from .verb import verb_parser, whole

EVERY_S = "10"
MOST_TOLD = 10
"""Failed chunks."""
_FRESH = "\x1b[H\x1b[2J"
"""Empties a terminal."""


def main(argv: list[str]) -> int:
    """Tell it."""
    parser = verb_parser(
        "status", "Say how far a campaign is, from the names and times of its files.", ends_with=(INCOMPLETE,)
    )
    parser.add_argument(
        "-watch",
        nargs="?",
        const=EVERY_S,
        metavar="s",
        help=f"again every so many seconds, until all is done (default: {EVERY_S})",
    )
    told = parser.parse_args(argv)
    every = None if told.watch is None else whole("-watch", told.watch, 1)
    campaign = Campaign(told.job)
    check_mark(campaign)
    if every is None:
        standing = standing_of(campaign)
        print(_text(campaign, standing))
        return INCOMPLETE if standing.missing else DONE
    try:
        _watch(campaign, every)
    except Interrupted as error:
        # That is how one leaves.
        if error.number != signal.SIGINT:
            raise
    return DONE


def _watch(campaign: Campaign, every_s: int) -> None:
    """Until it is complete; where nobody clears the screen a line each time."""
    fresh = sys.stdout.isatty()
    while True:
        standing = standing_of(campaign)
        print(f"{_FRESH}{_text(campaign, standing)}" if fresh else _line(standing), flush=True)
        if not standing.missing:
            return
        time.sleep(every_s)


def _line(standing: Standing) -> str:
    done = standing.chunks - len(standing.missing)
    line = progress_line(done, standing.chunks, standing.rate, standing.frames - standing.frames_done)
    return f"{line}, {len(standing.failed)} failed" if standing.failed else line


def _text(campaign: Campaign, standing: Standing) -> str:
    done, left = standing.chunks - len(standing.missing), standing.left_s
    rate = "" if standing.rate is None else f"{standing.rate:.3g} frames/s"
    lines = [
        ("campaign", f"{campaign.job.name}, identity {campaign.identity[:16]}, in {campaign.folder}"),
        ("done", f"{done} of {standing.chunks} chunks, {standing.frames_done} of {standing.frames} frames"),
        ("of late", f"{rate}, {duration(left)} left" if standing.missing and left is not None else rate),
        *(("failed", f"chunk {one.chunk}: {one.why}") for one in standing.failed[:MOST_TOLD]),
        ("", f"and {len(standing.failed) - MOST_TOLD} more" if len(standing.failed) > MOST_TOLD else ""),
        ("temporary", f"{standing.temporaries} files, of who writes now or was killed" if standing.temporaries else ""),
    ]
    return "\n".join(f"{name:<12}{text}" for name, text in lines if text)
