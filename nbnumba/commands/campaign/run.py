"""``nbnumba campaign run``: make the files that are missing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

from ... import interruption
from ...campaign.campaign import Campaign
from ...campaign.folder import claim, who_renders
from ...campaign.running import Outcome, run_chunks
from ...campaign.shards import card_of, shard_of
from ...campaign.standing import missing_of
from ...campaign.watching import Watch
from ...compiling import without_blas
from ...errors import DONE, INCOMPLETE, STOPPED, UsageError
from ...render.backends import How
from ..base import warnings_told
from .verb import add_how, how_of, verb_parser, whole


def main(argv: list[str]) -> int:
    """Run it; a signal stops it anywhere, by way of nbnumba.interruption."""
    told = _parsed(argv)
    shard = shard_of(os.environ, told.shard)
    with warnings_told("nbnumba campaign run"):
        campaign, how = Campaign(told.job), _how(told)
        claim(campaign, how, told.mix)
    mine = shard.of_chunks(len(campaign.chunks))
    missing = missing_of(campaign, mine)
    print(f"{shard}: {len(missing)} of {len(mine)} chunks missing, {how.backend}, in {campaign.folder}", flush=True)
    if not missing:
        return DONE
    watch = Watch(campaign, missing, shard)
    try:
        with closing(_outcomes(told, campaign, missing, how, watch)) as outcomes:
            for outcome in outcomes:
                watch.outcome(outcome)
    except interruption.Interrupted as error:
        said = f"{interruption.SIGNALS[error.number]}; {interruption.NOTHING_LEFT}; run it again to go on"
        print(f"nbnumba campaign run: {said}", file=sys.stderr)
        return STOPPED
    finally:
        watch.end()
    return INCOMPLETE if watch.failed else DONE


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser = verb_parser("run", "Make the files of a campaign that are missing: all, or a worker's share of them.")
    parser.add_argument(
        "-shard", metavar="I/N", help="the share of worker I of N, from 0 (default: as SLURM or MPI tell, else all)"
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument("-local", metavar="n", help="by n processes on this machine (needs Dask)")
    workers.add_argument("-dask", metavar="ADDRESS", help="by the workers of Dask's scheduler, such as tcp://node:8786")
    parser.add_argument("-mix", action="store_true", help="go on with files of another version, backend or precision")
    add_how(parser, many=True)
    told = parser.parse_args(argv)
    told.local = told.local if told.local is None else whole("-local", told.local, 1)
    if told.local is not None and told.threads not in (None, "1"):
        raise UsageError(f"-threads {told.threads} beside -local {told.local}, whose processes have one thread each")
    return told


def _how(told: argparse.Namespace) -> How:
    """Who renders: of several processes each by one thread; of several ranks of a machine each by another card."""
    by_dask = told.local is not None or told.dask is not None
    how = who_renders(how_of(told, 1 if by_dask else None))
    if told.dask is None:
        _check_here(how)
    if how.backend != "cuda" or told.device is not None or by_dask:
        return how
    from ...render.cuda.cards import card_numbers

    cards = card_numbers()
    return replace(how, device=cards[card_of(os.environ, len(cards))]) if cards else how


def _check_here(how: How) -> None:
    """Find out whether this machine has what is asked for, before the folder says that it is done so."""
    if how.backend == "cuda":
        from ...render.cuda.backend import chosen_cards

        chosen_cards("all" if how.device == "all" else [int(how.device)], asked=True)
    elif how.backend == "cpu":
        from ...render.cpu import threads_of

        threads_of(how)


def _outcomes(
    told: argparse.Namespace, campaign: Campaign, numbers: list[int], how: How, watch: Watch
) -> Generator[Outcome, None, None]:
    if told.local is None and told.dask is None:
        with without_blas():
            yield from run_chunks(campaign, numbers, how, watch.frames)
        return
    from ...campaign.dask import chunks_done, told_of, workers_here, workers_of

    # There are processes and connections to put away.
    interruption.unwind_on_signals()
    with workers_of(told.dask) if told.local is None else workers_here(told.local) as client:
        print(told_of(client), flush=True)
        yield from chunks_done(client, campaign, numbers, how)
