"""Structure factors near absorption edges: F(h, λ) = F0(h) + Σ (f'(λ) + i f''(λ)) A(h) over the elements.

A(h) = Σ occ·exp(−B s²)·exp(2πi h·x) over an element's atoms and all symmetry operations knows no wavelength: it is
calculated once. F(h) and F(−h) are no longer conjugate, which makes Bijvoet differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

from ..formats.coordinates import Model
from ..formats.dispersion import HIGHEST_EV, LOWEST_EV
from ..formats.gemmi_files import gemmi_errors
from .fcalc import of_points
from .keeping import kept_while_same

HEAVIEST = 92
"""Atomic number up to which values are tabulated; H and He have none to speak of."""


@kept_while_same(lambda model: model)
def elements_of(model: Model) -> dict[str, int]:
    """The elements of a model's atoms, with their atomic numbers, lightest first."""
    found = {site.atom.element.name: site.atom.element.atomic_number for site in model.structure[0].all()}
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def is_element(symbol: str) -> bool:
    """Whether it is a symbol of the periodic table, as it writes it."""
    element = gemmi.Element(symbol)
    return bool(element.name == symbol and element.atomic_number > 0)


def tabulated(element: str, energies_ev: Sequence[float]) -> tuple[complex, ...] | None:
    """f' + i f'' of an element at some energies, in electrons: Cromer & Liberman, Acta Cryst. A37 (1981) 267.

    They are those of a free atom: an edge is a step, without the white line of a compound.

    Returns
    -------
    tuple of complex or None
        None where nothing is tabulated: of a heavy element, or at an energy that no diffraction is made with.
    """
    number = gemmi.Element(element).atomic_number
    if number > HEAVIEST or not all(LOWEST_EV <= energy <= HIGHEST_EV for energy in energies_ev):
        return None
    return tuple(complex(*gemmi.cromer_liberman(number, energy)) for energy in energies_ev)


def element_factors(model: Model, element: str, hkl: NDArray[np.int32], dmin_angstrom: float) -> NDArray[np.complex64]:
    """A(h) of an element: what its atoms would scatter if each were one electron at a point.

    Parameters
    ----------
    model : Model
        Has atoms of the element.
    element : str
        Its symbol.
    hkl : int array, shape (n, 3)
        In P 1.
    dmin_angstrom : float
        Smallest spacing of these.

    Returns
    -------
    complex64 array, shape (n,)
        0 for (0 0 0), which has no anomalous part here: nothing that is measured depends on it.

    Raises
    ------
    ResourceError
        More reflections than fit into memory.
    """
    with gemmi_errors(model.name):
        only = gemmi.Selection(f"[{element}]").copy_structure_selection(model.structure)
        factors = of_points(only, hkl, dmin_angstrom)
    factors[~hkl.any(axis=1)] = 0.0
    return factors


def amplitudes(
    normal: NDArray[np.complexfloating],
    parts: Mapping[str, NDArray[np.complexfloating]],
    dispersion: Mapping[str, Sequence[complex]],
) -> NDArray[np.float64]:
    """|F| in electrons, for each of some wavelengths.

    Parameters
    ----------
    normal : complex array, shape (n,)
        F0, far from all edges: :func:`.fcalc.complex_factors`.
    parts : mapping of str to complex array, shape (n,)
        A of each element: :func:`element_factors`.
    dispersion : mapping of str to sequence of complex
        f' + i f'' of each of these elements at each wavelength.

    Returns
    -------
    float64 array, shape (wavelengths, n)
        Without elements, one row: |F0|.
    """
    if not parts:
        return np.abs(normal).astype(np.float64)[np.newaxis]
    found = np.empty((len(dispersion[next(iter(parts))]), len(normal)))
    for channel, row in enumerate(found):
        total = normal.astype(np.complex128)
        for element, part in parts.items():
            total += np.complex128(dispersion[element][channel]) * part
        np.abs(total, out=row)
    return found
