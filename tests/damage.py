"""Damaged inputs by the thousand: good examples of every input format and of every option, spoilt in every way.

``python tests/damage.py -seed 1 -count 20000`` runs them; ``-index N -keep FOLDER`` writes one down and runs it alone.
What each run is held to is in :func:`complaint`. A case is decided by seed and index alone.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

MOST_SECONDS = 20.0
MOST_BYTES = 2 << 30
MOST_EXAMPLE_BYTES = 2_000_000
MEMORY_OF_THE_MACHINE = 1 << 30
"""What the program is told that it may take, so that what it refuses does not depend on where it runs."""

CRYSTAL = "-cell 31 35 41 -N 3 -default_F 100".split()
DETECTOR = "-detpixels 8 -pixel 0.1 -distance 50 -lambda 1.1".split()
QUICK = "-oversample 1 -nointerpolate -threads 1 -noprogress -seed 1".split()


@dataclass(frozen=True)
class Case:
    """A command line, or an experiment in TOML, and the files that it reads."""

    args: tuple[str, ...] = ()
    toml: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.toml is None:
            return " ".join(map(repr, self.args))
        good = examples()["toml"].decode().split("\n")
        return " | ".join(line for line in self.toml.split("\n") if line not in good)


# Good examples -----------------------------------------------------------------------------------------------------


def _smv(records: str = "") -> bytes:
    header = f"{{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\nSIZE1=8;\nSIZE2=8;\n{records}}}"
    return header.encode().ljust(512) + np.arange(64, dtype="<u2").tobytes()


def _arrays(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _array(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _hkl() -> bytes:
    return "".join(f"{h} {k} {l} {abs(h) + 2 * abs(k) + l * l:.2f}\n" for h in (-1, 0, 1) for k in (-1, 0, 1) for l in
                   (-1, 0, 1)).encode()  # fmt: skip


def _traces() -> dict[str, bytes]:
    """What ``nbnumba trace`` writes of one pixel, as JSON and as a log."""
    from nbnumba.cli import main

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        main(["trace", "-pixel", "3", "4", "-out", folder, "--", *CRYSTAL, *DETECTOR, *QUICK])
        return {kind: Path(folder, f"trace_s3_f4.{kind}").read_bytes() for kind in ("json", "log")}


ATOMS = """\
CRYST1   21.000   23.000   25.000  90.00  97.00  90.00 P 1 21 1      2
ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00 10.00           N
ATOM      2  CA  ALA A   1      11.639   6.071  -5.147  1.00 11.50           C
ANISOU    2  CA  ALA A   1     1000   1200   1100     10     20     30       C
HETATM    3 FE   HEM A   2       5.000   7.000   9.000  0.50 20.00          FE
END
"""
MOSFLM = """\
  0.03548387  0.00000000  0.00000000
  0.00000000  0.03142857  0.00000000
  0.00000000  0.00000000  0.02682927
       0.000       0.000       0.000
   1.0000000   0.0000000   0.0000000
   0.0000000   1.0000000   0.0000000
   0.0000000   0.0000000   1.0000000
     31.0000     35.0000     41.0000     90.0000     90.0000     90.0000
       0.000       0.000       0.000
"""
HEADER = (
    "PIXEL_SIZE=0.1;\nDISTANCE=50;\nWAVELENGTH=1.1;\nBEAM_CENTER_X=0.4;\nBEAM_CENTER_Y=0.4;\nPHI=3;\nOSC_START=3;\n"
    "OSC_RANGE=0.5;\nTWOTHETA=5;\nCLOSE_DISTANCE=49;\nXDS_ORGX=4;\nXDS_ORGY=4.5;\n"
)
XDS_ASCII = """\
!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=FALSE
!SPACE_GROUP_NUMBER=   19
!UNIT_CELL_CONSTANTS=    31.00    35.00    41.00  90.000  90.000  90.000
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!END_OF_HEADER
     1     2     3  4.000E+00  1.000E+00  1205.3
    -1    -2     3  7.000E+00  1.000E+00  1205.3
     1     2     3  9.000E+09 -1.000E+00  1205.3
     0     2     3 -3.000E+00  1.000E+00  1205.3
!END_OF_DATA
"""
SHELX = """\
   1   0   0   16.00    2.00   1
  -1   0   0   18.00    2.00   1
   0  -1   2-1234.56  123.45   2
   0   0   0    0.00    0.00   0
"""
CRYSTFEL = """\
CrystFEL reflection list version 2.0
Symmetry: mmm
   h    k    l          I    phase   sigma(I)   nmeas
   1    0    0      16.00        -       2.00      12
   0    1    2      -4.00        -       2.00       9
   1    1    2      25.00        -       2.00       9
End of reflections
"""
GEOM = """\
; two panels
photon_energy = 9000 eV
clen = 50 mm
coffset = 0.001
res = 10000
min_fs = 0
max_fs = 7.0
a/min_ss = 0
a/max_ss = 3
a/corner_x = -4
a/corner_y = -4.5
a/fs = +0.9999x -0.01y
a/ss = 0.01x +0.9999y
b/min_ss = 4
b/max_ss = 7
b/corner_x = -4.1
b/corner_y = 0.25
b/fs = x
b/ss = y +0.001z
b/mask_edge_pixels = 1
bad_one/min_x = -2
bad_one/max_x = 2
bad_one/min_y = -1
bad_one/max_y = 1
bad_two/panel = b
bad_two/min_fs = 2
bad_two/max_fs = 3
bad_two/min_ss = 5
bad_two/max_ss = 6
"""
FCF = """\
data_shelx
_cell_length_a 31
_cell_length_b 35
_cell_length_c 41
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_space_group_symop_operation_xyz
'x, y, z'
'-x, y+1/2, -z'
loop_
_refln_index_h
_refln_index_k
_refln_index_l
_refln_F_squared_calc
1 0 0 16.0
0 1 0 ?
1 2 3 4.5
"""


def _expt() -> bytes:
    """As dxtbx writes it, of a panel in a group and one beside it, and a goniometer of two axes."""
    panels = [
        {"name": name, "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, -1.0, 0.0], "origin": [-0.4, y, -50.0],
         "image_size": [8, 4], "pixel_size": [0.1, 0.1], "thickness": 0.3, "mu": 4.0, "mask": [[0, 0, 2, 2]]}
        for name, y in (("a", 0.4), ("b", -0.1))
    ]  # fmt: skip
    group = {"fast_axis": [1, 0, 0], "slow_axis": [0, 1, 0], "origin": [0, 0, 0.5], "children": [{"panel": 0}]}
    return json.dumps({
        "__id__": "ExperimentList",
        "experiment": [{"beam": 0, "detector": 0, "goniometer": 0, "scan": 0, "crystal": 0}],
        "beam": [{"direction": [0.0, 0.0, 1.0], "wavelength": 1.1, "polarization_normal": [0.0, 1.0, 0.0],
                  "polarization_fraction": 0.9}],
        "detector": [{"panels": panels, "hierarchy": group}],
        "goniometer": [{"axes": [[1, 0, 0], [0, 1, 0]], "angles": [10.0, 0.0], "names": ["p", "o"], "scan_axis": 1}],
        "scan": [{"image_range": [1, 1], "oscillation": [3.0, 0.5]}],
        "crystal": [{"real_space_a": [31, 0, 0], "real_space_b": [0, 35, 1], "real_space_c": [0, 0, 41]}],
    }, indent=1).encode()  # fmt: skip


XPARM = """\
 XPARM.XDS    VERSION Jun 30, 2023  BUILT=20230630
     1        3.0000    0.5000  0.999998 -0.001590  0.000520
       1.100000       0.001200      -0.000700       0.909090
    16    31.0000    35.0000    41.0000  90.000  90.000  90.000
      31.000000       0.000000       0.000000
       0.000000      35.000000       0.000000
       0.000000       0.000000      41.000000
         2         8         8    0.100000    0.100000
       4.500000       4.250000      50.000000
       1.000000       0.000000       0.000000
       0.000000       0.999950       0.010000
       0.000000      -0.010000       0.999950
         1         1         8         1         4
    0.00    0.00    0.00  1.00000  0.00000  0.00000  0.00000  1.00000  0.00000
         2         1         8         5         8
    0.10   -1.00    0.20  1.00000  0.00200  0.00000 -0.00200  1.00000  0.00000
"""


SUITE_CASE = {"name": "a", "args": [*CRYSTAL, *DETECTOR, *QUICK], "tags": ["geometry"], "modes": ["spec", "c"]}


def _mtz() -> Any:
    import gemmi
    from models import mtz_of

    group, cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(31, 35, 41, 90, 90, 90)
    hkl = gemmi.make_miller_array(cell, group, 14.0, unique=True)
    named = ("FP", "F"), ("SIGFP", "Q"), ("F(+)", "G"), ("F(-)", "G")
    return mtz_of(hkl, ((*name, hkl.sum(axis=1) + n) for n, name in enumerate(named)), group, cell)


@cache
def examples() -> dict[str, bytes]:
    """A small good file of every format that is read."""
    import gemmi

    from nbnumba import Experiment, simulate
    from nbnumba.formats import registry
    from nbnumba.formats.dump import write_dump
    from nbnumba.formats.images.smv import smv_header

    experiment = Experiment.from_args(SUITE_CASE["args"])  # type: ignore[arg-type]
    image = simulate(experiment)
    with tempfile.TemporaryDirectory() as folder:
        write_dump(f"{folder}/dump", (-1, 1, -1, 1, -1, 1), np.ones((3, 3, 3)))
        dump = Path(folder, "dump").read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what DIALS does not read
            image.save(f"{folder}/image.nxs")
        nexus = Path(folder, "image.nxs").read_bytes()
        for name in ("CBF", "TIFF"):
            registry.write(registry.named(name), f"{folder}/{name}", image.frame("counted"))
        cbf, tiff = (Path(folder, name).read_bytes() for name in ("CBF", "TIFF"))
    ramp = np.arange(64.0).reshape(8, 8)
    return {
        "hkl": _hkl(),
        "mat": MOSFLM.encode(),
        "img": _smv(HEADER),
        "mask": _smv("PIXEL_SIZE=0.1;\n"),
        # Without the checksum, by which most damage would be told.
        "cbf": re.sub(rb"Content-MD5.*\n", b"", cbf),
        "tif": tiff,
        "sources": b"-10 0 0 1 1.1e-10\n-10,0.01,0,2,1.2e-10\n-10 0 0.01 1 1.1e-10 # last\n",
        "spectra.npz": _arrays(energy_ev=np.arange(9480.0, 9520.0, 10.0), weight=np.ones((3, 4))),
        "spectrum": b"energy, photons\n9480,0.5\n9490,2\n9500,3.5\n9510,1\n",
        "bad": b"# fast slow\n3 5 dead\n0, 4, 5, hot\n6 7 noisy\n1 1\n",
        "curve": b"# s F\n0.0 2.5\n0.1 2.2\n0.3 1\n0.6 0.5\n",
        "profile": b"# s photons\n0.0 2.5\n0.1 2.2\n0.3 1\n0.6 0.5\n",
        "dispersion": b"E(eV) f' f''\n11000 -1.5, 3.0\n11500 -1.2, 2.8\n12000 -1.0, 2.6 # last\n",
        "dump": dump,
        "pdb": ATOMS.encode(),
        "cif": gemmi.read_pdb_string(ATOMS).make_mmcif_document().as_string().encode(),
        "mtz": _mtz().write_to_bytes(),
        "sf_cif": gemmi.MtzToCif().write_cif_to_string(_mtz()).encode(),
        "fcf": FCF.encode(),
        "xds": XDS_ASCII.encode(),
        "shelx": SHELX.encode(),
        "crystfel": CRYSTFEL.encode(),
        "geom": GEOM.encode(),
        "expt": _expt(),
        "xparm": XPARM.encode(),
        "nxs": nexus,
        "toml": experiment.to_toml().encode(),
        "npy": _array(ramp),
        "npz": _arrays(float=ramp.astype(np.float32), other=np.arange(3)),
        "raw": ramp.astype(np.float32).tobytes(),
        **_traces(),
        "cases": json.dumps({"cases": [SUITE_CASE]}).encode(),
        "manifest": json.dumps({"program": {"command": "other", "sha256": "0" * 64, "own": False}}).encode(),
        "golden": _arrays(float=image.photons, header=np.array(smv_header(image.smv_geometry))),
    }


# Damage ------------------------------------------------------------------------------------------------------------

NUMBERS = (
    "nan inf -inf 1e400 -1e400 -1 0 -0 1 1e308 1e-320 1e30 -1e30 1e-30 1e17 2147483648 -2147483649 9223372036854775808 "
    "99999999999999999999999999 0x10 1_0 1,5 1d5 1.5 --1 +-1 . - e 1e 3.0000001 1e9 999999999 65536 0.5 180 90 360 1e5"
).split() + ["\u0661", "½", "9" * 5000, ""]
WORDS = ["x", "", " ", "none", "true", "é", "\udcff", "-show", "-", "--", "random", "a" * 300, "\n", "*", "%s", "{}"]


def _spot(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice((1, 1, 2, 5, 20, 200)))


def truncated(rng: random.Random, content: bytes) -> bytes:
    return content[: _spot(rng, content)[0]]


def flipped(rng: random.Random, content: bytes) -> bytes:
    spoilt = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10)) if content else 0):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def deleted(rng: random.Random, content: bytes) -> bytes:
    start, end = _spot(rng, content)
    return content[:start] + content[end:]


def doubled(rng: random.Random, content: bytes) -> bytes:
    start, end = _spot(rng, content)
    return content[:end] + content[start:]


def swapped(rng: random.Random, content: bytes) -> bytes:
    (a, b), (c, d) = sorted((_spot(rng, content), _spot(rng, content)))
    b = min(b, c)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def filled(rng: random.Random, content: bytes) -> bytes:
    start, end = _spot(rng, content)
    return content[:start] + rng.choice((b"\0", b" ", b"\xff", b"\n", b"9", b"-")) * (end - start) + content[end:]


def with_lines(rng: random.Random, content: bytes) -> bytes:
    """Lines deleted, doubled, swapped, or without one of their fields."""
    lines = content.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    change = rng.randrange(5)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines.insert(other, lines[at])
    elif change == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif change == 3:
        fields = lines[at].split()
        lines[at] = b" ".join(rng.sample(fields, len(fields)))
    else:
        lines[at] = b" ".join(lines[at].split()[: rng.randrange(4)])
    return b"\n".join(lines)


def with_number(rng: random.Random, content: bytes) -> bytes:
    """One of its numbers replaced by another one, or by none."""
    found = list(re.finditer(rb"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", content))
    if not found:
        return truncated(rng, content)
    match = rng.choice(found)
    new = rng.choice(NUMBERS).encode("utf-8", "surrogateescape")
    return content[: match.start()] + new + content[match.end() :]


def of_another_format(rng: random.Random, content: bytes) -> bytes:
    return rng.choice(list(examples().values()))


def recoded(rng: random.Random, content: bytes) -> bytes:
    text = content.decode("latin-1")
    return rng.choice((
        lambda: text.encode("utf-16"), lambda: b"\xef\xbb\xbf" + content, lambda: content.replace(b"\n", b"\r"),
        lambda: gzip.compress(content, mtime=0), lambda: flipped(rng, gzip.compress(content, mtime=0)),
        lambda: truncated(rng, gzip.compress(content, mtime=0)), lambda: zlib.compress(content),
        lambda: content.upper(), lambda: content.lower(), lambda: content.replace(b" ", b"\t"),
    ))()  # fmt: skip


def swollen(rng: random.Random, content: bytes) -> bytes:
    """Very long lines, very many, brackets in brackets, or nothing at all."""
    return rng.choice((
        lambda: b"", lambda: b"\n", lambda: content + b"1" * 200_000, lambda: content.replace(b"\n", b" " * 5000),
        lambda: content + b"\n" * 200_000, lambda: content + b"[" * 100_000, lambda: b'{"a":' * 50_000,
        lambda: b"[" * 100_000, lambda: content.replace(b":", b":" + b"[" * 3000, 1), lambda: content * 20,
    ))()  # fmt: skip


def noise(rng: random.Random, content: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 10, 100, 1000)))


DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [
    truncated, flipped, flipped, deleted, doubled, swapped, filled, with_lines, with_lines, with_number, with_number,
    with_number, with_number, of_another_format, recoded, swollen, noise,
]  # fmt: skip


def damaged(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(DAMAGES)(rng, content)[:MOST_EXAMPLE_BYTES]
    return content


# Cases -------------------------------------------------------------------------------------------------------------

FORMATS = {
    "hkl": "hkl", "mat": "mat", "dump": "dump", "sourcefile": "sources", "img": "img", "mask": "mask", "stol": "curve",
    "4stol": "curve", "Q": "curve", "pdb": "pdb", "spectrum": "spectrum", "anomalous": "dispersion",
    "mtz": "mtz", "cif_sf": "sf_cif", "background": "curve", "background_image": "npy", "background_profile": "profile",
    "background_profile_px": "profile", "badpix_file": "bad",
}  # fmt: skip
"""What the input files of options are; of an option that is not listed, any example."""
ALTERNATIVES = {
    "img": ("img", "geom", "expt", "nxs", "cbf", "xparm"),
    "npy": ("npy", "npz", "raw", "img", "cbf", "tif"),
    "pdb": ("pdb", "cif"),
    "spectrum": ("spectrum", "spectra.npz"),
    "sf_cif": ("sf_cif", "fcf"),
    "hkl": ("hkl", "hkl", "mtz", "sf_cif", "fcf", "xds", "shelx", "crystfel"),
}
"""Formats that the option of one takes too."""


def _input_options() -> list[Any]:
    from nbnumba.nanobragg.kinds import ELEMENT, FILE, MATERIAL
    from nbnumba.nanobragg.table import OPTIONS, OUTPUT

    return [option for option in OPTIONS if option.kind in (FILE, ELEMENT, MATERIAL) and option.group != OUTPUT]


def of_files(rng: random.Random) -> Case:
    """A good command line one or two of whose files are damaged."""
    files, args = {}, [*QUICK, "-nonoise"]
    options = rng.sample(_input_options(), rng.choice((1, 1, 1, 2)))
    names = {option.names[0] for option in options}
    args += CRYSTAL if not names & {"mat", "pdb"} or rng.random() < 0.2 else ["-N", "3", "-default_F", "100"]
    args += ["-water", "10"] if names & {"stol", "4stol", "Q"} else []
    args += ["-dmin", "6"] if "pdb" in names else []
    args += ["-readout", "counting"] if "badpix_file" in names else []
    args += ["-mode", "c"] if rng.random() < 0.2 else []
    for option in options:
        kind = FORMATS.get(option.names[0]) or rng.choice(sorted(examples()))
        kind = rng.choice(ALTERNATIVES.get(kind, (kind,)))
        name = f"{option.names[0]}.{'gz' if rng.random() < 0.05 else kind}"
        files[name] = damaged(rng, examples()[kind])
        args += [f"-{option.names[0]}", f"Fe={name}" if kind == "dispersion" else name]
        args += ["0.1", "1", "18"] if option.names[0] == "background" else []
    # Panels of a file have places and pixels of their own.
    args += [] if files.keys() & {"img.geom", "img.expt", "img.xparm"} and rng.random() < 0.9 else DETECTOR
    if names == {"anomalous"}:
        files["model"] = examples()["pdb"]
        args += ["-pdb", "model", "-dmin", "6"]
    return Case((*args, *(["-show"] if rng.random() < 0.6 else [])), files=files)


def _word(rng: random.Random, option: Any) -> str:
    if rng.random() < 0.15:
        return rng.choice(WORDS)
    if option.metavar.count("|") and rng.random() < 0.5:
        return rng.choice(option.metavar.split("|")).strip()
    return rng.choice(NUMBERS)


def of_options(rng: random.Random) -> Case:
    """A good command line and one to three options of any value, or of too few or too many."""
    from nbnumba.nanobragg.table import OPTIONS

    args = ["-show", *QUICK, *CRYSTAL, *DETECTOR]
    for option in rng.sample(OPTIONS, rng.choice((1, 1, 2, 3))):
        count = len(option.values) + rng.choice((0, 0, 0, 0, 0, -1, 1))
        name = "-" * rng.choice((1, 1, 1, 2)) + rng.choice(option.names)
        words = [_word(rng, option) for _ in range(max(0, count))]
        if rng.random() < 0.05:
            name = "".join(rng.sample(name, len(name)))
        attached = rng.random() < 0.1
        args += [f"{name}={words[0]}", *words[1:]] if attached and words else [name, *words]
    return Case(tuple(args), files={"x": damaged(rng, rng.choice(list(examples().values())))})


def of_toml(rng: random.Random) -> Case:
    text = damaged(rng, examples()["toml"])
    if rng.random() < 0.5:  # A field of another type.
        value = rng.choice((*NUMBERS, "true", "'x'", "[1, 2]", "{a = 1}", "1979-05-27", '"inf"', "[[]]", '"\\u0000"'))
        text = re.sub(rb"= .*", lambda m: b"= " + value.encode() if rng.random() < 0.1 else m[0], examples()["toml"])
    return Case(toml=text.decode("utf-8", "replace"))


def of_compare(rng: random.Random) -> Case:
    names = {"npy": "a.npy", "npz": "a.npz", "raw": "a.bin", "img": "a.img", "nxs": "a.nxs", "cbf": "a.cbf",
             "tif": "a.tif"}  # fmt: skip
    kind = rng.choice(sorted(names))
    files = {names[kind]: damaged(rng, examples()[kind]), "good.npy": examples()["npy"]}
    return Case(("compare", "-out", ".", *rng.sample(sorted(files), 2)), files=files)


def of_trace_diff(rng: random.Random) -> Case:
    kind = rng.choice(("json", "log"))
    files = {"a": damaged(rng, examples()[kind]), "b": examples()[kind]}
    options = rng.choice(((), ("-per-phi", "-scaling"), ("-format", "json", "-per-phi", "-scaling")))
    return Case(("trace-diff", *options, *rng.sample(sorted(files), 2)), files=files)


def of_golden(rng: random.Random) -> Case:
    files = {"suite/cases.json": "cases", "suite/manifest.json": "manifest", "suite/a.npz": "golden"}
    contents = {name: examples()[kind] for name, kind in files.items()}
    actions = {
        "suite/cases.json": ("list", "suite"),
        "suite/manifest.json": ("check", "suite", "-only", "a"),
        "suite/a.npz": rng.choice((("show", "suite", "a"), ("check", "suite", "-only", "a"))),
    }
    name = rng.choice(sorted(files))
    contents[name] = damaged(rng, contents[name])
    return Case(("golden", *actions[name]), files=contents)


KINDS: dict[Callable[[random.Random], Case], float] = {
    of_files: 60, of_options: 27, of_toml: 5, of_trace_diff: 4, of_golden: 3, of_compare: 1,
}  # fmt: skip


def case(seed: int, index: int) -> Case:
    rng = random.Random(f"{seed}:{index}")
    make = rng.choices(list(KINDS), list(KINDS.values()))[0]
    return make(rng)


# What each is held to ----------------------------------------------------------------------------------------------

TOLD = Path("../told")
STATUSES = {command: {0, 1, 2, 3} for command in ("compare", "trace-diff", "golden")}
WRITES = {"compare": {0, 1}, "trace-diff": set(), "golden": set()}
"""Statuses of commands with which they write something; a simulation writes with 0 alone."""


def problem_of(tried: Case) -> str | None:
    """What is wrong with how the program took a case in the current folder, TOLD having what it says on stderr."""
    from nbnumba.cli import main

    for name, content in tried.files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(content)
    sys.stderr.flush()
    os.truncate(TOLD, 0)
    began = time.process_time()
    try:
        status = _of_toml(tried.toml) if tried.toml is not None else main(tried.args)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        return f"raised {' '.join(traceback.format_exc(limit=-4).split())}"
    seconds = time.process_time() - began
    sys.stdout.flush()
    sys.stderr.flush()
    text = TOLD.read_text("utf-8", "replace")
    problem = complaint(tried, status, text.rstrip("\n").split("\n") if text else [])
    if problem is None and seconds > MOST_SECONDS:
        problem = f"took {seconds:.0f} s"
    if problem is None and _peak_bytes() > MOST_BYTES:
        problem = f"took {_peak_bytes() / 2**30:.2g} GiB"
    return problem


def _of_toml(text: str) -> int:
    """Resolve an experiment, as the command does, and return its status."""
    from nbnumba import Experiment
    from nbnumba.errors import NbnumbaError, NbnumbaWarning
    from nbnumba.setup.inputs import read_inputs
    from nbnumba.setup.resolve import resolve

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NbnumbaWarning)
            experiment = Experiment.from_toml(text)
            resolve(experiment, read_inputs(experiment))
        return 0
    except NbnumbaError as error:
        print(f"nbnumba: {error}", file=sys.stderr)
        return error.exit_status


def complaint(tried: Case, status: int, lines: list[str]) -> str | None:
    """What is wrong with the exit status, with what is said on stderr, or with the files that are left."""
    command = tried.args[0] if tried.args and not tried.args[0].startswith("-") else ""
    lines = [line for line in lines if "compiling kernels" not in line]
    shown = " | ".join(line[:300] for line in lines[-3:])
    allowed = STATUSES.get(command, {0, 2, 3, 4})
    if status not in allowed:
        return f"exit status {status}: {shown}"
    strange = [line for line in lines if not re.match("nbnumba( [a-z-]+)?: ", line) or "encountered" in line]
    if strange and not _is_help(tried):
        return f"said {shown}"
    written = set(_below(Path())) - set(tried.files)
    if written and status not in WRITES.get(command, {0}):
        return f"wrote {sorted(written)} with status {status}: {shown}"
    if status == 0 or (status == 1 and not lines):
        return None if all("warning: " in line for line in lines) else f"status {status}, but said {shown}"
    if not lines or "warning: " in lines[-1].partition("nbnumba: ")[2][:10]:
        return f"exit status {status} without an error"
    if len(lines) > 1 and not all("warning: " in line for line in lines[:-1]):
        return f"more than one error: {shown}"
    return None if _names_something(tried, lines[-1]) else f"names neither file nor option: {shown}"


def _is_help(tried: Case) -> bool:
    return any(re.fullmatch("--?(h|help|version)", word) for word in tried.args)


def _names_something(tried: Case, line: str) -> bool:
    from nbnumba.nanobragg.kinds import FILE
    from nbnumba.nanobragg.table import OPTIONS

    known = {name for option in OPTIONS for name in option.names}
    takes_file = {name for option in OPTIONS if option.kind is FILE for name in option.names}
    words = [part for word in tried.args for part in word.split("=", 1)]
    given = {
        " ".join(word.encode("utf-8", "backslashreplace").decode().splitlines())
        for before, word in pairwise(words)
        if before.lstrip("-") in takes_file
    }
    return (
        any(name in line for name in given.union(tried.files))
        or any(word in known for word in re.findall(r"-(\w+)", line))
        or (tried.args[:1] == ("compare",) and "give -resample" in line)
        or re.search(
            r"\b[a-z]\w+\.[a-z]\w+\b|: (?:mode|phi_carryover): |unknown option|unexpected argument|TOML|is not a field",
            line,
        )
        is not None
    )


def _below(folder: Path) -> Iterator[str]:
    return (str(path) for path in folder.rglob("*") if path.is_file())


def _peak_bytes() -> int:
    """Of this process; what ``getrusage`` tells begins with the peak of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) * 1024


# The pool ----------------------------------------------------------------------------------------------------------


Trying = Callable[[int], str | None]
"""Tries the case of an index in an empty folder and says what is wrong."""


def try_case(seed: int, index: int) -> str | None:
    return problem_of(case(seed, index))


def warm_up() -> None:
    """Make the examples and compile what the cases need, whose seconds are not theirs."""
    for mode in ("spec", "c"):
        tried = Case((*QUICK, *CRYSTAL, *DETECTOR, "-mode", mode, "-water", "1", "-hkl", "hkl"), files=_good("hkl"))
        problem = problem_of(tried)
        if problem is not None:
            raise RuntimeError(problem)


def _good(*kinds: str) -> dict[str, bytes]:
    return {kind: examples()[kind] for kind in kinds}


def _work(pipe: Connection, trying: Trying, start: Callable[[], None]) -> None:
    """Try what comes through the pipe, each in an emptied folder, and send back what is wrong with it."""
    from nbnumba.setup import memory

    resource.setrlimit(resource.RLIMIT_DATA, (3 * MOST_BYTES, 3 * MOST_BYTES))
    memory.available_memory = lambda: MEMORY_OF_THE_MACHINE
    with tempfile.TemporaryDirectory() as name, open(f"{name}/said", "ab") as out, open(f"{name}/told", "ab") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        folder = Path(name, "here")
        try:
            _empty(folder)
            start()
        except Exception:
            pipe.send(traceback.format_exc())
            raise
        pipe.send(None)
        with contextlib.suppress(EOFError):
            while True:
                index = pipe.recv()
                _empty(folder)
                pipe.send(trying(index))
                out.truncate(0)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)


@dataclass
class Worker:
    """A process that tries one case after another."""

    process: Any
    pipe: Connection
    index: int | None = None
    """What it is busy with; None: with starting."""
    began: float = field(default_factory=time.monotonic)


@dataclass
class Pool:
    """Processes that try cases; one that crashes or hangs ends alone, and another one takes its place."""

    trying: Trying
    start: Callable[[], None] = warm_up
    seconds: float = 3 * MOST_SECONDS
    """That one case may take: what it computes itself is measured apart, and the machine may be busy otherwise."""
    start_seconds: float = 600.0

    def search(self, indices: Iterable[int], workers: int) -> Iterator[tuple[int, str]]:
        """The cases that fail, each with what is wrong."""
        left = iter(indices)
        busy = [self._started() for _ in range(workers)]
        try:
            while busy:
                wait([worker.pipe for worker in busy], timeout=1.0)
                for worker in list(busy):
                    problem = self._heard(worker)
                    if problem is WAITING:
                        continue
                    if problem is not None:
                        yield _index_of(worker, problem), problem
                    if problem is not None and problem.startswith(FATAL):
                        _stopped(worker)
                        busy[busy.index(worker)] = self._started()
                        continue
                    worker.index, worker.began = next(left, None), time.monotonic()
                    if worker.index is None:
                        busy.remove(worker)
                        _stopped(worker)
                    else:
                        worker.pipe.send(worker.index)
        finally:
            for worker in busy:
                _stopped(worker)

    def _started(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.trying, self.start), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)

    def _heard(self, worker: Worker) -> str | None:
        """What a worker reports; WAITING: nothing yet."""
        try:
            if worker.pipe.poll():
                return worker.pipe.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            worker.process.join(5.0)
            return f"died with exit code {worker.process.exitcode}"
        limit = self.start_seconds if worker.index is None else self.seconds
        return f"hung for {limit:.0f} s" if time.monotonic() - worker.began > limit else WAITING


WAITING = "waiting"
FATAL = ("died", "hung", "took")
"""What is said of a process that is not used again."""


def _index_of(worker: Worker, problem: str) -> int:
    if worker.index is None:
        raise RuntimeError(f"a worker cannot start: {problem}")
    return worker.index


def _stopped(worker: Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()


def described(seed: int, index: int, problem: str) -> str:
    tried = case(seed, index)
    files = ", ".join(f"{name} ({len(content)} bytes)" for name, content in tried.files.items())
    return f"-seed {seed} -index {index}: {problem}\n    {str(tried)[:600]}\n    {files}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-seed", type=int, default=1)
    parser.add_argument("-count", type=int, default=20_000)
    parser.add_argument("-index", type=int, help="this one alone")
    parser.add_argument("-keep", type=Path, help="folder to write the files of -index into")
    parser.add_argument("-workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    if options.keep is not None:
        for name, content in case(options.seed, options.index).files.items():
            (options.keep / name).parent.mkdir(parents=True, exist_ok=True)
            (options.keep / name).write_bytes(content)
    indices: Sequence[int] = range(options.count) if options.index is None else [options.index]
    began, failed = time.monotonic(), 0
    for index, problem in Pool(partial(try_case, options.seed)).search(indices, min(options.workers, len(indices))):
        failed += 1
        print(described(options.seed, index, problem), flush=True)
    print(f"{failed} of {len(indices)} failed in {time.monotonic() - began:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
