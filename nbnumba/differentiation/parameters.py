"""Which numbers of an experiment are parameters, by the names of its fields."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..experiment.quirks import PHYSICS, quirks_of
from ..kernels.choices import FLAT
from ..setup.again import Setting
from .composites import a_matrix_of, mean_size_of, orientation_of, scale_of_spots, size_of, with_cell_of_matrix
from .dependence import check_tophat, told_apart
from .fields import path_of
from .parameter import Parameter, numbers_of_field
from .tangents import change_of, follows_cell

MADE_OF_MORE: dict[str, Callable[[Setting], list[Parameter]]] = {
    "scale": scale_of_spots,
    "crystal.orientation": orientation_of,
    "crystal.size": size_of,
    "crystal.a_matrix": a_matrix_of,
}
"""Names that stand for more or less than a field."""
IN_THE_MATRIX = ("crystal.cell", "crystal.misset_deg", "crystal.orientation")
"""What ``crystal.a_matrix`` says, too."""


def setting_of(experiment: Experiment, free: Sequence[str]) -> Setting:
    """The experiment read and resolved; its cell and a rotation in place of a matrix, if the cell is to be free.

    Raises
    ------
    UsageError, InputFileError, ResourceError
        As :func:`nbnumba.simulate`.
    """
    setting = Setting.of(experiment)
    crystal = setting.experiment.crystal
    wants_cell = any(str(name).partition("[")[0] == "crystal.cell" for name in free)
    if not (wants_cell and crystal.cell is None and setting.resolved.has_crystal):
        return setting
    with warnings.catch_warnings():
        # Said when the experiment was resolved.
        warnings.simplefilter("ignore", NbnumbaWarning)
        return Setting.of(with_cell_of_matrix(setting))


def parameters_of(setting: Setting, free: Sequence[str]) -> tuple[Parameter, ...]:
    """The numbers that names stand for, in their order.

    Parameters
    ----------
    setting : Setting
    free : sequence of str
        Fields of the experiment, such as ``crystal.cell`` and ``detector.panels[0].origin_mm``, which have all of their
        numbers, or one of them, ``crystal.cell[0]``. Besides: ``scale``, which is ``crystal.spot_scale``;
        ``crystal.orientation``, three rotations in degrees about the laboratory's axes after all that is said of it;
        ``crystal.size``, Na, Nb and Nc as real numbers, of a Gaussian crystal their geometric mean;
        ``crystal.a_matrix``, in place of cell and orientation. A direction stands for its components across itself.

    Returns
    -------
    tuple of Parameter

    Raises
    ------
    UsageError
        A name that is none; an experiment, or a number of it, that has no derivative; a name given twice; numbers that
        change nothing, or do exactly as others do.
    """
    if isinstance(free, str) or not free:
        raise UsageError("free: give a list of names of parameters, such as ['crystal.cell', 'scale']")
    _check_setting(setting)
    found = [parameter for name in free for parameter in _named(setting, name)]
    names = [parameter.name for parameter in found]
    _check_names(names)
    values = [parameter.value for parameter in found]
    plans, changes = change_of(setting, values, found)
    check_tophat(found, plans, changes)
    return told_apart(found, plans, changes)


def _named(setting: Setting, name: Any) -> list[Parameter]:
    path = path_of(name)
    for whole, make in MADE_OF_MORE.items():
        if name == whole == "crystal.size" and follows_cell(setting.experiment.crystal):
            return mean_size_of(setting)
        if name == whole or name.startswith(f"{whole}["):
            all_of_it = make(setting)
            chosen = [one for one in all_of_it if one.name == name or one.name.startswith(f"{name}[")]
            if not chosen:
                raise UsageError(f"{name}: there are {all_of_it[0].name} to {all_of_it[-1].name}")
            return chosen
    if path[:2] == ("detector", "pixel_mm"):
        _check_pixels(setting)
    return numbers_of_field(setting, path)


def _check_setting(setting: Setting) -> None:
    """Raise a UsageError for an experiment that has no derivatives."""
    experiment, plan = setting.experiment, setting.resolved.plans[0]
    # Counting comes after the photons.
    if replace(quirks_of(experiment), counted_in_order=False) != PHYSICS:
        raise UsageError("gradients are of mode spec: leave out -mode c and -phi_carryover c")
    if plan.detector.surface != FLAT:
        raise UsageError("gradients are of flat detectors: leave out -curved_det")
    if plan.dmin > 0.0:
        raise UsageError(
            f"-dmin {experiment.sampling.dmin_angstrom:g} leaves out samples, where photons jump: gradients need all; "
            "leave it out"
        )
    if setting.resolved.lattices:
        raise UsageError("gradients are of one lattice: leave out -lattice")


def _check_pixels(setting: Setting) -> None:
    detector = setting.experiment.detector
    if detector.panels is None and (detector.fast_pixels is None or detector.slow_pixels is None):
        raise UsageError(
            "detector.pixel_mm says how many pixels a size holds: give detector.fast_pixels and detector.slow_pixels"
        )


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(f"{name} is given twice")
    matrix = [name for name in names if name.startswith("crystal.a_matrix")]
    beside = [name for name in names if name.partition("[")[0] in IN_THE_MATRIX]
    if matrix and beside:
        raise UsageError(f"{beside[0]} beside crystal.a_matrix, which says all of cell and orientation: give one")
