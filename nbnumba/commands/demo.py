"""``nbnumba demo``: an image as a beamline would collect it, of hen egg-white lysozyme."""

import shlex
from importlib.resources import as_file, files

from ..nanobragg.parse import parse
from .base import Parser, made_folder
from .simulate import run

OPTIONS = """
-misset 12 34 56 -crystal_mm 0.05 -Na 16 -Nb 16 -Nc 32 -gauss_xtal -gauss_width edges
-energy 12660 -flux 1e12 -beamsize 0.05 -exposure 0.1 -polar 0.998
-detector eiger2-4m -distance 200 -beamstop 2 -background water 0.05 -background air 30
-phi 0 -osc 0.2 -phisteps 8 -phi_sampling middle -seed 1
"""
"""A crystal of 50 µm, in as much water, in a beam of 10¹² photons/s of its size; the detector's edge is at 2.5 Å."""


def main(argv: list[str]) -> int:
    """Run the demo and say what to look at."""
    folder = made_folder(_parser().parse_args(argv).out)
    outputs = {
        "-o": ("lysozyme_00001.cbf", "lysozyme.expt"),
        "-png": ("lysozyme.png",),
        "-report": ("lysozyme.json",),
    }
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        args = ["-pdb", str(coordinates), *shlex.split(OPTIONS)]
        args += [word for option, names in outputs.items() for name in names for word in (option, str(folder / name))]
        print(f"nbnumba {shlex.join(args)}\n")
        status = run(parse(args))
    print(f"""
Look at    {folder}/lysozyme.png: Bragg spots on the ring of water; the gaps count nothing.
           {folder}/lysozyme_00001.cbf is what the detector counts: open it in DIALS, XDS, ADXV or fabio.
           {folder}/lysozyme.expt leads DIALS to it, with the true geometry and crystal.
           With -images 50 and -o image_#####.cbf the same command turns the crystal by 10 degrees.""")
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba demo",
        description="Render hen egg-white lysozyme (PDB entry 1HEL) as a beamline would see it: a crystal of 50 µm in\n"
        "water and air, a beam of 10^12 photons/s, a detector with gaps, a beamstop, counted photons.",
    )
    parser.add_argument("-out", "--out", default="demo", metavar="DIR", help="folder to write into (default: demo)")
    return parser
