"""Reflections that an experiment itself holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from .types import Cell


@dataclass(frozen=True)
class ReflectionList:
    """What reflections are kept as, so that an experiment compares, hashes and stays as it is.

    Made by :meth:`.StructureFactors.from_arrays` and its like.
    """

    count: int
    """How many there are."""
    hkl: bytes = field(repr=False)
    """h, k, l of each as int32."""
    f: bytes = field(repr=False)
    """|F| in electrons of each as float64; NaN where it is not known."""
    f_minus: bytes | None = field(default=None, repr=False)
    """The same of −h −k −l; None: as of h k l."""
    cell: Cell | None = None
    """a, b, c in Å, α, β, γ in degrees."""
    space_group: str | None = None
    """By which they are expanded; None: they are all of P 1 that there is."""
