"""The orientation as MOSFLM's ``.mat``: A times the wavelength, missetting angles, U, and the cell.

In MOSFLM's frame the beam travels along x, and the spindle is z, or as far along it as is perpendicular to the beam. U
turns a crystal whose a* is along x and whose b* lies in the plane of x and y (Busing & Levy, Acta Cryst. 22, 1967,
457). Digits are more than MOSFLM writes, so that ``-mat`` gives the same crystal back.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from ...errors import NbnumbaWarning
from ..files import Path, replacing
from ..frame import Description, Frame, check_crystal
from ..registry import Format

FROM_DXTBX = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""x along the beam, z along the spindle."""


def mosflm_text(description: Description) -> str:
    """The lines of the file, of the crystal's own lattice at a spindle angle of 0."""
    crystal = description.crystals[0]
    a_matrix = FROM_DXTBX @ description.to_dxtbx @ crystal.a_matrix
    rows = [*(a_matrix * description.wavelength_angstrom), (0.0, 0.0, 0.0), *_rotation(a_matrix)]
    rows += [crystal.cell, (0.0, 0.0, 0.0)]
    return "".join(" ".join(f"{number + 0.0:16.12f}" for number in row) + "\n" for row in rows)


def _rotation(a_matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """U of A = U·B, B having a* along x and b* in the plane of x and y."""
    u, b = np.linalg.qr(a_matrix)
    signs: npt.NDArray[np.float64] = np.sign(np.diag(b))
    rotation: npt.NDArray[np.float64] = u * signs
    return rotation


def _check(path: Path, description: Description, adc_offset: float) -> None:
    check_crystal(os.fspath(path), description)
    if len(description.crystals) > 1:
        warnings.warn(
            f"{os.fspath(path)}: tells of the first of {len(description.crystals)} lattices; .expt tells of all",
            NbnumbaWarning,
            stacklevel=1,
        )


def _write(path: Path, frame: Frame) -> None:
    with replacing(path) as file:
        file.write(mosflm_text(frame.description).encode())


FORMAT = Format("MOSFLM", (".mat",), ("experiment",), _write, check=_check)
