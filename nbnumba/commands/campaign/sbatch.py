"""``nbnumba campaign sbatch``: print a script for SLURM."""

from __future__ import annotations

from ...campaign.campaign import Campaign
from ...campaign.log import FOLDER
from ...campaign.slurm import Request, array_script
from ...errors import DONE
from ..base import made_folder
from .verb import verb_parser, whole


def main(argv: list[str]) -> int:
    """Print it, and make the folder that its tasks print into: where that is missing, SLURM loses a task silently."""
    parser = verb_parser(
        "sbatch",
        "Print a script for SLURM: an array of tasks, each of which does its share of a campaign's files. A task that\n"
        "is stopped, because its time is up or its node is wanted, goes on later.",
        epilog="nbnumba campaign sbatch job.toml -tasks 64 -at_once 16 > job.sh; sbatch -A ACCOUNT -p PARTITION job.sh",
        ends_with=(),
    )
    parser.add_argument("-tasks", metavar="n", default="64", help="of the array (default: 64)")
    parser.add_argument("-at_once", metavar="n", help="how many run at the same time (default: all)")
    parser.add_argument("-gpus", metavar="n", default="1", help="of a task, each with a process; 0: none (default: 1)")
    parser.add_argument("-cpus", metavar="n", default="8", help="cores of a task (default: 8)")
    parser.add_argument("-time", metavar="limit", default="04:00:00", help="of a task, as SLURM has it (default: 4 h)")
    told = parser.parse_args(argv)
    tasks = whole("-tasks", told.tasks, 1)
    at_once = tasks if told.at_once is None else whole("-at_once", told.at_once, 1)
    gpus, cpus = whole("-gpus", told.gpus, 0), whole("-cpus", told.cpus, 1)
    asked = Request(tasks, at_once, gpus, cpus, told.time)
    campaign = Campaign(told.job)
    made_folder(campaign.folder / FOLDER, "output.folder")
    print(array_script(campaign.job.name, campaign.job.path, campaign.folder, len(campaign.chunks), asked), end="")
    return DONE
