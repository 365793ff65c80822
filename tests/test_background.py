"""What scatters besides the crystal: materials, each as much as it must, and photons that are added."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Experiment, InputFileError, NbnumbaError, UsageError, changed, simulate, simulate_many
from nbnumba.cli import main
from nbnumba.comparison.trace import trace_pixel
from nbnumba.kernels.equations.background import background_intensity
from nbnumba.kernels.plan import BackgroundPlan
from nbnumba.render import series
from nbnumba.render.backends import How
from nbnumba.render.cuda.left_out import Told
from nbnumba.render.job import start
from nbnumba.render.series import render_series
from nbnumba.setup.background import MOST_ROWS, together
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

EMPTY = np.zeros((3, 0))


def constant(scale: float, factor: float, in_sum: int = 0) -> BackgroundPlan:
    return BackgroundPlan(scale, factor, EMPTY, in_sum)


def ring(scale: float, at: float, rows: int = 40) -> BackgroundPlan:
    """A peak of F on a table from 1e9 to 6e9 per m."""
    stol = np.linspace(1e9, 6e9, rows)
    factor = 2.0 + 6.0 * np.exp(-(((stol - at) / 7e8) ** 2))
    return BackgroundPlan(scale, 0.0, np.stack([stol, factor, np.zeros(rows)]), 0)


CASES = {
    "constants": [constant(2.0, 3.0), constant(5.0, 0.5)],
    "constant and table": [constant(1.0, 2.57), ring(0.3, 2e9)],
    "tables": [ring(1.0, 2e9), ring(3.0, 4.5e9, 23), constant(0.1, 9.0)],
    "one row": [ring(1.0, 2e9), BackgroundPlan(2.0, 7.0, np.array([[3e9], [4.0], [0.0]]), 0)],
}


@pytest.mark.parametrize("case", CASES)
def test_intensities_add_up(case: str) -> None:
    materials = CASES[case]
    whole = together([constant(0.0, 1.0), *materials])
    everywhere = [0.0, *np.random.default_rng(1).uniform(0.0, 8e9, 500).tolist(), 1e12]
    expected = [sum(background_intensity(material, stol) for material in materials) for stol in everywhere]
    found = [background_intensity(whole, stol) for stol in everywhere]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_what_is_alone_stays_as_it_is() -> None:
    nothing, table = constant(0.0, 2.57, in_sum=1), ring(1.0, 2e9)
    assert together([nothing, table, constant(0.0, 1.0)]) is table
    assert together([nothing, constant(0.0, 1.0)]) is nothing


def test_water_that_is_scaled_twice_stands_alone() -> None:
    with pytest.raises(UsageError, match=r"^-water beside another background: mode c scales water twice"):
        together([constant(1.0, 2.57, in_sum=1), ring(1.0, 2e9)])


def test_a_wide_spectrum_scatters_at_each_wavelength() -> None:
    materials, wavelengths = [ring(1.0, 2e9), constant(0.2, 3.0)], [0.9, 1.0, 1.2]
    waves = (np.array([0.9 / wavelength for wavelength in wavelengths]), np.array([0.5, 0.3, 0.2]))
    whole = together(materials, waves)
    everywhere = np.random.default_rng(1).uniform(0.0, 8e9, 500).tolist()
    expected = [
        sum(share * background_intensity(material, stol * ratio)
            for material in materials for ratio, share in zip(*waves, strict=True)) for stol in everywhere
    ]  # fmt: skip
    np.testing.assert_allclose([background_intensity(whole, stol) for stol in everywhere], expected, rtol=1e-13)


def test_of_very_many_wavelengths_rows_are_left_out() -> None:
    ratios = 1.0 / np.linspace(0.98, 1.02, 400)
    waves = (ratios, np.full(400, 1 / 400))
    whole = together([ring(1.0, 2e9)], waves)
    assert whole.table.shape == (3, MOST_ROWS)
    everywhere = np.random.default_rng(1).uniform(0.0, 8e9, 200).tolist()
    expected = [np.mean([background_intensity(ring(1.0, 2e9), stol * r) for r in ratios]) for stol in everywhere]
    found = [background_intensity(whole, stol) for stol in everywhere]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found != expected


# Materials by name and by table --------------------------------------------------------------------------------------

CRYSTAL = "-cell 3 3 3 -default_F 1e-9 -N 3 -oversample 1"
DETECTOR = "-detpixels 256 -pixel 0.4 -distance 150 -lambda 1 -Xbeam 51.2 -Ybeam 50.8"
BEAM = "-flux 1e12 -beamsize 0.05"
CENTRE_PX = (127.5, 128.5)
RE2, AVOGADRO = 7.94079248018965e-30, 6.02214179e23
KNOWN = {"water": (1.0, 18.015), "air": (1.2e-3, 28.96), "ice": (0.92, 18.015), "nano-ice": (0.93, 18.015)}
NONBRAGG = {
    "water": ({(100, 120): 626.77289, (40, 60): 4251.98340, (200, 131): 1090.18018}, 1.0),
    "air": ({(100, 120): 13.00571, (40, 60): 5.53467, (200, 131): 9.07769}, 1.0),
    "nano-ice": ({(100, 120): 0.0630983, (200, 131): 0.350753}, 33.3048),
}
"""Photons that nonBragg.c of bl831/nanoBragg (455534a) has at (slow, fast) of 50 µm of its own tables, to three or more
digits the same as ours (it interpolates in another way), and by how much our F are larger than its."""


def experiment_of(words: str) -> Experiment:
    return Experiment.from_args(f"{CRYSTAL} {DETECTOR} {BEAM} {words}".split())


def photons_of(words: str, backend: Any = "cpu") -> np.ndarray:
    return simulate(experiment_of(words), backend).photons


def table_of(name: str) -> np.ndarray:
    return np.loadtxt(str(files("nbnumba") / "data" / f"{name}.stol"))


def by_hand(name: str, path_mm: float) -> np.ndarray:
    """F² r_e² · photons · path · ρ N_A / M · Ω · (1 + cos² 2θ)/2."""
    density, mass = KNOWN[name]
    slow, fast = np.mgrid[:256, :256]
    x, y, distance = 0.4e-3 * (fast + 0.5 - CENTRE_PX[0]), 0.4e-3 * (slow + 0.5 - CENTRE_PX[1]), 0.15
    length = np.sqrt(x * x + y * y + distance**2)
    cosine = distance / length
    factor = np.interp(np.sqrt((1 - cosine) / 2), *table_of(name).T)
    solid = 0.4e-3**2 / length**2 * cosine
    molecules_per_m2 = path_mm * 1e-3 * density * 1e6 * AVOGADRO / mass
    return factor**2 * RE2 * 1e12 * molecules_per_m2 * solid * (1 + cosine**2) / 2


@pytest.mark.parametrize("name", KNOWN)
def test_known_materials_have_their_absolute_intensity(name: str) -> None:
    photons = photons_of(f"-background {name} 0.05")
    np.testing.assert_allclose(photons, by_hand(name, 0.05), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NONBRAGG)
def test_nonbragg_has_the_same(name: str) -> None:
    recorded, factor = NONBRAGG[name]
    photons = photons_of(f"-background {name} 0.05")
    for pixel, value in recorded.items():
        assert photons[pixel] == pytest.approx(value * factor**2, rel=5e-4)


@pytest.mark.parametrize(("name", "ring_angstrom", "within"), [("water", 3.12, 0.02), ("nano-ice", 3.67, 0.01)])
def test_rings_are_where_they_are_known_to_be(name: str, ring_angstrom: float, within: float) -> None:
    words = "-Xbeam 0 -Ybeam 0 -detpixels_f 1024 -detpixels_s 1 -pixel 0.1"
    image = simulate(experiment_of(f"-background {name} 0.05 {words}"), "cpu")
    spacing = image.resolution_map()[0]
    rings = np.where(
        (spacing > 2.0) & (spacing < 10.0), image.photons[0] / np.cos(np.arcsin(0.5 / spacing) * 2) ** 3, 0
    )
    assert spacing[np.argmax(rings)] == pytest.approx(ring_angstrom, abs=within)


def test_both_ices_scatter_as_much_as_water() -> None:
    s = np.linspace(0.0, 0.5, 200_001)
    total = {name: float(np.mean((np.interp(s, *table_of(name).T) * s) ** 2)) for name in KNOWN if name != "air"}
    assert total["ice"] == pytest.approx(total["water"], rel=1e-3)
    assert total["nano-ice"] == pytest.approx(total["water"], rel=1e-3)


def test_water_is_that_of_its_compressibility_at_small_angles() -> None:
    """F(0)² = Z² n k T κ at 298 K, within the 6 % that the table's F² is above it."""
    limit = 100 * 3.3427e28 * 1.380649e-23 * 298.15 * 4.525e-10
    assert table_of("water")[0, 1] ** 2 == pytest.approx(limit, rel=0.07)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_materials_add_up_and_are_linear_in_path_and_density(backend: Any) -> None:
    words = "-roi 40 47 40 45 -detector_rotx 10"
    water, air = (photons_of(f"{words} -background {one}", backend) for one in ("water 0.05", "air 20"))
    both = photons_of(f"{words} -background water 0.05 -background air 20", backend)
    np.testing.assert_allclose(both, water + air, rtol=5e-7)
    for more in ("water 0.15", "water 0.05 3", "water 0.05 3 18.015", "water 0.15 2 36.03"):
        np.testing.assert_allclose(photons_of(f"{words} -background {more}", backend), 3 * water, rtol=5e-7)


def test_only_photons_times_path_count_of_a_beam(tmp_path: Path) -> None:
    words = "-roi 40 47 40 45 -background water 0.05"
    expected = photons_of(words)
    for beam in ("-beamsize 0.2", "-beam_profile gauss"):
        np.testing.assert_allclose(photons_of(f"{words} {beam}"), expected, rtol=5e-7)


@pytest.mark.parametrize(("prefix", "factor"), [("", 1.0), ("stol=", 1.0), ("4stol=", 4.0), ("Q=", 4 * np.pi)])
def test_a_table_of_ones_own(prefix: str, factor: float, tmp_path: Path) -> None:
    rows = table_of("air")
    np.savetxt(tmp_path / "own.txt", rows * [factor, 1.0])
    words = "-roi 40 47 40 45 -background"
    own = photons_of(f"{words} {prefix}{tmp_path}/own.txt 0.05 0.0012 28.96")
    np.testing.assert_allclose(own, photons_of(f"{words} air 0.05"), rtol=1e-6)


def test_beside_water_of_a_cube_and_in_mode_c() -> None:
    words = "-roi 40 47 40 45"
    cube, air = photons_of(f"{words} -water 20"), photons_of(f"{words} -background air 20")
    np.testing.assert_allclose(photons_of(f"{words} -water 20 -background air 20"), cube + air, rtol=5e-7)
    np.testing.assert_allclose(photons_of(f"{words} -mode c -background air 20"), air, rtol=5e-7)
    with pytest.raises(UsageError, match=r"^-water beside another background: mode c"):
        photons_of(f"{words} -mode c -water 20 -background air 20")


def test_a_narrow_spectrum_is_that_of_its_first_source() -> None:
    words = "-roi 40 47 40 45 -background water 0.05"
    first = photons_of(f"{words} -lambda 0.995")
    narrow, wide = (photons_of(f"{words} -dispersion {width} -dispsteps 3") for width in (1, 1.01))
    np.testing.assert_array_equal(narrow, first)
    seen = first > 0.0
    assert np.abs(wide[seen] / first[seen] - 1.0).max() > 1e-3


def test_masked_pixels_have_none(tmp_path: Path) -> None:
    photons = photons_of("-background water 0.05 -beamstop 5")
    assert photons[128, 127] == 0.0
    np.testing.assert_array_equal(photons[:100], photons_of("-background water 0.05")[:100])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-background watr 1", r"-background watr: no such material is known; did you mean water\?"),
        ("-background glass 1", "no such material is known; known are water, air, ice, nano-ice"),
        ("-background water 0", "-background water: its path '0' is not a finite number in mm, above 0"),
        ("-background water -1", "-background water: its path '-1' is not"),
        ("-background water 1 x", "-background water: its density 'x' is not a finite number in g/cm³"),
        ("-background water 1 1 0", "-background water: its molar mass '0' is not a finite number in g/mol, above 0"),
        ("-background water", r"-background needs 2 to 4 values: material path \[density M\], found water"),
        ("-background ice 1 92", "-background ice: no matter has a density of 92 g/cm³"),
        ("-background water 1 -beamsize 0", "-background water 1 in a beam of -beamsize 0"),
        ("-background no.stol 1 1 1", "cannot read the scattering curve no.stol: there is no such file"),
        ("-background_image no.npy", "cannot read the background image no.npy"),
        ("-background_profile no.txt", "cannot read the radial profile no.txt"),
    ],
)
def test_what_cannot_be_is_said(words: str, said: str) -> None:
    with pytest.raises(NbnumbaError, match=said):
        photons_of(f"{words} -roi 0 1 0 1")


@pytest.mark.parametrize(
    ("materials", "said"),
    [
        ([], "background.materials is empty"),
        ([{"path_mm": 1}], r"background.materials\[0\]: give it a name \(water, air, ice, nano-ice\) or a table_file"),
        ([{"name": "air"}], r"background.materials\[0\]: no path_mm"),
        ([{"name": "air", "path_mm": -1}], "-background air: path_mm -1: must be above 0"),
        ([{"table_file": "f.stol", "path_mm": 1}], "-background f.stol: give its density in g/cm³ and molar mass"),
    ],
)
def test_what_options_cannot_say_is_checked_too(materials: Any, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.stol").write_text("0 1\n")
    with pytest.raises(UsageError, match=said):
        simulate(changed(experiment_of("-roi 0 1 0 1"), background={"materials": materials}))


def test_words_and_text_say_the_same() -> None:
    words = "-background water 0.05 -background Q=f.txt 1.0 0.9 282.0 -background ./water 2.0 1.0 18.0"
    experiment = experiment_of(words)
    assert [one.name for one in experiment.background.materials or ()] == ["water", None, None]
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    assert Experiment.from_args(experiment.to_args()) == experiment
    assert words in " ".join(experiment.to_args())


# Photons that are added ----------------------------------------------------------------------------------------------

SMALL = "-detpixels 16 -pixel 2 -Xbeam 16 -Ybeam 16 -roi 2 13 3 12 -beamstop 4"


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """Photons that differ in every pixel."""
    np.save(tmp_path / "ramp.npy", np.arange(256.0).reshape(16, 16) / 7)
    return tmp_path / "ramp.npy"


@pytest.mark.parametrize("words", ["", "-lattice misset=1,2,3", "-background water 0.05"])
def test_an_image_is_added_to_what_is_rendered(words: str, ramp: Path) -> None:
    words = f"{SMALL} {words} -cell 70 80 90 -default_F 100"
    plain, more = photons_of(words), photons_of(f"{words} -background_image {ramp}")
    rendered = np.zeros((16, 16), bool)
    rendered[3:13, 2:14] = True
    rendered &= photons_of(f"{SMALL} -background water 1") > 0.0
    assert not rendered[8, 8]
    assert more.dtype == np.float32
    np.testing.assert_array_equal(more, np.where(rendered, plain + np.load(ramp).astype(np.float32), 0.0))


def test_in_a_series_and_while_under_way(ramp: Path) -> None:
    experiment = experiment_of(f"{SMALL} -background_image {ramp} -cell 70 80 90 -default_F 100")
    expected = simulate(experiment, "cpu").photons
    for image in simulate_many([experiment, experiment], "cpu"):
        np.testing.assert_array_equal(image.photons, expected)
    job = start(resolve(experiment, read_inputs(experiment)), "cpu")
    job.result()
    np.testing.assert_array_equal(job.partial().photons, expected)


def test_what_cards_render_has_it_too(ramp: Path, monkeypatch: Any) -> None:
    """In a series their images come by another way."""
    experiment = experiment_of(f"{SMALL} -background_image {ramp}")
    resolved = resolve(experiment, read_inputs(experiment))
    blank = np.zeros((16, 16), np.float32)
    monkeypatch.setattr(series, "_cards", lambda how, devices: [0])
    monkeypatch.setattr(
        series.images, "render_many", lambda plans, precision, cards: ((blank, Told(0, None)) for _ in plans)
    )
    (frame,) = render_series([resolved], How("cuda"), [0])
    assert resolved.added is not None
    np.testing.assert_array_equal(frame.photons, resolved.added)
    assert frame.photons.max() > 0.0


def test_panels_have_it_one_above_the_other(tmp_path: Path) -> None:
    panel = {"fast_pixels": 4, "slow_pixels": 3, "fast_step_mm": (0, 0, 1), "slow_step_mm": (0, -1, 0)}
    panels = [panel | {"origin_mm": (100, 2, -2)}, panel | {"origin_mm": (100, -2, -2)}]
    np.save(tmp_path / "a.npy", np.arange(24.0).reshape(6, 4))
    (tmp_path / "p.txt").write_text("0 10\n100 110\n")
    plain = changed(Experiment.from_args(CRYSTAL.split()), detector={"panels": panels})
    for background, expected in (
        ({"image_file": tmp_path / "a.npy"}, np.arange(24.0).reshape(6, 4)),
        ({"profile_file": tmp_path / "p.txt", "profile_axis": "px"}, None),
    ):
        photons = simulate(changed(plain, background=background), "cpu").photons
        if expected is None:
            slow, fast = np.array([-1.5, -0.5, 0.5, 2.5, 3.5, 4.5])[:, None], np.arange(4) - 1.5
            expected = 10 + np.hypot(slow, fast)
        np.testing.assert_allclose(photons, expected, rtol=1e-6, atol=1e-12)


def test_a_profile_by_radius_and_by_angle(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("# from somewhere\n0 5\n300 305 extra\n")
    slow, fast = np.mgrid[:256, :256] + 0.5
    radius = np.hypot(fast - CENTRE_PX[0], slow - CENTRE_PX[1])
    words = "-background_profile_px"
    np.testing.assert_allclose(photons_of(f"{words} {tmp_path}/p.txt"), 5 + radius, rtol=1e-6)
    (tmp_path / "s.txt").write_text("0 0\n1 1000\n")
    image = simulate(experiment_of(f"-background_profile {tmp_path}/s.txt -roi 0 99 0 99"), "cpu")
    stol = np.where(np.pad(np.ones((100, 100)), (0, 156)), 0.5 / image.resolution_map(), 0.0)
    np.testing.assert_allclose(image.photons, 1000 * stol, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: np.save(f, np.zeros((16, 17))), r"has 17 x 16 pixels, the detector 16 x 16 \(fast x slow\)"),
        (lambda f: np.save(f, np.full((16, 16), np.nan)), "256 pixels are no number of photons, 0 or more; the first"),
        (
            lambda f: np.save(f, -np.eye(16)),
            "16 pixels are no number of photons, 0 or more; the first, at slow 0, fast 0",
        ),
        (lambda f: np.save(f, np.full((16, 16), 1e38)), "256 pixels are no number of photons"),
        (lambda f: np.save(f, np.zeros((2, 16, 16))), r"has shape \(2, 16, 16\)"),
        (lambda f: f.write(b"xyz"), "3 bytes are no float32 image"),
        (lambda f: f.write(bytes(40)), "has 10 pixels, the detector 16 x 16"),
    ],
)
def test_images_that_cannot_be_added(make: Any, said: str, tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as file:
        make(file)
    path = tmp_path / "a.npy"
    if path.stat().st_size < 100:
        path = path.rename(tmp_path / "a.bin")
    with pytest.raises(InputFileError, match=said):
        photons_of(f"-detpixels 16 -background_image {path}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no points; each line must be"),
        ("0.1\n", "1 columns where 2 are needed"),
        ("0.1 x\n", "photons must be a finite number"),
        ("0.1 -2\n", "-2 photons at 0.1: must both be 0 or more"),
        ("0.1 2\n0.1 3\n", "0.1 in the first column was given before"),
    ],
)
def test_profiles_that_cannot_be_added(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InputFileError, match=said):
        photons_of(f"-roi 0 1 0 1 -background_profile {tmp_path}/p.txt")


def test_float32_without_a_header_has_the_shape_of_the_detector(ramp: Path) -> None:
    np.load(ramp).astype(np.float32).tofile(ramp.with_suffix(".bin"))
    words = "-detpixels_f 32 -detpixels_s 8 -pixel 2"
    expected = np.load(ramp).astype(np.float32).reshape(8, 32)
    np.testing.assert_allclose(
        photons_of(f"{words} -background_image {ramp.with_suffix('.bin')}"), expected, atol=1e-12
    )


# What is told ---------------------------------------------------------------------------------------------------------


def test_the_report_has_a_line_for_each(ramp: Path, capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = f"-background water 0.05 -background air 20 -background_image {ramp} -nopgm -nonoise -report r.json"
    assert main(f"{CRYSTAL} {DETECTOR} {BEAM} -detpixels 16 {words}".split()) == 0
    said = capsys.readouterr().out
    assert "Background water: 0.05 mm of 1 g/cm³, 4.179e+15 molecules of 18.015 g/mol in the beam\n" in said
    assert "           air: 20 mm of 0.0012 g/cm³, 1.248e+15 molecules of 28.96 g/mol in the beam\n" in said
    assert f"           {ramp}: {np.load(ramp).sum():.6g} photons are added\n" in said
    told = json.loads(Path("r.json").read_text())["resolved"]["background"]
    assert [one["name"] for one in told["materials"]] == ["water", "air"]
    assert told["added_photons"] == pytest.approx(np.load(ramp).sum())


def test_a_trace_has_what_the_image_has(ramp: Path) -> None:
    experiment = experiment_of(f"{SMALL} -background_image {ramp} -background water 0.05")
    resolved = resolve(experiment, read_inputs(experiment))
    photons = simulate(experiment, "cpu").photons
    assert trace_pixel(resolved, 4, 5).scaling["floatimage_accumulated"] == pytest.approx(photons[4, 5], rel=1e-6)
    assert trace_pixel(resolved, 8, 8).scaling["floatimage_accumulated"] == 0.0
