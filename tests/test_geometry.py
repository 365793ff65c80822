"""Where the detector stands: what went in comes out, and what φ and divergence become."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba.errors import NbnumbaWarning, UsageError
from nbnumba.experiment import Beam, Detector, Experiment, Scan, changed
from nbnumba.setup.geometry import (
    Geometry,
    beam_center_of_fast_slow,
    fast_slow_of_beam_center,
    place_detector,
)
from nbnumba.setup.lab import CONVENTIONS
from nbnumba.setup.scan import sample_phi
from nbnumba.setup.sources import beam_sources
from nbnumba.testing.strategies import beams, experiments, grid, scans

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

angles = st.fixed_dictionaries({f"rot{axis}_deg": grid(-25, 25) for axis in "xyz"} | {"twotheta_deg": grid(-30, 30)})
mm = grid(-50, 150)


def experiment(**detector: Any) -> Experiment:
    return Experiment(detector=Detector(fast_pixels=100, slow_pixels=80, pixel_mm=0.2, **detector))


@given(convention=st.sampled_from(sorted(CONVENTIONS)), x=mm, y=mm, distance=grid(50, 500), rotations=angles)
def test_beam_pivot_keeps_beam_centre_and_distance(
    convention: Any, x: float, y: float, distance: float, rotations: dict[str, float]
) -> None:
    centre = {"beam_x_mm": x, "beam_y_mm": y, "distance_mm": distance}
    placed = place_detector(experiment(convention=convention, pivot="beam", **centre, **rotations))
    expected = fast_slow_of_beam_center(convention, x, y, 0.2, 0.2 * 80)
    np.testing.assert_allclose(
        np.array([placed.fbeam_m, placed.sbeam_m, placed.distance_m]) * 1000, [*expected, distance], atol=1e-10
    )


@given(convention=st.sampled_from(sorted(CONVENTIONS)), x=mm, y=mm, distance=grid(50, 500), rotations=angles)
def test_sample_pivot_keeps_the_nearest_point(
    convention: Any, x: float, y: float, distance: float, rotations: dict[str, float]
) -> None:
    given_point = {"close_x_mm": x, "close_y_mm": y, "close_distance_mm": distance}
    placed = place_detector(experiment(convention=convention, pivot="sample", **given_point, **rotations))
    np.testing.assert_allclose(
        np.array([placed.fclose_m, placed.sclose_m, placed.close_distance_m]) * 1000, [x, y, distance], atol=1e-10
    )


def test_pivot_of_a_named_convention_is_its_own_in_mode_c() -> None:
    """C-4: in mode c, two-theta shifts the beam centre that is read back."""
    turned = experiment(beam_x_mm=8.0, beam_y_mm=10.0, distance_mm=100.0, twotheta_deg=20.0, roty_deg=10.0)
    distances = {mode: place_detector(replace(turned, mode=mode)).distance_m for mode in ("spec", "c")}
    assert distances["spec"] == pytest.approx(0.1, rel=1e-12)
    assert distances["c"] != pytest.approx(0.1, rel=1e-3)


@given(anything=st.sampled_from(["spec", "c"]).flatmap(experiments))
def test_placement_is_the_oracles(anything: Experiment) -> None:
    placed, expected = place_detector(anything), oracle.place_detector(anything)
    for ours, theirs in (
        (placed.origin_m, expected.pix0),
        (placed.fast, expected.f),
        (placed.slow, expected.s),
        (placed.normal, expected.o),
        ((placed.distance_m, placed.close_distance_m), (expected.distance, expected.close_distance)),
        ((placed.fbeam_m, placed.sbeam_m), (expected.fbeam, expected.sbeam)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@given(convention=st.sampled_from(sorted(CONVENTIONS)), x=mm, y=mm)
def test_beam_centres_of_conventions_convert_both_ways(convention: str, x: float, y: float) -> None:
    there = fast_slow_of_beam_center(convention, x, y, 0.172, 400.0)
    assert beam_center_of_fast_slow(convention, *there, 0.172, 400.0) == pytest.approx((x, y), abs=1e-12)


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ("-detsize 30", (15.35, 15.35, 15.7, 14.3, 22.9286, 22.9286)),
        ("-detsize_f 30 -detpixels_s 40", (14.35, 15.35, 15.7, 13.3, 22.9286, 21.5)),
        ("-detsize_s 30.2 -detpixels_f 40 -adxv", (14.35, 14.75, 14.35, 14.75, 21.0, 22.5714)),
        ("-detsize 30 -xds", (15.0, 15.0, 15.0, 15.0, 21.9286, 21.9286)),
    ],
)
def test_size_of_no_whole_number_of_pixels_counts_as_given(
    options: str, recorded: tuple[float, ...], mode: Any
) -> None:
    """BEAM_CENTER, ADXV_CENTER and XDS_ORG of the reference's headers."""
    placed = place_detector(Experiment.from_args(f"{options} -pixel 0.7 -mode {mode}".split()))
    beam_center, spot_m = (placed.xbeam_m, placed.ybeam_m), (placed.fbeam_m, placed.slow_size_m - placed.sbeam_m)
    said = (*(1000 * x for x in (*beam_center, *spot_m)), placed.orgx_px, placed.orgy_px)
    assert tuple(float(f"{x:.6g}") for x in said) == recorded


@pytest.mark.parametrize(
    "options",
    [
        "-mode c -beam_vector 0 0 1",
        "-mode c -beam_vector 0 0 1 -close_distance 100",
        "-mode c -twotheta 90",
        "-mode spec -twotheta 90",
        "-mode spec -pix0_vector 0 0.1 0.1",
    ],
)
def test_sample_in_the_plane_of_the_detector_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="the beam runs along the detector plane, or the sample lies in it"):
        place_detector(Experiment.from_args(options.split()))


def test_detector_at_a_right_angle_is_what_the_reference_makes_of_it() -> None:
    """C-4: there the sample pivot keeps the nearest point, whatever two-theta is."""
    placed = place_detector(Experiment.from_args("-mode c -xds -twotheta 90".split()))
    assert placed.close_distance_m == pytest.approx(0.1)


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_vectors_beside_a_named_convention_are_said_to_be_ignored(mode: str) -> None:
    convention = f"-mode {mode} -dials"
    with pytest.warns(NbnumbaWarning, match=r"^-beam_vector, -odet_vector, -pix0_vector: ignored, .* is dials"):
        placed = place_detector(Experiment.from_args(
            f"-odet_vector 0 1 0 -pix0_vector 0 0 1 -beam_vector 0 1 0 {convention}".split()))  # fmt: skip
    assert placed == place_detector(Experiment.from_args(convention.split()))


def spot(placed: Geometry) -> np.ndarray:
    """Where the beam meets the detector plane, in the laboratory."""
    return placed.origin_m + placed.fbeam_m * np.array(placed.fast) + placed.sbeam_m * np.array(placed.slow)


@given(convention=st.sampled_from(sorted(CONVENTIONS)), rotations=angles)
def test_beam_centre_lies_on_the_beam(convention: Any, rotations: dict[str, float]) -> None:
    placed = place_detector(experiment(convention=convention, **rotations))
    np.testing.assert_allclose(spot(placed), placed.distance_m * np.array(placed.beam), atol=1e-14)


def test_wrong_placement_would_be_seen() -> None:
    """The invariants do not hold by themselves: mode c breaks that of the distance, a turn the other way both."""
    placed = place_detector(experiment(roty_deg=10.0, twotheta_deg=5.0))
    backwards = place_detector(experiment(roty_deg=-10.0, twotheta_deg=-5.0))
    assert not np.allclose(spot(replace(placed, origin_m=backwards.origin_m)), spot(placed), atol=1e-5)


# Sampling of φ and of sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scan", "steps", "step_deg"),
    [
        (Scan(), 1, 0.0),
        (Scan(phi_deg=4.0), 1, 0.0),
        (Scan(step_deg=0.5), 2, 0.5),
        (Scan(oscillation_deg=3.0), 2, 1.5),
        (Scan(oscillation_deg=3.0, step_deg=0.7), 5, 0.7),
        (Scan(steps=4), 4, 0.25),
        (Scan(steps=4, step_deg=0.3), 2, 0.3),
        (Scan(oscillation_deg=2.0, steps=5), 5, 0.4),
        (Scan(oscillation_deg=1.0, steps=4, step_deg=0.3), 4, 0.3),
        (Scan(oscillation_deg=2.0, steps=0), 1, 2.0),
    ],
)
def test_what_is_not_given_of_a_scan(scan: Scan, steps: int, step_deg: float) -> None:
    phi = np.degrees(sample_phi(scan).phi_rad)
    assert len(phi) == steps
    np.testing.assert_allclose(phi, (scan.phi_deg or 0.0) + step_deg * np.arange(steps), atol=1e-12)


@given(scan=scans())
def test_phi_is_that_of_the_oracle_to_the_last_zero(scan: Scan) -> None:
    phi, expected = sample_phi(scan).phi_rad, np.array(oracle.phi_angles(scan))
    np.testing.assert_allclose(phi, expected, rtol=1e-13, atol=1e-16)
    np.testing.assert_array_equal(phi == 0.0, expected == 0.0)


@given(beam=beams())
def test_sources_are_those_of_the_oracle(beam: Beam) -> None:
    sources = beam_sources(beam, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), beam.wavelength_angstrom or 1.0)
    expected = oracle.list_sources(Experiment(beam=beam), None, oracle.place_detector(Experiment()))  # type: ignore[arg-type]
    np.testing.assert_allclose(sources.incident, [source.direction for source in expected], atol=1e-15)
    np.testing.assert_allclose(sources.wavelength_angstrom, [source.wavelength for source in expected], rtol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(sources.incident, axis=1), 1.0, rtol=1e-14)
    assert sources.weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("along", ["horizontal", "vertical"])
def test_divergence_spans_its_range_about_the_beam(along: str) -> None:
    given_range = {f"{along}_divergence_mrad": 6.0, f"{along}_divergence_steps": 3}
    beam = changed(Experiment(), beam=given_range).beam
    incident = beam_sources(beam, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1.0).incident
    np.testing.assert_allclose(incident[1], (1.0, 0.0, 0.0), atol=1e-15)
    between = [math.acos(min(1.0, float(incident[0] @ incident[n]))) for n in (1, 2)]
    np.testing.assert_allclose(between, [0.003, 0.006], rtol=1e-8)
