"""First light's times: ``python -m benchmarks.light_times kernels``, or ``around`` for what surrounds them."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from nbnumba import simulate_many
from nbnumba.choices import PRECISIONS, Precision
from nbnumba.kernels.cuda import provider
from nbnumba.nanobragg.parse import parse
from nbnumba.render.backends import How
from nbnumba.render.cuda import cards
from nbnumba.render.job import render
from nbnumba.setup.resolve import Resolved
from nbnumba.tolerances import BY_PRECISION

from . import stills
from .cases import all_cases, write_inputs
from .first_light import row
from .in_a_row import seconds_each, turning, whole_launches
from .kernel_times import launcher_of, time_queued
from .measure import agreement_of, resolved_of, steps_of
from .tolerance import PEAK_PHOTONS

CASES = "domains gauss still large sources oversampled layers round tophat interpolated".split()
LIMITED = ("domains", "gauss", "still")
"""Also with fewer registers."""
LIMITS = (128, 96, 80, 64)
"""Of registers a thread."""
TOLERANT = ("domains", "gauss", "tophat", "round", "large")
"""Also with tolerances."""
ROUNDS = 3
TINY = "-detpixels 4 -mosaic_domains 1 -phisteps 1 -N 5".split()
SMALL = "-cell 70 80 90 75 85 95 -default_F 100 -lambda 1 -distance 200 -N 10"


def resolved_cases(names: Sequence[str], tiny: bool) -> dict[str, Resolved]:
    """Cases by name; says whose structure factors they have."""
    with tempfile.TemporaryDirectory(prefix="first-light-") as name:
        folder, cases = Path(name), all_cases()
        row(f"structure factors: {write_inputs(folder)}")
        return {name: resolved_of([*cases[name].args, *(TINY if tiny else ())], folder) for name in names}


@contextmanager
def named_failures(name: str) -> Iterator[None]:
    """What fails is a line of the table; the rest goes on."""
    try:
        yield
    except Exception as error:
        row(f"{name}: FAILED: {type(error).__name__}: {next(iter(str(error).splitlines()), '')[:120]}")


# Kernels ---------------------------------------------------------------------------------------------------------


def kernels(seconds: float, tiny: bool) -> None:
    """A line for each kernel: all as they are, then some with fewer registers, then clocks under load."""
    ends = time.monotonic() + 0.9 * seconds
    resolved = resolved_cases(CASES[:1] if tiny else CASES, tiny)
    limits = () if provider.is_simulator else LIMITS
    wanted = [(name, precision, None) for name in resolved for precision in PRECISIONS]
    wanted += [
        (name, precision, most) for name in LIMITED for most in limits for precision in PRECISIONS if name in resolved
    ]
    row("case         precision arithmetic limit  regs local        ms ps/step  floor  host ms  launches, grid")
    with cards.on(0):
        for name, precision, most_registers in wanted:
            what = f"{name:12} {precision:9} {'' if most_registers is None else most_registers:>3}"
            if time.monotonic() > ends:
                row(f"{what}: no time left for this and what would follow")
                break
            with named_failures(what):
                row(kernel_line(name, resolved[name], precision, most_registers))
    if provider.is_simulator:
        row("simulator: these times mean nothing; limits of registers and clocks: skipped")
    else:
        with cards.on(0), named_failures("clocks"):
            row(f"clocks under load: {clocks(resolved[CASES[0]])}")


def kernel_line(name: str, resolved: Resolved, precision: str, most_registers: int | None) -> str:
    launcher = launcher_of(resolved.plan, precision, most_registers)
    taken = time_queued(launcher, ROUNDS)
    milliseconds = median(taken.milliseconds)
    registers, local = launcher.code() or ("-", "-")
    floor = "-" if launcher.floor_ps is None else f"{launcher.floor_ps:.2f}"
    return (
        f"{name:12} {precision:9} {launcher.arithmetic:10} {most_registers or 'as is':>5} {registers:>5} {local:>5} "
        f"{milliseconds:9.4f} {1e9 * milliseconds / steps_of(resolved):7.2f} {floor:>6} {taken.host_ms:8.3f}  "
        f"{launcher.launches}, {launcher.grid}{' GAPS' if taken.gaps else ''}"
    )


def clocks(resolved: Resolved) -> str:
    """What the card's tool says of its clocks after a second of work, while the work goes on."""
    launcher = launcher_of(resolved.plan, "double")
    query = "--query-gpu=clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu"
    ends, asked = time.monotonic() + 1.0, None
    while asked is None or asked.poll() is None:
        for _ in range(20):
            launcher.launch()
        provider.cuda.synchronize()
        if asked is None and time.monotonic() > ends:
            asked = subprocess.Popen(["nvidia-smi", query, "--format=csv,noheader"], stdout=subprocess.PIPE, text=True)
    return asked.communicate()[0].strip()


# Around them -----------------------------------------------------------------------------------------------------


def around(tiny: bool) -> None:
    """What a user waits for besides kernels."""
    with named_failures("whole images"):
        for name, resolved in resolved_cases(("domains",) if tiny else ("still", "domains", "large"), tiny).items():
            row(whole_images(name, resolved))
    with named_failures("tolerances"):
        for name, resolved in resolved_cases(("domains",) if tiny else TOLERANT, tiny).items():
            for precision in PRECISIONS:
                row(with_tolerances(name, resolved, precision))
    for pixels in (4,) if tiny else (128, 512, 1024, 2048):
        with named_failures(f"images of {pixels}²"):
            row(f"{pixels}² in a row, mixed: {images_per_second(pixels, 1 if tiny else 200 if pixels < 2000 else 50)}")
    for each in (stills.Stills(4, 1, 1, 1),) if tiny else stills.CASES:
        with named_failures(f"stills of {each.told}"):
            row(f"stills, {each.told}, mixed: {stills_per_second(each)}")
    with cards.on(0), named_failures("costs of the host"):
        costs = host_microseconds(1 << 10 if tiny else 6_224_001)
        row(f"host, µs: {', '.join(f'{name} {value:.0f}' for name, value in costs.items())}")


def whole_images(name: str, resolved: Resolved) -> str:
    """Milliseconds of an image in each precision, and how far the two are from each other."""
    images, told = {}, []
    for precision in PRECISIONS:
        render(resolved, "cuda", precision)
        began = time.perf_counter()
        images[precision] = render(resolved, "cuda", precision).photons
        told.append(f"{precision} {1e3 * (time.perf_counter() - began):.2f} ms")
    worst = agreement_of(images["mixed"], images["double"], BY_PRECISION["mixed"]).worst
    return f"{name}, whole image: {', '.join(told)}; mixed against double {worst:.2f} of the tolerance"


def with_tolerances(name: str, resolved: Resolved, precision: Precision) -> str:
    """How many times as fast images with a tolerance are, with 10⁵ photons in the brightest pixel, and how far off."""
    brightness = PEAK_PHOTONS / render(resolved, "cuda", precision).photons.max()
    told = []
    for tolerance in (0.0, 1e-3, 1e-1, 10.0):
        plan = resolved.plan
        plan = plan._replace(photons_per_sample=plan.photons_per_sample * brightness, tolerance=tolerance)
        tolerant = replace(resolved, plans=(plan,))
        render(tolerant, "cuda", precision)
        began = time.perf_counter()
        rendering = render(tolerant, "cuda", precision)
        seconds = time.perf_counter() - began
        if tolerance == 0.0:
            exact, exact_s = rendering.photons, seconds
        elif rendering.left_out is not None:
            off = float(np.abs(rendering.photons - exact).max()) / tolerance
            share = 100.0 * rendering.left_out.share
            told.append(f"{tolerance:g} photons {exact_s / seconds:.2f} ({share:.3g} %, off {off:.2g})")
    return f"{name}, {precision}, with tolerances, times as fast as {1e3 * exact_s:.2f} ms: {', '.join(told)}"


def images_per_second(pixels: int, count: int) -> str:
    """Of small images in a row on one card."""
    still = parse([*SMALL.split(), "-detpixels", str(pixels)]).experiment
    each_s = seconds_each(simulate_many(turning(still), "cuda", "mixed"), whole_launches(count))
    return f"{1 / each_s:.0f} images/s, {1e3 * each_s:.2f} ms each"


def stills_per_second(case: stills.Stills) -> str:
    """Of a campaign on one card."""
    (found,) = stills.measured([case], How("cuda", "mixed")).values()
    return f"{found['counted']:.0f} images/s counted, {found['written']:.0f} written"


def host_microseconds(pixels: int) -> dict[str, float]:
    """Small costs that every image pays."""
    cuda = provider.cuda
    small, there = np.zeros(1 << 10), cuda.device_array(1 << 10, np.float64)
    image, pageable = cuda.device_array(pixels, np.float32), np.zeros(pixels, np.float32)
    pinned = cuda.pinned_array(pixels, np.float32)

    def microseconds(work: Callable[[], object], times: int) -> float:
        work()
        cuda.synchronize()
        began = time.perf_counter()
        for _ in range(times):
            work()
        cuda.synchronize()
        return 1e6 * (time.perf_counter() - began) / times

    megabytes = f"{4e-6 * pixels:.0f} MB"
    return {
        "free memory asked": microseconds(provider.free_bytes, 50),
        "card judged": microseconds(cards.why_unusable, 50),
        "8 KB there": microseconds(lambda: there.copy_to_device(small), 50),
        f"{megabytes} back to pinned memory": microseconds(lambda: image.copy_to_host(pinned), 5),
        f"{megabytes} back to pageable": microseconds(lambda: image.copy_to_host(pageable), 5),
        "16 MB taken and given back": microseconds(taken_and_given_back, 10),
    }


def taken_and_given_back() -> None:
    provider.cuda.device_array(1 << 22, np.float32)
    provider.free_bytes()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.light_times", description=__doc__)
    pieces = parser.add_subparsers(dest="piece", required=True)
    kernels_parser = pieces.add_parser("kernels", help="on the card, behind a kernel that sleeps")
    kernels_parser.add_argument("-seconds", type=float, default=120.0, metavar="s", help="in all (default: 120)")
    around_parser = pieces.add_parser("around", help="whole images and what the host costs")
    for piece in (kernels_parser, around_parser):
        piece.add_argument("-tiny", action="store_true", help="images of a few pixels")
    options = parser.parse_args(argv)
    reason = cards.why_unusable()
    if reason is not None:
        row(f"no card to use: {reason}")
        return 1
    if options.piece == "kernels":
        kernels(options.seconds, options.tiny)
    else:
        around(options.tiny)
    return 0


if __name__ == "__main__":
    sys.exit(main())
