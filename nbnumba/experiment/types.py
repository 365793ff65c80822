"""The types of fields: what each keeps, and what it takes for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal, Protocol, TypeVar

Kept_co = TypeVar("Kept_co", covariant=True)
Given_contra = TypeVar("Given_contra", contravariant=True)
Item_co = TypeVar("Item_co", covariant=True)


class Values(Protocol[Item_co]):
    """What checkers of types know lists, tuples and NumPy's arrays by."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Item_co: ...


class Taking(Protocol[Kept_co, Given_contra]):
    """A field that keeps one type and takes another; a descriptor is how a dataclass tells this to checkers of types.

    It is an annotation and nothing else.
    """

    def __get__(self, noun: object, kind: Any, /) -> Kept_co: ...
    def __set__(self, noun: object, value: Given_contra, /) -> None: ...


Cell = tuple[float, float, float, float, float, float]
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
Sizes = tuple[float | None, float | None, float | None]
SourceRow = tuple[float | None, float | None, float | None, float | None, float | None]
TwoColours = tuple[float, float, float, float]
GivenCell = Taking[Cell | None, Values[float] | None]
GivenVector = Taking[Vector | None, Values[float] | None]
GivenMatrix = Taking[Matrix | None, Values[Values[float]] | None]
GivenRows = Taking[tuple[SourceRow, ...] | None, Values[Values[float | None]] | None]
GivenColumns = Taking[tuple[tuple[float, float], ...] | None, Values[Values[float]] | None]
GivenColours = Taking[TwoColours | None, Values[float] | None]
GivenFile = Taking[str | None, str | PathLike[str] | None]
GivenWords = Taking[tuple[str, ...] | None, Values[str] | None]
# Defaults of such fields: a checker would hold them to the annotation itself.
NOT_GIVEN: Any = None
UNTURNED: Any = (0.0, 0.0, 0.0)
SINGLE: Any = (1, 1, 1)
UNSIZED: Any = (None, None, None)

Mode = Literal["spec", "c"]
Convention = Literal["mosflm", "xds", "adxv", "denzo", "dials", "custom"]
Pivot = Literal["beam", "sample"]
Shape = Literal["square", "round", "gauss", "tophat"]
SensorMaterial = Literal["Si", "CdTe", "GaAs", "phosphor"]
StolAxis = Literal["stol", "4stol", "Q"]
ReadoutKind = Literal["ideal", "counting", "integrating", "switching"]
Generator = Literal["philox", "ran1"]
PointSpread = Literal["none", "gauss", "fibre"]


class Array(Protocol):
    """What checkers of types know a NumPy array of any kind by."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its lengths along each axis."""


@dataclass(frozen=True)
class Mask:
    """What a mask is kept as, so that an experiment compares, hashes and stays as it is.

    ``numpy.asarray(mask)`` is the array (slow, fast) again, read-only.
    """

    slow_pixels: int
    """Number of rows."""
    fast_pixels: int
    """Length of a row."""
    rendered: bytes = field(repr=False)
    """A byte for each pixel, slow-major: 1 where it is rendered, else 0."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """By which NumPy sees an array."""
        shape = (self.slow_pixels, self.fast_pixels)
        return {"version": 3, "shape": shape, "typestr": "|b1", "data": self.rendered}


def as_mask(value: Any) -> Any:
    """A mask of an array of truths or whole numbers; whatever else it is, the value."""
    kind, shape = getattr(getattr(value, "dtype", None), "kind", None), tuple(getattr(value, "shape", ()))
    if kind in ("b", "i", "u") and len(shape) == 2 and all(shape):
        return Mask(int(shape[0]), int(shape[1]), (value != 0).tobytes())
    return value
