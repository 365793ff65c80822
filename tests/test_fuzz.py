"""What the search for differences finds when one of two programs is wrong, and how it tells of it."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbnumba.cli import main
from nbnumba.commands.fuzz import main as fuzz
from nbnumba.comparison.fuzz import (
    Difference,
    Program,
    as_test,
    difference,
    ourselves,
    program,
    read_alike_everywhere,
    search,
)
from nbnumba.comparison.programs import RunnerError
from nbnumba.errors import ResourceError
from nbnumba.experiment import Experiment, changed
from nbnumba.nanobragg.parse import parse
from nbnumba.testing.properties import render
from nbnumba.tolerances import DOUBLE

pytestmark = pytest.mark.filterwarnings("ignore::nbnumba.errors.NbnumbaWarning")


def names(args: Sequence[str]) -> set[str]:
    return {word for word in args if word[0] == "-" and word[1].isalpha()}


def program_with(defect: Callable[[Experiment], Experiment]) -> Program:
    """Our renderer, given an experiment with a defect in it."""
    return lambda args: render(defect(parse(["-mode", "c", *args]).experiment))


def wrong_sign(experiment: Experiment) -> Experiment:
    return changed(experiment, detector={"twotheta_deg": -(experiment.detector.twotheta_deg or 0.0)})


def half_a_pixel_off(experiment: Experiment) -> Experiment:
    detector = experiment.detector
    if detector.beam_x_mm is None:
        return experiment
    return changed(experiment, detector={"beam_x_mm": detector.beam_x_mm + (detector.pixel_mm or 0.1) / 2})


def stale_phi(experiment: Experiment) -> Experiment:
    return replace(experiment, phi_carryover="spec")


@pytest.mark.parametrize(
    ("defect", "essential"),
    [
        pytest.param(wrong_sign, {"-twotheta"}, marks=pytest.mark.slow, id="wrong-sign"),
        pytest.param(half_a_pixel_off, {"-Xbeam"}, id="half-a-pixel"),
        pytest.param(stale_phi, {"-osc", "-phisteps", "-phistep", "-phi"}, marks=pytest.mark.slow, id="stale-phi"),
    ],
)
def test_defect_is_found_and_shrunk(defect: Callable[[Experiment], Experiment], essential: set[str]) -> None:
    first = search(ourselves, program_with(defect), 100, seed=1).differences[0]
    assert first.kind == "pixels differ"
    assert names(first.args) & essential
    # Seven are always there; which others a shrunk command line keeps is a matter of luck.
    assert len(names(first.args)) <= 11
    assert difference(ourselves, program_with(defect), first.args) == first


@pytest.mark.slow
def test_the_reference_does_not_differ() -> None:
    reference = os.environ.get("NB_C_BIN")
    if reference is None:
        pytest.skip("NB_C_BIN names no reference program")
    differences = search(program(reference), ourselves, 1000, seed=1).differences
    # The reference loses the digits of its round shape near a lattice point (docs/testing.md).
    assert [found for found in differences if "-round_xtal" not in found.args] == []


def test_equal_programs_do_not_differ() -> None:
    result = search(ourselves, ourselves, 20, seed=1)
    assert (result.command_lines, result.refused, result.differences) == (20, (), ())


# Programs that render nothing ----------------------------------------------------------------------------------------


def flat(args: Sequence[str]) -> np.ndarray:
    return np.ones((3, 4), np.float32)


def failing_on(option: str, render: Program = flat) -> Program:
    def failing(args: Sequence[str]) -> np.ndarray:
        if option in args:
            raise RunnerError(f"no {option} today")
        return render(args)

    return failing


def test_failure_of_one_program_is_a_difference() -> None:
    (found,) = search(failing_on("-round_xtal"), flat, 40, seed=1).differences
    assert (found.kind, found.text) == ("a failed", "no -round_xtal today")
    assert "-round_xtal" in found.args
    assert len(names(found.args)) <= 5


def test_failure_of_both_programs_is_none() -> None:
    result = search(failing_on("-cell"), failing_on("-cell"), 10, seed=1)
    assert (len(result.refused), result.differences) == (10, ())


def test_failure_that_does_not_come_back_is_told_as_such() -> None:
    runs = iter(range(10**6))

    def moody(args: Sequence[str]) -> np.ndarray:
        return flat(args) if next(runs) else flat(args).T

    (found,) = search(flat, moody, 5, seed=1).differences
    assert found.text.endswith("(but not in every run)")


@pytest.mark.slow
def test_search_goes_on_after_a_difference() -> None:
    both = failing_on("-round_xtal", failing_on("-dmin"))
    kept: list[Difference] = []
    result = search(flat, both, 400, seed=1, keep=kept.append)
    assert {found.text for found in result.differences} == {"no -round_xtal today", "no -dmin today"}
    assert tuple(kept) == result.differences


def test_seed_decides_what_is_tried() -> None:
    def tried(seed: int) -> list[tuple[str, ...]]:
        seen: list[tuple[str, ...]] = []
        search(lambda args: seen.append(tuple(args)) or flat(args), flat, 10, seed)  # type: ignore[func-returns-value]
        return seen

    assert tried(1) == tried(1) != tried(2)


@pytest.mark.parametrize(
    ("b", "agrees"),
    [
        pytest.param([2.0, 1.0], True, id="equal"),
        pytest.param([2.0, 1.0 + 4e-7], True, id="within"),
        pytest.param([2.0, 1.0 + 6e-7], False, id="beyond"),
        pytest.param([2.0, np.nan], False, id="not-a-number"),
        pytest.param([2.0, np.inf], False, id="infinite"),
    ],
)
def test_tolerance_is_that_of_each_pixel(b: list[float], agrees: bool) -> None:
    found = difference(lambda _: np.array([[2.0, 1.0]]), lambda _: np.array([b]), [])
    assert (found is None) is agrees
    if found is not None:
        assert found.text.startswith("pixel (slow 0, fast 1): a 1, b ")


@pytest.mark.parametrize("pixel", [0.0, np.nan, np.inf, 1e-44])
def test_equal_images_agree_whatever_is_in_them(pixel: float) -> None:
    def image(_: Sequence[str]) -> np.ndarray:
        return np.full((2, 2), pixel, np.float32)

    assert difference(image, image, []) is None


def test_other_shape_is_a_difference() -> None:
    found = difference(flat, lambda args: flat(args).T, [])
    assert found is not None
    assert (found.kind, found.text) == ("shapes differ", "a (3, 4), b (4, 3) (slow, fast)")


# The command ---------------------------------------------------------------------------------------------------------

# A program that takes nanoBragg's options and, before them, how many photons every pixel gets; none: it fails.
STAND_IN = """
import struct
import sys

if sys.argv[1] == "0":
    sys.exit("out of photons")
image = struct.pack("<4f", *4 * [float(sys.argv[1])])
open(sys.argv[-3], "wb").write(image)
open(sys.argv[-1], "wb").write(b"{\\nHEADER_BYTES=512;\\nSIZE1=2;\\nSIZE2=2;\\n}")
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    (tmp_path / "stand in.py").write_text(STAND_IN)
    return f"'{sys.executable}' -S '{tmp_path / 'stand in.py'}'"


def test_command_finds_nothing_in_equal_programs(stand_in: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "-a", f"{stand_in} 1", "-b", f"{stand_in} 1", "-n", "3", "-seed", "7"]) == 0
    assert capsys.readouterr().out.startswith("3 command lines, 0 differences, ")


def test_command_keeps_a_test_of_each_difference(
    stand_in: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = ["-a", f"{stand_in} 1", "-b", f"{stand_in} 2"]
    assert main(["fuzz", *commands, "-n", "2", "-out", str(tmp_path / "found")]) == 1
    told = capsys.readouterr().out
    (kept,) = (tmp_path / "found").glob("test_difference_*.py")
    assert str(kept) in told
    test = runpy.run_path(str(kept))
    assert f"nbnumba -mode c {' '.join(test['ARGS'])}\n" in told
    with pytest.raises(AssertionError, match="a 1, b 2"):
        test["test_programs_agree"]()
    assert main(["fuzz", *commands, "-n", "2", "-tolerance", "1", "0"]) == 0


def test_kept_test_passes_once_programs_agree(stand_in: str, tmp_path: Path) -> None:
    found = Difference("b failed", "", ("-misset", "random", "-phi", "-1.5"))
    (tmp_path / "kept.py").write_text(as_test(found, f"{stand_in} 1", f"{stand_in} 1", DOUBLE))
    test = runpy.run_path(str(tmp_path / "kept.py"))
    assert test["ARGS"] == list(found.args)
    test["test_programs_agree"]()


def test_differences_are_kept_though_the_search_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken_off(*args: Any) -> None:
        args[-1](Difference("b failed", "no photons", ("-phi", "1")))
        raise KeyboardInterrupt

    monkeypatch.setattr("nbnumba.commands.fuzz.search", broken_off)
    with pytest.raises(KeyboardInterrupt):
        fuzz(["-a", "ourselves", "-out", str(tmp_path)])
    (kept,) = tmp_path.glob("test_difference_*.py")
    assert str(kept) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        pytest.param(["-a", "no-such-program"], 2, "'no-such-program': no such program", id="missing"),
        pytest.param(["-a", "{dir}/no-program", "-b", "{dir}/no-program"], 2, "cannot be run", id="no-program"),
        pytest.param(["-a", "{stand_in} 0", "-b", "{stand_in} 0"], 2, "out of photons", id="always-fails"),
        pytest.param([], 2, "give -a CMD, or set NB_C_BIN", id="no-a"),
        pytest.param(["-a", "true", "-n", "0"], 2, "-n 0: must be a count", id="count"),
        pytest.param(["-a", "true", "-tolerance", "-1", "nan"], 2, "must be two numbers, 0 or more", id="tolerance"),
        pytest.param(["-frog"], 2, "nbnumba fuzz -h tells more", id="option"),
    ],
)
def test_refusals(
    args: list[str],
    status: int,
    told: str,
    stand_in: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NB_C_BIN", raising=False)
    (tmp_path / "no-program").write_bytes(b"\x7fELF")
    (tmp_path / "no-program").chmod(0o755)
    assert main(["fuzz", "-n", "2", *(word.format(stand_in=stand_in, dir=tmp_path) for word in args)]) == status
    assert told in capsys.readouterr().err


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ResourceError, match=r"no hypothesis.*install nbnumba\[test\]"):
        search(flat, flat, 1, seed=1)


def test_program_by_its_command(stand_in: str) -> None:
    np.testing.assert_array_equal(program(f"{stand_in} 5")([]), np.full((2, 2), 5.0))


@pytest.mark.parametrize("thickness", ["", "-detector_thick 0.0"])
def test_what_captures_nothing_is_not_asked_of_the_reference(thickness: str) -> None:
    """Without a thickness it captures nothing where that is oversampled, also where a thickness of 0 is given."""
    args = f"-cell 20 20 20 90 90 90 {thickness} -oversample_thick".split()
    assert "-oversample_thick" not in read_alike_everywhere(args)
    thick = "-cell 20 20 20 90 90 90 -detector_thick 450.0 -detector_abs 200.0 -oversample_thick".split()
    assert "-oversample_thick" in read_alike_everywhere(thick)


def test_a_tolerance_is_not_passed_on_to_the_reference() -> None:
    args = "-cell 20 20 20 90 90 90 -tolerance 0.1 -dmin 4".split()
    assert read_alike_everywhere(args) == "-cell 20 20 20 90 90 90 -dmin 4".split()
