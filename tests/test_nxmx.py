"""NXmx files: what h5py reads of them, what comes back by -img, and that no trouble leaves half of one."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nbnumba import Experiment, InputFileError, NbnumbaWarning, Panel, ResourceError, UsageError, changed, cli
from nbnumba.description import described
from nbnumba.formats import registry
from nbnumba.formats.frame import Description, Frame
from nbnumba.formats.hdf5 import replacing_hdf5
from nbnumba.formats.images.nxmx import FORMAT
from nbnumba.formats.sinks import sink
from nbnumba.image import Image
from nbnumba.setup.inputs import Inputs, read_inputs
from nbnumba.setup.resolve import resolve

h5py = pytest.importorskip("h5py")
pytest.importorskip("hdf5plugin")

CRYSTAL = "-cell 70 80 90 -default_F 100 -N 3 -seed 5 -polar 0.9"
LINE = f"{CRYSTAL} -detpixels_f 30 -detpixels_s 20 -pixel 1 -distance 107.3 -Xbeam 11.3 -Ybeam 14.7 -adc 12"
IN_NEXUS = np.diag([-1.0, 1.0, -1.0])
pytestmark = pytest.mark.filterwarnings("ignore:NXmx. DIALS does not read the polarization")


def image_of(options: str = "", **changes: dict[str, Any]) -> Image:
    """An image of which no two pixels are alike."""
    experiment = changed(Experiment.from_args(shlex.split(f"{LINE} {options}")), **changes)
    resolved = resolve(experiment, Inputs())
    shape = sum(panel.slow_pixels for panel in resolved.panels), max(panel.fast_pixels for panel in resolved.panels)
    ramp = np.linspace(0, 50, shape[0] * shape[1], dtype=np.float32)
    return Image(resolved, np.random.default_rng(1).permutation(ramp).reshape(shape))


@pytest.fixture(scope="module")
def image() -> Image:
    return image_of()


def panels(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """Fields of a detector of panels of such sizes (fast, slow), each turned another way."""
    placed = []
    for number, (fast, slow) in enumerate(sizes):
        turn = Rotation.from_euler("xyz", [number, -2 * number, 3 * number], degrees=True).as_matrix()
        origin = (30.0 * number - 20.0, -5.0 + number, 100.0 - number)
        placed.append(Panel(f"p{number}", fast, slow, origin, tuple(turn[:, 0]), tuple(1.1 * turn[:, 1])))
    alone = dict.fromkeys(("fast_pixels", "slow_pixels", "pixel_mm", "distance_mm", "beam_x_mm", "beam_y_mm"))
    return {"panels": placed, "convention": "dials", **alone}


# What is in it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "kind"), [("counted", np.int32), ("scaled", np.int32), ("photons", np.float32)])
def test_pixels_are_those_of_the_image_without_the_offset(
    tmp_path: Path, image: Image, content: Any, kind: Any
) -> None:
    frame = image.save(tmp_path / "a.nxs", content)
    offset = 12 if kind is np.int32 else 0
    with h5py.File(tmp_path / "a.nxs") as file:
        data = file["entry/data/data"]
        assert data.chunks == (1, 20, 30)
        assert data.dtype == kind
        assert "32008" in data._filters  # bitshuffle, registered under this number
        np.testing.assert_array_equal(data[0] + offset, image.frame(content).pixels[0])
        np.testing.assert_array_equal(data[0], frame.pixels[0])
        assert frame.adc_offset == 0
    np.testing.assert_array_equal(registry.read(tmp_path / "a.nxs"), frame.pixels[0])


def test_counts_without_an_offset_stay_as_they_are(tmp_path: Path, image: Image) -> None:
    counts = image.noise(5, 0.0).counts
    image.save(tmp_path / "a.nxs", "counted", adc_offset=0.0)
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry/data/data"].dtype == counts.dtype
        np.testing.assert_array_equal(file["entry/data/data"][0], counts)
        assert file["entry/instrument/detector/bit_depth_readout"][()] == 8 * counts.dtype.itemsize


def test_limits_are_those_of_counts_that_were_not_cut(tmp_path: Path, image: Image) -> None:
    frame = image.frame("counted")
    for saturation, adc, largest in ((None, 0, 65534), (None, 40, 65494), (5000.7, 40, 4960)):
        pixels = frame.pixels[0].astype(np.uint16)
        registry.write(FORMAT, tmp_path / "a.nxs", replace(
            frame, pixels=(pixels,), saturation=saturation, adc_offset=float(adc)))  # fmt: skip
        with h5py.File(tmp_path / "a.nxs") as file:
            detector = file["entry/instrument/detector"]
            assert (detector["saturation_value"][()], detector["underload_value"][()]) == (largest, -adc)


def test_unmeasured_and_bad_pixels_are_in_the_mask_and_are_no_counts(tmp_path: Path) -> None:
    image = image_of("-roi 3 20 2 9")
    bad = np.zeros((20, 30), bool)
    bad[4, 5] = True
    measured = image.description.panels[0].measured
    for content, adc, mark in (("counted", 12.0, -13), ("counted", 0.0, 65535), ("photons", 0.0, 0)):
        frame = image.frame(content, adc_offset=adc)  # type: ignore[arg-type]
        if adc == 0.0 and content == "counted":
            frame = replace(frame, pixels=(frame.pixels[0].astype(np.uint16),))
        registry.write(FORMAT, tmp_path / "a.nxs", replace(frame, bad=(bad,)))
        with h5py.File(tmp_path / "a.nxs") as file:
            mask, pixels = file["entry/instrument/detector/pixel_mask"][()], file["entry/data/data"][0]
        np.testing.assert_array_equal(mask, np.where(measured, 0, 1) | np.where(bad, 2, 0))
        if content == "counted":
            assert (pixels[~measured] == mark).all()
            assert (pixels[measured] != mark).all()


def test_the_same_image_is_the_same_file(tmp_path: Path, image: Image) -> None:
    for name in ("a.nxs", "b.nxs"):
        image.save(tmp_path / name)
    assert (tmp_path / "a.nxs").read_bytes() == (tmp_path / "b.nxs").read_bytes()


def test_truth_is_told(tmp_path: Path) -> None:
    image = image_of("-osc 1 -phi 3 -misset 10 20 30")
    image.save(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        truth = file["entry/nbnumba"]
        crystal = image.description.crystals[0]
        np.testing.assert_array_equal(truth["crystals/a_matrix"][0], crystal.a_matrix)
        abc = truth["crystals/real_space_abc"][0]
        np.testing.assert_allclose(np.linalg.norm(abc, axis=1), [70, 80, 90], rtol=1e-12)
        rotated = image.description.to_dxtbx @ crystal.a_matrix
        np.testing.assert_allclose(abc @ rotated, np.eye(3), atol=1e-12)
        told = Experiment.from_toml(truth["frames/experiment"][0].decode())
        assert told == image.experiment
        assert truth["frames/seed"][0] == 5


def test_the_crystal_of_a_still_is_told_at_its_spindle_angle(tmp_path: Path) -> None:
    """Readers have no spindle there."""
    image = image_of("-phi 33 -misset 10 20 30")
    image.save(tmp_path / "a.nxs")
    description = image.description
    turn = Rotation.from_rotvec(np.radians(33) * np.array(description.spindle)).as_matrix()
    with h5py.File(tmp_path / "a.nxs") as file:
        abc = file["entry/nbnumba/crystals/real_space_abc"][0]
    np.testing.assert_allclose(
        abc @ description.to_dxtbx @ turn @ description.crystals[0].a_matrix, np.eye(3), atol=1e-12
    )


# Where it all stands ---------------------------------------------------------------------------------------------

PLACES = [
    "-lambda 0.97931",
    "-detector_rotx 3 -detector_roty -7 -detector_rotz 11 -osc 0.1 -phi 12.3",
    "-twotheta 23.7 -osc 0.25 -phi -4",
    "-twotheta 23.7 -pivot sample -detector_rotz 5 -osc 0.25",
    "-adxv -osc 1 -twotheta 5",
    "-xds -osc 1",
    "-fdet_vector 0.1 0.2 1 -sdet_vector 0 -1 0.2 -beam_vector 1 0.1 0.05 "
    "-spindle_axis 0.3 0.4 1 -polar_vector 0 -0.05 0.1 -osc 0.5",
    "-spindle_axis 1 0 0 -fdet_vector 0 0 1 -osc 0.5",
]


def chain(axis: Any) -> np.ndarray:
    """The transformations on which something depends, multiplied (4, 4); lengths in mm."""
    total = np.eye(4)
    while True:
        own, vector, value = np.eye(4), axis.attrs["vector"], float(np.ravel(axis[()])[0])
        assert abs(np.linalg.norm(vector) - 1.0) < 1e-14
        if axis.attrs["transformation_type"] == "rotation":
            assert axis.attrs["units"] == "deg"
            own[:3, :3] = Rotation.from_rotvec(np.radians(value) * vector).as_matrix()
        else:
            assert axis.attrs["units"] == "mm"
            own[:3, 3] = value * vector
        total = own @ total
        if axis.attrs["depends_on"] == ".":
            return total
        axis = axis.file[axis.attrs["depends_on"]]


def check_places(file: Any, description: Description) -> None:
    to_nexus = IN_NEXUS @ description.to_dxtbx
    np.testing.assert_allclose(to_nexus @ description.beam, [0, 0, 1], atol=1e-14)
    modules = [one for one in file["entry/instrument/detector"].values()
               if one.attrs.get("NX_class") == "NXdetector_module"]  # fmt: skip
    row = 0
    for panel, module in zip(description.panels, modules, strict=True):
        placed = chain(file[module["fast_pixel_direction"].attrs["depends_on"]])
        np.testing.assert_allclose(placed[:3, 3], to_nexus @ panel.origin_mm, atol=1e-11)
        for name, step in (("fast", panel.fast), ("slow", panel.slow)):
            axis = module[f"{name}_pixel_direction"]
            np.testing.assert_allclose(
                placed[:3, :3] @ axis.attrs["vector"] * axis[()], to_nexus @ step * panel.pixel_mm, atol=1e-12
            )
        assert module["data_origin"][()].tolist() == [row, 0]
        assert module["data_size"][()].tolist() == [panel.slow_pixels, panel.fast_pixels]
        row += panel.slow_pixels


@pytest.mark.parametrize("options", PLACES)
def test_modules_stand_where_the_detector_does(tmp_path: Path, options: str) -> None:
    image = image_of(options)
    image.save(tmp_path / "a.nxs")
    description = image.description
    with h5py.File(tmp_path / "a.nxs") as file:
        check_places(file, description)
        assert file["entry/instrument/beam/incident_wavelength"][()] == description.mean_wavelength_angstrom
        sample = file["entry/sample"]
        if not description.oscillation_deg:
            assert sample["depends_on"][()] == b"."
            return
        omega = file[sample["depends_on"][()].decode()]
        spindle = IN_NEXUS @ description.to_dxtbx @ description.spindle
        np.testing.assert_allclose(omega.attrs["vector"], spindle, atol=1e-14)
        assert omega[()].tolist() == [description.phi_deg]
        assert sample["transformations/omega_end"][0] == description.phi_deg + description.oscillation_deg


@pytest.mark.parametrize(("sizes", "chunk"), [([(18, 22)] * 12, (1, 22, 18)), ([(18, 22), (9, 30)], (1, 52, 18))])
def test_panels_are_modules_one_above_the_other(
    tmp_path: Path, sizes: list[tuple[int, int]], chunk: tuple[int, ...]
) -> None:
    image = image_of("-osc 1", detector=panels(sizes))
    frame = image.save(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        check_places(file, image.description)
        assert file["entry/data/data"].chunks == chunk
        pixels, mask = file["entry/data/data"][0], file["entry/instrument/detector/pixel_mask"][()]
    row = 0
    for (fast, slow), panel in zip(sizes, frame.pixels, strict=True):
        np.testing.assert_array_equal(pixels[row : row + slow, :fast], panel)
        assert not mask[row : row + slow, :fast].any()
        assert mask[row : row + slow, fast:].all()
        row += slow


def test_stokes_parameters_give_the_polarization_back(tmp_path: Path) -> None:
    for options in PLACES:
        description = image_of(options).description
        image_of(options).save(tmp_path / "a.nxs")
        with h5py.File(tmp_path / "a.nxs") as file:
            i, q, u, v = file["entry/instrument/beam/incident_polarization_stokes"][0]
        assert (i, v) == (1.0, 0.0)
        axis = IN_NEXUS @ description.to_dxtbx @ description.polarization
        axis = axis[:2] / np.linalg.norm(axis[:2])
        # The share along an axis is ½ (I + Q cos 2ψ + U sin 2ψ).
        share = 0.5 * (i + q * (axis[0] ** 2 - axis[1] ** 2) + u * 2 * axis[0] * axis[1])
        assert share == pytest.approx(0.95, abs=1e-12)


# Many frames -----------------------------------------------------------------------------------------------------


def series(options: str, count: int, width: float) -> Iterator[Frame]:
    for number in range(count):
        yield image_of(f"{options} -phi {10 + width * number} -osc {width}").frame("counted", seed=number)


def write_all(path: Path, *taken: Frame) -> None:
    with sink(path) as frames:
        for frame in taken:
            frames.write(frame)
            assert not path.exists()


def test_a_series_is_one_file_with_every_angle(tmp_path: Path) -> None:
    taken = list(series("", 3, 0.5))
    write_all(tmp_path / "all.nxs", *taken)
    with h5py.File(tmp_path / "all.nxs") as file:
        data, axes = file["entry/data/data"], file["entry/sample/transformations"]
        assert data.shape == (3, 20, 30)
        for stored, frame in zip(data, taken, strict=True):
            np.testing.assert_array_equal(stored + 12, frame.pixels[0])
        assert axes["omega"][()].tolist() == [10, 10.5, 11]
        assert axes["omega_end"][()].tolist() == [10.5, 11, 11.5]
        assert file["entry/nbnumba/crystals/frame"][()].tolist() == [0, 1, 2]
    with pytest.warns(NbnumbaWarning, match="of its 3 frames, the first is read"):
        np.testing.assert_array_equal(registry.read(tmp_path / "all.nxs") + 12, taken[0].pixels[0])


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_spectra_may_differ_from_frame_to_frame(tmp_path: Path, shift: float) -> None:
    spectra = [[(12000.0, 1.0), (12010.0, 3.0)], [(12000.0 + shift, 2.0), (12010.0 + shift, 1.0)]]
    images = [image_of(beam={"spectrum": rows}) for rows in spectra]
    write_all(tmp_path / "all.nxs", *(image.frame("photons") for image in images))
    with h5py.File(tmp_path / "all.nxs") as file:
        beam = file["entry/instrument/beam"]
        variant = beam["incident_wavelength"].attrs["variant"]
        for number, image in enumerate(images):
            description = image.description
            assert beam["incident_wavelength"][number] == description.mean_wavelength_angstrom
            np.testing.assert_array_equal(beam[variant][number], description.wavelengths_angstrom)
            np.testing.assert_array_equal(beam[f"{variant}_weights"][number], description.wavelength_weights)


def test_spectra_may_have_fewer_wavelengths_in_some_frames(tmp_path: Path) -> None:
    """The last then goes on without photons, which changes no sum."""
    images = [image_of(beam={"spectrum": rows}) for rows in ([(12000.0, 1.0), (12010.0, 3.0)], [(12020.0, 1.0)])]
    write_all(tmp_path / "all.nxs", *(image.frame("photons") for image in images))
    with h5py.File(tmp_path / "all.nxs") as file:
        beam = file["entry/instrument/beam"]
        wavelengths = beam["incident_wavelength_spectra"][()]
        weights = beam["incident_wavelength_spectra_weights"][()]
        means = beam["incident_wavelength"][()]
    assert wavelengths.shape == weights.shape == (2, 2)
    np.testing.assert_array_equal(wavelengths[1], [means[1]] * 2)
    np.testing.assert_array_equal(weights[1], [1, 0])
    np.testing.assert_array_equal(wavelengths[0], images[0].description.wavelengths_angstrom)
    np.testing.assert_array_equal(weights[0], images[0].description.wavelength_weights)
    np.testing.assert_allclose(np.average(wavelengths, 1, weights), means, rtol=1e-6)


def test_frames_of_another_detector_or_content_are_refused(tmp_path: Path, image: Image) -> None:
    for other, said in ((image_of("-twotheta 4").frame("counted"), "have one detector"),
                        (image.frame("photons"), "before it in the same NXmx file are counted")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            write_all(tmp_path / "a.nxs", image.frame("counted"), other)
    with sink(tmp_path / "a.nxs"):
        pass
    assert not list(tmp_path.iterdir())


# By -img ---------------------------------------------------------------------------------------------------------


def read_back(path: Path, options: str = "") -> Description:
    experiment = Experiment.from_args([*CRYSTAL.split(), "-img", str(path), *options.split()])
    return described(resolve(experiment, read_inputs(experiment)))


@pytest.mark.parametrize("options", PLACES)
def test_img_gives_beam_detector_and_scan_back(tmp_path: Path, options: str) -> None:
    image = image_of(f"{options} -flux 1e12 -beamsize 0.03 -roi 3 20 2 9")
    image.save(tmp_path / "a.nxs")
    given, found = image.description, read_back(tmp_path / "a.nxs")

    def alike(u: Any, v: Any) -> None:
        np.testing.assert_allclose(found.to_dxtbx @ v, given.to_dxtbx @ u, atol=1e-12)

    for mine, other in ((given.panels[0], found.panels[0]),):
        alike(mine.origin_mm, other.origin_mm)
        alike(mine.fast, other.fast)
        alike(mine.slow, other.slow)
        assert other.pixel_mm == mine.pixel_mm
        np.testing.assert_array_equal(other.measured, mine.measured)
    alike(given.spindle if given.oscillation_deg else (0, 0, 0), found.spindle if given.oscillation_deg else (0, 0, 0))
    for name in ("phi_deg", "oscillation_deg", "mean_wavelength_angstrom", "fluence_per_m2", "polarization_fraction"):
        assert getattr(found, name) == pytest.approx(getattr(given, name), rel=1e-12, abs=1e-12)
    across = abs(float((found.to_dxtbx @ found.polarization) @ (given.to_dxtbx @ given.polarization)))
    assert across == pytest.approx(1.0, abs=1e-12)


def test_explicit_options_win_over_img(tmp_path: Path, image: Image) -> None:
    image.save(tmp_path / "a.nxs")
    found = read_back(tmp_path / "a.nxs", "-distance 250 -lambda 1.2")
    assert (found.panels[0].distance_mm, found.wavelength_angstrom) == (250.0, 1.2)


def test_img_gives_panels_and_their_masks_back(tmp_path: Path) -> None:
    image = image_of("-osc 1", detector=panels([(18, 22), (9, 30), (12, 12)]))
    image.save(tmp_path / "a.nxs")
    given, found = image.description, read_back(tmp_path / "a.nxs")
    for mine, other in zip(given.panels, found.panels, strict=True):
        for u, v in ((mine.origin_mm, other.origin_mm), (mine.fast, other.fast), (mine.slow, other.slow)):
            np.testing.assert_allclose(found.to_dxtbx @ v, given.to_dxtbx @ u, atol=1e-12)
        assert (other.name, other.slow_pixels, other.fast_pixels) == (mine.name, mine.slow_pixels, mine.fast_pixels)


def edited(path: Path, **fields: Any) -> Path:
    """A good file with fields of its detector, or others by their paths, changed; None takes one away."""
    with h5py.File(path, "r+") as file:
        for name, value in fields.items():
            place = {"definition": "entry/definition", "module": "entry/instrument/detector/module_0000",
                     "wavelength": "entry/instrument/beam/incident_wavelength", "data": "entry/data/data",
                     "mask": "entry/instrument/detector/pixel_mask", "beam": "entry/instrument/beam",
                     "two_theta": "entry/instrument/detector/transformations/two_theta"}[name]  # fmt: skip
            if isinstance(value, dict):
                file[place].attrs.update(value)
                continue
            del file[place]
            if value is not None:
                file[place] = value
    return path


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"definition": "NXsas"}, "is an HDF5 file, but not NXmx"),
        ({"module": None}, "has no NXdetector_module"),
        ({"beam": None}, "is NXmx without an NXbeam"),
        ({"wavelength": {"units": "furlong"}}, "must be those of a length or an angle, not 'furlong'"),
        ({"two_theta": {"depends_on": "two_theta"}}, "depend on one another without an end"),
        ({"two_theta": {"depends_on": "nowhere"}}, "depends on 'nowhere', which is not there"),
        ({"two_theta": {"vector": [0.0, 0.0, 0.0]}}, "has a vector without direction"),
        ({"mask": np.zeros((5, 5), np.uint32)}, "lies outside the pixel_mask"),
    ],
)
def test_what_is_not_nxmx_is_said_in_a_line(tmp_path: Path, image: Image, fields: dict[str, Any], said: str) -> None:
    image.save(tmp_path / "a.nxs")
    with pytest.raises(InputFileError, match=said) as caught:
        read_back(edited(tmp_path / "a.nxs", **fields))
    assert str(caught.value).startswith(str(tmp_path / "a.nxs"))


def test_a_file_without_pixels_is_no_image(tmp_path: Path, image: Image) -> None:
    image.save(tmp_path / "a.nxs")
    with pytest.raises(InputFileError, match="has no pixels in its NXdata"):
        registry.read(edited(tmp_path / "a.nxs", data=None))


def test_damaged_files_are_refused_in_a_line(tmp_path: Path, image: Image) -> None:
    image.save(tmp_path / "a.nxs")
    content, refused = (tmp_path / "a.nxs").read_bytes(), 0
    with h5py.File(tmp_path / "a.nxs") as file:
        chunk = file["entry/data/data"].id.get_chunk_info(0)
    packed = bytearray(content)
    packed[chunk.byte_offset + 12 : chunk.byte_offset + chunk.size] = b"\xff" * (chunk.size - 12)
    for spoilt in (content[:9], content[: len(content) // 2], content[:-1], bytes(packed)):
        (tmp_path / "b.nxs").write_bytes(spoilt)
        with pytest.raises(InputFileError, match=r"b\.nxs: (is damaged|cannot be read)"):
            registry.read(tmp_path / "b.nxs")
        refused += 1
    assert refused == 4


# What DIALS does not read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-osc 1", "give dials.import geometry.beam.polarization_fraction=0.95$"),
        ("-nopolar", "will correct for one that is not there"),
        ("-polar_vector 0 1 0 -fdet_vector 0 0 1", "polarization_normal=-?1,0,0$"),
        ("-detector_thick 320 -detector_abs 200", "for one of an unknown material, 320 µm thick, it corrects for no"),
    ],
)
def test_what_dials_does_not_read_is_said(tmp_path: Path, options: str, said: str) -> None:
    with pytest.warns(NbnumbaWarning, match=said):
        FORMAT.check(tmp_path / "a.nxs", image_of(options).description, 0.0)


def test_what_dials_reads_rightly_is_not_said(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FORMAT.check(tmp_path / "a.nxs", image_of("-polar 0.998 -osc 1 -twotheta 5").description, 0.0)


def test_a_curved_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NXmx has flat detectors alone"):
        image_of("-curved_det").save(tmp_path / "a.nxs")


# Trouble ---------------------------------------------------------------------------------------------------------

COMMAND = f"{LINE} -oversample 1 -backend cpu -noprogress -quiet"
BOUNDED = """
import resource, sys
from nbnumba.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""
SLOW = """
import sys, time
from nbnumba.formats.sinks import sink
from tests.test_nxmx import image_of
frame = image_of().frame("counted")
with sink(sys.argv[1]) as frames:
    frames.write(frame)
    print("begun", flush=True)
    time.sleep(60)
"""


def environment(**more: str) -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, str(Path(__file__).parent)]), **more}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of files")
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    """Not the segmentation fault in which the HDF5 library ends."""
    (tmp_path / "a.nxs").write_bytes(b"old")
    words = [*COMMAND.split(), "-osc", "1", "-images", "3", "-o", str(tmp_path / "a.nxs")]
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", BOUNDED, "2000", *words],
                           env=environment(), capture_output=True, text=True, check=False)  # fmt: skip
    said = [line for line in ended.stderr.splitlines() if "warning" not in line and "compiling" not in line]
    assert (ended.returncode, len(said)) == (4, 1), ended
    assert said[0].startswith(f"nbnumba: cannot write {tmp_path / 'a.nxs'}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nxs"]
    assert (tmp_path / "a.nxs").read_bytes() == b"old"


def test_a_full_disk_is_said_whatever_the_library_says_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(descriptor: int, data: Any, position: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", pwrite)

    def write() -> None:
        with replacing_hdf5(tmp_path / "bad.nxs") as written:
            written.file["a"] = 1
            written.file.flush()
            raise OSError("address of object past end of allocation")

    with pytest.raises(ResourceError, match=r"cannot write .*bad\.nxs: the disk is full"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_disk_may_be_full_at_any_moment(tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    really, frame, room = os.pwrite, image.frame("counted"), [0]

    def pwrite(descriptor: int, data: Any, position: int) -> int:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "full")
        # A disk may also take less than it is given.
        return really(descriptor, data[:8192], position)

    monkeypatch.setattr(os, "pwrite", pwrite)
    room[0] = 1_000_000
    write_all(tmp_path / "good.nxs", frame, frame)
    calls = 1_000_000 - room[0]
    for most in (0, 1, 2, calls // 2, calls - 1):
        room[0] = most
        with pytest.raises(ResourceError, match=r"cannot write .*bad\.nxs: the disk is full"):
            write_all(tmp_path / "bad.nxs", frame, frame)
    (written,) = tmp_path.iterdir()
    with h5py.File(written) as file:
        np.testing.assert_array_equal(file["entry/data/data"][1] + 12, frame.pixels[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals")
def test_a_kill_while_it_is_written_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.nxs").write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", SLOW, str(tmp_path / "a.nxs")],
                          env=environment(), stdout=subprocess.PIPE) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        writer.kill()
    assert (tmp_path / "a.nxs").read_bytes() == b"old"


def test_an_error_in_the_middle_leaves_the_old_file_and_no_trace(tmp_path: Path, image: Image) -> None:
    (tmp_path / "a.nxs").write_bytes(b"old")

    def interrupted() -> None:
        with sink(tmp_path / "a.nxs") as frames:
            frames.write(image.frame("counted"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.nxs"]
    assert (tmp_path / "a.nxs").read_bytes() == b"old"


def test_a_folder_of_that_name_is_said(tmp_path: Path, image: Image) -> None:
    (tmp_path / "a.nxs").mkdir()
    with pytest.raises(ResourceError, match=r"cannot write .*a\.nxs: it is a folder"):
        image.save(tmp_path / "a.nxs")
    assert not list((tmp_path / "a.nxs").iterdir())


def test_a_pipe_gets_the_whole_file(tmp_path: Path, image: Image) -> None:
    image.save(tmp_path / "a.nxs")
    os.mkfifo(tmp_path / "pipe.nxs")
    with subprocess.Popen(["cat", tmp_path / "pipe.nxs"], stdout=subprocess.PIPE) as reader:
        image.save(tmp_path / "pipe.nxs")
        assert reader.communicate()[0] == (tmp_path / "a.nxs").read_bytes()


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    began = time.perf_counter()
    assert cli.main([*COMMAND.split(), "-detpixels", "4000", "-o", str(tmp_path / "a.nxs")]) == 4
    assert "pip install 'nbnumba[hdf5]'" in capsys.readouterr().err
    # Before the work, that is.
    assert time.perf_counter() - began < 30.0
    assert not list(tmp_path.iterdir())


def test_plugins_of_a_facility_do_no_harm(tmp_path: Path) -> None:
    """Where HDF5_PLUGIN_PATH names some, the library may have found one with which it cannot write."""
    import hdf5plugin

    words = [*COMMAND.split(), "-o", str(tmp_path / "a.nxs")]
    subprocess.run([sys.executable, "-W", "ignore", "-m", "nbnumba", *words], check=True, capture_output=True,
                   env=environment(HDF5_PLUGIN_PATH=hdf5plugin.PLUGIN_PATH))  # fmt: skip
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry/data/data"][0].any()


def test_a_run_without_such_files_does_not_import_the_library() -> None:
    said = subprocess.run([sys.executable, "-c",
                           "import sys, nbnumba; from nbnumba.formats import registry, found; registry.formats(); "
                           "print([name for name in ('h5py', 'hdf5plugin') if name in sys.modules])"],
                          check=True, capture_output=True, text=True, env=environment()).stdout  # fmt: skip
    assert said == "[]\n"
