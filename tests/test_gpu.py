"""The GPU kernels on a real card: every golden image, large crystals, large images."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from channels import with_channels

from nbnumba.choices import PRECISIONS
from nbnumba.experiment import Experiment, Panel, changed
from nbnumba.image import Image
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards, images
from nbnumba.render.cuda.counting import Reading, counted
from nbnumba.render.cuda.launches import Batch, Piece
from nbnumba.render.job import render
from nbnumba.render.series import render_series
from nbnumba.response.deviates import Window, poisson
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.simulation import simulate, simulate_many
from nbnumba.tolerances import BY_PRECISION

pytestmark = pytest.mark.gpu

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent
CASES = json.loads((GOLDEN / "cases.json").read_text())["cases"]
CRYSTAL = ["-cell", "70", "80", "90", "75", "85", "95", "-misset", "10", "20", "30", "-default_F", "100"]


@pytest.fixture(scope="module", autouse=True)
def _card() -> None:
    from numba import config

    reason = "the simulator stands in for it" if config.ENABLE_CUDASIM else cards.why_unusable()
    if reason is not None:
        pytest.skip(f"no GPU: {reason}")


def case_id(value: object) -> str:
    return value["name"] if isinstance(value, dict) else str(value)


def resolved_from(args: list[str]) -> Resolved:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.chdir(GOLDEN / "inputs")
        experiment = Experiment.from_args(args)
        return resolve(experiment, read_inputs(experiment))


def assert_close(found: np.ndarray, wanted: np.ndarray, precision: str) -> None:
    margin = BY_PRECISION[precision].allowed(np.abs(wanted), wanted.max()) + np.finfo(np.float32).tiny
    np.testing.assert_array_less(np.abs(found - wanted), margin)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("case", "mode"), [(case, mode) for case in CASES for mode in case["modes"]], ids=case_id)
def test_golden_image(case: dict, mode: str, precision: str) -> None:
    """What depends on the order of samples goes to the reference renderer, here as in any run."""
    found = render(resolved_from([*case["args"], "-mode", mode]), "cuda", precision)
    assert found.backend.startswith(("cuda", "reference: "))
    with np.load(GOLDEN / f"{case['name']}.npz") as golden:
        assert_close(found.photons, golden["float"], precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cells", [1, 36, 300, 301, 1000])
def test_cells_up_to_a_thousand(cells: int, precision: str) -> None:
    resolved = resolved_from([*CRYSTAL, "-nointerpolate", "-N", str(cells), "-detpixels", "256", "-oversample", "2"])
    wanted = render(resolved, "cpu").photons
    assert_close(render(resolved, "cuda", precision).photons, wanted, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_many_orientations_in_parts(precision: str) -> None:
    resolved = resolved_from(
        [*CRYSTAL, "-N", "10", "-detpixels", "64", "-mosaic", "0.5", "-mosaic_domains", "500", "-phi", "1", "-osc", "1"]
    )
    first, again = (render(resolved, "cuda", precision).photons for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert_close(first, render(resolved, "cpu").photons, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("interpolate", [0, 1])
def test_a_wavelength_has_the_factors_of_its_channel(interpolate: int, precision: str) -> None:
    line = [*CRYSTAL, "-N", "5", "-detpixels", "128", "-pixel", "0.8", "-oversample", "1"]
    resolved = resolved_from([*line, "-dispersion", "5", "-dispsteps", "7"])
    one = dataclasses.replace(resolved, plans=(with_channels(resolved.plan, 3, interpolate),))
    assert_close(render(one, "cuda", precision).photons, render(one, "cpu").photons, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_lattices_add_up(precision: str) -> None:
    line = [*CRYSTAL, "-N", "5", "-detpixels", "128", "-pixel", "0.8", "-oversample", "1", "-water", "5"]
    resolved = resolved_from([*line, "-spot_scale", "3", "-lattice", "misset=40,50,60", "weight=0.5", "cells=8,9,10"])
    assert_close(render(resolved, "cuda", precision).photons, render(resolved, "cpu").photons, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_panels_one_after_the_other(precision: str) -> None:
    """Oblong and oblique pixels too; in a series they stand between images that go in a row."""
    panels = [
        Panel("", 64, 48, (100, 3 * y - 5, -3), (0, 0.01 * y, 0.1), (0.02 * y, 0.12, 0)) for y in range(4)
    ]  # fmt: skip
    line = [*CRYSTAL, "-N", "10", "-oversample", "1", "-polar", "0.9"]
    several = changed(Experiment.from_args(line), detector={"panels": panels})
    single = changed(several, detector={"panels": panels[:1]})
    images_of = list(simulate_many([single, several, single], "cuda", precision))
    assert_close(images_of[1].photons, simulate(several, "cpu").photons, precision)
    assert_close(images_of[0].photons, images_of[1].panels[0], precision)
    assert images_of[0].photons.tobytes() == images_of[2].photons.tobytes()


def test_large_image_is_cut_into_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = resolved_from([*CRYSTAL, "-N", "10", "-detpixels", "4096", "-pixel", "0.05", "-oversample", "1"])
    done: list[int] = []
    pieces: list[Piece] = []
    launch = Batch.launch
    monkeypatch.setattr(Batch, "launch", lambda batch, piece: (pieces.append(piece), launch(batch, piece)))
    found = render(resolved, "cuda", progress=done.append)
    assert done == sorted(done)
    assert done[-1] == 4096 * 4096
    assert len(pieces) > 2
    assert_close(found.photons, render(resolved, "cpu").photons, "double")


def test_many_images_are_those_of_one_at_a_time() -> None:
    series = [
        resolved_from([*CRYSTAL, "-N", "10", "-detpixels", "128", "-phi", str(phi), "-osc", "0"]) for phi in range(8)
    ]
    many = [photons for photons, _ in images.render_many(resolved.plan for resolved in series)]
    for resolved, photons in zip(series, many, strict=True):
        assert photons.tobytes() == render(resolved, "cuda").photons.tobytes()


@pytest.mark.parametrize("largest", [1.0, 1e4, 1e9])
def test_a_card_counts_the_photons_that_the_cpu_counts(largest: float) -> None:
    """All of four million, with their places and seeds."""
    edge, columns = 1 << 11, (1 << 11) + 5
    means = np.geomspace(1e-3, largest, edge * edge).reshape(edge, edge).astype(np.float32)
    slow, fast = divmod(2**31 + 1, columns)
    found = counted(means, Reading(fast, slow, edge, columns, 2**45 + 3, 7))
    wanted = poisson(means, Window(2**31 + 1, columns), 2**45 + 3, 7)
    np.testing.assert_array_equal(found.counts, wanted)
    assert (found.photons, found.overloads) == (round(float(wanted.sum())), 0)


@pytest.mark.parametrize("pixels", [128, 1024, 3000])
@pytest.mark.parametrize("kind", ["ideal", "counting"])
def test_images_that_a_card_counts_are_those_that_the_cpu_counts(pixels: int, kind: str) -> None:
    """Small ones share launches, large ones take several."""
    words = ["-N", "10", "-detpixels", str(pixels), "-oversample", "1", "-seed", "1", "-readout", kind]
    series = [resolved_from([*CRYSTAL, *words, "-phi", str(phi)]) for phi in range(5)]
    photons = list(render_series(series, How("cuda"), [0]))
    for plain, found in zip(photons, render_series(series, How("cuda"), [0], counted=True), strict=True):
        wanted = Image(plain.resolved, plain.photons).noise()
        assert found.counts.counts.tobytes() == wanted.counts.tobytes()
        assert (found.counts.photons, found.counts.overloads) == (wanted.photons, wanted.overloads)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("check", ["memcheck", "racecheck", "synccheck"])
def test_sanitizer_finds_nothing(check: str, precision: str, tmp_path: Path) -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("no compute-sanitizer: it comes with the CUDA toolkit")
    # Calls of the API by which the provider finds out what there is may fail: they are no faults of a kernel.
    tool = [sanitizer, "--tool", check, "--report-api-errors", "no", "--error-exitcode", "9"]
    done = subprocess.run(
        [*tool, sys.executable, "-m", "nbnumba", *CRYSTAL, "-N", "10",
         "-detpixels", "64", "-mosaic", "0.5", "-mosaic_domains", "300", "-backend", "cuda", "-precision", precision,
         "-floatfile", str(tmp_path / "image.bin"), "-nopgm", "-noprogress"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
