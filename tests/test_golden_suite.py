"""Suites of golden images: recorded once, then held against what programs and backends give."""

import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.comparison.programs import RunnerError
from nbnumba.errors import InputFileError
from nbnumba.golden_suite_generator.suite import (
    Case,
    cases_of,
    check_program,
    summed,
    worst_ratio,
)
from nbnumba.tolerances import DOUBLE, MIXED, Tolerance

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
NAMES = ["mosaic", "int_autoscale"]

OURS = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'cli.py'))} -mode c"
"""Our own program, which stands in for a reference."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = tmp_path_factory.mktemp("golden") / "suite"
    options = ["-bin", OURS, "-table", str(GOLDEN / "cases.json"), "-only", *NAMES]
    assert main(["golden", "record", str(suite), *options]) == 5
    return suite


@pytest.fixture
def suite(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "suite")


def _change(suite: Path, name: str, **changes: object) -> None:
    with np.load(suite / f"{name}.npz") as golden:
        figures = dict(golden)
    np.savez(suite / f"{name}.npz", **(figures | changes))


@pytest.mark.parametrize("name", NAMES)
def test_recording_keeps_what_the_golden_images_hold(recorded: Path, name: str) -> None:
    with np.load(recorded / f"{name}.npz") as ours, np.load(GOLDEN / f"{name}.npz") as golden:
        assert set(ours) == set(golden) - {"figures"}
        for key in ours:
            if key in ("header", "pgm_head"):
                assert str(ours[key]) == str(golden[key])
            else:
                assert ours[key].dtype == golden[key].dtype
                np.testing.assert_allclose(ours[key], golden[key], rtol=1e-6, atol=1)


def test_manifest_says_what_was_recorded(recorded: Path) -> None:
    manifest = json.loads((recorded / "manifest.json").read_text())
    assert manifest["program"]["own"]
    assert "inputs/full.hkl" in manifest["inputs"]
    assert list(manifest["files"]) == ["cases.json", *(f"{name}.npz" for name in sorted(NAMES))]
    for name, sha256 in (manifest["inputs"] | manifest["files"]).items():
        assert hashlib.sha256((recorded / name).read_bytes()).hexdigest() == sha256
    assert list(manifest["arguments"]) == [
        case["name"] for case in json.loads((recorded / "cases.json").read_text())["cases"]
    ]


@pytest.mark.parametrize("who", [["-backend", "cpu"], ["-bin", OURS]])
def test_a_program_is_not_checked_against_itself(
    recorded: Path, who: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["golden", "check", str(recorded), *who]) == 2
    assert "-self" in capsys.readouterr().err
    assert main(["golden", "check", str(recorded), *who, "-self"]) == 0
    assert "ok" in capsys.readouterr().out


@pytest.mark.parametrize("changed", ["pixel", "header", "shape"])
def test_check_sees_what_differs(suite: Path, changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(suite / "mosaic.npz") as golden:
        pixels, header = golden["float"], str(golden["header"])
    pixels.flat[pixels.argmax()] *= 1 + 1e-6
    new = {"pixel": {"float": pixels}, "header": {"header": header + " "}, "shape": {"float": pixels[1:]}}
    _change(suite, "mosaic", **new[changed])
    assert main(["golden", "check", str(suite), "-self"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "differs" in line]
    assert {line.split()[0] for line in lines} == {"mosaic"}


def test_suite_of_an_unknown_recorder_is_checked(suite: Path) -> None:
    assert main(["golden", "check", str(GOLDEN), "-only", "mosaic"]) == 0
    assert main(["golden", "check", str(suite)]) == 2
    (suite / "manifest.json").unlink()
    assert main(["golden", "check", str(suite), "-only", "mosaic"]) == 0


def test_a_suite_is_overwritten_by_force_alone(suite: Path) -> None:
    options = ["-bin", OURS, "-table", str(GOLDEN / "cases.json"), "-only", "mosaic"]
    _change(suite, "mosaic", header="")
    assert main(["golden", "record", str(suite), *options]) == 2
    with np.load(suite / "mosaic.npz") as golden:
        assert str(golden["header"]) == ""
    assert main(["golden", "record", str(suite), *options, "-force"]) == 5
    with np.load(suite / "mosaic.npz") as golden:
        assert str(golden["header"]).startswith("{")


def test_a_broken_program_leaves_no_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import sys; sys.exit('out of order')")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"
    assert main(["golden", "record", str(tmp_path / "suite"), "-bin", command]) == 2
    assert "out of order" in capsys.readouterr().err
    assert not (tmp_path / "suite").exists()


@pytest.mark.parametrize(
    ("args", "status"),
    [
        pytest.param(["record", "suite"], 2, id="no-program"),
        pytest.param(["check", "suite"], 3, id="no-suite"),
        pytest.param(["check", str(GOLDEN), "-only", "nonsense"], 2, id="no-such-case"),
        pytest.param(["show", str(GOLDEN), "nonsense"], 2, id="nothing-to-show"),
        pytest.param(["compare"], 2, id="no-such-action"),
    ],
)
def test_refusals(args: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NB_C_BIN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["golden", *args]) == status


@pytest.mark.parametrize(
    "table",
    [
        pytest.param("{}", id="no-cases"),
        pytest.param('{"cases": [{"name": "a", "args": []}]}', id="incomplete"),
        pytest.param('{"cases": [{"name": "a", "args": [], "tags": [], "modes": [], "colour": 1}]}', id="unknown-key"),
        pytest.param('{"cases": ' + str([{"name": "a", "args": [], "tags": [], "modes": []}] * 2) + "}", id="doubled"),
    ],
)
def test_table_that_is_none(tmp_path: Path, table: str) -> None:
    (tmp_path / "table.json").write_text(table.replace("'", '"'))
    options = ["-bin", sys.executable, "-table", str(tmp_path / "table.json")]
    assert main(["golden", "record", str(tmp_path / "suite"), *options]) == 3


@pytest.mark.parametrize(
    ("row", "told"),
    [
        pytest.param(3, "no mapping", id="number"),
        pytest.param({"args": ["-detpixels", 8]}, "args", id="number-among-args"),
        pytest.param({"args": "-detpixels 8"}, "args", id="args-in-one"),
        pytest.param({"reference_args": [1]}, "reference_args", id="reference-args"),
        pytest.param({"name": "../x"}, "name '../x'", id="outside"),
        pytest.param({"name": 3}, "name 3", id="name"),
        pytest.param({"modes": ["spec", "d"]}, "mode 'd'", id="mode"),
        pytest.param({"bin": 0}, "bin 0", id="bin"),
    ],
)
def test_case_that_is_none_is_refused(row: Any, told: str) -> None:
    good = {"name": "a", "args": [], "tags": [], "modes": ["spec"]}
    assert len(cases_of([good])) == 1
    with pytest.raises(InputFileError, match=told):
        cases_of([good | row if isinstance(row, dict) else row])


@pytest.mark.parametrize("content", ["garbage", "[]", '{"program": {"own": true}}'])
def test_manifest_that_is_none(suite: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "manifest.json").write_text(content)
    assert main(["golden", "check", str(suite)]) == 3
    assert "manifest.json: no manifest" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"garbage", b"PK\x03\x04 garbage"])
def test_figures_that_are_none(suite: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "mosaic.npz").write_bytes(content)
    assert main(["golden", "show", str(suite), "mosaic"]) == 3
    assert "mosaic.npz: cannot be read" in capsys.readouterr().err


def test_inputs_must_be_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-bin", OURS, "-inputs", str(tmp_path / "absent")]
    assert main(["golden", "record", str(tmp_path / "suite"), *options]) == 2
    assert "absent: no such folder" in capsys.readouterr().err


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", "list"]) == main(["golden", "list", str(GOLDEN)]) == 0
    assert main(["golden", "show", str(GOLDEN), "int_autoscale"]) == 0
    assert "float header" in capsys.readouterr().out


@pytest.mark.parametrize("tolerance", [DOUBLE, MIXED])
def test_worst_ratio_is_in_units_of_the_tolerance(tolerance: Tolerance) -> None:
    golden = np.array([[1024.0, 2.0], [0.0, 0.0]])
    image = golden.copy()
    image[0, 1] += 3 * tolerance.allowed(2.0, 1024.0)
    assert worst_ratio(image, golden, tolerance) == pytest.approx(3.0, rel=1e-6)
    assert worst_ratio(golden, golden, tolerance) == worst_ratio(0 * golden, 0 * golden, tolerance) == 0.0
    assert worst_ratio(golden, 0 * golden, tolerance) == np.inf
    assert worst_ratio(golden * np.nan, golden, tolerance) == np.inf


def test_blocks_are_summed() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert summed(image, 2).tolist() == [[10.0, 18.0], [42.0, 50.0]]


@pytest.mark.parametrize("words", [["-pgmfile", "../../outside"], ["--pgmfile={}/outside"], ["-dump=../../outside"]])
def test_outputs_of_a_case_stay_in_its_folder(tmp_path: Path, words: list[str]) -> None:
    """Where a table says otherwise too: the program is told another name."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "a.hkl").write_text("0 0 1 5\n1 0 0 7\n")
    echo = "import sys; sys.exit(' '.join(sys.argv))"
    args = ["-hkl", "a.hkl", *(word.format(tmp_path) for word in words)]
    case = Case("away", tuple(args), (), ("spec",))
    with pytest.raises(RunnerError, match=r"-hkl a\.hkl --?(pgmfile|dump) outside -floatfile"):
        check_program(tmp_path, case, [sys.executable, "-c", echo], DOUBLE)
