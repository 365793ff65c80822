"""How fast a GPU renders, beside what its arithmetic units would allow: ``python -m benchmarks.gpu``.

Kernels alone, timed by events on the card (see ``benchmarks/kernel_times.py``); whole commands, start-up included, in
turn with those of a nanoBraggCUDA where NB_CUDA_BIN names one; many images in a row; stills of a campaign, counted and
written (see ``benchmarks/stills.py``). The cases are those of
``python -m benchmarks``, and one with many wavelengths and domains.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from nbnumba import simulate_many
from nbnumba.choices import PRECISIONS, Precision
from nbnumba.comparison.programs import OWN, RunnerError, run, words_of
from nbnumba.errors import NbnumbaWarning
from nbnumba.nanobragg.parse import parse
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards
from nbnumba.render.cuda.counting import Counter, Reading
from nbnumba.render.cuda.memory import Place
from nbnumba.setup.resolve import Resolved
from nbnumba.tolerances import BY_PRECISION

from . import stills
from .__main__ import RESULTS, progress, shown, table
from .cases import LYSOZYME_HKL, Case, all_cases, write_inputs
from .in_a_row import seconds_each, turning, whole_launches
from .kernel_times import CardTime, launcher_of, time_queued
from .measure import NO_EXTRAS, agreement_of, in_turn, resolved_of, steps_of
from .noise import MEANS

SPECTRA = Case(
    "spectra",
    "3000², 100 wavelengths x 25 domains",
    tuple(
        f"-hkl {LYSOZYME_HKL} -cell 79.1 79.1 37.9 90 90 90 -misset 12 34 56 -lambda 1 -dispersion 1 -dispsteps 100 "
        "-distance 200 -pixel 0.1 -detpixels 3000 -N 20 -oversample 1 -mosaic 0.3 -mosaic_domains 25".split()
    ),
    plain=True,
)
MANY = Case(
    "many", "", tuple("-cell 70 80 90 75 85 95 -default_F 100 -lambda 1 -distance 200 -detpixels 512 -N 10".split())
)
MANY_IMAGES = 500
ROW = 4096
COUNTED_PIXELS = ROW * ROW
COMMAND_ROUNDS = 2
"""Of whole commands where there is nothing to hold them against: they are mostly the start of Python."""


@dataclass(frozen=True)
class Kernel:
    """A case on the card in one precision."""

    case: str
    precision: str
    arithmetic: str
    taken: CardTime
    picoseconds_a_step: float
    floor: float | None
    """The same if every unit of the card were busy all the time; None where the instructions are not counted."""

    @property
    def milliseconds(self) -> str:
        """The median, and whether it is the card's."""
        return shown(median(self.taken.milliseconds)) + (" GAPS" if self.taken.gaps else "")


@dataclass(frozen=True)
class Command:
    """Whole commands of a case: seconds by program and round, and how far the images are from NB_CUDA_BIN's."""

    case: str
    seconds: dict[str, list[float]]
    worst: dict[str, float]
    """In units of the tolerance of each precision."""


def measure_kernel(case: Case, resolved: Resolved, precision: Precision, rounds: int) -> Kernel:
    """One case in one precision."""
    launcher = launcher_of(resolved.plan, precision)
    taken = time_queued(launcher, rounds)
    picoseconds = 1e9 * median(taken.milliseconds) / steps_of(resolved)
    return Kernel(case.name, precision, launcher.arithmetic, taken, picoseconds, launcher.floor_ps)


def measure_command(case: Case, folder: Path, rival: Sequence[str], rounds: int, device: int) -> Command:
    """Programs in turn, after one run of each that is not counted."""
    options = [*case.args, *NO_EXTRAS]
    # nanoBragg's CUDA program rotates a spindle that stands at 0 like any other: C-9 is the C program's alone.
    ours = (*OWN, *"-mode c -phi_carryover spec -backend cuda -device".split(), str(device))
    words = {precision: (*ours, "-precision", precision) for precision in PRECISIONS} | (
        {"rival": rival} if rival else {}
    )
    images, programs = {}, {}
    for name, program in words.items():
        try:
            images[name] = run(program, options, folder).photons
        except RunnerError as error:
            # A rival need not take every case.
            progress(f"{case.name}: {error}")
            continue
        programs[name] = partial(seconds_of, program, options, folder)
    worst = {}
    if "rival" in images:
        worst = {name: agreement_of(images[name], images["rival"], BY_PRECISION[name]).worst for name in PRECISIONS}
    return Command(case.name, in_turn(programs, rounds), worst)


def seconds_of(program: Sequence[str], options: Sequence[str], folder: Path) -> float:
    return run(program, options, folder).seconds


def images_per_second(precision: Precision, count: int) -> float:
    """Of small images in a row, on all cards."""
    images = simulate_many(turning(parse(MANY.args).experiment), "cuda", precision, "all")
    return 1.0 / seconds_each(images, whole_launches(count))


def counted_per_second(mean: float, rounds: int) -> float:
    """Pixels whose photons the current card counts, as a median over launches; without the way to the host."""
    cuda, place = cards.cuda_provider().cuda, Place()
    place.stream = cuda.stream()
    photons = cuda.to_device(np.full(COUNTED_PIXELS, mean, np.float32))
    seconds = []
    for frame in range(rounds + 1):
        reading = Reading(0, 0, ROW, ROW, 1, frame, integers=np.uint16, largest=65535.0)
        counter = Counter(place, [reading], COUNTED_PIXELS, place.put("measured", reading.measured))
        cuda.synchronize()
        began = time.perf_counter()
        counter.launch(photons, 0, COUNTED_PIXELS, goes_on=False)
        cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    # The first one compiles.
    return COUNTED_PIXELS / median(seconds[1:])


def measure(only: Sequence[str] | None, rounds: int, images: int, device: int) -> dict[str, object]:
    """All figures, or those of some cases alone."""
    rival = words_of(os.environ["NB_CUDA_BIN"]) if os.environ.get("NB_CUDA_BIN") else ()
    chosen, kernels, commands = cases(), [], []
    command_rounds = rounds if rival else min(rounds, COMMAND_ROUNDS)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        factors = write_inputs(folder)
        for case in (chosen[name] for name in only or chosen):
            progress(case.name)
            resolved = resolved_of(case.args, folder)
            with cards.on(device):
                kernels += [measure_kernel(case, resolved, precision, rounds) for precision in PRECISIONS]
            commands.append(measure_command(case, folder, rival, command_rounds, device))
    progress("many images")
    many = {precision: images_per_second(precision, images) for precision in PRECISIONS}
    with cards.on(device):
        counted = {f"{mean:g}": counted_per_second(mean, rounds) for mean in MEANS}
    progress("stills of a campaign")
    written = stills.measured(stills.CASES, How("cuda", "mixed", device=device))
    return {"structure_factors": factors, "kernels": kernels, "commands": commands, "images_per_second": many,
            "counted_per_second": counted, "stills_per_second": written}  # fmt: skip


def cases() -> Mapping[str, Case]:
    """Every case, by name."""
    return all_cases() | {SPECTRA.name: SPECTRA}


def markdown(figures: Mapping[str, object]) -> Iterator[str]:
    """The figures as tables."""
    yield f"Structure factors: {figures['structure_factors']}."
    head = ("case", "precision", "arithmetic", "ms", "ps/step", "floor", "host, ms")
    rows = [
        (
            k.case,
            k.precision,
            k.arithmetic,
            k.milliseconds,
            *map(shown, (k.picoseconds_a_step, k.floor, k.taken.host_ms)),
        )
        for k in figures["kernels"]
    ]
    yield from table("Kernels, by events on the card", head, rows)
    if any(k.taken.gaps for k in figures["kernels"]):
        yield ""
        yield "GAPS: the card waited for the host, whose time this is."
    rows = [
        (
            c.case,
            *(shown(median(c.seconds[name]) if name in c.seconds else None) for name in (*PRECISIONS, "rival")),
            *(shown(ratio(c, name)) for name in PRECISIONS),
            *(shown(c.worst.get(name)) for name in PRECISIONS),
        )
        for c in figures["commands"]
    ]
    head = (
        "case",
        "double, s",
        "mixed, s",
        "NB_CUDA_BIN, s",
        "ratio, double",
        "ratio, mixed",
        "worst, double",
        "worst, mixed",
    )
    yield from table("Whole commands", head, rows)
    rows = [(name, shown(value)) for name, value in figures["images_per_second"].items()]
    yield from table("Images of 512² in a row, all cards", ("precision", "images/s"), rows)
    rows = [(mean, shown(pixels / 1e6)) for mean, pixels in figures["counted_per_second"].items()]
    yield from table("Counting photons, 16 Mpixel on the card", ("mean", "Mpixel/s"), rows)
    yield from stills.rows_of(figures["stills_per_second"], "Stills of a campaign, mixed, one card")


def ratio(command: Command, precision: str) -> float | None:
    """How many times longer NB_CUDA_BIN takes."""
    if "rival" not in command.seconds:
        return None
    return median(command.seconds["rival"]) / median(command.seconds[precision])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the tables and every single time."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("-only", nargs="+", metavar="NAME", choices=cases(), help="these cases and nothing else")
    parser.add_argument(
        "-rounds",
        type=int,
        default=5,
        metavar="n",
        help="rounds (default: 5; of whole commands without NB_CUDA_BIN at most 2)",
    )
    parser.add_argument(
        "-images", type=int, default=MANY_IMAGES, metavar="n", help=f"in a row (default: {MANY_IMAGES})"
    )
    parser.add_argument("-device", type=int, default=0, metavar="n", help="which card (default: 0)")
    parser.add_argument("-out", type=Path, default=RESULTS, metavar="folder", help="default: benchmarks/results")
    options = parser.parse_args(argv)
    reason = cards.why_unusable(options.device)
    if reason is None and not list(cards.cards()):
        reason = "only the simulator"
    if reason is not None:
        print(f"no GPU to measure: {reason}", file=sys.stderr)
        return 4
    about = {"card": str(list(cards.cards())[options.device]), **cards.versions()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        figures = measure(options.only, options.rounds, options.images, options.device)
    text = "\n".join([", ".join(f"{name} {value}" for name, value in about.items()), *markdown(figures)])
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.md").write_text(text + "\n")
    (options.out / "gpu.json").write_text(json.dumps(about | figures, indent=1, default=asdict) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
