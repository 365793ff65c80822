"""What the host does around the kernels of a series of images: ``python -m benchmarks.host``.

Images of 128² and 1024² pass through ``simulate_many`` over a driver without a card, whose kernels take no time, nor
the way of an image to page-locked memory. What is left is the host's: it bounds how many small images a second any card
can give. Stills of a campaign, which a card would count, also go into a file; their pixels are 0, which pack faster
than others. Needs a C compiler and numba-cuda.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path

from nbnumba import Experiment, simulate_many
from nbnumba.errors import NbnumbaWarning
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

from . import no_card, stills
from .__main__ import shown, table
from .in_a_row import seconds_each, turning, whole_launches

STILL = "-cell 70 80 90 75 85 95 -default_F 100 -lambda 1 -distance 200 -N 10 -detpixels"
PIXELS = (128, 1024)
HOST_STILLS = stills.Stills(1024, 1, 1, 256)


def least_ms(make: Callable[[], Iterable[object]], images: int, rounds: int) -> float:
    """Milliseconds for one of ``images`` things that are made in turn; of the fastest round."""
    return 1e3 * min(seconds_each(make(), images) for _ in range(rounds))


def figures(pixels: int, images: int, rounds: int) -> dict[str, float]:
    """Milliseconds an image: all, what setting it up takes of these, and the rest."""
    still = Experiment.from_args([*STILL.split(), str(pixels)])
    parts: dict[str, Callable[[], Iterable[object]]] = {
        "all": lambda: simulate_many(turning(still), "cuda", "mixed"),
        "changed": lambda: turning(still),
        "read and resolved": lambda: (resolve(each, read_inputs(each), seed=1) for each in repeat(still)),
    }
    ms = {name: least_ms(make, images, rounds) for name, make in parts.items()}
    return ms | {"rest": ms["all"] - ms["changed"] - ms["read and resolved"]}


def show(images: int, rounds: int) -> None:
    """Measure and print; in a process over the driver."""
    reason = cards.why_unusable()
    if reason is not None:
        sys.exit(f"nothing to measure: {reason}")
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        for pixels in PIXELS:
            ms = figures(pixels, images, rounds)
            rows.append((f"{pixels}²", f"{1e3 / ms['all']:.0f}", *map(shown, ms.values())))
    head = ("pixels", "images/s", *(f"{part}, ms" for part in ms))
    print("\n".join(table("The host alone, mixed precision", head, rows)))
    print(
        "\n".join(
            stills.rows_of(stills.measured([HOST_STILLS], How("cuda", "mixed")), "Stills of a campaign, the host alone")
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Build the driver and measure over it."""
    parser = argparse.ArgumentParser("python -m benchmarks.host", description=__doc__)
    parser.add_argument(
        "-rounds", type=int, default=5, metavar="n", help="rounds, of which the best counts (default: 5)"
    )
    parser.add_argument("-images", type=int, default=100, metavar="n", help="images of a round (default: 100)")
    options = parser.parse_args(argv)
    if no_card.compiler() is None:
        sys.exit("nothing to measure over: no C compiler, cc or gcc, builds the driver")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        no_card.build(Path(folder))
        work = f"from benchmarks import host; host.show({whole_launches(options.images)}, {options.rounds})"
        return subprocess.run(
            [sys.executable, "-c", work], env=no_card.environment(Path(folder), copy=0, fill=0), check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
