"""Compiled functions against the Python that they were compiled from, and against NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numba
import numpy as np
import pytest
from agreement import assert_matches
from hypothesis import given, settings

from nbnumba.experiment import Beam, Crystal, Detector, Experiment, Sampling, Scan, Shape, StructureFactors, changed
from nbnumba.golden_suite_generator.suite import worst_ratio
from nbnumba.kernels import choices, reference, walk
from nbnumba.kernels.compile.polynomials import cos_pi, exp_clamped, sin_pi
from nbnumba.kernels.cpu import render as cpu
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.cuda import tables as cuda_tables
from nbnumba.kernels.equations import orientation
from nbnumba.kernels.equations.scattering import sin_theta_over_lambda
from nbnumba.kernels.equations.structure_factor import cubic_weights, interpolated_factor, nearest_factor
from nbnumba.kernels.equations.vectors import rotated_about
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.testing.strategies import experiments
from nbnumba.tolerances import MIXED

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs compilation")


def resolved(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


SHAPE_NAMES = [shape.name.lower() for shape in choices.Shape]
NEXT_FREE = max(choices.Shape) + 1
SMALL = Experiment(
    beam=Beam(kahn_factor=0.8, dispersion_percent=1.0, dispersion_steps=2),
    detector=Detector(fast_pixels=3, slow_pixels=2, pixel_mm=2.0, thickness_um=300.0, layers=2, roty_deg=5.0),
    scan=Scan(phi_deg=-1.0, oscillation_deg=2.0, steps=2),
    crystal=Crystal(
        cell=(40.0, 50.0, 60.0, 75.0, 85.0, 95.0), cells=(3, 1, 4), mosaic_spread_deg=0.5, mosaic_domains=2
    ),
    structure_factors=StructureFactors(default_f=10.0),
    sampling=Sampling(oversample=2, oversample_polar=True),
)


# The loop nests ----------------------------------------------------------------------------------------------------


@compiled_only
@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("shape", SHAPE_NAMES)
def test_pixel_value_is_that_of_its_python(mode: Any, shape: Any) -> None:
    plan = resolved(changed(Experiment(**{**vars(SMALL), "mode": mode}), crystal={"shape": shape})).plan
    memories = reference.fresh_memory(plan), reference.fresh_memory(plan)
    for slow in range(2):
        for fast in range(3):
            python = reference.pixel_value.py_func(plan, memories[0], slow, fast)
            assert reference.pixel_value(plan, memories[1], slow, fast) == pytest.approx(python, rel=1e-12)
    assert memories[0].samples == memories[1].samples


@compiled_only
def test_another_inner_sum_goes_the_same_way() -> None:
    """Photons of rays as bright as sin θ/λ, and how many are kept."""

    @numba.extending.register_jitable
    def add_stol(scene: Any, ray: Any, total: float, layer_sum: float, outside: int) -> tuple[float, float, int]:
        return total, layer_sum + ray.weight * sin_theta_over_lambda(ray.q), outside + int(ray.kept)

    def photons_and_rays(plan: Any, slow: int, fast: int) -> tuple[float, int]:
        scene = walk.Scene(plan.detector, plan, plan.background, True, ())
        pixel = walk.walk(scene, reference.parts_with(add_stol), slow, fast)
        return walk.photons_of(scene, pixel), pixel.outside

    plan = resolved(SMALL).plan
    photons, rays = photons_and_rays(plan, 1, 2)
    assert numba.njit(photons_and_rays)(plan, 1, 2) == (pytest.approx(photons, rel=1e-12), rays)
    assert photons > 0.0
    assert rays == 2 * 2**2 * 2


def test_the_names_of_shapes_are_those_of_their_codes() -> None:
    assert get_args(Shape) == tuple(SHAPE_NAMES)


@pytest.mark.parametrize("shape", [0, NEXT_FREE, 99])
def test_what_is_no_shape_is_taken_for_none(shape: int) -> None:
    known = resolved(SMALL)
    plan = known.plan._replace(crystal=known.plan.crystal._replace(shape=shape))
    with pytest.raises(ValueError, match=f"{shape} is not a valid Shape"):
        render(replace(known, plans=(plan,)), backend="cpu")
    with pytest.raises(ValueError, match=f"{shape} is not a valid Shape"):
        cuda_tables.variant_of(plan, choices.DOUBLE)
    with pytest.raises(NotImplementedError, match=r"lattice_factor\.py knows no crystal of this shape"):
        render(replace(known, plans=(plan,)), backend="reference")


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("interpolate", [0, 1])
def test_a_shape_without_a_branch_fails_on_the_cpu(precision: str, interpolate: int) -> None:
    """As does one that is a code and has its equation; for the GPU see tests/test_ptx.py."""
    plan = resolved(SMALL).plan
    image, zeros = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    tables = make_tables(plan, interpolate > 0)
    variant = (0,) * NEXT_FREE, (0,) * interpolate, (0,) * (precision == "mixed")
    with pytest.raises(NotImplementedError, match=f"^the kernel has no branch for a crystal of shape {NEXT_FREE} "):
        cpu.render(plan, tables, image, zeros.copy(), zeros.copy(), zeros, *variant)


@pytest.mark.parametrize("shape", SHAPE_NAMES)
@pytest.mark.parametrize("cells", [(1, 2, 1), (3, 1, 4)])
def test_every_shape_is_that_of_the_plain_renderer(shape: Any, cells: tuple[int, int, int]) -> None:
    plan = resolved(changed(SMALL, crystal={"shape": shape, "cells": cells}, detector={"fast_pixels": 40}))
    assert_matches(render(plan, backend="cpu").photons, render(plan, backend="reference").photons)


@compiled_only
def test_orientations_are_those_of_their_python() -> None:
    crystal = resolved(SMALL).plan.crystal
    np.testing.assert_allclose(
        orientation.oriented_cells(crystal), orientation.oriented_cells.py_func(crystal), rtol=1e-14, atol=1e-25
    )


def test_orientations_turn_about_the_spindle_then_by_the_domain() -> None:
    crystal = resolved(SMALL).plan.crystal
    cells = orientation.oriented_cells(crystal).reshape(len(crystal.phi), len(crystal.domains), 3, 3)
    for step, phi in enumerate(crystal.phi):
        turned = np.array([rotated_about(v, crystal.spindle, phi) for v in (crystal.a, crystal.b, crystal.c)])
        for number, domain in enumerate(crystal.domains):
            np.testing.assert_allclose(cells[step, number], turned @ domain.T, rtol=1e-12, atol=1e-24)


@pytest.mark.parametrize(("phi_deg", "first_finds"), [(0.0, "the last step's cell"), (-1.0, "its own cell")])
def test_a_step_at_zero_keeps_the_cell_before_it_in_mode_c_alone(phi_deg: float, first_finds: str) -> None:
    scan = {"phi_deg": phi_deg, "oscillation_deg": 2.0, "steps": 4}
    plans = {
        mode: resolved(changed(Experiment(**{**vars(SMALL), "mode": mode}), scan=scan)).plan for mode in ("spec", "c")
    }
    cells = {mode: orientation.oriented_cells(plan.crystal).reshape(4, 2, 9) for mode, plan in plans.items()}
    # Mode c's oblique cell is another one (C-19): what a step finds is told within its own mode.
    at_zero = int(np.flatnonzero(plans["c"].crystal.phi == 0.0)[0])
    others = [step for step in range(4) if step != at_zero]
    np.testing.assert_array_equal(cells["c"][at_zero], cells["c"][at_zero - 1])
    distinct = {cells["spec"][step].tobytes() for step in range(4)}
    assert (at_zero == 0) == (first_finds == "the last step's cell")
    assert len(distinct) == 4
    assert len({cells["c"][step].tobytes() for step in others}) == 3


@settings(max_examples=20)
@given(experiment=experiments("spec"))
def test_fast_renderer_is_the_plain_one(experiment: Experiment) -> None:
    plan = resolved(experiment)
    assert_matches(render(plan, backend="cpu").photons, render(plan, backend="reference").photons)


@pytest.mark.parametrize("cells", [(1, 1, 1), (2, 1, 3)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_interpolation_in_small_tables(tmp_path: Path, size: int, cells: tuple[int, int, int]) -> None:
    """Cubics take four reflections along each axis, so most or all of these images lie outside."""
    hkl = tmp_path / "few.hkl"
    hkl.write_text("".join(f"{h} {k} {l} {20 + h - 2 * k + 3 * l}\n" for h, k, l in np.ndindex(size, size, size)))
    factors = {"hkl_file": hkl, "default_f": 3.0, "interpolate": True}
    crystal = {"cells": cells, "misset_deg": (10.0, 20.0, 30.0)}
    few = changed(SMALL, structure_factors=factors, crystal=crystal, detector={"fast_pixels": 40, "slow_pixels": 40})
    plan = resolved(few)
    fast = render(plan, backend="cpu").photons
    assert len(np.unique(fast)) > 100
    assert_matches(fast, render(plan, backend="reference").photons)


@pytest.mark.parametrize("cells", [300, 301, 1000, 30_000])
def test_mixed_precision_of_large_crystals(cells: int) -> None:
    few = changed(SMALL, crystal={"cells": (cells, 1, cells)}, detector={"fast_pixels": 60, "slow_pixels": 60})
    plan = resolved(few)
    wanted = render(plan, backend="reference").photons
    assert worst_ratio(render(plan, backend="cpu", precision="mixed").photons, wanted, MIXED) <= 1.0


def test_mixed_precision_where_all_is_dark() -> None:
    """An image that lies in the minima between fringes: nothing bright lends it tolerance."""
    words = (
        "-cell 20 20 20 90 90 90 -Na 300 -Nc 300 -default_F 1 -lambda 0.5 -vdivrange 0.1 -vdivsteps 1 -square_div "
        "-nopolar -pixel 0.1 -detpixels 2 -curved_det -oversample 1"
    )
    plan = resolved(Experiment.from_args(words.split()))
    wanted = render(plan, backend="reference").photons
    assert worst_ratio(render(plan, backend="cpu", precision="mixed").photons, wanted, MIXED) <= 1.0


def test_a_set_flag_stops_the_renderers() -> None:
    plan = resolved(SMALL).plan
    stop, done = np.ones(1, np.int64), np.zeros(2, np.int64)
    image = np.zeros((2, 3), np.float32)
    reference.render(plan, reference.fresh_memory(plan), image, done, stop, 1 << 62)
    taken = np.zeros(1, np.int64)
    cpu.render(plan, make_tables(plan, False), image, taken, done, stop, *variant_of(plan, False))
    assert not image.any()
    assert not done.any()


# Elementary functions ----------------------------------------------------------------------------------------------

FUNCTIONS = [
    pytest.param(sin_pi, np.linspace(-0.5, 0.5, 20001), lambda x: np.sin(np.pi * x), 6e-16, id="sin_pi"),
    pytest.param(cos_pi, np.linspace(-0.5, 0.5, 20001), lambda x: np.cos(np.pi * x), 8e-16, id="cos_pi"),
]


def over(function: Any) -> Any:
    """A compiled loop over an array."""

    @numba.njit
    def loop(values: np.ndarray) -> np.ndarray:
        results = np.empty_like(values)
        for n in range(len(values)):
            results[n] = function(values[n])
        return results

    return loop


@compiled_only
@pytest.mark.parametrize(("function", "values", "exact", "error"), FUNCTIONS)
def test_polynomials_are_accurate(function: Any, values: np.ndarray, exact: Any, error: float) -> None:
    np.testing.assert_allclose(over(function)(values), exact(values), rtol=0.0, atol=error)


@compiled_only
def test_sine_is_accurate_near_zero() -> None:
    values = np.geomspace(1e-60, 0.4, 2000)
    np.testing.assert_allclose(over(sin_pi)(values), np.sin(np.pi * values), rtol=1e-15)


@compiled_only
def test_exponential_is_accurate_and_ends_quietly() -> None:
    sizes = np.concatenate([[0.0], np.geomspace(1e-12, 300.0, 20000)])
    for values in (sizes, -sizes):
        np.testing.assert_allclose(over(exp_clamped)(values), np.exp(values), rtol=1e-13)
    tiny = over(exp_clamped)(np.array([-301.0, -1e6, -1e300]))
    assert tiny.max() < 1e-130
    assert (tiny * tiny).min() > np.finfo(float).tiny


# Structure factors -------------------------------------------------------------------------------------------------


class Factors:
    """A table of a cubic polynomial of h, k and l."""

    first = (-4, -3, -5)
    default = 7.0
    h, k, l = np.meshgrid(np.arange(-4.0, 6), np.arange(-3.0, 5), np.arange(-5.0, 4), indexing="ij")

    @staticmethod
    def exact(h: Any, k: Any, l: Any) -> Any:
        return 100.0 + h**3 - 2 * h * k + k**2 * l + 0.5 * l**3

    table = np.stack([exact(h, k, l), -2.0 * exact(h, k, l)])


def test_interpolation_is_exact_for_cubics() -> None:
    random = np.random.default_rng(1)
    for h, k, l in random.uniform(-1.0, 1.0, (50, 3)).tolist():
        assert interpolated_factor(Factors, 0, h, k, l) == pytest.approx(Factors.exact(h, k, l), rel=1e-12)
        assert interpolated_factor(Factors, 1, h, k, l) == pytest.approx(-2.0 * Factors.exact(h, k, l), rel=1e-12)


def test_interpolation_weights_sum_to_one_and_pick_the_points() -> None:
    for t in (0.0, 0.3, 0.5, 0.99):
        assert sum(cubic_weights(t)) == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(cubic_weights(0.0), (0, 1, 0, 0), atol=1e-16)
    np.testing.assert_allclose(cubic_weights(1.0), (0, 0, 1, 0), atol=1e-16)


@pytest.mark.parametrize("hkl", [(-4, -3, -5), (5, 4, 3), (0, 1, -2)])
def test_nearest_factor_is_that_of_the_table(hkl: tuple[int, int, int]) -> None:
    assert nearest_factor(Factors, 0, *hkl) == Factors.exact(*hkl)
    assert nearest_factor(Factors, 1, *hkl) == -2.0 * Factors.exact(*hkl)


@pytest.mark.parametrize("hkl", [(-5, 0, 0), (6, 0, 0), (0, -4, 0), (0, 5, 0), (0, 0, -6), (0, 0, 4)])
def test_outside_the_table_is_the_default(hkl: tuple[int, int, int]) -> None:
    assert nearest_factor(Factors, 1, *hkl) == Factors.default
