"""The folder of a campaign: whose it is, and that what is added to it is of the same kind."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DeviceError, InputFileError, ResourceError, UsageError
from ..formats.files import read_text, replacing
from ..kernels.compile.cache import SOURCES, text_of
from ..render.backends import How
from ..version import __version__
from .campaign import Campaign

MARK = "campaign.json"
PROGRAM, LENGTH = ("program", "kernels", "backend", "precision"), "frames"


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
    if not mark.exists():
        _first_wins(mark, json.dumps(now, indent=1) + "\n")
    known = read_mark(campaign.folder)
    _check(campaign, known, now, mix)
    if known[LENGTH] != now[LENGTH]:
        _check_ends(campaign, known[LENGTH])
        with replacing(mark) as file:
            file.write((json.dumps({**known, LENGTH: now[LENGTH]}, indent=1) + "\n").encode())
    text = campaign.folder / "campaign.toml"
    if not text.exists():
        with replacing(text) as file:
            file.write(read_text(campaign.job.path, "the campaign").encode())


def mark_of(campaign: Campaign, how: How) -> dict[str, Any]:
    """What all files of a folder have in common."""
    return {
        "identity": campaign.identity,
        "name": campaign.job.name,
        "frames": len(campaign),
        "frames_per_file": campaign.job.output.frames_per_file,
        "type": campaign.type,
        "program": f"nbnumba {__version__}",
        "kernels": text_of(SOURCES).hexdigest()[:16],
        "backend": how.backend,
        "precision": how.precision,
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
        missing = [name for name in ("identity", "frames", "frames_per_file", *PROGRAM) if name not in known]
    except (ValueError, TypeError) as error:
        raise InputFileError(f"{mark}: is not the mark of a campaign ({error}); remove it where no files lie") from error
    if missing:
        raise InputFileError(f"{mark}: lacks {missing[0]}; remove it where no files lie")
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
    own = mark.with_name(f".nbnumba-{secrets.token_hex(8)}.tmp")
    try:
        with replacing(own) as file:
            file.write(text.encode())
        with suppress(FileExistsError):
            os.link(own, mark)
    except OSError as error:
        raise ResourceError(f"cannot write {mark}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            os.unlink(own)


def _check(campaign: Campaign, known: dict[str, Any], now: dict[str, Any], mix: bool) -> None:
    if known["identity"] != now["identity"]:
        raise UsageError(
            f"{campaign.folder} holds another campaign ({known.get('name')!r}, identity {known['identity'][:12]}, not "
            f"{now['identity'][:12]}): give output.folder another name"
        )
    if known["frames_per_file"] != now["frames_per_file"]:
        raise UsageError(
            f"{campaign.folder} has {known['frames_per_file']} frames in a file, not {now['frames_per_file']}: give "
            "output.frames_per_file as it was, or output.folder another name"
        )
    for name in () if mix else PROGRAM:
        if known[name] != now[name]:
            raise UsageError(
                f"the files in {campaign.folder} were made with {name} {known[name]}, not {now[name]}: go on with that, "
                "give output.folder another name, or -mix to have both"
            )


def _check_ends(campaign: Campaign, frames: int) -> None:
    """A file that ended with a campaign of another length is not the file of that name now."""
    last = campaign.chunk_of(min(frames, len(campaign)) - 1)
    before = campaign.job.output.frames_per_file
    if frames != len(campaign) and last.is_done and (frames % before if frames < len(campaign) else last.frames != before):
        raise UsageError(
            f"{last.path} has other frames than in a campaign of {len(campaign)} (it was made for {frames}): remove it, "
            "or change frames by whole files"
        )
