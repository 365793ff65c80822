"""What the GPU kernels compile to, without a GPU: machine code of every variant, as numba-cuda loads it onto a card."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numba
import numpy as np
import pytest

from nbnumba.kernels.choices import BITS, FLAT, PAIRS, Shape
from nbnumba.kernels.compile import cache
from nbnumba.kernels.compile.polynomials import cos_pi, sin_pi

try:
    from nbnumba.kernels.cuda import provider
    from nbnumba.kernels.cuda import render as kernels
except ImportError as error:
    pytest.skip(f"no CUDA package: {error}", allow_module_level=True)
if provider.is_simulator:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)
if provider.compiler_error() is not None:
    pytest.skip(f"no CUDA compiler: {provider.compiler_error()}", allow_module_level=True)

import sass
from sass import HOPPER, VARIANTS, Code, Variant

from nbnumba.kernels.cuda.tables import INSTRUCTIONS, SLOW_DOUBLE, choice

if not sass.is_linked_here():
    pytest.skip(
        "without nvJitLink the driver links kernels, on a card: pip install 'numba-cuda[cu13]'",
        allow_module_level=True,
    )

FLAT_ONES = [name for name, variant in VARIANTS.items() if variant.surface == FLAT]
STEPS = {
    "square, mixed": (100, 12),
    "square, mixed, slow float64": (160, 0),
    "square, mixed, many cells": (114, 31),
    "square, double": (144, 95),
    "gauss, mixed": (76, 34),
    "gauss, double": (124, 52),
    "round": (178, 82),
    "tophat": (66, 34),
}
"""At most so many instructions in a step, and on float64."""
SOURCE, INTERPOLATED_SOURCE, SUBPIXEL = 360, 390, 340
"""At most so many instructions around the orientations, and around the sources, of a flat detector."""
FEWEST_BLOCKS = 4
"""At once on a multiprocessor; one less where a curved detector, too, is in the way."""


def code_of(name: str, capability: tuple[int, int] = HOPPER) -> Code:
    need_disassembler()
    return sass.code_of(VARIANTS[name], capability)


def need_disassembler() -> None:
    if sass.disassembler() is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")


def test_every_kernel_that_can_be_chosen_is_looked_at() -> None:
    """For a flat detector; the steps for a curved one are the same."""
    possible = product(Shape, ("double", "mixed"), (0, 1), (5, 500), (2, 64))
    chosen = {sass.choices_of(Variant(*what)) for what in possible}
    assert chosen == {sass.choices_of(VARIANTS[name]) for name in FLAT_ONES}


def test_loops_are_found_wherever_their_parts_lie() -> None:
    """The inner one goes by way of an instruction behind all others; what has two heads is none."""
    followers = [[1], [2], [3, 5], [1, 4], [], [2]]
    assert sass.loops_of(followers) == [{2, 5}, {1, 2, 3, 5}]
    assert sass.loops_of([[1, 2], [2, 3], [1], []]) == []


def test_a_shape_without_a_branch_does_not_compile() -> None:
    *before, surface, _, interpolate, arithmetic = sass.types_of(VARIANTS["square, double"])
    unknown = provider.typeof(choice(max(Shape) + 1))
    with pytest.raises(NotImplementedError, match=r"^the kernel has no branch for a crystal of shape 5 "):
        sass.linked(kernels.render_pixels, (*before, surface, unknown, interpolate, arithmetic))


# Steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_step_takes_few_instructions(name: str) -> None:
    step = code_of(name).step
    instructions, on_float64 = STEPS[name]
    assert len(step) <= instructions * step.orientations
    assert step.on_float64 <= on_float64 * step.orientations


@pytest.mark.parametrize("name", VARIANTS)
def test_rows_are_read_two_numbers_at_a_time(name: str) -> None:
    step = code_of(name).step
    wide = [instruction for instruction in step.instructions if instruction.operation == "LDS.128"]
    assert step.orientations in (1.0, 2.0)
    assert (step.count("LDS"), len(wide)) == (5 * step.orientations, 4 * step.orientations)


@pytest.mark.parametrize("name", ["square, mixed", "square, mixed, slow float64", "gauss, mixed", "gauss, double"])
def test_step_does_not_divide(name: str) -> None:
    step = code_of(name).step
    assert step.count("CALL") == 0
    assert [i.text for i in step.instructions if i.operation.startswith(("MUFU.RCP64H", "MUFU.RSQ64H"))] == []


@pytest.mark.parametrize("name", ["square, mixed", "square, mixed, slow float64"])
def test_single_precision_literals_stay_single(name: str) -> None:
    assert code_of(name).step.count("F2F") == 0


@pytest.mark.parametrize("name", [name for name in STEPS if name.startswith("square")])
def test_what_launches_and_benchmarks_reckon_with_is_so(name: str) -> None:
    """Give or take a release of the compiler."""
    step = code_of(name).step
    counted = len(step) / step.orientations, step.on_float64 / step.orientations
    assert counted == pytest.approx(INSTRUCTIONS[sass.arithmetic_of(VARIANTS[name])], rel=0.05)


def test_pairs_are_chosen_where_float64_would_be_waited_for() -> None:
    """At this ratio of speeds, all instructions of ``PAIRS`` take as long as those of ``BITS`` on float64."""
    bits, pairs = "square, mixed", "square, mixed, slow float64"
    assert [sass.arithmetic_of(VARIANTS[name]) for name in (bits, pairs)] == [BITS, PAIRS]
    of_bits, of_pairs = code_of(bits).step, code_of(pairs).step
    ratio = (len(of_pairs) / of_pairs.orientations) / (of_bits.on_float64 / of_bits.orientations)
    assert math.ceil(ratio) == SLOW_DOUBLE


LEAVING_OUT = {
    "square, mixed": (112, 320), "square, double": (148, 320), "gauss, mixed": (78, 235), "tophat": (70, 245),
    "round": (182, 320),
}  # fmt: skip
"""Where orientations may be left out: at most so many instructions in a step, and around the steps of 32 rows."""


@pytest.mark.parametrize("name", LEAVING_OUT)
def test_what_is_left_out_costs_little(name: str) -> None:
    need_disassembler()
    code = sass.code_of(VARIANTS[name]._replace(leaves_out=True))
    # One more around the steps than there is in the exact kernel.
    step, tested, *around = (loop for loop in code.loops if code.step.places <= loop.places)
    most, most_around = LEAVING_OUT[name]
    assert len(step) <= most
    assert len(tested) - len(step) <= most_around
    # One of 32 rows is a lane's to test; all lanes evaluate what is kept.
    assert (step.orientations, tested.orientations) == (1.0, 2.0)
    assert max(loop.in_local_memory for loop in around) == 0
    assert code.blocks >= FEWEST_BLOCKS - 1


# What is around them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_of_a_loop_is_kept_in_memory_for_want_of_registers(name: str) -> None:
    assert code_of(name).nest.sources.in_local_memory == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_registers_allow_several_blocks_at_once(name: str) -> None:
    fewest = FEWEST_BLOCKS if name in FLAT_ONES else FEWEST_BLOCKS - 1
    assert code_of(name).blocks >= fewest


@pytest.mark.parametrize("name", FLAT_ONES)
def test_geometry_takes_few_instructions(name: str) -> None:
    nest = code_of(name).nest
    around = len(nest.sources) - len(nest.orientations), len(nest.fast_subpixels) - len(nest.sources)
    assert around[0] <= (INTERPOLATED_SOURCE if VARIANTS[name].interpolate else SOURCE)
    assert around[1] <= SUBPIXEL


def test_a_launch_takes_few_parameters() -> None:
    """The host makes each anew for every launch; 4096 bytes are the most."""
    code = code_of("square, mixed")
    assert code.parameters <= 80
    assert code.parameter_bytes <= 640


def test_adding_of_parts_needs_no_memory_but_its_arrays() -> None:
    need_disassembler()
    numbers, counts, picture = np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.float32)
    for interpolate in (0, 1):
        args = numbers, counts, 1, 1, 0, numbers, counts, picture, choice(interpolate)
        code = sass.read(sass.linked(kernels.add_parts, map(provider.typeof, args)))
        assert [i.text for i in code.instructions if i.name in ("LDL", "STL")] == []
        assert len(code.loops) > 0


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (10, 0), (12, 0)])
def test_other_cards_are_served(capability: tuple[int, int]) -> None:
    from numba.cuda.cudadrv import nvrtc

    if capability not in nvrtc.get_supported_ccs():
        pytest.skip("the compiler does not serve them")
    step = code_of("square, mixed", capability).step
    assert step.in_local_memory == 0
    assert step.count("LDS") == 5 * step.orientations


# How they are made ------------------------------------------------------------------------------------------------


def test_compiles_where_the_cpu_has_compiled_the_same_equations() -> None:
    assert numba.njit(lambda x: sin_pi(x) + cos_pi(x))(0.25) == pytest.approx(2.0**0.5)
    assert sass.linked(kernels.render_pixels, sass.types_of(VARIANTS["round"])).startswith(b"\x7fELF")


def half(x):
    x[0] = 0.5 * x[0]


def test_kernel_comes_back_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from numba.cuda import dispatcher

    monkeypatch.setattr(provider, "CACHE_FOLDER", str(tmp_path))
    monkeypatch.setattr(cache, "_first_trouble", None)
    made, later = provider.kernel(half), provider.kernel(half)
    signature = provider.types.void(provider.typeof(np.zeros(1)))
    with sass.card_of(HOPPER):
        kernel = dispatcher._Kernel(half, signature.args, **made.targetoptions)
        assert made._cache.load_overload(signature, made.targetctx) is None
        made._cache.save_overload(signature, kernel)
        again = later._cache.load_overload(signature, later.targetctx)
        assert again.entry_name == kernel.entry_name
        assert again._codelibrary.get_cubin().code == kernel._codelibrary.get_cubin().code
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-1])
        assert later._cache.load_overload(signature, later.targetctx) is None
