"""Files in and out: round trips, the recorded headers and images, and what is said when a file is wrong."""

from __future__ import annotations

import errno
import json
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbnumba import Readout
from nbnumba.errors import InputFileError, NbnumbaWarning, ResourceError
from nbnumba.formats import files
from nbnumba.formats import hkl as hkl_module
from nbnumba.formats.amorphous import read_amorphous
from nbnumba.formats.dump import read_dump, write_dump
from nbnumba.formats.files import check_writable, read_text, replacing, together
from nbnumba.formats.hkl import read_hkl
from nbnumba.formats.images.pgm import write_pgm
from nbnumba.formats.images.raw import read_raw, write_raw
from nbnumba.formats.images.smv import SmvGeometry, header_value, read_smv, smv_header, write_smv
from nbnumba.formats.matrix import read_matrix
from nbnumba.formats.sources import read_sources
from nbnumba.response.chain import gray_levels, scaled_counts
from nbnumba.response.integers import auto_gray_scale, auto_scale
from nbnumba.statistics import image_statistics

GOLDEN = Path(__file__).parent / "golden"
INPUTS = GOLDEN / "inputs"
HEADERS = sorted(path.stem for path in GOLDEN.glob("*.npz") if not path.stem.startswith("pilatus"))
ROI = (20, 60, 30, 80)
NAN = float("nan")

full_disk = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def recorded(case: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{case}.npz") as arrays:
        found = dict(arrays)
    return found | {"header": str(found["header"]), "figures": json.loads(str(found["figures"]))}


def in_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "input.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# --- output appears whole or not at all ------------------------------------------------------------------------------


def test_replacing_takes_the_place_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("raised", "seen"), [(ValueError, ValueError), (KeyboardInterrupt, KeyboardInterrupt), (OSError, ResourceError)]
)
def test_interrupted_write_leaves_the_old_file_alone(
    tmp_path: Path, raised: type[BaseException], seen: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise raised

    with pytest.raises(seen):
        write()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_temporary_names_say_who_writes(tmp_path: Path) -> None:
    with replacing(tmp_path / "a"):
        (name,) = (path.name for path in tmp_path.iterdir())
    found = files.TEMPORARY.fullmatch(name)
    assert found is not None
    assert (found["host"], found["pid"]) == (files.host_name(), str(os.getpid()))


def test_hosts_make_names_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for node, name in (("gpu-3.site.org", "gpu-3.site.org"), ("a/b c", "a_b_c"), ("x" * 99, "x" * 40), ("", "unnamed")):
        monkeypatch.setattr(os, "uname", lambda node=node: SimpleNamespace(nodename=node))
        assert files.host_name() == name


@pytest.mark.parametrize("is_done", [True, False])
def test_a_rename_that_was_done_before_counts(is_done: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS asks again where an answer is lost, and hears that what it has renamed is not there."""
    (tmp_path / "a").write_bytes(b"older")
    replace = os.replace

    def repeated(source: str, target: str) -> None:
        if is_done:
            replace(source, target)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "replace", repeated)
    if is_done:
        with replacing(tmp_path / "a") as file:
            file.write(b"newer")
        assert (tmp_path / "a").read_bytes() == b"newer"
    else:
        with pytest.raises(ResourceError), replacing(tmp_path / "a") as file:
            file.write(b"newer")
        assert (tmp_path / "a").read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["a"]


def test_failed_rename_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ResourceError, match="disk is full"), replacing(tmp_path / "out") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_new_file_has_the_mode_that_umask_asks_for(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "out"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~umask


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_device_is_written_directly() -> None:
    with replacing(os.devnull) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@full_disk
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["at closing", "while writing"])
def test_full_disk_is_a_resource_error(size: int) -> None:
    with (
        pytest.raises(ResourceError, match="cannot write /dev/full: the disk is full; free"),
        replacing("/dev/full") as f,
    ):
        f.write(bytes(size))


def test_folder_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in [("missing/out", "folder does not exist"), ("", "is a folder"), ("file/out", "not a folder")]:
        with pytest.raises(ResourceError, match=reason), replacing(tmp_path / path):
            pytest.fail("the block must not run")


def test_write_protected_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.touch(mode=0o444)
    # Whoever runs the tests may be root, who may write anything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ResourceError, match="permission is denied"), replacing(path):
        pytest.fail("the block must not run")


def test_files_written_together_appear_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with together():
        for name in "ab":
            with replacing(tmp_path / name) as file:
                file.write(b"new")
        assert (tmp_path / "a").read_bytes() == b"old"
        assert not (tmp_path / "b").exists()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new", "b": b"new"}
    with replacing(tmp_path / "a") as file:
        file.write(b"alone")
    assert (tmp_path / "a").read_bytes() == b"alone"


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_files_written_together_are_all_given_up(tmp_path: Path, raised: type[BaseException]) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write() -> None:
        with together():
            for name in "ab":
                with replacing(tmp_path / name) as file:
                    file.write(b"new")
            raise raised

    with pytest.raises(raised):
        write()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_failed_rename_of_files_written_together_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with together():
            with replacing(tmp_path / "out") as file:
                file.write(b"new")
            (tmp_path / "out").mkdir()

    with pytest.raises(ResourceError, match=r"cannot write .*/out: it is a folder"):
        write()
    assert os.listdir(tmp_path) == ["out"]


def test_looking_whether_a_file_could_be_written_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "out"
    check_writable(path)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"old")
    check_writable(path)
    check_writable(os.devnull)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_write_protected_file_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ResourceError, match="permission is denied"):
        check_writable(tmp_path / "out")


# --- input that cannot be read ---------------------------------------------------------------------------------------

READERS: list[Callable[[Path], Any]] = [
    read_hkl, read_dump, read_matrix, read_sources, read_amorphous, read_smv, lambda path: read_raw(path, (2, 2))
]  # fmt: skip


@pytest.mark.parametrize("read", READERS)
def test_every_reader_names_the_missing_file_and_the_folder(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(InputFileError, match="absent: there is no such file"):
        read(tmp_path / "absent")
    with pytest.raises(InputFileError, match="it is a folder"):
        read(tmp_path)


def complaint(read: Callable[[Path], Any], path: Path) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbnumbaWarning)
        try:
            read(path)
        except InputFileError as error:
            return str(error)
    return None


@pytest.mark.parametrize("read", READERS)
@given(content=st.binary(max_size=200))
def test_every_reader_takes_any_bytes_or_says_why_not(
    tmp_path_factory: pytest.TempPathFactory, read: Callable[[Path], Any], content: bytes
) -> None:
    path = in_file(tmp_path_factory.getbasetemp(), content)
    said = complaint(read, path)
    assert said is None or (str(path) in said and "\n" not in said)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0)
    with pytest.raises(InputFileError, match="permission is denied"):
        read_text(path, "a list")


def test_binary_where_text_should_be(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"input\.txt:2: a list must be plain"):
        read_text(in_file(tmp_path, b"1 2\n\xff\xfe"), "a list")


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (read_hkl, "", "no reflections"),
        (read_hkl, "# only this\n\n", "no reflections"),
        (read_hkl, "1 2 3 4\n1 2 3\n", ":2: 3 numbers where 4 are needed .*: '1 2 3'"),
        (read_hkl, "1 2 3 4 # fine\n1 2 3 # 4\n", ":2: 3 numbers"),
        (read_hkl, "1 2 3 4\r\n1 2 3\r\n", ":2: 3 numbers"),
        (read_hkl, "1 2 3\n4 5 6 7 8\n", ":1: 3 numbers"),
        (read_hkl, "1,2,3,4\n", ":1: h must be a finite number, not '1,2,3,4'"),
        (read_hkl, "\n1 2 x 4\n", ":2: l must be a finite number, not 'x'"),
        (read_hkl, "1 2 3 nan\n", ":1: F must be a finite number"),
        (read_hkl, "inf 2 3 4\n", ":1: h must be a finite number"),
        (read_hkl, "1_0 2 3 4\n", ":1: h must be a finite number"),
        (read_hkl, "1 2 3 -4\n", ":1: F = -4 is negative"),
        (read_hkl, "1 2.5 3 4\n", ":1: k = 2.5 is no Miller index"),
        (read_hkl, "1e300 2 3 4\n", r":1: h = 1e\+300 is no Miller index"),
        (read_hkl, "1 2 3 " + 200 * "x", r":1: F must be .*\.\.\.'$"),
        (read_matrix, "1 0 0\n0 1 0\n0 0\n", "8 numbers where an A matrix has nine"),
        (read_matrix, "1 0 0\n0 one 0\n0 0 1\n", ":2: matrix element must be a finite number, not 'one'"),
        (read_matrix, "1 0 0 0 1 0 0 0 nan", ":1: matrix element must be a finite number"),
        (read_matrix, "1 2 3\n4 5 6\n7 8 9\n", "singular"),
        (read_matrix, "1 0 0\n0 1 0\n0 0 0\n", "singular"),
        (read_matrix, "0 0 0\n0 0 0\n0 0 0\n", "singular"),
        (read_sources, "\n \n", "no sources"),
        (read_sources, "1 2 3\n1 two 3\n", ":2: y must be a finite number, not 'two'"),
        (read_sources, "1 2 3 -1\n", ":1: weight = -1 must not be negative"),
        (read_sources, "1 2 3 inf\n", ":1: weight must be a finite number"),
        (read_sources, "1 2 3 1 0\n", ":1: wavelength = 0 m must be positive"),
        (read_sources, "1 2 3 1 0.9795\n", ":1: wavelength = 0.9795 is not in metres, as it must be: 1 Å is 1e-10"),
        (read_sources, "1 2 3 1 1e-16\n", ":1: wavelength = 1e-16 is not in metres"),
        (read_sources, "1 2 3\n0.98,7\n", ":2: 2 numbers where a direction needs three: a row is x y z weight wave"),
        (read_sources, "# spectrum\n\n1.2\n", ":3: 1 number where a direction needs three"),
        (read_sources, "0,0,0\n", ":1: a source at 0 0 0 has no direction"),
        (read_sources, "1 2 3 0\n1 2 3 0\n", "weights .* sum to 0"),
        (read_amorphous, "# nothing\n", "no points"),
        (read_amorphous, "0 1\n0.1\n", ":2: one number where 2 are needed"),
        (read_amorphous, "0 1\n0.1 x\n", ":2: F must be a finite number"),
        (read_amorphous, "-0.1 1\n", ":1: abscissa = -0.1 must not be negative"),
        (read_amorphous, "0 1\n1e60 1\n", ":2: abscissa = 1e\\+60 is too large; give at most 1e\\+50"),
        (read_amorphous, "0 1\n1 -1e60\n", ":2: F = -1e\\+60 is too large"),
        (read_amorphous, "0.2 1\n0.1 1\n0.2 3\n", ":3: the first column was given before, on line 1"),
    ],
)
def test_wrong_line_is_named(tmp_path: Path, read: Callable[[Path], Any], text: str, problem: str) -> None:
    with pytest.raises(InputFileError, match=problem):
        read(in_file(tmp_path, text))


# --- structure factors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1 -2 3 4.5\n0 0 0 0\n",
        "1 -2 3 4.5 0.1 phase\n0 0 0 0",
        "# h k l F\n\n  1\t-2\t3\t4.5 # the first\n\n0 0 0 0\n",
        "1 -2 3 4.5\r\n0 0 0 0\r\n",
        "\ufeff1.0 -2.0 3e0 +45e-1\n0 0 0 0\n",
    ],
    ids=["plain", "more columns", "comments, blanks and tabs", "CRLF", "floats"],
)
def test_read_hkl(tmp_path: Path, text: str) -> None:
    hkl, amplitudes = read_hkl(in_file(tmp_path, text))
    assert hkl.dtype == np.int64
    assert hkl.tolist() == [[1, -2, 3], [0, 0, 0]]
    assert amplitudes.tolist() == [4.5, 0]


def test_nearly_whole_indices_are_rounded_with_one_warning(tmp_path: Path) -> None:
    path = in_file(tmp_path, "1 2 3 4\n1.39 -2.39 3 4\n1 2.01 3 4\n")
    with pytest.warns(
        NbnumbaWarning, match=r"input\.txt:2: indices rounded .* on 2 lines .*'1\.39 -2\.39 3 4'"
    ) as said:
        hkl, _ = read_hkl(path)
    assert len(said) == 1
    assert hkl.tolist() == [[1, 2, 3], [1, -2, 3], [1, 2, 3]]


TOKENS = st.sampled_from(
    ["0", "-3", "7", "2.5", "1e1", "+4", "nan", "-1.0", "x", "#", "1#2", "1_0", "\u0661", "0x1", "1d2"]
)
LINES = st.lists(TOKENS, max_size=6).map(" ".join) | st.just("1 2 3 4")


@given(lines=st.lists(LINES, min_size=1, max_size=4), end=st.sampled_from(["\n", "\t\n", "\n\n", "\x0b\n"]))
def test_fast_path_reads_nothing_that_the_careful_one_reads_otherwise(lines: list[str], end: str) -> None:
    text = end.join(lines)
    fast = hkl_module._fast(text)
    if fast is not None:
        np.testing.assert_array_equal(fast, hkl_module._careful("list", text))


@given(values=hnp.arrays(np.float64, (5, 4), elements=st.integers(0, 10**9)), separator=st.sampled_from(" \t"))
def test_clean_list_takes_the_fast_path(values: np.ndarray, separator: str) -> None:
    values[:, 3] /= 7
    text = "\n".join(separator.join(map(repr, row)) for row in values.tolist())
    np.testing.assert_array_equal(hkl_module._fast(text), values)


def test_long_list_is_read_in_chunks_between_which_an_interrupt_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# head\n" + "".join(f"{h} 2 3 {h}.5 # {h * 'x'}\n" for h in range(20)) + "20 2 3 20.5"
    whole, load, chunks = hkl_module._fast(text), np.loadtxt, []
    monkeypatch.setattr(np, "loadtxt", lambda chunk, **how: chunks.append(chunk) or load(chunk, **how))
    monkeypatch.setattr("nbnumba.formats.rows._CHUNK", 50)
    np.testing.assert_array_equal(hkl_module._fast(text), whole)
    assert len(chunks) > 5


def test_dump_round_trip_is_the_documented_layout(tmp_path: Path) -> None:
    bounds, table = (-1, 0, 2, 4, -3, -3), np.arange(1.0, 7.0).reshape(2, 3, 1)
    path = tmp_path / "Fdump.bin"
    write_dump(path, bounds, table)
    text, values = path.read_bytes().split(b"\f", 1)
    assert text == b"-1 0 2 4 -3 -3\n"
    assert np.frombuffer(values).tolist() == [1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 5, 0, 6, 0, 0, 0, *8 * [0]]
    read_bounds, read_table = read_dump(path)
    assert read_bounds == bounds
    np.testing.assert_array_equal(read_table, table)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "must begin with"),
        (b"0 0 0 0 0\n\f" + bytes(64), "must begin with"),
        (b"1 0 0 0 0 0\n\f", "wrong way round"),
        (b"0 0 0 0 0 0\n\f" + bytes(63), "bytes where"),
        (b"0 0 0 0 0 0\n\f" + bytes(72), "bytes where"),
        (b"0 999999999 0 999999999 0 999999999\n\f" + bytes(64), "bytes where"),
        (b"0 0 0 0 0 0\n\f" + 8 * np.array([NAN]).tobytes(), "not finite"),
    ],
)
def test_inconsistent_dump(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(InputFileError, match=problem):
        read_dump(in_file(tmp_path, content))


# --- matrix, sources, scattering curve -------------------------------------------------------------------------------


def test_read_matrix_takes_the_first_nine_numbers(tmp_path: Path) -> None:
    matrix = read_matrix(in_file(tmp_path, "1 0.5 0\n0 2 0\n0 0 -3e-5\n  0.0 0.0 0.0\nno number\n"))
    assert matrix.elements.tolist() == [[1, 0.5, 0], [0, 2, 0], [0, 0, -3e-5]]
    assert matrix.cell is None


MOSFLM = """\
  0.01200000  0.00000000  0.00000000
  0.00000000  0.00000000 -0.01000000
  0.00000000  0.01500000  0.00000000
       0.000       0.000       0.000
   1.0000000   0.0000000   0.0000000
   0.0000000   0.0000000  -1.0000000
   0.0000000   1.0000000   0.0000000
"""


@pytest.mark.parametrize(
    ("rest", "cell"),
    [
        ("65.25 52.2 78.3 90 90 90\n 0 0 0\n", (65.25, 52.2, 78.3, 90, 90, 90)),
        ("65.25 52.2 78.3 90 90\n", None),
        ("65.25 52.2 78.3 90 90 cell\n", None),
        ("65.25 52.2 -78.3 90 90 90\n", None),
        ("65.25 52.2 nan 90 90 90\n", None),
        ("65.25 52.2 1e400 90 90 90\n", None),
        ("65.25 52.2 78.3 90 90 190\n", None),
    ],
)
def test_cell_that_mosflm_writes_below_the_matrix(tmp_path: Path, rest: str, cell: Any) -> None:
    matrix = read_matrix(in_file(tmp_path, MOSFLM + rest))
    assert matrix.elements.tolist() == [[0.012, 0, 0], [0, 0, -0.01], [0, 0.015, 0]]
    assert matrix.cell == cell


def test_numbers_below_a_matrix_that_are_no_rotation_give_no_cell(tmp_path: Path) -> None:
    text = "1 0 0\n0 1 0\n0 0 1\n" + "0 0 0\n" + 3 * "4 5 6\n" + "10 20 30 90 90 90\n"
    assert read_matrix(in_file(tmp_path, text)).cell is None


def test_read_sources_takes_every_separator_and_marks_what_is_missing(tmp_path: Path) -> None:
    sources = read_sources(in_file(tmp_path, "-10 0.5\t0 2 1e-10 more\n\n-10,0.5;0:2!1e-10\n1 2 3\n1 2 3 4"))
    full = [-10, 0.5, 0, 2, 1e-10]
    np.testing.assert_array_equal(sources, [full, full, [1, 2, 3, NAN, NAN], [1, 2, 3, 4, NAN]])


def test_read_amorphous_sorts(tmp_path: Path) -> None:
    curve = read_amorphous(in_file(tmp_path, "# s F\n0.2 3 note\n0 2.5\n\n0.1 -1\n"))
    assert curve.tolist() == [[0, 2.5], [0.1, -1], [0.2, 3]]


# --- SMV -------------------------------------------------------------------------------------------------------------


def geometry_of(header: str) -> SmvGeometry:
    def number(keyword: str) -> float:
        value = header_value(header, keyword, whole=True)
        assert value is not None
        return value

    # A difference of two recorded numbers has lost digits; the sum that undoes it has not.
    slow_size_mm = number("ADXV_CENTER_Y") + number("DENZO_X_BEAM")
    assert slow_size_mm == pytest.approx(number("SIZE2") * number("PIXEL_SIZE"), rel=1e-5)
    x, y, z = map(float, header.partition("DIALS_ORIGIN=")[2].partition("\n")[0].split(","))
    return SmvGeometry(
        fast_pixels=int(number("SIZE1")),
        slow_pixels=int(number("SIZE2")),
        pixel_mm=number("PIXEL_SIZE"),
        distance_mm=number("DISTANCE"),
        wavelength_angstrom=number("WAVELENGTH"),
        beam_center_mm=(number("BEAM_CENTER_X"), number("BEAM_CENTER_Y")),
        fbeam_mm=number("DENZO_Y_BEAM"),
        sbeam_mm=number("DENZO_X_BEAM"),
        slow_size_mm=slow_size_mm,
        dials_origin_mm=(x, y, z),
        orgx=number("XDS_ORGX"),
        orgy=number("XDS_ORGY"),
        close_distance_mm=number("CLOSE_DISTANCE"),
        phi_deg=number("OSC_START"),
        oscillation_deg=number("OSC_RANGE"),
        twotheta_deg=number("TWOTHETA"),
    )


@pytest.mark.parametrize("case", HEADERS)
def test_header_is_the_recorded_one(case: str) -> None:
    header = recorded(case)["header"]
    assert smv_header(geometry_of(header)) == header


GEOMETRY = SmvGeometry(
    fast_pixels=3,
    slow_pixels=2,
    pixel_mm=0.172,
    distance_mm=231.27466,
    wavelength_angstrom=0.9768,
    beam_center_mm=(1.25, 2.5),
    fbeam_mm=217.742295123,
    sbeam_mm=213.90708,
    slow_size_mm=434.644,
    dials_origin_mm=(-230.192414300537, 216.343050492215, 216.475836204836),
    orgx=1259.0806,
    orgy=1258.3095,
    close_distance_mm=231.2746,
    phi_deg=12.5,
    oscillation_deg=0.1,
    twotheta_deg=-3.0,
)
PIXELS = np.array([[0, 1, 65535], [256, 3, 4]], np.uint16)
LONG = dict.fromkeys(("distance_mm", "orgx", "orgy", "phi_deg", "fbeam_mm", "sbeam_mm"), -1.23456e-111)


@pytest.mark.parametrize("style", ["c", "dials"])
@pytest.mark.parametrize(("changes", "block"), [({}, None), (LONG, 1024)], ids=["usual", "long numbers"])
def test_smv_round_trip(tmp_path: Path, style: Any, changes: dict[str, float], block: int | None) -> None:
    header = smv_header(replace(GEOMETRY, **changes), style, adc_offset=40)
    path = tmp_path / "image_00001.img"
    write_smv(path, header, PIXELS)
    content, size = path.read_bytes(), int(header_value(header, "HEADER_BYTES", whole=True) or 0)
    assert size == (block or size)
    assert size % 512 == 0
    assert content[:size] == (header + "\f").encode().ljust(size)
    assert content[size:] == PIXELS.astype("<u2").tobytes()
    image = read_smv(path)
    assert image.header == header
    np.testing.assert_array_equal(image.pixels, PIXELS)


def test_header_block_grows_when_it_is_full_to_the_last_byte() -> None:
    sizes = {}
    for digits in range(1, 60):
        header = smv_header(replace(GEOMETRY, dials_origin_mm=(1, 2, 3), fast_pixels=10**digits))
        sizes[len(header) + 1] = header_value(header, "HEADER_BYTES", whole=True)
    assert sizes[512] == 512
    assert all(size == (512 if length <= 512 else 1024) for length, size in sizes.items())


def test_dials_header_is_one_that_dxtbx_reads_exactly() -> None:
    header = smv_header(GEOMETRY, "dials", adc_offset=40)
    assert all(record.count("=") == 1 for record in header.strip("{}\n").rstrip(";").split(";"))
    x, y, adc = (header_value(header, key, whole=True) for key in ("BEAM_CENTER_X", "BEAM_CENTER_Y", "ADC_OFFSET"))
    # fast = X + pixel and slow = height - Y + pixel is how dxtbx takes them.
    assert x is not None
    assert y is not None
    assert x + GEOMETRY.pixel_mm == pytest.approx(GEOMETRY.fbeam_mm, rel=1e-11)
    height_mm = GEOMETRY.slow_pixels * GEOMETRY.pixel_mm
    assert height_mm - y + GEOMETRY.pixel_mm == pytest.approx(GEOMETRY.sbeam_mm, rel=1e-11)
    assert adc == 40


@pytest.mark.parametrize("style", ["c", "dials"])
def test_fabio_reads_the_image(tmp_path: Path, style: Any) -> None:
    fabio = pytest.importorskip("fabio")
    path = tmp_path / "image_00001.img"
    write_smv(path, smv_header(GEOMETRY, style), PIXELS)
    with fabio.open(str(path)) as image:
        np.testing.assert_array_equal(image.data, PIXELS)
        assert float(image.header["DISTANCE"]) == pytest.approx(GEOMETRY.distance_mm, rel=1e-5)


@pytest.mark.parametrize(
    ("file", "keyword", "whole", "last"),
    [
        ("tricky.img", "DISTANCE", 123.5, 123.5),
        ("tricky.img", "PHI", 4, 9),
        ("own.img", "DISTANCE", 123.5, 120.25),
        ("own.img", "ORGX", None, 44),
        ("own.img", "XDS_ORGX", 44, 44),
        ("own.img", "TWOTHETA", 7, 7),
        ("header.img", "TWOTHETA", None, None),
    ],
)
def test_header_keywords_of_both_modes(file: str, keyword: str, whole: float | None, last: float | None) -> None:
    header = read_smv(INPUTS / file).header
    assert header_value(header, keyword, whole=True) == whole
    assert header_value(header, keyword, whole=False) == last


@pytest.mark.parametrize("whole", [True, False])
def test_last_of_repeated_keywords_counts(whole: bool) -> None:
    assert header_value("{\nPHI=1;\nPHI = 2 deg;\nPHI_STEP=3;\n}", "PHI", whole) == 2
    assert header_value("{PHI=1;PHI=;}", "PHI", whole) is None
    with pytest.raises(InputFileError, match="PHI=x must be a number"):
        header_value("{PHI=x;}", "PHI", whole)


def smv(head: str, data: bytes) -> bytes:
    return f"{{\n{head}}}\f".encode().ljust(128) + data


SIZES = "HEADER_BYTES=128;\nSIZE1=3;\nSIZE2=2;\n"


def test_words_of_other_makers_say_the_same(tmp_path: Path) -> None:
    words = "Header_Bytes= 128;\nsize1=3;\nSize2=2;\nData_type=unsigned  Short INT;\nByte_order=BIG_ENDIAN;\n"
    image = read_smv(in_file(tmp_path, smv(words + "Compression=None;\n", PIXELS.astype(">u2").tobytes())))
    np.testing.assert_array_equal(image.pixels, PIXELS)


def test_big_endian_image_is_swapped(tmp_path: Path) -> None:
    image = read_smv(in_file(tmp_path, smv(SIZES + "BYTE_ORDER=big_endian;\n", PIXELS.astype(">u2").tobytes())))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.pixels.dtype == np.uint16
    assert image.pixels.dtype.isnative


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no SMV image"),
        (b"\x89PNG {HEADER_BYTES=512;}", "no SMV image"),
        (b"{\nSIZE1=3;\n}", "no SMV image"),
        (b"{\nHEADER_BYTES=512;\n", "no SMV image"),
        (smv("HEADER_BYTES=128;\nSIZE1=3;\n", bytes(12)), "SIZE2 is missing"),
        (smv("HEADER_BYTES=128;\nSIZE2=3;\n", bytes(12)), "SIZE1 is missing"),
        (smv("HEADER_BYTES=128;\nSIZE1=-3;\nSIZE2=2;\n", bytes(12)), "SIZE1 is '-3'"),
        (smv("HEADER_BYTES=8;\nSIZE1=3;\nSIZE2=2;\n", bytes(12)), "HEADER_BYTES=8 is less"),
        (smv(SIZES, bytes(11)), "truncated: 139 bytes where .* need 140"),
        (smv("HEADER_BYTES=128;\nSIZE1=999999999;\nSIZE2=999999999;\n", bytes(12)), "truncated"),
        (smv(SIZES + "TYPE=long;\n", bytes(24)), "TYPE=long cannot be read; it must be unsigned_short"),
        (smv(SIZES + "Data_type=float IEEE;\n", bytes(24)), "DATA_TYPE=float IEEE cannot be read; it must be uns"),
        (smv(SIZES + "COMPRESSION=BS1;\n", bytes(24)), "COMPRESSION=BS1 cannot be read; it must be none"),
        (b"###CBF: VERSION 1.5\n", "no SMV image, .*; it is a CBF image"),
        (b"II*\0" + bytes(600), "no SMV image, .*; it is a TIFF image"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "no SMV image, .*; it is an HDF5 file"),
        (smv(SIZES + "BYTE_ORDER=middle;\n", bytes(12)), "BYTE_ORDER=middle"),
    ],
)
def test_wrong_smv_image(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(InputFileError, match=problem):
        read_smv(in_file(tmp_path, content))


# --- float image, counts, gray levels, statistics --------------------------------------------------------------------


@given(image=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)))
def test_raw_round_trip(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "floatimage.bin"
    write_raw(path, image.T)
    np.testing.assert_array_equal(read_raw(path, image.T.shape), image.T)
    assert path.read_bytes() == image.T.tobytes()


def test_raw_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="15 bytes where 2 x 2 float32 pixels need 16"):
        read_raw(in_file(tmp_path, bytes(15)), (2, 2))


SCALED = [
    ("int_autoscale", None, None, 40, None),
    ("int_scale_adc", None, 0.5, 10, 0.02),
    ("roi", ROI, None, 40, None),
    ("noise_roi", ROI, None, 40, None),
    ("noise_mask", None, None, 40, None),
]


@pytest.mark.parametrize(("case", "roi", "scale", "adc_offset", "gray_scale"), SCALED, ids=[case[0] for case in SCALED])
def test_int_and_pgm_images_are_the_recorded_ones(
    tmp_path: Path, case: str, roi: Any, scale: float | None, adc_offset: float, gray_scale: float | None
) -> None:
    golden = recorded(case)
    mask = read_smv(INPUTS / "mask.img").pixels if case == "noise_mask" else None
    statistics = image_statistics(golden["float"], roi, mask)
    scale = scale or auto_scale(statistics.maximum)
    np.testing.assert_array_equal(scaled_counts(golden["float"], roi, scale, Readout(adc_offset)), golden["int"])
    if "pgm" in golden:
        gray_scale = gray_scale or auto_gray_scale(statistics.rmsd, scale)
        write_pgm(tmp_path / "image.pgm", gray_levels(golden["float"], roi, gray_scale), gray_scale)
        assert (tmp_path / "image.pgm").read_bytes() == str(golden["pgm_head"]).encode() + golden["pgm"].tobytes()


def test_counts_and_gray_levels_stop_at_their_ends() -> None:
    photons = np.array([[-50, 0, 0.49, 0.5, 1e30]], np.float32)
    assert scaled_counts(photons, None, 1, Readout(1)).tolist() == [[0, 1, 1, 2, 65535]]
    assert gray_levels(photons, None, 2).tolist() == [[0, 0, 0, 1, 255]]


def test_counts_are_rounded_in_single_precision_as_the_reference_does() -> None:
    assert scaled_counts(np.ones((1, 2), np.float32), None, 1000.49999, Readout(0)).tolist() == [[1001, 1001]]


def test_pgm_is_wider_than_high_where_the_image_is(tmp_path: Path) -> None:
    write_pgm(tmp_path / "image.pgm", np.zeros((2, 3), np.uint8), 1.5)
    assert (tmp_path / "image.pgm").read_bytes() == b"P5\n3 2\n# pixels scaled by 1.5\n255\n" + bytes(6)


@pytest.mark.parametrize("case", ["int_autoscale", "roi", "mask", "noise_mask", "noise_roi"])
def test_statistics_are_the_recorded_ones(case: str) -> None:
    golden = recorded(case)
    mask = read_smv(INPUTS / "mask.img").pixels if "mask" in case else None
    found = image_statistics(golden["float"], ROI if "roi" in case else None, mask)
    six_digits = {name: float(f"{value:g}") for name, value in zip(
        ("max", "mean", "rms", "rmsd"), (found.maximum, found.mean, found.rms, found.rmsd), strict=True
    )}  # fmt: skip
    assert six_digits == {name: golden["figures"][name] for name in six_digits}
    assert golden["float"][found.maximum_slow, found.maximum_fast] == found.maximum


def test_statistics_do_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    photons = np.random.default_rng(1).exponential(size=(37, 11)).astype(np.float32)
    photons[30, 4] = photons[31, 3] = 100
    whole = image_statistics(photons, (2, 9, 3, 35))
    monkeypatch.setattr("nbnumba.response.integers._BAND_PIXELS", 1)
    banded = image_statistics(photons, (2, 9, 3, 35))
    assert (banded.maximum, banded.maximum_fast, banded.maximum_slow, banded.pixels) == (100, 4, 30, 8 * 33)
    assert (banded.mean, banded.rms, banded.rmsd) == pytest.approx((whole.mean, whole.rms, whole.rmsd), rel=1e-13)
    assert banded.mean == pytest.approx(photons[3:36, 2:10].mean(dtype=np.float64))


def test_statistics_of_one_pixel_and_of_none() -> None:
    photons = np.full((1, 1), 3, np.float32)
    one = image_statistics(photons)
    assert (one.mean, one.rms, one.rmsd, one.pixels) == (3, 3, 0, 1)
    none = image_statistics(np.zeros_like(photons), mask=np.zeros_like(photons))
    assert (none.maximum, none.mean, none.rms, none.rmsd, none.pixels) == (0, 0, 0, 0, 0)
    assert auto_scale(none.maximum) == 1
    assert auto_gray_scale(none.rmsd, int_scale=7) == 7
