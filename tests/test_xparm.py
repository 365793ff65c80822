"""XPARM.XDS as -img: what is written is read back, XDS's own precision and segments, and what is wrong."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_matches

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, simulate
from nbnumba.formats.found import Found, read_found
from nbnumba.image import Image
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

SAMPLED = "-default_F 100 -N 8 -oversample 1 -phistep 0.25 -nonoise -adc 0"
IMAGE = (
    f"{SAMPLED} -cell 40 50 60 90 101 90 -misset 10 20 30 -lambda 0.97951 -phi 12.5 -osc 0.5 -detpixels_f 60 "
    "-detpixels_s 50 -pixel 1 -distance 113.7"
)
TILTED = "-detector_rotx 3 -detector_roty 2 -detector_rotz 1 -twotheta 13"
OWN_SPINDLE = "-beam_vector 0.9 0.1 0.1 -spindle_axis 0.1 0.2 0.9 -polar_vector 0.1 -0.3 0.8 -odet_vector 1 0 0"

pytestmark = [
    pytest.mark.filterwarnings("ignore:-oversample 1 is coarse"),
    pytest.mark.filterwarnings("ignore:-odet_vector .* is not of length 1"),
]

GOOD = """\
 XPARM.XDS    VERSION Jun 30, 2023  BUILT=20230630
     1       12.5000    0.5000  0.999998 -0.001590  0.000520
       1.100000       0.001200      -0.000700       0.909090
    16    31.0000    35.0000    41.0000  90.000  90.000  90.000
      24.800000      18.600000       0.000000
     -21.000000      28.000000       0.000000
       0.000000       0.000000      41.000000
         1        60        50    1.000000    1.000000
      30.500000      25.500000     113.700000
       1.000000       0.000000       0.000000
       0.000000       0.999848       0.017452
       0.000000      -0.017452       0.999848
         1         1        60         1        50
    0.00    0.00    0.00  1.00000  0.00000  0.00000  0.00000  1.00000  0.00000
"""
"""With as many digits as XDS writes."""
WHOLE = GOOD.splitlines()[12:]
SEGMENTS = [
    "1 1 60 1 24",
    "0.00 0.00 0.00 1.00000 0.00000 0.00000 0.00000 1.00000 0.00000",
    "2 1 60 27 50",
    "0.25 -1.50 0.30 0.99985 0.01745 0.00000 -0.01745 0.99970 0.01745",
]


def written(tmp_path: Path, *changes: tuple[int, str]) -> Path:
    """GOOD with other lines, by their numbers from 1."""
    lines = GOOD.splitlines()
    for number, line in changes:
        lines[number - 1] = line
    path = tmp_path / "XPARM.XDS"
    path.write_text("\n".join(lines) + "\n")
    return path


def in_segments(tmp_path: Path, *segments: str) -> Path:
    path = written(tmp_path, (8, f"{len(segments) // 2} 60 50 1.0 1.0"))
    path.write_text(path.read_text().replace("\n".join(WHOLE), "\n".join(segments)))
    return path


def found_in(path: Path) -> Found:
    found = read_found(path)
    assert isinstance(found, Found)
    return found


def resolved(args: str) -> Resolved:
    experiment = Experiment.from_args(shlex.split(args))
    return resolve(experiment, read_inputs(experiment))


def save(path: Path, args: str) -> None:
    of = resolved(args)
    shape = sum(panel.slow_pixels for panel in of.panels), max(panel.fast_pixels for panel in of.panels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image(of, np.zeros(shape, np.float32)).save(path)


def directions(of: Resolved) -> np.ndarray:
    """From the sample to the corners of the detector, in axes along the beam and along the spindle."""
    panel = of.panels[0]
    fast, slow, origin = map(np.array, (panel.fast, panel.slow, panel.origin_m))
    corners = [
        origin + panel.pixel_m * (i * fast + j * slow)
        for i, j in ((0, 0), (panel.fast_pixels, 0), (0, panel.slow_pixels))
    ]
    z = np.array(panel.beam)
    x = np.array(panel.spindle) - z * (z @ panel.spindle)
    x /= np.linalg.norm(x)
    return np.array(corners) @ np.array([x, np.cross(z, x), z]).T


@pytest.mark.parametrize("options", ["", TILTED, f"{TILTED} -Xbeam 20 -Ybeam 31"])
@pytest.mark.parametrize("axes", ["-mosflm", "-denzo", "-adxv", "-xds", "-dials", OWN_SPINDLE])
def test_what_is_written_is_read_back(tmp_path: Path, axes: str, options: str) -> None:
    line = f"{IMAGE} {options} {axes}"
    save(tmp_path / "XPARM.XDS", line)
    own, read = resolved(line), resolved(f"{SAMPLED} -img {tmp_path / 'XPARM.XDS'}")
    np.testing.assert_allclose(directions(read), directions(own), rtol=0, atol=1e-10)
    assert read.wavelength_angstrom == own.wavelength_angstrom
    assert read.lattice.cell == pytest.approx(own.lattice.cell, abs=1e-8)
    assert (read.scan.start_deg, read.scan.oscillation_deg) == (12.5, 0.5)
    assert read.panels[0].spindle @ np.array(read.panels[0].beam) == pytest.approx(
        own.panels[0].spindle @ np.array(own.panels[0].beam), abs=1e-9
    )


@pytest.mark.parametrize("axes", ["-mosflm", "-adxv", "-dials", f"{OWN_SPINDLE} -nopolar", f"{TILTED} -mosflm"])
def test_what_is_written_makes_the_same_image(tmp_path: Path, axes: str) -> None:
    line = f"{IMAGE} {axes}"
    save(tmp_path / "GXPARM.XDS", line)
    read = f"{SAMPLED} {'-nopolar' if '-nopolar' in axes else ''} -img {tmp_path / 'GXPARM.XDS'}"
    own, again = (simulate(Experiment.from_args(shlex.split(args)), "cpu").photons for args in (line, read))
    assert own.max() > 100 * np.median(own)
    # Directions are written to 10 digits.
    np.testing.assert_allclose(again, own, rtol=0, atol=1e-5 * own.max())


def test_rounded_axes_are_at_right_angles_and_the_detector_can_be_moved(tmp_path: Path) -> None:
    path = written(tmp_path, (11, "0.000010 0.999848 0.017452"))
    panel = resolved(f"{SAMPLED} -img {path}").panels[0]
    axes = np.array([panel.fast, panel.slow])
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), rtol=0, atol=1e-15)
    np.testing.assert_allclose(axes, [[1, 0, 0], [0, 0.999848, 0.017452]], rtol=0, atol=2e-5)
    assert resolved(f"{SAMPLED} -img {path} -distance 200").geometry.distance_m == pytest.approx(0.2)
    # Turned about x by 1 degree, its nearest point is the centre of pixel (30.5, 25.5).
    np.testing.assert_allclose(
        np.array(panel.origin_m) + 0.03 * axes[0] + 0.025 * axes[1],
        0.1137 * np.array([0, -0.017452, 0.999848]), rtol=0, atol=1e-6,
    )  # fmt: skip


def test_beam_spindle_and_crystal_are_those_of_the_file(tmp_path: Path) -> None:
    of = resolved(f"{SAMPLED} -img {written(tmp_path)}")
    panel = of.panels[0]
    np.testing.assert_allclose(panel.beam, [0.00132, -0.00077, 0.9999988], rtol=0, atol=1e-7)
    np.testing.assert_allclose(panel.spindle, [0.9999986, -0.00159, 0.00052], rtol=0, atol=1e-7)
    np.testing.assert_allclose(panel.polarization, [1, 0, -0.00132], rtol=0, atol=1e-6)
    edges = [[24.8, 18.6, 0], [-21, 28, 0], [0, 0, 41]]
    np.testing.assert_allclose([of.lattice.a, of.lattice.b, of.lattice.c], edges, rtol=0, atol=1e-12)
    assert of.wavelength_angstrom == 1.1


def test_options_come_first(tmp_path: Path) -> None:
    of = resolved(
        f"{SAMPLED} -img {written(tmp_path)} -lambda 1.2 -phi 3 -osc 0.25 -cell 70 80 90 90 90 90 -distance 90 "
        "-Xbeam 10 -spindle_axis 0 1 0 -detpixels_f 20"
    )
    assert (of.wavelength_angstrom, of.scan.start_deg, of.scan.oscillation_deg) == (1.2, 3.0, 0.25)
    assert of.lattice.cell == pytest.approx((70, 80, 90, 90, 90, 90))
    assert of.geometry.distance_m == pytest.approx(0.09)
    assert of.panels[0].spindle == (0.0, 1.0, 0.0)
    assert of.panels[0].fast_pixels == 20
    with pytest.raises(UsageError, match=r"^-adxv beside -img .*XPARM.XDS, which has axes of its own"):
        resolved(f"{SAMPLED} -adxv -img {written(tmp_path)}")


# Segments --------------------------------------------------------------------------------------------------------


def test_segments_are_panels(tmp_path: Path) -> None:
    """By the formula of XDS's manual, written out."""
    path = in_segments(tmp_path, *SEGMENTS)
    found = found_in(path)
    ed = np.array([[1, 0, 0], [0, 0.999848, -0.017452], [0, 0.017452, 0.999848]])
    eds = np.array([[0.99985, -0.01745, 0.0003], [0.01745, 0.99970, -0.01745], [0, 0.01745, 0.99985]])
    origin = ed @ [-30.5, -25.5, 113.7]
    first, second = found.values["detector"]["panels"]
    assert (first.fast_pixels, first.slow_pixels, second.fast_pixels, second.slow_pixels) == (60, 24, 60, 24)
    np.testing.assert_allclose(first.origin_mm, origin + ed @ [0.5, 0.5, 0], rtol=0, atol=1e-4)
    expected = origin + ed @ eds @ [0.5 - 0.25, 26.5 + 1.5, 0.3]
    np.testing.assert_allclose(second.origin_mm, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(second.fast_step_mm, (ed @ eds)[:, 0], rtol=0, atol=2e-4)
    np.testing.assert_allclose(second.slow_step_mm, (ed @ eds)[:, 1], rtol=0, atol=2e-4)
    near, far = (resolved(f"{SAMPLED} -img {path} {option}") for option in ("", "-distance 213.7"))
    moved = np.array(far.panels[1].origin_m) - near.panels[1].origin_m
    # XDS's distance is along the normal.
    along = 0.2137 - 0.1137 / (near.panels[0].beam @ ed[:, 2])
    np.testing.assert_allclose(moved, along * np.array(near.panels[0].beam), rtol=0, atol=1e-7)


def test_flat_segments_make_the_image_of_the_whole(tmp_path: Path) -> None:
    whole = simulate(Experiment.from_args(shlex.split(f"{SAMPLED} -img {written(tmp_path)}")), "cpu").photons
    path = in_segments(tmp_path, "1 1 60 1 20", WHOLE[1], "2 1 60 21 50", WHOLE[1])
    parts = simulate(Experiment.from_args(shlex.split(f"{SAMPLED} -img {path}")), "cpu").photons
    assert whole.max() > 100 * np.median(whole)
    assert_matches(parts, whole)


def test_one_segment_of_a_larger_image_is_a_mask(tmp_path: Path) -> None:
    of = resolved(f"{SAMPLED} -img {written(tmp_path, (13, '1 3 60 1 40'))}")
    expected = np.zeros((50, 60), bool)
    expected[:40, 2:] = True
    np.testing.assert_array_equal(np.asarray(of.plans[0].detector.mask) != 0, expected)


# What is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "line", "said"),
    [
        (2, "1 0 0.5 1 0", r"must be 6 numbers between blanks, first image, its angle, .*, and has 5: "),
        (2, "1 0 0.5 1 0 x", r"rotation axis must be a finite number, not 'x'"),
        (2, "1 0 nan 1 0 0", r"rotation axis must be a finite number, not 'nan'"),
        (2, "1 0 1e300 1 0 0", r"rotation axis: must be at most "),
        (2, "1 0 -0.5 1 0 0", r"the range must be 0 or more degrees: turn axis and angle about"),
        (2, "1 0 0.5 0 0 0", r"rotation axis: has no direction"),
        (3, "0 0 0 1", r"the wavelength must be above 0, not 0"),
        (3, "1 0 0 0", r"beam direction: has no direction"),
        (4, "0 31 35 41 90 90 90", r"the space group must be a whole number from 1 to 230, not 0"),
        (7, "0 0 0", r"axis c of the cell: with a and b it spans no cell"),
        (7, "49.6 37.2 0", r"axis c of the cell: with a and b it spans no cell"),
        (8, "1 60.5 50 1 1", r"pixels must be a whole number from 1 to .*, not 60.5"),
        (8, "1 60000 50000 1 1", r"60000 x 50000 pixels are more than"),
        (8, "0 60 50 1 1", r"segments must be a whole number from 1 to .*, not 0"),
        (8, "1 60 50 1 0", r"an edge must be above 0, not 0"),
        (9, "30.5 25.5 0", r"ORGX, ORGY, distance: the distance must not be 0 mm"),
        (10, "2 0 0", r"axis x of the detector: must be of length 1, not 2"),
        (11, "0.6 0.8 0", r"axis y of the detector: x and y are not at right angles: their cosine is 0.6"),
        (12, "0 0 -1", r"axis z of the detector: is not the first × the second one"),
        (13, "2 1 60 1 50", r"its number must be a whole number from 1 to 1, not 2"),
        (13, "1 1 61 1 50", r"the last along x must be a whole number from 1 to 60, not 61"),
        (13, "1 1 60 9 8", r"the last along y must be a whole number from 9 to 50, not 8"),
        (14, "0 0 0 1 0 0 1 0 0", r"y axis of segment 1: x and y are not at right angles: their cosine is 1"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(number: int, line: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, (number, line))
    with pytest.raises(InputFileError, match=said) as caught:
        found_in(path)
    assert str(caught.value).startswith(f"{path}:{number}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", range(1, 14))
def test_truncated(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "XPARM.XDS"
    path.write_text("\n".join(GOOD.splitlines()[:kept]) + "\n")
    with pytest.raises(InputFileError, match=rf"XPARM.XDS:{kept}: ends where a line is to follow, .*: it is truncated"):
        found_in(path)


def test_segments_that_have_the_same_pixels_or_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r":15: segment 2 and .*: it has pixels that segment 1 has, too"):
        found_in(in_segments(tmp_path, *SEGMENTS[:2], "2 60 60 24 50", SEGMENTS[3]))
    path = written(tmp_path)
    path.write_text(path.read_text() + "2 1 2 3 4\n")
    with pytest.raises(InputFileError, match=r":15: is behind the last segment"):
        found_in(path)


def test_constants_of_another_cell_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, (4, "16 31 35 51 90 90 90"))
    with pytest.warns(NbnumbaWarning, match=r"XPARM.XDS:4: the cell is another .*, which are taken: 31 35 41 90 90 90"):
        found_in(path)


def test_as_a_matrix_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"is a parameter file of XDS, .*: give it as -img"):
        resolved(f"{SAMPLED} -mat {written(tmp_path)}")


def test_first_lines(tmp_path: Path) -> None:
    for first in (" GXPARM.XDS    VERSION Nov 11, 2013", "XPARM.XDS"):
        assert found_in(written(tmp_path, (1, first))).values["beam"]["wavelength_angstrom"] == 1.1
    with pytest.raises(InputFileError, match="is no SMV image, nor mini-CBF"):
        read_found(written(tmp_path, (1, " XPARM.nXDS")))
