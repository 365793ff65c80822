"""What must hold of every image, held to our own renderers; and that each property notices what would break it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from nbnumba.choices import PRECISIONS
from nbnumba.experiment import Beam, Crystal, Detector, Experiment, Sampling, Scan, StructureFactors, changed
from nbnumba.nanobragg.parse import parse
from nbnumba.render.job import render as render_resolved
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
from nbnumba.testing import properties
from nbnumba.testing.properties import render
from nbnumba.testing.strategies import as_command_line, command_lines, experiments, rois
from nbnumba.tolerances import BY_PRECISION

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

Property = Callable[..., None]
either_mode = st.sampled_from(["spec", "c"]).flatmap(experiments)
orthonormal = experiments().filter(lambda experiment: experiment.detector.convention != "custom")
few = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rendered(experiment: Experiment, **how: Any) -> np.ndarray:
    return render_resolved(resolve(experiment, read_inputs(experiment)), **how).photons


# Our images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "holds",
    [
        properties.f_squared_scales_intensity,
        properties.fluence_scales_intensity,
        properties.scan_is_the_mean_of_stills,
        properties.photons_are_not_negative,
        properties.polarization_is_within_its_bounds,
        properties.intensity_stays_below_its_peak,
        properties.phi_is_a_misset,
        properties.orthogonal_cell_has_twofold_axes,
        properties.lengths_of_the_detector_may_be_scaled,
        properties.lengths_of_the_crystal_may_be_scaled,
    ],
)
@few
@given(experiment=either_mode)
def test_property_holds(holds: Property, experiment: Experiment) -> None:
    holds(render, experiment)


@pytest.mark.parametrize(
    "axes",
    [
        pytest.param({"slow_axis": (0.0, -1.0, -0.01)}, id="leaning"),
        pytest.param({"slow_axis": (0.0, -1.0, 0.01), "curved": True}, id="leaning, curved"),
        pytest.param({"slow_axis": (0.0, -1.0, 0.0), "normal_axis": (0.0, 0.0, 1.25)}, id="facing away"),
    ],
)
def test_peak_is_bounded_whatever_the_axes(axes: dict[str, Any]) -> None:
    custom = {"convention": "custom", "pivot": "beam", "fast_axis": (1.0, 0.0, 0.0), "normal_axis": (0.0, 0.0, 1.0)}
    detector = Detector(fast_pixels=2, slow_pixels=2, pixel_mm=0.4, **(custom | axes))
    beam = Beam(wavelength_angstrom=0.5, direction=(0.0, 0.0, 1.0), polarization_correction=False)
    crystal = Crystal(cell=(20.0, 20.0, 20.0, 90.0, 90.0, 90.0))
    experiment = Experiment(beam=beam, detector=detector, crystal=crystal, sampling=Sampling(oversample=1), mode="c")
    properties.intensity_stays_below_its_peak(render, experiment)


def test_mode_c_sees_a_curved_sensor_from_behind_where_mode_spec_does_not() -> None:
    detector = Detector(
        convention="adxv", fast_pixels=12, slow_pixels=12, pixel_mm=1.0, curved=True, twotheta_deg=20.0, rotx_deg=-6.47,
        thickness_um=100.0,
    )  # fmt: skip
    crystal, factors = Crystal(cell=(20.0, 20.0, 20.0, 90.0, 90.0, 90.0)), StructureFactors(default_f=10.0)
    experiment = Experiment(
        detector=detector, crystal=crystal, structure_factors=factors, sampling=Sampling(oversample=1)
    )
    for mode in ("spec", "c"):
        in_mode = replace(experiment, mode=mode)
        assert (rendered(in_mode).min() > 0.0) == (mode == "spec")
        properties.photons_are_not_negative(render, in_mode)
        properties.polarization_is_within_its_bounds(render, in_mode)


@pytest.mark.parametrize("holds", [properties.laboratory_may_be_turned, properties.subpixels_are_small_pixels])
@few
@given(experiment=orthonormal)
def test_property_of_orthonormal_detectors_holds(holds: Property, experiment: Experiment) -> None:
    holds(render, experiment)


@few
@given(experiment=either_mode)
def test_sources_average(experiment: Experiment, tmp_path: Path) -> None:
    properties.sources_average(render, experiment, tmp_path)


@few
@given(experiment=either_mode, data=st.data())
def test_a_pixel_does_not_depend_on_the_region(experiment: Experiment, data: st.DataObject) -> None:
    detector = experiment.detector
    roi = data.draw(rois(detector.fast_pixels or 0, detector.slow_pixels or 0))
    properties.roi_is_a_crop(render, experiment, roi)


@pytest.mark.parametrize("width", [31, 256, 300])
def test_a_pixel_does_not_depend_on_its_place_in_a_block(width: int) -> None:
    """Rows longer than a block of pixels, cut so that every pixel lies elsewhere in its block."""
    experiment = changed(SPOTS, detector={"fast_pixels": 600, "slow_pixels": 2, "pixel_mm": 0.1})
    properties.roi_is_a_crop(render, experiment, (17, 17 + width - 1, 0, 1))


@few
@given(experiment=either_mode)
def test_threads_do_not_change_a_bit(experiment: Experiment) -> None:
    one = rendered(experiment, backend="cpu", threads=1)
    np.testing.assert_array_equal(rendered(experiment, backend="cpu", threads=2), one)


@given(experiment=either_mode)
def test_command_line_describes_the_experiment(experiment: Experiment) -> None:
    assert Experiment.from_args(experiment.to_args()) == experiment
    assert parse(["-mode", experiment.mode, *as_command_line(experiment)]).experiment == experiment


@few
@given(args=command_lines())
def test_command_lines_are_words(args: list[str]) -> None:
    assert all(isinstance(word, str) for word in args)
    parse(args)


# The GPU kernels in Numba's simulator ------------------------------------------------------------------------------

MOST_SAMPLES = 1000
"""Of an image: the simulator takes a millisecond for some."""
SIMULATE = """
import json, sys, warnings
import numpy as np
from nbnumba.render.canvas import Canvas
from nbnumba.render.cuda import images as gpu_rendering
from nbnumba.setup.inputs import read_inputs
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.resolve import resolve

warnings.simplefilter("ignore")
images = {}
for number, (args, precision) in enumerate(json.load(sys.stdin)):
    experiment = parse(args).experiment
    plan = resolve(experiment, read_inputs(experiment)).plan
    canvas = Canvas(plan)
    gpu_rendering.render_cuda(plan, canvas, precision)
    images[str(number)] = canvas.photons
np.savez(sys.argv[1], **images)
"""
"""The simulator must be chosen before Numba is imported."""


def small_command_lines(count: int) -> list[list[str]]:
    """Command lines of few samples, in which every pixel is rendered by the GPU."""
    found: list[list[str]] = []

    @seed(1)
    @settings(max_examples=20 * count, database=None, phases=[Phase.generate])
    @given(experiment=either_mode)
    def collect(experiment: Experiment) -> None:
        resolved = resolve(experiment, read_inputs(experiment))
        detector, crystal = resolved.plan.detector, resolved.plan.crystal
        samples = resolved.steps * detector.layers * detector.fast_pixels * detector.slow_pixels
        of_order = resolved.plan.running_product or (crystal.phi_carryover and crystal.phi[0] == 0.0)
        if samples <= MOST_SAMPLES and not of_order and len(found) < count:
            found.append(["-mode", experiment.mode, *as_command_line(experiment)])

    collect()
    return found


def test_gpu_kernels_agree_with_the_reference_renderer(tmp_path: Path) -> None:
    lines = small_command_lines(12)
    assert len(lines) == 12
    jobs = [(args, precision) for precision in PRECISIONS for args in lines]
    subprocess.run(
        [sys.executable, "-c", SIMULATE, str(tmp_path / "images.npz")],
        input=json.dumps(jobs),
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=Path(__file__).parent.parent,
        text=True,
        check=True,
    )
    bright = 0
    with np.load(tmp_path / "images.npz") as images:
        for number, (args, precision) in enumerate(jobs):
            expected = rendered(parse(args).experiment, backend="reference").astype(float)
            smallest = float(np.finfo(np.float32).tiny)
            allowed = BY_PRECISION[precision].allowed(np.abs(expected), np.abs(expected).max()) + smallest
            difference = np.abs(images[str(number)] - expected)
            assert (difference <= allowed).all(), f"{precision}: {(difference / allowed).max():.3g} times: {args}"
            bright += expected.any()
    assert bright >= len(jobs) // 2


# What would be wrong, and must be noticed -----------------------------------------------------------------------

SPOTS = Experiment(
    beam=Beam(wavelength_angstrom=1.0, kahn_factor=0.9, dispersion_percent=1.0, dispersion_steps=3),
    detector=Detector(
        convention="xds",
        fast_pixels=12,
        slow_pixels=10,
        pixel_mm=1.0,
        distance_mm=60.0,
        orgx_px=3.0,
        orgy_px=4.0,
        rotx_deg=5.0,
        twotheta_deg=10.0,
    ),
    scan=Scan(phi_deg=-1.0, oscillation_deg=2.0, steps=4),
    crystal=Crystal(cell=(40.0, 50.0, 60.0, 75.0, 85.0, 95.0), misset_deg=(10.0, 20.0, 30.0), cells=(4, 5, 6)),
    structure_factors=StructureFactors(default_f=10.0),
    sampling=Sampling(oversample=1),
)


def seen_as(**groups: Any) -> Callable[[Experiment], np.ndarray]:
    """A simulator that takes something in the experiment for something else."""
    return lambda experiment: render(
        changed(experiment, **{noun: change(getattr(experiment, noun)) for noun, change in groups.items()})
    )


def misset_backwards(crystal: Crystal) -> dict[str, Any]:
    return {"misset_deg": tuple(-angle for angle in crystal.misset_deg)}


def misset_in_the_wrong_order(crystal: Crystal) -> dict[str, Any]:
    return {"misset_deg": crystal.misset_deg[::-1]}


def orgx_from_zero(detector: Detector) -> dict[str, Any]:
    """Reads -ORGX as if the first pixel's corner were 0.5: half a pixel off, which no other description shares."""
    return {} if detector.orgx_px is None else {"orgx_px": detector.orgx_px + 0.5}


def beam_at_pixel_centres(detector: Detector) -> dict[str, Any]:
    """Measures the beam centre from the centre of the first pixel."""
    return {"beam_x_mm": (detector.beam_x_mm or 0.0) + (detector.pixel_mm or 0.0) / 2}


def steps(experiment: Experiment) -> int:
    return resolve(experiment, read_inputs(experiment)).steps


@pytest.mark.parametrize(
    ("holds", "broken"),
    [
        pytest.param(
            properties.f_squared_scales_intensity, lambda e: render(e) / e.structure_factors.default_f, id="F for F²"
        ),
        pytest.param(
            properties.fluence_scales_intensity, seen_as(beam=lambda beam: {"fluence_per_m2": 1e28}), id="fluence lost"
        ),
        pytest.param(properties.scan_is_the_mean_of_stills, lambda e: render(e) * steps(e), id="1/steps lost"),
        pytest.param(
            properties.scan_is_the_mean_of_stills, lambda e: render(replace(e, phi_carryover="c")), id="stale φ"
        ),
        pytest.param(
            properties.scan_is_the_mean_of_stills,
            seen_as(scan=lambda scan: {"phi_deg": scan.phi_deg + (scan.oscillation_deg or 0.0) / 8}),
            id="middle of the step",
        ),
        pytest.param(properties.photons_are_not_negative, lambda e: render(e) - render(e).mean(), id="an offset"),
        pytest.param(properties.photons_are_not_negative, lambda e: np.full((2, 2), np.nan), id="not a number"),
        pytest.param(
            properties.polarization_is_within_its_bounds,
            lambda e: render(e) * (2.0 if e.beam.polarization_correction else 1.0),
            id="½ lost",
        ),
        pytest.param(
            properties.polarization_is_within_its_bounds,
            lambda e: render(e) * (0.05 if e.beam.polarization_correction else 1.0),
            id="too polarized",
        ),
        pytest.param(properties.intensity_stays_below_its_peak, lambda e: render(e) * steps(e), id="1/steps lost"),
        pytest.param(
            properties.phi_is_a_misset, seen_as(scan=lambda scan: {"phi_deg": -scan.phi_deg}), id="φ backwards"
        ),
        pytest.param(properties.phi_is_a_misset, seen_as(crystal=misset_backwards), id="misset backwards"),
        pytest.param(
            properties.orthogonal_cell_has_twofold_axes,
            seen_as(crystal=misset_in_the_wrong_order),
            id="misset in another order",
        ),
        pytest.param(
            properties.lengths_of_the_detector_may_be_scaled,
            seen_as(detector=lambda detector: {"distance_mm": detector.distance_mm + 0.1}),
            id="distance from elsewhere",
        ),
        pytest.param(
            properties.lengths_of_the_crystal_may_be_scaled,
            seen_as(beam=lambda beam: {"wavelength_angstrom": beam.wavelength_angstrom + 1e-3}),
            id="wavelength off",
        ),
        pytest.param(properties.laboratory_may_be_turned, seen_as(crystal=misset_backwards), id="misset backwards"),
        pytest.param(properties.laboratory_may_be_turned, seen_as(detector=orgx_from_zero), id="half a pixel"),
        pytest.param(
            properties.laboratory_may_be_turned,
            seen_as(beam=lambda beam: {"polarization_axis": None}),
            id="polarization of the convention",
        ),
        pytest.param(
            properties.subpixels_are_small_pixels, seen_as(sampling=lambda _: {"oversample": 1}), id="no sub-pixels"
        ),
        pytest.param(properties.subpixels_are_small_pixels, seen_as(detector=beam_at_pixel_centres), id="half a pixel"),
        pytest.param(
            lambda broken, e: properties.roi_is_a_crop(broken, e, (2, 5, 3, 8)),
            lambda e: np.roll(render(e), 1 if e.detector.roi else 0, axis=1),
            id="roi moved",
        ),
        pytest.param(
            lambda broken, e: properties.roi_is_a_crop(broken, e, (2, 5, 3, 8)),
            lambda e: render(e) * (1.0000001 if e.detector.roi else 1.0),
            id="roi of other bits",
        ),
    ],
)
def test_defect_is_noticed(holds: Property, broken: Callable[[Experiment], np.ndarray]) -> None:
    holds(render, SPOTS)
    with pytest.raises(AssertionError, match=r".{15}"):
        holds(broken, SPOTS)


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_sources_that_do_not_average_are_noticed(mode: Any, tmp_path: Path) -> None:
    experiment = replace(SPOTS, mode=mode)
    properties.sources_average(render, experiment, tmp_path)
    other = "c" if mode == "spec" else "spec"
    with pytest.raises(AssertionError, match="do not average"):
        properties.sources_average(lambda e: render(replace(e, mode=other)), experiment, tmp_path)
    with pytest.raises(AssertionError, match="not their list"):
        properties.sources_average(
            seen_as(beam=lambda beam: {"dispersion_percent": beam.dispersion_percent / 2}), experiment, tmp_path
        )
