"""Many stills refined together: what they share is known better, whoever evaluates them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, refine, refine_many, simulate
from nbnumba.differentiation.target import Normal, Target
from nbnumba.errors import UsageError
from nbnumba.refinement.arrow import Arrow
from nbnumba.refinement.joint import JointStep
from nbnumba.refinement.joint_outcome import JointRefinement
from nbnumba.refinement.joint_report import as_json
from nbnumba.refinement.levenberg import Point, destination
from nbnumba.refinement.many import check_told_apart
from nbnumba.refinement.report import json_text

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

SIZE, STILLS, PHOTONS = 40, 3, 2e4
CELL, OFF = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0), (79.15, 79.15, 38.08, 90.0, 90.0, 90.0)
OWN = ("crystal.orientation", "scale")

Array = np.ndarray


def _still(number: int, cell: tuple[float, ...] = CELL, turned_deg: float = 0.0) -> Experiment:
    misset = np.random.default_rng(number).uniform(-90.0, 90.0, 3) + turned_deg
    options = f"-default_F 30 -N 6 -detpixels {SIZE} -pixel 2 -lambda 1 -distance 100 -oversample 2"
    return Experiment.from_args([*options.split(), "-cell", *map(str, cell), "-misset", *map(str, misset)])


@cache
def _measured(number: int) -> Array:
    """Some photons and a background of one a pixel."""
    expected = simulate(_still(number), threads=1).photons.astype(float)
    expected *= PHOTONS / expected.sum()
    return np.random.default_rng(100 + number).poisson(expected + 1.0).astype(float)


def _starts() -> list[Experiment]:
    return [_still(number, OFF, 0.2) for number in range(STILLS)]


def _images() -> list[Array]:
    return [_measured(number) for number in range(STILLS)]


def _from_file(path: str) -> Target:
    return Target(np.load(path), basis=np.ones((1, SIZE, SIZE)))


def _refined(**given: Any) -> JointRefinement:
    usual = {"own": OWN, "system": "tetragonal", "background": "flat", "stages": "plain"}
    return refine_many(**({"experiments": _starts(), "measured": _images()} | usual | given))


@cache
def _usual() -> JointRefinement:
    return _refined()


def _same(one: JointRefinement, other: JointRefinement) -> bool:
    """Bit for bit."""
    pairs = [(one.values, other.values), (one.esd, other.esd), (one.correlation, other.correlation)]
    for a, b in zip(one.images, other.images, strict=True):
        pairs += [(a.values, b.values), (a.esd, b.esd), (np.array(a.cc), np.array(b.cc))]
    return all(np.array_equal(a, b) for a, b in pairs) and one.history == other.history


# Normal equations -------------------------------------------------------------------------------------------------


def _points(shared: int, own: list[int]) -> tuple[Point, ...]:
    rng = np.random.default_rng(7)
    points = []
    at = rng.normal(size=shared)
    for size in own:
        jacobian = rng.normal(size=(50, shared + size)) * 10.0 ** rng.uniform(-3, 3, shared + size)
        matrix = jacobian.T @ jacobian
        normal = Normal(1.0, jacobian.T @ rng.normal(size=50), matrix, 50, 1.0, 1.0, 1.0)
        points.append(Point(np.append(at, rng.normal(size=size)), 1.0, normal.gradient, matrix, normal))
    return tuple(points)


def _dense(points: tuple[Point, ...], shared: int) -> tuple[Array, Array]:
    """The normal equations of all numbers at once: gradient and matrix."""
    size = shared + sum(len(point.at) - shared for point in points)
    gradient, matrix, begin = np.zeros(size), np.zeros((size, size)), shared
    for point in points:
        rows = [*range(shared), *range(begin, begin + len(point.at) - shared)]
        gradient[rows] += point.gradient
        matrix[np.ix_(rows, rows)] += point.matrix
        begin += len(point.at) - shared
    return gradient, matrix


@pytest.mark.parametrize("own", [[4, 5, 3], [0, 2], [3]])
@pytest.mark.parametrize("damping", [0.0, 1e-3, 10.0])
def test_a_step_is_that_of_all_equations_solved_at_once(own, damping) -> None:
    arrow = Arrow(_points(3, own), 3)
    gradient, matrix = _dense(arrow.points, 3)
    wanted = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), gradient)
    step = arrow.step(damping, np.ones(len(wanted), bool), np.zeros(len(wanted)))
    assert np.allclose(step, wanted, rtol=1e-9, atol=0.0)
    assert len(arrow.at) == len(wanted)
    assert all(np.array_equal(part, p.at) for part, p in zip(arrow.parts(arrow.at), arrow.points, strict=True))


def test_beside_numbers_at_their_bounds_a_step_is_that_of_all_equations_solved_at_once() -> None:
    arrow = Arrow(_points(3, [4, 5]), 3)
    gradient, matrix = _dense(arrow.points, 3)
    low, high = np.full(12, -np.inf), np.full(12, np.inf)
    normal = Normal(0.0, gradient, matrix, 1, 1.0, 1.0, 1.0)
    whole = Point(arrow.at, 0.0, gradient, matrix, normal)
    free = destination(whole, 1e-3, low, high, np.full(12, np.inf)) - arrow.at
    for number in (1, 8):
        (low if free[number] < 0.0 else high)[number] = arrow.at[number] + 0.3 * free[number]
    wanted = destination(whole, 1e-3, low, high, np.full(12, np.inf))
    found = destination(arrow, 1e-3, low, high, np.full(12, np.inf))
    assert np.allclose(found - arrow.at, wanted - arrow.at, rtol=1e-9, atol=0.0)
    assert all(wanted[number] in (low[number], high[number]) for number in (1, 8))


def test_covariances_are_those_of_the_whole_matrix() -> None:
    arrow = Arrow(_points(3, [4, 5, 1]), 3)
    wanted = np.linalg.inv(_dense(arrow.points, 3)[1])
    shared, own = arrow.covariances()
    assert np.allclose(shared, wanted[:3, :3], rtol=1e-9, atol=0.0)
    for part, rows in zip(own, (slice(3, 7), slice(7, 12), slice(12, 13)), strict=True):
        assert np.allclose(part, wanted[rows, rows], rtol=1e-9, atol=0.0)


def test_what_nothing_depends_on_stands_still() -> None:
    points = _points(2, [2, 2])
    kept = np.array([True, True, True, False])
    blind = [
        replace(point, gradient=point.gradient * kept, matrix=point.matrix * np.outer(kept, kept)) for point in points
    ]
    step = Arrow(tuple(blind), 2).step(0.1, np.ones(6, bool), np.zeros(6))
    assert step[3] == step[5] == 0.0
    assert np.all(step[[0, 1, 2, 4]] != 0.0)


# Refinement -------------------------------------------------------------------------------------------------------


def test_the_cell_comes_back_and_is_known_better_than_from_one_image() -> None:
    joint = _usual()
    assert joint.names == ("crystal.cell[0]", "crystal.cell[2]")
    assert joint.units == ("Å", "Å")
    assert joint.start.tolist() == [79.15, 38.08]
    assert np.all(np.abs(joint.values - (79.0, 38.0)) < 3.0 * joint.esd)
    free = ("crystal.cell", *OWN)
    alone = refine(_starts()[0], _images()[0], free, "tetragonal", "flat", stages="plain", threads=1)
    assert np.all(joint.esd < 0.8 * alone.esd[:2])
    assert joint.deviance.after < 1.3 < joint.deviance.before
    for one, truth in zip(joint.images, map(_still, range(STILLS)), strict=True):
        assert one.experiment.crystal.cell == pytest.approx((*joint.values[[0, 0, 1]], 90.0, 90.0, 90.0))
        assert one.names == (*(f"crystal.orientation[{axis}]" for axis in range(3)), "scale", "background[0]")
        background, esd = one.values[-1], one.esd[-1]
        assert abs(background - 1.0) < 4.0 * esd
        assert one.cc.after > 0.95 > one.cc.before
        assert one.r_factor.after < one.r_factor.before
        model, true = (simulate(which, threads=1).photons for which in (one.experiment, truth))
        assert np.corrcoef(model.ravel(), true.ravel())[0, 1] > 0.999


def test_one_image_alone_says_of_itself_what_refine_says() -> None:
    joint = _refined(experiments=_starts()[:1], measured=_images()[:1])
    alone = refine(_starts()[0], _images()[0], ("crystal.cell", *OWN), "tetragonal", "flat", stages="plain", threads=1)
    assert np.allclose(np.append(joint.values, joint.images[0].values), alone.values, rtol=0.0, atol=0.1 * alone.esd)
    assert np.allclose(np.append(joint.esd, joint.images[0].esd), alone.esd, rtol=0.01)
    assert joint.deviance.after == pytest.approx(alone.deviance.after, rel=1e-4)
    assert joint.correlation[0, 1] == pytest.approx(alone.correlation[0, 1], abs=0.01)


def test_a_restraint_on_what_is_shared_counts_once() -> None:
    free = _usual()
    worse = np.sqrt(max(1.0, free.deviance.after))
    starts = [_still(number, CELL, 0.2) for number in range(STILLS)]
    restrained = _refined(experiments=starts, restraints={"crystal.cell[0]": float(free.esd[0] / worse)})
    assert restrained.esd[0] == pytest.approx(free.esd[0] / np.sqrt(2.0), rel=0.05)
    assert restrained.esd[1] == pytest.approx(free.esd[1], rel=0.1)


def test_bounds_hold_what_is_shared_and_what_is_not() -> None:
    bounds = {"crystal.cell[0]": (79.1, 80.0), "scale": (None, 5.0), "crystal.orientation": (-1.0, 1.0)}
    found = _refined(bounds=bounds)
    assert found.values[0] == 79.1
    assert found.deviance.after > 2.0 * _usual().deviance.after


def test_a_cell_that_is_far_off_comes_back_by_circles() -> None:
    far = (80.6, 80.6, 37.2, 90.0, 90.0, 90.0)
    starts = [_still(number, far, 0.2) for number in range(STILLS)]
    plain, staged = (_refined(experiments=starts, stages=stages) for stages in ("plain", "auto"))
    assert plain.deviance.after > 10.0
    assert np.all(np.abs(staged.values - (79.0, 38.0)) < 3.0 * staged.esd)
    assert [step.stage for step in staged.history[:STILLS]] == ["image 1", "image 2", "image 3"]
    assert list(dict.fromkeys(step.way for step in staged.history)) == ["alone", "plain", "circles"]
    assert staged.deviance.after <= min(step.deviance for step in staged.history if step.stage == "all")


@pytest.mark.slow
def test_only_images_that_are_not_explained_are_refined_alone_by_stages() -> None:
    images = [*_images()[:2], np.random.default_rng(5).permutation(_images()[2].ravel()).reshape(SIZE, SIZE)]
    found = _refined(measured=images, stages="auto")
    assert [step.stage for step in found.history if step.way == "alone"] == ["image 1", "image 2", "image 3", "image 3"]
    assert found.history[-1].way == "alone by stages, circles"
    assert found.apart == (2,)


@pytest.mark.parametrize("last", [("alone", 2), ("plain", 2)])
def test_ctrl_c_keeps_the_best(last) -> None:
    told: list[JointStep] = []

    def interrupting(step: JointStep) -> None:
        told.append(step)
        if [one.way for one in told].count(last[0]) == last[1]:
            raise KeyboardInterrupt

    found = _refined(progress=interrupting)
    assert found.interrupted == 2
    assert found.history == tuple(told)
    assert _usual().history[: len(told)] == found.history
    assert _usual().deviance.after < found.deviance.after < found.deviance.before
    assert "Interrupted" in found.report()
    moved = [bool(np.any(one.values[:3] != 0.0)) for one in found.images]
    if last[0] == "alone":
        assert moved == [True, True, False]
        assert np.array_equal(found.values, found.start)
    else:
        assert all(moved)
        deviance = found.deviance.after * found.pixels
        assert deviance == pytest.approx(told[-1].deviance * found.pixels, rel=1e-12)


def test_an_image_of_something_else_is_named() -> None:
    images = [*_images()[:2], np.random.default_rng(5).permutation(_images()[2].ravel()).reshape(SIZE, SIZE)]
    found = _refined(measured=images)
    assert found.apart == (2,)
    assert _usual().apart == ()
    assert "image 3 (" in found.report()
    assert "Far above" not in _usual().report()


def test_what_is_told_holds_all_figures() -> None:
    told = json.loads(json_text(as_json(_usual())))
    assert told["shared"]["values"] == _usual().values.tolist()
    assert [one["esd"] for one in told["images"]] == [one.esd.tolist() for one in _usual().images]
    assert told["images"][1]["cc"]["after"] == _usual().images[1].cc.after
    assert len(told["history"]) == len(_usual().history)
    lines = _usual().report().splitlines()
    assert lines[1].startswith("crystal.cell[0]")
    assert sum(line.startswith("image ") for line in lines) == STILLS


# Who evaluates ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_find_the_same_bits() -> None:
    assert _same(_refined(processes=2), _usual())


def test_images_may_be_read_where_they_are_needed(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.npy") for number in range(STILLS)]
    for path, image in zip(paths, _images(), strict=True):
        np.save(path, image)
    assert _same(_refined(measured=[partial(_from_file, path) for path in paths], background=None), _usual())


@pytest.mark.slow
def test_workers_of_dask_find_the_same_bits() -> None:
    distributed = pytest.importorskip("distributed", reason="pip install distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        cluster.get_client() as us,
    ):
        assert _same(_refined(client=us), _usual())


@pytest.mark.slow
def test_ctrl_c_is_heard_while_processes_refine_images_alone() -> None:
    def interrupting(step: JointStep) -> None:
        raise KeyboardInterrupt

    found = _refined(processes=2, stages="auto", progress=interrupting)
    assert found.interrupted == 2
    assert len(found.history) == 1
    assert np.any(found.images[0].values[:3] != 0.0)
    assert np.all(found.images[2].values[:3] == 0.0)


# Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"measured": []}, "measured: 0 images for 3 experiments; give one for each"),
        ({"experiments": [], "measured": []}, "experiments: there are none; give one for each image"),
        ({"shared": ()}, "shared: names nothing; name what the images share, or refine them one by one"),
        ({"shared": ("scale",)}, "own scale: is shared too, by scale; leave out one of them"),
        (
            {"own": ("crystal.cell[2]", "scale")},
            "own crystal.cell[2]: is shared too, by crystal.cell; leave out one of them",
        ),
        (
            {"shared": ("crystal.cell[0]",), "own": ("crystal.cell[2]", "scale")},
            "own crystal.cell[2]: is shared too, by crystal.cell[0]; leave out one of them",
        ),
        ({"stages": "all"}, "stages 'all': give 'auto' or 'plain'"),
        ({"processes": 0}, "processes 0: give a whole number, 1 or more"),
        ({"shared": ("cell",)}, "experiments[0]: cell"),
        (
            {"restraints": {"detector.distance_mm": 0.1}},
            "experiments[0]: restraints detector.distance_mm: is not refined; free it, or name one of crystal.cell, ",
        ),
        (
            {"bounds": {"detector.distance_mm": (0, 1)}},
            "experiments[0]: bounds detector.distance_mm: is not refined; free it, or name one of crystal.cell, ",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(given, message) -> None:
    with pytest.raises(UsageError) as error:
        _refined(**given)
    assert str(error.value).startswith(message)


def test_shared_numbers_that_images_do_not_tell_apart_are_refused() -> None:
    # Three pixels for five numbers.
    mask = np.zeros((SIZE, SIZE), bool)
    mask.flat[np.argsort(_measured(0).ravel())[-3:]] = True
    images = [Target(_measured(0), mask)]
    given = {"experiments": _starts()[:1], "measured": images, "own": ("scale",), "background": None}
    with pytest.raises(
        UsageError, match=r"^shared crystal\.cell\[0\].*: the images do not tell (it|them apart, or not) from their own"
    ):
        _refined(shared=("crystal.cell", "detector.distance_mm", "detector.twotheta_deg"), **given)


def test_a_shared_number_on_which_nothing_depends_is_refused() -> None:
    (point,) = _points(2, [2])
    kept = np.array([True, False, True, True])
    blind = replace(point, gradient=point.gradient * kept, matrix=point.matrix * np.outer(kept, kept))
    with pytest.raises(UsageError, match=r"^shared b: no pixel that counts depends on it; leave out or restrain$"):
        check_told_apart(Arrow((blind,), 2), ("a", "b", "c", "d"))


def test_what_is_shared_starts_alike() -> None:
    starts = _starts()
    starts[2] = _still(2, (79.15, 79.15, 38.09, 90.0, 90.0, 90.0), 0.2)
    with pytest.raises(UsageError) as error:
        _refined(experiments=starts)
    assert str(error.value) == (
        "experiments[2]: crystal.cell[2] starts at 38.09, but at 38.08 in experiments[0]; what is shared must start "
        "alike"
    )


def test_an_image_that_cannot_be_is_named() -> None:
    with pytest.raises(UsageError, match=r"^experiments\[1\]: measured: has shape \(8, 8\)"):
        _refined(measured=[_measured(0), np.ones((8, 8)), _measured(2)])


def test_a_function_that_no_other_process_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^measured\[0\]: cannot be sent to another process"):
        _refined(measured=[lambda: Target(_measured(0))] * STILLS, background=None, processes=2)
