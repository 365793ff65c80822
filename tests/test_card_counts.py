"""Photons counted on a card: the CPU's counts to the last one, in Numba's simulator and in what a card is given.

The simulator must be chosen before Numba is imported, so this file, run as a program, is its own worker.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.errors import DeviceError
from nbnumba.render.cuda import counting
from nbnumba.response.deviates import Window, poisson

ROOT = Path(__file__).parent.parent
MEANS = np.random.default_rng(1).permutation(np.geomspace(1e-2, 1e6, 19 * 31)).reshape(19, 31).astype(np.float32)
MEANS[3, 4:9] = np.nan, np.inf, -1.0, 0.0, 3e38
MOST_REGISTERS = 80
"""Of a thread, so that six blocks share a multiprocessor."""
WINDOW, SEED, FRAME = Window(2**31 + 3, 57), 2**45 + 1, 6


def work(out: str) -> None:
    np.save(out, counting.poisson(MEANS, WINDOW, SEED, FRAME))


def test_simulator_counts_the_same_photons(tmp_path: Path) -> None:
    out = tmp_path / "counts.npy"
    settings = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.test_card_counts", str(out)],
                   cwd=ROOT, env=settings, check=True)  # fmt: skip
    np.testing.assert_array_equal(np.load(out), poisson(MEANS, WINDOW, SEED, FRAME))


def test_without_a_card_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbnumba.render.cuda.cards.why_unusable", lambda device=0: "no CUDA driver: install it")
    monkeypatch.setattr("nbnumba.render.cuda.cards._usable", {})
    with pytest.raises(DeviceError, match="no CUDA driver: install it"):
        counting.poisson(MEANS, WINDOW, SEED)


def is_power_of_two(word: str) -> bool:
    """Whether a constant of PTX is one: such a product is exact, and may as well be fused."""
    (value,) = struct.unpack(">d", bytes.fromhex(word))
    return value != 0.0 and float(np.frexp(abs(value))[0]) == 0.5


def argument_types(provider: Any) -> tuple[Any, ...]:
    """Of the kernel, as ``nbnumba/render/cuda/counting.py`` launches it."""
    word, single, double = np.uint64(1), np.zeros(1, np.float32), np.zeros(1)
    return tuple(map(provider.typeof, (single, 1, 1, word, word, word, word, double)))


@pytest.fixture
def sass() -> Any:
    """What compiles and reads kernels for a card that is not here."""
    sass = pytest.importorskip("sass", reason="no CUDA package")
    if sass.provider.is_simulator or sass.provider.compiler_error() is not None or not sass.is_linked_here():
        pytest.skip("no compiler and linker for cards")
    return sass


def test_a_thread_keeps_what_it_needs_in_registers(sass: Any) -> None:
    from nbnumba.kernels.cuda import counting as kernels

    if sass.disassembler() is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")
    code = sass.read(sass.linked(kernels.count_photons, argument_types(sass.provider)))
    assert code.registers <= MOST_REGISTERS
    assert not {"LDL", "STL"} & {instruction.name for instruction in code.instructions}


def test_no_product_that_is_rounded_is_fused_with_a_sum(sass: Any) -> None:
    """In the text that is linked last, where compilers fuse what they can: a card would now and then count others."""
    from nbnumba.kernels.cuda import counting as kernels

    text = sass.linked_text(kernels.count_photons, argument_types(sass.provider))
    fusible = re.findall(r"\b(?:fma\.rn|mul)\.f64\s+([^;]*);", text)
    constants = [re.findall(r"0d([0-9A-F]{16})", operands)[:1] for operands in fusible]
    assert all(found and is_power_of_two(*found) for found in constants), fusible
    assert len(re.findall(r"\bmul\.rn\.f64", text)) > 50


if __name__ == "__main__":
    work(sys.argv[1])
