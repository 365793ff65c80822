"""What is chosen by a number. A plan holds it; a kernel that is given a tuple of that length compiles nothing else."""

from collections.abc import Sized
from enum import IntEnum
from typing import Any


class Surface(IntEnum):
    """Of a detector; the last is what the reference makes of a curved one."""

    FLAT = 0
    SPHERE = 1
    MIXED_AXES = 2


class Shape(IntEnum):
    """Of a crystal. From 1 on: a kernel may have a use of its own for 0."""

    SQUARE = 1
    ROUND = 2
    GAUSS = 3
    TOPHAT = 4


class Arithmetic(IntEnum):
    """Of the lattice factor on a card."""

    DOUBLE = 0
    """float64."""
    SINGLE = 1
    """float64 up to the last reduction, then float32."""
    BITS = 2
    """float64 for h, k, l, then integers and float32."""
    PAIRS = 3
    """Pairs of float32 for h, k, l too."""


FLAT, SPHERE, MIXED_AXES = Surface
SQUARE, ROUND, GAUSS, TOPHAT = Shape
DOUBLE, SINGLE, BITS, PAIRS = Arithmetic


def shape_without_branch(shape: Sized) -> Any:
    """Where a kernel knows no other shape: what compiles it calls this with the tuple's type, and so cannot."""
    raise NotImplementedError(f"the kernel has no branch for a crystal of shape {len(shape)} (kernels/choices.py)")
