"""Structure factors that change with the wavelength: a table for each channel, a channel for each source."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from channels import of_channel, with_channels
from hypothesis import given, settings
from hypothesis import strategies as st

from nbnumba import Experiment, ResourceError
from nbnumba.comparison.trace import brightest_pixels, trace_pixel
from nbnumba.golden_suite_generator.suite import worst_ratio
from nbnumba.kernels.cpu import reach, tables
from nbnumba.kernels.cuda.tables import padded_factors, source_rows
from nbnumba.kernels.equations.orientation import oriented_cells
from nbnumba.kernels.equations.pixel import position
from nbnumba.kernels.plan import Plan
from nbnumba.render.canvas import Canvas
from nbnumba.render.cuda import images as gpu
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.memory import check_channels
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.testing.strategies import experiments
from nbnumba.tolerances import BY_PRECISION, DOUBLE, FLOAT32, OTHER_SUMS

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")

SIX_SOURCES = (
    "-cell 40 50 60 75 85 95 -N 4 -default_F 10 -lambda 1 -distance 60 -detpixels 24 -pixel 3 -misset 10 20 30 "
    "-dispersion 3 -dispsteps 3 -hdivrange 4 -hdivsteps 2 -square_div -mosaic 1 -mosaic_domains 3 -phi 0 -osc 2 "
    "-phisteps 2 -oversample 1"
)
PILATUS_LIKE = (
    "-cell 79.1 79.1 37.9 90 90 90 -misset 12 34 56 -lambda 0.9768 -distance 231.27 -pixel 0.172 -detpixels_x 2463 "
    "-detpixels_y 2527 -Na 36 -Nb 47 -Nc 29 -oversample 1 -default_F 1 -dispersion 1 -dispsteps 100"
)


def resolved_of(experiment: Experiment) -> Resolved:
    return resolve(experiment, read_inputs(experiment))


def resolved(options: str) -> Resolved:
    return resolved_of(Experiment.from_args(options.split()))


def rendered(plan: Plan, backend: Any, precision: Any = "double") -> np.ndarray:
    return render(replace(resolved(SIX_SOURCES), plans=(plan,)), backend, precision).photons


# Renderers -----------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(experiment=experiments("spec"), channels=st.integers(2, 4), interpolate=st.booleans())
def test_fast_renderer_is_the_plain_one(experiment: Experiment, channels: int, interpolate: bool) -> None:
    found = resolved_of(experiment)
    several = replace(found, plans=(with_channels(found.plan, channels, int(interpolate)),))
    wanted = render(several, "reference").photons
    for precision, tolerance in BY_PRECISION.items():
        assert worst_ratio(render(several, "cpu", precision).photons, wanted, tolerance) <= 1.0


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("interpolate", [0, 1])
def test_an_image_is_the_sum_of_those_of_its_channels(backend: str, interpolate: int) -> None:
    plan = with_channels(resolved(SIX_SOURCES).plan, 3, interpolate)
    whole = rendered(plan, backend)
    alone = [rendered(of_channel(plan, channel), backend) for channel in range(3)]
    assert all(image.any() for image in alone)
    assert worst_ratio(np.sum(alone, axis=0), whole, OTHER_SUMS) <= 1.0
    one_for_all = plan._replace(sources=plan.sources._replace(channel=np.zeros(6, np.int64)))
    assert worst_ratio(rendered(one_for_all, backend), whole, DOUBLE) > 1e3


def test_a_table_that_does_not_cover_the_image_gives_the_same() -> None:
    """A cell so large that not every index that the image can meet has its place."""
    plan = with_channels(resolved(f"{SIX_SOURCES} -cell 300 310 320 -N 2 -distance 600 -detpixels 200").plan, 3)
    assert not tables.make_tables(plan, False).covers
    wanted = rendered(plan, "reference")
    for precision, tolerance in BY_PRECISION.items():
        assert worst_ratio(rendered(plan, "cpu", precision), wanted, tolerance) <= 1.0


def test_a_trace_takes_the_channel_of_each_source() -> None:
    found = resolved(SIX_SOURCES)
    plan = with_channels(found.plan, 3)
    several = replace(found, plans=(plan,))
    photons = render(several, "reference").photons
    for slow, fast in brightest_pixels(photons, 3):
        assert trace_pixel(several, slow, fast).scaling["I_pixel_final"] == pytest.approx(
            photons[slow, fast], rel=FLOAT32
        )


# On a card -----------------------------------------------------------------------------------------------------------

ON_CARD = [(interpolate, precision) for interpolate in (0, 1) for precision in BY_PRECISION]


def plan_on_card(interpolate: int) -> Plan:
    return with_channels(resolved(f"{SIX_SOURCES} -roi 6 17 8 13").plan, 3, interpolate)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the simulator makes of each; it must be chosen before Numba is imported."""
    out = tmp_path_factory.mktemp("simulator") / "images.npz"
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-W", "ignore", __file__, str(out)], env=environment, check=True)
    with np.load(out) as images:
        return dict(images)


def work(out: str) -> None:
    images = {}
    for interpolate, precision in ON_CARD:
        plan = plan_on_card(interpolate)
        canvas = Canvas(plan)
        gpu.render_cuda(plan, canvas, precision)
        images[f"{interpolate} {precision}"] = canvas.photons
    np.savez(out, **images)


@pytest.mark.parametrize(("interpolate", "precision"), ON_CARD)
def test_a_card_takes_the_channel_of_each_source(simulated: Any, interpolate: int, precision: Any) -> None:
    wanted = rendered(plan_on_card(interpolate), "reference")
    assert wanted.any()
    assert worst_ratio(simulated[f"{interpolate} {precision}"], wanted, BY_PRECISION[precision]) <= 1.0


def test_the_table_of_a_source_begins_behind_those_of_the_channels_before_it() -> None:
    plan = with_channels(resolved(SIX_SOURCES).plan, 3)
    flat, table, first = padded_factors(plan, 0), plan.factors.table, plan.factors.first
    assert (flat.reshape(3, *(n + 2 for n in table.shape[1:]))[:, 1:-1, 1:-1, 1:-1] == table).all()
    for start, channel in zip(source_rows(plan)[:, -1].astype(int), plan.sources.channel, strict=True):
        origin = tuple(1 - n for n in first)
        place = np.ravel_multi_index(origin, tuple(n + 2 for n in table.shape[1:]))
        assert flat[start + place] == table[(channel, *(n - 1 for n in origin))]


# Reflections that are met ---------------------------------------------------------------------------------------------


@numba.njit
def those_that_may_be_met(plan: Any, hkl: Any) -> Any:
    """Of indices (n, 3)."""
    shell = reach.shell_of(plan, oriented_cells(plan.crystal), reach.farthest_scattering(plan))
    found = np.empty(len(hkl), np.bool_)
    for n in range(len(hkl)):
        found[n] = reach.can_meet(shell, hkl[n, 0], hkl[n, 1], hkl[n, 2])
    return found


def indices_met(plan: Plan) -> np.ndarray:
    """The nearest reflection of every sample at the corners of pixels, (n, 3), some of them several times."""
    detector, sources = plan.detector, plan.sources
    fast0, fast1, slow0, slow1 = detector.roi
    slow, fast = np.mgrid[slow0 : slow1 + 2, fast0 : fast1 + 2]
    points = [
        position(detector, detector.pixel * x, detector.pixel * y, 0.0)
        for x, y in zip(fast.flat, slow.flat, strict=True)
    ]
    rays = np.array(points) / np.linalg.norm(points, axis=1)[:, np.newaxis]
    q = (rays - sources.incident[:, np.newaxis]) / sources.wavelength[:, np.newaxis, np.newaxis]
    cells = oriented_cells(plan.crystal).reshape(-1, 3, 3)
    met: np.ndarray = np.rint(np.einsum("nij,spj->nspi", cells, q)).reshape(-1, 3).astype(np.int64)
    return met


@settings(max_examples=20)
@given(experiment=experiments("spec"))
def test_whatever_a_sample_meets_may_be_met(experiment: Experiment) -> None:
    plan = resolved_of(experiment).plan
    assert those_that_may_be_met(plan, indices_met(plan)).all()


@pytest.mark.parametrize(
    "options",
    [
        "",
        "-roi 3 5 17 20",
        "-osc 360 -phisteps 7",
        "-mosaic 40 -mosaic_domains 20",
        "-hdivrange 900",
        "-twotheta 70",
        "-hdivrange 300 -roi 20 22 3 20",
        "-detector_rotx 89 -roi 0 3 0 23",
        "-osc 40 -roi 2 3 2 3",
        "-dispersion 90",
    ],
)
def test_crystals_and_beams_of_many_directions_meet_more(options: str) -> None:
    plan = resolved(f"{SIX_SOURCES} {options}").plan
    assert those_that_may_be_met(plan, indices_met(plan)).all()


def test_a_still_meets_a_shell() -> None:
    """So that memory for 100 channels is taken where they are read: by a sixtieth of all indices within reach."""
    plan = resolved(PILATUS_LIKE).plan
    hkl = np.stack(np.meshgrid(np.arange(-73, 74), np.arange(-73, 74), np.arange(-36, 37), indexing="ij"), -1)
    share = those_that_may_be_met(plan, hkl.reshape(-1, 3)).mean()
    assert 0.005 < share < 0.02
    tenth = plan._replace(detector=plan.detector._replace(roi=(0, 2462, 300, 552)))
    assert those_that_may_be_met(tenth, hkl.reshape(-1, 3)).mean() < 0.2 * share


# Memory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "available", "said"),
    [
        (
            100,
            1 << 30,
            r"100 wavelengths, 98 x 98 x 98 at each, need 1\.49 GiB of memory, and 1 GiB are available: give ",
        ),
        (
            5000,
            1 << 40,
            r"5000 wavelengths, .* need tables of 5e\+09 values, more than the limit of 4\.29e\+09: give fewer",
        ),
    ],
)
def test_more_wavelengths_than_can_be_held_are_refused(
    channels: int, available: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbnumba.setup.memory.available_memory", lambda: available)
    check_channels(channels // 2, (98, 98, 98))
    with pytest.raises(ResourceError, match=said):
        check_channels(channels, (98, 98, 98))


if __name__ == "__main__":
    work(sys.argv[1])
