"""What a tolerance saves: ``python -m benchmarks.tolerance``, images with one beside exact ones, in turn, one thread.

The brightest pixel of every image beside the direct beam's has 10⁵ photons: what can be left out depends on tolerance
over brightness alone. How far an image is from the exact one is seen where both are float64, since float32 would hide
4·10⁻³ photons of that pixel.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from nbnumba.compiling import compiling
from nbnumba.errors import NbnumbaWarning
from nbnumba.image import Image
from nbnumba.interruption import in_threads
from nbnumba.kernels.cpu.render import render
from nbnumba.kernels.cpu.tables import make_tables, variant_of
from nbnumba.kernels.plan import Plan
from nbnumba.left_out import LeftOut
from nbnumba.nanobragg.parse import parse
from nbnumba.render.backends import How
from nbnumba.render.canvas import Canvas
from nbnumba.render.cpu import BACKEND
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve

from .cases import Case, all_cases, write_inputs
from .measure import in_turn, seconds_per_call, steps_of

Photons = npt.NDArray[np.floating[Any]]

TOLERANCES = (1e-6, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
PEAK_PHOTONS = 1e5

XFEL_EDGE_ANGSTROM, XFEL_DMIN_ANGSTROM = 117.0, 1.6
_XFEL = (
    f"-cell {XFEL_EDGE_ANGSTROM} {XFEL_EDGE_ANGSTROM} {XFEL_EDGE_ANGSTROM} 90 90 90 -misset 12 34 56 -default_F 1 "
    "-lambda 1.3 -dispersion 0.5 -dispsteps 20 -distance 150 -N 40 -oversample 1 -mosaic 0.05 -mosaic_domains 25"
)
_EDGES = "-gauss_xtal -gauss_width edges"
XFEL_CASES = {
    name: Case(name, about, tuple(f"{_XFEL} {options}".split()))
    for name, about, options in (
        ("xfel", "1536², 20 wavelengths x 25 domains, Gaussian", f"{_EDGES} -pixel 0.1 -detpixels 1536"),
        ("xfel, 9 Mpixel", "the same on 3072²", f"{_EDGES} -pixel 0.05 -detpixels 3072"),
        ("xfel, square", "the same on 1536² with fringes", "-pixel 0.1 -detpixels 1536"),
    )
}


@dataclass(frozen=True)
class Saving:
    """Of one case at one tolerance, by one thread."""

    case: str
    tolerance: float
    """Photons."""
    step_ns: float
    """Of the exact image, per sample."""
    ratio: float
    """How many times as fast as that."""
    left_out: LeftOut | None
    """What the program says of it."""
    error: float
    """The most that a pixel is off, photons."""

    @property
    def in_short(self) -> str:
        """How many times as fast, and the percentage of samples that were evaluated, where that is told."""
        return f"{self.ratio:.3g}" + (f" ({100.0 * self.left_out.share:.3g} %)" if self.left_out else "")


def cases() -> dict[str, Case]:
    """Every case whose files are at hand, by name."""
    found = all_cases()
    if "pilatus" in found:
        gauss = Case("pilatus, gauss", "the same with Gaussian spots", (*found["pilatus"].args, *_EDGES.split()))
        found = {"pilatus": found["pilatus"], gauss.name: gauss} | found
    return found | XFEL_CASES


def measure_tolerances(
    folder: Path, rounds: int, quick: bool = False, only: Sequence[str] | None = None
) -> list[Saving]:
    """All cases at all tolerances, by the time that this process spends, not others; ``folder`` has their files."""
    known = cases()
    savings = []
    for name in only or known:
        print(f"measuring tolerances: {name}", file=sys.stderr)
        savings += measured(known[name], folder, rounds, quick)
    return savings


def measured(case: Case, folder: Path, rounds: int, quick: bool) -> list[Saving]:
    """One case, once for each tolerance and once exact, in turn."""
    resolved = resolved_of(case, folder, quick)
    steps, image = steps_of(resolved), Image(resolved, exact(resolved.plan))
    # A band of rows may be dark.
    peak = image.statistics_beside_beam.maximum or 1.0
    plan = resolved.plan._replace(photons_per_sample=resolved.plan.photons_per_sample * PEAK_PHOTONS / peak)
    # A top-hat spot has an edge, beyond which nothing is lost.
    tolerances = (0.0, *TOLERANCES) if case.name == "tophat" else TOLERANCES
    plans = {tolerance: plan._replace(tolerance=tolerance) for tolerance in tolerances}
    whole = exact(plan, np.float64)
    errors = {tolerance: float(np.abs(image_of(one, np.float64)[0] - whole).max()) for tolerance, one in plans.items()}
    told = {tolerance: image_of(one)[1] for tolerance, one in plans.items()}
    works = {"exact": partial(exact, plan)} | {f"{one.tolerance:g}": partial(image_of, one) for one in plans.values()}
    own = partial(seconds_per_call, clock=time.process_time)
    seconds = in_turn({name: partial(own, work) for name, work in works.items()}, rounds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = {tolerance: medians["exact"] / medians[f"{tolerance:g}"] for tolerance in tolerances}
    step_ns = 1e9 * medians["exact"] / steps
    return [Saving(case.name, one, step_ns, ratio[one], told[one], errors[one]) for one in tolerances]


def exact(plan: Plan, kind: type[np.floating[Any]] = np.float32) -> Photons:
    """The image (slow, fast) of all samples, made as the program does."""
    image = np.zeros((plan.detector.slow_pixels, plan.detector.fast_pixels), kind)

    def prepare() -> Callable[[], Any]:
        tables, variant = make_tables(plan, plan.factors.interpolate > 0), variant_of(plan, False)
        done = np.zeros(len(image), np.int64)
        args = (plan, tables, image, np.zeros(1, np.int64), done, np.zeros(1, np.int64), *variant)
        render.compile(tuple(map(numba.typeof, args)))
        return lambda: render(*args)

    in_threads(compiling(prepare), 1)
    return image


def image_of(plan: Plan, kind: type[np.floating[Any]] = np.float32) -> tuple[Photons, LeftOut | None]:
    """The image (slow, fast) as the program renders it, and what it leaves out."""
    canvas = Canvas(plan)
    if kind is not np.float32:
        canvas.photons = np.zeros(canvas.photons.shape, kind)
    outcome = BACKEND.render(plan, How("cpu", "double", threads=1), canvas)
    return canvas.photons, outcome.left_out


def resolved_of(case: Case, folder: Path, quick: bool) -> Resolved:
    """A case in mode spec, which leaves no order of samples to be kept."""
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        experiment = parse(case.options(quick)).experiment
        resolved = resolve(experiment, read_inputs(experiment), seed=1)
    return with_wilson_factors(resolved) if case in XFEL_CASES.values() else resolved


def with_wilson_factors(resolved: Resolved) -> Resolved:
    """The same with F of acentric Wilson statistics, B 20 Å², for a large cubic cell: nobody need read a million."""
    most = int(XFEL_EDGE_ANGSTROM / XFEL_DMIN_ANGSTROM) + 2
    h, k, l = np.ogrid[-most : most + 1, -most : most + 1, -most : most + 1]
    stol_sqr = (h * h + k * k + l * l) / (4.0 * XFEL_EDGE_ANGSTROM**2)
    table = np.sqrt(np.random.default_rng(1).exponential(1.0, stol_sqr.shape)) * 500.0 * np.exp(-20.0 * stol_sqr)
    table[4.0 * stol_sqr > XFEL_DMIN_ANGSTROM**-2] = 0.0
    factors = resolved.plan.factors._replace(table=table[None], first=(-most, -most, -most), default=0.0)
    return replace(resolved, plans=(resolved.plan._replace(factors=factors),))


def table_of(savings: Sequence[Saving]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Its head and its rows, one for each case."""
    tolerances = sorted({one.tolerance for one in savings})
    rows = []
    for case in dict.fromkeys(one.case for one in savings):
        found = {one.tolerance: one for one in savings if one.case == case}
        worst = max((one.error / tolerance for tolerance, one in found.items() if tolerance), default=0.0)
        cells = [found[tolerance].in_short if tolerance in found else "–" for tolerance in tolerances]
        rows.append((case, f"{next(iter(found.values())).step_ns:.2f}", *cells, f"{worst:.2g}"))
    return ("case", "exact, ns/step", *(f"{tolerance:g}" for tolerance in tolerances), "worst error"), rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser("python -m benchmarks.tolerance", description=__doc__)
    parser.add_argument("-quick", action="store_true", help="a part of each image, 2 rounds")
    parser.add_argument("-only", nargs="+", metavar="NAME", choices=cases(), help="these cases and nothing else")
    parser.add_argument("-rounds", type=int, metavar="n", help="rounds (default: 5)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        write_inputs(folder)
        rounds = options.rounds or (2 if options.quick else 5)
        head, rows = table_of(measure_tolerances(folder, rounds, options.quick, options.only))
    for line in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
