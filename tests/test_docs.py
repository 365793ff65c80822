"""The documents say what the program does."""

from pathlib import Path

import pytest

from nbnumba.cli import COMMANDS
from nbnumba.option_table import markdown
from nbnumba.options import OPTIONS, parser
from nbnumba.report import LABELS

ROOT = Path(__file__).parent.parent


def test_option_table_is_that_of_the_parser() -> None:
    assert (ROOT / "docs" / "options.md").read_text() == markdown(), "run `make docs`"


def test_help_names_every_option_and_command() -> None:
    text = parser().format_help()
    assert [name for option in OPTIONS for name in option.names if f"-{name}" not in text] == []
    assert [command for command in COMMANDS if f"nbnumba {command}" not in text] == []


@pytest.mark.parametrize("label", LABELS)
def test_every_label_is_explained(label: str) -> None:
    assert f"| {label} |" in (ROOT / "docs" / "modes.md").read_text()


def test_links_in_documents_lead_somewhere() -> None:
    import re

    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_example_makes_a_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "rotation_series.py"))["main"](frames=2, pixels=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lysozyme_00001.img", "lysozyme_00002.img"]
