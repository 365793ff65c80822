"""Lists of spots against every sample of small images, one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nbnumba.experiment import Experiment, changed
from nbnumba.kernels.choices import GAUSS, ROUND, SPHERE, SQUARE
from nbnumba.kernels.cpu.tables import make_tables
from nbnumba.kernels.equations.vectors import scaled
from nbnumba.kernels.plan import Plan
from nbnumba.kernels.sparse import spots
from nbnumba.kernels.sparse.tiles import EDGE, SPAN, Kept, blocks_along
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.testing.strategies import experiments

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


def plan_of(experiment: Experiment | str) -> Plan:
    if isinstance(experiment, str):
        experiment = parse(experiment.split()).experiment
    return resolve(experiment, read_inputs(experiment)).plans[0]


# Every sample --------------------------------------------------------------------------------------------------------


def samples_of(plan: Plan) -> np.ndarray:
    """Points of all samples: (slow, fast, samples of a pixel, 3)."""
    detector, v = plan.detector, plan.oversample
    at_fast = detector.pixel / v * (np.arange(detector.fast_pixels * v) + 0.5)
    at_slow = detector.pixel / v * (np.arange(detector.slow_pixels * v) + 0.5)
    depth = detector.layer_step * np.arange(detector.layers)
    f, s, n, origin = map(np.array, (detector.fast, detector.slow, detector.normal, detector.origin))
    points = (origin + at_slow[:, None, None, None] * s + at_fast[:, None, None] * f + depth[:, None] * n).reshape(
        detector.slow_pixels, v, detector.fast_pixels, v, detector.layers, 3
    )
    return points.transpose(0, 2, 1, 3, 4, 5).reshape(detector.slow_pixels, detector.fast_pixels, -1, 3)


def table_look_up(plan: Plan, channel: int, hkl: np.ndarray) -> np.ndarray:
    at = hkl.astype(int) - np.array(plan.factors.first)
    table = plan.factors.table[channel]
    inside = ((at >= 0) & (at < np.array(table.shape))).all(-1)
    at = np.where(inside[..., None], at, 0)
    return np.where(inside, table[at[..., 0], at[..., 1], at[..., 2]] if table.size else 0.0, plan.factors.default)


def largest_samples(plan: Plan, cells: np.ndarray) -> np.ndarray:
    """The largest w F² F_latt² among a pixel's samples: (steps, slow, fast)."""
    points, crystal, sources = samples_of(plan), plan.crystal, plan.sources
    directions = points / np.linalg.norm(points, axis=-1, keepdims=True)
    width = np.array([crystal.a_star, crystal.b_star, crystal.c_star]).T
    count = math.prod(crystal.cells)
    largest = []
    for incident, wavelength, weight, channel in zip(
        sources.incident, sources.wavelength, sources.weight, sources.channel, strict=True
    ):
        q = (directions - incident) / wavelength
        for cell in cells:
            hkl = q @ cell.reshape(3, 3).T
            whole = np.rint(hkl)
            distance_sqr = (((hkl - whole) @ width.T) ** 2).sum(-1) * count**2 * crystal.fudge
            if crystal.shape == GAUSS:
                latt = count * np.exp(-np.minimum(distance_sqr / 0.63, 300.0))
            else:
                latt = np.where(distance_sqr < 0.3969, count, 0.0)
            largest.append((weight * (table_look_up(plan, channel, whole) * latt) ** 2).max(-1))
    return np.array(largest)


def share_of(plan: Plan, budget: float, steps: int) -> float:
    """What a sample may give at the most, so that all that are left out of a pixel stay within the budget."""
    detector, points = plan.detector, samples_of(plan)
    airpath = np.linalg.norm(points, axis=-1)
    solid = 1 / airpath**2 if detector.point_pixel else detector.pixel**2 * detector.close_distance / airpath**3
    samples = plan.oversample**2 * detector.layers
    if plan.crystal.shape != GAUSS:
        return 0.0
    return budget / (plan.photons_per_sample * abs(solid).max() * samples * steps)


def kept_pixels(plan: Plan, kept: Kept, steps: int) -> np.ndarray:
    """Whether a step is evaluated in a pixel: (steps, slow, fast)."""
    detector = plan.detector
    slow, fast = blocks_along(detector.slow_pixels), blocks_along(detector.fast_pixels)
    assert kept.first.shape == (slow * fast + 1,)
    tiles = np.zeros((steps, slow * fast, 4, 4), bool)
    for block in range(slow * fast):
        within = slice(kept.first[block], kept.first[block + 1])
        assert (np.diff(kept.step[within]) > 0).all()
        bits = kept.tiles[within, None] >> np.arange(16, dtype=np.uint16) & 1
        tiles[kept.step[within], block] = bits.reshape(-1, 4, 4)
    whole = tiles.reshape(steps, slow, fast, 4, 4).transpose(0, 1, 3, 2, 4).reshape(steps, slow * 4, fast * 4)
    pixels = whole.repeat(EDGE, 1).repeat(EDGE, 2)
    assert pixels.shape == (steps, slow * SPAN, fast * SPAN)
    return pixels[:, : detector.slow_pixels, : detector.fast_pixels]


def missed(plan: Plan, budget: float, listed: Plan | None = None) -> tuple[int, float]:
    """How many pixels lack a step by which a sample of theirs gives more than its share; the part that is kept.

    ``listed``: the plan that spots are listed of, if it is another one.
    """
    tables = make_tables(plan, False)
    steps = len(plan.sources.wavelength) * len(tables.cells)
    kept = spots.list_spots(plan if listed is None else listed, tables, budget)
    if kept.first.size == 0:
        return 0, math.nan
    pixels = kept_pixels(plan, kept, steps)
    wanted = largest_samples(plan, tables.cells) > share_of(plan, budget, steps)
    return int((wanted & ~pixels).sum()), float(pixels.mean())


# Random experiments --------------------------------------------------------------------------------------------------


def random_plan(seed: int) -> tuple[Plan, float]:
    rng = np.random.default_rng(seed)
    cell, angles = rng.uniform(20, 120, 3), rng.uniform(65, 115, 3)
    cells = rng.integers(2, 30, 3)
    shape = rng.choice(["-gauss_xtal", "-tophat_spots"])
    words = [
        "-cell", *np.round(cell, 2), *np.round(angles, 2), "-misset", *np.round(rng.uniform(0, 360, 3), 1), shape,
        "-default_F", 100, "-lambda", round(rng.uniform(0.7, 2.0), 3), "-distance", round(rng.uniform(30, 300), 1),
        "-pixel", rng.choice([0.05, 0.1, 0.3, 1.0]), "-detpixels_x", rng.integers(9, 40), "-detpixels_y",
        rng.integers(9, 40), "-Na", cells[0], "-Nb", cells[1], "-Nc", cells[2], "-oversample", rng.choice([1, 1, 2, 3]),
        "-detector_rotx", round(rng.uniform(-30, 30), 1), "-detector_roty", round(rng.uniform(-30, 30), 1),
        "-twotheta", rng.choice([0, 0, 30, 60]), "-mosaic", rng.choice([0.01, 0.1, 1.0]), "-mosaic_domains",
        rng.integers(1, 6), "-phi", 3, "-osc", rng.choice([0.1, 1.0, 20.0]), "-phisteps", rng.integers(1, 5),
        "-dispersion", rng.choice([0.1, 1.0, 5.0]), "-dispsteps", rng.integers(1, 4),
    ]  # fmt: skip
    if rng.random() < 0.3:
        words += ["-hdivrange", 3, "-hdivsteps", 3]
    if rng.random() < 0.4:
        words += ["-detector_abs", 300, "-detector_thick", 500, "-detector_thicksteps", 3]
    if rng.random() < 0.4:
        words += ["-gauss_width", "edges", "-fudge", rng.choice([0.3, 1.0])]
    else:
        edge = float(np.prod(cell * cells)) ** (1 / 3)
        words += ["-fudge", (edge / float(np.prod(cells))) ** 2 * rng.choice([0.1, 1.0, 4.0])]
    plan = plan_of(" ".join(map(str, words)))
    far = int(rng.choice([2, 20]))
    table = np.sqrt(rng.exponential(1.0, (1, *[2 * far + 1] * 3)) * 1e4)
    table *= rng.random(table.shape) < 0.7
    default = float(rng.choice([0.0, 50.0]))
    plan = plan._replace(factors=plan.factors._replace(table=table, first=(-far, -far, -far), default=default))
    sources = plan.sources._replace(weight=plan.sources.weight * rng.uniform(0.1, 1.9, plan.sources.weight.shape))
    plan = plan._replace(sources=sources)
    steps = len(plan.sources.wavelength) * len(plan.crystal.phi) * len(plan.crystal.domains)
    peak = float(np.prod(cells)) ** 2 * 1e5
    return plan, peak / share_of(plan._replace(crystal=plan.crystal._replace(shape=int(GAUSS))), 1.0, steps)


def tolerances(seed: int) -> np.ndarray:
    return 10.0 ** np.random.default_rng(seed).uniform(-12, -2, 2)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_no_sample_that_matters_is_left_out(first: int) -> None:
    kept = []
    for seed in range(first, first + 20):
        plan, scale = random_plan(seed)
        assert spots.lists_serve(plan)
        for tolerance in tolerances(seed):
            count, share = missed(plan, tolerance * scale)
            assert count == 0, f"seed {seed}"
            kept.append(share)
    assert sum(share < 0.7 for share in kept) >= 10
    assert sum(0.0 < share < 0.7 for share in kept) >= 5


@settings(max_examples=100, deadline=None)
@given(experiments(), st.sampled_from(["gauss", "tophat"]), st.floats(-12, -1))
def test_nor_of_any_experiment(experiment: Experiment, shape: Any, exponent: float) -> None:
    detector = {"curved": False}
    plan = plan_of(changed(experiment, mode="spec", crystal={"shape": shape}, detector=detector))
    plan = plan._replace(factors=plan.factors._replace(interpolate=0))
    assume(spots.lists_serve(plan))
    steps = len(plan.sources.wavelength) * len(plan.crystal.phi) * len(plan.crystal.domains)
    share = share_of(plan._replace(crystal=plan.crystal._replace(shape=int(GAUSS))), 1.0, steps)
    brightest = max(np.abs(plan.factors.table).max(initial=0.0), plan.factors.default, 1e-3)
    count, _ = missed(plan, (brightest * math.prod(plan.crystal.cells)) ** 2 * 10.0**exponent / share)
    assert count == 0


# What must be seen ---------------------------------------------------------------------------------------------------


def missed_of_others(other: Callable[[Plan], Plan]) -> int:
    """Pixels that lack a step where spots are listed of plans that others are made of."""
    count = 0
    for seed in range(40):
        plan, scale = random_plan(seed)
        count += missed(plan, 1e-6 * scale, other(plan))[0]
    return count


CONTROLS: dict[str, Callable[[Plan], Plan]] = {
    "spots half as wide": lambda plan: plan._replace(crystal=plan.crystal._replace(fudge=4.0 * plan.crystal.fudge)),
    "a hundredth narrower": lambda plan: plan._replace(crystal=plan.crystal._replace(fudge=1.02 * plan.crystal.fudge)),
    "the middles of pixels alone": lambda plan: plan._replace(oversample=1),
    "the first layer alone": lambda plan: plan._replace(detector=plan.detector._replace(layers=1)),
    "no F outside the list": lambda plan: plan._replace(factors=plan.factors._replace(default=0.0)),
    "all sources as faint as the first": lambda plan: plan._replace(
        sources=plan.sources._replace(weight=np.full_like(plan.sources.weight, plan.sources.weight.min() * 1e-3))
    ),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_what_is_left_out_is_found(control: str) -> None:
    assert missed_of_others(CONTROLS[control]) > 0


def test_nothing_is_missed_in_the_experiments_of_the_controls() -> None:
    assert missed_of_others(lambda plan: plan) == 0


# The same list -------------------------------------------------------------------------------------------------------

WIDE = (
    "-cell 70 80 90 75 85 95 -N 10 -gauss_xtal -gauss_width edges -default_F 100 -lambda 1 -distance 100 -pixel 0.4 "
    "-detpixels_x 120 -detpixels_y 90 -oversample 1 -dispersion 2 -dispsteps 3 -phi 1 -osc 20 -phisteps 40 "
)


def assert_same(one: Kept, other: Kept) -> None:
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_list_is_that_of_plan_and_budget_alone() -> None:
    plan = plan_of(WIDE)
    tables = make_tables(plan, False)
    kept = spots.list_spots(plan, tables, 1.0)
    assert len(kept.step) > 0
    assert kept.first[-1] == len(kept.step)
    for parts in (2, 7):
        assert_same(spots.list_spots(plan, tables, 1.0, parts), kept)
        with ThreadPoolExecutor(2) as pool:
            assert_same(spots.list_spots(plan, tables, 1.0, parts, pool.map), kept)
    detector = plan.detector._replace(roi=(17, 30, 5, 9), mask=np.zeros((90, 120), np.uint8))
    assert_same(spots.list_spots(plan._replace(detector=detector), tables, 1.0), kept)


def test_runs_of_orientations_make_the_list_that_each_makes_by_itself() -> None:
    plan = plan_of(f"{WIDE} -oversample 6")
    tables = make_tables(plan, False)
    # Budgets share out over steps: one of forty orientations has a fortieth of it.
    kept = kept_pixels(plan, spots.list_spots(plan, tables, 1.0), 120).reshape(3, 40, 90, 120)
    assert len(spots.begin_list(plan, tables.cells, 1.0).candidates.first) > 2
    for orientation in (0, 13, 39):
        one = tables._replace(cells=tables.cells[orientation : orientation + 1])
        alone = kept_pixels(plan, spots.list_spots(plan, one, 1.0 / 40.0), 3)
        assert alone.any()
        # The radius is the largest eigenvalue's of all orientations, to a rounding.
        assert (alone != kept[:, orientation]).mean() < 1e-3


# Where they serve ----------------------------------------------------------------------------------------------------


def test_spots_as_wide_as_the_image_are_not_listed() -> None:
    plan = plan_of(f"{WIDE} -N 1 -fudge 0.01 -detpixels 16 -cell 300 300 300 90 90 90")
    assert spots.lists_serve(plan)
    assert spots.list_spots(plan, make_tables(plan, False), 1e-9).first.size == 0


def test_where_no_more_than_the_floor_is_left_out_nothing_is() -> None:
    """A Gaussian is never less than e⁻⁶⁰⁰ of its peak."""
    plan = plan_of(WIDE)
    tables = make_tables(plan, False)
    assert spots.list_spots(plan, tables, 1e-200).first.size > 0
    assert spots.list_spots(plan, tables, 1e-290).first.size == 0


def test_what_is_dimmer_than_the_budget_is_an_empty_list() -> None:
    plan = plan_of(WIDE)
    kept = spots.list_spots(plan, make_tables(plan, False), 1e30)
    assert (kept.first.size, kept.first[-1], kept.step.size) == (8 * 6 + 1, 0, 0)


@pytest.mark.parametrize("options", ["", "-tophat_spots", "-detector_roty 30", "-detector_abs 300 -detector_thick 500"])
def test_lists_serve_compact_spots_on_planes(options: str) -> None:
    assert spots.lists_serve(plan_of(WIDE + options))


def edge_on(plan: Plan) -> Plan:
    """The panel turned about its first corner, into a plane that all but has the sample in it."""
    detector, far = plan.detector, 0.1
    origin = scaled(detector.beam, far)
    above = (
        origin[0] + 1e-5 * detector.slow[0],
        origin[1] + 1e-5 * detector.slow[1],
        origin[2] + 1e-5 * detector.slow[2],
    )
    return plan._replace(detector=detector._replace(slow=detector.beam, origin=above, normal=detector.slow))


OTHERS: dict[str, Callable[[Plan], Plan]] = {
    "a parallelepiped": lambda plan: plan._replace(crystal=plan.crystal._replace(shape=int(SQUARE))),
    "a sphere": lambda plan: plan._replace(crystal=plan.crystal._replace(shape=int(ROUND))),
    "F between reflections": lambda plan: plan._replace(factors=plan.factors._replace(interpolate=1)),
    "a curved surface": lambda plan: plan._replace(detector=plan.detector._replace(surface=int(SPHERE))),
    "a plane that is seen edge-on": edge_on,
    "layers that are seen from behind": lambda plan: plan._replace(
        detector=plan.detector._replace(layer_step=1e-4, normal=scaled(plan.detector.normal, -1.0))
    ),
    "a running product": lambda plan: plan._replace(running_product=1),
    "no domain": lambda plan: plan._replace(crystal=plan.crystal._replace(domains=np.zeros((0, 3, 3)))),
}


@pytest.mark.parametrize("other", OTHERS)
def test_lists_serve_no_others(other: str) -> None:
    assert not spots.lists_serve(OTHERS[other](plan_of(WIDE)))
