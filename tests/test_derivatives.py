"""Derivatives of images: the plain ones against complex steps, differences, and what must hold of them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from moving import TRICLINIC, host_at, resolved_of

from nbnumba import Experiment, changed
from nbnumba.render.job import render
from nbnumba.testing.derivatives import derivatives
from nbnumba.testing.plain_image import Host, Tangent, Variables, image, moved

SHAPES = ("square", "round", "gauss", "tophat")
OVERSAMPLED = {"oversample_thick": True, "oversample_polar": True, "oversample_omega": True}
WET = changed(TRICLINIC, background={"water_um": 2.0})
EXACT = 1e-12
"""Of a derivative image, relative to its largest number."""


def by_complex_step(host: Host, tangent: Tangent) -> np.ndarray:
    """A derivative to the last digits: nothing is subtracted."""
    return image(moved(host, tangent, 1e-30j)).imag / 1e-30


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest number wanted."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def any_directions(host: Host, seed: int = 1) -> list[dict[str, Any]]:
    """One of each variable that the host has, at random."""
    random, tangents = np.random.default_rng(seed), []
    for name in (field.name for field in fields(Variables)):
        value = np.asarray(getattr(host.variables, name))
        if value.size:
            tangents.append({name: random.normal(size=value.shape) * (np.abs(value).max() or 1.0)})
    return tangents


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_image_is_that_of_the_reference(shape: str) -> None:
    experiment = changed(WET, crystal={"shape": shape})
    photons = render(resolved_of(experiment), "reference").photons
    # Half of the last bit of float32.
    assert error(image(host_at(experiment)), photons) < 6e-8


@pytest.mark.parametrize("sampling", [{}, OVERSAMPLED], ids=["", "oversampled"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_variable_moves_photons_as_a_complex_step_does(shape: str, sampling: dict[str, bool]) -> None:
    experiment: Experiment = changed(WET, crystal={"shape": shape}, sampling=sampling)
    host = host_at(experiment)
    tangents = any_directions(host)
    for tangent, found in zip(tangents, derivatives(host, tangents), strict=True):
        wanted = by_complex_step(host, tangent)
        if wanted.any():
            assert error(found, wanted) <= EXACT, tangent.keys()
        else:
            assert not found.any(), tangent.keys()
