"""Geometries of CrystFEL: places by its formula, what counts for which panel, bad regions, what is wrong, by line."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_matches

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, simulate
from nbnumba.cli import main
from nbnumba.experiment import changed
from nbnumba.formats.found import Found, read_found
from nbnumba.kernels.equations.pixel import position
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

pytestmark = pytest.mark.filterwarnings("ignore:-oversample 1:nbnumba.errors.NbnumbaWarning")

CRYSTAL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -oversample 1".split()
PANELS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, float, float]]] = {
    # Steps as refinement leaves them: lengths 0.9968 to 1.0017, not quite at right angles, some out of the plane.
    "m0": ((0.0003420, -0.9999310, 0.0), (-0.9989760, -0.0000500, 0.0), (2147.07110898, 1131.30172146, -0.000085)),
    "m1": ((0.0020, -1.0017, 0.0041), (-0.9968, 0.0015, -0.002), (1047.5, 1131.0, 0.0)),
    "m2": ((-0.0035, 0.9968, 0.0), (1.0017, 0.0, 0.0), (-1500.25, -1200.5, 0.00025)),
}
RES, CLEN_MM, SIZE = 13333.3, 95.3, (1030, 514)


def geom_of_refined_steps() -> str:
    lines = ["; refined", "adu_per_photon = 1", f"res = {RES}  ", f"clen = {CLEN_MM} mm", "photon_energy = 4570 eV",
             "dim0 = %", "dim1 = ss", "dim2 = fs", "data = /data/data", "group_all = m0,m1,m2"]  # fmt: skip
    for number, (name, (fast, slow, (x, y, z))) in enumerate(PANELS.items()):
        vectors = (
            "".join(f" {value:+.7f}{axis}" for value, axis in zip(step, "xyz", strict=True)) for step in (fast, slow)
        )
        lines += [
            f"{name}/min_fs = 0.0", f"{name}/max_fs = {SIZE[0] - 1}.0", f"{name}/min_ss = {514 * number}.0",
            f"{name}/max_ss = {514 * number + 513}.0",
            *(f"{name}/{key} = {vector}" for key, vector in zip(("fs", "ss"), vectors, strict=True)),
            f"{name}/corner_x = {x:.8f}", f"{name}/corner_y = {y:.8f}  ; px", f"{name}/coffset = {z:.6f}", " ",
        ]  # fmt: skip
    return "\n".join(lines)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "d.geom"
    path.write_text(text)
    return str(path)


def found_in(tmp_path: Path, text: str) -> Found:
    found = read_found(written(tmp_path, text))
    assert isinstance(found, Found)
    return found


def resolved(path: str, options: str = "") -> Resolved:
    experiment = Experiment.from_args([*CRYSTAL, "-img", path, *options.split()])
    return resolve(experiment, read_inputs(experiment))


def test_corners_are_where_the_formula_of_crystfel_has_them(tmp_path: Path) -> None:
    for plan, panel in zip(resolved(written(tmp_path, geom_of_refined_steps())).plans, PANELS.values(), strict=True):
        fast, slow, corner = (np.array(v) for v in panel)
        detector = plan.detector
        for i, j in ((0, 0), (SIZE[0], 0), (0, SIZE[1]), SIZE):
            x, y = (corner[:2] + i * fast[:2] + j * slow[:2]) / RES
            z = CLEN_MM / 1000 + corner[2] + (i * fast[2] + j * slow[2]) / RES
            found = position(detector, i * detector.pixel, j * detector.pixel, 0.0)
            np.testing.assert_allclose(found, (x, y, z), rtol=0, atol=1e-12)
    # Of unit vectors and one pitch for all the far corner would be elsewhere.
    assert np.abs((1 - np.linalg.norm(PANELS["m1"][1])) * SIZE[1] / RES) > 1e-4


def test_what_stands_above_counts_for_the_panels_below_it(tmp_path: Path) -> None:
    text = """
        clen = 0.1
        res = 10000
        min_fs = 0
        max_fs = 7
        fs = x
        ss = -y
        corner_y = 30
        a/corner_x = -20
        a/min_ss = 0
        a/max_ss = 4
        ss = y ; from here on
        coffset = 0.002
        b/corner_x = 20
        b/min_ss = 5
        b/max_ss = 7
        b/max_fs = 3
        a/fs = +0.8x + .6 y - 1e-3z
        a/ss = .6x-0.8*y
    """
    one, two = found_in(tmp_path, text).values["detector"]["panels"]
    assert (one.name, one.fast_pixels, one.slow_pixels, two.name, two.fast_pixels, two.slow_pixels) == (
        "a", 8, 5, "b", 4, 3,
    )  # fmt: skip
    assert one.origin_mm == pytest.approx((-2.0, 3.0, 100.0))
    assert two.origin_mm == pytest.approx((2.0, 3.0, 102.0))
    assert one.fast_step_mm == pytest.approx((0.08, 0.06, -0.0001))
    assert one.slow_step_mm == pytest.approx((0.06, -0.08, 0))
    assert (two.fast_step_mm, two.slow_step_mm) == (pytest.approx((0.1, 0, 0)), pytest.approx((0, 0.1, 0)))


ONE = (
    "p/min_fs = 0\np/max_fs = 19\np/min_ss = 0\np/max_ss = 15\np/corner_x = -10\np/corner_y = -8\np/fs = x\np/ss = y\n"
)
TOP = "clen = 0.1\nres = 2000\nphoton_energy = 9000\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("photon_energy = 9000", 1.377602),
        ("photon_energy = 9 keV", 1.377602),
        ("photon_energy = 9e3 eV", 1.377602),
        ("wavelength = 1.125 A", 1.125),
        ("wavelength = 1.125e-10 m", 1.125),
    ],
)
def test_wavelengths_in_all_units(line: str, expected: float, tmp_path: Path) -> None:
    found = found_in(tmp_path, f"{line}\nclen = 0.1\nres = 2000\n{ONE}")
    assert found.values["beam"]["wavelength_angstrom"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("clen", ["0.0953", "0.0953 m", "95.3 mm", "95.3 mm ; as it was"])
def test_lengths_in_all_units(clen: str, tmp_path: Path) -> None:
    text = f"res = 2000\ncoffset = 0.001 m\n{ONE}clen = {clen}\nphoton_energy = 9000\n"
    assert found_in(tmp_path, text).values["detector"]["distance_mm"] == pytest.approx(96.3)


def test_one_panel_is_a_detector_placed_by_distance_and_beam_centre(tmp_path: Path) -> None:
    path = written(tmp_path, TOP + ONE)
    image = simulate(Experiment.from_args([*CRYSTAL, "-img", path]), "cpu")
    assert image.experiment.detector.panels is None
    vectors = "-beam_vector 0 0 1 -polar_vector 1 0 0 -spindle_axis 1 0 0 -fdet_vector 1 0 0 -sdet_vector 0 1 0"
    options = f"{vectors} -odet_vector 0 0 1 -pixel 0.5 -detpixels_f 20 -detpixels_s 16 -energy 9000 -distance 100"
    explicit = Experiment.from_args([*CRYSTAL, *options.split(), "-Xbeam", "5", "-Ybeam", "4"])
    assert_matches(image.photons, simulate(explicit, "cpu").photons)

    for changes, at in (
        ("-distance 70", (-5.0, -4.0, 70.0)),
        ("-close_distance 60", (-5.0, -4.0, 60.0)),
        ("-Xbeam 3", (-3.0, -4.0, 100.0)),
        ("-ORGX 7.5 -ORGY 4.5", (-3.5, -2.0, 100.0)),
        ("-pixel 0.25", (-5.0, -4.0, 100.0)),
        ("-detpixels_s 30", (-5.0, -4.0, 100.0)),
    ):
        geometry = resolved(path, changes).geometry
        np.testing.assert_allclose(geometry.origin_m, np.array(at) / 1000, rtol=0, atol=1e-15, err_msg=changes)
    assert resolved(path, "-energy 12000").wavelength_angstrom == pytest.approx(1.0332016)
    assert resolved(path, "-detpixels_s 30").geometry.slow_pixels == 30


def test_a_distance_moves_all_panels_along_the_beam(tmp_path: Path) -> None:
    path = written(tmp_path, geom_of_refined_steps())
    as_it_is, moved = resolved(path), resolved(path, "-distance 200")
    by = 0.2 - (CLEN_MM / 1000 + PANELS["m0"][2][2])
    for before, after in zip(as_it_is.panels, moved.panels, strict=True):
        np.testing.assert_allclose(np.subtract(after.origin_m, before.origin_m), (0, 0, by), rtol=0, atol=1e-15)
        assert (after.fast, after.slow) == (before.fast, before.slow)


def test_an_image_s_experiment_gives_it_again(tmp_path: Path) -> None:
    text = TOP + ONE + SECOND.replace("corner_x = -10", "corner_x = 15")
    path = written(tmp_path, text + "bad/min_x = -4\nbad/max_x = 20\nbad/min_y = -5\nbad/max_y = 1\n")
    image = simulate(Experiment.from_args([*CRYSTAL, "-img", path, "-distance", "80"]), "cpu")
    assert np.array_equal(simulate(image.experiment, "cpu").photons, image.photons)
    assert Experiment.from_toml(image.experiment.to_toml()) == image.experiment
    assert 0 < image.statistics.pixels < 2 * 20 * 16


def test_counts_for_each_photon_are_those_of_a_read_out_that_has_them(tmp_path: Path) -> None:
    path = written(tmp_path, TOP + "adu_per_photon = 42\n" + ONE)
    assert resolved(path).experiment.readout.gain == 1.0
    assert resolved(path, "-readout integrating").experiment.readout.gain == 42.0
    assert resolved(path, "-readout integrating -gain 2").experiment.readout.gain == 2.0


# Bad regions -----------------------------------------------------------------------------------------------------


def rendered(found: Resolved, panel: int = 0) -> np.ndarray:
    mask = found.plans[panel].detector.mask
    detector = found.plans[panel].detector
    return mask != 0 if mask.size else np.ones((detector.slow_pixels, detector.fast_pixels), bool)


def test_regions_in_space_take_pixels_whose_first_corner_is_within(tmp_path: Path) -> None:
    text = TOP + ONE.replace("p/fs = x", "p/fs = 0.8x +0.6y").replace("p/ss = y", "p/ss = -0.6x +0.8y")
    path = written(tmp_path, text + "bad_x/min_x = -10\nbad_x/max_x = -4.5\nbad_x/min_y = -8\nbad_x/max_y = 3\n")
    expected = np.ones((16, 20), bool)
    for j in range(16):
        for i in range(20):
            x, y = -10 + 0.8 * i - 0.6 * j, -8 + 0.6 * i + 0.8 * j
            expected[j, i] = not (-10 < x < -4.5 and -8 < y < 3)
    assert 10 < (~expected).sum() < 160
    assert np.array_equal(rendered(resolved(path)), expected)


def test_regions_in_the_data_take_both_their_ends(tmp_path: Path) -> None:
    second = ONE.replace("p/", "q/").replace("min_ss = 0", "min_ss = 16").replace("max_ss = 15", "max_ss = 31")
    text = TOP + ONE + second.replace("corner_y = -8", "corner_y = 9")
    path = written(
        tmp_path, text + "badq/min_fs = 3\nbadq/max_fs = 5.0\nbadq/min_ss = 17\nbadq/max_ss = 17\nbadq/panel = q\n"
    )
    expected = np.ones((16, 20), bool)
    expected[1, 3:6] = False
    assert np.array_equal(rendered(resolved(path), 1), expected)
    assert rendered(resolved(path), 0).all()


def test_edges_and_panels_that_are_not_used(tmp_path: Path) -> None:
    path = written(tmp_path, TOP + ONE + "p/mask_edge_pixels = 2\n")
    expected = np.zeros((16, 20), bool)
    expected[2:-2, 2:-2] = True
    assert np.array_equal(rendered(resolved(path)), expected)
    assert not rendered(resolved(written(tmp_path, TOP + ONE + "p/no_index = 1\n"))).any()
    assert rendered(resolved(written(tmp_path, TOP + ONE + "p/no_index = false\n"))).all()


def test_a_mask_of_the_options_comes_on_top(tmp_path: Path) -> None:
    path = written(tmp_path, TOP + ONE + "bad/min_fs = 0\nbad/max_fs = 3\nbad/min_ss = 0\nbad/max_ss = 15\n")
    mask = np.ones((16, 20), bool)
    mask[5] = False
    experiment = changed(Experiment.from_args([*CRYSTAL, "-img", path]), detector={"mask": mask})
    mask[:, :4] = False
    assert np.array_equal(simulate(experiment, "cpu").resolved.mask != 0, mask)


# What is wrong ---------------------------------------------------------------------------------------------------

SECOND = ONE.replace("p/", "q/").replace("min_ss = 0", "min_ss = 16").replace("max_ss = 15", "max_ss = 31")
GOOD = TOP + ONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "and more\n", r":12: 'and more' is no line of a geometry: give key = value"),
        (GOOD.replace("p/corner_x = -10\n", ""), r":4: p has no corner_x: give p/corner_x = "),
        (GOOD.replace("p/fs = x\n", ""), r":4: p has no fs"),
        (GOOD.replace("res = 2000\n", ""), r":3: p has no res"),
        (GOOD.replace("res = 2000", "res = 0"), r":2: p/res must be above 0 pixels per m, not 0"),
        (GOOD.replace("res = 2000", "res = nan"), r":2: p/res must be a number, not 'nan'"),
        (GOOD.replace("res = 2000", "res = 1_0"), r":2: p/res must be a number, not '1_0'"),
        (GOOD.replace("max_fs = 19", "max_fs = 19.5"), r":5: p/max_fs must be a whole number of 0 or more, not 19.5"),
        (GOOD.replace("min_fs = 0", "min_fs = 20"), r":5: p/max_fs 19 is below its min_fs 20"),
        (GOOD.replace("fs = x\n", "fs = 0.99\n"), r":10: p/fs must be like \+0.99x -0.01y \+0.002z, not '0.99'"),
        (GOOD.replace("fs = x\n", "fs = x y\n"), r":10: p/fs must be like"),
        (GOOD.replace("fs = x\n", "fs = x - x\n"), r":10: p/fs has no direction"),
        (GOOD.replace("ss = y\n", "ss = -x\n"), r":11: p/fs and p/ss are parallel: they span no pixel"),
        (GOOD.replace("fs = x\n", "fs = 1e9x\n"), r":10: p/fs is 1e9x: its length is some 1, in pixels"),
        (GOOD.replace("clen = 0.1", "clen = 95.3 um"), r":1: clen = 95.3 um: give its unit, m or mm"),
        (GOOD.replace("9000", "9 MeV"), r":3: photon_energy = 9 MeV: give its unit, eV or keV"),
        (GOOD.replace("9000", "-9000"), r":3: photon_energy must be above 0, not -9000"),
        (GOOD.replace("photon_energy = 9000", "wavelength = 1"), r":3: wavelength = 1: give its unit, m or A"),
        (GOOD + "coffset = 0.1\n", r":12: what stands above counts for the panels below it, and here is none below"),
        (GOOD + "detector_shift_x = /x\n", r":12: detector_shift_x is /x, a place in the data, which are not read"),
        (GOOD + SECOND.replace("= 16", "= 8"), r":12: panels p and q overlap: both have pixels of the same min_fs"),
        (GOOD + SECOND, r":12: panels p and q overlap by 16 pixels as the sample sees them"),
        (GOOD + SECOND.replace("corner_y = -8", "corner_y = -16") + "q/coffset = 0.1\n", r"overlap by \S+ pixels"),
        (GOOD + "bad/min_fs = 1\n", r":12: bad has no min_ss: give bad/min_ss"),
        (GOOD + "bad/min_x = 1\n", r":12: bad has no max_x: give bad/max_x"),
        (
            GOOD + "bad/min_fs = 1\nbad/max_fs = 20\nbad/min_ss = 1\nbad/max_ss = 2\n",
            r":12: bad reaches from fs 1 to 20, beyond its panel p, 0 to 19",
        ),
        (GOOD + "bad/min_fs = 1\nbad/panel = r\n", r":13: bad/panel = r: there is no such panel"),
        (
            GOOD + SECOND.replace("corner_y = -8", "corner_y = 9") + "bad/min_fs = 1\n",
            r":20: bad has no panel: give bad/panel = ",
        ),
        (GOOD.replace("max_fs = 19", "max_fs = 999999999"), r"more than 268435456"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_by_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=said) as caught:
        found_in(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "d.geom"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"h k l\n1 2 3\n",
            r"is no SMV image, nor mini-CBF, NXmx, geometry of CrystFEL, experiment of DIALS or XPARM.XDS$",
        ),
        (b"II*\0" + bytes(600), r"experiment of DIALS or XPARM.XDS; it is a TIFF image"),
        (b"; a remark = none\nclen = 0.1\n", r"is no SMV image, nor mini-CBF"),
        (b"{\nSIZE1=3;\n}", r"is no SMV image, which begins with {"),
        (b"", r"is no SMV image, nor"),
    ],
)
def test_what_describes_no_detector_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputFileError, match=said):
        read_found(tmp_path / "x")
    with pytest.raises(InputFileError, match=r"cannot read the description of the detector \S+y: there is no such"):
        read_found(tmp_path / "y")


def test_panels_side_by_side_do_not_overlap(tmp_path: Path) -> None:
    """Nor do those of which one stands farther away, in the gap that the other leaves."""
    assert found_in(tmp_path, GOOD + SECOND.replace("corner_y = -8", "corner_y = 8")).values["detector"]["panels"]
    behind = SECOND.replace("corner_y = -8", "corner_y = 16") + "q/coffset = 0.1\n"
    assert found_in(tmp_path, GOOD + behind).values["detector"]["panels"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("p/fs = 1.02x", r":12: p/fs is of length 1.02: pixels are that much longer"),
        ("p/ss = 0.02x +0.9998y", r":12: fs and ss of p are at 88.85 degrees: its pixels are oblique"),
    ],
)
def test_odd_steps_are_taken_and_said(lines: str, said: str, tmp_path: Path) -> None:
    with pytest.warns(NbnumbaWarning, match=said):
        panel = found_in(tmp_path, f"{GOOD}{lines}\n").values["detector"]["panels"][0]
    assert panel.fast_pixels == 20


def test_steps_a_little_off_are_not_spoken_of(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(found_in(tmp_path, geom_of_refined_steps()).values["detector"]["panels"]) == 3


@pytest.mark.parametrize(
    ("text", "said", "option"),
    [
        (
            GOOD.replace("clen = 0.1", "clen = /LCLS/detector_1/EncoderValue"),
            r"d.geom:1: clen is /LCLS/detector_1/EncoderValue, a place in the data, which are not read: give -distance",
            "-distance 90",
        ),
        (GOOD.replace("clen = 0.1\n", ""), r"d.geom: has no clen: give it there, or -distance", "-distance 90"),
        (
            GOOD.replace("9000", "/LCLS/energy keV"),
            r"d.geom:3: photon_energy is /LCLS/energy keV, a place in the data, .*: give -energy or -lambda",
            "-energy 9000",
        ),
        (GOOD.replace("9000", "/LCLS/energy"), r"give -energy or -lambda", "-pink 9000 20"),
        (
            GOOD.replace("photon_energy = 9000", "electron_voltage = 300 kV"),
            r"d.geom:3: electron_voltage: electrons are not simulated; for X-rays give -energy or -lambda",
            "-lambda 1",
        ),
    ],
)
def test_what_the_file_leaves_open_an_option_gives(text: str, said: str, option: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputFileError, match=said):
        resolved(path)
    assert resolved(path, option).panels[0].distance_m == pytest.approx(0.09 if "distance" in option else 0.1)


def test_of_panels_at_an_unknown_distance_the_first_is_where_the_option_says(tmp_path: Path) -> None:
    offset = "p/coffset = 0.5732\n"
    text = GOOD.replace("clen = 0.1", "clen = /x") + offset + SECOND.replace("corner_y = -8", "corner_y = 16")
    panels = resolved(written(tmp_path, text + "q/coffset = 0.5742\n"), "-distance 120").panels
    assert [panel.origin_m[2] for panel in panels] == pytest.approx([0.120, 0.121])


def test_a_file_without_a_wavelength_leaves_the_default_and_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("photon_energy = 9000\n", ""))
    with pytest.warns(
        NbnumbaWarning, match=r"d.geom: no wavelength in the file, nor by option: the default counts, 1 Å"
    ):
        assert resolved(path).wavelength_angstrom == 1.0


TWO = GOOD + SECOND.replace("corner_y = -8", "corner_y = 16")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-Xbeam 3", r"-Xbeam beside -img \S+d.geom, whose panels have places and pixels of their own"),
        ("-detpixels 30", r"-detpixels_f beside -img \S+d.geom"),
        ("-close_distance 30", r"-close_distance beside -img"),
        ("-twotheta 3", r"-twotheta beside -img"),
        ("-roi 0 3 0 3", r"-roi beside -img"),
        ("-detector pilatus-6m", r"-detector beside -img"),
        ("-xds", r"-xds beside -img \S+d.geom, which has axes of its own: leave out one of the two"),
        ("-mode c", r"detector.panels: nanoBragg, and so mode c and its φ carry-over, has one flat detector"),
    ],
)
def test_what_does_not_go_with_the_panels_of_a_file(options: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        resolved(written(tmp_path, TWO), options)


def test_an_smv_image_beside_listed_panels_is_refused(tmp_path: Path) -> None:
    image = simulate(Experiment.from_args([*CRYSTAL, "-img", written(tmp_path, GOOD)]), "cpu")
    image.save_smv(tmp_path / "a.img")
    panels = resolved(written(tmp_path, TWO)).experiment.detector.panels
    experiment = changed(Experiment.from_args(CRYSTAL), detector={"panels": panels, "header_file": tmp_path / "a.img"})
    with pytest.raises(UsageError, match=r"-img \S+a.img beside detector.panels: its header is of one panel"):
        simulate(experiment)


@pytest.mark.parametrize("option", ["-img", "-geom", "-expt"])
def test_the_command_takes_it_packed_or_not(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.gz").write_bytes(gzip.compress(TWO.replace("\n", "\r\n").encode()))
    assert main([*CRYSTAL, option, "d.gz", "-show"]) == 0
    said = capsys.readouterr().out
    assert "2 panels of 640 pixels, custom convention, of d.gz; one above the other in 20 x 32 (fast x slow)" in said
    assert re.search(r"q: rows 16 to 31, 20 x 16 of 0.5 mm, corner -5 8 100 mm", said)
