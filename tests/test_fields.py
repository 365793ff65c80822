"""What fields declare: that it is kept to, told in the words of options, and said nowhere else."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, get_args, get_origin

import pytest

from nbnumba import Experiment, UsageError, changed
from nbnumba.experiment import nouns
from nbnumba.experiment.field import LARGEST, UNITS, Declaration, declared
from nbnumba.experiment.noun import types_of
from nbnumba.nanobragg.table import OPTION_OF, OPTIONS
from nbnumba.setup.checks import check_experiment, warn_of_slips

FIELDS = {f"{noun}.{field.name}": (kind, field) for noun, kind in nouns().items() for field in declared(kind).values()}
RULED = {path: field for path, (_, field) in FIELDS.items() if field.right}
PLAUSIBLE = {path: field for path, (_, field) in FIELDS.items() if field.slip}
NUMERIC = {
    path: field for path, (kind, field) in FIELDS.items()
    if any(part in (int, float) or (get_origin(part) is tuple and str not in get_args(part))
           for part in types_of(kind)[field.name])
}  # fmt: skip
TOO_LARGE = 10 * LARGEST


def experiment_with(path: str, number: float) -> Experiment:
    """Every number of a field is this one."""
    noun, _, name = path.partition(".")
    for n in (number, int(number)):
        tuples = (*((n,) * length for length in (2, 3, 4, 6)), ((n,) * 3,) * 3, ((n,) * 5,))
        for given in (n, *tuples, ((n, n),), ({"origin_mm": (n, n, n)},), ({"weight": n},), ({"path_mm": n},)):
            with suppress(UsageError):
                return changed(Experiment(), **{noun: {name: given}})
    raise AssertionError(f"{path} takes no number")


def option(path: str) -> str:
    return OPTION_OF.get(path, path)


@pytest.mark.parametrize("path", FIELDS)
def test_a_default_is_right_and_plausible(path: str) -> None:
    field = FIELDS[path][1]
    assert field.broken_by(field.default) is None
    assert list(field.slips(field.default)) == []


@pytest.mark.parametrize("path", RULED)
def test_what_breaks_a_rule_is_refused_by_its_option(path: str) -> None:
    wrong = next(n for n in (-7.0, -7000.0, 7000.0) if not all(rule.holds(n) for rule in FIELDS[path][1].right))
    with pytest.raises(UsageError) as error:
        check_experiment(experiment_with(path, wrong))
    assert str(error.value).startswith(f"{option(path)} {wrong:g}")
    assert "must" in str(error.value)


@pytest.mark.parametrize("path", sorted(NUMERIC))
def test_what_overflows_is_refused_by_its_option(path: str) -> None:
    with pytest.raises(UsageError, match=f"^{option(path)} [0-9e+]+: give a number of at most 1e\\+60$"):
        check_experiment(experiment_with(path, TOO_LARGE))


@pytest.mark.parametrize("path", PLAUSIBLE)
def test_a_slip_is_told_in_the_unit_of_the_field(path: str) -> None:
    field = PLAUSIBLE[path]
    low, high = field.slip or (0.0, 0.0)
    number = 2.0 * high if high < math.inf else low / 2.0
    with pytest.warns(UserWarning, match=f"^{option(path)} {number:g}: is it meant in {field.unit_in_words}, as it is"):
        warn_of_slips(experiment_with(path, number))


def test_an_option_is_in_the_unit_of_its_field_or_converts() -> None:
    for row in OPTIONS:
        path = row.targets[0] if row.targets else ""
        if path in FIELDS and row.unit != FIELDS[path][1].unit:
            assert row.convert(row.kind.read("2") if len(row.values) == 1 else (2.0,) * 3) not in (2.0, (2.0,) * 3)


@pytest.mark.parametrize("end", UNITS)
def test_the_unit_is_the_end_of_the_name(end: str) -> None:
    assert any(field.name.endswith(end) and field.unit == UNITS[end] for _, field in FIELDS.values())


def test_a_cell_is_judged_by_its_edges() -> None:
    cell: Any = Declaration("cell", None, FIELDS["crystal.cell"][1].right, first=3)
    assert cell.broken_by((1.0, 1.0, 1.0, -5.0, -5.0, -5.0)) is None
    assert cell.broken_by((1.0, 1.0, -5.0, 90.0, 90.0, 90.0)) == (-5.0, "be at least 1e-60")
