"""What the detector reaches, what it cannot see, and what the direct beam hides."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaWarning, UsageError, changed, simulate
from nbnumba.cli import main
from nbnumba.image import Image
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.reach import edge_resolution, spot_width
from nbnumba.setup.resolve import Resolved, resolve

pytestmark = pytest.mark.filterwarnings("ignore:-oversample .* is coarse")
CRYSTAL = "-cell 70 80 90 -N 5 -default_F 100 -oversample 9 "


def resolved(line: str) -> Resolved:
    experiment = parse(line.split()).experiment
    return resolve(experiment, read_inputs(experiment))


# Resolution ----------------------------------------------------------------------------------------------------------


def sampled_resolution(found: Resolved) -> float:
    """The same by brute force: every pixel's far corner, every source."""
    from nbnumba.kernels.equations.pixel import position

    plan = found.plan
    corners = [
        position(plan.detector, plan.detector.pixel * fast, plan.detector.pixel * slow, 0.0)
        for fast in range(plan.detector.fast_pixels + 1)
        for slow in range(plan.detector.slow_pixels + 1)
    ]
    directions = np.array(corners) / np.linalg.norm(corners, axis=1)[:, np.newaxis]
    q = [
        np.linalg.norm(directions - incident, axis=1).max() / wavelength
        for incident, wavelength in zip(found.sources.incident, found.sources.wavelength_angstrom, strict=True)
    ]
    return 1.0 / max(q)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "-Xbeam 3 -Ybeam 20",
        "-detector_roty 15 -twotheta 20",
        "-dispersion 20 -dispsteps 3",
        "-divergence 60 -divsteps 3",
        "-curved_det -distance 20",
    ],
)
def test_edge_is_that_of_the_farthest_corner_of_any_source(options: str) -> None:
    found = resolved(f"{CRYSTAL} -detpixels 24 -pixel 1 {options}")
    edge = edge_resolution(found.plan.detector, found.sources.incident, found.sources.wavelength_angstrom)
    assert edge == pytest.approx(sampled_resolution(found), rel=1e-9)


def test_edge_of_the_picture_is_that_of_the_direct_beam() -> None:
    found = resolved(f"{CRYSTAL} -detpixels 20 -pixel 1 -xds -ORGX 0.5 -ORGY 0.5 -dispersion 10 -dispsteps 3")
    assert found.edge_angstrom == pytest.approx(0.5 / math.sin(0.5 * math.atan(math.hypot(20, 20) / 100)), rel=1e-9)


# What cannot be seen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["-energy 12.66", "-lambda 200", "-lambda 181"])
def test_waves_longer_than_twice_every_spacing_see_nothing(options: str) -> None:
    with pytest.warns(NbnumbaWarning, match=r"longer than twice every spacing of the crystal \(90 Å\).*in eV"):
        resolved(f"-cell 70 80 90 -N 5 -default_F 100 -oversample 1 -detpixels 8 {options}")


def test_the_longest_spacing_need_not_be_that_of_an_axis() -> None:
    """With α = 150°, the planes (0 1 1) of a leaning cell have the larger spacing."""
    line = "-cell 20 100 100 150 90 90 -N 5 -default_F 100 -oversample 99 -detpixels 8 -lambda"
    resolved(f"{line} 150")
    with pytest.warns(NbnumbaWarning, match="longer than twice every spacing"):
        resolved(f"{line} 200")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-distance 0.1", "-distance 0.1: is it meant in mm"),
        ("-pixel 172 -detsize 3000", "-pixel 172: is it meant in mm"),
        ("-beamsize 50", "-beamsize 50: is it meant in mm"),
        ("-detector_thick 0.45 -detector_abs 300", "-detector_thick 0.45: is it meant in µm"),
        ("-mosaic 120 -mosaic_domains 2", "-mosaic 120: is it meant in degrees"),
        ("-lambda 1e-10", "-lambda 1e-10: is it meant in Å"),
    ],
)
@pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")
def test_values_of_another_unit_get_a_word(options: str, said: str) -> None:
    with pytest.warns(NbnumbaWarning, match=said):
        resolved(f"-cell 70 80 90 -N 1 -default_F 100 -oversample 1 -detpixels 8 {options}")


@pytest.mark.parametrize("shape", ["gauss_xtal", "tophat_spots"])
def test_needles_finer_than_the_samples_get_a_word(shape: str) -> None:
    line = f"-cell 70 80 90 -default_F 100 -oversample 11 -detpixels 8 -N 40 -{shape}"
    with pytest.warns(NbnumbaWarning, match="finer than the .* between samples.*or -gauss_width edges"):
        resolved(line)
    resolved(f"{line} -gauss_width edges")
    resolved(line.replace("-N 40", "-N 5"))


@pytest.mark.parametrize("shape", ["gauss_xtal", "tophat_spots"])
@pytest.mark.parametrize("width", ["reference", "edges"])
@pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")
def test_width_of_a_spot_is_that_of_its_image(shape: str, width: str) -> None:
    """Full width at half maximum of the intensity across a reflection, along a*, of a crystal long enough to be it."""
    from nbnumba.kernels.equations.lattice_factor import lattice_factor

    found = resolved(f"-cell 70 80 90 -default_F 100 -detpixels 8 -N 6 -Na 9 -fudge 0.7 -{shape} -gauss_width {width}")
    crystal = found.plan.crystal
    delta = np.linspace(-0.4, 0.4, 20_001)
    intensity = np.array([lattice_factor(crystal, d, 0.0, 0.0, d, 0.0, 0.0) ** 2 for d in delta])
    above = delta[intensity >= 0.5 * intensity.max()]
    full_width = (above[-1] - above[0]) / 70.0
    assert spot_width(found.experiment, found.lattice) == pytest.approx(full_width, rel=1e-3)


# The direct beam -----------------------------------------------------------------------------------------------------

MODEL = (
    "CRYST1   60.000   60.000   60.000  90.00  90.00  90.00 P 1           1\n"
    + "".join(
        f"ATOM  {n:5d}  C   GLY A{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C\n"
        for n, (x, y, z) in enumerate(np.random.default_rng(1).uniform(0.0, 60.0, (400, 3)), start=1)
    )
    + "END\n"
)


@pytest.fixture
def lit(tmp_path: Path) -> Any:
    (tmp_path / "m.pdb").write_text(MODEL)
    line = f"-pdb {tmp_path}/m.pdb -nosolvent -N 8 -misset 10 20 30 -detpixels 128 -pixel 0.5 -oversample 3 -seed 1"

    def render(options: str = "") -> Image:
        return simulate(Experiment.from_args([*line.split(), *options.split()]))

    return render


def test_scales_show_the_diffraction_not_the_direct_beam(lit: Any) -> None:
    image = lit()
    slow, fast = image.statistics.maximum_slow, image.statistics.maximum_fast
    assert math.hypot(fast + 0.5 - image.geometry.beam_center_px[0], slow + 0.5 - image.geometry.beam_center_px[1]) < 3
    aside = image.photons.copy()
    aside[slow - 4 : slow + 5, fast - 4 : fast + 5] = 0.0
    assert image.statistics.maximum > 20.0 * aside.max()
    assert image.int_scale == pytest.approx(55000.0 / aside.max(), rel=1e-6)
    assert lit("-mode c").int_scale == pytest.approx(55000.0 / image.statistics.maximum, rel=1e-6)


@pytest.mark.parametrize(("options", "is_said"), [("", True), ("-scale 2", False), ("-mode c", False)])
def test_report_says_where_the_direct_beam_is_left_out(
    options: str, is_said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.pdb").write_text(MODEL)
    assert main(f"-pdb m.pdb -nosolvent -N 8 -detpixels 64 -pixel 1 -oversample 3 -nonoise {options}".split()) == 0
    assert ("beside the direct beam's spot" in capsys.readouterr().out) == is_said


def test_beamstop_is_a_disc_about_the_beam(lit: Any) -> None:
    whole, stopped = lit(), lit("-beamstop 3.2")
    beam = np.array(whole.geometry.beam_center_px) * 0.5
    fast, slow = np.meshgrid((np.arange(128) + 0.5) * 0.5 - beam[0], (np.arange(128) + 0.5) * 0.5 - beam[1])
    behind = np.hypot(fast, slow) <= 3.2
    assert behind.sum() == pytest.approx(math.pi * 3.2**2 / 0.25, rel=0.05)
    np.testing.assert_array_equal(stopped.photons, np.where(behind, np.float32(0.0), whole.photons))
    assert stopped.statistics.pixels == 128 * 128 - behind.sum()


@pytest.mark.parametrize("angle", [0.0, 90.0, -90.0, 180.0, 33.0])
@pytest.mark.parametrize("options", ["", "-twotheta 25 -detector_rotx 10", "-xds -mode c"])
def test_the_arm_of_a_beamstop_goes_from_its_disc_to_the_edge(angle: float, options: str) -> None:
    line = f"{CRYSTAL} -detpixels_f 90 -detpixels_s 70 -pixel 0.5 -Xbeam 13.1 -Ybeam 19.7 {options} -beamstop 2"
    disc = resolved(line).plan.detector.mask
    found = resolved(f"{line} -beamstop_arm 1.3 {angle}")
    beam = np.array(found.geometry.beam_center_px) * 0.5
    fast, slow = np.meshgrid((np.arange(90) + 0.5) * 0.5 - beam[0], (np.arange(70) + 0.5) * 0.5 - beam[1])
    # Turned back by the angle, the arm lies along fast.
    turned = (fast + 1j * slow) * np.exp(-1j * math.radians(angle))
    behind = (turned.real >= 0) & (np.abs(turned.imag) <= 0.65)
    assert behind.sum() > 20
    np.testing.assert_array_equal(found.plan.detector.mask, np.where(behind, 0, disc))
    edges = {0.0: np.s_[:, -1], 90.0: np.s_[-1], -90.0: np.s_[0], 180.0: np.s_[:, 0]}
    assert all(0 < (found.plan.detector.mask[edge] == 0).sum() < 4 for edge in [edges.get(angle)] if edge is not None)


def test_an_arm_without_a_beamstop_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^-beamstop_arm 0.5 90 without -beamstop: give the radius of the disc"):
        resolved(f"{CRYSTAL} -beamstop_arm 0.5 90")
    with pytest.raises(UsageError, match=r"^-beamstop_arm 0: must be above 0"):
        resolved(f"{CRYSTAL} -beamstop 2 -beamstop_arm 0 90")


def test_scales_of_one_f_for_all_leave_nothing_out() -> None:
    image = simulate(Experiment.from_args(f"{CRYSTAL} -detpixels 16 -pixel 1".split()))
    assert image.int_scale == 55000.0 / image.statistics.maximum


# Sides and steps -----------------------------------------------------------------------------------------------------


def test_a_detector_that_faces_away_is_refused_but_not_in_mode_c() -> None:
    line = "-cell 70 80 90 -N 5 -default_F 100 -oversample 9 -detpixels 8 -odet_vector"
    with pytest.raises(UsageError, match="which makes its solid angles and photons negative"):
        resolved(f"{line} -1 0 0")
    with pytest.warns(NbnumbaWarning, match="photons negative, as in nanoBragg"):
        image = simulate(parse(f"{line} 0 0 1 -mode c -Xbeam 0.05 -Ybeam 0.05".split()).experiment)
    assert image.photons.max() < 0.0


@pytest.mark.parametrize(
    "detector",
    [
        pytest.param("-curved_det -distance 20 -detpixels_f 33 -detpixels_s 2 -pixel 2", id="curved"),
        pytest.param(
            "-fdet_vector 0 0 1 -sdet_vector 0 -1 0 -odet_vector 0.6 0.8 0 -distance 20 -detpixels 41 -pixel 2",
            id="leaning normal",
        ),
    ],
)
def test_a_sensor_is_not_entered_from_behind_but_in_mode_c(detector: str) -> None:
    """Where a ray runs against the normal, the fractions of exp(-depth/cosine) are negative."""
    line = f"-cell 70 80 90 -N 2 -default_F 100 -oversample 1 -lambda 1 {detector}"
    sensor = "-detector_thick 100 -detector_abs 100"
    assert simulate(Experiment.from_args(line.split())).photons.min() > 0.0
    with pytest.raises(UsageError, match="-detector_thick 100: pixels more than 90 degrees from the detector's normal"):
        resolved(f"{line} {sensor}")
    in_front = simulate(Experiment.from_args(f"{line} {sensor} -roi 12 20 0 1".split())).photons
    assert in_front[:2, 12:21].min() > 0.0
    resolved(f"{line} {sensor} -mode c")


def test_phi_in_the_middle_of_each_step() -> None:
    scan = {"phi_deg": 10.0, "oscillation_deg": 1.0, "steps": 4}
    experiment = changed(parse(f"{CRYSTAL} -detpixels 8".split()).experiment, scan=scan)
    start = resolve(experiment, read_inputs(experiment)).scan
    middle = changed(experiment, scan={"phi_sampling": "middle"})
    found = resolve(middle, read_inputs(middle)).scan
    np.testing.assert_allclose(np.degrees(start.phi_rad), [10.0, 10.25, 10.5, 10.75])
    np.testing.assert_allclose(np.degrees(found.phi_rad), [10.125, 10.375, 10.625, 10.875])
    assert np.degrees(found.phi_rad).mean() == pytest.approx(10.5)
    assert (found.start_deg, found.oscillation_deg) == (start.start_deg, start.oscillation_deg)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-hdivrange 0.3 -hdivsteps 1", "-hdivsteps 1 with -hdivrange 0.3 makes 2"),
        ("-dispersion 1 -dispsteps 1", "-dispsteps 1 with -dispersion 1 makes 2"),
    ],
)
def test_one_step_that_becomes_two_gets_a_word(options: str, said: str) -> None:
    with pytest.warns(NbnumbaWarning, match=said):
        assert len(resolved(f"{CRYSTAL} -detpixels 8 {options}").sources.weight) == 2
    assert len(resolved(f"{CRYSTAL} -detpixels 8 -hdivsteps 1 -dispsteps 1 -dispersion 0").sources.weight) == 1


# How many sub-pixels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edge", "cells", "fringes"), [(20.0, 50, 3), (50.0, 40, 6), (62.5, 64, 12), (40.0, 25, 3)])
def test_sub_pixels_do_not_depend_on_the_orientation(edge: float, cells: int, fringes: int) -> None:
    """Where three times the crystal is a whole number of fringes, rounding must not decide for one more."""
    line = f"-cell {edge:g} -N {cells} -default_F 1 -detpixels 2 -pixel 0.1 -distance 100 -misset"
    turned = [resolved(f"{line} {angles}") for angles in ("0 0 0", "10 20 30", "0 45 0", "-77 3 120", "90 0 0")]
    assert {found.recommended_oversample for found in turned} == {fringes}


RECORDED = [
    ("-cell 20 -N 50 -distance 100 -pixel 0.1", 4),
    ("-cell 20 -N 50 -distance 100 -pixel 0.1 -misset 10 20 30", 4),
    ("-cell 30 40 50 90 100 90 -N 100 -misset 0 45 0 -distance 200 -pixel 0.4", 31),
    ("-cell 40 50 60 -N 25 -misset random -misset_seed 5 -lambda 1.5 -distance 200 -pixel 0.4", 7),
    ("-cell 62.5 -N 64 -misset 0 45 0 -lambda 0.9 -distance 50 -pixel 0.075", 20),
    ("-cell 30 40 50 90 100 90 -N 20 -lambda 1.5 -distance 200 -pixel 0.2", 3),
]


@pytest.mark.parametrize(("options", "sub_pixels"), RECORDED)
def test_mode_c_has_as_many_sub_pixels_as_the_reference(options: str, sub_pixels: int) -> None:
    """What it printed, where a whole number of fringes leaves the choice to the last bit."""
    assert resolved(f"-mode c {options} -default_F 1 -detpixels 2").recommended_oversample == sub_pixels
