"""Thousands of damaged inputs, each taken or refused in a line; and that the search finds what is wrong."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from damage import Case, Pool, case, complaint, described, examples, problem_of, try_case

SHARE, ALL = 300, 20_000
SEED = 1

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of memory and signals")


def failures(seed: int, count: int, workers: int) -> list[str]:
    return [described(seed, *found) for found in Pool(partial(try_case, seed)).search(range(count), workers)]


def test_share_of_the_damaged_inputs() -> None:
    failed = failures(SEED, SHARE, workers=1)
    assert not failed, "\n".join(failed)


@pytest.mark.slow
def test_damaged_inputs() -> None:
    failed = failures(SEED, ALL, workers=os.cpu_count() or 1)
    assert not failed, "\n".join(failed)


# That it finds what is wrong ----------------------------------------------------------------------------------------


def trial(index: int) -> str | None:
    """Stands in for a program that crashes, hangs, or answers."""
    if index == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if index == 3:
        time.sleep(60)
    return f"wrong {index}" if index == 4 else None


def nothing() -> None:
    pass


def broken() -> None:
    raise ValueError("no examples")


def test_crash_and_hang_are_told_and_the_others_are_tried_all_the_same() -> None:
    found = dict(Pool(trial, nothing, seconds=2.0).search(range(6), workers=2))
    assert found == {1: f"died with exit code {-signal.SIGSEGV}", 3: "hung for 2 s", 4: "wrong 4"}


def test_worker_that_cannot_start_is_no_success() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)cannot start.*no examples"):
        list(Pool(trial, broken).search(range(3), workers=1))


GOOD = Case(("-show", "-hkl", "list.hkl"), files={"list.hkl": b""})


@pytest.mark.parametrize(
    ("status", "lines", "said"),
    [
        (0, [], None),
        (0, ["nbnumba: warning: coarse"], None),
        (3, ["nbnumba: list.hkl: no reflections"], None),
        (3, ["nbnumba: warning: coarse", "nbnumba: list.hkl: no reflections"], None),
        (2, ["nbnumba: -lambda 0: must be above 0"], None),
        (1, ["nbnumba: list.hkl: no reflections"], "exit status 1"),
        (3, [], "without an error"),
        (3, ["nbnumba: warning: list.hkl"], "without an error"),
        (0, ["nbnumba: list.hkl: no reflections"], "status 0, but said"),
        (3, ["nbnumba: list.hkl: no", "reflections"], "said"),
        (3, ["nbnumba: list.hkl: no", "nbnumba: -hkl"], "more than one error"),
        (3, ["Traceback (most recent call last):"], "said Traceback"),
        (0, ["nbnumba: warning: overflow encountered in multiply"], "said nbnumba: warning: overflow"),
        (3, ["nbnumba: wrong"], "names neither"),
    ],
)
def test_what_is_held_against_a_run(
    status: int, lines: list[str], said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = complaint(GOOD, status, lines)
    assert found is None if said is None else found is not None and said in found


@pytest.mark.parametrize(("status", "wrong"), [(3, True), (0, False)])
def test_file_left_behind_by_a_failure_is_wrong(
    status: int, wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.hkl").touch()
    Path("floatimage.bin").touch()
    found = complaint(GOOD, status, ["nbnumba: list.hkl: no reflections"] if status else [])
    assert ("wrote ['floatimage.bin']" in (found or "")) is wrong


def test_error_that_gets_out_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError("division")

    (tmp_path / "here").mkdir()
    (tmp_path / "told").touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("nbnumba.cli.main", fail)
    assert "raised" in (problem_of(GOOD) or "")


def test_examples_are_good_and_cases_are_decided_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = set()
    for index in range(300):
        tried = case(7, index)
        assert tried == case(7, index)
        kinds |= {word for word in tried.args if word.startswith("-")} | ({"toml"} if tried.toml else set())
    assert {"-hkl", "-mat", "-img", "-mask", "-sourcefile", "-spectrum", "-stol", "-dump", "-pdb", "toml"} <= kinds
    assert all(examples().values())
