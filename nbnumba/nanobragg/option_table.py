"""The options as a page of the documentation: ``python -m nbnumba.nanobragg.option_table`` prints it."""

from __future__ import annotations

from .option import Option
from .table import OPTIONS

_HEAD = """\
# Options

`nbnumba [options]`: every option may have one or two dashes, and `--name=value` is read like `-name value`.
Of two options for one thing the later one on the line counts. This page is made from the table that the
program reads its command line by.
"""

_COLUMNS = "| option | value | unit | default | meaning |\n|---|---|---|---|---|\n"


def markdown() -> str:
    """All options by subject, as a Markdown document."""
    return _HEAD + "".join(_section(group) for group in dict.fromkeys(option.group for option in OPTIONS))


def _section(group: str) -> str:
    rows = "".join(_row(option) for option in OPTIONS if option.group == group)
    return f"\n## {group.capitalize()}\n\n{_COLUMNS}{rows}"


def _row(option: Option) -> str:
    names = ", ".join(f"`-{name}`" for name in option.names)
    value = f"`{option.metavar}`" if option.values else ""
    cells = (names, value, option.unit, option.default, option.help)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    print(markdown(), end="")
