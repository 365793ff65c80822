"""What derivatives cost: ``python -m benchmarks.gradients``, one pass with them beside one without, in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nbnumba import Differentiable, Experiment, NbnumbaWarning
from nbnumba.choices import PRECISIONS, Precision
from nbnumba.differentiation.evaluation import Asked, uses_of, with_real_cells
from nbnumba.differentiation.tangents import change_of
from nbnumba.differentiation.target import Target
from nbnumba.kernels.cpu.render import render
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.gradient.render import render_slopes, variant_of_slopes
from nbnumba.kernels.gradient.room import new_room

from .cases import ROOT
from .measure import Figure, in_turn, seconds_per_call

CRYSTAL = ("crystal.cell", "crystal.misset_deg", "scale")
ALL = (*CRYSTAL, "detector.distance_mm", "detector.beam_x_mm", "detector.beam_y_mm")
"""Ten numbers, and thirteen, three of which move the detector."""
COMMON = "-cell 70 80 90 85 95 100 -default_F 100 -N 20 -lambda 1 -distance 100 -nointerpolate"
CASES = {
    "20 domains": f"{COMMON} -detpixels 256 -detsize 26 -oversample 1 -mosaic 0.5 -mosaic_domains 20",
    "10 domains, 10 φ steps": f"{COMMON} -detpixels 128 -detsize 26 -oversample 1 -mosaic 0.5 -mosaic_domains 10 "
    "-osc 1 -phisteps 10",
    "still": f"{COMMON} -detpixels 768 -detsize 26 -oversample 1",
    "still, oversample 3": f"{COMMON} -detpixels 384 -detsize 26 -oversample 3",
}


PASSES = {
    "product, crystal": (CRYSTAL, "product"),
    "product": (ALL, "product"),
    "normal equations": (ALL, "normal"),
    "images": (ALL, "images"),
}
"""What is made of which derivatives: the product with an image, normal equations, an image of each."""
COMPILED: dict[str, tuple[str, Precision]] = {
    "the first derivatives": ("-cell 70 80 90 90 90 90", "double"),
    "those of a Gaussian crystal besides": ("-cell 70 80 90 90 90 90 -gauss_xtal", "double"),
    "those in float32 besides": ("-cell 70 80 90 90 90 90", "mixed"),
}
"""Options and precision, in the order of compilation: what is alike is compiled once."""


@dataclass(frozen=True)
class Cost:
    """Of a pass, by one thread."""

    case: str
    precision: Precision
    step_ns: float
    """Of an image alone, per sample."""
    ratios: dict[str, float]
    """To an image alone, by ``PASSES``."""


def measure_gradients(rounds: int) -> list[Cost]:
    """All cases in both precisions, by the time that this process spends, not others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        return [_measured(case, precision, rounds) for case in CASES for precision in PRECISIONS]


def _measured(case: str, precision: Precision, rounds: int) -> Cost:
    experiment = Experiment.from_args(CASES[case].split())
    works = {"image": _image(experiment, precision)}
    works |= {name: _pass(experiment, precision, *what) for name, what in PASSES.items()}
    for work in works.values():
        work()
    own = partial(seconds_per_call, clock=time.process_time)
    seconds = in_turn({name: partial(own, work) for name, work in works.items()}, rounds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    plan = Differentiable(experiment, ["scale"]).resolved.plan
    pixels = plan.detector.slow_pixels * plan.detector.fast_pixels
    steps = pixels * len(plan.crystal.phi) * len(plan.crystal.domains) * plan.oversample**2
    ratios = {name: medians[name] / medians["image"] for name in PASSES}
    return Cost(case, precision, 1e9 * medians["image"] / steps, ratios)


def _image(experiment: Experiment, precision: Precision) -> Callable[[], object]:
    """The renderer of photons, tables and arrays made before."""
    plan = Differentiable(experiment, ["scale"]).resolved.plan
    tables, variant = make_tables(plan, False), variant_of(plan, precision == "mixed")
    rows, columns = plan.detector.slow_pixels, plan.detector.fast_pixels
    image, done, stop = np.zeros((rows, columns), np.float32), np.zeros(rows, np.int64), np.zeros(1, np.int64)
    return lambda: render(plan, tables, image, np.zeros(1, np.int64), done, stop, *variant)


def _pass(experiment: Experiment, precision: Precision, free: tuple[str, ...], wanted: str) -> Callable[[], object]:
    """The kernel of derivatives: plans, how they move, and arrays for what is made of them were made before."""
    model = Differentiable(experiment, free, precision, threads=1)
    (plan,), (change,) = change_of(model._setting, model.values.tolist(), model._parameters)
    asked = {
        "product": Asked(cotangent=np.random.default_rng(1).normal(size=model.shape)),
        "normal": Asked(target=Target(np.ones(model.shape))),
        "images": Asked(slopes=True),
    }[wanted]
    plan, uses = with_real_cells(plan), uses_of(plan, change, asked)
    tables, room = make_tables(plan, False), new_room(plan, change, 0)
    variant = variant_of_slopes(plan, tables, change, precision == "mixed")
    done, stop = np.zeros(plan.detector.slow_pixels, np.int64), np.zeros(1, np.int64)
    return lambda: render_slopes(room, plan, tables, change, uses, np.zeros(1, np.int64), done, stop, *variant)


def measure_compilation() -> list[Figure]:
    """Seconds of a processor that derivatives take where nothing is in the cache, in a process of their own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.fspath(ROOT)}
        words = [sys.executable, "-W", "ignore", "-c", "from benchmarks.gradients import compile_all; compile_all()"]
        done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    return [
        Figure(f"compilation, {name}", float(seconds), "s")
        for name, seconds in zip(COMPILED, done.stdout.split(), strict=True)
    ]


def compile_all() -> None:
    """Print the seconds of each in turn."""
    for options, precision in COMPILED.values():
        experiment = Experiment.from_args(f"{options} -default_F 100 -N 5 -detpixels 32 -nointerpolate".split())
        # Compiles what other images need, too.
        image, derivatives = _image(experiment, precision), _pass(experiment, precision, ALL, "images")
        image()
        began = time.process_time()
        derivatives()
        print(time.process_time() - began)


def table_of(costs: Sequence[Cost]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Its head and its rows."""
    rows = [(c.case, c.precision, *(f"{figure:.2f}" for figure in (c.step_ns, *c.ratios.values()))) for c in costs]
    return ("case", "precision", "image, ns/step", *PASSES), rows


def main() -> None:
    """Print the table, as Markdown."""
    head, rows = table_of(measure_gradients(5))
    for line in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(line)} |", flush=True)
    for figure in measure_compilation():
        print(f"{figure.name}: {figure.value:.1f} {figure.unit}")


if __name__ == "__main__":
    main()
