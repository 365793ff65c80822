"""Derivatives of images by plain NumPy: against complex steps, against differences, and what must hold of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from channels import with_channels
from moving import (
    CUSTOM,
    IN_WATER,
    PARAMETERS,
    REFLECTIONS,
    TABLED,
    TRICLINIC,
    WET,
    any_directions,
    host_at,
    put,
    resolved_of,
    tangent,
)
from scipy.stats import linregress

from nbnumba import Experiment, Panel, changed
from nbnumba.render.job import render
from nbnumba.testing import derivatives as twin
from nbnumba.testing.derivative_equations import cross_matrix
from nbnumba.testing.derivatives import derivatives
from nbnumba.testing.plain_image import Host, Tangent, host_of, image, moved, point_of, solid_angle

CRYSTALS: dict[str, dict[str, str]] = {
    "square": {},
    "round": {"shape": "round"},
    "gauss": {"shape": "gauss"},
    "edges": {"shape": "gauss", "gauss_width": "edges"},
}
OVERSAMPLED = {"oversample_thick": True, "oversample_polar": True, "oversample_omega": True}
TOPHAT = {"shape": "tophat"}
EXACT = 1e-12
"""Of a derivative image, relative to its largest number."""
BY_DIFFERENCES = 1e-8
NEARLY, LINEAR = 0.999, 1e-9
LINEAR_ONES = {"beam.kahn_factor", "beam.fluence_per_m2", "crystal.spot_scale"}

PLACED = ("fast_pixels", "slow_pixels", "pixel_mm", "distance_mm", "beam_x_mm", "beam_y_mm", "twotheta_deg")
OBLONG = Panel("oblong", 8, 6, origin_mm=(-9, -8, 100), fast_step_mm=(2.5, 0.2, 0.1), slow_step_mm=(0.1, 3.1, -0.2))
VARIANTS: dict[str, Experiment] = {
    "tophat edges": changed(TABLED, crystal={"shape": "tophat", "gauss_width": "edges", "cells": (2, 3, 1)}),
    "point pixels": changed(TRICLINIC, detector={"point_pixel": True}, sampling=OVERSAMPLED),
    "no sensor": changed(TRICLINIC, detector={"thickness_um": 0.0, "attenuation_depth_um": None, "layers": None}),
    "unpolarized": changed(WET, beam={"polarization_correction": False}, sampling=OVERSAMPLED),
    "polarized along the beam": changed(CUSTOM, beam={"kahn_factor": 0.0, "polarization_axis": (0.999, 0.02, -0.03)}),
    "region": changed(WET, detector={"roi": (1, 5, 2, 4)}),
    "one cell": changed(TRICLINIC, crystal={"cells": (1, 6, 4)}),
    "oblong pixels": changed(
        TRICLINIC,
        detector={"convention": "dials", "panels": [OBLONG], "thickness_um": 300.0, "layers": 2}
        | dict.fromkeys(PLACED)
        | dict.fromkeys(("rotx_deg", "roty_deg", "rotz_deg"), 0.0),
    ),
}  # fmt: skip


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest number wanted."""
    difference, largest = float(np.abs(found - wanted).max()), float(np.abs(wanted).max())
    return difference / largest if largest else math.inf if difference else 0.0


def by_complex_step(host: Host, tangent: Tangent) -> np.ndarray:
    """A derivative to the last digits: nothing is subtracted."""
    return image(moved(host, tangent, 1e-30j)).imag / 1e-30


def errors_of(host: Host, tangents: Mapping[str, Tangent]) -> dict[str, float]:
    """Of derivatives along directions, by their names."""
    found = derivatives(host, list(tangents.values()))
    return {
        name: error(one, by_complex_step(host, tangent))
        for (name, tangent), one in zip(tangents.items(), found, strict=True)
    }


def by_name(directions: Sequence[Tangent]) -> dict[str, Tangent]:
    """Of single variables."""
    return {name: direction for direction in directions for name in direction}


def differences(at: Callable[[float], Host], step: float) -> np.ndarray:
    return (image(at(step)) - image(at(-step))) / (2.0 * step)


# The image ---------------------------------------------------------------------------------------------------------


def images() -> dict[str, Experiment]:
    crystals = {name: changed(WET, crystal=crystal) for name, crystal in (*CRYSTALS.items(), ("tophat", TOPHAT))}
    between = {f"{name} between": changed(TABLED, crystal=crystal) for name, crystal in CRYSTALS.items()}
    return crystals | between | {"custom": CUSTOM, "in water": IN_WATER} | VARIANTS


@pytest.mark.parametrize("name", images())
def test_the_plain_image_is_that_of_the_reference(name: str) -> None:
    experiment = images()[name]
    photons = render(resolved_of(experiment), "reference").photons
    # Half of the last bit of float32.
    assert error(image(host_at(experiment)), photons) < 6e-8


@pytest.mark.parametrize("interpolate", [0, 1])
def test_the_plain_image_has_the_channels_of_the_reference(interpolate: int) -> None:
    resolved = resolved_of(TABLED)
    plan = with_channels(resolved.plan, 2, interpolate)
    photons = render(replace(resolved, plans=(plan,)), "reference").photons
    host = host_of(plan)
    assert error(image(host), photons) < 6e-8
    assert error(image(replace(host, channel=host.channel[::-1])), photons) > 0.01
    assert max(errors_of(host, by_name(any_directions(host))).values()) <= EXACT


def test_what_has_no_derivatives_is_refused() -> None:
    plan = resolved_of(TRICLINIC).plan
    for wrong in (plan._replace(dmin=1e-10), plan._replace(last_capture=1),
                  plan._replace(detector=plan.detector._replace(surface=1))):  # fmt: skip
        with pytest.raises(ValueError, match="no derivatives of a plan with"):
            host_of(wrong)
    with pytest.raises(ValueError, match="no variables of a host: celll"):
        derivatives(host_of(plan), [{"celll": 1.0}])


# Against complex steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [{}, OVERSAMPLED], ids=["plain", "oversampled"])
@pytest.mark.parametrize("between", [False, True], ids=["nearest", "tricubic"])
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_parameters_move_photons_as_complex_steps_do(crystal: str, between: bool, sampling: dict[str, bool]) -> None:
    errors = {}
    for group, (experiment, scales) in PARAMETERS.items():
        factors: Any = REFLECTIONS if between else experiment.structure_factors
        factors = replace(factors, interpolate=between)
        host = host_at(changed(experiment, crystal=CRYSTALS[crystal], sampling=sampling, structure_factors=factors))
        tangents = {name: tangent(experiment, name, scale) for name, scale in scales.items()}
        errors |= {f"{group} {name}": one for name, one in errors_of(host, tangents).items()}
    assert {name: one for name, one in errors.items() if one > EXACT} == {}
    assert len(errors) == 51


@pytest.mark.parametrize("name", images())
def test_variables_move_photons_as_complex_steps_do(name: str) -> None:
    host = host_at(images()[name])
    errors = errors_of(host, by_name(any_directions(host)))
    assert {variable: one for variable, one in errors.items() if one > EXACT} == {}


# Against differences through the set-up ----------------------------------------------------------------------------


def stepped(experiment: Experiment, name: str) -> Callable[[float], Host]:
    return lambda amount: host_at(put(experiment, name, amount))


def best_of_steps(at: Callable[[float], Host], scale: float, wanted: np.ndarray) -> float:
    """Error of central differences: too long steps see curvature and kinks, too short ones the last digits."""
    errors = []
    for step in (1e-4, 3e-5, 1e-5, 3e-4, 1e-3, 3e-6):
        errors.append(error(differences(at, step * scale), wanted))
        if errors[-1] <= BY_DIFFERENCES:
            break
    return min(errors)


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_parameters_move_photons_as_differences_do(crystal: str) -> None:
    errors = {}
    for group, (experiment, scales) in PARAMETERS.items():
        moving = changed(experiment, crystal=CRYSTALS[crystal])
        for name, one in rates_of(moving, scales).items():
            errors[f"{group} {name}"] = best_of_steps(stepped(moving, name), scales[name], one)
    assert {name: one for name, one in errors.items() if one > BY_DIFFERENCES} == {}
    assert len(errors) == 50


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_mosaic_domains_move_photons_as_differences_do(crystal: str) -> None:
    """As far as their angles go, which are rounded to float32."""
    moving, name = changed(TRICLINIC, crystal=CRYSTALS[crystal]), "crystal.mosaic_spread_deg"
    (found,) = derivatives(host_at(moving), [tangent(moving, name, 1.0)])
    assert error(differences(stepped(moving, name), 0.003), found) <= 2e-5


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_the_error_of_a_one_sided_difference_goes_as_its_step(crystal: str) -> None:
    """So that a derivative that is a little wrong cannot hide behind the error of a difference."""
    for experiment, scales in PARAMETERS.values():
        moving = changed(experiment, crystal=CRYSTALS[crystal])
        here = image(host_at(moving))
        for name, one in rates_of(moving, scales).items():
            if (crystal, name) == ("square", "crystal.fudge"):
                assert not one.any()
                continue
            steps, at = 2e-5 * scales[name] * np.arange(1, 7), stepped(moving, name)
            errors = [np.abs((image(at(step)) - here) / step - one).mean() / np.abs(one).mean() for step in steps]
            if name in LINEAR_ONES:
                assert errors[-1] < LINEAR, name
            else:
                line = linregress(steps, errors)
                assert line.rvalue > NEARLY, name
                assert abs(line.intercept) < 0.02 * errors[-1], name


def rates_of(experiment: Experiment, scales: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Derivatives by all parameters but the spread of domains."""
    names = [name for name in scales if name != "crystal.mosaic_spread_deg"]
    tangents = [tangent(experiment, name, scales[name]) for name in names]
    return dict(zip(names, derivatives(host_at(experiment), tangents), strict=True))


# What must hold ----------------------------------------------------------------------------------------------------


def along(host: Host, **tangents: Tangent) -> dict[str, np.ndarray]:
    return dict(zip(tangents, derivatives(host, list(tangents.values())), strict=True))


@pytest.mark.parametrize("between", [False, True], ids=["nearest", "tricubic"])
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_scales_of_cell_wavelength_and_size_belong_together(crystal: str, between: bool) -> None:
    host = host_at(changed(TABLED, crystal=CRYSTALS[crystal], structure_factors={"interpolate": between}))
    v = host.variables
    by = along(
        host,
        wavelength={"wavelength": v.wavelength},
        cell={"cell": v.cell},
        fudge={"fudge": v.fudge},
        cells={"cells": v.cells},
        fluence={"photons_per_sample": v.photons_per_sample},
    )
    assert error(by["fluence"], image(host)) <= EXACT
    # A larger cell at a longer wavelength has the same h, but Gaussian spots of another width in h.
    assert error(-by["cell"] - (2.0 * by["fudge"] if crystal == "gauss" else 0.0), by["wavelength"]) <= EXACT
    if crystal != "square":
        # The volume, squared; and the width of spots, as a fudge: as N² or, of all edges' product, as N⁶.
        assert error(6.0 * image(host) + (6.0 if crystal == "gauss" else 2.0) * by["fudge"], by["cells"]) <= EXACT


@pytest.mark.parametrize("between", [False, True], ids=["nearest", "tricubic"])
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_the_spindle_turns_the_crystal_as_a_misset_about_it(crystal: str, between: bool) -> None:
    host = host_at(changed(TABLED, crystal=CRYSTALS[crystal], structure_factors={"interpolate": between}))
    cell = host.variables.cell
    by = along(host, phi={"phi": np.ones(2)}, misset={"cell": cell @ cross_matrix(host.spindle).T})
    assert error(by["phi"], by["misset"]) <= EXACT


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_nothing_changes_where_all_turns_together(crystal: str, axis: tuple[float, ...]) -> None:
    still = {"scan": {"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1}, "sampling": OVERSAMPLED}
    one_domain = {"mosaic_spread_deg": None, "mosaic_domains": None}
    host = host_at(changed(CUSTOM, crystal=CRYSTALS[crystal] | one_domain, **still))
    turn, v = cross_matrix(np.array(axis)), host.variables
    parts: list[Tangent] = [
        {name: getattr(v, name) @ turn.T for name in names}
        for names in (("cell",), ("origin", "fast", "slow", "normal"), ("incident", "polarization_axis"))
    ]
    found = derivatives(host, parts)
    assert np.abs(found.sum(axis=0)).max() < 1e-11 * np.abs(found).max()


# Where formulas are 0/0 --------------------------------------------------------------------------------------------


def at_a_reflection(experiment: Experiment, whole: tuple[int, int, int], pixel: int = 7) -> Host:
    """With just these h, k, l in the middle of a pixel; 0, 0, 0: the beam goes there."""
    single = {
        "beam": {"dispersion_percent": 0.0, "dispersion_steps": None, "kahn_factor": 1.0},
        "scan": {"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1},
        "sampling": {"oversample": 1},
        "crystal": {"mosaic_spread_deg": None, "mosaic_domains": None},
    }
    host = host_at(changed(experiment, **single))
    v, direction = host.variables, point_of(host, 0).direction[:, pixel]
    if whole == (0, 0, 0):
        return replace(host, variables=replace(v, incident=direction[np.newaxis]))
    q = (direction - v.incident[0]) / v.wavelength[0]
    cell = v.cell + np.outer(np.array(whole) - v.cell @ q, q) / (q @ q)
    assert np.abs(cell @ q - whole).max() < 1e-14
    return replace(host, variables=replace(v, cell=cell))


@pytest.mark.parametrize("whole", [(0, 0, 0), (3, -2, 5)])
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_derivatives_are_those_of_differences_where_formulas_are_not(crystal: str, whole: tuple[int, int, int]) -> None:
    experiment = changed(IN_WATER, crystal=CRYSTALS[crystal] | {"cells": (1, 6, 4)})
    host = at_a_reflection(experiment, whole)
    dark = replace(host, variables=replace(host.variables, default=0.0, background_scale=0.0))
    for one in (host, dark):
        directions = any_directions(one)
        for direction, found in zip(directions, derivatives(one, directions), strict=True):
            assert np.isfinite(found).all(), direction.keys()
            assert best_of_steps(partial(moved, one, direction), 0.01, found) <= BY_DIFFERENCES, direction.keys()


# What must not pass ------------------------------------------------------------------------------------------------


def _solid_that_stays(host: Host, ways: twin.Ways, point: twin.MovingPoint) -> twin.Moving:
    solid = solid_angle(host, point.at)
    return twin.Moving(solid, np.zeros((len(point.place), 1)))


@pytest.mark.parametrize(
    ("wrong", "by", "crystal", "parameter"),
    [
        pytest.param("_moves_metric", lambda host: False, "gauss", "crystal.cell[0]", id="width not of the cell"),
        pytest.param("cross_matrix", lambda v: -cross_matrix(v), "square", "scan.phi_deg", id="φ backwards"),
        pytest.param(
            "_strain", lambda changes, cell: changes @ np.linalg.inv(cell).T, "square", "crystal.cell[1]",
            id="inverse transposed",
        ),
        pytest.param("_moving_solid", _solid_that_stays, "square", "detector.distance_mm", id="solid angle stays"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen(
    wrong: str, by: Callable[..., Any], crystal: str, parameter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, tangents = (
        host_at(changed(TRICLINIC, crystal=CRYSTALS[crystal])),
        {parameter: tangent(TRICLINIC, parameter, 1.0)},
    )
    assert errors_of(host, tangents)[parameter] <= EXACT
    monkeypatch.setattr(twin, wrong, by)
    assert errors_of(host, tangents)[parameter] > 1e6 * EXACT
