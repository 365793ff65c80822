"""An experiment again with other numbers, as derivatives and refinement want it: what is counted stays as it was.

Sub-pixels, φ steps, domains, sources, masks, regions and the reflections that have F are those of the experiment as it
was at first; whatever moves continuously moves, without checks, warnings and files.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from ..arrays import HoldsArrays
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Beam, Experiment, with_right_values
from ..experiment.quirks import quirks_of
from ..formats.reflections import Reflections
from ..kernels.plan import BackgroundPlan, DetectorPlan, FactorsPlan, Plan
from ..structure_factors.provider import ListOfP1
from ..structure_factors.table import FactorTable, constant_factors
from .background import background_plan
from .blocks import spot_scale
from .crystal import oriented_lattice
from .detector import detector_plan, sensor_of
from .factors import resolution_of, table_of_model, table_of_reflections
from .inputs import Inputs, read_inputs, with_headers
from .materials import materials_in_beam
from .mosaic import NO_DOMAINS, mosaic_rotations, mosaicity
from .resolve import Resolved, resolve
from .scan import sample_phi
from .sources import Sources
from .standing import Lit, Sampled, aim, light, plan_of

Made = TypeVar("Made")

_NOWHERE = "no crystal or detector has these numbers: give others, nearer to those of the experiment"


class _Around(NamedTuple):
    """What no crystal decides."""

    lit: Lit
    detectors: tuple[DetectorPlan, ...]
    background: BackgroundPlan


class _Last:
    """What was made last, given again for the very same nouns: most parameters move one of them."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], Any] | None = None

    def of(self, nouns: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        kept = self._kept
        if kept is not None and all(one is other for one, other in zip(kept[0], nouns, strict=True)):
            made: Made = kept[1]
            return made
        made = make()
        self._kept = (nouns, made)
        return made


@dataclass(frozen=True, eq=False, repr=False)
class Setting(HoldsArrays):
    """An experiment, read and resolved once, of which plans can be had at other numbers."""

    experiment: Experiment
    """With nothing open but what follows from other fields, and all that is counted as it was counted."""
    inputs: Inputs
    resolved: Resolved
    resolution_angstrom: float
    """To which F of coordinates are calculated; 0 without."""
    _around: _Last = field(default_factory=_Last, init=False)
    _factors: _Last = field(default_factory=_Last, init=False)

    @classmethod
    def of(cls, experiment: Experiment, seed: int = 1) -> Setting:
        """Read an experiment's files and resolve it.

        Parameters
        ----------
        experiment : Experiment
        seed : int
            Taken where the experiment gives none.

        Raises
        ------
        UsageError, InputFileError, ResourceError
            As :func:`nbnumba.simulate`.
        """
        inputs = read_inputs(experiment)
        resolved = resolve(experiment, inputs, seed)
        has_depth = with_headers(experiment, inputs, quirks_of(experiment)).detector.attenuation_depth_um is not None
        return cls(_written_out(resolved, inputs, has_depth), inputs, resolved, _resolution(resolved, inputs))

    @property
    def summary(self) -> str:
        """What the resolved experiment says of itself."""
        return self.resolved.summary

    def plans_at(self, experiment: Experiment, cells: tuple[float, float, float] | None = None) -> tuple[Plan, ...]:
        """The plans of the crystal's own lattice at other numbers, one a panel.

        Parameters
        ----------
        experiment : Experiment
            :attr:`experiment` with other continuous numbers, right or wrong: none is checked.
        cells : tuple of 3 floats, optional
            Na, Nb, Nc in place of the crystal's; they need not be whole.

        Raises
        ------
        UsageError
            Numbers with which nothing can be placed; another number of sources, φ steps or domains.
        """
        # Said when the experiment was resolved.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NbnumbaWarning)
            try:
                return self._plans_at(experiment, cells)
            except (ArithmeticError, ValueError) as error:
                raise UsageError(f"{_NOWHERE} ({error})") from error

    def _plans_at(self, experiment: Experiment, cells: Any) -> tuple[Plan, ...]:
        quirks, (first, *_) = quirks_of(experiment), self.resolved.plans
        nouns = (experiment.beam, experiment.detector, experiment.goniometer, experiment.background)
        lit, detectors, background = self._around.of(nouns, lambda: self._surroundings(experiment))
        lit = lit._replace(experiment=with_right_values(experiment, detector=lit.experiment.detector))
        crystal, scan = experiment.crystal, sample_phi(experiment.scan)
        lattice = oriented_lattice(experiment, self.inputs, lit.aimed.wavelength_angstrom, quirks)
        if cells is not None:
            lattice = replace(lattice, cells=cells)
        blocks, domains = 1.0, NO_DOMAINS
        if self.resolved.has_crystal:
            blocks = spot_scale(crystal, experiment.beam, lattice)
            domains = mosaic_rotations(*mosaicity(crystal), crystal.mosaic_seed)
        sampled = Sampled(first.oversample, domains, self.resolved.steps)
        factors = self._factors.of((experiment.structure_factors,), lambda: self._factors_at(experiment))
        plan = plan_of(lit, detectors[0], lattice, blocks, scan, sampled, factors, background, quirks)
        self._check(plan)
        plan = plan._replace(sources=plan.sources._replace(channel=first.sources.channel))
        return tuple(plan._replace(detector=detector) for detector in detectors)

    def _check(self, plan: Plan) -> None:
        """Raise a UsageError for what lies nowhere, or another number of what the setting has counted."""
        first, crystal = self.resolved.plans[0], plan.crystal
        if not math.isfinite(sum((*crystal.a, *crystal.b, *crystal.c, *plan.detector.origin))):
            raise UsageError(_NOWHERE)
        for what, now, before in (
            ("sources", len(plan.sources.weight), len(first.sources.weight)),
            ("φ steps", len(plan.crystal.phi), len(first.crystal.phi)),
            ("mosaic domains", len(plan.crystal.domains), len(first.crystal.domains)),
        ):
            if now != before:
                raise UsageError(f"{now} {what} where the experiment had {before}: their number must stay as it is")

    def _surroundings(self, experiment: Experiment) -> _Around:
        quirks, inputs = quirks_of(experiment), self.inputs
        lit = light(experiment, inputs, aim(experiment, inputs), quirks)
        detector, sensor = lit.experiment.detector, sensor_of(lit.experiment.detector, quirks)
        detectors = tuple(
            detector_plan(detector, sensor, panel, plan.detector.roi, plan.detector.mask, quirks)
            for panel, plan in zip(lit.aimed.panels, self.resolved.plans, strict=True)
        )
        materials = materials_in_beam(experiment.background.materials, inputs.materials, experiment.beam)
        background = background_plan(experiment, inputs, materials, lit.sources, lit.fluence_per_m2, quirks)
        return _Around(lit, detectors, background)

    def _factors_at(self, experiment: Experiment) -> FactorsPlan:
        """F of the same reflections; spacings go by the cell that the setting has."""
        source, given, first = self.inputs.factors, experiment.structure_factors, self.resolved.plans[0].factors
        if given is self.experiment.structure_factors or not self.resolved.has_crystal:
            return first
        if source is None:
            table = constant_factors(given.default_f)
        elif isinstance(source, FactorTable):
            table = replace(table_of_reflections(experiment, source, _no_cell), outside=given.default_f)
        elif isinstance(source, (ListOfP1, Reflections)):
            table = table_of_reflections(experiment, source, lambda: self.resolved.lattice.cell)
        else:
            table = table_of_model(experiment, source, self.resolution_angstrom, self.resolved.dispersion)
        return FactorsPlan(table.values, table.first, table.outside, first.interpolate)


def _no_cell() -> None:
    return None


def _written_out(resolved: Resolved, inputs: Inputs, has_depth: bool) -> Experiment:
    """What is counted as fields of its own; what follows from others, as a depth from the wavelength, left open."""
    experiment, plan = resolved.experiment, resolved.plans[0]
    detector, depth = experiment.detector, experiment.detector.attenuation_depth_um if has_depth else None
    return with_right_values(
        experiment,
        beam=experiment.beam if inputs.sources is not None else _counted(experiment.beam, resolved.sources),
        detector=with_right_values(detector, attenuation_depth_um=depth),
        scan=with_right_values(
            experiment.scan, oscillation_deg=resolved.scan.oscillation_deg, steps=len(resolved.scan.phi_rad)
        ),
        crystal=with_right_values(experiment.crystal, cells=resolved.lattice.cells, size_mm=(None, None, None)),
        structure_factors=with_right_values(experiment.structure_factors, interpolate=plan.factors.interpolate > 0),
        sampling=with_right_values(experiment.sampling, oversample=plan.oversample),
    )


def _counted(beam: Beam, sources: Sources) -> Beam:
    """With the number of directions and wavelengths where a width or a step is given."""
    steps: dict[str, int] = {}
    if beam.dispersion_percent > 0.0 and sources.spectrum is None:
        steps["dispersion_steps"] = sources.wavelength_steps
    for name, number in (("horizontal", sources.horizontal_steps), ("vertical", sources.vertical_steps)):
        width = (getattr(beam, f"{name}_divergence_mrad"), getattr(beam, f"{name}_divergence_step_mrad"))
        if any(width) and getattr(beam, f"{name}_divergence_steps") is None:
            steps[f"{name}_divergence_steps"] = number
    return with_right_values(beam, **steps) if steps else beam


def _resolution(resolved: Resolved, inputs: Inputs) -> float:
    source = inputs.factors
    if source is None or isinstance(source, (ListOfP1, Reflections, FactorTable)) or not resolved.has_crystal:
        return 0.0
    further = resolved.lattices
    lattices = [resolved.lattice, *(one.lattice for one in further)]
    between = any(plan.factors.interpolate for plan in (resolved.plans[0], *(one.plans[0] for one in further)))
    detectors = [plan.detector for plan in resolved.plans]
    return resolution_of(resolved.experiment, source, detectors, resolved.sources, lattices, between)
