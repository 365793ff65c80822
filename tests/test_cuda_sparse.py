"""What a card leaves out, in Numba's simulator: within the tolerance of its exact kernel, tile by tile, or not at all.

The simulator must be chosen before Numba is imported, so this file, run as a program, is its own worker.
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from nbnumba.experiment import Experiment
from nbnumba.kernels.plan import Plan
from nbnumba.render.cuda import left_out
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

BASE = (
    "-cell 70 80 90 80 95 105 -default_F 100 -lambda 1 -distance 200 -detpixels 512 -pixel 0.1 -N 20 -phi 10 "
    "-misset 10 20 30 -mosaic_spread 0.3 -Xbeam -30 -Ybeam -10 -oversample 1 -mode spec"
)
"""An oblique cell, and a detector beside the beam; near fast pixel 26, slow pixel 46 is a bright spot."""
FEW, MANY = "-mosaic_domains 10 -osc 5 -phisteps 4", "-mosaic_domains 35 -osc 5 -phisteps 4"
"""Orientations: 40, and 140, which are more than are staged at a time."""
WINDOW = (24, 39, 44, 51)
"""Pixels of a block of threads: four tiles."""
PEAK = 7092.0
FLOAT32 = 2.0**-23


class Job(NamedTuple):
    """An image for the simulator to render, with its tolerance and with 0."""

    args: str
    tolerance: float
    """Photons."""
    roi: tuple[int, int, int, int] = WINDOW
    precision: str = "double"
    singles_per_double: int = 2
    rows_of_part: int = 0
    wrong: str = ""
    """What is to be made too small."""


class Images(NamedTuple):
    """What became of a job: whole detectors, and what is told."""

    found: np.ndarray
    exact: np.ndarray
    share: float
    spent: float


def plan_of(job: Job) -> Plan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment = Experiment.from_args([*job.args.split(), "-roi", *map(str, job.roi)])
        return resolve(experiment, read_inputs(experiment)).plan


def simulated(jobs: list[Job], folder: Path) -> list[Images]:
    out = folder / "images.npz"
    subprocess.run(
        [sys.executable, "-m", "tests.test_cuda_sparse", str(out)],
        input=json.dumps(jobs), env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, cwd=Path(__file__).parent.parent,
        text=True, check=True,
    )  # fmt: skip
    with np.load(out) as images:
        return [
            Images(images[f"found{n}"], images[f"exact{n}"], *images[f"told{n}"].tolist()) for n in range(len(jobs))
        ]


def work(out: str) -> None:
    from unittest.mock import patch

    from nbnumba.kernels.cuda import provider, sparse
    from nbnumba.kernels.cuda import tables as cuda_tables
    from nbnumba.render.canvas import Canvas
    from nbnumba.render.cuda import images

    # Whether it pays is not the question.
    left_out.PS_A_STEP, left_out.MOST_KEPT = 1e12, 2.0
    tried = left_out.why_not_tried
    half_extent, chosen, results = sparse.half_extent, cuda_tables.rows_per_part, {}
    wrongs: dict[str, Any] = {
        "": half_extent,
        "half extents": lambda *extent: np.float32(0.5) * half_extent(*extent),
    }
    for n, job in enumerate(Job(*job) for job in json.load(sys.stdin)):
        plan, told = plan_of(job), None
        provider.singles_per_double = lambda ratio=job.singles_per_double: ratio
        cuda_tables.rows_per_part = (lambda *image, rows=job.rows_of_part: rows) if job.rows_of_part else chosen
        for name, tolerance in (("exact", 0.0), ("found", job.tolerance)):
            canvas = Canvas(plan)
            with (
                patch.object(sparse, "half_extent", wrongs[job.wrong]),
                patch.object(left_out, "why_not_tried", (lambda plan: "") if name == "exact" else tried),
            ):
                told = images.render_cuda(plan._replace(tolerance=tolerance), canvas, job.precision).left_out
            results[f"{name}{n}"] = canvas.photons
        results[f"told{n}"] = np.array([told.share, told.spent_photons] if told else [np.nan, 0.0])
    np.savez(out, **results)


CASES = {
    "square": Job(f"{BASE} {FEW}", 1e-5 * PEAK),
    "square, mixed": Job(f"{BASE} {FEW}", 1e-4 * PEAK, precision="mixed"),
    "square, pairs": Job(f"{BASE} {FEW}", 1e-4 * PEAK, precision="mixed", singles_per_double=64),
    "square, more than are staged": Job(f"{BASE} {MANY}", 1e-3 * PEAK),
    "square, parts": Job(f"{BASE} {MANY}", 1e-3 * PEAK, rows_of_part=48),
    "round": Job(f"{BASE} {FEW} -round_xtal", 1e-3 * PEAK),
    "gauss": Job(f"{BASE} {FEW} -gauss_xtal -fudge 0.04", 1e-3 * PEAK),
    "gauss, mixed": Job(f"{BASE} {FEW} -gauss_xtal -fudge 0.04", 1e-3 * PEAK, precision="mixed"),
    "sources": Job(f"{BASE} {FEW} -dispersion 2 -dispsteps 2 -hdivrange 0.5 -hdivsteps 2", 1e-3 * PEAK),
    "oversampled": Job(f"{BASE} {FEW} -oversample 2 -oversample_omega -oversample_polar", 1e-3 * PEAK),
    "layers": Job(f"{BASE} {FEW} -detector_thick 500 -thicksteps 3 -detector_abs 400", 1e-3 * PEAK),
    "curved": Job(f"{BASE} {FEW} -curved_det", 1e-3 * PEAK),
    "dmin": Job(f"{BASE} {FEW} -dmin 4.6", 1e-3 * PEAK),
    "unpolarized, with water": Job(f"{BASE} {FEW} -nopolar -water 0.01", 1e-3 * PEAK),
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Images]:
    found = simulated(list(CASES.values()), tmp_path_factory.mktemp("simulator"))
    return dict(zip(CASES, found, strict=True))


def excess(job: Job, images: Images) -> float:
    """Largest difference in units of what is tolerated, the rounding of float32 set aside."""
    difference = np.abs(images.found.astype(float) - images.exact) - FLOAT32 * np.abs(images.exact)
    return float(difference.max()) / job.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_pixels_are_within_the_tolerance(images: dict[str, Images], name: str) -> None:
    job, of_case = CASES[name], images[name]
    assert of_case.exact.any()
    assert excess(job, of_case) <= 1.0
    # And not for nothing.
    assert of_case.share < 0.9
    assert of_case.spent <= job.tolerance


def test_zeros_of_top_hats_are_left_out_and_change_no_bit(tmp_path: Path) -> None:
    args = f"{BASE} {FEW} -tophat_spots -fudge 0.01"
    for of_case, share in zip(simulated([Job(args, 0.0), Job(args, 1e-9)], tmp_path), (None, 0.3), strict=True):
        assert of_case.exact.any()
        assert of_case.found.tobytes() == of_case.exact.tobytes()
        # Of tolerance 0 nothing is told.
        assert np.isnan(of_case.share) if share is None else 0.0 < of_case.share < share


def test_a_pixel_has_the_same_bits_in_any_region(tmp_path: Path) -> None:
    """Rows in one part: into how many they are cut, the region decides, as in the exact kernel."""
    args = f"{BASE} {FEW}"
    regions = [WINDOW, (27, 37, 45, 50), (26, 26, 46, 46)]
    whole, *parts = simulated([Job(args, 1e-4 * PEAK, roi) for roi in regions], tmp_path)
    assert whole.found.tobytes() != whole.exact.tobytes()
    for (fast0, fast1, slow0, slow1), part in zip(regions[1:], parts, strict=True):
        there = slice(slow0, slow1 + 1), slice(fast0, fast1 + 1)
        assert part.found[there].any()
        assert part.found[there].tobytes() == whole.found[there].tobytes()
        part.found[there] = 0.0
        assert not part.found.any()


def test_extents_that_are_too_small_would_show(tmp_path: Path) -> None:
    tight = CASES["round"]
    right, halved = simulated([tight, tight._replace(wrong="half extents")], tmp_path)
    assert excess(tight, right) <= 1.0 < excess(tight, halved)


def main() -> None:
    work(sys.argv[1])


if __name__ == "__main__":
    main()
