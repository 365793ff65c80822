"""``nbnumba campaign master``: files that show all frames as one series, and tables of the truth and of the files."""

from __future__ import annotations

import sys

from ...campaign.campaign import Campaign
from ...campaign.master import make_masters
from ...campaign.verifying import verify
from ...errors import DONE, INCOMPLETE
from ..base import warnings_told
from .verb import verb_parser
from .verify import bar, said_of


def main(argv: list[str]) -> int:
    """Make them."""
    parser = verb_parser(
        "master",
        "Make NAME_master_000.h5 and on: an NXmx that shows up to 200 files of one detector setting, of rotations of\n"
        "one crystal; truth.parquet, with a row for each crystal of each frame; and manifest.csv, of all files.",
        ends_with=(INCOMPLETE,),
    )
    parser.add_argument("-partial", action="store_true", help="of the files that are there, although some are not")
    told = parser.parse_args(argv)
    campaign = Campaign(told.job)
    with bar(2 * len(campaign.chunks)) as forward, warnings_told(parser.prog):
        findings = verify(campaign, told=forward)
        if findings.good and (findings.is_complete or told.partial):
            masters = make_masters(campaign, findings, forward)
    if not findings.is_complete and not (told.partial and findings.good):
        *_, whole = said_of(campaign, findings)
        print(f"{parser.prog}: {whole}: run again, see verify, or give -partial", file=sys.stderr)
        return INCOMPLETE
    print(f"{masters[0]}{f' to {masters[-1].name}' if len(masters) > 1 else ''}: {len(findings.good)} files")
    return DONE if findings.is_complete else INCOMPLETE
