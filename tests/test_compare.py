"""How images are compared, and what the command tells of two programs or two files."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.commands.compare import main as compare_images
from nbnumba.comparison.images import compare, correlation, find_peaks, match_peaks, resampled
from nbnumba.comparison.programs import RunnerError, run

ROOT = Path(__file__).resolve().parent.parent

# A program that takes nanoBragg's options, and its own -n, -shift and -fail before them.
STAND_IN = """
import sys
import numpy as np

def option(name, default):
    return sys.argv[len(sys.argv) - sys.argv[::-1].index(name)] if name in sys.argv else default

if option("-fail", ""):
    sys.exit("first line\\n" + option("-fail", ""))
n, shift = int(option("-n", 24)), int(option("-shift", 0))
image = np.full((n, n + 2), 0.5, np.float32)
for slow, fast, photons in np.loadtxt(option("-hkl", None), ndmin=2):
    image[int(slow), int(fast) + shift] = photons
image.tofile(option("-floatfile", None))
with open(option("-intfile", None), "wb") as file:
    file.write(b"{\\nHEADER_BYTES=512;\\nSIZE1=%d;\\nSIZE2=%d;\\n}" % (n + 2, n))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "stand in.py").write_text(STAND_IN)
    (tmp_path / "spots.txt").write_text("5 6 100\n17 12 40\n")
    monkeypatch.chdir(tmp_path)
    return f"'{sys.executable}' 'stand in.py'"


def _spots(*positions: tuple[int, int], shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    image = np.zeros(shape)
    for slow, fast in positions:
        image[slow, fast] = 10.0
    return image


RAMP = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param(RAMP, RAMP, 1.0, id="identical"),
        pytest.param(RAMP, 3 * RAMP + 7, 1.0, id="scaled"),
        pytest.param(RAMP, -RAMP, -1.0, id="inverted"),
        pytest.param(RAMP * 1e300, RAMP, 1.0, id="huge"),
        pytest.param(RAMP, RAMP * 1e-300, 1.0, id="tiny"),
        pytest.param(np.full((3, 4), 0.1), np.full((3, 4), 0.1), 1.0, id="constant"),
        pytest.param(np.full((3, 4), 0.1), np.full((3, 4), 0.2), 0.0, id="two-constants"),
        pytest.param(np.full((3, 4), 0.1), RAMP, 0.0, id="constant-and-not"),
    ],
)
def test_correlation(a: np.ndarray, b: np.ndarray, expected: float) -> None:
    assert correlation(a, b) == pytest.approx(expected, abs=1e-12)
    assert correlation(b, a) == pytest.approx(expected, abs=1e-12)


def test_correlation_is_pearsons() -> None:
    a, b = np.random.default_rng(1).random((2, 8, 9))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_comparison_finds_the_pixel_that_differs() -> None:
    other = RAMP.copy()
    other[2, 1] -= 6.0
    result = compare(RAMP, other)
    assert (result.largest_difference, result.largest_at) == (-6.0, (2, 1))
    assert result.mse == pytest.approx(36 / 12)
    assert result.ratio == pytest.approx((RAMP.sum() - 6) / RAMP.sum())
    assert compare(0 * RAMP, RAMP).ratio is None


def test_peaks_are_local_maxima_and_plateaus_count_once() -> None:
    image = _spots((3, 4), (20, 30), (20, 31))
    image[3, 5] = 9.0
    assert sorted(map(tuple, find_peaks(image))) == [(3.0, 4.0), (20.0, 30.5)]
    assert len(find_peaks(np.ones((5, 5)))) == 0


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        pytest.param([(5, 5)], [(5, 6)], [(0, 0)], id="a-pixel-off"),
        pytest.param([(5, 5)], [(6, 6)], [], id="a-diagonal-off"),
        pytest.param([(5, 5), (5, 6)], [(5, 6), (5, 7)], [(0, 0), (1, 1)], id="most-pairs-not-nearest"),
        pytest.param([(5, 5), (9, 9)], [(9, 9)], [(1, 0)], id="unequal"),
        pytest.param([], [(9, 9)], [], id="none"),
    ],
)
def test_peaks_are_matched_one_to_one(a: list, b: list, pairs: list) -> None:
    assert match_peaks(np.reshape(a, (-1, 2)), np.reshape(b, (-1, 2))) == pairs


def test_resampling_halves_pixels_and_keeps_photons() -> None:
    fine = np.random.default_rng(2).random((8, 12))
    coarse = fine.reshape(4, 2, 6, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(resampled(fine, (4, 6)), coarse)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param([], 0, id="same"),
        pytest.param(["-b", "{} -shift 3"], 1, id="shifted"),
        pytest.param(["-b", "{} -shift 3", "-threshold", "-1"], 0, id="lower-threshold"),
        pytest.param(["-b", "{} -shift 3", "-roi", "0", "25", "20", "23"], 0, id="same-in-roi"),
        pytest.param(["-roi", "0", "26", "0", "3"], 2, id="roi-outside"),
        pytest.param(["-b", "{} -n 30"], 1, id="shape"),
        pytest.param(["-b", "{} -n 30", "-resample", "-threshold", "-1"], 0, id="resampled"),
        pytest.param(["-b", "{} -fail wrong-option"], 2, id="broken"),
        pytest.param(["-b", "no-such-program"], 2, id="no-program"),
        pytest.param(["-threshold", "2"], 2, id="threshold"),
        pytest.param(["-detpixels_f", "-30"], 2, id="width"),
        pytest.param(["-detpixels_s", "0"], 2, id="height"),
        pytest.param(["-nonsense"], 2, id="unknown-option"),
    ],
)
def test_exit_status_tells_how_two_programs_compare(stand_in: str, options: list[str], status: int) -> None:
    options = ["-a", stand_in, "-b", stand_in, *(word.format(stand_in) for word in options)]
    assert main(["compare", *options, "--", "-hkl", "spots.txt"]) == status


def test_two_programs_leave_a_folder_with_all_they_said(stand_in: str, tmp_path: Path) -> None:
    args = ["-hkl", "spots.txt", "-floatfile", "spots.txt"]
    options = ["-a", stand_in, "-b", f"{stand_in} -shift 1", "-save-diff", "-out", "kept"]
    assert main(["compare", *options, "--", *args]) == 1
    (folder,) = (tmp_path / "kept").glob("compare-*-*-????????")
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["passed"]
    assert summary["peaks_matched"] == summary["peaks_a"] == 2
    assert summary["b"]["shape"] == [24, 26]
    difference = np.fromfile(folder / "difference.bin", np.float32).reshape(24, 26)
    assert (difference[5, 6], difference[5, 7]) == (-99.5, 99.5)
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (folder / "a").iterdir()} >= {"floatimage.bin", "stdout.txt", "stderr.txt"}
    assert (tmp_path / "spots.txt").read_text().startswith("5 6 100")


@pytest.mark.parametrize(
    ("args", "dump"),
    [
        pytest.param(["-hkl", "spots.txt"], "my.dump", id="written"),
        pytest.param(["-mask", "spots.txt"], "{}/my.dump", id="read"),
    ],
)
def test_a_cache_is_an_output_beside_its_list(stand_in: str, tmp_path: Path, args: list[str], dump: str) -> None:
    (tmp_path / "my.dump").write_text("precious")
    echo = shlex.join([sys.executable, "-c", "import sys; sys.exit(' '.join(sys.argv))"])
    with pytest.raises(RunnerError, match=rf"-dump {re.escape(dump.format(tmp_path))} -floatfile"):
        compare_images(["-a", echo, "-b", stand_in, "--", *args, "-dump", "my.dump"])


@pytest.mark.parametrize("attached", ["-{}={}", "--{}={}"])
def test_values_may_be_attached_to_their_options(stand_in: str, tmp_path: Path, attached: str) -> None:
    """Both programs get them as words of their own, inputs as they are found from any folder, outputs inside."""
    (tmp_path / "a=b.hkl").write_text("0 0 1 5\n")
    echo = shlex.join([sys.executable, "-c", "import sys; sys.exit(' '.join(sys.argv))"])
    named = {"hkl": "a=b.hkl", "lambda": "1.5", "noisefile": "../n.img", "dump": "../d.bin", "nonoise": "1"}
    line = [attached.format(*item) for item in named.items()]
    dash = attached.partition("{")[0]
    said = (
        f"{dash}hkl {tmp_path}/a=b.hkl {dash}lambda 1.5 {dash}noisefile n.img {dash}dump d.bin {dash}nonoise=1 -float"
    )
    with pytest.raises(RunnerError, match=re.escape(said)):
        compare_images(["-a", echo, "-b", stand_in, "--", *line])


def test_the_file_of_an_element_is_found_from_any_folder(stand_in: str, tmp_path: Path) -> None:
    for name in ("se.txt", "Se"):
        (tmp_path / name).touch()
    echo = shlex.join([sys.executable, "-c", "import sys; sys.exit(' '.join(sys.argv))"])
    line = ["-anomalous", "Se", "-anomalous=Se=se.txt", "-anomalous", "S=none.txt"]
    said = f"-anomalous Se -anomalous Se={tmp_path}/se.txt -anomalous S=none.txt -float"
    with pytest.raises(RunnerError, match=re.escape(said)):
        compare_images(["-a", echo, "-b", stand_in, "--", *line])


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_file_names_that_are_no_text(stand_in: str, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.img")
    np.save(tmp_path / "b.npy", np.eye(4))
    (tmp_path / name).write_bytes(np.eye(4, dtype=np.float32).tobytes())
    (tmp_path / os.fsdecode(b"out\xfe")).mkdir()
    command = [sys.executable, str(ROOT / "cli.py"), "compare", name, "b.npy", "-out", os.fsdecode(b"out\xfe")]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text())["a"]["name"] == str(tmp_path / name)
    spots = os.fsdecode(b"spots\xfd.txt")
    (tmp_path / spots).write_text("5 6 100\n")
    assert main(["compare", "-a", stand_in, "-b", stand_in, "--", "-hkl", spots]) == 0


def test_comparisons_of_the_same_second_have_folders_of_their_own(
    stand_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20010203-040506")
    for _ in range(3):
        assert main(["compare", "-a", stand_in, "-b", stand_in, "--", "-hkl", "spots.txt"]) == 0
    names = {path.name[32:] for path in tmp_path.glob("compare-20010203-040506-*")}
    assert names == {"", "-2", "-3"}


def test_pixels_of_a_region_are_counted_from_the_image(stand_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-a", stand_in, "-b", f"{stand_in} -shift 9", "-roi", "4", "10", "3", "20"]
    assert main(["compare", *options, "--", "-hkl", "spots.txt"]) == 1
    assert "at slow 5 fast 6" in capsys.readouterr().out


def test_last_words_of_a_broken_program_are_told(stand_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", "-a", f"{stand_in} -fail 'no such option'", "-b", stand_in, "--", "-hkl", "spots.txt"])
    assert "first line | no such option" in capsys.readouterr().err


def test_first_program_is_that_of_the_environment(stand_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    args = ["compare", "-b", stand_in, "--", "-hkl", "spots.txt"]
    monkeypatch.delenv("NB_C_BIN", raising=False)
    assert main(args) == 2
    monkeypatch.setenv("NB_C_BIN", stand_in)
    assert main(args) == 0


@pytest.mark.parametrize(("asked", "threads"), [(None, "1"), ("3", "3")])
def test_programs_run_on_one_thread_unless_more_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, threads: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    with pytest.raises(RunnerError, match=f"its last words: {threads} threads"):
        run([sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'], 'threads')"], [], tmp_path)


def test_pixel_that_is_no_number_is_unreadable(stand_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("spots.txt").write_text("5 6 nan\n")
    assert main(["compare", "-a", stand_in, "-b", stand_in, "--", "-hkl", "spots.txt"]) == 3
    assert "slow 5 fast 6" in capsys.readouterr().err


def test_image_files_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = _spots((3, 4), (20, 30)).astype(np.float32)
    np.save("a.npy", image)
    np.savez("b.npz", float=image, other=RAMP)
    image.tofile("c.bin")
    header = b"{\nHEADER_BYTES=512;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=40;\nSIZE2=30;\n}"
    Path("d.img").write_bytes(header.ljust(512) + image.astype("<u2").tobytes())
    for other in ("b.npz", "c.bin", "d.img"):
        assert main(["compare", "-detpixels_f", "40", "-detpixels_s", "30", "a.npy", other]) == 0


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("absent.npy", None, id="absent"),
        pytest.param("text.npy", b"text", id="no-numpy-file"),
        pytest.param("raw.bin", bytes(4 * 24), id="not-square"),
        pytest.param("huge.npy", _saved(np.full((8, 8), 1e300)), id="squares-that-overflow"),
        pytest.param("low.npy", _saved(np.full((8, 8), -1e300)), id="squares-that-overflow-below"),
        pytest.param("short.img", b"{\nHEADER_BYTES=512;\nSIZE1=8;\nSIZE2=8;\n}", id="truncated"),
    ],
)
def test_unreadable_file(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "fine.npy", RAMP)
    options = ["compare", "-out", str(tmp_path), str(tmp_path / "fine.npy"), str(tmp_path / name)]
    assert main(options) == 3
