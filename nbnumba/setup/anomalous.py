"""Which elements of a model scatter anomalously, how strongly, and which wavelengths the beam has for them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import HoldsArrays
from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..formats.dispersion import DispersionCurve
from ..units import ev_from_angstrom
from .sources import Sources

if TYPE_CHECKING:
    from ..formats.coordinates import Model

Dispersion = dict[str, tuple[complex, ...]]
"""f' + i f'' in electrons of each element in each channel."""

HEAVIER_THAN = 20
"""Calcium: the elements beyond it have an edge that diffraction is measured near."""
LIGHT_ELEMENTS = ("S", "P")
LIGHT_ABOVE_ANGSTROM = 1.5
"""From which wavelength on these matter, far as it is from their edges: 5.0 Å and 5.8 Å."""


@dataclass(frozen=True, eq=False, repr=False)
class Anomalous(HoldsArrays):
    """What scatters anomalously; a channel is a wavelength for which F is calculated."""

    dispersion: Dispersion
    wavelength_angstrom: tuple[float, ...]
    """Of each channel."""
    channel: np.ndarray
    """Which channel the F of each source is of, int64 (sources,)."""


def anomalous_scattering(
    experiment: Experiment, model: "Model | None", curves: Mapping[str, DispersionCurve], sources: Sources
) -> Anomalous | None:
    """What ``structure_factors.anomalous`` says, or else what the wavelength makes likely; None: nothing.

    Parameters
    ----------
    experiment : Experiment
    model : Model or None
        Its coordinates, if any.
    curves : mapping of str to DispersionCurve
        Of those elements that have a file of their own.
    sources : Sources
        Of the beam.

    Raises
    ------
    UsageError
        Elements without a model; one that there is not, that no atom is of, or of which nothing is tabulated.
    InputFileError
        A curve that does not reach the energies of the beam.

    Warns
    -----
    NbnumbaWarning
        An element that scatters anomalously, if nothing else is said, and of which nothing is tabulated.
    """
    named = experiment.structure_factors.anomalous
    if model is None:
        if named:
            raise UsageError(f"-anomalous {named[0]}: -pdb must name a file of its atoms")
        return None
    if named is None:
        mean = float(np.average(sources.wavelength_angstrom, weights=sources.weight))
        wavelengths, channel = (mean,), np.zeros(len(sources.weight), dtype=np.int64)
        dispersion = _likely(model, mean)
    else:
        distinct, inverse = np.unique(sources.wavelength_angstrom, return_inverse=True)
        wavelengths, channel = tuple(distinct.tolist()), inverse.astype(np.int64)
        energies = tuple(map(ev_from_angstrom, wavelengths))
        dispersion = _named(experiment, model, curves, energies)
    return Anomalous(dispersion, wavelengths, channel) if dispersion else None


def _likely(model: "Model", wavelength: float) -> Dispersion:
    """By tables, of the elements of a model that nobody has named."""
    from ..structure_factors.anomalous import elements_of, tabulated

    found: Dispersion = {}
    for element, number in elements_of(model).items():
        if number > HEAVIER_THAN or (element in LIGHT_ELEMENTS and wavelength > LIGHT_ABOVE_ANGSTROM):
            energy = ev_from_angstrom(wavelength)
            values = tabulated(element, (energy,))
            if values is None:
                warnings.warn(
                    f"{model.name}: no f' and f'' of {element} are tabulated at {energy:.6g} eV: it scatters as far "
                    f"from its edges; -anomalous {element}=file gives them",
                    NbnumbaWarning,
                    stacklevel=5,
                )
            else:
                found[element] = values
    return found


def _named(
    experiment: Experiment, model: "Model", curves: Mapping[str, DispersionCurve], energies: tuple[float, ...]
) -> Dispersion:
    """Of the elements that are named, by their curves or by tables."""
    from ..structure_factors.anomalous import elements_of, is_element, tabulated

    found: Dispersion = {}
    present = elements_of(model)
    for element in experiment.structure_factors.curve_files:
        if not is_element(element):
            raise UsageError(f"-anomalous {element}: there is no such element; give a symbol, such as Se")
        if element not in present:
            raise UsageError(f"-anomalous {element}: no atom of {model.name} is one; there are {', '.join(present)}")
        values = curves[element].at(energies) if element in curves else tabulated(element, energies)
        if values is None:
            raise UsageError(
                f"-anomalous {element}: no f' and f'' are tabulated at {min(energies):.6g} to {max(energies):.6g} eV: "
                f"give a file of them, -anomalous {element}=file"
            )
        found[element] = values
    return found
