"""What the public docstrings say is complete, and a page of the documentation holds it."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import nbnumba
from docs.api_page import fields, markdown, members, names, target

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
LISTED = [name for listed in names().values() for name in listed]
PUBLIC = [*LISTED, *(member for name in LISTED for member in members(name))]
CALLABLE = [name for name in PUBLIC if inspect.isfunction(target(name))]

WANTED = {"GL06", "GL07", "GL08", "SS01", "SS03", "PR01", "PR02", "PR03", "PR04", "PR07", "RT01", "RT03", "YD01"}
"""numpydoc's: sections known and in order, a summary that ends, parameters all there, in order, with type and text."""

RAISE_NOTHING = {
    "nbnumba.Image": {"a_matrix", "hkl_map", "resolution_map", "noise", "pgm_scale"},
    "nbnumba.formats.frame.Frame": {"with_unmeasured"},
    "nbnumba.Predictions": {"a_matrix", "hkl_map", "resolution_map"},
    "nbnumba.comparison.fuzz.Tolerance": {"allowed"},
    "nbnumba.refinement.outcome.Refinement": {"report"},
    "nbnumba.refinement.joint_outcome.JointRefinement": {"report"},
    "nbnumba.testing.properties": {"xyz_angles_deg"},
}


def complaints(name: str) -> list[str]:
    """What a docstring lacks; fields of dataclasses have docstrings of their own."""
    validate = pytest.importorskip("numpydoc.validate").validate
    left_out = {"PR01"} if inspect.isclass(target(name)) else set()
    return [f"{code} {text}" for code, text in validate(name)["errors"] if code in WANTED - left_out]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_is_complete(name: str) -> None:
    assert complaints(name) == []


@pytest.mark.parametrize("name", [name for name in CALLABLE if "testing.strategies" not in name])
def test_docstring_says_what_is_raised(name: str) -> None:
    owner, _, own = name.rpartition(".")
    assert ("\nRaises\n---" in inspect.getdoc(target(name))) != (own in RAISE_NOTHING.get(owner, ()))


@pytest.mark.parametrize("name", [name for name in LISTED if is_dataclass(target(name))])
def test_every_field_has_a_sentence(name: str) -> None:
    assert [field for field, (_, _, text) in fields(target(name)).items() if not text.endswith(".")] == []


def test_page_is_that_of_the_docstrings() -> None:
    assert PAGE.read_text() == markdown(), "run `make docs`"


def test_page_has_every_public_name() -> None:
    assert {f"nbnumba.{name}" for name in nbnumba.__all__ if name != "__version__"} <= set(LISTED)


def test_a_parameter_without_a_word_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def hkl_map(experiment: object, phi_deg: float | None = None, unheard_of: int = 0) -> None: ...

    hkl_map.__doc__ = nbnumba.hkl_map.__doc__
    monkeypatch.setattr("nbnumba.prediction.hkl_map", hkl_map)
    assert [text for text in complaints("nbnumba.hkl_map") if "unheard_of" in text] != []
