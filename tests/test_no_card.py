"""numba-cuda's own way to an image, over a driver whose kernels do nothing: launches, copies, memory, threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import no_card

if not sys.platform.startswith("linux"):
    pytest.skip("the driver is for Linux", allow_module_level=True)
if no_card.compiler() is None:
    pytest.skip("no C compiler builds the driver", allow_module_level=True)
try:
    from nbnumba.kernels.cuda import provider
except ImportError as error:
    pytest.skip(f"no CUDA package: {error}", allow_module_level=True)
if not provider.name.startswith("numba-cuda"):
    pytest.skip(f"{provider.name} asks a driver for other functions", allow_module_level=True)
if provider.compiler_error() is not None:
    pytest.skip(f"no CUDA compiler: {provider.compiler_error()}", allow_module_level=True)

import sass

STILL = "-cell 70 80 90 75 85 95 -default_F 100 -lambda 1 -distance 200 -N 10 -detpixels 64".split()
CUDA = ["-backend", "cuda", "-precision", "mixed"]
HEAD = f"""
from nbnumba import Experiment, changed, simulate, simulate_many
from nbnumba.render.cuda import cards as gpu
from nbnumba.kernels.cuda import provider
still = Experiment.from_args({STILL})
"""


@dataclass(frozen=True)
class Call:
    """A line of the driver's log."""

    name: str
    said: dict[str, str]
    refused: str

    def number(self, what: str) -> int:
        return int(self.said[what], 0)

    def numbers(self, what: str) -> list[int]:
        return [int(number) for number in self.said[what].split(",")]


@dataclass(frozen=True)
class Run:
    """A process over the driver, after its end."""

    status: int
    out: str
    err: str
    calls: list[Call]

    def named(self, *names: str) -> list[Call]:
        return [call for call in self.calls if call.name in names]

    @property
    def refused(self) -> list[Call]:
        return [call for call in self.calls if call.refused]


@dataclass(frozen=True)
class Machine:
    """Where the driver lies, with the kernels that were compiled over it."""

    driver: Path
    cache: Path

    def run(self, *words: str, cwd: Path, **settings: object) -> Run:
        log = cwd / "calls.txt"
        log.unlink(missing_ok=True)
        environment = no_card.environment(self.driver, log=log, **settings) | {"NUMBA_CACHE_DIR": str(self.cache)}
        done = subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        lines = log.read_text().splitlines() if log.exists() else []
        return Run(done.returncode, done.stdout, done.stderr, list(map(call_of, lines)))

    def good(self, program: str, cwd: Path, **settings: object) -> Run:
        """A program that ends as it should, to the very end, and is refused nothing."""
        run = self.run("-c", HEAD + program, cwd=cwd, **settings)
        assert (run.status, run.err, run.refused) == (0, "", [])
        return run

    def files(self) -> list[Path]:
        return sorted(self.cache.rglob("*.kernel"))


def call_of(line: str) -> Call:
    told, _, why = line.partition(" refused: ")
    name, *pairs = told.split()
    return Call(name, dict(pair.split("=", 1) for pair in pairs), why)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With kernels for one kind of crystal in its cache."""
    machine = Machine(tmp_path_factory.mktemp("driver"), tmp_path_factory.mktemp("cache"))
    no_card.build(machine.driver)
    machine.good("simulate(still, 'cuda', 'mixed')", tmp_path_factory.mktemp("first"))
    return machine


def test_cards_are_found(machine: Machine, tmp_path: Path) -> None:
    settings = {"count": 2, "capability": "8.6", "total": 24 << 30, "free": 23 << 30}
    run = machine.run("-m", "nbnumba", "devices", cwd=tmp_path, **settings)
    assert (run.status, run.err, run.refused) == (0, "", [])
    cards = [line for line in run.out.splitlines() if line.startswith("card")]
    assert [line.split()[1] for line in cards] == ["0", "1"]
    assert all("capability 8.6, 24.0 GiB of memory, 23.0 GiB free" in line for line in cards)
    assert run.out.splitlines()[-1].split() == ["usable", "yes"]


def test_all_pixels_of_an_image_are_launched_and_come_back(machine: Machine, tmp_path: Path) -> None:
    program = """
image = simulate(changed(still, detector={"fast_pixels": 300, "slow_pixels": 200}), "cuda", "mixed")
print(image.photons.shape, image.photons.dtype, sum(image.photons.ravel() != image.photons.ravel()))
"""
    run = machine.good(program, tmp_path)
    # What no kernel wrote is NaN, and nobody else made it up.
    assert run.out.split() == ["(200,", "300)", "float32", "60000"]
    renders = [call for call in run.named("cuLaunchKernel") if "render_pixels" in call.said["kernel"]]
    assert sum(call.numbers("grid")[0] * call.numbers("block")[0] for call in renders) >= 60000
    assert all(call.number("parameters") > 30 for call in renders)
    assert sum(call.number("bytes") for call in run.named("cuMemcpyDtoH", "cuMemcpyDtoHAsync")) == 4 * 60000


def test_the_kernel_that_is_launched_is_the_one_whose_code_is_inspected(machine: Machine, tmp_path: Path) -> None:
    program = """
from nbnumba.kernels.cuda import render as cuda
simulate(still, "cuda", "mixed")
print(cuda.render_pixels.signatures)
"""
    run = machine.good(program, tmp_path)
    assert run.out == f"{[sass.types_of(sass.VARIANTS['square, mixed'])]}\n"


@pytest.mark.parametrize("count", [1, 2])
def test_a_series_comes_in_order_and_gives_all_memory_back(machine: Machine, tmp_path: Path, count: int) -> None:
    program = """
series = (changed(still, detector={"fast_pixels": 60 + n}, scan={"phi_deg": 1.0 * n}) for n in range(7))
for image in simulate_many(series, "cuda", "mixed", "all"):
    print(image.experiment.scan.phi_deg, *image.photons.shape)
for card in gpu.card_numbers():
    with gpu.on(card):
        memory = provider.cuda.current_context().get_memory_info()
        assert memory.free == memory.total
"""
    run = machine.good(program, tmp_path, count=count)
    assert [line.split() for line in run.out.splitlines()] == [[f"{n}.0", "64", f"{60 + n}"] for n in range(7)]
    for take, give in (("cuMemAlloc", "cuMemFree"), ("cuMemHostAlloc", "cuMemFreeHost")):
        taken = [call.said["address"] for call in run.named(take)]
        assert sorted(taken) == sorted(call.said["address"] for call in run.named(give))
        assert len(taken) > count
    launches = run.named("cuLaunchKernel")
    assert {call.number("card") for call in launches} == set(range(count))
    # Two images are under way on each card, each in its own stream, and return into page-locked memory.
    streams = {call.said["handle"] for call in run.named("cuStreamCreate")}
    assert {call.said["stream"] for call in launches} == streams
    assert len(streams) == 2 * count
    back = run.named("cuMemcpyDtoHAsync")
    assert sum(call.number("bytes") for call in back) == sum(4 * 64 * (60 + n) for n in range(7))
    assert {call.said["locked"] for call in back} == {"1"}
    assert run.named("cuMemcpyDtoH") == []


def test_small_images_share_launches_and_what_is_there_is_not_sent(machine: Machine, tmp_path: Path) -> None:
    program = """
series = (changed(still, detector={"distance_mm": 100.0 + n}, scan={"phi_deg": 1.0 * n}) for n in range(64))
print(len(list(simulate_many(series, "cuda", "mixed"))))
"""
    run = machine.good(program, tmp_path)
    assert run.out == "64\n"
    assert [call.numbers("grid") for call in run.named("cuLaunchKernel")] == [[32, 1, 16]] * 4
    back = run.named("cuMemcpyDtoHAsync")
    assert [call.number("bytes") for call in back] == [16 * 4 * 64 * 64] * 4
    # Once both places have their memory, records and orientations alone are sent.
    before, after = [at for at, call in enumerate(run.calls) if call.name == "cuLaunchKernel"][-2:]
    between = [call.name for call in run.calls[before:after]]
    assert between.count("cuMemcpyHtoDAsync") == 2
    assert not {"cuMemAlloc", "cuMemHostAlloc", "cuMemcpyHtoD"} & {*between}


@pytest.mark.parametrize("count", [1, 2])
def test_photons_that_a_card_counts_stay_there(machine: Machine, tmp_path: Path, count: int) -> None:
    """What comes back of an image are two bytes a pixel, and two numbers a block."""
    program = """
from nbnumba.render.backends import How
from nbnumba.render.series import render_series
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
series = (changed(still, scan={"phi_deg": 1.0 * n}, noise={"frame": n}) for n in range(64))
prepared = (resolve(each, read_inputs(each), seed=1) for each in series)
for frame in render_series(prepared, How("cuda", "mixed"), "all", counted=True):
    print(frame.resolved.scan.start_deg, frame.photons, frame.counts.counts.dtype, *frame.counts.counts.shape)
del frame
for card in gpu.card_numbers():
    with gpu.on(card):
        memory = provider.cuda.current_context().get_memory_info()
        assert memory.free == memory.total
"""
    run = machine.good(program, tmp_path, count=count, fill=0)
    assert run.out.splitlines() == [f"{n}.0 None uint16 64 64" for n in range(64)]
    launches = run.named("cuLaunchKernel")
    assert [call.numbers("grid") for call in launches] == [[32, 1, 16]] * 8
    kernels = [next(name for name in ("render", "count") if name in call.said["kernel"]) for call in launches]
    assert kernels == ["render", "count"] * 4
    assert len({call.said["stream"] for call in launches}) == 2 * count
    assert run.named("cuMemcpyDtoH") == []
    back = run.named("cuMemcpyDtoHAsync")
    assert sorted(call.number("bytes") for call in back) == [16 * 32 * 16] * 4 + [16 * 64 * 64 * 2] * 4
    assert {call.said["locked"] for call in back} == {"1"}
    if count == 1:
        # Once both places have their memory, records, orientations and seeds alone are sent.
        before, after = [at for at, call in enumerate(run.calls) if call.name == "cuLaunchKernel"][-3::2]
        between = [call.name for call in run.calls[before:after]]
        assert between.count("cuMemcpyHtoDAsync") == 3
        assert not {"cuMemAlloc", "cuMemHostAlloc", "cuMemcpyHtoD"} & {*between}


def test_an_image_in_several_launches_is_counted_launch_by_launch(machine: Machine, tmp_path: Path) -> None:
    program = """
from nbnumba.render.cuda import images, launches
from nbnumba.render.cuda.counting import ToCount, reading_of
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve
launches.MOST_PIXELS = 1 << 16
large = changed(still, detector={"fast_pixels": 400, "slow_pixels": 300}, readout={"kind": "counting"})
resolved = resolve(large, read_inputs(large), seed=1)
for counts, outside in images.render_many([ToCount(resolved.plan, reading_of(resolved))], "mixed"):
    print(counts.counts.dtype, *counts.counts.shape)
"""
    run = machine.good(program, tmp_path, fill=0)
    assert run.out == "int32 300 400\n"
    launches = run.named("cuLaunchKernel")
    assert [call.numbers("grid")[0] for call in launches] == [512, 512, 426, 512]
    back = [call.number("bytes") for call in run.named("cuMemcpyDtoHAsync")]
    assert sorted(back) == [512 * 16, 4 * (120_000 - (1 << 16)), 4 << 16]


def test_single_images_find_the_memory_of_the_one_before(machine: Machine, tmp_path: Path) -> None:
    program = """
for n in range(4):
    simulate(changed(still, scan={"phi_deg": 1.0 * n}), "cuda", "mixed")
"""
    run = machine.good(program, tmp_path)
    names = [call.name for call in run.calls]
    assert names.count("cuMemcpyDtoHAsync") == 4
    assert "cuMemAlloc" not in names[names.index("cuMemcpyDtoHAsync") :]


def test_panels_share_the_table_of_factors_that_a_card_has(machine: Machine, tmp_path: Path) -> None:
    near = range(-40, 41)
    (tmp_path / "F.hkl").write_text("".join(f"{h} {k} {l} 100\n" for h in near for k in near for l in (-1, 1)))
    program = """
from nbnumba import Detector, Panel
panels = [Panel("", 64, 64, (200, y, 0), (0, 0, 0.1), (0, -0.1, 0)) for y in (0, 7, 14, 21)]
listed = changed(still, detector=Detector(panels=panels), structure_factors={"hkl_file": "F.hkl"})
print(*simulate(listed, "cuda", "mixed").photons.shape)
"""
    run = machine.good(program, tmp_path)
    assert run.out == "256 64\n"
    assert len(run.named("cuMemcpyDtoHAsync")) == 4
    table = 81 * 81 * 3 * 4
    assert sum(call.number("bytes") >= table for call in run.calls if call.name.startswith("cuMemcpyHtoD")) == 1


def test_a_large_image_of_a_series_is_not_copied_on_the_host(machine: Machine, tmp_path: Path) -> None:
    """It lies where the card put it, beside those of its launch, until nobody holds any of them any more."""
    program = """
large = changed(still, detector={"fast_pixels": 1200, "slow_pixels": 1000})
series = (changed(large, scan={"phi_deg": 1.0 * n}) for n in range(24))
for image in simulate_many(series, "cuda", "mixed"):
    print(image.photons.ctypes.data)
"""
    run = machine.good(program, tmp_path)
    windows = {int(call.said["address"], 0) for call in run.named("cuMemHostAlloc")}
    places = [int(word) for word in run.out.split()]
    assert {at - n % 3 * 4 * 1200 * 1000 for n, at in enumerate(places)} == windows
    assert len(windows) <= 4


def test_all_cards_render_an_image_together(machine: Machine, tmp_path: Path) -> None:
    program = """
image = simulate(changed(still, detector={"fast_pixels": 301, "slow_pixels": 200}), "cuda", "mixed", device="all")
print(sum(image.photons.ravel() != image.photons.ravel()))
"""
    run = machine.good(program, tmp_path, count=3)
    assert run.out == "60200\n"
    launches = run.named("cuLaunchKernel")
    threads = dict.fromkeys(range(3), 0)
    for call in launches:
        threads[call.number("card")] += call.numbers("grid")[0] * call.numbers("block")[0]
    assert min(threads.values()) >= 60200 // 3
    back = run.named("cuMemcpyDtoHAsync")
    assert sum(call.number("bytes") for call in back) == 4 * 60200


@pytest.mark.parametrize("count", [1, 2])
def test_threads_may_be_the_first_to_use_cards_at_once(machine: Machine, tmp_path: Path, count: int) -> None:
    program = f"""
import sys, threading
sys.setswitchinterval(1e-5)
start, done = threading.Barrier(3), []
def render(number):
    start.wait()
    done.append(simulate(still, "cuda", "mixed", device=number % {count}))
threads = [threading.Thread(target=render, args=[number]) for number in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(done))
"""
    run = machine.good(program, tmp_path, count=count)
    assert run.out == "3\n"
    # Each kernel is loaded once.
    loaded = [call.said["kernel"] for call in run.named("cuLibraryLoadData")]
    assert len(loaded) == len(set(loaded)) > 0


@pytest.mark.parametrize(
    ("settings", "begin", "end"),
    [
        pytest.param(
            {"largest": 1000}, "the GPU ran out of memory (", "close what else runs on it, or use -backend cpu",
            id="while it is taken",
        ),
        pytest.param(
            {"free": 100_000}, "the GPU has 9.31e-05 GiB free, this image needs ", "or -backend cpu",
            id="before it is taken",
        ),
    ],
)  # fmt: skip
def test_too_little_memory_is_one_line_with_the_remedy(
    machine: Machine, tmp_path: Path, settings: dict[str, int], begin: str, end: str
) -> None:
    run = machine.run("-m", "nbnumba", *STILL, *CUDA, "-detpixels", "256", cwd=tmp_path, **settings)
    (line,) = run.err.splitlines()
    assert (run.status, line.startswith(f"nbnumba: {begin}"), line.endswith(end)) == (4, True, True), line
    assert run.named("cuLaunchKernel") == []


def test_a_second_process_finds_the_kernels(machine: Machine, tmp_path: Path) -> None:
    kept = machine.files()
    run = machine.run("-m", "nbnumba", *STILL, *CUDA, "-nonoise", "-nopgm", "-noprogress", cwd=tmp_path, fill=0)
    assert (run.status, run.refused) == (0, []), run.err
    assert "compiling" not in run.err
    assert machine.files() == kept != []
    assert run.named("cuLaunchKernel") != []


def test_what_compiles_is_not_loaded_for_kernels_that_are_kept(machine: Machine, tmp_path: Path) -> None:
    program = """
import sys

def says_whether_it_is_loaded():
    print("numba.cuda.libdeviceimpl" in sys.modules)

simulate(still, "cuda", "mixed")
says_whether_it_is_loaded()

@provider.cuda.jit
def other(numbers):
    numbers[0] = 1.0

other[1, 1](provider.cuda.device_array(1))
says_whether_it_is_loaded()
"""
    assert machine.good(program, tmp_path).out.split() == ["False", "True"]


REFUSALS = """
from cuda.bindings import driver
import numpy as np

cuda, host = provider.cuda, np.zeros(200, np.uint8)
gpu.why_unusable()

def told(answer):
    print(answer[0].name)
    return answer[1] if len(answer) > 1 else None

@cuda.jit
def kernel(numbers):
    numbers[0] = 1

def launched(numbers, *shape):
    try:
        kernel[shape](numbers)
        print("CUDA_SUCCESS")
    except Exception as error:
        print(str(error).split(":")[0])

told(driver.cuMemAlloc(100))
with gpu.on(1):
    far, away = cuda.device_array(8), cuda.stream()
with gpu.on(0):
    memory, stream, numbers = told(driver.cuMemAlloc(100)), told(driver.cuStreamCreate(0)), cuda.device_array(8)
    told(driver.cuMemcpyHtoD(memory, host.ctypes.data, 100))
    told(driver.cuMemcpyHtoD(memory, host.ctypes.data, 101))
    told(driver.cuMemcpyDtoH(host.ctypes.data, int(memory) + 50, 51))
    told(driver.cuMemcpyDtoHAsync(host.ctypes.data, memory, 100, driver.CUstream(12345)))
    told(driver.cuMemFree(int(memory) + 1))
    told(driver.cuMemFree(memory))
    told(driver.cuMemFree(memory))
    told(driver.cuStreamDestroy(stream))
    told(driver.cuStreamSynchronize(stream))
    launched(numbers, (1, 65535), 32)
    launched(numbers, (1, 65536), 32)
    launched(numbers, 1, (32, 64))
    launched(numbers, 1, 32, away)
    launched(far, 1, 32)
    driver.cuMemFree(numbers.device_ctypes_pointer.value)
    launched(numbers, 1, 32)
"""
REFUSED = """
INVALID_CONTEXT  no context is current in this thread
INVALID_VALUE    it goes beyond the card's allocation
INVALID_VALUE    it goes beyond the card's allocation
INVALID_VALUE    there is no such stream
INVALID_VALUE    no memory of a card begins there
INVALID_VALUE    no memory of a card begins there
INVALID_HANDLE   there is no such stream
INVALID_VALUE    the grid is too large
INVALID_VALUE    the block is too large
INVALID_HANDLE   the stream is not one of the current card
ILLEGAL_ADDRESS  a parameter points to another card's memory
ILLEGAL_ADDRESS  a parameter points to memory that was freed
"""


def test_the_driver_refuses_what_a_driver_or_a_card_does(machine: Machine, tmp_path: Path) -> None:
    run = machine.run("-c", HEAD + REFUSALS, cwd=tmp_path, count=2)
    wanted = [line.split(maxsplit=1) for line in REFUSED.strip().splitlines()]
    assert [call.refused for call in run.refused[: len(wanted)]] == [why for _, why in wanted]
    told = run.out.split()
    assert [name for name in told if name != "CUDA_SUCCESS"] == [f"CUDA_ERROR_{code}" for code, _ in wanted]
    assert told.count("CUDA_SUCCESS") == 6
    assert (run.status, run.err) == (0, "")
