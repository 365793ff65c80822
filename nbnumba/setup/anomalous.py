"""Which elements of a model scatter anomalously, how strongly, and which wavelengths the beam has for them."""

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..errors import NbnumbaWarning, UsageError
from ..experiment import Experiment
from ..formats.dispersion import DispersionCurve
from ..structure_factors.provider import Dispersion
from ..units import ev_from_angstrom
from .sources import Sources

if TYPE_CHECKING:
    from ..formats.coordinates import Model

HEAVIER_THAN = 20
"""Calcium: the elements beyond it have an edge that diffraction is measured near."""
LIGHT_ELEMENTS = ("S", "P")
LIGHT_ABOVE_ANGSTROM = 1.5
"""From which wavelength on these matter, far as it is from their edges: 5.0 Å and 5.8 Å."""


def dispersion_of(
    experiment: Experiment, model: "Model | None", curves: Mapping[str, DispersionCurve], sources: Sources
) -> Dispersion:
    """What ``structure_factors.anomalous`` says scatters anomalously, or else what the wavelength makes likely.

    Parameters
    ----------
    experiment : Experiment
    model : Model or None
        Its coordinates, if any.
    curves : mapping of str to DispersionCurve
        Of those elements that have a file of their own.
    sources : Sources
        Of the beam.

    Returns
    -------
    tuple
        Of elements that are named, a channel for each of the different wavelengths of the sources, ascending; of those
        that are likely, a single one: the mean.

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
        return ()
    if named is None:
        return tuple(_likely(model, sources.mean_angstrom))
    energies = tuple(ev_from_angstrom(wavelength) for wavelength in sources.wavelengths()[0].tolist())
    return tuple(_named(experiment, model, curves, energies))


def _likely(model: "Model", wavelength: float) -> Iterator[tuple[str, tuple[complex, ...]]]:
    """By tables, of the elements of a model that nobody has named."""
    from ..structure_factors.anomalous import elements_of, tabulated

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
                yield element, values


def _named(
    experiment: Experiment, model: "Model", curves: Mapping[str, DispersionCurve], energies: tuple[float, ...]
) -> Iterator[tuple[str, tuple[complex, ...]]]:
    """Of the elements that are named, by their curves or by tables."""
    from ..structure_factors.anomalous import elements_of, is_element, tabulated

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
        yield element, values
