"""What gemmi reads: from a path alone, and with errors of its own."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputFileError, NbnumbaError, ResourceError

_PREFIX = "nbnumba-"


@contextmanager
def gemmi_errors(
    name: str, what: str = "a PDB, mmCIF or CIF file", memory: str = "its structure factors: raise -dmin"
) -> Iterator[None]:
    """Whatever gemmi raises about a file, as one line that names it.

    Parameters
    ----------
    name : str
        Of the file.
    what : str
        It was to be.
    memory : str
        What there may be too little memory for, and what helps.
    """
    try:
        yield
    except (NbnumbaError, Warning):
        raise
    except MemoryError as error:
        raise ResourceError(f"{name}: there is not enough memory for {memory}") from error
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = re.sub(r"^string:(\d+)\S*", r"line \1:", reason).removeprefix("string: ")
        reason = " ".join(reason.partition(f": {_folder()}")[0].split())
        raise InputFileError(f"{name} cannot be read as {what}: {reason}") from error


@contextmanager
def as_file(name: str, content: bytes) -> Iterator[str]:
    """The path of a file with this content, which is gone after the block.

    Raises
    ------
    ResourceError
        There is no room for it in the folder of temporary files.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        path = os.path.join(folder, "content")
        try:
            with open(path, "xb") as file:
                file.write(content)
        except OSError as error:
            raise ResourceError(
                f"{name}: there is no room for a copy of it in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR"
            ) from error
        yield path


def _folder() -> str:
    """How the names of temporary files begin, which gemmi's messages end with."""
    return os.path.join(tempfile.gettempdir(), _PREFIX)
