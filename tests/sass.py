"""The GPU kernels as a card gets them: linked for one that is not here, and read back from the machine code.

``python -m tests.sass`` prints what ``docs/gpu.md`` says of them.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, reduce
from operator import and_
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from nbnumba.kernels.choices import FLAT, GAUSS, ROUND, SPHERE, SQUARE, TOPHAT
from nbnumba.kernels.cuda import provider
from nbnumba.kernels.cuda import render as kernels
from nbnumba.kernels.cuda import tables as cuda_tables
from nbnumba.kernels.plan import Plan
from nbnumba.nanobragg.parse import parse
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import resolve

HOPPER = (9, 0)
"""Compute capability of an H100 or H200."""
REGISTERS = 65536
"""Of a multiprocessor."""
SINGLES_PER_DOUBLE = 2
"""float32 operations in the time of a float64 one, on such a card."""
SLOTS_PER_SECOND = 132 * provider.LANES * 1.98e9
"""Instructions that it can issue, over its threads."""
NUMBERS_OF_A_ROW = 9
"""That a step needs of an orientation."""


# Which kernels there are ------------------------------------------------------------------------------------------


class Variant(NamedTuple):
    """What decides which kernel renders an image."""

    shape: int
    precision: str = "double"
    interpolate: int = 0
    cells: int = 5
    singles_per_double: int = SINGLES_PER_DOUBLE
    surface: int = FLAT
    leaves_out: bool = False


VARIANTS = {
    "square, mixed": Variant(SQUARE, "mixed"),
    "square, mixed, slow float64": Variant(SQUARE, "mixed", singles_per_double=64),
    "square, mixed, many cells": Variant(SQUARE, "mixed", cells=500),
    "square, double": Variant(SQUARE),
    "gauss, mixed": Variant(GAUSS, "mixed"),
    "gauss, double": Variant(GAUSS),
    "round": Variant(ROUND),
    "tophat": Variant(TOPHAT),
    "square, interpolated": Variant(SQUARE, interpolate=1),
    "gauss, interpolated": Variant(GAUSS, interpolate=1),
    "round, interpolated": Variant(ROUND, interpolate=1),
    "tophat, interpolated": Variant(TOPHAT, interpolate=1),
    "square, mixed, curved": Variant(SQUARE, "mixed", surface=SPHERE),
    "round, interpolated, curved": Variant(ROUND, interpolate=1, surface=SPHERE),
}
"""All for a flat detector, and two for a curved one, whose steps are the same."""


@cache
def still() -> Plan:
    """Of an image that takes what every image takes."""
    options = "-cell 70 80 90 90 90 90 -default_F 100 -lambda 1 -distance 100 -detpixels 16 -N 5"
    experiment = parse(options.split()).experiment
    return resolve(experiment, read_inputs(experiment)).plan


def plan_of(variant: Variant) -> Plan:
    plan = still()
    return plan._replace(
        crystal=plan.crystal._replace(shape=variant.shape, cells=(variant.cells,) * 3),
        factors=plan.factors._replace(interpolate=variant.interpolate),
        detector=plan.detector._replace(surface=variant.surface),
    )


def arithmetic_of(variant: Variant) -> int:
    return cuda_tables.chosen_arithmetic(plan_of(variant), variant.precision, variant.singles_per_double)


def choices_of(variant: Variant) -> tuple[Any, ...]:
    """The kernel's last arguments."""
    return cuda_tables.variant_of(plan_of(variant), arithmetic_of(variant))


def types_of(variant: Variant) -> tuple[Any, ...]:
    """Of all arguments with which ``nbnumba/render/cuda/images.py`` launches the kernel."""
    plan, arithmetic = plan_of(variant), arithmetic_of(variant)
    tables = cuda_tables.Tables(
        np.array([cuda_tables.image_numbers(plan)], cuda_tables.IMAGE),
        cuda_tables.source_rows(plan),
        cuda_tables.orientation_rows(plan, arithmetic).ravel(),
        cuda_tables.padded_factors(plan, arithmetic),
        plan.detector.mask,
        cuda_tables.amorphous_rows(plan.background),
        bound_tables() if variant.leaves_out else (),
    )
    photons, picture, outside = np.zeros(1), np.zeros(1, np.float32), np.zeros(1, np.int64)
    args = tables, 0, 1, 0, cuda_tables.ROWS, 1, photons, picture, outside, *choices_of(variant)
    return tuple(map(provider.typeof, args))


def bound_tables() -> cuda_tables.BoundTables:
    """Of no image: their types alone count."""
    return cuda_tables.BoundTables(np.zeros(1, cuda_tables.BOUND), np.zeros(1, np.float32), np.zeros(2))


# How they are linked ----------------------------------------------------------------------------------------------


def is_linked_here() -> bool:
    """Whether nvJitLink links kernels; otherwise the driver does, on the card."""
    return bool(kernels.render_pixels.targetoptions.get("lto"))


@contextmanager
def card_of(capability: tuple[int, int]) -> Iterator[None]:
    """Let numba-cuda believe that the current card is of this compute capability."""
    from numba.cuda import compiler, dispatcher
    from numba.cuda.cudadrv import devices

    card = SimpleNamespace(compute_capability=capability)
    with (
        patch.object(compiler, "get_current_device", lambda: card),
        patch.object(dispatcher, "get_current_device", lambda: card),
        patch.object(devices, "get_context", lambda number=None: SimpleNamespace(device=card)),
    ):
        yield


def linked(kernel: Any, types: Iterable[Any], capability: tuple[int, int] = HOPPER) -> bytes:
    """The file with machine code, a cubin, that is loaded onto a card for arguments of these types."""
    from numba.cuda.dispatcher import _Kernel

    with card_of(capability):
        return _Kernel(kernel.py_func, tuple(types), **kernel.targetoptions)._codelibrary.get_cubin().code


def linked_text(kernel: Any, types: Iterable[Any], capability: tuple[int, int] = HOPPER) -> str:
    """The same as PTX, after all that is done at link time."""
    from numba.cuda.dispatcher import _Kernel

    with card_of(capability):
        library = _Kernel(kernel.py_func, tuple(types), **kernel.targetoptions)._codelibrary
        return str(library.get_lto_ptx(cc=capability))


@cache
def code_of(variant: Variant, capability: tuple[int, int] = HOPPER) -> Code:
    """Machine code of a variant of ``render_pixels``, made once."""
    return read(linked(kernels.render_pixels, types_of(variant), capability))


# How they are read ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    """Of machine code."""

    text: str
    """As in ``@!P0 BRA `(.L_x_3)``."""
    operation: str
    """As in ``LDS.128``."""
    label: str
    """Where it may jump; empty: nowhere."""

    @property
    def name(self) -> str:
        """The operation without what modifies it."""
        return self.operation.partition(".")[0]

    @property
    def goes_on(self) -> bool:
        """Whether the next one may follow it: a jump has conditions before it or among its operands."""
        return not re.match(r"(EXIT|RET|KILL|BRA[.\w]* `\()", self.text)


@dataclass(frozen=True)
class Loop:
    """Of instructions, those of the loops inside it among them."""

    places: frozenset[int] = field(repr=False)
    """Their numbers in the kernel."""
    instructions: tuple[Instruction, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.places)

    def count(self, *names: str) -> int:
        """How many there are of some names."""
        return sum(instruction.name in names for instruction in self.instructions)

    @property
    def on_float64(self) -> int:
        return self.count("DADD", "DFMA", "DMUL", "DSETP")

    @property
    def in_local_memory(self) -> int:
        """Accesses to what found no room in registers."""
        return self.count("LDL", "STL")

    @cached_property
    def orientations(self) -> float:
        """How many rows of the table of orientations a turn reads from shared memory."""
        reads = Counter(i.operation.rpartition(".")[2] for i in self.instructions if i.name == "LDS")
        return (16 * reads["128"] + 8 * reads["64"] + 4 * reads["LDS"]) / (8 * NUMBERS_OF_A_ROW)


class Nest(NamedTuple):
    """The loops around a step, as in ``kernels/walk.py``; each holds those before it."""

    step: Loop
    orientations: Loop
    sources: Loop
    fast_subpixels: Loop
    slow_subpixels: Loop
    layers: Loop


@dataclass(frozen=True)
class Code:
    """What there is to know of a kernel."""

    registers: int
    """Of a thread."""
    parameters: int
    parameter_bytes: int
    instructions: tuple[Instruction, ...]
    loops: tuple[Loop, ...]
    """The shortest first."""

    @property
    def blocks(self) -> int:
        """Blocks at once on a multiprocessor, as far as registers allow; a thread gets them by 8."""
        return REGISTERS // (cuda_tables.THREADS * (-(-self.registers // 8) * 8))

    @property
    def step(self) -> Loop:
        """The loop over orientations in shared memory."""
        innermost = [loop for loop in self.loops if not any(other.places < loop.places for other in self.loops)]
        (step,) = [loop for loop in innermost if loop.count("LDS")]
        return step

    @property
    def nest(self) -> Nest:
        return Nest(*(loop for loop in self.loops if self.step.places <= loop.places))


def read(cubin: bytes) -> Code:
    """Read a file that holds one kernel."""
    sections = dict(sections_of(cubin))
    (name,) = [name.removeprefix(".text.") for name in sections if name.startswith(".text.")]
    of_file, of_kernel = attributes_of(sections[".nv.info"]), attributes_of(sections[f".nv.info.{name}"])
    instructions, labels = disassembled(cubin)
    return Code(
        # Behind the number of a symbol.
        registers=max(struct.unpack("<II", value)[1] for number, value in of_file if number == REGISTER_COUNT),
        parameters=sum(number in PARAMETER for number, _ in of_kernel),
        parameter_bytes=next(struct.unpack("<H", value)[0] for number, value in of_kernel if number == PARAMETER_BYTES),
        instructions=instructions,
        loops=tuple(
            Loop(places, tuple(instructions[place] for place in sorted(places)))
            for places in loops_of(followers_of(instructions, labels))
        ),
    )


def sections_of(elf: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the sections of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, of_names = struct.unpack_from("<3H", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + number * size) for number in range(count)]
    names = headers[of_names][4]
    for name, _, _, _, begin, length in headers:
        yield elf[names + name : elf.index(b"\0", names + name)].decode(), elf[begin : begin + length]


REGISTER_COUNT, PARAMETER, PARAMETER_BYTES = 0x2F, (0x17, 0x45), 0x19
"""Numbers of attributes: EIATTR_REGCOUNT, EIATTR_KPARAM_INFO and its second version, EIATTR_CBANK_PARAM_SIZE."""
WITH_SIZE = 4
"""Format of an attribute whose value stands behind its head; others have two bytes in it."""


def attributes_of(section: bytes) -> list[tuple[int, bytes]]:
    """Number and value of every attribute in a section ``.nv.info``."""
    found, at = [], 0
    while at < len(section):
        kind, number, size = struct.unpack_from("<BBH", section, at)
        end = at + 4 + (size if kind == WITH_SIZE else 0)
        found.append((number, section[at + 4 : end] if kind == WITH_SIZE else section[at + 2 : at + 4]))
        at = end
    return found


@cache
def disassembler() -> str | None:
    """nvdisasm: that of the Python packages, which is of the linker's release, else another."""
    packaged = [Path(folder, "nvidia", "cu13", "bin", "nvdisasm") for folder in sys.path if "site-packages" in folder]
    return next((str(path) for path in packaged if path.exists()), None) or shutil.which("nvdisasm")


def disassembled(cubin: bytes) -> tuple[tuple[Instruction, ...], dict[str, int]]:
    """Instructions, and the number of the one that follows each label."""
    with tempfile.TemporaryDirectory(prefix="sass-") as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        text = subprocess.run([str(disassembler()), "-c", file], capture_output=True, text=True, check=True).stdout
    instructions, labels = [], {}
    for line in text.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s*/\*[0-9a-f]+\*/\s+((?:@!?\w+\s+)?([\w.]+)[^;]*?)\s*;", line):
            jump = re.search(r"\bBRA\b.*`\((\.L_\w+)\)", found[1])
            instructions.append(Instruction(found[1], found[2], jump[1] if jump else ""))
    return tuple(instructions), labels


def followers_of(instructions: Sequence[Instruction], labels: dict[str, int]) -> list[list[int]]:
    """The instructions that may come next after each; what is called comes back, and is no part of a loop."""
    return [
        ([labels[instruction.label]] if instruction.label else []) + ([number + 1] if instruction.goes_on else [])
        for number, instruction in enumerate(instructions)
    ]


def loops_of(followers: Sequence[Sequence[int]]) -> list[frozenset[int]]:
    """Loops, the shortest first: what leads back to an instruction by which alone one gets there from the start.

    Natural loops, as compilers have them, wherever the parts of one lie; those with the same head are one.
    """
    reached = walked({0}, followers, set())
    leaders: dict[int, list[int]] = {number: [] for number in reached}
    for number in reached:
        for follower in followers[number]:
            leaders[follower].append(number)
    # By which one must come, a bit each.
    gates = dict.fromkeys(reached, -1) | {0: 1}
    changed = True
    while changed:
        changed = False
        for number in sorted(reached - {0}):
            found = reduce(and_, (gates[leader] for leader in leaders[number])) | 1 << number
            changed, gates[number] = changed or found != gates[number], found
    loops: dict[int, set[int]] = {}
    for number in reached:
        for head in followers[number]:
            if gates[number] >> head & 1:
                loops[head] = loops.get(head, set()) | walked({number}, leaders, {head})
    return sorted(map(frozenset, loops.values()), key=len)


def walked(starts: set[int], ways: Any, ends: set[int]) -> set[int]:
    """All that can be reached, but nothing beyond the ends."""
    seen, waiting = starts | ends, list(starts - ends)
    while waiting:
        new = set(ways[waiting.pop()]) - seen
        seen |= new
        waiting += new
    return seen


# What is told -----------------------------------------------------------------------------------------------------


def least_ps(instructions: float, on_float64: float) -> float:
    """Of a step, if every unit of the card were busy all the time."""
    return 1e12 * max(instructions, SINGLES_PER_DOUBLE * on_float64) / SLOTS_PER_SECOND


def told(name: str) -> str:
    """A line of the table in ``docs/gpu.md``."""
    code = code_of(VARIANTS[name])
    step, *_ = nest = code.nest
    instructions, on_float64 = len(step) / step.orientations, step.on_float64 / step.orientations
    around = len(nest.sources) - len(nest.orientations), len(nest.fast_subpixels) - len(nest.sources)
    numbers = (
        f"{instructions:.0f}", f"{on_float64:.0f}", f"{code.registers}", f"{code.blocks}",
        f"{least_ps(instructions, on_float64):.1f} ps", *map(str, around),
    )  # fmt: skip
    return " | ".join(("", name, *numbers, "")).strip()


def main() -> int:
    if not is_linked_here() or disassembler() is None:
        print("sass: needs nvJitLink and nvdisasm: pip install '.[test]'", file=sys.stderr)
        return 1
    print("| | instructions a step | on float64 | registers | blocks | least possible | a source | a sub-pixel |")
    print("|---|" + 7 * "---|")
    for name in VARIANTS:
        print(told(name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
