"""Looks at files of a campaign in a process of its own: there are damaged ones that the library does not survive.

Not imported but run (:mod:`nbnumba.campaign.verifying`): for each file a line of JSON comes in, and one goes out with
what is wrong with it, so that of a process that ends it is known at which file. It needs h5py, nothing of nbnumba.
"""

from __future__ import annotations

import json
import sys
import zlib
from typing import Any

import h5py
import hdf5plugin

MOST_BYTES = 1 << 30
"""Of what is read in one piece; no truth of a file is as large."""


def what_is_wrong(asked: dict[str, Any]) -> str:
    """Why a file is not the one that is asked for; empty where it is.

    Parameters
    ----------
    asked : dict
        The ``path``; ``identity``, number ``chunk`` and frames from ``first`` to before ``stop`` that it must have;
        whether to go ``deep``.
    """
    try:
        with h5py.File(asked["path"], "r") as file:
            pixels = file["entry/data/data"]
            _read_through(file, pixels)
            return _of_another(file, asked) or (_unlike_its_sums(file, asked["first"]) if asked["deep"] else "")
    except MemoryError:
        raise  # which is no fault of the file
    # The library lets out many kinds of error where bytes are damaged.
    except Exception as error:
        return " ".join(f"cannot be read: {error}".split())[:300]


def _read_through(file: Any, pixels: Any) -> None:
    """All but the pixels, so that who reads the same afterwards meets nothing new."""

    def read(name: str, item: Any) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            size = item.nbytes // len(item) if item == pixels else item.nbytes
            if size > MOST_BYTES:
                raise ValueError(f"{name} is larger than {MOST_BYTES >> 30} GiB")
            if item != pixels:
                item[()]

    file.visititems(read)


def _of_another(file: Any, asked: dict[str, Any]) -> str:
    """What the file should be and is not."""
    about, numbers = file["entry/nbnumba/campaign"], file["entry/nbnumba/frames/frame"][()].tolist()
    first, stop, frames = asked["first"], asked["stop"], len(file["entry/data/data"])
    identity = about.attrs["identity"]
    if identity != asked["identity"]:
        return f"is of another campaign, of identity {identity[:12]}, not {asked['identity'][:12]}"
    if about["chunk"][()] != asked["chunk"]:
        return f"is file {about['chunk'][()]} under another's name"
    if frames != stop - first:
        return f"has {frames} frames, not {stop - first}"
    if numbers != list(range(first, stop)):
        return f"has frames {numbers[0]} to {numbers[-1]}, not {first} to {stop - 1}"
    return ""


def _unlike_its_sums(file: Any, first: int) -> str:
    """The frames whose pixels are not those that were written."""
    pixels, wrong, why = file["entry/data/data"], [], ""
    for row, expected in enumerate(file["entry/nbnumba/frames/crc32"][()].tolist()):
        try:
            if zlib.crc32(pixels[row]) != expected:
                wrong.append(first + row)
        except OSError as error:
            wrong.append(first + row)
            why = f" ({error})"
    if not wrong:
        return ""
    named = ", ".join(map(str, wrong[:10])) + (f" and {len(wrong) - 10} more" if len(wrong) > 10 else "")
    return f"frame{'s' if len(wrong) > 1 else ''} {named}: not the pixels that were written{why}"


def main() -> None:
    """Answer until nobody asks."""
    hdf5plugin.register("bshuf", force=True)
    for line in sys.stdin:
        print(json.dumps(what_is_wrong(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
