"""The registry of image formats: each writes what a reader of the field reads; a new one is one module."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import PIL.Image
import pytest

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, cli
from nbnumba.formats import images, registry
from nbnumba.formats.frame import CONTENTS, Content, Frame
from nbnumba.formats.images.smv import read_smv
from nbnumba.formats.sinks import sink
from nbnumba.image import Image
from nbnumba.setup.inputs import Inputs
from nbnumba.setup.resolve import resolve

LINE = "-cell 70 80 90 -default_F 100 -N 3 -detpixels_f 30 -detpixels_s 20 -pixel 1 -adc 12 -seed 5"
FORMATS = {one.name: one for one in registry.formats()}


@pytest.fixture(scope="module")
def image() -> Image:
    """Of 30 x 20 pixels, no two alike."""
    photons = np.random.default_rng(1).permutation(np.linspace(0, 50, 600, dtype=np.float32)).reshape(20, 30)
    return Image(resolve(Experiment.from_args(LINE.split()), Inputs()), photons)


def by_h5py(path: Path) -> np.ndarray:
    pytest.importorskip("hdf5plugin")
    with pytest.importorskip("h5py").File(path) as file:
        (pixels,) = file["entry/data/data"]
        return pixels


def by_fabio(path: Path) -> np.ndarray:
    return pytest.importorskip("fabio").open(path).data


def by_eye(path: Path) -> np.ndarray:
    """The pixels of a picture of 30 x 20 that stand for those of the image: the darker, the more photons."""
    red, green, blue = np.moveaxis(matplotlib.image.imread(path)[..., :3], -1, 0)
    factor = 900 // 30
    grey = np.where((red == green) & (green == blue), red, np.nan)[50 : 50 + 20 * factor, 70 : 70 + 30 * factor]
    return grey.reshape(20, factor, 30, factor).swapaxes(1, 2).reshape(20, 30, -1)


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "SMV": by_fabio,
    "NXmx": by_h5py,
    "PGM": lambda path: np.asarray(PIL.Image.open(path)),
    "NumPy": np.load,
    "float32": lambda path: np.fromfile(path, np.float32).reshape(20, 30),
    "PNG": by_eye,
    "CBF": by_fabio,
    "TIFF": by_fabio,
}
WITHOUT_PIXELS = {"experiment", "reflections"}
"""What these hold is read in tests/test_descriptions.py."""


@pytest.mark.filterwarnings("ignore:.*DIALS does not read the polarization")
@pytest.mark.parametrize(
    ("name", "content"),
    [(one.name, content) for one in FORMATS.values() for content in one.holds if content not in WITHOUT_PIXELS],
)
@pytest.mark.filterwarnings("ignore:mini-CBF")
def test_a_reader_of_the_field_reads_what_is_written(tmp_path: Path, image: Image, name: str, content: Content) -> None:
    path = tmp_path / f"image_1{FORMATS[name].suffixes[0]}"
    frame = image.save(path, content)
    pixels = READERS[name](path)
    assert frame.content == content
    if content == "picture":
        middle = np.nanmedian(pixels, axis=2)
        brightest, dark = image.photons > 45.0, image.photons < 20.0
        assert np.nanmax(middle[brightest]) < np.nanmin(middle[dark])
        return
    expected = {
        "photons": image.photons,
        "scaled": np.floor(image.photons * (55000 / 50) + 12.5),
        "counted": image.noise(5, 12.0).counts,
        "gray": np.floor(image.photons * frame.scale),
    }[content]
    if content in ("scaled", "counted"):
        expected = expected + (frame.adc_offset - 12.0)
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=1 if content in ("scaled", "gray") else 0)
    np.testing.assert_array_equal(pixels, frame.pixels[0])
    if FORMATS[name].read is not None:
        np.testing.assert_array_equal(registry.read(path, (20, 30)), pixels)


def test_no_two_formats_have_a_name_or_a_suffix_in_common() -> None:
    suffixes = [suffix for one in FORMATS.values() for suffix in one.suffixes]
    assert len(FORMATS) == len(registry.formats())
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix[0] == "." and suffix == suffix.lower() for suffix in suffixes)
    assert {content for one in FORMATS.values() for content in one.holds} <= set(CONTENTS)


def test_a_suffix_names_its_format_in_any_case(tmp_path: Path, image: Image) -> None:
    image.save(tmp_path / "IMAGE.IMG")
    np.testing.assert_array_equal(read_smv(tmp_path / "IMAGE.IMG").pixels, image.frame("scaled").pixels[0])


@pytest.mark.parametrize("name", ["image.foo", "image", "img"])
def test_an_unknown_suffix_is_told_those_that_are_known(tmp_path: Path, image: Image, name: str) -> None:
    for save in (image.save, sink):
        with pytest.raises(UsageError) as caught:
            save(tmp_path / name)
        said = str(caught.value)
        assert said.startswith(f"{tmp_path / name}: no format has this suffix; known are ")
        assert all(f"{' '.join(one.suffixes)} ({one.name})" in said for one in FORMATS.values())
        assert "\n" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("a.bin", {"content": "counted"}, r"content 'counted': float32 holds photons \(expected photons, floats\)$"),
        ("a.img", {"content": "photons"}, r"content 'photons': SMV holds scaled \(.*\) or counted \("),
        ("a.img", {"content": "electrons"}, "content 'electrons': SMV holds"),
        ("a.bin", {"header": "c"}, "header 'c': float32 has no such option"),
        ("a.img", {"header": "xds"}, "header 'xds': give c or dials"),
    ],
)
def test_what_a_format_does_not_do_is_said(
    tmp_path: Path, image: Image, name: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        image.save(tmp_path / name, **given)
    assert not list(tmp_path.iterdir())


def test_a_frame_of_no_known_content_is_refused(image: Image) -> None:
    with pytest.raises(UsageError, match="content 'count': give photons, picture, gray, scaled, counted, "):
        image.frame("count")  # type: ignore[arg-type]


def test_panels_that_a_file_does_not_hold_are_refused(tmp_path: Path, image: Image) -> None:
    frame = image.frame("counted")
    two = replace(frame, pixels=frame.pixels * 2)
    with pytest.raises(UsageError, match="SMV holds one panel, and the image has 2"):
        registry.write(FORMATS["SMV"], tmp_path / "a.img", two)
    assert not list(tmp_path.iterdir())


def test_a_frame_can_be_written_with_marks_and_without(tmp_path: Path, image: Image) -> None:
    resolved = resolve(Experiment.from_args(f"{LINE} -roi 3 20 2 9 -polar 0.99".split()), Inputs())
    frame = Image(resolved, image.photons).frame("counted")
    before = frame.pixels[0].copy()
    marked = registry.write(FORMATS["SMV"], tmp_path / "a_1.img", frame, header="dials")
    plain = registry.write(FORMATS["SMV"], tmp_path / "a_2.img", frame)
    np.testing.assert_array_equal(plain.pixels[0], before)
    np.testing.assert_array_equal(marked.pixels[0] == 65535, ~resolved_region())
    np.testing.assert_array_equal(read_smv(tmp_path / "a_1.img").pixels, marked.pixels[0])
    np.testing.assert_array_equal(read_smv(tmp_path / "a_2.img").pixels, before)


def resolved_region() -> np.ndarray:
    inside = np.zeros((20, 30), bool)
    inside[2:10, 3:21] = True
    return inside


# Many frames -----------------------------------------------------------------------------------------------------


def test_a_sink_numbers_its_files(tmp_path: Path, image: Image) -> None:
    with sink(tmp_path / "run#_#####.img", header="c") as frames:
        for seed in (1, 2, 3):
            frames.write(image.frame("counted", seed=seed))
            # Whoever looks on finds a whole file for each frame that was taken.
            assert len(list(tmp_path.iterdir())) == seed
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"run#_0000{n}.img" for n in (1, 2, 3)]
    for seed in (1, 2, 3):
        counts = read_smv(tmp_path / f"run#_0000{seed}.img").pixels
        np.testing.assert_array_equal(counts, image.noise(seed).counts)


def test_a_name_without_a_number_is_that_of_one_frame(tmp_path: Path, image: Image) -> None:
    with sink(tmp_path / "image.npy") as frames:
        frames.write(image.frame())
        with pytest.raises(UsageError, match=r"image.npy takes one image: give a name such as image_#####.npy"):
            frames.write(image.frame())
    np.testing.assert_array_equal(np.load(tmp_path / "image.npy"), image.photons)


def test_a_sink_refuses_what_its_format_would_say_wrongly(tmp_path: Path, image: Image) -> None:
    tilted = Image(resolve(Experiment.from_args(f"{LINE} -twotheta 4".split()), Inputs()), image.photons)
    with sink(tmp_path / "a_#.img", header="dials") as frames, pytest.raises(UsageError, match="-twotheta 4"):
        frames.write(tilted.frame("counted"))
    with sink(tmp_path / "a_#.img") as frames, pytest.raises(UsageError, match="content 'photons': SMV holds"):
        frames.write(tilted.frame())
    assert not list(tmp_path.iterdir())


# A format by the recipe ------------------------------------------------------------------------------------------

LISTING = '''
"""Counts as text, frame after frame."""

from contextlib import contextmanager

import numpy as np

from nbnumba.formats.files import replacing
from nbnumba.formats.registry import Format


def _write(path, frame, end):
    with replacing(path) as file:
        _append(file, frame, end)


def _append(file, frame, end):
    np.savetxt(file, frame.pixels[0], "%d", footer=end, comments="")


class _Listing:
    def __init__(self, file, end):
        self._file, self._end = file, end

    def write(self, frame):
        _append(self._file, frame, self._end)


@contextmanager
def _sink(path, end):
    with replacing(path) as file:
        yield _Listing(file, end)


FORMAT = Format("listing", (".txt",), ("counted", "scaled"), _write, options={"end": ("end", "fin")}, sink=_sink,
                recognizes=lambda name, content: name.endswith(".txt"))
'''


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One module more in the folder of the formats, and nothing else."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "zz_listing.py").write_text(LISTING)
    monkeypatch.setattr(images, "__path__", [*images.__path__, str(folder)])
    registry.formats.cache_clear()
    yield
    registry.formats.cache_clear()


@pytest.mark.usefixtures("listing")
def test_a_format_is_one_module(tmp_path: Path, image: Image) -> None:
    frame = image.save(tmp_path / "image.txt", end="fin")
    lines = (tmp_path / "image.txt").read_text().splitlines()
    assert lines[-1] == "fin"
    np.testing.assert_array_equal(np.loadtxt(lines[:-1]), image.noise().counts)
    assert frame.photons == image.noise().photons
    with pytest.raises(UsageError, match=r"\.txt \(listing\)"):
        image.save(tmp_path / "image.foo")
    with pytest.raises(InputFileError, match="is listing, which is only written"):
        registry.read(tmp_path / "image.txt")


@pytest.mark.usefixtures("listing")
def test_a_format_may_hold_many_frames_in_a_file(tmp_path: Path, image: Image) -> None:
    scaled: list[Frame] = [image.frame("scaled", scale) for scale in (1.0, 2.0, 3.0)]
    with sink(tmp_path / "all.txt") as frames:
        for frame in scaled:
            frames.write(frame)
        assert not (tmp_path / "all.txt").exists()
    blocks = (tmp_path / "all.txt").read_text().split("end\n")[:-1]
    for frame, block in zip(scaled, blocks, strict=True):
        np.testing.assert_array_equal(np.loadtxt(block.splitlines()), frame.pixels[0])


# The command -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("listing")
def test_the_command_writes_by_the_suffix_where_the_format_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And else as ever: any name is one of nanoBragg's own formats."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    names = "-floatfile photons.img -intfile ints.npy -noisefile counts.txt -pgmfile gray.bin -png picture.pgm"
    assert cli.main(shlex.split(f"{LINE} {names} -backend cpu -noprogress")) == 0
    said = capsys.readouterr().out
    photons = np.fromfile("photons.img", np.float32).reshape(20, 30)
    scale = 55000.0 / photons.max().astype(float)
    np.testing.assert_allclose(np.load("ints.npy"), photons * scale + 12, rtol=0, atol=0.51)
    lines = Path("counts.txt").read_text().splitlines()
    assert lines[-1] == "end"
    assert abs(np.loadtxt(lines[:-1]).mean() - 12 - photons.mean()) < 5 * np.sqrt(photons.mean() / photons.size)
    assert Path("gray.bin").read_bytes().startswith(b"P5\n30 20\n")
    assert Path("picture.pgm").read_bytes().startswith(b"\x89PNG")
    for text in ("photons.img  photons, float32", "ints.npy  NumPy without noise", "+ 12 in ints.npy",
                 "counts.txt  listing as photons are counted"):  # fmt: skip
        assert text in said


# Marks and limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TIFF", "CBF"])
def test_integers_of_detectors_that_count_have_gaps_and_bad_pixels(tmp_path: Path, image: Image, name: str) -> None:
    frame = of_region(image).frame("counted")
    counts = frame.pixels[0].astype(np.int32)
    counts[5, 6] = 100_000
    bad = np.zeros((20, 30), bool)
    bad[[4, 15], 10] = True
    path = tmp_path / f"image_1{FORMATS[name].suffixes[0]}"
    registry.write(FORMATS[name], path, replace(frame, pixels=(counts,), bad=(bad,)))
    expected = np.where(resolved_region(), np.where(bad, -2, counts), -1)
    np.testing.assert_array_equal(by_fabio(path), expected)
    np.testing.assert_array_equal(registry.read(path), expected)


def test_floats_of_tiff_are_no_number_where_nothing_was_measured(tmp_path: Path, image: Image) -> None:
    image = of_region(image)
    image.save(tmp_path / "image.tif", "photons")
    expected = np.where(resolved_region(), image.photons, np.nan)
    np.testing.assert_array_equal(registry.read(tmp_path / "image.tif"), expected)
    image.save(tmp_path / "image.tiff", "counted")
    np.testing.assert_array_equal(registry.read(tmp_path / "image.tiff"), image.frame("counted").pixels[0])


def of_region(image: Image) -> Image:
    resolved = resolve(Experiment.from_args(f"{LINE} -roi 3 20 2 9 -polar 0.99".split()), Inputs())
    return Image(resolved, np.where(resolved_region(), image.photons, np.float32(0.0)))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int32, np.int64])
def test_integers_of_any_type_are_written(tmp_path: Path, image: Image, kind: type[np.integer]) -> None:
    frame = image.frame("counted")
    frame = replace(frame, pixels=(frame.pixels[0].astype(kind),))
    for name in ("NumPy", "TIFF", "CBF"):
        path = tmp_path / f"image_1{FORMATS[name].suffixes[0]}"
        registry.write(FORMATS[name], path, frame)
        np.testing.assert_array_equal(registry.read(path), frame.pixels[0])
    assert np.load(tmp_path / "image_1.npy").dtype == kind


@pytest.mark.parametrize(("header", "mark"), [("c", 0), ("dials", 65535)])
def test_counts_beyond_16_bits_are_cut_in_smv(tmp_path: Path, image: Image, header: str, mark: int) -> None:
    frame = of_region(image).frame("counted")
    counts = frame.pixels[0].astype(np.int32)
    counts[~resolved_region()] = 0
    counts[5, [6, 7, 8]] = [65535, 65536, 2**31 - 1]
    with pytest.warns(NbnumbaWarning, match="SMV holds counts up to 65535, to which pixels of more are cut"):
        written = registry.write(FORMATS["SMV"], tmp_path / "a_1.img", replace(frame, pixels=(counts,)), header=header)
    expected = np.where(resolved_region(), np.minimum(counts, 65535), mark)
    np.testing.assert_array_equal(read_smv(tmp_path / "a_1.img").pixels, expected)
    assert (written.overloads, written.pixels[0].dtype) == ((frame.overloads or 0) + 2, np.uint16)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"II*\0", "cannot be read as TIFF"),
        (b"II*\0\x08\0\0\0\0\0\0\0", "cannot be read as TIFF"),
        ("RGB", "has pixels of the kind RGB, packed as raw; must be gray"),
        ("packed", "has pixels of the kind I;16, packed as tiff_lzw; must be gray, .* not packed"),
    ],
)
def test_what_is_no_tiff_of_ours_is_told_in_a_line(tmp_path: Path, content: bytes | str, said: str) -> None:
    path = tmp_path / "a.tif"
    if content == "RGB":
        PIL.Image.new("RGB", (4, 4)).save(path)
    elif content == "packed":
        PIL.Image.fromarray(np.zeros((4, 4), np.uint16)).save(path, compression="tiff_lzw")
    else:
        path.write_bytes(content)  # type: ignore[arg-type]
    with pytest.raises(InputFileError, match=f"a.tif: {said}") as caught:
        registry.read(path)
    assert "\n" not in str(caught.value)
