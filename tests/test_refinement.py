"""Refinement: steps on normal equations, crystal systems, what is known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nbnumba import Experiment, changed, refine, simulate
from nbnumba.differentiation.target import Normal
from nbnumba.errors import UsageError
from nbnumba.refinement import search
from nbnumba.refinement.levenberg import Point, Step, minimized
from nbnumba.refinement.restraints import bounds_of, widths
from nbnumba.refinement.systems import free_constants
from nbnumba.refinement.unknowns import Unknowns, unknowns_of

FREE = np.full(2, np.inf)
UNBOUND = (-FREE, FREE, FREE)

Array = np.ndarray


def _poisson(counts: Array, times: Array) -> Callable[[Array], Normal]:
    """Counts of A exp(−t/τ) at the times t: normal equations of A and τ."""

    def normal(at: Array) -> Normal:
        size, life = at
        if size <= 0.0 or life <= 0.0:
            raise UsageError(f"{size:g}, {life:g}: must be above 0")
        mu = size * np.exp(-times / life)
        slopes = np.array([mu / size, mu * times / life**2])
        misfit = counts - mu
        terms = np.where(counts > 0.0, counts * np.log(np.maximum(counts, 1.0) / mu), 0.0)
        return Normal(
            deviance=float(2.0 * np.sum(terms - misfit)),
            gradient=slopes @ (misfit / mu),
            matrix=(slopes / mu) @ slopes.T,
            pixels=len(counts),
            measured=float(counts.sum()),
            modelled=float(mu.sum()),
            misfit=float(np.abs(misfit).sum()),
        )

    return normal


def _plain(normal: Callable[[Array], Normal]) -> Callable[[Array], Point]:
    def evaluate(at: Array) -> Point:
        found = normal(at)
        return Point(at, found.deviance, found.gradient, found.matrix, found)

    return evaluate


def _decay() -> Callable[[Array], Normal]:
    times = np.linspace(0.0, 5.0, 60)
    return _poisson(np.random.default_rng(1).poisson(300.0 * np.exp(-times / 2.0)).astype(float), times)


def test_steps_lead_to_where_the_slope_is_zero() -> None:
    evaluate, steps = _plain(_decay()), list[Step]()
    start = evaluate(np.array([100.0, 0.5]))
    found = minimized(evaluate, start, UNBOUND, 50, steps.append)
    esd = np.sqrt(np.diag(np.linalg.inv(found.matrix)))
    assert np.all(np.abs(found.at - (300.0, 2.0)) < 3.0 * esd)
    assert np.all(np.abs(found.gradient * esd) < 0.02)
    assert steps[-1].point is found
    objectives = [start.objective, *(step.point.objective for step in steps)]
    assert objectives == sorted(objectives, reverse=True)
    assert len(steps) < 20


def test_a_search_turns_back_from_where_there_is_no_model() -> None:
    evaluate, refused = _plain(_decay()), list[float]()

    def watched(at: Array) -> Point:
        try:
            return evaluate(at)
        except UsageError:
            refused.append(at[1])
            raise

    start = evaluate(np.array([5000.0, 0.3]))
    found = minimized(watched, start, UNBOUND, 50, lambda step: None)
    assert refused
    assert found.at[1] == pytest.approx(2.0, rel=0.05)


def test_a_number_at_its_bound_stays_there_and_the_others_go_on() -> None:
    normal = _decay()
    evaluate = _plain(normal)
    start = evaluate(np.array([100.0, 1.0]))
    found = minimized(evaluate, start, (np.array([0.0, 0.5]), np.array([np.inf, 1.5]), FREE), 50, lambda step: None)
    assert found.at[1] == 1.5
    assert found.gradient[1] > 0.0  # would go on
    assert abs(found.gradient[0]) / np.sqrt(found.matrix[0, 0]) < 0.02
    free = minimized(evaluate, start, UNBOUND, 50, lambda step: None)
    assert free.at[1] > 1.5


def test_what_nothing_depends_on_stands_still() -> None:
    normal = _decay()

    def evaluate(at: Array) -> Point:
        found = normal(at[:2])
        return Point(at, found.deviance, np.append(found.gradient, 0.0), np.pad(found.matrix, (0, 1)), found)

    start = evaluate(np.array([100.0, 0.5, 7.0]))
    found = minimized(
        evaluate, start, (np.full(3, -np.inf), np.full(3, np.inf), np.full(3, np.inf)), 50, lambda step: None
    )
    assert found.at[2] == 7.0
    assert found.at[1] == pytest.approx(2.0, rel=0.05)


RIGHT = (50.0, 60.0, 70.0, 90.0, 90.0, 90.0)


@pytest.mark.parametrize(
    ("system", "cell", "constants"),
    [
        ("triclinic", (50, 60, 70, 80, 95, 100), ((0,), (1,), (2,), (3,), (4,), (5,))),
        ("monoclinic", (50, 60, 70, 90, 95, 90), ((0,), (1,), (2,), (4,))),
        ("monoclinic", (50, 60, 70, 90, 90, 95), ((0,), (1,), (2,), (5,))),
        ("monoclinic", RIGHT, ((0,), (1,), (2,), (4,))),
        ("orthorhombic", RIGHT, ((0,), (1,), (2,))),
        ("tetragonal", (50, 50, 70, 90, 90, 90), ((0, 1), (2,))),
        ("trigonal", (50, 50, 70, 90, 90, 120), ((0, 1), (2,))),
        ("hexagonal", (50, 50, 70, 90, 90, 120), ((0, 1), (2,))),
        ("rhombohedral", (50, 50, 50, 80, 80, 80), ((0, 1, 2), (3, 4, 5))),
        ("cubic", (50, 50, 50, 90, 90, 90), ((0, 1, 2),)),
    ],
)
def test_a_system_says_which_constants_are_one(system, cell, constants) -> None:
    assert free_constants(system, cell) == constants


@pytest.mark.parametrize(
    ("system", "cell", "message"),
    [
        ("tetragonal", RIGHT, "crystal.cell 50 60 70 90 90 90 is not tetragonal: a and b must be equal"),
        ("monoclinic", (50, 60, 70, 90, 95, 91), "gamma must be 90 degrees"),
        ("hexagonal", (50, 50, 70, 90, 90, 90), "gamma must be 120 degrees"),
        ("rhombohedral", (50, 50, 50, 80, 80, 81), "beta and gamma must be equal"),
        ("cubic", (50, 50, 50, 90, 90, 90.1), "gamma must be 90 degrees"),
        ("quadratic", RIGHT, "system 'quadratic': give triclinic, .* or cubic"),
    ],
)
def test_a_cell_that_is_not_of_its_system_is_refused(system, cell, message) -> None:
    with pytest.raises(UsageError, match=message):
        free_constants(system, cell)


NAMES = ("crystal.cell[0]", "crystal.cell[4]", "detector.distance_mm", "scale")
VALUES = np.array([50.0, 95.0, 100.0, 3.0])


def test_widths_are_in_units_or_shares_and_a_single_number_counts_before_its_field() -> None:
    found = widths({"crystal.cell": "0.2%", "detector.distance_mm": 0.1}, NAMES, VALUES)
    assert found == pytest.approx([0.1, np.degrees(0.002), 0.1, np.inf])
    found = widths({"crystal.cell": "0.2%", "crystal.cell[4]": "0.5", "scale": "10%"}, NAMES, VALUES)
    assert found == pytest.approx([0.1, 0.5, np.inf, 0.3])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crystal.fudge": 0.1}, "restraints crystal.fudge: is not refined; free it, or name one of crystal.cell, "),
        ({"scale": 0.0}, "restraints scale=0.0: give a width above 0"),
        ({"scale": "much"}, "restraints scale=much: give a width above 0, in its unit or as 0.2%"),
        ({"scale": "nan"}, "give a width above 0"),
    ],
)
def test_widths_that_are_none_are_refused(given, message) -> None:
    with pytest.raises(UsageError, match=message):
        widths(given, NAMES, VALUES)


def test_bounds_are_those_given_and_those_of_the_field() -> None:
    low, high = bounds_of({"detector.distance_mm": (99.0, None)}, (*NAMES, "crystal.mosaic_spread_deg"),
                          np.append(VALUES, 0.1))  # fmt: skip
    assert low.tolist() == [-np.inf, -np.inf, 99.0, -np.inf, 0.0]
    assert np.all(high == np.inf)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": (4.0, 5.0)}, "bounds scale=4:5: scale starts at 3"),
        ({"scale": (5.0, 4.0)}, "give the lowest and the highest value"),
        ({"scale": 3.0}, "give the lowest and the highest value"),
        ({"scal": (1.0, 4.0)}, "bounds scal: is not refined"),
    ],
)
def test_bounds_that_are_none_are_refused(given, message) -> None:
    with pytest.raises(UsageError, match=message):
        bounds_of(given, NAMES, VALUES)


CUBIC = ("crystal.cell[0]", "crystal.cell[1]", "crystal.cell[2]", "scale")


def _cubic(**given) -> Unknowns:
    values = np.array([50.0, 50.0, 50.0, 2.0])
    return unknowns_of(CUBIC, values, np.array([0.5]), ((0, 1, 2),), given.get("restraints", {}),
                       given.get("bounds", {}))  # fmt: skip


def test_equal_constants_are_one_unknown_and_a_scale_is_its_logarithm() -> None:
    unknowns = _cubic()
    assert unknowns.names == ("crystal.cell[0]", "scale", "background[0]")
    assert unknowns.start == pytest.approx([50.0, np.log(2.0), 0.5])
    values, coefficients = unknowns.split(np.array([51.0, 0.0, 0.7]))
    assert values.tolist() == [51.0, 51.0, 51.0, 1.0]
    assert coefficients.tolist() == [0.7]


def test_normal_equations_of_unknowns_are_those_of_differences() -> None:
    """A quadratic of the model's numbers, restrained: slopes and curvature by differences of the objective."""
    unknowns = _cubic(restraints={"crystal.cell": 0.5, "scale": "10%"}, bounds={"crystal.cell": (48.0, 53.0)})
    rng = np.random.default_rng(3)
    root = rng.normal(size=(5, 5))
    matrix, best = root @ root.T, np.array([50.5, 50.2, 50.3, 2.2, 0.4])

    def point(at: Array) -> Point:
        off = best - np.concatenate(unknowns.split(at))
        return unknowns.point(at, Normal(float(off @ matrix @ off), matrix @ off, matrix, 1, 1.0, 1.0, 1.0))

    at, step = np.array([50.1, 0.75, 0.5]), 1e-4
    slopes = [(point(at + d).objective - point(at - d).objective) / (2.0 * step) for d in np.eye(3) * step]
    assert point(at).gradient == pytest.approx(-0.5 * np.array(slopes), rel=1e-6)
    assert (unknowns.low[0], unknowns.high[0]) == (48.0, 53.0)
    # Of the restraints alone, at the start: the width of the scale is that of its logarithm.
    bare = unknowns.point(unknowns.start, Normal(0.0, np.zeros(5), np.zeros((5, 5)), 1, 1.0, 1.0, 1.0))
    assert np.diag(bare.matrix) == pytest.approx([1 / 0.5**2, 1 / 0.1**2, 0.0])
    assert bare.objective == 0.0


def test_a_scale_of_zero_cannot_be_refined() -> None:
    with pytest.raises(UsageError, match="scale 0: to be refined it must start above 0"):
        unknowns_of(("scale",), np.array([0.0]), np.zeros(0), (), {}, {})


@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_a_radial_background_does_not_run_away_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splines beyond a circle reach into it with their ends, which say nothing of them."""
    truth = Experiment.from_args(
        "-cell 40 45 50 -misset 10 20 30 -default_F 100 -N 5 -gauss_xtal -gauss_width edges -detpixels 64 -pixel 0.5 "
        "-distance 40 -oversample 1 -fluence 1e28".split()
    )
    counts = np.random.default_rng(1).poisson(simulate(truth).photons + 20.0).astype(float)
    start = changed(truth, crystal={"misset_deg": (10.1, 20.0, 30.0)})
    monkeypatch.setattr(search.Problem, "explains", lambda problem, at: False)

    def least(seen: float) -> float:
        """Coefficient of the background, on the way."""
        monkeypatch.setattr(search, "SEEN", seen)
        result = refine(start, counts, ["crystal.misset_deg", "scale"], background="radial", threads=1)
        return min(step.values[4:].min() for step in result.history if step.way == "circles")

    assert least(search.SEEN) > 10.0
    assert least(0.0) < 0.0
