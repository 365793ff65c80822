"""What derivatives cost: ``python -m benchmarks.gradients``, one pass with them beside one without, in turn."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from nbnumba import Differentiable, Experiment, NbnumbaWarning
from nbnumba.choices import PRECISIONS, Precision
from nbnumba.differentiation.evaluation import Asked, Evaluator
from nbnumba.differentiation.tangents import change_of
from nbnumba.differentiation.target import Target
from nbnumba.kernels.cpu.render import render
from nbnumba.kernels.cpu.tables import make_tables, variant_of

from .measure import in_turn, seconds_per_call

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


@dataclass(frozen=True)
class Cost:
    """Of a pass, by one thread."""

    case: str
    precision: Precision
    step_ns: float
    """Of an image alone, per sample."""
    ratios: tuple[float, ...]
    """To an image alone, as :data:`PASSES` names them."""


PASSES = ("product, crystal", "product, crystal and detector", "normal equations, crystal and detector")


def measure_gradients(rounds: int) -> list[Cost]:
    """All cases in both precisions, by the time that this process spends, not others."""
    return [_measured(case, precision, rounds) for case in CASES for precision in PRECISIONS]


def _measured(case: str, precision: Precision, rounds: int) -> Cost:
    experiment = Experiment.from_args(CASES[case].split())
    works = {"image": _image(experiment, precision)}
    works[PASSES[0]] = _pass(experiment, precision, CRYSTAL, is_normal=False)
    works[PASSES[1]] = _pass(experiment, precision, ALL, is_normal=False)
    works[PASSES[2]] = _pass(experiment, precision, ALL, is_normal=True)
    for work in works.values():
        work()
    own = partial(seconds_per_call, clock=time.process_time)
    seconds = in_turn({name: partial(own, work) for name, work in works.items()}, rounds)
    least = {name: statistics.median(times) for name, times in seconds.items()}
    plan = Differentiable(experiment, ["scale"]).resolved.plan
    pixels = plan.detector.slow_pixels * plan.detector.fast_pixels
    steps = pixels * len(plan.crystal.phi) * len(plan.crystal.domains) * plan.oversample**2
    ratios = tuple(least[name] / least["image"] for name in PASSES)
    return Cost(case, precision, 1e9 * least["image"] / steps, ratios)


def _image(experiment: Experiment, precision: Precision) -> Callable[[], object]:
    """The renderer of photons, tables made before."""
    plan = Differentiable(experiment, ["scale"]).resolved.plan
    tables, variant = make_tables(plan, False), variant_of(plan, precision == "mixed")
    rows, columns = plan.detector.slow_pixels, plan.detector.fast_pixels

    def work() -> None:
        image, done = np.empty((rows, columns), np.float32), np.zeros(rows, np.int64)
        render(plan, tables, image, np.zeros(1, np.int64), done, np.zeros(1, np.int64), *variant)

    return work


def _pass(experiment: Experiment, precision: Precision, free: tuple[str, ...], is_normal: bool) -> Callable[[], object]:
    """One pass with derivatives; plans and how they move made before."""
    model = Differentiable(experiment, free, precision, threads=1)
    plans, changes = change_of(model._setting, model.values.tolist(), model._parameters)
    shape, evaluator = model.shape, Evaluator(precision, 1)
    asked = Asked(cotangent=np.random.default_rng(1).normal(size=shape))
    if is_normal:
        asked = Asked(target=Target(np.ones(shape)), coefficients=np.zeros(0))
    return lambda: evaluator.evaluate(plans, changes, asked)


def main() -> None:
    """Print the table, as Markdown."""
    warnings.simplefilter("ignore", NbnumbaWarning)
    print(f"| case | precision | image, ns a step | {' | '.join(PASSES)} |\n|{'---|' * (3 + len(PASSES))}")
    for case in CASES:
        for precision in PRECISIONS:
            cost = _measured(case, precision, 5)
            told = " | ".join(f"{ratio:.2f}" for ratio in cost.ratios)
            print(f"| {case} | {precision} | {cost.step_ns:.2f} | {told} |", flush=True)


if __name__ == "__main__":
    main()
