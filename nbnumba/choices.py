"""What a rendering can be told, each name once; needs the standard library alone."""

from typing import Literal, get_args

BackendName = Literal["auto", "cuda", "cpu", "reference"]
"""Who renders, in the order in which "auto" tries them; the last one serves every image.

Each is a module of ``nbnumba/render/`` with its :class:`~nbnumba.render.backends.Backend`.
"""
Precision = Literal["double", "mixed"]
"""Arithmetic of the lattice factor."""
Device = int | Literal["all"]
"""Number of the GPU that renders, or all of them together."""

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
RENDERERS = BACKENDS[1:]
"""Without "auto"."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def listed(names: tuple[str, ...]) -> str:
    """Names as an error gives them to choose from: a, b or c."""
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
