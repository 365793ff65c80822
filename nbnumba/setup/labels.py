"""When the known differences between nanoBragg and the physics matter to an experiment, whichever its mode."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..experiment import Experiment
from ..experiment.quirks import NANOBRAGG, PHYSICS, labels_of
from ..kernels.equations.vectors import cross, dot, length
from ..kernels.plan import Plan
from .crystal import has_matrix
from .geometry import Geometry
from .inputs import Inputs, with_headers
from .panels import PlacedPanel


class Case(NamedTuple):
    """What decides whether a difference matters."""

    given: Experiment
    """Without what headers say."""
    experiment: Experiment
    inputs: Inputs
    panel: PlacedPanel
    plan: Plan


def _normal_may_flip(case: Case) -> bool:
    normal = case.experiment.detector.normal_axis
    if case.experiment.detector.convention != "custom" or normal is None or length(normal) == 1.0:
        return False
    return isinstance(case.panel, Geometry) and dot(normal, cross(*case.panel.unrotated[:2])) < 0.0


def _weights_differ(case: Case) -> bool:
    if case.inputs.sources is None:
        return False
    weights = case.inputs.sources[:, 3]
    return len(set(np.where(np.isnan(weights), 1.0, weights))) > 1


def _headers_read_differently(case: Case) -> bool:
    if case.inputs.mask is None and case.inputs.header is None:
        return False
    return with_headers(case.given, case.inputs, PHYSICS) != with_headers(case.given, case.inputs, NANOBRAGG)


def _cell_is_oblique(case: Case) -> bool:
    cell = case.experiment.crystal.cell
    if cell is None or has_matrix(case.experiment.crystal, case.inputs):
        return False
    return sum(angle != 90.0 for angle in cell[3:]) > 1


def _any_factor_oversampled(case: Case) -> bool:
    sampling = case.experiment.sampling
    return sampling.oversample_thick or sampling.oversample_polar or sampling.oversample_omega


def _both_distances(case: Case) -> bool:
    detector = case.experiment.detector
    return detector.distance_mm is not None and detector.close_distance_mm is not None


def _near_point_in_mm(case: Case) -> bool:
    detector = case.experiment.detector
    return detector.close_x_mm is not None or detector.close_y_mm is not None


def _origin_given(case: Case) -> bool:
    detector = case.experiment.detector
    return detector.convention == "custom" and detector.origin_mm is not None


MATTERS: dict[str, Callable[[Case], bool]] = {
    "close_xy_is_beam_center": _near_point_in_mm,
    "normal_loses_side": _normal_may_flip,
    "twotheta_left_out": lambda case: bool(case.experiment.detector.twotheta_deg),
    "origin_ignored": _origin_given,
    "curved_by_mixed_axes": lambda case: case.experiment.detector.curved,
    "misset_without_uniformity": lambda case: case.experiment.crystal.misset_deg == "random",
    "source_weights_ignored": _weights_differ,
    "phi_zero_keeps_cell": lambda case: len(case.plan.crystal.phi) > 1 and bool((case.plan.crystal.phi == 0.0).any()),
    "interpolation_ends_at_table": lambda case: case.plan.factors.interpolate > 0,
    "factors_multiply_sum": _any_factor_oversampled,
    "water_scaled_twice": lambda case: case.experiment.background.water_um > 0.0,
    "amorphous_ignored": lambda case: case.experiment.background.amorphous_file is not None,
    "header_keyword_anywhere": _headers_read_differently,
    "close_distance_decides": _both_distances,
    "dump_always_written": lambda case: case.experiment.structure_factors.hkl_file is not None,
    "tilted_c_star": _cell_is_oblique,
    "layers_overfill_sensor": lambda case: case.plan.detector.layer_step > 0.0,
}
"""By the names of the switches in :mod:`nbnumba.experiment.quirks`.

What a command line or a header's text alone tells is asked where these are known: the pivot and misread options in
``nanobragg``, the header's length and whether photons are counted where images are made.
"""


def labels_met(case: Case) -> tuple[str, ...]:
    """Labels of the differences that matter to an experiment."""
    return tuple(labels_of(name for name, matters in MATTERS.items() if matters(case)))
