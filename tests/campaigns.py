"""Small campaigns for tests, and what is in their folders."""

from __future__ import annotations

from pathlib import Path

from nbnumba.campaign.campaign import Campaign
from nbnumba.campaign.folder import claim
from nbnumba.render.backends import How

HOW = How("cpu", threads=1)
STILLS = """
format = "nbnumba-campaign-1"
name = "stills"
seed = 20
frames = {frames}
hits = {{ choice = [0, 1, 2], weights = [0.2, 0.6, 0.2] }}
[vary]
"crystal.misset_deg" = {{ uniform = "rotations" }}
"beam.flux_per_s" = {{ lognormal = [1e12, 2.0] }}
[output]
frames_per_file = {per}
[experiment.beam]
wavelength_angstrom = 1.3
flux_per_s = 1e12
size_mm = 0.01
[experiment.detector]
distance_mm = 100.0
pixel_mm = 0.5
fast_pixels = {pixels}
slow_pixels = {pixels}
[experiment.crystal]
cell = [79.1, 79.1, 37.9, 90, 90, 90]
cells = [{cells}, {cells}, {cells}]
mosaic_spread_deg = 0.1
mosaic_domains = {domains}
[experiment.structure_factors]
default_f = 100.0
[experiment.sampling]
oversample = 1
"""


def stills(
    folder: Path, frames: int = 12, per: int = 2, pixels: int = 64, domains: int = 1, cells: int = 5, more: str = ""
) -> Path:
    """The file of a campaign, whose folder will lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    job = folder / "job.toml"
    job.write_text(STILLS.format(frames=frames, per=per, pixels=pixels, domains=domains, cells=cells) + more)
    return job


def claimed(job: Path) -> Campaign:
    """A campaign whose folder is there."""
    campaign = Campaign(job)
    claim(campaign, HOW)
    return campaign


def files_of(campaign: Campaign) -> dict[str, bytes]:
    """Content of every file, temporary ones included, but for logs and what is no chunk."""
    folder = campaign.folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("[0-9]*/*"))}
