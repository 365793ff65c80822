"""Measured images of every format as photons, and what is said of those that cannot be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, NbnumbaError, changed, simulate
from nbnumba.errors import InputFileError, NbnumbaWarning, UsageError
from nbnumba.refinement.background import APART, MOST_PARTS, basis_of
from nbnumba.refinement.measured import ROBUST_Z, Reading, read_target
from nbnumba.refinement.target import LOWEST
from nbnumba.setup.added import sin_theta_over_lambda
from nbnumba.setup.detector_alone import resolve_detector

FAST, SLOW = 20, 16
WORDS = f"-cell 70 80 90 -default_F 100 -N 3 -detpixels_f {FAST} -detpixels_s {SLOW} -pixel 1 -lambda 1 -oversample 1"

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def experiment(words: str = "") -> Experiment:
    return Experiment.from_args(f"{WORDS} {words}".split())


def put(pixels: Any, name: str = "i.npy") -> str:
    np.save(name, pixels)
    return name


def smv(pixels: np.ndarray, **records: Any) -> str:
    said = "".join(f"{keyword}={value};\n" for keyword, value in records.items())
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1={FAST};\nSIZE2={SLOW};\n{said}}}"
    Path("i.img").write_bytes(header.encode().ljust(512) + pixels.astype("<u2").tobytes())
    return "i.img"


def counted(words: str, name: str) -> Any:
    """An image of water as a detector counts it, in a file, and its photons."""
    image = simulate(experiment(f"-flux 1e11 -beamsize 0.05 -exposure 1 -background water 1 -seed 1 {words}"), "cpu")
    image.save(name, content="counted")
    return image


PHOTONS = np.arange(FAST * SLOW, dtype=np.uint16).reshape(SLOW, FAST)


def floats() -> np.ndarray:
    return PHOTONS.astype(np.float32)


# Formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.img", "c.cbf", "c.nxs", "c.tif", "c.npy"])
@pytest.mark.parametrize("words", ["-adc 0", "-readout integrating -gain 2 -readnoise 4"])
def test_counts_become_photons(name: str, words: str) -> None:
    image = counted(words, name)
    measured = read_target(image.experiment, name).target
    assert measured.measured.shape == (SLOW, FAST)
    assert measured.mask is not None
    assert measured.mask.all()
    gain, sigma = (2.0, 4.0) if "gain" in words else (1.0, 0.0)
    assert measured.read_noise == sigma / gain
    expected = image.photons.astype(float)
    z = (measured.measured - expected) / np.sqrt(expected + (sigma / gain) ** 2)
    assert abs(z.mean()) < 4.0 / np.sqrt(z.size)
    assert 0.8 < z.std() < 1.2
    assert np.corrcoef(measured.measured.ravel(), expected.ravel())[0, 1] > 0.5


def test_float_images_are_photons_as_they_are() -> None:
    floats().tofile("f.bin")
    found = read_target(experiment("-readout integrating -gain 2"), "f.bin")
    np.testing.assert_array_equal(found.target.measured, PHOTONS)
    assert found.target.read_noise == 0.0
    assert found.words.startswith("photons as they are, 320 of 20 x 16 pixels compared")
    given = read_target(experiment(), "f.bin", reading=Reading(pedestal=-1.0, gain=4.0, sigma=2.0)).target
    np.testing.assert_array_equal(given.measured, (PHOTONS + 1.0) / 4.0)
    assert given.read_noise == 0.5


@pytest.mark.parametrize(
    ("records", "words", "reading", "pedestal"),
    [
        ({}, "", Reading(), 40.0),
        ({}, "-adc 7", Reading(), 7.0),
        ({"ADC_OFFSET": 5}, "-adc 7", Reading(), 5.0),
        ({"IMAGE_PEDESTAL": 3}, "", Reading(), 3.0),
        ({"ADC_OFFSET": 5}, "-adc 7", Reading(pedestal=11.0), 11.0),
    ],
)
def test_whose_pedestal_counts(records: dict[str, int], words: str, reading: Reading, pedestal: float) -> None:
    path = smv(PHOTONS + 50, **records)
    measured = read_target(experiment(words), path, reading=reading).target.measured
    np.testing.assert_array_equal(measured, PHOTONS + 50.0 - pedestal)


def test_counts_that_mark_pixels_do_not_count() -> None:
    pixels = PHOTONS + 50
    pixels[0, :3], pixels[1, :2] = (65535, 60001, 60000), 0
    counts = read_target(experiment(), smv(pixels, CCD_IMAGE_SATURATION=60001)).target.mask
    assert counts is not None
    assert np.argwhere(~counts).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    # Without a pedestal 0 is a count.
    counts = read_target(experiment("-adc 0"), smv(pixels)).target.mask
    assert counts is not None
    assert np.argwhere(~counts).tolist() == [[0, 0]]


def test_marks_of_a_counter_do_not_count() -> None:
    counted("-adc 0 -readout counting -badpix 0.1", "c.cbf")
    counted("-adc 0 -readout counting -badpix 0.1", "c.nxs")
    masks = [read_target(experiment(), name).target.mask for name in ("c.cbf", "c.nxs")]
    assert masks[0] is not None
    np.testing.assert_array_equal(masks[0], masks[1])
    assert 0 < np.count_nonzero(~masks[0]) < 0.3 * FAST * SLOW


def test_a_frame_of_a_series() -> None:
    h5py = pytest.importorskip("h5py")
    counted("-adc 0", "c.nxs")
    with h5py.File("c.nxs", "r+") as file:
        data = file["entry/data/data"]
        data.resize(2, axis=0)
        data[1] = data[0] + np.asarray(1, data.dtype)
    with pytest.warns(NbnumbaWarning, match="of its 2 frames, the first is read"):
        first = read_target(experiment(), "c.nxs").target.measured
    second = read_target(experiment(), "c.nxs", reading=Reading(frame=2)).target.measured
    np.testing.assert_array_equal(second, first + 1.0)
    with pytest.raises(InputFileError, match=r"c\.nxs: has no frame 3: its frames are 1 to 2"):
        read_target(experiment(), "c.nxs", reading=Reading(frame=3))


def test_masks_of_every_kind_are_joined() -> None:
    kept = np.ones((SLOW, FAST), bool)
    kept[2, 3] = False
    put(kept, "m.npy")
    image = put(np.where(kept, PHOTONS, np.nan))
    found = read_target(experiment("-roi 1 19 0 15"), image, reading=Reading(mask="m.npy")).target
    kept[:, 0] = False
    np.testing.assert_array_equal(found.mask, kept)
    np.testing.assert_array_equal(found.measured, np.where(kept, PHOTONS, 0.0))
    again = read_target(experiment("-roi 1 19 0 15"), image, reading=Reading(mask=smv(kept)))
    np.testing.assert_array_equal(again.target.mask, kept)


def test_robustness_is_five_standard_deviations() -> None:
    path = put(PHOTONS.astype(np.float32))
    assert read_target(experiment(), path, robust=True).target.robust_z == ROBUST_Z == 5.0
    assert read_target(experiment(), path).target.robust_z is None


# Backgrounds -----------------------------------------------------------------------------------------------------


def fitted(basis: np.ndarray, image: np.ndarray) -> np.ndarray:
    rows = basis.reshape(len(basis), -1)
    return (np.linalg.lstsq(rows.T, image.ravel(), rcond=None)[0] @ rows).reshape(image.shape)


def test_backgrounds_make_what_they_are_called() -> None:
    resolved, counts = resolve_detector(experiment()), np.ones((SLOW, FAST), bool)
    slow, fast = np.mgrid[:SLOW, :FAST].astype(float)
    radius = sin_theta_over_lambda(resolved.plans[0].detector, resolved.panels[0].beam, 1.0)
    images = {"flat": np.full(counts.shape, 3.0), "plane": 2.0 - 3.0 * slow + fast, "radial": (radius - 0.01) ** 3 + 2}
    assert basis_of("none", resolved, counts) is None
    splines = 3 + math.ceil((radius.max() - radius.min()) / APART)
    assert 4 < splines < MOST_PARTS
    for name, functions in (("flat", 1), ("plane", 3), ("radial", splines)):
        basis = basis_of(name, resolved, counts)
        assert basis is not None
        assert basis.shape == (functions, SLOW, FAST)
        for other, image in images.items():
            is_made = bool(np.allclose(fitted(basis, image), image, rtol=1e-9, atol=1e-9))
            assert is_made == (name == other or other == "flat"), (name, other)


def test_radial_functions_add_up_to_one_and_need_no_masked_pixel() -> None:
    resolved, counts = resolve_detector(experiment()), np.ones((SLOW, FAST), bool)
    counts[4:12, 5:15] = False
    basis = basis_of("radial", resolved, counts)
    assert basis is not None
    np.testing.assert_allclose(basis.sum(axis=0), counts, atol=1e-12)
    assert (basis >= 0.0).all()
    assert np.linalg.matrix_rank(basis.reshape(len(basis), -1)) == len(basis)


def test_water_and_air_are_radial() -> None:
    """What is left is less than a third of the noise of ten thousand photons a pixel."""
    words = "-pixel 0.8 -detpixels 100 -flux 1e12 -beamsize 0.05 -background water 0.2 -background air 20 -spot_scale 0"
    image = simulate(experiment(words), "cpu").photons.astype(float)
    counts = np.ones(image.shape, bool)
    basis = basis_of("radial", resolve_detector(experiment(words)), counts)
    assert basis is not None
    assert image.min() < 0.5 * image.max()
    image *= 1e4 / image.mean()
    assert np.mean((fitted(basis, image) - image) ** 2 / image) < 0.1


def test_background_of_a_file_is_that_image() -> None:
    put(PHOTONS, "b.npy")
    basis = read_target(experiment(), put(PHOTONS + 0.5), "b.npy").target.basis
    np.testing.assert_array_equal(basis, PHOTONS[np.newaxis])


def test_what_is_the_same_everywhere_has_one_function() -> None:
    row = changed(experiment(), detector={"slow_pixels": 1, "fast_pixels": 1})
    for name in ("flat", "plane", "radial"):
        basis = basis_of(name, resolve_detector(row), np.ones((1, 1), bool))
        assert basis is not None
        assert basis.tolist() == [[[1.0]]]


def test_panels_lie_above_one_another() -> None:
    from nbnumba import Detector, Panel

    panels = [Panel(name, 6, 4, origin_mm=(x, -3.2, 100), fast_step_mm=(0.1, 0, 0), slow_step_mm=(0, 0.1, 0))
              for name, x in (("left", -3.25), ("right", 0.05))]  # fmt: skip
    two = Experiment(detector=Detector(convention="dials", panels=panels), beam=experiment().beam)
    found = read_target(two, put(np.ones((8, 6))), "radial").target
    assert found.measured.shape == (8, 6)
    assert found.basis is not None
    np.testing.assert_allclose(found.basis.sum(axis=0), 1.0)


# What cannot be --------------------------------------------------------------------------------------------------


def says(error: type[NbnumbaError], text: str, path: str, **how: Any) -> None:
    background = how.pop("background", "flat")
    with pytest.raises(error) as caught:
        read_target(experiment(how.pop("words", "")), path, background, Reading(**how))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_pixels_is_counted() -> None:
    image = floats()
    image[3, 4], image[5, 6] = np.nan, np.inf
    says(InputFileError, "i.npy: 2 of 320 pixels are no finite numbers (NaN): mask them by -mask", put(image))
    image = floats() - np.float32(2.5)
    says(InputFileError, "i.npy: 3 of 320 pixels have less than no photons, down to -2.5: give", put(image))
    # What read-out noise explains is none of it.
    assert read_target(experiment(), put(image), reading=Reading(sigma=2.5 / LOWEST)).target.measured[0, 0] < 0
    says(InputFileError, "i.npy: there are no photons in the pixels", put(np.zeros((SLOW, FAST))))
    says(InputFileError, "i.img: 10 of 320 pixels have less than no photons", smv(PHOTONS + 30))


def test_images_of_another_size() -> None:
    says(InputFileError, "i.npy: has 16 x 20 pixels, the detector 20 x 16 (fast x slow)", put(floats().T))
    says(InputFileError, "i.npy has shape (3,) of float64; must be an image", put(np.ones(3)))
    put(np.ones((2, 2), bool), "m.npy")
    says(InputFileError, "-mask m.npy: has 2 x 2 pixels, the detector 20 x 16", put(floats()), mask="m.npy")
    put(np.ones((2, 2)), "b.npy")
    says(InputFileError, "-background b.npy has shape (2, 2)", put(floats()), background="b.npy")


def test_files_that_are_no_images() -> None:
    Path("t.txt").write_text("no image\n")
    no_image = "is no SMV, CBF, NXmx, TIFF or .npy image, and has 9 bytes where 20 x 16 float32 pixels"
    says(InputFileError, f"t.txt: {no_image}", "t.txt")
    says(InputFileError, "cannot read the image gone.img: there is no such file", "gone.img")
    says(InputFileError, "-mask", put(floats()), mask=put(floats(), "m.npy"))
    says(UsageError, "-background gone: is neither flat, plane, radial nor none, and there is", put(floats()),
         background="gone")  # fmt: skip
    put(-floats(), "b.npy")
    says(InputFileError, "-background b.npy: 319 pixels are no number of photons", put(floats()), background="b.npy")
    put(np.zeros((SLOW, FAST)), "b.npy")
    says(UsageError, "-background b.npy: is 0 in every pixel", put(floats()), background="b.npy")
    says(UsageError, "-frame 2: i.npy holds one image", put(floats()), frame=2)


def test_nothing_left_to_compare() -> None:
    put(np.zeros((SLOW, FAST), bool), "m.npy")
    says(UsageError, "no pixel is left to be compared", put(floats()), mask="m.npy")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"gain": 0.0}, "-gain 0: must be above 0"),
        ({"gain": float("nan")}, "-gain nan: must be a finite"),
        ({"sigma": -1.0}, "-sigma -1: must be a finite number, 0 or more"),
        ({"pedestal": float("inf")}, "-pedestal inf: must be a finite number"),
    ],
)
def test_numbers_that_cannot_be(how: dict[str, float], said: str) -> None:
    says(UsageError, said, put(floats()), **how)
