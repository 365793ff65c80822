"""``python -m benchmarks.campaigns``: what a frame of a campaign takes, and how many a processor makes in a second.

Processor time of one thread, beside the same frames simulated and saved one by one.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path

from nbnumba import simulate
from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.work import do_chunk
from nbnumba.comparison.programs import OWN
from nbnumba.errors import NbnumbaWarning
from nbnumba.formats.hkl import write_hkl
from nbnumba.render.backends import How
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates
from nbnumba.structure_factors.keeping import TICK_NS

from .cases import LYSOZYME_CELL_ANGSTROM, LYSOZYME_DMIN_ANGSTROM
from .measure import Figure, in_turn, seconds_per_call, used_by

FRAMES = 20
"""Of a file."""
SIDE = 1024
MEANS = (0.6, 160.0)
"""Photons in a pixel, on average over an image."""
CPU = How("cpu", "double", 1)
STILLS = """
format = "nbnumba-campaign-1"
name = "stills"
seed = 1
frames = {frames}
[experiment.beam]
wavelength_angstrom = 1.3
fluence_per_m2 = {fluence}
[experiment.detector]
distance_mm = 110.0
pixel_mm = {pixel_mm}
fast_pixels = {side}
slow_pixels = {side}
[experiment.crystal]
cell = [{cell}, 90, 90, 90]
cells = [20, 20, 40]
mosaic_domains = 1
[experiment.structure_factors]
{factors}
[experiment.background]
water_um = 5.0
[experiment.sampling]
oversample = 1
dmin_angstrom = {dmin}
[vary]
"crystal.misset_deg" = {{ uniform = "rotations" }}
[output]
frames_per_file = {frames}
"""


def measure_campaigns(folder: Path, rounds: int) -> list[Figure]:
    """Milliseconds of a frame by parts, frames in a second of a processor, and what a worker is."""
    folder.mkdir(exist_ok=True)
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        shutil.copyfile(coordinates, folder / "model.pdb")
    hkl, f, _ = structure_factors_from_coordinates(folder / "model.pdb", LYSOZYME_DMIN_ANGSTROM, True, 0.35, 46.0)
    write_hkl(folder / "list.hkl", hkl, f)
    # What has changed just now may change again, and nothing of it is kept.
    time.sleep(2e-9 * TICK_NS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        probe = _campaign(folder, "probe")
        mean = statistics.fmean(
            float(probe.render(number, "cpu", threads=1).photons.mean()) for number in range(FRAMES)[:4]
        )
        return [
            *_parts(probe, rounds),
            *_sources(folder, rounds),
            *(figure for wanted in MEANS for figure in _chain(folder, wanted, 1e24 * wanted / mean, rounds)),
            *_worker(folder, rounds),
        ]


def _campaign(
    folder: Path, name: str, fluence: float = 1e24, factors: str = 'hkl_file = "list.hkl"',
    side: int | None = None, frames: int | None = None,
) -> Campaign:  # fmt: skip
    path, side = folder / f"{name}.toml", side or SIDE
    text = STILLS.format(
        frames=frames or FRAMES, fluence=fluence, side=side, pixel_mm=102.4 / side, factors=factors,
        dmin=LYSOZYME_DMIN_ANGSTROM, cell=", ".join(map(str, LYSOZYME_CELL_ANGSTROM)),
    )  # fmt: skip
    path.write_text(text.replace('"stills"', f'"{name}"'))
    return Campaign(path)


def _parts(campaign: Campaign, rounds: int) -> list[Figure]:
    """What comes before the work of a frame."""
    numbers = itertools.cycle(range(FRAMES))

    def set_up() -> None:
        experiment = campaign.frame(next(numbers))
        resolve(experiment, read_inputs(experiment))

    set_up()
    work: dict[str, Callable[[], object]] = {"derive": lambda: campaign.frame(next(numbers)), "set up": set_up}
    median = _median({name: partial(seconds_per_call, one, time.process_time) for name, one in work.items()}, rounds)
    return [
        Figure("a frame of a campaign, derived", 1e3 * median["derive"], "ms"),
        Figure("a frame of a campaign, derived and set up", 1e3 * median["set up"], "ms"),
    ]


def _sources(folder: Path, rounds: int) -> list[Figure]:
    """Further frames by where their F are from."""
    made = {
        "list": _campaign(folder, "of_list"),
        "model": _campaign(folder, "of_model", factors='coordinate_file = "model.pdb"'),
    }

    def further(campaign: Campaign) -> float:
        began = time.process_time()
        for number in range(1, FRAMES):
            campaign.render(number, "cpu", threads=1)
        return (time.process_time() - began) / (FRAMES - 1)

    for campaign in made.values():
        campaign.render(0, "cpu", threads=1)
    median = _median({name: partial(further, campaign) for name, campaign in made.items()}, rounds)
    return [Figure("a further frame, F from coordinates over F from a list", median["model"] / median["list"], "")]


def _chain(folder: Path, mean: float, fluence: float, rounds: int) -> list[Figure]:
    """Whole files, beside the same frames simulated and saved alone."""
    campaign = _campaign(folder, f"of_{mean:g}", fluence)
    (chunk,) = campaign.chunks

    def file() -> float:
        shutil.rmtree(campaign.folder, ignore_errors=True)
        began = time.process_time()
        do_chunk(campaign, 0, CPU)
        return time.process_time() - began

    def alone() -> float:
        began = time.process_time()
        for number in range(FRAMES):
            simulate(campaign.frame(number), "cpu", threads=1).save(folder / "alone.h5", "counted")
        return time.process_time() - began

    median = _median({"file": file, "alone": alone}, rounds)
    size = chunk.path.stat().st_size / FRAMES
    name = f"frames of {SIDE}², {mean:g} photons a pixel"
    return [
        Figure(f"{name}, a processor-second", FRAMES / median["file"], "1/s"),
        Figure(f"{name}, saved alone over in files", median["alone"] / median["file"], ""),
        Figure(f"{name}, size", size / 1e6, "MB"),
    ]


def _worker(folder: Path, rounds: int) -> list[Figure]:
    """A process that reads F and makes one small file: all but its start takes milliseconds."""
    campaign = _campaign(folder, "worker", side=64, frames=1)
    words = [*OWN, "campaign", "run", os.fspath(campaign.job.path), "-backend", "cpu", "-threads", "1"]

    def worker() -> tuple[float, int]:
        shutil.rmtree(campaign.folder, ignore_errors=True)
        return used_by(words, folder)

    worker()
    seconds, memory = zip(*(worker() for _ in range(rounds)), strict=True)
    return [
        Figure("a worker of a campaign, from start to end of a small file", statistics.median(seconds), "s"),
        Figure("a worker of a campaign, its memory", statistics.median(memory) / 2**20, "MiB"),
    ]


def _median(work: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    return {name: statistics.median(seconds) for name, seconds in in_turn(work, rounds).items()}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        for figure in measure_campaigns(Path(name), 5):
            print(f"{figure.name:65s}{figure.value:8.3g} {figure.unit}")


if __name__ == "__main__":
    main()
