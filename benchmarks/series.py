"""``python -m benchmarks.series``: 20 random stills by where their F are from, the provider empty at first.

Each round reads files that it has not met before, so that nothing is kept of the round before it.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

from nbnumba import Experiment, changed, simulate_many
from nbnumba.errors import NbnumbaWarning
from nbnumba.formats.hkl import write_hkl
from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates
from nbnumba.structure_factors.keeping import TICK_NS

from .cases import LYSOZYME_CELL_ANGSTROM, LYSOZYME_DMIN_ANGSTROM
from .measure import Figure, in_turn

STILLS = 20
SIZES = (256, 1024, 2500)
OPTIONS = "-lambda 1 -distance 200 -N 20 -oversample 1 -misset random"


def measure_series(folder: Path, rounds: int, sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Seconds of a series whose F are from coordinates, over those of one from a list of h k l F."""
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        model = Path(shutil.copyfile(coordinates, folder / "series.pdb"))
    hkl, f, _ = structure_factors_from_coordinates(model, LYSOZYME_DMIN_ANGSTROM, True, 0.35, 46.0)
    listed = folder / "series.hkl"
    write_hkl(listed, hkl, f)
    number = itertools.count()

    def series(option: str, source: Path, size: int) -> float:
        fresh = shutil.copyfile(source, folder / f"{next(number)}{source.suffix}")
        # What has changed just now may change again, and nothing of it is kept.
        time.sleep(2e-9 * TICK_NS)
        cell = " ".join(map(str, (*LYSOZYME_CELL_ANGSTROM, 90, 90, 90)))
        line = f"{option} {fresh} -cell {cell} {OPTIONS} -detpixels {size} -pixel {102.4 / size} "
        still = Experiment.from_args([*line.split(), "-dmin", str(LYSOZYME_DMIN_ANGSTROM)])
        began = time.perf_counter()
        stills = (changed(still, crystal={"misset_seed": seed}) for seed in range(STILLS))
        for _ in simulate_many(stills, backend="cpu"):
            pass
        return time.perf_counter() - began

    figures = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        for size in sizes:
            work: dict[str, Callable[[], float]] = {
                "list": partial(series, "-hkl", listed, size), "model": partial(series, "-pdb", model, size),
            }  # fmt: skip
            in_turn(work, 1)
            median = {name: statistics.median(seconds) for name, seconds in in_turn(work, rounds).items()}
            name = f"{STILLS} random stills of {size}², F from"
            figures += [
                Figure(f"{name} a list", median["list"], "s"),
                Figure(f"{name} coordinates", median["model"], "s"),
                Figure(f"{name} coordinates, over a list", median["model"] / median["list"], ""),
            ]
    return figures


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        for figure in measure_series(Path(name), 5):
            print(f"{figure.name:55s}{figure.value:8.3g} {figure.unit}")


if __name__ == "__main__":
    main()
