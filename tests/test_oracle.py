"""Random experiments: both CPU backends against the independent writing of the physics in ``oracle.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from agreement import assert_matches
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nbnumba.experiment import Crystal, Detector, Experiment, Sampling, Scan, StructureFactors, changed
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.testing.strategies import amorphous_rows, experiments, reflections, source_rows, spectrum_rows

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")
search = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
flags = {"oversample_thick": False, "oversample_polar": False, "oversample_omega": False}


def check(experiment: Experiment) -> None:
    """Both backends give the oracle's image, but for the pixel that the oracle leaves out."""
    expected = oracle.render(experiment, Path())
    resolved = resolve(experiment, read_inputs(experiment))
    compared = np.ones(expected.shape, bool)
    scan = resolved.plan.crystal
    if scan.phi_carryover and len(scan.phi) > 1 and scan.phi[0] == 0.0:
        # C-9: no φ step comes before the image's first one, which falls to the first pixel that dmin keeps a sample of.
        assume(resolved.plan.dmin == 0.0)
        compared[resolved.plan.detector.roi[2], resolved.plan.detector.roi[0]] = False
    images = {backend: render(resolved, backend=backend).photons for backend in ("cpu", "reference")}
    for photons in images.values():
        assert_matches(photons[compared], expected[compared], np.abs(expected).max())
    assert_matches(images["cpu"], images["reference"])


def written(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows))
    return str(path)


@search
@given(experiment=experiments("spec"))
def test_spec(experiment: Experiment) -> None:
    check(experiment)


@search
@given(experiment=experiments("c"))
def test_mode_c(experiment: Experiment) -> None:
    check(changed(experiment, sampling=flags))


@search
@given(experiment=experiments("spec"), shape=st.sampled_from(["gauss", "tophat"]), steps=st.integers(1, 3))
def test_choices_that_the_reference_has_not(experiment: Experiment, shape: str, steps: int) -> None:
    """Spots as wide as the square crystal's, φ in the middle of each step."""
    scan = {"oscillation_deg": 1.5, "step_deg": None, "steps": steps, "phi_sampling": "middle"}
    check(changed(experiment, crystal={"shape": shape, "gauss_width": "edges"}, scan=scan))


@search
@given(experiment=experiments("spec"), edges=st.tuples(*[st.sampled_from([1e-5, 0.02, 0.7])] * 3), box=st.booleans())
def test_the_blocks_of_a_crystal_that_the_beam_meets(experiment: Experiment, edges: Any, box: bool) -> None:
    beam = {"profile": "box" if box else "gauss"}
    check(changed(experiment, crystal={"whole_size_mm": edges}, beam=beam, background={"water_um": 0.1}))


@search
@given(experiment=experiments("c"))
def test_running_products_of_mode_c_are_made_in_serial_order(experiment: Experiment) -> None:
    """C-11, which the oracle leaves out: every backend renders as the reference does."""
    resolved = resolve(experiment, read_inputs(experiment))
    assert_matches(render(resolved, backend="cpu").photons, render(resolved, backend="reference").photons)


@search
@given(
    experiment=experiments("spec"),
    rows=reflections(),
    interpolate=st.sampled_from([None, True, False]),
    default_f=st.sampled_from([0.0, 30.0]),
)
def test_table_of_structure_factors(
    experiment: Experiment, rows: Any, interpolate: bool | None, default_f: float, tmp_path: Path
) -> None:
    """Indices inside, at the end of and beyond the table, nearest and interpolated."""
    table = {
        "hkl_file": written(tmp_path / "table.hkl", rows),
        "default_f": default_f,
        "interpolate": interpolate,
    }
    check(changed(experiment, structure_factors=table))


@search
@given(experiment=experiments("c"), rows=reflections(), default_f=st.sampled_from([0.0, 30.0]))
def test_table_in_mode_c(experiment: Experiment, rows: Any, default_f: float, tmp_path: Path) -> None:
    table = {"hkl_file": written(tmp_path / "table.hkl", rows), "default_f": default_f, "interpolate": False}
    check(changed(experiment, structure_factors=table, sampling=flags))


@search
@given(mode=st.sampled_from(["spec", "c"]), data=st.data())
def test_source_file(mode: Any, data: st.DataObject, tmp_path: Path) -> None:
    """Weights count in mode spec, and positions, weights and wavelengths may be left out."""
    experiment = data.draw(experiments(mode))
    upstream = tuple(-float(x) for x in oracle.place_detector(experiment).b)
    file = written(tmp_path / "sources.txt", data.draw(source_rows(upstream)))  # type: ignore[arg-type]
    sampling = flags if mode == "c" else {}
    check(changed(experiment, beam={"source_file": file}, sampling=sampling))


@search
@given(
    mode=st.sampled_from(["spec", "c"]),
    data=st.data(),
    # A number of directions without a range spreads them over 1 rad.
    sigmas=st.tuples(*[st.none() | st.floats(20, 500)] * 2),
    in_file=st.booleans(),
)
def test_spectrum_and_gaussian_divergence(
    mode: Any, data: st.DataObject, sigmas: tuple[float | None, float | None], in_file: bool, tmp_path: Path
) -> None:
    """Photons of a wavelength and share of a direction count in both modes."""
    rows = data.draw(spectrum_rows())
    beam = {
        "dispersion_percent": 0.0,
        "dispersion_steps": None,
        "horizontal_divergence_sigma_mrad": sigmas[0],
        "vertical_divergence_sigma_mrad": sigmas[1],
        **({"spectrum_file": written(tmp_path / "spectrum.txt", rows)} if in_file else {"spectrum": rows}),
    }
    check(changed(data.draw(experiments(mode)), beam=beam, sampling=flags if mode == "c" else {}))


@search
@given(experiment=experiments("spec"), rows=amorphous_rows(), axis=st.sampled_from(["stol", "4stol", "Q"]))
def test_amorphous_background(experiment: Experiment, rows: Any, axis: str, tmp_path: Path) -> None:
    background = {"water_um": 0.1, "amorphous_file": written(tmp_path / "f.txt", rows), "amorphous_axis": axis}
    check(changed(experiment, background=background))


NAMED = st.sampled_from(["water", "air", "ice", "nano-ice"]).map(lambda name: {"name": name})
AMOUNTS = st.fixed_dictionaries({"path_mm": st.sampled_from([1e-9, 3e-9])})


@search
@given(
    experiment=experiments("spec"),
    rows=amorphous_rows(),
    axis=st.sampled_from(["stol", "4stol", "Q"]),
    named=st.lists(st.tuples(NAMED, AMOUNTS), min_size=1, max_size=2),
    dispersion=st.sampled_from([None, 0.9, 5.0]),
)
def test_materials(
    experiment: Experiment, rows: Any, axis: str, named: Any, dispersion: float | None, tmp_path: Path
) -> None:
    """At each wavelength of a wide spectrum."""
    file = {"table_file": written(tmp_path / "f.txt", rows), "axis": axis, "path_mm": 2e-9}
    own = {**file, "density_g_per_cm3": 0.9, "molar_mass_g_per_mol": 282.0}
    materials = [own, *(name | amount for name, amount in named)]
    beam = {} if dispersion is None else {"dispersion_percent": dispersion, "dispersion_steps": 3}
    check(changed(experiment, background={"materials": materials}, beam=beam))


# What the oracle leaves out ----------------------------------------------------------------------------------------

SWEEP = Experiment(
    detector=Detector(fast_pixels=6, slow_pixels=5, pixel_mm=1.0),
    scan=Scan(phi_deg=0.0, oscillation_deg=4.0, steps=4),
    crystal=Crystal(cell=(40.0, 50.0, 60.0, 90.0, 90.0, 90.0), misset_deg=(5.0, 6.0, 7.0), cells=(4, 5, 6)),
    structure_factors=StructureFactors(default_f=10.0),
    sampling=Sampling(oversample=1),
    mode="c",
)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("roi", [None, (2, 4, 1, 3)])
def test_first_pixel_of_a_sweep_from_zero_finds_the_unrotated_cell(backend: Any, roi: Any) -> None:
    """C-9: at φ = 0 the others keep the cell of the sweep's last step."""
    experiment = changed(SWEEP, detector={"roi": roi})
    first = (roi[2], roi[0]) if roi else (0, 0)
    photons = render(resolve(experiment, read_inputs(experiment)), backend=backend).photons
    turned = oracle.render(replace(experiment, phi_carryover="spec"), Path())
    kept = oracle.render(experiment, Path())
    assert not np.isclose(turned[first], kept[first], rtol=1e-3)
    kept[first] = turned[first]
    assert_matches(photons, kept)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_interpolation_of_mode_c_ends_at_the_table(backend: Any, tmp_path: Path) -> None:
    """C-10: as interpolated up to the first sample outside the table, in raster order, then the nearest value."""
    reach = range(-4, 5)
    rows = [(h, k, l, 50.0 + h + 2 * k + 3 * l) for h in reach for k in reach for l in reach]
    table = {"hkl_file": written(tmp_path / "table.hkl", rows), "interpolate": True}
    experiment = changed(
        replace(SWEEP, scan=Scan()),
        detector={"beam_x_mm": -1.0, "beam_y_mm": 3.0, "slow_pixels": 16},
        structure_factors=table,
    )
    photons = render(resolve(experiment, read_inputs(experiment)), backend=backend).photons
    spec = changed(replace(experiment, mode="spec"), structure_factors={"default_f": 0.0})
    interpolated = oracle.render(spec, Path()).ravel()
    nearest = oracle.render(changed(experiment, structure_factors={"interpolate": False}), Path()).ravel()
    ended = int(np.argmax(interpolated == 0.0))
    assert 0 < ended < photons.size - 1
    expected = np.concatenate([interpolated[:ended], nearest[ended:]]).reshape(photons.shape)
    assert_matches(photons, expected)


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("dmin", [2.0, 0.01, 50.0])
def test_polarization_is_that_of_the_first_source_that_dmin_keeps(mode: Any, dmin: float) -> None:
    """Two sources half a radian apart, of which dmin keeps the second, both or none; water shows the last."""
    check(
        changed(
            replace(SWEEP, mode=mode, scan=Scan()),
            beam={"horizontal_divergence_steps": 2, "kahn_factor": 0.5},
            background={"water_um": 0.01},
            sampling={"dmin_angstrom": dmin},
        )
    )


# What would be wrong, and must be seen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "defect",
    [
        pytest.param({"crystal": {"misset_deg": (-5.0, -6.0, -7.0)}}, id="misset backwards"),
        pytest.param({"detector": {"beam_x_mm": 2.5}}, id="half a pixel"),
        pytest.param({"scan": {"phi_deg": 1e-9}}, id="φ not stale"),
        pytest.param({"scan": {"steps": 5, "step_deg": 1.0}}, id="another step"),
        pytest.param({"beam": {"wavelength_angstrom": 1.0 + 1e-6}}, id="wavelength"),
        pytest.param({"crystal": {"shape": "round"}}, id="shape"),
    ],
)
def test_defect_is_seen(defect: dict[str, Any]) -> None:
    wrong = changed(SWEEP, **defect)
    photons = render(resolve(wrong, read_inputs(wrong)), backend="cpu").photons
    expected = oracle.render(SWEEP, Path())
    with pytest.raises(AssertionError, match="pixels differ"):
        assert_matches(photons[:, 1:], expected[:, 1:])
