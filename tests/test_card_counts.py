"""Photons counted on a card: the CPU's counts to the last one, in Numba's simulator and in what a card is given.

The simulator must be chosen before Numba is imported, so this file, run as a program, is its own worker.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba import Detector, Experiment, FurtherLattice, Panel, changed
from nbnumba.errors import DeviceError, NbnumbaWarning
from nbnumba.image import Image
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards, counting, launches
from nbnumba.render.cuda.counting import Reading, counted, reading_of
from nbnumba.render.series import Frame, render_series
from nbnumba.response.chain import NoiseImage
from nbnumba.response.deviates import Window, poisson
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

ROOT = Path(__file__).parent.parent
MEANS = np.random.default_rng(1).permutation(np.geomspace(1e-2, 1e6, 19 * 31)).reshape(19, 31).astype(np.float32)
MEANS[3, 4:9] = np.nan, np.inf, -1.0, 0.0, 3e38
MOST_REGISTERS = 72
"""Of a thread, so that seven blocks share a multiprocessor."""
MOST_INSTRUCTIONS = 1250
"""Of a pixel, all ways to its counts together."""
WINDOW, SEED, FRAME = Window(2**31 + 3, 57), 2**45 + 1, 6
READING = Reading(*divmod(2**31 + 3, 57)[::-1], 31, 57, SEED, FRAME)
STILL = "-cell 70 80 90 75 85 95 -default_F 100 -lambda 1 -distance 200 -N 10 -detpixels 16 -pixel 1 -oversample 1"


def resolved_from(options: str, **changes: Any) -> Resolved:
    experiment = changed(Experiment.from_args([*STILL.split(), "-seed", str(SEED), *options.split()]), **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        return resolve(experiment, read_inputs(experiment))


def assert_same(found: NoiseImage, wanted: NoiseImage) -> None:
    np.testing.assert_array_equal(found.counts, wanted.counts)
    assert found.counts.dtype == wanted.counts.dtype
    told = [(each.photons, each.overloads, each.saturation, each.bad) for each in (found, wanted)]
    assert told[0] == told[1]


# What a simulator does, in its own process ------------------------------------------------------------------------


def means() -> None:
    """The kernel alone: places far from the first, what is no number, threads that go through several pixels."""
    drawn = poisson(MEANS, WINDOW, SEED, FRAME)
    photons = round(float(drawn[np.isfinite(drawn)].sum()))
    found = counted(MEANS, READING)
    np.testing.assert_array_equal(found.counts, np.where(drawn < 2**31, drawn, 2.0**31 - 1.0).astype(np.int32))
    assert (found.photons, found.overloads, found.counts.dtype) == (photons, 3, np.int32)
    counting.cuda_tables.MOST_BLOCKS = 2
    values = drawn - 3.5
    found = counted(MEANS, READING._replace(adc_offset=-3.5, largest=9999.0, integers=np.uint16))
    cut = np.where(values <= 9999.0, np.maximum(values, 0.0), 9999.0).astype(np.uint16)
    np.testing.assert_array_equal(found.counts, cut)
    overloads = np.count_nonzero(~(values <= 9999.0))
    assert (found.photons, found.overloads, found.counts.dtype) == (photons, overloads, np.uint16)


def series() -> None:
    """Images that share launches, one in pieces, two cards; and what is left to the CPU between them."""
    mask = np.random.default_rng(2).random((16, 16)) < 0.8
    wholes = [resolved_from(f"-phi {n} -adc 5.5", noise={"frame": n}, detector={"mask": mask}) for n in range(2)]
    words = [
        "-roi 3 14 2 9 -beamstop 3 -Xbeam 8 -Ybeam 8", "-roi 0 11 8 15 -phi 9",
        "-roi 3 14 2 9 -readout counting -bits 7 -adc 2", "-roi 3 14 2 9 -readout counting -deadtime 100",
    ]  # fmt: skip
    regions = [resolved_from(each, noise={"frame": n}) for n, each in enumerate(words)]
    hidden = resolved_from(words[0], detector={"mask": mask})
    two = resolved_from("-roi 3 14 2 9", crystal={"lattices": [FurtherLattice(misset_deg=(1, 2, 3))]})
    shared = [*wholes, hidden, *regions, two, regions[0]]
    assert on_the_card(shared, [0]) == [True] * 6 + [False, False, True]
    cuda = cards.cuda_provider().cuda
    cuda.gpus = [cuda.gpus[0]] * 2
    launches.MOST_TOGETHER = 1
    launches.FEWEST_PIXELS, launches.LAUNCH_S = 100, 1e-12
    assert on_the_card([wholes[1], hidden], [0, 1]) == [True] * 2


def on_the_card(prepared: list[Resolved], devices: list[int]) -> list[bool]:
    """Which images a card has counted, those being as the CPU counts them."""
    photons = render_series(prepared, How("cuda"), devices)
    counts = render_series(prepared, How("cuda"), devices, counted=True)
    told = []
    for plain, found in zip(photons, counts, strict=True):
        assert isinstance(plain, Frame)
        assert isinstance(found, Frame)
        assert plain.photons is not None
        assert plain.photons.any()
        told.append(found.counts is not None)
        if found.counts is not None:
            assert found.photons is None
            assert_same(found.counts, Image(plain.resolved, plain.photons).noise())
        else:
            assert found.photons is not None
            assert found.photons.tobytes() == plain.photons.tobytes()
    return told


@pytest.mark.parametrize("work", ["means", "series"])
def test_simulator_counts_the_same_photons(work: str) -> None:
    settings = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    words = [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.test_card_counts", work]
    done = subprocess.run(words, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_card_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbnumba.render.cuda.cards.why_unusable", lambda device=0: "no CUDA driver: install it")
    monkeypatch.setattr("nbnumba.render.cuda.cards._usable", {})
    with pytest.raises(DeviceError, match="no CUDA driver: install it"):
        counted(MEANS, READING)


# What a card can count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "largest"),
    [
        ("", np.uint16, 65535.0),
        ("-readout counting", np.int32, 2.0**20 - 1.0),
        ("-readout counting -bits 12", np.int32, 4095.0),
        ("-readout counting -count_cutoff 100 -exposure 0.5", np.int32, 50.0),
        ("-detector eiger2-4m -detpixels 16", np.int32, None),
    ],
)
def test_a_detector_that_does_no_more_than_count_is_read_out_on_the_card(
    options: str, kind: type, largest: float | None
) -> None:
    reading = reading_of(resolved_from(f"{options} -adc 7"))
    assert reading is not None
    assert (reading.adc_offset, reading.integers) == (7.0, kind)
    assert largest in (reading.largest, None)


PANELS = [Panel("", 16, 8, (200, y, 0), (0, 0, 1), (0, -1, 0)) for y in (0, 8)]
MORE = {
    "flicker": "-readout counting -flicker 0.1",
    "pixel flicker": "-readout counting -pixel_flicker 0.1",
    "calibration": "-readout counting -calib 0.1",
    "dead time": "-readout counting -deadtime 100",
    "point spread": "-readout counting -psf gauss -psf_fwhm 100",
    "bad pixels": "-readout counting -badpix 0.1",
    "gain": "-readout integrating -readnoise 0",
    "stages": "-readout switching",
    "the order": "-mode c",
}


@pytest.mark.parametrize("more", MORE)
def test_one_that_does_more_is_not(more: str) -> None:
    assert reading_of(resolved_from(MORE[more])) is None


def test_nor_what_is_no_single_image_of_a_panel() -> None:
    assert reading_of(resolved_from("", detector=Detector(panels=PANELS))) is None
    assert reading_of(resolved_from("", crystal={"lattices": [FurtherLattice()]})) is None
    assert reading_of(replace(resolved_from(""), added=np.ones((16, 16), np.float32))) is None


# What a card is given ----------------------------------------------------------------------------------------------


def is_power_of_two(word: str) -> bool:
    """Whether a constant of PTX is one: such a product is exact, and may as well be fused."""
    (value,) = struct.unpack(">d", bytes.fromhex(word))
    return value != 0.0 and float(np.frexp(abs(value))[0]) == 0.5


def argument_types(provider: Any, kind: type = np.uint16) -> tuple[Any, ...]:
    """Of the kernel, as ``nbnumba/render/cuda/counting.py`` launches it."""
    records, measured = np.zeros(1, counting.cuda_tables.READING), np.zeros((1, 1), np.uint8)
    args = np.zeros(1, np.float32), records, 1, 1, 0, measured, np.zeros(1, kind), np.zeros(1)
    return tuple(map(provider.typeof, args))


@pytest.fixture
def sass() -> Any:
    """What compiles and reads kernels for a card that is not here."""
    sass = pytest.importorskip("sass", reason="no CUDA package")
    if sass.provider.is_simulator or sass.provider.compiler_error() is not None or not sass.is_linked_here():
        pytest.skip("no compiler and linker for cards")
    return sass


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_a_thread_keeps_what_it_needs_in_registers(sass: Any, kind: type) -> None:
    from nbnumba.kernels.cuda import counting as kernels

    if sass.disassembler() is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")
    code = sass.read(sass.linked(kernels.count_photons, argument_types(sass.provider, kind)))
    assert code.registers <= MOST_REGISTERS
    assert len(code.loops[-1]) <= MOST_INSTRUCTIONS
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
    {"means": means, "series": series}[sys.argv[1]]()
