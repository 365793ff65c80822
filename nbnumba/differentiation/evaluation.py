"""One pass over an image: photons, and what is made of their derivatives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numba
import numpy as np

from ..arrays import HoldsArrays
from ..choices import Precision
from ..compiling import compiling
from ..interruption import Worker, in_threads
from ..kernels.gradient.change import Change
from ..kernels.plan import Plan
from ..setup.detector import rendered_pixels
from ..setup.panels import stacked, unstacked
from .target import Normal, Target

NO_IMAGE = np.zeros((0, 0))
NO_IMAGES = np.zeros((0, 0, 0))


class Asked(NamedTuple):
    """What is to be made of derivatives; images (slow, fast) are those of all panels, one above the other."""

    slopes: bool = False
    """Derivative images."""
    cotangent: np.ndarray | None = None
    """Whose products with the derivative images are wanted."""
    target: Target | None = None
    """Of which normal equations are wanted."""
    coefficients: np.ndarray | None = None
    """Of the target's basis."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluated(HoldsArrays):
    """What one pass gave; None where it was not asked for."""

    image: np.ndarray
    """float64 (slow, fast): photons; 0 where a target's mask or the detector's leaves a pixel out."""
    slopes: np.ndarray | None
    """(n, slow, fast)."""
    products: np.ndarray | None
    """(n,)."""
    normal: Normal | None


@dataclass
class Evaluator:
    """Renders plans with their derivatives; what does not change between evaluations is kept."""

    precision: Precision = "double"
    threads: int = 1
    _kept: dict[int, tuple[Any, float, Any]] = field(default_factory=dict, init=False, repr=False)
    _compiled: set[Any] = field(default_factory=set, init=False, repr=False)

    def evaluate(self, plans: Sequence[Plan], changes: Sequence[Change], asked: Asked) -> Evaluated:
        """One pass over the panels of an image."""
        shapes = [(plan.detector.slow_pixels, plan.detector.fast_pixels) for plan in plans]
        parts = [_part_of(asked, shapes, number) for number in range(len(plans))]
        done = [self._panel(*one) for one in zip(range(len(plans)), plans, changes, parts, strict=True)]
        images = stacked([uses.image for uses in done])
        slopes = _stacked_slopes([uses.slopes for uses in done]) if asked.slopes else None
        products = None
        if asked.cotangent is not None:
            products = sum(
                change.columns @ uses.products.sum(axis=0) for change, uses in zip(changes, done, strict=True)
            )
        normal = (
            None
            if asked.target is None
            else _normal_of(sum(uses.normal.sum(axis=0) for uses in done), _size(asked, changes))
        )
        return Evaluated(images, slopes, products, normal)

    def _panel(self, number: int, plan: Plan, change: Change, asked: Asked) -> Any:
        from ..kernels.gradient.render import render_slopes, variant_of_slopes
        from ..kernels.gradient.room import new_room

        plan = _masked(plan, asked.target)
        tables = self._tables(number, plan, change)
        uses = uses_of(plan, change, asked)
        taken, stop = np.zeros(1, np.int64), np.zeros(1, np.int64)
        done = np.zeros(plan.detector.slow_pixels, np.int64)
        variant = variant_of_slopes(plan, tables, change, self.precision == "mixed")
        plan = with_real_cells(plan)
        args = (plan, tables, change, uses, taken, done, stop, *variant)

        def room() -> Any:
            return new_room(plan, change, len(uses.basis))

        if variant not in self._compiled:
            # To tell the types of so many arrays takes longer than a small image.
            compiling(lambda: render_slopes.compile(tuple(map(numba.typeof, (room(), *args)))))
            self._compiled.add(variant)
        worker = Worker(lambda: in_threads(lambda: render_slopes(room(), *args), self.threads))
        worker.start()
        try:
            # An interruption comes here, not to the threads that render.
            worker.join()
        except BaseException:
            stop[0] = 1
            worker.join()
            raise
        worker.result()
        return uses

    def _tables(self, number: int, plan: Plan, change: Change) -> Any:
        """Structure factors by the indices that the image meets, again while these have places."""
        from ..kernels.cpu.tables import make_tables, with_cells_of

        kept, factors = self._kept.get(number), plan.factors
        may_keep = factors.table.shape[0] == 1 and not len(change.tables)
        # Where F is constant, all have the same table.
        if kept is not None and may_keep and kept[0] is factors.table and kept[1] == factors.default:
            fits, tables = with_cells_of(plan, kept[2])
            if fits:
                return tables
        tables = compiling(lambda: make_tables(plan, factors.interpolate > 0))
        self._kept[number] = (factors.table, factors.default, tables)
        return tables


def _size(asked: Asked, changes: Sequence[Change]) -> int:
    target = asked.target
    return len(changes[0].columns) + (0 if target is None or target.basis is None else len(target.basis))


def _part_of(asked: Asked, shapes: Sequence[tuple[int, int]], number: int) -> Asked:
    """What is asked of one panel."""

    def part(image: np.ndarray | None) -> np.ndarray | None:
        return None if image is None else unstacked(image, shapes)[number]

    target, rows = asked.target, sum(shape[0] for shape in shapes[:number])
    if target is not None:
        (slow, fast), basis = shapes[number], target.basis
        target = Target(
            unstacked(target.measured, shapes)[number],
            part(target.mask),
            part(target.fixed),
            None if basis is None else basis[:, rows : rows + slow, :fast],
            target.read_noise,
            target.robust_z,
        )
    return Asked(asked.slopes, part(asked.cotangent), target, asked.coefficients)


def _masked(plan: Plan, target: Target | None) -> Plan:
    """With the pixels alone that a target counts."""
    if target is None or target.mask is None:
        return plan
    mask = (rendered_pixels(plan.detector) & target.mask.astype(bool)).astype(np.uint8)
    return plan._replace(detector=plan.detector._replace(mask=mask))


def with_real_cells(plan: Plan) -> Plan:
    """As numbers of cells are where they move: so that the kernel is compiled for these alone."""
    real: Any = tuple(map(float, plan.crystal.cells))
    return plan._replace(crystal=plan.crystal._replace(cells=real))


def uses_of(plan: Plan, change: Change, asked: Asked) -> Any:
    """Arrays for what is asked, as the kernel takes them."""
    from ..kernels.gradient.uses import FIRST, Uses

    parameters, variables = change.columns.shape
    rows, shape = plan.detector.slow_pixels, (plan.detector.slow_pixels, plan.detector.fast_pixels)
    target, cotangent = asked.target, asked.cotangent
    basis = NO_IMAGES if target is None or target.basis is None else target.basis
    size = parameters + len(basis)
    given = np.zeros(0) if asked.coefficients is None else asked.coefficients
    return Uses(
        image=np.zeros(shape),
        slopes=np.zeros((parameters, *shape)) if asked.slopes else NO_IMAGES,
        cotangent=NO_IMAGE if cotangent is None else _plain(cotangent),
        products=NO_IMAGE if cotangent is None else np.zeros((rows, variables)),
        measured=NO_IMAGE if target is None else _plain(target.measured),
        fixed=NO_IMAGE if target is None or target.fixed is None else _plain(target.fixed),
        basis=_plain(basis),
        coefficients=_plain(np.asarray(given, float)),
        variance=0.0 if target is None else float(target.read_noise) ** 2,
        most_z=np.inf if target is None or target.robust_z is None else float(target.robust_z),
        normal=NO_IMAGE if target is None else np.zeros((rows, FIRST + size + size * (size + 1) // 2)),
    )


def _plain(array: np.ndarray) -> np.ndarray:
    return np.require(array, np.float64, ["C", "W"])


def _stacked_slopes(panels: Sequence[np.ndarray]) -> np.ndarray:
    if len(panels) == 1:
        return panels[0]
    return np.array([stacked([panel[number] for panel in panels]) for number in range(len(panels[0]))])


def _normal_of(sums: Any, size: int) -> Normal:
    from ..kernels.gradient.uses import DEVIANCE, FIRST, MEASURED, MISFIT, MODELLED, PIXELS

    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = sums[FIRST + size :]
    matrix += np.tril(matrix, -1).T
    return Normal(
        deviance=float(sums[DEVIANCE]),
        gradient=sums[FIRST : FIRST + size].copy(),
        matrix=matrix,
        pixels=int(sums[PIXELS]),
        measured=float(sums[MEASURED]),
        modelled=float(sums[MODELLED]),
        misfit=float(sums[MISFIT]),
    )
