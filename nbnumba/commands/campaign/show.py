"""``nbnumba campaign show``: what a campaign's frames are."""

from __future__ import annotations

from ...campaign.campaign import Campaign
from ...campaign.standing import missing_of
from ...errors import DONE, NbnumbaError
from ...setup.inputs import read_inputs
from ...setup.resolve import Resolved, resolve
from ..base import warnings_told
from .verb import verb_parser, whole

CHECKED_EVERY = 1000


def main(argv: list[str]) -> int:
    """Show it."""
    parser = verb_parser(
        "show", "Say how many frames and files a campaign has, or what single frames are.", ends_with=()
    )
    parser.add_argument(
        "frames", nargs="*", metavar="FRAME", help="print this frame's experiment as TOML, for -experiment"
    )
    parser.add_argument("-check", action="store_true", help=f"try the set-up of every {CHECKED_EVERY}th frame")
    told = parser.parse_args(argv)
    campaign = Campaign(told.job)
    with warnings_told(parser.prog):
        for word in told.frames:
            print(_frame(campaign, whole("FRAME", word, 0, len(campaign) - 1)))
        if not told.frames:
            print(_whole(campaign))
        if told.check:
            print(f"checked     {_checked(campaign)} frames, every {CHECKED_EVERY}th and the last")
    return DONE


def _whole(campaign: Campaign) -> str:
    job = campaign.job
    first = _resolved(campaign, 0)
    shape = (sum(panel.slow_pixels for panel in first.panels), max(panel.fast_pixels for panel in first.panels))
    chunks = len(campaign.chunks)
    done = chunks - len(missing_of(campaign, range(chunks)))
    lines = {
        "campaign": f"{job.name}, identity {campaign.identity[:16]}",
        "frames": f"{len(campaign)} of {shape[1]} x {shape[0]} pixels, {campaign.type}",
        "sweeps": "\n            ".join(
            f"{sweep.crystals} x {sweep.frames} frames of {sweep.width_deg:g} degrees from {sweep.start_deg:g} on"
            for sweep in job.sweeps
        ),
        "varied": ", ".join(f"{one.path} (per {one.per})" for one in job.varied),
        "files": f"{chunks} of up to {job.output.frames_per_file} frames, {done} done",
        "folder": str(campaign.folder),
        "first": first.summary,
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items() if text)


def _frame(campaign: Campaign, number: int) -> str:
    experiment = campaign.frame(number)
    hits, spectrum = campaign.hits(number), campaign.spectrum(number)
    beside = f", spectrum {spectrum}" if spectrum >= 0 else ""
    return f"# frame {number} of {campaign.job.name}: {hits} crystals{beside}\n{experiment.to_toml()}"


def _resolved(campaign: Campaign, number: int) -> Resolved:
    try:
        experiment = campaign.frame(number)
        return resolve(experiment, read_inputs(experiment))
    except NbnumbaError as error:
        said = str(error)
        raise type(error)(said if said.startswith("frame ") else f"frame {number}: {said}") from error


def _checked(campaign: Campaign) -> int:
    numbers = sorted({*range(0, len(campaign), CHECKED_EVERY), len(campaign) - 1})
    for number in numbers:
        _resolved(campaign, number)
    return len(numbers)
