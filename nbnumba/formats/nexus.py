"""NeXus in an HDF5 file: groups of a class, fields with units, axes that depend on one another; and its frame.

https://manual.nexusformat.org/design.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .frame import Vector

DXTBX_TO_NEXUS = np.diag([-1.0, 1.0, -1.0])
"""From the frame of imgCIF, whose z points against the beam, to that of McStas, whose z is along it; also back."""


def group(parent: Any, name: str, nx_class: str, **attributes: Any) -> Any:
    """Make a group of a class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    made.attrs.update(attributes)
    return made


def field(parent: Any, name: str, value: Any, **attributes: Any) -> Any:
    """Write a number, text or array, with attributes such as ``units``."""
    made = parent.create_dataset(name, data=value)
    made.attrs.update(attributes)
    return made


def axis(
    parent: Any,
    name: str,
    value: Any,
    kind: Literal["rotation", "translation"],
    vector: Sequence[float] | npt.NDArray[np.float64],
    depends_on: str,
) -> Any:
    """Write a transformation: a turn in degrees about a vector, or a way in mm along it.

    Parameters
    ----------
    parent : group
    name : str
    value : float or array_like
        One for each frame, or one for all.
    kind : {"rotation", "translation"}
    vector : array_like
        Of length 1, in the frame of NeXus.
    depends_on : str
        Path of the transformation that carries it; ``.`` ends the chain.
    """
    return field(
        parent,
        name,
        np.asarray(value, np.float64),
        units="deg" if kind == "rotation" else "mm",
        transformation_type=kind,
        vector=np.asarray(vector, np.float64),
        offset=np.zeros(3),
        offset_units="mm",
        depends_on=depends_on,
    )


def length_and_direction(vector: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    """A vector as its length and one of length 1; a vector of no length points along z."""
    length = float(np.linalg.norm(vector))
    return length, vector / length if length else np.array([0.0, 0.0, 1.0])


def in_nexus(to_dxtbx: npt.NDArray[np.float64], vector: Vector | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A vector of the laboratory in the frame of NeXus."""
    return DXTBX_TO_NEXUS @ to_dxtbx @ np.asarray(vector, np.float64) + 0.0
