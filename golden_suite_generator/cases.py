"""The cases that are recorded where no table is given: one for each part of the engine, without input files."""

from __future__ import annotations

from typing import Any

_CRYSTAL = "-cell 61 72 83 90 97 90 -default_F 100 -N 5 -nointerpolate"
_DETECTOR = "-lambda 1 -distance 100 -pixel 0.8 -detpixels 48 -oversample 1 -noprogress"


def _case(name: str, options: str, *tags: str, modes: tuple[str, ...] = ("spec", "c")) -> dict[str, Any]:
    args = f"{_CRYSTAL} {_DETECTOR} {options}".split()
    return {"name": name, "args": args, "tags": list(tags), "modes": list(modes)}


CASES = [
    _case("mosflm", "-mosflm -misset 10 20 30", "geometry"),
    _case("xds", "-xds -misset 10 20 30", "geometry"),
    _case("rotated", "-detector_rotx 4 -detector_roty -3 -detector_rotz 2 -twotheta 5", "geometry", "rotation"),
    _case("round", "-round_xtal", "shape"),
    _case("gauss", "-gauss_xtal", "shape"),
    _case("phi", "-phi 5 -osc 1 -phisteps 4", "phi"),
    _case("mosaic", "-mosaic 1 -mosaic_domains 5 -mosaic_seed 7", "mosaic"),
    _case("sources", "-divergence 2 -divsteps 3 -dispersion 1 -dispsteps 3", "sources"),
    _case("polarization", "-polar 0.9", "polar"),
    _case("sensor", "-detector_abs 300 -detector_thick 450 -detector_thicksteps 3", "absorption", modes=("c",)),
    _case("oversample", "-oversample 3", "oversample"),
    _case("integers", "-scale 0.5 -adc 20", "output", "int", "pgm"),
    _case("noise", "-fluence 1e27 -seed 3", "random", "noise"),
    _case("water", "-water 100", "background", modes=("c",)),
]
"""In the format of cases.json."""
