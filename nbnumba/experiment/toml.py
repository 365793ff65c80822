"""Plain values of an experiment as a TOML document, one table for each noun, one of an array for each of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UsageError


def as_toml(values: Mapping[str, Any]) -> str:
    """The text of nested plain values, None in a list being the text ``none``."""
    text = _lines({name: value for name, value in values.items() if not isinstance(value, dict)})
    for name, table in values.items():
        if isinstance(table, dict) and table:
            lists = {key: value for key, value in table.items() if is_list_of_tables(value)}
            text += f"\n[{name}]\n" + _lines({key: table[key] for key in table if key not in lists})
            text += "".join(f"\n[[{name}.{key}]]\n" + _lines(row) for key, rows in lists.items() for row in rows)
    return text


def is_list_of_tables(value: Any) -> bool:
    """Whether a plain value is a list of nouns, each of which has a table of its own."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], dict)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def from_toml(text: str) -> dict[str, Any]:
    """The nested plain values of a text, or a UsageError that says why it has none."""
    # Its import takes longer than that of all nouns, and most command lines have no such text.
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"the experiment is not TOML: {error}") from error


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '\x7f"\\' else c for c in value)
        return f'"{escaped}"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml("none" if item is None else item) for item in value) + "]"
    return repr(value)
