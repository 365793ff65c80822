"""Whether a run fits into memory, asked before anything large is made."""

import math
import os

from ..errors import ResourceError

BYTES_PER_PIXEL = 6
"""Of the float image and the counts that are made of it; a picture (-png) takes as much again for a moment."""
BYTES_PER_PHOTONS = 4
BYTES_PER_SUM = 8
"""Of a pixel to which lattices add theirs."""
BYTES_PER_ORIENTATION = 72
BYTES_PER_FACTOR = 8
BYTES_PER_INTERPOLATED = 32
"""Of a structure factor that stands beside the next three along k."""
MOST_FACTORS = 1 << 32
"""In all channels together: kernels count them in 32 bits."""


def check_memory(
    image: tuple[int, int],
    masked: bool,
    table: tuple[int, int, int, int],
    orientations: int,
    lattices: int = 1,
    interpolated: bool = False,
) -> None:
    """Raise a ResourceError, before the image is allocated, for what memory cannot hold.

    Parameters
    ----------
    image : tuple of 2 ints
        Its shape (slow, fast), and that of the mask if it is ``masked``.
    table : tuple of 4 ints
        Shape of the table of structure factors, channels first, of which kernels take a padded copy.
    orientations : int
        Spindle angles times mosaic domains.
    lattices : int
        Each of which has a float image of its own, added up at the end.
    interpolated : bool
        F between reflections is taken.
    """
    needs = {
        f"an image of {image[1]} x {image[0]} pixels": math.prod(image)
        * (BYTES_PER_PIXEL + masked + (lattices > 1) * (lattices * BYTES_PER_PHOTONS + BYTES_PER_SUM)),
        f"{orientations} orientations of the crystal": orientations * BYTES_PER_ORIENTATION,
        "the table of structure factors": table[0]
        * math.prod(n + 2 for n in table[1:])
        * (BYTES_PER_INTERPOLATED if interpolated else BYTES_PER_FACTOR),
    }
    needed, available, most = sum(needs.values()), available_memory(), max(needs, key=lambda what: needs[what])
    if available is not None and needed > available:
        raise ResourceError(
            f"the run needs {needed / 2**30:.3g} GiB of memory, {needs[most] / 2**30:.3g} GiB of it for {most}, and "
            f"{available / 2**30:.3g} GiB are available: "
            "give fewer pixels (-detpixels), φ steps, -mosaic_domains or outlying reflections"
        )


def check_channels(channels: int, table: tuple[int, int, int]) -> None:
    """Raise a ResourceError, before they are made, for structure factors at more wavelengths than can be held.

    Parameters
    ----------
    channels : int
        Wavelengths.
    table : tuple of 3 ints
        Shape of the table at one of them: each is held once as it is, once padded by a kernel.
    """
    numbers = channels * math.prod(n + 2 for n in table)
    needed, available = 2 * numbers * BYTES_PER_FACTOR, available_memory()
    if available is not None and needed > available:
        reason = f"{needed / 2**30:.3g} GiB of memory, and {available / 2**30:.3g} GiB are available"
    elif numbers >= MOST_FACTORS:
        reason = f"tables of {numbers:.3g} values, more than the limit of {MOST_FACTORS:.3g}"
    else:
        return
    raise ResourceError(
        f"structure factors at {channels} wavelengths, {' x '.join(map(str, table))} at each, need {reason}: "
        "give fewer wavelengths (-spectrum_bins, -dispsteps), a lower resolution (-dmin), or -noanomalous"
    )


def available_memory() -> int | None:
    """Bytes that a new array can take without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", "rb") as lines:
            for line in lines:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None
