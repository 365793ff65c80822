"""``nbnumba campaign``: many images of one description, on one machine or a cluster; a module here a verb."""

from __future__ import annotations

from ...errors import INCOMPLETE, STOPPED, UsageError
from ..base import Parser

VERBS = {
    "show": "what its frames are",
    "run": "make the files that are missing",
    "sbatch": "print a script for SLURM",
    "status": "what is done, and when the rest will be",
    "verify": "look at all files",
    "master": "make one file that shows all, tables of the truth and of the files",
    "frame": "make one frame again",
    "expt": "write the truth of a file for DIALS",
    "warm": "compile what is needed, once for each kind of machine",
}
ENDS_WITH = (INCOMPLETE, STOPPED)


def main(argv: list[str]) -> int:
    """Say what verbs there are: words that begin with one are its module's."""
    parser = Parser(
        prog="nbnumba campaign",
        usage="nbnumba campaign VERB JOB.toml [options]",
        description="Simulate the images of a campaign (docs/campaigns.md): each follows from the file that describes\n"
        "it and its number alone.\n\n" + "\n".join(f"  {verb:<8}{what}" for verb, what in VERBS.items()),
        epilog="nbnumba campaign VERB -h tells more.",
        ends_with=ENDS_WITH,
    )
    parser.parse_args(argv[:1] if argv and argv[0].startswith("-") else [])
    if not argv:
        parser.error(f"give one of {', '.join(VERBS)}")
    raise UsageError(f"{argv[0]!r} is none of {', '.join(VERBS)}; nbnumba campaign -h tells more")
