"""Images with a tolerance: no pixel is off by more, with the same bits however they are rendered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_golden
from hypothesis import given
from hypothesis import strategies as st
from leaving_out import (
    BRIGHTEST,
    ROUNDING,
    brightened,
    close_ups,
    exact_image,
    image_by_lists,
    image_by_tests,
    left,
    random_images,
)
from test_recipes import copy_of_the_tree, edit

from nbnumba import Experiment, simulate
from nbnumba.experiment import changed
from nbnumba.kernels.choices import SQUARE, Shape
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.equations import bounds
from nbnumba.kernels.plan import Plan
from nbnumba.kernels.sparse.probe import share_kept
from nbnumba.kernels.sparse.scores import bounds_of
from nbnumba.nanobragg.parse import parse
from nbnumba.render.left_out import why_ignored
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

SCAN = (
    "-cell 79 79 38 80 95 100 -misset 12 34 56 -default_F 100 -lambda 1 -distance 200 -pixel 0.05 -detpixels 128 -N 40 "
    "-oversample 1 -nointerpolate -mosaic 0.3 -mosaic_domains 4 -phi 1 -osc 1 -phisteps 4 -dispersion 1 -dispsteps 2"
)
LONG = "-mosaic_domains 100"
"""So long does an image have to take for its tolerance to be looked at."""
SMALL_TABLE = 23
NARROW = (40 * 61.9 / 40**3) ** 2
"""Of spots as wide as those of a cube: edge of the crystal over its cells, squared."""


def experiment_of(line: str) -> Experiment:
    return parse(line.split()).experiment


def plan_of(line: str, tolerance: float) -> Plan:
    """Of an experiment whose brightest pixel is brightened, with F that differ."""
    experiment = experiment_of(line)
    plan = resolve(experiment, read_inputs(experiment)).plan
    table = np.random.default_rng(1).exponential(100.0, (1, SMALL_TABLE, SMALL_TABLE, SMALL_TABLE))
    first = (-(SMALL_TABLE // 2),) * 3
    plan = plan._replace(factors=plan.factors._replace(table=table, first=first, default=0.0))
    bright = brightened(plan, tolerance)
    assert bright is not None
    return bright


# No pixel is off by more ------------------------------------------------------------------------------------------


def assert_within(images: Any, least_left: float) -> None:
    """No image is off by more than its tolerance, and of some of them so much is left out."""
    assert [image.plan for image in images if not image.off <= 1.0] == []
    assert np.mean([image.share < 0.9 for image in images]) > least_left


def test_random_images_are_within_their_tolerance() -> None:
    assert_within(random_images([SQUARE], 60), 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(Shape), ids=lambda shape: shape.name.lower())
def test_a_thousand_random_images_are(shape: Shape) -> None:
    assert_within(random_images([shape], 500, start=2), 0.2)


@pytest.mark.slow
def test_so_are_close_ups() -> None:
    images = close_ups(12)
    assert [image.off for image in images] == [0.0] * 12
    assert max(image.share for image in images) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-6, 1e-3, 1e-1])
@pytest.mark.parametrize(("name", "mode"), test_golden.MODES)
def test_recorded_cases_are(name: str, mode: str, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(test_golden.INPUTS)
    for plan in test_golden.resolved(name, mode).plans:
        bright = None if why_ignored(plan) or not len(plan.crystal.domains) else brightened(plan, tolerance)
        if bright is not None:
            made = image_by_lists(bright) if plan.factors.interpolate == 0 else image_by_tests(bright)
            assert left(bright, made).off <= 1.0


@pytest.mark.parametrize(
    "more",
    [
        "-water 20",
        f"-gauss_xtal -fudge {NARROW}",
        "-detector_thick 400 -detector_abs 300 -detector_thicksteps 3",
        "-dmin 3",
        "-roi 5 90 30 101",
    ],
)
def test_a_simulation_is_within_it(more: str) -> None:
    experiment = experiment_of(f"{SCAN} {LONG} -tolerance 0.1 {more}")
    # Brightened by as much as the tests brighten plans.
    photons = simulate(changed(experiment, sampling={"tolerance_photons": 0.0}), backend="cpu").photons
    factor = BRIGHTEST / photons.max()
    beam = {"fluence_per_m2": (experiment.beam.fluence_per_m2 or 1e24) * factor}
    bright = changed(experiment, beam=beam)
    image = simulate(bright, backend="cpu")
    should = simulate(changed(bright, sampling={"tolerance_photons": 0.0}), backend="cpu").photons.astype(float)
    assert image.left_out is not None
    assert image.left_out.why == ""
    assert image.left_out.share < 0.5
    assert 0.0 < image.left_out.spent_photons <= 0.1
    # Both are rounded to float32.
    assert (np.abs(image.photons - should) <= 0.1 + 2e-7 * should).all()


# With the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [image_by_tests, image_by_lists], ids=["tests", "lists"])
def test_bits_depend_on_nothing_but_plan_and_tolerance(make: Any) -> None:
    plan = plan_of(f"{SCAN} {f'-gauss_xtal -fudge {NARROW}' if make is image_by_lists else ''}", 1.0)
    whole, told = make(plan)
    assert sum(one[1] for one in told) < 0.5 * sum(one[2] for one in told)
    assert left(plan, (whole, told)).off <= 1.0
    for threads in (2, 3):
        np.testing.assert_array_equal(make(plan, threads=threads)[0], whole)
    part = plan._replace(detector=plan.detector._replace(roi=(3, 77, 21, 110)))
    np.testing.assert_array_equal(make(part)[0][21:111, 3:78], whole[21:111, 3:78])
    mask = np.random.default_rng(1).integers(0, 2, whole.shape, np.uint8)
    masked = plan._replace(detector=plan.detector._replace(mask=mask))
    np.testing.assert_array_equal(make(masked)[0], np.where(mask, whole, 0.0))


def test_whether_it_pays_does_not_depend_on_the_region() -> None:
    plan = plan_of(SCAN, 1.0)
    part = plan._replace(detector=plan.detector._replace(roi=(3, 5, 21, 21)))
    shares = []
    for each in (plan, part):
        tables = make_tables(each, False)
        shares.append(share_kept(each, bounds_of(each, tables.cells, each.tolerance), variant_of(each, False)[0]))
    assert shares[0] == shares[1] < 0.5


def test_steps_in_many_runs_are_within_the_tolerance() -> None:
    """More steps than scores are kept of at a time: what one run does not spend, the next may."""
    plan = plan_of(f"{SCAN.replace('128', '32')} -mosaic_domains 90 -phisteps 30", 1.0)
    image, told = image_by_tests(plan)
    assert len(plan.sources.weight) * len(plan.crystal.phi) * len(plan.crystal.domains) > 4096
    assert left(plan, (image, told)).off <= 1.0
    assert told[0][1] < 0.7 * told[0][2]


def test_nothing_but_zeros_is_left_out_of_a_top_hat() -> None:
    experiment = experiment_of(f"{SCAN} {LONG} -tophat_spots -fudge {NARROW}")
    plan = resolve(experiment, read_inputs(experiment)).plan
    image, told = image_by_lists(plan)
    np.testing.assert_array_equal(image, exact_image(plan))
    assert image.any()
    assert told[0][1] < 0.1 * told[0][2]
    image = simulate(experiment, backend="cpu")
    np.testing.assert_array_equal(image.photons, exact_image(plan).astype(np.float32))
    assert image.left_out is None


@pytest.mark.slow
def test_mixed_precision_is_within_what_it_is_allowed() -> None:
    plan = plan_of(SCAN, 1.0)
    image, told = image_by_tests(plan, single=True)
    should = exact_image(plan, single=True)
    assert (np.abs(image - should) <= plan.tolerance + ROUNDING * should).all()
    assert told[0][1] < 0.5 * told[0][2]


# The equations ----------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 0.5))
def test_the_sine_is_from_below(m: float) -> None:
    exact = np.sin(np.pi * m)
    assert exact * (1.0 - 2e-2) - 1e-12 <= bounds.sine_below(m) <= exact + 1e-15
    assert bounds.sine_below(np.float32(m)) <= np.sin(np.pi * float(np.float32(m))) * (1.0 + 2e-7)


@given(st.floats(0.0, 60.0))
def test_a_sphere_is_from_above(radius: float) -> None:
    from nbnumba.kernels.equations.lattice_factor import SPHERE_VOLUME, sphere_amplitude

    beyond = radius + np.linspace(0.0, 2.0, 400)
    largest = max((SPHERE_VOLUME * sphere_amplitude(np.pi * r)) ** 2 for r in beyond)
    assert largest <= bounds.round_share(np.float32(radius * radius)) * (1.0 + 1e-5)


@given(st.integers(0, 2**32 - 1))
def test_directions_over_a_tile_are_linear_but_for_the_rest(number: int) -> None:
    rng = np.random.default_rng(number)
    centre, steps = rng.normal(size=3), rng.normal(size=(2, 3)) * 10.0 ** rng.uniform(-3.0, -0.5)
    distance = float(np.linalg.norm(centre))
    direction = centre / distance
    linear = np.array([bounds.across(tuple(step), tuple(direction), 1.0 / distance) for step in steps])
    parts = rng.uniform(-1.0, 1.0, (200, 2))
    points = centre + parts @ steps
    off = points / np.linalg.norm(points, axis=1)[:, None] - direction - parts @ linear
    rest = bounds.beyond_straight(float(np.linalg.norm(steps, axis=1).sum()), distance)
    assert np.linalg.norm(off, axis=1).max() <= rest + 1e-12


# Controls that must fail ------------------------------------------------------------------------------------------

MUTANTS = {
    "half-extents halved": (
        "SQUARE", "kernels/equations/bounds.py", "    return abs(along_fast) + abs(along_slow) + long * rest",
        "    return HALF * (abs(along_fast) + abs(along_slow) + long * rest)",
    ),
    "neighbours forgotten": (
        "SQUARE", "kernels/sparse/ceilings.py", "    spread(own, plane, row, near)", "    near[:] = own",
    ),
    "the rest forgotten": (
        "close_up", "kernels/equations/bounds.py", "    return STRAIGHT_LINE * part * part", "    return 0.0 * part",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", MUTANTS)
def test_a_wrong_bound_is_found_out(what: str, tmp_path: Path) -> None:
    name, file, before, after = MUTANTS[what]
    tree = copy_of_the_tree(tmp_path)
    edit(tree, file, (before, after))
    environment = os.environ | {"PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, str(tree / "tests" / "leaving_out.py"), name, "300"]
    told = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True, check=True).stdout
    wrong, images = map(int, told.split())
    assert images > 100
    assert wrong > 0
