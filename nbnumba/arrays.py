"""What dataclasses that hold arrays have in common."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

MOST_LETTERS = 60
"""Of one field's value."""


class HoldsArrays:
    """Equal to itself alone, and shown without the numbers of its arrays.

    Arrays do not hash, do not compare to one truth, and print at length: with this base belong ``eq=False`` and
    ``repr=False``.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary})"

    @property
    def summary(self) -> str:
        """The content in a few words."""
        content: Any = self
        return ", ".join(f"{item.name}={_brief(getattr(self, item.name))}" for item in fields(content))


def _brief(value: Any) -> str:
    """Type and shape of an array, the beginning of whatever else is long."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}"
    text = repr(value)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
