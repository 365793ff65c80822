"""What is rendered: command lines that every program takes, and the files that they name."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nbnumba.nanobragg.parse import parse

ROOT = Path(__file__).resolve().parent.parent
PILATUS_DATA = Path(os.environ.get("NB_PILATUS_DATA", ROOT.parent / "shared" / "data" / "pilatus"))
PILATUS_FILES = ("A.mat", "scaled.hkl")
PILATUS_ARGS = ROOT / "tests" / "golden" / "pilatus_args.json"

LYSOZYME_HKL = "lysozyme.hkl"
LYSOZYME_CELL_ANGSTROM = (79.1, 79.1, 37.9)
LYSOZYME_DMIN_ANGSTROM = 1.8
"""Finer than any detector here but the large one sees, so that interpolation never leaves the table."""


@dataclass(frozen=True)
class Case:
    """A command line for every program."""

    name: str
    about: str
    args: tuple[str, ...]
    plain: bool = False
    """Whether a step is the plain one, whose operations docs/benchmarks.md counts: square crystal, nearest F."""
    quick_share: int = 32
    """``-quick`` renders one row in so many."""

    def options(self, quick: bool) -> tuple[str, ...]:
        """The command line, or that of a band of rows across the middle of its detector."""
        if not quick:
            return self.args
        detector = parse(self.args).experiment.detector
        assert detector.fast_pixels is not None, "a case gives its detector in pixels"
        assert detector.slow_pixels is not None, "a case gives its detector in pixels"
        fast, slow = detector.fast_pixels, detector.slow_pixels
        rows = slow // self.quick_share
        first = (slow - rows) // 2
        return (*self.args, "-roi", "0", str(fast - 1), str(first), str(first + rows - 1))


def _lysozyme(name: str, about: str, options: str, plain: bool = False, quick_share: int = 32) -> Case:
    crystal = f"-hkl {LYSOZYME_HKL} -cell {' '.join(map(str, LYSOZYME_CELL_ANGSTROM))} 90 90 90 -misset 12 34 56"
    return Case(name, about, (*crystal.split(), *options.split()), plain, quick_share)


_LARGE = (
    "-lambda 0.9768 -distance 231.27 -pixel 0.172 -detpixels_x 2463 -detpixels_y 2527 -Na 36 -Nb 47 -Nc 29 "
    "-oversample 1 -nointerpolate"
)
_SMALL = "-lambda 1 -distance 200 -pixel 0.2 -detpixels 512"
_MOSAIC = f"{_SMALL} -N 20 -oversample 1 -mosaic 0.3 -mosaic_domains 20"
_SCAN = f"{_MOSAIC} -phi 1 -osc 1 -phisteps 10"

LYSOZYME_CASES = (
    _lysozyme(
        "large",
        "lysozyme on 2463 x 2527 pixels, 10 φ",
        f"{_LARGE} -phi 0 -osc 0.1 -phisteps 10",
        plain=True,
    ),
    _lysozyme("domains", "512², 20 domains x 10 φ", _SCAN, plain=True),
    _lysozyme(
        "still", "1024², one orientation", f"{_SMALL} -pixel 0.1 -detpixels 1024 -N 20 -oversample 1", plain=True
    ),
    _lysozyme(
        "oversampled", "512², N = 50, 4 x 4 sub-pixels", f"{_SMALL} -N 50 -oversample 4", plain=True, quick_share=4
    ),
    _lysozyme("round", "domains with a round crystal", f"{_SCAN} -round_xtal"),
    _lysozyme("gauss", "domains with Gaussian spots", f"{_SCAN} -gauss_xtal"),
    _lysozyme("tophat", "domains with top-hat spots", f"{_SCAN} -tophat_spots"),
    _lysozyme("interpolated", "512², N = 1, 20 domains, F interpolated", f"{_MOSAIC} -N 1 -interpolate", quick_share=4),
    _lysozyme(
        "layers",
        "512², 5 layers of sensor",
        f"{_SMALL} -N 20 -oversample 1 -detector_abs 300 -detector_thick 450 -detector_thicksteps 5",
        plain=True,
        quick_share=1,
    ),
    _lysozyme(
        "sources",
        "512², 9 x 9 directions x 5 wavelengths",
        f"{_SMALL} -N 20 -oversample 1 -hdivrange 2 -hdivsteps 9 -vdivrange 2 -vdivsteps 9 -square_div "
        "-dispersion 1 -dispsteps 5",
        plain=True,
    ),
)
TINY_STILL = _lysozyme("tiny", "256², one orientation", f"{_SMALL} -detpixels 256 -N 10 -oversample 1", plain=True)
WAVELENGTHS = _lysozyme(
    "wavelengths",
    "large, a still with 100 wavelengths",
    f"{_LARGE} -dispersion 1 -dispsteps 100",
    plain=True,
    quick_share=8,
)
"""Rendered by our kernels alone, with one table of structure factors and with one for each wavelength."""
SCALING_CASE = "domains"
LARGE_CASE = "large"


def all_cases() -> dict[str, Case]:
    """Every case whose files are at hand, by name."""
    cases: tuple[Case, ...] = LYSOZYME_CASES
    if all((PILATUS_DATA / name).is_file() for name in PILATUS_FILES):
        args = tuple(json.loads(PILATUS_ARGS.read_text()))
        cases = (Case("pilatus", "a Pilatus 6M frame, 2463 x 2527 pixels, 10 φ", args, plain=True), *cases)
    return {case.name: case for case in cases}


def write_inputs(folder: Path) -> str:
    """Put the files that the cases name into ``folder``; whose structure factors they are."""
    try:
        hkl, amplitudes = _lysozyme_factors()
        whose = "lysozyme's"
    except ModuleNotFoundError as error:
        if error.name != "gemmi":
            raise
        hkl, amplitudes = _random_factors()
        whose = "random ones for lysozyme's, since gemmi is not installed"
        print(f"structure factors: {whose}", file=sys.stderr)
    np.savetxt(folder / LYSOZYME_HKL, np.column_stack([hkl, amplitudes]), fmt=["%d", "%d", "%d", "%.3f"])
    for name in PILATUS_FILES:
        if (PILATUS_DATA / name).is_file():
            shutil.copyfile(PILATUS_DATA / name, folder / name)
    return whose


def _lysozyme_factors() -> tuple[npt.NDArray[np.integer], npt.NDArray[np.floating]]:
    from nbnumba.structure_factors.fcalc import structure_factors_from_coordinates

    with as_file(files("nbnumba") / "data" / "1hel.pdb") as coordinates:
        hkl, amplitudes, _ = structure_factors_from_coordinates(coordinates, LYSOZYME_DMIN_ANGSTROM, True, 0.35, 46.0)
    return hkl, amplitudes


def _random_factors() -> tuple[npt.NDArray[np.integer], npt.NDArray[np.floating]]:
    """As many of the same size: a kernel takes as long with them."""
    edges = np.array(LYSOZYME_CELL_ANGSTROM) / LYSOZYME_DMIN_ANGSTROM
    within = [np.arange(-int(edge), int(edge) + 1) for edge in edges]
    hkl = np.stack(np.meshgrid(*within, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[((hkl / edges) ** 2).sum(axis=1) <= 1.0]
    return hkl, np.random.default_rng(1).gamma(2.0, 50.0, len(hkl))
