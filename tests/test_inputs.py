"""Input files that are no ordinary ones, are another program's, or do not fit the options beside them."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nbnumba import Crystal, Detector, Experiment, StructureFactors
from nbnumba.cli import main
from nbnumba.errors import InputFileError, NbnumbaWarning, UsageError
from nbnumba.formats import arrays, files
from nbnumba.formats.arrays import read_arrays
from nbnumba.formats.files import read_bytes, read_text, read_unpacked
from nbnumba.formats.hkl import read_hkl
from nbnumba.formats.images.smv import read_smv
from nbnumba.formats.recognition import text_format
from nbnumba.setup.inputs import read_inputs
from nbnumba.setup.resolve import Resolved, resolve
from nbnumba.structure_factors.table import completeness

CRYSTAL = "-cell 70 80 90 -N 3 -default_F 100 "
GEOMETRY = "-pixel 1 -distance 60 -lambda 1.2 "


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def smv(records: str, fast: int = 8, slow: int = 8) -> bytes:
    header = f"{{\nHEADER_BYTES=1024;\nSIZE1={fast};\nSIZE2={slow};\n{records}}}"
    return header.encode().ljust(1024) + np.ones((slow, fast), "<u2").tobytes()


def resolved(line: str) -> Resolved:
    experiment = Experiment.from_args(shlex.split(line))
    return resolve(experiment, read_inputs(experiment))


# What is a file at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["hkl", "mat", "img", "mask", "sourcefile", "spectrum", "stol", "dump"])
@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_device_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"{CRYSTAL} -water 1 -detpixels 8 -{option} /dev/zero -show")) == 3
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("nbnumba: cannot read ")
    assert err.endswith(" /dev/zero: it is a device; give the name of a file")


def test_pipe_that_nobody_writes_to_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_FOR_WRITER_S", 0.1)
    os.mkfifo("pipe")
    with pytest.raises(InputFileError, match="pipe: it is a pipe that nobody writes to; give the name of a file"):
        read_bytes("pipe", "a list")


@pytest.mark.parametrize("pause", [0.0, 0.5], ids=["at once", "after a pause"])
def test_pipe_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch, pause: float) -> None:
    monkeypatch.setattr(files, "WAIT_FOR_WRITER_S", 0.2)
    os.mkfifo("pipe")
    content = b"9\n" * 100_000

    def write() -> None:
        with open("pipe", "wb") as pipe:
            time.sleep(pause)
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_bytes("pipe", "a list") == content
    writer.join()


def test_outlying_reflection_from_a_pipe_is_told_without_reading_it_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_FOR_WRITER_S", 0.5)
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text("0 0 0 1\n9000000 1000 1000 1\n"))
    writer.start()
    with pytest.raises(InputFileError, match=r"^pipe: the indices h 0\.\.9000000, k 0\.\.1000"):
        resolved(f"{CRYSTAL} -hkl pipe")
    writer.join()


def test_file_that_is_too_large_is_not_read() -> None:
    with open("sparse", "wb") as file:
        file.truncate(files.MOST_BYTES + 1)
    with pytest.raises(InputFileError, match="sparse: it has more than 8 GiB; check the path"):
        read_hkl("sparse")
    with open("sparse", "wb") as file:
        file.truncate(3 << 20)
    with pytest.raises(InputFileError, match="sparse: it has more than 1 MiB"):
        read_bytes("sparse", "a matrix", 1 << 20)
    assert len(read_bytes("sparse", "a matrix", 3 << 20)) == 3 << 20


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_file_of_the_system_that_hides_its_size_is_read() -> None:
    assert read_bytes("/proc/self/status", "a list").startswith(b"Name:")


def test_name_with_a_zero_byte_is_an_error_in_a_line() -> None:
    with pytest.raises(InputFileError, match=r"cannot read a list 'a\\x00b'"):
        read_bytes("a\0b", "a list")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1 2 3 4\n".encode("utf-16"), "input: a list must be plain (UTF-8) text, and this is UTF-16; save it as"),
        (b"1 2 3 4\n1 2 \0 4\n", "input:2: a list must be plain (UTF-8) text, which this is not"),
    ],
)
def test_text_that_is_none(content: bytes, said: str) -> None:
    Path("input").write_bytes(content)
    with pytest.raises(InputFileError) as raised:
        read_text("input", "a list")
    assert said in str(raised.value)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 400, "0x10", "1" + 10**6 * "0"])
def test_number_that_float64_lacks(number: str) -> None:
    Path("list").write_text(f"1 2 3 4\n1 2 3 {number}\n")
    with pytest.raises(InputFileError, match=r"^list:2: F must be a finite number") as raised:
        read_hkl("list")
    assert len(str(raised.value)) < 300


def test_trace_does_not_wait_for_a_pipe_that_it_has_read() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text("0 0 0 1\n1 0 0 5\n"))
    writer.start()
    line = f"{CRYSTAL} {GEOMETRY} -detpixels 8 -nointerpolate -oversample 12 -hkl pipe"
    assert main(["trace", "-pixel", "3", "4", "-out", "traced", "--", *shlex.split(line)]) == 0
    writer.join()
    assert json.loads(Path("traced/provenance.json").read_text())["inputs"] == {}


# Packed ------------------------------------------------------------------------------------------------------------


def test_packed_files_are_read_by_their_content(folder: Path) -> None:
    reflections = "".join(f"{h} {k} 0 {h * h + k}\n" for h in range(3) for k in range(3))
    contents = {
        "hkl": reflections.encode(),
        "mat": b"0.012 0 0\n0 0.011 0\n0 0 0.01\n",
        "sourcefile": b"-1 0 0 1 1e-10\n-1 0.01 0 2 1.1e-10\n",
        "stol": b"0 2\n0.5 1\n",
        "img": smv("PIXEL_SIZE=0.3;\nDISTANCE=75;\nWAVELENGTH=1.1;\nBEAM_CENTER_X=1;\n"),
    }
    plans = []
    for pack in (bytes, gzip.compress, lambda content: gzip.compress(content[:5]) + gzip.compress(content[5:])):
        for option, content in contents.items():
            (folder / option).write_bytes(pack(content))
        plans.append(resolved("-water 1 -N 2 " + " ".join(f"-{option} {option}" for option in contents)).plan)
    for plan in plans[1:]:
        assert repr(plan) == repr(plans[0])


def test_packed_image_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.img").write_bytes(smv(""))
    Path("b.img.gz").write_bytes(gzip.compress(smv("")))
    assert main(["compare", "a.img", "b.img.gz"]) == 0
    assert "correlation         1\n" in capsys.readouterr().out


@pytest.mark.parametrize("read", [read_hkl, read_smv])
def test_damaged_packing_is_named(read: object) -> None:
    packed = gzip.compress(10000 * b"1 0 0 5\n")
    middle = len(packed) // 2
    for damaged in (packed[:-4], packed[:middle], packed[:2], packed[:middle] + b"\xff\xff\xff" + packed[middle:]):
        Path("x.gz").write_bytes(damaged)
        with pytest.raises(InputFileError, match=r"^x\.gz: its gzip packing is damaged \(.*\); pack it again"):
            read("x.gz")  # type: ignore[operator]


def test_what_unpacks_to_more_than_there_may_be_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.gz").write_bytes(gzip.compress(bytes(3 << 20)))
    assert len(read_unpacked("x.gz", "a list")) == 3 << 20
    monkeypatch.setattr(files, "MOST_UNPACKED_BYTES", 2 << 20)
    with pytest.raises(InputFileError, match=r"^x\.gz: unpacks to more than 2 MiB"):
        read_unpacked("x.gz", "a list")


# Lists of reflections of other programs ------------------------------------------------------------------------------

SHELX = "   1   0   0   12.30    0.50\n   0  -2   0    7.10    0.30\n -10  12 -11    3.00    0.10\n"
OTHERS = {
    "an MTZ file": b"MTZ \x35\0\0\0\x44\x41\0\0",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n\0\0",
    "a zip archive": b"PK\x03\x04\x14\0",
    "packed by xz": b"\xfd7zXZ\0\0",
    "packed by bzip2": b"BZh91AY",
    "packed by gzip twice": gzip.compress(gzip.compress(b"1 0 0 1\n")),
    "a CCP4 map": bytes(208) + b"MAP " + bytes(800),
    "a reflection table of DIALS": b"\x93\xb8dials::af::reflection_table\x01",
    "a TIFF image": b"II*\0\x08\0\0\0",
    "an SMV image": b"{\nHEADER_BYTES=  512;\nDIM=2;\n}",
    "a reflection file of XDS": "!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=TRUE\n 1 0 0 5. 1.\n",
    "a reflection file of XDS ": "!OUTPUT_FILE=INTEGRATE.HKL    DATE=\n!Generated by INTEGRATE\n",
    "a reflection list of CrystFEL": "CrystFEL reflection list version 2.0\nSymmetry: 4/mmm\n",
    "a reflection file of SHELX": SHELX + "   0   0   0    0.00    0.00\n\n",
    "a reflection file of SHELX, ": SHELX
    + "   0   0   0    0.00    0.00   0\nTITL crystal\nCELL 0.71 5 6 7 90 90 90\n",
    "a CIF of structure factors": "# made by\ndata_r1abcsf\nloop_\n_refln.index_h\n_refln.index_k\n1 0\n",
    "an mmCIF file": "data_1ABC\nloop_\n_atom_site.group_PDB\nATOM\n",
    "a reflection file of CNS": " NREFlection=   2\n ANOMalous=FALSe\n INDE     1   0   0 FOBS=  10.0 SIGMA= 1.0\n",
    "a reflection file of CNS ": "INDE 1 0 0 FOBS 10.0\n",
    "a merged SCALEPACK file": "    1\n -987\n   50.0   60.0   70.0  90.000  90.000  90.000 p21\n   1   0   0   5.0\n",
    "a SCALEPACK file": "    2 p21\n 1 0 0 0 1 0 0 0 1\n 0 0 0\n-1 0 0 0 1 0 0 0 -1\n 0 6 0\n",
    "a PDB file": "HEADER    HYDROLASE\nATOM      1  N   ALA A   1\n",
    "a page of the web": "<!DOCTYPE html>\n<html>",
    "a binary table": "0 1 0 1 0 1\n\f1234567",
}


@pytest.mark.parametrize("name", OTHERS)
def test_list_of_another_program_is_named(name: str) -> None:
    content = OTHERS[name]
    Path("x").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputFileError) as raised:
        read_hkl("x")
    text = str(raised.value)
    assert text.startswith(f"x: is {name.strip(', ')}")
    assert "\n" not in text
    assert ", not the list of structure factors: " in text


@pytest.mark.parametrize(
    "text",
    [
        SHELX,
        SHELX + "   0   0   0    0.00    0.00\n" + SHELX,
        "1 0 0 12.3 0.5\n0 -2 0 7.1 0.3\n0 0 0 0.0 0.0\n",
        "   1   0   0   12.30\n   0   0   0    0.00\n",
        "1 -987 1 5\n",
        "2 1 21 5\n1 0 0 0\n",
    ],
    ids=["no end", "0 0 0 in the middle", "free format", "no fifth column", "large index", "four columns"],
)
def test_list_that_only_resembles_one_is_read(text: str) -> None:
    assert text_format(text) is None
    Path("x").write_text(text)
    assert len(read_hkl("x")[0]) == text.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "5 p21\n" + "1" * 5000,
        "5 p21\n" + "1 " * 5000,
        SHELX + "   0   0   0" + " 00" * 500 + "x\n",
        " " * 100_000,
        "\n" * 100_000 + "INDE ",
    ],
    ids=["digits", "numbers", "zeros", "blanks", "lines"],
)
def test_formats_are_looked_for_in_no_time(text: str) -> None:
    began = time.process_time()
    assert text_format(text) is None
    assert time.process_time() - began < 1.0


# An asymmetric unit --------------------------------------------------------------------------------------------------


def box(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def written(hkl: np.ndarray) -> str:
    Path("list").write_text("".join(f"{h} {k} {l} 10\n" for h, k, l in hkl))
    return f"{CRYSTAL} {GEOMETRY} -hkl list"


@pytest.mark.parametrize(
    ("part", "share", "octants"),
    [
        (lambda hkl: hkl.min(axis=1) >= 0, "1%", 1),
        (lambda hkl: hkl[:, 1:].min(axis=1) >= 0, "4%", 2),
        (lambda hkl: (hkl.min(axis=1) >= 0) | (hkl.max(axis=1) <= 0), "100%", 2),
        (lambda hkl: hkl[:, 0] * hkl[:, 2] >= 0, "100%", 4),
    ],
    ids=["orthorhombic", "monoclinic", "orthorhombic, both mates", "monoclinic, both mates"],
)
def test_asymmetric_unit_is_told(part: Callable[[np.ndarray], np.ndarray], share: str, octants: int) -> None:
    line = written(box(4)[part(box(4))])
    with pytest.warns(NbnumbaWarning) as said:
        resolved(line)
    assert [str(warning.message) for warning in said] == [
        f"list: {share} of its reflections have their mate -h -k -l in the list, and {octants} of 8 "
        "octants of h k l hold any: no symmetry is applied; list all of P 1, or give -space_group"
    ]


def test_one_of_each_pair_of_mates_is_told() -> None:
    hkl = box(4)
    picked = hkl[np.random.default_rng(3).permutation(len(hkl))]
    _, first = np.unique(np.sort([picked @ [81, 9, 1], -picked @ [81, 9, 1]], axis=0)[0], return_index=True)
    share, octants = completeness(picked[first], (9, 9, 9))
    assert octants == 8
    assert share == pytest.approx(1 / len(first))
    line = written(picked[first])
    with pytest.warns(NbnumbaWarning, match=r"^list: 0% of its reflections .* 8 of 8"):
        resolved(line)


@pytest.mark.parametrize(
    "hkl",
    [
        box(3),
        box(6)[(box(6) ** 2).sum(axis=1) < 30],
        box(4)[np.random.default_rng(1).random(729) < 0.9],
        box(1)[:13],
        box(9)[(box(9)[:, 2] == 0)],
    ],
    ids=["box", "sphere", "90% measured", "made by hand", "a plane"],
)
def test_nothing_is_said_of_a_complete_or_short_list(hkl: np.ndarray) -> None:
    resolved(written(hkl))


# Image headers -------------------------------------------------------------------------------------------------------


def warned(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(shlex.split(f"{line} -show")) == 0
    return [text.removeprefix("nbnumba: warning: ") for text in capsys.readouterr().err.splitlines()]


DTREK = """\
DETECTOR_NAMES=R4_;
R4_GONIO_NAMES=RotZ RotX/Swing RotY TransX TransY TransZ/Distance;
R4_GONIO_VALUES=0 15 0 0 0 45.5;
R4_SPATIAL_DISTORTION_INFO=3.5 4.25 0.07 0.07;
SCAN_WAVELENGTH=0.7107;
"""


@pytest.mark.parametrize(
    ("records", "options", "said"),
    [
        ("", "", ["x: no PIXEL_SIZE, DISTANCE, WAVELENGTH, beam centre in the header, nor by option: "
                  "the default counts, 0.1 mm, 100 mm, 1 Å, the detector's centre"]),
        ("DISTANCE=70;\nBEAM_CENTER_X=1;\n", "-lambda 1.5", ["x: no PIXEL_SIZE in the header, nor by option: "
                                                             "the default counts, 0.1 mm"]),
        ("PIXEL_SIZE=0.2;\nCLOSE_DISTANCE=70;\nWAVELENGTH=1.1;\n", "", []),
        ("", GEOMETRY, []),
        (DTREK, GEOMETRY + "-Xbeam 1", []),
        (DTREK, GEOMETRY, ["x: no beam centre in the header, nor by option: the default counts, the detector's centre; "
                           "d*TREK's keywords are not read, give options for "
                           "R4_SPATIAL_DISTORTION_INFO=3.5 4.25 0.07 0.07; "
                           "R4_GONIO_NAMES=RotZ RotX/Swing RotY TransX TransY TransZ/Distance; "
                           "R4_GONIO_VALUES=0 15 0 0 0 45.5; SCAN_WAVELENGTH=0.7107"]),
    ],
    ids=["bare", "some", "all", "options", "d*TREK, options", "d*TREK"],
)  # fmt: skip
@pytest.mark.parametrize("option", ["img", "mask"])
def test_header_that_lacks_something_says_which_default_counts(
    records: str, options: str, said: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x").write_bytes(smv(records))
    assert warned(f"{CRYSTAL} {options} -{option} x", capsys) == said


def test_headers_of_image_and_mask_make_up_for_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_bytes(smv("PIXEL_SIZE=0.2;\nWAVELENGTH=1.1;\n"))
    Path("m").write_bytes(smv("DISTANCE=80;\nPIXEL_SIZE=0.2;\n"))
    assert warned(f"{CRYSTAL} -img x -mask m", capsys) == []


def test_wavelengths_of_sources_serve_in_place_of_the_header(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_bytes(smv("PIXEL_SIZE=0.2;\nDISTANCE=80;\n"))
    Path("s").write_text("-1 0 0 1 1.2e-10\n")
    assert warned(f"{CRYSTAL} -img x -sourcefile s", capsys) == []


ALL_THREE = "PIXEL_SIZE=0.2;\nDISTANCE=80;\nWAVELENGTH=1.1;\n"


@pytest.mark.parametrize(
    ("records", "options", "phi", "said"),
    [
        ("OSC_START=12;\n", "", 12, []),
        ("PHI=5;\n", "", 5, []),
        ("PHI=5;\nOSC_START=12;\n", "", 12, ["x: OSC_START=12 counts, not PHI=5; -phi would decide"]),
        ("PHI=12.0;\nOSC_START=12;\n", "", 12, []),
        ("PHI=5;\nOSC_START=12;\n", "-phi 3", 3, []),
        ("PHI=5;\nOSC_START=12;\n", "-mode c", 5, []),
        ("OSC_START=12;\n", "-mode c", 0, []),
    ],
)
def test_start_of_the_oscillation(
    records: str, options: str, phi: float, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x").write_bytes(smv(ALL_THREE + records))
    line = f"{CRYSTAL} -osc 1 -img x {options}"
    assert warned(line, capsys) == said
    experiment = Experiment.from_args(shlex.split(line))
    with pytest.warns(NbnumbaWarning) if said else pytest.MonkeyPatch().context():
        assert (resolve(experiment, read_inputs(experiment)).experiment.scan.phi_deg or 0) == phi


# Matrices ------------------------------------------------------------------------------------------------------------

ROTATION = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
MATRIX = "0.02 0 0\n0 0.016 0\n0 0 0.0125\n"
OWN = MATRIX + ROTATION
"""Of a cell of 50 62.5 80 at 1 Å."""


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (MATRIX, "-lambda 1.1", []),
        (MATRIX, "", ["-mat x without -lambda: its elements are divided by the default wavelength of 1 Å"]),
        (MATRIX, "-cell 50 60 70", []),
        (OWN + "50 62.5 80 90 90 90\n", "", []),
        (OWN + "75 93.75 120 90 90 90\n", "-lambda 1.5", []),
        (OWN + "75.01 93.76 120.02 90 90 90\n", "-lambda 1.5", []),
        (OWN + "75 93.75 120 90 90 90\n", "",
         ["x gives its cell as 75 93.75 120 90 90 90, but at -lambda 1 its matrix is that of a cell of 50 62.5 80 Å; "
          "they agree at -lambda 1.5"]),
        (OWN + "50 62.5 80 90 90 90\n", "-energy 12000",
         ["x gives its cell as 50 62.5 80 90 90 90, but at -lambda 1.0332 its matrix is that of a cell of "
          "51.6601 64.5751 82.6561 Å; they agree at -lambda 1"]),
        (OWN + "50 62.5 90 90 90 90\n", "-lambda 1",
         ["x gives its cell as 50 62.5 90 90 90 90, but at -lambda 1 its matrix is that of a cell of 50 62.5 80 Å; "
          "and no wavelength makes them agree"]),
        (OWN + "50 62.5 80 90 93 90\n", "-lambda 1",
         ["x gives its cell as 50 62.5 80 90 93 90, but at -lambda 1 its matrix is that of a cell of 50 62.5 80 Å; "
          "and no wavelength makes them agree"]),
        (OWN + "75 93.75 120 90 90 90\n", "-cell 75 93.75 120", []),
        ("0.02 0 0\n0 -0.016 0\n0 0 0.0125\n", "-lambda 1",
         ["x: a*, b*, c* are left-handed (a determinant below 0), so h k l are those of the mirror image: "
          "check the signs and the order of its rows and columns"]),
        ("1 0 0\n0 1 0\n0 0 1\n", "-cell 50 60 70", []),
    ],
)  # fmt: skip
def test_matrix_that_does_not_fit_is_told(
    text: str, options: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x").write_text(text)
    assert warned(f"-default_F 1 -N 3 -detpixels 8 -mat x {options}", capsys) == said


def test_wavelength_of_a_header_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_bytes(smv(ALL_THREE))
    Path("A.mat").write_text(MATRIX)
    assert warned("-default_F 1 -N 3 -img x -mat A.mat", capsys) == []


def test_matrix_of_axes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_text("70 0 0\n0 80 0\n0 0 90\n")
    line = "-default_F 1 -N 3 -detpixels 8 -lambda 1 -mat x"
    said = (
        "x: at -lambda 1 its matrix is that of a cell of 0.0142857 0.0125 0.0111111 Å, which no crystal has: "
        "give a*, b*, c* in 1/Å times the wavelength, not axes in Å"
    )
    assert main(shlex.split(f"{line} -show")) == 3
    assert capsys.readouterr().err == f"nbnumba: {said}\n"
    assert said in warned(f"{line} -mode c", capsys)


# Sources -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "row", "refused"),
    [
        ("-mosflm", "1 0.1 0 1 1e-10", True),
        ("-mosflm", "-1 0.1 0 1 1e-10", False),
        ("-xds", "0 0 10 1 1e-10", True),
        ("-xds", "1 0 -10 1 1e-10", False),
        ("-beam_vector 0 -1 0 -fdet_vector 1 0 0 -sdet_vector 0 0 1 -odet_vector 0 -1 0", "0 -3 1", True),
    ],
)
def test_source_on_the_side_of_the_detector(
    convention: str, row: str, refused: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    beam = {"-mosflm": "-1 0 0", "-xds": "0 0 -1"}.get(convention, "0 1 0")
    Path("x").write_text(f"# sources\n{beam} 1\n\n{row}\n")
    line = f"{CRYSTAL} -detpixels 8 -sourcefile x {convention}"
    status = main(shlex.split(f"{line} -show"))
    err = capsys.readouterr().err
    problem = "x:4: a source on the detector's side of the sample, whose beam travels away from the detector"
    assert status == (3 if refused else 0)
    assert (problem in err) is refused
    assert [problem in text for text in warned(f"{line} -mode c", capsys)] == [True] * refused


# Arrays, JSON and TOML -----------------------------------------------------------------------------------------------


def npy(shape: str, kind: str = "<f8", data: bytes = bytes(64)) -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


def npz(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return packed.getvalue()


@pytest.mark.parametrize("content", [npy("(2, 4)"), npz(a=npy("(2, 4)"))])
def test_array_is_read_as_numpy_reads_it(content: bytes) -> None:
    Path("x").write_bytes(content)
    (array,) = read_arrays("x", "the image").values()
    np.testing.assert_array_equal(array, np.zeros((2, 4)))
    np.save("y", np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    np.testing.assert_array_equal(read_arrays("y.npy", "the image")[""], np.arange(6.0).reshape(2, 3))


BOMB = npz(a=bytes(64 << 20))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ""),
        (npy("(2, 4)")[:-1], r"an array of shape \(2, 4\) of float64 needs 64 bytes, 63 are there"),
        (npy("(1000000000, 1000000000)"), "needs 8000000000000000000 bytes, 64 are there"),
        (npz(a=npy("(1000000000, 1000000000)")), "needs 8000000000000000000 bytes, 64 are there"),
        (npy("(-2, -4)"), r"shape \(-2, -4\)"),
        (npy("(2, 4)", "|O"), "of object needs"),
        (npy("'rows'"), ""),
        (npy("(2, 4)", "no kind"), ""),
        (npy("(" * 3000), ""),
        (npz(a=npy("(2, 4)"))[:-30], "zip"),
        (npz(a=npy("(2, 4)")).replace(b"\x93", b"\x94", 1), ""),
        (BOMB, "unpacks to more than 0 GiB"),
        (BOMB.replace((64 << 20).to_bytes(4, "little"), (64).to_bytes(4, "little")), "CRC"),
    ],
    ids=["empty", "short", "huge", "huge in npz", "negative", "objects", "no shape", "no kind", "nested", "cut",
         "no magic", "bomb", "bomb that lies"],
)  # fmt: skip
def test_damaged_array_is_an_error_in_a_line(content: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x").write_bytes(content)
    monkeypatch.setattr(arrays, "MOST_UNPACKED_BYTES", 32 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(
            InputFileError, match=rf"^x: cannot be read \([^\n]*(?:{said})[^\n]*\); must be as numpy\.save"
        ):
            read_arrays("x", "the image")
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("words", "status"),
    [("trace-diff x x", 3), ("golden list x", 3), ("golden check x", 3), ("golden show x a", 3)],
)
def test_brackets_in_brackets(words: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    if words.startswith("golden"):
        Path("x").mkdir()
    for name in ("x/cases.json", "x/manifest.json") if Path("x").is_dir() else ("x",):
        Path(name).write_text('{"a": ' + DEEP)
    assert main(words.split()) == status
    err = capsys.readouterr().err
    assert err.startswith(("nbnumba trace-diff: x: ", "nbnumba golden: x/"))
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["a = " + DEEP, "a = " + "9" * 5000, "a = {" * 50_000])
def test_toml_of_brackets_in_brackets(text: str) -> None:
    with pytest.raises(UsageError, match=r"^the experiment is not TOML: "):
        Experiment.from_toml(text)


# What damaged inputs have shown --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["divergence", "hdivrange", "vdivstep"])
def test_divergence_whose_square_is_nothing(option: str) -> None:
    assert len(resolved(f"{CRYSTAL} -detpixels 8 -pixel 0.1 -{option} 3e-310").sources.weight) > 0


def test_cache_of_a_name_that_no_file_can_have(capsys: pytest.CaptureFixture[str]) -> None:
    name = "F" * 5000
    assert warned(f"{CRYSTAL} {GEOMETRY} -detpixels 8 -dump {name}", capsys) == [
        f"-dump {name}: there is no such file, nor -hkl to make it from; every F is 100"
    ]


def test_error_and_warning_are_one_line_whatever_a_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(CRYSTAL), "-hkl", "two\nlines\u2028three", "-show"]) == 3
    said = "cannot read the list of structure factors two lines three: there is no such file; check the path"
    assert capsys.readouterr().err == f"nbnumba: {said}\n"
    Path("two\nlines").write_bytes(smv(""))
    assert main([*shlex.split(CRYSTAL), "-img", "two\nlines", "-show"]) == 0
    assert capsys.readouterr().err.startswith("nbnumba: warning: two lines: no PIXEL_SIZE")


def test_curve_that_no_image_can_hold(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_text("0 1\n1e299 1\n")
    assert main(shlex.split(f"{CRYSTAL} -detpixels 8 -water 1 -4stol x -show")) == 3
    assert capsys.readouterr().err.startswith("nbnumba: x:2: abscissa = 1e+299 is too large")


def test_mask_that_the_experiment_holds_has_no_header_to_lack_anything() -> None:
    experiment = Experiment(
        detector=Detector(mask=np.eye(8, dtype=int)),  # type: ignore[arg-type]
        crystal=Crystal(cell=(70, 80, 90, 90, 90, 90)),
        structure_factors=StructureFactors(default_f=1),
    )
    assert resolve(experiment, read_inputs(experiment)).geometry.fast_pixels == 8
