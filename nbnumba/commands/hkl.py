"""``nbnumba hkl``: structure factors as the list of h k l F, all of P 1, that nanoBragg and its kin read."""

import numpy as np

from ..errors import UsageError
from ..experiment import Experiment
from ..formats.hkl import write_hkl
from ..nanobragg.parse import parse
from ..setup.factors import factors_without_image
from ..structure_factors.box import Box, spacings
from ..structure_factors.table import FactorTable
from .base import Parser, warnings_told
from .inputs import check_output
from .report import provenance_lines


def main(argv: list[str]) -> int:
    """Write the list and say what is in it."""
    path, words = _output(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "-hkl")
    with warnings_told("nbnumba hkl"):
        command = parse(words)
        check_output(path, command)
        table = factors_without_image(command.experiment)
    hkl, f = listed(table, command.experiment)
    if not len(hkl):
        raise UsageError("no reflection has an F above 0: there is nothing to write")
    write_hkl(path, hkl, f)
    print("\n".join([f"{path}: {len(hkl)} reflections of P 1", *provenance_lines(table)]))
    return 0


def _output(argv: list[str]) -> tuple[str, list[str]]:
    """The list that is to be written, and the other words."""
    parser = _parser()
    own, words = parser.taken(argv, {"-o": "LIST"})
    if not own["-o"]:
        parser.error("-o LIST is needed: the list to be written")
    return own["-o"], words


def listed(table: FactorTable, experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, 3) and F of all that is not 0; where a default_F would light the rest, of all within the resolution.

    nanoBragg takes what is not listed for default_F, also what a space group forbids.
    """
    values, provenance, dmin = table.values[0], table.provenance, experiment.sampling.dmin_angstrom
    box = Box(table.first, values.shape)
    chosen = values > 0.0
    cell = experiment.crystal.cell if provenance is None else provenance.cell
    if provenance is not None and experiment.structure_factors.default_f > 0.0:
        chosen |= spacings(box, provenance.cell) >= provenance.dmin_angstrom
    if dmin and experiment.structure_factors.coordinate_file is None:
        if cell is None:
            raise UsageError(f"-dmin {dmin:g}: no unit cell, by which spacings go: give -cell")
        chosen &= spacings(box, cell) >= dmin
    return box.indices_where(chosen), values[chosen]


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba hkl",
        description="Write the structure factors of FILE (MTZ, CIF, SHELX, XDS, CrystFEL) as lines of h k l F, all of\n"
        "P 1, both mates, for programs that apply no symmetry. Options are those of nbnumba that F depend on:\n"
        "-labels, -space_group, -cell, -scale_F, -B_add, -default_F; in place of FILE also -mtz, -cif_sf, or\n"
        "-pdb with -dmin, and -lambda where its atoms scatter anomalously.",
        usage="nbnumba hkl [FILE] -o LIST [OPTION ...]",
        epilog="examples:\n  nbnumba hkl data.mtz -labels FP -o P1.hkl\n  nbnumba hkl -pdb model.pdb -dmin 2 -o P1.hkl",
    )
    parser.add_argument("-o", required=True, metavar="LIST", help="the list to be written")
    return parser
