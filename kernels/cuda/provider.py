"""The one door to CUDA: the package that provides ``numba.cuda`` changes, nothing else here does.

Numba has a CUDA target of its own; the package numba-cuda, where installed, takes its place, with types and
a registry of functions of its own. Import this module only where a GPU is wanted.
"""

import os
import shutil
from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from pathlib import Path
from threading import RLock
from types import FunctionType, SimpleNamespace
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core.target_extension import target_override

from ..choices import shape_without_branch
from ..compile import rounding
from ..compile.cache import CACHE_FOLDER, Kept
from ..compile.equation import EQUATIONS
from . import bits
from .tables import THREADS, WARP

if not hasattr(np, "row_stack"):
    # numba-cuda 0.30 looks it up at its first compilation; NumPy 2.5 has it no more.
    setattr(np, "row_stack", np.vstack)  # noqa: B010


def use_toolkit_of_nvcc() -> None:
    """Let libraries also be looked for, after all other places, in the toolkit whose nvcc is on the PATH."""
    nvcc = shutil.which("nvcc")
    if nvcc is None or os.environ.get("CUDA_PATH") or os.environ.get("CUDA_HOME"):
        return
    toolkit = Path(nvcc).resolve().parents[1]
    if (toolkit / "nvvm").is_dir():
        os.environ["CUDA_HOME"] = str(toolkit)


# Before the import that follows: who looks in CUDA_HOME remembers it.
use_toolkit_of_nvcc()

from numba import cuda as cuda  # noqa: E402

SHARED_ALIGNMENT = 16
"""Of numbers in shared memory, in bytes: two of them are read at once."""

LANES = 128
"""Instructions that a multiprocessor issues in a clock, over its threads."""
FIRST_USE = RLock()
"""Held by the thread that starts the driver or loads a kernel."""

is_simulator = bool(numba.config.ENABLE_CUDASIM)
name = "Numba's simulator" if is_simulator else cuda.__name__
"""Who provides CUDA, for reports."""

if not is_simulator:
    from numba.cuda import extending, libdevice
    from numba.cuda.cudadrv import driver

    if hasattr(extending, "register_jitable"):
        import numba_cuda
        from numba.cuda import config
        from numba.cuda import types as types
        from numba.cuda.extending import overload
        from numba.cuda.typing.typeof import typeof as typeof

        name = f"numba-cuda {numba_cuda.__version__}"
    else:
        from numba import typeof as typeof
        from numba import types as types
        from numba.core import config
        from numba.extending import overload

        name = f"Numba's CUDA target, {numba.__version__}"
    # A region or a batch of small images is no mistake.
    config.CUDA_LOW_OCCUPANCY_WARNINGS = False

    overload(shape_without_branch, target="cuda")(shape_without_branch)

    @overload(bits.low_word, target="cuda")
    def _low_word(x):
        return lambda x: libdevice.double2loint(x)

    @overload(bits.high_word, target="cuda")
    def _high_word(x):
        return lambda x: libdevice.double2hiint(x)

    @overload(bits.float_bits, target="cuda")
    def _float_bits(x):
        return lambda x: libdevice.float_as_int(x)

    @overload(bits.bits_float, target="cuda")
    def _bits_float(i):
        return lambda i: libdevice.int_as_float(i)

    @overload(bits.fused, target="cuda")
    def _fused(x, y, z):
        return lambda x, y, z: libdevice.fmaf_rn(x, y, z)

    @overload(rounding.product, target="cuda")
    def _product(x, y):
        return lambda x, y: libdevice.dmul_rn(x, y)

    @overload(rounding.parts, target="cuda")
    def _parts(x):
        return rounding.parts

    @overload(rounding.times_power_of_two, target="cuda")
    def _times_power_of_two(value, shifted):
        return rounding.times_power_of_two

    @overload(bits.wrapped, target="cuda")
    def _wrapped(i):
        return lambda i: np.int32(i)

    def _instruction(name, number, of_llvm, constraint):
        """An instruction of PTX that makes a number of one, as a function for kernels."""

        @extending.intrinsic
        def made(typing_context, x):
            def codegen(context, builder, signature, arguments):
                kind, places = ir.FunctionType(of_llvm, [of_llvm]), f"={constraint},{constraint}"
                return builder.call(ir.InlineAsm(kind, f"{name} $0, $1;", places), arguments)

            return number(number), codegen

        return made

    _approximate_reciprocal = _instruction("rcp.approx.ftz.f32", types.float32, ir.FloatType(), "f")
    estimated_reciprocal = _instruction("rcp.approx.ftz.f64", types.float64, ir.DoubleType(), "d")

    @overload(bits.reciprocal, target="cuda")
    def _reciprocal(x):
        return lambda x: _approximate_reciprocal(x)

    @extending.intrinsic
    def record_of(typing_context, record):
        def codegen(context, builder, signature, arguments):
            return arguments[0]

        return record(record), codegen

    @extending.intrinsic
    def pair_at(typing_context, numbers, at):
        def codegen(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            place = builder.gep(array.data, [builder.zext(arguments[1], ir.IntType(64))])
            two = ir.VectorType(ir.DoubleType(), 2)
            pair = builder.load(builder.bitcast(place, two.as_pointer()), align=SHARED_ALIGNMENT)
            values = [builder.extract_element(pair, ir.Constant(ir.IntType(32), n)) for n in range(2)]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(types.float64, 2)(numbers, types.uint32), codegen

    @extending.intrinsic
    def array_from(typing_context, numbers, start):
        def codegen(context, builder, signature, arguments):
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address, on_card = ir.IntType(64), array.data.type.pointee.as_pointer(addrspace=1)
            place = builder.addrspacecast(builder.gep(array.data, [arguments[1]]), on_card)
            # Seen through, the start would be added to every index anew: two instructions for each F.
            kept = ir.InlineAsm(ir.FunctionType(address, [address]), "mov.b64 $0, $1;", "=l,l")
            place = builder.call(kept, [builder.ptrtoint(place, address)])
            array.data = builder.addrspacecast(builder.inttoptr(place, on_card), array.data.type)
            return array._getvalue()

        return numbers(numbers, types.uint64), codegen

    ALL_LANES = 0xFFFFFFFF

    @cuda.jit(device=True)
    def vote(yes):
        return np.uint32(cuda.ballot_sync(ALL_LANES, yes))

    @cuda.jit(device=True)
    def sum_of_warp(x):
        x += cuda.shfl_xor_sync(ALL_LANES, x, 16)
        x += cuda.shfl_xor_sync(ALL_LANES, x, 8)
        x += cuda.shfl_xor_sync(ALL_LANES, x, 4)
        x += cuda.shfl_xor_sync(ALL_LANES, x, 2)
        return x + cuda.shfl_xor_sync(ALL_LANES, x, 1)

    @cuda.jit(device=True)
    def first_bit(bits):
        return np.uint32(cuda.ffs(bits)) - np.uint32(1)

    @cuda.jit(device=True)
    def bits_set(bits):
        return cuda.popc(bits)


can_align = not is_simulator and "alignment" in signature(cuda.shared.array).parameters
"""Whether an array in shared memory can be told its alignment; Numba's own target cannot."""

if is_simulator:
    from numba.cuda.simulator.kernel import _get_kernel_context

    _of_block, _turns = [[None] * THREADS, [None] * THREADS], [0] * THREADS
    """Of the block that is simulated, a number of each thread, and of the exchange before; and which of these is next."""

    def pair_at(numbers, at):
        """Two neighbouring numbers of shared memory, the first at an even place: one instruction."""
        return numbers[at], numbers[at + 1]

    def array_from(numbers, start):
        """The array on the card that begins at a place of a flat one, once for many accesses."""
        return numbers[start:]

    def record_of(record):
        """A record whose fields a kernel reads. The simulator's own are slow, and their integers overflow."""
        return SimpleNamespace(**{name: record[name].tolist() for name in record.dtype.names})

    def of_warp(value):
        """A number of each thread of the warp: all of a block must ask for it together."""
        block = _get_kernel_context()
        place = block.threadIdx.x
        numbers = _of_block[_turns[place]]
        _turns[place] = 1 - _turns[place]
        numbers[place] = value
        block.syncthreads()
        first = place - place % WARP
        return numbers[first : first + WARP]

    def vote(yes):
        """Bits of the lanes of a warp that say so; every lane asks."""
        return sum(1 << lane for lane, said in enumerate(of_warp(yes)) if said)

    def sum_of_warp(x):
        """The sum over a warp's lanes, with the same bits in each."""
        return np.float32(sum(of_warp(x)))

    def first_bit(bits):
        """Number of the lowest bit that is set."""
        return (int(bits) & -int(bits)).bit_length() - 1

    def bits_set(bits):
        """How many are set."""
        return int(bits).bit_count()

    def estimated_reciprocal(x):
        """1/x for a float64 that is not denormal, to some 20 bits."""
        return 1.0 / x


def adopt_equations(scope: dict[str, Any]) -> None:
    """Let the kernels of a module, whose names ``scope`` holds, call twins of all equations, compiled for the device.

    The twins share nothing but the text: numba-cuda would take what Numba has made of a function for the CPU, and
    inlined, as its own, and fail.
    """
    if is_simulator:
        return
    twins: dict[Any, Any] = {}
    for equation in EQUATIONS:
        names = {name: twins[value] for name, value in equation.__globals__.items() if _is_in(value, twins)}
        twin = FunctionType(equation.__code__, equation.__globals__ | names, equation.__name__, equation.__defaults__)
        twins[equation] = device_function(twin)
    scope.update({name: twins[value] for name, value in scope.items() if _is_in(value, twins)})


def _is_in(value: Any, twins: dict[Any, Any]) -> bool:
    return isinstance(value, FunctionType) and value in twins


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs on the device, called by a kernel of its module if it needs ``cuda``."""
    # The simulator would spend more time on such a call than on most functions, and needs to know of kernels alone.
    return function if is_simulator else cuda.jit(device=True)(function)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel: what a launch runs in every thread; its machine code is kept in the cache folder."""
    dispatcher = cuda.jit(function)
    if not is_simulator and CACHE_FOLDER is not None:
        dispatcher._cache = Kept(function, CACHE_FOLDER, _reduced, _rebuilt, lambda: target_override("cuda"))
    return dispatcher


def _reduced(compiled: Any) -> Any:
    # Code that was made for one shape of launch, which the types do not tell.
    return None if getattr(compiled, "launch_config_sensitive", False) else compiled._reduce_states()


def _rebuilt(context: Any, state: Any) -> Any:
    from numba.cuda.dispatcher import _Kernel

    return _Kernel._rebuild(**state)


def copy_to_card(there: Any, array: np.ndarray, stream: Any) -> None:
    """Queue the copy of a host array into one of its size on the card.

    As the array's own method does, but in a thirtieth of the time that Python takes for that.
    """
    if is_simulator:
        there.copy_to_device(array)
    else:
        driver.host_to_device(there, array, array.nbytes, stream=stream)


def copy_to_host(array: np.ndarray, there: Any, stream: Any) -> None:
    """Queue the copy of as much of an array on the card as a host array has room for."""
    if is_simulator:
        there[: len(array)].copy_to_host(array)
    else:
        driver.device_to_host(array, there, array.nbytes, stream=stream)


def _one_at_a_time(work: Callable[..., Any]) -> Callable[..., Any]:
    """Do what numba-cuda fails at where two threads begin it at once: starting the driver, loading a kernel."""

    @wraps(work)
    def alone(*args: Any) -> Any:
        with FIRST_USE:
            return work(*args)

    return alone


if not is_simulator:
    from numba.cuda.codegen import CUDACodeLibrary

    # It is asked before every launch, and loads the kernel the first time.
    CUDACodeLibrary.get_cufunc = _one_at_a_time(CUDACodeLibrary.get_cufunc)


@_one_at_a_time
def card_count() -> int:
    """How many cards the driver finds; raises where there is no driver."""
    return len(cuda.gpus)


def describe(number: int) -> tuple[str, tuple[int, int], int, int]:
    """Name, compute capability, bytes of memory and bytes free of a card."""
    with cuda.gpus[number]:
        context = cuda.current_context()
        memory = context.get_memory_info()
        card = context.device
        label = card.name.decode() if isinstance(card.name, bytes) else str(card.name)
        return label, tuple(card.compute_capability), int(memory.total), int(memory.free)


def singles_per_double() -> int:
    """How many float32 operations the current card does in the time of a float64 one, as its driver says."""
    return 2 if is_simulator else int(cuda.get_current_device().SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO)


def instructions_per_second() -> float:
    """How many instructions the current card can issue, over its threads."""
    if is_simulator:
        return 1e13
    card = cuda.get_current_device()
    return LANES * card.MULTIPROCESSOR_COUNT * card.CLOCK_RATE * 1e3


def give_back() -> None:
    """Free at once what nobody holds any more of the current card's memory; it would wait until some more comes."""
    if not is_simulator:
        # The context's own list is of streams and modules.
        cuda.current_context().memory_manager.deallocations.clear()


def free_bytes() -> float:
    """Free memory of the current card."""
    give_back()
    return float(cuda.current_context().get_memory_info().free)


def never_compiled() -> bool:
    """Whether the cache folder has no kernel for a card yet."""
    return not is_simulator and not (CACHE_FOLDER and any(Path(CACHE_FOLDER).glob("cuda.render.render_pixels*")))


@cache
def driver_version() -> tuple[int, int]:
    """The newest CUDA that the driver serves."""
    from numba.cuda.cudadrv.driver import driver

    return tuple(driver.get_version())


@cache
def compiler_version() -> tuple[int, int]:
    """The CUDA that the compiler is for."""
    from numba.cuda.cudadrv.runtime import runtime

    return tuple(runtime.get_version())


@cache
def lowest_capability() -> tuple[int, int]:
    """Compute capability of the oldest cards that the compiler serves."""
    from numba.cuda.cudadrv import nvrtc, nvvm

    supported = getattr(nvrtc, "get_supported_ccs", None) or nvvm.get_supported_ccs
    return min(supported())


def capability(number: int) -> tuple[int, int]:
    """Compute capability of a card."""
    return tuple(cuda.gpus[number].compute_capability)


def compiler_error() -> str | None:
    """Why kernels cannot be compiled, in one line; None where they can."""
    from numba.cuda.cudadrv import nvvm

    try:
        nvvm.NVVM()
    except Exception as error:
        return str(error).splitlines()[0].partition(": No such file")[0]
    return None


def compiler_library() -> str:
    """Path of the libnvvm that compiles kernels; raises where there is none."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib
    except ImportError:
        from numba.cuda.cudadrv.libs import get_cudalib

        return str(get_cudalib("nvvm"))
    return str(load_nvidia_dynamic_lib("nvvm").abs_path)


def linker() -> str:
    """What links compiled kernels: nvJitLink and its version or, where there is none, the driver."""
    try:
        from cuda.bindings import nvjitlink

        return "nvJitLink {}.{}".format(*nvjitlink.version())
    except Exception:
        return "the driver's, since nvJitLink is missing"
