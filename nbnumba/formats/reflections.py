"""Structure factors of an asymmetric unit from the reflection files of other programs."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..arrays import HoldsArrays
from ..errors import InputFileError
from ..experiment import Cell
from .files import Path, as_text
from .recognition import MTZ, SF_CIF, Reader, binary_format, is_free_shelx, text_format

Kind = Literal["any", "mtz", "cif"]

WHAT = "the reflection file"
_KINDS = {"any": WHAT, "mtz": MTZ.what, "cif": SF_CIF.what}


@dataclass(frozen=True, eq=False, repr=False)
class Reflections(HoldsArrays):
    """F of one reflection of each set that the space group makes equivalent."""

    name: str
    """Of the file, for messages."""
    hkl: npt.NDArray[np.int32]
    """(n, 3): of the asymmetric unit, or the mate where that alone was measured."""
    f: npt.NDArray[np.float64]
    """In electrons, or on the scale of the file (n,): of h; of -h too where ``f_minus`` is None or NaN."""
    f_minus: npt.NDArray[np.float64] | None
    """Of -h -k -l (n,), NaN where not measured."""
    cell: Cell | None
    """a, b, c in Å, α, β, γ in degrees."""
    space_group: str | None
    """Extended Hermann-Mauguin symbol, as ``R 3 2:H``."""
    labels: tuple[str, ...]
    """The columns that F was taken from."""
    notes: tuple[str, ...]
    """What was chosen, converted or left out, a line each."""


def reflections_of(
    path: Path,
    content: bytes,
    kind: Kind = "any",
    labels: Sequence[str] | None = None,
    space_group: str | None = None,
) -> Reflections | None:
    """The reflections of a file, merged, or None where it is a list of h k l F, all of P 1.

    Parameters
    ----------
    path : path
        Of the file, for errors.
    content : bytes
        Of the file, unpacked: MTZ; structure-factor mmCIF or CIF; XDS_ASCII.HKL or INTEGRATE.HKL; a list of SHELX
        (HKLF 4) or CrystFEL. A pipe is read once, whichever reader it is for.
    kind : {"any", "mtz", "cif"}
        What it must be; "any": told by content.
    labels : sequence of str, optional
        The column of F or intensities, or the two of h and of -h, in place of those that are found.
    space_group : str, optional
        Symbol or number; counts in place of that of the file.

    Returns
    -------
    Reflections or None

    Raises
    ------
    InputFileError
        Of another kind, damaged, without reflections or symmetry, or values that cannot be.
    """
    name = os.fspath(path)
    reader = _reader(path, content, kind)
    if labels and reader not in ("mtz", "cif"):
        raise InputFileError(f"{name}: -labels {' '.join(labels)}: only MTZ and CIF have columns by name; leave it out")
    if reader is None:
        return None
    # gemmi takes longer to import than a list of h k l F to read.
    from .asymmetric_unit import as_reflections, rows_in

    return as_reflections(name, rows_in(path, content, reader, labels), space_group)


def _reader(path: Path, content: bytes, kind: Kind) -> Reader | None:
    """What is to read a file, None for a list of h k l F; refuses what is no reflection file, or not of this kind."""
    name, known = os.fspath(path), binary_format(content) or text_format(loosely(content))
    if kind != "any" and known is None:
        raise InputFileError(f"{name}: is not {_KINDS[kind]}: give a list of h k l F as -hkl")
    if known is not None and (known.reader is None or kind not in ("any", known.reader)):
        raise InputFileError(f"{name}: is {known.what}, not {_KINDS[kind]}: {known.advice}")
    if known is None:
        return "free shelx" if is_free_shelx(as_text(path, content, WHAT)) else None
    return known.reader


def loosely(content: bytes) -> str:
    """Text whatever the encoding: old files have names of authors in Latin-1; all that counts here is ASCII."""
    return content.removeprefix(codecs.BOM_UTF8).decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
