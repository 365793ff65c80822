"""The fused kernel: photons of the renderer, derivatives of the plain twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from changes import change_along
from moving import TRICLINIC, any_directions, host_at, resolved_of

from nbnumba import Experiment, changed
from nbnumba.differentiation.evaluation import Asked, Evaluated, Evaluator
from nbnumba.render.job import render
from nbnumba.setup.mosaic import mosaic_changes
from nbnumba.testing.derivatives import derivatives

WET = changed(TRICLINIC, background={"water_um": 2.0})
OVERSAMPLED = {"oversample_thick": True, "oversample_polar": True, "oversample_omega": True}
EXACT, SINGLE = 1e-10, 1e-4
"""Of a derivative image, relative to its largest number, by the precision."""


def evaluated(experiment: Experiment, tangents: Any, precision: Any = "double", **asked: Any) -> Evaluated:
    """By the kernel, along directions of the twin's variables."""
    crystal, plan = experiment.crystal, resolved_of(experiment).plan
    changes = mosaic_changes(crystal.mosaic_spread_deg or 0.0, len(plan.crystal.domains), crystal.mosaic_seed)
    change = change_along(plan, host_at(experiment), tangents, changes)
    return Evaluator(precision, 1).evaluate([plan], [change], Asked(**asked))


def check(experiment: Experiment, precision: Any = "double", within: float = EXACT) -> None:
    """Photons and all derivatives of an experiment."""
    host = host_at(experiment)
    tangents = any_directions(host)
    done, wanted = evaluated(experiment, tangents, precision, slopes=True), derivatives(host, tangents)
    photons = render(resolved_of(experiment), "cpu", precision=precision).photons
    assert np.abs(done.image - photons).max() <= (1e-7 if precision == "double" else 2e-6) * photons.max()
    assert done.slopes is not None
    for tangent, found, right in zip(tangents, done.slopes, wanted, strict=True):
        # Of what moves nothing, the largest number is 0.
        assert np.abs(found - right).max() <= within * np.abs(right).max(), tangent.keys()


@pytest.mark.parametrize("sampling", [{}, OVERSAMPLED], ids=["", "oversampled"])
@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
def test_derivatives_are_those_of_the_twin(shape: str, sampling: dict[str, bool]) -> None:
    check(changed(WET, crystal={"shape": shape}, sampling=sampling))
