"""Blocks of a crystal: how many the beam meets, and that they multiply the spots and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from nbnumba import Experiment, NbnumbaWarning, UsageError, changed, simulate
from nbnumba.comparison.trace import trace_pixel
from nbnumba.experiment import Beam, Crystal
from nbnumba.setup.blocks import spot_scale
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.lattice import orient_crystal
from nbnumba.setup.resolve import Resolved, resolve

LINE = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -pixel 1 -detpixels 40 -oversample 1"
pytestmark = pytest.mark.filterwarnings("ignore:-oversample")


def experiment(words: str) -> Experiment:
    return Experiment.from_args(f"{LINE} {words}".split())


def resolved(words: str) -> Resolved:
    one = experiment(words)
    return resolve(one, read_inputs(one))


def photons(words: str, backend: Any = "cpu") -> Any:
    return simulate(experiment(words), backend).photons.astype(float)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    "words",
    [
        "",
        "-water 0.1",
        "-mode c -water 0.1",
        "-mode c -water 0.1 -oversample_polar -oversample_omega -oversample 2",
        "-water 0.1 -mosaic 1 -mosaic_domains 2 -osc 1 -phisteps 2 -detector_thick 400 -detector_abs 200",
    ],
)
def test_it_multiplies_the_spots_and_leaves_the_background(words: str, backend: Any) -> None:
    dark, bright, none = (photons(f"{words} {more}", backend) for more in ("", "-spot_scale 7", "-default_F 1e-9"))
    assert np.ptp(dark - none) > 0.1 * none.max()
    np.testing.assert_allclose(bright - none, 7.0 * (dark - none), atol=1e-6 * bright.max(), rtol=0)


def test_one_block_is_every_bit_as_before() -> None:
    for mode in ("spec", "c"):
        words = f"-mode {mode} -water 0.1"
        assert np.array_equal(photons(words), photons(f"{words} -spot_scale 1"))


def integral(beam: Beam, horizontal: float, vertical: float) -> float:
    """∫ fluence over an area in mm, over flux · exposure / size²."""
    sigma = beam.size_mm / math.sqrt(8.0 * math.log(2.0))

    def density(x: float) -> float:
        if beam.profile == "box":
            return (abs(x) < beam.size_mm / 2) / beam.size_mm
        return math.exp(-0.5 * (x / sigma) ** 2) / sigma / math.sqrt(2.0 * math.pi)

    def share(edge: float) -> float:
        ends = [-beam.size_mm / 2, beam.size_mm / 2]
        return quad(density, -edge / 2, edge / 2, points=[x for x in ends if abs(x) < edge / 2] or None)[0]

    return beam.size_mm**2 * share(horizontal) * share(vertical)


@pytest.mark.parametrize("profile", ["box", "gauss"])
@pytest.mark.parametrize("size", [(0.05, 0.05, 0.05), (0.3, 0.01, 0.2), (0.001, 0.1, 0.04), (0.02, 1.0, 2.0)])
def test_the_volume_in_the_beam_is_the_integral_of_the_fluence(profile: Any, size: Any) -> None:
    beam, crystal = Beam(size_mm=0.1, profile=profile), Crystal(cells=(7, 8, 9), cell=(70, 80, 90, 75, 85, 95))
    lattice = orient_crystal(crystal, beam, None, 1.0, (0.1, 0.2, 0.3))
    block_mm3 = 7 * 8 * 9 * lattice.volume * 1e-21
    expected = size[0] * integral(beam, *size[1:]) / block_mm3
    assert spot_scale(changed_crystal(crystal, size), beam, lattice) == pytest.approx(expected, rel=1e-9)


def changed_crystal(crystal: Crystal, size: Any) -> Crystal:
    return changed(Experiment(crystal=crystal), crystal={"whole_size_mm": size}).crystal


@pytest.mark.parametrize(("ratio", "share"), [(0.4, 0.131), (1.0, 0.579), (2.0, 0.963)])
def test_known_shares_of_a_gaussian_beam(ratio: float, share: float) -> None:
    words = f"-crystal_mm 1 {0.1 * ratio} {0.1 * ratio} -beamsize 0.1 -beam_profile gauss"
    all_of_it = resolved("-crystal_mm 1 10 10 -beamsize 0.1 -beam_profile gauss").spot_scale
    assert resolved(words).spot_scale / all_of_it == pytest.approx(share, abs=5e-4)
    box = resolved("-crystal_mm 1 10 10 -beamsize 0.1").spot_scale
    assert all_of_it == pytest.approx(box, rel=1e-12)


def test_a_crystal_within_a_box_is_met_whole() -> None:
    found = resolved("-crystal_mm 0.05 -beamsize 0.08")
    assert found.spot_scale == pytest.approx(0.05**3 / (125 * found.lattice.volume * 1e-21), rel=1e-12)
    assert found.plan.photons_per_sample == resolved(f"-spot_scale {found.spot_scale!r}").plan.photons_per_sample
    assert resolved("-crystal_mm 0.05 0.2 0.2 -beamsize 0.08").spot_scale == pytest.approx(
        found.spot_scale * (0.08 / 0.05) ** 2, rel=1e-12
    )


def test_words_make_it_again() -> None:
    one = experiment("-crystal_mm 0.05 0.1 0.2 -beam_profile gauss -spot_scale 3.5")
    assert Experiment.from_args(one.to_args()) == one
    assert Experiment.from_toml(one.to_toml()) == one
    assert one.crystal.spot_scale == 3.5
    assert one.crystal.whole_size_mm == (0.05, 0.1, 0.2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-spot_scale 2 -crystal_mm 0.05", r"^-spot_scale 2 beside -crystal_mm 0.05 0.05 0.05, .*: give one of them$"),
        ("-spot_scale 1 -crystal_mm 0.05", r"^-spot_scale 1 beside -crystal_mm"),
        ("-spot_scale 1e-70", r"^-spot_scale 1e-70: must be 0 or at least 1e-60$"),
        ("-spot_scale -3", r"^-spot_scale -3: must be 0 or more$"),
        ("-crystal_mm 0.1 0 0.1", r"^-crystal_mm 0: must be above 0$"),
        ("-crystal_mm 0.1 -beamsize 0", r"^-crystal_mm 0.1 0.1 0.1 in a beam of -beamsize 0, .*: give the size"),
        ("-beam_profile round", r"^-beam_profile 'round' is not box or gauss$"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolved(words)


def test_a_crystal_smaller_than_its_block_is_told() -> None:
    with pytest.warns(NbnumbaWarning, match="^-crystal_mm 1e-05 .* is smaller than one block of 5 x 5 x 5 cells"):
        assert resolved("-crystal_mm 1e-5").spot_scale < 1.0


def test_a_trace_tells_what_its_pixel_is_multiplied_by() -> None:
    one, many = (trace_pixel(resolved(f"-nopolar {words}"), 20, 21).scaling for words in ("", "-spot_scale 7"))
    assert "spot_scale" not in one
    factors = ("I_before_scaling", "r_e_sqr", "fluence_photons_per_m2", "spot_scale", "omega_pixel")
    product = math.prod(many[name] for name in factors) / many["steps"]
    assert many["I_pixel_final"] == pytest.approx(product, rel=1e-12)
    assert many["I_pixel_final"] == pytest.approx(7.0 * one["I_pixel_final"], rel=1e-12)
