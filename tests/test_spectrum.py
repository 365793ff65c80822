"""Spectra: as files have them, in few wavelengths, made up, and in an image."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbnumba import Experiment, InputFileError, NbnumbaWarning, UsageError, changed, simulate, simulate_many
from nbnumba.cli import main
from nbnumba.description import described
from nbnumba.formats import spectrum as file_of_spectra
from nbnumba.formats.arrays import read_arrays
from nbnumba.formats.spectrum import Spectrum, read_spectra
from nbnumba.seeds import SPECTRUM, spawned_seed, uniform_deviates
from nbnumba.setup.generated_spectra import complex_noise, pink_spectrum, sase_spectrum
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.setup.spectrum import binned, spectrum_of
from nbnumba.structure_factors.keeping import TICK_NS
from nbnumba.testing.strategies import spectrum_rows

quiet = pytest.mark.filterwarnings("ignore:-oversample 1 is coarse")
pytestmark = quiet
STILL = "-cell 50 60 70 75 85 95 -misset 10 20 30 -N 4 -default_F 100 -detpixels 24 -pixel 3 -oversample 1 -seed 5"
EV_ANGSTROM = 12398.42


@pytest.fixture(autouse=True)
def _among_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def read_spectrum(path: str, number: int = 0) -> Spectrum:
    return read_spectra(path).numbered(number)


def resolved(options: str) -> Resolved:
    experiment = Experiment.from_args(shlex.split(f"{STILL} {options}"))
    return resolve(experiment, read_inputs(experiment))


def resolved_from(line: str) -> Resolved:
    experiment = Experiment.from_args(line.split())
    return resolve(experiment, read_inputs(experiment))


def spectrum(options: str) -> Spectrum:
    found = resolved(options).sources.spectrum
    assert found is not None
    return found


def mean_and_sd(energy: Any, weight: Any) -> tuple[float, float]:
    mean = np.sum(energy * weight) / np.sum(weight)
    return float(mean), float(np.sqrt(np.sum(weight * (energy - mean) ** 2) / np.sum(weight)))


# Files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "9480 1\n9490 3\n9500 2\n",
        "9480,1\n9490,3\n9500,2",
        "energy (eV), photons\n9480, 1\n9490, 3\n9500, 2\n",
        "# of 3 pulses\n\n  9480;1\n9490;3 # peak\n9500\t2 0.7 more\n",
        '"E","I"\r\n9480,1\r\n9490,3\r\n9500,2\r\n',
        "Spectrum of Monday\ntwo columns\n9.48e3 1\n9.49e3 3\n9.5e3 2\n",
        "9500 2\n9490 3\n9480 1\n",
        "9470 0\n9480 1\n9485 0\n9490 3\n9500 2\n9510 0\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_two_columns_are_read_however_they_are_parted(text: str, packed: bool) -> None:
    put("s.txt", gzip.compress(text.encode()) if packed else text)
    found = read_spectrum("s.txt")
    np.testing.assert_array_equal(found.energy_ev, [9480, 9490, 9500])
    np.testing.assert_array_equal(found.weight, [1, 3, 2])
    assert found.origin == "s.txt, its first column in eV"


@pytest.mark.parametrize("rows", ["1.30,1\n1.31,3\n1.33,2\n", "1.33 2\n1.31 3\n1.30 1\n"])
def test_a_first_column_below_100_holds_wavelengths(rows: str) -> None:
    """As the .lam files of Precognition, whose header is a line of words."""
    put("s.lam", "wavelengths, weights\n" + rows)
    found = read_spectrum("s.lam")
    np.testing.assert_allclose(found.wavelength_angstrom, [1.33, 1.31, 1.30], rtol=1e-15)
    np.testing.assert_array_equal(found.weight, [2, 3, 1])
    assert found.origin == "s.lam, its first column in Å"


def test_one_row_is_a_spectrum() -> None:
    put("s.txt", "9480 7\n")
    found = resolved("-spectrum s.txt")
    assert (found.sources.weight.tolist(), found.sources.wavelength_angstrom.tolist()) == ([1.0], [EV_ANGSTROM / 9480])
    assert found.wavelength_angstrom == EV_ANGSTROM / 9480


WEIGHTS = np.array([[1.0, 3.0, 2.0], [0.0, 5.0, 1.0]])


@pytest.mark.parametrize("axis", [{"energy_ev": [9480.0, 9490, 9500]}, {"wavelength_angstrom": [1.33, 1.31, 1.30]}])
@pytest.mark.parametrize("kind", [float, np.float32, np.int64])
def test_arrays_hold_many_spectra_by_number(axis: dict[str, Any], kind: Any) -> None:
    np.savez("s.npz", weight=WEIGHTS.astype(kind), other=np.arange(3), **axis)
    energy = np.array(axis.get("energy_ev", EV_ANGSTROM / np.array(axis.get("wavelength_angstrom", 1.0))))
    first, second = (spectrum(f"-spectrum s.npz -spectrum_number {number}") for number in (0, 1))
    np.testing.assert_allclose(first.energy_ev, energy)
    np.testing.assert_allclose(second.energy_ev, energy[1:])
    np.testing.assert_array_equal(first.weight, WEIGHTS[0])
    np.testing.assert_array_equal(second.weight, WEIGHTS[1, 1:])
    assert second.origin == f"s.npz, number 1 of 2, in {'eV' if 'energy_ev' in axis else 'Å'}"
    assert spectrum("-spectrum s.npz").origin == first.origin


def test_arrays_may_hold_one_spectrum() -> None:
    np.savez("s.npz", energy_ev=[9480, 9490], weight=[1, 2])
    np.save("s.npy", [[1.31, 2], [1.32, 1]])
    np.testing.assert_array_equal(read_spectrum("s.npz").weight, [1, 2])
    assert read_spectrum("s.npz").origin == "s.npz, in eV"
    np.testing.assert_allclose(read_spectrum("s.npy").wavelength_angstrom, [1.32, 1.31])


NO_XRAY = "is no X-ray: those have 100 to 1e+06 eV; where most values are below 100 they are taken as Å"
TURNS = "a spectrum that is not ascending, nor descending; each energy or wavelength must occur once, in order"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x: no spectrum; a row is an energy in eV or a wavelength in Å, and the photons there"),
        ("# 1 2\nwavelength weight\n", "x: no spectrum; a row is"),
        ("9480 1\n9490\n", "x:2: one number where 2 are needed: a row is an energy in eV or a wavelength in Å, and"),
        ("E\n9480\n9490\n", "x:2: one number where 2 are needed"),
        ("9480 1\n9490 -1\n", "x:2: weight = -1 must not be negative: '9490 -1'"),
        ("9480 1\n9490 nan\n", "x:2: weight must be a finite number, not 'nan'"),
        ("9480 inf\n", "x:1: weight must be a finite number, not 'inf'"),
        ("nan 1\n9480 1\n", "x:1: energy_or_wavelength must be a finite number, not 'nan'"),
        ("9480 1e60\n", "x:1: weight = 1e+60 is too large; give at most 1e+50"),
        ("9480 0\n9490 0\n", "x: the weights sum to 0; at least one must be positive"),
        ("9480 1\n9490 1\nend of file\n", "x:3: energy_or_wavelength must be a finite number, not 'end'"),
        ("h\n9480 1\n\n9490 1\n9485 2\n9500 1\n", f"x:5: 9485 eV after 9490: {TURNS}: '9485 2'"),
        ("1.3 1\n1.2 1\n1.2 1\n1.1 1\n", f"x:3: 1.2 Å after 1.2: {TURNS}"),
        ("9480 1\n9480 1\n", f"x:2: 9480 eV after 9480: {TURNS}"),
        ("9480 1\n9490 1\n1.31 1\n", f"x:3: 1.31 eV {NO_XRAY}"),
        ("1.31 1\n1.32 1\n9490 1\n", f"x:3: 9490 Å {NO_XRAY}"),
        ("1.31e-10 1\n1.32e-10 1\n", f"x:1: 1.31e-10 Å {NO_XRAY}"),
        ("0 1\n1 1\n2 1\n", f"x:1: 0 Å {NO_XRAY}"),
        ("-1 1\n1 1\n2 1\n", f"x:1: -1 Å {NO_XRAY}"),
        ("2e6 1\n", f"x:1: 2e+06 eV {NO_XRAY}"),
        ("9480,5;0,3\n", "x:1: semicolons part columns and commas too; write decimal points"),
        ("-10 0 0 1 1.3e-10\n", "x:1: 5 numbers, the first not above 0: are these sources? give them as -sourcefile"),
        ("CRYST1   50.000   50.000   50.000  90.00  90.00  90.00 P 1\n", "x: is a PDB file, not the spectrum: give it"),
    ],
)
def test_what_is_no_spectrum_is_told_by_its_line(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    put("x", text)
    with pytest.raises(InputFileError) as error:
        read_spectrum("x")
    assert str(error.value).startswith(said)
    assert main(shlex.split(f"{STILL} -spectrum x -floatfile f.bin")) == 3
    assert capsys.readouterr().err.splitlines() == [f"nbnumba: {error.value}"]
    assert [path.name for path in Path().iterdir()] == ["x"]


@pytest.mark.parametrize("unit", ["energy_ev", "wavelength_angstrom"])
def test_each_spectrum_of_a_file_may_have_an_axis_of_its_own(unit: str) -> None:
    axes = np.array([[9480.0, 9490, 9500], [9580, 9590, 9600]], np.float32)
    axes = axes if unit == "energy_ev" else np.float32(EV_ANGSTROM) / axes
    weights = np.array([[1, 2, 3], [3, 2, 0]], np.uint16)
    np.savez("own.npz", **{unit: axes, "weight": weights})
    for number in (0, 1):
        np.savez("one.npz", **{unit: axes[number], "weight": weights[number]})
        found, alone = read_spectrum("own.npz", number), read_spectrum("one.npz")
        assert np.array_equal(found.energy_ev, alone.energy_ev)
        assert np.array_equal(found.weight, alone.weight)
    assert read_spectrum("own.npz", 1).mean_ev == pytest.approx(9584, abs=0.01)
    with pytest.raises(UsageError, match=r"^-spectrum_number 2: own\.npz holds 2 spectra, numbers 0 to 1$"):
        read_spectrum("own.npz", 2)


ARRAYS = "give energy_ev or wavelength_angstrom (m,), and weight (m,) or, of n spectra, (n, m); or both (n, m)"
AXIS = np.array([9480.0, 9490.0, 9500.0])
THREE = "x.npz: holds energy_ev (3,) of float64"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, f"x.npz: holds nothing; {ARRAYS}"),
        ({"weight": AXIS}, f"x.npz: holds weight (3,) of float64; {ARRAYS}"),
        ({"energy_ev": AXIS, "wavelength_angstrom": AXIS, "weight": AXIS}, "x.npz: holds energy_ev (3,) of float64"),
        ({"energy_ev": AXIS, "weight": AXIS[:2]}, f"{THREE}, weight (2,) of float64, which do not belong"),
        ({"energy_ev": AXIS[:0], "weight": AXIS[:0]}, "x.npz: holds energy_ev (0,) of float64"),
        ({"energy_ev": AXIS, "weight": np.zeros((1, 1, 3))}, f"{THREE}, weight (1, 1, 3) of float64"),
        ({"energy_ev": AXIS[None], "weight": AXIS}, "x.npz: holds energy_ev (1, 3) of float64"),
        ({"energy_ev": np.stack([AXIS] * 3), "weight": WEIGHTS}, "x.npz: holds energy_ev (3, 3) of float64"),
        ({"energy_ev": AXIS[None], "weight": np.stack([AXIS[:2]])}, "x.npz: holds energy_ev (1, 3) of float64"),
        ({"energy_ev": np.stack([AXIS[::-1] * 0, AXIS]), "weight": np.abs(WEIGHTS)}, "x.npz: spectrum 0, row 0: 0 eV"),
        ({"energy_ev": AXIS.astype("U"), "weight": AXIS}, "x.npz: holds energy_ev (3,) of <U"),
        ({"energy_ev": AXIS * 1j, "weight": AXIS}, "x.npz: holds energy_ev (3,) of complex128"),
        ({"energy_ev": AXIS[[0, 2, 1]], "weight": AXIS}, f"x.npz: row 2: 9490 eV after 9500: {TURNS}"),
        ({"energy_ev": AXIS / 1000.0, "weight": AXIS}, f"x.npz: row 0: 9.48 eV {NO_XRAY}"),
        ({"energy_ev": AXIS * np.nan, "weight": AXIS}, "x.npz: row 0: nan is no finite number"),
        ({"wavelength_angstrom": AXIS, "weight": AXIS}, f"x.npz: row 0: 9480 Å {NO_XRAY}"),
        ({"energy_ev": AXIS, "weight": -WEIGHTS}, "x.npz: spectrum 0, row 0: weight = -1 must not be negative"),
        ({"energy_ev": AXIS, "weight": np.full((2, 3), np.inf)}, "x.npz: spectrum 0, row 0: weight = inf must"),
        ({"energy_ev": AXIS, "weight": 0 * WEIGHTS}, "x.npz: spectrum 0, the weights sum to 0; at least one must be"),
    ],
)  # fmt: skip
def test_what_arrays_lack_is_told(arrays: dict[str, Any], said: str) -> None:
    np.savez("x.npz", **arrays)
    with pytest.raises(InputFileError, match=f"^{re.escape(said)}"):
        read_spectrum("x.npz")


def test_a_pulse_without_photons_does_not_matter_to_others() -> None:
    np.savez("x.npz", energy_ev=AXIS, weight=[[0, 0, 0], [1, 2, np.nan], [1, 2, 3]])
    np.testing.assert_array_equal(read_spectrum("x.npz", 2).weight, [1, 2, 3])
    with pytest.raises(InputFileError, match=r"^x\.npz: spectrum 1, row 2: weight = nan"):
        read_spectrum("x.npz", 1)


def test_sub_pixels_and_edge_are_those_of_the_photons_not_of_another_wavelength() -> None:
    """-lambda beside a spectrum counts for headers and -mat alone."""
    line = "-cell 31 35 41 -default_F 100 -N 10 -detpixels 32 -pixel 2 -pink 12398.42 100 -spectrum_bins 5"
    with pytest.warns(NbnumbaWarning, match="counts for headers and -mat alone"):
        far = resolved_from(f"{line} -lambda 5")
    alone = resolved_from(line)
    assert far.recommended_oversample == alone.recommended_oversample > 0
    assert far.edge_angstrom == pytest.approx(alone.edge_angstrom)
    short = resolved_from("-cell 31 35 41 -default_F 100 -N 10 -detpixels 32 -pixel 2 -two_colour 12398 1 4000 9")
    assert short.recommended_oversample >= alone.recommended_oversample


def test_a_gaussian_that_no_direction_feels_is_told() -> None:
    for options in ("-hdivrange 2 -hdiv_sigma 0.1", "-hdivrange 2 -hdivsteps 2 -hdiv_sigma 5"):
        with pytest.warns(NbnumbaWarning, match=r"^-hdiv_sigma changes nothing: .* three -hdivsteps or more$"):
            resolved(options)
    put("list.txt", "-10 0 0 1 1e-10\n-10 0.01 0 1 1e-10\n")
    with pytest.warns(NbnumbaWarning, match="change nothing beside a list of sources"):
        resolved("-sourcefile list.txt -hdiv_sigma 1")


def test_frames_of_a_series_read_their_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("x.npz", energy_ev=AXIS, weight=[[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    while time.time_ns() - os.stat("x.npz").st_ctime_ns <= TICK_NS:
        time.sleep(0.02)
    read: list[Any] = []
    monkeypatch.setattr(file_of_spectra, "read_arrays", lambda *args: read.append(args) or read_arrays(*args))
    frames = [Experiment.from_args([*STILL.split(), "-spectrum", "x.npz", "-spectrum_number", n]) for n in "012"]
    energies = [image.resolved.sources.spectrum.energy_ev.tolist() for image in simulate_many(frames, backend="cpu")]
    assert energies == [[energy] for energy in AXIS.tolist()]
    assert len(read) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"9480 1\n", b"\x93NUMPY\x01\x00"])
def test_what_is_no_array_is_told(content: bytes) -> None:
    put("x.npz", content)
    with pytest.raises(InputFileError, match=r"^x\.npz: cannot be read \(.*\); must be as numpy.save"):
        read_spectrum("x.npz")


@pytest.mark.parametrize("shape", [(3,), (3, 3), (0, 2), (2, 3, 2)])
def test_an_array_of_another_shape_is_no_spectrum(shape: tuple[int, ...]) -> None:
    np.save("x.npy", np.full(shape, 9480.0))
    with pytest.raises(
        InputFileError, match=re.escape(f"x.npy: holds an array {shape} of float64; a row is an energy")
    ):
        read_spectrum("x.npy")


def test_a_number_beyond_the_last_is_told() -> None:
    np.savez("many.npz", energy_ev=AXIS, weight=WEIGHTS)
    put("one.txt", "9480 1\n")
    for name, number, held in (("many.npz", 2, "2 spectra, numbers 0 to 1"), ("one.txt", 1, "1 spectrum, number 0")):
        with pytest.raises(UsageError, match=f"^-spectrum_number {number}: {name} holds {held}$"):
            resolved(f"-spectrum {name} -spectrum_number {number}")


# In memory, and what belongs together ------------------------------------------------------------------------------


def with_spectrum(rows: Any) -> Resolved:
    experiment = changed(Experiment.from_args(STILL.split()), beam={"spectrum": rows})
    return resolve(experiment, read_inputs(experiment))


@given(rows=spectrum_rows())
def test_rows_in_memory_are_those_of_a_file(rows: Any) -> None:
    put("s.txt", "".join(f"{a!r} {b!r}\n" for a, b in rows))
    held, read = with_spectrum(np.array(rows)), resolved("-spectrum s.txt")
    np.testing.assert_array_equal(held.sources.wavelength_angstrom, read.sources.wavelength_angstrom)
    np.testing.assert_array_equal(held.sources.weight, read.sources.weight)
    assert held.wavelength_angstrom == read.wavelength_angstrom
    assert held.sources.weight.mean() == pytest.approx(1.0, rel=1e-12)
    assert (np.diff(held.sources.wavelength_angstrom) < 0.0).all()
    assert Experiment.from_toml(held.experiment.to_toml()) == held.experiment


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "beam.spectrum is empty: give rows of energy in eV or wavelength in Å, and photons"),
        ([[9480, 1], [9490, -1]], "beam.spectrum row 1: weight = -1 must not be negative"),
        ([[9480, 1], [9490, np.nan]], "beam.spectrum nan: give a finite number"),
        ([[9480, 0]], "beam.spectrum: the weights sum to 0"),
        ([[1.2, 1], [1.1, 2], [1.15, 1]], f"beam.spectrum row 2: 1.15 Å after 1.1: {TURNS}"),
        ([[9480]], "beam.spectrum: [[9480]] is not rows of 2 numbers"),
    ],
)
def test_rows_in_memory_that_are_no_spectrum_are_refused(rows: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        with_spectrum(rows)


ALL = "-spectrum s.txt", "-pink 9500 100", "-two_colour 9500 1 9400 2", "-sase 9500 20 0.5"


@pytest.mark.parametrize("one", ALL)
@pytest.mark.parametrize("other", [*ALL, "-sourcefile sources.txt", "-dispersion 1", "-dispsteps 3"])
def test_what_decides_the_wavelengths_stands_alone(one: str, other: str) -> None:
    put("s.txt", "9480 1\n")
    put("sources.txt", "-1 0 0\n")
    names = one.split()[0], other.split()[0]
    if one != other:
        with pytest.raises(UsageError, match=r"^(-\w+) and (-\w+): give one of them$") as error:
            resolved(f"{one} {other}")
        assert set(re.findall(r"-\w+", str(error.value))) == set(names)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-spectrum_bins 3", "-spectrum_bins 3: of which spectrum? give -spectrum, or one like -pink"),
        ("-spectrum_number 3 -pink 9500 100", "-spectrum_number 3: of which file? give -spectrum"),
        ("-spectrum_bins 0 -pink 9500 100", "-spectrum_bins '0' is not a whole number, 1 or more"),
        ("-pink 9.5 0.1", "-pink 9.5 0.1 0.1: reaches from 9.3 to 9.7 eV; give energies from 100 to 1e+06 eV"),
        ("-pink 9500 5000", "-pink 9500 5000 5000: reaches from -500 to 19500 eV"),
        ("-pink 9500 0", "-pink 0: must be above 0"),
        ("-pink 9500", "-pink needs 2 to 3 values in eV: E fwhm [fwhm_above], found 9500"),
        ("-two_colour 9500 0 9400 0", "-two_colour 9500 0 9400 0: the weights sum to 0"),
        ("-two_colour 9500 1 9.4 1", "-two_colour 9500 1 9.4 1: reaches from 9.4 to 9500 eV"),
        ("-two_colour 9500 -1 9400 1", "-two_colour -1: must be 0 or more"),
        ("-sase 9500 20 30", "-sase 9500 20 30: a spike must be as wide as the mean spectrum, or narrower"),
        ("-sase 9500 20 0.007", "-sase 9500 20 0.007: a spike must be as wide as the mean spectrum, or narrower"),
        ("-sase 30 20 0.5", "-sase 30 20 0.5: reaches from -10 to 70 eV"),
        ("-pink 9500 100 -hdivsteps 400 -vdivsteps 400", "400 x 400 directions of 100 wavelengths are more"),
        ("-hdivrange 5 -hdivsteps 2 -hdiv_sigma 0.01", "-hdiv_sigma leaves no photons in any direction: give"),
        ("-vdiv_sigma 0", "-vdiv_sigma 0: must be above 0"),
    ],
)  # fmt: skip
def test_what_makes_no_spectrum_is_refused(options: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(said)}"):
        resolved(options)


# The central wavelength --------------------------------------------------------------------------------------------


def test_the_central_wavelength_is_that_of_the_mean_energy() -> None:
    found = resolved("-two_colour 9000 1 10000 3")
    assert found.wavelength_angstrom == pytest.approx(EV_ANGSTROM / 9750, rel=1e-14)
    assert described(found).wavelength_angstrom == found.wavelength_angstrom


def test_a_wavelength_beside_a_spectrum_is_that_of_headers_and_matrices() -> None:
    put("A.mat", "0.02 0 0\n0 0.02 0\n0 0 0.02\n")
    options = "-two_colour 9000 1 10000 3"
    with pytest.warns(
        NbnumbaWarning, match=r"^the wavelength of 1 Å .* counts for headers and -mat alone.* Å .9750 eV"
    ):
        given = resolved(f"{options} -lambda 1")
    assert (given.wavelength_angstrom, described(given).wavelength_angstrom) == (1.0, 1.0)
    np.testing.assert_array_equal(given.sources.wavelength_angstrom, resolved(options).sources.wavelength_angstrom)
    no_cell = STILL.replace("-cell 50 60 70 75 85 95", "-mat A.mat")
    experiment = Experiment.from_args(f"{no_cell} {options}".split())
    with pytest.warns(NbnumbaWarning, match=r"divided by the mean wavelength of the spectrum, 1\.27163 Å$"):
        lattice = resolve(experiment, read_inputs(experiment)).lattice
    assert lattice.cell[0] == pytest.approx(EV_ANGSTROM / 9750 / 0.02)
    with pytest.warns(NbnumbaWarning, match="headers and -mat alone"):
        lattice = resolve(changed(experiment, beam={"wavelength_angstrom": 1.0}), read_inputs(experiment)).lattice
    assert lattice.cell[0] == pytest.approx(50.0)


def test_a_wavelength_near_the_mean_of_a_spectrum_needs_no_word(recwarn: pytest.WarningsRecorder) -> None:
    assert resolved("-sase 9500 20 0.5 -energy 9500").wavelength_angstrom == EV_ANGSTROM / 9500
    assert [str(w.message) for w in recwarn if "wavelength" in str(w.message)] == []


# Few wavelengths ---------------------------------------------------------------------------------------------------


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    count = draw(st.integers(2, 60))
    steps = draw(st.lists(st.floats(0.01, 50), min_size=count, max_size=count))
    weight = draw(st.lists(st.floats(1e-6, 1e6), min_size=count, max_size=count))
    return Spectrum(9000.0 + np.cumsum(steps), np.array(weight), "drawn")


@given(one=spectra(), bins=st.integers(1, 59))
def test_bins_keep_photons_and_mean_energy(one: Spectrum, bins: int) -> None:
    few = binned(one, bins)
    mean, sd = mean_and_sd(one.energy_ev, one.weight)
    new_mean, new_sd = mean_and_sd(few.energy_ev, few.weight)
    assert new_mean == pytest.approx(mean, rel=1e-12)
    assert new_sd <= sd * (1 + 1e-9) + 1e-9
    if bins >= len(one.weight):
        assert few is one
    else:
        assert len(set(few.weight)) == 1
        assert (np.diff(few.energy_ev) >= -1e-9).all()
        assert one.energy_ev[0] - 1e-6 <= few.energy_ev[0] <= few.energy_ev[-1] <= one.energy_ev[-1] + 1e-6


def test_a_bin_has_the_mean_energy_of_its_own_photons() -> None:
    """Four photons each: 9000 three times and 9010 once; 9010 once and 9020 three times."""
    few = binned(Spectrum(np.array([9000.0, 9010, 9020]), np.array([3.0, 2, 3]), ""), 2)
    np.testing.assert_allclose(few.energy_ev, [9002.5, 9017.5], rtol=1e-14)


def test_more_bins_come_nearer_to_the_width() -> None:
    energy, weight = pink_spectrum(11456.0, 900.0, 1100.0)
    one = Spectrum(energy, weight, "")
    widths = [binned(one, bins).sd_ev for bins in (1, 5, 20, 100, 1000)]
    assert widths == sorted(widths)
    assert widths[0] == 0.0
    assert widths[-1] == pytest.approx(one.sd_ev, rel=1e-3)


def test_tiny_weights_do_not_vanish() -> None:
    few = binned(Spectrum(np.array([9000.0, 9010, 9020]), np.array([5e-324, 0, 5e-324]), ""), 2)
    np.testing.assert_allclose(few.energy_ev, [9000, 9020])


def test_bins_of_a_command_line() -> None:
    put("s.txt", "".join(f"{9000 + i} {1 + i % 7}\n" for i in range(200)))
    assert len(resolved("-spectrum s.txt").sources.weight) == 200
    few = resolved("-spectrum s.txt -spectrum_bins 8")
    np.testing.assert_array_equal(few.sources.weight, np.ones(8))
    assert few.wavelength_angstrom == pytest.approx(resolved("-spectrum s.txt").wavelength_angstrom, rel=1e-12)
    assert [len(resolved(f"-pink 9500 100{bins}").sources.weight) for bins in ("", " -spectrum_bins 7")] == [100, 7]


# Generators --------------------------------------------------------------------------------------------------------


def width(energy: Any, weight: Any) -> float:
    above = energy[weight >= weight.max() / 2]
    return float(above[-1] - above[0])


def test_a_band_has_its_widths() -> None:
    energy, weight = pink_spectrum(9500.0, 100.0, 100.0)
    assert width(energy, weight) == pytest.approx(100.0, abs=0.2)
    assert mean_and_sd(energy, weight) == (pytest.approx(9500.0), pytest.approx(100.0 / 2.354820045, rel=1e-3))
    energy, weight = pink_spectrum(9500.0, 100.0, 40.0)
    above = energy[weight >= weight.max() / 2]
    assert (above[0], above[-1]) == (pytest.approx(9450.0, abs=0.2), pytest.approx(9520.0, abs=0.2))


def test_two_colours_are_two_lines() -> None:
    found = spectrum("-two_colour 9500 1 9400 3")
    assert (found.energy_ev.tolist(), found.weight.tolist()) == ([9400.0, 9500.0], [3.0, 1.0])
    assert resolved("-two_colour 9500 1 9400 3").sources.weight.tolist() == [1.5, 0.5]
    assert len(resolved("-two_colour 9500 1 9400 0").sources.weight) == 1


FWHM, SPIKE, PULSES = 20.0, 0.5, 1000


@pytest.fixture(scope="module")
def pulses() -> tuple[Any, Any]:
    """Energies (m,) and photons (pulses, m) of the generator as published: chaotic light under a Gaussian."""
    made = [sase_spectrum(9500.0, FWHM, SPIKE, spawned_seed(1, number)) for number in range(PULSES)]
    return made[0][0], np.array([weight for _, weight in made])


def test_the_mean_of_many_pulses_has_the_width_asked_for(pulses: Any) -> None:
    energy, photons = pulses
    mean, sd = mean_and_sd(energy, photons.mean(axis=0))
    assert mean == pytest.approx(9500.0, abs=0.2)
    assert sd * 2.354820045 == pytest.approx(FWHM, rel=0.02)


def test_a_pulse_is_chaotic_light(pulses: Any) -> None:
    """At one energy photons are exponentially distributed, and as many modes are in a pulse as its widths say."""
    energy, photons = pulses
    peak = photons[:, np.abs(energy - 9500.0) < SPIKE / 20]
    assert peak.std() / peak.mean() == pytest.approx(1.0, abs=0.15)
    assert np.mean(peak > peak.mean()) == pytest.approx(np.exp(-1.0), abs=0.07)
    # Modes: the envelope, autocorrelated, over its product with the coherence of a pulse (Saldin et al., 2000).
    envelope = np.exp(-4.0 * np.log(2.0) * ((energy - 9500.0) / FWHM) ** 2)
    coherence = np.exp(-2.0 * np.log(2.0) * ((energy[:, None] - energy) / SPIKE) ** 2)
    modes = envelope.sum() ** 2 / (envelope @ coherence @ envelope)
    assert modes == pytest.approx(40.0, rel=0.01)
    total = photons.sum(axis=1)
    assert (total.mean() / total.std()) ** 2 == pytest.approx(modes, rel=0.2)


def test_a_spike_has_the_width_asked_for(pulses: Any) -> None:
    """The autocorrelation of chaotic light is wider than a Gaussian spike by the square root of 2."""
    energy, photons = pulses
    middle = np.abs(energy - 9500.0) < FWHM / 2
    photons = photons[:, middle] / np.exp(-4.0 * np.log(2.0) * ((energy[middle] - 9500.0) / FWHM) ** 2)
    off = photons - photons.mean()
    steps = 40
    product = [np.mean(off[:, :-steps] * off[:, lag : off.shape[1] - steps + lag]) for lag in range(steps)]
    half = np.interp(-0.5, -np.array(product) / product[0], np.arange(steps)) * (energy[1] - energy[0])
    assert 2.0 * half / np.sqrt(2.0) == pytest.approx(SPIKE, rel=0.03)


def test_normal_deviates_are_counted_from_the_seed() -> None:
    noise = complex_noise(11, 100_000)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1.0, abs=0.015)
    assert abs(np.mean(noise)) < 0.01
    assert abs(np.mean(noise**2)) < 0.015
    np.testing.assert_array_equal(noise, complex_noise(11, 100_000))
    assert not np.isclose(noise, complex_noise(12, 100_000)).any()
    assert uniform_deviates(11, SPECTRUM, 1) != uniform_deviates(11, 1, 1)


def test_each_frame_of_a_series_has_its_own_pulse() -> None:
    still = Experiment.from_args(f"{STILL} -sase 9500 20 0.5 -spectrum_bins 5".replace("-seed 5", "").split())
    frames = [list(simulate_many([still] * 4, seed=seed, backend="cpu")) for seed in (7, 7, 8)]
    energies = [[tuple(frame.resolved.sources.wavelength_angstrom) for frame in series] for series in frames]
    assert energies[0] == energies[1]
    assert len({*energies[0], *energies[2]}) == 8
    again = simulate(frames[0][2].experiment, backend="cpu")
    np.testing.assert_array_equal(again.photons, frames[0][2].photons)


def test_a_pulse_belongs_to_its_seed_and_its_bins_do_not_draw() -> None:
    one, other = (spectrum(f"-sase 9500 20 0.5 -spectrum_bins {bins}") for bins in (1, 50))
    assert one.mean_ev == pytest.approx(other.mean_ev, rel=1e-12)
    assert one.origin == other.origin == "-sase 9500 20 0.5, drawn with seed 5"
    assert spectrum("-sase 9500 20 0.5 -seed 6").mean_ev != pytest.approx(one.mean_ev, abs=1e-3)


# Divergence --------------------------------------------------------------------------------------------------------


def test_directions_count_by_a_gaussian() -> None:
    grid = "-square_div -hdivrange 2 -hdivsteps 3 -vdivrange 4 -vdivsteps 5"
    alike, found = resolved(grid).sources, resolved(f"{grid} -hdiv_sigma 0.8 -vdiv_sigma 1.5").sources
    np.testing.assert_array_equal(alike.incident, found.incident)
    h, v = np.meshgrid([-1, 0, 1], [-2, -1, 0, 1, 2], indexing="ij")
    expected = np.exp(-0.5 * (h / 0.8) ** 2 - 0.5 * (v / 1.5) ** 2).ravel()
    np.testing.assert_allclose(found.weight, expected / expected.mean(), rtol=1e-12)
    np.testing.assert_array_equal(alike.weight, np.ones(15))


def test_a_gaussian_of_one_direction_changes_nothing_and_is_told() -> None:
    with pytest.warns(
        NbnumbaWarning,
        match=r"^-vdiv_sigma changes nothing: .* and three -vdivsteps or more$",
    ):
        found = resolved("-hdivrange 2 -hdivsteps 3 -vdiv_sigma 0.8").sources
    np.testing.assert_array_equal(found.weight, np.ones(3))


# The image ---------------------------------------------------------------------------------------------------------


def images(options: str, mode: str) -> Iterator[tuple[float, Any]]:
    """Weight and image of each source alone."""
    sources = resolved(options).sources
    for weight, wavelength in zip(sources.weight, sources.wavelength_angstrom, strict=True):
        single = Experiment.from_args(f"{STILL} -mode {mode} -lambda {float(wavelength)!r}".split())
        yield weight, simulate(single, backend="cpu").photons


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_an_image_is_the_weighted_sum_of_those_of_its_wavelengths(mode: str, backend: Any) -> None:
    """In mode c, too: only weights of a list of sources are ignored there."""
    put("s.txt", "9000 1\n9400 0\n9500 5\n10000 2.5\n")
    parts = list(images("-spectrum s.txt", mode))
    expected = np.mean([weight * photons.astype(float) for weight, photons in parts], axis=0)
    unweighted = np.mean([photons.astype(float) for _, photons in parts], axis=0)
    experiment = Experiment.from_args(f"{STILL} -mode {mode} -spectrum s.txt".split())
    image = simulate(experiment, backend=backend)
    np.testing.assert_allclose(image.photons, expected, rtol=0, atol=1e-6 * expected.max())
    assert np.abs(unweighted - expected).max() > 0.05 * expected.max()
    assert "C-8" not in image.resolved.labels


# The report --------------------------------------------------------------------------------------------------------


def test_the_report_tells_the_spectrum(capsys: pytest.CaptureFixture[str]) -> None:
    put("s.lam", "wavelengths, weights\n1.30,1\n1.31,3\n1.33,2\n")
    energy, weight = EV_ANGSTROM / np.array([1.30, 1.31, 1.33]), np.array([1.0, 3, 2])
    mean, sd = mean_and_sd(energy, weight)
    assert main(shlex.split(f"{STILL} -spectrum s.lam -report r.json -backend cpu")) == 0
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"spectrum of s.lam, its first column in Å: 3 wavelengths, mean {mean:.8g} eV, sd {sd:.4g} eV" in said
    assert "3 sources (grid 1 x 1 directions, 3 wavelengths), 1.3 to 1.33 Å" in said
    assert any(
        line.endswith(f"wavelength {EV_ANGSTROM / mean:g} Å ({mean:.6g} eV), polarization K = 0") for line in said
    )
    told = json.loads(Path("r.json").read_text())["resolved"]["spectrum"]
    assert told == {
        "origin": "s.lam, its first column in Å",
        "wavelengths": 3,
        "mean_ev": pytest.approx(mean, rel=1e-12),
        "sd_ev": pytest.approx(sd, rel=1e-9),
    }


def test_without_a_spectrum_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"{STILL} -dispersion 1 -show")) == 0
    assert "spectrum" not in capsys.readouterr().out


@pytest.mark.parametrize("options", ALL[1:])
def test_options_say_an_experiment_again(options: str) -> None:
    experiment = Experiment.from_args(f"{STILL} {options} -spectrum_bins 7 -hdiv_sigma 0.5".split())
    assert Experiment.from_args(experiment.to_args()) == experiment
    assert Experiment.from_toml(experiment.to_toml()) == experiment
    assert spectrum_of(experiment.beam, None, 5) is not None
