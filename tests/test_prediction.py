"""Predicted reflections and maps of indices, against what is rendered, what DIALS predicts, and slow twins."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import maximum_filter
from scipy.optimize import brentq

import nbnumba
from nbnumba import Experiment, Predictions, UsageError, changed, hkl_map, predict
from nbnumba.comparison.trace import trace_pixel
from nbnumba.image import Image
from nbnumba.kernels.equations.lattice_factor import lattice_factor
from nbnumba.kernels.equations.pixel import position
from nbnumba.kernels.equations.vectors import length, rotated_about
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

OBLIQUE = "-cell 61 72 83 78 84 97 -misset 21 -32 43 -lambda 1.03"
GEOMETRIES = {
    "mosflm": "-mosflm -Xbeam 47.3 -Ybeam 39.1",
    "denzo": "-denzo -Xbeam 47.3 -Ybeam 39.1",
    "xds": "-xds -ORGX 96.7 -ORGY 120.2",
    "custom": "-beam_vector 0 0 -1 -fdet_vector 0 1 0 -sdet_vector 1 0 0 -odet_vector 0 0 -1 -spindle_axis 0 1 0"
    " -polar_vector 0 1 0 -Xbeam 39.1 -Ybeam 47.3",
}
DIALS = {
    "mosflm": (
        696,
        {
            (5, 10, -9): (105.365212, 37.641743, -3.471946),
            (-11, -9, 10): (72.304187, 214.596757, -2.690217),
            (-17, -12, 10): (46.024034, 249.154491, -2.784484),
        },
    ),
    "denzo": (
        696,
        {(9, 17, -4): (144.98844, 15.260508, -3.476039), (-3, 1, -17): (42.288384, 65.640685, -3.722002)},
    ),
    "xds": (
        702,
        {(2, -27, 4): (198.575169, 21.312025, -3.471526), (-5, -12, 8): (117.265223, 38.059302, -3.69176)},
    ),
    "custom": (
        726,
        {(14, -7, -8): (146.76693, 189.770466, -3.488974), (10, -6, -6): (129.27966, 171.062055, -3.715348)},
    ),
}
"""How many, and fast, slow (pixels) and φ (degrees) of some: recorded from DIALS 3.9, which was given the header of an
image and the A matrix."""


def experiment_of(args: str) -> Experiment:
    return Experiment.from_args(shlex.split(args))


def row_of(spots: Predictions, hkl: tuple[int, int, int]) -> int:
    (row,) = np.flatnonzero((spots.hkl == hkl).all(axis=1))
    return int(row)


@pytest.mark.parametrize("convention", DIALS)
def test_dials_predicts_the_same(convention: str) -> None:
    detector = f"-distance 133 -detpixels_f 210 -detpixels_s 260 -pixel 0.41 {GEOMETRIES[convention]}"
    spots = predict(experiment_of(f"{OBLIQUE} -phi -4 -osc 1.5 {detector}"))
    count, recorded = DIALS[convention]
    assert len(spots) == count
    for hkl, (fast, slow, phi) in recorded.items():
        row = row_of(spots, hkl)
        assert (*spots.pixel[row], spots.phi_deg[row]) == pytest.approx((fast, slow, phi), abs=1e-6)


# --- what is rendered ------------------------------------------------------------------------------------------------

CRYSTAL = f"{OBLIQUE} -default_F 100 -N 60 -round_xtal -distance 200 -detpixels 260 -pixel 0.25 -oversample 3"
RENDERED = {
    "mosflm": "",
    "xds": "-xds",
    "tilted": "-detector_rotx 7 -detector_roty -11 -detector_rotz 5",
    "two-theta": "-dials -twotheta 21",
    "curved": "-twotheta 21 -detector_rotx 13 -detector_rotz 4 -curved_det",
    "behind": "-adxv -twotheta 15",
    "skew axes": "-fdet_vector 0 0.1 1 -sdet_vector 0.2 -1 0.2",
}


@pytest.mark.filterwarnings("ignore:-oversample:nbnumba.NbnumbaWarning")
@pytest.mark.parametrize("geometry", RENDERED)
def test_spots_of_a_scan_are_where_they_are_rendered(geometry: str) -> None:
    scan = experiment_of(f"{CRYSTAL} {RENDERED[geometry]} -phi 3 -osc 1 -phisteps 125")
    image = nbnumba.simulate(scan, backend="cpu")
    spots = predict(scan)
    brightness = around(image.photons, spots.pixel, 1)
    assert len(spots) > 25
    assert brightness.min() > 0.05 * np.median(brightness)

    # At its ends, a scan cuts spots that cross just outside it, the wider the nearer they are to the beam.
    wider = predict(changed(scan, scan={"phi_deg": 2.7, "oscillation_deg": 1.6}))
    photons = image.photons
    strong = (photons == maximum_filter(photons, 5)) & (photons > 0.4 * np.median(brightness))
    slow, fast = np.nonzero(strong & (image.resolution_map() < 12.0))
    assert len(slow) > 15
    from_spot = np.stack([fast, slow], axis=1)[:, np.newaxis] + 0.5 - wider.pixel
    assert np.abs(from_spot).max(axis=2).min(axis=1).max() < 1.0


@pytest.mark.filterwarnings("ignore:-oversample:nbnumba.NbnumbaWarning")
@pytest.mark.parametrize(
    "beam", ["", "-mosaic 0.3 -mosaic_domains 300", "-dispersion 4 -dispsteps 120", "-divergence 3 -divsteps 17"]
)
@pytest.mark.parametrize("geometry", ["", "-xds -twotheta 21"])
def test_a_still_has_its_photons_where_spots_are_predicted(geometry: str, beam: str) -> None:
    still = experiment_of(f"{CRYSTAL} -N 40 -gauss_xtal -fudge 2e-3 {geometry} {beam}")
    image = nbnumba.simulate(still, backend="cpu")
    spots = predict(still)
    brightness = around(image.photons, spots.pixel, 1)
    assert len(spots) > 25
    assert np.quantile(brightness, 0.2) > 0.003 * np.median(brightness)
    near = np.zeros(image.photons.shape, bool)
    fast, slow = np.floor(spots.pixel).astype(int).T
    near[slow, fast] = True
    near = maximum_filter(near, 7)
    scattered = np.where(image.resolution_map() < 60.0, image.photons, 0.0)
    assert near.mean() < 0.12
    assert scattered[near].sum() > 0.97 * scattered.sum()


def around(photons: np.ndarray, pixel: np.ndarray, reach: int) -> np.ndarray:
    """The brightest pixel near each of some points."""
    fast, slow = np.floor(pixel).astype(int).T
    return maximum_filter(photons, 2 * reach + 1)[slow, fast]


# --- the equations, slowly -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "geometry",
    [
        *RENDERED.values(),
        "-dispersion 5 -dispsteps 7 -phi 12",
        "-curved_det -xds -phi 12 -dispersion 5 -dispsteps 7",
        "-detector_rotx 30 -twotheta 45 -distance 60",
        "-xds -twotheta 170 -distance 80",
    ],
)
def test_the_pixel_of_a_prediction_sees_its_reflection(geometry: str) -> None:
    scan = "" if "-phi" in geometry else "-phi 20 -osc 7"
    spots = predict(experiment_of(f"{OBLIQUE} -N 400 -distance 200 -detpixels 260 -pixel 0.7 {scan} {geometry}"))
    detector = spots.resolved.plan.detector
    incident = spots.resolved.geometry.beam
    assert len(spots) > 20
    exact = 0
    for row in range(0, len(spots), 7):
        point = position(detector, *(spots.pixel[row] * detector.pixel).tolist(), 0.0)
        q = [(point[i] / length(point) - incident[i]) / spots.wavelength_angstrom[row] for i in range(3)]
        hkl = np.linalg.solve(spots.a_matrix(spots.phi_deg[row]), q)
        assert hkl == pytest.approx(spots.hkl[row], abs=1e-7 if scan else 0.01)
        assert 1.0 / spots.d_angstrom[row] == pytest.approx(np.linalg.norm(q), rel=1e-7 if scan else 1e-3)
        exact += bool(np.abs(hkl - spots.hkl[row]).max() < 1e-7)
    assert exact > 10 or "dispersion" not in geometry


@pytest.mark.parametrize(("phi", "osc"), [(-10.0, 25.0), (100.0, 400.0), (0.0, 800.0), (359.9, 0.05)])
def test_every_crossing_is_found(phi: float, osc: float) -> None:
    """All reflections to 9 Å, stepped through the scan and bracketed."""
    args = f"-cell 17 23 29 70 95 102 -misset 5 6 7 -lambda 1.3 -detpixels 500 -pixel 5 -distance 90 -dmin 9 -phi {phi}"
    spots = predict(experiment_of(f"{args} -osc {osc} -spindle_axis 1 2 3"))
    crystal = spots.resolved.plan.crystal
    found = {}
    stars = spots.a_matrix(0.0)
    for hkl in np.ndindex(9, 9, 9):
        r = tuple((stars @ (np.array(hkl) - 4)).tolist())
        if not 0.0 < length(r) <= 1 / 9:
            continue

        def off(angle: float, r: tuple[float, ...] = r) -> float:
            turned = rotated_about(r, crystal.spindle, np.radians(angle))
            return length((turned[0] + 1 / 1.3, turned[1], turned[2])) - 1 / 1.3

        steps = np.linspace(phi, phi + osc, 2000 if osc > 1 else 3)
        heights = np.array([off(angle) for angle in steps])
        for step in np.flatnonzero(heights[:-1] * heights[1:] < 0):
            found.setdefault(tuple((np.array(hkl) - 4).tolist()), []).append(
                brentq(off, steps[step], steps[step + 1], xtol=1e-10)
            )
    predicted: dict[tuple[int, ...], list[float]] = {}
    for index, angle in zip(spots.hkl.tolist(), spots.phi_deg.tolist(), strict=True):
        predicted.setdefault(tuple(index), []).append(angle)
    assert predicted.keys() == found.keys()
    assert (osc < 1) or len(found) > 8
    for index, angles in found.items():
        assert predicted[index] == pytest.approx(angles, abs=1e-6)
    assert (np.diff(spots.phi_deg) >= 0).all()


@pytest.mark.parametrize(
    "width", ["", "-mosaic 0.7 -mosaic_domains 5", "-divergence 9 -divsteps 3", "-dispersion 3 -dispsteps 4"]
)
def test_every_reflection_near_the_sphere_is_found(width: str) -> None:
    """The rule as it is documented, on every reflection to 2 Å; the detector is all round."""
    args = f"-cell 17 23 29 70 95 102 -misset 5 6 7 -lambda 1.3 -N 9 {width}"
    spots = predict(experiment_of(f"{args} -detpixels 900 -pixel 2 -distance 90 -dmin 2 -phi 33"))
    stars = spots.a_matrix()
    sources = spots.resolved.sources
    beam = np.array(spots.resolved.geometry.beam)
    divergence = max(np.arccos(min(1.0, s @ beam)) for s in sources.incident)
    mosaic = np.radians(0.7) if "mosaic" in width else 0.0
    band = sources.wavelength_angstrom
    expected = set()
    for hkl in np.ndindex(31, 31, 31):
        index = np.array(hkl) - 15
        r = stars @ index
        if not 0.0 < np.linalg.norm(r) <= 0.5:
            continue
        wavelength = min(max(-2 * (r @ beam) / (r @ r), band.min()), band.max())
        s1 = beam / wavelength + r
        n = s1 / np.linalg.norm(s1)
        cos_theta = np.sqrt(1 - (n @ r) ** 2 / (r @ r))
        width_ = np.abs(stars.T @ n).sum() / 9 + (mosaic + divergence) * np.linalg.norm(r) * cos_theta
        if abs(np.linalg.norm(s1) - 1 / wavelength) <= width_ and s1 @ beam > 0:
            expected.add(tuple(index.tolist()))
    assert {tuple(index) for index in spots.hkl.tolist()} == expected
    assert len(expected) > 100
    np.testing.assert_allclose(spots.phi_deg, 33.0, rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "faintest"),
    [
        ("-round_xtal", 0.0),
        ("-gauss_xtal -fudge 0.5", 0.1),
        ("-tophat_spots -fudge 0.1", 1.0),
        ("-gauss_xtal -gauss_width edges -phi 40", 0.1),
        ("-tophat_spots -gauss_width edges -phi 40", 1.0),
    ],
)
def test_a_shape_reaches_as_far_as_its_lattice_factor_does(shape: str, faintest: float) -> None:
    """The amplitude of the predicted reflection that is farthest from the sphere, where the sphere is nearest."""
    spots = predict(experiment_of(f"-cell 70 70 70 -misset 3 4 5 -N 7 {shape} -distance 70 -detpixels 900 -pixel 0.4"))
    s1 = np.array(spots.resolved.geometry.beam) + spots.hkl @ spots.a_matrix().T
    off = np.linalg.norm(s1, axis=1) - 1.0
    farthest = int(np.abs(off).argmax())
    assert len(spots) > 400
    crystal = spots.resolved.plan.crystal
    peak = lattice_factor(crystal, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    amplitude = []
    for further in (1.0, 1.02):
        ray = s1[farthest] / np.linalg.norm(s1[farthest]) * off[farthest] * further
        delta = np.linalg.solve(spots.a_matrix(), ray).tolist()
        amplitude.append(lattice_factor(crystal, *delta, *delta) / peak)
    assert amplitude[0] >= faintest > amplitude[1]


@pytest.mark.parametrize("cause", ["-mosaic 0.5 -mosaic_domains 3", "-divergence 9 -divsteps 3"])
def test_a_spot_of_a_still_lies_where_its_cause_puts_it(cause: str) -> None:
    """A turned domain keeps d and moves along the powder ring; a tilted ray keeps r: to second order in the angle."""
    spots = predict(experiment_of(f"{OBLIQUE} -N 400 -distance 150 -detpixels 400 -pixel 0.5 {cause}"))
    detector, beam = spots.resolved.plan.detector, np.array(spots.resolved.geometry.beam)
    assert len(spots) > 300
    r = spots.hkl @ spots.a_matrix().T
    points = np.array([position(detector, *(xy * detector.pixel).tolist(), 0.0) for xy in spots.pixel])
    s1 = points / np.linalg.norm(points, axis=1)[:, np.newaxis] / 1.03
    if "mosaic" in cause:
        np.testing.assert_allclose(np.linalg.norm(s1 - beam / 1.03, axis=1), 1.0 / spots.d_angstrom, rtol=8e-5)
    else:
        np.testing.assert_allclose(np.linalg.norm(s1 - r, axis=1), 1.0 / 1.03, rtol=8e-5)
    from_sphere = np.linalg.norm(r + beam / 1.03, axis=1) - 1.0 / 1.03
    assert np.abs(from_sphere).max() > 1e-3


def test_a_thick_sensor_stops_photons_behind_its_surface() -> None:
    args = f"{OBLIQUE} -default_F 100 -N 25 -gauss_xtal -fudge 0.0126 -distance 200 -detpixels 400 -pixel 0.1"
    scan = f"{args} -twotheta 34 -phi 3 -osc 1 -phisteps 20 -oversample 2"
    sensor = "-detector_thick 1500 -detector_abs 600 -detector_thicksteps 12"
    with pytest.warns(nbnumba.NbnumbaWarning, match="-oversample"):
        image = nbnumba.simulate(experiment_of(f"{scan} {sensor}"), backend="cpu")
    surface, deep = predict(experiment_of(scan)), predict(experiment_of(f"{scan} {sensor}"))
    wider = predict(experiment_of(f"{scan} {sensor} -phi 2 -osc 3"))
    checked = 0
    for hkl, (fast, slow), phi in zip(deep.hkl.tolist(), deep.pixel, deep.phi_deg, strict=True):
        rows, columns = (slice(int(x) - 12, int(x) + 13) for x in (slow, fast))
        window = image.photons[rows, columns].astype(float)
        others = np.delete(wider.pixel, row_of(wider, tuple(hkl)), axis=0) - (fast, slow)
        if window.shape != (25, 25) or not 3.2 < phi < 3.8 or np.abs(others).max(axis=1).min() < 25:
            continue
        s, f = np.mgrid[rows, columns] + 0.5
        centre = (np.sum(f * window) / window.sum(), np.sum(s * window) / window.sum())
        assert centre == pytest.approx((fast, slow), abs=0.25)
        assert np.linalg.norm(surface.pixel[row_of(surface, tuple(hkl))] - (fast, slow)) > 1.5
        checked += 1
    assert checked >= 3


# --- maps and matrices -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:-oversample:nbnumba.NbnumbaWarning")
@pytest.mark.parametrize(
    "geometry", ["", "-xds -twotheta 12", "-adxv -detector_rotz 20", "-curved_det -twotheta 9", "-curved_det -mode c"]
)
@pytest.mark.parametrize("turn", ["", "-phi 17 -osc 3 -phisteps 4"])
def test_the_map_of_indices_is_what_a_trace_says(geometry: str, turn: str) -> None:
    detector = f"-detpixels_f 21 -detpixels_s 17 -pixel 5 -oversample 1 {geometry}"
    experiment = experiment_of(f"{OBLIQUE} -N 2 -default_F 1 -nointerpolate {turn} {detector}")
    found = resolve(experiment, read_inputs(experiment))
    image = Image(found, np.zeros((17, 21), np.float32))
    steps = np.degrees(found.scan.phi_rad)
    for slow, fast in ((0, 0), (3, 20), (16, 11)):
        trace = trace_pixel(found, slow, fast)
        for taps, phi in zip(trace.phi, steps, strict=True):
            assert image.hkl_map(phi)[slow, fast] == pytest.approx(taps["hkl_frac"], abs=1e-9)
        q = length(trace.pixel["scattering_vec_A_inv"]) / 1e10
        assert image.resolution_map()[slow, fast] == pytest.approx(1 / q, rel=1e-12)
    np.testing.assert_array_equal(image.hkl_map(), image.hkl_map(found.scan.start_deg))
    np.testing.assert_array_equal(hkl_map(experiment), image.hkl_map())
    assert image.hkl_map().shape == (17, 21, 3)


def test_the_direct_beam_has_no_resolution() -> None:
    experiment = experiment_of("-cell 70 80 90 -default_F 1 -detpixels 11 -Xbeam 0.5 -Ybeam 0.5 -distance 100")
    d = nbnumba.simulate(experiment, backend="cpu").resolution_map()
    assert np.isinf(d[5, 5])
    assert np.isinf(d).sum() == 1


def test_the_matrix_turns_with_the_spindle_and_makes_the_same_crystal(tmp_path: Path) -> None:
    args = "-lambda 1.4 -detpixels 30 -pixel 2 -default_F 50 -N 4 -backend cpu"
    first = nbnumba.simulate(experiment_of(f"{args} -cell 61 72 83 78 84 97 -misset random -seed 11 -phi 37"), "cpu")
    a = first.a_matrix()
    (tmp_path / "A.mat").write_text("\n".join(" ".join(f"{1.4 * x:.17g}" for x in row) for row in a))
    again = nbnumba.simulate(experiment_of(f"{args} -mat {tmp_path / 'A.mat'}"), "cpu")
    np.testing.assert_allclose(again.photons, first.photons, rtol=1e-5, atol=1e-9 * first.photons.max())
    np.testing.assert_allclose(again.a_matrix(), a, atol=1e-15)
    lattice = first.resolved.lattice
    np.testing.assert_allclose(first.a_matrix(0.0).T, [lattice.a_star, lattice.b_star, lattice.c_star], atol=1e-15)
    np.testing.assert_allclose(first.a_matrix(397.0), a, atol=1e-15)

    told = changed(first.experiment, crystal={"misset_deg": first.misset_deg})
    np.testing.assert_allclose(predict(told).a_matrix(), a, atol=1e-15)
    assert first.misset_deg == predict(first.experiment).misset_deg
    assert first.misset_deg != (0.0, 0.0, 0.0)


# --- what is not predicted -------------------------------------------------------------------------------------------


def test_an_orientation_that_no_seed_decides_is_refused() -> None:
    random = experiment_of("-cell 70 80 90 -misset random")
    for asked in (predict, hkl_map):
        with pytest.raises(UsageError, match=r"-misset random: no seed .* -misset_seed"):
            asked(random)
    assert len(predict(changed(random, crystal={"misset_seed": 3, "cells": (90, 90, 90)})))


def test_the_curved_detector_of_mode_c_is_refused() -> None:
    with pytest.raises(UsageError, match=r"-curved_det: .*mode c"):
        predict(experiment_of("-cell 70 80 90 -curved_det -mode c"))


def test_structure_factors_and_sub_pixels_are_not_needed() -> None:
    spots = predict(experiment_of("-cell 70 80 90 -hkl missing.hkl -samplesize 0.1 -misset 3 4 5 -osc 0.1"))
    assert len(spots) > 50


def test_nothing_is_predicted_where_nothing_falls() -> None:
    none = predict(experiment_of("-cell 3 3 3 -N 300 -detpixels 20 -distance 900 -osc 1"))
    assert len(none) == 0
    assert (none.hkl.shape, none.hkl.dtype, none.pixel.shape, none.phi_deg.shape) == ((0, 3), np.int32, (0, 2), (0,))


def test_dmin_ends_the_predictions() -> None:
    scan = experiment_of(f"{OBLIQUE} -N 50 -osc 2 -distance 90")
    every, some = predict(scan), predict(changed(scan, sampling={"dmin_angstrom": 3.0}))
    kept = every.d_angstrom >= 3.0
    assert 20 < kept.sum() < len(every)
    np.testing.assert_array_equal(some.hkl, every.hkl[kept])
