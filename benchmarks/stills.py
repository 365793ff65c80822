"""Stills of a campaign: images a second that a card renders and counts, and those that lie in a file at the end.

Crystals lie at random, water scatters so that a pixel has a photon or two, and the pixels are of uint16. Nothing is
counted in the first file, in which kernels are compiled and memory is taken.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbnumba import Campaign, Experiment
from nbnumba.campaign.rendering import rendered_frames
from nbnumba.campaign.work import do_chunk
from nbnumba.render.backends import How

from .__main__ import shown, table

STILL = (
    "-cell 79.1 79.1 37.9 90 90 90 -default_F 100 -lambda 1 -distance 200 -N 20 -oversample 1 -water 20 "
    "-beamsize 0.1 -flux 1e12 -mosaic 0.3"
)
JOB = """
format = "nbnumba-campaign-1"
name = "stills"
seed = 1
frames = {frames}
experiment = "base.toml"
[vary]
"crystal.misset_deg" = {{ uniform = "rotations" }}
[output]
folder = "files"
frames_per_file = {a_file}
type = "uint16"
"""


@dataclass(frozen=True)
class Stills:
    """Frames of one size."""

    edge: int
    """Pixels along fast and slow."""
    wavelengths: int
    domains: int
    frames: int
    """That are measured."""

    @property
    def told(self) -> str:
        return f"{self.edge}², {self.wavelengths} wavelengths x {self.domains} domains"

    @property
    def options(self) -> list[str]:
        beam = f"-dispersion 1 -dispsteps {self.wavelengths}" if self.wavelengths > 1 else ""
        size = f"-detpixels {self.edge} -pixel {204.8 / self.edge:.6g}"
        return f"{STILL} {size} {beam} -mosaic_domains {self.domains}".split()


CASES = (Stills(1024, 1, 1, 256), Stills(1024, 20, 25, 128), Stills(3072, 100, 25, 16))
"""The last one is a second and a half of the card's."""


def campaign_of(stills: Stills, folder: Path) -> Campaign:
    """One with a file to begin with and one to measure."""
    folder.mkdir()
    (folder / "base.toml").write_text(Experiment.from_args(stills.options).to_toml())
    (folder / "job.toml").write_text(JOB.format(frames=2 * stills.frames, a_file=stills.frames))
    return Campaign(folder / "job.toml")


def per_second(stills: Stills, folder: Path, how: How) -> Mapping[str, float]:
    """Images a second, counted and left at that, and written."""
    campaign = campaign_of(stills, folder)
    do_chunk(campaign, 0, how)
    began = time.perf_counter()
    for _ in rendered_frames(campaign, range(stills.frames, 2 * stills.frames), how):
        pass
    counted_s = time.perf_counter() - began
    began = time.perf_counter()
    do_chunk(campaign, 1, how)
    return {"counted": stills.frames / counted_s, "written": stills.frames / (time.perf_counter() - began)}


def measured(cases: Sequence[Stills], how: How) -> dict[str, Mapping[str, float]]:
    """Images a second by case."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        return {each.told: per_second(each, Path(name, str(number)), how) for number, each in enumerate(cases)}


def rows_of(figures: Mapping[str, Mapping[str, float]], title: str) -> Iterator[str]:
    """Images a second as a table."""
    rows = [(case, shown(found["counted"]), shown(found["written"])) for case, found in figures.items()]
    return table(title, ("stills", "counted, images/s", "written, images/s"), rows)
