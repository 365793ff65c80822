"""The GPU kernels in Numba's simulator, window by window; and what is said where there is no GPU.

The simulator must be chosen before Numba is imported, so this file, run as a program, is its own worker.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numba
import numpy as np
import pytest

from nbnumba import simulate, simulate_many
from nbnumba.cli import main
from nbnumba.commands import devices
from nbnumba.errors import DeviceError
from nbnumba.experiment import Experiment
from nbnumba.kernels import choices
from nbnumba.kernels.choices import FLAT, GAUSS, ROUND, SQUARE, TOPHAT
from nbnumba.kernels.cuda import bits
from nbnumba.kernels.cuda import tables as cuda_tables
from nbnumba.kernels.plan import Plan
from nbnumba.render.canvas import Canvas
from nbnumba.render.cuda import cards as gpu
from nbnumba.render.cuda import images as gpu_rendering
from nbnumba.render.cuda import launches as gpu_launches
from nbnumba.render.cuda import memory as gpu_memory
from nbnumba.render.cuda.counting import TALLIES_BYTES, Reading
from nbnumba.render.job import render
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.tolerances import BY_PRECISION, DOUBLE, FLOAT32

GOLDEN = Path(__file__).parent / "golden"
CASES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())["cases"]}
EDGE = 12
"""Pixels of a window along each side: two launches."""
FEATURES = tuple(
    """
    convention_mosflm rotated_dials twotheta_xds custom_vectors_sample point_pixel curved_detector
    unequal_cells one_cell_axis large_crystal shape_round shape_round_fudge shape_gauss shape_gauss_fudge shape_tophat
    shape_tophat_fudge default_F outside_table no_hkl interpolate interpolate_single_cell dmin dmin_skips_all
    phi_steps phi_carryover_middle spec_phi_through_zero mosaic mosaic_phi dispersion divergence_dispersion sourcefile
    spec_source_weights oversample_3 polar_95 nopolar absorption water spec_water spec_oversample_factors mask
    """.split()
)
GEOMETRY_AND_FACTORS = {
    "rotated_dials", "twotheta_xds", "custom_vectors_sample", "point_pixel", "curved_detector", "phi_steps",
    "phi_carryover_middle", "spec_phi_through_zero", "dispersion", "sourcefile", "spec_source_weights", "polar_95",
    "nopolar", "absorption", "water", "spec_water", "spec_oversample_factors", "mask",
}  # fmt: skip
"""Where the precision of the lattice factor makes no difference in kind."""
BEYOND_GOLDEN = {
    "curved sphere": ("curved_detector", "-mode spec"),
    "N 1000": ("convention_mosflm", "-N 1000"),
    "more orientations than are staged": ("mosaic", "-mosaic_domains 70 -phi 5 -osc 1 -phisteps 2"),
    "layers, each with its fraction": ("absorption", "-mode spec"),
    "layers as samples": ("oversample_thick_c", "-mode spec -oversample 2"),
    "round, interpolated": ("interpolate", "-round_xtal -N 3 -interpolate"),
    "interpolated, outside the table": ("interpolate_out_of_range", "-mode spec"),
    "amorphous table": ("spec_water", "-stol {stol}"),
    "materials": ("spec_water", "-background water 0.02 -background nano-ice 0.01"),
}


RUNS = [
    (name, precision)
    for precision in ("double", "mixed")
    for name in (*FEATURES, *BEYOND_GOLDEN)
    if precision == "double" or name not in GEOMETRY_AND_FACTORS
]


@dataclass(frozen=True)
class Job:
    """A window for the simulator to render."""

    args: list[str]
    precision: str
    roi: tuple[int, int, int, int]
    rows_of_part: int | None = None
    singles_per_double: int = 2


def resolved_from(args: list[str]) -> Resolved:
    folder = Path.cwd()
    os.chdir(GOLDEN / "inputs")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            experiment = Experiment.from_args(args)
            return resolve(experiment, read_inputs(experiment))
    finally:
        os.chdir(folder)


def simulated(jobs: list[Job], folder: Path) -> list[tuple[np.ndarray, int]]:
    """Photons in the window of each job and the number of samples outside the table."""
    out = folder / "windows.npz"
    subprocess.run(
        [sys.executable, "-m", "tests.test_cuda", str(out)],
        input=json.dumps([vars(job) for job in jobs]),
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=Path(__file__).parent.parent,
        text=True,
        check=True,
    )
    with np.load(out) as windows:
        return [(windows[f"photons{n}"], int(windows[f"outside{n}"])) for n in range(len(jobs))]


def work(out: str) -> None:
    from nbnumba.kernels.cuda import provider as cuda_provider

    chosen = cuda_tables.rows_per_part
    windows = {}
    for n, job in enumerate(json.load(sys.stdin)):
        fast0, fast1, slow0, slow1 = job["roi"]
        plan = resolved_from([*job["args"], "-roi", *map(str, job["roi"])]).plan
        rows = job["rows_of_part"]
        cuda_provider.singles_per_double = lambda ratio=job["singles_per_double"]: ratio
        cuda_tables.rows_per_part = (lambda *image, rows=rows: rows) if rows else chosen
        canvas = Canvas(plan)
        windows[f"outside{n}"] = gpu_rendering.render_cuda(plan, canvas, job["precision"]).outside
        windows[f"photons{n}"] = canvas.photons[slow0 : slow1 + 1, fast0 : fast1 + 1]
    np.savez(out, **windows)


def on_cpu(args: list[str]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return render(resolved_from(args), "cpu").photons


def window_of(name: str, image: np.ndarray) -> tuple[int, int, int, int]:
    """Around the brightest pixel; in the corner where the case is about what lies far out."""
    if "outside the table" in name:
        return 0, EDGE - 1, 0, EDGE - 1
    slow, fast = (
        int(min(max(peak - EDGE // 2, 0), size - EDGE))
        for peak, size in zip(np.unravel_index(image.argmax(), image.shape), image.shape, strict=True)
    )
    return fast, fast + EDGE - 1, slow, slow + EDGE - 1


def cut(image: np.ndarray, roi: tuple[int, int, int, int]) -> np.ndarray:
    return image[roi[2] : roi[3] + 1, roi[0] : roi[1] + 1]


def excess(found: np.ndarray, wanted: np.ndarray, maximum: float, precision: str) -> float:
    """Largest difference in units of what is tolerated."""
    allowed = BY_PRECISION[precision].allowed(np.abs(wanted), maximum)
    return float((np.abs(found - wanted) / allowed).max())


@pytest.fixture(scope="module")
def stol_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stol") / "ice.stol"
    path.write_text("0 2.5\n0.05 9\n0.2 4\n0.5 1\n")
    return path


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, stol_file: Path) -> dict[tuple[str, str], tuple]:
    """What the simulator gives, what is right, and the largest pixel, for every case and precision."""
    wanted: dict[str, tuple[list[str], np.ndarray]] = {}
    for name in FEATURES:
        with np.load(GOLDEN / f"{name}.npz") as golden:
            wanted[name] = ([*CASES[name]["args"], "-mode", CASES[name]["modes"][-1]], golden["float"])
    for name, (base, more) in BEYOND_GOLDEN.items():
        args = [*CASES[base]["args"], *more.format(stol=stol_file).split()]
        wanted[name] = (args, on_cpu(args))
    jobs = [Job(wanted[name][0], precision, window_of(name, wanted[name][1])) for name, precision in RUNS]
    found = simulated(jobs, tmp_path_factory.mktemp("simulator"))
    return {
        (name, precision): (photons, cut(wanted[name][1], job.roi), wanted[name][1].max(), outside)
        for (name, precision), job, (photons, outside) in zip(RUNS, jobs, found, strict=True)
    }


@pytest.mark.parametrize(("name", "precision"), RUNS)
def test_simulator_matches(windows: dict[tuple[str, str], tuple], name: str, precision: str) -> None:
    found, wanted, maximum, outside = windows[name, precision]
    assert wanted.any()
    assert excess(found, wanted, maximum, precision) <= 1.0
    assert (outside > 0) == ("outside the table" in name)


def test_parts_and_repeats_agree(tmp_path: Path) -> None:
    base, more = BEYOND_GOLDEN["more orientations than are staged"]
    args, roi = [*CASES[base]["args"], *more.split()], (40, 43, 40, 42)
    jobs = [Job(args, "double", roi), Job(args, "double", roi), Job(args, "double", roi, rows_of_part=256)]
    (first, _), (again, _), (in_one_part, _) = simulated(jobs, tmp_path)
    assert first.tobytes() == again.tobytes()
    np.testing.assert_allclose(first, in_one_part, rtol=FLOAT32)
    np.testing.assert_allclose(first, cut(on_cpu(args), roi), rtol=DOUBLE.relative)


@pytest.mark.parametrize("name", ["unequal_cells", "large_crystal", "outside_table", "mosaic_phi", "phi_steps"])
def test_cards_with_slow_float64_match(tmp_path: Path, name: str) -> None:
    """Consumer cards: scalar products in pairs of float32."""
    with np.load(GOLDEN / f"{name}.npz") as golden:
        wanted = golden["float"]
    args, roi = [*CASES[name]["args"], "-mode", CASES[name]["modes"][-1]], window_of(name, wanted)
    jobs = [Job(args, "mixed", roi, singles_per_double=ratio) for ratio in (64, 2)]
    (slow, _), (fast, _) = simulated(jobs, tmp_path)
    assert excess(slow, cut(wanted, roi), wanted.max(), "mixed") <= 1.0
    assert slow.tobytes() != fast.tobytes()


@numba.njit
def nearest_and_reduced(h: float, cells: int) -> tuple[int, float]:
    shifted = h + bits.TO_WORDS
    low = bits.low_word(shifted)
    whole = bits.nearest_whole(bits.high_word(shifted), low) - bits.WHOLE_BITS
    return whole, bits.half_turns(bits.wrapped(cells * low))


@pytest.mark.parametrize("cells", [1, 7, 300])
@pytest.mark.parametrize("h", [0.0, 0.25, -0.3, 17.75, -123.4567, 1e-9, 4000.123456789, bits.MOST_INDEX - 1.2])
def test_index_and_reduction_come_out_of_the_bits(h: float, cells: int) -> None:
    for form in (nearest_and_reduced, nearest_and_reduced.py_func):
        whole, turns = form(h, cells)
        assert whole == round(h)
        exact = cells * (h - round(h))
        assert abs(turns - (exact - round(exact))) <= cells * 2.0**-32 + 2.0**-24


@numba.njit
def words_of_product(a: np.ndarray, q: np.ndarray) -> tuple[int, int]:
    steps = 0
    rest = np.float32(0.0)
    for i in range(3):
        high = np.float32(q[i])
        counted, left = bits.steps_and_rest(a[i], high, np.float32(q[i] - high))
        steps += counted
        rest += left
    return bits.words_of_steps(steps, rest)


@pytest.mark.parametrize("most", [1e-3, 1.0, 30.0, 200.0, 500.0])
def test_index_and_fraction_come_out_of_pairs(most: float) -> None:
    """Held to exact arithmetic; half an index may be rounded either way, but both words must do so alike."""
    random = np.random.default_rng(7)
    for _ in range(200):
        a, q = random.uniform(-1e-8, 1e-8, 3), random.uniform(-most, most, 3) * 1e8 / 1.5
        h = sum(Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), q.tolist(), strict=True))
        for form in (words_of_product, words_of_product.py_func):
            whole, low = form(bits.packed_pairs(a), q)
            found = int(whole) + Fraction(int(low), 2**32)
            assert -(2**31) <= low < 2**31
            assert abs(found - h) <= 2.0**-32 + most * 2.0**-40


def fake_provider(
    count: object = 1,
    compiler: str | None = None,
    to_device: object = None,
    free: float = 1e12,
    lost: int | None = None,
    driver: tuple[int, int] | Exception = (13, 0),
    capability: tuple[int, int] = (9, 0),
) -> types.SimpleNamespace:
    """As if there were ``count`` cards; ``to_device`` copies to them; card ``lost`` cannot be used."""

    def card_count() -> int:
        if isinstance(count, Exception):
            raise count
        return int(str(count))

    def driver_version() -> tuple[int, int]:
        if isinstance(driver, Exception):
            raise driver
        return driver

    def describe(number: int) -> tuple[str, tuple[int, int], int, int]:
        if number == lost:
            raise RuntimeError("CUDA_ERROR_DEVICE_UNAVAILABLE")
        return f"Fake {number}", (9, 0), 80 << 30, 79 << 30

    return types.SimpleNamespace(
        is_simulator=False,
        name="numba-cuda",
        card_count=card_count,
        compiler_error=lambda: compiler,
        describe=describe,
        driver_version=driver_version,
        compiler_version=lambda: (13, 0),
        capability=lambda number: capability,
        lowest_capability=lambda: (7, 5),
        singles_per_double=lambda: 2,
        instructions_per_second=lambda: 1e13,
        free_bytes=lambda: free,
        never_compiled=lambda: False,
        give_back=lambda: None,
        copy_to_card=lambda there, array, stream: there.copy_to_device(array),
        copy_to_host=lambda array, there, stream: np.copyto(array, there[: len(array)]),
        cuda=types.SimpleNamespace(
            gpus=defaultdict(nullcontext),
            to_device=to_device,
            stream=lambda: types.SimpleNamespace(synchronize=lambda: None),
        ),
    )


NO_DRIVER = ImportError("Error at driver init: \n\nCUDA driver library cannot be found.\nIf you are sure\n:")

CU_INIT = "Error at driver init: Call to cuInit results in CUDA_ERROR_{} (100):"


@pytest.mark.parametrize(
    ("provider", "device", "says"),
    [
        (ImportError("No module named 'numba.cuda'"), 0, ["numba.cuda", "nbnumba[cuda]"]),
        (fake_provider(NO_DRIVER), 0, ["driver library cannot be found", "install"]),
        (fake_provider(RuntimeError("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")), 0, ["MISMATCH", "install"]),
        (fake_provider(ImportError(CU_INIT.format("NO_DEVICE"))), 0, ["no card", "CUDA_VISIBLE_DEVICES"]),
        (fake_provider(ImportError(CU_INIT.format("SYSTEM_NOT_READY"))), 0, ["SYSTEM_NOT_READY", "install"]),
        (fake_provider(0), 0, ["no card", "CUDA_VISIBLE_DEVICES"]),
        (fake_provider(2), 2, ["card number 2", "finds 2"]),
        (fake_provider(compiler="libnvvm.so not found"), 0, ["libnvvm.so", "nbnumba[cuda]"]),
        (fake_provider(driver=(12, 4)), 0, ["driver serves CUDA 12.4", "13.0", "numba-cuda[cu12]"]),
        (fake_provider(capability=(7, 0)), 0, ["compute capability 7.0", "7.5 and later", "numba-cuda[cu12]"]),
        (fake_provider(driver=RuntimeError("no libcudart")), 0, []),
        (fake_provider(), 0, []),
    ],
    ids=[
        "no package",
        "no driver",
        "old driver",
        "no device",
        "not ready",
        "no card",
        "no such card",
        "no compiler",
        "older driver than the compiler",
        "older card than the compiler",
        "does not tell its versions",
        "usable",
    ],
)
def test_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], provider: object, device: int, says: list[str]
) -> None:
    def provide() -> object:
        if isinstance(provider, Exception):
            raise provider
        return provider

    monkeypatch.setattr(gpu, "cuda_provider", provide)
    reason = gpu.why_unusable(device)
    assert (reason is None) == (not says)
    assert all(part in str(reason) for part in says)
    assert "\n" not in str(reason)
    assert devices.main([]) == 0
    printed = capsys.readouterr().out
    assert ("usable    yes" in printed) == (gpu.why_unusable() is None)
    if reason is None:
        assert "Fake 0, compute capability 9.0, 80.0 GiB" in printed


def test_a_card_that_cannot_be_used_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "cuda_provider", lambda: fake_provider(3, lost=1))
    assert devices.main([]) == 0
    printed = capsys.readouterr().out
    assert "Fake 0" in printed
    assert "card 1 cannot be used (CUDA_ERROR_DEVICE_UNAVAILABLE)" in printed
    assert "Fake 2" in printed


STILL = "-cell 70 80 90 -default_F 100 -N 5 -detpixels 16 -pixel 1".split()


class LinkerError(RuntimeError):
    """Named as the provider's."""


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (RuntimeError("[CUresult.CUDA_ERROR_OUT_OF_MEMORY] alloc\nmore"), "ran out of memory .*OUT_OF_MEMORY"),
        (RuntimeError("CUDA_ERROR_DEVICE_LOST\nmore"), "failed .*DEVICE_LOST"),
        (LinkerError("ptxas died\nmore"), "does not compile .*ptxas died"),
    ],
)
@pytest.mark.parametrize(
    "work",
    [
        lambda plan: gpu_rendering.render_cuda(plan, Canvas(plan)),
        lambda plan: list(gpu_rendering.render_many([plan, plan])),
    ],
)
def test_failures_of_the_card_are_one_line(
    monkeypatch: pytest.MonkeyPatch, work: Callable[..., object], failure: Exception, says: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise failure

    provider = fake_provider(to_device=fail)
    monkeypatch.setattr(gpu, "cuda_provider", lambda: provider)
    resolved = resolved_from(STILL)
    with pytest.raises(DeviceError, match=says) as caught:
        work(resolved.plan)
    assert "-backend cpu" in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(gpu, "seems_present", lambda: True)
    assert render(resolved, "auto").backend.startswith("cpu")


def test_memory_is_asked_for_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less room, smaller pieces; too little for the tables, an error."""
    plan = resolved_from([*STILL, "-detpixels", "1024"]).plan

    def capacity(plan: Plan, free: float, readings: Sequence[Reading] = ()) -> int:
        monkeypatch.setattr(gpu, "cuda_provider", lambda: fake_provider(free=free, to_device=lambda array, stream=0: 0))
        job = types.SimpleNamespace(
            plans=[plan], parts=1, first=0, stop=1 << 20, interpolates=False, place=gpu_memory.Place(),
            readings=readings, bounds=None,
        )  # fmt: skip
        return gpu_launches._capacity(job, choices.DOUBLE)  # type: ignore[arg-type]

    assert capacity(plan, 1e12) == 1 << 20
    assert capacity(plan, 4 * (1 << 18) + 2000) == 1 << 18
    # Counts lie beside the photons.
    reading = Reading(0, 0, 1024, 1024, 1, 0, integers=np.uint16)
    assert capacity(plan, 6 * (1 << 18) + 2000 + TALLIES_BYTES, [reading]) == 1 << 18
    with pytest.raises(DeviceError, match=r"GiB free, this image needs .*-backend cpu"):
        capacity(plan, 1e5)
    long = plan._replace(factors=plan.factors._replace(table=np.broadcast_to(np.zeros(1), (1, 2000, 2000, 2000))))
    with pytest.raises(DeviceError, match="too long"):
        capacity(long, 1e12)


@pytest.mark.parametrize(("gib", "fits"), [(1.0, True), (0.6, False)])
def test_a_table_that_is_too_large_is_told_the_size_that_would_fit(
    monkeypatch: pytest.MonkeyPatch, gib: float, fits: bool
) -> None:
    monkeypatch.setattr(gpu, "cuda_provider", lambda: fake_provider(free=gib * 2**30))
    plan = resolved_from(STILL).plan

    def capacity(shape: tuple[int, ...]) -> int:
        table = np.broadcast_to(np.zeros(1), (1, *shape))
        job = types.SimpleNamespace(
            plans=[plan._replace(factors=plan.factors._replace(table=table))],
            parts=1, first=0, stop=256, interpolates=False, place=gpu_memory.Place(), readings=(),
            bounds=None,
        )  # fmt: skip
        return gpu_launches._capacity(job, choices.DOUBLE)  # type: ignore[arg-type]

    if fits:
        assert capacity((400, 500, 600)) == 256
        return
    with pytest.raises(DeviceError, match=r"402 x 502 x 602 F: one of .* would fit; .*-backend cpu") as caught:
        capacity((400, 500, 600))
    fitting = re.search(r"one of (\d+) x (\d+) x (\d+) would", str(caught.value))
    assert fitting is not None
    told = tuple(int(n) - 2 for n in fitting.groups())
    assert capacity(told) == 256
    with pytest.raises(DeviceError):
        capacity(tuple(int(1.01 * n) + 1 for n in told))


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize(
    "much",
    [
        "-hkl full.hkl",
        "-hkl full.hkl -interpolate",
        "-mosaic 1 -mosaic_domains 30000 -roi 0 0 0 0",
        "-mask mask.img -detpixels 96 -roi 0 0 0 0",
        "-detpixels 200",
        "-detpixels 200 -interpolate -hkl small.hkl",
    ],
)
def test_memory_that_is_asked_for_is_what_is_taken(monkeypatch: pytest.MonkeyPatch, much: str, precision: str) -> None:
    """An image that would need twentieths more than is free is refused, one that needs that much less is not."""
    taken: list[int] = []

    def kept(array: np.ndarray) -> np.ndarray:
        taken.append(array.nbytes)
        return array

    def on_a_card_with(free: float) -> int:
        provider = fake_provider(free=free, to_device=lambda array, stream=0: kept(array))
        provider.cuda.device_array = lambda size, kind: kept(np.empty(size, kind))
        monkeypatch.setattr(gpu, "cuda_provider", lambda: provider)
        taken.clear()
        gpu_launches.Batch([plan], precision, gpu_memory.Place())
        return sum(taken)

    pytest.importorskip("nbnumba.kernels.cuda.render")
    plan = resolved_from([*STILL, "-oversample", "1", *much.split()]).plan
    needed = on_a_card_with(1e12)
    assert on_a_card_with(1.05 * needed) == needed
    with pytest.raises(DeviceError, match="this image needs"):
        on_a_card_with(0.95 * needed)
    assert not taken


@pytest.mark.parametrize(
    ("pixels", "parts", "ns"), [(1 << 22, 1, 1), (1 << 22, 1, 1e5), (4096, 5000, 1e3), (900, 3, 1)]
)
def test_launches_cover_the_image_and_stay_short(pixels: int, parts: int, ns: float) -> None:
    """On a card that takes ``ns`` for each part of a pixel; the first launches may be too short or too long."""
    job = types.SimpleNamespace(
        plans=[None], first=0, stop=pixels, parts=parts, capacity=min(pixels * parts, gpu_launches.MOST_PIXELS)
    )  # fmt: skip
    pace, done, seconds = gpu_launches.Pace(1 << 14), np.zeros(pixels, int), []
    for piece in gpu_launches.Batch.pieces(job, pace):  # type: ignore[arg-type]
        there = slice(piece.first, piece.first + piece.count)
        assert (done[there] == piece.first_part).all()
        done[there] += piece.parts
        seconds.append(piece.work * ns * 1e-9)
        pace.took(piece.work, seconds[-1])
    assert (done == parts).all()
    assert max(seconds[3:], default=0.0) <= 2 * gpu_launches.LAUNCH_S


class OnCard(np.ndarray):
    """An array as if on a card."""

    def copy_to_host(self, there: np.ndarray | None = None, stream: object = None) -> np.ndarray:
        if there is not None:
            there[...] = self
        return np.array(self)

    def copy_to_device(self, array: np.ndarray, stream: object = None) -> None:
        self[...] = array


class Launches(list[tuple[int, int, tuple[int, ...]]]):
    """As if there were cards: the number of that on which a kernel is launched, for how many images, which variant."""

    def __init__(self) -> None:
        self.current: list[int] = []

    def __getitem__(self, launch: Any) -> Callable[..., None]:  # type: ignore[override]
        (_, _, images), _, _ = launch
        return lambda *args: self.append((self.current[-1], images, tuple(len(choice) for choice in args[-4:])))

    @contextmanager
    def on(self, card: int) -> Iterator[None]:
        self.current.append(card)
        yield
        self.current.pop()

    def provider(self, cards: int) -> types.SimpleNamespace:
        provider = fake_provider(cards)
        provider.cuda = types.SimpleNamespace(
            gpus=[self.on(number) for number in range(cards)],
            to_device=lambda array, stream=0: array.copy().view(OnCard),
            device_array=lambda size, kind: np.zeros(size, kind).view(OnCard),
            pinned_array=np.zeros,
            synchronize=lambda: None,
            stream=lambda: types.SimpleNamespace(synchronize=lambda: None),
        )
        return provider


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    """Of a machine with three cards."""
    kernels = pytest.importorskip("nbnumba.kernels.cuda.render")
    launches = Launches()
    monkeypatch.setattr(gpu, "cuda_provider", lambda: launches.provider(3))
    monkeypatch.setattr(kernels, "render_pixels", launches)
    monkeypatch.setattr(kernels, "add_parts", MagicMock())
    return launches


PRECISIONS = {"double": (FLAT, SQUARE, 0, 0), "mixed": (FLAT, SQUARE, 0, 2)}
"""Surface, shape, interpolation and arithmetic of the kernel that serves them where float64 is fast."""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("device", [0, 2])
def test_the_card_and_the_precision_that_are_asked_for_are_used(
    launches: Launches, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: int, precision: Any
) -> None:
    simulate(Experiment.from_args(STILL), "cuda", precision, device=device)
    assert set(launches) == {(device, 1, PRECISIONS[precision])}
    launches.clear()
    monkeypatch.chdir(tmp_path)
    options = ["-backend", "cuda", "-device", str(device), "-precision", precision]
    assert main([*STILL, *options, "-quiet", "-report", "report.json"]) == 0
    assert set(launches) == {(device, 1, PRECISIONS[precision])}
    assert json.loads(Path("report.json").read_text())["backend"] == f"cuda, device {device}"


def test_by_default_the_first_card_renders_in_double_precision(launches: Launches) -> None:
    simulate(Experiment.from_args(STILL), "cuda")
    list(simulate_many([Experiment.from_args(STILL)], "cuda"))
    assert set(launches) == {(0, 1, PRECISIONS["double"])}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("devices", "turns"), [([2, 1], [2, 1, 2, 1, 2]), ([1], [1] * 5), ("all", [0, 1, 2, 0, 1])])
def test_cards_take_turns_in_the_order_that_is_asked_for(
    launches: Launches, monkeypatch: pytest.MonkeyPatch, devices: Any, turns: list[int], precision: Any
) -> None:
    monkeypatch.setattr(gpu_launches, "MOST_TOGETHER", 1)
    images = list(simulate_many([Experiment.from_args(STILL)] * 5, "cuda", precision, devices))
    assert len(images) == 5
    assert list(launches) == [(card, 1, PRECISIONS[precision]) for card in turns]


@pytest.mark.parametrize(
    ("series", "together"),
    [
        (["-phi 1"] * 40, [16, 16, 8]),
        (["-phi 1", "-phi 2 -distance 150 -lambda 1.1 -N 6", "-misset 1 2 3 -mosaic_seed 4"], [3]),
        (["-phi 1", "-phi 2 -detpixels 17", "-phi 3"], [1, 1, 1]),
        (["-phi 1", "-phi 2 -default_F 50"], [1, 1]),
        (["-phi 1", "-phi 2 -gauss_xtal", "-phi 3 -gauss_xtal"], [1, 2]),
        (["-oversample 1", "-osc 1 -phisteps 2 -oversample 1 -dispersion 1 -dispsteps 3"], [2]),
        (["-phi 1", "-mosaic 1 -mosaic_domains 129"], [1, 1]),
        (["-roi 0 4 0 4", "-roi 3 7 2 6"], [2]),
        (["-detpixels 700 -oversample 1"] * 11, [8, 3]),
        (["-detpixels 1449"] * 2, [1, 1]),
        (["-detpixels 512 -oversample 16"] * 5, [4, 1]),
    ],
)
@pytest.mark.filterwarnings("ignore::nbnumba.NbnumbaWarning")
def test_small_images_that_are_alike_share_a_launch(launches: Launches, series: list[str], together: list[int]) -> None:
    list(simulate_many([Experiment.from_args([*STILL, *words.split()]) for words in series], "cuda"))
    assert [images for _, images, _ in launches] == together


@pytest.mark.parametrize(
    ("options", "variant"),
    [
        ("-round_xtal", (FLAT, ROUND, 0, 0)),
        ("-tophat_spots -hkl small.hkl -interpolate", (FLAT, TOPHAT, 1, 0)),
        ("-hkl small.hkl -interpolate", (FLAT, SQUARE, 1, 0)),
        ("-gauss_xtal", (FLAT, GAUSS, 0, 1)),
        ("-N 301 -oversample 1", (FLAT, SQUARE, 0, 1)),
        ("-curved_det", (1, SQUARE, 0, 2)),
    ],
)
def test_mixed_is_what_saves_time_and_else_double(launches: Launches, options: str, variant: tuple[int, ...]) -> None:
    said = render(resolved_from([*STILL, *options.split()]), "cuda", "mixed").backend
    assert set(launches) == {(0, 1, variant)}
    assert ("in double" in said) == (variant[-1] == choices.DOUBLE)


def test_many_images_are_those_of_one_at_a_time(tmp_path: Path) -> None:
    """In the simulator: images share launches, places are used again, a table of F changes, one image is larger."""
    parts = "-roi 5 8 5 8 -mosaic 1 -mosaic_domains 129"
    between = "-roi 2 5 2 5 -hkl small.hkl -interpolate"
    more = [
        "-phi 10", "-phi 20 -distance 130 -lambda 1.1 -dispersion 1 -dispsteps 2", "-osc 1 -phisteps 3",
        "-phi 20 -roi 0 15 0 9", "-phi 30 -default_F 50", "-phi 40 -roi 0 4 0 4", f"-phi 50 {parts}",
        f"-phi 60 {parts} -N 6", f"-phi 10 {between}", f"-phi 20 {between}", "-phi 50",
    ]  # fmt: skip
    # A block's threads all count, pixels or none.
    one_block = "-oversample 1 -roi 2 11 2 11".split()
    series = [[*STILL, *one_block, *words.split()] for words in more]
    out = tmp_path / "many.npz"
    script = (
        "import sys, json, numpy as np, nbnumba; from nbnumba.render.cuda import images as gpu_rendering\n"
        "from nbnumba.render.canvas import Canvas\n"
        "from nbnumba.setup.inputs import read_inputs; from nbnumba.setup.resolve import resolve\n"
        "series = [nbnumba.Experiment.from_args(words) for words in json.loads(sys.argv[1])]\n"
        "plans = [resolve(one, read_inputs(one)).plan for one in series]\n"
        "many = list(gpu_rendering.render_many(plans, devices=(0, 0)))\n"
        "canvases = [Canvas(plan) for plan in plans]\n"
        "counts = [gpu_rendering.render_cuda(plan, canvas) for plan, canvas in zip(plans, canvases)]\n"
        "np.savez(sys.argv[2], outside=[n.outside for _, n in many], same=[\n"
        "    a.tobytes() == b.photons.tobytes() and n == m for (a, n), b, m in zip(many, canvases, counts)\n"
        "], **{f'image{n}': photons for n, (photons, _) in enumerate(many)})\n"
    )
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    line = [sys.executable, "-W", "ignore", "-c", script, json.dumps(series), str(out)]
    subprocess.run(line, env=environment, check=True, cwd=GOLDEN / "inputs")
    with np.load(out) as found:
        assert found["same"].all()
        assert found["outside"][-3:-1].min() > 0
        for number, args in enumerate(series):
            wanted = on_cpu(args)
            assert excess(found[f"image{number}"], wanted, wanted.max(), "double") <= 1.0


@pytest.mark.parametrize("together", [1, 3])
def test_a_large_image_is_lent_and_its_memory_comes_back(
    launches: Launches, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """While somebody holds a part of an image no other image is written there; too many in hand are copied."""
    monkeypatch.setattr(gpu_launches, "MOST_TOGETHER", together)
    made: list[np.ndarray] = []

    def pinned_array(size: int, kind: type) -> np.ndarray:
        made.append(np.zeros(size, kind))
        return made[-1]

    def provide() -> types.SimpleNamespace:
        provider = launches.provider(1)
        provider.cuda.pinned_array = pinned_array
        return provider

    monkeypatch.setattr(gpu, "cuda_provider", provide)
    plan = resolved_from([*STILL, "-detpixels", "512", "-pixel", "0.03"]).plan

    def places_of(images: Iterator[tuple[np.ndarray, int]]) -> Iterator[int]:
        for photons, _ in images:
            yield next((n for n, window in enumerate(made) if np.shares_memory(window, photons)), -1)

    assert set(places_of(gpu_rendering.render_many([plan] * 12 * together))) == {0, 1, 2, 3}
    made.clear()
    kept = [photons[5:7] for photons, _ in gpu_rendering.render_many([plan] * 30 * together)]
    holders = [{n for n, window in enumerate(made) if np.shares_memory(window, rows)} for rows in kept]
    lent = [holder for holder in holders if holder]
    assert len(lent) == 2 * gpu_memory.MOST_LENT * together
    assert len(set.union(*lent)) == 2 * gpu_memory.MOST_LENT
    assert not any(np.shares_memory(rows, others) for rows, others in itertools.pairwise(kept))


def test_an_error_in_a_series_takes_no_image_with_it() -> None:
    """In the simulator: images that are under way when the next experiment proves bad are yielded."""
    series = [STILL, STILL, [*STILL, "-hkl", "missing.hkl"], STILL]
    script = (
        "import sys, json, nbnumba; series = json.loads(sys.argv[1])\n"
        "images = nbnumba.simulate_many(map(nbnumba.Experiment.from_args, series), 'cuda')\n"
        "print(next(images).photons.shape, next(images).photons.shape)\n"
        "try: next(images)\n"
        "except nbnumba.InputFileError as error: print(error)"
    )
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(series)], env=environment, check=True, capture_output=True, text=True
    )
    shapes, error = done.stdout.splitlines()
    assert shapes == "(16, 16) (16, 16)"
    assert "missing.hkl" in error


@pytest.mark.parametrize("ratio", [2, 64])
@pytest.mark.parametrize("arithmetic", range(4))
def test_an_untimed_launch_is_reckoned_by_the_card(arithmetic: int, ratio: int) -> None:
    """A step takes as long as its instructions, or as those on float64, of which a card for screens does few."""
    every, on_float64 = cuda_tables.INSTRUCTIONS[arithmetic]
    seconds = cuda_tables.least_seconds_per_step(arithmetic, ratio, 1e12)
    assert seconds == max(every, ratio * on_float64) / 1e12


def test_a_reciprocal_that_is_estimated_becomes_that_of_a_division(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate has 20 bits: those of the number's high word, and of its own."""
    steps = pytest.importorskip("nbnumba.kernels.cuda.steps")

    def high_bits(x: np.ndarray) -> np.ndarray:
        return (x.view(np.int64) & ~0xFFFFFFFF).view(np.float64)

    monkeypatch.setattr(steps, "estimated_reciprocal", lambda x: high_bits(1.0 / high_bits(x)))
    random = np.random.default_rng(1)
    x = (
        random.uniform(1.0, 2.0, 10_000)
        * 2.0 ** random.integers(-600, 600, 10_000)
        * random.choice([-1.0, 1.0], 10_000)
    )
    found = steps.reciprocal_double.py_func(x)
    np.testing.assert_allclose(found, 1.0 / x, rtol=3 * np.finfo(float).eps)
    one_step_less = high_bits(1.0 / high_bits(x))
    assert np.abs(one_step_less * (2.0 - x * one_step_less) * x - 1.0).max() > 1e-13


@pytest.mark.parametrize("pixels", [1, 1000, 1 << 22])
@pytest.mark.parametrize("orientations", [1, 200, 5000])
@pytest.mark.parametrize("samples", [1, 500, 6480, 200_000])
def test_no_thread_runs_for_long(pixels: int, orientations: int, samples: int) -> None:
    rows = cuda_tables.rows_per_part(pixels, orientations, samples)
    assert rows % cuda_tables.FEWEST_ROWS == 0
    assert rows <= cuda_tables.ROWS or rows % cuda_tables.ROWS == 0
    assert rows == cuda_tables.FEWEST_ROWS or rows * samples <= cuda_tables.MOST_SAMPLES
    assert rows < orientations + cuda_tables.ROWS


def test_kernels_in_the_cache_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    provider = pytest.importorskip("nbnumba.kernels.cuda.provider")
    if provider.is_simulator:
        pytest.skip("the simulator compiles nothing")
    monkeypatch.setattr(provider, "CACHE_FOLDER", str(tmp_path))
    assert provider.never_compiled()
    (tmp_path / "cuda.render.render_pixels-0123.kernel").touch()
    assert not provider.never_compiled()


if __name__ == "__main__":
    work(sys.argv[1])
