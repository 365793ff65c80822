"""What a file says of an experiment, where the experiment itself says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import InputFileError, UsageError
from ..experiment import Detector, Experiment, Panel, changed, nouns
from ..experiment.field import declared
from ..formats.found import Found
from ..kernels.equations.vectors import scaled, unit
from ..nanobragg.table import option_of
from .panels import OF_ALL_PANELS
from .spectrum import has_spectrum

ORIENTED_BY = ("cell", "matrix_file", "a_matrix", "u_matrix")
"""Fields of a crystal of which any one makes the crystal the experiment's own."""

WITH_GAIN = ("integrating", "switching")
"""Kinds of read-out to which a file's counts per photon mean something."""


def with_found(experiment: Experiment, found: Found) -> Experiment:
    """The experiment with what is not given in it taken from a file.

    A field counts as given where its value is not that of its declaration. A file's crystal counts where the
    experiment has none of its own.

    Raises
    ------
    InputFileError
        The file leaves a field to the experiment, which does not give it.
    UsageError
        The experiment says of the detector what goes with no list of panels, or names a convention.
    """
    for path, problem in found.needs.items():
        if not _is_given(experiment, path):
            raise InputFileError(problem)
    values = {noun: _missing(experiment, noun, given) for noun, given in found.values.items()}
    told = found.values.get("detector", {})
    convention = experiment.detector.convention
    if "convention" in told and convention not in (Detector.convention, told["convention"]):
        raise UsageError(f"-{convention} beside {_named(found)}, which has axes of its own: leave out one of the two")
    if "panels" in values.get("detector", {}):
        _check_beside_panels(experiment.detector, found)
        values["detector"] |= {"panels": _moved(experiment, found), "distance_mm": None, "pivot": None}
    return changed(experiment, **values)


def _named(found: Found) -> str:
    return f"-img {found.path}"


def _is_given(experiment: Experiment, path: str) -> bool:
    if path == "beam.wavelength_angstrom" and has_spectrum(experiment.beam):
        return True
    if path == "detector.distance_mm" and experiment.detector.panels is not None:
        return True
    noun, _, name = path.partition(".")
    return getattr(getattr(experiment, noun), name) is not None


def _missing(experiment: Experiment, noun: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a file's values that the experiment does not give."""
    own, declarations = getattr(experiment, noun), declared(nouns()[noun])
    left_out: tuple[str, ...] = ()
    if noun == "crystal" and any(getattr(own, name) is not None for name in ORIENTED_BY):
        left_out = ORIENTED_BY
    if noun == "readout" and own.kind not in WITH_GAIN:
        left_out = ("gain",)
    return {
        name: value
        for name, value in told.items()
        if getattr(own, name) == declarations[name].default and name not in left_out
    }


def _check_beside_panels(detector: Detector, found: Found) -> None:
    """Raise a UsageError for what an experiment says of a single panel."""
    allowed = {*OF_ALL_PANELS, "pivot"} | ({"distance_mm"} if found.distance_mm is not None else set())
    for name, declaration in declared(Detector).items():
        if name not in allowed and getattr(detector, name) != declaration.default:
            option = option_of(f"detector.{name}")
            raise UsageError(f"{option} beside {_named(found)}, whose panels have places and pixels of their own")


def _moved(experiment: Experiment, found: Found) -> tuple[Panel, ...]:
    """The panels of a file, at the distance that the experiment gives."""
    panels: tuple[Panel, ...] = found.values["detector"]["panels"]
    distance = experiment.detector.distance_mm
    if distance is None or found.distance_mm is None:
        return panels
    beam = unit(experiment.beam.direction or found.values["beam"]["direction"])
    x, y, z = scaled(beam, distance - found.distance_mm)
    origins = [panel.origin_mm or (0.0, 0.0, 0.0) for panel in panels]
    return tuple(
        replace(panel, origin_mm=(u + x, v + y, w + z)) for panel, (u, v, w) in zip(panels, origins, strict=True)
    )
