"""Mini-CBF: compressed as other programs compress, marked as detectors mark, and read back as it was."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, simulate
from nbnumba.experiment import changed
from nbnumba.formats import registry
from nbnumba.formats.byte_offset import packed, unpacked
from nbnumba.formats.found import Found, read_found
from nbnumba.formats.frame import BAD, GAP
from nbnumba.formats.images.cbf import LARGEST, read_cbf
from nbnumba.image import Image
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve

CRYSTAL = "-cell 40 50 60 90 101 90 -default_F 100 -N 3 -misset 10 20 30"
QUIET = "-adc 0 -polar 0.998"
"""What a mini-CBF says to DIALS without a word to add."""
SMALL = f"{CRYSTAL} {QUIET} -detpixels_f 30 -detpixels_s 20 -pixel 1 -seed 5"

# Compression -----------------------------------------------------------------------------------------------------

STEPS = [0, 1, -1, 127, -127, 128, -128, 32767, -32767, 32768, -32768, 2**31 - 1, -(2**31)]


@given(arrays(np.int32, st.integers(0, 60), elements=st.one_of(st.sampled_from(STEPS), st.integers(-300, 300))))
def test_what_is_packed_is_unpacked(pixels: np.ndarray) -> None:
    content = packed(pixels).tobytes()
    np.testing.assert_array_equal(unpacked(content, len(pixels)), pixels)
    for end in range(len(content)):
        part = unpacked(content[:end], len(pixels))
        assert len(part) < len(pixels)
        np.testing.assert_array_equal(part, pixels[: len(part)])


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("spread", [2.0, 60.0, 130.0, 4e4, 1e6, 3e9])
def test_the_bytes_are_those_of_fabio(kind: type[np.integer], spread: float) -> None:
    compress = pytest.importorskip("fabio.compression").compByteOffset
    rng, bounds = np.random.default_rng(7), np.iinfo(kind)
    pixels = np.clip(rng.normal(0, spread, (40, 50)), bounds.min, bounds.max).astype(kind)
    assert packed(pixels).tobytes() == compress(pixels.astype(np.int64))


def test_a_mark_within_a_difference_is_none() -> None:
    # 0x80 and 0x8080 are the first bytes of marks, and here of differences too.
    pixels = np.cumsum([-0x7F80, 0x80, -0x8000, 0x808080, -0x7F7F8000, 0x0080, 0x100]).astype(np.int32)
    np.testing.assert_array_equal(unpacked(packed(pixels).tobytes(), len(pixels)), pixels)


def test_compression_costs_a_few_passes_over_the_image() -> None:
    """A pass in Python over the pixels would be a hundred times as slow."""
    pixels = np.random.default_rng(1).poisson(3.0, (1000, 1000)).astype(np.int32)

    def seconds(work: Any) -> float:
        found = []
        for _ in range(5):
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
        return min(found)

    content = packed(pixels).tobytes()
    a_pass = seconds(lambda: np.diff(pixels.ravel().astype(np.int64)))
    assert seconds(lambda: packed(pixels)) < 30 * a_pass
    assert seconds(lambda: unpacked(content, pixels.size)) < 60 * a_pass


# Files -----------------------------------------------------------------------------------------------------------


def image_of(args: str, photons: np.ndarray | None = None) -> Image:
    """An image whose photons are drawn, not rendered."""
    resolved = resolve(Experiment.from_args(shlex.split(args)), Inputs())
    (panel,) = resolved.panels
    shape = (panel.slow_pixels, panel.fast_pixels)
    if photons is None:
        photons = np.random.default_rng(3).gamma(0.5, 3.0, shape)
    return Image(resolved, photons.astype(np.float32))


def header_of(path: Path) -> str:
    return path.read_bytes().partition(b"--CIF-BINARY")[0].decode("ascii")


def test_a_pilatus_has_its_own_header_and_gaps(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    path = tmp_path / "image_00001.cbf"
    line = f"{CRYSTAL} {QUIET} -detpixels_f 487 -detpixels_s 407 -pixel 0.172 -seed 5 -roi 10 470 20 300"
    image = image_of(f"{line} -distance 213.7 -lambda 0.97951 -exposure 0.05 -phi 12.5 -osc 0.1 -flux 1e12")
    frame = image.save(path)
    measured = image.description.panels[0].measured
    read = fabio.open(str(path))
    np.testing.assert_array_equal(read.data, np.where(measured, image.frame("counted").pixels[0].astype(int), GAP))
    np.testing.assert_array_equal(read.data, frame.pixels[0])
    told = read.pilatus_headers
    assert told["Detector"] == "PILATUS 200K S/N 60-0000"
    assert told["Pixel_size"] == pytest.approx((172e-6, 172e-6), rel=1e-12)
    assert told["Exposure_time"] == told["Exposure_period"] == 0.05
    assert told["Wavelength"] == 0.97951
    assert told["Detector_distance"] == pytest.approx(0.2137, rel=1e-12)
    panel = image.description.panels[0]
    assert told["Beam_xy"] == pytest.approx((panel.fbeam_mm / 0.172, panel.sbeam_mm / 0.172), abs=1e-8)
    assert (told["Start_angle"], told["Angle_increment"], told["Phi"]) == (12.5, 0.1, 12.5)
    assert told["Polarization"] == pytest.approx(0.999)
    assert told["Flux"] == 1e12
    assert told["Threshold_setting"] == pytest.approx(12398.42 / 0.97951 / 2, abs=0.5)


def test_other_sizes_have_the_generic_header(tmp_path: Path) -> None:
    for line in (SMALL, f"{CRYSTAL} {QUIET} -detpixels_f 487 -detpixels_s 195 -pixel 0.1"):
        image_of(line).save(tmp_path / "image_00001.cbf")
        assert '_array_data.header_convention "GENERIC_MINI"' in header_of(tmp_path / "image_00001.cbf")


def test_the_header_tells_the_true_crystal(tmp_path: Path) -> None:
    image = image_of(f"{SMALL} -phi 20 -osc 1")
    image.save(tmp_path / "image_00001.cbf")
    header = header_of(tmp_path / "image_00001.cbf")
    cell = re.search("# Simulated_cell_1 (.*)\r", header)
    matrix = re.search("# Simulated_A_1 (.*)\r", header)
    assert cell is not None
    assert matrix is not None
    assert [float(word) for word in cell[1].split()] == pytest.approx([40, 50, 60, 90, 101, 90])
    # mosflm's laboratory has the beam along x and fast along z.
    expected = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) @ image.a_matrix(0.0)
    found = np.array([float(word) for word in matrix[1].split()]).reshape(3, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    assert f"# Simulated_seed {image.experiment.noise.seed}\r\n" in header


def test_bad_pixels_and_the_largest_count_are_marked(tmp_path: Path) -> None:
    image = image_of(f"{SMALL} -roi 5 29 0 19")
    counts = np.full((20, 30), 2**31 - 1, np.int32)
    bad = np.zeros((20, 30), bool)
    bad[3, [2, 10]] = True
    frame = replace(image.frame("counted"), pixels=(counts,), bad=(bad,), saturation=1000.0)
    registry.write(registry.named("CBF"), tmp_path / "image_1.cbf", frame)
    pixels = read_cbf(tmp_path / "image_1.cbf").pixels
    assert (pixels[3, 2], pixels[3, 10], pixels[3, 11]) == (GAP, BAD, LARGEST)
    header = header_of(tmp_path / "image_1.cbf")
    assert "# Count_cutoff 1000 counts\r" in header
    assert "# N_excluded_pixels = 2\r" in header
    # No difference takes 64 bits, in whatever order the marks come.
    assert np.abs(np.diff(pixels.ravel().astype(np.int64))).max() < 2**31


def test_the_same_image_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a_1.cbf", "b_1.cbf"):
        image_of(SMALL).save(tmp_path / name)
    assert (tmp_path / "a_1.cbf").read_bytes() == (tmp_path / "b_1.cbf").read_bytes()


# What it cannot say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-twotheta 4", "a detector across the beam.*here: -twotheta 4"),
        ("-adxv", r"a detector across the beam with fast × slow along it \(here: -adxv\)"),
        ("-curved_det", "a flat detector.*-curved_det"),
        ("-dials -osc 1", r"a spindle along the fast axis \(here: -dials\)"),
    ],
)
def test_what_readers_would_misread_is_refused(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(
        UsageError, match=f"image_1.cbf: in a mini-CBF DIALS reads only {said}.*; change that, or write"
    ):
        image_of(f"{SMALL} {options}").save(tmp_path / "image_1.cbf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-adc 40", "readers take the offset of 40 counts for photons: give -adc 0"),
        ("-polar 0", "DIALS does not read the polarization.*polarization_fraction=0.5"),
        ("-detector_thick 320 -detector_abs 300", "does not say that the sensor is 320 µm thick.*Si or CdTe"),
    ],
)
def test_what_is_left_out_is_said(tmp_path: Path, options: str, said: str) -> None:
    with pytest.warns(NbnumbaWarning, match=f"mini-CBF: .*{said}"):
        image_of(f"{SMALL} {options}").save(tmp_path / "image_1.cbf")
    with pytest.warns(NbnumbaWarning, match="image.cbf: DIALS reads images with a number"):
        image_of(SMALL).save(tmp_path / "image.cbf")


# Reading ---------------------------------------------------------------------------------------------------------


def test_img_gives_the_experiment_back(tmp_path: Path) -> None:
    """In the laboratory of dxtbx: what was simulated by one convention is simulated again by none."""
    path = tmp_path / "image_00001.cbf"
    scan = "-phi 12.5 -osc 0.2 -phistep 0.2 -oversample 1"
    line = f"{CRYSTAL} -adc 0 -polar 0.998 -detpixels_f 30 -detpixels_s 20 -pixel 1 -seed 5 -roi 3 25 2 17 {scan}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "-oversample 1 is coarse", NbnumbaWarning)
        image = simulate(
            Experiment.from_args(
                shlex.split(f"{line} -xds -ORGX 13.3 -ORGY 9.8 -distance 81.7 -lambda 0.97951 -exposure 0.5")
            ),
            backend="cpu",
        )
        image.save(path)
        a_matrix = image.description.to_dxtbx @ image.a_matrix(0.0)
        read = Experiment.from_args(shlex.split(f"-img {path} -cell 1 1 1 90 90 90 -default_F 100 -N 3 -phistep 0.2"))
        read = changed(read, crystal={"cell": None, "a_matrix": a_matrix.tolist()}, sampling={"oversample": 1})
        again = simulate(read, backend="cpu")
    np.testing.assert_allclose(again.photons, image.photons, rtol=1e-5, atol=1e-6 * image.photons.max())
    assert image.photons.max() > 0.0
    beam = again.experiment.beam
    assert (beam.wavelength_angstrom, beam.exposure_s) == (0.97951, 0.5)
    assert beam.kahn_factor == pytest.approx(0.998)


def found_of(path: Path) -> Found:
    found = read_found(path)
    assert isinstance(found, Found)
    return found


def test_what_was_not_measured_is_a_mask(tmp_path: Path) -> None:
    image_of(SMALL).save(tmp_path / "whole_1.cbf")
    assert found_of(tmp_path / "whole_1.cbf").mask is None
    image = image_of(f"{SMALL} -roi 3 25 2 17")
    image.save(tmp_path / "part_1.cbf")
    found = found_of(tmp_path / "part_1.cbf")
    assert isinstance(found.mask, np.ndarray)
    np.testing.assert_array_equal(found.mask, image.description.panels[0].measured)


def spoilt(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"Content-MD5: ", b"Content-MD5: x", "is damaged: the MD5 of its pixels is .*, and the header has x"),
        (b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED", "its compression is x-CBF_PACKED; only x-CBF_BYTE_OFFSET is read"),
        (b"X-Binary-Size: ", b"X-Binary-Size: 9", "is truncated: .* bytes of pixels where X-Binary-Size is 9"),
        (b"Fastest-Dimension: 30", b"Fastest-Dimension: 31", "hold less than the 31 x 20 pixels of its header"),
        (b"Fastest-Dimension: 30", b"Fastest-Dimension: 9999999999", "hold less than the 9999999999 x 20 pixels"),
        (b"Fastest-Dimension: 30", b"Fastest-Dimension: 0", "Fastest-Dimension: 0 must be a whole number above 0"),
        (b"Fastest-Dimension: 30", b"Fastest: 30", r"Fastest-Dimension: \(missing\) must be a whole number"),
        (b'"signed 32-bit', b'"signed 64-bit', 'X-Binary-Element-Type: "signed 64-bit integer" must be one of'),
        (b"\x0c\x1a\x04\xd5", b"", "is a CBF without an image, or is truncated"),
        (b"###CBF", b"##CBF", "is no CBF|no SMV"),
    ],
)
def test_a_damaged_file_is_told_in_a_line(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    path = tmp_path / "image_1.cbf"
    image_of(SMALL).save(path)
    path.write_bytes(spoilt(path.read_bytes(), old, new))
    with pytest.raises(InputFileError, match=said) as caught:
        read_cbf(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_truncated_file_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "image_1.cbf"
    image_of(SMALL).save(path)
    content = path.read_bytes()
    end = content.rindex(b"--CIF-BINARY") - 4095 - 2
    for length in (3, 100, 900, end - 500, end - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputFileError, match=r"truncated|is no CBF"):
            read_cbf(path)
    path.write_bytes(content[:end])
    assert read_cbf(path).pixels.shape == (20, 30)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("GENERIC_MINI", "PILATUS_1.2", "has 30 x 20 pixels under the header PILATUS_1.2, and no PILATUS has"),
        ("# Beam_xy", "# Beam", "its header has no Beam_xy, which is to be the beam centre in pixels"),
        ("# Wavelength 1 ", "# Wavelength -1 ", "Wavelength -1 A: must be a wavelength in Å, above 0"),
        ("# Pixel_size 1000", "# Pixel_size 0", "Pixel_size .*: must be two edges of a pixel in m"),
        ("# Detector_distance 0.1 m", "# Detector_distance far", "Detector_distance far: must be the distance in m"),
        (
            "# Angle_increment 0 ",
            "# Angle_increment -1 ",
            "Angle_increment -1 deg.: must be an angle in degrees, from 0",
        ),
    ],
)
def test_a_header_without_a_geometry_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "image_1.cbf"
    image_of(SMALL).save(path)
    path.write_bytes(spoilt(path.read_bytes(), old.encode(), new.encode()))
    with pytest.raises(InputFileError, match=said) as caught:
        read_found(path)
    assert "\n" not in str(caught.value)


def test_two_theta_of_a_header_is_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "image_1.cbf"
    image_of(SMALL).save(path)
    path.write_bytes(spoilt(path.read_bytes(), b"# Detector_2theta 0.0000", b"# Detector_2theta 10.0"))
    with pytest.warns(NbnumbaWarning, match="Detector_2theta is not read"):
        read_found(path)


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.uint32])
def test_pixels_of_other_programs_are_read(tmp_path: Path, kind: type[np.integer]) -> None:
    fabio = pytest.importorskip("fabio")
    pixels = np.random.default_rng(2).integers(0, 30000, (17, 23)).astype(kind)
    path = tmp_path / "other.cbf"
    fabio.cbfimage.CbfImage(data=pixels, header={}).write(str(path))
    np.testing.assert_array_equal(registry.read(path), pixels)
    content = path.read_bytes()
    start = content.index(b"\x0c\x1a\x04\xd5") + 4
    size = int(re.search(rb"X-Binary-Size: (\d+)", content)[1])  # type: ignore[index]
    md5 = base64.b64encode(hashlib.md5(content[start : start + size]).digest())
    assert b"Content-MD5: " + md5 in content
