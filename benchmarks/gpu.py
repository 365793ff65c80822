"""How fast a GPU renders, beside what its arithmetic units would allow: ``python -m benchmarks.gpu``.

Three figures: kernels alone, timed by events on the card; whole commands, start-up included; many images in a row.
Where NB_CUDA_BIN names a nanoBraggCUDA, its commands take turns with ours.
"""

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

from nbnumba import gpu
from nbnumba.experiment import Experiment
from nbnumba.inputs import read_inputs
from nbnumba.kernels.plan import Plan
from nbnumba.resolve import resolve

CRYSTAL = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -lambda 1 -distance 200 -nointerpolate"
IMAGES = {
    "6 Mpixel, 10 steps": f"{CRYSTAL} -N 36 -detpixels_x 2463 -detpixels_y 2527 -pixel 0.172 -oversample 1"
    " -phi 0 -osc 1 -phisteps 10",
    "1024², one domain": f"{CRYSTAL} -N 5 -detpixels 1024 -oversample 1",
    "1024², 1000 domains": f"{CRYSTAL} -N 5 -detpixels 1024 -oversample 1 -mosaic 0.5 -mosaic_domains 1000",
    "64², 20000 domains": f"{CRYSTAL} -N 5 -detpixels 64 -oversample 1 -mosaic 0.5 -mosaic_domains 20000",
}
INSTRUCTIONS = {"double": (158, 98), "mixed": (104, 12)}
"""Of a step, for square crystals: all, and those on float64 (tests/test_ptx.py counts them)."""
LANES = 128
"""Instructions that a multiprocessor issues in a clock, over its threads."""
FLOAT64_LANES = {(8, 0): 64, (9, 0): 64, (10, 0): 64, (6, 0): 32, (7, 0): 32}
"""By compute capability; 2 on cards for screens."""
REPEATS = 5
MANY = 500


def plan_of(args: str) -> Plan:
    experiment = Experiment.from_args(args.split())
    return resolve(experiment, read_inputs(experiment)).plan


def steps_of(plan: Plan) -> int:
    """Samples of an image."""
    fast0, fast1, slow0, slow1 = plan.detector.roi
    orientations = len(plan.crystal.phi) * len(plan.crystal.domains)
    pixels = (fast1 - fast0 + 1) * (slow1 - slow0 + 1)
    return pixels * plan.detector.layers * plan.oversample**2 * len(plan.sources.weight) * orientations


def floor_ps(card: gpu.Card, precision: str) -> float:
    """Picoseconds of a step if every unit of the card were busy all the time."""
    from numba import cuda

    device = cuda.gpus[card.number]
    per_second = device.MULTIPROCESSOR_COUNT * device.CLOCK_RATE * 1e3
    every, on_float64 = INSTRUCTIONS[precision]
    return 1e12 * max(every / LANES, on_float64 / FLOAT64_LANES.get(card.compute_capability, 2)) / per_second


def kernel_seconds(plan: Plan, precision: str) -> list[float]:
    """Between two events on the card, around one launch for all pixels."""
    from numba import cuda

    gpu.render_cuda(plan, precision)
    job = gpu.Job(plan, precision)
    seconds = []
    for _ in range(REPEATS):
        before, after = cuda.event(), cuda.event()
        before.record()
        job.launch(0, job.capacity)
        after.record()
        after.synchronize()
        seconds.append(1e-3 * cuda.event_elapsed_time(before, after) * job.pixels / job.capacity)
    return seconds


def command_seconds(program: list[str], args: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([*program, *args.split()], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def report_kernels(card: gpu.Card) -> None:
    print(f"{'kernel':24s}{'precision':12s}{'ms':>10s}{'ps/step':>10s}{'floor':>8s}")
    for name, args in IMAGES.items():
        plan = plan_of(args)
        for precision in INSTRUCTIONS:
            seconds = median(kernel_seconds(plan, precision))
            picoseconds = 1e12 * seconds / steps_of(plan)
            floor = floor_ps(card, precision)
            print(f"{name:24s}{precision:12s}{1e3 * seconds:10.3f}{picoseconds:10.2f}{floor:8.2f}")


def report_commands() -> None:
    ours = [sys.executable, "-m", "nbnumba", "-backend", "cuda", "-nopgm", "-quiet"]
    programs = {"nbnumba, double": ours, "nbnumba, mixed": [*ours, "-precision", "mixed"]}
    if os.environ.get("NB_CUDA_BIN"):
        programs["NB_CUDA_BIN"] = [os.environ["NB_CUDA_BIN"], "-nopgm"]
    print(f"\n{'whole command':24s}{'program':20s}{'s':>8s}")
    for name, args in IMAGES.items():
        seconds: dict[str, list[float]] = {program: [] for program in programs}
        for _ in range(REPEATS):
            for program, command in programs.items():
                seconds[program].append(command_seconds(command, args))
        for program, times in seconds.items():
            print(f"{name:24s}{program:20s}{median(times):8.2f}")


def report_many() -> None:
    plans = [plan_of(f"{CRYSTAL} -N 10 -detpixels 512 -pixel 0.2 -phi {n} -osc 0") for n in range(50)]
    for precision in INSTRUCTIONS:
        list(gpu.render_many(plans[:2], precision))
        started = time.perf_counter()
        for _ in gpu.render_many((plans[n % len(plans)] for n in range(MANY)), precision):
            pass
        print(f"\n{MANY} images of 512², {precision}: {MANY / (time.perf_counter() - started):.0f} images/s")


def main() -> int:
    reason = gpu.why_unusable()
    if reason is not None or not gpu.cards():
        print(f"no GPU to measure: {reason or 'only the simulator'}", file=sys.stderr)
        return 4
    card = gpu.cards()[0]
    print(f"{card.name}, compute capability {card.compute_capability}, {gpu.versions()}\n")
    report_kernels(card)
    report_commands()
    report_many()
    return 0


if __name__ == "__main__":
    sys.exit(main())
