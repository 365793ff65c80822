"""What the GPU kernels compile to, without a GPU: every variant for sm_90, its registers and its innermost loop."""

import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numba
import numpy as np
import pytest

from nbnumba.kernels import cache
from nbnumba.kernels.plan import (
    GAUSS,
    ROUND,
    SQUARE,
    TOPHAT,
    BackgroundPlan,
    CrystalPlan,
    DetectorPlan,
    FactorsPlan,
    Plan,
    SourcesPlan,
)
from nbnumba.kernels.polynomials import cos_pi, sin_pi

try:
    from nbnumba.kernels import cuda as kernels
    from nbnumba.kernels import cuda_provider as provider
except ImportError as error:
    pytest.skip(f"no CUDA package: {error}", allow_module_level=True)
if provider.is_simulator:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)
if provider.compiler_error() is not None:
    pytest.skip(f"no CUDA compiler: {provider.compiler_error()}", allow_module_level=True)

from nbnumba.kernels.cuda import BITS, DOUBLE, PAIRS, SINGLE

VARIANTS = {
    "square, double": (SQUARE, 0, DOUBLE),
    "square, mixed": (SQUARE, 0, BITS),
    "square, mixed, slow float64": (SQUARE, 0, PAIRS),
    "square, mixed, many cells": (SQUARE, 0, SINGLE),
    "round": (ROUND, 0, DOUBLE),
    "gauss": (GAUSS, 0, DOUBLE),
    "gauss, mixed": (GAUSS, 0, SINGLE),
    "tophat": (TOPHAT, 0, DOUBLE),
    "square, interpolated": (SQUARE, 1, DOUBLE),
    "gauss, interpolated, mixed": (GAUSS, 1, SINGLE),
}
INSTRUCTIONS = {
    "square, mixed": 105,
    "square, mixed, slow float64": 180,
    "square, double": 190,
    "square, mixed, many cells": 120,
}
"""At most as many in a step."""
REGISTERS_OF_A_MULTIPROCESSOR = 65536
BLOCKS_AT_ONCE = 2
"""Blocks that a multiprocessor of sm_90 should hold at least; 3 without interpolation."""


def empty_plan() -> Plan:
    vector, numbers, whole = (0.0, 0.0, 0.0), np.zeros(1), (0, 0, 0)
    return Plan(
        DetectorPlan(
            1, 1, 0.0, vector, vector, vector, vector, vector, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0, 1, 0.0, 0.0,
            (0, 0, 0, 0), np.zeros((1, 1), np.uint8),
        ),
        SourcesPlan(np.zeros((1, 3)), numbers, numbers),
        CrystalPlan(
            vector, vector, vector, vector, vector, vector, whole, 1, 0.0, vector, numbers, 0, np.zeros((1, 3, 3))
        ),
        FactorsPlan(np.zeros((1, 1, 1)), whole, 0.0, 0),
        BackgroundPlan(0.0, 0.0, numbers, numbers, 0),
        0.0, 1, 0, 0, 0, 0.0, vector, 0, 0.0, 0, 0, 0,
    )  # fmt: skip


def compiled(monkeypatch: pytest.MonkeyPatch, kernel: object, *args: object) -> str:
    """The PTX of a kernel for arguments of these types."""
    from numba.cuda import compiler, dispatcher

    class H200:
        compute_capability = (9, 0)

    for module in (compiler, dispatcher):
        monkeypatch.setattr(module, "get_current_device", lambda: H200, raising=False)
    signature = provider.types.void(*map(provider.typeof, args))
    ptx, _ = provider.cuda.compile(kernel.py_func, signature, device=False, abi="numba", cc=(9, 0), output="ptx")
    return ptx.decode() if isinstance(ptx, bytes) else ptx


def pixels_ptx(monkeypatch: pytest.MonkeyPatch, variant: str) -> str:
    shape, interpolate, arithmetic = VARIANTS[variant]
    factors = np.zeros(1, np.float64 if arithmetic == DOUBLE else np.float32)
    return compiled(
        monkeypatch, kernels.render_pixels,
        empty_plan(), kernels.Tables(np.zeros(9), factors, (1, 1, 1), (0, 0, 0)), 0, 1, 0, 128,
        np.zeros(1), np.zeros(1, np.int64),
        kernels.choice(shape), kernels.choice(interpolate), kernels.choice(arithmetic),
    )  # fmt: skip


def tool(name: str) -> str:
    """A program of the CUDA toolkit: that of the Python packages, which is of the compiler's release, else another."""
    packaged = sorted(Path(folder, "nvidia", "cu13", "bin", name) for folder in sys.path if "site-packages" in folder)
    found = next((str(path) for path in packaged if path.exists()), None) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: pip install nvidia-cuda-{'nvcc' if name == 'ptxas' else name}")
    return found


def assembled(ptx: str, folder: Path) -> tuple[Path, str]:
    """Machine code for sm_90, and what the assembler says of registers and spills."""
    source, code = folder / "kernel.ptx", folder / "kernel.cubin"
    source.write_text(ptx)
    done = subprocess.run(
        [tool("ptxas"), "-arch=sm_90", "-v", source, "-o", code], capture_output=True, text=True, check=False
    )
    if "Unsupported .version" in done.stderr:
        pytest.skip(f"ptxas is older than the compiler: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return code, done.stderr


def innermost_loops(code: Path) -> list[list[str]]:
    """Operations of every loop that holds no other, in SASS."""
    text = subprocess.run([tool("nvdisasm"), "-c", code], capture_output=True, text=True, check=True).stdout
    labels: dict[str, int] = {}
    operations: list[str] = []
    loops: list[tuple[int, int]] = []
    for line in text.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            labels[label[1]] = len(operations)
        elif operation := re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([^;]*);", line):
            target = re.search(r"\bBRA\b.*`\((\.L_\w+)\)", operation[1])
            if target and target[1] in labels:
                loops.append((labels[target[1]], len(operations)))
            operations.append(operation[1].split()[0].split(".")[0])
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [operations[first : last + 1] for first, last in inner]


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_compiles_without_spills(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variant: str) -> None:
    _, said = assembled(pixels_ptx(monkeypatch, variant), tmp_path)
    assert set(re.findall(r"(\d+) bytes spill", said)) == {"0"}
    registers = max(map(int, re.findall(r"Used (\d+) registers", said)))
    blocks = BLOCKS_AT_ONCE if "interpolated" in variant else BLOCKS_AT_ONCE + 1
    assert registers * kernels.THREADS * blocks <= REGISTERS_OF_A_MULTIPROCESSOR


def test_compiles_where_the_cpu_has_compiled_the_same_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numba.njit(lambda x: sin_pi(x) + cos_pi(x))(0.25) == pytest.approx(2.0**0.5)
    assert ".visible .entry" in pixels_ptx(monkeypatch, "round")


@pytest.mark.parametrize("variant", INSTRUCTIONS)
def test_step_takes_few_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variant: str) -> None:
    code, _ = assembled(pixels_ptx(monkeypatch, variant), tmp_path)
    steps = [loop for loop in innermost_loops(code) if "FFMA" in loop and "LDS" in loop]
    assert len(steps) == 1
    counts = Counter(steps[0])
    assert counts["LDS"] == 9, "not one step: the loop is unrolled"
    on_float64 = counts["DFMA"] + counts["DMUL"] + counts["DADD"]
    assert on_float64 <= {"square, mixed": 12, "square, mixed, slow float64": 0}.get(variant, 105)
    assert len(steps[0]) <= INSTRUCTIONS[variant]
    # What launches and the benchmark are reckoned by, give or take a release of the compiler.
    assert (len(steps[0]), on_float64) == pytest.approx(kernels.INSTRUCTIONS[VARIANTS[variant][2]], rel=0.05)


def test_adding_of_parts_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numbers, counts = np.zeros(1), np.zeros(1, np.int64)
    ptx = compiled(
        monkeypatch, kernels.add_parts,
        numbers, counts, 1, 1, 0, numbers, counts, np.zeros(1, np.float32), kernels.choice(1),
    )  # fmt: skip
    assert "0 bytes spill stores" in assembled(ptx, tmp_path)[1]


def test_single_precision_literals_stay_single(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, _ = assembled(pixels_ptx(monkeypatch, "square, mixed"), tmp_path)
    step = next(loop for loop in innermost_loops(code) if "DFMA" in loop and "LDS" in loop)
    assert "F2F" not in step


def test_pairs_are_chosen_where_float64_would_be_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At this ratio of speeds, all instructions of ``PAIRS`` take as long as those of ``BITS`` on float64."""

    def step(variant: str) -> Counter[str]:
        code, _ = assembled(pixels_ptx(monkeypatch, variant), tmp_path)
        return Counter(next(loop for loop in innermost_loops(code) if "FFMA" in loop and "LDS" in loop))

    of_bits, of_pairs = step("square, mixed"), step("square, mixed, slow float64")
    on_float64 = of_bits["DFMA"] + of_bits["DMUL"] + of_bits["DADD"]
    assert math.ceil(of_pairs.total() / on_float64) == kernels.SLOW_DOUBLE


def half(x):
    x[0] = 0.5 * x[0]


def test_kernel_comes_back_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from numba.cuda import compiler, dispatcher
    from numba.cuda.cudadrv import devices

    class H200:
        compute_capability = (9, 0)

    class Context:
        device = H200

    for module in (compiler, dispatcher):
        monkeypatch.setattr(module, "get_current_device", lambda: H200, raising=False)
    monkeypatch.setattr(devices, "get_context", lambda devnum=None: Context)
    monkeypatch.setattr(provider, "CACHE_FOLDER", str(tmp_path))
    monkeypatch.setattr(cache, "_first_trouble", None)
    made, later = provider.kernel(half), provider.kernel(half)
    signature = provider.types.void(provider.typeof(np.zeros(1)))
    kernel = dispatcher._Kernel(half, signature.args, **made.targetoptions)
    assert made._cache.load_overload(signature, made.targetctx) is None
    made._cache.save_overload(signature, kernel)
    again = later._cache.load_overload(signature, later.targetctx)
    assert again.entry_name == kernel.entry_name
    assert again._codelibrary.get_asm_str(cc=(9, 0)) == kernel._codelibrary.get_asm_str(cc=(9, 0))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert later._cache.load_overload(signature, later.targetctx) is None
