"""What makes two campaigns the same: a text of all that decides on frames, and a hash of it and of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from ..errors import InputFileError
from ..experiment import Experiment
from ..experiment.files import with_files
from .draws import FORMAT
from .job import Job, PixelType

_BLOCK = 1 << 20


def physics_text(job: Job, base: Experiment, kind: PixelType) -> str:
    """All that decides on the frames but for the content of files, as JSON.

    The campaign's name, how many frames there are, and where they go are no part of it, so that a longer campaign goes
    on in the folder of a shorter one.
    """
    named = with_files(base, job.given.__getitem__)
    said = {"format": FORMAT, **job.said, "experiment": named.to_dict(), "type": kind}
    return json.dumps(said, sort_keys=True, indent=1)


def identity_of(text: str, files: Mapping[str, str]) -> str:
    """SHA-256 of the text and of each file by the name that it has there.

    Parameters
    ----------
    files : mapping
        For each absolute name, that in the text.

    Raises
    ------
    InputFileError
        A file is not there.
    """
    # Two files in different folders may have one name.
    digests = sorted((name, digest_of(path)) for path, name in files.items())
    return hashlib.sha256(json.dumps([text, digests], sort_keys=True).encode()).hexdigest()


def digest_of(path: str) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"cannot read {path!r}: {reason}; check the path") from error
    return digest.hexdigest()
