"""Campaigns for tests: small ones, and one in which every distribution is met."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nbnumba.campaign.campaign import Campaign

STILLS = """
format = "nbnumba-campaign-1"
name = "small"
seed = 7
frames = 5
hits = { cycle = [1, 2, 0] }
[experiment.beam]
wavelength_angstrom = 1.3
fluence_per_m2 = 1e25
[experiment.detector]
distance_mm = 60
pixel_mm = 1.0
fast_pixels = 48
slow_pixels = 40
[experiment.crystal]
cell = [60, 70, 80, 90, 95, 90]
mosaic_domains = 1
shape = "gauss"
gauss_width = "edges"
[experiment.structure_factors]
default_f = 120
[experiment.background]
water_um = 10
[experiment.sampling]
oversample = 1
[vary]
"crystal.misset_deg" = { uniform = "rotations" }
"crystal.cell" = { relative = { normal = [0.0, 0.002] } }
"crystal.cells" = { lognormal = [8, 1.3] }
[output]
frames_per_file = 2
"""
SWEEPS = """
format = "nbnumba-campaign-1"
name = "turns"
seed = 5
[[sweep]]
crystals = 2
frames = 3
start_deg = 10.0
width_deg = 0.4
steps = 2
[[sweep]]
frames = 2
width_deg = 1.0
""" + STILLS[STILLS.index("[experiment.beam]") :]  # fmt: skip
EVERYTHING = """
format = "nbnumba-campaign-1"
name = "everything"
seed = 20261126
frames = 100_000_000
hits = { choice = [0, 1, 2, 3], weights = [0.1, 0.4, 0.3, 0.2] }
spectrum = { file = "spectra.npz", order = "random" }
[experiment.beam]
exposure_s = 0.5
dispersion_percent = 0.2
[experiment.detector]
distance_mm = 60
[experiment.crystal]
cell = [79.1, 79.1, 37.9, 90, 90, 90]
[vary]
"crystal.misset_deg" = { uniform = "rotations" }
"crystal.cell" = { relative = { normal = [0.0, 0.002] } }
"crystal.cells" = { lognormal = [30, 1.4] }
"crystal.mosaic_spread_deg" = { lognormal = [0.05, 1.5] }
"crystal.mosaic_domains" = { choice = [1, 5, 25], weights = [1, 2, 1] }
"crystal.mosaic_seed" = { poisson = 7.5 }
"crystal.size_mm" = [{ uniform = [0.01, 0.02] }, 0.03, { normal = [0.02, 0.001] }]
"beam.flux_per_s" = { lognormal = [1e12, 2.0] }
"beam.size_mm" = { uniform = [0.001, 0.005] }
"beam.dispersion_percent" = { relative = { uniform = [0.5, 2.0] }, per = "campaign" }
"beam.pink_ev" = [{ normal = [9500, 10] }, 50, 1]
"background.water_um" = { normal = [5, 3], within = [0, 6] }
"structure_factors.k_sol" = { normal = [0.35, 0.05], per = "campaign" }
"structure_factors.scale_f" = { file = "table.csv", column = "scale", every = 3 }
"structure_factors.b_sol" = { file = "table.csv", column = "b", order = "random" }
"sampling.oversample" = { cycle = [1, 2, 3], every = 2 }
"detector.distance_mm" = { step = [100.0, 0.5], every = 10_000 }
"detector.rotx_deg" = 0.25
[output]
frames_per_file = 500
"""
ENERGIES_EV = (9480.0, 9490.0, 9500.0, 9510.0, 9520.0)
WEIGHTS = ([0, 1, 2, 1, 0], [1, 0, 0, 0, 2], [1, 1, 1, 1, 1], [0, 0, 3, 0, 0])
"""Of four spectra: with 3, 2, 5 and 1 wavelengths that have photons."""
TABLE = "scale, b\n1.0, 40\n1.5, 50\n0.5, 60\n2.0, 45\n"


def write_campaign(folder: Path, text: str = STILLS, *changes: tuple[str, str]) -> Path:
    """A campaign's file, with texts replaced, beside the files that it may name."""
    folder.mkdir(parents=True, exist_ok=True)
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "table.csv").write_text(TABLE)
    if not (folder / "spectra.npz").exists():
        np.savez(folder / "spectra.npz", energy_ev=ENERGIES_EV, weight=np.array(WEIGHTS, float))
    path = folder / "job.toml"
    path.write_text(text)
    return path


def campaign(folder: Path, text: str = STILLS, *changes: tuple[str, str]) -> Campaign:
    """The campaign of a text with others in it replaced."""
    return Campaign(write_campaign(folder, text, *changes))
