"""Small good files of every kind that docs/files.md names, under the names that it gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import gemmi
import numpy as np
from damage import examples
from models import LYSOZYME, calculated, mtz_of

DMIN = 4.0
QUARTZ = """\
data_quartz
_cell_length_a 4.913
_cell_length_b 4.913
_cell_length_c 5.405
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_space_group_name_H-M_alt 'P 32 2 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Si Si 0.4697 0 0 0.006
O O 0.4133 0.2672 0.1188 0.012
"""
AS_THEY_ARE = {
    "A.mat": "mat", "image_00001.img": "img", "mask.img": "mask", "sources.txt": "sources", "spectrum.txt": "spectrum",
    "spectra.npz": "spectra.npz", "glass.stol": "curve", "run.toml": "toml", "small.fcf": "fcf",
    "image_00001.cbf": "cbf", "image.nxs": "nxs", "crystfel.geom": "geom", "refined.expt": "expt",
    "profile.txt": "profile", "bad.txt": "bad",
}  # fmt: skip
"""Those that ``damage.examples`` has, by its names."""
SELENIUM = "energy f' f''\n12000 -4 0.6\n12650 -8 3\n12660 -9 6\n13000 -4 3.8\n"


def write_documented_files(folder: Path) -> None:
    """Write them all: lysozyme with selenium in its methionines, its reflections to 4 Å as everyone writes them."""
    kept = {name: examples()[kind] for name, kind in AS_THEY_ARE.items()}
    for name, content in {**kept, **dict(_coordinates()), **dict(_reflections())}.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _model() -> str:
    """1HEL with Se in place of the sulphur of its methionines."""
    lines = LYSOZYME.read_text().split("\n")
    return "\n".join(
        f"{line[:12]}SE   MSE{line[20:76]}SE" if line[12:20] == " SD  MET" else line.replace(" MET ", " MSE ")
        for line in lines
    )


def _coordinates() -> Iterator[tuple[str, bytes | str]]:
    model = _model()
    yield "model.pdb", model
    yield "small.cif", QUARTZ
    yield "Se.dat", SELENIUM
    yield "model.cif", gemmi.read_pdb_string(model).make_mmcif_document().as_string()


def _reflections() -> Iterator[tuple[str, bytes | str]]:
    known = calculated(LYSOZYME, DMIN)
    structure = gemmi.read_structure(str(LYSOZYME))
    cell, group = structure.cell, structure.find_spacegroup()
    everything = [(*index, f) for index, f in known.items()]
    yield "P1.hkl", _rows("{} {} {} {:.4f}", everything)
    yield "unique.hkl", _rows("{} {} {} {:.4f}", [row for row in everything if min(row) >= 0])
    hkl = gemmi.make_miller_array(cell, group, DMIN, unique=True)
    f = np.array([known[index] for index in map(tuple, hkl.tolist())])
    mtz = _mtz(cell, group, hkl, f)
    yield "data.mtz", mtz.write_to_bytes()
    yield "unmerged.mtz", _mtz(cell, group, hkl, f, {"M/ISYM": "Y", "BATCH": "B"}).write_to_bytes()
    yield "data-sf.cif", gemmi.MtzToCif().write_cif_to_string(mtz)
    squares = [(*index, value**2, 1.0) for index, value in zip(hkl.tolist(), f.tolist(), strict=True)]
    constants = " ".join(f"{constant:.3f}" for constant in cell.parameters)
    about = f"!SPACE_GROUP_NUMBER= {group.number}\n!UNIT_CELL_CONSTANTS= {constants}\n!END_OF_HEADER\n"
    items = "!ITEM_H=1\n!ITEM_K=2\n!ITEM_L=3\n!ITEM_IOBS=4\n!ITEM_SIGMA(IOBS)=5\n"
    observed = [*squares, (*squares[0][:3], 1e9, -1.0)]  # the last one is a misfit
    xds = _rows("{} {} {} {:.4E} {:.2E}", observed) + "!END_OF_DATA\n"
    yield "XDS_ASCII.HKL", f"!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=FALSE\n{items}{about}{xds}"
    yield "INTEGRATE.HKL", f"!OUTPUT_FILE=INTEGRATE.HKL\n{about}{xds}"
    faint = [(*index, value / 1e3, sigma) for *index, value, sigma in squares]
    yield "shelx.hkl", _rows("{:4}{:4}{:4}{:8.2f}{:8.2f}", [*faint, (0, 0, 0, 0.0, 0.0)])
    yield "free.hkl", _rows("{} {} {} {:.2f} {:.2f}", [*faint, (0, 0, 0, 0.0, 0.0)])
    rows = _rows("{} {} {} {:.2f} - {:.2f} 12", squares)
    columns = "   h    k    l          I    phase   sigma(I)   nmeas\n"
    yield "crystfel.hkl", f"CrystFEL reflection list version 2.0\nSymmetry: 422\n{columns}{rows}End of reflections\n"


def _rows(form: str, rows: Iterable[tuple[float, ...]]) -> str:
    return "".join(form.format(*row) + "\n" for row in rows)


def _mtz(
    cell: gemmi.UnitCell, group: gemmi.SpaceGroup, hkl: np.ndarray, f: np.ndarray, further: dict[str, str] | None = None
) -> gemmi.Mtz:
    """Observed F of all but a few reflections, those of the mates, intensities; further columns of 1."""
    known = np.where(np.arange(len(f)) % (len(f) // 10) == 0, np.nan, f)
    columns = {"FP": "F", "SIGFP": "Q", "F(+)": "G", "F(-)": "G", "IMEAN": "J", "SIGIMEAN": "Q", **(further or {})}
    ones = np.ones(len(f))
    values = [known, ones, 1.02 * known, 0.98 * known, known**2, ones, *(ones for _ in further or ())]
    return mtz_of(hkl, ((*named, column) for named, column in zip(columns.items(), values, strict=True)), group, cell)
