"""Anomalous scattering against a direct sum with complex form factors; its curves and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np
import pytest
from models import B_SOL, K_SOL, LYSOZYME, direct_sum, random_structure

from nbnumba import simulate
from nbnumba.choices import BackendName
from nbnumba.commands.inputs import input_files
from nbnumba.errors import InputFileError, NbnumbaWarning, UsageError
from nbnumba.experiment import Experiment, StructureFactors, changed
from nbnumba.formats.coordinates import Model, read_model
from nbnumba.formats.dispersion import DispersionCurve, read_dispersion
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.anomalous import dispersion_of
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.sources import Sources
from nbnumba.structure_factors.anomalous import amplitudes, element_factors, elements_of, is_element, tabulated
from nbnumba.structure_factors.fcalc import complex_factors, structure_factors

AROUND_THE_SELENIUM_EDGE_EV = (12400.0, 12650.0, 12658.0, 12662.0, 12700.0, 13000.0)
MOST_R = 5e-5
LEAST_DIFFERENCE = 0.5
"""Electrons, from which on the sign of F(h) − F(−h) is a promise."""


def selenium_lysozyme() -> Model:
    model = read_model(LYSOZYME)
    for site in model.structure[0].all():
        if site.atom.element == gemmi.Element("S"):
            site.atom.element = gemmi.Element("Se")
    return model


def pairs(model: Model, dmin: float, count: int = 300) -> np.ndarray:
    """Some reflections, then their mates."""
    hkl = gemmi.make_miller_array(model.structure.cell, gemmi.SpaceGroup("P 1"), dmin, unique=False)
    some = np.random.default_rng(1).permutation(hkl)[:count]
    return np.concatenate([some, -some])


def calculated_pairs(model: Model, dmin: float, hkl: np.ndarray, dispersion: Mapping[str, tuple[complex, ...]]
                     ) -> np.ndarray:  # fmt: skip
    """|F| (energies, n) of some of the reflections to a resolution."""
    every, normal = complex_factors(model, dmin, False, 0.0, 0.0)
    parts = {element: element_factors(model, element, every, dmin) for element in dispersion}
    place = {tuple(index): number for number, index in enumerate(every.tolist())}
    return amplitudes(normal, parts, dispersion)[:, [place[tuple(index)] for index in hkl.tolist()]]


def residual(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).sum() / expected.sum())


def wrong_signs(found: np.ndarray, expected: np.ndarray) -> tuple[int, int]:
    """How many pairs of mates differ the other way, and how many differ."""
    found, expected = (np.subtract(*np.split(each, 2)) for each in (found, expected))
    differs = np.abs(expected) > LEAST_DIFFERENCE
    return int((np.sign(found) != np.sign(expected))[differs].sum()), int(differs.sum())


def test_selenium_lysozyme_is_that_of_a_direct_sum_at_every_energy() -> None:
    model = selenium_lysozyme()
    dispersion = {"Se": tabulated("Se", AROUND_THE_SELENIUM_EDGE_EV) or ()}
    hkl = pairs(model, 3.0)
    found = calculated_pairs(model, 3.0, hkl, dispersion)
    mirrored = calculated_pairs(model, 3.0, hkl, {"Se": np.conj(dispersion["Se"]).tolist()})
    assert found.shape == (len(AROUND_THE_SELENIUM_EDGE_EV), len(hkl))
    differing = 0
    for number, value in enumerate(dispersion["Se"]):
        expected = np.abs(direct_sum(model.structure, hkl, {"Se": value}))
        assert residual(found[number], expected) <= MOST_R
        wrong, count = wrong_signs(found[number], expected)
        assert wrong == 0
        # An f'' below 0 would not pass.
        assert residual(mirrored[number], expected) > 100 * MOST_R
        assert wrong_signs(mirrored[number], expected) == (count, count)
        differing += count
    assert differing > 1000
    assert residual(found[0], found[3]) > 0.01


@pytest.mark.parametrize("anisotropic", [False, True], ids=["isotropic", "anisotropic"])
@pytest.mark.parametrize(
    ("cell", "symbol"),
    [
        pytest.param((31.0, 42.0, 47.0, 78, 96, 111), "P 1", id="P1"),
        pytest.param((31.0, 42.0, 47.0, 90, 104, 90), "P 1 21 1", id="polar along b"),
        pytest.param((31.0, 42.0, 47.0, 90, 104, 90), "C 1 2 1", id="C2"),
        pytest.param((40.0, 40.0, 31.0, 90, 90, 90), "P 43 21 2", id="P43212"),
        pytest.param((52.0, 52.0, 40.0, 90, 90, 120), "R 3:H", id="polar along c"),
        pytest.param((45.0, 45.0, 60.0, 90, 90, 120), "P 61 2 2", id="P6122"),
        pytest.param((55.0, 55.0, 55.0, 90, 90, 90), "I 2 3", id="I23"),
        pytest.param((3.3, 4.4, 25.5, 78, 96, 111), "P 1", id="smaller than an atom"),
    ],
)
def test_models_of_any_space_group_are_those_of_a_direct_sum(
    cell: tuple[float, ...], symbol: str, anisotropic: bool
) -> None:
    model = Model(random_structure(cell, symbol, anisotropic), is_small_molecule=False)
    dispersion = {element: tabulated(element, (7112.0, 7150.0)) or () for element in ("Fe", "S")}
    hkl = pairs(model, 2.0)
    found = calculated_pairs(model, 2.0, hkl, dispersion)
    for number in range(2):
        at = {element: values[number] for element, values in dispersion.items()}
        expected = np.abs(direct_sum(model.structure, hkl, at))
        assert residual(found[number], expected) <= MOST_R
        wrong, count = wrong_signs(found[number], expected)
        assert wrong == 0
        assert count > 20
        wrong_hand = np.abs(direct_sum(model.structure, hkl, {element: np.conj(f) for element, f in at.items()}))
        assert residual(found[number], wrong_hand) > 100 * MOST_R


def test_copies_by_noncrystallographic_symmetry_scatter_too(tmp_path: Path) -> None:
    text = LYSOZYME.read_text()
    rows = [f"MTRIX{n}   2{m[0]:10.6f}{m[1]:10.6f}{m[2]:10.6f}{t:15.5f}\n"
            for n, (m, t) in enumerate(zip(np.eye(3), (11.0, 5.0, 3.0), strict=True), start=1)]  # fmt: skip
    path = tmp_path / "copies.pdb"
    path.write_text(text.replace("ATOM  ", f"{''.join(rows)}ATOM  ", 1))
    single, double = read_model(LYSOZYME), read_model(path)
    hkl = np.array([[1, 2, 3], [4, -5, 6]], dtype=np.int32)
    shifted = single.structure.clone()
    for site in shifted[0].all():
        site.atom.pos += gemmi.Position(11.0, 5.0, 3.0)
    both = [element_factors(Model(part, False), "S", hkl, 3.0) for part in (single.structure, shifted)]
    assert element_factors(double, "S", hkl, 3.0) == pytest.approx(sum(both), abs=1e-3)


def test_forward_scattering_is_left_alone() -> None:
    model = selenium_lysozyme()
    hkl, normal = complex_factors(model, 6.0, True, K_SOL, B_SOL)
    part = element_factors(model, "Se", hkl, 6.0)
    found = amplitudes(normal, {"Se": part}, {"Se": (-8.0 + 4.0j,)})
    assert hkl[0].tolist() == [0, 0, 0]
    assert found[0, 0] == pytest.approx(abs(normal[0]), rel=1e-12)
    assert residual(found[0, 1:], np.abs(normal[1:])) > 0.01


@pytest.mark.parametrize("solvent", [False, True])
def test_without_elements_there_are_the_usual_amplitudes(solvent: bool) -> None:
    model = read_model(LYSOZYME)
    _, usual = structure_factors(model, 4.0, solvent, K_SOL, B_SOL)
    _, normal = complex_factors(model, 4.0, solvent, K_SOL, B_SOL)
    assert (amplitudes(normal, {}, {}) == usual).all()


def test_one_element_is_four_products() -> None:
    """|F|² = |F0|² + |f|² |A|² + 2 f' Re(F0 A*) + 2 f'' Im(F0 A*), the last of which is odd under Friedel."""
    random = np.random.default_rng(3)
    normal, part = (random.normal(size=50) + 1j * random.normal(size=50) for _ in range(2))
    f = -8.1 + 3.9j
    product = normal * part.conj()
    expected = abs(normal) ** 2 + abs(f * part) ** 2 + 2 * f.real * product.real + 2 * f.imag * product.imag
    assert amplitudes(normal, {"Se": part}, {"Se": [f]})[0] ** 2 == pytest.approx(expected, rel=1e-12)


# f' and f'' -----------------------------------------------------------------------------------------------------------


def test_tables_have_the_step_of_an_edge() -> None:
    below, above = tabulated("Se", (12657.0, 12658.5)) or ()
    assert (below.imag, above.imag) == (pytest.approx(0.50, abs=0.01), pytest.approx(3.84, abs=0.01))
    assert below.real < -8.0


@pytest.mark.parametrize(("element", "energy"), [("Cm", 12000.0), ("Se", 50.0), ("Se", 2e6)])
def test_what_is_not_tabulated_is_none(element: str, energy: float) -> None:
    assert tabulated(element, (12000.0, energy)) is None


def test_elements_of_a_model_are_listed_lightest_first() -> None:
    assert list(elements_of(read_model(LYSOZYME)).items()) == [("C", 6), ("N", 7), ("O", 8), ("S", 16)]


@pytest.mark.parametrize(("symbol", "is_one"), [("Se", True), ("S", True), ("D", True), *((wrong, False) for wrong in
                         ("", "X", "SE", "Selenium", "2", "S ", "Sé"))])  # fmt: skip
def test_symbols_are_those_of_the_periodic_table(symbol: str, is_one: bool) -> None:
    assert is_element(symbol) is is_one


CURVE = "# Se, measured\nE(eV), f', f''\n12650, -7.5, 0.5\n12656 -9 4.0 0.1\n\n12660\t-8.0\t6.0  # white line\n"


def read(tmp_path: Path, text: str) -> DispersionCurve:
    path = tmp_path / "curve.txt"
    path.write_text(text)
    return read_dispersion(path)


def test_a_curve_goes_straight_between_its_rows(tmp_path: Path) -> None:
    curve = read(tmp_path, CURVE)
    found = curve.at((12650.0, 12653.0, 12656.0, 12657.0, 12660.0))
    assert found == pytest.approx((-7.5 + 0.5j, -8.25 + 2.25j, -9 + 4j, -8.75 + 4.5j, -8 + 6j))
    assert repr(curve).startswith("DispersionCurve(name=")


def test_the_ends_of_a_curve_are_reached_by_way_of_a_wavelength(tmp_path: Path) -> None:
    curve = read(tmp_path, "12658.1 -8 4\n")
    assert curve.at((12398.42 / (12398.42 / 12658.1), 12658.1 * (1 + 1e-12))) == (-8 + 4j, -8 + 4j)


@pytest.mark.parametrize("energy", [12649.9, 12660.1, 1.0])
def test_an_energy_outside_a_curve_is_refused(tmp_path: Path, energy: float) -> None:
    curve = read(tmp_path, CURVE)
    with pytest.raises(InputFileError, match=rf"curve\.txt: {energy:g} eV is outside .* from 12650 to 12660 eV: give"):
        curve.at((12655.0, energy))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no rows of numbers; a row is E_in_eV f' f''"),
        ("# E f' f''\nE f' f''\n", "no rows of numbers"),
        ("E f' f''\n12650 -7\n", r":2: 2 numbers where 3 are needed: a row is E_in_eV f' f'': '12650 -7'"),
        ("12650 -7 1\n12650 -7 1\n", r":2: E = 12650 eV must be above the one before, 12650: "),
        ("12660 -7 1\n\n12650.5 -7 1\n", r":3: E = 12650\.5 eV must be above the one before, 12660: "),
        ("12650 -7 1\nend\n", r":2: E must be a finite number, not 'end'"),
        ("12650 nan 1\n", r":1: f' must be a finite number, not 'nan'"),
        ("12.650 -7 1\n", r":1: E = 12\.65 is not in eV, as it must be: 1 Å is 12398 eV"),
        ("12650 4 -7\n", r":1: f'' = -7 must not be negative: a row is E_in_eV f' f'', in this order"),
        ("12650 -1e30 1\n", r":1: f' and f'' are electrons: give at most 10000"),
    ],
)
def test_what_is_no_curve_is_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=f"curve.txt:? ?{message}"):
        read(tmp_path, text)


# What an experiment says ----------------------------------------------------------------------------------------------


def sources_at(*wavelengths: float, weights: tuple[float, ...] | None = None) -> Sources:
    count = len(wavelengths)
    weight = np.ones(count) if weights is None else np.array(weights)
    return Sources(np.tile([1.0, 0.0, 0.0], (count, 1)), np.array(wavelengths), weight, 1, 1, count)


def scattering(options: str, model: Model | None, sources: Sources) -> dict[str, tuple[complex, ...]]:
    experiment = Experiment.from_args(options.split())
    return dict(dispersion_of(experiment, model, read_inputs(experiment).curves, sources))


def model_of_elements(*elements: str) -> Model:
    structure = random_structure((31.0, 42.0, 47.0, 90, 104, 90), "P 1 21 1", anisotropic=False)
    structure.name = "made-up.pdb"
    for site, element in zip(structure[0].all(), elements * 8, strict=False):
        site.atom.element = gemmi.Element(element)
    return Model(structure, is_small_molecule=False)


@pytest.mark.parametrize(
    ("elements", "wavelengths", "expected"),
    [
        (("C", "S", "P"), (1.5,), ()),
        (("C", "S", "P"), (1.51,), ("P", "S")),
        (("C", "S", "P"), (1.2, 2.2), ("P", "S")),
        (("Ca", "Cl", "C", "Zn", "Sc"), (1.0,), ("Sc", "Zn")),
        (("C", "N", "O"), (3.0,), ()),
    ],
)
def test_by_default_heavy_atoms_scatter_anomalously_at_the_mean_wavelength(
    elements: tuple[str, ...], wavelengths: tuple[float, ...], expected: tuple[str, ...]
) -> None:
    found = scattering("", model_of_elements(*elements), sources_at(*wavelengths))
    energy = 12398.42 / float(np.mean(wavelengths))
    assert found == {element: tabulated(element, (energy,)) for element in expected}
    assert tuple(found) == expected


def test_the_mean_wavelength_is_that_of_the_photons() -> None:
    found = scattering("", model_of_elements("C", "S"), sources_at(1.0, 2.0, weights=(0.2, 1.8)))
    assert found["S"] == pytest.approx(tabulated("S", (12398.42 / 1.9,)), rel=1e-9)


def test_elements_that_are_named_scatter_at_every_wavelength(tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    path.write_text("12000 -2 0.5\n13000 -4 4.5\n")
    sources = sources_at(1.0, 0.98, 1.0, 0.96)
    found = scattering(f"-anomalous zn={path} -anomalous C", model_of_elements("C", "S", "Zn"), sources)
    energies = 12398.42 / np.array([0.96, 0.98, 1.0])
    share = (energies - 12000.0) / 1000.0
    assert list(found) == ["Zn", "C"]
    assert found["Zn"] == pytest.approx(-2 - 2 * share + 1j * (0.5 + 4 * share))
    assert found["C"] == tabulated("C", tuple(energies))


def test_of_one_element_twice_the_later_counts(tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    path.write_text("12000 -2 0.5\n13000 -4 4.5\n")
    model, sources = model_of_elements("Zn"), sources_at(1.0)
    by_table = scattering(f"-anomalous Zn={path} -anomalous Zn", model, sources)
    by_curve = scattering(f"-anomalous Zn -anomalous Zn={path}", model, sources)
    assert by_table == {"Zn": tabulated("Zn", (12398.42,))}
    assert list(by_curve) == ["Zn"]
    assert by_curve != by_table


def test_nothing_scatters_anomalously_where_it_is_not_to() -> None:
    assert scattering("-noanomalous", model_of_elements("Zn"), sources_at(1.0)) == {}
    assert scattering("", None, sources_at(1.0)) == {}
    assert scattering("-noanomalous", None, sources_at(1.0)) == {}


@pytest.mark.parametrize(
    ("options", "elements", "message"),
    [
        ("-anomalous Se", ("C", "S"), r"^-anomalous Se: no atom of made-up\.pdb is one; there are C, S$"),
        ("-anomalous S -anomalous Xx", ("C", "S"), r"^-anomalous Xx: there is no such element; give a symbol, such as"),
        ("-anomalous 2", ("C", "S"), r"^-anomalous 2: there is no such element"),
        ("-anomalous Cm", ("C", "Cm"), r"^-anomalous Cm: no f' and f'' are tabulated at 12398\.4 to 12398\.4 eV: give"),
        ("-anomalous Se", None, r"^-anomalous Se: -pdb must name a file of its atoms$"),
    ],
)
def test_what_cannot_scatter_is_refused(options: str, elements: tuple[str, ...] | None, message: str) -> None:
    model = None if elements is None else model_of_elements(*elements)
    with pytest.raises(UsageError, match=message):
        scattering(options, model, sources_at(1.0))


def test_a_curve_must_reach_every_wavelength(tmp_path: Path) -> None:
    path = tmp_path / "curve.txt"
    path.write_text("12000 -2 0.5\n13000 -4 4.5\n")
    with pytest.raises(InputFileError, match=r"curve\.txt: 11271\.291 eV is outside the curve, .* 12000 to 13000 eV"):
        scattering(f"-anomalous Zn={path}", model_of_elements("Zn"), sources_at(1.0, 1.1))


def test_a_default_without_tables_is_told() -> None:
    with pytest.warns(NbnumbaWarning, match=r"made-up\.pdb: no f' and f'' of Cm are tabulated .* -anomalous Cm=file"):
        found = scattering("", model_of_elements("Cm", "Zn"), sources_at(1.0))
    assert list(found) == ["Zn"]


@pytest.mark.parametrize("said", [None, (), ("Se",), ("Se=a curve.txt", "S")])
def test_what_is_said_survives_options_and_a_document(said: tuple[str, ...] | None) -> None:
    experiment = changed(Experiment(), structure_factors={"anomalous": said})
    assert Experiment.from_args(experiment.to_args()) == experiment
    assert Experiment.from_toml(experiment.to_toml()) == experiment


def test_a_list_is_taken_and_a_single_text_is_not() -> None:
    assert StructureFactors(anomalous=["Se", "S"]).anomalous == ("Se", "S")
    with pytest.raises(UsageError, match=r"structure_factors\.anomalous: 'Se' is not a list of texts"):
        StructureFactors(anomalous="Se")  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["Se=", "=a.txt", "="])
def test_half_an_element_and_file_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match=f"-anomalous '{word}' is not an element, or element=file"):
        Experiment.from_args(["-anomalous", word])


def test_a_curve_is_an_input_like_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("curve.txt").write_text("12000 -2 0.5\n13000 -4 4.5\n")
    args = ["-pdb", str(LYSOZYME), "-anomalous", "S=curve.txt"]
    assert list(input_files(parse(args))) == [str(LYSOZYME), "curve.txt"]


# The image ---------------------------------------------------------------------------------------------------------

STILL = (
    f"-pdb {LYSOZYME} -dmin 4 -distance 100 -pixel 1 -detpixels 64 -N 10 -oversample 1 -misset 10 20 30 -mosaic 1 "
    "-mosaic_domains 5 -nopolar -beamstop 5"
)


def image(line: str, backend: BackendName = "cpu") -> np.ndarray:
    return simulate(Experiment.from_args(f"{STILL} {line}".split()), backend=backend).photons.astype(float)


@pytest.mark.filterwarnings("ignore:-oversample")
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_each_wavelength_of_a_spectrum_has_its_own_f(backend: BackendName) -> None:
    """Below and above the K edge of sulphur: the image is the weighted sum of those of single wavelengths."""
    below, above = 2460.0, 2490.0
    together = image(f"-anomalous S -two_colour {below} 1 {above} 3", backend)
    alone = [image(f"-anomalous S -energy {energy}", backend) for energy in (below, above)]
    brightest = together.max()
    assert np.abs(together - (alone[0] + 3.0 * alone[1]) / 4.0).max() <= 1e-6 * brightest
    # F of one wavelength for both would be found out.
    mean = image(f"-noanomalous -two_colour {below} 1 {above} 3", backend)
    assert np.abs(together - mean).max() > 1e-3 * brightest


@pytest.mark.filterwarnings("ignore:-oversample")
def test_without_anomalous_scattering_images_are_as_they_were() -> None:
    """Lysozyme's sulphur counts above 1.5 Å alone, unless it is named."""
    np.testing.assert_array_equal(image("-lambda 1.4"), image("-lambda 1.4 -noanomalous"))
    assert (image("-lambda 1.6") != image("-lambda 1.6 -noanomalous")).any()
    assert (image("-lambda 1.4 -anomalous S") != image("-lambda 1.4")).any()
