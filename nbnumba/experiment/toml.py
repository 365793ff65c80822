"""Plain values of an experiment as a TOML document, one table for each noun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UsageError


def as_toml(values: Mapping[str, Any]) -> str:
    """The text of nested plain values, None in a list being the text ``none``."""
    scalars = {name: value for name, value in values.items() if not isinstance(value, dict)}
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in scalars.items())
    for name, table in values.items():
        if isinstance(table, dict) and table:
            text += f"\n[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
    return text


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
