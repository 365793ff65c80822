"""One image refined: what comes back, what is held, what is refused."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaWarning, StructureFactors, UsageError, changed, hkl_map, refine, simulate
from nbnumba.differentiation.target import Normal, Target
from nbnumba.interruption import Interrupted
from nbnumba.refinement import search
from nbnumba.refinement.levenberg import Point
from nbnumba.refinement.outcome import Refinement, check_independent
from nbnumba.refinement.search import Iteration
from nbnumba.refinement.stages import FAR, circles_of, smaller
from nbnumba.refinement.target import deviance, first_coefficients, is_explained, photons_over
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

SIZE, FLAT = 64, 5.0
ORIENTED = ["crystal.misset_deg", "scale"]
EVERY = np.ones((SIZE, SIZE), bool)

pytestmark = pytest.mark.filterwarnings("ignore:-oversample|-pixel|.* spots are:nbnumba.NbnumbaWarning")


def still(words: str = "-cell 40 40 50 -misset 10 20 30 -N 5") -> Experiment:
    return Experiment.from_args(
        f"{words} -default_F 100 -detpixels {SIZE} -pixel 0.5 -distance 50 -lambda 1 "
        "-oversample 1 -fluence 3e27".split()
    )


def counted(truth: Experiment, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(simulate(truth).photons + FLAT).astype(float)


TRUTH = still()
START = changed(TRUTH, crystal={"misset_deg": (10.1, 19.9, 30.1), "spot_scale": 0.8})


def refined(start: Experiment = START, free: Any = ORIENTED, measured: Any = None, **how: Any) -> Refinement:
    measured = counted(TRUTH) if measured is None else measured
    background = None if isinstance(measured, Target) else "flat"
    return refine(start, measured, free, **{"background": background, "stages": "plain", "threads": 1, **how})


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


# What comes back ---------------------------------------------------------------------------------------------------


def test_the_truth_comes_back_within_its_standard_deviations() -> None:
    result = refined()
    assert result.names == (*(f"crystal.misset_deg[{axis}]" for axis in range(3)), "scale", "background[0]")
    pulls = (result.values - (10.0, 20.0, 30.0, 1.0, FLAT)) / result.esd
    assert np.abs(pulls).max() < 3.0
    assert np.all(result.esd > 0.0)
    assert result.experiment.crystal.misset_deg == pytest.approx(result.values[:3])
    assert result.experiment.crystal.spot_scale == pytest.approx(result.values[3])
    assert result.background == pytest.approx(result.values[4:])
    assert np.diag(result.correlation) == pytest.approx(1.0)
    assert result.interrupted is None


def test_figures_of_the_fit_are_those_of_the_image() -> None:
    result, data = refined(), counted(TRUTH)
    image = simulate(result.experiment).photons + result.background[0]
    assert result.image == pytest.approx(image, rel=1e-5)
    assert result.residuals == pytest.approx((data - image) / np.sqrt(image), rel=1e-4, abs=1e-4)
    assert result.r_factor.after == pytest.approx(np.abs(data - image).sum() / data.sum(), rel=1e-5)
    assert result.cc.after == pytest.approx(np.corrcoef(data.ravel(), image.ravel())[0, 1], rel=1e-5)
    assert result.deviance.after * data.size == pytest.approx(deviance(Target(data), EVERY, image), rel=1e-5)
    assert result.pixels == data.size
    start = simulate(START).photons + first_coefficients(Target(data, basis=np.ones((1, *data.shape))), EVERY)
    assert result.r_factor.before == pytest.approx(np.abs(data - start).sum() / data.sum(), rel=1e-5)
    assert result.r_factor.before > result.r_factor.after
    assert result.cc.before < result.cc.after
    assert result.deviance.before > result.deviance.after


def test_a_cell_has_the_numbers_of_its_system_and_all_six_are_told() -> None:
    start = changed(START, crystal={"cell": (40.05, 40.05, 49.9, 90, 90, 90)})
    result = refined(start, [*ORIENTED, "crystal.cell"], system="tetragonal")
    assert result.names[4:6] == ("crystal.cell[0]", "crystal.cell[2]")
    told = {one.name: one for one in result.parameters}
    a, b, c, *angles = (told[f"crystal.cell[{number}]"] for number in range(6))
    assert (b.value, b.esd, b.equals) == (a.value, a.esd, "crystal.cell[0]")
    assert a.esd > 0.0
    assert [(one.value, one.esd, one.equals) for one in angles] == [(90.0, 0.0, one.name) for one in angles]
    assert abs(a.value - 40.0) < 3.0 * a.esd
    assert abs(c.value - 50.0) < 3.0 * c.esd
    assert result.experiment.crystal.cell == (a.value, a.value, c.value, 90.0, 90.0, 90.0)


def test_a_constant_of_a_cell_can_be_free_alone() -> None:
    start = changed(START, crystal={"cell": (40, 40, 49.9, 90, 90, 90)})
    result = refined(start, [*ORIENTED, "crystal.cell[2]"], system="tetragonal")
    assert result.names[4] == "crystal.cell[2]"
    assert result.experiment.crystal.cell[:2] == (40.0, 40.0)
    with pytest.raises(UsageError, match=r"crystal.cell\[3\]: alpha of a tetragonal cell is 90 degrees; leave it out"):
        refined(start, [*ORIENTED, "crystal.cell[3]"], system="tetragonal")


def test_the_system_is_that_of_the_space_group_of_the_factors() -> None:
    hkl = [(h, k, l) for h in range(9) for k in range(h + 1) for l in range(10)]
    factors = StructureFactors.from_arrays(hkl, np.full(len(hkl), 100.0), cell=(40, 40, 50, 90, 90, 90),
                                           space_group="P 4 2 2")  # fmt: skip
    truth = changed(TRUTH, structure_factors=factors)
    start = changed(truth, crystal={"misset_deg": (10.1, 19.9, 30.1)})
    result = refined(start, ["crystal.cell", "scale"], counted(truth))
    assert result.names == ("crystal.cell[0]", "crystal.cell[2]", "scale", "background[0]")
    assert len(refined(START, ["crystal.cell", "scale"]).names) == 8  # of no known symmetry


# What is known beforehand ------------------------------------------------------------------------------------------


def test_a_restraint_holds_a_number_and_counts_for_its_deviation() -> None:
    free = refined()
    tight = refined(restraints={"crystal.misset_deg": 1e-4})
    assert tight.values[:3] == pytest.approx(START.crystal.misset_deg, abs=1e-3)
    assert np.all(tight.esd[:3] <= 1.01e-4 * np.sqrt(max(tight.deviance.after, 1.0)))
    wide = refined(restraints={"crystal.misset_deg": 100.0})
    assert wide.values == pytest.approx(free.values, abs=1e-4)
    assert wide.esd == pytest.approx(free.esd, rel=1e-3)


def test_bounds_hold() -> None:
    result = refined(bounds={"scale": (None, 0.9)})
    assert result.values[3] == pytest.approx(0.9)
    assert refined().values[3] > 0.95


def test_distance_beside_a_cell_warns_unless_one_is_restrained(recwarn: pytest.WarningsRecorder) -> None:
    both = [*ORIENTED, "crystal.cell", "detector.distance_mm"]
    with pytest.warns(NbnumbaWarning, match="one image hardly tells a larger cell from a longer distance"):
        refined(START, both, system="tetragonal")
    recwarn.clear()
    for name in ("crystal.cell", "detector.distance_mm"):
        refined(START, both, system="tetragonal", restraints={name: "0.2%"})
    assert [one for one in recwarn if "hardly tells" in str(one.message)] == []


def test_numbers_that_the_pixels_do_not_determine_are_named() -> None:
    few = np.zeros((SIZE, SIZE), bool)
    few.flat[np.argsort(simulate(TRUTH).photons, axis=None)[-3:]] = True
    target = Target(counted(TRUTH), few)
    with pytest.raises(
        UsageError, match=r"^free .*misset_deg.*: they change the image in the same way.*or restrain it$"
    ):
        refined(measured=target)
    # Three pixels, and three that are known beforehand.
    assert refined(measured=target, restraints={"crystal.misset_deg": 0.1}).pixels == 3


def test_a_number_that_no_pixel_depends_on_is_named() -> None:
    normal = Normal(1.0, np.zeros(2), np.diag([1.0, 0.0]), 9, 1.0, 1.0, 1.0)
    point = Point(np.zeros(2), 1.0, normal.gradient, normal.matrix, normal)
    with pytest.raises(UsageError, match=r"^free b: no pixel that counts depends on it; leave out or restrain$"):
        check_independent(point, ["a", "b"])


# Masks, noise, what was measured -----------------------------------------------------------------------------------


def test_pixels_that_are_masked_do_not_count() -> None:
    data, mask = counted(TRUTH), np.ones((SIZE, SIZE), bool)
    mask[10:20] = False
    spoilt = np.where(mask, data, np.nan)
    basis = np.ones((1, SIZE, SIZE))
    result = refined(measured=Target(spoilt, mask, basis=basis))
    assert result.pixels == mask.sum()
    assert np.array_equal(np.isnan(result.residuals), ~mask)
    assert np.abs((result.values - (10.0, 20.0, 30.0, 1.0, FLAT)) / result.esd).max() < 3.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda target: target.measured[:-1], r"measured: has shape \(63, 64\), the detector \(64, 64\)"),
        (lambda target: target.measured - 7.0, "measured: -7 in a pixel that counts: photons cannot be below 0"),
        (lambda target: np.full((SIZE, SIZE), np.nan), "measured: 4096 pixels that count are no finite numbers"),
        (lambda target: np.zeros((SIZE, SIZE)), "there are no photons"),
        (lambda target: Target(target.measured, ~EVERY), "no pixel is left to be compared"),
        (lambda target: Target(target.measured, EVERY[:9]), r"mask: has shape \(9, 64\)"),
    ],
)
def test_what_cannot_have_been_measured_is_refused(spoil: Callable[[Target], Any], message: str) -> None:
    measured = counted(TRUTH)
    measured[0, 0] = 0.0
    with pytest.raises(UsageError, match=message):
        refined(measured=spoil(Target(measured)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"stages": "all"}, "stages 'all': give 'auto' or 'plain'"),
        ({"background": np.ones((SIZE, SIZE))}, r"background: has shape \(64, 64\), must be \(n, 64, 64\)"),
        ({"measured": Target(np.ones((SIZE, SIZE))), "background": "flat"}, "a Target has its own"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refined(**how)


def test_read_noise_is_in_the_standard_deviations() -> None:
    rng, noise = np.random.default_rng(2), 4.0
    data = counted(TRUTH) + rng.normal(0.0, noise, (SIZE, SIZE))
    result = refined(measured=Target(data, basis=np.ones((1, SIZE, SIZE)), read_noise=noise))
    assert np.abs((result.values - (10.0, 20.0, 30.0, 1.0, FLAT)) / result.esd).max() < 3.0
    assert 0.9 < result.deviance.after < 1.1
    assert np.all(result.esd > refined().esd)


# On the way --------------------------------------------------------------------------------------------------------


def test_every_step_is_told_and_leads_down() -> None:
    told: list[Iteration] = []
    result = refined(progress=told.append)
    assert result.history == tuple(told)
    assert [one.number for one in told] == list(range(1, len(told) + 1))
    assert {(one.way, one.stage) for one in told} == {("plain", "all")}
    deviances = [one.deviance for one in told]
    assert deviances == sorted(deviances, reverse=True)
    assert told[-1].values == pytest.approx(result.values)
    assert [(end.way, end.stage, end.iterations) for end in result.ends] == [("plain", "all", len(told))]


@pytest.mark.parametrize(
    ("error", "number"), [(KeyboardInterrupt(), signal.SIGINT), (Interrupted(signal.SIGTERM), signal.SIGTERM)]
)
@pytest.mark.parametrize("last", [1, 3])
def test_what_breaks_it_off_leaves_the_best_so_far(error: BaseException, number: int, last: int) -> None:
    def broken(iteration: Iteration) -> None:
        if iteration.number == last:
            raise error

    result = refined(progress=broken)
    assert result.interrupted == number
    assert len(result.history) == last
    assert result.values == pytest.approx(result.history[-1].values)
    assert result.deviance.before > result.deviance.after > refined().deviance.after


def test_all_ways_are_tried_until_one_explains_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCATTERED", 2)
    far = changed(START, crystal={"misset_deg": (12.0, 22.0, 28.0)})
    something_else = counted(still("-cell 40 40 50 -misset 50 10 30 -N 5"))
    wide = {"crystal.misset_deg": 3.0}
    result = refined(far, measured=something_else, stages="auto", restraints=wide)
    ways = list(dict.fromkeys(end.way for end in result.ends))
    assert ways == ["plain", "circles", "orientation", "orientation, circles",
                    *(f"start {number}" for number in range(2, 4)), "best start"]  # fmt: skip
    assert result.deviance.after == pytest.approx(
        min(end.deviance for end in result.ends if end.stage == "all"), abs=0.1
    )
    assert {end.way for end in refined(stages="auto").ends} == {"plain"}


def test_an_orientation_that_is_far_off_is_found_by_a_grid_and_low_resolution() -> None:
    truth = still("-cell 40 40 50 -misset 10 20 30 -N 20")
    start = changed(truth, crystal={"misset_deg": (11.5, 19.0, 31.0)})
    found = refined(start, measured=counted(truth), stages="auto", restraints={"crystal.misset_deg": 1.0})
    assert found.fringes.orientation > FAR
    assert found.experiment.crystal.misset_deg == pytest.approx((10.0, 20.0, 30.0), abs=0.05)
    led = {end.way: end.deviance for end in found.ends if end.stage == "all"}
    assert list(led) == ["plain", "circles", "orientation", "orientation, circles"]
    assert led["orientation, circles"] < 1.2 < 10.0 < led["plain"]


# What stages are made of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_a_smaller_crystal_has_spots_so_many_times_as_wide(shape: str) -> None:
    experiment = still(f"-cell 40 40 50 -N 40 -{shape}_xtal")
    whole = circles_of(resolved(experiment), EVERY)
    part = circles_of(resolved(smaller(experiment, resolved(experiment), 4)), EVERY)
    assert whole.longest / part.longest == pytest.approx(4.0)


def test_fringes_are_an_error_of_an_index_times_cells() -> None:
    experiment = still("-cell 50 50 50 -N 40")
    circles = circles_of(resolved(experiment), EVERY)
    shorter = hkl_map(changed(experiment, crystal={"cell": (49.5, 49.5, 49.5, 90, 90, 90)}))
    off = np.linalg.norm(hkl_map(experiment) - shorter, axis=2)
    assert 40.0 * off[EVERY].max() / np.sqrt(2.0) == pytest.approx(0.01 * circles.fringes(1.0), rel=1e-6)
    blurred = still("-cell 50 50 50 -N 40 -mosaic 5 -mosaic_dom 10")
    assert circles_of(resolved(blurred), EVERY).fringes(1.0) < 1.0 / np.radians(5.0)


def test_a_background_starts_without_the_spots() -> None:
    rng = np.random.default_rng(4)
    slope = np.broadcast_to(np.linspace(-1.0, 1.0, SIZE), (SIZE, SIZE))
    data = rng.poisson(20.0 + 5.0 * slope).astype(float)
    data[::8, ::8] += 1000.0
    basis = np.stack([np.ones((SIZE, SIZE)), slope])
    assert first_coefficients(Target(data, basis=basis), EVERY) == pytest.approx([20.0, 5.0], abs=0.5)
    fixed = np.full((SIZE, SIZE), 12.0)
    assert first_coefficients(Target(data, fixed=fixed, basis=basis), EVERY) == pytest.approx([8.0, 5.0], abs=0.5)
    assert photons_over(Target(data, fixed=fixed), EVERY, data - fixed, np.zeros(0)) == pytest.approx(1.0)
    assert photons_over(Target(data), EVERY, np.zeros((SIZE, SIZE)), np.zeros(0)) == 1.0


def test_an_image_is_explained_by_its_truth_alone() -> None:
    spots = simulate(TRUTH).photons.astype(float)
    data = counted(TRUTH)
    assert is_explained(Target(data), EVERY, spots, spots + FLAT)
    for wrong in (1.5 * spots, np.roll(spots, 1, 0), np.zeros_like(spots)):
        assert not is_explained(Target(data), EVERY, wrong, wrong + FLAT)
