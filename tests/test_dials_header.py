"""SMV for DIALS: exact where its dxtbx can read the geometry, refused where it would read another."""

import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaWarning, UsageError, cli, simulate
from nbnumba.description import described
from nbnumba.formats.dials import MASKED, check_for_dials, in_dxtbx_frame
from nbnumba.formats.frame import Description
from nbnumba.formats.images.smv import header_value, read_smv, smv_geometry, smv_header, write_smv
from nbnumba.image import Image
from nbnumba.kernels.equations.vectors import rotated_about, unit
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

CRYSTAL = "-cell 40 50 60 -default_F 100 -N 3"
SMALL = f"{CRYSTAL} -detpixels_f 12 -detpixels_s 9 -pixel 2 -distance 80"
POLARIZED = "-polar 0.99"


def description(args: str) -> Description:
    experiment = Experiment.from_args(shlex.split(args))
    return described(resolve(experiment, read_inputs(experiment)))


def simulated(args: str) -> Image:
    return simulate(Experiment.from_args(shlex.split(args)), backend="cpu")


def dxtbx_origin(header: str) -> tuple[float, float, float]:
    """Corner of the first pixel as dxtbx's FormatSMVJHSim has it, in mm in its own frame."""
    x, y, pixel, slow_pixels, distance = (
        header_value(header, key, whole=True) or 0.0
        for key in ("BEAM_CENTER_X", "BEAM_CENTER_Y", "PIXEL_SIZE", "SIZE2", "DISTANCE")
    )
    return (-(x + pixel), slow_pixels * pixel - y + pixel, -distance)


@pytest.mark.parametrize(
    ("geometry", "origin"),
    [
        ("-mosflm -Xbeam 47.3 -Ybeam 39.1", (-39.305, 47.505, -133.0)),
        ("-denzo -Xbeam 47.3 -Ybeam 39.1", (-39.1, 47.3, -133.0)),
        ("-xds -ORGX 96.7 -ORGY 120.2", (-39.442, 49.077, -133.0)),
        (
            "-beam_vector 0 0 -1 -fdet_vector 0 1 0 -sdet_vector 1 0 0 -odet_vector 0 0 -1"
            " -spindle_axis 0 1 0 -polar_vector 0 1 0 -Xbeam 39.1 -Ybeam 47.3",
            (-39.1, 47.3, -133.0),
        ),
    ],
)
def test_dxtbx_read_these_corners(geometry: str, origin: tuple[float, float, float]) -> None:
    """Recorded from dxtbx 3.11, which read the files."""
    args = f"{CRYSTAL} -distance 133 -detpixels_f 210 -detpixels_s 260 -pixel 0.41 -osc 1.5 {POLARIZED} {geometry}"
    found = description(args)
    check_for_dials(found)
    header = smv_header(smv_geometry(found), "dials", 40)
    assert dxtbx_origin(header) == pytest.approx(origin, abs=1e-9)


def test_any_detector_across_the_beam_is_read_exactly() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        axis, angle = unit(tuple(rng.normal(size=3))), rng.uniform(0, 3)
        fast, slow, beam = (rotated_about(v, axis, angle) for v in ((1.0, 0, 0), (0, -1.0, 0), (0, 0, -1.0)))
        vectors = {
            "-fdet_vector": fast, "-sdet_vector": slow, "-odet_vector": beam, "-beam_vector": beam,
            "-spindle_axis": fast, "-polar_vector": fast,
        }  # fmt: skip
        words = " ".join(f"{option} {' '.join(map(repr, map(float, v)))}" for option, v in vectors.items())
        x, y, distance = rng.uniform(5, 90, 3)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "-odet_vector .* is not of length 1", NbnumbaWarning)
            found = description(f"{SMALL} {POLARIZED} {words} -Xbeam {x} -Ybeam {y} -distance {distance} -osc 1")
        check_for_dials(found)
        panel = found.panels[0]
        origin = dxtbx_origin(smv_header(smv_geometry(found), "dials", 40))
        assert in_dxtbx_frame(found, panel.origin_mm) == pytest.approx(origin, abs=1e-8)
        assert in_dxtbx_frame(found, panel.fast) == pytest.approx((1, 0, 0), abs=1e-12)
        assert in_dxtbx_frame(found, panel.slow) == pytest.approx((0, -1, 0), abs=1e-12)
        assert in_dxtbx_frame(found, found.spindle) == pytest.approx((1, 0, 0), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-twotheta 4", "a detector across the beam.*here: -twotheta 4"),
        ("-detector_roty 3", "here: -detector_roty 3"),
        ("-xds -detector_rotx 0.01", "here: -detector_rotx 0.01"),
        ("-adxv", r"fast × slow along it \(here: -adxv\)"),
        ("-curved_det", "a flat detector.*-curved_det"),
        ("-curved_det -mode c", "a flat detector.*-curved_det"),
        ("-dials -osc 1", r"a spindle along the fast axis \(here: -dials\)"),
        ("-detector_rotx 90 -osc 1", r"a spindle along the fast axis \(here: -detector_rotx 90\)"),
        ("-spindle_axis 1 0 1 -osc 1", r"a spindle along the fast axis \(here: -spindle_axis\)"),
        ("-beam_vector 1 0.01 0", r"across the beam.*here: -beam_vector"),
    ],
)
def test_what_dials_would_misread_is_refused(tmp_path: Path, options: str, said: str) -> None:
    image = simulated(f"{SMALL} {POLARIZED} {options}")
    path = tmp_path / "image_1.img"
    with pytest.raises(UsageError, match=f"-header dials: .*{said}.*-header c"):
        image.save_smv(str(path), header="dials")
    with pytest.raises(UsageError, match=said):
        image.save_noise(str(path), header="dials")
    assert not path.exists()
    image.save_smv(str(path))


@pytest.mark.parametrize("options", ["-dials", "-dials -phi 30", "-detector_rotx 37", "-spindle_axis 0 1 1"])
def test_a_still_may_have_any_spindle(tmp_path: Path, options: str) -> None:
    image = simulated(
        f"{SMALL} {options} -polar_vector 0 0 1" if "spindle" in options else f"{SMALL} {options} -nopolar"
    )
    with pytest.warns(NbnumbaWarning, match="polarization"):
        image.save_smv(str(tmp_path / "image_1.img"), header="dials")


@pytest.mark.parametrize("save", ["save_smv", "save_noise"])
def test_an_unknown_header_is_refused(tmp_path: Path, save: str) -> None:
    image: Any = simulated(SMALL)
    with pytest.raises(UsageError, match="header 'xds': give c or dials"):
        getattr(image, save)(str(tmp_path / "image_1.img"), header="xds")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-polar 0", "polarization_fraction=0.5$"),
        ("-polar 0.9", "polarization_fraction=0.95$"),
        ("-polar 0.99 -dials", "polarization_fraction=0.995 geometry.beam.polarization_normal=1,0,0$"),
        ("-nopolar", "-nopolar"),
        ("-polar 0.99 -detector_thick 450 -detector_abs 300", "450 µm thick.*panel.thickness"),
    ],
)
def test_what_is_left_out_is_said(options: str, said: str) -> None:
    with pytest.warns(NbnumbaWarning, match=said) as caught:
        check_for_dials(description(f"{SMALL} {options}"), 40, "image_1.img")
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("-10 0 0 1 1e-10\n-10 0.04 0 1 1e-10\n", "tilted by 2 mrad and has 1 Å"),
        ("-10 0 0 1 1e-10\n-10 0 0 3 1.04e-10\n", "tilted by 0 mrad and has 1.03 Å"),
        ("-10 0 0.01 1 1e-10\n-10 0 -0.01 1 1e-10\n", None),
    ],
)
def test_sources_that_the_header_does_not_know_are_said(tmp_path: Path, rows: str, said: str | None) -> None:
    (tmp_path / "sources.txt").write_text(rows)
    found = description(f"{SMALL} {POLARIZED} -sourcefile {tmp_path / 'sources.txt'}")
    if said is None:
        check_for_dials(found)
    else:
        with pytest.warns(NbnumbaWarning, match=said):
            check_for_dials(found)


def test_a_name_without_a_number_is_one_that_dials_does_not_read() -> None:
    found = description(f"{SMALL} {POLARIZED}")
    for good in ("a_0001.img", "run7/lyso.0815", "x1.0001.img", None, "/dev/null"):
        check_for_dials(found, 40, good)
    for bad in ("intimage.img", "run7.d/noiseimage.img"):
        with pytest.warns(NbnumbaWarning, match=f"{bad}: DIALS reads images with a number"):
            check_for_dials(found, 40, bad)


def masked_image(tmp_path: Path, options: str) -> tuple[Image, np.ndarray]:
    """An image of 12 x 9 pixels with a mask and a region, and which pixels are measured."""
    open_pixels = np.ones((9, 12), np.uint16)
    open_pixels[2:4, 5] = 0
    write_smv(tmp_path / "mask.img", "{\nHEADER_BYTES=512;\nSIZE1=12;\nSIZE2=9;\n}", open_pixels)
    image = simulated(f"{SMALL} -lambda 1 {POLARIZED} {options} -mask {tmp_path / 'mask.img'} -roi 1 10 0 6")
    measured = open_pixels != 0
    measured[:, [0, 11]] = False
    measured[7:] = False
    return image, measured


def test_pixels_that_are_not_measured_are_beyond_what_dials_trusts(tmp_path: Path) -> None:
    image, measured = masked_image(tmp_path, "")
    path = str(tmp_path / "image_1.img")
    trusted = 65535 - 40
    image.save_smv(path, header="dials")
    np.testing.assert_array_equal(read_smv(path).pixels < trusted, measured)
    noise = image.save_noise(path, seed=3, header="dials")
    np.testing.assert_array_equal(read_smv(path).pixels, noise.counts)
    np.testing.assert_array_equal(noise.counts == MASKED, ~measured)
    plain = image.save_noise(path, seed=3)
    np.testing.assert_array_equal(plain.counts[measured], noise.counts[measured])
    assert plain.counts.max() < trusted


def test_without_an_offset_dials_counts_pixels_that_are_masked(tmp_path: Path) -> None:
    image, _ = masked_image(tmp_path, "")
    with pytest.warns(NbnumbaWarning, match="-adc 0, DIALS counts pixels that are masked"):
        image.save_smv(str(tmp_path / "image_1.img"), adc_offset=0.0, header="dials")


def test_the_command_refuses_before_it_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nbnumba.commands.simulate.render", lambda *args: pytest.fail("rendered"))
    assert cli.main(shlex.split(f"{SMALL} -twotheta 4 -header dials")) == 2
    assert "-twotheta 4" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_says_once_what_its_files_have_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    files = "-intfile a_1.img -noisefile b.img -seed 1 -backend cpu -quiet"
    for _ in range(2):
        assert cli.main(shlex.split(f"{SMALL} -header dials {files}")) == 0
        said = capsys.readouterr().err
        assert said.count("polarization_fraction=0.5") == 1
        assert said.count("b.img: DIALS reads") == 1
    assert cli.main(shlex.split(f"{SMALL} -header c {files}")) == 0
    assert "DIALS" not in capsys.readouterr().err
