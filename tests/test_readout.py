"""The read-out of an experiment: by option, name and kind; what cannot be; and ``nbnumba detect``."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, Image, Readout, UsageError, changed, simulate
from nbnumba.cli import main
from nbnumba.errors import InputFileError
from nbnumba.experiment.presets import PRESETS
from nbnumba.formats import registry
from nbnumba.formats.images.smv import read_smv
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.readout import HAS, USUAL, with_readout
from nbnumba.setup.resolve import resolve

SMALL = "-cell 70 80 90 -default_F 1 -seed 1 -detpixels 20 -pixel 0.1"


def readout_of(options: str, line: str = SMALL) -> Readout:
    experiment = Experiment.from_args(f"{line} {options}".split())
    return resolve(experiment, read_inputs(experiment)).experiment.readout


def test_nothing_given_is_an_ideal_detector() -> None:
    found = readout_of("")
    assert (found.kind, found.adc_offset, found.bits, found.psf) == ("ideal", 40.0, 16, "none")
    assert found == readout_of("-mode c")


@pytest.mark.parametrize(
    ("bits", "kind"), [(1, np.uint16), (8, np.uint16), (16, np.uint16), (17, np.int32), (31, np.int32)]
)
@pytest.mark.parametrize("rng", ["philox", "ran1"])
@pytest.mark.filterwarnings("ignore:-oversample 2 is coarse")
def test_ideal_counts_have_as_many_bits_as_are_asked_for(bits: int, kind: type, rng: str) -> None:
    line = f"{SMALL} -default_F 100 -N 5 -pixel 4 -oversample 2 -fluence 1e31 -adc 0 -rng {rng}"
    image = simulate(Experiment.from_args(f"{line} -bits {bits}".split()), "cpu")
    found, largest = image.noise(), 2**bits - 1
    assert found.counts.dtype == kind
    assert found.overloads == np.count_nonzero(found.counts == largest)
    wide = simulate(Experiment.from_args(f"{line} -bits 31".split()), "cpu").noise()
    assert np.array_equal(found.counts, np.minimum(wide.counts, largest))
    assert wide.counts.max() > 70_000
    assert image.frame("counted").saturation == largest - 1


def test_usual_bits_are_every_bit_as_before() -> None:
    for words in ("", "-mode c", "-adc 70000"):
        usual, said = (simulate(Experiment.from_args(f"{SMALL} {words} {more}".split()), "cpu").noise()
                       for more in ("", "-bits 16"))  # fmt: skip
        assert np.array_equal(usual.counts, said.counts)
    for words, said in (
        ("-bits 32", "-bits 32: -readout ideal has at most 31"),
        ("-bits 8 -adc 300", "-adc 300: must be"),
    ):
        with pytest.raises(UsageError, match=f"^{said}"):
            readout_of(words)


@pytest.mark.parametrize("kind", USUAL)
def test_nothing_is_left_open(kind: str) -> None:
    found = readout_of(f"-readout {kind}")
    still = {name for name, value in dataclasses.asdict(found).items() if value is None}
    assert still == {"bad_pixel_file"}
    again = Experiment.from_args(changed(Experiment(), readout=dataclasses.asdict(found)).to_args()).readout
    assert again == found


@pytest.mark.parametrize("name", PRESETS)
def test_a_named_detector_has_a_read_out_that_can_be(name: str) -> None:
    preset = PRESETS[name].readout
    found = with_readout(Experiment.from_args(["-detector", name])).readout
    for field, value in preset.items():
        assert getattr(found, field) == value
        assert value == USUAL[found.kind or "ideal"].get(field) or field in HAS[found.kind or "ideal"]


def test_options_win_over_the_name() -> None:
    line = "-cell 70 80 90 -default_F 1 -seed 1 -N 5 -detector pilatus-100k -roi 0 9 0 9"
    given = readout_of("-deadtime 120 -nonparalyzable -norate_correction -adc 3 -calib 0.01 -count_cutoff 1e5", line)
    assert (given.kind, given.deadtime_ns, given.paralyzable, given.rate_correction) == ("counting", 120, False, False)
    assert (given.adc_offset, given.calibration, given.cutoff_per_s, given.bits) == (3, 0.01, 1e5, 20)
    other = readout_of("-readout integrating", line)
    assert (other.deadtime_ns, other.bits, other.cutoff_per_s) == (0.0, 16, math.inf)


def test_a_taper_has_its_own_width() -> None:
    assert readout_of("-readout integrating -psf fibre").psf_fwhm_um == 41.4
    line = "-cell 70 80 90 -default_F 1 -seed 1 -N 5 -detector adsc-q4-2x2 -roi 0 9 0 9"
    assert readout_of("-psf none", line).psf_fwhm_um == 0.0
    assert readout_of("-psf_fwhm 80", line).psf_fwhm_um == 80.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-gain 2", r"-gain 2: -readout ideal has no such thing; give -readout integrating or -readout switching, or"),
        ("-psf fibre", r"-psf fibre: -readout ideal has no such thing; give -readout counting or -readout integrating"),
        ("-readout counting -readnoise 3", r"-readnoise 3: -readout counting has no such thing; give -readout integr"),
        ("-readout integrating -deadtime 100", r"-deadtime 100: -readout integrating has no such thing; give -readou"),
        ("-readout integrating -paralyzable", r"-paralyzable: -readout integrating has no such thing"),
        ("-readout switching -bits 16", r"-bits 16: -readout switching has no such thing"),
        ("-readout counting -words raw", r"-words raw: -readout counting has no such thing; give -readout switching"),
        ("-readout switching -words raw -gain 3", r"-gain 3: raw words have their own; leave out -words raw"),
        ("-readout integrating -gain 0", r"-gain 0: must be above 0"),
        ("-readout integrating -gain -1", r"-gain -1: must be above 0"),
        ("-readout integrating -swank 0", r"-swank 0: must be above 0"),
        ("-readout integrating -swank 1.5", r"-swank 1\.5: must be at most 1"),
        ("-readout integrating -bits 17", r"-bits 17: -readout integrating has at most 16"),
        ("-readout counting -bits 33", r"-bits 33: must lie between 1 and 32"),
        ("-readout counting -calib 3", r"-calib 3: must lie between 0 and 1"),
        ("-readout counting -flicker -0.1", r"-flicker -0\.1: must lie between 0 and 1"),
        ("-readout counting -badpix 2", r"-badpix 2: must lie between 0 and 1"),
        ("-readout counting -deadtime -1", r"-deadtime -1: must be 0 or more"),
        ("-readout counting -deadtime 200 -exposure 1e-7", r"-deadtime 200: must be shorter than the exposure of 1e-"),
        ("-readout counting -count_cutoff 0", r"-count_cutoff '0' is not a number in counts/s, above 0, or inf"),
        ("-readout counting -count_cutoff 10 -exposure 0.01", r"-count_cutoff 10: is less than a count in the exp"),
        ("-readout integrating -adc 65535", r"-adc 65535: must be below the largest count, 65535: by -bits 16$"),
        ("-readout counting -adc 11 -count_cutoff 10", r"-adc 11: must be below the largest count, 10: by -bits 20"),
        ("-readout counting -psf gauss", r"-psf gauss: its width is not known: give -psf_fwhm in µm"),
        ("-readout counting -psf gauss -psf_fwhm 0", r"-psf_fwhm 0: must be above 0"),
        ("-readout counting -psf_fwhm 30", r"-psf_fwhm 30 without -psf"),
        ("-readout counting -psf gauss -psf_fwhm 2500", r"-psf_fwhm 2500: in µm, is wider than the detector of 2 mm"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(options: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}") as error:
        readout_of(options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no pixels; a row is fast slow"),
        ("3", r"bad.txt:1: no pixel"),
        ("1 2\n3 -4 dead", r"bad.txt:2: no pixel"),
        ("1 2.5", r"bad.txt:1: no pixel"),
        ("1 2 cold", r"bad.txt:1: no pixel; a row is .* and dead, hot or noisy: '1 2 cold'"),
        ("1 2 3 4 hot", r"bad.txt:1: no pixel"),
        ("19 20 hot", r"no such pixel: panel 0, fast 19, slow 20; the detector has 1 of up to 20 x 20"),
        ("1 3 4", r"no such pixel: panel 1, fast 3, slow 4"),
    ],
)
def test_a_list_of_bad_pixels_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InputFileError, match=said):
        readout_of(f"-readout counting -badpix_file {path}")


def test_a_counted_frame_tells_what_formats_need() -> None:
    experiment = Experiment.from_args(f"{SMALL} -readout counting -badpix 0.1 -bits 12".split())
    image = Image(resolve(experiment, read_inputs(experiment)), np.full((20, 20), 9, np.float32))
    frame = image.frame("counted")
    assert frame.pixels[0].dtype == np.int32
    assert frame.saturation == 2**12 - 2
    assert frame.bad is not None
    assert frame.bad[0].shape == (20, 20)
    assert 10 < frame.bad[0].sum() < 80
    assert image.frame("scaled").adc_offset == 0.0


# nbnumba detect ------------------------------------------------------------------------------------------------------


@pytest.fixture
def photons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """In photons.npy of the folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(2).gamma(1.0, 30.0, (30, 40)).astype(np.float32)
    np.save("photons.npy", image)
    return image


def detect(line: str) -> int:
    return main(["detect", *line.split()])


def image_of(photons: np.ndarray, options: str) -> Image:
    line = f"-cell 70 80 90 -default_F 1 -detpixels_f 40 -detpixels_s 30 {options}"
    experiment = Experiment.from_args(line.split())
    return Image(resolve(experiment, read_inputs(experiment)), photons)


@pytest.mark.parametrize("options", [
    "-seed 4 -readout integrating -psf fibre -gain 2 -calib 0.02",
    "-seed 4 -readout counting -deadtime 1000 -exposure 0.001 -badpix 0.1",
    "-seed 4 -readout switching -words raw -lambda 1.2",
    "-seed 4 -readout counting -roi 3 20 4 20",
])  # fmt: skip
def test_what_is_detected_is_what_a_simulation_would_read(
    photons: np.ndarray, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detect(f"photons.npy -o counts.npy {options}") == 0
    expected = image_of(photons, options).noise()
    counts = np.load("counts.npy")
    np.testing.assert_array_equal(counts, expected.counts)
    assert counts.dtype == expected.counts.dtype
    assert f"{expected.photons} photons counted with -seed 4" in capsys.readouterr().out


def test_an_image_without_header_needs_its_size(photons: np.ndarray) -> None:
    photons.tofile("photons.bin")
    options = "-seed 4 -readout integrating"
    assert detect(f"photons.bin -detpixels_f 40 -detpixels_s 30 -o counts.img {options}") == 0
    np.testing.assert_array_equal(read_smv("counts.img").pixels, image_of(photons, options).noise().counts)
    assert detect(f"photons.bin -o other.img {options}") == 3
    assert not Path("other.img").exists()


def test_a_name_gives_the_size_and_the_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.full((619, 487), 3.0, np.float32).tofile("photons.bin")
    assert detect("photons.bin -detector pilatus-300k -o counts.npy -seed 1") == 0
    counts = np.load("counts.npy")
    assert (counts[195:212] == 0).all()
    assert counts[:195].mean() == pytest.approx(3.0, abs=0.05)


def test_pixels_that_the_image_does_not_know_are_not_measured(
    photons: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    photons[3, 5], photons[7, 8] = -1.0, np.nan
    np.save("holes.npy", photons)
    assert detect("holes.npy -o counts.npy -readout integrating -seed 4") == 0
    assert "holes.npy: 2 pixels are below 0 or no numbers" in capsys.readouterr().err
    counts = np.load("counts.npy")
    assert (counts[3, 5], counts[7, 8]) == (0, 0)
    assert (counts > 20).sum() == counts.size - 2


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("photons.npy", 2, "-o FILE is needed"),
        ("-o counts.npy", 2, "the image of the photons comes first"),
        ("missing.npy -o counts.npy", 3, "missing.npy: there is no such file"),
        ("photons.npy -o photons.npy", 2, "-o photons.npy is an input file too"),
        ("photons.npy -o counts.pgm", 2, "content 'counted': PGM holds gray"),
        ("photons.npy -o counts.xyz", 2, "counts.xyz: no format has this suffix"),
        ("photons.npy -o counts.npy -detpixels 7", 2, "the image has 40 x 30 pixels (fast x slow), not 7 x 7"),
        ("photons.npy -o counts.npy -detector pilatus-1m", 2, "the image has 40 x 30 pixels (fast x slow), not 981 x"),
        ("photons.npy -o counts.npy -gain 2", 2, "-gain 2: -readout ideal has no such thing"),
        ("photons.npy -o counts.npy -o other.npy", 2, "one image is written, by one -o: leave out the others"),
        ("photons.npy -o counts.npy -report r.json", 2, "one image is written, by -o"),
        ("photons.npy -o counts.npy -nonoise", 2, "one image is written, by -o"),
        ("photons.npy -o counts.npy -images 3", 2, "one image is written, by -o"),
        ("photons.npy -o counts.npy -show", 2, "one image is written, by -o"),
        ("photons.npy -o counts.npy -nonsense", 2, "unknown option -nonsense"),
        ("cube.npy -o counts.npy", 3, "cube.npy: holds an array (2, 3, 4) of float64"),
        ("bright.npy -o counts.npy", 3, "bright.npy: has pixels of more than 3.4e+38 photons"),
        ("photons.npy -o none/counts.npy", 4, "cannot write none/counts.npy: there is no folder"),
    ],
)
@pytest.mark.usefixtures("photons")
def test_what_cannot_be_detected_is_one_line(
    line: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("cube.npy", np.zeros((2, 3, 4)))
    np.save("bright.npy", np.full((30, 40), 1e300))
    assert detect(line) == status
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not Path("counts.npy").exists()


def test_files_are_told_of_no_crystal_that_nobody_knows(photons: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[Any] = []
    monkeypatch.setattr(
        "nbnumba.commands.detect.registry.write", lambda form, path, frame, **words: frames.append(frame)
    )
    assert detect("photons.npy -o counts.npy -distance 123 -readout counting") == 0
    description = frames[0].description
    assert description.crystals == ()
    assert description.experiment.crystal == Experiment().crystal
    assert description.panels[0].distance_mm == pytest.approx(123)
    assert (description.readout.kind, frames[0].saturation) == ("counting", 2**20 - 2)


@pytest.mark.filterwarnings("ignore:(NXmx|mini-CBF|.*DIALS reads)")
@pytest.mark.usefixtures("photons")
@pytest.mark.parametrize("suffix", [".nxs", ".cbf", ".tif", ".img", ".npy"])
def test_every_format_takes_an_image_of_no_known_crystal(suffix: str) -> None:
    assert detect(f"photons.npy -o counts_1{suffix} -seed 4 -adc 0") == 0
    counts = registry.read(Path(f"counts_1{suffix}"), None)
    np.testing.assert_array_equal(counts, image_of(np.load("photons.npy"), "-seed 4 -adc 0").noise().counts)
