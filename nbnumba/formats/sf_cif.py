"""Reflections from CIF: structure-factor mmCIF, and the lists of small molecules (fcf, hkl)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import gemmi
import numpy as np

from ..errors import InputFileError
from .column_choice import Column, chosen
from .gemmi_files import gemmi_errors
from .observations import Observations, given_cell, miller_indices
from .recognition import SF_CIF
from .shelx import read_fixed_shelx

_TAGS = {
    "pdbx_F_calc_with_solvent": ("F", "F-model"), "F_calc": ("F", "FC"), "F_calc_au": ("F", "FC"),
    "F_squared_calc": ("J", "IC"), "intensity_calc": ("J", "IC"), "F_meas": ("F", "FP"), "F_meas_au": ("F", "FP"),
    "pdbx_F_plus": ("G", "F(+)"), "pdbx_F_minus": ("G", "F(-)"), "pdbx_I_plus": ("K", "I(+)"),
    "pdbx_I_minus": ("K", "I(-)"), "intensity_meas": ("J", "IMEAN"), "F_squared_meas": ("J", "IMEAN"),
    "pdbx_FWT": ("F", "FWT"), "pdbx_DELFWT": ("F", "DELFWT"),
}  # fmt: skip
"""Type and label of the same column in MTZ; of any other tag R, a number, and its own name."""
_SYMBOLS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group.name_H-M_alt",
            "_symmetry.space_group_name_H-M")  # fmt: skip
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz",
               "_symmetry_equiv.pos_as_xyz")  # fmt: skip
_NUMBERS = ("_space_group_IT_number", "_symmetry_Int_Tables_number", "_space_group.IT_number",
            "_symmetry.Int_Tables_number")  # fmt: skip
_SHELX = "_shelx_hkl_file"


def read_sf_cif(name: str, text: str, labels: Sequence[str] | None) -> Observations:
    """The merged reflections of the first block of a CIF that has any.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    text : str
        Its content.
    labels : sequence of str, optional
        A tag without its category, or those of h and of -h, or what MTZ calls them; the order of
        :func:`~nbnumba.formats.column_choice.chosen` otherwise.

    Raises
    ------
    InputFileError
        The file is damaged, or unmerged; there are no such columns.
    """
    with gemmi_errors(name, SF_CIF.what, "its reflections"):
        blocks = list(_blocks(gemmi.cif.read_string(text)))
        merged = [block for block in blocks if block.is_merged()]
        if merged:
            found = _observations(name, merged[0], labels)
            several = f"{len(merged)} blocks hold reflections: the first was taken, data_{merged[0].block.name}"
            return replace(found, notes=((several, *found.notes) if len(merged) > 1 else found.notes))
        for block in gemmi.cif.read_string(text):
            content = block.find_value(_SHELX)
            if content is not None:
                return _embedded(name, block, content)
    unmerged = "its reflections are unmerged (_diffrn_refln): merge them" if blocks else "it has no loop of _refln"
    raise InputFileError(f"{name}: {unmerged}, and give the MTZ as -mtz")


def _blocks(document: gemmi.cif.Document) -> Iterator[gemmi.ReflnBlock]:
    """Those with a loop of reflections, by either kind of tags."""
    small = [block for block in document if block.find_loop("_refln_index_h")]
    if small:
        return map(gemmi.hkl_cif_as_refln_block, small)
    return (block for block in gemmi.as_refln_blocks(document) if block.default_loop is not None)


def _observations(name: str, block: gemmi.ReflnBlock, labels: Sequence[str] | None) -> Observations:
    columns = [
        Column(tag, kind, partial(_numbers, name, block, tag), alias)
        for tag in block.column_labels()
        for kind, alias in [("H", "") if tag.startswith("index_") else _TAGS.get(tag, ("R", ""))]
    ]
    choice = chosen(name, columns, labels)
    values, *minus = (column.values() for column in choice.columns)
    group, why = _group(block)
    return Observations(
        hkl=miller_indices(block.make_miller_array().astype(float), partial(_wrong_row, name, block)),
        values=values,
        minus=minus[0] if minus else None,
        are_intensities=choice.are_intensities,
        labels=choice.labels,
        cell=given_cell(block.cell.parameters),
        group=group,
        why_no_group=why,
        notes=choice.notes,
    )


def _numbers(name: str, block: gemmi.ReflnBlock, tag: str) -> np.ndarray:
    """A column, NaN where the file has ``?`` or ``.``."""
    values = np.array(block.make_float_array(tag))
    loop = block.default_loop
    at = [item.rpartition("_refln")[2][1:] for item in loop.tags].index(tag)
    for row in np.flatnonzero(np.isnan(values)):
        word = loop[int(row), at]
        if word not in ("?", "."):
            raise _wrong_row(name, block, int(row), f"{tag} must be a number, ? or ., not {word[:60]!r}")
    return values


def _wrong_row(name: str, block: gemmi.ReflnBlock, row: int, problem: str) -> InputFileError:
    return InputFileError(f"{name}: reflection {row + 1} of data_{block.block.name}: {problem}")


def _group(refln: gemmi.ReflnBlock) -> tuple[gemmi.SpaceGroup | None, str]:
    """The space group of a block, or why there is none."""
    if refln.spacegroup is not None:
        return refln.spacegroup, ""
    return _group_of(refln.block, refln.cell)


def _group_of(block: gemmi.cif.Block, cell: gemmi.UnitCell) -> tuple[gemmi.SpaceGroup | None, str]:
    """By operations, symbol or number, in this order: only the first name the setting for sure."""
    for tag in _OPERATIONS:
        operations = [gemmi.Op(gemmi.cif.as_string(word)) for word in block.find_values(tag)]
        by_operations: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations))
        if operations and by_operations is not None:
            return by_operations, ""
    told = ""
    for tag in (*_SYMBOLS, *_NUMBERS):
        symbol = gemmi.cif.as_string(block.find_value(tag) or "?").strip()
        group = gemmi.find_spacegroup_by_name(symbol, cell.alpha, cell.gamma)
        if group is not None and symbol != "0":  # which gemmi takes for P 1
            return group, ""
        told = told or symbol
    return None, f"its space group {told!r} is not known" if told else "it names no space group"


def _embedded(name: str, block: gemmi.cif.Block, content: str) -> Observations:
    """SHELX's list, which its CIF has as one text."""
    small = gemmi.make_small_structure_from_block(block)
    text = gemmi.cif.as_string(content).replace("\r\n", "\n")
    group, why = _group_of(block, small.cell)
    found = read_fixed_shelx(f"{name}: {_SHELX}", text)
    return replace(found, cell=given_cell(small.cell.parameters), group=group, why_no_group=why)
