"""Numbers by their names beside the plain twin, where formulas are not, and what models keep and share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from moving import CUSTOM, PARAMETERS, TABLED, WET, host_at, tangent

from nbnumba import Differentiable, Experiment, changed
from nbnumba.kernels.gradient.render import render_slopes
from nbnumba.testing.derivatives import derivatives

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
"""Of coarse sampling: fringes are too fine for pixels of which a test can afford many images."""

WATER = {"water_um": 0.02}
BESIDE = "crystal.size"
"""Freed beside all others, and with water around, so that they share what is compiled."""
NEARLY = 1e-8


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest number wanted."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def model_of(experiment: Experiment, *free: str) -> Differentiable:
    return Differentiable(experiment, [*free, BESIDE], threads=1)


def slopes_by(experiment: Experiment, *free: str) -> dict[str, np.ndarray]:
    model = model_of(experiment, *free)
    return dict(zip(model.names, model.jacobian(model.values)[1], strict=True))


@pytest.mark.parametrize("group", PARAMETERS)
@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_numbers_move_photons_as_in_the_plain_twin(shape: str, group: str) -> None:
    experiment, scales = PARAMETERS[group]
    water: dict[str, Any] = {} if group in ("wet", "in water") else {"background": WATER}
    nearest: dict[str, Any] = {"structure_factors": {"interpolate": False}} if group == "tabled" else {}
    experiment = changed(experiment, crystal={"shape": shape}, **water, **nearest)
    names = [name for name in scales if (shape, name) != ("square", "crystal.fudge")]
    wanted = derivatives(host_at(experiment), [tangent(experiment, name, scales[name]) for name in names])
    # One by one: together some move the image alike.
    errors = {
        name: error(slopes_by(experiment, name)[name], slopes) for name, slopes in zip(names, wanted, strict=True)
    }
    assert {name: one for name, one in errors.items() if one > NEARLY} == {}


@pytest.mark.parametrize("shape", ["square", "gauss"])
def test_derivatives_in_the_beam_are_those_of_differences(shape: str) -> None:
    """Where all h are 0, in the middle of a pixel: with one cell along an edge, wholly polarized."""
    experiment = Experiment.from_args(
        "-cell 40 45 50 75 85 95 -misset 10 20 30 -default_F 100 -Na 1 -Nb 6 -Nc 4 -nointerpolate -fluence 1e24 "
        "-detpixels 9 -pixel 1 -distance 100 -Xbeam 4 -Ybeam 4 -oversample 1 -polar 1 -water 0.02 "
        "-detector_thick 300 -detector_abs 400 -detector_thicksteps 2".split()
    )
    free = ("crystal.cell[1]", "crystal.cell[2]", "crystal.orientation", "detector.rotx_deg", "detector.distance_mm")
    model = model_of(changed(experiment, crystal={"shape": shape}), *free, "beam.kahn_factor")
    image, slopes = model.jacobian(model.values)
    assert np.unravel_index(image.argmax(), image.shape) == (4, 4)
    for number, (parameter, one) in enumerate(zip(model._parameters, slopes, strict=True)):
        assert np.isfinite(one).all(), parameter.name
        if parameter.name != "beam.kahn_factor":  # Which is at its end.
            step = 1e-4 * parameter.scale * (np.arange(len(slopes)) == number)
            near, far = (model.image(model.values + n * step) - model.image(model.values - n * step) for n in (1, 2))
            assert error((8.0 * near - far) / (12.0 * step[number]), one) <= 1e-7, parameter.name


@pytest.mark.parametrize("shape", ["square", "gauss"])
def test_a_longer_wavelength_is_a_smaller_cell(shape: str) -> None:
    """And, as the width of Gaussian spots is in Å⁻¹, a larger fudge factor."""
    experiment = changed(WET, crystal={"shape": shape})
    longer = slopes_by(experiment, "beam.wavelength_angstrom")["beam.wavelength_angstrom"]
    cell = slopes_by(experiment, *(f"crystal.cell[{edge}]" for edge in range(3)))
    larger: Any = sum(edge * cell[f"crystal.cell[{number}]"] for number, edge in enumerate((40.0, 45.0, 50.0)))
    if shape == "gauss":
        larger = larger + 2.0 * experiment.crystal.fudge * slopes_by(experiment, "crystal.fudge")["crystal.fudge"]
    assert experiment.beam.wavelength_angstrom == 1.0
    assert error(-larger, longer) <= 1e-9


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_derivatives_of_all_that_turns_together_cancel(shape: str, axis: tuple[float, ...]) -> None:
    one_domain = {"shape": shape, "mosaic_spread_deg": None, "mosaic_domains": None}
    facing = dict.fromkeys(("rotx_deg", "roty_deg", "rotz_deg", "twotheta_deg"), 0.0)
    phi = {"phi_deg": 0.0, "oscillation_deg": 0.0, "steps": 1}
    still = changed(CUSTOM, crystal=one_domain, detector=facing, scan=phi, background=WATER)
    crystal, detector = (f"crystal.orientation[{n}]" for n in range(3)), (f"detector.rot{n}_deg" for n in "xyz")
    parts: list[Any] = []
    for names in (tuple(crystal), tuple(detector)):
        by = slopes_by(still, *names)
        parts.append(np.degrees(sum(part * by[name] for part, name in zip(axis, names, strict=True))))
    by = slopes_by(still, "beam.direction", "beam.polarization_axis")
    beam, electric = np.array(still.beam.direction), np.array(still.beam.polarization_axis)
    # Components along which nothing changes are not freed: lengths, and that of the electric field along the beam.
    for name, idle in (("beam.direction", [beam]), ("beam.polarization_axis", [electric, beam])):
        turning, left_out = np.cross(axis, idle[0]), [n for n in range(3) if f"{name}[{n}]" not in by]
        turning -= np.linalg.solve(np.array(idle)[:, left_out].T, turning[left_out]) @ np.array(idle)
        parts.append(sum(turning[n] * by[f"{name}[{n}]"] for n in range(3) if n not in left_out))
    assert np.abs(sum(parts)).max() <= 1e-9 * np.abs(parts).max()


def test_an_image_that_reaches_further_has_the_factors_of_there() -> None:
    experiment = changed(TABLED, structure_factors={"interpolate": False}, background=WATER)
    model = model_of(experiment, "beam.wavelength_angstrom")
    there = np.where(np.array(model.names) == "beam.wavelength_angstrom", 0.4, model.values)
    here, far = model.image(model.values), model.image(there)
    nearer = model_of(changed(experiment, beam={"wavelength_angstrom": 0.4}), "beam.wavelength_angstrom")
    np.testing.assert_array_equal(far, nearer.image(there))
    np.testing.assert_array_equal(model.image(model.values), here)


def test_images_that_cannot_be_written_to_share_what_is_compiled() -> None:
    model, weights = model_of(WET, "crystal.cell"), np.random.default_rng(1).normal(size=(6, 8))
    writable, before = model.vjp(model.values, weights)[1], len(render_slopes.signatures)
    weights.flags.writeable = False
    np.testing.assert_array_equal(model.vjp(model.values, weights)[1], writable)
    assert len(render_slopes.signatures) == before


def test_whole_and_real_numbers_of_cells_share_what_is_compiled() -> None:
    Differentiable(WET, ["crystal.mosaic_spread_deg"], threads=1).image([0.8])
    before = len(render_slopes.signatures)
    model = Differentiable(WET, ["crystal.size"], threads=1)
    model.image(model.values)
    assert len(render_slopes.signatures) == before


def test_a_single_cell_shrinks_as_it_grows() -> None:
    model = Differentiable(changed(WET, crystal={"cells": (1, 6, 4)}), ["crystal.size"], threads=1)
    (image, slopes), less, more = model.jacobian([1, 6, 4]), model.image([0.999, 6, 4]), model.image([1.001, 6, 4])
    assert error((more - less) / 0.002, slopes[0]) <= 1e-6
    assert (image > less).all()


def test_real_numbers_of_cells_become_whole_in_an_experiment() -> None:
    assert Differentiable(WET, ["crystal.size"]).experiment([9.6, 8.4, 0.3]).crystal.cells == (10, 8, 1)
