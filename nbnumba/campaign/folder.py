"""The folder of a campaign: whose it is, and that what is added to it is of the same kind."""

from __future__ import annotations

import glob
import json
import os
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import DeviceError, InputFileError, ResourceError, UsageError
from ..formats.files import read_text, replacing, temporary_beside
from ..formats.hdf5 import reading_hdf5
from ..interruption import unfinished
from ..kernels.compile.cache import SOURCES, text_of
from ..render.backends import How
from ..version import __version__
from .campaign import Campaign

MARK = "campaign.json"
PROGRAM, COUNTS = ("program", "kernels", "backend", "precision"), ("frames", "frames_per_file")
_ADVICE = "remove it where no files lie beside it"


def claim(campaign: Campaign, how: How, mix: bool = False) -> None:
    """Make the folder the campaign's, or find that it is.

    Parameters
    ----------
    how : How
        Who renders; not "auto".
    mix : bool
        Whether files of another version of the program, of another backend or precision may lie in it.

    Raises
    ------
    UsageError
        Its files are of another campaign, or were made in another way.
    ResourceError
        It cannot be made or written.
    """
    mark, now = campaign.folder / MARK, mark_of(campaign, how)
    try:
        campaign.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make the folder {campaign.folder}: {error.strerror or error}") from error
    if not os.path.exists(mark):
        _check_unmarked(campaign)
        _first_wins(mark, json.dumps(now, indent=1) + "\n")
    known = read_mark(campaign.folder)
    _check(campaign, known, now, mix)
    if known["frames"] != now["frames"]:
        _check_ends(campaign, known["frames"])
    is_longer = known["frames"] < now["frames"]
    if is_longer:
        with replacing(mark) as file:
            file.write((json.dumps({**known, "frames": now["frames"]}, indent=1) + "\n").encode())
    text = campaign.folder / "campaign.toml"
    if is_longer or not os.path.exists(text):
        with replacing(text) as file:
            file.write(read_text(campaign.job.path, "the campaign").encode())


def check_mark(campaign: Campaign) -> None:
    """Find out whether what lies in the folder, if anything does, is the campaign's.

    Raises
    ------
    UsageError
        Its files are of another campaign, or divided otherwise.
    InputFileError
        Its mark is none.
    """
    if (campaign.folder / MARK).exists():
        known = read_mark(campaign.folder)
        _check(campaign, known, {**known, **_of_campaign(campaign)}, mix=True)


def mark_of(campaign: Campaign, how: How) -> dict[str, Any]:
    """What all files of a folder have in common."""
    return {
        **_of_campaign(campaign),
        "frames": len(campaign),
        **this_program(),
        "backend": how.backend,
        "precision": how.precision,
    }


def this_program() -> dict[str, str]:
    """What renders here: version, and what its kernels are written like."""
    return {"program": f"nbnumba {__version__}", "kernels": text_of(SOURCES).hexdigest()[:16]}


def _of_campaign(campaign: Campaign) -> dict[str, Any]:
    return {
        "identity": campaign.identity,
        "name": campaign.job.name,
        "frames_per_file": campaign.job.output.frames_per_file,
        "type": campaign.type,
    }


def read_mark(folder: Path) -> dict[str, Any]:
    """What a folder says of its files.

    Raises
    ------
    InputFileError
        It says nothing, or what cannot be.
    """
    mark = folder / MARK
    try:
        known = json.loads(read_text(mark, "the campaign's mark"))
    except ValueError as error:
        raise InputFileError(f"{mark}: is no JSON ({error}); {_ADVICE}") from error
    kinds = {**dict.fromkeys(("identity", "name", *PROGRAM), str), **dict.fromkeys(COUNTS, int)}
    for name, kind in kinds.items():
        if not isinstance(known, dict) or not isinstance(known.get(name), kind):
            raise InputFileError(f"{mark}: is not the mark of a campaign: it has no {name}; {_ADVICE}")
    return dict(known)


def who_renders(how: How) -> How:
    """With "auto" decided for all frames: a card where one can be used, else the CPU."""
    if how.backend != "auto":
        return how
    from dataclasses import replace

    from ..render.cuda.backend import chosen_cards

    try:
        chosen_cards("all" if how.device == "all" else [int(how.device)], asked=False)
    except DeviceError:
        return replace(how, backend="cpu")
    return replace(how, backend="cuda")


def _first_wins(mark: Path, text: str) -> None:
    """Make the mark, unless somebody else does: a link is made once, on NFS, too."""
    own = temporary_beside(str(mark))
    try:
        unfinished.add(own)
        with replacing(own) as file:
            file.write(text.encode())
        with suppress(FileExistsError):
            os.link(own, mark)
    except OSError as error:
        raise ResourceError(f"cannot write {mark}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            os.unlink(own)
        unfinished.discard(own)


def _check_unmarked(campaign: Campaign) -> None:
    """Where the mark is gone, a file that lies there tells whose folder it is: else it would be taken for ours."""
    for path in islice(campaign.folder.glob(f"[0-9]*/{glob.escape(campaign.job.name)}_*.h5"), 1):
        with reading_hdf5(path, "a file of a campaign") as file:
            identity = str(file["entry/nbnumba/campaign"].attrs["identity"])
        if identity != campaign.identity:
            raise UsageError(
                f"{path} is of another campaign (identity {identity[:12]}, not {campaign.identity[:12]}): give "
                "output.folder another name"
            )


def _check(campaign: Campaign, known: dict[str, Any], now: dict[str, Any], mix: bool) -> None:
    if known["identity"] != now["identity"]:
        raise UsageError(
            f"{campaign.folder} holds another campaign ({known['name']!r}, identity {known['identity'][:12]}, not "
            f"{now['identity'][:12]}): give output.folder another name"
        )
    if known["name"] != now["name"]:
        raise UsageError(
            f"the files in {campaign.folder} are called {known['name']}, not {now['name']}: give name as it was, or "
            "output.folder another"
        )
    if known["frames_per_file"] != now["frames_per_file"]:
        raise UsageError(
            f"{campaign.folder} has {known['frames_per_file']} frames in a file, not {now['frames_per_file']}: give "
            "output.frames_per_file as it was, or output.folder another name"
        )
    for name in () if mix else PROGRAM:
        if known[name] != now[name]:
            raise UsageError(
                f"the files in {campaign.folder} were made with {name} {known[name]}, not {now[name]}: go on with "
                "that, give output.folder another name, or -mix to have both"
            )


def _check_ends(campaign: Campaign, frames: int) -> None:
    """A file that ends with a campaign of one length is not the file of that name of one that goes on.

    Parameters
    ----------
    frames : int
        Of the longest campaign so far.
    """
    last = campaign.chunk_of(min(frames, len(campaign)) - 1)
    if len(campaign) < frames and last.frames < campaign.job.output.frames_per_file:
        raise UsageError(
            f"frames = {len(campaign)} would leave a file of {last.frames} in {campaign.folder}, which is of {frames} "
            f"frames: give whole files of {campaign.job.output.frames_per_file}"
        )
    if frames < last.stop and last.is_done:
        raise UsageError(
            f"{last.path} ends with frame {frames - 1}, as the campaign did before it had {len(campaign)}: remove the "
            "file, which is then made again, or give output.folder another name"
        )
