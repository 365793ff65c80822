"""``nbnumba demo``: hen egg-white lysozyme, from its coordinates to an image with noise."""

import shlex
from importlib.resources import as_file, files

from ..nanobragg.parse import parse
from .base import Parser, made_folder
from .simulate import run

OPTIONS = """
-misset 12 34 56 -Na 10 -Nb 10 -Nc 20 -mosaic 0.3 -mosaic_domains 20
-lambda 0.9795 -flux 1e12 -beamsize 0.0005 -polar 0.98 -water 0.5
-detpixels 1024 -pixel 0.172 -distance 160 -phi 0 -osc 0.5 -phisteps 10 -oversample 3 -seed 1
"""
"""A crystal of 0.08 µm in a focused pulse of 10¹² photons; the detector's edge is at 2 Å, its corner at 1.5 Å."""


def main(argv: list[str]) -> int:
    """Run the demo and say what to look at."""
    folder = made_folder(_parser().parse_args(argv).out)
    outputs = {
        "-floatfile": "lysozyme.bin",
        "-intfile": "lysozyme_clean_00001.img",
        "-noisefile": "lysozyme_00001.img",
        "-png": "lysozyme.png",
        "-report": "lysozyme.json",
    }
    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        args = ["-pdb", str(coordinates), *shlex.split(OPTIONS), "-nopgm", "-header", "dials"]
        for option, name in outputs.items():
            args += [option, str(folder / name)]
        print(f"nbnumba {shlex.join(args)}\n")
        status = run(parse(args))
    print(f"""
Look at    {folder}/lysozyme.png: Bragg spots on the smooth scattering of water, which is
           weaker to the left and right, along the polarization; open {folder}/lysozyme_00001.img, the image as a
           photon-counting detector would see it, in DIALS, XDS, ADXV or fabio.""")
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="nbnumba demo",
        description="Calculate structure factors of hen egg-white lysozyme (PDB entry 1HEL) with bulk solvent, render\n"
        "1024 x 1024 pixels, and write all that a run writes into a folder.",
    )
    parser.add_argument("-out", "--out", default="demo", metavar="DIR", help="folder to write into (default: demo)")
    return parser
