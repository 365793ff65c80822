"""The fused kernel: photons of the renderer, derivatives of the plain twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from changes import change_along
from channels import with_channels
from moving import CUSTOM, DIVERGENT, IN_WATER, TABLED, WET, any_directions, resolved_of
from test_derivatives import VARIANTS

from nbnumba import Experiment, changed
from nbnumba.differentiation.evaluation import Asked, Evaluated, Evaluator
from nbnumba.kernels.choices import GAUSS as GAUSSIAN
from nbnumba.kernels.cpu.tables import make_tables
from nbnumba.kernels.plan import Plan
from nbnumba.render.job import render
from nbnumba.setup.mosaic import mosaic_changes
from nbnumba.testing.derivatives import derivatives
from nbnumba.testing.plain_image import Host, host_of, image, moved, point_of

OVERSAMPLED = {"oversample_thick": True, "oversample_polar": True, "oversample_omega": True}
ROUND, GAUSS, EDGES, TOPHAT = (
    {"shape": "round"}, {"shape": "gauss"}, {"shape": "gauss", "gauss_width": "edges"}, {"shape": "tophat"},
)  # fmt: skip
EXACT, SINGLE = 1e-10, 1e-4
"""Of a derivative image, relative to its largest number, by the precision."""
ROUNDING = 1e-15
"""Of the largest number of photons: what moves nothing may seem to move so much."""
NEAR_ZERO = 1e-7
"""Of the largest slope of a square crystal's spot: by so much its slope in the very middle may be wrong, in which each
of three axes is taken to be 1e-8 of a fringe off."""

OfPlan = Callable[[Plan], Plan]


def in_the_dark(plan: Plan) -> Plan:
    return plan._replace(factors=plan.factors._replace(default=0.0))


def as_it_is(plan: Plan) -> Plan:
    return plan


def real_cells(plan: Plan) -> Plan:
    return plan._replace(crystal=plan.crystal._replace(cells=(10.3, 7.6, 1.2)))


def two_channels(plan: Plan) -> Plan:
    return with_channels(plan, 2)


def two_of_constant(plan: Plan) -> Plan:
    return with_channels(plan, 2, 0)


def masked(plan: Plan) -> Plan:
    """With pixels left out at random, and a row without any."""
    detector = plan.detector
    mask = np.random.default_rng(4).integers(0, 2, (detector.slow_pixels, detector.fast_pixels)).astype(np.uint8)
    mask[2] = 0
    return plan._replace(detector=detector._replace(mask=mask))


def with_constant_water(plan: Plan) -> Plan:
    """A background's table of a single row: as constant as a form factor."""
    background = plan.background
    return plan._replace(background=background._replace(table=np.array([[0.0], [2.57], [0.0]])))


FAR = changed(TABLED, beam={"wavelength_angstrom": 0.08}, structure_factors={"interpolate": False})
"""Of which the image meets more indices than a table takes."""
WIDE = changed(WET, detector={"fast_pixels": 150, "slow_pixels": 2, "pixel_mm": 0.2, "roi": (3, 148, 0, 1)})
"""Rows of several blocks, the last of which is not full."""
SINGULAR = changed(
    IN_WATER, crystal={"cells": (1, 6, 4), "mosaic_spread_deg": None, "mosaic_domains": None},
    beam={"dispersion_percent": 0.0, "dispersion_steps": None, "kahn_factor": 1.0},
    scan={"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1}, sampling={"oversample": 1},
)  # fmt: skip
NEAREST = {"interpolate": False}
Case = tuple[Experiment, OfPlan]
BETWEEN: dict[str, Case] = {
    "tabled": (TABLED, as_it_is),
    "oversampled": (changed(TABLED, sampling=OVERSAMPLED), as_it_is),
    "channels": (TABLED, two_channels),
    "real numbers of cells": (TABLED, real_cells),
    "single cells": (changed(TABLED, crystal={"cells": (1, 1, 1)}), as_it_is),
    "past the table": (changed(TABLED, beam={"wavelength_angstrom": 0.4}), as_it_is),
}
"""The same where F is interpolated."""
EXCEPT = ("tophat edges", "polarized along the beam")
"""Another shape; an electric field whose direction is that of rounding."""

SQUARES: dict[str, Case] = {
    "custom": (changed(CUSTOM, sampling=OVERSAMPLED), as_it_is),
    "divergent": (changed(DIVERGENT, sampling=OVERSAMPLED), as_it_is),
    "in water": (IN_WATER, as_it_is),
    "in water of one F": (WET, with_constant_water),
    "real numbers of cells": (WET, real_cells),
    "single cells": (changed(WET, crystal={"cells": (1, 1, 1)}), as_it_is),
    "a list of F": (changed(TABLED, structure_factors=NEAREST), as_it_is),
    "channels": (changed(TABLED, structure_factors=NEAREST), two_channels),
    "channels of a constant F": (WET, two_of_constant),
    "dark spots": (WET, in_the_dark),
    "polarized": (changed(WET, beam={"kahn_factor": 1.0}), as_it_is),
    "masked": (WET, masked),
    "wide rows": (WIDE, as_it_is),
    "one sample": (
        changed(
            WET, sampling={"oversample": 1}, scan={"oscillation_deg": 0.0, "steps": 1},
            beam={"dispersion_percent": 0.0, "dispersion_steps": None}, detector={"layers": 1},
            crystal={"mosaic_spread_deg": None, "mosaic_domains": None},
        ),
        as_it_is,
    ),
    **{name: (one, as_it_is) for name, one in VARIANTS.items() if name not in EXCEPT},
}  # fmt: skip
"""What the square shape with the nearest F can be tried on."""


def evaluated(plan: Plan, change: Any, precision: Any = "double", **asked: Any) -> Evaluated:
    """By the kernel."""
    return Evaluator(precision, 1).evaluate([plan], [change], Asked(**asked))


def host_and_changes(experiment: Experiment, plan: Plan) -> tuple[Host, np.ndarray]:
    """The variables of a plan, and how its domains spread."""
    crystal, domains = experiment.crystal, len(plan.crystal.domains)
    changes = mosaic_changes(crystal.mosaic_spread_deg or 0.0, domains, crystal.mosaic_seed)
    return host_of(plan, changes if domains > 1 else None), changes


def check(experiment: Experiment, of: OfPlan = as_it_is, precision: Any = "double") -> None:
    """Photons and the derivatives by all variables."""
    plan = of(resolved_of(experiment).plan)
    host, changes = host_and_changes(experiment, plan)
    # A background's own scale goes by its logarithm.
    tangents = [one for one in any_directions(host) if plan.background.scale > 0.0 or "background_scale" not in one]
    done = evaluated(plan, change_along(plan, host, tangents, changes), precision, slopes=True)
    photons = image(host)
    assert np.abs(done.image - photons).max() <= (EXACT if precision == "double" else 2e-6) * photons.max()
    assert done.slopes is not None
    within, errors = EXACT if precision == "double" else SINGLE, {}
    for tangent, found, right in zip(tangents, done.slopes, derivatives(host, tangents), strict=True):
        difference, largest = np.abs(found - right).max(), np.abs(right).max()
        if not difference <= within * largest + ROUNDING * photons.max():
            errors[", ".join(tangent)] = difference / largest
    assert errors == {}


@pytest.mark.parametrize("sampling", [{}, OVERSAMPLED], ids=["", "oversampled"])
@pytest.mark.parametrize("crystal", [{}, ROUND, GAUSS, EDGES], ids=["square", "round", "gauss", "edges"])
def test_derivatives_are_those_of_the_twin(crystal: dict[str, str], sampling: dict[str, bool]) -> None:
    check(changed(WET, crystal=crystal, sampling=sampling))


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_photons_are_those_of_the_renderer(precision: Any) -> None:
    resolved = resolved_of(WET)
    host, changes = host_and_changes(WET, resolved.plan)
    found = evaluated(resolved.plan, change_along(resolved.plan, host, any_directions(host), changes), precision).image
    photons = render(resolved, "cpu", precision=precision).photons
    # Half of the last bit of float32; its sines.
    assert np.abs(found - photons).max() <= (6e-8 if precision == "double" else 2e-6) * photons.max()


@pytest.mark.parametrize("name", SQUARES)
def test_derivatives_of_all_kinds_are_those_of_the_twin(name: str) -> None:
    check(*SQUARES[name])


@pytest.mark.parametrize("name", ["real numbers of cells", "one cell", "custom", "a list of F", "channels", "masked"])
def test_derivatives_with_float32_sines_are_those_of_the_twin(name: str) -> None:
    check(*SQUARES[name], precision="mixed")


@pytest.mark.filterwarnings("ignore:interpolation was asked for outside:nbnumba.NbnumbaWarning")
@pytest.mark.parametrize("name", BETWEEN)
def test_derivatives_with_interpolated_factors_are_those_of_the_twin(name: str) -> None:
    check(*BETWEEN[name])


@pytest.mark.slow  # a minute: what is compiled for them alone
@pytest.mark.parametrize("crystal", [ROUND, GAUSS, EDGES, TOPHAT], ids=["round", "gauss", "edges", "tophat"])
def test_derivatives_of_other_shapes_with_interpolated_factors_are_those_of_the_twin(crystal: dict[str, str]) -> None:
    check(changed(TABLED, crystal=crystal, sampling=OVERSAMPLED))


@pytest.mark.parametrize(
    ("crystal", "precision"),
    [
        ({}, "double"),
        pytest.param({}, "mixed", marks=pytest.mark.slow),
        pytest.param(ROUND, "double", marks=pytest.mark.slow),
        pytest.param(GAUSS, "double", marks=pytest.mark.slow),
    ],
    ids=["square", "square in float32", "round", "gauss"],
)
def test_derivatives_beyond_the_table_are_those_of_the_twin(crystal: dict[str, str], precision: str) -> None:
    experiment = changed(FAR, crystal=crystal)
    assert not make_tables(resolved_of(experiment).plan, False).covers
    check(experiment, precision=precision)


@pytest.mark.slow  # half a minute: a shape that has few derivatives
@pytest.mark.parametrize("sampling", [{}, OVERSAMPLED], ids=["", "oversampled"])
def test_derivatives_of_tophat_spots_are_those_of_the_twin(sampling: dict[str, bool]) -> None:
    check(changed(WET, crystal=TOPHAT | {"cells": (2, 3, 1)}, sampling=sampling))


def at_a_reflection(plan: Plan, whole: tuple[int, int, int], pixel: int = 7) -> Plan:
    """With just these h, k, l in the middle of a pixel; 0, 0, 0: the beam goes there."""
    host = host_of(plan)
    v, direction = host.variables, point_of(host, 0).direction[:, pixel]
    if whole == (0, 0, 0):
        return plan._replace(sources=plan.sources._replace(incident=direction[np.newaxis].copy()))
    q = (direction - v.incident[0]) / v.wavelength[0]
    cell = v.cell + np.outer(np.array(whole) - v.cell @ q, q) / (q @ q)
    axes = dict(zip("abc", map(tuple, cell.tolist()), strict=True))
    if plan.crystal.shape == GAUSSIAN and not host.by_edges:
        stars = (np.linalg.inv(cell) * 1e-10).T.tolist()
        axes |= dict(zip(("a_star", "b_star", "c_star"), map(tuple, stars), strict=True))
    return plan._replace(crystal=plan.crystal._replace(**axes))


@pytest.mark.parametrize("dark", [False, True], ids=["", "dark"])
@pytest.mark.parametrize("whole", [(0, 0, 0), (3, -2, 5)], ids=["the beam", "a reflection"])
@pytest.mark.parametrize("crystal", [{}, ROUND, GAUSS, EDGES], ids=["square", "round", "gauss", "edges"])
def test_derivatives_are_finite_and_right_where_formulas_are_not(
    crystal: dict[str, str], whole: tuple[int, int, int], dark: bool
) -> None:
    """On a reflection, in the beam, with one cell along an edge, wholly polarized, without F."""
    experiment = changed(SINGULAR, crystal=crystal)
    plan = at_a_reflection(resolved_of(experiment).plan, whole)
    plan = in_the_dark(plan) if dark else plan
    host, changes = host_and_changes(experiment, plan)
    tangents = any_directions(host)
    slopes = evaluated(plan, change_along(plan, host, tangents, changes), slopes=True).slopes
    wanted = derivatives(host, tangents)
    # Beside it, by up to a fringe.
    aside = [{"incident": np.cross(host.variables.incident, axis)} for axis in np.eye(3)]
    hosts = [moved(host, direction, step) for direction in aside for step in (3e-4, 1e-3, 3e-3)]
    beside = np.abs([derivatives(one, tangents) for one in hosts]).max(axis=0)
    assert slopes is not None
    for tangent, found, right, near in zip(tangents, slopes, wanted, beside, strict=True):
        allowed = EXACT * np.abs(right).max() + (0.0 if crystal else NEAR_ZERO * near.max())
        assert np.isfinite(found).all(), tangent.keys()
        assert np.abs(found - right).max() <= allowed + ROUNDING * 1e6, tangent.keys()
