"""``nbnumba campaign verify``: look at all files of a campaign."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ...campaign.campaign import Campaign
from ...campaign.chunks import Chunk
from ...campaign.verifying import Findings, set_aside, verify
from ...errors import DONE, INCOMPLETE
from .verb import verb_parser, whole


def main(argv: list[str]) -> int:
    """Look at them."""
    parser = verb_parser(
        "verify",
        "Say which files of a campaign are missing or not what they should be, and remove what writers that were\n"
        "ended have left behind.",
        ends_with=(INCOMPLETE,),
    )
    parser.add_argument("-deep", action="store_true", help="compare the pixels of every frame with their sums, too")
    parser.add_argument("-repair", action="store_true", help="move bad files aside, so that run makes them again")
    parser.add_argument(
        "-wait", metavar="s", default="0", help="look once more after so many seconds for what is missing, as\n"
        "network file systems tell late of new files (60 is enough)"
    )  # fmt: skip
    told = parser.parse_args(argv)
    campaign = Campaign(told.job)
    with bar(len(campaign.chunks)) as forward:
        findings = verify(campaign, told.deep, whole("-wait", told.wait, 0), forward)
    print("\n".join(said_of(campaign, findings)))
    if told.repair:
        for path in set_aside(campaign, findings):
            print(f"moved to {path}")
    return DONE if findings.is_complete else INCOMPLETE


@contextmanager
def bar(files: int) -> Iterator[Callable[[], None]]:
    """How far it is, on terminals alone; gives what moves it on by a file."""
    from tqdm import tqdm

    with tqdm(total=files, unit="file", leave=False, file=sys.stderr, disable=None) as shown:

        def forward() -> None:
            shown.update()

        yield forward


def said_of(campaign: Campaign, findings: Findings) -> Iterator[str]:
    """Lines of what was found: each bad file, runs of missing ones, a line of all."""
    for chunk, why in findings.bad:
        yield f"bad      {chunk.number}: {chunk.path}: {why}"
    for run in _runs(findings.missing):
        last = f" to {run[-1].number}: {run[0].path} and on" if len(run) > 1 else f": {run[0].path}"
        yield f"missing  {run[0].number}{last}"
    yield from (f"other    {path} is no file of this campaign" for path in findings.others)
    if findings.removed:
        yield f"removed  {len(findings.removed)} temporary files that nobody would have finished"
    counts = {"good": len(findings.good), "bad": len(findings.bad), "missing": len(findings.missing)}
    yield f"{len(campaign.chunks)} files: {', '.join(f'{count} {what}' for what, count in counts.items())}"


def _runs(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """Those that follow one another by number, together."""
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        if not runs or runs[-1][-1].number + 1 != chunk.number:
            runs.append([])
        runs[-1].append(chunk)
    return runs
