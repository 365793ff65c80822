"""Space groups as programs ask for them: by number, or by the symbol of Hall."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UsageError


class SpaceGroup(NamedTuple):
    """A space group in a setting."""

    number: int
    """In International Tables."""
    hall: str
    """Its symbol, which tells the setting."""


def space_group_of(name: str) -> SpaceGroup:
    """The space group of a Hermann-Mauguin symbol.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name == "P 1":
        return SpaceGroup(1, "P 1")
    # Most experiments have F of P 1, or none of a file.
    import gemmi

    found = gemmi.find_spacegroup_by_name(name)
    if found is None:
        raise UsageError(f"space group {name!r} is none that is known")
    return SpaceGroup(found.number, found.hall)
