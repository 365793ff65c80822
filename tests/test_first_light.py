"""First light runs to its end whatever becomes of its steps, and what it calls the card's time is the card's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import first_light, kernel_times
from benchmarks.cases import LYSOZYME_HKL, TINY_STILL, write_inputs
from benchmarks.first_light import Step
from benchmarks.measure import resolved_of
from nbnumba.formats.hkl import read_hkl
from nbnumba.kernels.compile.cache import cache_root
from nbnumba.render.job import render

ROOT = Path(__file__).resolve().parent.parent


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return first_light.surroundings(tmp_path)


def test_a_tiny_one_runs_in_the_simulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a step that fails; what needs a card says that it is left out; the table comes last."""
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    # Compiled code of other tests serves.
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_root()))
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    whole = first_light.steps_of
    broken = Step("broken", 5, python("print('gone'); raise SystemExit(3)"))
    monkeypatch.setattr(first_light, "steps_of", lambda *args: [broken, *whole(*args)])
    assert first_light.main(["-tiny", "-out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    table = (tmp_path / "out" / "summary.txt").read_text()
    assert said.endswith(table)
    assert re.search(r"^broken +\d+\.\d s  failed \(3\)$", table, re.MULTILINE)
    for name in ("environment", "image", "kernels", "around them"):
        assert re.search(rf"^{name} +\d+\.\d s  ok$", table, re.MULTILINE), said
    assert table.count("simulator: skipped") == 8
    right = re.findall(
        r"^  (double|mixed): worst difference (\S+) of the tolerance, the same bits", table, re.MULTILINE
    )
    assert [precision for precision, _ in right] == ["double", "mixed"]
    assert all(0.0 <= float(worst) <= 1.0 for _, worst in right)
    assert re.search(r"^  domains +mixed +BITS ", table, re.MULTILINE)
    assert "FAILED" not in table
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"summary.txt", "logs.tgz"}
    with tarfile.open(tmp_path / "out" / "logs.tgz") as logs:
        assert {"logs/broken.txt", "logs/image.txt", "logs/kernels.txt"} <= set(logs.getnames())


def test_nothing_that_becomes_of_a_step_stops_the_next(tmp_path: Path, environment: dict[str, str]) -> None:
    steps = [
        Step("hangs", 1, python("import time; time.sleep(600)")),
        Step("crashes", 20, python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")),
        Step("is not there", 1, (str(tmp_path / "nothing"),)),
        Step("is left out", 1000, python("print('not I')"), skipped="no card"),
        Step("works", 20, python("print('TABLE I do'); print('for the log alone')")),
    ]
    hangs, crashes, absent, left_out, works = first_light.carry_out(steps, 63.0, tmp_path, environment)
    assert hangs.ended.startswith("out of time")
    assert crashes.ended == "killed by SIGKILL"
    assert "No such file" in absent.ended
    assert left_out.ended == "no card: skipped"
    assert (works.ended, works.lines) == ("ok", ("I do",))
    assert [step.good for step in (hangs, crashes, absent, left_out, works)] == [False, False, False, True, True]


def test_without_time_nothing_is_begun(tmp_path: Path, environment: dict[str, str]) -> None:
    (step,) = first_light.carry_out([Step("late", 10, python("print('I ran')"))], 0.5, tmp_path, environment)
    assert (step.ended, step.lines) == ("no time left", ())


def test_every_feature_is_a_golden_image() -> None:
    names = [case["name"] for case in json.loads((ROOT / "tests" / "golden" / "cases.json").read_text())["cases"]]
    assert [feature for feature in first_light.FEATURES if not any(feature in name for name in names)] == []


def test_the_table_takes_from_logs_what_counts() -> None:
    tests = "....F\nFAILED tests/test_gpu.py::test_a - AssertionError\n\n1 failed, 4 passed in 2.00s\n"
    assert list(first_light.of_tests(tests)) == [
        "1 failed, 4 passed in 2.00s",
        "FAILED tests/test_gpu.py::test_a - AssertionError",
    ]
    assert list(first_light.of_sanitizer("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n")) == [
        "ERROR SUMMARY: 0 errors"
    ]
    profile = (
        "  photons: 1.0\n    Duration            us       412.35\n    Registers Per Thread  register/thread  128\n"
    )
    assert list(first_light.of_profile(profile)) == ["Duration us 412.35", "Registers Per Thread register/thread 128"]


# Times of the card -----------------------------------------------------------------------------------------------


class Card:
    """A host that needs 1 ms to queue an image and a card that renders it in 0.1 ms, with one clock for both."""

    is_simulator = False

    def __init__(self, share_of_sleep: float) -> None:
        self.share_of_sleep, self.host_ms, self.done_ms = share_of_sleep, 0.0, 0.0
        self.cuda = SimpleNamespace(event=lambda: Event(self), synchronize=self.synchronize)

    def work(self, milliseconds: float) -> None:
        self.done_ms = max(self.done_ms, self.host_ms) + milliseconds

    def launch(self) -> None:
        self.host_ms += 1.0
        self.work(0.1)

    def sleep(self, milliseconds: int) -> None:
        self.work(self.share_of_sleep * milliseconds)

    def synchronize(self) -> None:
        self.host_ms = max(self.host_ms, self.done_ms)


class Event:
    def __init__(self, card: Card) -> None:
        self.card, self.at_ms = card, 0.0

    def record(self) -> None:
        self.at_ms = max(self.card.done_ms, self.card.host_ms)

    def query(self) -> bool:
        return self.at_ms <= self.card.host_ms

    def synchronize(self) -> None:
        self.card.host_ms = max(self.card.host_ms, self.at_ms)

    def elapsed_time(self, after: Event) -> float:
        return after.at_ms - self.at_ms


@pytest.mark.parametrize(
    ("share_of_sleep", "milliseconds", "gaps"),
    [
        pytest.param(1.0, 0.1, False, id="sleeps long enough"),
        pytest.param(0.1, 0.1, False, id="sleeps too short at first"),
        pytest.param(0.0, 1.0, True, id="never sleeps"),
    ],
)
def test_time_is_the_cards_or_said_to_have_gaps(
    share_of_sleep: float, milliseconds: float, gaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(share_of_sleep)
    monkeypatch.setattr(kernel_times.cards, "cuda_provider", lambda: card)
    monkeypatch.setattr(kernel_times, "_sleeper", lambda: {(1, 1): card.sleep})
    monkeypatch.setattr(kernel_times, "time", SimpleNamespace(perf_counter=lambda: 1e-3 * card.host_ms))
    launcher = kernel_times.Launcher(card.launch, 1, "", "", None, lambda: None)
    taken = kernel_times.time_queued(launcher, 3)
    assert taken.gaps is gaps
    assert taken.milliseconds == pytest.approx([milliseconds] * len(taken.milliseconds), rel=0.05)
    assert len(taken.milliseconds) >= 3
    assert taken.host_ms == pytest.approx(1.0)


# Machines without this and that ----------------------------------------------------------------------------------


def test_without_gemmi_random_factors_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gemmi", None)
    monkeypatch.delitem(sys.modules, "nbnumba.structure_factors.fcalc", raising=False)
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        whose = write_inputs(tmp_path / folder)
    assert whose.startswith("random")
    assert "gemmi is not installed" in capsys.readouterr().err
    once, again = (tmp_path / folder / LYSOZYME_HKL for folder in ("once", "again"))
    assert once.read_bytes() == again.read_bytes()
    # As many as lysozyme has to 1.8 Å.
    assert len(read_hkl(once)[0]) == 170211
    assert render(resolved_of([*TINY_STILL.args, "-roi", "0", "40", "0", "40"], once.parent), "cpu").photons.max() > 0.0


@pytest.mark.parametrize("target", ["test-gpu", "bench-gpu", "first-light"])
def test_make_needs_no_network_where_told(target: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    words = [make, "--no-print-directory", "-n", "-B", target, "NO_INSTALL=1", "PYTHON=some/python"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = said.splitlines()
    assert line.startswith("some/python -m ")
