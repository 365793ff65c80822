"""What is made of derivatives in one pass: products with an image, normal equations, whatever the threads."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from changes import change_along
from moving import TRICLINIC, host_at, resolved_of
from test_derivatives import any_directions

from nbnumba import changed
from nbnumba.differentiation.evaluation import Asked, Evaluated, Evaluator
from nbnumba.differentiation.target import Target
from nbnumba.setup.mosaic import mosaic_changes

WET = changed(
    TRICLINIC,
    background={"water_um": 2.0},
    beam={"fluence_per_m2": 1e22},
    detector={"fast_pixels": 12, "slow_pixels": 10},
)
"""Of some photons a pixel."""
RANDOM = np.random.default_rng(5)
SHAPE = (10, 12)
WEIGHTS = RANDOM.normal(size=SHAPE)


@cache
def case() -> tuple[Any, Any]:
    """A plan, and directions in which to move it."""
    crystal, plan, host = WET.crystal, resolved_of(WET).plan, host_at(WET)
    assert crystal.mosaic_spread_deg is not None
    changes = mosaic_changes(crystal.mosaic_spread_deg, len(plan.crystal.domains), crystal.mosaic_seed)
    return plan, change_along(plan, host, any_directions(host), changes)


def evaluated(threads: int = 1, **asked: Any) -> Evaluated:
    plan, change = case()
    return Evaluator("double", threads).evaluate([plan], [change], Asked(**asked))


@cache
def slopes() -> tuple[np.ndarray, np.ndarray]:
    done = evaluated(slopes=True)
    assert done.slopes is not None
    return done.image, done.slopes


def test_a_product_is_that_with_the_derivative_images() -> None:
    products, wanted = evaluated(cotangent=WEIGHTS).products, np.tensordot(slopes()[1], WEIGHTS, 2)
    assert products is not None
    largest = np.abs(slopes()[1]).max(axis=(1, 2)) * np.abs(WEIGHTS).sum()
    assert (np.abs(products - wanted) <= 1e-12 * largest).all()


@pytest.mark.parametrize("threads", [2, 3])
def test_no_bit_depends_on_threads(threads: int) -> None:
    target = Target(np.full(SHAPE, 2.0))
    one, several = (evaluated(n, slopes=True, cotangent=WEIGHTS, target=target) for n in (1, threads))
    for name in ("image", "slopes", "products"):
        np.testing.assert_array_equal(getattr(one, name), getattr(several, name))
    for name in ("gradient", "matrix", "deviance", "misfit"):
        np.testing.assert_array_equal(getattr(one.normal, name), getattr(several.normal, name))


@pytest.mark.parametrize("robust_z", [None, 1.5])
def test_normal_equations_are_those_of_the_derivative_images(robust_z: float | None) -> None:
    image, slope_images = slopes()
    basis, coefficients = RANDOM.uniform(0.5, 1.5, (2, *SHAPE)), np.array([1.5, 0.3])
    fixed, mask = RANDOM.uniform(0, 1, SHAPE), RANDOM.random(SHAPE) > 0.3
    expected = image + fixed + np.tensordot(coefficients, basis, 1)
    measured = RANDOM.poisson(expected).astype(float)
    target = Target(measured, mask, fixed, basis, read_noise=1.2, robust_z=robust_z)
    normal = evaluated(target=target, coefficients=coefficients).normal
    assert normal is not None
    mu, y, rows = (expected + 1.44)[mask], (measured + 1.44)[mask], np.concatenate([slope_images, basis])[:, mask]
    z = (y - mu) / np.sqrt(mu)
    far = np.abs(z) > (np.inf if robust_z is None else robust_z)
    weights = np.where(far, (robust_z or 1.0) / np.abs(z), 1.0) / mu
    near = 2.0 * (mu - y + y * np.log(y / mu))
    deviance = np.where(far, (robust_z or 0.0) * (2.0 * np.abs(z) - (robust_z or 0.0)), near).sum()
    assert far.any() == (robust_z is not None)
    assert normal.pixels == mask.sum()
    sums = [measured[mask].sum(), expected[mask].sum(), np.abs(y - mu).sum(), deviance]
    np.testing.assert_allclose([normal.measured, normal.modelled, normal.misfit, normal.deviance], sums, rtol=1e-12)
    scale = np.sqrt(np.diag((rows * weights) @ rows.T))
    scale[scale == 0.0] = 1.0
    matrix, gradient = (rows * weights) @ rows.T, (rows * weights) @ (y - mu)
    np.testing.assert_allclose(normal.matrix / np.outer(scale, scale), matrix / np.outer(scale, scale), atol=1e-12)
    np.testing.assert_allclose(normal.gradient / scale, gradient / scale, atol=1e-11)


def test_pixels_that_a_target_leaves_out_are_not_rendered() -> None:
    mask = RANDOM.random(SHAPE) > 0.5
    done = evaluated(slopes=True, target=Target(np.ones(SHAPE), mask))
    assert done.slopes is not None
    np.testing.assert_array_equal(done.image, np.where(mask, slopes()[0], 0.0))
    np.testing.assert_array_equal(done.slopes, np.where(mask, slopes()[1], 0.0))


def test_panels_are_rendered_each_by_itself() -> None:
    plan, change = case()
    narrow = plan._replace(detector=plan.detector._replace(fast_pixels=8, roi=(0, 7, 0, 9)))
    stack = RANDOM.normal(size=(20, 12))
    both = Evaluator("double", 1).evaluate([plan, narrow], [change, change], Asked(slopes=True, cotangent=stack))
    image, slope_images = slopes()
    assert both.slopes is not None
    np.testing.assert_array_equal(both.image[:10], image)
    np.testing.assert_array_equal(both.slopes[:, 10:, :8], slope_images[:, :, :8])
    assert not both.image[10:, 8:].any()
    wanted = np.tensordot(both.slopes, stack, 2)
    assert both.products is not None
    largest = np.abs(both.slopes).max(axis=(1, 2)) * np.abs(stack).sum()
    assert (np.abs(both.products - wanted) <= 1e-12 * largest).all()
