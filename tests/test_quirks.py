"""The differences between nanoBragg and the physics have one home, and nobody else asks for the mode."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import nbnumba
from nbnumba.comparison.known_differences import PATTERNS
from nbnumba.experiment import Experiment, Noise
from nbnumba.experiment.quirks import (
    LABELS,
    NANOBRAGG,
    PHYSICS,
    REPEATED_BY_NONE,
    Quirks,
    labels_of,
    quirks_of,
)
from nbnumba.response.detection import generator_of
from nbnumba.setup import labels

ROOT = Path(__file__).parent.parent
PACKAGE = Path(nbnumba.__file__).parent
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "kernels"]
KNOW_MODES = ("experiment/quirks.py", "nanobragg/")
SWITCHES = {switch.name: switch.metadata for switch in fields(Quirks)}
LABELLED = {name for name, metadata in SWITCHES.items() if "label" in metadata}


def asked_for_the_mode(source: str) -> Iterator[str]:
    """Comparisons of something that is called a mode, or like it, with the name of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            names = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            text = ast.unparse(node)
            if "spec" in names or ("c" in names and re.search("mode|carryover|matching", text)):
                yield text
        elif isinstance(node, ast.MatchValue) and "spec" in ast.unparse(node):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('if experiment.mode == "c":\n    pass', 1),
        ('whole = mode != "spec"', 1),
        ('carryover = (experiment.phi_carryover or experiment.mode) == "c"', 1),
        ('known = mode in ("spec", "c")', 1),
        ('style == "c"', 0),
        ("quirks_of(experiment).tilted_c_star", 0),
    ],
)
def test_asking_for_the_mode_is_noticed(source: str, found: int) -> None:
    assert len(list(asked_for_the_mode(source))) == found


def test_nobody_else_asks_for_the_mode() -> None:
    found = {
        name: told
        for path in MODULES
        if not (name := path.relative_to(PACKAGE).as_posix()).startswith(KNOW_MODES)
        and (told := [*asked_for_the_mode(path.read_text()), *re.findall(r"\bmode_c\b", path.read_text())])
    }
    assert found == {}


def test_labels_are_numbered_through() -> None:
    assert list(LABELS) == [f"C-{number}" for number in range(1, 22)]
    assert Counter(len(labels_of([name])) for name in LABELLED | REPEATED_BY_NONE.keys()) == {1: 21}


def test_labels_are_told_in_their_order_and_once() -> None:
    assert labels_of(["layers_overfill_sensor", "origin_ignored", "origin_ignored"]) == ["C-5", "C-20"]


def test_every_switch_is_read() -> None:
    """In the set-up, in what follows it, or where options are parsed."""
    text = "\n".join(path.read_text() for path in MODULES if path.name not in ("quirks.py", "labels.py"))
    assert [name for name in SWITCHES if f".{name}" not in text] == []


def test_every_difference_is_asked_for_once_whether_it_matters() -> None:
    only_a_line_tells, only_a_header_tells = {"pivot_by_convention", "option_misread"}, {"header_overflows"}
    only_files_tell = {"counted_in_order"}
    asked = Counter([*labels.MATTERS, *only_a_line_tells, *only_a_header_tells, *only_files_tell])
    assert asked == Counter(LABELLED | REPEATED_BY_NONE.keys())


def test_traces_tell_apart_what_has_a_label() -> None:
    assert PATTERNS.keys() <= LABELS.keys()


def test_modes_have_none_or_all() -> None:
    assert not any(vars(PHYSICS).values())
    assert all(vars(NANOBRAGG).values())
    assert quirks_of(Experiment()) is PHYSICS
    assert quirks_of(Experiment(mode="c")) is NANOBRAGG


@pytest.mark.parametrize("mode", ["spec", "c"])
def test_carryover_switches_one_difference_alone(mode: str) -> None:
    other = {"spec": "c", "c": "spec"}[mode]
    switched = quirks_of(Experiment(mode=mode, phi_carryover=other))
    own, others = vars(quirks_of(Experiment(mode=mode))), vars(quirks_of(Experiment(mode=other)))
    assert {name for name, value in vars(switched).items() if value != own[name]} == {"phi_zero_keeps_cell"}
    assert switched.phi_zero_keeps_cell == others["phi_zero_keeps_cell"]
    assert quirks_of(Experiment(mode=mode, phi_carryover=mode)) == quirks_of(Experiment(mode=mode))


@pytest.mark.parametrize("mode", ["spec", "c"])
@pytest.mark.parametrize("rng", ["philox", "ran1"])
def test_the_generator_switches_one_difference_alone(mode: str, rng: str) -> None:
    own = vars(quirks_of(Experiment(mode=mode)))
    switched = Experiment(mode=mode, noise=Noise(rng=rng))
    is_other = own["counted_in_order"] != (rng == "ran1")
    changed = {name for name, value in vars(quirks_of(switched)).items() if value != own[name]}
    assert changed == ({"counted_in_order"} if is_other else set())
    assert generator_of(switched) == rng
    assert generator_of(Experiment(mode=mode)) == {"spec": "philox", "c": "ran1"}[mode]


def test_every_difference_has_a_line_in_the_documents() -> None:
    rows = re.findall(r"^\| (C-\d+) \|", (ROOT / "docs" / "modes.md").read_text(), flags=re.MULTILINE)
    assert rows == list(LABELS)
