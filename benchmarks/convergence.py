"""How far off a refinement may start: ``python -m benchmarks.convergence``, the table of docs/refinement.md.

Stills of 128² pixels to 4.5 Å, of a triclinic crystal with random F, on a flat background, with the noise of counting.
A start is back where it ends as a refinement that starts from the truth: no pixel's Miller index, times the cells
along its axis, is other than there by more than ``BACK``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from nbnumba import Experiment, NbnumbaWarning, StructureFactors, changed, hkl_map, refine, simulate
from nbnumba.refinement.refine import STAGES

PIXELS, BACKGROUND, PHOTONS = 128, 2.0, 1e5
"""Photons: of the background a pixel, of all spots together."""
CELL = (40.0, 45.0, 50.0, 85.0, 95.0, 100.0)
MOST_INDEX = 15
DIM = 0.78
"""Scale at which a start has its spots."""
BACK = 0.05


@dataclass(frozen=True)
class Row:
    """A kind of crystal, and by how much a start is off."""

    shape: str
    cells: int
    misset_deg: float = 0.0
    cell: float = 0.0
    """Of each edge; each angle by 20° times as much."""
    distance: float = 0.0

    @property
    def told(self) -> str:
        """For people."""
        parts = [f"misset {self.misset_deg:g}°"] if self.misset_deg else []
        parts += [f"cell {100 * self.cell:g} %"] if self.cell else []
        parts += [f"distance {100 * self.distance:g} %"] if self.distance else []
        return ", ".join(parts)

    @property
    def free(self) -> list[str]:
        """Names: the orientation always, as nobody knows it better than the cell."""
        names = ["crystal.misset_deg", "scale"]
        names += ["crystal.cell"] if self.cell else []
        return names + (["detector.distance_mm"] if self.distance else [])


ROWS = (
    Row("square", 10, misset_deg=0.5),
    Row("square", 40, misset_deg=0.1),
    Row("square", 40, misset_deg=0.2),
    Row("square", 40, misset_deg=0.5),
    Row("square", 40, misset_deg=1.0),
    Row("square", 40, cell=0.005),
    Row("square", 40, cell=0.01),
    Row("square", 40, misset_deg=0.2, cell=0.005, distance=0.002),
    Row("gauss", 40, misset_deg=0.5),
    Row("gauss", 40, misset_deg=1.0),
    Row("gauss", 40, cell=0.005),
    Row("gauss", 40, cell=0.01),
)


def crystal(row: Row, rng: np.random.Generator) -> Experiment:
    """One whose spots have so many photons together."""
    sides = range(-MOST_INDEX, MOST_INDEX + 1)
    hkl = np.array(list(product(sides, repeat=3)))
    factors = StructureFactors.from_arrays(hkl, np.exp(rng.normal(4.5, 0.7, len(hkl))))
    words = f"-distance 100 -detpixels {PIXELS} -pixel 0.25 -polar 0 -lambda 1 -oversample 2 -nointerpolate"
    experiment = changed(
        Experiment.from_args(f"{words} -{row.shape}_xtal -gauss_width edges -N {row.cells}".split()),
        crystal={"cell": CELL, "misset_deg": tuple(rng.uniform(0.0, 90.0, 3).tolist())},
        structure_factors=factors,
    )
    fluence = experiment.beam.fluence_per_m2 * PHOTONS / float(simulate(experiment).photons.sum())
    return changed(experiment, beam={"fluence_per_m2": fluence})


def start_of(row: Row, truth: Experiment, rng: np.random.Generator) -> Experiment:
    """The truth, spoilt."""
    turn = rng.normal(size=3)
    misset = np.array(truth.crystal.misset_deg) + row.misset_deg * turn / np.linalg.norm(turn)
    signs = rng.choice([-1.0, 1.0], 7)
    cell = np.array(CELL)
    cell[:3] *= 1.0 + row.cell * signs[:3]
    cell[3:] += 20.0 * row.cell * signs[3:6]
    return changed(
        truth,
        crystal={"misset_deg": tuple(misset.tolist()), "cell": tuple(cell.tolist()), "spot_scale": DIM},
        detector={"distance_mm": truth.detector.distance_mm * (1.0 + row.distance * signs[6])},
    )


def fringes(one: Experiment, other: Experiment, cells: int) -> float:
    """N·Δh: the largest difference of a pixel's Miller index, times cells."""
    return float(cells * np.abs(hkl_map(one) - hkl_map(other)).max())


def tried(row: Row, seed: int, threads: int | None) -> tuple[float, dict[str, tuple[bool, float]]]:
    """Fringes by which a start is off; of each way of stages, whether it led back, and seconds."""
    rng = np.random.default_rng(seed)
    truth = crystal(row, rng)
    start = start_of(row, truth, rng)
    measured = rng.poisson(simulate(truth).photons + BACKGROUND).astype(float)

    def refined(first: Experiment, stages: Literal["auto", "plain"]) -> Experiment:
        return refine(first, measured, row.free, background="flat", stages=stages, threads=threads).experiment

    best, led = refined(truth, "plain"), {}
    for stages in STAGES:
        began = time.perf_counter()
        found = refined(start, stages)
        led[stages] = fringes(found, best, row.cells) < BACK, time.perf_counter() - began
    return fringes(start, truth, row.cells), led


def main() -> None:
    """Print a line of the table for each row, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-seeds", type=int, default=5, help="starts of each row (5)")
    parser.add_argument("-rows", type=int, default=len(ROWS), help="only the first so many")
    parser.add_argument("-threads", type=int, help="CPU threads (all)")
    args = parser.parse_args()
    warnings.simplefilter("ignore", NbnumbaWarning)
    print("| crystal | start off by | N·Δh | plain | auto | seconds of auto |\n|---|---|---|---|---|---|")
    for row in ROWS[: args.rows]:
        tries = [tried(row, seed, args.threads) for seed in range(args.seeds)]
        off = float(np.mean([before for before, _ in tries]))
        back = {stages: sum(led[stages][0] for _, led in tries) for stages in STAGES}
        seconds = float(np.mean([led["auto"][1] for _, led in tries]))
        told = " | ".join(f"{back[stages]} of {args.seeds}" for stages in ("plain", "auto"))
        print(f"| {row.shape}, N {row.cells} | {row.told} | {off:.1f} | {told} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
